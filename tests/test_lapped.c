/* SPDX-License-Identifier: MIT
 *
 * Description: readers that are lapped all the time: a lossy ring of a page,
 * one writer who never waits, two readers, by copy and in place. Each message
 * that they get is the one that is due, and whole; received and lost are what
 * was sent. LAPPED_READS=1000000000: until so many have been read, instead of
 * for SECONDS_PER_TEST.
 */
#include "ring.h"

#define READERS 2
#define WORDS 8 /* of the largest message */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)
#define OFTEN 256 /* messages, until the writer is told */
#define BURST 512 /* messages at once; so many are some rings full */

struct reader { /* what it tells, on a line of its own */
	_Alignas(128) uint64_t received;
	uint64_t lost, laps, wrong;
};

struct shared {
	int ready;
	struct reader readers[READERS];
};

static struct shared *shared;
static struct shmring writer;

static const char *const way[READERS] = { "by copy", "in place" };

static size_t
words_of(uint64_t number)
{
	return 1 + number % WORDS;
}

/* Each word depends on the number and on its place. */
static void
write_words(uint64_t *words, uint64_t number)
{
	for (size_t i = 0; i < words_of(number); i++)
		words[i] = (number + i) * FACTOR;
}

static int
is_due(const uint64_t *words, size_t size, uint64_t number)
{
	uint64_t wrong = size ^ words_of(number) * sizeof(*words);

	for (size_t i = 0; !wrong && i < words_of(number); i++)
		wrong |= words[i] ^ (number + i) * FACTOR;
	return !wrong;
}

/* What was looked at in place counts when release says that it was whole. */
static ssize_t
read_in_place(struct shmring *ring, uint64_t number, int *due)
{
	size_t size;
	const void *message = shmring_peek(ring, &size);

	if (!message)
		return shmring_error(ring);
	*due = size <= WORDS * sizeof(uint64_t) &&
	       is_due(message, size, number);
	return shmring_release(ring);
}

static ssize_t
read_copy(struct shmring *ring, uint64_t number, int *due)
{
	uint64_t words[WORDS];
	ssize_t size = shmring_pop(ring, words, sizeof(words));

	if (size < 0)
		return size;
	*due = is_due(words, (size_t)size, number);
	return 0;
}

static void
read_all(struct shmring *ring, struct reader *mine)
{
	int in_place = mine != shared->readers;
	uint64_t number = 0, received = 0, laps = 0;
	ssize_t error = 0;
	int due = 0;

	while (error != -EPIPE) {
		error = in_place ? read_in_place(ring, number, &due)
				 : read_copy(ring, number, &due);
		if (!error) {
			mine->wrong += !due;
			number++;
			received++;
		} else if (error == -ENOBUFS) {
			laps++;
			number = received + shmring_lost(ring);
		} else if (error == -EAGAIN) {
			sched_yield();
		} else if (error != -EPIPE) {
			mine->wrong++;
			break;
		}
		if (received % OFTEN == 0)
			__atomic_store_n(&mine->received, received,
					 __ATOMIC_RELAXED);
	}
	mine->received = received;
	mine->lost = shmring_lost(ring);
	mine->laps = laps;
}

static void
join(void *mine)
{
	struct shmring reader;

	CHILD_CHECK(!shmring_dup(&reader, &writer, SHMRING_CONSUMER));
	flag_raise(&shared->ready);
	read_all(&reader, mine);
}

/* By all of them. */
static uint64_t
received(void)
{
	uint64_t all = 0;

	for (int i = 0; i < READERS; i++)
		all += __atomic_load_n(&shared->readers[i].received,
				       __ATOMIC_RELAXED);
	return all;
}

int
main(void)
{
	struct shmring_config config = { .mode = SHMRING_BROADCAST,
					 .slots = 16,
					 .slot_size = WORDS * sizeof(uint64_t),
					 .participants = READERS,
					 .flags = SHMRING_LOSSY,
					 .roles = SHMRING_PRODUCER };
	uint64_t words[WORDS], sent, wrong = 0;
	pid_t child[READERS];

	tap_start();
	uint64_t reads = (uint64_t)tap_environment("LAPPED_READS", 0);
	if (reads)
		tap_watchdog(3600);
	shared = shared_memory(sizeof(*shared));
	if (shmring_create_memfd(&writer, &config))
		bail("no ring");
	for (int i = 0; i < READERS; i++)
		child[i] = child_start(join, &shared->readers[i]);
	flag_await(&shared->ready, READERS);
	int64_t start = shmring__now();
	int64_t end = start + tap_seconds() * 1000 * MILLISECOND;
	for (sent = 0; reads ? received() < reads : shmring__now() < end;) {
		/* Up to some rings full at once, then others may run. */
		uint64_t burst = sent + 1 + tap_random() % BURST;

		for (; sent < burst; sent++) {
			write_words(words, sent);
			wrong += shmring_push(&writer, words,
					      words_of(sent) *
						      sizeof(*words)) != 0;
		}
		sched_yield();
	}
	shmring_close(&writer);
	is_int(wrong, 0, "%" PRIu64 " sent, it never waits", sent);
	for (int i = 0; i < READERS; i++) {
		struct reader *r = &shared->readers[i];

		is_int(tap_wait(child[i]), 0, "a reader, %s, to the end",
		       way[i]);
		is_int(r->wrong, 0, "%" PRIu64 " received, none torn",
		       r->received);
		is_int(r->received + r->lost, sent,
		       "with %" PRIu64 " lost in %" PRIu64
		       " laps it is what was sent",
		       r->lost, r->laps);
		ok(r->laps > 0, "it was lapped");
	}
	printf("# %.1f million reads a second\n",
	       (double)received() * 1e3 / (double)(shmring__now() - start));
	return tap_done();
}
