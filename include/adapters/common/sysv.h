/* SPDX-License-Identifier: MIT */
/*
 * sysv.h - what the System V mechanisms have in common: numbers instead of
 * names, and errors of their own.
 */
#ifndef ADAPTER_SYSV_H
#define ADAPTER_SYSV_H

#include "names.h"

#include <sys/ipc.h>

/** The error of a call that just failed; a removed object is a lost peer. */
static inline int
adapter_sysv_error(struct adapter *a)
{
	return errno == EIDRM || errno == EINVAL ? -EPIPE : adapter_error(a);
}

/** The error of a ...get call: a limit on the number of objects, or other. */
static inline int
adapter_sysv_refused(struct adapter *a, const char *sysctl)
{
	if (errno != ENOSPC)
		return adapter_error(a);
	return adapter_refuse(a, -ENOSPC, sysctl, adapter_sysctl(sysctl, 0));
}

#endif
