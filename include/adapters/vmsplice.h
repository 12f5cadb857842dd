/* SPDX-License-Identifier: MIT */
/*
 * vmsplice.h - a pipe into which the sender's pages are put, not copied.
 *
 * vmsplice() makes the pipe refer to pages of the sender; the receiver's read()
 * makes the only copy. (A pipe takes so many pages, 16 by default, however
 * little of each is used.) A page must stay as it is until it has been read.
 * The kernel does not say when that is, but a pipe of n pages cannot take
 * page n + 1 before it has let go of the first: so messages go through a
 * private ring of pages that is larger than the pipe and the largest message
 * together. SPLICE_F_GIFT would give the pages away for good, and new ones,
 * with a page fault each, would cost more than the copy that is saved.
 *
 * Use it for large messages to a child or parent, written with reserve and
 * commit. Not for small ones: each takes a page of the pipe.
 *
 * One sender, one receiver; frames and the receiving side are those of
 * stream.h. A killed peer is noticed at once; what was sent stays readable, as
 * the pipe keeps the pages.
 *
 * System calls, in order:
 *
 *	create	pipe2, fcntl (F_SETPIPE_SZ), mmap (the ring of pages)
 *	send	vmsplice
 *	receive	read (pipe.h)
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at the other side's call
 *	close	close, munmap
 */
#ifndef ADAPTER_VMSPLICE_H
#define ADAPTER_VMSPLICE_H

#include "pipe.h"

#include <sys/mman.h>

struct adapter_vmsplice {
	struct adapter base;
	struct adapter_stream stream; /* .unsent is the ring of pages */
	int ends[2]; /* until after_fork */
	char *pages; /* the ring, or NULL */
	size_t page, size; /* bytes of one page, of the ring */
	size_t next; /* offset of the next message */
};

static inline int
adapter_vmsplice_limits(struct adapter_limits *limits)
{
	uint64_t most = adapter_sysctl("fs/pipe-max-size", 1 << 20);

	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - frame header", ADAPTER_FRAME_MAX },
		.depth = { "pages of fs.pipe-max-size",
			   most / (uint64_t)sysconf(_SC_PAGESIZE) },
		.bytes = { "fs.pipe-max-size", most },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

/** The pipe takes pages of ours; they are read as from any pipe. */
static inline ssize_t
adapter_vmsplice_write(struct adapter *a, struct adapter_stream *s,
		       struct iovec *parts, int count, bool now)
{
	return ADAPTER_SYS(a, vmsplice(s->out, parts, (size_t)count,
				       now ? SPLICE_F_NONBLOCK : 0));
}

static const struct adapter_bytes adapter_vmsplice_bytes = {
	.write = adapter_vmsplice_write,
	.read = adapter_pipe_read,
	.untaken = FIONREAD,
};

static inline void
adapter_vmsplice_close(struct adapter *a)
{
	struct adapter_vmsplice *v = (struct adapter_vmsplice *)a;
	struct adapter_stream *s = &v->stream;

	adapter_stream_drain(a, s, adapter_deadline(ADAPTER_SECOND));
	s->unsent_start = s->unsent_end = 0;
	s->unsent = NULL; /* the ring, which is not of malloc */
	adapter_stream_close(a, s);
	if (v->pages)
		ADAPTER_SYS(a, munmap(v->pages, v->size));
	v->pages = NULL;
	adapter_close_fd(a, &v->ends[0]);
	adapter_close_fd(a, &v->ends[1]);
	a->open = false;
}

static inline size_t
adapter_vmsplice_round(struct adapter_vmsplice *v, size_t size)
{
	return (size + v->page - 1) / v->page * v->page;
}

/** The memory for both roles: this is before fork. */
static inline int
adapter_vmsplice_memory(struct adapter *a)
{
	struct adapter_vmsplice *v = (struct adapter_vmsplice *)a;
	size_t frame = a->limits.message.value + sizeof(struct adapter_frame);
	void *pages;

	v->size = a->limits.bytes.value + 2 * adapter_vmsplice_round(v, frame);
	pages = ADAPTER_SYS(a, mmap(NULL, v->size, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	if (pages == MAP_FAILED)
		return adapter_error(a);
	v->stream.unsent = v->pages = (char *)pages;
	return adapter_frames_begin(a, &v->stream.frames);
}

static inline int
adapter_vmsplice_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_vmsplice *v = (struct adapter_vmsplice *)a;
	int error = adapter_begin(a, config, ADAPTER_FRAMES_READ, 0);

	adapter_ignore_sigpipe();
	adapter_stream_clear(&v->stream, &adapter_vmsplice_bytes);
	v->ends[0] = v->ends[1] = -1;
	v->page = (size_t)sysconf(_SC_PAGESIZE);
	if (!error && config->name)
		error = -ENOTSUP;
	if (!error &&
	    adapter_fd_pair(ADAPTER_SYS(a, pipe2(v->ends, O_CLOEXEC)), v->ends))
		error = adapter_error(a);
	if (!error)
		error = adapter_pipe_in_force(a, (int)(config->depth * v->page),
					      v->ends[1]);
	a->limits.depth =
		(struct adapter_limit){ "pages of F_GETPIPE_SZ",
					a->limits.bytes.value / v->page };
	if (!error)
		error = adapter_vmsplice_memory(a);
	return adapter_done(a, error);
}

static inline int
adapter_vmsplice_after_fork(struct adapter *a, bool child)
{
	struct adapter_vmsplice *v = (struct adapter_vmsplice *)a;

	if (child)
		a->roles = adapter_opposite(a->roles);
	if (a->roles == ADAPTER_SENDER) {
		v->stream.out = v->ends[1];
		adapter_close_fd(a, &v->ends[0]);
	} else {
		v->stream.in = v->ends[0];
		adapter_close_fd(a, &v->ends[1]);
	}
	v->ends[0] = v->ends[1] = -1;
	return 0;
}

static inline int
adapter_vmsplice_reserve(struct adapter *a, struct adapter_msg *msg,
			 int64_t timeout_ns)
{
	struct adapter_vmsplice *v = (struct adapter_vmsplice *)a;
	size_t frame = sizeof(struct adapter_frame) + msg->length;
	int error = adapter_check_send(a, msg);

	if (!error)
		error = adapter_stream_drain(a, &v->stream,
					     adapter_deadline(timeout_ns));
	if (error)
		return error;
	if (frame > v->size - v->next)
		v->next = 0; /* the end that is left out is less than a frame */
	msg->data = v->stream.unsent + v->next + sizeof(struct adapter_frame);
	return 0;
}

/** The message is sent once it has begun; what does not fit follows later. */
static inline int
adapter_vmsplice_put(struct adapter *a, const struct adapter_msg *msg,
		     int64_t deadline)
{
	struct adapter_vmsplice *v = (struct adapter_vmsplice *)a;
	struct adapter_stream *s = &v->stream;
	struct adapter_frame frame = { (uint32_t)msg->length, msg->tag };
	size_t size = sizeof(frame) + msg->length;
	int error;

	memcpy(s->unsent + v->next, &frame, sizeof(frame));
	s->unsent_start = v->next;
	s->unsent_end = v->next + size;
	error = adapter_stream_drain(a, s, deadline);
	if (error && s->unsent_start == v->next) {
		s->unsent_end = s->unsent_start; /* not begun */
		return error;
	}
	v->next += adapter_vmsplice_round(v, size);
	return error == -EAGAIN || error == -ETIMEDOUT ? 0 : error;
}

static inline int
adapter_vmsplice_commit(struct adapter *a, const struct adapter_msg *msg)
{
	return adapter_vmsplice_put(a, msg, INT64_MAX);
}

static inline int
adapter_vmsplice_send(struct adapter *a, const struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_msg place = *msg;
	int error = adapter_vmsplice_reserve(a, &place, timeout_ns);

	if (error)
		return error;
	memcpy(place.data, msg->data, msg->length);
	return adapter_vmsplice_put(a, &place, deadline);
}

static inline int
adapter_vmsplice_recv(struct adapter *a, struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	return adapter_stream_recv(a, &((struct adapter_vmsplice *)a)->stream,
				   msg, timeout_ns);
}

static inline int
adapter_vmsplice_peek(struct adapter *a, struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	struct adapter_stream *s = &((struct adapter_vmsplice *)a)->stream;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_frame frame;
	int error = a->roles == ADAPTER_RECEIVER ? 0 : -EBADF;

	if (!error)
		error = adapter_stream_next(a, s, &frame, deadline);
	if (error)
		return error;
	adapter_frames_show(&s->frames, &frame, msg);
	return 0;
}

static inline int
adapter_vmsplice_release(struct adapter *a)
{
	struct adapter_frames *f =
		&((struct adapter_vmsplice *)a)->stream.frames;
	struct adapter_frame frame;

	if (adapter_frames_ready(a, f, &frame) != 1)
		return -ENOMSG;
	adapter_frames_skip(f, &frame);
	return 0;
}

static inline int
adapter_vmsplice_flush(struct adapter *a, int64_t timeout_ns)
{
	return adapter_stream_flush(a, &((struct adapter_vmsplice *)a)->stream,
				    timeout_ns);
}

static inline int
adapter_vmsplice_pollfd(struct adapter *a, struct pollfd *out)
{
	return adapter_stream_pollfd(a, &((struct adapter_vmsplice *)a)->stream,
				     out);
}

static const struct adapter_ops adapter_vmsplice_ops = {
	.name = "vmsplice",
	.summary = "the sender's pages in a pipe, between related processes",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_FORK_ONLY |
		ADAPTER_POLLABLE | ADAPTER_ZEROCOPY | ADAPTER_TIMED |
		ADAPTER_PEER_DEATH | ADAPTER_TAGS,
	.size = sizeof(struct adapter_vmsplice),
	.create = adapter_vmsplice_create,
	.after_fork = adapter_vmsplice_after_fork,
	.send = adapter_vmsplice_send,
	.recv = adapter_vmsplice_recv,
	.limits = adapter_vmsplice_limits,
	.close = adapter_vmsplice_close,
	.reserve = adapter_vmsplice_reserve,
	.commit = adapter_vmsplice_commit,
	.peek = adapter_vmsplice_peek,
	.release = adapter_vmsplice_release,
	.flush = adapter_vmsplice_flush,
	.pollfd = adapter_vmsplice_pollfd,
};

#endif
