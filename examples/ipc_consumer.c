/* SPDX-License-Identifier: MIT
 *
 * ipc_consumer - receive the file that examples/ipc_producer.c sends, by any
 * mechanism that has names; start them in any order
 *
 *	cc -O2 -D_GNU_SOURCE -Iinclude examples/ipc_consumer.c -o ipc_consumer
 *	./ipc_consumer --list
 *	./ipc_consumer -m posix_mq demo COPY & ./ipc_producer -m posix_mq demo FILE
 */
#include "ipc.h"

static const char *
unfit(const struct adapter_ops *ops)
{
	const char *why = ipc_missing(ops);

	if (!why && (ops->caps & ADAPTER_FORK_ONLY))
		why = "related processes only: ipc_producer starts its own "
		      "consumer";
	return why;
}

int
main(int argc, char **argv)
{
	struct ipc_link link;
	struct adapter *a;
	int fd;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return ipc_list(unfit);
	if (argc != 5 || strcmp(argv[1], "-m") != 0) {
		fprintf(stderr, "usage: ipc_consumer --list | "
				"-m MECHANISM NAME COPY\n");
		return 64;
	}
	a = ipc_choose(argv[2], unfit);
	fd = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		ipc_fail(NULL, argv[4], -errno);
	link = ipc_join(a, argv[3], ADAPTER_RECEIVER, ipc_attach);
	ipc_receive_file(&link, fd);
	ipc_part(&link);
	return close(fd) ? 1 : 0;
}
