/* SPDX-License-Identifier: MIT
 *
 * oracle.h - what must be true, whatever was killed or stopped
 *
 * Each message knows itself: a number, from which all its words follow. What
 * is said of it here is what the users of the ring know: that its push has
 * returned, that a pop has brought it. All that the header allows to those who
 * are killed stands in task_killed() (actors.h) and message_came().
 */
#ifndef ORACLE_H
#define ORACLE_H

enum {
	MESSAGES = 512,
	LIVES = 64, /* handles ever opened */
	BATCH = 4,
};

struct message {
	enum { M_STARTED, M_COMPLETE, M_FAILED, M_UNKNOWN, M_GONE } state;
	int64_t complete; /* when its push returned */
	uint64_t complete_step;
	unsigned size, life, order; /* of its producer's handle */
	unsigned actor, file;
	int final; /* a consumer has it, for good */
	int grave; /* a consumer that was killed may have it */
	int seen; /* a consumer that went had it in hands: to be marked */
	int64_t left; /* and went then */
	int held; /* a consumer peeks at it, or is about to release it */
	int64_t came; /* when it did */
	int heard; /* BROADCAST: some reader has had it */
};

struct handle {
	struct shmring ring;
	struct shmring_poll poll; /* zeros: not open */
	int open, closing;
	unsigned roles, file, life, order;
	struct message *held[BATCH + 1]; /* in place, up to NULL */
	int several; /* they came by peek_n */
	unsigned last[LIVES]; /* order of the last message of each life */
	/* BROADCAST, a reader, see stream_count() */
	int from, to, early;
	uint64_t lost, told;
	int peeked; /* it has this in place, at this position */
	uint64_t words[COPY_WORDS], size, position;
	uint64_t place, sought; /* of a message that it had once; when, last */
	int number;
	/* interrupts of which it may be told yet; in this operation; under way;
	 * told; since when it should have been */
	int asked, recent, inside, cancelled, eintr;
	int64_t armed;
};

static struct oracle {
	int messages, consumers_killed;
	unsigned lives;
	struct {
		int attached[2]; /* for certain, as consumer, as producer */
		int ever[2], maybe[2]; /* attached once, or perhaps */
		/* when there were none, or (1) one at most, last; since when
		 * that is so, or is not */
		uint64_t few_step[2][2];
		int64_t few_since[2][2], more_since[2][2];
	} file[FILES];
	int opening[2], closing;
	int64_t left; /* when a close returned, or an open came to nothing, last */
	uint64_t vague; /* who opens, closes: until this step, at least */
	int aborted; /* or void: positions that wait for a consumer, at most */
	int64_t killed; /* when somebody was, last */
	int64_t changed; /* anything came, went, or was taken */
	int64_t patience; /* of a long wait: what must happen, has */
	int64_t held_since, held; /* BROADCAST: the writer waits; longest */
	int64_t demote; /* who holds it for so long may lose something */
	int slots, mpmc, broadcast, lossy, endless, tso;
	struct message message[MESSAGES];
} oracle;
static int64_t oracle_worst; /* lateness of all runs without a victim */

static int task_takes(const struct task *t); /* actors.h */
static int stream_holds(unsigned file);

#define EACH_MESSAGE(m)                          \
	for (struct message *m = oracle.message; \
	     m < oracle.message + oracle.messages; m++)
#define EACH_ROLE(side, roles)               \
	for (int side = 0; side < 2; side++) \
		if ((roles) & (side ? SHMRING_PRODUCER : SHMRING_CONSUMER))

/* ---- Messages ---- */

static int
message_number(const struct message *m)
{
	return (int)(m - oracle.message);
}

static uint64_t
message_word(int number, int i)
{
	return i ? mix((uint64_t)number << 8 | (uint64_t)i)
		 : mix((uint64_t)number) << 16 | (uint64_t)number;
}

/* About to be sent; its words, but those that are not looked at. */
static struct message *
message_new(struct handle *h, unsigned size, uint64_t words[COPY_WORDS])
{
	struct message *m = &oracle.message[oracle.messages];

	if (oracle.messages == MESSAGES)
		fail("simulator", "too many messages");
	*m = (struct message){ .complete_step = NEVER,
			       .size = size,
			       .life = h->life,
			       .order = ++h->order,
			       .actor = number_of(sim.me),
			       .file = h->file };
	for (int i = 0; i < COPY_WORDS; i++)
		words[i] = message_word(oracle.messages, i);
	oracle.messages++;
	return m;
}

/* Which message this is, or NULL: none, or torn. */
static struct message *
message_known(const uint64_t *words, size_t size)
{
	int number = (int)(words[0] & 0xffff);
	struct message *m = &oracle.message[number];

	if (number >= oracle.messages || m->size != size)
		return NULL;
	for (int i = 0; i < COPY_WORDS && (size_t)i < size / 8; i++)
		if (words[i] != message_word(number, i))
			return NULL;
	return m;
}

static void
message_sent(struct message *m, int sent)
{
	trace("message %d is %s", message_number(m),
	      sent ? "sent" : "not sent");
	if (!sent && (m->final || m->held))
		fail("phantom", "message %d came, its push says no",
		     message_number(m));
	m->state = sent ? M_COMPLETE : M_FAILED;
	m->complete = oracle.changed = sim_now();
	m->complete_step = sim.steps;
}

/* Something could have come since then. A millisecond of patience for each
 * who was stopped, a slice for each who was killed, or stopped just when it
 * should have woken somebody: no more. But while one spins here, the others
 * stand still, which on CPUs of their own they would not. */
static void
oracle_late(int64_t since, const char *what)
{
	int few = sim_tries < 4096; /* a look may end before it saw all */
	int64_t late =
		sim_now() - (since > sim.me->resumed ? since : sim.me->resumed);

	if (late > oracle_worst && !few && !sim.kills && !sim.stops)
		oracle_worst = late;
	if (!few && late > 5 * MS + sim.paused + 5 * MS * sim.stops +
				    105 * MS * (sim.kills + sim.stirred))
		fail("late", "%s %.1f ms after it could, %u killed, %u stopped",
		     what, (double)late / 1e6, sim.kills, sim.stops);
}

static struct message *
message_read(const uint64_t *words, size_t size, int marked)
{
	struct message *m = message_known(words, size);

	if (!m)
		fail("torn", "%zu bytes: %" PRIx64 " %" PRIx64, size, words[0],
		     words[1]);
	trace("message %d has come%s", message_number(m),
	      marked ? ", marked" : "");
	if (m->state == M_FAILED || m->state == M_GONE)
		fail("phantom", "message %d was never sent", message_number(m));
	return m;
}

/* A message has been brought to a consumer, who waits since then, if so. */
static struct message *
message_came(struct handle *h, const uint64_t *words, size_t size, int marked,
	     int64_t waits)
{
	struct message *m = message_read(words, size, marked);
	int number = message_number(m);

	if (m->final || m->held)
		fail("twice", "message %d", number);
	if (m->seen && !marked)
		fail("unmarked", "message %d was in other hands", number);
	if (marked && !m->seen && !oracle.consumers_killed)
		fail("marked", "message %d was in nobody's hands", number);
	oracle.changed = sim_now();
	if (marked)
		return m;
	if (m->order <= h->last[m->life])
		fail("order", "message %d after a later one", number);
	h->last[m->life] = m->order;
	if (waits && m->state == M_COMPLETE)
		oracle_late(m->complete > waits ? m->complete : waits,
			    "a message came");
	return m;
}

/* Who had them in hands is gone: the next one gets them, marked. */
static int
messages_left(struct handle *h)
{
	int count = 0;

	for (; h->held[count]; count++) {
		h->held[count]->seen = 1;
		h->held[count]->held = 0;
		h->held[count]->left = sim_now();
	}
	h->held[0] = NULL;
	return count;
}

/* ---- BROADCAST ----
 *
 * There is one writer at a time, so numbers tell the order of the stream. What
 * a reader gets next is one of from..to: after a message, exactly the next;
 * after open, at the latest the first whose push begins then, and none before
 * `early`, whose push had returned when open began. All that it passes must
 * have been told as lost: so many, exactly, but for those of which nobody knows
 * whether they are in the stream: their writer was killed. */

/* Messages from one number to another: for certain in the stream by a step, or
 * all that may be. */
static uint64_t
stream_count(unsigned file, int from, int to, int certain, uint64_t step)
{
	uint64_t count = 0;

	for (int i = from; i < to; i++) {
		struct message *m = &oracle.message[i];
		count += m->file == file && m->state != M_FAILED &&
			 (!certain || ((m->state != M_UNKNOWN || m->heard) &&
				       m->complete_step <= step));
	}
	return count;
}

/* Behind all whose push had returned at a step; in TSO, the tail may be on its
 * way yet. */
static int
stream_early(unsigned file, uint64_t step)
{
	int i = oracle.tso ? 0 : oracle.messages;

	while (i && (oracle.message[i - 1].file != file ||
		     oracle.message[i - 1].state != M_COMPLETE ||
		     oracle.message[i - 1].complete_step > step))
		i--;
	return i;
}

/* A reader stands before this message. */
static void
stream_passed(struct handle *h, int number)
{
	uint64_t lost = shmring_lost(&h->ring);
	uint64_t least = stream_count(h->file, h->to, number, 1, NEVER),
		 most = stream_count(h->file, h->from, number, 0, NEVER);

	if (lost - h->lost < least || lost - h->lost > most)
		fail("lost",
		     "%" PRIu64 " of %" PRIu64 " to %" PRIu64
		     " are told, before message %d",
		     lost - h->lost, least, most, number);
	h->from = h->to = number;
	h->lost = lost;
}

static void
message_heard(struct handle *h, const uint64_t *words, size_t size,
	      int64_t waits)
{
	struct message *m = message_read(words, size, 0);
	int number = message_number(m);

	if (m->file != h->file || number < h->from || number < h->early)
		fail("order", "message %d, before %d or %d", number, h->from,
		     h->early);
	if (shmring_lost(&h->ring) != h->told)
		fail("untold", "a loss before message %d", number);
	stream_passed(h, number);
	h->from = h->to = number + 1;
	m->heard = 1;
	oracle.changed = sim_now();
	if (waits && m->state == M_COMPLETE)
		oracle_late(m->complete > waits ? m->complete : waits,
			    "a message came");
}

/* There was nothing more for this reader, when its call began. */
static void
stream_ended(struct handle *h)
{
	uint64_t lost = shmring_lost(&h->ring) - h->lost;

	if (stream_count(h->file, h->to, oracle.messages, 1, sim.me->begun) >
	    lost)
		fail("lost", "all read, but %" PRIu64 " of those from %d on",
		     lost, h->to);
}

/* A loss was told: are there any? A reader may be demoted when it has held the
 * writer for long enough. */
static void
stream_lost(struct handle *h)
{
	uint64_t lost = shmring_lost(&h->ring);
	int64_t held = oracle.held_since ? sim_now() - oracle.held_since : 0;

	held = held > oracle.held ? held : oracle.held;
	if (lost == h->told || !(oracle.lossy || oracle.demote))
		fail("lost", "nothing, it says, or a gated reader");
	if (!oracle.lossy && held < oracle.demote)
		fail("demoted", "after %.1f ms", (double)held / 1e6);
	h->told = lost;
}

/* The writer waits since then, or (0) does not any more. */
static void
stream_held(int64_t since)
{
	if (since) {
		oracle.held_since =
			oracle.held_since ? oracle.held_since : since;
		return;
	}
	if (oracle.held_since && sim_now() - oracle.held_since > oracle.held)
		oracle.held = sim_now() - oracle.held_since;
	oracle.held_since = 0;
}

/* ---- Who is there ---- */

static void
oracle_attach(struct handle *h)
{
	EACH_ROLE (side, h->roles) {
		int before = oracle.file[h->file].attached[side]++;
		if (before < 2) {
			oracle.file[h->file].few_step[side][before] = sim.steps;
			oracle.file[h->file].more_since[side][before] =
				sim_now();
		}
		oracle.file[h->file].ever[side] = 1;
	}
	oracle.changed = sim_now();
	h->open = 1;
}

static void
oracle_detach(struct handle *h)
{
	EACH_ROLE (side, h->roles) {
		int after = --oracle.file[h->file].attached[side];
		if (after < 2)
			oracle.file[h->file].few_since[side][after] = sim_now();
	}
	oracle.changed = sim_now();
	h->open = 0;
}

/* In place of other rings, which nobody may use, whose messages are gone. */
static void
oracle_replaced(unsigned file)
{
	for (unsigned i = 0; i < FILES; i++)
		if (i != file &&
		    (oracle.file[i].attached[0] || oracle.file[i].attached[1]))
			fail("replaced", "a ring in use");
	EACH_MESSAGE (m)
		if (m->file != file)
			m->state = M_GONE;
}

/* How many messages others may have in their hands, who are in the middle of
 * taking; at least, or (one more each) at most. */
static int
oracle_in_hands(int more)
{
	int count = 0;

	EACH_TASK (t)
		if (t != sim.me && t->state == T_READY && task_takes(t))
			count += t->copies + more;
	return count;
}

/* Messages of a ring that are nobody's yet, sent before. */
static int
oracle_left(unsigned file, int64_t before, uint64_t step, int held)
{
	int count = 0;

	EACH_MESSAGE (m)
		count += m->file == file && m->state == M_COMPLETE &&
			 m->complete <= before && m->left <= before &&
			 m->complete_step <= step && !m->final && !m->grave &&
			 (!m->held || held);
	return count;
}

/* ---- Answers ---- */

/* -EPIPE: there was such a peer, at some time of the call there was none, and
 * nothing is left. */
static void
oracle_end(struct handle *h, int side)
{
	int peer = !side;
	uint64_t begun = sim.me->begun;

	if (!oracle.file[h->file].ever[peer] &&
	    !oracle.file[h->file].maybe[peer] && !oracle.opening[peer])
		fail("epipe", "nobody was ever there");
	if (oracle.endless || (oracle.broadcast && side == SHMRING__WRITE))
		fail("epipe", "here nobody says so");
	if (oracle.file[h->file].attached[peer] &&
	    oracle.file[h->file].few_step[peer][0] < begun)
		fail("epipe", "somebody is there all the time");
	if (oracle.broadcast)
		stream_ended(h);
	else if (side == SHMRING__READ &&
		 oracle_left(h->file, INT64_MAX, begun, oracle.mpmc) >
			 oracle_in_hands(0))
		fail("epipe", "messages are left");
}

/* An interrupt ended this wait: one that is to be told of, and at once; of those
 * that began meanwhile, each may end one. */
static void
oracle_cancelled(struct handle *h, int64_t begun)
{
	if (!h->asked)
		fail("cancelled", "nobody has interrupted");
	if (h->armed)
		oracle_late(h->armed > begun ? h->armed : begun,
			    "an interrupt came");
	h->asked = h->recent - (h->asked == h->recent);
	h->asked = h->asked > h->inside ? h->asked : h->inside;
	h->cancelled++;
	h->armed = 0;
}

/* Of a wait for peers: whether others of this role are there now; in a call,
 * all the time; and since when it is as it is. */
static int
oracle_others(struct handle *h, int side, int *always, int64_t *since)
{
	int mine =
		(h->roles & (side ? SHMRING_PRODUCER : SHMRING_CONSUMER)) != 0;
	int many = oracle.file[h->file].attached[side] > mine;

	*since = many ? oracle.file[h->file].more_since[side][mine]
		      : oracle.file[h->file].few_since[side][mine];
	*always = many &&
		  oracle.file[h->file].few_step[side][mine] < sim.me->begun;
	return many;
}

/* A wait for peers of these roles to be there, or not, is over. */
static void
oracle_peers(struct handle *h, unsigned roles, int there, int error,
	     int64_t begun)
{
	int64_t before = sim_now() - oracle.patience, since, latest = begun;
	int many = 0, always = 0, all, vague;

	vague = oracle.closing || oracle.vague >= sim.me->begun;
	EACH_ROLE (side, roles) {
		many |= oracle_others(h, side, &all, &since);
		always |= all;
		latest = since > latest ? since : latest;
		vague |= oracle.opening[side];
	}
	if (!error && !there && always)
		fail("peers", "somebody was there all the time");
	if (!error && there && !many && latest == begun && !vague)
		fail("peers", "nobody was there at any time");
	if (!error && many == there && roles != SHMRING_BOTH && !oracle.closing)
		oracle_late(there || latest > oracle.left ? latest
							  : oracle.left,
			    there ? "a peer came" : "peers left");
	if (error == -ETIMEDOUT && latest <= before && begun <= before &&
	    many == there && !vague && oracle.changed <= before)
		fail("peers", "it is so for long");
}

/* A long wait was in vain: should it have been? */
static void
oracle_in_vain(struct handle *h, int side, int64_t begun)
{
	int64_t before = sim_now() - oracle.patience;
	int left =
		oracle.broadcast ? 0 : oracle_left(h->file, before, NEVER, 0);
	int stopped = 0, used, held = 0;

	EACH_TASK (t) /* or was until lately */
		stopped += t->stopped || (t->resumed && t->resumed > before);
	if (sim.me->resumed > begun)
		return;
	if (oracle.broadcast && side == SHMRING__READ)
		stream_ended(h);
	else if (oracle.broadcast &&
		 (oracle.lossy || oracle.demote ||
		  (oracle.changed <= before && !stream_holds(h->file))))
		fail("wedge", "nobody may hold the writer");
	if (oracle.broadcast && side == SHMRING__WRITE)
		return;
	/* What the dead had may wait for those who stand, or is being freed. */
	left -= oracle_in_hands(1);
	if (stopped || oracle.killed > before)
		left -= (int)sim.kills;
	if (side == SHMRING__READ && left > 0)
		fail("wedge", "%d messages cannot be had", left);
	/* A slot that stands still counts as used, in its turn and the next. */
	used = 2 * (int)(sim.kills + sim.stops) + oracle.aborted;
	EACH_MESSAGE (m) {
		used += (m->file == h->file && m->state != M_FAILED &&
			 (!m->final || m->state == M_STARTED)) +
			2 * m->seen;
		held += m->held;
	}
	if (oracle.changed > before)
		return;
	if (side == SHMRING__WRITE && used < oracle.slots)
		fail("wedge", "no room, %d of %d slots used", used,
		     oracle.slots);
	if (!oracle.file[h->file].attached[!side] && !oracle.endless &&
	    oracle.file[h->file].ever[!side] &&
	    oracle.file[h->file].few_since[!side][0] <= before && !stopped &&
	    !oracle.opening[!side] && !held &&
	    (oracle.broadcast || !oracle_left(h->file, INT64_MAX, NEVER, 1)))
		fail("no-end", "the other side is gone, nobody says so");
}

#endif /* ORACLE_H */
