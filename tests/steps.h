/* SPDX-License-Identifier: MIT
 *
 * steps.h - the handles of one MPMC ring, all of this thread, to whom the tests
 * of single steps let things happen; include it after ring.h
 */
#ifndef TESTS_STEPS_H
#define TESTS_STEPS_H

#define SLOTS 8
#define SIDES 2 /* handles of each role */

static struct shmring writer[SIDES], reader[SIDES], *const any = &reader[0];

TAP_FUNCTION void
make(uint32_t slots)
{
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = slots,
					 .slot_size = 8,
					 .participants = 2 * SIDES,
					 .roles = SHMRING_CONSUMER };

	if (shmring_create_memfd(&reader[0], &config))
		bail("no ring");
	ring_dup(&reader[1], any, SHMRING_CONSUMER);
	for (int i = 0; i < SIDES; i++)
		ring_dup(&writer[i], any, SHMRING_PRODUCER);
}

TAP_FUNCTION int
attention(uint64_t bits)
{
	return (any->notice->attn & bits) != 0;
}

TAP_FUNCTION void
is_state(uint64_t p, uint64_t f, uint64_t kind, const char *what)
{
	uint64_t s = *shmring__state_word(any, p);

	is_int(s & ~(uint64_t)SHMRING__S_COUNT, shmring__make_state(f, kind),
	       "%s", what);
}

TAP_FUNCTION void
push_some(struct shmring *ring, uint64_t from, uint64_t to)
{
	int wrong = 0;

	for (uint64_t i = from; i <= to; i++)
		wrong += push_number(ring, i) != 0;
	is_int(wrong, 0, "push %" PRIu64 " to %" PRIu64, from, to);
}

TAP_FUNCTION void
pop_some(struct shmring *ring, int64_t from, int64_t to)
{
	int wrong = 0;

	for (int64_t i = from; i <= to; i++)
		wrong += pop_number(ring) != i;
	is_int(wrong, 0, "pop %" PRId64 " to %" PRId64, from, to);
}

TAP_FUNCTION uint32_t
number_of(const struct shmring *ring, int side)
{
	return (uint32_t)(ring->line[side] - ring->lines);
}

/* What about this position? One step of a call. */
TAP_FUNCTION void
settle(struct shmring *ring, uint64_t p, uint64_t want)
{
	ring->mpmc.tries = SHMRING__TRIES;
	shmring__settle(ring, p, want);
}

/* The last store of a claim, and no more: 1, since it comes too late. */
TAP_FUNCTION int
store_late(struct shmring *ring, const struct shmring__claim *claim)
{
	struct shmring__view v = shmring__any_view(ring, SHMRING__WRITE);

	return shmring__mpmc_commit(ring, &v, claim, 8, 0);
}

TAP_FUNCTION int
release_late(struct shmring *ring)
{
	struct shmring__view v = shmring__any_view(ring, SHMRING__READ);
	struct shmring__claim *claim = &ring->held[SHMRING__READ];
	uint64_t attn = shmring__mpmc_finish(ring, &v, claim, 0, 0);

	return (attn & SHMRING__DOUBT) &&
	       shmring__retained(ring, claim->position, claim->end);
}

#endif /* TESTS_STEPS_H */
