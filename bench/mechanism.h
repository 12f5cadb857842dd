/* SPDX-License-Identifier: MIT */
/*
 * mechanism.h - a kind of work (struct job), and what can do it.
 *
 * To add a mechanism, fill a struct mechanism; its loops come from loop.h.
 */
#ifndef BENCH_MECHANISM_H
#define BENCH_MECHANISM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "verify.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_LINE 128 /* two cache lines: what the prefetcher pairs */
#define BENCH_ALIGNED __attribute__((aligned(BENCH_LINE)))
#define BENCH_SECOND INT64_C(1000000000)
#define BENCH_WORKERS VERIFY_SENDERS /* participants of one case at most */
#define BENCH_BATCH 256u /* messages in one batch at most */
#define BENCH_DEPTH 1024u /* messages a ring holds by default ... */
#define BENCH_DEPTH_BYTES (16u << 20) /* ... but at most these bytes ... */
#define BENCH_DEPTH_LEAST 4u /* ... and at least so many */

enum bench_mode {
	MODE_PING_PONG,
	MODE_THROUGHPUT,
	MODE_UNDER_LOAD,
	MODE_FAN_IN,
	MODE_FAN_OUT,
	MODE_MANY_TO_MANY,
	MODE_OVERSUBSCRIBED,
	MODE_BROADCAST, /* each receiver gets all */
	MODE_SETUP_COST,
	MODE_LIMITS,
	MODE_COUNT,
};

enum bench_wait {
	WAIT_SPIN, /* look again after some pauses */
	WAIT_YIELD, /* sched_yield between two looks */
	WAIT_BLOCK, /* sleep in the kernel */
	WAIT_HYBRID, /* spin for a while, then sleep */
	WAIT_COUNT,
};

#define PAUSES_OWN (-1) /* spin in the mechanism's own waiting calls */

struct style {
	enum bench_wait wait;
	int pauses; /* WAIT_SPIN: between two looks */
};

enum { /* of a mechanism */
       CAP_MANY_SENDERS = 1 << 0,
       CAP_MANY_RECEIVERS = 1 << 1,
       CAP_THREADS = 1 << 2, /* its users must share one address space */
       CAP_NAMED = 1 << 3, /* made after the others have been started */
       CAP_SPIN = 1 << 4, /* put and get return at once */
       CAP_SLOW = 1 << 5, /* by system calls, so pauses do not matter */
       CAP_OWN_SPIN = 1 << 6, /* put_wait and get_wait can spin ... */
       CAP_BLOCK = 1 << 7, /* ... or sleep ... */
       CAP_HYBRID = 1 << 8, /* ... or first the one, then the other */
       CAP_PUT_WAITS = 1 << 9, /* put waits when full, so look for no depth */
       CAP_BATCH = 1 << 10, /* put_n and get_n */
       CAP_LOSSY = 1 << 11, /* a lost message is no fault */
       CAP_BASELINE = 1 << 12, /* a limit of the machine; nothing is sent */
       CAP_SOLO = 1 << 13, /* a baseline of one process */
       CAP_APART = 1 << 14, /* only where asked for by its own name */
       CAP_BATCH_WAIT = 1 << 15, /* put_n_wait and get_n_wait */
       CAP_HELD_UP = 1 << 16, /* whoever is stopped in mid-call stops all */
       CAP_BROADCAST = 1 << 17, /* each message goes to all receivers */
       CAP_OVERWRITES = 1 << 18, /* never full: who is late is told so */
};

enum bench_fault { /* put into a measurement to see it reported */
		   FAULT_NONE,
		   FAULT_LOSE,
		   FAULT_DUPLICATE,
		   FAULT_REORDER,
		   FAULT_CORRUPT,
		   FAULT_HURRY, /* a millionth of the time is told */
		   FAULT_COUNT,
};

struct job {
	const struct mechanism *mechanism;
	enum bench_mode mode;
	struct style style;
	size_t size;
	unsigned batch, senders, receivers;
	unsigned idle; /* attached beside these, doing nothing */
	uint64_t rate; /* MODE_UNDER_LOAD: messages a second */
	size_t depth; /* messages in flight at most; 0: the default */
	uint64_t count; /* messages to measure; 0: for the duration */
	uint64_t fill; /* do not look for a depth beyond so many messages */
	int64_t duration, warmup;
	enum verify_level verify; /* while measuring */
	enum bench_fault fault;
	const int *cpus; /* of each participant, -1: not pinned */
};

/* One direction of traffic, as one participant sees it. */
struct channel {
	const struct job *job;
	const char *why; /* behind an error: what refused */
	uint64_t limit; /* and its value */
	char name[48]; /* of objects that have one */
	bool sends, receives;
	bool creator; /* this participant made it */
	void *shared; /* seen by all that were not started before */
	void *own; /* what the mechanism keeps */
	unsigned char *out, *in; /* room for a batch each way */
	size_t room; /* bytes of each */
};

enum bench_part { /* what mechanism.run does for a participant */
		  PART_SEND,
		  PART_RECEIVE,
		  PART_DRAIN, /* take what comes beyond the expected count */
		  PART_PING,
		  PART_PONG,
		  PART_FILL, /* send until it is full */
		  PART_REST, /* hand over what PART_FILL may have left */
		  PART_WAKE, /* make a sleeping receiver look around */
};

struct worker;

struct mechanism {
	const char *name;
	const char *summary;
	const char *missing; /* the Debian package that this build lacks */
	unsigned caps;
	const void *data; /* the mechanism's own */
	/* NULL, or why it cannot do this job. */
	const char *(*refuses)(const struct job *job);
	/* Shared memory wanted in channel.shared. */
	size_t (*shared_bytes)(const struct job *job);
	/* The runner makes the object: 0 or a negative errno. */
	int (*create)(struct channel *channel);
	/* Each participant, the runner too, takes hold of it ... */
	int (*join)(struct channel *channel);
	/* ... and lets go. */
	void (*leave)(struct channel *channel);
	/* Remove the name; all are gone, perhaps killed. */
	void (*unlink)(const struct mechanism *mechanism, const char *name);
	/* System calls so far that this participant has to answer for. */
	uint64_t (*syscalls)(const struct channel *channel);
	void (*run)(struct worker *worker, enum bench_part part);
};

/* Lists end with NULL. */
extern const struct mechanism *const ring_mechanisms[];
extern const struct mechanism *const deaf_mechanisms[];
extern const struct mechanism ring_each; /* one of ring_mechanisms */
extern const struct mechanism *const baseline_mechanisms[];
extern const struct mechanism *const peer_mechanisms[];
const struct mechanism *const *adapter_mechanisms(void);

/** CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * BENCH_SECOND + now.tv_nsec;
}

static inline void
bench_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" ::: "memory");
#endif
}

/** Messages that a ring of this job holds, unless --depth says it. */
static inline size_t
bench_depth(const struct job *job)
{
	size_t depth = BENCH_DEPTH;

	if (job->depth)
		return job->depth;
	while (depth > BENCH_DEPTH_LEAST &&
	       depth * job->size > BENCH_DEPTH_BYTES)
		depth /= 2;
	return depth;
}

/** The same as a power of two, which some rings need; 0: it is none. */
static inline size_t
bench_depth_power(const struct job *job)
{
	size_t depth = bench_depth(job);

	return depth & (depth - 1) ? 0 : depth;
}

#ifdef __cplusplus
}
#endif
#endif
