/* SPDX-License-Identifier: MIT */
/* ring.c - shmring itself: its engines, copying and in place; and once more
 * for ring_deaf.c */
#include "shmring.h"

#include "loop.h"

/* What a participant keeps of a channel. */
struct hold {
	struct shmring ring;
	struct shmring idle[BENCH_WORKERS]; /* attached, doing nothing */
	uint64_t lost; /* messages that we have been told of */
	bool skipped;
};

/* What mechanism.data says. */
struct engine {
	uint32_t mode, flags, alignment;
};

LOOP struct shmring *
ring_of(struct channel *ch)
{
	return &((struct hold *)ch->own)->ring;
}

/* ------------------------------------------------------ one at a time */

LOOP int
ring_put(struct channel *ch, size_t size)
{
	return shmring_push(ring_of(ch), ch->out, size);
}

LOOP int
ring_put_wait(struct channel *ch, size_t size)
{
	return shmring_push_wait(ring_of(ch), ch->out, size, -1);
}

LOOP int
ring_get(struct channel *ch, size_t size, const void **message)
{
	ssize_t n = shmring_pop(ring_of(ch), ch->in, size);

	*message = ch->in;
	return n < 0 ? (int)n : 0;
}

LOOP int
ring_get_wait(struct channel *ch, size_t size, const void **message)
{
	ssize_t n = shmring_pop_wait(ring_of(ch), ch->in, size, -1);

	*message = ch->in;
	return n < 0 ? (int)n : 0;
}

/* ------------------------------------------------------------- batches */

LOOP ssize_t
ring_put_n(struct channel *ch, const void *messages, size_t size, size_t n)
{
	return shmring_push_array(ring_of(ch), messages, size, n);
}

LOOP ssize_t
ring_put_n_wait(struct channel *ch, const void *messages, size_t size, size_t n)
{
	return shmring_push_array_wait(ring_of(ch), messages, size, n, -1);
}

LOOP ssize_t
ring_get_n(struct channel *ch, void *messages, size_t size, size_t n)
{
	return shmring_pop_array(ring_of(ch), messages, size, n);
}

LOOP ssize_t
ring_get_n_wait(struct channel *ch, void *messages, size_t size, size_t n)
{
	return shmring_pop_array_wait(ring_of(ch), messages, size, n, -1);
}

/* ------------------------------------------------------------ in place */

LOOP int
place_slot(struct channel *ch, size_t size, void **message)
{
	*message = shmring_reserve(ring_of(ch), size);
	return *message ? 0 : shmring_error(ring_of(ch));
}

LOOP int
place_slot_wait(struct channel *ch, size_t size, void **message)
{
	*message = shmring_reserve_wait(ring_of(ch), size, -1);
	return *message ? 0 : shmring_error(ring_of(ch));
}

LOOP int
place_put(struct channel *ch, size_t size)
{
	return shmring_commit(ring_of(ch), size);
}

LOOP int
place_get(struct channel *ch, size_t size, const void **message)
{
	*message = shmring_peek(ring_of(ch), &size);
	return *message ? 0 : shmring_error(ring_of(ch));
}

LOOP int
place_get_wait(struct channel *ch, size_t size, const void **message)
{
	*message = shmring_peek_wait(ring_of(ch), &size, -1);
	return *message ? 0 : shmring_error(ring_of(ch));
}

LOOP void
place_done(struct channel *ch)
{
	shmring_release(ring_of(ch));
}

/* ----------------------------------------------------------- broadcast */

LOOP uint64_t
ring_lost(struct channel *ch)
{
	struct hold *hold = ch->own;
	uint64_t before = hold->lost;

	hold->lost = shmring_lost(&hold->ring);
	return hold->lost - before;
}

#ifndef RING_DEAF
/** Skip to the end, then take one: a reader whom no writer has to wait for. */
LOOP int
skim_get(struct channel *ch, size_t size, const void **message)
{
	struct hold *hold = ch->own;
	int error;

	hold->skipped = !hold->skipped;
	if (!hold->skipped)
		return ring_get(ch, size, message);
	error = shmring_seek(&hold->ring, SHMRING_NEWEST);
	return error					 ? error
	       : shmring_lost(&hold->ring) != hold->lost ? -ENOBUFS
							 : -EAGAIN;
}

static const struct loop_ops skim_ops = {
	.slot = loop_slot_copy,
	.put = ring_put,
	.get = skim_get,
	.done = loop_done_copy,
	.lost = ring_lost,
};
#endif

static const struct loop_ops ring_ops = {
	.slot = loop_slot_copy,
	.put = ring_put,
	.put_wait = ring_put_wait,
	.get = ring_get,
	.get_wait = ring_get_wait,
	.done = loop_done_copy,
	.put_n = ring_put_n,
	.get_n = ring_get_n,
	.put_n_wait = ring_put_n_wait,
	.get_n_wait = ring_get_n_wait,
	.lost = ring_lost,
};

static const struct loop_ops place_ops = {
	.slot = place_slot,
	.slot_wait = place_slot_wait,
	.put = place_put,
	.put_wait = place_put,
	.get = place_get,
	.get_wait = place_get_wait,
	.done = place_done,
	.in_place = true,
};

/* ------------------------------------------------------------ life cycle */

static unsigned
roles(const struct channel *ch)
{
	return ch->sends ? SHMRING_PRODUCER : SHMRING_CONSUMER;
}

static struct hold *
new_hold(void)
{
	size_t size = (sizeof(struct hold) + BENCH_LINE - 1) / BENCH_LINE *
		      BENCH_LINE;
	struct hold *hold = aligned_alloc(BENCH_LINE, size);

	if (hold) {
		hold->lost = 0;
		hold->skipped = false;
	}
	return hold;
}

#ifdef RING_DEAF
/** Whether this build looks for sleepers, which it should not. */
static bool
ring_hears(void)
{
	const struct shmring_config config = { .slots = 2, .slot_size = 8 };
	struct shmring_stat stat = { 0 };
	struct shmring ring;

	if (shmring_create_memfd(&ring, &config))
		return true;
	ring.notice->data |= SHMRING__WAITS; /* as if somebody slept */
	if (shmring_push(&ring, &config, 8) || shmring_stat(&ring, &stat))
		stat.wakes = 1;
	shmring_close(&ring);
	return stat.wakes != 0;
}
#endif

static int
ring_create(struct channel *ch)
{
	const struct job *job = ch->job;
	const struct engine *engine = job->mechanism->data;
	struct shmring_config config = {
		.mode = engine->mode,
		.flags = engine->flags,
		.alignment = engine->alignment,
		.slots = (uint32_t)bench_depth(job),
		.slot_size = (uint32_t)job->size,
		.roles = roles(ch),
	};
	struct hold *hold = new_hold();
	char name[64];
	int error;

	if (!hold)
		return -ENOMEM;
#ifdef RING_DEAF
	if (ring_hears()) {
		ch->why = "this build looks for sleepers";
		return -ENOTSUP;
	}
#endif
	if (config.mode == SHMRING_MPMC)
		config.participants = job->senders + job->receivers + job->idle;
	else if (config.mode == SHMRING_BROADCAST)
		config.participants = job->receivers + job->idle;
	snprintf(name, sizeof(name), "/%s", ch->name);
	error = shmring_create(&hold->ring, name, &config);
	ch->own = hold;
	ch->why = error ? shmring_strerror(error) : NULL;
	return error;
}

static int
ring_join(struct channel *ch)
{
	const struct engine *engine = ch->job->mechanism->data;
	bool one_sender = engine->mode == SHMRING_BROADCAST;
	struct hold *hold = ch->creator ? ch->own : new_hold();
	size_t i;
	char name[64];
	int error;

	if (!hold)
		return -ENOMEM;
	if (!ch->creator) {
		ch->own = hold;
		snprintf(name, sizeof(name), "/%s", ch->name);
		error = shmring_open(&hold->ring, name, roles(ch), -1);
		if (error) {
			ch->why = shmring_strerror(error);
			return error;
		}
	}
	for (i = 0; ch->creator && i < ch->job->idle; i++) {
		error = shmring_dup(&hold->idle[i], &hold->ring,
				    i % 2 && !one_sender ? SHMRING_PRODUCER
							 : SHMRING_CONSUMER);
		if (error)
			return error;
	}
	switch (ch->job->style.wait) {
	case WAIT_SPIN:
		shmring_set_spin(&hold->ring, -1);
		break;
	case WAIT_BLOCK:
		shmring_set_spin(&hold->ring, 0);
		break;
	default:
		break;
	}
	return 0;
}

static void
ring_leave(struct channel *ch)
{
	struct hold *hold = ch->own;
	unsigned i;

	for (i = 0; ch->creator && i < ch->job->idle; i++)
		shmring_close(&hold->idle[i]);
	shmring_close(&hold->ring);
	free(hold);
}

static void
ring_unlink(const struct mechanism *mechanism, const char *name)
{
	char path[64];

	(void)mechanism;
	snprintf(path, sizeof(path), "/%s", name);
	shmring_unlink(path);
}

/** The counters are those of all handles: its maker answers for all. */
static uint64_t
ring_syscalls(const struct channel *ch)
{
	struct shmring_stat stat;

	if (!ch->creator || shmring_stat(ring_of((struct channel *)ch), &stat))
		return 0;
	return stat.sleeps + stat.wakes;
}

LOOP_RUN(ring_run, ring_ops)
LOOP_RUN(place_run, place_ops)

static const struct engine spsc = { SHMRING_SPSC, 0, 0 };
static const struct engine mpmc = { SHMRING_MPMC, 0, 0 };

#ifdef RING_DEAF
#define TITLE(title) title "-deaf"
#define RING_LIST deaf_mechanisms
#define CAPS_SPSC (CAP_SPIN | CAP_OWN_SPIN | CAP_NAMED | CAP_APART)
#else
#define TITLE(title) title
#define RING_LIST ring_mechanisms
#define CAPS_SPSC (CAP_SPIN | CAP_OWN_SPIN | CAP_BLOCK | CAP_HYBRID | CAP_NAMED)
#endif
#define CAPS_MPMC (CAPS_SPSC | CAP_MANY_SENDERS | CAP_MANY_RECEIVERS)
#define RING(id, title, text, engine, how, capabilities) \
	static const struct mechanism id = {             \
		.name = TITLE(title),                    \
		.summary = text,                         \
		.caps = capabilities,                    \
		.data = &engine,                         \
		.create = ring_create,                   \
		.join = ring_join,                       \
		.leave = ring_leave,                     \
		.unlink = ring_unlink,                   \
		.syscalls = ring_syscalls,               \
		.run = how##_run,                        \
	}

RING(copy_spsc, "shmring-spsc", "one producer, one consumer", spsc, ring,
     CAPS_SPSC | CAP_BATCH | CAP_BATCH_WAIT);
RING(copy_mpmc, "shmring-mpmc", "any number of both", mpmc, ring,
     CAPS_MPMC | CAP_BATCH | CAP_BATCH_WAIT);
RING(place_spsc, "shmring-spsc-zero", "the same, written and read in place",
     spsc, place, CAPS_SPSC);
RING(place_mpmc, "shmring-mpmc-zero", "the same, written and read in place",
     mpmc, place, CAPS_MPMC);

#ifdef RING_DEAF
const struct mechanism *const RING_LIST[] = { &copy_spsc, &place_spsc,
					      &copy_mpmc, &place_mpmc, NULL };
#else
LOOP_RUN(skim_run, skim_ops)

static const struct engine aligned = { SHMRING_SPSC, 0, 64 };
static const struct engine gated = { SHMRING_BROADCAST, 0, 0 };
static const struct engine lossy = { SHMRING_BROADCAST, SHMRING_LOSSY, 0 };

#define CAPS_BROADCAST (CAPS_SPSC | CAP_BROADCAST)
#define CAPS_SKIM (CAP_SPIN | CAP_NAMED | CAP_BROADCAST | CAP_APART)
RING(copy_gated, "shmring-broadcast", "all receivers get all", gated, ring,
     CAPS_BROADCAST | CAP_BATCH | CAP_BATCH_WAIT);
RING(copy_lossy, "shmring-lossy", "the same, and the sender never waits", lossy,
     ring, CAPS_BROADCAST | CAP_BATCH | CAP_BATCH_WAIT | CAP_OVERWRITES);
RING(place_aligned, "shmring-aligned", "in place, aligned to 64", aligned,
     place, CAPS_SPSC);
RING(skim_gated, "shmring-broadcast-skim", "receivers who skip to the end",
     gated, skim, CAPS_SKIM);
RING(skim_lossy, "shmring-lossy-skim", "the same, the sender never waits",
     lossy, skim, CAPS_SKIM | CAP_OVERWRITES);

const struct mechanism *const RING_LIST[] = {
	&copy_spsc,  &place_spsc, &place_aligned, &copy_mpmc,  &place_mpmc,
	&copy_gated, &copy_lossy, &skim_gated,	  &skim_lossy, &ring_each,
	NULL
};
#endif
