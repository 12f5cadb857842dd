/* SPDX-License-Identifier: MIT
 * Description: MPMC, a producer or consumer (VICTIM) dies at DIE, others go on.
 *
 * The consumer, and with RECOVERERS=2 the other producer too, recovers it at
 * any time. Afterwards nothing that was published is lost but what the dead had
 * released, nothing is there twice, and the ring has all its slots.
 */
#define MODEL_THREADS 3
#include "ring.h"

#ifndef VICTIM
#define VICTIM SHMRING_PRODUCER
#endif
#ifndef DIE
#define DIE MODEL_CLAIMED
#endif
#ifndef RECOVERERS
#define RECOVERERS 1
#endif

enum { OLD, DEAD, OTHER, MESSAGES }; /* in the ring before; pushed by whom */

static struct shmring *victim, *pusher, *popper;
static uint64_t arrived[MESSAGES];
static int pushed;

static void *
dying(void *unused)
{
	uint64_t message = DEAD;

	(void)unused;
	model_dies = DIE;
	if (VICTIM == SHMRING_PRODUCER)
		shmring_push(victim, &message, sizeof(message));
	else
		shmring_pop(victim, &message, sizeof(message));
	return NULL;
}

static void *
pushing(void *unused)
{
	uint64_t message = OTHER;

	(void)unused;
	if (RECOVERERS > 1)
		shmring__recover_line(pusher, 0);
	pushed = shmring_push(pusher, &message, sizeof(message)) == 0;
	return NULL;
}

static void
take(void)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(popper, &message, sizeof(message));

	if (size == -EAGAIN)
		return;
	MODEL_ASSERT(size == sizeof(message) && message < MESSAGES);
	arrived[message]++;
	if (shmring_redelivered(popper))
		MODEL_ASSERT(VICTIM == SHMRING_CONSUMER &&
			     DIE == MODEL_CLAIMED);
}

static void *
popping(void *unused)
{
	(void)unused;
	shmring__recover_line(popper, 0);
	take();
	return NULL;
}

int
main(void)
{
	uint64_t message = OLD;

	victim = model_attach(SHMRING_MPMC, 0, VICTIM);
	pusher = model_attach(SHMRING_MPMC, 1, SHMRING_PRODUCER);
	popper = model_attach(SHMRING_MPMC, 2, SHMRING_CONSUMER);
	if (VICTIM == SHMRING_CONSUMER)
		shmring_push(pusher, &message, sizeof(message));
	__VERIFIER_thread_t first = model_start(dying);
	__VERIFIER_thread_t second = model_start(pushing);
	__VERIFIER_thread_t third = model_start(popping);
	model_join(first);
	model_join(second);
	model_join(third);

	shmring__recover_line(popper, 0);
	MODEL_ASSERT(!model_dead[1] ||
		     shmring__state_of(popper->lines[0].status) ==
			     SHMRING__FREE);
	for (int i = 0; i < 2 * SLOTS; i++)
		take();
	/* A consumer that has released a message may take it to the grave. */
	int lost = VICTIM == SHMRING_CONSUMER && DIE == MODEL_FINISHED &&
		   model_dead[1];
	MODEL_ASSERT(arrived[OLD] <= 1 && arrived[OTHER] <= 1);
	MODEL_ASSERT(arrived[OLD] + arrived[OTHER] + lost ==
		     (VICTIM == SHMRING_CONSUMER) + (uint64_t)pushed);
	MODEL_ASSERT(arrived[DEAD] ==
		     (VICTIM == SHMRING_PRODUCER && DIE == MODEL_FINISHED));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(!shmring_push(pusher, &message, sizeof(message)));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(shmring_pop(popper, &message, sizeof(message)) >=
			     0);
	return 0;
}
