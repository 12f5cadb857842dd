/* SPDX-License-Identifier: MIT
 *
 * Description: the storm. Producers and consumers of one ring are killed with
 * SIGKILL, stopped and continued at random, interrupted a thousand times a
 * second, and replaced by others. Accounted for message by message: all that
 * a push returned for arrives, whole, in order, and once, unless it is marked
 * as redelivered; nobody is wedged; afterwards the whole capacity is there.
 */
#define SHMRING_PATIENCE_NS 200000
#define SHMRING_SLICE_NS 3000000
#include "shmring.h"
#include "tap.h"

#define WORKERS 6 /* at once */
#define LIVES 1024 /* processes a round, of each side */
#define MESSAGES 2048 /* at most, a producer's life */
#define SLOTS 64
#define STALL_NS INT64_C(20000000000) /* no progress: wedged */

struct message {
	uint32_t life, number, inverse, padding[5];
};

/* Shared by all; survives whoever dies. */
struct account {
	uint32_t stop; /* producers: come to an end */
	uint32_t torn, disordered, failed;
	uint64_t arrived, marked;
	uint32_t pushed[LIVES]; /* pushes that returned */
	uint32_t newest[2 * LIVES][LIVES]; /* consumer's life, producer's */
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

/* Attach; a dead predecessor may take a moment to be proven dead. */
static void
attach(struct shmring *ring, unsigned role)
{
	int64_t end = shmring__now() + STALL_NS;
	int error;

	do
		error = shmring_dup(ring, &base, role);
	while ((error == -EBUSY || error == -EUSERS) && shmring__now() < end);
	if (error) {
		__atomic_store_n(&account->failed, (uint32_t)-error,
				 __ATOMIC_RELAXED);
		_exit(1);
	}
}

static void
produce(uint32_t life)
{
	struct message m = { life, 0, 0, { 0 } };
	struct shmring ring;

	attach(&ring, SHMRING_PRODUCER);
	while (m.number < MESSAGES &&
	       !__atomic_load_n(&account->stop, __ATOMIC_RELAXED)) {
		int error;

		m.inverse = ~m.number;
		if (m.number % 3) {
			error = shmring_push_wait(&ring, &m, sizeof(m), -1);
		} else {
			void *place =
				shmring_reserve_wait(&ring, sizeof(m), -1);
			error = place ? 0 : shmring_error(&ring);
			if (place)
				memcpy(place, &m, sizeof(m));
			while (!error && (error = shmring_commit(
						  &ring, sizeof(m))) == -EAGAIN)
				error = 0;
		}
		if (error == -EPIPE) { /* all consumers dead at the moment */
			struct timespec nap = { 0, 100000 };
			nanosleep(&nap, NULL);
			if (m.number % 3 == 0)
				shmring_abort(&ring);
			continue;
		}
		if (error) {
			account->failed = (uint32_t)-error;
			break;
		}
		m.number++;
		__atomic_store_n(&account->pushed[life], m.number,
				 __ATOMIC_RELEASE);
	}
	shmring_close(&ring);
}

/* Account before the release: killed in between, it comes again, marked. */
static void
note(const struct message *m, int marked, uint32_t *newest)
{
	if (m->inverse != ~m->number || m->life >= LIVES ||
	    m->number >= MESSAGES) {
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

static void
consume(uint32_t life)
{
	struct shmring ring;
	size_t size;

	attach(&ring, SHMRING_CONSUMER);
	for (;;) {
		const void *place = shmring_peek_wait(&ring, &size, -1);
		int error = place ? 0 : shmring_error(&ring);

		if (error == -EPIPE &&
		    __atomic_load_n(&account->stop, __ATOMIC_RELAXED))
			break;
		if (error == -EPIPE) /* all producers dead at the moment */
			continue;
		if (error) {
			account->failed = (uint32_t)-error;
			break;
		}
		note((const struct message *)place, shmring_redelivered(&ring),
		     account->newest[life]);
		shmring_release(&ring);
	}
	shmring_close(&ring);
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

/* Kill or stop somebody, now and then, and replace the dead. */
static uint64_t
rage(struct worker *workers, int count, uint32_t *lives, int64_t end)
{
	uint64_t kills = 0, before = 0;
	int64_t moved = shmring__now();

	while (shmring__now() < end && lives[0] < LIVES - WORKERS &&
	       lives[1] < LIVES - WORKERS && !account->failed) {
		struct timespec nap = { 0, (long)(tap_random() % 400000) };
		struct worker *w = &workers[tap_random() % (unsigned)count];
		int64_t now = shmring__now();

		nanosleep(&nap, NULL);
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
			kills++;
		}
		if (account->arrived + account->marked != before) {
			before = account->arrived + account->marked;
			moved = now;
		}
		if (now - moved > STALL_NS) {
			account->failed = ETIMEDOUT;
			break;
		}
	}
	return kills;
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
				struct timespec nap = { 0, 1000000 };
				nanosleep(&nap, NULL);
				if (shmring__now() > end) {
					wedged++;
					kill(workers[i].pid, SIGKILL);
					waitpid(workers[i].pid, NULL, 0);
				}
			}
		}
	return wedged;
}

/* What is still in the ring, and is all of its room there? */
static uint32_t
drain(uint32_t newest[LIVES])
{
	struct message m = { 0, 0, 0, { 0 } };
	struct shmring ring;
	uint32_t room = 0;

	attach(&ring, SHMRING_BOTH);
	while (shmring_pop(&ring, &m, sizeof(m)) > 0 ||
	       shmring_recover(&ring) > 0)
		if (m.inverse)
			note(&m, shmring_redelivered(&ring), newest);
	while (shmring_push(&ring, &m, sizeof(m)) == 0)
		room++;
	shmring_close(&ring);
	return room;
}

static void
storm(uint32_t mode, int64_t end, uint64_t *kills, uint64_t *messages,
      uint64_t *bad)
{
	struct shmring_config config = {
		.mode = mode,
		.slots = SLOTS,
		.slot_size = sizeof(struct message),
		.participants = mode ? 2 * WORKERS : 0,
		.roles = SHMRING_OBSERVER,
	};
	struct worker workers[WORKERS];
	int count = mode ? WORKERS : 2;
	uint32_t lives[2] = { 0, 0 }, room;
	uint64_t lost = 0, twice = 0;

	memset(account, 0, sizeof(*account));
	if (shmring_create_memfd(&base, &config))
		bail("no ring");
	for (int i = 0; i < count; i++) {
		workers[i].role = i % 2;
		start(&workers[i], lives);
	}
	*kills += rage(workers, count, lives, end);
	int wedged = calm_down(workers, count);
	room = drain(account->newest[LIVES]);
	for (uint32_t l = 0; l < LIVES; l++)
		for (uint32_t n = 0; n < MESSAGES; n++) {
			lost += n < account->pushed[l] &&
				!account->seen[l][n] && !account->again[l][n];
			twice += account->seen[l][n] > 1;
		}
	*messages += account->arrived;
	if (lost || twice || wedged || account->torn || account->disordered ||
	    account->failed || room < SLOTS) {
		++*bad;
		printf("# lost %" PRIu64 ", twice %" PRIu64
		       ", torn %u, disordered %u, wedged %d, room %u of %u: "
		       "%s\n",
		       lost, twice, account->torn, account->disordered, wedged,
		       room, SLOTS, strerror((int)account->failed));
	}
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
		uint64_t kills = 0, messages = 0, bad = 0, rounds = 0;
		int64_t end =
			shmring__now() + INT64_C(3000000000) * tap_seconds();

		while (shmring__now() < end && bad < 3) {
			storm(mode, end, &kills, &messages, &bad);
			rounds++;
		}
		is_int(bad, 0,
		       "%s: %" PRIu64 " kills, %" PRIu64
		       " messages accounted for, in %" PRIu64 " rings",
		       mode ? "MPMC" : "SPSC", kills, messages, rounds);
	}
	return tap_done();
}
