/* SPDX-License-Identifier: MIT
 *
 * Description: shmring_interrupt ends the wait under way, or the next one,
 * whatever it waits for and whoever interrupts, wherever that comes; nothing is
 * lost. A handle that asks for it hears of signals.
 */
#define SHMRING_SLICE_NS INT64_C(3600000000000) /* what is missed hangs */
static void before_sleep(void);
#define SHMRING_FUTEX_WAIT(word, value, until) \
	(before_sleep(), shmring__futex_wait(word, value, until))
#include "ring.h"

#include <pthread.h>
#include <time.h>

static _Thread_local struct shmring *to_interrupt; /* before a sleep */
static const int64_t policies[] = { -1, 0, 1000, SHMRING_SPIN_NS };

/* The last moment: all has been looked at, the sleep not yet begun. */
static void
before_sleep(void)
{
	struct shmring *ring = to_interrupt;

	to_interrupt = NULL;
	if (ring)
		shmring_interrupt(ring);
}

/* ---- The calls, each where it has to wait -------------------------------- */

static int64_t
wait_push(struct shmring *ring)
{
	return shmring_push_wait(ring, "", 1, -1);
}

static int64_t
wait_push_n(struct shmring *ring)
{
	struct iovec one = { &one, 8 };

	return shmring_push_n_wait(ring, &one, 1, -1);
}

static int64_t
wait_reserve(struct shmring *ring)
{
	return shmring_reserve_wait(ring, 8, -1) ? 0 : shmring_error(ring);
}

static int64_t
wait_flush(struct shmring *ring)
{
	return shmring_flush(ring, -1);
}

static int64_t
wait_pop(struct shmring *ring)
{
	uint64_t number;

	return shmring_pop_wait(ring, &number, sizeof(number), -1);
}

static int64_t
wait_pop_n(struct shmring *ring)
{
	uint64_t number;
	struct iovec one = { &number, sizeof(number) };

	return shmring_pop_n_wait(ring, &one, 1, -1);
}

static int64_t
wait_peek(struct shmring *ring)
{
	size_t size;

	return shmring_peek_wait(ring, &size, -1) ? 0 : shmring_error(ring);
}

static int64_t
wait_peer(struct shmring *ring)
{
	/* the other one waits, too, or is not there */
	return shmring_wait_peer(ring, ring->self.roles, -1);
}

static const struct call {
	const char *name;
	unsigned role;
	int64_t (*wait)(struct shmring *);
} calls[] = {
	{ "push_wait", SHMRING_PRODUCER, wait_push },
	{ "push_n_wait", SHMRING_PRODUCER, wait_push_n },
	{ "reserve_wait", SHMRING_PRODUCER, wait_reserve },
	{ "flush", SHMRING_PRODUCER, wait_flush },
	{ "pop_wait", SHMRING_CONSUMER, wait_pop },
	{ "pop_n_wait", SHMRING_CONSUMER, wait_pop_n },
	{ "peek_wait", SHMRING_CONSUMER, wait_peek },
	{ "wait_peer", SHMRING_CONSUMER, wait_peer },
};
#define CALLS (sizeof(calls) / sizeof(*calls))

struct waiting {
	struct shmring *ring;
	const struct call *call;
	int64_t result;
	int done;
	pthread_t thread;
};

static void *
wait_in_thread(void *argument)
{
	struct waiting *w = argument;

	w->result = w->call->wait(w->ring);
	__atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void
waiting_start(struct waiting *w)
{
	w->done = 0;
	if (pthread_create(&w->thread, NULL, wait_in_thread, w))
		bail("no thread");
}

/* ---- Where an interrupt comes -------------------------------------------- */

/* Before the wait, in its last moment, while it spins or sleeps. */
static void
interrupt_each(uint32_t mode, const struct call *call)
{
	struct shmring writer, reader;
	struct waiting w = { .call = call };
	int wrong = 0;

	make_halves(mode, &writer, &reader);
	struct shmring *ring =
		call->role == SHMRING_PRODUCER ? &writer : &reader;
	w.ring = ring;
	while (call->role == SHMRING_PRODUCER && !push_number(&writer, 1))
		;
	shmring_interrupt(ring);
	shmring_interrupt(ring);
	is_int(call->wait(ring), -ECANCELED, "%s: ended before it began",
	       call->name);
	shmring_set_spin(ring, 0);
	to_interrupt = ring;
	is_int(call->wait(ring), -ECANCELED, "in the last moment");
	for (size_t i = 0; i < 4; i++)
		for (useconds_t pause = 0; pause < 3000; pause += 500) {
			shmring_set_spin(ring, policies[i]);
			waiting_start(&w);
			usleep(pause);
			shmring_interrupt(ring);
			pthread_join(w.thread, NULL);
			wrong += w.result != -ECANCELED;
		}
	is_int(wrong, 0, "while it spins, while it sleeps");
	while (pop_number(&reader) == 1)
		;
	is_int(push_number(&writer, 7), 0, "nothing is lost");
	is_int(pop_number(&reader), 7, "by all of it");
	shmring_close(&reader);
	shmring_close(&writer);
}

/* What need not wait is not ended; the interrupt waits for the next. */
static void
keep_for_the_next(uint32_t mode)
{
	struct shmring writer, reader;

	make_halves(mode, &writer, &reader);
	push_number(&writer, 1);
	shmring_interrupt(&reader);
	is_int(wait_pop(&reader), 8, "what is there comes first");
	is_int(pop_number(&reader), -EAGAIN, "who does not wait is not ended");
	uint64_t number;
	is_int(shmring_pop_wait(&reader, &number, 8, 0), -EAGAIN,
	       "nor who has no time");
	is_int(wait_pop(&reader), -ECANCELED, "but who waits next");
	is_int(shmring_pop_wait(&reader, &number, 8, MILLISECOND), -ETIMEDOUT,
	       "and nobody else");
	shmring_close(&reader);
	is_int(shmring_interrupt(&reader), -EBADF, "closed");
	is_int(shmring_set_eintr(&reader, 1), -EBADF, "is closed");
	shmring_close(&writer);
}

/* Who sleeps beside goes on, and hears of what comes. */
static void
leave_others_alone(void)
{
	struct shmring writer, one, other;
	struct waiting first = { .ring = &one, .call = &calls[4] };
	struct waiting second = { .ring = &other, .call = &calls[4] };

	make_halves(SHMRING_MPMC, &writer, &one);
	ring_dup(&other, &writer, SHMRING_CONSUMER);
	waiting_start(&first);
	waiting_start(&second);
	usleep(2000);
	shmring_interrupt(&one);
	pthread_join(first.thread, NULL);
	is_int(first.result, -ECANCELED, "one of two is ended");
	is_int(__atomic_load_n(&second.done, __ATOMIC_ACQUIRE), 0,
	       "the other waits on");
	push_number(&writer, 1);
	pthread_join(second.thread, NULL);
	is_int(second.result, 8, "and gets what comes");
	shmring_close(&other);
	shmring_close(&one);
	shmring_close(&writer);
}

/* ---- Signals ------------------------------------------------------------- */

static struct shmring *in_handler;

static void
on_signal(int number)
{
	(void)number;
	if (in_handler)
		shmring_interrupt(in_handler);
}

/* A timer that interrupts this thread a thousand times a second. */
static timer_t
storm_begin(void)
{
	struct itimerspec often = { { 0, 1000000 }, { 0, 1000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGUSR1 };
	struct sigaction action = { .sa_handler = on_signal };
	timer_t timer;

	sigaction(SIGUSR1, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &often, NULL))
		bail("no timer");
	return timer;
}

static void
interrupt_in_handler(uint32_t mode)
{
	struct shmring writer, reader;
	timer_t timer;
	int wrong = 0;

	make_halves(mode, &writer, &reader);
	timer = storm_begin();
	in_handler = &reader;
	for (int i = 0; i < 40; i++) {
		shmring_set_spin(&reader, policies[i % 4]);
		wrong += wait_pop(&reader) != -ECANCELED;
	}
	is_int(wrong, 0, "a handler ends each wait");
	/* also while it is closed and opened again */
	for (int i = 0; i < 40; i++) {
		shmring_close(&reader);
		in_handler = NULL; /* blank: not to be interrupted */
		ring_dup(&reader, &writer, SHMRING_CONSUMER);
		in_handler = &reader;
		usleep(500);
	}
	ok(1, "and harms nobody who closes");
	in_handler = NULL;
	uint64_t number;
	shmring_pop_wait(&reader, &number, 8,
			 MILLISECOND); /* one may be left */
	shmring_set_spin(&reader, 0);
	shmring_set_eintr(&reader, 1);
	wrong = 0;
	for (int i = 0; i < 20; i++)
		wrong += wait_pop(&reader) != -EINTR;
	is_int(wrong, 0, "who asks for it hears of a signal");
	shmring_set_eintr(&reader, 0);
	is_int(shmring_pop_wait(&reader, &number, 8, 10 * MILLISECOND),
	       -ETIMEDOUT, "who does not, does not");
	timer_delete(timer);
	signal(SIGUSR1, SIG_DFL);
	shmring_close(&reader);
	shmring_close(&writer);
}

/* ---- Closing ------------------------------------------------------------- */

static int closed;

static void *
close_in_thread(void *argument)
{
	shmring_close(argument);
	__atomic_store_n(&closed, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Who has begun to interrupt still needs the mapping. */
static void
close_after_interrupts(void)
{
	struct shmring writer, reader;
	pthread_t thread;

	make_halves(SHMRING_SPSC, &writer, &reader);
	__atomic_fetch_add(&reader.wait.interrupts, SHMRING__INTERRUPTING,
			   __ATOMIC_SEQ_CST);
	if (pthread_create(&thread, NULL, close_in_thread, &reader))
		bail("no thread");
	usleep(20000);
	is_int(__atomic_load_n(&closed, __ATOMIC_ACQUIRE), 0,
	       "close waits for who interrupts");
	__atomic_fetch_sub(&reader.wait.interrupts, SHMRING__INTERRUPTING,
			   __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	ok(closed && !reader.canary, "and then closes");
	shmring_close(&writer);
}

int
main(void)
{
	tap_start();
	for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC; mode++) {
		printf("# %s\n", mode_name[mode]);
		for (size_t i = 0; i < CALLS; i++)
			interrupt_each(mode, &calls[i]);
		keep_for_the_next(mode);
		interrupt_in_handler(mode);
	}
	leave_others_alone();
	close_after_interrupts();
	return tap_done();
}
