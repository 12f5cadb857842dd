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
 */
#ifndef ADAPTER_EVENTFD_H
#define ADAPTER_EVENTFD_H

#include "shared.h"
#include "unix_socket.h"

#include <sys/eventfd.h>

#define ADAPTER_EVENTFD_BUFFER 4096 /* offset of it, behind adapter_shared */

_Static_assert(sizeof(struct adapter_shared) <= ADAPTER_EVENTFD_BUFFER,
	       "the buffer begins behind the head");

enum { ADAPTER_EVENTFD_FREE, ADAPTER_EVENTFD_FILLED, ADAPTER_EVENTFD_MEMORY };

struct adapter_eventfd {
	struct adapter_socket socket; /* the way in; its end is the peer's */
	struct adapter_segment memory;
	struct adapter_buffer *buffer; /* NULL: the memory has not come yet */
	int fds[3]; /* the counters; MEMORY: until it is mapped */
	bool held; /* a slot is reserved or peeked */
};

static const struct adapter_ops adapter_eventfd_ops;

static inline void
adapter_eventfd_close(struct adapter *a)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int i;

	adapter_segment_close(a, &e->memory);
	for (i = 0; i < 3; i++)
		adapter_close_fd(a, &e->fds[i]);
	adapter_socket_close(a);
}

static inline int
adapter_eventfd_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int error = adapter_begin(a, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	adapter_socket_clear(&e->socket, SOCK_SEQPACKET);
	adapter_segment_clear(&e->memory);
	e->fds[0] = e->fds[1] = e->fds[2] = -1;
	return error;
}

static inline void
adapter_eventfd_place(struct adapter_eventfd *e)
{
	e->buffer = (struct adapter_buffer *)((char *)e->memory.shared +
					      ADAPTER_EVENTFD_BUFFER);
}

static inline int
adapter_eventfd_make(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct adapter_config unnamed = { .permissions = config->permissions };
	int flags = EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE;
	int error = adapter_segment_create(
		a, &e->memory, &unnamed, "eventfd",
		adapter_buffer_size(a, ADAPTER_EVENTFD_BUFFER));

	if (error)
		return error;
	adapter_eventfd_place(e);
	adapter_segment_ready(&e->memory);
	e->fds[ADAPTER_EVENTFD_FREE] =
		ADAPTER_SYS(a, eventfd((unsigned)a->limits.depth.value, flags));
	e->fds[ADAPTER_EVENTFD_FILLED] = ADAPTER_SYS(a, eventfd(0, flags));
	return e->fds[0] < 0 || e->fds[1] < 0 ? adapter_error(a) : 0;
}

static inline int
adapter_eventfd_create(struct adapter *a, const struct adapter_config *config)
{
	int error = adapter_eventfd_begin(a, config);

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
	int error = adapter_eventfd_begin(a, config);

	if (!error)
		error = adapter_unix_enter(a, config->name,
					   adapter_deadline(timeout_ns));
	return adapter_done(a, error);
}

/** Hand the descriptors to the peer, who has come. */
static inline int
adapter_eventfd_give_all(struct adapter *a)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int i, error = 0;

	for (i = 0; i < 3 && !error; i++)
		error = adapter_unix_give(
			a,
			i == ADAPTER_EVENTFD_MEMORY ? e->memory.fd : e->fds[i],
			0);
	return error;
}

static inline int
adapter_eventfd_take_all(struct adapter *a, int64_t deadline)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	size_t size;
	int i, error;

	for (i = 0; i < 3; i++)
		if (e->fds[i] < 0) { /* else it came before a deadline */
			e->fds[i] = adapter_unix_take(a, deadline);
			if (e->fds[i] < 0)
				return e->fds[i];
		}
	e->memory.fd = e->fds[ADAPTER_EVENTFD_MEMORY];
	e->fds[ADAPTER_EVENTFD_MEMORY] = -1;
	error = adapter_segment_adopt(a, &e->memory);
	size = error ? 0 : adapter_buffer_size(a, ADAPTER_EVENTFD_BUFFER);
	if (size == 0 || size > e->memory.size)
		return error ? error : -EPROTO;
	adapter_eventfd_place(e);
	return 0;
}

/** The first operation of each side: the creator hands the descriptors out. */
static inline int
adapter_eventfd_meet(struct adapter *a, int64_t deadline)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int error;

	if (!e->buffer)
		return adapter_eventfd_take_all(a, deadline);
	if (e->socket.listener < 0)
		return 0;
	error = adapter_socket_peer(a, deadline);
	return error ? error : adapter_eventfd_give_all(a);
}

/** Take one from a counter; the peer's end is looked at while it is 0. */
static inline int
adapter_eventfd_take(struct adapter *a, int which, int64_t timeout_ns)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct pollfd p[2] = { { .events = POLLIN }, { .events = 0 } };
	struct timespec left;
	bool gone = false;
	uint64_t one;
	int n, error = e->held ? 0 : adapter_eventfd_meet(a, deadline);

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
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
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
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct pollfd end = { .fd = e->socket.fd };
	struct adapter_slot *slot;
	int error = adapter_check_send(a, msg);

	/* Free slots may be left when nobody will ever read them. */
	if (!error && end.fd >= 0 && ADAPTER_SYS(a, poll(&end, 1, 0)) == 1)
		return -EPIPE;
	if (!error)
		error = adapter_eventfd_take(a, ADAPTER_EVENTFD_FREE,
					     timeout_ns);
	slot = error ? NULL : adapter_buffer_free(a, e->buffer);
	if (!slot)
		return error ? error : -EBADMSG; /* the counters disagree */
	msg->data = slot->data;
	return 0;
}

static inline int
adapter_eventfd_commit(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int error = adapter_check_send(a, msg);

	if (!error)
		error = e->held ? adapter_buffer_commit(a, e->buffer, msg)
				: -EINVAL;
	return adapter_eventfd_give(a, ADAPTER_EVENTFD_FILLED, error);
}

static inline int
adapter_eventfd_peek(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct adapter_slot *slot;
	int error = a->roles & ADAPTER_RECEIVER ? 0 : -EBADF;

	if (!error)
		error = adapter_eventfd_take(a, ADAPTER_EVENTFD_FILLED,
					     timeout_ns);
	slot = error ? NULL : adapter_buffer_first(a, e->buffer);
	if (!slot)
		return error ? error : -EBADMSG;
	return adapter_slot_show(a, slot, msg);
}

static inline int
adapter_eventfd_release(struct adapter *a)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;

	return adapter_eventfd_give(
		a, ADAPTER_EVENTFD_FREE,
		e->held ? adapter_buffer_release(a, e->buffer) : -EINVAL);
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
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int error = adapter_eventfd_meet(a, 0);

	if (error == -EAGAIN)
		return adapter_socket_pollfd(a, out);
	*out = (struct pollfd){ .fd = e->fds[ADAPTER_EVENTFD_FILLED],
				.events = POLLIN };
	return error ? error : e->held;
}

static inline int
adapter_eventfd_unlink(const char *name)
{
	return adapter_unlink_path(name, "eventfd");
}

static const struct adapter_ops adapter_eventfd_ops = {
	.name = "eventfd",
	.summary = "eventfd counters around shared memory",
	.caps = ADAPTER_COUNTER_ONLY | ADAPTER_NAMED | ADAPTER_POLLABLE |
		ADAPTER_ZEROCOPY | ADAPTER_TIMED | ADAPTER_PEER_DEATH |
		ADAPTER_TAGS,
	.size = sizeof(struct adapter_eventfd),
	.create = adapter_eventfd_create,
	.attach = adapter_eventfd_attach,
	.after_fork = adapter_socket_after_fork,
	.send = adapter_eventfd_send,
	.recv = adapter_eventfd_recv,
	.limits = adapter_buffer_limits,
	.close = adapter_eventfd_close,
	.unlink = adapter_eventfd_unlink,
	.reserve = adapter_eventfd_reserve,
	.commit = adapter_eventfd_commit,
	.peek = adapter_eventfd_peek,
	.release = adapter_eventfd_release,
	.pollfd = adapter_eventfd_pollfd,
};

#endif
