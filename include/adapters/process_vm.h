/* SPDX-License-Identifier: MIT */
/*
 * process_vm.h - the receiver reads straight from the sender's memory.
 *
 * process_vm_readv() copies between two address spaces in one step. So that
 * the receiver knows what to read, descriptions of the messages (address,
 * length) go through a posix_shm_sem.h; the messages stay in the sender's
 * private memory until they have been read. reserve and commit fill them in
 * place: then the kernel's copy is the only one.
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

#include "posix_shm_sem.h"
#include "vm_memory.h"

#include <limits.h>

static const struct adapter_ops adapter_process_vm_ops;

#define ADAPTER_VM_MESSAGE 65536
#define ADAPTER_VM_DEPTH 64
#define ADAPTER_VM_DEPTH_MAX (1 << 20)

static inline int
adapter_process_vm_limits(struct adapter_limits *limits)
{
	*limits = (struct adapter_limits){
		.message = { "INT_MAX", INT_MAX },
		.depth = { "descriptions of process_vm", ADAPTER_VM_DEPTH_MAX },
		.tag = { "UINT32_MAX", UINT32_MAX },
	};
	return 0;
}

/* The ring's endpoint: a posix_shm_sem of another name. */
static const struct adapter_ops adapter_vm_ring_ops = {
	.name = "process_vm",
	.caps = ADAPTER_NAMED,
	.size = sizeof(struct adapter_shm),
	.limits = adapter_buffer_limits,
	.close = adapter_shm_close,
	.unlink = adapter_segment_unlink,
};

static inline struct adapter *
adapter_vm_ring(struct adapter *a)
{
	return &((struct adapter_process_vm *)a)->ring.base;
}

/** After calls for the ring: its system calls are ours. */
static inline int
adapter_vm_counted(struct adapter *a, int result)
{
	a->syscalls += adapter_vm_ring(a)->syscalls;
	adapter_vm_ring(a)->syscalls = 0;
	return result;
}

static inline void
adapter_process_vm_close(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;

	if (v->memory && a->roles == ADAPTER_SENDER &&
	    adapter_segment_mine(&v->ring.segment))
		adapter_vm_leave(a);
	if (v->ring.base.open)
		adapter_shm_close(&v->ring.base);
	if (v->memory)
		ADAPTER_SYS(a, munmap(v->memory, v->memory_size));
	v->memory = NULL;
	a->open = false;
}

/** Attach within the time-out, or create if there is none (NULL). */
static inline int
adapter_vm_open(struct adapter *a, const struct adapter_config *config,
		const int64_t *timeout_ns)
{
	int error =
		adapter_begin(a, config, ADAPTER_VM_MESSAGE, ADAPTER_VM_DEPTH);
	struct adapter *ring = adapter_vm_ring(a);
	struct adapter_config pieces = *config;

	pieces.message_size = sizeof(struct adapter_vm_piece);
	pieces.depth = a->limits.depth.value;
	ring->ops = &adapter_vm_ring_ops;
	if (!error)
		error = timeout_ns
				? adapter_posix_shm_sem_attach(ring, &pieces,
							       *timeout_ns)
				: adapter_posix_shm_sem_create(ring, &pieces);
	if (error && ring->refused.name)
		a->refused = ring->refused;
	if (!error) {
		a->limits.depth.value = ring->limits.depth.value;
		error = a->limits.depth.value > ADAPTER_VM_DEPTH_MAX ||
					ring->limits.message.value !=
						pieces.message_size
				? -EPROTO
				: adapter_vm_memory(a);
		if (error && !timeout_ns && config->name)
			adapter_segment_unlink(a->ops, config->name);
	}
	return adapter_vm_counted(a, adapter_done(a, error));
}

static inline int
adapter_process_vm_create(struct adapter *a,
			  const struct adapter_config *config)
{
	return adapter_vm_open(a, config, NULL);
}

static inline int
adapter_process_vm_attach(struct adapter *a,
			  const struct adapter_config *config,
			  int64_t timeout_ns)
{
	return adapter_vm_open(a, config, &timeout_ns);
}

static inline int
adapter_process_vm_after_fork(struct adapter *a, bool child)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	int error;

	if (!child)
		return 0;
	ADAPTER_SYS(a, munmap(v->memory, v->memory_size));
	v->memory = NULL;
	a->roles = adapter_opposite(a->roles);
	error = adapter_vm_memory(a);
	return error ? error : adapter_shm_after_fork(&v->ring.base, child);
}

static inline int
adapter_process_vm_reserve(struct adapter *a, struct adapter_msg *msg,
			   int64_t timeout_ns)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	struct adapter_wait w = adapter_wait_for(timeout_ns);
	struct adapter_msg piece = { .length =
					     sizeof(struct adapter_vm_piece) };
	int error = adapter_check_send(a, msg);

	if (!error)
		error = adapter_posix_shm_sem_reserve(&v->ring.base, &piece,
						      timeout_ns);
	while (!error && !adapter_vm_permit(a))
		error = adapter_members_wait(&v->ring.base, &v->ring.segment,
					     ADAPTER_RECEIVER, &w);
	if (!error)
		msg->data = adapter_vm_slot(a, v->ring.buffer->put);
	return adapter_vm_counted(a, error);
}

static inline int
adapter_process_vm_commit(struct adapter *a, const struct adapter_msg *msg)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	struct adapter_vm_piece piece = { .address = (uintptr_t)msg->data,
					  .length = msg->length };
	struct adapter_msg put = { .length = sizeof(piece), .tag = msg->tag };
	struct adapter_slot *slot =
		adapter_buffer_free(&v->ring.base, v->ring.buffer);

	if (!slot)
		return -EINVAL; /* nothing was reserved */
	memcpy(slot->data, &piece, sizeof(piece));
	return adapter_vm_counted(
		a, adapter_posix_shm_sem_commit(&v->ring.base, &put));
}

/** Wait for the next message, and read it to msg->data. */
static inline int
adapter_vm_next(struct adapter *a, struct adapter_msg *msg, int64_t timeout_ns)
{
	struct adapter_buffer *b =
		((struct adapter_process_vm *)a)->ring.buffer;
	struct adapter_msg piece = { .data = NULL };
	int error = adapter_vm_counted(
		a, adapter_posix_shm_sem_peek(adapter_vm_ring(a), &piece,
					      timeout_ns));

	if (error)
		return error;
	if (piece.length != sizeof(struct adapter_vm_piece))
		return -EBADMSG;
	error = adapter_vm_fetch(a, msg,
				 (const struct adapter_vm_piece *)piece.data);
	if (error == -EPIPE)
		a->lost = __atomic_load_n(&b->put, __ATOMIC_ACQUIRE) - b->taken;
	msg->tag = piece.tag;
	return error;
}

static inline int
adapter_process_vm_release(struct adapter *a)
{
	return adapter_vm_counted(
		a, adapter_posix_shm_sem_release(adapter_vm_ring(a)));
}

static inline int
adapter_process_vm_peek(struct adapter *a, struct adapter_msg *msg,
			int64_t timeout_ns)
{
	msg->data = ((struct adapter_process_vm *)a)->memory;
	return adapter_vm_next(a, msg, timeout_ns);
}

static inline int
adapter_process_vm_send(struct adapter *a, const struct adapter_msg *msg,
			int64_t timeout_ns)
{
	return adapter_buffer_send(&adapter_process_vm_ops, a, msg, timeout_ns);
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
adapter_process_vm_flush(struct adapter *a, int64_t timeout_ns)
{
	return adapter_vm_counted(
		a, adapter_shm_flush(adapter_vm_ring(a), timeout_ns));
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
	.unlink = adapter_segment_unlink,
	.reserve = adapter_process_vm_reserve,
	.commit = adapter_process_vm_commit,
	.peek = adapter_process_vm_peek,
	.release = adapter_process_vm_release,
	.flush = adapter_process_vm_flush,
};

#endif
