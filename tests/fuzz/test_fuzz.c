/* SPDX-License-Identifier: MIT
 *
 * Description: hostile content. An input is a program: it damages the segment
 * anywhere, between calls of every kind by one or two handles that come, go
 * and die. Each call must end, with a result that its documentation names,
 * and touch nothing outside its mapping (guard pages, address sanitizer).
 * With libFuzzer (tests/fuzz/run.sh) the inputs are evolved; alone it runs
 * the seeds and then random inputs.
 *
 * A ring of each shape is made once; before every input, segment and handle
 * are what they were after creation, byte by byte.
 */
#include <stdint.h>

/* Time is how often somebody looked at the clock, or slept until: no input
 * waits, and each takes the same path every time. The kernel looks at the word
 * that somebody would sleep on, and finds that it need not. */
static int64_t clock_looks;
#define SHMRING_NOW() (++clock_looks)
#define SHMRING_PATIENCE_NS 2
#define SHMRING_SLICE_NS 4
#define SHMRING_FUTEX_WAIT(word, value, until)                        \
	(clock_looks = clock_looks < (until) ? (until) : clock_looks, \
	 shmring__futex_wait(word, ~(value), 0))
#include "shmring.h"
#include "tap.h"
#include <limits.h>

#define LARGEST 64 /* slot_size */
#define TIMEOUT 6 /* of waiting calls: several slices */
#define OPENS 4 /* an input: most of its time, and more find no more */
#define NOBODY UINT32_C(0x7ffffffe) /* a pid that the kernel never gives */
#define GAP (INT64_C(1) << 30) /* nothing near a ring but its guards */

struct stage {
	struct shmring ring; /* in use */
	struct shmring pristine; /* the same after creation */
	struct shmring__canary canary;
	unsigned char *file; /* the segment, writable everywhere */
	unsigned char *content; /* what it held after creation */
};

static const uint8_t *input, *input_end;

static uint64_t
take(unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- && input < input_end)
		value = value << 8 | *input++;
	return value;
}

static void
insist(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz: %s\n", what);
		abort();
	}
}

/* Errors that a call on an open handle may return. */
static void
allowed(ssize_t result)
{
	static const int errors[] = { EAGAIN,	ETIMEDOUT, EPIPE,
				      EMSGSIZE, EBADMSG,   EBUSY,
				      ENOMSG,	EPERM,	   ENOBUFS };
	int known = result >= 0;

	for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		known |= result == -errors[i];
	insist(known, "unexpected error");
}

/* Damage one word, or one bit, of what the next bytes choose. */
static void
damage(const struct shmring *ring, unsigned char *file, int bit)
{
	const struct shmring__geometry *g = &ring->geometry;
	/* BROADCAST has none of these, but marks */
	const uint64_t consumer = g->consumer ? g->consumer : g->index + 136;
	const uint64_t states = g->states ? g->states : g->index + 256;
	const uint64_t starts[] = { 0,
				    256,
				    384,
				    g->index,
				    g->index + 128,
				    consumer,
				    g->consumer ? consumer + 128 : consumer + 8,
				    states,
				    g->data,
				    0 };
	const uint64_t lengths[] = { 256, 128, 256, 8,	  8,
				     8,	  8,   512, 1024, g->total };
	unsigned part = (unsigned)take(1) % 10;
	uint64_t offset = starts[part] + take(2) * 8 % lengths[part];
	uint64_t word;

	offset = offset % g->total & ~UINT64_C(7);
	memcpy(&word, file + offset, 8);
	if (bit)
		word ^= UINT64_C(1) << take(1) % 64;
	else if (take(1) % 2)
		word += (uint64_t)(int8_t)take(1);
	else
		word = take(8);
	memcpy(file + offset, &word, 8);
}

static void
call(struct shmring *ring, unsigned what)
{
	unsigned char buffer[LARGEST] = { 0 }, array[16 * 80] = { 0 };
	struct iovec seen[8];
	int several;
	struct iovec batch[2] = { { buffer, 8 }, { buffer + 8, 8 } };
	struct shmring_stat stat;
	struct shmring_participant one;
	size_t size = 0;
	ssize_t got;
	void *place;
	const void *message;

	switch (what) {
	case 0:
		allowed(shmring_push(ring, buffer, take(1) % (LARGEST + 2)));
		break;
	case 1:
		size = take(1) % (LARGEST + 1);
		got = shmring_pop(ring, buffer, size);
		insist(got <= (ssize_t)size, "pop beyond its buffer");
		allowed(got);
		break;
	case 2:
		size = take(1) % (LARGEST + 2);
		place = shmring_reserve(ring, size);
		if (place)
			memset(place, 1, size);
		else
			allowed(shmring_error(ring));
		break;
	case 3:
		allowed(shmring_commit(ring, take(1) % (LARGEST + 2)));
		break;
	case 4:
		shmring_abort(ring);
		break;
	case 5:
		message = shmring_peek(ring, &size);
		if (message) {
			insist(size <= LARGEST, "peek beyond slot_size");
			for (size_t i = 0; i < size; i++)
				buffer[i] = ((const unsigned char *)message)[i];
		} else {
			allowed(shmring_error(ring));
		}
		break;
	case 6:
		allowed(shmring_release(ring));
		break;
	case 7:
		size = take(1) % 16;
		allowed(size < 2 ? shmring_push_n(ring, batch, 2)
				 : shmring_push_array(ring, array, size * 5,
						      size));
		break;
	case 8:
		size = take(1) % 16;
		several = size >= 4 && size < 8 && ring->mode == SHMRING_SPSC;
		got = several ? shmring_peek_n(ring, seen, size)
		      : size < 8
			      ? shmring_pop_n(ring, batch, 2)
			      : shmring_pop_array(ring, array, size * 5, size);
		allowed(got);
		for (ssize_t i = 0; several && i < got; i++) {
			insist(seen[i].iov_len <= LARGEST,
			       "peek_n beyond slot_size");
			memcpy(buffer, seen[i].iov_base, seen[i].iov_len);
		}
		if (several && got > 0)
			allowed(shmring_release_n(ring, (size_t)got / 2 + 1));
		break;
	case 9:
		if (ring->mode == SHMRING_BROADCAST) {
			got = shmring_seek(ring, take(1) % 2 ? take(8)
							     : SHMRING_OLDEST);
			insist(got != -ENOTSUP, "seek");
		}
		allowed(shmring_recover(ring));
		break;
	case 10:
		insist(shmring_stat(ring, &stat) == 0, "stat");
		shmring_participant(ring, (uint32_t)take(1), &one);
		insist(shmring_length(ring) <= ring->geometry.capacity,
		       "length beyond capacity");
		break;
	case 11:
		allowed(shmring_pop_wait(ring, buffer, LARGEST, TIMEOUT));
		break;
	case 12:
		allowed(shmring_push_wait(ring, buffer, 8, TIMEOUT));
		break;
	default:
		allowed(shmring_flush(ring, TIMEOUT));
		break;
	}
}

static void
make_stage(struct stage *stage, const struct shmring_config *config)
{
	struct shmring *ring = &stage->ring;

	insist(shmring__mmap(NULL, GAP, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			     0) > 0,
	       "a gap");
	insist(!shmring_create_memfd(ring, config), "create");
	shmring_set_spin(ring, 0);
	uint64_t total = ring->geometry.total;
	stage->file = (unsigned char *)mmap(NULL, total, PROT_READ | PROT_WRITE,
					    MAP_SHARED, shmring_fd(ring), 0);
	insist(stage->file != MAP_FAILED, "mmap");
	stage->content = (unsigned char *)malloc(total);
	insist(stage->content != NULL, "malloc");
	memcpy(stage->content, stage->file, total);
	stage->canary = *ring->canary;
	stage->pristine = *ring;
}

/* A ring of this shape as it is after creation. */
static struct stage *
set_stage(unsigned shape)
{
	static struct stage stages[8][4][3];
	unsigned size = shape >> 1 & 3, roles = (shape >> 3) % 3;
	unsigned kind = shape < 128 ? shape & 1 : 2 + (shape & 1);
	unsigned placed = shape >> 6 & 1; /* with an alignment, and meters */
	struct stage *stage = &stages[kind + 4 * placed][size][roles];
	struct shmring_config config = {
		.mode = kind < 2 ? kind : SHMRING_BROADCAST,
		.flags = (kind == 3 ? SHMRING_LOSSY : 0) |
			 (placed ? SHMRING_METERED : 0),
		.alignment = placed ? 32 : 0,
		.slots = 4u << size,
		.slot_size = LARGEST,
		.participants = shape & 1 ? 2 : 0,
		.roles = SHMRING_BOTH - roles, /* or one of the two */
	};

	clock_looks = 0;
	if (!stage->content)
		make_stage(stage, &config);
	free(stage->ring.mpmc.spill);
	stage->ring = stage->pristine;
	*stage->ring.canary = stage->canary;
	memcpy(stage->file, stage->content, stage->ring.geometry.total);
	return stage;
}

/* A second handle; whoever looks for it will find its process gone. */
static void
enter(struct shmring *other, const struct shmring *ring, unsigned way)
{
	static const unsigned roles[] = { SHMRING_BOTH, SHMRING_PRODUCER,
					  SHMRING_CONSUMER, SHMRING_OBSERVER };

	if (shmring_open_fd(other, shmring_fd(ring), roles[way % 4]))
		return;
	shmring_set_spin(other, 0);
	for (int side = 0; side < 2; side++)
		if (other->line[side])
			SHMRING__STORE(&other->line[side]->pid, NOBODY,
				       RELAXED);
}

/* It closes, or dies. */
static void
leave(struct shmring *other, int dead)
{
	if (dead)
		shmring__unmap(other);
	else
		shmring_close(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shmring other;
	unsigned opens = 0;

	input = data;
	input_end = data + size;
	struct stage *stage = set_stage((unsigned)take(1));
	shmring__blank(&other);
	while (input < input_end) {
		unsigned byte = (unsigned)take(1);
		unsigned what = byte % 24, way = byte / 24;

		if (what < 14)
			call(way % 2 && other.map.fd >= 0 ? &other
							  : &stage->ring,
			     what);
		else if (what < 22)
			damage(&stage->ring, stage->file, what & 1);
		else if (other.map.fd >= 0)
			leave(&other, way % 2);
		else if (opens++ < OPENS)
			enter(&other, &stage->ring, way);
	}
	leave(&other, 0);
	shmring__detach(&stage->ring); /* as close does first */
	return 0;
}

#ifndef LIBFUZZER
static int
run_file(const char *path)
{
	uint8_t bytes[4096];
	FILE *file = fopen(path, "rb");

	if (!file)
		return 0;
	LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof(bytes), file));
	fclose(file);
	return 1;
}

int
main(void)
{
	char path[PATH_MAX];
	uint8_t bytes[256];
	uint64_t runs = 0;
	int seeds = 0;

	tap_start();
	DIR *directory = opendir("tests/fuzz/seeds");
	for (struct dirent *e; directory && (e = readdir(directory));) {
		snprintf(path, sizeof(path), "tests/fuzz/seeds/%s", e->d_name);
		if (e->d_name[0] != '.')
			seeds += run_file(path);
	}
	if (directory)
		closedir(directory);
	ok(seeds > 0, "the seeds: %d", seeds);
	int64_t end = shmring__now() + 3 * INT64_C(1000000000) * tap_seconds();
	while (shmring__now() < end) {
		size_t size = tap_random() % sizeof(bytes) + 1;
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)tap_random();
		LLVMFuzzerTestOneInput(bytes, size);
		runs++;
	}
	ok(runs > 0, "random inputs: %" PRIu64, runs);
	return tap_done();
}
#endif
