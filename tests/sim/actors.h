/* SPDX-License-Identifier: MIT
 *
 * actors.h - what the processes do: a plan, drawn from the seed or read
 *
 * An actor has a list of operations. When it is killed, it goes on with its
 * next open, as another process. Last of all comes a visitor: while others
 * still stand, and again when all have come to their end.
 */
#ifndef ACTORS_H
#define ACTORS_H

enum kind {
	O_NOTHING,
	O_OPEN, /* n: roles */
	O_CREATE, /* in place of what is there; n: roles */
	O_DUP, /* n: roles; into the second handle */
	O_CLOSE,
	O_PUSH, /* n: size */
	O_PUSH_N, /* n: messages */
	O_COMMIT, /* n: size, reserved; what is committed may be less */
	O_ABORT,
	O_FLUSH,
	O_POP,
	O_POP_N, /* n: messages */
	O_SMALL, /* pop into 8 bytes */
	O_SEVERAL, /* n: messages in place, released in two parts (SPSC) */
	O_PEEK, /* n: 1: and keep it until release or close */
	O_RELEASE,
	O_RECOVER,
	O_STAT,
	O_NAP, /* n: for so many tenths of a millisecond */
};
static const char *const kind_names[] = {
	"nothing", "open",    "create",	 "dup",	 "close", "push",  "push_n",
	"commit",  "abort",   "flush",	 "pop",	 "pop_n", "small", "several",
	"peek",	   "release", "recover", "stat", "nap",	  NULL
};

enum { W_POLL, W_SHORT, W_LONG };
enum { OPERATIONS = 32, BATCH = 4 };
#ifndef SIM_CREATES
#define SIM_CREATES 12 /* one in so many plans replaces its ring */
#endif

struct operation {
	uint32_t kind, handle, n, wait;
};

static struct plan {
	uint32_t mode, slots, participants, actors, tso, limit, tries, cpus,
		unfenced, pids, zombies, victims, spin;
	struct operation todo[ACTORS][OPERATIONS];
	uint32_t count[ACTORS];
} plan;

static struct actor {
	uint32_t at; /* operation */
	struct handle handle[2];
	uint64_t words[BATCH][LARGE / 8]; /* what is sent, or comes */
	struct iovec batch[BATCH];
	struct message *several[BATCH]; /* in hands, or NULL */
} actors[TASKS];

static struct operation *
operation_of(const struct task *t)
{
	static struct operation visits = { O_POP, 0, 0, 0 };

	return number_of(t) < ACTORS ? &plan.todo[number_of(t)][t->op]
				     : &visits;
}

static int
task_takes(const struct task *t)
{
	const struct actor *a = &actors[number_of(t)];
	uint32_t kind = operation_of(t)->kind;

	return (kind >= O_POP && kind <= O_RELEASE) || a->handle[0].closing ||
	       a->handle[1].closing;
}

/* ---- Waiting ---- */

static int64_t
time_out(const struct operation *o)
{
	return o->wait == W_POLL    ? 0
	       : o->wait == W_SHORT ? 2 * MS
				    : oracle.patience + 60 * MS;
}

/* Whether to try again, a little later. */
static int
again(const struct operation *o, int *tries, ssize_t result)
{
	static const int64_t naps[] = { MS / 30, MS / 3, MS + MS / 5 };

	if (result != -EAGAIN || o->wait != W_POLL || *tries == 3)
		return 0;
	sim_step(C_SYSTEM, __LINE__);
	sim_sleep(NULL, sim_now() + naps[(*tries)++]);
	return 1;
}

/* An operation has failed: is that an answer? */
static void
refused(struct handle *h, int side, const struct operation *o, int64_t begun,
	ssize_t error)
{
	trace("  = %zd (%s)", error, strerror((int)-error));
	if (error == -EPIPE)
		oracle_end(h, side);
	else if (error == -ETIMEDOUT && o->wait == W_LONG)
		oracle_in_vain(h, side, begun);
	else if (error != (o->wait == W_POLL ? -EAGAIN : -ETIMEDOUT))
		fail("error", "%s says %zd", kind_names[o->kind], error);
}

static void
may_say(const char *what, int error, const int *answers)
{
	while (*answers && error != *answers)
		answers++;
	if (error && !*answers)
		fail("error", "%s says %d", what, error);
}

/* ---- Producers ---- */

static unsigned
size_of(const struct operation *o)
{
	return o->n % 4 == 3 && plan.mode == SHMRING_SPSC ? LARGE
							  : 8 + 8 * (o->n % 3);
}

static int
do_push(struct actor *a, struct handle *h, const struct operation *o)
{
	int many = o->kind == O_PUSH_N, tries = 0;
	int count = many ? 1 + (int)o->n % BATCH : 1;
	struct message *sent[BATCH];
	int64_t begun = sim_now();
	ssize_t done;

	for (int i = 0; i < count; i++) {
		sent[i] = message_new(h, many ? 16 : size_of(o), a->words[i]);
		a->batch[i].iov_base = a->words[i];
		a->batch[i].iov_len = sent[i]->size;
	}
	do
		done = many ? shmring_push_n_wait(&h->ring, a->batch,
						  (size_t)count, time_out(o))
			    : shmring_push_wait(&h->ring, a->words[0],
						sent[0]->size, time_out(o));
	while (again(o, &tries, done));
	done += !many && done == 0;
	for (int i = 0; i < count; i++)
		message_sent(sent[i], i < done);
	if (done < 0)
		refused(h, SHMRING__WRITE, o, begun, done);
	return done > 0;
}

static void
do_reserve(struct actor *a, struct handle *h, const struct operation *o)
{
	static const struct operation poll = { O_COMMIT, 0, 0, W_POLL };
	unsigned size = size_of(o);
	int64_t begun = sim_now();
	struct message *m;
	uint64_t *place;
	int tries = 0, error;

	do
		place = shmring_reserve_wait(&h->ring, size, time_out(o));
	while (!place && again(o, &tries, shmring_error(&h->ring)));
	if (!place) {
		refused(h, SHMRING__WRITE, o, begun, shmring_error(&h->ring));
		return;
	}
	size = o->n & 4 ? 8 : size; /* it may become smaller */
	m = message_new(h, size, a->words[0]);
	for (unsigned i = 0; i < COPY_WORDS && i < size / 8; i++)
		memory_store(place + i, a->words[0][i], 8, __ATOMIC_RELAXED,
			     __LINE__);
	error = -1;
	tries = 0;
	if (o->kind == O_COMMIT)
		do
			error = shmring_commit(&h->ring, size);
		while (again(&poll, &tries, error));
	if (error == -EAGAIN || error == -EPIPE)
		refused(h, SHMRING__WRITE, &poll, begun, error);
	else if (error && o->kind == O_COMMIT)
		fail("error", "commit says %d", error);
	if (error)
		shmring_abort(&h->ring);
	oracle.aborted += error != 0;
	message_sent(m, !error);
}

/* ---- Consumers ---- */

/* 1: something came */
static int
do_pop(struct actor *a, struct handle *h, const struct operation *o)
{
	int many = o->kind == O_POP_N, tries = 0;
	int count = many ? 1 + (int)o->n % BATCH : 1;
	int64_t begun = sim_now();
	ssize_t got;

	sim.me->copies = 0;
	do {
		for (int i = 0; i < count; i++) {
			memset(a->words[i], 0, 8 * COPY_WORDS);
			a->batch[i].iov_base = a->words[i];
			a->batch[i].iov_len = o->kind == O_SMALL ? 8 : LARGE;
		}
		got = many ? shmring_pop_n_wait(&h->ring, a->batch,
						(size_t)count, time_out(o))
			   : shmring_pop_wait(&h->ring, a->words[0],
					      a->batch[0].iov_len, time_out(o));
	} while (again(o, &tries, got));
	if (got >= 0 && !many)
		a->batch[0].iov_len = (size_t)got, got = 1;
	for (int i = 0; i < got; i++) /* the mark is the last one's */
		message_came(h, a->words[i], a->batch[i].iov_len,
			     i == got - 1 && shmring_redelivered(&h->ring),
			     i == 0 && o->wait ? begun : 0)
			->final = 1;
	if (got < 0 && (got != -EMSGSIZE || o->kind != O_SMALL))
		refused(h, SHMRING__READ, o, begun, got);
	return got > 0;
}

static void
do_release(struct handle *h)
{
	struct message *m = h->held;
	int error;

	if (!m)
		return;
	sim.me->copies = 1; /* others may see that it is gone before we do */
	m->grave = 1;
	error = shmring_release(&h->ring);
	if (error)
		fail("error", "release says %d", error);
	h->held = NULL;
	m->grave = m->held = 0;
	m->final = 1;
	oracle.changed = sim_now();
}

static void
do_peek(struct handle *h, const struct operation *o)
{
	uint64_t words[COPY_WORDS] = { 0 };
	int64_t begun = sim_now();
	const uint64_t *place;
	size_t size;
	int tries = 0;

	do
		place = shmring_peek_wait(&h->ring, &size, time_out(o));
	while (!place && again(o, &tries, shmring_error(&h->ring)));
	if (!place) {
		refused(h, SHMRING__READ, o, begun, shmring_error(&h->ring));
		return;
	}
	for (size_t i = 0; i < COPY_WORDS && i < size / 8; i++)
		words[i] = memory_load(place + i, 8, __LINE__);
	h->held = message_came(h, words, size, shmring_redelivered(&h->ring),
			       o->wait ? begun : 0);
	h->held->held = 1;
	if (!(o->n & 1))
		do_release(h);
}

/* The first of several that are in hands. */
static void
do_release_n(struct actor *a, struct handle *h, int from, int count)
{
	for (int i = from; i < from + count; i++)
		a->several[i]->grave = 1;
	if (shmring_release_n(&h->ring, (size_t)count))
		fail("error", "release_n of %d", count);
	for (int i = from; i < from + count; i++) {
		a->several[i]->grave = a->several[i]->held = 0;
		a->several[i]->final = 1;
		a->several[i] = NULL;
	}
	oracle.changed = sim_now();
}

static void
do_several(struct actor *a, struct handle *h, const struct operation *o)
{
	static const struct operation poll = { O_SEVERAL, 0, 0, W_POLL };
	int got = (int)shmring_peek_n(&h->ring, a->batch, 1 + o->n % BATCH);
	int part = got > 0 ? (int)o->n / BATCH % (got + 1) : 0;

	if (plan.mode == SHMRING_MPMC && got == -ENOTSUP)
		return;
	if (got < 0)
		refused(h, SHMRING__READ, &poll, sim_now(), got);
	for (int i = 0; i < got; i++) {
		uint64_t words[COPY_WORDS] = { 0 };
		const uint64_t *place = a->batch[i].iov_base;
		for (size_t k = 0;
		     k < COPY_WORDS && k < a->batch[i].iov_len / 8; k++)
			words[k] = memory_load(place + k, 8, __LINE__);
		a->several[i] = message_came(h, words, a->batch[i].iov_len,
					     shmring_redelivered(&h->ring), 0);
		a->several[i]->held = 1;
	}
	if (part > 0)
		do_release_n(a, h, 0, part);
	if (part < got)
		do_release_n(a, h, part, got - part);
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
	struct shmring_config c = { .mode = plan.mode,
				    .slots = plan.slots,
				    .slot_size = plan.mode ? 24 : LARGE,
				    .participants = plan.participants,
				    .flags = SHMRING_REPLACE,
				    .roles = roles };
	return c;
}

/* In place of another ring, which nobody may use, whose messages are gone. */
static void
replaced(const struct handle *h)
{
	for (unsigned i = 0; i < FILES; i++)
		if (i != h->file &&
		    (oracle.file[i].attached[0] || oracle.file[i].attached[1]))
			fail("replaced", "a ring in use");
	EACH_MESSAGE (m)
		if (m->file != h->file)
			m->state = M_GONE;
}

static int
do_open(struct actor *a, struct handle *h, const struct operation *o)
{
	static const int answers[] = { -EBUSY,	   -EUSERS, -ENOENT,
				       -ESTALE,	   -EEXIST, -EOWNERDEAD,
				       -ETIMEDOUT, -ENOSPC, 0 };
	struct shmring_config c = configuration(roles_of(o));
	int error;

	EACH_ROLE (side, c.roles)
		oracle.opening[side]++;
	error = o->kind == O_CREATE ? shmring_create(&h->ring, "/sim", &c)
		: o->kind == O_DUP
			? shmring_dup(&h->ring, &a->handle[0].ring, c.roles)
			: shmring_open(&h->ring, "/sim", c.roles, time_out(o));
	EACH_ROLE (side, c.roles)
		oracle.opening[side]--;
	may_say(kind_names[o->kind], error, answers);
	if (error) {
		trace("  = %d (%s)", error, strerror(-error));
		return error;
	}
	h->roles = c.roles;
	h->file = kernel_fd(h->ring.fd)->file;
	h->life = oracle.lives++;
	h->order = 0;
	memset(h->last, 0, sizeof(h->last));
	if (oracle.lives == LIVES)
		fail("simulator", "too many lives");
	oracle_attach(h);
	shmring_set_spin(&h->ring, plan.spin == 2   ? -1
				   : plan.spin == 1 ? SHMRING_SPIN_NS
						    : 0);
	if (o->kind == O_CREATE)
		replaced(h);
	return 0;
}

static void
do_close(struct handle *h)
{
	if (!h->open)
		return;
	oracle_detach(h);
	h->closing = 1;
	if (h->held) {
		h->held->held = 0;
		h->held->seen = 1;
		h->held = NULL;
		sim.me->copies++; /* until others can have it */
	}
	shmring_close(&h->ring);
	h->closing = 0;
	oracle.changed = sim_now();
}

/* ---- One operation after the other ---- */

static void
do_operation(struct actor *a, const struct operation *o)
{
	static const struct operation naps = { O_OPEN, 0, 0, W_POLL };
	static const int recovers[] = { 1, 2, 3, 4, 5, 6, 7, 8, 0 };
	struct handle *h = &a->handle[o->kind == O_DUP || o->handle];
	struct shmring_stat stat;
	int takes = o->kind >= O_POP && o->kind <= O_PEEK, tries = 0;

	if ((o->kind >= O_PUSH && o->kind <= O_FLUSH &&
	     !(h->open && h->roles & SHMRING_PRODUCER)) ||
	    (takes && !(h->open && h->roles & SHMRING_CONSUMER)) ||
	    (o->kind == O_DUP && !a->handle[0].open) ||
	    (o->kind > O_PEEK && o->kind < O_NAP && !h->open))
		return;
	if (takes) /* one at a time */
		do_release(h);
	switch ((enum kind)o->kind) {
	case O_OPEN:
	case O_CREATE:
	case O_DUP:
		while (!h->open && do_open(a, h, o) == -EBUSY &&
		       again(&naps, &tries, -EAGAIN))
			;
		break;
	case O_CLOSE:
		do_close(h);
		break;
	case O_PUSH:
	case O_PUSH_N:
		do_push(a, h, o);
		break;
	case O_COMMIT:
	case O_ABORT:
		do_reserve(a, h, o);
		break;
	case O_FLUSH:
		tries = shmring_flush(&h->ring, time_out(o));
		if (tries && tries != -ETIMEDOUT)
			refused(h, SHMRING__WRITE, o, 0, tries);
		break;
	case O_POP:
	case O_POP_N:
	case O_SMALL:
		do_pop(a, h, o);
		break;
	case O_SEVERAL:
		do_several(a, h, o);
		break;
	case O_PEEK:
		do_peek(h, o);
		break;
	case O_RELEASE:
		do_release(h);
		break;
	case O_RECOVER:
		may_say("recover", shmring_recover(&h->ring), recovers);
		break;
	case O_STAT:
		shmring_stat(&h->ring, &stat);
		break;
	case O_NAP:
		sim_step(C_SYSTEM, __LINE__);
		sim_sleep(NULL, sim_now() + o->n * MS / 10);
		break;
	default:
		break;
	}
}

static void
operation_begins(uint32_t number)
{
	struct task *t = sim.me;

	t->op = number;
	t->base = t->begun = sim.steps;
	t->stirred = t->copies = 0;
	for (int i = 0; i < BATCH; i++)
		actors[number_of(t)].words[i][0] = 0;
}

static void
actor_body(void)
{
	struct actor *a = &actors[number_of(sim.me)];

	for (; a->at < plan.count[number_of(sim.me)]; a->at++) {
		struct operation *o = &plan.todo[number_of(sim.me)][a->at];
		operation_begins(a->at);
		trace("%s(%u)%s%s", kind_names[o->kind], o->n,
		      o->handle ? " with the second handle" : "",
		      o->wait == W_POLL	   ? ""
		      : o->wait == W_SHORT ? ", 2 ms"
					   : ", long");
		do_operation(a, o);
	}
	operation_begins(a->at);
	do_close(&a->handle[0]);
	do_close(&a->handle[1]);
	kernel_exit(sim.me);
	sim_end();
}

static void
actor_starts(struct task *t, uint32_t pid)
{
	t->start = ++kernel.pids;
	t->pid = pid && plan.pids ? pid : 100 + kernel.pids;
	sim_prepare(t, actor_body);
}

/* What a killed process leaves undone, and what may be said of it. */
static void
task_killed(struct task *t)
{
	struct actor *a = &actors[number_of(t)];
	struct operation *o = operation_of(t), *todo = plan.todo[number_of(t)];
	uint32_t pid = t->pid;

	for (struct handle *h = a->handle; h < a->handle + 2; h++) {
		if ((h->open || h->closing) && h->roles & SHMRING_CONSUMER)
			oracle.consumers_killed = 1;
		if (h->held) { /* in a release, it may be gone besides */
			h->held->seen = 1;
			h->held->held = 0;
		}
		if (h->open)
			oracle_detach(h);
		h->held = NULL;
		h->closing = 0;
	}
	for (int i = 0; i < BATCH; i++)
		if (a->several[i]) {
			a->several[i]->seen = 1;
			a->several[i]->held = 0;
			a->several[i] = NULL;
		}
	if (o->kind == O_OPEN || o->kind == O_CREATE || o->kind == O_DUP)
		EACH_ROLE (side, roles_of(o)) {
			for (int i = 0; i < FILES; i++)
				oracle.file[i].maybe[side] = 1;
			oracle.opening[side] -= oracle.opening[side] > 0;
			oracle.consumers_killed |= side == SHMRING__READ;
		}
	for (int i = 0; i < BATCH && task_takes(t); i++) {
		struct message *m = message_known(
			a->words[i],
			oracle.message[a->words[i][0] % MESSAGES].size);
		if (m && !m->final) /* it had been given this already */
			m->grave = 1;
	}
	EACH_MESSAGE (m)
		if (m->actor == number_of(t) && m->state == M_STARTED)
			m->state = M_UNKNOWN;
	oracle.changed = oracle.killed = sim_now();
	kernel_exit(t);
	t->zombie = plan.zombies ? pid : 0;
	t->stores = 0;
	do
		a->at++;
	while (a->at < plan.count[number_of(t)] && todo[a->at].kind != O_OPEN &&
	       todo[a->at].kind != O_CREATE);
	if (a->at < plan.count[number_of(t)])
		actor_starts(t, pid);
}

/* ---- The visitor ---- */

static const struct operation polls = { O_POP, 0, 0, W_POLL };

static struct handle *
visitor_comes(const char *when)
{
	operation_begins(0);
	sim_tries = 4096;
	trace("the visitor comes when %s", when);
	return &actors[TASKS - 1].handle[0];
}

/* Others still stand, for ever as far as we know: what is not in their hands
 * can be had, and there is room for more, all in time. */
static void
visit_others(void)
{
	static const struct operation pop = { O_POP, 0, 0, W_LONG },
				      push = { O_PUSH, 0, 1, W_LONG };
	struct actor *a = &actors[TASKS - 1];
	struct handle *h = visitor_comes("others stand");
	int mpmc = plan.mode == SHMRING_MPMC;
	const struct operation open = { O_OPEN, 0,
					mpmc ? SHMRING_BOTH : SHMRING_CONSUMER,
					W_POLL };

	if (!do_open(a, h, &open)) {
		shmring_set_spin(&h->ring, 0);
		while (do_pop(a, h, &pop))
			;
		for (int i = 0,
			 room = mpmc ? oracle.slots -
						2 * (int)(sim.kills + sim.stops)
				     : 0;
		     i < oracle.slots && room > 0; i++) {
			int64_t begun = sim_now();
			do_push(a, h, &push);
			oracle_late(begun, "room came");
			do_pop(a, h, &pop);
		}
		do_close(h);
	}
	kernel_exit(sim.me);
	sim_end();
}

/* All have ended: everything is there and as it should be. */
static void
visit_end(void)
{
	static const struct operation both = { O_OPEN, 0, 3, 0 },
				      consumer = { O_OPEN, 0, 2, 0 };
	struct actor *a = &actors[TASKS - 1];
	struct handle *h = visitor_comes("all have ended");
	uint64_t attn = SHMRING__DOUBT | SHMRING__ORPHAN;
	int error = do_open(a, h, &both), room, laps = plan.mode ? 2 : 1;

	if (error)
		fail("shut", "open says %d", error);
	shmring_recover(&h->ring);
	shmring_recover(&h->ring);
	while (do_pop(a, h, &polls))
		;
	EACH_MESSAGE (m)
		if (m->file == h->file && m->state == M_COMPLETE && !m->final &&
		    !m->grave)
			fail("lost", "message %d was sent and never came",
			     message_number(m));
	/* Past what is still void; then full, and empty. */
	for (int i = 0; plan.mode && i < 2 * oracle.slots; i++)
		if (!do_push(a, h, &polls) || !do_pop(a, h, &polls))
			fail("slot", "one cannot be used");
	while (laps--) {
		for (room = 0; room <= oracle.slots && !error; room += !error) {
			struct message *m = message_new(
				h, plan.mode ? 24 : LARGE, a->words[0]);
			error = shmring_push(&h->ring, a->words[0], m->size);
			message_sent(m, !error);
		}
		if (plan.mode ? room != oracle.slots : room < oracle.slots)
			fail("slot", "room for %d of %d", room, oracle.slots);
		for (error = 0; do_pop(a, h, &polls); room--)
			;
		if (room)
			fail("slot", "%d messages did not come back", room);
	}
	shmring_recover(&h->ring);
	if (h->ring.notice->attn & attn)
		fail("attn", "%" PRIx64 " at the end", h->ring.notice->attn);
	do_close(h);
	error = do_open(a, h, &consumer);
	if (error || shmring_pop(&h->ring, a->words[0], LARGE) != -EPIPE)
		fail("no-end", "at the end, open says %d, or pop not -EPIPE",
		     error);
	do_close(h);
	kernel_exit(sim.me);
	sim_end();
}

/* ---- Plans ---- */

static uint64_t plan_random;

static uint32_t
pick(uint32_t below)
{
	return draw(&plan_random, below);
}

static void
plan_add(uint32_t actor, uint32_t kind, uint32_t n, uint32_t wait)
{
	struct operation *o = &plan.todo[actor][plan.count[actor]++];

	*o = (struct operation){ kind, 0, n, wait };
}

/* What one life of an actor is made of. */
static void
plan_life(uint32_t i, unsigned roles, int storm, int brief)
{
	static const uint8_t pushes[] = { O_PUSH,   O_PUSH,  O_PUSH,
					  O_PUSH_N, O_PUSH,  O_COMMIT,
					  O_COMMIT, O_ABORT, O_FLUSH };
	static const uint8_t pops[] = { O_POP,	 O_POP,	    O_POP,
					O_POP_N, O_POP_N,   O_PEEK,
					O_PEEK,	 O_SEVERAL, O_SMALL };
	static const uint8_t others[] = { O_RECOVER, O_RECOVER, O_RECOVER,
					  O_NAP,     O_STAT,	O_RELEASE };
	uint32_t most = pick(10) ? 1 + pick(brief ? 2 : 5) : 0;

	if (pick(3) == 0)
		plan_add(i, O_NAP, 1 + pick(40), 0);
	plan_add(i, O_OPEN, roles, pick(4) == 0);
	if (storm && roles & SHMRING_PRODUCER) { /* before one message */
		for (uint32_t k = 7 + pick(3); k; k--)
			plan_add(i, O_ABORT, 1, 0);
		plan_add(i, O_PUSH, 1, 0);
		most = 0;
	}
	for (uint32_t k = 0; k < most; k++) {
		uint32_t push = roles == SHMRING_BOTH
					? pick(2)
					: roles == SHMRING_PRODUCER;
		uint32_t rare = pick(40), kind = pops[pick(sizeof(pops))];
		uint32_t n, wait;
		kind = push ? pushes[pick(sizeof(pushes))] : kind;
		kind = rare < sizeof(others) * (brief ? 2 : 1)
			       ? others[rare % sizeof(others)]
			       : kind;
		n = pick(8); /* one after the other, with every compiler */
		wait = pick(3) ? W_SHORT : W_POLL;
		if (wait && plan.spin != 2 && pick(3) == 0)
			wait = W_LONG;
		plan_add(i, kind, n, wait);
		if (kind == O_PEEK && pick(3) == 0) { /* and hold it */
			plan.todo[i][plan.count[i] - 1].n = 1;
			plan_add(i, O_NAP, 1 + pick(4), 0);
		}
		if (rare > 30) /* if there is one */
			plan.todo[i][plan.count[i] - 1].handle = 1;
		if (rare == 39 && k == 0)
			plan_add(i, O_DUP, pick(4), 0);
	}
	if (pick(6))
		plan_add(i, O_CLOSE, 0, 0);
}

static void
plan_draw(uint64_t seed, int tso)
{
	int storm, create, brief;

	plan_random = mix(seed ^ UINT64_C(0x51a));
	storm = pick(40) == 0; /* of aborts, with fewer tries than those */
	create = pick(SIM_CREATES) == 0;
	brief = pick(3) == 0; /* many short lives */
	memset(&plan, 0, sizeof(plan));
	plan.mode = storm || pick(4) ? SHMRING_MPMC : SHMRING_SPSC;
	plan.slots = 2u << pick(plan.mode ? 3 : 2);
	if (storm || (plan.mode && pick(4) == 0))
		plan.slots = 16;
	plan.actors = storm ? 2 : 2 + pick(plan.mode ? ACTORS - 1 : 3);
	plan.participants = plan.slots / 2 < plan.actors + 1 ? plan.slots / 2
							     : plan.actors + 1;
	plan.tso = (uint32_t)tso;
	plan.limit = tso ? 1 + pick(BUFFER - 1) : 0;
	plan.tries = storm ? 3 : 4096;
	plan.cpus = pick(2) ? 8 : 1;
	plan.unfenced = pick(8) == 0;
	plan.pids = pick(2);
	plan.zombies = pick(2);
	plan.spin = pick(32) == 0 ? 2 : pick(2);
	plan.victims = storm || !pick(5) ? 0 : 6 - pick(3) * pick(3);
	for (uint32_t i = 0; i < plan.actors; i++) {
		if (create && pick(3) == 0)
			plan_add(i, O_CREATE, pick(4), 0);
		for (uint32_t lives = storm ? 1 : 1 + pick(brief ? 4 : 2);
		     lives && plan.count[i] + 14 < OPERATIONS; lives--) {
			unsigned roles = 1 + pick(3);
			if (i < 2 && pick(3)) /* both are there */
				roles = 1 + i;
			if (!plan.mode && roles == SHMRING_BOTH && pick(4))
				roles = 1 + pick(2);
			plan_life(i, roles, storm, brief);
		}
	}
}

#endif /* ACTORS_H */
