/* SPDX-License-Identifier: MIT */
/*
 * ring.h - shmring itself, as two mechanisms like the others.
 *
 * A message is copied once into shared memory and once out of it, or filled
 * and read in place; no system call while nobody sleeps (those of sleeping and
 * waking are counted by shmring_stat, not here). shmring_spsc has one sender
 * and one receiver and packs messages of any size; shmring_mpmc has many of
 * both and fixed slots. shmring_set_spin(&s->ring, ...) says how to wait.
 *
 * Use it where throughput or latency counts, within one machine. Not where
 * priorities or another machine is needed.
 *
 * A killed peer is noticed within 100 ms while waiting, a message that was
 * sent is never lost with its sender; see the guarantees in shmring.h. What
 * was sent stays until the name is unlinked or the machine restarts.
 *
 * System calls, in order:
 *
 *	create	shmring_create; without a name shmring_create_memfd
 *	attach	shmring_open
 *	send	shmring_push: no system call unless somebody sleeps
 *	receive	shmring_pop: the same
 *	wait	shmring_push_wait, shmring_pop_wait: spin, then futex
 *	woken	by the other side's futex
 *	close	shmring_close, shmring_unlink
 */
#ifndef ADAPTER_RING_H
#define ADAPTER_RING_H

#include "common/ring_segment.h"

static inline int
adapter_shmring_send(struct adapter *a, const struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	error = shmring_push(adapter_shmring(a), msg->data, msg->length);
	if (error == -EAGAIN && timeout_ns)
		error = shmring_push_wait(adapter_shmring(a), msg->data,
					  msg->length, timeout_ns);
	return error;
}

static inline int
adapter_shmring_recv(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	ssize_t length = adapter_check_recv(a, msg);

	if (length)
		return (int)length;
	length = shmring_pop(adapter_shmring(a), msg->data, msg->capacity);
	if (length == -EAGAIN && timeout_ns)
		length = shmring_pop_wait(adapter_shmring(a), msg->data,
					  msg->capacity, timeout_ns);
	if (length < 0)
		return (int)length;
	msg->length = (size_t)length;
	msg->tag = 0;
	return 0;
}

static inline int
adapter_shmring_reserve(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	msg->data = timeout_ns
			    ? shmring_reserve_wait(adapter_shmring(a),
						   msg->length, timeout_ns)
			    : shmring_reserve(adapter_shmring(a), msg->length);
	return msg->data ? 0 : shmring_error(adapter_shmring(a));
}

static inline int
adapter_shmring_commit(struct adapter *a, const struct adapter_msg *msg)
{
	return shmring_commit(adapter_shmring(a), msg->length);
}

static inline int
adapter_shmring_peek(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct shmring *ring = adapter_shmring(a);

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	msg->data = (void *)(timeout_ns ? shmring_peek_wait(ring, &msg->length,
							    timeout_ns)
					: shmring_peek(ring, &msg->length));
	msg->tag = 0;
	return msg->data ? 0 : shmring_error(ring);
}

static inline int
adapter_shmring_release(struct adapter *a)
{
	return shmring_release(adapter_shmring(a));
}

static inline int
adapter_shmring_flush(struct adapter *a, int64_t timeout_ns)
{
	int error = shmring_flush(adapter_shmring(a), timeout_ns);

	return error == -ETIMEDOUT && timeout_ns == 0 ? -EAGAIN : error;
}

static inline int
adapter_shmring_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_shmring *s = (struct adapter_shmring *)a;
	int result = 0;

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	if (shmring_poll_fd(&s->poll) < 0)
		result =
			shmring_poll_open(&s->poll, &s->ring, SHMRING_CONSUMER);
	if (!result)
		result = shmring_poll_arm(&s->poll);
	*out = (struct pollfd){ .fd = shmring_poll_fd(&s->poll),
				.events = POLLIN };
	return result;
}

#define ADAPTER_SHMRING(kind, more)                                           \
	.name = "shmring_" #kind,                                             \
	.caps = ADAPTER_NAMED | ADAPTER_ZEROCOPY | ADAPTER_TIMED |            \
		ADAPTER_PEER_DEATH | ADAPTER_PERSISTENT | ADAPTER_UNCOUNTED | \
		ADAPTER_SPINS_FIRST | ADAPTER_POLLABLE | (more),              \
	.size = sizeof(struct adapter_shmring),                               \
	.create = adapter_shmring_create, .attach = adapter_shmring_attach,   \
	.after_fork = adapter_shmring_after_fork,                             \
	.send = adapter_shmring_send, .recv = adapter_shmring_recv,           \
	.limits = adapter_shmring_limits, .close = adapter_shmring_close,     \
	.unlink = adapter_shmring_unlink, .reserve = adapter_shmring_reserve, \
	.commit = adapter_shmring_commit, .peek = adapter_shmring_peek,       \
	.release = adapter_shmring_release, .flush = adapter_shmring_flush,   \
	.pollfd = adapter_shmring_pollfd

static const struct adapter_ops adapter_shmring_spsc_ops = {
	.summary = "this library: one sender, one receiver, any size",
	ADAPTER_SHMRING(spsc, 0),
};

static const struct adapter_ops adapter_shmring_mpmc_ops = {
	.summary = "this library: many senders and receivers, fixed slots",
	ADAPTER_SHMRING(mpmc, ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS),
};

#endif
