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
 */
#ifndef ADAPTER_ZMQ_H
#define ADAPTER_ZMQ_H

#include "adapter.h"

#ifdef HAVE_ZMQ

#include "library.h"

#include <zmq.h>

#define ADAPTER_ZMQ_HANDSHAKE 512 /* more than the library's own needs */
#define ADAPTER_ZMQ_DEPTH 1000 /* the library's own default */
#define ADAPTER_ZMQ_DESCRIPTORS 16 /* it aborts when some are missing */
#define ADAPTER_ZMQ_NEWS                            \
	(ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | \
	 ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)

struct adapter_zmq {
	struct adapter_library library;
	void *context, *socket, *monitor;
	bool came; /* a peer: one that shook hands */
	int peers; /* connected now, for a moment also one that will not do */
};

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

static inline void
adapter_zmq_close(struct adapter *a)
{
	struct adapter_zmq *z = (struct adapter_zmq *)a;

	if (z->context && adapter_library_mine(a)) {
		if (z->monitor) {
			zmq_socket_monitor(z->socket, NULL, 0);
			zmq_close(z->monitor);
		}
		if (z->socket)
			zmq_close(z->socket);
		while (zmq_ctx_term(z->context) && errno == EINTR)
			;
		adapter_address_drop(&z->library.address);
	}
	z->context = z->socket = z->monitor = NULL;
	a->open = false;
}

static inline int
adapter_zmq_option(struct adapter_zmq *z, int option, int value)
{
	return zmq_setsockopt(z->socket, option, &value, sizeof(value));
}

/** Start the library; bind to the address or connect to it. */
static inline int
adapter_zmq_start(struct adapter *a, bool listen, int64_t deadline)
{
	struct adapter_zmq *z = (struct adapter_zmq *)a;
	int64_t most = ADAPTER_ZMQ_HANDSHAKE + (int64_t)a->limits.message.value;
	int depth = (int)a->limits.depth.value;
	char url[ADAPTER_PATH_MAX + 8];
	int error = adapter_descriptors_left(a, ADAPTER_ZMQ_DESCRIPTORS);

	(void)deadline; /* the library connects when it can */
	if (error)
		return error;
	z->library.owner = getpid();
	z->context = zmq_ctx_new();
	if (z->context)
		z->socket = zmq_socket(z->context,
				       a->roles == ADAPTER_BOTH	    ? ZMQ_PAIR
				       : a->roles == ADAPTER_SENDER ? ZMQ_PUSH
								    : ZMQ_PULL);
	if (z->socket)
		z->monitor = zmq_socket(z->context, ZMQ_PAIR);
	snprintf(url, sizeof(url), "ipc://%s", z->library.address.path);
	/* IMMEDIATE: queue for living peers only. Where we receive, it would
	   throw away what is unread when the peer disconnects; then close may
	   not wait for ever, as the queue for a dead peer stays. */
	if (!z->monitor ||
	    adapter_zmq_option(z, ZMQ_IMMEDIATE, a->roles == ADAPTER_SENDER) ||
	    adapter_zmq_option(z, ZMQ_LINGER,
			       a->roles == ADAPTER_SENDER ? -1 : 1000) ||
	    adapter_zmq_option(z, ZMQ_SNDHWM, depth) ||
	    adapter_zmq_option(z, ZMQ_RCVHWM, depth) ||
	    zmq_setsockopt(z->socket, ZMQ_MAXMSGSIZE, &most, sizeof(most)) ||
	    zmq_socket_monitor(z->socket, "inproc://monitor",
			       ADAPTER_ZMQ_NEWS) ||
	    zmq_connect(z->monitor, "inproc://monitor") ||
	    (listen ? zmq_bind(z->socket, url) : zmq_connect(z->socket, url)))
		return adapter_error(a);
	a->limits.depth.name = NULL; /* of this side only */
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

/** Hear what the monitor says. */
static inline void
adapter_zmq_news(struct adapter_zmq *z)
{
	char frame[ADAPTER_PATH_MAX + 16];
	uint16_t event;

	/* Each piece of news is two frames: what, and where. */
	while (zmq_recv(z->monitor, frame, sizeof(frame), ZMQ_DONTWAIT) > 0) {
		memcpy(&event, frame, sizeof(event));
		zmq_recv(z->monitor, frame, sizeof(frame), 0);
		if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
			z->peers += event == ZMQ_EVENT_DISCONNECTED ? -1 : 1;
			continue;
		}
		z->came = true;
		adapter_library_met(&z->library);
	}
}

/** Wait for events of the socket; -EPIPE when the peers have gone. */
static inline int
adapter_zmq_wait(struct adapter *a, short events, int64_t deadline)
{
	struct adapter_zmq *z = (struct adapter_zmq *)a;
	zmq_pollitem_t items[] = { { z->socket, 0, events, 0 },
				   { z->monitor, 0, ZMQ_POLLIN, 0 } };
	int64_t left = adapter_left(deadline);

	adapter_zmq_news(z);
	if (z->came && z->peers <= 0)
		return -EPIPE;
	if (left == 0)
		return adapter_expired(deadline);
	if (zmq_poll(items, 2,
		     left == INT64_MAX ? -1 : (left + 999999) / 1000000) < 0 &&
	    errno != EINTR)
		return adapter_error(a);
	return 0;
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

#define ADAPTER_ZMQ                                                            \
	.caps = ADAPTER_NAMED | ADAPTER_BIDIR | ADAPTER_POLLABLE |             \
		ADAPTER_TIMED | ADAPTER_PEER_DEATH | ADAPTER_MANY_SENDERS |    \
		ADAPTER_MANY_RECEIVERS | ADAPTER_CREATOR_ALONE | ADAPTER_TAGS, \
	.size = sizeof(struct adapter_zmq), .create = adapter_zmq_create,      \
	.attach = adapter_zmq_attach, .after_fork = adapter_zmq_after_fork,    \
	.send = adapter_zmq_send, .recv = adapter_zmq_recv,                    \
	.limits = adapter_zmq_limits, .close = adapter_zmq_close,              \
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
