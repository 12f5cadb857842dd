/* SPDX-License-Identifier: MIT */
/*
 * names.h - a small file that tells where to find what has no name but a
 * number.
 */
#ifndef ADAPTER_NAMES_H
#define ADAPTER_NAMES_H

#include "path.h"
#include "waiting.h"

#include <sys/stat.h>

/**
 * Tell the world a number (a port, an identifier) under the name: the file is
 * complete when it appears. -EEXIST if the name is taken.
 */
static inline int
adapter_publish(struct adapter *a, const struct adapter_config *config,
		uint64_t value)
{
	char path[ADAPTER_PATH_MAX], part[ADAPTER_PATH_MAX + 16];
	int fd, error = adapter_path(path, config->name, a->ops->name);

	if (error)
		return error;
	if (adapter_rlimit(RLIMIT_FSIZE) < sizeof(value)) /* SIGXFSZ */
		return adapter_refuse(a, -EFBIG, "RLIMIT_FSIZE",
				      adapter_rlimit(RLIMIT_FSIZE));
	snprintf(part, sizeof(part), "%s.%ld", path, (long)getpid());
	unlink(part); /* of a dead process with our number */
	fd = adapter_fd(
		open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	if (fd < 0)
		return adapter_error(a);
	errno = ENOSPC; /* a short write does not say so itself */
	if (fchmod(fd, adapter_permissions(config)) ||
	    write(fd, &value, sizeof(value)) != sizeof(value) ||
	    link(part, path))
		error = adapter_error(a);
	close(fd);
	unlink(part);
	return error;
}

/** Read what adapter_publish told; -ENOENT if nobody has. */
static inline int
adapter_lookup(const char *name, const char *suffix, uint64_t *value)
{
	char path[ADAPTER_PATH_MAX];
	int fd, error = adapter_path(path, name, suffix);

	if (error)
		return error;
	/* O_NONBLOCK: no FIFO or lease under the name holds us up. */
	fd = adapter_fd(
		open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
	if (fd < 0)
		return -errno;
	if (read(fd, value, sizeof(*value)) != sizeof(*value))
		error = -EPROTO;
	close(fd);
	return error;
}

/**
 * What adapter_publish told under the name, as soon as it is there; -ENOENT
 * or, when the deadline has passed, -ETIMEDOUT.
 */
static inline int
adapter_find_number(struct adapter *a, const char *name, uint64_t *value,
		    int64_t deadline)
{
	int64_t step = 0;
	int error;

	if (!name)
		return -EINVAL;
	while ((error = adapter_lookup(name, a->ops->name, value)) == -ENOENT)
		if (adapter_backoff(a, &step, deadline))
			return deadline ? -ETIMEDOUT : -ENOENT;
	return error;
}

#endif
