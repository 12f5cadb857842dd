/* SPDX-License-Identifier: MIT */
/*
 * posix_shm_sem.h - POSIX shared memory with two process-shared semaphores.
 *
 * The bounded buffer of the textbook: `items` counts the messages, `room` the
 * free slots. A sender waits for room, fills the slot, posts items; a receiver
 * does the opposite. A semaphore is one word in the shared memory: waiting and
 * posting make a system call only when somebody sleeps. Messages can be filled
 * and read in place.
 *
 * Use it between one sender and one receiver for large messages, or where the
 * semaphore is wanted that every POSIX system has. Not for several of them: the
 * mutual exclusion that they need must survive a killed holder, and a semaphore
 * does not know who holds it; take posix_shm_mutex.h or sysv_shm.h.
 *
 * For the same reason a count is wrong for ever once a process is killed
 * between the buffer and the semaphore. So the semaphores only wake, and the
 * counts of the buffer decide: a post that is missing costs a look up after
 * 100 ms, one too many a look in vain, and either mends the count.
 *
 * A killed peer is noticed while waiting, within 100 ms; a message is sent
 * whole or not at all, and received twice at most by a killed receiver's
 * successor. sem_timedwait would wait by the wall clock, which can be set;
 * sem_clockwait (glibc 2.30) takes CLOCK_MONOTONIC.
 *
 * System calls, in order:
 *
 *	create	shm_open, fchmod, posix_fallocate, mmap, sem_init; without a
 *		name memfd_create
 *	attach	shm_open, fstat, mmap
 *	send	sem_trywait, sem_post: no system call unless somebody sleeps
 *	receive	sem_trywait, sem_post: the same
 *	wait	sem_clockwait (a futex), 100 ms at a time; in between: is the
 *		peer alive? (syscall: pidfd_open, poll)
 *	woken	by the other side's sem_post
 *	close	munmap, close, shm_unlink
 */
#ifndef ADAPTER_POSIX_SHM_SEM_H
#define ADAPTER_POSIX_SHM_SEM_H

#include "common/shared_buffer.h"

#include <semaphore.h>

struct adapter_posix_shm_sem { /* in shared memory; the buffer follows */
	struct adapter_shared head;
	sem_t items, room;
} __attribute__((aligned(64)));

static const struct adapter_ops adapter_posix_shm_sem_ops;

static inline struct adapter_posix_shm_sem *
adapter_posix_shm_sem(struct adapter *a)
{
	return (struct adapter_posix_shm_sem *)((struct adapter_shm *)a)
		->segment.shared;
}

static inline int
adapter_posix_shm_sem_init(struct adapter *a)
{
	struct adapter_posix_shm_sem *s = adapter_posix_shm_sem(a);

	if (sem_init(&s->items, 1, 0) ||
	    sem_init(&s->room, 1, (unsigned)a->limits.depth.value))
		return -errno;
	return 0;
}

static const struct adapter_layout adapter_posix_shm_sem_layout = {
	.message = ADAPTER_BUFFER_MESSAGE,
	.depth = ADAPTER_BUFFER_DEPTH,
	.offset = sizeof(struct adapter_posix_shm_sem),
	.size = adapter_shm_buffer_size,
	.init = adapter_posix_shm_sem_init,
};

static inline int
adapter_posix_shm_sem_create(struct adapter *a,
			     const struct adapter_config *config)
{
	return adapter_shm_create(a, config, &adapter_posix_shm_sem_layout);
}

static inline int
adapter_posix_shm_sem_attach(struct adapter *a,
			     const struct adapter_config *config,
			     int64_t timeout_ns)
{
	return adapter_shm_attach(a, config, timeout_ns,
				  &adapter_posix_shm_sem_layout);
}

/** The slot to fill (by the sender) or to read (by the receiver). */
static inline struct adapter_slot *
adapter_posix_shm_sem_slot(struct adapter *a)
{
	struct adapter_buffer *b = ((struct adapter_shm *)a)->buffer;

	return a->roles == ADAPTER_SENDER ? adapter_buffer_free(a, b)
					  : adapter_buffer_first(a, b);
}

/** Wait for a slot, asleep on sem for a slice at a time. */
static inline int
adapter_posix_shm_sem_wait(struct adapter *a, sem_t *sem,
			   struct adapter_slot **slot, int64_t timeout_ns)
{
	struct adapter_segment *segment = &((struct adapter_shm *)a)->segment;
	struct adapter_wait w;
	struct timespec until;
	int error = 0;

	sem_trywait(sem); /* keeps the count right while nobody waits */
	*slot = adapter_posix_shm_sem_slot(a);
	if (*slot)
		return 0;
	w = adapter_wait_for(timeout_ns);
	while (!error && !*slot) {
		error = adapter_members_slice(a, segment,
					      adapter_opposite(a->roles), &w);
		until = adapter_timespec(adapter_now() + w.slice);
		if (!error && w.slice)
			ADAPTER_SYS(
				a, sem_clockwait(sem, CLOCK_MONOTONIC, &until));
		if (!error)
			*slot = adapter_posix_shm_sem_slot(a);
	}
	return error;
}

static inline int
adapter_posix_shm_sem_reserve(struct adapter *a, struct adapter_msg *msg,
			      int64_t timeout_ns)
{
	struct adapter_slot *slot;
	int error = adapter_check_send(a, msg);

	if (!error)
		error = adapter_posix_shm_sem_wait(
			a, &adapter_posix_shm_sem(a)->room, &slot, timeout_ns);
	if (!error)
		msg->data = slot->data;
	return error;
}

/** After the message has got through: wake who waits for it. */
static inline int
adapter_posix_shm_sem_post(int error, sem_t *sem)
{
	return !error && sem_post(sem) ? -errno : error;
}

static inline int
adapter_posix_shm_sem_commit(struct adapter *a, const struct adapter_msg *msg)
{
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	error = adapter_buffer_commit(a, ((struct adapter_shm *)a)->buffer,
				      msg);
	return adapter_posix_shm_sem_post(error,
					  &adapter_posix_shm_sem(a)->items);
}

static inline int
adapter_posix_shm_sem_peek(struct adapter *a, struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_slot *slot;
	int error;

	if (a->roles != ADAPTER_RECEIVER)
		return -EBADF;
	error = adapter_posix_shm_sem_wait(a, &adapter_posix_shm_sem(a)->items,
					   &slot, timeout_ns);
	return error ? error : adapter_slot_show(a, slot, msg);
}

static inline int
adapter_posix_shm_sem_release(struct adapter *a)
{
	return adapter_posix_shm_sem_post(
		adapter_buffer_release(a, ((struct adapter_shm *)a)->buffer),
		&adapter_posix_shm_sem(a)->room);
}

static inline int
adapter_posix_shm_sem_send(struct adapter *a, const struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	return adapter_buffer_send(&adapter_posix_shm_sem_ops, a, msg,
				   timeout_ns);
}

static inline int
adapter_posix_shm_sem_recv(struct adapter *a, struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	return adapter_buffer_recv(&adapter_posix_shm_sem_ops, a, msg,
				   timeout_ns);
}

static const struct adapter_ops adapter_posix_shm_sem_ops = {
	.name = "posix_shm_sem",
	.summary = "POSIX shared memory, two semaphores",
	.caps = ADAPTER_NAMED | ADAPTER_ZEROCOPY | ADAPTER_TIMED |
		ADAPTER_PEER_DEATH | ADAPTER_PERSISTENT | ADAPTER_TAGS,
	.size = sizeof(struct adapter_shm),
	.create = adapter_posix_shm_sem_create,
	.attach = adapter_posix_shm_sem_attach,
	.after_fork = adapter_shm_after_fork,
	.send = adapter_posix_shm_sem_send,
	.recv = adapter_posix_shm_sem_recv,
	.limits = adapter_buffer_limits,
	.close = adapter_shm_close,
	.unlink = adapter_segment_unlink,
	.reserve = adapter_posix_shm_sem_reserve,
	.commit = adapter_posix_shm_sem_commit,
	.peek = adapter_posix_shm_sem_peek,
	.release = adapter_posix_shm_sem_release,
	.flush = adapter_shm_flush,
};

#endif
