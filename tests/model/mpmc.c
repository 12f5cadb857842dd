/* SPDX-License-Identifier: MIT
 * Description: MPMC, producers and consumers at once, with or without doubt.
 *
 * Every message arrives once, each producer's in order, and afterwards the
 * ring has all its slots. DOUBT: whoever finds nothing doubts the owner of
 * the position at once, so that every owner may be overtaken at every step.
 * COMMIT: by reserve and commit, which moves a message whose slot was void.
 */
#ifdef DOUBT
#define SHMRING_PATIENCE_NS 0
#endif
#ifndef PRODUCERS
#define PRODUCERS 1
#endif
#ifndef CONSUMERS
#define CONSUMERS 1
#endif
#ifndef PUSHES
#define PUSHES 1 /* messages of each producer */
#endif
#ifndef POPS
#define POPS 1 /* attempts of each consumer */
#endif
#define MODEL_THREADS (PRODUCERS + CONSUMERS)
#include "ring.h"

#define MESSAGES (PRODUCERS * PUSHES)

static struct shmring *rings[MODEL_THREADS]; /* producers first */
static uint64_t pushed[PRODUCERS];
static uint64_t taken[CONSUMERS + 1][MESSAGES]; /* at last by main */
static uint64_t count[CONSUMERS + 1];

static int
put(struct shmring *ring, const uint64_t *message)
{
#ifdef COMMIT
	uint64_t *place = shmring_reserve(ring, sizeof(*message));

	if (!place)
		return shmring_error(ring);
	*place = *message;
	return shmring_commit(ring, sizeof(*message));
#else
	return shmring_push(ring, message, sizeof(*message));
#endif
}

static void *
producer(void *unused)
{
	int i = __VERIFIER_thread_self() - 1;

	(void)unused;
	for (uint64_t n = 0; n < PUSHES; n++) {
		uint64_t message = (uint64_t)i * PUSHES + n;
		int error = put(rings[i], &message);

		MODEL_ASSERT(!error || error == -EAGAIN);
		if (error)
			break;
		pushed[i]++;
	}
	return NULL;
}

static void
take(struct shmring *ring, int who)
{
	uint64_t message = 0;
	ssize_t size = shmring_pop(ring, &message, sizeof(message));

	if (size == -EAGAIN)
		return;
	MODEL_ASSERT(size == sizeof(message));
	MODEL_ASSERT(message < MESSAGES && count[who] < MESSAGES);
	taken[who][count[who]++] = message;
}

static void *
consumer(void *unused)
{
	int i = __VERIFIER_thread_self() - 1;

	(void)unused;
	for (int n = 0; n < POPS; n++)
		take(rings[i], i - PRODUCERS);
	return NULL;
}

/* All that was pushed, once, and in order for each who took it. */
static void
judge(void)
{
	uint64_t seen[MESSAGES];

	for (uint64_t m = 0; m < MESSAGES; m++)
		seen[m] = 0;
	for (int who = 0; who <= CONSUMERS; who++) {
		for (uint64_t k = 0; k < count[who]; k++) {
			uint64_t m = taken[who][k];

			MODEL_ASSERT(!seen[m]);
			for (uint64_t n = m + 1; n % PUSHES; n++)
				MODEL_ASSERT(seen[n] != 1 + (uint64_t)who);
			seen[m] = 1 + (uint64_t)who;
		}
	}
	for (uint64_t m = 0; m < MESSAGES; m++)
		MODEL_ASSERT(!seen[m] == (m % PUSHES >= pushed[m / PUSHES]));
}

int
main(void)
{
	__VERIFIER_thread_t threads[MODEL_THREADS];

	for (uint32_t i = 0; i < MODEL_THREADS; i++)
		rings[i] = model_attach(SHMRING_MPMC, i,
					i < PRODUCERS ? SHMRING_PRODUCER
						      : SHMRING_CONSUMER);
	for (int i = 0; i < MODEL_THREADS; i++)
		threads[i] = model_start(i < PRODUCERS ? producer : consumer);
	for (int i = 0; i < MODEL_THREADS; i++)
		model_join(threads[i]);

	struct shmring *reader = rings[PRODUCERS];
#ifdef REACH_DOUBT /* a control: some slot does come into doubt */
	MODEL_ASSERT(!(reader->notice->attn & SHMRING__DOUBT));
#endif
#ifdef REACH_SPILL /* a control: a message is moved to another slot */
	MODEL_ASSERT(!model_spills[PRODUCERS - 1]);
#endif
	for (int i = 0; i < 2 * SLOTS; i++)
		take(reader, CONSUMERS);
	judge();
	return 0;
}
