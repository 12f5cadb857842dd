/* SPDX-License-Identifier: MIT */
/*
 * sysv.h - what the System V mechanisms have in common: numbers instead of
 * names, and errors of their own.
 */
#ifndef ADAPTER_SYSV_H
#define ADAPTER_SYSV_H

#include "adapter.h"

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

/** Tell the number of a new object under its name. */
static inline int
adapter_sysv_publish(struct adapter *a, const struct adapter_config *config,
		     uint64_t value)
{
	int error = adapter_publish(config->name, a->ops->name, value,
				    config->permissions);

	if (!error)
		return 0;
	errno = -error;
	return adapter_error(a);
}

/** The number that was told under this name, as soon as it is there. */
static inline int
adapter_sysv_lookup(struct adapter *a, const struct adapter_config *config,
		    uint64_t *value, int64_t deadline)
{
	int64_t step = 0;
	int error;

	if (!config->name)
		return -EINVAL;
	while ((error = adapter_lookup(config->name, a->ops->name, value)) ==
	       -ENOENT)
		if (adapter_backoff(a, &step, deadline))
			return deadline ? -ETIMEDOUT : -ENOENT;
	return error;
}

#endif
