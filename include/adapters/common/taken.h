/* SPDX-License-Identifier: MIT */
/*
 * taken.h - has the peer read all? A kernel that holds bytes tells how many.
 */
#ifndef ADAPTER_TAKEN_H
#define ADAPTER_TAKEN_H

#include "waiting.h"

#include <sys/ioctl.h>

/**
 * Until the receiving process has read all that was written to fd; the kernel
 * cannot tell when.
 */
static inline int
adapter_taken(struct adapter *a, int fd, unsigned long untaken,
	      int64_t deadline)
{
	struct pollfd gone = { .fd = fd };
	int64_t step = 0;
	int held, error = 0;

	while (!error) {
		if (ADAPTER_SYS(a, ioctl(fd, untaken, &held)))
			return adapter_error(a);
		if (held == 0)
			return 0;
		if (ADAPTER_SYS(a, poll(&gone, 1, 0)) == 1)
			return -EPIPE;
		error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

#endif
