/* SPDX-License-Identifier: MIT */
/*
 * signal.h - queued real-time signals, each with 8 bytes.
 *
 * Unlike ordinary signals, real-time ones queue: each sigqueue() brings one
 * value, signals of one number arrive in the order sent, lower numbers first.
 * The tag chooses the number: tag 0 is SIGRTMAX, the largest tag SIGRTMIN, so
 * that higher tags overtake. A process receives in one of three ways: a
 * handler (see examples/signals.c), sigwaitinfo() as recv does, or signalfd()
 * as pollfd does; the last two need the signals blocked.
 *
 * Use it to notify, not to carry data: 8 bytes, no more, no less; all real-time
 * signals of the process belong to its one receiving endpoint.
 *
 * Their traps, and what is done about them, are told in realtime.h. The queue
 * is one for all processes of the user (RLIMIT_SIGPENDING of the receiver); when
 * it is full, send waits.
 *
 * A killed peer is found by looking (members.h); the segment also holds the
 * counts. What a killed sender sent arrives.
 *
 * System calls, in order:
 *
 *	create	pthread_sigmask, shm_open, fchmod, posix_fallocate, mmap;
 *		without a name memfd_create
 *	attach	shm_open, fstat, mmap
 *	send	syscall (pidfd_send_signal: common/realtime.h)
 *	receive	sigtimedwait; without a limit too, 100 ms at a time
 *	wait	sigtimedwait; senders: nanosleep, again and again
 *	woken	by the kernel, when a signal is queued
 *	close	munmap, close, sigtimedwait (what is left), pthread_sigmask,
 *		shm_unlink
 */
#ifndef ADAPTER_SIGNAL_H
#define ADAPTER_SIGNAL_H

#include "common/signal_segment.h"

#include <sys/signalfd.h>

/** To the receiver. -EAGAIN: no room. */
static inline int
adapter_signal_queue(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	struct adapter_signal_shared *shared = adapter_signal_shared(s);

	if (__atomic_load_n(&shared->sent, __ATOMIC_RELAXED) -
		    __atomic_load_n(&shared->taken, __ATOMIC_ACQUIRE) >=
	    a->limits.depth.value)
		return adapter_refuse(a, -EAGAIN, a->limits.depth.name,
				      a->limits.depth.value);
	__atomic_fetch_add(&shared->sent, 1, __ATOMIC_RELAXED);
	if (adapter_realtime_queue(a, s->peer, SIGRTMAX - (int)msg->tag, msg) ==
	    0)
		return 0;
	__atomic_fetch_sub(&shared->sent, 1, __ATOMIC_RELAXED);
	if (errno == EAGAIN)
		return adapter_refuse(a, -EAGAIN, "RLIMIT_SIGPENDING",
				      adapter_rlimit(RLIMIT_SIGPENDING));
	return errno == ESRCH ? -EAGAIN : adapter_error(a);
}

static inline int
adapter_signal_send(struct adapter *a, const struct adapter_msg *msg,
		    int64_t timeout_ns)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	int error = adapter_check_send(a, msg);

	if (!error && msg->length != a->limits.message.value)
		error = adapter_refuse(a, -EINVAL, a->limits.message.name,
				       a->limits.message.value);
	while (!error) {
		error = adapter_members_pidfd(a, &s->shm.segment, 1,
					      &s->receiver, &s->peer);
		if (!error)
			error = adapter_signal_queue(a, msg);
		if (error != -EAGAIN)
			return error;
		error = adapter_members_wait(a, &s->shm.segment,
					     ADAPTER_RECEIVER, &w);
	}
	return error;
}

/** The next of the signals in the set. */
static inline int
adapter_signal_wait(struct adapter *a, struct adapter_msg *msg,
		    const sigset_t *set, int64_t timeout_ns)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	struct timespec t;
	siginfo_t info;
	int error;

	do {
		t = adapter_timespec(w.gone ? 0 : adapter_slice(w.deadline));
		if (ADAPTER_SYS(a, sigtimedwait(set, &info, &t)) > 0)
			continue;
		if (errno != EAGAIN && errno != EINTR)
			return adapter_error(a);
		info.si_code = 0;
		error = errno == EINTR
				? 0
				: adapter_members_slice(a, &s->shm.segment,
							ADAPTER_SENDER, &w);
		if (error)
			return error;
	} while (info.si_code != SI_QUEUE); /* but somebody's kill(), or none */
	__atomic_fetch_add(&adapter_signal_shared(s)->taken, 1,
			   __ATOMIC_RELEASE);
	msg->length = a->limits.message.value;
	msg->tag = (uint32_t)(SIGRTMAX - info.si_signo);
	memcpy(msg->data, &info.si_value, msg->length);
	return 0;
}

static inline int
adapter_signal_recv(struct adapter *a, struct adapter_msg *msg,
		    int64_t timeout_ns)
{
	sigset_t all = adapter_realtime_all();
	int error = adapter_check_recv(a, msg);

	return error ? error : adapter_signal_wait(a, msg, &all, timeout_ns);
}

static inline int
adapter_signal_recv_tag(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	sigset_t one;
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_check_tag(a, msg);
	if (error)
		return error;
	sigemptyset(&one);
	sigaddset(&one, SIGRTMAX - (int)msg->tag);
	return adapter_signal_wait(a, msg, &one, timeout_ns);
}

static inline int
adapter_signal_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	struct adapter_signal_shared *shared = adapter_signal_shared(s);
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	int error = 0;

	while (!error &&
	       __atomic_load_n(&shared->sent, __ATOMIC_RELAXED) !=
		       __atomic_load_n(&shared->taken, __ATOMIC_ACQUIRE))
		error = adapter_members_wait(a, &s->shm.segment,
					     ADAPTER_RECEIVER, &w);
	return error;
}

static inline int
adapter_signal_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_signal *s = (struct adapter_signal *)a;
	sigset_t all = adapter_realtime_all();

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	if (s->signalfd < 0)
		s->signalfd = adapter_fd(
			ADAPTER_SYS(a, signalfd(-1, &all, SFD_CLOEXEC)));
	if (s->signalfd < 0)
		return adapter_error(a);
	*out = (struct pollfd){ .fd = s->signalfd, .events = POLLIN };
	return 0;
}

static const struct adapter_ops adapter_signal_ops = {
	.name = "signal",
	.summary = "queued real-time signals with 8 bytes each",
	.caps = ADAPTER_NAMED | ADAPTER_PRIO | ADAPTER_SELECT_TYPE |
		ADAPTER_TAGS | ADAPTER_FIXED_SIZE | ADAPTER_POLLABLE |
		ADAPTER_TIMED | ADAPTER_PEER_DEATH | ADAPTER_MANY_SENDERS,
	.size = sizeof(struct adapter_signal),
	.create = adapter_signal_create,
	.attach = adapter_signal_attach,
	.after_fork = adapter_signal_after_fork,
	.send = adapter_signal_send,
	.recv = adapter_signal_recv,
	.limits = adapter_signal_limits,
	.close = adapter_signal_close,
	.unlink = adapter_segment_unlink,
	.recv_tag = adapter_signal_recv_tag,
	.flush = adapter_signal_flush,
	.pollfd = adapter_signal_pollfd,
};

#endif
