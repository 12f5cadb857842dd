/* SPDX-License-Identifier: MIT */
/*
 * bench.c - all mechanisms on the same work, side by side.
 *
 * The rows take turns: one repetition of each, then the next of each, so that
 * a machine that drifts does so for all; those of the same work side by side.
 * What was asked for stands in options.c, which rows that makes in cases.c, how
 * one is run in run.c.
 */
#include "bars.h"
#include "cases.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STARTING (BENCH_SECOND / 13) /* until a row's processes are there */

static struct report report;
static char placement[160];

/* ------------------------------------------------------------- the running */

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	stop = number;
}

/** How far it is, and how long the rest takes if it goes on so. */
static void
progress(size_t done, size_t all, int64_t begin, const struct row *row)
{
	double spent = (double)(bench_now() - begin) / 60e9;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r[%zu/%zu, %.0f min left] %s %s %zu B\033[K", done,
		all, spent * (double)(all - done) / (double)(done + 1),
		mode_name(row->job.mode), row->job.mechanism->name,
		row->job.size);
}

/** Tell beforehand how long it will take, if that is minutes: many rows measure
 * twice, the others start as many processes and fill as much memory. */
static void
tell_length(void)
{
	const struct job *job = &options.job;
	double row = (double)(job->warmup + 2 * job->duration + STARTING);
	double ns = row * (double)(report.count * options.repeat);

	if (!job->count && ns > 60e9)
		fprintf(stderr,
			"shmbench: %zu rows, %u times each: about "
			"%.0f minutes\n",
			report.count, options.repeat, ns / 60e9);
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

/** Who do the same work do it one after the other: they are compared, and the
 * machine may be another one a minute later. */
static struct row **
in_order(void)
{
	struct row **order = calloc(report.count + 1, sizeof(struct row *));
	bool *placed = calloc(report.count + 1, sizeof(bool));
	size_t i, j, n = 0;

	if (!order || !placed)
		refuse("no memory", "for the order of rows");
	for (i = 0; i < report.count; i++) {
		if (placed[i])
			continue;
		for (j = i; j < report.count; j++) {
			if (placed[j] || !same_work(&report.rows[i].job,
						    &report.rows[j].job))
				continue;
			order[n++] = &report.rows[j];
			placed[j] = true;
		}
	}
	free(placed);
	return order;
}

/** All rows take turns, beginning with another one each round. */
static void
run_all(void)
{
	size_t i, start, all = report.count * options.repeat;
	struct row **order = in_order();
	int64_t begin = bench_now();
	unsigned r;

	tell_length();
	for (r = 0; r < options.repeat && !stop; r++) {
		options.seed = options.seed * 6364136223846793005u +
			       1442695040888963407u;
		start = (size_t)(options.seed >> 33) % report.count;
		for (i = 0; i < report.count && !stop; i++) {
			struct row *row = order[(start + i) % report.count];

			progress(r * report.count + i, all, begin, row);
			if (row->status == RUN_DONE)
				repeat_row(row);
		}
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	free(order);
}

/* ------------------------------------------------------------------ output */

static const struct {
	const char *name;
	void (*write)(const struct report *report, FILE *out);
} formats[] = {
	{ "brief", report_brief }, { "text", report_text },
	{ "json", report_json },   { "csv", report_csv },
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
		/* That a peer gets stuck is a finding; so it is of an adapter
		 * that says so. */
		if (row->status == RUN_TIMEOUT &&
		    strcmp(group_of(row->job.mechanism), "peers") &&
		    !(row->job.mechanism->caps & CAP_HELD_UP))
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
	collect_mechanisms();
	if (options.list) {
		list_mechanisms();
		return EXIT_SUCCESS;
	}
	choose_cpus(placement, sizeof(placement));
	if (options.bars)
		bars_add(&report);
	else
		add_programme(&report);
	if (!report.count)
		refuse("none of these does what was asked for",
		       options.names ? options.names : "all");
	report.baseline = options.baseline;
	report.placement = placement;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	run_all();
	if (stop)
		return 128 + stop;
	report_choose(&report);
	if (options.bars)
		bars_print(&report, stdout);
	else
		write_all(&good);
	fflush(stdout);
	report_sanity(&report, options.out ? stdout : stderr);
	return good && all_well() ? EXIT_SUCCESS : EXIT_SPOILT;
}
