/* SPDX-License-Identifier: MIT */
/*
 * watch.h - to be told of each write to a file, by inotify, which sees what
 * happens on this machine only.
 */
#ifndef ADAPTER_WATCH_H
#define ADAPTER_WATCH_H

#include "descriptors.h"

#include <sys/inotify.h>

/** Watch the file that fd has open; *notify becomes readable at each write. */
static inline int
adapter_watch(struct adapter *a, int fd, int *notify)
{
	char path[32];

	*notify = adapter_fd(
		ADAPTER_SYS(a, inotify_init1(IN_CLOEXEC | IN_NONBLOCK)));
	if (*notify < 0 && errno == EMFILE)
		return adapter_refuse_emfile(
			a, "fs.inotify.max_user_instances",
			adapter_sysctl("fs/inotify/max_user_instances", 128));
	if (*notify < 0)
		return adapter_error(a);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (ADAPTER_SYS(a, inotify_add_watch(*notify, path, IN_MODIFY)) >= 0)
		return 0;
	if (errno != ENOSPC)
		return adapter_error(a);
	return adapter_refuse(a, -ENOSPC, "fs.inotify.max_user_watches",
			      adapter_sysctl("fs/inotify/max_user_watches", 0));
}

/** Forget the writes so far. */
static inline void
adapter_watch_forget(struct adapter *a, int notify)
{
	char events[512];

	while (ADAPTER_SYS(a, read(notify, events, sizeof(events))) > 0)
		;
}

#endif
