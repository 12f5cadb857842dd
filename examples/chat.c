/* SPDX-License-Identifier: MIT
 *
 * chat - both ways between two terminals; whoever comes first makes the name
 *
 *	cc -O2 -D_GNU_SOURCE -Iinclude examples/chat.c -o chat
 *	./chat --list
 *	./chat -m unix_stream demo	(the same in the other terminal)
 */
#include "ipc.h"

#define MOMENT 50 /* ms: not every mechanism can wake us up */

static const char *
unfit(const struct adapter_ops *ops)
{
	if (ops->missing)
		return ipc_missing(ops);
	if (!(ops->caps & ADAPTER_BIDIR))
		return "goes one way only";
	return ops->caps & ADAPTER_NAMED ? NULL : "related processes only";
}

/** Show what has come; -EPIPE when the other has left. */
static int
listen_to(struct adapter *a, struct adapter_msg *msg)
{
	int error;

	while ((error = a->ops->recv(a, msg, 0)) == 0)
		printf("> %.*s\n", (int)msg->length, (char *)msg->data);
	fflush(stdout);
	return error == -EAGAIN ? 0 : error;
}

/** Send one line of the terminal; false at its end. */
static bool
say(struct adapter *a, struct adapter_msg *msg)
{
	ssize_t n = read(STDIN_FILENO, msg->data, msg->capacity);
	int error;

	if (n <= 0)
		return false;
	if (n > 1 && ((char *)msg->data)[n - 1] == '\n')
		n--;
	msg->length = (size_t)n;
	msg->tag = 0;
	error = a->ops->send(a, msg, IPC_PATIENCE);
	if (error)
		ipc_fail(a, "send", error);
	return true;
}

int
main(int argc, char **argv)
{
	struct adapter_config config = { .roles = ADAPTER_BOTH };
	struct pollfd wait[2] = { { .fd = STDIN_FILENO, .events = POLLIN } };
	struct adapter *a;
	struct adapter_msg in, out;
	struct ipc_name *n;
	int error;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return ipc_list(unfit);
	if (argc != 4 || strcmp(argv[1], "-m") != 0) {
		fprintf(stderr, "usage: chat --list | -m MECHANISM NAME\n");
		return 64;
	}
	a = ipc_choose(argv[2], unfit);
	config.name = argv[3];
	n = ipc_enter(a, argv[3]);
	error = a->ops->create(a, &config);
	if (!error)
		error = ipc_made(n);
	else if (error == -EEXIST)
		error = a->ops->attach(a, &config, IPC_PATIENCE);
	if (error)
		ipc_fail(a, "join", error);
	in = ipc_buffer(a);
	out = ipc_buffer(a);
	do {
		wait[1].fd = -1;
		if (!a->ops->pollfd || a->ops->pollfd(a, &wait[1]) != 1)
			poll(wait, 2, MOMENT);
		error = listen_to(a, &in);
		if (!error && wait[0].revents && !say(a, &out))
			break;
		wait[0].revents = 0;
	} while (!error);
	if (error == -EPIPE)
		printf("the other has left\n");
	else if (error)
		ipc_fail(a, "receive", error);
	adapter_free(a);
	free(in.data);
	free(out.data);
	return 0;
}
