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
	ARENA = 1 << 18, /* bytes of shared memory */
	STEP_NS = 100, /* simulated time of a step */
	/* Of a run: who needs more, loops for ever. A long wait on several, a
	 * look a millisecond, has 70,000. */
	STEPS_MOST = 1000000,
	DECISIONS_MOST = 16384,
	BUFFER = 8, /* stores under way, TSO */
	FUTEXES = 3,
	SITES = 8192, /* pairs of lines that access something */
	LOOK = 1 << 30, /* weight of a step at which we have to look */
};
#define MS INT64_C(1000000)
#define NEVER UINT64_MAX
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

enum { D_SWITCH, D_KILL, D_STOP, D_HOLD, D_DRAIN };
static const char *const decision_names[] = { "switch", "kill",	 "stop",
					      "hold",	"drain", NULL };

struct decision { /* before this access of this operation of this actor */
	uint32_t actor, op, access, kind, target;
	/* drain: so many stores; stop: for so many steps, 0: for ever; hold:
	 * until words of class n / 100 have changed n % 50 times (C_SYSTEM:
	 * until so many operations have ended), n / 50 % 2: counted from when
	 * somebody is killed */
	uint32_t n;
	int used; /* when it is replayed */
};

enum { T_NONE, T_READY, T_ASLEEP, T_DONE };

struct task {
	void *stack_pointer;
	int state, stopped, timed_out;
	int64_t until; /* asleep: when the timer fires */
	const void *futex[FUTEXES]; /* asleep on any of them */
	const uint64_t *clock; /* stopped: until this comes to that */
	uint64_t resume_at;
	uint32_t mourns; /* stopped: until so many changes after a death */
	int64_t resumed; /* when it last went on */
	unsigned line; /* of its last access */
	uint32_t op; /* the operation under way */
	uint64_t begun; /* the step at which it began */
	uint64_t base, ran; /* steps of it: since base; while others run, ran */
	int64_t priority;
	uint32_t pid, start, zombie;
	int stirred; /* has changed a word of waiters in this operation */
	int copies; /* of messages, made in this operation */
	size_t unit; /* of an array, whose messages may be copied at once */
	int signals, signalled; /* on their way; one has ended the sleep */
	struct task *partner; /* I act as a thread of its process */
	struct store { /* under way: part of a word of 8 bytes */
		uint64_t *word, value, mask;
	} buffer[BUFFER];
	int stores;
};

static struct {
	/* what every step needs */
	uint64_t steps;
	uintptr_t arena, handles, handles_size;
	int32_t quantum, slow; /* slow: TSO, or traced */
	uint32_t salt, density; /* some lines, by chance, are armed: */
	unsigned awaited; /* classes whose change lets somebody go on */
	unsigned armed_class; /* the next victim is caught there, or here */
	unsigned armed_change; /* or when it has changed a word of this class */
	int32_t weight[CLASSES]; /* of a step: how soon another may go on */
	uint8_t fresh[SITES]; /* nobody has been there in this run */
	/* the rest */
	struct task *me, task[TASKS];
	unsigned ready; /* tasks, a bit each */
	uint64_t due; /* no timer ends before this step */
	uint64_t clock[CLASSES]; /* changes of words, ends of operations */
	void *main_pointer, *nowhere;
	int64_t jumped; /* simulated time besides the steps */
	int64_t paused; /* of that, while somebody span */
	int64_t pause_ns;
	uint64_t random; /* the scheduler's */
	int replay, quiet, trace; /* quiet: no decisions */
	int ranked; /* who has the highest priority runs, else anybody */
	uint32_t mean; /* steps between two decisions */
	int64_t lowest; /* priority so far */
	unsigned victims, count, kills, stops; /* to come; so far */
	unsigned stirred; /* stops of those who might have woken others */
	int by_fresh; /* caught where nobody has been */
	uint32_t nth; /* the next is caught when it comes there so often */
	int firm; /* no decision at the next step */
	struct task *next; /* who has just gone on shall run at once */
	struct task *caught; /* the next victim, in so many steps of its own */
	uint32_t delay;
	uint64_t armed_until; /* then elsewhere */
	unsigned limit; /* TSO: stores under way */
	struct decision decision[DECISIONS_MOST];
	int decisions, first[TASKS]; /* not yet replayed, of each task */
	const char *failure; /* its kind, one word */
	char detail[256];
} sim;

static char sim_stacks[TASKS][STACK] __attribute__((aligned(4096)));

#define EACH_TASK(t) for (struct task *t = sim.task; t < sim.task + TASKS; t++)

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

/* What recovery decides by. */
static int
is_rare(unsigned class)
{
	return class == C_STATE || class == C_STATUS;
}

/* ---- Coroutines ---- */

/* Store the stack pointer there, go on with that one. */
void sim_switch(void **from, void *to);
__asm__(".text\n.globl sim_switch\n.type sim_switch,@function\nsim_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
	".size sim_switch,.-sim_switch\n");

__attribute__((format(printf, 1, 2))) static void
trace_line(const char *format, ...)
{
	va_list arguments;

	printf("%11.4f ms ", (double)(sim_now() - 1000 * MS) / 1e6);
	if (sim.me)
		printf("%u.%u.%-3u ", number_of(sim.me), sim.me->op,
		       access_of(sim.me));
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}
#define trace(...) (SIM_RARELY(sim.trace) ? trace_line(__VA_ARGS__) : (void)0)

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
static void task_signalled(struct task *t);

static void
memory_drain_all(void)
{
	EACH_TASK (t)
		memory_drain(t, BUFFER);
}

static void
task_is(struct task *t, int state, int stopped)
{
	unsigned bit = 1u << number_of(t);

	if (t->stopped && !stopped)
		t->resumed = sim_now();
	t->state = state;
	t->stopped = stopped;
	sim.due = 0;
	sim.ready =
		(sim.ready & ~bit) | (state == T_READY && !stopped ? bit : 0);
}

static void
sim_prepare(struct task *t, void (*body)(void))
{
	void **frame = (void **)(void *)(sim_stacks[number_of(t)] + STACK) - 8;

	memset(frame, 0, 6 * sizeof(*frame)); /* registers; then where to */
	memcpy(&frame[6], &body, sizeof(body));
	t->stack_pointer = frame;
	t->ran = 0;
	task_is(t, T_READY, 0);
}

/* Leave this stack for another task's or, NULL, for the simulator's. */
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
	if (me && me->signals)
		task_signalled(me);
}

/* The next victim, in so many steps of its own; until then every step of anybody
 * comes to sim_point(). */
static void
sim_catch(struct task *t, uint32_t delay)
{
	sim.caught = t;
	sim.delay = delay;
	sim.density = UINT32_MAX;
}

/* What it waited for has just been changed, which is when it does most harm: let
 * it go on at once, and be caught again soon. */
static void
sim_pursue(struct task *t)
{
	if (sim.replay || sim.quiet || chance(4) == 0)
		return;
	sim.next = t;
	if (sim.count < sim.victims && chance(2))
		sim_catch(t, chance(6));
}

/* A function of time alone, so that it does not matter when we look. */
static void
sim_timers(void)
{
	int64_t now = sim_now();
	uint64_t due = NEVER;

	if (sim.steps < sim.due)
		return;
	EACH_TASK (t) {
		if (t->stopped && *t->clock >= t->resume_at) {
			task_is(t, t->state, 0);
			if (t->clock != &sim.steps)
				sim_pursue(t);
			trace("actor %u goes on", number_of(t));
		}
		if (t->state == T_ASLEEP && t->until <= now) {
			task_is(t, T_READY, t->stopped);
			t->timed_out = 1;
		}
		if (t->stopped && t->resume_at != NEVER)
			due = sim.steps; /* its clock may go on any time */
		else if (t->state == T_ASLEEP && !t->stopped &&
			 sim.steps + (uint64_t)(t->until - now) / STEP_NS < due)
			due = sim.steps + (uint64_t)(t->until - now) / STEP_NS;
	}
	sim.due = due;
}

/* The decision that belongs here, a switch only, or any. */
static struct decision *
sim_recall(int only_switch)
{
	struct task *me = sim.me;
	int *first = &sim.first[number_of(me)];

	for (int i = *first; i < sim.decisions; i++) {
		struct decision *d = &sim.decision[i];
		int64_t behind = d->op == me->op
					 ? (int64_t)d->access - access_of(me)
					 : (int64_t)d->op - me->op;
		if (d->actor != number_of(me) || d->used)
			continue;
		if (behind > 0)
			return NULL;
		if (behind < 0)
			*first = i + 1;
		else if (d->kind == D_SWITCH || !only_switch)
			return d->used = 1, d;
	}
	return NULL;
}

static void
sim_note(unsigned kind, const struct task *target, uint32_t n)
{
	if (!sim.replay && !sim.quiet && sim.decisions < DECISIONS_MOST)
		sim.decision[sim.decisions++] =
			(struct decision){ number_of(sim.me),
					   sim.me->op,
					   access_of(sim.me),
					   kind,
					   number_of(target),
					   n,
					   0 };
}

/* The next after me, in a circle, or the one with the highest priority, or
 * any. */
static struct task *
sim_choose(void)
{
	unsigned after = sim.me ? number_of(sim.me) + 1 : 0, ready = sim.ready;
	struct task *best = NULL;

	if (sim.replay || sim.quiet || !sim.me) {
		ready |= ready << TASKS;
		return sim.ready ? &sim.task[(unsigned)__builtin_ctz(
						     ready >> after << after) %
					     TASKS]
				 : NULL;
	}
	if (sim.next) {
		best = sim.next;
		sim.next = NULL;
		if (ready & 1u << number_of(best))
			return best;
		best = NULL;
	}
	if (sim.ranked) {
		for (; ready; ready &= ready - 1) {
			struct task *t = &sim.task[__builtin_ctz(ready)];
			if (!best || t->priority > best->priority)
				best = t;
		}
		return best;
	}
	for (uint32_t n = ready & (ready - 1)
				  ? chance((uint32_t)__builtin_popcount(ready))
				  : 0;
	     n; n--)
		ready &= ready - 1;
	return ready ? &sim.task[__builtin_ctz(ready)] : NULL;
}

/* Nobody can go on: let time pass. 0: in vain. */
static int
sim_jump(void)
{
	struct task *first = NULL, *late = NULL;

	EACH_TASK (t) {
		if (t->stopped && t->resume_at != NEVER && !late)
			late = t;
		if (t->state == T_ASLEEP && !t->stopped &&
		    (!first || t->until < first->until))
			first = t;
	}
	if (first) { /* in that time every store gets through */
		sim.jumped += first->until - sim_now();
		memory_drain_all();
	} else if (late) {
		task_is(late, late->state, 0);
	}
	sim.due = 0;
	return first || late;
}

/* Who goes on when I cannot. NULL: all have ended or stand. */
static struct task *
sim_next(void)
{
	struct task *t;
	struct decision *d;

	for (sim_timers(); !(t = sim_choose()); sim_timers())
		if (!sim_jump())
			return NULL;
	if (sim.steps > STEPS_MOST)
		fail("endless", "%d steps", STEPS_MOST);
	if (sim.me && sim.replay) {
		d = sim_recall(1);
		if (d && sim.ready & 1u << d->target)
			t = &sim.task[d->target];
	} else if (sim.me) {
		sim_note(D_SWITCH, t, 0);
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
	me->futex[0] = futex;
	me->until = until;
	me->timed_out = me->signalled = 0;
	task_is(me, T_ASLEEP, 0);
	sim_go(sim_next());
	memset(me->futex, 0, sizeof(me->futex));
	if (me->timed_out)
		memory_drain_all();
}

/* ---- Decisions ---- */

static void
sim_disarm(void)
{
	sim.armed_class = sim.armed_change = CLASSES;
	sim.density = 0;
	sim.caught = NULL;
	sim.by_fresh = 0;
}

/* Where the next victim is caught: at an access of one class; soon after it has
 * changed such a word, for then it has something in hands; at some lines of the
 * header, so that what is seldom done counts as much as what is done all the
 * time; or at a rare word, on a way that nobody has come before: after the
 * first victim, that is where others recover what it left. */
static void
sim_arm(void)
{
	static const uint8_t classes[] = { C_DATA,   C_DATA,	C_PHASE,
					   C_PHASE,  C_STATE,	C_STATE,
					   C_ATTN,   C_STATUS,	C_INDEX,
					   C_INTENT, C_WAITERS, C_COUNTER,
					   C_HEADER, C_SYSTEM };
	static const uint8_t changes[] = { C_INDEX, C_INDEX, C_INDEX, C_STATE,
					   C_STATUS };

	sim_disarm();
	if (sim.count == sim.victims || sim.replay || sim.quiet)
		return;
	sim.armed_until = sim.steps + 20 + chance(300);
	sim.by_fresh = sim.kills + sim.stops && chance(2);
	if (sim.by_fresh) {
		sim.armed_until += 600;
		sim.nth = chance(1u << chance(6));
	} else if (chance(3) == 0) {
		sim.armed_change = changes[chance(sizeof(changes))];
		sim.nth = chance(1u << chance(5));
	} else if (chance(2)) {
		sim.armed_class = classes[chance(sizeof(classes))];
		sim.nth = chance(1u << chance(7));
	} else {
		sim.salt = 1 | chance(UINT32_MAX);
		sim.density = UINT32_C(1) << (25 + chance(4));
		sim.nth = chance(3) ? 0 : chance(8);
	}
}

static struct task *
task_partner(struct task *t)
{
	EACH_TASK (x)
		if (x->partner == t)
			return x;
	return t->partner;
}

/* With all threads of its process. A new one comes in its place, or none. 1: it
 * was me. */
static int
sim_kill(struct task *t)
{
	struct task *of = t->partner;
	int me = t == sim.me;

	t->partner = NULL;
	sim.kills++;
	EACH_TASK (x)
		if (x->mourns) {
			x->resume_at = *x->clock + x->mourns;
			x->mourns = 0;
		}
	task_killed(t);
	EACH_TASK (x)
		if (x == of || x->partner == t) {
			x->partner = NULL;
			trace("actor %u, too", number_of(x));
			memory_drain(x, BUFFER); /* it has stored that */
			me |= sim_kill(x);
		}
	return me;
}

static void
sim_apply(uint32_t kind, struct task *t, uint32_t n)
{
	if (t->state == T_NONE || t->state == T_DONE ||
	    ((kind == D_STOP || kind == D_HOLD) && t->stopped))
		return;
	memory_drain(t, kind == D_DRAIN ? (int)n : BUFFER);
	if (kind == D_DRAIN)
		return;
	trace("actor %u is %s (%u)", number_of(t),
	      kind == D_KILL ? "KILLED" : "STOPPED", n);
	if (kind == D_KILL) {
		if (sim_kill(t))
			sim_end();
		return;
	}
	if (task_partner(t)) { /* one thread alone goes on some day */
		kind = D_STOP;
		n = 1000;
	}
	sim.stops++;
	sim.stirred += t->stirred || t->state == T_ASLEEP;
	t->clock = kind == D_STOP ? &sim.steps : &sim.clock[n / 100 % CLASSES];
	t->resume_at = !n ? NEVER : *t->clock + (kind == D_STOP ? n : n % 50);
	t->mourns = kind == D_HOLD && n / 50 % 2 ? n % 50 : 0;
	if (t->mourns)
		t->resume_at = NEVER - 1;
	if (kind == D_HOLD)
		sim.awaited |= 1u << n / 100 % CLASSES;
	task_is(t, t->state, 1);
	if (t == sim.me)
		sim_go(sim_next());
}

/* The next victim: mostly who is caught at this access. Who stands where others
 * recover goes on when they have changed what it was about to look at. */
static void
sim_strike(struct task *t, unsigned class)
{
	static const uint8_t rare[] = { C_STATE, C_STATUS, C_ATTN };
	unsigned n = 0, kind = D_KILL, length = chance(8);

	/* three of each at most */
	if (sim.kills == 3 ||
	    (sim.stops < 3 && chance(4) < (sim.by_fresh ? 3 : 1 + !!sim.count)))
		kind = length < (sim.by_fresh ? 2 : 5) ? D_STOP : D_HOLD;
	sim.count++;
	sim_arm();
	if (chance(8) == 0)
		t = &sim.task[chance(ACTORS)];
	if (t->state == T_NONE || t->state == T_DONE)
		return;
	if (kind == D_STOP && length)
		n = 20 + chance(64u << chance(7));
	if (kind == D_HOLD)
		n = 1 + chance(4) + 50u * (sim.kills < 3 && chance(2)) +
		    100u * (!is_rare(class)  ? (unsigned)C_SYSTEM
			    : chance(2) == 0 ? class
					     : rare[chance(3)]);
	if (kind == D_HOLD && n / 50 % 2 && chance(2)) {
		sim_disarm(); /* the others come round meanwhile */
		sim.armed_until = sim.steps + chance(2000);
	}
	sim_note(kind, t, n);
	sim_apply(kind, t, n);
}

/* Who comes to the place is struck right there, or after the access, or a while
 * later. */
static void
sim_caught(struct task *me, unsigned class)
{
	if (!sim.caught && sim.nth-- == 0) {
		uint32_t delay = chance(4);
		sim_catch(me, delay < 3 ? delay / 2 : chance(32));
	}
	if (sim.caught == me && sim.delay-- == 0)
		sim_strike(me, class);
}

/* I have changed a word of the class. */
static void
sim_changed(void)
{
	if (!sim.caught && sim.nth-- == 0)
		sim_catch(sim.me, chance(8));
}

/* The time of who runs is over, which comes earlier at rare places. */
static void
sim_preempt(void)
{
	struct task *t;

	sim_timers();
	if (!sim.caught && sim.steps >= sim.armed_until)
		sim_arm();
	if (sim.slow)
		EACH_TASK (x)
			if (x->stores && chance(3) == 0) {
				uint32_t n = 1 + chance((uint32_t)x->stores);
				sim_note(D_DRAIN, x, n);
				memory_drain(x, (int)n);
			}
	if (sim.ranked)
		sim.me->priority = --sim.lowest;
	t = sim_choose();
	sim.quantum = (int32_t)(sim.ranked ? 1 + chance(1u << chance(11))
					   : chance(2 * sim.mean));
	if (t && t != sim.me) {
		sim_note(D_SWITCH, t, 0);
		sim_go(t);
	}
}

static void
sim_repeat(struct task *me)
{
	struct decision *d;

	while (sim.me == me && (d = sim_recall(0)) != NULL) {
		struct task *t = &sim.task[d->target];
		sim_timers();
		if (d->kind != D_SWITCH)
			sim_apply(d->kind, t, d->n);
		else if (sim.ready & 1u << d->target)
			sim_go(t);
	}
}

/* Before a step, now and then. */
static __attribute__((noinline)) void
sim_point(unsigned class, unsigned site, uint32_t hash)
{
	struct task *me = sim.me;
	int fresh = sim.fresh[site] && is_rare(class);

	sim.fresh[site] = 0;
	if (class == C_OUTSIDE)
		fail("outside", "an access outside the segment");
	if (sim.steps > STEPS_MOST)
		fail("endless", "%d steps", STEPS_MOST);
	if (sim.firm) {
		sim.firm = 0;
		return;
	}
	if (sim.replay || sim.quiet) {
		sim.quantum = sim.quiet ? 2000 : 0; /* at the next step */
		if (!sim.quiet)
			sim_repeat(me);
		return;
	}
	if (sim.caught ||
	    (sim.by_fresh ? fresh
			  : hash < sim.density || class == sim.armed_class))
		sim_caught(me, class);
	if (sim.quantum < 0)
		sim_preempt();
}

static inline void
sim_step(unsigned class, unsigned line)
{
	struct task *me = sim.me;
	unsigned site = (line ^ me->line * 31) % SITES;
	uint32_t hash = (line + class) * UINT32_C(0x9e3779b1) ^ sim.salt;

	if (SIM_RARELY((hash < sim.density) | (class == sim.armed_class) |
		       sim.fresh[site] |
		       ((sim.quantum -= sim.weight[class]) < 0)))
		sim_point(class, site, hash);
	me->line = line;
	sim.steps++;
}

static void
sim_pause(void)
{
	sim.jumped += sim.pause_ns;
	sim.paused += sim.pause_ns;
	sim.due = 0;
	sim.quantum =
		sim.ranked ? -1 : sim.quantum - 4; /* no use in spinning */
}

#endif /* SIM_H */
