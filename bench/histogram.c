/* SPDX-License-Identifier: MIT */
/* histogram.c - adding up and reading histograms */
#include "histogram.h"

#include <inttypes.h>
#include <math.h>

/** The largest value that falls into a bucket. */
static uint64_t
bucket_top(unsigned i)
{
	unsigned shift = i >> HISTOGRAM_BITS;

	if (shift)
		shift--;
	return ((uint64_t)(i - (shift << HISTOGRAM_BITS) + 1) << shift) - 1;
}

void
histogram_add(struct histogram *to, const struct histogram *from)
{
	int i;

	if (!from->total)
		return;
	if (!to->total || from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
	to->total += from->total;
	to->sum += from->sum;
	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
}

double
histogram_quantile(const struct histogram *h, double share)
{
	double wanted = ceil((double)h->total * share);
	uint64_t seen = 0, value;
	unsigned i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen && (double)seen >= wanted)
			break;
	}
	value = bucket_top(i);
	return value < (uint64_t)h->max ? (double)value : (double)h->max;
}

static double
deviation(const struct histogram *h, double mean)
{
	double squares = 0;
	unsigned i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double d = (double)bucket_top(i) - mean;

		squares += d * d * (double)h->bucket[i];
	}
	return sqrt(squares / (double)h->total);
}

void
histogram_print(const struct histogram *h, FILE *out)
{
	double mean, share, half = 0.5;
	int step = 0;

	if (!h->total)
		return;
	mean = (double)h->sum / (double)h->total;
	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile",
		"TotalCount", "1/(1-Percentile)");
	/* Five steps towards 1 for each halving of what is left. */
	for (share = 0; (1 - share) * (double)h->total >= 1;) {
		double value = histogram_quantile(h, share);

		fprintf(out, "%12.3f %2.12f %10.0f %14.2f\n", value, share,
			ceil(share * (double)h->total), 1 / (1 - share));
		share += half / 5;
		if (++step % 5 == 0)
			half /= 2;
	}
	fprintf(out, "%12.3f %2.12f %10" PRIu64 "\n", (double)h->max, 1.0,
		h->total);
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean,
		deviation(h, mean));
	fprintf(out, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n",
		(double)h->max, h->total);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12u]\n",
		HISTOGRAM_TOP - HISTOGRAM_BITS + 1, HISTOGRAM_HALF);
}
