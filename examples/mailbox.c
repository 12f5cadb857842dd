/* SPDX-License-Identifier: MIT
 *
 * mailbox - indirect communication: senders and receivers know a mailbox, not
 * each other, and need not live at the same time
 *
 *	cc -O2 -D_GNU_SOURCE -Iinclude examples/mailbox.c -o mailbox
 *	./mailbox --list
 *	./mailbox -m posix_mq	the tag is a priority: high ones come first
 *	./mailbox -m sysv_msg	the tag is an address: each takes its own
 */
#include "ipc.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { SENDERS = 3, RECEIVERS = 2, LETTERS = 3 };

struct letter {
	uint32_t sender, number;
};

static uint32_t (*received)[LETTERS]; /* how often, for all to see */

static const char *
unfit(const struct adapter_ops *ops)
{
	const unsigned many = ADAPTER_MANY_SENDERS | ADAPTER_MANY_RECEIVERS;

	if (ops->missing)
		return ipc_missing(ops);
	if (~ops->caps & many)
		return "not for several senders and receivers";
	return ops->caps & ADAPTER_PERSISTENT ? NULL : "keeps no messages";
}

static uint32_t
tag_of(const struct adapter_ops *ops, const struct letter *letter)
{
	if (ops->caps & ADAPTER_SELECT_TYPE) /* the receiver, from 1 on */
		return 1 + (letter->sender + letter->number) % RECEIVERS;
	return ops->caps & ADAPTER_PRIO ? letter->number : 0;
}

static void
send_letters(struct adapter *a, uint32_t me)
{
	struct letter letter = { .sender = me };
	struct adapter_msg msg = { .data = &letter, .length = sizeof(letter) };
	int error;

	for (; letter.number < LETTERS; letter.number++) {
		msg.tag = tag_of(a->ops, &letter);
		error = a->ops->send(a, &msg, IPC_PATIENCE);
		if (error)
			ipc_fail(a, "send", error);
	}
}

/** Empty the mailbox, or what in it is for me. */
static void
receive_letters(struct adapter *a, uint32_t me)
{
	struct adapter_msg msg = ipc_buffer(a);
	uint32_t before = UINT32_MAX;
	struct letter letter;
	int error;

	for (;;) {
		msg.tag = me;
		error = a->ops->recv_tag ? a->ops->recv_tag(a, &msg, 0)
					 : a->ops->recv(a, &msg, 0);
		if (error == -EAGAIN || error == -EPIPE)
			break; /* empty, and perhaps the senders are gone */
		if (!error && msg.length != sizeof(letter))
			error = -EBADMSG;
		if (error)
			ipc_fail(a, "receive", error);
		memcpy(&letter, msg.data, sizeof(letter));
		if (letter.sender >= SENDERS || letter.number >= LETTERS ||
		    msg.tag != tag_of(a->ops, &letter) ||
		    ((a->ops->caps & ADAPTER_PRIO) && msg.tag > before))
			ipc_fail(NULL, "a letter out of place", -EBADMSG);
		before = msg.tag;
		printf("receiver %u: tag %u, letter %u of sender %u\n", me,
		       msg.tag, letter.number, letter.sender);
		poll(NULL, 0, 5); /* reading takes time: others get some */
		__atomic_fetch_add(&received[letter.sender][letter.number], 1,
				   __ATOMIC_RELAXED);
	}
	free(msg.data);
}

/** Let count processes do this with the mailbox, and wait for them. */
static void
run(struct adapter *own, struct adapter_config config, unsigned role,
    uint32_t count, void (*work)(struct adapter *a, uint32_t me))
{
	const struct adapter_ops *ops = own->ops;
	struct adapter *a;
	int status = 0, error;
	uint32_t i;

	config.roles = role;
	for (i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			ipc_fail(NULL, "fork", -errno);
		if (child)
			continue;
		adapter_free(own); /* each has its own endpoint */
		a = adapter_new(ops);
		error = a ? ops->attach(a, &config, IPC_PATIENCE) : -ENOMEM;
		if (error)
			ipc_fail(a, "attach", error);
		work(a, role == ADAPTER_SENDER ? i : i + 1);
		adapter_free(a);
		exit(0);
	}
	while (wait(&status) > 0)
		if (status)
			ipc_fail(NULL, "a process of the mailbox", -ECHILD);
}

int
main(int argc, char **argv)
{
	struct adapter *a = ipc_start(argc, argv, "mailbox", unfit);
	static char name[32]; /* of the mailbox, until the program ends */
	struct adapter_config config = { .name = name,
					 .roles = ADAPTER_RECEIVER };
	uint32_t i;
	int error;

	received =
		mmap(NULL, sizeof(*received) * SENDERS, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (received == MAP_FAILED)
		ipc_fail(NULL, "mmap", -errno);
	snprintf(name, sizeof(name), "mailbox.%ld", (long)getpid());
	error = ipc_create(a, &config);
	if (error)
		ipc_fail(a, "create", error);
	run(a, config, ADAPTER_SENDER, SENDERS, send_letters);
	run(a, config, ADAPTER_RECEIVER, RECEIVERS, receive_letters);
	adapter_free(a);
	for (i = 0; i < SENDERS * LETTERS; i++)
		if (received[i / LETTERS][i % LETTERS] != 1)
			ipc_fail(NULL, "a letter lost or doubled", -EBADMSG);
	printf("%u letters, each received once\n", i);
	return 0;
}
