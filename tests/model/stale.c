/* SPDX-License-Identifier: MIT
 * Description: MPMC, who reclaims a slot is late: it is another's already.
 *
 * A producer or consumer (VICTIM) died with position 0 in its hands, and its
 * slot is retained. One has seen that, and reclaims it; it may be stopped
 * anywhere, also before its compare-and-swap of S. Meanwhile another reclaims
 * it, the slot's next message goes in, and a consumer dies with that in its
 * hands: S is an orphan's now. Of the calls only what touches the slot is
 * left; whole ones do not come to an end in the model checker.
 */
#define MODEL_THREADS 2
#define MODEL_LINES 2
#define MODEL_HANDLES 2
#include "crew.h"

enum { HELD, NEXT };

static struct shmring *late, *other;
static uint64_t seen;

static void *
reclaiming(void *unused)
{
	(void)unused;
	shmring__reclaim_slot(late, 0, seen);
	return NULL;
}

/* Claim and fill, or claim and die, position p of slot 0. */
static void
write_next(uint64_t p)
{
	struct shmring__claim claim;

	model_claim(other, SHMRING__WRITE, p, &claim);
	*(uint64_t *)(void *)claim.data = NEXT;
	MODEL_ASSERT(model_commit(other, &claim) == 0);
	pushed[NEXT]++;
}

static void *
going_on(void *unused)
{
	uint64_t s, a, p = SLOTS;

	(void)unused;
	shmring__reclaim_slot(other, 0, seen);
	if (VICTIM == SHMRING_CONSUMER) { /* the orphan is adopted */
		while (shmring__help(other, 0, &s, &a))
			;
		if (shmring__state_kind(s) == SHMRING__S_ORPHAN) {
			MODEL_ASSERT(shmring__move(other, 0, s,
						   SHMRING__S_READER,
						   shmring__state_phase(s)));
			arrived[HELD]++;
			shmring__hand_back(other, 0);
		}
		p = 2 * SLOTS; /* its turn was void */
	}
	while (shmring__help(other, 0, &s, &a))
		;
	MODEL_ASSERT(shmring__state_kind(s) == SHMRING__S_LIVE);
	write_next(p);
	MODEL_ASSERT(shmring__recover_claim(other, SHMRING__READ, p));
	return NULL;
}

int
main(void)
{
	other = model_attach(SHMRING_MPMC, 1, SHMRING_BOTH);
	late = model_open(SHMRING_MPMC, 0, SHMRING_BOTH);
	late->lines[0].status = 1 << 16 | SHMRING__FREE;
	/* Both cursors are beyond all of this. */
	seek(late, 2 * SLOTS + 1, 2 * SLOTS + 1, SHMRING__DOUBT);
	if (VICTIM == SHMRING_PRODUCER)
		seed(late, 0, 0, HELD, 2, SHMRING__S_WRITER);
	else
		seed(late, 0, 1, HELD, 4, SHMRING__S_READER);
	seed(late, 1, 2, HELD, 0, SHMRING__S_LIVE);
	seen = *shmring__state_word(late, 0);

	__VERIFIER_thread_t one = model_start(reclaiming);
	__VERIFIER_thread_t two = model_start(going_on);
	model_join(one);
	model_join(two);

	/* Then it is an orphan, and still there. */
	MODEL_ASSERT(shmring__state_kind(*shmring__state_word(late, 0)) ==
		     SHMRING__S_ORPHAN);
	MODEL_ASSERT(take(other) && arrived[NEXT] == 1);
	MODEL_ASSERT(arrived[HELD] == pushed[HELD]);
	return 0;
}
