/* SPDX-License-Identifier: MIT
 * Description: MPMC, a dead one's line is taken, and the position it showed.
 *
 * A participant (VICTIM) died between showing position 0 and claiming it. One
 * recovers its line and may be stopped anywhere; meanwhile another frees the
 * line, a new owner comes in it and claims that very position. It keeps it
 * while others use the ring: nothing of it is touched, given to others or lost.
 */
#define MODEL_THREADS 2
#define MODEL_LINES 2
#define MODEL_HANDLES 4
#include "crew.h"

enum { HELD, OTHER };

static struct shmring *late, *heir, *other;
static uint64_t *place;

static void *
recovering(void *unused)
{
	(void)unused;
	shmring__recover_line(late, 0);
	return NULL;
}

static void *
inheriting(void *unused)
{
	size_t size;

	(void)unused;
	/* Twice, if another was faster in one of the steps. */
	MODEL_ASSERT(!shmring__lock_line(heir, 0) ||
		     !shmring__lock_line(heir, 0));
	shmring__take_line(heir, 0, VICTIM);
	if (VICTIM == SHMRING_PRODUCER)
		place = shmring_reserve(heir, sizeof(*place));
	else
		place = (uint64_t *)shmring_peek(heir, &size);
	MODEL_ASSERT(place != NULL);
	if (VICTIM == SHMRING_PRODUCER)
		*place = HELD;
#ifdef MEANWHILE
	if (VICTIM == SHMRING_PRODUCER)
		pushed[HELD] += !shmring_commit(heir, sizeof(*place));
	else
		arrived[HELD] += !shmring_release(heir);
#endif
	return NULL;
}

int
main(void)
{
	other = model_attach(SHMRING_MPMC, 1, SHMRING_BOTH);
	late = model_open(SHMRING_MPMC, 0, SHMRING_BOTH);
	late->self.pid = late->map.fd = 4;
	heir = model_open(SHMRING_MPMC, 2, VICTIM);
	if (VICTIM == SHMRING_CONSUMER) {
		seek(late, 0, 1, 0);
		seed(late, 0, 1, HELD, 0, SHMRING__S_LIVE);
	}
	fall(late, 0);

	__VERIFIER_thread_t one = model_start(recovering);
	__VERIFIER_thread_t two = model_start(inheriting);
	model_join(one);
	model_join(two);

#ifndef MEANWHILE
	for (int i = 0; i < 2; i++) {
		put(other, OTHER);
		take(other);
	}
	MODEL_ASSERT(arrived[HELD] == 0);
	MODEL_ASSERT(*place == HELD);
	if (VICTIM == SHMRING_PRODUCER)
		pushed[HELD] += !shmring_commit(heir, sizeof(*place));
	else
		arrived[HELD] += !shmring_release(heir);
	MODEL_ASSERT(VICTIM == SHMRING_CONSUMER || pushed[HELD]);
#endif
#ifdef REACH /* a control: the heir's claim may come into doubt */
	MODEL_ASSERT(!(other->notice->attn & SHMRING__DOUBT));
#endif
	judge(other, other);
	return 0;
}
