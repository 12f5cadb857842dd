/* SPDX-License-Identifier: MIT */
/*
 * memfd.h - a bounded buffer in a memfd, for one sender and one receiver, and
 * two descriptors that go with it. An unrelated process gets all three over a
 * local socket, which stays open: its end tells that the peer has died.
 */
#ifndef ADAPTER_MEMFD_H
#define ADAPTER_MEMFD_H

#include "buffer.h"
#include "rights.h"
#include "room.h"
#include "unix_socket.h"

#include <sys/mman.h>

enum { ADAPTER_MEMFD_FREE, ADAPTER_MEMFD_FILLED, ADAPTER_MEMFD_MEMORY };

struct adapter_memfd_head { /* in the memory; the buffer follows */
	uint64_t message_size, depth;
} __attribute__((aligned(64)));

struct adapter_memfd {
	struct adapter_socket socket; /* the way in; its end is the peer's */
	struct adapter_memfd_head *head; /* NULL: the memory has not come yet */
	struct adapter_buffer *buffer;
	size_t size;
	int fds[3]; /* FREE and FILLED are the mechanism's */
	bool held; /* a slot is reserved or peeked */
};

static inline void
adapter_memfd_close(struct adapter *a)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	int i;

	if (m->head)
		ADAPTER_SYS(a, munmap(m->head, m->size));
	m->head = NULL;
	for (i = 0; i < 3; i++)
		adapter_close_fd(a, &m->fds[i]);
	adapter_socket_close(a);
}

static inline int
adapter_memfd_begin(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	int error = adapter_begin(a, config, ADAPTER_BUFFER_MESSAGE,
				  ADAPTER_BUFFER_DEPTH);

	adapter_socket_clear(&m->socket, SOCK_SEQPACKET);
	m->fds[0] = m->fds[1] = m->fds[2] = -1;
	return error;
}

static inline int
adapter_memfd_map(struct adapter *a, size_t size)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	void *map = ADAPTER_SYS(a, mmap(NULL, size, PROT_READ | PROT_WRITE,
					MAP_SHARED,
					m->fds[ADAPTER_MEMFD_MEMORY], 0));

	if (map == MAP_FAILED)
		return adapter_error(a);
	m->head = (struct adapter_memfd_head *)map;
	m->buffer = (struct adapter_buffer *)(m->head + 1);
	m->size = size;
	return 0;
}

/** The creator's. It cannot shrink, which would bring SIGBUS upon its users. */
static inline int
adapter_memfd_make(struct adapter *a, const struct adapter_config *config)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	size_t size = adapter_buffer_size(a, sizeof(*m->head));
	int fd, error;

	if (size == 0)
		return -EINVAL;
	fd = adapter_fd(
		ADAPTER_SYS(a, memfd_create(a->ops->name,
					    MFD_CLOEXEC | MFD_ALLOW_SEALING)));
	if (fd < 0)
		return adapter_error(a);
	m->fds[ADAPTER_MEMFD_MEMORY] = fd;
	if (ADAPTER_SYS(a, fchmod(fd, adapter_permissions(config))))
		return adapter_error(a);
	error = adapter_allocate(a, fd, size);
	if (!error && ADAPTER_SYS(a, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)))
		error = adapter_error(a);
	if (!error)
		error = adapter_memfd_map(a, size);
	if (error)
		return error;
	m->head->message_size = a->limits.message.value;
	m->head->depth = a->limits.depth.value;
	return 0;
}

/** Hand the descriptors to the peer, who has come. */
static inline int
adapter_memfd_give(struct adapter *a)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	char byte = 0;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	union adapter_rights rights;

	adapter_rights_give(&message, &rights, m->fds, 3);
	return ADAPTER_SYS(a, sendmsg(m->socket.fd, &message,
				      MSG_NOSIGNAL | MSG_DONTWAIT)) < 0
		       ? adapter_error(a)
		       : 0;
}

/** The sizes are those of the creator; what they need must be there. */
static inline int
adapter_memfd_adopt(struct adapter *a)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	struct stat st;
	size_t size;
	int error;

	if (ADAPTER_SYS(a, fstat(m->fds[ADAPTER_MEMFD_MEMORY], &st)))
		return adapter_error(a);
	if (!S_ISREG(st.st_mode) || st.st_size <= (off_t)sizeof(*m->head))
		return -EPROTO;
	error = adapter_memfd_map(a, (size_t)st.st_size);
	if (error)
		return error;
	a->limits.message.value = m->head->message_size;
	a->limits.depth.value = m->head->depth;
	size = adapter_buffer_size(a, sizeof(*m->head));
	return size && size <= m->size ? 0 : -EPROTO;
}

static inline int
adapter_memfd_take(struct adapter *a, int64_t deadline)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	int flags =
		MSG_CMSG_CLOEXEC | (deadline != INT64_MAX ? MSG_DONTWAIT : 0);
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	union adapter_rights rights;
	ssize_t n;
	int error;

	adapter_rights_accept(&message, &rights, 3);
	while ((n = ADAPTER_SYS(a, recvmsg(m->socket.fd, &message, flags))) <
	       0) {
		error = errno == EINTR	  ? 0
			: errno == EAGAIN ? adapter_poll(a, m->socket.fd,
							 POLLIN, deadline)
					  : adapter_error(a);
		if (error)
			return error;
	}
	if (n == 0)
		return -EPIPE;
	adapter_rights_take(&message, m->fds, 3);
	if (m->fds[0] < 0 || m->fds[1] < 0 || m->fds[2] < 0)
		return message.msg_flags & MSG_CTRUNC
			       ? adapter_refuse(a, -EMFILE, "RLIMIT_NOFILE",
						adapter_rlimit(RLIMIT_NOFILE))
			       : -EBADMSG;
	return adapter_memfd_adopt(a);
}

/** The first operation of each side: the creator hands the descriptors out. */
static inline int
adapter_memfd_meet(struct adapter *a, int64_t deadline)
{
	struct adapter_memfd *m = (struct adapter_memfd *)a;
	int error;

	if (!m->head)
		return adapter_memfd_take(a, deadline);
	if (m->socket.listener < 0)
		return 0;
	error = adapter_socket_accept(a, deadline);
	return error ? error : adapter_memfd_give(a);
}

#endif
