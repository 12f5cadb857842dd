/* SPDX-License-Identifier: MIT
 * Description: SPSC, one side (VICTIM) dies at DIE in its second operation.
 *
 * Its successor takes the line over as soon as it can and goes on, while the
 * other side goes on all the time. Every message whose push had returned
 * arrives once and in order, but for the one that a consumer had let go of when
 * it died. Afterwards the ring has all its bytes.
 */
#define MODEL_THREADS 3
#define MODEL_LINES 2
#define MODEL_CAPACITY 64 /* three messages; the second one wraps */
#define ROOM 3
#include "ring.h"

#ifndef VICTIM
#define VICTIM SHMRING_PRODUCER
#endif
#ifndef DIE
#define DIE MODEL_LIVES /* between two operations */
#endif
#ifndef BEFORE
#define BEFORE 0 /* messages already in the ring, for consumers to die on */
#endif

#ifndef AFTER
#define AFTER 1 /* operations of the successor */
#endif

enum { SIDE = VICTIM == SHMRING_PRODUCER ? SHMRING__WRITE : SHMRING__READ };
enum { START = 40 };

static struct shmring *reader, *writer, *successor;
static uint64_t pushed[3]; /* by writer, successor; [0]: by main before */

/* Message n of who: in the order in which they must arrive. */
static int
put(struct shmring *ring, uint64_t who)
{
	uint64_t message = who << 8 | pushed[who];
	int error = shmring_push(ring, &message, sizeof(message));

	/* -EPIPE: the consumer is dead, its successor not there yet. */
	MODEL_ASSERT(!error || error == -EAGAIN ||
		     (error == -EPIPE && SIDE == SHMRING__READ));
	pushed[who] += !error;
	return !error;
}

static uint64_t next[3]; /* of each, to arrive; main or one thread at a time */
static uint64_t latest;
static int64_t lost;

static int
take(struct shmring *ring)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(ring, &message, sizeof(message));
	uint64_t who = message >> 8;

	if (size == -EAGAIN || (size == -EPIPE && SIDE == SHMRING__WRITE))
		return 0;
	MODEL_ASSERT(size == sizeof(message));
	MODEL_ASSERT(who < 3 && who >= latest);
	latest = who;
	/* What a dead reader had let go of, it may have taken to the grave. */
	if (VICTIM == SHMRING_CONSUMER && DIE == MODEL_FINISHED &&
	    ring == successor && (message & 255) == next[who] + 1) {
		next[who]++;
		lost++;
	}
	MODEL_ASSERT((message & 255) == next[who]);
	next[who]++;
	return 1;
}

static int
operate(struct shmring *ring, uint64_t who)
{
	return SIDE == SHMRING__WRITE ? put(ring, who) : take(ring);
}

static void *
dying(void *unused)
{
	struct shmring *ring = SIDE == SHMRING__WRITE ? writer : reader;

	(void)unused;
	operate(ring, 1);
	model_dies = DIE;
	model_copied = 0;
	operate(ring, 1);
	model_die();
	return NULL;
}

static void *
going_on(void *unused)
{
	(void)unused;
	for (int i = 0; i < 2; i++)
		if (SIDE == SHMRING__WRITE)
			take(reader);
		else
			put(writer, 1);
	return NULL;
}

static int
succeed(void)
{
	return model_succeed(successor,
			     shmring__attach_spsc(successor, VICTIM));
}

static void *
following(void *unused)
{
	(void)unused;
	if (succeed()) {
#ifdef REACH /* a control: the dead one's line can be taken over in time */
		MODEL_ASSERT(0);
#endif
		for (int i = 0; i < AFTER; i++)
			operate(successor, 2);
	}
	return NULL;
}

static void
prepare(void)
{
	reader = model_attach(SHMRING_SPSC, SHMRING__READ, SHMRING_CONSUMER);
	writer = model_attach(SHMRING_SPSC, SHMRING__WRITE, SHMRING_PRODUCER);
	successor = model_open(SHMRING_SPSC, 2, VICTIM);
	model_seek(reader, writer, START);
	for (int i = 0; i < BEFORE; i++)
		put(writer, 0);
}

/* What was pushed is there, and then the whole ring is free. */
static void
judge(void)
{
	if (SIDE == SHMRING__WRITE)
		writer = successor;
	else
		reader = successor;
	while (take(reader))
		;
	for (int who = 0; who < 3; who++)
		lost += (int64_t)(pushed[who] - next[who]);
	/* Published, though its push never returned; let go of, though its
	 * pop never did. */
	MODEL_ASSERT(lost == 0 || (DIE == MODEL_FINISHED &&
				   lost == (SIDE == SHMRING__WRITE ? -1 : 1)));
	for (int i = 0; i < ROOM; i++)
		MODEL_ASSERT(put(writer, 2));
	MODEL_ASSERT(!put(writer, 2));
	for (int i = 0; i < ROOM; i++)
		MODEL_ASSERT(take(reader));
}

int
main(void)
{
	prepare();
	/* The numbers of the threads are those of the handles. */
	__VERIFIER_thread_t first =
		model_start(SIDE == SHMRING__READ ? dying : going_on);
	__VERIFIER_thread_t second =
		model_start(SIDE == SHMRING__READ ? going_on : dying);
	__VERIFIER_thread_t third = model_start(following);
	model_join(first);
	model_join(second);
	model_join(third);
	if (!successor->line[SIDE])
		MODEL_ASSERT(succeed());
	judge();
	return 0;
}
