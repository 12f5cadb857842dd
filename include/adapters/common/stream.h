/* SPDX-License-Identifier: MIT */
/*
 * stream.h - whole messages (frames.h) over a byte stream. How bytes go and
 * come is the mechanism's own affair, two functions of it: see pipe.h, which is
 * the simplest.
 *
 * The kernel may take a part of a frame only. What has begun must be finished,
 * so the endpoint keeps the rest and says that the message is sent; the next
 * send, recv, flush or close hands the rest over first.
 */
#ifndef ADAPTER_STREAM_H
#define ADAPTER_STREAM_H

#include "frames.h"
#include "taken.h"

#include <sys/uio.h>

struct adapter_stream;

/* One try each: bytes moved, or -1 and errno; EAGAIN only if `now`, else it
   sleeps in the call. A read of 0 is the end. */
struct adapter_bytes {
	ssize_t (*write)(struct adapter *a, struct adapter_stream *s,
			 struct iovec *parts, int count, bool now);
	ssize_t (*read)(struct adapter *a, struct adapter_stream *s, void *to,
			size_t size, bool now);
	unsigned long untaken; /* ioctl: bytes that the peer has not read */
};

struct adapter_stream {
	const struct adapter_bytes *bytes;
	int in, out; /* -1: this side does not receive, send */
	bool in_nonblocking, out_nonblocking; /* O_NONBLOCK of a pipe's ends */
	struct adapter_frames frames; /* received */
	char *unsent; /* the rest of a frame: [unsent_start, unsent_end) */
	size_t unsent_start, unsent_end;
};

static inline void
adapter_stream_clear(struct adapter_stream *s,
		     const struct adapter_bytes *bytes)
{
	*s = (struct adapter_stream){ .bytes = bytes, .in = -1, .out = -1 };
}

/** Buffers for the roles of a; descriptors may be set before or after. */
static inline int
adapter_stream_buffers(struct adapter *a, struct adapter_stream *s)
{
	s->unsent = (char *)malloc(a->limits.message.value +
				   sizeof(struct adapter_frame));
	return s->unsent ? adapter_frames_begin(a, &s->frames) : -ENOMEM;
}

/** Write at least one byte; how many, or an error. */
static inline ssize_t
adapter_stream_write(struct adapter *a, struct adapter_stream *s,
		     struct iovec *parts, int count, int64_t deadline)
{
	ssize_t n;
	int error;

	while ((n = s->bytes->write(a, s, parts, count,
				    deadline != INT64_MAX)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		error = adapter_poll(a, s->out, POLLOUT, deadline);
		if (error)
			return error;
	}
	return n;
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
	struct adapter_frames *f = &s->frames;
	size_t room = adapter_frames_room(f);
	ssize_t n;
	int error;

	adapter_stream_drain(a, s, 0); /* an error is for the next send */
	while ((n = s->bytes->read(a, s, f->unread + f->end, room,
				   deadline != INT64_MAX)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return adapter_error(a);
		error = adapter_poll(a, s->in, POLLIN, deadline);
		if (error)
			return error;
	}
	f->end += (size_t)n;
	return n ? 0 : -EPIPE;
}

/** Wait for a whole frame, which stays unread. */
static inline int
adapter_stream_next(struct adapter *a, struct adapter_stream *s,
		    struct adapter_frame *frame, int64_t deadline)
{
	int ready, error;

	while ((ready = adapter_frames_ready(a, &s->frames, frame)) == 0) {
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
	struct adapter_frame frame;
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_stream_next(a, s, &frame,
					    adapter_deadline(timeout_ns));
	if (!error)
		adapter_frames_take(&s->frames, &frame, msg);
	return error;
}

static inline int
adapter_stream_pollfd(struct adapter *a, struct adapter_stream *s,
		      struct pollfd *out)
{
	struct adapter_frame frame;

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	*out = (struct pollfd){ .fd = s->in, .events = POLLIN };
	return adapter_frames_ready(a, &s->frames, &frame) != 0;
}

static inline int
adapter_stream_flush(struct adapter *a, struct adapter_stream *s,
		     int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_stream_drain(a, s, deadline);

	return error ? error
		     : adapter_taken(a, s->out, s->bytes->untaken, deadline);
}

/** Close both directions; a rest has a second to leave. */
static inline void
adapter_stream_close(struct adapter *a, struct adapter_stream *s)
{
	adapter_stream_drain(a, s, adapter_deadline(ADAPTER_SECOND));
	if (s->in != s->out)
		adapter_close_fd(a, &s->in);
	adapter_close_fd(a, &s->out);
	s->in = -1;
	adapter_frames_end(&s->frames);
	free(s->unsent);
	s->unsent = NULL;
}

#endif
