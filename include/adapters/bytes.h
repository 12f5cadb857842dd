/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - some bytes through a pipe or a socket, until a deadline; what the
 * frames of stream.h are made of.
 *
 * A socket takes MSG_DONTWAIT with each call. A pipe has O_NONBLOCK only, which
 * stays set: it is changed no more often than needed.
 */
#ifndef ADAPTER_BYTES_H
#define ADAPTER_BYTES_H

#include "waiting.h"

#include <sys/socket.h>
#include <sys/uio.h>

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

/** Read at least one byte, and a descriptor (s->passed) if one comes with it;
    how many, or an error. */
static inline ssize_t
adapter_stream_read(struct adapter *a, struct adapter_stream *s, void *to,
		    size_t size, int64_t deadline)
{
	bool now = deadline != INT64_MAX, socket;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { to, size };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;
	int error;

	socket = s->kind == ADAPTER_STREAM_SOCKET;
	for (;;) {
		if (socket) {
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
			n = ADAPTER_SYS(a, read(s->in, to, size));
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
	if (n > 0 && socket && CMSG_FIRSTHDR(&m)) {
		adapter_close_fd(a, &s->passed);
		memcpy(&s->passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
		s->passed = adapter_fd(s->passed);
	}
	return n ? n : -EPIPE;
}

#endif
