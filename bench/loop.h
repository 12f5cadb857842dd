/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the loops that are measured, the same for every mechanism.
 *
 * LOOP_RUN makes a mechanism's run() of them, with its operations and, for the
 * usual sizes, the size as constants: so no indirect call and no call of memcpy
 * stands between a message and the mechanism. Sending takes two steps, so that
 * one loop serves both kinds: `slot` says where to write the message (a private
 * buffer, or memory of the mechanism), `put` sends it; `get` says where the next
 * one stands, `done` gives it back.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include "worker.h"

#include <sched.h>

#define LOOP static inline __attribute__((always_inline, unused))

/* All return 0, -EAGAIN (full, empty) or another negative errno. */
struct loop_ops {
	int (*slot)(struct channel *ch, size_t size, void **message);
	int (*put)(struct channel *ch, size_t size);
	int (*get)(struct channel *ch, size_t size, const void **message);
	void (*done)(struct channel *ch);
	/* The same, waiting for ever; NULL where the mechanism cannot. */
	int (*slot_wait)(struct channel *ch, size_t size, void **message);
	int (*put_wait)(struct channel *ch, size_t size);
	int (*get_wait)(struct channel *ch, size_t size, const void **message);
	/* Batches: how many messages, one behind the other; or NULL. */
	ssize_t (*put_n)(struct channel *ch, const void *messages, size_t size,
			 size_t n);
	ssize_t (*get_n)(struct channel *ch, void *messages, size_t size,
			 size_t n);
	ssize_t (*put_n_wait)(struct channel *ch, const void *messages,
			      size_t size, size_t n);
	ssize_t (*get_n_wait)(struct channel *ch, void *messages, size_t size,
			      size_t n);
	/* How many messages it has overwritten since we asked, or began: after
	   -ENOBUFS from get and get_n. NULL: it overwrites none. */
	uint64_t (*lost)(struct channel *ch);
	bool in_place; /* slot is memory of the mechanism, with old content */
	/* put may keep the rest of a message, which goes with the next; only
	   put_wait keeps nothing. So the last of each segment is sent by it. */
	bool keeps_rest;
};

/** Slot of a mechanism that copies. */
LOOP int
loop_slot_copy(struct channel *ch, size_t size, void **message)
{
	(void)size;
	*message = ch->out;
	return 0;
}

/** Nothing to give back: get has copied. */
LOOP void
loop_done_copy(struct channel *ch)
{
	(void)ch;
}

/** Between two looks. */
LOOP void
loop_pause(const struct worker *w)
{
	unsigned i;

	for (i = 0; i < w->pauses; i++)
		bench_pause();
	if (w->yield)
		sched_yield();
}

/** A sender met an error: full is none. */
LOOP void
loop_full(const struct worker *w, int error)
{
	if (error != -EAGAIN)
		worker_fail(w, error, "send", &w->out);
	loop_pause(w);
}

/** Damage a message where only the asked for verification sees it. */
LOOP void
loop_flip(const struct worker *w, void *message, size_t size)
{
	size_t at = w->level > VERIFY_SEQ ? size / 2 : size - 1;

	((unsigned char *)message)[at] ^= 4;
}

/** Send message number index; careful: with stamp, schedule and damage. */
LOOP void
loop_send_one(const struct loop_ops *ops, struct worker *w, size_t size,
	      uint64_t word, bool own, bool careful, int64_t stamp)
{
	bool stamped = careful && w->timed;
	void *message;
	int error;

	while ((error = own && ops->slot_wait
				? ops->slot_wait(&w->out, size, &message)
				: ops->slot(&w->out, size, &message)))
		loop_full(w, error);
	if (ops->in_place && !w->full && size > 16)
		memcpy((char *)message + 8, w->out.out + 8, size - 16);
	verify_fill(message, size, word, w->full, stamped);
	if (stamped)
		memcpy((char *)message + 8, &stamp, sizeof(stamp));
	if (careful && w->flip)
		loop_flip(w, message, size);
	while ((error = own ? ops->put_wait(&w->out, size)
			    : ops->put(&w->out, size)))
		loop_full(w, error);
	if (careful && w->flip && !ops->in_place) /* the next has it, too */
		loop_flip(w, message, size);
}

LOOP void
loop_send(const struct loop_ops *ops, struct worker *w, size_t size,
	  uint64_t first, uint64_t count, bool own)
{
	uint64_t word = verify_word(w->sender, first);
	uint64_t end = word + count * VERIFY_STEP;

	for (; word != end; word += VERIFY_STEP)
		loop_send_one(
			ops, w, size, word,
			own || (ops->keeps_rest && word + VERIFY_STEP == end),
			false, 0);
}

/** Stamped: under a rate with the time when it should be sent. */
LOOP void
loop_send_careful(const struct loop_ops *ops, struct worker *w, size_t size,
		  uint64_t first, uint64_t count, bool own)
{
	uint64_t i, rate = w->job->rate;

	for (i = 0; i < count; i++) {
		int64_t stamp = 0;

		if (rate) {
			stamp = w->begin +
				(int64_t)(i * (uint64_t)BENCH_SECOND / rate);
			while (bench_now() < stamp)
				bench_pause();
		} else if (w->timed) {
			stamp = bench_now();
		}
		loop_send_one(ops, w, size, verify_word(w->sender, first + i),
			      own || (ops->keeps_rest && i + 1 == count), true,
			      stamp);
	}
}

LOOP void
loop_send_n(const struct loop_ops *ops, struct worker *w, size_t size,
	    uint64_t first, uint64_t count, bool own)
{
	ssize_t (*put)(struct channel *, const void *, size_t, size_t) =
		own ? ops->put_n_wait : ops->put_n;
	uint64_t word = verify_word(w->sender, first);
	size_t i, n, sent, batch = w->job->batch;

	for (; count; count -= n) {
		n = count < batch ? (size_t)count : batch;
		for (i = 0; i < n; i++, word += VERIFY_STEP)
			verify_fill(w->out.out + i * size, size, word, w->full,
				    false);
		for (sent = 0; sent < n;) {
			ssize_t done = put(&w->out, w->out.out + sent * size,
					   size, n - sent);

			if (done > 0)
				sent += (size_t)done;
			else
				loop_full(w, done ? (int)done : -EAGAIN);
		}
	}
}

/** A receiver met an error: empty is none, nor is it to have been late. */
LOOP void
loop_missed(const struct loop_ops *ops, struct worker *w,
	    struct verify_tally *t, int error)
{
	uint64_t lost;

	if (error != -ENOBUFS || !ops->lost) {
		worker_fail(w, error, "receive", &w->in);
	} else {
		lost = ops->lost(&w->in);
		verify_told(t, lost);
		w->told += lost;
	}
}

/** Receive one for a loop that goes on: false when there are no more. careful:
 * note when it came. */
LOOP bool
loop_receive_one(const struct loop_ops *ops, struct worker *w,
		 struct verify_tally *t, size_t size, enum verify_level level,
		 bool own, bool careful)
{
	const void *message;
	int error = own ? ops->get_wait(&w->in, size, &message)
			: ops->get(&w->in, size, &message);
	uint64_t before = t->moved;
	int64_t now, stamp;

	if (__builtin_expect(error, 0)) {
		if (error != -EAGAIN) {
			loop_missed(ops, w, t, error);
			return true;
		}
		if (!worker_idle(w, t->moved))
			return false;
		loop_pause(w);
		return true;
	}
	verify_check(&w->verifier, t, message, size, level,
		     careful && w->timed);
	if (careful && t->moved != before) {
		w->last = now = bench_now();
		if (w->timed) {
			memcpy(&stamp, (const char *)message + 8,
			       sizeof(stamp));
			histogram_record(&w->result->histogram, now - stamp);
		}
	}
	ops->done(&w->in);
	return true;
}

/** The same for a batch. */
LOOP bool
loop_receive_some(const struct loop_ops *ops, struct worker *w,
		  struct verify_tally *t, size_t size, enum verify_level level,
		  bool own)
{
	size_t batch = w->job->batch;
	ssize_t i, n = own ? ops->get_n_wait(&w->in, w->in.in, size, batch)
			   : ops->get_n(&w->in, w->in.in, size, batch);

	if (n <= 0) {
		if (n && n != -EAGAIN) {
			loop_missed(ops, w, t, (int)n);
			return true;
		}
		if (!worker_idle(w, t->moved))
			return false;
		loop_pause(w);
	}
	for (i = 0; i < n; i++)
		verify_check(&w->verifier, t, w->in.in + (size_t)i * size, size,
			     level, false);
	return true;
}

LOOP bool
loop_receive_next(const struct loop_ops *ops, struct worker *w,
		  struct verify_tally *t, size_t size, enum verify_level level,
		  bool own, bool batch, bool careful)
{
	return batch ? loop_receive_some(ops, w, t, size, level, own)
		     : loop_receive_one(ops, w, t, size, level, own, careful);
}

LOOP void
loop_receive(const struct loop_ops *ops, struct worker *w, size_t size,
	     bool own, bool batch, bool careful)
{
	struct verify_tally t = w->tally;
	enum verify_level level = w->level;
	bool more = true;

	while (own && more && t.moved != t.until && !w->verifier.woken)
		more = loop_receive_next(ops, w, &t, size, level, true, batch,
					 careful);
	/* Woken up: the end is near, look around without sleeping. */
	if (w->verifier.woken) {
		worker_woken(w);
		while (more && t.moved != t.until)
			more = loop_receive_next(ops, w, &t, size, level, false,
						 batch, true);
	}
	while (more && t.moved != t.until)
		more = loop_receive_next(ops, w, &t, size, level, false, batch,
					 careful);
	w->tally = t;
}

/** Wait for the next message of a ping-pong and check it. */
LOOP void
loop_answer(const struct loop_ops *ops, struct worker *w,
	    struct verify_tally *t, size_t size, bool own)
{
	const void *message;
	int error;

	while ((error = own ? ops->get_wait(&w->in, size, &message)
			    : ops->get(&w->in, size, &message))) {
		if (error != -EAGAIN)
			worker_fail(w, error, "receive", &w->in);
		loop_pause(w);
	}
	verify_check(&w->verifier, t, message, size, w->level, false);
	ops->done(&w->in);
}

LOOP void
loop_ping(const struct loop_ops *ops, struct worker *w, size_t size, bool own)
{
	struct verify_tally t = w->tally;
	uint64_t word = verify_word(0, w->first);
	uint64_t end = word + w->count * VERIFY_STEP;
	int64_t now, before = w->begin;

	for (; word != end; word += VERIFY_STEP) {
		loop_send_one(ops, w, size, word, own || ops->keeps_rest, false,
			      0);
		loop_answer(ops, w, &t, size, own);
		if (w->timed) {
			now = bench_now();
			histogram_record(&w->result->histogram, now - before);
			before = now;
		}
	}
	w->tally = t;
}

LOOP void
loop_pong(const struct loop_ops *ops, struct worker *w, size_t size, bool own)
{
	struct verify_tally t = w->tally;
	uint64_t word = verify_word(0, w->first);
	uint64_t end = word + w->count * VERIFY_STEP;

	for (; word != end; word += VERIFY_STEP) {
		loop_answer(ops, w, &t, size, own);
		loop_send_one(ops, w, size, word, own || ops->keeps_rest, false,
			      0);
	}
	w->tally = t;
}

/** Send until it is full, or count have been sent. */
LOOP void
loop_fill(const struct loop_ops *ops, struct worker *w, size_t size)
{
	uint64_t i;
	void *message;

	for (i = 0; i < w->count; i++) {
		if (ops->slot(&w->out, size, &message))
			break;
		verify_fill(message, size, verify_word(w->sender, w->first + i),
			    true, false);
		if (ops->put(&w->out, size))
			break;
	}
	w->tally.moved = i;
}

/** Hand over what loop_fill may have left, by a message that counts nowhere. */
LOOP void
loop_rest(const struct loop_ops *ops, struct worker *w, size_t size)
{
	if (ops->keeps_rest)
		loop_send_one(ops, w, size, VERIFY_WAKE, true, false, 0);
}

LOOP void
loop_wake(const struct loop_ops *ops, struct worker *w, size_t size)
{
	void *message;

	if (ops->slot(&w->out, size, &message) == 0) {
		verify_fill(message, size, VERIFY_WAKE, false, false);
		ops->put(&w->out, size);
	}
}

/** Waiting by the mechanism's own calls, if it has them and they are asked for,
 * or by looking again; both are worth a copy of the loops. */
LOOP void
loop_stream(const struct loop_ops *ops, struct worker *w, enum bench_part part,
	    size_t size)
{
	bool batch = w->job->batch > 1 && ops->put_n;

	if (part == PART_SEND) {
		if (batch && ops->put_n_wait && w->own)
			loop_send_n(ops, w, size, w->first, w->count, true);
		else if (batch)
			loop_send_n(ops, w, size, w->first, w->count, false);
		else if (ops->put_wait && w->own)
			loop_send(ops, w, size, w->first, w->count, true);
		else
			loop_send(ops, w, size, w->first, w->count, false);
	} else {
		if (batch && ops->get_n_wait && w->own)
			loop_receive(ops, w, size, true, true, false);
		else if (batch)
			loop_receive(ops, w, size, false, true, false);
		else if (ops->get_wait && w->own)
			loop_receive(ops, w, size, true, false, false);
		else
			loop_receive(ops, w, size, false, false, false);
	}
}

LOOP void
loop_round_trips(const struct loop_ops *ops, struct worker *w,
		 enum bench_part part, size_t size)
{
	if (part == PART_PING) {
		if (ops->get_wait && w->own)
			loop_ping(ops, w, size, true);
		else
			loop_ping(ops, w, size, false);
	} else {
		if (ops->get_wait && w->own)
			loop_pong(ops, w, size, true);
		else
			loop_pong(ops, w, size, false);
	}
}

/** Send with a fault in the middle. */
LOOP void
loop_send_faulty(const struct loop_ops *ops, struct worker *w, size_t size)
{
	uint64_t i, k = w->first + w->count / 2;

	for (i = w->first; i < w->first + w->count; i++) {
		uint64_t index = i;

		if (i == k && w->fault == FAULT_LOSE)
			continue;
		if (w->fault == FAULT_REORDER && i - k <= 1)
			index = k + k + 1 - i;
		w->flip = i == k && w->fault == FAULT_CORRUPT;
		loop_send_careful(ops, w, size, index, 1, false);
		if (i == k && w->fault == FAULT_DUPLICATE)
			loop_send_careful(ops, w, size, index, 1, false);
	}
	w->flip = false;
}

/** Do a part that need not be fast; false: it is none of these. */
LOOP bool
loop_other(const struct loop_ops *ops, struct worker *w, enum bench_part part)
{
	size_t size = w->job->size;
	bool careful = w->timed || w->lossy;

	if (part == PART_FILL)
		loop_fill(ops, w, size);
	else if (part == PART_REST)
		loop_rest(ops, w, size);
	else if (part == PART_WAKE)
		loop_wake(ops, w, size);
	else if (part == PART_DRAIN)
		loop_receive(ops, w, size, false, false, careful);
	else if (part == PART_SEND && w->fault)
		loop_send_faulty(ops, w, size);
	else if (part == PART_SEND && w->timed)
		loop_send_careful(ops, w, size, w->first, w->count,
				  w->own && ops->put_wait);
	else if (part == PART_RECEIVE && careful && w->own && ops->get_wait)
		loop_receive(ops, w, size, true, false, true);
	else if (part == PART_RECEIVE && careful)
		loop_receive(ops, w, size, false, false, true);
	else
		return false;
	return true;
}

LOOP void
loop_sized(const struct loop_ops *ops, struct worker *w, enum bench_part part,
	   size_t size)
{
	if (part == PART_PING || part == PART_PONG)
		loop_round_trips(ops, w, part, size);
	else
		loop_stream(ops, w, part, size);
}

/* A function of its own for each size: in one for all, gcc keeps in memory what
 * belongs into registers. hot: it takes some loops for cold ones, and copies by
 * short code there (64 bytes in place: 2.7 times slower). */
#define LOOP_SIZED(name, ops, length)                               \
	static __attribute__((hot, noinline)) void name##_##length( \
		struct worker *w, enum bench_part part)             \
	{                                                           \
		loop_sized(&(ops), w, part, length);                \
	}

#define LOOP_CASE(name, ops, length)      \
	case length:                      \
		name##_##length(w, part); \
		break;

/* The usual sizes. */
#define LOOP_SIZES(each, name, ops)                                            \
	each(name, ops, 8) each(name, ops, 16) each(name, ops, 56)             \
		each(name, ops, 64) each(name, ops, 256) each(name, ops, 1024) \
			each(name, ops, 4096)

/** Defines the run() of a mechanism with these operations. */
#define LOOP_RUN(name, ops)                                         \
	LOOP_SIZES(LOOP_SIZED, name, ops)                           \
	static __attribute__((hot)) void name(struct worker *w,     \
					      enum bench_part part) \
	{                                                           \
		if (loop_other(&(ops), w, part))                    \
			return;                                     \
		switch (w->job->size) {                             \
			LOOP_SIZES(LOOP_CASE, name, ops)            \
		default:                                            \
			loop_sized(&(ops), w, part, w->job->size);  \
		}                                                   \
	}

#endif
