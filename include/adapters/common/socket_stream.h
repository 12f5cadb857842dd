/* SPDX-License-Identifier: MIT */
/*
 * socket_stream.h - whole messages over sockets that carry bytes: the frames of
 * stream.h, once the two sides have met.
 */
#ifndef ADAPTER_SOCKET_STREAM_H
#define ADAPTER_SOCKET_STREAM_H

#include "socket.h"
#include "stream.h"

#include <linux/sockios.h>

#define ADAPTER_SOCKET_MESSAGE 65536 /* default of the streams */

struct adapter_socket_stream {
	struct adapter_socket socket;
	struct adapter_stream stream; /* over socket.fd */
};

/** The default limits of a stream: frames of any size are cut by it. */
static inline int
adapter_socket_stream_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - frame header", ADAPTER_FRAME_MAX },
		.bytes = { "net.core.wmem_max",
			   adapter_sysctl("net/core/wmem_max", 212992) },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline int
adapter_socket_stream_begin(struct adapter *a,
			    const struct adapter_config *config,
			    const struct adapter_bytes *bytes)
{
	struct adapter_socket_stream *s = (struct adapter_socket_stream *)a;
	int error = adapter_socket_begin(a, config, SOCK_STREAM,
					 ADAPTER_SOCKET_MESSAGE);

	adapter_stream_clear(&s->stream, bytes);
	return error ? error : adapter_stream_buffers(a, &s->stream);
}

/** The stream, once there is a peer. */
static inline int
adapter_socket_stream_met(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_socket_stream *s = (struct adapter_socket_stream *)a;
	int error = 0;

	if (s->socket.listener >= 0)
		error = adapter_socket_accept(a, adapter_deadline(timeout_ns));
	s->stream.in = s->stream.out = s->socket.fd;
	return error;
}

static inline int
adapter_socket_stream_send(struct adapter *a, const struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_socket_stream *s = (struct adapter_socket_stream *)a;
	int error = adapter_socket_stream_met(a, timeout_ns);

	return error ? error
		     : adapter_stream_send(a, &s->stream, msg, timeout_ns);
}

static inline int
adapter_socket_stream_recv(struct adapter *a, struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_socket_stream *s = (struct adapter_socket_stream *)a;
	int error = adapter_socket_stream_met(a, timeout_ns);

	return error ? error
		     : adapter_stream_recv(a, &s->stream, msg, timeout_ns);
}

static inline int
adapter_socket_stream_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_socket_stream *s = (struct adapter_socket_stream *)a;

	if (s->socket.listener >= 0)
		return adapter_socket_pollfd(a, out);
	s->stream.in = s->stream.out = s->socket.fd;
	return adapter_stream_pollfd(a, &s->stream, out);
}

static inline void
adapter_socket_stream_close(struct adapter *a)
{
	struct adapter_socket_stream *s = (struct adapter_socket_stream *)a;

	s->stream.in = s->stream.out = s->socket.fd;
	adapter_stream_close(a, &s->stream);
	s->socket.fd = -1;
	adapter_socket_close(a);
}

#endif
