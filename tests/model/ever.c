/* SPDX-License-Identifier: MIT
 * Description: MPMC, the last producer goes: is it known, and for how long?
 *
 * It died, and one recovers its line; another takes that line at once, as HEIR
 * says a consumer or a producer. With LEAVE, two producers leave in good order
 * at once. In the end attn tells that the last is gone, or, if the heir is a
 * producer, that none is missing.
 */
#define MODEL_THREADS 2
#define MODEL_LINES 2
#define MODEL_HANDLES 4
#include "crew.h"

#ifndef HEIR
#define HEIR SHMRING_CONSUMER
#endif

static struct shmring *late, *heir, *other;

static void *
recovering(void *unused)
{
	(void)unused;
#ifdef LEAVE
	shmring__detach(late);
#else
	shmring__recover_line(late, 0);
#endif
	return NULL;
}

static void *
arriving(void *unused)
{
	(void)unused;
#ifdef LEAVE
	shmring__detach(other);
#else
	/* Twice, if another was faster in one of the steps. */
	MODEL_ASSERT(!shmring__lock_line(heir, 0) ||
		     !shmring__lock_line(heir, 0));
	shmring__take_line(heir, 0, HEIR);
	shmring__arrive(heir);
#endif
	return NULL;
}

int
main(void)
{
#ifdef LEAVE
	late = model_attach(SHMRING_MPMC, 0, SHMRING_PRODUCER);
	other = model_attach(SHMRING_MPMC, 1, SHMRING_PRODUCER);
#else
	other = model_attach(SHMRING_MPMC, 1, SHMRING_CONSUMER);
	late = model_open(SHMRING_MPMC, 0, SHMRING_CONSUMER);
	late->self.pid = late->map.fd = 4;
	heir = model_open(SHMRING_MPMC, 2, HEIR);
	seek(late, 0, 0, SHMRING__HAD_PRODUCER);
	fall(late, SHMRING__NONE);
#endif

	__VERIFIER_thread_t one = model_start(recovering);
	__VERIFIER_thread_t two = model_start(arriving);
	model_join(one);
	model_join(two);

#ifndef LEAVE /* the next look of anybody */
	shmring__note_absent(other);
#endif
	MODEL_ASSERT(!(other->notice->attn & SHMRING__NO_PRODUCER) ==
		     (HEIR == SHMRING_PRODUCER));
	return 0;
}
