/* SPDX-License-Identifier: MIT */
/*
 * fifo.h - the named pipe, for unrelated processes.
 *
 * A pipe (pipe.h) with a name in the file system. The open order is the
 * handshake: a sender can open it only while a receiver has it open. Here the
 * receiver opens first and the sender tries until it may.
 *
 * Use it to connect programs that share no ancestor, above all with shell
 * tools. Do not use it for both directions (a local socket does that), nor
 * where more than one receiver reads: the second one is refused (flock).
 *
 * When the last sender has left, the receiver reads the rest and gets -EPIPE;
 * if another one comes later, recv works again. Without a receiver send
 * returns -EPIPE. Limits as for pipes: many senders up to PIPE_BUF a frame.
 * The name stays after a crash until unlink.
 *
 * System calls, in order:
 *
 *	create	mkfifo, open, flock (a second receiver), fcntl (F_SETPIPE_SZ)
 *	attach	open; again after nanosleep, until a receiver has it open
 *	send	writev (pipe.h)
 *	receive	read (pipe.h)
 *	wait	ppoll; without a limit in writev or read
 *	woken	by the kernel, at the other side's read or write
 *	close	close, unlink
 */
#ifndef ADAPTER_FIFO_H
#define ADAPTER_FIFO_H

#include "common/path.h"
#include "pipe.h"

#include <sys/file.h>
#include <sys/stat.h>

struct adapter_fifo {
	struct adapter base;
	struct adapter_stream stream;
	char path[ADAPTER_PATH_MAX];
	int size; /* of the pipe, 0: the default */
	bool met; /* receiver: a sender has come */
};

static inline void
adapter_fifo_close(struct adapter *a)
{
	adapter_stream_close(a, &((struct adapter_fifo *)a)->stream);
	a->open = false;
}

/** Open this side's end; a sender waits for a receiver. */
static inline int
adapter_fifo_open(struct adapter *a, int64_t deadline)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;
	bool sends = a->roles & ADAPTER_SENDER;
	int flags = (sends ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC |
		    O_NOFOLLOW;
	int fd, why, error;
	struct stat is;
	int64_t step = 0;

	if (f->stream.in >= 0 || f->stream.out >= 0)
		return 0;
	while ((fd = adapter_fd(ADAPTER_SYS(a, open(f->path, flags)))) < 0) {
		why = errno;
		if (why != ENOENT && why != ENXIO && why != EINTR)
			return adapter_error(a);
		if (adapter_backoff(a, &step, deadline))
			return deadline ? -ETIMEDOUT
					: -(why == ENXIO ? EAGAIN : why);
	}
	error = fstat(fd, &is) ? -errno : S_ISFIFO(is.st_mode) ? 0 : -EPROTO;
	/* Two receivers would take parts of each other's frames. */
	if (!error && !sends && ADAPTER_SYS(a, flock(fd, LOCK_EX | LOCK_NB)))
		error = errno == EWOULDBLOCK ? -EBUSY : adapter_error(a);
	if (!error)
		error = adapter_pipe_in_force(a, f->size, fd);
	if (error) {
		close(fd);
		return error;
	}
	*(sends ? &f->stream.out : &f->stream.in) = fd;
	*(sends ? &f->stream.out_nonblocking : &f->stream.in_nonblocking) =
		true;
	return 0;
}

static inline int
adapter_fifo_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;
	int error = adapter_pipe_begin(a, config);

	adapter_stream_clear(&f->stream, &adapter_pipe_bytes);
	if (error)
		return error;
	f->size = adapter_pipe_size(a, config->depth);
	if (f->size < 0)
		return f->size;
	if (!config->name)
		return -EINVAL;
	error = adapter_path(f->path, config->name, "fifo");
	return error ? error : adapter_stream_buffers(a, &f->stream);
}

static inline int
adapter_fifo_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;
	int error = adapter_fifo_begin(a, config);

	if (!error &&
	    ADAPTER_SYS(a, mkfifo(f->path, adapter_permissions(config))))
		error = adapter_error(a);
	if (!error && a->roles == ADAPTER_RECEIVER)
		return adapter_done_named(a, config, adapter_fifo_open(a, 0));
	return adapter_done(a, error);
}

static inline int
adapter_fifo_attach(struct adapter *a, const struct adapter_config *config,
		    int64_t timeout_ns)
{
	int error = adapter_fifo_begin(a, config);

	if (!error)
		error = adapter_fifo_open(a, adapter_deadline(timeout_ns));
	return adapter_done(a, error);
}

static inline int
adapter_fifo_send(struct adapter *a, const struct adapter_msg *msg,
		  int64_t timeout_ns)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;
	int error = adapter_check_send(a, msg);

	if (!error && f->stream.out < 0)
		error = adapter_fifo_open(a, adapter_deadline(timeout_ns));
	if (error)
		return error;
	return adapter_stream_send(a, &f->stream, msg, timeout_ns);
}

/** Until the first sender has come, reading would say the end. */
static inline int
adapter_fifo_meet(struct adapter *a, int64_t deadline)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;
	struct pollfd p = { .fd = f->stream.in, .events = POLLIN };
	int error = 0;

	if (!f->met && ADAPTER_SYS(a, poll(&p, 1, 0)) != 1)
		error = adapter_poll(a, f->stream.in, POLLIN, deadline);
	f->met = !error;
	return error;
}

static inline int
adapter_fifo_recv(struct adapter *a, struct adapter_msg *msg,
		  int64_t timeout_ns)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;
	int error = adapter_check_recv(a, msg);

	if (!error && !f->met)
		error = adapter_fifo_meet(a, adapter_deadline(timeout_ns));
	if (error)
		return error;
	return adapter_stream_recv(a, &f->stream, msg, timeout_ns);
}

static inline int
adapter_fifo_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_fifo *f = (struct adapter_fifo *)a;

	return f->stream.out < 0
		       ? 0
		       : adapter_stream_flush(a, &f->stream, timeout_ns);
}

static inline int
adapter_fifo_pollfd(struct adapter *a, struct pollfd *out)
{
	return adapter_stream_pollfd(a, &((struct adapter_fifo *)a)->stream,
				     out);
}

static const struct adapter_ops adapter_fifo_ops = {
	.name = "fifo",
	.summary = "named pipe",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_NAMED |
		ADAPTER_POLLABLE | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_MANY_SENDERS | ADAPTER_TAGS,
	.size = sizeof(struct adapter_fifo),
	.create = adapter_fifo_create,
	.attach = adapter_fifo_attach,
	.send = adapter_fifo_send,
	.recv = adapter_fifo_recv,
	.limits = adapter_pipe_limits,
	.close = adapter_fifo_close,
	.unlink = adapter_unlink_path,
	.flush = adapter_fifo_flush,
	.pollfd = adapter_fifo_pollfd,
};

#endif
