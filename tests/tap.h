/* SPDX-License-Identifier: MIT
 *
 * tap.h - the few words that the tests need to speak TAP to prove
 *
 *	int main(void)
 *	{
 *		tap_start();
 *		ok(1 + 1 == 2, "addition works");
 *		if (!has_feature())
 *			skip("no feature");
 *		return tap_done();
 *	}
 *
 * Environment: SEED repeats a run, SECONDS_PER_TEST (1) is how long a test
 * that can go on for ever should take, REQUIRE_ALL=1 turns each skip into a
 * failure.
 *
 * Results are reported by the thread that called tap_start() only. A process
 * that is still there when its time is up is ended by SIGALRM; so tests leave
 * alarm() and ITIMER_REAL alone, and take timer_create() with another signal.
 */
#ifndef TAP_H
#define TAP_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAP_FUNCTION static inline __attribute__((unused))
#define TAP_FORMAT(text, first) \
	static inline __attribute__((format(printf, text, first), unused))

/* Processes under these run tens of times slower, or cannot be traced. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TAP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TAP_SANITIZED 1
#endif
#endif
#ifndef TAP_SANITIZED
#define TAP_SANITIZED 0
#endif

static struct {
	pid_t pid; /* of the process that reports */
	unsigned run, failed, names;
	uint64_t seed;
} tap;

TAP_FUNCTION long
tap_environment(const char *name, long otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtol(value, NULL, 0) : otherwise;
}

/* How many seconds a test without an end of its own should take. */
TAP_FUNCTION long
tap_seconds(void)
{
	return tap_environment("SECONDS_PER_TEST", 1);
}

/* The next of a sequence that the printed seed repeats (splitmix64). */
TAP_FUNCTION uint64_t
tap_random(void)
{
	uint64_t z = tap.seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* A name for shared memory, in a static buffer. All that this process makes
 * in /dev/shm must have one: tap_done() looks for what was left behind. */
TAP_FUNCTION const char *
tap_name(void)
{
	static char name[64];

	snprintf(name, sizeof(name), "/tap-%ld-%u", (long)tap.pid, ++tap.names);
	return name;
}

/* Remove what is left of ours in /dev/shm; how many. */
TAP_FUNCTION unsigned
tap_sweep(void)
{
	char mine[32];
	unsigned left = 0;
	DIR *directory = opendir("/dev/shm");
	struct dirent *entry;

	snprintf(mine, sizeof(mine), "tap-%ld-", (long)tap.pid);
	while (directory && (entry = readdir(directory)) != NULL)
		if (!strncmp(entry->d_name, mine, strlen(mine))) {
			printf("# left in /dev/shm: %s\n", entry->d_name);
			unlinkat(dirfd(directory), entry->d_name, 0);
			left++;
		}
	if (directory)
		closedir(directory);
	return left;
}

TAP_FUNCTION void
tap_at_exit(void)
{
	if (getpid() == tap.pid)
		tap_sweep();
}

/* opendir() may wait for a lock that the interrupted code holds: then the
 * second alarm, which nothing catches any more, ends the process. */
TAP_FUNCTION void
tap_on_alarm(int number)
{
	static const char text[] = "Bail out! the test did not end in time\n";

	(void)number;
	alarm(5);
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	tap_sweep();
	_exit(1);
}

/* The process is ended so many seconds from now. */
TAP_FUNCTION void
tap_watchdog(unsigned seconds)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = tap_on_alarm;
	action.sa_flags = (int)SA_RESETHAND | SA_NODEFER;
	sigaction(SIGALRM, &action, NULL);
	alarm(seconds);
}

/* First of all in main. */
TAP_FUNCTION void
tap_start(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	setvbuf(stdout, NULL, _IOLBF, 0);
	tap.pid = getpid();
	tap.seed = (uint64_t)tap_environment("SEED", now.tv_nsec);
	printf("# SEED=%" PRIu64 " SECONDS_PER_TEST=%ld\n", tap.seed,
	       tap_seconds());
	atexit(tap_at_exit);
	tap_watchdog(120 + 60 * (unsigned)tap_seconds());
}

TAP_FUNCTION int
tap_vresult(int passed, const char *file, int line, const char *format,
	    va_list arguments)
{
	va_list again;

	va_copy(again, arguments);
	tap.failed += !passed;
	printf("%sok %u - ", passed ? "" : "not ", ++tap.run);
	vprintf(format, arguments);
	printf("\n");
	if (!passed) { /* where prove shows it */
		fprintf(stderr, "# %s:%d: failed: ", file, line);
		vfprintf(stderr, format, again);
		fprintf(stderr, "\n");
	}
	va_end(again);
	return passed;
}

TAP_FORMAT(4, 5)
int
tap_ok(int passed, const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tap_vresult(passed, file, line, format, arguments);
	va_end(arguments);
	return passed;
}

TAP_FORMAT(5, 6)
int
tap_is_int(intmax_t got, intmax_t expected, const char *file, int line,
	   const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tap_vresult(got == expected, file, line, format, arguments);
	va_end(arguments);
	if (got != expected)
		fprintf(stderr, "#   got %jd, expected %jd\n", got, expected);
	return got == expected;
}

/* ok(condition, "what", ...) like printf: one line of result; 1 if it holds.
 * is_int(got, expected, "what", ...): a failure shows both. */
#define ok(condition, ...) \
	tap_ok(!!(condition), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, expected, ...)                                            \
	tap_is_int((intmax_t)(got), (intmax_t)(expected), __FILE__, __LINE__, \
		   __VA_ARGS__)

/* In place of one result: what it needs is not here. */
TAP_FUNCTION void
skip(const char *why)
{
	int required = tap_environment("REQUIRE_ALL", 0) != 0;

	tap.failed += (unsigned)required;
	printf("%sok %u # SKIP %s\n", required ? "not " : "", ++tap.run, why);
}

/* In place of all results. */
TAP_FUNCTION __attribute__((noreturn)) void
skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(tap_environment("REQUIRE_ALL", 0) != 0);
}

/* The rest would make no sense, the other test programs neither. */
TAP_FUNCTION __attribute__((noreturn)) void
bail(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(1);
}

/* fork() whose child is killed when this process ends, however it does. */
TAP_FUNCTION pid_t
tap_fork(void)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		bail("fork failed");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return child;
}

/* The exit status of a child, or minus the signal that ended it. */
TAP_FUNCTION int
tap_wait(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			bail("waitpid failed");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Last of all in main: `return tap_done();`. */
TAP_FUNCTION int
tap_done(void)
{
	is_int(tap_sweep(), 0, "nothing is left in /dev/shm");
	printf("1..%u\n", tap.run);
	return tap.failed != 0;
}

#endif /* TAP_H */
