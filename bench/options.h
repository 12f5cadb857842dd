/* SPDX-License-Identifier: MIT */
/* options.h - what was asked for */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "mechanism.h"
#include "system.h"

#define LIST 16 /* values of one option */

enum { EXIT_SPOILT = 1, EXIT_USAGE = 2 };

struct pairs {
	unsigned senders, receivers;
};

/* A list of values, empty where the mode's own default applies. */
struct sizes {
	size_t n, value[LIST];
};

struct options {
	const char *names; /* of mechanisms, separated by commas; NULL: all */
	unsigned modes; /* 1 << MODE_...; 0: the standard programme */
	unsigned waits; /* 1 << WAIT_...; 0: the mode's */
	struct sizes sizes, batches, pauses, rates;
	struct pairs pairs[LIST];
	size_t n_pairs;
	struct job job; /* what is the same for all */
	unsigned repeat;
	uint64_t seed;
	int64_t timeout;
	enum place place;
	bool place_given, quick, list, bars;
	int senders[LIST], receivers[LIST]; /* CPUs */
	size_t n_senders, n_receivers;
	const char *only; /* with bars: those that have this in their name */
	const char *formats, *out, *hdr, *baseline;
};

extern struct options options;

/* Fills options; ends the program on a wrong one. */
void parse_options(int argc, char **argv);
/* End with this message: EXIT_USAGE. */
void refuse(const char *what, const char *value) __attribute__((noreturn));
/* Call for each part of a list. */
void each(const char *list, void (*take)(const char *part, void *into),
	  void *into);

#endif
