/* SPDX-License-Identifier: MIT
 *
 * Description: whatever of its processes is killed or stopped at any step, the
 * ring does what it promises: simulated, from random seeds.
 *
 * usage: test_sim [--seed N] [--tso] [--runs N | --seconds N] [--trace]
 *		   [--shrink] [--replay FILE]
 *
 * Without arguments, what `make check` wants: all failures that were kept,
 * SIM_RUNS (200000) schedules of a new seed, and half as many under TSO.
 *   --seed N      the first schedule; one, unless --runs or --seconds (of CPU
 *                 time) say how many
 *   --trace       who does what
 *   --shrink      write the first failure, made small, into tests/sim/kept
 *   --replay FILE one of these
 *
 * To read: sim.h (tasks, the scheduler), memory.h and kernel.h (what the header
 * finds in place of the machine), oracle.h (what must be true), actors.h (what
 * the processes do, and how a new call is added), this file (runs, failures).
 */
#include "tap.h"

#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#if !defined(__x86_64__)
int
main(void)
{
	skip_all("its coroutines are written for x86-64");
}
#else

#include "sim.h"
#include "memory.h"
#include "kernel.h"
#include "shmring_poll.h"
#include "oracle.h"
#include "actors.h"
#undef mmap
#undef clock_gettime

/* ---- A run ---- */

/* Each file where the kernel maps it, with the page of SPSC's bytes twice. */
static void
prepare_arena(void)
{
	int fd = memfd_create("sim", MFD_CLOEXEC);
	struct shmring__geometry g = { .mode = SHMRING_SPSC,
				       .slots = 4,
				       .slot_size = PAGE / 4 - 16,
				       .alignment = 8,
				       .participants = 2,
				       .page = PAGE };
	char *base =
		mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (ftruncate(fd, ARENA) || base == MAP_FAILED || shmring__lay_out(&g))
		bail("no memory");
	for (size_t at = 0; at < ARENA; at += FILE_ROOM)
		if (mmap(base + at + g.total, PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd,
			 (off_t)(at + g.data)) == MAP_FAILED)
			bail("no second mapping");
	sim.arena = (uintptr_t)base;
	sim.handles = (uintptr_t)actors;
	sim.handles_size = sizeof(actors);
}

static void
place_is(const void *from, size_t size, size_t unit, enum class class)
{
	places.from[class] = (uint32_t)place_in_file(from);
	places.unit[class] = (uint32_t)unit;
	memset(places.class + place_in_file(from) / 8, (int)class,
	       (size + 7) / 8);
}

/* What stands where, as an observer's handle tells. */
static void
places_learn(const struct shmring *look)
{
	const struct shmring__geometry *g = &look->geometry;
	size_t line = sizeof(look->lines[0]), size = g->slots * g->stride;

	memset(places.class, C_OUTSIDE, sizeof(places.class));
	place_is(look->map.base, g->total, 8, C_HEADER);
	place_is(&look->notice->attn, 8, 8, C_ATTN);
	place_is(&look->notice->data, 8, 4, C_WAITERS);
	place_is(look->lines, g->participants * line, line, C_COUNTER);
	for (uint32_t i = g->participants; i-- > 0;) {
		place_is(&look->lines[i].status, 8, line, C_STATUS);
		place_is(&look->lines[i].intent, 24, line, C_INTENT);
	}
	place_is(look->head, 8, SHMRING__LINE, C_INDEX);
	if (plan.mode != SHMRING_MPMC) {
		place_is(look->spsc.taken, 8, SHMRING__LINE, C_INDEX);
		size = 2 * g->capacity;
		places.alias = place_in_file(look->data) + PAGE;
	}
	place_is(look->tail, 8, SHMRING__LINE, C_INDEX);
	place_is(look->data, size, oracle.mpmc ? g->stride : 8, C_DATA);
	if (plan.mode == SHMRING_BROADCAST) {
		struct shmring__writer_page *page = shmring__page_of(look);
		place_is(&page->bound, 16, 8, C_STATE);
		place_is(&page->marks, sizeof(*page) - 144, 8, C_PHASE);
		for (uint32_t i = g->participants; i-- > 0;)
			place_is(&look->lines[i].head, 8, line, C_INDEX);
	}
	for (uint64_t i = g->slots; i-- > 0 && oracle.mpmc;) {
		place_is(&look->mpmc.states[i], 8, 8, C_STATE);
		place_is(shmring__phase_word(look, i), 8, g->stride, C_PHASE);
	}
}

/* A ring that is there for all, made by somebody who only looks on. */
static void
setup(void)
{
	struct shmring_config c = configuration(SHMRING_OBSERVER);
	struct shmring look;

	if (plan.memfd ? shmring_create_memfd(&look, &c)
		       : shmring_create(&look, "/sim", &c))
		fail("error", "no ring");
	places_learn(&look);
	kernel_exit(sim.me);
	sim_end();
}

/* Until none can go on. */
static void
run_all(void)
{
	if (!sim.failure)
		sim_go(sim_next());
	sim.me = NULL;
}

static void
run_alone(void (*body)(void))
{
	struct task *t = &sim.task[TASKS - 1];

	sim.quiet = 1;
	t->pid = 99;
	sim_prepare(t, body);
	run_all();
	sim.quiet = 0;
}

static void
run_begins(uint64_t seed)
{
	memset(sim.task, 0, sizeof(sim.task));
	memset(sim.first, 0, sizeof(sim.first));
	memset(sim.clock, 0, sizeof(sim.clock));
	memset(sim.fresh, plan.victims > 1, sizeof(sim.fresh));
	memset(&oracle, 0, offsetof(struct oracle, message));
	memset(kernel.name, 0, sizeof(kernel.name));
	kernel.locks = 0;
	kernel.files = kernel.opens = kernel.pids = 0;
	for (struct actor *a = actors; a < actors + TASKS; a++) {
		kernel_exit(&sim.task[a - actors]);
		a->at = 0;
		a->o = NULL;
		a->opening = 0;
		for (int i = 0; i < 2; i++) {
			a->handle[i].open = a->handle[i].closing = 0;
			a->handle[i].held[0] = NULL;
			a->handle[i].inside = 0;
		}
	}
	kernel.unfenced = plan.unfenced != 0;
	kernel.cpus = plan.cpus;
	kernel.shift = plan.mode == SHMRING_BROADCAST ? PAGE : 0;
	oracle.slots = (int)plan.slots;
	oracle.mpmc = plan.mode == SHMRING_MPMC;
	oracle.broadcast = plan.mode == SHMRING_BROADCAST;
	oracle.lossy = (plan.flags & SHMRING_LOSSY) != 0;
	oracle.endless = (plan.flags & SHMRING_PERSISTENT) != 0;
	oracle.demote = plan.demote * MS;
	oracle.tso = plan.tso != 0;
	oracle.patience = (300 + 150 * (int)plan.victims) * MS;
	memset(places.class, C_HEADER, sizeof(places.class));
	places.alias = FILE_ROOM;
	sim_tries = (int)plan.tries;
	sim.failure = NULL;
	sim.firm = 0;
	sim.awaited = 0;
	sim.next = NULL;
	sim.me = NULL;
	sim.steps = sim.due = 0;
	sim.jumped = 1000 * MS;
	sim.paused = 0;
	sim.pause_ns = plan.spin == 2 ? MS / 200 : STEP_NS;
	sim.random = mix(seed ^ UINT64_C(0xdec1de));
	sim.kills = sim.stops = sim.stirred = 0;
	sim.limit = plan.limit;
	sim.slow = plan.tso || sim.trace;
}

/* How this run is scheduled; a replay has its decisions. */
static void
run_schedule(void)
{
	static const uint8_t means[] = { 2, 5, 15, 40, 100 };
	static const uint8_t weights[] = { 1, 4, 16 };
	int32_t weight = weights[chance(3)];

	sim.quantum = 0; /* nothing is left of the last run */
	sim.ranked = chance(3) == 0;
	sim.mean = means[chance(sizeof(means))];
	sim.lowest = 0;
	for (int i = 0; i < CLASSES; i++)
		sim.weight[i] = i == C_OUTSIDE ? LOOK
				: i == C_COUNTER || i == C_DATA ||
						i == C_PHASE || i == C_INDEX
					? 1
					: weight;
	sim.decisions = sim.replay ? sim.decisions : 0;
	sim.victims = plan.victims;
	sim.count = 0;
	for (uint32_t i = 0; i < plan.actors; i++) {
		sim.task[i].priority = chance(1000);
		actor_starts(&sim.task[i], 0);
	}
	sim_arm();
}

/* 1: it has failed */
static int
run_plan(uint64_t seed)
{
	int stand = 0;

	run_begins(seed);
	run_alone(setup);
	run_schedule();
	run_all();
	EACH_TASK (t)
		stand |= t->stopped;
	if (stand && !sim.failure)
		run_alone(visit_others);
	EACH_TASK (t)
		task_is(t, t->state, 0);
	sim.count = sim.victims; /* enough of them */
	sim_arm();
	run_all();
	if (!sim.failure)
		run_alone(visit_end);
	return sim.failure != NULL;
}

static int
run_seed(uint64_t seed, int tso)
{
	plan_draw(seed, tso);
	sim.replay = 0;
	return run_plan(seed);
}

/* ---- Failures are kept: as a plan and a list of decisions ----
 *
 * Not as seeds, which mean another run after any change here. A decision is
 * named by operation and access, so that a plan replays on another header, too:
 * a decision whose place is not reached any more is passed over, one behind an
 * access that is new comes a step early. What was kept is thus the very failure
 * on the header that had it, and something near it on all later ones. New
 * fields of the plan go to its end, and are 0 in older files.
 */

static void
kept_write(FILE *to)
{
	fprintf(to, "# %s: %s\nplan", sim.failure, sim.detail);
	for (uint32_t *p = &plan.mode; p < &plan.todo[0][0].kind; p++)
		fprintf(to, " %u", *p);
	fprintf(to, "\n# do: actor operation kind handle n wait\n");
	for (uint32_t i = 0; i < plan.actors; i++)
		for (uint32_t k = 0; k < plan.count[i]; k++) {
			struct operation *o = &plan.todo[i][k];
			if (o->kind)
				fprintf(to, "do %u %u %s %u %u %u\n", i, k,
					kinds[o->kind].name, o->handle, o->n,
					o->wait);
		}
	fprintf(to, "# at: actor operation access decision target n\n");
	for (int i = 0; i < sim.decisions; i++) {
		struct decision *d = &sim.decision[i];
		fprintf(to, "at %u %u %u %s %u %u\n", d->actor, d->op,
			d->access, decision_names[d->kind], d->target, d->n);
	}
}

static void
kept_read_line(char *line)
{
	char name[32], *rest = line + 5;
	unsigned a, b, c, d, e, kind = 0;
	int known = 1;

	if (sscanf(line, "do %u %u %31s %u %u %u", &a, &b, name, &c, &d, &e) ==
		    6 &&
	    a < ACTORS && b < OPERATIONS) {
		while (kind < KINDS && strcmp(kinds[kind].name, name))
			kind++;
		known = kind < KINDS;
		plan.todo[a][b] = (struct operation){ kind, c, d, e };
		plan.count[a] = plan.count[a] <= b ? b + 1 : plan.count[a];
	} else if (sscanf(line, "at %u %u %u %31s %u %u", &a, &b, &c, name, &d,
			  &e) == 6 &&
		   a < TASKS && d < TASKS && sim.decisions < DECISIONS_MOST) {
		while (decision_names[kind] &&
		       strcmp(decision_names[kind], name))
			kind++;
		known = decision_names[kind] != NULL;
		sim.decision[sim.decisions++] =
			(struct decision){ a, b, c, kind, d, e, 0 };
	} else if (!strncmp(line, "plan ", 5)) {
		for (uint32_t *p = &plan.mode; p < &plan.todo[0][0].kind; p++)
			*p = (uint32_t)strtoul(rest, &rest, 10);
	} else {
		known = line[0] == '#';
	}
	if (!known)
		bail("what was kept cannot be read");
}

static void
kept_read(const char *path)
{
	FILE *from = fopen(path, "r");
	char line[256];

	memset(&plan, 0, sizeof(plan));
	sim.decisions = 0;
	while (from && fgets(line, sizeof(line), from))
		kept_read_line(line);
	if (!from || !plan.actors || plan.actors > ACTORS)
		bail("what was kept cannot be read");
	fclose(from);
}

/* Whether what was read, or has just been run, fails like this (NULL: at all)
 * when it is run again. */
static int
still(const char *kind)
{
	for (int i = 0; i < sim.decisions; i++)
		sim.decision[i].used = 0;
	sim.replay = 1;
	return run_plan(0) && (!kind || !strcmp(sim.failure, kind));
}

/* Leave out what the failure does not need: operations, then decisions, in
 * ever smaller pieces. 1: something was. */
static int
shrink(const char *kind)
{
	static struct decision all[DECISIONS_MOST];
	int changed = 0;

	for (uint32_t i = 0; i < ACTORS; i++)
		for (uint32_t k = plan.count[i]; k-- > 0;) {
			uint32_t was = plan.todo[i][k].kind;
			plan.todo[i][k].kind = O_NOTHING;
			if (was && still(kind))
				changed = 1;
			else
				plan.todo[i][k].kind = was;
		}
	for (int size = (sim.decisions + 1) / 2; size; size /= 2)
		for (int at = 0; at < sim.decisions;) {
			int count = sim.decisions;
			int end = at + size < count ? at + size : count;
			memcpy(all, sim.decision, sizeof(all));
			memmove(sim.decision + at, sim.decision + end,
				(size_t)(count - end) * sizeof(all[0]));
			sim.decisions -= end - at;
			if (still(kind)) {
				changed = 1;
				continue;
			}
			memcpy(sim.decision, all, sizeof(all));
			sim.decisions = count;
			at = end;
		}
	return changed;
}

/* The run that has just failed. */
static void
keep(uint64_t seed)
{
	char path[128];
	const char *kind = sim.failure;
	FILE *to;

	if (!still(kind))
		bail("the replay is another run");
	for (int round = 0; round < 5 && shrink(kind); round++)
		;
	still(kind);
	snprintf(path, sizeof(path), "tests/sim/kept/%s-%" PRIu64, kind, seed);
	to = fopen(path, "w");
	if (!to)
		bail("cannot write into tests/sim/kept");
	kept_write(to);
	fclose(to);
	printf("# kept, with %d decisions: %s\n", sim.decisions, path);
}

/* ---- Many runs ---- */

static struct {
	uint64_t seed, runs, seconds;
	int tso, shrink;
	const char *replay, *program;
} options = { .runs = 1 };

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* ours alone */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Up to the first that fails. 1: one has. */
static int
many(uint64_t runs, int tso)
{
	double began = seconds_now(), took = 0;
	uint64_t done = 0, steps = 0, kills = 0, stops = 0;
	int failed = 0;

	while (!failed && (options.seconds ? took < (double)options.seconds
					   : done < runs)) {
		failed = run_seed(options.seed + done++, tso);
		steps += sim.steps;
		kills += sim.kills;
		stops += sim.stops;
		if (done % 256 == 0)
			took = seconds_now() - began;
	}
	took = seconds_now() - began;
	printf("# %s: %" PRIu64 " schedules in %.1f s (%.0f/s), %.0f steps "
	       "each, %" PRIu64 " killed, %" PRIu64
	       " stopped, latest %.1f ms\n",
	       tso ? "TSO" : "sequentially consistent", done, took,
	       (double)done / took, (double)steps / (double)done, kills, stops,
	       (double)oracle_worst / 1e6);
	if (failed)
		fprintf(stderr,
			"# %s: %s\n#   again: %s --seed %" PRIu64
			"%s --trace, or --shrink\n",
			sim.failure, sim.detail, options.program,
			options.seed + done - 1, tso ? " --tso" : "");
	if (failed && options.shrink)
		keep(options.seed + done - 1);
	return failed;
}

static int
replay(const char *path)
{
	kept_read(path);
	if (!still(NULL))
		return 0;
	fprintf(stderr, "# %s: %s\n#   again: %s --replay %s --trace\n",
		sim.failure, sim.detail, options.program, path);
	return 1;
}

static void
check(void)
{
	uint64_t runs = (uint64_t)tap_environment("SIM_RUNS", 200000);
	DIR *kept = opendir("tests/sim/kept");
	struct dirent *entry;
	char path[300];
	int count = 0, failed = 0;

	tap_start();
	options.seed = tap_random() >> 20;
	while (kept && (entry = readdir(kept)) != NULL) {
		snprintf(path, sizeof(path), "tests/sim/kept/%s",
			 entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		count++;
		failed += replay(path);
	}
	if (kept)
		closedir(kept);
	is_int(failed, 0, "%d failures that were kept do not come again",
	       count);
	is_int(many(runs, 0), 0, "%" PRIu64 " schedules", runs);
	is_int(many(runs / 2, 1), 0, "%" PRIu64 " schedules under TSO",
	       runs / 2);
}

/* How many arguments it is; 0: none that we know. */
static int
option(const char *name, const char *value)
{
	static const struct {
		const char *name;
		uint64_t *number;
		int *flag;
	} all[] = {
		{ "--seed", &options.seed, NULL },
		{ "--runs", &options.runs, NULL },
		{ "--seconds", &options.seconds, NULL },
		{ "--tso", NULL, &options.tso },
		{ "--shrink", NULL, &options.shrink },
		{ "--trace", NULL, &sim.trace },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(name, all[i].name) != 0)
			continue;
		else if (all[i].flag)
			return *all[i].flag = 1;
		else if (value)
			return *all[i].number = strtoull(value, NULL, 0), 2;
	if (strcmp(name, "--replay") != 0 || !value)
		return 0;
	options.replay = value;
	return 2;
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	options.program = argv[0];
	for (int i = 1, more; i < argc; i += more) {
		more = option(argv[i], argv[i + 1]);
		if (!more) {
			printf("usage: see the top of tests/sim/test_sim.c\n");
			return 2;
		}
	}
	prepare_arena();
	if (argc == 1) {
		check();
		return tap_done();
	}
	return options.replay ? replay(options.replay)
			      : many(options.runs, options.tso);
}

#endif
