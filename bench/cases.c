/* SPDX-License-Identifier: MIT */
/* cases.c - the mechanisms, and which rows are measured */
#include "cases.h"

#define MECHANISMS 128
#define LONG_MESSAGE (64 << 10) /* bytes */

static const struct mechanism *mechanisms[MECHANISMS];
static size_t n_mechanisms;

/* ------------------------------------------------------------- mechanisms */

static void
collect(const struct mechanism *const *list)
{
	for (; *list; list++)
		if (n_mechanisms < MECHANISMS)
			mechanisms[n_mechanisms++] = *list;
}

const char *
group_of(const struct mechanism *m)
{
	const struct mechanism *const *list;

	if (m->caps & CAP_BASELINE)
		return "baselines";
	for (list = ring_mechanisms; *list; list++)
		if (*list == m)
			return "shmring";
	for (list = deaf_mechanisms; *list; list++)
		if (*list == m)
			return "shmring";
	for (list = adapter_mechanisms(); *list; list++)
		if (*list == m)
			return "adapters";
	return "peers";
}

static bool wanted_found;

static void
compare_name(const char *part, void *into)
{
	const struct mechanism *m = into;

	wanted_found |=
		strcmp(part, m->name) == 0 ||
		(!(m->caps & CAP_APART) && strcmp(part, group_of(m)) == 0);
}

/** Asked for by name or group; baselines belong to every run. */
static bool
wanted(const struct mechanism *m)
{
	if (!options.names || (m->caps & CAP_BASELINE))
		return !(m->caps & CAP_APART);
	wanted_found = false;
	each(options.names, compare_name, (void *)(uintptr_t)m);
	return wanted_found;
}

static void
check_name(const char *part, void *into)
{
	size_t i;

	(void)into;
	for (i = 0; i < n_mechanisms; i++)
		if (strcmp(part, mechanisms[i]->name) == 0 ||
		    strcmp(part, group_of(mechanisms[i])) == 0)
			return;
	refuse("no such mechanism (--list names them)", part);
}

void
collect_mechanisms(void)
{
	collect(baseline_mechanisms);
	collect(ring_mechanisms);
	collect(deaf_mechanisms);
	collect(peer_mechanisms);
	collect(adapter_mechanisms());
	if (options.names)
		each(options.names, check_name, NULL);
}

const struct mechanism *
find_mechanism(const char *name)
{
	size_t i;

	for (i = 0; i < n_mechanisms; i++)
		if (strcmp(name, mechanisms[i]->name) == 0)
			return mechanisms[i];
	return NULL;
}

void
list_mechanisms(void)
{
	size_t i;

	for (i = 0; i < n_mechanisms; i++)
		printf("%-10s %-20s %s%s%s\n", group_of(mechanisms[i]),
		       mechanisms[i]->name,
		       mechanisms[i]->summary ? mechanisms[i]->summary : "",
		       mechanisms[i]->missing ? " -- not built in, needs " : "",
		       mechanisms[i]->missing ? mechanisms[i]->missing : "");
}

/* -------------------------------------------------------------- the cases */

/* What a mode measures if nothing else is asked for. */
static const struct defaults {
	struct sizes sizes, quick_sizes;
	unsigned waits;
	struct pairs pairs[4];
} defaults[MODE_COUNT] = {
	[MODE_PING_PONG] = { { 2, { 8, 64 } },
			     { 1, { 8 } },
			     1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			     { { 1, 1 } } },
	[MODE_THROUGHPUT] = { { 6, { 8, 16, 64, 256, 1024, 4096 } },
			      { 1, { 64 } },
			      1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			      { { 1, 1 } } },
	[MODE_UNDER_LOAD] = { { 1, { 64 } },
			      { 1, { 16 } },
			      1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			      { { 1, 1 } } },
	[MODE_FAN_IN] = { { 1, { 64 } },
			  { 1, { 16 } },
			  1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			  { { 2, 1 }, { 4, 1 } } },
	[MODE_FAN_OUT] = { { 1, { 64 } },
			   { 1, { 16 } },
			   1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			   { { 1, 2 }, { 1, 4 } } },
	[MODE_MANY_TO_MANY] = { { 2, { 8, 64 } },
				{ 1, { 16 } },
				1u << WAIT_SPIN | 1u << WAIT_BLOCK,
				{ { 1, 1 }, { 2, 2 } } },
	[MODE_OVERSUBSCRIBED] = { { 2, { 8, 64 } },
				  { 1, { 16 } },
				  1u << WAIT_SPIN | 1u << WAIT_YIELD |
					  1u << WAIT_BLOCK,
				  { { 4, 4 }, { 8, 8 } } },
	[MODE_BROADCAST] = { { 2, { 8, 64 } },
			     { 1, { 16 } },
			     1u << WAIT_SPIN | 1u << WAIT_BLOCK,
			     { { 1, 1 }, { 1, 2 }, { 1, 4 } } },
	[MODE_SETUP_COST] = { { 1, { 64 } },
			      { 1, { 64 } },
			      1u << WAIT_BLOCK,
			      { { 1, 1 } } },
	[MODE_LIMITS] = { { 3, { 64, 1024, 4096 } },
			  { 1, { 64 } },
			  1u << WAIT_SPIN,
			  { { 1, 1 } } },
};

/** The CPU of each participant: spread as asked, or not pinned. */
const int *
assign_cpus(unsigned senders, unsigned receivers)
{
	static int free_cpus[BENCH_WORKERS], pinned[BENCH_WORKERS];
	static int crowd[BENCH_WORKERS];
	const struct options *o = &options;
	unsigned i;
	int *cpus = senders + receivers > 2 ? crowd : pinned;

	for (i = 0; i < BENCH_WORKERS; i++)
		free_cpus[i] = -1;
	if (!o->n_senders || (senders + receivers > 2 && o->n_senders == 1))
		return free_cpus;
	for (i = 0; i < senders; i++)
		cpus[i] = o->senders[i % o->n_senders];
	for (i = 0; i < receivers; i++)
		cpus[senders + i] = o->receivers[i % o->n_receivers];
	return cpus;
}

static bool
same_row(const struct job *a, const struct job *b)
{
	return same_work(a, b) && a->mechanism == b->mechanism &&
	       a->style.wait == b->style.wait &&
	       a->style.pauses == b->style.pauses;
}

void
add_row(struct report *report, const struct job *job)
{
	struct row *rows = report->rows;
	size_t i;

	for (i = 0; i < report->count; i++)
		if (same_row(&rows[i].job, job))
			return;
	rows = realloc(rows, (report->count + 1) * sizeof(*rows));
	if (!rows) {
		fprintf(stderr, "shmbench: no memory\n");
		exit(EXIT_SPOILT);
	}
	report->rows = rows;
	memset(&rows[report->count], 0, sizeof(*rows));
	rows[report->count++].job = *job;
}

/** How long it pauses between two looks makes no difference where a message
 * takes long, or where the one that it waits for has no CPU. */
static bool
pauses_matter(const struct job *job)
{
	static int cpus[SYSTEM_CPUS];

	return job->size < LONG_MESSAGE &&
	       (int)(job->senders + job->receivers) <= system_cpus(cpus);
}

/** The ways to spin: the mechanism's own, and looking again. */
static void
add_spins(struct report *report, struct job *job)
{
	/* Streams gain from long pauses, each peer from other ones; round
	 * trips from short ones, for who looks all the time slows down the
	 * line that he waits for. */
	static const struct sizes streams = {
		5, { (size_t)PAUSES_OWN, 0, 32, 128, 512 }
	};
	static const struct sizes trips = { 4,
					    { (size_t)PAUSES_OWN, 0, 1, 3 } };
	static const struct sizes few = { 2, { (size_t)PAUSES_OWN, 1 } };
	static const struct sizes once = { 1, { 1 } };
	const struct sizes *list = job->mode == MODE_LIMITS ? &once
				   : options.pauses.n	    ? &options.pauses
				   : !pauses_matter(job)    ? &few
				   : job->mode == MODE_PING_PONG ? &trips
								 : &streams;
	unsigned caps = job->mechanism->caps;
	bool any = false;
	size_t i;

	for (i = 0; i < list->n; i++) {
		job->style.pauses = (int)list->value[i];
		if (job->style.pauses == PAUSES_OWN && !(caps & CAP_OWN_SPIN))
			continue;
		if (job->style.pauses > 1 && (caps & CAP_SLOW))
			continue;
		add_row(report, job);
		any = true;
	}
	job->style.pauses = 1;
	if (!any)
		add_row(report, job);
}

void
add_styles(struct report *report, struct job *job, unsigned waits)
{
	static const unsigned needs[WAIT_COUNT] = {
		[WAIT_SPIN] = CAP_SPIN,
		[WAIT_YIELD] = CAP_SPIN,
		[WAIT_BLOCK] = CAP_BLOCK,
		[WAIT_HYBRID] = CAP_HYBRID,
	};
	unsigned caps = job->mechanism->caps;
	int wait;

	if (caps & CAP_BASELINE) {
		job->style = (struct style){ caps & CAP_SPIN ? WAIT_SPIN
							     : WAIT_BLOCK,
					     0 };
		if (caps & CAP_SPIN && !(caps & CAP_SOLO))
			add_spins(report, job);
		else
			add_row(report, job);
		return;
	}
	for (wait = 0; wait < WAIT_COUNT; wait++) {
		if (!(waits & 1u << wait) || !(caps & needs[wait]))
			continue;
		if (wait == WAIT_BLOCK && job->batch > 1 &&
		    !(caps & CAP_BATCH_WAIT))
			continue;
		job->style.wait = (enum bench_wait)wait;
		job->style.pauses = 0;
		if (wait == WAIT_SPIN)
			add_spins(report, job);
		else
			add_row(report, job);
	}
}

/** All sizes, batches, pairs and rates of a mechanism in a mode. */
static void
add_work(struct report *report, const struct mechanism *m, enum bench_mode mode,
	 const struct sizes *sizes, const struct sizes *batches)
{
	static const struct sizes rates = { 3, { 10000, 100000, 1000000 } };
	static const struct sizes quick_rates = { 1, { 10000 } };
	static const struct sizes no_rate = { 1, { 0 } };
	const struct sizes *loads = mode != MODE_UNDER_LOAD ? &no_rate
				    : options.rates.n	    ? &options.rates
				    : options.quick	    ? &quick_rates
							    : &rates;
	const struct pairs *pairs = defaults[mode].pairs;
	size_t n_pairs = options.quick ? 1 : 4, s, b, p, r;
	/* Briefly, and perhaps on a busy machine: give the CPU away. */
	unsigned waits = options.waits	 ? options.waits
			 : options.quick ? 1u << WAIT_YIELD | 1u << WAIT_BLOCK
					 : defaults[mode].waits;
	bool crowd = mode >= MODE_FAN_IN && mode <= MODE_BROADCAST;
	struct job job = options.job;

	if (options.n_pairs && crowd) {
		pairs = options.pairs;
		n_pairs = options.n_pairs;
	}
	job.mechanism = m;
	job.mode = mode;
	for (p = 0; p < n_pairs && pairs[p].senders; p++)
		for (s = 0; s < sizes->n; s++)
			for (b = 0; b < batches->n; b++)
				for (r = 0; r < loads->n; r++) {
					job.senders = pairs[p].senders;
					job.receivers = pairs[p].receivers;
					job.size = sizes->value[s];
					job.batch = (unsigned)batches->value[b];
					job.rate = loads->value[r];
					job.cpus = assign_cpus(job.senders,
							       job.receivers);
					add_styles(report, &job, waits);
				}
}

/** Whether this mode makes sense for the mechanism at all. */
static bool
fits(const struct mechanism *m, enum bench_mode mode)
{
	switch (mode) {
	case MODE_FAN_IN:
		return m->caps & CAP_MANY_SENDERS;
	case MODE_FAN_OUT:
		return m->caps & CAP_MANY_RECEIVERS;
	case MODE_MANY_TO_MANY:
	case MODE_OVERSUBSCRIBED:
		return (m->caps & CAP_MANY_SENDERS) &&
		       (m->caps & CAP_MANY_RECEIVERS);
	case MODE_BROADCAST:
		return m->caps & CAP_BROADCAST;
	case MODE_UNDER_LOAD:
	case MODE_SETUP_COST:
	case MODE_LIMITS:
		return !(m->caps & CAP_BASELINE);
	default:
		return true;
	}
}

/** A baseline only where it has something to say. */
static bool
silent(const struct mechanism *m, enum bench_mode mode, size_t size)
{
	struct job job = {
		.mechanism = m, .mode = mode, .size = size, .batch = 1
	};

	return (m->caps & CAP_BASELINE) && m->refuses(&job);
}

static void
add_mode(struct report *report, enum bench_mode mode, const struct sizes *sizes,
	 const struct sizes *batches)
{
	size_t i, s;

	for (s = 0; s < sizes->n; s++) {
		struct sizes one = { 1, { sizes->value[s] } };

		for (i = 0; i < n_mechanisms; i++) {
			const struct mechanism *m = mechanisms[i];

			if (!wanted(m) || !fits(m, mode) ||
			    silent(m, mode, one.value[0]))
				continue;
			if (batches->value[0] > 1 && !(m->caps & CAP_BATCH) &&
			    !(m->caps & CAP_BASELINE) && !options.names)
				continue;
			add_work(report, m, mode, &one, batches);
		}
	}
}

void
add_programme(struct report *report)
{
	static const struct sizes single = { 1, { 1 } };
	static const struct sizes batches = { 2, { 16, 64 } };
	static const struct sizes small = { 2, { 8, 64 } };
	static const struct sizes large = { 3, { 64 << 10, 1 << 20, 8 << 20 } };
	unsigned modes = options.modes ? options.modes : (1u << MODE_COUNT) - 1;
	int mode;

	for (mode = 0; mode < MODE_COUNT; mode++) {
		const struct sizes *sizes = &defaults[mode].sizes;

		if (!(modes & 1u << mode))
			continue;
		if (options.sizes.n)
			sizes = &options.sizes;
		else if (options.quick)
			sizes = &defaults[mode].quick_sizes;
		add_mode(report, (enum bench_mode)mode, sizes,
			 options.batches.n ? &options.batches : &single);
		if (mode != MODE_THROUGHPUT || options.sizes.n ||
		    options.batches.n || options.quick)
			continue;
		add_mode(report, MODE_THROUGHPUT, &small, &batches);
		add_mode(report, MODE_THROUGHPUT, &large, &single);
	}
}

/* --------------------------------------------------------------- the CPUs */

/** Which CPUs: as told, or by topology. */
void
choose_cpus(char *text, size_t size)
{
	struct options *o = &options;
	enum place tries[] = { PLACE_CACHE, PLACE_SIBLING, PLACE_ACROSS,
			       PLACE_SAME };
	int cpus[SYSTEM_CPUS], n = system_cpus(cpus);
	size_t i;

	if (!o->n_senders != !o->n_receivers)
		refuse("--cpu-send and --cpu-recv go together",
		       "one is missing");
	if (o->place_given && o->n_senders)
		refuse("--place and --cpu-send exclude each other", "");
	if (n < 2 && !(o->place_given && o->place <= PLACE_SAME))
		fprintf(stderr, "shmbench: only one CPU: senders and receivers "
				"take turns on it\n");
	if (o->place_given && o->place == PLACE_NONE) {
		snprintf(text, size, "not pinned");
		return;
	}
	for (i = 0; !o->n_senders && i < 4; i++)
		if ((!o->place_given || tries[i] == o->place) &&
		    system_pair(tries[i], &o->senders[0], &o->receivers[0]))
			o->n_senders = o->n_receivers = 1;
	if (!o->n_senders)
		refuse("no two CPUs here stand so",
		       system_place_name(o->place));
	snprintf(text, size,
		 "sender on CPU %d, receiver on CPU %d (%s); more than two are "
		 "%s",
		 o->senders[0], o->receivers[0],
		 system_place_name(
			 system_relation(o->senders[0], o->receivers[0])),
		 o->n_senders > 1 ? "pinned in turn" : "not pinned");
}
