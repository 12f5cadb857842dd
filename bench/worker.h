/* SPDX-License-Identifier: MIT */
/*
 * worker.h - a running case, as each of its participants sees it.
 *
 * A case is one mechanism doing one job. Each repetition of it runs in fresh
 * processes: the runner (run.c) makes the mechanism's objects, starts the other
 * participants, and leads all of them through segments (warm-up, measurement,
 * latencies), which begin and end at barriers.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "histogram.h"
#include "mechanism.h"

#ifdef __cplusplus
extern "C" {
#endif

enum segment {
	SEGMENT_WARM,
	SEGMENT_MEASURE,
	SEGMENT_TIMED, /* each message or round trip for the histogram */
	SEGMENT_FILL,
	SEGMENT_EMPTY, /* receive what SEGMENT_FILL sent */
	SEGMENT_END,
};

/* What one participant saw in the last segment. */
struct result {
	uint64_t received BENCH_ALIGNED; /* so far; told when there is none */
	uint64_t moved; /* sent or received */
	int64_t begin, end; /* CLOCK_MONOTONIC */
	int64_t cpu; /* ns */
	uint64_t voluntary, involuntary, faults, syscalls;
	uint64_t lost, duplicated, reordered, corrupt;
	uint64_t told; /* lost, but told so: no fault */
	int64_t join, leave; /* ns that these took */
	struct histogram histogram;
};

/* Shared by all participants; what is polled has a line of its own. */
struct control {
	uint32_t made BENCH_ALIGNED; /* 1: the channels are there */
	uint32_t ready BENCH_ALIGNED; /* participants that have joined */
	uint32_t epoch BENCH_ALIGNED; /* segments begun */
	enum segment segment;
	uint64_t first, count; /* of each sender's messages */
	uint32_t started BENCH_ALIGNED;
	uint32_t finished BENCH_ALIGNED;
	uint32_t senders_done BENCH_ALIGNED;
	uint32_t receivers_done BENCH_ALIGNED;
	int64_t woken; /* when the first receiver was, behind all messages */
	uint32_t failed BENCH_ALIGNED;
	int error;
	char text[160];
	struct result results[BENCH_WORKERS];
};

/* A participant: what the loops need. */
struct worker {
	const struct job *job;
	struct control *control;
	struct result *result;
	unsigned index, sender; /* among all, among the senders */
	bool sends, receives;
	struct channel out, in;
	unsigned char *bits; /* for the verifier */
	/* of this segment: */
	uint64_t first, count; /* to send */
	uint64_t total; /* of all senders */
	enum verify_level level;
	bool full; /* level == VERIFY_FULL */
	bool timed, lossy, own;
	int64_t last; /* received, if lossy */
	enum bench_fault fault;
	unsigned pauses;
	bool yield;
	bool flip; /* damage the messages sent now */
	int64_t begin;
	struct verify_tally tally;
	uint64_t told; /* messages that the mechanism has told to be lost */
	struct verifier verifier;
	uint64_t idle_moved; /* tally.moved when it was idle before ... */
	int64_t idle_since; /* ... at this time */
};

/* End this case with an error that happened in `what`. */
void worker_fail(const struct worker *w, int error, const char *what,
		 const struct channel *ch) __attribute__((noreturn));
/* A receiver of so many found nothing: false when nothing more will come. */
bool worker_idle(struct worker *w, uint64_t moved);
/* VERIFY_WAKE came, behind the messages: when the first receiver gets it, the
   segment is over, but for what it may have overtaken. */
void worker_woken(struct worker *w);

/* Bytes of the bitmap of a worker. */
#define BITS_EACH (VERIFY_MOST / 8 + 4096)

unsigned participants(const struct job *job);
/* Whether each receiver gets every message. */
bool gets_all(const struct job *job);
/* The side that is alone makes the object: some give others no choice. */
bool maker_receives(const struct job *job);
/* Whether participant i sends, where none does both. */
bool is_sender(const struct job *job, unsigned i);
/* Wait until *word has the value, giving the CPU away. */
void await(const uint32_t *word, uint32_t value);
/* Count one more who is so far. */
void signal_others(uint32_t *word);
/* Play one segment between its barriers. */
void take_part(struct worker *w, enum segment segment);

#ifdef __cplusplus
}
#endif
#endif
