/* SPDX-License-Identifier: MIT */
/*
 * sysv_msg.h - the System V message queue: msgget, msgsnd, msgrcv.
 *
 * A queue in the kernel that keeps whole messages, each with a type from 1 on.
 * A receiver takes the oldest message, or the oldest of a type; so one queue
 * serves as many mailboxes, and answers can be addressed to those who asked.
 * The type is the tag + 1, and recv_tag selects. Any number of processes may
 * send and receive; each message goes to one receiver.
 *
 * Use it for small messages that are selected by their type, or must wait for
 * a receiver that is not running yet. Not for bulk, nor together with poll, nor
 * where waiting needs a limit: there is no timed call, so with a time-out this
 * looks again and again (IPC_NOWAIT), pausing up to 1 ms.
 *
 * kernel.msgmax limits a message, kernel.msgmnb the bytes of all in a queue and
 * their number as well. config.depth lowers the bytes to so many messages of
 * the largest size; more small ones then fit. A message that is too long for
 * the receiver stays where it is (E2BIG); MSG_NOERROR would cut it off.
 *
 * Queues have no names but numbers, told in a file; they outlive all
 * processes, see ipcs(1), until unlink (IPC_RMID) or a restart of the machine.
 * Nobody is told that a peer has gone; that the queue was removed gives -EPIPE.
 *
 * System calls, in order:
 *
 *	create	msgget, msgctl (IPC_SET); the number: open, write, link
 *	attach	open, read, msgctl (IPC_STAT)
 *	send	msgsnd
 *	receive	msgrcv
 *	wait	nanosleep, again and again; without a limit in the call itself
 *	woken	by the kernel, if in the call
 *	close	msgctl (IPC_RMID), unlink
 */
#ifndef ADAPTER_SYSV_MSG_H
#define ADAPTER_SYSV_MSG_H

#include "common/sysv.h"

#include <limits.h>
#include <sys/msg.h>

struct adapter_sysv_letter {
	long type;
	char data[];
};

struct adapter_sysv_msg {
	struct adapter base;
	int queue; /* identifier */
	struct adapter_sysv_letter *letter;
};

static inline int
adapter_sysv_msg_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "kernel.msgmax",
			     adapter_sysctl("kernel/msgmax", 8192) },
		.bytes = { "kernel.msgmnb",
			   adapter_sysctl("kernel/msgmnb", 16384) },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	if (LONG_MAX <= UINT32_MAX)
		limits->tag =
			(struct adapter_limit){ "LONG_MAX - 1", LONG_MAX - 1 };
	return 0;
}

static inline void
adapter_sysv_msg_close(struct adapter *a)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;

	free(q->letter);
	q->letter = NULL;
	a->open = false;
}

static inline int
adapter_sysv_msg_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	int error = adapter_begin(a, config, 0, 0);
	struct adapter_limit *message = &a->limits.message;

	if (error)
		return error;
	if (!config->name)
		return -EINVAL;
	if (message->value > a->limits.bytes.value) /* it would never fit */
		*message = a->limits.bytes;
	if (config->depth > a->limits.bytes.value / message->value)
		return adapter_refuse(a, -EINVAL, a->limits.bytes.name,
				      a->limits.bytes.value);
	q->letter = (struct adapter_sysv_letter *)malloc(sizeof(*q->letter) +
							 message->value);
	return q->letter ? 0 : -ENOMEM;
}

/** Let the queue hold so many messages, unless 0; note what it holds. */
static inline int
adapter_sysv_msg_room(struct adapter *a, size_t depth)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	struct msqid_ds state;

	if (ADAPTER_SYS(a, msgctl(q->queue, IPC_STAT, &state)))
		return adapter_sysv_error(a);
	if (depth) {
		state.msg_qbytes = depth * a->limits.message.value;
		if (ADAPTER_SYS(a, msgctl(q->queue, IPC_SET, &state)))
			return adapter_sysv_error(a);
	}
	a->limits.bytes =
		(struct adapter_limit){ "msg_qbytes", state.msg_qbytes };
	a->limits.depth = a->limits.bytes; /* a message has at least a byte */
	return 0;
}

static inline int
adapter_sysv_msg_create(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	int access = (int)adapter_permissions(config);
	int error = adapter_sysv_msg_begin(a, config);

	if (error)
		return adapter_done(a, error);
	q->queue = ADAPTER_SYS(a, msgget(IPC_PRIVATE, IPC_CREAT | access));
	if (q->queue < 0)
		return adapter_done(a,
				    adapter_sysv_refused(a, "kernel/msgmni"));
	error = adapter_sysv_msg_room(a, config->depth);
	if (!error)
		error = adapter_publish(a, config, (uint64_t)q->queue);
	if (error)
		msgctl(q->queue, IPC_RMID, NULL);
	return adapter_done(a, error);
}

static inline int
adapter_sysv_msg_attach(struct adapter *a, const struct adapter_config *config,
			int64_t timeout_ns)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	int error = adapter_sysv_msg_begin(a, config);
	uint64_t number = 0;

	if (!error)
		error = adapter_find_number(a, config->name, &number,
					    adapter_deadline(timeout_ns));
	q->queue = (int)number;
	if (!error)
		error = adapter_sysv_msg_room(a, 0);
	return adapter_done(a, error);
}

/** After a call that failed: 0 when it is worth another try. */
static inline int
adapter_sysv_msg_again(struct adapter *a, int64_t *step, int64_t deadline)
{
	switch (errno) {
	case EINTR:
		return 0;
	case EAGAIN: /* full */
	case ENOMSG: /* empty */
		return adapter_backoff(a, step, deadline);
	case E2BIG:
		return -EBADMSG;
	default:
		return adapter_sysv_error(a);
	}
}

static inline int
adapter_sysv_msg_send(struct adapter *a, const struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	int flags = timeout_ns < 0 ? 0 : IPC_NOWAIT;
	int error = adapter_check_send(a, msg);

	if (error)
		return error;
	q->letter->type = (long)msg->tag + 1;
	memcpy(q->letter->data, msg->data, msg->length);
	while (!error &&
	       ADAPTER_SYS(a, msgsnd(q->queue, q->letter, msg->length, flags)))
		error = adapter_sysv_msg_again(a, &step, deadline);
	return error;
}

/** Receive the oldest message of a type, or of any (0). */
static inline int
adapter_sysv_msg_take(struct adapter *a, struct adapter_msg *msg, long type,
		      int64_t timeout_ns)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	int flags = timeout_ns < 0 ? 0 : IPC_NOWAIT;
	int error = adapter_check_recv(a, msg);
	ssize_t length = 0;

	while (!error &&
	       (length = ADAPTER_SYS(a, msgrcv(q->queue, q->letter,
					       a->limits.message.value, type,
					       flags))) < 0)
		error = adapter_sysv_msg_again(a, &step, deadline);
	if (error)
		return error;
	if (length == 0)
		return -EBADMSG;
	memcpy(msg->data, q->letter->data, (size_t)length);
	msg->length = (size_t)length;
	msg->tag = (uint32_t)(q->letter->type - 1);
	return 0;
}

static inline int
adapter_sysv_msg_recv(struct adapter *a, struct adapter_msg *msg,
		      int64_t timeout_ns)
{
	return adapter_sysv_msg_take(a, msg, 0, timeout_ns);
}

static inline int
adapter_sysv_msg_recv_tag(struct adapter *a, struct adapter_msg *msg,
			  int64_t timeout_ns)
{
	int error = adapter_check_tag(a, msg);

	return error ? error
		     : adapter_sysv_msg_take(a, msg, (long)msg->tag + 1,
					     timeout_ns);
}

static inline int
adapter_sysv_msg_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_sysv_msg *q = (struct adapter_sysv_msg *)a;
	int64_t deadline = adapter_deadline(timeout_ns), step = 0;
	struct msqid_ds state;
	int error = 0;

	while (!error) {
		if (ADAPTER_SYS(a, msgctl(q->queue, IPC_STAT, &state)))
			return adapter_sysv_error(a);
		if (state.msg_qnum == 0)
			return 0;
		error = adapter_backoff(a, &step, deadline);
	}
	return error;
}

static inline int
adapter_sysv_msg_unlink(const struct adapter_ops *ops, const char *name)
{
	uint64_t number;
	int error = adapter_lookup(name, ops->name, &number);

	if (error)
		return error;
	msgctl((int)number, IPC_RMID, NULL);
	return adapter_unlink_path(ops, name);
}

static const struct adapter_ops adapter_sysv_msg_ops = {
	.name = "sysv_msg",
	.summary = "System V message queue with selection by type",
	.caps = ADAPTER_NAMED | ADAPTER_SELECT_TYPE | ADAPTER_TAGS |
		ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS |
		ADAPTER_PERSISTENT,
	.size = sizeof(struct adapter_sysv_msg),
	.create = adapter_sysv_msg_create,
	.attach = adapter_sysv_msg_attach,
	.send = adapter_sysv_msg_send,
	.recv = adapter_sysv_msg_recv,
	.limits = adapter_sysv_msg_limits,
	.close = adapter_sysv_msg_close,
	.unlink = adapter_sysv_msg_unlink,
	.recv_tag = adapter_sysv_msg_recv_tag,
	.flush = adapter_sysv_msg_flush,
};

#endif
