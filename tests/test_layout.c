/* SPDX-License-Identifier: MIT
 *
 * Description: the layout of the shared segment is what SHMRING_LAYOUT 3
 * says: every offset and size, and where the parts of a segment stand.
 */
#include "ring.h"

#include <stddef.h>

#define FIELD(structure, field, offset, size)                                \
	{                                                                    \
#structure "." #field, offsetof(struct structure, field),    \
			sizeof(((struct structure *)0)->field), offset, size \
	}

static const struct {
	const char *name;
	size_t is_at, is_long, at, length;
} fields[] = {
	FIELD(shmring__header, magic, 0, 8),
	FIELD(shmring__header, layout, 8, 4),
	FIELD(shmring__header, byte_order, 12, 4),
	FIELD(shmring__header, word_size, 16, 4),
	FIELD(shmring__header, mode, 20, 4),
	FIELD(shmring__header, slots, 24, 4),
	FIELD(shmring__header, slot_size, 28, 4),
	FIELD(shmring__header, participants, 32, 4),
	FIELD(shmring__header, permissions, 36, 4),
	FIELD(shmring__header, flags, 40, 4),
	FIELD(shmring__header, creator, 44, 4),
	FIELD(shmring__header, page, 48, 8),
	FIELD(shmring__header, capacity, 56, 8),
	FIELD(shmring__header, total, 64, 8),
	FIELD(shmring__header, created, 72, 8),
	FIELD(shmring__header, pid_namespace, 80, 8),
	FIELD(shmring__header, boot_id, 88, 16),
	FIELD(shmring__header, retired, 104, 4),
	FIELD(shmring__header, features, 108, 4),
	FIELD(shmring__header, id, 112, 16),
	FIELD(shmring__header, looked, 128, 8),
	FIELD(shmring__header, notice, 256, 128),
	FIELD(shmring__notice, attn, 0, 8),
	FIELD(shmring__notice, data, 8, 4),
	FIELD(shmring__notice, space, 12, 4),
	FIELD(shmring__notice, cpu, 16, 8),
	FIELD(shmring__notice, peers, 24, 4),
	FIELD(shmring__line, status, 0, 8),
	FIELD(shmring__line, pid_namespace, 8, 8),
	FIELD(shmring__line, start, 16, 8),
	FIELD(shmring__line, pid, 24, 4),
	FIELD(shmring__line, flags, 28, 4),
	FIELD(shmring__line, intent, 32, 16),
	FIELD(shmring__line, adopts, 48, 8),
	FIELD(shmring__line, time_namespace, 56, 8),
	FIELD(shmring__line, pushed, 64, 8),
	FIELD(shmring__line, pushed_bytes, 72, 8),
	FIELD(shmring__line, popped, 80, 8),
	FIELD(shmring__line, popped_bytes, 88, 8),
	FIELD(shmring__line, full, 96, 8),
	FIELD(shmring__line, empty, 104, 8),
	FIELD(shmring__line, sleeps, 112, 8),
	FIELD(shmring__line, wakes, 120, 8),
	FIELD(shmring__line, hands, 128, 8),
	FIELD(shmring__line, waits, 136, 8),
	FIELD(shmring__line, head, 144, 8),
	FIELD(shmring__line, passed, 152, 8),
	FIELD(shmring__line, lost, 160, 8),
};

static void
place_fields(void)
{
	is_int(SHMRING_LAYOUT, 3, "these are the offsets of layout 3");
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		ok(fields[i].is_at == fields[i].at &&
			   fields[i].is_long == fields[i].length,
		   "%s: %zu bytes at %zu", fields[i].name, fields[i].length,
		   fields[i].at);
	is_int(sizeof(struct shmring__header), 384, "the header's size");
	is_int(sizeof(struct shmring__line), 256, "a participant's size");
}

static uint64_t
round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* What the header's bytes say, read without the header's help. */
static uint64_t
field(const unsigned char *bytes, size_t at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, bytes + at, size);
	return value;
}

static int
identity_is_right(const unsigned char *bytes, const struct shmring *ring,
		  const struct shmring_config *config)
{
	struct stat file;

	return !fstat(shmring_fd(ring), &file) &&
	       !memcmp(bytes, "shmring1", 8) && field(bytes, 8, 4) == 3 &&
	       !memcmp(bytes + 12, "\4\3\2\1", 4) && field(bytes, 16, 4) == 8 &&
	       field(bytes, 20, 4) == config->mode &&
	       field(bytes, 24, 4) == config->slots &&
	       field(bytes, 28, 4) == config->slot_size &&
	       field(bytes, 36, 4) == 0600 &&
	       field(bytes, 44, 4) == geteuid() &&
	       field(bytes, 48, 8) == (uint64_t)sysconf(_SC_PAGESIZE) &&
	       field(bytes, 64, 8) == (uint64_t)file.st_size &&
	       (file.st_mode & 07777) == 0600;
}

/* Where everything must be, told from the configuration alone. */
static int
places_are_right(const struct shmring *ring,
		 const struct shmring_config *config)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned beside =
		config->mode == SHMRING_MPMC && config->slot_size > 4094;
	uint64_t stride = 8 + round_up(config->slot_size, 8) + 8 * beside;
	uint64_t lines =
		config->mode == SHMRING_SPSC ? 2 : config->participants;
	uint64_t index = round_up(384 + 256 * lines, page);
	uint64_t states = round_up(8 * (uint64_t)config->slots, page);
	const struct shmring__geometry *g = &ring->geometry;

	if (g->index != index || g->stride != stride ||
	    (uintptr_t)ring->data % page ||
	    (unsigned char *)ring->tail != ring->map.base + index)
		return 0;
	if (config->mode == SHMRING_SPSC) /* cursors on pages of their own */
		return (unsigned char *)ring->head ==
			       ring->map.base + index + page &&
		       (unsigned char *)ring->spsc.taken ==
			       (unsigned char *)ring->head + 128 &&
		       g->data == index + 2 * page &&
		       g->capacity >= config->slots * stride + 8 &&
		       !(g->capacity & (g->capacity - 1)) &&
		       g->total == g->data + g->capacity &&
		       ring->map.mapped == g->total + g->capacity;
	return (unsigned char *)ring->head == ring->map.base + index + 128 &&
	       g->states == index + page && g->data == g->states + states &&
	       g->total == g->data + round_up(config->slots * stride, page);
}

/* The bytes of an SPSC ring are mapped twice, back to back. */
static int
mirror_is_right(const struct shmring *ring)
{
	uint64_t capacity = ring->geometry.capacity;

	ring->data[8] = 0xa5;
	ring->data[capacity + 16] = 0x5a;
	return ring->data[capacity + 8] == 0xa5 && ring->data[16] == 0x5a;
}

static void
lay_out_many(uint32_t mode)
{
	static const uint32_t slots[] = { 2, 4, 64, 512, 4096 };
	static const uint32_t sizes[] = { 1,   7,    8,	   9,	 63,
					  256, 1000, 4088, 4096, 65536 };
	int wrong = 0, tried = 0;

	for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
			struct shmring_config config = {
				.mode = mode,
				.slots = slots[i],
				.slot_size = sizes[j],
				.participants = 1 + (uint32_t)j % (slots[i] / 2)
			};
			struct shmring ring;

			if (slots[i] * (uint64_t)sizes[j] > 1u << 26)
				continue;
			if (shmring_create_memfd(&ring, &config))
				bail("cannot create a ring");
			tried++;
			if (!identity_is_right(ring.map.base, &ring, &config) ||
			    !places_are_right(&ring, &config) ||
			    (mode == SHMRING_SPSC && !mirror_is_right(&ring))) {
				printf("# slots %u slot_size %u\n", slots[i],
				       sizes[j]);
				wrong++;
			}
			shmring_close(&ring);
		}
	}
	ok(tried > 40, "%s: many configurations tried", mode_name[mode]);
	is_int(wrong, 0, "%s: all parts stand where they should",
	       mode_name[mode]);
}

static void
fill_in_defaults(void)
{
	struct shmring_config config = { .mode = SHMRING_MPMC };
	struct shmring_stat now;
	struct shmring ring;

	is_int(shmring_create_memfd(&ring, NULL), 0, "no configuration");
	shmring_stat(&ring, &now);
	ok(now.mode == SHMRING_SPSC && now.slots == 1024 &&
		   now.slot_size == 256 && now.participants == 2 &&
		   now.producers == 1 && now.consumers == 1,
	   "SPSC, 1024 messages of 256 bytes, both roles");
	ok(shmring_capacity(&ring) >= 1024, "so many fit");
	shmring_close(&ring);
	is_int(shmring_create_memfd(&ring, &config), 0, "zeros for defaults");
	shmring_stat(&ring, &now);
	ok(now.slots == 1024 && now.slot_size == 256 && now.participants == 64,
	   "MPMC: 64 participants");
	shmring_close(&ring);
	config.slots = 100;
	is_int(shmring_create_memfd(&ring, &config), 0, "100 slots");
	shmring_stat(&ring, &now);
	ok(now.slots == 128 && now.capacity == 128 &&
		   shmring_capacity(&ring) == 128,
	   "are rounded up to 128");
	shmring_close(&ring);
}

static void
refuse_the_impossible(void)
{
	static const struct {
		const char *what;
		int error;
		struct shmring_config config;
	} bad[] = {
		{ "no such mode", -EDOM, { .mode = 3 } },
		{ "slots beyond 2^30", -ERANGE, { .slots = (1u << 30) + 1 } },
		{ "slot_size beyond 2^30",
		  -ERANGE,
		  { .slot_size = (1u << 30) + 1 } },
		{ "one MPMC slot",
		  -ERANGE,
		  { .mode = SHMRING_MPMC, .slots = 1 } },
		{ "slots < 2 * participants",
		  -ERANGE,
		  { .mode = SHMRING_MPMC, .slots = 8, .participants = 5 } },
		{ "participants beyond 1024",
		  -ERANGE,
		  { .mode = SHMRING_MPMC,
		    .slots = 4096,
		    .participants = 1025 } },
		{ "no such role", -EDOM, { .roles = 5 } },
		{ "permissions beyond 0777", -EDOM, { .permissions = 01000 } },
		{ "no such flag", -EDOM, { .flags = 64 } },
	};
	struct shmring ring;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		is_int(shmring_create_memfd(&ring, &bad[i].config),
		       bad[i].error, "refused: %s", bad[i].what);
}

int
main(void)
{
	tap_start();
	place_fields();
	lay_out_many(SHMRING_SPSC);
	lay_out_many(SHMRING_MPMC);
	fill_in_defaults();
	refuse_the_impossible();
	return tap_done();
}
