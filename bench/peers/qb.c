/* SPDX-License-Identifier: MIT */
/*
 * qb.c - libqb's ring buffer (Corosync's), for one producer and one consumer:
 * records in files of its own in /dev/shm, mapped twice in a row; without its
 * semaphore, which would be two system calls a message.
 */
#include "../loop.h"
#include "peers.h"

#ifdef HAVE_QB

#include <qb/qbrb.h>
#include <sys/mman.h>

#define FLAGS (QB_RB_FLAG_SHARED_PROCESS | QB_RB_FLAG_NO_SEMAPHORE)

LOOP int
put(struct channel *ch, size_t size)
{
	ssize_t n = qb_rb_chunk_write(ch->own, ch->out, size);

	return n < 0 ? (int)n : 0;
}

/** Read in place, as it offers it. */
LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	void *place;
	ssize_t n = qb_rb_chunk_peek(ch->own, &place, 0);

	*message = place;
	if (n == (ssize_t)size)
		return 0;
	/* without the semaphore it says so where there is none yet */
	return n == -EBADMSG || n == -ETIMEDOUT ? -EAGAIN
	       : n < 0				? (int)n
						: -EBADMSG;
}

LOOP void
done(struct channel *ch)
{
	qb_rb_chunk_reclaim(ch->own);
}

static const struct loop_ops ops = {
	.slot = loop_slot_copy,
	.put = put,
	.get = get,
	.done = done,
};

LOOP_RUN(run, ops)

static int
attach(struct channel *ch, uint32_t flags)
{
	/* a header of 8 bytes each */
	ch->own =
		qb_rb_open(ch->name, bench_depth(ch->job) * (ch->job->size + 8),
			   FLAGS | flags, 0);
	return ch->own ? 0 : -errno;
}

/** Who made it would remove it by closing: it stays open. */
static int
create(struct channel *ch)
{
	return attach(ch, QB_RB_FLAG_CREATE);
}

static int
join(struct channel *ch)
{
	return attach(ch, 0);
}

static void
leave(struct channel *ch)
{
	qb_rb_close(ch->own);
}

static void
remove_files(const struct mechanism *m, const char *name)
{
	char file[64];

	(void)m;
	snprintf(file, sizeof(file), "/qb-%s-header", name);
	shm_unlink(file);
	snprintf(file, sizeof(file), "/qb-%s-data", name);
	shm_unlink(file);
}

const struct mechanism peer_qb = {
	.name = "qb",
	.summary = "libqb's ring buffer, without its semaphore",
	.caps = CAP_SPIN,
	.create = create,
	.join = join,
	.leave = leave,
	.unlink = remove_files,
	.run = run,
};

#else
PEER_MISSING(peer_qb, "qb", "libqb-dev");
#endif
