/* SPDX-License-Identifier: MIT
 *
 * oracle.h - what must be true, whatever was killed or stopped
 *
 * Each message knows itself: a number, from which all its words follow. What
 * is said of it here is what the users of the ring know: that its push has
 * returned, that a pop has brought it. All the header allows to those who are
 * killed stands in task_killed() (actors.h) and message_came().
 */
#ifndef ORACLE_H
#define ORACLE_H

enum {
	MESSAGES = 512,
	LIVES = 64, /* handles ever opened */
	LARGE = 1000, /* bytes of a large message, SPSC */
};
#define WEDGED (300 * MS) /* and so much more for each victim: */
#define WEDGED_MORE (150 * MS)

enum { M_STARTED, M_COMPLETE, M_FAILED, M_UNKNOWN, M_GONE };

struct message {
	int64_t complete; /* when its push returned */
	uint64_t complete_step;
	uint16_t size, life, order; /* of its producer's handle */
	uint8_t state, actor, file;
	uint8_t final; /* a consumer has it, for good */
	uint8_t grave; /* a consumer that was killed may have it */
	uint8_t seen; /* a consumer that went had it in hands: to be marked */
	uint8_t releasing;
	int8_t holder; /* 1 + task that peeks at it */
};

struct handle {
	struct shmring ring;
	int open, closing;
	unsigned roles;
	unsigned file;
	uint16_t life, order;
	struct message *held, *reserved;
	void *place;
	uint16_t last[LIVES]; /* 1 + order of the last message of each life */
};

static struct {
	struct message message[MESSAGES];
	int messages;
	uint16_t lives;
	uint64_t salt;
	struct {
		int attached[2]; /* for certain */
		int ever[2], maybe[2]; /* attached once, or perhaps */
		uint64_t none_step[2]; /* when there was none, last */
		int64_t none_since[2];
	} file[FILES];
	int opening[2];
	int consumers_killed;
	int aborted; /* positions that wait for a consumer, at most */
	int64_t changed; /* anything came, went, or was taken */
	int victims; /* of the plan, for the time that is allowed */
	int64_t slots;
	int64_t worst; /* lateness of all runs without a victim */
} oracle;

static int64_t
oracle_patience(void)
{
	return WEDGED + oracle.victims * WEDGED_MORE;
}

/* ---- Messages ---- */

static uint64_t
message_word(int number, int i)
{
	uint64_t first = mix(oracle.salt + (uint64_t)number) << 16 |
			 (uint64_t)number;

	return i == 0 ? first : mix(first + (uint64_t)i);
}

static struct message *
message_new(struct handle *h, size_t size)
{
	struct message *m = &oracle.message[oracle.messages];

	if (oracle.messages == MESSAGES)
		fail("simulator", "too many messages");
	oracle.messages++;
	memset(m, 0, sizeof(*m));
	m->size = (uint16_t)size;
	m->life = h->life;
	m->order = ++h->order;
	m->actor = (uint8_t)number_of(sim.me);
	m->file = (uint8_t)h->file;
	return m;
}

static int
message_number(const struct message *m)
{
	return (int)(m - oracle.message);
}

/* Its words, but those behind the first few, which are not looked at. */
static void
message_fill(const struct message *m, uint64_t words[COPY_WORDS])
{
	for (int i = 0; i < COPY_WORDS; i++)
		words[i] = message_word(message_number(m), i);
}

/* Which message this is, or NULL: none, or torn. */
static struct message *
message_known(const uint64_t *words, size_t size)
{
	int number = (int)(words[0] & 0xffff);
	struct message *m = &oracle.message[number];

	if (number >= oracle.messages || m->size != size)
		return NULL;
	for (int i = 0; i < COPY_WORDS && 8u * (unsigned)i < size; i++)
		if (words[i] != message_word(number, i))
			return NULL;
	return m;
}

static void
message_sent(struct message *m, int state)
{
	trace("message %d %s", message_number(m),
	      state == M_COMPLETE ? "is sent" : "is not sent");
	if (state == M_FAILED && (m->final || m->holder || m->releasing))
		fail("phantom", "message %d came, its push says no",
		     message_number(m));
	m->state = (uint8_t)state;
	m->complete = oracle.changed = sim_now();
	m->complete_step = sim.steps;
}

/* How late something may come: a millisecond of patience for each who was
 * stopped, a slice for each who was killed, or stopped just when it should
 * have woken somebody. */
static int64_t
oracle_bound(void)
{
	return 5 * MS + 5 * MS * sim.stops +
	       105 * MS * (sim.kills + sim.stirred);
}

static void
oracle_late(int64_t since, int64_t begun, const char *what)
{
	int64_t late = since > begun ? since : begun;

	if (late < sim.me->resumed)
		late = sim.me->resumed;
	late = sim_now() - late;
	if (late > oracle.worst && !sim.kills && !sim.stops)
		oracle.worst = late;
	if (late > oracle_bound())
		fail("late", "%s %.1f ms after it could, %u killed, %u stopped",
		     what, (double)late / 1e6, sim.kills, sim.stops);
}

/* A message has been brought to a consumer. */
static struct message *
message_came(struct handle *h, const uint64_t *words, size_t size, int marked,
	     int64_t begun)
{
	struct message *m = message_known(words, size);

	if (!m)
		fail("torn", "%zu bytes: %" PRIx64 " %" PRIx64, size, words[0],
		     words[1]);
	trace("message %d has come%s", message_number(m),
	      marked ? ", perhaps again" : "");
	if (m->state == M_FAILED || m->state == M_GONE)
		fail("phantom", "message %d was never sent", message_number(m));
	if (m->final || m->holder || m->releasing)
		fail("twice", "message %d", message_number(m));
	if (m->seen && !marked)
		fail("unmarked", "message %d was in other hands",
		     message_number(m));
	if (marked && !m->seen && !oracle.consumers_killed)
		fail("marked", "message %d was in nobody's hands",
		     message_number(m));
	if (!marked && m->order <= h->last[m->life])
		fail("order", "message %d after a later one",
		     message_number(m));
	if (!marked)
		h->last[m->life] = m->order;
	if (!marked && begun >= 0 && m->state == M_COMPLETE)
		oracle_late(m->complete, begun, "a message came");
	oracle.changed = sim_now();
	return m;
}

/* ---- Who is there ---- */

static void
oracle_attach(struct handle *h)
{
	for (int side = 0; side < 2; side++)
		if (h->roles & (side ? SHMRING_PRODUCER : SHMRING_CONSUMER)) {
			if (!oracle.file[h->file].attached[side]++)
				oracle.file[h->file].none_step[side] =
					sim.steps;
			oracle.file[h->file].ever[side]++;
		}
	oracle.changed = sim_now();
}

static void
oracle_detach(struct handle *h)
{
	for (int side = 0; side < 2; side++)
		if ((h->roles & (side ? SHMRING_PRODUCER : SHMRING_CONSUMER)) &&
		    !--oracle.file[h->file].attached[side])
			oracle.file[h->file].none_since[side] = sim_now();
	oracle.changed = sim_now();
	h->open = 0;
}

/* ---- What others do ---- */

static int task_takes(const struct task *t); /* actors.h */

/* How many messages others may have in their hands, who are in the middle of
 * a pop; at least, or at most. */
static int
oracle_in_hands(int most)
{
	int count = 0;

	for (const struct task *t = sim.task; t < sim.task + TASKS; t++)
		if (t != sim.me && t->state == T_READY && task_takes(t))
			count += (int)t->copies + most;
	return count;
}

/* Who stands, or stood until lately. */
static int
oracle_stopped(void)
{
	int count = 0;

	for (const struct task *t = sim.task; t < sim.task + TASKS; t++)
		count += t->stopped ||
			 (t->resumed &&
			  t->resumed > sim_now() - oracle_patience());
	return count;
}

/* Messages of a ring that are nobody's yet, sent before. */
static int
oracle_left(unsigned file, int64_t before, uint64_t step, int held)
{
	int count = 0;

	for (int i = 0; i < oracle.messages; i++) {
		struct message *m = &oracle.message[i];
		count += m->file == file && m->state == M_COMPLETE &&
			 m->complete <= before && m->complete_step <= step &&
			 !m->final && !m->grave && (!m->holder || held);
	}
	return count;
}

/* ---- Errors ---- */

/* -EPIPE: there was such a peer, at some time of the call there was none, and
 * nothing is left. */
static void
oracle_end(struct handle *h, int side, uint64_t begun)
{
	int peer = !side;

	if (!oracle.file[h->file].ever[peer] &&
	    !oracle.file[h->file].maybe[peer] && !oracle.opening[peer])
		fail("epipe", "nobody was ever there");
	if (oracle.file[h->file].attached[peer] &&
	    oracle.file[h->file].none_step[peer] < begun)
		fail("epipe", "somebody is there all the time");
	if (side == SHMRING__READ &&
	    oracle_left(h->file, NEVER, begun, look.mode == SHMRING_MPMC) >
		    oracle_in_hands(0))
		fail("epipe", "messages are left");
}

/* A long wait was in vain: should it have been? */
static void
oracle_in_vain(struct handle *h, int side, int64_t begun)
{
	int64_t before = sim_now() - oracle_patience();
	int left = oracle_left(h->file, before, UINT64_MAX, 0);

	if (sim.me->resumed > begun)
		return;
	/* The dead may have to wait for those who stand. */
	left -= oracle_in_hands(1) + (oracle_stopped() ? (int)sim.kills : 0);
	if (side == SHMRING__READ && left > 0)
		fail("wedge", "%d messages cannot be had", left);
	if (side == SHMRING__WRITE && oracle.changed <= before) {
		int64_t used = 2 * (int)(sim.kills + sim.stops) +
			       oracle.aborted;
		for (int i = 0; i < oracle.messages; i++) {
			struct message *m = &oracle.message[i];
			used += m->file == h->file && m->state != M_FAILED &&
				(!m->final || m->state == M_STARTED);
			used += 2 * m->seen; /* slots that stood still */
		}
		if (used < oracle.slots)
			fail("wedge", "no room, %d of %d slots used", (int)used,
			     (int)oracle.slots);
	}
	if (!oracle.file[h->file].attached[!side] &&
	    oracle.file[h->file].ever[!side] &&
	    oracle.file[h->file].none_since[!side] <= before &&
	    !oracle_stopped() && !oracle.opening[!side] &&
	    !oracle_left(h->file, NEVER, UINT64_MAX, 1) &&
	    oracle.changed <= before)
		fail("no-end", "the other side is gone, nobody says so");
}

/* At the end everything has come. */
static void
oracle_account(unsigned file)
{
	for (int i = 0; i < oracle.messages; i++) {
		struct message *m = &oracle.message[i];
		if (m->file == file && m->state == M_COMPLETE && !m->final &&
		    !m->grave)
			fail("lost", "message %d was sent and never came", i);
	}
}

#endif /* ORACLE_H */
