/* SPDX-License-Identifier: MIT
 *
 * shmring_poll.h - a descriptor to poll for a ring; waiting on several rings
 *
 * Beside shmring.h, for who needs it. A loop with other descriptors:
 *
 *	struct shmring_poll poll;
 *	shmring_poll_open(&poll, &ring, SHMRING_CONSUMER);
 *	... add shmring_poll_fd(&poll) to poll, epoll, libuv, ...; when readable:
 *	while ((n = shmring_pop(&ring, buffer, sizeof(buffer))) >= 0)
 *		...;
 *	shmring_poll_arm(&poll);
 *
 * The contract: take all (or push until -EAGAIN), arm, sleep. The descriptor
 * stays readable until it is armed, and is so at once if there was something
 * to do when it was: who forgets to arm, or arms too early, does not sleep.
 *
 * One descriptor for many rings; each may come and go while the loop runs:
 *
 *	shmring_poll_open(&poll, NULL, 0);
 *	shmring_poll_add(&poll, &client->polled, &client->ring, SHMRING_CONSUMER);
 *	... when readable:
 *	if (shmring_poll_arm(&poll))
 *		... of each client whose polled.ready is 1, take all;
 *
 * While nobody polls, nobody pays. Who polls has a bit in the waiters word like
 * who sleeps; who finds it there makes an event on the ring's own file, which
 * the poller watches with inotify. So it works for named rings and memfds,
 * across pid, network and user namespaces, wherever the ring itself does, and
 * leaves nothing behind. The kernel makes such an event, too, when it closes
 * the file of one who was killed. A timer beside it does what the slices do
 * that others sleep for: 100 ms at most, and what a killed or stopped waker has
 * left undone, or a death, is noticed. At each of its ends all rings are looked
 * at, but only one of them for the dead, which takes system calls: so many
 * idle rings cost little more than one.
 */
#ifndef SHMRING_POLL_H
#define SHMRING_POLL_H

#include "shmring.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push /* C has no other casts */
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

/* ------------------------------------------------------------------------
 * INTERFACE
 * ------------------------------------------------------------------------ */

struct shmring_polled { /* one of the rings of a descriptor */
	struct shmring *ring; /* NULL: none */
	uint32_t
		ready; /* when last armed: 1: something is to be done; else 0 */
	/* private */
	int watch; /* of the inotify */
	uint64_t place; /* where it was waited for */
	int64_t until; /* what was announced stands; 0: does not */
	int64_t suspects; /* until then: somebody may have died */
	struct shmring__waiter waiter;
	struct shmring_polled *next;
};

struct shmring_poll { /* private */
	struct shmring_polled own, *first;
	int64_t count; /* of them */
	int epoll, inotify,
		timer; /* the first is shown, and holds the others */
	int armed; /* else it is readable */
	int64_t due; /* the timer */
};

struct shmring_item { /* as struct pollfd */
	struct shmring *ring;
	uint32_t role; /* SHMRING_CONSUMER: for messages; PRODUCER: for room */
	uint32_t ready; /* 1: something is to be done; else 0 */
};

/* A descriptor for a role of a handle; ring may be NULL: for those only that are
 * added. The handle and all of poll must stay where they are and be closed
 * later; the same thread uses them. Readable means: a pop (push of slot_size)
 * may have something else to say than -EAGAIN; at first it is.
 * -EDOM: not one role; -EPERM: not the handle's; -EMFILE: no descriptors (3), or
 * fs.inotify.max_user_instances; -ENOSPC: fs.inotify.max_user_watches; -ENXIO:
 * no /proc; -ENOSYS: inotify is refused; -EBADF, -ESTALE, -EBADMSG, -ENFILE,
 * -ENOMEM. */
SHMRING_SCOPE int shmring_poll_open(struct shmring_poll *poll,
				    struct shmring *ring, unsigned role);
/* One ring more for the descriptor, which is readable then: no descriptors, but
 * a watch. Errors as above; any number, but each costs some 10 ns at each call
 * of shmring_poll_arm. A death is noticed within 100 ms, or, where the kernel's
 * event about it was lost, as many times 100 ms as there are rings. */
SHMRING_SCOPE int shmring_poll_add(struct shmring_poll *poll,
				   struct shmring_polled *polled,
				   struct shmring *ring, unsigned role);
/* One less; before or after the ring, or poll, is closed. Always 0; twice does
 * no harm. */
SHMRING_SCOPE int shmring_poll_remove(struct shmring_poll *poll,
				      struct shmring_polled *polled);
/* The descriptor: for waiting until it is readable, nothing else. -EBADF. */
SHMRING_SCOPE int shmring_poll_fd(const struct shmring_poll *poll);
/* Before each sleep. 0: it becomes readable when there is something; else it is
 * readable: in so many rings there is something already, which are marked as
 * ready. Spins before, as waiting calls do, if it has been readable since it was
 * armed: see shmring_set_spin. -EBADF: closed; -EBADF, -ESTALE, -EBADMSG: one
 * of the rings, marked as ready, cannot be waited for. Lock-free. */
SHMRING_SCOPE int shmring_poll_arm(struct shmring_poll *poll);
/* Before or after the ring is closed. Always 0; twice does no harm. */
SHMRING_SCOPE int shmring_poll_close(struct shmring_poll *poll);

/* Wait until something is to be done in one of the rings: how many, marked as
 * ready, all of them. -ETIMEDOUT; -EAGAIN: timeout_ns is 0 (-1: for ever);
 * -ECANCELED, -EINTR: as for one ring, in any; -ERANGE: none, or more than
 * SHMRING_ITEMS; -EDOM, -EPERM, -EBADF, -ESTALE, -EBADMSG. */
#define SHMRING_ITEMS 128
SHMRING_SCOPE int shmring_wait_several(struct shmring_item *items, size_t count,
				       int64_t timeout_ns);

/* ------------------------------------------------------------------------
 * READINESS
 * ------------------------------------------------------------------------ */

/* Whether the reader's next call has something to say. At the end of an MPMC
 * stream only when nothing is in hands any more, of which it is told. */
SHMRING__COLD int
shmring__readable(const struct shmring *r)
{
	uint64_t attn = SHMRING__LOAD(&r->notice->attn, ACQUIRE); /* A8 */
	/* own in SPSC, in MPMC a hint */
	uint64_t head = SHMRING__LOAD(r->head, RELAXED);
	if (r->mode != SHMRING_MPMC)
		return (attn & SHMRING__NO_PRODUCER) ||
		       SHMRING__LOAD(shmring__header_at(r, head), ACQUIRE) !=
			       0 || /* A1 */
		       (r->mode == SHMRING_BROADCAST &&
			shmring__overwritten(r, head)); /* so we are told */
	/* A phase beyond ours is there to be passed, but not where nobody has
	 * written yet (void in advance). A4, A9 */
	uint64_t phase = shmring__phase_in(
		r, SHMRING__LOAD(shmring__phase_word(r, head), ACQUIRE));
	int written =
		shmring__distance(SHMRING__LOAD(r->tail, ACQUIRE), head) > 0;
	if ((attn & SHMRING__ORPHAN) ||
	    (written && phase >= shmring__phase(r, head, 1)))
		return 1;
	return (attn & SHMRING__NO_PRODUCER) && !written &&
	       !shmring__in_hands(r);
}

/* Whether the writer's has: there is room for a message of slot_size. */
SHMRING__COLD int
shmring__writable(const struct shmring *r)
{
	uint64_t attn = SHMRING__LOAD(&r->notice->attn, ACQUIRE); /* A8 */
	/* own in SPSC, in MPMC a hint */
	uint64_t tail = SHMRING__LOAD(r->tail, RELAXED);
	if ((attn & SHMRING__NO_CONSUMER) && r->mode != SHMRING_BROADCAST)
		return 1;
	if (r->mode != SHMRING_MPMC) {
		uint64_t need = r->geometry.stride + 8;
		uint64_t taken = tail;
		if (shmring__is_spsc(r))
			taken = SHMRING__LOAD(r->head, ACQUIRE); /* A2 */
		else if (r->broadcast.asks)
			taken = shmring__slowest(r, tail, 0);
		return r->geometry.capacity - (tail - taken) >= need;
	}
	return shmring__phase_in(r, SHMRING__LOAD(shmring__phase_word(r, tail),
						  ACQUIRE)) >= /* A4 */
	       shmring__phase(r, tail, 0);
}

SHMRING__COLD int
shmring__ready(const struct shmring *r, int side)
{
	return side == SHMRING__READ ? shmring__readable(r)
				     : shmring__writable(r);
}

/* 0, or why the handle cannot wait for this side. */
SHMRING__COLD int
shmring__cannot_wait(const struct shmring *r, int side)
{
	return !r->canary || !r->canary->alive || r->poisoned || !r->line[side]
		       ? shmring__refusal(r, side)
		       : 0;
}

SHMRING__COLD int
shmring__one_side(unsigned role)
{
	return role == SHMRING_CONSUMER	  ? SHMRING__READ
	       : role == SHMRING_PRODUCER ? SHMRING__WRITE
					  : -EDOM;
}

/* ------------------------------------------------------------------------
 * A DESCRIPTOR
 *
 * What was announced for a ring stands as long as nobody has answered it, and
 * nothing that is to be looked after is due: then there is nothing to do for it
 * but to look whether it stands. So a message whose waker was stopped on the
 * way to the bell, before he took our call, waits until the next one takes it,
 * or until our look for the dead. If he had taken it, the timer ends.
 * ------------------------------------------------------------------------ */

/* The timer ends at this time, at the latest. */
SHMRING__COLD void
shmring__poll_until(struct shmring_poll *p, int64_t until, int64_t now)
{
	struct itimerspec time;
	if (p->due > now && p->due <= until)
		return;
	memset(&time, 0, sizeof(time));
	time.it_value = shmring__timespec(until);
	shmring__os(SYS_timerfd_settime, p->timer, TFD_TIMER_ABSTIME,
		    (long)&time, 0, 0, 0);
	p->due = until;
}

#define SHMRING__AT_ONCE 1 /* ns after boot: over, but a time */

/* It is readable. */
SHMRING__COLD void
shmring__poll_at_once(struct shmring_poll *p, int64_t now)
{
	shmring__poll_until(p, SHMRING__AT_ONCE, now);
	p->armed = 0;
}

/* The next one's position, for who waits for it. */
SHMRING__COLD uint64_t
shmring__poll_place(const struct shmring_polled *e)
{
	const struct shmring *r = e->ring;
	/* hint */
	return SHMRING__LOAD(
		e->waiter.side == SHMRING__READ ? r->head : r->tail, RELAXED);
}

/* Whether what was announced stands: nobody has told of anything since we
 * looked in vain, nor have we gone elsewhere (shmring_seek). */
SHMRING__COLD int
shmring__poll_stands(const struct shmring_polled *e)
{
	const struct shmring__waiter *w = &e->waiter;
	/* hint: who takes our call now has yet to ring the bell */
	return e->until && e->ring->canary &&
	       SHMRING__LOAD(w->word, RELAXED) == w->expected &&
	       shmring__poll_place(e) == e->place;
}

/* Whether it is ready; or why it cannot be waited for. */
SHMRING__COLD int
shmring__poll_look(struct shmring_polled *e)
{
	struct shmring__waiter *w = &e->waiter;
	int error = shmring__cannot_wait(e->ring, w->side);
	e->ready = error || shmring__ready(e->ring, w->side);
	if (e->ready)
		e->until = 0; /* it waits no more */
	if (e->ready && !error) /* own */
		SHMRING__STORE(&e->ring->line[w->side]->waits, 0, RELAXED);
	return error ? error : (int)e->ready;
}

/* Of two results: how many are ready, or an error. */
static inline int
shmring__poll_sum(int a, int b)
{
	return a < 0 ? a : b < 0 ? b : a + b;
}

/* How many are ready; or why one of them cannot be waited for, which after a
 * fork goes for all: the first one tells. */
SHMRING__COLD int
shmring__poll_mark(struct shmring_poll *p)
{
	int ready = 0;
	for (struct shmring_polled *e = p->first; e; e = e->next) {
		if (e == p->first || !shmring__poll_stands(e))
			ready = shmring__poll_sum(ready, shmring__poll_look(e));
	}
	return ready;
}

/* One whose call a waker has taken since we were armed: then the descriptor
 * is readable, or becomes so. (Where the call still stands, another's wait was
 * interrupted, or another polls, too.) */
SHMRING__COLD struct shmring_polled *
shmring__poll_told(const struct shmring_poll *p)
{
	for (struct shmring_polled *e = p->first; e; e = e->next) {
		const struct shmring__waiter *w = &e->waiter;
		if (!w->announced || !e->ring->canary)
			continue;
		/* hint: if the waker died, the timer ends */
		uint32_t word = SHMRING__LOAD(w->word, RELAXED);
		if (!(word & SHMRING__POLLS) &&
		    ((word ^ w->expected) & SHMRING__GENERATIONS))
			return e;
	}
	return NULL;
}

/* Who was woken, or has found something without sleeping, spins, as who waits
 * in a call; but not for ever, for the loop has others to look after. How many
 * are ready then, or an error; 0 also if it did not spin. */
SHMRING__COLD int
shmring__poll_spin(struct shmring_poll *p)
{
	struct shmring_polled *e = shmring__poll_told(p);
	int ready = 0;
	if (!e && !p->armed)
		e = p->first;
	if (!e || shmring__cannot_wait(e->ring, e->waiter.side))
		return 0;
	struct shmring__waiter w = shmring__wait_for(
		e->ring, e->waiter.side, SHMRING__POLLS, SHMRING_SPIN_NS);
	while (!ready && shmring__spin(&w))
		ready = shmring__poll_mark(p);
	e->ring->wait.missed = ready ? 0 : e->ring->wait.missed + 1;
	return ready;
}

/* Take the events, and note of which rings somebody has closed the file, maybe
 * in dying. That is not over yet: the kernel drops his locks later. */
SHMRING__COLD void
shmring__poll_events(struct shmring_poll *p, int64_t now)
{
	uint32_t events[1024]; /* watch, mask, cookie, length of no name */
	long got = shmring__os(SYS_read, p->inotify, (long)events,
			       sizeof(events), 0, 0, 0);
	for (long i = 0; i + 16 <= got; i += 16) {
		const uint32_t *event = &events[i / 4];
		if (!(event[1] & (IN_CLOSE_WRITE | IN_Q_OVERFLOW)))
			continue;
		for (struct shmring_polled *e = p->first; e; e = e->next)
			if (e->watch == (int)event[0] ||
			    (event[1] & IN_Q_OVERFLOW)) {
				e->suspects = shmring__after(
					now, 10 * (int64_t)SHMRING_SLICE_NS);
				e->until = 0;
			}
	}
}

/* Announced, look after the dead and the stopped; until when that is enough. */
SHMRING__COLD void
shmring__poll_announce(struct shmring_poll *p, struct shmring_polled *e,
		       int64_t now)
{
	struct shmring__waiter *w = &e->waiter;
	struct shmring *r = e->ring;
	int64_t turns = now < e->suspects ? 1 : p->count;
	if (shmring__cannot_wait(r, w->side))
		return;
	w->sleeps = 0;
	shmring__announce_waiter(w, now);
	/* No interrupt ends what is not a call of ours. hint */
	SHMRING__STORE(&r->wait.sleeps_on, NULL, RELAXED);
	shmring__look_around(r, w->side, 1);
	shmring__pass_void(r, w->side);
	shmring__note_cpu(r, w->side);
	shmring__count(&r->line[w->side]->sleeps, 1);
	e->place = shmring__poll_place(e);
	e->until = shmring__sleep_until(
		w, now,
		shmring__after(r->wait.looked,
			       turns * (int64_t)SHMRING_SLICE_NS));
}

/* Announce all for which that is not done or will be due before we come here
 * again, then look. How many are ready; or an error. */
SHMRING__COLD int
shmring__poll_announce_all(struct shmring_poll *p, int64_t now)
{
	int64_t next = shmring__after(now, SHMRING_SLICE_NS), until = next;
	int ready = 0;
	for (struct shmring_polled *e = p->first; e; e = e->next) {
		if (shmring__poll_stands(e) && e->until > next)
			continue;
		shmring__poll_announce(p, e, now);
		until = shmring__earlier(until, e->until);
		ready = shmring__poll_sum(ready, shmring__poll_look(e));
	}
	p->armed = 1;
	if (ready)
		shmring__poll_at_once(p, now);
	else
		shmring__poll_until(p, until, now);
	return ready;
}

SHMRING_SCOPE int
shmring_poll_arm(struct shmring_poll *poll)
{
	if (poll->epoll <= 0)
		return -EBADF;
	/* in a stream there would be little yet: first let some come */
	int ready = poll->armed ? shmring__poll_mark(poll) : 0;
	if (!ready)
		ready = shmring__poll_spin(poll);
	int64_t now = SHMRING_NOW();
	if (!ready) {
		shmring__poll_events(poll, now);
		return shmring__poll_announce_all(poll, now);
	}
	if (poll->armed && !shmring__poll_told(poll))
		shmring__poll_at_once(poll, now);
	poll->armed = 0;
	return ready;
}

/* One descriptor more, for the epoll. */
SHMRING__COLD int
shmring__poll_hold(struct shmring_poll *p, int *to, long fd)
{
	struct epoll_event event;
	memset(&event, 0, sizeof(event));
	event.events = EPOLLIN;
	*to = shmring__above_stdio(fd);
	return *to < 0 ? *to
		       : (int)shmring__os(SYS_epoll_ctl, p->epoll,
					  EPOLL_CTL_ADD, *to, (long)&event, 0,
					  0);
}

SHMRING__COLD int
shmring__poll_descriptors(struct shmring_poll *p)
{
	p->inotify = p->timer = -1;
	p->epoll = shmring__above_stdio(
		shmring__os(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0));
	if (p->epoll < 0)
		return p->epoll;
	int error = shmring__poll_hold(p, &p->inotify,
				       shmring__os(SYS_inotify_init1,
						   IN_CLOEXEC | IN_NONBLOCK, 0,
						   0, 0, 0, 0));
	if (!error)
		error = shmring__poll_hold(
			p, &p->timer,
			shmring__os(SYS_timerfd_create, CLOCK_MONOTONIC,
				    TFD_CLOEXEC | TFD_NONBLOCK, 0, 0, 0, 0));
	if (!error)
		shmring__poll_at_once(p, SHMRING_NOW());
	return error ? shmring__refused(error) : 0;
}

SHMRING_SCOPE int
shmring_poll_add(struct shmring_poll *poll, struct shmring_polled *polled,
		 struct shmring *ring, unsigned role)
{
	char self[SHMRING__SELF];
	int side = shmring__one_side(role);
	memset(polled, 0, sizeof(*polled));
	int error = side < 0	       ? side
		    : poll->epoll <= 0 ? -EBADF
				       : shmring__cannot_wait(ring, side);
	if (error)
		return error;
	shmring__self(self, ring->map.fd);
	/* one ring may be there twice, for both roles */
	long events = side == SHMRING__READ ? IN_ACCESS : IN_ATTRIB;
	long watch =
		shmring__os(SYS_inotify_add_watch, poll->inotify, (long)self,
			    events | IN_CLOSE_WRITE | IN_MASK_ADD, 0, 0, 0);
	if (watch < 0)
		return watch == -ENOENT ? -ENXIO : shmring__refused(watch);
	polled->watch = (int)watch;
	polled->ring = ring;
	polled->waiter = shmring__wait_for(ring, side, SHMRING__POLLS, -1);
	polled->next = poll->first;
	poll->first = polled;
	poll->count++;
	shmring__poll_at_once(poll, SHMRING_NOW());
	return 0;
}

/* Our call stays in the word, and costs the next waker a system call. */
SHMRING_SCOPE int
shmring_poll_remove(struct shmring_poll *poll, struct shmring_polled *polled)
{
	struct shmring_polled **place = &poll->first;
	int shared = 0;
	while (*place && *place != polled)
		place = &(*place)->next;
	if (*place) {
		*place = polled->next;
		poll->count--;
		for (struct shmring_polled *e = poll->first; e; e = e->next)
			shared |= e->watch == polled->watch;
		if (!shared)
			shmring__os(SYS_inotify_rm_watch, poll->inotify,
				    polled->watch, 0, 0, 0, 0);
	}
	memset(polled, 0, sizeof(*polled));
	return 0;
}

SHMRING_SCOPE int
shmring_poll_open(struct shmring_poll *poll, struct shmring *ring,
		  unsigned role)
{
	int side = shmring__one_side(role);
	memset(poll, 0, sizeof(*poll));
	int error = !ring      ? 0
		    : side < 0 ? side
			       : shmring__cannot_wait(ring, side);
	if (error)
		return error;
	error = shmring__poll_descriptors(poll);
	if (!error && ring)
		error = shmring_poll_add(poll, &poll->own, ring, role);
	if (error)
		shmring_poll_close(poll);
	return error;
}

SHMRING_SCOPE int
shmring_poll_fd(const struct shmring_poll *poll)
{
	return poll->epoll > 0 ? poll->epoll : -EBADF;
}

SHMRING_SCOPE int
shmring_poll_close(struct shmring_poll *poll)
{
	const int all[] = { poll->epoll, poll->inotify, poll->timer };
	for (int i = 0; i < 3; i++)
		if (all[i] > 0)
			shmring__os(SYS_close, all[i], 0, 0, 0, 0, 0);
	memset(poll, 0, sizeof(*poll));
	return 0;
}

/* ------------------------------------------------------------------------
 * SEVERAL RINGS
 *
 * As in one ring: announce oneself in each word, look again, sleep on all of
 * them, by futex_waitv (Linux 5.16). Where that is refused (old kernels, some
 * containers), on the first one, for a millisecond.
 * ------------------------------------------------------------------------ */

struct shmring__futex { /* as futex_waitv wants it */
	uint64_t value, word;
	uint32_t flags, reserved;
};

#define SHMRING__BRIEF_NS 1000000

/* -EINTR: a signal was handled. */
SHMRING__COLD long
shmring__futex_wait_several(const struct shmring__waiter *w, size_t count,
			    int64_t until, int64_t now)
{
	struct shmring__futex all[SHMRING_ITEMS];
	struct timespec time = shmring__timespec(until);
	for (size_t i = 0; i < count; i++) {
		all[i].value = w[i].expected;
		all[i].word = (uint64_t)(uintptr_t)w[i].word;
		all[i].flags = SHMRING__FUTEX2_SIZE_U32; /* shared */
		all[i].reserved = 0;
	}
	long result = shmring__os(SHMRING__FUTEX_WAITV, (long)all, (long)count,
				  0, (long)&time, CLOCK_MONOTONIC, 0);
	if (result != -ENOSYS && result != -EPERM)
		return result;
	return SHMRING_FUTEX_WAIT(
		w->word, w->expected,
		shmring__earlier(until, now + SHMRING__BRIEF_NS));
}

/* How many are ready. Who is not looks after what may hold it up. */
SHMRING__COLD int
shmring__mark_ready(struct shmring_item *items, size_t count, int looks_around)
{
	int ready = 0;
	for (size_t i = 0; i < count; i++) {
		struct shmring *r = items[i].ring;
		int side = shmring__one_side(items[i].role);
		if (looks_around && !shmring__ready(r, side)) {
			shmring__unavailable(r, side);
			shmring__pass_void(r, side);
		}
		items[i].ready = (uint32_t)shmring__ready(r, side);
		ready += (int)items[i].ready;
	}
	return ready;
}

/* All have been announced, and nothing is ready: 0 after a sleep, or why the
 * wait is over. */
SHMRING__COLD int
shmring__sleep_on_all(struct shmring__waiter *w, size_t count, int64_t deadline)
{
	int64_t now = SHMRING_NOW(), until = deadline;
	int eintr = 0;
	if (now >= deadline)
		return -ETIMEDOUT;
	for (size_t i = 0; i < count; i++) {
		if (shmring__interrupted(w[i].ring))
			return -ECANCELED;
		until = shmring__earlier(until,
					 shmring__sleep_length(&w[i], now));
		eintr |= w[i].ring->wait.eintr != 0;
		shmring__note_cpu(w[i].ring, w[i].side);
	}
	long result = shmring__futex_wait_several(w, count, until, now);
	for (size_t i = 0; i < count; i++) {
		w[i].sleeps++;
		shmring__count(&w[i].ring->line[w[i].side]->sleeps, 1);
	}
	return eintr && result == -EINTR ? -EINTR : 0;
}

SHMRING__COLD int
shmring__wait_on_all(struct shmring__waiter *w, struct shmring_item *items,
		     size_t count, int64_t timeout)
{
	int64_t deadline = timeout > 0 ? shmring__after(SHMRING_NOW(), timeout)
				       : INT64_MAX;
	int ready = 0, over = 0;
	for (size_t i = 0; i < count; i++)
		w[i].deadline = deadline; /* else it is past: no sleep */
	while (!ready && w->spins && (w->spins = shmring__spin(w)) != 0)
		ready = shmring__mark_ready(items, count, 0);
	w->ring->wait.missed = ready ? 0 : w->ring->wait.missed + 1;
	while (!ready && !over) {
		int64_t now = SHMRING_NOW();
		for (size_t i = 0; i < count; i++)
			shmring__announce_waiter(&w[i], now);
		ready = shmring__mark_ready(items, count, 1);
		if (!ready)
			over = shmring__sleep_on_all(w, count, deadline);
		if (!ready && (!over || over == -ETIMEDOUT))
			ready = shmring__mark_ready(items, count, 0);
	}
	for (size_t i = 0; i < count; i++)
		shmring__wait_over(&w[i]);
	return ready ? ready : over;
}

SHMRING_SCOPE int
shmring_wait_several(struct shmring_item *items, size_t count,
		     int64_t timeout_ns)
{
	struct shmring__waiter w[SHMRING_ITEMS];
	if (!count || count > SHMRING_ITEMS)
		return -ERANGE;
	for (size_t i = 0; i < count; i++) {
		int side = shmring__one_side(items[i].role);
		int error = side < 0
				    ? side
				    : shmring__cannot_wait(items[i].ring, side);
		if (error)
			return error;
		w[i] = shmring__wait_for(items[i].ring, side, SHMRING__WAITS,
					 timeout_ns);
	}
	int ready = shmring__mark_ready(items, count, 1);
	if (ready || timeout_ns == 0)
		return ready ? ready : -EAGAIN;
	return shmring__wait_on_all(w, items, count, timeout_ns);
}

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif /* SHMRING_POLL_H */
