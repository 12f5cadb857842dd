/* SPDX-License-Identifier: MIT
 *
 * lifecycle - one message from its creation to its end, step by step, between
 * two processes over the mechanism of your choice
 *
 *	cc -O2 -D_GNU_SOURCE -Iinclude examples/lifecycle.c -o lifecycle
 *	./lifecycle --list
 *	./lifecycle -m unix_stream
 *
 * What crosses between processes is bytes. A struct would do between programs
 * of one build on one machine; bytes in a stated order, with a check, do for
 * all others, as here: the number and its check, each most significant first.
 */
#include "ipc.h"

#include <stdarg.h>
#include <sys/wait.h>

enum { PARCEL = 8 };
#define NUMBER UINT32_C(0x12345678)

static const char *who = "parent"; /* or child */
/** What the process does, under its step of the life of a message. */
static __attribute__((format(printf, 2, 3))) void
say(const char *step, const char *format, ...)
{
	va_list arguments;

	printf("%-8s %-6s ", step, who);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

static const char *
unfit(const struct adapter_ops *ops)
{
	struct adapter_limits limits = { 0 };

	if (ipc_unfit_for_files(ops))
		return ipc_unfit_for_files(ops);
	return ops->limits(&limits) == 0 && limits.message.value < PARCEL
		       ? "its messages are too small"
		       : NULL;
}

static uint32_t
check_of(uint32_t number)
{
	return number * UINT32_C(2654435761) ^ UINT32_C(0x9e3779b9);
}

static void
encode(uint8_t *bytes, uint32_t number)
{
	uint32_t check = check_of(number);
	int i;

	for (i = 0; i < 4; i++) {
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
		bytes[4 + i] = (uint8_t)(check >> (24 - 8 * i));
	}
}

/** The number, or the end of the program if the check does not agree. */
static uint32_t
decode(const uint8_t *bytes)
{
	uint32_t number = 0, check = 0;
	int i;

	for (i = 0; i < 4; i++) {
		number = number << 8 | bytes[i];
		check = check << 8 | bytes[4 + i];
	}
	if (check != check_of(number))
		ipc_fail(NULL, "check", -EBADMSG);
	return number;
}

static void
prepare(struct adapter *a, struct adapter_msg *msg, uint32_t number)
{
	uint8_t here[4], *bytes = msg->data;

	memcpy(here, &number, sizeof(here));
	encode(bytes, number);
	msg->length = a->ops->caps & ADAPTER_FIXED_SIZE
			      ? a->limits.message.value
			      : PARCEL;
	say("prepare", "0x%08x, in this %s-endian memory %02x %02x %02x %02x",
	    number, here[0] == (number & 0xff) ? "little" : "big", here[0],
	    here[1], here[2], here[3]);
	say("", "goes as %02x %02x %02x %02x, check %02x %02x %02x %02x",
	    bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5],
	    bytes[6], bytes[7]);
}

static void
post(struct adapter *a, const char *step, uint32_t number)
{
	struct adapter_msg msg = ipc_buffer(a);
	int error;

	prepare(a, &msg, number);
	say(step, "%zu of at most %" PRIu64 " bytes (%s)", msg.length,
	    a->limits.message.value, a->limits.message.name);
	error = a->ops->send(a, &msg, IPC_PATIENCE);
	if (error)
		ipc_fail(a, step, error);
	free(msg.data);
}

static uint32_t
collect(struct adapter *a)
{
	struct adapter_msg msg = ipc_buffer(a);
	struct pollfd p;
	uint32_t number;
	int error;

	while ((error = a->ops->recv(a, &msg, 0)) == -EAGAIN) {
		if (!a->ops->pollfd) {
			error = a->ops->recv(a, &msg, IPC_PATIENCE);
			break;
		}
		if (a->ops->pollfd(a, &p) == 0 && poll(&p, 1, 10000) == 0)
			ipc_fail(a, "poll", -ETIMEDOUT);
	}
	if (!error && msg.length < PARCEL)
		error = -EBADMSG;
	if (error)
		ipc_fail(a, "receive", error);
	say("deliver", "%s",
	    a->ops->pollfd ? "poll and try again" : "wait in receive");
	number = decode(msg.data);
	say("receive", "%zu bytes: 0x%08x, and the check agrees", msg.length,
	    number);
	free(msg.data);
	return number;
}

int
main(int argc, char **argv)
{
	struct adapter *a[2] = { ipc_start(argc, argv, "lifecycle", unfit) };
	const struct adapter_ops *ops = a[0]->ops;
	int ways = ops->caps & ADAPTER_BIDIR ? 1 : 2, i, status = 0;
	struct adapter_config config[2] = {
		{ .roles = ways == 1 ? ADAPTER_BOTH : ADAPTER_SENDER },
		{ .roles = ADAPTER_RECEIVER }, /* of the answer */
	};
	static char names[2][32]; /* until the program ends */
	pid_t child;

	if (ways == 2)
		a[1] = ipc_choose(argv[2], unfit);
	for (i = 0; i < ways; i++) {
		snprintf(names[i], sizeof(names[i]), "lifecycle.%ld.%d",
			 (long)getpid(), i);
		config[i].name = names[i];
	}
	child = ipc_fork(a, config, ways);
	if (!child)
		who = "child";
	say("create", "%s: %s%s", ops->name, ops->summary,
	    ways == 2 ? ", two for both ways" : "");
	if (child) {
		post(a[0], "send", NUMBER);
		if (collect(a[ways - 1]) != NUMBER + 1)
			ipc_fail(NULL, "answer", -EBADMSG);
		if (waitpid(child, &status, 0) != child || status)
			ipc_fail(NULL, "child", -ECHILD);
	} else {
		post(a[ways - 1], "answer", collect(a[0]) + 1);
	}
	for (i = 0; i < ways; i++)
		adapter_free(a[i]);
	say("close", "%s", child ? "and remove what has a name" : "");
	return 0;
}
