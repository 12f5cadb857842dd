/* SPDX-License-Identifier: MIT */
/*
 * socket.h - what the socket mechanisms share: how two processes meet, and the
 * sizes of buffers. Messages over streams are in socket_stream.h, over sockets
 * that keep their limits in packet.h.
 *
 * Connected types (stream, seqpacket): the creator listens, the other side
 * connects; the creator accepts in its first operation and then closes the
 * listening socket, so there is one peer.
 */
#ifndef ADAPTER_SOCKET_H
#define ADAPTER_SOCKET_H

#include "connect.h"

#include <limits.h>

struct adapter_socket {
	struct adapter base;
	int type; /* SOCK_STREAM, ... */
	/* What the buffers must hold: messages of that many bytes; 0: one, and
	   as many as there happens to be room for. */
	size_t depth, largest;
	int listener; /* until the peer has come */
	int fd; /* of the peer, or -1 */
	int pair[2]; /* until after_fork: parent, child */
};

static inline void
adapter_socket_close(struct adapter *a)
{
	struct adapter_socket *s = (struct adapter_socket *)a;

	adapter_close_fd(a, &s->fd);
	adapter_close_fd(a, &s->listener);
	adapter_close_fd(a, &s->pair[0]);
	adapter_close_fd(a, &s->pair[1]);
	a->open = false;
}

/** Refuse a size of buffer (SO_SNDBUF, SO_RCVBUF) that the system trims. */
static inline int
adapter_socket_buffer(struct adapter *a, int fd, int option, uint64_t size)
{
	bool sending = option == SO_SNDBUF;
	const char *name = sending ? "net.core.wmem_max" : "net.core.rmem_max";
	uint64_t largest = adapter_sysctl(
		sending ? "net/core/wmem_max" : "net/core/rmem_max", 0);
	int ask = size > INT_MAX ? INT_MAX : (int)(size / 2 + 1), got = 0;
	socklen_t length = sizeof(got);

	if (ADAPTER_SYS(
		    a, setsockopt(fd, SOL_SOCKET, option, &ask, sizeof(ask))) ||
	    ADAPTER_SYS(a, getsockopt(fd, SOL_SOCKET, option, &got, &length)))
		return adapter_error(a);
	if ((uint64_t)got < size)
		return adapter_refuse(a, -EINVAL, name, largest);
	return 0;
}

/**
 * Make room for config.depth messages, or for one of the largest. The kernel
 * charges its own structures too: a page or the next power of two, and more.
 */
static inline int
adapter_socket_room(struct adapter *a, int fd)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	uint64_t room = s->largest + 64, size;
	socklen_t length = sizeof(int);
	int has = 0, error = 0;

	if (s->depth > UINT32_MAX)
		return adapter_refuse(a, -EINVAL, a->limits.bytes.name,
				      a->limits.bytes.value);
	if (s->depth)
		room = s->depth * (2 * s->largest + 1024);
	if (ADAPTER_SYS(a,
			getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &has, &length)))
		return adapter_error(a);
	size = (uint64_t)has;
	if (s->depth || (s->type != SOCK_STREAM && size < room))
		error = adapter_socket_buffer(a, fd, SO_SNDBUF, room);
	if (!error && s->depth)
		error = adapter_socket_buffer(a, fd, SO_RCVBUF, room);
	return error;
}

/** No descriptor is open yet. */
static inline void
adapter_socket_clear(struct adapter_socket *s, int type)
{
	s->type = type;
	s->listener = s->fd = s->pair[0] = s->pair[1] = -1;
}

/** Begin create or attach. */
static inline int
adapter_socket_begin(struct adapter *a, const struct adapter_config *config,
		     int type, size_t message_size)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int error = adapter_begin(a, config, message_size, 0);

	adapter_socket_clear(s, type);
	s->depth = config->depth;
	s->largest = a->limits.message.value;
	return error;
}

/** Who listens must have met its peer before anything can flow. */
static inline int
adapter_socket_accept(struct adapter *a, int64_t deadline)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int error;

	while (s->listener >= 0) {
		s->fd = adapter_fd(ADAPTER_SYS(
			a, accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)));
		if (s->fd >= 0) {
			adapter_close_fd(a, &s->listener);
			return adapter_socket_room(a, s->fd);
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			return adapter_error(a);
		error = adapter_poll(a, s->listener, POLLIN, deadline);
		if (error)
			return error;
	}
	return 0;
}

static inline int
adapter_socket_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_socket *s = (struct adapter_socket *)a;

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	*out = (struct pollfd){ .fd = s->listener >= 0 ? s->listener : s->fd,
				.events = POLLIN };
	return 0;
}

static inline int
adapter_socket_after_fork(struct adapter *a, bool child)
{
	struct adapter_socket *s = (struct adapter_socket *)a;

	s->fd = s->pair[child];
	s->pair[child] = -1;
	adapter_close_fd(a, &s->pair[!child]);
	if (child)
		a->roles = adapter_opposite(a->roles);
	return 0;
}

#endif
