/* SPDX-License-Identifier: MIT */
/*
 * process.h - is the peer alive? For mechanisms whose kernel object does not
 * tell.
 */
#ifndef ADAPTER_PROCESS_H
#define ADAPTER_PROCESS_H

#include "endpoint.h"

#include <sys/syscall.h>

/* A process, told from a later one with the same number by its start. */
struct adapter_process {
	int32_t pid; /* 0: nobody */
	uint32_t reserved;
	uint64_t start; /* clock ticks after boot */
};

/** The start of process pid, or 0 when it cannot be read. */
static inline uint64_t
adapter_process_start(pid_t pid)
{
	char path[32], text[512], *field;
	int skip;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if (!adapter_kernel_says(path, text, sizeof(text)))
		return 0;
	field = strrchr(text, ')'); /* the name before may hold anything */
	for (skip = 0; field && skip < 20; skip++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field, NULL, 10) : 0;
}

static inline struct adapter_process
adapter_self(void)
{
	return (struct adapter_process){
		.pid = getpid(), .start = adapter_process_start(getpid())
	};
}

/** False only on proof that the process has ended; counts as system calls. */
static inline bool
adapter_alive(struct adapter *a, struct adapter_process p)
{
	struct pollfd exited = { .events = POLLIN };
	uint64_t start;
	bool alive = true;

	exited.fd = adapter_fd(
		(int)ADAPTER_SYS(a, syscall(SYS_pidfd_open, p.pid, 0)));
	if (exited.fd < 0)
		return errno != ESRCH;
	a->syscalls += 5; /* those of the lines below */
	start = adapter_process_start(p.pid);
	if (start && p.start && start != p.start)
		alive = false; /* the number belongs to somebody else now */
	else if (poll(&exited, 1, 0) == 1)
		alive = false; /* has exited, though perhaps unreaped */
	close(exited.fd);
	return alive;
}

#endif
