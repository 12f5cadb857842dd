/* SPDX-License-Identifier: MIT */
/*
 * posix_mq.h - the POSIX message queue: mq_open, mq_send, mq_receive.
 *
 * A queue in the kernel that keeps whole messages, each with a priority: the
 * highest comes first, of equal ones the oldest. Any number of processes may
 * send and receive; each message goes to one receiver. The tag is the priority,
 * 0 to sysconf(_SC_MQ_PRIO_MAX) - 1 (32767).
 *
 * Use it for few and small messages, where priorities matter or where they
 * must wait for a receiver that is not running yet. Not in bulk: by default 10
 * messages of 8192 bytes are the most that a queue holds, for root too, unless
 * the administrator raises fs.mqueue.msg_max and msgsize_max; and what the
 * queues of a user take together counts against RLIMIT_MSGQUEUE.
 *
 * A queue outlives its processes, until mq_unlink or a restart of the machine.
 * Nobody is told that a peer has gone: waiting ends by its time-out.
 *
 * mq_timedsend and mq_timedreceive wait until a moment of CLOCK_REALTIME, which
 * somebody may set meanwhile. So only a moment long past is passed to them, to
 * try once, and ppoll waits, since on Linux a queue is a descriptor.
 *
 * System calls, in order:
 *
 *	create	mq_open, fchmod
 *	attach	mq_open, mq_getattr
 *	send	mq_timedsend
 *	receive	mq_timedreceive
 *	wait	ppoll; without a limit in the call itself
 *	woken	by the kernel, at the other side's call
 *	close	close, mq_unlink
 */
#ifndef ADAPTER_POSIX_MQ_H
#define ADAPTER_POSIX_MQ_H

#include "common/descriptors.h"
#include "common/waiting.h"

#include <mqueue.h>
#include <sys/stat.h>

struct adapter_posix_mq {
	struct adapter base;
	mqd_t queue;
};

static inline int
adapter_posix_mq_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "fs.mqueue.msgsize_max",
			     adapter_sysctl("fs/mqueue/msgsize_max", 8192) },
		.depth = { "fs.mqueue.msg_max",
			   adapter_sysctl("fs/mqueue/msg_max", 10) },
		.tag = { "_SC_MQ_PRIO_MAX - 1",
			 (uint64_t)sysconf(_SC_MQ_PRIO_MAX) - 1 },
	};
	return 0;
}

static inline int
adapter_posix_mq_name(char path[ADAPTER_NAME_MAX + 1], const char *name)
{
	if (!name || strlen(name) >= ADAPTER_NAME_MAX)
		return -EINVAL;
	snprintf(path, ADAPTER_NAME_MAX + 1, "/%s", name);
	return 0;
}

/** Why there is no new queue. */
static inline int
adapter_posix_mq_refused(struct adapter *a)
{
	if (errno == ENOSPC)
		return adapter_refuse(
			a, -ENOSPC, "fs.mqueue.queues_max",
			adapter_sysctl("fs/mqueue/queues_max", 256));
	if (errno == EMFILE)
		return adapter_refuse_emfile(a, "RLIMIT_MSGQUEUE",
					     adapter_rlimit(RLIMIT_MSGQUEUE));
	return adapter_error(a);
}

static inline void
adapter_posix_mq_close(struct adapter *a)
{
	adapter_close_fd(a, &((struct adapter_posix_mq *)a)->queue);
	a->open = false;
}

/** Begin of create and attach. */
static inline int
adapter_posix_mq_begin(struct adapter *a, const struct adapter_config *config,
		       char path[ADAPTER_NAME_MAX + 1])
{
	int error = adapter_begin(a, config, 0, 0);

	((struct adapter_posix_mq *)a)->queue = -1;
	return error ? error : adapter_posix_mq_name(path, config->name);
}

static inline int
adapter_posix_mq_access(const struct adapter *a)
{
	return O_CLOEXEC | (a->roles == ADAPTER_SENDER ? O_WRONLY : O_RDONLY);
}

static inline int
adapter_posix_mq_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_posix_mq *q = (struct adapter_posix_mq *)a;
	mode_t permissions = adapter_permissions(config);
	char path[ADAPTER_NAME_MAX + 1];
	int error = adapter_posix_mq_begin(a, config, path);
	struct mq_attr shape = {
		.mq_maxmsg = (long)a->limits.depth.value,
		.mq_msgsize = (long)a->limits.message.value,
	};

	if (error)
		return error;
	q->queue = adapter_fd(ADAPTER_SYS(
		a, mq_open(path, adapter_posix_mq_access(a) | O_CREAT | O_EXCL,
			   permissions, &shape)));
	if (q->queue < 0)
		return adapter_posix_mq_refused(a);
	if (ADAPTER_SYS(a, fchmod(q->queue, permissions))) /* the umask */
		error = adapter_error(a);
	return adapter_done_named(a, config, error);
}

static inline int
adapter_posix_mq_attach(struct adapter *a, const struct adapter_config *config,
			int64_t timeout_ns)
{
	struct adapter_posix_mq *q = (struct adapter_posix_mq *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	char path[ADAPTER_NAME_MAX + 1];
	int error = adapter_posix_mq_begin(a, config, path);
	struct mq_attr shape;

	if (error)
		return error;
	while ((q->queue = adapter_fd(ADAPTER_SYS(
			a, mq_open(path, adapter_posix_mq_access(a))))) < 0) {
		error = adapter_absent(a, &step, deadline);
		if (error)
			return error;
	}
	if (ADAPTER_SYS(a, mq_getattr(q->queue, &shape)))
		return adapter_done(a, adapter_error(a));
	a->limits.message.value = (uint64_t)shape.mq_msgsize;
	a->limits.depth.value = (uint64_t)shape.mq_maxmsg;
	return adapter_done(a, 0);
}

/** For ever, or long past: try once. */
static inline struct timespec
adapter_posix_mq_until(int64_t timeout_ns)
{
	return adapter_timespec(timeout_ns < 0 ? INT64_MAX : 0);
}

/** After a call that failed: 0 when it is worth another try. */
static inline int
adapter_posix_mq_again(struct adapter *a, short events, int64_t deadline)
{
	if (errno == EINTR)
		return 0;
	if (errno != ETIMEDOUT)
		return adapter_error(a);
	return adapter_poll(a, ((struct adapter_posix_mq *)a)->queue, events,
			    deadline);
}

static inline int
adapter_posix_mq_send(struct adapter *a, const struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	struct adapter_posix_mq *q = (struct adapter_posix_mq *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	const struct timespec until = adapter_posix_mq_until(timeout_ns);
	int error = adapter_check_send(a, msg);

	while (!error) {
		if (ADAPTER_SYS(a, mq_timedsend(
					   q->queue, (const char *)msg->data,
					   msg->length, msg->tag, &until)) == 0)
			return 0;
		error = adapter_posix_mq_again(a, POLLOUT, deadline);
	}
	return error;
}

static inline int
adapter_posix_mq_recv(struct adapter *a, struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	struct adapter_posix_mq *q = (struct adapter_posix_mq *)a;
	int64_t deadline = adapter_deadline(timeout_ns);
	const struct timespec until = adapter_posix_mq_until(timeout_ns);
	int error = adapter_check_recv(a, msg);
	ssize_t length;

	while (!error) {
		length = ADAPTER_SYS(
			a, mq_timedreceive(q->queue, (char *)msg->data,
					   msg->capacity, &msg->tag, &until));
		if (length >= 0) {
			msg->length = (size_t)length;
			return length ? 0 : -EBADMSG;
		}
		error = adapter_posix_mq_again(a, POLLIN, deadline);
	}
	return error;
}

static inline int
adapter_posix_mq_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_posix_mq *q = (struct adapter_posix_mq *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	struct mq_attr state;
	int error = 0;

	while (!error) {
		if (ADAPTER_SYS(a, mq_getattr(q->queue, &state)))
			return adapter_error(a);
		if (state.mq_curmsgs == 0)
			return 0;
		error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

static inline int
adapter_posix_mq_pollfd(struct adapter *a, struct pollfd *out)
{
	if (a->roles != ADAPTER_RECEIVER)
		return -EBADF;
	*out = (struct pollfd){ .fd = ((struct adapter_posix_mq *)a)->queue,
				.events = POLLIN };
	return 0;
}

static inline int
adapter_posix_mq_unlink(const struct adapter_ops *ops, const char *name)
{
	char path[ADAPTER_NAME_MAX + 1];
	int error = adapter_posix_mq_name(path, name);

	(void)ops;
	if (error)
		return error;
	return mq_unlink(path) ? -errno : 0;
}

static const struct adapter_ops adapter_posix_mq_ops = {
	.name = "posix_mq",
	.summary = "POSIX message queue with priorities",
	.caps = ADAPTER_NAMED | ADAPTER_PRIO | ADAPTER_TAGS | ADAPTER_POLLABLE |
		ADAPTER_TIMED | ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS |
		ADAPTER_PERSISTENT,
	.size = sizeof(struct adapter_posix_mq),
	.create = adapter_posix_mq_create,
	.attach = adapter_posix_mq_attach,
	.send = adapter_posix_mq_send,
	.recv = adapter_posix_mq_recv,
	.limits = adapter_posix_mq_limits,
	.close = adapter_posix_mq_close,
	.unlink = adapter_posix_mq_unlink,
	.flush = adapter_posix_mq_flush,
	.pollfd = adapter_posix_mq_pollfd,
};

#endif
