/* SPDX-License-Identifier: MIT */
/*
 * rights.h - descriptors that go with a message through a local socket
 * (SCM_RIGHTS): the receiver gets copies, under numbers of its own.
 */
#ifndef ADAPTER_RIGHTS_H
#define ADAPTER_RIGHTS_H

#include "endpoint.h"

#include <sys/socket.h>

#define ADAPTER_RIGHTS_MAX 3

union adapter_rights { /* the control part of a message */
	struct cmsghdr header;
	char space[CMSG_SPACE(ADAPTER_RIGHTS_MAX * sizeof(int))];
};

/** Let the message that is about to be sent bring these descriptors. */
static inline void
adapter_rights_give(struct msghdr *m, union adapter_rights *r, const int *fds,
		    size_t count)
{
	*r = (union adapter_rights){ .space = { 0 } };
	r->header.cmsg_level = SOL_SOCKET;
	r->header.cmsg_type = SCM_RIGHTS;
	r->header.cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(&r->header), fds, count * sizeof(int));
	m->msg_control = r->space;
	m->msg_controllen = CMSG_SPACE(count * sizeof(int));
}

/** Let the next message received bring as many. */
static inline void
adapter_rights_accept(struct msghdr *m, union adapter_rights *r, size_t count)
{
	m->msg_control = r->space;
	m->msg_controllen = CMSG_SPACE(count * sizeof(int));
}

/** Those that a message has brought, all or as many as there was room for. */
static inline size_t
adapter_rights_take(struct msghdr *m, int *fds, size_t count)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(m);
	size_t i, brought;

	if (!header || header->cmsg_type != SCM_RIGHTS)
		return 0;
	brought = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	brought = brought < count ? brought : count;
	memcpy(fds, CMSG_DATA(header), brought * sizeof(int));
	for (i = 0; i < brought; i++)
		fds[i] = adapter_fd(fds[i]);
	return brought;
}

/** What to say of a descriptor that came; without one the kernel dropped it. */
static inline int
adapter_rights_result(struct adapter *a, int *fd)
{
	int result = *fd;

	*fd = -1;
	return result >= 0 ? result
			   : adapter_refuse(a, -EMFILE, "RLIMIT_NOFILE",
					    adapter_rlimit(RLIMIT_NOFILE));
}

#endif
