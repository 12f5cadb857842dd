/* SPDX-License-Identifier: MIT
 * Description: one waits at a descriptor, or (SEVERAL) for two rings at once,
 * SPSC or MPMC (MODE): no message is slept beside.
 *
 * FULL: it is room that is waited for. RING: which of the two has it. Neither
 * sleep has a time-out: whom only its slice would save is reported.
 */
#define MODEL_THREADS 2
#define MODEL_FUTEXES 4
#ifdef SEVERAL
#define MODEL_RINGS 2
#define MODEL_HANDLES 4
#endif
#include "ring.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
/* GenMC does not take structures within structures apart: a time is a number
 * (struct timespec time = ...; becomes struct model_none; int64_t time = ...;). */
struct model_timer {
	int64_t it_value;
};
#define memset(place, byte, size) model_clear(place, size)
/* clang-format off */
#define timespec model_none; int64_t
/* clang-format on */
#define itimerspec model_timer
#define shmring__timespec(until) (until)
#include <shmring_poll.h>
#undef memset
#undef timespec
#undef itimerspec

#ifndef MODE
#define MODE SHMRING_SPSC
#endif
#ifndef RING
#define RING 0
#endif

static struct shmring *waits[MODEL_RINGS], *other[MODEL_RINGS];

/* Take what is waited for. */
static int64_t
take(struct shmring *r)
{
	uint64_t message = 0;
#ifdef FULL
	return shmring_push(r, &message, sizeof(message));
#else
	ssize_t got = shmring_pop(r, &message, sizeof(message));

	return got < 0 ? got : 0;
#endif
}

static void
give(struct shmring *r)
{
	uint64_t message = 0;
#ifdef FULL
	MODEL_ASSERT(shmring_pop(r, &message, sizeof(message)) == 8);
#else
	MODEL_ASSERT(!shmring_push(r, &message, sizeof(message)));
#endif
}

#ifdef FULL
#define ROLE SHMRING_PRODUCER
#define OTHER SHMRING_CONSUMER
#else
#define ROLE SHMRING_CONSUMER
#define OTHER SHMRING_PRODUCER
#endif
#define SIDE (ROLE == SHMRING_CONSUMER ? SHMRING__READ : SHMRING__WRITE)

#ifdef SEVERAL
static void *
waiter(void *unused)
{
	struct shmring_item items[2];

	(void)unused;
	for (int i = 0; i < 2; i++) {
		items[i].ring = waits[i];
		items[i].role = ROLE;
	}
	MODEL_ASSERT(shmring_wait_several(items, 2, -1) == 1);
	MODEL_ASSERT(items[RING].ready && !items[!RING].ready);
	MODEL_ASSERT(take(waits[RING]) == 0);
	return NULL;
}
#else
static struct shmring_poll polled;

/* As the contract has it: take all, arm, sleep. */
static void *
waiter(void *unused)
{
	int64_t got;

	(void)unused;
	while ((got = take(waits[0])) != 0) {
		MODEL_ASSERT(got == -EAGAIN);
		if (!shmring_poll_arm(&polled))
			model_poll();
	}
	return NULL;
}
#endif

static void *
giver(void *unused)
{
	(void)unused;
	give(other[RING]);
	return NULL;
}

int
main(void)
{
	__VERIFIER_thread_t threads[2];

	for (uint32_t i = 0; i < MODEL_RINGS; i++) {
		waits[i] = model_attach(MODE, 2 * i, ROLE);
		other[i] = model_attach(MODE, 2 * i + 1, OTHER);
		waits[i]->wait.spin_ns = 0; /* sleep at once */
		model_futex(2 * i, &waits[i]->notice->data);
		model_futex(2 * i + 1, &waits[i]->notice->space);
#ifdef FULL
		while (take(waits[i]) == 0)
			;
#endif
	}
#ifndef SEVERAL /* what shmring_poll_open does with the kernel's help */
	polled.epoll = 1;
	polled.first = &polled.own;
	polled.count = 1;
	polled.own.ring = waits[0];
	polled.own.waiter.ring = waits[0];
	polled.own.waiter.side = SIDE;
	polled.own.waiter.bits = SHMRING__POLLS;
	polled.own.waiter.word = SIDE == SHMRING__READ
					 ? &waits[0]->notice->data
					 : &waits[0]->notice->space;
#endif
	threads[0] = model_start(waiter);
	threads[1] = model_start(giver);
	model_join(threads[0]);
	model_join(threads[1]);
	return 0;
}
