/* SPDX-License-Identifier: MIT */
/*
 * unix_socket.h - how two processes meet at a local socket: a name in the file
 * system, or a socketpair.
 */
#ifndef ADAPTER_UNIX_SOCKET_H
#define ADAPTER_UNIX_SOCKET_H

#include "path.h"
#include "socket.h"

#include <sys/stat.h>
#include <sys/un.h>

static inline int
adapter_unix_address(struct sockaddr_un *address, const char *name,
		     const char *suffix)
{
	char path[ADAPTER_PATH_MAX];
	int error = adapter_path(path, name, suffix);

	if (error)
		return error;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

/** Bind to the name; its permissions are there from the beginning. */
static inline int
adapter_unix_listen(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	bool connected = s->type != SOCK_DGRAM;
	struct sockaddr_un address;
	int fd, error = adapter_unix_address(&address, config->name,
					     a->ops->name);

	if (error)
		return error;
	fd = adapter_fd(ADAPTER_SYS(
		a,
		socket(AF_UNIX,
		       s->type | SOCK_CLOEXEC | (connected ? SOCK_NONBLOCK : 0),
		       0)));
	if (fd < 0)
		return adapter_error(a);
	if (connected)
		s->listener = fd;
	else
		s->fd = fd;
	error = adapter_socket_room(a, fd);
	if (error)
		return error;
	if (ADAPTER_SYS(a, fchmod(fd, adapter_permissions(config))) ||
	    ADAPTER_SYS(a,
			bind(fd, (struct sockaddr *)&address, sizeof(address))))
		return errno == EADDRINUSE ? -EEXIST : adapter_error(a);
	if (connected && ADAPTER_SYS(a, listen(fd, 1))) {
		error = adapter_error(a);
		unlink(address.sun_path);
		return error;
	}
	return 0;
}

static inline int
adapter_unix_pair(struct adapter *a)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int i, error = 0;

	if (adapter_fd_pair(
		    ADAPTER_SYS(a, socketpair(AF_UNIX, s->type | SOCK_CLOEXEC,
					      0, s->pair)),
		    s->pair))
		return adapter_error(a);
	for (i = 0; i < 2 && !error; i++)
		error = adapter_socket_room(a, s->pair[i]);
	return error;
}

/** Open the way in: a socket of that name, or a pair. */
static inline int
adapter_unix_open(struct adapter *a, const struct adapter_config *config)
{
	return config->name ? adapter_unix_listen(a, config)
			    : adapter_unix_pair(a);
}

/** Go in by the name, as soon as somebody is there. */
static inline int
adapter_unix_enter(struct adapter *a, const char *name, int64_t deadline)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	struct sockaddr_un self = { .sun_family = AF_UNIX }, address;
	int fd, error = name ? adapter_unix_address(&address, name,
						    a->ops->name)
			     : -EINVAL;

	if (error)
		return error;
	fd = adapter_fd(ADAPTER_SYS(
		a, socket(AF_UNIX, s->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
	if (fd < 0)
		return adapter_error(a);
	s->fd = fd;
	error = adapter_socket_room(a, fd);
	/* An address of its own, which the kernel chooses, for the answers. */
	if (!error && s->type == SOCK_DGRAM &&
	    ADAPTER_SYS(a, bind(fd, (struct sockaddr *)&self,
				sizeof(self.sun_family))))
		error = adapter_error(a);
	if (!error)
		error = adapter_socket_connect(a, fd, &address, sizeof(address),
					       deadline);
	if (!error && ADAPTER_SYS(a, fcntl(fd, F_SETFL, 0)))
		error = adapter_error(a);
	return error;
}

#endif
