/* SPDX-License-Identifier: MIT */
/*
 * rpc_message.h - what client and server of rpc.h say to each other, how XDR
 * encodes it, and a queue of it.
 */
#ifndef ADAPTER_RPC_MESSAGE_H
#define ADAPTER_RPC_MESSAGE_H

#include "../adapter.h"

#include <rpc/rpc.h>

#define ADAPTER_RPC_PROGRAM 0x20736d72 /* of those that users may define */
#define ADAPTER_RPC_VERSION 1

enum { ADAPTER_RPC_PUT = 1, ADAPTER_RPC_ROOM, ADAPTER_RPC_GET };

struct adapter_rpc_message { /* what PUT brings, GET and ROOM ask and answer */
	uint32_t number; /* of a message; ROOM, PUT: how many more */
	uint32_t tag; /* ROOM, GET: milliseconds to wait for one */
	u_int length; /* 0: none */
	char *data;
};

static inline bool_t
adapter_rpc_xdr(XDR *xdr, struct adapter_rpc_message *m)
{
	return xdr_uint32_t(xdr, &m->number) && xdr_uint32_t(xdr, &m->tag) &&
	       xdr_bytes(xdr, &m->data, &m->length, INT32_MAX);
}

struct adapter_rpc_queue { /* a ring of depth messages */
	struct adapter_rpc_message *messages;
	uint32_t depth, first, next;
};

static inline bool
adapter_rpc_full(const struct adapter_rpc_queue *q)
{
	return q->next - q->first >= q->depth;
}

static inline bool
adapter_rpc_empty(const struct adapter_rpc_queue *q)
{
	return q->first == q->next;
}

static inline struct adapter_rpc_message *
adapter_rpc_first(struct adapter_rpc_queue *q)
{
	return &q->messages[q->first % q->depth];
}

/** The queue, which is not full, keeps m->data. */
static inline void
adapter_rpc_append(struct adapter_rpc_queue *q, struct adapter_rpc_message m)
{
	q->messages[q->next++ % q->depth] = m;
}

static inline void
adapter_rpc_drop(struct adapter_rpc_queue *q)
{
	free(adapter_rpc_first(q)->data);
	q->first++;
}

static inline int
adapter_rpc_queue_new(struct adapter_rpc_queue *q, uint32_t depth)
{
	*q = (struct adapter_rpc_queue){ .depth = depth };
	q->messages = (struct adapter_rpc_message *)calloc(
		depth, sizeof(*q->messages));
	return q->messages ? 0 : -ENOMEM;
}

static inline void
adapter_rpc_queue_free(struct adapter_rpc_queue *q)
{
	while (!adapter_rpc_empty(q))
		adapter_rpc_drop(q);
	free(q->messages);
	q->messages = NULL;
}

#endif
