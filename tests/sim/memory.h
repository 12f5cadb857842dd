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

static const char *place_name(const void *place); /* trace.h */

static void
memory_drain(struct task *t, int stores)
{
	if (stores > t->stores)
		stores = t->stores;
	if (stores <= 0)
		return;
	for (int i = 0; i < stores; i++) {
		struct store *s = &t->buffer[i];
		*s->word = (*s->word & ~s->mask) | (s->value & s->mask);
	}
	t->stores -= stores;
	memmove(t->buffer, t->buffer + stores,
		(size_t)t->stores * sizeof(t->buffer[0]));
}

/* Where the bytes of SPSC are mapped for the second time. */
static uintptr_t memory_alias, memory_alias_size;

static uintptr_t
memory_place(const void *place)
{
	uintptr_t at = (uintptr_t)place, in = (at - sim.arena) & 0x7fff;

	return memory_alias && in >= memory_alias ? at - memory_alias_size :
						     at;
}

static uint64_t
memory_load_slowly(const void *place, size_t size)
{
	uintptr_t at = memory_place(place);
	uint64_t *word = (uint64_t *)(at & ~(uintptr_t)7);
	uint64_t value = *word;
	unsigned shift = (unsigned)(at & 7) * 8;

	for (int i = 0; i < sim.me->stores; i++) {
		struct store *s = &sim.me->buffer[i];
		if (s->word == word)
			value = (value & ~s->mask) | (s->value & s->mask);
	}
	value = size == 8 ? value : value >> shift & 0xffffffff;
	trace("  load %s = %" PRIx64, place_name(place), value);
	return value;
}

static void
memory_store_slowly(void *place, uint64_t value, size_t size)
{
	uintptr_t at = memory_place(place);
	unsigned shift = (unsigned)(at & 7) * 8;
	struct task *me = sim.me;

	trace("  store %s = %" PRIx64, place_name(place), value);
	me->buffer[me->stores++] = (struct store){
		(uint64_t *)(at & ~(uintptr_t)7), value << shift,
		size == 8 ? UINT64_MAX : UINT64_C(0xffffffff) << shift
	};
	if (me->stores > (int)sim.limit)
		memory_drain(me, 1);
}

static inline uint64_t
memory_load(const void *place, size_t size)
{
	sim_step(place);
	if (SIM_RARELY(sim.slow))
		return memory_load_slowly(place, size);
	return size == 8 ? *(const volatile uint64_t *)place :
			   *(const volatile uint32_t *)place;
}

static void
memory_fence(int order)
{
	if (order == __ATOMIC_SEQ_CST)
		memory_drain(sim.me, BUFFER);
}

static inline void
memory_store(void *place, uint64_t value, size_t size, int order)
{
	sim_step(place);
	if (SIM_RARELY(sim.slow)) {
		memory_store_slowly(place, value, size);
		memory_fence(order);
	} else if (size == 8) {
		*(volatile uint64_t *)place = value;
	} else {
		*(volatile uint32_t *)place = (uint32_t)value;
	}
}

enum arithmetic { ADD, SUB, OR, AND, SWAP };

/* Any read-modify-write; the value before. */
static inline uint64_t
memory_modify(void *place, enum arithmetic operation, uint64_t with, size_t size)
{
	uint64_t old, value;
	uint64_t *word = place;
	uint32_t *half = place;

	if (sim_step(place) == C_WAITERS)
		sim.me->stirred = 1;
	memory_drain(sim.me, BUFFER);
	old = size == 8 ? *word : *half;
	value = operation == ADD ? old + with :
		operation == SUB ? old - with :
		operation == OR	 ? old | with :
		operation == AND ? old & with :
				   with;
	if (size == 8)
		*word = value;
	else
		*half = (uint32_t)value;
	trace("  change %s from %" PRIx64 " to %" PRIx64, place_name(place),
	      old, value);
	return old;
}

static inline int
memory_cas(void *place, void *expected, uint64_t value, size_t size)
{
	uint64_t old;
	uint64_t *word = place, *expected_word = expected;
	uint32_t *half = place, *expected_half = expected;

	if (sim_step(place) == C_WAITERS)
		sim.me->stirred = 1;
	memory_drain(sim.me, BUFFER);
	old = size == 8 ? *word : *half;
	if (old != (size == 8 ? *expected_word : *expected_half)) {
		trace("  cas %s fails: %" PRIx64, place_name(place), old);
		if (size == 8)
			*expected_word = old;
		else
			*expected_half = (uint32_t)old;
		return 0;
	}
	if (size == 8)
		*word = value;
	else
		*half = (uint32_t)value;
	trace("  cas %s from %" PRIx64 " to %" PRIx64, place_name(place), old,
	      value);
	return 1;
}

static inline int
memory_is_shared(const void *place)
{
	return (uintptr_t)place - sim.arena < 1 << 19;
}

/* A message: its first words one by one, the rest, if any, at once. */
enum { COPY_WORDS = 3 };

static void
memory_copy(void *to, const void *from, size_t size)
{
	int store = memory_is_shared(to), load = memory_is_shared(from);

	for (size_t i = 0; i < size && i < 8 * COPY_WORDS; i += 8) {
		uint64_t word = 0;
		size_t part = size - i < 8 ? size - i : 8;
		if (load)
			word = memory_load((const char *)from + i, 8);
		else
			memcpy(&word, (const char *)from + i, part);
		if (store)
			memory_store((char *)to + i, word, 8, __ATOMIC_RELAXED);
		else
			memcpy((char *)to + i, &word, part);
	}
	if (size > 8 * COPY_WORDS)
		memcpy((char *)to + 8 * COPY_WORDS,
		       (const char *)from + 8 * COPY_WORDS,
		       size - 8 * COPY_WORDS);
	sim.me->copies += (unsigned)load;
}

/* ---- In place of the compiler's ---- */

#define MEMORY_TYPE(place) __typeof__(0 + *(place))
#define __atomic_load_n(place, order) \
	((MEMORY_TYPE(place))memory_load(place, sizeof(*(place))))
#define __atomic_store_n(place, value, order) \
	memory_store(place, (uint64_t)(value), sizeof(*(place)), order)
#define __atomic_compare_exchange_n(place, from, to, weak, yes, no) \
	memory_cas(place, from, (uint64_t)(to), sizeof(*(place)))
#define MEMORY_MODIFY(place, operation, with)                             \
	__extension__({ /* its value may be left alone */                 \
		(MEMORY_TYPE(place)) memory_modify(place, operation,      \
						   (uint64_t)(with),      \
						   sizeof(*(place)));     \
	})
#define __atomic_fetch_add(place, with, order) MEMORY_MODIFY(place, ADD, with)
#define __atomic_fetch_sub(place, with, order) MEMORY_MODIFY(place, SUB, with)
#define __atomic_fetch_or(place, with, order) MEMORY_MODIFY(place, OR, with)
#define __atomic_fetch_and(place, with, order) MEMORY_MODIFY(place, AND, with)
#define __atomic_exchange_n(place, with, order) MEMORY_MODIFY(place, SWAP, with)
#define __atomic_thread_fence(order) memory_fence(order)

#endif /* MEMORY_H */
