/* SPDX-License-Identifier: MIT */
/*
 * file.h - an ordinary file to which senders append and which receivers follow.
 *
 * Each message is a frame (length, tag, data) at the end of the file; the
 * header of the file says where that end is. A receiver reads on from where it
 * was, from the beginning at first, so that each of several receivers gets all
 * messages, those of the past too; and sleeps by inotify when there are none.
 *
 * Use it where the messages are wanted as a log afterwards, or where processes
 * must understand each other through nothing but files. Not in bulk: the file
 * grows until its disk or RLIMIT_FSIZE ends that, and is never trimmed; and a
 * message takes five system calls to send.
 *
 * Senders exclude each other by a write lock, receivers read the end under a
 * read lock; a killed holder's lock goes with it, and what it had not finished
 * lies behind the end, where the next message replaces it. (A single sender
 * could do without, by O_APPEND and one write; but a write that is cut short,
 * by a full disk or SIGKILL, would leave half a frame for ever.) A holder that
 * is stopped stops the others.
 *
 * All survives a restart of both sides; of the machine, what fsync (or time)
 * had brought to the disk. Nobody is told that a peer has gone. inotify sees
 * what happens on this machine only, not a network file system's other users.
 *
 * System calls, in order:
 *
 *	create	open, posix_fallocate, pwrite, fchmod, link; receivers:
 *		inotify_init1, inotify_add_watch
 *	attach	open, pread, and the same of inotify
 *	send	fcntl (F_OFD_SETLKW: common/regular.h), pread (the end),
 *		pwritev, pwrite (the new end), fcntl (F_UNLCK)
 *	receive	read (forget events: common/watch.h), fcntl, pread (the end),
 *		fcntl, pread
 *	wait	ppoll (inotify); senders: in fcntl
 *	woken	by the kernel, at a sender's pwrite
 *	close	close, unlink
 */
#ifndef ADAPTER_FILE_H
#define ADAPTER_FILE_H

#include "common/frames.h"
#include "common/regular.h"
#include "common/watch.h"

#include <sys/uio.h>

#define ADAPTER_FILE_MESSAGE 65536

struct adapter_file {
	struct adapter base;
	int fd, notify;
	uint64_t position; /* to read next */
	struct adapter_frames frames; /* what was read ahead */
};

static inline int
adapter_file_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - frame header", ADAPTER_FRAME_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline void
adapter_file_close(struct adapter *a)
{
	struct adapter_file *f = (struct adapter_file *)a;

	adapter_frames_end(&f->frames);
	adapter_close_fd(a, &f->notify);
	adapter_close_fd(a, &f->fd);
	a->open = false;
}

static inline int
adapter_file_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_file *f = (struct adapter_file *)a;
	int error = adapter_begin(a, config, ADAPTER_FILE_MESSAGE, 0);

	f->fd = f->notify = -1;
	f->position = ADAPTER_REGULAR_HEADER;
	a->limits.depth.name = NULL; /* whatever was asked for, it holds more */
	return error;
}

/** The end of create and attach, once the file is open or an error. */
static inline int
adapter_file_opened(struct adapter *a, int fd)
{
	struct adapter_file *f = (struct adapter_file *)a;
	int error;

	f->fd = fd;
	if (fd < 0 || a->roles == ADAPTER_SENDER)
		return fd < 0 ? fd : 0;
	if (a->limits.message.value > ADAPTER_FRAME_MAX)
		error = -EPROTO;
	else
		error = adapter_frames_begin(a, &f->frames);
	return error ? error : adapter_watch(a, fd, &f->notify);
}

static inline int
adapter_file_create(struct adapter *a, const struct adapter_config *config)
{
	int fd, error = adapter_file_begin(a, config);

	if (error)
		return error;
	fd = adapter_regular_create(a, config, ADAPTER_REGULAR_HEADER, -1);
	return fd < 0 ? adapter_done(a, fd)
		      : adapter_done_named(a, config,
					   adapter_file_opened(a, fd));
}

static inline int
adapter_file_attach(struct adapter *a, const struct adapter_config *config,
		    int64_t timeout_ns)
{
	int error = adapter_file_begin(a, config);

	if (!error)
		error = adapter_file_opened(
			a, adapter_regular_attach(a, config, timeout_ns));
	return adapter_done(a, error);
}

/** With the lock held: the frame behind the end, then the new end. */
static inline int
adapter_file_append(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_file *f = (struct adapter_file *)a;
	struct adapter_frame frame = { (uint32_t)msg->length, msg->tag };
	struct iovec parts[2] = { { &frame, sizeof(frame) },
				  { msg->data, msg->length } };
	uint64_t most = adapter_rlimit(RLIMIT_FSIZE), end;
	size_t size = sizeof(frame) + msg->length;
	int error = adapter_regular_end(a, f->fd, &end);
	ssize_t n;

	if (error)
		return error;
	if (most < size || end > most - size) /* it would raise SIGXFSZ */
		return adapter_refuse(a, -EFBIG, "RLIMIT_FSIZE", most);
	n = ADAPTER_SYS(a, pwritev(f->fd, parts, 2, (off_t)end));
	if (n < 0)
		return adapter_error(a);
	if ((size_t)n < size)
		return -ENOSPC;
	end += size;
	n = ADAPTER_SYS(a, pwrite(f->fd, &end, sizeof(end),
				  offsetof(struct adapter_regular, end)));
	return n < 0 ? adapter_error(a) : 0;
}

/** Never finds it full: a timeout has no use but that of the interface. */
static inline int
adapter_file_send(struct adapter *a, const struct adapter_msg *msg,
		  int64_t timeout_ns)
{
	struct adapter_file *f = (struct adapter_file *)a;
	int error = adapter_check_send(a, msg), unlocked;

	(void)timeout_ns;
	if (!error)
		error = adapter_regular_lock(a, f->fd, F_WRLCK, 0, true);
	if (error)
		return error;
	error = adapter_file_append(a, msg);
	unlocked = adapter_regular_lock(a, f->fd, F_UNLCK, 0, false);
	return error ? error : unlocked;
}

/** Read ahead; -EAGAIN if there is no more. */
static inline int
adapter_file_fill(struct adapter *a)
{
	struct adapter_file *f = (struct adapter_file *)a;
	uint64_t end = 0;
	size_t room;
	ssize_t n;
	int error, unlocked;

	/* First: the event of a later message must stay. */
	adapter_watch_forget(a, f->notify);
	error = adapter_regular_lock(a, f->fd, F_RDLCK, 0, true);
	if (error)
		return error;
	error = adapter_regular_end(a, f->fd, &end);
	unlocked = adapter_regular_lock(a, f->fd, F_UNLCK, 0, false);
	if (error || unlocked)
		return error ? error : unlocked;
	if (end <= f->position)
		return -EAGAIN;
	room = adapter_frames_room(&f->frames);
	if (room > end - f->position)
		room = end - f->position;
	n = ADAPTER_SYS(a, pread(f->fd, f->frames.unread + f->frames.end, room,
				 (off_t)f->position));
	if (n < 0)
		return adapter_error(a);
	f->frames.end += (size_t)n;
	f->position += (uint64_t)n;
	return n ? 0 : -EBADMSG; /* somebody has truncated the file */
}

static inline int
adapter_file_recv(struct adapter *a, struct adapter_msg *msg,
		  int64_t timeout_ns)
{
	struct adapter_file *f = (struct adapter_file *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_recv(a, msg);
	struct adapter_frame frame;
	int ready = 0;

	while (!error &&
	       !(ready = adapter_frames_ready(a, &f->frames, &frame))) {
		error = adapter_file_fill(a);
		if (error == -EAGAIN)
			error = adapter_poll(a, f->notify, POLLIN, deadline);
	}
	if (error || ready < 0)
		return error ? error : ready;
	adapter_frames_take(&f->frames, &frame, msg);
	return 0;
}

static inline int
adapter_file_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_file *f = (struct adapter_file *)a;
	struct adapter_frame frame;

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	*out = (struct pollfd){ .fd = f->notify, .events = POLLIN };
	return adapter_frames_ready(a, &f->frames, &frame) != 0;
}

static const struct adapter_ops adapter_file_ops = {
	.name = "file",
	.summary = "a file, appended to and followed",
	.caps = ADAPTER_STREAM | ADAPTER_FRAMED | ADAPTER_NAMED |
		ADAPTER_POLLABLE | ADAPTER_TIMED | ADAPTER_MANY_SENDERS |
		ADAPTER_BROADCAST | ADAPTER_PERSISTENT | ADAPTER_TAGS,
	.size = sizeof(struct adapter_file),
	.create = adapter_file_create,
	.attach = adapter_file_attach,
	.send = adapter_file_send,
	.recv = adapter_file_recv,
	.limits = adapter_file_limits,
	.close = adapter_file_close,
	.unlink = adapter_unlink_path,
	.pollfd = adapter_file_pollfd,
};

#endif
