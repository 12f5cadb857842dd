/* SPDX-License-Identifier: MIT
 * Description: SPSC or MPMC (MODE), one waits for the other: no wake-up lost.
 *
 * The futex has no time-out here: a sleeper that only its first short sleep
 * or its slice would save is reported. FULL: the ring is full at first and it
 * is the producer that waits. CONSUMERS=2: each takes its share. FLUSH: the
 * producer waits until all is taken. CLOSE: at last the side that nobody waits
 * for leaves, and the other one waits for that.
 */
#ifndef CONSUMERS
#define CONSUMERS 1
#endif
#define MODEL_THREADS (1 + CONSUMERS)
#define MODEL_FUTEXES 2
#include "ring.h"

#ifndef MODE
#define MODE SHMRING_SPSC
#endif
#ifndef MESSAGES
#define MESSAGES 1 /* for each consumer */
#endif

static struct shmring *writer, *readers[CONSUMERS];
static uint64_t filled;
static uint64_t arrived[CONSUMERS][CONSUMERS * MESSAGES + 1];

static void *
producer(void *unused)
{
	uint64_t message = filled;

	(void)unused;
	for (; message < filled + CONSUMERS * MESSAGES; message++)
		MODEL_ASSERT(shmring_push_wait(writer, &message,
					       sizeof(message), -1) == 0);
#ifdef FLUSH
	MODEL_ASSERT(shmring_flush(writer, -1) == 0);
	MODEL_ASSERT(shmring_length(writer) == 0);
#endif
#if defined(CLOSE) && defined(FULL)
	MODEL_ASSERT(shmring_push_wait(writer, &message, sizeof(message), -1) ==
		     -EPIPE);
#elif defined(CLOSE)
	shmring__detach(writer);
#endif
	return NULL;
}

static void *
consumer(void *unused)
{
	int i = __VERIFIER_thread_self() - 2;
	uint64_t message = 0;

	(void)unused;
	for (uint64_t n = 0; n < MESSAGES; n++) {
		MODEL_ASSERT(shmring_pop_wait(readers[i], &message,
					      sizeof(message),
					      -1) == sizeof(message));
		MODEL_ASSERT(CONSUMERS > 1 ? message < CONSUMERS * MESSAGES
					   : message == n);
		arrived[i][message]++;
	}
#if defined(CLOSE) && defined(FULL)
	shmring__detach(readers[i]);
#elif defined(CLOSE)
	MODEL_ASSERT(shmring_pop_wait(readers[i], &message, sizeof(message),
				      -1) == -EPIPE);
#endif
	return NULL;
}

int
main(void)
{
	__VERIFIER_thread_t threads[MODEL_THREADS];

	writer = model_attach(MODE, SHMRING__WRITE, SHMRING_PRODUCER);
	for (int i = 0; i < CONSUMERS; i++)
		readers[i] =
			model_attach(MODE, i ? 1 + (uint32_t)i : SHMRING__READ,
				     SHMRING_CONSUMER);
	model_futex(0, &writer->notice->data);
	model_futex(1, &writer->notice->space);
	for (int i = 0; i < MODEL_THREADS; i++)
		model_handles[i].wait.spin_ns = 0; /* sleep at once */
#ifdef FULL
	while (shmring_push(writer, &filled, sizeof(filled)) == 0)
		filled++;
#endif
	for (int i = 0; i < MODEL_THREADS; i++)
		threads[i] = model_start(i ? consumer : producer);
	for (int i = 0; i < MODEL_THREADS; i++)
		model_join(threads[i]);
	for (int m = 0; CONSUMERS > 1 && m < CONSUMERS * MESSAGES; m++) {
		uint64_t sum = 0;

		for (int i = 0; i < CONSUMERS; i++)
			sum += arrived[i][m];
		MODEL_ASSERT(sum == 1);
	}
	return 0;
}
