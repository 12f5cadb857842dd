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
 * back-off up to 1 ms and the list of members of segment.h.
 *
 * A killed peer is noticed within 100 ms. But if an MPMC sender is killed
 * between claiming an element and committing it, the receivers never get past
 * that element, and every other sender spins in commit for ever; an SPSC ring
 * has no such moment.
 */
#ifndef ADAPTER_CK_RING_H
#define ADAPTER_CK_RING_H

#include "adapter.h"

static const struct adapter_ops adapter_ck_ring_spsc_ops;
static const struct adapter_ops adapter_ck_ring_mpmc_ops;

#ifdef HAVE_CK

#include "segment.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#include <ck_ring.h>
#pragma GCC diagnostic pop

#define ADAPTER_CK_MESSAGE 1024
#define ADAPTER_CK_DEPTH 1023

struct adapter_ck_shared {
	struct adapter_shared head;
	struct ck_ring ring;
	char elements[] __attribute__((aligned(64)));
};

struct adapter_ck_element {
	uint32_t length, tag;
	char data[];
};

struct adapter_ck_ring {
	struct adapter base;
	struct adapter_segment segment;
	bool many;
	unsigned element_size;
	struct adapter_ck_element *received;
};

static inline int
adapter_ck_ring_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "element size of ck_ring", 1 << 24 },
		.depth = { "ck_ring size - 1", (1 << 24) - 1 },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline struct adapter_ck_shared *
adapter_ck_shared(struct adapter_ck_ring *c)
{
	return (struct adapter_ck_shared *)c->segment.shared;
}

static inline void
adapter_ck_ring_close(struct adapter *a)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;

	adapter_segment_close(a, &c->segment);
	free(c->received);
	c->received = NULL;
	a->open = false;
}

/** An SPSC ring has one line for each role, which the living keep. */
static inline int
adapter_ck_ring_join(struct adapter *a)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	int line = a->roles == ADAPTER_SENDER ? 0 : 1;

	return c->many ? adapter_segment_join(a, &c->segment, 0,
					      ADAPTER_MEMBERS)
		       : adapter_segment_join(a, &c->segment, line, line + 1);
}

/** Bytes of the segment for what is in a->limits, or 0 if that is unsound. */
static inline size_t
adapter_ck_ring_size(struct adapter *a)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	uint64_t element = a->limits.message.value, size;

	element = (sizeof(struct adapter_ck_element) + element + 7) & ~7ul;
	size = (a->limits.depth.value + 1) * element;
	if (a->limits.message.value > 1 << 24 ||
	    a->limits.depth.value >= 1 << 24 || size > UINT32_MAX)
		return 0; /* the library computes offsets in unsigned */
	c->element_size = (unsigned)element;
	return sizeof(struct adapter_ck_shared) + size;
}

static inline int
adapter_ck_ring_begin(struct adapter *a, const struct adapter_ops *ops,
		      const struct adapter_config *config)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	int error = adapter_begin(a, ops, config, ADAPTER_CK_MESSAGE,
				  ADAPTER_CK_DEPTH);

	if (error)
		return error;
	c->many = ops == &adapter_ck_ring_mpmc_ops;
	adapter_segment_clear(&c->segment);
	return 0;
}

/** End of create and attach. */
static inline int
adapter_ck_ring_done(struct adapter *a)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	int error;

	c->received = (struct adapter_ck_element *)malloc(c->element_size);
	error = c->received ? adapter_ck_ring_join(a) : -ENOMEM;
	if (error)
		adapter_ck_ring_close(a);
	return error ? error : adapter_ready(a);
}

static inline int
adapter_ck_ring_create(struct adapter *a, const struct adapter_ops *ops,
		       const struct adapter_config *config)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	uint64_t slots = 2;
	size_t size;
	int error = adapter_ck_ring_begin(a, ops, config);

	if (error)
		return error;
	while (slots - 1 < a->limits.depth.value)
		slots *= 2;
	a->limits.depth =
		(struct adapter_limit){ "ck_ring size - 1", slots - 1 };
	size = adapter_ck_ring_size(a);
	if (!size)
		return adapter_refuse(a, -EINVAL, "bytes of a ck_ring",
				      UINT32_MAX);
	error = adapter_segment_create(a, &c->segment, config, ops->name, size);
	if (error)
		return error;
	ck_ring_init(&adapter_ck_shared(c)->ring, (unsigned)slots);
	error = adapter_ck_ring_done(a);
	if (!error)
		adapter_segment_ready(&c->segment);
	else if (config->name)
		adapter_segment_unlink(config->name, ops->name);
	return error;
}

static inline int
adapter_ck_ring_attach(struct adapter *a, const struct adapter_ops *ops,
		       const struct adapter_config *config, int64_t timeout_ns)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	int error = adapter_ck_ring_begin(a, ops, config);

	if (!error && !config->name)
		error = -EINVAL;
	if (error)
		return error;
	error = adapter_segment_attach(a, &c->segment, config->name, ops->name,
				       adapter_deadline(timeout_ns));
	if (error)
		return error;
	if (c->segment.size != adapter_ck_ring_size(a)) {
		adapter_ck_ring_close(a);
		return -EPROTO;
	}
	return adapter_ck_ring_done(a);
}

static inline int
adapter_ck_ring_spsc_create(struct adapter *a,
			    const struct adapter_config *config)
{
	return adapter_ck_ring_create(a, &adapter_ck_ring_spsc_ops, config);
}

static inline int
adapter_ck_ring_mpmc_create(struct adapter *a,
			    const struct adapter_config *config)
{
	return adapter_ck_ring_create(a, &adapter_ck_ring_mpmc_ops, config);
}

static inline int
adapter_ck_ring_spsc_attach(struct adapter *a,
			    const struct adapter_config *config,
			    int64_t timeout_ns)
{
	return adapter_ck_ring_attach(a, &adapter_ck_ring_spsc_ops, config,
				      timeout_ns);
}

static inline int
adapter_ck_ring_mpmc_attach(struct adapter *a,
			    const struct adapter_config *config,
			    int64_t timeout_ns)
{
	return adapter_ck_ring_attach(a, &adapter_ck_ring_mpmc_ops, config,
				      timeout_ns);
}

static inline int
adapter_ck_ring_after_fork(struct adapter *a, bool child)
{
	if (!child)
		return 0;
	a->roles = adapter_opposite(a->roles);
	return adapter_ck_ring_join(a);
}

/** False: the ring is full. */
static inline bool
adapter_ck_ring_try_send(struct adapter_ck_ring *c,
			 const struct adapter_msg *msg)
{
	struct adapter_ck_shared *shared = adapter_ck_shared(c);
	struct adapter_ck_element *element;
	unsigned ticket = 0;

	element = (struct adapter_ck_element
			   *)(c->many ? _ck_ring_enqueue_reserve_mp(
						&shared->ring, shared->elements,
						c->element_size, &ticket, NULL)
				      : _ck_ring_enqueue_reserve_sp(
						&shared->ring, shared->elements,
						c->element_size, NULL));
	if (!element)
		return false;
	element->length = (uint32_t)msg->length;
	element->tag = msg->tag;
	memcpy(element->data, msg->data, msg->length);
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
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	int error = adapter_check_send(a, msg);

	while (!error && !adapter_ck_ring_try_send(c, msg)) {
		if (adapter_segment_left(a, &c->segment, ADAPTER_RECEIVER))
			return -EPIPE;
		error = adapter_backoff(a, &step, deadline);
	}
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
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	bool left = false;
	int error = adapter_check_recv(a, msg);

	while (!error && !adapter_ck_ring_try_recv(c)) {
		if (left)
			return -EPIPE;
		left = adapter_segment_left(a, &c->segment, ADAPTER_SENDER);
		if (!left) /* else look for what it sent before */
			error = adapter_backoff(a, &step, deadline);
	}
	if (error)
		return error;
	if (c->received->length > a->limits.message.value)
		return -EBADMSG;
	msg->length = c->received->length;
	msg->tag = c->received->tag;
	memcpy(msg->data, c->received->data, msg->length);
	return 0;
}

static inline int
adapter_ck_ring_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_ck_ring *c = (struct adapter_ck_ring *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	bool left = false;
	int error = 0;

	while (!error && ck_ring_size(&adapter_ck_shared(c)->ring)) {
		if (left) /* not after it had taken all */
			return -EPIPE;
		left = adapter_segment_left(a, &c->segment, ADAPTER_RECEIVER);
		if (!left)
			error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

static inline int
adapter_ck_ring_spsc_unlink(const char *name)
{
	return adapter_segment_unlink(name, "ck_ring_spsc");
}

static inline int
adapter_ck_ring_mpmc_unlink(const char *name)
{
	return adapter_segment_unlink(name, "ck_ring_mpmc");
}

#define ADAPTER_CK_RING_OPS                                               \
	.size = sizeof(struct adapter_ck_ring),                           \
	.after_fork = adapter_ck_ring_after_fork,                         \
	.send = adapter_ck_ring_send, .recv = adapter_ck_ring_recv,       \
	.limits = adapter_ck_ring_limits, .close = adapter_ck_ring_close, \
	.flush = adapter_ck_ring_flush

#define ADAPTER_CK_RING_CAPS \
	(ADAPTER_NAMED | ADAPTER_PEER_DEATH | ADAPTER_PERSISTENT | ADAPTER_TAGS)

static const struct adapter_ops adapter_ck_ring_spsc_ops = {
	.name = "ck_ring_spsc",
	.summary = "Concurrency Kit ring: one sender, one receiver",
	.caps = ADAPTER_CK_RING_CAPS,
	.create = adapter_ck_ring_spsc_create,
	.attach = adapter_ck_ring_spsc_attach,
	.unlink = adapter_ck_ring_spsc_unlink,
	ADAPTER_CK_RING_OPS,
};

static const struct adapter_ops adapter_ck_ring_mpmc_ops = {
	.name = "ck_ring_mpmc",
	.summary = "Concurrency Kit ring: many senders and receivers",
	.caps = ADAPTER_CK_RING_CAPS | ADAPTER_MANY_SENDERS |
		ADAPTER_MANY_RECEIVERS,
	.create = adapter_ck_ring_mpmc_create,
	.attach = adapter_ck_ring_mpmc_attach,
	.unlink = adapter_ck_ring_mpmc_unlink,
	ADAPTER_CK_RING_OPS,
};

#else

static const struct adapter_ops adapter_ck_ring_spsc_ops = {
	.name = "ck_ring_spsc",
	.summary = "Concurrency Kit ring: one sender, one receiver",
	.missing = "libck-dev",
};

static const struct adapter_ops adapter_ck_ring_mpmc_ops = {
	.name = "ck_ring_mpmc",
	.summary = "Concurrency Kit ring: many senders and receivers",
	.missing = "libck-dev",
};

#endif
#endif
