/* SPDX-License-Identifier: MIT
 *
 * Description: kill and stop processes at every instruction of every
 * operation: the others go on, no message is lost, torn or doubled
 *
 * A trial: fill a ring to some level, let one or two victims come to a given
 * step of their operations, kill or stop them there, let others run laps
 * through the ring, let the stopped ones go on, check every message and the
 * full capacity. The control does the same without the header's protection
 * and must fail.
 *
 * CRASH_CASES=101 CRASH_STEPS=37: try every 101st case of level, place and so
 * on, there every 37th step, from random ones on; 1 is all of them.
 * CRASH_ONLY=pop: only what has this in its name.
 */
#include "tap.h"

#if !defined(__x86_64__) || TAP_SANITIZED
int
main(void)
{
	skip_all("needs an x86-64 without sanitizers to single-step");
}
#else
#include "trace.h"
#include "hooks.h"

static int unprotected; /* the control: blind, once all are attached */

#define SLOTS 8
#define LARGEST 40 /* bytes of a message */
#define QUIET 128 /* refusals in a row that mean it: several slices */
#define VICTIMS 2
#define BATCH 3
#define MESSAGES 4096 /* of one producer in a trial */

/* ------------------------------------------------------------------------
 * MESSAGES: each says who sent it and as which; sizes and bytes follow
 * ------------------------------------------------------------------------ */

static int arrays; /* they are of one size, and come in arrays */
#define EVEN 24 /* bytes, then */

struct message {
	uint32_t producer, sequence;
	unsigned char fill[LARGEST - 8];
};

static size_t
compose(struct message *m, uint32_t producer, uint32_t sequence)
{
	size_t size = 8 + (sequence * 7 + producer) % (LARGEST - 8 + 1);

	if (arrays)
		size = EVEN;
	m->producer = producer;
	m->sequence = sequence;
	for (size_t i = 0; i < size - 8; i++)
		m->fill[i] = (unsigned char)(sequence * 31 + producer + i);
	return size;
}

static int
intact(const struct message *m, size_t size)
{
	struct message wanted;

	return size >= 8 &&
	       compose(&wanted, m->producer, m->sequence) == size &&
	       memcmp(m, &wanted, size) == 0;
}

/* ------------------------------------------------------------------------
 * OPERATIONS of a victim, in its own process
 * ------------------------------------------------------------------------ */

struct page { /* shared with a victim */
	int done;
	int error; /* of what came before the operation */
	long result;
	int redelivered; /* the last message */
	struct message got[BATCH]; /* where it pops to */
	unsigned char array[BATCH * EVEN]; /* or, first, here */
	size_t size[BATCH]; /* set once it has the message */
};

struct victim { /* what an operation works on */
	struct shmring ring;
	struct page *page;
	int fd; /* of the segment */
	unsigned roles;
	const char *name; /* to create */
	struct shmring_config config;
	struct message out[BATCH];
	struct iovec io[BATCH];
};

static void
do_push(struct victim *v)
{
	v->page->result =
		shmring_push(&v->ring, v->io[0].iov_base, v->io[0].iov_len);
}

static void
do_push_wait(struct victim *v)
{
	v->page->result = shmring_push_wait(&v->ring, v->io[0].iov_base,
					    v->io[0].iov_len, 6);
}

static void
do_push_n(struct victim *v)
{
	unsigned char array[BATCH * EVEN];

	for (int i = 0; arrays && i < BATCH; i++)
		memcpy(array + i * EVEN, &v->out[i], EVEN);
	v->page->result =
		arrays ? shmring_push_array(&v->ring, array, EVEN, BATCH)
		       : shmring_push_n(&v->ring, v->io, BATCH);
}

static void
do_commit(struct victim *v)
{
	void *place = shmring_reserve(&v->ring, LARGEST);

	v->page->result = shmring_error(&v->ring);
	if (!place)
		return;
	memcpy(place, v->io[0].iov_base, v->io[0].iov_len);
	v->page->result = shmring_commit(&v->ring, v->io[0].iov_len);
}

static void
do_abort(struct victim *v)
{
	void *place = shmring_reserve(&v->ring, LARGEST);

	if (place)
		memset(place, 0xee, LARGEST);
	shmring_abort(&v->ring);
}

static void
send_one(struct victim *v)
{
	do_push(v);
	v->page->error = (int)v->page->result;
}

static void
do_flush(struct victim *v)
{
	v->page->result = shmring_flush(&v->ring, 6);
}

/* As if another thread's wait were under way. */
static void
do_interrupt(struct victim *v)
{
	v->ring.wait.sleeps_on = &v->ring.notice->space;
	v->page->result = shmring_interrupt(&v->ring);
}

static void
do_wait_peer(struct victim *v)
{
	v->page->result = shmring_wait_peer(&v->ring, SHMRING_BOTH, 6);
	if (!v->page->result)
		v->page->result = shmring_wait_gone(&v->ring, SHMRING_BOTH, 6);
}

/* Twice: the second finds its own call, or that it was taken. And as one of
 * two. */
static void
arm_twice(struct victim *v, unsigned role)
{
	struct shmring_poll poll;
	struct shmring_polled polled;

	v->page->result = shmring_poll_open(&poll, &v->ring, role);
	shmring_poll_add(&poll, &polled, &v->ring, role);
	for (int i = 0; i < 2 && v->page->result >= 0; i++)
		v->page->result = shmring_poll_arm(&poll);
	shmring_poll_remove(&poll, &polled);
	shmring_poll_close(&poll);
}

static void
do_poll_messages(struct victim *v)
{
	arm_twice(v, SHMRING_CONSUMER);
	v->page->result = v->page->result < 0 ? v->page->result : 0;
}

static void
do_poll_room(struct victim *v)
{
	arm_twice(v, SHMRING_PRODUCER);
}

static void
wait_several(struct victim *v, unsigned role)
{
	struct shmring_item items[2] = { { &v->ring, role, 0 },
					 { &v->ring, role, 0 } };

	v->page->result = shmring_wait_several(items, 2, 6);
	v->page->result = v->page->result < 0 ? v->page->result : 0;
}

static void
do_several_messages(struct victim *v)
{
	wait_several(v, SHMRING_CONSUMER);
}

static void
do_several_room(struct victim *v)
{
	wait_several(v, SHMRING_PRODUCER);
}

static void
took(struct victim *v, ssize_t size)
{
	v->page->result = size < 0 ? size : 1;
	if (size < 0)
		return;
	v->page->size[0] = (size_t)size;
	v->page->redelivered = shmring_redelivered(&v->ring);
}

static void
do_pop(struct victim *v)
{
	took(v, shmring_pop(&v->ring, v->page->got, LARGEST));
}

static void
do_pop_wait(struct victim *v)
{
	took(v, shmring_pop_wait(&v->ring, v->page->got, LARGEST, 6));
}

static void
do_pop_n(struct victim *v)
{
	for (int i = 0; i < BATCH; i++) {
		v->io[i].iov_base = &v->page->got[i];
		v->io[i].iov_len = LARGEST;
	}
	v->page->result = arrays ? shmring_pop_array(&v->ring, v->page->array,
						     EVEN, BATCH)
				 : shmring_pop_n(&v->ring, v->io, BATCH);
	for (int i = 0; i < v->page->result; i++) {
		v->page->size[i] = arrays ? EVEN : v->io[i].iov_len;
		if (arrays)
			memcpy(&v->page->got[i], v->page->array + i * EVEN,
			       EVEN);
	}
	v->page->redelivered = shmring_redelivered(&v->ring);
}

static void
do_release(struct victim *v)
{
	size_t size;
	const void *message = shmring_peek(&v->ring, &size);

	if (!message) {
		took(v, shmring_error(&v->ring));
		return;
	}
	v->page->redelivered = shmring_redelivered(&v->ring);
	memcpy(v->page->got, message, size);
	v->page->size[0] = size;
	v->page->result = shmring_release(&v->ring) ? -ENOMSG : 1;
}

static void
do_release_n(struct victim *v)
{
	if (v->ring.mode == SHMRING_MPMC) {
		do_release(v); /* the same with one */
		return;
	}
	ssize_t n = shmring_peek_n(&v->ring, v->io, BATCH);

	v->page->redelivered = shmring_redelivered(&v->ring);
	for (int i = 0; i < n; i++) {
		memcpy(&v->page->got[i], v->io[i].iov_base, v->io[i].iov_len);
		v->page->size[i] = v->io[i].iov_len;
	}
	v->page->result = n;
	if (n > 0 && shmring_release_n(&v->ring, (size_t)n))
		v->page->result = -ENOMSG;
}

static void
do_recover(struct victim *v)
{
	v->page->result = shmring_recover(&v->ring);
}

static void
do_open(struct victim *v)
{
	v->page->result = shmring_open_fd(&v->ring, v->fd, v->roles);
}

static void
do_create(struct victim *v)
{
	v->page->result = shmring_create(&v->ring, v->name, &v->config);
}

static void
do_close(struct victim *v)
{
	v->page->result = shmring_close(&v->ring);
}

static void
hold_write(struct victim *v)
{
	if (!shmring_reserve(&v->ring, LARGEST))
		v->page->error = shmring_error(&v->ring);
}

static void
hold_read(struct victim *v)
{
	size_t size;

	if (!shmring_peek(&v->ring, &size))
		v->page->error = shmring_error(&v->ring);
}

struct operation {
	const char *name;
	unsigned role; /* that it needs */
	unsigned sends, takes; /* messages at most */
	unsigned thin; /* try fewer steps: long, most of it is private */
	void (*before)(struct victim *); /* not traced; it may fail */
	void (*run)(struct victim *);
};

#define W SHMRING_PRODUCER
#define R SHMRING_CONSUMER
static const struct operation operations[] = {
	{ "push", W, 1, 0, 1, NULL, do_push },
	{ "pop", R, 0, 1, 1, NULL, do_pop },
	{ "reserve, commit", W, 1, 0, 1, NULL, do_commit },
	{ "reserve, abort", W, 0, 0, 1, NULL, do_abort },
	{ "peek, release", R, 0, 1, 1, NULL, do_release },
	{ "push_n", W, BATCH, 0, 1, NULL, do_push_n },
	{ "pop_n", R, 0, BATCH, 1, NULL, do_pop_n },
	{ "close, reserved", W, 0, 0, 2, hold_write, do_close },
	{ "close, peeked", R, 0, 0, 2, hold_read, do_close },
	{ "peek_n, release_n", R, 0, BATCH, 1, NULL, do_release_n },
#define MOVES 10 /* those above move messages */
	{ "recover, producer", W, 0, 0, 1, NULL, do_recover },
	{ "recover, consumer", R, 0, 0, 1, NULL, do_recover },
	{ "open, producer", W, 0, 0, 8, NULL, do_open },
	{ "open, consumer", R, 0, 0, 8, NULL, do_open },
#define HEALS 14 /* those up to here, from MOVES on, recover the dead */
	{ "close, producer", W, 0, 0, 2, NULL, do_close },
	{ "close, consumer", R, 0, 0, 2, NULL, do_close },
	{ "push_wait", W, 1, 0, 2, NULL, do_push_wait },
	{ "pop_wait", R, 0, 1, 2, NULL, do_pop_wait },
	{ "flush", W, 1, 0, 2, send_one, do_flush },
	{ "interrupt", W, 0, 0, 1, NULL, do_interrupt },
	{ "wait_peer, wait_gone", R, 0, 0, 4, NULL, do_wait_peer },
	{ "poll, messages", R, 0, 0, 4, NULL, do_poll_messages },
	{ "poll, room", W, 0, 0, 4, NULL, do_poll_room },
	{ "wait_several, messages", R, 0, 0, 4, NULL, do_several_messages },
	{ "wait_several, room", W, 0, 0, 4, NULL, do_several_room },
};
#define OPERATIONS (sizeof(operations) / sizeof(*operations))

/* ------------------------------------------------------------------------
 * A TRIAL
 * ------------------------------------------------------------------------ */

enum fate { KILLED, STOPPED, KILLED_LATE, FATES };
static const char *const fates[] = { "killed", "stopped", "killed later" };
enum condition { CALM, DOUBT, SLEEPERS, CONDITIONS };
static const char *const conditions[] = { "calm", "doubt", "sleepers" };
static const char *const levels[] = { "empty", "one", "half", "full-1",
				      "full" };
#define LEVELS 5

/* Who shares the ring with the victims: somebody with the same roles, or, as
 * always in SPSC, only the other end. */
static const struct setup {
	const char *name;
	uint32_t mode;
	int paired;
	uint32_t alignment; /* and with meters */
	int arrays; /* of messages; push_n and pop_n are of arrays, too */
} setups[] = {
	{ "spsc", SHMRING_SPSC, 1, 0, 0 },
	{ "mpmc", SHMRING_MPMC, 0, 0, 0 },
	{ "mpmc, last one", SHMRING_MPMC, 1, 0, 0 },
	{ "spsc, placed", SHMRING_SPSC, 1, 32, 0 },
	{ "mpmc, placed", SHMRING_MPMC, 0, 32, 0 },
	{ "spsc, arrays", SHMRING_SPSC, 1, 0, 1 },
};
#define SETUPS (sizeof(setups) / sizeof(*setups))

/* Positions at which the first victim works: the first; the last before
 * wrapping; the last of all. */
static const uint64_t places[][3] = { { 0, UINT64_C(1) << 32, 0 },
				      { 0, (UINT64_C(1) << 32) - 1,
					(UINT64_C(1) << 51) * SLOTS -
						64 * SLOTS - 1 } };
#define PLACES 3

struct part {
	const struct operation *operation;
	enum fate fate;
	size_t step;
};

struct trial {
	const struct setup *setup;
	int level, condition, place;
	int count; /* of victims */
	struct part part[VICTIMS];
};

struct world { /* the state of one trial */
	const struct trial *trial;
	struct page *page; /* one a victim */
	struct trace trace[VICTIMS];
	struct shmring mine, successor;
	struct shmring *writer, *reader; /* whom we act as, or NULL */
	int fd;
	int error; /* what ended the last fill or drain, but -EAGAIN */
	uint32_t sent; /* our messages so far */
	int64_t last[1 + VICTIMS]; /* taken by us, of each producer */
	unsigned char owned[1 + VICTIMS][MESSAGES]; /* returned to somebody */
	unsigned char marked[1 + VICTIMS][MESSAGES];
	const char *fault; /* the first */
};

static void
fault(struct world *w, const char *what)
{
	if (!w->fault)
		w->fault = what;
}

/* Somebody's call has returned this message. */
static void
own(struct world *w, const struct message *m, size_t size, int marked)
{
	if (!intact(m, size) || m->producer > VICTIMS ||
	    m->sequence >= MESSAGES) {
		fault(w, "torn");
		return;
	}
	if (w->owned[m->producer][m->sequence]++)
		fault(w, "delivered twice");
	w->marked[m->producer][m->sequence] |= (unsigned char)marked;
}

/* Push as long as it goes. */
static uint32_t
fill(struct world *w, uint32_t most)
{
	uint32_t count = 0;

	w->error = 0;
	for (int refused = 0; count < most && refused < QUIET && !w->error;) {
		unsigned char array[SHMRING__RUN * EVEN];
		struct message m;
		size_t size = compose(&m, 0, w->sent);
		ssize_t done;

		if (arrays) {
			uint32_t all = most - count < SHMRING__RUN
					       ? most - count
					       : SHMRING__RUN;

			for (uint32_t i = 0; i < all; i++) {
				compose(&m, 0, w->sent + i);
				memcpy(array + i * EVEN, &m, EVEN);
			}
			done = shmring_push_array(w->writer, array, EVEN, all);
		} else {
			done = shmring_push(w->writer, &m, size);
			done += done == 0;
		}
		if (done == -EAGAIN) {
			refused++;
		} else if (done < 0) {
			w->error = (int)done;
		} else {
			refused = 0;
			count += (uint32_t)done;
			w->sent += (uint32_t)done;
		}
	}
	return count;
}

/* Pop as long as it goes. */
static void
drain(struct world *w)
{
	w->error = 0;
	for (int refused = 0; refused < QUIET && !w->error;) {
		struct message m = { 0, 0, { 0 } };
		ssize_t size = shmring_pop(w->reader, &m, sizeof(m));

		if (size == -EAGAIN) {
			refused++;
			continue;
		}
		if (size < 0) {
			w->error = (int)size;
			continue;
		}
		refused = 0;
		int marked = shmring_redelivered(w->reader);
		own(w, &m, (size_t)size, marked);
		if (w->fault)
			return;
		if (!marked && m.sequence <= w->last[m.producer])
			fault(w, "out of order");
		if (!marked || w->trial->setup->mode == SHMRING_SPSC)
			w->last[m.producer] = m.sequence;
	}
}

/* Three laps, with at least so much room. */
static void
laps(struct world *w, uint32_t room)
{
	for (int i = 0; i < 3 && !w->fault; i++) {
		drain(w);
		if (w->error)
			fault(w, "pop refused");
		if (fill(w, UINT32_MAX) < room)
			fault(w, "lost capacity");
		if (w->error)
			fault(w, "push refused");
	}
	drain(w);
}

static uint64_t
bytes_of(const struct shmring *r, uint32_t messages)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	uint64_t sum = 0;
	struct message m;

	if (arrays)
		sum = messages * EVEN +
		      (messages + SHMRING__RUN - 1) / SHMRING__RUN * 8;
	while (!arrays && messages-- > 0)
		sum += shmring__record_size(&v, compose(&m, 0, messages));
	return sum;
}

/* Fresh from creation: let all positions start elsewhere, and what was there
 * in the turn before not be zero. */
static void
seed(struct shmring *r, uint64_t place)
{
	memset(r->data, 0x11, r->geometry.capacity + 8 - r->align);
	*r->tail = *r->head = place;
	if (r->mode == SHMRING_SPSC) {
		*r->spsc.taken = *shmring__doubtful(r) = place;
		*shmring__header_at(r, place) = 0;
		shmring__resume_reader(r);
		shmring__resume_writer(r);
		return;
	}
	for (uint64_t p = place; p <= place + r->mask; p++)
		*shmring__phase_word(r, p) = shmring__phase(r, p, 0)
					     << r->mpmc.length_bits;
}

static void
prepare(struct world *w)
{
	const struct trial *t = w->trial;
	const struct operation *first = t->part[0].operation;
	struct shmring_config config = { 0 };
	struct shmring maker;
	uint32_t full, level;

	config.mode = t->setup->mode;
	config.slots = SLOTS;
	config.slot_size = LARGEST;
	config.participants = SLOTS / 2;
	config.alignment = t->setup->alignment;
	config.flags = t->setup->alignment ? SHMRING_METERED : 0;
	arrays = t->setup->arrays;
	if (shmring_create_memfd(&maker, &config))
		bail("no ring");
	w->fd = dup(shmring_fd(&maker));
	full = SLOTS;
	if (t->setup->mode == SHMRING_SPSC)
		for (full = 0;
		     bytes_of(&maker, full + 1) + 8 <= maker.geometry.capacity;)
			full++;
	const uint32_t counts[LEVELS] = { 0, 1, full / 2, full - 1, full };
	level = counts[t->level];
	/* so that the first victim comes to the place, a little before the
	 * wrap in SPSC */
	uint64_t place = places[t->setup->mode][t->place];
	uint64_t before = first->role == SHMRING_CONSUMER ? 0 : level;
	if (t->setup->mode == SHMRING_SPSC)
		before = t->place ? bytes_of(&maker, (uint32_t)before) + 32 : 0;
	seed(&maker, t->place ? place - before : 0);
	w->writer = &maker;
	if (fill(w, level) != level)
		bail("the ring does not fill");
	unsigned mine =
		t->setup->paired ? SHMRING_BOTH ^ first->role : SHMRING_BOTH;
	shmring_close(&maker);
	if (shmring_open_fd(&w->mine, w->fd, mine))
		bail("the ring does not open");
	w->writer = mine & SHMRING_PRODUCER ? &w->mine : NULL;
	w->reader = mine & SHMRING_CONSUMER ? &w->mine : NULL;
	if (t->condition == DOUBT)
		shmring__change_attn(&w->mine, SHMRING__DOUBT | SHMRING__ORPHAN,
				     0);
	if (t->condition == SLEEPERS)
		w->mine.notice->data = w->mine.notice->space =
			SHMRING__WAITS | SHMRING__POLLS;
}

/* A victim comes to the beginning of its operation. */
static void
start(struct world *w, int i)
{
	const struct operation *operation = w->trial->part[i].operation;
	struct page *page = &w->page[i];
	static struct victim v;

	memset(page, 0, sizeof(*page));
	memset(page->got, 0xff, sizeof(page->got)); /* no message */
	memset(page->array, 0xff, sizeof(page->array));
	if (!trace_start(&w->trace[i], &page->done))
		return;
	v.page = page;
	v.fd = w->fd;
	v.roles = w->trial->setup->paired ? operation->role : SHMRING_BOTH;
	for (uint32_t j = 0; j < BATCH; j++) {
		v.io[j].iov_base = &v.out[j];
		v.io[j].iov_len = compose(&v.out[j], (uint32_t)i + 1, j);
	}
	if (operation->run != do_open) {
		if (shmring_open_fd(&v.ring, w->fd, v.roles))
			_exit(1);
		shmring_set_spin(&v.ring, 0);
	}
	if (operation->before)
		operation->before(&v);
	trace_begin();
	operation->run(&v);
	trace_end(&page->done);
}

/* Open the end of the ring that the dead victim had, or one end more. */
static void
succeed(struct world *w)
{
	const struct trial *t = w->trial;

	if (w->successor.map.fd >= 0)
		return;
	unsigned roles = SHMRING_BOTH;
	if (t->setup->paired) {
		roles = t->part[0].operation->role;
		/* we learn of its end, in time */
		if (w->writer)
			fill(w, UINT32_MAX);
		else
			drain(w);
		if (w->error != -EPIPE && t->part[0].operation->run != do_open)
			fault(w, "death not noticed");
	}
	if (shmring_open_fd(&w->successor, w->fd, roles)) {
		fault(w, "no successor");
		return;
	}
	if (!w->writer)
		w->writer = &w->successor;
	if (!w->reader)
		w->reader = &w->successor;
}

/* What others do while victims are dead or stopped. */
static void
survive(struct world *w)
{
	const struct trial *t = w->trial;
	int stopped = 0;

	for (int i = 0; i < t->count; i++)
		stopped += t->part[i].fate != KILLED;
	if (t->part[0].step & 2)
		shmring_recover(&w->mine);
	if (t->setup->paired && !stopped)
		succeed(w);
	if (w->fault)
		return;
	if ((t->part[0].step & 1) && w->writer)
		fill(w, UINT32_MAX);
	if (w->writer && w->reader)
		/* a stopped one keeps a slot, and the slot of a dead one of
		 * which it cannot be told whose it is */
		laps(w, (uint32_t)shmring_capacity(&w->mine) -
				(stopped ? (uint32_t)t->count : 0));
	else if (w->reader)
		drain(w);
	else
		fill(w, UINT32_MAX);
}

/* What a victim has to say whose operation has ended. */
static void
question(struct world *w, int i)
{
	const struct operation *operation = w->trial->part[i].operation;
	const struct page *page = &w->page[i];
	long result = page->result;

	if (result < 0 && result != -EAGAIN && result != -ETIMEDOUT)
		fault(w, "the victim's operation failed");
	for (int j = 0; operation->takes && j < result; j++)
		own(w, &page->got[j], page->size[j],
		    page->redelivered && j == result - 1);
}

/* Whether a victim that never returned has the whole message. */
static int
in_hands(const struct world *w, uint32_t producer, uint32_t sequence)
{
	struct message m;
	size_t size = compose(&m, producer, sequence);

	for (int i = 0; i < w->trial->count; i++)
		for (int j = 0; j < BATCH; j++)
			if (!w->page[i].done &&
			    (memcmp(&w->page[i].got[j], &m, size) == 0 ||
			     (arrays && memcmp(w->page[i].array + j * EVEN, &m,
					       EVEN) == 0)))
				return 1;
	return 0;
}

static void
account(struct world *w)
{
	const struct trial *t = w->trial;
	int readers_died = 0;

	for (int i = 0; i < t->count; i++)
		readers_died |= t->part[i].operation->role == SHMRING_CONSUMER;
	for (uint32_t s = 0; s < w->sent; s++) {
		int held = in_hands(w, 0, s);

		if (!w->owned[0][s] && !held)
			fault(w, "lost");
		if (w->owned[0][s] && held && !w->marked[0][s])
			fault(w, "delivered again, not marked");
		if (w->marked[0][s] && !readers_died)
			fault(w, "marked without a reason");
	}
	for (int i = 0; i < t->count; i++) {
		const struct operation *o = t->part[i].operation;
		const struct page *page = &w->page[i];
		unsigned sure = 0, most = o->sends, sent = 0;

		if (o->run == do_flush)
			sure = most = page->error == 0;
		else if (page->done && o->run == do_push_n)
			sure = most =
				page->result > 0 ? (unsigned)page->result : 0;
		else if (page->done && o->sends)
			sure = most = page->result == 0;
		for (unsigned s = 0; s < BATCH; s++) {
			int here = w->owned[i + 1][s] ||
				   in_hands(w, (uint32_t)i + 1, s);
			if (here && s != sent)
				fault(w, "a gap in what the victim sent");
			sent += (unsigned)here;
		}
		if (sent < sure)
			fault(w, "the victim's message is lost");
		if (sent > most)
			fault(w, "a message that was never sent");
	}
}

static void
conclude(struct world *w)
{
	const struct trial *t = w->trial;
	struct shmring_stat stat;

	for (int i = 0; i < t->count; i++)
		if (t->part[i].fate == KILLED_LATE)
			trace_kill(&w->trace[i]);
	for (int i = 0; i < t->count; i++) {
		trace_finish(&w->trace[i]);
		if (w->page[i].done)
			question(w, i);
		else if (t->part[i].fate == STOPPED)
			fault(w, "the victim did not come to its end");
	}
	if (w->writer && w->reader)
		laps(w, (uint32_t)shmring_capacity(&w->mine));
	for (int i = 0; i < t->count; i++)
		trace_kill(&w->trace[i]);
	if (!w->fault)
		succeed(w);
	if (!w->fault)
		laps(w, (uint32_t)shmring_capacity(&w->mine));
	shmring_recover(&w->mine);
	shmring_stat(&w->mine, &stat);
	if (stat.producers != (t->setup->paired ? 1 : 2) ||
	    stat.consumers != stat.producers)
		fault(w, "participant not recovered");
	if (!w->fault)
		account(w);
}

static struct trace_path paths[VICTIMS];
static struct page *pages;

/* Bring victim i to its step, by the path that it is known to take; or find
 * that path out, to its end. 0: it came to its end before. */
static int
bring(struct world *w, int i, int record)
{
	if (w->trace[i].state != TRACE_HALTED)
		bail("no process to trace");
	if (record)
		trace_record(&w->trace[i], &paths[i]);
	else
		trace_reach(&w->trace[i], &paths[i], w->trial->part[i].step);
	int reached = record || w->trace[i].state == TRACE_HALTED;
	if (w->trial->part[i].fate == KILLED)
		trace_kill(&w->trace[i]);
	return reached;
}

static void
begin(struct world *w, const struct trial *t)
{
	blind = 0;
	memset(w, 0, sizeof(*w));
	w->trial = t;
	w->page = pages;
	w->successor.map.fd = -1;
	for (int i = 0; i <= VICTIMS; i++)
		w->last[i] = -1;
	clock_looks = 0;
}

/* NULL or what went wrong; *reached: whether all victims came to their
 * steps, not to their ends. Or find out the last victim's path, only. */
static const char *
run_trial(const struct trial *t, int record, int *reached)
{
	static struct world w;

	begin(&w, t);
	prepare(&w);
	*reached = 1;
	for (int i = 0; i < t->count; i++)
		start(&w, i); /* all attach before one is dead */
	blind = unprotected;
	for (int i = 0; i < t->count; i++)
		*reached &= bring(&w, i, record && i == t->count - 1);
	if (!record) {
		survive(&w);
		conclude(&w);
	}
	for (int i = 0; i < t->count; i++)
		trace_kill(&w.trace[i]);
	shmring_close(&w.mine);
	if (w.successor.map.fd >= 0)
		shmring_close(&w.successor);
	close(w.fd);
	return w.fault;
}

/* A ring of that name: all capacity is there. */
static void
use(struct world *w, struct shmring *ring)
{
	w->writer = w->reader = ring;
	laps(w, (uint32_t)shmring_capacity(ring));
}

/* The same for creating a named ring, over a complete one if level says so:
 * nobody sees a half-made ring, the name stays usable, one creator wins. */
static const char *
run_creation(const struct trial *t, int record, int *reached)
{
	static const char *name;
	static struct world w;
	static struct victim v;
	struct shmring ring;

	begin(&w, t);
	if (!name)
		name = tap_name();
	v.page = pages;
	v.name = name;
	v.config.mode = t->setup->mode;
	v.config.slots = SLOTS;
	v.config.slot_size = LARGEST;
	if (t->level) {
		if (shmring_create(&ring, name, &v.config))
			bail("no ring");
		shmring_close(&ring);
		v.config.flags = SHMRING_REPLACE;
	}
	memset(pages, 0, sizeof(*pages));
	if (trace_start(&w.trace[0], &pages->done)) {
		trace_begin();
		do_create(&v);
		trace_end(&pages->done);
	}
	*reached = bring(&w, 0, record);
	if (!record) {
		int dead = t->part[0].fate == KILLED;
		int error = shmring_open(&ring, name, SHMRING_BOTH, 0);

		if (!error)
			use(&w, &ring);
		else if (error != -ENOENT && !(error == -ESTALE && t->level) &&
			 !(error == -EBUSY && !dead))
			fault(&w, "half-made ring");
		shmring_close(&ring);
		int taken = !t->level && !error;
		int mine = shmring_create(&ring, name, &v.config);
		if (dead && (taken ? mine != -EEXIST && mine != -EOWNERDEAD
				   : mine != 0))
			fault(&w, "name not usable");
		if (t->part[0].fate == KILLED_LATE)
			trace_kill(&w.trace[0]);
		trace_finish(&w.trace[0]);
		if (t->part[0].fate == STOPPED && !pages->done)
			fault(&w, "the victim did not come to its end");
		/* who opened the old one meanwhile took it from both */
		int none = mine && pages->result && (!t->level || error);
		if (pages->done && ((!mine && !pages->result) || none))
			fault(&w, "not one winner");
		shmring_close(&ring);
		trace_kill(&w.trace[0]);
		v.config.flags = SHMRING_REPLACE;
		if (shmring_create(&ring, name, &v.config))
			fault(&w, "not replaced");
		else
			use(&w, &ring);
		shmring_close(&ring);
	}
	trace_kill(&w.trace[0]);
	shmring_unlink(name);
	v.config.flags = 0;
	return w.fault;
}

/* ------------------------------------------------------------------------
 * ALL TRIALS
 * ------------------------------------------------------------------------ */

typedef const char *runner(const struct trial *t, int record, int *reached);

static struct tally {
	unsigned long points, missed, failed;
} tally[2]; /* of the ring, of the control */
static unsigned long each_case, each_step;
static unsigned long control; /* failures in all */
static unsigned told;
#define CASES (LEVELS * CONDITIONS * PLACES * FATES)
#define FAN 16 /* steps of the second victim, for one of the first */

/* On stderr, where a run of all tests shows it. */
static void
tell(const struct trial *t, const char *what)
{
	if (told++ >= 20)
		return;
	fprintf(stderr, "# %s: %s, %s, %s, place %d", what, t->setup->name,
		levels[t->level], conditions[t->condition], t->place);
	for (int i = 0; i < t->count; i++)
		fprintf(stderr, "; %s %s at %zu", t->part[i].operation->name,
			fates[t->part[i].fate], t->part[i].step);
	fprintf(stderr, "\n");
}

static void
point(const struct trial *t, runner *run)
{
	int reached;
	const char *what = run(t, 0, &reached);
	struct tally *sum = &tally[unprotected];

	sum->missed += !reached;
	sum->points += (unsigned)reached;
	sum->failed += what != NULL;
	if (what && !unprotected)
		tell(t, what);
}

/* And sometimes the control. */
static void
check(const struct trial *t, runner *run)
{
	point(t, run);
	unprotected = tap_random() % 8 == 0;
	if (unprotected)
		point(t, run);
	unprotected = 0;
}

/* The last victim at its steps. */
static void
walk(struct trial *t, runner *run)
{
	struct part *last = &t->part[t->count - 1];
	const size_t stride = each_step * last->operation->thin;
	int reached;

	run(t, 1, &reached);
	const size_t count = paths[t->count - 1].count;
	for (size_t step = tap_random() % (stride < count ? stride : count);
	     step < count; step += stride) {
		last->step = step;
		check(t, run);
	}
}

static int
wanted(const char *name)
{
	const char *only = getenv("CRASH_ONLY");

	return !only || strstr(name, only);
}

static void
report(const struct setup *setup, const char *before,
       const struct operation *operation)
{
	ok(!tally[0].failed && tally[0].points + tally[0].missed,
	   "%s, %s%s: %lu points, %lu failed, %lu missed; control %lu, %lu",
	   setup->name, before, operation->name, tally[0].points,
	   tally[0].failed, tally[0].missed, tally[1].points + tally[1].missed,
	   tally[1].failed);
	control += tally[1].failed;
	memset(tally, 0, sizeof(tally));
}

/* One victim. */
static void
alone(const struct setup *setup, const struct operation *operation)
{
	struct trial t = { .setup = setup, .count = 1 };

	t.part[0].operation = operation;
	for (unsigned long n = tap_random() % each_case; n < CASES;
	     n += each_case) {
		t.level = (int)(n % LEVELS);
		t.condition = (int)(n / LEVELS % CONDITIONS);
		t.place = (int)(n / LEVELS / CONDITIONS % PLACES);
		t.part[0].fate = (enum fate)(n / LEVELS / CONDITIONS / PLACES);
		walk(&t, run_trial);
	}
	report(setup, "", operation);
}

/* A case by chance, and what else the first victim may have done there: in a
 * ring without others of its role, the second is its successor. */
static const struct operation *
draw(struct trial *t, const struct operation *second)
{
	const struct operation *first;

	t->level = (int)(tap_random() % LEVELS);
	t->condition = (int)(tap_random() % CONDITIONS);
	t->place = (int)(tap_random() % PLACES);
	do
		first = &operations[tap_random() % MOVES];
	while (t->setup->paired && first->role != second->role);
	return first;
}

/* How many steps the operation takes in this case, as the first victim's. */
static size_t
measure(struct trial *t, const struct operation *first)
{
	int reached;

	t->count = 1;
	t->part[0].operation = first;
	run_trial(t, 1, &reached);
	t->count = 2;
	return paths[0].count;
}

/* Two victims, often in the same operation. What the second does depends on
 * where the first is, so its path is found out there; then it is cheap to try
 * several of its steps. */
static void
together(const struct setup *setup, const struct operation *second)
{
	struct trial t = { .setup = setup };
	int reached;

	for (unsigned long n = 0; n < CASES; n += each_case) {
		const struct operation *first = draw(&t, second);
		size_t length = measure(&t, second);
		size_t all = measure(&t, tap_random() % 2 ? first : second);

		t.part[1].operation = second;
		for (size_t i = 0; i < length + all; i += FAN * each_step) {
			t.part[0].step = tap_random() % all;
			t.part[0].fate = (enum fate)(tap_random() % FATES);
			run_trial(&t, 1, &reached);
			tally[0].missed += !reached;
			for (int j = 0; reached && j < FAN; j++) {
				t.part[1].step = tap_random() % paths[1].count;
				t.part[1].fate =
					(enum fate)(tap_random() % FATES);
				check(&t, run_trial);
			}
		}
	}
	report(setup, "two halted, ", second);
}

/* One is killed, another while it clears up or takes over. */
static void
succession(const struct setup *setup, const struct operation *second)
{
	struct trial t = { .setup = setup };

	for (unsigned long n = 0; n < 4 * CASES; n += each_case) {
		t.part[0].fate = KILLED;
		t.part[0].step = tap_random() % measure(&t, draw(&t, second));
		t.part[1].operation = second;
		t.part[1].fate = (enum fate)(tap_random() % FATES);
		walk(&t, run_trial);
	}
	report(setup, "one killed, then ", second);
}

static void
creation(const struct setup *setup, int replace)
{
	static const struct operation creations[] = {
		{ "create", 0, 0, 0, 8, NULL, do_create },
		{ "create, replace", 0, 0, 0, 8, NULL, do_create },
	};
	struct trial t = { .setup = setup, .level = replace, .count = 1 };

	t.part[0].operation = &creations[replace];
	for (int fate = 0; fate < FATES; fate++) {
		t.part[0].fate = (enum fate)fate;
		walk(&t, run_creation);
	}
	report(setup, "", t.part[0].operation);
}

int
main(int argc, char **argv)
{
	(void)argc;
	trace_bind(argv);
	tap_start();
	/* 100,000 processes take minutes where fork is slow */
	tap_watchdog(480 + 60 * (unsigned)tap_seconds());
	each_case = (unsigned long)tap_environment("CRASH_CASES", 101);
	each_step = (unsigned long)tap_environment("CRASH_STEPS", 37);
	pages = (struct page *)mmap(NULL, VICTIMS * sizeof(*pages),
				    PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		bail("no memory");
	for (const struct setup *j = setups; j < setups + SETUPS; j++) {
		for (size_t i = 0; i < OPERATIONS; i++)
			if (wanted(operations[i].name))
				alone(j, &operations[i]);
		for (size_t i = 0; i < HEALS; i++)
			if (i < MOVES && !(j->mode == SHMRING_SPSC) &&
			    wanted("two"))
				together(j, &operations[i]);
			else if (i >= MOVES && wanted("then") &&
				 (j->mode == SHMRING_MPMC ||
				  operations[i].run == do_open))
				succession(j, &operations[i]);
	}
	for (int i = 0; i < 4 && wanted("create"); i++)
		creation(&setups[i / 2], i % 2);
	ok(control, "without protection %lu trials fail", control);
	return tap_done();
}
#endif
