/* SPDX-License-Identifier: MIT
 * Description: BROADCAST, records of no and of one word wrap round 8 words.
 *
 * Default: lossy. The writer overwrites, a reader copies, is lapped, goes on;
 * what it is given has the number that is due, and received and lost add up.
 * JOIN: gated. A reader takes its place while the writer, who has filled the
 * ring before, asks its readers; from there on nothing is missed.
 * READERS=2: two of them.
 * VICTIM=SHMRING_PRODUCER: lossy; the writer dies at DIE in its last push, a
 * successor goes on as soon as it can. VICTIM=SHMRING_CONSUMER: gated; the
 * first reader dies at DIE, and does not hold the writer any longer.
 */
#define SHMRING__MARKS 8
#define SHMRING__PARTS 4
#define MODEL_CAPACITY 64
#define MODEL_RACY_COPY /* of what may be overwritten: judged afterwards */
#ifndef READERS
#define READERS 1
#endif
#ifndef VICTIM
#define VICTIM 0 /* nobody */
#endif
#ifndef MODEL_THREADS
#define MODEL_THREADS (READERS + 1) /* and the successor */
#endif
#define MODEL_LINES (READERS + 1)
#include "ring.h"

#ifndef BEFORE
#define BEFORE 4 /* messages before the threads start */
#endif
#ifndef POPPED
#define POPPED 0 /* of these, by each reader */
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef POPS
#define POPS 2
#endif
#ifndef DIE
#define DIE MODEL_LIVES /* between two operations */
#endif
#ifdef JOIN
#define GATED 1
#else
#define GATED (VICTIM == SHMRING_CONSUMER)
#endif

static struct shmring *writer, *heir, *reader[READERS];

/* Of the next message; a successor finds it out. */
static uint64_t
number(const struct shmring *ring)
{
	return ring->lines[SHMRING__WRITE].pushed;
}

static int
push_one(struct shmring *ring)
{
	uint64_t message = 100 + number(ring);
	int error = shmring_push(ring, &message, number(ring) % 2 * 8);

	MODEL_ASSERT(!error || error == -EAGAIN);
	return !error;
}

static void *
producer(void *unused)
{
	(void)unused;
	for (int i = 0; i < RECORDS; i++) {
		if (VICTIM == SHMRING_PRODUCER && i == RECORDS - 1) {
			model_copied = 0;
			model_dies = DIE;
		}
		push_one(writer);
		if (VICTIM == SHMRING_CONSUMER)
			shmring__recover_line(writer, 0);
	}
	if (VICTIM == SHMRING_PRODUCER)
		model_die();
	return NULL;
}

static int
succeed(void)
{
	return model_succeed(heir,
			     shmring__attach_broadcast(heir, SHMRING_PRODUCER));
}

static void *
following(void *unused)
{
	(void)unused;
	if (succeed()) {
#ifdef REACH /* a control: the dead one's line can be taken over in time */
		MODEL_ASSERT(0);
#endif
		push_one(heir);
	}
	return NULL;
}

static void
pop_one(struct shmring *r)
{
	uint64_t message = 0, due = shmring__sequence(r);
	ssize_t size = shmring_pop(r, &message, sizeof(message));

	if (size == -EAGAIN || (size == -EPIPE && VICTIM == SHMRING_PRODUCER))
		return;
	MODEL_ASSERT(size != -ENOBUFS || !GATED);
	if (size == -ENOBUFS)
		return;
	MODEL_ASSERT(size == (ssize_t)(due % 2 * 8));
	MODEL_ASSERT(size == 0 || message == 100 + due);
}

static void *
consumer(void *which)
{
	struct shmring *r = reader[which != NULL];

#ifdef JOIN
	if (shmring__take_place(r, SHMRING_OLDEST, NULL))
		return NULL; /* the writer was faster: not attached */
#endif
	if (VICTIM == SHMRING_CONSUMER && !which)
		model_dies = DIE;
	for (int i = 0; i < POPS; i++)
		pop_one(r);
	if (VICTIM == SHMRING_CONSUMER && !which)
		model_die();
	return NULL;
}

static void
prepare(void)
{
	writer = model_attach(SHMRING_BROADCAST, SHMRING__WRITE,
			      SHMRING_PRODUCER);
	for (uint32_t i = 0; i < READERS; i++) {
		reader[i] = model_attach(SHMRING_BROADCAST, 2 * i,
					 SHMRING_CONSUMER);
		reader[i]->head = &reader[i]->line[SHMRING__READ]->head;
		reader[i]->spsc.taken =
			&reader[i]->line[SHMRING__READ]->intent[SHMRING__READ];
		reader[i]->broadcast.holds = GATED;
		reader[i]->broadcast.checks = !GATED;
#ifndef JOIN
		*reader[i]->spsc.taken = 0;
#endif
	}
	writer->broadcast.asks = GATED;
	if (VICTIM == SHMRING_PRODUCER)
		heir = model_open(SHMRING_BROADCAST, READERS + 1,
				  SHMRING_PRODUCER);
	for (int i = 0; i < BEFORE; i++)
		push_one(writer);
	for (int i = 0; i < READERS * POPPED; i++)
		pop_one(reader[i % READERS]);
}

/* Who lives has got all, or knows how much not; who died holds nobody. */
static void
judge(void)
{
	if (VICTIM == SHMRING_PRODUCER) {
		if (!heir->line[SHMRING__WRITE])
			MODEL_ASSERT(succeed());
		writer = heir;
	}
	if (VICTIM == SHMRING_CONSUMER)
		shmring__recover_line(writer, 0);
	for (int round = 0; round < 2; round++) {
		for (int i = VICTIM == SHMRING_CONSUMER; i < READERS; i++) {
			for (int k = 0; k < BEFORE + RECORDS + 1; k++)
				pop_one(reader[i]);
			MODEL_ASSERT(shmring__sequence(reader[i]) ==
				     number(writer));
		}
		for (int k = 0; VICTIM && k < 3; k++)
			MODEL_ASSERT(push_one(writer));
	}
}

int
main(void)
{
	__VERIFIER_thread_t thread[MODEL_THREADS];

	prepare();
	/* The numbers of the threads are those of the handles. */
	thread[0] = model_start(consumer);
	thread[1] = model_start(producer);
	if (READERS > 1)
		thread[2] = __VERIFIER_thread_create(NULL, consumer,
						     (void *)reader);
	if (VICTIM == SHMRING_PRODUCER)
		thread[MODEL_THREADS - 1] = model_start(following);
	for (int i = 0; i < MODEL_THREADS; i++)
		model_join(thread[i]);
	judge();
	return 0;
}
