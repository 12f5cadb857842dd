/* SPDX-License-Identifier: MIT */
/* export.c - a run for programs: JSON as Google Benchmark's, CSV, histograms */
#include "report.h"
#include "system.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

static const struct {
	const char *key; /* in JSON and CSV */
	enum metric metric;
} keys[] = {
	{ "items_per_second", METRIC_RATE },
	{ "bytes_per_second", METRIC_BYTES },
	{ "ns", METRIC_NS },
	{ "send_ns", METRIC_SEND },
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
	{ "told_lost", METRIC_TOLD },
	{ "duplicated", METRIC_DUPLICATED },
	{ "reordered", METRIC_REORDERED },
	{ "corrupt", METRIC_CORRUPT },
	{ "create_ns", METRIC_CREATE },
	{ "attach_ns", METRIC_ATTACH },
	{ "first_message_ns", METRIC_FIRST },
	{ "close_ns", METRIC_CLOSE },
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

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
	double cpu, ns = entry_value(e, primary_metric(job->mode));
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
		json_number(out, "ratio", row_ratio(report, row));
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
	json_string(out, row_excuse(row));
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
		{ "mean", row_mean },
		{ "median", row_median },
		{ "stddev", row_deviation },
		{ "cv", row_spread },
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
			fprintf(out, "%.4g",
				row_spread(row, primary_metric(job->mode)));
		fprintf(out, ",");
		if (!isnan(row_ratio(report, row)))
			fprintf(out, "%.6g", row_ratio(report, row));
		fprintf(out, ",\"%s\"", done ? "" : row_excuse(row));
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
