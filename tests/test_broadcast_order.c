/* SPDX-License-Identifier: MIT
 *
 * Description: the hard places of the BROADCAST engine, each in the one
 * interleaving that needs its step: somebody goes on, or is killed, between
 * two accesses of another. All handles belong to this thread.
 */
#include "edge.h"

#include <stdint.h>

static struct edge at_load, at_store;
static int64_t clock_ns = 1;
static int called; /* as many as were called at once */

#define SHMRING_NOW() clock_ns
#define SHMRING_FUTEX_WAKE(word, count) ((void)(word), called = (count))
#define __atomic_load_n(place, order) \
	(reach(&at_load, place), __atomic_load_n(place, order))
#define __atomic_store_n(place, value, order) \
	(reach(&at_store, place), __atomic_store_n(place, value, order))
#define SHMRING_COPY(to, from, size) \
	(reach(&at_load, from), memcpy(to, from, size))
#include "ring.h"
#undef __atomic_load_n
#undef __atomic_store_n

static struct shmring writer, reader, third;

static void
came_by(const struct edge *edge, const char *what)
{
	ok(!edge->step, "%s", what);
}

static void
make(uint32_t flags, uint32_t demote_ms)
{
	struct shmring_config config = { .mode = SHMRING_BROADCAST,
					 .slots = 16,
					 .slot_size = 8,
					 .participants = 2,
					 .flags = flags,
					 .demote_ms = demote_ms,
					 .roles = SHMRING_PRODUCER };

	if (shmring_create_memfd(&writer, &config))
		bail("no ring");
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
}

static void
leave(void)
{
	shmring_close(&third);
	shmring_close(&reader);
	shmring_close(&writer);
}

static struct shmring__writer_page *
page(void)
{
	return shmring__page_of(&writer);
}

static uint64_t sent;

/* As long as it goes, at most so many. */
static void
push_more(uint64_t most)
{
	while (most-- && !push_number(&writer, sent))
		sent++;
}

static void
lap(void)
{
	push_more(4000); /* every mark is another one, too */
}

static void
goes_on(struct shmring *ring, const char *what)
{
	uint64_t number = shmring__sequence(ring), wrong = 0;

	for (int64_t got; (got = pop_number(ring)) >= 0; number++)
		wrong += (uint64_t)got != number;
	ok(!wrong && number == sent, "%s", what);
}

/* (lapped) The writer comes between the header and the copy, between the copy
 * and the look at bound, and in the middle of the search for a mark. */
static void
overtake_a_reader(void)
{
	for (int i = 0; i < 6; i++) {
		sent = 0;
		make(SHMRING_LOSSY, 0);
		push_more(3);
		if (i > 2)
			lap();
		struct shmring__writer_page *seen = shmring__page_of(&reader);
		const void *places[] = {
			shmring__header_at(&reader, 0),
			shmring__header_at(&reader, 0) + 1,
			&seen->bound,
			&seen->marks,
			&seen->mark[seen->marks % SHMRING__MARKS],
			&seen->mark[(seen->marks - 3) % SHMRING__MARKS],
		};
		arm(&at_load, places[i], 1, lap);
		is_int(pop_number(&reader), -ENOBUFS, "lapped at place %d", i);
		came_by(&at_load, "by the writer");
		uint64_t number = shmring_lost(&reader);
		is_int(shmring__sequence(&reader), number, "exactly");
		while (pop_number(&reader) == -ENOBUFS)
			;
		goes_on(&reader, "and goes on");
		struct shmring_participant one;
		shmring_participant(&writer, 0, &one);
		is_int(one.popped + one.lost, sent, "it adds up");
		leave();
	}
}

/* Nor is the length taken from the bytes of another message. */
static void
overtake_a_peek(void)
{
	size_t size;

	sent = 0;
	make(SHMRING_LOSSY, 0);
	push_more(3);
	arm(&at_load, shmring__header_at(&reader, 0), 1, lap);
	ok(!shmring_peek(&reader, &size), "lapped while it peeks");
	is_int(shmring_error(&reader), -ENOBUFS, "is told at once");
	goes_on(&reader, "and goes on");
	leave();
}

/* A batch that is overtaken ends before; of the loss the next call tells. */
static void
overtake_a_batch(void)
{
	uint64_t number[3] = { 7, 7, 7 };
	struct iovec io[3];

	sent = 0;
	make(SHMRING_LOSSY, 0);
	push_more(3);
	for (int i = 0; i < 3; i++)
		io[i] = (struct iovec){ &number[i], 8 };
	arm(&at_load, shmring__header_at(&reader, 16) + 1, 1, lap);
	is_int(shmring_pop_n(&reader, io, 3), 1, "one of a batch is whole");
	is_int(number[0], 0, "the first");
	is_int(shmring_lost(&reader), 0, "nothing is told yet");
	is_int(shmring_pop_n(&reader, io, 3), -ENOBUFS, "it is now");
	is_int(shmring_lost(&reader) + 1, shmring__sequence(&reader),
	       "exactly");
	goes_on(&reader, "and it goes on");
	struct shmring_participant one;
	shmring_participant(&writer, 0, &one);
	is_int(one.popped + one.lost, sent, "it adds up");
	is_int(one.popped_bytes, one.popped * 8, "in bytes, too");
	leave();
}

/* The way to the newest leads over records that are overwritten. */
static void
overtake_a_walk(void)
{
	sent = 0;
	make(SHMRING_LOSSY, 0);
	lap();
	push_more(3);
	uint64_t mark = page()->mark[page()->marks % SHMRING__MARKS].position;
	arm(&at_load, shmring__header_at(&reader, mark), 1, lap);
	is_int(shmring_seek(&reader, SHMRING_NEWEST), 0, "to the newest");
	came_by(&at_load, "by way of what is being overwritten");
	is_int(shmring__sequence(&reader), sent, "whose number is right");
	leave();
}

static void
write_on(void)
{
	push_more(2);
	arm(&at_load, ANYWHERE, 1, write_on);
}

/* Who joins, at each of its looks, finds two messages more: who went to the
 * very end would not come there before it is lapped. */
static void
join_a_fast_writer(uint32_t flags)
{
	sent = 0;
	make(flags, 0);
	shmring_close(&reader);
	lap();
	arm(&at_load, ANYWHERE, 1, write_on);
	int error = shmring_dup(&reader, &writer, SHMRING_CONSUMER);
	at_load.step = NULL;
	is_int(error, 0, "a reader joins beside a fast writer");
	goes_on(&reader, "and has the right number");
	leave();
}

/* (mark) What is found while its mark is replaced is looked for again. */
static void
replace_a_mark(void)
{
	sent = 0;
	make(SHMRING_LOSSY, 0);
	lap();
	uint64_t oldest = page()->marks;
	while (shmring__distance(page()->mark[oldest % SHMRING__MARKS].position,
				 page()->bound) > 0)
		oldest--;
	arm(&at_load,
	    &shmring__page_of(&reader)->mark[oldest % SHMRING__MARKS].sequence,
	    1, lap);
	is_int(shmring_seek(&reader, SHMRING_OLDEST), 0, "a place");
	came_by(&at_load, "whose mark was replaced");
	goes_on(&reader, "has the number of its message");
	leave();
}

/* (join) The writer grants itself more between the reader's choice of a place
 * and its look at gate; or the reader comes between the writer's question and
 * its look at the lines. */
static void
join_before_the_look(void)
{
	sent = 0;
	make(0, 0);
	shmring_close(&reader);
	push_more(1000);
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	arm(&at_store, reader.head, 1, lap);
	is_int(shmring_seek(&reader, SHMRING_OLDEST), 0, "a place");
	came_by(&at_store, "that was gone when it was taken");
	ok(shmring__distance(*reader.head, page()->bound) >= 0 &&
		   shmring__distance(*reader.head, page()->gate) >= 0,
	   "one that is guarded");
	lap();
	goes_on(&reader, "nothing of which is missed");
	leave();
}

/* A place that is gone when it was taken: back to the one before. */
static void
seek_in_vain(void)
{
	sent = 0;
	make(0, 0);
	shmring_close(&reader);
	push_more(1000);
	uint64_t place = *writer.tail - 100 * 16;
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	arm(&at_store, reader.head, 1, lap);
	is_int(shmring_seek(&reader, place), -ERANGE, "it is gone");
	came_by(&at_store, "since it was taken");
	goes_on(&reader, "from where it was before, nothing is missed");
	leave();
}

/* A writer that asks shows a gate that is none: who holds it may go forward
 * behind that all the same, and back in vain, and loses nothing by it. */
static void
seek_while_it_asks(void)
{
	sent = 0;
	make(0, 0);
	push_more(20);
	page()->gate = *writer.tail;
	is_int(shmring_seek(&reader, 160), 0, "forward, to what it holds");
	is_int(pop_number(&reader), 10, "and reads on there");
	is_int(shmring_lost(&reader), 10, "what it left out is lost");
	is_int(shmring_seek(&reader, 16), -ERANGE, "back, in vain");
	lap();
	for (uint64_t i = 11; i < 20; i++)
		is_int(pop_number(&reader), (int64_t)i, "nothing is lost");
	leave();
}

static void
read_and_seek(void)
{
	is_int(pop_number(&reader), 0, "who has read what is published");
	is_int(shmring_seek(&reader, SHMRING_NEWEST), 0, "goes to the newest");
}

/* The writer has published, and not told its tail yet. */
static void
seek_behind_the_tail(void)
{
	sent = 0;
	make(0, 0);
	arm(&at_store, &page()->tail, 1, read_and_seek);
	push_more(1);
	came_by(&at_store, "before the writer tells where it is");
	is_int(pop_number(&reader), -EAGAIN, "and gets nothing again");
	leave();
}

static void
join_now(void)
{
	ring_dup(&third, &writer, SHMRING_CONSUMER);
	shmring_seek(&third, SHMRING_OLDEST);
}

static void
join_after_the_question(void)
{
	for (int nth = 1; nth < 3; nth++) {
		sent = 0;
		make(0, 0);
		shmring_close(&reader);
		push_more(1000);
		arm(&at_store, &page()->gate, nth, join_now);
		lap();
		came_by(&at_store, "a reader joins while the writer asks");
		goes_on(&third, "and misses nothing");
		uint64_t before = sent;
		lap();
		ok(sent > before && sent < before + 1000, "it holds from then");
		leave();
	}
}

/* (heir) A writer is killed between its question and the answer. */
static void
ask_and_die(void)
{
	sent = 0;
	make(0, 0);
	lap();
	uint64_t full = sent;
	while (shmring_pop(&reader, &(uint64_t){ 0 }, 8) > 0 &&
	       reader.spsc.published == 0)
		;
	arm(&at_store, &page()->gate, 2, perish);
	if (lives())
		lap();
	came_by(&at_store, "killed while it asks");
	ok(page()->gate > *reader.head || sent >= full, "its question stands");
	shmring_close(&writer);
	ring_dup(&writer, &reader, SHMRING_PRODUCER);
	lap();
	goes_on(&reader, "its successor overwrites nothing");
	leave();
}

static void
push_or_die(void)
{
	if (lives())
		push_number(&writer, sent);
}

/* A writer killed at each of its stores: nothing of what it did not finish is
 * seen, and the successor goes on exactly there. */
static void
die_at_each_store(uint32_t flags, const char *what)
{
	int wrong = 0, deaths = 0;

	for (int k = 0; k < 6; k++)
		for (uint64_t before = 0; before < 80; before++) {
			sent = 0;
			make(flags, 0);
			push_more(200);
			while (pop_number(&reader) != -EAGAIN)
				;
			push_more(before);
			uint64_t tail = *writer.tail;
			const void *places[] = {
				shmring__header_at(&writer, tail),
				shmring__header_at(&writer, tail + 16),
				writer.tail,
				&writer.line[SHMRING__WRITE]->pushed,
				&page()->bound,
				&page()->marks,
			};
			arm(&at_store, places[k], 1, perish);
			push_or_die();
			sent += at_store.step || k == 2 || k == 3;
			deaths += !at_store.step;
			at_store.step = NULL;
			shmring_close(&writer);
			ring_dup(&writer, &reader, SHMRING_PRODUCER);
			wrong += page()->tail <
				 writer.lines[SHMRING__WRITE].pushed * 16;
			wrong += writer.lines[SHMRING__WRITE].pushed != sent;
			push_more(5);
			for (int64_t got;
			     (got = pop_number(&reader)) != -EAGAIN;)
				wrong += got != -ENOBUFS &&
					 got + 1 != (int64_t)shmring__sequence(
							    &reader);
			wrong += shmring__sequence(&reader) != sent;
			leave();
		}
	is_int(wrong, 0, "%s: %d deaths of a writer", what, deaths);
	ok(deaths > 320, "%s: at stores of each kind", what);
}

/* (demoted) The line has another owner before the writer's word arrives. */
static void
inherit(void)
{
	shmring_close(&reader);
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
}

static void
demote_the_heir(void)
{
	sent = 0;
	make(0, 1);
	lap();
	is_int(push_number(&writer, 0), -EAGAIN, "a reader holds");
	clock_ns += 10 * MILLISECOND;
	arm(&at_store, &writer.lines[0].intent[SHMRING__WRITE], 1, inherit);
	writer.wait.look_now = 1;
	is_int(push_number(&writer, sent), -EAGAIN, "is demoted, for long");
	came_by(&at_store, "but has left, and another has come");
	lap();
	uint64_t before = sent;
	is_int(push_number(&writer, sent), -EAGAIN, "who holds");
	goes_on(&reader, "and misses nothing");
	lap();
	ok(sent > before, "and so on");
	leave();
}

/* All who wait for a message get it. */
static void
wake_all_readers(void)
{
	sent = 0;
	make(0, 0);
	writer.notice->data = SHMRING__WAITS;
	push_more(1);
	is_int(called, INT_MAX, "a push calls all readers");
	leave();
}

int
main(void)
{
	tap_start();
	overtake_a_reader();
	overtake_a_peek();
	overtake_a_batch();
	overtake_a_walk();
	join_a_fast_writer(0);
	join_a_fast_writer(SHMRING_LOSSY);
	replace_a_mark();
	join_before_the_look();
	seek_in_vain();
	seek_while_it_asks();
	seek_behind_the_tail();
	join_after_the_question();
	ask_and_die();
	die_at_each_store(0, "gated");
	die_at_each_store(SHMRING_LOSSY, "lossy");
	demote_the_heir();
	wake_all_readers();
	return tap_done();
}
