/* SPDX-License-Identifier: MIT */
/*
 * blocks.c - a ring of blocks for one producer and one consumer, after BBQ
 * (Wang et al., USENIX ATC '22), written for this comparison.
 *
 * Each block has counts of its own, so the sides meet at a line only when they
 * work in the same block; and room is looked for once a block. Counts go on
 * from lap to lap: a block is empty where both are equal.
 */
#include "../loop.h"
#include "peers.h"

#define BLOCKS 8u /* as libvsync has it by default */

struct block {
	uint64_t put BENCH_ALIGNED; /* elements, by the producer */
	uint64_t taken BENCH_ALIGNED; /* by the consumer, when it leaves */
};

struct queue {
	struct block blocks[BLOCKS];
	unsigned char elements[] BENCH_ALIGNED;
};

struct side { /* a participant's own */
	uint64_t index; /* of the next element */
	uint64_t known; /* may be filled, or read, before this */
	unsigned shift; /* log2 of the elements of a block */
};

LOOP uint64_t
each(const struct side *me)
{
	return UINT64_C(1) << me->shift;
}

LOOP struct block *
block_of(struct queue *q, const struct side *me)
{
	return &q->blocks[(me->index >> me->shift) % BLOCKS];
}

LOOP unsigned char *
element_at(struct queue *q, const struct side *me, size_t size)
{
	return q->elements + (me->index & (each(me) * BLOCKS - 1)) * size;
}

/* What a block's counts are when the lap of me begins there. */
LOOP uint64_t
lap(const struct side *me)
{
	return (me->index >> me->shift) / BLOCKS << me->shift;
}

/** The next block is free, if the consumer has left it. */
static __attribute__((noinline)) bool
enter(struct queue *q, struct side *me)
{
	if (__atomic_load_n(&block_of(q, me)->taken, __ATOMIC_ACQUIRE) !=
	    lap(me))
		return false;
	me->known = me->index + each(me);
	return true;
}

/** How many more are in the consumer's block? */
static __attribute__((noinline)) bool
look(struct queue *q, struct side *me)
{
	uint64_t put = __atomic_load_n(&block_of(q, me)->put, __ATOMIC_ACQUIRE);

	me->known = (me->index >> me->shift << me->shift) + (put - lap(me));
	return me->known != me->index;
}

LOOP int
put(struct channel *ch, size_t size)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;
	uint64_t *count;

	if (me->index == me->known && !enter(q, me))
		return -EAGAIN;
	count = &block_of(q, me)->put;
	memcpy(element_at(q, me, size), ch->out, size);
	me->index++;
	__atomic_store_n(count, *count + 1, __ATOMIC_RELEASE);
	return 0;
}

LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;

	if (me->index == me->known && !look(q, me))
		return -EAGAIN;
	*message = element_at(q, me, size);
	return 0;
}

/** Gone on by so many, which do not cross a block's end. */
LOOP void
take(struct queue *q, struct side *me, uint64_t n)
{
	struct block *block = block_of(q, me);

	me->index += n;
	if (!(me->index & (each(me) - 1)))
		__atomic_store_n(&block->taken, block->taken + each(me),
				 __ATOMIC_RELEASE);
}

LOOP void
done(struct channel *ch)
{
	take(ch->shared, ch->own, 1);
}

LOOP ssize_t
put_n(struct channel *ch, const void *messages, size_t size, size_t n)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;
	uint64_t *count;

	if (me->index == me->known && !enter(q, me))
		return -EAGAIN;
	if (n > me->known - me->index)
		n = me->known - me->index;
	count = &block_of(q, me)->put;
	memcpy(element_at(q, me, size), messages, n * size);
	me->index += n;
	__atomic_store_n(count, *count + n, __ATOMIC_RELEASE);
	return (ssize_t)n;
}

LOOP ssize_t
get_n(struct channel *ch, void *messages, size_t size, size_t n)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;

	if (me->index == me->known && !look(q, me))
		return -EAGAIN;
	if (n > me->known - me->index)
		n = me->known - me->index;
	memcpy(messages, element_at(q, me, size), n * size);
	take(q, me, n);
	return (ssize_t)n;
}

static const struct loop_ops ops = {
	.slot = loop_slot_copy,
	.put = put,
	.get = get,
	.done = done,
	.put_n = put_n,
	.get_n = get_n,
};

LOOP_RUN(run, ops)

static const char *
refuses(const struct job *job)
{
	return bench_depth_power(job) < 2 * BLOCKS
		       ? "the depth is no power of two, or too small"
		       : NULL;
}

static size_t
bytes(const struct job *job)
{
	return sizeof(struct queue) + bench_depth(job) * job->size;
}

static int
join(struct channel *ch)
{
	struct side *me = calloc(1, sizeof(*me));

	ch->own = me;
	if (!me)
		return -ENOMEM;
	me->shift = (unsigned)__builtin_ctzll(bench_depth(ch->job) / BLOCKS);
	return 0;
}

const struct mechanism peer_blocks = {
	.name = "blocks",
	.summary = "SPSC ring of blocks, each with counts of its own",
	.caps = CAP_SPIN | CAP_BATCH,
	.refuses = refuses,
	.shared_bytes = bytes,
	.join = join,
	.leave = peer_leave,
	.run = run,
};
