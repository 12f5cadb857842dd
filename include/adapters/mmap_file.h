/* SPDX-License-Identifier: MIT */
/*
 * mmap_file.h - a file mapped into both processes, as a bounded buffer.
 *
 * What one writes to a shared map the other sees at once: both have the same
 * pages, those in which the system caches the file. No call moves the data, and
 * messages can be filled and read in place.
 *
 * Use it where messages must survive a restart of both sides: all is in the
 * file, and whoever attaches goes on where its predecessor was; a sender that
 * was killed has sent a message whole or not at all, the successor of a killed
 * receiver may get one message again. Not where latency counts: a map has no
 * means to wait by, so this looks again and again, pausing up to 1 ms.
 *
 * The pages reach the disk when the system likes. After the death of a process
 * that makes no difference; after a loss of power the file holds any mixture of
 * old and new pages, except what msync(MS_SYNC) had returned for: close calls
 * it. To survive that at any moment each send would have to call it twice, for
 * the message and then for the count, at some milliseconds each.
 *
 * One sender, one receiver: each locks a byte of the file while it is attached
 * (-EBUSY). Nobody is told that a peer has gone; it may come back. Another
 * process that truncates the file brings SIGBUS upon those who have it mapped;
 * so keep it where only the trusted can write.
 *
 * System calls, in order:
 *
 *	create	open, posix_fallocate, fcntl (F_OFD_SETLK), pwrite, fchmod,
 *		link, mmap
 *	attach	open, pread, fstat, fcntl, mmap
 *	send	none: two stores behind the data
 *	receive	none
 *	wait	nanosleep, again and again
 *	woken	by nobody
 *	close	msync, munmap, close, unlink
 */
#ifndef ADAPTER_MMAP_FILE_H
#define ADAPTER_MMAP_FILE_H

#include "common/buffer.h"
#include "common/regular.h"

#include <sys/mman.h>

struct adapter_mmap_file {
	struct adapter base;
	int fd;
	void *map; /* NULL: none */
	size_t size;
	struct adapter_buffer *buffer; /* in the map */
};

static const struct adapter_ops adapter_mmap_file_ops;

static inline void
adapter_mmap_file_close(struct adapter *a)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;

	if (m->map) {
		ADAPTER_SYS(a, msync(m->map, m->size, MS_SYNC));
		ADAPTER_SYS(a, munmap(m->map, m->size));
	}
	m->map = NULL;
	adapter_close_fd(a, &m->fd);
	a->open = false;
}

static inline int
adapter_mmap_file_begin(struct adapter *a, const struct adapter_config *config)
{
	int error = adapter_begin(a, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	((struct adapter_mmap_file *)a)->fd = -1;
	return error;
}

static inline size_t
adapter_mmap_file_size(const struct adapter *a)
{
	return adapter_buffer_size(a, ADAPTER_REGULAR_HEADER);
}

/** The byte to lock for this role, one of the header. */
static inline off_t
adapter_mmap_file_byte(const struct adapter *a)
{
	return a->roles == ADAPTER_SENDER ? 0 : 1;
}

/** The end of create and attach. */
static inline int
adapter_mmap_file_map(struct adapter *a)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	void *map;

	m->size = adapter_mmap_file_size(a);
	map = ADAPTER_SYS(a, mmap(NULL, m->size, PROT_READ | PROT_WRITE,
				  MAP_SHARED, m->fd, 0));
	if (map == MAP_FAILED)
		return adapter_error(a);
	m->map = map;
	m->buffer =
		(struct adapter_buffer *)((char *)map + ADAPTER_REGULAR_HEADER);
	return 0;
}

static inline int
adapter_mmap_file_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	int error = adapter_mmap_file_begin(a, config);

	if (error)
		return error;
	m->fd = adapter_regular_create(a, config, adapter_mmap_file_size(a),
				       adapter_mmap_file_byte(a));
	if (m->fd < 0)
		return m->fd;
	return adapter_done_named(a, config, adapter_mmap_file_map(a));
}

static inline int
adapter_mmap_file_attach(struct adapter *a, const struct adapter_config *config,
			 int64_t timeout_ns)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	int error = adapter_mmap_file_begin(a, config);
	struct stat file;

	if (error)
		return error;
	m->fd = adapter_regular_attach(a, config, timeout_ns);
	if (m->fd < 0)
		return m->fd;
	if (ADAPTER_SYS(a, fstat(m->fd, &file)))
		error = adapter_error(a);
	else if (adapter_mmap_file_size(a) == 0 ||
		 (uint64_t)file.st_size != adapter_mmap_file_size(a))
		error = -EPROTO;
	if (!error)
		error = adapter_regular_lock(a, m->fd, F_WRLCK,
					     adapter_mmap_file_byte(a), false);
	if (!error)
		error = adapter_mmap_file_map(a);
	return adapter_done(a, error);
}

static inline int
adapter_mmap_file_reserve(struct adapter *a, struct adapter_msg *msg,
			  int64_t timeout_ns)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	struct adapter_slot *slot;
	int error = adapter_check_send(a, msg);

	while (!error && !(slot = adapter_buffer_free(a, m->buffer)))
		error = adapter_backoff(a, &step, deadline);
	if (!error)
		msg->data = slot->data;
	return error;
}

static inline int
adapter_mmap_file_commit(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	int error = adapter_check_send(a, msg);

	return error ? error : adapter_buffer_commit(a, m->buffer, msg);
}

static inline int
adapter_mmap_file_peek(struct adapter *a, struct adapter_msg *msg,
		       int64_t timeout_ns)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	struct adapter_slot *slot;
	int error = a->roles == ADAPTER_RECEIVER ? 0 : -EBADF;

	while (!error && !(slot = adapter_buffer_first(a, m->buffer)))
		error = adapter_backoff(a, &step, deadline);
	return error ? error : adapter_slot_show(a, slot, msg);
}

static inline int
adapter_mmap_file_release(struct adapter *a)
{
	return adapter_buffer_release(a,
				      ((struct adapter_mmap_file *)a)->buffer);
}

static inline int
adapter_mmap_file_send(struct adapter *a, const struct adapter_msg *msg,
		       int64_t timeout_ns)
{
	return adapter_buffer_send(&adapter_mmap_file_ops, a, msg, timeout_ns);
}

static inline int
adapter_mmap_file_recv(struct adapter *a, struct adapter_msg *msg,
		       int64_t timeout_ns)
{
	return adapter_buffer_recv(&adapter_mmap_file_ops, a, msg, timeout_ns);
}

static inline int
adapter_mmap_file_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_mmap_file *m = (struct adapter_mmap_file *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	int error = 0;

	while (!error && !adapter_buffer_empty(m->buffer))
		error = adapter_backoff(a, &step, deadline);
	return error;
}

static const struct adapter_ops adapter_mmap_file_ops = {
	.name = "mmap_file",
	.summary = "bounded buffer in a mapped file",
	.caps = ADAPTER_NAMED | ADAPTER_ZEROCOPY | ADAPTER_PERSISTENT |
		ADAPTER_TAGS,
	.size = sizeof(struct adapter_mmap_file),
	.create = adapter_mmap_file_create,
	.attach = adapter_mmap_file_attach,
	.send = adapter_mmap_file_send,
	.recv = adapter_mmap_file_recv,
	.limits = adapter_buffer_limits,
	.close = adapter_mmap_file_close,
	.unlink = adapter_unlink_path,
	.reserve = adapter_mmap_file_reserve,
	.commit = adapter_mmap_file_commit,
	.peek = adapter_mmap_file_peek,
	.release = adapter_mmap_file_release,
	.flush = adapter_mmap_file_flush,
};

#endif
