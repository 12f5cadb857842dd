/* SPDX-License-Identifier: MIT */
/*
 * unix_dgram.h - local datagram socket, named or a pair
 *
 * Datagrams inside one machine are reliable and ordered, unlike UDP: a full
 * queue makes the sender wait. Nobody is connected: any number of senders can
 * write to the name of one receiver. A creator that sends, or does both, talks
 * to one peer only, the first that attaches.
 *
 * Use it to collect messages from many processes, as syslog does. Do not use
 * it where the end of the peer must be known: a receiver is not told, only a
 * sender is (-EPIPE); unix_seqpacket.h tells both.
 *
 * The queue of a named receiver holds net.unix.max_dgram_qlen + 1 packets (11),
 * whatever their size; between two connected sockets only the send buffer
 * limits.
 *
 * System calls, in order:
 *
 *	create	socket, setsockopt (SO_SNDBUF), fchmod, bind; if it sends:
 *		recvfrom (MSG_PEEK), connect; or socketpair
 *	attach	socket, bind (to no name), connect, sendmsg (an empty packet)
 *	send	sendmsg (common/packet.h)
 *	receive	recvmsg (common/packet.h)
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at the other side's call
 *	close	close, unlink
 */
#ifndef ADAPTER_UNIX_DGRAM_H
#define ADAPTER_UNIX_DGRAM_H

#include "common/unix_packet.h"

/** The queue of a receiver that is not connected. */
static inline int
adapter_unix_dgram_depth(struct adapter *a, const struct adapter_config *config,
			 bool unconnected)
{
	uint64_t most = adapter_sysctl("net/unix/max_dgram_qlen", 10) + 1;

	if (!unconnected)
		return 0;
	if (config->depth > most) {
		a->ops->close(a);
		return adapter_refuse(a, -EINVAL, "net.unix.max_dgram_qlen + 1",
				      most);
	}
	a->limits.depth =
		(struct adapter_limit){ "net.unix.max_dgram_qlen + 1", most };
	return 0;
}

static inline int
adapter_unix_dgram_create(struct adapter *a,
			  const struct adapter_config *config)
{
	int error = adapter_unix_packet_begin(a, config, SOCK_DGRAM);

	if (!error)
		error = adapter_unix_open(a, config);
	((struct adapter_packets *)a)->meet =
		config->name && (a->roles & ADAPTER_SENDER);
	error = adapter_done(a, error);
	if (error)
		return error;
	error = adapter_unix_dgram_depth(
		a, config, config->name && a->roles == ADAPTER_RECEIVER);
	if (error)
		a->ops->unlink(a->ops, config->name);
	return error;
}

static inline int
adapter_unix_dgram_attach(struct adapter *a,
			  const struct adapter_config *config,
			  int64_t timeout_ns)
{
	struct adapter_msg announcement = { .data = NULL };
	int error = adapter_unix_packet_begin(a, config, SOCK_DGRAM);

	if (!error)
		error = adapter_unix_enter(a, config->name,
					   adapter_deadline(timeout_ns));
	if (!error && (a->roles & ADAPTER_RECEIVER))
		error = adapter_packet_write(a, &announcement, -1, 0);
	error = adapter_done(a, error);
	if (error)
		return error;
	return adapter_unix_dgram_depth(a, config, a->roles == ADAPTER_SENDER);
}

static const struct adapter_ops adapter_unix_dgram_ops = {
	.name = "unix_dgram",
	.summary = "local datagram socket",
	.caps = ADAPTER_BIDIR | ADAPTER_NAMED | ADAPTER_POLLABLE |
		ADAPTER_FDPASS | ADAPTER_TIMED | ADAPTER_MANY_SENDERS |
		ADAPTER_CREATOR_ALONE | ADAPTER_TAGS,
	.size = sizeof(struct adapter_packets),
	.create = adapter_unix_dgram_create,
	.attach = adapter_unix_dgram_attach,
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
