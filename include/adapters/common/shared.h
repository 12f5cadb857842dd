/* SPDX-License-Identifier: MIT */
/*
 * shared.h - endpoints that are a segment of shared memory (segment.h) with a
 * list of those who take part (members.h); with a bounded buffer behind what
 * the mechanism waits by, see shared_buffer.h.
 */
#ifndef ADAPTER_SHARED_H
#define ADAPTER_SHARED_H

#include "members.h"

struct adapter_buffer; /* of buffer.h, for those who have one */

/* What a mechanism keeps in its segments, and what it does to them. */
struct adapter_layout {
	size_t message, depth; /* the defaults */
	size_t offset; /* bytes before the buffer, if there is one */
	/* Bytes in all for what is in a->limits; 0 if that is unsound. */
	size_t (*size)(struct adapter *a);
	/* Each may be NULL: */
	int (*init)(struct adapter *a); /* set up, else zeros */
	int (*before)(struct adapter *a); /* the others can see this one */
	int (*after)(struct adapter *a);
};

struct adapter_shm {
	struct adapter base;
	const struct adapter_layout *layout;
	struct adapter_segment segment;
	struct adapter_buffer *buffer;
};

static inline void
adapter_shm_close(struct adapter *a)
{
	adapter_segment_close(a, &((struct adapter_shm *)a)->segment);
	a->open = false;
}

/**
 * Sign in: line 0 is the only sender's, line 1 the only receiver's; where there
 * may be many of a role, these share the others.
 */
static inline int
adapter_shm_join(struct adapter *a)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	bool sends = a->roles == ADAPTER_SENDER;
	bool many = a->ops->caps &
		    (sends ? ADAPTER_MANY_SENDERS : ADAPTER_MANY_RECEIVERS);
	int line = many ? 2 : sends ? 0 : 1, error = 0;

	if (m->layout->before)
		error = m->layout->before(a);
	if (!error)
		error = adapter_members_join(a, &m->segment, line,
					     many ? ADAPTER_MEMBERS : line + 1);
	if (!error && m->layout->after)
		error = m->layout->after(a);
	return error;
}

static inline int
adapter_shm_begin(struct adapter *a, const struct adapter_config *config,
		  const struct adapter_layout *layout)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int error = adapter_begin(a, config, layout->message, layout->depth);

	m->layout = layout;
	adapter_segment_clear(&m->segment);
	return error;
}

/** Where the buffer is, once the segment is mapped. */
static inline void
adapter_shm_place(struct adapter *a)
{
	struct adapter_shm *m = (struct adapter_shm *)a;

	m->buffer = (struct adapter_buffer *)((char *)m->segment.shared +
					      m->layout->offset);
}

static inline int
adapter_shm_create(struct adapter *a, const struct adapter_config *config,
		   const struct adapter_layout *layout)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int error = adapter_shm_begin(a, config, layout);
	size_t size = error ? 0 : layout->size(a);

	if (!error && size == 0)
		error = -EINVAL;
	if (!error)
		error = adapter_segment_create(a, &m->segment, config,
					       a->ops->name, size);
	if (error)
		return adapter_done(a, error);
	adapter_shm_place(a);
	if (layout->init)
		error = layout->init(a);
	if (!error)
		error = adapter_shm_join(a);
	if (!error)
		adapter_segment_ready(&m->segment);
	return adapter_done_named(a, config, error);
}

static inline int
adapter_shm_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns, const struct adapter_layout *layout)
{
	struct adapter_shm *m = (struct adapter_shm *)a;
	int error = adapter_shm_begin(a, config, layout);
	size_t size;

	if (!error)
		error = adapter_segment_attach(a, &m->segment, config->name,
					       a->ops->name,
					       adapter_deadline(timeout_ns));
	if (error)
		return adapter_done(a, error);
	adapter_shm_place(a);
	size = layout->size(a);
	error = size && size <= m->segment.size ? adapter_shm_join(a) : -EPROTO;
	return adapter_done(a, error);
}

static inline int
adapter_shm_after_fork(struct adapter *a, bool child)
{
	if (!child)
		return 0;
	a->roles = adapter_opposite(a->roles);
	return adapter_shm_join(a);
}

#endif
