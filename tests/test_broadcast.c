/* SPDX-License-Identifier: MIT
 *
 * Description: the BROADCAST engine: every reader gets every message, or is
 * told how many it has lost; who joins, lags, stops, is demoted or dies.
 */
#include "ring.h"

#include <sched.h>

#define SLOTS 16
#define LARGEST 64 /* bytes of a message */
#define READERS 3

static void
make(struct shmring *writer, uint32_t flags, uint32_t slots, uint32_t size)
{
	struct shmring_config config = { .mode = SHMRING_BROADCAST,
					 .slots = slots,
					 .slot_size = size,
					 .participants = READERS,
					 .flags = flags,
					 .roles = SHMRING_PRODUCER };
	int error = shmring_create_memfd(writer, &config);

	if (error)
		bail(shmring_strerror(error));
}

/* Push numbers until one is refused, at most so many; how many went in. */
static uint64_t
push_until(struct shmring *writer, uint64_t from, uint64_t most)
{
	uint64_t count = 0;

	while (count < most && push_number(writer, from + count) == 0)
		count++;
	return count;
}

/* Pop numbers that follow each other, as many as there are. */
static uint64_t
pop_from(struct shmring *reader, uint64_t from)
{
	uint64_t count = 0;

	while (pop_number(reader) == (int64_t)(from + count))
		count++;
	return count;
}

/* ---- gated --------------------------------------------------------------- */

static void
everybody_sees_everything(void)
{
	struct shmring writer, reader[READERS], more;
	struct shmring_stat stat;

	make(&writer, 0, SLOTS, 8);
	is_int(push_until(&writer, 0, 10000), 10000,
	       "without readers the writer does not wait");
	for (int i = 0; i < READERS; i++)
		ring_dup(&reader[i], &writer, SHMRING_CONSUMER);
	is_int(shmring_dup(&more, &writer, SHMRING_CONSUMER), -EUSERS,
	       "as many readers as participants");
	is_int(shmring_dup(&more, &writer, SHMRING_PRODUCER), -EBUSY,
	       "and one writer");
	is_int(pop_number(&reader[0]), -EAGAIN, "they begin at the newest");
	uint64_t in = push_until(&writer, 0, 1u << 20);
	ok(in >= SLOTS && in < 10000, "gated: full after %" PRIu64, in);
	is_int(pop_from(&reader[0], 0), in, "the first reader has all");
	is_int(push_number(&writer, in), -EAGAIN, "the slowest counts");
	is_int(pop_from(&reader[1], 0), in, "so has the second");
	is_int(push_number(&writer, in), -EAGAIN, "the slowest counts still");
	is_int(pop_number(&reader[2]), 0, "the third takes one");
	is_int(push_number(&writer, in), 0, "which makes room for one");
	is_int(push_number(&writer, in), -EAGAIN, "not two");
	is_int(shmring_flush(&writer, 0), -EAGAIN, "not all is taken");
	is_int(shmring_length(&writer), in * 16, "the third has it before it");
	is_int(pop_from(&reader[2], 1), in, "the third goes on");
	for (int i = 0; i < 2; i++)
		is_int(pop_number(&reader[i]), (int64_t)in, "and all have one");
	is_int(shmring_flush(&writer, 0), 0, "all is taken by all");
	is_int(shmring_length(&writer), 0, "there is nothing more to read");
	shmring_stat(&writer, &stat);
	ok(stat.producers == 1 && stat.consumers == READERS &&
		   stat.pushed == 10000 + in + 1 &&
		   stat.popped == READERS * (in + 1) &&
		   stat.popped_bytes == READERS * (in + 1) * 8,
	   "the counters tell");
	shmring_close(&reader[2]);
	in = push_until(&writer, 0, 10000);
	is_int(pop_from(&reader[0], 0), in, "one has read all");
	shmring_close(&reader[1]);
	ok(push_until(&writer, 0, 10000) > 1, "who leaves holds nobody");
	shmring_close(&writer);
	while (pop_number(&reader[0]) >= 0)
		;
	is_int(pop_number(&reader[0]), -EPIPE, "and the stream ends");
	shmring_close(&reader[0]);
}

/* Sizes of all kinds against a plain list, one writer and readers that lag and
 * come again, in place and by copy, one by one and in batches. */
#define LISTED 200000
static void
differ_from_a_list(uint32_t flags, const char *what)
{
	static uint16_t size_of[LISTED];
	static unsigned char buffer[8][4096];
	struct shmring writer, reader[READERS];
	uint64_t in = 0, next[READERS], got = 0, lost = 0;
	int wrong = 0, laps = 0;

	make(&writer, flags, 8, 4096);
	for (int i = 0; i < READERS; i++) {
		ring_dup(&reader[i], &writer, SHMRING_CONSUMER);
		next[i] = 0;
	}
	while (in < LISTED && !wrong) {
		uint64_t n = tap_random() % 64;
		for (uint64_t k = 0; k < n && in < LISTED; k++) {
			size_t size = tap_random() % (k % 8 ? 64 : 4097);
			void *place = shmring_reserve(&writer, size);
			if (!place) {
				wrong += shmring_error(&writer) != -EAGAIN ||
					 (flags & SHMRING_LOSSY);
				break;
			}
			message_write(place, size, in);
			wrong += shmring_commit(&writer, size);
			size_of[in++] = (uint16_t)size;
		}
		int i = (int)(tap_random() % READERS);
		int batch = (int)(tap_random() % 3);
		for (n = tap_random() % 256; n > 0; n--) {
			struct iovec io[8];
			ssize_t count = 1;
			size_t size = 0;
			for (int k = 0; k < 8; k++)
				io[k] = (struct iovec){ buffer[k], 4096 };
			if (batch == 2) {
				count = shmring_pop_n(&reader[i], io, 8);
			} else if (batch) {
				io[0].iov_base =
					(void *)(uintptr_t)shmring_peek(
						&reader[i], &size);
				io[0].iov_len = size;
				if (!io[0].iov_base)
					count = shmring_error(&reader[i]);
			} else {
				count = shmring_pop(&reader[i], buffer, 4096);
				io[0].iov_len = (size_t)count;
				count = count < 0 ? count : 1;
			}
			if (count == -EAGAIN)
				break;
			if (count == -ENOBUFS) {
				uint64_t all = 0;
				all = shmring_lost(&reader[i]);
				next[i] = shmring__sequence(&reader[i]);
				laps++;
				wrong += !(flags & SHMRING_LOSSY) || !all;
				continue;
			}
			wrong += count < 1;
			for (int k = 0; k < count; k++, next[i]++, got++)
				wrong += next[i] >= in ||
					 io[k].iov_len != size_of[next[i]] ||
					 !message_is(io[k].iov_base,
						     io[k].iov_len, next[i]);
			if (batch == 1)
				wrong += shmring_release(&reader[i]);
		}
	}
	for (int i = 0; i < READERS; i++) {
		struct shmring_participant one;
		lost += shmring_lost(&reader[i]);
		wrong += shmring_participant(
			&writer,
			(uint32_t)(reader[i].line[0] - reader[i].lines), &one);
		wrong += one.popped + one.lost != next[i] ||
			 one.lost != shmring_lost(&reader[i]);
		shmring_close(&reader[i]);
	}
	is_int(wrong, 0, "%s: as a list: %" PRIu64 " read, %" PRIu64 " lost",
	       what, got, lost);
	ok(!(flags & SHMRING_LOSSY) == !laps, "%s: %d laps", what, laps);
	shmring_close(&writer);
}

/* ---- lossy --------------------------------------------------------------- */

static void
overwrite_the_oldest(void)
{
	struct shmring writer, reader, late;
	uint64_t sent = 100000, first;

	make(&writer, SHMRING_LOSSY, SLOTS, 8);
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	is_int(push_until(&writer, 0, sent), sent, "it never waits");
	is_int(pop_number(&reader), -ENOBUFS, "who was lapped is told");
	first = shmring_lost(&reader);
	ok(sent - first >= SLOTS, "%" PRIu64 " are whole", sent - first);
	is_int(pop_from(&reader, first), sent - first, "and follow, in order");
	is_int(pop_number(&reader), -EAGAIN, "told once");
	ring_dup(&late, &writer, SHMRING_CONSUMER);
	is_int(pop_number(&late), -EAGAIN, "who comes begins at the newest");
	is_int(shmring_seek(&late, SHMRING_OLDEST), 0, "or at the oldest");
	is_int(pop_from(&late, first), sent - first, "as many");
	is_int(shmring_lost(&late), 0, "which is no loss");
	/* In the hands of a reader that takes its time. */
	size_t size;
	is_int(push_number(&writer, sent), 0, "one more");
	ok(shmring_peek(&reader, &size) && size == 8, "peeked");
	is_int(shmring_release(&reader), 0, "whole");
	is_int(push_number(&writer, sent + 1), 0, "one more");
	ok(shmring_peek(&reader, &size) && size == 8, "peeked");
	is_int(push_until(&writer, sent + 2, sent), sent, "laps later");
	is_int(shmring_release(&reader), -ENOBUFS, "not whole any more");
	ok(shmring__sequence(&reader) > sent + 1, "and it goes on");
	is_int(shmring_seek(&reader, SHMRING_NEWEST), 0, "at the newest");
	is_int(pop_number(&reader), -EAGAIN, "which is to come");
	struct shmring_participant one;
	shmring_participant(&writer, (uint32_t)(reader.line[0] - reader.lines),
			    &one);
	is_int(one.popped + shmring_lost(&reader), 2 * sent + 2,
	       "read and lost are what was sent");
	is_int(one.lag, 0, "no lag");
	shmring_close(&late);
	shmring_close(&reader);
	shmring_close(&writer);
}

/* Where a reader may begin. */
static void
seek_a_message(void)
{
	struct shmring writer, reader, spsc;
	uint64_t position[3], all = 0;

	make(&writer, 0, SLOTS, 8);
	for (uint64_t i = 0; i < 10000; i++) {
		if (i == 100 || i == 9990)
			position[i > 100] =
				shmring_position(&writer, SHMRING_PRODUCER);
		all += push_number(&writer, i) == 0;
	}
	is_int(all, 10000, "sent to nobody");
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	is_int(shmring_seek(&reader, position[1]), 0, "a position");
	is_int(pop_from(&reader, 9990), 10, "its messages");
	is_int(shmring_seek(&reader, position[1]), 0, "and back again");
	is_int(shmring_position(&reader, SHMRING_CONSUMER), position[1],
	       "to the same");
	is_int(shmring_seek(&reader, position[1] + 8), -ERANGE, "no message's");
	is_int(shmring_seek(&reader, position[0]), -ERANGE, "one overwritten");
	is_int(shmring_seek(&reader, position[1] + 16384), -ERANGE,
	       "one to come");
	is_int(pop_number(&reader), 9990, "it stays where it was");
	is_int(shmring_seek(&reader, SHMRING_NEWEST), 0, "to the newest");
	is_int(shmring_lost(&reader), 9, "what is skipped is lost");
	is_int(shmring_seek(&reader, SHMRING_OLDEST), 0, "to the oldest");
	int64_t first = pop_number(&reader);
	ok(first > 100 && first <= 10000 - SLOTS, "which is %" PRId64, first);
	uint64_t in = push_until(&writer, 10000, 10000);
	ok(in < 10000, "it holds the writer");
	is_int(pop_from(&reader, (uint64_t)first + 1),
	       9999 + in - (uint64_t)first, "and misses nothing");
	size_t size;
	push_number(&writer, 0);
	shmring_peek(&reader, &size);
	is_int(shmring_seek(&reader, SHMRING_OLDEST), -EBUSY, "in hands");
	is_int(shmring_seek(&writer, SHMRING_OLDEST), -EPERM, "no reader");
	ring_make(&spsc, SHMRING_SPSC, 4, 8);
	is_int(shmring_seek(&spsc, SHMRING_OLDEST), -ENOTSUP, "SPSC has none");
	shmring_close(&spsc);
	shmring_close(&reader);
	shmring_close(&writer);
}

static void
write_into_the_data(void *reader)
{
	struct shmring copy;

	CHILD_CHECK(!shmring_dup(&copy, reader, SHMRING_CONSUMER));
	*(volatile unsigned char *)copy.data = 1;
}

static void
write_into_the_writers_page(void *reader)
{
	struct shmring copy;

	CHILD_CHECK(!shmring_dup(&copy, reader, SHMRING_CONSUMER));
	*(volatile uint64_t *)copy.tail = 1;
}

static void
only_look(void)
{
	struct shmring writer;

	if (TAP_SANITIZED) {
		skip("a sanitizer catches SIGSEGV");
		return;
	}
	make(&writer, SHMRING_LOSSY, SLOTS, 8);
	is_int(child_run(write_into_the_data, &writer), -SIGSEGV,
	       "a reader cannot write into the data");
	is_int(child_run(write_into_the_writers_page, &writer), -SIGSEGV,
	       "nor into the writer's page");
	shmring_close(&writer);
}

/* ---- death --------------------------------------------------------------- */

static const char *ring_name;

static void
read_one_and_wait_for_the_end(void *flag)
{
	struct shmring reader;

	CHILD_CHECK(!shmring_open(&reader, ring_name, SHMRING_CONSUMER, 0));
	CHILD_CHECK(pop_number(&reader) == -EAGAIN);
	flag_raise(flag);
	for (;;)
		pause();
}

static void
make_named(struct shmring *writer, uint32_t flags, uint32_t demote_ms)
{
	struct shmring_config config = { .mode = SHMRING_BROADCAST,
					 .slots = SLOTS,
					 .slot_size = LARGEST,
					 .participants = READERS,
					 .flags = flags,
					 .demote_ms = demote_ms,
					 .roles = SHMRING_PRODUCER };

	ring_name = tap_name();
	if (shmring_create(writer, ring_name, &config))
		bail("no ring");
}

static void
outlive_a_reader(void)
{
	struct shmring writer, heir;
	int *flag = shared_memory(sizeof(*flag));
	int wrong = 0;

	make_named(&writer, 0, 0);
	pid_t child = child_start(read_one_and_wait_for_the_end, flag);
	flag_await(flag, 1);
	ok(push_until(&writer, 0, 10000) < 10000, "a stopped reader holds");
	is_int(shmring_push_wait(&writer, "x", 1, 300 * MILLISECOND),
	       -ETIMEDOUT, "as long as it lives");
	child_kill(child);
	for (int i = 0; i < 10000; i++)
		wrong += shmring_push_wait(&writer, &i, 4, GENEROUS) != 0;
	is_int(wrong, 0, "a dead one does not");
	ring_open(&heir, ring_name, SHMRING_CONSUMER);
	is_int(push_number(&writer, 7), 0, "its line");
	is_int(pop_number(&heir), 7, "is another's");
	shmring_close(&heir);
	shmring_close(&writer);
	shmring_unlink(ring_name);
	munmap(flag, sizeof(*flag));
}

static void
demote_a_reader(void)
{
	struct shmring writer, slow, fast;
	int wrong = 0;

	make_named(&writer, 0, 20);
	ring_open(&slow, ring_name, SHMRING_CONSUMER);
	ring_open(&fast, ring_name, SHMRING_CONSUMER);
	for (uint64_t i = 0; i < 10000; i++) {
		wrong += shmring_push_wait(&writer, &i, 8, GENEROUS) != 0;
		wrong += pop_number(&fast) != (int64_t)i;
	}
	is_int(wrong, 0, "the slow one is left behind, the other not");
	is_int(pop_number(&slow), -ENOBUFS, "it is told");
	is_int(pop_from(&slow, shmring_lost(&slow)),
	       10000 - shmring_lost(&slow), "of exactly so many");
	shmring_close(&slow);
	/* The line's next owner is gated, as others are. */
	ring_open(&slow, ring_name, SHMRING_CONSUMER);
	uint64_t in = push_until(&writer, 0, 10000);
	ok(in < 10000, "who comes next holds the writer");
	is_int(pop_from(&fast, 0), in, "one has all");
	is_int(pop_from(&slow, 0), in, "the other, too");
	shmring_close(&fast);
	shmring_close(&slow);
	shmring_close(&writer);
	shmring_unlink(ring_name);
}

static void
record_and_be_killed(void *flag)
{
	struct shmring writer;

	CHILD_CHECK(!shmring_open(&writer, ring_name, SHMRING_PRODUCER, 0));
	for (uint64_t i = 0;; i++) {
		unsigned char message[LARGEST];
		size_t size = 8 + i % (LARGEST - 7);

		message_write(message, size, i);
		CHILD_CHECK(!shmring_push(&writer, message, size));
		if (i == 1000)
			flag_raise(flag);
	}
}

/* Whenever somebody looks, as many as were asked for are whole: also of a size
 * that leaves the ring no room to spare. */
static void
keep_as_many_as_asked(uint32_t slots)
{
	unsigned char message[600] = { 0 };
	uint64_t least = UINT64_MAX, worst = 0;

	for (uint32_t size = 8; size <= sizeof(message); size += 8) {
		struct shmring writer, reader;

		make(&writer, SHMRING_LOSSY, slots, size);
		ring_dup(&reader, &writer, SHMRING_CONSUMER);
		for (uint64_t sent = 1; sent < UINT64_C(5) * slots; sent++) {
			shmring_push(&writer, message, size);
			if (shmring_seek(&reader, SHMRING_OLDEST))
				bail("no oldest");
			uint64_t kept = sent - shmring__sequence(&reader);
			if (sent >= slots && kept < least) {
				least = kept;
				worst = size;
			}
		}
		shmring_close(&reader);
		shmring_close(&writer);
	}
	ok(least >= slots, "%" PRIu64 " of %u at least (%" PRIu64 " bytes)",
	   least, slots, worst);
}

/* Killed anywhere in push, a flight recorder has the last messages, whole and
 * in order, and a successor goes on behind them. */
static void
read_a_flight_recorder(void)
{
	unsigned char message[LARGEST];
	struct shmring writer, reader;
	int *flag = shared_memory(sizeof(*flag));
	int wrong = 0, rounds = 0;
	uint64_t least = UINT64_MAX;
	time_t end = time(NULL) + tap_seconds();

	while (time(NULL) < end || !rounds) {
		make_named(&writer, SHMRING_LOSSY, 0);
		shmring_close(&writer);
		*flag = 0;
		pid_t child = child_start(record_and_be_killed, flag);
		flag_await(flag, 1);
		usleep((useconds_t)(tap_random() % 2000));
		child_kill(child);
		ring_open(&reader, ring_name, SHMRING_CONSUMER);
		wrong += shmring_seek(&reader, SHMRING_OLDEST);
		uint64_t number = shmring__sequence(&reader), count = 0;
		for (;; count++) {
			ssize_t size = shmring_pop(&reader, message, LARGEST);
			if (size == -EAGAIN || size == -EPIPE)
				break;
			wrong += size != (ssize_t)(8 + (number + count) %
							       (LARGEST - 7)) ||
				 !message_is(message, (size_t)size,
					     number + count);
		}
		least = count < least ? count : least;
		ring_open(&writer, ring_name, SHMRING_PRODUCER);
		wrong += push_number(&writer, 5) != 0;
		wrong += pop_number(&reader) != 5;
		wrong += shmring__sequence(&reader) != number + count + 1;
		struct shmring_stat stat;
		shmring_stat(&writer, &stat);
		wrong += stat.pushed != number + count + 1;
		shmring_close(&writer);
		shmring_close(&reader);
		shmring_unlink(ring_name);
		rounds++;
	}
	is_int(wrong, 0, "whole, in order, and continued: %d times", rounds);
	ok(least >= SLOTS, "%" PRIu64 " at least", least);
	munmap(flag, sizeof(*flag));
}

/* ---- two processes and more ---------------------------------------------- */

struct crew {
	int ready, stop;
	uint64_t sent; /* at the end */
	uint64_t got[READERS], lost[READERS], laps[READERS];
	int slow;
};

static void
read_until_the_end(struct crew *crew, int self)
{
	unsigned char message[LARGEST];
	struct shmring reader;

	CHILD_CHECK(!shmring_open(&reader, ring_name, SHMRING_CONSUMER, 0));
	CHILD_CHECK(shmring__sequence(&reader) == 0);
	flag_raise(&crew->ready);
	for (;;) {
		uint64_t number = shmring__sequence(&reader);
		ssize_t size =
			shmring_pop_wait(&reader, message, LARGEST, GENEROUS);
		if (size == -EPIPE)
			break;
		if (size == -ENOBUFS) {
			crew->laps[self]++;
			continue;
		}
		CHILD_CHECK(size == (ssize_t)(number % (LARGEST + 1)));
		CHILD_CHECK(message_is(message, (size_t)size, number));
		crew->got[self]++;
		if (crew->slow && self && number % 4096 == 0)
			usleep(100);
	}
	crew->lost[self] = shmring_lost(&reader);
	shmring_close(&reader);
}

static struct crew *crew;
static void
first_reader(void *unused)
{
	(void)unused;
	read_until_the_end(crew, 0);
}
static void
second_reader(void *unused)
{
	(void)unused;
	read_until_the_end(crew, 1);
}
static void
third_reader(void *unused)
{
	(void)unused;
	read_until_the_end(crew, 2);
}

static void
run_a_crew(uint32_t flags, const char *what)
{
	static void (*const readers[READERS])(
		void *) = { first_reader, second_reader, third_reader };
	unsigned char message[LARGEST];
	struct shmring writer;
	pid_t child[READERS];
	int wrong = 0;
	uint64_t laps = 0;

	crew = shared_memory(sizeof(*crew));
	crew->slow = 1;
	make_named(&writer, flags, 0);
	for (int i = 0; i < READERS; i++)
		child[i] = child_start(readers[i], NULL);
	flag_await(&crew->ready, READERS);
	time_t end = time(NULL) + 1 + tap_seconds();
	uint64_t sent;
	for (sent = 0; sent % 256 || time(NULL) < end; sent++) {
		size_t size = sent % (LARGEST + 1);

		message_write(message, size, sent);
		wrong += shmring_push_wait(&writer, message, size, GENEROUS);
	}
	wrong += shmring_flush(&writer, GENEROUS);
	shmring_close(&writer);
	for (int i = 0; i < READERS; i++) {
		wrong += tap_wait(child[i]) != 0;
		wrong += crew->got[i] + crew->lost[i] != sent;
		wrong += !(flags & SHMRING_LOSSY) && crew->lost[i];
		laps += crew->laps[i];
	}
	is_int(wrong, 0,
	       "%s: %" PRIu64 " sent to each, %" PRIu64 " laps, each message "
	       "whole, received and lost add up",
	       what, sent, laps);
	if (flags & SHMRING_LOSSY)
		ok(laps, "%s: some were lapped", what);
	shmring_unlink(ring_name);
	munmap(crew, sizeof(*crew));
}

/* Readers that come and go while a gated writer writes: from the moment that
 * open returns nothing is missed. */
static void
come_and_go(void *unused)
{
	(void)unused;
	for (;;) {
		struct shmring reader;
		uint64_t numbers = 0, next = 0;

		CHILD_CHECK(
			!shmring_open(&reader, ring_name, SHMRING_CONSUMER, 0));
		if (tap_random() % 2)
			CHILD_CHECK(!shmring_seek(&reader, SHMRING_OLDEST));
		next = shmring__sequence(&reader);
		for (uint64_t n = tap_random() % 1000; n; n--) {
			uint64_t number;
			ssize_t size =
				shmring_pop_wait(&reader, &number, 8, GENEROUS);
			if (size == -EPIPE)
				return;
			CHILD_CHECK(size == 8 && number == next++);
			numbers++;
		}
		shmring_close(&reader);
	}
}

static void
join_all_the_time(void)
{
	struct shmring writer;
	pid_t child[READERS];
	int wrong = 0;
	uint64_t sent;

	make_named(&writer, 0, 0);
	for (int i = 0; i < READERS; i++) {
		tap_random(); /* another seed for each */
		child[i] = child_start(come_and_go, NULL);
	}
	time_t end = time(NULL) + 1 + tap_seconds();
	for (sent = 0; sent % 256 || time(NULL) < end; sent++)
		wrong += shmring_push_wait(&writer, &sent, 8, GENEROUS) != 0;
	shmring_close(&writer);
	/* Whoever just comes finds no writer, and so the end, by itself. */
	for (int i = 0; i < READERS; i++)
		wrong += tap_wait(child[i]) != 0;
	is_int(wrong, 0, "readers come and go, %" PRIu64 " sent", sent);
	shmring_unlink(ring_name);
}

int
main(void)
{
	tap_start();
	everybody_sees_everything();
	differ_from_a_list(0, "gated");
	differ_from_a_list(SHMRING_LOSSY, "lossy");
	overwrite_the_oldest();
	seek_a_message();
	only_look();
	outlive_a_reader();
	demote_a_reader();
	keep_as_many_as_asked(128);
	keep_as_many_as_asked(1024);
	read_a_flight_recorder();
	run_a_crew(0, "gated");
	run_a_crew(SHMRING_LOSSY, "lossy");
	join_all_the_time();
	return tap_done();
}
