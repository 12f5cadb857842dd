/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - the bounded buffer that the shared-memory mechanisms have in
 * common: an array of slots, each as large as the largest message, and two
 * counts of messages. How processes wait for each other, and what is left when
 * one is killed, is each mechanism's own affair.
 *
 * The counts never go back. A slot is written before `put` says so and read
 * before `taken` says so, and each is changed by one store, so whoever dies
 * has either done it or not. Sizes come from a->limits, never from the memory
 * that others can write to.
 *
 * The second half is for those that lie in POSIX shared memory.
 */
#ifndef ADAPTER_BUFFER_H
#define ADAPTER_BUFFER_H

#include "segment.h"

#define ADAPTER_BUFFER_MAX (UINT64_C(1) << 30)
#define ADAPTER_BUFFER_MESSAGE 4096
#define ADAPTER_BUFFER_DEPTH 256

struct adapter_slot {
	uint32_t length, tag;
	char data[];
};

struct adapter_buffer {
	uint64_t put __attribute__((aligned(64)));   /* messages so far */
	uint64_t taken __attribute__((aligned(64))); /* and those received */
	char slots[] __attribute__((aligned(64)));
};

static inline int
adapter_buffer_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "ADAPTER_BUFFER_MAX", ADAPTER_BUFFER_MAX },
		.depth = { "ADAPTER_BUFFER_MAX", ADAPTER_BUFFER_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline size_t
adapter_buffer_slot_size(const struct adapter *a)
{
	return (sizeof(struct adapter_slot) + a->limits.message.value + 7) /
	       8 * 8;
}

/** Bytes of a buffer for what is in a->limits, or 0 if that is unsound. */
static inline size_t
adapter_buffer_size(const struct adapter *a)
{
	uint64_t message = a->limits.message.value;
	uint64_t depth = a->limits.depth.value;

	if (message == 0 || message > ADAPTER_BUFFER_MAX || depth == 0 ||
	    depth > ADAPTER_BUFFER_MAX ||
	    depth > SIZE_MAX / 2 / adapter_buffer_slot_size(a))
		return 0;
	return sizeof(struct adapter_buffer) +
	       depth * adapter_buffer_slot_size(a);
}

/** The slot of the message with this number. */
static inline struct adapter_slot *
adapter_buffer_slot(const struct adapter *a, struct adapter_buffer *b,
		    uint64_t number)
{
	return (struct adapter_slot *)(b->slots +
				       number % a->limits.depth.value *
					       adapter_buffer_slot_size(a));
}

static inline void
adapter_slot_write(struct adapter_slot *slot, const struct adapter_msg *msg)
{
	slot->length = (uint32_t)msg->length;
	slot->tag = msg->tag;
	memcpy(slot->data, msg->data, msg->length);
}

/** Describe the message in place; the length is read only once. */
static inline int
adapter_slot_show(const struct adapter *a, struct adapter_slot *slot,
		  struct adapter_msg *msg)
{
	msg->length = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);
	msg->tag = slot->tag;
	msg->data = slot->data;
	return msg->length && msg->length <= a->limits.message.value ? 0
								     : -EBADMSG;
}

static inline int
adapter_slot_read(const struct adapter *a, struct adapter_slot *slot,
		  struct adapter_msg *msg)
{
	struct adapter_msg place = { 0 };
	int error = adapter_slot_show(a, slot, &place);

	if (error)
		return error;
	memcpy(msg->data, place.data, place.length);
	msg->length = place.length;
	msg->tag = place.tag;
	return 0;
}

/*
 * For one sender and one receiver, or for the holder of a lock. The acquire
 * loads pair with the release stores of the other side: of `put`, so that the
 * receiver sees the slot filled; of `taken`, so that the sender does not fill
 * a slot that is still being read. Its own count each side reads relaxed.
 */

/** The slot to fill next; NULL: the buffer is full. */
static inline struct adapter_slot *
adapter_buffer_free(const struct adapter *a, struct adapter_buffer *b)
{
	uint64_t put = __atomic_load_n(&b->put, __ATOMIC_RELAXED);
	uint64_t taken = __atomic_load_n(&b->taken, __ATOMIC_ACQUIRE);

	return put - taken < a->limits.depth.value
		       ? adapter_buffer_slot(a, b, put)
		       : NULL;
}

static inline void
adapter_buffer_put(struct adapter_buffer *b)
{
	__atomic_store_n(&b->put, b->put + 1, __ATOMIC_RELEASE);
}

/** The slot to read next; NULL: the buffer is empty. */
static inline struct adapter_slot *
adapter_buffer_first(const struct adapter *a, struct adapter_buffer *b)
{
	uint64_t taken = __atomic_load_n(&b->taken, __ATOMIC_RELAXED);
	uint64_t put = __atomic_load_n(&b->put, __ATOMIC_ACQUIRE);

	return put != taken ? adapter_buffer_slot(a, b, taken) : NULL;
}

static inline void
adapter_buffer_take(struct adapter_buffer *b)
{
	__atomic_store_n(&b->taken, b->taken + 1, __ATOMIC_RELEASE);
}

static inline bool
adapter_buffer_empty(struct adapter_buffer *b)
{
	return __atomic_load_n(&b->taken, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(&b->put, __ATOMIC_ACQUIRE);
}

/** Send by way of the mechanism's own reserve and commit. */
static inline int
adapter_buffer_send(const struct adapter_ops *ops, struct adapter *a,
		    const struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_msg place = *msg;
	int error = ops->reserve(a, &place, timeout_ns);

	if (error)
		return error;
	memcpy(place.data, msg->data, msg->length);
	return ops->commit(a, &place);
}

/** Receive by way of the mechanism's own peek and release. */
static inline int
adapter_buffer_recv(const struct adapter_ops *ops, struct adapter *a,
		    struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_msg place = { 0 };
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = ops->peek(a, &place, timeout_ns);
	if (error)
		return error;
	memcpy(msg->data, place.data, place.length);
	msg->length = place.length;
	msg->tag = place.tag;
	return ops->release(a);
}

/* ------------------------------------------- a buffer in a segment.h segment */

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
		error = adapter_segment_create(a, &m->segment, config,
					       ops->name,
					       offset + adapter_buffer_size(a));
	if (error)
		return error;
	m->buffer = (struct adapter_buffer *)((char *)m->segment.shared +
					      offset);
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
	m->buffer = (struct adapter_buffer *)((char *)m->segment.shared +
					      offset);
	if (adapter_buffer_size(a) == 0 ||
	    m->segment.size != offset + adapter_buffer_size(a))
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
