/* SPDX-License-Identifier: MIT
 *
 * Description: SHMRING_REPLACE, stopped or killed before each of its system
 * calls and compare-and-swaps, while others open, replace, or unlink and create
 * the same name: nobody is kept out, nobody is left alone in a ring without a
 * name, and nothing stays behind.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void step(void);
#define syscall(...) (step(), syscall(__VA_ARGS__))
#define unlink(path) (step(), unlink(path))
#define __atomic_compare_exchange_n(...) \
	(step(), __atomic_compare_exchange_n(__VA_ARGS__))
#include "ring.h"

/* The replacer: a child that stops at one step, or at two, or is killed. */
static struct replacer {
	int now, stop[2], kill; /* steps; kill: at the last of them */
	int done, error;
	ino_t inode; /* of what it made */
} * replacer; /* shared */

static int counting; /* in the replacer only */

static void
step(void)
{
	if (!counting)
		return;
	counting = 0; /* not what we do here */
	int now = ++replacer->now;
	int last = replacer->stop[replacer->stop[1] != 0];
	if (now == replacer->stop[0] || now == replacer->stop[1])
		raise(replacer->kill && now == last ? SIGKILL : SIGSTOP);
	counting = 1;
}

static const struct shmring_config plain = {
	.mode = SHMRING_MPMC, .slots = 16, .slot_size = 8, .participants = 4
};

static void
replace(void *name)
{
	struct shmring_config config = plain;
	struct shmring ring;

	config.flags = SHMRING_REPLACE;
	counting = 1;
	replacer->error = shmring_create(&ring, name, &config);
	counting = 0;
	replacer->inode = replacer->error ? 0 : ring.map.inode;
	replacer->done = 1;
	for (;;)
		pause(); /* attached, or not */
}

static int reaped;

static void
end(pid_t child)
{
	if (!reaped)
		child_kill(child);
	reaped = 0;
}

/* On to where it stops, dies (1), or is done (1). */
static int
await(pid_t child)
{
	int status;

	while (!__atomic_load_n(&replacer->done, __ATOMIC_ACQUIRE)) {
		pid_t got = waitpid(child, &status, WUNTRACED | WNOHANG);
		if (got == child) {
			reaped = !WIFSTOPPED(status);
			return reaped;
		}
		usleep(100);
	}
	return 1;
}

static int wrong, runs;
static const char *what;

#define EXPECT(condition)                                                  \
	do {                                                               \
		if (!(condition)) {                                        \
			printf("# %s, steps %d %d%s: line %d: %s\n", what, \
			       replacer->stop[0], replacer->stop[1],       \
			       replacer->kill ? ", killed" : "", __LINE__, \
			       #condition);                                \
			wrong++;                                           \
		}                                                          \
	} while (0)

/* Somebody else finds the ring that `ring` is in. */
static void
is_found(struct shmring *ring, const char *name)
{
	struct shmring other;
	int error = shmring_open(&other, name, SHMRING_CONSUMER, GENEROUS);

	EXPECT(error == 0);
	if (error)
		return;
	EXPECT(other.map.inode == ring->map.inode);
	shmring_close(&other);
}

enum event { NOTHING, OPEN, REPLACE, UNLINK, EVENTS };
static const char *const events[] = { "nobody comes", "somebody opens",
				      "somebody replaces",
				      "somebody unlinks and creates" };

/* What others do while it is stopped, or after its end; 1: ring is theirs. */
static int
happen(enum event event, struct shmring *ring, const char *name)
{
	struct shmring_config config = plain;
	int error;

	if (event == NOTHING)
		return 0;
	if (event == OPEN) {
		error = shmring_open(ring, name, 0, GENEROUS);
		EXPECT(error == 0);
		return !error;
	}
	config.flags = SHMRING_REPLACE;
	if (event == REPLACE) {
		error = shmring_create(ring, name, &config);
		EXPECT(error == 0 || (error == -EBUSY && !reaped));
		return !error;
	}
	error = shmring_unlink(name);
	EXPECT(error == 0);
	error = shmring_create(ring, name, &plain);
	EXPECT(error == 0);
	return !error;
}

/* 0: it was done before it came to the last step. */
static int
run(enum event event, int first, int second, int killed)
{
	char name[64], temporary[128];
	struct shmring ring, last;
	int came, theirs, ended;
	pid_t child;

	what = events[event];
	runs++;
	snprintf(name, sizeof(name), "%s", tap_name());
	snprintf(temporary, sizeof(temporary), "%s%s%s", SHMRING_DIRECTORY,
		 name, SHMRING__TEMPORARY);
	if (shmring_create(&ring, name, &plain))
		bail("no ring");
	shmring_close(&ring);
	*replacer =
		(struct replacer){ .stop = { first, second }, .kill = killed };
	child = child_start(replace, name);
	ended = await(child);
	came = !replacer->done;
	theirs = happen(event, &ring, name);
	if (theirs)
		is_found(&ring, name);
	if (!ended) {
		kill(child, SIGCONT);
		if (second) {
			ended = await(child);
			came = !replacer->done;
			if (theirs)
				is_found(&ring, name);
			kill(child, SIGCONT);
		}
		if (!ended || replacer->done)
			await(child);
	}
	if (theirs) {
		is_found(&ring, name);
		EXPECT(replacer->inode != ring.map.inode || event == OPEN);
	}
	if (replacer->done && replacer->error == 0 && event == OPEN && theirs)
		EXPECT(replacer->inode == ring.map.inode);
	if (replacer->done && event == NOTHING)
		EXPECT(replacer->error == 0);
	if (replacer->done)
		EXPECT(replacer->error == 0 || replacer->error == -EBUSY);
	if (replacer->done)
		EXPECT(access(temporary, F_OK) != 0);
	end(child);
	struct shmring_config config = plain;
	config.flags = SHMRING_REPLACE;
	if (theirs) { /* used, by whatever way it is found */
		EXPECT(shmring_create(&last, name, &plain) == -EEXIST);
		EXPECT(shmring_create(&last, name, &config) == -EBUSY);
		is_found(&ring, name);
		shmring_close(&ring);
	}
	/* Whatever was left is no obstacle to the next. */
	int error = shmring_create(&last, name, &config);
	EXPECT(error == 0);
	if (!error)
		is_found(&last, name);
	shmring_close(&last);
	shmring_unlink(name);
	EXPECT(access(temporary, F_OK) != 0);
	return came;
}

static void
attach(void *name)
{
	struct shmring ring;

	counting = 1;
	replacer->error = shmring_open(&ring, name, 0, GENEROUS);
	counting = 0;
	replacer->inode = replacer->error ? 0 : ring.map.inode;
	replacer->done = 1;
	for (;;)
		pause();
}

/* The mirror image: who opens is stopped, and meanwhile the ring is replaced.
 * 0: it was done before. */
static int
open_meanwhile(int n)
{
	struct shmring_config config = plain;
	struct shmring ring;
	char name[64];

	runs++;
	snprintf(name, sizeof(name), "%s", tap_name());
	if (shmring_create(&ring, name, &plain))
		bail("no ring");
	ino_t first = ring.map.inode;
	shmring_close(&ring);
	*replacer = (struct replacer){ .stop = { n, 0 } };
	pid_t child = child_start(attach, name);
	await(child);
	int came = !replacer->done;
	config.flags = SHMRING_REPLACE;
	int error = shmring_create(&ring, name, &config);
	EXPECT(error == 0 || error == -EBUSY);
	if (came) {
		kill(child, SIGCONT);
		await(child);
	}
	EXPECT(replacer->error == 0);
	EXPECT(replacer->inode == (error ? first : ring.map.inode));
	if (!error)
		is_found(&ring, name);
	shmring_close(&ring);
	end(child);
	shmring_unlink(name);
	return came;
}

/* Left as a killed replacer leaves it: unlink takes that along. */
static void
unlink_what_is_left(void)
{
	char name[64], temporary[128];
	struct shmring ring;
	int left = 0, n = 0, came = 1;

	snprintf(name, sizeof(name), "%s", tap_name());
	snprintf(temporary, sizeof(temporary), "%s%s%s", SHMRING_DIRECTORY,
		 name, SHMRING__TEMPORARY);
	wrong = 0;
	what = "unlink";
	while (came) {
		shmring_create(&ring, name, &plain);
		shmring_close(&ring);
		*replacer = (struct replacer){ .stop = { ++n, 0 }, .kill = 1 };
		pid_t child = child_start(replace, name);
		await(child);
		came = !replacer->done;
		end(child);
		left += access(temporary, F_OK) == 0;
		EXPECT(shmring_unlink(name) == 0);
		EXPECT(access(temporary, F_OK) != 0);
	}
	ok(left > 0, "of %d killed, %d left a second name", n, left);
	is_int(wrong, 0, "which unlink removes");
}

int
main(void)
{
	int steps = 0;

	tap_start();
	/* Some thousand processes, each of which an emulator starts slowly. */
	tap_watchdog(480 + 60 * (unsigned)tap_seconds());
	replacer = shared_memory(sizeof(*replacer));
	for (int killed = 0; killed < 2; killed++)
		for (int event = NOTHING; event < EVENTS; event++) {
			int n = 1;

			wrong = runs = 0;
			while (run(event, n, 0, killed))
				n++;
			steps = n;
			is_int(wrong, 0, "%s at each of %d steps: %s",
			       killed ? "killed" : "stopped", n, events[event]);
		}
	/* Somebody comes, and later it stops once more, or dies; a sample of
	 * that in short tests. */
	for (int killed = 0; killed < 2; killed++)
		for (int event = OPEN; event < EVENTS; event++) {
			unsigned skips = tap_seconds() > 1 ? 1 : 5;

			wrong = runs = 0;
			for (int n = 1; n < steps; n++)
				for (int m = n + 1; m <= n + 12; m++)
					if (tap_random() % skips == 0)
						run(event, n, m, killed);
			is_int(wrong, 0, "%s later, %d times: %s",
			       killed ? "killed" : "stopped again", runs,
			       events[event]);
		}
	wrong = runs = 0;
	what = "an opener";
	for (int n = 1; open_meanwhile(n); n++)
		;
	is_int(wrong, 0, "stopped at each of %d steps: who opens", runs);
	unlink_what_is_left();
	return tap_done();
}
