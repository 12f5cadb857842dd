/* SPDX-License-Identifier: MIT */
/*
 * vyukov.c - Vyukov's bounded queue for many producers and consumers: each slot
 * has a turn word in front of the element; a position is claimed by
 * compare-and-swap, the slot is published by a store to its turn. A process
 * killed between the two blocks all others. Plain, or with slots that begin at
 * a cache line each (as in rigtorp's MPMCQueue).
 */
#include "../loop.h"
#include "peers.h"

struct queue {
	uint64_t tail BENCH_ALIGNED;
	uint64_t head BENCH_ALIGNED;
	unsigned char slots[] BENCH_ALIGNED;
};

LOOP size_t
stride(size_t size, bool padded)
{
	return padded ? (size + 8 + 63) / 64 * 64 : size + 8;
}

/* Where position p lies; depth is a power of two. */
LOOP uint64_t *
slot_at(const struct channel *ch, size_t size, uint64_t p, bool padded)
{
	struct queue *q = ch->shared;
	uint64_t mask = (uint64_t)(uintptr_t)ch->own;

	return (uint64_t *)(void *)(q->slots +
				    (p & mask) * stride(size, padded));
}

/** Claim the position whose slot is in this turn, or -EAGAIN. */
LOOP int
claim(struct channel *ch, size_t size, uint64_t *index, uint64_t ahead,
      uint64_t **slot, uint64_t *position, bool padded)
{
	uint64_t p = __atomic_load_n(index, __ATOMIC_RELAXED);

	for (;;) {
		uint64_t *s = slot_at(ch, size, p, padded);
		uint64_t turn = __atomic_load_n(s, __ATOMIC_ACQUIRE);
		int64_t distance = (int64_t)(turn - (p + ahead));

		if (distance < 0)
			return -EAGAIN;
		if (distance > 0) {
			p = __atomic_load_n(index, __ATOMIC_RELAXED);
			continue;
		}
		if (__atomic_compare_exchange_n(index, &p, p + 1, true,
						__ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			*slot = s;
			*position = p;
			return 0;
		}
	}
}

LOOP int
put(struct channel *ch, size_t size, bool padded)
{
	struct queue *q = ch->shared;
	uint64_t *slot, p;
	int error = claim(ch, size, &q->tail, 0, &slot, &p, padded);

	if (error)
		return error;
	memcpy(slot + 1, ch->out, size);
	__atomic_store_n(slot, p + 1, __ATOMIC_RELEASE);
	return 0;
}

LOOP int
get(struct channel *ch, size_t size, const void **message, bool padded)
{
	struct queue *q = ch->shared;
	uint64_t mask = (uint64_t)(uintptr_t)ch->own;
	uint64_t *slot, p;
	int error = claim(ch, size, &q->head, 1, &slot, &p, padded);

	if (error)
		return error;
	memcpy(ch->in, slot + 1, size);
	__atomic_store_n(slot, p + mask + 1, __ATOMIC_RELEASE);
	*message = ch->in;
	return 0;
}

LOOP int
put_plain(struct channel *ch, size_t size)
{
	return put(ch, size, false);
}

LOOP int
put_padded(struct channel *ch, size_t size)
{
	return put(ch, size, true);
}

LOOP int
get_plain(struct channel *ch, size_t size, const void **message)
{
	return get(ch, size, message, false);
}

LOOP int
get_padded(struct channel *ch, size_t size, const void **message)
{
	return get(ch, size, message, true);
}

static const struct loop_ops plain_ops = {
	.slot = loop_slot_copy,
	.put = put_plain,
	.get = get_plain,
	.done = loop_done_copy,
};

static const struct loop_ops padded_ops = {
	.slot = loop_slot_copy,
	.put = put_padded,
	.get = get_padded,
	.done = loop_done_copy,
};

LOOP_RUN(run_plain, plain_ops)
LOOP_RUN(run_padded, padded_ops)

static bool
is_padded(const struct job *job)
{
	return job->mechanism == &peer_vyukov_padded;
}

static size_t
bytes(const struct job *job)
{
	return sizeof(struct queue) +
	       bench_depth(job) * stride(job->size, is_padded(job));
}

static int
join(struct channel *ch)
{
	ch->own = (void *)(uintptr_t)(bench_depth(ch->job) - 1);
	return 0;
}

static int
create(struct channel *ch)
{
	uint64_t p;

	join(ch);
	for (p = 0; p < bench_depth(ch->job); p++)
		*slot_at(ch, ch->job->size, p, is_padded(ch->job)) = p;
	return 0;
}

#define VYUKOV(id, title, text, how)                                      \
	const struct mechanism id = {                                     \
		.name = title,                                            \
		.summary = "Vyukov's MPMC queue, " text,                  \
		.caps = CAP_SPIN | CAP_MANY_SENDERS | CAP_MANY_RECEIVERS, \
		.refuses = peer_masked_refuses,                           \
		.shared_bytes = bytes,                                    \
		.create = create,                                         \
		.join = join,                                             \
		.run = how,                                               \
	}

VYUKOV(peer_vyukov, "vyukov", "a turn word in each slot", run_plain);
VYUKOV(peer_vyukov_padded, "vyukov-padded", "each slot on lines of its own",
       run_padded);
