/* SPDX-License-Identifier: MIT */
/*
 * cached_indices.c - the two best known ways to build a ring for one producer
 * and one consumer, of elements of a fixed size, written for this comparison.
 *
 * In both each side keeps a copy of the other's index and reads the real one
 * only when the copy says full or empty. They differ in where the copy lies:
 * apart from the own index (as in rigtorp's SPSCQueue), or on the same cache
 * line, so that a side touches one line only (as in drogalis', deaod's, and
 * fastqueue2, whose batches move the index once for all).
 */
#include "../loop.h"
#include "peers.h"

/* One side: its index, and what it last saw of the other's. */
struct side {
	uint64_t index BENCH_ALIGNED;
	uint64_t together; /* the copy, where it lies on the same line ... */
	uint64_t apart BENCH_ALIGNED; /* ... and where it does not */
};

struct queue {
	struct side writer, reader;
	unsigned char slots[] BENCH_ALIGNED;
};

/* Indices run from 0 to the number of slots, one of which stays empty. */
LOOP uint64_t
after(const struct channel *ch, uint64_t index)
{
	uint64_t slots = (uint64_t)(uintptr_t)ch->own;

	return ++index == slots ? 0 : index;
}

LOOP int
put(struct channel *ch, size_t size, bool together)
{
	struct queue *q = ch->shared;
	struct side *me = &q->writer;
	uint64_t *copy = together ? &me->together : &me->apart;
	uint64_t index = __atomic_load_n(&me->index, __ATOMIC_RELAXED);
	uint64_t next = after(ch, index);

	if (next == *copy) {
		*copy = __atomic_load_n(&q->reader.index, __ATOMIC_ACQUIRE);
		if (next == *copy)
			return -EAGAIN;
	}
	memcpy(q->slots + index * size, ch->out, size);
	__atomic_store_n(&me->index, next, __ATOMIC_RELEASE);
	return 0;
}

LOOP int
get(struct channel *ch, size_t size, const void **message, bool together)
{
	struct queue *q = ch->shared;
	struct side *me = &q->reader;
	uint64_t *copy = together ? &me->together : &me->apart;
	uint64_t index = __atomic_load_n(&me->index, __ATOMIC_RELAXED);

	if (index == *copy) {
		*copy = __atomic_load_n(&q->writer.index, __ATOMIC_ACQUIRE);
		if (index == *copy)
			return -EAGAIN;
	}
	*message = q->slots + index * size;
	return 0;
}

/** Read in place, as both originals offer it; then let go. */
LOOP void
done(struct channel *ch)
{
	struct queue *q = ch->shared;
	uint64_t index = __atomic_load_n(&q->reader.index, __ATOMIC_RELAXED);

	__atomic_store_n(&q->reader.index, after(ch, index), __ATOMIC_RELEASE);
}

LOOP int
put_apart(struct channel *ch, size_t size)
{
	return put(ch, size, false);
}

LOOP int
put_together(struct channel *ch, size_t size)
{
	return put(ch, size, true);
}

LOOP int
get_apart(struct channel *ch, size_t size, const void **message)
{
	return get(ch, size, message, false);
}

LOOP int
get_together(struct channel *ch, size_t size, const void **message)
{
	return get(ch, size, message, true);
}

/** How many of n elements are in one piece, up to the end or to where the other
 * side is (less gap, what stays empty); look there if the copy is short. */
LOOP size_t
piece(const struct channel *ch, struct side *me, const struct side *other,
      uint64_t gap, size_t n)
{
	uint64_t slots = (uint64_t)(uintptr_t)ch->own;
	uint64_t index = __atomic_load_n(&me->index, __ATOMIC_RELAXED);
	uint64_t there = 0;

	for (int looked = 0; looked < 2; looked++) {
		uint64_t stop = me->together - gap;

		if (me->together < gap)
			stop += slots;
		there = (stop < index ? slots : stop) - index;
		if (there >= n || stop < index || looked)
			break;
		me->together = __atomic_load_n(&other->index, __ATOMIC_ACQUIRE);
	}
	return n < there ? n : (size_t)there;
}

/** So many have been copied. */
LOOP ssize_t
go_on(const struct channel *ch, struct side *me, size_t n)
{
	uint64_t slots = (uint64_t)(uintptr_t)ch->own;
	uint64_t index = __atomic_load_n(&me->index, __ATOMIC_RELAXED) + n;

	if (!n)
		return -EAGAIN;
	__atomic_store_n(&me->index, index == slots ? 0 : index,
			 __ATOMIC_RELEASE);
	return (ssize_t)n;
}

LOOP ssize_t
put_n(struct channel *ch, const void *messages, size_t size, size_t n)
{
	struct queue *q = ch->shared;

	n = piece(ch, &q->writer, &q->reader, 1, n);
	memcpy(q->slots + q->writer.index * size, messages, n * size);
	return go_on(ch, &q->writer, n);
}

LOOP ssize_t
get_n(struct channel *ch, void *messages, size_t size, size_t n)
{
	struct queue *q = ch->shared;

	n = piece(ch, &q->reader, &q->writer, 0, n);
	memcpy(messages, q->slots + q->reader.index * size, n * size);
	return go_on(ch, &q->reader, n);
}

static const struct loop_ops apart_ops = {
	.slot = loop_slot_copy,
	.put = put_apart,
	.get = get_apart,
	.done = done,
};

static const struct loop_ops together_ops = {
	.slot = loop_slot_copy,
	.put = put_together,
	.get = get_together,
	.done = done,
	.put_n = put_n,
	.get_n = get_n,
};

LOOP_RUN(run_apart, apart_ops)
LOOP_RUN(run_together, together_ops)

static size_t
bytes(const struct job *job)
{
	return sizeof(struct queue) + (bench_depth(job) + 1) * job->size;
}

static int
join(struct channel *ch)
{
	ch->own = (void *)(uintptr_t)(bench_depth(ch->job) + 1);
	return 0;
}

const struct mechanism peer_cached_apart = {
	.name = "cached-apart",
	.summary = "SPSC ring, copies of the indices on lines of their own",
	.caps = CAP_SPIN,
	.shared_bytes = bytes,
	.join = join,
	.run = run_apart,
};

const struct mechanism peer_cached_together = {
	.name = "cached-together",
	.summary = "SPSC ring, index and copy of the other's on one line",
	.caps = CAP_SPIN | CAP_BATCH,
	.shared_bytes = bytes,
	.join = join,
	.run = run_together,
};
