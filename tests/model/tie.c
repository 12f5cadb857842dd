/* SPDX-License-Identifier: MIT
 * Description: MPMC, a dead one and a living one show the same position.
 *
 * One of them has claimed it, the other (a producer as well, or VICTIM says
 * consumer) lost the race: the dead one, or with LOSER the living one. The
 * dead one's line is freed at once; the slot is retained until the living one
 * moves on, which it does meanwhile, and some sweep finds out. With SWEEPS=2 the
 * line is free already and two sweep (unfinished after 5 minutes otherwise).
 */
#ifndef SWEEPS
#define SWEEPS 1
#endif
#define MODEL_THREADS (1 + SWEEPS)
#define MODEL_LINES 3
#define MODEL_HANDLES 4
#include "crew.h"

enum { HELD, LATER };

static struct shmring *living, *others[2];
static int unfinished;

static void *
moving_on(void *unused)
{
	(void)unused;
#ifdef LOSER
	if (SIDE == SHMRING__WRITE)
		put(living, LATER);
	else
		take(living); /* empty, unless it is an orphan already */
#else
	struct shmring__claim *claim = &living->held[SIDE];

	if (SIDE == SHMRING__READ) {
		shmring_release(living);
		arrived[HELD]++;
	} else if (model_commit(living, claim)) {
		shmring__hand_back(living, 0);
		unfinished = 1;
	} else {
		pushed[HELD]++;
	}
#endif
	return NULL;
}

static void *
first(void *unused)
{
	(void)unused;
#if SWEEPS == 1
	shmring__recover_line(others[0], 0);
#endif
	MODEL_ASSERT(shmring__state_of(others[0]->lines[0].status) ==
		     SHMRING__FREE);
	shmring__reclaim_slots(others[0]);
	return NULL;
}

#if SWEEPS > 1
static void *
second(void *unused)
{
	(void)unused;
	shmring__reclaim_slots(others[1]);
	return NULL;
}
#endif

int
main(void)
{
	__VERIFIER_thread_t threads[MODEL_THREADS];

	others[0] = model_attach(SHMRING_MPMC, 1, SHMRING_BOTH);
	living = model_attach(SHMRING_MPMC, 2, VICTIM);
	others[1] = model_open(SHMRING_MPMC, 3, SHMRING_BOTH);
	living->line[SIDE]->intent[SIDE] = 0;
#ifndef LOSER
	model_hold(living, SIDE, 0);
#endif
	if (VICTIM == SHMRING_CONSUMER) {
		seek(living, 1, 1, 0);
		seed(living, 0, 1, HELD, 0, SHMRING__S_LIVE);
	} else {
		seek(living, 0, 1, 0);
	}
#if SWEEPS == 1
	fall(living, 0);
#else /* recovered already: S tells the rest */
	seek(living, *living->head, 1, SHMRING__DOUBT);
	*shmring__state_word(living, 0) =
		SIDE == SHMRING__WRITE
			? shmring__make_state(2, SHMRING__S_WRITER)
			: shmring__make_state(4, SHMRING__S_READER);
#endif

	threads[0] = model_start(moving_on);
	threads[1] = model_start(first);
#if SWEEPS > 1
	threads[2] = model_start(second);
#endif
	for (int i = 0; i < MODEL_THREADS; i++)
		model_join(threads[i]);

#ifdef REACH /* a control: the slot is retained for it */
	MODEL_ASSERT(!unfinished);
#endif
	if (unfinished)
		MODEL_ASSERT(put(others[0], HELD));
	/* At most one more sweep, by whoever comes. */
	shmring__reclaim_slots(others[0]);
	MODEL_ASSERT(shmring__state_kind(*shmring__state_word(living, 0)) !=
			     SHMRING__S_WRITER &&
		     shmring__state_kind(*shmring__state_word(living, 0)) !=
			     SHMRING__S_READER);
	judge(others[0], others[0]);
	return 0;
}
