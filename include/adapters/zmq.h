/* SPDX-License-Identifier: MIT */
/*
 * zmq.h - ZeroMQ over ipc://: PUSH and PULL one way, PAIR both ways.
 *
 * ZeroMQ moves whole messages between queues of its own, in threads of its own,
 * through a local socket. It hides connecting and disconnecting; a monitor, an
 * extra socket with the news of the connection, tells who has come and gone.
 * Who creates binds, all others connect to it: it may meet many of the other
 * side, but whoever joins its own side meets nobody.
 *
 * Use it where the peers may move to other machines (tcp:// is one word away)
 * or where many meet in patterns. Not where latency counts: a message wakes two
 * more threads, and is copied twice more. Its system calls are not counted in
 * a->syscalls.
 *
 * Each side queues up to its high-water mark, config.depth, and the socket
 * holds more; so nobody can say how many messages fit, nor which were taken.
 * close waits until the peer's library has all, or the peer is gone; if both
 * sides do both, a second at most. A killed receiver loses what its library
 * held.
 *
 * System calls, in order:
 *
 *	create	zmq_ctx_new, zmq_socket, zmq_socket_monitor, zmq_bind; the
 *		number: open, write, link
 *	attach	open, read, zmq_connect
 *	send	zmq_msg_init_size, zmq_msg_send
 *	receive	zmq_msg_recv
 *	wait	zmq_poll (common/zmq_socket.h), poll in the library
 *	woken	by the library's thread, which writes to an eventfd
 *	close	zmq_close, zmq_ctx_term, unlink
 */
#ifndef ADAPTER_ZMQ_H
#define ADAPTER_ZMQ_H

#include "adapter.h"

#ifdef HAVE_ZMQ

#include "common/zmq_socket.h"

#define ADAPTER_ZMQ_DEPTH 1000 /* the library's own default */

static inline int
adapter_zmq_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - tag", INT32_MAX - sizeof(uint32_t) },
		.depth = { "INT32_MAX", INT32_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline int
adapter_zmq_create(struct adapter *a, const struct adapter_config *config)
{
	return adapter_library_create(a, config, ADAPTER_ZMQ_DEPTH,
				      adapter_zmq_start);
}

static inline int
adapter_zmq_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns)
{
	return adapter_library_attach(a, config, ADAPTER_ZMQ_DEPTH,
				      adapter_zmq_start, timeout_ns);
}

static inline int
adapter_zmq_after_fork(struct adapter *a, bool child)
{
	return adapter_library_after_fork(a, child, adapter_zmq_start);
}

static inline int
adapter_zmq_send(struct adapter *a, const struct adapter_msg *msg,
		 int64_t timeout_ns)
{
	struct adapter_zmq *z = (struct adapter_zmq *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	zmq_msg_t out;
	int error = adapter_check_send(a, msg);

	if (!error && zmq_msg_init_size(&out, adapter_library_size(msg)))
		error = -ENOMEM;
	if (error)
		return error;
	adapter_library_pack(msg, zmq_msg_data(&out));
	while (zmq_msg_send(&out, z->socket, ZMQ_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		error = errno == EAGAIN
				? adapter_zmq_wait(a, ZMQ_POLLOUT, deadline)
				: adapter_error(a);
		if (error) {
			zmq_msg_close(&out);
			return error;
		}
	}
	return 0;
}

static inline int
adapter_zmq_recv(struct adapter *a, struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_zmq *z = (struct adapter_zmq *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	bool gone = false;
	zmq_msg_t in;
	int error = adapter_check_recv(a, msg);

	if (error)
		return error;
	zmq_msg_init(&in);
	while (zmq_msg_recv(&in, z->socket, ZMQ_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		if (gone) /* and this was a last look */
			return -EPIPE;
		error = adapter_zmq_wait(a, ZMQ_POLLIN, deadline);
		gone = error == -EPIPE;
		if (error && !gone)
			return error;
	}
	error = adapter_library_unpack(a, msg, zmq_msg_data(&in),
				       zmq_msg_size(&in));
	zmq_msg_close(&in);
	return error;
}

/** Edge-triggered: it tells that something has changed, for better or worse. */
static inline int
adapter_zmq_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_zmq *z = (struct adapter_zmq *)a;
	int fd, events;
	size_t length = sizeof(fd);

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	if (zmq_getsockopt(z->socket, ZMQ_FD, &fd, &length) ||
	    zmq_getsockopt(z->socket, ZMQ_EVENTS, &events, &length))
		return adapter_error(a);
	*out = (struct pollfd){ .fd = fd, .events = POLLIN };
	return (events & ZMQ_POLLIN) != 0;
}

#define ADAPTER_ZMQ                                                         \
	.caps = ADAPTER_NAMED | ADAPTER_BIDIR | ADAPTER_POLLABLE |          \
		ADAPTER_TIMED | ADAPTER_PEER_DEATH | ADAPTER_MANY_SENDERS | \
		ADAPTER_MANY_RECEIVERS | ADAPTER_CREATOR_ALONE |            \
		ADAPTER_TAGS | ADAPTER_UNCOUNTED,                           \
	.size = sizeof(struct adapter_zmq), .create = adapter_zmq_create,   \
	.attach = adapter_zmq_attach, .after_fork = adapter_zmq_after_fork, \
	.send = adapter_zmq_send, .recv = adapter_zmq_recv,                 \
	.limits = adapter_zmq_limits, .close = adapter_zmq_close,           \
	.unlink = adapter_address_unlink, .pollfd = adapter_zmq_pollfd

#else
#define ADAPTER_ZMQ .missing = "libzmq3-dev"
#endif

static const struct adapter_ops adapter_zmq_ops = {
	.name = "zmq",
	.summary = "ZeroMQ over a local socket",
	ADAPTER_ZMQ,
};

#endif
