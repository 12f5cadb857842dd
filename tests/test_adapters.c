/* SPDX-License-Identifier: MIT */
/*
 * Description: the contract that every mechanism of include/adapters keeps:
 * sizes, full and empty, time-outs, content, what it declares, death of the
 * peer, signals, permissions, exhausted resources, nothing left behind.
 *
 * Arguments: the mechanisms to test; none means all.
 */
#include "adapters/all.h"
#include "tap.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>

#define LARGE (1 << 20) /* no default message is larger */
#define STREAM_BYTES (1 << 20)
#define STREAM_MESSAGES 10000
#define PATIENCE (10 * ADAPTER_SECOND) /* what never comes so late is lost */
#define MOMENT (ADAPTER_SECOND / 50)

/* Both sides of a test; each process has its own copy and endpoint. */
struct test {
	const struct adapter_ops *ops;
	struct adapter *a;
	struct adapter_config config;
	char name[ADAPTER_NAME_MAX];
	bool named, spin;
	bool killed; /* the peer does not close, but is killed */
	int children; /* how many, normally 1 */
	uint32_t who; /* child: which */
	uint32_t senders, receivers; /* of a crowd; else 0 */
	unsigned too_many; /* role of one more than the crowd */
	pid_t child[3];
	int in, out; /* from the other side, to the other side */
	unsigned kept; /* descriptors that a library holds open for good */
	unsigned left; /* descriptors found open too many */
	unsigned char data[LARGE];
};

static struct test test;
static bool own_ipc; /* the IPC namespace has nobody else's objects */
static char directory[] = "/tmp/test_adapters.XXXXXX";
static char queues[sizeof(directory) + 8];

typedef int (*child_function)(struct test *t);

static bool
can(const struct test *t, unsigned capability)
{
	return (t->ops->caps & capability) != 0;
}

static void
tell(const struct test *t)
{
	if (write(t->out, "+", 1) != 1)
		_exit(99);
}

/* False when the other side has ended without a word. */
static bool
hear(const struct test *t)
{
	char byte;
	ssize_t n;

	do {
		n = read(t->in, &byte, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

/* Would hear() return at once, or within so long? */
static bool
heard(const struct test *t, int64_t timeout_ns)
{
	struct pollfd p = { .fd = t->in, .events = POLLIN };

	return poll(&p, 1, (int)(timeout_ns / 1000000)) == 1;
}

static struct adapter_msg
message(struct test *t, size_t length)
{
	return (struct adapter_msg){ .data = t->data,
				     .length = length,
				     .capacity = sizeof(t->data) };
}

/* Of a crowd the first children send, the creator is the last of its role. */
static unsigned
role_of_child(const struct test *t)
{
	bool creator_sends = t->config.roles == ADAPTER_SENDER;

	if (!t->senders)
		return adapter_opposite(t->config.roles);
	return t->who + creator_sends < t->senders ? ADAPTER_SENDER
						   : ADAPTER_RECEIVER;
}

/* The child's half of meet(): join, tell so, do its work, leave. */
static void
child_main(struct test *t, child_function work)
{
	int error;

	t->config.roles = role_of_child(t);
	if (t->named) {
		t->a = adapter_new(t->ops);
		error = t->ops->attach(t->a, &t->config, PATIENCE);
	} else {
		error = t->ops->after_fork(t->a, true);
	}
	if (error) {
		printf("# %s: joining: %s\n", t->ops->name, strerror(-error));
		_exit(98);
	}
	tell(t);
	error = work(t);
	adapter_free(t->a);
	_exit(error);
}

/* This process and its children, joined: by a name, or by fork. */
static bool
meet(struct test *t, bool named, unsigned roles, child_function work)
{
	int up[2], down[2], i, error = 0;

	memset(t->child, 0, sizeof(t->child));
	t->named = named;
	t->config.name = named ? t->name : NULL;
	t->config.roles = roles;
	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	if (pipe2(up, O_CLOEXEC) || pipe2(down, O_CLOEXEC))
		bail("pipe2 failed");
	t->a = adapter_new(t->ops);
	if (!named) /* a named peer must inherit nothing */
		error = t->ops->create(t->a, &t->config);
	for (i = 0; i < t->children && !error; i++) {
		t->child[i] = tap_fork();
		t->who = (uint32_t)i;
		if (t->child[i] == 0) {
			close(up[0]);
			close(down[1]);
			t->in = down[0];
			t->out = up[1];
			child_main(t, work);
		}
	}
	close(up[1]);
	close(down[0]);
	t->in = up[0];
	t->out = down[1];
	if (!error)
		error = named ? t->ops->create(t->a, &t->config)
			      : t->ops->after_fork(t->a, false);
	for (i = 0; i < t->children && !error; i++)
		if (!hear(t))
			error = -ECHILD;
	if (error)
		printf("# %s: joining: %s\n", t->ops->name, strerror(-error));
	return !error;
}

/* Give all back; the children's exit status. */
static int
part(struct test *t)
{
	int i, status = 0;

	close(t->out); /* a child that waits to be told goes on */
	for (i = 0; i < t->children; i++)
		status += t->child[i] > 0 ? tap_wait(t->child[i]) : 97;
	close(t->in);
	adapter_free(t->a);
	t->a = NULL;
	if (t->named)
		t->ops->unlink(t->ops, t->name);
	return status;
}

/* How most tests join. */
static bool
any_way(const struct test *t)
{
	return can(t, ADAPTER_NAMED);
}

/* ------------------------------------------------- processes of their own */

static unsigned
descriptors(void)
{
	unsigned count = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* How many are open beyond `most`, once a library's threads have closed
   theirs. */
static unsigned
descriptors_beyond(unsigned most)
{
	int64_t end = adapter_now() + PATIENCE;
	unsigned count;

	while ((count = descriptors()) > most && adapter_now() < end)
		poll(NULL, 0, 1);
	return count > most ? count - most : 0;
}

/*
 * Run a part of the test in a process of its own, which hands its results back.
 * A process that has used nng can have no child that uses it; so whoever calls
 * this or tap_fork() must not have used the mechanism before.
 */
static void
apart(void (*work)(struct test *t), struct test *t)
{
	int ends[2], status;
	unsigned before;
	bool ended;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		bail("pipe2 failed");
	child = tap_fork();
	if (child == 0) {
		before = descriptors();
		t->left = 0;
		work(t);
		t->left += descriptors_beyond(before + t->kept);
		if (write(ends[1], &tap, sizeof(tap)) != sizeof(tap))
			_exit(99);
		exit((int)t->left); /* as main() does: leaks are looked for */
	}
	close(ends[1]);
	ended = read(ends[0], &tap, sizeof(tap)) == sizeof(tap);
	close(ends[0]);
	status = tap_wait(child);
	if (ended && status >= 0)
		t->left += (unsigned)status;
	else
		ok(0, "%s: the test itself ended with %d", t->ops->name,
		   status);
}

/* ---------------------------------------------------------------- content */

static uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static unsigned char
byte_of(uint64_t index, size_t at)
{
	return (unsigned char)(mix(index * 2654435761u + at / 8) >>
			       (at % 8 * 8));
}

/* The index leads where there is room, so that the lossy can be followed. */
static void
fill(struct test *t, uint32_t index, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		t->data[i] = byte_of(index, i);
	if (length >= 8)
		memcpy(t->data, &index, sizeof(index));
}

static bool
filled(const struct test *t, uint32_t index, size_t length)
{
	size_t i = length >= 8 ? sizeof(index) : 0;
	uint32_t got = index;

	if (i)
		memcpy(&got, t->data, sizeof(got));
	for (; i < length; i++)
		if (t->data[i] != byte_of(index, i))
			return false;
	return got == index;
}

static size_t
length_of(const struct test *t, uint32_t index)
{
	size_t limit = t->a->limits.message.value, most;

	if (can(t, ADAPTER_FIXED_SIZE))
		return limit;
	most = limit < 4096 ? limit : 4096;
	if (can(t, ADAPTER_LOSSY))
		return 8 + mix(index) % (most - 7);
	return 1 + mix(index) % most;
}

static uint32_t
messages(const struct test *t)
{
	uint32_t count = 0;
	size_t bytes = 0;

	while (count < STREAM_MESSAGES && bytes < STREAM_BYTES)
		bytes += length_of(t, count++);
	return count;
}

static int
send_one(struct test *t, const struct adapter_msg *msg)
{
	int error;

	while ((error = t->ops->send(t->a, msg, t->spin ? 0 : PATIENCE)) ==
		       -EAGAIN &&
	       t->spin)
		sched_yield();
	return error;
}

static int
recv_one(struct test *t, struct adapter_msg *msg)
{
	int error;

	while ((error = t->ops->recv(t->a, msg, t->spin ? 0 : PATIENCE)) ==
		       -EAGAIN &&
	       t->spin)
		sched_yield();
	return error;
}

static int
send_stream(struct test *t)
{
	uint32_t i, count = messages(t);
	struct adapter_msg msg;
	int error;

	for (i = 0; i < count; i++) {
		msg = message(t, length_of(t, i));
		fill(t, i, msg.length);
		error = send_one(t, &msg);
		if (error) {
			printf("# sending %u: %s\n", i, strerror(-error));
			return 1;
		}
	}
	return 0;
}

/* With loss: what comes is right, and `lost` says what did not. */
static int
recv_stream(struct test *t)
{
	bool lossy = can(t, ADAPTER_LOSSY), ended = false;
	uint32_t i = 0, seen = 0, count = messages(t);
	struct adapter_msg msg = message(t, 0);
	int error;

	while (i < count) {
		error = lossy ? t->ops->recv(t->a, &msg, MOMENT)
			      : recv_one(t, &msg);
		if (lossy && error == -ETIMEDOUT) {
			if (ended)
				break; /* the last ones were lost */
			ended = heard(t, 0); /* then a last look */
			continue;
		}
		if (lossy && !error && msg.length >= 8)
			memcpy(&i, t->data, sizeof(i));
		if (error || i >= count || msg.length != length_of(t, i) ||
		    !filled(t, i, msg.length)) {
			printf("# receiving %u: %s, %zu bytes\n", i,
			       strerror(-error), msg.length);
			return 1;
		}
		i++;
		seen++;
	}
	if (lossy && seen + t->a->lost != i) {
		printf("# %u came of %u, %" PRIu64 " told as lost\n", seen, i,
		       t->a->lost);
		return 1;
	}
	return seen == 0;
}

/* Both directions at once; each message is answered by the same. */
static int
echo_stream(struct test *t)
{
	struct adapter_msg msg = message(t, 0);
	int i, error = 0;

	for (i = 0; i < 1000 && !error; i++) {
		error = recv_one(t, &msg);
		if (!error)
			error = send_one(t, &msg);
	}
	return error != 0;
}

static void
content_arrives(struct test *t)
{
	bool sends = t->config.roles == ADAPTER_SENDER;
	bool good = meet(t, t->named, t->config.roles,
			 sends ? recv_stream : send_stream);

	good = good && (sends ? send_stream(t) : recv_stream(t)) == 0;
	is_int(part(t) + !good, 0,
	       "%s: %s, creator %s, %s: the content arrives", t->ops->name,
	       t->named ? "named" : "fork", sends ? "sends" : "receives",
	       t->spin ? "spinning" : "waiting");
}

static void
stream_content(struct test *t)
{
	unsigned roles;
	int named, spin;

	for (named = 0; named < 2; named++) {
		if (named ? !can(t, ADAPTER_NAMED) : !t->ops->after_fork)
			continue;
		for (roles = ADAPTER_SENDER; roles <= ADAPTER_RECEIVER; roles++)
			for (spin = 0; spin < 2; spin++) {
				t->named = named;
				t->config.roles = roles;
				t->spin = spin;
				apart(content_arrives, t);
			}
	}
}

static void
both_ways(struct test *t)
{
	struct adapter_msg msg;
	bool good;
	int error = 0;
	uint32_t i;

	if (!can(t, ADAPTER_BIDIR)) {
		t->a = adapter_new(t->ops);
		t->config.roles = ADAPTER_BOTH;
		t->config.name = can(t, ADAPTER_NAMED) ? "unused" : NULL;
		is_int(t->ops->create(t->a, &t->config), -ENOTSUP,
		       "%s: one way only", t->ops->name);
		adapter_free(t->a);
		return;
	}
	good = meet(t, any_way(t), ADAPTER_BOTH, echo_stream);
	for (i = 0; good && i < 1000 && !error; i++) {
		size_t length = length_of(t, i + 1000);

		fill(t, i, length);
		msg = message(t, length);
		error = send_one(t, &msg);
		memset(t->data, 0, length);
		if (!error)
			error = recv_one(t, &msg);
		if (!error && (msg.length != length || !filled(t, i, length)))
			error = -EBADMSG;
	}
	is_int(part(t) + !good - error, 0, "%s: both ways", t->ops->name);
}

/* ------------------------------------------------------- sizes and refusals */

static size_t
size_of_try(size_t try, size_t limit)
{
	const size_t sizes[] = { 1, 8, 64, limit - 1, limit };

	return sizes[try];
}

static int
recv_sizes(struct test *t)
{
	size_t limit = t->a->limits.message.value, try, length;
	struct adapter_msg msg = message(t, 0);
	uint32_t tag = can(t, ADAPTER_TAGS) ? 1 : 0;

	msg.capacity = limit - 1;
	if (t->ops->recv(t->a, &msg, 0) != -EMSGSIZE)
		return 1;
	msg.capacity = limit;
	for (try = 0; try < 5; try++) {
		length = size_of_try(try, limit);
		if (length > limit || length == 0 ||
		    (can(t, ADAPTER_FIXED_SIZE) && length != limit))
			continue;
		if (t->ops->recv(t->a, &msg, PATIENCE) ||
		    msg.length != length || !filled(t, 7, length) ||
		    (tag && msg.tag != tag))
			return 2 + (int)try;
	}
	return 0;
}

static void
sizes_up_to_limit(struct test *t)
{
	size_t limit, try, length;
	struct adapter_msg msg;
	bool good = meet(t, any_way(t), ADAPTER_SENDER, recv_sizes);
	int error;

	if (!good) {
		is_int(part(t), 0, "%s: sizes", t->ops->name);
		return;
	}
	limit = t->a->limits.message.value;
	for (try = 0; try < 5; try++) {
		length = size_of_try(try, limit);
		if (length > limit || length == 0)
			continue;
		fill(t, 7, length);
		msg = message(t, length);
		msg.tag = can(t, ADAPTER_TAGS) ? 1 : 0;
		error = t->ops->send(t->a, &msg, PATIENCE);
		if (can(t, ADAPTER_FIXED_SIZE) && length != limit)
			good = good && error && t->a->refused.name;
		else
			good = good && !error;
	}
	ok(good, "%s: sizes up to %s = %zu are sent", t->ops->name,
	   t->a->limits.message.name, limit);
	msg = message(t, limit + 1);
	error = t->ops->send(t->a, &msg, 0);
	ok(error == -EMSGSIZE && t->a->refused.name &&
		   t->a->refused.value == limit,
	   "%s: a longer one is refused by the limit's name and value",
	   t->ops->name);
	msg = message(t, can(t, ADAPTER_FIXED_SIZE) ? limit : 1);
	if (t->a->limits.tag.value < UINT32_MAX) {
		msg.tag = (uint32_t)t->a->limits.tag.value + 1;
		error = t->ops->send(t->a, &msg, 0);
		ok(error == -EINVAL && t->a->refused.name &&
			   t->a->refused.value == t->a->limits.tag.value,
		   "%s: a larger tag is refused too", t->ops->name);
	}
	msg = message(t, 0);
	is_int(t->ops->send(t->a, &msg, 0), -EINVAL,
	       "%s: an empty message is refused", t->ops->name);
	msg = message(t, 0);
	is_int(t->ops->recv(t->a, &msg, 0), -EBADF,
	       "%s: a sender does not receive", t->ops->name);
	is_int(part(t), 0, "%s: sizes up to the limit arrive", t->ops->name);
}

/* Create with a request; the error, and whether it named its limit. */
static int
request(struct test *t, size_t message_size, size_t depth, bool *named)
{
	int error;

	t->a = adapter_new(t->ops);
	t->config.name = can(t, ADAPTER_NAMED) ? t->name : NULL;
	t->config.roles = ADAPTER_SENDER;
	t->config.message_size = message_size;
	t->config.depth = depth;
	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	error = t->ops->create(t->a, &t->config);
	*named = t->a->refused.name != NULL && t->a->refused.value > 0;
	adapter_free(t->a);
	if (!error && t->config.name)
		t->ops->unlink(t->ops, t->name);
	t->config.message_size = t->config.depth = 0;
	return error;
}

static void
requests_beyond_limits(struct test *t)
{
	struct adapter_limits most = { 0 };
	bool named = false;
	int error;

	ok(t->ops->limits(&most) == 0 && most.message.name &&
		   most.message.value > 0 && most.tag.name,
	   "%s: limits are there", t->ops->name);
	error = request(t, most.message.value + 1, 0, &named);
	ok(error == -EMSGSIZE && named,
	   "%s: a message size beyond %s = %" PRIu64 " is refused so",
	   t->ops->name, most.message.name, most.message.value);
	if (most.depth.name || most.bytes.name) {
		error = request(t, 0,
				most.depth.name ? most.depth.value + 1
						: most.bytes.value + 1,
				&named);
		ok(error < 0 && named, "%s: so is a depth", t->ops->name);
	}
}

static void
declares_what_it_has(struct test *t)
{
	const struct adapter_ops *o = t->ops;
	struct adapter_limits most = { 0 };

	o->limits(&most);
	ok(can(t, ADAPTER_NAMED) == (o->attach != NULL) &&
		   can(t, ADAPTER_NAMED) == (o->unlink != NULL) &&
		   can(t, ADAPTER_NAMED) != can(t, ADAPTER_FORK_ONLY) &&
		   (can(t, ADAPTER_NAMED) || o->after_fork) &&
		   can(t, ADAPTER_FDPASS) == (o->send_fd && o->recv_fd) &&
		   can(t, ADAPTER_SELECT_TYPE) == (o->recv_tag != NULL) &&
		   can(t, ADAPTER_POLLABLE) == (o->pollfd != NULL) &&
		   can(t, ADAPTER_ZEROCOPY) == ((o->reserve && o->commit) ||
						(o->peek && o->release)) &&
		   (can(t, ADAPTER_TAGS) || most.tag.value == 0),
	   "%s: declares what it has", o->name);
}

/* ---------------------------------------------------------- full and empty */

/* Finds it empty; then receives as much as it is told. */
static int
recv_when_told(struct test *t)
{
	struct adapter_msg msg = message(t, 0);
	int64_t before = adapter_now();
	uint64_t calls = t->a->syscalls;
	uint32_t i, count;
	int error;

	if (!can(t, ADAPTER_LOSSY) && t->ops->recv(t->a, &msg, 0) != -EAGAIN)
		return 1;
	if (t->ops->recv(t->a, &msg, MOMENT) != -ETIMEDOUT ||
	    adapter_now() - before < MOMENT)
		return 2;
	/* It has slept, and all but these count that. */
	if (t->a->syscalls == calls && !can(t, ADAPTER_UNCOUNTED))
		return 6;
	tell(t);
	if (read(t->in, &count, sizeof(count)) != sizeof(count))
		return 3;
	for (i = 0; i < count; i++)
		if (t->ops->recv(t->a, &msg, PATIENCE) ||
		    !filled(t, i, msg.length))
			return 4;
	error = t->ops->recv(t->a, &msg, MOMENT);
	return error == -ETIMEDOUT || error == -EPIPE ? 0 : 5;
}

/* Send until it is full; how many messages of `length` went. */
static uint32_t
fill_up(struct test *t, size_t length)
{
	const struct adapter_limits *limits = &t->a->limits;
	bool bounded = limits->depth.name || limits->bytes.name;
	bool moves = !bounded || can(t, ADAPTER_STREAM);
	struct adapter_msg msg = message(t, length);
	uint32_t sent = 0;
	int64_t before;
	int error = 0;

	/* The first may have to wait: some libraries connect when they like. */
	while (sent < STREAM_MESSAGES && !error) {
		fill(t, sent, length);
		error = t->ops->send(t->a, &msg, sent ? 0 : PATIENCE);
		sent += !error;
	}
	ok(sent > 0 && (error == -EAGAIN || (!bounded && !error)),
	   "%s: full gives -EAGAIN", t->ops->name);
	/* What a kernel or a library moves on makes room a moment later. */
	do {
		fill(t, sent, length);
		before = adapter_now();
		error = t->ops->send(t->a, &msg, MOMENT);
		sent += !error;
	} while (!error && moves && sent < STREAM_MESSAGES);
	if (error || bounded)
		ok(error == -ETIMEDOUT && adapter_now() - before >= MOMENT,
		   "%s: and waiting ends in time, not too early", t->ops->name);
	ok(!limits->depth.name || sent <= limits->depth.value,
	   "%s: not more than its depth", t->ops->name);
	printf("# %s: %u messages of %zu bytes until full\n", t->ops->name,
	       sent, length);
	return sent;
}

static void
full_and_empty(struct test *t)
{
	bool good =
		meet(t, any_way(t), ADAPTER_SENDER, recv_when_told) && hear(t);
	struct adapter_msg msg;
	uint32_t count = 0;
	size_t length;

	if (good && !can(t, ADAPTER_LOSSY)) {
		length = t->a->limits.message.value;
		if (length > 64 && !can(t, ADAPTER_FIXED_SIZE))
			length = length < 4096 ? 64 : 4096;
		msg = message(t, length);
		count = fill_up(t, length) + 1;
		good = write(t->out, &count, sizeof(count)) == sizeof(count);
		fill(t, count - 1, length); /* room again for one that waits */
		good = good && t->ops->send(t->a, &msg, PATIENCE) == 0;
	} else if (good) {
		good = write(t->out, &count, sizeof(count)) == sizeof(count);
	}
	is_int(part(t) + !good, 0,
	       "%s: empty gives -EAGAIN, then -ETIMEDOUT; what was sent is "
	       "there",
	       t->ops->name);
}

/* --------------------------------------------------- what some mechanisms do */

static int
recv_by_tag(struct test *t)
{
	bool select = can(t, ADAPTER_SELECT_TYPE);
	uint32_t order[] = { 3, 2, 1 }, i;
	struct adapter_msg msg;

	if (select) {
		order[0] = 2;
		order[1] = 1;
		order[2] = 3;
	}
	if (!hear(t))
		return 1;
	for (i = 0; i < 3; i++) {
		msg = message(t, 0);
		msg.tag = order[i];
		if (select ? t->ops->recv_tag(t->a, &msg, PATIENCE)
			   : t->ops->recv(t->a, &msg, PATIENCE))
			return 2;
		if (msg.tag != order[i] || !filled(t, order[i], msg.length))
			return 3;
	}
	if (select) {
		msg.tag = 1;
		if (t->ops->recv_tag(t->a, &msg, 0) != -EAGAIN)
			return 4;
	}
	return 0;
}

static void
tags_order_and_select(struct test *t)
{
	const uint32_t tags[] = { 1, 3, 2 };
	struct adapter_msg msg;
	bool good;
	int i;

	if (!can(t, ADAPTER_PRIO | ADAPTER_SELECT_TYPE))
		return;
	good = meet(t, any_way(t), ADAPTER_SENDER, recv_by_tag);
	for (i = 0; i < 3 && good; i++) {
		msg = message(t, length_of(t, 1));
		fill(t, tags[i], msg.length);
		msg.tag = tags[i];
		good = t->ops->send(t->a, &msg, PATIENCE) == 0;
	}
	if (good)
		tell(t);
	is_int(part(t) + !good, 0, "%s: %s", t->ops->name,
	       can(t, ADAPTER_PRIO) ? "higher tags come first"
				    : "messages are selected by their tag");
}

static int
send_when_told(struct test *t)
{
	struct adapter_msg msg;
	uint32_t i;

	for (i = 0; i < 2; i++) {
		if (!hear(t))
			return 1;
		msg = message(t, length_of(t, i));
		fill(t, i, msg.length);
		if (t->ops->send(t->a, &msg, PATIENCE))
			return 2;
	}
	return hear(t) ? 0 : 3;
}

/* Poll as pollfd's comment says, until a message is there. */
static int
poll_and_recv(struct test *t, struct adapter_msg *msg)
{
	struct pollfd p;
	int ready, error;

	while ((error = t->ops->recv(t->a, msg, 0)) == -EAGAIN) {
		ready = t->ops->pollfd(t->a, &p);
		if (ready < 0)
			return ready;
		if (ready == 0 && poll(&p, 1, (int)(PATIENCE / 1000000)) == 0)
			return -ETIMEDOUT;
	}
	return error;
}

static void
poll_tells(struct test *t)
{
	struct adapter_msg msg = message(t, 0);
	struct pollfd p;
	bool good;
	uint32_t i;

	if (!can(t, ADAPTER_POLLABLE))
		return;
	good = meet(t, any_way(t), ADAPTER_RECEIVER, send_when_told);
	for (i = 0; i < 2 && good; i++) {
		/* What poll reports may be the peer's coming only. */
		while (t->ops->recv(t->a, &msg, 0) == -EAGAIN &&
		       t->ops->pollfd(t->a, &p) == 0 && poll(&p, 1, 20) > 0)
			;
		tell(t);
		good = poll_and_recv(t, &msg) == 0 && filled(t, i, msg.length);
	}
	if (good)
		tell(t);
	is_int(part(t) + !good, 0, "%s: poll tells of a message", t->ops->name);
	if (strcmp(t->ops->name, "nng") == 0)
		t->kept += 2; /* nanomsg/nng#1640: not closed before 1.6 */
}

static int
recv_descriptor(struct test *t)
{
	struct adapter_msg msg = message(t, 0);
	char text[8] = "";
	int fd;

	if (t->ops->recv_fd(t->a, PATIENCE) != -EPROTOTYPE ||
	    t->ops->recv(t->a, &msg, PATIENCE))
		return 1;
	if (t->ops->recv(t->a, &msg, PATIENCE) != -EPROTOTYPE)
		return 2;
	fd = t->ops->recv_fd(t->a, PATIENCE);
	if (fd < 0 || pread(fd, text, sizeof(text), 0) != 4 ||
	    strcmp(text, "data") != 0)
		return 3;
	return t->ops->recv(t->a, &msg, PATIENCE) ? 4 : 0;
}

static void
descriptors_pass(struct test *t)
{
	struct adapter_msg msg;
	bool good;
	int fd;

	if (!can(t, ADAPTER_FDPASS))
		return;
	good = meet(t, any_way(t), ADAPTER_SENDER, recv_descriptor);
	fd = memfd_create("data", MFD_CLOEXEC);
	msg = message(t, 1);
	good = good && write(fd, "data", 4) == 4 &&
	       t->ops->send(t->a, &msg, PATIENCE) == 0 &&
	       t->ops->send_fd(t->a, fd, PATIENCE) == 0 &&
	       t->ops->send(t->a, &msg, PATIENCE) == 0;
	close(fd);
	is_int(part(t) + !good, 0, "%s: a descriptor keeps its place",
	       t->ops->name);
}

static int
recv_in_place(struct test *t)
{
	struct adapter_msg msg = { .data = NULL };
	uint32_t i;

	for (i = 0; i < 100; i++) {
		if (!t->ops->peek) {
			msg = message(t, 0);
			if (t->ops->recv(t->a, &msg, PATIENCE))
				return 1;
		} else {
			if (t->ops->peek(t->a, &msg, PATIENCE))
				return 2;
			memcpy(t->data, msg.data, msg.length);
		}
		if (!filled(t, i, msg.length) || msg.length != length_of(t, i))
			return 3;
		if (t->ops->peek && t->ops->release(t->a))
			return 4;
	}
	return 0;
}

static void
works_in_place(struct test *t)
{
	struct adapter_msg msg;
	bool good;
	uint32_t i;

	if (!can(t, ADAPTER_ZEROCOPY))
		return;
	good = meet(t, any_way(t), ADAPTER_SENDER, recv_in_place);
	for (i = 0; i < 100 && good; i++) {
		msg = message(t, length_of(t, i));
		fill(t, i, msg.length);
		if (!t->ops->reserve) {
			good = t->ops->send(t->a, &msg, PATIENCE) == 0;
			continue;
		}
		good = t->ops->reserve(t->a, &msg, PATIENCE) == 0;
		if (good) {
			memcpy(msg.data, t->data, msg.length);
			good = t->ops->commit(t->a, &msg) == 0;
		}
	}
	is_int(part(t) + !good, 0, "%s: messages are made and read in place",
	       t->ops->name);
}

static int
recv_late(struct test *t)
{
	struct adapter_msg msg = message(t, 0);

	return !hear(t) || t->ops->recv(t->a, &msg, PATIENCE) || !hear(t);
}

static void
flush_is_a_rendezvous(struct test *t)
{
	struct adapter_msg msg;
	bool good;

	if (!t->ops->flush)
		return;
	good = meet(t, any_way(t), ADAPTER_SENDER, recv_late);
	msg = message(t, length_of(t, 0));
	good = good && t->ops->send(t->a, &msg, PATIENCE) == 0;
	good = good && t->ops->flush(t->a, MOMENT) == -ETIMEDOUT;
	if (good)
		tell(t);
	good = good && t->ops->flush(t->a, PATIENCE) == 0;
	if (good)
		tell(t);
	is_int(part(t) + !good, 0, "%s: flush waits until all is taken",
	       t->ops->name);
}

/* -------------------------------------------------- more than two processes */

#define SHARE 200 /* messages of each sender */
#define LOSSY_SHARE 20 /* all of them fit into the receiver's buffer */

/* What several processes know of each other, in memory that they share. */
struct crowd {
	char name[ADAPTER_NAME_MAX];
	uint32_t share, expected; /* messages: of each sender, to come in all */
	uint32_t begun; /* all have joined */
	uint32_t met; /* receivers that have got a message */
	uint32_t tried; /* who is one too many has tried to join */
	uint32_t came; /* messages, to all receivers together */
	uint32_t times[3 * SHARE]; /* each; the last are of one too many */
};

static struct crowd *crowd;

/* Wait until a count of the crowd has reached so many. */
static bool
reached(const uint32_t *count, uint32_t least)
{
	int64_t end = adapter_now() + PATIENCE;

	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < least) {
		if (adapter_now() > end)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

static bool
all_came(void)
{
	return __atomic_load_n(&crowd->came, __ATOMIC_ACQUIRE) >=
	       crowd->expected;
}

static int
send_number(struct test *t, uint32_t number, int64_t timeout_ns)
{
	struct adapter_msg msg = message(
		t, can(t, ADAPTER_FIXED_SIZE) ? length_of(t, 0) : (size_t)64);

	fill(t, number, msg.length);
	return t->ops->send(t->a, &msg, timeout_ns);
}

/* Slowly until each receiver has one: some libraries connect when they like.
   Halfway, let one too many try; stay until all has come. */
static int
send_share(struct test *t, uint32_t sender)
{
	uint32_t i;

	for (i = 0; i < crowd->share; i++) {
		if (i == crowd->share / 2 && !reached(&crowd->tried, 1))
			return 1;
		if (send_number(t, sender * SHARE + i, PATIENCE))
			return 2;
		if (__atomic_load_n(&crowd->met, __ATOMIC_RELAXED) <
		    t->receivers)
			poll(NULL, 0, 5);
	}
	return reached(&crowd->came, crowd->expected) ? 0 : 3;
}

/* Each sender's in its order. After the first, wait until the other receiver
   has one, too; after all, no more may come. */
static int
recv_share(struct test *t)
{
	struct adapter_msg msg = message(t, 0);
	uint32_t next[3] = { 0, SHARE, 2 * SHARE }, index, got = 0;
	int64_t end = adapter_now() + 2 * PATIENCE;
	bool last;
	int error;

	for (;;) {
		last = all_came();
		error = t->ops->recv(t->a, &msg, MOMENT);
		if (error == -ETIMEDOUT && !last && adapter_now() < end)
			continue;
		if (error == -ETIMEDOUT || error == -EPIPE)
			return all_came() ? 0 : 1;
		memcpy(&index, t->data, sizeof(index));
		if (error || msg.length < sizeof(index) || index >= 3 * SHARE ||
		    index < next[index / SHARE] ||
		    !filled(t, index, msg.length))
			return 2;
		next[index / SHARE] = index + 1;
		__atomic_fetch_add(&crowd->times[index], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&crowd->came, 1, __ATOMIC_RELEASE);
		if (got++)
			continue;
		__atomic_fetch_add(&crowd->met, 1, __ATOMIC_RELEASE);
		if (!reached(&crowd->met, t->receivers))
			return 3;
	}
}

/* Who is one too many, in mid-stream: must be refused or meet nobody. */
static int
intrude(struct test *t)
{
	bool sends = t->too_many == ADAPTER_SENDER, last = false;
	struct adapter_msg msg = message(t, 0);
	int64_t end = adapter_now() + 2 * PATIENCE;
	int got = 0, error, i;

	if (!reached(&crowd->met, 1))
		return 1;
	t->config.name = crowd->name;
	t->config.roles = t->too_many;
	t->a = adapter_new(t->ops);
	error = t->ops->attach(t->a, &t->config, 10 * MOMENT);
	printf("# %s: %s too many: %s\n", t->ops->name,
	       sends ? "a sender" : "a receiver",
	       error ? strerror(-error) : "meets nobody");
	for (i = 0; !error && sends && i < 5; i++)
		error = send_number(t, 2 * SHARE + (uint32_t)i, MOMENT);
	__atomic_store_n(&crowd->tried, 1, __ATOMIC_RELEASE);
	while (!error && !sends && !last) {
		last = all_came() || adapter_now() > end;
		got += t->ops->recv(t->a, &msg, MOMENT) == 0;
	}
	adapter_free(t->a);
	return got ? 2 : 0;
}

/* How often each message is to come. */
static uint32_t
times_of(const struct test *t, uint32_t index)
{
	if (index / SHARE >= t->senders || index % SHARE >= crowd->share)
		return 0;
	return can(t, ADAPTER_BROADCAST) ? t->receivers : 1;
}

static int
take_part(struct test *t)
{
	if (!reached(&crowd->begun, 1))
		return 4;
	return t->config.roles == ADAPTER_SENDER ? send_share(t, t->who)
						 : recv_share(t);
}

/* Senders and receivers at once, this process, the creator, among them. */
static void
crowd_meets(struct test *t)
{
	unsigned role = t->config.roles;
	uint32_t i;
	pid_t intruder = 0;
	bool good;

	crowd = (struct crowd *)mmap(NULL, sizeof(*crowd),
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd == MAP_FAILED)
		bail("mmap failed");
	crowd->share = can(t, ADAPTER_LOSSY) ? LOSSY_SHARE : SHARE;
	for (i = 0; i < 3 * SHARE; i++)
		crowd->expected += times_of(t, i);
	crowd->tried = !t->too_many;
	if (t->too_many)
		intruder = tap_fork();
	if (t->too_many && intruder == 0)
		_exit(intrude(t));
	t->children = (int)(t->senders + t->receivers) - 1;
	good = meet(t, any_way(t), role, take_part);
	memcpy(crowd->name, t->name, sizeof(crowd->name));
	__atomic_store_n(&crowd->begun, 1, __ATOMIC_RELEASE);
	t->who = t->senders - 1; /* the last sender, if it is one */
	good = good && take_part(t) == 0;
	good = part(t) == 0 && good;
	good = (!intruder || tap_wait(intruder) == 0) && good;
	for (i = 0; i < 3 * SHARE; i++)
		good = good && crowd->times[i] == times_of(t, i);
	ok(good, "%s: creator %s, %u to %u%s: each message comes %s",
	   t->ops->name, role == ADAPTER_SENDER ? "sends" : "receives",
	   t->senders, t->receivers,
	   t->too_many == ADAPTER_SENDER     ? ", a sender too many"
	   : t->too_many == ADAPTER_RECEIVER ? ", a receiver too many"
					     : "",
	   can(t, ADAPTER_BROADCAST) ? "to each once" : "once");
	munmap(crowd, sizeof(*crowd));
}

/* Does it declare that there can be two of this role? */
static bool
takes_two(const struct test *t, unsigned role)
{
	unsigned many = role == ADAPTER_SENDER
				? (unsigned)ADAPTER_MANY_SENDERS
				: ADAPTER_MANY_RECEIVERS | ADAPTER_BROADCAST;

	return can(t, many) &&
	       !(role == t->config.roles &&
		 can(t, ADAPTER_CREATOR_ALONE | ADAPTER_FORK_ONLY));
}

/* As many of both as it declares; one more of a role finds no place. */
static void
several_at_once(struct test *t)
{
	unsigned creator;

	for (creator = ADAPTER_SENDER; creator <= ADAPTER_RECEIVER; creator++) {
		bool senders, receivers;

		t->config.roles = creator;
		senders = takes_two(t, ADAPTER_SENDER);
		receivers = takes_two(t, ADAPTER_RECEIVER);
		for (t->senders = 1; t->senders <= 1u + senders; t->senders++)
			for (t->receivers = 1; t->receivers <= 1u + receivers;
			     t->receivers++)
				if (t->senders + t->receivers > 2)
					apart(crowd_meets, t);
		t->senders = t->receivers = 1;
		t->too_many = ADAPTER_SENDER;
		if (can(t, ADAPTER_NAMED) && !senders)
			apart(crowd_meets, t);
		t->too_many = ADAPTER_RECEIVER;
		if (can(t, ADAPTER_NAMED) && !receivers)
			apart(crowd_meets, t);
		t->too_many = 0;
	}
}

/* ------------------------------------------------------- the peer goes away */

#define SOME 5
#define PROMISED ADAPTER_SECOND /* a dead peer is noticed in this */
#define LATE (5 * ADAPTER_SECOND) /* where nobody knows when it was dead */

static int
send_some(struct test *t)
{
	struct adapter_msg msg;
	uint32_t i;

	for (i = 0; i < SOME; i++) {
		msg = message(t, length_of(t, i));
		fill(t, i, msg.length);
		if (t->ops->send(t->a, &msg, PATIENCE))
			return 1;
	}
	return 0;
}

/* Leave as the test wants; who is killed tells when. */
static int
leave(struct test *t)
{
	int64_t now;

	if (!t->killed)
		return 0;
	poll(NULL, 0, 20); /* then the other side most probably sleeps */
	now = adapter_now();
	if (write(t->out, &now, sizeof(now)) == sizeof(now))
		raise(SIGKILL);
	return 2;
}

static int
send_some_and_leave(struct test *t)
{
	return send_some(t) || leave(t);
}

static int
recv_one_and_leave(struct test *t)
{
	struct adapter_msg msg = message(t, 0);

	return t->ops->recv(t->a, &msg, PATIENCE) || leave(t);
}

/* Was the peer's death noticed soon enough? */
static bool
in_time(struct test *t)
{
	int64_t now = adapter_now(), then;

	if (!t->killed)
		return true;
	if (read(t->in, &then, sizeof(then)) != sizeof(then))
		return false;
	printf("# %s: killed peer noticed after %" PRId64 " us\n", t->ops->name,
	       (now - then) / 1000);
	return now - then < LATE;
}

/* Receive until an error: some messages, then the end of the peer. */
static int
recv_until_error(struct test *t, uint32_t *came, int64_t timeout_ns)
{
	struct adapter_msg msg = message(t, 0);
	int error;

	while ((error = t->ops->recv(t->a, &msg, timeout_ns)) == 0) {
		if (*came >= SOME || !filled(t, *came, msg.length))
			return -EBADMSG;
		(*came)++;
	}
	return error;
}

static void
sender_goes_away(struct test *t)
{
	int64_t end = adapter_now() + PATIENCE;
	bool good = meet(t, any_way(t), ADAPTER_RECEIVER, send_some_and_leave);
	bool told = can(t, ADAPTER_PEER_DEATH);
	uint32_t came = 0;
	int error;

	do {
		error = !good	  ? -ECHILD
			: t->spin ? recv_until_error(t, &came, 0)
			: told	  ? recv_until_error(t, &came, -1)
				  : recv_until_error(t, &came, MOMENT);
		sched_yield();
	} while (told && error == -EAGAIN && adapter_now() < end);
	good = told ? error == -EPIPE && in_time(t) &&
			       (t->killed || came == SOME)
		    : error == -EAGAIN || error == -ETIMEDOUT ||
			       error == -EPIPE;
	is_int(part(t), t->killed ? -SIGKILL : 0, "%s: sender %s, %s",
	       t->ops->name, t->killed ? "killed" : "closes",
	       t->spin ? "trying" : "waiting");
	ok(good, "%s: its receiver: %s after %u messages", t->ops->name,
	   strerror(-error), came);
}

static void
receiver_goes_away(struct test *t)
{
	int64_t end = adapter_now() + PATIENCE;
	bool good = meet(t, any_way(t), ADAPTER_SENDER, recv_one_and_leave);
	bool told = can(t, ADAPTER_PEER_DEATH);
	struct adapter_msg msg;
	int error = -ECHILD;

	do {
		if (!good)
			break;
		msg = message(t, length_of(t, 0));
		error = t->ops->send(t->a, &msg, t->spin ? 0 : -1);
		if (error) /* each yield may cost a slice of time */
			sched_yield();
	} while (told && (!error || error == -EAGAIN) && adapter_now() < end);
	good = told ? error == -EPIPE && in_time(t) : !error;
	is_int(part(t), t->killed ? -SIGKILL : 0, "%s: receiver %s, %s",
	       t->ops->name, t->killed ? "killed" : "closes",
	       t->spin ? "trying" : "waiting");
	ok(good, "%s: its sender: %s", t->ops->name,
	   told ? strerror(-error) : "not told");
}

static void
peer_goes_away(struct test *t)
{
	int killed, spin;

	for (killed = 0; killed < 2; killed++)
		for (spin = 0; spin < 2; spin++) {
			t->killed = killed;
			t->spin = spin;
			apart(sender_goes_away, t);
			apart(receiver_goes_away, t);
		}
}

static int
send_for_ever(struct test *t)
{
	struct adapter_msg msg;
	uint32_t i;

	for (i = 0;; i++) {
		msg = message(t, length_of(t, i));
		fill(t, i, msg.length);
		if (t->ops->send(t->a, &msg, PATIENCE))
			return 1;
	}
}

static int
recv_for_ever(struct test *t)
{
	struct adapter_msg msg = message(t, 0);

	while (t->ops->recv(t->a, &msg, PATIENCE) == 0)
		;
	return 1;
}

/* The message of this number, from here or to here; -EBADMSG: not that one. */
static int
stream_one(struct test *t, uint32_t number, int64_t timeout_ns)
{
	bool sends = t->config.roles == ADAPTER_SENDER;
	struct adapter_msg msg =
		message(t, sends ? length_of(t, number) : (size_t)0);
	int error;

	if (sends) {
		fill(t, number, msg.length);
		return t->ops->send(t->a, &msg, timeout_ns);
	}
	error = t->ops->recv(t->a, &msg, timeout_ns);
	if (!error && can(t, ADAPTER_LOSSY))
		memcpy(&number, t->data, sizeof(number));
	return error || filled(t, number, msg.length) ? error : -EBADMSG;
}

/* Kill the child; it is dead afterwards, though not reaped yet. */
static void
kill_and_see(pid_t child)
{
	siginfo_t info;

	kill(child, SIGKILL);
	while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT))
		if (errno != EINTR)
			bail("waitid failed");
}

/*
 * The peer is killed at any moment, while messages flow. Counted is from its
 * death on; for a receiver from where nothing is left of what it had sent.
 */
static void
killed_in_mid_stream(struct test *t)
{
	bool told = can(t, ADAPTER_PEER_DEATH), endless, good;
	bool sends = t->config.roles == ADAPTER_SENDER;
	uint32_t i = 0, before = 1 + (uint32_t)(tap_random() % 200);
	int64_t since = 0, took;
	bool killed = false;
	int error = 0;

	good = meet(t, any_way(t), t->config.roles,
		    sends ? recv_for_ever : send_for_ever);
	for (; good && !error && i < STREAM_MESSAGES; i++) {
		if (!sends)
			since = adapter_now();
		error = stream_one(t, i, told || !killed ? PATIENCE : MOMENT);
		if (i == before) {
			kill_and_see(t->child[0]);
			killed = true;
			since = adapter_now();
		}
	}
	took = adapter_now() - since;
	endless = sends &&
		  (can(t, ADAPTER_LOSSY) ||
		   !(t->a->limits.depth.name || t->a->limits.bytes.name));
	good = good && killed &&
	       (told ? error == -EPIPE && took < PROMISED
		     : error == -ETIMEDOUT || error == -EPIPE ||
				(endless && !error));
	printf("# %s: %s after %u of %u messages, %" PRId64 " us\n",
	       t->ops->name, strerror(-error), before, i, took / 1000);
	is_int(part(t), -SIGKILL, "%s: %s is killed in mid-stream",
	       t->ops->name, sends ? "receiver" : "sender");
	ok(good, "%s: the other side: %s", t->ops->name,
	   told ? strerror(-error) : "its time-out");
}

static void
peer_is_killed_in_mid_stream(struct test *t)
{
	unsigned roles;

	for (roles = ADAPTER_SENDER; roles <= ADAPTER_RECEIVER; roles++) {
		t->config.roles = roles;
		apart(killed_in_mid_stream, t);
	}
}

/* No process is left that has the object, and the messages are. */
static void
messages_outlive_processes(struct test *t)
{
	uint32_t came = 0;
	int killed, error;
	pid_t child;

	if (!can(t, ADAPTER_PERSISTENT))
		return;
	t->config.name = t->name;
	for (killed = 0; killed < 2; killed++) {
		snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
		child = tap_fork();
		if (child == 0) {
			t->a = adapter_new(t->ops);
			t->config.roles = ADAPTER_SENDER;
			error = t->ops->create(t->a, &t->config);
			if (error || send_some(t))
				_exit(1);
			if (killed)
				raise(SIGKILL);
			adapter_free(t->a);
			_exit(0);
		}
		is_int(tap_wait(child), killed ? -SIGKILL : 0,
		       "%s: a sender alone %s", t->ops->name,
		       killed ? "is killed" : "closes");
		child = tap_fork();
		if (child == 0) {
			t->a = adapter_new(t->ops);
			t->config.roles = ADAPTER_RECEIVER;
			error = t->ops->attach(t->a, &t->config, PATIENCE);
			if (!error)
				error = recv_until_error(t, &came, 0);
			printf("# %s: %u messages, then %s\n", t->ops->name,
			       came, strerror(-error));
			adapter_free(t->a);
			_exit(came != SOME ||
			      (error != -EAGAIN && error != -EPIPE));
		}
		is_int(tap_wait(child), 0, "%s: what it sent comes later",
		       t->ops->name);
		t->ops->unlink(t->ops, t->name);
	}
}

/* ----------------------------------------------------------------- signals */

static void
on_signal(int number)
{
	(void)number;
}

static void
storm(bool on)
{
	static timer_t timer;
	struct sigaction action = { .sa_handler = on_signal };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGUSR1 };
	struct itimerspec every = { .it_interval.tv_nsec = 1000000,
				    .it_value.tv_nsec = 1000000 };

	if (!on) {
		timer_delete(timer);
		return;
	}
	sigaction(SIGUSR1, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &every, NULL))
		bail("timer_create failed");
}

static int
recv_in_storm(struct test *t)
{
	struct adapter_msg msg = message(t, 0);
	int64_t before = adapter_now();
	int error;

	storm(true);
	error = t->ops->recv(t->a, &msg, MOMENT);
	if (error != -ETIMEDOUT || adapter_now() - before < MOMENT)
		return 10;
	tell(t);
	return recv_stream(t);
}

static void
signals_do_not_disturb(struct test *t)
{
	bool good =
		meet(t, any_way(t), ADAPTER_SENDER, recv_in_storm) && hear(t);

	storm(true);
	good = good && send_stream(t) == 0;
	storm(false);
	is_int(part(t) + !good, 0, "%s: a storm of signals does not disturb",
	       t->ops->name);
}

/* --------------------------------------------- refused, exhausted, left over */

static void
stranger_is_refused(struct test *t)
{
	struct adapter *second;
	pid_t child;
	int error;

	if (!can(t, ADAPTER_NAMED))
		return;
	if (geteuid() != 0) {
		skip("another user's permissions: needs root");
		return;
	}
	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	t->config.name = t->name;
	t->config.roles = ADAPTER_SENDER;
	child = tap_fork();
	if (child == 0) {
		t->a = adapter_new(t->ops);
		t->config.roles = ADAPTER_RECEIVER;
		if (setgid(65534) || setuid(65534))
			_exit(1);
		error = t->ops->attach(t->a, &t->config, PATIENCE);
		_exit(error == -EACCES || error == -EPERM ? 0 : 2);
	}
	t->a = adapter_new(t->ops);
	error = t->ops->create(t->a, &t->config);
	is_int(tap_wait(child) - error, 0,
	       "%s: another user is refused permission", t->ops->name);
	second = adapter_new(t->ops);
	error = t->ops->create(second, &t->config);
	adapter_free(second);
	is_int(error, -EEXIST, "%s: a second creator is refused", t->ops->name);
	adapter_free(t->a);
	is_int(t->ops->unlink(t->ops, t->name), 0, "%s: the name goes",
	       t->ops->name);
	is_int(t->ops->unlink(t->ops, t->name), -ENOENT, "%s: only once",
	       t->ops->name);
	t->a = adapter_new(t->ops);
	is_int(t->ops->attach(t->a, &t->config, 0), -ENOENT,
	       "%s: attach to no name", t->ops->name);
	is_int(t->ops->attach(t->a, &t->config, MOMENT), -ETIMEDOUT,
	       "%s: attach waits in vain", t->ops->name);
	adapter_free(t->a);
}

/* The mechanisms do not take each other's names. */
static void
name_is_its_own(struct test *t)
{
	struct adapter *other;
	unsigned taken = 0;
	int error;
	size_t i;

	if (!can(t, ADAPTER_NAMED))
		return;
	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	t->config.name = t->name;
	t->config.roles = ADAPTER_RECEIVER;
	t->a = adapter_new(t->ops);
	error = t->ops->create(t->a, &t->config);
	for (i = 0; i < ADAPTER_COUNT && !error; i++) {
		const struct adapter_ops *ops = adapter_all[i];

		/* nng holds descriptors for good; it has its own turn. */
		if (ops == t->ops || ops->missing ||
		    !(ops->caps & ADAPTER_NAMED) ||
		    strcmp(ops->name, "nng") == 0)
			continue;
		other = adapter_new(ops);
		if (ops->create(other, &t->config)) {
			printf("# %s takes the name of %s\n", t->ops->name,
			       ops->name);
			taken++;
		} else {
			adapter_free(other);
			ops->unlink(ops, t->name);
		}
	}
	adapter_free(t->a);
	if (!error)
		error = t->ops->unlink(t->ops, t->name);
	is_int((int)taken - error, 0,
	       "%s: all others can have the same name beside it", t->ops->name);
}

/* No file may be larger. What the tests print may go into one: at its end, as
 * the process prints, it is back to what it was. */
static void
no_file_beyond(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
	signal(SIGXFSZ, SIG_DFL);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		_exit(9);
}

static void
no_files(void)
{
	no_file_beyond(0);
}

static void
small_files(void)
{
	no_file_beyond(512);
}

/* Create, then send until refused, where `exhaust` has left nothing. */
static int
use_up(struct test *t, void (*exhaust)(void), const char *limit)
{
	struct adapter_msg msg;
	pid_t child = tap_fork();
	int error, i;

	if (child)
		return tap_wait(child);
	exhaust();
	t->a = adapter_new(t->ops);
	t->config.name = can(t, ADAPTER_NAMED) ? t->name : NULL;
	t->config.roles = ADAPTER_SENDER;
	error = t->ops->create(t->a, &t->config);
	if (!error && !t->config.name)
		error = t->ops->after_fork(t->a, false);
	for (i = 0; !error && i < 100; i++) {
		msg = message(t, length_of(t, 0));
		error = t->ops->send(t->a, &msg, 0);
	}
	no_file_beyond(RLIM_INFINITY);
	if (t->a->refused.name)
		printf("# %s: %s, %s is %" PRIu64 "\n", t->ops->name,
		       strerror(-error), t->a->refused.name,
		       t->a->refused.value);
	else
		printf("# %s: %s\n", t->ops->name, strerror(-error));
	if (t->a->open && t->config.name)
		t->ops->unlink(t->ops, t->name);
	/* Refused by its name, or never in need of it. */
	_exit(error == 0 || error == -EAGAIN || error == -EPIPE ||
			      t->a->refused.name
		      ? limit && (!t->a->refused.name ||
				  strcmp(limit, t->a->refused.name) != 0)
		      : 2);
}

static void
set_limit(int resource, rlim_t value)
{
	struct rlimit limit = { value, value };

	if (setrlimit((__rlimit_resource_t)resource, &limit))
		_exit(9);
}

static void
no_descriptors(void)
{
	set_limit(RLIMIT_NOFILE, 0);
}

static void
no_queues(void)
{
	set_limit(RLIMIT_MSGQUEUE, 100);
}

/* It is the receiver's limit that counts. */
static int
allow_few_pending(struct test *t)
{
	set_limit(RLIMIT_SIGPENDING, 2);
	tell(t);
	hear(t);
	return 0;
}

static void
pending_signals_run_out(struct test *t)
{
	bool good = meet(t, any_way(t), ADAPTER_SENDER, allow_few_pending);
	struct adapter_msg msg;
	int i, error = 0;

	good = good && hear(t);
	for (i = 0; good && !error && i < 100; i++) {
		msg = message(t, length_of(t, 0));
		error = t->ops->send(t->a, &msg, 0);
	}
	ok(error == -EAGAIN && t->a->refused.name &&
		   strcmp(t->a->refused.name, "RLIMIT_SIGPENDING") == 0,
	   "%s: RLIMIT_SIGPENDING is used up", t->ops->name);
	is_int(part(t) + !good, 0, "%s: its receiver ends", t->ops->name);
}

static void
no_shared_memory(void)
{
	char zeros[4096] = "";
	int fd;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=16k"))
		_exit(77);
	fd = open("/dev/shm/full", O_WRONLY | O_CREAT, 0600);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	close(fd);
}

static void
resources_run_out(struct test *t)
{
	int status;

	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	is_int(use_up(t, no_descriptors, NULL), 0, "%s: no descriptor left",
	       t->ops->name);
	is_int(use_up(t, no_files, NULL), 0, "%s: RLIMIT_FSIZE is 0: no signal",
	       t->ops->name);
	is_int(use_up(t, small_files, NULL), 0,
	       "%s: RLIMIT_FSIZE is small: the same", t->ops->name);
	if (strcmp(t->ops->name, "posix_mq") == 0)
		is_int(use_up(t, no_queues, "RLIMIT_MSGQUEUE"), 0,
		       "%s: RLIMIT_MSGQUEUE is used up", t->ops->name);
	if (strcmp(t->ops->name, "signal") == 0)
		pending_signals_run_out(t);
	status = use_up(t, no_shared_memory, NULL);
	if (status == 77)
		skip("a private /dev/shm: not permitted");
	else
		is_int(status, 0, "%s: /dev/shm is full", t->ops->name);
}

/* ------------------------------------------------------------ surroundings */

/* Some of this the header of the ring does since layout 2. */
static bool
ring_of_layout_1(const struct test *t)
{
	return SHMRING_LAYOUT < 2 && strncmp(t->ops->name, "shmring", 7) == 0;
}

/* Those of a library are its own. */
static bool
makes_its_own_descriptors(const struct test *t)
{
	return can(t, ADAPTER_UNCOUNTED) &&
	       strncmp(t->ops->name, "shmring", 7) != 0;
}

/* Both sides in one process, as far as they come without the other's help;
 * the status tells of descriptors below 3. */
static int
use_without_standard_descriptors(struct test *t)
{
	struct adapter *peer = adapter_new(t->ops);
	struct pollfd told;
	int fd, low = 0;

	for (fd = 0; fd < 3; fd++)
		close(fd);
	t->a = adapter_new(t->ops);
	t->config.roles = ADAPTER_RECEIVER;
	t->config.name = can(t, ADAPTER_NAMED) ? t->name : NULL;
	if (t->ops->create(t->a, &t->config))
		return 8;
	t->config.roles = ADAPTER_SENDER;
	if (!can(t, ADAPTER_NAMED))
		t->ops->after_fork(t->a, false);
	else if (t->ops->attach(peer, &t->config, MOMENT))
		low = 16;
	if (can(t, ADAPTER_POLLABLE))
		t->ops->pollfd(t->a, &told);
	for (fd = 0; fd < 3; fd++)
		low |= (fcntl(fd, F_GETFD) >= 0) << fd;
	adapter_free(peer);
	adapter_free(t->a);
	if (t->config.name)
		t->ops->unlink(t->ops, t->name);
	return low;
}

static void
descriptors_are_above_stderr(struct test *t)
{
	pid_t child;

	if (makes_its_own_descriptors(t) || ring_of_layout_1(t))
		return;
	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	child = tap_fork();
	if (child == 0)
		_exit(use_without_standard_descriptors(t));
	is_int(tap_wait(child), 0,
	       "%s: takes no descriptor below 3, though they are closed",
	       t->ops->name);
}

static int
send_late(struct test *t)
{
	struct adapter_msg msg = message(t, length_of(t, 0));

	poll(NULL, 0, MOMENT / 1000000);
	return t->ops->send(t->a, &msg, INT64_MAX - 1) || !hear(t);
}

static void
longest_timeouts_wait(struct test *t)
{
	struct adapter_msg msg;
	bool good;

	if (ring_of_layout_1(t))
		return;
	good = meet(t, any_way(t), ADAPTER_RECEIVER, send_late);
	msg = message(t, 0);
	good = good && t->ops->recv(t->a, &msg, INT64_MAX - 1) == 0;
	if (good)
		tell(t);
	is_int(part(t) + !good, 0,
	       "%s: a time-out of INT64_MAX - 1 is no short one", t->ops->name);
}

/* A FIFO has the name, in either place where names are. */
static void
foreign_name_is_refused(struct test *t)
{
	char path[2][128];
	pid_t child;
	int i;

	if (!can(t, ADAPTER_NAMED) || strcmp(t->ops->name, "fifo") == 0)
		return;
	snprintf(t->name, sizeof(t->name), "%s", tap_name() + 1);
	snprintf(path[0], sizeof(path[0]), "%s/%s.%s", directory, t->name,
		 t->ops->name);
	snprintf(path[1], sizeof(path[1]), "/dev/shm/%s.%s", t->name,
		 t->ops->name);
	for (i = 0; i < 2; i++)
		if (mkfifo(path[i], 0600))
			bail("mkfifo failed");
	child = tap_fork();
	if (child == 0) {
		tap_watchdog(10);
		t->a = adapter_new(t->ops);
		t->config.name = t->name;
		t->config.roles = ADAPTER_RECEIVER;
		_exit(t->ops->attach(t->a, &t->config, MOMENT) == 0);
	}
	is_int(tap_wait(child), 0,
	       "%s: attach to a FIFO fails, and does not hang", t->ops->name);
	for (i = 0; i < 2; i++)
		unlink(path[i]);
}

/* 16 TiB, of who allows so much. If they were allocated all the same, it would
 * end at the limit. */
static void
too_large_a_request(struct test *t)
{
	static const char *const makers[] = {
		"mmap_file", "sysv_shm",   "posix_shm_sem", "posix_shm_mutex",
		"eventfd",   "process_vm", "shmring_spsc",  "shmring_mpmc",
	};
	bool makes = false, named;
	pid_t child;
	int error;
	size_t i;

	for (i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		makes = makes || strcmp(makers[i], t->ops->name) == 0;
	if (!makes)
		return;
	child = tap_fork();
	if (child == 0) {
		set_limit(RLIMIT_FSIZE, 16 << 20);
		error = request(t, 1 << 30, 1 << 14, &named);
		_exit(!named || (error != -ENOSPC && error != -EFBIG));
	}
	is_int(tap_wait(child), 0,
	       "%s: more than there is room for is refused by what limit",
	       t->ops->name);
}

static void
room_is_judged(void)
{
	struct adapter_limit least;
	int fd = memfd_create("room", MFD_CLOEXEC);

	is_int(adapter_room(fd, 1, &least), 0, "room for a byte in memory");
	is_int(adapter_room(fd, UINT64_MAX / 2, &least), -ENOSPC,
	       "no room for 8 EiB");
	printf("# %s is %" PRIu64 "\n", least.name, least.value);
	ok(least.value > 0 && least.value < UINT64_MAX / 4,
	   "whose limit it is, and how much, is told");
	is_int(adapter_room(-1, UINT64_MAX / 2, &least), -ENOSPC,
	       "nor without a file");
	is_int(adapter_room_in("/", UINT64_MAX / 2, &least), -ENOSPC,
	       "nor on a disk");
	ok(strcmp(least.name, "free bytes of the file system") == 0,
	   "which is then told");
	close(fd);
}

static unsigned
entries(const char *path, const char *containing)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.' &&
		    strstr(entry->d_name, containing)) {
			printf("# left: %s/%s\n", path, entry->d_name);
			count++;
		}
	if (d)
		closedir(d);
	return count;
}

/* Lines below the heading of a table of System V objects. */
static unsigned
objects(const char *path)
{
	char line[256];
	unsigned lines = 0;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		if (lines++)
			printf("# left: %s: %s", path, line);
	if (f)
		fclose(f);
	return lines ? lines - 1 : 0;
}

static void
nothing_is_left(struct test *t)
{
	char mine[32];
	unsigned left;

	snprintf(mine, sizeof(mine), "tap-%ld-", (long)tap.pid);
	left = entries("/dev/shm", mine) + entries(directory, "");
	is_int(left, 0, "%s: no file is left", t->ops->name);
	is_int(t->left, 0, "%s: no descriptor is left", t->ops->name);
	if (!own_ipc) {
		skip("System V and POSIX queues: no namespace of its own");
		return;
	}
	left = entries(queues, "") + objects("/proc/sysvipc/msg") +
	       objects("/proc/sysvipc/shm") + objects("/proc/sysvipc/sem");
	is_int(left, 0, "%s: no System V object, no queue is left",
	       t->ops->name);
}

/* A library may open some for good, but only once. */
static void
keeps_no_descriptors(struct test *t)
{
	unsigned before = descriptors(), kept;
	pid_t child = tap_fork();
	bool named;
	int status;

	if (child == 0) {
		request(t, 0, 0, &named);
		kept = descriptors();
		request(t, 0, 0, &named);
		_exit(descriptors_beyond(kept) ? 99 : (int)(kept - before));
	}
	status = tap_wait(child);
	ok(status >= 0 && status < 99,
	   "%s: a second endpoint leaves no more "
	   "descriptors than the first: %d",
	   t->ops->name, status);
	t->kept = (unsigned)status;
}

static void
keeps_the_contract(const struct adapter_ops *ops)
{
	static void (*const parts[])(struct test * t) = {
		declares_what_it_has,
		requests_beyond_limits,
		sizes_up_to_limit,
		full_and_empty,
		stream_content,
		both_ways,
		tags_order_and_select,
		poll_tells,
		descriptors_pass,
		works_in_place,
		flush_is_a_rendezvous,
		several_at_once,
		peer_goes_away,
		peer_is_killed_in_mid_stream,
		messages_outlive_processes,
		signals_do_not_disturb,
		stranger_is_refused,
		name_is_its_own,
		resources_run_out,
		descriptors_are_above_stderr,
		longest_timeouts_wait,
		foreign_name_is_refused,
		too_large_a_request,
	};
	struct test *t = &test;
	size_t i;

	tap_watchdog(240 + 60 * (unsigned)tap_seconds());
	memset(t, 0, sizeof(*t));
	t->children = 1;
	t->ops = ops;
	keeps_no_descriptors(t);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		apart(parts[i], t);
	nothing_is_left(t);
}

int
main(int argc, char **argv)
{
	char why[128];
	size_t i;
	int j;

	tap_start();
	if (!mkdtemp(directory) || chmod(directory, 0755) ||
	    setenv("TMPDIR", directory, 1))
		bail("no directory for the names");
	snprintf(queues, sizeof(queues), "%s.mq", directory);
	own_ipc = unshare(CLONE_NEWIPC | CLONE_NEWNS) == 0 &&
		  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		  mkdir(queues, 0700) == 0 &&
		  mount("mqueue", queues, "mqueue", 0, NULL) == 0;
	room_is_judged();
	for (i = 0; i < ADAPTER_COUNT; i++) {
		for (j = 1; j < argc; j++)
			if (strcmp(argv[j], adapter_all[i]->name) == 0)
				break;
		if (argc > 1 && j == argc)
			continue;
		if (adapter_all[i]->missing) {
			snprintf(why, sizeof(why), "%s: needs %s",
				 adapter_all[i]->name, adapter_all[i]->missing);
			skip(why);
			continue;
		}
		keeps_the_contract(adapter_all[i]);
	}
	if (own_ipc)
		umount(queues);
	rmdir(queues);
	rmdir(directory);
	return tap_done();
}
