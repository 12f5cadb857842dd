/* SPDX-License-Identifier: MIT */
/* system.h - the machine: what it is, and which CPUs to take */
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

enum place {
	PLACE_NONE, /* wherever the kernel likes */
	PLACE_SAME, /* both on one CPU */
	PLACE_SIBLING, /* two hardware threads of a core */
	PLACE_CACHE, /* two cores that share their last-level cache */
	PLACE_ACROSS, /* two that do not */
	PLACE_COUNT,
};

#define SYSTEM_CPUS 1024

/* The CPUs that this process may use; how many. */
int system_cpus(int cpus[SYSTEM_CPUS]);
/* How two CPUs stand to each other. */
enum place system_relation(int a, int b);
/* Two allowed CPUs that stand so; false if there are none. */
bool system_pair(enum place place, int *sender, int *receiver);
const char *system_place_name(enum place place);

/* Facts about machine, kernel and build: one at a time, NULL at the end. The
 * value stands in a static buffer. */
const char *system_fact(unsigned number, const char **value);

#endif
