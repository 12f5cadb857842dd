/* SPDX-License-Identifier: MIT */
/*
 * socket_stream.h - whole messages over sockets that carry bytes: the frames of
 * stream.h, once the two sides have met.
 */
#ifndef ADAPTER_SOCKET_STREAM_H
#define ADAPTER_SOCKET_STREAM_H

#include "socket.h"

#define ADAPTER_SOCKET_MESSAGE 65536 /* default of the streams */

/** The default limits of a stream: frames of any size are cut by it. */
static inline int
adapter_socket_stream_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - frame header", ADAPTER_STREAM_MAX },
		.bytes = { "net.core.wmem_max",
			   adapter_sysctl("net/core/wmem_max", 212992) },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

/** Who listens must have met its peer before bytes can flow. */
static inline int
adapter_socket_met(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_socket *s = (struct adapter_socket *)a;

	return s->listener < 0
		       ? 0
		       : adapter_socket_peer(a, adapter_deadline(timeout_ns));
}

static inline int
adapter_socket_stream_send(struct adapter *a, const struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int error = adapter_socket_met(a, timeout_ns);

	return error ? error
		     : adapter_stream_send(a, &s->stream, msg, timeout_ns);
}

static inline int
adapter_socket_stream_recv(struct adapter *a, struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int error = adapter_socket_met(a, timeout_ns);

	return error ? error
		     : adapter_stream_recv(a, &s->stream, msg, timeout_ns);
}

#endif
