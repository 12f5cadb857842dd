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

/* The names that this process has made; removed however it ends. */
static struct {
	const struct adapter_ops *ops;
	const char *names[2];
	pid_t maker;
} ipc_made;

static inline void
ipc_remove(void)
{
	int i;

	for (i = 0; i < 2 && getpid() == ipc_made.maker; i++)
		if (ipc_made.names[i])
			ipc_made.ops->unlink(ipc_made.ops, ipc_made.names[i]);
}

/** Make the object of this name, unless it is NULL, or a pair before fork. */
static inline int
ipc_create(struct adapter *a, const struct adapter_config *config)
{
	int error = a->ops->create(a, config);

	if (error || !config->name)
		return error;
	if (!ipc_made.ops)
		atexit(ipc_remove);
	ipc_made.ops = a->ops;
	ipc_made.maker = getpid();
	ipc_made.names[ipc_made.names[0] != NULL] = config->name;
	return 0;
}

/** What failed and why, with the limit behind it if there is one; ends. */
static inline __attribute__((noreturn)) void
ipc_fail(const struct adapter *a, const char *what, int error)
{
	fprintf(stderr, "%s: %s", what, strerror(-error));
	if (a && a->refused.name)
		fprintf(stderr, " (%s is %" PRIu64 ")", a->refused.name,
			a->refused.value);
	fprintf(stderr, "\n");
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

/** The endpoint that `PROGRAM -m MECHANISM` asks for; --list ends here. */
static inline struct adapter *
ipc_start(int argc, char **argv, const char *program,
	  const char *(*why_not)(const struct adapter_ops *))
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		exit(ipc_list(why_not));
	if (argc != 3 || strcmp(argv[1], "-m") != 0) {
		fprintf(stderr, "usage: %s --list | -m MECHANISM\n", program);
		exit(64);
	}
	setvbuf(stdout, NULL, _IOLBF, 0); /* nothing unwritten at fork */
	return ipc_choose(argv[2], why_not);
}

/**
 * A child, joined with this process by as many endpoints as there are
 * configurations, in which it has the opposite roles; 0 in the child. Fork
 * comes after or before create, as the mechanism needs.
 */
static inline pid_t
ipc_fork(struct adapter **a, struct adapter_config *config, int count)
{
	bool related = a[0]->ops->caps & ADAPTER_FORK_ONLY;
	int i, error = 0;
	pid_t child;

	for (i = 0; i < count && related && !error; i++) {
		config[i].name = NULL;
		error = ipc_create(a[i], &config[i]);
	}
	child = error ? -1 : fork();
	if (error || child < 0)
		ipc_fail(a[0], "create", error ? error : -errno);
	for (i = 0; i < count && !error; i++) {
		if (child == 0)
			config[i].roles = adapter_opposite(config[i].roles);
		error = related ? a[i]->ops->after_fork(a[i], child == 0)
			: child ? ipc_create(a[i], &config[i])
				: a[i]->ops->attach(a[i], &config[i],
						    IPC_PATIENCE);
	}
	if (error)
		ipc_fail(a[i - 1], "join", error);
	return child;
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
