/* SPDX-License-Identifier: MIT
 *
 * crew.h - MPMC: what the harnesses of death and recovery share
 *
 * Messages are small numbers. Each put and take is counted, by one thread at a
 * time for each message; in the end what was pushed has arrived, each once, and
 * the ring has all its slots.
 */
#ifndef MODEL_CREW_H
#define MODEL_CREW_H

#include "ring.h"

#ifndef VICTIM
#define VICTIM SHMRING_PRODUCER
#endif

enum { CREW_MESSAGES = 8 };
enum { SIDE = VICTIM == SHMRING_PRODUCER ? SHMRING__WRITE : SHMRING__READ };

static uint64_t arrived[CREW_MESSAGES], pushed[CREW_MESSAGES];

static int
put(struct shmring *ring, uint64_t message)
{
	int error = shmring_push(ring, &message, sizeof(message));

	MODEL_ASSERT(!error || error == -EAGAIN);
	pushed[message] += !error;
	return !error;
}

static int
take(struct shmring *ring)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(ring, &message, sizeof(message));

	if (size == -EAGAIN)
		return 0;
	MODEL_ASSERT(size == sizeof(message) && message < CREW_MESSAGES);
	arrived[message]++;
	return 1;
}

/* What was before, by hand, for each step of main costs in each execution:
 * slot i, its phase and message, and what S says of it. */
static inline void
seed(struct shmring *r, uint64_t i, uint64_t phase, uint64_t message,
     uint64_t f, uint64_t state)
{
	uint64_t *a = shmring__phase_word(r, i);

	a[0] = phase << r->mpmc.length_bits | (phase & 1 ? sizeof(message) : 0);
	a[1] = message;
	*shmring__state_word(r, i) = shmring__make_state(f, state);
	pushed[message] += phase & 1;
}

/* Positions of turns before; attn tells of them. */
static inline void
seek(struct shmring *r, uint64_t head, uint64_t tail, uint64_t attn)
{
	*r->head = head;
	*r->tail = tail;
	r->notice->attn |= attn;
}

/* Participant 0 died with position p in its hands, or about to claim it. */
static inline void
fall(struct shmring *r, uint64_t p)
{
	struct shmring__line *line = &r->lines[0];

	line->status = shmring__status(1 << 16, VICTIM, SHMRING__LIVE);
	line->pid = 1;
	line->intent[!SIDE] = line->adopts = SHMRING__NONE;
	line->intent[SIDE] = p;
	model_dead[1] = 1;
	model_locks[0] = 1;
}

/* All that is in the ring; then it has all its slots, and nothing came twice,
 * or never. */
static void
judge(struct shmring *writer, struct shmring *reader)
{
	for (int i = 0; i < 3 * SLOTS && take(reader); i++)
		;
	for (int i = 0; i < CREW_MESSAGES; i++)
		MODEL_ASSERT(arrived[i] == pushed[i]);
	for (int i = 0; i < SLOTS; i++) /* past what is still void */
		MODEL_ASSERT(put(writer, 0) && take(reader));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(put(writer, 0));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(take(reader));
	MODEL_ASSERT(!take(reader));
}

#endif /* MODEL_CREW_H */
