/* SPDX-License-Identifier: MIT */
/* cases.h - the mechanisms, and which rows are measured */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "options.h"
#include "report.h"

/* Gathers all mechanisms, checks the names asked for. */
void collect_mechanisms(void);
void list_mechanisms(void);
const struct mechanism *find_mechanism(const char *name);
/* "shmring", "adapters", "peers" or "baselines" */
const char *group_of(const struct mechanism *m);

/* Which CPUs: as told, or by topology; what they are, in words. */
void choose_cpus(char *text, size_t size);
/* A row, unless there is one already. */
void add_row(struct report *report, const struct job *job);
/* The rows of a job in all these ways to wait (1 << WAIT_...), with the pauses
 * asked for or those that may be the best. */
void add_styles(struct report *report, struct job *job, unsigned waits);
/* The CPUs of a job with so many participants. */
const int *assign_cpus(unsigned senders, unsigned receivers);
/* What was asked for, or the standard programme. */
void add_programme(struct report *report);

#endif
