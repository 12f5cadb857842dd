/* SPDX-License-Identifier: MIT
 *
 * Description: MPMC, each step that the protocol insists on, in the one
 * interleaving that needs it. All handles belong to this thread: what others
 * do in the middle of a call, they do in one of its fences.
 */
#include <stdint.h>

static void interrupt(void (**step)(void));
static void (*at_light)(void), (*at_heavy)(void), (*at_sleep)(void);
static int heavy_fails;
static int called; /* how many, by the last wake */
static int64_t clock_ns = 1, sleep_until;

#define SHMRING_LIGHT(ring) interrupt(&at_light)
#define SHMRING_HEAVY(ring) (interrupt(&at_heavy), heavy_fails ? -EPERM : 0)
#define SHMRING_NOW() clock_ns /* it stands: nobody loses patience */
#define SHMRING_FUTEX_WAIT(word, value, until)     \
	((void)(word), (void)(value), sleep_until = (until), \
	 interrupt(&at_sleep))
#define SHMRING_FUTEX_WAKE(word, count) ((void)(word), called = (count), 0L)
#include "ring.h"

#define SLOTS 8
#define SIDES 2 /* handles of each role */

static struct shmring writer[SIDES], reader[SIDES], *const any = &reader[0];

/* Once: what it does itself is not interrupted. */
static void
interrupt(void (**step)(void))
{
	void (*now)(void) = *step;

	*step = NULL;
	if (now)
		now();
}

static void
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

static uint64_t
state(uint64_t p)
{
	return *shmring__s_of(any, p);
}

static int
attention(uint64_t bits)
{
	return (any->notice->attn & bits) != 0;
}

static void
is_state(uint64_t p, uint64_t sp, uint64_t kind, const char *what)
{
	is_int(state(p) & ~(uint64_t)SHMRING__S_COUNT, shmring__s(sp, kind),
	       "%s", what);
}

/* The ring has all its slots; then it goes. */
static void
leave(void)
{
	int wrong = 0;

	ok(!at_light && !at_heavy && !at_sleep, "it was interrupted there");
	at_light = at_heavy = at_sleep = NULL;
	while (pop_number(&reader[0]) >= 0)
		;
	for (int turn = 0; turn < 3; turn++) {
		for (uint64_t i = 0; i < SLOTS; i++)
			wrong += push_number(&writer[i % 2], i) != 0;
		wrong += push_number(&writer[0], 0) != -EAGAIN;
		for (int i = 0; i < SLOTS; i++)
			wrong += pop_number(&reader[i % 2]) != i;
	}
	is_int(wrong, 0, "then all slots serve again");
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
}

static void
push_some(struct shmring *ring, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i <= to; i++)
		is_int(push_number(ring, i), 0, "push %" PRIu64, i);
}

static void
pop_some(struct shmring *ring, int64_t from, int64_t to)
{
	for (int64_t i = from; i <= to; i++)
		is_int(pop_number(ring), i, "pop %" PRId64, i);
}

static void
doubt_writer(uint64_t p)
{
	shmring__doubt(any, p, shmring__phase(any, p, 1), 0);
}

static void
doubt_reader(uint64_t p)
{
	shmring__doubt(any, p, shmring__phase(any, p + SLOTS, 0), 0);
}

/* As if a handle's process had died, and somebody had just proven it. */
static void
die(struct shmring *ring, int side)
{
	struct shmring__line *x = ring->line[side];

	x->status = shmring__status(x->status, shmring__roles_of(x->status),
				    SHMRING__RECOV);
}

static int
recover(const struct shmring *dead, int side)
{
	return shmring__recover_line(any,
				     (uint32_t)(dead->line[side] - any->lines));
}

/* Open what died again. */
static void
revive(struct shmring *ring, unsigned roles)
{
	shmring_close(ring);
	ring_dup(ring, ring == any ? &reader[1] : any, roles);
}

/* ---- A claim is interrupted between its look at the slot and at attn ---- */

static struct shmring__claim late;

static void
hand_back(void)
{
	shmring__hand_back(&writer[0], 0);
}

/* A late message is there for a moment, before it is taken back. */
static void
open_a_slot_handed_back(void)
{
	make(SLOTS);
	reserve(&writer[0], 7);
	push_some(&writer[1], 1, 1);
	doubt_writer(0);
	late = writer[0].held[SHMRING__WRITE];
	is_int(shmring__mpmc_deliver(&writer[0], &late, 8), 1, "too late");
	at_light = hand_back;
	is_int(pop_number(&reader[0]), 1, "what was handed back does not come");
	shmring__unhold(&writer[0], SHMRING__WRITE);
	leave();
}

static void
take_two(void)
{
	pop_some(&reader[1], 1, 2);
}

static void
claim_what_others_claimed(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 3);
	at_light = take_two;
	is_int(pop_number(&reader[0]), 3, "what others took does not come");
	push_some(&writer[0], 1, 2);
	at_light = take_two;
	is_int(pop_number(&reader[0]), -EAGAIN, "nor the last");
	is_int(reader[0].line[SHMRING__READ]->intent[SHMRING__READ],
	       SHMRING__NONE, "and no intent is left");
	leave();
}

static void
pass_what_others_passed(void)
{
	make(SLOTS);
	reserve(&writer[0], 7);
	push_some(&writer[1], 1, 3);
	doubt_writer(0);
	at_light = take_two;
	is_int(pop_number(&reader[0]), 3, "what others took does not come");
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
	is_int(pop_number(&reader[0]), 7, "comes later");
	leave();
}

static void
end_writing(void)
{
	push_some(&writer[0], 1, 1);
	shmring_close(&writer[0]);
	shmring_close(&writer[1]);
}

static void
look_again_at_the_end(void)
{
	make(SLOTS);
	at_light = end_writing;
	is_int(pop_number(&reader[0]), 1, "the last message of all");
	is_int(pop_number(&reader[0]), -EPIPE, "then the end");
	revive(&writer[0], SHMRING_PRODUCER);
	revive(&writer[1], SHMRING_PRODUCER);
	leave();
}

/* ---- A commit is interrupted between its phase and its look at attn ---- */

static void
reuse_the_slot(void)
{
	pop_some(&reader[0], 1, 1);
	push_some(&writer[1], 2, SLOTS);
	pop_some(&reader[0], 2, SLOTS);
	reserve(&writer[1], SLOTS + 1);
	doubt_writer(SLOTS);
}

/* Another's slot is retained by the time: ours was not. */
static void
commit_and_look_late(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	at_light = reuse_the_slot;
	is_int(shmring_commit(&writer[0], 8), 0, "commit");
	is_state(SLOTS, 4, SHMRING__S_WRITER, "the slot is the other's still");
	is_int(shmring_commit(&writer[1], 8), 0, "that commits, too");
	pop_some(&reader[0], SLOTS + 1, SLOTS + 1);
	is_int(pop_number(&reader[0]), -EAGAIN, "nothing comes twice");
	leave();
}

/* ---- A doubter is interrupted before its fence --------------------------- */

static void
arrive(void)
{
	struct shmring__claim *claim = &writer[0].held[SHMRING__WRITE];

	*shmring__a(any, 0) = UINT64_C(1) << any->length_bits | claim->size;
}

static void
doubt_what_comes_in_time(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	at_heavy = arrive;
	doubt_writer(0);
	is_state(0, 1, SHMRING__S_LIVE, "it came");
	is_int(shmring_commit(&writer[0], 8), 0, "and counts");
	pop_some(&reader[0], 1, 2);
	leave();
}

static void
decide_and_be_late(void)
{
	shmring__settle(&reader[1], 0, 1);
	is_state(0, 2, SHMRING__S_WRITER, "another decides");
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
}

static void
decide_what_others_decided(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	at_heavy = decide_and_be_late;
	doubt_writer(0);
	is_state(0, 2, SHMRING__S_LIVE, "that decision stands");
	pop_some(&reader[0], 1, 1);
	leave();
}

/* No fence reaches the owner: nothing can be decided. */
static void
doubt_without_a_fence(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	heavy_fails = 1;
	doubt_writer(0);
	is_state(0, 1, SHMRING__S_VOIDING, "undecided");
	is_int(pop_number(&reader[0]), -EAGAIN, "so it has to be waited for");
	is_int(shmring_commit(&writer[0], 8), 0, "until it comes");
	is_state(0, 1, SHMRING__S_LIVE, "and has settled the doubt itself");
	pop_some(&reader[0], 1, 1);
	for (uint32_t i = 0; i < any->geometry.participants; i++)
		any->lines[i].flags |= SHMRING__FENCED;
	reserve(&writer[0], 2);
	doubt_writer(1);
	is_state(1, 2, SHMRING__S_WRITER, "unless all fence themselves");
	heavy_fails = 0;
	shmring_abort(&writer[0]);
	leave();
}

/* ---- What somebody left half done ---------------------------------------- */

static void
tell_of_every_cause(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	doubt_writer(0);
	ok(attention(SHMRING__DOUBT), "attn tells of the doubt");
	uint64_t before = any->notice->attn;
	shmring__attend(any, SHMRING__DOUBT, 0);
	ok(any->notice->attn != before, "and of one more");
	shmring_abort(&writer[0]);
	leave();
}

static void
finish_a_hand_back(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	doubt_writer(0);
	*shmring__s_of(any, 0) = shmring__s(2, SHMRING__S_LIVE);
	shmring__unhold(&writer[0], SHMRING__WRITE);
	leave();
}

static void
finish_a_doubt(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	*shmring__s_of(any, 0) = shmring__s(1, SHMRING__S_VOIDING);
	pop_some(&reader[0], 1, 1);
	shmring__attend(any, SHMRING__DOUBT, 0);
	leave();
}

/* A void position that head has not passed still takes its place. */
static void
keep_within_the_slots(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	doubt_writer(0);
	push_some(&writer[1], 2, SLOTS);
	is_int(push_number(&writer[1], 0), -EAGAIN, "full");
	is_int(*any->tail, SLOTS, "tail waits");
	shmring__mpmc_impatient(&writer[1], SHMRING__WRITE);
	is_int(*any->head, 1, "then the writer moves head on");
	pop_some(&reader[0], 2, SLOTS);
	shmring_abort(&writer[0]);
	leave();
}

static void
have_patience(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	shmring__mpmc_impatient(&reader[0], SHMRING__READ);
	ok(!attention(SHMRING__DOUBT), "who holds up nothing is not doubted");
	push_some(&writer[1], 2, 2);
	shmring__mpmc_impatient(&reader[0], SHMRING__READ);
	ok(attention(SHMRING__DOUBT), "who does is");
	shmring_abort(&writer[0]);
	leave();
}

/* ---- Clearing attn -------------------------------------------------------- */

static void
stay_alert(const char *what)
{
	shmring__calm(any);
	ok(attention(SHMRING__DOUBT), "alert: %s", what);
}

static void
calm_down_at_last(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	shmring__attend(any, SHMRING__DOUBT, 0);
	*shmring__s_of(any, 1) = shmring__s(1, SHMRING__S_VOIDING);
	stay_alert("a doubter has not decided");
	*shmring__s_of(any, 1) = shmring__s(1, SHMRING__S_LIVE);
	doubt_writer(0);
	pop_some(&reader[0], 2, 2);
	*shmring__s_of(any, 0) = shmring__s(2, SHMRING__S_LIVE);
	stay_alert("a hand-back is not finished");
	*any->head = 0;
	*shmring__a(any, 0) = UINT64_C(2) << any->length_bits;
	stay_alert("head has not passed what is void");
	*any->head = 2;
	shmring__calm(any);
	ok(!attention(SHMRING__DOUBT), "nothing left to be alert for");
	shmring__unhold(&writer[0], SHMRING__WRITE);
	leave();
}

/* ---- Death ---------------------------------------------------------------- */

/* A handle dies as a writer of position 0 that another has claimed. */
static void
bury_who_lost_a_race(void)
{
	make(SLOTS);
	writer[1].line[SHMRING__WRITE]->intent[SHMRING__WRITE] = 0;
	die(&writer[1], SHMRING__WRITE);
	is_int(recover(&writer[1], SHMRING__WRITE), 1, "not claimed: buried");
	is_state(0, 0, SHMRING__S_LIVE, "nothing is void");
	revive(&writer[1], SHMRING_PRODUCER);

	reserve(&writer[0], 1);
	writer[1].line[SHMRING__WRITE]->intent[SHMRING__WRITE] = 0;
	die(&writer[1], SHMRING__WRITE);
	is_int(recover(&writer[1], SHMRING__WRITE), 0, "claimed by another?");
	is_state(0, 0, SHMRING__S_LIVE, "nothing is void");
	die(&writer[0], SHMRING__WRITE);
	is_int(recover(&writer[1], SHMRING__WRITE), 1, "that is dead, too");
	is_int(recover(&writer[0], SHMRING__WRITE), 1, "both are buried");
	shmring__unhold(&writer[0], SHMRING__WRITE);
	revive(&writer[0], SHMRING_PRODUCER);
	revive(&writer[1], SHMRING_PRODUCER);
	leave();
}

static void
bury_who_read_less(void)
{
	struct shmring__line *x;
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 1);
	x = reader[1].line[SHMRING__READ];
	x->intent[SHMRING__READ] = 0;
	die(&reader[1], SHMRING__READ);
	is_int(recover(&reader[1], SHMRING__READ), 1, "not claimed: buried");
	is_state(0, 0, SHMRING__S_LIVE, "no orphan");
	revive(&reader[1], SHMRING_CONSUMER);

	shmring_peek(&reader[0], &size);
	x = reader[1].line[SHMRING__READ];
	x->intent[SHMRING__READ] = 0;
	die(&reader[1], SHMRING__READ);
	is_int(recover(&reader[1], SHMRING__READ), 0, "claimed by another?");
	is_state(0, 0, SHMRING__S_LIVE, "no orphan");
	shmring_release(&reader[0]);
	is_int(recover(&reader[1], SHMRING__READ), 1, "it has let go");
	revive(&reader[1], SHMRING_CONSUMER);
	leave();
}

/* Its owner's line is used again by the time. */
static void
bury_in_an_old_grave(void)
{
	make(SLOTS);
	struct shmring__line *x = writer[0].line[SHMRING__WRITE];

	reserve(&writer[0], 1);
	shmring__bury(any, (uint32_t)(x - any->lines),
		      shmring__status(x->status - 0x10000, SHMRING_PRODUCER,
				      SHMRING__RECOV),
		      SHMRING__DIED);
	is_state(0, 0, SHMRING__S_LIVE, "the new owner is left alone");
	is_int(shmring_commit(&writer[0], 8), 0, "and commits");
	leave();
}

/* Each stored its phase late, and died before it could hand the slot back. */
static void
bury_the_late(void)
{
	struct shmring__claim *claim = &writer[0].held[SHMRING__WRITE];
	size_t size;

	make(SLOTS);
	reserve(&writer[0], 1);
	doubt_writer(0);
	is_int(shmring__mpmc_deliver(&writer[0], claim, 8), 1, "late");
	die(&writer[0], SHMRING__WRITE);
	is_int(recover(&writer[0], SHMRING__WRITE), 1, "a late writer");
	is_state(0, 2, SHMRING__S_LIVE, "its slot is back");
	shmring__unhold(&writer[0], SHMRING__WRITE);
	revive(&writer[0], SHMRING_PRODUCER);

	push_some(&writer[1], 1, 1);
	shmring_peek(&reader[1], &size);
	doubt_reader(1);
	is_int(shmring__mpmc_finish(&reader[1], 1, 2, 0), 1, "late");
	die(&reader[1], SHMRING__READ);
	is_int(recover(&reader[1], SHMRING__READ), 1, "a late reader");
	is_state(1, 2, SHMRING__S_LIVE, "its slot is back");
	is_int(pop_number(&reader[0]), -EAGAIN, "its message it had");
	shmring__unhold(&reader[1], SHMRING__READ);
	revive(&reader[1], SHMRING_CONSUMER);
	leave();
}

static void
is_marked(const struct shmring *ring, int64_t got, int64_t expected)
{
	is_int(got, expected, "message %" PRId64, expected);
	is_int(shmring_redelivered(ring), 1, "is marked");
}

static void
adopt_orphans(void)
{
	char little[4];
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 2);
	shmring_peek(&reader[0], &size);
	shmring_peek(&reader[1], &size);
	revive(&reader[1], SHMRING_CONSUMER);
	revive(&reader[0], SHMRING_CONSUMER);
	is_int(shmring_pop(&reader[0], little, sizeof(little)), -EMSGSIZE,
	       "an orphan too large");
	shmring_peek(&reader[0], &size);
	revive(&reader[0], SHMRING_CONSUMER);
	const int64_t *again = shmring_peek(&reader[0], &size);
	is_marked(&reader[0], again ? *again : -1, 1);

	struct shmring__line *x = reader[1].line[SHMRING__READ];
	x->intent[SHMRING__READ] = 0;
	die(&reader[1], SHMRING__READ);
	is_int(recover(&reader[1], SHMRING__READ), 0, "in hands of another?");
	is_state(0, 2, SHMRING__S_READER, "it stays there");
	shmring_release(&reader[0]);
	is_int(recover(&reader[1], SHMRING__READ), 1, "it has let go");
	revive(&reader[1], SHMRING_CONSUMER);
	is_marked(&reader[1], pop_number(&reader[1]), 2);
	is_int(pop_number(&reader[1]), -EAGAIN, "no more");
	ok(!attention(SHMRING__ORPHAN), "attn says so");
	leave();
}

/* The end of the stream is when nobody can let a message fall any more. */
static void
end_when_all_hands_are_empty(void)
{
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 2);
	shmring_peek(&reader[1], &size);
	shmring_close(&writer[0]);
	shmring_close(&writer[1]);
	pop_some(&reader[0], 2, 2);
	is_int(pop_number(&reader[0]), -EAGAIN, "one is in hands");
	uint32_t *word = &any->notice->data;
	*word |= SHMRING__WAITS;
	shmring_release(&reader[1]);
	ok(!(*word & SHMRING__WAITS), "whose release wakes");
	is_int(pop_number(&reader[0]), -EPIPE, "the end");
	revive(&writer[0], SHMRING_PRODUCER);
	revive(&writer[1], SHMRING_PRODUCER);
	leave();
}

/* ---- Waking --------------------------------------------------------------- */

static int
wakes(uint32_t *word, uint32_t bits, void (*step)(void))
{
	*word |= bits;
	called = 0;
	step();
	int cleared = !(*word & bits);
	*word &= ~SHMRING__STIRS;
	return cleared ? called : 0;
}

static void
pop_empty(void)
{
	is_int(pop_number(&reader[0]), -EAGAIN, "empty");
}

static void
pop_one(void)
{
	ok(pop_number(&reader[0]) >= 0, "pop");
}

static void
push_one(void)
{
	push_some(&writer[0], 1, 1);
}

static void
abort_late(void)
{
	shmring_abort(&writer[0]);
}

static void
wake_whom_it_concerns(void)
{
	make(8 * SLOTS);
	uint32_t *data = &any->notice->data, *space = &any->notice->space;

	is_int(wakes(data, SHMRING__WAITS, push_one), 1, "one for a message");
	is_int(wakes(data, SHMRING__WATCHES, push_one), INT_MAX,
	       "all who watch");
	is_int(wakes(space, SHMRING__WAITS, pop_one), 1,
	       "one writer for each eighth of the slots");
	is_int(wakes(space, SHMRING__WATCHES, pop_one), INT_MAX,
	       "who watches each time");
	is_int(wakes(space, SHMRING__WAITS, pop_empty), 1,
	       "one for all the space when empty");
	for (int i = 0; i < 2; i++) {
		reserve(&writer[0], 1);
		doubt_writer(2 + (uint64_t)i);
		is_int(wakes(i ? space : data, SHMRING__WAITS, abort_late),
		       INT_MAX, "all when a slot comes back");
	}
	for (int i = 0; i < SIDES; i++) {
		shmring_close(&writer[i]);
		shmring_close(&reader[i]);
	}
}

static int sleeps, short_sleeps;

static void
sleep_shortly(void)
{
	short_sleeps += sleep_until - clock_ns <= SHMRING_PATIENCE_NS;
	if (++sleeps == 3)
		is_int(shmring_commit(&writer[0], 8), 0, "commit");
	else
		at_sleep = sleep_shortly;
}

static void
wait_for_who_may_be_stopped(void)
{
	int64_t number;

	make(SLOTS);
	reserve(&writer[0], 1);
	shmring_set_spin(&reader[0], 0);
	at_sleep = sleep_shortly;
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	ok(short_sleeps >= 2, "no sleep longer than patience before");
	leave();
}

/* ---- Distrust ------------------------------------------------------------- */

static void
refuse_a_length(void)
{
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 1);
	*shmring__a(any, 0) += 1; /* longer than any */
	ok(!shmring_peek(&reader[0], &size), "no message has this length");
	is_int(shmring_error(&reader[0]), -EBADMSG, "and we say so");
	revive(&reader[0], SHMRING_CONSUMER);
	leave();
}

static void
refuse_a_retired_ring(void)
{
	struct shmring_config config = { .flags = SHMRING_REPLACE };
	struct shmring old, new, copy;
	const char *name = tap_name();

	is_int(shmring_create(&old, name, NULL), 0, "a ring");
	shmring_close(&old);
	ring_open(&old, name, SHMRING_OBSERVER);
	is_int(shmring_create(&new, name, &config), 0, "is replaced");
	is_int(shmring_dup(&copy, &old, SHMRING_BOTH), -ESTALE,
	       "nobody attaches to the old one any more");
	shmring_close(&old);
	shmring_close(&new);
	shmring_unlink(name);
}

int
main(void)
{
	tap_start();
	open_a_slot_handed_back();
	claim_what_others_claimed();
	pass_what_others_passed();
	look_again_at_the_end();
	commit_and_look_late();
	doubt_what_comes_in_time();
	decide_what_others_decided();
	doubt_without_a_fence();
	tell_of_every_cause();
	finish_a_hand_back();
	finish_a_doubt();
	keep_within_the_slots();
	have_patience();
	calm_down_at_last();
	bury_who_lost_a_race();
	bury_who_read_less();
	bury_in_an_old_grave();
	bury_the_late();
	adopt_orphans();
	end_when_all_hands_are_empty();
	wake_whom_it_concerns();
	wait_for_who_may_be_stopped();
	refuse_a_length();
	refuse_a_retired_ring();
	return tap_done();
}
