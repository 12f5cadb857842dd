/* SPDX-License-Identifier: MIT
 * Description: MPMC, attn is cleared while a voided owner (VICTIM) comes back.
 *
 * The owner had a position in its hands for too long: it was doubted, void and
 * passed by. Now it finishes, while a consumer goes on and clears attn as soon
 * as it may be. The late one must still find out; every message arrives once,
 * and in the end attn is clear and the ring has all its slots.
 */
#define SHMRING_PATIENCE_NS 0
#define MODEL_THREADS 2
#define MODEL_LINES 3
#include "ring.h"

#ifndef VICTIM
#define VICTIM SHMRING_PRODUCER
#endif

enum { LATE, FIRST, SECOND, MESSAGES };

static struct shmring *late, *writer, *reader;
static uint64_t arrived[MESSAGES], pushed[MESSAGES];
static int unfinished; /* the late commit found the ring full */

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

/* Until the late one's position is void and has been passed. */
static void
begin(void)
{
	size_t size;

	if (VICTIM == SHMRING_PRODUCER) {
		uint64_t *place = shmring_reserve(late, sizeof(*place));

		*place = LATE;
		pushed[LATE]++;
		MODEL_ASSERT(put(FIRST));
		MODEL_ASSERT(!take() && take());
	} else {
		MODEL_ASSERT(put(LATE));
		MODEL_ASSERT(shmring_peek(late, &size) != NULL);
		arrived[LATE]++;
		MODEL_ASSERT(put(FIRST) && take());
		MODEL_ASSERT(!put(SECOND) && put(SECOND));
	}
}

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
	shmring__calm(reader);
	return NULL;
}

int
main(void)
{
	late = model_attach(SHMRING_MPMC, 0, VICTIM);
	writer = model_attach(SHMRING_MPMC, 1, SHMRING_PRODUCER);
	reader = model_attach(SHMRING_MPMC, 2, SHMRING_CONSUMER);
	begin();
	__VERIFIER_thread_t first = model_start(finishing);
	__VERIFIER_thread_t second = model_start(going_on);
	model_join(first);
	model_join(second);

	for (int i = 0; i < 2 * SLOTS; i++)
		take();
	if (unfinished)
		MODEL_ASSERT(shmring_commit(late, sizeof(uint64_t)) == 0);
	take();
	for (int i = 0; i < MESSAGES; i++)
		MODEL_ASSERT(arrived[i] == pushed[i]);
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(put(FIRST));
	for (int i = 0; i < SLOTS; i++)
		MODEL_ASSERT(take());
	shmring__calm(reader);
	MODEL_ASSERT(reader->notice->attn &&
		     !(reader->notice->attn & SHMRING__DOUBT));
	return 0;
}
