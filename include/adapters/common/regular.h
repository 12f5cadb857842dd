/* SPDX-License-Identifier: MIT */
/*
 * regular.h - a regular file with a header, in $TMPDIR or /tmp, that is
 * complete as soon as its name is there; and locks on its bytes.
 *
 * The locks are those of an open file description (F_OFD_SETLK), which the
 * kernel drops when the last process that has it open has gone. The classic
 * ones (F_SETLK) belong to a process, which loses them as soon as it closes any
 * other descriptor of the same file.
 */
#ifndef ADAPTER_REGULAR_H
#define ADAPTER_REGULAR_H

#include "path.h"
#include "room.h"
#include "waiting.h"

#include <sys/stat.h>

#define ADAPTER_REGULAR_MAGIC UINT64_C(0x3172657470616461) /* "adapter1" */
#define ADAPTER_REGULAR_HEADER 64 /* what the mechanism stores follows */

struct adapter_regular { /* in the byte order of the machine */
	uint64_t magic, message_size, depth;
	uint64_t end; /* of what is valid; where the mechanism keeps it here */
};

/** Lock byte `at`, or unlock (F_UNLCK); -EBUSY if it must not wait. */
static inline int
adapter_regular_lock(struct adapter *a, int fd, short type, off_t at, bool wait)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1
	};
	int command = wait ? F_OFD_SETLKW : F_OFD_SETLK;

	while (ADAPTER_SYS(a, fcntl(fd, command, &lock))) {
		if (errno == EAGAIN || errno == EACCES)
			return -EBUSY;
		if (errno != EINTR)
			return adapter_error(a);
	}
	return 0;
}

/**
 * Make the file of config->name, `size` bytes with its header, and lock byte
 * `at` of it unless that is -1. A descriptor, or an error.
 */
static inline int
adapter_regular_create(struct adapter *a, const struct adapter_config *config,
		       size_t size, off_t at)
{
	struct adapter_regular head = {
		.magic = ADAPTER_REGULAR_MAGIC,
		.message_size = a->limits.message.value,
		.depth = a->limits.depth.value,
		.end = ADAPTER_REGULAR_HEADER,
	};
	char path[ADAPTER_PATH_MAX], part[ADAPTER_PATH_MAX + 16];
	int fd, error;

	error = config->name ? adapter_path(path, config->name, a->ops->name)
			     : -EINVAL;
	if (error)
		return error;
	snprintf(part, sizeof(part), "%s.%ld", path, (long)getpid());
	unlink(part); /* of a dead process with our number */
	fd = adapter_fd(ADAPTER_SYS(
		a, open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0)));
	if (fd < 0)
		return adapter_error(a);
	error = adapter_allocate(a, fd, size);
	if (!error && at >= 0)
		error = adapter_regular_lock(a, fd, F_WRLCK, at, false);
	if (!error &&
	    ADAPTER_SYS(a, pwrite(fd, &head, sizeof(head), 0)) != sizeof(head))
		error = errno ? adapter_error(a) : -EIO;
	if (!error &&
	    (ADAPTER_SYS(a, fchmod(fd, adapter_permissions(config))) ||
	     ADAPTER_SYS(a, link(part, path))))
		error = adapter_error(a);
	ADAPTER_SYS(a, unlink(part));
	if (error)
		adapter_close_fd(a, &fd);
	return error ? error : fd;
}

/**
 * Open the file of config->name as soon as it is there; what its header says
 * goes into a->limits. A descriptor, or an error.
 */
static inline int
adapter_regular_attach(struct adapter *a, const struct adapter_config *config,
		       int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	struct adapter_regular head = { 0 };
	char path[ADAPTER_PATH_MAX];
	int fd, error;

	error = config->name ? adapter_path(path, config->name, a->ops->name)
			     : -EINVAL;
	if (error)
		return error;
	/* O_NONBLOCK: no lease or FIFO under the name holds us up. */
	while ((fd = adapter_fd(ADAPTER_SYS(
			a, open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW |
					      O_NONBLOCK)))) < 0) {
		error = adapter_absent(a, &step, deadline);
		if (error)
			return error;
	}
	if (ADAPTER_SYS(a, pread(fd, &head, sizeof(head), 0)) != sizeof(head) ||
	    head.magic != ADAPTER_REGULAR_MAGIC) {
		adapter_close_fd(a, &fd);
		return -EPROTO;
	}
	a->limits.message.value = head.message_size;
	a->limits.depth.value = head.depth;
	return fd;
}

/** With the lock for writing or reading held: where the last frame ends. */
static inline int
adapter_regular_end(struct adapter *a, int fd, uint64_t *end)
{
	ssize_t n =
		ADAPTER_SYS(a, pread(fd, end, sizeof(*end),
				     offsetof(struct adapter_regular, end)));

	if (n < 0)
		return adapter_error(a);
	return n == sizeof(*end) && *end <= INT64_MAX ? 0 : -EBADMSG;
}

#endif
