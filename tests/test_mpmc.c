/* SPDX-License-Identifier: MIT
 *
 * Description: the MPMC engine in one thread with several handles: order,
 * owners that stop in the middle, those who only wait until something is ready
 * beside them, positions near 2^32 and the last turns.
 */
#define SHMRING_PATIENCE_NS 20000 /* nobody else is here to be disturbed */
#include "ring.h"
#include "shmring_poll.h"

#define SLOTS 8
#define HANDLES 4

/* Two writers and two readers, as if so many messages had gone through. */
struct room {
	struct shmring writer[2], reader[2];
};

static void
room_enter(struct room *room, uint64_t position)
{
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = SLOTS,
					 .slot_size = 200,
					 .participants = HANDLES,
					 .roles = SHMRING_PRODUCER };

	if (shmring_create_memfd(&room->writer[0], &config))
		bail("cannot create a ring");
	ring_seed(&room->writer[0], position);
	ring_dup(&room->writer[1], &room->writer[0], SHMRING_PRODUCER);
	ring_dup(&room->reader[0], &room->writer[0], SHMRING_CONSUMER);
	ring_dup(&room->reader[1], &room->writer[0], SHMRING_CONSUMER);
}

/* Wait for the number that comes next; without the wait nobody doubts. */
static int64_t
await_number(struct shmring *reader)
{
	int64_t number = 0;
	ssize_t got = shmring_pop_wait(reader, &number, 8, GENEROUS);

	return got < 0 ? got : number;
}

/* Nothing may be lost for good: all slots can be filled and read. */
static void
room_leave(struct room *room)
{
	int wrong = 0;

	for (int i = 0; i < SLOTS; i++) {
		uint64_t number = (uint64_t)i;

		wrong += shmring_push_wait(&room->writer[i % 2], &number, 8,
					   GENEROUS) != 0;
	}
	wrong += push_number(&room->writer[0], 0) != -EAGAIN;
	for (int i = 0; i < SLOTS; i++)
		wrong += await_number(&room->reader[i % 2]) != i;
	wrong += pop_number(&room->reader[0]) != -EAGAIN;
	is_int(wrong, 0, "then all slots serve again");
	for (int i = 0; i < 2; i++) {
		shmring_close(&room->writer[i]);
		shmring_close(&room->reader[i]);
	}
}

static void *
reserve_number(struct shmring *writer, uint64_t number)
{
	void *place = shmring_reserve(writer, 8);

	if (place)
		memcpy(place, &number, 8);
	return place;
}

static void
stay_first_in_first_out(struct room *room)
{
	int64_t in = 0, out = 0;
	int wrong = 0;

	for (int i = 0; i < 10000; i++) {
		struct shmring *any =
			tap_random() % 2 ? room->writer : room->reader;

		any += tap_random() % 2;
		if (any->self.roles == SHMRING_PRODUCER) {
			int full = in - out == SLOTS;

			wrong += push_number(any, (uint64_t)in) !=
				 (full ? -EAGAIN : 0);
			in += !full;
		} else {
			int empty = in == out;

			wrong += pop_number(any) != (empty ? -EAGAIN : out);
			out += !empty;
		}
		wrong += shmring_length(any) != (uint64_t)(in - out);
	}
	while (out < in)
		wrong += pop_number(room->reader) != out++;
	is_int(wrong, 0, "one order for all handles");
}

/* A reservation keeps its place as long as nobody runs out of patience. */
static void
commit_in_any_order(struct room *room)
{
	reserve_number(&room->writer[0], 1);
	reserve_number(&room->writer[1], 2);
	is_int(shmring_commit(&room->writer[1], 8), 0, "the second first");
	is_int(pop_number(&room->reader[0]), -EAGAIN, "cannot be read yet");
	is_int(shmring_commit(&room->writer[0], 8), 0, "then the first");
	is_int(pop_number(&room->reader[0]), 1, "they come in order");
	is_int(pop_number(&room->reader[1]), 2, "of their reservations");
}

/* Several laps past whatever is stuck. */
static void
pass_by(struct room *room)
{
	int wrong = 0;

	for (uint64_t i = 100; i < 100 + 3 * SLOTS; i++) {
		wrong += shmring_push_wait(&room->writer[1], &i, 8, GENEROUS);
		wrong += await_number(&room->reader[1]) != (int64_t)i;
	}
	is_int(wrong, 0, "others pass, lap after lap");
}

static void
stop_writing(struct room *room)
{
	reserve_number(&room->writer[0], 1);
	pass_by(room);
	is_int(shmring_commit(&room->writer[0], 8), 0, "a late commit");
	is_int(await_number(&room->reader[0]), 1, "is delivered");
	is_int(pop_number(&room->reader[0]), -EAGAIN, "once");

	reserve_number(&room->writer[0], 1);
	pass_by(room);
	shmring_abort(&room->writer[0]);
	is_int(pop_number(&room->reader[0]), -EAGAIN, "a late abort is none");
}

static void
stop_reading(struct room *room)
{
	size_t size = 0;
	const uint64_t *seen;

	push_number(&room->writer[0], 1);
	seen = shmring_peek(&room->reader[0], &size);
	pass_by(room);
	ok(seen && size == 8 && *seen == 1, "what is peeked at stays");
	is_int(shmring_release(&room->reader[0]), 0, "a late release");
	is_int(pop_number(&room->reader[0]), -EAGAIN, "and it is gone");
}

/* Both at once, and as many more as there are handles. */
static void
stop_everywhere(struct room *room)
{
	size_t size = 0;
	const uint64_t *seen;
	int64_t first, second;

	push_number(&room->writer[0], 1);
	seen = shmring_peek(&room->reader[0], &size);
	reserve_number(&room->writer[0], 2);
	pass_by(room);
	ok(seen && *seen == 1, "what is peeked at stays");
	reserve_number(&room->writer[1], 3);
	is_int(shmring_commit(&room->writer[0], 8), 0, "one late commit");
	is_int(shmring_commit(&room->writer[1], 8), 0, "another");
	shmring_release(&room->reader[0]);
	first = await_number(&room->reader[0]);
	second = await_number(&room->reader[1]);
	ok((first == 2 && second == 3) || (first == 3 && second == 2),
	   "both are delivered");
	is_int(pop_number(&room->reader[0]), -EAGAIN, "once");
}

/* Too late, and no other place: the message stays with its writer. */
static void
commit_to_a_full_ring(struct room *room, int give_up)
{
	uint64_t number = 100;

	reserve_number(&room->writer[0], 7);
	push_number(&room->writer[1], 8);
	is_int(await_number(&room->reader[0]), 8, "the reservation is void");
	while (push_number(&room->writer[1], number) == 0)
		number++;
	is_int(shmring_commit(&room->writer[0], 8), -EAGAIN, "no other place");
	is_int(shmring_commit(&room->writer[0], 9), -EMSGSIZE, "nor growth");
	is_int(push_number(&room->writer[0], 1), -EBUSY, "it comes first");
	ok(!shmring_reserve(&room->writer[0], 1) &&
		   shmring_error(&room->writer[0]) == -EBUSY,
	   "before anything else");
	if (give_up)
		shmring_abort(&room->writer[0]);
	is_int(await_number(&room->reader[0]), 100, "one out");
	if (!give_up)
		is_int(shmring_commit(&room->writer[0], 8), 0, "commit again");
	for (uint64_t i = 101; i < number; i++)
		if (await_number(&room->reader[0]) != (int64_t)i)
			ok(0, "message %" PRIu64, i);
	is_int(pop_number(&room->reader[0]), give_up ? -EAGAIN : 7,
	       give_up ? "or abort" : "and it comes");
}

/* What a consumer held when it left goes to another, marked. */
static void
leave_with_a_message(struct room *room)
{
	size_t size = 0;

	push_number(&room->writer[0], 1);
	push_number(&room->writer[0], 2);
	shmring_peek(&room->reader[0], &size);
	shmring_close(&room->reader[0]);
	is_int(shmring_pop(&room->reader[1], &size, 7), -EMSGSIZE,
	       "too small a buffer");
	is_int(pop_number(&room->reader[1]), 1, "the message that was held");
	is_int(shmring_redelivered(&room->reader[1]), 1, "is marked");
	is_int(pop_number(&room->reader[1]), 2, "the next");
	is_int(shmring_redelivered(&room->reader[1]), 0, "is not");
	ring_dup(&room->reader[0], &room->writer[0], SHMRING_CONSUMER);
}

/* Random stops of all handles at once: exactly once, nothing lost. */
static void
stop_at_random(struct room *room)
{
	int64_t end = shmring__now() + tap_seconds() * 1000 * MILLISECOND / 2;
	unsigned char *seen = calloc(1, 1 << 24);
	uint64_t in = 1, out = 0, wrong = 0;
	uint64_t held[2] = { 0, 0 };
	int peeking[2] = { 0, 0 };

	while (seen && in < 1 << 24 && shmring__now() < end) {
		int who = (int)(tap_random() % 2);
		struct shmring *writer = &room->writer[who];
		struct shmring *reader = &room->reader[who];
		uint64_t choice = tap_random() % 64;
		int64_t timeout = tap_random() % 16 ? 0 : 100000;
		const uint64_t *place;
		int64_t number = 0;
		size_t size = 0;

		if (choice == 0 && !held[who]) {
			if (reserve_number(writer, in))
				held[who] = in++;
		} else if (choice == 1 && held[who]) {
			if (shmring_commit(writer, 8) == 0)
				held[who] = 0;
		} else if (choice == 2 && held[who]) {
			shmring_abort(writer);
			seen[held[who]]++; /* not to come */
			held[who] = 0;
		} else if (choice == 3 && peeking[who]) {
			peeking[who] = shmring_release(reader) != 0;
		} else if (choice == 4 && !peeking[who]) {
			place = shmring_peek(reader, &size);
			peeking[who] = place != NULL;
			if (place && *place < in)
				seen[*place]++;
		} else if (choice < 34 && !held[who]) {
			in += shmring_push_wait(writer, &in, 8, timeout) == 0;
		} else if (!peeking[who] &&
			   shmring_pop_wait(reader, &number, 8, timeout) == 8) {
			wrong += number <= 0 || number >= (int64_t)in;
			seen[(uint64_t)number % (1 << 24)]++;
			out++;
		}
	}
	for (int i = 0; i < 2; i++) {
		int64_t number;

		if (peeking[i])
			shmring_release(&room->reader[i]);
		if (!held[i])
			continue;
		while (shmring_commit(&room->writer[i], 8) == -EAGAIN)
			while ((number = pop_number(&room->reader[i])) > 0)
				seen[number]++;
	}
	for (int64_t number; (number = pop_number(room->reader)) > 0;)
		seen[number]++;
	for (uint64_t i = 1; seen && i < in; i++)
		wrong += seen[i] != 1;
	ok(out > 1000, "%" PRIu64 " messages between random stops", out);
	is_int(wrong, 0, "each once");
	free(seen);
}

static void
visit(uint64_t position, const char *where)
{
	struct room room;

	printf("# %s\n", where);
	room_enter(&room, position);
	commit_in_any_order(&room);
	stop_writing(&room);
	room_leave(&room);
	room_enter(&room, position);
	stop_reading(&room);
	room_leave(&room);
	room_enter(&room, position);
	stop_everywhere(&room);
	room_leave(&room);
	room_enter(&room, position);
	commit_to_a_full_ring(&room, 0);
	commit_to_a_full_ring(&room, 1);
	leave_with_a_message(&room);
	room_leave(&room);
}

/* When a slot has counted its last turn, nothing more goes in. */
static void
end_with_the_last_turn(void)
{
	/* 64 bits less 12 count the phases, whatever the slots' size */
	uint64_t turns = UINT64_C(1) << 51, pushed = 0;
	struct shmring ring;
	int wrong = 0;

	ring_make(&ring, SHMRING_MPMC, 2, 65536);
	ring_seed(&ring, (turns - 4) * 2);
	while (pushed < 100 && push_number(&ring, pushed) == 0)
		wrong += pop_number(&ring) != (int64_t)pushed++;
	is_int(pushed, 8, "all turns are used, and no more");
	is_int(wrong, 0, "and the messages are right");
	is_int(pop_number(&ring), -EAGAIN, "empty");
	is_int(push_number(&ring, 0), -EAGAIN, "and full for ever");
	shmring_close(&ring);
}

static int
await_ready(struct shmring *ring, unsigned role)
{
	struct shmring_item item = { .ring = ring, .role = role };

	return shmring_wait_several(&item, 1, GENEROUS);
}

/* Who waits for what is ready claims nothing, and passes by a stopped owner
 * all the same. */
static void
wait_beside_the_stopped(void)
{
	struct room room;
	size_t size;

	room_enter(&room, 0);
	shmring_reserve(&room.writer[0], 8);
	push_number(&room.writer[1], 1);
	is_int(await_ready(&room.reader[0], SHMRING_CONSUMER), 1,
	       "a message behind a stopped writer is ready");
	is_int(pop_number(&room.reader[0]), 1, "and comes");
	shmring_abort(&room.writer[0]);
	while (push_number(&room.writer[0], 0) == 0)
		;
	shmring_peek(&room.reader[0], &size);
	pop_number(&room.reader[1]);
	is_int(await_ready(&room.writer[1], SHMRING_PRODUCER), 1,
	       "room behind a stopped reader is, too");
	is_int(push_number(&room.writer[1], 0), 0, "and is had");
	shmring_release(&room.reader[0]);
	while (pop_number(&room.reader[1]) >= 0)
		;
	room_leave(&room);
}

int
main(void)
{
	struct room room;

	tap_start();
	visit(0, "from 0");
	visit((UINT64_C(1) << 32) - 10, "near 2^32");
	visit(((UINT64_C(1) << 31) - 1) * SLOTS, "near phase 2^32");
	/* the state word counts 2^52 phases */
	visit(((UINT64_C(1) << 51) - 20) * SLOTS, "in the last turns");
	room_enter(&room, (UINT64_C(1) << 32) - 5000);
	stay_first_in_first_out(&room);
	stop_at_random(&room);
	room_leave(&room);
	wait_beside_the_stopped();
	end_with_the_last_turn();
	return tap_done();
}
