/* SPDX-License-Identifier: MIT */
/* table.c - a run as tables, for people: text and Markdown */
#include "report.h"
#include "system.h"

#include <math.h>

#define ALL_MODES ((1u << MODE_COUNT) - 1)
#define STREAMS                                                           \
	(1u << MODE_THROUGHPUT | 1u << MODE_FAN_IN | 1u << MODE_FAN_OUT | \
	 1u << MODE_MANY_TO_MANY | 1u << MODE_OVERSUBSCRIBED |            \
	 1u << MODE_BROADCAST)
#define CROWDS (STREAMS & ~(1u << MODE_THROUGHPUT))
#define TRIPS (1u << MODE_PING_PONG | 1u << MODE_UNDER_LOAD)
#define TIMED (TRIPS | CROWDS)
#define COUNTED (STREAMS | TRIPS)

enum kind {
	KIND_NAME,
	KIND_STYLE,
	KIND_VIA,
	KIND_SIZE,
	KIND_BATCH,
	KIND_PAIRS,
	KIND_LOAD,
	KIND_NUMBER,
	KIND_TIME,
	KIND_SPREAD,
	KIND_RATIO,
	KIND_VERDICT,
};

static const struct column {
	const char *title;
	enum kind kind;
	enum metric metric; /* of KIND_NUMBER and KIND_TIME */
	unsigned modes;
} columns[] = {
	{ "mechanism", KIND_NAME, 0, ALL_MODES },
	{ "waiting", KIND_STYLE, 0, COUNTED },
	{ "between", KIND_VIA, 0, ALL_MODES },
	{ "bytes", KIND_SIZE, 0, ALL_MODES },
	{ "batch", KIND_BATCH, 0, 1u << MODE_THROUGHPUT },
	{ "pairs", KIND_PAIRS, 0, CROWDS },
	{ "offered/s", KIND_LOAD, 0, 1u << MODE_UNDER_LOAD },
	{ "messages/s", KIND_NUMBER, METRIC_RATE, STREAMS },
	{ "bytes/s", KIND_NUMBER, METRIC_BYTES, STREAMS },
	{ "sender's own", KIND_TIME, METRIC_SEND, 1u << MODE_BROADCAST },
	{ "round trip", KIND_TIME, METRIC_NS, 1u << MODE_PING_PONG },
	{ "p50", KIND_TIME, METRIC_P50, TIMED },
	{ "p90", KIND_TIME, METRIC_P90, TRIPS },
	{ "p99", KIND_TIME, METRIC_P99, TIMED },
	{ "p99.9", KIND_TIME, METRIC_P999, TIMED },
	{ "p99.99", KIND_TIME, METRIC_P9999, TRIPS },
	{ "max", KIND_TIME, METRIC_MAX, TIMED },
	{ "create", KIND_TIME, METRIC_CREATE, 1u << MODE_SETUP_COST },
	{ "attach", KIND_TIME, METRIC_ATTACH, 1u << MODE_SETUP_COST },
	{ "first message", KIND_TIME, METRIC_FIRST, 1u << MODE_SETUP_COST },
	{ "close", KIND_TIME, METRIC_CLOSE, 1u << MODE_SETUP_COST },
	{ "spread", KIND_SPREAD, 0, COUNTED | 1u << MODE_SETUP_COST },
	{ "ratio", KIND_RATIO, 0, COUNTED },
	{ "cpu send", KIND_TIME, METRIC_CPU_SEND, COUNTED },
	{ "cpu recv", KIND_TIME, METRIC_CPU_RECEIVE, COUNTED },
	{ "sleeps", KIND_NUMBER, METRIC_VOLUNTARY, COUNTED },
	{ "preempted", KIND_NUMBER, METRIC_INVOLUNTARY, COUNTED },
	{ "syscalls", KIND_NUMBER, METRIC_SYSCALLS, COUNTED },
	{ "faults", KIND_NUMBER, METRIC_FAULTS, COUNTED },
	{ "in flight", KIND_NUMBER, METRIC_DEPTH,
	  1u << MODE_THROUGHPUT | 1u << MODE_LIMITS },
	{ "kept", KIND_NUMBER, METRIC_KEPT, 1u << MODE_LIMITS },
	{ "verified", KIND_VERDICT, 0, COUNTED },
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void
write_cell(char cell[CELL], const struct report *report, const struct row *row,
	   const struct column *column)
{
	const struct job *job = &row->job;
	unsigned caps = job->mechanism->caps;
	double value;

	switch (column->kind) {
	case KIND_NAME:
		snprintf(cell, CELL, "%s", job->mechanism->name);
		break;
	case KIND_STYLE:
		snprintf(cell, CELL, "%s", style_name(job->style));
		break;
	case KIND_VIA:
		snprintf(cell, CELL, "%s",
			 caps & CAP_SOLO      ? "alone"
			 : caps & CAP_THREADS ? "threads"
					      : "processes");
		break;
	case KIND_SIZE:
		snprintf(cell, CELL, "%zu", job->size);
		break;
	case KIND_BATCH:
		snprintf(cell, CELL, "%u", job->batch);
		break;
	case KIND_PAIRS:
		snprintf(cell, CELL, "%ux%u", job->senders, job->receivers);
		break;
	case KIND_LOAD:
		format_number(cell, (double)job->rate);
		break;
	case KIND_NUMBER:
		format_number(cell, row_median(row, column->metric));
		break;
	case KIND_TIME:
		format_time(cell, row_median(row, column->metric));
		break;
	case KIND_SPREAD:
		value = row_spread(row, primary_metric(job->mode));
		snprintf(cell, CELL, "%.1f%%%s", value * 100,
			 value > NOISY ? "!" : "");
		break;
	case KIND_RATIO:
		value = row_ratio(report, row);
		if (isnan(value))
			snprintf(cell, CELL, "-");
		else
			snprintf(cell, CELL, "%.3g", value);
		break;
	case KIND_VERDICT:
		snprintf(cell, CELL, "%s", row_verdict(row));
		break;
	}
}

/* How a table is drawn. */
struct drawing {
	bool markdown;
	int width[COLUMNS];
};

static void
draw_cell(const struct drawing *d, FILE *out, size_t c, const char *text)
{
	bool left =
		columns[c].kind <= KIND_VIA || columns[c].kind == KIND_VERDICT;

	if (d->markdown)
		fprintf(out, "%s | ", text);
	else
		fprintf(out, left ? "%-*s  " : "%*s  ", d->width[c], text);
}

static void
draw_row(const struct drawing *d, FILE *out, const struct report *report,
	 const struct row *row)
{
	unsigned bit = 1u << row->job.mode;
	char cell[CELL];
	size_t c;

	if (d->markdown)
		fprintf(out, "| ");
	for (c = 0; c < COLUMNS; c++) {
		if (!(columns[c].modes & bit))
			continue;
		if (row->status != RUN_DONE && columns[c].kind > KIND_LOAD)
			break;
		write_cell(cell, report, row, &columns[c]);
		draw_cell(d, out, c, cell);
	}
	fprintf(out, "%s%s\n", row->status == RUN_DONE ? "" : row_excuse(row),
		d->markdown && row->status != RUN_DONE ? " |" : "");
}

static void
draw_head(const struct drawing *d, FILE *out, unsigned bit)
{
	size_t c;

	if (d->markdown)
		fprintf(out, "| ");
	for (c = 0; c < COLUMNS; c++)
		if (columns[c].modes & bit)
			draw_cell(d, out, c, columns[c].title);
	fprintf(out, "\n");
	if (!d->markdown)
		return;
	fprintf(out, "|");
	for (c = 0; c < COLUMNS; c++)
		if (columns[c].modes & bit)
			fprintf(out, "---|");
	fprintf(out, "\n");
}

/** One table a mode, of the best style of each mechanism. */
static void
draw_mode(struct drawing *d, FILE *out, const struct report *report,
	  enum bench_mode mode)
{
	char cell[CELL];
	size_t i, c, rows = 0;

	for (c = 0; c < COLUMNS; c++)
		d->width[c] = (int)strlen(columns[c].title);
	for (i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];

		if (row->job.mode != mode || !row->best)
			continue;
		rows++;
		for (c = 0; c < COLUMNS; c++) {
			if (row->status != RUN_DONE &&
			    columns[c].kind > KIND_LOAD)
				continue;
			write_cell(cell, report, row, &columns[c]);
			if ((int)strlen(cell) > d->width[c])
				d->width[c] = (int)strlen(cell);
		}
	}
	if (!rows)
		return;
	fprintf(out, d->markdown ? "\n### %s\n\n" : "\n%s\n", mode_name(mode));
	draw_head(d, out, 1u << mode);
	for (i = 0; i < report->count; i++)
		if (report->rows[i].job.mode == mode && report->rows[i].best)
			draw_row(d, out, report, &report->rows[i]);
}

void
report_head(const struct report *report, FILE *out, bool markdown)
{
	const char *name, *value, *bullet = markdown ? "- " : "# ";
	unsigned n;

	fprintf(out, "%scommand: %s\n", bullet, report->command);
	for (n = 0; (name = system_fact(n, &value)); n++)
		fprintf(out, "%s%s: %s\n", bullet, name, value);
	fprintf(out, "%splacement: %s\n", bullet, report->placement);
}

static void
draw(const struct report *report, FILE *out, bool markdown)
{
	struct drawing d = { .markdown = markdown };
	const char *bullet = markdown ? "- " : "# ";
	int mode;

	report_head(report, out, markdown);
	fprintf(out,
		"%smedians; spread is the coefficient of variation of the "
		"repetitions, ! beyond %.0f %%; ratio: times better than %s;\n"
		"%scpu, sleeps, preempted, syscalls and faults are per message "
		"(per round trip), threads of one process included\n",
		bullet, NOISY * 100, report->baseline, markdown ? "  " : "# ");
	for (mode = 0; mode < MODE_COUNT; mode++)
		draw_mode(&d, out, report, (enum bench_mode)mode);
}

void
report_text(const struct report *report, FILE *out)
{
	draw(report, out, false);
}

void
report_markdown(const struct report *report, FILE *out)
{
	draw(report, out, true);
}

/* ------------------------------------------------------------ one for all */

/** Of a mechanism in a mode: the best row, but one that failed first; NULL:
 * it does not take part. */
static const struct row *
telling_row(const struct report *report, const struct mechanism *m,
	    enum bench_mode mode)
{
	const struct row *found = NULL;
	size_t i;

	for (i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];
		enum metric metric = primary_metric(mode);

		if (row->job.mechanism != m || row->job.mode != mode)
			continue;
		if (row->status >= RUN_FAILED || row_spoilt(row))
			return row;
		if (!found ||
		    row_median(row, metric) < row_median(found, metric))
			found = row;
	}
	return found;
}

static void
write_telling(char cell[CELL], const struct row *row)
{
	static const char *const words[] = { "", "cannot", "missing", "FAILED",
					     "FAILED" };

	if (!row)
		snprintf(cell, CELL, "-");
	else if (row->status != RUN_DONE)
		snprintf(cell, CELL, "%s", words[row->status]);
	else if (row_spoilt(row))
		snprintf(cell, CELL, "SPOILT");
	else if (row->job.mode == MODE_LIMITS)
		format_number(cell, row_median(row, METRIC_DEPTH));
	else
		format_time(cell,
			    row_median(row, primary_metric(row->job.mode)));
}

void
report_brief(const struct report *report, FILE *out)
{
	const struct mechanism *m;
	char cell[CELL];
	size_t i, k;
	int mode;

	fprintf(out, "%-20s", "mechanism");
	for (mode = 0; mode < MODE_COUNT; mode++)
		fprintf(out, " %14s", mode_name((enum bench_mode)mode));
	fprintf(out, "\n");
	for (i = 0; i < report->count; i++) {
		m = report->rows[i].job.mechanism;
		for (k = 0; k < i && report->rows[k].job.mechanism != m; k++)
			;
		if (k < i)
			continue;
		fprintf(out, "%-20s", m->name);
		for (mode = 0; mode < MODE_COUNT; mode++) {
			write_telling(cell, telling_row(report, m,
							(enum bench_mode)mode));
			fprintf(out, " %14s", cell);
		}
		fprintf(out, "\n");
	}
	fprintf(out, "Time a message or round trip, until the first message; "
		     "messages that fit.\nTo see that it works: these are no "
		     "figures to quote.\n");
	for (i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];

		if (row->status != RUN_DONE || row_spoilt(row))
			fprintf(out, "%s: %s\n", row_name(row),
				row->status != RUN_DONE ? row_excuse(row)
							: row_verdict(row));
	}
}
