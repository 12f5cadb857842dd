/* SPDX-License-Identifier: MIT */
/* bars.h - the figures that shmring wants to reach, and whether it does */
#ifndef BENCH_BARS_H
#define BENCH_BARS_H

#include "report.h"

/* The rows that the bars compare. */
void bars_add(struct report *report);
/* "figure | bar | measured | met", as Markdown. */
void bars_print(const struct report *report, FILE *out);

#endif
