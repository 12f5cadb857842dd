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
	TASKS = ACTORS + 1, /* and one who comes when all is over */
	NOBODY = TASKS, /* the simulator itself */
	STACK = 1 << 16,
	STEP_NS = 100, /* simulated time of a step */
	STEPS_MOST = 200000, /* of a run: who needs more, loops for ever */
	DECISIONS_MOST = 16384,
	BUFFER = 8, /* stores under way, TSO */
};
#define MS INT64_C(1000000)
#define NEVER INT64_MAX
#define SIM_RARELY(condition) __builtin_expect(!!(condition), 0)

/* What is accessed: so that decisions can prefer what is rare. */
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

enum { D_SWITCH, D_NEXT, D_KILL, D_STOP, D_DRAIN, DECISION_KINDS };
static const char *const decision_names[] = { "switch", "next", "kill", "stop",
					      "drain" };

struct decision { /* before this access of this operation of this actor */
	uint8_t actor, kind, target;
	uint8_t used; /* when it is replayed */
	uint16_t op;
	uint32_t access;
	uint32_t n; /* stop: for so many steps, 0: for ever; drain: stores */
};

enum { T_NONE, T_READY, T_ASLEEP, T_DONE };

struct store {
	uint64_t *word; /* all are kept as words of 8 bytes */
	uint64_t value, mask;
};

struct task {
	void *stack_pointer;
	int state, stopped;
	int64_t until; /* asleep: when the timer fires */
	const void *futex; /* asleep on it */
	int timed_out;
	uint64_t resume_at; /* stopped: step, 0: never */
	uint64_t base; /* the step before the first of its operation */
	uint64_t ran; /* steps of its operation, while others run */
	int pending; /* decision that comes at the next step */
	int64_t priority;
	uint16_t op; /* the one under way */
	uint64_t begun; /* the step at which it began */
	/* a process */
	uint32_t pid, start;
	int zombie; /* of the task's last life: the pid that is not reaped */
	int64_t resumed; /* when it last was */
	int stirred; /* has changed a word of waiters in this operation */
	unsigned copies; /* made from the segment in this operation */
	int fault; /* injected in this process's own life */
	struct store buffer[BUFFER];
	int stores;
};

static struct {
	/* what every step needs */
	int32_t quantum;
	int32_t slow; /* TSO, or traced */
	uint64_t steps;
	uintptr_t arena;
	const uint8_t *class_of;
	int32_t left[CLASSES], weight[CLASSES];
	/* the rest */
	struct task *me;
	struct task task[TASKS];
	void *main_pointer;
	int64_t pause_ns;
	int64_t jumped; /* simulated time besides the steps */
	uint64_t random; /* the scheduler's */
	int quiet; /* no decisions any more */
	int replay, trace, tso, pct;
	int32_t mean; /* steps between two decisions */
	uint64_t change_at; /* PCT */
	int64_t lowest;
	int victims, kind[8], count; /* to come; trigger on the next */
	int any; /* points until the next victim, anywhere */
	unsigned kills, stops; /* so far */
	unsigned stirred; /* stops of those who might have woken others */
	uint32_t pids;
	int pids_again; /* pids are used again at once */
	unsigned cpus, unfenced, limit; /* TSO: stores under way */
	struct decision decision[DECISIONS_MOST];
	int decisions, next[TASKS + 1];
	const char *failure; /* its kind, one word */
	char detail[256];
	uint64_t all_steps, all_kills, all_stops; /* of all runs */
} sim;

static char sim_stacks[TASKS][STACK] __attribute__((aligned(4096)));

/* ---- Chance ---- */

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

static inline int
number_of(const struct task *t)
{
	return (int)(t - sim.task);
}

static inline uint32_t
access_of(const struct task *t)
{
	return (uint32_t)(t == sim.me ? sim.steps - t->base : t->ran);
}

/* ---- Coroutines ---- */

/* Store the stack pointer there, go on with that one. */
void sim_switch(void **from, void *to);
#if defined(__x86_64__)
__asm__(".text\n.globl sim_switch\n.type sim_switch,@function\nsim_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
	".size sim_switch,.-sim_switch\n");
#define SIM_FRAME 8 /* words: six registers, the address, an end */
#define SIM_ADDRESS 6
#elif defined(__aarch64__)
__asm__(".text\n.globl sim_switch\n.type sim_switch,%function\nsim_switch:\n"
	"sub sp,sp,#160\n"
	"stp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\n"
	"stp x25,x26,[sp,#48]\nstp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\n"
	"stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\n"
	"stp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\n"
	"mov x2,sp\nstr x2,[x0]\nmov sp,x1\n"
	"ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\n"
	"ldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
	"ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\n"
	"ldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\n"
	"add sp,sp,#160\nret\n.size sim_switch,.-sim_switch\n");
#define SIM_FRAME 20
#define SIM_ADDRESS 11
#endif

static void
sim_prepare(struct task *t, void (*body)(void))
{
	void **frame = (void **)(void *)(sim_stacks[number_of(t)] + STACK);

	frame -= SIM_FRAME;
	memset(frame, 0, SIM_FRAME * sizeof(*frame));
	memcpy(&frame[SIM_ADDRESS], &body, sizeof(body));
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
		printf("%d.%d.%-3u ", number_of(sim.me), sim.me->op,
		       access_of(sim.me));
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

static void *sim_nowhere;

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
	sim_switch(&sim_nowhere, sim.main_pointer);
	abort();
}

/* ---- Who goes on ---- */

static void memory_drain(struct task *t, int stores); /* memory.h */
static void task_killed(struct task *t); /* actors.h */

static inline int
is_ready(const struct task *t)
{
	return t->state == T_READY && !t->stopped;
}

static void
sim_go(struct task *t)
{
	void **from = &sim.main_pointer;

	if (sim.me) {
		sim.me->ran = sim.steps - sim.me->base;
		from = &sim.me->stack_pointer;
	}
	if (t == sim.me)
		return;
	sim.me = t;
	if (t)
		t->base = sim.steps - t->ran;
	sim_switch(from, t ? t->stack_pointer : sim.main_pointer);
}

/* A function of time alone, so that it does not matter when we look. */
static void
sim_timers(void)
{
	int64_t now = sim_now();

	for (struct task *t = sim.task; t < sim.task + TASKS; t++) {
		if (t->stopped && t->resume_at && sim.steps >= t->resume_at) {
			t->stopped = 0;
			t->resumed = now;
			trace("actor %d goes on", number_of(t));
		}
		if (t->state == T_ASLEEP && t->until <= now) {
			t->state = T_READY;
			t->timed_out = 1;
		}
	}
}

static struct decision *
sim_recall(int kind)
{
	int who = number_of(sim.me);

	for (int i = sim.next[who]; i < sim.decisions; i++) {
		struct decision *d = &sim.decision[i];
		if (d->actor != who || d->used)
			continue;
		if (d->op > sim.me->op ||
		    (d->op == sim.me->op && d->access > access_of(sim.me)))
			return NULL;
		if (d->op < sim.me->op || d->access < access_of(sim.me)) {
			sim.next[who] = i + 1;
			continue;
		}
		if (kind < 0 ? d->kind != D_NEXT : d->kind == kind) {
			d->used = 1;
			return d;
		}
	}
	return NULL;
}

static void
sim_note(int kind, int target, uint32_t n)
{
	struct decision *d = &sim.decision[sim.decisions];

	if (sim.replay || sim.decisions == DECISIONS_MOST)
		return;
	sim.decisions++;
	*d = (struct decision){ (uint8_t)number_of(sim.me),
				(uint8_t)kind,
				(uint8_t)target,
				0,
				sim.me->op,
				access_of(sim.me),
				n };
}

/* The next after me, in a circle, or the one with the highest priority, or
 * any. */
static struct task *
sim_choose(int after)
{
	struct task *ready[TASKS], *best = NULL;
	unsigned count = 0;

	for (int i = 1; i <= TASKS; i++) {
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

/* Somebody who can go on, if need be later; NULL: all have ended or stand. */
static struct task *
sim_pick(void)
{
	for (;;) {
		struct task *t, *first = NULL, *late = NULL;
		sim_timers();
		t = sim_choose(sim.me ? number_of(sim.me) : TASKS - 1);
		if (t)
			return t;
		for (t = sim.task; t < sim.task + TASKS; t++) {
			if (t->stopped && t->resume_at &&
			    (!late || t->resume_at < late->resume_at))
				late = t;
			if (t->state == T_ASLEEP && !t->stopped &&
			    (!first || t->until < first->until))
				first = t;
		}
		if (first) {
			sim.jumped += first->until - sim_now();
			for (t = sim.task; t < sim.task + TASKS; t++)
				memory_drain(t, BUFFER);
		} else if (late) {
			late->resume_at = sim.steps;
		} else {
			return NULL;
		}
	}
}

/* Who goes on when I cannot. */
static struct task *
sim_next(void)
{
	struct task *t = sim_pick();

	if (t && sim.replay) {
		struct decision *d = sim_recall(D_NEXT);
		if (d && d->target < TASKS && is_ready(&sim.task[d->target]))
			t = &sim.task[d->target];
	} else if (t && !sim.quiet) {
		sim_note(D_NEXT, number_of(t), 0);
	}
	if (sim.steps > STEPS_MOST)
		fail("endless", "%d steps", STEPS_MOST);
	return t;
}

/* Never to come back to this stack. */
static __attribute__((noreturn)) void
sim_end(void)
{
	struct task *t = sim_next();

	sim.me = t;
	if (t)
		t->base = sim.steps - t->ran;
	sim_switch(&sim_nowhere, t ? t->stack_pointer : sim.main_pointer);
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
	if (me->timed_out) /* in that time every store has got through */
		for (struct task *t = sim.task; t < sim.task + TASKS; t++)
			memory_drain(t, BUFFER);
}

/* ---- Decisions ---- */

/* Which access the next victim is caught at: a class that it may be in, then
 * which of them, the first more likely than later ones. */
static void
sim_arm(void)
{
	static const uint8_t classes[] = {
		C_STATE,  C_STATE,  C_ATTN,  C_ATTN,   C_STATUS, C_STATUS,
		C_INTENT, C_INTENT, C_PHASE, C_PHASE,  C_INDEX,	 C_INDEX,
		C_DATA,	  C_DATA,   C_DATA,  C_SYSTEM, C_SYSTEM, C_WAITERS,
		C_HEADER
	};

	for (int i = 0; i < CLASSES; i++)
		sim.left[i] = INT32_MAX;
	sim.left[C_OUTSIDE] = 0;
	sim.any = -1;
	if (sim.count == sim.victims || sim.replay || sim.quiet)
		return;
	uint32_t among = 1u << chance(8), which = chance(sizeof(classes) + 2);
	if (which >= sizeof(classes))
		sim.any = (int)chance(among);
	else
		sim.left[classes[which]] = (int32_t)chance(among);
}

static void
sim_apply(int kind, struct task *t, uint32_t n)
{
	if (t->state == T_NONE || t->state == T_DONE)
		return;
	if (kind == D_DRAIN) {
		memory_drain(t, (int)n);
	} else if (kind == D_KILL) {
		trace("actor %d is KILLED", number_of(t));
		sim.kills++;
		memory_drain(t, BUFFER);
		task_killed(t); /* a new one in its place, or none */
		t->stopped = 0;
		if (t == sim.me)
			sim_end();
	} else if (kind == D_STOP && !t->stopped) {
		sim.stirred += t->stirred || t->state == T_ASLEEP;
		trace("actor %d is STOPPED for %u steps", number_of(t), n);
		sim.stops++;
		memory_drain(t, BUFFER);
		t->stopped = t->fault = 1;
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
	sim_note(kind, number_of(t), n);
	sim_apply(kind, t, n);
}

static void
sim_quantum(void)
{
	sim.quantum = sim.pct ? (int32_t)(sim.change_at - sim.steps) :
				(int32_t)chance(2 * (uint32_t)sim.mean);
	if (sim.quantum > 2000)
		sim.quantum = 2000;
}

/* The time of who runs is over. */
static void
sim_preempt(void)
{
	struct task *me = sim.me, *t;

	sim_timers();
	if (sim.pct && sim.steps >= sim.change_at) {
		me->priority = --sim.lowest;
		sim.change_at = sim.steps + 1 + chance(1u << chance(11));
	}
	for (t = sim.task; sim.tso && t < sim.task + TASKS; t++)
		if (t->stores && chance(3) == 0) {
			uint32_t n = 1 + chance((uint32_t)t->stores);
			sim_note(D_DRAIN, number_of(t), n);
			memory_drain(t, (int)n);
		}
	t = sim_choose(number_of(me));
	sim_quantum();
	if (t && t != me) {
		sim_note(D_SWITCH, number_of(t), 0);
		sim_go(t);
	}
}

/* Before a step, now and then. */
static __attribute__((noinline)) void
sim_point(unsigned class)
{
	struct task *me = sim.me;

	if (class == C_OUTSIDE)
		fail("outside", "an access outside the segment");
	if (sim.steps > STEPS_MOST)
		fail("endless", "%d steps", STEPS_MOST);
	if (sim.replay) {
		struct decision *d;
		sim.quantum = 0;
		while (!sim.quiet && sim.me == me &&
		       (d = sim_recall(-1)) != NULL) {
			struct task *t = &sim.task[d->target % TASKS];
			sim_timers();
			if (d->kind == D_SWITCH && is_ready(t))
				sim_go(t);
			else if (d->kind != D_SWITCH)
				sim_apply(d->kind, t, d->n);
		}
		return;
	}
	if (sim.quiet) {
		sim.quantum = 2000;
		return;
	}
	if (me->pending) {
		me->pending = 0;
		sim_strike(me);
	} else if (sim.left[class] < 0) {
		if (chance(2)) {
			me->pending = 1; /* after the access */
			sim.left[class] = INT32_MAX;
			sim.quantum = 0;
			return;
		}
		sim_strike(me);
	}
	if (sim.quantum < 0) {
		if (sim.any >= 0 && sim.any-- == 0)
			sim_strike(me);
		sim_preempt();
	}
}

/* What every access does first. */
static inline unsigned
sim_step(const void *place)
{
	uintptr_t offset = (uintptr_t)place - sim.arena;
	unsigned class = offset < (1 << 19) ?
				 sim.class_of[(offset & 0x7fff) >> 3] :
				 (unsigned)C_OUTSIDE;

	if (SIM_RARELY((--sim.left[class] < 0) |
		       ((sim.quantum -= sim.weight[class]) < 0)))
		sim_point(class);
	sim.steps++;
	return class;
}

static inline void
sim_step_system(void)
{
	if (SIM_RARELY((--sim.left[C_SYSTEM] < 0) |
		       ((sim.quantum -= sim.weight[C_SYSTEM]) < 0)))
		sim_point(C_SYSTEM);
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
