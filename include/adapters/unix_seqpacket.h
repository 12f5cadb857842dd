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
 *
 * System calls, in order:
 *
 *	create	socket, setsockopt (SO_SNDBUF), fchmod, bind, listen; at the
 *		first use accept4; or socketpair
 *	attach	socket, connect; again after nanosleep, until somebody listens
 *	send	sendmsg (common/packet.h)
 *	receive	recvmsg (common/packet.h); 0 bytes are the end
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at the other side's call
 *	close	close, unlink
 */
#ifndef ADAPTER_UNIX_SEQPACKET_H
#define ADAPTER_UNIX_SEQPACKET_H

#include "common/unix_packet.h"

static inline int
adapter_unix_seqpacket_create(struct adapter *a,
			      const struct adapter_config *config)
{
	int error = adapter_unix_packet_begin(a, config, SOCK_SEQPACKET);

	if (!error)
		error = adapter_unix_open(a, config);
	return adapter_done(a, error);
}

static inline int
adapter_unix_seqpacket_attach(struct adapter *a,
			      const struct adapter_config *config,
			      int64_t timeout_ns)
{
	int error = adapter_unix_packet_begin(a, config, SOCK_SEQPACKET);

	if (!error)
		error = adapter_unix_enter(a, config->name,
					   adapter_deadline(timeout_ns));
	return adapter_done(a, error);
}

static const struct adapter_ops adapter_unix_seqpacket_ops = {
	.name = "unix_seqpacket",
	.summary = "local socket of whole packets",
	.caps = ADAPTER_BIDIR | ADAPTER_NAMED | ADAPTER_POLLABLE |
		ADAPTER_FDPASS | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_TAGS,
	.size = sizeof(struct adapter_packets),
	.create = adapter_unix_seqpacket_create,
	.attach = adapter_unix_seqpacket_attach,
	.after_fork = adapter_socket_after_fork,
	.send = adapter_packet_send,
	.recv = adapter_packet_recv,
	.limits = adapter_unix_packet_limits,
	.close = adapter_packet_close,
	.unlink = adapter_unlink_path,
	.send_fd = adapter_unix_packet_send_fd,
	.recv_fd = adapter_unix_packet_recv_fd,
	.flush = adapter_unix_packet_flush,
	.pollfd = adapter_socket_pollfd,
};

#endif
