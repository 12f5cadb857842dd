/* SPDX-License-Identifier: MIT
 *
 * Description: doubt under pressure. Threads sleep at random at the edges
 * that the protocol depends on (between claim, copy, phase and attn), for
 * longer than the others' patience, so that slots are voided, retained,
 * handed back and adopted all the time; each message must arrive exactly
 * once, whole, in its producer's order unless it is marked as redelivered.
 */
#include <stdint.h>

static void dawdle(void);

#define SHMRING_PATIENCE_NS 3000
#define SHMRING_SLICE_NS 2000000
#define SHMRING_LIGHT(ring)                                      \
	do {                                                     \
		__asm__ __volatile__("" ::: "memory");           \
		if ((ring)->mpmc.fenced)                         \
			__atomic_thread_fence(__ATOMIC_SEQ_CST); \
		dawdle();                                        \
	} while (0)
#define SHMRING_COPY(to, from, size)    \
	do {                            \
		dawdle();               \
		memcpy(to, from, size); \
		dawdle();               \
	} while (0)
/* The doubter: between its verdict and the fence, the fence and its look. */
#define SHMRING_HEAVY(ring) (dawdle(), shmring__membarrier(ring), dawdle(), 0)
#include "shmring.h"
#include "tap.h"
#include <pthread.h>

#define MOST 8 /* threads of a side */

struct message {
	uint64_t producer, number, inverse, mixed;
};

static struct shmring base;
static int producers, consumers;
static unsigned dawdling; /* one edge in so many */
static uint64_t each; /* messages a producer */
static unsigned char *seen[MOST];
static uint64_t twice, torn, disordered, redelivered, errors;
static _Thread_local uint64_t state; /* of this thread's random numbers */

static uint64_t
random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void
dawdle(void)
{
	if (!state || random_number() % dawdling)
		return;
	struct timespec nap = { 0, (long)(random_number() % 60000) };
	nanosleep(&nap, NULL);
}

static void
count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Every third message in place, some of them aborted first. */
static void
send_one(struct shmring *ring, const struct message *message)
{
	uint64_t kind = random_number() % 9;
	int error = 0;
	void *place;

	if (kind > 2) {
		error = shmring_push_wait(ring, message, sizeof(*message), -1);
	} else {
		place = shmring_reserve_wait(ring, sizeof(*message), -1);
		if (kind == 0) {
			memset(place, 0xee, sizeof(*message));
			shmring_abort(ring);
			place = shmring_reserve_wait(ring, sizeof(*message),
						     -1);
		}
		memcpy(place, message, sizeof(*message));
		while ((error = shmring_commit(ring, sizeof(*message))) ==
		       -EAGAIN)
			sched_yield();
	}
	if (error)
		count(&errors);
}

static void *
produce(void *seed)
{
	struct message message = { (uint64_t)(uintptr_t)seed % MOST, 0, 0, 0 };
	struct shmring ring;

	state = (uintptr_t)seed;
	if (shmring_dup(&ring, &base, SHMRING_PRODUCER))
		count(&errors);
	for (uint64_t i = 0; i < each && !errors; i++) {
		message.number = i;
		message.inverse = ~i;
		message.mixed = i ^ message.producer;
		send_one(&ring, &message);
	}
	shmring_close(&ring);
	return NULL;
}

/* Note what has arrived; last: the newest in order of each producer. */
static void
account(const struct message *m, int marked, uint64_t last[MOST])
{
	if (m->inverse != ~m->number || m->mixed != (m->number ^ m->producer) ||
	    m->producer >= (uint64_t)producers || m->number >= each) {
		count(&torn);
		return;
	}
	if (__atomic_fetch_add(&seen[m->producer][m->number], 1,
			       __ATOMIC_RELAXED))
		count(&twice);
	if (marked)
		count(&redelivered);
	else if (last[m->producer] > m->number)
		count(&disordered);
	else
		last[m->producer] = m->number + 1;
}

/* Now and then detach with a message in hands: somebody must get it again,
 * so it is not accounted for here. */
static void *
consume(void *seed)
{
	uint64_t last[MOST] = { 0 };
	struct shmring ring;
	struct message m;
	ssize_t got = 0;

	state = (uintptr_t)seed;
	if (shmring_dup(&ring, &base, SHMRING_CONSUMER))
		count(&errors);
	while (got >= 0) {
		size_t size;
		const void *place = NULL;

		if (random_number() % 2)
			got = shmring_pop_wait(&ring, &m, sizeof(m), -1);
		else if ((place = shmring_peek_wait(&ring, &size, -1)))
			memcpy(&m, place, sizeof(m));
		else
			got = shmring_error(&ring);
		if (got < 0)
			break;
		if (place && random_number() % 500 == 0) {
			shmring_close(&ring);
			if (shmring_dup(&ring, &base, SHMRING_CONSUMER))
				count(&errors);
			continue;
		}
		account(&m, shmring_redelivered(&ring), last);
		if (place)
			shmring_release(&ring);
	}
	if (got != -EPIPE)
		count(&errors);
	shmring_close(&ring);
	return NULL;
}

static void
dawdle_through(int some_producers, int some_consumers, uint32_t slots,
	       unsigned rate, uint64_t messages)
{
	struct shmring_config config = {
		.mode = SHMRING_MPMC,
		.slots = slots,
		.slot_size = sizeof(struct message),
		.roles = SHMRING_CONSUMER, /* never -EPIPE for a producer */
	};
	pthread_t thread[2 * MOST];
	uint64_t lost = 0;
	int n = 0;

	producers = some_producers;
	consumers = some_consumers;
	dawdling = rate;
	each = messages / (uint64_t)producers;
	twice = torn = disordered = redelivered = errors = 0;
	is_int(shmring_create_memfd(&base, &config), 0, "create");
	for (int i = 0; i < producers; i++) {
		seen[i] = (unsigned char *)calloc(each, 1);
		uintptr_t seed = tap_random() / MOST * MOST + (uintptr_t)i;
		pthread_create(&thread[n++], NULL, produce, (void *)seed);
	}
	for (int i = 0; i < consumers; i++)
		pthread_create(&thread[n++], NULL, consume,
			       (void *)(uintptr_t)(tap_random() | 1));
	while (n > 0)
		pthread_join(thread[--n], NULL);
	for (int i = 0; i < producers; i++) {
		for (uint64_t k = 0; k < each; k++) {
			if (!seen[i][k] && lost++ < 10)
				printf("# lost: %d's %" PRIu64 "\n", i, k);
		}
		free(seen[i]);
	}
	printf("# %d x %d, %u slots: %" PRIu64 " messages, %" PRIu64
	       " positions, %" PRIu64 " redelivered\n",
	       producers, consumers, slots, messages, *base.head, redelivered);
	is_int(errors, 0, "every call succeeds");
	is_int(lost, 0, "nothing is lost");
	is_int(twice, 0, "nothing arrives twice");
	is_int(torn, 0, "nothing is torn");
	is_int(disordered, 0, "order of each producer, but for the marked");
	shmring_close(&base);
}

int
main(void)
{
	uint64_t messages = 80000 * (uint64_t)tap_seconds();

	tap_start();
	if (TAP_SANITIZED)
		messages /= 4;
	dawdle_through(2, 2, 16, 100, messages);
	dawdle_through(1, 3, 16, 30, messages);
	dawdle_through(3, 1, 16, 30, messages);
	dawdle_through(4, 4, 32, 50, messages);
	return tap_done();
}
