/* SPDX-License-Identifier: MIT
 *
 * Description: what both engines promise to one thread alone: every length,
 * full and empty, laps, batches, zero copy, refusals, counters.
 */
#include "ring.h"

#define SLOTS 16
#define SLOT_SIZE 200
#define BATCH 300 /* more than fits */

/* What a message of 8 bytes takes in SPSC: beside its header, if the unit has
 * room for both. */
static uint64_t
record_of_8(void)
{
	unsigned meters = ring_flags & SHMRING_METERED ? 8 : 0;
	uint64_t unit = ring_alignment ? ring_alignment : 8 + meters;

	return unit >= 16 + meters ? unit : 2 * unit;
}

static void
carry_every_length(uint32_t mode)
{
	unsigned char out[SLOT_SIZE], in[SLOT_SIZE + 1];
	volatile size_t huge = SIZE_MAX; /* compilers refuse the constant */
	struct shmring ring;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, SLOT_SIZE);
	for (size_t size = 0; size <= SLOT_SIZE; size++) {
		message_write(out, size, size);
		memset(in, 0, sizeof(in));
		wrong += shmring_push(&ring, out, size) != 0;
		wrong += shmring_pop(&ring, in, sizeof(in)) != (ssize_t)size;
		wrong += !message_is(in, size, size) || in[size] != 0;
	}
	is_int(wrong, 0, "0 to %d bytes come as they went", SLOT_SIZE);
	is_int(shmring_push(&ring, in, SLOT_SIZE + 1), -EMSGSIZE,
	       "a byte more is refused");
	is_int(shmring_push(&ring, in, huge), -EMSGSIZE,
	       "so is the largest size_t");
	is_int(shmring_pop(&ring, in, sizeof(in)), -EAGAIN,
	       "of which nothing is in the ring");
	is_int(shmring_push(&ring, NULL, 0), 0, "nothing needs no address");
	is_int(shmring_pop(&ring, NULL, 0), 0, "nor a buffer");
	shmring_close(&ring);
}

static void
keep_what_does_not_fit(uint32_t mode)
{
	char in[SLOT_SIZE] = "";
	size_t size = 0;
	struct shmring ring;

	ring_make(&ring, mode, SLOTS, SLOT_SIZE);
	shmring_push(&ring, "eleven here", 11);
	is_int(shmring_pop(&ring, in, 10), -EMSGSIZE, "too small a buffer");
	is_int(shmring_pop(&ring, in, 0), -EMSGSIZE, "or none at all");
	ok(in[0] == 0, "is left alone");
	is_int(shmring_length(&ring) != 0, 1, "and the message stays");
	ok(shmring_peek(&ring, &size) && size == 11, "peek knows its length");
	shmring_release(&ring);
	is_int(shmring_pop(&ring, in, sizeof(in)), -EAGAIN, "release took it");
	shmring_close(&ring);
}

/* Fill to the last message, drain to the last, many laps. */
static void
fill_and_drain(uint32_t mode)
{
	struct shmring ring;
	int64_t in = 0, out = 0;
	int wrong = 0;
	size_t capacity;

	ring_make(&ring, mode, SLOTS, 8);
	capacity = shmring_capacity(&ring);
	is_int(pop_number(&ring), -EAGAIN, "a new ring is empty");
	for (int lap = 0; lap < 200; lap++) {
		size_t count = 0;

		while (push_number(&ring, (uint64_t)in) == 0) {
			in++;
			count++;
		}
		wrong += count != capacity;
		wrong += push_number(&ring, 0) != -EAGAIN;
		/* One out, one in: no space is lost, none is invented. */
		wrong += pop_number(&ring) != out++;
		wrong += push_number(&ring, (uint64_t)in++) != 0;
		wrong += push_number(&ring, 0) != -EAGAIN;
		while (out < in)
			wrong += pop_number(&ring) != out++;
		wrong += pop_number(&ring) != -EAGAIN;
		wrong += shmring_length(&ring) != 0;
	}
	is_int(wrong, 0, "200 times full and empty, exactly, in order");
	shmring_close(&ring);
}

static void
cross_two_mappings(uint32_t mode)
{
	struct shmring here, there;
	int wrong = 0;

	ring_make(&here, mode, SLOTS, 8);
	shmring_close(&here);
	is_int(shmring_push(&here, "", 0), -EBADF, "a closed handle refuses");
	if (shmring_create_memfd(&here, &(struct shmring_config){
						.mode = mode,
						.slots = SLOTS,
						.slot_size = 8,
						.roles = SHMRING_PRODUCER }))
		bail("cannot create a ring");
	ring_dup(&there, &here, SHMRING_CONSUMER);
	ok(here.map.base != there.map.base, "two mappings of one ring");
	for (int64_t i = 0; i < 20 * SLOTS; i++) {
		wrong += push_number(&here, (uint64_t)i) != 0;
		wrong += shmring_length(&here) != shmring_length(&there);
		wrong += pop_number(&there) != i;
	}
	is_int(wrong, 0, "what goes in through one comes out of the other");
	shmring_close(&here);
	shmring_close(&there);
}

static void
move_batches(uint32_t mode)
{
	uint64_t sent[BATCH], got[BATCH];
	struct iovec out[BATCH], in[BATCH];
	struct shmring ring;
	ssize_t room;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, 8);
	room = (ssize_t)shmring_capacity(&ring);
	for (size_t i = 0; i < BATCH; i++) {
		sent[i] = i;
		out[i] = (struct iovec){ &sent[i], 8 - i % 2 };
		in[i] = (struct iovec){ &got[i], 8 };
	}
	is_int(shmring_push_n(&ring, out, 0), 0, "none in");
	is_int(shmring_push_n(&ring, out, 5), 5, "five in");
	is_int(shmring_push_n(&ring, out + 5, BATCH - 5), room - 5,
	       "as many more as there is room for");
	is_int(shmring_push_n(&ring, out, 1), -EAGAIN, "then it is full");
	is_int(shmring_pop_n(&ring, in, 0), 0, "none out");
	is_int(shmring_pop_n(&ring, in, 3), 3, "three out");
	is_int(shmring_pop_n(&ring, in + 3, BATCH - 3), room - 3, "the rest");
	is_int(shmring_pop_n(&ring, in, 1), -EAGAIN, "then it is empty");
	for (size_t i = 0; i < (size_t)room; i++)
		wrong += in[i].iov_len != 8 - i % 2 ||
			 memcmp(&got[i], &sent[i], in[i].iov_len) != 0;
	is_int(wrong, 0, "with the lengths and bytes that went in");
	out[1].iov_len = 9;
	is_int(shmring_push_n(&ring, out, 3), 1, "up to one too long");
	is_int(shmring_push_n(&ring, out + 1, 2), -EMSGSIZE, "which is first");
	out[1].iov_len = 8;
	shmring_push_n(&ring, out + 1, 1);
	in[0].iov_len = 8;
	in[1].iov_len = 7;
	is_int(shmring_pop_n(&ring, in, 2), 1, "up to one that does not fit");
	is_int(in[1].iov_len, 7, "whose entry is left alone");
	is_int(shmring_pop_n(&ring, in + 1, 1), -EMSGSIZE, "which is first");
	is_int(pop_number(&ring), 1, "and is still there");
	shmring_close(&ring);
}

static void
write_in_place(uint32_t mode)
{
	unsigned char in[SLOT_SIZE];
	struct shmring ring;
	size_t size;
	void *place;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, SLOT_SIZE);
	is_int(shmring_commit(&ring, 0), -ENOMSG, "commit needs a reserve");
	ok(!shmring_reserve(&ring, SLOT_SIZE + 1), "too much");
	is_int(shmring_error(&ring), -EMSGSIZE, "is refused as such");
	place = shmring_reserve(&ring, 100);
	ok(place && (uintptr_t)place % 8 == 0, "an aligned place");
	is_int(shmring_pop(&ring, in, sizeof(in)), -EAGAIN,
	       "nothing can be read yet");
	ok(!shmring_reserve(&ring, 1), "a second reserve");
	is_int(shmring_error(&ring), -EBUSY, "is refused");
	is_int(shmring_push(&ring, in, 1), -EBUSY, "so is push");
	is_int(shmring_commit(&ring, 101), -EMSGSIZE, "it cannot grow");
	memset(place, 7, 100);
	is_int(shmring_commit(&ring, 100), 0, "commit");
	is_int(shmring_commit(&ring, 100), -ENOMSG, "once");
	is_int(shmring_pop(&ring, in, sizeof(in)), 100, "it is there");
	ok(in[0] == 7 && in[99] == 7, "with its bytes");
	for (size_t i = 0; i <= SLOT_SIZE; i++) {
		place = shmring_reserve(&ring, SLOT_SIZE);
		wrong += (uintptr_t)place % 8 != 0;
		message_write(place, i, i);
		wrong += shmring_commit(&ring, i) != 0;
		wrong += shmring_pop(&ring, in, sizeof(in)) != (ssize_t)i;
		wrong += !message_is(in, i, i);
	}
	is_int(wrong, 0, "shrunk to 0, ..., %d bytes", SLOT_SIZE);
	for (size_t i = 0; i <= SLOT_SIZE; i++) {
		wrong += shmring_push(&ring, in, i) != 0;
		wrong += (uintptr_t)shmring_peek(&ring, &size) % 8 != 0;
		wrong += size != i || shmring_release(&ring) != 0;
	}
	is_int(wrong, 0, "each of these places is aligned, to read as well");
	shmring_close(&ring);
}

static void
abort_at_will(uint32_t mode)
{
	struct shmring ring;
	int64_t in = 0, out = 0, number;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, 8);
	shmring_abort(&ring);
	is_int(push_number(&ring, 5), 0, "abort without a reserve is nothing");
	is_int(pop_number(&ring), 5, "at all");
	for (int i = 0; i < 1000; i++) {
		uint64_t choice = tap_random() % 4;

		if (choice == 3) {
			number = pop_number(&ring);
			wrong += number != (out < in ? out : -EAGAIN);
			out += number >= 0;
		} else {
			void *place = shmring_reserve(&ring, 8);

			wrong += !place && shmring_error(&ring) != -EAGAIN;
			if (place && choice == 0) {
				memcpy(place, &in, 8);
				wrong += shmring_commit(&ring, 8) != 0;
				in++;
			} else if (place) {
				memset(place, 0xff, 8);
				shmring_abort(&ring);
			}
		}
	}
	while (out < in)
		wrong += pop_number(&ring) != out++;
	is_int(wrong, 0, "what was aborted does not come, the rest does");
	is_int(pop_number(&ring), -EAGAIN, "and no more");
	for (size_t i = 0; i < shmring_capacity(&ring); i++)
		wrong += push_number(&ring, i) != 0;
	is_int(wrong, 0, "no space is lost");
	ok(!shmring_reserve(&ring, 8), "no place when full");
	is_int(shmring_error(&ring), -EAGAIN, "for the moment");
	shmring_close(&ring);
}

static void
read_in_place(uint32_t mode)
{
	struct shmring ring;
	const uint64_t *place;
	size_t size = 0;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, 8);
	is_int(shmring_release(&ring), -ENOMSG, "release needs a peek");
	ok(!shmring_peek(&ring, &size), "nothing to see");
	is_int(shmring_error(&ring), -EAGAIN, "yet");
	push_number(&ring, 1);
	push_number(&ring, 2);
	place = shmring_peek(&ring, &size);
	ok(place && *place == 1 && size == 8, "a message");
	ok(!shmring_peek(&ring, &size), "a second peek");
	is_int(shmring_error(&ring), -EBUSY, "is refused");
	is_int(pop_number(&ring), -EBUSY, "so is pop");
	while (push_number(&ring, 3) == 0) /* all round the ring */
		;
	ok(*place == 1, "nobody writes over it");
	is_int(shmring_release(&ring), 0, "release");
	is_int(shmring_release(&ring), -ENOMSG, "once");
	is_int(pop_number(&ring), 2, "the next");
	while (pop_number(&ring) == 3)
		;
	for (uint64_t i = 0; i < 10 * SLOTS; i++) {
		push_number(&ring, i);
		place = shmring_peek(&ring, &size);
		wrong += !place || *place != i || shmring_release(&ring);
	}
	is_int(wrong, 0, "lap after lap");
	shmring_close(&ring);
}

static void
refuse_without_role(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .roles = SHMRING_PRODUCER };
	struct shmring writer, reader, looker;
	size_t size;

	if (shmring_create_memfd(&writer, &config))
		bail("cannot create a ring");
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	ring_dup(&looker, &writer, SHMRING_OBSERVER);
	is_int(pop_number(&writer), -EPERM, "a producer cannot pop");
	ok(!shmring_peek(&writer, &size) && shmring_error(&writer) == -EPERM,
	   "nor peek");
	is_int(push_number(&reader, 1), -EPERM, "a consumer cannot push");
	ok(!shmring_reserve(&reader, 1) && shmring_error(&reader) == -EPERM,
	   "nor reserve");
	is_int(shmring_flush(&reader, 0), -EPERM, "nor flush");
	is_int(shmring_pop_array(&writer, &size, 8, 1), -EPERM, "nor arrays");
	is_int(shmring_push_array(&reader, &size, 8, 1), -EPERM, "nor arrays");
	is_int(push_number(&looker, 1), -EPERM, "an observer cannot push");
	is_int(pop_number(&looker), -EPERM, "nor pop");
	is_int(shmring_recover(&looker), -EPERM, "nor recover");
	shmring_close(&looker);
	shmring_close(&reader);
	shmring_close(&writer);
}

static void
count_exactly(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .slots = SLOTS,
					 .slot_size = 8,
					 .flags = ring_flags,
					 .alignment = ring_alignment,
					 .roles = SHMRING_PRODUCER };
	const uint64_t record = mode == SHMRING_SPSC ? record_of_8() : 16;
	struct shmring_participant one = { 0 };
	struct shmring_stat all;
	struct shmring writer, reader, looker;
	uint64_t pushed = 0, full_before;
	uint32_t writes = 0;

	if (shmring_create_memfd(&writer, &config))
		bail("cannot create a ring");
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	ring_dup(&looker, &writer, SHMRING_OBSERVER);
	is_int(pop_number(&reader), -EAGAIN, "empty, once");
	is_int(pop_number(&reader), -EAGAIN, "and still");
	while (push_number(&writer, pushed) == 0)
		pushed++;
	push_number(&writer, 0);
	for (int i = 0; i < 5; i++)
		pop_number(&reader);
	is_int(shmring_stat(&looker, &all), 0, "an observer sees it all:");
	ok(all.pushed == pushed && all.pushed_bytes == (record - 8) * pushed,
	   "pushed, messages and bytes");
	ok(all.popped == 5 && all.popped_bytes == 5 * (record - 8),
	   "popped, too");
	ok(all.full == 1 && all.empty == 1, "full and empty, once each");
	is_int(all.refused, 2, "two pushes were refused");
	ok(all.sleeps == 0 && all.wakes == 0, "no sleep, no wake");
	ok(all.producers == 1 && all.consumers == 1, "who is there");
	is_int(all.length, (pushed - 5) * (mode == SHMRING_SPSC ? record : 1),
	       "length: bytes with headers (SPSC), messages (MPMC)");
	is_int(all.capacity, mode == SHMRING_SPSC ? 4096 : SLOTS, "capacity");
	is_int(all.high_water,
	       ring_flags ? pushed * (mode == SHMRING_SPSC ? record : 1) : 0,
	       "the most that there ever was");
	full_before = all.full;
	push_number(&writer, 0);
	shmring_stat(&looker, &all);
	is_int(all.full, full_before, "a push that fits is not counted full");

	while (shmring_participant(&looker, writes, &one) ||
	       one.roles != SHMRING_PRODUCER)
		writes++;
	ok(one.pid == (uint32_t)getpid() && one.pushed == pushed + 1 &&
		   one.popped == 0 && one.full == 1 && one.empty == 0,
	   "the producer's own counters");
	shmring_participant(&looker, 1 - writes, &one);
	ok(one.roles == SHMRING_CONSUMER && one.popped == 5 &&
		   one.pushed == 0 && one.empty == 1,
	   "the consumer's own counters");
	shmring_close(&reader);
	is_int(shmring_participant(&looker, 1 - writes, &one), -ENOENT,
	       "nobody there");
	is_int(one.popped, 5, "though its counters stay");
	is_int(shmring_participant(&looker, all.participants, &one), -ERANGE,
	       "no such participant");
	shmring_close(&looker);
	shmring_close(&writer);
}

/* Whether these are the messages from this number on. */
static int
are_numbers(const struct iovec *messages, ssize_t count, uint64_t from)
{
	for (ssize_t i = 0; i < count; i++, from++)
		if (messages[i].iov_len != 8 ||
		    memcmp(messages[i].iov_base, &from, 8) != 0)
			return 0;
	return 1;
}

static void
read_several_in_place(uint32_t mode)
{
	struct shmring ring;
	struct iovec seen[SLOTS];
	size_t size;

	ring_make(&ring, mode, SLOTS, 8);
	push_number(&ring, 0);
	if (mode == SHMRING_MPMC) {
		is_int(shmring_peek_n(&ring, seen, 2), -ENOTSUP, "one a claim");
		shmring_peek(&ring, &size);
		is_int(shmring_release_n(&ring, 2), -ERANGE, "not two");
		is_int(shmring_release_n(&ring, 1), 0, "but one");
		shmring_close(&ring);
		return;
	}
	for (uint64_t i = 1; i < 5; i++)
		push_number(&ring, i);
	is_int(shmring_peek_n(&ring, seen, 3), 3, "three of five");
	ok(are_numbers(seen, 3, 0), "the first");
	is_int(pop_number(&ring), -EBUSY, "nothing else meanwhile");
	ok(!shmring_peek(&ring, &size), "nor one");
	is_int(shmring_release_n(&ring, 4), -ERANGE, "not more than that");
	is_int(shmring_release_n(&ring, 2), 0, "two of them");
	is_int(shmring_peek_n(&ring, seen, SLOTS), 3, "what is left, and new");
	ok(are_numbers(seen, 3, 2), "in order");
	is_int(shmring_release_n(&ring, 1), 0, "one more");
	is_int(shmring_release(&ring), 0, "and by release");
	is_int(shmring_release_n(&ring, 1), -ENOMSG, "the rest is let go");
	is_int(pop_number(&ring), 4, "and comes");
	is_int(shmring_peek_n(&ring, seen, 3), -EAGAIN, "empty");
	is_int(shmring_peek_n(&ring, seen, 0), -ERANGE, "none at all");
	/* across the end of the mapping, many times */
	int wrong = 0;
	for (uint64_t i = 0; i < 3000; i += 3) {
		for (uint64_t k = 0; k < 3; k++)
			wrong += push_number(&ring, i + k) != 0;
		wrong += shmring_peek_n(&ring, seen, 3) != 3 ||
			 !are_numbers(seen, 3, i) ||
			 shmring_release_n(&ring, 3) != 0;
	}
	is_int(wrong, 0, "three at a time, all around");
	is_int(shmring_length(&ring), 0, "and all is free again");
	for (uint64_t i = 0; i < 4; i++)
		push_number(&ring, i);
	shmring_peek_n(&ring, seen, 3);
	ring_reopen(&ring);
	for (int i = 0; i < 4; i++) {
		wrong += pop_number(&ring) != i;
		wrong += shmring_redelivered(&ring) != (i < 3);
	}
	is_int(wrong, 0, "left in hands: they come again, those marked");
	shmring_close(&ring);
	is_int(shmring_peek_n(&ring, seen, 1), -EBADF, "a closed handle");
}

#define MOST 20 /* messages in an array */

/* What has come of an array, by this call or that. */
static ssize_t
take_some(struct shmring *ring, unsigned way, unsigned char *to, size_t size)
{
	int several = ring->mode == SHMRING_SPSC;
	struct iovec parts[3];
	ssize_t n = 1;

	for (size_t i = 0; i < 3; i++)
		parts[i] = (struct iovec){ to + i * size, size };
	switch (way % 4) {
	case 0:
		return shmring_pop(ring, to, size) == (ssize_t)size ? 1 : -1;
	case 1:
		return shmring_pop_array(ring, to, size, 3);
	case 2:
		n = shmring_pop_n(ring, parts, 3);
		break;
	default:
		if (several && way / 4 % 2)
			n = shmring_peek_n(ring, parts, 3);
		else
			parts[0].iov_base = (void *)(uintptr_t)shmring_peek(
				ring, &parts[0].iov_len);
		for (ssize_t i = 0; i < n && size; i++)
			memcpy(to + i * (ssize_t)size, parts[i].iov_base, size);
		if (n == 1 ? shmring_release(ring)
			   : shmring_release_n(ring, (size_t)n))
			return -1;
	}
	for (ssize_t i = 0; i < n; i++)
		if (parts[i].iov_len != size)
			return -1;
	return n;
}

/* Arrays of every length of message, taken by all calls in turn. */
static void
move_arrays(uint32_t mode)
{
	unsigned char out[MOST * SLOT_SIZE], in[(MOST + 3) * SLOT_SIZE];
	struct shmring ring;
	unsigned way = 0;
	int wrong = 0;

	memset(in, 0, sizeof(in));
	ring_make(&ring, mode, 32, SLOT_SIZE);
	for (size_t size = 0; size <= SLOT_SIZE; size++) {
		for (ssize_t count = 0; count <= MOST; count++) {
			ssize_t came = 0, n = 0;

			for (size_t i = 0; i < MOST * size; i++)
				out[i] = (unsigned char)(i + size);
			wrong += shmring_push_array(&ring, out, size,
						    (size_t)count) != count;
			for (; n >= 0 && came < count; came += n)
				n = take_some(&ring, way++,
					      in + came * (ssize_t)size, size);
			wrong += came != count ||
				 memcmp(in, out, (size_t)count * size) != 0;
			wrong += shmring_length(&ring) != 0;
		}
	}
	is_int(wrong, 0, "arrays of 0 to %d bytes come as they went",
	       SLOT_SIZE);
	shmring_push_array(&ring, "abcdef", 2, 3);
	size_t size = 0;
	ok(shmring_peek(&ring, &size) && size == 2, "one of an array");
	is_int(shmring_release_n(&ring, 0), -ERANGE, "is not none");
	is_int(shmring_release_n(&ring, 2), -ERANGE, "nor two");
	is_int(shmring_release_n(&ring, 1), 0, "but one");
	is_int(shmring_pop_array(&ring, in, 2, 3), 2, "the rest");
	memset(in, 0xff, sizeof(in));
	shmring_push_array(&ring, "abcdefghi", 3, 3);
	is_int(shmring_pop_array(&ring, in, 2, 3), -EMSGSIZE, "too long");
	is_int(shmring_pop_array(&ring, in, 5, 2), 2, "shorter");
	ok(memcmp(in, "abc\0\0def\0\0\377", 11) == 0, "filled up with zeros");
	is_int(shmring_push(&ring, "jklmno", 6), 0, "one that is longer");
	is_int(shmring_pop_array(&ring, in, 5, 2), 1, "ends an array");
	is_int(shmring_pop_array(&ring, in, 6, 2), 1, "and stays");
	ok(memcmp(in, "jklmno", 6) == 0, "whole");
	is_int(shmring_pop_array(&ring, in, 6, 2), -EAGAIN, "empty");
	is_int(shmring_pop_array(&ring, in, 6, 0), 0, "none out");
	is_int(shmring_push_array(&ring, in, SLOT_SIZE + 1, 1), -EMSGSIZE,
	       "none that is too long");
	shmring_close(&ring);
	is_int(shmring_push_array(&ring, in, 1, 1), -EBADF, "closed");
	is_int(shmring_pop_array(&ring, in, 1, 1), -EBADF, "closed");
}

/* As many of an array as fit: eight share a header, where places have no
 * alignment. */
static void
fill_with_an_array(uint32_t mode)
{
	enum { ALL = 600 };
	uint64_t out[ALL], in[ALL];
	struct shmring_stat all;
	struct shmring ring;
	uint64_t pushed = 0;
	uint64_t payload = mode == SHMRING_SPSC ? record_of_8() - 8 : 8;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, 8);
	shmring_stat(&ring, &all);
	ssize_t room = (ssize_t)shmring_capacity(&ring);
	if (mode == SHMRING_SPSC && record_of_8() == 16 && !ring_flags) {
		/* behind the last one is a word for the next header */
		room = (ssize_t)(all.capacity / 8 - 1);
		room = room / 9 * 8 + (room % 9 ? room % 9 - 1 : 0);
	}
	for (uint64_t i = 0; i < ALL; i++)
		out[i] = i;
	for (uint64_t lap = 0; lap < 50; lap++) {
		size_t size = 8, came = 0;
		const void *first = NULL;

		wrong += shmring_push_array(&ring, out, 8, ALL) != room;
		wrong += shmring_push_array(&ring, out, 8, 1) != -EAGAIN;
		for (; came < lap % 8; came++)
			wrong += pop_number(&ring) != (int64_t)came;
		if (lap % 2)
			first = shmring_peek(&ring, &size);
		wrong += size != 8 || (lap % 2 && memcmp(first, &came, 8) != 0);
		if (first)
			shmring_release(&ring);
		came += lap % 2;
		wrong += shmring_pop_array(&ring, in, 8, ALL) !=
			 room - (ssize_t)came;
		wrong += memcmp(in, out + came, 8 * ((size_t)room - came)) != 0;
		pushed += (uint64_t)room;
		shmring_stat(&ring, &all);
		wrong += all.pushed != pushed || all.popped != pushed ||
			 all.pushed_bytes != pushed * payload ||
			 all.popped_bytes != pushed * payload;
		wrong += shmring_push_array(&ring, out, 8, 3) != 3;
		pushed += 3;
		for (uint64_t k = 0; k < 3; k++) {
			wrong += pop_number(&ring) != (int64_t)k;
			shmring_stat(&ring, &all);
			wrong += all.pushed_bytes != pushed * payload ||
				 all.popped_bytes != (pushed - 2 + k) * payload;
		}
	}
	is_int(wrong, 0, "%zd of an array fit, in every lap", room);
	shmring_close(&ring);
}

/* Where a message stands, which only grows and survives who comes and goes. */
static void
tell_positions(uint32_t mode)
{
	const uint64_t step = mode == SHMRING_SPSC ? record_of_8() : 1;
	unsigned char id[16], again[16];
	struct shmring ring;
	size_t size;

	ring_make(&ring, mode, SLOTS, 8);
	is_int(shmring_id(&ring, id), 0, "an id");
	is_int(shmring_position(&ring, SHMRING_PRODUCER), 0, "from 0 on");
	push_number(&ring, 0);
	push_number(&ring, 1);
	is_int(shmring_position(&ring, SHMRING_PRODUCER), 2 * step, "to write");
	is_int(shmring_position(&ring, SHMRING_CONSUMER), 0, "to read");
	shmring_peek(&ring, &size);
	is_int(shmring_position(&ring, SHMRING_CONSUMER), 0, "in hands");
	shmring_release(&ring);
	is_int(shmring_position(&ring, SHMRING_CONSUMER), step, "the next");
	ring_reopen(&ring);
	is_int(shmring_position(&ring, SHMRING_CONSUMER), step, "still");
	shmring_id(&ring, again);
	ok(memcmp(id, again, 16) == 0, "the same ring");
	shmring_close(&ring);
	is_int(shmring_id(&ring, again), -EBADF, "closed: no id");
	is_int(shmring_position(&ring, SHMRING_CONSUMER), 0, "no position");
	ring_make(&ring, mode, SLOTS, 8);
	shmring_id(&ring, again);
	ok(memcmp(id, again, 16) != 0, "another ring has another");
	shmring_close(&ring);
}

static void
leave_errno_alone(uint32_t mode)
{
	struct shmring ring;
	int wrong = 0;

	errno = 12345;
	ring_make(&ring, mode, SLOTS, 8);
	wrong += errno != 12345;
	while (push_number(&ring, 1) == 0)
		;
	shmring_push_wait(&ring, "", 1, MILLISECOND);
	while (pop_number(&ring) >= 0)
		;
	shmring_pop_wait(&ring, &wrong, sizeof(wrong), MILLISECOND);
	shmring_open(&ring, "/no such ring", 0, 0);
	shmring_unlink("/no such ring");
	shmring_close(&ring);
	is_int(wrong + (errno != 12345), 0, "errno is as it was");
}

int
main(void)
{
	const struct {
		uint32_t alignment, flags;
	} kinds[] = { { 0, 0 },
		      { 0, SHMRING_METERED },
		      { 64, 0 },
		      { 128, SHMRING_METERED } };

	tap_start();
	for (int i = 0; i < 8; i++) {
		uint32_t mode = i & 1 ? SHMRING_MPMC : SHMRING_SPSC;

		ring_alignment = kinds[i / 2].alignment;
		ring_flags = kinds[i / 2].flags;
		printf("# %s, aligned to %u%s\n", mode_name[mode],
		       ring_alignment, ring_flags ? ", metered" : "");
		carry_every_length(mode);
		keep_what_does_not_fit(mode);
		fill_and_drain(mode);
		cross_two_mappings(mode);
		move_batches(mode);
		move_arrays(mode);
		fill_with_an_array(mode);
		write_in_place(mode);
		abort_at_will(mode);
		read_in_place(mode);
		read_several_in_place(mode);
		tell_positions(mode);
		refuse_without_role(mode);
		count_exactly(mode);
		leave_errno_alone(mode);
	}
	return tap_done();
}
