/* SPDX-License-Identifier: MIT
 * Description: SPSC, records of no and of one word wrap round 4 words.
 *
 * The second one stands across the end. Every record arrives once, whole and
 * in order. Each side gives up after RECORDS + RETRIES attempts, so that
 * executions end; main takes what is left.
 */
#include "ring.h"

#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef RETRIES
#define RETRIES 1
#endif

static struct shmring *writer, *reader;
static uint64_t pushed, popped;

static void *
producer(void *unused)
{
	(void)unused;
	for (int i = 0; i < RECORDS + RETRIES && pushed < RECORDS; i++) {
		uint64_t message = 100 + pushed;
		int error = shmring_push(writer, &message, pushed % 2 * 8);

		MODEL_ASSERT(!error || error == -EAGAIN);
		pushed += !error;
	}
	return NULL;
}

static int
take(void)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(reader, &message, sizeof(message));

	if (size == -EAGAIN)
		return 0;
	MODEL_ASSERT(size == (ssize_t)(popped % 2 * 8));
	MODEL_ASSERT(size == 0 || message == 100 + popped);
	popped++;
	return 1;
}

static void *
consumer(void *unused)
{
	(void)unused;
	for (int i = 0; i < RECORDS + RETRIES && popped < RECORDS; i++)
		take();
	return NULL;
}

int
main(void)
{
	reader = model_attach(SHMRING_SPSC, SHMRING__READ, SHMRING_CONSUMER);
	writer = model_attach(SHMRING_SPSC, SHMRING__WRITE, SHMRING_PRODUCER);
	model_seek(reader, writer, 16);
	__VERIFIER_thread_t first = model_start(producer);
	__VERIFIER_thread_t second = model_start(consumer);
	model_join(first);
	model_join(second);
#ifdef REACH /* a control: all of it can arrive */
	MODEL_ASSERT(popped < RECORDS);
#endif
	while (popped < pushed)
		MODEL_ASSERT(take());
	MODEL_ASSERT(!take());
	return 0;
}
