/* SPDX-License-Identifier: MIT
 *
 * Description: the storm. Producers and consumers of one ring are killed with
 * SIGKILL, stopped and continued at random, interrupted a thousand times a
 * second, in every other ring kept from the CPUs by hogs, and replaced by
 * others. Accounted for message by message: all that a push returned for
 * arrives, whole, in order, and once, unless it is marked as redelivered;
 * nobody is wedged; afterwards the whole capacity is there.
 */
#define SHMRING_PATIENCE_NS 200000
#define SHMRING_SLICE_NS 3000000
#include "shmring.h"
#include "tap.h"

#define WORKERS 6 /* at once */
#define HOGS 2
#define POPS 3 /* every third consumer pops, the others peek */
#define LIVES 1024 /* processes a round, of each side */
#define MESSAGES 2048 /* at most, a producer's life */
#define SLOTS 64
#define STALL_NS INT64_C(20000000000) /* no progress: wedged */
#define REPORT_NS INT64_C(60000000000)

/* The fill depends on the rest; its length on the number. */
#define FILL 13
struct message {
	uint32_t life, number, inverse, fill[FILL];
};

static size_t
compose(struct message *m, uint32_t life, uint32_t number)
{
	uint32_t words = number % (FILL + 1);

	m->life = life;
	m->number = number;
	m->inverse = ~number;
	for (uint32_t i = 0; i < words; i++)
		m->fill[i] = life * 2654435761u + number * 31 + i;
	return 12 + 4 * (size_t)words;
}

/* Shared by all; survives whoever dies. */
struct account {
	uint32_t stop; /* producers: come to an end */
	uint32_t torn, disordered, failed;
	uint64_t arrived, marked;
	uint32_t pushed[LIVES]; /* pushes that returned */
	uint32_t newest[LIVES + 1][LIVES]; /* consumer's life, producer's */
	struct message hands[LIVES]; /* where that consumer pops to */
	uint8_t seen[LIVES][MESSAGES]; /* arrivals without a mark */
	uint8_t again[LIVES][MESSAGES]; /* arrivals with one */
};

static struct account *account;
static struct shmring base; /* nobody, holds no lock */

struct worker {
	pid_t pid;
	int role;
	int64_t go_on; /* stopped until then */
};

struct sum { /* over all rings of an engine */
	const char *name;
	uint64_t kills, messages, rings, bad;
	int64_t start, end, report;
};

static void
on_tick(int number)
{
	(void)number;
}

static void
interrupt_often(int restart)
{
	struct itimerspec period = { { 0, 1000000 }, { 0, 1000000 } };
	struct sigaction action;
	struct sigevent event;
	timer_t timer;

	memset(&action, 0, sizeof(action));
	memset(&event, 0, sizeof(event));
	action.sa_handler = on_tick;
	action.sa_flags = restart ? SA_RESTART : 0;
	sigaction(SIGUSR1, &action, NULL);
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGUSR1;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
		timer_settime(timer, 0, &period, NULL);
}

/* Attach; a dead predecessor may take a moment to be proven dead. 0: no. */
static int
attach(struct shmring *ring, unsigned role)
{
	int64_t end = shmring__now() + STALL_NS;
	int error;

	do
		error = shmring_dup(ring, &base, role);
	while ((error == -EBUSY || error == -EUSERS) && shmring__now() < end);
	if (error)
		__atomic_store_n(&account->failed, (uint32_t)-error,
				 __ATOMIC_RELAXED);
	return !error;
}

static void
rest(int64_t ns)
{
	struct timespec nap = { 0, (long)ns };

	nanosleep(&nap, NULL);
}

/* Every third message in place. */
static int
send_one(struct shmring *ring, const struct message *m, size_t size)
{
	if (m->number % 3)
		return shmring_push_wait(ring, m, size, -1);
	void *place = shmring_reserve_wait(ring, size, -1);
	if (!place)
		return shmring_error(ring);
	memcpy(place, m, size);
	int error;
	while ((error = shmring_commit(ring, size)) == -EAGAIN)
		rest(0);
	if (error == -EPIPE)
		shmring_abort(ring);
	return error;
}

static void
produce(uint32_t life)
{
	struct shmring ring;
	struct message m;
	uint32_t number = 0;

	if (!attach(&ring, SHMRING_PRODUCER))
		return;
	while (number < MESSAGES &&
	       !__atomic_load_n(&account->stop, __ATOMIC_RELAXED)) {
		size_t size = compose(&m, life, number);
		int error = send_one(&ring, &m, size);

		if (error == -EPIPE) { /* all consumers dead at the moment */
			rest(100000);
			continue;
		}
		if (error) {
			account->failed = (uint32_t)-error;
			break;
		}
		number++;
		__atomic_store_n(&account->pushed[life], number,
				 __ATOMIC_RELEASE);
	}
	shmring_close(&ring);
}

static int
intact(const struct message *m, size_t size)
{
	struct message wanted;

	return size >= 12 && m->life < LIVES && m->number < MESSAGES &&
	       compose(&wanted, m->life, m->number) == size &&
	       memcmp(m, &wanted, size) == 0;
}

/* Before the release: killed in between, it comes again, marked. */
static void
note(const struct message *m, size_t size, int marked, uint32_t *newest)
{
	if (!intact(m, size)) {
		__atomic_fetch_add(&account->torn, 1, __ATOMIC_RELAXED);
		return;
	}
	uint8_t *place = marked ? &account->again[m->life][m->number]
				: &account->seen[m->life][m->number];
	__atomic_fetch_add(place, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(marked ? &account->marked : &account->arrived, 1,
			   __ATOMIC_RELAXED);
	if (!marked && newest[m->life] > m->number)
		__atomic_fetch_add(&account->disordered, 1, __ATOMIC_RELAXED);
	if (!marked)
		newest[m->life] = m->number + 1;
}

/* Killed in pop, it has the message in its hands, or it comes again. */
static int
take_one(struct shmring *ring, uint32_t life)
{
	const void *place = &account->hands[life];
	size_t size = sizeof(struct message);
	int pops = life % POPS == 0;
	ssize_t got = 0;

	if (pops)
		got = shmring_pop_wait(ring, &account->hands[life], size, -1);
	else if (!(place = shmring_peek_wait(ring, &size, -1)))
		got = shmring_error(ring);
	if (got < 0)
		return (int)got;
	note((const struct message *)place, pops ? (size_t)got : size,
	     shmring_redelivered(ring), account->newest[life]);
	return pops ? 0 : shmring_release(ring);
}

static void
consume(uint32_t life)
{
	struct shmring ring;
	int error = 0;

	if (!attach(&ring, SHMRING_CONSUMER))
		return;
	while (!error) {
		error = take_one(&ring, life);
		if (error == -EPIPE &&
		    !__atomic_load_n(&account->stop, __ATOMIC_RELAXED)) {
			rest(100000); /* all producers dead at the moment */
			error = 0;
		}
	}
	if (error != -EPIPE)
		account->failed = (uint32_t)-error;
	shmring_close(&ring);
}

/* Keep a CPU busy, in bursts longer than the others' patience. */
static void
hog(void)
{
	for (;;) {
		int64_t end =
			shmring__now() + (int64_t)(tap_random() % 3000000);

		while (shmring__now() < end)
			;
		rest((int64_t)(tap_random() % 9000000));
	}
}

static void
start(struct worker *worker, uint32_t *lives)
{
	uint32_t life = lives[worker->role]++;

	worker->go_on = 0;
	worker->pid = tap_fork();
	if (worker->pid)
		return;
	interrupt_often(life % 2);
	if (worker->role == SHMRING__WRITE)
		produce(life);
	else
		consume(life);
	_exit(0);
}

/* Kill or stop somebody, or let it go on. How many were killed. */
static uint64_t
strike(struct worker *w, uint32_t *lives)
{
	int64_t now = shmring__now();

	if (w->go_on && w->go_on < now) {
		kill(w->pid, SIGCONT);
		w->go_on = 0;
	} else if (!w->go_on && tap_random() % 4 == 0) {
		kill(w->pid, SIGSTOP);
		w->go_on = now + (int64_t)(tap_random() % 3000000);
	} else if (!w->go_on || tap_random() % 8 == 0) {
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
		start(w, lives);
		return 1;
	}
	return 0;
}

/* How far a long run has come. */
static void
progress(struct sum *sum)
{
	int64_t now = shmring__now();

	if (now < sum->report)
		return;
	sum->report = now + REPORT_NS;
	printf("# %s, %" PRId64 " s: %" PRIu64 " kills, %" PRIu64
	       " messages, %" PRIu64 " rings, %" PRIu64 " bad\n",
	       sum->name, (now - sum->start) / 1000000000, sum->kills,
	       sum->messages + account->arrived, sum->rings, sum->bad);
}

/* Strike now and then, until the lives are used up. */
static void
rage(struct worker *workers, int count, uint32_t *lives, struct sum *sum)
{
	uint64_t before = 0, arrived;
	int64_t moved = shmring__now();

	while (shmring__now() < sum->end && lives[0] < LIVES - WORKERS &&
	       lives[1] < LIVES - WORKERS && !account->failed) {
		rest((int64_t)(tap_random() % 300000));
		sum->kills +=
			strike(&workers[tap_random() % (unsigned)count], lives);
		progress(sum);
		arrived = account->arrived + account->marked;
		if (arrived != before)
			moved = shmring__now();
		else if (shmring__now() - moved > STALL_NS)
			account->failed = ETIMEDOUT;
		before = arrived;
	}
}

/* Everybody goes on, comes to an end, and the rest is drained. */
static int
calm_down(struct worker *workers, int count)
{
	int64_t end = shmring__now() + STALL_NS;
	int wedged = 0;

	__atomic_store_n(&account->stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < count; i++)
		kill(workers[i].pid, SIGCONT);
	for (int role = SHMRING__WRITE; role >= SHMRING__READ; role--)
		for (int i = 0; i < count; i++) {
			if (workers[i].role != role)
				continue;
			while (waitpid(workers[i].pid, NULL, WNOHANG) == 0) {
				rest(1000000);
				if (shmring__now() > end) {
					wedged++;
					kill(workers[i].pid, SIGKILL);
					waitpid(workers[i].pid, NULL, 0);
				}
			}
		}
	return wedged;
}

/* What is still in the ring, and is all of its room there? In slots. */
static uint32_t
drain(uint32_t newest[LIVES])
{
	struct shmring ring;
	struct message m = { 0, 0, 0, { 0 } };
	uint32_t room = 0;
	ssize_t got;

	if (!attach(&ring, SHMRING_BOTH))
		return 0;
	do
		while ((got = shmring_pop(&ring, &m, sizeof(m))) > 0)
			note(&m, (size_t)got, shmring_redelivered(&ring),
			     newest);
	while (shmring_recover(&ring) > 0);
	while (shmring_push(&ring, &m, sizeof(m)) == 0)
		room++;
	shmring_close(&ring);
	return room;
}

/* Who died in pop, and the message in its hands: is it this one? */
static int
in_hands(uint32_t life, uint32_t number)
{
	struct message wanted;
	size_t size = compose(&wanted, life, number);

	for (uint32_t l = 0; l < LIVES; l += POPS)
		if (!memcmp(&account->hands[l], &wanted, size))
			return 1;
	return 0;
}

/* Every message that was sent has arrived, in one of the ways allowed. */
static int
settle_accounts(int wedged, uint32_t room)
{
	uint64_t lost = 0, twice = 0;

	for (uint32_t l = 0; l < LIVES; l++)
		for (uint32_t n = 0; n < MESSAGES; n++) {
			lost += n < account->pushed[l] &&
				!account->seen[l][n] && !account->again[l][n] &&
				!in_hands(l, n);
			twice += account->seen[l][n] > 1;
		}
	if (!lost && !twice && !wedged && !account->torn &&
	    !account->disordered && !account->failed && room >= SLOTS)
		return 0;
	printf("# lost %" PRIu64 ", twice %" PRIu64
	       ", torn %u, disordered %u, wedged %d, room %u of %u: %s\n",
	       lost, twice, account->torn, account->disordered, wedged, room,
	       SLOTS, strerror((int)account->failed));
	return 1;
}

/* One ring, until all lives are used up or the time is over. */
static void
storm(uint32_t mode, struct sum *sum)
{
	struct shmring_config config = {
		.mode = mode,
		.slots = SLOTS,
		.slot_size = sizeof(struct message),
		.participants = mode ? 2 * WORKERS : 0,
		.roles = SHMRING_OBSERVER,
	};
	struct worker workers[WORKERS];
	int count = mode ? WORKERS : 2, hogs = 0;
	uint32_t lives[2] = { 0, 0 }, room;
	pid_t hogging[HOGS];

	memset(account, 0, sizeof(*account));
	if (shmring_create_memfd(&base, &config))
		bail("no ring");
	for (; sum->rings % 2 && hogs < HOGS; hogs++)
		if (!(hogging[hogs] = tap_fork()))
			hog();
	for (int i = 0; i < count; i++) {
		workers[i].role = i % 2;
		start(&workers[i], lives);
	}
	rage(workers, count, lives, sum);
	int wedged = calm_down(workers, count);
	while (hogs-- > 0) {
		kill(hogging[hogs], SIGKILL);
		waitpid(hogging[hogs], NULL, 0);
	}
	room = drain(account->newest[LIVES]);
	sum->bad += (uint64_t)settle_accounts(wedged, room);
	sum->messages += account->arrived;
	account->arrived = 0;
	sum->rings++;
	shmring_close(&base);
}

int
main(void)
{
	tap_start();
	account = (struct account *)mmap(NULL, sizeof(*account),
					 PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (account == MAP_FAILED)
		bail("no memory for the account");
	for (uint32_t mode = 0; mode < 2; mode++) {
		struct sum sum = {
			mode ? "MPMC" : "SPSC", 0, 0, 0, 0, 0, 0, 0
		};

		sum.start = shmring__now();
		sum.end = sum.start + INT64_C(3000000000) * tap_seconds();
		sum.report = sum.start + REPORT_NS;
		while (shmring__now() < sum.end && sum.bad < 3)
			storm(mode, &sum);
		is_int(sum.bad, 0,
		       "%s: %" PRIu64 " kills, %" PRIu64
		       " messages accounted for, in %" PRIu64 " rings",
		       sum.name, sum.kills, sum.messages, sum.rings);
	}
	return tap_done();
}
