/* SPDX-License-Identifier: MIT
 * Description: the model of the futex: one publishes, one sleeps until then.
 *
 * Clean as it is. Without the second look (TOY_NO_RECHECK), without the
 * waker's fence (TOY_NO_FENCE) or without the wake (TOY_NO_WAKE) the sleeper
 * may never wake.
 */
#define MODEL_FUTEXES 1
#include "model.h"

static uint32_t message;
static uint32_t waiters;

static void *
sender(void *unused)
{
	(void)unused;
	__atomic_store_n(&message, 1, __ATOMIC_RELEASE);
#ifndef TOY_NO_FENCE
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
	if (__atomic_load_n(&waiters, __ATOMIC_RELAXED)) {
		__atomic_store_n(&waiters, 0, __ATOMIC_RELAXED);
#ifndef TOY_NO_WAKE
		SHMRING_FUTEX_WAKE(&waiters, 1);
#endif
	}
	return NULL;
}

static uint32_t
arrived(void)
{
	return __atomic_load_n(&message, __ATOMIC_ACQUIRE);
}

static void *
sleeper(void *unused)
{
	(void)unused;
	if (arrived())
		return NULL;
	__atomic_store_n(&waiters, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#ifndef TOY_NO_RECHECK
	if (arrived())
		return NULL;
#endif
	if (SHMRING_FUTEX_WAIT(&waiters, 1, MODEL_LONG) == 0)
		MODEL_ASSERT(arrived());
	return NULL;
}

int
main(void)
{
	model_futex(0, &waiters);
	__VERIFIER_thread_t first = model_start(sender);
	__VERIFIER_thread_t second = model_start(sleeper);
	model_join(first);
	model_join(second);
	return 0;
}
