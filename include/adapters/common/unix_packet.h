/* SPDX-License-Identifier: MIT */
/*
 * unix_packet.h - what the two kinds of local socket that keep the limits of
 * messages have in common, and how they pass descriptors.
 */
#ifndef ADAPTER_UNIX_PACKET_H
#define ADAPTER_UNIX_PACKET_H

#include "packet.h"
#include "taken.h"
#include "unix_socket.h"

#include <linux/sockios.h>

#define ADAPTER_UNIX_OVERHEAD (32 + sizeof(struct adapter_packet))

/** Largest packet: the send buffer less what the kernel keeps of it. */
static inline int
adapter_unix_packet_limits(struct adapter_limits *limits)
{
	uint64_t largest = adapter_sysctl("net/core/wmem_max", 212992);

	*limits = (struct adapter_limits){
		.message = { "2 * net.core.wmem_max - overhead",
			     2 * largest - ADAPTER_UNIX_OVERHEAD },
		.bytes = { "net.core.wmem_max", largest },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline int
adapter_unix_packet_begin(struct adapter *a,
			  const struct adapter_config *config, int type)
{
	return adapter_packet_begin(
		a, config, type,
		adapter_sysctl("net/core/wmem_default", 212992) -
			ADAPTER_UNIX_OVERHEAD);
}

/** Pass a copy of fd; it keeps its place among the messages. */
static inline int
adapter_unix_packet_send_fd(struct adapter *a, int fd, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_msg empty = { .data = NULL };
	int error;

	if (!(a->roles & ADAPTER_SENDER))
		return -EBADF;
	error = adapter_packet_meet(a, deadline);
	return error ? error : adapter_packet_write(a, &empty, fd, deadline);
}

/** Wait for the packet with a descriptor; -EPROTOTYPE if it is a message. */
static inline int
adapter_unix_packet_next_fd(struct adapter *a, int64_t deadline)
{
	struct adapter_packets *s = (struct adapter_packets *)a;
	struct adapter_msg none = { .data = NULL };
	int error = adapter_packet_meet(a, deadline);
	ssize_t n;

	if (error || s->descriptor_next)
		return error;
	error = adapter_poll(a, s->socket.fd, POLLIN, deadline);
	if (error && deadline)
		return error;
	n = ADAPTER_SYS(a, recv(s->socket.fd, NULL, 0,
				MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT));
	if (n > (ssize_t)sizeof(struct adapter_packet))
		return -EPROTOTYPE;
	error = adapter_packet_read(a, &none, 0);
	return error == -EPROTOTYPE ? 0 : error;
}

static inline int
adapter_unix_packet_recv_fd(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_packets *s = (struct adapter_packets *)a;
	int error = a->roles & ADAPTER_RECEIVER ? 0 : -EBADF;

	if (!error)
		error = adapter_unix_packet_next_fd(
			a, adapter_deadline(timeout_ns));
	if (error)
		return error;
	s->descriptor_next = false;
	return adapter_rights_result(a, &s->descriptor);
}

/** Until the receiver has read all: SIOCOUTQ counts what it has not. */
static inline int
adapter_unix_packet_flush(struct adapter *a, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_packet_meet(a, deadline);

	return error ? error
		     : adapter_taken(a, ((struct adapter_socket *)a)->fd,
				     SIOCOUTQ, deadline);
}

#endif
