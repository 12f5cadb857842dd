/* SPDX-License-Identifier: MIT */
/* run.h - one repetition of one case, and what came of it */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "histogram.h"
#include "mechanism.h"

enum metric {
	METRIC_RATE, /* messages a second, first send to last receive */
	METRIC_BYTES, /* bytes a second */
	METRIC_NS, /* ns a message, or a round trip */
	METRIC_SEND, /* the same, of the senders alone */
	METRIC_MIN, /* of the histogram, as all down to METRIC_MAX */
	METRIC_P50,
	METRIC_P90,
	METRIC_P99,
	METRIC_P999,
	METRIC_P9999,
	METRIC_MAX,
	METRIC_CPU_SEND, /* ns a message, all senders */
	METRIC_CPU_RECEIVE,
	METRIC_VOLUNTARY, /* context switches a message, both sides */
	METRIC_INVOLUNTARY,
	METRIC_SYSCALLS, /* a message, both sides */
	METRIC_FAULTS, /* page faults a message, both sides */
	METRIC_DEPTH, /* messages taken before it was full */
	METRIC_KEPT, /* of these, how many could be received */
	METRIC_MESSAGES, /* measured */
	METRIC_LOST,
	METRIC_TOLD, /* lost, but the receiver was told of each */
	METRIC_DUPLICATED,
	METRIC_REORDERED,
	METRIC_CORRUPT,
	METRIC_CREATE, /* ns: make the object */
	METRIC_ATTACH, /* ns: the other side takes hold of it */
	METRIC_FIRST, /* ns: from the start until a message is through */
	METRIC_CLOSE, /* ns: let go of it */
	METRIC_COUNT,
};

enum status {
	RUN_DONE,
	RUN_REFUSED, /* the mechanism cannot do this job, text says why */
	RUN_MISSING, /* this build lacks the library in text */
	RUN_FAILED,
	RUN_TIMEOUT,
};

struct outcome {
	enum status status;
	char text[160];
	double value[METRIC_COUNT]; /* NaN where it does not apply */
	struct histogram histogram;
};

/* Runs the job in processes of its own, which are gone afterwards, as are
 * their names. A signal ends it early: RUN_TIMEOUT. */
void run_job(const struct job *job, int64_t timeout, struct outcome *outcome);

#endif
