/* SPDX-License-Identifier: MIT */
/*
 * all.h - every mechanism, to choose one by its name at run time.
 */
#ifndef ADAPTER_ALL_H
#define ADAPTER_ALL_H

#if __has_include("../adapters/pipe.h")
#include "pipe.h"
#endif
#if __has_include("../adapters/fifo.h")
#include "fifo.h"
#endif
#if __has_include("../adapters/posix_mq.h")
#include "posix_mq.h"
#endif
#if __has_include("../adapters/sysv_msg.h")
#include "sysv_msg.h"
#endif
#if __has_include("../adapters/unix_stream.h")
#include "unix_stream.h"
#endif
#if __has_include("../adapters/unix_dgram.h")
#include "unix_dgram.h"
#endif
#if __has_include("../adapters/unix_seqpacket.h")
#include "unix_seqpacket.h"
#endif
#if __has_include("../adapters/tcp.h")
#include "tcp.h"
#endif
#if __has_include("../adapters/udp.h")
#include "udp.h"
#endif
#if __has_include("../adapters/udp_multicast.h")
#include "udp_multicast.h"
#endif
#if __has_include("../adapters/mmap_file.h")
#include "mmap_file.h"
#endif
#if __has_include("../adapters/file.h")
#include "file.h"
#endif
#if __has_include("../adapters/sysv_shm.h")
#include "sysv_shm.h"
#endif
#if __has_include("../adapters/posix_shm_sem.h")
#include "posix_shm_sem.h"
#endif
#if __has_include("../adapters/posix_shm_mutex.h")
#include "posix_shm_mutex.h"
#endif
#if __has_include("../adapters/eventfd.h")
#include "eventfd.h"
#endif
#if __has_include("../adapters/signal.h")
#include "signal.h"
#endif
#if __has_include("../adapters/rpc.h")
#include "rpc.h"
#endif
#if __has_include("../adapters/vmsplice.h")
#include "vmsplice.h"
#endif
#if __has_include("../adapters/process_vm.h")
#include "process_vm.h"
#endif
#if __has_include("../adapters/ck_ring.h")
#include "ck_ring.h"
#endif
#if __has_include("../adapters/zmq.h")
#include "zmq.h"
#endif
#if __has_include("../adapters/nng.h")
#include "nng.h"
#endif
#if __has_include("../adapters/ring.h")
#include "ring.h"
#endif

static const struct adapter_ops *const adapter_all[] = {
#if __has_include("../adapters/pipe.h")
	&adapter_pipe_ops,
#endif
#if __has_include("../adapters/fifo.h")
	&adapter_fifo_ops,
#endif
#if __has_include("../adapters/posix_mq.h")
	&adapter_posix_mq_ops,
#endif
#if __has_include("../adapters/sysv_msg.h")
	&adapter_sysv_msg_ops,
#endif
#if __has_include("../adapters/unix_stream.h")
	&adapter_unix_stream_ops,
#endif
#if __has_include("../adapters/unix_dgram.h")
	&adapter_unix_dgram_ops,
#endif
#if __has_include("../adapters/unix_seqpacket.h")
	&adapter_unix_seqpacket_ops,
#endif
#if __has_include("../adapters/tcp.h")
	&adapter_tcp_ops,
#endif
#if __has_include("../adapters/udp.h")
	&adapter_udp_ops,
#endif
#if __has_include("../adapters/udp_multicast.h")
	&adapter_udp_multicast_ops,
#endif
#if __has_include("../adapters/mmap_file.h")
	&adapter_mmap_file_ops,
#endif
#if __has_include("../adapters/file.h")
	&adapter_file_ops,
#endif
#if __has_include("../adapters/sysv_shm.h")
	&adapter_sysv_shm_ops,
#endif
#if __has_include("../adapters/posix_shm_sem.h")
	&adapter_posix_shm_sem_ops,
#endif
#if __has_include("../adapters/posix_shm_mutex.h")
	&adapter_posix_shm_mutex_ops,
#endif
#if __has_include("../adapters/eventfd.h")
	&adapter_eventfd_ops,
#endif
#if __has_include("../adapters/signal.h")
	&adapter_signal_ops,
#endif
#if __has_include("../adapters/rpc.h")
	&adapter_rpc_ops,
#endif
#if __has_include("../adapters/vmsplice.h")
	&adapter_vmsplice_ops,
#endif
#if __has_include("../adapters/process_vm.h")
	&adapter_process_vm_ops,
#endif
#if __has_include("../adapters/ck_ring.h")
	&adapter_ck_ring_spsc_ops,
	&adapter_ck_ring_mpmc_ops,
#endif
#if __has_include("../adapters/zmq.h")
	&adapter_zmq_ops,
#endif
#if __has_include("../adapters/nng.h")
	&adapter_nng_ops,
#endif
#if __has_include("../adapters/ring.h")
	&adapter_shmring_spsc_ops,
	&adapter_shmring_mpmc_ops,
#endif
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
