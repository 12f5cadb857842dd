/* SPDX-License-Identifier: MIT */
/*
 * unix_seqpacket.h - local socket of whole packets, connected
 *
 * Like a stream socket it is connected, ordered and reliable and reports the
 * end of the peer; like a datagram socket it keeps the limits of messages, so
 * nothing has to be framed. A packet is accepted as a whole or not at all.
 *
 * Use it for requests, answers and descriptors between programs of one
 * machine. Do not use it for messages beyond the send buffer: 212,992 bytes by
 * default, up to twice net.core.wmem_max when config.message_size asks so.
 *
 * A killed peer: what it sent arrives, then -EPIPE.
 */
#ifndef ADAPTER_UNIX_SEQPACKET_H
#define ADAPTER_UNIX_SEQPACKET_H

#include "unix_socket.h"

static inline int
adapter_unix_seqpacket_create(struct adapter *a,
			      const struct adapter_config *config)
{
	return adapter_unix_create(a, config, SOCK_SEQPACKET);
}

static inline int
adapter_unix_seqpacket_attach(struct adapter *a,
			      const struct adapter_config *config,
			      int64_t timeout_ns)
{
	return adapter_unix_attach(a, config, SOCK_SEQPACKET, timeout_ns);
}

static const struct adapter_ops adapter_unix_seqpacket_ops = {
	.name = "unix_seqpacket",
	.summary = "local socket of whole packets",
	.caps = ADAPTER_BIDIR | ADAPTER_NAMED | ADAPTER_POLLABLE |
		ADAPTER_FDPASS | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_TAGS,
	.size = sizeof(struct adapter_socket),
	.create = adapter_unix_seqpacket_create,
	.attach = adapter_unix_seqpacket_attach,
	.after_fork = adapter_socket_after_fork,
	.send = adapter_packet_send,
	.recv = adapter_packet_recv,
	.limits = adapter_unix_packet_limits,
	.close = adapter_socket_close,
	.unlink = adapter_unlink_path,
	.send_fd = adapter_unix_send_fd,
	.recv_fd = adapter_unix_recv_fd,
	.flush = adapter_unix_flush,
	.pollfd = adapter_socket_pollfd,
};

#endif
