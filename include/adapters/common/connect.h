/* SPDX-License-Identifier: MIT */
/*
 * connect.h - connect a socket to an address at which somebody may listen soon.
 */
#ifndef ADAPTER_CONNECT_H
#define ADAPTER_CONNECT_H

#include "waiting.h"

#include <sys/socket.h>

/** Connect fd, and again until somebody listens or the deadline comes. */
static inline int
adapter_socket_connect(struct adapter *a, int fd, const void *address,
		       socklen_t length, int64_t deadline)
{
	int64_t step = 0;

	while (ADAPTER_SYS(
		a, connect(fd, (const struct sockaddr *)address, length))) {
		int why = errno;

		if (why == EINPROGRESS)
			return adapter_poll(a, fd, POLLOUT, deadline);
		if (why != ENOENT && why != ECONNREFUSED && why != EAGAIN &&
		    why != EINTR)
			return adapter_error(a);
		if (adapter_backoff(a, &step, deadline))
			return deadline ? -ETIMEDOUT : -why;
	}
	return 0;
}

#endif
