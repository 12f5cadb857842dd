/* SPDX-License-Identifier: MIT */
/*
 * pipe.h - the ordinary pipe, one way or both ways.
 *
 * The kernel holds a first-in first-out buffer of bytes, 64 KiB by default
 * (F_SETPIPE_SZ changes it). Its two ends are descriptors, which only a child
 * of fork inherits; each process closes the end it does not use, or nobody
 * ever learns that the other has gone. For both directions there are two.
 *
 * Use it between parent and child for its simplicity; it needs no name and
 * leaves nothing behind, and a killed peer is noticed at once. Do not use it
 * where the processes are unrelated (fifo.h, unix_stream.h) or where messages
 * are large or latency counts: each message is copied twice.
 *
 * Many senders may share a pipe as long as a frame, header included, has at
 * most PIPE_BUF (4096) bytes, since such a write is atomic. That is the limit
 * of the message here, unless config.message_size asks for more, which then is
 * for one sender only. Receivers never share a pipe: a frame takes two reads.
 *
 * A write to a pipe without readers raises SIGPIPE; create turns that off for
 * the process, if it has not chosen otherwise, and send returns -EPIPE.
 *
 * System calls, in order:
 *
 *	create	pipe2, fcntl (F_SETPIPE_SZ); after fork: open (an end of its
 *		own in /proc/self/fd), close (of the others)
 *	send	writev
 *	receive	read
 *	wait	ppoll; without a limit in writev or read (fcntl: O_NONBLOCK)
 *	woken	by the kernel, at the other side's read or write
 *	close	close
 */
#ifndef ADAPTER_PIPE_H
#define ADAPTER_PIPE_H

#include "common/sigpipe.h"
#include "common/stream.h"

#include <limits.h>

#define ADAPTER_PIPE_MESSAGE (PIPE_BUF - sizeof(struct adapter_frame))

struct adapter_pipe {
	struct adapter base;
	struct adapter_stream stream;
	int ends[2][2]; /* [0]: to the child, [1]: to the parent; read, write */
};

/** A pipe knows no per-call flag as sockets do: keep O_NONBLOCK as needed. */
static inline int
adapter_pipe_mode(struct adapter *a, int fd, bool *is, bool nonblocking)
{
	if (*is == nonblocking)
		return 0;
	if (ADAPTER_SYS(a, fcntl(fd, F_SETFL, nonblocking ? O_NONBLOCK : 0)))
		return -1;
	*is = nonblocking;
	return 0;
}

static inline ssize_t
adapter_pipe_write(struct adapter *a, struct adapter_stream *s,
		   struct iovec *parts, int count, bool now)
{
	if (adapter_pipe_mode(a, s->out, &s->out_nonblocking, now))
		return -1;
	return ADAPTER_SYS(a, writev(s->out, parts, count));
}

static inline ssize_t
adapter_pipe_read(struct adapter *a, struct adapter_stream *s, void *to,
		  size_t size, bool now)
{
	if (adapter_pipe_mode(a, s->in, &s->in_nonblocking, now))
		return -1;
	return ADAPTER_SYS(a, read(s->in, to, size));
}

static const struct adapter_bytes adapter_pipe_bytes = {
	.write = adapter_pipe_write,
	.read = adapter_pipe_read,
	.untaken = FIONREAD,
};

static inline int
adapter_pipe_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - frame header", ADAPTER_FRAME_MAX },
		.bytes = { "fs.pipe-max-size",
			   adapter_sysctl("fs/pipe-max-size", 1 << 20) },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

/** Begin create or attach of a pipe or FIFO. */
static inline int
adapter_pipe_begin(struct adapter *a, const struct adapter_config *config)
{
	int error = adapter_begin(a, config, ADAPTER_PIPE_MESSAGE, 0);

	if (!config->message_size)
		a->limits.message.name = "PIPE_BUF - frame header";
	adapter_ignore_sigpipe();
	return error;
}

/**
 * The size that holds depth messages, at least 0 bytes. A page takes as many
 * frames as fit whole; a larger frame takes pages of its own.
 */
static inline int
adapter_pipe_size(struct adapter *a, size_t depth)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t frame = a->limits.message.value + sizeof(struct adapter_frame);
	uint64_t fit = frame > page ? 1 : page / frame;
	uint64_t pages = (frame + page - 1) / page;
	uint64_t most = a->limits.bytes.value < INT_MAX ? a->limits.bytes.value
							: INT_MAX;

	if (depth > most || (depth + fit - 1) / fit * pages * page > most)
		return adapter_refuse(a, -EINVAL, a->limits.bytes.name, most);
	return (int)((depth + fit - 1) / fit * pages * page);
}

/** Give the pipe that size, unless it is 0, and note what it has. */
static inline int
adapter_pipe_in_force(struct adapter *a, int size, int fd)
{
	if (size && ADAPTER_SYS(a, fcntl(fd, F_SETPIPE_SZ, size)) < 0)
		return adapter_refuse(a, -errno, a->limits.bytes.name,
				      a->limits.bytes.value);
	size = ADAPTER_SYS(a, fcntl(fd, F_GETPIPE_SZ));
	if (size < 0)
		return adapter_error(a);
	a->limits.bytes =
		(struct adapter_limit){ "F_GETPIPE_SZ", (uint64_t)size };
	return 0;
}

static inline void
adapter_pipe_close(struct adapter *a)
{
	struct adapter_pipe *p = (struct adapter_pipe *)a;
	int i;

	adapter_stream_close(a, &p->stream);
	for (i = 0; i < 4; i++)
		adapter_close_fd(a, &p->ends[i / 2][i % 2]);
	a->open = false;
}

static inline int
adapter_pipe_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_pipe *p = (struct adapter_pipe *)a;
	int i, size = 0, error = adapter_pipe_begin(a, config);

	adapter_stream_clear(&p->stream, &adapter_pipe_bytes);
	memset(p->ends, -1, sizeof(p->ends));
	if (!error && config->name)
		error = -ENOTSUP;
	if (!error)
		size = adapter_pipe_size(a, config->depth);
	if (size < 0)
		error = size;
	for (i = 0; i < 2 && !error; i++) {
		unsigned user = i == 0 ? ADAPTER_SENDER : ADAPTER_RECEIVER;

		if ((a->roles & user) &&
		    adapter_fd_pair(
			    ADAPTER_SYS(a, pipe2(p->ends[i], O_CLOEXEC)),
			    p->ends[i]))
			error = adapter_error(a);
		else if (a->roles & user)
			error = adapter_pipe_in_force(a, size, p->ends[i][0]);
	}
	if (!error)
		error = adapter_stream_buffers(a, &p->stream);
	return adapter_done(a, error);
}

/** An own description of this end: O_NONBLOCK must not be shared. */
static inline int
adapter_pipe_reopen(struct adapter *a, int fd, int flags)
{
	char path[32];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = adapter_fd(ADAPTER_SYS(a, open(path, flags | O_CLOEXEC)));
	return own < 0 ? adapter_error(a) : own;
}

static inline int
adapter_pipe_after_fork(struct adapter *a, bool child)
{
	struct adapter_pipe *p = (struct adapter_pipe *)a;
	int in = p->ends[child ? 0 : 1][0], out = p->ends[child ? 1 : 0][1];
	int i, error = 0;

	if (child)
		a->roles = adapter_opposite(a->roles);
	if (in >= 0)
		error = p->stream.in = adapter_pipe_reopen(a, in, O_RDONLY);
	if (out >= 0 && error >= 0)
		error = p->stream.out = adapter_pipe_reopen(a, out, O_WRONLY);
	for (i = 0; i < 4; i++)
		adapter_close_fd(a, &p->ends[i / 2][i % 2]);
	return error < 0 ? error : 0;
}

static inline int
adapter_pipe_send(struct adapter *a, const struct adapter_msg *msg,
		  int64_t timeout_ns)
{
	return adapter_stream_send(a, &((struct adapter_pipe *)a)->stream, msg,
				   timeout_ns);
}

static inline int
adapter_pipe_recv(struct adapter *a, struct adapter_msg *msg,
		  int64_t timeout_ns)
{
	return adapter_stream_recv(a, &((struct adapter_pipe *)a)->stream, msg,
				   timeout_ns);
}

static inline int
adapter_pipe_flush(struct adapter *a, int64_t timeout_ns)
{
	return adapter_stream_flush(a, &((struct adapter_pipe *)a)->stream,
				    timeout_ns);
}

static inline int
adapter_pipe_pollfd(struct adapter *a, struct pollfd *out)
{
	return adapter_stream_pollfd(a, &((struct adapter_pipe *)a)->stream,
				     out);
}

static const struct adapter_ops adapter_pipe_ops = {
	.name = "pipe",
	.summary = "ordinary pipe between related processes",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_BIDIR |
		ADAPTER_FORK_ONLY | ADAPTER_POLLABLE | ADAPTER_TIMED |
		ADAPTER_PEER_DEATH | ADAPTER_MANY_SENDERS | ADAPTER_TAGS,
	.size = sizeof(struct adapter_pipe),
	.create = adapter_pipe_create,
	.after_fork = adapter_pipe_after_fork,
	.send = adapter_pipe_send,
	.recv = adapter_pipe_recv,
	.limits = adapter_pipe_limits,
	.close = adapter_pipe_close,
	.flush = adapter_pipe_flush,
	.pollfd = adapter_pipe_pollfd,
};

#endif
