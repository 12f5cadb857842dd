/* SPDX-License-Identifier: MIT */
/*
 * path.h - the path of a mechanism's own file.
 */
#ifndef ADAPTER_PATH_H
#define ADAPTER_PATH_H

#include "endpoint.h"

#define ADAPTER_PATH_MAX 104 /* fits sun_path */

/** "<dir>/<name>.<suffix>", where dir is $TMPDIR or /tmp. */
static inline int
adapter_path(char path[ADAPTER_PATH_MAX], const char *name, const char *suffix)
{
	const char *dir = getenv("TMPDIR");
	size_t length = strlen(name);
	int n;

	if (length == 0 || length >= ADAPTER_NAME_MAX || name[0] == '.' ||
	    strchr(name, '/'))
		return -EINVAL;
	n = snprintf(path, ADAPTER_PATH_MAX, "%s/%s.%s",
		     dir && *dir ? dir : "/tmp", name, suffix);
	return n < ADAPTER_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/** Remove the mechanism's file of this name. */
static inline int
adapter_unlink_path(const struct adapter_ops *ops, const char *name)
{
	char path[ADAPTER_PATH_MAX];
	int error = adapter_path(path, name, ops->name);

	if (error)
		return error;
	return unlink(path) ? -errno : 0;
}

#endif
