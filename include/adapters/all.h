/* SPDX-License-Identifier: MIT */
/*
 * all.h - every mechanism, to choose one by its name at run time.
 */
#ifndef ADAPTER_ALL_H
#define ADAPTER_ALL_H

#include "pipe.h"
#include "fifo.h"
#include "posix_mq.h"
#include "sysv_msg.h"
#include "unix_stream.h"
#include "unix_dgram.h"
#include "unix_seqpacket.h"
#include "tcp.h"
#include "udp.h"
#include "udp_multicast.h"
#include "mmap_file.h"
#include "file.h"
#include "sysv_shm.h"
#include "posix_shm_sem.h"
#include "posix_shm_mutex.h"
#include "eventfd.h"
#include "signal.h"
#include "rpc.h"
#include "vmsplice.h"
#include "process_vm.h"
#include "ck_ring.h"
#include "zmq.h"
#include "nng.h"
#include "ring.h"

static const struct adapter_ops *const adapter_all[] = {
	&adapter_pipe_ops,
	&adapter_fifo_ops,
	&adapter_posix_mq_ops,
	&adapter_sysv_msg_ops,
	&adapter_unix_stream_ops,
	&adapter_unix_dgram_ops,
	&adapter_unix_seqpacket_ops,
	&adapter_tcp_ops,
	&adapter_udp_ops,
	&adapter_udp_multicast_ops,
	&adapter_mmap_file_ops,
	&adapter_file_ops,
	&adapter_sysv_shm_ops,
	&adapter_posix_shm_sem_ops,
	&adapter_posix_shm_mutex_ops,
	&adapter_eventfd_ops,
	&adapter_signal_ops,
	&adapter_rpc_ops,
	&adapter_vmsplice_ops,
	&adapter_process_vm_ops,
	&adapter_ck_ring_spsc_ops,
	&adapter_ck_ring_mpmc_ops,
	&adapter_zmq_ops,
	&adapter_nng_ops,
	&adapter_shmring_spsc_ops,
	&adapter_shmring_mpmc_ops,
};

#define ADAPTER_COUNT (sizeof(adapter_all) / sizeof(adapter_all[0]))

/** The mechanism of this name, or NULL. */
static inline const struct adapter_ops *
adapter_find(const char *name)
{
	size_t i;

	for (i = 0; i < ADAPTER_COUNT; i++)
		if (strcmp(adapter_all[i]->name, name) == 0)
			return adapter_all[i];
	return NULL;
}

#endif
