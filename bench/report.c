/* SPDX-License-Identifier: MIT */
/* report.c - medians, ratios, and the four ways to tell them */
#include "report.h"

#include "system.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#define NOISY 0.05 /* a spread beyond is flagged */

static const struct {
	const char *key; /* in JSON and CSV */
	enum metric metric;
} keys[] = {
	{ "items_per_second", METRIC_RATE },
	{ "bytes_per_second", METRIC_BYTES },
	{ "ns", METRIC_NS },
	{ "min_ns", METRIC_MIN },
	{ "p50_ns", METRIC_P50 },
	{ "p90_ns", METRIC_P90 },
	{ "p99_ns", METRIC_P99 },
	{ "p99.9_ns", METRIC_P999 },
	{ "p99.99_ns", METRIC_P9999 },
	{ "max_ns", METRIC_MAX },
	{ "cpu_send_ns", METRIC_CPU_SEND },
	{ "cpu_receive_ns", METRIC_CPU_RECEIVE },
	{ "voluntary_switches", METRIC_VOLUNTARY },
	{ "involuntary_switches", METRIC_INVOLUNTARY },
	{ "syscalls", METRIC_SYSCALLS },
	{ "page_faults", METRIC_FAULTS },
	{ "in_flight", METRIC_DEPTH },
	{ "kept", METRIC_KEPT },
	{ "messages", METRIC_MESSAGES },
	{ "lost", METRIC_LOST },
	{ "duplicated", METRIC_DUPLICATED },
	{ "reordered", METRIC_REORDERED },
	{ "corrupt", METRIC_CORRUPT },
	{ "create_ns", METRIC_CREATE },
	{ "attach_ns", METRIC_ATTACH },
	{ "first_message_ns", METRIC_FIRST },
	{ "close_ns", METRIC_CLOSE },
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

const char *
mode_name(enum bench_mode mode)
{
	static const char *const names[] = {
		"ping-pong",	  "throughput", "under-load",
		"fan-in",	  "fan-out",	"many-to-many",
		"oversubscribed", "setup-cost", "limits",
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

/** "throughput/pipe/block/64/batch:1/1x1" */
static const char *
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

static double
mean(const struct row *row, enum metric metric)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < row->repetitions; i++)
		sum += row->value[metric][i];
	return sum / row->repetitions;
}

static double
deviation(const struct row *row, enum metric metric)
{
	double m = mean(row, metric), squares = 0;
	unsigned i, n = row->repetitions;

	for (i = 0; i < n; i++) {
		double d = row->value[metric][i] - m;

		squares += d * d;
	}
	return n > 1 ? sqrt(squares / (n - 1)) : 0;
}

/** Coefficient of variation: the spread, relative to the mean. */
static double
spread(const struct row *row, enum metric metric)
{
	return deviation(row, metric) / mean(row, metric);
}

/** What a mode is about; smaller is better, but for METRIC_DEPTH. */
static enum metric
primary(enum bench_mode mode)
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
	       a->depth == b->depth && a->idle == b->idle && a->cpus == b->cpus;
}

static bool
better(const struct row *a, const struct row *b)
{
	enum metric m = primary(a->job.mode);

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

/** How many times better than the baseline this row is, or NaN. */
static double
ratio(const struct report *report, const struct row *row)
{
	const struct row *base = baseline(report, row, report->baseline);
	enum metric m = primary(row->job.mode);

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

/** The verifier's verdict in words. */
static const char *
verdict(const struct row *row)
{
	static char text[160];
	static const struct {
		enum metric metric;
		const char *word;
	} kinds[] = {
		{ METRIC_LOST, "lost" },
		{ METRIC_DUPLICATED, "duplicated" },
		{ METRIC_REORDERED, "reordered" },
		{ METRIC_CORRUPT, "corrupt" },
	};
	size_t i;
	int n = 0;

	if (row->job.mechanism->caps & CAP_BASELINE)
		return "-";
	text[0] = '\0';
	for (i = 0; i < 4; i++)
		if (total(row, kinds[i].metric) > 0)
			n += snprintf(text + n, sizeof(text) - (size_t)n,
				      "%s%.0f %s", n ? ", " : "",
				      total(row, kinds[i].metric),
				      kinds[i].word);
	return n ? text : row->job.verify ? "ok" : "unchecked";
}

/* ----------------------------------------------------------------- tables */

#define ALL_MODES ((1u << MODE_COUNT) - 1)
#define STREAMS                                                           \
	(1u << MODE_THROUGHPUT | 1u << MODE_FAN_IN | 1u << MODE_FAN_OUT | \
	 1u << MODE_MANY_TO_MANY | 1u << MODE_OVERSUBSCRIBED)
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
		value = spread(row, primary(job->mode));
		snprintf(cell, CELL, "%.1f%%%s", value * 100,
			 value > NOISY ? "!" : "");
		break;
	case KIND_RATIO:
		value = ratio(report, row);
		if (isnan(value))
			snprintf(cell, CELL, "-");
		else
			snprintf(cell, CELL, "%.3g", value);
		break;
	case KIND_VERDICT:
		snprintf(cell, CELL, "%s", verdict(row));
		break;
	}
}

/** A row without figures: why not. */
static const char *
excuse(const struct row *row)
{
	static char text[192];
	static const char *const words[] = { "",
					     "cannot: ", "not built in, needs ",
					     "FAILED: ", "FAILED: " };

	snprintf(text, sizeof(text), "%s%s", words[row->status], row->text);
	return text;
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
	fprintf(out, "%s%s\n", row->status == RUN_DONE ? "" : excuse(row),
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

/* ------------------------------------------------------------ JSON and CSV */

static void
json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text < ' ')
			fputc(' ', out);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void
json_context(const struct report *report, FILE *out)
{
	char host[256] = "", date[64];
	const char *name, *value;
	int cpus[SYSTEM_CPUS];
	time_t now = time(NULL);
	struct tm local;
	unsigned n;

	gethostname(host, sizeof(host) - 1);
	localtime_r(&now, &local);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S%z", &local);
	fprintf(out, "  \"context\": {\n    \"date\": \"%s\",\n", date);
	fprintf(out, "    \"host_name\": ");
	json_string(out, host);
	fprintf(out, ",\n    \"executable\": \"shmbench\",\n");
	fprintf(out, "    \"num_cpus\": %d,\n", system_cpus(cpus));
	fprintf(out, "    \"command\": ");
	json_string(out, report->command);
	fprintf(out, ",\n    \"placement\": ");
	json_string(out, report->placement);
	fprintf(out, ",\n    \"baseline\": ");
	json_string(out, report->baseline);
	for (n = 0; (name = system_fact(n, &value)); n++) {
		fprintf(out, ",\n    \"%s\": ", name);
		json_string(out, value);
	}
	fprintf(out, ",\n    \"library_build_type\": \"release\"\n  },\n");
}

/* One entry of benchmarks[]: a repetition, or an aggregate of them. */
struct entry {
	const struct row *row;
	size_t family;
	const char *aggregate; /* NULL for a repetition */
	unsigned repetition;
	double (*value)(const struct row *row, enum metric metric);
};

static double
entry_value(const struct entry *e, enum metric metric)
{
	if (isnan(e->row->value[metric][0]))
		return NAN;
	return e->aggregate ? e->value(e->row, metric)
			    : e->row->value[metric][e->repetition];
}

static void
json_number(FILE *out, const char *key, double value)
{
	if (isfinite(value))
		fprintf(out, ",\n      \"%s\": %.9g", key, value);
}

static void
json_entry(const struct report *report, FILE *out, const struct entry *e,
	   bool *first)
{
	const struct row *row = e->row;
	const struct job *job = &row->job;
	const char *name = row_name(row);
	double cpu, ns = entry_value(e, primary(job->mode));
	size_t k;

	/* The CPU time of a case is that of the busier side. */
	cpu = fmax(entry_value(e, METRIC_CPU_SEND),
		   entry_value(e, METRIC_CPU_RECEIVE));
	fprintf(out, "%s    {\n      \"name\": ", *first ? "" : ",\n");
	*first = false;
	fprintf(out, "\"%s%s%s\",\n", name, e->aggregate ? "_" : "",
		e->aggregate ? e->aggregate : "");
	fprintf(out, "      \"family_index\": %zu,\n", e->family);
	fprintf(out, "      \"per_family_instance_index\": 0,\n");
	fprintf(out, "      \"run_name\": \"%s\",\n", name);
	fprintf(out, "      \"run_type\": \"%s\",\n",
		e->aggregate ? "aggregate" : "iteration");
	fprintf(out, "      \"repetitions\": %u,\n", row->repetitions);
	if (e->aggregate)
		fprintf(out,
			"      \"aggregate_name\": \"%s\",\n"
			"      \"aggregate_unit\": \"%s\",\n",
			e->aggregate,
			strcmp(e->aggregate, "cv") ? "time" : "percentage");
	else
		fprintf(out, "      \"repetition_index\": %u,\n",
			e->repetition);
	fprintf(out, "      \"threads\": %u,\n", job->senders + job->receivers);
	fprintf(out, "      \"iterations\": %.0f,\n",
		row->value[METRIC_MESSAGES][0] > 0
			? row->value[METRIC_MESSAGES][0]
			: 1);
	fprintf(out, "      \"real_time\": %.9g,\n", isfinite(ns) ? ns : 0);
	fprintf(out, "      \"cpu_time\": %.9g,\n", isfinite(cpu) ? cpu : 0);
	fprintf(out, "      \"time_unit\": \"ns\",\n");
	fprintf(out, "      \"label\": \"%s%s\"",
		job->mechanism->caps & CAP_THREADS ? "threads" : "processes",
		row->best ? ", best waiting" : "");
	for (k = 0; k < KEYS; k++)
		json_number(out, keys[k].key, entry_value(e, keys[k].metric));
	if (e->aggregate && e->value == row_median)
		json_number(out, "ratio", ratio(report, row));
	fprintf(out, "\n    }");
}

static void
json_failure(FILE *out, const struct row *row, size_t family, bool *first)
{
	fprintf(out,
		"%s    {\n      \"name\": \"%s\",\n"
		"      \"family_index\": %zu,\n"
		"      \"per_family_instance_index\": 0,\n"
		"      \"run_name\": \"%s\",\n"
		"      \"run_type\": \"iteration\",\n"
		"      \"repetitions\": 0,\n"
		"      \"repetition_index\": 0,\n"
		"      \"threads\": %u,\n"
		"      \"error_occurred\": true,\n"
		"      \"error_message\": ",
		*first ? "" : ",\n", row_name(row), family, row_name(row),
		row->job.senders + row->job.receivers);
	*first = false;
	json_string(out, excuse(row));
	fprintf(out, ",\n      \"iterations\": 0,\n"
		     "      \"real_time\": 0,\n      \"cpu_time\": 0,\n"
		     "      \"time_unit\": \"ns\"\n    }");
}

void
report_json(const struct report *report, FILE *out)
{
	static const struct {
		const char *name;
		double (*value)(const struct row *row, enum metric metric);
	} aggregates[] = {
		{ "mean", mean },
		{ "median", row_median },
		{ "stddev", deviation },
		{ "cv", spread },
	};
	bool first = true;
	size_t i, a;
	unsigned r;

	fprintf(out, "{\n");
	json_context(report, out);
	fprintf(out, "  \"benchmarks\": [\n");
	for (i = 0; i < report->count; i++) {
		struct entry e = { .row = &report->rows[i], .family = i };

		if (e.row->status != RUN_DONE) {
			json_failure(out, e.row, i, &first);
			continue;
		}
		for (r = 0; r < e.row->repetitions; r++) {
			e.repetition = r;
			json_entry(report, out, &e, &first);
		}
		for (a = 0; a < sizeof(aggregates) / sizeof(aggregates[0]);
		     a++) {
			e.aggregate = aggregates[a].name;
			e.value = aggregates[a].value;
			json_entry(report, out, &e, &first);
		}
	}
	fprintf(out, "\n  ]\n}\n");
}

void
report_csv(const struct report *report, FILE *out)
{
	const char *name, *value;
	unsigned n;
	size_t i, k;

	for (n = 0; (name = system_fact(n, &value)); n++)
		fprintf(out, "# %s: %s\n", name, value);
	fprintf(out, "# command: %s\n# placement: %s\n", report->command,
		report->placement);
	fprintf(out, "mode,mechanism,waiting,between,size,batch,senders,"
		     "receivers,rate,best,repetitions,spread,ratio,error");
	for (k = 0; k < KEYS; k++)
		fprintf(out, ",%s", keys[k].key);
	fprintf(out, "\n");
	for (i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];
		const struct job *job = &row->job;
		bool done = row->status == RUN_DONE;

		fprintf(out, "%s,%s,%s,%s,%zu,%u,%u,%u,%" PRIu64 ",%d,%u,",
			mode_name(job->mode), job->mechanism->name,
			style_name(job->style),
			job->mechanism->caps & CAP_THREADS ? "threads"
							   : "processes",
			job->size, job->batch, job->senders, job->receivers,
			job->rate, row->best, row->repetitions);
		if (done)
			fprintf(out, "%.4g", spread(row, primary(job->mode)));
		fprintf(out, ",");
		if (!isnan(ratio(report, row)))
			fprintf(out, "%.6g", ratio(report, row));
		fprintf(out, ",\"%s\"", done ? "" : excuse(row));
		for (k = 0; k < KEYS; k++) {
			double median = row_median(row, keys[k].metric);

			fprintf(out, ",");
			if (done && isfinite(median))
				fprintf(out, "%.9g", median);
		}
		fprintf(out, "\n");
	}
}

bool
report_histograms(const struct report *report, const char *stem)
{
	char path[512], *c;
	bool good = true;
	size_t i;
	FILE *out;

	for (i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];
		int n = snprintf(path, sizeof(path), "%s.", stem);

		if (!row->histogram.total)
			continue;
		snprintf(path + n, sizeof(path) - (size_t)n, "%s.hgrm",
			 row_name(row));
		for (c = path + n; *c; c++)
			if (*c == '/' || *c == ':')
				*c = '-';
		out = fopen(path, "w");
		if (!out) {
			good = false;
			continue;
		}
		histogram_print(&row->histogram, out);
		good &= fclose(out) == 0;
	}
	return good;
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
			noise = spread(row, METRIC_NS) +
				spread(base, METRIC_NS) + NOISY;
			looked++;
			if (row_median(row, METRIC_NS) <
			    row_median(base, METRIC_NS) * (1 - noise))
				doubts += doubt(out, row, "ns",
						row_median(row, METRIC_NS),
						"is below the bare ping-pong's",
						row_median(base, METRIC_NS));
		}
		if (row->job.mode == MODE_THROUGHPUT &&
		    (base = baseline(report, row, "memcpy"))) {
			noise = spread(row, METRIC_NS) +
				spread(base, METRIC_NS) + NOISY;
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
