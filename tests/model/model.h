/* SPDX-License-Identifier: MIT
 *
 * model.h - what the model checker GenMC puts in place of the machine
 *
 * Include it before shmring.h. What GenMC cannot execute (futex, membarrier,
 * clock, memcpy, the second mapping of the data) is here; the rest is the
 * real header. asymmetric.c and futex.c show that what stands here is neither
 * too strong nor too weak.
 */
#ifndef MODEL_H
#define MODEL_H

#include <errno.h>
#include <fcntl.h>
#include <genmc.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* GenMC's own headers for threads and assertions clash with those of libc
 * that shmring.h includes, so the harnesses use what stands behind them. */
#define MODEL_ASSERT(condition) \
	((condition) ? (void)0  \
		     : __VERIFIER_assert_fail(#condition, __FILE__, __LINE__))

#ifndef MODEL_THREADS
#define MODEL_THREADS 2 /* besides main, which prepares and judges */
#endif
#ifndef MODEL_HANDLES /* the first are the threads', the next their heirs' */
#define MODEL_HANDLES (MODEL_THREADS + 1)
#endif

static inline __VERIFIER_thread_t
model_start(void *(*body)(void *))
{
	return __VERIFIER_thread_create(NULL, body, NULL);
}

static inline void
model_join(__VERIFIER_thread_t thread)
{
	__VERIFIER_thread_join(thread);
}

/* ---- Death --------------------------------------------------------------
 *
 * A thread is a process here, and its number the pid. It may die where a hook
 * of the header shows that it is there. Whoever has proof of it sees all that
 * the dead had done, because the kernel has put it to rest in between.
 */
enum {
	MODEL_LIVES,
	MODEL_UNCLAIMED, /* before the message is copied */
	MODEL_CLAIMED, /* when it should be */
	MODEL_FINISHED, /* after it was, and its publication */
	MODEL_DECIDING, /* before HEAVY */
	MODEL_TELLING, /* before it changes attn, for the model_tells-th time */
};
static _Thread_local int model_dies; /* where */
static _Thread_local int model_tells;
static _Thread_local int model_copied; /* 0: nothing yet */
static uint32_t model_dead[MODEL_HANDLES + 1]; /* by pid */

static inline void
model_die(void)
{
	__atomic_store_n(&model_dead[__VERIFIER_thread_self()], 1,
			 __ATOMIC_RELEASE);
	__VERIFIER_thread_exit(NULL);
}

static inline void
model_step(int here)
{
	if (model_dies == here)
		model_die();
}

static inline void
model_step_on(void)
{
	model_step(model_copied ? MODEL_FINISHED : MODEL_UNCLAIMED);
}

static inline void
model_step_told(void)
{
	if (model_dies == MODEL_TELLING && --model_tells == 0)
		model_die();
}

/* ---- Asymmetric fences ------------------------------------------------
 *
 * membarrier makes every other thread execute a barrier at some point of its
 * program: whatever LIGHT of that thread comes after it sees all that came
 * before HEAVY, and what an earlier LIGHT followed is seen after HEAVY. Read-
 * modify-writes of one word per thread say exactly that, as they are totally
 * ordered and each synchronises with the next. A seq_cst fence for LIGHT
 * (MODEL_SCL) promises more than the machine does, but explores less. Under
 * TSO either is a full fence. MODEL_NO_LIGHT and MODEL_NO_HEAVY are for
 * controls, which must fail.
 */
static uint32_t model_barrier[MODEL_THREADS + 1];

static inline void
model_light(void)
{
	model_step_on();
#if defined(MODEL_NO_LIGHT)
#elif defined(MODEL_SCL)
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#else
	__atomic_fetch_add(&model_barrier[__VERIFIER_thread_self()], 1,
			   __ATOMIC_ACQ_REL);
#endif
}

static inline int
model_heavy(void)
{
	model_step(MODEL_DECIDING);
#if defined(MODEL_NO_HEAVY)
#elif defined(MODEL_SCL)
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (int i = 1; i <= MODEL_THREADS; i++)
		if (i != __VERIFIER_thread_self())
			__atomic_fetch_add(&model_barrier[i], 1,
					   __ATOMIC_ACQ_REL);
#endif
	return 0;
}

/* ---- Futex --------------------------------------------------------------
 *
 * The lock is the kernel's hash bucket: the value is compared under it, so
 * that a wake either precedes the comparison or finds the sleeper. Sleepers
 * leave in the order in which they came. A long sleep has no time-out: whoever
 * would need it to go on is reported by --check-liveness. A short one may have:
 * by then the stores of the others from before it have become visible, which
 * is HEAVY; but it may be woken earlier, too. Each word has a bucket of its
 * own, because a shared one would order what the kernel need not.
 */
#define MODEL_LONG 100000000 /* ns */

/* Each thread has a clock of its own, which only its short sleeps advance, and
 * only those that nobody ends: what may be relied upon after a time must not be
 * relied upon before it. Nobody loses patience. */
static _Thread_local int64_t model_now;

/* A short sleep is over. */
static inline int
model_time_out(int64_t until)
{
	model_now = until;
	model_heavy();
	return -ETIMEDOUT;
}

struct model_waitv { /* as futex_waitv has it */
	uint64_t value, word;
	uint32_t flags, reserved;
};

#ifdef MODEL_FUTEXES
static struct model_futex {
	const uint32_t *word;
	__VERIFIER_mutex_t bucket;
	uint32_t asleep, woken; /* tickets handed out, tickets called */
} model_futexes[MODEL_FUTEXES];

/* Before the threads start: the words that they will sleep on. */
static inline void
model_futex(unsigned number, const uint32_t *word)
{
	model_futexes[number].word = word;
	__VERIFIER_mutex_init(&model_futexes[number].bucket, NULL);
}

static inline struct model_futex *
model_find_futex(const uint32_t *word)
{
	for (unsigned i = 0; i < MODEL_FUTEXES; i++)
		if (model_futexes[i].word == word)
			return &model_futexes[i];
	MODEL_ASSERT(!"a futex word that the harness did not announce");
	return NULL;
}

/* 0: the word is another one already. Else *ticket is ours. */
static inline int
model_futex_queue(uint32_t *word, uint32_t expected, uint32_t *ticket)
{
	struct model_futex *futex = model_find_futex(word);

	__VERIFIER_mutex_lock(&futex->bucket);
	int queued = __atomic_load_n(word, __ATOMIC_RELAXED) == expected;
	if (queued)
		*ticket = futex->asleep++;
	__VERIFIER_mutex_unlock(&futex->bucket);
	return queued;
}

/* 1: we have been called. */
static inline int
model_futex_leave(uint32_t *word, uint32_t ticket)
{
	struct model_futex *futex = model_find_futex(word);

	__VERIFIER_mutex_lock(&futex->bucket);
	int called = __atomic_load_n(&futex->woken, __ATOMIC_RELAXED) > ticket;
	if (!called) { /* the only sleeper of a word, here */
		MODEL_ASSERT(futex->asleep == ticket + 1);
		futex->asleep = ticket;
	}
	__VERIFIER_mutex_unlock(&futex->bucket);
	return called;
}

static inline int
model_futex_wait(uint32_t *word, uint32_t expected, int64_t until)
{
	uint32_t ticket;

	if (!model_futex_queue(word, expected, &ticket))
		return -EAGAIN;
	if (until < MODEL_LONG)
		return model_futex_leave(word, ticket) ? 0
						       : model_time_out(until);
	struct model_futex *futex = model_find_futex(word);
	/* One look, and blocked until that can see the ticket called. */
	__VERIFIER_loop_begin();
	__VERIFIER_spin_start();
	__VERIFIER_spin_end(__atomic_load_n(&futex->woken, __ATOMIC_ACQUIRE) >
			    ticket);
	return 0;
}

/* futex_waitv: two words, and called by either. */
static inline int
model_futex_wait_both(const struct model_waitv *v, int64_t until)
{
	uint32_t *one = (uint32_t *)v[0].word, *two = (uint32_t *)v[1].word;
	uint32_t first, second;

	if (!model_futex_queue(one, (uint32_t)v[0].value, &first))
		return -EAGAIN;
	if (!model_futex_queue(two, (uint32_t)v[1].value, &second))
		return model_futex_leave(one, first) ? 0 : -EAGAIN;
	if (until >= MODEL_LONG) {
		struct model_futex *a = model_find_futex(one);
		struct model_futex *b = model_find_futex(two);

		__VERIFIER_loop_begin();
		__VERIFIER_spin_start();
		uint32_t called_first =
			__atomic_load_n(&a->woken, __ATOMIC_ACQUIRE);
		uint32_t called_second =
			__atomic_load_n(&b->woken, __ATOMIC_ACQUIRE);
		__VERIFIER_spin_end(called_first > first ||
				    called_second > second);
	}
	int called = model_futex_leave(one, first);
	called |= model_futex_leave(two, second);
	return called ? 0 : model_time_out(until);
}

static inline int
model_futex_wake(uint32_t *word, int count)
{
	struct model_futex *futex = model_find_futex(word);

	__VERIFIER_mutex_lock(&futex->bucket);
	uint32_t woken = __atomic_load_n(&futex->woken, __ATOMIC_RELAXED);
	uint32_t called = futex->asleep - woken;
	if (called > (uint32_t)count)
		called = (uint32_t)count;
	if (called > 0)
		__atomic_store_n(&futex->woken, woken + called,
				 __ATOMIC_RELEASE);
	__VERIFIER_mutex_unlock(&futex->bucket);
	return (int)called;
}

#else /* nobody sleeps in this harness */

static inline int
model_futex_wait(uint32_t *word, uint32_t expected, int64_t until)
{
	(void)word;
	(void)expected;
	(void)until;
	MODEL_ASSERT(!"a thread sleeps");
	return 0;
}

static inline int
model_futex_wait_both(const struct model_waitv *v, int64_t until)
{
	(void)v;
	return model_futex_wait(NULL, 0, until);
}

static inline int
model_futex_wake(uint32_t *word, int count)
{
	(void)word;
	(void)count;
	return 0;
}

#endif

/* ---- Locks and proofs of death ------------------------------------------
 *
 * The system calls that take_line and recover_line make: the byte of each
 * participant, which whoever dies lets go, and the question whether a process
 * still exists. The descriptor of a process is its pid.
 */
#define MODEL_LOCKS 4 /* of participants; as many again, of who opens */
static uint32_t model_locks[2 * MODEL_LOCKS]; /* who holds it, or 0 */

static inline int
model_lock(struct flock *lock, uint32_t fd, int take)
{
	int opens = (lock->l_start & 4096 /* SHMRING__OPENER */) != 0;
	uint32_t *holder = &model_locks[(lock->l_start & (MODEL_LOCKS - 1)) +
					opens * MODEL_LOCKS];
	uint32_t seen = __atomic_load_n(holder, __ATOMIC_ACQUIRE);
	int held = seen && seen != fd &&
		   !__atomic_load_n(&model_dead[seen], __ATOMIC_ACQUIRE);

	if (!take) {
		if (!held)
			lock->l_type = F_UNLCK;
		return 0;
	}
	if (lock->l_type == F_UNLCK) {
		__atomic_store_n(holder, 0, __ATOMIC_RELEASE);
		return 0;
	}
	if (held ||
	    !__atomic_compare_exchange_n(holder, &seen, fd, 0, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return -EAGAIN;
	return 0;
}

/* ---- What is polled -----------------------------------------------------
 *
 * The descriptor of shmring_poll.h: readable when somebody has rung since it was
 * read last, or the timer has ended. As with a futex, only a short time ends.
 */
static uint32_t model_rung, model_heard; /* how often */
static int64_t model_timer_ends;

static inline void
model_poll(void)
{
	if (model_timer_ends <= model_now ||
	    __atomic_load_n(&model_rung, __ATOMIC_ACQUIRE) != model_heard)
		return;
	if (model_timer_ends < MODEL_LONG) {
		model_time_out(model_timer_ends);
		return;
	}
	__VERIFIER_loop_begin();
	__VERIFIER_spin_start();
	__VERIFIER_spin_end(__atomic_load_n(&model_rung, __ATOMIC_ACQUIRE) !=
			    model_heard);
}

/* 0 or a negative errno */
static inline int
model_syscall(long number, long a, long b, long c, long d)
{
	switch (number) {
	case SYS_fcntl:
		return model_lock((struct flock *)c, (uint32_t)a,
				  b != 36 /* F_OFD_GETLK */);
	case SYS_kill:
		return __atomic_load_n(&model_dead[a], __ATOMIC_ACQUIRE)
			       ? -ESRCH
			       : 0;
	case SYS_pread64: /* the bell of those who wait for messages, */
	case SYS_utimensat: /* for room */
		__atomic_fetch_add(&model_rung, 1, __ATOMIC_RELEASE);
		return 0;
	case SYS_read: /* the events: none that tells of a death */
		model_heard = __atomic_load_n(&model_rung, __ATOMIC_ACQUIRE);
		return 0;
	case SYS_timerfd_settime:
		model_timer_ends = *(int64_t *)c;
		return 0;
	case 449: /* futex_waitv */
		MODEL_ASSERT(b == 2);
		return model_futex_wait_both((const struct model_waitv *)a,
					     *(int64_t *)d);
	default: /* no pidfd, no /proc: not gone */
		return -ENOSYS;
	}
}

/* ---- Copies -------------------------------------------------------------
 *
 * Whole words, one access each: GenMC takes accesses of another size for
 * another place. Plain, so that RC11 reports a copy that races. What lies
 * beyond model_data is its second mapping.
 */
static uint64_t *model_data;
static size_t model_words; /* 0: no second mapping */

static inline uint64_t *
model_unmap(uint64_t *word)
{
	if (model_words > 0 && word >= model_data + model_words &&
	    word < model_data + 2 * model_words)
		return word - model_words;
	return word;
}

static inline void
model_copy(void *to, const void *from, size_t size)
{
	uint64_t *target = to;
	uint64_t *source = (uint64_t *)from;

	model_copied = 1;
	model_step(MODEL_CLAIMED);
	MODEL_ASSERT(size % sizeof(uint64_t) == 0);
	/* down: up, compilers ask for the larger of size and 1, by an
	 * intrinsic function that GenMC has not */
	for (size_t i = size / sizeof(uint64_t); i-- > 0;)
#ifdef MODEL_RACY_COPY /* a race that is judged afterwards is none */
		__atomic_store_n(model_unmap(target + i),
				 __atomic_load_n(model_unmap(source + i),
						 __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
#else
		*model_unmap(target + i) = *model_unmap(source + i);
#endif
}

static inline void
model_clear(void *place, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		__atomic_store_n((uint64_t *)place + i, 0,
				 __ATOMIC_RELAXED); /* no memset again */
}

/* ---- The hooks of shmring.h --------------------------------------------- */

#define SHMRING_COPY(to, from, size) model_copy(to, from, size)
#define SHMRING__COUNT_IN_C
#define SHMRING_PAUSE() ((void)0)
#define SHMRING_NOW() model_now
#ifndef SHMRING__NAP_NS /* nor looks for room that it is not told of */
#define SHMRING__NAP_NS (INT64_C(1) << 40)
#endif
#ifndef SHMRING_PATIENCE_NS
#define SHMRING_PATIENCE_NS INT64_MAX
#endif
#define SHMRING_FUTEX_WAIT(word, expected, until) \
	model_futex_wait(word, expected, until)
#define SHMRING_FUTEX_WAKE(word, count) model_futex_wake(word, count)
#if defined(MODEL_ARM64)
#define SHMRING__PUBLISH(place, value) \
	__atomic_store_n(place, value, __ATOMIC_SEQ_CST)
#elif defined(MODEL_FUTEXES) /* x86, where a short sleep is HEAVY */
#define SHMRING__PUBLISH(place, value) \
	(__atomic_store_n(place, value, __ATOMIC_RELEASE), model_light())
#else /* x86 */
#define SHMRING__PUBLISH(place, value) \
	(__atomic_store_n(place, value, __ATOMIC_RELEASE), model_step_on())
#endif
#define SHMRING_LIGHT(ring) model_light()
#define SHMRING_HEAVY(ring) model_heavy()

#endif /* MODEL_H */
