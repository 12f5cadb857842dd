/* SPDX-License-Identifier: MIT */
/*
 * shared_buffer.h - endpoints of shared memory (shared.h) with the bounded
 * buffer of buffer.h.
 */
#ifndef ADAPTER_SHARED_BUFFER_H
#define ADAPTER_SHARED_BUFFER_H

#include "buffer.h"
#include "shared.h"

static inline size_t
adapter_shm_buffer_size(struct adapter *a)
{
	return adapter_buffer_size(a,
				   ((struct adapter_shm *)a)->layout->offset);
}

/** Wait until the buffer is empty. */
static inline int
adapter_shm_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	int error = 0;

	while (!error && !adapter_buffer_empty(m->buffer))
		error = adapter_members_wait(a, &m->segment, ADAPTER_RECEIVER,
					     &w);
	return error;
}

#endif
