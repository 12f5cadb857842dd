/* SPDX-License-Identifier: MIT */
/*
 * descriptors.h - is there room for more descriptors? For who cannot ask by
 * opening one: libraries that abort, calls whose EMFILE is of other limits.
 */
#ifndef ADAPTER_DESCRIPTORS_H
#define ADAPTER_DESCRIPTORS_H

#include "endpoint.h"

/**
 * Can so many more descriptors be opened? 0, or -EMFILE with its limit. Some
 * libraries abort if not, and some calls say EMFILE of other limits.
 */
static inline int
adapter_descriptors_left(struct adapter *a, int count)
{
	int fd = adapter_fd(
		ADAPTER_SYS(a, open("/dev/null", O_RDONLY | O_CLOEXEC)));
	int error = fd < 0 ? adapter_error(a) : 0;

	if (!error && count > 1)
		error = adapter_descriptors_left(a, count - 1);
	adapter_close_fd(a, &fd);
	return error;
}

/** Which limit an EMFILE means: that of descriptors, or this one. */
static inline int
adapter_refuse_emfile(struct adapter *a, const char *name, uint64_t value)
{
	int error = adapter_descriptors_left(a, 1);

	return error ? error : adapter_refuse(a, -EMFILE, name, value);
}

#endif
