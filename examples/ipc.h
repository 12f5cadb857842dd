/* SPDX-License-Identifier: MIT
 *
 * ipc.h - what the ipc_* examples share: choosing a mechanism by its name, and
 * moving a file through it
 *
 * The first message tells the length of the file, so that the end is known and
 * the padding is where every message must have the same length (signal).
 */
#ifndef IPC_H
#define IPC_H

#include <adapters/all.h>

#define IPC_PATIENCE (10 * ADAPTER_SECOND) /* for a peer that does nothing */

/* The name that this process has made; removed if it fails. */
static struct {
	const struct adapter_ops *ops;
	const char *name;
} ipc_made;

/** What failed and why, with the limit behind it if there is one; ends. */
static inline __attribute__((noreturn)) void
ipc_fail(const struct adapter *a, const char *what, int error)
{
	fprintf(stderr, "%s: %s", what, strerror(-error));
	if (a && a->refused.name)
		fprintf(stderr, " (%s is %" PRIu64 ")", a->refused.name,
			a->refused.value);
	fprintf(stderr, "\n");
	if (ipc_made.name)
		ipc_made.ops->unlink(ipc_made.ops, ipc_made.name);
	exit(1);
}

/** One line a mechanism: yes, or why not. */
static inline int
ipc_list(const char *(*why_not)(const struct adapter_ops *))
{
	size_t i;

	for (i = 0; i < ADAPTER_COUNT; i++) {
		const struct adapter_ops *ops = adapter_all[i];
		const char *no = why_not(ops);

		printf("%-16s %-4s %s\n", ops->name, no ? "no" : "yes",
		       no ? no : ops->summary);
	}
	return 0;
}

/** An endpoint of the mechanism of this name; ends if it will not do. */
static inline struct adapter *
ipc_choose(const char *name, const char *(*why_not)(const struct adapter_ops *))
{
	const struct adapter_ops *ops = adapter_find(name);
	struct adapter *a;

	if (!ops || why_not(ops)) {
		fprintf(stderr, "%s: %s\n", name,
			ops ? why_not(ops) : "no such mechanism, see --list");
		exit(64);
	}
	a = adapter_new(ops);
	if (!a)
		ipc_fail(NULL, name, -ENOMEM);
	return a;
}

static inline const char *
ipc_missing(const struct adapter_ops *ops)
{
	static char text[64];

	if (!ops->missing)
		return NULL;
	snprintf(text, sizeof(text), "this build lacks %s", ops->missing);
	return text;
}

/** Files must arrive whole. */
static inline const char *
ipc_unfit_for_files(const struct adapter_ops *ops)
{
	if (ops->missing)
		return ipc_missing(ops);
	return ops->caps & ADAPTER_LOSSY ? "may lose messages" : NULL;
}

/** Room for any message of this endpoint. */
static inline struct adapter_msg
ipc_buffer(const struct adapter *a)
{
	size_t most = a->limits.message.value;
	struct adapter_msg msg = { .capacity = most < 8 ? 8 : most };

	msg.data = calloc(1, msg.capacity);
	if (!msg.data)
		ipc_fail(a, "buffer", -ENOMEM);
	return msg;
}

/** Send all that fd holds, and wait until it has been taken. */
static inline void
ipc_send_file(struct adapter *a, int fd)
{
	struct adapter_msg msg = ipc_buffer(a);
	bool padded = a->ops->caps & ADAPTER_FIXED_SIZE;
	struct stat st;
	uint64_t sent = 0;
	ssize_t n = 0;
	int error;

	if (fstat(fd, &st))
		ipc_fail(NULL, "fstat", -errno);
	uint64_t size = (uint64_t)st.st_size;
	memcpy(msg.data, &size, sizeof(size));
	msg.length = padded ? a->limits.message.value : 8;
	for (;;) {
		error = a->ops->send(a, &msg, IPC_PATIENCE);
		if (error)
			ipc_fail(a, "send", error);
		sent += (uint64_t)n;
		if (sent == (uint64_t)st.st_size)
			break;
		n = read(fd, msg.data, a->limits.message.value);
		if (n <= 0)
			ipc_fail(NULL, "read", n < 0 ? -errno : -ENODATA);
		if (!padded)
			msg.length = (size_t)n;
	}
	error = a->ops->flush ? a->ops->flush(a, IPC_PATIENCE) : 0;
	if (error)
		ipc_fail(a, "flush", error);
	printf("sent %" PRIu64 " bytes\n", sent);
	free(msg.data);
}

/** Write what ipc_send_file sends to fd. */
static inline void
ipc_receive_file(struct adapter *a, int fd)
{
	struct adapter_msg msg = ipc_buffer(a);
	uint64_t size = UINT64_MAX, received = 0;
	int error;

	while (received < size) {
		error = a->ops->recv(a, &msg, IPC_PATIENCE);
		if (error)
			ipc_fail(a, "receive", error);
		if (size == UINT64_MAX) {
			memcpy(&size, msg.data, sizeof(size));
			continue;
		}
		if (msg.length > size - received) /* the padding */
			msg.length = size - received;
		if (write(fd, msg.data, msg.length) != (ssize_t)msg.length)
			ipc_fail(NULL, "write", errno ? -errno : -ENOSPC);
		received += msg.length;
	}
	printf("received %" PRIu64 " bytes\n", received);
	free(msg.data);
}

#endif
