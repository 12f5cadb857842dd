/* SPDX-License-Identifier: MIT */
/*
 * sysv_segment.h - System V shared memory and a set of semaphores, which meet
 * under one name: numbers, told in a file.
 *
 * Each process adds itself to SENDERS or RECEIVERS with SEM_UNDO: whatever ends
 * it, the kernel takes it off, and the peers see that.
 */
#ifndef ADAPTER_SYSV_SEGMENT_H
#define ADAPTER_SYSV_SEGMENT_H

#include "buffer.h"
#include "room.h"
#include "sysv.h"

#include <sys/sem.h>
#include <sys/shm.h>

enum {
	ADAPTER_SYSV_LOCK,
	ADAPTER_SYSV_ROOM,
	ADAPTER_SYSV_ITEMS,
	ADAPTER_SYSV_FIRST, /* slot of the first message */
	ADAPTER_SYSV_SENDERS,
	ADAPTER_SYSV_RECEIVERS,
	ADAPTER_SYSV_SEMAPHORES,
};

struct adapter_sysv_shared {
	uint64_t message_size, depth;
	uint32_t came; /* roles that somebody has ever had */
	char slots[] __attribute__((aligned(64)));
};

struct adapter_sysv_segment {
	struct adapter base;
	struct adapter_sysv_shared *shared;
	int memory, set; /* identifiers */
	pid_t member; /* the process that is counted in, or 0 */
	int64_t looked; /* when, for the peers */
};

union adapter_semun { /* which the system leaves to the caller to define */
	unsigned short *values;
	struct seminfo *info;
};

/** The semaphore that counts the processes with this role. */
static inline unsigned short
adapter_sysv_segment_role(unsigned role)
{
	return role == ADAPTER_SENDER ? ADAPTER_SYSV_SENDERS
				      : ADAPTER_SYSV_RECEIVERS;
}

static inline void
adapter_sysv_segment_close(struct adapter *a)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	struct sembuf out = { adapter_sysv_segment_role(a->roles), -1,
			      SEM_UNDO | IPC_NOWAIT };

	if (m->member == getpid())
		ADAPTER_SYS(a, semop(m->set, &out, 1));
	if (m->shared)
		ADAPTER_SYS(a, shmdt(m->shared));
	m->member = 0;
	m->shared = NULL;
	a->open = false;
}

static inline void
adapter_sysv_segment_remove(int memory, int set)
{
	shmctl(memory, IPC_RMID, NULL);
	semctl(set, 0, IPC_RMID);
}

/** Map the memory and count this process in, to be undone if it is killed. */
static inline int
adapter_sysv_segment_join(struct adapter *a)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	struct sembuf in = { adapter_sysv_segment_role(a->roles), 1, SEM_UNDO };
	void *map = ADAPTER_SYS(a, shmat(m->memory, NULL, 0));

	if (map == (void *)-1)
		return adapter_sysv_error(a);
	m->shared = (struct adapter_sysv_shared *)map;
	if (ADAPTER_SYS(a, semop(m->set, &in, 1)))
		return adapter_sysv_error(a);
	m->member = getpid();
	/* After: who sees that we came finds us counted. */
	__atomic_fetch_or(&m->shared->came, a->roles, __ATOMIC_RELEASE);
	return 0;
}

/** Make both; whoever calls removes them if that fails. */
static inline int
adapter_sysv_segment_make(struct adapter *a,
			  const struct adapter_config *config)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	int access = IPC_CREAT | (int)adapter_permissions(config);
	uint64_t most = adapter_sysctl("kernel/shmmax", UINT64_MAX);
	size_t size = sizeof(*m->shared) + adapter_slots_size(a);
	unsigned short values[ADAPTER_SYSV_SEMAPHORES] = {
		[ADAPTER_SYSV_LOCK] = 1,
		[ADAPTER_SYSV_ROOM] = (unsigned short)a->limits.depth.value,
	};
	int error;

	struct adapter_limit least;

	if (size > most)
		return adapter_refuse(a, -EINVAL, "kernel.shmmax", most);
	error = adapter_room(-1, size, &least);
	if (error)
		return adapter_refuse(a, error, least.name, least.value);
	m->memory = ADAPTER_SYS(a, shmget(IPC_PRIVATE, size, access));
	if (m->memory < 0)
		return adapter_sysv_refused(a, "kernel/shmmni");
	m->set = ADAPTER_SYS(
		a, semget(IPC_PRIVATE, ADAPTER_SYSV_SEMAPHORES, access));
	if (m->set < 0)
		return adapter_sysv_refused(a, "kernel/sem");
	if (ADAPTER_SYS(a, semctl(m->set, 0, SETALL,
				  (union adapter_semun){ .values = values })))
		return adapter_sysv_error(a);
	error = adapter_sysv_segment_join(a);
	if (error)
		return error;
	m->shared->message_size = a->limits.message.value;
	m->shared->depth = a->limits.depth.value;
	/* The name, last of all, tells both numbers. */
	return adapter_publish(a, config,
			       (uint64_t)m->memory << 32 | (uint32_t)m->set);
}

/** Join the segment of that name as soon as it is there. */
static inline int
adapter_sysv_segment_find(struct adapter *a, const char *name, int64_t deadline)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	uint64_t numbers = 0;
	struct shmid_ds state;
	int error = adapter_find_number(a, name, &numbers, deadline);

	if (error)
		return error;
	m->memory = (int)(numbers >> 32);
	m->set = (int)(uint32_t)numbers;
	error = adapter_sysv_segment_join(a);
	if (!error && ADAPTER_SYS(a, shmctl(m->memory, IPC_STAT, &state)))
		error = adapter_sysv_error(a);
	if (!error) {
		a->limits.message.value = m->shared->message_size;
		a->limits.depth.value = m->shared->depth;
		if (adapter_slots_size(a) == 0 ||
		    state.shm_segsz !=
			    sizeof(*m->shared) + adapter_slots_size(a))
			error = -EPROTO;
	}
	return error;
}

/** True when all that ever had the opposite role have left; looks seldom. */
static inline bool
adapter_sysv_segment_gone(struct adapter *a)
{
	struct adapter_sysv_segment *m = (struct adapter_sysv_segment *)a;
	unsigned role = adapter_opposite(a->roles);
	int64_t now = adapter_now();

	if (now - m->looked < ADAPTER_SLICE)
		return false;
	m->looked = now;
	return (__atomic_load_n(&m->shared->came, __ATOMIC_ACQUIRE) & role) &&
	       ADAPTER_SYS(a, semctl(m->set, adapter_sysv_segment_role(role),
				     GETVAL)) == 0;
}

#endif
