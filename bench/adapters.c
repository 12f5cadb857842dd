/* SPDX-License-Identifier: MIT */
/* adapters.c - every adapter of include/adapters as a mechanism */
#include "adapters/adapter.h"
#include "adapters/all.h"

#include "loop.h"

#define HYBRID_SPIN (50 * 1000) /* ns; as long as shmring's default */

/** Keep what the mechanism said about its last refusal. */
LOOP int
noted(struct channel *ch, const struct adapter *a, int error)
{
	if (__builtin_expect(error && error != -EAGAIN && a->refused.name, 0)) {
		ch->why = a->refused.name;
		ch->limit = a->refused.value;
	}
	return error;
}

/* ----------------------------------------------------------- for the loops */

LOOP int
send_one(struct channel *ch, size_t size, int64_t timeout)
{
	struct adapter *a = ch->own;
	struct adapter_msg msg = { .data = ch->out, .length = size };

	return noted(ch, a, a->ops->send(a, &msg, timeout));
}

LOOP int
receive_one(struct channel *ch, size_t size, const void **message,
	    int64_t timeout)
{
	struct adapter *a = ch->own;
	struct adapter_msg msg = { .data = ch->in, .capacity = ch->room };
	int error = noted(ch, a, a->ops->recv(a, &msg, timeout));

	*message = ch->in;
	return error ? error : msg.length == size ? 0 : -EBADMSG;
}

static int
put(struct channel *ch, size_t size)
{
	return send_one(ch, size, 0);
}

static int
get(struct channel *ch, size_t size, const void **message)
{
	return receive_one(ch, size, message, 0);
}

static int
put_wait(struct channel *ch, size_t size)
{
	int64_t until;
	int error = -EAGAIN;

	if (ch->job->style.wait == WAIT_HYBRID)
		for (until = bench_now() + HYBRID_SPIN;
		     error == -EAGAIN && bench_now() < until;)
			error = put(ch, size);
	return error == -EAGAIN ? send_one(ch, size, -1) : error;
}

static int
get_wait(struct channel *ch, size_t size, const void **message)
{
	int64_t until;
	int error = -EAGAIN;

	if (ch->job->style.wait == WAIT_HYBRID)
		for (until = bench_now() + HYBRID_SPIN;
		     error == -EAGAIN && bench_now() < until;)
			error = get(ch, size, message);
	return error == -EAGAIN ? receive_one(ch, size, message, -1) : error;
}

static const struct loop_ops ops = {
	.slot = loop_slot_copy,
	.put = put,
	.put_wait = put_wait,
	.get = get,
	.get_wait = get_wait,
	.done = loop_done_copy,
	.keeps_rest = true,
};

LOOP_RUN(run, ops)

/* -------------------------------------------------------------- life cycle */

static struct adapter_config
configuration(const struct channel *ch)
{
	const struct adapter_ops *mechanism = ch->job->mechanism->data;

	return (struct adapter_config){
		.name = mechanism->caps & ADAPTER_NAMED ? ch->name : NULL,
		.roles = ch->sends ? ADAPTER_SENDER : ADAPTER_RECEIVER,
		/* Several senders share only what the default grants. */
		.message_size = ch->job->senders > 1 ? 0 : ch->job->size,
		.depth = ch->job->depth,
	};
}

static int
create(struct channel *ch)
{
	const struct adapter_ops *mechanism = ch->job->mechanism->data;
	struct adapter_config config = configuration(ch);
	struct adapter *a = adapter_new(mechanism);

	ch->own = a;
	return a ? noted(ch, a, mechanism->create(a, &config)) : -ENOMEM;
}

/** Room for the largest message that may come. */
static int
grow_buffers(struct channel *ch, const struct adapter *a)
{
	size_t most = (size_t)a->limits.message.value;

	if (ch->job->size > most)
		return -EMSGSIZE;
	if (!ch->receives || most <= ch->room)
		return 0;
	free(ch->in);
	ch->in = malloc(most);
	ch->room = most;
	return ch->in ? 0 : -ENOMEM;
}

static int
join(struct channel *ch)
{
	const struct adapter_ops *mechanism = ch->job->mechanism->data;
	struct adapter_config config = configuration(ch);
	struct adapter *a = ch->own;
	int error = 0;

	if (!config.name) {
		error = mechanism->after_fork(a, !ch->creator);
	} else if (!ch->creator) {
		a = ch->own = adapter_new(mechanism);
		if (!a)
			return -ENOMEM;
		error = mechanism->attach(a, &config, -1);
	}
	if (!error) {
		error = grow_buffers(ch, a);
		if (error == -EMSGSIZE)
			a->refused = a->limits.message;
	}
	return noted(ch, a, error);
}

static void
leave(struct channel *ch)
{
	adapter_free(ch->own);
}

static uint64_t
count_syscalls(const struct channel *ch)
{
	return ((const struct adapter *)ch->own)->syscalls;
}

static const char *
refuses(const struct job *job)
{
	const struct adapter_ops *mechanism = job->mechanism->data;
	struct adapter_limits limits = { 0 };

	if ((mechanism->caps & ADAPTER_FIXED_SIZE) && job->senders > 1)
		return "messages of one size only, the default's";
	if ((mechanism->caps & ADAPTER_CREATOR_ALONE) && job->senders > 1 &&
	    job->receivers > 1)
		return "whoever binds is alone on its side";
	if (mechanism->limits(&limits) == 0 && limits.message.name &&
	    job->size > limits.message.value) {
		static char text[128];

		snprintf(text, sizeof(text), "%s is %llu", limits.message.name,
			 (unsigned long long)limits.message.value);
		return text;
	}
	return NULL;
}

static void
unlink_name(const struct mechanism *mechanism, const char *name)
{
	const struct adapter_ops *a = mechanism->data;

	if (a->unlink)
		a->unlink(a, name);
}

static const struct mechanism *list[ADAPTER_COUNT + 1];

const struct mechanism *const *
adapter_mechanisms(void)
{
	static struct mechanism made[ADAPTER_COUNT];
	static const unsigned map[][2] = {
		{ ADAPTER_MANY_SENDERS, CAP_MANY_SENDERS },
		{ ADAPTER_MANY_RECEIVERS, CAP_MANY_RECEIVERS },
		{ ADAPTER_LOSSY, CAP_LOSSY },
		{ ADAPTER_BROADCAST, CAP_BROADCAST },
		{ ADAPTER_NAMED, CAP_NAMED },
		{ ADAPTER_HELD_UP, CAP_HELD_UP },
	};
	size_t i, k;

	for (i = 0; i < ADAPTER_COUNT; i++) {
		const struct adapter_ops *a = adapter_all[i];

		made[i] = (struct mechanism){
			.name = a->name,
			.summary = a->summary,
			.missing = a->missing,
			.caps = CAP_SPIN | CAP_HYBRID | CAP_SLOW,
			.data = a,
			.refuses = refuses,
			.create = create,
			.join = join,
			.leave = leave,
			.unlink = unlink_name,
			.syscalls = a->caps & ADAPTER_UNCOUNTED
					    ? NULL
					    : count_syscalls,
			.run = run,
		};
		/* Who spins first is hybrid, and cannot just block. */
		if (!(a->caps & ADAPTER_SPINS_FIRST))
			made[i].caps |= CAP_BLOCK;
		for (k = 0; k < sizeof(map) / sizeof(map[0]); k++)
			if (a->caps & map[k][0])
				made[i].caps |= map[k][1];
		list[i] = &made[i];
	}
	return list;
}
