/* SPDX-License-Identifier: MIT
 * Description: one waits, and is interrupted (-ECANCELED, once, and nothing is
 * lost), or (PEER) a peer comes, or (GOES) goes; no news is slept through.
 *
 * PUSH: the message that it waits for comes meanwhile, too, and is there for who
 * was interrupted. The futex has no time-out: whom only its slice would save is
 * reported.
 */
#define MODEL_THREADS 2
#define MODEL_FUTEXES 3
#include "ring.h"

static struct shmring *reader, *writer;
#ifdef PUSH
static int taken;
#endif

#ifdef PEER
static void *
waiter(void *unused)
{
	(void)unused;
#ifdef GOES
	MODEL_ASSERT(!shmring_wait_gone(reader, SHMRING_PRODUCER, -1));
#else
	MODEL_ASSERT(!shmring_wait_peer(reader, SHMRING_PRODUCER, -1));
#endif
	return NULL;
}

static void *
other(void *unused)
{
	(void)unused;
#ifdef GOES
	shmring__detach(writer);
#else
	MODEL_ASSERT(!shmring__attach_spsc(writer, SHMRING_PRODUCER));
	shmring__arrive(writer);
#endif
	return NULL;
}

#else

static int64_t
wait(void)
{
	uint64_t message = 0;
	ssize_t got = shmring_pop_wait(reader, &message, sizeof(message), -1);

	return got < 0 ? got : (int64_t)message;
}

static void *
waiter(void *unused)
{
	int64_t got = wait();

	(void)unused;
#ifdef PUSH
	MODEL_ASSERT(got == 1 || got == -ECANCELED);
	taken = got == 1;
#else
	MODEL_ASSERT(got == -ECANCELED);
#endif
	return NULL;
}

static void *
other(void *unused)
{
	(void)unused;
#ifdef PUSH
	uint64_t message = 1;

	MODEL_ASSERT(!shmring_push(writer, &message, sizeof(message)));
#endif
	MODEL_ASSERT(!shmring_interrupt(reader));
	return NULL;
}
#endif

int
main(void)
{
	__VERIFIER_thread_t threads[2];

	reader = model_attach(SHMRING_SPSC, SHMRING__READ, SHMRING_CONSUMER);
#if defined(PEER) && !defined(GOES)
	writer = model_open(SHMRING_SPSC, SHMRING__WRITE, SHMRING_PRODUCER);
#else
	writer = model_attach(SHMRING_SPSC, SHMRING__WRITE, SHMRING_PRODUCER);
#endif
	reader->wait.spin_ns = 0; /* sleep at once */
	model_futex(0, &reader->notice->data);
	model_futex(1, &reader->notice->space);
	model_futex(2, &reader->notice->peers);
	threads[0] = model_start(waiter);
	threads[1] = model_start(other);
	model_join(threads[0]);
	model_join(threads[1]);
#ifdef PUSH
	uint64_t message = 0;
	ssize_t left = shmring_pop(reader, &message, sizeof(message));

	MODEL_ASSERT(left == (taken ? -EAGAIN : 8));
#endif
	return 0;
}
