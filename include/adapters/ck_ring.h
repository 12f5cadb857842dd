/* SPDX-License-Identifier: MIT */
/*
 * ck_ring.h - Concurrency Kit's ck_ring in shared memory, SPSC and MPMC.
 *
 * ck_ring is a bounded array with two counters. Usually it holds pointers,
 * which mean nothing in another process, so here the elements are the messages
 * themselves, by value, each as large as the largest (the library's macro
 * CK_RING_PROTOTYPE does this for one type; its functions below are the same
 * with the size known at run time). A ring of size 2^n holds 2^n - 1.
 *
 * Use it for small messages of one size between processes that may spin. Not
 * for large ones: a receiver always copies a whole element. The library has no
 * sleeping, no time-outs, no memory and no idea of processes: those here are a
 * back-off up to 1 ms and the list of members of members.h.
 *
 * A killed peer is noticed within 100 ms. But if an MPMC sender is killed
 * between claiming an element and committing it, the receivers never get past
 * that element, and every other sender spins in commit for ever; an SPSC ring
 * has no such moment.
 *
 * System calls, in order:
 *
 *	create	shm_open, fchmod, posix_fallocate, mmap; without a name
 *		memfd_create
 *	attach	shm_open, fstat, mmap
 *	send	none
 *	receive	none
 *	wait	nanosleep, again and again; in between: is the peer alive?
 *		(syscall: pidfd_open, poll)
 *	woken	by nobody
 *	close	munmap, close, shm_unlink
 */
#ifndef ADAPTER_CK_RING_H
#define ADAPTER_CK_RING_H

#include "adapter.h"

#ifdef HAVE_CK

#include "common/buffer.h"
#include "common/shared.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#include <ck_ring.h>
#pragma GCC diagnostic pop

#define ADAPTER_CK_MAX (1 << 24) /* bytes of an element, elements */

struct adapter_ck_shared {
	struct adapter_shared head;
	struct ck_ring ring;
	char elements[] __attribute__((aligned(64))); /* adapter_slots */
};

struct adapter_ck_ring {
	struct adapter_shm shm;
	bool many;
	unsigned element_size;
	struct adapter_slot *received;
};

static inline int
adapter_ck_ring_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "element size of ck_ring", ADAPTER_CK_MAX },
		.depth = { "ck_ring size - 1", ADAPTER_CK_MAX - 1 },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline struct adapter_ck_shared *
adapter_ck_shared(struct adapter_ck_ring *c)
{
	return (struct adapter_ck_shared *)c->shm.segment.shared;
}

static inline void
adapter_ck_ring_close(struct adapter *a)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;

	adapter_shm_close(a);
	free(c->received);
	c->received = NULL;
}

/** The library computes offsets in `unsigned`: that is a limit, too. */
static inline size_t
adapter_ck_ring_size(struct adapter *a)
{
	uint64_t slots = 2, size;

	if (a->limits.message.value > ADAPTER_CK_MAX ||
	    a->limits.depth.value >= ADAPTER_CK_MAX)
		return 0;
	while (slots - 1 < a->limits.depth.value)
		slots *= 2;
	a->limits.depth =
		(struct adapter_limit){ "ck_ring size - 1", slots - 1 };
	size = slots * adapter_slot_size(a);
	if (size > UINT32_MAX) {
		adapter_refuse(a, -EINVAL, "bytes of a ck_ring", UINT32_MAX);
		return 0;
	}
	return sizeof(struct adapter_ck_shared) + size;
}

static inline int
adapter_ck_ring_init(struct adapter *a)
{
	ck_ring_init(&adapter_ck_shared((struct adapter_ck_ring *)a)->ring,
		     (unsigned)a->limits.depth.value + 1);
	return 0;
}

static inline int
adapter_ck_ring_before(struct adapter *a)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;

	c->many = a->ops->caps & ADAPTER_MANY_SENDERS;
	c->element_size = (unsigned)adapter_slot_size(a);
	if (!c->received) /* the child of fork has it */
		c->received = (struct adapter_slot *)malloc(c->element_size);
	return c->received ? 0 : -ENOMEM;
}

static const struct adapter_layout adapter_ck_ring_layout = {
	.message = 1024,
	.depth = 1023,
	.size = adapter_ck_ring_size,
	.init = adapter_ck_ring_init,
	.before = adapter_ck_ring_before,
};

static inline int
adapter_ck_ring_create(struct adapter *a, const struct adapter_config *config)
{
	return adapter_shm_create(a, config, &adapter_ck_ring_layout);
}

static inline int
adapter_ck_ring_attach(struct adapter *a, const struct adapter_config *config,
		       int64_t timeout_ns)
{
	return adapter_shm_attach(a, config, timeout_ns,
				  &adapter_ck_ring_layout);
}

/** False: the ring is full. */
static inline bool
adapter_ck_ring_try_send(struct adapter_ck_ring *c,
			 const struct adapter_msg *msg)
{
	struct adapter_ck_shared *shared = adapter_ck_shared(c);
	struct adapter_slot *element;
	unsigned ticket = 0;

	element = (struct adapter_slot *)(c->many ? _ck_ring_enqueue_reserve_mp(
							    &shared->ring,
							    shared->elements,
							    c->element_size,
							    &ticket, NULL)
						  : _ck_ring_enqueue_reserve_sp(
							    &shared->ring,
							    shared->elements,
							    c->element_size,
							    NULL));
	if (!element)
		return false;
	adapter_slot_write(element, msg);
	if (c->many)
		_ck_ring_enqueue_commit_mp(&shared->ring, ticket);
	else
		_ck_ring_enqueue_commit_sp(&shared->ring);
	return true;
}

static inline int
adapter_ck_ring_send(struct adapter *a, const struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	int error = adapter_check_send(a, msg);

	while (!error && !adapter_ck_ring_try_send(c, msg))
		error = adapter_members_wait(a, &c->shm.segment,
					     ADAPTER_RECEIVER, &w);
	return error;
}

static inline bool
adapter_ck_ring_try_recv(struct adapter_ck_ring *c)
{
	struct adapter_ck_shared *shared = adapter_ck_shared(c);

	return c->many ? _ck_ring_dequeue_mc(&shared->ring, shared->elements,
					     c->received, c->element_size)
		       : _ck_ring_dequeue_sc(&shared->ring, shared->elements,
					     c->received, c->element_size);
}

static inline int
adapter_ck_ring_recv(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	int error = adapter_check_recv(a, msg);

	while (!error && !adapter_ck_ring_try_recv(c))
		error = adapter_members_wait(a, &c->shm.segment, ADAPTER_SENDER,
					     &w);
	return error ? error : adapter_slot_read(a, c->received, msg);
}

static inline int
adapter_ck_ring_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	int error = 0;

	while (!error && ck_ring_size(&adapter_ck_shared(c)->ring))
		error = adapter_members_wait(a, &c->shm.segment,
					     ADAPTER_RECEIVER, &w);
	return error;
}

#define ADAPTER_CK_RING(kind, more)                                         \
	.caps = ADAPTER_NAMED | ADAPTER_PEER_DEATH | ADAPTER_PERSISTENT |   \
		ADAPTER_TAGS | (more),                                      \
	.size = sizeof(struct adapter_ck_ring),                             \
	.create = adapter_ck_ring_create, .attach = adapter_ck_ring_attach, \
	.after_fork = adapter_shm_after_fork, .send = adapter_ck_ring_send, \
	.recv = adapter_ck_ring_recv, .limits = adapter_ck_ring_limits,     \
	.close = adapter_ck_ring_close, .unlink = adapter_segment_unlink,   \
	.flush = adapter_ck_ring_flush

#else
#define ADAPTER_CK_RING(kind, more) .missing = "libck-dev"
#endif

static const struct adapter_ops adapter_ck_ring_spsc_ops = {
	.name = "ck_ring_spsc",
	.summary = "Concurrency Kit ring: one sender, one receiver",
	ADAPTER_CK_RING(spsc, 0),
};

static const struct adapter_ops adapter_ck_ring_mpmc_ops = {
	.name = "ck_ring_mpmc",
	.summary = "Concurrency Kit ring: many senders and receivers",
	ADAPTER_CK_RING(mpmc, ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS |
				      ADAPTER_HELD_UP),
};

#endif
