/* SPDX-License-Identifier: MIT
 *
 * sim.h - processes as coroutines, and who of them goes on
 *
 * A task is a process. It runs until a decision takes the CPU away from it,
 * which can be before any access to shared memory and any system call (a
 * step), or until it sleeps or ends. Decisions are drawn from the seed, or
 * replayed from a list; nothing else is random, so that both give the same
 * run. A decision is named by its place: before access N of operation O of
 * actor A. Such names outlive the removal of other decisions, which is how
 * failures are made small.
 */
#ifndef SIM_H
#define SIM_H

enum {
	ACTORS = 6,
	TASKS = ACTORS + 1, /* the last comes when all is over: the visitor */
	STACK = 1 << 16,
	ARENA = 1 << 19, /* bytes of shared memory */
	STEP_NS = 100, /* simulated time of a step */
	STEPS_MOST = 200000, /* of a run: who needs more, loops for ever */
	DECISIONS_MOST = 16384,
	BUFFER = 8, /* stores under way, TSO */
	SITES = 4096, /* lines of code that access something, more or less */
};
#define MS INT64_C(1000000)
#define SIM_RARELY(condition) __builtin_expect(!!(condition), 0)

/* What is accessed, so that decisions can prefer what is rare. */
enum class {
	C_OUTSIDE, /* of the segment: always an error */
	C_DATA,
	C_PHASE, /* A */
	C_STATE, /* S */
	C_ATTN,
	C_WAITERS,
	C_INDEX,
	C_STATUS,
	C_INTENT,
	C_COUNTER,
	C_HEADER,
	C_SYSTEM, /* a call into the kernel: locks, futexes, names */
	CLASSES
};

enum { D_SWITCH, D_NEXT, D_KILL, D_STOP, D_DRAIN };
static const char *const decision_names[] = { "switch", "next",	 "kill",
					      "stop",	"drain", NULL };

struct decision { /* before this access of this operation of this actor */
	uint32_t actor, op, access, kind, target;
	uint32_t n; /* stop: for so many steps, 0: for ever; drain: stores */
	uint32_t used; /* when it is replayed */
};

enum { T_NONE, T_READY, T_ASLEEP, T_DONE };

struct store { /* under way: part of a word of 8 bytes */
	uint64_t *word, value, mask;
};

struct task {
	void *stack_pointer;
	int state, stopped;
	int64_t until; /* asleep: when the timer fires */
	const void *futex; /* asleep on it */
	int timed_out;
	uint64_t resume_at; /* stopped: step, 0: never */
	int64_t resumed; /* when it last went on */
	uint32_t op; /* the operation under way */
	uint64_t begun; /* the step at which it began */
	uint64_t base, ran; /* steps of it: since base; while others run, ran */
	int64_t priority; /* PCT */
	uint32_t pid, start, zombie;
	int stirred; /* has changed a word of waiters in this operation */
	int copies; /* of messages, made in this operation */
	struct store buffer[BUFFER];
	int stores;
};

static struct {
	/* what every step needs */
	int32_t quantum, slow; /* slow: TSO, or traced */
	uint64_t steps;
	uintptr_t arena;
	const uint8_t *class_of; /* of 8 bytes of a file */
	int32_t weight[CLASSES]; /* of a step: how soon another may go on */
	uint8_t armed[SITES]; /* the next victim is caught here */
	unsigned armed_class; /* or at any of these */
	/* the rest */
	struct task *me, task[TASKS];
	void *main_pointer, *nowhere;
	int64_t jumped; /* simulated time besides the steps */
	int64_t pause_ns;
	uint64_t random; /* the scheduler's */
	int quiet; /* no decisions any more */
	int replay, trace, tso, pct;
	uint32_t mean; /* steps between two decisions */
	uint64_t change_at; /* PCT */
	int64_t lowest;
	int victims, kind[8], count; /* to come, so far */
	uint32_t nth; /* the next is caught when it comes there so often */
	struct task *caught; /* the next victim, in so many steps of its own */
	uint32_t delay;
	uint64_t armed_until; /* then elsewhere */
	unsigned kills, stops; /* so far */
	unsigned stirred; /* stops of those who might have woken others */
	unsigned limit; /* TSO: stores under way */
	struct decision decision[DECISIONS_MOST];
	int decisions, first[TASKS]; /* not yet replayed, of each task */
	const char *failure; /* its kind, one word */
	char detail[256];
} sim;

static char sim_stacks[TASKS][STACK] __attribute__((aligned(4096)));

/* ---- Chance, time ---- */

static inline uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint32_t
draw(uint64_t *random, uint32_t below)
{
	*random += UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)((mix(*random) >> 32) * below >> 32);
}

static inline uint32_t
chance(uint32_t below)
{
	return draw(&sim.random, below);
}

static inline int64_t
sim_now(void)
{
	return sim.jumped + (int64_t)sim.steps * STEP_NS;
}

static inline unsigned
number_of(const struct task *t)
{
	return (unsigned)(t - sim.task);
}

static inline uint32_t
access_of(const struct task *t)
{
	return (uint32_t)(t == sim.me ? sim.steps - t->base : t->ran);
}

#define EACH_TASK(t) for (struct task *t = sim.task; t < sim.task + TASKS; t++)

/* ---- Coroutines ---- */

/* Store the stack pointer there, go on with that one. */
void sim_switch(void **from, void *to);
__asm__(".text\n.globl sim_switch\n.type sim_switch,@function\nsim_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
	".size sim_switch,.-sim_switch\n");

static void
sim_prepare(struct task *t, void (*body)(void))
{
	void **frame = (void **)(void *)(sim_stacks[number_of(t)] + STACK) - 8;

	memset(frame, 0, 6 * sizeof(*frame)); /* registers; then where to */
	memcpy(&frame[6], &body, sizeof(body));
	t->stack_pointer = frame;
	t->state = T_READY;
	t->ran = 0;
}

__attribute__((format(printf, 1, 2))) static void
trace(const char *format, ...)
{
	va_list arguments;

	if (!SIM_RARELY(sim.trace))
		return;
	printf("%11.4f ms ", (double)(sim_now() - 1000 * MS) / 1e6);
	if (sim.me)
		printf("%u.%u.%-3u ", number_of(sim.me), sim.me->op,
		       access_of(sim.me));
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

/* The run has shown a fault: kind is one word. Nobody goes on. */
__attribute__((format(printf, 2, 3), noreturn)) static void
fail(const char *kind, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sim.detail, sizeof(sim.detail), format, arguments);
	va_end(arguments);
	sim.failure = kind;
	trace("FAILED %s: %s", kind, sim.detail);
	sim_switch(&sim.nowhere, sim.main_pointer);
	abort();
}

/* ---- Who goes on ---- */

static void memory_drain(struct task *t, int stores); /* memory.h */
static void task_killed(struct task *t); /* actors.h */

static void
memory_drain_all(void)
{
	EACH_TASK (t)
		memory_drain(t, BUFFER);
}

static inline int
is_ready(const struct task *t)
{
	return t->state == T_READY && !t->stopped;
}

/* Leave this stack for another's, or for the simulator's. */
static void
sim_enter(void **from, struct task *t)
{
	sim.me = t;
	if (t)
		t->base = sim.steps - t->ran;
	sim_switch(from, t ? t->stack_pointer : sim.main_pointer);
}

static void
sim_go(struct task *t)
{
	struct task *me = sim.me;

	if (t == me)
		return;
	if (me)
		me->ran = sim.steps - me->base;
	sim_enter(me ? &me->stack_pointer : &sim.main_pointer, t);
}

/* A function of time alone, so that it does not matter when we look. */
static void
sim_timers(void)
{
	EACH_TASK (t) {
		if (t->stopped && t->resume_at && sim.steps >= t->resume_at) {
			t->stopped = 0;
			t->resumed = sim_now();
			trace("actor %u goes on", number_of(t));
		}
		if (t->state == T_ASLEEP && t->until <= sim_now()) {
			t->state = T_READY;
			t->timed_out = 1;
		}
	}
}

/* The decision of this kind (or of any but D_NEXT) that belongs here. */
static struct decision *
sim_recall(int next)
{
	struct task *me = sim.me;
	int *first = &sim.first[number_of(me)];

	for (int i = *first; i < sim.decisions; i++) {
		struct decision *d = &sim.decision[i];
		if (d->actor != number_of(me) || d->used)
			continue;
		if (d->op < me->op ||
		    (d->op == me->op && d->access < access_of(me))) {
			*first = i + 1;
			continue;
		}
		if (d->op > me->op || d->access > access_of(me))
			return NULL;
		if ((d->kind == D_NEXT) == next) {
			d->used = 1;
			return d;
		}
	}
	return NULL;
}

static void
sim_note(int kind, const struct task *target, uint32_t n)
{
	if (!sim.replay && !sim.quiet && sim.decisions < DECISIONS_MOST)
		sim.decision[sim.decisions++] =
			(struct decision){ number_of(sim.me),
					   sim.me->op,
					   access_of(sim.me),
					   (uint32_t)kind,
					   number_of(target),
					   n,
					   0 };
}

/* The next after me, in a circle, or the one with the highest priority, or
 * any. */
static struct task *
sim_choose(void)
{
	struct task *ready[TASKS], *best = NULL;
	unsigned count = 0, after = sim.me ? number_of(sim.me) : TASKS - 1;

	for (unsigned i = 1; i <= TASKS; i++) {
		struct task *t = &sim.task[(after + i) % TASKS];
		if (!is_ready(t))
			continue;
		ready[count++] = t;
		if (!best || t->priority > best->priority)
			best = t;
	}
	if (count == 0 || sim.replay || sim.quiet || !sim.me)
		return count ? ready[0] : NULL;
	return sim.pct ? best : ready[count == 1 ? 0 : chance(count)];
}

/* Who goes on when I cannot; if need be, when time has passed. NULL: all have
 * ended or stand. */
static struct task *
sim_next(void)
{
	struct task *t, *first, *late;
	struct decision *d;

	for (;;) {
		sim_timers();
		t = sim_choose();
		if (t)
			break;
		first = late = NULL;
		EACH_TASK (x) {
			if (x->stopped && x->resume_at &&
			    (!late || x->resume_at < late->resume_at))
				late = x;
			if (x->state == T_ASLEEP && !x->stopped &&
			    (!first || x->until < first->until))
				first = x;
		}
		if (first) { /* in that time every store gets through */
			sim.jumped += first->until - sim_now();
			memory_drain_all();
		} else if (late) {
			late->resume_at = sim.steps;
		} else {
			return NULL;
		}
	}
	if (sim.steps > STEPS_MOST)
		fail("endless", "%d steps", STEPS_MOST);
	if (sim.me && sim.replay) {
		d = sim_recall(1);
		if (d && is_ready(&sim.task[d->target]))
			t = &sim.task[d->target];
	} else if (sim.me) {
		sim_note(D_NEXT, t, 0);
	}
	return t;
}

/* Never to come back to this stack. */
static __attribute__((noreturn)) void
sim_end(void)
{
	sim_enter(&sim.nowhere, sim_next());
	abort();
}

static void
sim_sleep(const void *futex, int64_t until)
{
	struct task *me = sim.me;

	memory_drain(me, BUFFER);
	me->state = T_ASLEEP;
	me->futex = futex;
	me->until = until;
	me->timed_out = 0;
	sim_go(sim_next());
	if (me->timed_out)
		memory_drain_all();
}

/* ---- Decisions ---- */

/* Where the next victim is caught: at some lines of the header, so that what
 * is seldom done counts as much as what is done all the time. */
static void
sim_arm(void)
{
	memset(sim.armed, 0, sizeof(sim.armed));
	sim.armed_class = CLASSES;
	sim.caught = NULL;
	if (sim.count == sim.victims || sim.replay || sim.quiet)
		return;
	if (chance(3) == 0) { /* or at an access of one class */
		sim.armed_class = 1 + chance(CLASSES - 1);
		sim.nth = chance(1u << chance(7));
	} else {
		for (uint32_t lines = 32u << chance(4); lines; lines--)
			sim.armed[chance(SITES)] = 1;
		sim.nth = chance(3) ? 0 : chance(8);
	}
	sim.armed_until = sim.steps + 20 + chance(300);
}

static void
sim_apply(uint32_t kind, struct task *t, uint32_t n)
{
	if (t->state == T_NONE || t->state == T_DONE ||
	    (kind == D_STOP && t->stopped))
		return;
	if (kind == D_DRAIN) {
		memory_drain(t, (int)n);
		return;
	}
	memory_drain(t, BUFFER);
	trace("actor %u is %s", number_of(t),
	      kind == D_KILL ? "KILLED" : "STOPPED");
	if (kind == D_KILL) {
		sim.kills++;
		task_killed(t); /* a new one in its place, or none */
		t->stopped = 0;
		if (t == sim.me)
			sim_end();
	} else {
		sim.stops++;
		sim.stirred += t->stirred || t->state == T_ASLEEP;
		t->stopped = 1;
		t->resume_at = n ? sim.steps + n : 0;
		if (t == sim.me)
			sim_go(sim_next());
	}
}

/* The next victim: mostly who is caught at this access. */
static void
sim_strike(struct task *t)
{
	int kind = sim.kind[sim.count++];
	uint32_t n = 0;

	sim_arm();
	if (chance(8) == 0)
		t = &sim.task[chance(ACTORS)];
	if (t->state == T_NONE || t->state == T_DONE)
		return;
	if (kind == D_STOP && chance(4))
		n = 20 + chance(64u << chance(7));
	sim_note(kind, t, n);
	sim_apply((uint32_t)kind, t, n);
}

/* Who is caught is struck right there, or after the access, or a while later:
 * until then every step of anybody comes here. */
static void
sim_catch(struct task *me)
{
	if (!sim.caught && sim.nth-- == 0) {
		sim.caught = me;
		sim.delay = chance(4);
		sim.delay = sim.delay < 3 ? sim.delay / 2 : chance(32);
		memset(sim.armed, 1, sizeof(sim.armed));
	}
	if (sim.caught == me && sim.delay-- == 0)
		sim_strike(me);
}

/* The time of who runs is over. */
static void
sim_preempt(void)
{
	struct task *t;

	sim_timers();
	if (!sim.caught && sim.steps >= sim.armed_until)
		sim_arm();
	if (sim.pct && sim.steps >= sim.change_at) {
		sim.me->priority = --sim.lowest;
		sim.change_at = sim.steps + 1 + chance(1u << chance(11));
	}
	EACH_TASK (x)
		if (x->stores && chance(3) == 0) {
			uint32_t n = 1 + chance((uint32_t)x->stores);
			sim_note(D_DRAIN, x, n);
			memory_drain(x, (int)n);
		}
	t = sim_choose();
	sim.quantum = sim.pct ? (int32_t)(sim.change_at - sim.steps)
			      : (int32_t)chance(2 * sim.mean);
	if (t && t != sim.me) {
		sim_note(D_SWITCH, t, 0);
		sim_go(t);
	}
}

static void
sim_repeat(struct task *me)
{
	struct decision *d;

	sim.quantum = 0; /* come again at the next step */
	while (!sim.quiet && sim.me == me && (d = sim_recall(0)) != NULL) {
		struct task *t = &sim.task[d->target];
		sim_timers();
		if (d->kind != D_SWITCH)
			sim_apply(d->kind, t, d->n);
		else if (is_ready(t))
			sim_go(t);
	}
}

/* Before a step, now and then. */
static __attribute__((noinline)) void
sim_point(unsigned class, unsigned site)
{
	struct task *me = sim.me;

	if (class == C_OUTSIDE)
		fail("outside", "an access outside the segment");
	if (sim.steps > STEPS_MOST)
		fail("endless", "%d steps", STEPS_MOST);
	if (sim.replay || sim.quiet) {
		sim.quantum = 2000;
		if (sim.replay)
			sim_repeat(me);
		return;
	}
	if (sim.armed[site] || class == sim.armed_class)
		sim_catch(me);
	if (sim.quantum < 0)
		sim_preempt();
}

static inline void
sim_step(unsigned class, unsigned line)
{
	unsigned site = (line + 331 * class) % SITES;

	if (SIM_RARELY(sim.armed[site] | (class == sim.armed_class) |
		       ((sim.quantum -= sim.weight[class]) < 0)))
		sim_point(class, site);
	sim.steps++;
}

static void
sim_pause(void)
{
	sim.jumped += sim.pause_ns;
	sim.quantum -= 4;
	if (sim.pct && !sim.replay && !sim.quiet) { /* no use in spinning */
		sim.me->priority = --sim.lowest;
		sim.quantum = -1;
	}
}

#endif /* SIM_H */
