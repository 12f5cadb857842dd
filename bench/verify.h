/* SPDX-License-Identifier: MIT */
/*
 * verify.h - what a message says, and whether it came as it was sent.
 *
 *	byte 0		its number, scrambled by an odd factor: a flipped bit
 *			gives a number that nobody sends
 *	byte 8		the time, if the message is stamped
 *	...		words that follow from the number (full), or always the
 *			same ones, whose sum is checked: either way the
 *			receiver reads each byte, also of what it got in place
 *	last 8 bytes	the number again, inverted (from 16 bytes, stamped 24)
 *
 * Senders count their messages up. A receiver keeps a run of numbers in
 * sequence for each sender; in order, a message costs it one comparison and
 * one addition. Only when a run breaks it is entered into a bitmap, from which
 * lost and duplicated messages follow exactly, also with several receivers.
 */
#ifndef BENCH_VERIFY_H
#define BENCH_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VERIFY_STEP UINT64_C(0x9e3779b97f4a7c15)
#define VERIFY_INVERSE UINT64_C(0xf1de83e19937733d) /* mod 2^64 */
#define VERIFY_INDEX_BITS 40
#define VERIFY_SENDERS 64
/* Wakes a receiver that sleeps at the end; no message. */
#define VERIFY_WAKE (UINT64_C(0) - VERIFY_STEP)
/* One segment: a bitmap of this has 128 MiB, touched only where needed. */
#define VERIFY_MOST (UINT64_C(1) << 30)

/** The first word of message number index of a sender. */
static inline uint64_t
verify_word(unsigned sender, uint64_t index)
{
	return (((uint64_t)sender << VERIFY_INDEX_BITS) + index + 1) *
	       VERIFY_STEP;
}

/** The word i of a message, but for its ends, if its first is this. */
static inline uint64_t
verify_word_at(uint64_t word, size_t i)
{
	return (word ^ VERIFY_INVERSE) + i * VERIFY_STEP;
}

enum verify_level {
	VERIFY_NONE, /* only count */
	VERIFY_SEQ, /* number at both ends */
	VERIFY_SUM, /* and the sum of what is between */
	VERIFY_FULL, /* and each of these bytes, which change */
};

/* A run of messages in sequence. */
struct verify_run {
	uint64_t expected; /* the word that continues it; stale in v->run */
	uint64_t start; /* index of its first */
	uint64_t highest; /* 1 + the highest index ever */
};

/* What the loops keep in registers. */
struct verify_tally {
	uint64_t expected; /* the word that continues the run */
	uint64_t moved; /* messages so far */
	uint64_t until; /* so many; UINT64_MAX: nobody knows */
};

struct verifier {
	struct verify_run *run; /* of the sender heard last */
	struct verify_run runs[VERIFY_SENDERS];
	unsigned senders;
	uint64_t first, count; /* of each sender, in this segment */
	uint64_t sum; /* of what stands between in each message */
	unsigned char *bits; /* seen, but for the current runs */
	bool dirty; /* bits have been set */
	bool woken; /* VERIFY_WAKE came */
	uint64_t lost, duplicated, reordered, corrupt;
};

/* Returns the word expected first. */
uint64_t verify_begin(struct verifier *v, unsigned senders, uint64_t first,
		      uint64_t count);
/* Not what continues the run; returns what is expected next. */
uint64_t verify_other(struct verifier *v, uint64_t expected, uint64_t word);
/* The end of a segment. The only receiver knows then what was lost; of
   several each has its bitmap complete, and one calls verify_merge. */
void verify_end(struct verifier *v, uint64_t expected, bool only);
/* Of a sender's messages: those that nobody of `receivers` saw are lost,
   those that more than one did are duplicated. */
void verify_merge(unsigned char *const *bits, unsigned receivers,
		  unsigned sender, uint64_t messages, uint64_t *lost,
		  uint64_t *duplicated);

/** Where the bits of a sender begin, in bytes. */
static inline size_t
verify_bits_of(uint64_t sender, uint64_t messages)
{
	return (size_t)(sender * ((messages + 7) / 8));
}

/* The words between; from is 8, or 16 behind a stamp. */
void verify_fill_body(void *message, size_t size, size_t from, uint64_t word);
bool verify_check_body(const void *message, size_t size, size_t from,
		       uint64_t word);

/** Write a message; full: every byte of it. */
static inline __attribute__((always_inline)) void
verify_fill(void *message, size_t size, uint64_t word, bool full, bool stamped)
{
	uint64_t last = ~word;

	memcpy(message, &word, sizeof(word));
	if (full)
		verify_fill_body(message, size, stamped ? 16 : 8, word);
	if (size >= (stamped ? 24 : 16))
		memcpy((char *)message + size - 8, &last, sizeof(last));
}

/** So many are missing, as the mechanism has told: the next has the number
 * behind them, and the run goes on. */
static inline void
verify_told(struct verify_tally *tally, uint64_t lost)
{
	tally->expected += lost * VERIFY_STEP;
	tally->until -= lost;
}

/** The sum of the words between; in four parts, so that none has to wait. */
static inline __attribute__((always_inline)) uint64_t
verify_sum(const void *message, size_t size, size_t from)
{
	const char *p = (const char *)message;
	uint64_t sum[4] = { 0, 0, 0, 0 }, w[4];
	size_t i = from;

	for (; i + 40 <= size; i += 32) {
		memcpy(w, p + i, 32);
		sum[0] += w[0];
		sum[1] += w[1];
		sum[2] += w[2];
		sum[3] += w[3];
	}
	for (; i + 16 <= size; i += 8) {
		memcpy(w, p + i, 8);
		sum[0] += w[0];
	}
	return sum[0] + sum[1] + sum[2] + sum[3];
}

/** Check a message and count it; a call to wake up does not count. */
static inline __attribute__((always_inline)) void
verify_check(struct verifier *v, struct verify_tally *tally,
	     const void *message, size_t size, enum verify_level level,
	     bool stamped)
{
	uint64_t word, last;

	memcpy(&word, message, sizeof(word));
	if (__builtin_expect(word == tally->expected, 1)) {
		tally->expected += VERIFY_STEP;
	} else if (word == VERIFY_WAKE) {
		v->woken = true;
		return;
	} else if (level != VERIFY_NONE) {
		tally->expected = verify_other(v, tally->expected, word);
	}
	tally->moved++;
	if (level == VERIFY_NONE || size < (stamped ? 24 : 16))
		return;
	memcpy(&last, (const char *)message + size - 8, sizeof(last));
	if (__builtin_expect(last != ~word, 0))
		v->corrupt++;
	if (__builtin_expect(level == VERIFY_SUM, 1)) {
		if (verify_sum(message, size, stamped ? 16 : 8) != v->sum)
			v->corrupt++;
	} else if (level == VERIFY_FULL) {
		if (!verify_check_body(message, size, stamped ? 16 : 8, word))
			v->corrupt++;
	}
}

#ifdef __cplusplus
}
#endif
#endif
