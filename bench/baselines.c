/* SPDX-License-Identifier: MIT */
/*
 * baselines.c - what this machine does without any mechanism: the limits
 * that nobody passes, measured in the same run.
 */
#include "loop.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_LINE 64
#define LOOKS 100000
#define LINES 1024 /* so many that none is met again while it is warm */

/** Only the named mode; stream: throughput, else round trips. */
static const char *
only_round_trips(const struct job *job)
{
	return job->mode == MODE_PING_PONG && job->size == 8
		       ? NULL
		       : "a baseline of 8-byte round trips";
}

static const char *
only_streams(const struct job *job)
{
	return job->mode == MODE_THROUGHPUT && job->batch == 1
		       ? NULL
		       : "a baseline of throughput";
}

/* -------------------------------------------- one process, nothing is sent */

/** Writing and checking the messages, as every other row does, too. */
static void
null_run(struct worker *w, enum bench_part part)
{
	struct verify_tally t = w->tally;
	size_t size = w->job->size;
	uint64_t i;

	(void)part;
	for (i = 0; i < w->count; i++) {
		verify_fill(w->out.out, size, verify_word(0, w->first + i),
			    w->full, false);
		__asm__ __volatile__("" ::: "memory");
		verify_check(&w->verifier, &t, w->out.out, size, w->level,
			     false);
	}
}

/** As much as the messages in flight take, and no more: a limit. */
static size_t
least_bytes(const struct job *job)
{
	return bench_depth(job) * job->size;
}

/** As much as shmring takes for them: caches help both alike. */
static size_t
ring_bytes(const struct job *job)
{
	size_t bytes = BENCH_LINE;

	while (bytes < bench_depth(job) * (job->size + 8))
		bytes *= 2;
	return bytes;
}

/** One copy of each message, behind the last. */
static void
memcpy_run(struct worker *w, enum bench_part part)
{
	size_t size = w->job->size;
	size_t end = w->job->mechanism->shared_bytes(w->job);
	/* where the last segment stopped, so that warming up gets around */
	size_t at = (size_t)w->first % (end / size) * size;
	unsigned char *to = w->out.shared;
	uint64_t i;

	(void)part;
	for (i = 0; i < w->count; i++) {
		switch (size) {
		case 8:
			memcpy(to + at, w->out.out, 8);
			break;
		case 16:
			memcpy(to + at, w->out.out, 16);
			break;
		case 64:
			memcpy(to + at, w->out.out, 64);
			break;
		default:
			memcpy(to + at, w->out.out, size);
		}
		__asm__ __volatile__("" ::: "memory");
		at += size;
		if (at + size > end)
			at = 0;
	}
}

/** What one look at the clock adds to each latency in a histogram. */
static void
clock_run(struct worker *w, enum bench_part part)
{
	int64_t now, before = bench_now();
	uint64_t i;

	(void)part;
	for (i = 0; i < w->count; i++) {
		now = bench_now();
		if (w->timed)
			histogram_record(&w->result->histogram, now - before);
		before = now;
	}
}

/* -------------------------------------- two processes and bare cache lines */

static size_t
lines_bytes(const struct job *job)
{
	(void)job;
	return LINES * CACHE_LINE;
}

static uint64_t *
line(const struct channel *ch, uint64_t i)
{
	size_t lines = *(const size_t *)ch->job->mechanism->data;
	unsigned char *memory = ch->shared;

	return (uint64_t *)(void *)(memory + i % lines * CACHE_LINE);
}

static void
await_line(const struct worker *w, const uint64_t *word, uint64_t value)
{
	unsigned looks;

	for (looks = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
	     looks++) {
		loop_pause(w);
		if (looks % LOOKS == LOOKS - 1) /* the other has no CPU */
			sched_yield();
	}
}

/** Each round trip moves one line there and one back. */
static void
lines_run(struct worker *w, enum bench_part part)
{
	int64_t now, before = w->begin;
	uint64_t i;

	for (i = w->first + 1; i <= w->first + w->count; i++) {
		if (part == PART_PONG)
			await_line(w, line(&w->in, i), i);
		__atomic_store_n(line(&w->out, i), i, __ATOMIC_RELEASE);
		if (part == PART_PONG)
			continue;
		await_line(w, line(&w->in, i), i);
		if (w->timed) {
			now = bench_now();
			histogram_record(&w->result->histogram, now - before);
			before = now;
		}
	}
}

/* --------------------------------------------- two processes and two futexes */

static size_t
futex_bytes(const struct job *job)
{
	(void)job;
	return BENCH_LINE;
}

static void
futex_post(struct channel *ch, uint32_t value)
{
	uint32_t *word = ch->shared;

	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void
futex_await(struct channel *ch, uint32_t value)
{
	uint32_t *word = ch->shared;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		syscall(SYS_futex, word, FUTEX_WAIT, value - 1, NULL, NULL, 0);
}

static void
futex_run(struct worker *w, enum bench_part part)
{
	int64_t now, before = w->begin;
	uint64_t i;

	for (i = w->first + 1; i <= w->first + w->count; i++) {
		if (part == PART_PONG)
			futex_await(&w->in, (uint32_t)i);
		futex_post(&w->out, (uint32_t)i);
		if (part == PART_PONG)
			continue;
		futex_await(&w->in, (uint32_t)i);
		if (w->timed) {
			now = bench_now();
			histogram_record(&w->result->histogram, now - before);
			before = now;
		}
	}
}

static const size_t one = 1, many = LINES;

static const struct mechanism null = {
	.name = "null",
	.summary = "writing and checking the messages, not sending them",
	.caps = CAP_BASELINE | CAP_SOLO | CAP_SPIN,
	.refuses = only_streams,
	.run = null_run,
};

static const struct mechanism copy = {
	.name = "memcpy",
	.summary = "one copy of the same bytes into the least memory",
	.caps = CAP_BASELINE | CAP_SOLO | CAP_SPIN,
	.refuses = only_streams,
	.shared_bytes = least_bytes,
	.run = memcpy_run,
};

static const struct mechanism copy_around = {
	.name = "memcpy-ring",
	.summary = "one copy of the same bytes into as much memory as a ring's",
	.caps = CAP_BASELINE | CAP_SOLO | CAP_SPIN,
	.refuses = only_streams,
	.shared_bytes = ring_bytes,
	.run = memcpy_run,
};

static const struct mechanism ticks = {
	.name = "clock",
	.summary = "one look at the clock",
	.caps = CAP_BASELINE | CAP_SOLO | CAP_SPIN,
	.refuses = only_round_trips,
	.run = clock_run,
};

static const struct mechanism lines = {
	.name = "lines",
	.summary = "bare ping-pong over two cache lines",
	.caps = CAP_BASELINE | CAP_SPIN,
	.data = &one,
	.refuses = only_round_trips,
	.shared_bytes = lines_bytes,
	.run = lines_run,
};

static const struct mechanism fresh = {
	.name = "lines-fresh",
	.summary = "bare ping-pong, other cache lines for each round trip",
	.caps = CAP_BASELINE | CAP_SPIN,
	.data = &many,
	.refuses = only_round_trips,
	.shared_bytes = lines_bytes,
	.run = lines_run,
};

static const struct mechanism futex = {
	.name = "futex",
	.summary = "ping-pong over two futexes, always asleep",
	.caps = CAP_BASELINE | CAP_BLOCK,
	.refuses = only_round_trips,
	.shared_bytes = futex_bytes,
	.run = futex_run,
};

const struct mechanism *const baseline_mechanisms[] = {
	&null, &copy, &copy_around, &ticks, &lines, &fresh, &futex, NULL
};
