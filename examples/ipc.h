/* SPDX-License-Identifier: MIT
 *
 * ipc.h - what the ipc_* examples share: choosing a mechanism by its name,
 * using a name so that nothing of a killed process is in the way, and moving a
 * file
 */
#ifndef IPC_H
#define IPC_H

#include <adapters/all.h>
#include <adapters/common/guard.h>

#define IPC_PATIENCE (10 * ADAPTER_SECOND) /* for a peer that does nothing */

/* The names that this process uses, and which of them it has made; these are
 * removed however it ends. What is left when it is killed goes when the next
 * uses the name: see guard.h. */
static struct ipc_name {
	struct adapter a; /* to speak of the mechanism; has no endpoint */
	struct adapter_guard guard;
	bool made;
} ipc_names[2];
static int ipc_count;

static inline void
ipc_leave(void)
{
	struct ipc_name *n;

	/* The first last: while it is there, nobody new takes the second. */
	for (n = ipc_names + ipc_count; n-- > ipc_names;) {
		if (n->made && n->guard.pid == getpid())
			n->a.ops->unlink(n->a.ops, n->guard.name);
		adapter_guard_leave(&n->guard, &n->a);
	}
}

/** What an error means here, and what to do. */
static inline const char *
ipc_strerror(const struct adapter_ops *ops, int error)
{
	if (ops && strncmp(ops->name, "shmring", 7) == 0 && error != -EEXIST)
		return shmring_strerror(error);
	switch (error) {
	case -EEXIST:
		return "others use this name, or something else has left it: "
		       "take another, or remove it (ipc_producer -m MECHANISM "
		       "-u NAME)";
	case -ETIMEDOUT:
		return "timed out: the other side did not come, or did nothing";
	case -EPIPE:
		return "the other side is gone before the end";
	case -EBUSY:
		return "others use this name yet, or have this role";
	case -EINVAL:
		return "the mechanism does not take this request";
	case -EBADMSG:
		return "what arrived was not sent by ipc_producer";
	case -EPROTO:
		return "what has this name is not of this mechanism";
	case -EMSGSIZE:
		return "longer than a message may be";
	case -ENOTSUP:
		return "the mechanism cannot do this";
	default:
		return strerror(-error);
	}
}

/** What failed and why, with the limit behind it if there is one; ends. */
static inline __attribute__((noreturn)) void
ipc_fail(const struct adapter *a, const char *what, int error)
{
	fprintf(stderr, "%s: %s", what, ipc_strerror(a ? a->ops : NULL, error));
	if (a && a->refused.name)
		fprintf(stderr, " (%s is %" PRIu64 ")", a->refused.name,
			a->refused.value);
	fprintf(stderr, "\n");
	exit(1);
}

/** Use this name with the mechanism of a; ends if it is none. */
static inline struct ipc_name *
ipc_enter(const struct adapter *a, const char *name)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789._-";
	struct ipc_name *n = &ipc_names[ipc_count];
	size_t length = strspn(name, good);
	int error;

	if (name[length] || !length || length >= ADAPTER_NAME_MAX ||
	    name[0] == '.') {
		fprintf(stderr,
			"%s: not a name: 1 to %d letters, digits, '.', '_', "
			"'-', the first not '.'\n",
			name, ADAPTER_NAME_MAX - 1);
		exit(64);
	}
	n->a.ops = a->ops;
	error = adapter_guard_enter(&n->guard, &n->a, name, IPC_PATIENCE);
	if (error)
		ipc_fail(&n->a, name, error);
	if (ipc_count++ == 0)
		atexit(ipc_leave);
	return n;
}

/** What has this name, this process has made: it removes it. */
static inline int
ipc_made(struct ipc_name *n)
{
	n->made = true;
	return adapter_guard_made(&n->guard, &n->a);
}

/**
 * Make the object of this name, unless it is NULL, or a pair before fork. Who
 * has just been killed may take a moment to die: then what it has made goes.
 */
static inline int
ipc_create(struct adapter *a, const struct adapter_config *config)
{
	int64_t deadline = adapter_deadline(ADAPTER_SECOND), step = 0;
	struct ipc_name *n;
	int error;

	if (!config->name)
		return a->ops->create(a, config);
	n = ipc_enter(a, config->name);
	while ((error = a->ops->create(a, config)) == -EEXIST &&
	       adapter_backoff(&n->a, &step, deadline) == 0) {
		adapter_guard_leave(&n->guard, &n->a);
		error = adapter_guard_enter(&n->guard, &n->a, config->name,
					    IPC_PATIENCE);
		if (error)
			return error;
	}
	if (error)
		return error;
	error = ipc_made(n);
	if (error)
		a->refused = n->a.refused;
	return error;
}

/** Join what another process makes under this name. */
static inline int
ipc_attach(struct adapter *a, const struct adapter_config *config)
{
	ipc_enter(a, config->name);
	return a->ops->attach(a, config, IPC_PATIENCE);
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
				: ipc_attach(a[i], &config[i]);
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

/** For who sends once what must arrive: only ipc_send below does so again. */
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

/*
 * How a file is sent: each message begins with a byte that tells how many bytes
 * at its end are padding, which there is where every message must have the same
 * length (signal). The last message says instead that it is, and how many bytes
 * of the file came before.
 */
#define IPC_END 255

struct ipc_end {
	uint8_t kind; /* IPC_END */
	uint8_t total[7]; /* modulo 2^56 */
};

static inline struct ipc_end
ipc_end(uint64_t total)
{
	struct ipc_end end = { .kind = IPC_END };

	memcpy(end.total, &total, sizeof(end.total));
	return end;
}

/** Up to so many bytes, fewer only at the end of the file. */
static inline size_t
ipc_read(int fd, uint8_t *to, size_t most)
{
	size_t length = 0;
	ssize_t n = 1;

	while (length < most && n != 0) {
		n = read(fd, to + length, most - length);
		if (n < 0 && errno != EINTR)
			ipc_fail(NULL, "read", -errno);
		length += n > 0 ? (size_t)n : 0;
	}
	return length;
}

static inline void
ipc_write(int fd, const uint8_t *from, size_t length)
{
	ssize_t n;

	for (; length; length -= (size_t)n, from += n) {
		n = write(fd, from, length);
		if (n < 0 && errno != EINTR)
			ipc_fail(NULL, "write", -errno);
		n = n < 0 ? 0 : n;
	}
}

/*
 * By a mechanism that may lose messages a file arrives all the same: each
 * message is sent until it is acknowledged, under a second name and in the
 * opposite direction, as the mechanism may go one way only. A label at the end
 * of each tells whose it is. Who made the name is known from its guard, and
 * stays the same while the consumer is there: what a port still brings of
 * another transfer is not taken for this one's.
 */
#define IPC_RESEND (ADAPTER_SECOND / 50)
#define IPC_LINGER ADAPTER_SECOND /* to repeat the last acknowledgement */

struct ipc_label {
	struct adapter_process producer;
	struct adapter_process consumer; /* .pid 0: not known yet */
	uint64_t number; /* of the message, from 0 */
};

struct ipc_link {
	struct adapter *a;
	struct adapter *back; /* for acknowledgements; NULL: none is needed */
	struct ipc_label next; /* to be acknowledged, or to be received */
};

/** The name of the way back. */
static inline const char *
ipc_back(const char *name)
{
	static char text[ADAPTER_NAME_MAX + 8];

	snprintf(text, sizeof(text), "%s-back", name);
	return text;
}

/** Create or attach what carries a file; ends if that fails. */
static inline struct ipc_link
ipc_join(struct adapter *a, const char *name, unsigned roles,
	 int (*join)(struct adapter *, const struct adapter_config *))
{
	const char *what = roles == ADAPTER_SENDER ? "create" : "attach";
	struct adapter_config config = { .name = name, .roles = roles };
	struct ipc_link l = { .a = a };
	int error = join(a, &config);

	if (error)
		ipc_fail(a, what, error);
	if (!(a->ops->caps & ADAPTER_LOSSY))
		return l;
	l.back = adapter_new(a->ops);
	if (!l.back)
		ipc_fail(a, what, -ENOMEM);
	config.name = ipc_back(name);
	config.roles = adapter_opposite(roles);
	config.message_size = sizeof(struct ipc_label);
	error = join(l.back, &config);
	if (error)
		ipc_fail(l.back, what, error);
	if (roles == ADAPTER_SENDER)
		l.next.producer = adapter_self();
	else
		l.next.consumer = adapter_self();
	return l;
}

static inline void
ipc_part(struct ipc_link *l)
{
	adapter_free(l->back);
	adapter_free(l->a);
}

static inline bool
ipc_same(struct adapter_process a, struct adapter_process b)
{
	return a.pid == b.pid && a.start == b.start;
}

static inline bool
ipc_gone(struct ipc_link *l, struct adapter_process p)
{
	return p.pid && !adapter_alive(l->a, p);
}

/** Is the message acknowledged before it is time to send it again? Who does
 * so first is the consumer from then on. */
static inline bool
ipc_acknowledged(struct ipc_link *l)
{
	int64_t deadline = adapter_deadline(IPC_RESEND);
	struct ipc_label ack = { 0 };
	struct adapter_msg msg = { .data = &ack, .capacity = sizeof(ack) };

	while (l->back->ops->recv(l->back, &msg, adapter_left(deadline)) == 0) {
		if (msg.length != sizeof(ack) || ack.number != l->next.number ||
		    !ipc_same(ack.producer, l->next.producer))
			continue; /* repeated, or of another transfer */
		if (!l->next.consumer.pid)
			l->next.consumer = ack.consumer;
		if (ipc_same(ack.consumer, l->next.consumer))
			return true;
	}
	return false;
}

/** Send it, and again if need be. Has room for a label at its end. */
static inline void
ipc_send(struct ipc_link *l, struct adapter_msg *msg)
{
	int64_t deadline = adapter_deadline(IPC_PATIENCE);
	bool gone;
	int error;

	if (l->back) {
		memcpy((char *)msg->data + msg->length, &l->next,
		       sizeof(l->next));
		msg->length += sizeof(l->next);
	}
	do { /* gone is asked first: what it said before is heard */
		gone = ipc_gone(l, l->next.consumer);
		error = l->a->ops->send(l->a, msg, IPC_PATIENCE);
		if (l->back && ipc_acknowledged(l))
			error = 0;
		else if (l->back && !error)
			error = gone			 ? -EPIPE
				: adapter_left(deadline) ? -EAGAIN
							 : -ETIMEDOUT;
	} while (error == -EAGAIN);
	if (error)
		ipc_fail(l->a, "send", error);
	l->next.number++;
}

/** Take the label off, and acknowledge what is or was the next. -EAGAIN: it is
 * not the next. */
static inline int
ipc_accept(struct ipc_link *l, struct adapter_msg *msg)
{
	struct ipc_label label;
	struct adapter_msg ack = { .data = &label, .length = sizeof(label) };
	int error;

	if (msg->length <= sizeof(label))
		return -EAGAIN;
	msg->length -= sizeof(label);
	memcpy(&label, (char *)msg->data + msg->length, sizeof(label));
	if (!l->next.producer.pid ||
	    !ipc_same(label.producer, l->next.producer))
		return -EAGAIN;
	if (label.consumer.pid && !ipc_same(label.consumer, l->next.consumer))
		return -EBUSY;
	if (label.number > l->next.number)
		return -EAGAIN;
	label.consumer = l->next.consumer;
	error = l->back->ops->send(l->back, &ack, IPC_PATIENCE);
	if (error || label.number < l->next.number)
		return error ? error : -EAGAIN; /* the ack was lost */
	l->next.number++;
	return 0;
}

/** The next message; each once, and in order. */
static inline int
ipc_receive(struct ipc_link *l, struct adapter_msg *msg, int64_t timeout_ns)
{
	int64_t deadline = adapter_deadline(timeout_ns);
	int error;

	if (!l->back)
		return l->a->ops->recv(l->a, msg, timeout_ns);
	for (;;) {
		error = l->a->ops->recv(l->a, msg, IPC_RESEND);
		if (!l->next.producer.pid)
			l->next.producer =
				adapter_guard_read(&ipc_names[0].guard, l->a)
					.maker;
		if (!error)
			error = ipc_accept(l, msg);
		if (error != -EAGAIN && error != -ETIMEDOUT)
			return error;
		if (ipc_gone(l, l->next.producer))
			return -EPIPE;
		if (!adapter_left(deadline))
			return -ETIMEDOUT;
	}
}

/** All has been taken. The producer must know it, too, but who was last to say
 * something never knows whether that was lost: so not for long. */
static inline void
ipc_end_received(struct ipc_link *l, struct adapter_msg *msg)
{
	int error = 0;

	if (l->back)
		ipc_receive(l, msg, IPC_LINGER);
	else if (ipc_count)
		error = adapter_guard_done(&ipc_names[0].guard,
					   &ipc_names[0].a);
	if (error)
		ipc_fail(l->a, "the end", error);
}

/** Who has made the name keeps it until the consumer has said that it is done:
 * sent is not received, unless acknowledged. Related processes have none. */
static inline void
ipc_wait_for_consumer(struct ipc_link *l)
{
	int64_t deadline = adapter_deadline(IPC_PATIENCE), step = 0;
	struct ipc_name *n = ipc_names;

	while (!l->back && ipc_count &&
	       !adapter_guard_read(&n->guard, &n->a).done)
		if (adapter_backoff(&n->a, &step, deadline))
			ipc_fail(&n->a, "end", -ETIMEDOUT);
}

/** Send all that fd gives until its end, and wait until it has been taken. */
static inline void
ipc_send_file(struct ipc_link *l, int fd)
{
	struct adapter_msg msg = ipc_buffer(l->a);
	bool padded = l->a->ops->caps & ADAPTER_FIXED_SIZE;
	size_t label = l->back ? sizeof(struct ipc_label) : 0;
	size_t most = l->a->limits.message.value - label, length;
	uint8_t *data = (uint8_t *)msg.data;
	struct ipc_end end;
	uint64_t sent = 0;

	while ((length = ipc_read(fd, data + 1, most - 1)) > 0) {
		msg.length = padded ? most : length + 1;
		data[0] = (uint8_t)(msg.length - 1 - length);
		ipc_send(l, &msg);
		sent += length;
	}
	end = ipc_end(sent);
	memcpy(data, &end, sizeof(end));
	msg.length = sizeof(end);
	ipc_send(l, &msg);
	ipc_wait_for_consumer(l);
	printf("sent %" PRIu64 " bytes\n", sent);
	free(msg.data);
}

/** Write what ipc_send_file sends to fd. */
static inline void
ipc_receive_file(struct ipc_link *l, int fd)
{
	struct adapter_msg msg = ipc_buffer(l->a);
	const uint8_t *data = (const uint8_t *)msg.data;
	uint64_t received = 0;
	struct ipc_end end;
	size_t length;
	int error;

	for (;;) {
		error = ipc_receive(l, &msg, IPC_PATIENCE);
		if (error)
			ipc_fail(l->a, "receive", error);
		if (data[0] == IPC_END)
			break;
		if (data[0] >= msg.length)
			ipc_fail(l->a, "receive", -EBADMSG);
		length = msg.length - 1 - data[0];
		ipc_write(fd, data + 1, length);
		received += length;
	}
	end = ipc_end(received);
	if (msg.length != sizeof(end) || memcmp(data, &end, sizeof(end)) != 0)
		ipc_fail(l->a, "the end", -EBADMSG);
	ipc_end_received(l, &msg);
	printf("received %" PRIu64 " bytes\n", received);
	free(msg.data);
}

#endif
