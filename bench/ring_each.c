/* SPDX-License-Identifier: MIT */
/*
 * ring_each.c - what a user without BROADCAST would do: an SPSC ring for each
 * receiver, which the sender writes one after the other.
 */
#include "shmring.h"

#include "loop.h"

/* A sender has all of them, a receiver only the first. */
struct rings {
	struct shmring ring[BENCH_WORKERS];
	unsigned count, next; /* next: the one to write to */
};

LOOP int
each_put(struct channel *ch, size_t size)
{
	struct rings *rings = ch->own;
	int error;

	for (; rings->next < rings->count; rings->next++) {
		error = shmring_push(&rings->ring[rings->next], ch->out, size);
		if (error)
			return error;
	}
	rings->next = 0;
	return 0;
}

LOOP int
each_put_wait(struct channel *ch, size_t size)
{
	struct rings *rings = ch->own;
	unsigned i;
	int error = 0;

	for (i = 0; i < rings->count && !error; i++)
		error = shmring_push_wait(&rings->ring[i], ch->out, size, -1);
	return error;
}

LOOP int
each_get(struct channel *ch, size_t size, const void **message)
{
	struct rings *rings = ch->own;
	ssize_t n = shmring_pop(&rings->ring[0], ch->in, size);

	*message = ch->in;
	return n < 0 ? (int)n : 0;
}

LOOP int
each_get_wait(struct channel *ch, size_t size, const void **message)
{
	struct rings *rings = ch->own;
	ssize_t n = shmring_pop_wait(&rings->ring[0], ch->in, size, -1);

	*message = ch->in;
	return n < 0 ? (int)n : 0;
}

static const struct loop_ops each_ops = {
	.slot = loop_slot_copy,
	.put = each_put,
	.put_wait = each_put_wait,
	.get = each_get,
	.get_wait = each_get_wait,
	.done = loop_done_copy,
};

LOOP_RUN(each_run, each_ops)

static unsigned
role(const struct channel *ch)
{
	return ch->sends ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

static void
each_name(char name[64], const char *stem, unsigned i)
{
	snprintf(name, 64, "/%s-%u", stem, i);
}

static int
each_create(struct channel *ch)
{
	const struct job *job = ch->job;
	const struct shmring_config config = {
		.slots = (uint32_t)bench_depth(job),
		.slot_size = (uint32_t)job->size,
		.roles = role(ch),
	};
	struct rings *rings = calloc(1, sizeof(*rings));
	char name[64];
	int error = 0;

	if (!rings)
		return -ENOMEM;
	ch->own = rings;
	for (; rings->count < job->receivers && !error; rings->count++) {
		each_name(name, ch->name, rings->count);
		error = shmring_create(&rings->ring[rings->count], name,
				       &config);
	}
	ch->why = error ? shmring_strerror(error) : NULL;
	return error;
}

/** A receiver takes the first ring that has none. */
static int
each_join(struct channel *ch)
{
	struct rings *rings = ch->own;
	char name[64];
	int error = -EUSERS;
	unsigned i;

	if (!ch->creator) {
		rings = ch->own = calloc(1, sizeof(*rings));
		if (!rings)
			return -ENOMEM;
		rings->count = 1;
		for (i = 0; error && i < ch->job->receivers; i++) {
			each_name(name, ch->name, i);
			error = shmring_open(&rings->ring[0], name, role(ch),
					     0);
		}
		if (error) {
			ch->why = shmring_strerror(error);
			return error;
		}
	}
	for (i = 0; i < rings->count; i++)
		if (ch->job->style.wait == WAIT_SPIN)
			shmring_set_spin(&rings->ring[i], -1);
		else if (ch->job->style.wait == WAIT_BLOCK)
			shmring_set_spin(&rings->ring[i], 0);
	return 0;
}

static void
each_leave(struct channel *ch)
{
	struct rings *rings = ch->own;
	unsigned i;

	for (i = 0; i < rings->count; i++)
		shmring_close(&rings->ring[i]);
	free(rings);
}

static void
each_unlink(const struct mechanism *mechanism, const char *name)
{
	char path[64];
	unsigned i;

	(void)mechanism;
	for (i = 0; i < BENCH_WORKERS; i++) {
		each_name(path, name, i);
		if (shmring_unlink(path))
			return;
	}
}

const struct mechanism ring_each = {
	.name = "shmring-spsc-each",
	.summary =
		"an SPSC ring for each receiver, written one after the other",
	.caps = CAP_SPIN | CAP_OWN_SPIN | CAP_BLOCK | CAP_HYBRID | CAP_NAMED |
		CAP_BROADCAST,
	.create = each_create,
	.join = each_join,
	.leave = each_leave,
	.unlink = each_unlink,
	.run = each_run,
};
