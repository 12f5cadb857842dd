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
 *
 * System calls, in order:
 *
 *	create	shm_open, posix_fallocate, mmap, sem_init (posix_shm_sem.h);
 *		mmap (the memory)
 *	attach	shm_open, fstat, mmap
 *	send	sem_trywait, sem_post (posix_shm_sem.h); once before: prctl
 *		(PR_SET_PTRACER)
 *	receive	sem_trywait, sem_post (posix_shm_sem.h); between them:
 *		process_vm_readv (common/vm_memory.h)
 *	wait	sem_clockwait (a futex), 100 ms at a time
 *	woken	by the other side's sem_post
 *	close	pwrite (what was not read), munmap, close, shm_unlink
 */
#ifndef ADAPTER_PROCESS_VM_H
#define ADAPTER_PROCESS_VM_H

#include "common/vm_ring.h"

static const struct adapter_ops adapter_process_vm_ops;

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
		return -ENOMSG; /* nothing was reserved */
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
