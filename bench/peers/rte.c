/* SPDX-License-Identifier: MIT */
/*
 * rte.c - DPDK's rte_ring in shared memory, without its environment layer:
 * elements by value, in the four ways to synchronise that it offers. Batches
 * are enqueued as bulks (all or none), dequeued as bursts (as many as fit).
 */
#include "../loop.h"
#include "peers.h"

#ifdef HAVE_RTE

#include <rte_config.h>
#include <rte_ring.h>

LOOP int
put(struct channel *ch, size_t size)
{
	return rte_ring_enqueue_elem(ch->shared, ch->out, (unsigned)size)
		       ? -EAGAIN
		       : 0;
}

LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
	return rte_ring_dequeue_elem(ch->shared, ch->in, (unsigned)size)
		       ? -EAGAIN
		       : 0;
}

LOOP ssize_t
put_n(struct channel *ch, const void *messages, size_t size, size_t n)
{
	return rte_ring_enqueue_bulk_elem(ch->shared, messages, (unsigned)size,
					  (unsigned)n, NULL);
}

LOOP ssize_t
get_n(struct channel *ch, void *messages, size_t size, size_t n)
{
	return rte_ring_dequeue_burst_elem(ch->shared, messages, (unsigned)size,
					   (unsigned)n, NULL);
}

static const struct loop_ops ops = {
	.slot = loop_slot_copy,
	.put = put,
	.get = get,
	.done = loop_done_copy,
	.put_n = put_n,
	.get_n = get_n,
};

LOOP_RUN(run, ops)

static size_t
bytes(const struct job *job)
{
	return (size_t)rte_ring_get_memsize_elem((unsigned)job->size,
						 (unsigned)bench_depth(job));
}

/* The name is that of the mechanism's flags, not of an object. */
static int
create(struct channel *ch)
{
	return rte_ring_init(ch->shared, "shmbench",
			     (unsigned)bench_depth(ch->job),
			     *(const unsigned *)ch->job->mechanism->data);
}

#define CAPS_MANY (CAP_MANY_SENDERS | CAP_MANY_RECEIVERS)
#define RTE(id, title, text, how, more)                \
	static const unsigned id##_flags = how;        \
	const struct mechanism id = {                  \
		.name = title,                         \
		.summary = "DPDK rte_ring, " text,     \
		.caps = CAP_SPIN | CAP_BATCH | (more), \
		.data = &id##_flags,                   \
		.refuses = peer_masked_refuses,        \
		.shared_bytes = bytes,                 \
		.create = create,                      \
		.run = run,                            \
	}

RTE(peer_rte_spsc, "rte-spsc", "one producer, one consumer",
    RING_F_SP_ENQ | RING_F_SC_DEQ, 0);
RTE(peer_rte_mpmc, "rte-mpmc", "many of both, the default", 0, CAPS_MANY);
RTE(peer_rte_rts, "rte-rts", "relaxed tail: tolerates preemption better",
    RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ, CAPS_MANY);
RTE(peer_rte_hts, "rte-hts", "serialised head and tail",
    RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ, CAPS_MANY);

#else
PEER_MISSING(peer_rte_spsc, "rte-spsc", "libdpdk-dev");
PEER_MISSING(peer_rte_mpmc, "rte-mpmc", "libdpdk-dev");
PEER_MISSING(peer_rte_rts, "rte-rts", "libdpdk-dev");
PEER_MISSING(peer_rte_hts, "rte-hts", "libdpdk-dev");
#endif
