/* SPDX-License-Identifier: MIT */
/*
 * records.c - a ring of records of any size for one producer and one consumer:
 * a header word in front of each, written for this comparison.
 *
 * The producer clears the next header, then stores this one, so the consumer
 * needs no index to see that there is a message; nor does the producer look at
 * the consumer's before the room that it knows of is used up (as in MengRao's
 * SPSCVarQueueOPT). A record that does not fit at the end begins at the start.
 * Not shmring's: a process killed in mid-push leaves its own index behind.
 */
#include "../loop.h"
#include "peers.h"

#define AGAIN_AT_THE_START UINT64_MAX /* as a header */

struct queue {
	uint64_t taken BENCH_ALIGNED; /* words, by the consumer */
	uint64_t words[] BENCH_ALIGNED;
};

struct side { /* a participant's own */
	uint64_t at; /* word of the next header */
	uint64_t room; /* words known to be free from there on */
	uint64_t depth; /* words */
	uint64_t step; /* of the record that is read */
};

LOOP uint64_t
record(size_t size)
{
	return 1 + (size + 7) / 8;
}

/** What was free up to the next known record is used up. */
static __attribute__((noinline)) bool
look_for_room(struct queue *q, struct side *me, uint64_t need)
{
	uint64_t taken = __atomic_load_n(&q->taken, __ATOMIC_ACQUIRE);

	if (taken > me->at) {
		me->room = taken - me->at;
		return me->room > need;
	}
	me->room = me->depth - me->at;
	if (me->room <= need && taken) {
		q->words[0] = 0;
		__atomic_store_n(&q->words[me->at], AGAIN_AT_THE_START,
				 __ATOMIC_RELEASE);
		me->at = 0;
		me->room = taken;
	}
	return me->room > need;
}

LOOP int
put(struct channel *ch, size_t size)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;
	uint64_t need = record(size);

	/* One word more, for the next header. */
	if (me->room <= need && !look_for_room(q, me, need))
		return -EAGAIN;
	memcpy(&q->words[me->at + 1], ch->out, size);
	q->words[me->at + need] = 0;
	__atomic_store_n(&q->words[me->at], size, __ATOMIC_RELEASE);
	me->at += need;
	me->room -= need;
	return 0;
}

LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;
	uint64_t header = __atomic_load_n(&q->words[me->at], __ATOMIC_ACQUIRE);

	(void)size; /* the header tells it */
	if (__builtin_expect(header == AGAIN_AT_THE_START, 0)) {
		me->at = 0;
		header = __atomic_load_n(&q->words[0], __ATOMIC_ACQUIRE);
	}
	if (!header)
		return -EAGAIN;
	*message = &q->words[me->at + 1];
	me->step = record(header);
	return 0;
}

LOOP void
done(struct channel *ch)
{
	struct queue *q = ch->shared;
	struct side *me = ch->own;

	me->at += me->step;
	__atomic_store_n(&q->taken, me->at, __ATOMIC_RELEASE);
}

static const struct loop_ops ops = {
	.slot = loop_slot_copy,
	.put = put,
	.get = get,
	.done = done,
};

LOOP_RUN(run, ops)

static uint64_t
words(const struct job *job)
{
	return bench_depth(job) * record(job->size) + 1;
}

static size_t
bytes(const struct job *job)
{
	return sizeof(struct queue) + words(job) * 8;
}

static int
join(struct channel *ch)
{
	struct side *me = calloc(1, sizeof(*me));

	ch->own = me;
	if (!me)
		return -ENOMEM;
	me->depth = me->room = words(ch->job);
	return 0;
}

const struct mechanism peer_records = {
	.name = "records",
	.summary = "SPSC ring of records, the next header cleared",
	.caps = CAP_SPIN,
	.shared_bytes = bytes,
	.join = join,
	.leave = peer_leave,
	.run = run,
};
