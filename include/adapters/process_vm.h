/* SPDX-License-Identifier: MIT */
/*
 * process_vm.h - the receiver reads straight from the sender's memory.
 *
 * process_vm_readv() copies between two address spaces in one step. So that
 * the receiver knows what to read, a small ring of descriptors (address,
 * length, tag) lies in shared memory; the messages stay in the sender's private
 * memory until they have been read. reserve and commit fill them in place:
 * then the kernel's copy is the only one.
 *
 * Use it for large messages that one process has anyway (MPI libraries do).
 * For small ones the system call costs more than the second copy saves.
 *
 * The receiver must be allowed to trace the sender: same user, and where Yama
 * restricts that (kernel.yama.ptrace_scope 1) the sender names its receiver
 * with PR_SET_PTRACER. Hence nothing can be sent before the receiver has come.
 *
 * A killed sender takes to its grave what was not read yet; it is counted in
 * a->lost. One that closes writes it to the end of the segment's file instead.
 * Peers look for each other's death every 100 ms while waiting.
 */
#ifndef ADAPTER_PROCESS_VM_H
#define ADAPTER_PROCESS_VM_H

#include "segment.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#define ADAPTER_VM_MESSAGE 65536
#define ADAPTER_VM_DEPTH 64

struct adapter_vm_piece {
	uint64_t address; /* in the sender */
	uint64_t in_file; /* offset, once the sender has closed; else 0 */
	uint32_t length, tag;
};

struct adapter_vm_shared {
	struct adapter_shared head;
	/* 32-bit counters, as a futex must be: sent [0], and taken [1]; what
	   they count is masked, so depth is a power of two */
	uint32_t count[2];
	uint32_t asleep[2]; /* somebody waits for count[i] to change */
	struct adapter_vm_piece pieces[];
};

struct adapter_process_vm {
	struct adapter base;
	struct adapter_segment segment;
	char *memory; /* sender: depth messages; receiver: one, for peek */
	size_t memory_size;
	int32_t receiver; /* to whom we gave leave to read */
};

static const struct adapter_ops adapter_process_vm_ops;

static inline int
adapter_process_vm_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT_MAX", INT_MAX },
		.depth = { "descriptors of process_vm", 1 << 20 },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

static inline struct adapter_vm_shared *
adapter_vm_shared(struct adapter_process_vm *v)
{
	return (struct adapter_vm_shared *)v->segment.shared;
}

static inline size_t
adapter_vm_size(struct adapter *a)
{
	return sizeof(struct adapter_vm_shared) +
	       a->limits.depth.value * sizeof(struct adapter_vm_piece);
}

static inline struct adapter_vm_piece *
adapter_vm_piece(struct adapter *a, uint32_t position)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;

	return &adapter_vm_shared(v)
			->pieces[position & (a->limits.depth.value - 1)];
}

/** Where the sender keeps the message at this position. */
static inline char *
adapter_vm_slot(struct adapter *a, uint32_t position)
{
	return ((struct adapter_process_vm *)a)->memory +
	       (position & (a->limits.depth.value - 1)) *
		       a->limits.message.value;
}

/** Before the sender's memory goes: what was not taken, into the file. */
static inline void
adapter_vm_leave(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	struct adapter_vm_shared *shared = adapter_vm_shared(v);
	uint32_t i = __atomic_load_n(&shared->count[1], __ATOMIC_ACQUIRE);
	off_t at = (off_t)v->segment.size;

	for (; i != shared->count[0]; i++) {
		struct adapter_vm_piece *piece = adapter_vm_piece(a, i);

		if (ADAPTER_SYS(a, pwrite(v->segment.fd, adapter_vm_slot(a, i),
					  piece->length, at)) !=
		    (ssize_t)piece->length)
			return; /* no room: lost, as if killed */
		__atomic_store_n(&piece->in_file, (uint64_t)at,
				 __ATOMIC_RELEASE);
		at += (off_t)piece->length;
	}
}

static inline void
adapter_process_vm_close(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;

	if (a->roles == ADAPTER_SENDER && adapter_segment_mine(&v->segment))
		adapter_vm_leave(a);
	adapter_segment_close(a, &v->segment);
	if (v->memory)
		ADAPTER_SYS(a, munmap(v->memory, v->memory_size));
	v->memory = NULL;
	a->open = false;
}

/** Take the line of my role, and the memory that it needs. */
static inline int
adapter_vm_join(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	int line = a->roles == ADAPTER_SENDER ? 0 : 1;
	void *memory;

	v->memory_size = a->limits.message.value *
			 (line == 0 ? a->limits.depth.value : 1);
	memory = ADAPTER_SYS(a,
			     mmap(NULL, v->memory_size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	if (memory == MAP_FAILED)
		return adapter_error(a);
	v->memory = (char *)memory;
	return adapter_segment_join(a, &v->segment, line, line + 1);
}

static inline int
adapter_process_vm_create(struct adapter *a,
			  const struct adapter_config *config)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	uint64_t depth = 1;
	int error = adapter_begin(a, &adapter_process_vm_ops, config,
				  ADAPTER_VM_MESSAGE, ADAPTER_VM_DEPTH);

	if (error)
		return error;
	while (depth < a->limits.depth.value)
		depth *= 2;
	a->limits.depth.value = depth;
	error = adapter_segment_create(a, &v->segment, config, "process_vm",
				       adapter_vm_size(a));
	if (error)
		return error;
	error = adapter_vm_join(a);
	if (!error) {
		adapter_segment_ready(&v->segment);
		return adapter_ready(a);
	}
	adapter_process_vm_close(a);
	if (config->name)
		adapter_segment_unlink(config->name, "process_vm");
	return error;
}

static inline int
adapter_process_vm_attach(struct adapter *a,
			  const struct adapter_config *config,
			  int64_t timeout_ns)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	int error = adapter_begin(a, &adapter_process_vm_ops, config, 0, 0);

	if (!error && !config->name)
		error = -EINVAL;
	if (!error)
		error = adapter_segment_attach(a, &v->segment, config->name,
					       "process_vm",
					       adapter_deadline(timeout_ns));
	if (error)
		return error;
	if (a->limits.message.value > INT_MAX ||
	    a->limits.depth.value > 1 << 20 ||
	    v->segment.size < adapter_vm_size(a))
		error = -EPROTO;
	else
		error = adapter_vm_join(a);
	if (error)
		adapter_process_vm_close(a);
	return error ? error : adapter_ready(a);
}

static inline int
adapter_process_vm_after_fork(struct adapter *a, bool child)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;

	if (!child)
		return 0;
	ADAPTER_SYS(a, munmap(v->memory, v->memory_size));
	v->memory = NULL;
	a->roles = adapter_opposite(a->roles);
	return adapter_vm_join(a);
}

/** Step a counter, and wake who waits for it. */
static inline void
adapter_vm_step(struct adapter *a, int which)
{
	struct adapter_vm_shared *shared =
		adapter_vm_shared((struct adapter_process_vm *)a);

	__atomic_add_fetch(&shared->count[which], 1, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&shared->asleep[which], 0, __ATOMIC_SEQ_CST))
		ADAPTER_SYS(a, syscall(SYS_futex, &shared->count[which],
				       FUTEX_WAKE, INT_MAX));
}

/** Sleep until a counter is no longer value; -EPIPE when peers are gone. */
static inline int
adapter_vm_sleep(struct adapter *a, int which, uint32_t value, unsigned peers,
		 int64_t deadline)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	struct adapter_vm_shared *shared = adapter_vm_shared(v);
	int64_t left = adapter_left(deadline);
	struct timespec t =
		adapter_timespec(left < ADAPTER_SLICE ? left : ADAPTER_SLICE);

	if (adapter_segment_left(a, &v->segment, peers))
		return -EPIPE;
	if (left == 0)
		return adapter_expired(deadline);
	/* announced before the kernel compares: see adapter_vm_step */
	__atomic_store_n(&shared->asleep[which], 1, __ATOMIC_SEQ_CST);
	ADAPTER_SYS(a, syscall(SYS_futex, &shared->count[which], FUTEX_WAIT,
			       value, &t));
	return 0;
}

/** Let the receiver read here; -EAGAIN when there is none. */
static inline int
adapter_vm_permit(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	int32_t pid = __atomic_load_n(
		&v->segment.shared->members[1].process.pid, __ATOMIC_ACQUIRE);

	if (pid && pid != v->receiver) /* EINVAL: no Yama, no need */
		ADAPTER_SYS(a, prctl(PR_SET_PTRACER, pid, 0, 0, 0));
	v->receiver = pid;
	return pid ? 0 : -EAGAIN;
}

static inline int
adapter_process_vm_reserve(struct adapter *a, struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_vm_shared *shared =
		adapter_vm_shared((struct adapter_process_vm *)a);
	int64_t step = 0, deadline = adapter_deadline(timeout_ns);
	uint32_t taken;
	int error = adapter_check_send(a, msg);

	while (!error) {
		taken = __atomic_load_n(&shared->count[1], __ATOMIC_ACQUIRE);
		if (adapter_vm_permit(a)) {
			if (adapter_segment_left(
				    a,
				    &((struct adapter_process_vm *)a)->segment,
				    ADAPTER_RECEIVER))
				return -EPIPE;
			error = adapter_backoff(a, &step, deadline);
		} else if (shared->count[0] - taken < a->limits.depth.value) {
			msg->data = adapter_vm_slot(a, shared->count[0]);
			return 0;
		} else {
			error = adapter_vm_sleep(a, 1, taken, ADAPTER_RECEIVER,
						 deadline);
		}
	}
	return error;
}

static inline int
adapter_process_vm_commit(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_vm_shared *shared =
		adapter_vm_shared((struct adapter_process_vm *)a);
	struct adapter_vm_piece *piece = adapter_vm_piece(a, shared->count[0]);

	*piece = (struct adapter_vm_piece){
		.address = (uintptr_t)msg->data,
		.length = (uint32_t)msg->length,
		.tag = msg->tag,
	};
	adapter_vm_step(a, 0);
	return 0;
}

static inline int
adapter_process_vm_send(struct adapter *a, const struct adapter_msg *msg,
			int64_t timeout_ns)
{
	struct adapter_msg place = *msg;
	int error = adapter_process_vm_reserve(a, &place, timeout_ns);

	if (error)
		return error;
	memcpy(place.data, msg->data, msg->length);
	return adapter_process_vm_commit(a, &place);
}

/** Read the message at a position; -EPIPE: its memory is gone. */
static inline int
adapter_vm_fetch(struct adapter *a, struct adapter_msg *msg, uint32_t position)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	struct adapter_vm_piece *piece = adapter_vm_piece(a, position);
	uint32_t length = piece->length;
	struct iovec here = { msg->data, length };
	struct iovec there = { (void *)(uintptr_t)piece->address, length };
	uint64_t in_file;
	ssize_t n;

	if (length == 0 || length > a->limits.message.value)
		return -EBADMSG;
	n = ADAPTER_SYS(
		a, process_vm_readv(v->segment.shared->members[0].process.pid,
				    &here, 1, &there, 1, 0));
	/* Else it may have closed, while or before we read. */
	in_file = __atomic_load_n(&piece->in_file, __ATOMIC_ACQUIRE);
	if (n != (ssize_t)length && in_file)
		n = ADAPTER_SYS(a, pread(v->segment.fd, msg->data, length,
					 (off_t)in_file));
	if (n != (ssize_t)length)
		return n < 0 && errno == EPERM ? -EPERM : -EPIPE;
	msg->length = length;
	msg->tag = piece->tag;
	return 0;
}

/** Wait for the next message, and read it to msg->data. */
static inline int
adapter_vm_next(struct adapter *a, struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_vm_shared *shared =
		adapter_vm_shared((struct adapter_process_vm *)a);
	int64_t deadline = adapter_deadline(timeout_ns);
	uint32_t sent, taken = shared->count[1];
	bool gone = false;
	int error;

	while ((sent = __atomic_load_n(&shared->count[0], __ATOMIC_ACQUIRE)) ==
	       taken) {
		if (gone) /* and this was a last look */
			return -EPIPE;
		error = adapter_vm_sleep(a, 0, sent, ADAPTER_SENDER, deadline);
		gone = error == -EPIPE;
		if (error && !gone)
			return error;
	}
	error = adapter_vm_fetch(a, msg, taken);
	if (error == -EPIPE)
		a->lost = sent - taken;
	return error;
}

static inline int
adapter_process_vm_release(struct adapter *a)
{
	adapter_vm_step(a, 1);
	return 0;
}

static inline int
adapter_process_vm_recv(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	int error = adapter_check_recv(a, msg);

	if (!error)
		error = adapter_vm_next(a, msg, timeout_ns);
	return error ? error : adapter_process_vm_release(a);
}

static inline int
adapter_process_vm_peek(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	if (!(a->roles & ADAPTER_RECEIVER))
		return -EBADF;
	msg->data = ((struct adapter_process_vm *)a)->memory;
	return adapter_vm_next(a, msg, timeout_ns);
}

static inline int
adapter_process_vm_flush(struct adapter *a, int64_t timeout_ns)
{
	struct adapter_vm_shared *shared =
		adapter_vm_shared((struct adapter_process_vm *)a);
	int64_t deadline = adapter_deadline(timeout_ns);
	uint32_t taken;
	int error = 0;

	while ((taken = __atomic_load_n(&shared->count[1], __ATOMIC_ACQUIRE)) !=
	       shared->count[0]) {
		if (error) /* -EPIPE: not after it had taken all */
			return error;
		error = adapter_vm_sleep(a, 1, taken, ADAPTER_RECEIVER,
					 deadline);
	}
	return 0;
}

static inline int
adapter_process_vm_unlink(const char *name)
{
	return adapter_segment_unlink(name, "process_vm");
}

static const struct adapter_ops adapter_process_vm_ops = {
	.name = "process_vm",
	.summary = "process_vm_readv: one copy, by the kernel",
	.caps = ADAPTER_NAMED | ADAPTER_ZEROCOPY | ADAPTER_TIMED |
		ADAPTER_PEER_DEATH | ADAPTER_TAGS,
	.size = sizeof(struct adapter_process_vm),
	.create = adapter_process_vm_create,
	.attach = adapter_process_vm_attach,
	.after_fork = adapter_process_vm_after_fork,
	.send = adapter_process_vm_send,
	.recv = adapter_process_vm_recv,
	.limits = adapter_process_vm_limits,
	.close = adapter_process_vm_close,
	.unlink = adapter_process_vm_unlink,
	.reserve = adapter_process_vm_reserve,
	.commit = adapter_process_vm_commit,
	.peek = adapter_process_vm_peek,
	.release = adapter_process_vm_release,
	.flush = adapter_process_vm_flush,
};

#endif
