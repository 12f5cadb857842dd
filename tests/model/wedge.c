/* SPDX-License-Identifier: MIT
 * Description: MPMC, who doubted a stopped owner died before it told anybody.
 *
 * A producer or consumer (VICTIM) holds position 0. Somebody who was blocked
 * has set S to VOIDING, and died at the next step: attn does not tell of it.
 * Two more whom the position blocks come by; with COMES one, and its owner
 * (all three: unfinished after 3 minutes). The position is decided by whoever
 * comes, each message arrives once.
 */
#define MODEL_THREADS 2
#define MODEL_LINES 3
#define MODEL_HANDLES 3
#include "crew.h"

enum { HELD, NEXT };

static struct shmring *owner, *blocked[2];
static int unfinished;

static void
look(struct shmring *r)
{
	uint64_t p = SIDE == SHMRING__WRITE ? 0 : SLOTS;
	uint64_t want = SIDE == SHMRING__WRITE ? 1 : 2;
	uint64_t *cursor = SIDE == SHMRING__WRITE ? r->head : r->tail;

	shmring__doubt(r, p, want, 0);
	model_care(r, cursor, p, want);
}

static void *
first(void *unused)
{
	(void)unused;
	look(blocked[0]);
	return NULL;
}

#ifndef COMES
static void *
second(void *unused)
{
	(void)unused;
	look(blocked[1]);
	return NULL;
}
#else
static void *
second(void *unused)
{
	struct shmring__claim *claim = &owner->held[SIDE];

	(void)unused;
	if (SIDE == SHMRING__READ) {
		shmring_release(owner);
		arrived[HELD]++;
	} else if (model_commit(owner, claim)) {
		shmring__hand_back(owner, 0);
		unfinished = 1;
	} else {
		pushed[HELD]++;
	}
	return NULL;
}
#endif

/* Claimed, with the next behind it, and in doubt already. */
static void
prepare(void)
{
	for (uint32_t i = 0; i < 2; i++)
		blocked[i] = model_attach(SHMRING_MPMC, 1 + i, SHMRING_BOTH);
	owner = model_attach(SHMRING_MPMC, 0, VICTIM);
	model_hold(owner, SIDE, 0);
	owner->line[SIDE]->intent[SIDE] = 0;
	if (SIDE == SHMRING__WRITE) {
		seek(owner, 0, 2, 0);
		seed(owner, 0, 0, HELD, 1, SHMRING__S_VOIDING);
		seed(owner, 1, 1, NEXT, 0, SHMRING__S_LIVE);
	} else {
		seek(owner, 2, 2, 0);
		seed(owner, 0, 1, HELD, 2, SHMRING__S_VOIDING);
		seed(owner, 1, 2, NEXT, 0, SHMRING__S_LIVE);
	}
}

int
main(void)
{
	__VERIFIER_thread_t threads[MODEL_THREADS];

	prepare();
	threads[0] = model_start(first);
	threads[1] = model_start(second);
	for (int i = 0; i < MODEL_THREADS; i++)
		model_join(threads[i]);

#ifndef COMES
	/* Nobody waits for the owner any more. */
	if (VICTIM == SHMRING_PRODUCER)
		MODEL_ASSERT(take(blocked[0]) && arrived[NEXT]);
	else
		MODEL_ASSERT(put(blocked[0], NEXT) && take(blocked[0]));
	if (VICTIM == SHMRING_PRODUCER)
		unfinished = model_commit(owner, &owner->held[SIDE]);
	else
		arrived[HELD] += !shmring_release(owner);
	MODEL_ASSERT(VICTIM == SHMRING_CONSUMER || unfinished);
	if (unfinished)
		shmring__hand_back(owner, 0);
#endif
	if (unfinished)
		MODEL_ASSERT(put(blocked[0], HELD));
	judge(blocked[0], blocked[0]);
	return 0;
}
