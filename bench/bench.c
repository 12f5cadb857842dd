/* SPDX-License-Identifier: MIT */
/*
 * bench.c - all mechanisms on the same work, side by side.
 *
 * Options, the list of cases, and the order of their repetitions: one of each
 * case, then the next of each, so that a machine that drifts does so for all.
 */
#include "report.h"
#include "system.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <unistd.h>

#define MECHANISMS 128
#define LIST 16 /* values of one option */
#define MS (BENCH_SECOND / 1000)

enum { EXIT_SPOILT = 1, EXIT_USAGE = 2 };

struct pairs {
	unsigned senders, receivers;
};

/* A list of values, empty where the mode's own default applies. */
struct sizes {
	size_t n, value[LIST];
};

static struct options {
	const char *names; /* of mechanisms, separated by commas; NULL: all */
	unsigned modes; /* 1 << MODE_...; 0: the standard programme */
	unsigned waits; /* 1 << WAIT_...; 0: the mode's */
	struct sizes sizes, batches, pauses, rates;
	struct pairs pairs[LIST];
	size_t n_pairs;
	struct job job; /* what is the same for all */
	unsigned repeat;
	int64_t timeout;
	enum place place;
	bool place_given, quick, list;
	int senders[LIST], receivers[LIST]; /* CPUs */
	size_t n_senders, n_receivers;
	const char *formats, *out, *hdr, *baseline;
} options = {
	.job = { .verify = VERIFY_SEQ },
	.baseline = "pipe",
	.formats = "text",
};

static const struct mechanism *mechanisms[MECHANISMS];
static size_t n_mechanisms;
static struct report report;
static uint64_t seed;
static char placement[160];

/* ---------------------------------------------------------------- options */

static void
usage(FILE *out)
{
	fprintf(out,
		"usage: shmbench [options]\n"
		"  -m, --mech LIST      mechanisms, or groups: shmring "
		"adapters peers baselines\n"
		"      --list           name the mechanisms and end\n"
		"      --mode LIST      ping-pong throughput under-load fan-in "
		"fan-out\n"
		"                       many-to-many oversubscribed setup-cost "
		"limits\n"
		"  -s, --size LIST      bytes a message: multiples of 8 "
		"(8,64,1k,4k)\n"
		"  -n, --count N        messages to measure, instead of\n"
		"  -d, --duration TIME  time to measure (150ms)\n"
		"  -w, --warmup TIME    time to warm up (50ms)\n"
		"  -r, --repeat N       repetitions, each in fresh processes "
		"(5)\n"
		"      --rate LIST      under-load: messages a second "
		"(10k,100k,1M)\n"
		"      --depth N        messages in flight at most (default: "
		"the mechanism's;\n"
		"                       rings 1024, 16 MiB at most)\n"
		"      --batch LIST     messages a call (1)\n"
		"      --pairs LIST     senders x receivers (2x1,4x4)\n"
		"      --wait LIST      spin yield block hybrid (spin,block)\n"
		"      --pause LIST     spin: pauses between two looks, own: "
		"the mechanism's\n"
		"                       way; the best is reported "
		"(own,0,1,32)\n"
		"      --place WHERE    none same-core smt llc across\n"
		"      --cpu-send LIST --cpu-recv LIST   these CPUs\n"
		"      --verify WHAT    none seq full: while measuring (seq); "
		"warming up is\n"
		"                       always full\n"
		"      --baseline NAME  for the ratios (pipe)\n"
		"      --format LIST    text json csv md\n"
		"  -o, --out FILE       where to; of several formats the stem\n"
		"      --hdr STEM       a histogram a row: STEM.<row>.hgrm\n"
		"      --timeout TIME   for one repetition (20s, quick 5s)\n"
		"      --seed N         of the order in which rows take turns\n"
		"      --quick          everything, briefly: does it work?\n");
}

static void
refuse(const char *what, const char *value)
{
	fprintf(stderr, "shmbench: %s: %s (--help tells more)\n", what, value);
	exit(EXIT_USAGE);
}

/** "64", "4k", "1M"; binary: k is 1024. */
static uint64_t
parse_number(const char *text, bool binary)
{
	uint64_t k = binary ? 1024 : 1000, factor = 1;
	char *end;
	double value = strtod(text, &end);

	switch (tolower((unsigned char)*end)) {
	case 'g':
		factor *= k;
		/* fall through */
	case 'm':
		factor *= k;
		/* fall through */
	case 'k':
		factor *= k;
		end++;
	}
	if (end == text || *end || !(value >= 0) || value > 1e15)
		refuse("not a number", text);
	return (uint64_t)(value * (double)factor);
}

static int64_t
parse_time(const char *text)
{
	char *end;
	double value = strtod(text, &end), unit = 1e9;

	if (strcmp(end, "ms") == 0)
		unit = 1e6;
	else if (strcmp(end, "us") == 0)
		unit = 1e3;
	else if (strcmp(end, "ns") == 0)
		unit = 1;
	else if (*end && strcmp(end, "s"))
		refuse("not a time", text);
	if (end == text || !(value > 0) || value > 1e5)
		refuse("not a time", text);
	return (int64_t)(value * unit);
}

/** Call for each part of a list. */
static void
each(const char *list, void (*take)(const char *part, void *into), void *into)
{
	char copy[1024], *part, *rest = NULL;

	if (strlen(list) >= sizeof(copy))
		refuse("too long", list);
	strcpy(copy, list);
	for (part = strtok_r(copy, ",", &rest); part;
	     part = strtok_r(NULL, ",", &rest))
		take(part, into);
}

static void
add(struct sizes *list, const char *part, uint64_t value)
{
	if (list->n == LIST)
		refuse("too many values", part);
	list->value[list->n++] = (size_t)value;
}

static void
take_size(const char *part, void *into)
{
	uint64_t size = parse_number(part, true);

	if (size < 8 || size % 8 || size > 1u << 30)
		refuse("a size is a multiple of 8 up to 1G", part);
	add(into, part, size);
}

static void
take_batch(const char *part, void *into)
{
	uint64_t batch = parse_number(part, false);

	if (batch < 1 || batch > BENCH_BATCH)
		refuse("a batch has 1 to 256 messages", part);
	add(into, part, batch);
}

static void
take_rate(const char *part, void *into)
{
	uint64_t rate = parse_number(part, false);

	if (rate < 1)
		refuse("not a rate", part);
	add(into, part, rate);
}

static void
take_pauses(const char *part, void *into)
{
	uint64_t n = strcmp(part, "own") ? parse_number(part, false)
					 : (uint64_t)PAUSES_OWN;

	if (n != (uint64_t)PAUSES_OWN && n > 1000000)
		refuse("too many pauses", part);
	add(into, part, n);
}

static void
take_mode(const char *part, void *into)
{
	int mode;

	for (mode = 0; mode < MODE_COUNT; mode++)
		if (strcmp(part, mode_name((enum bench_mode)mode)) == 0)
			break;
	if (mode == MODE_COUNT)
		refuse("no such mode", part);
	*(unsigned *)into |= 1u << mode;
}

static void
take_wait(const char *part, void *into)
{
	int wait;

	for (wait = 0; wait < WAIT_COUNT; wait++)
		if (strcmp(part, wait_name((enum bench_wait)wait)) == 0)
			break;
	if (wait == WAIT_COUNT)
		refuse("no such way to wait", part);
	*(unsigned *)into |= 1u << wait;
}

static void
take_pairs(const char *part, void *into)
{
	struct pairs p;
	char end;

	(void)into;
	if (sscanf(part, "%ux%u%c", &p.senders, &p.receivers, &end) != 2 ||
	    !p.senders || !p.receivers || p.senders > BENCH_WORKERS ||
	    p.senders + p.receivers > BENCH_WORKERS)
		refuse("pairs are like 2x2, at most 64 participants", part);
	if (options.n_pairs == LIST)
		refuse("too many values", part);
	options.pairs[options.n_pairs++] = p;
}

struct cpu_list {
	int *cpus;
	size_t *n;
};

static void
take_cpu(const char *part, void *into)
{
	struct cpu_list *list = into;
	int allowed[SYSTEM_CPUS], n = system_cpus(allowed);
	int i, cpu = (int)parse_number(part, false);

	for (i = 0; i < n && allowed[i] != cpu; i++)
		;
	if (i == n)
		refuse("this process may not use CPU", part);
	if (*list->n == LIST)
		refuse("too many values", part);
	list->cpus[(*list->n)++] = cpu;
}

static enum place
parse_place(const char *text)
{
	int place;

	for (place = 0; place < PLACE_COUNT; place++)
		if (strcmp(text, system_place_name((enum place)place)) == 0)
			return (enum place)place;
	refuse("no such place", text);
	return PLACE_NONE;
}

static enum verify_level
parse_verify(const char *text)
{
	if (strcmp(text, "none") == 0)
		return VERIFY_NONE;
	if (strcmp(text, "full") == 0)
		return VERIFY_FULL;
	if (strcmp(text, "seq"))
		refuse("--verify is none, seq or full", text);
	return VERIFY_SEQ;
}

static enum bench_fault
parse_fault(const char *text)
{
	static const char *const names[] = { "none", "lose", "duplicate",
					     "reorder", "corrupt" };
	int fault;

	for (fault = 0; fault < FAULT_COUNT; fault++)
		if (strcmp(text, names[fault]) == 0)
			return (enum bench_fault)fault;
	refuse("no such fault", text);
	return FAULT_NONE;
}

static void
parse_options(int argc, char **argv)
{
	enum {
		LIST_ALL = 256,
		MODE,
		RATE,
		DEPTH,
		BATCH,
		PAIRS,
		WAIT,
		PAUSE,
		PLACE,
		CPU_SEND,
		CPU_RECV,
		VERIFY,
		BASELINE,
		FORMAT,
		HDR,
		TIMEOUT,
		SEED,
		QUICK,
		FAULT,
		HELP,
	};
	static const struct option known[] = {
		{ "mech", 1, NULL, 'm' },
		{ "list", 0, NULL, LIST_ALL },
		{ "mode", 1, NULL, MODE },
		{ "size", 1, NULL, 's' },
		{ "count", 1, NULL, 'n' },
		{ "duration", 1, NULL, 'd' },
		{ "warmup", 1, NULL, 'w' },
		{ "repeat", 1, NULL, 'r' },
		{ "rate", 1, NULL, RATE },
		{ "depth", 1, NULL, DEPTH },
		{ "batch", 1, NULL, BATCH },
		{ "pairs", 1, NULL, PAIRS },
		{ "wait", 1, NULL, WAIT },
		{ "pause", 1, NULL, PAUSE },
		{ "place", 1, NULL, PLACE },
		{ "cpu-send", 1, NULL, CPU_SEND },
		{ "cpu-recv", 1, NULL, CPU_RECV },
		{ "verify", 1, NULL, VERIFY },
		{ "baseline", 1, NULL, BASELINE },
		{ "format", 1, NULL, FORMAT },
		{ "out", 1, NULL, 'o' },
		{ "hdr", 1, NULL, HDR },
		{ "timeout", 1, NULL, TIMEOUT },
		{ "seed", 1, NULL, SEED },
		{ "quick", 0, NULL, QUICK },
		{ "fault", 1, NULL, FAULT }, /* for the tests of the bench */
		{ "help", 0, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	struct options *o = &options;
	struct cpu_list send = { o->senders, &o->n_senders };
	struct cpu_list receive = { o->receivers, &o->n_receivers };
	int c;

	while ((c = getopt_long(argc, argv, "m:s:n:d:w:r:o:", known, NULL)) !=
	       -1) {
		switch (c) {
		case 'm':
			o->names = optarg;
			break;
		case 's':
			each(optarg, take_size, &o->sizes);
			break;
		case 'n':
			o->job.count = parse_number(optarg, false);
			if (!o->job.count || o->job.count > VERIFY_MOST)
				refuse("--count is 1 to 2^30", optarg);
			break;
		case 'd':
			o->job.duration = parse_time(optarg);
			break;
		case 'w':
			o->job.warmup = parse_time(optarg);
			break;
		case 'r':
			o->repeat = (unsigned)parse_number(optarg, false);
			if (!o->repeat || o->repeat > REPORT_REPEAT)
				refuse("--repeat is 1 to 100", optarg);
			break;
		case 'o':
			o->out = optarg;
			break;
		case LIST_ALL:
			o->list = true;
			break;
		case MODE:
			each(optarg, take_mode, &o->modes);
			break;
		case RATE:
			each(optarg, take_rate, &o->rates);
			break;
		case DEPTH:
			o->job.depth = parse_number(optarg, false);
			if (!o->job.depth)
				refuse("not a depth", optarg);
			break;
		case BATCH:
			each(optarg, take_batch, &o->batches);
			break;
		case PAIRS:
			each(optarg, take_pairs, NULL);
			break;
		case WAIT:
			each(optarg, take_wait, &o->waits);
			break;
		case PAUSE:
			each(optarg, take_pauses, &o->pauses);
			break;
		case PLACE:
			o->place = parse_place(optarg);
			o->place_given = true;
			break;
		case CPU_SEND:
			each(optarg, take_cpu, &send);
			break;
		case CPU_RECV:
			each(optarg, take_cpu, &receive);
			break;
		case VERIFY:
			o->job.verify = parse_verify(optarg);
			break;
		case BASELINE:
			o->baseline = optarg;
			break;
		case FORMAT:
			o->formats = optarg;
			break;
		case HDR:
			o->hdr = optarg;
			break;
		case TIMEOUT:
			o->timeout = parse_time(optarg);
			break;
		case SEED:
			seed = parse_number(optarg, false);
			break;
		case QUICK:
			o->quick = true;
			break;
		case FAULT:
			o->job.fault = parse_fault(optarg);
			break;
		case HELP:
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc)
		refuse("what is this?", argv[optind]);
}

/* ------------------------------------------------------------- mechanisms */

static void
collect(const struct mechanism *const *list)
{
	for (; *list; list++)
		if (n_mechanisms < MECHANISMS)
			mechanisms[n_mechanisms++] = *list;
}

static const char *
group_of(const struct mechanism *m)
{
	const struct mechanism *const *list;

	if (m->caps & CAP_BASELINE)
		return "baselines";
	for (list = ring_mechanisms; *list; list++)
		if (*list == m)
			return "shmring";
	for (list = adapter_mechanisms(); *list; list++)
		if (*list == m)
			return "adapters";
	return "peers";
}

static bool wanted_found;

static void
compare_name(const char *part, void *into)
{
	const struct mechanism *m = into;

	wanted_found |=
		strcmp(part, m->name) == 0 || strcmp(part, group_of(m)) == 0;
}

/** Asked for by name or group; baselines belong to every run. */
static bool
wanted(const struct mechanism *m)
{
	if (!options.names || (m->caps & CAP_BASELINE))
		return true;
	wanted_found = false;
	each(options.names, compare_name, (void *)(uintptr_t)m);
	return wanted_found;
}

static void
check_name(const char *part, void *into)
{
	size_t i;

	(void)into;
	for (i = 0; i < n_mechanisms; i++)
		if (strcmp(part, mechanisms[i]->name) == 0 ||
		    strcmp(part, group_of(mechanisms[i])) == 0)
			return;
	refuse("no such mechanism (--list names them)", part);
}

static void
list_mechanisms(void)
{
	size_t i;

	for (i = 0; i < n_mechanisms; i++)
		printf("%-10s %-20s %s%s%s\n", group_of(mechanisms[i]),
		       mechanisms[i]->name,
		       mechanisms[i]->summary ? mechanisms[i]->summary : "",
		       mechanisms[i]->missing ? " -- not built in, needs " : "",
		       mechanisms[i]->missing ? mechanisms[i]->missing : "");
}

/* -------------------------------------------------------------- the cases */

/* What a mode measures if nothing else is asked for. */
static const struct defaults {
	struct sizes sizes, quick_sizes;
	unsigned waits;
	struct pairs pairs[4];
} defaults[MODE_COUNT] = {
	[MODE_PING_PONG] = { { 2, { 8, 64 } },
			     { 1, { 8 } },
			     1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			     { { 1, 1 } } },
	[MODE_THROUGHPUT] = { { 6, { 8, 16, 64, 256, 1024, 4096 } },
			      { 1, { 64 } },
			      1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			      { { 1, 1 } } },
	[MODE_UNDER_LOAD] = { { 1, { 64 } },
			      { 1, { 16 } },
			      1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			      { { 1, 1 } } },
	[MODE_FAN_IN] = { { 1, { 64 } },
			  { 1, { 16 } },
			  1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			  { { 2, 1 }, { 4, 1 } } },
	[MODE_FAN_OUT] = { { 1, { 64 } },
			   { 1, { 16 } },
			   1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			   { { 1, 2 }, { 1, 4 } } },
	[MODE_MANY_TO_MANY] = { { 2, { 8, 64 } },
				{ 1, { 16 } },
				1u << WAIT_SPIN | 1u << WAIT_BLOCK,
				{ { 1, 1 }, { 2, 2 } } },
	[MODE_OVERSUBSCRIBED] = { { 2, { 8, 64 } },
				  { 1, { 16 } },
				  1u << WAIT_SPIN | 1u << WAIT_YIELD |
					  1u << WAIT_BLOCK,
				  { { 4, 4 }, { 8, 8 } } },
	[MODE_SETUP_COST] = { { 1, { 64 } },
			      { 1, { 64 } },
			      1u << WAIT_BLOCK,
			      { { 1, 1 } } },
	[MODE_LIMITS] = { { 3, { 64, 1024, 4096 } },
			  { 1, { 64 } },
			  1u << WAIT_SPIN,
			  { { 1, 1 } } },
};

/** The CPU of each participant: spread as asked, or not pinned. */
static const int *
assign_cpus(unsigned senders, unsigned receivers)
{
	static int free_cpus[BENCH_WORKERS], pinned[BENCH_WORKERS];
	static int crowd[BENCH_WORKERS];
	const struct options *o = &options;
	unsigned i;
	int *cpus = senders + receivers > 2 ? crowd : pinned;

	for (i = 0; i < BENCH_WORKERS; i++)
		free_cpus[i] = -1;
	if (!o->n_senders || (senders + receivers > 2 && o->n_senders == 1))
		return free_cpus;
	for (i = 0; i < senders; i++)
		cpus[i] = o->senders[i % o->n_senders];
	for (i = 0; i < receivers; i++)
		cpus[senders + i] = o->receivers[i % o->n_receivers];
	return cpus;
}

static void
add_row(const struct job *job)
{
	struct row *rows =
		realloc(report.rows, (report.count + 1) * sizeof(*rows));

	if (!rows) {
		fprintf(stderr, "shmbench: no memory\n");
		exit(EXIT_SPOILT);
	}
	report.rows = rows;
	memset(&rows[report.count], 0, sizeof(*rows));
	rows[report.count++].job = *job;
}

/** The ways to spin: the mechanism's own, and looking again. */
static void
add_spins(struct job *job)
{
	static const struct sizes standard = {
		4, { (size_t)PAUSES_OWN, 0, 1, 32 }
	};
	static const struct sizes once = { 1, { 1 } };
	const struct sizes *list = job->mode == MODE_LIMITS ? &once
				   : options.pauses.n	    ? &options.pauses
							    : &standard;
	unsigned caps = job->mechanism->caps;
	bool any = false;
	size_t i;

	for (i = 0; i < list->n; i++) {
		job->style.pauses = (int)list->value[i];
		if (job->style.pauses == PAUSES_OWN && !(caps & CAP_OWN_SPIN))
			continue;
		if (job->style.pauses > 1 && (caps & CAP_SLOW))
			continue;
		add_row(job);
		any = true;
	}
	job->style.pauses = 1;
	if (!any)
		add_row(job);
}

static void
add_styles(struct job *job, unsigned waits)
{
	static const unsigned needs[WAIT_COUNT] = {
		[WAIT_SPIN] = CAP_SPIN,
		[WAIT_YIELD] = CAP_SPIN,
		[WAIT_BLOCK] = CAP_BLOCK,
		[WAIT_HYBRID] = CAP_HYBRID,
	};
	unsigned caps = job->mechanism->caps;
	int wait;

	if (caps & CAP_BASELINE) {
		job->style = (struct style){ caps & CAP_SPIN ? WAIT_SPIN
							     : WAIT_BLOCK,
					     0 };
		add_row(job);
		return;
	}
	for (wait = 0; wait < WAIT_COUNT; wait++) {
		if (!(waits & 1u << wait) || !(caps & needs[wait]))
			continue;
		if (wait == WAIT_BLOCK && job->batch > 1)
			continue; /* batches look again */
		job->style.wait = (enum bench_wait)wait;
		job->style.pauses = 0;
		if (wait == WAIT_SPIN)
			add_spins(job);
		else
			add_row(job);
	}
}

/** All sizes, batches, pairs and rates of a mechanism in a mode. */
static void
add_work(const struct mechanism *m, enum bench_mode mode,
	 const struct sizes *sizes, const struct sizes *batches)
{
	static const struct sizes rates = { 3, { 10000, 100000, 1000000 } };
	static const struct sizes quick_rates = { 1, { 10000 } };
	static const struct sizes no_rate = { 1, { 0 } };
	const struct sizes *loads = mode != MODE_UNDER_LOAD ? &no_rate
				    : options.rates.n	    ? &options.rates
				    : options.quick	    ? &quick_rates
							    : &rates;
	const struct pairs *pairs = defaults[mode].pairs;
	size_t n_pairs = options.quick ? 1 : 4, s, b, p, r;
	/* Briefly, and perhaps on a busy machine: give the CPU away. */
	unsigned waits = options.waits	 ? options.waits
			 : options.quick ? 1u << WAIT_YIELD | 1u << WAIT_BLOCK
					 : defaults[mode].waits;
	bool crowd = mode >= MODE_FAN_IN && mode <= MODE_OVERSUBSCRIBED;
	struct job job = options.job;

	/* Briefly, and perhaps on a busy machine: give the CPU away. */
	if (options.quick && !options.waits && waits & 1u << WAIT_BLOCK &&
	    waits & 1u << WAIT_SPIN)
		waits = 1u << WAIT_BLOCK | 1u << WAIT_YIELD;
	if (options.n_pairs && crowd) {
		pairs = options.pairs;
		n_pairs = options.n_pairs;
	}
	job.mechanism = m;
	job.mode = mode;
	for (p = 0; p < n_pairs && pairs[p].senders; p++)
		for (s = 0; s < sizes->n; s++)
			for (b = 0; b < batches->n; b++)
				for (r = 0; r < loads->n; r++) {
					job.senders = pairs[p].senders;
					job.receivers = pairs[p].receivers;
					job.size = sizes->value[s];
					job.batch = (unsigned)batches->value[b];
					job.rate = loads->value[r];
					job.cpus = assign_cpus(job.senders,
							       job.receivers);
					add_styles(&job, waits);
				}
}

/** Whether this mode makes sense for the mechanism at all. */
static bool
fits(const struct mechanism *m, enum bench_mode mode)
{
	switch (mode) {
	case MODE_FAN_IN:
		return m->caps & CAP_MANY_SENDERS;
	case MODE_FAN_OUT:
		return m->caps & CAP_MANY_RECEIVERS;
	case MODE_MANY_TO_MANY:
	case MODE_OVERSUBSCRIBED:
		return (m->caps & CAP_MANY_SENDERS) &&
		       (m->caps & CAP_MANY_RECEIVERS);
	case MODE_UNDER_LOAD:
	case MODE_SETUP_COST:
	case MODE_LIMITS:
		return !(m->caps & CAP_BASELINE);
	default:
		return true;
	}
}

/** A baseline only where it has something to say. */
static bool
silent(const struct mechanism *m, enum bench_mode mode, size_t size)
{
	struct job job = {
		.mechanism = m, .mode = mode, .size = size, .batch = 1
	};

	return (m->caps & CAP_BASELINE) && m->refuses(&job);
}

static void
add_mode(enum bench_mode mode, const struct sizes *sizes,
	 const struct sizes *batches)
{
	size_t i, s;

	for (s = 0; s < sizes->n; s++) {
		struct sizes one = { 1, { sizes->value[s] } };

		for (i = 0; i < n_mechanisms; i++) {
			const struct mechanism *m = mechanisms[i];

			if (!wanted(m) || !fits(m, mode) ||
			    silent(m, mode, one.value[0]))
				continue;
			if (batches->value[0] > 1 && !(m->caps & CAP_BATCH) &&
			    !(m->caps & CAP_BASELINE) && !options.names)
				continue;
			add_work(m, mode, &one, batches);
		}
	}
}

static void
add_programme(void)
{
	static const struct sizes single = { 1, { 1 } };
	static const struct sizes batches = { 2, { 16, 64 } };
	static const struct sizes small = { 2, { 8, 64 } };
	static const struct sizes large = { 3, { 64 << 10, 1 << 20, 8 << 20 } };
	unsigned modes = options.modes ? options.modes : (1u << MODE_COUNT) - 1;
	int mode;

	for (mode = 0; mode < MODE_COUNT; mode++) {
		const struct sizes *sizes = &defaults[mode].sizes;

		if (!(modes & 1u << mode))
			continue;
		if (options.sizes.n)
			sizes = &options.sizes;
		else if (options.quick)
			sizes = &defaults[mode].quick_sizes;
		add_mode((enum bench_mode)mode, sizes,
			 options.batches.n ? &options.batches : &single);
		if (mode != MODE_THROUGHPUT || options.sizes.n ||
		    options.batches.n || options.quick)
			continue;
		add_mode(MODE_THROUGHPUT, &small, &batches);
		add_mode(MODE_THROUGHPUT, &large, &single);
	}
}

/* ------------------------------------------------------------- the running */

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	stop = number;
}

static void
progress(size_t done, size_t all, const struct row *row)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (row)
		fprintf(stderr, "\r[%zu/%zu] %s %s %zu B\033[K", done, all,
			mode_name(row->job.mode), row->job.mechanism->name,
			row->job.size);
	else
		fprintf(stderr, "\r\033[K");
}

/** One repetition of a row. */
static void
repeat_row(struct row *row)
{
	static struct outcome outcome;
	unsigned k = row->repetitions;
	int m;

	run_job(&row->job, options.timeout, &outcome);
	if (outcome.status != RUN_DONE) {
		row->status = outcome.status;
		snprintf(row->text, sizeof(row->text), "%s", outcome.text);
		return;
	}
	for (m = 0; m < METRIC_COUNT; m++)
		row->value[m][k] = outcome.value[m];
	histogram_add(&row->histogram, &outcome.histogram);
	row->repetitions++;
}

/** All rows take turns, beginning with another one each round. */
static void
run_all(void)
{
	size_t i, start, all = report.count * options.repeat;
	unsigned r;

	for (r = 0; r < options.repeat && !stop; r++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		start = (size_t)(seed >> 33) % report.count;
		for (i = 0; i < report.count && !stop; i++) {
			struct row *row =
				&report.rows[(start + i) % report.count];

			progress(r * report.count + i + 1, all, row);
			if (row->status == RUN_DONE)
				repeat_row(row);
		}
	}
	progress(0, 0, NULL);
}

/** Which CPUs: as told, or by topology. */
static void
choose_cpus(void)
{
	struct options *o = &options;
	enum place tries[] = { PLACE_CACHE, PLACE_SIBLING, PLACE_ACROSS,
			       PLACE_SAME };
	int cpus[SYSTEM_CPUS], n = system_cpus(cpus);
	size_t i;

	if (!o->n_senders != !o->n_receivers)
		refuse("--cpu-send and --cpu-recv go together",
		       "one is missing");
	if (o->place_given && o->n_senders)
		refuse("--place and --cpu-send exclude each other", "");
	if (n < 2 && !(o->place_given && o->place <= PLACE_SAME))
		fprintf(stderr, "shmbench: only one CPU: senders and receivers "
				"take turns on it\n");
	if (o->place_given && o->place == PLACE_NONE) {
		snprintf(placement, sizeof(placement), "not pinned");
		return;
	}
	for (i = 0; !o->n_senders && i < 4; i++)
		if ((!o->place_given || tries[i] == o->place) &&
		    system_pair(tries[i], &o->senders[0], &o->receivers[0]))
			o->n_senders = o->n_receivers = 1;
	if (!o->n_senders)
		refuse("no two CPUs here stand so",
		       system_place_name(o->place));
	snprintf(placement, sizeof(placement),
		 "sender on CPU %d, receiver on CPU %d (%s); more than two are "
		 "%s",
		 o->senders[0], o->receivers[0],
		 system_place_name(
			 system_relation(o->senders[0], o->receivers[0])),
		 o->n_senders > 1 ? "pinned in turn" : "not pinned");
}

/* ------------------------------------------------------------------ output */

static const struct {
	const char *name;
	void (*write)(const struct report *report, FILE *out);
} formats[] = {
	{ "text", report_text },
	{ "json", report_json },
	{ "csv", report_csv },
	{ "md", report_markdown },
};

static size_t
format_of(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, name) == 0)
			return i;
	refuse("no such format", name);
	return 0;
}

static void
check_format(const char *part, void *into)
{
	(void)into;
	format_of(part);
}

static void
write_format(const char *part, void *into)
{
	bool several = strchr(options.formats, ',') != NULL;
	bool *good = into;
	char path[512];
	FILE *out;

	if (!options.out) {
		formats[format_of(part)].write(&report, stdout);
		return;
	}
	snprintf(path, sizeof(path), several ? "%s.%s" : "%s", options.out,
		 part);
	out = fopen(path, "w");
	if (out)
		formats[format_of(part)].write(&report, out);
	if (!out || fclose(out)) {
		perror(path);
		*good = false;
	}
}

static void
write_all(bool *good)
{
	/* Figures in a file, and a table to look at. */
	if (options.out)
		report_text(&report, stdout);
	each(options.formats, write_format, good);
	if (options.hdr && !report_histograms(&report, options.hdr)) {
		fprintf(stderr, "shmbench: cannot write %s...\n", options.hdr);
		*good = false;
	}
}

/** Whether all that was asked for was done, and nothing was damaged. */
static bool
all_well(void)
{
	bool well = true;
	size_t i;

	for (i = 0; i < report.count; i++) {
		const struct row *row = &report.rows[i];

		if (row->status == RUN_FAILED || row_spoilt(row))
			well = false;
		/* That a peer gets stuck is a finding. */
		if (row->status == RUN_TIMEOUT &&
		    strcmp(group_of(row->job.mechanism), "peers"))
			well = false;
		/* Asked for by name, it should not just be left out. */
		if (options.names && row->status != RUN_DONE)
			well = false;
	}
	return well;
}

static void
remember_command(int argc, char **argv)
{
	static char text[1024];
	size_t n = 0;
	int i;

	for (i = 0; i < argc && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
				      i ? " " : "", i ? argv[i] : "shmbench");
	report.command = text;
}

int
main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	bool good = true;

	remember_command(argc, argv);
	parse_options(argc, argv);
	each(options.formats, check_format, NULL);
	collect(baseline_mechanisms);
	collect(ring_mechanisms);
	collect(peer_mechanisms);
	collect(adapter_mechanisms());
	if (options.list) {
		list_mechanisms();
		return EXIT_SUCCESS;
	}
	if (options.names)
		each(options.names, check_name, NULL);
	if (!options.repeat)
		options.repeat = options.quick ? 1 : 5;
	if (!options.job.duration)
		options.job.duration = options.quick ? 20 * MS : 150 * MS;
	if (!options.job.warmup)
		options.job.warmup = options.quick ? 5 * MS : 50 * MS;
	if (!options.timeout)
		options.timeout = (options.quick ? 5 : 20) * BENCH_SECOND;
	choose_cpus();
	add_programme();
	report.baseline = options.baseline;
	report.placement = placement;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	run_all();
	if (stop)
		return 128 + stop;
	report_choose(&report);
	write_all(&good);
	report_sanity(&report, options.out ? stdout : stderr);
	return good && all_well() ? EXIT_SUCCESS : EXIT_SPOILT;
}
