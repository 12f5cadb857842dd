/* SPDX-License-Identifier: MIT */
/*
 * sigpipe.h - writing to a pipe without readers raises SIGPIPE, which ends a
 * program that has not chosen otherwise; -EPIPE shall tell it instead.
 */
#ifndef ADAPTER_SIGPIPE_H
#define ADAPTER_SIGPIPE_H

#include <signal.h>

static inline void
adapter_ignore_sigpipe(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 &&
	    action.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

#endif
