/* SPDX-License-Identifier: MIT */
/*
 * histogram.h - counts of durations in preallocated buckets, as HdrHistogram
 * does it: 128 buckets of equal width for each power of two, so a value is off
 * by less than 0.8 % and recording is one increment.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BITS 7
#define HISTOGRAM_HALF (1u << HISTOGRAM_BITS)
#define HISTOGRAM_TOP 42 /* values below 2^42 ns, 73 minutes */
#define HISTOGRAM_BUCKETS \
	((HISTOGRAM_TOP - HISTOGRAM_BITS + 1) * (int)HISTOGRAM_HALF)

struct histogram {
	uint64_t total, sum;
	int64_t min, max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

static inline unsigned
histogram_index(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_HALF)
		return (unsigned)value;
	if (value >> HISTOGRAM_TOP)
		return HISTOGRAM_BUCKETS - 1;
	shift = 63 - HISTOGRAM_BITS - (unsigned)__builtin_clzll(value);
	return (shift << HISTOGRAM_BITS) + (unsigned)(value >> shift);
}

/** Count one duration; one below 0 (two clocks disagree) counts as 0. */
static inline void
histogram_record(struct histogram *h, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	if (ns < h->min || !h->total)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->total++;
	h->sum += (uint64_t)ns;
	h->bucket[histogram_index((uint64_t)ns)]++;
}

void histogram_add(struct histogram *to, const struct histogram *from);
/* The value that this share (0.99) of all do not exceed. */
double histogram_quantile(const struct histogram *h, double share);
/* In the percentile format of HdrHistogram, in nanoseconds. */
void histogram_print(const struct histogram *h, FILE *out);

#endif
