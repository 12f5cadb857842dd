/* SPDX-License-Identifier: MIT */
/*
 * bars.c - what waiting in an event loop, and on several rings, is to cost
 *
 *	bars [REPETITIONS [FIGURE]]
 *
 * Two processes, one a CPU. Ours and the other way take turns, and what is told
 * is the median of the ratios within each turn, and between which values these
 * lie. Every message is verified.
 */
#include "shmring_poll.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MOST 31 /* repetitions */
#define ROUNDS 4000 /* of a ping-pong */
#define MESSAGES 3000000 /* of a stream */
#define IDLE_NS INT64_C(1500000000)
#define CROWD 64 /* idle rings */
#define SEVERAL 8 /* rings, for the time of a wake-up */
#define WAKES 400
#define LARGEST 64 /* bytes */
#define SECOND 1e9

/* What both processes know. */
struct pair {
	struct shmring base[CROWD]; /* observers, to be opened from */
	int event[2]; /* there, back */
	int cpu[2];
	uint32_t mode;
	uint32_t size; /* of a message, from 8 to LARGEST */
	double *result; /* shared, what the measuring one has found */
};

static struct pair pair;

static _Noreturn void
fail(const char *what, int error)
{
	fprintf(stderr, "bars: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

static void
check(bool good, const char *what)
{
	if (!good)
		fail(what, -errno);
}

static double
now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * SECOND + (double)t.tv_nsec;
}

static void
pin(int which)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)pair.cpu[which], &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* The first and the last CPU that we may use. */
static void
choose_cpus(void)
{
	cpu_set_t set;

	check(!sched_getaffinity(0, sizeof(set), &set), "sched_getaffinity");
	pair.cpu[0] = -1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET((size_t)i, &set)) {
			pair.cpu[1] = i;
			if (pair.cpu[0] < 0)
				pair.cpu[0] = i;
		}
}

static void
attach(struct shmring *ring, int which, unsigned role)
{
	int error = shmring_open_fd(ring, shmring_fd(&pair.base[which]), role);

	if (error)
		fail("open", error);
}

static void
push(struct shmring *ring, uint64_t number)
{
	static uint64_t message[LARGEST / 8];

	message[0] = message[pair.size / 8 - 1] = number;
	int error = shmring_push_wait(ring, message, pair.size, -1);
	if (error)
		fail("push", error);
}

/* Whether it is all of that number. */
static bool
is_whole(const uint64_t *message, ssize_t size, uint64_t number)
{
	return size == (ssize_t)pair.size && message[0] == number &&
	       message[size / 8 - 1] == number;
}

/* The measuring process and the other one, each for so many rings. */
static double
run(int rings, double (*measures)(void), void (*other)(void))
{
	const struct shmring_config config = { .mode = pair.mode,
					       .slot_size = pair.size,
					       .participants = 2,
					       .roles = SHMRING_OBSERVER };
	pid_t child[2];
	bool good = true;

	for (int i = 0; i < rings; i++) {
		int error = shmring_create_memfd(&pair.base[i], &config);
		if (error)
			fail("create", error);
	}
	for (int i = 0; i < 2; i++) {
		pair.event[i] = eventfd(0, EFD_CLOEXEC);
		check(pair.event[i] >= 0, "eventfd");
	}
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		check(child[i] >= 0, "fork");
		if (child[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(i);
		if (i)
			other();
		else
			*pair.result = measures();
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		int status;

		waitpid(child[i], &status, 0);
		good &= status == 0;
		close(pair.event[i]);
	}
	check(good, "a child failed");
	for (int i = 0; i < rings; i++)
		shmring_close(&pair.base[i]);
	return *pair.result;
}

/* A game of ROUNDS, which one side starts: the time of a round, in ns. */
static void (*game)(bool starts);

static double
ping(void)
{
	double start = now(CLOCK_MONOTONIC);

	game(true);
	return (now(CLOCK_MONOTONIC) - start) / ROUNDS;
}

static void
pong(void)
{
	game(false);
}

static double
round_trip(int rings, void (*play)(bool starts))
{
	game = play;
	return run(rings, ping, pong);
}

/* ---- An event loop with one ring ---- */

struct loop {
	struct shmring ring;
	struct shmring_poll poll;
	int epoll;
};

static void
loop_add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	check(fd >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event),
	      "epoll_ctl");
}

static void
loop_open(struct loop *loop, int which)
{
	attach(&loop->ring, which, SHMRING_CONSUMER);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	int error =
		shmring_poll_open(&loop->poll, &loop->ring, SHMRING_CONSUMER);
	if (error)
		fail("poll", error);
	loop_add(loop->epoll, shmring_poll_fd(&loop->poll));
}

/* As its contract says: sleep, take all, arm. Until before this number. */
static void
loop_take(struct loop *loop, uint64_t *next, uint64_t end)
{
	while (*next < end) {
		struct epoll_event event;
		uint64_t message[LARGEST / 8];
		ssize_t got;

		if (epoll_wait(loop->epoll, &event, 1, -1) != 1)
			continue;
		while ((got = shmring_pop(&loop->ring, message, LARGEST)) >= 0)
			if (!is_whole(message, got, (*next)++))
				fail("order", -EBADMSG);
		if (got != -EAGAIN && (got != -EPIPE || *next < end))
			fail("pop", (int)got);
		shmring_poll_arm(&loop->poll);
	}
}

/* ---- Wake-ups: there and back, both asleep ---- */

static void
loop_play(bool starts)
{
	static struct loop loop;
	struct shmring out;
	uint64_t next = 0;

	attach(&out, starts, SHMRING_PRODUCER);
	loop_open(&loop, !starts);
	shmring_set_spin(&loop.ring, 0);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		if (starts)
			push(&out, i);
		loop_take(&loop, &next, i + 1);
		if (!starts)
			push(&out, i);
	}
	if (!starts) /* else the last one were lost with us */
		shmring_flush(&out, -1);
}

/* Of eventfds; with_loop: each slept on in an epoll. */
static void
event_play(bool starts, bool with_loop)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	loop_add(epoll, pair.event[!starts]);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		struct epoll_event event;
		uint64_t got = 0;

		if (starts)
			check(write(pair.event[1], &i, 8) == 8, "write");
		while (with_loop && epoll_wait(epoll, &event, 1, -1) != 1)
			;
		check(read(pair.event[!starts], &got, 8) == 8 && got == i,
		      "read");
		if (!starts)
			check(write(pair.event[0], &i, 8) == 8, "write");
	}
}

static void
event_play_in_loop(bool starts)
{
	event_play(starts, true);
}

static void
event_play_alone(bool starts)
{
	event_play(starts, false);
}

static double
wake_by_loop(void)
{
	return round_trip(2, loop_play);
}

static double
wake_by_event(void)
{
	return round_trip(1, event_play_in_loop);
}

static double
wake_by_read(void)
{
	return round_trip(1, event_play_alone);
}

/* ---- A stream ---- */

static void
stream_out(void)
{
	struct shmring out;

	attach(&out, 0, SHMRING_PRODUCER);
	for (uint64_t i = 0; i < MESSAGES; i++)
		push(&out, i);
	shmring_flush(&out, -1);
}

static double
stream_by_loop(void)
{
	static struct loop loop;
	uint64_t next = 0;

	loop_open(&loop, 0);
	loop_take(&loop, &next, 1);
	double start = now(CLOCK_MONOTONIC);
	loop_take(&loop, &next, MESSAGES);
	return MESSAGES / (now(CLOCK_MONOTONIC) - start);
}

static double
stream_by_wait(void)
{
	struct shmring in;
	uint64_t message[LARGEST / 8];
	double start = 0;

	attach(&in, 0, SHMRING_CONSUMER);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		ssize_t got = shmring_pop_wait(&in, message, LARGEST, -1);

		if (!is_whole(message, got, i))
			fail("order", -EBADMSG);
		if (i == 0)
			start = now(CLOCK_MONOTONIC);
	}
	return MESSAGES / (now(CLOCK_MONOTONIC) - start);
}

static double
rate_by_loop(void)
{
	return run(1, stream_by_loop, stream_out);
}

static double
rate_by_wait(void)
{
	return run(1, stream_by_wait, stream_out);
}

/* ---- Idle: what the measuring process uses of its CPU ---- */

static struct crowd {
	struct shmring ring[CROWD];
	struct shmring_polled polled[CROWD];
	struct shmring_poll poll;
} crowd;

/* Nothing comes, until the end. */
static double
idle(int rings)
{
	struct epoll_event event;
	double start = 0, used = 0;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	check(!shmring_poll_open(&crowd.poll, NULL, 0), "poll");
	loop_add(epoll, shmring_poll_fd(&crowd.poll));
	for (int i = 0; i < rings; i++) {
		attach(&crowd.ring[i], i, SHMRING_CONSUMER);
		check(!shmring_poll_add(&crowd.poll, &crowd.polled[i],
					&crowd.ring[i], SHMRING_CONSUMER),
		      "poll");
	}
	check(write(pair.event[0], &(uint64_t){ 1 }, 8) == 8, "write");
	loop_add(epoll, pair.event[1]); /* the other one is there */
	while (!start || now(CLOCK_MONOTONIC) - start < IDLE_NS) {
		epoll_wait(epoll, &event, 1, -1);
		if (shmring_poll_arm(&crowd.poll))
			continue;
		if (!start && read(pair.event[1], &(uint64_t){ 0 }, 8) == 8) {
			start = now(CLOCK_MONOTONIC);
			used = now(CLOCK_PROCESS_CPUTIME_ID);
		}
	}
	used = now(CLOCK_PROCESS_CPUTIME_ID) - used;
	check(write(pair.event[0], &(uint64_t){ 1 }, 8) == 8, "write");
	return used / (now(CLOCK_MONOTONIC) - start) * 1e6;
}

static double
idle_one(void)
{
	return idle(1);
}

static double
idle_crowd(void)
{
	return idle(CROWD);
}

/* A producer for each, which sends nothing. */
static void
idle_peer(void)
{
	static struct shmring out[CROWD];
	uint64_t seen;
	int n = 0;

	check(read(pair.event[0], &seen, 8) == 8, "read");
	for (; n < CROWD && pair.base[n].canary; n++)
		attach(&out[n], n, SHMRING_PRODUCER);
	check(write(pair.event[1], &(uint64_t){ 1 }, 8) == 8, "write");
	check(read(pair.event[0], &seen, 8) == 8, "read");
}

static double
cpu_of_one(void)
{
	return run(1, idle_one, idle_peer);
}

static double
cpu_of_crowd(void)
{
	return run(CROWD, idle_crowd, idle_peer);
}

/* ---- shmring_wait_several ---- */

static int several; /* rings to wait on */

static void
wait_for(struct shmring_item *items, uint64_t number)
{
	uint64_t got;
	int which = (int)(number % (uint64_t)several);

	if (shmring_wait_several(items, (size_t)several, -1) != 1 ||
	    !items[which].ready ||
	    shmring_pop(items[which].ring, &got, 8) != 8 || got != number)
		fail("order", -EBADMSG);
}

/* The other one's messages come in turn by each of the rings. */
static void
several_play(bool starts)
{
	static struct shmring in[2], out[2];
	struct shmring_item items[2];

	for (int i = 0; i < several; i++) {
		attach(&in[i], starts ? 2 + i : i, SHMRING_CONSUMER);
		attach(&out[i], starts ? i : 2 + i, SHMRING_PRODUCER);
		shmring_set_spin(&in[i], 0);
		items[i] = (struct shmring_item){ &in[i], SHMRING_CONSUMER, 0 };
	}
	for (uint64_t i = 0; i < ROUNDS; i++) {
		if (starts)
			push(&out[i % (uint64_t)several], i);
		wait_for(items, i);
		if (!starts)
			push(&out[i % (uint64_t)several], i);
	}
	for (int i = 0; i < several && !starts; i++)
		shmring_flush(&out[i], -1);
}

static double
wake_by_two(void)
{
	several = 2;
	return round_trip(4, several_play);
}

static double
wake_by_one(void)
{
	several = 1;
	return round_trip(4, several_play);
}

/* As some containers do. */
static void
refuse_waitv(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SHMRING__FUTEX_WAITV, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		      !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program),
	      "seccomp");
}

/* A time now and then, to one ring after the other. */
static void
send_times(void)
{
	static struct shmring out[SEVERAL];

	for (int i = 0; i < SEVERAL; i++)
		attach(&out[i], i, SHMRING_PRODUCER);
	for (uint64_t i = 0; i < WAKES; i++) {
		usleep(1000 + (useconds_t)(i * 7919 % 1500));
		push(&out[i % SEVERAL], (uint64_t)now(CLOCK_MONOTONIC));
	}
	for (int i = 0; i < SEVERAL; i++)
		shmring_flush(&out[i], -1);
}

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The 99th percentile of the way of a time. */
static double
take_times(void)
{
	static struct shmring in[SEVERAL];
	struct shmring_item items[SEVERAL];
	double late[WAKES];

	for (int i = 0; i < SEVERAL; i++) {
		attach(&in[i], i, SHMRING_CONSUMER);
		shmring_set_spin(&in[i], 0);
		items[i] = (struct shmring_item){ &in[i], SHMRING_CONSUMER, 0 };
	}
	for (int i = 0; i < WAKES;) {
		uint64_t sent;

		if (shmring_wait_several(items, SEVERAL, -1) < 0)
			fail("wait", -EBADMSG);
		/* of those before the last, one may be late, and not alone */
		while (i < WAKES &&
		       shmring_pop(&in[i % SEVERAL], &sent, 8) == 8)
			late[i++] = now(CLOCK_MONOTONIC) - (double)sent;
	}
	qsort(late, WAKES, sizeof(*late), by_size);
	return late[WAKES - 1 - WAKES / 100];
}

static double
take_times_refused(void)
{
	refuse_waitv();
	return take_times();
}

static double
late_by_waitv(void)
{
	return run(SEVERAL, take_times, send_times);
}

static double
late_by_slices(void)
{
	return run(SEVERAL, take_times_refused, send_times);
}

/* ---- The table ---- */

enum sense {
	LEAST, /* at least so many times the other's */
	MOST_OF, /* at most so many times */
	BELOW, /* at most so much, whatever the other has */
};

static const struct bar {
	const char *figure, *than, *unit;
	enum sense sense;
	double limit, scale; /* to the unit */
	double (*ours)(void), (*theirs)(void);
	uint32_t mode, size; /* 0: 8 */
} bars[] = {
	{ "round trip through epoll, both asleep", "eventfds in an epoll", "us",
	  MOST_OF, 1.1, 1e-3, wake_by_loop, wake_by_event, 0, 0 },
	{ "round trip through epoll, both asleep", "eventfds without one", "us",
	  MOST_OF, 1.1, 1e-3, wake_by_loop, wake_by_read, 0, 0 },
#define STREAM(name, mode, size)                                            \
	{                                                                   \
		name " throughput through epoll, " #size " B", "pop_wait",  \
			"M/s", LEAST, 0.9, 1e3, rate_by_loop, rate_by_wait, \
			mode, size                                          \
	}
	STREAM("SPSC", SHMRING_SPSC, 8),
	STREAM("SPSC", SHMRING_SPSC, 64),
	STREAM("MPMC", SHMRING_MPMC, 8),
	STREAM("MPMC", SHMRING_MPMC, 64),
	{ "CPU of 64 idle rings in one loop", "one", "us/s", MOST_OF, 1.2, 1,
	  cpu_of_crowd, cpu_of_one, 0, 0 },
	{ "round trip through wait_several, two rings", "one", "us", MOST_OF,
	  1.3, 1e-3, wake_by_two, wake_by_one, 0, 0 },
	{ "p99 of a wake-up, one of 8 rings", "where futex_waitv is refused",
	  "us", BELOW, 100, 1e-3, late_by_waitv, late_by_slices, 0, 0 },
};

static double
median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), by_size);
	return values[count / 2];
}

static void
measure(const struct bar *bar, int count)
{
	double ours[MOST], theirs[MOST], ratio[MOST];

	pair.mode = bar->mode;
	pair.size = bar->size ? bar->size : 8;
	for (int i = 0; i < count; i++) {
		ours[i] = bar->ours() * bar->scale;
		theirs[i] = bar->theirs() * bar->scale;
		ratio[i] = ours[i] / theirs[i];
	}
	double mine = median(ours, count), others = median(theirs, count);
	double middle = median(ratio, count);
	double told = bar->sense == BELOW ? mine : middle;
	bool met =
		bar->sense == LEAST ? told >= bar->limit : told <= bar->limit;

	printf("| %s | %.3g %s | %s: %.3g %s | **%.3g x** (%.3g to %.3g) | "
	       "%s %g %s | %s |\n",
	       bar->figure, mine, bar->unit, bar->than, others, bar->unit,
	       middle, ratio[0], ratio[count - 1],
	       bar->sense == LEAST ? ">=" : "<=", bar->limit,
	       bar->sense == BELOW ? bar->unit : "x", met ? "yes" : "**no**");
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 7;
	const char *only = argc > 2 ? argv[2] : "";

	if (count < 1 || count > MOST)
		fail("repetitions", -ERANGE);
	pair.result = mmap(NULL, sizeof(*pair.result), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(pair.result != MAP_FAILED, "mmap");
	choose_cpus();
	printf("\n| figure | ours | the other | median of %d (least to most) | "
	       "bar | met |\n|---|---|---|---|---|---|\n",
	       count);
	for (size_t i = 0; i < sizeof(bars) / sizeof(*bars); i++)
		if (strstr(bars[i].figure, only))
			measure(&bars[i], count);
	return 0;
}
