/* SPDX-License-Identifier: MIT
 *
 * signals - ignore, block and handle signals, and queue them with a value
 *
 *	cc -O2 -D_GNU_SOURCE examples/signals.c -o signals
 *	./signals
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SENT 3

static volatile sig_atomic_t handled, last;

/* A handler interrupts anything, so it may only do what is safe everywhere. */
static void
handler(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	last = info->si_value.sival_int;
	handled++;
}

static void
expect(int good, const char *what)
{
	printf("%s: %s\n", what, good ? "yes" : "no");
	if (!good)
		exit(1);
}

int
main(void)
{
	struct sigaction action = { .sa_sigaction = handler,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	const struct timespec patience = { .tv_sec = 10 };
	struct signalfd_siginfo record;
	siginfo_t info;
	sigset_t set, pending;
	int i, fd, status, good = 1;
	pid_t child;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);

	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	expect(handled == 0, "ignored: nothing happens");

	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	expect(handled == 1, "handled: at once");

	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	raise(SIGUSR1);
	sigpending(&pending);
	expect(handled == 1 && sigismember(&pending, SIGUSR1) == 1,
	       "blocked: it waits");
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	expect(handled == 2, "two of an ordinary signal become one");

	sigaction(SIGRTMIN, &action, NULL);
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 42 });
	expect(handled == 3 && last == 42, "queued: with a value, handled");

	/* Blocked before fork: the child's first may be faster than we. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	child = fork();
	if (child == 0) {
		for (i = 0; i < 2 * SENT; i++)
			sigqueue(getppid(), SIGRTMIN,
				 (union sigval){ .sival_int = i });
		_exit(0);
	}
	for (i = 0; i < SENT; i++)
		if (sigtimedwait(&set, &info, &patience) != SIGRTMIN ||
		    info.si_value.sival_int != i || info.si_pid != child)
			good = 0;
	expect(child > 0 && good, "a child's, in order, by sigtimedwait");
	expect(waitpid(child, &status, 0) == child && status == 0,
	       "the child has sent them all");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (; i < 2 * SENT; i++)
		if (read(fd, &record, sizeof(record)) != sizeof(record) ||
		    record.ssi_int != i)
			good = 0;
	expect(good, "the rest by reading a signalfd");
	close(fd);
	return 0;
}
