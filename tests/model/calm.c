/* SPDX-License-Identifier: MIT
 * Description: MPMC, attn is cleared while a voided owner (VICTIM) comes back.
 *
 * The owner had a position in its hands for too long: it was doubted, void and
 * passed by. Now it finishes, while a consumer goes on and clears attn as soon
 * as it may be. The late one must still find out; every message arrives once,
 * and in the end attn is clear and the ring has all its slots.
 *
 * BESIDE: nobody has passed the void position yet, and a producer pushes
 * meanwhile. Of the calls only what the three do to each other is left, and
 * nobody is doubted any more; else the model checker does not come to an end.
 *
 * DOUBTED: the owner is doubted only now, and may still be in time. A third
 * one clears attn: it must not miss the doubt, or else the owner would.
 */
#include <stdint.h>
static int64_t model_patience;
#define SHMRING_PATIENCE_NS model_patience
#if defined(BESIDE) || defined(DOUBTED)
#define MODEL_THREADS 3
#else
#define MODEL_THREADS 2
#endif
#define MODEL_LINES 3
#include "ring.h"

#ifndef VICTIM
#define VICTIM SHMRING_PRODUCER
#endif

enum { LATE, FIRST, SECOND, MESSAGES };

static struct shmring *late, *writer, *reader;
static uint64_t arrived[MESSAGES], pushed[MESSAGES];
static int unfinished; /* the late message is still the late producer's */

static int
put(uint64_t message)
{
	int error = shmring_push(writer, &message, sizeof(message));

	MODEL_ASSERT(!error || error == -EAGAIN);
	pushed[message] += !error;
	return !error;
}

static int
take(void)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(reader, &message, sizeof(message));

	if (size == -EAGAIN)
		return 0;
	MODEL_ASSERT(size == sizeof(message) && message < MESSAGES);
	arrived[message]++;
	return 1;
}

/* Until the late one's position is void. */
static void
begin(void)
{
	size_t size;

	if (VICTIM == SHMRING_PRODUCER) {
		uint64_t *place = shmring_reserve(late, sizeof(*place));

		*place = LATE;
		pushed[LATE]++;
		MODEL_ASSERT(put(FIRST));
	} else {
		MODEL_ASSERT(put(LATE));
		MODEL_ASSERT(shmring_peek(late, &size) != NULL);
		arrived[LATE]++;
		MODEL_ASSERT(put(FIRST) && take());
	}
#ifndef DOUBTED
	MODEL_ASSERT(VICTIM == SHMRING_PRODUCER ? !take() : !put(SECOND));
#endif
}

#if !defined(BESIDE) && !defined(DOUBTED)

static void *
finishing(void *unused)
{
	(void)unused;
	if (VICTIM == SHMRING_PRODUCER)
		unfinished = shmring_commit(late, sizeof(uint64_t)) != 0;
	else
		shmring_release(late);
	return NULL;
}

static void *
going_on(void *unused)
{
	(void)unused;
	take();
	shmring__reclaim_slots(reader);
	return NULL;
}

static void
act(void)
{
	MODEL_ASSERT(VICTIM == SHMRING_PRODUCER ? take() : put(SECOND));
	__VERIFIER_thread_t first = model_start(finishing);
	__VERIFIER_thread_t second = model_start(going_on);
	model_join(first);
	model_join(second);

	for (int i = 0; i < 2 * SLOTS; i++)
		take();
	if (unfinished)
		MODEL_ASSERT(shmring_commit(late, sizeof(uint64_t)) == 0);
	take();
}

#else

static void *
finishing(void *unused)
{
	(void)unused;
	if (VICTIM == SHMRING_CONSUMER) {
		shmring_release(late);
	} else if (model_commit(late, &late->held[SHMRING__WRITE])) {
		shmring__hand_back(late, late->held[SHMRING__WRITE].position);
		unfinished = 1;
	}
	return NULL;
}

/* A look at the void position by who waits for it: pass it? */
static void
look(struct shmring *r, uint64_t *cursor, int side)
{
	uint64_t p = SHMRING__LOAD(cursor, RELAXED);

	model_care(r, cursor, p, shmring__phase(r, p, side == SHMRING__READ));
}

#ifdef DOUBTED
static void *
going_on(void *unused)
{
	(void)unused;
	if (VICTIM == SHMRING_PRODUCER) {
		shmring__doubt(reader, *reader->head, 1, 0);
		look(reader, reader->head, SHMRING__READ);
	} else {
		shmring__doubt(writer, *writer->tail, 2, 0);
		look(writer, writer->tail, SHMRING__WRITE);
	}
	return NULL;
}

static void *
beside(void *unused)
{
	(void)unused;
	shmring__reclaim_slots(VICTIM == SHMRING_PRODUCER ? writer : reader);
	return NULL;
}
#else
static void *
going_on(void *unused)
{
	(void)unused;
	look(reader, reader->head, SHMRING__READ);
	shmring__reclaim_slots(reader);
	return NULL;
}

static void *
beside(void *unused)
{
	(void)unused;
	put(SECOND);
	return NULL;
}
#endif

static void
act(void)
{
	model_patience = 1;
	__VERIFIER_thread_t first = model_start(finishing);
	__VERIFIER_thread_t second = model_start(going_on);
	__VERIFIER_thread_t third = model_start(beside);
	model_join(first);
	model_join(second);
	model_join(third);
	model_patience = 0;

	for (int i = 0; i < SLOTS; i++)
		take();
	if (unfinished) {
		pushed[LATE]--;
		MODEL_ASSERT(put(LATE) && take());
	}
}

#endif

int
main(void)
{
	late = model_attach(SHMRING_MPMC, 0, VICTIM);
	writer = model_attach(SHMRING_MPMC, 1, SHMRING_PRODUCER);
	reader = model_attach(SHMRING_MPMC, 2, SHMRING_CONSUMER);
	begin();
	act();
	for (int i = 0; i < MESSAGES; i++)
		MODEL_ASSERT(arrived[i] == pushed[i]);
#ifndef BESIDE
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(put(FIRST));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(take());
	shmring__reclaim_slots(reader);
	MODEL_ASSERT(!(reader->notice->attn & SHMRING__DOUBT));
#ifndef DOUBTED
	MODEL_ASSERT(reader->notice->attn);
#endif
#endif
	return 0;
}
