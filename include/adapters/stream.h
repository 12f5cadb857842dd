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

#include "bytes.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct adapter_frame {
	uint32_t length;
	uint32_t tag;
};

#define ADAPTER_STREAM_MAX (INT32_MAX - (int)sizeof(struct adapter_frame))
#define ADAPTER_STREAM_READ 65536 /* bytes to read ahead */

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

/** Move the unread bytes to the beginning; how much room is behind them. */
static inline size_t
adapter_stream_room(struct adapter_stream *s)
{
	s->unread_end -= s->unread_start;
	memmove(s->unread, s->unread + s->unread_start, s->unread_end);
	s->unread_start = 0;
	return s->unread_size - s->unread_end;
}

/** Read at least one byte behind the unread ones. */
static inline int
adapter_stream_fill(struct adapter *a, struct adapter_stream *s,
		    int64_t deadline)
{
	size_t room = adapter_stream_room(s);
	ssize_t n;

	adapter_stream_drain(a, s, 0); /* an error is for the next send */
	n = adapter_stream_read(a, s, s->unread + s->unread_end, room,
				deadline);
	if (n < 0)
		return (int)n;
	s->unread_end += (size_t)n;
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

/** Wait for a whole frame, which stays unread. */
static inline int
adapter_stream_next(struct adapter *a, struct adapter_stream *s,
		    struct adapter_frame *frame, int64_t deadline)
{
	int ready, error;

	while ((ready = adapter_stream_ready(a, s, frame)) == 0) {
		error = adapter_stream_fill(a, s, deadline);
		if (error)
			return error;
	}
	return ready < 0 ? ready : 0;
}

static inline int
adapter_stream_recv(struct adapter *a, struct adapter_stream *s,
		    struct adapter_msg *msg, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_frame frame;
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_stream_next(a, s, &frame, deadline);
	if (error)
		return error;
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
