/* SPDX-License-Identifier: MIT
 * Description: MPMC, a slot comes to be retained while another sweeps.
 *
 * Attn tells of some doubt already. A message goes in, a consumer (VICTIM)
 * claims it, is stopped, and doubted; or a producer claims the position and is.
 * Who looks through the slots meanwhile must see the owner, and leave it alone.
 */
#define MODEL_THREADS 2
#define MODEL_LINES 2
#define MODEL_HANDLES 3
#include "crew.h"

enum { HELD };

static struct shmring *owner, *doubter, *sweeper;

static void *
retaining(void *unused)
{
	struct shmring__claim claim = SHMRING__NO_CLAIM;

	(void)unused;
	owner->mpmc.tries = SHMRING__TRIES;
	if (SIDE == SHMRING__READ) {
		MODEL_ASSERT(put(doubter, HELD));
	}
	MODEL_ASSERT(shmring__mpmc_claim(owner, SIDE, 8, &claim) == 0);
	MODEL_ASSERT(
		shmring__doubt(doubter, 0, 1 + (SIDE == SHMRING__READ), 0));
	return NULL;
}

static void *
sweeping(void *unused)
{
	(void)unused;
	shmring__reclaim_slots(sweeper);
	return NULL;
}

int
main(void)
{
	owner = model_attach(SHMRING_MPMC, 0, VICTIM);
	doubter = model_attach(SHMRING_MPMC, 1, SHMRING_BOTH);
	sweeper = model_open(SHMRING_MPMC, 2, SHMRING_BOTH);
	seek(owner, 0, 0, SHMRING__DOUBT);

	__VERIFIER_thread_t one = model_start(retaining);
	__VERIFIER_thread_t two = model_start(sweeping);
	model_join(one);
	model_join(two);
	MODEL_ASSERT(shmring__state_kind(*shmring__state_word(owner, 0)) ==
		     (SIDE == SHMRING__READ ? SHMRING__S_READER
					    : SHMRING__S_WRITER));
	return 0;
}
