/* SPDX-License-Identifier: MIT
 * Description: MPMC, a participant is dead; one who recovers it dies at DIE.
 *
 * The first one (VICTIM) died with a message in its hands. Then two others
 * recover it at once, or, with ADOPT, when that is done, pop at once: one of
 * them adopts the message. The first of the two may die in that, too
 * (MODEL_DECIDING: when it doubts, MODEL_CLAIMED: with the adopted message in
 * its hands). In the end nothing is lost, nothing is there twice, and the ring
 * has all its slots.
 */
#define MODEL_THREADS 3
#include "ring.h"

#ifndef VICTIM
#define VICTIM SHMRING_CONSUMER
#endif
#ifndef DIE
#define DIE MODEL_LIVES
#endif

enum { OLD, LOST, MESSAGES };

static struct shmring *victim, *rings[2];
static uint64_t arrived[MESSAGES];

static int
put(struct shmring *ring, uint64_t message)
{
	return shmring_push(ring, &message, sizeof(message));
}

static int
take(struct shmring *ring, uint64_t *count)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(ring, &message, sizeof(message));

	if (size == -EAGAIN)
		return 0;
	MODEL_ASSERT(size == sizeof(message) && message < MESSAGES);
	MODEL_ASSERT(shmring_redelivered(ring) ==
		     (VICTIM == SHMRING_CONSUMER && message == OLD));
	count[message]++;
	return 1;
}

static void *
dying(void *unused)
{
	uint64_t message;

	(void)unused;
	model_dies = MODEL_CLAIMED;
	if (VICTIM == SHMRING_PRODUCER)
		put(victim, LOST);
	else
		shmring_pop(victim, &message, sizeof(message));
	return NULL;
}

static uint64_t taken[2][MESSAGES];

static void
act(int i)
{
#ifdef ADOPT
	take(rings[i], taken[i]);
#else
	shmring__recover_line(rings[i], 0);
#endif
}

static void *
first(void *unused)
{
	(void)unused;
	model_dies = DIE;
	act(0);
	return NULL;
}

static void *
second(void *unused)
{
	(void)unused;
	act(1);
	return NULL;
}

int
main(void)
{
	victim = model_attach(SHMRING_MPMC, 0, VICTIM);
	for (uint32_t i = 0; i < 2; i++)
		rings[i] = model_attach(SHMRING_MPMC, 1 + i, SHMRING_BOTH);
	if (VICTIM == SHMRING_CONSUMER)
		MODEL_ASSERT(!put(rings[1], OLD));
	model_join(model_start(dying));
	if (VICTIM == SHMRING_PRODUCER)
		MODEL_ASSERT(!put(rings[1], OLD));
#ifdef ADOPT
	MODEL_ASSERT(shmring__recover_line(rings[1], 0));
#endif
	__VERIFIER_thread_t one = model_start(first);
	__VERIFIER_thread_t other = model_start(second);
	model_join(one);
	model_join(other);

	for (uint32_t i = 0; i < 2; i++) /* who failed may succeed now */
		shmring__recover_line(rings[1], i);
	while (take(rings[1], arrived))
		;
	MODEL_ASSERT(arrived[OLD] + taken[0][OLD] + taken[1][OLD] == 1);
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(!put(rings[1], LOST));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(take(rings[1], arrived));
	return 0;
}
