/* SPDX-License-Identifier: MIT */
/*
 * library.h - endpoints of the messaging libraries: how the two sides meet
 * (address.h), and how a tag travels with the data.
 *
 * The descriptors of a library are its own, also below 3 where a daemon has
 * closed those: it should have /dev/null there before.
 *
 * The threads of a library do not survive fork. So an endpoint without a name
 * starts its library in after_fork, and one that a child has inherited is only
 * forgotten there.
 */
#ifndef ADAPTER_LIBRARY_H
#define ADAPTER_LIBRARY_H

#include "address.h"

#define ADAPTER_LIBRARY_MESSAGE 65536

struct adapter_library {
	struct adapter base;
	struct adapter_address address;
	bool named;
	pid_t owner; /* whose threads these are; 0: not started */
};

/** Start the library: listen at the address, or connect to it. */
typedef int (*adapter_library_start)(struct adapter *a, bool listen,
				     int64_t deadline);

/** False in a child that has only inherited the threads' memory. */
static inline bool
adapter_library_mine(const struct adapter *a)
{
	return ((const struct adapter_library *)a)->owner == getpid();
}

static inline int
adapter_library_create(struct adapter *a, const struct adapter_config *config,
		       size_t depth, adapter_library_start start)
{
	struct adapter_library *l = (struct adapter_library *)a;
	int error = adapter_begin(a, config, ADAPTER_LIBRARY_MESSAGE, depth);

	l->named = config->name != NULL;
	if (!error)
		error = adapter_address_new(&l->address, a, config->name);
	if (!error && l->named)
		error = start(a, true, 0);
	if (!error && l->named)
		error = adapter_address_publish(&l->address, a, config);
	return adapter_done(a, error);
}

static inline int
adapter_library_attach(struct adapter *a, const struct adapter_config *config,
		       size_t depth, adapter_library_start start,
		       int64_t timeout_ns)
{
	struct adapter_library *l = (struct adapter_library *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_begin(a, config, ADAPTER_LIBRARY_MESSAGE, depth);

	l->named = true;
	if (!error)
		error = adapter_address_find(&l->address, a, config->name,
					     deadline);
	if (!error)
		error = start(a, false, deadline);
	return adapter_done(a, error);
}

static inline int
adapter_library_after_fork(struct adapter *a, bool child,
			   adapter_library_start start)
{
	if (child)
		a->roles = adapter_opposite(a->roles);
	return adapter_done(
		a, start(a, !child, adapter_deadline(10 * ADAPTER_SECOND)));
}

/** Without a name, the file goes once the peer has come. */
static inline void
adapter_library_met(struct adapter_library *l)
{
	if (!l->named)
		adapter_address_drop(&l->address);
}

/** What travels: the tag, then the data. */
static inline size_t
adapter_library_size(const struct adapter_msg *msg)
{
	return sizeof(msg->tag) + msg->length;
}

static inline void
adapter_library_pack(const struct adapter_msg *msg, void *to)
{
	memcpy(to, &msg->tag, sizeof(msg->tag));
	memcpy((char *)to + sizeof(msg->tag), msg->data, msg->length);
}

static inline int
adapter_library_unpack(const struct adapter *a, struct adapter_msg *msg,
		       const void *from, size_t size)
{
	if (size <= sizeof(msg->tag) ||
	    size - sizeof(msg->tag) > a->limits.message.value)
		return -EBADMSG;
	memcpy(&msg->tag, from, sizeof(msg->tag));
	msg->length = size - sizeof(msg->tag);
	memcpy(msg->data, (const char *)from + sizeof(msg->tag), msg->length);
	return 0;
}

#endif
