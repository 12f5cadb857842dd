/* SPDX-License-Identifier: MIT
 *
 * ring.h - the real shmring.h and a ring for it in ordinary memory
 *
 * What create and open do with the kernel's help is done by hand: the layout
 * with the smallest pages, and one handle for each thread.
 */
#ifndef MODEL_RING_H
#define MODEL_RING_H

#include "model.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* For GenMC the output of inline assembly is always 0, and it knows neither
 * llvm.is.constant nor llvm.prefetch: shmring.h does without what they would
 * optimise. (The headers of libc are above because they use them, too.) */
#define __asm__(...) ((void)0)
#define __builtin_constant_p(value) 0
#define __builtin_prefetch(...) ((void)0)
#define SHMRING_AHEAD 0 /* nor the loops around it */
#define sched_getcpu() 0
#undef errno
#define errno model_errno
static _Thread_local int model_errno;
#define syscall(number, a, b, c, d, ...) \
	((model_errno = -model_syscall(number, a, b, c, d)) ? -1 : 0)
#define snprintf(text, ...) ((void)0)
#define fstat(fd, file) ((file)->st_dev = 0, (file)->st_ino = 0, 0)
/* Only shmring__change_attn adds: who is to die there does. */
#define __atomic_fetch_add(place, ...) \
	(model_step_told(), __atomic_fetch_add(place, __VA_ARGS__))
#ifndef MODEL_FUTEXES
/* Nobody sleeps, so a wake-up (the only one of 32 bits) changes nothing, and
 * it must not order anything: the machine promises that to nobody. */
#define __atomic_compare_exchange_n(place, from, ...) \
	(sizeof(*(place)) == 4 ||                     \
	 __atomic_compare_exchange_n(place, from, __VA_ARGS__))
#endif
#include <shmring.h>
#undef __asm__
#undef __builtin_constant_p
#undef sched_getcpu
#undef __atomic_compare_exchange_n
#undef __atomic_fetch_add
#undef syscall
#undef fstat
#undef snprintf

#ifndef MODEL_LINES
#define MODEL_LINES MODEL_THREADS /* participants, the first handles */
#endif
#ifndef SLOTS
#define SLOTS 2 /* MPMC */
#endif
#ifndef MODEL_RINGS
#define MODEL_RINGS 1 /* 2: the next MODEL_LINES handles are the second's */
#endif
#ifndef MODEL_CAPACITY
#define MODEL_CAPACITY 32 /* SPSC, BROADCAST: bytes */
#endif
#define MODEL_PAGE 512

#define MODEL_SEGMENT \
	(8 * MODEL_PAGE + MODEL_LINES * sizeof(struct shmring__line))
static _Alignas(4096) unsigned char model_segments[MODEL_RINGS][MODEL_SEGMENT];
static struct shmring model_handles[MODEL_HANDLES];
static uint64_t model_spills[MODEL_HANDLES];
static struct shmring__canary model_canaries[MODEL_HANDLES];

/* Handle number i, of thread 1 + i, not attached yet. */
static struct shmring *
model_open(uint32_t mode, uint32_t i, uint32_t roles)
{
	struct shmring *r = &model_handles[i];
	struct shmring__geometry *g = &r->geometry;
	uint32_t ring = MODEL_RINGS > 1 ? i / MODEL_LINES : 0;

	g->mode = mode;
	g->slots = SLOTS;
	g->slot_size = 8;
	g->alignment = 8;
	g->participants = MODEL_LINES;
	g->page = MODEL_PAGE;
	g->stride = 16;
	g->index = sizeof(struct shmring__header) +
		   MODEL_LINES * sizeof(struct shmring__line);
	g->consumer = g->states = g->index + MODEL_PAGE;
	g->data = g->consumer + MODEL_PAGE;
	g->capacity = mode != SHMRING_MPMC ? MODEL_CAPACITY : SLOTS * g->stride;
	g->total = g->data + g->capacity;
	r->map.base = model_segments[ring];
	shmring__set_pointers(r);
	if (mode != SHMRING_MPMC) {
		model_data = (uint64_t *)(void *)r->data;
		model_words = MODEL_CAPACITY / sizeof(uint64_t);
		r->spsc.credit = mode == SHMRING_SPSC ? MODEL_CAPACITY : 0;
	}
	r->mpmc.spill = (unsigned char *)&model_spills[i];
	r->self.roles = roles;
	r->self.pid = 1 + i - ring * MODEL_LINES;
	r->map.fd = (int)r->self.pid;
	r->canary = &model_canaries[i];
	r->canary->alive = 1;
	if (roles & SHMRING_CONSUMER)
		r->canary->limit[SHMRING__READ] = r->limit[SHMRING__READ];
	if (roles & SHMRING_PRODUCER)
		r->canary->limit[SHMRING__WRITE] = r->limit[SHMRING__WRITE];
	if (mode == SHMRING_MPMC)
		r->path = SHMRING__SLOTS;
	return r;
}

/* The same, as participant i already, not yet seen by any thread. */
static struct shmring *
model_attach(uint32_t mode, uint32_t i, uint32_t roles)
{
	struct shmring *r = model_open(mode, i, roles);
	uint32_t number = r->self.pid - 1;
	struct shmring__line *line = &r->lines[number];

	line->status = shmring__status(1 << 16, roles, SHMRING__LIVE);
	line->pid = r->self.pid;
	line->intent[SHMRING__READ] = SHMRING__NONE;
	line->intent[SHMRING__WRITE] = SHMRING__NONE;
	line->adopts = SHMRING__NONE;
	line->hands = r->spsc.hands = 1;
	model_locks[number] = r->self.pid;
	if (roles & SHMRING_CONSUMER) {
		r->line[SHMRING__READ] = line;
		r->notice->attn |= SHMRING__HAD_CONSUMER;
	}
	if (roles & SHMRING_PRODUCER) {
		r->line[SHMRING__WRITE] = line;
		r->notice->attn |= SHMRING__HAD_PRODUCER;
	}
	return r;
}

/* Whether the heir got the line, as what its attach said tells. */
static inline int
model_succeed(struct shmring *heir, int error)
{
	MODEL_ASSERT(!error || error == -EBUSY);
	if (!error)
		shmring__arrive(heir);
	return !error;
}

/* MPMC: a look at a position by who waits for it. */
static inline int
model_care(struct shmring *r, uint64_t *cursor, uint64_t p, uint64_t want)
{
	uint64_t a = SHMRING__LOAD(shmring__phase_word(r, p), ACQUIRE);

	SHMRING_LIGHT(r);
	r->mpmc.tries = SHMRING__TRIES;
	return shmring__mpmc_care(r, cursor, p, want, a);
}

/* MPMC: a claim of position p, as its owner has it. */
static inline void
model_claim(const struct shmring *r, int side, uint64_t p,
	    struct shmring__claim *claim)
{
	claim->position = p;
	claim->size = sizeof(uint64_t);
	claim->data = shmring__slot(r, p) + 8;
	claim->hold = SHMRING__HELD;
	claim->end = (shmring__phase(r, p, side == SHMRING__READ) + 1)
		     << r->mpmc.length_bits;
}

static inline void
model_hold(struct shmring *r, int side, uint64_t p)
{
	model_claim(r, side, p, &r->held[side]);
	shmring__take_in_hands(r, side, sizeof(uint64_t));
}

/* 1: too late. */
static inline int
model_commit(struct shmring *r, const struct shmring__claim *claim)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__WRITE);

	return shmring__mpmc_commit(r, &v, claim, sizeof(uint64_t), 0);
}

/* SPSC: let both start at this position. */
static void
model_seek(struct shmring *reader, struct shmring *writer, uint64_t position)
{
	*writer->tail = *reader->head = *reader->spsc.taken = position;
	*shmring__doubtful(reader) = position;
	reader->spsc.published = reader->spsc.resumed = reader->spsc.doubtful =
		position;
	writer->spsc.credit = position + MODEL_CAPACITY;
}

#endif /* MODEL_RING_H */
