/* SPDX-License-Identifier: MIT
 *
 * The messages of a ring, read by who is nobody in it. Others read, free and
 * overwrite them meanwhile: so copy first, then look whether the place was
 * still this message's, and only then believe the copy.
 *
 * SPSC  Whoever writes has seen head, or what was published of it, and writes
 *       below it + capacity only. If head has not passed a record after it was
 *       copied, then no byte of it had been overwritten.
 * MPMC  A slot's A changes before anybody else may write to it. If A is the
 *       same before and after the copy, and S says that its phase counts, then
 *       the copy is the message.
 *
 * Whoever is gone or stopped hinders neither.
 */

struct view {
	struct look *look;
	uint64_t position; /* the next to look at */
	uint64_t first; /* head when we came; what is before is in hands */
	uint64_t end; /* SPSC: no honest chain reaches beyond */
	int in_hands; /* wants those, too */
	int impatient; /* MPMC: passes one that is still being written */
	/* the message */
	unsigned char *data;
	uint64_t size, at;
	int again; /* somebody who died may have read it */
	/* what went by unseen: messages, in SPSC bytes */
	uint64_t missed;
};

#define VIEW_TRIES 1000 /* then the others are faster than we */

/* BROADCAST: go on at the oldest message that is whole. */
static int
view_find(struct view *v)
{
	struct shmring__mark oldest;
	int error =
		shmring__find(&v->look->ring, SHMRING_OLDEST, NULL, &oldest);

	if (error)
		return error;
	v->position = oldest.position;
	return 0;
}

static void
view_open(struct view *v, struct look *look)
{
	struct shmring *r = &look->ring;
	uint64_t slots = r->geometry.slots;

	memset(v, 0, sizeof(*v));
	v->look = look;
	v->data = malloc(r->geometry.slot_size);
	if (!v->data)
		fail(1, "%s: no memory for a message", look->name);
	v->first = SHMRING__LOAD(r->head, ACQUIRE);
	v->position = v->first;
	v->end = v->first + r->geometry.capacity;
	if (r->mode == SHMRING_BROADCAST && !view_find(v))
		v->first = v->position;
	if (r->mode == SHMRING_MPMC) {
		/* Those in hands may be as old as the slots. */
		v->end = SHMRING__LOAD(r->tail, ACQUIRE);
		if (v->end - v->first > slots)
			v->end = v->first + slots;
		v->position = v->end < slots ? 0 : v->end - slots;
	}
}

/* Copy what a header tells of. -EBADMSG: no writer wrote it. */
static int
view_copy(struct view *v, uint64_t position, uint64_t header)
{
	struct shmring *r = &v->look->ring;
	struct shmring__view any = shmring__any_view(r, SHMRING__READ);
	uint64_t stored = shmring__stored_in(header);
	unsigned char *data = shmring__in_run(&any, position, stored);

	if (!header || shmring__is_bad_at(r, &any, position, header))
		return header ? -EBADMSG : 0;
	v->size = shmring__unstored(&any, stored);
	memcpy(v->data, shmring__place(&any, data, v->size), v->size);
	return 0;
}

/* The position of the next message. */
static uint64_t
view_behind(const struct view *v, uint64_t header)
{
	struct shmring__view any =
		shmring__any_view(&v->look->ring, SHMRING__READ);

	return shmring__next_message(&any, v->position, header);
}

/* 1: a message, 0: none for now, negative: damaged. */
static int
view_spsc(struct view *v)
{
	struct shmring *r = &v->look->ring;

	for (int tries = 0; tries < VIEW_TRIES; tries++) {
		uint64_t head = SHMRING__LOAD(r->head, ACQUIRE), header;
		int bad;

		if (shmring__distance(head, v->position) > 0) {
			v->missed += head - v->position;
			v->position = head;
		} else if (v->position - head > r->geometry.capacity) {
			return -EBADMSG;
		}
		header = SHMRING__LOAD(shmring__header_at(r, v->position),
				       ACQUIRE); /* A1 */
		bad = view_copy(v, v->position, header);
		/* The copy before the look that judges it. */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (shmring__distance(SHMRING__LOAD(r->head, RELAXED),
				      v->position) > 0)
			continue;
		if (!header || bad)
			return bad;
		v->at = v->position;
		v->again = shmring__distance(
				   SHMRING__LOAD(shmring__doubtful(r), RELAXED),
				   v->position) > 0;
		v->position = view_behind(v, header);
		return 1;
	}
	return 0;
}

/* As view_spsc. */
static int
view_broadcast(struct view *v)
{
	struct shmring *r = &v->look->ring;

	for (int tries = 0; tries < VIEW_TRIES; tries++) {
		uint64_t at = v->position;
		uint64_t header = SHMRING__LOAD(shmring__header_at(r, at),
						ACQUIRE); /* A1 */
		int bad = view_copy(v, at, header);

		if (shmring__overwritten(r, at)) {
			int error = view_find(v);

			if (error)
				return error == -EAGAIN ? 0 : error;
			v->missed += v->position - at;
			continue;
		}
		if (!header || bad)
			return bad;
		v->at = at;
		v->position = view_behind(v, header);
		return 1;
	}
	return 0;
}

/* Whether a dead one, not recovered yet, has the message in its hands: then
 * it will be delivered again. */
static int
in_dead_hands(const struct look *look, uint64_t p)
{
	for (unsigned i = 0; i < look->persons; i++)
		if (look->people[i].dead &&
		    (look->people[i].intent[SHMRING__READ] == p ||
		     look->people[i].adopts == p))
			return 1;
	return 0;
}

#define SLOT_MESSAGE 0
#define SLOT_PASSED 1 /* read by now, void, or aborted */
#define SLOT_LATER 2 /* still being written */
#define SLOT_AGAIN 3 /* changed under us */

/* What is at a position, copied if it is a message. */
static int
view_slot(struct view *v, uint64_t p)
{
	struct shmring *r = &v->look->ring;
	uint64_t want = shmring__phase(r, p, 1);
	uint64_t a = SHMRING__LOAD(shmring__phase_word(r, p), ACQUIRE); /* A4 */
	uint64_t s = SHMRING__LOAD(shmring__state_word(r, p), ACQUIRE); /* A5 */
	uint64_t phase = shmring__phase_in(r, a),
		 state = shmring__state_kind(s);

	if (phase != want)
		return phase > want || (state == SHMRING__S_WRITER &&
					shmring__state_phase(s) > want)
			       ? SLOT_PASSED
			       : SLOT_LATER;
	v->size = shmring__length_of(r, p, a);
	if (v->size <= r->geometry.slot_size) {
		struct shmring__view any = shmring__any_view(r, SHMRING__READ);

		memcpy(v->data,
		       shmring__place(&any, shmring__slot(r, p) + 8, v->size),
		       v->size);
	}
	/* The copy before the look that judges it. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (SHMRING__LOAD(shmring__phase_word(r, p), RELAXED) != a)
		return SLOT_AGAIN;
	/* Too late to count: its writer pushes it again, elsewhere. */
	if (shmring__state_phase(s) > want &&
	    (state == SHMRING__S_WRITER || state == SHMRING__S_LIVE))
		return SLOT_PASSED;
	if (v->size == shmring__aborted(r))
		return SLOT_PASSED;
	v->at = p;
	v->again = state == SHMRING__S_ORPHAN;
	if (shmring__distance(v->first, p) > 0 && !v->again) {
		v->again = in_dead_hands(v->look, p);
		if (!v->again && !v->in_hands)
			return SLOT_PASSED;
	}
	return SLOT_MESSAGE;
}

static int
view_mpmc(struct view *v)
{
	struct shmring *r = &v->look->ring;
	uint64_t slots = r->geometry.slots, tail;
	int again = 0;

	for (uint64_t steps = 0; steps <= 2 * slots; steps++) {
		int found;

		tail = SHMRING__LOAD(r->tail, ACQUIRE);
		if (shmring__distance(tail, v->position) <= 0)
			return 0;
		if (tail - v->position > slots) { /* they went round */
			if (shmring__distance(tail, v->first) > 0 &&
			    tail - v->first > slots)
				v->missed += tail - slots - v->position;
			v->position = tail - slots;
		}
		found = view_slot(v, v->position);
		if (found == SLOT_AGAIN && ++again < VIEW_TRIES)
			continue;
		if (found == SLOT_AGAIN ||
		    (found == SLOT_LATER && !v->impatient))
			return 0;
		if (found == SLOT_MESSAGE && v->size > r->geometry.slot_size)
			return -EBADMSG;
		/* Unseen, if it was unread when we came. */
		v->missed += found == SLOT_PASSED &&
			     shmring__distance(v->position, v->first) >= 0;
		v->position++;
		if (found == SLOT_MESSAGE)
			return 1;
	}
	return 0;
}

static int
view_next(struct view *v)
{
	switch (v->look->ring.mode) {
	case SHMRING_MPMC:
		return view_mpmc(v);
	case SHMRING_BROADCAST:
		return view_broadcast(v);
	default:
		return view_spsc(v);
	}
}

/* Whether no more will come: the last producer has gone. To be asked before
 * the look that finds nothing. */
static int
view_over(const struct view *v)
{
	return (SHMRING__LOAD(&v->look->ring.notice->attn, ACQUIRE) &
		SHMRING__NO_PRODUCER) != 0;
}
