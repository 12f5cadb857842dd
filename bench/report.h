/* SPDX-License-Identifier: MIT */
/* report.h - all rows of a run, and how they are told */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "run.h"

#define REPORT_REPEAT 100 /* repetitions at most */

struct row {
	struct job job;
	enum status status; /* the worst of its repetitions */
	char text[160]; /* and what went wrong */
	unsigned repetitions; /* that came to an end */
	double value[METRIC_COUNT][REPORT_REPEAT];
	struct histogram histogram; /* of all repetitions */
	bool best; /* of the ways to spin tried on this work */
};

struct report {
	struct row *rows;
	size_t count;
	const char *baseline; /* name of the mechanism for the ratios */
	const char *command; /* as it was typed */
	const char *placement; /* where senders and receivers run */
};

#define CELL 96 /* of a table, at most */
#define NOISY 0.05 /* a spread beyond is flagged */

const char *mode_name(enum bench_mode mode);
const char *wait_name(enum bench_wait wait);
/* "spin/32", "spin" where it is the mechanism's own, "block" */
const char *style_name(struct style style);
/* Three significant digits, with k, M or G. */
void format_number(char cell[CELL], double value);
void format_time(char cell[CELL], double ns);
/* Of doubles, for qsort. */
int ascending(const void *a, const void *b);
/* Whether two rows do the same, by whatever mechanism, waiting in whatever
 * way. */
bool same_work(const struct job *a, const struct job *b);
/* What a mode is about; smaller is better, but for METRIC_DEPTH. */
enum metric primary_metric(enum bench_mode mode);
/* "throughput/pipe/block/64/batch:16/1x2" */
const char *row_name(const struct row *row);
/* Of a row without figures: why it has none. */
const char *row_excuse(const struct row *row);
/* The verifier's verdict in words. */
const char *row_verdict(const struct row *row);
/* How many times better than the baseline a row is, or NaN. */
double row_ratio(const struct report *report, const struct row *row);
double row_mean(const struct row *row, enum metric metric);
double row_deviation(const struct row *row, enum metric metric);
/* Coefficient of variation: the spread, relative to the mean. */
double row_spread(const struct row *row, enum metric metric);
double row_median(const struct row *row, enum metric metric);
/* True when messages were lost, duplicated, reordered or damaged that the
 * mechanism should have kept. */
bool row_spoilt(const struct row *row);
/* Command, machine and build. */
void report_head(const struct report *report, FILE *out, bool markdown);
/* Mark the best style of each kind of work; once all is measured. */
void report_choose(struct report *report);
/* One table: how each mechanism does in each mode, if it does. */
void report_brief(const struct report *report, FILE *out);
void report_text(const struct report *report, FILE *out);
void report_json(const struct report *report, FILE *out);
void report_csv(const struct report *report, FILE *out);
void report_markdown(const struct report *report, FILE *out);
/* One file a row: <stem>.<row>.hgrm; false if one could not be written. */
bool report_histograms(const struct report *report, const char *stem);
/* Figures that cannot be true, on `out`; how many. */
unsigned report_sanity(const struct report *report, FILE *out);

#endif
