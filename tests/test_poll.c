/* SPDX-License-Identifier: MIT
 *
 * Description: shmring_poll.h: the descriptor is readable when there is
 * something, until it is armed; streams through poll, room, the end, deaths,
 * other users, pid namespaces, Docker's filter; waiting on several rings
 */
static long long slice_ns = 100000000;
#define SHMRING_SLICE_NS slice_ns
#define FOREVER 3600000000000 /* a slice: what is missed hangs */
#include "ring.h"
#include "shmring_poll.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#define MESSAGES 3000
#define CANNOT 77 /* not permitted here */

static int
is_readable(const struct shmring_poll *poller, int timeout)
{
	struct pollfd one = { shmring_poll_fd(poller), POLLIN, 0 };

	return poll(&one, 1, timeout) == 1;
}

/* Armed, and past the short sleeps of the beginning: nothing is to be done. */
static int
falls_asleep(struct shmring_poll *poller)
{
	for (int i = 0; i < 10000; i++)
		if (shmring_poll_arm(poller) == 0 && !is_readable(poller, 1))
			return 1;
	return 0;
}

/* ---- The contract -------------------------------------------------------- */

static void
show_messages(uint32_t mode)
{
	struct shmring writer, reader;
	struct shmring_poll poller;

	make_halves(mode, &writer, &reader);
	is_int(shmring_poll_open(&poller, &reader, SHMRING_CONSUMER), 0,
	       "a descriptor");
	ok(is_readable(&poller, -1), "readable before it is armed");
	ok(falls_asleep(&poller), "armed: not any more");
	push_number(&writer, 1);
	ok(is_readable(&poller, -1), "a message");
	is_int(pop_number(&reader), 1, "is taken");
	ok(is_readable(&poller, -1), "who does not arm does not sleep");
	shmring_set_spin(&reader, -1); /* for ever, but not to arm */
	ok(falls_asleep(&poller), "armed again");
	push_number(&writer, 2);
	push_number(&writer, 3);
	is_int(pop_number(&reader), 2, "one of two is taken");
	is_int(shmring_poll_arm(&poller), 1, "who arms too early is told so");
	ok(is_readable(&poller, -1), "and does not sleep");
	is_int(pop_number(&reader), 3, "the other one");
	ok(falls_asleep(&poller), "asleep");
	shmring_close(&writer);
	ok(is_readable(&poller, -1), "the end");
	is_int(pop_number(&reader), -EPIPE, "is told");
	is_int(shmring_poll_arm(&poller), 1, "and stays so");
	shmring_close(&reader);
	is_int(shmring_poll_arm(&poller), -EBADF, "the ring is closed");
	ok(is_readable(&poller, -1), "nobody sleeps on it");
	shmring_poll_close(&poller);
	shmring_poll_close(&poller);
	is_int(shmring_poll_arm(&poller), -EBADF, "closed");
	is_int(shmring_poll_fd(&poller), -EBADF, "has no descriptor");
}

static void
show_room(uint32_t mode)
{
	struct shmring writer, reader;
	struct shmring_poll poller;

	make_halves(mode, &writer, &reader);
	is_int(shmring_poll_open(&poller, &writer, SHMRING_PRODUCER), 0,
	       "a descriptor for room");
	is_int(shmring_poll_arm(&poller), 1, "there is");
	while (push_number(&writer, 1) == 0)
		;
	/* it looks each millisecond until the head is seen to stand */
	ok(falls_asleep(&poller), "full");
	while (pop_number(&reader) == 1)
		;
	ok(is_readable(&poller, -1), "room");
	is_int(push_number(&writer, 1), 0, "is there");
	while (push_number(&writer, 1) == 0)
		;
	ok(falls_asleep(&poller), "full again");
	shmring_close(&reader);
	ok(is_readable(&poller, -1), "nobody reads any more");
	is_int(push_number(&writer, 1), -EPIPE, "as push says");
	shmring_poll_close(&poller);
	shmring_close(&writer);
}

static void
refuse(void)
{
	struct shmring writer, reader;
	struct shmring_poll poller;
	struct shmring_item item = { &writer, SHMRING_CONSUMER, 0 };

	make_halves(SHMRING_SPSC, &writer, &reader);
	is_int(shmring_poll_open(&poller, &writer, SHMRING_BOTH), -EDOM,
	       "one role");
	is_int(shmring_poll_open(&poller, &writer, SHMRING_CONSUMER), -EPERM,
	       "of the handle");
	is_int(shmring_wait_several(&item, 1, 0), -EPERM, "also of several");
	is_int(shmring_wait_several(&item, 0, 0), -ERANGE, "none");
	is_int(shmring_wait_several(&item, SHMRING_ITEMS + 1, 0), -ERANGE,
	       "too many");
	item.role = SHMRING_BOTH;
	is_int(shmring_wait_several(&item, 1, 0), -EDOM, "one role each");
	shmring_close(&reader);
	is_int(shmring_poll_open(&poller, &reader, SHMRING_CONSUMER), -EBADF,
	       "closed");
	is_int(shmring_poll_close(&poller), 0, "nothing to close");
	memset(&reader, 0, sizeof(reader));
	is_int(shmring_poll_open(&poller, &reader, SHMRING_CONSUMER), -EBADF,
	       "zeros");
	item = (struct shmring_item){ &reader, SHMRING_CONSUMER, 0 };
	is_int(shmring_wait_several(&item, 1, -1), -EBADF, "nor for these");
	shmring_close(&writer);
}

/* ---- Streams, from process to process ------------------------------------ */

/* 0, or what went wrong: all messages by way of poll. */
static int
take_by_poll(struct shmring *reader)
{
	struct shmring_poll poller;
	uint64_t expected = 0, number;
	ssize_t got;

	if (shmring_poll_open(&poller, reader, SHMRING_CONSUMER))
		return 1;
	do {
		if (!is_readable(&poller, -1))
			return 2;
		while ((got = shmring_pop(reader, &number, 8)) == 8)
			if (number != expected++)
				return 3;
		shmring_poll_arm(&poller);
	} while (got == -EAGAIN);
	shmring_poll_close(&poller);
	return got == -EPIPE && expected == MESSAGES ? 0 : 4;
}

static int
give_by_poll(struct shmring *writer)
{
	struct shmring_poll poller;
	uint64_t number = 0;
	int error = 0;

	if (shmring_poll_open(&poller, writer, SHMRING_PRODUCER))
		return 1;
	while (number < MESSAGES) {
		if (!is_readable(&poller, -1))
			return 2;
		while (number < MESSAGES &&
		       !(error = shmring_push(writer, &number, 8)))
			number++;
		if (error && error != -EAGAIN)
			return 3;
		shmring_poll_arm(&poller);
	}
	shmring_poll_close(&poller);
	return 0;
}

struct stream {
	struct shmring *base; /* an observer, or has a name */
	const char *name;
	int polls[2]; /* the reader, the writer */
	useconds_t pause; /* of who does not poll, at most */
	void (*enter)(int side);
};

static void
attach(struct shmring *ring, const struct stream *s, unsigned roles)
{
	int error = s->name ? shmring_open(ring, s->name, roles, GENEROUS)
			    : shmring_open_fd(ring, s->base->map.pass, roles);

	if (error)
		printf("# child: %s\n", shmring_strerror(error));
	CHILD_CHECK(!error);
}

static void
take(struct stream *s)
{
	struct shmring ring;
	uint64_t number, expected = 0;
	ssize_t got;

	if (s->enter)
		s->enter(SHMRING__READ);
	attach(&ring, s, SHMRING_CONSUMER);
	if (s->polls[SHMRING__READ]) {
		int wrong = take_by_poll(&ring);
		if (wrong)
			printf("# child: reader: %d\n", wrong);
		_exit(wrong);
	}
	while ((got = shmring_pop_wait(&ring, &number, 8, -1)) == 8) {
		CHILD_CHECK(number == expected);
		expected++;
		if (s->pause && expected % 64 == 0)
			usleep((useconds_t)(tap_random() % s->pause));
	}
	CHILD_CHECK(got == -EPIPE && expected == MESSAGES);
}

static void
give(struct stream *s)
{
	struct shmring ring;

	if (s->enter)
		s->enter(SHMRING__WRITE);
	attach(&ring, s, SHMRING_PRODUCER);
	if (s->polls[SHMRING__WRITE]) {
		int wrong = give_by_poll(&ring);
		if (wrong)
			printf("# child: writer: %d\n", wrong);
		CHILD_CHECK(!wrong);
	}
	for (uint64_t i = 0; i < MESSAGES && !s->polls[SHMRING__WRITE]; i++) {
		CHILD_CHECK(!shmring_push_wait(&ring, &i, 8, -1));
		if (s->pause && i % 8 == 0)
			usleep((useconds_t)(tap_random() % s->pause));
	}
	/* else an early reader's end were the stream's */
	CHILD_CHECK(!shmring_flush(&ring, -1));
	shmring_close(&ring);
}

static void
stream(uint32_t mode, struct stream *s, const char *what)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 64,
					 .slot_size = 8,
					 .permissions = 0666,
					 .roles = SHMRING_OBSERVER };
	struct shmring base;
	char name[64];
	int status[2];
	pid_t child[2];

	s->base = &base;
	if (s->name)
		s->name = strcpy(name, tap_name());
	if (s->name ? shmring_create(&base, name, &config)
		    : shmring_create_memfd(&base, &config))
		bail("cannot create a ring");
	for (int side = 0; side < 2; side++) {
		child[side] = tap_fork();
		if (child[side] == 0) {
			if (side == SHMRING__READ)
				take(s);
			else
				give(s);
			_exit(0);
		}
	}
	for (int side = 0; side < 2; side++)
		status[side] = tap_wait(child[side]);
	if (status[0] == CANNOT || status[1] == CANNOT)
		skip(what);
	else
		ok(!status[0] && !status[1], "%s, %s: all in order",
		   mode_name[mode], what);
	if (s->name)
		shmring_unlink(name);
	shmring_close(&base);
}

/* ---- Surroundings -------------------------------------------------------- */

/* What Docker's default profile refuses, and could have been of use here. */
static void
enter_docker(int side)
{
	static const unsigned calls[] = { 425,
					  426,
					  427 /* io_uring */,
					  438 /* pidfd_getfd */,
					  SYS_kcmp,
					  SYS_ptrace,
					  449 /* futex_waitv */ };
	struct sock_filter code[2 * sizeof(calls) / sizeof(*calls) + 2];
	unsigned short n = 0;

	(void)side;
	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
						 SECCOMP_RET_ALLOW);
	struct sock_fprog program = { n, code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(CANNOT);
}

/* Two users, neither of them root; the ring is root's, whom both trust. */
static void
enter_user(int side)
{
	if (setresgid(65534, 65534, 65534) ||
	    setresuid((uid_t)(65000 + side), (uid_t)(65000 + side),
		      (uid_t)(65000 + side)))
		_exit(CANNOT);
	prctl(PR_SET_DUMPABLE, 1); /* /proc/self is ours again */
}

/* Each its own: neither has a number for the other. */
static void
enter_pid_namespace(int side)
{
	(void)side;
	if (unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC))
		_exit(CANNOT);
	pid_t child = fork(); /* whose parent has no number there */
	if (child < 0)
		_exit(CANNOT);
	if (child)
		_exit(tap_wait(child));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void
streams(uint32_t mode)
{
	static const struct {
		const char *what;
		int named;
		struct stream stream;
	} rows[] = {
		{ "a reader that polls", 0, { .polls = { 1, 0 } } },
		{ "and sleeps", 0, { .polls = { 1, 0 }, .pause = 300 } },
		{ "a writer that polls", 1, { .polls = { 0, 1 } } },
		{ "and sleeps", 0, { .polls = { 0, 1 }, .pause = 300 } },
		{ "both", 1, { .polls = { 1, 1 } } },
		{ "Docker", 1, { .polls = { 1, 1 }, .enter = enter_docker } },
		{ "two users", 1, { .polls = { 1, 1 }, .enter = enter_user } },
		{ "pid namespaces",
		  0,
		  { .polls = { 1, 1 }, .enter = enter_pid_namespace } },
	};

	slice_ns = FOREVER;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct stream s = rows[i].stream;

		s.name = rows[i].named ? "" : NULL;
		stream(mode, &s, rows[i].what);
	}
	slice_ns = 100 * MILLISECOND;
}

/* ---- Deaths -------------------------------------------------------------- */

struct peer {
	const struct shmring *ring;
	unsigned roles;
	int *ready;
};

static void
stay(void *argument)
{
	struct peer *peer = argument;
	struct shmring_poll poller;
	struct shmring ring;

	CHILD_CHECK(!shmring_open_fd(&ring, peer->ring->map.pass, peer->roles));
	CHILD_CHECK(!shmring_poll_open(&poller, &ring, peer->roles));
	while (!falls_asleep(&poller) && (peer->roles & SHMRING_PRODUCER) == 0)
		;
	flag_raise(peer->ready);
	for (;;)
		pause();
}

/* The peer is killed while we sleep; and one that polls. */
static void
survive_deaths(uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_CONSUMER };
	struct shmring ring;
	struct shmring_poll poller;
	struct shmring_item item = { &ring, SHMRING_CONSUMER, 0 };
	struct peer peer = { &ring, SHMRING_PRODUCER,
			     shared_memory(sizeof(int)) };

	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	pid_t child = child_start(stay, &peer);
	flag_await(peer.ready, 1);
	shmring_poll_open(&poller, &ring, SHMRING_CONSUMER);
	falls_asleep(&poller);
	child_kill(child);
	int64_t end;
	while ((end = pop_number(&ring)) == -EAGAIN) {
		shmring_poll_arm(&poller);
		is_readable(&poller, -1);
	}
	is_int(end, -EPIPE, "a killed producer is noticed");
	shmring_poll_close(&poller);
	is_int(shmring_wait_several(&item, 1, -1), 1,
	       "by who waits on several");
	shmring_close(&ring);

	config.roles = SHMRING_PRODUCER;
	if (shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	peer.roles = SHMRING_CONSUMER;
	child = child_start(stay, &peer);
	flag_await(peer.ready, 2);
	child_kill(child);
	is_int(push_number(&ring, 1), 0, "a killed poller holds nobody up");
	is_int(push_number(&ring, 1), 0, "nor later");
	shmring_recover(&ring);
	is_int(push_number(&ring, 1), -EPIPE, "and is recovered");
	shmring_close(&ring);
}

/* ---- One descriptor for many rings -------------------------------------- */

#define CROWD 64 /* in turn, each is looked after once in 6.4 s */
#define PROMPTLY 3000 /* ms: long before */

/* The arm, until it has nothing more to tell. */
static int
all_quiet(struct shmring_poll *poller)
{
	return falls_asleep(poller) && shmring_poll_arm(poller) == 0;
}

static void
show_crowd(uint32_t mode)
{
	struct shmring writer[3], reader[3];
	struct shmring_poll poller;
	struct shmring_polled polled[3];

	slice_ns = FOREVER;
	is_int(shmring_poll_open(&poller, NULL, 0), 0, "a descriptor for none");
	ok(all_quiet(&poller), "nothing is to be done in none");
	for (int i = 0; i < 3; i++) {
		make_halves(mode, &writer[i], &reader[i]);
		is_int(shmring_poll_add(&poller, &polled[i], &reader[i],
					SHMRING_CONSUMER),
		       0, "one more");
	}
	ok(is_readable(&poller, -1), "readable before it is armed");
	ok(all_quiet(&poller), "armed: not any more");
	push_number(&writer[1], 1);
	ok(is_readable(&poller, -1), "a message in one of three");
	is_int(shmring_poll_arm(&poller), 1, "is one");
	ok(!polled[0].ready && polled[1].ready && !polled[2].ready, "in that");
	push_number(&writer[0], 1);
	is_int(shmring_poll_arm(&poller), 2, "another ring's, before it slept");
	ok(polled[0].ready && polled[1].ready && !polled[2].ready, "is marked");
	is_int(pop_number(&reader[0]), 1, "one is taken");
	is_int(pop_number(&reader[1]), 1, "and the other");
	ok(all_quiet(&poller), "asleep");
	ok(!polled[0].ready && !polled[1].ready, "none is marked");
	shmring_poll_remove(&poller, &polled[2]);
	shmring_poll_remove(&poller, &polled[2]);
	ok(all_quiet(&poller), "one less");
	push_number(&writer[2], 1);
	ok(!is_readable(&poller, 0), "which tells of nothing");
	/* whoever pushed this has not seen us, nor rings */
	__atomic_fetch_and(&reader[1].notice->data, ~SHMRING__NOTIFY,
			   __ATOMIC_SEQ_CST);
	push_number(&writer[1], 1);
	is_int(shmring_poll_arm(&poller), 1, "a message that nobody told of");
	ok(is_readable(&poller, 0), "makes it readable");
	is_int(pop_number(&reader[1]), 1, "is taken");
	ok(all_quiet(&poller), "asleep again");
	shmring_close(&writer[0]);
	ok(is_readable(&poller, -1), "an end");
	is_int(shmring_poll_arm(&poller), 1, "of one");
	ok(polled[0].ready && !polled[1].ready, "in that");
	shmring_poll_remove(&poller, &polled[0]);
	ok(all_quiet(&poller), "which may be left out");
	slice_ns = 100 * MILLISECOND;
	shmring_poll_close(&poller);
	shmring_poll_remove(&poller, &polled[1]);
	for (int i = 0; i < 3; i++) {
		shmring_close(&writer[i]);
		shmring_close(&reader[i]);
	}
}

/* One is closed while all sleep. */
static void
close_one(uint32_t mode)
{
	struct shmring writer[2], reader[2];
	struct shmring_poll poller;
	struct shmring_polled polled[2], another;

	shmring_poll_open(&poller, NULL, 0);
	for (int i = 0; i < 2; i++) {
		make_halves(mode, &writer[i], &reader[i]);
		shmring_poll_add(&poller, &polled[i], &reader[i],
				 SHMRING_CONSUMER);
	}
	is_int(shmring_poll_add(&poller, &another, &reader[0], SHMRING_BOTH),
	       -EDOM, "one role");
	is_int(shmring_poll_add(&poller, &another, &writer[0],
				SHMRING_CONSUMER),
	       -EPERM, "not its role");
	ok(all_quiet(&poller), "two");
	shmring_close(&reader[0]);
	is_int(shmring_poll_arm(&poller), -EBADF, "one is closed");
	ok(polled[0].ready && !polled[1].ready, "and marked");
	ok(is_readable(&poller, -1), "nobody sleeps on it");
	is_int(shmring_poll_arm(&poller), -EBADF, "still");
	shmring_poll_remove(&poller, &polled[0]);
	ok(all_quiet(&poller), "one is left");
	if (forks_are_noticed()) {
		pid_t child = tap_fork();

		if (child == 0)
			_exit(shmring_poll_arm(&poller) == -ESTALE ? 0 : 1);
		is_int(tap_wait(child), 0, "a child of fork is told so");
	} else {
		skip(NO_WIPE);
	}
	shmring_poll_close(&poller);
	is_int(shmring_poll_add(&poller, &polled[0], &reader[1],
				SHMRING_CONSUMER),
	       -EBADF, "closed");
	shmring_close(&writer[0]);
	shmring_close(&writer[1]);
	shmring_close(&reader[1]);
}

/* One ring's both sides, by two handles: one watch. One of them is left. */
static void
poll_both_sides(uint32_t mode, int full)
{
	struct shmring writer, reader;
	struct shmring_poll poller;
	struct shmring_polled polled[2];
	struct shmring *ring[2] = { &reader, &writer };

	slice_ns = FOREVER;
	make_halves(mode, &writer, &reader);
	while (full && push_number(&writer, 1) == 0)
		;
	shmring_poll_open(&poller, NULL, 0);
	for (int i = 0; i < 2; i++) {
		int side = full ? !i : i;
		shmring_poll_add(&poller, &polled[i], ring[side],
				 side ? SHMRING_PRODUCER : SHMRING_CONSUMER);
	}
	is_int(shmring_poll_arm(&poller), 1, full ? "messages" : "room");
	ok(!polled[0].ready && polled[1].ready, "is there");
	shmring_poll_remove(&poller, &polled[1]);
	ok(all_quiet(&poller), full ? "no room" : "no messages");
	if (!full)
		push_number(&writer, 1);
	while (full && pop_number(&reader) == 1)
		;
	ok(is_readable(&poller, PROMPTLY), "is told of beside");
	slice_ns = 100 * MILLISECOND;
	shmring_poll_close(&poller);
	shmring_close(&reader);
	shmring_close(&writer);
}

/* A reader that goes elsewhere has something, though nobody told of it. */
static void
seek_while_armed(void)
{
	struct shmring writer, reader[2];
	struct shmring_poll poller;
	struct shmring_polled polled[2];

	make_halves(SHMRING_BROADCAST, &writer, &reader[0]);
	ring_dup(&reader[1], &writer, SHMRING_CONSUMER);
	push_number(&writer, 1);
	pop_number(&reader[0]);
	pop_number(&reader[1]);
	shmring_poll_open(&poller, NULL, 0);
	for (int i = 0; i < 2; i++)
		shmring_poll_add(&poller, &polled[i], &reader[i],
				 SHMRING_CONSUMER);
	for (int i = 0; i < 2; i++) {
		ok(all_quiet(&poller), "all is read");
		is_int(shmring_seek(&reader[i], SHMRING_OLDEST), 0, "back");
		is_int(shmring_poll_arm(&poller), 1, "not any more");
		pop_number(&reader[i]);
	}
	shmring_poll_close(&poller);
	shmring_close(&reader[0]);
	shmring_close(&reader[1]);
	shmring_close(&writer);
}

/* Killed when it had published, and taken our call, but not rung. */
static void
stop_before_bell(void *argument)
{
	struct peer *peer = argument;
	struct shmring ring;

	CHILD_CHECK(!shmring_open_fd(&ring, peer->ring->map.pass,
				     SHMRING_PRODUCER));
	flag_raise(peer->ready);
	flag_await(peer->ready, 2);
	/* as shmring__wake() does; then there is nobody to be told */
	if (peer->roles)
		__atomic_fetch_add(&ring.notice->data,
				   SHMRING__GENERATION - SHMRING__POLLS,
				   __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&ring.notice->data, ~SHMRING__NOTIFY,
				   __ATOMIC_SEQ_CST);
	push_number(&ring, 1);
	flag_raise(peer->ready);
	for (;;)
		pause();
}

struct crowd_of_readers {
	struct shmring ring[CROWD];
	struct shmring_polled polled[CROWD];
	struct shmring_poll poller;
};

static struct crowd_of_readers *
crowd_open(uint32_t mode)
{
	static struct crowd_of_readers c;
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_CONSUMER };

	shmring_poll_open(&c.poller, NULL, 0);
	for (int i = 0; i < CROWD; i++)
		if (shmring_create_memfd(&c.ring[i], &config) ||
		    shmring_poll_add(&c.poller, &c.polled[i], &c.ring[i],
				     SHMRING_CONSUMER))
			bail("cannot poll a ring");
	return &c;
}

static void
crowd_close(struct crowd_of_readers *c)
{
	shmring_poll_close(&c->poller);
	for (int i = 0; i < CROWD; i++)
		shmring_close(&c->ring[i]);
}

/* Who was killed on the way to the bell is told of by the kernel, long before
 * the slice is over; who was stopped there is noticed when it is. */
static void
miss_the_bell(uint32_t mode, int killed)
{
	slice_ns = killed ? FOREVER : 100 * MILLISECOND;
	struct crowd_of_readers *c = crowd_open(mode);
	struct peer peer = { &c->ring[0], !killed, shared_memory(sizeof(int)) };
	pid_t child = child_start(stop_before_bell, &peer);

	flag_await(peer.ready, 1);
	ok(all_quiet(&c->poller), "a crowd");
	flag_raise(peer.ready);
	flag_await(peer.ready, 3);
	if (killed)
		child_kill(child);
	for (int i = 0; i < 3 && is_readable(&c->poller, PROMPTLY) &&
			shmring_poll_arm(&c->poller) == 0;)
		i++;
	ok(c->polled[0].ready, "%s, a waker was %s before the bell",
	   mode_name[mode], killed ? "killed" : "stopped");
	is_int(pop_number(&c->ring[0]), 1, "its message");
	if (!killed)
		child_kill(child);
	slice_ns = 100 * MILLISECOND;
	crowd_close(c);
}

/* Each is looked after in turn, but who dies is told of at once. */
static void
die_in_crowd(uint32_t mode)
{
	struct crowd_of_readers *c = crowd_open(mode);
	struct peer peer = { &c->ring[7], SHMRING_PRODUCER,
			     shared_memory(sizeof(int)) };
	pid_t child = child_start(stay, &peer);
	uint64_t looked[CROWD];
	int looks = 0, wakes = 0;

	flag_await(peer.ready, 1);
	ok(all_quiet(&c->poller), "a crowd");
	for (int i = 0; i < CROWD; i++)
		looked[i] = c->ring[i].header->looked;
	while (is_readable(&c->poller, -1) &&
	       shmring_poll_arm(&c->poller) == 0 && wakes < 3)
		wakes++;
	for (int i = 0; i < CROWD; i++)
		looks += looked[i] != c->ring[i].header->looked;
	/* not that of which one has closed a file */
	ok(looks < CROWD / 2, "not all are looked after all the time");
	/* another has just looked: the first look is not the one */
	c->ring[7].header->looked = (uint64_t)shmring__now();
	child_kill(child);
	for (wakes = 0; is_readable(&c->poller, PROMPTLY) &&
			shmring_poll_arm(&c->poller) == 0;)
		wakes++;
	ok(c->polled[7].ready && pop_number(&c->ring[7]) == -EPIPE,
	   "%s: a killed producer of one of many", mode_name[mode]);
	ok(wakes < CROWD / 2, "is noticed before its turn");
	crowd_close(c);
}

/* ---- Several rings ------------------------------------------------------- */

#define RINGS 5
#define EACH 400

struct crowd {
	struct shmring ring[RINGS];
};

/* In turn and at random, to all of them. */
static void
send_to_all(void *argument)
{
	struct crowd *crowd = argument;
	struct shmring out[RINGS];
	uint64_t sent[RINGS] = { 0 };

	for (int i = 0; i < RINGS; i++)
		CHILD_CHECK(!shmring_open_fd(&out[i], crowd->ring[i].map.pass,
					     SHMRING_PRODUCER));
	for (int n = 0; n < RINGS * EACH;) {
		int i = (int)(tap_random() % RINGS);

		if (sent[i] == EACH)
			continue;
		if (tap_random() % 8 == 0)
			usleep((useconds_t)(tap_random() % 200));
		CHILD_CHECK(!shmring_push_wait(&out[i], &sent[i], 8, -1));
		sent[i]++;
		n++;
	}
	for (int i = 0; i < RINGS; i++)
		shmring_close(&out[i]);
}

/* 0, or what went wrong. */
static int
take_from_all(struct crowd *crowd)
{
	struct shmring_item items[RINGS];
	uint64_t expected[RINGS] = { 0 };
	int open = RINGS;

	for (int i = 0; i < RINGS; i++)
		items[i] = (struct shmring_item){ &crowd->ring[i],
						  SHMRING_CONSUMER, 0 };
	while (open) {
		int marked = 0,
		    n = shmring_wait_several(items, (size_t)open, -1);

		for (int i = 0; i < open; i++)
			marked += items[i].ready != 0;
		if (n <= 0 || n != marked)
			return 1;
		for (int i = 0; i < open; i++) {
			uint64_t *next = &expected[items[i].ring - crowd->ring];
			int64_t number = 0;

			while (items[i].ready &&
			       (number = pop_number(items[i].ring)) >= 0)
				if (number != (int64_t)(*next)++)
					return 2;
			if (number == -EPIPE && *next != EACH)
				return 3;
			if (number == -EPIPE)
				items[i--] = items[--open];
		}
	}
	return 0;
}

static void
wait_on_several(uint32_t mode, void (*enter)(int side))
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_OBSERVER };
	struct crowd crowd, own;
	int wrong;

	for (int i = 0; i < RINGS; i++)
		if (shmring_create_memfd(&crowd.ring[i], &config))
			bail("cannot create a ring");
	slice_ns = enter ? 100 * MILLISECOND : FOREVER;
	pid_t writer = child_start(send_to_all, &crowd);
	pid_t reader = tap_fork();
	if (reader == 0) {
		if (enter)
			enter(SHMRING__READ);
		for (int i = 0; i < RINGS; i++)
			CHILD_CHECK(!shmring_open_fd(&own.ring[i],
						     crowd.ring[i].map.pass,
						     SHMRING_CONSUMER));
		wrong = take_from_all(&own);
		if (wrong)
			printf("# child: several: %d\n", wrong);
		_exit(wrong);
	}
	wrong = tap_wait(reader);
	if (wrong == CANNOT)
		kill(writer, SIGKILL);
	tap_wait(writer);
	if (wrong == CANNOT)
		skip("no filter");
	else
		is_int(wrong, 0, "%s: all of several rings%s", mode_name[mode],
		       enter ? ", without futex_waitv" : "");
	slice_ns = 100 * MILLISECOND;
	for (int i = 0; i < RINGS; i++)
		shmring_close(&crowd.ring[i]);
}

/* Times, interrupts, mixed roles. */
static void
end_the_wait(uint32_t mode)
{
	struct shmring writer, reader;

	make_halves(mode, &writer, &reader);
	struct shmring_item items[] = { { &reader, SHMRING_CONSUMER, 7 },
					{ &writer, SHMRING_PRODUCER, 7 } };
	is_int(shmring_wait_several(items, 2, -1), 1, "one of two");
	ok(!items[0].ready && items[1].ready, "is ready: room");
	is_int(shmring_wait_several(items, 1, 0), -EAGAIN, "no message");
	is_int(shmring_wait_several(items, 1, MILLISECOND), -ETIMEDOUT,
	       "in time");
	while (push_number(&writer, 1) == 0)
		;
	is_int(shmring_wait_several(items, 2, -1), 1, "full: messages");
	ok(items[0].ready && !items[1].ready, "no room");
	is_int(shmring_wait_several(items + 1, 1, MILLISECOND), -ETIMEDOUT,
	       "nor in time");
	shmring_interrupt(&writer);
	is_int(shmring_wait_several(items + 1, 1, INT64_MAX), -ECANCELED,
	       "interrupted");
	is_int(shmring_wait_several(items + 1, 1, MILLISECOND), -ETIMEDOUT,
	       "once");
	shmring_close(&reader);
	is_int(shmring_wait_several(items, 2, 0), -EBADF, "one is closed");
	is_int(shmring_wait_several(items + 1, 1, -1), 1, "the end");
	shmring_close(&writer);
}

static void
poll_without_stdio(void *unused)
{
	struct shmring writer, reader;
	struct shmring_poll poller;

	(void)unused;
	make_halves(SHMRING_SPSC, &writer, &reader);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	CHILD_CHECK(!shmring_poll_open(&poller, &reader, SHMRING_CONSUMER));
	for (int fd = 0; fd < 3; fd++)
		CHILD_CHECK(fcntl(fd, F_GETFD) < 0);
	shmring_poll_close(&poller);
	shmring_close(&writer);
	shmring_close(&reader);
}

int
main(void)
{
	tap_start();
	refuse();
	is_int(child_run(poll_without_stdio, NULL), 0,
	       "no descriptor of ours is 0, 1 or 2");
	seek_while_armed();
	for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC; mode++) {
		printf("# %s\n", mode_name[mode]);
		show_messages(mode);
		show_room(mode);
		streams(mode);
		survive_deaths(mode);
		show_crowd(mode);
		close_one(mode);
		poll_both_sides(mode, 0);
		poll_both_sides(mode, 1);
		miss_the_bell(mode, 1);
		miss_the_bell(mode, 0);
		die_in_crowd(mode);
		wait_on_several(mode, NULL);
		wait_on_several(mode, enter_docker);
		end_the_wait(mode);
	}
	return tap_done();
}
