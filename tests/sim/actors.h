/* SPDX-License-Identifier: MIT
 *
 * actors.h - what the processes do: a plan, drawn from the seed or read
 *
 * An actor has a list of operations. When it is killed, it goes on with its
 * next open, as another process. Last of all comes a visitor: while others
 * still stand, and again when all have come to their end.
 *
 * A new call of the header needs a name in the enum, a row in kinds[] (what
 * its handle must be, how often plans have it), and a function do_...: it
 * calls, again while again() says so, and tells the oracle what was sent
 * (message_new before, message_sent after), what has come (message_came), or
 * by refused() the error. Who takes messages stands between O_POP and
 * O_SEEK. A system call that is new belongs into kernel.h, a word that is
 * rare into places_learn().
 */
#ifndef ACTORS_H
#define ACTORS_H

enum { /* n: */
       O_NOTHING,
       O_OPEN, /* roles */
       O_CREATE, /* roles; in place of what is there */
       O_DUP, /* roles; into the second handle */
       O_CLOSE,
       O_PUSH, /* size */
       O_PUSH_N, /* messages */
       O_PUSH_ARRAY, /* messages, size */
       O_COMMIT, /* size, reserved; what is committed may be less */
       O_ABORT,
       O_FLUSH,
       O_POP,
       O_POP_N, /* messages */
       O_POP_ARRAY, /* messages; 8: of 16 bytes at most */
       O_SMALL, /* pop into 8 bytes */
       O_POLL, /* pop, when the descriptor says so */
       O_EITHER, /* pop, once there is something in either handle */
       O_SEVERAL, /* messages in place, of which some are kept (SPSC) */
       O_PEEK, /* 1: and keep it until release or close */
       O_RELEASE,
       O_SEEK, /* oldest, newest, or (2) what it once had */
       O_RECOVER,
       O_STAT,
       O_INTERRUPT, /* whom; as another thread of it */
       O_SIGNAL, /* whom; 8: whose handler interrupts */
       O_EINTR, /* on, off */
       O_PEER, /* role; 4: is to be gone */
       O_NAP, /* so many tenths of a millisecond */
       KINDS
};
enum { W_POLL, W_SHORT, W_LONG };
enum { OPERATIONS = 32, LARGEST = PAGE / 2 };

struct operation {
	uint32_t kind, handle, n, wait;
};

static struct plan {
	uint32_t mode, slots, participants, actors, tso, limit, tries, cpus,
		unfenced, pids, zombies, victims, spin, memfd, flags, demote,
		alignment;
	struct operation todo[ACTORS][OPERATIONS];
	uint32_t count[ACTORS];
} plan;

static struct actor {
	uint32_t at; /* operation */
	const struct operation *o; /* the same */
	struct handle handle[2], *h; /* h: the operation's */
	int64_t begun;
	uint64_t signalled; /* the last step */
	unsigned opening; /* in these roles */
	int tries;
	uint64_t words[BATCH][LARGEST / 8]; /* what is sent, or comes, */
	size_t apart; /* so many bytes from one to the next */
	struct iovec batch[BATCH];
} actors[TASKS];

static const struct kind {
	const char *name;
	unsigned needs; /* an open handle with one of these roles */
	int weight; /* how often it is drawn, among others of its role */
	ssize_t (*run)(struct actor *a); /* > 0: so many messages moved */
} kinds[KINDS];

static int
task_takes(const struct task *t)
{
	const struct actor *a = &actors[number_of(t)];

	return (a->o && a->o->kind >= O_POP && a->o->kind <= O_SEEK) ||
	       a->handle[0].closing || a->handle[1].closing;
}

/* BROADCAST: whether a reader has not read all, or is about to go back, and so
 * may hold the writer. */
static int
stream_holds(unsigned file)
{
	for (struct actor *a = actors; a < actors + TASKS; a++)
		for (struct handle *h = a->handle; h < a->handle + 2; h++)
			if ((h->open || h->closing) && h->file == file &&
			    h->roles & SHMRING_CONSUMER &&
			    ((a->h == h && a->o && a->o->kind == O_SEEK) ||
			     stream_count(file, h->from, oracle.messages, 0,
					  NEVER)))
				return 1;
	return oracle.opening[SHMRING__READ];
}

/* ---- Waiting ---- */

static int64_t
time_out(const struct actor *a)
{
	return a->o->wait == W_POLL    ? 0
	       : a->o->wait == W_SHORT ? 2 * MS
				       : oracle.patience + 60 * MS;
}

/* Whether to try once more, a little later. */
static int
once_more(struct actor *a)
{
	static const int64_t naps[] = { MS / 30, MS / 3, MS + MS / 5 };

	if (a->tries == 3)
		return 0;
	sim_step(C_SYSTEM, __LINE__);
	sim_sleep(NULL, sim_now() + naps[a->tries++]);
	return 1;
}

static int
again(struct actor *a, ssize_t result)
{
	return result == -EAGAIN && a->o->wait == W_POLL && once_more(a);
}

/* An operation has failed: is that an answer? */
static ssize_t
refused(struct actor *a, int side, ssize_t error)
{
	uint32_t kind = a->o->kind;
	int in_vain = kind == O_FLUSH || kind == O_PEER; /* as it may be */
	int empty =
		a->o->wait == W_POLL || kind == O_SEVERAL || kind == O_EITHER;

	trace("  = %zd (%s)", error, strerror((int)-error));
	if (error == -ECANCELED)
		return oracle_cancelled(a->h, a->begun), error;
	if (error == -EINTR && a->h->eintr && a->signalled >= sim.me->begun)
		return error;
	if (error == -ETIMEDOUT && a->h->armed && kind != O_POLL &&
	    a->h->armed > sim.me->resumed &&
	    sim_now() - a->h->armed > MS + sim.paused)
		fail("deaf", "to an interrupt");
	if (error == -ENOBUFS && oracle.broadcast && side == SHMRING__READ)
		return stream_lost(a->h), error;
	if (oracle.broadcast && side == SHMRING__READ &&
	    (!plan.tso || a->o->wait == W_LONG))
		stream_ended(a->h);
	if (error == -EPIPE)
		oracle_end(a->h, side);
	else if (error == -ETIMEDOUT && a->o->wait == W_LONG && !in_vain)
		oracle_in_vain(a->h, side, a->begun);
	else if (error != -ETIMEDOUT && !(error == -EAGAIN && empty))
		fail("error", "%s says %zd", kinds[kind].name, error);
	return error;
}

/* ---- Producers ---- */

static unsigned
large(void)
{
	unsigned unit = plan.alignment ? plan.alignment : 8;

	if (oracle.broadcast)
		return PAGE * 3 / 4 / (plan.slots + 2) / 8 * 8 - 3 * unit;
	return plan.mode ? 24 : PAGE / plan.slots - 2 * unit;
}

static unsigned
size_of(const struct operation *o)
{
	if (oracle.broadcast) /* mostly long, so as to come round */
		return o->n % 8 < 5 ? large() - 8 * (o->n % 8) : 8;
	return o->n % 4 == 3 && !plan.mode ? large() : 8 + 8 * (o->n % 3);
}

/* Where message i is, or comes. */
static uint64_t *
words_at(struct actor *a, int i)
{
	return &a->words[0][(size_t)i * a->apart / 8];
}

static ssize_t
do_push(struct actor *a)
{
	int array = a->o->kind == O_PUSH_ARRAY;
	int many = a->o->kind == O_PUSH_N || array;
	int count = many ? 1 + (int)a->o->n % BATCH : 1;
	unsigned size = oracle.broadcast || !many ? size_of(a->o)
			: array			  ? 8 + a->o->n / 4 % 3 * 8
						  : 16;
	struct message *sent[BATCH];
	ssize_t done;

	a->apart = array ? size : LARGEST;
	for (int i = 0; i < count; i++) {
		uint64_t words[COPY_WORDS];

		sent[i] = message_new(a->h, size, words);
		a->batch[i].iov_base = words_at(a, i);
		a->batch[i].iov_len = size;
		memcpy(words_at(a, i), words,
		       size < sizeof(words) ? size : sizeof(words));
	}
	stream_held(a->begun);
	do
		done = array  ? shmring_push_array_wait(&a->h->ring, a->words,
							size, (size_t)count,
							time_out(a))
		       : many ? shmring_push_n_wait(&a->h->ring, a->batch,
						    (size_t)count, time_out(a))
			      : shmring_push_wait(&a->h->ring, a->words[0],
						  size, time_out(a));
	while (again(a, done));
	done += !many && done == 0;
	if (done > 0)
		stream_held(0);
	if (done < count) /* it found no room for the rest */
		stream_held(a->begun);
	for (int i = 0; i < count; i++)
		message_sent(sent[i], i < done);
	return done < 0 ? refused(a, SHMRING__WRITE, done) : done;
}

static ssize_t
do_reserve(struct actor *a)
{
	struct shmring *ring = &a->h->ring;
	unsigned size = size_of(a->o);
	struct message *m;
	uint64_t *place;
	int error = -EAGAIN;

	stream_held(a->begun);
	do
		place = shmring_reserve_wait(ring, size, time_out(a));
	while (!place && again(a, shmring_error(ring)));
	if (!place)
		return refused(a, SHMRING__WRITE, shmring_error(ring));
	size = a->o->n & 4 ? 8 : size; /* it may become smaller */
	m = message_new(a->h, size, a->words[0]);
	memory_copy(place, a->words[0], size);
	a->tries = 0;
	if (a->o->kind == O_COMMIT)
		do
			error = shmring_commit(ring, size);
		while (error == -EAGAIN && once_more(a));
	if (error == -EPIPE)
		oracle_end(a->h, SHMRING__WRITE);
	else if (error && error != -EAGAIN)
		fail("error", "commit says %d", error);
	if (error)
		shmring_abort(ring);
	else
		stream_held(0); /* what is aborted does not move on */
	oracle.aborted += error != 0;
	message_sent(m, !error);
	return !error;
}

/* All have read what was sent before this call, as far as is known of those who
 * are about to take something. */
static void
stream_flushed(unsigned file)
{
	EACH_TASK (t) {
		struct handle *all = actors[number_of(t)].handle;
		for (struct handle *h = all; h < all + 2; h++)
			if (h->open && h->file == file && !task_takes(t) &&
			    h->roles & SHMRING_CONSUMER &&
			    h->sought < sim.me->begun)
				stream_ended(h);
	}
}

static ssize_t
do_flush(struct actor *a)
{
	struct shmring *r = &a->h->ring;
	int error = shmring_flush(r, time_out(a));

	/* Nothing has moved since it looked: what stays in no buffer. */
	if (error == -EPIPE && a->o->wait == W_POLL && !plan.tso &&
	    *r->head >= (r->mode == SHMRING_MPMC ? r->mpmc.last : *r->tail))
		fail("flush", "all was taken");
	if (!error && oracle.broadcast && !oracle.lossy && !oracle.demote)
		stream_flushed(a->h->file);
	return error ? refused(a, SHMRING__WRITE, error) : 0;
}

/* ---- Consumers ---- */

/* Of those in place, the first. */
static void
release(struct handle *h, int count)
{
	int error;

	if (!count)
		return;
	for (int i = 0; i < count; i++)
		h->held[i]->grave = 1;
	sim.me->copies = count; /* others may see it before we do */
	error = h->several ? shmring_release_n(&h->ring, (size_t)count)
			   : shmring_release(&h->ring);
	if (error)
		fail("error", "release of %d says %d", count, error);
	for (int i = 0; i < count; i++) {
		h->held[i]->grave = h->held[i]->held = 0;
		h->held[i]->final = 1;
		oracle.aborted += sim_now() - h->held[i]->came > MS;
	}
	memmove(h->held, h->held + count,
		sizeof(h->held) - (size_t)count * sizeof(h->held[0]));
	oracle.changed = sim_now();
}

static ssize_t
do_release(struct actor *a)
{
	struct handle *h = a->h;
	int count = 0, error;

	if (h->peeked) {
		h->peeked = 0;
		error = shmring_release(&h->ring);
		if (error)
			return refused(a, SHMRING__READ, error);
		message_heard(h, h->words, h->size, 0);
		h->place = h->position;
		h->number = h->to - 1;
	}
	while (h->held[count])
		count++;
	release(h, count);
	return 0;
}

/* Another handle of ours that could be read from, or NULL. */
static struct handle *
second_reader(struct actor *a)
{
	struct handle *other = &a->handle[a->h == a->handle];

	return other->open && other->roles & SHMRING_CONSUMER &&
			       !other->peeked && !other->held[0]
		       ? other
		       : NULL;
}

/* Take all, arm, sleep, as its contract says; the descriptor may be another
 * ring's, too. */
static ssize_t
take_polled(struct actor *a, struct shmring_polled *also, struct handle *other)
{
	struct handle *h = a->h;
	struct shmring_poll *poll = &h->poll;
	int64_t until = a->begun + time_out(a);
	ssize_t got;
	int armed = 0;

	for (;;) {
		got = shmring_pop(&h->ring, a->words[0], LARGEST);
		if (got != -EAGAIN || a->o->wait == W_POLL)
			return got;
		if (sim_now() >= until)
			return -ETIMEDOUT;
		armed = shmring_poll_arm(poll);
		if (armed < 0)
			return armed;
		if (!kernel_readable(poll->inotify, poll->timer,
				     armed ? 0 : until) &&
		    armed)
			fail("poll", "something is there, but not readable");
		if (!armed || !also->ready)
			continue;
		a->h = other; /* in whose call we may be killed */
		got = shmring_pop(&other->ring, a->words[0], LARGEST);
		if (got != -EAGAIN)
			return got;
		a->h = h;
	}
}

static ssize_t
pop_polled(struct actor *a)
{
	struct handle *h = a->h, *other = second_reader(a);
	struct shmring_polled also = { 0 };
	ssize_t got;

	if (shmring_poll_fd(&h->poll) < 0 &&
	    shmring_poll_open(&h->poll, &h->ring, SHMRING_CONSUMER))
		fail("error", "poll_open");
	if (other &&
	    shmring_poll_add(&h->poll, &also, &other->ring, SHMRING_CONSUMER))
		fail("error", "poll_add");
	got = take_polled(a, &also, other);
	shmring_poll_remove(&h->poll, &also);
	return got;
}

static ssize_t
pop_either(struct actor *a)
{
	struct shmring_item items[2] = { { &a->h->ring, SHMRING_CONSUMER, 0 } };
	struct handle *other = second_reader(a);
	size_t count = 1;
	int ready;

	if (other)
		items[count++] = (struct shmring_item){ &other->ring,
							SHMRING_CONSUMER, 0 };
	ready = shmring_wait_several(items, count, time_out(a));
	/* whose it was: not of one that never was marked, or is marked still,
	 * unless for a second time */
	int unmarked = a->h->asked &&
		       !(a->h->ring.wait.interrupts & SHMRING__INTERRUPTED);
	if (count == 2 && ((ready == -ECANCELED && !unmarked && other->asked) ||
			   (ready == -EINTR && !a->h->eintr)))
		a->h = other;
	else if (count == 2 && ready == -ECANCELED)
		other->armed = 0; /* or that one's, too: nobody can tell */
	return ready > 0 ? shmring_pop(&a->h->ring, a->words[0], LARGEST)
			 : ready;
}

/* Into an array, and from there to where all that comes is looked for. How long
 * a message was, its number tells; the rest is to be zero. */
static ssize_t
pop_array(struct actor *a, size_t count)
{
	size_t most = a->o->n & 8 ? 16 : LARGEST;
	ssize_t got;

	memset(a->words, 0xff, count * most);
	for (size_t i = 0; i < count; i++)
		a->words[0][i * most / 8] = 0;
	sim.me->unit = a->apart = most;
	got = shmring_pop_array_wait(&a->h->ring, a->words, most, count,
				     time_out(a));
	sim.me->unit = 0;
	for (int i = (int)got - 1; i >= 0; i--) {
		uint64_t *words = words_at(a, i);
		size_t size = oracle.message[words[0] % MESSAGES].size;

		for (size_t k = size / 8; k < most / 8; k++)
			if (words[k])
				fail("torn", "not filled up with zeros");
		memmove(a->words[i], words, most);
		a->batch[i].iov_len = size;
	}
	a->apart = LARGEST;
	return got;
}

static ssize_t
call_pop(struct actor *a, size_t count)
{
	struct iovec *first = a->batch;
	ssize_t got;

	if (a->o->kind == O_POP_ARRAY)
		return pop_array(a, count);

	for (size_t i = 0; i < count; i++) {
		memset(a->words[i], 0, 8 * COPY_WORDS);
		a->batch[i].iov_base = a->words[i];
		a->batch[i].iov_len = a->o->kind == O_SMALL ? 8 : LARGEST;
	}
	if (a->o->kind == O_POP_N)
		return shmring_pop_n_wait(&a->h->ring, first, count,
					  time_out(a));
	if (a->o->kind == O_POLL)
		got = pop_polled(a);
	else if (a->o->kind == O_EITHER)
		got = pop_either(a);
	else
		got = shmring_pop_wait(&a->h->ring, a->words[0], first->iov_len,
				       time_out(a));
	if (got < 0)
		return got;
	first->iov_len = (size_t)got;
	return 1;
}

static ssize_t
call_peek(struct actor *a, size_t count)
{
	struct iovec *first = a->batch;

	a->h->several = a->o->kind == O_SEVERAL;
	if (a->h->several)
		return shmring_peek_n(&a->h->ring, first, count);
	first->iov_base = (void *)(uintptr_t)shmring_peek_wait(
		&a->h->ring, &first->iov_len, time_out(a));
	return first->iov_base ? 1 : shmring_error(&a->h->ring);
}

/* It may be told that a message is too large. */
static int
takes_small(const struct operation *o)
{
	return o->kind == O_SMALL || (o->kind == O_POP_ARRAY && o->n & 8);
}

/* BROADCAST: what is in place counts once release says that it was whole. */
static ssize_t
hear(struct actor *a, ssize_t got)
{
	struct handle *h = a->h;

	if (a->o->kind == O_PEEK && got > 0) {
		h->size = a->batch[0].iov_len;
		h->position = shmring_position(&h->ring, SHMRING_CONSUMER);
		memory_copy(h->words, a->batch[0].iov_base,
			    h->size < sizeof(h->words) ? h->size
						       : sizeof(h->words));
		h->peeked = 1;
		return a->o->n & 1 ? 1 : do_release(a);
	}
	for (int i = 0; i < got; i++)
		message_heard(h, a->words[i], a->batch[i].iov_len,
			      i == 0 && a->o->wait ? a->begun : 0);
	return got < 0 && (got != -EMSGSIZE || !takes_small(a->o))
		       ? refused(a, SHMRING__READ, got)
		       : got;
}

static ssize_t
do_seek(struct actor *a)
{
	struct handle *h = a->h;
	int exact = a->o->n & 2 && h->place, newest = a->o->n & 1, error;
	int early = stream_early(h->file, sim.steps);

	if (!oracle.broadcast || h->peeked)
		return 0;
	error = shmring_seek(&h->ring, exact	? h->place
				       : newest ? SHMRING_NEWEST
						: SHMRING_OLDEST);
	trace("  = %d, %" PRIu64 " lost", error, shmring_lost(&h->ring));
	if (error && error != -EAGAIN && !(exact && error == -ERANGE))
		fail("error", "seek says %d", error);
	if (error && shmring_lost(&h->ring) != h->told)
		fail("lost", "a seek in vain");
	if (!error && exact && h->number >= h->from &&
	    (h->lost == h->told || shmring_lost(&h->ring) != h->told))
		stream_passed(h, h->number);
	if (!error && exact)
		h->from = h->to = h->number;
	if (!error)
		h->early = newest && !exact ? early : 0;
	if (!error && !exact && !newest &&
	    shmring_lost(&h->ring) == h->told) { /* back, if at all */
		h->from = 0;
		h->to = h->lost == h->told ? h->to : oracle.messages;
		h->lost = h->told;
	}
	h->told = shmring_lost(&h->ring);
	h->sought = sim.steps;
	if (exact && !error)
		h->lost = h->told;
	return error;
}

static ssize_t
do_take(struct actor *a)
{
	int many = a->o->kind == O_POP_N || a->o->kind == O_POP_ARRAY ||
		   a->o->kind == O_SEVERAL;
	int peeks = a->o->kind == O_PEEK || a->o->kind == O_SEVERAL;
	size_t count = many ? 1 + a->o->n % BATCH : 1;
	struct handle *h = a->h;
	struct message *m;
	ssize_t got;

	if (a->o->kind == O_SEVERAL && plan.mode)
		return 0;
	got = do_release(a); /* one at a time */
	if (got)
		return got;
	sim.me->copies = 0;
	do
		got = (peeks ? call_peek : call_pop)(a, count);
	while (again(a, got));
	h = a->h; /* or the other one: see take_polled */
	if (oracle.broadcast)
		return hear(a, got);
	for (int i = 0; i < got; i++) {
		int last = i == got - 1; /* the mark is its */
		uint64_t words[LARGEST / 8];
		if (peeks) {
			memory_copy(words, a->batch[i].iov_base,
				    a->batch[i].iov_len);
			sim.me->copies = 0; /* it is still there */
		}
		m = message_came(h, peeks ? words : a->words[i],
				 a->batch[i].iov_len,
				 last && shmring_redelivered(&h->ring),
				 i == 0 && a->o->wait ? a->begun : 0);
		m->held = peeks;
		m->final = !peeks;
		m->came = sim_now();
		h->held[i] = peeks ? m : NULL;
		h->held[i + 1] = NULL;
	}
	if (got < 0 && (got != -EMSGSIZE || !takes_small(a->o)))
		return refused(a, SHMRING__READ, got);
	if (got > 0 && peeks)
		release(h, many ? (int)a->o->n / BATCH % ((int)got + 1)
				: !(a->o->n & 1));
	return got;
}

/* ---- Coming and going ---- */

static unsigned
roles_of(const struct operation *o)
{
	return o->n & 3 ? o->n & 3 : SHMRING_BOTH;
}

static struct shmring_config
configuration(unsigned roles)
{
	return (struct shmring_config){ .mode = plan.mode,
					.slots = plan.slots,
					.slot_size = large(),
					.participants = plan.participants,
					.flags = SHMRING_REPLACE | plan.flags,
					.demote_ms = plan.demote,
					.alignment = plan.alignment,
					.roles = roles };
}

/* Without a name: somebody has passed us a descriptor. */
static int
open_passed(struct shmring *ring, unsigned roles)
{
	int fd = (int)kernel_new(F_FILE, 1, 0);
	int error = shmring_open_fd(ring, fd, roles);

	kernel_close(kernel_fd(fd));
	return error;
}

static int
open_once(struct actor *a)
{
	struct shmring_config c = configuration(roles_of(a->o));
	struct shmring *ring = &a->h->ring;
	int error;

	a->opening = c.roles;
	EACH_ROLE (side, c.roles)
		oracle.opening[side]++;
	error = a->o->kind == O_CREATE ? shmring_create(ring, "/sim", &c)
		: a->o->kind == O_DUP
			? shmring_dup(ring, &a->handle[0].ring, c.roles)
		: plan.memfd ? open_passed(ring, c.roles)
			     : shmring_open(ring, "/sim", c.roles, time_out(a));
	EACH_ROLE (side, c.roles)
		oracle.opening[side]--;
	a->opening = 0;
	oracle.vague = sim.steps;
	oracle.left = error ? sim_now() : oracle.left; /* it was seen */
	return error;
}

static ssize_t
do_open(struct actor *a)
{
	static const int answers[] = { -EBUSY,	   -EUSERS, -ENOENT,
				       -ESTALE,	   -EEXIST, -EOWNERDEAD,
				       -ETIMEDOUT, -ENOSPC, 0 };
	struct handle *h = a->h;
	uint64_t begun;
	int error, i = 0;

	if (h->open || (a->o->kind == O_DUP && !a->handle[0].open))
		return 0;
	do {
		begun = sim.steps;
		error = open_once(a);
	} while (error == -EBUSY && once_more(a));
	while (answers[i] && error != answers[i])
		i++;
	if (error != answers[i])
		fail("error", "%s says %d", kinds[a->o->kind].name, error);
	if (error) {
		trace("  = %d (%s)", error, strerror(-error));
		return error;
	}
	h->roles = roles_of(a->o);
	h->file = kernel_fd(h->ring.map.fd)->file;
	h->life = oracle.lives++;
	h->order = 0;
	memset(h->last, 0, sizeof(h->last));
	if (oracle.lives == LIVES)
		fail("simulator", "too many lives");
	h->early = stream_early(h->file, begun);
	h->from = h->early;
	h->to = oracle.messages;
	h->lost = h->told = h->place = 0;
	h->sought = sim.steps;
	memset(&h->poll, 0, sizeof(h->poll));
	h->asked = h->inside = h->cancelled = h->eintr = h->peeked = 0;
	h->armed = 0;
	oracle_attach(h);
	shmring_set_spin(&h->ring, plan.spin == 2   ? -1
				   : plan.spin == 1 ? SHMRING_SPIN_NS
						    : 0);
	if (a->o->kind == O_CREATE)
		oracle_replaced(h->file);
	return 0;
}

static ssize_t
do_close(struct actor *a)
{
	struct handle *h = a->h;

	oracle_detach(h);
	h->closing = 1;
	oracle.closing++;
	shmring_poll_close(&h->poll);
	sim.me->copies += messages_left(h); /* until others can have them */
	shmring_close(&h->ring);
	h->closing = 0;
	oracle.closing--;
	oracle.changed = oracle.left = sim_now();
	oracle.vague = sim.steps;
	return 0;
}

/* From another thread of its process, or in a handler. */
static void
interrupt(struct handle *h)
{
	int told = h->cancelled, life = (int)h->life;

	if (!h->open && !h->closing)
		return;
	h->asked++;
	h->recent++;
	h->inside++;
	trace("  interrupts");
	if (shmring_interrupt(&h->ring) && h->open)
		fail("error", "interrupt");
	h->inside--;
	if (h->cancelled == told && !h->armed && (int)h->life == life)
		h->armed = sim_now();
}

static void
task_signalled(struct task *t)
{
	struct actor *a = &actors[number_of(t)];
	int interrupts = t->signals > 1;

	trace("  handles a signal");
	t->signals = 0;
	a->signalled = sim.steps;
	for (int i = 0; interrupts && i < 2; i++)
		interrupt(&a->handle[i]);
}

static ssize_t
do_interrupt(struct actor *a)
{
	struct actor *b = &actors[a->o->n % plan.actors];
	struct task *t = &sim.task[b - actors];

	if (a->o->kind == O_EINTR) {
		a->h->eintr = a->o->n & 1;
		return shmring_set_eintr(&a->h->ring, a->h->eintr);
	}
	sim_step(C_SYSTEM, __LINE__);
	if (a == b || !t->pid || t->partner || !b->handle[0].open)
		return 0;
	if (a->o->kind == O_INTERRUPT) {
		sim.me->partner = t;
		sim.firm = 1; /* until it has begun */
		interrupt(&b->handle[0]);
		sim.me->partner = NULL;
		return 0;
	}
	t->signals = a->o->n & 8 ? 2 : 1;
	if (t->state == T_ASLEEP) {
		t->signalled = 1;
		task_is(t, T_READY, t->stopped);
	}
	return 0;
}

static ssize_t
do_peer(struct actor *a)
{
	unsigned roles = 1 + a->o->n % 3;
	int there = !(a->o->n & 4);
	int error = (there ? shmring_wait_peer : shmring_wait_gone)(
		&a->h->ring, roles, time_out(a));

	if (error)
		refused(a, SHMRING__WRITE, error);
	oracle_peers(a->h, roles, there, error, a->begun);
	return error;
}

static ssize_t
do_other(struct actor *a)
{
	struct shmring_stat stat;
	int count;

	if (a->o->kind == O_STAT) {
		shmring_stat(&a->h->ring, &stat);
	} else if (a->o->kind == O_RECOVER) {
		count = shmring_recover(&a->h->ring);
		if (count < 0 || count > 8)
			fail("error", "recover says %d", count);
	} else {
		sim_step(C_SYSTEM, __LINE__);
		sim_sleep(NULL, sim_now() + a->o->n * MS / 10);
	}
	return 0;
}

static const struct kind kinds[KINDS] = {
	[O_NOTHING] = { "nothing", SHMRING_BOTH, 0, NULL },
	[O_OPEN] = { "open", 0, 0, do_open },
	[O_CREATE] = { "create", 0, 0, do_open },
	[O_DUP] = { "dup", 0, 0, do_open },
	[O_CLOSE] = { "close", SHMRING_BOTH, 0, do_close },
	[O_PUSH] = { "push", SHMRING_PRODUCER, 4, do_push },
	[O_PUSH_N] = { "push_n", SHMRING_PRODUCER, 1, do_push },
	[O_PUSH_ARRAY] = { "push_array", SHMRING_PRODUCER, 2, do_push },
	[O_COMMIT] = { "commit", SHMRING_PRODUCER, 2, do_reserve },
	[O_ABORT] = { "abort", SHMRING_PRODUCER, 1, do_reserve },
	[O_FLUSH] = { "flush", SHMRING_PRODUCER, 1, do_flush },
	[O_POP] = { "pop", SHMRING_CONSUMER, 3, do_take },
	[O_POP_N] = { "pop_n", SHMRING_CONSUMER, 2, do_take },
	[O_POP_ARRAY] = { "pop_array", SHMRING_CONSUMER, 2, do_take },
	[O_SMALL] = { "small", SHMRING_CONSUMER, 1, do_take },
	[O_POLL] = { "poll", SHMRING_CONSUMER, 0, do_take },
	[O_EITHER] = { "either", SHMRING_CONSUMER, 0, do_take },
	[O_SEVERAL] = { "several", SHMRING_CONSUMER, 1, do_take },
	[O_PEEK] = { "peek", SHMRING_CONSUMER, 2, do_take },
	[O_RELEASE] = { "release", SHMRING_CONSUMER, 0, do_release },
	[O_SEEK] = { "seek", SHMRING_CONSUMER, 0, do_seek },
	[O_RECOVER] = { "recover", SHMRING_BOTH, 4, do_other },
	[O_STAT] = { "stat", SHMRING_BOTH, 1, do_other },
	[O_INTERRUPT] = { "interrupt", 0, 0, do_interrupt },
	[O_SIGNAL] = { "signal", 0, 0, do_interrupt },
	[O_EINTR] = { "eintr", SHMRING_BOTH, 0, do_interrupt },
	[O_PEER] = { "peer", SHMRING_BOTH, 0, do_peer },
	[O_NAP] = { "nap", 0, 1, do_other },
};

/* ---- One operation after the other ---- */

static ssize_t
act(struct actor *a, const struct operation *o)
{
	const struct kind *k = &kinds[o->kind];

	a->o = o;
	a->h = &a->handle[o->kind == O_DUP || o->handle];
	a->begun = sim_now();
	a->handle[0].recent = a->handle[1].recent = 0;
	a->tries = 0;
	if (!k->run || (k->needs && !(a->h->open && a->h->roles & k->needs)))
		return 0;
	return k->run(a);
}

static void
operation_begins(uint32_t number)
{
	struct task *t = sim.me;

	sim.clock[C_SYSTEM]++;
	t->op = number;
	t->base = t->begun = sim.steps;
	t->stirred = t->copies = 0;
	t->unit = 0;
	actors[number_of(t)].apart = LARGEST;
	for (int i = 0; i < BATCH; i++)
		actors[number_of(t)].words[i][0] = 0;
}

static __attribute__((noreturn)) void
actor_ends(struct actor *a)
{
	static const struct operation close[] = { { O_CLOSE, 0, 0, 0 },
						  { O_CLOSE, 1, 0, 0 } };

	for (int i = 0; i < 2; i++)
		act(a, &close[i]);
	kernel_exit(sim.me);
	sim_end();
}

static void
actor_body(void)
{
	static const char *const waits[] = { "", ", 2 ms", ", long" };
	unsigned number = number_of(sim.me);
	struct actor *a = &actors[number];

	for (; a->at < plan.count[number]; a->at++) {
		struct operation *o = &plan.todo[number][a->at];
		operation_begins(a->at);
		trace("%s(%u)%s%s", kinds[o->kind].name, o->n,
		      o->handle ? " with the second handle" : "",
		      waits[o->wait]);
		act(a, o);
	}
	operation_begins(a->at);
	actor_ends(a);
}

static void
actor_starts(struct task *t, uint32_t pid)
{
	t->start = ++kernel.pids;
	t->pid = pid && plan.pids ? pid : 100 + kernel.pids;
	sim_prepare(t, actor_body);
}

/* Its next life, if it has one. */
static void
actor_restarts(struct task *t, uint32_t pid)
{
	unsigned number = number_of(t);
	struct actor *a = &actors[number];

	a->o = NULL;
	while (++a->at < plan.count[number])
		if (plan.todo[number][a->at].kind == O_OPEN ||
		    plan.todo[number][a->at].kind == O_CREATE) {
			actor_starts(t, pid);
			return;
		}
}

/* What a killed process leaves undone, and what may be said of it. */
static void
task_killed(struct task *t)
{
	struct actor *a = &actors[number_of(t)];
	uint32_t pid = t->pid;

	for (struct handle *h = a->handle; h < a->handle + 2; h++) {
		if ((h->open || h->closing) && h->roles & SHMRING_CONSUMER)
			oracle.consumers_killed = 1;
		messages_left(h); /* in a release, it may be gone besides */
		if (h->open)
			oracle_detach(h);
		if (h->closing || a->opening)
			oracle.left = sim_now();
		oracle.closing -= h->closing;
		h->closing = 0;
	}
	EACH_ROLE (side, a->opening) {
		for (int i = 0; i < FILES; i++)
			oracle.file[i].maybe[side] = 1;
		oracle.opening[side]--;
		oracle.consumers_killed |= side == SHMRING__READ;
	}
	a->opening = 0;
	oracle.vague = sim.steps;
	for (int i = 0; i < BATCH && task_takes(t); i++) {
		const uint64_t *words = words_at(a, i);
		struct message *m = message_known(
			words, oracle.message[words[0] % MESSAGES].size);
		if (m && !m->final) /* it had been given this already */
			m->grave = 1;
	}
	EACH_MESSAGE (m)
		if (m->actor == number_of(t) && m->state == M_STARTED)
			m->state = M_UNKNOWN;
	oracle.changed = oracle.killed = sim_now();
	kernel_exit(t);
	t->zombie = plan.zombies ? pid : 0;
	t->stores = t->signals = 0;
	actor_restarts(t, pid);
}

/* ---- The visitor ---- */

/* Others still stand, for ever as far as we know: what is not in their hands
 * can be had, and there is room for more, all in time. */
static void
visit_others(void)
{
	static const struct operation pop = { O_POP, 0, 0, W_LONG },
				      push = { O_PUSH, 0, 1, W_LONG },
				      close = { O_CLOSE, 0, 0, 0 };
	struct actor *a = &actors[TASKS - 1];
	const struct operation open = { O_OPEN, 0,
					oracle.mpmc ? SHMRING_BOTH
						    : SHMRING_CONSUMER,
					W_POLL },
			       writer = { O_OPEN, 0, SHMRING_PRODUCER, W_POLL };
	int room = oracle.slots - 2 * (int)(sim.kills + sim.stops);

	operation_begins(0);
	sim_tries = 4096;
	trace("the visitor comes, when others stand");
	if (!act(a, &open)) {
		shmring_set_spin(&a->h->ring, 0);
		while (act(a, &pop) > 0)
			;
		for (int i = 0; i < oracle.slots && room > 0 && oracle.mpmc;
		     i++) {
			int64_t begun = sim_now();
			act(a, &push);
			oracle_late(begun, "room came");
			act(a, &pop);
		}
	}
	act(a, &close);
	if (oracle.broadcast && !act(a, &writer)) {
		shmring_set_spin(&a->h->ring, 0);
		for (int i = 0; i < 2 * oracle.slots; i++)
			act(a, &push);
	}
	actor_ends(a);
}

/* All have ended: everything is there and as it should be. */
static void
visit_end(void)
{
	static const struct operation both = { O_OPEN, 0, 3, 0 },
				      consumer = { O_OPEN, 0, 2, 0 },
				      pop = { O_POP, 0, 0, W_POLL },
				      push = { O_PUSH, 0, 11, W_POLL },
				      close = { O_CLOSE, 0, 0, 0 };
	struct actor *a = &actors[TASKS - 1];
	int error, room;

	operation_begins(0);
	sim_tries = 4096;
	trace("the visitor comes, when all have ended");
	error = (int)act(a, &both);
	if (error)
		fail("shut", "open says %d", error);
	shmring_recover(&a->h->ring);
	shmring_recover(&a->h->ring);
	while (act(a, &pop) > 0)
		;
	EACH_MESSAGE (m)
		if (!oracle.broadcast && m->file == a->h->file &&
		    m->state == M_COMPLETE && !m->final && !m->grave)
			fail("lost", "message %d was sent and never came",
			     message_number(m));
	/* Past what is still void; then full, and empty. */
	for (int i = 0; plan.mode && i < 4 * oracle.slots; i++)
		if (act(a, &push) <= 0 || act(a, &pop) <= 0)
			fail("slot", "one cannot be used");
	for (int laps = plan.mode ? 2 : 1; laps; laps--) {
		for (room = 0; room < oracle.slots && act(a, &push) > 0; room++)
			;
		if (room != oracle.slots ||
		    (!oracle.broadcast && act(a, &push) > 0))
			fail("slot", "room for %d of %d", room, oracle.slots);
		while (act(a, &pop) > 0)
			room--;
		if (room)
			fail("slot", "%d messages did not come back", room);
	}
	shmring_recover(&a->h->ring);
	if (a->h->ring.notice->attn & (SHMRING__DOUBT | SHMRING__ORPHAN))
		fail("attn", "%" PRIx64 " at the end", a->h->ring.notice->attn);
	act(a, &close);
	error = (int)act(a, &consumer);
	if (error || shmring_pop(&a->h->ring, a->words[0], LARGEST) !=
			     (oracle.endless ? -EAGAIN : -EPIPE))
		fail("no-end", "at the end, open says %d, or pop not -EPIPE",
		     error);
	actor_ends(a);
}

/* ---- Plans ---- */

static uint64_t plan_random;
static uint32_t plan_some; /* kinds, a bit each, that this plan prefers */

static uint32_t
pick(uint32_t below)
{
	return draw(&plan_random, below);
}

static struct operation *
plan_add(uint32_t actor, uint32_t kind, uint32_t n, uint32_t wait)
{
	struct operation *o = &plan.todo[actor][plan.count[actor]++];

	*o = (struct operation){ kind, 0, n, wait };
	return o;
}

/* A kind for this role (both: of those for either), by weight; mostly of some
 * few, for what is seldom done meets itself only where little else is. */
static uint32_t
plan_kind(unsigned needs)
{
	static uint8_t deck[4][64], cards[4];
	uint32_t kind = 0;

	if (!cards[needs])
		for (uint32_t k = 0; k < KINDS; k++)
			for (int w = kinds[k].weight; w; w--)
				if (needs == (kinds[k].needs ? kinds[k].needs
							     : SHMRING_BOTH))
					deck[needs][cards[needs]++] =
						(uint8_t)k;
	for (int tries = 0; tries < 4 && !(plan_some & 1u << kind); tries++)
		kind = deck[needs][pick(cards[needs])];
	return kind;
}

/* What one life of an actor is made of. */
static void
plan_life(uint32_t i, unsigned roles, int storm, int brief, int busy, int calls)
{
	static const uint8_t seldom[] = { O_INTERRUPT, O_INTERRUPT, O_SIGNAL,
					  O_SIGNAL,    O_EINTR,	    O_PEER,
					  O_PEER,      O_PEER,	    O_POLL,
					  O_POLL,      O_EITHER,    O_EITHER };
	uint32_t most = pick(10) ? 1 + pick(brief ? 2 : 5) : 0;

	if (plan.mode == SHMRING_BROADCAST || busy) /* once round, or more */
		most *= 2;

	if (pick(3) == 0)
		plan_add(i, O_NAP, 1 + pick(40), 0);
	plan_add(i, O_OPEN, roles, pick(4) < 1u + (unsigned)brief);
	if (storm && roles & SHMRING_PRODUCER) { /* before one message */
		for (uint32_t k = 7 + pick(3); k; k--)
			plan_add(i, O_ABORT, 1, 0);
		plan_add(i, O_PUSH, 1, 0);
		most = 0;
	}
	for (uint32_t k = 0; k < most && plan.count[i] < OPERATIONS - 4; k++) {
		uint32_t rare = pick(40);
		uint32_t role = roles == SHMRING_BOTH ? 1 + pick(2) : roles;
		uint32_t kind = plan_kind(rare < (brief ? 12 : 6) ? SHMRING_BOTH
								  : role);
		uint32_t n = pick(16), wait = pick(3) ? W_SHORT : W_POLL;
		struct operation *o;
		if (wait && plan.spin != 2 && pick(3) == 0)
			wait = W_LONG;
		if (calls && plan.spin != 2 && pick(3) == 0)
			kind = seldom[pick(sizeof(seldom))];
		if (plan.mode == SHMRING_BROADCAST &&
		    role == SHMRING_CONSUMER && pick(8) == 0)
			kind = O_SEEK;
		o = plan_add(i, kind, n, wait);
		if (kind == O_PEEK && pick(3) == 0) { /* and hold it */
			o->n = 1;
			o = plan_add(i, O_NAP, 1 + pick(4), 0);
		}
		o->handle = rare > 30; /* if there is one */
		if (rare == 39 && k == 0)
			plan_add(i, O_DUP, pick(4), 0);
	}
	if (pick(6))
		plan_add(i, O_CLOSE, 0, 0);
}

static void
plan_draw(uint64_t seed, int tso)
{
	static const uint8_t plan_modes[] = { 0, 0, 1, 1, 1, 1, 1, 1, 2, 2 };
	int storm, create, brief, busy, broadcast, calls;

	plan_random = mix(seed ^ UINT64_C(0x51a));
	storm = pick(40) == 0; /* of aborts, with fewer tries than those */
	create = pick(12) == 0;
	brief = pick(3) == 0; /* many short lives */
	busy = pick(3) == 0; /* slots are used again */
	calls = pick(6) == 0; /* those that are seldom used, too */
	plan_some = pick(2) ? ~1u : pick(UINT32_MAX) & ~1u;
	memset(&plan, 0, sizeof(plan));
	plan.mode = storm ? SHMRING_MPMC : plan_modes[pick(10)];
	broadcast = plan.mode == SHMRING_BROADCAST;
	plan.slots = 2u << pick(brief || broadcast ? 2 : 3);
	if (plan.mode == SHMRING_MPMC && pick(8)) /* 2: for one participant */
		plan.slots = 4u << pick(2);
	if (storm || (plan.mode == SHMRING_MPMC && !brief && pick(4) == 0))
		plan.slots = 16;
	plan.actors = storm ? 2 : 2 + pick(plan.mode ? ACTORS - 1 : 3);
	if (broadcast && pick(2))
		plan.flags |= SHMRING_LOSSY;
	else if (broadcast && pick(2))
		plan.demote = 1 + pick(4) * pick(4);
	if (pick(8) == 0)
		plan.flags |= SHMRING_PERSISTENT;
	if (pick(6) == 0) {
		plan.alignment = 16u << pick(2);
		plan.flags |= pick(2) ? SHMRING_METERED : 0;
	}
	plan.participants = plan.actors + 1;
	if (!broadcast && plan.participants > plan.slots / 2)
		plan.participants = plan.slots / 2;
	plan.tso = (uint32_t)tso;
	plan.limit = tso ? 1 + pick(BUFFER - 1) : 0;
	plan.tries = storm ? 3 : 4096;
	plan.cpus = pick(2) ? 8 : 1;
	plan.unfenced = pick(8) == 0;
	plan.pids = pick(2);
	plan.zombies = pick(2);
	plan.spin = pick(32) == 0 ? 2 : pick(2);
	plan.victims = storm || !pick(5) ? 0 : 6 - pick(3) * pick(3);
	plan.memfd = !create && pick(4) == 0;
	for (uint32_t i = 0; i < plan.actors; i++) {
		if (create && pick(3) == 0)
			plan_add(i, O_CREATE, pick(4), 0);
		for (uint32_t lives = storm ? 1 : 1 + pick(brief ? 4 : 2);
		     lives && plan.count[i] + 18 < OPERATIONS; lives--) {
			unsigned roles = 1 + pick(3);
			if (i < 2 && pick(3)) /* both are there */
				roles = 1 + i;
			if (!plan.mode && roles == SHMRING_BOTH && pick(4))
				roles = 1 + pick(2);
			if (broadcast && i > 1) /* one writer at a time */
				roles = pick(4) ? SHMRING_CONSUMER : roles;
			plan_life(i, roles, storm, brief, busy, calls);
		}
	}
}

#endif /* ACTORS_H */
