/* SPDX-License-Identifier: MIT */
/*
 * ring.h - shmring itself, as two mechanisms like the others.
 *
 * A message is copied once into shared memory and once out of it, or filled
 * and read in place; no system call while nobody sleeps (those of sleeping and
 * waking are counted by shmring_stat, not here). shmring_spsc has one sender
 * and one receiver and packs messages of any size; shmring_mpmc has many of
 * both and fixed slots. shmring_set_spin(&s->ring, ...) says how to wait.
 *
 * Use it where throughput or latency counts, within one machine. Not where a
 * descriptor to poll for, priorities or another machine is needed.
 *
 * A killed peer is noticed within 100 ms while waiting, a message that was
 * sent is never lost with its sender; see the guarantees in shmring.h. What
 * was sent stays until the name is unlinked or the machine restarts.
 */
#ifndef ADAPTER_RING_H
#define ADAPTER_RING_H

#include "endpoint.h"
#include "../shmring.h"

#define ADAPTER_SHMRING_MESSAGE 4096
#define ADAPTER_SHMRING_DEPTH 1024
#define ADAPTER_SHMRING_MPMC_LEAST 16 /* slots; allows 8 participants */
#define ADAPTER_SHMRING_MAX (UINT64_C(1) << 30)

struct adapter_shmring {
	struct adapter base;
	struct shmring ring;
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
	shmring_close(adapter_shmring(a));
	a->open = false;
}

static inline unsigned
adapter_shmring_roles(const struct adapter *a)
{
	return a->roles == ADAPTER_SENDER ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

/** "/<name>.<mechanism>", so that both engines may have one of that name. */
static inline int
adapter_shmring_name(char path[ADAPTER_NAME_MAX + 16], const char *name,
		     const char *mechanism)
{
	if (!name || strlen(name) >= ADAPTER_NAME_MAX)
		return -EINVAL;
	snprintf(path, ADAPTER_NAME_MAX + 16, "/%s.%s", name, mechanism);
	return 0;
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
	char path[ADAPTER_NAME_MAX + 16];
	int error = adapter_begin(a, config, ADAPTER_SHMRING_MESSAGE,
				  ADAPTER_SHMRING_DEPTH);
	struct shmring_config shape =
		adapter_shmring_shape(a, config->permissions);

	if (!error && config->name)
		error = adapter_shmring_name(path, config->name, a->ops->name);
	if (error)
		return error;
	error = config->name ? shmring_create(ring, path, &shape)
			     : shmring_create_memfd(ring, &shape);
	if (error == -EOWNERDEAD) /* left by the dead, but there */
		error = -EEXIST;
	if (error == -ENOSPC)
		return adapter_refuse(a, error, "/dev/shm",
				      (uint64_t)shape.slots * shape.slot_size);
	return adapter_shmring_done(a, error);
}

static inline int
adapter_shmring_attach(struct adapter *a, const struct adapter_config *config,
		       int64_t timeout_ns)
{
	char path[ADAPTER_NAME_MAX + 16];
	int error = adapter_begin(a, config, ADAPTER_SHMRING_MESSAGE,
				  ADAPTER_SHMRING_DEPTH);

	if (!error)
		error = adapter_shmring_name(path, config->name, a->ops->name);
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
adapter_shmring_send(struct adapter *a, const struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	error = shmring_push(adapter_shmring(a), msg->data, msg->length);
	if (error == -EAGAIN && timeout_ns)
		error = shmring_push_wait(adapter_shmring(a), msg->data,
					  msg->length, timeout_ns);
	return error;
}

static inline int
adapter_shmring_recv(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	ssize_t length = adapter_check_recv(a, msg);

	if (length)
		return (int)length;
	length = shmring_pop(adapter_shmring(a), msg->data, msg->capacity);
	if (length == -EAGAIN && timeout_ns)
		length = shmring_pop_wait(adapter_shmring(a), msg->data,
					  msg->capacity, timeout_ns);
	if (length < 0)
		return (int)length;
	msg->length = (size_t)length;
	msg->tag = 0;
	return 0;
}

static inline int
adapter_shmring_reserve(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	msg->data = timeout_ns
			    ? shmring_reserve_wait(adapter_shmring(a),
						   msg->length, timeout_ns)
			    : shmring_reserve(adapter_shmring(a), msg->length);
	return msg->data ? 0 : shmring_error(adapter_shmring(a));
}

static inline int
adapter_shmring_commit(struct adapter *a, const struct adapter_msg *msg)
{
	return shmring_commit(adapter_shmring(a), msg->length);
}

static inline int
adapter_shmring_peek(struct adapter *a, struct adapter_msg *msg,
		     int64_t timeout_ns)
{
	struct shmring *ring = adapter_shmring(a);

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	msg->data = (void *)(timeout_ns ? shmring_peek_wait(ring, &msg->length,
							    timeout_ns)
					: shmring_peek(ring, &msg->length));
	msg->tag = 0;
	return msg->data ? 0 : shmring_error(ring);
}

static inline int
adapter_shmring_release(struct adapter *a)
{
	return shmring_release(adapter_shmring(a));
}

static inline int
adapter_shmring_flush(struct adapter *a, int64_t timeout_ns)
{
	int error = shmring_flush(adapter_shmring(a), timeout_ns);

	return error == -ETIMEDOUT && timeout_ns == 0 ? -EAGAIN : error;
}

static inline int
adapter_shmring_unlink(const struct adapter_ops *ops, const char *name)
{
	char path[ADAPTER_NAME_MAX + 16];
	int error = adapter_shmring_name(path, name, ops->name);

	return error ? error : shmring_unlink(path);
}

#define ADAPTER_SHMRING(kind, more)                                           \
	.name = "shmring_" #kind,                                             \
	.caps = ADAPTER_NAMED | ADAPTER_ZEROCOPY | ADAPTER_TIMED |            \
		ADAPTER_PEER_DEATH | ADAPTER_PERSISTENT | (more),             \
	.size = sizeof(struct adapter_shmring),                               \
	.create = adapter_shmring_create, .attach = adapter_shmring_attach,   \
	.after_fork = adapter_shmring_after_fork,                             \
	.send = adapter_shmring_send, .recv = adapter_shmring_recv,           \
	.limits = adapter_shmring_limits, .close = adapter_shmring_close,     \
	.unlink = adapter_shmring_unlink, .reserve = adapter_shmring_reserve, \
	.commit = adapter_shmring_commit, .peek = adapter_shmring_peek,       \
	.release = adapter_shmring_release, .flush = adapter_shmring_flush

static const struct adapter_ops adapter_shmring_spsc_ops = {
	.summary = "this library: one sender, one receiver, any size",
	ADAPTER_SHMRING(spsc, 0),
};

static const struct adapter_ops adapter_shmring_mpmc_ops = {
	.summary = "this library: many senders and receivers, fixed slots",
	ADAPTER_SHMRING(mpmc, ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS),
};

#endif
