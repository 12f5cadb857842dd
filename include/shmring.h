/* SPDX-License-Identifier: MIT
 *
 * shmring.h - move messages between processes through a ring in shared memory
 *
 * One header, nothing behind it but libc and Linux. Two engines, one API:
 *   SPSC  one producer, one consumer, messages of any size up to slot_size
 *         packed one behind the other; wait-free.
 *   MPMC  any number of both, fixed slots, first in first out; lock-free.
 * Any process may be killed or stopped at any instruction: the others go on,
 * and a message whose push returned is delivered. Nobody asleep, no system
 * call; nothing of a peer's is trusted further than its process.
 *
 *	struct shmring ring;                            // the sender
 *	struct shmring_config config = { .roles = SHMRING_PRODUCER };
 *	shmring_create(&ring, "/prices", &config);
 *	shmring_push_wait(&ring, "hello", 5, -1);       // -1: for ever
 *	shmring_close(&ring);
 *
 *	struct shmring ring;                            // the receiver
 *	char text[256];
 *	shmring_open(&ring, "/prices", SHMRING_CONSUMER, -1);
 *	ssize_t length = shmring_pop_wait(&ring, text, sizeof(text), -1);
 *	shmring_close(&ring);
 *	shmring_unlink("/prices");
 *
 * Every call returns 0, a count or a length, or a negative errno that
 * shmring_strerror() explains. None prints, exits or changes errno.
 *
 * GUARANTEES (one handle belongs to one thread at a time; dup for another)
 *
 *   call             who       progress   when a peer is killed or stopped
 *   push, push_n     producer  SPSC wait-free, MPMC lock-free; the others go
 *   reserve, commit  producer    on at once (killed) or after a millisecond
 *   pop, pop_n       consumer    of patience (stopped), see DOUBT below
 *   peek, release    consumer  as pop; a message in a dead consumer's hands
 *                              is delivered again: shmring_redelivered()
 *   ..._wait, flush  as above  blocks; learns of a death within 100 ms
 *   create, open     anybody   no lock is held; a half-made ring is never
 *                              visible
 *   close, recover   anybody   lock-free; may itself be killed anywhere
 *   stat             anybody   wait-free, approximate while others run
 *
 *   Exactly once, but for this: a consumer killed between taking a message
 *   and coming back from the call may have it and yet see it delivered to
 *   another (SPSC, peek; marked), or take it to the grave (MPMC pop).
 *   Each producer's messages stay in order; a message delivered again comes
 *   out of order in MPMC. A stopped process keeps at most two slots of an
 *   MPMC ring (one each as producer and consumer) until it goes on; hence
 *   slots >= 2 * participants.
 *   Positions are 64 bit. An MPMC slot counts its turns in 64 bits less the
 *   bits of slot_size, at most 51: at 100 million messages a second through
 *   1024 slots of 64 KiB, 22 years; SPSC: 5,000 years of 1 GB/s.
 *   Death is proven, never guessed from time: the kernel has dropped the
 *   participant's lock on the segment and its pid with that start time is
 *   gone. (Across pid namespaces the lock alone decides. A child forked by a
 *   holder keeps the lock until it exits or execs: that delays proof.)
 *   Hostile content is answered by -EBADMSG and the handle refuses further
 *   use. A named ring's file can be truncated under us by its owner
 *   (SIGBUS); a ring from shmring_create_memfd() is sealed against it.
 */
#ifndef SHMRING_H
#define SHMRING_H

#if !defined(__linux__)
#error "shmring.h needs Linux: the calls to port stand under OPERATING SYSTEM"
#endif
#if !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shmring.h needs a 64-bit little-endian target (x86-64, arm64): every position is one 64-bit atomic"
#endif
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifndef MAP_ANONYMOUS
#error "strict -std=c11 hides the system calls: include shmring.h before other headers, or compile with -D_DEFAULT_SOURCE"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------
 * VERSIONS, CONFIGURATION
 * ------------------------------------------------------------------------ */

#define SHMRING_VERSION_MAJOR 0
#define SHMRING_VERSION_MINOR 1
#define SHMRING_VERSION_PATCH 0
#define SHMRING_LAYOUT 1 /* of the shared segment; openers refuse another */

/* Where named rings live. */
#ifndef SHMRING_DIRECTORY
#define SHMRING_DIRECTORY "/dev/shm"
#endif
/* Spin this long before sleeping, unless the peer shares our CPU. */
#ifndef SHMRING_SPIN_NS
#define SHMRING_SPIN_NS 50000
#endif
/* A position that blocks others for this long is doubted (MPMC). Too short
 * means needless relocation; never below a few microseconds. */
#ifndef SHMRING_PATIENCE_NS
#define SHMRING_PATIENCE_NS 1000000
#endif
/* No sleep is longer: bounds a lost wake-up and the news of a death. */
#ifndef SHMRING_SLICE_NS
#define SHMRING_SLICE_NS 100000000
#endif
/* Pauses between two looks of one who waits: who looks all the time takes the
 * line away from the one who is about to write it. */
#ifndef SHMRING_LOOK_AGAIN
#define SHMRING_LOOK_AGAIN 3
#endif
/* Pauses of a streaming consumer that has caught up: whole cache lines fill
 * meanwhile. */
#ifndef SHMRING_CATCH_UP
#define SHMRING_CATCH_UP 64
#endif
/* All fetch the cache lines so many bytes ahead of them: as many lines as a
 * core has under way at once. 0: none. */
#ifndef SHMRING_AHEAD
#define SHMRING_AHEAD 1024
#endif

/* Hooks for model checkers and fuzzers: what they cannot digest. */
#ifndef SHMRING_COPY
#define SHMRING_COPY(to, from, size) shmring__copy(to, from, size)
#endif
#ifndef SHMRING_PAUSE
#if defined(__x86_64__)
#define SHMRING_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define SHMRING_PAUSE() __asm__ __volatile__("isb" ::: "memory")
#else
#define SHMRING_PAUSE() __asm__ __volatile__("" ::: "memory")
#endif
#endif
#ifndef SHMRING_NOW
#define SHMRING_NOW() shmring__now()
#endif
#ifndef SHMRING_FUTEX_WAIT
#define SHMRING_FUTEX_WAIT(word, value, until) \
	shmring__futex_wait(word, value, until)
#endif
#ifndef SHMRING_FUTEX_WAKE
#define SHMRING_FUTEX_WAKE(word, count) shmring__futex_wake(word, count)
#endif
/* The two halves of an asymmetric fence: HEAVY in one thread acts as if
 * every LIGHT of the others were a full fence. LIGHT only stops the
 * compiler, unless this process could not register for membarrier. */
#ifndef SHMRING_LIGHT
#define SHMRING_LIGHT(ring)                                      \
	do {                                                     \
		__asm__ __volatile__("" ::: "memory");           \
		if (SHMRING__RARELY((ring)->fenced))             \
			__atomic_thread_fence(__ATOMIC_SEQ_CST); \
	} while (0)
#endif
#ifndef SHMRING_HEAVY
#define SHMRING_HEAVY(ring) shmring__membarrier(ring)
#endif

/* ------------------------------------------------------------------------
 * INTERFACE
 * ------------------------------------------------------------------------ */

/* config.mode */
#define SHMRING_SPSC 0
#define SHMRING_MPMC 1

/* Roles of a handle; 0 means SHMRING_BOTH. An observer only looks
 * (shmring_stat): it maps the segment read-only and counts as nobody. */
#define SHMRING_PRODUCER 1u
#define SHMRING_CONSUMER 2u
#define SHMRING_BOTH 3u
#define SHMRING_OBSERVER 4u
/* Added to the roles at open: accept a segment of a user who is neither me
 * nor root. */
#define SHMRING_ANY_OWNER 8u

/* config.flags */
#define SHMRING_PREFAULT 1u /* fill the page tables now, in every process */
#define SHMRING_MLOCK 2u /* keep it in memory; -EPERM, -ENOMEM beyond limits */
#define SHMRING_HUGE 4u /* transparent huge pages; -EOPNOTSUPP if off */
#define SHMRING_HUGETLB 8u /* reserved 2 MiB pages, memfd only; -ENOMEM */
#define SHMRING_REPLACE 16u /* replace a segment that nobody is attached to */

struct shmring_config { /* zero means the default, for every field */
	uint32_t mode; /* SHMRING_SPSC */
	uint32_t slots; /* messages, 1024; rounded up to a power of two */
	uint32_t slot_size; /* largest message in bytes, 256; to 2^30 */
	uint32_t participants; /* MPMC handles, min(64, slots / 2) */
	uint32_t permissions; /* 0600; the umask does not apply */
	uint32_t flags;
	uint32_t roles; /* of the creator's own handle, SHMRING_BOTH */
};

struct shmring_stat { /* counters are those of all handles, ever */
	uint32_t mode, slots, slot_size, participants;
	uint32_t producers, consumers; /* attached now */
	uint64_t length; /* MPMC: messages; SPSC: bytes in use */
	uint64_t capacity; /* in the same unit */
	uint64_t pushed, popped;
	uint64_t pushed_bytes, popped_bytes; /* SPSC: rounded up to 8 each */
	uint64_t full, empty; /* how often a position had to be waited for */
	uint64_t sleeps, wakes; /* futex calls */
};

struct shmring_participant { /* counters go on when a line is taken over */
	uint32_t pid, roles;
	uint64_t pushed, pushed_bytes, popped, popped_bytes;
	uint64_t full, empty, sleeps, wakes;
};

struct shmring;

/* Make a ring named like "/prices" and attach to it; config may be NULL.
 * The name appears only when all is complete. -EEXIST: the name is taken by
 * a ring in use or left in good order; -EOWNERDEAD: by one whose users died;
 * with SHMRING_REPLACE either is replaced unless somebody is attached
 * (-EBUSY). -ENOSPC: no room in shared memory. -EINVAL: see
 * shmring_strerror. */
static inline int shmring_create(struct shmring *ring, const char *name,
				 const struct shmring_config *config);
/* Attach, waiting up to timeout_ns until the name exists (0: try once, -1:
 * for ever). -ENOENT, -ETIMEDOUT; -EBUSY: the SPSC role is taken by a living
 * process (a dead one's is taken over where it stopped); -EUSERS: no
 * participant is free; -EPROTO: not a ring; -EPROTONOSUPPORT: another
 * layout; -EBADMSG: damaged geometry; -EPERM: owner or permissions;
 * -EREMOTE: made before a reboot; -EOPNOTSUPP: forks cannot be noticed here
 * (MADV_WIPEONFORK refused; Linux before 4.14). */
static inline int shmring_open(struct shmring *ring, const char *name,
			       unsigned roles, int64_t timeout_ns);
/* The same without a name: a sealed memfd, to be passed (fork, SCM_RIGHTS)
 * as shmring_fd(), which stays the handle's own. open_fd does not keep fd.
 * -EPERM: fd is not sealed, so its size cannot be relied on. */
static inline int shmring_create_memfd(struct shmring *ring,
				       const struct shmring_config *config);
static inline int shmring_open_fd(struct shmring *ring, int fd, unsigned roles);
static inline int shmring_fd(const struct shmring *ring);
/* Another handle on the same ring, for another thread or another role. */
static inline int shmring_dup(struct shmring *copy, const struct shmring *ring,
			      unsigned roles);
/* Detach. A reservation is aborted, a peeked message goes to the next
 * consumer. What was pushed stays for whoever opens the ring later. In a
 * forked child it only unmaps. Always 0; closing twice does no harm. */
static inline int shmring_close(struct shmring *ring);
/* Remove the name; those attached go on. -ENOENT. */
static inline int shmring_unlink(const char *name);

/* Copy a message in. 0; -EAGAIN: full; -EMSGSIZE: larger than slot_size;
 * -EPIPE: there were consumers and the last is gone; -EBUSY: a reservation
 * is outstanding; -EPERM: not a producer; -ESTALE: handle of a parent
 * process; -EBADMSG: the segment was damaged. */
static inline int shmring_push(struct shmring *ring, const void *data,
			       size_t size);
/* Copy the next message out. Its length; -EAGAIN: empty; -EPIPE: there were
 * producers, the last is gone, and no message is left, in MPMC not even in the
 * hands of another consumer; -EMSGSIZE: it does not fit and stays; else as
 * push. */
static inline ssize_t shmring_pop(struct shmring *ring, void *buffer,
				  size_t capacity);
/* As many as fit, or are there; count, or the error if not even one. iov_len
 * is the capacity on entry to pop_n, the length afterwards. A batch ends with
 * a redelivered message. In SPSC, the messages that fit at once come all at
 * once. */
static inline ssize_t shmring_push_n(struct shmring *ring,
				     const struct iovec *messages,
				     size_t count);
static inline ssize_t shmring_pop_n(struct shmring *ring,
				    struct iovec *messages, size_t count);
/* Fill in place: size bytes, or NULL with the reason in shmring_error().
 * Then commit (size may shrink) or abort. One at a time a handle. A commit
 * that returns -EAGAIN or -EPIPE (MPMC, after this process was stopped for
 * long) has kept the message: commit again, or abort. */
static inline void *shmring_reserve(struct shmring *ring, size_t size);
static inline int shmring_commit(struct shmring *ring, size_t size);
static inline void shmring_abort(struct shmring *ring);
/* Read in place, until release. One at a time a handle. */
static inline const void *shmring_peek(struct shmring *ring, size_t *size);
static inline int shmring_release(struct shmring *ring);
/* Why the last reserve or peek returned NULL: a negative errno. */
static inline int shmring_error(const struct shmring *ring);
/* 1 if a consumer that died may have seen the last message, too. */
static inline int shmring_redelivered(const struct shmring *ring);

/* The waiting forms: as above, but -EAGAIN becomes waiting for timeout_ns
 * (-1: for ever, 0: not at all), then -ETIMEDOUT. Batches wait for the first
 * message only. */
static inline int shmring_push_wait(struct shmring *ring, const void *data,
				    size_t size, int64_t timeout_ns);
static inline ssize_t shmring_pop_wait(struct shmring *ring, void *buffer,
				       size_t capacity, int64_t timeout_ns);
static inline ssize_t shmring_push_n_wait(struct shmring *ring,
					  const struct iovec *messages,
					  size_t count, int64_t timeout_ns);
static inline ssize_t shmring_pop_n_wait(struct shmring *ring,
					 struct iovec *messages, size_t count,
					 int64_t timeout_ns);
static inline void *shmring_reserve_wait(struct shmring *ring, size_t size,
					 int64_t timeout_ns);
static inline const void *shmring_peek_wait(struct shmring *ring, size_t *size,
					    int64_t timeout_ns);
/* Rendezvous: wait until consumers have taken all that this handle pushed
 * (SPSC: that was ever pushed). */
static inline int shmring_flush(struct shmring *ring, int64_t timeout_ns);
/* How this handle waits: -1 spins for ever, 0 sleeps at once, otherwise
 * spins up to so many ns where that helps (SHMRING_SPIN_NS). */
static inline int shmring_set_spin(struct shmring *ring, int64_t spin_ns);

/* Look for dead participants now; waiting calls do it by themselves, others
 * when they find the ring full or empty for long. A producer whose pushes all
 * succeed at once does not look: call this when it matters that the consumer
 * still lives. How many were recovered. */
static inline int shmring_recover(struct shmring *ring);
/* How many messages of slot_size fit at least. */
static inline size_t shmring_capacity(const struct shmring *ring);
/* Messages (MPMC) or bytes (SPSC) between the positions, approximate. */
static inline uint64_t shmring_length(const struct shmring *ring);
#ifdef __cplusplus /* the struct and the call may share a name */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
static inline int shmring_stat(const struct shmring *ring,
			       struct shmring_stat *out);
/* Participant 0, 1, ...: 0; -ENOENT: nobody; -EINVAL: beyond the last. */
static inline int shmring_participant(const struct shmring *ring,
				      uint32_t index,
				      struct shmring_participant *out);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif
/* What to do about a negative errno of this header. */
static inline const char *shmring_strerror(int error);

/* ------------------------------------------------------------------------
 * ORDERING
 *
 * Every store that publishes and the load that it pairs with. Labels stand
 * in the code. "Free" means: may be overwritten.
 *
 *   what                          release side       acquire side
 *   SPSC record                   R1 header          A1 header
 *   SPSC next header is zero      R1 (after its 0)   A1
 *   SPSC space is free            R2 head, R3 taken  A2 head, taken
 *   MPMC slot is ready            R4 phase 2T+1      A4 phase in claim
 *   MPMC slot is free             R4 phase 2T+2      A4 phase in claim
 *   MPMC verdict on a slot        R5 CAS of state    A5 state in settle
 *   MPMC intent before the claim  R6 intent          A6 intent in recover
 *   participant is complete       R7 status          A7 status
 *   last one left, doubt, orphan  R8 attn            A8 attn
 *   wake-up                       R1/R4, then W1     W2, then A1/A4
 *
 * Relaxed elsewhere: a position or counter that only its owner writes, or
 * that a later compare-and-swap confirms.
 *
 * W: publish, then load the waiters word (W1); announce oneself in the word,
 * full fence, then look again (W2). On arm64 W1 is seq_cst on both sides
 * (STLR, LDAR), which do not overtake each other. On x86 W1 may overtake the
 * publication, for a fence would cost more than the push. So a waiter's first
 * sleep is short (SHMRING__FIRST_SLEEP_NS), and it leaves SLEEPY in the word:
 * who sees that pays for the fence and looks again, and the next sleeps are
 * safe at once (a short timer costs more than the sleep itself: 17 against
 * 5 us). Waiters in a long stream take SLEEPY away. In any case no sleep
 * exceeds a slice.
 *
 * DOUBT (MPMC), an asymmetric Dekker: the owner of a slot stores its phase
 * (R4), LIGHT, loads attn; the doubter marks the slot VOIDING, sets attn,
 * HEAVY, loads the phase. At least one sees the other, and only the doubter
 * pays.
 * ------------------------------------------------------------------------ */

#define SHMRING__RARELY(condition) __builtin_expect(!!(condition), 0)
#define SHMRING__HOT static inline __attribute__((always_inline, unused))
#define SHMRING__COLD static __attribute__((noinline, cold, unused))
#define SHMRING__LOAD(place, order) __atomic_load_n(place, __ATOMIC_##order)
#define SHMRING__STORE(place, value, order) \
	__atomic_store_n(place, value, __ATOMIC_##order)
/* A publication that W1 must not overtake; release is free on x86. */
#if defined(SHMRING__PUBLISH) /* a model checker has its own */
#elif defined(__x86_64__)
#define SHMRING__PUBLISH(place, value) SHMRING__STORE(place, value, RELEASE)
#else
#define SHMRING__PUBLISH(place, value) SHMRING__STORE(place, value, SEQ_CST)
#endif

/* Fetch a cache line to write to it. gcc has prefetchw only for newer x86-64;
 * where the CPU has none, it does nothing. */
#if defined(__x86_64__)
#define SHMRING__PREFETCH_WRITE(place) \
	__asm__("prefetchw %0" : : "m"(*(const char *)(place)))
#else
#define SHMRING__PREFETCH_WRITE(place) __builtin_prefetch(place, 1)
#endif

/* Acquire and release both: what is seen may be acted upon, what was done
 * before is seen by who sees this. */
SHMRING__HOT int
shmring__cas(uint64_t *place, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(place, &from, to, 0,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Every loop over shared memory is bounded, so that a hostile peer cannot
 * keep us in it; whoever runs out of tries reports -EAGAIN. */
#ifndef SHMRING__TRIES
#define SHMRING__TRIES 4096
#endif
#define SHMRING__NONE UINT64_MAX /* no intent: a position never reached */

/* ------------------------------------------------------------------------
 * SHARED LAYOUT
 *
 *   control pages   identity, notice, participants          all may write
 *   SPSC: producer page | consumer page | bytes (mapped twice)
 *   MPMC: index page    | states        | slots
 *
 * Lines of different writers are 128 bytes apart (adjacent-line prefetch);
 * a side maps read-only what it never writes.
 * ------------------------------------------------------------------------ */

#define SHMRING__MAGIC UINT64_C(0x31676e69726d6873) /* "shmring1" */
#define SHMRING__BYTE_ORDER UINT32_C(0x01020304)
#define SHMRING__LINE 128

/* Somebody sleeps on this word: bit 0 wants one wake-up, bit 1 wants to be
 * told of every step (flush, membership); above them a generation, so that a
 * sleeper that announced itself before a wake-up does not sleep after it. */
#define SHMRING__WAITS 1u
#define SHMRING__WATCHES 2u
#define SHMRING__SLEEPY 4u /* they sleep at every turn: fence, then look */
#define SHMRING__STIRS 7u /* any of these */
#define SHMRING__GENERATION 8u

/* notice.attn: what the hot paths must know at once; above it a version that
 * every change increments, so that clearing a bit cannot miss a new cause. */
#define SHMRING__DOUBT UINT64_C(1) /* some slot is, or was, in doubt */
#define SHMRING__ORPHAN UINT64_C(2) /* a dead reader's message may wait */
#define SHMRING__NO_PRODUCER UINT64_C(4) /* there was one, the last is gone */
#define SHMRING__NO_CONSUMER UINT64_C(8)
#define SHMRING__VERSION UINT64_C(16)

struct shmring__notice { /* read by all all the time, written seldom */
	uint64_t attn;
	uint32_t data; /* waiters for messages */
	uint32_t space; /* waiters for free slots */
	uint32_t cpu[2]; /* 1 + CPU of the last consumer, producer to wait */
	uint64_t unused[13];
};

struct shmring__header {
	uint64_t magic;
	uint32_t layout, byte_order, word_size;
	uint32_t mode, slots, slot_size, participants;
	uint32_t permissions, flags, creator; /* uid */
	uint64_t page, capacity, total; /* bytes */
	uint64_t created; /* CLOCK_REALTIME, ns */
	uint64_t pid_namespace; /* the creator's, inode number */
	unsigned char boot_id[16]; /* of the kernel that made it */
	uint32_t retired; /* 1: about to be replaced, do not attach */
	uint32_t unused[37];
	struct shmring__notice notice;
};

/* status: generation << 16 | roles << 8 | state */
#define SHMRING__FREE 0u
#define SHMRING__LIVE 1u
#define SHMRING__RECOV 2u /* proven dead, being recovered */
#define SHMRING__DIED 128u /* among the roles of a free line: it was killed */
#define SHMRING__KEEPER 256u /* role of a handle that judges a segment */
/* participant.flags */
#define SHMRING__FENCED 1u /* no membarrier here: full fences instead */

struct shmring__line { /* a participant; only its owner writes, but status */
	uint64_t status;
	uint64_t pid_namespace, start; /* with pid: who it is */
	uint32_t pid, flags;
	uint64_t intent[2]; /* position claimed or held: reader's, writer's */
	uint64_t adopts; /* position of a dead reader, being taken over */
	uint64_t time_namespace; /* which start was read in */
	uint64_t pushed, pushed_bytes, popped, popped_bytes;
	uint64_t full, empty, sleeps, wakes;
};

#ifdef __cplusplus
#define SHMRING__ASSERT(condition) static_assert(condition, #condition)
#else
#define SHMRING__ASSERT(condition) _Static_assert(condition, #condition)
#endif
#define SHMRING__AT(type, field, offset) \
	SHMRING__ASSERT(__builtin_offsetof(struct type, field) == (offset))
SHMRING__AT(shmring__header, magic, 0);
SHMRING__AT(shmring__header, layout, 8);
SHMRING__AT(shmring__header, byte_order, 12);
SHMRING__AT(shmring__header, word_size, 16);
SHMRING__AT(shmring__header, mode, 20);
SHMRING__AT(shmring__header, slots, 24);
SHMRING__AT(shmring__header, slot_size, 28);
SHMRING__AT(shmring__header, participants, 32);
SHMRING__AT(shmring__header, permissions, 36);
SHMRING__AT(shmring__header, flags, 40);
SHMRING__AT(shmring__header, creator, 44);
SHMRING__AT(shmring__header, page, 48);
SHMRING__AT(shmring__header, capacity, 56);
SHMRING__AT(shmring__header, total, 64);
SHMRING__AT(shmring__header, created, 72);
SHMRING__AT(shmring__header, pid_namespace, 80);
SHMRING__AT(shmring__header, boot_id, 88);
SHMRING__AT(shmring__header, retired, 104);
SHMRING__AT(shmring__header, notice, 256);
SHMRING__AT(shmring__notice, attn, 0);
SHMRING__AT(shmring__notice, data, 8);
SHMRING__AT(shmring__notice, space, 12);
SHMRING__AT(shmring__notice, cpu, 16);
SHMRING__AT(shmring__line, status, 0);
SHMRING__AT(shmring__line, pid_namespace, 8);
SHMRING__AT(shmring__line, start, 16);
SHMRING__AT(shmring__line, pid, 24);
SHMRING__AT(shmring__line, flags, 28);
SHMRING__AT(shmring__line, intent, 32);
SHMRING__AT(shmring__line, adopts, 48);
SHMRING__AT(shmring__line, time_namespace, 56);
SHMRING__AT(shmring__line, pushed, 64);
SHMRING__ASSERT(sizeof(struct shmring__notice) == SHMRING__LINE);
SHMRING__ASSERT(sizeof(struct shmring__header) == 256 + SHMRING__LINE);
SHMRING__ASSERT(sizeof(struct shmring__line) == SHMRING__LINE);

/* Where everything is: follows from mode, slots, slot_size, participants and
 * page alone. Each handle works it out for itself and never reads it from
 * shared memory again. */
struct shmring__geometry {
	uint32_t mode, slots, slot_size, participants;
	uint64_t page, stride; /* of a slot */
	uint64_t capacity; /* bytes of data */
	uint64_t index, consumer, states, data, total; /* offsets, size */
};

/* Wiped by fork, so that the first access of a child falls into the cold
 * path. The limits stand here to be checked by one comparison with what is
 * compared anyway. */
struct shmring__canary {
	uint64_t receive; /* 1 + slot_size, or 0: pop is refused */
	uint64_t send; /* the same for push */
	uint64_t alive;
};

#define SHMRING__CANARY 65536 /* bytes mapped: a page of any size */

#define SHMRING__READ 0 /* index of what there is once a direction */
#define SHMRING__WRITE 1

struct shmring__claim { /* a message in hands */
	uint64_t position;
	uint64_t size;
	unsigned char *data;
	int state;
};
#define SHMRING__IDLE 0 /* states of a claim */
#define SHMRING__HELD 1
#define SHMRING__ADOPTED 2 /* read: taken over from a dead consumer */
#define SHMRING__SPILLED 2 /* write: voided, message kept in spill */

struct shmring__idle { /* how long a position has kept us waiting */
	uint64_t position;
	int64_t since;
	uint64_t done, streak; /* messages moved until, between two waits */
	uint32_t calls;
	uint32_t lone, trial; /* waits since, and until, a try for a stream */
};

struct shmring { /* private: one participant, in its own memory */
	/* what the hot paths read */
	struct shmring__canary *canary;
	struct shmring__notice *notice;
	unsigned char *data; /* SPSC: bytes; MPMC: slots */
	uint64_t *tail, *head; /* next position to write, to read */
	struct shmring__line *line[2]; /* my own: as reader, as writer */
	uint64_t mask; /* SPSC: of byte offsets; MPMC: of slot numbers */
	uint64_t credit; /* SPSC writer: may write below this */
	uint64_t *taken; /* SPSC: what the reader has published as free */
	uint64_t published; /* SPSC reader: my copy of *taken */
	uint64_t lazy; /* SPSC reader: publish after so many bytes */
	uint64_t usual; /* SPSC reader: size of the last record */
	uint64_t *states; /* MPMC: S */
	uint64_t stride;
	uint64_t ahead; /* what is fetched; SPSC: bytes, MPMC: slots */
	uint32_t mode, shift, length_bits;
	uint32_t fenced; /* LIGHT must be a full fence */
	/* the rest */
	struct shmring__claim held[2]; /* by peek, by reserve */
	unsigned char *spill;
	uint64_t last; /* MPMC: one past my last push, for flush */
	uint64_t suspect[2]; /* SPSC: the record a dead reader may have seen */
	struct shmring__geometry geometry;
	struct shmring__line *lines;
	struct shmring__header *header;
	unsigned char *base, *reserved; /* the mapping; with its guards */
	size_t mapped;
	int fd, pass; /* pass: memfd without our locks, for others */
	int error, redelivered;
	int poisoned; /* hostile content was seen: the errno */
	uint32_t roles, pid;
	uint64_t start, pid_namespace, time_namespace;
	dev_t device; /* of fd, with inode: is it still ours? */
	ino_t inode;
	int64_t spin_ns;
	struct shmring__idle idle[2];
	int64_t looked; /* for the dead, last time */
	uint64_t settles; /* since the last clearing of attn */
	uint32_t missed; /* times in a row that spinning was in vain */
	int slept; /* look at the clock at once */
	int rested[2]; /* slept since SLEEPY stands in the word */
};

/* ------------------------------------------------------------------------
 * OPERATING SYSTEM
 *
 * All calls into it; none changes errno, failures are negative errnos.
 * ------------------------------------------------------------------------ */

SHMRING__COLD long
shmring__os(long number, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long result = syscall(number, a, b, c, d, e, f);
	if (result < 0)
		result = -errno;
	errno = saved;
	return result;
}

SHMRING__COLD int64_t
shmring__now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now); /* the vDSO; cannot fail */
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline struct timespec
shmring__timespec(int64_t ns)
{
	struct timespec time;
	time.tv_sec = (time_t)(ns / 1000000000);
	time.tv_nsec = (long)(ns % 1000000000);
	return time;
}

SHMRING__COLD void
shmring__nap(int64_t ns)
{
	struct timespec time = shmring__timespec(ns);
	shmring__os(SYS_nanosleep, (long)&time, 0, 0, 0, 0, 0);
}

/* Sleep until woken, *word != value, or the clock has passed until (ns of
 * CLOCK_MONOTONIC). Where futexes are refused (seccomp), a short nap. */
SHMRING__COLD void
shmring__futex_wait(uint32_t *word, uint32_t value, int64_t until)
{
	struct timespec time = shmring__timespec(until);
	long result = shmring__os(SYS_futex, (long)word,
				  9 /* FUTEX_WAIT_BITSET, shared */,
				  (long)value, (long)&time, 0, -1);
	if (result == 0 || result == -EAGAIN || result == -EINTR ||
	    result == -ETIMEDOUT)
		return;
	shmring__nap(1000000);
}

SHMRING__COLD long
shmring__futex_wake(uint32_t *word, int count)
{
	return shmring__os(SYS_futex, (long)word, 1 /* FUTEX_WAKE, shared */,
			   count, 0, 0, 0);
}

#define SHMRING__MEMBARRIER 2 /* GLOBAL_EXPEDITED; + 2 registers for it */

/* 0 if every registered thread has passed a full fence since the call. */
SHMRING__COLD int
shmring__membarrier(struct shmring *ring)
{
	(void)ring;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return (int)shmring__os(SYS_membarrier, SHMRING__MEMBARRIER, 0, 0, 0, 0,
				0);
}

#if !defined(_GNU_SOURCE)
int sched_getcpu(void); /* glibc and musl have it, their headers hide it */
#endif
/* 1 + the CPU we run on, so that 0 can mean unknown. */
SHMRING__COLD uint32_t
shmring__cpu(void)
{
	int saved = errno;
	int cpu = sched_getcpu();
	errno = saved;
	return cpu < 0 ? 0 : (uint32_t)cpu + 1;
}

/* Up to size bytes of a file, from its start; how many. */
SHMRING__COLD long
shmring__read_file(const char *path, void *to, size_t size)
{
	long fd = shmring__os(SYS_openat, AT_FDCWD, (long)path,
			      O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return fd;
	long got = shmring__os(SYS_read, fd, (long)to, (long)size, 0, 0, 0);
	shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
	return got;
}

/* Start time of a process in clock ticks since boot, or why it is unknown.
 * The name in the second field may hold anything: count from the last ')'.
 * By way of its first thread, where emulators (qemu-user) do not give a
 * process another answer about itself than about others. */
SHMRING__COLD int64_t
shmring__start_time(uint32_t pid)
{
	char path[48], text[1024];
	snprintf(path, sizeof(path), "/proc/%u/task/%u/stat", pid, pid);
	long got = shmring__read_file(path, text, sizeof(text) - 1);
	if (got < 0)
		return got;
	text[got] = 0;
	char *field = strrchr(text, ')');
	for (int i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoll(field, NULL, 10) : -EBADMSG;
}

/* Whether the process is gone for certain, all its threads. Zombies count
 * as gone once no thread is left: only a pidfd can tell. A start time of 0 is
 * unknown and proves nothing. */
SHMRING__COLD int
shmring__process_gone(uint32_t pid, uint64_t start)
{
	if (shmring__os(SYS_kill, (long)pid, 0, 0, 0, 0, 0) == -ESRCH)
		return 1;
	long fd = shmring__os(434 /* pidfd_open */, (long)pid, 0, 0, 0, 0, 0);
	int64_t now = shmring__start_time(pid);
	/* pid used again? */
	int gone = start && now >= 0 && (uint64_t)now != start;
	if (fd >= 0) {
		struct timespec zero = shmring__timespec(0);
		struct pollfd ended = { (int)fd, POLLIN, 0 };
		gone |= shmring__os(SYS_ppoll, (long)&ended, 1, (long)&zero, 0,
				    0, 0) == 1;
		shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
	}
	return gone;
}

/* The byte of a participant in the lock space of the file, out of the way of
 * its contents. OFD locks die with the last copy of the open file. */
static inline struct flock
shmring__byte(short type, uint32_t index)
{
	struct flock lock;
	memset(&lock, 0, sizeof(lock));
	lock.l_type = type;
	lock.l_whence = SEEK_SET;
	lock.l_start = (off_t)(INT64_C(1) << 62) + index;
	lock.l_len = 1;
	return lock;
}

#define SHMRING__GETLK 36 /* F_OFD_GETLK */
#define SHMRING__SETLK 37 /* F_OFD_SETLK */
#define SHMRING__REPLACER 65536 /* the byte of who replaces the segment */

SHMRING__COLD int
shmring__lock(int fd, short type, uint32_t index)
{
	struct flock lock = shmring__byte(type, index);
	return (int)shmring__os(SYS_fcntl, fd, SHMRING__SETLK, (long)&lock, 0,
				0, 0);
}

/* Whether another open file holds the byte; also if that cannot be told. */
SHMRING__COLD int
shmring__locked(int fd, uint32_t index)
{
	struct flock lock = shmring__byte(F_WRLCK, index);
	return shmring__os(SYS_fcntl, fd, SHMRING__GETLK, (long)&lock, 0, 0,
			   0) != 0 ||
	       lock.l_type != F_UNLCK;
}

/* Through libc, so that sanitizers see memory come and go. An address, or
 * a negative errno. */
SHMRING__COLD long
shmring__mmap(unsigned char *at, uint64_t length, int protection, int flags,
	      int fd, uint64_t offset)
{
	int saved = errno;
	void *got = mmap(at, length, protection, flags, fd, (off_t)offset);
	long result = got == MAP_FAILED ? -errno : (long)got;
	errno = saved;
	return result;
}

SHMRING__COLD void
shmring__munmap(void *at, uint64_t length)
{
	int saved = errno;
	munmap(at, length);
	errno = saved;
}

/* Address space, aligned to page, with a guard before and behind: what lies
 * beyond a segment is never touched by accident. NULL if there is none. */
SHMRING__COLD unsigned char *
shmring__reserve_pages(uint64_t length, uint64_t page, unsigned char **start)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	long got =
		shmring__mmap(NULL, length + 2 * page, PROT_NONE, flags, -1, 0);
	if (got < 0)
		return NULL;
	*start = (unsigned char *)got;
	return (unsigned char *)(((uint64_t)got + page) & ~(page - 1));
}

/* Make huge pages of shared memory now, whatever the defaults. */
SHMRING__COLD int
shmring__collapse(unsigned char *at, uint64_t length)
{
	shmring__os(SYS_madvise, (long)at, (long)length, 14 /* MADV_HUGEPAGE */,
		    0, 0, 0);
	long error = shmring__os(SYS_madvise, (long)at, (long)length,
				 25 /* MADV_COLLAPSE, Linux 6.1 */, 0, 0, 0);
	return error == -EINVAL ? -EOPNOTSUPP : (int)error;
}

/* ------------------------------------------------------------------------
 * WAKING
 * ------------------------------------------------------------------------ */

/* A counter that only we write; others read it at any time. */
SHMRING__HOT void
shmring__count(uint64_t *counter, uint64_t more)
{
	SHMRING__STORE(counter, SHMRING__LOAD(counter, RELAXED) + more,
		       RELAXED);
}

static inline struct shmring__line *
shmring__mine(const struct shmring *r)
{
	return r->line[SHMRING__WRITE] ? r->line[SHMRING__WRITE]
				       : r->line[SHMRING__READ];
}

/* Tell the other side where we run; seldom stored, the line is shared. */
SHMRING__COLD uint32_t
shmring__note_cpu(struct shmring *r, int side)
{
	uint32_t cpu = shmring__cpu();
	if (SHMRING__LOAD(&r->notice->cpu[side], RELAXED) != cpu)
		SHMRING__STORE(&r->notice->cpu[side], cpu, RELAXED);
	return cpu;
}

/* Wake one who waits on the word, or all if one watches. Only one of several
 * wakers gets the generation and makes the call. In MPMC more may sleep than
 * the one woken: say so again. */
SHMRING__COLD void
shmring__wake(struct shmring *r, uint32_t *word, int all)
{
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint32_t seen = SHMRING__LOAD(word, RELAXED);
		uint32_t calls = SHMRING__WAITS | SHMRING__WATCHES;
		uint32_t next = (seen & ~calls) + SHMRING__GENERATION;
		if (!all && !(seen & calls))
			return;
		if (!__atomic_compare_exchange_n(word, &seen, next, 0,
						 __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		all |= (seen & SHMRING__WATCHES) != 0;
		long woken = SHMRING_FUTEX_WAKE(word, all ? INT_MAX : 1);
		if (woken > 0 && !all && r->mode == SHMRING_MPMC)
			__atomic_fetch_or(word, SHMRING__WAITS,
					  __ATOMIC_RELAXED);
		if (shmring__mine(r)) /* not while we attach */
			shmring__count(&shmring__mine(r)->wakes, 1);
		return;
	}
}

/* Something was published and the word is not clear: wake who waits. */
SHMRING__COLD void
shmring__announce_data(struct shmring *r)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* W1, for the SLEEPY */
	shmring__note_cpu(r, SHMRING__WRITE);
	shmring__wake(r, &r->notice->data, 0);
}

/* After a publication: does anybody wait for it? W1 */
SHMRING__HOT void
shmring__announce(struct shmring *r)
{
	if (SHMRING__RARELY(SHMRING__LOAD(&r->notice->data, SEQ_CST) &
			    SHMRING__STIRS))
		shmring__announce_data(r);
}

SHMRING__COLD void
shmring__announce_space(struct shmring *r)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* W1, for the SLEEPY */
	shmring__note_cpu(r, SHMRING__READ);
	shmring__wake(r, &r->notice->space, 0);
}

/* Change attn. Its version grows first, so that whoever wants to change a bit
 * by what it saw before either fails or sees our cause (R8). */
SHMRING__COLD void
shmring__attend(struct shmring *r, uint64_t set, uint64_t clear)
{
	uint64_t *attn = &r->notice->attn;
	__atomic_fetch_add(attn, SHMRING__VERSION, __ATOMIC_SEQ_CST);
	if (set)
		__atomic_fetch_or(attn, set, __ATOMIC_SEQ_CST);
	if (clear)
		__atomic_fetch_and(attn, ~clear, __ATOMIC_SEQ_CST);
}

/* The content is not what we or an honest peer wrote: use it no more. */
SHMRING__COLD int
shmring__poison(struct shmring *r)
{
	r->canary->send = r->canary->receive = 0;
	r->poisoned = -EBADMSG;
	return r->poisoned;
}

/* A limit of 0 stopped an operation, or size was beyond it: which? */
SHMRING__COLD int
shmring__refusal(const struct shmring *r, int side)
{
	if (r->fd < 0)
		return -EBADF;
	if (!r->canary->alive)
		return -ESTALE;
	if (r->poisoned)
		return r->poisoned;
	if (!r->line[side])
		return -EPERM;
	if (r->held[side].state != SHMRING__IDLE)
		return -EBUSY;
	return -EMSGSIZE;
}

/* ------------------------------------------------------------------------
 * SPSC
 *
 * Records stand one behind the other: a header word, the payload, padding to
 * 8 bytes. Header 0: not there yet; otherwise length + 1. The bytes are
 * mapped twice in a row, so that a record that wraps is contiguous; headers
 * are always reached through the first mapping.
 *
 * The reader looks at a header only where the writer has put a 0 before: the
 * writer clears the next header, then publishes this one. So one cache line
 * moves for a small message, no index is shared, and nobody else clears
 * anything. With each record, each side fetches as many bytes some way ahead of
 * it from the other's cache, the writer only where there is room: many lines
 * are on their way at once, where one after the other would be waited for
 * (measured: 1.5 times the messages of 8 bytes, 2 times those of 64 to 1024).
 * Very long records do so by themselves.
 * tail and head are the true positions, each on a page that only its owner
 * writes, so that a successor goes on where a dead one stopped.
 * ------------------------------------------------------------------------ */

/* Longer records than so many times `ahead` are not fetched ahead. */
#define SHMRING__FETCHED 16

SHMRING__HOT uint64_t
shmring__record_size(uint64_t size)
{
	return (size + 15) & ~UINT64_C(7);
}

SHMRING__HOT uint64_t *
shmring__header_at(const struct shmring *r, uint64_t position)
{
	return (uint64_t *)(void *)(r->data + (position & r->mask));
}

/* The credit is used up: how far has the reader come? What it publishes is
 * lazy, and reading the true head slows it down; so who can wait (lazy) leaves
 * that alone. */
SHMRING__COLD int
shmring__spsc_more(struct shmring *r, uint64_t tail, uint64_t need, int lazy)
{
	uint64_t capacity = r->geometry.capacity;
	uint64_t limit = SHMRING__LOAD(r->taken, ACQUIRE) + capacity; /* A2 */
	/* What is published may be older than what head told us before. */
	if ((int64_t)(limit - r->credit) < 0)
		limit = r->credit;
	if (limit - tail < need && !lazy)
		limit = SHMRING__LOAD(r->head, ACQUIRE) + capacity; /* A2 */
	if (limit - tail > capacity)
		return shmring__poison(r);
	r->credit = limit;
	return limit - tail < need ? -EAGAIN : 0;
}

/* Room at tail for a message of size bytes. */
SHMRING__HOT int
shmring__spsc_room(struct shmring *r, uint64_t tail, size_t size,
		   struct shmring__claim *claim, int lazy)
{
	/* and 8 bytes, for the next header to be cleared */
	uint64_t need = shmring__record_size(size) + 8;
	if (SHMRING__RARELY(r->credit - tail < need)) {
		int error = shmring__spsc_more(r, tail, need, lazy);
		if (error)
			return error;
	}
	claim->position = tail;
	claim->data = (unsigned char *)(shmring__header_at(r, tail) + 1);
	return 0;
}

/* Fetch what a record at this position may take: all of its lines, for each
 * one left out would be waited for. */
SHMRING__HOT void
shmring__spsc_fetch(const struct shmring *r, uint64_t position, uint64_t record,
		    int to_write)
{
	const char *place = (const char *)shmring__header_at(r, position);
	uint64_t i = 0;
	do {
		if (to_write)
			SHMRING__PREFETCH_WRITE(place + i);
		else
			__builtin_prefetch(place + i);
		i += 64;
	} while (i < record);
}

/* The payload is there: where the next record stands, its header cleared. */
SHMRING__HOT uint64_t
shmring__spsc_seal(struct shmring *r, const struct shmring__claim *claim,
		   size_t size)
{
	uint64_t record = shmring__record_size(size);
	uint64_t next = claim->position + record;
	if (record / SHMRING__FETCHED < r->ahead &&
	    r->credit - next >= r->ahead + record)
		shmring__spsc_fetch(r, next + r->ahead, record, 1);
	SHMRING__STORE(shmring__header_at(r, next), 0, RELAXED);
	return next;
}

SHMRING__HOT void
shmring__spsc_deliver(struct shmring *r, const struct shmring__claim *claim,
		      size_t size)
{
	uint64_t next = shmring__spsc_seal(r, claim, size);
	/* R1: the payload and the cleared next header go before */
	SHMRING__PUBLISH((uint64_t *)(void *)(claim->data - 8), size + 1);
	SHMRING__STORE(r->tail, next, RELAXED);
}

/* No valid header where we look: nothing there, or something wrong. */
SHMRING__COLD int
shmring__spsc_unready(struct shmring *r, uint64_t header)
{
	if (!r->canary->receive)
		return shmring__refusal(r, SHMRING__READ);
	return header ? shmring__poison(r) : -EAGAIN;
}

SHMRING__HOT int
shmring__spsc_front(struct shmring *r, uint64_t head,
		    struct shmring__claim *claim, size_t limit)
{
	uint64_t *place = shmring__header_at(r, head);
	uint64_t header = SHMRING__LOAD(place, ACQUIRE); /* A1 */
	if (SHMRING__RARELY(header - 1 >= r->canary->receive))
		return shmring__spsc_unready(r, header);
	if (SHMRING__RARELY(header - 1 > limit))
		return -EMSGSIZE;
	claim->position = head;
	claim->size = header - 1;
	claim->data = (unsigned char *)(place + 1);
	return 0;
}

SHMRING__COLD void
shmring__spsc_publish(struct shmring *r, uint64_t head)
{
	SHMRING__PUBLISH(r->taken, head); /* R3: our reads go before */
	r->published = head;
	if (SHMRING__LOAD(&r->notice->space, SEQ_CST) & SHMRING__STIRS) /* W1 */
		shmring__announce_space(r);
}

/* The message has been read: where the next one stands. */
SHMRING__HOT uint64_t
shmring__spsc_pass(struct shmring *r, const struct shmring__claim *claim)
{
	uint64_t size = shmring__record_size(claim->size);
	uint64_t usual = r->usual;
	/* A branch, not the arithmetic: the CPU predicts that this record is
	 * as large as the last, and need not wait for its header to know
	 * where the next one stands. asm, or compilers see through it. */
	if (SHMRING__RARELY(size != usual)) {
		r->usual = usual = size;
		__asm__("" : "+r"(usual));
	}
	uint64_t next = claim->position + usual;
	if (usual / SHMRING__FETCHED < r->ahead)
		shmring__spsc_fetch(r, next + r->ahead, usual, 0);
	/* R2: after the copy, so that a successor sees it again rather than
	 * never, and that a writer who looks here overwrites nothing */
	SHMRING__STORE(r->head, next, RELEASE);
	return next;
}

/* Tell the writer, now and then, that what lies before head is free. */
SHMRING__HOT void
shmring__spsc_free(struct shmring *r, uint64_t head)
{
	if (SHMRING__RARELY(head - r->published >= r->lazy ||
			    (SHMRING__LOAD(&r->notice->space, RELAXED) &
			     SHMRING__WATCHES)))
		shmring__spsc_publish(r, head);
}

/* ------------------------------------------------------------------------
 * MPMC
 *
 * Vyukov's bounded queue: position p belongs to slot p mod N in turn
 * T = p / N. The first word of a slot, A, holds its phase (2T: free for the
 * writer of turn T, 2T+1: ready for its reader) and the message's length.
 * A claim is one compare-and-swap of tail or head; the owner of a claim
 * moves the phase on by a plain store.
 *
 * What if the owner is stopped or dead? Nobody asks, until a position has
 * blocked somebody for SHMRING_PATIENCE_NS. Then that one decides, in a
 * cold word S beside the slots, whether the phase is still to come:
 *
 *   S            meaning                           goes over to
 *   LIVE(sp)     phases to sp are decided; A < sp  VOIDING(more)
 *                means that anyone may help A      ORPHAN (reader dead)
 *   VOIDING(f)   somebody doubts that f will come  LIVE(f): it came
 *                                                  WRITER, READER: it did
 *                                                  not (f odd, even)
 *   WRITER(sp)   the slot is left to its late      WRITER(sp + 2): void in
 *   READER(sp)   writer or reader; positions of      the next turn, too
 *                turns < sp / 2 are void, tail     LIVE(sp), then A := sp:
 *                and head pass them                  handed back, or dead
 *   ORPHAN(sp)   a dead reader's message, to be    READER(sp), count + 1:
 *                adopted                             adopted
 *
 * A and S only grow, each phase is decided once. Who is late finds out from
 * attn right after its store and hands the slot back: a late copy harms
 * nobody, for the slot was left alone. A late writer pushes its message
 * again. All stores to S are compare-and-swaps.
 *
 * What a claim or a dead owner held stands in its participant line (intent,
 * stored before the claim), so recovery finds it in O(1).
 * ------------------------------------------------------------------------ */

#define SHMRING__S_LIVE 0u
#define SHMRING__S_VOIDING 1u
#define SHMRING__S_WRITER 2u
#define SHMRING__S_READER 3u
#define SHMRING__S_ORPHAN 4u
#define SHMRING__S_COUNT 0xff8u /* adoptions, modulo 512 */

SHMRING__HOT uint64_t
shmring__s(uint64_t phase, uint64_t state)
{
	return phase << 12 | state;
}

SHMRING__HOT unsigned char *
shmring__slot(const struct shmring *r, uint64_t position)
{
	return r->data + (position & r->mask) * r->stride;
}

SHMRING__HOT uint64_t *
shmring__a(const struct shmring *r, uint64_t position)
{
	return (uint64_t *)(void *)shmring__slot(r, position);
}

SHMRING__HOT uint64_t *
shmring__s_of(const struct shmring *r, uint64_t position)
{
	return &r->states[position & r->mask];
}

/* The phase that the writer (0) or reader (1) of a position waits for. */
SHMRING__HOT uint64_t
shmring__phase(const struct shmring *r, uint64_t position, int reader)
{
	return (position >> r->shift) * 2 + (unsigned)reader;
}

/* Signed distance of two positions. */
SHMRING__HOT int64_t
shmring__ahead(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

/* The length that says: aborted, skip me. Larger than any slot_size. */
SHMRING__HOT uint64_t
shmring__aborted(const struct shmring *r)
{
	return (UINT64_C(1) << r->length_bits) - 1;
}

/* Whether HEAVY reaches everybody whose claim could be doubted: by
 * membarrier, or because all fence themselves. */
SHMRING__COLD int
shmring__heavy(struct shmring *r)
{
	if (SHMRING_HEAVY(r) == 0)
		return 1;
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		struct shmring__line *x = &r->lines[i];
		if ((SHMRING__LOAD(&x->status, ACQUIRE) & 255) ==
			    SHMRING__LIVE &&
		    !(SHMRING__LOAD(&x->flags, RELAXED) & SHMRING__FENCED))
			return 0;
	}
	return 1;
}

/* S says VOIDING(phase): did the phase come? Returns 0 if it cannot be told.
 * attn goes up before A is read, and whoever still stores A reads attn
 * afterwards. The dead store nothing: for them no fence is needed. */
SHMRING__COLD int
shmring__decide(struct shmring *r, uint64_t p, uint64_t s, int dead)
{
	uint64_t phase = s >> 12;
	shmring__attend(r, SHMRING__DOUBT, 0);
	if (!shmring__heavy(r) && !dead)
		return 0;
	uint64_t a = SHMRING__LOAD(shmring__a(r, p), ACQUIRE);
	uint64_t verdict =
		shmring__s(phase / 2 * 2 + 2,
			   phase & 1 ? SHMRING__S_WRITER : SHMRING__S_READER);
	if (a >> r->length_bits >= phase)
		verdict = shmring__s(phase, SHMRING__S_LIVE);
	shmring__cas(shmring__s_of(r, p), s, verdict); /* R5 */
	return 1;
}

/* Finish what others left undone at a slot: a hand-back, a decision. Loads S
 * (A5), then A, in this order. 1: something changed, look again. */
SHMRING__COLD int
shmring__tidy(struct shmring *r, uint64_t p, uint64_t *s, uint64_t *a)
{
	*s = SHMRING__LOAD(shmring__s_of(r, p), ACQUIRE); /* A5 */
	*a = SHMRING__LOAD(shmring__a(r, p), ACQUIRE); /* A4 */
	uint64_t sp = *s >> 12;
	int reached = *a >> r->length_bits >= sp;
	switch (*s & 7) {
	case SHMRING__S_LIVE:
		if (!reached)
			shmring__cas(shmring__a(r, p), *a,
				     sp << r->length_bits);
		return !reached;
	case SHMRING__S_VOIDING:
		if (reached)
			shmring__cas(shmring__s_of(r, p), *s,
				     shmring__s(sp, SHMRING__S_LIVE));
		return reached;
	default:
		return 0;
	}
}

#define SHMRING__OPEN 0 /* S does not object */
#define SHMRING__VOID 1 /* the position is void: pass it */
#define SHMRING__STUCK 2 /* undecided, or retained for longer */

/* attn says that slots are in doubt: what about position p, whose phase
 * `want` the caller has loaded from A, or misses? */
SHMRING__COLD int
shmring__settle(struct shmring *r, uint64_t p, uint64_t want)
{
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint64_t s, a;
		if (shmring__tidy(r, p, &s, &a))
			continue;
		uint64_t sp = s >> 12;
		/* Open only for whom A still is as it was before S was read:
		 * a late phase may just have been handed back. */
		if ((s & 7) == SHMRING__S_LIVE)
			return a >> r->length_bits > want ? SHMRING__VOID
							  : SHMRING__OPEN;
		if ((s & 7) == SHMRING__S_VOIDING) {
			if (sp != want || !shmring__decide(r, p, s, 0))
				return SHMRING__STUCK;
			continue;
		}
		if (sp > want)
			return SHMRING__VOID;
		/* A producer has come round and the slot is still retained:
		 * void it for this turn, too, once head has passed the last. */
		uint64_t before = p - (r->mask + 1);
		if (sp != want || (want & 1) ||
		    shmring__ahead(SHMRING__LOAD(r->head, ACQUIRE), before) <=
			    0 ||
		    SHMRING__LOAD(r->tail, ACQUIRE) != p)
			return SHMRING__STUCK;
		shmring__cas(shmring__s_of(r, p), s, s + shmring__s(2, 0));
	}
	return SHMRING__STUCK;
}

/* Bits are cleared only when no stopped owner can still need them: every
 * slot is LIVE, its phase has come, and head has passed what was void. */
SHMRING__COLD void
shmring__calm(struct shmring *r)
{
	uint64_t seen = SHMRING__LOAD(&r->notice->attn, ACQUIRE); /* A8 */
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	r->settles = 0;
	if (!(seen & SHMRING__DOUBT))
		return;
	for (uint64_t i = 0; i <= r->mask; i++) {
		uint64_t s = SHMRING__LOAD(&r->states[i], ACQUIRE); /* A5 */
		uint64_t a = SHMRING__LOAD(shmring__a(r, i), ACQUIRE);
		uint64_t sp = s >> 12;
		if ((s & 7) != SHMRING__S_LIVE || a >> r->length_bits < sp)
			return;
		if (sp >= 2 &&
		    shmring__ahead(head, ((sp / 2 - 1) << r->shift) + i) <= 0)
			return;
	}
	shmring__cas(&r->notice->attn, seen,
		     seen - SHMRING__DOUBT + SHMRING__VERSION);
}

/* Give up a claim attempt. The intent must not outlive it: recovery would
 * wait for us. */
SHMRING__COLD int
shmring__no_claim(struct shmring *r, int side, int error)
{
	SHMRING__STORE(&r->line[side]->intent[side], SHMRING__NONE, RELEASE);
	return error;
}

/* The slot is not in the phase that we want, or attn asks for care. 0: go
 * on and claim it, 1: look again, or -EAGAIN. */
SHMRING__COLD int
shmring__mpmc_care(struct shmring *r, uint64_t *cursor, uint64_t p,
		   uint64_t want, uint64_t a)
{
	uint64_t phase = a >> r->length_bits;
	int verdict = SHMRING__VOID; /* phase > want: and handed back */
	if (phase <= want) {
		if (!(SHMRING__LOAD(&r->notice->attn, ACQUIRE) &
		      SHMRING__DOUBT)) /* A8 */
			return phase == want ? 0 : -EAGAIN;
		if (++r->settles > r->mask)
			shmring__calm(r);
		verdict = shmring__settle(r, p, want);
	}
	if (verdict == SHMRING__VOID) {
		/* Head does not overtake tail: shmring__calm counts on it. */
		if ((want & 1) &&
		    shmring__ahead(SHMRING__LOAD(r->tail, ACQUIRE), p) <= 0)
			return -EAGAIN;
		shmring__cas(cursor, p, p + 1);
	} else if (phase < want) {
		return -EAGAIN;
	}
	return verdict != SHMRING__OPEN;
}

/* Others were faster: leave the line to them for a while. */
SHMRING__COLD void
shmring__back_off(int tries)
{
	for (int i = 0; i < 1 << (tries < 6 ? tries : 6); i++)
		SHMRING_PAUSE();
}

/* Claim the next position to write or to read. Reading, a message larger
 * than limit is left alone. */
SHMRING__HOT int
shmring__mpmc_claim(struct shmring *r, int side, size_t limit,
		    struct shmring__claim *claim)
{
	uint64_t *cursor = side == SHMRING__WRITE ? r->tail : r->head;
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint64_t p = SHMRING__LOAD(cursor, RELAXED);
		uint64_t want = shmring__phase(r, p, side == SHMRING__READ);
		uint64_t a = SHMRING__LOAD(shmring__a(r, p), ACQUIRE); /* A4 */
		SHMRING_LIGHT(r); /* A before attn */
		if (SHMRING__RARELY(a >> r->length_bits != want ||
				    (SHMRING__LOAD(&r->notice->attn, ACQUIRE) &
				     SHMRING__DOUBT))) { /* A8 */
			int care = shmring__mpmc_care(r, cursor, p, want, a);
			if (care < 0)
				return shmring__no_claim(r, side, care);
			if (care)
				continue;
		}
		uint64_t size = a & shmring__aborted(r);
		if (side == SHMRING__READ && SHMRING__RARELY(size > limit) &&
		    size != shmring__aborted(r) &&
		    SHMRING__LOAD(cursor, ACQUIRE) == p)
			return shmring__no_claim(r, side, -EMSGSIZE);
		/* R6: shown before it is true, after our last claim's end */
		SHMRING__STORE(&r->line[side]->intent[side], p, RELEASE);
		if (SHMRING__RARELY(!shmring__cas(cursor, p, p + 1))) {
			shmring__back_off(tries);
			continue;
		}
		if (r->ahead) /* both sides write to it */
			SHMRING__PREFETCH_WRITE(shmring__slot(r, p + r->ahead));
		claim->position = p;
		claim->size = size;
		claim->data = shmring__slot(r, p) + 8;
		claim->state = SHMRING__HELD;
		return 0;
	}
	return shmring__no_claim(r, side, -EAGAIN);
}

/* We have stored the phase and attn is up: does it count? 1: no, somebody
 * decided before that it would not come, and the slot is retained for us. */
SHMRING__COLD int
shmring__retained(struct shmring *r, uint64_t p, uint64_t phase)
{
	uint64_t mine = phase & 1 ? SHMRING__S_WRITER : SHMRING__S_READER;
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint64_t s = SHMRING__LOAD(shmring__s_of(r, p), ACQUIRE);
		uint64_t a = SHMRING__LOAD(shmring__a(r, p), ACQUIRE);
		if ((s & 7) == SHMRING__S_VOIDING && s >> 12 <= phase) {
			if (shmring__cas(shmring__s_of(r, p), s,
					 shmring__s(s >> 12, SHMRING__S_LIVE)))
				return 0;
			continue;
		}
		return (s & 7) == mine && a >> r->length_bits == phase;
	}
	return 0;
}

/* Return a retained slot, in a turn that nobody has passed. Only its owner,
 * or who recovers the dead owner, may; meanwhile producers may raise sp. */
SHMRING__COLD void
shmring__hand_back(struct shmring *r, uint64_t p)
{
	uint64_t *state = shmring__s_of(r, p);
	uint64_t s = SHMRING__LOAD(state, ACQUIRE); /* A5 */
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		if (shmring__cas(state, s,
				 shmring__s(s >> 12, SHMRING__S_LIVE))) /* R5 */
			break;
		s = SHMRING__LOAD(state, ACQUIRE);
	}
	uint64_t a = SHMRING__LOAD(shmring__a(r, p), ACQUIRE);
	if (a >> r->length_bits < s >> 12)
		shmring__cas(shmring__a(r, p), a, s >> 12 << r->length_bits);
	shmring__wake(r, &r->notice->data, 1);
	shmring__wake(r, &r->notice->space, 1);
}

/* Store the phase that ends our claim of a position. 1: too late, see
 * shmring__retained. */
SHMRING__HOT int
shmring__mpmc_finish(struct shmring *r, uint64_t p, uint64_t phase,
		     uint64_t size)
{
	SHMRING__PUBLISH(shmring__a(r, p), phase << r->length_bits | size);
	/* R4: payload, or our reads of it, go before */
	SHMRING_LIGHT(r); /* A before attn */
	return SHMRING__RARELY(SHMRING__LOAD(&r->notice->attn, ACQUIRE) &
			       SHMRING__DOUBT) && /* A8 */
	       shmring__retained(r, p, phase);
}

/* 0, or 1: void, the message is still ours. */
SHMRING__HOT int
shmring__mpmc_deliver(struct shmring *r, const struct shmring__claim *claim,
		      size_t size)
{
	return shmring__mpmc_finish(r, claim->position,
				    shmring__phase(r, claim->position, 1),
				    size);
}

SHMRING__HOT void
shmring__mpmc_drop(struct shmring *r, const struct shmring__claim *claim)
{
	uint64_t p = claim->position;
	if (SHMRING__RARELY(claim->state == SHMRING__ADOPTED)) {
		shmring__hand_back(r, p);
		SHMRING__STORE(&r->line[SHMRING__READ]->adopts, SHMRING__NONE,
			       RELEASE);
		return;
	}
	if (shmring__mpmc_finish(r, p, shmring__phase(r, p, 0) + 2, 0))
		shmring__hand_back(r, p);
	/* Others may wait for us to let go of the last message. */
	if (SHMRING__RARELY(SHMRING__LOAD(&r->notice->attn, RELAXED) &
			    SHMRING__NO_PRODUCER))
		shmring__wake(r, &r->notice->data, 1);
	/* Wake writers for an eighth of the slots at once, not for each. */
	uint32_t space = SHMRING__LOAD(&r->notice->space, SEQ_CST); /* W1 */
	if (SHMRING__RARELY(space & SHMRING__STIRS) &&
	    ((space & SHMRING__WATCHES) || !(p & (r->mask >> 3))))
		shmring__announce_space(r);
}

/* The oldest orphan: its position, or NONE; its S and A. */
SHMRING__COLD uint64_t
shmring__orphan(struct shmring *r, uint64_t *s, uint64_t *a)
{
	uint64_t oldest = SHMRING__NONE;
	for (uint64_t i = 0; i <= r->mask; i++) {
		uint64_t si = SHMRING__LOAD(&r->states[i], ACQUIRE); /* A5 */
		uint64_t ai = SHMRING__LOAD(shmring__a(r, i), ACQUIRE);
		uint64_t p = (ai >> r->length_bits >> 1 << r->shift) + i;
		if ((si & 7) == SHMRING__S_ORPHAN && p < oldest) {
			oldest = p;
			*s = si;
			*a = ai;
		}
	}
	return oldest;
}

/* Take over a message that a consumer had in its hands when it died. 0,
 * -EAGAIN: none, -EMSGSIZE. */
SHMRING__COLD int
shmring__mpmc_adopt(struct shmring *r, size_t limit,
		    struct shmring__claim *claim)
{
	uint64_t *adopts = &r->line[SHMRING__READ]->adopts;
	int error = -EAGAIN;
	for (int tries = 0; tries < 64; tries++) {
		uint64_t s = 0, a = 0;
		uint64_t seen = SHMRING__LOAD(&r->notice->attn, ACQUIRE);
		uint64_t p = shmring__orphan(r, &s, &a);
		if (p == SHMRING__NONE) { /* say so, unless one came since */
			if (!(seen & SHMRING__ORPHAN) ||
			    shmring__cas(&r->notice->attn, seen,
					 seen - SHMRING__ORPHAN +
						 SHMRING__VERSION))
				break;
			continue;
		}
		claim->size = a & shmring__aborted(r);
		if (claim->size > limit && claim->size != shmring__aborted(r)) {
			error = -EMSGSIZE;
			break;
		}
		SHMRING__STORE(adopts, p, RELEASE); /* R6 */
		uint64_t count = (s + 8) & SHMRING__S_COUNT;
		if (shmring__cas(shmring__s_of(r, p), s, /* R5 */
				 shmring__s(s >> 12, SHMRING__S_READER) |
					 count)) {
			claim->position = p;
			claim->data = shmring__slot(r, p) + 8;
			claim->state = SHMRING__ADOPTED;
			return 0;
		}
	}
	SHMRING__STORE(adopts, SHMRING__NONE, RELEASE);
	return error;
}

SHMRING__HOT int
shmring__mpmc_front(struct shmring *r, struct shmring__claim *claim,
		    size_t limit)
{
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		int error = -EAGAIN;
		if (SHMRING__RARELY(!r->canary->receive))
			return shmring__refusal(r, SHMRING__READ);
		if (SHMRING__RARELY(SHMRING__LOAD(&r->notice->attn, RELAXED) &
				    SHMRING__ORPHAN))
			error = shmring__mpmc_adopt(r, limit, claim);
		if (error == -EAGAIN)
			error = shmring__mpmc_claim(r, SHMRING__READ, limit,
						    claim);
		if (SHMRING__RARELY(error))
			return error;
		r->redelivered = claim->state == SHMRING__ADOPTED;
		if (claim->size < r->canary->receive)
			return 0;
		uint64_t aborted = shmring__aborted(r);
		shmring__mpmc_drop(r, claim);
		if (claim->size != aborted)
			return shmring__poison(r);
	}
	return -EAGAIN;
}

/* Whether some consumer still holds a message. */
SHMRING__COLD int
shmring__in_hands(const struct shmring *r)
{
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	for (uint64_t i = 0; i <= r->mask; i++) {
		uint64_t phase = SHMRING__LOAD(shmring__a(r, i), ACQUIRE) >>
				 r->length_bits;
		if ((phase & 1) &&
		    shmring__ahead(head, (phase >> 1 << r->shift) + i) > 0)
			return 1;
	}
	return 0;
}

/* Is a message ready, or a slot free, behind position p, so that p being
 * stuck holds somebody up? */
SHMRING__COLD int
shmring__blocked_behind(struct shmring *r, uint64_t p, uint64_t end, int reader)
{
	for (uint64_t q = p + 1; q - p <= r->mask && q != end; q++)
		if (SHMRING__LOAD(shmring__a(r, q), RELAXED) >>
			    r->length_bits ==
		    shmring__phase(r, q, reader))
			return 1;
	return 0;
}

/* Doubt that the phase of slot p will come. */
SHMRING__COLD void
shmring__doubt(struct shmring *r, uint64_t p, uint64_t phase, int dead)
{
	uint64_t s = 0, a = 0;
	for (int tries = 0; tries < SHMRING__TRIES; tries++)
		if (!shmring__tidy(r, p, &s, &a))
			break;
	if ((s & 7) != SHMRING__S_LIVE || s >> 12 >= phase ||
	    a >> r->length_bits >= phase)
		return;
	uint64_t voiding = shmring__s(phase, SHMRING__S_VOIDING);
	if (shmring__cas(shmring__s_of(r, p), s, voiding))
		shmring__decide(r, p, voiding, dead);
}

/* The same position has blocked us for long: doubt its owner, if somebody
 * has claimed it at all and more is to be had behind. */
SHMRING__COLD void
shmring__mpmc_impatient(struct shmring *r, int side)
{
	uint64_t slots = r->mask + 1;
#ifdef SHMRING_TEST_UNPROTECTED
	if (SHMRING_TEST_UNPROTECTED)
		return;
#endif
	uint64_t tail = SHMRING__LOAD(r->tail, ACQUIRE);
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	if (side == SHMRING__READ) {
		if (shmring__ahead(tail, head) > 0 &&
		    shmring__blocked_behind(r, head, tail, 1))
			shmring__doubt(r, head, shmring__phase(r, head, 1), 0);
		return;
	}
	if (shmring__ahead(head, tail - slots) > 0) {
		if (shmring__blocked_behind(r, tail, head + slots, 0))
			shmring__doubt(r, tail, shmring__phase(r, tail, 0), 0);
		return;
	}
	/* Full; or head stands before void positions and all readers sleep. */
	for (uint64_t i = 0; i < slots; i++, head++) {
		uint64_t want = shmring__phase(r, head, 1);
		uint64_t a = SHMRING__LOAD(shmring__a(r, head), ACQUIRE);
		if (shmring__ahead(tail, head) <= 0 ||
		    (a >> r->length_bits <= want &&
		     shmring__settle(r, head, want) != SHMRING__VOID) ||
		    !shmring__cas(r->head, head, head + 1))
			return;
	}
}

/* ------------------------------------------------------------------------
 * PARTICIPANTS, DEATH, RECOVERY
 *
 * FREE -> LIVE by whoever holds the line's lock; LIVE -> RECOV by anybody
 * who has proven the owner's death, or by the owner that closes; RECOV ->
 * FREE when nothing of the line's is left in the ring. Recovery takes no
 * lock: several may run it at once, be stopped or killed in it.
 * ------------------------------------------------------------------------ */

SHMRING__HOT uint32_t
shmring__state_of(uint64_t status)
{
	return (uint32_t)(status & 255);
}

SHMRING__HOT uint32_t
shmring__roles_of(uint64_t status)
{
	return (uint32_t)(status >> 8 & 255);
}

SHMRING__HOT uint64_t
shmring__status(uint64_t old, uint32_t roles, uint32_t state)
{
	return (old & ~UINT64_C(0xffff)) | (uint64_t)roles << 8 | state;
}

/* The descriptor may have been closed under us, and its number used again. */
SHMRING__COLD int
shmring__fd_is_ours(const struct shmring *r)
{
	struct stat file;
	int saved = errno;
	int failed = fstat(r->fd, &file);
	errno = saved;
	return !failed && file.st_dev == r->device && file.st_ino == r->inode;
}

/* Whether the owner of line i is dead for certain: the kernel has dropped
 * its lock, and, where its pid means anything to us, the process is gone. */
SHMRING__COLD int
shmring__dead(struct shmring *r, uint32_t i)
{
	struct shmring__line *x = &r->lines[i];
	uint32_t pid = SHMRING__LOAD(&x->pid, RELAXED);
	uint64_t start = SHMRING__LOAD(&x->start, RELAXED);
	int here =
		SHMRING__LOAD(&x->pid_namespace, RELAXED) == r->pid_namespace;
	if (here && pid == r->pid && start == r->start)
		return 0; /* another handle of this process */
	if (shmring__locked(r->fd, i) || !shmring__fd_is_ours(r))
		return 0;
	if (SHMRING__LOAD(&x->time_namespace, RELAXED) != r->time_namespace)
		start = 0; /* which we would read differently */
	return !here || shmring__process_gone(pid, start);
}

/* Whether a living participant other than x shows position p as its intent:
 * then the claim may be its own, and x lost the race. */
SHMRING__COLD int
shmring__covered(struct shmring *r, struct shmring__line *x, uint64_t p,
		 int side)
{
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		struct shmring__line *y = &r->lines[i];
		if (y != x &&
		    shmring__state_of(SHMRING__LOAD(&y->status, ACQUIRE)) ==
			    SHMRING__LIVE &&
		    (SHMRING__LOAD(&y->intent[side], ACQUIRE) == p || /* A6 */
		     (side == SHMRING__READ &&
		      SHMRING__LOAD(&y->adopts, ACQUIRE) == p)))
			return 1;
	}
	return 0;
}

/* A dead writer's intent p: if it held the slot, void the position and free
 * the slot. 0: a living one may be the owner, ask again later. */
SHMRING__COLD int
shmring__recover_write(struct shmring *r, struct shmring__line *x, uint64_t p)
{
	uint64_t free_phase = shmring__phase(r, p, 0);
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint64_t s, a;
		if (p == SHMRING__NONE ||
		    shmring__ahead(SHMRING__LOAD(r->tail, ACQUIRE), p) <= 0)
			return 1; /* shown, but not claimed */
		if (shmring__tidy(r, p, &s, &a))
			continue;
		uint64_t late = a >> r->length_bits;
		int retained = (s & 7) == SHMRING__S_WRITER;
		if (late != free_phase && !(retained && late == free_phase + 1))
			return 1; /* published, or handed back */
		if (shmring__covered(r, x, p, SHMRING__WRITE))
			return 0;
		if (SHMRING__LOAD(shmring__a(r, p), ACQUIRE) != a)
			continue; /* it was another's */
		if (retained)
			shmring__hand_back(r, p);
		else if ((s & 7) == SHMRING__S_VOIDING)
			shmring__decide(r, p, s, 1);
		else if ((s & 7) == SHMRING__S_LIVE)
			shmring__doubt(r, p, free_phase + 1, 1);
		else
			return 1;
	}
	return 0;
}

/* A dead reader's intent p: a message in its hands becomes an orphan, a slot
 * that it had read is freed. 0: as above. */
SHMRING__COLD int
shmring__recover_read(struct shmring *r, struct shmring__line *x, uint64_t p)
{
	uint64_t ready = shmring__phase(r, p, 1);
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint64_t s, a;
		if (p == SHMRING__NONE ||
		    shmring__ahead(SHMRING__LOAD(r->head, ACQUIRE), p) <= 0)
			return 1;
		if (shmring__tidy(r, p, &s, &a))
			continue;
		uint64_t phase = a >> r->length_bits;
		uint64_t state = s & 7;
		int read = phase == ready + 1 && state == SHMRING__S_READER;
		if ((phase != ready && !read) || state == SHMRING__S_ORPHAN ||
		    state == SHMRING__S_WRITER)
			return 1;
		if (shmring__covered(r, x, p, SHMRING__READ))
			return 0;
		if (SHMRING__LOAD(shmring__a(r, p), ACQUIRE) != a)
			continue;
		if (state == SHMRING__S_VOIDING) {
			shmring__decide(r, p, s, 1);
			continue;
		}
		if (read) {
			shmring__hand_back(r, p);
			continue;
		}
		uint64_t orphan = (s & ~UINT64_C(7)) | SHMRING__S_ORPHAN;
		if (state == SHMRING__S_LIVE)
			orphan = shmring__s(ready + 1, SHMRING__S_ORPHAN);
		uint64_t bits = SHMRING__DOUBT | SHMRING__ORPHAN;
		shmring__attend(r, bits, 0);
		int done = shmring__cas(shmring__s_of(r, p), s, orphan);
		shmring__attend(r, bits, 0); /* in case it was just cleared */
		if (done)
			return 1;
	}
	return 0;
}

/* If there were participants of a role, and the last has left, say so. A free
 * line keeps the roles of its last owner, so that this can be done by anyone,
 * at any time: whoever frees a line may be killed before it comes here. */
SHMRING__COLD void
shmring__note_absent(struct shmring *r)
{
	/* Of two who leave at once, one at least sees the other gone. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint64_t seen = SHMRING__LOAD(&r->notice->attn, ACQUIRE);
		uint32_t ever = 0, here = 0;
		uint64_t bits = 0;
		for (uint32_t i = 0; i < r->geometry.participants; i++) {
			uint64_t status =
				SHMRING__LOAD(&r->lines[i].status, ACQUIRE);
			ever |= shmring__roles_of(status);
			if (shmring__state_of(status) != SHMRING__FREE)
				here |= shmring__roles_of(status);
		}
		if (ever & ~here & SHMRING_PRODUCER)
			bits |= SHMRING__NO_PRODUCER;
		if (ever & ~here & SHMRING_CONSUMER)
			bits |= SHMRING__NO_CONSUMER;
		if (!(bits & ~seen))
			return;
		if (shmring__cas(&r->notice->attn, seen, /* R8 */
				 (seen | bits) + SHMRING__VERSION))
			break; /* else somebody came or left meanwhile */
	}
	shmring__wake(r, &r->notice->data, 1);
	shmring__wake(r, &r->notice->space, 1);
}

/* Line i is in RECOV, as its status was read: clear up behind it and free
 * it. 1: done by us. */
SHMRING__COLD int
shmring__bury(struct shmring *r, uint32_t i, uint64_t status, uint32_t died)
{
	struct shmring__line *x = &r->lines[i];
	/* The proof of death before the reads of S, or a slot may leak. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint64_t writes = SHMRING__LOAD(&x->intent[SHMRING__WRITE], ACQUIRE);
	uint64_t reads = SHMRING__LOAD(&x->intent[SHMRING__READ], ACQUIRE);
	uint64_t adopts = SHMRING__LOAD(&x->adopts, ACQUIRE); /* A6 */
	/* Still the same owner's? A new one would have gone through FREE. */
	if (SHMRING__LOAD(&x->status, ACQUIRE) != status)
		return 0;
	if (r->mode == SHMRING_MPMC && !(shmring__recover_write(r, x, writes) &
					 shmring__recover_read(r, x, reads) &
					 shmring__recover_read(r, x, adopts)))
		return 0;
	if (!shmring__cas(&x->status, status,
			  shmring__status(status,
					  shmring__roles_of(status) | died,
					  SHMRING__FREE)))
		return 0;
	shmring__note_absent(r);
	return 1;
}

/* Recover line i if its owner is dead. 1: done by us. */
SHMRING__COLD int
shmring__recover_line(struct shmring *r, uint32_t i)
{
	struct shmring__line *x = &r->lines[i];
#ifdef SHMRING_TEST_UNPROTECTED /* the crash tests' control: must fail */
	if (SHMRING_TEST_UNPROTECTED)
		return 0;
#endif
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	uint64_t recov = shmring__status(status, shmring__roles_of(status),
					 SHMRING__RECOV);
	if (shmring__state_of(status) == SHMRING__FREE)
		return 0;
	if (shmring__state_of(status) == SHMRING__LIVE &&
	    (!shmring__dead(r, i) || !shmring__cas(&x->status, status, recov)))
		return 0;
	return shmring__bury(r, i, recov, SHMRING__DIED);
}

SHMRING__COLD int
shmring__recover_all(struct shmring *r)
{
	int count = 0;
	for (uint32_t i = 0; i < r->geometry.participants; i++)
		count += shmring__recover_line(r, i);
	shmring__note_absent(r);
	if (r->mode == SHMRING_MPMC)
		shmring__calm(r);
	return count;
}

/* A successor writes on where its predecessor stopped: behind the last
 * published record, though tail may not tell of it yet. Head may: the reader
 * may have read on. */
SHMRING__COLD int
shmring__resume_writer(struct shmring *r)
{
	uint64_t told = SHMRING__LOAD(r->tail, ACQUIRE);
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE); /* A2 */
	uint64_t tail = told, header;
	while ((header = SHMRING__LOAD(shmring__header_at(r, tail), ACQUIRE)) !=
	       0) {
		if (header - 1 > r->geometry.slot_size)
			return -EBADMSG;
		tail += shmring__record_size(header - 1);
		if (tail - told > r->geometry.capacity)
			return -EBADMSG;
	}
	if (tail - head > r->geometry.capacity)
		return -EBADMSG;
	SHMRING__STORE(r->tail, tail, RELEASE);
	r->credit = head + r->geometry.capacity;
	return 0;
}

/* A successor reads on at head. Did the dead one have that record already? */
SHMRING__COLD int
shmring__resume_reader(struct shmring *r, int died)
{
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	uint64_t header = SHMRING__LOAD(shmring__header_at(r, head), ACQUIRE);
	r->published = SHMRING__LOAD(r->taken, RELAXED);
	if (head - r->published > r->geometry.capacity ||
	    (header && header - 1 > r->geometry.slot_size))
		return -EBADMSG;
	r->suspect[0] = r->suspect[1] = head;
	if (died && header)
		r->suspect[1] = head + shmring__record_size(header - 1);
	return 0;
}

/* Become participant i. -EBUSY: somebody living is. */
SHMRING__COLD int
shmring__take_line(struct shmring *r, uint32_t i, uint32_t roles)
{
	struct shmring__line *x = &r->lines[i];
	if (shmring__lock(r->fd, F_WRLCK, i))
		return -EBUSY;
	shmring__recover_line(r, i);
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	if (shmring__state_of(status) != SHMRING__FREE) {
		shmring__lock(r->fd, F_UNLCK, i);
		return -EBUSY;
	}
	SHMRING__STORE(&x->pid, r->pid, RELAXED);
	SHMRING__STORE(&x->start, r->start, RELAXED);
	SHMRING__STORE(&x->pid_namespace, r->pid_namespace, RELAXED);
	SHMRING__STORE(&x->time_namespace, r->time_namespace, RELAXED);
	SHMRING__STORE(&x->flags, r->fenced ? SHMRING__FENCED : 0, RELAXED);
	SHMRING__STORE(&x->intent[SHMRING__READ], SHMRING__NONE, RELAXED);
	SHMRING__STORE(&x->intent[SHMRING__WRITE], SHMRING__NONE, RELAXED);
	SHMRING__STORE(&x->adopts, SHMRING__NONE, RELAXED);
	/* R7: all of this before the status; the status before our claims */
	SHMRING__STORE(&x->status,
		       shmring__status(status + 0x10000, roles, SHMRING__LIVE),
		       SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (int side = 0; side < 2; side++)
		if (roles & (side == SHMRING__READ ? SHMRING_CONSUMER
						   : SHMRING_PRODUCER))
			r->line[side] = x;
	shmring__attend(
		r, 0,
		(roles & SHMRING_PRODUCER ? SHMRING__NO_PRODUCER : 0) |
			(roles & SHMRING_CONSUMER ? SHMRING__NO_CONSUMER : 0));
	if (r->mode == SHMRING_MPMC)
		return 0;
	return roles == SHMRING_PRODUCER
		       ? shmring__resume_writer(r)
		       : shmring__resume_reader(r, shmring__roles_of(status) &
							   SHMRING__DIED);
}

/* Find a line for each role: SPSC has one a role, MPMC takes any. */
SHMRING__COLD int
shmring__attach(struct shmring *r)
{
	uint32_t roles = r->roles & SHMRING_BOTH;
	int error = -EUSERS;
	if (r->mode == SHMRING_SPSC) {
		error = 0;
		if (roles & SHMRING_PRODUCER)
			error = shmring__take_line(r, SHMRING__WRITE,
						   SHMRING_PRODUCER);
		if (!error && (roles & SHMRING_CONSUMER))
			error = shmring__take_line(r, SHMRING__READ,
						   SHMRING_CONSUMER);
		return error;
	}
	r->fenced = shmring__os(SYS_membarrier, SHMRING__MEMBARRIER * 2, 0, 0,
				0, 0, 0) != 0; /* register */
	for (uint32_t i = 0; error && i < r->geometry.participants; i++)
		if (shmring__take_line(r, i, roles) == 0)
			error = 0;
	return error;
}

/* Give up our lines. A claim still in hands is recovered as if we had died:
 * peeked messages go to others. */
SHMRING__COLD void
shmring__detach(struct shmring *r)
{
	for (int side = 0; side < 2; side++) {
		struct shmring__line *x = r->line[side];
		if (!x)
			continue;
		uint32_t i = (uint32_t)(x - r->lines);
		uint64_t status = SHMRING__LOAD(&x->status, RELAXED);
		uint64_t recov = shmring__status(
			status, shmring__roles_of(status), SHMRING__RECOV);
		if (shmring__state_of(status) == SHMRING__LIVE &&
		    shmring__cas(&x->status, status, recov))
			shmring__bury(r, i, recov,
				      r->held[SHMRING__READ].state
					      ? SHMRING__DIED
					      : 0);
	}
}

/* ------------------------------------------------------------------------
 * LIFE CYCLE
 * ------------------------------------------------------------------------ */

SHMRING__HOT uint64_t
shmring__round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) & ~(unit - 1);
}

SHMRING__HOT uint64_t
shmring__power_of_two(uint64_t size)
{
	return size <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(size - 1));
}

/* Work out the offsets from the parameters; -EINVAL if these are not sound,
 * whether a caller or the content of a file gave them. */
SHMRING__COLD int
shmring__lay_out(struct shmring__geometry *g)
{
	uint64_t slots = g->slots;
	if (slots < 1 || slots > 1u << 30 || (slots & (slots - 1)) ||
	    g->slot_size < 1 || g->slot_size > 1u << 30 || g->page < 4096 ||
	    g->page > 1u << 30 || (g->page & (g->page - 1)))
		return -EINVAL;
	g->index = shmring__round_up(sizeof(struct shmring__header) +
					     (uint64_t)g->participants *
						     SHMRING__LINE,
				     g->page);
	g->stride = 8 + shmring__round_up(g->slot_size, 8);
	if (g->mode == SHMRING_SPSC && g->participants == 2) {
		g->consumer = g->index + g->page;
		g->states = 0;
		g->data = g->consumer + g->page;
		/* 8: the header after the last record is cleared, too */
		g->capacity = shmring__power_of_two(slots * g->stride + 8);
		if (g->capacity < g->page)
			g->capacity = g->page;
	} else if (g->mode == SHMRING_MPMC && g->participants >= 1 &&
		   g->participants <= 1024 && slots >= 2 &&
		   slots >= 2 * (uint64_t)g->participants) {
		g->consumer = 0;
		g->states = g->index + g->page;
		g->data = g->states + shmring__round_up(slots * 8, g->page);
		g->capacity = shmring__round_up(slots * g->stride, g->page);
	} else {
		return -EINVAL;
	}
	g->total = g->data + g->capacity;
	return 0;
}

SHMRING__COLD int
shmring__boot_id(unsigned char id[16])
{
	char text[36];
	int digits = 0;
	memset(id, 0, 16);
	long got = shmring__read_file("/proc/sys/kernel/random/boot_id", text,
				      sizeof(text));
	if (got != sizeof(text))
		return got < 0 ? (int)got : -ENOENT;
	for (int i = 0; i < 36 && digits < 32; i++) {
		int c = text[i];
		int value = c <= '9' ? c - '0' : c - 'a' + 10;
		if (c != '-') {
			id[digits / 2] =
				(unsigned char)(id[digits / 2] << 4 | value);
			digits++;
		}
	}
	return 0;
}

/* The number of one of our namespaces; 0 where there is no such kind. */
SHMRING__COLD uint64_t
shmring__namespace(const char *path)
{
	struct stat file;
	int saved = errno;
	int failed = stat(path, &file);
	errno = saved;
	return failed ? 0 : (uint64_t)file.st_ino;
}

/* Read and judge the identity of a segment; each fault has its own error. */
SHMRING__COLD int
shmring__identify(struct shmring *r, struct shmring__header *h)
{
	struct shmring__geometry *g = &r->geometry;
	unsigned char boot_id[16];
	struct stat file;
	int saved = errno;
	int failed = fstat(r->fd, &file);
	errno = saved;
	if (failed)
		return -EBADF;
	r->device = file.st_dev;
	r->inode = file.st_ino;
	if (!S_ISREG(file.st_mode) ||
	    shmring__os(SYS_pread64, r->fd, (long)h, sizeof(*h), 0, 0, 0) !=
		    sizeof(*h) ||
	    h->magic != SHMRING__MAGIC)
		return -EPROTO;
	if (h->byte_order != SHMRING__BYTE_ORDER || h->word_size != 8)
		return -EPROTOTYPE;
	if (h->layout != SHMRING_LAYOUT)
		return -EPROTONOSUPPORT;
	int error = shmring__boot_id(boot_id);
	if (error)
		return error;
	if (memcmp(boot_id, h->boot_id, sizeof(boot_id)) != 0)
		return -EREMOTE;
	if (!(r->roles & SHMRING_ANY_OWNER) &&
	    (file.st_uid != h->creator ||
	     (file.st_uid != geteuid() && file.st_uid != 0)))
		return -EPERM;
	if (file.st_mode & 0022 & ~h->permissions)
		return -EPERM;
	g->mode = h->mode;
	g->slots = h->slots;
	g->slot_size = h->slot_size;
	g->participants = h->participants;
	g->page = h->page;
	if (shmring__lay_out(g) || g->capacity != h->capacity ||
	    g->total != h->total)
		return -EBADMSG;
	return (uint64_t)file.st_size == g->total ? 0 : -EOVERFLOW;
}

/* Map each part with no more rights than this handle needs. SPSC data twice
 * in a row. */
SHMRING__COLD int
shmring__map_all(struct shmring *r, uint32_t flags)
{
	const struct shmring__geometry *g = &r->geometry;
	int populate = flags & SHMRING_PREFAULT ? MAP_POPULATE : 0;
	int observer = (r->roles & SHMRING_OBSERVER) != 0;
	int all = observer ? PROT_READ : PROT_READ | PROT_WRITE;
	int writer = r->roles & SHMRING_PRODUCER ? all : PROT_READ;
	int reader = r->roles & SHMRING_CONSUMER ? all : PROT_READ;
	int mirrored = g->mode == SHMRING_SPSC;
	const struct {
		uint64_t at, length, offset;
		int protection;
	} parts[] = {
		{ 0, mirrored ? g->index : g->total, 0, all },
		{ g->index, g->page, g->index, writer },
		{ g->consumer, g->page, g->consumer, reader },
		{ g->data, g->capacity, g->data, writer },
		{ g->total, g->capacity, g->data, writer }, /* once more */
	};
	int error = 0;
	r->mapped = g->total + (mirrored ? g->capacity : 0);
	r->base = shmring__reserve_pages(r->mapped, g->page, &r->reserved);
	if (!r->base)
		return -ENOMEM;
	for (int i = 0; !error && i < (mirrored ? 5 : 1); i++) {
		long at = shmring__mmap(r->base + parts[i].at, parts[i].length,
					parts[i].protection,
					MAP_SHARED | MAP_FIXED | populate,
					r->fd, parts[i].offset);
		error = at < 0 ? (int)at : 0;
	}
	if (!error && (flags & SHMRING_HUGE))
		error = shmring__collapse(r->base + g->data, g->capacity);
	if (!error && (flags & SHMRING_MLOCK))
		error = (int)shmring__os(SYS_mlock, (long)r->base,
					 (long)r->mapped, 0, 0, 0, 0);
	return error;
}

static struct shmring__canary shmring__closed __attribute__((unused));

/* A handle that is not open: every call on it is refused. */
SHMRING__COLD void
shmring__blank(struct shmring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = r->pass = -1;
	r->canary = &shmring__closed;
	r->mode = SHMRING_MPMC; /* whose calls look at the canary first */
}

/* Unmap and close. */
SHMRING__COLD void
shmring__let_go(struct shmring *r)
{
	if (r->base)
		shmring__munmap(r->reserved, r->mapped + 2 * r->geometry.page);
	if (r->canary != &shmring__closed)
		shmring__munmap(r->canary, SHMRING__CANARY);
	if (r->fd >= 0 && shmring__fd_is_ours(r))
		shmring__os(SYS_close, r->fd, 0, 0, 0, 0, 0);
	if (r->pass >= 0)
		shmring__os(SYS_close, r->pass, 0, 0, 0, 0, 0);
	free(r->spill);
	shmring__blank(r);
}

/* Point the handle into the mapping. */
SHMRING__COLD void
shmring__aim(struct shmring *r)
{
	const struct shmring__geometry *g = &r->geometry;
	unsigned char *index = r->base + g->index;
	r->header = (struct shmring__header *)(void *)r->base;
	r->notice = &r->header->notice;
	r->lines = (struct shmring__line *)(void *)(r->header + 1);
	r->data = r->base + g->data;
	r->mode = g->mode;
	r->stride = g->stride;
	r->length_bits =
		64 - (uint32_t)__builtin_clzll(UINT64_C(1) + g->slot_size);
	r->tail = (uint64_t *)(void *)index;
	if (g->mode == SHMRING_SPSC) {
		unsigned char *consumer = r->base + g->consumer;
		r->head = (uint64_t *)(void *)consumer;
		r->taken = (uint64_t *)(void *)(consumer + SHMRING__LINE);
		r->mask = g->capacity - 8; /* keeps hostile positions aligned */
		r->lazy = g->capacity / 8;
		r->ahead = SHMRING_AHEAD < r->lazy ? SHMRING_AHEAD : r->lazy;
	} else {
		r->head = (uint64_t *)(void *)(index + SHMRING__LINE);
		r->states = (uint64_t *)(void *)(r->base + g->states);
		r->mask = g->slots - 1;
		r->ahead = SHMRING_AHEAD / g->stride;
		if (r->ahead > g->slots / 4)
			r->ahead = g->slots / 4;
		r->shift = (uint32_t)__builtin_ctz(g->slots);
	}
}

/* -EOPNOTSUPP: a child could use our handle, and nobody would notice. */
SHMRING__COLD int
shmring__watch_forks(struct shmring *r)
{
	long page = shmring__mmap(NULL, SHMRING__CANARY, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page < 0)
		return (int)page;
	r->canary = (struct shmring__canary *)page;
	if (shmring__os(SYS_madvise, page, SHMRING__CANARY,
			18 /* MADV_WIPEONFORK */, 0, 0, 0))
		return -EOPNOTSUPP;
	r->canary->alive = 1;
	return 0;
}

/* Become a handle on the segment behind fd, which it keeps (and closes on
 * failure). */
SHMRING__COLD int
shmring__join(struct shmring *r, int fd, unsigned roles)
{
	struct shmring__header header;
	shmring__blank(r);
	r->fd = fd;
	r->roles = roles;
	r->pid = (uint32_t)getpid();
	int64_t start = shmring__start_time(r->pid);
	r->start = (uint64_t)start;
	r->pid_namespace = shmring__namespace("/proc/self/ns/pid");
	r->time_namespace = shmring__namespace("/proc/self/ns/time");
	r->spin_ns = SHMRING_SPIN_NS;
	int error = shmring__identify(r, &header);
	if (!error && start < 0)
		error = (int)start;
	if (!error)
		error = shmring__map_all(r, header.flags);
	if (!error)
		error = shmring__watch_forks(r);
	if (!error) {
		shmring__aim(r);
		if (!(roles & (SHMRING_OBSERVER | SHMRING__KEEPER)))
			error = shmring__attach(r);
	}
	if (!error && SHMRING__LOAD(&r->header->retired, SEQ_CST) &&
	    !(roles & SHMRING__KEEPER))
		error = -ESTALE;
	if (error) {
		shmring__detach(r);
		shmring__let_go(r);
		return error;
	}
	if (r->line[SHMRING__READ])
		r->canary->receive = UINT64_C(1) + r->geometry.slot_size;
	if (r->line[SHMRING__WRITE])
		r->canary->send = UINT64_C(1) + r->geometry.slot_size;
	return 0;
}

/* The path of a name like "/prices": one component, the slash optional. */
SHMRING__COLD int
shmring__path(char path[PATH_MAX], const char *name)
{
	if (!name)
		return -EINVAL;
	if (*name == '/')
		name++;
	if (!*name || strchr(name, '/') || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return -EINVAL;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	snprintf(path, PATH_MAX, "%s/%s", SHMRING_DIRECTORY, name);
	return 0;
}

/* The path under which a process reaches its own descriptor. */
#define SHMRING__SELF 32

static inline void
shmring__self(char path[SHMRING__SELF], int fd)
{
	snprintf(path, SHMRING__SELF, "/proc/self/fd/%d", fd);
}

/* An open file of our own on what fd refers to, for locks of our own. */
SHMRING__COLD int
shmring__reopen(int fd, unsigned roles)
{
	char self[SHMRING__SELF];
	shmring__self(self, fd);
	return (int)shmring__os(SYS_openat, AT_FDCWD, (long)self,
				(roles & SHMRING_OBSERVER ? O_RDONLY : O_RDWR) |
					O_CLOEXEC,
				0, 0, 0);
}

/* The caller's wishes with the defaults filled in, as a header. */
SHMRING__COLD int
shmring__design(struct shmring__header *h, const struct shmring_config *config)
{
	struct shmring__geometry g;
	struct shmring_config wish;
	struct timespec now;
	memset(&g, 0, sizeof(g));
	memset(&wish, 0, sizeof(wish));
	memset(h, 0, sizeof(*h));
	if (config)
		wish = *config;
	if (wish.slots > 1u << 30 || wish.roles > SHMRING_OBSERVER ||
	    wish.permissions > 0777 || wish.flags > 31)
		return -EINVAL;
	g.mode = wish.mode;
	g.slots =
		wish.slots ? (uint32_t)shmring__power_of_two(wish.slots) : 1024;
	g.slot_size = wish.slot_size ? wish.slot_size : 256;
	g.participants = g.slots / 2 < 64 ? g.slots / 2 : 64;
	if (wish.participants)
		g.participants = wish.participants;
	if (wish.mode == SHMRING_SPSC)
		g.participants = 2;
	g.page = wish.flags & (SHMRING_HUGE | SHMRING_HUGETLB)
			 ? UINT64_C(2) << 20
			 : (uint64_t)sysconf(_SC_PAGESIZE);
	if (shmring__lay_out(&g))
		return -EINVAL;
	clock_gettime(CLOCK_REALTIME, &now);
	h->magic = SHMRING__MAGIC;
	h->layout = SHMRING_LAYOUT;
	h->byte_order = SHMRING__BYTE_ORDER;
	h->word_size = 8;
	h->mode = g.mode;
	h->slots = g.slots;
	h->slot_size = g.slot_size;
	h->participants = g.participants;
	h->permissions = wish.permissions ? wish.permissions : 0600;
	h->flags = wish.flags;
	h->creator = geteuid();
	h->page = g.page;
	h->capacity = g.capacity;
	h->total = g.total;
	h->created = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
		     (uint64_t)now.tv_nsec;
	h->pid_namespace = shmring__namespace("/proc/self/ns/pid");
	return shmring__boot_id(h->boot_id);
}

/* Give an empty file, still unknown to all, its size and identity. The pages
 * are allocated now, so that none can be missing later (SIGBUS). */
SHMRING__COLD int
shmring__found(int fd, const struct shmring__header *h)
{
	long error = shmring__os(SYS_ftruncate, fd, (long)h->total, 0, 0, 0, 0);
	uint64_t step = UINT64_C(2) << 20; /* signals interrupt longer ones */
	for (uint64_t at = 0; !error && at < h->total; at += step) {
		uint64_t size = h->total - at < step ? h->total - at : step;
		do
			error = shmring__os(SYS_fallocate, fd, 0, (long)at,
					    (long)size, 0, 0);
		while (error == -EINTR);
	}
	if (!error)
		error = shmring__os(SYS_fchmod, fd, h->permissions, 0, 0, 0, 0);
	if (error)
		return (int)error;
	long at = shmring__mmap(NULL, h->page, PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0);
	if (at < 0)
		return (int)at;
	memcpy((void *)at, h, sizeof(*h));
	shmring__munmap((void *)at, h->page);
	return 0;
}

/* What stands under a name that is taken? -EEXIST: in use, or in good order;
 * -EOWNERDEAD: its users died; 0: nothing, or, to replace it, it was
 * unlinked. Whoever attaches meanwhile leaves again when it sees `retired`:
 * it stores LIVE, then loads retired; we store retired, then load LIVE. */
SHMRING__COLD int
shmring__displace(const char *path, int replace)
{
	struct shmring old;
	struct stat now;
	int busy = 0, dead = 0;
	long fd = shmring__os(SYS_openat, AT_FDCWD, (long)path,
			      O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0, 0, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : (int)fd;
	if (shmring__join(&old, (int)fd, SHMRING__KEEPER | SHMRING_ANY_OWNER))
		return -EEXIST; /* no ring that we could judge */
	replace = replace && !shmring__lock(old.fd, F_WRLCK, SHMRING__REPLACER);
	if (replace)
		SHMRING__STORE(&old.header->retired, 1, SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < old.geometry.participants; i++) {
		uint64_t status = SHMRING__LOAD(&old.lines[i].status, ACQUIRE);
		if (shmring__state_of(status) == SHMRING__FREE)
			dead += (shmring__roles_of(status) & SHMRING__DIED) !=
				0;
		else if (shmring__dead(&old, i))
			dead++;
		else
			busy = 1;
	}
	int saved = errno;
	int error = dead && !busy ? -EOWNERDEAD : -EEXIST;
	if (replace && busy) {
		SHMRING__STORE(&old.header->retired, 0, SEQ_CST);
		error = -EBUSY;
	} else if (replace) {
		/* Another may have replaced it before we got the lock. */
		int same = !stat(path, &now) && now.st_ino == old.inode &&
			   now.st_dev == old.device;
		error = same && unlink(path) ? -errno : 0;
	}
	errno = saved;
	shmring__let_go(&old);
	return error;
}

static inline int
shmring_create(struct shmring *ring, const char *name,
	       const struct shmring_config *config)
{
	struct shmring__header header;
	char path[PATH_MAX], self[SHMRING__SELF];
	shmring__blank(ring);
	int error = shmring__path(path, name);
	if (error)
		return error;
	error = shmring__design(&header, config);
	if (error)
		return error;
	if (header.flags & SHMRING_HUGETLB)
		return -EINVAL;
	int replace = (header.flags & SHMRING_REPLACE) != 0;
	if (!replace)
		error = shmring__displace(path, 0);
	if (error)
		return error;
	/* Without a name until all is done, creator attached: a half-made
	 * ring is never seen, and dies with us. */
	long fd = shmring__os(SYS_openat, AT_FDCWD, (long)SHMRING_DIRECTORY,
			      020000000 | O_DIRECTORY /* O_TMPFILE */ | O_RDWR |
				      O_CLOEXEC,
			      0600, 0, 0);
	if (fd < 0)
		return (int)fd;
	error = shmring__found((int)fd, &header);
	if (error) {
		shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
		return error;
	}
	error = shmring__join(ring, (int)fd,
			      config && config->roles ? config->roles
						      : SHMRING_BOTH);
	if (error)
		return error;
	shmring__self(self, (int)fd);
	for (int tries = 0; tries < 64; tries++) {
		error = (int)shmring__os(SYS_linkat, AT_FDCWD, (long)self,
					 AT_FDCWD, (long)path,
					 AT_SYMLINK_FOLLOW, 0);
		if (error == -EEXIST)
			error = shmring__displace(path, replace);
		else
			break;
		if (error)
			break;
	}
	if (error)
		shmring_close(ring);
	return error;
}

static inline int
shmring_create_memfd(struct shmring *ring, const struct shmring_config *config)
{
	struct shmring__header header;
	shmring__blank(ring);
	int error = shmring__design(&header, config);
	if (error)
		return error;
	long huge = 4 | 21 << 26; /* MFD_HUGETLB | MFD_HUGE_2MB */
	long pass =
		shmring__os(SYS_memfd_create, (long)"shmring",
			    3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */ |
				    (header.flags & SHMRING_HUGETLB ? huge : 0),
			    0, 0, 0, 0);
	if (pass < 0)
		return (int)pass;
	error = shmring__found((int)pass, &header);
	if (error == -ENOSPC && (header.flags & SHMRING_HUGETLB))
		error = -ENOMEM; /* no huge pages are reserved */
	if (!error)
		error = (int)shmring__os(SYS_fcntl, pass,
					 1033 /* F_ADD_SEALS */,
					 7 /* SEAL, SHRINK, GROW */, 0, 0, 0);
	/* The one we pass on must not carry our locks. */
	int fd = error ? error : shmring__reopen((int)pass, SHMRING_BOTH);
	error = fd < 0 ? fd
		       : shmring__join(ring, fd,
				       config && config->roles ? config->roles
							       : SHMRING_BOTH);
	if (error)
		shmring__os(SYS_close, pass, 0, 0, 0, 0, 0);
	else
		ring->pass = (int)pass;
	return error;
}

static inline int
shmring_fd(const struct shmring *ring)
{
	return ring->pass >= 0 ? ring->pass : -ENOTSUP;
}

/* The roles as asked for, or 0 if they make no sense. */
SHMRING__COLD unsigned
shmring__roles(unsigned roles)
{
	unsigned plain = roles & ~SHMRING_ANY_OWNER;
	if (!plain)
		return roles | SHMRING_BOTH;
	return plain > SHMRING_OBSERVER ? 0 : roles;
}

static inline int
shmring_open_fd(struct shmring *ring, int fd, unsigned roles)
{
	shmring__blank(ring);
	roles = shmring__roles(roles);
	if (!roles)
		return -EINVAL;
	long seals =
		shmring__os(SYS_fcntl, fd, 1034 /* F_GET_SEALS */, 0, 0, 0, 0);
	if (seals == -EBADF)
		return -EBADF;
	if (seals < 0 || (seals & 6) != 6 /* SHRINK, GROW */)
		return -EPERM;
	fd = shmring__reopen(fd, roles);
	return fd < 0 ? fd : shmring__join(ring, fd, roles);
}

static inline int
shmring_dup(struct shmring *copy, const struct shmring *ring, unsigned roles)
{
	shmring__blank(copy);
	roles = shmring__roles(roles);
	if (!roles)
		return -EINVAL;
	if (ring->fd < 0 || !shmring__fd_is_ours(ring))
		return -EBADF;
	int fd = shmring__reopen(ring->fd, roles);
	return fd < 0 ? fd : shmring__join(copy, fd, roles);
}

static inline int
shmring_open(struct shmring *ring, const char *name, unsigned roles,
	     int64_t timeout_ns)
{
	char path[PATH_MAX];
	int64_t deadline = timeout_ns > 0 ? SHMRING_NOW() + timeout_ns : 0;
	shmring__blank(ring);
	int error = shmring__path(path, name);
	roles = shmring__roles(roles);
	if (error || !roles)
		return error ? error : -EINVAL;
	for (;;) {
		long fd = shmring__os(
			SYS_openat, AT_FDCWD, (long)path,
			(roles & SHMRING_OBSERVER ? O_RDONLY : O_RDWR) |
				O_CLOEXEC | O_NOFOLLOW,
			0, 0, 0);
		error = fd < 0 ? (int)fd : shmring__join(ring, (int)fd, roles);
		/* -ESTALE: it is being replaced, as good as absent. */
		if ((error != -ENOENT && error != -ESTALE) || !timeout_ns)
			return error;
		if (deadline && SHMRING_NOW() >= deadline)
			return -ETIMEDOUT;
		shmring__nap(1000000);
	}
}

static inline int
shmring_close(struct shmring *ring)
{
	if (ring->canary && ring->canary->alive)
		shmring__detach(ring);
	if (ring->canary)
		shmring__let_go(ring);
	return 0;
}

static inline int
shmring_unlink(const char *name)
{
	char path[PATH_MAX];
	int error = shmring__path(path, name);
	if (!error)
		error = (int)shmring__os(SYS_unlinkat, AT_FDCWD, (long)path, 0,
					 0, 0, 0);
	return error;
}

/* ------------------------------------------------------------------------
 * PUSH, POP
 * ------------------------------------------------------------------------ */

/* A message that was just filled in word by word is copied word by word: its
 * words are still on their way to the cache, where a wider load would have to
 * wait for all stores before them (measured: 1.3 times the messages of 64
 * bytes). asm, or compilers make wide loads of it. */
SHMRING__HOT void
shmring__copy_words(char *to, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word;
		memcpy(&word, from + i, 8);
		__asm__("" : "+r"(word));
		memcpy(to + i, &word, 8);
	}
}

/* Memory copy that stays inline for what is small, its size known or not: a
 * call would cost more than the rest of push. */
SHMRING__HOT void
shmring__copy(void *to, const void *from, size_t size)
{
	char *t = (char *)to;
	const char *f = (const char *)from;
	if (__builtin_constant_p(size)) {
		if (size <= 64 && size % 8 == 0)
			shmring__copy_words(t, f, size);
		else
			memcpy(t, f, size);
		return;
	}
	/* Forget whose memory it is: compilers warn of branches not taken. */
	__asm__("" : "+r"(t), "+r"(f));
	if (size > 64) {
		memcpy(t, f, size);
	} else if (size > 32) { /* two halves that may overlap */
		memcpy(t, f, 32);
		memcpy(t + size - 32, f + size - 32, 32);
	} else if (size > 16) {
		memcpy(t, f, 16);
		memcpy(t + size - 16, f + size - 16, 16);
	} else if (size >= 8) {
		memcpy(t, f, 8);
		memcpy(t + size - 8, f + size - 8, 8);
	} else if (size >= 4) {
		memcpy(t, f, 4);
		memcpy(t + size - 4, f + size - 4, 4);
	} else {
		for (size_t i = 0; i < size; i++)
			t[i] = f[i];
	}
}

/* Nothing to be had at the moment. Is it for good (-EPIPE)? Now and then,
 * look after those who may hold us up. */
SHMRING__COLD int
shmring__nothing(struct shmring *r, int side)
{
	struct shmring__idle *idle = &r->idle[side];
	struct shmring__line *mine = r->line[side];
	uint64_t position = SHMRING__LOAD(
		side == SHMRING__READ ? r->head : r->tail, RELAXED);
	uint64_t done = SHMRING__LOAD(
		side == SHMRING__READ ? &mine->popped : &mine->pushed, RELAXED);
	if (position != idle->position || !idle->calls) {
		idle->position = position;
		idle->since = 0;
		idle->calls = 0;
		idle->streak = done - idle->done;
		idle->done = done;
		shmring__count(
			side == SHMRING__READ ? &mine->empty : &mine->full, 1);
		/* Empty: the writers shall know of all the space. */
		if (side == SHMRING__READ && r->mode == SHMRING_SPSC &&
		    r->published != position)
			shmring__spsc_publish(r, position);
		else if (side == SHMRING__READ &&
			 (SHMRING__LOAD(&r->notice->space, SEQ_CST) &
			  SHMRING__STIRS))
			shmring__announce_space(r);
	}
	if (side == SHMRING__READ &&
	    (SHMRING__LOAD(&r->notice->attn, ACQUIRE) & /* A8 */
	     SHMRING__NO_PRODUCER))
		return -EPIPE;
	/* The clock at calls 1, 2, 4, 8, 16, 32 of every 64. */
	idle->calls++;
	if (!(idle->calls & (idle->calls - 1) & 63) || r->slept) {
		int64_t now = SHMRING_NOW();
		r->slept = 0;
		if (!idle->since)
			idle->since = now;
		if (r->mode == SHMRING_MPMC &&
		    now - idle->since >= SHMRING_PATIENCE_NS)
			shmring__mpmc_impatient(r, side);
		if (now - r->looked >= SHMRING_SLICE_NS) {
			r->looked = now;
			shmring__recover_all(r);
		}
	}
	return -EAGAIN;
}

/* Room for a message of size bytes, in the ring. Here and below: a constant
 * mode leaves one engine's code only. */
SHMRING__HOT int
shmring__room(struct shmring *r, uint32_t mode, size_t size,
	      struct shmring__claim *claim, int lazy)
{
	int error;
	if (SHMRING__RARELY(size >= r->canary->send))
		return shmring__refusal(r, SHMRING__WRITE);
	if (SHMRING__RARELY(SHMRING__LOAD(&r->notice->attn, ACQUIRE) & /* A8 */
			    SHMRING__NO_CONSUMER))
		return -EPIPE;
	if (mode == SHMRING_SPSC)
		error = shmring__spsc_room(r, SHMRING__LOAD(r->tail, RELAXED),
					   size, claim, lazy);
	else
		error = shmring__mpmc_claim(r, SHMRING__WRITE, 0, claim);
	return SHMRING__RARELY(error == -EAGAIN)
		       ? shmring__nothing(r, SHMRING__WRITE)
		       : error;
}

/* The message is complete. 1: its position was void, it is still ours. */
SHMRING__HOT int
shmring__deliver(struct shmring *r, uint32_t mode,
		 const struct shmring__claim *claim, size_t size)
{
	struct shmring__line *mine = r->line[SHMRING__WRITE];
	if (mode == SHMRING_SPSC) {
		shmring__spsc_deliver(r, claim, size);
	} else {
		if (SHMRING__RARELY(shmring__mpmc_deliver(r, claim, size)))
			return 1;
		r->last = claim->position + 1;
	}
	shmring__count(&mine->pushed, 1);
	if (mode == SHMRING_MPMC) /* SPSC: tail tells */
		shmring__count(&mine->pushed_bytes, size);
	return 0;
}

/* The next message, ours alone until dropped. */
SHMRING__HOT int
shmring__front_once(struct shmring *r, uint32_t mode,
		    struct shmring__claim *claim, size_t limit)
{
	return mode == SHMRING_SPSC
		       ? shmring__spsc_front(r, SHMRING__LOAD(r->head, RELAXED),
					     claim, limit)
		       : shmring__mpmc_front(r, claim, limit);
}

SHMRING__COLD int
shmring__front_empty(struct shmring *r, struct shmring__claim *claim,
		     size_t limit)
{
	int error = shmring__nothing(r, SHMRING__READ);
	if (error != -EPIPE)
		return error;
	/* The last producer may have pushed between our look and its end, and
	 * a consumer may have died with a message in its hands. One that
	 * lives may yet: it is not the end before it has let go. */
	shmring__recover_all(r);
	int again = shmring__front_once(r, r->mode, claim, limit);
	if (again != -EAGAIN)
		return again;
	return r->mode == SHMRING_MPMC && shmring__in_hands(r) ? -EAGAIN
							       : error;
}

SHMRING__HOT int
shmring__front(struct shmring *r, uint32_t mode, struct shmring__claim *claim,
	       size_t limit)
{
	int error = shmring__front_once(r, mode, claim, limit);
	if (SHMRING__RARELY(error == -EAGAIN)) {
		/* A claim of its own keeps *claim in registers. */
		struct shmring__claim late = { 0, 0, NULL, SHMRING__IDLE };
		error = shmring__front_empty(r, &late, limit);
		claim->position = late.position;
		claim->size = late.size;
		claim->data = late.data;
		claim->state = late.state;
	}
	return error;
}

SHMRING__HOT void
shmring__drop(struct shmring *r, uint32_t mode,
	      const struct shmring__claim *claim)
{
	struct shmring__line *mine = r->line[SHMRING__READ];
	if (mode == SHMRING_SPSC)
		shmring__spsc_free(r, shmring__spsc_pass(r, claim));
	else
		shmring__mpmc_drop(r, claim);
	shmring__count(&mine->popped, 1);
	if (mode == SHMRING_MPMC) /* SPSC: head tells */
		shmring__count(&mine->popped_bytes, claim->size);
}

/* Push without waking anybody yet. */
SHMRING__HOT int
shmring__put_in(struct shmring *r, uint32_t mode, const void *data, size_t size,
		int lazy)
{
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		struct shmring__claim claim = { 0, 0, NULL, SHMRING__IDLE };
		int error = shmring__room(r, mode, size, &claim, lazy);
		if (SHMRING__RARELY(error))
			return error;
		SHMRING_COPY(claim.data, data, size);
		if (SHMRING__RARELY(shmring__deliver(r, mode, &claim, size))) {
			shmring__hand_back(r, claim.position);
			continue; /* we were too slow: the next position */
		}
		return 0;
	}
	return -EAGAIN;
}

SHMRING__HOT int
shmring__put(struct shmring *r, const void *data, size_t size, int lazy)
{
	return r->mode == SHMRING_SPSC
		       ? shmring__put_in(r, SHMRING_SPSC, data, size, lazy)
		       : shmring__put_in(r, SHMRING_MPMC, data, size, lazy);
}

SHMRING__HOT ssize_t
shmring__pop_in(struct shmring *r, uint32_t mode, void *buffer, size_t capacity)
{
	struct shmring__claim claim = { 0, 0, NULL, SHMRING__IDLE };
	int error = shmring__front(r, mode, &claim, capacity);
	if (SHMRING__RARELY(error))
		return error;
	if (claim.size > capacity) /* cannot be; the compiler shall know */
		__builtin_unreachable();
	if (__builtin_constant_p(capacity) && capacity &&
	    claim.size == capacity)
		SHMRING_COPY(buffer, claim.data, capacity);
	else
		SHMRING_COPY(buffer, claim.data, claim.size);
	shmring__drop(r, mode, &claim);
	return (ssize_t)claim.size;
}

SHMRING__HOT int
shmring__push(struct shmring *r, const void *data, size_t size, int lazy)
{
	int error = shmring__put(r, data, size, lazy);
	if (!SHMRING__RARELY(error))
		shmring__announce(r);
	return error;
}

/* SPSC: as many messages as go in easily. They are there all at once, for the
 * first header comes last; tail and the counter move once for all. */
SHMRING__HOT size_t
shmring__spsc_put_n(struct shmring *r, const struct iovec *messages,
		    size_t count, int lazy)
{
	uint64_t first = SHMRING__LOAD(r->tail, RELAXED);
	uint64_t tail = first;
	size_t n;
	if (SHMRING__RARELY(SHMRING__LOAD(&r->notice->attn, ACQUIRE) & /* A8 */
			    SHMRING__NO_CONSUMER))
		return 0;
	for (n = 0; n < count; n++) {
		struct shmring__claim claim = { 0, 0, NULL, SHMRING__IDLE };
		size_t size = messages[n].iov_len;
		if (size >= r->canary->send ||
		    shmring__spsc_room(r, tail, size, &claim, lazy))
			break;
		SHMRING_COPY(claim.data, messages[n].iov_base, size);
		tail = shmring__spsc_seal(r, &claim, size);
		if (n)
			SHMRING__STORE((uint64_t *)(void *)(claim.data - 8),
				       size + 1, RELAXED);
	}
	if (n) {
		SHMRING__PUBLISH(shmring__header_at(r, first),
				 messages[0].iov_len + 1); /* R1 */
		SHMRING__STORE(r->tail, tail, RELAXED);
		shmring__count(&r->line[SHMRING__WRITE]->pushed, n);
	}
	return n;
}

/* SPSC: as many messages as are there, up to a redelivered one. The counter
 * moves once for all; head does not, or a successor would get the whole batch
 * again. */
SHMRING__HOT size_t
shmring__spsc_get_n(struct shmring *r, struct iovec *messages, size_t count)
{
	uint64_t head = SHMRING__LOAD(r->head, RELAXED);
	uint64_t suspect = /* the end of one; no message ends at an odd place */
		r->suspect[0] != r->suspect[1] ? r->suspect[1] : 1;
	size_t n;
	for (n = 0; n < count && head != suspect; n++) {
		struct shmring__claim claim = { 0, 0, NULL, SHMRING__IDLE };
		if (shmring__spsc_front(r, head, &claim, messages[n].iov_len))
			break;
		SHMRING_COPY(messages[n].iov_base, claim.data, claim.size);
		messages[n].iov_len = claim.size;
		head = shmring__spsc_pass(r, &claim);
		shmring__spsc_free(r, head);
	}
	if (n)
		shmring__count(&r->line[SHMRING__READ]->popped, n);
	return n;
}

SHMRING__HOT ssize_t
shmring__push_n(struct shmring *r, const struct iovec *messages, size_t count,
		int lazy)
{
	int error = 0;
	size_t n = r->mode == SHMRING_SPSC
			   ? shmring__spsc_put_n(r, messages, count, lazy)
			   : 0;
	while (n < count && !error) {
		error = shmring__put(r, messages[n].iov_base,
				     messages[n].iov_len, lazy);
		n += !error;
	}
	if (n)
		shmring__announce(r);
	return n ? (ssize_t)n : error;
}

SHMRING__HOT int
shmring_push(struct shmring *ring, const void *data, size_t size)
{
	return shmring__push(ring, data, size, 0);
}

SHMRING__HOT ssize_t
shmring_pop(struct shmring *ring, void *buffer, size_t capacity)
{
	return ring->mode == SHMRING_SPSC
		       ? shmring__pop_in(ring, SHMRING_SPSC, buffer, capacity)
		       : shmring__pop_in(ring, SHMRING_MPMC, buffer, capacity);
}

static inline ssize_t
shmring_push_n(struct shmring *ring, const struct iovec *messages, size_t count)
{
	return shmring__push_n(ring, messages, count, 0);
}

static inline ssize_t
shmring_pop_n(struct shmring *ring, struct iovec *messages, size_t count)
{
	ssize_t got = 0;
	size_t n = ring->mode == SHMRING_SPSC
			   ? shmring__spsc_get_n(ring, messages, count)
			   : 0;
	if (n)
		return (ssize_t)n;
	/* MPMC; and SPSC, where there is none, or the mark has just passed */
	for (; n < count; n++) {
		got = shmring_pop(ring, messages[n].iov_base,
				  messages[n].iov_len);
		if (got < 0)
			break;
		messages[n].iov_len = (size_t)got;
		if (SHMRING__RARELY(shmring_redelivered(ring))) {
			n++; /* so that the mark is the last one's */
			break;
		}
	}
	return n ? (ssize_t)n : got;
}

static inline int
shmring_redelivered(const struct shmring *ring)
{
	if (ring->fd < 0 || ring->mode == SHMRING_MPMC)
		return ring->redelivered;
	/* The suspect record lies before head once popped, at head while
	 * peeked. */
	int popped = !ring->held[SHMRING__READ].state;
	return ring->suspect[0] != ring->suspect[1] &&
	       SHMRING__LOAD(ring->head, RELAXED) == ring->suspect[popped];
}

/* ------------------------------------------------------------------------
 * ZERO COPY
 * ------------------------------------------------------------------------ */

SHMRING__COLD void *
shmring__null(struct shmring *r, int error)
{
	r->error = error;
	return NULL;
}

static inline int
shmring_error(const struct shmring *ring)
{
	return ring->error;
}

static inline void *
shmring__reserve(struct shmring *r, size_t size, int lazy)
{
	struct shmring__claim *claim = &r->held[SHMRING__WRITE];
	/* A stopped commit may find its slot void and must keep the message
	 * somewhere: have the place before it is needed. */
	if (r->mode == SHMRING_MPMC && !r->spill && r->fd >= 0) {
		r->spill = (unsigned char *)malloc(r->geometry.slot_size);
		if (!r->spill)
			return shmring__null(r, -ENOMEM);
	}
	int error = shmring__room(r, r->mode, size, claim, lazy);
	if (error)
		return shmring__null(r, error);
	claim->state = SHMRING__HELD;
	claim->size = size;
	r->canary->send = 0; /* one at a time */
	return claim->data;
}

static inline void *
shmring_reserve(struct shmring *ring, size_t size)
{
	return shmring__reserve(ring, size, 0);
}

SHMRING__HOT void
shmring__unhold(struct shmring *r, int side)
{
	uint64_t limit = UINT64_C(1) + r->geometry.slot_size;
	r->held[side].state = SHMRING__IDLE;
	if (side == SHMRING__READ)
		r->canary->receive = limit;
	else
		r->canary->send = limit;
}

/* What is held on this side, or why nothing can be done with it. */
SHMRING__HOT int
shmring__check_held(const struct shmring *r, int side)
{
	if (SHMRING__RARELY(!r->canary->alive || r->poisoned))
		return shmring__refusal(r, side);
	return r->held[side].state == SHMRING__IDLE ? -EINVAL : 0;
}

static inline int
shmring_commit(struct shmring *ring, size_t size)
{
	struct shmring__claim *claim = &ring->held[SHMRING__WRITE];
	int error = shmring__check_held(ring, SHMRING__WRITE);
	if (error)
		return error;
	if (size > claim->size)
		return -EMSGSIZE;
	if (claim->state == SHMRING__HELD &&
	    SHMRING__RARELY(shmring__deliver(ring, ring->mode, claim, size))) {
		SHMRING_COPY(ring->spill, claim->data, size);
		claim->state = SHMRING__SPILLED;
		claim->size = size;
		shmring__hand_back(ring, claim->position);
	} else if (claim->state == SHMRING__HELD) {
		shmring__unhold(ring, SHMRING__WRITE);
		shmring__announce(ring);
		return 0;
	}
	int state = claim->state;
	shmring__unhold(ring, SHMRING__WRITE);
	error = shmring__push(ring, ring->spill, size, 0);
	if (error) { /* still ours: only commit or abort go on */
		claim->state = state;
		ring->canary->send = 0;
	}
	return error;
}

static inline void
shmring_abort(struct shmring *ring)
{
	struct shmring__claim *claim = &ring->held[SHMRING__WRITE];
	if (shmring__check_held(ring, SHMRING__WRITE))
		return;
	if (ring->mode == SHMRING_MPMC && claim->state == SHMRING__HELD &&
	    shmring__mpmc_deliver(ring, claim, shmring__aborted(ring)))
		shmring__hand_back(ring, claim->position);
	shmring__unhold(ring, SHMRING__WRITE);
	shmring__announce(ring); /* a reader may wait at this position */
}

static inline const void *
shmring_peek(struct shmring *ring, size_t *size)
{
	struct shmring__claim *claim = &ring->held[SHMRING__READ];
	int error = claim->state
			    ? shmring__refusal(ring, SHMRING__READ)
			    : shmring__front(ring, ring->mode, claim, SIZE_MAX);
	if (SHMRING__RARELY(error)) {
		*size = 0;
		return shmring__null(ring, error);
	}
	claim->state += !claim->state; /* SPSC claims have no state */
	ring->canary->receive = 0; /* one at a time */
	*size = claim->size;
	return claim->data;
}

static inline int
shmring_release(struct shmring *ring)
{
	int error = shmring__check_held(ring, SHMRING__READ);
	if (error)
		return error;
	shmring__drop(ring, ring->mode, &ring->held[SHMRING__READ]);
	shmring__unhold(ring, SHMRING__READ);
	return 0;
}

/* ------------------------------------------------------------------------
 * WAITING
 *
 * Poll a little; spin, if the other side runs on another CPU and spinning
 * was not in vain lately; announce oneself and look again; sleep, shortly
 * first, then in slices. The caller looks again after each step.
 * ------------------------------------------------------------------------ */

#ifndef SHMRING__FIRST_SLEEP_NS
#define SHMRING__FIRST_SLEEP_NS 50000
#endif
#define SHMRING__STREAM 4 /* messages between two waits make a stream */
/* So many that a short sleep, whose timer costs a microsecond or two, is
 * cheaper than a fence at each of their pushes. Two that take turns on one CPU
 * get a few at a time. */
#define SHMRING__LONG_STREAM 8

struct shmring__waiter {
	struct shmring *ring;
	uint32_t *word; /* in notice */
	uint32_t bits; /* to announce */
	int side;
	int lazy; /* still spinning: leave the peer's lines alone */
	int64_t timeout, deadline, spin_until;
	uint32_t polls, pauses, sleeps, expected;
	int announced, safe; /* safe: no wake-up can have been missed */
};

static inline struct shmring__waiter
shmring__wait_for(struct shmring *r, int side, int64_t timeout_ns)
{
	struct shmring__waiter w;
	memset(&w, 0, sizeof(w));
	w.ring = r;
	w.side = side;
	w.bits = SHMRING__WAITS;
	w.lazy = timeout_ns != 0;
	w.timeout = timeout_ns;
	return w;
}

/* Whether spinning may help: not if the other side shares our CPU and waits
 * for us to leave it; after four failures in a row only every sixteenth
 * time. */
SHMRING__COLD int
shmring__may_spin(struct shmring *r, int side)
{
	uint32_t peer = SHMRING__LOAD(&r->notice->cpu[!side], RELAXED);
	if (r->spin_ns <= 0)
		return r->spin_ns < 0;
	if (r->missed >= 4 && r->missed % 16)
		return 0;
	return shmring__note_cpu(r, side) != peer;
}

/* How long to leave the lines to the other side before looking again. In a
 * stream some shall fill meanwhile. But we may be in one and at its heels at
 * every message, since we look too often: try, more and more seldom. */
SHMRING__COLD uint32_t
shmring__pauses(struct shmring__idle *idle)
{
	if (idle->streak >= SHMRING__STREAM) {
		idle->trial = 0;
	} else if (++idle->lone <= idle->trial) {
		return SHMRING_LOOK_AGAIN;
	} else if (idle->trial < 1u << 16) {
		idle->trial = 2 * idle->trial + 32;
	}
	idle->lone = 0;
	return SHMRING_CATCH_UP;
}

/* One step of spinning; 0 when it is over. */
SHMRING__COLD int
shmring__spin(struct shmring__waiter *w)
{
	struct shmring *r = w->ring;
	if (!w->polls && !shmring__may_spin(r, w->side))
		return 0;
	if (!w->polls)
		w->pauses = shmring__pauses(&r->idle[w->side]);
	for (uint32_t i = 0; i < w->pauses; i++)
		SHMRING_PAUSE();
	w->polls += w->pauses;
	if (w->polls % 8) /* not every time to the clock */
		return 1;
	int64_t now = SHMRING_NOW();
	if (!w->spin_until) {
		w->deadline = now + w->timeout;
		w->spin_until = now + r->spin_ns;
	}
	if (w->timeout > 0 && now >= w->deadline)
		return 0;
	return r->spin_ns < 0 || now < w->spin_until;
}

/* Announce that we wait (W2); the caller looks again before it sleeps. What
 * was published before our bits were seen may still be on its way: only who
 * has slept since the bits stand in the word cannot have missed it. (In MPMC
 * another waiter may have renewed them: then that one sleeps shortly.) */
SHMRING__COLD void
shmring__announce_waiter(struct shmring__waiter *w)
{
	int *rested = &w->ring->rested[w->side];
	uint32_t bits = w->bits | SHMRING__SLEEPY;
	if (!w->sleeps &&
	    w->ring->idle[w->side].streak >= SHMRING__LONG_STREAM) {
		bits = w->bits;
		*rested = 0;
		__atomic_fetch_and(w->word, ~SHMRING__SLEEPY, __ATOMIC_RELAXED);
	}
	uint32_t before = __atomic_fetch_or(w->word, bits, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	w->expected = before | bits;
	w->safe = (w->sleeps && (before & w->bits)) ||
		  (*rested && (before & SHMRING__SLEEPY));
	w->announced = 1;
}

/* Whether somebody has claimed the position that we wait for (MPMC): then
 * it may be stopped, and we must not sleep for longer than our patience. */
SHMRING__COLD int
shmring__claimed(const struct shmring *r, int side)
{
	uint64_t tail = SHMRING__LOAD(r->tail, ACQUIRE);
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	return side == SHMRING__READ
		       ? tail != head
		       : shmring__ahead(head, tail - (r->mask + 1)) > 0;
}

/* Do something between two looks: 0, or -ETIMEDOUT, -EAGAIN (no time at
 * all). */
SHMRING__COLD int
shmring__wait(struct shmring__waiter *w)
{
	struct shmring *r = w->ring;
	if (w->timeout == 0)
		return -EAGAIN;
	if (w->lazy && shmring__spin(w))
		return 0;
	if (!w->word)
		w->word = w->side == SHMRING__READ ? &r->notice->data
						   : &r->notice->space;
	int64_t now = SHMRING_NOW();
	if (w->lazy)
		r->missed++;
	w->lazy = 0;
	if (!w->deadline)
		w->deadline = now + w->timeout;
	if (w->timeout > 0 && now >= w->deadline)
		return -ETIMEDOUT;
	if (!w->announced) {
		shmring__announce_waiter(w);
		return 0;
	}
	int64_t until = now + SHMRING_SLICE_NS;
	if (!w->safe)
		until = now + SHMRING__FIRST_SLEEP_NS;
	else if (r->mode == SHMRING_MPMC && w->sleeps < 2 &&
		 shmring__claimed(r, w->side))
		until = now + SHMRING_PATIENCE_NS;
	if (w->timeout > 0 && until > w->deadline)
		until = w->deadline;
	shmring__note_cpu(r, w->side);
	SHMRING_FUTEX_WAIT(w->word, w->expected, until);
	shmring__count(&r->line[w->side]->sleeps, 1);
	w->sleeps++;
	r->rested[w->side] = (w->expected & SHMRING__SLEEPY) != 0;
	w->announced = 0;
	r->slept = 1; /* look at the clock, and after the dead */
	return 0;
}

/* The wait is over. A sleeper was woken alone: if there is more, it wakes
 * the next. */
SHMRING__COLD void
shmring__waited(struct shmring__waiter *w)
{
	struct shmring *r = w->ring;
	if (w->lazy)
		r->missed = 0;
	if (w->sleeps && r->mode == SHMRING_MPMC) {
		uint64_t length = SHMRING__LOAD(r->tail, RELAXED) -
				  SHMRING__LOAD(r->head, RELAXED);
		if (w->side == SHMRING__READ ? length != 0 : length <= r->mask)
			shmring__wake(r, w->word, 0);
	}
}

/* After an attempt that brought `result`: whether to try again. */
SHMRING__HOT int
shmring__retry(struct shmring__waiter *w, ssize_t *result)
{
	if (!SHMRING__RARELY(*result == -EAGAIN)) {
		if (SHMRING__RARELY(w->polls || w->sleeps || w->announced))
			shmring__waited(w);
		return 0;
	}
	*result = shmring__wait(w);
	return *result == 0;
}

/* The first attempt has failed: wait, out of the way of the fast path. */
SHMRING__COLD int
shmring__push_later(struct shmring *r, const void *data, size_t size,
		    int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(r, SHMRING__WRITE, timeout_ns);
	ssize_t result = -EAGAIN;
	while (shmring__retry(&w, &result))
		result = shmring__push(r, data, size, w.lazy);
	return (int)result;
}

SHMRING__COLD ssize_t
shmring__pop_later(struct shmring *r, void *buffer, size_t capacity,
		   int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(r, SHMRING__READ, timeout_ns);
	ssize_t result = -EAGAIN;
	while (shmring__retry(&w, &result))
		result = shmring_pop(r, buffer, capacity);
	return result;
}

SHMRING__COLD ssize_t
shmring__push_n_later(struct shmring *r, const struct iovec *messages,
		      size_t count, int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(r, SHMRING__WRITE, timeout_ns);
	ssize_t result = -EAGAIN;
	while (shmring__retry(&w, &result))
		result = shmring__push_n(r, messages, count, w.lazy);
	return result;
}

SHMRING__COLD ssize_t
shmring__pop_n_later(struct shmring *r, struct iovec *messages, size_t count,
		     int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(r, SHMRING__READ, timeout_ns);
	ssize_t result = -EAGAIN;
	while (shmring__retry(&w, &result))
		result = shmring_pop_n(r, messages, count);
	return result;
}

SHMRING__COLD void *
shmring__reserve_later(struct shmring *r, size_t size, int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(r, SHMRING__WRITE, timeout_ns);
	ssize_t result = -EAGAIN;
	void *place = NULL;
	while (shmring__retry(&w, &result)) {
		place = shmring__reserve(r, size, w.lazy);
		result = place ? 0 : r->error;
	}
	return place ? place : shmring__null(r, (int)result);
}

SHMRING__COLD const void *
shmring__peek_later(struct shmring *r, size_t *size, int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(r, SHMRING__READ, timeout_ns);
	ssize_t result = -EAGAIN;
	const void *message = NULL;
	while (shmring__retry(&w, &result)) {
		message = shmring_peek(r, size);
		result = message ? 0 : r->error;
	}
	return message ? message : shmring__null(r, (int)result);
}

SHMRING__HOT int
shmring_push_wait(struct shmring *ring, const void *data, size_t size,
		  int64_t timeout_ns)
{
	int result = shmring__push(ring, data, size, timeout_ns != 0);
	return SHMRING__RARELY(result == -EAGAIN)
		       ? shmring__push_later(ring, data, size, timeout_ns)
		       : result;
}

SHMRING__HOT ssize_t
shmring_pop_wait(struct shmring *ring, void *buffer, size_t capacity,
		 int64_t timeout_ns)
{
	ssize_t result = shmring_pop(ring, buffer, capacity);
	return SHMRING__RARELY(result == -EAGAIN)
		       ? shmring__pop_later(ring, buffer, capacity, timeout_ns)
		       : result;
}

static inline ssize_t
shmring_push_n_wait(struct shmring *ring, const struct iovec *messages,
		    size_t count, int64_t timeout_ns)
{
	ssize_t n = shmring__push_n(ring, messages, count, timeout_ns != 0);
	return SHMRING__RARELY(n == -EAGAIN)
		       ? shmring__push_n_later(ring, messages, count,
					       timeout_ns)
		       : n;
}

static inline ssize_t
shmring_pop_n_wait(struct shmring *ring, struct iovec *messages, size_t count,
		   int64_t timeout_ns)
{
	ssize_t n = shmring_pop_n(ring, messages, count);
	return SHMRING__RARELY(n == -EAGAIN)
		       ? shmring__pop_n_later(ring, messages, count, timeout_ns)
		       : n;
}

static inline void *
shmring_reserve_wait(struct shmring *ring, size_t size, int64_t timeout_ns)
{
	void *place = shmring__reserve(ring, size, timeout_ns != 0);
	return SHMRING__RARELY(!place && ring->error == -EAGAIN)
		       ? shmring__reserve_later(ring, size, timeout_ns)
		       : place;
}

static inline const void *
shmring_peek_wait(struct shmring *ring, size_t *size, int64_t timeout_ns)
{
	const void *message = shmring_peek(ring, size);
	return SHMRING__RARELY(!message && ring->error == -EAGAIN)
		       ? shmring__peek_later(ring, size, timeout_ns)
		       : message;
}

static inline int
shmring_set_spin(struct shmring *ring, int64_t spin_ns)
{
	if (ring->fd < 0)
		return -EBADF;
	ring->spin_ns = spin_ns;
	return 0;
}

static inline int
shmring_flush(struct shmring *ring, int64_t timeout_ns)
{
	struct shmring__waiter w =
		shmring__wait_for(ring, SHMRING__WRITE, timeout_ns);
	ssize_t result;
	if (!ring->canary->alive || ring->poisoned ||
	    !ring->line[SHMRING__WRITE])
		return shmring__refusal(ring, SHMRING__WRITE);
	w.bits = SHMRING__WATCHES; /* wake me at every step */
	uint64_t target = ring->mode == SHMRING_MPMC
				  ? ring->last
				  : SHMRING__LOAD(ring->tail, RELAXED);
	do {
		result = 0;
		if (shmring__ahead(SHMRING__LOAD(ring->head, ACQUIRE), target) <
		    0)
			result = SHMRING__LOAD(&ring->notice->attn, ACQUIRE) &
						 SHMRING__NO_CONSUMER
					 ? -EPIPE
					 : shmring__nothing(ring,
							    SHMRING__WRITE);
	} while (shmring__retry(&w, &result));
	return (int)result;
}

/* ------------------------------------------------------------------------
 * INSPECTION
 * ------------------------------------------------------------------------ */

static inline int
shmring_recover(struct shmring *ring)
{
	if (!ring->canary->alive)
		return shmring__refusal(ring, SHMRING__READ);
	return shmring__mine(ring) ? shmring__recover_all(ring) : -EPERM;
}

static inline size_t
shmring_capacity(const struct shmring *ring)
{
	const struct shmring__geometry *g = &ring->geometry;
	return g->mode == SHMRING_MPMC || !g->stride
		       ? g->slots
		       : (g->capacity - 8) / g->stride;
}

static inline uint64_t
shmring_length(const struct shmring *ring)
{
	if (ring->fd < 0)
		return 0;
	uint64_t head = SHMRING__LOAD(ring->head, RELAXED);
	uint64_t tail = SHMRING__LOAD(ring->tail, RELAXED);
	uint64_t most = ring->mode == SHMRING_MPMC ? ring->mask + 1
						   : ring->geometry.capacity;
	uint64_t length = shmring__ahead(tail, head) < 0 ? 0 : tail - head;
	return length < most ? length : most;
}

static inline int
shmring_participant(const struct shmring *ring, uint32_t index,
		    struct shmring_participant *out)
{
	memset(out, 0, sizeof(*out));
	if (ring->fd < 0)
		return -EBADF;
	if (index >= ring->geometry.participants)
		return -EINVAL;
	const struct shmring__line *x = &ring->lines[index];
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	out->pushed = SHMRING__LOAD(&x->pushed, RELAXED);
	out->pushed_bytes = SHMRING__LOAD(&x->pushed_bytes, RELAXED);
	out->popped = SHMRING__LOAD(&x->popped, RELAXED);
	out->popped_bytes = SHMRING__LOAD(&x->popped_bytes, RELAXED);
	if (ring->mode == SHMRING_SPSC && index == SHMRING__WRITE)
		out->pushed_bytes =
			SHMRING__LOAD(ring->tail, RELAXED) - out->pushed * 8;
	if (ring->mode == SHMRING_SPSC && index == SHMRING__READ)
		out->popped_bytes =
			SHMRING__LOAD(ring->head, RELAXED) - out->popped * 8;
	out->full = SHMRING__LOAD(&x->full, RELAXED);
	out->empty = SHMRING__LOAD(&x->empty, RELAXED);
	out->sleeps = SHMRING__LOAD(&x->sleeps, RELAXED);
	out->wakes = SHMRING__LOAD(&x->wakes, RELAXED);
	if (shmring__state_of(status) == SHMRING__FREE)
		return -ENOENT;
	out->pid = SHMRING__LOAD(&x->pid, RELAXED);
	out->roles = shmring__roles_of(status);
	return 0;
}

static inline int
shmring_stat(const struct shmring *ring, struct shmring_stat *out)
{
	const struct shmring__geometry *g = &ring->geometry;
	memset(out, 0, sizeof(*out));
	if (ring->fd < 0)
		return -EBADF;
	out->mode = g->mode;
	out->slots = g->slots;
	out->slot_size = g->slot_size;
	out->participants = g->participants;
	out->length = shmring_length(ring);
	out->capacity = g->mode == SHMRING_MPMC ? g->slots : g->capacity;
	for (uint32_t i = 0; i < g->participants; i++) {
		struct shmring_participant one;
		shmring_participant(ring, i, &one);
		out->producers += (one.roles & SHMRING_PRODUCER) != 0;
		out->consumers += (one.roles & SHMRING_CONSUMER) != 0;
		out->pushed += one.pushed;
		out->pushed_bytes += one.pushed_bytes;
		out->popped += one.popped;
		out->popped_bytes += one.popped_bytes;
		out->full += one.full;
		out->empty += one.empty;
		out->sleeps += one.sleeps;
		out->wakes += one.wakes;
	}
	return 0;
}

static inline const char *
shmring_strerror(int error)
{
	switch (-error) {
	case 0:
		return "success";
	case EAGAIN:
		return "full or empty at the moment: try again, or use a "
		       "waiting call";
	case ETIMEDOUT:
		return "timed out: nobody came, took or brought anything in "
		       "time";
	case EMSGSIZE:
		return "message larger than slot_size, or than the buffer it "
		       "should go into: create the ring with a larger "
		       "slot_size, or pass a larger buffer";
	case EPIPE:
		return "the other side is gone: the last consumer (push) or "
		       "producer (pop, all read) has closed or died";
	case EBUSY:
		return "taken: the role by a living process, the segment by "
		       "somebody attached, or the handle by a reservation or "
		       "peek not yet finished";
	case EUSERS:
		return "all participants are attached: create the ring with "
		       "more participants";
	case EPERM:
		return "not permitted: the handle lacks the role, or the "
		       "segment's owner, permissions or seals are not "
		       "acceptable";
	case ESTALE:
		return "handle of a parent process, or segment being replaced: "
		       "open your own handle";
	case EBADF:
		return "handle or descriptor is not open: create or open the "
		       "ring first";
	case EBADMSG:
		return "damaged content in shared memory: recreate the ring "
		       "and distrust its peers";
	case EPROTO:
		return "not a shmring segment: check the name";
	case EPROTOTYPE:
		return "made on a machine with another word size or byte order";
	case EPROTONOSUPPORT:
		return "made by another layout version of shmring: rebuild "
		       "both sides with the same header";
	case EREMOTE:
		return "made before a reboot or on another machine: unlink and "
		       "recreate it";
	case EOVERFLOW:
		return "the segment's size is not what its header says: "
		       "somebody truncated it; recreate it";
	case EEXIST:
		return "the name is taken: open it, unlink it, or create with "
		       "SHMRING_REPLACE";
	case EOWNERDEAD:
		return "the name is taken by a ring whose users died: create "
		       "with SHMRING_REPLACE, or unlink it";
	case ENOENT:
		return "no such ring (or no /proc, /dev/shm): create it first, "
		       "or open with a timeout";
	case ENOSPC:
		return "no room in shared memory: fewer or smaller slots, or a "
		       "larger /dev/shm";
	case ENOMEM:
		return "no memory, or no huge pages reserved: see "
		       "vm.nr_hugepages, RLIMIT_MEMLOCK";
	case EOPNOTSUPP:
		return "not supported here: this system has no transparent "
		       "huge pages for shared memory, or refuses "
		       "MADV_WIPEONFORK (Linux 4.14), or the ring has no "
		       "descriptor to pass";
	case EINVAL:
		return "invalid: a name has one component; slots at most 2^30 "
		       "and, in MPMC, at least 2 and twice the participants; "
		       "slot_size at most 2^30; SHMRING_HUGETLB only with "
		       "memfd; commit, release need a reserve, peek before";
	case ENAMETOOLONG:
		return "name longer than 255 bytes";
	case EACCES:
		return "permission denied by the file system: see the ring's "
		       "permissions";
	case EMFILE:
		return "too many open files: raise RLIMIT_NOFILE";
	default:
		return strerror(-error);
	}
}

#ifdef __cplusplus
}
#endif

#endif /* SHMRING_H */
