/* SPDX-License-Identifier: MIT */
/*
 * bench.c - all mechanisms on the same work, side by side.
 *
 * The rows take turns: one repetition of each, then the next of each, so that
 * a machine that drifts does so for all. What was asked for stands in
 * options.c, which rows that makes in cases.c, how one is run in run.c.
 */
#include "bars.h"
#include "cases.h"

#include <signal.h>
#include <unistd.h>

static struct report report;
static char placement[160];

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
		options.seed = options.seed * 6364136223846793005u +
			       1442695040888963407u;
		start = (size_t)(options.seed >> 33) % report.count;
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
