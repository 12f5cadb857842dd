/* SPDX-License-Identifier: MIT
 * Description: SPSC or MPMC (MODE), push_n and pop_n of up to BATCH messages.
 *
 * The batch is larger than the ring, so that it goes in and comes out in
 * parts. Every message arrives once and in order. WAIT: by the waiting forms;
 * a batch wakes once, at its end. ARRAY: of arrays, whose messages share headers
 * in SPSC; ALONE: which are taken one by one.
 */
#define MODEL_FUTEXES 2
#include "ring.h"

#ifndef MODE
#define MODE SHMRING_SPSC
#endif
#ifndef BATCH
#define BATCH 3
#endif

#ifdef WAIT /* until all is through */
#define CALLS BATCH
#else
#define CALLS 2
#endif

static struct shmring *writer, *reader;
static uint64_t pushed, popped;

static ssize_t
put(struct iovec *batch, size_t count)
{
#if defined(ARRAY)
	return shmring_push_array(writer, batch->iov_base, 8, count);
#elif defined(WAIT)
	return shmring_push_n_wait(writer, batch, count, -1);
#else
	return shmring_push_n(writer, batch, count);
#endif
}

static ssize_t
take(struct iovec *batch, size_t count)
{
#if defined(ALONE)
	(void)count;
	return shmring_pop(reader, batch->iov_base, 8) == 8 ? 1 : -EAGAIN;
#elif defined(ARRAY)
	return shmring_pop_array(reader, batch->iov_base, 8, count);
#elif defined(WAIT)
	return shmring_pop_n_wait(reader, batch, count, -1);
#else
	return shmring_pop_n(reader, batch, count);
#endif
}

/* One call; what did not fit is left for the next. */
static void
put_some(void)
{
	uint64_t messages[BATCH];
	struct iovec batch[BATCH];
	size_t count = BATCH - pushed;

	/* all: of a constant number compilers make what GenMC executes */
	for (size_t i = 0; i < BATCH; i++) {
		messages[i] = pushed + i;
		batch[i].iov_base = &messages[i];
		batch[i].iov_len = sizeof(messages[i]);
	}
	ssize_t done = put(batch, count);

	MODEL_ASSERT(done == -EAGAIN || (done > 0 && (size_t)done <= count));
	pushed += done > 0 ? (uint64_t)done : 0;
}

static void
take_some(void)
{
	uint64_t messages[BATCH];
	struct iovec batch[BATCH];
	size_t count = BATCH - popped;

	for (size_t i = 0; i < BATCH; i++) {
		batch[i].iov_base = &messages[i];
		batch[i].iov_len = sizeof(messages[i]);
	}
	ssize_t done = take(batch, count);

	MODEL_ASSERT(done == -EAGAIN || (done > 0 && (size_t)done <= count));
	for (ssize_t i = 0; i < done; i++) {
		MODEL_ASSERT(batch[i].iov_len == sizeof(messages[i]));
		MODEL_ASSERT(messages[i] == popped);
		popped++;
	}
}

static void *
producer(void *unused)
{
	(void)unused;
	for (int i = 0; i < CALLS && pushed < BATCH; i++)
		put_some();
	return NULL;
}

static void *
consumer(void *unused)
{
	(void)unused;
	for (int i = 0; i < CALLS && popped < BATCH; i++)
		take_some();
	return NULL;
}

int
main(void)
{
	reader = model_attach(MODE, SHMRING__READ, SHMRING_CONSUMER);
	writer = model_attach(MODE, SHMRING__WRITE, SHMRING_PRODUCER);
	model_futex(0, &reader->notice->data);
	model_futex(1, &reader->notice->space);
	reader->wait.spin_ns = writer->wait.spin_ns = 0; /* sleep at once */
	__VERIFIER_thread_t first = model_start(producer);
	__VERIFIER_thread_t second = model_start(consumer);
	model_join(first);
	model_join(second);
#ifdef REACH /* a control: all of it can arrive */
	MODEL_ASSERT(popped < BATCH);
#endif
	while (popped < pushed)
		take_some();
	return 0;
}
