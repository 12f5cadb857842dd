/* SPDX-License-Identifier: MIT */
/*
 * posix_shm.h - what posix_shm_sem.h and posix_shm_mutex.h have in common: a
 * segment.h segment that holds the list of members, what the mechanism waits
 * by, and the bounded buffer.
 */
#ifndef ADAPTER_POSIX_SHM_H
#define ADAPTER_POSIX_SHM_H

#include "buffer.h"
#include "segment.h"

struct adapter_shm {
	struct adapter base;
	struct adapter_segment segment;
	struct adapter_buffer *buffer; /* behind the mechanism's own things */
};

static inline void
adapter_shm_close(struct adapter *a)
{
	adapter_segment_close(a, &((struct adapter_shm *)a)->segment);
	a->open = false;
}

/** Where several may not share a role, each role has one line. */
static inline int
adapter_shm_join(struct adapter *a)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int line = a->roles == ADAPTER_SENDER ? 0 : 1;

	return a->ops->caps & ADAPTER_MANY_SENDERS
		       ? adapter_segment_join(a, &m->segment, 0,
					      ADAPTER_MEMBERS)
		       : adapter_segment_join(a, &m->segment, line, line + 1);
}

/** Make a segment: `offset` bytes, which init sets up, then the buffer. */
static inline int
adapter_shm_create(struct adapter *a, const struct adapter_ops *ops,
		   const struct adapter_config *config, size_t offset,
		   int (*init)(struct adapter *a))
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int error = adapter_begin(a, ops, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	if (!error)
		error = adapter_segment_create(
			a, &m->segment, config, ops->name,
			offset + sizeof(*m->buffer) + adapter_slots_size(a));
	if (error)
		return error;
	m->buffer =
		(struct adapter_buffer *)((char *)m->segment.shared + offset);
	error = init(a);
	if (!error)
		error = adapter_shm_join(a);
	if (error) {
		adapter_shm_close(a);
		if (config->name)
			adapter_segment_unlink(config->name, ops->name);
		return error;
	}
	adapter_segment_ready(&m->segment);
	return adapter_ready(a);
}

static inline int
adapter_shm_attach(struct adapter *a, const struct adapter_ops *ops,
		   const struct adapter_config *config, size_t offset,
		   int64_t timeout_ns)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int error = adapter_begin(a, ops, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	if (!error && !config->name)
		error = -EINVAL;
	if (!error)
		error = adapter_segment_attach(a, &m->segment, config->name,
					       ops->name,
					       adapter_deadline(timeout_ns));
	if (error)
		return error;
	m->buffer =
		(struct adapter_buffer *)((char *)m->segment.shared + offset);
	if (adapter_slots_size(a) == 0 ||
	    m->segment.size !=
		    offset + sizeof(*m->buffer) + adapter_slots_size(a))
		error = -EPROTO;
	if (!error)
		error = adapter_shm_join(a);
	if (error) {
		adapter_shm_close(a);
		return error;
	}
	return adapter_ready(a);
}

static inline int
adapter_shm_after_fork(struct adapter *a, bool child)
{
	if (!child)
		return 0;
	a->roles = adapter_opposite(a->roles);
	return adapter_shm_join(a);
}

static inline int
adapter_shm_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	int error = 0;

	while (!error && !adapter_buffer_empty(m->buffer)) {
		if (adapter_segment_left(a, &m->segment, ADAPTER_RECEIVER))
			return -EPIPE;
		error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

#endif
