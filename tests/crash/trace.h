/* SPDX-License-Identifier: MIT
 *
 * trace.h - halt a child at each instruction of what it does
 *
 *	struct trace t;
 *	if (trace_start(&t, &shared->done)) {	// in the child
 *		trace_begin();
 *		operation();
 *		trace_end(&shared->done);
 *	}
 *	trace_record(&t, &path);		// one run, step by step
 *	trace_reach(&other, &path, 17);		// another halts at step 17
 *	trace_kill(&other);			// or trace_finish(&other)
 *
 * A step is an instruction of the program itself or a whole call of a library
 * function: the C library knows nothing of the ring, but its system calls.
 */
#ifndef TRACE_H
#define TRACE_H

#include "tap.h"
#include <sched.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define TRACE_STEPS 20000 /* longer paths are cut off */
#define TRACE_SECONDS 20 /* a child that says nothing for so long hangs */

enum trace_state { TRACE_HALTED, TRACE_DONE, TRACE_GONE };

struct trace {
	pid_t pid;
	enum trace_state state;
	const int *done; /* shared with the child, which sets it at the end */
};

struct trace_path {
	size_t count;
	uintptr_t pc[TRACE_STEPS];
	uint32_t seen[TRACE_STEPS]; /* how often the same pc came before */
};

/* The child stops here, its next instruction is the operation's first. */
#define trace_begin() __asm__ __volatile__("int3" ::: "memory")
#define trace_end(done)                                            \
	do {                                                       \
		__atomic_store_n(done, 1, __ATOMIC_SEQ_CST);       \
		for (;;) /* the operation is over for good */      \
			__asm__ __volatile__("int3" ::: "memory"); \
	} while (0)

/* Who traces and who is traced take turns, and cost half of it on one CPU
 * (measured): they stay where we have come to run. */
static void
trace_on_one_cpu(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)(cpu < 0 ? 0 : cpu), &set);
	sched_setaffinity(0, sizeof(set), &set); /* or not: slower */
}

/* First of all: start again with all library functions bound, so that each is
 * one step from the first call on. */
static void
trace_bind(char **argv)
{
	if (getenv("LD_BIND_NOW")) {
		trace_on_one_cpu();
		return;
	}
	setenv("LD_BIND_NOW", "1", 1);
	execv("/proc/self/exe", argv);
	bail("cannot start again");
}

static void
trace_kill(struct trace *t)
{
	if (t->state == TRACE_GONE)
		return;
	kill(t->pid, SIGKILL);
	while (waitpid(t->pid, NULL, __WALL) == t->pid)
		; /* the last stop may be reported before the end */
	t->state = TRACE_GONE;
}

static void
trace_await(struct trace *t)
{
	const struct timespec limit = { TRACE_SECONDS, 0 };
	sigset_t child;
	pid_t got;
	int status;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while ((got = waitpid(t->pid, &status, __WALL | WNOHANG)) == 0)
		if (sigtimedwait(&child, NULL, &limit) < 0 && errno == EAGAIN) {
			trace_kill(t);
			return;
		}
	if (got < 0 || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
		if (got > 0 && WIFSTOPPED(status)) /* a fault of its own */
			trace_kill(t);
		t->state = TRACE_GONE;
		return;
	}
	t->state = __atomic_load_n(t->done, __ATOMIC_SEQ_CST) ? TRACE_DONE
							      : TRACE_HALTED;
}

/* fork() whose child is traced: 1 in the child; 0 in the parent, once the
 * child has come to trace_begin(). */
static int
trace_start(struct trace *t, int *done)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	*done = 0;
	t->done = done;
	t->pid = tap_fork();
	if (t->pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(1);
		return 1;
	}
	trace_await(t);
	return 0;
}

#define TRACE_REGISTER(name) \
	((void *)offsetof(struct user, regs.name)) /* for PEEKUSER */

static uintptr_t
trace_pc(const struct trace *t)
{
	return (uintptr_t)ptrace(PTRACE_PEEKUSER, t->pid, TRACE_REGISTER(rip),
				 NULL);
}

static void
trace_continue(struct trace *t)
{
	if (ptrace(PTRACE_CONT, t->pid, NULL, NULL))
		t->state = TRACE_GONE;
	else
		trace_await(t);
}

static void
trace_single(struct trace *t)
{
	if (ptrace(PTRACE_SINGLESTEP, t->pid, NULL, NULL))
		t->state = TRACE_GONE;
	else
		trace_await(t);
}

/* Run to an address, past it `times` times. The child is a copy of us: our
 * own text tells what the breakpoint overwrites there. */
static void
trace_run_to(struct trace *t, uintptr_t pc, uint32_t times)
{
	long text, trap;

	memcpy(&text, (void *)pc, sizeof(text));
	trap = (text & ~0xffL) | 0xcc;
	for (;;) {
		if (ptrace(PTRACE_POKETEXT, t->pid, (void *)pc, (void *)trap))
			bail("no breakpoint there");
		trace_continue(t);
		if (t->state != TRACE_HALTED)
			return;
		ptrace(PTRACE_POKETEXT, t->pid, (void *)pc, (void *)text);
		ptrace(PTRACE_POKEUSER, t->pid, TRACE_REGISTER(rip),
		       (void *)pc);
		if (times-- == 0)
			return;
		trace_single(t);
		if (t->state != TRACE_HALTED)
			return;
	}
}

/* One step: see above. A library function ends at its return address. */
static void
trace_step(struct trace *t)
{
	extern const char __executable_start[], etext[];
	uintptr_t pc;
	long stack;

	trace_single(t);
	if (t->state != TRACE_HALTED)
		return;
	pc = trace_pc(t);
	if (pc >= (uintptr_t)__executable_start && pc < (uintptr_t)etext)
		return;
	stack = ptrace(PTRACE_PEEKUSER, t->pid, TRACE_REGISTER(rsp), NULL);
	trace_run_to(
		t,
		(uintptr_t)ptrace(PTRACE_PEEKDATA, t->pid, (void *)stack, NULL),
		0);
}

static void
trace_record(struct trace *t, struct trace_path *path)
{
	for (path->count = 0;
	     t->state == TRACE_HALTED && path->count < TRACE_STEPS;
	     path->count++) {
		path->pc[path->count] = trace_pc(t);
		path->seen[path->count] = 0;
		for (size_t i = path->count; i-- > 0;)
			if (path->pc[i] == path->pc[path->count]) {
				path->seen[path->count] = path->seen[i] + 1;
				break;
			}
		trace_step(t);
	}
}

/* Halt after `steps` steps. Single steps are dear: where the path is known,
 * run to a breakpoint first, as far as its address has not come too often. */
static void
trace_reach(struct trace *t, const struct trace_path *path, size_t steps)
{
	size_t from = 0, best = steps;

	for (size_t i = 1; path && i <= steps && i < path->count; i++) {
		size_t cost = 4 * ((size_t)path->seen[i] + 1) + steps - i;
		if (cost < best) {
			best = cost;
			from = i;
		}
	}
	if (from)
		trace_run_to(t, path->pc[from], path->seen[from]);
	while (t->state == TRACE_HALTED && from++ < steps)
		trace_step(t);
}

/* Let it go on to the end of its operation. */
static void
trace_finish(struct trace *t)
{
	if (t->state == TRACE_HALTED)
		trace_continue(t);
}

#endif /* TRACE_H */
