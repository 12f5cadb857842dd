/* SPDX-License-Identifier: MIT */
/*
 * vm_ring.h - the ring of descriptions (where a message lies, how long it is)
 * in which the two sides of process_vm.h meet: a posix_shm_sem.h.
 */
#ifndef ADAPTER_VM_RING_H
#define ADAPTER_VM_RING_H

#include "../posix_shm_sem.h"
#include "vm_memory.h"

#include <limits.h>

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

#endif
