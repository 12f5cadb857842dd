/* SPDX-License-Identifier: MIT */
/* worker.c - what each participant of a case does in a segment */
#include "worker.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define GRACE (BENCH_SECOND / 5) /* nothing for so long: it is lost */

unsigned
participants(const struct job *job)
{
	return job->mechanism->caps & CAP_SOLO ? 1
					       : job->senders + job->receivers;
}

bool
gets_all(const struct job *job)
{
	return job->receivers == 1 || job->mode == MODE_BROADCAST;
}

bool
maker_receives(const struct job *job)
{
	return job->senders > 1 && job->receivers == 1;
}

bool
is_sender(const struct job *job, unsigned i)
{
	return maker_receives(job) ? i >= job->receivers : i < job->senders;
}

/* ---------------------------------------------------------- small tools */

static void
nap(int64_t ns)
{
	struct timespec t = { .tv_nsec = ns };

	nanosleep(&t, NULL);
}

void
await(const uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		nap(20000);
}

/** The same for a short time and a prompt answer. */
static void
await_soon(const uint32_t *word, uint32_t value)
{
	unsigned looks;

	for (looks = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
	     looks++)
		if (looks % 1000 == 999)
			sched_yield();
}

void
signal_others(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_ACQ_REL);
}

void
worker_fail(const struct worker *w, int error, const char *what,
	    const struct channel *ch)
{
	struct control *c = w->control;

	if (__atomic_fetch_add(&c->failed, 1, __ATOMIC_ACQ_REL) == 0) {
		const char *text =
			error == -ENOSYS && ch->why ? "" : strerror(-error);

		c->error = error;
		if (ch && ch->why && ch->limit)
			snprintf(c->text, sizeof(c->text), "%s: %s: %s is %llu",
				 what, text, ch->why,
				 (unsigned long long)ch->limit);
		else
			snprintf(c->text, sizeof(c->text), "%s: %s%s%s", what,
				 text, ch && ch->why ? ": " : "",
				 ch && ch->why ? ch->why : "");
	}
	kill(0, SIGKILL); /* nobody can go on: all of the runner's group */
	_exit(1);
}

/* ------------------------------------------------------- counting a worker */

struct usage {
	int64_t cpu;
	uint64_t voluntary, involuntary, faults;
};

/** So far, of this process; of this thread where several are workers. */
static struct usage
usage(const struct job *job)
{
	bool threads = job->mechanism->caps & CAP_THREADS;
	struct timespec cpu;
	struct rusage r;

	clock_gettime(threads ? CLOCK_THREAD_CPUTIME_ID
			      : CLOCK_PROCESS_CPUTIME_ID,
		      &cpu);
	getrusage(threads ? RUSAGE_THREAD : RUSAGE_SELF, &r);
	return (struct usage){
		.cpu = cpu.tv_sec * BENCH_SECOND + cpu.tv_nsec,
		.voluntary = (uint64_t)r.ru_nvcsw,
		.involuntary = (uint64_t)r.ru_nivcsw,
		.faults = (uint64_t)(r.ru_minflt + r.ru_majflt),
	};
}

static uint64_t
system_calls(const struct worker *w)
{
	const struct mechanism *m = w->job->mechanism;
	uint64_t n = 0;

	if (m->syscalls && w->out.job)
		n += m->syscalls(&w->out);
	if (m->syscalls && w->in.job)
		n += m->syscalls(&w->in);
	return n;
}

/* ------------------------------------------------------------- one worker */

bool
worker_idle(struct worker *w, uint64_t moved)
{
	struct control *c = w->control;
	uint64_t all = w->told;
	unsigned i;

	__atomic_store_n(&w->result->received, moved, __ATOMIC_RELAXED);
	if (w->verifier.woken) /* the others need the CPU */
		nap(GRACE / 1000);
	if (__atomic_load_n(&c->senders_done, __ATOMIC_ACQUIRE) !=
	    w->job->senders)
		return true;
	/* All has been sent: has it all arrived? */
	if (gets_all(w->job))
		all += moved;
	for (i = 0; !gets_all(w->job) && i < participants(w->job); i++)
		all += __atomic_load_n(&c->results[i].received,
				       __ATOMIC_RELAXED);
	if (all >= w->total)
		return false;
	if (!w->idle_since || w->idle_moved != moved) {
		w->idle_since = bench_now();
		w->idle_moved = moved;
	}
	return bench_now() - w->idle_since < GRACE;
}

/* Waking all the others is no work that is measured. */
void
worker_woken(struct worker *w)
{
	int64_t before = 0;

	w->last = bench_now();
	if (!__atomic_compare_exchange_n(&w->control->woken, &before, w->last,
					 false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		w->last = before;
}

/** Wake receivers that sleep for ever, until none is left. */
static void
wake_receivers(struct worker *w)
{
	struct control *c = w->control;
	unsigned i, left;

	/* Who gets all counts, and only sleeps if something was lost. */
	if (gets_all(w->job))
		for (i = 0; i < 1000; i++) {
			if (__atomic_load_n(&c->receivers_done,
					    __ATOMIC_ACQUIRE) ==
			    w->job->receivers)
				return;
			nap(GRACE / 1000);
		}
	while ((left = w->job->receivers -
		       __atomic_load_n(&c->receivers_done, __ATOMIC_ACQUIRE))) {
		for (i = 0; i < left; i++)
			w->job->mechanism->run(w, PART_WAKE);
		nap(1000000);
	}
}

static void
send_part(struct worker *w)
{
	struct control *c = w->control;

	w->job->mechanism->run(w, PART_SEND);
	w->result->end = bench_now(); /* the rest is not the sender's work */
	w->tally.moved = w->count;
	if (__atomic_add_fetch(&c->senders_done, 1, __ATOMIC_ACQ_REL) ==
		    w->job->senders &&
	    w->own)
		wake_receivers(w);
}

static void
receive_part(struct worker *w)
{
	w->job->mechanism->run(w, PART_RECEIVE);
	w->result->end = w->lossy || w->verifier.woken ? w->last : bench_now();
	__atomic_store_n(&w->result->received, w->tally.moved,
			 __ATOMIC_RELAXED);
	signal_others(&w->control->receivers_done);
}

/** What nobody expects any more: a message sent twice. */
static void
drain_part(struct worker *w)
{
	await_soon(&w->control->senders_done, w->job->senders);
	w->tally.until = UINT64_MAX;
	w->job->mechanism->run(w, PART_DRAIN);
}

/** The part of this worker in a segment. */
static void
play(struct worker *w, enum segment segment)
{
	const struct mechanism *m = w->job->mechanism;

	w->result->begin = w->begin = bench_now();
	if (m->caps & CAP_SOLO)
		m->run(w, PART_SEND);
	else if (segment == SEGMENT_FILL && w->sends)
		m->run(w, PART_FILL);
	else if (segment == SEGMENT_EMPTY && w->sends) {
		m->run(w, PART_REST);
		signal_others(&w->control->senders_done);
	} else if (segment == SEGMENT_EMPTY)
		m->run(w, PART_DRAIN);
	else if (w->sends && w->receives)
		m->run(w, w->index == 0 ? PART_PING : PART_PONG);
	else if (segment != SEGMENT_FILL) {
		if (w->sends)
			send_part(w);
		else
			receive_part(w);
		return;
	}
	w->result->end = bench_now();
}

/** What stands between in each message, unless it is verified in full: the
 * warm-up has written other words there. */
static void
prepare_body(struct worker *w)
{
	/* Round trips are timed by their sender and carry no stamp. */
	bool stamped = w->timed && w->job->mode != MODE_PING_PONG;
	size_t size = w->job->size, from = stamped ? 16 : 8;
	unsigned i;

	for (i = 0; w->out.out && i < w->job->batch; i++)
		verify_fill_body(w->out.out + i * size, size, 0, VERIFY_STEP);
	w->verifier.sum = 0;
	for (; from + 16 <= size; from += 8)
		w->verifier.sum += verify_word_at(VERIFY_STEP, from / 8);
}

/** How this worker goes about the segment. */
static void
prepare(struct worker *w, enum segment segment)
{
	const struct job *job = w->job;
	struct control *c = w->control;
	uint64_t count = c->count;

	w->first = c->first;
	w->count = count;
	w->total = count * job->senders;
	w->level = segment == SEGMENT_WARM || segment == SEGMENT_EMPTY
			   ? VERIFY_FULL
			   : job->verify;
	w->full = w->level == VERIFY_FULL;
	w->timed = segment == SEGMENT_TIMED;
	w->lossy = (job->mechanism->caps & CAP_LOSSY) != 0;
	w->last = bench_now();
	w->fault = segment == SEGMENT_MEASURE && w->sender == 0 ? job->fault
								: FAULT_NONE;
	w->own = job->style.wait == WAIT_BLOCK ||
		 job->style.wait == WAIT_HYBRID ||
		 (job->style.wait == WAIT_SPIN &&
		  job->style.pauses == PAUSES_OWN);
	w->pauses = job->style.pauses > 0 ? (unsigned)job->style.pauses : 0;
	w->yield = job->style.wait == WAIT_YIELD;
	w->idle_since = 0;
	w->idle_moved = 0;
	memset(w->result, 0, offsetof(struct result, join));
	memset(&w->result->histogram, 0, sizeof(w->result->histogram));
	if (w->verifier.dirty)
		madvise(w->bits, BITS_EACH, MADV_REMOVE);
	w->verifier.dirty = false;
	w->verifier.bits = w->bits;
	w->tally = (struct verify_tally){ 0 };
	/* Nobody can count what may get lost, or what others take; and behind
	 * what filled it comes a message that does not count. */
	w->tally.until = !gets_all(job) || segment == SEGMENT_EMPTY ? UINT64_MAX
								    : w->total;
	w->told = 0;
	w->tally.expected =
		verify_begin(&w->verifier, job->senders, c->first, count);
	prepare_body(w);
}

/** The verifier's verdict, for the lead to read. */
static void
tell_verdict(struct worker *w)
{
	struct verifier *v = &w->verifier;
	struct result *r = w->result;

	r->moved = w->tally.moved;
	if (!w->receives || w->level == VERIFY_NONE)
		return;
	verify_end(v, w->tally.expected, gets_all(w->job));
	r->told = w->told;
	r->lost = v->lost;
	r->duplicated = v->duplicated;
	r->reordered = v->reordered;
	r->corrupt = v->corrupt;
}

void
take_part(struct worker *w, enum segment segment)
{
	const struct mechanism *m = w->job->mechanism;
	unsigned all = participants(w->job);
	struct control *c = w->control;
	struct usage before, after;
	uint64_t calls;

	prepare(w, segment);
	before = usage(w->job);
	calls = system_calls(w);
	signal_others(&c->started);
	await_soon(&c->started, all);
	play(w, segment);
	after = usage(w->job);
	w->result->cpu = after.cpu - before.cpu;
	w->result->voluntary = after.voluntary - before.voluntary;
	w->result->involuntary = after.involuntary - before.involuntary;
	w->result->faults = after.faults - before.faults;
	if (w->receives && !w->sends && segment != SEGMENT_EMPTY &&
	    segment != SEGMENT_FILL)
		drain_part(w);
	/* One that answers for the calls of others waits for these. */
	if (w->index == 0)
		await(&c->finished, all - 1);
	w->result->syscalls = system_calls(w) - calls;
	if (!(m->caps & CAP_BASELINE) && segment != SEGMENT_FILL)
		tell_verdict(w);
	signal_others(&c->finished);
}
