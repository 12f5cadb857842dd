/* SPDX-License-Identifier: MIT
 * Description: SPSC or MPMC (MODE), one waits for the other: no wake-up lost.
 *
 * The futex has no time-out here: a sleeper that only its first short sleep
 * or its slice would save is reported. FULL: the ring is full at first and it
 * is the producer that waits.
 */
#define MODEL_FUTEXES 2
#include "ring.h"

#ifndef MODE
#define MODE SHMRING_SPSC
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif

static struct shmring *writer, *reader;
static uint64_t filled;

static void *
producer(void *unused)
{
	(void)unused;
	for (uint64_t n = 0; n < MESSAGES; n++) {
		uint64_t message = filled + n;

		MODEL_ASSERT(shmring_push_wait(writer, &message,
					       sizeof(message), -1) == 0);
	}
	return NULL;
}

static void *
consumer(void *unused)
{
	(void)unused;
	for (uint64_t n = 0; n < MESSAGES; n++) {
		uint64_t message = 0;

		MODEL_ASSERT(shmring_pop_wait(reader, &message, sizeof(message),
					      -1) == sizeof(message));
		MODEL_ASSERT(message == n);
	}
	return NULL;
}

int
main(void)
{
	reader = model_attach(MODE, SHMRING__READ, SHMRING_CONSUMER);
	writer = model_attach(MODE, SHMRING__WRITE, SHMRING_PRODUCER);
	model_futex(0, &reader->notice->data);
	model_futex(1, &reader->notice->space);
	reader->spin_ns = writer->spin_ns = 0; /* sleep at once */
#ifdef FULL
	while (shmring_push(writer, &filled, sizeof(filled)) == 0)
		filled++;
#endif
	__VERIFIER_thread_t first = model_start(producer);
	__VERIFIER_thread_t second = model_start(consumer);
	model_join(first);
	model_join(second);
	return 0;
}
