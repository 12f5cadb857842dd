/* SPDX-License-Identifier: MIT */
/*
 * adapter.h - one thin interface over every way that processes exchange
 * messages, so that one can be swapped for another by its name.
 *
 *	struct adapter *a = adapter_new(adapter_find("fifo"));
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
 *	error = adapter_find("fifo")->unlink("demo");
 *
 * A mechanism is one header. It offers the operations below as static inline
 * functions named adapter_<mechanism>_<operation>, to be called directly where
 * speed counts, and a const table of them, to choose the mechanism at run time.
 *
 * Messages are whole: never truncated, never merged, at least one byte long.
 * Operations return 0 or a negative errno, as those of the ring do:
 *
 *	-EAGAIN     nothing to receive, or no room (timeout 0)
 *	-ETIMEDOUT  the same, still so when the timeout had passed
 *	-EPIPE      the peer is gone; a receiver first gets all that was sent
 *	-EMSGSIZE   longer than the limit, or a receive buffer below the limit
 *	-EINVAL     a tag or a request that the mechanism does not have
 *	-EBADF      the endpoint does not have this role
 *	-EBADMSG    what arrived is no message of ours; the endpoint is done for
 *	-EPROTOTYPE a descriptor comes next (recv_fd), or a message (recv)
 *	-ENOTSUP    the mechanism cannot do this
 *	-ENOSYS     this build lacks the library of the mechanism
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
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

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
};

#define ADAPTER_NAME_MAX 64 /* with its '\0' */
#define ADAPTER_PATH_MAX 104 /* fits sun_path */
#define ADAPTER_SECOND INT64_C(1000000000) /* in nanoseconds */
#define ADAPTER_SLICE (ADAPTER_SECOND / 10) /* how often a sleeper looks up */

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

/* An endpoint. Each mechanism's own structure begins with one. */
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
	int (*unlink)(const char *name);

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

/* ------------------------------------------------------------ refusals */

/** Note the limit behind a refusal; returns error, for `return`. */
static inline int
adapter_refuse(struct adapter *a, int error, const char *name, uint64_t value)
{
	a->refused = (struct adapter_limit){ name, value };
	return error;
}

/** A number under /proc/sys, or fallback where it cannot be read. */
static inline uint64_t
adapter_sysctl(const char *name, uint64_t fallback)
{
	char path[128], text[32];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fallback;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return fallback;
	text[length] = '\0';
	return strtoull(text, NULL, 10);
}

/** A resource limit of this process (RLIMIT_NOFILE, ...). */
static inline uint64_t
adapter_rlimit(int resource)
{
	struct rlimit limit = { 0 };

	getrlimit((__rlimit_resource_t)resource, &limit);
	return limit.rlim_cur;
}

/** The negative errno of a call that just failed, with the limit behind it. */
static inline int
adapter_error(struct adapter *a)
{
	switch (errno) {
	case EMFILE:
		return adapter_refuse(a, -EMFILE, "RLIMIT_NOFILE",
				      adapter_rlimit(RLIMIT_NOFILE));
	case ENFILE:
		return adapter_refuse(a, -ENFILE, "fs.file-max",
				      adapter_sysctl("fs/file-max", 0));
	case ECONNRESET:
	case ECONNREFUSED:
		return -EPIPE;
	default:
		return -errno;
	}
}

/** Count a system call: `n = ADAPTER_SYS(a, read(fd, p, size))`. */
#define ADAPTER_SYS(a, call) ((a)->syscalls++, (call))

/* ---------------------------------------------------- setting endpoints up */

/**
 * Begin create or attach: clear the endpoint, read the limits, refuse what
 * goes beyond them. message_size and depth are what is in force unless the
 * configuration asks for something else; 0 means the limit itself.
 */
static inline int
adapter_begin(struct adapter *a, const struct adapter_ops *ops,
	      const struct adapter_config *config, size_t message_size,
	      size_t depth)
{
	struct adapter_limit *message = &a->limits.message;
	struct adapter_limit *held = &a->limits.depth;
	int error;

	memset(a, 0, ops->size);
	a->ops = ops;
	a->roles = config->roles ? config->roles : ADAPTER_SENDER;
	if (a->roles > ADAPTER_BOTH ||
	    (a->roles == ADAPTER_BOTH && !(ops->caps & ADAPTER_BIDIR)))
		return -ENOTSUP;
	error = ops->limits(&a->limits);
	if (error)
		return error;
	if (message->name && config->message_size > message->value)
		return adapter_refuse(a, -EMSGSIZE, message->name,
				      message->value);
	if (held->name && config->depth > held->value)
		return adapter_refuse(a, -EINVAL, held->name, held->value);
	if (config->message_size)
		*message = (struct adapter_limit){ "config.message_size",
						   config->message_size };
	else if (message_size)
		message->value = message_size;
	if (config->depth)
		*held = (struct adapter_limit){ "config.depth", config->depth };
	else if (depth)
		held->value = depth;
	return 0;
}

/** The end of a create or attach that succeeded. */
static inline int
adapter_ready(struct adapter *a)
{
	a->open = true;
	return 0;
}

/** Close *fd unless it is -1, which it is afterwards. */
static inline void
adapter_close_fd(struct adapter *a, int *fd)
{
	if (*fd >= 0)
		ADAPTER_SYS(a, close(*fd));
	*fd = -1;
}

/** The roles of the side opposite to roles. */
static inline unsigned
adapter_opposite(unsigned roles)
{
	return roles == ADAPTER_BOTH ? ADAPTER_BOTH : roles ^ ADAPTER_BOTH;
}

/** 0 when msg may be sent here: role, length and tag. */
static inline int
adapter_check_send(struct adapter *a, const struct adapter_msg *msg)
{
	if (!(a->roles & ADAPTER_SENDER))
		return -EBADF;
	if (msg->length > a->limits.message.value)
		return adapter_refuse(a, -EMSGSIZE, a->limits.message.name,
				      a->limits.message.value);
	if (msg->tag > a->limits.tag.value)
		return adapter_refuse(a, -EINVAL, a->limits.tag.name,
				      a->limits.tag.value);
	return msg->length ? 0 : -EINVAL;
}

/** 0 when msg can take any message that may come. */
static inline int
adapter_check_recv(struct adapter *a, const struct adapter_msg *msg)
{
	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	if (msg->capacity < a->limits.message.value)
		return adapter_refuse(a, -EMSGSIZE, a->limits.message.name,
				      a->limits.message.value);
	return 0;
}

/* ---------------------------------------------------------------- waiting */

/** CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t
adapter_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * ADAPTER_SECOND + now.tv_nsec;
}

/** When a timeout ends: 0 has ended already, INT64_MAX never does. */
static inline int64_t
adapter_deadline(int64_t timeout_ns)
{
	int64_t now;

	if (timeout_ns == 0)
		return 0;
	now = adapter_now();
	if (timeout_ns < 0 || timeout_ns > INT64_MAX - now)
		return INT64_MAX;
	return now + timeout_ns;
}

/** Nanoseconds until the deadline, at least 0. */
static inline int64_t
adapter_left(int64_t deadline)
{
	int64_t left;

	if (deadline == 0 || deadline == INT64_MAX)
		return deadline;
	left = deadline - adapter_now();
	return left > 0 ? left : 0;
}

/** The error when the deadline has come: it tells a try from a wait. */
static inline int
adapter_expired(int64_t deadline)
{
	return deadline == 0 ? -EAGAIN : -ETIMEDOUT;
}

static inline struct timespec
adapter_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / ADAPTER_SECOND,
				  .tv_nsec = ns % ADAPTER_SECOND };
}

/**
 * Wait for events on fd; 0, or -EAGAIN or -ETIMEDOUT at the deadline. A
 * deadline of 0 does not look: the caller has just tried.
 */
static inline int
adapter_poll(struct adapter *a, int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct timespec left;
	int n;

	if (deadline == 0)
		return -EAGAIN;
	do {
		left = adapter_timespec(adapter_left(deadline));
		n = ADAPTER_SYS(a, ppoll(&p, 1,
					 deadline == INT64_MAX ? NULL : &left,
					 NULL));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return adapter_error(a);
	return n ? 0 : adapter_expired(deadline);
}

/**
 * Sleep a little, twice as long each time up to 1 ms; 0, or -EAGAIN or
 * -ETIMEDOUT at the deadline. *step begins at 0.
 */
static inline int
adapter_backoff(struct adapter *a, int64_t *step, int64_t deadline)
{
	int64_t left = adapter_left(deadline);
	struct timespec t;

	if (left == 0)
		return adapter_expired(deadline);
	*step = *step == 0			? 1000
		: *step < ADAPTER_SECOND / 2000 ? *step * 2
						: *step;
	t = adapter_timespec(*step < left ? *step : left);
	ADAPTER_SYS(a, nanosleep(&t, NULL)); /* EINTR: only looks sooner */
	return 0;
}

/* ------------------------------------------------------------------ names */

/** "<dir>/<name>.<suffix>", where dir is $TMPDIR or /tmp. */
static inline int
adapter_path(char path[ADAPTER_PATH_MAX], const char *name, const char *suffix)
{
	const char *dir = getenv("TMPDIR");
	size_t length = strlen(name);
	int n;

	if (length == 0 || length >= ADAPTER_NAME_MAX || name[0] == '.' ||
	    strchr(name, '/'))
		return -EINVAL;
	n = snprintf(path, ADAPTER_PATH_MAX, "%s/%s.%s",
		     dir && *dir ? dir : "/tmp", name, suffix);
	return n < ADAPTER_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/** Remove the file that adapter_path names. */
static inline int
adapter_unlink_path(const char *name, const char *suffix)
{
	char path[ADAPTER_PATH_MAX];
	int error = adapter_path(path, name, suffix);

	if (error)
		return error;
	return unlink(path) ? -errno : 0;
}

/**
 * Tell the world a number (a port, an identifier) under the name: the file is
 * complete when it appears. -EEXIST if the name is taken.
 */
static inline int
adapter_publish(struct adapter *a, const struct adapter_config *config,
		uint64_t value)
{
	char path[ADAPTER_PATH_MAX], part[ADAPTER_PATH_MAX + 16];
	int fd, error = adapter_path(path, config->name, a->ops->name);

	if (error)
		return error;
	snprintf(part, sizeof(part), "%s.%ld", path, (long)getpid());
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return adapter_error(a);
	errno = ENOSPC; /* a short write does not say so itself */
	if (fchmod(fd, config->permissions ? config->permissions : 0600) ||
	    write(fd, &value, sizeof(value)) != sizeof(value) ||
	    link(part, path))
		error = adapter_error(a);
	close(fd);
	unlink(part);
	return error;
}

/** Read what adapter_publish told; -ENOENT if nobody has. */
static inline int
adapter_lookup(const char *name, const char *suffix, uint64_t *value)
{
	char path[ADAPTER_PATH_MAX];
	int fd, error = adapter_path(path, name, suffix);

	if (error)
		return error;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (read(fd, value, sizeof(*value)) != sizeof(*value))
		error = -EPROTO;
	close(fd);
	return error;
}

/**
 * What adapter_publish told under the name, as soon as it is there; -ENOENT
 * or, when the deadline has passed, -ETIMEDOUT.
 */
static inline int
adapter_find_number(struct adapter *a, const char *name, uint64_t *value,
		    int64_t deadline)
{
	int64_t step = 0;
	int error;

	if (!name)
		return -EINVAL;
	while ((error = adapter_lookup(name, a->ops->name, value)) == -ENOENT)
		if (adapter_backoff(a, &step, deadline))
			return deadline ? -ETIMEDOUT : -ENOENT;
	return error;
}

/* ------------------------------------------------------ is the peer alive */

/* A process, told from a later one with the same number by its start. */
struct adapter_process {
	int32_t pid; /* 0: nobody */
	uint32_t reserved;
	uint64_t start; /* clock ticks after boot */
};

/** The start of process pid, or 0 when it cannot be read. */
static inline uint64_t
adapter_process_start(pid_t pid)
{
	char path[32], text[512], *field;
	ssize_t length;
	int fd, skip;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	field = strrchr(text, ')'); /* the name before may hold anything */
	for (skip = 0; field && skip < 20; skip++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field, NULL, 10) : 0;
}

static inline struct adapter_process
adapter_self(void)
{
	return (struct adapter_process){
		.pid = getpid(), .start = adapter_process_start(getpid())
	};
}

/** False only on proof that the process has ended; counts as system calls. */
static inline bool
adapter_alive(struct adapter *a, struct adapter_process p)
{
	struct pollfd exited = { .events = POLLIN };
	uint64_t start;
	bool alive = true;

	exited.fd = (int)ADAPTER_SYS(a, syscall(SYS_pidfd_open, p.pid, 0));
	if (exited.fd < 0)
		return errno != ESRCH;
	a->syscalls += 5; /* those of the lines below */
	start = adapter_process_start(p.pid);
	if (start && p.start && start != p.start)
		alive = false; /* the number belongs to somebody else now */
	else if (poll(&exited, 1, 0) == 1)
		alive = false; /* has exited, though perhaps unreaped */
	close(exited.fd);
	return alive;
}

/* ------------------------------------------------- mechanisms by their name */

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
