/* SPDX-License-Identifier: MIT
 *
 * places.h - what stands where in a segment: classes for the scheduler, names
 * for people
 */
#ifndef PLACES_H
#define PLACES_H

static struct shmring look; /* an observer, who knows where things are */
static uint8_t classes[FILE_ROOM / 8];

static void
places_mark(const void *from, size_t size, enum class class)
{
	size_t at = ((uintptr_t)from - sim.arena) & (FILE_ROOM - 1);

	memset(classes + at / 8, class, (size + 7) / 8);
}

static void
places_class(void)
{
	const struct shmring__geometry *g = &look.geometry;

	memset(classes, C_OUTSIDE, sizeof(classes));
	places_mark(look.base, g->total, C_HEADER);
	places_mark(&look.notice->attn, 8, C_ATTN);
	places_mark(&look.notice->data, 8, C_WAITERS);
	places_mark(&look.notice->cpu, 8, C_COUNTER);
	places_mark(look.lines, g->participants * sizeof(look.lines[0]),
		    C_COUNTER);
	for (uint32_t i = 0; i < g->participants; i++) {
		places_mark(&look.lines[i].status, 8, C_STATUS);
		places_mark(&look.lines[i].intent, 24, C_INTENT);
	}
	places_mark(look.tail, 8, C_INDEX);
	places_mark(look.head, 8, C_INDEX);
	sim.class_of = classes;
	memory_alias = memory_alias_size = 0;
	if (g->mode == SHMRING_SPSC) {
		places_mark(look.taken, 8, C_INDEX);
		places_mark(look.data, 2 * g->capacity, C_DATA);
		memory_alias = (uintptr_t)(look.data - look.base) + g->capacity;
		memory_alias_size = g->capacity;
		return;
	}
	places_mark(look.states, g->slots * sizeof(uint64_t), C_STATE);
	places_mark(look.data, g->slots * g->stride, C_DATA);
	for (uint64_t i = 0; i < g->slots; i++)
		places_mark(shmring__a(&look, i), 8, C_PHASE);
}

static const char *
place_name(const void *place)
{
	static char text[2][96];
	static int turn;
	char *to = text[turn ^= 1];
	uintptr_t in = (uintptr_t)place - sim.arena;
	const unsigned char *at = look.base + (in & (FILE_ROOM - 1));
	const char *name = NULL;
	const void *const known[] = { &look.notice->attn,  "attn",
				      &look.notice->data,  "data",
				      &look.notice->space, "space",
				      look.tail,	   "tail",
				      look.head,	   "head",
				      look.taken,	   "taken",
				      &look.header->retired, "retired" };

	if (!sim.trace)
		return "";
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i += 2)
		if (known[i] == at)
			name = known[i + 1];
	switch (classes[(in & (FILE_ROOM - 1)) / 8]) {
	case C_STATE:
		snprintf(to, 64, "S[%td]", (const uint64_t *)at - look.states);
		break;
	case C_PHASE:
	case C_DATA:
		if (look.mode == SHMRING_SPSC)
			snprintf(to, 64, "byte %td", at - look.data);
		else
			snprintf(to, 64, "%s[%td]",
				 classes[(in & (FILE_ROOM - 1)) / 8] ==
						 C_PHASE ?
					 "A" :
					 "message",
				 (at - look.data) / (ptrdiff_t)look.stride);
		break;
	case C_STATUS:
	case C_INTENT:
	case C_COUNTER: {
		ptrdiff_t from = at - (unsigned char *)look.lines;
		ptrdiff_t size = sizeof(look.lines[0]), field = from % size;
		snprintf(to, 64, "line %td %s", from / size,
			 field == 0  ? "status" :
			 field == 32 ? "reads" :
			 field == 40 ? "writes" :
			 field == 48 ? "adopts" :
				       "counter");
		break;
	}
	default:
		snprintf(to, 64, "header+%zu", (size_t)(in & (FILE_ROOM - 1)));
	}
	if (name)
		snprintf(to, 64, "%s", name);
	if (in / FILE_ROOM > 1)
		snprintf(to + strlen(to), 16, " of ring %u",
			 (unsigned)(in / FILE_ROOM) % 100);
	return to;
}

#endif /* PLACES_H */
