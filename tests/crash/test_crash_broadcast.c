/* SPDX-License-Identifier: MIT
 *
 * Description: kill and stop the BROADCAST engine's writer or one of its
 * readers at every instruction of every call: the others go on, each message
 * carries its own number, and none is missed that was not told of
 *
 * CRASH_STEPS=67: try every 67th step, from a random one on; 1 is all of them.
 * CRASH_ONLY=pop: only what has this in its name. The control, in which no
 * death can be proven, must fail.
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

#define QUIET 128 /* refusals in a row that mean it: several slices */
#define LAPS 1000 /* messages: some four laps */
#define BATCH 3

struct page { /* shared with a victim */
	int done, ready;
	long result; /* of its call; of a batch, how many */
	uint64_t number, sequence; /* what it read, and as which */
};

static struct page *page;
static struct shmring mine, other, victim; /* ours: the two that live */
static int fd;
static const char *fault;

static void
check(int holds, const char *what)
{
	if (!holds && !fault)
		fault = what;
}

/* Each message carries its number among all. */
static int
send(struct shmring *writer)
{
	uint64_t number = writer->line[SHMRING__WRITE]->pushed;

	return shmring_push(writer, &number, sizeof(number));
}

/* All that there is, one after the other. */
static void
drain(struct shmring *reader)
{
	for (;;) {
		uint64_t number = 0, due = shmring__sequence(reader);
		ssize_t got = shmring_pop(reader, &number, sizeof(number));

		if (got == -EAGAIN || got == -EPIPE)
			return;
		if (got == -ENOBUFS && reader->broadcast.checks)
			continue;
		check(got == 8 && number == due, "not the message due");
		if (fault)
			return;
	}
}

/* ---- What a victim does -------------------------------------------------- */

static void
do_push(void)
{
	page->result = send(&victim);
}

static void
do_commit(void)
{
	uint64_t *place = shmring_reserve(&victim, 40);

	page->result = place ? 0 : shmring_error(&victim);
	if (!place)
		return;
	*place = victim.line[SHMRING__WRITE]->pushed;
	page->result = shmring_commit(&victim, 8);
}

static void
do_push_n(void)
{
	uint64_t number[BATCH];
	struct iovec io[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		number[i] = victim.line[SHMRING__WRITE]->pushed + i;
		io[i].iov_base = &number[i];
		io[i].iov_len = 8;
	}
	page->result = shmring_push_n(&victim, io, BATCH);
}

static void
do_pop(void)
{
	uint64_t number = 0;

	page->sequence = shmring__sequence(&victim);
	page->result = shmring_pop(&victim, &number, 8);
	page->number = number;
}

static void
do_release(void)
{
	size_t size = 0;

	page->sequence = shmring__sequence(&victim);
	const uint64_t *message = shmring_peek(&victim, &size);
	page->result = message ? (long)size : shmring_error(&victim);
	if (!message)
		return;
	page->number = *message;
	int error = shmring_release(&victim);
	page->result = error ? error : page->result;
}

static void
do_seek(void)
{
	page->result = shmring_seek(&victim, SHMRING_OLDEST);
}

static void
do_close(void)
{
	page->result = shmring_close(&victim);
}

static void
do_open_writer(void)
{
	page->result = shmring_open_fd(&victim, fd, SHMRING_PRODUCER);
}

static void
do_open_reader(void)
{
	page->result = shmring_open_fd(&victim, fd, SHMRING_CONSUMER);
}

static const struct operation {
	const char *name;
	unsigned role;
	unsigned thin; /* most of it is private, or the system's */
	void (*run)(void);
} operations[] = {
	{ "push", SHMRING_PRODUCER, 1, do_push },
	{ "reserve, commit", SHMRING_PRODUCER, 1, do_commit },
	{ "push_n", SHMRING_PRODUCER, 2, do_push_n },
	{ "close, writer", SHMRING_PRODUCER, 4, do_close },
	{ "open, writer", SHMRING_PRODUCER, 16, do_open_writer },
	{ "pop", SHMRING_CONSUMER, 1, do_pop },
	{ "peek, release", SHMRING_CONSUMER, 1, do_release },
	{ "seek", SHMRING_CONSUMER, 2, do_seek },
	{ "close, reader", SHMRING_CONSUMER, 4, do_close },
	{ "open, reader", SHMRING_CONSUMER, 16, do_open_reader },
};
#define OPERATIONS (sizeof(operations) / sizeof(*operations))

/* Messages before: none; at the end of a part of the ring; about to lap. */
static const unsigned levels[] = { 0, 8, 255, 1000 };
#define LEVELS (sizeof(levels) / sizeof(*levels))

struct trial {
	const struct operation *operation;
	uint32_t flags;
	unsigned level, unread; /* messages before, and left to the victim */
	int stops; /* else it is killed */
	size_t step;
};

/* ---- A trial -------------------------------------------------------------- */

/* We have the end that the victim has not, and one reader in any case. */
static void
prepare(const struct trial *t)
{
	struct shmring_config config = { .mode = SHMRING_BROADCAST,
					 .slots = 8,
					 .slot_size = 40,
					 .participants = 2,
					 .flags = t->flags,
					 .roles = SHMRING_PRODUCER };

	fault = NULL;
	if (shmring_create_memfd(&other, &config))
		bail("no ring");
	fd = dup(shmring_fd(&other));
	if (shmring_open_fd(&mine, fd, SHMRING_CONSUMER))
		bail("no reader");
	for (unsigned i = 0; i < t->level; i++) {
		check(send(&other) == 0, "full too early");
		drain(&mine);
	}
	if (t->operation->role == SHMRING_PRODUCER)
		shmring_close(&other);
}

/* 1: in the victim, whose operation is over. */
static void
start(struct trace *trace, const struct trial *t)
{
	memset(page, 0, sizeof(*page));
	if (!trace_start(trace, &page->done))
		return;
	const struct operation *o = t->operation;
	if (o->run != do_open_writer && o->run != do_open_reader &&
	    shmring_open_fd(&victim, fd, o->role))
		_exit(1);
	if (o->role == SHMRING_CONSUMER && o->run != do_open_reader) {
		page->ready = 1;
		raise(SIGTRAP); /* so that there is something to read */
	}
	trace_begin();
	o->run();
	trace_end(&page->done);
}

static void
feed(struct trace *trace, const struct trial *t)
{
	if (!page->ready)
		return;
	for (unsigned i = 0; i < t->unread; i++)
		check(send(&other) == 0, "no room for the victim's");
	drain(&mine);
	trace_continue(trace);
}

/* The writer writes laps, as far as it must be able to. */
static void
write_on(int may_be_held)
{
	unsigned sent = 0;

	for (int refused = 0; sent < LAPS && refused < QUIET && !fault;) {
		int error = send(&other);

		drain(&mine);
		if (error && error != -EAGAIN)
			check(0, "push refused");
		refused = error ? refused + 1 : 0;
		sent += !error;
	}
	check(sent == LAPS || may_be_held, "the writer is held");
}

static void
question(const struct trial *t)
{
	long result = page->result;

	check(page->done, "it does not come to its end");
	if (t->operation->run == do_pop || t->operation->run == do_release)
		check(result == 8 ? page->number == page->sequence
				  : result == -EAGAIN ||
					    (result == -ENOBUFS &&
					     (t->flags & SHMRING_LOSSY)),
		      "the victim read what it should not");
	else if (t->operation->run == do_push_n)
		check(result == BATCH, "its batch was cut");
	else
		check(result == 0, "its call failed");
}

static void
survive(struct trace *trace, const struct trial *t)
{
	int writes = t->operation->role == SHMRING_PRODUCER;

	if (t->stops) {
		if (writes)
			drain(&mine);
		else
			write_on(!(t->flags & SHMRING_LOSSY));
		trace_finish(trace);
		drain(&mine);
		if (trace->state == TRACE_DONE)
			question(t);
	}
	trace_kill(trace);
	drain(&mine);
	if (writes) {
		uint64_t before = shmring__sequence(&mine);

		for (int i = 0; i < QUIET; i++)
			shmring_recover(&mine);
		check(shmring_open_fd(&other, fd, SHMRING_PRODUCER) == 0,
		      "no successor");
		if (fault)
			return;
		check(other.line[SHMRING__WRITE]->pushed == before,
		      "it does not go on where readers are");
	}
	write_on(0);
	/* The line of a dead reader is free again. */
	if (!writes)
		check(shmring_open_fd(&victim, fd, SHMRING_CONSUMER) == 0,
		      "no line for another reader");
	write_on(victim.canary && !(t->flags & SHMRING_LOSSY));
	shmring_close(&victim);
}

static void
clear_up(struct trace *trace)
{
	trace_kill(trace);
	shmring_close(&victim);
	shmring_close(&mine);
	shmring_close(&other);
	close(fd);
}

static struct trace_path path;

/* 0: the path was shorter than that. */
static int
try(const struct trial *t, int record)
{
	struct trace trace;

	blind = 0;
	prepare(t);
	start(&trace, t);
	feed(&trace, t);
	if (trace.state != TRACE_HALTED)
		bail("no process to trace");
	if (record)
		trace_record(&trace, &path);
	else
		trace_reach(&trace, &path, t->step);
	int came = trace.state == TRACE_HALTED;
	if (!record && came) {
		survive(&trace, t);
	}
	clear_up(&trace);
	return came;
}

static unsigned long trials;
static long every;

static int
try_all_steps(struct trial *t)
{
	int faults = 0;

	t->step = 0;
	try(t, 1);
	size_t thin = (size_t)every * t->operation->thin;
	for (t->step = tap_random() % thin; t->step < path.count;
	     t->step += thin) {
		trials += (unsigned long)try(t, 0);
		if (fault && ++faults == 1)
			printf("# %s, %s, level %u, %u unread, step %zu, %s: "
			       "%s\n",
			       t->operation->name, t->flags ? "lossy" : "gated",
			       t->level, t->unread, t->step,
			       t->stops ? "stopped" : "killed", fault);
	}
	return faults;
}

static void
control(void)
{
	struct trial t = { &operations[5], 0, 8, 3, 0, 5 };
	struct trace trace;

	prepare(&t);
	start(&trace, &t);
	feed(&trace, &t);
	trace_reach(&trace, NULL, 5);
	blind = 1;
	survive(&trace, &t);
	ok(fault, "control: where no death is proven it fails: %s",
	   fault ? fault : "nothing");
	clear_up(&trace);
	blind = 0;
}

int
main(int argc, char **argv)
{
	const char *only = getenv("CRASH_ONLY");

	(void)argc;
	trace_bind(argv);
	tap_start();
	every = tap_environment("CRASH_STEPS", 67);
	if (every == 1)
		tap_watchdog(24 * 3600);
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		bail("no shared memory");
	control();
	for (unsigned i = 0; i < OPERATIONS; i++) {
		int faults = 0;

		if (only && !strstr(operations[i].name, only))
			continue;
		trials = 0;
		for (unsigned k = 0; k < 4 * LEVELS; k++) {
			struct trial t = {
				&operations[i], k & 1 ? SHMRING_LOSSY : 0,
				levels[k / 4],	(k / 4) * 3,
				k >> 1 & 1,	0
			};
			faults += try_all_steps(&t);
		}
		is_int(faults, 0, "broadcast, %s: %lu points, %d failed",
		       operations[i].name, trials, faults);
	}
	return tap_done();
}
#endif
