/* SPDX-License-Identifier: MIT */
/*
 * unix_stream.h - local stream socket, named or a pair
 *
 * A connected, two-way stream of bytes inside one machine. stream.h cuts it
 * into messages: a header and the data go out by one gathering call. The name
 * is a file, whose permissions say who may connect; related processes take a
 * socketpair instead. Descriptors can be passed (send_fd, recv_fd).
 *
 * Use it as the first choice for a service to other programs: it is pollable,
 * tells at once when the peer has gone, and carries messages of any size. Do
 * not use it where messages matter more than bytes (unix_seqpacket.h keeps
 * their limits by itself), or across machines (tcp.h).
 *
 * A killed peer: what it sent arrives, then -EPIPE. The file stays after a
 * crash until unlink.
 *
 * System calls, in order:
 *
 *	create	socket, setsockopt (SO_SNDBUF), fchmod, bind, listen; at the
 *		first use accept4; or socketpair
 *	attach	socket, connect; again after nanosleep, until somebody listens
 *	send	sendmsg
 *	receive	recvmsg
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at the other side's call
 *	close	close, unlink
 */
#ifndef ADAPTER_UNIX_STREAM_H
#define ADAPTER_UNIX_STREAM_H

#include "common/rights.h"
#include "common/socket_stream.h"
#include "common/unix_socket.h"

struct adapter_unix_stream {
	struct adapter_socket_stream bytes;
	int passed; /* a descriptor that came with the bytes, or -1 */
};

static inline ssize_t
adapter_unix_stream_write(struct adapter *a, struct adapter_stream *s,
			  struct iovec *parts, int count, bool now)
{
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = (size_t)count };

	return ADAPTER_SYS(a, sendmsg(s->out, &m,
				      MSG_NOSIGNAL | (now ? MSG_DONTWAIT : 0)));
}

static inline ssize_t
adapter_unix_stream_read(struct adapter *a, struct adapter_stream *s, void *to,
			 size_t size, bool now)
{
	int *passed = &((struct adapter_unix_stream *)a)->passed;
	struct iovec part = { to, size };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	union adapter_rights rights;
	int flags = MSG_CMSG_CLOEXEC | (now ? MSG_DONTWAIT : 0), fd;
	ssize_t n;

	adapter_rights_accept(&m, &rights, 1);
	n = ADAPTER_SYS(a, recvmsg(s->in, &m, flags));
	if (n > 0 && adapter_rights_take(&m, &fd, 1)) {
		adapter_close_fd(a, passed);
		*passed = fd;
	}
	return n;
}

static const struct adapter_bytes adapter_unix_stream_bytes = {
	.write = adapter_unix_stream_write,
	.read = adapter_unix_stream_read,
	.untaken = SIOCOUTQ,
};

static inline int
adapter_unix_stream_begin(struct adapter *a,
			  const struct adapter_config *config)
{
	struct adapter_unix_stream *s = (struct adapter_unix_stream *)a;
	int error = adapter_socket_stream_begin(a, config,
						&adapter_unix_stream_bytes);

	s->bytes.stream.frames.descriptors = true;
	s->passed = -1;
	return error;
}

static inline void
adapter_unix_stream_close(struct adapter *a)
{
	adapter_close_fd(a, &((struct adapter_unix_stream *)a)->passed);
	adapter_socket_stream_close(a);
}

static inline int
adapter_unix_stream_create(struct adapter *a,
			   const struct adapter_config *config)
{
	int error = adapter_unix_stream_begin(a, config);

	if (!error)
		error = adapter_unix_open(a, config);
	return adapter_done(a, error);
}

static inline int
adapter_unix_stream_attach(struct adapter *a,
			   const struct adapter_config *config,
			   int64_t timeout_ns)
{
	int error = adapter_unix_stream_begin(a, config);

	if (!error)
		error = adapter_unix_enter(a, config->name,
					   adapter_deadline(timeout_ns));
	return adapter_done(a, error);
}

/** An empty frame with a copy of fd; it keeps its place among the messages. */
static inline int
adapter_unix_stream_send_fd(struct adapter *a, int fd, int64_t timeout_ns)
{
	struct adapter_stream *s = &((struct adapter_socket_stream *)a)->stream;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_frame frame = { 0, 0 };
	struct iovec part = { &frame, sizeof(frame) };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	union adapter_rights rights;
	int error = a->roles & ADAPTER_SENDER ? 0 : -EBADF;

	if (!error)
		error = adapter_socket_stream_met(a, timeout_ns);
	if (!error)
		error = adapter_stream_drain(a, s, deadline);
	adapter_rights_give(&m, &rights, &fd, 1);
	while (!error &&
	       ADAPTER_SYS(a, sendmsg(s->out, &m,
				      MSG_NOSIGNAL | MSG_DONTWAIT)) < 0) {
		if (errno == EAGAIN)
			error = adapter_poll(a, s->out, POLLOUT, deadline);
		else if (errno != EINTR)
			error = adapter_error(a);
	}
	return error;
}

/** The descriptor that comes next; -EPROTOTYPE if it is a message. */
static inline int
adapter_unix_stream_recv_fd(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_unix_stream *s = (struct adapter_unix_stream *)a;
	struct adapter_stream *stream = &s->bytes.stream;
	struct adapter_frame frame;
	int error = a->roles & ADAPTER_RECEIVER ? 0 : -EBADF;

	if (!error)
		error = adapter_socket_stream_met(a, timeout_ns);
	if (!error)
		error = adapter_stream_next(a, stream, &frame,
					    adapter_deadline(timeout_ns));
	if (error != -EPROTOTYPE) /* none comes next: a message does */
		return error ? error : -EPROTOTYPE;
	adapter_frames_skip(&stream->frames, &frame);
	return adapter_rights_result(a, &s->passed);
}

static inline int
adapter_unix_stream_flush(struct adapter *a, int64_t timeout_ns)
{
	int error = adapter_socket_stream_met(a, timeout_ns);

	return error ? error
		     : adapter_stream_flush(
			       a, &((struct adapter_socket_stream *)a)->stream,
			       timeout_ns);
}

static const struct adapter_ops adapter_unix_stream_ops = {
	.name = "unix_stream",
	.summary = "local stream socket",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_BIDIR |
		ADAPTER_NAMED | ADAPTER_POLLABLE | ADAPTER_FDPASS |
		ADAPTER_TIMED | ADAPTER_PEER_DEATH | ADAPTER_TAGS,
	.size = sizeof(struct adapter_unix_stream),
	.create = adapter_unix_stream_create,
	.attach = adapter_unix_stream_attach,
	.after_fork = adapter_socket_after_fork,
	.send = adapter_socket_stream_send,
	.recv = adapter_socket_stream_recv,
	.limits = adapter_socket_stream_limits,
	.close = adapter_unix_stream_close,
	.unlink = adapter_unlink_path,
	.send_fd = adapter_unix_stream_send_fd,
	.recv_fd = adapter_unix_stream_recv_fd,
	.flush = adapter_unix_stream_flush,
	.pollfd = adapter_socket_stream_pollfd,
};

#endif
