/* SPDX-License-Identifier: MIT */
/*
 * zmq_socket.h - the sockets of zmq.h: how the one for the messages is set up
 * and closed, and what its monitor, another socket, tells of connections.
 */
#ifndef ADAPTER_ZMQ_SOCKET_H
#define ADAPTER_ZMQ_SOCKET_H

#include "descriptors.h"
#include "library.h"

#include <zmq.h>

#define ADAPTER_ZMQ_HANDSHAKE 512 /* more than the library's own needs */
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

#endif
