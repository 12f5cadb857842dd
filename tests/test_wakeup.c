/* SPDX-License-Identifier: MIT
 *
 * Description: no wake-up is ever lost: sleeps have no end of their own here,
 * and peers act in the very moment in which we are about to sleep.
 */
#define SHMRING_SLICE_NS (INT64_C(3600) * 1000000000)
#include "ring.h"

#include <sched.h>

struct duel {
	struct shmring *ring;
	size_t size; /* of a message */
	int64_t end;
	uint64_t turn; /* rounds begun */
};

static void
await_round(uint64_t *count, uint64_t round)
{
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < round)
		sched_yield();
}

/* Somewhere around the peer's way into its sleep. */
static void
delay(void)
{
	for (uint64_t i = tap_random() % 4096; i > 0; i--)
		SHMRING_PAUSE();
}

static void
push_at_the_worst_moment(void *argument)
{
	struct duel *duel = argument;
	static char message[1000];
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(duel->ring),
				     SHMRING_PRODUCER));
	for (uint64_t round = 1; shmring__now() < duel->end; round++) {
		await_round(&duel->turn, round);
		delay();
		CHILD_CHECK(!shmring_push(&own, message, duel->size));
	}
	shmring_close(&own);
}

static void
pop_at_the_worst_moment(void *argument)
{
	struct duel *duel = argument;
	static char message[1000];
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(duel->ring),
				     SHMRING_CONSUMER));
	for (uint64_t round = 1; shmring__now() < duel->end; round++) {
		await_round(&duel->turn, round);
		delay();
		CHILD_CHECK(shmring_pop(&own, message, duel->size) ==
			    (ssize_t)duel->size);
	}
	shmring_close(&own);
}

static ssize_t
wait_for_data(struct duel *duel)
{
	char message[1000];

	return shmring_pop_wait(duel->ring, message, sizeof(message), GENEROUS);
}

static ssize_t
wait_for_space(struct duel *duel)
{
	char message[1000] = "";

	return shmring_push_wait(duel->ring, message, duel->size, GENEROUS);
}

static ssize_t
wait_for_the_reader(struct duel *duel)
{
	return shmring_flush(duel->ring, GENEROUS);
}

/* As often as time allows: let the peer know, then wait for what it does. */
static void
provoke(uint32_t mode, unsigned role, ssize_t (*wait)(struct duel *),
	void (*peer)(void *), const char *what)
{
	/* So few and large that each message counts for lazy wake-ups. */
	struct shmring_config config = { .mode = mode,
					 .slots = 4,
					 .slot_size = 1000,
					 .participants = 2,
					 .roles = role };
	struct duel *duel = shared_memory(sizeof(*duel));
	char message[1000] = "";
	struct shmring_stat all;
	struct shmring ring;
	uint64_t rounds = 0;
	int64_t start;
	int lost = 0;
	ssize_t result;
	pid_t child;

	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	shmring_set_spin(&ring, 0);
	while (wait == wait_for_space &&
	       shmring_push(&ring, message, sizeof(message)) == 0)
		;
	duel->ring = &ring;
	duel->size = sizeof(message);
	duel->end = shmring__now() + tap_seconds() * 500 * MILLISECOND;
	child = child_start(peer, duel);
	do {
		result = 0;
		if (wait == wait_for_the_reader)
			result = shmring_push(&ring, message, sizeof(message));
		if (result < 0)
			break;
		__atomic_store_n(&duel->turn, ++rounds, __ATOMIC_RELEASE);
		start = shmring__now();
		result = wait(duel);
		/* Who sleeps until then finds what it missed. */
		lost += shmring__now() - start >= GENEROUS;
	} while (result >= 0 && !lost);
	shmring_stat(&ring, &all);
	is_int(lost, 0, "%s: never left asleep", what);
	is_int(result, -EPIPE, "until the end");
	ok(all.sleeps > 0, "in %" PRIu64 " rounds, %" PRIu64 " sleeps", rounds,
	   all.sleeps);
	is_int(tap_wait(child), 0, "the peer had no trouble");
	shmring_close(&ring);
}

struct crowd {
	struct shmring *ring;
	uint64_t each; /* messages a reader takes */
	uint64_t taken;
	int leave;
};

static void
take_in_a_crowd(void *argument)
{
	struct crowd *crowd = argument;
	struct shmring own;
	ssize_t got;
	char message[8];

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(crowd->ring),
				     SHMRING_CONSUMER));
	shmring_set_spin(&own, 0);
	for (uint64_t i = 0; i < crowd->each; i++) {
		got = shmring_pop_wait(&own, message, 8, GENEROUS);
		if (got == -EPIPE)
			return;
		CHILD_CHECK(got == 8);
		__atomic_fetch_add(&crowd->taken, 1, __ATOMIC_ACQ_REL);
	}
	flag_await(&crowd->leave, 1); /* without a word to the others */
}

/* Several sleepers, woken one by one: as many as there are messages, though
 * those who were woken may not come back for more. */
static void
share_out(uint64_t each)
{
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_PRODUCER };
	struct crowd *crowd = shared_memory(sizeof(*crowd));
	int64_t end = shmring__now() + tap_seconds() * 500 * MILLISECOND;
	uint64_t pushed = 0;
	struct shmring ring;
	pid_t children[4];
	int wrong = 0;

	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	crowd->ring = &ring;
	crowd->each = each;
	for (int i = 0; i < 4; i++)
		children[i] = child_start(take_in_a_crowd, crowd);
	usleep(20000); /* most are asleep now, the more the better */
	while (!wrong && pushed < 4 * each && shmring__now() < end) {
		int64_t hung = shmring__now() + GENEROUS;

		for (uint64_t i = each == 1 ? 3 : tap_random() % 4; i < 4;
		     i++) {
			pushed++;
			wrong += push_number(&ring, 1) != 0;
			delay();
		}
		while (__atomic_load_n(&crowd->taken, __ATOMIC_ACQUIRE) <
			       pushed &&
		       !wrong) {
			sched_yield();
			wrong += shmring__now() > hung;
		}
	}
	is_int(wrong, 0, "%" PRIu64 " messages, all taken at once", pushed);
	shmring_close(&ring);
	flag_raise(&crowd->leave);
	for (int i = 0; i < 4; i++)
		wrong += tap_wait(children[i]) != 0;
	is_int(wrong, 0, "each was woken for a message, or for the end");
}

struct crew {
	struct shmring *ring;
	uint64_t done; /* pushes */
};

static void
push_into_a_full_ring(void *argument)
{
	struct crew *crew = argument;
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(crew->ring),
				     SHMRING_PRODUCER));
	shmring_set_spin(&own, 0);
	CHILD_CHECK(!shmring_push_wait(&own, "", 1, GENEROUS));
	__atomic_fetch_add(&crew->done, 1, __ATOMIC_ACQ_REL);
	shmring_close(&own);
}

/* Until nobody has gone to sleep for a while: they sleep long. */
static void
await_long_sleeps(struct shmring *ring, uint32_t producers)
{
	struct shmring_stat now, before;

	do {
		shmring_stat(ring, &before);
		usleep(30000);
		shmring_stat(ring, &now);
	} while (now.sleeps != before.sleeps || now.producers < producers ||
		 now.sleeps < producers);
}

/* Producers asleep for long on a full ring, of which the consumer takes one
 * now and then, which is far less than an eighth. */
static void
free_single_slots(uint32_t mode, int producers)
{
	struct shmring_config config = {
		.mode = mode, .slots = 1024, .slot_size = 8, .participants = 16
	};
	struct crew *crew = shared_memory(sizeof(*crew));
	int64_t hung = shmring__now() + GENEROUS;
	struct shmring ring;
	pid_t children[4];
	int wrong = 0;

	config.roles = mode == SHMRING_SPSC ? SHMRING_CONSUMER : SHMRING_BOTH;
	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	if (mode == SHMRING_SPSC) {
		struct shmring writer;

		ring_dup(&writer, &ring, SHMRING_PRODUCER);
		while (push_number(&writer, 1) == 0)
			;
		shmring_close(&writer);
	} else { /* with the first of them an eighth begins */
		while (push_number(&ring, 1) == 0)
			;
		wrong += pop_number(&ring) != 1 || push_number(&ring, 1) != 0;
	}
	crew->ring = &ring;
	for (int i = 0; i < producers; i++)
		children[i] = child_start(push_into_a_full_ring, crew);
	for (int i = 0; i < producers; i++) {
		await_long_sleeps(&ring, (uint32_t)(producers - i));
		wrong += pop_number(&ring) != 1;
		while (__atomic_load_n(&crew->done, __ATOMIC_ACQUIRE) <=
			       (uint64_t)i &&
		       !wrong) {
			usleep(100);
			wrong += shmring__now() > hung;
		}
	}
	is_int(wrong, 0, "%d producers, each goes on with the next free slot",
	       producers);
	for (int i = 0; i < producers; i++)
		wrong += tap_wait(children[i]) != 0;
	is_int(wrong, 0, "none is left asleep");
	shmring_close(&ring);
}

int
main(void)
{
	tap_start();
	for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC; mode++) {
		printf("# %s\n", mode_name[mode]);
		provoke(mode, SHMRING_CONSUMER, wait_for_data,
			push_at_the_worst_moment, "a consumer");
		provoke(mode, SHMRING_PRODUCER, wait_for_space,
			pop_at_the_worst_moment, "a producer");
		provoke(mode, SHMRING_PRODUCER, wait_for_the_reader,
			pop_at_the_worst_moment, "flush");
	}
	free_single_slots(SHMRING_SPSC, 1);
	free_single_slots(SHMRING_MPMC, 1);
	free_single_slots(SHMRING_MPMC, 4);
	share_out(UINT64_MAX / 4);
	for (int i = 0; i < 10; i++)
		share_out(1);
	return tap_done();
}
