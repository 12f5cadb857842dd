/* SPDX-License-Identifier: MIT */
/*
 * posix_shm_mutex.h - POSIX shared memory with a robust process-shared mutex
 * and condition variables.
 *
 * A mutex guards the buffer; who finds it full or empty sleeps on a condition
 * variable until another signals it. Any number of senders and receivers, up
 * to ADAPTER_MEMBERS - 2 (62) processes, can share the buffer.
 *
 * Use it where several processes work on shared data under one lock; what is
 * guarded may be anything, not just this buffer. Not where latency counts:
 * every message takes the lock twice, and each holds up all others.
 *
 * A process that is killed while it holds a robust mutex does not lock the
 * others out: the next gets EOWNERDEAD, puts the data in order and says so
 * with pthread_mutex_consistent. Here nothing can be out of order, since a
 * message is put or taken by the one store that comes last.
 *
 * Condition variables know no such rescue. A waiter that is killed stays
 * registered, and a later signal may wait for it for ever (glibc before 2.41).
 * So each process has its own, on which only it sleeps, and it is signalled at
 * most once a sleep: the dead get one signal, which is safe. What remains is a
 * sender or receiver killed inside pthread_cond_signal itself, some ten
 * instructions in which the one that it was waking may be stuck.
 *
 * They wait by CLOCK_MONOTONIC; the default is the wall clock, which can be
 * set. A killed peer is noticed while waiting, within 100 ms.
 *
 * System calls, in order:
 *
 *	create	shm_open, fchmod, posix_fallocate, mmap, pthread_mutex_init,
 *		pthread_cond_init; without a name memfd_create
 *	attach	shm_open, fstat, mmap
 *	send	pthread_mutex_lock, pthread_cond_signal, pthread_mutex_unlock:
 *		no system call unless somebody sleeps
 *	receive	pthread_mutex_lock, pthread_cond_signal, pthread_mutex_unlock
 *	wait	pthread_cond_timedwait (a futex), 100 ms at a time; in between:
 *		is the peer alive? (syscall: pidfd_open, poll)
 *	woken	by pthread_cond_signal
 *	close	munmap, close, shm_unlink
 */
#ifndef ADAPTER_POSIX_SHM_MUTEX_H
#define ADAPTER_POSIX_SHM_MUTEX_H

#include "common/shared_buffer.h"

#include <pthread.h>

_Static_assert(ADAPTER_MEMBERS <= 64, "a bit of asleep for each member");

struct adapter_posix_shm_mutex { /* in shared memory; the buffer follows */
	struct adapter_shared head;
	pthread_mutex_t mutex;
	uint64_t asleep[2]; /* senders, receivers: a bit for each member */
	pthread_cond_t wake[ADAPTER_MEMBERS];
} __attribute__((aligned(64)));

static inline struct adapter_posix_shm_mutex *
adapter_posix_shm_mutex(struct adapter *a)
{
	return (struct adapter_posix_shm_mutex *)((struct adapter_shm *)a)
		->segment.shared;
}

static inline int
adapter_posix_shm_mutex_init(struct adapter *a)
{
	pthread_mutexattr_t attributes;
	int error = pthread_mutexattr_init(&attributes);

	if (error)
		return -error;
	error = pthread_mutexattr_setpshared(&attributes,
					     PTHREAD_PROCESS_SHARED);
	if (!error)
		error = pthread_mutexattr_setrobust(&attributes,
						    PTHREAD_MUTEX_ROBUST);
	if (!error)
		error = pthread_mutex_init(&adapter_posix_shm_mutex(a)->mutex,
					   &attributes);
	pthread_mutexattr_destroy(&attributes);
	return -error;
}

/** With the result of locking: rescue what a dead owner left. */
static inline int
adapter_posix_shm_mutex_owned(struct adapter *a, int error)
{
	if (error == EOWNERDEAD)
		error = pthread_mutex_consistent(
			&adapter_posix_shm_mutex(a)->mutex);
	return -error;
}

static inline int
adapter_posix_shm_mutex_lock(struct adapter *a)
{
	return adapter_posix_shm_mutex_owned(
		a, pthread_mutex_lock(&adapter_posix_shm_mutex(a)->mutex));
}

static inline void
adapter_posix_shm_mutex_unlock(struct adapter *a)
{
	pthread_mutex_unlock(&adapter_posix_shm_mutex(a)->mutex);
}

/** Signed in: a fresh condition variable, as the line may be a dead's. */
static inline int
adapter_posix_shm_mutex_joined(struct adapter *a)
{
	struct adapter_posix_shm_mutex *s = adapter_posix_shm_mutex(a);
	int member = ((struct adapter_shm *)a)->segment.member;
	pthread_condattr_t attributes;
	int error = adapter_posix_shm_mutex_lock(a);

	if (error)
		return error;
	s->asleep[0] &= ~(UINT64_C(1) << member);
	s->asleep[1] &= ~(UINT64_C(1) << member);
	error = pthread_condattr_init(&attributes);
	if (!error) {
		error = pthread_condattr_setpshared(&attributes,
						    PTHREAD_PROCESS_SHARED);
		if (!error)
			error = pthread_condattr_setclock(&attributes,
							  CLOCK_MONOTONIC);
		if (!error)
			error = pthread_cond_init(&s->wake[member],
						  &attributes);
		pthread_condattr_destroy(&attributes);
	}
	adapter_posix_shm_mutex_unlock(a);
	return -error;
}

static const struct adapter_layout adapter_posix_shm_mutex_layout = {
	.message = ADAPTER_BUFFER_MESSAGE,
	.depth = ADAPTER_BUFFER_DEPTH,
	.offset = sizeof(struct adapter_posix_shm_mutex),
	.size = adapter_shm_buffer_size,
	.init = adapter_posix_shm_mutex_init,
	.after = adapter_posix_shm_mutex_joined,
};

static inline int
adapter_posix_shm_mutex_create(struct adapter *a,
			       const struct adapter_config *config)
{
	return adapter_shm_create(a, config, &adapter_posix_shm_mutex_layout);
}

static inline int
adapter_posix_shm_mutex_attach(struct adapter *a,
			       const struct adapter_config *config,
			       int64_t timeout_ns)
{
	return adapter_shm_attach(a, config, timeout_ns,
				  &adapter_posix_shm_mutex_layout);
}

/** With the lock held, sleep a slice at most; an error: without the lock. */
static inline int
adapter_posix_shm_mutex_sleep(struct adapter *a, struct adapter_wait *w)
{
	struct adapter_posix_shm_mutex *s = adapter_posix_shm_mutex(a);
	struct adapter_segment *segment = &((struct adapter_shm *)a)->segment;
	uint64_t *asleep = &s->asleep[a->roles - 1];
	uint64_t me = UINT64_C(1) << segment->member;
	struct timespec until;
	int error = adapter_members_slice(a, segment,
					  adapter_opposite(a->roles), w);

	if (error) {
		adapter_posix_shm_mutex_unlock(a);
		return error;
	}
	until = adapter_timespec(adapter_now() + w->slice);
	*asleep |= me;
	error = ADAPTER_SYS(a, pthread_cond_timedwait(&s->wake[segment->member],
						      &s->mutex, &until));
	*asleep &= ~me;
	return error == ETIMEDOUT ? 0 : adapter_posix_shm_mutex_owned(a, error);
}

/** With the lock held, wake one that sleeps in this role; then unlock. */
static inline void
adapter_posix_shm_mutex_wake(struct adapter *a, unsigned role)
{
	struct adapter_posix_shm_mutex *s = adapter_posix_shm_mutex(a);
	uint64_t asleep = s->asleep[role - 1];

	if (asleep) {
		s->asleep[role - 1] = asleep & (asleep - 1);
		ADAPTER_SYS(a, pthread_cond_signal(
				       &s->wake[__builtin_ctzll(asleep)]));
	}
	adapter_posix_shm_mutex_unlock(a);
}

static inline int
adapter_posix_shm_mutex_send(struct adapter *a, const struct adapter_msg *msg,
			     int64_t timeout_ns)
{
	struct adapter_buffer *b = ((struct adapter_shm *)a)->buffer;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	struct adapter_slot *slot;
	int error = adapter_check_send(a, msg);

	if (!error)
		error = adapter_posix_shm_mutex_lock(a);
	while (!error && !(slot = adapter_buffer_free(a, b)))
		error = adapter_posix_shm_mutex_sleep(a, &w);
	if (error)
		return error;
	adapter_slot_write(slot, msg);
	adapter_buffer_put(b);
	adapter_posix_shm_mutex_wake(a, ADAPTER_RECEIVER);
	return 0;
}

static inline int
adapter_posix_shm_mutex_recv(struct adapter *a, struct adapter_msg *msg,
			     int64_t timeout_ns)
{
	struct adapter_buffer *b = ((struct adapter_shm *)a)->buffer;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	struct adapter_slot *slot;
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_posix_shm_mutex_lock(a);
	while (!error && !(slot = adapter_buffer_first(a, b)))
		error = adapter_posix_shm_mutex_sleep(a, &w);
	if (error)
		return error;
	error = adapter_slot_read(a, slot, msg);
	if (!error)
		adapter_buffer_take(b);
	adapter_posix_shm_mutex_wake(a, ADAPTER_SENDER);
	return error;
}

static const struct adapter_ops adapter_posix_shm_mutex_ops = {
	.name = "posix_shm_mutex",
	.summary = "POSIX shared memory, robust mutex, condition variables",
	.caps = ADAPTER_NAMED | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS |
		ADAPTER_PERSISTENT | ADAPTER_TAGS,
	.size = sizeof(struct adapter_shm),
	.create = adapter_posix_shm_mutex_create,
	.attach = adapter_posix_shm_mutex_attach,
	.after_fork = adapter_shm_after_fork,
	.send = adapter_posix_shm_mutex_send,
	.recv = adapter_posix_shm_mutex_recv,
	.limits = adapter_buffer_limits,
	.close = adapter_shm_close,
	.unlink = adapter_segment_unlink,
	.flush = adapter_shm_flush,
};

#endif
