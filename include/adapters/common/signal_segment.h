/* SPDX-License-Identifier: MIT */
/*
 * signal_segment.h - where the two sides of signal.h meet: a segment that says
 * who the receiver is, and counts what was sent and taken.
 */
#ifndef ADAPTER_SIGNAL_SEGMENT_H
#define ADAPTER_SIGNAL_SEGMENT_H

#include "realtime.h"
#include "shared.h"

#define ADAPTER_SIGNAL_DEPTH 1024

struct adapter_signal_shared {
	struct adapter_shared head;
	uint64_t sent, taken;
};

struct adapter_signal {
	struct adapter_shm shm;
	struct adapter_realtime mask;
	int signalfd;
	int peer; /* pidfd of the receiver ... */
	struct adapter_process receiver; /* ... who is this */
};

static inline int
adapter_signal_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "sizeof(union sigval)", sizeof(union sigval) },
		.depth = { "RLIMIT_SIGPENDING",
			   adapter_rlimit(RLIMIT_SIGPENDING) },
		.tag = { "SIGRTMAX - SIGRTMIN",
			 (uint64_t)(SIGRTMAX - SIGRTMIN) },
	};
	return 0;
}

static inline struct adapter_signal_shared *
adapter_signal_shared(struct adapter_signal *s)
{
	return (struct adapter_signal_shared *)s->shm.segment.shared;
}

static inline void
adapter_signal_close(struct adapter *a)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	bool mine = adapter_segment_mine(&s->shm.segment), used = a->open;

	adapter_shm_close(a); /* first: nobody sends now */
	if (mine && (a->roles & ADAPTER_RECEIVER))
		adapter_realtime_quiet(a);
	adapter_realtime_unblock(a, &s->mask);
	if (!used) /* create or attach has failed, before these */
		return;
	adapter_close_fd(a, &s->signalfd);
	adapter_close_fd(a, &s->peer);
}

static inline size_t
adapter_signal_size(struct adapter *a)
{
	return a->limits.message.value <= sizeof(union sigval)
		       ? sizeof(struct adapter_signal_shared)
		       : 0;
}

static inline int
adapter_signal_before(struct adapter *a)
{
	if (a->roles == ADAPTER_RECEIVER)
		adapter_realtime_block(a, &((struct adapter_signal *)a)->mask);
	return 0;
}

static const struct adapter_layout adapter_signal_layout = {
	.depth = ADAPTER_SIGNAL_DEPTH,
	.size = adapter_signal_size,
	.before = adapter_signal_before,
};

static inline int
adapter_signal_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	int error = adapter_shm_create(a, config, &adapter_signal_layout);

	s->signalfd = s->peer = -1;
	if (!error && !config->name) /* both sides, until after_fork */
		adapter_realtime_block(a, &s->mask);
	return error;
}

static inline int
adapter_signal_attach(struct adapter *a, const struct adapter_config *config,
		      int64_t timeout_ns)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	int error = adapter_shm_attach(a, config, timeout_ns,
				       &adapter_signal_layout);

	s->signalfd = s->peer = -1;
	return error;
}

/** The child has inherited the mask; who sends needs it no more. */
static inline int
adapter_signal_after_fork(struct adapter *a, bool child)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	int error = adapter_shm_after_fork(a, child);

	if (a->roles == ADAPTER_SENDER)
		adapter_realtime_unblock(a, &s->mask);
	return error;
}

#endif
