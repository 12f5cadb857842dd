/* SPDX-License-Identifier: MIT */
/*
 * rpc_server.h - the server's half of rpc.h: a thread that receives calls and
 * dispatches them to the procedures, and two queues between it and the caller's
 * threads.
 *
 * The library's list of services is one for the process, hence the thread-local
 * variable.
 */
#ifndef ADAPTER_RPC_SERVER_H
#define ADAPTER_RPC_SERVER_H

#include "library.h"
#include "rpc_message.h"

#include <pthread.h>
#include <sys/socket.h>

struct adapter_rpc_server {
	struct adapter_library *library; /* of whom */
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct adapter_rpc_queue in, out;
	bool stop, gone;
};

static _Thread_local struct adapter_rpc_server *adapter_rpc_served;

/** Wait for a change, with the lock held. */
static inline int
adapter_rpc_change(struct adapter_rpc_server *r, int64_t deadline)
{
	struct timespec t = adapter_timespec(deadline);

	if (adapter_left(deadline) == 0)
		return adapter_expired(deadline);
	pthread_cond_timedwait(&r->changed, &r->lock, &t);
	return 0;
}

/** With the lock held: do what the procedure is for. */
static inline struct adapter_rpc_message
adapter_rpc_do(struct adapter_rpc_server *r, rpcproc_t procedure,
	       struct adapter_rpc_message *asked)
{
	int64_t until = adapter_now() + asked->tag * (ADAPTER_SECOND / 1000);
	struct adapter_rpc_message answer = { 0 };

	switch (procedure) {
	case ADAPTER_RPC_PUT:
		if (!adapter_rpc_full(&r->in)) {
			adapter_rpc_append(&r->in, *asked);
			asked->data = NULL; /* kept */
			pthread_cond_broadcast(&r->changed);
		}
		break;
	case ADAPTER_RPC_ROOM:
		while (adapter_rpc_full(&r->in) && !r->stop &&
		       adapter_rpc_change(r, until) == 0)
			;
		break;
	default:
		if (!adapter_rpc_empty(&r->out) &&
		    asked->number == r->out.first + 1) { /* it has come */
			adapter_rpc_drop(&r->out);
			pthread_cond_broadcast(&r->changed);
		}
		while (adapter_rpc_empty(&r->out) && !r->stop &&
		       adapter_rpc_change(r, until) == 0)
			;
		if (!adapter_rpc_empty(&r->out))
			answer = *adapter_rpc_first(&r->out);
		return answer;
	}
	answer.number = r->in.depth - (r->in.next - r->in.first);
	return answer;
}

/** Called by the library in the server's thread. */
static inline void
adapter_rpc_dispatch(struct svc_req *request, SVCXPRT *transport)
{
	struct adapter_rpc_server *r = adapter_rpc_served;
	struct adapter_rpc_message asked = { 0 }, answer;

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
	pthread_mutex_lock(&r->lock);
	answer = adapter_rpc_do(r, request->rq_proc, &asked);
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
adapter_rpc_readable(struct adapter_rpc_server *r, int fd)
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
	struct adapter_rpc_server *r = (struct adapter_rpc_server *)of;
	SVCXPRT *transport = NULL;
	int fd = -1;

	if (adapter_rpc_readable(r, r->listener))
		fd = adapter_fd(accept4(r->listener, NULL, NULL, SOCK_CLOEXEC));
	if (fd >= 0) {
		adapter_library_met(r->library);
		transport = svc_fd_create(fd, 0, 0);
	}
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

/** A message for the client; it is copied. */
static inline int
adapter_rpc_serve_out(struct adapter_rpc_server *r,
		      const struct adapter_msg *msg, int64_t deadline)
{
	struct adapter_rpc_message m = { .tag = msg->tag,
					 .length = (u_int)msg->length };
	int error = 0;

	m.data = (char *)malloc(msg->length);
	if (!m.data)
		return -ENOMEM;
	memcpy(m.data, msg->data, msg->length);
	pthread_mutex_lock(&r->lock);
	while (!error && adapter_rpc_full(&r->out) && !r->gone)
		error = adapter_rpc_change(r, deadline);
	if (r->gone)
		error = -EPIPE;
	if (!error) {
		m.number = r->out.next;
		adapter_rpc_append(&r->out, m);
		pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	if (error)
		free(m.data);
	return error;
}

/** A message of the client, of at most so many bytes. */
static inline int
adapter_rpc_serve_in(struct adapter_rpc_server *r, struct adapter_msg *msg,
		     uint64_t most, int64_t deadline)
{
	struct adapter_rpc_message *from;
	int error = 0;

	pthread_mutex_lock(&r->lock);
	while (!error && adapter_rpc_empty(&r->in))
		error = r->gone ? -EPIPE : adapter_rpc_change(r, deadline);
	if (!error) {
		from = adapter_rpc_first(&r->in);
		msg->length = from->length;
		msg->tag = from->tag;
		if (from->length && from->length <= most)
			memcpy(msg->data, from->data, from->length);
		else
			error = -EBADMSG;
		adapter_rpc_drop(&r->in);
		pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	return error;
}

/** End the thread; what there is to give has a second to be fetched. */
static inline void
adapter_rpc_stop(struct adapter_rpc_server *r)
{
	int64_t deadline = adapter_deadline(ADAPTER_SECOND);

	pthread_mutex_lock(&r->lock);
	while (!adapter_rpc_empty(&r->out) && !r->gone &&
	       adapter_rpc_change(r, deadline) == 0)
		;
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	adapter_rpc_queue_free(&r->in);
	adapter_rpc_queue_free(&r->out);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
}

/** The first two fields are set. */
static inline int
adapter_rpc_start(struct adapter_rpc_server *r, uint32_t depth)
{
	pthread_condattr_t attributes;
	sigset_t all, saved;
	int in = adapter_rpc_queue_new(&r->in, depth);
	int error = adapter_rpc_queue_new(&r->out, depth);

	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all); /* signals are for the threads of the caller */
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	if (!error)
		error = in;
	if (!error)
		error = -pthread_create(&r->thread, NULL, adapter_rpc_serve, r);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (error) {
		adapter_rpc_queue_free(&r->in);
		adapter_rpc_queue_free(&r->out);
	}
	return error;
}

#endif
