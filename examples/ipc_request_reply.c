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
	struct adapter_config config = { .roles = ADAPTER_BOTH };
	struct adapter *a;
	char name[32];
	bool related;
	pid_t child;
	int status, error = 0;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return ipc_list(unfit);
	if (argc != 3 || strcmp(argv[1], "-m") != 0) {
		fprintf(stderr, "usage: ipc_request_reply --list | "
				"-m MECHANISM\n");
		return 64;
	}
	a = ipc_choose(argv[2], unfit);
	related = a->ops->after_fork != NULL;
	snprintf(name, sizeof(name), "request_reply.%ld", (long)getpid());
	config.name = related ? NULL : name;
	if (related)
		error = a->ops->create(a, &config);
	child = error ? -1 : fork();
	if (error || child < 0)
		ipc_fail(a, "create", error ? error : -errno);
	if (related)
		error = a->ops->after_fork(a, child == 0);
	else
		error = child ? a->ops->create(a, &config)
			      : a->ops->attach(a, &config, IPC_PATIENCE);
	if (error)
		ipc_fail(a, "join", error);
	if (child)
		request(a);
	else
		serve(a);
	if (child && !related)
		a->ops->unlink(a->ops, name);
	adapter_free(a);
	if (!child)
		return 0;
	return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
