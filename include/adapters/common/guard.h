/* SPDX-License-Identifier: MIT */
/*
 * guard.h - who uses a name? So that what the dead have left under it is told
 * from what is in use, the same way for every mechanism: few kernel objects say
 * who has them, and none says it of all its users.
 *
 *	error = adapter_guard_enter(&guard, a, "demo", timeout_ns);
 *	error = a->ops->create(a, &config);		// the other side: attach
 *	error = adapter_guard_made(&guard, a);
 *	...
 *	adapter_guard_leave(&guard, a);			// last of all
 *
 * Beside the mechanism's object lies a file on which all users of the name have
 * a shared lock, which the kernel drops when they end, however that happens.
 * Who gets it alone knows that nobody uses the name, and removes what is there,
 * if the file says that a user of the guard has made it. While the maker is
 * dead but others have not noticed, nobody enters. Programs that do not take
 * the guard are not seen: all who share a name must, or none.
 *
 * The lock is that of an open file description: a child of fork has it, too.
 */
#ifndef ADAPTER_GUARD_H
#define ADAPTER_GUARD_H

#include "process.h"
#include "regular.h"

struct adapter_guard_record { /* in the file */
	struct adapter_process maker; /* .pid 0: none of the guard's users */
	uint32_t done; /* adapter_guard_done */
	uint32_t reserved;
};

struct adapter_guard {
	int fd;
	pid_t pid; /* who has entered, not a child */
	char name[ADAPTER_NAME_MAX];
};

static inline int
adapter_guard_path(char path[ADAPTER_PATH_MAX], const struct adapter *a,
		   const char *name)
{
	char suffix[64];

	snprintf(suffix, sizeof(suffix), "%s.guard", a->ops->name);
	return adapter_path(path, name, suffix);
}

/** Does the path still lead to the file that fd has open? */
static inline bool
adapter_guard_same(int fd, const char *path)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 &&
	       mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static inline struct adapter_guard_record
adapter_guard_read(struct adapter_guard *g, struct adapter *a)
{
	struct adapter_guard_record record = { .done = 0 };

	if (ADAPTER_SYS(a, pread(g->fd, &record, sizeof(record), 0)) < 0)
		record.maker.pid = 0; /* nothing is known: nothing goes */
	return record;
}

/** What is under the name now, this process has made. */
static inline int
adapter_guard_made(struct adapter_guard *g, struct adapter *a)
{
	struct adapter_guard_record record = { .maker = adapter_self() };
	uint64_t most = adapter_rlimit(RLIMIT_FSIZE);

	if (most < sizeof(record)) /* it would raise SIGXFSZ */
		return adapter_refuse(a, -EFBIG, "RLIMIT_FSIZE", most);
	if (ADAPTER_SYS(a, pwrite(g->fd, &record, sizeof(record), 0)) !=
	    sizeof(record))
		return adapter_error(a);
	return 0;
}

/** The other user is done with it. */
static inline int
adapter_guard_done(struct adapter_guard *g, struct adapter *a)
{
	uint32_t done = 1;

	if (ADAPTER_SYS(a, pwrite(g->fd, &done, sizeof(done),
				  offsetof(struct adapter_guard_record,
					   done))) != sizeof(done))
		return adapter_error(a);
	return 0;
}

/**
 * Take the lock, alone first, to remove what the dead have left. -EAGAIN: the
 * last user has removed the file meanwhile, or the maker of what is there has
 * died and others use it yet.
 */
static inline int
adapter_guard_lock(struct adapter_guard *g, struct adapter *a, const char *path)
{
	struct adapter_guard_record record;
	bool alone = !adapter_regular_lock(a, g->fd, F_WRLCK, 0, false);
	/* Who has it alone is only here: no long wait. */
	int error =
		alone ? 0 : adapter_regular_lock(a, g->fd, F_RDLCK, 0, true);

	if (error)
		return error;
	if (!adapter_guard_same(g->fd, path))
		return -EAGAIN;
	record = adapter_guard_read(g, a);
	if (!alone)
		return record.maker.pid && !adapter_alive(a, record.maker)
			       ? -EAGAIN
			       : 0;
	if (record.maker.pid) {
		a->ops->unlink(a->ops, g->name);
		if (ADAPTER_SYS(a, ftruncate(g->fd, 0)))
			return adapter_error(a);
	}
	return adapter_regular_lock(a, g->fd, F_RDLCK, 0, true);
}

/** Use the name from now on. -EBUSY: others use what a dead one has made. */
static inline int
adapter_guard_enter(struct adapter_guard *g, struct adapter *a,
		    const char *name, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	char path[ADAPTER_PATH_MAX];
	int error = adapter_guard_path(path, a, name);

	if (error)
		return error;
	g->pid = getpid();
	snprintf(g->name, sizeof(g->name), "%s", name);
	for (;;) {
		g->fd = adapter_fd(
			ADAPTER_SYS(a, open(path,
					    O_RDWR | O_CREAT | O_CLOEXEC |
						    O_NOFOLLOW | O_NONBLOCK,
					    0600)));
		if (g->fd < 0)
			return adapter_error(a);
		error = adapter_guard_lock(g, a, path);
		if (error)
			adapter_close_fd(a, &g->fd);
		if (error != -EAGAIN)
			return error;
		if (adapter_backoff(a, &step, deadline))
			return -EBUSY;
	}
}

/** No longer. The last user leaves nothing behind. */
static inline void
adapter_guard_leave(struct adapter_guard *g, struct adapter *a)
{
	char path[ADAPTER_PATH_MAX];

	/* First: else each of the last two would see the other's lock. */
	if (g->pid == getpid())
		adapter_regular_lock(a, g->fd, F_UNLCK, 0, false);
	if (g->pid == getpid() &&
	    adapter_regular_lock(a, g->fd, F_WRLCK, 0, false) == 0 &&
	    adapter_guard_path(path, a, g->name) == 0 &&
	    adapter_guard_same(g->fd, path)) {
		if (adapter_guard_read(g, a).maker.pid)
			a->ops->unlink(a->ops, g->name);
		unlink(path);
	}
	adapter_close_fd(a, &g->fd);
}

#endif
