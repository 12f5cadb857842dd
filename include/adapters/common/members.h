/* SPDX-License-Identifier: MIT */
/*
 * members.h - who takes part in a segment (segment.h), and whether the others
 * still live: for mechanisms whose kernel object does not tell.
 *
 * Every process that takes part signs the list, and whoever has nothing to do
 * looks now and then.
 */
#ifndef ADAPTER_MEMBERS_H
#define ADAPTER_MEMBERS_H

#include "segment.h"
#include "waiting.h"

/**
 * Sign one of the lines [first, end), freeing those of the dead. -EBUSY: all
 * are taken by living processes.
 */
static inline int
adapter_members_join(struct adapter *a, struct adapter_segment *s, int first,
		     int end)
{
	struct adapter_process self = adapter_self();

	for (s->member = first; s->member < end; s->member++) {
		struct adapter_member *m = &s->shared->members[s->member];
		int32_t pid =
			__atomic_load_n(&m->process.pid, __ATOMIC_ACQUIRE);

		if (pid && !adapter_alive(a, m->process)) {
			m->process.start = 0; /* unknown, until it is mine */
			__atomic_compare_exchange_n(&m->process.pid, &pid, 0,
						    false, __ATOMIC_ACQ_REL,
						    __ATOMIC_RELAXED);
			pid = 0;
		}
		if (pid || !__atomic_compare_exchange_n(
				   &m->process.pid, &pid, self.pid, false,
				   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		m->process.start = self.start;
		__atomic_store_n(&m->roles, a->roles, __ATOMIC_RELEASE);
		__atomic_fetch_or(&s->shared->came, a->roles, __ATOMIC_RELEASE);
		return 0;
	}
	s->member = -1;
	return -EBUSY;
}

/** True when all that ever had one of these roles have closed or died. */
static inline bool
adapter_members_gone(struct adapter *a, struct adapter_segment *s,
		     unsigned roles)
{
	int i;

	if (!(__atomic_load_n(&s->shared->came, __ATOMIC_ACQUIRE) & roles))
		return false;
	for (i = 0; i < ADAPTER_MEMBERS; i++) {
		struct adapter_member *m = &s->shared->members[i];

		if (__atomic_load_n(&m->process.pid, __ATOMIC_ACQUIRE) &&
		    (__atomic_load_n(&m->roles, __ATOMIC_ACQUIRE) & roles) &&
		    adapter_alive(a, m->process))
			return false;
	}
	return true;
}

/**
 * Who has signed line `which`: *who, and a pidfd of it in *fd, kept until it is
 * somebody else. -EAGAIN: nobody at the moment.
 */
static inline int
adapter_members_pidfd(struct adapter *a, struct adapter_segment *s, int which,
		      struct adapter_process *who, int *fd)
{
	struct adapter_member *m = &s->shared->members[which];
	int32_t pid = __atomic_load_n(&m->process.pid, __ATOMIC_ACQUIRE);

	if (pid && pid == who->pid && *fd >= 0)
		return 0;
	adapter_close_fd(a, fd);
	if (!pid || !__atomic_load_n(&m->roles, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	*who = m->process;
	*fd = adapter_fd((int)ADAPTER_SYS(a, syscall(SYS_pidfd_open, pid, 0)));
	if (*fd < 0 && errno != ESRCH)
		return adapter_error(a);
	if (*fd >= 0 && adapter_alive(a, *who))
		return 0;
	adapter_close_fd(a, fd);
	return -EAGAIN;
}

/* A wait for something that the peers do, from one look to the next. */
struct adapter_wait {
	int64_t deadline, step; /* of adapter_backoff */
	int64_t slice; /* how long to sleep now; 0: look at once */
	bool gone; /* the peers are */
};

static inline struct adapter_wait
adapter_wait_for(int64_t timeout_ns)
{
	return (struct adapter_wait){ .deadline =
					      adapter_deadline(timeout_ns) };
}

/**
 * After a look in vain: 0 with a slice to sleep; -EAGAIN or -ETIMEDOUT at the
 * deadline; -EPIPE when all with these roles are gone, but not before a last
 * look at what they did. Looks for them only once a slice: it is cheap to ask.
 */
static inline int
adapter_members_slice(struct adapter *a, struct adapter_segment *s,
		      unsigned roles, struct adapter_wait *w)
{
	int64_t now = adapter_now();

	if (w->gone)
		return -EPIPE;
	if (now - s->looked >= ADAPTER_SLICE) {
		s->looked = now;
		w->gone = adapter_members_gone(a, s, roles);
	}
	w->slice = w->gone ? 0 : adapter_slice(w->deadline);
	return w->gone || w->slice ? 0 : adapter_expired(w->deadline);
}

/** The same, and sleeps a little itself. */
static inline int
adapter_members_wait(struct adapter *a, struct adapter_segment *s,
		     unsigned roles, struct adapter_wait *w)
{
	int error = adapter_members_slice(a, s, roles, w);

	return error || w->gone ? error
				: adapter_backoff(a, &w->step, w->deadline);
}

#endif
