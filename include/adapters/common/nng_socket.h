/* SPDX-License-Identifier: MIT */
/*
 * nng_socket.h - what nng.h has to know about its socket: what an error means,
 * whether the peer is there, how much was written, and how to close it.
 *
 * Before 1.8 nng_close() may wait for ever, while a peer goes on sending
 * (nanomsg/nng#1813); the peer is told nevertheless. So a thread of its own
 * calls it, and is left alone after a second.
 */
#ifndef ADAPTER_NNG_SOCKET_H
#define ADAPTER_NNG_SOCKET_H

#include "library.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <pthread.h>

struct adapter_nng {
	struct adapter_library library;
	nng_socket socket;
	/* What the callbacks tell, in any order but PRE before POST: */
	bool came; /* a peer: a connection that the protocol took ... */
	int pipes; /* ... of all those that are there now */
	uint64_t sent;
};

/** Our error for one of the library. */
static inline int
adapter_nng_error(struct adapter *a, int error)
{
	switch (error) {
	case 0:
		return 0;
	case NNG_EAGAIN:
	case NNG_ETIMEDOUT:
		return -EAGAIN;
	case NNG_ENOMEM:
		return -ENOMEM;
	case NNG_EPERM:
		return -EACCES;
	case NNG_EADDRINUSE:
		return -EEXIST;
	case NNG_ECLOSED:
	case NNG_ECONNREFUSED:
	case NNG_ECONNRESET:
		return -EPIPE;
	case NNG_ENOFILES:
		errno = EMFILE;
		return adapter_error(a);
	default:
		return error & NNG_ESYSERR ? -(error & ~NNG_ESYSERR) : -EPROTO;
	}
}

static inline void
adapter_nng_pipe(nng_pipe pipe, nng_pipe_ev event, void *of)
{
	struct adapter_nng *n = (struct adapter_nng *)of;

	(void)pipe;
	if (event == NNG_PIPE_EV_ADD_POST) {
		adapter_library_met(&n->library);
		__atomic_store_n(&n->came, true, __ATOMIC_RELEASE);
	} else {
		__atomic_fetch_add(&n->pipes,
				   event == NNG_PIPE_EV_ADD_PRE ? 1 : -1,
				   __ATOMIC_RELEASE);
	}
}

/** The peer has been here, and is not any more. */
static inline bool
adapter_nng_gone(struct adapter_nng *n)
{
	return __atomic_load_n(&n->came, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&n->pipes, __ATOMIC_ACQUIRE) == 0;
}

/** How many messages this process has written to the socket of the peer. */
static inline uint64_t
adapter_nng_written(struct adapter_nng *n)
{
	uint64_t written = 0, of, sent;
	nng_stat *all, *group, *stat;

	if (nng_stats_get(&all))
		return n->sent; /* no statistics: nothing to wait for */
	for (group = nng_stat_child(all); group; group = nng_stat_next(group)) {
		if (strcmp(nng_stat_name(group), "pipe") != 0)
			continue;
		of = sent = 0;
		for (stat = nng_stat_child(group); stat;
		     stat = nng_stat_next(stat)) {
			if (strcmp(nng_stat_name(stat), "socket") == 0)
				of = nng_stat_value(stat);
			if (strcmp(nng_stat_name(stat), "tx_msgs") == 0)
				sent = nng_stat_value(stat);
		}
		if (of == (uint64_t)nng_socket_id(n->socket))
			written += sent;
	}
	nng_stats_free(all);
	return written;
}

static inline void *
adapter_nng_finish(void *id)
{
	nng_close((nng_socket){ .id = (uint32_t)(uintptr_t)id });
	return NULL;
}

/** nng_close(), but for at most a second. */
static inline void
adapter_nng_release(nng_socket socket)
{
	void *id = (void *)(uintptr_t)socket.id;
	sigset_t all, saved;
	struct timespec until;
	pthread_t thread;
	int error;

	sigfillset(&all); /* signals are for the threads of the caller */
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	error = pthread_create(&thread, NULL, adapter_nng_finish, id);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	until = adapter_timespec(adapter_now() + ADAPTER_SECOND);
	if (error)
		adapter_nng_finish(id);
	else if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until))
		pthread_detach(thread);
}

#endif
