/* SPDX-License-Identifier: MIT
 *
 * ipc_request_reply - requests one way, replies the other, between parent and
 * child over any mechanism that goes both ways
 *
 *	cc -O2 -D_GNU_SOURCE -Iinclude examples/ipc_request_reply.c \
 *		-o ipc_request_reply
 *	./ipc_request_reply --list
 *	./ipc_request_reply -m unix_seqpacket
 */
#include "ipc.h"

#include <ctype.h>
#include <sys/wait.h>

#define REQUESTS 1000

static const char *
unfit(const struct adapter_ops *ops)
{
	if (ipc_unfit_for_files(ops))
		return ipc_unfit_for_files(ops);
	return ops->caps & ADAPTER_BIDIR ? NULL : "goes one way only";
}

/** Answer each text with its capitals, until the word is END. */
static void
serve(struct adapter *a)
{
	struct adapter_msg msg = ipc_buffer(a);
	size_t i;
	int error;

	while ((error = a->ops->recv(a, &msg, IPC_PATIENCE)) == 0 &&
	       (msg.length != 3 || memcmp(msg.data, "END", 3) != 0)) {
		for (i = 0; i < msg.length; i++)
			((char *)msg.data)[i] =
				(char)toupper(((unsigned char *)msg.data)[i]);
		error = a->ops->send(a, &msg, IPC_PATIENCE);
		if (error)
			break;
	}
	if (error)
		ipc_fail(a, "serve", error);
	free(msg.data);
}

static void
request(struct adapter *a)
{
	struct adapter_msg msg = ipc_buffer(a), in = ipc_buffer(a);
	int i, error;

	for (i = 0; i < REQUESTS; i++) {
		char expected[32];

		msg.length = (size_t)sprintf((char *)msg.data, "request %d", i);
		sprintf(expected, "REQUEST %d", i);
		error = a->ops->send(a, &msg, IPC_PATIENCE);
		if (!error)
			error = a->ops->recv(a, &in, IPC_PATIENCE);
		if (!error && (in.length != msg.length ||
			       memcmp(in.data, expected, in.length) != 0))
			error = -EBADMSG;
		if (error)
			ipc_fail(a, "request", error);
	}
	in.length = 3;
	memcpy(in.data, "END", 3);
	error = a->ops->send(a, &in, IPC_PATIENCE);
	if (error)
		ipc_fail(a, "end", error);
	printf("%d requests, %d replies\n", i, i);
	free(msg.data);
	free(in.data);
}

int
main(int argc, char **argv)
{
	struct adapter *a = ipc_start(argc, argv, "ipc_request_reply", unfit);
	static char name[32]; /* until the program ends */
	struct adapter_config config = { .name = name, .roles = ADAPTER_BOTH };
	pid_t child;
	int status = 0;

	snprintf(name, sizeof(name), "request_reply.%ld", (long)getpid());
	child = ipc_fork(&a, &config, 1);
	if (child)
		request(a);
	else
		serve(a);
	adapter_free(a);
	if (child && waitpid(child, &status, 0) != child)
		ipc_fail(NULL, "child", -ECHILD);
	return status != 0;
}
