/* SPDX-License-Identifier: MIT */
/* report.c - what the rows of a run say: medians, ratios, doubts */
#include "report.h"

#include <inttypes.h>
#include <math.h>

const char *
mode_name(enum bench_mode mode)
{
	static const char *const names[] = {
		"ping-pong",  "throughput",   "under-load",	"fan-in",
		"fan-out",    "many-to-many", "oversubscribed", "broadcast",
		"setup-cost", "limits",
	};

	return names[mode];
}

const char *
wait_name(enum bench_wait wait)
{
	static const char *const names[] = { "spin", "yield", "block",
					     "hybrid" };

	return names[wait];
}

const char *
style_name(struct style style)
{
	static char text[32];

	if (style.wait == WAIT_SPIN && style.pauses != PAUSES_OWN)
		snprintf(text, sizeof(text), "spin/%d", style.pauses);
	else
		snprintf(text, sizeof(text), "%s", wait_name(style.wait));
	return text;
}

const char *
row_name(const struct row *row)
{
	static char text[160];
	const struct job *job = &row->job;
	int n = snprintf(text, sizeof(text), "%s/%s/%s/%zu",
			 mode_name(job->mode), job->mechanism->name,
			 style_name(job->style), job->size);

	if (job->batch > 1)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "/batch:%u",
			      job->batch);
	if (job->senders + job->receivers > 2)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "/%ux%u",
			      job->senders, job->receivers);
	if (job->rate)
		snprintf(text + n, sizeof(text) - (size_t)n, "/rate:%" PRIu64,
			 job->rate);
	return text;
}

void
format_number(char cell[CELL], double value)
{
	static const char *const units[] = { "", "k", "M", "G" };
	int unit = 0, digits;

	while (fabs(value) >= 999.5 && unit < 3) {
		value /= 1000;
		unit++;
	}
	digits = value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
	if (isnan(value))
		snprintf(cell, CELL, "-");
	else if (!unit && value == floor(value))
		snprintf(cell, CELL, "%.0f", value);
	else if (value < 0.005)
		snprintf(cell, CELL, "%.0e", value);
	else
		snprintf(cell, CELL, "%.*f%s", digits, value, units[unit]);
}

void
format_time(char cell[CELL], double ns)
{
	if (isnan(ns))
		snprintf(cell, CELL, "-");
	else if (ns < 9999.5)
		snprintf(cell, CELL, "%.*f ns", ns < 9.95 ? 2 : ns < 99.5, ns);
	else if (ns < 1e6)
		snprintf(cell, CELL, "%.1f us", ns / 1e3);
	else if (ns < 1e9)
		snprintf(cell, CELL, "%.1f ms", ns / 1e6);
	else
		snprintf(cell, CELL, "%.2f s", ns / 1e9);
}

const char *
row_excuse(const struct row *row)
{
	static char text[192];
	static const char *const words[] = { "",
					     "cannot: ", "not built in, needs ",
					     "FAILED: ", "FAILED: " };

	snprintf(text, sizeof(text), "%s%s", words[row->status], row->text);
	return text;
}

/* ------------------------------------------------------------- statistics */

int
ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
row_median(const struct row *row, enum metric metric)
{
	double sorted[REPORT_REPEAT];
	unsigned n = row->repetitions;

	if (!n || isnan(row->value[metric][0]))
		return NAN;
	memcpy(sorted, row->value[metric], n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), ascending);
	return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

double
row_mean(const struct row *row, enum metric metric)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < row->repetitions; i++)
		sum += row->value[metric][i];
	return sum / row->repetitions;
}

double
row_deviation(const struct row *row, enum metric metric)
{
	double m = row_mean(row, metric), squares = 0;
	unsigned i, n = row->repetitions;

	for (i = 0; i < n; i++) {
		double d = row->value[metric][i] - m;

		squares += d * d;
	}
	return n > 1 ? sqrt(squares / (n - 1)) : 0;
}

double
row_spread(const struct row *row, enum metric metric)
{
	return row_deviation(row, metric) / row_mean(row, metric);
}

enum metric
primary_metric(enum bench_mode mode)
{
	switch (mode) {
	case MODE_UNDER_LOAD:
		return METRIC_P50;
	case MODE_SETUP_COST:
		return METRIC_FIRST;
	case MODE_LIMITS:
		return METRIC_DEPTH;
	default:
		return METRIC_NS;
	}
}

bool
same_work(const struct job *a, const struct job *b)
{
	return a->mode == b->mode && a->size == b->size &&
	       a->batch == b->batch && a->senders == b->senders &&
	       a->receivers == b->receivers && a->rate == b->rate &&
	       a->depth == b->depth && a->idle == b->idle &&
	       a->cpus == b->cpus && a->verify == b->verify;
}

static bool
better(const struct row *a, const struct row *b)
{
	enum metric m = primary_metric(a->job.mode);

	if (a->status != b->status)
		return a->status < b->status;
	return row_median(a, m) < row_median(b, m);
}

void
report_choose(struct report *report)
{
	size_t i, k;

	for (i = 0; i < report->count; i++) {
		struct row *row = &report->rows[i];

		row->best = true;
		for (k = 0; k < report->count; k++) {
			struct row *other = &report->rows[k];

			if (k == i || !same_work(&row->job, &other->job) ||
			    row->job.mechanism != other->job.mechanism ||
			    row->job.style.wait != other->job.style.wait)
				continue;
			if (better(other, row) ||
			    (k < i && !better(row, other)))
				row->best = false;
		}
	}
}

/** The baseline's best row for the same work, or NULL. */
static const struct row *
baseline(const struct report *report, const struct row *row, const char *name)
{
	const struct row *found = NULL;
	size_t i;

	for (i = 0; i < report->count; i++) {
		const struct row *other = &report->rows[i];

		if (strcmp(other->job.mechanism->name, name) == 0 &&
		    same_work(&row->job, &other->job) &&
		    other->status == RUN_DONE &&
		    (!found || better(other, found)))
			found = other;
	}
	return found;
}

double
row_ratio(const struct report *report, const struct row *row)
{
	const struct row *base = baseline(report, row, report->baseline);
	enum metric m = primary_metric(row->job.mode);

	return base && row->status == RUN_DONE
		       ? row_median(base, m) / row_median(row, m)
		       : NAN;
}

static double
total(const struct row *row, enum metric metric)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < row->repetitions; i++)
		if (!isnan(row->value[metric][i]))
			sum += row->value[metric][i];
	return sum;
}

bool
row_spoilt(const struct row *row)
{
	unsigned caps = row->job.mechanism->caps;

	return total(row, METRIC_DUPLICATED) > 0 ||
	       total(row, METRIC_CORRUPT) > 0 ||
	       (total(row, METRIC_LOST) > 0 && !(caps & CAP_LOSSY)) ||
	       total(row, METRIC_REORDERED) > 0;
}

const char *
row_verdict(const struct row *row)
{
	static char text[160];
	static const struct {
		enum metric metric;
		const char *word;
	} kinds[] = {
		{ METRIC_LOST, "lost" },
		{ METRIC_TOLD, "told lost" },
		{ METRIC_DUPLICATED, "duplicated" },
		{ METRIC_REORDERED, "reordered" },
		{ METRIC_CORRUPT, "corrupt" },
	};
	size_t i;
	int n = 0;

	if (row->job.mechanism->caps & CAP_BASELINE)
		return "-";
	text[0] = '\0';
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (total(row, kinds[i].metric) > 0)
			n += snprintf(text + n, sizeof(text) - (size_t)n,
				      "%s%.0f %s", n ? ", " : "",
				      total(row, kinds[i].metric),
				      kinds[i].word);
	return n ? text : row->job.verify ? "ok" : "unchecked";
}

/* ----------------------------------------------------------------- sanity */

static bool
doubt(FILE *out, const struct row *row, const char *what, double is,
      const char *than, double limit)
{
	char a[CELL], b[CELL];

	format_number(a, is);
	format_number(b, limit);
	fprintf(out, "doubtful: %s: %s %s %s %s\n", row_name(row), what, a,
		than, b);
	return true;
}

unsigned
report_sanity(const struct report *report, FILE *out)
{
	unsigned doubts = 0, looked = 0;
	size_t i;

	if (report->count && report->rows[0].repetitions < 3) {
		fprintf(out, "sanity: not judged, needs 3 repetitions\n");
		return 0;
	}
	for (i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];
		const struct row *base;
		double noise;

		if (row->status != RUN_DONE ||
		    (row->job.mechanism->caps & CAP_BASELINE))
			continue;
		if (row->job.mode == MODE_PING_PONG &&
		    (base = baseline(report, row, "lines-fresh"))) {
			noise = row_spread(row, METRIC_NS) +
				row_spread(base, METRIC_NS) + NOISY;
			looked++;
			if (row_median(row, METRIC_NS) <
			    row_median(base, METRIC_NS) / (1 + noise))
				doubts += doubt(out, row, "ns",
						row_median(row, METRIC_NS),
						"is below the bare ping-pong's",
						row_median(base, METRIC_NS));
		}
		if (row->job.mode == MODE_THROUGHPUT &&
		    (base = baseline(report, row, "memcpy"))) {
			noise = row_spread(row, METRIC_NS) +
				row_spread(base, METRIC_NS) + NOISY;
			looked++;
			if (row_median(row, METRIC_BYTES) >
			    row_median(base, METRIC_BYTES) * (1 + noise))
				doubts += doubt(out, row, "bytes/s",
						row_median(row, METRIC_BYTES),
						"is above memcpy's",
						row_median(base, METRIC_BYTES));
		}
	}
	fprintf(out,
		"sanity: %u of %u rows pass: no round trip below the bare "
		"ping-pong, no throughput above memcpy\n",
		looked - doubts, looked);
	return doubts;
}
