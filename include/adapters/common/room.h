/* SPDX-License-Identifier: MIT */
/*
 * room.h - is there room for so many bytes? To be asked before they are
 * allocated: the system grants shared memory beyond what it has, and ends
 * programs when that is used, not only the one that asked. A typing error in a
 * size must not cost a machine its other programs.
 *
 * What is free is free for everybody: others may take it meanwhile.
 */
#ifndef ADAPTER_ROOM_H
#define ADAPTER_ROOM_H

#include "endpoint.h"

#include <sys/vfs.h>

#define ADAPTER_ROOM_TMPFS 0x01021994 /* statfs.f_type; of a memfd, too */

/* Where a memory cgroup of either version says what it may use, and uses. */
struct adapter_cgroup {
	const char *line; /* in /proc/self/cgroup, before the path */
	const char *root, *most, *used, *inactive, *active;
};

/** The number behind key, at the beginning of a line of a kernel's file. */
static inline uint64_t
adapter_room_number(const char *path, const char *key, uint64_t fallback)
{
	char text[4096], *at = text, *end;
	uint64_t number;

	if (!adapter_kernel_says(path, text, sizeof(text)))
		return fallback;
	while (strncmp(at, key, strlen(key)) != 0) {
		at = strchr(at, '\n');
		if (!at++)
			return fallback;
	}
	at += strlen(key);
	number = strtoull(at, &end, 10);
	return end > at ? number : fallback; /* else it says "max" */
}

static inline void
adapter_room_lower(struct adapter_limit *least, const char *name,
		   uint64_t value)
{
	if (value < least->value)
		*least = (struct adapter_limit){ name, value };
}

/** What this cgroup leaves; files in the page cache make way. */
static inline uint64_t
adapter_room_group(const struct adapter_cgroup *kind, const char *directory)
{
	char path[4096];
	uint64_t most, used, way;

	snprintf(path, sizeof(path), "%s/%s", directory, kind->most);
	most = adapter_room_number(path, "", UINT64_MAX);
	snprintf(path, sizeof(path), "%s/%s", directory, kind->used);
	used = adapter_room_number(path, "", 0);
	snprintf(path, sizeof(path), "%s/memory.stat", directory);
	way = adapter_room_number(path, kind->inactive, 0) +
	      adapter_room_number(path, kind->active, 0);
	used = used > way ? used - way : 0;
	return most == UINT64_MAX ? most : most > used ? most - used : 0;
}

/** What our cgroup and those around it leave. */
static inline void
adapter_room_groups(const struct adapter_cgroup *kind,
		    struct adapter_limit *least)
{
	char groups[2048], path[3072], *at;

	if (!adapter_kernel_says("/proc/self/cgroup", groups, sizeof(groups)))
		return;
	at = strstr(groups, kind->line);
	if (!at)
		return;
	at += strlen(kind->line);
	snprintf(path, sizeof(path), "%s%.*s", kind->root,
		 (int)strcspn(at, "\n"), at);
	while (strlen(path) >= strlen(kind->root)) {
		adapter_room_lower(least, kind->most,
				   adapter_room_group(kind, path));
		*strrchr(path, '/') = '\0';
	}
}

/** What there is of memory, and whose limit that is. */
static inline void
adapter_room_memory(struct adapter_limit *least)
{
	static const struct adapter_cgroup kinds[] = {
		{ "0::", "/sys/fs/cgroup", "memory.max", "memory.current",
		  "inactive_file ", "active_file " },
		{ ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
		  "memory.usage_in_bytes", "total_inactive_file ",
		  "total_active_file " },
	};
	uint64_t kib = adapter_room_number("/proc/meminfo",
					   "MemAvailable:", UINT64_MAX / 1024);

	adapter_room_lower(least, "MemAvailable", kib * 1024);
	adapter_room_groups(&kinds[0], least);
	adapter_room_groups(&kinds[1], least);
}

/**
 * 0 when so many bytes more fit: into the file system of fd, below
 * RLIMIT_FSIZE, and into memory where the file lives there; fd -1: into
 * memory. Else -ENOSPC or -EFBIG, with the limit in *least.
 */
static inline int
adapter_room(int fd, uint64_t size, struct adapter_limit *least)
{
	struct statfs disk;
	bool memory = fd < 0;

	*least = (struct adapter_limit){ "RLIMIT_FSIZE", UINT64_MAX };
	if (fd >= 0)
		least->value = adapter_rlimit(RLIMIT_FSIZE);
	if (size > least->value) /* trying would raise SIGXFSZ */
		return -EFBIG;
	least->value = UINT64_MAX;
	if (fd >= 0 && fstatfs(fd, &disk) == 0) {
		memory = disk.f_type == ADAPTER_ROOM_TMPFS;
		if (disk.f_blocks) /* none: no limit of its own */
			adapter_room_lower(least,
					   "free bytes of the file system",
					   (uint64_t)disk.f_bavail *
						   (uint64_t)disk.f_frsize);
	}
	if (memory)
		adapter_room_memory(least);
	return size > least->value ? -ENOSPC : 0;
}

/** The same for a file that is about to be made in this directory. */
static inline int
adapter_room_in(const char *directory, uint64_t size,
		struct adapter_limit *least)
{
	int error, fd = adapter_fd(
			   open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	*least = (struct adapter_limit){ directory, 0 };
	if (fd < 0)
		return -errno;
	error = adapter_room(fd, size, least);
	close(fd);
	return error;
}

/** Take blocks for the whole file now, so that a map never raises SIGBUS. */
static inline int
adapter_allocate(struct adapter *a, int fd, uint64_t size)
{
	struct adapter_limit least;
	int error = adapter_room(fd, size, &least);

	if (!error)
		error = -ADAPTER_SYS(a, posix_fallocate(fd, 0, (off_t)size));
	return error == -ENOSPC || error == -EFBIG
		       ? adapter_refuse(a, error, least.name, least.value)
		       : error;
}

#endif
