/* SPDX-License-Identifier: MIT */
/*
 * udp_multicast.h - datagrams to any number of receivers, over loopback.
 *
 * A datagram to a group address (239.x.y.z) is copied by the kernel to every
 * socket that has joined the group. The creator chooses group and port and
 * tells them in a file under the name; it may be the sender or a receiver.
 * The time to live is 0, so nothing leaves the machine.
 *
 * Use it to publish values to whoever is interested, without knowing whom. Do
 * not use it for what must arrive: it is as lossy as udp.h (each receiver
 * counts in `lost`, for up to 16 senders apart), and what is sent before a
 * receiver joins does not reach it. Neither side is told that the other has
 * died.
 *
 * System calls, in order:
 *
 *	create	socket, setsockopt (SO_REUSEADDR), bind, getsockname; the
 *		group and port: open, write, link
 *	attach	open, read, socket, bind; receivers: setsockopt
 *		(IP_ADD_MEMBERSHIP); senders: setsockopt
 *		(IP_MULTICAST_IF, IP_MULTICAST_TTL), connect
 *	send	sendmsg (common/packet.h)
 *	receive	recvmsg (common/packet.h)
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at a sender's call
 *	close	close, unlink
 */
#ifndef ADAPTER_UDP_MULTICAST_H
#define ADAPTER_UDP_MULTICAST_H

#include "udp.h"

/** Join the group, or send to it; port 0 chooses one. */
static inline int
adapter_udp_multicast_join(struct adapter *a, uint32_t group, uint64_t *port)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	struct ip_mreqn member = { .imr_multiaddr.s_addr = htonl(group),
				   .imr_address.s_addr =
					   htonl(INADDR_LOOPBACK) };
	bool sends = a->roles & ADAPTER_SENDER;
	uint64_t own = sends ? 0 : *port;
	struct sockaddr_in address;
	int error, zero = 0;

	s->fd = adapter_inet_bind(a, SOCK_DGRAM,
				  sends ? INADDR_LOOPBACK : group, &own);
	if (s->fd < 0)
		return s->fd;
	error = adapter_socket_room(a, s->fd);
	if (error)
		return error;
	if (*port == 0)
		*port = own;
	if (!sends)
		return ADAPTER_SYS(a, setsockopt(s->fd, IPPROTO_IP,
						 IP_ADD_MEMBERSHIP, &member,
						 sizeof(member)))
			       ? adapter_error(a)
			       : 0;
	address = adapter_inet_address(group, *port);
	if (ADAPTER_SYS(a, setsockopt(s->fd, IPPROTO_IP, IP_MULTICAST_IF,
				      &member, sizeof(member))) ||
	    ADAPTER_SYS(a, setsockopt(s->fd, IPPROTO_IP, IP_MULTICAST_TTL,
				      &zero, sizeof(zero))) ||
	    ADAPTER_SYS(a, connect(s->fd, (struct sockaddr *)&address,
				   sizeof(address))))
		return adapter_error(a);
	return 0;
}

static inline int
adapter_udp_multicast_create(struct adapter *a,
			     const struct adapter_config *config)
{
	/* Of this process alone: nobody else's datagrams come to the port. */
	uint32_t group = UINT32_C(239) << 24 | ((uint32_t)getpid() & 0xffffff);
	uint64_t port = 0;
	int error = adapter_packet_begin(a, config, SOCK_DGRAM, 0);

	if (!error)
		error = config->name
				? adapter_udp_multicast_join(a, group, &port)
				: -EINVAL;
	if (!error)
		error = adapter_publish(a, config,
					(uint64_t)group << 16 | port);
	return adapter_done(a, error);
}

static inline int
adapter_udp_multicast_attach(struct adapter *a,
			     const struct adapter_config *config,
			     int64_t timeout_ns)
{
	uint64_t where, port;
	int error = adapter_packet_begin(a, config, SOCK_DGRAM, 0);

	if (!error)
		error = adapter_find_number(a, config->name, &where,
					    adapter_deadline(timeout_ns));
	if (!error) {
		port = where & 0xffff;
		error = adapter_udp_multicast_join(a, (uint32_t)(where >> 16),
						   &port);
	}
	return adapter_done(a, error);
}

static const struct adapter_ops adapter_udp_multicast_ops = {
	.name = "udp_multicast",
	.summary = "UDP to a group of receivers over loopback",
	.caps = ADAPTER_NAMED | ADAPTER_POLLABLE | ADAPTER_TIMED |
		ADAPTER_LOSSY | ADAPTER_MANY_SENDERS | ADAPTER_BROADCAST |
		ADAPTER_TAGS,
	.size = sizeof(struct adapter_packets),
	.create = adapter_udp_multicast_create,
	.attach = adapter_udp_multicast_attach,
	.send = adapter_packet_send,
	.recv = adapter_packet_recv,
	.limits = adapter_udp_limits,
	.close = adapter_packet_close,
	.unlink = adapter_unlink_path,
	.pollfd = adapter_socket_pollfd,
};

#endif
