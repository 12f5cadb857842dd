/* SPDX-License-Identifier: MIT
 * Description: BROADCAST, records of no and of one word wrap round 8 words.
 *
 * Default: lossy. The writer overwrites, a reader copies, is lapped, goes on;
 * what it is given has the number that is due, and received and lost add up.
 * JOIN: gated. A reader takes its place while the writer, who has filled the
 * ring before, asks its readers; from there on nothing is missed.
 * READERS=2: two of them.
 */
#define SHMRING__MARKS 8
#define SHMRING__PARTS 4
#define MODEL_CAPACITY 64
#define MODEL_RACY_COPY /* of what may be overwritten: judged afterwards */
#ifndef READERS
#define READERS 1
#endif
#include "ring.h"

#ifndef BEFORE
#define BEFORE 4 /* messages before the threads start */
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef POPS
#define POPS 2
#endif

static struct shmring *writer, *reader[READERS];
static uint64_t pushed;

static void
push_one(void)
{
	uint64_t message = 100 + pushed;
	int error = shmring_push(writer, &message, pushed % 2 * 8);

	MODEL_ASSERT(!error || error == -EAGAIN);
	pushed += !error;
}

static void *
producer(void *unused)
{
	(void)unused;
	for (int i = 0; i < RECORDS; i++)
		push_one();
	return NULL;
}

static void
pop_one(struct shmring *r)
{
	uint64_t message = 0, due = shmring__sequence(r);
	ssize_t size = shmring_pop(r, &message, sizeof(message));

	if (size == -EAGAIN)
		return;
#ifdef JOIN
	MODEL_ASSERT(size != -ENOBUFS);
#endif
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
	if (shmring__take_place(r, SHMRING_OLDEST))
		return NULL; /* the writer was faster: not attached */
#endif
	for (int i = 0; i < POPS; i++)
		pop_one(r);
	return NULL;
}

int
main(void)
{
	__VERIFIER_thread_t thread[READERS + 1];

	writer = model_attach(SHMRING_BROADCAST, SHMRING__WRITE,
			      SHMRING_PRODUCER);
	for (uint32_t i = 0; i < READERS; i++) {
		reader[i] = model_attach(SHMRING_BROADCAST, 2 * i,
					 SHMRING_CONSUMER);
		reader[i]->head = &reader[i]->line[SHMRING__READ]->head;
		reader[i]->taken =
			&reader[i]->line[SHMRING__READ]->intent[SHMRING__READ];
#ifdef JOIN
		reader[i]->gated = 1;
#else
		reader[i]->checks = 1;
		*reader[i]->taken = 0;
#endif
	}
#ifdef JOIN
	writer->gates = 1;
#endif
	for (int i = 0; i < BEFORE; i++)
		push_one();
	thread[0] = model_start(producer);
	for (int i = 0; i < READERS; i++)
		thread[i + 1] = __VERIFIER_thread_create(
			NULL, consumer, i ? (void *)reader : NULL);
	for (int i = 0; i <= READERS; i++)
		model_join(thread[i]);
	for (int i = 0; i < READERS; i++) {
		for (int k = 0; k < BEFORE + RECORDS; k++)
			pop_one(reader[i]);
		MODEL_ASSERT(shmring__sequence(reader[i]) == pushed);
	}
	return 0;
}
