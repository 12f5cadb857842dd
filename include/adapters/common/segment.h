/* SPDX-License-Identifier: MIT */
/*
 * segment.h - a shared memory segment, with room for a list of who uses it
 * (members.h).
 *
 * A named segment is /dev/shm/<name>.<suffix>; one without a name is a memfd,
 * which children of fork have mapped, too. Nothing here trusts a size that
 * another process could change later: who attaches checks once and keeps what
 * it found. A memfd cannot shrink (which would bring SIGBUS upon its users);
 * a named segment its owner can truncate.
 */
#ifndef ADAPTER_SEGMENT_H
#define ADAPTER_SEGMENT_H

#include "process.h"
#include "room.h"
#include "waiting.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define ADAPTER_MEMBERS 64
#define ADAPTER_SEGMENT_PATH (ADAPTER_NAME_MAX + 32)

struct adapter_member {
	uint32_t roles;
	struct adapter_process process; /* .pid 0: this line is free */
};

/* At offset 0; what the mechanism needs follows. */
struct adapter_shared {
	uint32_t ready; /* stored last by the creator */
	uint32_t came; /* roles that somebody has ever had */
	uint64_t message_size, depth;
	struct adapter_member members[ADAPTER_MEMBERS];
};

struct adapter_segment {
	struct adapter_shared *shared; /* NULL: not mapped */
	size_t size;
	int fd;
	int member; /* my line, or -1 */
	int64_t looked; /* when, for the peers */
};

static inline void
adapter_segment_clear(struct adapter_segment *s)
{
	*s = (struct adapter_segment){ .fd = -1, .member = -1 };
}

/** "/<name>.<suffix>", so that all mechanisms may have one of that name. */
static inline int
adapter_segment_name(char path[ADAPTER_SEGMENT_PATH], const char *name,
		     const char *suffix)
{
	size_t length = name ? strlen(name) : 0;

	if (length == 0 || length >= ADAPTER_NAME_MAX || strchr(name, '/'))
		return -EINVAL;
	snprintf(path, ADAPTER_SEGMENT_PATH, "/%s.%s", name, suffix);
	return 0;
}

static inline int
adapter_segment_unlink(const struct adapter_ops *ops, const char *name)
{
	char path[ADAPTER_SEGMENT_PATH];
	int error = adapter_segment_name(path, name, ops->name);

	if (error)
		return error;
	return shm_unlink(path) ? -errno : 0;
}

static inline int
adapter_segment_map(struct adapter *a, struct adapter_segment *s, size_t size)
{
	void *map = ADAPTER_SYS(a, mmap(NULL, size, PROT_READ | PROT_WRITE,
					MAP_SHARED, s->fd, 0));

	if (map == MAP_FAILED)
		return adapter_error(a);
	s->shared = (struct adapter_shared *)map;
	s->size = size;
	return 0;
}

/** False in a child that only inherited the endpoint. */
static inline bool
adapter_segment_mine(struct adapter_segment *s)
{
	return s->member >= 0 &&
	       s->shared->members[s->member].process.pid == getpid();
}

/** Sign off, unless the line is a parent's, and unmap. */
static inline void
adapter_segment_close(struct adapter *a, struct adapter_segment *s)
{
	if (adapter_segment_mine(s)) {
		struct adapter_process *p =
			&s->shared->members[s->member].process;

		p->start = 0;
		__atomic_store_n(&p->pid, 0, __ATOMIC_RELEASE);
	}
	if (s->shared)
		ADAPTER_SYS(a, munmap(s->shared, s->size));
	s->shared = NULL;
	s->member = -1;
	adapter_close_fd(a, &s->fd);
}

/** A new segment of zeros; nobody attaches before adapter_segment_ready. */
static inline int
adapter_segment_create(struct adapter *a, struct adapter_segment *s,
		       const struct adapter_config *config, const char *suffix,
		       size_t size)
{
	mode_t permissions = adapter_permissions(config);
	char path[ADAPTER_SEGMENT_PATH];
	int error = 0;

	adapter_segment_clear(s);
	if (config->name) {
		error = adapter_segment_name(path, config->name, suffix);
		if (error)
			return error;
		s->fd = adapter_fd(
			ADAPTER_SYS(a, shm_open(path, O_RDWR | O_CREAT | O_EXCL,
						permissions)));
	} else {
		s->fd = adapter_fd(ADAPTER_SYS(
			a,
			memfd_create(suffix, MFD_CLOEXEC | MFD_ALLOW_SEALING)));
	}
	if (s->fd < 0)
		return adapter_error(a);
	if (ADAPTER_SYS(a, fchmod(s->fd, permissions)))
		error = adapter_error(a);
	if (!error)
		error = adapter_allocate(a, s->fd, size);
	if (!error && !config->name &&
	    ADAPTER_SYS(a, fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK)))
		error = adapter_error(a);
	if (!error)
		error = adapter_segment_map(a, s, size);
	if (!error) {
		s->shared->message_size = a->limits.message.value;
		s->shared->depth = a->limits.depth.value;
	} else {
		adapter_segment_close(a, s);
		if (config->name)
			shm_unlink(path);
	}
	return error;
}

static inline void
adapter_segment_ready(struct adapter_segment *s)
{
	__atomic_store_n(&s->shared->ready, 1, __ATOMIC_RELEASE);
}

/**
 * Map what s->fd is, once it is complete (-EAGAIN: not yet); the sizes that its
 * creator chose go into a->limits. The caller checks that s->size fits them.
 */
static inline int
adapter_segment_adopt(struct adapter *a, struct adapter_segment *s)
{
	struct stat st;
	int error;

	if (ADAPTER_SYS(a, fstat(s->fd, &st)))
		return adapter_error(a);
	if (!S_ISREG(st.st_mode))
		return -EPROTO;
	if (st.st_size <= (off_t)sizeof(struct adapter_shared))
		return -EAGAIN;
	error = adapter_segment_map(a, s, (size_t)st.st_size);
	if (!error && !__atomic_load_n(&s->shared->ready, __ATOMIC_ACQUIRE))
		error = -EAGAIN;
	if (error)
		return error;
	a->limits.message.value = s->shared->message_size;
	a->limits.depth.value = s->shared->depth;
	return 0;
}

/** Map the segment of that name as soon as it is complete. */
static inline int
adapter_segment_attach(struct adapter *a, struct adapter_segment *s,
		       const char *name, const char *suffix, int64_t deadline)
{
	char path[ADAPTER_SEGMENT_PATH];
	int64_t step = 0;
	int error = adapter_segment_name(path, name, suffix);

	adapter_segment_clear(s);
	while (!error) {
		/* O_NONBLOCK: no lease holds us up; EAGAIN as long as it is
		   there. */
		s->fd = adapter_fd(
			ADAPTER_SYS(a, shm_open(path, O_RDWR | O_NONBLOCK, 0)));
		error = s->fd >= 0	  ? adapter_segment_adopt(a, s)
			: errno == ENOENT ? -EAGAIN
					  : adapter_error(a);
		if (!error)
			return 0;
		adapter_segment_close(a, s);
		if (error == -EAGAIN)
			error = adapter_backoff(a, &step, deadline);
		if (error == -EAGAIN)
			error = -ENOENT;
	}
	return error;
}

#endif
