/* SPDX-License-Identifier: MIT
 * Description: MPMC, a line is used again while somebody still recovers it.
 *
 * A participant (VICTIM) died at DIE. One recovers its line and may be stopped
 * in it anywhere; meanwhile another recovers it as well, takes the line over
 * and uses the ring. What the first one still does must not touch what the new
 * owner of the line holds.
 */
#define MODEL_THREADS 3
#define MODEL_LINES 2
#include "crew.h"

#ifndef DIE
#define DIE MODEL_UNCLAIMED
#endif

enum { OLD, LOST, NEW };

static struct shmring *victim, *recoverer, *successor;

static void *
dying(void *unused)
{
	(void)unused;
	model_dies = DIE;
	if (VICTIM == SHMRING_PRODUCER)
		put(victim, LOST);
	else
		take(victim);
	return NULL;
}

static void *
recovering(void *unused)
{
	(void)unused;
	shmring__recover_line(recoverer, 0);
	return NULL;
}

static int
succeed(void)
{
	int error = shmring__lock_line(successor, 0);

	MODEL_ASSERT(!error || error == -EBUSY);
	if (!error) {
		shmring__take_line(successor, 0, VICTIM);
		shmring__arrive(successor);
	}
	return !error;
}

static void *
following(void *unused)
{
	(void)unused;
	if (succeed()) {
#ifdef REACH /* a control: it can be taken over in time */
		MODEL_ASSERT(0);
#endif
		if (VICTIM == SHMRING_PRODUCER)
			put(successor, NEW);
		else
			take(successor);
	}
	return NULL;
}

int
main(void)
{
	victim = model_attach(SHMRING_MPMC, 0, VICTIM);
	recoverer = model_attach(SHMRING_MPMC, 1, SHMRING_BOTH);
	successor = model_open(SHMRING_MPMC, 2, VICTIM);
	if (VICTIM == SHMRING_CONSUMER)
		put(recoverer, OLD);
	model_join(model_start(dying));
	__VERIFIER_thread_t second = model_start(recovering);
	__VERIFIER_thread_t third = model_start(following);
	model_join(second);
	model_join(third);
	if (!successor->line[SIDE])
		MODEL_ASSERT(succeed());
	MODEL_ASSERT(shmring__state_of(successor->lines[0].status) ==
		     SHMRING__LIVE);

	for (int i = 0; i <= SLOTS; i++)
		take(recoverer);
	for (int i = 0; i < CREW_MESSAGES; i++)
		MODEL_ASSERT(arrived[i] == pushed[i]);
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(put(recoverer, NEW));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(take(recoverer));
	return 0;
}
