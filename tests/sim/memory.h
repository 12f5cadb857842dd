/* SPDX-License-Identifier: MIT
 *
 * memory.h - accesses to shared memory, as the builtins of the compiler
 *
 * Two memories: sequentially consistent, and TSO: each task has a queue of
 * stores of its own, which come into memory in order, but later; loads look
 * into it first. It is emptied by read-modify-writes, full fences, system
 * calls, by being stopped or killed, and by decisions.
 */
#ifndef MEMORY_H
#define MEMORY_H

enum {
	PAGE = 4096,
	FILES = 8, /* in all, of a run; 0 is none */
	FILE_ROOM = ARENA / FILES, /* address space of a file */
};

/* What stands where, for all files alike: see places_learn(). */
static struct {
	uint8_t class[FILE_ROOM / 8];
	uint32_t unit[CLASSES], from[CLASSES]; /* bytes of one of its kind */
	uintptr_t alias; /* from here on all is mapped for the second time */
} places;

static size_t
place_in_file(const void *place)
{
	return ((uintptr_t)place - sim.arena) % FILE_ROOM;
}

/* Beyond is what is its own: a handle, a copy that the header judges. */
static inline int
memory_is_shared(const void *place)
{
	return (uintptr_t)place - sim.arena < ARENA;
}

/* Other threads look into a handle, too. */
static inline int
memory_is_buffered(const void *place)
{
	return memory_is_shared(place) ||
	       (uintptr_t)place - sim.handles < sim.handles_size;
}

static inline unsigned
memory_class(const void *place)
{
	return memory_is_shared(place) ? places.class[place_in_file(place) / 8]
				       : (unsigned)C_HEADER;
}

static const char *
place_name(const void *place)
{
	static const char *const names[CLASSES] = {
		"?",	 "message", "A",      "S",	 "attn",  "waiters",
		"index", "status",  "intent", "counter", "header"
	};
	static char text[2][64];
	static int turn;
	unsigned class = memory_class(place),
		 unit = places.unit[class] | !places.unit[class];
	size_t in = place_in_file(place) - places.from[class];

	if (!memory_is_shared(place))
		return "its handle";
	snprintf(text[turn = !turn], 64, "%s[%zu]+%zu%s", names[class],
		 in / unit, in % unit,
		 ((uintptr_t)place - sim.arena) / FILE_ROOM > 1
			 ? " of another ring"
			 : "");
	return text[turn];
}

static void
memory_drain(struct task *t, int stores)
{
	stores = stores < t->stores ? stores : t->stores;
	for (int i = 0; i < stores; i++) {
		struct store *s = &t->buffer[i];
		*s->word = (*s->word & ~s->mask) | (s->value & s->mask);
	}
	t->stores -= stores;
	if (SIM_RARELY(t->stores))
		memmove(t->buffer, t->buffer + stores,
			(size_t)t->stores * sizeof(t->buffer[0]));
}

static inline uint64_t
memory_get(const void *place, size_t size)
{
	return size == 8 ? *(const volatile uint64_t *)place
			 : *(const volatile uint32_t *)place;
}

static inline void
memory_put(void *place, uint64_t value, size_t size)
{
	if (size == 8)
		*(volatile uint64_t *)place = value;
	else
		*(volatile uint32_t *)place = (uint32_t)value;
}

/* The word that this place is part of, as a store of this value to it. */
static struct store
memory_word(const void *place, uint64_t value, size_t size)
{
	uintptr_t at = (uintptr_t)place;
	unsigned shift = (unsigned)(at & 7) * 8;

	if (memory_is_shared(place) && place_in_file(place) >= places.alias)
		at -= PAGE;
	return (struct store){ (uint64_t *)(at & ~(uintptr_t)7), value << shift,
			       size == 8 ? UINT64_MAX
					 : UINT64_C(0xffffffff) << shift };
}

static uint64_t
memory_load_slowly(const void *place, size_t size)
{
	struct store w = memory_word(place, 0, size);
	uint64_t value = *w.word;

	for (int i = 0; i < sim.me->stores; i++) {
		struct store *s = &sim.me->buffer[i];
		if (s->word == w.word)
			value = (value & ~s->mask) | (s->value & s->mask);
	}
	value = (value & w.mask) >> (((uintptr_t)place & 7) * 8);
	trace("  load %s = %" PRIx64, place_name(place), value);
	return value;
}

static void
memory_store_slowly(void *place, uint64_t value, size_t size, int order)
{
	struct task *me = sim.me;

	trace("  store %s = %" PRIx64, place_name(place), value);
	me->buffer[me->stores++] = memory_word(place, value, size);
	if (me->stores > (int)sim.limit)
		memory_drain(me, 1);
	if (order == __ATOMIC_SEQ_CST)
		memory_drain(me, BUFFER);
}

static inline uint64_t
memory_load(const void *place, size_t size, unsigned line)
{
	sim_step(memory_class(place), line);
	return SIM_RARELY(sim.slow) && memory_is_buffered(place)
		       ? memory_load_slowly(place, size)
		       : memory_get(place, size);
}

static inline void
memory_store(void *place, uint64_t value, size_t size, int order, unsigned line)
{
	unsigned class = memory_class(place);

	sim_step(class, line);
	sim.clock[C_STATE] += class == C_STATE; /* BROADCAST's bound */
	if (SIM_RARELY(sim.slow) && memory_is_buffered(place))
		memory_store_slowly(place, value, size, order);
	else
		memory_put(place, value, size);
}

enum arithmetic { ADD, SUB, OR, AND, SWAP };

/* Any read-modify-write; the value before. If it is not as expected, none. */
static inline uint64_t
memory_modify(void *place, enum arithmetic what, uint64_t with, size_t size,
	      const uint64_t *expected, unsigned line)
{
	uint64_t old, value;
	unsigned class = memory_class(place);

	sim.me->stirred |= class == C_WAITERS;
	sim_step(class, line);
	memory_drain(sim.me, BUFFER);
	old = memory_get(place, size);
	value = what == ADD   ? old + with
		: what == SUB ? old - with
		: what == OR  ? old | with
		: what == AND ? old & with
			      : with;
	if (expected && *expected != old)
		value = old;
	sim.clock[class] += value != old;
	if (value != old && sim.awaited & 1u << class)
		sim.quantum = 0; /* at the next step, somebody may go on */
	if (SIM_RARELY(value != old && class == sim.armed_change))
		sim_changed();
	memory_put(place, value, size);
	trace("  change %s from %" PRIx64 " to %" PRIx64 "%s",
	      place_name(place), old, value,
	      expected && *expected != old ? ": no" : "");
	return old;
}

static inline int
memory_cas(void *place, void *expected, uint64_t value, size_t size,
	   unsigned line)
{
	uint64_t wanted = memory_get(expected, size);
	uint64_t old = memory_modify(place, SWAP, value, size, &wanted, line);

	memory_put(expected, old, size);
	return old == wanted;
}

/* A message: its first words one by one, the rest, if any, at once. */
enum { COPY_WORDS = 3 };

static void
memory_copy(void *to, const void *from, size_t size)
{
	int shared_from = memory_is_shared(from);
	uint64_t *t = to;
	const uint64_t *f = from;

	if (size % 8)
		fail("simulator", "sizes are multiples of 8");
	for (size_t i = 0; i < size / 8 && i < COPY_WORDS; i++) {
		uint64_t word =
			shared_from ? memory_load(f + i, 8, __LINE__) : f[i];
		if (memory_is_shared(to))
			memory_store(t + i, word, 8, __ATOMIC_RELAXED,
				     __LINE__);
		else
			t[i] = word;
	}
	if (size > 8 * COPY_WORDS) {
		memory_drain(sim.me, BUFFER); /* the rest overtakes no store */
		memcpy(t + COPY_WORDS, f + COPY_WORDS, size - 8 * COPY_WORDS);
	}
	if (shared_from)
		sim.me->copies += sim.me->unit && size > sim.me->unit
					  ? (int)(size / sim.me->unit)
					  : 1;
}

/* ---- In place of the compiler's ---- */

#define MEMORY_TYPE(place) __typeof__(0 + *(place))
#define __atomic_load_n(place, order) \
	((MEMORY_TYPE(place))memory_load(place, sizeof(*(place)), __LINE__))
#define __atomic_store_n(place, value, order)                           \
	memory_store(place, (uint64_t)(value), sizeof(*(place)), order, \
		     __LINE__)
#define __atomic_compare_exchange_n(place, from, to, weak, yes, no) \
	memory_cas(place, from, (uint64_t)(to), sizeof(*(place)), __LINE__)
#define MEMORY_MODIFY(place, what, with)                           \
	__extension__({ /* its value may be left alone */          \
			(MEMORY_TYPE(place)) memory_modify(        \
				place, what, (uint64_t)(with),     \
				sizeof(*(place)), NULL, __LINE__); \
	})
#define __atomic_fetch_add(place, with, order) MEMORY_MODIFY(place, ADD, with)
#define __atomic_fetch_sub(place, with, order) MEMORY_MODIFY(place, SUB, with)
#define __atomic_fetch_or(place, with, order) MEMORY_MODIFY(place, OR, with)
#define __atomic_fetch_and(place, with, order) MEMORY_MODIFY(place, AND, with)
#define __atomic_exchange_n(place, with, order) MEMORY_MODIFY(place, SWAP, with)
#define __atomic_thread_fence(order) \
	((order) == __ATOMIC_SEQ_CST ? memory_drain(sim.me, BUFFER) : (void)0)

#endif /* MEMORY_H */
