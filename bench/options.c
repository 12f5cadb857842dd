/* SPDX-License-Identifier: MIT */
/* options.c - the command line */
#include "options.h"

#include "report.h"

#include <ctype.h>
#include <getopt.h>
#include <unistd.h>

#define MS (BENCH_SECOND / 1000)
#define QUICK_MESSAGES 200 /* to measure */
#define FILL_MOST 100000 /* to look for a depth */

struct options options = {
	.job = { .verify = VERIFY_SUM },
	.baseline = "pipe",
};

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
		"                       many-to-many oversubscribed broadcast "
		"setup-cost\n"
		"                       limits\n"
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
		"(own,0,32,128,512)\n"
		"      --place WHERE    none same-core smt llc across\n"
		"      --cpu-send LIST --cpu-recv LIST   these CPUs\n"
		"      --verify WHAT    none seq sum full: while measuring "
		"(sum); "
		"warming up is\n"
		"                       always full\n"
		"      --baseline NAME  for the ratios (pipe)\n"
		"      --format LIST    text json csv md; brief: one table of "
		"all\n"
		"  -o, --out FILE       where to; of several formats the stem\n"
		"      --hdr STEM       a histogram a row: STEM.<row>.hgrm\n"
		"      --timeout TIME   for one repetition (20s)\n"
		"      --seed N         of the order in which rows take turns\n"
		"      --quick          everything, briefly: does it work?\n"
		"      --bars[=WORD]    what shmring wants to reach, and "
		"whether "
		"it does\n");
}

void
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

void
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
	static const char *const levels[] = {
		[VERIFY_NONE] = "none",
		[VERIFY_SEQ] = "seq",
		[VERIFY_SUM] = "sum",
		[VERIFY_FULL] = "full",
	};
	int level;

	for (level = VERIFY_NONE; level <= VERIFY_FULL; level++)
		if (strcmp(text, levels[level]) == 0)
			return (enum verify_level)level;
	refuse("--verify is none, seq, sum or full", text);
	return VERIFY_NONE;
}

static enum bench_fault
parse_fault(const char *text)
{
	static const char *const names[] = { "none",	"lose",	   "duplicate",
					     "reorder", "corrupt", "hurry" };
	int fault;

	for (fault = 0; fault < FAULT_COUNT; fault++)
		if (strcmp(text, names[fault]) == 0)
			return (enum bench_fault)fault;
	refuse("no such fault", text);
	return FAULT_NONE;
}

/** What was not said. */
static void
set_defaults(struct options *o)
{
	bool quick = o->quick;
	bool brief = quick || o->bars;

	if (!o->repeat)
		o->repeat = quick ? 1 : 5;
	if (!o->formats)
		o->formats = quick ? "brief" : "text";
	/* Briefly: so many messages that it works or does not. */
	if (!o->job.count && !o->job.duration && quick)
		o->job.count = QUICK_MESSAGES;
	if (!o->job.duration)
		o->job.duration = brief ? 60 * MS : 150 * MS;
	if (!o->job.warmup)
		o->job.warmup = quick ? 1 : brief ? 30 * MS : 50 * MS;
	o->job.fill = quick ? QUICK_MESSAGES * 10 : FILL_MOST;
	/* A watchdog, no measure: on a busy machine all takes longer. */
	if (!o->timeout)
		o->timeout = 20 * BENCH_SECOND;
}

void
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
		BARS,
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
		{ "bars", 2, NULL, BARS },
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
			o->seed = parse_number(optarg, false);
			break;
		case QUICK:
			o->quick = true;
			break;
		case BARS:
			o->bars = true;
			o->only = optarg;
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
	set_defaults(o);
}
