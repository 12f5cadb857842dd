/* SPDX-License-Identifier: MIT */
/*
 * counted.h - a bounded buffer in a memfd and two eventfd counters, which an
 * unrelated process gets over a local socket: what eventfd.h works with.
 *
 * The socket stays open: its end tells that the peer has died.
 */
#ifndef ADAPTER_COUNTED_H
#define ADAPTER_COUNTED_H

#include "shared.h"
#include "unix_socket.h"

#include <sys/eventfd.h>

#define ADAPTER_COUNTED_BUFFER 4096 /* offset of it, behind adapter_shared */

_Static_assert(sizeof(struct adapter_shared) <= ADAPTER_COUNTED_BUFFER,
	       "the buffer begins behind the head");

enum { ADAPTER_COUNTED_FREE, ADAPTER_COUNTED_FILLED, ADAPTER_COUNTED_MEMORY };

struct adapter_counted {
	struct adapter_socket socket; /* the way in; its end is the peer's */
	struct adapter_segment memory;
	struct adapter_buffer *buffer; /* NULL: the memory has not come yet */
	int fds[3]; /* the counters; MEMORY: until it is mapped */
	bool held; /* a slot is reserved or peeked */
};

static inline void
adapter_counted_close(struct adapter *a)
{
	struct adapter_counted *e = (struct adapter_counted *)a;
	int i;

	adapter_segment_close(a, &e->memory);
	for (i = 0; i < 3; i++)
		adapter_close_fd(a, &e->fds[i]);
	adapter_socket_close(a);
}

static inline int
adapter_counted_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_counted *e = (struct adapter_counted *)a;
	int error = adapter_begin(a, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	adapter_socket_clear(&e->socket, SOCK_SEQPACKET);
	adapter_segment_clear(&e->memory);
	e->fds[0] = e->fds[1] = e->fds[2] = -1;
	return error;
}

static inline void
adapter_counted_place(struct adapter_counted *e)
{
	e->buffer = (struct adapter_buffer *)((char *)e->memory.shared +
					      ADAPTER_COUNTED_BUFFER);
}

/** The creator's: memory and counters. */
static inline int
adapter_counted_make(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_counted *e = (struct adapter_counted *)a;
	struct adapter_config unnamed = { .permissions = config->permissions };
	int flags = EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE;
	int error = adapter_segment_create(
		a, &e->memory, &unnamed, "eventfd",
		adapter_buffer_size(a, ADAPTER_COUNTED_BUFFER));

	if (error)
		return error;
	adapter_counted_place(e);
	adapter_segment_ready(&e->memory);
	e->fds[ADAPTER_COUNTED_FREE] = adapter_fd(ADAPTER_SYS(
		a, eventfd((unsigned)a->limits.depth.value, flags)));
	e->fds[ADAPTER_COUNTED_FILLED] =
		adapter_fd(ADAPTER_SYS(a, eventfd(0, flags)));
	return e->fds[0] < 0 || e->fds[1] < 0 ? adapter_error(a) : 0;
}

/** Hand the descriptors to the peer, who has come. */
static inline int
adapter_counted_give_all(struct adapter *a)
{
	struct adapter_counted *e = (struct adapter_counted *)a;
	int i, error = 0;

	for (i = 0; i < 3 && !error; i++)
		error = adapter_unix_give(
			a,
			i == ADAPTER_COUNTED_MEMORY ? e->memory.fd : e->fds[i],
			0);
	return error;
}

static inline int
adapter_counted_take_all(struct adapter *a, int64_t deadline)
{
	struct adapter_counted *e = (struct adapter_counted *)a;
	size_t size;
	int i, error;

	for (i = 0; i < 3; i++)
		if (e->fds[i] < 0) { /* else it came before a deadline */
			e->fds[i] = adapter_unix_take(a, deadline);
			if (e->fds[i] < 0)
				return e->fds[i];
		}
	e->memory.fd = e->fds[ADAPTER_COUNTED_MEMORY];
	e->fds[ADAPTER_COUNTED_MEMORY] = -1;
	error = adapter_segment_adopt(a, &e->memory);
	size = error ? 0 : adapter_buffer_size(a, ADAPTER_COUNTED_BUFFER);
	if (size == 0 || size > e->memory.size)
		return error ? error : -EPROTO;
	adapter_counted_place(e);
	return 0;
}

/** The first operation of each side: the creator hands the descriptors out. */
static inline int
adapter_counted_meet(struct adapter *a, int64_t deadline)
{
	struct adapter_counted *e = (struct adapter_counted *)a;
	int error;

	if (!e->buffer)
		return adapter_counted_take_all(a, deadline);
	if (e->socket.listener < 0)
		return 0;
	error = adapter_socket_peer(a, deadline);
	return error ? error : adapter_counted_give_all(a);
}

#endif
