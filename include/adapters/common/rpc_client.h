/* SPDX-License-Identifier: MIT */
/*
 * rpc_client.h - the client's half of rpc.h: calls that wait for replies.
 *
 * The server waits for room or for a message in the client's place, a slice at
 * a time; so a client that gives up leaves no call behind for long.
 */
#ifndef ADAPTER_RPC_CLIENT_H
#define ADAPTER_RPC_CLIENT_H

#include "rpc_server.h"

struct adapter_rpc {
	struct adapter_library library;
	CLIENT *client; /* NULL: this is the server */
	int fd; /* server: of the listener; client: of the connection */
	uint32_t room, got; /* client: may put so many; last number got */
	struct adapter_rpc_server server;
};

/** A call; m is both argument and result. -EPIPE when the server is gone. */
static inline int
adapter_rpc_call(struct adapter_rpc *r, rpcproc_t procedure,
		 struct adapter_rpc_message *m)
{
	struct timeval patience = { .tv_sec = 1 };
	struct adapter_rpc_message argument = *m;
	enum clnt_stat status;

	*m = (struct adapter_rpc_message){ .length = 0 };
	status = clnt_call(r->client, procedure, (xdrproc_t)adapter_rpc_xdr,
			   (caddr_t)&argument, (xdrproc_t)adapter_rpc_xdr,
			   (caddr_t)m, patience);
	return status == RPC_SUCCESS	? 0
	       : status == RPC_TIMEDOUT ? -EAGAIN
					: -EPIPE;
}

/** Milliseconds that the server shall wait at most, before it answers. */
static inline uint32_t
adapter_rpc_patience(int64_t deadline)
{
	int64_t left = adapter_left(deadline);

	return (uint32_t)((left < ADAPTER_SLICE ? left + 999999
						: ADAPTER_SLICE) /
			  1000000);
}

static inline int
adapter_rpc_put(struct adapter_rpc *r, const struct adapter_msg *msg,
		int64_t deadline)
{
	struct adapter_rpc_message m;
	int error;

	while (!r->room) {
		m = (struct adapter_rpc_message){ .tag = adapter_rpc_patience(
							  deadline) };
		error = adapter_rpc_call(r, ADAPTER_RPC_ROOM, &m);
		if (!error)
			r->room = m.number;
		if (error && error != -EAGAIN)
			return error;
		if (!r->room && adapter_left(deadline) == 0)
			return adapter_expired(deadline);
	}
	m = (struct adapter_rpc_message){ .tag = msg->tag,
					  .length = (u_int)msg->length,
					  .data = (char *)msg->data };
	error = adapter_rpc_call(r, ADAPTER_RPC_PUT, &m);
	r->room = error ? 0 : m.number;
	return error == -EAGAIN ? 0 : error; /* under way, with room for it */
}

static inline int
adapter_rpc_get(struct adapter_rpc *r, struct adapter_msg *msg,
		int64_t deadline)
{
	struct adapter_rpc_message m;
	int error;

	for (;;) {
		m = (struct adapter_rpc_message){
			.number = r->got, .tag = adapter_rpc_patience(deadline)
		};
		error = adapter_rpc_call(r, ADAPTER_RPC_GET, &m);
		if (error && error != -EAGAIN)
			return error;
		if (m.length)
			break;
		if (adapter_left(deadline) == 0)
			return adapter_expired(deadline);
	}
	r->got = m.number + 1;
	msg->length = m.length;
	msg->tag = m.tag;
	if (m.length > r->library.base.limits.message.value)
		error = -EBADMSG;
	else
		memcpy(msg->data, m.data, m.length);
	free(m.data);
	return error;
}

#endif
