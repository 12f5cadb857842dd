/* SPDX-License-Identifier: MIT
 *
 * Description: the SPSC engine in one thread: how records lie in the bytes,
 * positions near 2^32 and 2^64, successors, damaged content.
 */
#include "ring.h"

#define LARGEST 4080 /* of a ring of 4096 bytes: less header, next header */

static uint64_t
record_size(size_t size)
{
	return 8 + (size + 7) / 8 * 8;
}

/* A push must be accepted exactly if the record and a cleared header behind
 * it fit into what is not in use. */
static void
account_for_every_byte(uint64_t position, const char *where)
{
	unsigned char message[LARGEST];
	uint64_t used = 0, in = 0, out = 0;
	size_t sizes[600]; /* 4096 / 8 messages at most */
	struct shmring ring;
	int wrong = 0;

	ring_make(&ring, SHMRING_SPSC, 1, LARGEST);
	ring_seed(&ring, position);
	for (int i = 0; i < 20000; i++) {
		size_t size = tap_random() % (i % 2 ? 40 : LARGEST + 1);
		int fits = used + record_size(size) + 8 <= 4096;

		message_write(message, size, in);
		wrong += shmring_push(&ring, message, size) !=
			 (fits ? 0 : -EAGAIN);
		if (fits) {
			used += record_size(size);
			sizes[in++ % 600] = size;
		}
		wrong += shmring_length(&ring) != used;
		if (tap_random() % 2)
			continue;
		size = out < in ? sizes[out % 600] : 0;
		wrong += shmring_pop(&ring, message, LARGEST) !=
			 (out < in ? (ssize_t)size : -EAGAIN);
		if (out < in) {
			wrong += !message_is(message, size, out++);
			used -= record_size(size);
		}
	}
	ok(in > 600 && *ring.tail != position, "%s: %" PRIu64 " messages",
	   where, in);
	is_int(wrong, 0, "%s: room to the byte, no byte wrong", where);
	shmring_close(&ring);
}

/* The largest record from every offset, for it is 8 bytes less than a lap: it
 * lies in one piece, and no byte of it is taken for a header later. */
static void
start_at_every_offset(void)
{
	struct shmring ring;
	int wrong = 0, across = 0;

	ring_make(&ring, SHMRING_SPSC, 1, LARGEST);
	for (uint64_t i = 0; i < 4096 / 8; i++) {
		size_t size = 0;
		unsigned char *place = shmring_reserve(&ring, LARGEST);
		const unsigned char *seen;
		uint64_t header = 9; /* as if 8 bytes followed */

		across += place + LARGEST > ring.data + 4096;
		for (size_t j = 0; j < LARGEST; j += 8)
			memcpy(place + j, &header, 8);
		wrong += shmring_commit(&ring, LARGEST);
		wrong += shmring_push(&ring, NULL, 0) != -EAGAIN;
		seen = shmring_peek(&ring, &size);
		wrong += !seen || size != LARGEST;
		for (size_t j = 0; seen && j < LARGEST; j += 8)
			wrong += memcmp(seen + j, &header, 8) != 0;
		shmring_release(&ring);
		wrong += pop_number(&ring) != -EAGAIN;
	}
	ok(across > 500, "records lay across the end");
	is_int(wrong, 0, "each in one piece");
	shmring_close(&ring);
}

static void
send_a_part(struct shmring *ring)
{
	shmring_commit(ring, 8);
}

/* What was written into a reservation and then not sent, since it was given up,
 * sent in part, or its owner died, must not be taken for a header: not behind
 * the next messages, whatever their sizes, one by one or in a batch. */
static void
send_less_than_reserved(void (*give_up)(struct shmring *), const char *what)
{
	uint64_t numbers[50];
	struct iovec batch[50];
	struct shmring ring;
	int wrong = 0;

	for (uint64_t n = 0; n < 50; n++) {
		numbers[n] = n;
		batch[n] = (struct iovec){ &numbers[n], 8 };
	}
	ring_make(&ring, SHMRING_SPSC, 64, 1024);
	for (uint64_t i = 0; i < 4000; i++) {
		uint64_t *place = shmring_reserve(&ring, 1024);

		for (int j = 0; j < 128; j++)
			place[j] = 9; /* as if 8 bytes followed */
		give_up(&ring);
		if (i / 50 % 2)
			wrong += shmring_push_n(&ring, batch, i % 50) !=
				 (ssize_t)(i % 50);
		for (uint64_t n = 0; n < i % 50 && !(i / 50 % 2); n++)
			wrong += push_number(&ring, n) != 0;
		if (give_up == send_a_part)
			wrong += pop_number(&ring) != 9;
		for (uint64_t n = 0; n < i % 50; n++)
			wrong += pop_number(&ring) != (int64_t)n;
		wrong += pop_number(&ring) != -EAGAIN;
	}
	is_int(wrong, 0, "what was reserved and %s is not read", what);
	shmring_close(&ring);
}

/* As if killed between publication and the store of tail, in a batch: a
 * successor must not write over what was published. By then some of it has been
 * read. */
static void
resume_behind_the_last(int read)
{
	struct shmring ring;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	for (uint64_t i = 0; i < 3; i++)
		push_number(&ring, i);
	for (int i = 0; i < read; i++)
		pop_number(&ring);
	*ring.tail = 0;
	ring_reopen(&ring);
	is_int(*ring.tail, 48, "%d read: a new writer walks to the end", read);
	push_number(&ring, 3);
	for (int i = read; i < 4; i++)
		is_int(pop_number(&ring), i, "and writes behind it");
	shmring_close(&ring);
}

/* The same of an array: its records have several messages each. */
static void
resume_behind_runs(int read)
{
	uint64_t numbers[20];
	struct shmring ring;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	for (uint64_t i = 0; i < 20; i++)
		numbers[i] = i;
	shmring_push_array(&ring, numbers, 8, 20);
	for (int i = 0; i < read; i++)
		pop_number(&ring);
	*ring.tail = 0;
	ring_reopen(&ring);
	is_int(*ring.tail, 72 + 72 + 40, "%d of runs read: to the end", read);
	push_number(&ring, 20);
	for (int i = read; i < 21; i++)
		is_int(pop_number(&ring), i, "and writes behind it");
	shmring_close(&ring);
}

static void
damage_header(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = 4242;
}

/* Runs that nobody writes, or nobody in such a ring. */
static void
damage_kind(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = UINT64_C(1) << 32 | 9;
}

static void
damage_count(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = UINT64_C(8) << 32 | 9;
}

static void
damage_length(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = UINT64_C(1) << 32;
}

static void
damage_size(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = UINT64_C(1) << 32 | 73;
}

static void
damage_place_in_run(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = UINT64_C(1) << 32 | 9;
	*ring->head += 2;
}

static void
damage_place(struct shmring *ring)
{
	*shmring__header_at(ring, *ring->head) = 4242;
	*ring->head += 1;
}

/* Whichever call meets it, and whoever comes then. */
static void
refuse_runs(void (*damage)(struct shmring *), uint32_t mode, uint32_t slot_size,
	    const char *what)
{
	unsigned char bytes[400];
	struct iovec one = { bytes, sizeof(bytes) };
	struct shmring ring;
	size_t size;

	for (int call = 0; call < 5; call++) {
		ring_make(&ring, mode, 64, slot_size);
		push_number(&ring, 1);
		damage(&ring);
		ssize_t got =
			call == 0   ? shmring_pop(&ring, bytes, 400)
			: call == 1 ? shmring_pop_n(&ring, &one, 1)
			: call == 2 ? shmring_pop_array(&ring, bytes, 200, 2)
			: call == 3 ? shmring_peek(&ring, &size)
					      ? 1
					      : shmring_error(&ring)
			: mode == SHMRING_SPSC ? shmring_peek_n(&ring, &one, 1)
					       : -EBADMSG;
		is_int(got, -EBADMSG, "%s: call %d notices", what, call);
		is_int(pop_number(&ring), -EBADMSG, "once and for all");
		shmring_close(&ring);
	}
}

/* What was seen there is none any more when it is to be released, or one more
 * taken; and who was told of damage once is told so by all calls. */
static void
refuse_changed_runs(void)
{
	uint64_t numbers[8] = { 0 };
	struct iovec seen[3];
	struct shmring ring;

	for (int i = 0; i < 3; i++) {
		ring_make(&ring, SHMRING_SPSC, 64, 8);
		shmring_push_array(&ring, numbers, 8, 8);
		if (i < 2)
			is_int(shmring_peek_n(&ring, seen, 3), 3, "three");
		if (i == 1)
			shmring_release_n(&ring, 3);
		*shmring__header_at(&ring, 0) =
			i < 2 ? 0 : UINT64_C(8) << 32 | 9;
		if (i == 0)
			is_int(shmring_release_n(&ring, 1), -EBADMSG,
			       "gone when it is released");
		else if (i == 1)
			is_int(pop_number(&ring), -EBADMSG, "or half taken");
		else
			is_int(shmring_peek_n(&ring, seen, 3), -EBADMSG,
			       "nine");
		is_int(push_number(&ring, 1), -EBADMSG, "once and for all");
		is_int(shmring_release(&ring), -EBADMSG, "by all calls");
		shmring_close(&ring);
	}
}

static void
damage_taken(struct shmring *ring)
{
	ring->spsc.credit = *ring->tail;
	*ring->spsc.taken = *ring->tail + 8;
}

/* Content that no honest peer wrote: an error, once and for all. */
static void
poison_handle(void (*damage)(struct shmring *), const char *what)
{
	struct shmring ring;
	size_t size;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	push_number(&ring, 1);
	damage(&ring);
	is_int(push_number(&ring, 2) == -EBADMSG ||
		       pop_number(&ring) == -EBADMSG,
	       1, "%s is noticed", what);
	is_int(push_number(&ring, 2), -EBADMSG, "then push refuses");
	is_int(pop_number(&ring), -EBADMSG, "pop, too");
	ok(!shmring_peek(&ring, &size) && shmring_error(&ring) == -EBADMSG,
	   "and peek");
	ok(!shmring_reserve(&ring, 1) && shmring_error(&ring) == -EBADMSG,
	   "and reserve");
	shmring_close(&ring);
}

/* The same found by a successor. */
static void
refuse_damaged_start(uint64_t tail, uint64_t head, uint64_t taken,
		     uint64_t header, const char *what)
{
	struct shmring ring, successor;
	int fd;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	*ring.tail = tail;
	*ring.head = head;
	*ring.spsc.taken = taken;
	*shmring__header_at(&ring, 0) = header;
	fd = dup(shmring_fd(&ring));
	shmring_close(&ring);
	is_int(shmring_open_fd(&successor, fd, SHMRING_BOTH), -EBADMSG,
	       "refused: %s", what);
	close(fd);
}

/* A walk over records comes to an end after a lap, whatever they are. */
static void
refuse_more_than_a_lap(void)
{
	struct shmring ring, successor;
	int fd;

	ring_make(&ring, SHMRING_SPSC, 64, 16);
	for (uint64_t i = 0; i < ring.geometry.capacity; i += 24)
		*shmring__header_at(&ring, i) = 1 + 16;
	*ring.head = 8; /* which is not the start of one */
	fd = dup(shmring_fd(&ring));
	shmring_close(&ring);
	is_int(shmring_open_fd(&successor, fd, SHMRING_BOTH), -EBADMSG,
	       "refused: records for more than a lap");
	close(fd);
}

static void
align_every_position(void)
{
	struct shmring ring;

	ring_make(&ring, SHMRING_SPSC, 64, 8);
	is_int((uintptr_t)shmring__header_at(&ring, 8 + 5) % 8, 0,
	       "a position that no honest peer wrote is aligned");
	shmring_close(&ring);
}

int
main(void)
{
	tap_start();
	account_for_every_byte(0, "from 0");
	account_for_every_byte((UINT64_C(1) << 32) - 8000, "near 2^32");
	account_for_every_byte((UINT64_C(1) << 63) - 8000, "near 2^63");
	account_for_every_byte(UINT64_MAX - 7999, "near 2^64");
	start_at_every_offset();
	send_less_than_reserved(shmring_abort, "aborted");
	send_less_than_reserved(send_a_part, "sent in part");
	send_less_than_reserved(ring_reopen, "left by the dead");
	resume_behind_the_last(0);
	resume_behind_the_last(2);
	resume_behind_runs(0);
	resume_behind_runs(3);
	resume_behind_runs(8);
	resume_behind_runs(19);
	poison_handle(damage_header, "a length beyond slot_size");
	refuse_runs(damage_count, SHMRING_SPSC, 300, "a run of nine");
	refuse_runs(damage_length, SHMRING_SPSC, 300, "a run of nothing");
	refuse_runs(damage_size, SHMRING_SPSC, 300, "a run of long ones");
	refuse_runs(damage_size, SHMRING_SPSC, 8, "a run of too long ones");
	refuse_runs(damage_place_in_run, SHMRING_SPSC, 300,
		    "a place behind its run");
	refuse_runs(damage_place, SHMRING_SPSC, 300, "a place in no run");
	refuse_changed_runs();
	ring_alignment = 64;
	refuse_runs(damage_kind, SHMRING_SPSC, 300, "a run with places");
	ring_alignment = 0;
	refuse_runs(damage_kind, SHMRING_BROADCAST, 300, "a run for all");
	refuse_damaged_start(4096, 0, 0, UINT64_C(8) << 32 | 9, "nine");
	refuse_damaged_start(24, 2, 0, UINT64_C(1) << 32 | 9, "behind a run");
	refuse_damaged_start(8, 3, 0, 0, "in a run that is not there");
	poison_handle(damage_taken, "a position beyond the writer's");
	refuse_damaged_start(4096, 0, 0, 4242, "a record too long");
	refuse_damaged_start(4104, 0, 0, 0, "a tail too far");
	refuse_damaged_start(0, 8, 0, 4242, "a head before a wrong header");
	refuse_damaged_start(0, 4104, 0, 0, "a head too far");
	refuse_damaged_start(0, 0, 8, 0, "space freed beyond the tail");
	refuse_more_than_a_lap();
	align_every_position();
	return tap_done();
}
