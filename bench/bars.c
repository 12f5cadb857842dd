/* SPDX-License-Identifier: MIT */
/*
 * bars.c - the figures that shmring wants to reach, and whether it does.
 *
 * A bar compares two sides on the same work, each at its best way to wait:
 * shmring with the best of some peers, or with a limit of the machine. What is
 * told is the median of the ratios within each repetition, and between which
 * values these lie. All comes from the rows that every other table is made of,
 * but for the memory, which is read off real segments.
 */
#include "bars.h"

#include "cases.h"
#include "shmring.h"

#include <math.h>
#include <sys/stat.h>

#define SPIN (1u << WAIT_SPIN)
#define YIELD (1u << WAIT_YIELD)
#define BLOCK (1u << WAIT_BLOCK)
#define HYBRID (1u << WAIT_HYBRID)
#define BEST (SPIN | YIELD | BLOCK) /* the best of these that a side has */
#define IDLE_SECONDS 3 /* to be idle, but for a message each */
#define LARGE (64 << 10) /* bytes: told as bytes a second */
#define IDLE 62 /* participants beside the two that work */

/* Libraries and techniques to choose from. Where a peer's message is read in
 * place, ours may be, too. */
#define SPSC_OURS "shmring-spsc,shmring-spsc-zero"
#define SPSC_LIBRARIES "boost-spsc,ck-spsc,rte-spsc,moody-spsc,moody-circular"
#define SPSC_OTHERS SPSC_LIBRARIES ",cached-apart"
#define SPSC_PEERS SPSC_OTHERS ",cached-together"
/* The best that we know of for elements of one size, and for any. */
#define SPSC_FIXED "flagged,blocks,cached-together"
#define SPSC_ANY "records,qb"
#define MPMC_RINGS "ck-mpmc,rte-mpmc,rte-rts,rte-hts"
#define MPMC_PEERS MPMC_RINGS ",boost-queue,tbb-bounded"
#define SYSTEM "pipe,unix_stream,unix_dgram,unix_seqpacket,posix_mq,sysv_msg"

/* Who does the work, and how. */
struct side {
	const char *names;
	unsigned waits;
	size_t size, depth; /* 0: the bar's, the usual */
	unsigned idle; /* participants attached beside */
};

#define WHO(list, ways)                          \
	{                                        \
		.names = (list), .waits = (ways) \
	}
#define OURS(ways) .ours = WHO("shmring-spsc", ways)
#define OURS_MANY(ways) .ours = WHO("shmring-mpmc", ways)
#define THEIRS(list, ways) .theirs = WHO(list, ways)
#define SIZES(...) .sizes = { __VA_ARGS__ }

enum sense {
	FASTER, /* at least so many times their rate */
	SLOWER, /* at most so many times their time */
	LATER, /* at most so many ns more than theirs */
	COMPARED, /* how many times their rate; nothing is promised */
	PORTION, /* at most this part of a CPU; there is no other side */
};

static const struct bar {
	const char *figure;
	enum sense sense;
	double limit;
	const char *than; /* what the limit multiplies */
	enum bench_mode mode;
	size_t sizes[8]; /* a line of the table each */
	struct side ours, theirs;
	enum metric metric; /* that is compared */
	unsigned batch, pairs, readers; /* 0: one; readers: of MODE_BROADCAST */
	uint64_t rate;
	bool one_cpu; /* both sides on it */
	enum verify_level verify; /* NONE: the usual */
} bars[] = {
#define ONE_BY_ONE                                                           \
	.figure = "SPSC throughput, one at a time", .mode = MODE_THROUGHPUT, \
	.sense = FASTER, .metric = METRIC_NS, .ours = WHO(SPSC_OURS, BEST)
	{ ONE_BY_ONE, .limit = 1.5, .than = "best peer but cached-together",
	  SIZES(8, 16), THEIRS(SPSC_OTHERS, BEST) },
	{ ONE_BY_ONE, .limit = 1.0, .than = "cached-together", SIZES(8, 16),
	  THEIRS("cached-together", BEST) },
	{ ONE_BY_ONE, .limit = 1.5, .than = "best peer",
	  SIZES(64, 256, 1024, 4096), THEIRS(SPSC_PEERS, BEST) },
	{ ONE_BY_ONE, .limit = 1.0, .than = "best technique of fixed size",
	  SIZES(8, 16, 64, 256, 1024, 4096), THEIRS(SPSC_FIXED, BEST) },
	{ ONE_BY_ONE, .limit = 1.2, .than = "best technique of any size",
	  SIZES(8, 16, 64, 256, 1024, 4096), THEIRS(SPSC_ANY, BEST) },
#define BATCHES(n, least, whose, names)                                        \
	{                                                                      \
		.figure = "SPSC throughput, batches of " #n,                   \
		.mode = MODE_THROUGHPUT, .sense = FASTER, .metric = METRIC_NS, \
		.batch = n, .limit = least, .than = "best " whose "'s batch",  \
		SIZES(8, 64), OURS(BEST), THEIRS(names, SPIN | YIELD)          \
	}
#define BATCHES_OF_PEERS(n) \
	BATCHES(n, 2, "peer", "rte-spsc,boost-spsc,moody-concurrent")
#define BATCHES_OF_TECHNIQUES(n) \
	BATCHES(n, 1, "technique", "cached-together,blocks")
	BATCHES_OF_PEERS(16),
	BATCHES_OF_PEERS(64),
	BATCHES_OF_TECHNIQUES(2),
	BATCHES_OF_TECHNIQUES(16),
	BATCHES_OF_TECHNIQUES(64),
#define FRAMES                                                        \
	.mode = MODE_THROUGHPUT, .metric = METRIC_NS,                 \
	SIZES(64 << 10, 256 << 10, 1 << 20, 8 << 20),                 \
	.ours = WHO("shmring-spsc-zero", BEST), .than = "one memcpy", \
	THEIRS("memcpy-ring", SPIN)
	{ FRAMES, .figure = "SPSC throughput, in place, copied in only",
	  .sense = FASTER, .limit = 0.9, .verify = VERIFY_SEQ },
	{ FRAMES, .figure = "SPSC throughput, in place, and every byte read",
	  .sense = COMPARED },
#define ROUND_TRIP                                                     \
	.figure = "SPSC round trip, spinning", .mode = MODE_PING_PONG, \
	.sense = SLOWER, .metric = METRIC_NS, SIZES(8, 16, 56)
	{ ROUND_TRIP, .limit = 0.85, .than = "best peer", OURS(SPIN),
	  THEIRS(SPSC_PEERS, SPIN) },
	{ ROUND_TRIP, .limit = 1.0, .than = "best technique", OURS(SPIN),
	  THEIRS(SPSC_FIXED "," SPSC_ANY, SPIN) },
	/* who copy nothing */
	{ ROUND_TRIP, .limit = 1.1, .than = "bare fresh lines",
	  .ours = WHO(SPSC_OURS, SPIN),
	  .theirs = { "lines-fresh", SPIN, .size = 8 } },
	{ .figure = "SPSC round trip, in place, aligned to 64",
	  .mode = MODE_PING_PONG,
	  .sense = SLOWER,
	  .limit = 1.05,
	  .than = "of 8 bytes",
	  .metric = METRIC_NS,
	  SIZES(56),
	  .ours = WHO("shmring-aligned", SPIN),
	  .theirs = { "shmring-aligned", SPIN, .size = 8 } },
#define CROWD(n, kind)                                                     \
	.figure = "MPMC throughput, " #n "x" #n, .pairs = n, .mode = kind, \
	.metric = METRIC_NS, SIZES(8, 64), OURS_MANY(BEST)
	{ CROWD(1, MODE_MANY_TO_MANY), .sense = FASTER, .limit = 1.2,
	  .than = "best FIFO peer", THEIRS(MPMC_PEERS, BEST) },
	{ CROWD(2, MODE_MANY_TO_MANY), .sense = FASTER, .limit = 1.2,
	  .than = "best FIFO peer", THEIRS(MPMC_PEERS, BEST) },
	{ CROWD(1, MODE_MANY_TO_MANY), .sense = COMPARED,
	  .than = "the same queue that a killed process blocks",
	  THEIRS("vyukov", BEST) },
	{ CROWD(1, MODE_MANY_TO_MANY), .sense = FASTER, .limit = 0.9,
	  .than = "that one, padded", THEIRS("vyukov-padded", BEST) },
	{ CROWD(2, MODE_MANY_TO_MANY), .sense = FASTER, .limit = 1.5,
	  .than = "that one, padded", THEIRS("vyukov-padded", BEST) },
/* A message that waits in a queue: both sides in one way, told with it. */
#define TAIL(n, way, text)                                                 \
	{                                                                  \
		.figure = "MPMC p99.9 of a message, " text ", " #n "x" #n, \
		.pairs = n, .mode = MODE_OVERSUBSCRIBED, .sense = SLOWER,  \
		.limit = 0.1, .than = "best of ck and rte",                \
		.metric = METRIC_P999, SIZES(64), OURS_MANY(way),          \
		THEIRS(MPMC_RINGS, way)                                    \
	}
#define OVERSUBSCRIBED(n)                                             \
	{ CROWD(n, MODE_OVERSUBSCRIBED), .sense = FASTER, .limit = 3, \
	  .than = "best of ck and rte", THEIRS(MPMC_RINGS, BEST) },   \
		TAIL(n, YIELD, "yielding"), TAIL(n, SPIN, "spinning")
	OVERSUBSCRIBED(4),
	OVERSUBSCRIBED(8),
#define KEPT                                                 \
	.sense = FASTER, .metric = METRIC_NS, .limit = 0.97, \
	.than = "waiting compiled out", SIZES(8, 64)
	{ .figure = "able to sleep, SPSC throughput",
	  KEPT,
	  .mode = MODE_THROUGHPUT,
	  OURS(SPIN),
	  THEIRS("shmring-spsc-deaf", SPIN) },
	{ .figure = "able to sleep, SPSC round trip",
	  KEPT,
	  .mode = MODE_PING_PONG,
	  OURS(SPIN),
	  THEIRS("shmring-spsc-deaf", SPIN) },
	{ .figure = "able to sleep, MPMC 1x1",
	  KEPT,
	  .mode = MODE_MANY_TO_MANY,
	  OURS_MANY(SPIN),
	  THEIRS("shmring-mpmc-deaf", SPIN) },
#define ASLEEP                                                        \
	.mode = MODE_PING_PONG, .sense = SLOWER, .metric = METRIC_NS, \
	.than = "raw futex", SIZES(8), OURS(BLOCK), THEIRS("futex", BLOCK)
	{ ASLEEP, .figure = "round trip, both asleep, two CPUs", .limit = 1.1 },
	{ ASLEEP, .figure = "round trip, both asleep, one CPU", .limit = 1.2,
	  .one_cpu = true },
	{ .figure = "CPU of an idle receiver",
	  .sense = PORTION,
	  .limit = 0.0005,
	  .than = "a core",
	  .mode = MODE_UNDER_LOAD,
	  .rate = 1,
	  SIZES(64),
	  OURS(HYBRID) },
#define SYSTEMS                                                        \
	.mode = MODE_THROUGHPUT, .sense = FASTER, .metric = METRIC_NS, \
	.than = "best of pipe, socket, mq", SIZES(64), THEIRS(SYSTEM, BEST)
	{ SYSTEMS, .figure = "SPSC throughput, spinning", .limit = 50,
	  OURS(SPIN | YIELD) },
	{ SYSTEMS, .figure = "SPSC throughput, blocking", .limit = 10,
	  OURS(BLOCK) },
	{ .figure = "MPMC 1x1 with 64 attached",
	  .mode = MODE_MANY_TO_MANY,
	  .sense = SLOWER,
	  .metric = METRIC_NS,
	  .limit = 1.1,
	  .than = "with 2",
	  SIZES(8, 64),
	  .ours = { "shmring-mpmc", SPIN, .idle = IDLE },
	  THEIRS("shmring-mpmc", SPIN) },
#define GROWN(name, kind, count, text)                                \
	{                                                             \
		.figure = name " with " text " slots", .mode = kind,  \
		.sense = SLOWER, .metric = METRIC_NS, .limit = 1.1,   \
		.than = "with 64", SIZES(8),                          \
		.ours = { name, SPIN, .depth = (count) }, .theirs = { \
			name,                                         \
			SPIN,                                         \
			.depth = 64                                   \
		}                                                     \
	}
#define ENGINE(name, kind)                           \
	GROWN(name, kind, 1 << 10, "1 Ki"),          \
		GROWN(name, kind, 1 << 15, "32 Ki"), \
		GROWN(name, kind, 1 << 20, "1 Mi")
	ENGINE("shmring-spsc", MODE_THROUGHPUT),
	ENGINE("shmring-mpmc", MODE_MANY_TO_MANY),
#define BESIDE_SPSC(name, ours_, least)                                   \
	{                                                                 \
		.figure = "BROADCAST throughput, one reader, " name,      \
		.mode = MODE_THROUGHPUT, .sense = FASTER, .limit = least, \
		.than = "SPSC", .metric = METRIC_NS, SIZES(8, 64, 1024),  \
		.ours = WHO(ours_, BEST), THEIRS("shmring-spsc", BEST)    \
	}
	BESIDE_SPSC("gated", "shmring-broadcast", 0.95),
	BESIDE_SPSC("lossy", "shmring-lossy", 0.9),
	{ .figure = "BROADCAST, lossy: the writer's own rate, 8 readers, 7 of "
		    "them stopped",
	  .mode = MODE_THROUGHPUT,
	  .sense = FASTER,
	  .limit = 0.98,
	  .than = "with one reader",
	  .metric = METRIC_SEND,
	  SIZES(8, 64),
	  .ours = { "shmring-lossy", SPIN, .idle = 7 },
	  THEIRS("shmring-lossy", SPIN) },
	{ .figure = "BROADCAST: what the gate costs a writer whom it does not "
		    "stop",
	  .mode = MODE_THROUGHPUT,
	  .sense = LATER,
	  .limit = 1,
	  .than = "lossy",
	  .metric = METRIC_SEND,
	  SIZES(8, 64),
	  .ours = WHO("shmring-broadcast-skim", SPIN),
	  THEIRS("shmring-lossy-skim", SPIN) },
#define READERS(n)                                                  \
	{ TO_ALL(n), .than = #n " SPSC rings, one after the other", \
	  THEIRS("shmring-spsc-each", BEST) },                      \
	{                                                           \
		TO_ALL(n), .than = "UDP multicast",                 \
			   THEIRS("udp_multicast", BEST)            \
	}
#define TO_ALL(n)                                                     \
	.figure = "BROADCAST throughput, readers: " #n, .readers = n, \
	.mode = MODE_BROADCAST, .sense = FASTER, .limit = 1,          \
	.metric = METRIC_NS, SIZES(8, 64),                            \
	.ours = WHO("shmring-broadcast", BEST)
	READERS(1),
	READERS(2),
	READERS(3),
	READERS(4),
};

#define BARS (sizeof(bars) / sizeof(bars[0]))

/* -------------------------------------------------------------- the rows */

/** What a side does for a line of the table, but for the mechanism. */
static struct job
job_of(const struct bar *bar, const struct side *side, size_t size)
{
	static int same[BENCH_WORKERS];
	struct job job = options.job;
	unsigned i;

	job.mode = bar->mode;
	job.size = side->size ? side->size : size;
	job.batch = bar->batch ? bar->batch : 1;
	job.senders = job.receivers = bar->pairs ? bar->pairs : 1;
	if (bar->readers)
		job.receivers = bar->readers;
	job.rate = bar->rate;
	if (bar->verify)
		job.verify = bar->verify;
	job.depth = side->depth;
	job.idle = side->idle;
	job.cpus = assign_cpus(job.senders, job.receivers);
	for (i = 0; bar->one_cpu && i < BENCH_WORKERS; i++)
		same[i] = job.cpus[0];
	if (bar->one_cpu)
		job.cpus = same;
	if (bar->rate)
		job.count = options.quick ? 2 : IDLE_SECONDS + 1;
	return job;
}

struct adding {
	struct report *report;
	struct job job;
	unsigned waits;
};

static void
add_one(const char *name, void *into)
{
	struct adding *a = into;

	a->job.mechanism = find_mechanism(name);
	add_styles(a->report, &a->job, a->waits);
}

static void
add_side(struct report *report, const struct bar *bar, const struct side *side,
	 size_t size)
{
	struct adding adding = { report, job_of(bar, side, size), side->waits };

	if (side->names)
		each(side->names, add_one, &adding);
}

static bool
asked_for(const struct bar *bar)
{
	return !options.only || strstr(bar->figure, options.only);
}

void
bars_add(struct report *report)
{
	/* what no stream may pass */
	static const struct side limit = WHO("memcpy", SPIN);
	const struct bar *bar;
	const size_t *size;

	for (bar = bars; bar < bars + BARS; bar++)
		for (size = bar->sizes; *size && asked_for(bar); size++) {
			add_side(report, bar, &bar->ours, *size);
			add_side(report, bar, &bar->theirs, *size);
			if (bar->mode == MODE_THROUGHPUT && !bar->batch)
				add_side(report, bar, &limit, *size);
		}
	if (!report->count)
		refuse("no such bar", options.only);
}

/* ------------------------------------------------------------- the verdict */

struct choosing {
	const struct report *report;
	const struct job *job;
	unsigned waits;
	enum metric metric;
	const struct row *best, *failed;
};

static void
choose_one(const char *name, void *into)
{
	struct choosing *c = into;
	size_t i;

	for (i = 0; i < c->report->count; i++) {
		const struct row *row = &c->report->rows[i];
		double value = row_median(row, c->metric);

		if (strcmp(row->job.mechanism->name, name) ||
		    !same_work(&row->job, c->job) ||
		    !(c->waits & 1u << row->job.style.wait))
			continue;
		if (row->status != RUN_DONE || isnan(value))
			c->failed = row;
		else if (!c->best || value < row_median(c->best, c->metric))
			c->best = row;
	}
}

/** The best row of a side; or, in *failed, one without figures. */
static const struct row *
choose(const struct report *report, const struct bar *bar,
       const struct side *side, size_t size, const struct row **failed)
{
	struct job job = job_of(bar, side, size);
	struct choosing c = { .report = report,
			      .job = &job,
			      .waits = side->waits,
			      .metric = bar->metric };

	if (side->names)
		each(side->names, choose_one, &c);
	*failed = c.failed;
	return c.best;
}

/* Of the repetitions that both sides have. */
struct measured {
	double median, least, most;
};

/** What is compared with the limit, of one repetition. */
static double
figure(const struct bar *bar, const struct row *ours, const struct row *theirs,
       unsigned repetition)
{
	const double(*mine)[REPORT_REPEAT] = ours->value;
	double ratio;

	if (bar->sense == LATER)
		return mine[bar->metric][repetition] -
		       theirs->value[bar->metric][repetition];
	if (bar->sense == PORTION)
		return mine[METRIC_CPU_RECEIVE][repetition] *
		       mine[METRIC_RATE][repetition] / 1e9;
	ratio = mine[bar->metric][repetition] /
		theirs->value[bar->metric][repetition];
	return bar->sense == SLOWER ? ratio : 1 / ratio;
}

static struct measured
measure(const struct bar *bar, const struct row *ours, const struct row *theirs)
{
	unsigned n = ours->repetitions;
	double values[REPORT_REPEAT] = { 0 };
	unsigned i;

	if (theirs && theirs->repetitions < n)
		n = theirs->repetitions;
	for (i = 0; i < n; i++)
		values[i] = figure(bar, ours, theirs, i);
	qsort(values, n, sizeof(values[0]), ascending);
	return (struct measured){ (values[(n - 1) / 2] + values[n / 2]) / 2,
				  values[0], values[n - 1] };
}

static bool
met(const struct bar *bar, double value)
{
	return bar->sense == FASTER ? value >= bar->limit : value <= bar->limit;
}

/* ------------------------------------------------------------- the table */

/** "559M/s by ck-spsc, spin/32" */
static void
print_row(const struct bar *bar, const struct row *row, FILE *out)
{
	char cell[CELL];
	bool time = bar->mode == MODE_PING_PONG || bar->metric != METRIC_NS;

	if (time)
		format_time(cell, row_median(row, bar->metric));
	else
		format_number(cell, row_median(row, row->job.size >= LARGE
							    ? METRIC_BYTES
							    : METRIC_RATE));
	fprintf(out, "%s%s by %s", cell,
		time			 ? ""
		: row->job.size >= LARGE ? " B/s"
					 : "/s",
		row->job.mechanism->name);
	if (!(row->job.mechanism->caps & CAP_BASELINE))
		fprintf(out, ", %s", style_name(row->job.style));
}

/** Figure and bar. */
static void
print_bar(const struct bar *bar, size_t size, FILE *out)
{
	static const char *const words[] = {
		[FASTER] = ">=",
		[SLOWER] = "<=",
		[LATER] = "<=",
		[PORTION] = "<=",
	};

	fprintf(out, "| %s, ", bar->figure);
	if (size >= 1 << 20)
		fprintf(out, "%zu MiB", size >> 20);
	else if (size >= 1 << 13)
		fprintf(out, "%zu KiB", size >> 10);
	else
		fprintf(out, "%zu B", size);
	if (bar->sense == COMPARED)
		fprintf(out, " | beside %s", bar->than);
	else if (bar->sense == PORTION)
		fprintf(out, " | %s %g %% of %s", words[bar->sense],
			bar->limit * 100, bar->than);
	else if (bar->sense == LATER)
		fprintf(out, " | %s %g ns more than %s", words[bar->sense],
			bar->limit, bar->than);
	else
		fprintf(out, " | %s %g x %s", words[bar->sense], bar->limit,
			bar->than);
}

static void
print_line(const struct report *report, const struct bar *bar, size_t size,
	   FILE *out)
{
	const struct row *failed, *not_ours;
	const struct row *theirs =
		choose(report, bar, &bar->theirs, size, &failed);
	const struct row *ours =
		choose(report, bar, &bar->ours, size, &not_ours);
	double factor = bar->sense == PORTION ? 100 : 1;
	const char *unit = bar->sense == PORTION ? " %"
			   : bar->sense == LATER ? " ns"
						 : " x";
	struct measured m;

	print_bar(bar, size, out);
	if (!ours || (!theirs && bar->theirs.names)) {
		const struct row *row = ours ? failed : not_ours;

		fprintf(out, " | %s: %s | not measured |\n",
			row->job.mechanism->name, row->text);
		return;
	}
	m = measure(bar, ours, theirs);
	fprintf(out, " | **%.3g%s** (%.3g to %.3g)", m.median * factor, unit,
		m.least * factor, m.most * factor);
	if (theirs) {
		fprintf(out, ": ");
		print_row(bar, ours, out);
		fprintf(out, "; ");
		print_row(bar, theirs, out);
	}
	fprintf(out, " | %s |\n",
		bar->sense == COMPARED ? "-"
		: met(bar, m.median)   ? "yes"
				       : "**no**");
}

/** What a segment of so many slots takes, and how many messages it holds. */
static bool
weigh(uint32_t mode, uint32_t slots, size_t size, double *bytes,
      double *messages)
{
	const struct shmring_config config = {
		.mode = mode,
		.slots = slots,
		.slot_size = (uint32_t)size,
		.participants = mode == SHMRING_MPMC ? 64 : 0,
	};
	struct shmring ring;
	struct stat file;
	char message[64] = { 0 };
	bool good;

	if (shmring_create_memfd(&ring, &config))
		return false;
	good = fstat(shmring_fd(&ring), &file) == 0;
	*bytes = (double)file.st_size;
	for (*messages = 0; shmring_push(&ring, message, size) == 0;)
		++*messages;
	shmring_close(&ring);
	return good && *messages > 0;
}

/** Two segments tell what grows with the messages and what does not. */
static void
print_memory(const char *name, uint32_t mode, double limit, FILE *out)
{
	static const size_t sizes[] = { 8, 64 };
	double bytes[2], messages[2], each_one, fixed;
	size_t i;

	for (i = 0; i < 2; i++) {
		if (!weigh(mode, 1 << 10, sizes[i], &bytes[0], &messages[0]) ||
		    !weigh(mode, 1 << 16, sizes[i], &bytes[1], &messages[1])) {
			fprintf(out, "| %s memory | | no segment | **no** |\n",
				name);
			return;
		}
		each_one = (bytes[1] - bytes[0]) / (messages[1] - messages[0]);
		fixed = bytes[0] - each_one * messages[0];
		each_one -= (double)sizes[i];
		fprintf(out,
			"| %s memory a message, %zu B | <= %g B more | "
			"%.4g B | %s |\n",
			name, sizes[i], limit, each_one,
			each_one <= limit + 0.005 ? "yes" : "**no**");
	}
	fprintf(out, "| %s memory, fixed part | <= 16 KiB | %.4g KiB | %s |\n",
		name, fixed / 1024, fixed <= 16384 ? "yes" : "**no**");
}

void
bars_print(const struct report *report, FILE *out)
{
	const struct bar *bar;
	const size_t *size;

	report_head(report, out, true);
	fprintf(out,
		"\n| figure | bar | measured, median (least to most of "
		"%u) | met |\n|---|---|---|---|\n",
		options.repeat);
	for (bar = bars; bar < bars + BARS; bar++)
		for (size = bar->sizes; *size && asked_for(bar); size++)
			print_line(report, bar, *size, out);
	if (options.only)
		return;
	print_memory("SPSC", SHMRING_SPSC, 8, out);
	print_memory("MPMC", SHMRING_MPMC, 16, out);
}
