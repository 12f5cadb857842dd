/* SPDX-License-Identifier: MIT */
/*
 * packet.h - whole messages over sockets that keep their limits: one sendmsg
 * and one recvmsg each.
 *
 * A packet is a header (tag, sequence number) and the data. An empty one
 * carries a descriptor (SCM_RIGHTS) or announces its sender.
 *
 * Nobody listens for datagrams: the other side announces itself with an empty
 * packet; a creator that sends, or wants one peer only, connects to whom it
 * hears first.
 */
#ifndef ADAPTER_PACKET_H
#define ADAPTER_PACKET_H

#include "rights.h"
#include "socket.h"

#include <netinet/in.h>

#define ADAPTER_PACKET_SENDERS 16 /* whose losses one receiver counts */

struct adapter_packet {
	uint32_t tag;
	uint32_t sequence;
};

struct adapter_packet_sender {
	uint16_t port; /* 0: nobody */
	uint32_t next; /* sequence number */
};

struct adapter_packets {
	struct adapter_socket socket;
	bool meet; /* datagrams: take the first as peer */
	bool descriptor_next; /* a packet with one was received */
	int descriptor; /* which; -1: there was no room */
	uint32_t sent; /* sequence number of packets */
	struct adapter_packet_sender senders[ADAPTER_PACKET_SENDERS];
};

static inline int
adapter_packet_begin(struct adapter *a, const struct adapter_config *config,
		     int type, size_t message_size)
{
	int error = adapter_socket_begin(a, config, type, message_size);

	((struct adapter_packets *)a)->descriptor = -1;
	return error;
}

static inline void
adapter_packet_close(struct adapter *a)
{
	adapter_close_fd(a, &((struct adapter_packets *)a)->descriptor);
	adapter_socket_close(a);
}

/** The creator's peer: accept it, or hear of it, until the deadline. */
static inline int
adapter_packet_meet(struct adapter *a, int64_t deadline)
{
	struct adapter_packets *s = (struct adapter_packets *)a;
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	int fd = s->socket.fd, error;

	if (!s->meet)
		return adapter_socket_accept(a, deadline);
	while (ADAPTER_SYS(a, recvfrom(fd, NULL, 0, MSG_PEEK | MSG_DONTWAIT,
				       (struct sockaddr *)&from, &length)) <
	       0) {
		if (errno != EAGAIN && errno != EINTR)
			return adapter_error(a);
		error = adapter_poll(a, fd, POLLIN, deadline);
		if (error)
			return error;
	}
	if (ADAPTER_SYS(a, connect(fd, (struct sockaddr *)&from, length)))
		return adapter_error(a);
	s->meet = false;
	return 0;
}

/** One packet; fd goes with it unless it is -1. */
static inline int
adapter_packet_write(struct adapter *a, const struct adapter_msg *msg, int fd,
		     int64_t deadline)
{
	struct adapter_packets *s = (struct adapter_packets *)a;
	struct adapter_packet packet = { msg->tag, s->sent };
	struct iovec parts[2] = { { &packet, sizeof(packet) },
				  { msg->data, msg->length } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	int error, flags = MSG_NOSIGNAL;
	union adapter_rights rights;

	if (fd >= 0)
		adapter_rights_give(&m, &rights, &fd, 1);
	if (deadline != INT64_MAX)
		flags |= MSG_DONTWAIT;
	while (ADAPTER_SYS(a, sendmsg(s->socket.fd, &m, flags)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		error = adapter_poll(a, s->socket.fd, POLLOUT, deadline);
		if (error)
			return error;
	}
	s->sent++;
	return 0;
}

static inline int
adapter_packet_send(struct adapter *a, const struct adapter_msg *msg,
		    int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_send(a, msg);

	if (!error)
		error = adapter_packet_meet(a, deadline);
	return error ? error : adapter_packet_write(a, msg, -1, deadline);
}

/** How many packets the sender of this port must have sent before this one,
    which did not come. */
static inline uint32_t
adapter_packet_lost(struct adapter_packets *s, uint16_t port, uint32_t sequence)
{
	struct adapter_packet_sender *from = s->senders;
	uint32_t lost;

	while (from->port != port && from->port &&
	       from < s->senders + ADAPTER_PACKET_SENDERS - 1)
		from++;
	if (from->port && from->port != port) /* no line left: as it comes */
		from->next = sequence;
	from->port = port;
	lost = sequence - from->next;
	from->next = sequence + 1;
	return (int32_t)lost > 0 ? lost : 0;
}

/** The next packet, or -EPROTOTYPE with what is in s->descriptor. */
static inline int
adapter_packet_read(struct adapter *a, struct adapter_msg *msg,
		    int64_t deadline)
{
	struct adapter_packets *s = (struct adapter_packets *)a;
	struct adapter_packet packet;
	struct iovec parts[2] = { { &packet, sizeof(packet) },
				  { msg->data, msg->capacity } };
	union adapter_rights rights;
	struct sockaddr_in from = { 0 }; /* of the LOSSY, which are all UDP */
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	int error, flags = MSG_CMSG_CLOEXEC;
	ssize_t n;

	if (deadline != INT64_MAX)
		flags |= MSG_DONTWAIT;
	for (;;) {
		if (a->ops->caps & ADAPTER_LOSSY) {
			m.msg_name = &from;
			m.msg_namelen = sizeof(from);
		}
		adapter_rights_accept(&m, &rights, 1);
		n = ADAPTER_SYS(a, recvmsg(s->socket.fd, &m, flags));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			error = adapter_poll(a, s->socket.fd, POLLIN, deadline);
			if (error)
				return error;
			continue;
		}
		if (n < 0)
			return adapter_error(a);
		if (n == 0 && s->socket.type == SOCK_SEQPACKET)
			return -EPIPE;
		if ((size_t)n < sizeof(packet) || (m.msg_flags & MSG_TRUNC))
			return -EBADMSG;
		if (a->ops->caps & ADAPTER_LOSSY)
			a->lost += adapter_packet_lost(s, from.sin_port,
						       packet.sequence);
		if (adapter_rights_take(&m, &s->descriptor, 1) ||
		    (m.msg_flags & MSG_CTRUNC)) {
			s->descriptor_next = true;
			return -EPROTOTYPE;
		}
		if ((size_t)n > sizeof(packet))
			break; /* else the peer has announced itself */
	}
	msg->length = (size_t)n - sizeof(packet);
	msg->tag = packet.tag;
	return 0;
}

static inline int
adapter_packet_recv(struct adapter *a, struct adapter_msg *msg,
		    int64_t timeout_ns)
{
	struct adapter_packets *s = (struct adapter_packets *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_packet_meet(a, deadline);
	if (error)
		return error;
	if (s->descriptor_next)
		return -EPROTOTYPE;
	return adapter_packet_read(a, msg, deadline);
}

#endif
