/* SPDX-License-Identifier: MIT */
/* run.c - one repetition of one case: its processes, segments and clean-up */
#include "run.h"
#include "worker.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_FIRST 64 /* messages of the first warm-up segment, at most */
#define WARM_GROWTH 4 /* each has so many times more */
#define FILL_LOSSY 2000 /* messages sent where nothing says "full" */
#define FILL_BYTES (128u << 20) /* and nowhere more than that */

/* What all processes of a case share. */
struct shared {
	struct control control;
	struct outcome outcome;
};

/* What the runner hands to each participant. */
struct cast {
	const struct job *job;
	struct shared *shared;
	struct channel channels[2]; /* there, and in ping-pong back */
	unsigned char *bits; /* bitmaps of all workers */
	int64_t start;
};

static struct {
	struct shared *shared;
	char name[2][sizeof(((struct channel *)0)->name)];
} now_running;

static void *
shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* --------------------------------------------------------------- the lead */

/** Begin a segment for all, take part, wait for its end. */
static void
lead_segment(struct worker *w, enum segment segment, uint64_t count)
{
	struct control *c = w->control;
	unsigned i, all = participants(w->job);

	c->first += c->count;
	c->count = count;
	c->segment = segment;
	c->started = c->finished = c->senders_done = c->receivers_done = 0;
	c->woken = 0;
	for (i = 0; i < all; i++)
		c->results[i].received = 0;
	signal_others(&c->epoch);
	if (segment == SEGMENT_END)
		return;
	take_part(w, segment);
	await(&c->finished, all);
}

/** From the first send to the last receive. */
static double
elapsed(const struct worker *w)
{
	const struct result *r = w->control->results;
	unsigned i, all = participants(w->job);
	int64_t begin = r[0].begin, end = r[0].end;
	bool pair = w->sends && w->receives;

	if (pair || all == 1) /* the lead sees both ends */
		return (double)(end - begin);
	begin = INT64_MAX;
	end = 0;
	for (i = 0; i < all; i++) {
		bool sender = is_sender(w->job, i);

		if (sender && r[i].begin < begin)
			begin = r[i].begin;
		if (!sender && r[i].end > end)
			end = r[i].end;
	}
	return (double)(end - begin);
}

/** Grow the segments until the time for warming up has passed and a stream has
 * been once around the ring, which may be up to twice as large as asked for, so
 * that all its memory is there; then once more, to tell how many messages of
 * each sender fill the time to measure, at that rate. */
static uint64_t
warm_up(struct worker *w)
{
	const struct job *job = w->job;
	uint64_t n, most = VERIFY_MOST / job->senders;
	uint64_t left = job->mode == MODE_PING_PONG ? 0 : 2 * bench_depth(job);
	int64_t begin = bench_now();
	double wanted;
	bool late;

	left = left / job->senders + 1;
	n = bench_depth(job) < WARM_FIRST ? bench_depth(job) : WARM_FIRST;
	while (n <= most) {
		lead_segment(w, SEGMENT_WARM, n);
		late = bench_now() - begin >= job->warmup / 2;
		if (late && !left)
			break;
		left = left > n ? left - n : 0;
		if (!late)
			n *= WARM_GROWTH;
		else if (left > n)
			n = left < n * WARM_GROWTH ? left : n * WARM_GROWTH;
	}
	if (job->count)
		return (job->count + job->senders - 1) / job->senders;
	wanted = (double)w->control->count / elapsed(w) * (double)job->duration;
	wanted = fmin(wanted, (double)most);
	return wanted < 1 ? 1 : (uint64_t)wanted;
}

/** The figures of a measured segment. */
static void
note_measured(struct worker *w, struct outcome *o)
{
	const struct job *job = w->job;
	const struct result *r = w->control->results;
	unsigned i, all = participants(job);
	double *v = o->value, ns = elapsed(w), sent = 0, got = 0, alone = 0;
	bool pair = w->sends && w->receives;

	v[METRIC_CPU_SEND] = v[METRIC_CPU_RECEIVE] = 0;
	v[METRIC_VOLUNTARY] = v[METRIC_INVOLUNTARY] = v[METRIC_FAULTS] = 0;
	v[METRIC_LOST] = v[METRIC_TOLD] = v[METRIC_DUPLICATED] = 0;
	v[METRIC_REORDERED] = v[METRIC_CORRUPT] = 0;
	for (i = 0; i < all; i++) {
		v[is_sender(job, i) ? METRIC_CPU_SEND : METRIC_CPU_RECEIVE] +=
			(double)r[i].cpu;
		v[METRIC_VOLUNTARY] += (double)r[i].voluntary;
		v[METRIC_INVOLUNTARY] += (double)r[i].involuntary;
		v[METRIC_FAULTS] += (double)r[i].faults;
		v[METRIC_LOST] += (double)r[i].lost;
		v[METRIC_TOLD] += (double)r[i].told;
		v[METRIC_DUPLICATED] += (double)r[i].duplicated;
		v[METRIC_REORDERED] += (double)r[i].reordered;
		v[METRIC_CORRUPT] += (double)r[i].corrupt;
		if (pair ? i == 0 : is_sender(job, i))
			sent += (double)r[i].moved;
		if (pair ? i == 0 : !is_sender(job, i))
			got += (double)r[i].moved;
		if (is_sender(job, i))
			alone = fmax(alone, (double)(r[i].end - r[i].begin));
	}
	if (job->mode == MODE_BROADCAST)
		got /= job->receivers;
	if (all == 1 || (job->mechanism->caps & CAP_BASELINE))
		sent = got = (double)w->count;
	else if (job->fault == FAULT_HURRY)
		ns /= 1e6;
	v[METRIC_MESSAGES] = sent;
	v[METRIC_NS] = ns / got;
	if (!pair) {
		v[METRIC_SEND] = alone / sent;
		v[METRIC_RATE] = got * 1e9 / ns;
		v[METRIC_BYTES] = v[METRIC_RATE] * (double)job->size;
	}
	if (job->mechanism->syscalls) {
		v[METRIC_SYSCALLS] = 0;
		for (i = 0; i < all; i++)
			v[METRIC_SYSCALLS] += (double)r[i].syscalls / sent;
	}
	for (i = METRIC_CPU_SEND; i <= METRIC_INVOLUNTARY; i++)
		v[i] /= sent;
	v[METRIC_FAULTS] /= sent;
}

/** What no single one of several receivers can know. */
static void
merge_verdicts(const struct cast *cast, struct worker *w, struct outcome *o)
{
	const struct job *job = w->job;
	unsigned char *bits[BENCH_WORKERS];
	uint64_t lost = 0, duplicated = 0;
	unsigned i, n = 0;

	if (gets_all(job) || w->level == VERIFY_NONE)
		return;
	for (i = 0; i < participants(job); i++)
		if (!is_sender(job, i))
			bits[n++] = cast->bits + i * BITS_EACH;
	for (i = 0; i < job->senders; i++)
		verify_merge(bits, n, i, w->count, &lost, &duplicated);
	o->value[METRIC_LOST] = (double)lost;
	o->value[METRIC_DUPLICATED] += (double)duplicated;
}

static void
note_latencies(struct worker *w, struct outcome *o)
{
	static const double shares[] = { 0.5, 0.9, 0.99, 0.999, 0.9999 };
	struct histogram *h = &o->histogram;
	unsigned i;

	for (i = 0; i < participants(w->job); i++)
		histogram_add(h, &w->control->results[i].histogram);
	if (!h->total)
		return;
	o->value[METRIC_MIN] = (double)h->min;
	o->value[METRIC_MAX] = (double)h->max;
	for (i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		o->value[METRIC_P50 + i] = histogram_quantile(h, shares[i]);
}

/** How many it takes with nobody receiving, and how many of them arrive. */
static void
note_depth(struct worker *w, struct outcome *o)
{
	const struct result *r = w->control->results;
	uint64_t taken, most = w->job->mechanism->caps & CAP_LOSSY
				       ? FILL_LOSSY
				       : w->job->fill;

	if (most > FILL_BYTES / w->job->size)
		most = FILL_BYTES / w->job->size + 1;
	lead_segment(w, SEGMENT_FILL, most);
	taken = w->tally.moved;
	w->control->count = 0; /* the next begins with the same numbers */
	lead_segment(w, SEGMENT_EMPTY, taken ? taken : 1);
	/* Else it never said that it is full. */
	if (taken < most)
		o->value[METRIC_DEPTH] = (double)taken;
	o->value[METRIC_KEPT] = (double)r[1].moved;
	o->value[METRIC_CORRUPT] = (double)r[1].corrupt;
}

static void
lead(const struct cast *cast, struct worker *w)
{
	const struct job *job = w->job;
	struct outcome *o = &cast->shared->outcome;
	bool latencies = job->mode == MODE_PING_PONG ||
			 job->mode == MODE_UNDER_LOAD || job->senders > 1 ||
			 job->receivers > 1;
	uint64_t n;

	if (job->mode == MODE_SETUP_COST) {
		lead_segment(w, SEGMENT_WARM, 1);
		o->value[METRIC_FIRST] = (double)(bench_now() - cast->start);
		return;
	}
	if (job->mode == MODE_LIMITS) {
		note_depth(w, o);
		return;
	}
	if (job->mode == MODE_THROUGHPUT && job->batch == 1 &&
	    (job->mechanism->caps & CAP_SPIN) &&
	    !(job->mechanism->caps &
	      (CAP_BASELINE | CAP_LOSSY | CAP_PUT_WAITS | CAP_OVERWRITES)))
		note_depth(w, o);
	n = warm_up(w);
	if (job->mode == MODE_UNDER_LOAD) {
		n = job->count ? job->count
			       : job->rate * (uint64_t)job->duration /
					 (uint64_t)BENCH_SECOND;
		lead_segment(w, SEGMENT_TIMED, n ? n : 1);
	} else {
		lead_segment(w, SEGMENT_MEASURE, n);
	}
	note_measured(w, o);
	merge_verdicts(cast, w, o);
	if (latencies && job->mode != MODE_UNDER_LOAD &&
	    (job->mode == MODE_PING_PONG || job->size >= 16))
		lead_segment(w, SEGMENT_TIMED, n);
	if (latencies)
		note_latencies(w, o);
}

/* ---------------------------------------------------------- participants */

/** The CPUs are those of the senders, then those of the receivers. */
static void
pin(const struct job *job, unsigned index)
{
	unsigned all = job->senders + job->receivers;
	unsigned first = maker_receives(job) ? job->senders : 0;
	int cpu = job->cpus[(index + first) % all];
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/** Take hold of a channel. */
static void
join(struct worker *w, struct channel *ch, const struct channel *made,
     bool sends)
{
	const struct mechanism *m = w->job->mechanism;
	int error;

	*ch = *made;
	ch->sends = sends;
	ch->receives = !sends;
	ch->creator = w->index == 0;
	ch->room = w->job->batch * w->job->size;
	ch->out = aligned_alloc(BENCH_LINE, (ch->room + 4095) & ~4095ul);
	ch->in = aligned_alloc(BENCH_LINE, (ch->room + 4095) & ~4095ul);
	if (!ch->out || !ch->in)
		worker_fail(w, -ENOMEM, "buffers", ch);
	memset(ch->in, 0, ch->room);
	error = m->join ? m->join(ch) : 0;
	if (error)
		worker_fail(w, error, ch->creator ? "create" : "attach", ch);
}

static void
leave(struct worker *w, struct channel *ch)
{
	if (!ch->job)
		return;
	if (w->job->mechanism->leave)
		w->job->mechanism->leave(ch);
	free(ch->out);
	free(ch->in);
}

static void
participate(const struct cast *cast, unsigned index)
{
	const struct job *job = cast->job;
	struct control *c = &cast->shared->control;
	bool pair = job->mode == MODE_PING_PONG;
	struct worker w = { .job = job, .control = c, .index = index };
	uint32_t epoch = 0;
	int64_t begin;

	pin(job, index);
	w.result = &c->results[index];
	w.bits = cast->bits + index * BITS_EACH;
	w.sends = pair || is_sender(job, index);
	w.receives = pair || !is_sender(job, index);
	if (w.sends && !pair)
		w.sender = maker_receives(job) ? index - job->receivers : index;
	await(&c->made, 1);
	begin = bench_now();
	if (w.sends)
		join(&w, &w.out, &cast->channels[pair && index], true);
	if (w.receives)
		join(&w, &w.in, &cast->channels[pair && !index], false);
	w.result->join = bench_now() - begin;
	signal_others(&c->ready);
	if (index == 0) {
		await(&c->ready, participants(job));
		lead(cast, &w);
		lead_segment(&w, SEGMENT_END, 0);
	} else {
		for (;;) {
			await(&c->epoch, ++epoch);
			if (c->segment == SEGMENT_END)
				break;
			take_part(&w, c->segment);
			/* The lead resets what we look at next. */
		}
	}
	begin = bench_now();
	leave(&w, &w.out);
	leave(&w, &w.in);
	w.result->leave = bench_now() - begin;
}

struct thread {
	const struct cast *cast;
	unsigned index;
	pthread_t id;
};

static void *
thread_main(void *argument)
{
	struct thread *t = argument;

	participate(t->cast, t->index);
	return NULL;
}

/** One of the runner's children has ended too early: end them all. */
static void
child_ended(int number)
{
	struct control *c = &now_running.shared->control;
	siginfo_t info = { 0 };

	(void)number;
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) ||
	    !info.si_pid || (info.si_code == CLD_EXITED && !info.si_status))
		return;
	if (__atomic_fetch_add(&c->failed, 1, __ATOMIC_ACQ_REL) == 0)
		snprintf(c->text, sizeof(c->text),
			 info.si_code == CLD_EXITED
				 ? "a participant ended with status %d"
				 : "a participant was killed by signal %d",
			 info.si_status);
	kill(0, SIGKILL);
}

/** What all share, before there are others. */
static void
prepare_cast(struct cast *cast, struct worker *w)
{
	const struct job *job = cast->job;
	const struct mechanism *m = job->mechanism;
	unsigned i;

	cast->bits = shared_memory(participants(job) * BITS_EACH);
	if (!cast->bits)
		worker_fail(w, -errno, "bitmaps", NULL);
	for (i = 0; i < 2; i++) {
		struct channel *ch = &cast->channels[i];

		ch->job = job;
		memcpy(ch->name, now_running.name[i], sizeof(ch->name));
		if (!m->shared_bytes)
			continue;
		ch->shared = shared_memory(m->shared_bytes(job));
		if (!ch->shared)
			worker_fail(w, -errno, "memory", ch);
	}
}

/** The mechanism's objects. */
static void
make_channels(struct cast *cast, struct worker *w)
{
	const struct job *job = cast->job;
	const struct mechanism *m = job->mechanism;
	unsigned i, channels = job->mode == MODE_PING_PONG ? 2 : 1;
	int error;

	cast->start = bench_now();
	for (i = 0; i < channels; i++) {
		struct channel *ch = &cast->channels[i];

		ch->sends = i == 0 && !maker_receives(job);
		ch->receives = !ch->sends;
		ch->creator = true;
		error = m->create ? m->create(ch) : 0;
		if (error)
			worker_fail(w, error, "create", ch);
	}
	cast->shared->outcome.value[METRIC_CREATE] =
		(double)(bench_now() - cast->start);
}

/** All but the runner's own part in processes or threads of their own. */
static void
start_others(struct cast *cast, struct worker *w, struct thread *threads)
{
	unsigned i, all = participants(cast->job);
	pid_t parent = getpid();

	for (i = 1; i < all; i++) {
		threads[i] = (struct thread){ .cast = cast, .index = i };
		if (cast->job->mechanism->caps & CAP_THREADS) {
			int error = pthread_create(&threads[i].id, NULL,
						   thread_main, &threads[i]);

			if (error)
				worker_fail(w, -error, "thread", NULL);
			continue;
		}
		switch (fork()) {
		case -1:
			worker_fail(w, -errno, "fork", NULL);
		case 0:
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			participate(cast, i);
			_exit(0);
		}
	}
}

static void
runner(const struct job *job, struct shared *shared)
{
	struct cast cast = { .job = job, .shared = shared };
	struct worker w = { .job = job, .control = &shared->control };
	struct thread threads[BENCH_WORKERS];
	struct outcome *o = &shared->outcome;
	unsigned i, all = participants(job);
	struct sigaction action = { .sa_handler = child_ended,
				    .sa_flags = SA_RESTART | SA_NOCLDSTOP };

	if (!(job->mechanism->caps & CAP_THREADS))
		sigaction(SIGCHLD, &action, NULL);
	prepare_cast(&cast, &w);
	if (!(job->mechanism->caps & CAP_NAMED))
		make_channels(&cast, &w);
	start_others(&cast, &w, threads);
	if (job->mechanism->caps & CAP_NAMED)
		make_channels(&cast, &w);
	signal_others(&shared->control.made);
	participate(&cast, 0);
	for (i = 1; i < all; i++) {
		if (job->mechanism->caps & CAP_THREADS)
			pthread_join(threads[i].id, NULL);
		else
			wait(NULL);
	}
	if (all > 1) {
		o->value[METRIC_ATTACH] =
			(double)shared->control.results[1].join;
		o->value[METRIC_CLOSE] =
			(double)shared->control.results[0].leave;
	}
	_exit(0);
}

/* ---------------------------------------------------------- coordination */

static void
remove_names(const struct job *job)
{
	int i;

	if (job->mechanism->unlink)
		for (i = 0; i < 2; i++)
			job->mechanism->unlink(job->mechanism,
					       now_running.name[i]);
}

/** Wait for the runner: its status, or -1 when it had to be killed. */
static int
reap(pid_t pid, int64_t timeout)
{
	struct pollfd ended = { .events = POLLIN };
	int status, n = 0;

	ended.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ended.fd >= 0)
		n = poll(&ended, 1, (int)(timeout / 1000000));
	close(ended.fd);
	kill(-pid, SIGKILL); /* all, if it is late; else who may be left */
	waitpid(pid, &status, 0);
	/* What its children held is free when they, ours now, are gone. */
	while (waitpid(-pid, NULL, 0) > 0)
		;
	return n == 1 ? status : -1;
}

static void
fill_text(struct outcome *o, enum status status, const char *text)
{
	o->status = status;
	snprintf(o->text, sizeof(o->text), "%s", text);
}

/** What became of it. */
static void
judge(struct outcome *o, const struct control *c, int status, int64_t timeout)
{
	char text[160];

	if (c->failed) {
		bool refused = c->error == -EMSGSIZE || c->error == -ENOTSUP ||
			       c->error == -EINVAL || c->error == -ENOSYS;

		fill_text(o, refused ? RUN_REFUSED : RUN_FAILED, c->text);
	} else if (status == -1) {
		snprintf(text, sizeof(text), "did not finish in %.0f s",
			 (double)timeout / 1e9);
		fill_text(o, RUN_TIMEOUT, text);
	} else if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
		fill_text(o, RUN_FAILED, text);
	} else if (status) {
		fill_text(o, RUN_FAILED, "a participant died");
	}
}

void
run_job(const struct job *job, int64_t timeout, struct outcome *outcome)
{
	static unsigned number;
	const struct mechanism *m = job->mechanism;
	struct shared *shared = now_running.shared;
	const char *why;
	int i, status;
	pid_t pid;

	memset(outcome, 0, sizeof(*outcome));
	for (i = 0; i < METRIC_COUNT; i++)
		outcome->value[i] = NAN;
	if (m->missing) {
		fill_text(outcome, RUN_MISSING, m->missing);
		return;
	}
	why = m->refuses ? m->refuses(job) : NULL;
	if (why) {
		fill_text(outcome, RUN_REFUSED, why);
		return;
	}
	if (!shared) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		shared = now_running.shared = shared_memory(sizeof(*shared));
	}
	if (!shared) {
		fill_text(outcome, RUN_FAILED, "no shared memory");
		return;
	}
	memset(&shared->control, 0, sizeof(shared->control));
	shared->outcome = *outcome;
	number++;
	for (i = 0; i < 2; i++)
		snprintf(now_running.name[i], sizeof(now_running.name[i]),
			 "shmbench-%ld-%u%c", (long)getpid(), number, 'a' + i);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		runner(job, shared);
	}
	if (pid > 0)
		setpgid(pid, pid);
	status = pid < 0 ? 1 : reap(pid, timeout);
	remove_names(job);
	*outcome = shared->outcome;
	judge(outcome, &shared->control, status, timeout);
}
