/* SPDX-License-Identifier: MIT
 *
 * Description: somebody dies or stops in the middle of doubt, recovery or
 * attach, and a third one goes on: each step in the one interleaving that needs
 * it. All handles belong to this thread, as in test_order.
 */
#include "edge.h"

#include <stdint.h>

static struct edge at_load, at_cas, at_add;
static int heavy_fails;
static int64_t clock_ns = 1; /* it stands: nobody loses patience */

#define SHMRING_NOW() clock_ns
#define SHMRING_HEAVY(ring) (heavy_fails ? -EPERM : 0)
#define __atomic_load_n(place, order) \
	(reach(&at_load, place), __atomic_load_n(place, order))
#define __atomic_compare_exchange_n(place, ...) \
	(reach(&at_cas, place), __atomic_compare_exchange_n(place, __VA_ARGS__))
#define __atomic_fetch_add(place, ...) \
	(reach(&at_add, place), __atomic_fetch_add(place, __VA_ARGS__))
#define SHMRING__UNWATCHED_NS 0
#include "ring.h"
#undef __atomic_load_n
#undef __atomic_compare_exchange_n
#undef __atomic_fetch_add
#include "steps.h"

static struct shmring third;

/* The ring has all its slots, and attn becomes calm; then it goes. */
static void
leave(void)
{
	int wrong = 0;

	ok(!at_load.step && !at_cas.step && !at_add.step,
	   "all was interrupted that should be");
	at_load.step = at_cas.step = at_add.step = NULL;
	is_int(pop_number(&reader[0]), -EAGAIN, "the ring is empty");
	for (int i = 0; i < 2 * SLOTS; i++) { /* past what is still void */
		wrong += push_number(&writer[0], 0) != 0;
		wrong += pop_number(&reader[0]) != 0;
	}
	for (uint64_t i = 0; i < SLOTS; i++)
		wrong += push_number(&writer[i % 2], i) != 0;
	for (int i = 0; i < SLOTS; i++)
		wrong += pop_number(&reader[i % 2]) != i;
	is_int(wrong, 0, "then all slots serve again");
	shmring__reclaim_slots(any);
	ok(!attention(SHMRING__DOUBT), "and nothing is in doubt");
	for (int i = 0; i < SIDES; i++) {
		shmring_close(&writer[i]);
		shmring_close(&reader[i]);
	}
}

static void
reserve(struct shmring *ring, uint64_t number)
{
	void *place = shmring_reserve(ring, sizeof(number));

	if (place)
		memcpy(place, &number, sizeof(number));
	ok(place != NULL, "reserve for %" PRIu64, number);
}

static void
peek(struct shmring *ring, int64_t number)
{
	size_t size;
	const int64_t *seen = shmring_peek(ring, &size);

	is_int(seen ? *seen : -1, number, "peek");
}

static void
is_marked(struct shmring *ring, int64_t expected)
{
	is_int(pop_number(ring), expected, "message %" PRId64, expected);
	is_int(shmring_redelivered(ring), 1, "is marked");
}

static int
state_of(uint32_t line)
{
	return (int)shmring__state_of(any->lines[line].status);
}

/* The handle's process dies, and somebody has proven it; its line. */
static uint32_t
die(struct shmring *ring, int side)
{
	uint32_t i = number_of(ring, side);
	struct shmring__line *x = &any->lines[i];

	x->status = shmring__status(
		x->status, shmring__roles_of(x->status) | SHMRING__DIED,
		SHMRING__RECOV);
	shmring__unmap(ring);
	return i;
}

static void
join(struct shmring *ring, unsigned roles)
{
	ring_dup(ring, ring == any ? &writer[0] : any, roles);
}

/* A position that a handle shows without having claimed it. */
static void
show(struct shmring *ring, int side, uint64_t p)
{
	ring->line[side]->intent[side] = p;
}

/* ---- P1: who doubted died before it told anybody ------------------------- */

static void
doubt_and_die(struct shmring *ring, uint64_t p, uint64_t phase)
{
	arm(&at_add, &ring->notice->attn, 1, perish);
	if (lives())
		shmring__doubt(ring, p, phase, 0);
	is_state(p, phase, SHMRING__S_VOIDING, "it has begun to doubt");
	ok(!attention(SHMRING__DOUBT), "and told nobody");
}

static void
decide_what_another_doubted(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	doubt_and_die(&reader[1], 0, 1);
	is_int(pop_number(&reader[0]), -EAGAIN, "blocked");
	clock_ns += SHMRING_PATIENCE_NS;
	is_int(pop_number(&reader[0]), -EAGAIN, "until its patience ends");
	is_state(0, 2, SHMRING__S_WRITER, "then it is decided");
	pop_some(&reader[0], 2, 2);
	is_int(shmring_commit(&writer[0], 8), 0, "the stopped one commits");
	pop_some(&reader[0], 1, 1);
	leave();
}

static void
decide_what_another_doubted_mirrored(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	pop_some(&reader[0], 2, SLOTS);
	doubt_and_die(&writer[1], SLOTS, 2);
	is_int(push_number(&writer[0], 9), -EAGAIN, "blocked");
	clock_ns += SHMRING_PATIENCE_NS;
	is_int(push_number(&writer[0], 9), -EAGAIN, "until its patience ends");
	is_state(0, 4, SHMRING__S_READER, "then it is decided");
	push_some(&writer[0], 9, 9);
	is_int(shmring_release(&reader[1]), 0, "the stopped one releases");
	pop_some(&reader[0], 9, 9);
	leave();
}

static void
decide_and_commit(void)
{
	settle(&reader[1], 0, 1);
	is_state(0, 2, SHMRING__S_WRITER, "another decides");
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
}

static void
decide_and_release(void)
{
	settle(&writer[1], SLOTS, 2);
	is_state(0, 4, SHMRING__S_READER, "another decides");
	is_int(shmring_release(&reader[1]), 0, "a late release");
}

/* It has looked at A already. */
static void
decide_too_late(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	/* S becomes VOIDING, then WRITER */
	arm(&at_cas, shmring__state_word(any, 0), 2, decide_and_commit);
	shmring__doubt(any, 0, 1, 0);
	is_state(0, 2, SHMRING__S_LIVE, "that decision stands");
	pop_some(&reader[0], 1, 1);
	leave();

	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	pop_some(&reader[0], 2, SLOTS);
	arm(&at_cas, shmring__state_word(any, 0), 2, decide_and_release);
	shmring__doubt(any, SLOTS, 2, 0);
	is_state(0, 4, SHMRING__S_LIVE, "that decision stands");
	leave();
}

/* S is VOIDING of the next phase, when the owner of this one looks. */
static void
doubt_the_next(void)
{
	peek(&reader[1], 1);
	heavy_fails = 1;
	shmring__doubt(any, 0, 2, 0);
	heavy_fails = 0;
}

static void
settle_no_later_phase(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	arm(&at_load, &writer[0].notice->attn, 1, doubt_the_next);
	is_int(shmring_commit(&writer[0], 8), 0, "commit");
	is_state(0, 2, SHMRING__S_VOIDING, "the reader's phase is open");
	is_int(shmring_release(&reader[1]), 0, "until it comes");
	is_state(0, 2, SHMRING__S_LIVE, "in time");
	leave();
}

static void
help_and_push(void)
{
	settle(&writer[1], SLOTS, 2);
	push_some(&writer[1], SLOTS + 1, SLOTS + 1);
}

/* Between S := LIVE and the look at A the slot is used. */
static void
help_what_was_helped(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	shmring__doubt(any, 0, 1, 0);
	push_some(&writer[1], 2, SLOTS);
	pop_some(&reader[0], 2, SLOTS);
	/* A is looked at to see who retains, then to help */
	arm(&at_load, shmring__phase_word(&writer[0], 0), 2, help_and_push);
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
	pop_some(&reader[0], SLOTS + 1, SLOTS + 1);
	pop_some(&reader[0], 1, 1);
	leave();
}

/* ---- P2: who recovers is late, the slot is another's --------------------- */

static uint32_t dead;

static void
recover_and_use_the_slot(void)
{
	is_int(shmring__recover_line(&writer[1], dead), 1, "another recovers");
	push_some(&writer[1], 1, SLOTS); /* the last one in the slot */
	pop_some(&reader[0], 1, SLOTS - 1);
	peek(&reader[1], SLOTS);
	is_int(shmring__recover_line(&writer[1], die(&reader[1], 0)), 1,
	       "a consumer dies");
	is_state(SLOTS, 4, SHMRING__S_ORPHAN, "with the next message");
}

static void
take_back_too_late(void)
{
	make(SLOTS);
	reserve(&writer[0], 7);
	dead = die(&writer[0], SHMRING__WRITE);
	/* S becomes VOIDING, WRITER, then LIVE */
	arm(&at_cas, shmring__state_word(any, 0), 3, recover_and_use_the_slot);
	is_int(shmring__recover_line(any, dead), 0, "it was done before");
	is_state(SLOTS, 4, SHMRING__S_ORPHAN, "the orphan is left alone");
	is_marked(&reader[0], SLOTS);
	join(&writer[0], SHMRING_PRODUCER);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* ---- P3: a new owner, in the dead one's line, at its position ------------ */

static void
inherit_and_read(void)
{
	is_int(shmring__recover_line(&writer[1], dead), 1, "another recovers");
	push_some(&writer[0], 1, 1);
	ring_dup(&third, &writer[1], SHMRING_CONSUMER);
	is_int(number_of(&third, SHMRING__READ), dead, "its line has an heir");
	peek(&third, 1);
}

static void
leave_the_reader_its_message(void)
{
	make(SLOTS);
	show(&reader[1], SHMRING__READ, 0);
	dead = die(&reader[1], SHMRING__READ);
	arm(&at_load, any->head, 1, inherit_and_read);
	shmring__recover_line(any, dead);
	ok(shmring__state_kind(*shmring__state_word(any, 0)) !=
		   SHMRING__S_ORPHAN,
	   "no orphan");
	is_int(state_of(dead), SHMRING__LIVE, "the heir lives");
	is_int(pop_number(&reader[0]), -EAGAIN, "nobody else gets its message");
	is_int(shmring_release(&third), 0, "release");
	is_int(pop_number(&reader[0]), -EAGAIN, "nor after that");
	shmring_close(&third);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

static void
inherit_and_write(void)
{
	is_int(shmring__recover_line(&writer[1], dead), 1, "another recovers");
	ring_dup(&third, &writer[1], SHMRING_PRODUCER);
	is_int(number_of(&third, SHMRING__WRITE), dead, "its line has an heir");
	reserve(&third, 7);
}

static void
leave_the_writer_its_slot(void)
{
	int wrong = 0;

	make(SLOTS);
	show(&writer[0], SHMRING__WRITE, 0);
	dead = die(&writer[0], SHMRING__WRITE);
	arm(&at_load, any->tail, 1, inherit_and_write);
	shmring__recover_line(any, dead);
	is_int(state_of(dead), SHMRING__LIVE, "the heir lives");
	uint64_t s = *shmring__state_word(any, 0);
	ok(shmring__state_kind(s) == SHMRING__S_WRITER || !s,
	   "the slot is still its own");
	for (int64_t i = 0; i < 2 * SLOTS; i++) {
		push_number(&writer[1], 99);
		int64_t got = pop_number(&reader[0]);
		wrong += got != 99 && got != -EAGAIN;
	}
	is_int(wrong, 0, "others go on meanwhile");
	is_int(*(uint64_t *)(void *)(shmring__slot(any, 0) + 8), 7,
	       "and do not touch it");
	is_int(shmring_commit(&third, 8), 0, "commit");
	pop_some(&reader[0], 7, 7);
	shmring_close(&third);
	join(&writer[0], SHMRING_PRODUCER);
	leave();
}

/* ---- P4: who made an orphan died before it told of it -------------------- */

static void
find_none(void)
{
	is_int(pop_number(&reader[0]), -EAGAIN, "there is none yet");
	ok(!attention(SHMRING__ORPHAN), "attn says so");
}

static void
tell_of_anothers_orphan(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	dead = die(&reader[1], SHMRING__READ);
	arm(&at_cas, shmring__state_word(&writer[1], 0), 1, find_none);
	arm(&at_add, &writer[1].notice->attn, 2, perish);
	if (lives())
		shmring__recover_line(&writer[1], dead);
	is_state(0, 2, SHMRING__S_ORPHAN, "an orphan");
	ok(!attention(SHMRING__ORPHAN), "of which nobody knows");
	is_int(shmring__recover_line(any, dead), 1, "the next recovers");
	ok(attention(SHMRING__ORPHAN), "and tells of it");
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* As above, but its line is free: found by who looks through the slots. */
static void
sweep_up_an_orphan(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	shmring__recover_line(any, die(&reader[1], SHMRING__READ));
	any->notice->attn &= ~SHMRING__ORPHAN;
	shmring__reclaim_slots(&writer[0]);
	ok(attention(SHMRING__ORPHAN), "a sweep tells of an orphan");
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* Attn is cleared by who found none, just before there is one. */
static void
tell_of_a_new_orphan(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	shmring__doubt(any, 0, 2, 0);
	dead = die(&reader[1], SHMRING__READ);
	arm(&at_cas, shmring__state_word(&writer[0], 0), 1, find_none);
	shmring__reclaim_slots(&writer[0]);
	is_state(0, 4, SHMRING__S_ORPHAN, "an orphan");
	ok(attention(SHMRING__ORPHAN), "attn tells of it");
	is_int(shmring__recover_line(any, dead), 1, "the line is freed");
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* ---- P5, P6: who was there ever ------------------------------------------- */

static void
take_the_line_and_perish(void)
{
	ring_dup(&third, any, SHMRING_CONSUMER);
	is_int(number_of(&third, SHMRING__READ), dead, "a consumer takes it");
	perish();
}

static void
remember_the_producers(void)
{
	struct shmring other;

	make(SLOTS);
	shmring_close(&writer[1]);
	ring_dup(&other, any, SHMRING_CONSUMER); /* in its line */
	dead = die(&writer[0], SHMRING__WRITE);
	arm(&at_load, &reader[1].notice->attn, 1, take_the_line_and_perish);
	if (lives())
		shmring__recover_line(&reader[1], dead);
	is_int(pop_number(&reader[0]), -EAGAIN, "empty");
	clock_ns += SHMRING_SLICE_NS;
	pop_number(&reader[0]);
	clock_ns += SHMRING_SLICE_NS;
	pop_number(&reader[0]);
	is_int(pop_number(&reader[0]), -EPIPE, "the last producer is gone");
	shmring_close(&third);
	shmring_close(&other);
	join(&writer[0], SHMRING_PRODUCER);
	join(&writer[1], SHMRING_PRODUCER);
	is_int(pop_number(&reader[0]), -EAGAIN, "others come");
	leave();
}

/* Mirrored, and in good order. */
static void
remember_the_consumers(void)
{
	make(SLOTS);
	for (int i = 0; i < SIDES; i++)
		shmring_close(&reader[i]);
	is_int(push_number(&writer[0], 1), -EPIPE, "the last consumer is gone");
	ring_dup(&third, &writer[0], SHMRING_PRODUCER);
	is_int(push_number(&third, 1), -EPIPE, "a producer does not change it");
	shmring_close(&third);
	for (int i = 0; i < SIDES; i++)
		ring_dup(&reader[i], &writer[0], SHMRING_CONSUMER);
	leave();
}

static void
forget_who_failed_to_come(void)
{
	struct shmring_config config = { .roles = SHMRING_CONSUMER };
	struct shmring consumer, both, producer;

	if (shmring_create_memfd(&consumer, &config))
		bail("no ring");
	is_int(pop_number(&consumer), -EAGAIN, "before the first producer");
	is_int(shmring_dup(&both, &consumer, SHMRING_BOTH), -EBUSY,
	       "there is a consumer already");
	is_int(shmring__state_of(consumer.lines[SHMRING__WRITE].status),
	       SHMRING__FREE, "so there is no producer, either");
	is_int(shmring_recover(&consumer), 0, "nobody died");
	is_int(pop_number(&consumer), -EAGAIN, "nor has there been one");
	ring_dup(&producer, &consumer, SHMRING_PRODUCER);
	push_some(&producer, 1, 1);
	pop_some(&consumer, 1, 1);
	shmring_close(&producer);
	is_int(pop_number(&consumer), -EPIPE, "until one has been there");
	shmring_close(&consumer);

	config.roles = SHMRING_PRODUCER;
	if (shmring_create_memfd(&producer, &config))
		bail("no ring");
	is_int(shmring_dup(&both, &producer, SHMRING_BOTH), -EBUSY,
	       "there is a producer already");
	is_int(producer.lines[SHMRING__READ].status, SHMRING__FREE,
	       "so there never was a consumer");
	is_int(shmring_recover(&producer), 0, "nobody died");
	is_int(push_number(&producer, 1), 0, "nor is the last gone");
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	pop_some(&consumer, 1, 1);
	shmring_close(&consumer);
	is_int(push_number(&producer, 1), -EPIPE, "until one has been there");
	shmring_close(&producer);
}

/* ---- P7, P20: SPSC, what may have been seen ------------------------------- */

static void
peek_and_die(void *producer)
{
	struct shmring own;

	ring_dup(&own, producer, SHMRING_CONSUMER);
	size_t size;
	CHILD_CHECK(shmring_peek(&own, &size));
	_exit(0);
}

/* Two at once. */
static void
batch_and_die(void *producer)
{
	struct shmring own;
	uint64_t numbers[2];
	struct iovec batch[2] = { { &numbers[0], 8 }, { &numbers[1], 8 } };

	ring_dup(&own, producer, SHMRING_CONSUMER);
	arm(&at_load, &own.notice->space, 1, perish);
	if (lives())
		CHILD_CHECK(shmring_pop_n(&own, batch, 2) == 2);
	/* as if before it moved head */
	*own.head = 0;
	_exit(0);
}

/* A call that is refused, or asks for none, does not forget the two. */
static void
peek_two_and_die(void *producer)
{
	struct shmring own;
	uint64_t number;
	struct iovec seen[2], one = { &number, 8 };

	ring_dup(&own, producer, SHMRING_CONSUMER);
	CHILD_CHECK(shmring_peek_n(&own, seen, 2) == 2);
	CHILD_CHECK(shmring_pop_n(&own, &one, 1) == -EBUSY);
	CHILD_CHECK(shmring_pop_n(&own, &one, 0) == 0);
	_exit(0);
}

static void
make_spsc(struct shmring *producer)
{
	struct shmring_config config = { .roles = SHMRING_PRODUCER };

	if (shmring_create_memfd(producer, &config))
		bail("no ring");
}

static void
suspect_until_it_is_read(void)
{
	struct shmring producer, consumer;

	make_spsc(&producer);
	push_some(&producer, 1, 4);
	child_run(peek_and_die, &producer);
	for (int i = 0; i < 2; i++) { /* they come and go and read nothing */
		ring_dup(&consumer, &producer, SHMRING_CONSUMER);
		shmring_close(&consumer);
	}
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_marked(&consumer, 1);
	is_int(pop_number(&consumer), 2, "the next");
	is_int(shmring_redelivered(&consumer), 0, "is not");
	shmring_close(&consumer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_int(shmring_redelivered(&consumer), 0, "nothing read yet");
	is_int(pop_number(&consumer), 3, "nor is what comes later");
	is_int(shmring_redelivered(&consumer), 0, "to another");
	shmring_close(&consumer);
	child_run(peek_and_die, &producer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_int(shmring_redelivered(&consumer), 0, "nothing read yet");
	is_marked(&consumer, 4);
	shmring_close(&consumer);
	shmring_close(&producer);
}

static void
suspect_a_whole_batch(void)
{
	struct shmring producer, consumer;
	uint64_t numbers[4];
	struct iovec batch[4];

	make_spsc(&producer);
	push_some(&producer, 1, 4);
	child_run(batch_and_die, &producer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_marked(&consumer, 1);
	shmring_close(&consumer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	for (int i = 0; i < 4; i++)
		batch[i] = (struct iovec){ &numbers[i], 8 };
	is_int(shmring_pop_n(&consumer, batch, 4), 1, "the mark ends a batch");
	is_int(numbers[0], 2, "with the second");
	is_int(shmring_redelivered(&consumer), 1, "marked, too");
	is_int(shmring_pop_n(&consumer, batch, 4), 2, "the rest");
	is_int(shmring_redelivered(&consumer), 0, "is not");
	push_some(&producer, 5, 6);
	shmring_close(&consumer);
	child_run(peek_and_die, &producer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_marked(&consumer, 5);
	is_int(pop_number(&consumer), 6, "the next");
	is_int(shmring_redelivered(&consumer), 0, "its owner had but one");
	push_some(&producer, 7, 9);
	shmring_close(&consumer);
	child_run(peek_two_and_die, &producer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_int(shmring_peek_n(&consumer, batch, 3), 1, "in place, alone");
	is_int(shmring_redelivered(&consumer), 1, "marked");
	is_int(shmring_release(&consumer), 0, "7");
	is_marked(&consumer, 8);
	is_int(shmring_peek_n(&consumer, batch, 3), 1, "the next");
	is_int(shmring_redelivered(&consumer), 0, "is not");
	shmring_release(&consumer);
	shmring_close(&consumer);
	shmring_close(&producer);
}

/* In a run of eight, three of which are taken: with one in place; then, by the
 * next, within a call that takes three more. */
static void
die_in_a_run(void *producer)
{
	struct shmring own;

	ring_dup(&own, producer, SHMRING_CONSUMER);
	for (int i = 1; i < 4; i++)
		CHILD_CHECK(pop_number(&own) == i);
	size_t size;
	CHILD_CHECK(shmring_peek(&own, &size) && size == 8);
	_exit(0);
}

static void
die_in_an_array(void *producer)
{
	struct shmring own;
	uint64_t numbers[3];

	ring_dup(&own, producer, SHMRING_CONSUMER);
	CHILD_CHECK(shmring_pop_array(&own, numbers, 8, 3) == 1);
	CHILD_CHECK(shmring_redelivered(&own) && numbers[0] == 4);
	uint64_t head = *own.head;
	CHILD_CHECK(shmring_pop_array(&own, numbers, 8, 3) == 3);
	CHILD_CHECK(numbers[2] == 7 && (*own.head & 7) == 7);
	*own.head = head; /* as if before it was moved */
	_exit(0);
}

static void
suspect_in_a_run(void)
{
	struct shmring producer, consumer;
	uint64_t numbers[16];

	make_spsc(&producer);
	for (uint64_t i = 0; i < 16; i++)
		numbers[i] = i + 1;
	is_int(shmring_push_array(&producer, numbers, 8, 16), 16, "two runs");
	uint64_t position = shmring_position(&producer, SHMRING_CONSUMER);
	child_run(die_in_a_run, &producer);
	is_int(shmring_position(&producer, SHMRING_CONSUMER), position + 3,
	       "three are taken");
	child_run(die_in_an_array, &producer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	for (int i = 5; i < 8; i++)
		is_marked(&consumer, i);
	is_int(pop_number(&consumer), 8, "the last one of the run");
	is_int(shmring_redelivered(&consumer), 0, "is not marked");
	is_int(shmring_pop_array(&consumer, numbers, 8, 3), 3, "of the next");
	shmring_close(&consumer);
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	is_int(shmring_redelivered(&consumer), 0, "which closed with none");
	is_int(shmring_pop_array(&consumer, numbers, 8, 9), 5, "the rest");
	ok(numbers[0] == 12 && numbers[4] == 16, "in order");
	is_int(shmring_redelivered(&consumer), 0, "is not marked");
	is_int(pop_number(&consumer), -EAGAIN, "and no more");
	is_int(shmring_length(&producer), 0, "all is free");
	shmring_close(&consumer);
	shmring_close(&producer);
}

static struct shmring helper;

static void
help_to_close(void)
{
	is_int(shmring__recover_line(&helper, SHMRING__READ), 1,
	       "another frees the line");
}

static void
mark_nothing_that_nobody_had(void)
{
	struct shmring consumer;

	make_spsc(&helper);
	push_some(&helper, 1, 1);
	ring_dup(&consumer, &helper, SHMRING_CONSUMER);
	arm(&at_load, &consumer.line[0]->intent[SHMRING__WRITE], 1,
	    help_to_close);
	shmring_close(&consumer);
	ok(!at_load.step, "interrupted in close");
	ring_dup(&consumer, &helper, SHMRING_CONSUMER);
	is_int(pop_number(&consumer), 1, "a message that nobody had");
	is_int(shmring_redelivered(&consumer), 0, "is not marked");
	shmring_close(&consumer);
	shmring_close(&helper);
}

/* ---- P8: a hostile peer moves head to and fro ---------------------------- */

static void
head_comes_back(void)
{
	*any->head = 0;
}

static void
head_goes(void)
{
	*any->head = 1;
	arm(&at_cas, any->head, 1, head_comes_back);
}

static void
copy_no_more_than_was_checked(void)
{
	unsigned char buffer[16];
	int wrong = 0;

	make(SLOTS);
	is_int(push_number(&writer[0], UINT64_MAX), 0, "push");
	memset(buffer, 0, sizeof(buffer));
	arm(&at_load, any->head, 2, head_goes);
	ssize_t got = shmring_pop(&reader[0], buffer, 4);
	at_cas.step = NULL;
	ok(got < 0, "nothing comes that does not fit");
	for (int i = 4; i < 16; i++)
		wrong += buffer[i] != 0;
	is_int(wrong, 0, "and nothing is written beyond the buffer");
	*any->head = 0;
	is_int(shmring_pop(&reader[0], buffer, 4), -EMSGSIZE, "it stays");
	is_int(shmring_pop(&reader[0], buffer, 8), 8, "for who has room");
	leave();
}

static void
head_is_taken(void)
{
	*any->head = 1;
}

/* The careful look found it too long, and another took it meanwhile. */
static void
refuse_only_what_is_there(void)
{
	unsigned char buffer[8];

	make(SLOTS);
	push_some(&writer[0], 5, 5);
	arm(&at_load, any->head, 3, head_is_taken);
	is_int(shmring_pop(&reader[0], buffer, 4), -EAGAIN,
	       "what is taken is not too long");
	*any->head = 0;
	is_int(pop_number(&reader[0]), 5, "had it been there");
	leave();
}

/* ---- P9, P10: the end ------------------------------------------------------ */

static void
pass_many_aborts(void)
{
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = 16384,
					 .slot_size = 8,
					 .roles = SHMRING_PRODUCER };
	struct shmring consumer, producer;
	int64_t got = -EAGAIN;

	if (shmring_create_memfd(&producer, &config))
		bail("no ring");
	ring_dup(&consumer, &producer, SHMRING_CONSUMER);
	for (int i = 0; i < 2 * SHMRING__TRIES + 808; i++)
		if (shmring_reserve(&producer, 8))
			shmring_abort(&producer);
	push_some(&producer, 1, 1);
	shmring_close(&producer);
	for (int i = 0; i < 8 && got == -EAGAIN; i++)
		got = pop_number(&consumer);
	is_int(got, 1, "the message behind many aborts");
	is_int(pop_number(&consumer), -EPIPE, "then the end");
	shmring_close(&consumer);
}

/* ---- P17: one budget a call ----------------------------------------------- */

static int races;

static void
win_the_race(void)
{
	uint64_t *state = shmring__state_word(any, SLOTS - 1);

	races++;
	*state += 1 << 12;
	arm(&at_cas, state, 1, win_the_race);
}

/* Behind what was aborted so many messages, and an orphan whose state another
 * always is the first to change. */
static void
race_for_an_orphan(uint64_t messages)
{
	uint64_t *state;

	make(SLOTS);
	races = 0;
	state = shmring__state_word(any, SLOTS - 1);
	for (int i = 0; i < 3; i++)
		if (shmring_reserve(&writer[0], 8))
			shmring_abort(&writer[0]);
	push_some(&writer[0], 1, messages);
	*state = shmring__make_state(2, SHMRING__S_ORPHAN);
	shmring__change_attn(any, SHMRING__DOUBT | SHMRING__ORPHAN, 0);
	arm(&at_cas, state, 1, win_the_race);
}

static void
end_the_race(void)
{
	at_cas.step = NULL;
	*shmring__state_word(any, SLOTS - 1) = 0;
}

static void
lose_every_race(void)
{
	race_for_an_orphan(1);
	is_int(pop_number(&reader[0]), 1, "who loses every race for an orphan");
	end_the_race();
	is_int(races, SHMRING__TRIES / SHMRING__STEP_TRIES / 2,
	       "has looked at all slots so often, in all");
	leave();
}

static void
win_the_slot(void)
{
	races++;
	*shmring__phase_word(any, 0) ^= 1; /* of its length: the phase stays */
	arm(&at_cas, shmring__phase_word(&writer[0], 0), 1, win_the_slot);
}

static void
lose_every_slot(void)
{
	uint64_t number = 1;

	make(SLOTS);
	races = 0;
	*shmring__state_word(any, 0) = shmring__make_state(2, SHMRING__S_LIVE);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	arm(&at_cas, shmring__phase_word(&writer[0], 0), 1, win_the_slot);
	is_int(shmring_push(&writer[0], &number, 8), -EAGAIN,
	       "who loses every race for a slot");
	at_cas.step = NULL;
	is_int(races, SHMRING__TRIES, "has tried so often, in all");
	*shmring__state_word(any, 0) = *shmring__phase_word(any, 0) = 0;
	leave();
}

/* As many messages of a batch as lose no more races than one call may. */
static void
pop_a_batch_of_lost_races(void)
{
	uint64_t numbers[6];

	race_for_an_orphan(4);
	is_int(shmring_pop_array(&reader[0], numbers, 8, 4), 2,
	       "a batch whose messages lose every race for an orphan");
	end_the_race();
	is_int(races, SHMRING__TRIES / SHMRING__STEP_TRIES,
	       "has looked at all slots twice as often as one of them");
	is_int(pop_number(&reader[0]), 3, "the rest is there");
	is_int(pop_number(&reader[0]), 4, "to its end");
	leave();
}

#define WON 3000 /* of a slot, before it is lost */
static uint64_t contended;
static int wins;

static void
win_some(void)
{
	races++;
	*shmring__phase_word(any, contended) ^= 1;
	if (++wins % WON == 0)
		contended += 2;
	arm(&at_cas, shmring__phase_word(&writer[0], contended), 1, win_some);
}

static void
push_a_batch_of_lost_races(void)
{
	const uint64_t numbers[4] = { 1, 2, 3, 4 };

	make(SLOTS);
	contended = 0;
	races = wins = 0;
	for (uint64_t p = 0; p < SLOTS; p += 2) /* void, once that is settled */
		*shmring__state_word(any, p) =
			shmring__make_state(2, SHMRING__S_LIVE);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	arm(&at_cas, shmring__phase_word(&writer[0], 0), 1, win_some);
	is_int(shmring_push_array(&writer[0], numbers, 8, 4), 2,
	       "a batch whose messages lose many races for a slot each");
	at_cas.step = NULL;
	is_int(races, 2 * WON, "has tried so often, in all");
	is_int(pop_number(&reader[0]), 1, "the first is there");
	is_int(pop_number(&reader[0]), 2, "and the second");
	leave();
}

static void
abort_and_end(void)
{
	shmring_abort(&writer[0]);
	shmring_close(&writer[0]);
}

static void
peek_at_an_abort(void)
{
	size_t size;

	make(SLOTS);
	shmring_close(&writer[1]);
	reserve(&writer[0], 1);
	/* attn is looked at for orphans, for care, for the end */
	arm(&at_load, &any->notice->attn, 3, abort_and_end);
	ok(!shmring_peek(&reader[0], &size), "there is nothing");
	is_int(reader[0].held[SHMRING__READ].hold, SHMRING__IDLE,
	       "nothing is held");
	is_int(shmring_release(&reader[0]), -ENOMSG, "nor can be released");
	ok(!shmring_peek(&reader[0], &size), "still nothing");
	is_int(shmring_error(&reader[0]), -EPIPE, "for it is the end");
	join(&writer[0], SHMRING_PRODUCER);
	join(&writer[1], SHMRING_PRODUCER);
	leave();
}

static void
end_with_what_the_dead_had(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	for (int i = 0; i < SIDES; i++)
		shmring_close(&writer[i]);
	die(&reader[1], SHMRING__READ);
	is_int(pop_number(&reader[0]), 1,
	       "not the end: the dead one's message");
	is_int(shmring_redelivered(&reader[0]), 1, "is marked");
	is_int(shmring__in_hands(any), 0, "nobody has it");
	is_int(pop_number(&reader[0]), -EPIPE, "then the end");
	join(&reader[1], SHMRING_CONSUMER);
	join(&writer[0], SHMRING_PRODUCER);
	join(&writer[1], SHMRING_PRODUCER);
	push_some(&writer[0], 2, 2);
	peek(&reader[1], 2);
	shmring__doubt(any, 1, 2, 0);
	reader[1].line[SHMRING__READ]->intent[SHMRING__READ] = SHMRING__NONE;
	is_int(shmring__in_hands(any), 1, "S alone may tell of it");
	is_int(shmring_release(&reader[1]), 0, "release");
	leave();
}

/* ---- P14, P15: locks ------------------------------------------------------- */

static int looks_locked, looks_early;

static void
look_at_the_lock(void)
{
	looks_locked +=
		shmring__locked(writer[0].map.fd, SHMRING__OPENER + dead);
	if (shmring__locked(writer[0].map.fd, dead))
		looks_early += state_of(dead) != SHMRING__FREE;
	arm(&at_load, &any->lines[dead].status, 1, look_at_the_lock);
}

static void
open_peek_and_die(void *ring)
{
	struct shmring own;
	size_t size;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(ring), SHMRING_CONSUMER));
	CHILD_CHECK(shmring_peek(&own, &size));
	_exit(0);
}

static void
lock_no_line_of_the_dead(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	dead = number_of(&reader[1], SHMRING__READ);
	shmring_close(&reader[1]);
	is_int(child_run(open_peek_and_die, &reader[0]), 0, "a consumer dies");
	is_int(state_of(dead), SHMRING__LIVE, "which nobody knows yet");
	look_at_the_lock();
	is_int(shmring__lock_line(any, dead), 0, "its line can be had");
	at_load.step = NULL;
	ok(looks_locked > 0, "the opener's lock was held at some time");
	is_int(looks_early, 0, "but not before the dead one was recovered");
	shmring__unlock_line(any, dead);
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

static void
sleep_on(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

static void
close_beside_a_child(void)
{
	make(SLOTS);
	pid_t child = child_start(sleep_on, NULL);

	for (int i = 0; i < 2; i++) {
		uint32_t line = number_of(&writer[1], SHMRING__WRITE);
		shmring_close(&writer[1]);
		ok(!shmring__locked(any->map.fd, line), "close drops the lock");
		is_int(shmring_dup(&writer[1], any, SHMRING_PRODUCER), 0,
		       "the line can be taken again");
	}
	child_kill(child);
	leave();
}

/* ---- P16: a dead and a stopped one show the same position ----------------- */

static void
bury_beside_a_winner(void)
{
	make(SLOTS);
	reserve(&writer[0], 7);
	show(&writer[1], SHMRING__WRITE, 0);
	dead = die(&writer[1], SHMRING__WRITE);
	is_int(shmring__recover_line(any, dead), 1, "a dead loser is buried");
	is_state(0, 2, SHMRING__S_WRITER, "the slot is the stopped writer's");
	shmring__reclaim_slots(any);
	is_state(0, 2, SHMRING__S_WRITER, "and stays so");
	join(&writer[1], SHMRING_PRODUCER);
	is_int(number_of(&writer[1], SHMRING__WRITE), dead, "the line serves");
	is_int(writer[1].line[SHMRING__WRITE]->intent[SHMRING__WRITE],
	       SHMRING__NONE, "and shows nothing");
	push_some(&writer[1], 1, SLOTS - 1);
	pop_some(&reader[0], 1, SLOTS - 1);
	is_int(shmring_commit(&writer[0], 8), 0, "it goes on");
	pop_some(&reader[0], 7, 7);

	push_some(&writer[0], 8, 8);
	peek(&reader[0], 8);
	uint64_t p = reader[0].held[SHMRING__READ].position;
	show(&reader[1], SHMRING__READ, p);
	dead = die(&reader[1], SHMRING__READ);
	is_int(shmring__recover_line(&writer[0], dead), 1, "nor a dead reader");
	ok(shmring__state_kind(*shmring__state_word(any, p)) ==
		   SHMRING__S_READER,
	   "the message is the stopped reader's");
	join(&reader[1], SHMRING_CONSUMER);
	is_int(reader[1].line[SHMRING__READ]->intent[SHMRING__READ],
	       SHMRING__NONE, "its line shows nothing");
	shmring__reclaim_slots(&writer[0]);
	is_int(pop_number(&reader[1]), -EAGAIN, "nobody else's");
	is_int(shmring_release(&reader[0]), 0, "it goes on");
	leave();
}

static void
bury_a_winner(void)
{
	make(SLOTS);
	reserve(&writer[1], 7);
	show(&writer[0], SHMRING__WRITE, 0);
	dead = die(&writer[1], SHMRING__WRITE);
	is_int(shmring__recover_line(any, dead), 1, "a dead winner is buried");
	is_state(0, 2, SHMRING__S_WRITER, "though the slot may be another's");
	shmring__reclaim_slots(any);
	is_state(0, 2, SHMRING__S_WRITER, "who is asked for");
	push_some(&writer[0], 1, 1);
	pop_some(&reader[0], 1, 1);
	is_int(shmring_recover(any), 0, "no more dead");
	is_state(0, 2, SHMRING__S_LIVE, "that one goes on: nobody's any more");
	join(&writer[1], SHMRING_PRODUCER);
	leave();

	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	show(&reader[0], SHMRING__READ, 0);
	dead = die(&reader[1], SHMRING__READ);
	is_int(shmring__recover_line(&writer[0], dead), 1, "so is a reader");
	is_state(0, 4, SHMRING__S_READER, "whose message may be another's");
	shmring__reclaim_slots(&writer[0]);
	is_state(0, 4, SHMRING__S_READER, "who is asked for");
	is_int(pop_number(&reader[0]), -EAGAIN, "that one goes on");
	shmring__reclaim_slots(&writer[0]);
	is_state(0, 4, SHMRING__S_ORPHAN, "it was not");
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

static void
make_an_orphan(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	shmring__recover_line(&writer[0], die(&reader[1], SHMRING__READ));
	join(&reader[1], SHMRING_CONSUMER);
	is_state(0, 2, SHMRING__S_ORPHAN, "an orphan");
}

static void
bury_who_adopted(void)
{
	make_an_orphan();
	peek(&reader[0], 1);
	reader[1].line[SHMRING__READ]->adopts = 0;
	dead = die(&reader[1], SHMRING__READ);
	is_int(shmring__recover_line(&writer[0], dead), 1, "a dead loser");
	is_state(0, 2, SHMRING__S_READER, "leaves it to the stopped adopter");
	join(&reader[1], SHMRING_CONSUMER);
	is_int(reader[1].line[SHMRING__READ]->adopts, SHMRING__NONE,
	       "its line shows nothing");
	shmring__reclaim_slots(&writer[0]);
	is_int(pop_number(&reader[1]), -EAGAIN, "and nobody else");
	is_int(shmring_release(&reader[0]), 0, "it goes on");
	leave();

	make_an_orphan();
	peek(&reader[1], 1);
	reader[0].line[SHMRING__READ]->adopts = 0;
	dead = die(&reader[1], SHMRING__READ);
	is_int(shmring__recover_line(&writer[0], dead), 1, "a dead adopter");
	is_state(0, 2, SHMRING__S_READER, "whose message may be another's");
	is_int(pop_number(&reader[0]), -EAGAIN, "nothing to be had");
	reader[0].line[SHMRING__READ]->adopts = SHMRING__NONE;
	shmring__reclaim_slots(&writer[0]);
	is_state(0, 2, SHMRING__S_ORPHAN, "until that one goes on");
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* One has a message in hands, another shows its position, without having
 * claimed it; both die. Whichever is looked at first, the other does not cover
 * it: no position is void. */
static void
die_together(int by_opening, int shown_first)
{
	make(SLOTS);
	shmring_close(&writer[1]);
	ring_dup(&third, any, SHMRING_CONSUMER); /* in a later line */
	struct shmring *holder = shown_first ? &third : &reader[1];
	struct shmring *other = shown_first ? &reader[1] : &third;
	push_some(&writer[0], 1, 1);
	peek(holder, 1);
	show(other, SHMRING__READ, 0);
	shmring__unmap(holder); /* their locks go, and nobody knows yet */
	shmring__unmap(other);
	if (by_opening)
		join(&reader[1], SHMRING_CONSUMER);
	is_int(shmring_recover(any), 2 - by_opening, "those who died");
	is_state(0, 2, SHMRING__S_ORPHAN, "what one of them had is an orphan");
	if (!by_opening)
		join(&reader[1], SHMRING_CONSUMER);
	join(&writer[1], SHMRING_PRODUCER);
	is_marked(any, 1);
	leave();
}

static void
hand_back_late(void)
{
	is_int(shmring_release(&reader[1]), 0, "the owner hands it back");
}

/* The owner moves on between the look at the slot and at its line. */
static void
reclaim_what_is_handed_back(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	pop_some(&reader[0], 2, SLOTS);
	shmring__doubt(any, 0, 2, 0);
	is_state(0, 4, SHMRING__S_READER, "retained");
	arm(&at_load, any->lines[number_of(&reader[1], 0)].intent, 1,
	    hand_back_late);
	reader[1].line[SHMRING__READ]->intent[SHMRING__READ] = 99;
	shmring__reclaim_slots(any);
	is_state(0, 4, SHMRING__S_LIVE, "nothing becomes an orphan");
	leave();
}

static void
release_and_die(void)
{
	is_int(release_late(&reader[1]), 1, "late");
	dead = die(&reader[1], SHMRING__READ);
}

/* Its last store comes between the look at the slot and at its line. */
static void
reclaim_what_was_read(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	pop_some(&reader[0], 2, SLOTS);
	shmring__doubt(any, 0, 2, 0);
	arm(&at_load, &any->lines[number_of(&reader[1], 0)].status, 1,
	    release_and_die);
	shmring__reclaim_slots(any);
	is_state(0, 4, SHMRING__S_READER, "nothing becomes an orphan");
	is_int(shmring__recover_line(any, dead), 1, "recovered");
	is_state(0, 4, SHMRING__S_LIVE, "what was read is handed back");
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* Its phase is stored, and it has seen that it was late. */
static void
reclaim_nothing_of_a_late_release(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	pop_some(&reader[0], 2, SLOTS);
	shmring__doubt(any, 0, 2, 0);
	is_int(release_late(&reader[1]), 1, "late");
	shmring__reclaim_slots(any);
	is_state(0, 4, SHMRING__S_READER, "it is still its own");
	shmring__hand_back(&reader[1], 0);
	shmring__clear_held(&reader[1], SHMRING__READ);
	is_state(0, 4, SHMRING__S_LIVE, "until it hands it back");
	leave();
}

static void
bury_and_adopt(void)
{
	is_int(shmring__recover_line(&writer[1], dead), 1, "another recovers");
	is_state(0, 4, SHMRING__S_ORPHAN, "an orphan");
	join(&reader[1], SHMRING_CONSUMER);
	peek(&reader[1], 1);
}

/* S is READER again, of another. */
static void
reclaim_what_is_adopted(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	pop_some(&reader[0], 2, SLOTS);
	shmring__doubt(any, 0, 2, 0);
	dead = die(&reader[1], SHMRING__READ);
	arm(&at_cas, shmring__state_word(any, 0), 1, bury_and_adopt);
	shmring__reclaim_slots(any);
	is_state(0, 4, SHMRING__S_READER, "the adopter's");
	is_int(pop_number(&reader[0]), -EAGAIN, "and nobody else's");
	is_int(shmring_release(&reader[1]), 0, "release");
	leave();
}

/* No fence reaches the stopped one: it cannot be told whether it is late. */
static void
bury_later_without_a_fence(void)
{
	make(SLOTS);
	heavy_fails = 1;
	reserve(&writer[1], 6);
	is_int(shmring__recover_line(any, die(&writer[1], SHMRING__WRITE)), 1,
	       "the dead need no fence");
	join(&writer[1], SHMRING_PRODUCER);
	reserve(&writer[0], 7);
	show(&writer[1], SHMRING__WRITE, 1);
	dead = die(&writer[1], SHMRING__WRITE);
	is_int(shmring__recover_line(any, dead), 0, "not yet");
	is_int(state_of(dead), SHMRING__RECOV, "its line waits");
	is_int(shmring_commit(&writer[0], 8), 0, "the other one goes on");
	is_int(shmring__recover_line(any, dead), 1, "then it is free");
	heavy_fails = 0;
	pop_some(&reader[0], 7, 7);
	join(&writer[1], SHMRING_PRODUCER);
	leave();
}

/* ---- P21: who makes a message or room available wakes --------------------- */

static int
woken(uint32_t *word)
{
	int cleared = !(*word & SHMRING__WAITS);

	*word &= ~SHMRING__NOTIFY;
	return cleared;
}

static void
wake_for_what_appears(void)
{
	make(SLOTS);
	uint32_t *data = &any->notice->data, *space = &any->notice->space;

	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	*data |= SHMRING__WAITS;
	shmring_close(&reader[1]);
	ok(woken(data), "an orphan wakes consumers");
	is_marked(&reader[0], 1);
	join(&reader[1], SHMRING_CONSUMER);

	reserve(&writer[0], 2);
	*data |= SHMRING__WAITS;
	*space |= SHMRING__WAITS;
	shmring__doubt(any, 1, 1, 0);
	ok(woken(data), "a void position wakes consumers");
	ok(woken(space), "and producers");
	*data |= SHMRING__WAITS;
	*space |= SHMRING__WAITS;
	*shmring__state_word(any, 1) = shmring__make_state(2, SHMRING__S_LIVE);
	settle(any, 1, 1);
	ok(woken(data) && woken(space), "so does who helps to hand back");
	shmring__clear_held(&writer[0], SHMRING__WRITE);
	leave();
}

/* ---- WIDE: lengths that do not fit beside the phase ----------------------- */

static void
keep_long_lengths_beside(void)
{
	static unsigned char message[8192], buffer[8192];
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = 4,
					 .slot_size = sizeof(message),
					 .participants = 2 };
	static const size_t sizes[] = { 0, 1, 4094, 4095, 4096, 8191, 8192 };
	struct shmring ring;
	int wrong = 0;

	if (shmring_create_memfd(&ring, &config))
		bail("no ring");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		message_write(message, sizes[i], i);
		wrong += shmring_push(&ring, message, sizes[i]) != 0;
		wrong += shmring_pop(&ring, buffer, sizeof(buffer)) !=
			 (ssize_t)sizes[i];
		wrong += !message_is(buffer, sizes[i], i);
		if (shmring_reserve(&ring, sizes[i]))
			shmring_abort(&ring);
	}
	is_int(wrong, 0, "messages of all lengths, and aborts between");
	is_int(shmring_push(&ring, message, sizeof(message)), 0, "push");
	is_int(shmring_pop(&ring, buffer, 4095), -EMSGSIZE, "too long");
	is_int(shmring_pop(&ring, buffer, sizeof(buffer)), sizeof(message),
	       "as long as it is");
	push_some(&ring, 1, 1);
	*shmring__length_word(&ring, *ring.head) = sizeof(message) + 1;
	is_int(shmring_pop(&ring, buffer, sizeof(buffer)), -EMSGSIZE,
	       "longer than the buffer");
	size_t size;
	ok(!shmring_peek(&ring, &size), "no message has this length");
	is_int(shmring_error(&ring), -EBADMSG, "and we say so");
	shmring_close(&ring);
}

/* ---- What a second look found --------------------------------------------- */

static void
calm_down(void)
{
	shmring__reclaim_slots(&writer[0]);
	ok(!attention(SHMRING__DOUBT), "all is calm");
}

/* attn was cleared before the orphan was made, and who made it stopped before
 * it told again: who adopts tells. */
static void
doubt_behind_an_adoption(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	peek(&reader[1], 1);
	uint32_t line = die(&reader[1], SHMRING__READ);
	arm(&at_cas, shmring__state_word(any, 0), 1, calm_down);
	arm(&at_add, &any->notice->attn, 2, perish);
	if (lives())
		shmring__recover_line(any, line);
	is_state(0, 2, SHMRING__S_ORPHAN, "an orphan");
	ok(!attention(SHMRING__DOUBT), "of which nobody tells for long");
	peek(&reader[0], 1); /* and then it is stopped */
	ok(attention(SHMRING__DOUBT), "who adopts tells");
	is_int(shmring__recover_line(&writer[0], line), 1, "recovered");
	join(&reader[1], SHMRING_CONSUMER);
	push_some(&writer[0], 2, SLOTS);
	pop_some(&reader[1], 2, SLOTS);
	push_some(&writer[0], SLOTS + 1, 2 * SLOTS - 1);
	pop_some(&reader[1], SLOTS + 1, 2 * SLOTS - 1);
	is_int(shmring_release(&reader[0]), 0, "the adopter goes on");
	leave();
}

static uint32_t vacant;

static void
open_it_meanwhile(void)
{
	is_int(shmring_dup(&third, &writer[0], SHMRING_CONSUMER), -EUSERS,
	       "nobody else comes in");
	ok(!shmring__locked(writer[0].map.fd, vacant),
	   "and what proves a life is not held yet");
}

/* An opener that is stopped holds nothing that would hide a death. */
static void
open_under_a_lock_of_its_own(void)
{
	make(SLOTS);
	vacant = number_of(&reader[1], SHMRING__READ);
	shmring_close(&reader[1]);
	arm(&at_load, &any->lines[vacant].status, 3, open_it_meanwhile);
	is_int(shmring__lock_line(any, vacant), 0, "a vacant line");
	ok(shmring__locked(writer[0].map.fd, vacant), "is locked");
	shmring__unlock_line(any, vacant);
	join(&reader[1], SHMRING_CONSUMER);
	leave();
}

static void
push_three(void)
{
	push_some(any, 1, 3);
}

/* Head would move for each, and what a killed one had would be lost. */
static void
take_one_that_came_late(void)
{
	uint64_t numbers[3];
	struct iovec batch[3];

	for (int i = 0; i < 3; i++)
		batch[i] = (struct iovec){ &numbers[i], 8 };
	ring_make(&reader[0], SHMRING_SPSC, 64, 8);
	arm(&at_load, shmring__header_at(any, 0), 2, push_three);
	is_int(shmring_pop_n(&reader[0], batch, 3), 1, "the first of three");
	ok(!at_load.step, "which came after the first look");
	is_int(shmring_pop_n(&reader[0], batch, 3), 2, "then the others");
	shmring_close(&reader[0]);
}

static void
adopt_and_use_the_slot(void)
{
	uint64_t large[2] = { 9, 9 };

	is_marked(&reader[1], 1);
	is_int(shmring_push(&writer[0], large, 16), 0, "a larger message");
}

/* S was an orphan's, A is another message's by the time. */
static void
judge_no_other_message(void)
{
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = SLOTS,
					 .slot_size = 16,
					 .participants = 4,
					 .roles = SHMRING_CONSUMER };

	if (shmring_create_memfd(&reader[0], &config))
		bail("no ring");
	join(&reader[1], SHMRING_CONSUMER);
	ring_dup(&writer[0], any, SHMRING_PRODUCER);
	push_some(&writer[0], 1, SLOTS);
	peek(&reader[1], 1);
	shmring_close(&reader[1]);
	join(&reader[1], SHMRING_CONSUMER);
	arm(&at_load, shmring__phase_word(any, 0), 1, adopt_and_use_the_slot);
	is_int(pop_number(&reader[0]), 2, "what fits comes");
	ok(!at_load.step, "though there was an orphan just now");
	for (int i = 0; i < 2; i++)
		shmring_close(&reader[i]);
	shmring_close(&writer[0]);
}

/* After a large batch one is peeked at: that one is marked, and nobody died. */
static void
leave_with_one(void)
{
	struct shmring_config config = { .slots = 64, .slot_size = 8 };
	const char *name = tap_name();
	uint64_t numbers[16];
	struct iovec batch[16];
	struct shmring ring;
	int marked = 0;

	for (int i = 0; i < 16; i++)
		batch[i] = (struct iovec){ &numbers[i], 8 };
	is_int(shmring_create(&ring, name, &config), 0, "a ring");
	push_some(&ring, 1, 20);
	is_int(shmring_pop_n(&ring, batch, 16), 16, "a batch");
	peek(&ring, 17);
	shmring_close(&ring);
	is_int(shmring_create(&third, name, &config), -EEXIST,
	       "left in good order");
	ring_open(&ring, name, SHMRING_BOTH);
	for (int i = 17; i <= 20; i++) {
		is_int(pop_number(&ring), i, "message %d", i);
		marked += shmring_redelivered(&ring);
	}
	is_int(marked, 1, "the one that was peeked at is marked");
	shmring_close(&ring);
	shmring_unlink(name);
}

/* The slot is free as soon as we have finished what another began. */
static void
use_what_we_finished(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, SLOTS);
	shmring__doubt(any, 0, 1, 0);
	pop_some(&reader[0], 2, SLOTS);
	*shmring__state_word(any, 0) = shmring__make_state(2, SHMRING__S_LIVE);
	is_int(push_number(&writer[1], 9), 0, "not full");
	pop_some(&reader[0], 9, 9);
	shmring__clear_held(&writer[0], SHMRING__WRITE);
	leave();
}

int
main(void)
{
	tap_start();
	decide_what_another_doubted();
	decide_what_another_doubted_mirrored();
	decide_too_late();
	settle_no_later_phase();
	help_what_was_helped();
	take_back_too_late();
	leave_the_reader_its_message();
	leave_the_writer_its_slot();
	tell_of_anothers_orphan();
	sweep_up_an_orphan();
	tell_of_a_new_orphan();
	remember_the_producers();
	remember_the_consumers();
	forget_who_failed_to_come();
	suspect_until_it_is_read();
	suspect_a_whole_batch();
	suspect_in_a_run();
	mark_nothing_that_nobody_had();
	copy_no_more_than_was_checked();
	refuse_only_what_is_there();
	pass_many_aborts();
	lose_every_race();
	lose_every_slot();
	pop_a_batch_of_lost_races();
	push_a_batch_of_lost_races();
	peek_at_an_abort();
	end_with_what_the_dead_had();
	lock_no_line_of_the_dead();
	close_beside_a_child();
	bury_beside_a_winner();
	bury_a_winner();
	bury_who_adopted();
	for (int i = 0; i < 4; i++)
		die_together(i / 2, i % 2);
	reclaim_what_is_handed_back();
	reclaim_what_was_read();
	reclaim_nothing_of_a_late_release();
	reclaim_what_is_adopted();
	bury_later_without_a_fence();
	wake_for_what_appears();
	keep_long_lengths_beside();
	doubt_behind_an_adoption();
	open_under_a_lock_of_its_own();
	take_one_that_came_late();
	judge_no_other_message();
	leave_with_one();
	use_what_we_finished();
	return tap_done();
}
