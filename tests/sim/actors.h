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
	O_DUP, /* n: roles */
	O_CLOSE,
	O_PUSH, /* n: size / 8 */
	O_PUSH_N, /* n: messages */
	O_COMMIT, /* n: size / 8, reserved; what is committed may be less */
	O_ABORT,
	O_POP,
	O_POP_N,
	O_SMALL, /* pop into 8 bytes */
	O_PEEK, /* n: 1: and keep it until RELEASE or CLOSE */
	O_RELEASE,
	O_FLUSH,
	O_RECOVER,
	O_STAT,
	O_NAP, /* n: for so many tenths of a millisecond */
	KINDS
};
static const char *const kind_names[KINDS] = {
	"nothing", "open",   "create", "dup",	"close",   "push",
	"push_n",  "commit", "abort",  "pop",	"pop_n",   "pop_small",
	"peek",	   "release", "flush", "recover", "stat",  "nap"
};

#ifndef SIM_CREATES
#define SIM_CREATES 12 /* one in so many plans replaces its ring */
#endif

enum { W_POLL, W_SHORT, W_LONG, WAITS };
enum { OPERATIONS = 24, BATCH = 4 };

struct operation {
	uint8_t kind, handle, n, wait;
};

struct plan {
	uint32_t mode, slots, participants, actors, tso, limit;
	uint32_t tries, cpus, unfenced, pids, zombies, victims, spin;
	struct operation todo[ACTORS][OPERATIONS];
	int count[ACTORS];
};
static struct plan plan;

static struct actor {
	int at; /* operation */
	struct handle handle[2];
	uint64_t words[BATCH][LARGE / 8]; /* where messages come to */
	struct iovec batch[BATCH];
	struct message *sent[BATCH];
} actors[TASKS];

static struct operation *
operation_of(const struct task *t)
{
	int i = number_of(t);
	static struct operation visits = { O_POP, 0, 0, 0 };

	return i < ACTORS ? &plan.todo[i][t->op] : &visits;
}

static int
task_takes(const struct task *t)
{
	const struct actor *a = &actors[number_of(t)];
	int kind = operation_of(t)->kind;

	return (kind >= O_POP && kind <= O_RELEASE) || a->handle[0].closing ||
	       a->handle[1].closing;
}

/* ---- Waiting ---- */

static int64_t
long_wait(void)
{
	return oracle_patience() + 60 * MS;
}

static int64_t
time_out(int wait)
{
	return wait == W_POLL ? 0 : wait == W_SHORT ? 2 * MS : long_wait();
}

/* A failed attempt: whether to try again, a little later. */
static int
again(int wait, int *tries)
{
	static const int64_t naps[] = { MS / 30, MS / 3, MS + MS / 5 };

	if (wait != W_POLL || *tries == 3)
		return 0;
	sim_step_system();
	sim_sleep(NULL, sim_now() + naps[(*tries)++]);
	return 1;
}

/* An operation has failed: is that an answer? */
static void
refused(struct handle *h, int side, int wait, int64_t begun, long error)
{
	trace("  = %ld (%s)", error, strerror((int)-error));
	if (error == -EPIPE)
		oracle_end(h, side, sim.me->begun);
	else if (error == -ETIMEDOUT && wait == W_LONG)
		oracle_in_vain(h, side, begun);
	else if (error != (wait == W_POLL ? -EAGAIN : -ETIMEDOUT))
		fail("error", "%s says %ld", kind_names[operation_of(sim.me)->kind],
		     error);
}

/* ---- Producers ---- */

static size_t
size_of(const struct operation *o)
{
	unsigned n = o->n % 4;

	return n < 3 ? 8 * (n + 1) : plan.mode == SHMRING_SPSC ? LARGE : 16;
}

static void
do_push(struct actor *a, struct handle *h, struct operation *o)
{
	struct message *m = message_new(h, size_of(o));
	int64_t begun = sim_now();
	int tries = 0, error;

	message_fill(m, a->words[0]);
	do
		error = o->wait ? shmring_push_wait(&h->ring, a->words[0],
						    m->size,
						    time_out(o->wait)) :
				  shmring_push(&h->ring, a->words[0], m->size);
	while (error == -EAGAIN && again(o->wait, &tries));
	message_sent(m, error ? M_FAILED : M_COMPLETE);
	if (error)
		refused(h, SHMRING__WRITE, o->wait, begun, error);
}

static void
do_push_n(struct actor *a, struct handle *h, struct operation *o)
{
	int count = 1 + o->n % BATCH, tries = 0;
	int64_t begun = sim_now();
	ssize_t done;

	for (int i = 0; i < count; i++) {
		struct message *m = message_new(h, 16);
		a->sent[i] = m;
		message_fill(m, a->words[i]);
		a->batch[i].iov_base = a->words[i];
		a->batch[i].iov_len = m->size;
	}
	do
		done = o->wait ?
			       shmring_push_n_wait(&h->ring, a->batch,
						   (size_t)count,
						   time_out(o->wait)) :
			       shmring_push_n(&h->ring, a->batch,
					      (size_t)count);
	while (done == -EAGAIN && again(o->wait, &tries));
	for (int i = 0; i < count; i++)
		message_sent(a->sent[i], i < done ? M_COMPLETE : M_FAILED);
	if (done < 0)
		refused(h, SHMRING__WRITE, o->wait, begun, done);
}

static void
do_reserve(struct actor *a, struct handle *h, struct operation *o)
{
	size_t size = size_of(o);
	int64_t begun = sim_now();
	struct message *m;
	int tries = 0, error;

	do
		h->place = o->wait ? shmring_reserve_wait(&h->ring, size,
							  time_out(o->wait)) :
				     shmring_reserve(&h->ring, size);
	while (!h->place && shmring_error(&h->ring) == -EAGAIN &&
	       again(o->wait, &tries));
	if (!h->place) {
		refused(h, SHMRING__WRITE, o->wait, begun,
			shmring_error(&h->ring));
		return;
	}
	if (o->n & 4 && size > 8) /* it may become smaller */
		size = 8;
	m = message_new(h, size);
	message_fill(m, a->words[0]);
	for (size_t i = 0; i < COPY_WORDS && 8 * i < size; i++)
		memory_store((uint64_t *)h->place + i, a->words[0][i], 8,
			     __ATOMIC_RELAXED);
	if (o->kind == O_ABORT) {
		oracle.aborted++;
		shmring_abort(&h->ring);
		message_sent(m, M_FAILED);
		return;
	}
	tries = 0;
	do
		error = shmring_commit(&h->ring, size);
	while ((error == -EAGAIN || error == -EPIPE) &&
	       again(W_POLL, &tries));
	if (error) {
		refused(h, SHMRING__WRITE, W_POLL, begun, error);
		shmring_abort(&h->ring);
	}
	message_sent(m, error ? M_FAILED : M_COMPLETE);
}

static void
do_flush(struct handle *h, struct operation *o)
{
	int64_t begun = sim_now();
	int error = shmring_flush(&h->ring, time_out(o->wait));

	if (error && error != -ETIMEDOUT)
		refused(h, SHMRING__WRITE, o->wait, begun, error);
}

/* ---- Consumers ---- */

static void
message_taken(struct message *m)
{
	m->final = 1;
	m->holder = 0;
}

/* 1: something came */
static int
do_pop(struct actor *a, struct handle *h, struct operation *o)
{
	size_t capacity = o->kind == O_SMALL ? 8 : LARGE;
	int64_t begun = sim_now();
	int tries = 0;
	ssize_t got;

	memset(a->words[0], 0, 8 * COPY_WORDS);
	do
		got = o->wait ? shmring_pop_wait(&h->ring, a->words[0],
						 capacity, time_out(o->wait)) :
				shmring_pop(&h->ring, a->words[0], capacity);
	while (got == -EAGAIN && again(o->wait, &tries));
	if (got >= 0) {
		message_taken(message_came(h, a->words[0], (size_t)got,
					   shmring_redelivered(&h->ring),
					   o->wait ? begun : -1));
		return 1;
	}
	if (got != -EMSGSIZE || o->kind != O_SMALL)
		refused(h, SHMRING__READ, o->wait, begun, got);
	return 0;
}

static void
do_pop_n(struct actor *a, struct handle *h, struct operation *o)
{
	int count = 1 + o->n % BATCH, tries = 0;
	int64_t begun = sim_now();
	ssize_t got;

	do {
		for (int i = 0; i < count; i++) {
			memset(a->words[i], 0, 8 * COPY_WORDS);
			a->batch[i].iov_base = a->words[i];
			a->batch[i].iov_len = LARGE;
		}
		got = o->wait ? shmring_pop_n_wait(&h->ring, a->batch,
						   (size_t)count,
						   time_out(o->wait)) :
				shmring_pop_n(&h->ring, a->batch,
					      (size_t)count);
	} while (got == -EAGAIN && again(o->wait, &tries));
	for (int i = 0; i < got; i++) /* the mark is the last one's */
		message_taken(message_came(
			h, a->words[i], a->batch[i].iov_len,
			i == got - 1 && shmring_redelivered(&h->ring),
			i == 0 && o->wait ? begun : -1));
	if (got < 0)
		refused(h, SHMRING__READ, o->wait, begun, got);
}

static void
do_release(struct handle *h)
{
	struct message *m = h->held;

	if (!m)
		return;
	m->holder = 0;
	m->releasing = 1;
	sim.me->copies = 1; /* others may see that it is gone before we do */
	int error = shmring_release(&h->ring);
	if (error)
		fail("error", "release says %d", error);
	m->releasing = 0;
	h->held = NULL;
	message_taken(m);
	oracle.changed = sim_now();
}

static void
do_peek(struct handle *h, struct operation *o)
{
	int64_t begun = sim_now();
	const uint64_t *place;
	uint64_t words[COPY_WORDS] = { 0 };
	size_t size;
	int tries = 0;

	do
		place = o->wait ? shmring_peek_wait(&h->ring, &size,
						    time_out(o->wait)) :
				  shmring_peek(&h->ring, &size);
	while (!place && shmring_error(&h->ring) == -EAGAIN &&
	       again(o->wait, &tries));
	if (!place) {
		refused(h, SHMRING__READ, o->wait, begun,
			shmring_error(&h->ring));
		return;
	}
	for (size_t i = 0; i < COPY_WORDS && 8 * i < size; i++)
		words[i] = memory_load(place + i, 8);
	h->held = message_came(h, words, size,
			       shmring_redelivered(&h->ring),
			       o->wait ? begun : -1);
	h->held->holder = (int8_t)(1 + number_of(sim.me));
	if (!(o->n & 1))
		do_release(h);
}

/* ---- Coming and going ---- */

static void
opening(unsigned roles, int more)
{
	for (int side = 0; side < 2; side++)
		if (roles & (side ? SHMRING_PRODUCER : SHMRING_CONSUMER))
			oracle.opening[side] += more;
}

static void
opened(struct handle *h, unsigned roles, int error)
{
	opening(roles, -1);
	if (error) {
		trace("  = %d (%s)", error, strerror(-error));
		return;
	}
	h->open = 1;
	h->roles = roles;
	h->file = kernel_fd(h->ring.fd)->file;
	h->life = oracle.lives++;
	h->order = 0;
	h->held = NULL;
	memset(h->last, 0, sizeof(h->last));
	if (oracle.lives == LIVES)
		fail("simulator", "too many lives");
	oracle_attach(h);
	shmring_set_spin(&h->ring, plan.spin == 0   ? 0 :
				   plan.spin == 1 ? SHMRING_SPIN_NS :
						    -1);
}

static void
do_open(struct handle *h, struct operation *o)
{
	unsigned roles = o->n & 3 ? o->n & 3 : SHMRING_BOTH;
	int error, tries = 0;

	if (h->open)
		return;
	do {
		opening(roles, 1);
		error = shmring_open(&h->ring, "/sim", roles,
				     time_out(o->wait));
		opened(h, roles, error);
	} while (error == -EBUSY && again(W_POLL, &tries));
	if (error && error != -EBUSY && error != -EUSERS &&
	    error != -ENOENT && error != -ESTALE && error != -ETIMEDOUT)
		fail("error", "open says %d", error);
}

static void
do_dup(struct actor *a, struct operation *o)
{
	struct handle *h = &a->handle[1];
	unsigned roles = o->n & 3 ? o->n & 3 : SHMRING_BOTH;
	int error;

	if (!a->handle[0].open || h->open)
		return;
	opening(roles, 1);
	error = shmring_dup(&h->ring, &a->handle[0].ring, roles);
	opened(h, roles, error);
	if (error && error != -EBUSY && error != -EUSERS && error != -ESTALE)
		fail("error", "dup says %d", error);
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

static void
do_create(struct handle *h, struct operation *o)
{
	struct shmring_config c = configuration(o->n & 3 ? o->n & 3 : 3);
	int error;

	if (h->open)
		return;
	opening(c.roles, 1);
	error = shmring_create(&h->ring, "/sim", &c);
	opened(h, c.roles, error);
	if (error && error != -EBUSY && error != -EEXIST &&
	    error != -EOWNERDEAD && error != -ENOSPC)
		fail("error", "create says %d", error);
	if (error)
		return;
	for (unsigned i = 0; i < FILES; i++)
		if (i != h->file && (oracle.file[i].attached[0] ||
				     oracle.file[i].attached[1]))
			fail("replaced", "a ring in use");
	for (int i = 0; i < oracle.messages; i++)
		if (oracle.message[i].file != h->file)
			oracle.message[i].state = M_GONE;
}

static void
do_close(struct handle *h)
{
	if (!h->open)
		return;
	oracle_detach(h);
	if (h->held) {
		h->held->holder = 0;
		h->held->seen = 1;
		h->held = NULL;
		sim.me->copies++; /* until others can have it */
	}
	h->closing = 1;
	shmring_close(&h->ring);
	h->closing = 0;
	oracle.changed = sim_now();
}

/* ---- One after the other ---- */

static void
do_operation(struct actor *a, struct operation *o)
{
	static const uint8_t needs[KINDS] = {
		[O_PUSH] = 2, [O_PUSH_N] = 2, [O_COMMIT] = 2, [O_ABORT] = 2,
		[O_POP] = 1,  [O_POP_N] = 1,  [O_SMALL] = 1,  [O_PEEK] = 1,
		[O_FLUSH] = 2
	};
	struct handle *h = &a->handle[o->handle & 1];
	struct shmring_stat stat;

	if (needs[o->kind] &&
	    (!h->open || !(h->roles & (needs[o->kind] == 2 ?
					       SHMRING_PRODUCER :
					       SHMRING_CONSUMER))))
		return;
	if (needs[o->kind] == 1 && h->held) /* one at a time */
		do_release(h);
	switch ((enum kind)o->kind) {
	case O_OPEN:
		do_open(h, o);
		break;
	case O_CREATE:
		do_create(h, o);
		break;
	case O_DUP:
		do_dup(a, o);
		break;
	case O_CLOSE:
		do_close(h);
		break;
	case O_PUSH:
		do_push(a, h, o);
		break;
	case O_PUSH_N:
		do_push_n(a, h, o);
		break;
	case O_COMMIT:
	case O_ABORT:
		do_reserve(a, h, o);
		break;
	case O_POP:
	case O_SMALL:
		do_pop(a, h, o);
		break;
	case O_POP_N:
		do_pop_n(a, h, o);
		break;
	case O_PEEK:
		do_peek(h, o);
		break;
	case O_RELEASE:
		if (h->open)
			do_release(h);
		break;
	case O_FLUSH:
		do_flush(h, o);
		break;
	case O_RECOVER:
		if (h->open && shmring_recover(&h->ring) < 0)
			fail("error", "recover");
		break;
	case O_STAT:
		if (h->open)
			shmring_stat(&h->ring, &stat);
		break;
	case O_NAP:
		sim_step_system();
		sim_sleep(NULL, sim_now() + o->n * MS / 10);
		break;
	default:
		break;
	}
}

static void
operation_begins(struct task *t, int number)
{
	t->op = (uint16_t)number;
	t->base = t->begun = sim.steps;
	t->stirred = 0;
	t->copies = 0;
	for (int i = 0; i < BATCH; i++)
		actors[number_of(t)].words[i][0] = 0;
}

static void
actor_leaves(struct task *t)
{
	t->state = T_DONE;
	kernel_close_all(t);
	t->pid = 0;
}

static void
actor_body(void)
{
	struct task *t = sim.me;
	struct actor *a = &actors[number_of(t)];

	for (; a->at < plan.count[number_of(t)]; a->at++) {
		struct operation *o = &plan.todo[number_of(t)][a->at];
		operation_begins(t, a->at);
		trace("%s%s%s %d", kind_names[o->kind],
		      o->wait == W_POLL	 ? "" :
		      o->wait == W_SHORT ? " (2 ms)" :
					   " (long)",
		      o->handle ? " on the second handle" : "", o->n);
		do_operation(a, o);
	}
	operation_begins(t, a->at);
	for (int i = 0; i < 2; i++) /* or the kernel closes them */
		do_close(&a->handle[i]);
	actor_leaves(t);
	sim_end();
}

static void
actor_starts(struct task *t)
{
	if (!sim.pids_again || t->start == 0)
		t->pid = 100 + ++sim.pids;
	t->start = ++sim.pids;
	sim_prepare(t, actor_body);
}

/* What a killed process leaves undone, and what may be said of it. */
static void
task_killed(struct task *t)
{
	struct actor *a = &actors[number_of(t)];
	int kind = operation_of(t)->kind, next = a->at + 1;
	uint32_t pid = t->pid;

	for (int i = 0; i < 2; i++) {
		struct handle *h = &a->handle[i];
		struct message *m = h->held;
		if (h->open || h->closing)
			oracle.consumers_killed |=
				(h->roles & SHMRING_CONSUMER) != 0;
		if (m) {
			m->seen = 1;
			m->holder = 0;
			m->grave |= m->releasing;
			m->releasing = 0;
		}
		if (h->open)
			oracle_detach(h);
		h->held = NULL;
		h->closing = 0;
	}
	if (kind == O_OPEN || kind == O_CREATE || kind == O_DUP) {
		unsigned roles = operation_of(t)->n & 3;
		roles = roles ? roles : SHMRING_BOTH;
		for (int side = 0; side < 2; side++)
			if (roles & (side ? SHMRING_PRODUCER :
					    SHMRING_CONSUMER)) {
				for (int i = 0; i < FILES; i++)
					oracle.file[i].maybe[side] = 1;
				oracle.consumers_killed |= !side;
				oracle.opening[side]--;
			}
	}
	if (task_takes(t)) /* what it had been given, but had not come to us */
		for (int i = 0; i < BATCH; i++) {
			int number = (int)(a->words[i][0] & 0xffff);
			struct message *m = &oracle.message[number];
			if (number < oracle.messages && !m->final &&
			    message_known(a->words[i], m->size) == m)
				m->grave = 1;
		}
	for (int i = 0; i < oracle.messages; i++)
		if (oracle.message[i].actor == number_of(t) &&
		    oracle.message[i].state == M_STARTED)
			oracle.message[i].state = M_UNKNOWN;
	oracle.changed = sim_now();
	actor_leaves(t);
	t->zombie = plan.zombies ? (int)pid : 0;
	t->pending = t->stores = 0;
	while (next < plan.count[number_of(t)] &&
	       plan.todo[number_of(t)][next].kind != O_OPEN &&
	       plan.todo[number_of(t)][next].kind != O_CREATE)
		next++;
	a->at = next;
	if (next < plan.count[number_of(t)]) {
		t->pid = pid;
		actor_starts(t);
	}
}

/* ---- The visitor ---- */

static int
visit_opens(struct handle *h, unsigned roles)
{
	int error;

	opening(roles, 1);
	error = shmring_open(&h->ring, "/sim", roles, 0);
	opened(h, roles, error);
	if (!error)
		shmring_set_spin(&h->ring, 0);
	return error;
}

/* Others still stand, for ever as far as we know: what is not in their hands
 * can be had, and there is room for more, all in time. */
static void
visit_others(void)
{
	static struct operation pop = { O_POP, 0, 0, W_LONG },
				push = { O_PUSH, 0, 1, W_LONG };
	struct actor *a = &actors[TASKS - 1];
	struct handle *h = &a->handle[0];

	operation_begins(sim.me, 0);
	trace("the visitor comes while others stand");
	if (plan.mode == SHMRING_MPMC && !visit_opens(h, SHMRING_BOTH)) {
		while (do_pop(a, h, &pop))
			sim.me->copies = 0;
		int64_t room = oracle.slots - 2 * (sim.kills + sim.stops);
		for (int64_t i = 0; i < oracle.slots && room > 0; i++) {
			int64_t begun = sim_now();
			do_push(a, h, &push);
			oracle_late(begun, begun, "room came");
			sim.me->copies = 0;
			do_pop(a, h, &pop);
		}
		do_close(h);
	} else if (plan.mode == SHMRING_SPSC &&
		   !visit_opens(h, SHMRING_CONSUMER)) {
		while (do_pop(a, h, &pop))
			sim.me->copies = 0;
		do_close(h);
	}
	actor_leaves(sim.me);
	sim_end();
}

static int
visit_fills(struct actor *a, struct handle *h)
{
	int count = 0, error;

	do {
		struct message *m = message_new(h, plan.mode ? 24 : LARGE);
		message_fill(m, a->words[0]);
		error = shmring_push(&h->ring, a->words[0], m->size);
		message_sent(m, error ? M_FAILED : M_COMPLETE);
		count += !error;
	} while (!error);
	if (error != -EAGAIN)
		fail("error", "a push into the last slot says %d", error);
	return count;
}

/* All have ended: everything is there and as it should be. */
static void
visit_end(void)
{
	static struct operation pop = { O_POP, 0, 0, W_POLL };
	struct actor *a = &actors[TASKS - 1];
	struct handle *h = &a->handle[0];
	uint64_t calm = SHMRING__DOUBT | SHMRING__ORPHAN;
	int error;

	operation_begins(sim.me, 0);
	trace("the visitor comes when all have ended");
	sim_tries = 4096;
	error = visit_opens(h, SHMRING_BOTH);
	if (error)
		fail("shut", "open says %d", error);
	for (int i = 0; i < 2; i++)
		if (shmring_recover(&h->ring) < 0)
			fail("error", "recover");
	while (do_pop(a, h, &pop))
		sim.me->copies = 0;
	oracle_account(h->file);
	/* Past what is still void. */
	for (uint32_t i = 0; plan.mode && i < 2 * plan.slots; i++) {
		struct message *m = message_new(h, 8);
		message_fill(m, a->words[0]);
		error = shmring_push(&h->ring, a->words[0], 8);
		message_sent(m, error ? M_FAILED : M_COMPLETE);
		if (error || !do_pop(a, h, &pop))
			fail("slot", "push %u says %d, or pop nothing", i,
			     error);
	}
	for (int i = 0; i < (plan.mode ? 2 : 1); i++) {
		int room = visit_fills(a, h);
		if (plan.mode ? room != oracle.slots : room < oracle.slots)
			fail("slot", "room for %d of %d", room,
			     (int)oracle.slots);
		while (do_pop(a, h, &pop))
			room--;
		if (room)
			fail("slot", "%d messages did not come back", room);
	}
	oracle_account(h->file);
	if (shmring_recover(&h->ring) < 0)
		fail("error", "recover");
	if (h->ring.notice->attn & calm)
		fail("attn", "%" PRIx64 " at the end", h->ring.notice->attn);
	do_close(h);
	error = visit_opens(h, SHMRING_CONSUMER);
	if (error)
		fail("shut", "open says %d", error);
	error = (int)shmring_pop(&h->ring, a->words[0], LARGE);
	if (error != -EPIPE)
		fail("no-end", "at the end, pop says %d", error);
	do_close(h);
	actor_leaves(sim.me);
	sim_end();
}

/* ---- Plans ---- */

/* What one life of an actor is made of, drawn. */
static void
plan_life(uint64_t *random, int i, unsigned roles, int storm)
{
	static const uint8_t pushes[] = { O_PUSH, O_PUSH,   O_PUSH,  O_PUSH_N,
					  O_PUSH, O_COMMIT, O_COMMIT, O_ABORT,
					  O_FLUSH };
	static const uint8_t pops[] = { O_POP,	 O_POP,	 O_POP,	 O_POP_N,
					O_POP_N, O_PEEK, O_PEEK, O_PEEK,
					O_SMALL };
	struct operation *o = plan.todo[i] + plan.count[i];
	int count = 0, most = 1 + (int)draw(random, 5);

	if (draw(random, 10) == 0)
		most = 0;
	if (draw(random, 3) == 0)
		o[count++] = (struct operation){
			O_NAP, 0, (uint8_t)(1 + draw(random, 40)), 0
		};
	o[count++] = (struct operation){ O_OPEN, 0, (uint8_t)roles,
					 (uint8_t)(draw(random, 4) == 0) };
	if (storm && roles & SHMRING_PRODUCER) { /* before one message */
		most = 7 + (int)draw(random, 3);
		for (int k = 0; k < most; k++)
			o[count++] = (struct operation){ O_ABORT, 0, 1, 0 };
		o[count++] = (struct operation){ O_PUSH, 0, 1, 0 };
		most = 0;
	}
	for (int k = 0; k < most; k++) {
		int push = roles == SHMRING_BOTH ? (int)draw(random, 2) :
						   roles == SHMRING_PRODUCER;
		uint8_t kind = push ? pushes[draw(random, sizeof(pushes))] :
				      pops[draw(random, sizeof(pops))];
		uint32_t rare = draw(random, 40);
		o[count] = (struct operation){
			kind, 0, (uint8_t)draw(random, 8),
			(uint8_t)(draw(random, 3) == 0 ?
					  W_POLL :
					  W_SHORT + (draw(random, 3) == 0))
		};
		if (plan.spin == 2 && o[count].wait == W_LONG)
			o[count].wait = W_SHORT;
		if (rare < 4)
			o[count].kind = (uint8_t[]){ O_RECOVER, O_NAP, O_STAT,
						     O_RELEASE }[rare];
		count++;
		if (rare == 39 && k == 0) /* and its work on the copy */
			o[count++] = (struct operation){
				O_DUP, 0, (uint8_t)draw(random, 4), 0
			};
		else if (rare > 30 && count > 1)
			o[count - 1].handle = 1;
	}
	if (draw(random, 6))
		o[count++] = (struct operation){ O_CLOSE, 0, 0, 0 };
	plan.count[i] += count;
}

static void
plan_draw(uint64_t seed, int tso)
{
	uint64_t random = mix(seed ^ UINT64_C(0x51a));
	int storm = draw(&random, 40) == 0, create = draw(&random, SIM_CREATES) == 0;

	memset(&plan, 0, sizeof(plan));
	plan.mode = storm || draw(&random, 4) ? SHMRING_MPMC : SHMRING_SPSC;
	plan.slots = plan.mode ? 2u << draw(&random, 3) :
				 2u << draw(&random, 2);
	if (storm || (plan.mode && draw(&random, 4) == 0))
		plan.slots = 16;
	plan.actors = 2 + draw(&random, plan.mode ? 4 : 3);
	if (storm)
		plan.actors = 2;
	plan.participants = plan.slots / 2 < plan.actors + 1 ?
				    plan.slots / 2 :
				    plan.actors + 1;
	plan.tso = (uint32_t)tso;
	plan.limit = tso ? 1 + draw(&random, BUFFER - 1) : 0;
	plan.tries = storm ? 3 : 4096;
	plan.cpus = 1 + draw(&random, 2) * 7;
	plan.unfenced = draw(&random, 8) ? 0 : 255; /* some: a known limit */
	plan.pids = draw(&random, 2);
	plan.zombies = draw(&random, 2);
	plan.spin = draw(&random, 4);
	plan.spin = plan.spin == 3 && draw(&random, 8) ? 0 : plan.spin % 3;
	if (plan.spin == 2 && draw(&random, 4))
		plan.spin = 0;
	plan.victims = storm || !draw(&random, 5) ? 0 : 1 + draw(&random, 6);
	for (int i = 0; i < (int)plan.actors; i++) {
		unsigned lives = 1 + draw(&random, storm ? 1 : 2);
		if (create && draw(&random, 3) == 0)
			plan.todo[i][plan.count[i]++] = (struct operation){
				O_CREATE, 0, (uint8_t)draw(&random, 4), 0
			};
		while (lives-- && plan.count[i] + 12 < OPERATIONS) {
			unsigned roles = 1 + draw(&random, 3);
			if (i < 2 && draw(&random, 3)) /* both are there */
				roles = i == 0 ? SHMRING_PRODUCER :
						 SHMRING_CONSUMER;
			if (!plan.mode && roles == 3 && draw(&random, 4))
				roles = 1 + draw(&random, 2);
			plan_life(&random, i, roles, storm);
		}
	}
}

#endif /* ACTORS_H */
