/* SPDX-License-Identifier: MIT */
/*
 * nng.h - nng over ipc://, the pair protocol: one peer, both ways.
 *
 * nng moves whole messages between two processes in threads of its own, through
 * a local socket. Callbacks tell when the connection is made and lost.
 *
 * Use it for its patterns (pairs, pipelines, surveys, publishing) and for peers
 * that may move to other machines. Not where latency counts: threads of the
 * library stand between any two messages. Its system calls are not counted in
 * a->syscalls.
 *
 * nng_close() throws away what is still on its way. So close waits, a second at
 * most, until the statistics of the connection say that all was written; the
 * receiver's library queues config.depth messages and the socket holds more,
 * so nobody can say how many fit. What a killed sender had handed over arrives.
 *
 * A process that has used nng must not fork and use it in the child, too (the
 * library stops it): fork first.
 *
 * Before 1.6 the library never closes the two descriptors behind pollfd
 * (nanomsg/nng#1640): do not poll many endpoints one after the other.
 *
 * System calls, in order:
 *
 *	create	nng_pair0_open, nng_pipe_notify, nng_listen; the number:
 *		open, write, link
 *	attach	open, read, nng_dial
 *	send	nng_msg_alloc, nng_sendmsg
 *	receive	nng_recvmsg, nng_msg_free
 *	wait	nng_recvmsg itself, on a condition variable
 *	woken	by the library's thread
 *	close	nng_close, unlink
 */
#ifndef ADAPTER_NNG_H
#define ADAPTER_NNG_H

#include "adapter.h"

#ifdef HAVE_NNG

#include "common/descriptors.h"
#include "common/nng_socket.h"

#define ADAPTER_NNG_DEPTH 128
#define ADAPTER_NNG_DEPTH_MAX 8192 /* the library's own limit of a queue */
#define ADAPTER_NNG_DESCRIPTORS 16
#define ADAPTER_NNG_TRY ((int)NNG_FLAG_NONBLOCK)

static inline int
adapter_nng_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT32_MAX - tag", INT32_MAX - sizeof(uint32_t) },
		.depth = { "queue of nng", ADAPTER_NNG_DEPTH_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline void
adapter_nng_close(struct adapter *a)
{
	struct adapter_nng *n = (struct adapter_nng *)a;
	int64_t step = 0, deadline = adapter_deadline(ADAPTER_SECOND);

	if (adapter_library_mine(a)) {
		while (n->sent && !adapter_nng_gone(n) &&
		       adapter_nng_written(n) < n->sent &&
		       adapter_backoff(a, &step, deadline) == 0)
			;
		adapter_nng_release(n->socket);
		adapter_address_drop(&n->library.address);
	}
	n->library.owner = 0;
	a->open = false;
}

/** Start the library; listen at the address, or connect to it. */
static inline int
adapter_nng_start(struct adapter *a, bool listen, int64_t deadline)
{
	struct adapter_nng *n = (struct adapter_nng *)a;
	char url[ADAPTER_PATH_MAX + 8];
	int64_t step = 0;
	int error = adapter_descriptors_left(a, ADAPTER_NNG_DESCRIPTORS);

	if (error)
		return error;
	error = adapter_nng_error(a, nng_pair0_open(&n->socket));
	if (error)
		return error;
	n->library.owner = getpid();
	if (nng_pipe_notify(n->socket, NNG_PIPE_EV_ADD_PRE, adapter_nng_pipe,
			    n) ||
	    nng_pipe_notify(n->socket, NNG_PIPE_EV_ADD_POST, adapter_nng_pipe,
			    n) ||
	    nng_pipe_notify(n->socket, NNG_PIPE_EV_REM_POST, adapter_nng_pipe,
			    n) ||
	    nng_socket_set_int(n->socket, NNG_OPT_RECVBUF,
			       (int)a->limits.depth.value) ||
	    nng_socket_set_size(n->socket, NNG_OPT_RECVMAXSZ,
				a->limits.message.value + sizeof(uint32_t)))
		return -EPROTO;
	snprintf(url, sizeof(url), "ipc://%s", n->library.address.path);
	do { /* dialling: until somebody listens */
		error = adapter_nng_error(
			a, listen ? nng_listen(n->socket, url, NULL, 0)
				  : nng_dial(n->socket, url, NULL, 0));
	} while (error == -EPIPE &&
		 !(error = adapter_backoff(a, &step, deadline)));
	a->limits.depth.name = NULL; /* of this side only */
	return error;
}

static inline int
adapter_nng_create(struct adapter *a, const struct adapter_config *config)
{
	return adapter_library_create(a, config, ADAPTER_NNG_DEPTH,
				      adapter_nng_start);
}

static inline int
adapter_nng_attach(struct adapter *a, const struct adapter_config *config,
		   int64_t timeout_ns)
{
	return adapter_library_attach(a, config, ADAPTER_NNG_DEPTH,
				      adapter_nng_start, timeout_ns);
}

static inline int
adapter_nng_after_fork(struct adapter *a, bool child)
{
	return adapter_library_after_fork(a, child, adapter_nng_start);
}

/** How long the next call may wait: a slice, then we look at the peer. */
static inline int
adapter_nng_slice(struct adapter_nng *n, const char *option, int64_t deadline)
{
	int64_t left = adapter_left(deadline);

	if (left > ADAPTER_SLICE)
		left = ADAPTER_SLICE;
	if (left)
		nng_socket_set_ms(n->socket, option,
				  (nng_duration)((left + 999999) / 1000000));
	return left ? 0 : ADAPTER_NNG_TRY;
}

static inline int
adapter_nng_send(struct adapter *a, const struct adapter_msg *msg,
		 int64_t timeout_ns)
{
	struct adapter_nng *n = (struct adapter_nng *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_send(a, msg), flags = ADAPTER_NNG_TRY;
	nng_msg *out;

	if (!error && nng_msg_alloc(&out, adapter_library_size(msg)))
		error = -ENOMEM;
	if (error)
		return error;
	adapter_library_pack(msg, nng_msg_body(out));
	while ((error = adapter_nng_error(
			a, nng_sendmsg(n->socket, out, flags))) != 0) {
		if (error == -EAGAIN && adapter_nng_gone(n))
			error = -EPIPE;
		else if (error == -EAGAIN && adapter_left(deadline) == 0)
			error = adapter_expired(deadline);
		else if (error == -EAGAIN)
			error = 0;
		if (error) {
			nng_msg_free(out);
			return error;
		}
		flags = adapter_nng_slice(n, NNG_OPT_SENDTIMEO, deadline);
	}
	n->sent++;
	return 0;
}

static inline int
adapter_nng_recv(struct adapter *a, struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_nng *n = (struct adapter_nng *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	int error = adapter_check_recv(a, msg), flags = ADAPTER_NNG_TRY;
	bool gone = false;
	nng_msg *in;

	if (error)
		return error;
	while ((error = adapter_nng_error(
			a, nng_recvmsg(n->socket, &in, flags))) != 0) {
		if (error != -EAGAIN)
			return error;
		if (gone) /* and this was a last look */
			return -EPIPE;
		gone = adapter_nng_gone(n);
		if (!gone && adapter_left(deadline) == 0)
			return adapter_expired(deadline);
		flags = gone ? ADAPTER_NNG_TRY
			     : adapter_nng_slice(n, NNG_OPT_RECVTIMEO,
						 deadline);
	}
	error = adapter_library_unpack(a, msg, nng_msg_body(in),
				       nng_msg_len(in));
	nng_msg_free(in);
	return error;
}

static inline int
adapter_nng_pollfd(struct adapter *a, struct pollfd *out)
{
	struct adapter_nng *n = (struct adapter_nng *)a;
	int fd, error;

	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	error = adapter_nng_error(
		a, nng_socket_get_int(n->socket, NNG_OPT_RECVFD, &fd));
	if (!error)
		*out = (struct pollfd){ .fd = fd, .events = POLLIN };
	return error;
}

#define ADAPTER_NNG                                                         \
	.caps = ADAPTER_NAMED | ADAPTER_BIDIR | ADAPTER_POLLABLE |          \
		ADAPTER_TIMED | ADAPTER_PEER_DEATH | ADAPTER_TAGS |         \
		ADAPTER_UNCOUNTED,                                          \
	.size = sizeof(struct adapter_nng), .create = adapter_nng_create,   \
	.attach = adapter_nng_attach, .after_fork = adapter_nng_after_fork, \
	.send = adapter_nng_send, .recv = adapter_nng_recv,                 \
	.limits = adapter_nng_limits, .close = adapter_nng_close,           \
	.unlink = adapter_address_unlink, .pollfd = adapter_nng_pollfd

#else
#define ADAPTER_NNG .missing = "libnng-dev"
#endif

static const struct adapter_ops adapter_nng_ops = {
	.name = "nng",
	.summary = "nng pair over a local socket",
	ADAPTER_NNG,
};

#endif
