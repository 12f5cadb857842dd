/* SPDX-License-Identifier: MIT
 *
 * Description: config.alignment and SHMRING_METERED in all three engines:
 * where places are, that messages of all lengths come as they went by each
 * call, that others read on and write on there, hostile headers; the high-water
 * mark, the age of the oldest message, refused pushes.
 */
#include "ring.h"

#define SLOTS 16
#define ROUNDS (TAP_SANITIZED ? 100 : 400)
#define LARGEST 5000

static const uint32_t alignments[] = { 8, 16, 32, 64, 512, 4096 };
static const uint32_t sizes[] = { 8, 24, 56, 120, 300, LARGEST };

struct pair {
	struct shmring writer, reader;
	uint64_t in, out; /* messages */
	uint32_t unit, slot_size;
	int mode, wrong;
};

static void
pair_open(struct pair *pair)
{
	struct shmring_config config = { .mode = (uint32_t)pair->mode,
					 .slots = SLOTS,
					 .slot_size = pair->slot_size,
					 .alignment = ring_alignment,
					 .flags = ring_flags,
					 .roles = SHMRING_PRODUCER };
	int error = shmring_create_memfd(&pair->writer, &config);

	if (error)
		bail(shmring_strerror(error));
	ring_dup(&pair->reader, &pair->writer, SHMRING_CONSUMER);
	pair->unit = ring_alignment;
	if (ring_flags && pair->unit == 8)
		pair->unit = 16;
}

static void
pair_close(struct pair *pair)
{
	shmring_close(&pair->reader);
	shmring_close(&pair->writer);
}

static int
is_misplaced(const struct pair *pair, const void *place)
{
	return (uintptr_t)place % pair->unit != 0;
}

static size_t
length_of(const struct pair *pair, uint64_t number)
{
	return number * 7919 % (pair->slot_size + 1);
}

/* Push as many as fit, one way or another. */
static void
send_some(struct pair *pair)
{
	static unsigned char bytes[3][LARGEST];
	struct iovec batch[3];

	for (;;) {
		size_t size = length_of(pair, pair->in);
		size_t way = pair->in / 3 % 3;

		if (way == 0) {
			message_write(bytes[0], size, pair->in);
			if (shmring_push(&pair->writer, bytes[0], size))
				return;
			pair->in++;
		} else if (way == 1) { /* and smaller than was thought */
			size_t more = size + tap_random() % 100;
			void *place = shmring_reserve(&pair->writer,
						      more > pair->slot_size
							      ? pair->slot_size
							      : more);
			if (!place)
				return;
			message_write(place, size, pair->in);
			pair->wrong += is_misplaced(pair, place);
			pair->wrong += shmring_commit(&pair->writer, size) != 0;
			pair->in++;
		} else {
			for (unsigned i = 0; i < 3; i++) {
				batch[i].iov_base = bytes[i];
				batch[i].iov_len =
					length_of(pair, pair->in + i);
				message_write(bytes[i], batch[i].iov_len,
					      pair->in + i);
			}
			ssize_t n = shmring_push_n(&pair->writer, batch, 3);
			if (n <= 0)
				return;
			pair->in += (uint64_t)n;
		}
	}
}

static void
check(struct pair *pair, const void *message, size_t size)
{
	pair->wrong += size != length_of(pair, pair->out) ||
		       !message_is(message, size, pair->out);
	pair->out++;
}

/* Pop what is there, but for some, one way or another. */
static void
receive_some(struct pair *pair)
{
	static unsigned char bytes[3][LARGEST];
	struct iovec batch[3];
	uint64_t keep = tap_random() % 3;

	while (pair->out + keep < pair->in && !pair->wrong) {
		unsigned way = (unsigned)(tap_random() % 4);
		ssize_t n = 0;

		for (unsigned i = 0; i < 3; i++) {
			batch[i].iov_base = bytes[i];
			batch[i].iov_len = LARGEST;
		}
		if (way == 0) {
			n = shmring_pop(&pair->reader, bytes[0], LARGEST);
			if (n >= 0)
				check(pair, bytes[0], (size_t)n);
		} else if (way == 1) {
			n = shmring_pop_n(&pair->reader, batch, 3);
			for (ssize_t i = 0; i < n; i++)
				check(pair, bytes[i], batch[i].iov_len);
		} else if (way == 2) {
			size_t size;
			const void *m = shmring_peek(&pair->reader, &size);

			pair->wrong += !m || is_misplaced(pair, m);
			if (m)
				check(pair, m, size);
			pair->wrong += shmring_release(&pair->reader) != 0;
		} else if (pair->mode == SHMRING_SPSC) {
			n = shmring_peek_n(&pair->reader, batch, 3);
			for (ssize_t i = 0; i < n; i++) {
				pair->wrong +=
					is_misplaced(pair, batch[i].iov_base);
				check(pair, batch[i].iov_base,
				      batch[i].iov_len);
			}
			n = shmring_release_n(&pair->reader, (size_t)n);
		}
		pair->wrong += n < 0;
	}
}

/* Both sides by new handles. */
static void
succeed(struct pair *pair)
{
	struct shmring old = pair->writer;

	/* A reader of BROADCAST that goes loses its place. */
	if (pair->mode != SHMRING_BROADCAST) {
		shmring_close(&pair->reader);
		ring_dup(&pair->reader, &pair->writer, SHMRING_CONSUMER);
	}
	pair->writer.map.pass = -1; /* of which the new one takes care */
	shmring_close(&pair->writer);
	ring_dup(&pair->writer, &pair->reader, SHMRING_PRODUCER);
	pair->writer.map.pass = old.map.pass;
}

static void
carry_all_lengths(int mode, uint32_t slot_size)
{
	struct pair pair = { .mode = mode, .slot_size = slot_size };

	pair_open(&pair);
	for (int round = 0; round < ROUNDS && !pair.wrong; round++) {
		send_some(&pair);
		receive_some(&pair);
		if (round % 16 == 15)
			succeed(&pair);
	}
	ok(!pair.wrong && pair.in > ROUNDS,
	   "%s, aligned to %u%s, up to %u bytes: %" PRIu64 " messages",
	   mode_name[mode], ring_alignment, ring_flags ? ", metered" : "",
	   slot_size, pair.in);
	pair_close(&pair);
}

/* As many as were asked for fit, and all of it is used. */
static void
hold_the_slots(int mode)
{
	struct pair pair = { .mode = mode, .slot_size = 56 };
	static const unsigned char message[56];
	unsigned n = 0;

	pair_open(&pair);
	while (!shmring_push(&pair.writer, message, sizeof(message)))
		n++;
	ok(n >= SLOTS && n >= shmring_capacity(&pair.writer),
	   "%s, aligned to %u: room for %u", mode_name[mode], ring_alignment,
	   n);
	pair_close(&pair);
}

/* 56 bytes and their header are one cache line. */
static void
share_a_line(int mode)
{
	struct pair pair = { .mode = mode, .slot_size = 56 };
	size_t size;

	ring_alignment = 64;
	pair_open(&pair);
	for (int i = 0; i < 3; i++) {
		unsigned char *place = shmring_reserve(&pair.writer, 56);
		uint64_t at = shmring_position(&pair.writer, SHMRING_PRODUCER);
		uint64_t *header =
			mode == SHMRING_MPMC
				? shmring__phase_word(&pair.writer, at)
				: shmring__header_at(&pair.writer, at);

		ok(place && (unsigned char *)header == place + 56,
		   "%s: the header is the last word of the line",
		   mode_name[mode]);
		shmring_commit(&pair.writer, 56);
	}
	is_int(shmring_position(&pair.writer, SHMRING_PRODUCER),
	       mode == SHMRING_MPMC ? 3 : 192, "line by line");
	ok(shmring_peek(&pair.reader, &size) && size == 56, "read there");
	pair_close(&pair);
}

/* Headers that no writer writes, between the near and the others, or beyond. */
static void
distrust_headers(void)
{
	const uint64_t headers[] = { 58, 64, 300 + 56 + 2, UINT64_MAX };
	unsigned char buffer[512];
	size_t size;

	ring_alignment = 64;
	for (unsigned i = 0; i < 8; i++) {
		struct pair pair = { .mode = SHMRING_SPSC, .slot_size = 300 };
		ssize_t got;

		pair_open(&pair);
		*shmring__header_at(&pair.writer, 0) = headers[i / 2];
		got = i % 2 ? shmring_pop(&pair.reader, buffer, sizeof(buffer))
		      : shmring_peek(&pair.reader, &size)
			      ? 0
			      : shmring_error(&pair.reader);
		is_int(got, -EBADMSG, "a header of %" PRIu64 " is refused",
		       headers[i / 2]);
		pair_close(&pair);
	}
}

static void
refuse_alignments(void)
{
	const uint32_t bad[] = { 1, 4, 7, 24, 8192, UINT32_MAX };
	struct shmring ring;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct shmring_config config = { .alignment = bad[i] };

		is_int(shmring_create_memfd(&ring, &config), -ERANGE,
		       "an alignment of %u is refused", bad[i]);
	}
}

static uint64_t
age_of(const struct pair *pair)
{
	struct shmring_stat all;

	shmring_stat(&pair->reader, &all);
	return all.age_ns;
}

static void
tell_the_age(int mode)
{
	struct pair pair = { .mode = mode, .slot_size = 8 };
	struct shmring_stat all;
	uint64_t first, second;

	ring_flags = SHMRING_METERED;
	pair_open(&pair);
	is_int(age_of(&pair), 0, "%s, metered: nothing is old",
	       mode_name[mode]);
	push_number(&pair.writer, 0);
	shmring__nap(20 * MILLISECOND);
	push_number(&pair.writer, 1);
	shmring__nap(20 * MILLISECOND);
	first = age_of(&pair);
	pop_number(&pair.reader);
	second = age_of(&pair);
	ok(first >= 40 * MILLISECOND && first < GENEROUS,
	   "the oldest is 40 ms old");
	ok(second >= 20 * MILLISECOND && second < first, "the next is younger");
	pop_number(&pair.reader);
	is_int(age_of(&pair), 0, "then there is none");
	push_number(&pair.writer, 2);
	shmring_stat(&pair.reader, &all);
	is_int(all.high_water, mode == SHMRING_MPMC ? 2 : 64,
	       "there never was more than two");
	pair_close(&pair);
	ring_flags = 0;
	pair_open(&pair);
	push_number(&pair.writer, 0);
	shmring__nap(MILLISECOND);
	shmring_stat(&pair.reader, &all);
	ok(!all.age_ns && !all.high_water, "who does not ask is not told");
	pair_close(&pair);
}

static void
count_refusals(int mode)
{
	struct pair pair = { .mode = mode, .slot_size = 8 };
	struct shmring_stat all;
	uint64_t number = 0;
	struct iovec one = { &number, 8 };

	pair_open(&pair);
	while (!push_number(&pair.writer, 0))
		;
	shmring_reserve(&pair.writer, 8);
	shmring_push_n(&pair.writer, &one, 1);
	shmring_push_wait(&pair.writer, &number, 8, 0);
	shmring_stat(&pair.reader, &all);
	is_int(all.refused, 4, "%s: four found no room", mode_name[mode]);
	shmring_push_wait(&pair.writer, &number, 8, 10 * MILLISECOND);
	shmring_reserve_wait(&pair.writer, 8, MILLISECOND);
	shmring_flush(&pair.writer, MILLISECOND);
	shmring_stat(&pair.reader, &all);
	is_int(all.refused, 6, "nor two in their time");
	pop_number(&pair.reader);
	is_int(shmring_push_wait(&pair.writer, &number, 8, GENEROUS), 0,
	       "who finds some");
	shmring_stat(&pair.reader, &all);
	is_int(all.refused, 6, "is not refused");
	pair_close(&pair);
}

int
main(void)
{
	tap_start();
	refuse_alignments();
	for (int mode = SHMRING_SPSC; mode <= SHMRING_BROADCAST; mode++) {
		for (unsigned i = 0; i < 12; i++) {
			ring_alignment = alignments[i / 2];
			ring_flags = i % 2 ? SHMRING_METERED : 0;
			for (unsigned k = 0; k < 6; k++)
				carry_all_lengths(mode, sizes[k]);
			hold_the_slots(mode);
		}
		ring_flags = ring_alignment = 0;
		count_refusals(mode);
		tell_the_age(mode);
		share_a_line(mode);
	}
	distrust_headers();
	return tap_done();
}
