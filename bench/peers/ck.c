/* SPDX-License-Identifier: MIT */
/* ck.c - Concurrency Kit's ck_ring in shared memory, elements by value */
#include "../loop.h"
#include "peers.h"

#if __has_include(<ck_ring.h>)

#include <ck_ring.h>

struct queue {
	ck_ring_t ring BENCH_ALIGNED;
	unsigned char slots[] BENCH_ALIGNED;
};

/* The functions below CK_RING_PROTOTYPE, which would want a type a size. */

LOOP int
put_sp(struct channel *ch, size_t size)
{
	struct queue *q = ch->shared;

	return _ck_ring_enqueue_sp(&q->ring, q->slots, ch->out, (unsigned)size,
				   NULL)
		       ? 0
		       : -EAGAIN;
}

LOOP int
get_sc(struct channel *ch, size_t size, const void **message)
{
	struct queue *q = ch->shared;

	*message = ch->in;
	return _ck_ring_dequeue_sc(&q->ring, q->slots, ch->in, (unsigned)size)
		       ? 0
		       : -EAGAIN;
}

LOOP int
put_mp(struct channel *ch, size_t size)
{
	struct queue *q = ch->shared;

	return _ck_ring_enqueue_mp(&q->ring, q->slots, ch->out, (unsigned)size,
				   NULL)
		       ? 0
		       : -EAGAIN;
}

LOOP int
get_mc(struct channel *ch, size_t size, const void **message)
{
	struct queue *q = ch->shared;

	*message = ch->in;
	return _ck_ring_dequeue_mc(&q->ring, q->slots, ch->in, (unsigned)size)
		       ? 0
		       : -EAGAIN;
}

static const struct loop_ops spsc = {
	.slot = loop_slot_copy,
	.put = put_sp,
	.get = get_sc,
	.done = loop_done_copy,
};

static const struct loop_ops mpmc = {
	.slot = loop_slot_copy,
	.put = put_mp,
	.get = get_mc,
	.done = loop_done_copy,
};

LOOP_RUN(run_spsc, spsc)
LOOP_RUN(run_mpmc, mpmc)

static size_t
bytes(const struct job *job)
{
	return sizeof(struct queue) + bench_depth(job) * job->size;
}

static int
create(struct channel *ch)
{
	ck_ring_init(&((struct queue *)ch->shared)->ring,
		     (unsigned)bench_depth(ch->job));
	return 0;
}

const struct mechanism peer_ck_spsc = {
	.name = "ck-spsc",
	.summary = "Concurrency Kit, one producer, one consumer",
	.caps = CAP_SPIN,
	.refuses = peer_masked_refuses,
	.shared_bytes = bytes,
	.create = create,
	.run = run_spsc,
};

const struct mechanism peer_ck_mpmc = {
	.name = "ck-mpmc",
	.summary = "Concurrency Kit, many of both",
	.caps = CAP_SPIN | CAP_MANY_SENDERS | CAP_MANY_RECEIVERS,
	.refuses = peer_masked_refuses,
	.shared_bytes = bytes,
	.create = create,
	.run = run_mpmc,
};

#else
PEER_MISSING(peer_ck_spsc, "ck-spsc", "libck-dev");
PEER_MISSING(peer_ck_mpmc, "ck-mpmc", "libck-dev");
#endif
