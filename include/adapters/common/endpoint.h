/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h - what every mechanism's endpoint does the same way: refuse with
 * the limit's name, count system calls, begin, check what it is asked for.
 */
#ifndef ADAPTER_ENDPOINT_H
#define ADAPTER_ENDPOINT_H

#include "../adapter.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ------------------------------------------------------------ refusals */

/** Note the limit behind a refusal; returns error, for `return`. */
static inline int
adapter_refuse(struct adapter *a, int error, const char *name, uint64_t value)
{
	a->refused = (struct adapter_limit){ name, value };
	return error;
}

/**
 * The descriptor that a call has just made, or -1 and errno: never 0 to 2.
 * Where a daemon has closed those, they would be ours, and what is printed
 * would be written into them.
 */
static inline int
adapter_fd(int fd)
{
	int high, why;

	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	why = errno == EINVAL ? EMFILE : errno; /* RLIMIT_NOFILE below 4 */
	close(fd);
	errno = why;
	return high;
}

/** The same for the two of a pair, with what the call that made it returned. */
static inline int
adapter_fd_pair(int made, int fds[2])
{
	if (made)
		return made;
	fds[0] = adapter_fd(fds[0]);
	fds[1] = adapter_fd(fds[1]);
	return fds[0] < 0 || fds[1] < 0 ? -1 : 0;
}

/** What a file of the kernel's says, as text; false if it cannot be read. */
static inline bool
adapter_kernel_says(const char *path, char *text, size_t size)
{
	int fd = adapter_fd(open(path, O_RDONLY | O_CLOEXEC));
	ssize_t length;

	if (fd < 0)
		return false;
	length = read(fd, text, size - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return length > 0;
}

/** A number under /proc/sys, or fallback where it cannot be read. */
static inline uint64_t
adapter_sysctl(const char *name, uint64_t fallback)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	return adapter_kernel_says(path, text, sizeof(text))
		       ? strtoull(text, NULL, 10)
		       : fallback;
}

/** A resource limit of this process (RLIMIT_NOFILE, ...). */
static inline uint64_t
adapter_rlimit(int resource)
{
	struct rlimit limit = { 0 };

	getrlimit((__rlimit_resource_t)resource, &limit);
	return limit.rlim_cur;
}

/** The negative errno of a call that just failed, with the limit behind it. */
static inline int
adapter_error(struct adapter *a)
{
	switch (errno) {
	case EMFILE:
		return adapter_refuse(a, -EMFILE, "RLIMIT_NOFILE",
				      adapter_rlimit(RLIMIT_NOFILE));
	case ENFILE:
		return adapter_refuse(a, -ENFILE, "fs.file-max",
				      adapter_sysctl("fs/file-max", 0));
	case ECONNRESET:
	case ECONNREFUSED:
		return -EPIPE;
	default:
		return -errno;
	}
}

/** Count a system call: `n = ADAPTER_SYS(a, read(fd, p, size))`. */
#define ADAPTER_SYS(a, call) ((a)->syscalls++, (call))

/* ---------------------------------------------------- setting endpoints up */

/**
 * Begin create or attach: clear the endpoint, read the limits, refuse what
 * goes beyond them. message_size and depth are what is in force unless the
 * configuration asks for something else; 0 means the limit itself.
 */
static inline int
adapter_begin(struct adapter *a, const struct adapter_config *config,
	      size_t message_size, size_t depth)
{
	const struct adapter_ops *ops = a->ops;
	struct adapter_limit *message = &a->limits.message;
	struct adapter_limit *held = &a->limits.depth;
	int error;

	memset(a, 0, ops->size);
	a->ops = ops;
	a->roles = config->roles ? config->roles : ADAPTER_SENDER;
	if (a->roles > ADAPTER_BOTH ||
	    (a->roles == ADAPTER_BOTH && !(ops->caps & ADAPTER_BIDIR)))
		return -ENOTSUP;
	error = ops->limits(&a->limits);
	if (error)
		return error;
	if (message->name && config->message_size > message->value)
		return adapter_refuse(a, -EMSGSIZE, message->name,
				      message->value);
	if (held->name && config->depth > held->value)
		return adapter_refuse(a, -EINVAL, held->name, held->value);
	if (config->message_size)
		*message = (struct adapter_limit){ "config.message_size",
						   config->message_size };
	else if (message_size)
		*message = (struct adapter_limit){ "default message_size",
						   message_size };
	if (config->depth)
		*held = (struct adapter_limit){ "config.depth", config->depth };
	else if (depth && !(held->name && held->value < depth))
		*held = (struct adapter_limit){ "default depth", depth };
	return 0;
}

/**
 * The end of create, attach or after_fork, with its result so far: closes what
 * has been made in vain, for which every mechanism's close is good.
 */
static inline int
adapter_done(struct adapter *a, int error)
{
	if (error)
		a->ops->close(a);
	a->open = !error;
	return error;
}

/** The same, where the name has been made and must go, too. */
static inline int
adapter_done_named(struct adapter *a, const struct adapter_config *config,
		   int error)
{
	if (error && config->name)
		a->ops->unlink(a->ops, config->name);
	return adapter_done(a, error);
}

/** What a new name permits. */
static inline mode_t
adapter_permissions(const struct adapter_config *config)
{
	return config->permissions ? config->permissions : 0600;
}

/** Close *fd unless it is -1, which it is afterwards. */
static inline void
adapter_close_fd(struct adapter *a, int *fd)
{
	if (*fd >= 0)
		ADAPTER_SYS(a, close(*fd));
	*fd = -1;
}

/** The roles of the side opposite to roles. */
static inline unsigned
adapter_opposite(unsigned roles)
{
	return roles == ADAPTER_BOTH ? ADAPTER_BOTH : roles ^ ADAPTER_BOTH;
}

/** 0 when there are tags as large as that of msg. */
static inline int
adapter_check_tag(struct adapter *a, const struct adapter_msg *msg)
{
	return msg->tag <= a->limits.tag.value
		       ? 0
		       : adapter_refuse(a, -EINVAL, a->limits.tag.name,
					a->limits.tag.value);
}

/** 0 when msg may be sent here: role, length and tag. */
static inline int
adapter_check_send(struct adapter *a, const struct adapter_msg *msg)
{
	if (!(a->roles & ADAPTER_SENDER))
		return -EBADF;
	if (msg->length > a->limits.message.value)
		return adapter_refuse(a, -EMSGSIZE, a->limits.message.name,
				      a->limits.message.value);
	return msg->length ? adapter_check_tag(a, msg) : -EINVAL;
}

/** 0 when msg can take any message that may come. */
static inline int
adapter_check_recv(struct adapter *a, const struct adapter_msg *msg)
{
	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	if (msg->capacity < a->limits.message.value)
		return adapter_refuse(a, -EMSGSIZE, a->limits.message.name,
				      a->limits.message.value);
	return 0;
}

#endif
