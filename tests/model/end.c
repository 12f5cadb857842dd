/* SPDX-License-Identifier: MIT
 * Description: SPSC or MPMC (MODE), the last producer leaves: is that the end?
 *
 * Whoever is told so (-EPIPE) misses nothing: the message has come, and no
 * other consumer (HOLDER) has it in its hands any more. With DIE, that one dies
 * before it could look at the message: it comes to who is left.
 */
#ifdef HOLDER
#define MODEL_THREADS 3
#else
#define MODEL_THREADS 2
#endif
#include <stdint.h>
/* Nobody is doubted. */
#define SHMRING_PATIENCE_NS INT64_MAX
#include "ring.h"

#ifndef MODE
#define MODE SHMRING_SPSC
#endif

static struct shmring *writer, *reader;
static uint64_t arrived;

static void *
producer(void *unused)
{
	uint64_t message = 1;

	(void)unused;
	MODEL_ASSERT(shmring_push(writer, &message, sizeof(message)) == 0);
	shmring__detach(writer);
	return NULL;
}

static void *
consumer(void *unused)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(reader, &message, sizeof(message));

	(void)unused;
	if (size == sizeof(message))
		__atomic_fetch_add(&arrived, message, __ATOMIC_RELAXED);
	else if (size == -EPIPE)
		MODEL_ASSERT(__atomic_load_n(&arrived, __ATOMIC_RELAXED) == 1);
	else
		MODEL_ASSERT(size == -EAGAIN);
	return NULL;
}

#ifdef HOLDER
static struct shmring *other;

static void *
holder(void *unused)
{
#ifdef DIE
	uint64_t lost;

	model_dies = MODEL_CLAIMED;
	shmring_pop(other, &lost, sizeof(lost));
#endif
	size_t size;
	const uint64_t *message = shmring_peek(other, &size);

	(void)unused;
	if (!message)
		return NULL;
	MODEL_ASSERT(size == sizeof(*message));
	__atomic_fetch_add(&arrived, *message, __ATOMIC_RELAXED);
	MODEL_ASSERT(shmring_release(other) == 0);
	return NULL;
}
#endif

int
main(void)
{
	writer = model_attach(MODE, SHMRING__WRITE, SHMRING_PRODUCER);
	reader = model_attach(MODE, SHMRING__READ, SHMRING_CONSUMER);
#ifdef HOLDER
	other = model_attach(MODE, 2, SHMRING_CONSUMER);
#endif
	__VERIFIER_thread_t first = model_start(consumer);
	__VERIFIER_thread_t second = model_start(producer);
#ifdef HOLDER
	__VERIFIER_thread_t third = model_start(holder);
	model_join(third);
#endif
	model_join(first);
	model_join(second);
	for (int i = 0; i < 3 && arrived == 0; i++)
		consumer(NULL);
	MODEL_ASSERT(arrived == 1);
	return 0;
}
