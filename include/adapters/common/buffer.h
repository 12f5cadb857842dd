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
 */
#ifndef ADAPTER_BUFFER_H
#define ADAPTER_BUFFER_H

#include "waiting.h"

#define ADAPTER_BUFFER_MAX (UINT64_C(1) << 30)
#define ADAPTER_BUFFER_MESSAGE 4096
#define ADAPTER_BUFFER_DEPTH 256

struct adapter_slot {
	uint32_t length, tag;
	char data[];
};

struct adapter_buffer {
	uint64_t put __attribute__((aligned(64))); /* messages so far */
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
adapter_slot_size(const struct adapter *a)
{
	return (sizeof(struct adapter_slot) + a->limits.message.value + 7) / 8 *
	       8;
}

/** Bytes of the slots for what is in a->limits, or 0 if that is unsound. */
static inline size_t
adapter_slots_size(const struct adapter *a)
{
	uint64_t message = a->limits.message.value;
	uint64_t depth = a->limits.depth.value;

	if (message == 0 || message > ADAPTER_BUFFER_MAX || depth == 0 ||
	    depth > ADAPTER_BUFFER_MAX ||
	    depth > SIZE_MAX / 2 / adapter_slot_size(a))
		return 0;
	return depth * adapter_slot_size(a);
}

/** Bytes of a buffer behind `offset` others, or 0 if that is unsound. */
static inline size_t
adapter_buffer_size(const struct adapter *a, size_t offset)
{
	size_t slots = adapter_slots_size(a);

	return slots ? offset + sizeof(struct adapter_buffer) + slots : 0;
}

/** The slot of the message with this number. */
static inline struct adapter_slot *
adapter_slot(const struct adapter *a, char *slots, uint64_t number)
{
	return (struct adapter_slot *)(slots + number % a->limits.depth.value *
						       adapter_slot_size(a));
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
		       ? adapter_slot(a, b->slots, put)
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

	return put != taken ? adapter_slot(a, b->slots, taken) : NULL;
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

/** Send what was filled in place; by one sender. */
static inline int
adapter_buffer_commit(const struct adapter *a, struct adapter_buffer *b,
		      const struct adapter_msg *msg)
{
	struct adapter_slot *slot = adapter_buffer_free(a, b);

	if (!slot)
		return -ENOMSG; /* nothing was reserved */
	slot->length = (uint32_t)msg->length;
	slot->tag = msg->tag;
	adapter_buffer_put(b);
	return 0;
}

/** Let go of what was read in place; by one receiver. */
static inline int
adapter_buffer_release(const struct adapter *a, struct adapter_buffer *b)
{
	if (a->roles != ADAPTER_RECEIVER)
		return -EBADF;
	if (!adapter_buffer_first(a, b))
		return -ENOMSG; /* nothing was peeked at */
	adapter_buffer_take(b);
	return 0;
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

#endif
