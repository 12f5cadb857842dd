/* SPDX-License-Identifier: MIT
 *
 * Description: waiting for a peer, and until it is gone: closed or killed, by
 * participants and observers; rings whose stream does not end
 */
#include "ring.h"

#include <pthread.h>
#include <stddef.h>

struct peer {
	const char *name;
	unsigned roles;
	int *ready, *go; /* when it may leave; NULL: it stays */
};

static void
attach(void *argument)
{
	struct peer *peer = argument;
	struct shmring ring;

	CHILD_CHECK(!shmring_open(&ring, peer->name, peer->roles, GENEROUS));
	flag_raise(peer->ready);
	if (!peer->go)
		for (;;)
			pause();
	flag_await(peer->go, 1);
	shmring_close(&ring);
}

static void
attach_and_wait(void *argument)
{
	struct peer *peer = argument;
	struct shmring ring;
	uint64_t number;

	CHILD_CHECK(!shmring_open(&ring, peer->name, peer->roles, GENEROUS));
	CHILD_CHECK(shmring_pop_wait(&ring, &number, 8, -1) == 8);
	flag_raise(peer->ready);
	for (;;)
		pause();
}

struct waiting {
	struct shmring *ring;
	unsigned role;
	int there, result;
	pthread_t thread;
};

static void *
wait_in_thread(void *argument)
{
	struct waiting *w = argument;

	/* beyond the end of the clock: for ever */
	w->result =
		w->there ? shmring_wait_peer(w->ring, w->role, INT64_MAX)
			 : shmring_wait_gone(w->ring, w->role, INT64_MAX - 1);
	return NULL;
}

static void
waiting_start(struct waiting *w, int there)
{
	w->there = there;
	if (pthread_create(&w->thread, NULL, wait_in_thread, w))
		bail("no thread");
	usleep(2000);
}

static int
waiting_result(struct waiting *w)
{
	pthread_join(w->thread, NULL);
	return w->result;
}

/* As `roles` we wait for one of the role. */
static void
wait_for_one(uint32_t mode, unsigned roles, unsigned role)
{
	struct shmring_config config = { .mode = mode,
					 .roles = roles & SHMRING_OBSERVER
							  ? SHMRING_BOTH
							  : roles };
	struct peer peer = { .roles = role,
			     .ready = shared_memory(sizeof(int)),
			     .go = shared_memory(sizeof(int)) };
	struct shmring ring;
	struct waiting w = { .ring = &ring, .role = role };
	char name[64];

	peer.name = strcpy(name, tap_name());
	if (shmring_create(&ring, name, &config))
		bail("cannot create a ring");
	if (roles & SHMRING_OBSERVER) {
		shmring_close(&ring);
		ring_open(&ring, name, SHMRING_OBSERVER);
	}
	is_int(shmring_wait_peer(&ring, role, 0), -EAGAIN,
	       "roles %u: nobody of role %u", roles, role);
	is_int(shmring_wait_peer(&ring, role, MILLISECOND), -ETIMEDOUT,
	       "in time");
	is_int(shmring_wait_gone(&ring, role, 0), 0, "none is there");
	waiting_start(&w, 1);
	pid_t child = child_start(attach, &peer);
	is_int(waiting_result(&w), 0, "one comes");
	flag_await(peer.ready, 1);
	is_int(shmring_wait_peer(&ring, role, 0), 0, "it is there");
	is_int(shmring_wait_gone(&ring, role, 0), -EAGAIN, "and stays");
	waiting_start(&w, 0);
	flag_raise(peer.go);
	is_int(waiting_result(&w), 0, "it closes");
	is_int(tap_wait(child), 0, "in good order");

	peer.go = NULL;
	child = child_start(attach, &peer);
	is_int(shmring_wait_peer(&ring, role, GENEROUS), 0, "another comes");
	flag_await(peer.ready, 2);
	waiting_start(&w, 0);
	child_kill(child);
	is_int(waiting_result(&w), 0, "it is killed");
	shmring_close(&ring);
	shmring_unlink(name);
}

/* An observer tells the dead from the living, who waits from who does not. */
static void
show_state(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .roles = SHMRING_PRODUCER };
	struct peer peer = { .roles = SHMRING_CONSUMER,
			     .ready = shared_memory(sizeof(int)) };
	struct shmring_participant one;
	struct shmring ring, observer;
	char name[64];

	peer.name = strcpy(name, tap_name());
	if (shmring_create(&ring, name, &config))
		bail("cannot create a ring");
	ring_open(&observer, name, SHMRING_OBSERVER);
	uint32_t line = mode == SHMRING_SPSC ? SHMRING__READ : 1;
	pid_t child = child_start(attach_and_wait, &peer);
	do
		usleep(100);
	while (shmring_participant(&observer, line, &one) || !one.waits);
	is_int(one.waits, SHMRING_CONSUMER, "a consumer waits");
	is_int(one.dead, 0, "and lives");
	push_number(&ring, 1);
	flag_await(peer.ready, 1);
	is_int(shmring_participant(&observer, line, &one), 0, "it has it:");
	is_int(one.waits, 0, "it does not wait");
	child_kill(child);
	is_int(shmring_participant(&observer, line, &one), 0, "killed:");
	is_int(one.dead, 1, "it is dead, says who only looks");
	shmring_recover(&ring);
	is_int(shmring_participant(&observer, line, &one), -ENOENT,
	       "until it is recovered");
	shmring_close(&observer);
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
refuse_what_makes_no_sense(void)
{
	struct shmring one, other;

	ring_make(&one, SHMRING_MPMC, 8, 8);
	is_int(shmring_wait_peer(&one, 0, 0), -EDOM, "no role");
	is_int(shmring_wait_peer(&one, SHMRING_OBSERVER, 0), -EDOM,
	       "nobody knows of observers");
	is_int(shmring_wait_peer(&one, SHMRING_BOTH, 0), -EAGAIN,
	       "our own role is no peer's");
	ring_dup(&other, &one, SHMRING_CONSUMER);
	is_int(shmring_wait_peer(&one, SHMRING_BOTH, 0), 0,
	       "another handle is");
	is_int(shmring_wait_peer(&other, SHMRING_PRODUCER, 0), 0, "each other");
	shmring_close(&other);
	is_int(shmring_wait_peer(&other, SHMRING_BOTH, 0), -EBADF, "closed");
	shmring_close(&one);
}

/* ---- A stream that does not end ------------------------------------------ */

static void
come_and_go(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .flags = SHMRING_PERSISTENT,
					 .roles = SHMRING_PRODUCER };
	struct peer peer = { .ready = shared_memory(sizeof(int)) };
	struct shmring ring, other;
	char name[64];
	int64_t pushed = 0, popped = 0;

	peer.name = strcpy(name, tap_name());
	if (shmring_create(&ring, name, &config))
		bail("cannot create a ring");
	ring_open(&other, name, SHMRING_CONSUMER);
	shmring_close(&other);
	while (push_number(&ring, 5) == 0)
		pushed++;
	ok(pushed >= 16, "the consumer has gone: fill up");
	is_int(push_number(&ring, 5), -EAGAIN, "and wait");
	is_int(shmring_flush(&ring, MILLISECOND), -ETIMEDOUT, "flush, too");
	shmring_close(&ring);
	ring_open(&other, name, SHMRING_CONSUMER);
	while (pop_number(&other) == 5)
		popped++;
	is_int(popped, pushed, "the next consumer gets all");
	is_int(pop_number(&other), -EAGAIN, "the producer has gone: no end");
	peer.roles = SHMRING_PRODUCER;
	pid_t child = child_start(attach, &peer);
	flag_await(peer.ready, 1);
	child_kill(child);
	uint64_t number;
	is_int(shmring_pop_wait(&other, &number, 8, 3 * SHMRING_SLICE_NS),
	       -ETIMEDOUT, "nor when one is killed");
	ring_open(&ring, name, SHMRING_PRODUCER);
	is_int(push_number(&ring, 9), 0, "its successor");
	is_int(pop_number(&other), 9, "goes on");

	uint32_t unknown = 1u << 31;
	ok(pwrite(ring.map.fd, &unknown, sizeof(unknown),
		  offsetof(struct shmring__header, features)) ==
		   sizeof(unknown),
	   "what we do not know");
	struct shmring third;
	is_int(shmring_open(&third, name, SHMRING_OBSERVER, 0),
	       -EPROTONOSUPPORT, "is not opened");
	shmring_close(&other);
	shmring_close(&ring);
	shmring_unlink(name);
}

int
main(void)
{
	tap_start();
	for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC; mode++) {
		printf("# %s\n", mode_name[mode]);
		wait_for_one(mode, SHMRING_PRODUCER, SHMRING_CONSUMER);
		wait_for_one(mode, SHMRING_CONSUMER, SHMRING_PRODUCER);
		wait_for_one(mode, SHMRING_OBSERVER, SHMRING_CONSUMER);
		come_and_go(mode);
		show_state(mode);
	}
	wait_for_one(SHMRING_MPMC, SHMRING_BOTH, SHMRING_PRODUCER);
	refuse_what_makes_no_sense();
	return tap_done();
}
