/* SPDX-License-Identifier: MIT */
/*
 * udp.h - UDP datagrams over the loopback interface.
 *
 * A datagram arrives as a whole, or not at all: what finds the receive buffer
 * full is dropped, and the sender is not told. So send never waits for the
 * receiver. Each datagram has a sequence number; the receiver adds the gaps up
 * in `lost`. What is lost after the last one received shows in no gap.
 *
 * Use it where the newest value counts and an old one may be missed. Do not
 * use it for what must arrive. Use config.depth for a larger receive buffer.
 *
 * The creator tells its port in a file under the name and takes the first who
 * sends to it as its peer. A killed peer: the receiver is not told; a sender
 * gets -EPIPE, when the kernel answers that the port is closed.
 *
 * System calls, in order:
 *
 *	create	socket, bind, getsockname; at the first use recvfrom
 *		(MSG_PEEK), connect; the port: open, write, link
 *	attach	open, read, socket, bind, connect, sendmsg (an empty packet)
 *	send	sendmsg (common/packet.h)
 *	receive	recvmsg (common/packet.h)
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at the other side's call
 *	close	close, unlink
 */
#ifndef ADAPTER_UDP_H
#define ADAPTER_UDP_H

#include "common/inet.h"
#include "common/packet.h"

/** The limits of a UDP datagram. */
static inline int
adapter_udp_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "65507 (UDP) - packet header",
			     65507 - sizeof(struct adapter_packet) },
		.bytes = { "net.core.rmem_max",
			   adapter_sysctl("net/core/rmem_max", 212992) },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline int
adapter_udp_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	uint64_t port = 0;
	int error = adapter_packet_begin(a, config, SOCK_DGRAM, 0);

	if (!error && !config->name)
		error = -EINVAL;
	if (!error)
		error = s->fd = adapter_inet_bind(a, SOCK_DGRAM,
						  INADDR_LOOPBACK, &port);
	if (error >= 0)
		error = adapter_socket_room(a, s->fd);
	if (!error)
		error = adapter_publish(a, config, port);
	((struct adapter_packets *)a)->meet = true;
	return adapter_done(a, error);
}

static inline int
adapter_udp_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_msg announcement = { .data = NULL };
	struct sockaddr_in address;
	uint64_t port, own = 0;
	int error = adapter_packet_begin(a, config, SOCK_DGRAM, 0);

	if (!error)
		error = adapter_find_number(a, config->name, &port, deadline);
	if (!error)
		error = s->fd =
			adapter_inet_bind(a, SOCK_DGRAM, INADDR_LOOPBACK, &own);
	if (error >= 0)
		error = adapter_socket_room(a, s->fd);
	if (!error) {
		address = adapter_inet_address(INADDR_LOOPBACK, port);
		error = adapter_socket_connect(a, s->fd, &address,
					       sizeof(address), deadline);
	}
	if (!error)
		error = adapter_packet_write(a, &announcement, -1, 0);
	return adapter_done(a, error);
}

static const struct adapter_ops adapter_udp_ops = {
	.name = "udp",
	.summary = "UDP over the loopback interface",
	.caps = ADAPTER_BIDIR | ADAPTER_NAMED | ADAPTER_POLLABLE |
		ADAPTER_TIMED | ADAPTER_LOSSY | ADAPTER_TAGS,
	.size = sizeof(struct adapter_packets),
	.create = adapter_udp_create,
	.attach = adapter_udp_attach,
	.send = adapter_packet_send,
	.recv = adapter_packet_recv,
	.limits = adapter_udp_limits,
	.close = adapter_packet_close,
	.unlink = adapter_unlink_path,
	.pollfd = adapter_socket_pollfd,
};

#endif
