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
 * The library's own system calls are not counted in a->syscalls. Its list of
 * services is one for the process, hence the thread-local variable.
 */
#ifndef ADAPTER_RPC_H
#define ADAPTER_RPC_H

#include "adapter.h"

static const struct adapter_ops adapter_rpc_ops;

#define ADAPTER_RPC_NAME "rpc"
#define ADAPTER_RPC_SUMMARY "ONC RPC over a local socket"

#ifdef HAVE_TIRPC

#include "address.h"
#include "pipe.h"

#include <pthread.h>
#include <rpc/rpc.h>
#include <sys/un.h>

#define ADAPTER_RPC_PROGRAM 0x20736d72 /* of those that users may define */
#define ADAPTER_RPC_VERSION 1
#define ADAPTER_RPC_MESSAGE 65536
#define ADAPTER_RPC_DEPTH 64
#define ADAPTER_RPC_DEPTH_MAX 65536
#define ADAPTER_RPC_DESCRIPTORS 8

enum { ADAPTER_RPC_PUT = 1, ADAPTER_RPC_ROOM, ADAPTER_RPC_GET };

struct adapter_rpc_message { /* what PUT brings, GET and ROOM ask and answer */
	uint32_t number; /* of a message; ROOM, PUT: how many more */
	uint32_t tag; /* ROOM, GET: milliseconds to wait for one */
	u_int length; /* 0: none */
	char *data;
};

struct adapter_rpc_queue { /* a ring of depth messages */
	struct adapter_rpc_message *messages;
	uint32_t first, next;
};

struct adapter_rpc {
	struct adapter base;
	struct adapter_address address;
	int pair[2]; /* until after_fork: server, client */
	int fd; /* server: of the listener, then peer; client: of it */
	pid_t server; /* the process whose thread serves, or 0 */
	CLIENT *client;
	uint32_t room, got; /* client: may put so many; last number got */
	/* server: */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct adapter_rpc_queue in, out;
	bool listening, stop, gone;
};

static _Thread_local struct adapter_rpc *adapter_rpc_served;

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

static inline bool_t
adapter_rpc_xdr(XDR *xdr, struct adapter_rpc_message *m)
{
	return xdr_uint32_t(xdr, &m->number) && xdr_uint32_t(xdr, &m->tag) &&
	       xdr_bytes(xdr, &m->data, &m->length, INT32_MAX);
}

/* -------------------------------------------------------------- the server */

static inline struct adapter_rpc_message *
adapter_rpc_at(struct adapter_rpc *r, struct adapter_rpc_queue *q,
	       uint32_t number)
{
	return &q->messages[number % r->base.limits.depth.value];
}

static inline bool
adapter_rpc_full(struct adapter_rpc *r, struct adapter_rpc_queue *q)
{
	return q->next - q->first >= r->base.limits.depth.value;
}

static inline void
adapter_rpc_drop(struct adapter_rpc *r, struct adapter_rpc_queue *q)
{
	free(adapter_rpc_at(r, q, q->first++)->data);
	pthread_cond_broadcast(&r->changed);
}

/** Wait for a change, with the lock held. */
static inline int
adapter_rpc_change(struct adapter_rpc *r, int64_t deadline)
{
	struct timespec t = adapter_timespec(deadline);

	if (adapter_left(deadline) == 0)
		return adapter_expired(deadline);
	pthread_cond_timedwait(&r->changed, &r->lock, &t);
	return 0;
}

/** The procedures; called by the library in the server's thread. */
static inline void
adapter_rpc_dispatch(struct svc_req *request, SVCXPRT *transport)
{
	struct adapter_rpc *r = adapter_rpc_served;
	struct adapter_rpc_message asked = { 0 }, answer = { 0 };
	int64_t until;

	if (request->rq_proc == NULLPROC) {
		svc_sendreply(transport, (xdrproc_t)(void (*)(void))xdr_void,
			      NULL);
		return;
	}
	if (request->rq_proc > ADAPTER_RPC_GET) {
		svcerr_noproc(transport);
		return;
	}
	if (!svc_getargs(transport, (xdrproc_t)adapter_rpc_xdr, &asked)) {
		svcerr_decode(transport);
		return;
	}
	until = adapter_now() + asked.tag * (ADAPTER_SECOND / 1000);
	pthread_mutex_lock(&r->lock);
	switch (request->rq_proc) {
	case ADAPTER_RPC_PUT:
		if (!adapter_rpc_full(r, &r->in)) {
			*adapter_rpc_at(r, &r->in, r->in.next++) = asked;
			asked.data = NULL; /* kept */
			pthread_cond_broadcast(&r->changed);
		}
		break;
	case ADAPTER_RPC_ROOM:
		while (adapter_rpc_full(r, &r->in) && !r->stop &&
		       adapter_rpc_change(r, until) == 0)
			;
		break;
	case ADAPTER_RPC_GET:
		if (r->out.first != r->out.next &&
		    asked.number == r->out.first + 1)
			adapter_rpc_drop(r, &r->out); /* it has come */
		while (r->out.first == r->out.next && !r->stop &&
		       adapter_rpc_change(r, until) == 0)
			;
		if (r->out.first != r->out.next)
			answer = *adapter_rpc_at(r, &r->out, r->out.first);
	}
	if (request->rq_proc != ADAPTER_RPC_GET)
		answer.number = (uint32_t)r->base.limits.depth.value -
				(r->in.next - r->in.first);
	pthread_mutex_unlock(&r->lock);
	svc_sendreply(transport, (xdrproc_t)adapter_rpc_xdr, &answer);
	svc_freeargs(transport, (xdrproc_t)adapter_rpc_xdr, &asked);
}

/** Does the library still have the connection? It closes it in case of doubt. */
static inline bool
adapter_rpc_connected(int fd)
{
	int i;

	for (i = 0; i < svc_max_pollfd; i++)
		if (svc_pollfd[i].fd == fd)
			return true;
	return false;
}

/** Wait, in slices, until fd can be read or the endpoint closes. */
static inline bool
adapter_rpc_readable(struct adapter_rpc *r, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
		if (poll(&p, 1, ADAPTER_SLICE / 1000000) > 0)
			return true;
	return false;
}

static inline void *
adapter_rpc_serve(void *of)
{
	struct adapter_rpc *r = (struct adapter_rpc *)of;
	SVCXPRT *transport = NULL;
	int fd = r->fd;

	if (r->listening)
		fd = adapter_rpc_readable(r, r->fd)
			     ? accept4(r->fd, NULL, NULL, SOCK_CLOEXEC)
			     : -1;
	if (fd >= 0)
		transport = svc_fd_create(fd, 0, 0);
	/* The protocol 0 keeps it from the portmapper. */
	if (transport &&
	    svc_register(transport, ADAPTER_RPC_PROGRAM, ADAPTER_RPC_VERSION,
			 adapter_rpc_dispatch, 0)) {
		adapter_rpc_served = r;
		while (adapter_rpc_connected(fd) && adapter_rpc_readable(r, fd))
			svc_getreq_common(fd);
	}
	if (transport && adapter_rpc_connected(fd))
		svc_destroy(transport);
	pthread_mutex_lock(&r->lock);
	r->gone = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* -------------------------------------------------------------- the client */

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
	if (m.length > r->base.limits.message.value)
		error = -EBADMSG;
	else
		memcpy(msg->data, m.data, m.length);
	free(m.data);
	return error;
}

/* ------------------------------------------------------------ both of them */

static inline int
adapter_rpc_send(struct adapter *a, const struct adapter_msg *msg,
		 int64_t timeout_ns)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_rpc_message *to;
	char *data;
	int error = adapter_check_send(a, msg);

	if (error || r->client)
		return error ? error : adapter_rpc_put(r, msg, deadline);
	data = (char *)malloc(msg->length);
	if (!data)
		return -ENOMEM;
	memcpy(data, msg->data, msg->length);
	pthread_mutex_lock(&r->lock);
	while (!error && adapter_rpc_full(r, &r->out) && !r->gone)
		error = adapter_rpc_change(r, deadline);
	if (r->gone)
		error = -EPIPE;
	if (error) {
		free(data);
	} else {
		to = adapter_rpc_at(r, &r->out, r->out.next++);
		*to = (struct adapter_rpc_message){
			.number = r->out.next - 1,
			.tag = msg->tag,
			.length = (u_int)msg->length,
			.data = data,
		};
		pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	return error;
}

static inline int
adapter_rpc_recv(struct adapter *a, struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	struct adapter_rpc_message *from;
	int error = adapter_check_recv(a, msg);

	if (error || r->client)
		return error ? error : adapter_rpc_get(r, msg, deadline);
	pthread_mutex_lock(&r->lock);
	while (!error && r->in.first == r->in.next)
		error = r->gone ? -EPIPE : adapter_rpc_change(r, deadline);
	if (!error) {
		from = adapter_rpc_at(r, &r->in, r->in.first);
		msg->length = from->length;
		msg->tag = from->tag;
		if (from->length && from->length <= a->limits.message.value)
			memcpy(msg->data, from->data, from->length);
		else
			error = -EBADMSG;
		adapter_rpc_drop(r, &r->in);
	}
	pthread_mutex_unlock(&r->lock);
	return error;
}

/** End the server's thread; what it has to give has a second to be fetched. */
static inline void
adapter_rpc_stop(struct adapter_rpc *r)
{
	int64_t deadline = adapter_deadline(ADAPTER_SECOND);

	pthread_mutex_lock(&r->lock);
	while (r->out.first != r->out.next && !r->gone &&
	       adapter_rpc_change(r, deadline) == 0)
		;
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	while (r->in.first != r->in.next)
		adapter_rpc_drop(r, &r->in);
	while (r->out.first != r->out.next)
		adapter_rpc_drop(r, &r->out);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
}

static inline void
adapter_rpc_close(struct adapter *a)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;

	if (r->server == getpid()) {
		adapter_rpc_stop(r);
		if (!r->listening)
			r->fd = -1; /* the library has closed it */
		adapter_address_drop(&r->address);
	}
	r->server = 0;
	free(r->in.messages);
	free(r->out.messages);
	r->in.messages = r->out.messages = NULL;
	if (r->client)
		clnt_destroy(r->client);
	r->client = NULL;
	adapter_close_fd(a, &r->fd);
	adapter_close_fd(a, &r->pair[0]);
	adapter_close_fd(a, &r->pair[1]);
	a->open = false;
}

static inline int
adapter_rpc_start_server(struct adapter *a)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	size_t depth = a->limits.depth.value;
	pthread_condattr_t attributes;
	sigset_t all, saved;
	int error;

	r->in.messages = (struct adapter_rpc_message *)calloc(
		depth, sizeof(*r->in.messages));
	r->out.messages = (struct adapter_rpc_message *)calloc(
		depth, sizeof(*r->out.messages));
	if (!r->in.messages || !r->out.messages)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all); /* signals are for the threads of the caller */
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	error = -pthread_create(&r->thread, NULL, adapter_rpc_serve, r);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (!error)
		r->server = getpid();
	return error;
}

static inline int
adapter_rpc_start_client(struct adapter *a)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	struct sockaddr_un peer = { .sun_family = AF_UNIX };
	struct netbuf to = { sizeof(peer), sizeof(peer), &peer };

	r->client = clnt_vc_create(r->fd, &to, ADAPTER_RPC_PROGRAM,
				   ADAPTER_RPC_VERSION, 0, 0);
	return r->client ? 0 : -ENOMEM;
}

static inline int
adapter_rpc_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int error = adapter_begin(a, &adapter_rpc_ops, config,
				  ADAPTER_RPC_MESSAGE, ADAPTER_RPC_DEPTH);

	r->fd = r->pair[0] = r->pair[1] = -1;
	adapter_ignore_sigpipe();
	return error ? error
		     : adapter_descriptors_left(a, ADAPTER_RPC_DESCRIPTORS);
}

/** End of create, attach and after_fork. */
static inline int
adapter_rpc_done(struct adapter *a, int error)
{
	if (error)
		adapter_rpc_close(a);
	return error ? error : adapter_ready(a);
}

/** A socket that is bound to, or connected with, the address. */
static inline int
adapter_rpc_socket(struct adapter *a, bool listening)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	memcpy(at.sun_path, r->address.path, strlen(r->address.path) + 1);
	r->fd = ADAPTER_SYS(a, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	r->listening = listening;
	if (r->fd < 0 ||
	    (listening ? ADAPTER_SYS(a, bind(r->fd, (struct sockaddr *)&at,
					     sizeof(at))) ||
				 ADAPTER_SYS(a, listen(r->fd, 1))
		       : ADAPTER_SYS(a, connect(r->fd, (struct sockaddr *)&at,
						sizeof(at)))))
		return adapter_error(a);
	return 0;
}

static inline int
adapter_rpc_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int error = adapter_rpc_begin(a, config);

	if (!error && !config->name) {
		if (ADAPTER_SYS(a,
				socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
					   0, r->pair)))
			error = adapter_error(a);
		return adapter_rpc_done(a, error);
	}
	if (!error)
		error = adapter_address_new(&r->address, a, config->name);
	if (!error)
		error = adapter_rpc_socket(a, true);
	if (!error)
		error = adapter_rpc_start_server(a);
	if (!error)
		error = adapter_address_publish(&r->address, a, config);
	return adapter_rpc_done(a, error);
}

static inline int
adapter_rpc_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;
	int error = adapter_rpc_begin(a, config);

	if (!error)
		error = adapter_address_find(&r->address, a, config->name,
					     adapter_deadline(timeout_ns));
	if (!error)
		error = adapter_rpc_socket(a, false);
	if (!error)
		error = adapter_rpc_start_client(a);
	return adapter_rpc_done(a, error);
}

static inline int
adapter_rpc_after_fork(struct adapter *a, bool child)
{
	struct adapter_rpc *r = (struct adapter_rpc *)a;

	adapter_close_fd(a, &r->pair[!child]);
	r->fd = r->pair[child];
	r->pair[child] = -1;
	if (child)
		a->roles = adapter_opposite(a->roles);
	return adapter_rpc_done(a, child ? adapter_rpc_start_client(a)
					 : adapter_rpc_start_server(a));
}

static inline int
adapter_rpc_unlink(const char *name)
{
	return adapter_address_unlink(name, ADAPTER_RPC_NAME);
}

static const struct adapter_ops adapter_rpc_ops = {
	.name = ADAPTER_RPC_NAME,
	.summary = ADAPTER_RPC_SUMMARY,
	.caps = ADAPTER_NAMED | ADAPTER_BIDIR | ADAPTER_TIMED |
		ADAPTER_PEER_DEATH | ADAPTER_TAGS,
	.size = sizeof(struct adapter_rpc),
	.create = adapter_rpc_create,
	.attach = adapter_rpc_attach,
	.after_fork = adapter_rpc_after_fork,
	.send = adapter_rpc_send,
	.recv = adapter_rpc_recv,
	.limits = adapter_rpc_limits,
	.close = adapter_rpc_close,
	.unlink = adapter_rpc_unlink,
};

#else

static const struct adapter_ops adapter_rpc_ops = {
	.name = ADAPTER_RPC_NAME,
	.summary = ADAPTER_RPC_SUMMARY,
	.missing = "libtirpc-dev",
};

#endif
#endif
