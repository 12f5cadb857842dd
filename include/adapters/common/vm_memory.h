/* SPDX-License-Identifier: MIT */
/*
 * vm_memory.h - the sender's memory of process_vm.h, and how the receiver reads
 * it: while the sender lives by process_vm_readv(), and what was left when it
 * closed from the end of the segment's file.
 */
#ifndef ADAPTER_VM_MEMORY_H
#define ADAPTER_VM_MEMORY_H

#include "shared_buffer.h"

#include <sys/prctl.h>
#include <sys/uio.h>

struct adapter_vm_piece { /* what goes through the ring */
	uint64_t address; /* in the sender */
	uint64_t in_file; /* offset, once the sender has closed; else 0 */
	uint64_t length;
};

struct adapter_process_vm {
	struct adapter base;
	struct adapter_shm ring;
	char *memory; /* sender: depth messages; receiver: one, for peek */
	size_t memory_size;
	int32_t receiver; /* to whom we gave leave to read */
};

/** Where the sender keeps the message of this number. */
static inline char *
adapter_vm_slot(struct adapter *a, uint64_t number)
{
	return ((struct adapter_process_vm *)a)->memory +
	       number % a->limits.depth.value * a->limits.message.value;
}

/** Before the sender's memory goes: what was not taken, into the file. */
static inline void
adapter_vm_leave(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	struct adapter_buffer *b = v->ring.buffer;
	uint64_t i = __atomic_load_n(&b->taken, __ATOMIC_ACQUIRE);
	uint64_t most = adapter_rlimit(RLIMIT_FSIZE);
	off_t at = (off_t)v->ring.segment.size;

	for (; i != b->put; i++) {
		struct adapter_vm_piece *piece =
			(struct adapter_vm_piece *)adapter_slot(&v->ring.base,
								b->slots, i)
				->data;

		if ((uint64_t)at + piece->length > most || /* SIGXFSZ */
		    ADAPTER_SYS(a, pwrite(v->ring.segment.fd,
					  adapter_vm_slot(a, i), piece->length,
					  at)) != (ssize_t)piece->length)
			return; /* no room: lost, as if killed */
		__atomic_store_n(&piece->in_file, (uint64_t)at,
				 __ATOMIC_RELEASE);
		at += (off_t)piece->length;
	}
}

/** The memory of this side. */
static inline int
adapter_vm_memory(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	uint64_t messages =
		a->roles == ADAPTER_SENDER ? a->limits.depth.value : 1;
	struct adapter_limit least;
	void *memory;
	int error;

	v->memory_size = messages * a->limits.message.value;
	error = adapter_room(-1, v->memory_size, &least);
	if (error)
		return adapter_refuse(a, error, least.name, least.value);
	memory = ADAPTER_SYS(a,
			     mmap(NULL, v->memory_size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	if (memory == MAP_FAILED)
		return adapter_error(a);
	v->memory = (char *)memory;
	return 0;
}

/** Let the receiver read here; false when there is none. */
static inline bool
adapter_vm_permit(struct adapter *a)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	int32_t pid =
		__atomic_load_n(&v->ring.segment.shared->members[1].process.pid,
				__ATOMIC_ACQUIRE);

	if (pid && pid != v->receiver) /* EINVAL: no Yama, no need */
		ADAPTER_SYS(a, prctl(PR_SET_PTRACER, pid, 0, 0, 0));
	v->receiver = pid;
	return pid;
}

/** Copy what a piece describes; -EPIPE: its memory is gone. */
static inline int
adapter_vm_fetch(struct adapter *a, struct adapter_msg *msg,
		 const struct adapter_vm_piece *piece)
{
	struct adapter_process_vm *v = (struct adapter_process_vm *)a;
	size_t length = piece->length;
	struct iovec here = { msg->data, length };
	struct iovec there = { (void *)(uintptr_t)piece->address, length };
	int32_t sender = v->ring.segment.shared->members[0].process.pid;
	uint64_t in_file;
	ssize_t n;

	if (length == 0 || length > a->limits.message.value)
		return -EBADMSG;
	n = ADAPTER_SYS(a, process_vm_readv(sender, &here, 1, &there, 1, 0));
	/* Else it may have closed, while or before we read. */
	in_file = __atomic_load_n(&piece->in_file, __ATOMIC_ACQUIRE);
	if (n != (ssize_t)length && in_file)
		n = ADAPTER_SYS(a, pread(v->ring.segment.fd, msg->data, length,
					 (off_t)in_file));
	if (n != (ssize_t)length)
		return n < 0 && errno == EPERM ? -EPERM : -EPIPE;
	msg->length = length;
	return 0;
}

#endif
