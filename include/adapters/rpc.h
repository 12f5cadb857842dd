/* SPDX-License-Identifier: MIT */
/*
 * rpc.h - ONC RPC (libtirpc) over a local socket, without a portmapper.
 *
 * The creator is the server: a thread receives calls and dispatches them to
 * three procedures, PUT (a message for the server), ROOM (may I put one) and
 * GET (a message for the client). Arguments and results travel as XDR. The
 * other side is the client: its send and recv are calls that wait for replies.
 *
 * Use it to call another program's functions, also across machines of another
 * byte order. Not to move data: each message costs a round trip and two
 * encodings.
 *
 * A call that has timed out may have been executed or not. So the client puts
 * only when the last reply has told that there is room, and then the message
 * counts as sent; GET names the last message that came, and the server keeps
 * one until it is named. The rest of a closing server's messages has a second
 * to be fetched. A killed peer is noticed at once.
 *
 * The library's own system calls are not counted in a->syscalls.
 *
 * System calls, in order:
 *
 *	create	socket, bind, listen, pthread_create; then accept4, poll,
 *		svc_fd_create, svc_register; the number: open, write,
 *		link
 *	attach	open, read, socket, connect, clnt_vc_create
 *	send	clnt_call (common/rpc_client.h); the server waits with
 *		pthread_cond_timedwait (common/rpc_server.h)
 *	receive	clnt_call (common/rpc_client.h); the server the same
 *	wait	clnt_call itself, for the reply
 *	woken	by the kernel, when the reply has come
 *	close	clnt_destroy; the server: pthread_join, close, unlink
 */
#ifndef ADAPTER_RPC_H
#define ADAPTER_RPC_H

#include "adapter.h"

#ifdef HAVE_TIRPC

#include "common/connect.h"
#include "common/descriptors.h"
#include "common/library.h"
#include "common/rpc_client.h"
#include "common/sigpipe.h"

#include <sys/un.h>

#define ADAPTER_RPC_DEPTH 64
#define ADAPTER_RPC_DEPTH_MAX 65536
#define ADAPTER_RPC_DESCRIPTORS 8

static inline int
adapter_rpc_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX", INT32_MAX },
		.depth = { "queue of rpc", ADAPTER_RPC_DEPTH_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline int
adapter_rpc_send(struct adapter *a, const struct adapter_msg *msg,
		 int64_t timeout_ns)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	return r->client ? adapter_rpc_put(r, msg, deadline)
			 : adapter_rpc_serve_out(&r->server, msg, deadline);
}

static inline int
adapter_rpc_recv(struct adapter *a, struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_recv(a, msg);

	if (error)
		return error;
	return r->client ? adapter_rpc_get(r, msg, deadline)
			 : adapter_rpc_serve_in(&r->server, msg,
						a->limits.message.value,
						deadline);
}

static inline void
adapter_rpc_close(struct adapter *a)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;

	if (r->client)
		clnt_destroy(r->client);
	else if (r->server.in.messages && adapter_library_mine(a))
		adapter_rpc_stop(&r->server);
	if (adapter_library_mine(a))
		adapter_address_drop(&r->library.address);
	if (r->library.owner)
		adapter_close_fd(a, &r->fd);
	r->client = NULL;
	r->library.owner = 0;
	a->open = false;
}

static inline int
adapter_rpc_listen(struct adapter *a, const struct sockaddr_un *at)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;

	if (ADAPTER_SYS(
		    a, bind(r->fd, (const struct sockaddr *)at, sizeof(*at))) ||
	    ADAPTER_SYS(a, listen(r->fd, 1)))
		return adapter_error(a);
	r->server = (struct adapter_rpc_server){
		.library = &r->library,
		.listener = r->fd,
	};
	return adapter_rpc_start(&r->server, (uint32_t)a->limits.depth.value);
}

static inline int
adapter_rpc_connect(struct adapter *a, struct sockaddr_un *at, int64_t deadline)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	struct netbuf to = { sizeof(*at), sizeof(*at), at };
	int error = adapter_socket_connect(a, r->fd, at, sizeof(*at), deadline);

	if (error)
		return error;
	adapter_library_met(&r->library);
	r->client = clnt_vc_create(r->fd, &to, ADAPTER_RPC_PROGRAM,
				   ADAPTER_RPC_VERSION, 0, 0);
	return r->client ? 0 : -ENOMEM;
}

static inline int
adapter_rpc_meet(struct adapter *a, bool listen, int64_t deadline)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int error = adapter_descriptors_left(a, ADAPTER_RPC_DESCRIPTORS);

	if (error)
		return error;
	adapter_ignore_sigpipe();
	memcpy(at.sun_path, r->library.address.path,
	       strlen(r->library.address.path) + 1);
	r->fd = adapter_fd(
		ADAPTER_SYS(a, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
	r->library.owner = getpid();
	if (r->fd < 0)
		return adapter_error(a);
	return listen ? adapter_rpc_listen(a, &at)
		      : adapter_rpc_connect(a, &at, deadline);
}

static inline int
adapter_rpc_create(struct adapter *a, const struct adapter_config *config)
{
	return adapter_library_create(a, config, ADAPTER_RPC_DEPTH,
				      adapter_rpc_meet);
}

static inline int
adapter_rpc_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns)
{
	return adapter_library_attach(a, config, ADAPTER_RPC_DEPTH,
				      adapter_rpc_meet, timeout_ns);
}

static inline int
adapter_rpc_after_fork(struct adapter *a, bool child)
{
	return adapter_library_after_fork(a, child, adapter_rpc_meet);
}

#define ADAPTER_RPC                                                         \
	.caps = ADAPTER_NAMED | ADAPTER_BIDIR | ADAPTER_TIMED |             \
		ADAPTER_PEER_DEATH | ADAPTER_TAGS | ADAPTER_UNCOUNTED,      \
	.size = sizeof(struct adapter_rpc), .create = adapter_rpc_create,   \
	.attach = adapter_rpc_attach, .after_fork = adapter_rpc_after_fork, \
	.send = adapter_rpc_send, .recv = adapter_rpc_recv,                 \
	.limits = adapter_rpc_limits, .close = adapter_rpc_close,           \
	.unlink = adapter_address_unlink

#else
#define ADAPTER_RPC .missing = "libtirpc-dev"
#endif

static const struct adapter_ops adapter_rpc_ops = {
	.name = "rpc",
	.summary = "ONC RPC over a local socket",
	ADAPTER_RPC,
};

#endif
