/* SPDX-License-Identifier: MIT
 * Description: MPMC, an orphan whose maker died before it told of it.
 *
 * A consumer died with a message in its hands. The first who recovers it dies,
 * too, when it is about to change attn for the TELLS-th time: 1, before it has
 * made the orphan; 3, behind it (each attend is one; 2 is on its way). With
 * CLEARED, attn has been cleared by who found none in between. Others recover
 * and pop: the message comes once, marked, and the line is free.
 */
#define VICTIM SHMRING_CONSUMER
#define MODEL_THREADS 3
#define MODEL_LINES 3
#define MODEL_HANDLES 4
#include "crew.h"

#ifndef TELLS
#define TELLS 2
#endif

enum { HELD };

static struct shmring *maker, *others[2];

static void *
making(void *unused)
{
	(void)unused;
	model_dies = MODEL_TELLING;
	model_tells = TELLS;
	shmring__recover_line(maker, 0);
	return NULL;
}

static void *
recovering(void *unused)
{
	(void)unused;
	shmring__recover_line(others[0], 0);
	return NULL;
}

static void *
popping(void *unused)
{
	(void)unused;
	if (take(others[1]))
		MODEL_ASSERT(shmring_redelivered(others[1]));
	return NULL;
}

int
main(void)
{
	for (uint32_t i = 0; i < 2; i++)
		others[i] = model_attach(SHMRING_MPMC, 1 + i, SHMRING_BOTH);
	maker = model_open(SHMRING_MPMC, 0, SHMRING_CONSUMER);
	maker->self.pid = maker->map.fd = 4;
	seek(maker, 1, 1, 0);
	seed(maker, 0, 1, HELD, 0, SHMRING__S_LIVE);
	fall(maker, 0);

#ifdef CLEARED
	model_join(model_start(making));
	maker->notice->attn &= ~(SHMRING__ORPHAN | SHMRING__DOUBT);
	__VERIFIER_thread_t first = model_start(recovering);
#else
	__VERIFIER_thread_t first = model_start(making);
#endif
	__VERIFIER_thread_t second = model_start(popping);
	model_join(first);
	model_join(second);

	/* Where all is done, the next look of anybody has to do. */
	if (shmring__state_of(maker->lines[0].status) != SHMRING__FREE)
		MODEL_ASSERT(shmring__recover_line(others[1], 0));
	if (!arrived[HELD])
		MODEL_ASSERT(take(others[1]) && shmring_redelivered(others[1]));
	judge(others[1], others[1]);
	return 0;
}
