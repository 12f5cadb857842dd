/* SPDX-License-Identifier: MIT */
/*
 * eventfd.h - two eventfd counters around a buffer in shared memory.
 *
 * An eventfd is a counter in the kernel behind a descriptor. With EFD_SEMAPHORE
 * a read takes one from it, or waits while it is 0; a write adds. It carries no
 * data, so these lie in a memfd: one counter tells the free slots, the other
 * the filled ones, and each side keeps its own position, as nobody else needs
 * it. The system calls order the memory: a slot is filled before the write
 * that announces it, and read after the read that takes it.
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

#include "unix_seqpacket.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#define ADAPTER_EVENTFD_DEPTH 64
#define ADAPTER_EVENTFD_MESSAGE 4096
#define ADAPTER_EVENTFD_MAX (1 << 26) /* bytes of a message */

enum { ADAPTER_EVENTFD_MEMORY, ADAPTER_EVENTFD_FREE, ADAPTER_EVENTFD_FILLED };

struct adapter_eventfd {
	struct adapter base;
	struct adapter_socket door; /* the way in; its end is the peer's */
	bool creator;
	int fds[3];
	char *memory;
	size_t slot, slots, position;
	bool held; /* a slot is reserved or peeked */
};

static const struct adapter_ops adapter_eventfd_ops;

static inline int
adapter_eventfd_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "ADAPTER_EVENTFD_MAX", ADAPTER_EVENTFD_MAX },
		.depth = { "UINT16_MAX slots", UINT16_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline void
adapter_eventfd_close(struct adapter *a)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int i;

	if (e->memory)
		ADAPTER_SYS(a, munmap(e->memory, e->slot * e->slots));
	e->memory = NULL;
	for (i = 0; i < 3; i++)
		adapter_close_fd(a, &e->fds[i]);
	if (e->door.base.open)
		adapter_socket_close(&e->door.base);
	a->open = false;
}

/** Create or attach: both lay the slots out in the same way. */
static inline int
adapter_eventfd_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int error =
		adapter_begin(a, &adapter_eventfd_ops, config,
			      ADAPTER_EVENTFD_MESSAGE, ADAPTER_EVENTFD_DEPTH);

	e->fds[0] = e->fds[1] = e->fds[2] = -1;
	e->slots = a->limits.depth.value;
	e->slot = (sizeof(struct adapter_frame) + a->limits.message.value + 7) &
		  ~(size_t)7;
	return error;
}

static inline int
adapter_eventfd_map(struct adapter *a)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int fd = e->fds[ADAPTER_EVENTFD_MEMORY];
	struct stat is;
	void *memory;

	if (ADAPTER_SYS(a, fstat(fd, &is)))
		return adapter_error(a);
	if ((uint64_t)is.st_size != e->slot * e->slots)
		return -EPROTO; /* the peer has another configuration */
	memory = mmap(NULL, e->slot * e->slots, PROT_READ | PROT_WRITE,
		      MAP_SHARED, fd, 0);
	a->syscalls++;
	if (memory == MAP_FAILED)
		return adapter_error(a);
	e->memory = (char *)memory;
	return 0;
}

static inline int
adapter_eventfd_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct adapter_config door = { .name = config->name,
				       .roles = ADAPTER_BOTH,
				       .permissions = config->permissions };
	int error = adapter_eventfd_begin(a, config), *fds = e->fds;
	int flags = EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE;

	if (error)
		return error;
	e->creator = true;
	fds[0] = ADAPTER_SYS(
		a, memfd_create("eventfd", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	fds[1] = ADAPTER_SYS(a, eventfd((unsigned)e->slots, flags));
	fds[2] = ADAPTER_SYS(a, eventfd(0, flags));
	if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
		error = adapter_error(a);
	if (!error) {
		error = -ADAPTER_SYS(
			a, posix_fallocate(fds[0], 0,
					   (off_t)(e->slot * e->slots)));
		if (error == -ENOSPC || error == -ENOMEM)
			adapter_refuse(a, error, "bytes of memory",
				       e->slot * e->slots);
	}
	/* A peer that shrank it would have the other one killed (SIGBUS). */
	if (!error && ADAPTER_SYS(a, fcntl(fds[0], F_ADD_SEALS,
					   F_SEAL_SHRINK | F_SEAL_SEAL)))
		error = adapter_error(a);
	if (!error)
		error = adapter_eventfd_map(a);
	if (!error) {
		error = adapter_unix_seqpacket_create(&e->door.base, &door);
		if (error)
			a->refused = e->door.base.refused;
	}
	if (!error)
		return adapter_ready(a);
	adapter_eventfd_close(a);
	return error;
}

static inline int
adapter_eventfd_attach(struct adapter *a, const struct adapter_config *config,
		       int64_t timeout_ns)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct adapter_config door = { .name = config->name,
				       .roles = ADAPTER_BOTH };
	int error = adapter_eventfd_begin(a, config);

	if (!error)
		error = adapter_unix_seqpacket_attach(&e->door.base, &door,
						      timeout_ns);
	if (!error)
		return adapter_ready(a);
	if (e->door.base.refused.name)
		a->refused = e->door.base.refused;
	return error;
}

static inline int
adapter_eventfd_after_fork(struct adapter *a, bool child)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;

	if (child)
		a->roles = adapter_opposite(a->roles);
	return adapter_socket_after_fork(&e->door.base, child);
}

/** The first operation of each side: the creator hands the descriptors out. */
static inline int
adapter_eventfd_meet(struct adapter *a, int64_t deadline)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	bool waiting = e->door.listener >= 0;
	int i, fd, error = 0;

	if (e->creator && waiting) {
		error = adapter_socket_peer(&e->door.base, deadline);
		for (i = 0; i < 3 && !error; i++)
			error = adapter_unix_send_fd(&e->door.base, e->fds[i],
						     0);
	} else if (!e->memory) {
		for (i = 0; i < 3; i++) {
			if (e->fds[i] >= 0)
				continue; /* came before the last deadline */
			fd = adapter_unix_recv_fd(&e->door.base,
						  adapter_left(deadline));
			if (fd < 0)
				return deadline && fd == -EAGAIN ? -ETIMEDOUT
								 : fd;
			e->fds[i] = fd;
		}
		error = adapter_eventfd_map(a);
	}
	return error;
}

/** Take one from a counter; the peer's end is looked at while it is 0. */
static inline int
adapter_eventfd_take(struct adapter *a, int which, int64_t deadline)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct pollfd p[2] = { { .events = POLLIN }, { .events = 0 } };
	struct timespec left;
	bool gone = false;
	uint64_t one;
	int n, error = adapter_eventfd_meet(a, deadline);

	if (error)
		return error;
	p[0].fd = e->fds[which];
	p[1].fd = e->door.fd;
	for (;;) {
		if (which == ADAPTER_EVENTFD_FREE && gone)
			return -EPIPE;
		if (ADAPTER_SYS(a, read(p[0].fd, &one, sizeof(one))) ==
		    sizeof(one))
			return 0;
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
}

static inline int
adapter_eventfd_give(struct adapter *a, int which)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	uint64_t one = 1;

	e->position = (e->position + 1) % e->slots;
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
	struct pollfd end = { .fd = e->door.fd };
	int error = adapter_check_send(a, msg);

	/* Free slots may be left when nobody will ever read them. */
	if (!error && end.fd >= 0 && ADAPTER_SYS(a, poll(&end, 1, 0)) == 1)
		return -EPIPE;
	if (!error && !e->held)
		error = adapter_eventfd_take(a, ADAPTER_EVENTFD_FREE,
					     adapter_deadline(timeout_ns));
	if (error)
		return error;
	e->held = true;
	msg->data = e->memory + e->slot * e->position +
		    sizeof(struct adapter_frame);
	msg->capacity = a->limits.message.value;
	return 0;
}

static inline int
adapter_eventfd_commit(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct adapter_frame frame = { (uint32_t)msg->length, msg->tag };
	int error = adapter_check_send(a, msg);

	if (error || !e->held)
		return error ? error : -EINVAL;
	memcpy(e->memory + e->slot * e->position, &frame, sizeof(frame));
	return adapter_eventfd_give(a, ADAPTER_EVENTFD_FILLED);
}

static inline int
adapter_eventfd_send(struct adapter *a, const struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_msg slot = *msg;
	int error = adapter_eventfd_reserve(a, &slot, timeout_ns);

	if (error)
		return error;
	memcpy(slot.data, msg->data, msg->length);
	return adapter_eventfd_commit(a, msg);
}

static inline int
adapter_eventfd_peek(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	struct adapter_frame frame;
	int error = a->roles & ADAPTER_RECEIVER ? 0 : -EBADF;

	if (!error && !e->held)
		error = adapter_eventfd_take(a, ADAPTER_EVENTFD_FILLED,
					     adapter_deadline(timeout_ns));
	if (error)
		return error;
	e->held = true;
	msg->data = e->memory + e->slot * e->position;
	memcpy(&frame, msg->data, sizeof(frame));
	if (frame.length == 0 || frame.length > a->limits.message.value)
		return -EBADMSG;
	msg->data = (char *)msg->data + sizeof(frame);
	msg->length = frame.length;
	msg->tag = frame.tag;
	return 0;
}

static inline int
adapter_eventfd_release(struct adapter *a)
{
	return ((struct adapter_eventfd *)a)->held
		       ? adapter_eventfd_give(a, ADAPTER_EVENTFD_FREE)
		       : -EINVAL;
}

static inline int
adapter_eventfd_recv(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_msg slot = *msg;
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_eventfd_peek(a, &slot, timeout_ns);
	if (error)
		return error;
	memcpy(msg->data, slot.data, slot.length);
	msg->length = slot.length;
	msg->tag = slot.tag;
	return adapter_eventfd_release(a);
}

/** The counter of filled slots; the peer's end is not seen there. */
static inline int
adapter_eventfd_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_eventfd *e = (struct adapter_eventfd *)a;
	int error = adapter_eventfd_meet(a, 0);
	int fd = e->door.listener >= 0 ? e->door.listener : e->door.fd;

	if (error && error != -EAGAIN)
		return error;
	*out = (struct pollfd){ .fd = error ? fd
					    : e->fds[ADAPTER_EVENTFD_FILLED],
				.events = POLLIN };
	return e->held;
}

static inline int
adapter_eventfd_unlink(const char *name)
{
	return adapter_unix_seqpacket_unlink(name);
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
	.after_fork = adapter_eventfd_after_fork,
	.send = adapter_eventfd_send,
	.recv = adapter_eventfd_recv,
	.limits = adapter_eventfd_limits,
	.close = adapter_eventfd_close,
	.unlink = adapter_eventfd_unlink,
	.reserve = adapter_eventfd_reserve,
	.commit = adapter_eventfd_commit,
	.peek = adapter_eventfd_peek,
	.release = adapter_eventfd_release,
	.pollfd = adapter_eventfd_pollfd,
};

#endif
