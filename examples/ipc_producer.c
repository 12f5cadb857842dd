/* SPDX-License-Identifier: MIT
 *
 * ipc_producer - send a file to examples/ipc_consumer.c by any mechanism;
 * start them in any order
 *
 *	cc -O2 -D_GNU_SOURCE -Iinclude examples/ipc_producer.c -o ipc_producer
 *	./ipc_producer --list
 *	./ipc_producer -m posix_mq demo FILE & ./ipc_consumer -m posix_mq demo COPY
 *
 * Started again after it was killed, at any moment, it finds its way: what the
 * dead have left is replaced. Only what is not known to be left by the dead has
 * to be removed by hand:
 *
 *	./ipc_producer -m posix_mq -u demo
 *
 * A mechanism without names joins related processes only. Then the producer
 * starts the consumer itself, as its child, and is told where the copy goes:
 *
 *	./ipc_producer -m pipe FILE COPY
 *
 * (Where a library is optional: -DHAVE_ZMQ -lzmq, and so on; see the Makefile.)
 */
#include "ipc.h"

#include <sys/wait.h>

static int
open_or_fail(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		ipc_fail(NULL, path, -errno);
	return fd;
}

/** The consumer's half, for a mechanism that only a child inherits. */
static void
start_consumer(struct ipc_link *l, const char *copy)
{
	struct adapter *a = l->a;
	pid_t child = fork();
	int error;

	if (child < 0)
		ipc_fail(NULL, "fork", -errno);
	error = a->ops->after_fork(a, child == 0);
	if (error)
		ipc_fail(a, "after fork", error);
	if (child == 0) {
		ipc_receive_file(
			l, open_or_fail(copy, O_WRONLY | O_CREAT | O_TRUNC));
		ipc_part(l);
		exit(0);
	}
}

/** Whatever has this name, and whoever uses it. */
static void
remove_name(struct adapter *a, const char *name)
{
	struct ipc_name *n = ipc_enter(a, name);
	int error = a->ops->unlink(a->ops, name);

	if (!error || error == -ENOENT)
		error = ipc_made(n); /* nothing: so that its guard goes, too */
	if (error)
		ipc_fail(a, name, error);
}

int
main(int argc, char **argv)
{
	struct ipc_link link;
	struct adapter *a;
	int fd, status = 0;
	bool related;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return ipc_list(ipc_missing);
	if (argc != 5 || strcmp(argv[1], "-m") != 0) {
		fprintf(stderr, "usage: ipc_producer --list | -m MECHANISM "
				"NAME FILE | -m MECHANISM FILE COPY |\n"
				"       -m MECHANISM -u NAME\n");
		return 64;
	}
	a = ipc_choose(argv[2], ipc_missing);
	related = a->ops->caps & ADAPTER_FORK_ONLY;
	if (strcmp(argv[3], "-u") == 0 && !related) {
		remove_name(a, argv[4]);
		if (a->ops->caps & ADAPTER_LOSSY)
			remove_name(a, ipc_back(argv[4]));
		adapter_free(a);
		return 0;
	}
	fd = open_or_fail(argv[related ? 3 : 4], O_RDONLY);
	link = ipc_join(a, related ? NULL : argv[3], ADAPTER_SENDER,
			ipc_create);
	if (related)
		start_consumer(&link, argv[4]);
	ipc_send_file(&link, fd);
	ipc_part(&link);
	if (related)
		wait(&status);
	return status ? 1 : 0;
}
