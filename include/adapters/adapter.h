/* SPDX-License-Identifier: MIT */
/*
 * adapter.h - one thin interface over every way that processes exchange
 * messages, so that one can be swapped for another by its name.
 *
 *	const struct adapter_ops *fifo = adapter_find("fifo");
 *	struct adapter *a = adapter_new(fifo);
 *	struct adapter_config config = { .name = "demo",
 *					 .roles = ADAPTER_SENDER };
 *	struct adapter_msg msg = { .data = "hello", .length = 5 };
 *
 *	error = a->ops->create(a, &config);	 // the other side: attach
 *	error = a->ops->send(a, &msg, -1);	 // -1 for ever, 0 try once
 *	if (error)
 *		fprintf(stderr, "%s (%s is %" PRIu64 ")\n", strerror(-error),
 *			a->refused.name, a->refused.value);
 *	adapter_free(a);			 // closes too
 *	error = fifo->unlink(fifo, "demo");
 *
 * A mechanism is one header. It offers the operations below as static inline
 * functions named adapter_<mechanism>_<operation>, to be called directly where
 * speed counts, and a const table of them, to choose the mechanism at run time.
 * What mechanisms have in common is below common/, for who writes one; this
 * file is for who uses them.
 *
 * Messages are whole: never truncated, never merged, at least one byte long.
 * Operations return 0 or a negative errno, as those of the ring do:
 *
 *	-EAGAIN     nothing to receive, or no room (timeout 0)
 *	-ETIMEDOUT  the same, still so when the timeout had passed
 *	-EPIPE      the peer is gone; a receiver first gets all that was sent
 *	-EMSGSIZE   longer than the limit, or a receive buffer below the limit
 *	-EINVAL     a tag or a request that the mechanism does not have
 *	-ENOMSG     commit or release, and nothing is in hands
 *	-EBADF      the endpoint does not have this role
 *	-EBADMSG    what arrived is no message of ours; the endpoint is done for
 *	-EPROTOTYPE a descriptor comes next (recv_fd), or a message (recv)
 *	-ENOTSUP    the mechanism cannot do this; -ENOSYS: without its library
 *	-EEXIST -ENOENT -EACCES -EMFILE -ENOSPC ...  from the system
 *
 * A request beyond a limit is refused, never trimmed, and leaves the limit's
 * name and value in `refused`. An endpoint is used by one thread at a time.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum {
	ADAPTER_SENDER = 1,
	ADAPTER_RECEIVER = 2,
	ADAPTER_BOTH = 3, /* of a BIDIR mechanism: each side does both */
};

enum { /* capabilities */
       ADAPTER_STREAM = 1 << 0, /* bytes underneath ... */
       ADAPTER_FRAMED = 1 << 1, /* ... cut into messages by a header */
       ADAPTER_BIDIR = 1 << 2, /* takes ADAPTER_BOTH */
       ADAPTER_PRIO = 1 << 3, /* higher tags are received first */
       ADAPTER_SELECT_TYPE = 1 << 4, /* recv_tag */
       ADAPTER_LOSSY = 1 << 5, /* may lose messages; `lost` counts */
       ADAPTER_COUNTER_ONLY = 1 << 6, /* the object counts; data go beside */
       ADAPTER_FORK_ONLY = 1 << 7, /* no names: related processes only */
       ADAPTER_NAMED = 1 << 8, /* attach by name */
       ADAPTER_POLLABLE = 1 << 9, /* pollfd */
       ADAPTER_ZEROCOPY = 1 << 10, /* reserve and commit, peek and release */
       ADAPTER_FDPASS = 1 << 11, /* send_fd and recv_fd */
       ADAPTER_TIMED = 1 << 12, /* the system itself waits with a limit;
					  else the adapter looks repeatedly */
       ADAPTER_PEER_DEATH = 1 << 13, /* a killed peer gives -EPIPE in 1 s */
       ADAPTER_MANY_SENDERS = 1 << 14,
       ADAPTER_MANY_RECEIVERS = 1 << 15, /* each message goes to one of them */
       ADAPTER_BROADCAST = 1 << 16, /* each message goes to all of them */
       ADAPTER_PERSISTENT = 1 << 17, /* messages outlive every process */
       ADAPTER_FIXED_SIZE = 1 << 18, /* every message has the largest length */
       ADAPTER_TAGS = 1 << 19, /* tags other than 0 arrive */
       ADAPTER_CREATOR_ALONE = 1 << 20, /* many: on the other side only */
       ADAPTER_UNCOUNTED = 1 << 21, /* `syscalls` lacks the library's own */
       ADAPTER_SPINS_FIRST = 1 << 22, /* a call that waits spins a while */
       ADAPTER_HELD_UP = 1 << 23, /* by one stopped in mid-call: all spin */
};

#define ADAPTER_NAME_MAX 64 /* with its '\0' */
#define ADAPTER_SECOND INT64_C(1000000000) /* in nanoseconds */

struct adapter_msg {
	void *data; /* send reads here, recv writes here */
	size_t length; /* bytes: given to send, told by recv */
	size_t capacity; /* recv: room at data, at least the message limit */
	uint32_t tag; /* priority, type or signal number; 0 is plain */
};

struct adapter_limit {
	const char *name; /* whose limit: "PIPE_BUF", ...; NULL: no limit */
	uint64_t value;
};

struct adapter_limits {
	struct adapter_limit message; /* bytes of the largest message */
	struct adapter_limit depth; /* messages that fit unreceived */
	struct adapter_limit bytes; /* bytes that fit unreceived */
	struct adapter_limit tag; /* largest tag */
};

struct adapter_config { /* zero means the default for each field */
	const char *name; /* letters, digits, '.', '_', '-'; NULL: for a
				pair of processes related by fork */
	unsigned roles; /* of this side; default ADAPTER_SENDER */
	size_t message_size; /* largest message; both sides say the same */
	size_t depth; /* messages to hold */
	mode_t permissions; /* 0600 */
};

struct adapter_ops;

/* An endpoint, made by adapter_new; each mechanism's begins with one. */
struct adapter {
	const struct adapter_ops *ops;
	bool open; /* created or attached, and not closed since */
	unsigned roles;
	struct adapter_limits limits; /* in force for this endpoint */
	struct adapter_limit refused; /* the limit behind the last refusal */
	uint64_t syscalls; /* system calls so far */
	uint64_t lost; /* LOSSY receiver: messages missed */
};

/*
 * Operations after unlink are NULL where the mechanism has none. create and
 * attach give everything back when they fail; so nothing is left to close.
 */
struct adapter_ops {
	const char *name;
	const char *summary;
	const char *missing; /* the library that this build lacks, or NULL */
	unsigned caps;
	size_t size; /* of the mechanism's structure */

	/* Make the object; with a name it must not exist yet (-EEXIST). */
	int (*create)(struct adapter *a, const struct adapter_config *config);
	/* Join by name; waits until the name is there and ready. */
	int (*attach)(struct adapter *a, const struct adapter_config *config,
		      int64_t timeout_ns);
	/* Made without a name: after fork, parent and child each call it; the
	   child gets the opposite roles. */
	int (*after_fork)(struct adapter *a, bool child);
	int (*send)(struct adapter *a, const struct adapter_msg *msg,
		    int64_t timeout_ns);
	int (*recv)(struct adapter *a, struct adapter_msg *msg,
		    int64_t timeout_ns);
	/* What may be asked for at most, read from the system now. */
	int (*limits)(struct adapter_limits *limits);
	/* Give back what this process holds; the name stays. */
	void (*close)(struct adapter *a);
	/* Remove the name; NULL for FORK_ONLY. -ENOENT if it is not there. */
	int (*unlink)(const struct adapter_ops *ops, const char *name);

	/* Receive the next message with msg->tag. */
	int (*recv_tag)(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns);
	/* Room for msg->length bytes at msg->data; then send it. */
	int (*reserve)(struct adapter *a, struct adapter_msg *msg,
		       int64_t timeout_ns);
	int (*commit)(struct adapter *a, const struct adapter_msg *msg);
	/* The next message in place at msg->data; then let go of it. */
	int (*peek)(struct adapter *a, struct adapter_msg *msg,
		    int64_t timeout_ns);
	int (*release)(struct adapter *a);
	int (*send_fd)(struct adapter *a, int fd, int64_t timeout_ns);
	/* A new descriptor (close-on-exec), or a negative errno. */
	int (*recv_fd)(struct adapter *a, int64_t timeout_ns);
	/* Rendezvous: wait until all that was sent has been taken. */
	int (*flush)(struct adapter *a, int64_t timeout_ns);
	/* What to poll for to receive. 1: do not sleep, receive now. Ask each
	   time before polling, and receive until -EAGAIN afterwards. */
	int (*pollfd)(struct adapter *a, struct pollfd *out);
};

/** Memory for an endpoint of this mechanism, or NULL. */
static inline struct adapter *
adapter_new(const struct adapter_ops *ops)
{
	struct adapter *a =
		(struct adapter *)aligned_alloc(64, (ops->size + 63) / 64 * 64);

	if (a) {
		memset(a, 0, ops->size);
		a->ops = ops;
	}
	return a;
}

/** Close, if created or attached, and give the memory back. */
static inline void
adapter_free(struct adapter *a)
{
	if (a && a->open)
		a->ops->close(a);
	free(a);
}

#endif
