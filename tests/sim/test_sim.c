/* SPDX-License-Identifier: MIT
 *
 * Description: whatever of its processes is killed or stopped at any step, the
 * ring does what it promises: simulated, from random seeds.
 *
 * usage: test_sim [--seed N] [--tso] [--runs N | --seconds N] [--all]
 *		   [--trace] [--shrink] [--replay FILE]
 *
 * Without arguments, what `make check` wants: all failures that were kept,
 * SIM_RUNS (200000) schedules of a new seed, and half as many under TSO.
 *   --seed N     the first schedule; --runs 1 unless told otherwise
 *   --trace      who does what
 *   --all        go on after a failure, and count them
 *   --shrink     write the first failure, made small, into tests/sim/kept
 *   --replay F   one of these
 */
#include "tap.h"

#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
int
main(void)
{
	skip_all("coroutines are not written for this machine");
}
#else

#include "sim.h"
#include "memory.h"
#include "kernel.h"
#include "shmring.h"
#include "places.h"
#include "oracle.h"
#include "actors.h"
#undef mmap
#undef unlink
#undef getpid
#undef clock_gettime
#undef sysconf

/* ---- A run ---- */

/* Each file where the kernel maps it, with the bytes of SPSC twice. */
static void
prepare_arena(void)
{
	size_t size = 1 << 19;
	int fd = memfd_create("sim", MFD_CLOEXEC);
	struct shmring__geometry g = { .mode = SHMRING_SPSC,
				       .slots = 4,
				       .slot_size = LARGE,
				       .participants = 2,
				       .page = PAGE };
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd < 0 || ftruncate(fd, (off_t)size) || base == MAP_FAILED ||
	    shmring__lay_out(&g))
		bail("no memory");
	for (size_t at = 0; at < size; at += FILE_ROOM)
		if (mmap(base + at + g.total, g.capacity,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			 (off_t)(at + g.data)) == MAP_FAILED)
			bail("no second mapping");
	sim.arena = (uintptr_t)base;
	kernel.mirror = g.capacity;
}

static void
setup(void)
{
	struct shmring_config c = configuration(SHMRING_OBSERVER);

	if (shmring_create(&look, "/sim", &c))
		fail("error", "no ring");
	places_class();
	sim.class_of = classes;
	actor_leaves(sim.me);
	sim_end();
}

/* Let all run until none can go on. */
static void
run_all(void)
{
	struct task *t = sim_pick();

	if (t && !sim.failure)
		sim_go(t);
	sim.me = NULL;
}

static void
run_alone(void (*body)(void))
{
	struct task *t = &sim.task[TASKS - 1];

	if (sim.failure)
		return;
	sim.quiet = 1;
	t->pid = 99;
	t->start = 1;
	sim.quantum = 2000;
	sim_prepare(t, body);
	run_all();
}

static void
run_begins(uint64_t seed)
{
	memset(sim.task, 0, sizeof(sim.task));
	sim.failure = NULL;
	sim.me = NULL;
	sim.steps = 0;
	sim.jumped = 1000 * MS;
	sim.pause_ns = plan.spin == 2 ? MS / 200 : STEP_NS;
	sim.random = mix(seed ^ UINT64_C(0xdec1de));
	sim.kills = sim.stops = 0;
	sim.pids = 100;
	sim.pids_again = (int)plan.pids;
	sim.cpus = plan.cpus;
	sim.unfenced = plan.unfenced;
	sim.limit = plan.limit;
	sim.tso = (int)plan.tso;
	sim.slow = sim.tso || sim.trace;
	sim_tries = (int)plan.tries;
	memset(sim.next, 0, sizeof(sim.next));
	kernel_reset();
	memset(oracle.file, 0, sizeof(oracle.file));
	oracle.messages = oracle.consumers_killed = 0;
	oracle.lives = 0;
	oracle.opening[0] = oracle.opening[1] = 0;
	oracle.salt = 1 + (mix(plan.slots) & 0xffff);
	oracle.victims = (int)plan.victims;
	sim.stirred = 0;
	oracle.aborted = 0;
	oracle.slots = plan.slots;
	oracle.changed = 0;
	for (int i = 0; i < TASKS; i++) {
		actors[i].at = 0;
		actors[i].handle[0].open = actors[i].handle[1].open = 0;
		actors[i].handle[0].held = actors[i].handle[1].held = NULL;
		actors[i].handle[0].closing = actors[i].handle[1].closing = 0;
	}
	memset(classes, C_HEADER, sizeof(classes));
	sim.class_of = classes;
	for (int i = 0; i < CLASSES; i++)
		sim.left[i] = INT32_MAX, sim.weight[i] = 1;
	sim.left[C_OUTSIDE] = 0;
}

/* How this run is scheduled; a replay has its decisions. */
static void
run_schedule(void)
{
	static const uint8_t means[] = { 2, 5, 15, 40, 100 };
	static const uint8_t weights[] = { 1, 4, 16 };
	int32_t weight = weights[chance(3)];

	sim.quiet = 0;
	sim.pct = chance(3) == 0;
	sim.mean = means[chance(sizeof(means))];
	sim.lowest = 0;
	sim.change_at = 1 + chance(200);
	for (int i = 0; i < CLASSES; i++)
		if (i != C_COUNTER && i != C_DATA && i != C_PHASE &&
		    i != C_INDEX)
			sim.weight[i] = weight;
	if (!sim.replay)
		sim.decisions = 0;
	sim.victims = (int)plan.victims;
	sim.count = 0;
	for (int i = 0, kills = 0; i < sim.victims; i++) {
		int stops = i - kills;
		int kill = stops == 3 || (kills < 3 && chance(2));
		kills += kill;
		sim.kind[i] = kill ? D_KILL : D_STOP;
	}
	for (uint32_t i = 0; i < plan.actors; i++) {
		sim.task[i].priority = chance(1000);
		actor_starts(&sim.task[i]);
	}
	sim_arm();
	sim_quantum();
	if (sim.replay)
		sim.quantum = 0;
}

/* 1: it has failed */
static int
run_plan(uint64_t seed)
{
	run_begins(seed);
	run_alone(setup);
	if (sim.failure)
		return 1;
	run_schedule();
	run_all();
	if (!sim.failure && oracle_stopped()) {
		run_alone(visit_others);
		sim.quiet = 0;
		sim.count = sim.victims; /* enough */
		if (!sim.failure)
			sim_arm();
		for (struct task *t = sim.task; t < sim.task + TASKS; t++)
			if (t->stopped) {
				t->stopped = 0;
				t->resumed = sim_now();
			}
		trace("all go on");
		run_all();
	}
	run_alone(visit_end);
	sim.all_steps += sim.steps;
	sim.all_kills += sim.kills;
	sim.all_stops += sim.stops;
	return sim.failure != NULL;
}

static int
run_seed(uint64_t seed, int tso)
{
	plan_draw(seed, tso);
	sim.replay = 0;
	return run_plan(seed);
}

/* ---- Failures are kept ---- */

static void
plan_write(FILE *to)
{
	fprintf(to,
		"plan %u %u %u %u %u %u %u %u %u %u %u %u %u\n# mode slots "
		"participants actors tso limit tries cpus unfenced pids "
		"zombies victims spin\n",
		plan.mode, plan.slots, plan.participants, plan.actors, plan.tso,
		plan.limit, plan.tries, plan.cpus, plan.unfenced, plan.pids,
		plan.zombies, plan.victims, plan.spin);
	for (int i = 0; i < (int)plan.actors; i++)
		for (int k = 0; k < plan.count[i]; k++) {
			struct operation *o = &plan.todo[i][k];
			if (o->kind)
				fprintf(to, "do %d %d %s %u %u %u\n", i, k,
					kind_names[o->kind], o->handle, o->n,
					o->wait);
		}
	fprintf(to, "# actor operation kind handle n wait\n");
	for (int i = 0; i < sim.decisions; i++) {
		struct decision *d = &sim.decision[i];
		fprintf(to, "at %u %u %u %s %u %u\n", d->actor, d->op,
			d->access, decision_names[d->kind], d->target, d->n);
	}
	fprintf(to, "# actor operation access: decision target n\n");
}

static int
name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

static int
plan_read(const char *path)
{
	FILE *from = fopen(path, "r");
	char line[256], name[32];
	unsigned a, b, c, d, e;

	memset(&plan, 0, sizeof(plan));
	sim.decisions = 0;
	while (from && fgets(line, sizeof(line), from)) {
		if (sscanf(line, "do %u %u %31s %u %u %u", &a, &b, name, &c, &d,
			   &e) == 6) {
			int kind = name_index(kind_names, KINDS, name);
			if (kind < 0 || a >= ACTORS || b >= OPERATIONS)
				return -1;
			plan.todo[a][b] = (struct operation){
				(uint8_t)kind, (uint8_t)c, (uint8_t)d,
				(uint8_t)(e % WAITS)
			};
			if (plan.count[a] <= (int)b)
				plan.count[a] = (int)b + 1;
		} else if (sscanf(line, "at %u %u %u %31s %u %u", &a, &b, &c,
				  name, &d, &e) == 6) {
			int kind = name_index(decision_names, DECISION_KINDS,
					      name);
			if (kind < 0 || a >= ACTORS || d >= TASKS ||
			    sim.decisions == DECISIONS_MOST)
				return -1;
			sim.decision[sim.decisions++] = (struct decision){
				(uint8_t)a, (uint8_t)kind, (uint8_t)d, 0,
				(uint16_t)b, c, e
			};
		} else {
			sscanf(line, "plan %u %u %u %u %u %u %u %u %u %u %u %u %u",
			       &plan.mode, &plan.slots, &plan.participants,
			       &plan.actors, &plan.tso, &plan.limit,
			       &plan.tries, &plan.cpus, &plan.unfenced,
			       &plan.pids, &plan.zombies, &plan.victims,
			       &plan.spin);
		}
	}
	if (from)
		fclose(from);
	return plan.actors > 0 && plan.actors <= ACTORS ? 0 : -1;
}

static int
run_again(void)
{
	for (int i = 0; i < sim.decisions; i++)
		sim.decision[i].used = 0;
	sim.replay = 1;
	return run_plan(0);
}

/* Leave out what the failure does not need: operations, then decisions, in
 * ever smaller pieces. */
static void
shrink(const char *kind)
{
	static struct decision all[DECISIONS_MOST];
	static struct plan before;
	int changed = 1;

	for (int round = 0; changed && round < 4; round++) {
		changed = 0;
		for (int i = 0; i < ACTORS; i++)
			for (int k = plan.count[i] - 1; k >= 0; k--) {
				before = plan;
				if (!plan.todo[i][k].kind)
					continue;
				plan.todo[i][k].kind = O_NOTHING;
				if (run_again() && !strcmp(sim.failure, kind))
					changed = 1;
				else
					plan = before;
			}
		for (int size = (sim.decisions + 1) / 2; size; size /= 2)
			for (int at = 0; at < sim.decisions;) {
				int count = sim.decisions;
				int end = at + size < count ? at + size : count;
				memcpy(all, sim.decision, sizeof(all));
				memmove(sim.decision + at, sim.decision + end,
					(size_t)(count - end) * sizeof(all[0]));
				sim.decisions = count - (end - at);
				if (run_again() &&
				    !strcmp(sim.failure, kind)) {
					changed = 1;
					continue;
				}
				memcpy(sim.decision, all, sizeof(all));
				sim.decisions = count;
				at = end;
			}
	}
}

/* The run that has just failed. */
static void
keep(uint64_t seed)
{
	char path[128], kind[32];
	FILE *to;

	snprintf(kind, sizeof(kind), "%s", sim.failure);
	snprintf(path, sizeof(path), "tests/sim/kept/%s-%" PRIu64 ".txt", kind,
		 seed);
	if (!run_again() || strcmp(sim.failure, kind)) {
		printf("# the replay does not show it: %s\n",
		       sim.failure ? sim.failure : "passed");
		return;
	}
	shrink(kind);
	run_again();
	to = fopen(path, "w");
	if (!to)
		bail("cannot write into tests/sim/kept");
	fprintf(to, "# %s: %s\n", sim.failure, sim.detail);
	plan_write(to);
	fclose(to);
	printf("# kept, %d decisions: %s\n", sim.decisions, path);
}

/* ---- Many runs ---- */

static struct {
	const char *kind;
	unsigned count;
	uint64_t first;
} tally[32];

static void
count_failure(uint64_t seed)
{
	int i = 0;

	while (i < 31 && tally[i].kind && strcmp(tally[i].kind, sim.failure))
		i++;
	if (!tally[i].count++)
		tally[i].first = seed;
	tally[i].kind = sim.failure;
}

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* ours alone */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct {
	uint64_t seed, runs;
	double seconds;
	int tso, all, shrink;
	const char *replay, *program;
} options;

/* How many of them failed. */
static unsigned
many(uint64_t seed, uint64_t runs, double seconds, int tso)
{
	double began = seconds_now(), took;
	unsigned failed = 0;
	uint64_t done;

	sim.all_steps = sim.all_kills = sim.all_stops = 0;
	memset(tally, 0, sizeof(tally));
	for (done = 0; seconds > 0 ? done % 256 ||
				     seconds_now() - began < seconds :
				     done < runs;
	     done++) {
		if (!run_seed(seed + done, tso))
			continue;
		count_failure(seed + done);
		if (failed++ < 3 || !options.all)
			printf("# %s: %s\n#   again: %s --seed %" PRIu64
			       "%s --trace\n",
			       sim.failure, sim.detail, options.program,
			       seed + done, tso ? " --tso" : "");
		if (options.shrink && failed == 1)
			keep(seed + done);
		if (!options.all) {
			done++;
			break;
		}
	}
	took = seconds_now() - began;
	printf("# %s: %" PRIu64 " schedules in %.1f s (%.0f/s), %.0f steps "
	       "each, %" PRIu64 " killed, %" PRIu64 " stopped, latest %.1f ms\n",
	       tso ? "TSO" : "sequentially consistent", done, took,
	       (double)done / took, (double)sim.all_steps / (double)done,
	       sim.all_kills, sim.all_stops, (double)oracle.worst / 1e6);
	for (int i = 0; tally[i].kind; i++)
		printf("# %u x %s, first with --seed %" PRIu64 "\n",
		       tally[i].count, tally[i].kind, tally[i].first);
	return failed;
}

static int
replay(const char *path)
{
	int failed;

	if (plan_read(path))
		bail("cannot read what was kept");
	failed = run_again();
	if (failed)
		printf("# %s: %s\n#   again: %s --replay %s --trace\n",
		       sim.failure, sim.detail, options.program, path);
	return failed;
}

static void
check_kept(void)
{
	const char *folder = "tests/sim/kept";
	DIR *directory = opendir(folder);
	struct dirent *entry;
	char path[300];
	int count = 0, failed = 0;

	while (directory && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		failed += replay(path);
		count++;
	}
	if (directory)
		closedir(directory);
	is_int(failed, 0, "%d failures that were kept do not come back", count);
}

static int
parse(int argc, char **argv)
{
	options.program = argv[0];
	options.runs = 1;
	for (int i = 1; i < argc; i++) {
		char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (!strcmp(argv[i], "--tso"))
			options.tso = 1;
		else if (!strcmp(argv[i], "--all"))
			options.all = 1;
		else if (!strcmp(argv[i], "--trace"))
			sim.trace = 1;
		else if (!strcmp(argv[i], "--shrink"))
			options.shrink = 1;
		else if (!value)
			return -1;
		else if (!strcmp(argv[i], "--seed"))
			options.seed = strtoull(value, NULL, 0), i++;
		else if (!strcmp(argv[i], "--runs"))
			options.runs = strtoull(value, NULL, 0), i++;
		else if (!strcmp(argv[i], "--seconds"))
			options.seconds = strtod(value, NULL), i++;
		else if (!strcmp(argv[i], "--replay"))
			options.replay = value, i++;
		else
			return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t runs = (uint64_t)tap_environment("SIM_RUNS", 200000);

	if (argc == 1)
		tap_start();
	else
		setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(argc, argv)) {
		printf("usage: see the top of tests/sim/test_sim.c\n");
		return 2;
	}
	prepare_arena();
	if (options.replay)
		return replay(options.replay);
	if (argc > 1)
		return many(options.seed, options.runs, options.seconds,
			    options.tso) != 0;
	options.seed = tap_random() >> 16;
	check_kept();
	is_int(many(options.seed, runs, 0, 0), 0, "%" PRIu64 " schedules",
	       runs);
	is_int(many(options.seed, runs / 2, 0, 1), 0,
	       "%" PRIu64 " schedules under TSO", runs / 2);
	return tap_done();
}

#endif
