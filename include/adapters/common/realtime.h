/* SPDX-License-Identifier: MIT */
/*
 * realtime.h - the real-time signals of this process, as signal.h uses them.
 *
 * An unblocked signal without a handler ends the process. So they are blocked
 * before fork and before a peer can learn whom to send to; threads must be
 * started after that, so that they inherit it, and programs started inherit it
 * too. When the receiver closes, what was not read is lost, and the signals
 * stay ignored where they had the default action, since one more may be under
 * way. A number may belong to another process by now: a pidfd does not.
 */
#ifndef ADAPTER_REALTIME_H
#define ADAPTER_REALTIME_H

#include "endpoint.h"

#include <signal.h>
#include <sys/syscall.h>

struct adapter_realtime {
	sigset_t saved; /* the mask before, ... */
	bool blocked; /* ... if it is to be restored */
};

/** The signals that belong to the mechanism. */
static inline sigset_t
adapter_realtime_all(void)
{
	sigset_t all;
	int number;

	sigemptyset(&all);
	for (number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaddset(&all, number);
	return all;
}

/** Before the peer can learn whom to send to. */
static inline void
adapter_realtime_block(struct adapter *a, struct adapter_realtime *s)
{
	sigset_t all = adapter_realtime_all();

	if (!s->blocked)
		ADAPTER_SYS(a, pthread_sigmask(SIG_BLOCK, &all, &s->saved));
	s->blocked = true;
}

static inline void
adapter_realtime_unblock(struct adapter *a, struct adapter_realtime *s)
{

	if (s->blocked)
		ADAPTER_SYS(a, pthread_sigmask(SIG_SETMASK, &s->saved, NULL));
	s->blocked = false;
}

/** A process that has received: nothing more may come, and none may kill it. */
static inline void
adapter_realtime_quiet(struct adapter *a)
{
	const struct timespec now = { 0, 0 };
	sigset_t all = adapter_realtime_all();
	struct sigaction action;
	int number;

	while (ADAPTER_SYS(a, sigtimedwait(&all, NULL, &now)) > 0 ||
	       errno == EINTR)
		;
	for (number = SIGRTMIN; number <= SIGRTMAX; number++)
		if (ADAPTER_SYS(a, sigaction(number, NULL, &action)) == 0 &&
		    !(action.sa_flags & SA_SIGINFO) &&
		    action.sa_handler == SIG_DFL)
			ADAPTER_SYS(a, signal(number, SIG_IGN));
}

/** What sigqueue() does, to whom the pidfd means; 0 or -1 and errno. */
static inline int
adapter_realtime_queue(struct adapter *a, int pidfd, int number,
		       const struct adapter_msg *msg)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_code = SI_QUEUE;
	info.si_signo = number;
	info.si_pid = getpid();
	info.si_uid = getuid();
	memcpy(&info.si_value, msg->data, msg->length);
	return (int)ADAPTER_SYS(
		a, syscall(SYS_pidfd_send_signal, pidfd, number, &info, 0));
}

#endif
