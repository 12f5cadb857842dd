/* SPDX-License-Identifier: MIT
 *
 * Description: hostile surroundings. System calls refused by seccomp (EPERM,
 * ENOSYS), a real-time clock that steps, descriptors closed under us, a process
 * whose first thread has ended, a pid used again, another pid or time
 * namespace, no /proc: data still flow, the living are not taken for dead, and
 * the dead are found.
 */
#include <time.h>

/* In all of this file the real-time clock steps by years, back and forth,
 * each time that it is read: no time-out and no proof may depend on it. */
static int
stepping_clock(clockid_t clock, struct timespec *now)
{
	static int steps;
	int failed = clock_gettime(clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += (++steps & 1 ? -1 : 1) * 100000000L;
	return failed;
}
#define clock_gettime stepping_clock

#define SHMRING_SLICE_NS 20000000
#include "ring.h"

#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define PIDFD_OPEN 434
#define MESSAGES 3000
#define CANNOT 77 /* exit status: not permitted here */
#define all_is_well(status, missing, ...)               \
	do { /* a child's result, or a skip */          \
		if ((status) == CANNOT)                 \
			skip(missing);                  \
		else                                    \
			is_int(status, 0, __VA_ARGS__); \
	} while (0)
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* From now on these system calls fail with this errno. */
static void
refuse(const unsigned *calls, size_t count, unsigned error)
{
	struct sock_filter code[16];
	struct sock_fprog program = { 0, code };
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < count; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
						 SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(CANNOT);
}

/* A ring that this process only watches: its children take the roles. */
static void
watch(struct shmring *ring, uint32_t mode)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_OBSERVER };

	if (shmring_create_memfd(ring, &config))
		bail("no ring");
}

static int
send_all(const struct shmring *base)
{
	struct shmring ring;
	int error = 0;

	ring_dup(&ring, base, SHMRING_PRODUCER);
	for (uint64_t i = 0; i < MESSAGES && !error; i++)
		error = shmring_push_wait(&ring, &i, sizeof(i), GENEROUS);
	shmring_close(&ring);
	return error != 0;
}

static int
take_all(const struct shmring *base)
{
	struct shmring ring;
	uint64_t number, expected = 0;
	ssize_t got;

	ring_dup(&ring, base, SHMRING_CONSUMER);
	shmring_set_spin(&ring, 0);
	while ((got = shmring_pop_wait(&ring, &number, sizeof(number),
				       GENEROUS)) == sizeof(number))
		if (number != expected++)
			return 1;
	return got != -EPIPE || expected != MESSAGES;
}

/* From one child to another, both in the surroundings that enter() makes. */
static int
move_data(uint32_t mode, void (*enter)(int side, const void *argument),
	  const void *argument)
{
	struct shmring base;
	int status = 0;
	pid_t child[2];

	watch(&base, mode);
	for (int i = 0; i < 2; i++) {
		child[i] = tap_fork();
		if (child[i] == 0) {
			enter(i, argument);
			_exit(i ? take_all(&base) : send_all(&base));
		}
	}
	for (int i = 0; i < 2; i++)
		status |= tap_wait(child[i]);
	shmring_close(&base);
	return status;
}

struct refusal {
	const unsigned *calls;
	size_t count;
	unsigned error;
};

static void
refuse_these(int side, const void *argument)
{
	const struct refusal *these = argument;

	(void)side;
	refuse(these->calls, these->count, these->error);
}

static void
moves_data_without(const char *what, const unsigned *calls, size_t count,
		   uint32_t mode, unsigned error)
{
	struct refusal these = { calls, count, error };
	int status = move_data(mode, refuse_these, &these);

	all_is_well(status, "seccomp is not permitted",
		    "%s: data flow while %s gives %s", mode_name[mode], what,
		    strerror((int)error));
}

/* From now on whoever lets a futex sleep by the real-time clock is killed. */
static void
forbid_real_time_sleeps(int side, const void *argument)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FUTEX_CLOCK_REALTIME, 0,
			 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	(void)side;
	(void)argument;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(CANNOT);
}

static void
sleep_in_real_time(void *argument)
{
	struct timespec soon = { 0, 1 };
	uint32_t word = 0;

	forbid_real_time_sleeps(0, argument);
	syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
		word, &soon, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* A step of the clock would cut such sleeps short, or draw them out. */
static void
sleeps_by_the_steady_clock(void)
{
	if (child_run(sleep_in_real_time, NULL) == CANNOT) {
		skip("seccomp is not permitted");
		return;
	}
	is_int(child_run(sleep_in_real_time, NULL), -SIGSYS,
	       "a sleep in real time would be noticed");
	for (uint32_t mode = 0; mode < 2; mode++)
		is_int(move_data(mode, forbid_real_time_sleeps, NULL), 0,
		       "%s: no sleep is one", mode_name[mode]);
}

/* A day later by all clocks that count from boot; 0: not permitted. */
static int
enter_another_time(void)
{
	static const char offsets[] = "monotonic 86400 0\nboottime 86400 0\n";
	int file, space;

	if (unshare(CLONE_NEWTIME))
		return 0;
	file = open("/proc/self/timens_offsets", O_WRONLY);
	space = open("/proc/self/ns/time_for_children", O_RDONLY);
	return file >= 0 && space >= 0 &&
	       write(file, offsets, sizeof(offsets) - 1) > 0 &&
	       setns(space, CLONE_NEWTIME) == 0;
}

static void
read_a_day_later(int side, const void *argument)
{
	(void)argument;
	if (side && !enter_another_time())
		_exit(CANNOT);
}

static void
moves_data_through_time(uint32_t mode)
{
	int status = move_data(mode, read_a_day_later, NULL);

	all_is_well(status, "no time namespace",
		    "%s: data flow to a later time", mode_name[mode]);
}

/* Where a child's use could not be noticed, nobody gets a handle. */
static void
needs_to_notice_forks(void)
{
	static const unsigned advice = SYS_madvise;
	struct shmring base;
	pid_t child;

	watch(&base, SHMRING_MPMC);
	child = tap_fork();
	if (child == 0) {
		struct shmring ring;
		int before = descriptors();

		refuse(&advice, 1, EINVAL);
		CHILD_CHECK(shmring_create_memfd(&ring, NULL) == -ENOSYS);
		CHILD_CHECK(shmring_dup(&ring, &base, SHMRING_BOTH) == -ENOSYS);
		CHILD_CHECK(push_number(&ring, 1) == -EBADF);
		CHILD_CHECK(descriptors() == before);
		_exit(0);
	}
	int status = tap_wait(child);
	shmring_close(&base);
	all_is_well(status, "seccomp is not permitted",
		    "no MADV_WIPEONFORK: -ENOSYS");
}

/* Somebody without membarrier fences itself, and says so. */
static void
fences_itself_without_membarrier(void)
{
	static const unsigned membarrier = SYS_membarrier;
	struct shmring base;
	pid_t child;

	watch(&base, SHMRING_MPMC);
	child = tap_fork();
	if (child == 0) {
		struct shmring ring;

		refuse(&membarrier, 1, EPERM);
		ring_dup(&ring, &base, SHMRING_BOTH);
		_exit(!ring.mpmc.fenced ||
		      !(ring.line[0]->flags & SHMRING__FENCED) ||
		      !shmring__heavy(&ring));
	}
	int status = tap_wait(child);
	shmring_close(&base);
	all_is_well(status, "seccomp is not permitted",
		    "without membarrier: fences itself");
}

/* Runs in a child that has attached as a consumer and says so; then killed.
 * Alive, it keeps its role; dead, the producer learns it. */
static void
is_alive_then_dead(const char *what, void (*live)(struct shmring *, int))
{
	struct shmring base, other, producer;
	int ready[2];
	char byte;
	pid_t child;

	if (pipe(ready))
		bail("pipe");
	watch(&base, SHMRING_SPSC);
	ring_dup(&producer, &base, SHMRING_PRODUCER);
	child = tap_fork();
	if (child == 0) {
		struct shmring ring;

		shmring_close(&producer); /* its lock is not ours to keep */
		ring_dup(&ring, &base, SHMRING_CONSUMER);
		live(&ring, ready[1]);
		_exit(CANNOT);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		skip(what);
		tap_wait(child);
	} else {
		is_int(shmring_recover(&producer), 0, "%s: not taken for dead",
		       what);
		is_int(shmring_dup(&other, &base, SHMRING_CONSUMER), -EBUSY,
		       "%s: keeps its role", what);
		kill(child, SIGKILL);
		tap_wait(child);
		int error = 0;
		while (!error)
			error = shmring_push_wait(&producer, "", 0, GENEROUS);
		is_int(error, -EPIPE, "%s: its death is noticed", what);
	}
	close(ready[0]);
	shmring_close(&producer);
	shmring_close(&base);
}

static void
say_ready_and_wait(int fd)
{
	if (write(fd, "", 1) == 1)
		for (;;)
			pause();
}

/* What daemons do. The mapping keeps the lock. */
static void
close_all_descriptors(struct shmring *ring, int fd)
{
	(void)ring;
	for (int i = 3; i < 1024; i++)
		if (i != fd)
			close(i);
	say_ready_and_wait(fd);
}

/* Only our pid speaks for us, and its start time is read differently here. */
static void
unlock_at_another_time(struct shmring *ring, int fd)
{
	struct shmring observer;

	ring_dup(&observer, ring, SHMRING_OBSERVER);
	shmring_close(ring);
	if (!enter_another_time())
		return;
	ring_dup(ring, &observer, SHMRING_CONSUMER);
	if (!shmring__lock(ring->map.fd, F_UNLCK, SHMRING__READ))
		say_ready_and_wait(fd);
}

static void *
second_thread(void *fd)
{
	struct timespec nap = { 0, 50000000 }; /* until the first has gone */

	nanosleep(&nap, NULL);
	say_ready_and_wait(*(int *)fd);
	return NULL;
}

/* A zombie leader: state Z in /proc, yet a thread lives. */
static void
end_first_thread(struct shmring *ring, int fd)
{
	static int kept;
	pthread_t thread;

	(void)ring;
	kept = fd;
	if (pthread_create(&thread, NULL, second_thread, &kept) == 0)
		pthread_exit(NULL);
}

/* Die with a participant line; in a pid namespace of its own, a later child
 * gets the same pid. Exit status 0: the death was proven all the same. */
static int
with_pid_used_again(void)
{
	struct shmring base, watcher;
	char text[16];
	int status = CANNOT;

	watch(&base, SHMRING_SPSC);
	ring_dup(&watcher, &base, SHMRING_PRODUCER);
	pid_t first = fork();
	if (first == 0) {
		struct shmring ring;
		shmring_close(&watcher);
		ring_dup(&ring, &base, SHMRING_CONSUMER);
		_exit(0); /* without closing */
	}
	waitpid(first, NULL, 0);
	/* Start times have a resolution of 10 ms. */
	struct timespec nap = { 0, 50000000 };
	nanosleep(&nap, NULL);
	int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
	int length = snprintf(text, sizeof(text), "%d", (int)first - 1);
	if (file < 0 || write(file, text, (size_t)length) != length)
		return CANNOT;
	pid_t second = fork();
	if (second == 0)
		for (;;)
			pause();
	if (second == first)
		status = shmring_recover(&watcher) != 1;
	kill(second, SIGKILL);
	waitpid(second, NULL, 0);
	return status;
}

/* /proc must show the new namespace, or pids mean nothing there. */
static int
in_new_namespace(int (*run)(void))
{
	pid_t outer = tap_fork(), inner;

	if (outer == 0) {
		if (unshare(CLONE_NEWPID | CLONE_NEWNS) || (inner = fork()) < 0)
			_exit(CANNOT);
		if (inner == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (mount("none", "/", NULL, MS_REC | MS_PRIVATE,
				  NULL) ||
			    mount("proc", "/proc", "proc", 0, NULL))
				_exit(CANNOT);
			_exit(run());
		}
		_exit(tap_wait(inner));
	}
	return tap_wait(outer);
}

static void
proves_death_of_a_reused_pid(void)
{
	int status = in_new_namespace(with_pid_used_again);

	all_is_well(status, "no pid namespace, or its pids cannot be chosen",
		    "a pid used again is not its first owner");
}

static struct shmring foreign; /* seen from both namespaces */
static int foreign_ready;

static int
be_a_consumer(void)
{
	struct shmring ring;

	ring_dup(&ring, &foreign, SHMRING_CONSUMER);
	say_ready_and_wait(foreign_ready);
	return 1;
}

/* From another pid namespace the lock alone decides. */
static void
sees_into_another_namespace(void)
{
	struct shmring producer;
	int ready[2];
	char byte;
	pid_t child;

	watch(&foreign, SHMRING_SPSC);
	if (pipe(ready))
		bail("pipe");
	foreign_ready = ready[1];
	child = tap_fork();
	if (child == 0)
		_exit(in_new_namespace(be_a_consumer));
	close(ready[1]);
	ring_dup(&producer, &foreign, SHMRING_PRODUCER);
	if (read(ready[0], &byte, 1) != 1) {
		skip("no pid namespace");
	} else {
		is_int(shmring_recover(&producer), 0,
		       "another namespace: not taken for dead");
		kill(child, SIGKILL); /* takes the inner ones along */
		tap_wait(child);
		int error = 0;
		while (!error)
			error = shmring_push_wait(&producer, "", 0, GENEROUS);
		is_int(error, -EPIPE, "another namespace: death is noticed");
	}
	close(ready[0]);
	shmring_close(&producer);
	shmring_close(&foreign);
}

/* In a mount namespace whose /proc has these options; NULL: shows nothing. */
static int
with_proc(const char *options, int (*run)(void))
{
	pid_t child = tap_fork();

	if (child == 0) {
		if (unshare(CLONE_NEWNS) ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("none", "/proc", options ? "proc" : "tmpfs", 0,
			  options))
			_exit(CANNOT);
		_exit(run());
	}
	return tap_wait(child);
}

static char named[64]; /* a ring, SPSC */

/* A consumer that lives until told, and leaves without a word. */
static pid_t
be_attached(int *state)
{
	pid_t child = tap_fork();

	if (child == 0) {
		struct shmring ring;

		if (shmring_open(&ring, named, SHMRING_CONSUMER, 0))
			_exit(1);
		flag_raise(state);
		flag_await(state, 2);
		_exit(0);
	}
	return child;
}

/* Whoever knows nothing of itself is alive by its lock, and dead without. */
static int
live_and_die_there(void)
{
	struct shmring ring, other;
	int *state = shared_memory(sizeof(*state));

	CHILD_CHECK(!shmring_open(&ring, named, SHMRING_PRODUCER, 0));
	pid_t child = be_attached(state);
	flag_await(state, 1);
	CHILD_CHECK(!push_number(&ring, 1));
	CHILD_CHECK(shmring_recover(&ring) == 0);
	CHILD_CHECK(shmring_open(&other, named, SHMRING_CONSUMER, 0) == -EBUSY);
	flag_raise(state);
	CHILD_CHECK(tap_wait(child) == 0);
	CHILD_CHECK(shmring_recover(&ring) == 1);
	CHILD_CHECK(push_number(&ring, 2) == -EPIPE);
	CHILD_CHECK(!shmring_open(&other, named, SHMRING_CONSUMER, 0));
	CHILD_CHECK(pop_number(&other) == 1);
	shmring_close(&other);
	shmring_close(&ring);
	return 0;
}

/* What goes by /proc/self/fd says so; a name can do without, if permitted. */
static int
make_without_proc(void)
{
	struct shmring_config config = { .flags = SHMRING_REPLACE };
	struct shmring ring, other;

	CHILD_CHECK(shmring_create_memfd(&ring, NULL) == -ENXIO);
	int error = shmring_create(&ring, named, &config);
	CHILD_CHECK(error == 0 || error == -ENXIO);
	if (!error) {
		CHILD_CHECK(shmring_dup(&other, &ring, 0) == -ENXIO);
		CHILD_CHECK(!push_number(&ring, 1) && pop_number(&ring) == 1);
	}
	shmring_close(&ring);
	return 0;
}

/* The first process of a new container, which is killed, or was. */
static int
be_the_first(void)
{
	pid_t first;

	if (unshare(CLONE_NEWPID) || (first = fork()) < 0)
		return CANNOT;
	if (first == 0) {
		struct shmring ring;
		int error = shmring_open(&ring, named, SHMRING_CONSUMER, 0);

		printf("%s%s", error ? "# child: " : "",
		       error ? shmring_strerror(error) : "");
		_exit(error != 0);
	}
	return tap_wait(first);
}

static void
gets_along_without_proc(void)
{
	static const char *const options[] = { NULL, "subset=pid",
					       "hidepid=2" };
	struct shmring ring;

	for (int i = 0; i < 3; i++) {
		const char *what = options[i] ? options[i] : "no /proc";

		snprintf(named, sizeof(named), "%s", tap_name());
		struct shmring_config config = { .roles = SHMRING_OBSERVER };
		if (shmring_create(&ring, named, &config))
			bail("no ring");
		shmring_close(&ring);
		int status = with_proc(options[i], live_and_die_there);
		all_is_well(status, "no such mount",
			    "%s: the living live, the dead are found", what);
		status = with_proc(options[i], be_the_first);
		if (!status) /* once more, by another with the same pid */
			status = with_proc(options[i], be_the_first);
		all_is_well(status, "no pid namespace",
			    "%s: a restarted container gets its role", what);
		if (!options[i]) {
			status = with_proc(NULL, make_without_proc);
			all_is_well(status, "no such mount",
				    "%s: what takes it says so", what);
		}
		shmring_unlink(named);
	}
}

/* Where nobody is mapped: all files look like nobody's, also our own. */
static void
open_in_a_user_namespace(void *argument)
{
	struct shmring ring;

	(void)argument;
	if (unshare(CLONE_NEWUSER))
		_exit(CANNOT);
	CHILD_CHECK(shmring_open(&ring, named, SHMRING_CONSUMER, 0) == -EPERM);
	CHILD_CHECK(!shmring_open(&ring, named,
				  SHMRING_CONSUMER | SHMRING_ANY_OWNER, 0));
	CHILD_CHECK(pop_number(&ring) == 1);
	shmring_close(&ring);
}

static void
trusts_in_a_user_namespace(void)
{
	struct shmring_config config = { .roles = SHMRING_PRODUCER };
	struct shmring ring;

	snprintf(named, sizeof(named), "%s", tap_name());
	if (shmring_create(&ring, named, &config))
		bail("no ring");
	push_number(&ring, 1);
	int status = child_run(open_in_a_user_namespace, NULL);
	all_is_well(status, "no user namespace",
		    "a user namespace: whose it is cannot be told, "
		    "SHMRING_ANY_OWNER does not ask");
	shmring_close(&ring);
	shmring_unlink(named);
}

/* Somebody who waits without futexes must not burn the CPU. */
static void
idles_without_futex(void)
{
	static const unsigned futex = SYS_futex;
	struct shmring base;
	struct rusage usage;
	pid_t child;

	watch(&base, SHMRING_SPSC);
	child = tap_fork();
	if (child == 0) {
		struct shmring ring;
		uint64_t number;

		refuse(&futex, 1, ENOSYS);
		ring_dup(&ring, &base, SHMRING_CONSUMER);
		shmring_pop_wait(&ring, &number, sizeof(number),
				 500 * MILLISECOND);
		getrusage(RUSAGE_SELF, &usage);
		int64_t cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) *
				      1000000 +
			      usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
		_exit(cpu > 250000);
	}
	int status = tap_wait(child);
	shmring_close(&base);
	all_is_well(status, "seccomp is not permitted",
		    "waits without futexes on little CPU");
}

int
main(void)
{
	static const struct {
		const char *what;
		unsigned call;
	} refused[] = { { "futex", SYS_futex },
			{ "membarrier", SYS_membarrier },
			{ "pidfd_open", PIDFD_OPEN } };
	unsigned all[3];

	tap_start();
	for (int i = 0; i < 3; i++)
		all[i] = refused[i].call;
	for (uint32_t mode = 0; mode < 2; mode++) {
		for (int i = 0; i < 3; i++) {
			moves_data_without(refused[i].what, &all[i], 1, mode,
					   EPERM);
			moves_data_without(refused[i].what, &all[i], 1, mode,
					   ENOSYS);
		}
		moves_data_without("each of them", all, 3, mode, EPERM);
		moves_data_through_time(mode);
	}
	sleeps_by_the_steady_clock();
	needs_to_notice_forks();
	fences_itself_without_membarrier();
	idles_without_futex();
	is_alive_then_dead("all descriptors closed", close_all_descriptors);
	is_alive_then_dead("another time namespace", unlock_at_another_time);
	is_alive_then_dead("first thread ended", end_first_thread);
	proves_death_of_a_reused_pid();
	sees_into_another_namespace();
	gets_along_without_proc();
	trusts_in_a_user_namespace();
	return tap_done();
}
