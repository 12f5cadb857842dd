/* SPDX-License-Identifier: MIT */
/*
 * unix_stream.h - local stream socket, named or a pair
 *
 * A connected, two-way stream of bytes inside one machine. stream.h cuts it
 * into messages: a header and the data go out by one gathering call. The name
 * is a file, whose permissions say who may connect; related processes take a
 * socketpair instead. Descriptors can be passed (send_fd, recv_fd).
 *
 * Use it as the first choice for a service to other programs: it is pollable,
 * tells at once when the peer has gone, and carries messages of any size. Do
 * not use it where messages matter more than bytes (unix_seqpacket.h keeps
 * their limits by itself), or across machines (tcp.h).
 *
 * A killed peer: what it sent arrives, then -EPIPE. The file stays after a
 * crash until unlink.
 */
#ifndef ADAPTER_UNIX_STREAM_H
#define ADAPTER_UNIX_STREAM_H

#include "unix_socket.h"

static inline int
adapter_unix_stream_create(struct adapter *a,
			   const struct adapter_config *config)
{
	return adapter_unix_create(a, config, SOCK_STREAM);
}

static inline int
adapter_unix_stream_attach(struct adapter *a,
			   const struct adapter_config *config,
			   int64_t timeout_ns)
{
	return adapter_unix_attach(a, config, SOCK_STREAM, timeout_ns);
}

static const struct adapter_ops adapter_unix_stream_ops = {
	.name = "unix_stream",
	.summary = "local stream socket",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_BIDIR |
		ADAPTER_NAMED | ADAPTER_POLLABLE | ADAPTER_FDPASS |
		ADAPTER_TIMED | ADAPTER_PEER_DEATH | ADAPTER_TAGS,
	.size = sizeof(struct adapter_socket),
	.create = adapter_unix_stream_create,
	.attach = adapter_unix_stream_attach,
	.after_fork = adapter_socket_after_fork,
	.send = adapter_socket_stream_send,
	.recv = adapter_socket_stream_recv,
	.limits = adapter_socket_stream_limits,
	.close = adapter_socket_close,
	.unlink = adapter_unlink_path,
	.send_fd = adapter_unix_send_fd,
	.recv_fd = adapter_unix_recv_fd,
	.flush = adapter_unix_flush,
	.pollfd = adapter_socket_pollfd,
};

#endif
