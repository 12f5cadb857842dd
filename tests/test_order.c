/* SPDX-License-Identifier: MIT
 *
 * Description: each step that the protocol insists on, in the one
 * interleaving that needs it. All handles belong to this thread: what others
 * do in the middle of a call, they do in one of its fences.
 */
#include "edge.h"

#include <stdint.h>

/* A fence, a sleep, a wake-up have no place: NULL. */
static struct edge at_light, at_heavy, at_sleep, at_wake, at_load, at_cas;
static int heavy_fails;
static int called; /* how many, by the last wake */
static long sleepers; /* how many hear it */
static int64_t sleep_until;

#define SHMRING_LIGHT(ring) reach(&at_light, NULL)
#define SHMRING_HEAVY(ring) (reach(&at_heavy, NULL), heavy_fails ? -EPERM : 0)
static int64_t clock_ns = 1; /* it stands: nobody loses patience */
#define SHMRING_NOW() clock_ns
#define SHMRING_FUTEX_WAIT(word, value, until)               \
	((void)(word), (void)(value), sleep_until = (until), \
	 reach(&at_sleep, NULL), 0L)
#define SHMRING_FUTEX_WAKE(word, count) \
	((void)(word), called = (count), reach(&at_wake, NULL), sleepers)
#define __atomic_load_n(place, order) \
	(reach(&at_load, place), __atomic_load_n(place, order))
#define __atomic_compare_exchange_n(place, ...) \
	(reach(&at_cas, place), __atomic_compare_exchange_n(place, __VA_ARGS__))
#define SHMRING__UNWATCHED_NS 0
#include "ring.h"
#undef __atomic_load_n
#undef __atomic_compare_exchange_n
#include "steps.h"

/* The ring has all its slots; then it goes. */
static void
leave(void)
{
	int wrong = 0;

	ok(!at_light.step && !at_heavy.step && !at_sleep.step &&
		   !at_wake.step && !at_load.step && !at_cas.step,
	   "all was interrupted that should be");
	at_light.step = at_heavy.step = at_sleep.step = NULL;
	at_wake.step = at_load.step = at_cas.step = NULL;
	while (pop_number(&reader[0]) >= 0)
		;
	for (int i = 0; i < 2 * SLOTS; i++) { /* past what is still void */
		wrong += push_number(&writer[0], 0) != 0;
		wrong += pop_number(&reader[0]) != 0;
	}
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
	return shmring__recover_line(any, number_of(dead, side));
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

/* A late message is there for a moment, before it is taken back. Here and
 * below: at the plain look, or at the careful one that follows. */
static void
open_a_slot_handed_back(int nth)
{
	make(SLOTS);
	reserve(&writer[0], 7);
	push_some(&writer[1], 1, 1);
	doubt_writer(0);
	late = writer[0].held[SHMRING__WRITE];
	is_int(store_late(&writer[0], &late), 1, "too late");
	arm(&at_light, NULL, nth, hand_back);
	is_int(pop_number(&reader[0]), 1, "what was handed back does not come");
	shmring__clear_held(&writer[0], SHMRING__WRITE);
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
	arm(&at_light, NULL, 1, take_two);
	is_int(pop_number(&reader[0]), 3, "what others took does not come");
	push_some(&writer[0], 1, 2);
	arm(&at_light, NULL, 1, take_two);
	is_int(pop_number(&reader[0]), -EAGAIN, "nor the last");
	is_int(reader[0].line[SHMRING__READ]->intent[SHMRING__READ],
	       SHMRING__NONE, "and no intent is left");
	leave();
}

static void
hold_one(void)
{
	size_t size;
	const int64_t *seen = shmring_peek(&reader[1], &size);

	is_int(seen ? *seen : -1, 1, "peek");
}

static void
pass_what_others_passed(int nth)
{
	make(SLOTS);
	reserve(&writer[0], 7);
	push_some(&writer[1], 1, 2);
	doubt_writer(0);
	arm(&at_light, NULL, nth, hold_one);
	is_int(pop_number(&reader[0]), 2, "what another holds does not come");
	is_int(shmring_release(&reader[1]), 0, "release");
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
	is_int(pop_number(&reader[0]), 7, "comes later");
	leave();
}

static void
hand_back_and_calm_down(void)
{
	hand_back();
	is_int(pop_number(&reader[0]), -EAGAIN, "nothing there");
	shmring__reclaim_slots(any);
}

static int look_that_is_interrupted;

static void
push_meanwhile(void)
{
	arm(&at_light, NULL, look_that_is_interrupted, hand_back_and_calm_down);
	push_some(&writer[0], SLOTS + 1, SLOTS + 1);
}

/* A late reader's slot looks free for a moment, in a turn that is void. */
static void
claim_a_slot_that_is_void(int nth)
{
	look_that_is_interrupted = nth;
	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	hold_one();
	pop_some(&reader[0], 2, SLOTS);
	doubt_reader(0);
	arm(&at_light, NULL, 1, push_meanwhile);
	is_int(shmring_release(&reader[1]), 0, "a late release");
	pop_some(&reader[0], SLOTS + 1, SLOTS + 1);
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
	arm(&at_light, NULL, 1, end_writing);
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
	arm(&at_light, NULL, 1, reuse_the_slot);
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

	*shmring__phase_word(any, 0) =
		UINT64_C(1) << any->mpmc.length_bits | claim->size;
}

static void
doubt_what_comes_in_time(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	arm(&at_heavy, NULL, 1, arrive);
	doubt_writer(0);
	is_state(0, 1, SHMRING__S_LIVE, "it came");
	is_int(shmring_commit(&writer[0], 8), 0, "and counts");
	arm(&at_heavy, NULL, 1, arrive);
	doubt_writer(1);
	ok(at_heavy.step, "what was there before costs no fence");
	at_heavy.step = NULL;
	pop_some(&reader[0], 1, 2);
	leave();
}

static void
decide_and_be_late(void)
{
	settle(&reader[1], 0, 1);
	is_state(0, 2, SHMRING__S_WRITER, "another decides");
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
}

static void
decide_what_others_decided(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	arm(&at_heavy, NULL, 1, decide_and_be_late);
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
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	ok(any->notice->attn != before, "and of one more");
	shmring_abort(&writer[0]);
	is_int(*shmring__phase_word(any, 0) >> any->mpmc.length_bits, 2,
	       "a slot that is handed back is free");
	leave();
}

static void
finish_a_hand_back(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	doubt_writer(0);
	*shmring__state_word(any, 0) = shmring__make_state(2, SHMRING__S_LIVE);
	shmring__clear_held(&writer[0], SHMRING__WRITE);
	leave();
}

static void
finish_a_doubt(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	*shmring__state_word(any, 0) =
		shmring__make_state(1, SHMRING__S_VOIDING);
	pop_some(&reader[0], 1, 1);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
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

static void
lose_patience(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	is_int(pop_number(&reader[0]), -EAGAIN, "not its turn");
	clock_ns += SHMRING_PATIENCE_NS;
	is_int(pop_number(&reader[0]), -EAGAIN, "until patience ends");
	pop_some(&reader[0], 2, 2);
	shmring_abort(&writer[0]);
	leave();
}

/* So often that each look at the clock is among them. */
static void
find_nothing(const char *what)
{
	int wrong = 0;

	for (int i = 0; i < 64; i++)
		wrong += pop_number(&reader[0]) != -EAGAIN;
	is_int(wrong, 0, "%s", what);
}

static void
find_no_room(const char *what)
{
	int wrong = 0;

	for (int i = 0; i < 64; i++)
		wrong += push_number(&writer[0], 0) != -EAGAIN;
	is_int(wrong, 0, "%s", what);
}

/* However long the ring was empty: a claim is not older than it is. */
static void
be_patient_with_a_claim(void)
{
	int64_t start = clock_ns;

	make(SLOTS);
	find_nothing("empty");
	clock_ns += 5 * SHMRING_PATIENCE_NS;
	find_nothing("for long");
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	find_nothing("not its turn");
	clock_ns += SHMRING_PATIENCE_NS - 1;
	find_nothing("not for long");
	ok(!attention(SHMRING__DOUBT), "who has just come is not doubted");
	clock_ns += 1;
	pop_number(&reader[0]);
	while (pop_number(&reader[0]) == -EAGAIN && !attention(SHMRING__DOUBT))
		;
	ok(attention(SHMRING__DOUBT), "until patience ends");
	shmring_abort(&writer[0]);
	leave();

	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	reader[0].wait.idle[SHMRING__READ].position = 1;
	shmring__mpmc_impatient(&reader[0], SHMRING__READ);
	ok(!attention(SHMRING__DOUBT), "nor a claim that is not the one seen");
	shmring_abort(&writer[0]);
	leave();
	clock_ns = start;
}

/* A producer waits for room behind a message that a consumer has in hands. */
static void
be_patient_with_a_reader(void)
{
	int64_t start = clock_ns;
	size_t size;

	make(SLOTS);
	push_some(&writer[1], 1, SLOTS);
	find_no_room("full");
	clock_ns += 99 * SHMRING_PATIENCE_NS;
	find_no_room("for long");
	shmring_peek(&reader[0], &size);
	pop_some(&reader[1], 2, 2);
	shmring__mpmc_impatient(&writer[0], SHMRING__WRITE);
	find_no_room("one is in hands");
	clock_ns += SHMRING_PATIENCE_NS;
	find_no_room("there are others to be read");
	ok(!attention(SHMRING__DOUBT), "a full ring is nobody's fault");
	pop_some(&reader[1], 3, SLOTS);
	for (int i = 0; i < 64 && !attention(SHMRING__DOUBT); i++)
		push_number(&writer[0], 0);
	ok(attention(SHMRING__DOUBT), "and who holds all up is doubted");
	is_int(shmring_release(&reader[0]), 0, "release");
	leave();

	make(SLOTS);
	push_some(&writer[1], 1, SLOTS);
	shmring_peek(&reader[0], &size);
	pop_some(&reader[1], 2, 2);
	find_no_room("one is in hands");
	clock_ns += SHMRING__MORE_PATIENCE * SHMRING_PATIENCE_NS - 1;
	find_no_room("others can be read for long");
	ok(!attention(SHMRING__DOUBT), "there is more patience then");
	clock_ns += 1;
	for (int i = 0; i < 64 && !attention(SHMRING__DOUBT); i++)
		push_number(&writer[0], 0);
	ok(attention(SHMRING__DOUBT), "but it ends");
	is_int(shmring_release(&reader[0]), 0, "release");
	leave();
	clock_ns = start;
}

/* One slot is kept by a reader that is late: what was declared void for it
 * counts as used until the consumers have come by. */
static void
count_what_is_void(void)
{
	struct shmring_stat now;
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, SLOTS);
	shmring_peek(&reader[0], &size);
	doubt_reader(0);
	find_no_room("one message less fits");
	shmring_stat(any, &now);
	is_int(now.length, now.capacity, "stat tells that it is full");
	pop_some(&reader[1], 2, 2);
	push_some(&writer[0], SLOTS + 1, SLOTS + 1);
	find_no_room("only one more when one is taken");
	is_int(shmring_release(&reader[0]), 0, "release");
	leave();
}

static void
pop_empty(void)
{
	is_int(pop_number(&reader[0]), -EAGAIN, "empty");
}

/* That somebody looked there is all. */
static void
look(void)
{
}

/* Who waits on a ring looks for the dead, one a slice for all. */
static void
take_turns_to_look(void)
{
	uint64_t *looked;
	int64_t before = clock_ns;

	make(SLOTS);
	looked = &any->header->looked;
	clock_ns = 10 * SHMRING_SLICE_NS;
	is_int(shmring__my_turn(&reader[0], clock_ns), 1, "one looks");
	clock_ns += SHMRING_SLICE_NS / 2;
	is_int(shmring__my_turn(&reader[1], clock_ns), 0, "for all");
	clock_ns += SHMRING_SLICE_NS / 2;
	is_int(shmring__my_turn(&reader[1], clock_ns), 1,
	       "it is due a slice later, whoever comes");
	is_int(shmring__my_turn(&reader[0], clock_ns), 0, "one again");
	clock_ns += SHMRING_SLICE_NS;
	*looked = (uint64_t)clock_ns + 1;
	is_int(shmring__my_turn(&reader[0], clock_ns), 1, "no future");
	clock_ns += SHMRING_SLICE_NS;
	*looked = UINT64_MAX;
	is_int(shmring__my_turn(&reader[0], clock_ns), 1, "of any kind");
	clock_ns += SHMRING_SLICE_NS;
	*looked = UINT64_MAX / 2 + (uint64_t)clock_ns;
	is_int(shmring__my_turn(&reader[0], clock_ns), 1, "is believed");
	clock_ns += SHMRING_SLICE_NS;
	*looked = 0;
	is_int(shmring__my_turn(&reader[0], clock_ns), 1, "nor a far past");

	/* And who pops is no other: whoever looks sees each line. */
	int wrong = 0;
	clock_ns += SHMRING_SLICE_NS;
	arm(&at_load, &reader[0].lines[0].status, 1, look);
	pop_empty();
	ok(!at_load.step, "one pop of an empty ring looks");
	arm(&at_load, &reader[1].lines[0].status, 1, look);
	for (int i = 0; i < 64; i++)
		wrong += pop_number(&reader[1]) != -EAGAIN;
	ok(at_load.step, "no other in this slice");
	clock_ns += SHMRING_SLICE_NS;
	for (int i = 0; i < 64; i++)
		wrong += pop_number(&reader[1]) != -EAGAIN;
	ok(!at_load.step, "but in the next");
	is_int(wrong, 0, "all of them find it empty");
	leave();
	clock_ns = before;
}

/* ---- Clearing attn -------------------------------------------------------- */

static void
stay_alert(const char *what)
{
	shmring__reclaim_slots(any);
	ok(attention(SHMRING__DOUBT), "alert: %s", what);
}

static void
calm_down_at_last(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	push_some(&writer[1], 2, 2);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	*shmring__state_word(any, 1) =
		shmring__make_state(1, SHMRING__S_VOIDING);
	stay_alert("a doubter has not decided");
	*shmring__state_word(any, 1) = shmring__make_state(1, SHMRING__S_LIVE);
	doubt_writer(0);
	pop_some(&reader[0], 2, 2);
	*shmring__state_word(any, 0) = shmring__make_state(2, SHMRING__S_LIVE);
	stay_alert("a hand-back is not finished");
	*any->head = 0;
	*shmring__phase_word(any, 0) = UINT64_C(2) << any->mpmc.length_bits;
	stay_alert("head has not passed what is void");
	*any->head = 2;
	shmring__reclaim_slots(any);
	ok(!attention(SHMRING__DOUBT), "nothing left to be alert for");
	shmring__clear_held(&writer[0], SHMRING__WRITE);
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
	is_int(recover(&writer[1], SHMRING__WRITE), 1, "claimed by another?");
	is_state(0, 2, SHMRING__S_WRITER, "the slot stays with that one");
	shmring__reclaim_slots(any);
	is_state(0, 2, SHMRING__S_WRITER, "as long as it may come");
	die(&writer[0], SHMRING__WRITE);
	is_int(recover(&writer[0], SHMRING__WRITE), 1, "that is dead, too");
	is_state(0, 2, SHMRING__S_LIVE, "then the slot is back");
	shmring__clear_held(&writer[0], SHMRING__WRITE);
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
	is_int(recover(&reader[1], SHMRING__READ), 1, "claimed by another?");
	is_state(0, 4, SHMRING__S_READER, "no orphan yet");
	shmring_release(&reader[0]);
	is_state(0, 4, SHMRING__S_LIVE, "it has let go");
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
	shmring__reclaim_line(any, number_of(&writer[0], SHMRING__WRITE),
			      shmring__status(x->status - 0x10000,
					      SHMRING_PRODUCER,
					      SHMRING__RECOV));
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
	is_int(store_late(&writer[0], claim), 1, "late");
	die(&writer[0], SHMRING__WRITE);
	is_int(recover(&writer[0], SHMRING__WRITE), 1, "a late writer");
	is_state(0, 2, SHMRING__S_LIVE, "its slot is back");
	shmring__clear_held(&writer[0], SHMRING__WRITE);
	revive(&writer[0], SHMRING_PRODUCER);

	push_some(&writer[1], 1, 1);
	shmring_peek(&reader[1], &size);
	doubt_reader(1);
	is_int(release_late(&reader[1]), 1, "late");
	die(&reader[1], SHMRING__READ);
	is_int(recover(&reader[1], SHMRING__READ), 1, "a late reader");
	is_state(1, 4, SHMRING__S_LIVE, "its slot is back");
	is_int(pop_number(&reader[0]), -EAGAIN, "its message it had");
	shmring__clear_held(&reader[1], SHMRING__READ);
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
	is_int(recover(&reader[1], SHMRING__READ), 1, "in hands of another?");
	is_state(0, 2, SHMRING__S_READER, "it stays there");
	shmring_release(&reader[0]);
	is_state(0, 2, SHMRING__S_LIVE, "it has let go");
	revive(&reader[1], SHMRING_CONSUMER);
	is_marked(&reader[1], pop_number(&reader[1]), 2);
	is_int(reader[1].line[SHMRING__READ]->adopts, SHMRING__NONE,
	       "which it does not hold any more");
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
	called = 0;
	pop_some(&reader[0], 2, 2);
	is_int(called, 0, "nobody is called who does not sleep");
	arm(&at_load, &any->mpmc.states[SLOTS - 1], 1, look);
	is_int(pop_number(&reader[0]), -EAGAIN, "one is in hands");
	uint32_t *word = &any->notice->data;
	*word |= SHMRING__WAITS;
	shmring_release(&reader[1]);
	ok(!(*word & SHMRING__WAITS), "whose release wakes");
	is_int(pop_number(&reader[0]), -EPIPE, "the end");
	ok(at_load.step, "and nobody has searched all slots for it");
	at_load.step = NULL;
	revive(&writer[0], SHMRING_PRODUCER);
	revive(&writer[1], SHMRING_PRODUCER);
	leave();
}

/* ---- Compare-and-swaps: somebody else was faster ------------------------- */

static void
help_and_push(void)
{
	settle(&writer[1], SLOTS, 2);
	push_some(&writer[1], SLOTS + 1, SLOTS + 1);
}

/* Position 0 is void, its writer late, the others have come round. */
static void
void_and_come_round(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	doubt_writer(0);
	push_some(&writer[1], 2, SLOTS);
	pop_some(&reader[0], 2, SLOTS);
}

static void
help_what_is_helped(void)
{
	uint64_t s, a;

	void_and_come_round();
	*shmring__state_word(any, 0) = shmring__make_state(2, SHMRING__S_LIVE);
	arm(&at_cas, shmring__phase_word(any, 0), 1, help_and_push);
	shmring__help(&reader[0], 0, &s, &a);
	pop_some(&reader[0], SLOTS + 1, SLOTS + 1);
	shmring__clear_held(&writer[0], SHMRING__WRITE);
	leave();
}

static void
hand_back_what_is_used(void)
{
	void_and_come_round();
	arm(&at_cas, shmring__phase_word(&writer[0], 0), 1, help_and_push);
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
	pop_some(&reader[0], SLOTS + 1, SLOTS + 1);
	pop_some(&reader[0], 1, 1);
	leave();
}

static void
hand_back_what_is_passed(void)
{
	void_and_come_round();
	arm(&at_cas, shmring__state_word(&writer[0], 0), 1, help_and_push);
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
	is_state(0, 4, SHMRING__S_LIVE, "not before the turn that was passed");
	pop_some(&reader[0], SLOTS + 1, SLOTS + 1);
	pop_some(&reader[0], 1, 1);
	leave();
}

static void
commit_late(void)
{
	is_int(shmring_commit(&writer[0], 8), 0, "a late commit");
}

static void
pass_what_is_handed_back(void)
{
	void_and_come_round();
	arm(&at_cas, shmring__state_word(&writer[1], 0), 1, commit_late);
	push_some(&writer[1], 2, 2);
	is_state(0, 2, SHMRING__S_LIVE, "it is not retained any more");
	pop_some(&reader[0], 1, 2);
	leave();
}

static void
doubt_and_be_late(void)
{
	doubt_writer(0);
	commit_late();
}

static void
doubt_what_was_void(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	arm(&at_cas, shmring__state_word(any, 0), 1, doubt_and_be_late);
	doubt_writer(0);
	is_state(0, 2, SHMRING__S_LIVE, "the turn is over");
	pop_some(&reader[0], 1, 1);
	leave();
}

/* A doubt that nobody finished; by the time, the slot is another's. */
static void
settle_what_is_settled(void)
{
	make(SLOTS);
	push_some(&writer[0], 1, 1);
	*shmring__state_word(any, 0) =
		shmring__make_state(1, SHMRING__S_VOIDING);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	arm(&at_cas, shmring__state_word(any, 0), 1, reuse_the_slot);
	settle(any, 0, 1);
	is_state(SLOTS, 4, SHMRING__S_WRITER, "the slot is the other's");
	shmring_abort(&writer[1]);
	leave();
}

static void
commit_what_is_settled(void)
{
	make(SLOTS);
	reserve(&writer[0], 1);
	*shmring__state_word(any, 0) =
		shmring__make_state(1, SHMRING__S_VOIDING);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	arm(&at_cas, shmring__state_word(&writer[0], 0), 1, reuse_the_slot);
	is_int(shmring_commit(&writer[0], 8), 0, "commit");
	is_state(SLOTS, 4, SHMRING__S_WRITER, "the slot is the other's");
	shmring_abort(&writer[1]);
	leave();
}

static void
doubt_anew(void)
{
	reserve(&writer[0], 1);
	doubt_writer(0);
}

static void
calm_down_too_late(void)
{
	make(SLOTS);
	shmring__change_attn(any, SHMRING__DOUBT, 0);
	arm(&at_cas, &any->notice->attn, 1, doubt_anew);
	stay_alert("a new doubt");
	shmring_abort(&writer[0]);
	leave();
}

static void
move_a_head_that_moved(void)
{
	make(SLOTS);
	reserve(&writer[0], SLOTS);
	doubt_writer(0);
	push_some(&writer[1], 1, SLOTS - 1);
	arm(&at_cas, writer[1].head, 1, hold_one);
	shmring__mpmc_impatient(&writer[1], SHMRING__WRITE);
	pop_some(&reader[0], 2, SLOTS - 1);
	is_int(shmring_release(&reader[1]), 0, "release");
	shmring_abort(&writer[0]);
	leave();
}

/* Message 1 is in a dead consumer's hands. */
static uint32_t
die_with_a_message(void)
{
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 1);
	shmring_peek(&reader[1], &size);
	die(&reader[1], SHMRING__READ);
	return number_of(&reader[1], SHMRING__READ);
}

static void
pop_the_orphan(void)
{
	is_marked(&reader[0], pop_number(&reader[0]), 1);
}

static void
adopt_what_is_adopted(void)
{
	shmring__recover_line(any, die_with_a_message());
	revive(&reader[1], SHMRING_CONSUMER);
	arm(&at_cas, shmring__state_word(&reader[1], 0), 1, pop_the_orphan);
	is_int(pop_number(&reader[1]), -EAGAIN, "adopted once");
	leave();
}

static void
bury_and_adopt(void)
{
	is_int(recover(&reader[1], SHMRING__READ), 1, "another buries it");
	pop_the_orphan();
}

static void
orphan_what_is_adopted(void)
{
	uint32_t i = die_with_a_message();

	arm(&at_cas, shmring__state_word(any, 0), 1, bury_and_adopt);
	is_int(shmring__recover_line(any, i), 0, "too late");
	revive(&reader[1], SHMRING_CONSUMER);
	is_int(pop_number(&reader[0]), -EAGAIN, "adopted once");
	leave();
}

static void
orphan_what_nobody_looks_for(void)
{
	uint32_t i = die_with_a_message();

	arm(&at_cas, shmring__state_word(any, 0), 1, pop_empty);
	is_int(shmring__recover_line(any, i), 1, "buried");
	revive(&reader[1], SHMRING_CONSUMER);
	pop_the_orphan();
	leave();
}

static void
leave_an_orphan(void)
{
	size_t size;

	push_some(&writer[0], 1, 1);
	shmring_peek(&reader[1], &size);
	revive(&reader[1], SHMRING_CONSUMER);
}

static void
miss_no_orphan(void)
{
	make(SLOTS);
	shmring__change_attn(any, SHMRING__ORPHAN, 0);
	arm(&at_cas, &any->notice->attn, 1, leave_an_orphan);
	pop_the_orphan();
	leave();
}

static void
come_back(void)
{
	ring_dup(&writer[0], any, SHMRING_PRODUCER);
}

static void
end_no_stream_with_a_producer(void)
{
	make(SLOTS);
	shmring_close(&writer[0]);
	arm(&at_cas, &writer[1].notice->attn, 1, come_back);
	shmring_close(&writer[1]);
	pop_empty();
	ring_dup(&writer[1], any, SHMRING_PRODUCER);
	leave();
}

static uint32_t grave;

static void
bury_and_take_over(void)
{
	is_int(shmring__recover_line(any, grave), 1, "another buries it");
	ring_dup(&writer[1], any, SHMRING_PRODUCER);
	is_int(number_of(&writer[1], SHMRING__WRITE), grave,
	       "and the line is taken over");
}

static void
open_and_die(void *ring)
{
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(ring), SHMRING_PRODUCER));
	_exit(0);
}

/* Before it is marked as dead, and before it is freed. */
static void
bury_what_is_taken_over(int marked)
{
	make(SLOTS);
	grave = number_of(&writer[1], SHMRING__WRITE);
	uint64_t *status = &any->lines[grave].status;

	shmring_close(&writer[1]);
	child_run(open_and_die, &reader[0]);
	if (marked)
		*status = shmring__status(*status, SHMRING_PRODUCER,
					  SHMRING__RECOV);
	arm(&at_cas, status, 1, bury_and_take_over);
	is_int(shmring__recover_line(any, grave), 0, "too late");
	is_int(shmring__state_of(*status), SHMRING__LIVE, "it lives");
	leave();
}

static void
look_at_the_intent(void)
{
	is_int(writer[0].line[SHMRING__WRITE]->intent[SHMRING__WRITE], 0,
	       "the intent stands before the claim");
}

static void
claim_after_saying_so(void)
{
	make(SLOTS);
	arm(&at_cas, writer[0].tail, 1, look_at_the_intent);
	push_some(&writer[0], 1, 1);
	leave();
}

/* ---- Loads: the owner that recovery looks for has moved on ---------------- */

/* As recovery reaches it. */
static const uint64_t *
intent_of(const struct shmring *ring, int side)
{
	return &any->lines[number_of(ring, side)].intent[side];
}

static void
release_and_pop(void)
{
	is_int(shmring_release(&reader[1]), 0, "release");
	pop_some(&reader[1], 2, 2);
}

static void
orphan_what_is_released(void)
{
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 2);
	shmring_peek(&reader[1], &size);
	reader[0].line[SHMRING__READ]->intent[SHMRING__READ] = 0;
	die(&reader[0], SHMRING__READ);
	arm(&at_load, intent_of(&reader[1], SHMRING__READ), 1, release_and_pop);
	is_int(recover(&reader[0], SHMRING__READ), 1, "it had nothing");
	is_int(pop_number(&reader[1]), -EAGAIN, "nothing comes twice");
	shmring__unmap(&reader[0]);
	ring_dup(&reader[0], &reader[1], SHMRING_CONSUMER);
	leave();
}

static struct shmring third;

static void
commit_and_be_followed(void)
{
	commit_late(); /* its message takes the position of the next turn */
	pop_some(&reader[0], 1, 1);
	push_some(&writer[0], 2, SLOTS);
	pop_some(&reader[0], 2, SLOTS);
	reserve(&third, 3);
	doubt_writer(2 * SLOTS);
}

static void
hand_back_what_is_anothers(void)
{
	void_and_come_round();
	shmring_close(&reader[1]);
	ring_dup(&third, any, SHMRING_PRODUCER);
	writer[1].line[SHMRING__WRITE]->intent[SHMRING__WRITE] = 0;
	die(&writer[1], SHMRING__WRITE);
	arm(&at_load, intent_of(&writer[0], SHMRING__WRITE), 1,
	    commit_and_be_followed);
	is_int(recover(&writer[1], SHMRING__WRITE), 1, "it had nothing");
	is_state(0, 6, SHMRING__S_WRITER, "the slot is the other's");
	shmring_abort(&third);
	shmring_close(&third);
	revive(&writer[1], SHMRING_PRODUCER);
	ring_dup(&reader[1], any, SHMRING_CONSUMER);
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
	*word &= ~SHMRING__NOTIFY;
	return cleared ? called : 0;
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
watch_data(void)
{
	any->notice->data |= SHMRING__WATCHES;
}

static void
wait_for_data(void)
{
	any->notice->data |= SHMRING__WAITS;
}

static void
wait_after_a_look(void)
{
	arm(&at_load, &writer[0].notice->data, 1, wait_for_data);
}

static void
wake_who_comes_meanwhile(void)
{
	make(SLOTS);
	uint32_t *data = &any->notice->data;

	*data = SHMRING__WAITS;
	arm(&at_cas, data, 1, watch_data);
	shmring__wake(any, data, 0);
	is_int(called, INT_MAX, "wake who began to watch");

	uint32_t expected = *data |= SHMRING__WAITS;
	shmring__wake(any, data, 0);
	*data |= SHMRING__WAITS;
	ok(*data != expected, "who was woken does not sleep with the next");

	*data = SHMRING__SLEEPY;
	arm(&at_load, &writer[0].notice->data, 1, wait_after_a_look);
	push_one();
	ok(!(*data & SHMRING__WAITS), "sleepy ones are looked at twice");
	leave();
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

static void
push_two(void)
{
	push_some(&writer[0], 1, 2);
	any->notice->data |= SHMRING__WAITS;
}

static int called_next;

/* Who is woken may be faster than who wakes. */
static void
wake_the_next_at_once(void)
{
	called = 0;
	shmring__wake(&reader[1], &reader[1].notice->data, 0);
	called_next = called;
}

/* Whoever is about to sleep adds nothing to a word that tells of it already:
 * what stands there must not be taken for another's. */
static void
tell_of_the_rest(void)
{
	make(SLOTS);
	uint32_t *data = &any->notice->data;

	sleepers = 1;
	*data = SHMRING__WAITS | SHMRING__MORE;
	arm(&at_wake, NULL, 1, wake_the_next_at_once);
	push_one();
	is_int(called_next, 1, "who is woken finds that others may sleep");
	ok(*data & SHMRING__MORE, "so does whoever comes next");
	sleepers = 0;
	*data |= SHMRING__WAITS;
	arm(&at_wake, NULL, 1, wait_for_data);
	push_one();
	ok(*data & SHMRING__WAITS, "nobody heard it, but one came meanwhile");
	arm(&at_wake, NULL, 1, wake_the_next_at_once);
	push_one();
	ok(!(*data & SHMRING__CALLS), "nobody heard it, and nobody came");
	called = 0;
	push_one();
	is_int(called, 0, "then none is called");
	leave();
}

/* Of several who sleep one is woken: it has to wake the next. */
static void
pass_on_the_wake(void)
{
	int64_t number;

	make(SLOTS);
	uint32_t *data = &any->notice->data;

	*data = SHMRING__WAITS | SHMRING__MORE;
	sleepers = 1;
	push_one();
	sleepers = 0;
	ok(*data & SHMRING__MORE, "there may be more of them");
	pop_one();
	shmring_set_spin(&reader[0], 0);
	arm(&at_sleep, NULL, 1, push_two);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	ok(!(*data & SHMRING__CALLS), "the next for what is left");
	leave();
}

static int sleeps, short_sleeps;

/* Of a message that another has not committed yet: it does when asleep. */
static void
pop_behind_a_claim(void (*asleep)(void))
{
	int64_t number;

	reserve(&writer[0], 1);
	shmring_set_spin(&reader[0], 0);
	sleeps = 0;
	arm(&at_sleep, NULL, 1, asleep);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
}

static void
sleep_shortly(void)
{
	short_sleeps += sleep_until - clock_ns <= SHMRING_PATIENCE_NS;
	if (++sleeps == 3)
		is_int(shmring_commit(&writer[0], 8), 0, "commit");
	else
		arm(&at_sleep, NULL, 1, sleep_shortly);
}

static void
wait_for_who_may_be_stopped(void)
{
	make(SLOTS);
	pop_behind_a_claim(sleep_shortly);
	ok(short_sleeps >= 2, "no sleep longer than patience before");
	leave();
}

/* Patience ends behind the look, before the sleep. */
static int looks;

static void
lose_it_before_the_sleep(void)
{
	if (sleeps == 1 && ++looks == 2) /* announced, then about to sleep */
		clock_ns += SHMRING_PATIENCE_NS;
	else
		arm(&at_load, &reader[0].wait.interrupts, 1,
		    lose_it_before_the_sleep);
}

static void
sleep_once_more(void)
{
	if (++sleeps == 2) {
		ok(sleep_until <= clock_ns, "it does not sleep");
		is_int(shmring_commit(&writer[0], 8), 0, "commit");
		return;
	}
	clock_ns = sleep_until; /* no wake-up can be missed from now on */
	arm(&at_sleep, NULL, 1, sleep_once_more);
}

static void
lose_patience_before_the_sleep(void)
{
	int64_t start = clock_ns;

	make(SLOTS);
	looks = 0;
	arm(&at_load, &reader[0].wait.interrupts, 1, lose_it_before_the_sleep);
	pop_behind_a_claim(sleep_once_more);
	leave();
	clock_ns = start;
}

/* Nothing is decided where the kernel refuses: then slices, not a spin. */
static int none_at_all;

static void
sleep_in_vain(void)
{
	none_at_all += sleep_until <= clock_ns;
	clock_ns = sleep_until > clock_ns ? sleep_until : clock_ns;
	if (++sleeps == 8)
		is_int(shmring_commit(&writer[0], 8), 0, "commit");
	else
		arm(&at_sleep, NULL, 1, sleep_in_vain);
}

static void
doubt_in_vain(void)
{
	int64_t start = clock_ns;

	make(SLOTS);
	none_at_all = 0;
	heavy_fails = 1;
	pop_behind_a_claim(sleep_in_vain);
	heavy_fails = 0;
	is_int(none_at_all, 0, "each sleep is one");
	leave();
	clock_ns = start;
}

/* Who flushes has no patience to lose with whom an earlier push has met. */
static void
sleep_at_all(void)
{
	none_at_all += sleep_until <= clock_ns;
	pop_one();
}

static void
flush_behind_a_claim(void)
{
	struct shmring__idle *idle = &writer[0].wait.idle[SHMRING__WRITE];
	int64_t start = clock_ns;

	make(SLOTS);
	push_some(&writer[0], 1, 1);
	shmring_set_spin(&writer[0], 0);
	idle->claimed = 1;
	idle->since = clock_ns;
	clock_ns += SHMRING_PATIENCE_NS * 64;
	none_at_all = 0;
	arm(&at_sleep, NULL, 1, sleep_at_all);
	is_int(shmring_flush(&writer[0], -1), 0, "flush");
	is_int(none_at_all, 0, "has slept");
	leave();
	clock_ns = start;
}

/* Three are in the way, one behind the other, two of them stopped. */
static void
sleep_on(void)
{
	clock_ns = sleep_until;
	if (++sleeps < 16)
		arm(&at_sleep, NULL, 1, sleep_on);
}

static void
wait_for_several_who_are_stopped(void)
{
	int64_t number = 0, start = clock_ns;

	make(SLOTS);
	shmring_close(&reader[1]);
	ring_dup(&third, any, SHMRING_PRODUCER);
	reserve(&writer[0], 1);
	reserve(&writer[1], 2);
	push_some(&third, 3, 3);
	shmring_set_spin(&reader[0], 0);
	sleeps = 0;
	arm(&at_sleep, NULL, 1, sleep_on);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	is_int(number, 3, "past two who are stopped");
	at_sleep.step = NULL;
	ok(clock_ns - start <= 3 * SHMRING_PATIENCE_NS,
	   "patience is for each of them");
	shmring_abort(&writer[0]);
	shmring_abort(&writer[1]);
	shmring_close(&third);
	ring_dup(&reader[1], any, SHMRING_CONSUMER);
	leave();
	clock_ns = start;
}

static uint32_t told; /* what the word said while we slept */

static void
push_to_another(void)
{
	told = any->notice->data;
	push_one();
}

static void
announce_meanwhile(void)
{
	any->notice->data |= SHMRING__WAITS;
}

/* Who comes between the waker's compare-and-swap and its system call may be
 * called in the place of who waited before, of whom the word has to tell. */
static void
tell_of_who_is_not_called(void)
{
	make(SLOTS);
	uint32_t *data = &any->notice->data;

	*data = SHMRING__WAITS;
	sleepers = 1;
	arm(&at_wake, NULL, 1, announce_meanwhile);
	push_one();
	sleepers = 0;
	ok(*data & SHMRING__MORE, "others may sleep still");
	*data &= ~SHMRING__CALLS;
	leave();
}

static void
let_time_pass(void)
{
	clock_ns = sleep_until;
}

/* Who sleeps alone is called alone, who finds another tells of both. */
static void
tell_of_one_or_more(void)
{
	int64_t number;

	make(SLOTS);
	uint32_t *data = &any->notice->data;

	shmring_set_spin(&reader[0], 0);
	arm(&at_sleep, NULL, 1, push_to_another);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	is_int(told & SHMRING__CALLS, SHMRING__WAITS, "one waits");
	ok(!(*data & SHMRING__CALLS), "and is called");
	*data |= SHMRING__WAITS;
	arm(&at_sleep, NULL, 1, push_to_another);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	is_int(told & SHMRING__CALLS, SHMRING__WAITS | SHMRING__MORE,
	       "more than one wait");
	*data &= ~SHMRING__CALLS;
	arm(&at_sleep, NULL, 1, let_time_pass);
	is_int(shmring_pop_wait(&reader[0], &number, 8, 1), -ETIMEDOUT,
	       "nothing comes");
	ok(!(*data & SHMRING__CALLS), "who gives up takes its call back");
	leave();
}

static int64_t naps[32];

/* All of them time out but the long one, which a slot ends. */
static void
nap_until_it_is_long(void)
{
	naps[sleeps] = sleep_until - clock_ns;
	if (naps[sleeps++] < SHMRING_SLICE_NS / 2 && sleeps < 32) {
		clock_ns = sleep_until;
		arm(&at_sleep, NULL, 1, nap_until_it_is_long);
		return;
	}
	ok(any->notice->space & SHMRING__PROMPT, "the next slot is asked for");
	called = 0;
	pop_one();
	is_int(called, 1, "and told of");
	ok(!(any->notice->space & SHMRING__CALLS), "once");
	any->notice->space |= SHMRING__WAITS;
}

/* A ring in which the next few slots are no eighth. */
static void
make_full(void)
{
	make(8 * SLOTS);
	push_one();
	pop_one();
	while (push_number(&writer[0], 1) == 0)
		;
	shmring_set_spin(&writer[0], 0);
	sleeps = 0;
}

static void
close_all(void)
{
	for (int i = 0; i < SIDES; i++) {
		shmring_close(&writer[i]);
		shmring_close(&reader[i]);
	}
}

/* Producers who sleep on a full ring, whenever one is asked. */
static int
wakes_in_overload(struct shmring *from, struct shmring *to, uint64_t messages)
{
	uint32_t *space = &from->notice->space;
	int woken = 0, wrong = 0;

	while (push_number(to, 1) == 0)
		;
	for (uint64_t i = 0; i < messages; i++) {
		*space |= SHMRING__WAITS;
		called = 0;
		wrong += pop_number(from) < 0;
		woken += called != 0;
		push_number(to, 1);
	}
	is_int(wrong, 0, "%" PRIu64 " messages", messages);
	*space &= ~SHMRING__NOTIFY;
	while (pop_number(from) >= 0)
		;
	return woken;
}

static void
wake_an_eighth_at_a_time(void)
{
	struct shmring ring;

	make(8 * SLOTS);
	is_int(wakes_in_overload(&reader[0], &writer[0], 3 * 8 * SLOTS), 3 * 8,
	       "MPMC: eight wake-ups a lap, not one a message");
	close_all();
	ring_make(&ring, SHMRING_SPSC, 1024, 8);
	uint64_t lap = ring.geometry.capacity / 16; /* of messages */
	is_int(wakes_in_overload(&ring, &ring, 3 * lap), 3 * 8,
	       "SPSC: the same");
	shmring_close(&ring);
}

static void
ask_for_the_next_slot(void)
{
	int64_t start = clock_ns;

	make_full();
	arm(&at_sleep, NULL, 1, nap_until_it_is_long);
	is_int(shmring_push_wait(&writer[0], "", 1, -1), 0, "room");
	is_int(sleeps, 19, "for who sleeps");
	is_int(naps[0], SHMRING__FIRST_SLEEP_NS, "shortly");
	is_int(naps[1], SHMRING__NAP_NS, "a nap");
	is_int(naps[16], SHMRING__NAP_NS, "and others, as it may move");
	is_int(naps[17], SHMRING__FIRST_SLEEP_NS, "shortly since it asks");
	ok(naps[18] > SHMRING_SLICE_NS / 2, "at last long");
	is_int(called, 1, "who leaves calls another, though it took all");
	ok(!(any->notice->space & SHMRING__CALLS), "who is in charge now");
	close_all();
	clock_ns = start;
}

static struct shmring *slow; /* who takes one, and does something else then */

static void
free_one_in_the_third_nap(void)
{
	naps[sleeps] = sleep_until - clock_ns;
	if (++sleeps == 3)
		is_int(pop_number(slow), 1, "one is taken, nobody is told");
	clock_ns = sleep_until;
	if (sleeps < 8)
		arm(&at_sleep, NULL, 1, free_one_in_the_third_nap);
}

static void
find_a_slot_that_came_free(void)
{
	int64_t start = clock_ns;
	struct shmring ring;

	ring_make(&ring, SHMRING_SPSC, 1024, 8);
	while (push_number(&ring, 1) == 0)
		;
	shmring_set_spin(&ring, 0);
	sleeps = 0;
	slow = &ring;
	arm(&at_sleep, NULL, 1, free_one_in_the_third_nap);
	is_int(shmring_push_wait(&ring, "", 1, -1), 0, "SPSC: room");
	is_int(sleeps, 3, "is found by who slept when it came");
	ok(naps[2] <= 2000000, "within two milliseconds");
	arm(&at_sleep, NULL, 0, NULL);
	shmring_close(&ring);
	clock_ns = start;
}

static int more; /* come free at last, than for us */

/* For longer than a head may stand, others take what comes free. */
static void
nap_while_others_push(void)
{
	naps[sleeps] = sleep_until - clock_ns;
	pop_one();
	if (++sleeps == 24) {
		for (int i = 0; i < more; i++)
			pop_one();
		any->notice->space |= SHMRING__WAITS | SHMRING__MORE;
		called = 0;
		return;
	}
	is_int(push_number(&writer[1], 1), 0, "another is faster");
	clock_ns = sleep_until;
	arm(&at_sleep, NULL, 1, nap_while_others_push);
}

static void
nap_beside_the_others(int room_for)
{
	int64_t start = clock_ns;
	more = room_for - 1;

	make_full();
	arm(&at_sleep, NULL, 1, nap_while_others_push);
	is_int(shmring_push_wait(&writer[0], "", 1, -1), 0, "room");
	is_int(sleeps, 24, "at last");
	is_int(naps[0], SHMRING__FIRST_SLEEP_NS, "shortly");
	is_int(naps[1], SHMRING__NAP_NS, "a nap");
	is_int(naps[23], SHMRING__NAP_NS, "and many more");
	ok(!(any->notice->space & SHMRING__PROMPT), "what moves is not asked");
	is_int(called, more, "who leaves calls another if there is more");
	close_all();
	clock_ns = start;
}

/* Words before we announce ourselves anew, and whether we may sleep long. */
static int
may_sleep_long(struct shmring__waiter *w, uint32_t before, int64_t now)
{
	uint32_t after = before | w->bits | SHMRING__SLEEPY;
	int may = shmring__may_sleep_long(w, before, after, now);

	w->expected = after;
	return may;
}

static void
sleep_long_when_heard(void)
{
	uint32_t waits = SHMRING__WAITS | SHMRING__SLEEPY;
	uint32_t prompt = waits | SHMRING__PROMPT;
	uint32_t woken = SHMRING__GENERATION, epoch = SHMRING__EPOCH;
	int64_t t = clock_ns, first = SHMRING__FIRST_SLEEP_NS;

	make(SLOTS);
	struct shmring__waiter w = shmring__wait_for(&writer[0], SHMRING__WRITE,
						     SHMRING__WAITS, -1);
	is_int(may_sleep_long(&w, 0, t), 0, "not at first");
	w.sleeps = 1;
	is_int(may_sleep_long(&w, waits, t + first - 1), 0, "nor soon");
	is_int(may_sleep_long(&w, waits, t + first), 1, "after a while");
	is_int(may_sleep_long(&w, SHMRING__SLEEPY, t + first), 1,
	       "also after a wake-up, if the word said so meanwhile");
	is_int(may_sleep_long(&w, waits + epoch, t + 2 * first), 1,
	       "a call that stood is enough");
	w.expected = 0;
	is_int(may_sleep_long(&w, SHMRING__SLEEPY + 2 * epoch, t + 2 * first),
	       0, "if it did not, not: it was taken away and has come back");
	is_int(may_sleep_long(&w, waits + 2 * epoch + woken, t + 3 * first - 1),
	       0, "our call was another's meanwhile");
	w.bits |= SHMRING__PROMPT;
	is_int(may_sleep_long(&w, waits + 2 * epoch + woken, t + 9 * first), 0,
	       "nor is a slot told of before it is asked for");
	is_int(may_sleep_long(&w, prompt + 2 * epoch + 2 * woken,
			      t + 10 * first),
	       0, "for as long");
	is_int(may_sleep_long(&w, prompt + 2 * epoch + 2 * woken,
			      t + 11 * first),
	       1, "as it has to stand");
	leave();
}

/* Nobody sleeps any more at every turn: pushes pay no fence for it. */
static void
forget_the_sleepy(void)
{
	int wrong = 0;

	make(SLOTS);
	uint32_t *data = &any->notice->data;

	*data = SHMRING__SLEEPY;
	for (int i = 0; i < SHMRING__AWAKE; i++)
		wrong += push_number(&writer[0], 1) != 0 ||
			 pop_number(&reader[0]) != 1;
	is_int(wrong, 0, "many are pushed, nobody is called");
	is_int(*data, SHMRING__EPOCH, "it is not looked for them any more");
	leave();
}

static void
wake_all_at_the_end(void)
{
	make(SLOTS);
	struct shmring__notice *notice = writer[0].notice;

	notice->data = notice->space = SHMRING__WAITS;
	shmring_close(&reader[0]);
	ok(notice->space & SHMRING__WAITS, "one consumer is left");
	shmring_close(&reader[1]);
	ok(!(notice->space & SHMRING__WAITS), "the last one's end wakes");
	ok(!(notice->data & SHMRING__WAITS), "on both sides");
	ok(notice->attn & SHMRING__NO_CONSUMER, "and is known");
	for (int i = 0; i < SIDES; i++)
		ring_dup(&reader[i], &writer[0], SHMRING_CONSUMER);
	ok(!(notice->attn & SHMRING__NO_CONSUMER), "until one comes");
	shmring_close(&writer[1]);
	notice = any->notice;
	shmring_close(&writer[0]);
	ok(notice->attn & SHMRING__NO_PRODUCER, "so is a producer's");
	for (int i = 0; i < SIDES; i++)
		ring_dup(&writer[i], any, SHMRING_PRODUCER);
	leave();
}

static void
sleep_and_note(void)
{
	int is_short = sleep_until - clock_ns == SHMRING__FIRST_SLEEP_NS;

	short_sleeps = short_sleeps * 2 + is_short;
	/* the first one was woken, and a stream has begun */
	if (++sleeps == 1)
		any->notice->data = 0;
	else if (is_short)
		clock_ns = sleep_until;
	if (sleeps == 3)
		push_one();
	else
		arm(&at_sleep, NULL, 1, sleep_and_note);
}

/* A wake-up may be missed in a sleep before which the word did not tell of a
 * waiter already: that is a short one. */
static void
sleep_shortly_once(void)
{
	int64_t number;

	make(SLOTS);
	shmring_set_spin(&reader[0], 0);
	sleeps = short_sleeps = 0;
	arm(&at_sleep, NULL, 1, sleep_and_note);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	is_int(short_sleeps, 6, "short as long as a wake-up may be missed");
	sleeps = 2;
	arm(&at_sleep, NULL, 1, sleep_and_note);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	is_int(short_sleeps, 12, "not any more");
	leave();
}

/* After so many messages, is the first sleep a short one? */
static int
is_short_after(int messages)
{
	int64_t number;
	int wrong = 0;

	for (int i = 0; i < messages; i++)
		wrong += push_number(&writer[0], 1) != 0 ||
			 pop_number(&reader[0]) != 1;
	is_int(wrong, 0, "%d messages", messages);
	sleeps = 2;
	short_sleeps = 0;
	arm(&at_sleep, NULL, 1, sleep_and_note);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), 8, "it comes");
	return short_sleeps;
}

/* Their pushes shall not fence for who sleeps so seldom. */
static void
sleep_shortly_after_a_stream(void)
{
	make(SLOTS);
	shmring_set_spin(&reader[0], 0);
	is_short_after(0);
	/* the one that came last counts, too */
	is_int(is_short_after(SHMRING__LONG_STREAM - 2), 0, "a few: not");
	is_int(is_short_after(SHMRING__LONG_STREAM - 1), 1, "a stream: short");
	ok(!(any->notice->data & SHMRING__SLEEPY), "pushes do not fence");
	leave();
}

/* Lines are fetched only by a writer who fills one in less time than it takes
 * to come. */
static void
fetch_at_a_pace(void)
{
	const int64_t laps[] = { 0, 100, 101, 100 }; /* ns a line */
	const int fetches[] = { 1, 1, 0, 1 };
	int64_t before = clock_ns;
	struct shmring ring;

	ring_make(&ring, SHMRING_SPSC, 1024, 56);
	for (int lap = 0; lap < 4; lap++) {
		uint64_t credit = ring.spsc.credit;
		for (int i = 0; ring.spsc.credit == credit && i < 2048; i++) {
			char message[56] = { 0 };
			shmring_push(&ring, message, sizeof(message));
			shmring_pop(&ring, message, sizeof(message));
			clock_ns += laps[lap];
		}
		is_int(shmring__distance(ring.spsc.fetches, *ring.tail) > 4096,
		       fetches[lap], "after a line each %d ns", (int)laps[lap]);
	}
	shmring_close(&ring);
	clock_ns = before;
}

static void
sleep_while_all_die(void)
{
	clock_ns += SHMRING_SLICE_NS;
	if (++sleeps == 2) {
		die(&writer[0], SHMRING__WRITE);
		die(&writer[1], SHMRING__WRITE);
	}
	if (sleeps < 8)
		arm(&at_sleep, NULL, 1, sleep_while_all_die);
}

static void
learn_of_a_death_after_each_sleep(void)
{
	int64_t number;

	make(SLOTS);
	sleeps = 0;
	shmring_set_spin(&reader[0], 0);
	arm(&at_sleep, NULL, 1, sleep_while_all_die);
	is_int(shmring_pop_wait(&reader[0], &number, 8, -1), -EPIPE, "the end");
	is_int(sleeps, 2, "is known after the sleep in which it came");
	at_sleep.step = NULL;
	revive(&writer[0], SHMRING_PRODUCER);
	revive(&writer[1], SHMRING_PRODUCER);
	leave();
}

/* ---- Proof of death ------------------------------------------------------- */

/* The kernel has dropped its locks, but it may have mapped the ring again. */
static void
open_and_exec(void *ring)
{
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(ring), SHMRING_PRODUCER));
	execlp("sleep", "sleep", "60", (char *)NULL);
	_exit(1);
}

static void
believe_only_both_proofs(void)
{
	make(SLOTS);
	uint32_t i = number_of(&writer[1], SHMRING__WRITE);
	int64_t hung = shmring__now() + GENEROUS;
	uint64_t *status = &any->lines[i].status;

	shmring_close(&writer[1]);
	pid_t child = child_start(open_and_exec, &reader[0]);
	while ((shmring__state_of(__atomic_load_n(status, __ATOMIC_ACQUIRE)) !=
			SHMRING__LIVE ||
		shmring__locked(any->map.fd, i)) &&
	       shmring__now() < hung)
		usleep(100);
	ok(!shmring__locked(any->map.fd, i), "its lock is gone");
	is_int(shmring__dead(any, i), 0, "but its process lives");
	child_kill(child);
	is_int(shmring__dead(any, i), 1, "now it is dead");
	is_int(shmring__recover_line(any, i), 1, "and buried");
	ring_dup(&writer[1], any, SHMRING_PRODUCER);
	leave();
}

/* Our descriptor is another file's by the time. */
static void
believe_no_other_file(void)
{
	make(SLOTS);
	uint32_t i = number_of(&writer[1], SHMRING__WRITE);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int saved = dup(any->map.fd);

	any->lines[i].pid_namespace ^= 1; /* so that only the lock counts */
	is_int(shmring__dead(any, i), 0, "its lock tells that it lives");
	dup2(null, any->map.fd);
	is_int(shmring__dead(any, i), 0, "without that nothing is proven");
	dup2(saved, any->map.fd);
	any->lines[i].pid_namespace ^= 1;
	close(saved);
	close(null);
	leave();
}

/* ---- Distrust ------------------------------------------------------------- */

static void
refuse_a_length(void)
{
	size_t size;

	make(SLOTS);
	push_some(&writer[0], 1, 1);
	*shmring__phase_word(any, 0) += 1; /* longer than any */
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

/* ---- SPSC: who takes over what another left ------------------------------- */

static void
take_over_a_full_ring(void)
{
	struct shmring ring;
	int64_t count = 0;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	while (push_number(&ring, (uint64_t)count) == 0)
		count++;
	ring_reopen(&ring);
	is_int(push_number(&ring, 0), -EAGAIN, "it is still full");
	pop_some(&ring, 0, count - 1);
	shmring_close(&ring);
}

/* The writer waits for more than the reader tells of by the way. */
static void
tell_of_all_space_when_empty(void)
{
	struct shmring ring;
	uint64_t numbers[2];
	struct iovec batch[2] = { { &numbers[0], 8 }, { &numbers[1], 8 } };

	ring_make(&ring, SHMRING_SPSC, 1, 4000);
	push_some(&ring, 0, 5);
	ring.notice->space |= SHMRING__WAITS;
	pop_some(&ring, 0, 5);
	is_int(pop_number(&ring), -EAGAIN, "empty");
	ok(!(ring.notice->space & SHMRING__WAITS), "the writer is woken");
	is_int(*ring.spsc.taken, *ring.head, "and told of all the space");
	push_some(&ring, 0, 1);
	ring.notice->space |= SHMRING__WATCHES;
	pop_some(&ring, 0, 0);
	ok(!(ring.notice->space & SHMRING__WATCHES), "who watches each time");
	push_some(&ring, 0, 2);
	ring.notice->space |= SHMRING__WATCHES;
	is_int(shmring_pop_n(&ring, batch, 2), 2, "a batch");
	ok(!(ring.notice->space & SHMRING__WATCHES), "each batch");
	shmring_close(&ring);
}

static void
look_for_a_part(void)
{
	pop_empty();
	is_int(*any->tail, 0, "nor does tail tell of a part");
}

/* The room for the first is known, for the next the writer has to look. */
static void
send_a_batch_at_once(void)
{
	uint64_t numbers[] = { 0, 1, 2 };
	struct iovec batch[3];

	ring_make(&reader[0], SHMRING_SPSC, 64, 8);
	for (int i = 0; i < 3; i++)
		batch[i] = (struct iovec){ &numbers[i], 8 };
	reader[0].spsc.credit = 16 + 8;
	arm(&at_load, any->spsc.taken, 1, look_for_a_part);
	is_int(shmring_push_n(&reader[0], batch, 3), 3, "a batch");
	ok(!at_load.step, "somebody looked meanwhile");
	pop_some(&reader[0], 0, 2);
	shmring_close(&reader[0]);
}

/* Not long enough to reach beyond what is published. */
static void
refuse_a_record(unsigned roles)
{
	struct shmring ring, successor;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	for (uint64_t i = 0; i < 8; i++)
		push_number(&ring, i);
	*ring.tail = 0;
	*shmring__header_at(&ring, 0) = 1 + 9;
	int fd = dup(shmring_fd(&ring));
	shmring_close(&ring);
	is_int(shmring_open_fd(&successor, fd, roles), -EBADMSG,
	       "no record of more than slot_size");
	close(fd);
}

int
main(void)
{
	tap_start();
	open_a_slot_handed_back(1);
	open_a_slot_handed_back(2);
	claim_what_others_claimed();
	pass_what_others_passed(1);
	pass_what_others_passed(2);
	claim_a_slot_that_is_void(1);
	claim_a_slot_that_is_void(2);
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
	lose_patience();
	be_patient_with_a_claim();
	be_patient_with_a_reader();
	count_what_is_void();
	take_turns_to_look();
	calm_down_at_last();
	bury_who_lost_a_race();
	bury_who_read_less();
	bury_in_an_old_grave();
	bury_the_late();
	adopt_orphans();
	end_when_all_hands_are_empty();
	help_what_is_helped();
	hand_back_what_is_used();
	hand_back_what_is_passed();
	pass_what_is_handed_back();
	doubt_what_was_void();
	settle_what_is_settled();
	commit_what_is_settled();
	calm_down_too_late();
	move_a_head_that_moved();
	adopt_what_is_adopted();
	orphan_what_is_adopted();
	orphan_what_nobody_looks_for();
	miss_no_orphan();
	end_no_stream_with_a_producer();
	bury_what_is_taken_over(0);
	bury_what_is_taken_over(1);
	claim_after_saying_so();
	orphan_what_is_released();
	hand_back_what_is_anothers();
	wake_whom_it_concerns();
	wake_who_comes_meanwhile();
	tell_of_the_rest();
	pass_on_the_wake();
	wait_for_who_may_be_stopped();
	lose_patience_before_the_sleep();
	doubt_in_vain();
	flush_behind_a_claim();
	wait_for_several_who_are_stopped();
	tell_of_one_or_more();
	tell_of_who_is_not_called();
	wake_an_eighth_at_a_time();
	find_a_slot_that_came_free();
	ask_for_the_next_slot();
	nap_beside_the_others(1);
	nap_beside_the_others(2);
	sleep_long_when_heard();
	forget_the_sleepy();
	sleep_shortly_once();
	sleep_shortly_after_a_stream();
	fetch_at_a_pace();
	wake_all_at_the_end();
	learn_of_a_death_after_each_sleep();
	believe_only_both_proofs();
	believe_no_other_file();
	refuse_a_length();
	refuse_a_retired_ring();
	take_over_a_full_ring();
	tell_of_all_space_when_empty();
	send_a_batch_at_once();
	refuse_a_record(SHMRING_PRODUCER);
	refuse_a_record(SHMRING_CONSUMER);
	return tap_done();
}
