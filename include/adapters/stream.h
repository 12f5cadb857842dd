/* SPDX-License-Identifier: MIT */
/*
 * stream.h - whole messages over a byte stream, for pipes and sockets.
 *
 * A frame is an 8-byte header (length, tag) in the byte order of the machine
 * and the data, handed to the kernel by one gathering call. The receiver reads
 * as much as there is, so that one call may bring many small frames; hence
 * pollfd answers 1 while a frame is at hand.
 *
 * The kernel may take a part of a frame only. What has begun must be finished,
 * so the endpoint keeps the rest and says that the message is sent; the next
 * send, recv, flush or close hands the rest over first.
 */
#ifndef ADAPTER_STREAM_H
#define ADAPTER_STREAM_H

#include "waiting.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct adapter_frame {
	uint32_t length;
	uint32_t tag;
};

#define ADAPTER_STREAM_MAX (INT32_MAX - (int)sizeof(struct adapter_frame))
#define ADAPTER_STREAM_READ 65536 /* bytes to read ahead */

enum adapter_stream_kind {
	ADAPTER_STREAM_PIPE,
	ADAPTER_STREAM_SOCKET,
	ADAPTER_STREAM_SPLICE, /* a pipe that takes pages of ours: vmsplice.h */
};

struct adapter_stream {
	int in, out; /* -1: this side does not receive, send */
	enum adapter_stream_kind kind;
	bool in_nonblocking, out_nonblocking; /* O_NONBLOCK of a pipe's ends */
	int passed; /* a descriptor that came with the bytes, or -1 */
	char *unread; /* received: [unread_start, unread_end) */
	size_t unread_start, unread_end, unread_size;
	char *unsent; /* the rest of a frame: [unsent_start, unsent_end) */
	size_t unsent_start, unsent_end;
	size_t unsent_mapped; /* bytes to unmap; 0: it is of malloc */
};

static inline void
adapter_stream_clear(struct adapter_stream *s, enum adapter_stream_kind kind)
{
	*s = (struct adapter_stream){
		.in = -1, .out = -1, .passed = -1, .kind = kind
	};
}

/** Buffers for the roles of a; descriptors may be set before or after. */
static inline int
adapter_stream_buffers(struct adapter *a, struct adapter_stream *s)
{
	size_t frame = a->limits.message.value + sizeof(struct adapter_frame);

	s->unread_size =
		frame > ADAPTER_STREAM_READ ? frame : ADAPTER_STREAM_READ;
	s->unread = (char *)malloc(s->unread_size);
	if (!s->unsent)
		s->unsent = (char *)malloc(frame);
	return s->unread && s->unsent ? 0 : -ENOMEM;
}

/** A pipe knows no per-call flag as sockets do: keep O_NONBLOCK as needed. */
static inline int
adapter_stream_mode(struct adapter *a, int fd, bool *is, bool nonblocking)
{
	if (*is == nonblocking)
		return 0;
	if (ADAPTER_SYS(a, fcntl(fd, F_SETFL, nonblocking ? O_NONBLOCK : 0)))
		return adapter_error(a);
	*is = nonblocking;
	return 0;
}

/** Write at least one byte; how many, or an error. */
static inline ssize_t
adapter_stream_write(struct adapter *a, struct adapter_stream *s,
		     struct iovec *parts, int count, int64_t deadline)
{
	bool now = deadline != INT64_MAX;
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = (size_t)count };
	ssize_t n;
	int error;

	for (;;) {
		if (s->kind == ADAPTER_STREAM_SOCKET) {
			n = ADAPTER_SYS(
				a, sendmsg(s->out, &m,
					   MSG_NOSIGNAL |
						   (now ? MSG_DONTWAIT : 0)));
		} else if (s->kind == ADAPTER_STREAM_SPLICE) {
			n = ADAPTER_SYS(a,
					vmsplice(s->out, parts, (size_t)count,
						 now ? SPLICE_F_NONBLOCK : 0));
		} else {
			error = adapter_stream_mode(a, s->out,
						    &s->out_nonblocking, now);
			if (error)
				return error;
			n = ADAPTER_SYS(a, writev(s->out, parts, count));
		}
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		error = adapter_poll(a, s->out, POLLOUT, deadline);
		if (error)
			return error;
	}
}

/** Hand over the rest of a frame that was begun. */
static inline int
adapter_stream_drain(struct adapter *a, struct adapter_stream *s,
		     int64_t deadline)
{
	struct iovec part;
	ssize_t n;

	while (s->unsent_start < s->unsent_end) {
		part.iov_base = s->unsent + s->unsent_start;
		part.iov_len = s->unsent_end - s->unsent_start;
		n = adapter_stream_write(a, s, &part, 1, deadline);
		if (n < 0)
			return (int)n;
		s->unsent_start += (size_t)n;
	}
	return 0;
}

static inline int
adapter_stream_send(struct adapter *a, struct adapter_stream *s,
		    const struct adapter_msg *msg, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_frame frame = { (uint32_t)msg->length, msg->tag };
	struct iovec parts[2] = { { &frame, sizeof(frame) },
				  { msg->data, msg->length } };
	size_t written, header;
	ssize_t n;
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	error = adapter_stream_drain(a, s, deadline);
	if (error)
		return error;
	n = adapter_stream_write(a, s, parts, 2, deadline);
	if (n < 0)
		return (int)n;
	written = (size_t)n;
	if (written == sizeof(frame) + msg->length)
		return 0;
	header = written < sizeof(frame) ? sizeof(frame) - written : 0;
	memcpy(s->unsent, (char *)&frame + sizeof(frame) - header, header);
	written -= sizeof(frame) - header;
	memcpy(s->unsent + header, (char *)msg->data + written,
	       msg->length - written);
	s->unsent_start = 0;
	s->unsent_end = header + msg->length - written;
	error = adapter_stream_drain(a, s, deadline);
	return error == -EAGAIN || error == -ETIMEDOUT ? 0 : error;
}

/** Read at least one byte behind the unread ones. */
static inline int
adapter_stream_fill(struct adapter *a, struct adapter_stream *s,
		    int64_t deadline)
{
	bool now = deadline != INT64_MAX;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part;
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;
	int error;

	adapter_stream_drain(a, s, 0); /* an error is for the next send */
	memmove(s->unread, s->unread + s->unread_start,
		s->unread_end - s->unread_start);
	s->unread_end -= s->unread_start;
	s->unread_start = 0;
	part.iov_base = s->unread + s->unread_end;
	part.iov_len = s->unread_size - s->unread_end;
	for (;;) {
		if (s->kind == ADAPTER_STREAM_SOCKET) {
			m.msg_control = control.space;
			m.msg_controllen = sizeof(control.space);
			n = ADAPTER_SYS(
				a, recvmsg(s->in, &m,
					   MSG_CMSG_CLOEXEC |
						   (now ? MSG_DONTWAIT : 0)));
		} else {
			error = adapter_stream_mode(a, s->in,
						    &s->in_nonblocking, now);
			if (error)
				return error;
			n = ADAPTER_SYS(
				a, read(s->in, part.iov_base, part.iov_len));
		}
		if (n >= 0)
			break;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		error = adapter_poll(a, s->in, POLLIN, deadline);
		if (error)
			return error;
	}
	if (n == 0)
		return -EPIPE;
	s->unread_end += (size_t)n;
	if (s->kind == ADAPTER_STREAM_SOCKET && CMSG_FIRSTHDR(&m)) {
		adapter_close_fd(a, &s->passed);
		memcpy(&s->passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	}
	return 0;
}

/**
 * 1 when a whole frame is at hand, 0 when not, -EBADMSG when it is none, and
 * -EPROTOTYPE when it is empty: a descriptor, which send_fd sends so.
 */
static inline int
adapter_stream_ready(struct adapter *a, struct adapter_stream *s,
		     struct adapter_frame *frame)
{
	size_t have = s->unread_end - s->unread_start;

	if (have < sizeof(*frame))
		return 0;
	memcpy(frame, s->unread + s->unread_start, sizeof(*frame));
	if (frame->length > a->limits.message.value)
		return -EBADMSG;
	if (frame->length == 0)
		return s->kind == ADAPTER_STREAM_SOCKET ? -EPROTOTYPE
							: -EBADMSG;
	return have >= sizeof(*frame) + frame->length;
}

static inline int
adapter_stream_recv(struct adapter *a, struct adapter_stream *s,
		    struct adapter_msg *msg, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_frame frame;
	int ready, error = adapter_check_recv(a, msg);

	if (error)
		return error;
	while ((ready = adapter_stream_ready(a, s, &frame)) == 0) {
		error = adapter_stream_fill(a, s, deadline);
		if (error)
			return error;
	}
	if (ready < 0)
		return ready;
	memcpy(msg->data, s->unread + s->unread_start + sizeof(frame),
	       frame.length);
	msg->length = frame.length;
	msg->tag = frame.tag;
	s->unread_start += sizeof(frame) + frame.length;
	return 0;
}

static inline int
adapter_stream_pollfd(struct adapter *a, struct adapter_stream *s,
		      struct pollfd *out)
{
	struct adapter_frame frame;

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	*out = (struct pollfd){ .fd = s->in, .events = POLLIN };
	return adapter_stream_ready(a, s, &frame) != 0;
}

/** Until the receiving process has read all; the kernel cannot tell when. */
static inline int
adapter_stream_flush(struct adapter *a, struct adapter_stream *s,
		     int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	struct pollfd gone = { .fd = s->out };
	int held, error = adapter_stream_drain(a, s, deadline);

	while (!error) {
		if (ADAPTER_SYS(a, ioctl(s->out,
					 s->kind == ADAPTER_STREAM_SOCKET
						 ? SIOCOUTQ
						 : FIONREAD,
					 &held)))
			return adapter_error(a);
		if (held == 0)
			return 0;
		if (ADAPTER_SYS(a, poll(&gone, 1, 0)) == 1)
			return -EPIPE;
		error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

/** Close both directions; a rest has a second to leave. */
static inline void
adapter_stream_close(struct adapter *a, struct adapter_stream *s)
{
	if (s->unsent_start < s->unsent_end)
		adapter_stream_drain(a, s, adapter_deadline(ADAPTER_SECOND));
	if (s->in != s->out)
		adapter_close_fd(a, &s->in);
	adapter_close_fd(a, &s->out);
	s->in = -1;
	adapter_close_fd(a, &s->passed);
	free(s->unread);
	if (s->unsent_mapped)
		ADAPTER_SYS(a, munmap(s->unsent, s->unsent_mapped));
	else
		free(s->unsent);
	s->unsent_mapped = 0;
	s->unread = s->unsent = NULL;
}

#endif
