/* SPDX-License-Identifier: MIT
 *
 * Description: waiting calls: time-outs, flush, the end of the stream and the
 * death of the peer wake sleepers, signals do not disturb, all spin policies.
 */
#include "ring.h"

#include <pthread.h>
#include <time.h>

static const int64_t policies[] = { -1, 0, 1000, SHMRING_SPIN_NS };

/* What a thread or child of ours does with its end of the ring. */
struct sleeper {
	struct shmring ring;
	int64_t timeout, result;
	pthread_t thread;
};

static void *
pop_in_thread(void *argument)
{
	struct sleeper *sleeper = argument;
	char buffer[8];

	sleeper->result = shmring_pop_wait(&sleeper->ring, buffer,
					   sizeof(buffer), sleeper->timeout);
	return NULL;
}

static void *
push_in_thread(void *argument)
{
	struct sleeper *sleeper = argument;

	sleeper->result =
		shmring_push_wait(&sleeper->ring, "", 1, sleeper->timeout);
	return NULL;
}

static void *
flush_in_thread(void *argument)
{
	struct sleeper *sleeper = argument;

	sleeper->result = shmring_flush(&sleeper->ring, sleeper->timeout);
	return NULL;
}

/* Returns when the thread sleeps, as its counter says. */
static void
sleeper_start(struct sleeper *sleeper, void *(*function)(void *))
{
	const uint64_t *sleeps = &shmring__own_line(&sleeper->ring)->sleeps;
	uint64_t before = __atomic_load_n(sleeps, __ATOMIC_RELAXED);

	sleeper->timeout = GENEROUS;
	if (pthread_create(&sleeper->thread, NULL, function, sleeper))
		bail("no thread");
	while (__atomic_load_n(sleeps, __ATOMIC_RELAXED) < before + 2)
		usleep(100);
}

static int64_t
sleeper_result(struct sleeper *sleeper)
{
	pthread_join(sleeper->thread, NULL);
	return sleeper->result;
}

static void
fill(struct shmring *writer)
{
	while (push_number(writer, 1) == 0)
		;
}

/* Not before its time, whatever the policy. How late is not ours to say. */
static void
time_out(uint32_t mode)
{
	struct shmring writer, reader;
	struct iovec entry = { &reader, 8 };
	int early = 0, wrong = 0;
	size_t size;

	make_halves(mode, &writer, &reader);
	fill(&writer);
	is_int(push_number(&writer, 1), -EAGAIN, "full");
	is_int(shmring_push_wait(&writer, "", 1, 0), -EAGAIN,
	       "no time at all: as without waiting");
	ok(!shmring_reserve_wait(&writer, 1, MILLISECOND) &&
		   shmring_error(&writer) == -ETIMEDOUT,
	   "reserve times out");
	entry.iov_base = &size;
	is_int(shmring_push_n_wait(&writer, &entry, 1, MILLISECOND), -ETIMEDOUT,
	       "so does a batch");
	is_int(shmring_push_array_wait(&writer, &size, 8, 1, MILLISECOND),
	       -ETIMEDOUT, "an array");
	is_int(shmring_flush(&writer, MILLISECOND), -ETIMEDOUT, "and flush");
	for (size_t i = 0; i < 4; i++) {
		int64_t start = shmring__now(), timeout = 3 * MILLISECOND;

		shmring_set_spin(&writer, policies[i]);
		wrong += shmring_push_wait(&writer, "", 1, timeout) !=
			 -ETIMEDOUT;
		early += shmring__now() - start < timeout;
	}
	while (pop_number(&reader) == 1)
		;
	is_int(shmring_flush(&writer, 0), 0, "all taken: flush has no wait");
	is_int(shmring_pop_wait(&reader, &size, 8, 0), -EAGAIN, "empty");
	ok(!shmring_peek_wait(&reader, &size, MILLISECOND) &&
		   shmring_error(&reader) == -ETIMEDOUT,
	   "peek times out");
	is_int(shmring_pop_n_wait(&reader, &entry, 1, MILLISECOND), -ETIMEDOUT,
	       "so does a batch");
	is_int(shmring_pop_array_wait(&reader, &size, 8, 1, MILLISECOND),
	       -ETIMEDOUT, "and an array");
	for (size_t i = 0; i < 4; i++) {
		int64_t start = shmring__now(), timeout = 3 * MILLISECOND;

		shmring_set_spin(&reader, policies[i]);
		wrong += shmring_pop_wait(&reader, &size, 8, timeout) !=
			 -ETIMEDOUT;
		early += shmring__now() - start < timeout;
	}
	is_int(wrong, 0, "all spin policies time out");
	is_int(early, 0, "not before their time");
	is_int(push_number(&writer, 7), 0, "a time-out has harmed nothing");
	is_int(pop_number(&reader), 7, "in the ring");
	shmring_close(&reader);
	shmring_close(&writer);
}

static void
wait_for_each_other(uint32_t mode)
{
	struct sleeper writer, reader;
	struct iovec entry = { &entry, 8 };
	size_t size;

	make_halves(mode, &writer.ring, &reader.ring);
	sleeper_start(&reader, pop_in_thread);
	is_int(push_number(&writer.ring, 1), 0, "a push");
	is_int(sleeper_result(&reader), 8, "wakes who waits for it");
	fill(&writer.ring);
	sleeper_start(&writer, push_in_thread);
	while (pop_number(&reader.ring) == 1) /* SPSC: space comes in eighths */
		;
	is_int(sleeper_result(&writer), 0, "so does a pop");
	while (pop_number(&reader.ring) != -EAGAIN)
		;
	sleeper_start(&reader, pop_in_thread);
	is_int(shmring_push_n(&writer.ring, &entry, 1), 1, "so does a batch");
	is_int(sleeper_result(&reader), 8, "of one");
	sleeper_start(&reader, pop_in_thread);
	if (shmring_reserve(&writer.ring, 8))
		is_int(shmring_commit(&writer.ring, 8), 0, "and a commit");
	is_int(sleeper_result(&reader), 8, "in place");

	push_number(&writer.ring, 1);
	push_number(&writer.ring, 2);
	sleeper_start(&writer, flush_in_thread);
	is_int(pop_number(&reader.ring), 1, "flush: one is taken");
	ok(shmring_peek(&reader.ring, &size), "one looked at");
	shmring_release(&reader.ring);
	is_int(sleeper_result(&writer), 0, "all are: the wait is over");
	is_int(shmring_length(&reader.ring), 0, "nothing is left");
	shmring_close(&reader.ring);
	shmring_close(&writer.ring);
}

/* The last of the other side leaves while we sleep. */
static void
leave_sleepers(uint32_t mode)
{
	struct sleeper writer, reader, second;

	make_halves(mode, &writer.ring, &reader.ring);
	sleeper_start(&reader, pop_in_thread);
	if (mode == SHMRING_MPMC) {
		ring_dup(&second.ring, &writer.ring, SHMRING_CONSUMER);
		sleeper_start(&second, pop_in_thread);
	}
	shmring_close(&writer.ring);
	is_int(sleeper_result(&reader), -EPIPE, "the end wakes a reader");
	if (mode == SHMRING_MPMC) {
		is_int(sleeper_result(&second), -EPIPE, "every reader");
		shmring_close(&second.ring);
	}
	shmring_close(&reader.ring);

	make_halves(mode, &writer.ring, &reader.ring);
	fill(&writer.ring);
	sleeper_start(&writer, push_in_thread);
	shmring_close(&reader.ring);
	is_int(sleeper_result(&writer), -EPIPE, "and a writer");
	is_int(shmring_flush(&writer.ring, -1), -EPIPE, "flush gives up");
	shmring_close(&writer.ring);

	make_halves(mode, &writer.ring, &reader.ring);
	push_number(&writer.ring, 1);
	sleeper_start(&writer, flush_in_thread);
	shmring_close(&reader.ring);
	is_int(sleeper_result(&writer), -EPIPE, "also when it sleeps");
	shmring_close(&writer.ring);
}

struct peer {
	const char *name;
	unsigned roles;
	int *ready;
};

static void
attach_and_stay(void *argument)
{
	struct peer *peer = argument;
	struct shmring ring;

	CHILD_CHECK(!shmring_open(&ring, peer->name, peer->roles, 0));
	flag_raise(peer->ready);
	for (;;)
		pause();
}

/* The peer is killed while we sleep: no call tells us, we must find out. */
static void
kill_the_peer(uint32_t mode, unsigned role)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_BOTH ^ role };
	struct peer peer = { .roles = role,
			     .ready = shared_memory(sizeof(int)) };
	struct sleeper sleeper;
	char name[64];
	pid_t child;

	peer.name = strcpy(name, tap_name());
	if (shmring_create(&sleeper.ring, name, &config))
		bail("cannot create a ring");
	child = child_start(attach_and_stay, &peer);
	flag_await(peer.ready, 1);
	if (role == SHMRING_PRODUCER) {
		sleeper_start(&sleeper, pop_in_thread);
	} else {
		fill(&sleeper.ring);
		sleeper_start(&sleeper, push_in_thread);
	}
	child_kill(child);
	is_int(sleeper_result(&sleeper), -EPIPE, "a sleeping %s finds out",
	       role == SHMRING_PRODUCER ? "reader" : "writer");
	shmring_close(&sleeper.ring);
	shmring_unlink(name);
}

static volatile sig_atomic_t signals;

static void
on_signal(int number)
{
	(void)number;
	signals++;
}

/* A timer that interrupts this thread a thousand times a second. */
static timer_t
storm_begin(int flags)
{
	struct itimerspec often = { { 0, 1000000 }, { 0, 1000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGUSR1 };
	struct sigaction action = { .sa_flags = flags };
	timer_t timer;

	action.sa_handler = on_signal;
	sigaction(SIGUSR1, &action, NULL);
	signals = 0;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &often, NULL))
		bail("no timer");
	return timer;
}

struct late {
	struct shmring *ring;
	int count;
};

static void
push_late(void *argument)
{
	struct late *late = argument;
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(late->ring),
				     SHMRING_PRODUCER));
	for (int i = 0; i < late->count; i++) {
		usleep(3000);
		CHILD_CHECK(!push_number(&own, (uint64_t)i));
	}
	usleep(3000);
	shmring_close(&own);
}

static void
interrupt(uint32_t mode, int flags)
{
	struct shmring_config config = { .mode = mode,
					 .roles = SHMRING_CONSUMER };
	struct shmring ring;
	struct late late = { &ring, 20 };
	int64_t start, number = -1, timeout = 50 * MILLISECOND;
	int wrong = 0;
	timer_t timer;
	pid_t child;

	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	shmring_set_spin(&ring, 0);
	timer = storm_begin(flags);
	start = shmring__now();
	is_int(shmring_pop_wait(&ring, &number, 8, timeout), -ETIMEDOUT,
	       "signals with%s SA_RESTART: a time-out", flags ? "" : "out");
	ok(shmring__now() - start >= timeout && signals > 0,
	   "not before its time");
	child = child_start(push_late, &late);
	for (int i = 0; i < late.count; i++)
		wrong += shmring_pop_wait(&ring, &number, 8, GENEROUS) != 8 ||
			 number != i;
	wrong += shmring_pop_wait(&ring, &number, 8, GENEROUS) != -EPIPE;
	timer_delete(timer);
	signal(SIGUSR1, SIG_DFL);
	is_int(wrong, 0, "all that comes, and the end");
	is_int(tap_wait(child), 0, "from a peer");
	shmring_close(&ring);
}

/* Times beyond the end of the clock mean: for ever. */
static const int64_t far[] = { INT64_MAX, INT64_MAX - 1, -1, INT64_MIN };
#define FAR 4

/* How many of the waits for a message end without the next one. */
static int
wait_for_messages(struct shmring *ring, int64_t time, uint64_t *next)
{
	uint64_t number = 0;
	struct iovec batch = { &number, 8 };
	size_t size;
	int wrong = shmring_pop_wait(ring, &number, 8, time) != 8 ||
		    number != (*next)++;

	wrong += shmring_pop_n_wait(ring, &batch, 1, time) != 1 ||
		 number != (*next)++;
	wrong += shmring_pop_array_wait(ring, &number, 8, 1, time) != 1 ||
		 number != (*next)++;
	const uint64_t *seen = shmring_peek_wait(ring, &size, time);
	wrong += !seen || *seen != (*next)++;
	return wrong + (shmring_release(ring) != 0);
}
#define WAITS_FOR_MESSAGES 4

/* The same for room. */
static int
wait_for_room(struct shmring *ring, int64_t time)
{
	uint64_t number = 1;
	struct iovec batch = { &number, 8 };
	int wrong = shmring_push_wait(ring, &number, 8, time) != 0;

	wrong += shmring_push_n_wait(ring, &batch, 1, time) != 1;
	wrong += shmring_push_array_wait(ring, &number, 8, 1, time) != 1;
	uint64_t *place = shmring_reserve_wait(ring, 8, time);
	if (!place)
		return wrong + 1;
	*place = number;
	return wrong + (shmring_commit(ring, 8) != 0);
}
#define WAITS_FOR_ROOM 4

static void
pop_late(void *argument)
{
	struct late *late = argument;
	struct shmring own;

	CHILD_CHECK(!shmring_open_fd(&own, shmring_fd(late->ring),
				     SHMRING_CONSUMER));
	for (int i = 0; i < late->count; i++) {
		usleep(3000);
		CHILD_CHECK(pop_number(&own) == 1);
	}
	usleep(3000);
	while (pop_number(&own) == 1)
		;
	shmring_close(&own);
}

static void
wait_for_ever(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_CONSUMER };
	struct late late = { NULL, (FAR + 1) * WAITS_FOR_MESSAGES };
	struct shmring_stat all;
	struct shmring ring;
	uint64_t next = 0;
	int64_t number = -1;
	int wrong = 0;
	pid_t child;

	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	late.ring = &ring;
	shmring_set_spin(&ring, INT64_MAX);
	is_int(shmring_pop_wait(&ring, &number, 8, 3 * MILLISECOND), -ETIMEDOUT,
	       "spinning for ever ends in time");
	shmring_stat(&ring, &all);
	is_int(all.sleeps, 0, "without a sleep");
	child = child_start(push_late, &late);
	wrong = wait_for_messages(&ring, INT64_MAX, &next);
	shmring_set_spin(&ring, 0);
	for (int i = 0; i < FAR; i++)
		wrong += wait_for_messages(&ring, far[i], &next);
	is_int(wrong, 0, "for ever, and for longer");
	is_int(tap_wait(child), 0, "from a peer");
	shmring_close(&ring);

	config.roles = SHMRING_PRODUCER;
	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	late.count = (FAR + 1) * WAITS_FOR_ROOM;
	fill(&ring);
	child = child_start(pop_late, &late);
	shmring_set_spin(&ring, INT64_MAX);
	wrong = wait_for_room(&ring, INT64_MAX);
	shmring_set_spin(&ring, 0);
	for (int i = 0; i < FAR; i++)
		wrong += wait_for_room(&ring, far[i]);
	is_int(wrong, 0, "for room, too");
	is_int(shmring_flush(&ring, INT64_MAX), 0, "and until all is taken");
	is_int(tap_wait(child), 0, "by a peer");
	shmring_close(&ring);
}

/* Full but for these, of which the consumer has not told. */
#define FREED 100

static void
fill_but_some(struct shmring *writer, struct shmring *reader)
{
	int wrong = 0;

	while (pop_number(reader) == 1)
		;
	fill(writer);
	for (int i = 0; i < FREED; i++)
		wrong += pop_number(reader) != 1;
	if (wrong)
		bail("nothing can be taken");
}

/* Who waits for room neither gives up nor waits beside it. */
static void
find_what_is_free(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 1024,
					 .slot_size = 8,
					 .roles = SHMRING_PRODUCER };
	uint64_t number = 1;
	struct iovec batch[FREED];
	struct shmring writer, reader;
	struct shmring_stat all;

	for (int i = 0; i < FREED; i++)
		batch[i] = (struct iovec){ &number, 8 };
	if (shmring_create_memfd(&writer, &config))
		bail("cannot create a ring");
	ring_dup(&reader, &writer, SHMRING_CONSUMER);
	for (size_t i = 0; i < 4; i++) {
		shmring_set_spin(&writer, policies[i]);
		fill_but_some(&writer, &reader);
		is_int(shmring_push_wait(&writer, &number, 8, 1), 0,
		       "spin %" PRId64 ": room is found in no time",
		       policies[i]);
		fill_but_some(&writer, &reader);
		is_int(shmring_push_wait(&writer, &number, 8, MILLISECOND), 0,
		       "in a short time");
		fill_but_some(&writer, &reader);
		is_int(shmring_push_wait(&writer, &number, 8, GENEROUS), 0,
		       "in a long time");
		fill_but_some(&writer, &reader);
		void *place = shmring_reserve_wait(&writer, 8, GENEROUS);
		ok(place, "for a message to be filled in place");
		shmring_abort(&writer);
		fill_but_some(&writer, &reader);
		is_int(shmring_push_n_wait(&writer, batch, FREED, GENEROUS),
		       FREED, "for a batch");
	}
	shmring_stat(&writer, &all);
	is_int(all.sleeps, 0, "without a sleep");
	shmring_close(&reader);
	shmring_close(&writer);
}

/* What is counted, and what is not. */
static void
count_waits(uint32_t mode)
{
	struct shmring writer, reader;
	struct shmring_stat before, after;

	make_halves(mode, &writer, &reader);
	push_number(&writer, 1);
	shmring_stat(&writer, &before);
	is_int(shmring_flush(&writer, MILLISECOND), -ETIMEDOUT, "not taken");
	shmring_stat(&writer, &after);
	is_int(after.full, before.full, "the ring was not full, though");
	shmring_close(&reader);
	shmring_close(&writer);

	make_halves(mode, &writer, &reader);
	fill(&writer);
	shmring_close(&writer);
	shmring_stat(&reader, &before);
	while (pop_number(&reader) == 1)
		;
	shmring_stat(&reader, &after);
	is_int(after.wakes, before.wakes, "the end wakes nobody who is awake");
	shmring_close(&reader);
}

/* A call that was cancelled in the middle would keep what it has claimed. */
static void *
wait_cancelled(void *argument)
{
	struct sleeper *sleeper = argument;
	struct shmring none;
	uint64_t number;

	pthread_cancel(pthread_self());
	sleeper->result = shmring_pop_wait(&sleeper->ring, &number, 8,
					   MILLISECOND) != -ETIMEDOUT;
	fill(&sleeper->ring);
	sleeper->result += shmring_push_wait(&sleeper->ring, "", 1,
					     MILLISECOND) != -ETIMEDOUT;
	sleeper->result +=
		shmring_flush(&sleeper->ring, MILLISECOND) != -ETIMEDOUT;
	sleeper->result += shmring_wait_peer(&sleeper->ring, SHMRING_BOTH,
					     MILLISECOND) != -ETIMEDOUT;
	sleeper->result +=
		shmring_open(&none, "/tap-none", 0, MILLISECOND) != -ETIMEDOUT;
	return argument;
}

static void
be_no_cancellation_point(uint32_t mode)
{
	struct sleeper both = { .result = -1 };
	void *end;

	ring_make(&both.ring, mode, 16, 8);
	shmring_set_spin(&both.ring, 0);
	if (pthread_create(&both.thread, NULL, wait_cancelled, &both))
		bail("no thread");
	pthread_join(both.thread, &end);
	ok(end == &both, "no waiting call is cancelled");
	is_int(both.result, 0, "each times out");
	shmring_close(&both.ring);
}

/* There and back through two rings. */
struct game {
	struct shmring *there, *back;
	int64_t spin;
	uint64_t rounds;
};

static void
return_all(void *argument)
{
	struct game *game = argument;
	struct shmring there, back;
	uint64_t ball;

	CHILD_CHECK(!shmring_open_fd(&there, shmring_fd(game->there),
				     SHMRING_CONSUMER));
	CHILD_CHECK(!shmring_open_fd(&back, shmring_fd(game->back),
				     SHMRING_PRODUCER));
	shmring_set_spin(&there, game->spin);
	shmring_set_spin(&back, game->spin);
	for (uint64_t i = 0; i < game->rounds; i++) {
		CHILD_CHECK(shmring_pop_wait(&there, &ball, 8, GENEROUS) == 8);
		CHILD_CHECK(!shmring_push_wait(&back, &ball, 8, GENEROUS));
	}
	CHILD_CHECK(!shmring_flush(&back, GENEROUS));
}

static void
spin_by_policy(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .roles = SHMRING_PRODUCER };
	struct shmring there, back;
	struct game game = { &there, &back, 0, 0 };
	struct shmring_stat all;

	for (size_t i = 0; i < 4; i++) {
		uint64_t ball = 0;
		int wrong = 0;
		pid_t child;

		config.roles = SHMRING_PRODUCER;
		if (shmring_create_memfd(&there, &config))
			bail("cannot create a ring");
		config.roles = SHMRING_CONSUMER;
		if (shmring_create_memfd(&back, &config))
			bail("cannot create a ring");
		game.spin = policies[i];
		/* who never sleeps may cost a time slice each time */
		game.rounds = game.spin < 0 ? 20 : 200;
		shmring_set_spin(&there, game.spin);
		shmring_set_spin(&back, game.spin);
		child = child_start(return_all, &game);
		for (uint64_t round = 0; round < game.rounds; round++) {
			wrong += shmring_push_wait(&there, &round, 8, GENEROUS);
			wrong += shmring_pop_wait(&back, &ball, 8, GENEROUS) !=
					 8 ||
				 ball != round;
		}
		is_int(wrong, 0, "there and back, spinning for %" PRId64 " ns",
		       game.spin);
		is_int(tap_wait(child), 0, "with a peer of the same mind");
		shmring_stat(&back, &all);
		if (game.spin < 0)
			is_int(all.sleeps, 0, "without a sleep");
		if (game.spin == 0)
			ok(all.sleeps > 0, "with sleeps");
		shmring_close(&there);
		shmring_close(&back);
	}
}

int
main(void)
{
	tap_start();
	for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC; mode++) {
		printf("# %s\n", mode_name[mode]);
		time_out(mode);
		wait_for_each_other(mode);
		leave_sleepers(mode);
		kill_the_peer(mode, SHMRING_PRODUCER);
		kill_the_peer(mode, SHMRING_CONSUMER);
		interrupt(mode, 0);
		interrupt(mode, SA_RESTART);
		wait_for_ever(mode);
		find_what_is_free(mode);
		count_waits(mode);
		be_no_cancellation_point(mode);
		spin_by_policy(mode);
	}
	return tap_done();
}
