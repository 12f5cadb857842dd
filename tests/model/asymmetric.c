/* SPDX-License-Identifier: MIT
 * Description: the model of membarrier: Dekker, LIGHT against HEAVY.
 *
 * Clean as it is. MODEL_NO_LIGHT or MODEL_NO_HEAVY: both threads may miss
 * each other. TOY_LIGHT_ONLY: LIGHT on both sides must not be enough, or the
 * model would promise what membarrier does not.
 */
#include "model.h"

static uint32_t flag[2];
static uint32_t missed[2];

static void *
owner(void *unused)
{
	(void)unused;
	__atomic_store_n(&flag[0], 1, __ATOMIC_RELEASE);
	SHMRING_LIGHT(NULL);
	missed[0] = !__atomic_load_n(&flag[1], __ATOMIC_RELAXED);
	return NULL;
}

static void *
doubter(void *unused)
{
	(void)unused;
	__atomic_store_n(&flag[1], 1, __ATOMIC_RELEASE);
#ifdef TOY_LIGHT_ONLY
	SHMRING_LIGHT(NULL);
#else
	SHMRING_HEAVY(NULL);
#endif
	missed[1] = !__atomic_load_n(&flag[0], __ATOMIC_RELAXED);
	return NULL;
}

int
main(void)
{
	__VERIFIER_thread_t first = model_start(owner);
	__VERIFIER_thread_t second = model_start(doubter);
	model_join(first);
	model_join(second);
	MODEL_ASSERT(!(missed[0] && missed[1]));
	return 0;
}
