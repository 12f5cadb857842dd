/* SPDX-License-Identifier: MIT */
/*
 * unix_socket.h - what the three kinds of local socket share: a name in the
 * file system or a socketpair, and passing a descriptor to the peer.
 */
#ifndef ADAPTER_UNIX_SOCKET_H
#define ADAPTER_UNIX_SOCKET_H

#include "packet.h"
#include "socket_stream.h"

#include <sys/un.h>

#define ADAPTER_UNIX_OVERHEAD (32 + sizeof(struct adapter_packet))

/** Largest packet: the send buffer less what the kernel keeps of it. */
static inline int
adapter_unix_packet_limits(struct adapter_limits *limits)
{
	uint64_t largest = adapter_sysctl("net/core/wmem_max", 212992);

	*limits = (struct adapter_limits){
		.message = { "2 * net.core.wmem_max - overhead",
			     2 * largest - ADAPTER_UNIX_OVERHEAD },
		.bytes = { "net.core.wmem_max", largest },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

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
	s->meet = !connected && (a->roles & ADAPTER_SENDER);
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
	adapter_socket_use(s, fd);
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

static inline int
adapter_unix_begin(struct adapter *a, const struct adapter_config *config,
		   int type)
{
	uint64_t packet = adapter_sysctl("net/core/wmem_default", 212992) -
			  ADAPTER_UNIX_OVERHEAD;

	return adapter_socket_begin(a, config, type,
				    type == SOCK_STREAM ? ADAPTER_SOCKET_MESSAGE
							: packet);
}

static inline int
adapter_unix_create(struct adapter *a, const struct adapter_config *config,
		    int type)
{
	int error = adapter_unix_begin(a, config, type);

	if (!error)
		error = adapter_unix_open(a, config);
	return adapter_done(a, error);
}

static inline int
adapter_unix_attach(struct adapter *a, const struct adapter_config *config,
		    int type, int64_t timeout_ns)
{
	struct adapter_msg announcement = { .data = NULL };
	int error = adapter_unix_begin(a, config, type);

	if (!error)
		error = adapter_unix_enter(a, config->name,
					   adapter_deadline(timeout_ns));
	if (!error && type == SOCK_DGRAM && (a->roles & ADAPTER_RECEIVER))
		error = adapter_packet_write(a, &announcement, -1, 0);
	return adapter_done(a, error);
}

/** Pass a copy of fd; it keeps its place among the messages. */
static inline int
adapter_unix_give(struct adapter *a, int fd, int64_t deadline)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	struct adapter_msg empty = { .data = NULL };
	int error = adapter_socket_peer(a, deadline);

	if (!error && s->type == SOCK_STREAM)
		error = adapter_stream_drain(a, &s->stream, deadline);
	return error ? error : adapter_packet_write(a, &empty, fd, deadline);
}

/** The descriptor that comes next; -EPROTOTYPE if it is a message. */
static inline int
adapter_unix_take(struct adapter *a, int64_t deadline)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	struct adapter_msg none = { .data = NULL };
	struct adapter_frame frame;
	int *from = &s->descriptor, fd;
	int error = adapter_socket_peer(a, deadline);
	ssize_t n;

	if (error)
		return error;
	if (s->type == SOCK_STREAM) {
		error = adapter_stream_next(a, &s->stream, &frame, deadline);
		if (error != -EPROTOTYPE) /* none comes next: a message does */
			return error ? error : -EPROTOTYPE;
		s->stream.unread_start += sizeof(frame);
		from = &s->stream.passed;
	} else if (!s->descriptor_next) {
		error = adapter_poll(a, s->fd, POLLIN, deadline);
		if (error && deadline)
			return error;
		n = ADAPTER_SYS(a, recv(s->fd, NULL, 0,
					MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT));
		if (n > (ssize_t)sizeof(struct adapter_packet))
			return -EPROTOTYPE;
		error = adapter_packet_read(a, &none, 0);
		if (error != -EPROTOTYPE)
			return error;
	}
	s->descriptor_next = false;
	fd = *from;
	*from = -1;
	if (fd < 0) /* the kernel dropped it */
		return adapter_refuse(a, -EMFILE, "RLIMIT_NOFILE",
				      adapter_rlimit(RLIMIT_NOFILE));
	return fd;
}

static inline int
adapter_unix_send_fd(struct adapter *a, int fd, int64_t timeout_ns)
{
	return a->roles & ADAPTER_SENDER
		       ? adapter_unix_give(a, fd, adapter_deadline(timeout_ns))
		       : -EBADF;
}

static inline int
adapter_unix_recv_fd(struct adapter *a, int64_t timeout_ns)
{
	return a->roles & ADAPTER_RECEIVER
		       ? adapter_unix_take(a, adapter_deadline(timeout_ns))
		       : -EBADF;
}

/** Until the receiver has read all: SIOCOUTQ counts what it has not. */
static inline int
adapter_unix_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_socket_peer(a, deadline);

	if (error)
		return error;
	s->stream.out = s->fd;
	error = adapter_stream_flush(a, &s->stream, adapter_left(deadline));
	if (s->type != SOCK_STREAM)
		s->stream.out = -1;
	return error;
}

#endif
