/* SPDX-License-Identifier: MIT */
/*
 * packet.h - whole messages over sockets that keep their limits.
 *
 * A packet is a header (tag, sequence number) and the data. An empty one
 * carries a descriptor (SCM_RIGHTS) or announces its sender.
 */
#ifndef ADAPTER_PACKET_H
#define ADAPTER_PACKET_H

#include "socket.h"

#include <netinet/in.h>

struct adapter_packet {
	uint32_t tag;
	uint32_t sequence;
};

/** One packet; fd goes with it unless it is -1. */
static inline int
adapter_packet_write(struct adapter *a, const struct adapter_msg *msg, int fd,
		     int64_t deadline)
{
	struct adapter_socket *s = (struct adapter_socket *)a;
	struct adapter_packet packet = { msg->tag, s->sent };
	struct adapter_frame frame = { 0, 0 };
	bool stream = s->type == SOCK_STREAM;
	struct iovec parts[2] = { { &packet, sizeof(packet) },
				  { msg->data, msg->length } };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .space = { 0 } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	int error, flags = MSG_NOSIGNAL;

	if (stream)
		parts[0] = (struct iovec){ &frame, sizeof(frame) };
	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	if (deadline != INT64_MAX)
		flags |= MSG_DONTWAIT;
	while (ADAPTER_SYS(a, sendmsg(s->fd, &m, flags)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		error = adapter_poll(a, s->fd, POLLOUT, deadline);
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
		error = adapter_socket_peer(a, deadline);
	return error ? error : adapter_packet_write(a, msg, -1, deadline);
}

/** How many packets the sender of this port must have sent before this one,
    which did not come. */
static inline uint32_t
adapter_packet_lost(struct adapter_socket *s, uint16_t port, uint32_t sequence)
{
	struct adapter_socket_sender *from = s->senders;
	uint32_t lost;

	while (from->port != port && from->port &&
	       from < s->senders + ADAPTER_SOCKET_SENDERS - 1)
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
	struct adapter_socket *s = (struct adapter_socket *)a;
	struct adapter_packet packet;
	struct iovec parts[2] = { { &packet, sizeof(packet) },
				  { msg->data, msg->capacity } };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct sockaddr_in from = { 0 }; /* of the LOSSY, which are all UDP */
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	int error, flags = MSG_CMSG_CLOEXEC;
	struct cmsghdr *passed;
	ssize_t n;

	if (deadline != INT64_MAX)
		flags |= MSG_DONTWAIT;
	for (;;) {
		if (a->ops->caps & ADAPTER_LOSSY) {
			m.msg_name = &from;
			m.msg_namelen = sizeof(from);
		}
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		n = ADAPTER_SYS(a, recvmsg(s->fd, &m, flags));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			error = adapter_poll(a, s->fd, POLLIN, deadline);
			if (error)
				return error;
			continue;
		}
		if (n < 0)
			return adapter_error(a);
		if (n == 0 && s->type == SOCK_SEQPACKET)
			return -EPIPE;
		if ((size_t)n < sizeof(packet) || (m.msg_flags & MSG_TRUNC))
			return -EBADMSG;
		if (a->ops->caps & ADAPTER_LOSSY)
			a->lost += adapter_packet_lost(s, from.sin_port,
						       packet.sequence);
		passed = CMSG_FIRSTHDR(&m);
		if (passed || (m.msg_flags & MSG_CTRUNC)) {
			s->descriptor_next = true;
			if (passed)
				memcpy(&s->descriptor, CMSG_DATA(passed),
				       sizeof(int));
			s->descriptor = adapter_fd(s->descriptor);
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
	struct adapter_socket *s = (struct adapter_socket *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_socket_peer(a, deadline);
	if (error)
		return error;
	if (s->descriptor_next)
		return -EPROTOTYPE;
	return adapter_packet_read(a, msg, deadline);
}

#endif
