/* SPDX-License-Identifier: MIT */
/*
 * ring_segment.h - how the two sides of ring.h make a ring, find it and give it
 * back.
 */
#ifndef ADAPTER_RING_SEGMENT_H
#define ADAPTER_RING_SEGMENT_H

#include "segment.h"
#include "shmring_poll.h"

#define ADAPTER_SHMRING_MESSAGE 4096
#define ADAPTER_SHMRING_DEPTH 1024
#define ADAPTER_SHMRING_MPMC_LEAST 16 /* slots; allows 8 participants */
#define ADAPTER_SHMRING_MAX (UINT64_C(1) << 30)

struct adapter_shmring {
	struct adapter base;
	struct shmring ring;
	struct shmring_poll poll; /* from the first pollfd on */
};

static inline int
adapter_shmring_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "slot_size of shmring", ADAPTER_SHMRING_MAX },
		.depth = { "slots of shmring", ADAPTER_SHMRING_MAX },
		.tag = { "no tags", 0 },
	};
	return 0;
}

static inline struct shmring *
adapter_shmring(struct adapter *a)
{
	return &((struct adapter_shmring *)a)->ring;
}

static inline void
adapter_shmring_close(struct adapter *a)
{
	shmring_poll_close(&((struct adapter_shmring *)a)->poll);
	shmring_close(adapter_shmring(a));
	a->open = false;
}

static inline unsigned
adapter_shmring_roles(const struct adapter *a)
{
	return a->roles == ADAPTER_SENDER ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

/** The shape of the ring that the limits in force ask for. */
static inline struct shmring_config
adapter_shmring_shape(const struct adapter *a, mode_t permissions)
{
	struct shmring_config shape = {
		.mode = a->ops->caps & ADAPTER_MANY_SENDERS ? SHMRING_MPMC
							    : SHMRING_SPSC,
		.slots = (uint32_t)a->limits.depth.value,
		.slot_size = (uint32_t)a->limits.message.value,
		.permissions = permissions,
		.roles = adapter_shmring_roles(a),
	};

	if (shape.mode == SHMRING_MPMC &&
	    shape.slots < ADAPTER_SHMRING_MPMC_LEAST)
		shape.slots = ADAPTER_SHMRING_MPMC_LEAST;
	return shape;
}

/** Is there room for the messages of this shape, wherever the ring goes? */
static inline int
adapter_shmring_room(struct adapter *a, const struct shmring_config *shape)
{
	struct adapter_limit least;
	int error = adapter_room_in(SHMRING_DIRECTORY,
				    (uint64_t)shape->slots * shape->slot_size,
				    &least);

	return error == -ENOSPC || error == -EFBIG
		       ? adapter_refuse(a, error, least.name, least.value)
		       : 0;
}

/** End of create and attach, with the error so far; limits as the ring has. */
static inline int
adapter_shmring_done(struct adapter *a, int error)
{
	struct shmring *ring = adapter_shmring(a);
	struct shmring_stat stat;

	if (error) {
		errno = -error;
		return adapter_error(a);
	}
	error = shmring_stat(ring, &stat);
	if (!error && stat.mode != adapter_shmring_shape(a, 0).mode)
		error = -EPROTO;
	if (error)
		return adapter_done(a, error);
	a->limits.message.value = stat.slot_size;
	a->limits.depth.value = shmring_capacity(ring);
	if (stat.mode == SHMRING_SPSC)
		a->limits.bytes = (struct adapter_limit){ "capacity of shmring",
							  stat.capacity };
	return adapter_done(a, 0);
}

static inline int
adapter_shmring_create(struct adapter *a, const struct adapter_config *config)
{
	struct shmring *ring = adapter_shmring(a);
	char path[ADAPTER_SEGMENT_PATH];
	int error = adapter_begin(a, config, ADAPTER_SHMRING_MESSAGE,
				  ADAPTER_SHMRING_DEPTH);
	struct shmring_config shape =
		adapter_shmring_shape(a, config->permissions);

	if (!error && config->name)
		error = adapter_segment_name(path, config->name, a->ops->name);
	if (!error)
		error = adapter_shmring_room(a, &shape);
	if (error)
		return error;
	error = config->name ? shmring_create(ring, path, &shape)
			     : shmring_create_memfd(ring, &shape);
	if (error == -EOWNERDEAD) /* left by the dead, but there */
		error = -EEXIST;
	return adapter_shmring_done(a, error);
}

static inline int
adapter_shmring_attach(struct adapter *a, const struct adapter_config *config,
		       int64_t timeout_ns)
{
	char path[ADAPTER_SEGMENT_PATH];
	int error = adapter_begin(a, config, ADAPTER_SHMRING_MESSAGE,
				  ADAPTER_SHMRING_DEPTH);

	if (!error)
		error = adapter_segment_name(path, config->name, a->ops->name);
	if (error)
		return error;
	return adapter_shmring_done(a, shmring_open(adapter_shmring(a), path,
						    adapter_shmring_roles(a),
						    timeout_ns));
}

/** The child opens its own handle; the parent's it must not use. */
static inline int
adapter_shmring_after_fork(struct adapter *a, bool child)
{
	struct shmring inherited = *adapter_shmring(a);
	int error;

	if (!child)
		return 0;
	a->roles = adapter_opposite(a->roles);
	error = shmring_open_fd(adapter_shmring(a), shmring_fd(&inherited),
				adapter_shmring_roles(a));
	shmring_close(&inherited);
	return error;
}

static inline int
adapter_shmring_unlink(const struct adapter_ops *ops, const char *name)
{
	char path[ADAPTER_SEGMENT_PATH];
	int error = adapter_segment_name(path, name, ops->name);

	return error ? error : shmring_unlink(path);
}

#endif
