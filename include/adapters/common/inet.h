/* SPDX-License-Identifier: MIT */
/*
 * inet.h - what the Internet sockets share: addresses of the loopback
 * interface, and a file under the adapter's name that tells the port.
 */
#ifndef ADAPTER_INET_H
#define ADAPTER_INET_H

#include "names.h"
#include "socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static inline struct sockaddr_in
adapter_inet_address(uint32_t host, uint64_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(host) };
}

/** A socket bound to host and port, 0 for any; its port goes to *port. */
static inline int
adapter_inet_bind(struct adapter *a, int type, uint32_t host, uint64_t *port)
{
	struct sockaddr_in address = adapter_inet_address(host, *port);
	socklen_t length = sizeof(address);
	int error, one = 1;
	int fd = adapter_fd(
		ADAPTER_SYS(a, socket(AF_INET, type | SOCK_CLOEXEC, 0)));

	if (fd < 0)
		return adapter_error(a);
	if ((host != INADDR_LOOPBACK &&
	     ADAPTER_SYS(a, setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				       sizeof(one)))) ||
	    ADAPTER_SYS(a, bind(fd, (struct sockaddr *)&address, length)) ||
	    ADAPTER_SYS(
		    a, getsockname(fd, (struct sockaddr *)&address, &length))) {
		error = adapter_error(a);
		close(fd);
		return error;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

#endif
