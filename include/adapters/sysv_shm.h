/* SPDX-License-Identifier: MIT */
/*
 * sysv_shm.h - System V shared memory with System V semaphores.
 *
 * The semaphores lie in the kernel, in a set on which one semop does several
 * operations at once or none. So they hold all the state of the bounded buffer,
 * the memory only the messages, and each step is one transaction:
 *
 *	enter	wait for ROOM (or ITEMS) and take LOCK
 *	leave	count the message, give LOCK back
 *
 * LOCK is taken with SEM_UNDO: the kernel gives it back for a process that is
 * killed. As a message counts only when its sender leaves, nothing else needs
 * to be undone. The same way the kernel tells who has gone (sysv_segment.h).
 *
 * Use it where System V objects are what there is, or where robustness without
 * any code for it counts. Not for speed: four system calls a message. Any
 * number of senders and receivers may take part, at most SEMVMX (32767)
 * messages fit.
 *
 * Objects have no names but numbers, told in a file; they outlive all
 * processes, see ipcs(1), until unlink removes them (IPC_RMID). The memory then
 * stays until the last process detaches; the set goes at once, and who still
 * waits on it gets -EPIPE. A process killed within create leaves an object that
 * only ipcrm(1) removes; so there is no use without a name.
 *
 * System calls, in order:
 *
 *	create	shmget, shmat, semget, semctl, semop; the numbers: open, write,
 *		link
 *	attach	open, read, shmat, semop
 *	send	semop (enter), semop (leave)
 *	receive	semop (enter), semop (leave)
 *	wait	semtimedop; without a limit in semop
 *	woken	by the kernel, at the other side's semop
 *	close	shmdt, semop; unlink: shmctl, semctl (IPC_RMID)
 */
#ifndef ADAPTER_SYSV_SHM_H
#define ADAPTER_SYSV_SHM_H

#include "common/sysv_segment.h"

static inline int
adapter_sysv_shm_limits(struct adapter_limits *limits)
{
	struct seminfo info = { 0 };

	if (semctl(0, 0, IPC_INFO, (union adapter_semun){ .info = &info }) < 0)
		return -errno;
	adapter_buffer_limits(limits);
	limits->depth.name = "SEMVMX";
	limits->depth.value = (uint64_t)info.semvmx;
	return 0;
}

static inline int
adapter_sysv_shm_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	int error = adapter_begin(a, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	m->memory = m->set = -1;
	return error || config->name ? error : -EINVAL;
}

static inline int
adapter_sysv_shm_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	int error = adapter_sysv_shm_begin(a, config);

	if (error)
		return error;
	error = adapter_sysv_segment_make(a, config);
	if (error)
		adapter_sysv_segment_remove(m->memory, m->set);
	return adapter_done(a, error);
}

static inline int
adapter_sysv_shm_attach(struct adapter *a, const struct adapter_config *config,
			int64_t timeout_ns)
{
	int error = adapter_sysv_shm_begin(a, config);

	if (!error)
		error = adapter_sysv_segment_find(a, config->name,
						  adapter_deadline(timeout_ns));
	return adapter_done(a, error);
}

/**
 * Wait until the semaphore `count` is not 0, which this leaves as it is, take
 * the lock, and read all semaphores.
 */
static inline int
adapter_sysv_shm_enter(struct adapter *a, unsigned short count,
		       unsigned short *values, int64_t deadline)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	struct sembuf ops[] = { { count, -1, 0 },
				{ count, 1, 0 },
				{ ADAPTER_SYSV_LOCK, -1, SEM_UNDO } };
	int64_t left = adapter_left(deadline);
	struct timespec slice;
	bool gone = false, none;

	for (;;) {
		slice = adapter_timespec(left < ADAPTER_SLICE ? left
							      : ADAPTER_SLICE);
		ops[0].sem_flg = left ? 0 : IPC_NOWAIT;
		if (ADAPTER_SYS(a, semtimedop(m->set, ops, 3,
					      left ? &slice : NULL)) == 0)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return adapter_sysv_error(a);
		none = errno == EAGAIN;
		if (none && gone)
			return -EPIPE;
		gone = gone || adapter_sysv_segment_gone(a);
		if (none && !gone && left == 0)
			return adapter_expired(deadline);
		left = gone ? 0 : adapter_left(deadline); /* what it did last */
	}
	if (ADAPTER_SYS(a, semctl(m->set, 0, GETALL,
				  (union adapter_semun){ .values = values })))
		return adapter_sysv_error(a);
	return 0;
}

/** Do these operations and give the lock back, for which ops has room. */
static inline int
adapter_sysv_shm_leave(struct adapter *a, struct sembuf *ops, size_t count)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;

	ops[count] = (struct sembuf){ ADAPTER_SYSV_LOCK, 1, SEM_UNDO };
	if (ADAPTER_SYS(a, semop(m->set, ops, count + 1)))
		return adapter_sysv_error(a);
	return 0;
}

static inline int
adapter_sysv_shm_send(struct adapter *a, const struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	struct sembuf ops[3] = { { ADAPTER_SYSV_ROOM, -1, 0 },
				 { ADAPTER_SYSV_ITEMS, 1, 0 } };
	unsigned short values[ADAPTER_SYSV_SEMAPHORES] = { 0 };
	int error = adapter_check_send(a, msg);

	if (!error)
		error = adapter_sysv_shm_enter(a, ADAPTER_SYSV_ROOM, values,
					       adapter_deadline(timeout_ns));
	if (error)
		return error;
	adapter_slot_write(adapter_slot(a, m->shared->slots,
					(uint64_t)values[ADAPTER_SYSV_FIRST] +
						values[ADAPTER_SYSV_ITEMS]),
			   msg);
	return adapter_sysv_shm_leave(a, ops, 2);
}

static inline int
adapter_sysv_shm_recv(struct adapter *a, struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	struct sembuf ops[4] = { { ADAPTER_SYSV_ITEMS, -1, 0 },
				 { ADAPTER_SYSV_ROOM, 1, 0 },
				 { ADAPTER_SYSV_FIRST, 1, 0 } };
	unsigned short values[ADAPTER_SYSV_SEMAPHORES] = { 0 }, first;
	int error = adapter_check_recv(a, msg), broken;

	if (!error)
		error = adapter_sysv_shm_enter(a, ADAPTER_SYSV_ITEMS, values,
					       adapter_deadline(timeout_ns));
	if (error)
		return error;
	first = values[ADAPTER_SYSV_FIRST];
	if (first + UINT64_C(1) >= a->limits.depth.value)
		ops[2].sem_op = (short)-first; /* back to slot 0 */
	broken = adapter_slot_read(a, adapter_slot(a, m->shared->slots, first),
				   msg);
	error = adapter_sysv_shm_leave(a, ops, broken ? 0 : 3);
	return broken ? broken : error;
}

static inline int
adapter_sysv_shm_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	int items, error = 0;

	while (!error &&
	       (items = ADAPTER_SYS(
			a, semctl(m->set, ADAPTER_SYSV_ITEMS, GETVAL)))) {
		if (items < 0)
			return adapter_sysv_error(a);
		if (adapter_sysv_segment_gone(a))
			return -EPIPE;
		error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

static inline int
adapter_sysv_shm_unlink(const struct adapter_ops *ops, const char *name)
{
	uint64_t numbers;
	int error = adapter_lookup(name, ops->name, &numbers);

	if (error)
		return error;
	adapter_sysv_segment_remove((int)(numbers >> 32),
				    (int)(uint32_t)numbers);
	return adapter_unlink_path(ops, name);
}

static const struct adapter_ops adapter_sysv_shm_ops = {
	.name = "sysv_shm",
	.summary = "System V shared memory and semaphores",
	.caps = ADAPTER_NAMED | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS |
		ADAPTER_PERSISTENT | ADAPTER_TAGS,
	.size = sizeof(struct adapter_sysv_segment),
	.create = adapter_sysv_shm_create,
	.attach = adapter_sysv_shm_attach,
	.send = adapter_sysv_shm_send,
	.recv = adapter_sysv_shm_recv,
	.limits = adapter_sysv_shm_limits,
	.close = adapter_sysv_segment_close,
	.unlink = adapter_sysv_shm_unlink,
	.flush = adapter_sysv_shm_flush,
};

#endif
