/* SPDX-License-Identifier: MIT */
/*
 * tcp.h - a TCP connection over the loopback interface.
 *
 * The creator listens on a port that the kernel chooses and tells it in a file
 * under the name; the other side connects. The stream of bytes is cut into
 * messages as that of pipes is (stream.h). TCP_NODELAY is set: otherwise a
 * small message waits until the one before it is acknowledged (40 ms).
 *
 * Use it when the peer may once be on another machine, or is in another
 * container. Do not use it inside one machine otherwise: a local socket is
 * faster, passes descriptors and has permissions. Any local user who finds the
 * port can connect first: real services authenticate (TLS) what they accept.
 *
 * A killed peer: the kernel ends the connection, -EPIPE. If the machine or the
 * network fails instead, TCP notices only after minutes, unless keep-alive is
 * set. Accepted is not received: some megabytes fit into the two sockets.
 *
 * System calls, in order:
 *
 *	create	socket, bind, getsockname, setsockopt (TCP_NODELAY), listen;
 *		at the first use accept4; the port: open, write, link
 *	attach	open, read, socket, setsockopt, connect, getsockopt (SO_ERROR)
 *	send	sendmsg
 *	receive	recv
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, when the data or room for it has come
 *	close	close, unlink
 */
#ifndef ADAPTER_TCP_H
#define ADAPTER_TCP_H

#include "common/inet.h"
#include "common/socket_stream.h"

#include <netinet/tcp.h>

static inline ssize_t
adapter_tcp_write(struct adapter *a, struct adapter_stream *s,
		  struct iovec *parts, int count, bool now)
{
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = (size_t)count };

	return ADAPTER_SYS(a, sendmsg(s->out, &m,
				      MSG_NOSIGNAL | (now ? MSG_DONTWAIT : 0)));
}

static inline ssize_t
adapter_tcp_read(struct adapter *a, struct adapter_stream *s, void *to,
		 size_t size, bool now)
{
	return ADAPTER_SYS(a, recv(s->in, to, size, now ? MSG_DONTWAIT : 0));
}

static const struct adapter_bytes adapter_tcp_bytes = {
	.write = adapter_tcp_write,
	.read = adapter_tcp_read,
	.untaken = SIOCOUTQ,
};

static inline int
adapter_tcp_nodelay(struct adapter *a, int fd)
{
	int one = 1;

	if (ADAPTER_SYS(a, setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
				      sizeof(one))))
		return adapter_error(a);
	return 0;
}

static inline int
adapter_tcp_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	uint64_t port = 0;
	int error = adapter_socket_stream_begin(a, config, &adapter_tcp_bytes);

	if (!error && !config->name)
		error = -EINVAL;
	if (!error)
		error = s->listener = adapter_inet_bind(
			a, SOCK_STREAM | SOCK_NONBLOCK, INADDR_LOOPBACK, &port);
	/* What is set on a listening socket, the accepted one inherits. */
	if (error >= 0)
		error = adapter_tcp_nodelay(a, s->listener);
	if (!error)
		error = adapter_socket_room(a, s->listener);
	if (!error && ADAPTER_SYS(a, listen(s->listener, 1)))
		error = adapter_error(a);
	if (!error)
		error = adapter_publish(a, config, port);
	return adapter_done(a, error);
}

static inline int
adapter_tcp_connect(struct adapter *a, uint64_t port, int64_t deadline)
{
	struct sockaddr_in address =
		adapter_inet_address(INADDR_LOOPBACK, port);
	socklen_t length = sizeof(int);
	int fd, error, why = 0;

	fd = adapter_fd(ADAPTER_SYS(
		a, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  0)));
	if (fd < 0)
		return adapter_error(a);
	((struct adapter_socket *)a)->fd = fd;
	error = adapter_tcp_nodelay(a, fd);
	if (!error)
		error = adapter_socket_room(a, fd);
	if (!error)
		error = adapter_socket_connect(a, fd, &address, sizeof(address),
					       deadline);
	if (!error && (ADAPTER_SYS(a, getsockopt(fd, SOL_SOCKET, SO_ERROR, &why,
						 &length)) ||
		       ADAPTER_SYS(a, fcntl(fd, F_SETFL, 0))))
		error = adapter_error(a);
	return error ? error : -why;
}

static inline int
adapter_tcp_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	uint64_t port;
	int error = adapter_socket_stream_begin(a, config, &adapter_tcp_bytes);

	if (!error)
		error = adapter_find_number(a, config->name, &port, deadline);
	if (!error)
		error = adapter_tcp_connect(a, port, deadline);
	return adapter_done(a, error);
}

static const struct adapter_ops adapter_tcp_ops = {
	.name = "tcp",
	.summary = "TCP over the loopback interface",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_BIDIR |
		ADAPTER_NAMED | ADAPTER_POLLABLE | ADAPTER_TIMED |
		ADAPTER_PEER_DEATH | ADAPTER_TAGS,
	.size = sizeof(struct adapter_socket_stream),
	.create = adapter_tcp_create,
	.attach = adapter_tcp_attach,
	.send = adapter_socket_stream_send,
	.recv = adapter_socket_stream_recv,
	.limits = adapter_socket_stream_limits,
	.close = adapter_socket_stream_close,
	.unlink = adapter_unlink_path,
	.pollfd = adapter_socket_stream_pollfd,
};

#endif
