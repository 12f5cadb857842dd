/* SPDX-License-Identifier: MIT */
/*
 * eventfd.h - two eventfd counters around a buffer in shared memory.
 *
 * An eventfd is a counter in the kernel behind a descriptor. With EFD_SEMAPHORE
 * a read takes one from it, or waits while it is 0; a write adds. It carries no
 * data, so these lie in a memfd with the bounded buffer of buffer.h: one counter
 * tells the free slots, the other the filled ones.
 *
 * A counter has no name. Related processes inherit it; unrelated ones get the
 * three descriptors over a local socket (SCM_RIGHTS), which stays open: its end
 * tells that the peer has died, as a counter would not.
 *
 * Use it where a program sleeps in poll or epoll anyway, for a wake-up cheaper
 * than a pipe's. Do not use it where no poll is needed: the ring needs no
 * system call at all while both sides are awake. One sender, one receiver.
 *
 * System calls, in order:
 *
 *	create	memfd_create, fchmod, posix_fallocate, fcntl (F_ADD_SEALS),
 *		mmap, eventfd, eventfd, socket, bind, listen; at the
 *		first use accept4, sendmsg (the descriptors); or
 *		socketpair
 *	attach	socket, connect; at the first use recvmsg, fstat, mmap
 *	send	poll (is the peer there?), read (the free), write (the filled)
 *	receive	read (the filled), write (the free)
 *	wait	ppoll (the counter and the socket)
 *	woken	by the kernel, at the other side's write
 *	close	munmap, close, unlink
 */
#ifndef ADAPTER_EVENTFD_H
#define ADAPTER_EVENTFD_H

#include "common/memfd.h"

#include <sys/eventfd.h>

static const struct adapter_ops adapter_eventfd_ops;

/** The memory and its two counters. */
static inline int
adapter_eventfd_make(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	int flags = EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE;
	int error = adapter_memfd_make(a, config);

	if (error)
		return error;
	e->fds[ADAPTER_MEMFD_FREE] = adapter_fd(ADAPTER_SYS(
		a, eventfd((unsigned)a->limits.depth.value, flags)));
	e->fds[ADAPTER_MEMFD_FILLED] =
		adapter_fd(ADAPTER_SYS(a, eventfd(0, flags)));
	return e->fds[0] < 0 || e->fds[1] < 0 ? adapter_error(a) : 0;
}

static inline int
adapter_eventfd_create(struct adapter *a, const struct adapter_config *config)
{
	int error = adapter_memfd_begin(a, config);

	if (!error)
		error = adapter_eventfd_make(a, config);
	if (!error)
		error = adapter_unix_open(a, config);
	return adapter_done(a, error);
}

static inline int
adapter_eventfd_attach(struct adapter *a, const struct adapter_config *config,
		       int64_t timeout_ns)
{
	int error = adapter_memfd_begin(a, config);

	if (!error)
		error = adapter_unix_enter(a, config->name,
					   adapter_deadline(timeout_ns));
	return adapter_done(a, error);
}

/** Take one from a counter; the peer's end is looked at while it is 0. */
static inline int
adapter_eventfd_take(struct adapter *a, int which, int64_t timeout_ns)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct pollfd p[2] = { { .events = POLLIN }, { .events = 0 } };
	struct timespec left;
	bool gone = false;
	uint64_t one;
	int n, error = e->held ? 0 : adapter_memfd_meet(a, deadline);

	if (error || e->held)
		return error;
	p[0].fd = e->fds[which];
	p[1].fd = e->socket.fd;
	while (ADAPTER_SYS(a, read(p[0].fd, &one, sizeof(one))) < 0) {
		if (errno != EAGAIN)
			return adapter_error(a);
		if (gone) /* and nothing came before it went */
			return -EPIPE;
		left = adapter_timespec(adapter_left(deadline));
		n = ADAPTER_SYS(a, ppoll(p, 2,
					 deadline == INT64_MAX ? NULL : &left,
					 NULL));
		if (n == 0)
			return adapter_expired(deadline);
		if (n < 0 && errno != EINTR)
			return adapter_error(a);
		gone = n > 0 && p[1].revents;
	}
	e->held = true;
	return 0;
}

/** After the slot was passed on: count it. */
static inline int
adapter_eventfd_give(struct adapter *a, int which, int error)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	uint64_t one = 1;

	if (error)
		return error;
	e->held = false;
	return ADAPTER_SYS(a, write(e->fds[which], &one, sizeof(one))) < 0
		       ? adapter_error(a)
		       : 0;
}

static inline int
adapter_eventfd_reserve(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	struct pollfd end = { .fd = e->socket.fd };
	struct adapter_slot *slot;
	int error = adapter_check_send(a, msg);

	/* Free slots may be left when nobody will ever read them. */
	if (!error && end.fd >= 0 && ADAPTER_SYS(a, poll(&end, 1, 0)) == 1)
		return -EPIPE;
	if (!error)
		error = adapter_eventfd_take(a, ADAPTER_MEMFD_FREE, timeout_ns);
	slot = error ? NULL : adapter_buffer_free(a, e->buffer);
	if (!slot)
		return error ? error : -EBADMSG; /* the counters disagree */
	msg->data = slot->data;
	return 0;
}

static inline int
adapter_eventfd_commit(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	int error = adapter_check_send(a, msg);

	if (!error)
		error = e->held ? adapter_buffer_commit(a, e->buffer, msg)
				: -ENOMSG;
	return adapter_eventfd_give(a, ADAPTER_MEMFD_FILLED, error);
}

static inline int
adapter_eventfd_peek(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	struct adapter_slot *slot;
	int error = a->roles & ADAPTER_RECEIVER ? 0 : -EBADF;

	if (!error)
		error = adapter_eventfd_take(a, ADAPTER_MEMFD_FILLED,
					     timeout_ns);
	slot = error ? NULL : adapter_buffer_first(a, e->buffer);
	if (!slot)
		return error ? error : -EBADMSG;
	return adapter_slot_show(a, slot, msg);
}

static inline int
adapter_eventfd_release(struct adapter *a)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;

	return adapter_eventfd_give(
		a, ADAPTER_MEMFD_FREE,
		e->held ? adapter_buffer_release(a, e->buffer) : -ENOMSG);
}

static inline int
adapter_eventfd_send(struct adapter *a, const struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	return adapter_buffer_send(&adapter_eventfd_ops, a, msg, timeout_ns);
}

static inline int
adapter_eventfd_recv(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	return adapter_buffer_recv(&adapter_eventfd_ops, a, msg, timeout_ns);
}

/** The counter of filled slots; the peer's end is not seen there. */
static inline int
adapter_eventfd_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_memfd *e = (struct adapter_memfd *)a;
	int error = adapter_memfd_meet(a, 0);

	if (error == -EAGAIN)
		return adapter_socket_pollfd(a, out);
	*out = (struct pollfd){ .fd = e->fds[ADAPTER_MEMFD_FILLED],
				.events = POLLIN };
	return error ? error : e->held;
}

static const struct adapter_ops adapter_eventfd_ops = {
	.name = "eventfd",
	.summary = "eventfd counters around shared memory",
	.caps = ADAPTER_COUNTER_ONLY | ADAPTER_NAMED | ADAPTER_POLLABLE |
		ADAPTER_ZEROCOPY | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_TAGS,
	.size = sizeof(struct adapter_memfd),
	.create = adapter_eventfd_create,
	.attach = adapter_eventfd_attach,
	.after_fork = adapter_socket_after_fork,
	.send = adapter_eventfd_send,
	.recv = adapter_eventfd_recv,
	.limits = adapter_buffer_limits,
	.close = adapter_memfd_close,
	.unlink = adapter_unlink_path,
	.reserve = adapter_eventfd_reserve,
	.commit = adapter_eventfd_commit,
	.peek = adapter_eventfd_peek,
	.release = adapter_eventfd_release,
	.pollfd = adapter_eventfd_pollfd,
};

#endif
