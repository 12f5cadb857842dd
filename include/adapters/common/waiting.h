/* SPDX-License-Identifier: MIT */
/*
 * waiting.h - deadlines, and two ways to wait for them: poll a descriptor, or
 * look again and again.
 */
#ifndef ADAPTER_WAITING_H
#define ADAPTER_WAITING_H

#include "endpoint.h"

#include <signal.h>
#include <time.h>

#define ADAPTER_SLICE (ADAPTER_SECOND / 10) /* how often a sleeper looks up */

/** CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
adapter_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * ADAPTER_SECOND + now.tv_nsec;
}

/** When a timeout ends: 0 has ended already, INT64_MAX never does. */
static inline int64_t
adapter_deadline(int64_t timeout_ns)
{
	int64_t now;

	if (timeout_ns == 0)
		return 0;
	now = adapter_now();
	if (timeout_ns < 0 || timeout_ns > INT64_MAX - now)
		return INT64_MAX;
	return now + timeout_ns;
}

/** Nanoseconds until the deadline, at least 0. */
static inline int64_t
adapter_left(int64_t deadline)
{
	int64_t left;

	if (deadline == 0 || deadline == INT64_MAX)
		return deadline;
	left = deadline - adapter_now();
	return left > 0 ? left : 0;
}

/** The error when the deadline has come: it tells a try from a wait. */
static inline int
adapter_expired(int64_t deadline)
{
	return deadline == 0 ? -EAGAIN : -ETIMEDOUT;
}

/** The same for who looks up in between: at most a slice. */
static inline int64_t
adapter_slice(int64_t deadline)
{
	int64_t left = adapter_left(deadline);

	return left < ADAPTER_SLICE ? left : ADAPTER_SLICE;
}

static inline struct timespec
adapter_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / ADAPTER_SECOND,
				  .tv_nsec = ns % ADAPTER_SECOND };
}

/**
 * Wait for events on fd; 0, or -EAGAIN or -ETIMEDOUT at the deadline. A
 * deadline of 0 does not look: the caller has just tried.
 */
static inline int
adapter_poll(struct adapter *a, int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct timespec left;
	int n;

	if (deadline == 0)
		return -EAGAIN;
	do {
		left = adapter_timespec(adapter_left(deadline));
		n = ADAPTER_SYS(a, ppoll(&p, 1,
					 deadline == INT64_MAX ? NULL : &left,
					 NULL));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return adapter_error(a);
	return n ? 0 : adapter_expired(deadline);
}

/**
 * Sleep a little, twice as long each time up to 1 ms; 0, or -EAGAIN or
 * -ETIMEDOUT at the deadline. *step begins at 0.
 */
static inline int
adapter_backoff(struct adapter *a, int64_t *step, int64_t deadline)
{
	int64_t left = adapter_left(deadline);
	struct timespec t;

	if (left == 0)
		return adapter_expired(deadline);
	*step = *step == 0			? 1000
		: *step < ADAPTER_SECOND / 2000 ? *step * 2
						: *step;
	t = adapter_timespec(*step < left ? *step : left);
	ADAPTER_SYS(a, nanosleep(&t, NULL)); /* EINTR: only looks sooner */
	return 0;
}

/**
 * After an open(O_NONBLOCK) that failed: 0 when it is worth another try, as the
 * name may come, or whoever has a lease on it let go; -ENOENT, -EAGAIN or
 * -ETIMEDOUT at the deadline.
 */
static inline int
adapter_absent(struct adapter *a, int64_t *step, int64_t deadline)
{
	int why = errno;

	if (why != ENOENT && why != EAGAIN)
		return adapter_error(a);
	if (adapter_backoff(a, step, deadline))
		return deadline ? -ETIMEDOUT : -why;
	return 0;
}

#endif
