/* SPDX-License-Identifier: MIT
 *
 * Description: threads, then processes, by all calls at random: every message
 * comes exactly once, whole, and each producer's in order.
 */
#include "ring.h"

#include <pthread.h>
#include <stddef.h>

#define WORKERS 8 /* of each role at most: more than cores */
#define MESSAGES 500000 /* of each producer at most */
#define LARGEST 200
#define BATCH 5

/* Shared by all. */
struct traffic {
	char name[64];
	int64_t end;
	int attached, workers;
	uint64_t sent, taken, wrong;
	unsigned char seen[WORKERS][MESSAGES];
};

struct worker {
	struct traffic *traffic;
	unsigned role, number;
	uint64_t random;
	struct shmring ring;
	uint64_t next; /* producer: to send */
	uint64_t last[WORKERS]; /* consumer: 1 + the last from each */
};

struct message {
	uint64_t producer, number;
	unsigned char bytes[LARGEST];
};

#define HEAD offsetof(struct message, bytes)

static uint64_t
worker_random(struct worker *me)
{
	me->random = me->random * UINT64_C(6364136223846793005) + 1442695;
	return me->random >> 33;
}

static size_t
message_size(uint64_t producer, uint64_t number)
{
	return (size_t)((number * 7919 + producer * 104729) % (LARGEST + 1));
}

static size_t
message_make(struct worker *me, void *to)
{
	struct message *message = to;
	size_t size = message_size(me->number, me->next);

	message->producer = me->number;
	message->number = me->next;
	message_write(message->bytes, size, me->next++);
	return HEAD + size;
}

static int
message_take(struct worker *me, const void *from, size_t size)
{
	const struct message *message = from;
	uint64_t producer = message->producer, number = message->number;

	if (size < HEAD || producer >= WORKERS || number >= MESSAGES ||
	    size != HEAD + message_size(producer, number) ||
	    !message_is(message->bytes, size - HEAD, number) ||
	    number < me->last[producer])
		return 0;
	me->last[producer] = number + 1;
	__atomic_fetch_add(&me->traffic->taken, 1, __ATOMIC_RELAXED);
	return __atomic_fetch_add(&me->traffic->seen[producer][number], 1,
				  __ATOMIC_RELAXED) == 0;
}

static int
send_some(struct worker *me)
{
	struct message messages[BATCH];
	struct iovec batch[BATCH];
	size_t count = 1 + worker_random(me) % BATCH, size;
	ssize_t done = 0;
	void *place;
	int error;

	switch (worker_random(me) % 3) {
	case 0:
		size = message_make(me, messages);
		return shmring_push_wait(&me->ring, messages, size, GENEROUS);
	case 1:
		place = shmring_reserve_wait(&me->ring, sizeof(*messages),
					     GENEROUS);
		if (!place)
			return shmring_error(&me->ring);
		size = message_make(me, place);
		while ((error = shmring_commit(&me->ring, size)) == -EAGAIN)
			usleep(100); /* too late, and full: kept for us */
		return error;
	default:
		for (size_t i = 0; i < count; i++) {
			batch[i].iov_base = &messages[i];
			batch[i].iov_len = message_make(me, &messages[i]);
		}
		for (size_t i = 0; i < count && done >= 0; i += (size_t)done)
			done = shmring_push_n_wait(&me->ring, batch + i,
						   count - i, GENEROUS);
		return done < 0 ? (int)done : 0;
	}
}

static int
take_some(struct worker *me)
{
	struct message messages[BATCH];
	struct iovec batch[BATCH];
	const void *place;
	int right = 1;
	size_t size = 0;
	ssize_t got;

	switch (worker_random(me) % 3) {
	case 0:
		got = shmring_pop_wait(&me->ring, messages, sizeof(*messages),
				       GENEROUS);
		if (got < 0)
			return (int)got;
		right = message_take(me, messages, (size_t)got);
		break;
	case 1:
		place = shmring_peek_wait(&me->ring, &size, GENEROUS);
		if (!place)
			return shmring_error(&me->ring);
		right = message_take(me, place, size);
		got = shmring_release(&me->ring);
		if (got < 0)
			return (int)got;
		break;
	default:
		for (size_t i = 0; i < BATCH; i++)
			batch[i] = (struct iovec){ &messages[i],
						   sizeof(messages[i]) };
		got = shmring_pop_n_wait(&me->ring, batch, BATCH, GENEROUS);
		if (got < 0)
			return (int)got;
		for (ssize_t i = 0; i < got; i++)
			right &= message_take(me, &messages[i],
					      batch[i].iov_len);
	}
	return right ? 0 : -EILSEQ;
}

static void
work(void *argument)
{
	struct worker *me = argument;
	struct traffic *traffic = me->traffic;
	int error = shmring_open(&me->ring, traffic->name, me->role, 0);

	/* Nobody may end before all are there: the others would see EPIPE. */
	flag_raise(&traffic->attached);
	flag_await(&traffic->attached, traffic->workers);
	if (me->role == SHMRING_PRODUCER) {
		while (!error && me->next < MESSAGES - BATCH &&
		       (me->next < 100 || shmring__now() < traffic->end))
			error = send_some(me);
		__atomic_fetch_add(&traffic->sent, me->next, __ATOMIC_RELAXED);
	} else {
		while (!error)
			error = take_some(me);
		error = error == -EPIPE ? 0 : error;
	}
	if (error) {
		printf("# worker: %s\n", shmring_strerror(error));
		__atomic_fetch_add(&traffic->wrong, 1, __ATOMIC_RELAXED);
	}
	shmring_close(&me->ring);
}

static void *
work_in_thread(void *argument)
{
	work(argument);
	return NULL;
}

static uint64_t
count_missing(const struct traffic *traffic)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < WORKERS; i++)
		for (size_t j = 0; j < MESSAGES; j++)
			seen += traffic->seen[i][j] == 1;
	return traffic->sent - seen;
}

static void
run(uint32_t mode, unsigned producers, unsigned consumers, int threads)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 64,
					 .slot_size = sizeof(struct message),
					 .participants = 20,
					 .roles = SHMRING_OBSERVER };
	struct traffic *traffic = shared_memory(sizeof(*traffic));
	struct worker *workers = calloc(2 * WORKERS, sizeof(*workers));
	pthread_t thread[2 * WORKERS];
	pid_t child[2 * WORKERS];
	struct shmring_stat all;
	struct shmring ring;
	int failed = 0;

	strcpy(traffic->name, tap_name());
	traffic->workers = (int)(producers + consumers);
	traffic->end = shmring__now() + tap_seconds() * 400 * MILLISECOND;
	if (!workers || shmring_create(&ring, traffic->name, &config))
		bail("cannot create a ring");
	for (unsigned i = 0; i < producers + consumers; i++) {
		struct worker *worker = &workers[i];

		worker->traffic = traffic;
		worker->role =
			i < producers ? SHMRING_PRODUCER : SHMRING_CONSUMER;
		worker->number = i;
		worker->random = tap_random();
		if (!threads)
			child[i] = child_start(work, worker);
		else if (pthread_create(&thread[i], NULL, work_in_thread,
					worker))
			bail("no thread");
	}
	for (unsigned i = 0; i < producers + consumers; i++)
		failed += threads ? pthread_join(thread[i], NULL)
				  : tap_wait(child[i]);
	shmring_stat(&ring, &all);
	printf("# %s, %u to %u %s\n", mode_name[mode], producers, consumers,
	       threads ? "threads" : "processes");
	is_int(traffic->wrong + (unsigned)failed, 0, "all whole and in order");
	ok(traffic->sent >= 100 && traffic->taken == traffic->sent,
	   "%" PRIu64 " messages", traffic->sent);
	is_int(count_missing(traffic), 0, "each exactly once");
	ok(all.pushed == traffic->sent && all.popped == traffic->sent &&
		   all.producers == 0 && all.consumers == 0 && all.length == 0,
	   "the ring has counted them, too");
	shmring_close(&ring);
	shmring_unlink(traffic->name);
	munmap(traffic, sizeof(*traffic));
	free(workers);
}

int
main(void)
{
	tap_start();
	for (int threads = 1; threads >= 0; threads--) {
		run(SHMRING_SPSC, 1, 1, threads);
		run(SHMRING_MPMC, 1, 1, threads);
		run(SHMRING_MPMC, 3, 1, threads);
		run(SHMRING_MPMC, 1, 3, threads);
		run(SHMRING_MPMC, WORKERS, WORKERS, threads);
	}
	return tap_done();
}
