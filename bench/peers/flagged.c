/* SPDX-License-Identifier: MIT */
/*
 * flagged.c - a ring for one producer and one consumer whose slots say
 * themselves that they are full, written for this comparison.
 *
 * The consumer looks at the flag beside the next element only, so a message
 * costs it one line; the producer counts down what room it knows of, and reads
 * the consumer's index when that is used up (as in MengRao's SPSCQueueOPT).
 */
#include "../loop.h"
#include "peers.h"

struct queue {
	uint64_t taken BENCH_ALIGNED; /* by the consumer */
	unsigned char slots[] BENCH_ALIGNED;
};

struct side { /* a participant's own */
	uint64_t index; /* of the next element */
	uint64_t room; /* known to be free */
	uint64_t depth;
	uint64_t *got; /* the flag of the element that is read */
};

LOOP uint64_t *
flag_at(const struct channel *ch, size_t size)
{
	struct queue *q = ch->shared;
	const struct side *me = ch->own;

	return (uint64_t *)(void *)(q->slots +
				    (me->index & (me->depth - 1)) * (size + 8));
}

LOOP int
put(struct channel *ch, size_t size)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;
	uint64_t *flag = flag_at(ch, size);

	if (!me->room) {
		me->room = me->depth -
			   (me->index -
			    __atomic_load_n(&q->taken, __ATOMIC_ACQUIRE));
		if (!me->room)
			return -EAGAIN;
	}
	memcpy(flag + 1, ch->out, size);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	me->index++;
	me->room--;
	return 0;
}

LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	struct side *me = ch->own;

	me->got = flag_at(ch, size);
	*message = me->got + 1;
	return __atomic_load_n(me->got, __ATOMIC_ACQUIRE) ? 0 : -EAGAIN;
}

/** Read in place, as the original offers it; then let go. */
LOOP void
done(struct channel *ch)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;

	__atomic_store_n(me->got, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&q->taken, ++me->index, __ATOMIC_RELEASE);
}

static const struct loop_ops ops = {
	.slot = loop_slot_copy,
	.put = put,
	.get = get,
	.done = done,
};

LOOP_RUN(run, ops)

static size_t
bytes(const struct job *job)
{
	return sizeof(struct queue) + bench_depth(job) * (job->size + 8);
}

static int
join(struct channel *ch)
{
	struct side *me = calloc(1, sizeof(*me));

	ch->own = me;
	if (!me)
		return -ENOMEM;
	me->depth = bench_depth(ch->job);
	return 0;
}

const struct mechanism peer_flagged = {
	.name = "flagged",
	.summary = "SPSC ring, a flag beside each element",
	.caps = CAP_SPIN,
	.refuses = peer_masked_refuses,
	.shared_bytes = bytes,
	.join = join,
	.leave = peer_leave,
	.run = run,
};
