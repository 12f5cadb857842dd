/* SPDX-License-Identifier: MIT
 *
 * places.h - what stands where in a segment: classes for the scheduler, names
 * for people
 */
#ifndef PLACES_H
#define PLACES_H

static struct shmring look; /* an observer, who knows where things are */
static uint8_t places[FILE_ROOM / 8]; /* their classes */

static size_t
place_in_file(const void *place)
{
	return ((uintptr_t)place - sim.arena) & (FILE_ROOM - 1);
}

static void
places_mark(const void *from, size_t size, enum class class)
{
	memset(places + place_in_file(from) / 8, (int)class, (size + 7) / 8);
}

static void
places_learn(void)
{
	const struct shmring__geometry *g = &look.geometry;
	int spsc = g->mode == SHMRING_SPSC;

	memset(places, C_OUTSIDE, sizeof(places));
	places_mark(look.base, g->total, C_HEADER);
	places_mark(&look.notice->attn, 8, C_ATTN);
	places_mark(&look.notice->data, 8, C_WAITERS);
	places_mark(&look.notice->cpu, 8, C_COUNTER);
	for (uint32_t i = 0; i < g->participants; i++) {
		places_mark(&look.lines[i], sizeof(look.lines[0]), C_COUNTER);
		places_mark(&look.lines[i].status, 8, C_STATUS);
		places_mark(&look.lines[i].intent, 24, C_INTENT);
	}
	places_mark(look.tail, 8, C_INDEX);
	places_mark(look.head, 8, C_INDEX);
	places_mark(look.data, spsc ? 2 * g->capacity : g->slots * g->stride,
		    C_DATA);
	memory_alias = spsc ? place_in_file(look.data) + g->capacity : 0;
	memory_alias_size = g->capacity;
	if (spsc) {
		places_mark(look.taken, 8, C_INDEX);
		return;
	}
	places_mark(look.states, g->slots * 8, C_STATE);
	for (uint64_t i = 0; i < g->slots; i++)
		places_mark(shmring__phase_word(&look, i), 8, C_PHASE);
}

static const char *
place_name(const void *place)
{
	static const char *const kinds[CLASSES] = {
		"?",	 "message", "A",      "S",	 "attn",  "waiters",
		"index", "status",  "intent", "counter", "header"
	};
	static char text[2][64];
	static int turn;
	size_t in = place_in_file(place), from = 0, unit = 0;
	const char *kind = kinds[places[in / 8]];

	if (!sim.trace)
		return "";
	switch (places[in / 8]) {
	case C_DATA:
	case C_PHASE:
		from = place_in_file(look.data);
		unit = look.mode == SHMRING_SPSC ? 8 : look.stride;
		break;
	case C_STATE:
		from = place_in_file(look.states);
		unit = 8;
		break;
	case C_STATUS:
	case C_INTENT:
	case C_COUNTER:
		from = place_in_file(look.lines);
		unit = sizeof(look.lines[0]);
		break;
	case C_INDEX:
		kind = in == place_in_file(look.tail)	? "tail"
		       : in == place_in_file(look.head) ? "head"
							: "taken";
		break;
	default:
		break;
	}
	turn = !turn;
	snprintf(text[turn], 64, unit ? "%s[%zu]+%zu" : "%s", kind,
		 unit ? (in - from) / unit : 0, unit ? (in - from) % unit : 0);
	if (((uintptr_t)place - sim.arena) / FILE_ROOM > 1)
		strcat(text[turn], " of another ring");
	return text[turn];
}

#endif /* PLACES_H */
