/* SPDX-License-Identifier: MIT
 *
 * shmring.h - move messages between processes through a ring in shared memory
 *
 * One header, nothing behind it but libc and Linux. Three engines, one API:
 *   SPSC  one producer, one consumer, messages of any size up to slot_size
 *         packed one behind the other; wait-free.
 *   MPMC  any number of both, fixed slots, first in first out; lock-free.
 *   BROADCAST  one producer, every reader sees every message; or, lossy, is
 *         told how many it has lost; wait-free.
 * Any process may be killed or stopped at any instruction: the others go on,
 * and a message whose push returned is delivered. Nobody asleep, no system
 * call; what a peer has written is checked before it is used.
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
 * FOUR WAYS THROUGH THIS FILE
 *   who uses it       the guarantees below, INTERFACE
 *   who wants SPSC    ORDERING (R1 to R3, W), SHARED LAYOUT, SPSC, PUSH, POP,
 *                     ZERO COPY
 *   who wants MPMC    ORDERING, MPMC, PARTICIPANTS, DEATH, RECOVERY, PUSH, POP
 *   and BROADCAST     SPSC, then its own section
 * Beside them OPERATING SYSTEM, WAKING and WAITING (who sleeps, how long, who
 * wakes whom), LIFE CYCLE (creating, opening, replacing), INSPECTION. In all of
 * them r is the handle, v what a call reads of it, x a participant's line, p a
 * position, a a slot's first word, s its state word, f the phase in that.
 *
 * GUARANTEES (one handle belongs to one thread at a time; dup for another)
 *
 *   call             who       progress   when a peer is killed or stopped
 *   push, push_n     producer  SPSC wait-free, MPMC lock-free; the others go
 *   push_array       producer    on at once (killed) or after some patience
 *   reserve, commit  producer    (stopped), see below and THE DOUBT
 *   pop, pop_n       consumer  the same
 *   pop_array        consumer
 *   peek, release    consumer  as pop; a message in a dead consumer's hands
 *                              is delivered again: shmring_redelivered()
 *   ..._wait, flush  as above  blocks; learns of a death within 100 ms
 *   interrupt        anybody   wait-free, async-signal-safe
 *   create, open     anybody   no lock is held; a half-made ring is never
 *                              visible
 *   close, recover   anybody   lock-free; may itself be killed anywhere
 *   stat             anybody   wait-free, approximate while others run
 *
 *   Exactly once, whoever is killed or stopped, where, and with how many
 *   others, but for this: a consumer killed within a call may have seen what
 *   the call had taken.
 *     peek, peek_n         all that is not released comes again, marked
 *     pop... in SPSC       the same, until the last instructions of the call,
 *                          where all that it took goes to the grave with it
 *     pop... in MPMC       what it took goes to the grave with it: of a batch
 *                          all but the last one at any time
 *   Marked are also messages that it may have had: in SPSC as many as its last
 *   batch asked for.
 *   Each producer's messages stay in order; a message delivered again comes
 *   out of order in MPMC.
 *   A claim in MPMC that blocks others is doubted once they have seen it for
 *   SHMRING_PATIENCE_NS, a millisecond, one after the other if several are
 *   stopped; by a producer, while there are messages for the consumers, after
 *   32 of them. Where the kernel refuses membarrier to the doubter, and not all
 *   others to themselves, it is waited for.
 *   Capacity (MPMC): a stopped process keeps at most two slots, one each as
 *   producer and consumer, until it goes on; hence slots >= 2 * participants.
 *   And a position that was declared void for a late one counts as used until
 *   the consumers have come by: with 4 slots and one retained, 3 messages fit,
 *   and the fourth only when one of them is taken. Who sizes a ring to a number
 *   of tokens adds 2 slots for each participant.
 *   Capacity (SPSC): of small messages from push_array, eight are free when all
 *   of them are taken: meanwhile up to 448 bytes of what is taken count as used.
 *   Positions are 64 bit. An MPMC slot counts 2^51 turns: at 100 million
 *   messages a second through 16 slots 11 years; SPSC: 580 years of 1 GB/s.
 *   BROADCAST: a reader, once it is open, gets each message once, in order, and
 *   nothing is delivered again: what a killed reader had is its own loss. When
 *   the ring is full, the slowest reader holds the producer, also a stopped
 *   one; not a dead one, and none for longer than demote_ms, if that is given:
 *   from then on it may be overwritten. In a lossy ring all may be, and the
 *   producer never waits. Who was overwritten gets -ENOBUFS once, from pop,
 *   peek or release, and shmring_lost() is exact; it goes on at the oldest
 *   message that is whole for certain, which leaves out up to a quarter of
 *   the ring. So release tells whether what was peeked at was whole to the end.
 *   Without readers pushes go on, and a push never says -EPIPE. Who only reads
 *   cannot write records, bound or marks: they are mapped read-only. Reading,
 *   it writes its own line; waiting, coming, going and recovering, more of the
 *   control pages.
 *   Death is proven, never guessed from time: the kernel has dropped the
 *   participant's lock on the segment and its pid with that start time is
 *   gone. (Across pid namespaces the lock alone decides. A child forked by a
 *   holder keeps the lock until it closes its copy of the handle, exits or
 *   execs: that delays proof.)
 *   It is the process that counts: a thread that ends without close keeps its
 *   role, its message in hands, its slots until the process ends; no waiting
 *   call is a cancellation point. Close before exec: after it, the role is free
 *   for all, and who was there counts as having died.
 *   Hostile content is answered by -EBADMSG and the handle refuses further
 *   use. Whoever may write the file of a named ring (its owner; with 0660 or
 *   0666 more) can also truncate it or punch holes into it under all others
 *   (SIGBUS; zeros); a ring from shmring_create_memfd() is sealed against both
 *   but holes. Whoever may only read it can lock its bytes, and keep others
 *   from attaching as long; not from learning of a death.
 */
#ifndef SHMRING_H
#define SHMRING_H

/* One error, and nothing behind it that would only bury it. */
#if !defined(__linux__)
#error "shmring.h needs Linux: the calls to port stand under OPERATING SYSTEM"
#elif !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shmring.h needs a 64-bit little-endian target (x86-64, arm64): every position is one 64-bit atomic"
#else
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#ifndef MAP_ANONYMOUS
#error "strict -std=c11 hides the system calls: include shmring.h before other headers, or compile with -D_DEFAULT_SOURCE"
#else

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push /* C has no other casts */
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

/* ------------------------------------------------------------------------
 * VERSIONS, CONFIGURATION
 * ------------------------------------------------------------------------ */

#define SHMRING_VERSION_MAJOR 0
#define SHMRING_VERSION_MINOR 1
#define SHMRING_VERSION_PATCH 0
#define SHMRING_LAYOUT 3 /* of the shared segment; openers refuse another */

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
/* Pauses of one who has caught up in a stream: whole cache lines fill
 * meanwhile. */
#ifndef SHMRING_CATCH_UP
#define SHMRING_CATCH_UP 64
#endif
/* All fetch the cache lines so many messages ahead of them: as much as passes
 * while a line is on its way from another core. 0: none. */
#ifndef SHMRING_AHEAD
#define SHMRING_AHEAD 8
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
 * compiler; a process that could not register for membarrier fences, too. */
#ifndef SHMRING_LIGHT
#define SHMRING_LIGHT(ring) __asm__ __volatile__("" ::: "memory")
#endif
#ifndef SHMRING_HEAVY
#define SHMRING_HEAVY(ring) shmring__membarrier(ring)
#endif

/* How the calls are declared and defined. One translation unit that includes
 * this header with SHMRING_SHARED defined exports them all, for languages
 * that cannot include it: see `make shared`. */
#ifdef SHMRING_SHARED
#define SHMRING_SCOPE __attribute__((visibility("default")))
#define SHMRING__HOT_SCOPE SHMRING_SCOPE
#else
#define SHMRING_SCOPE static inline
#define SHMRING__HOT_SCOPE SHMRING__HOT
#endif

/* ------------------------------------------------------------------------
 * INTERFACE
 * ------------------------------------------------------------------------ */

/* config.mode */
#define SHMRING_SPSC 0
#define SHMRING_MPMC 1
#define SHMRING_BROADCAST 2 /* see shmring_seek */

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
#define SHMRING_PERSISTENT 32u /* peers come and go: never -EPIPE */
#define SHMRING_LOSSY 64u /* BROADCAST: overwrite, whoever has not read it */
/* high_water and age_ns of shmring_stat: each push looks at the clock, and how
 * far the consumers are. */
#define SHMRING_METERED 128u

struct shmring_config { /* zero means the default, for every field */
	uint32_t mode; /* SHMRING_SPSC */
	uint32_t slots; /* messages, 1024; rounded up to a power of two, to
			   2^30; MPMC: at least 2, and 2 * participants */
	uint32_t slot_size; /* largest message in bytes, 256; to 2^30 */
	uint32_t participants; /* MPMC: handles, min(64, slots / 2), to 1024;
				  BROADCAST: readers, 63, to 1023 */
	uint32_t permissions; /* 0600; the umask does not apply */
	uint32_t flags;
	uint32_t roles; /* of the creator's own handle, SHMRING_BOTH */
	uint32_t demote_ms; /* BROADCAST, not lossy: who holds it for longer
			       may be overwritten; 0: nobody */
	uint32_t alignment; /* of places, 8; a power of two to 4096. A message
			       that is at least 8 bytes smaller (metered: 16)
			       shares its unit with its header: 64 makes one of
			       56 bytes a cache line. Copying costs some more */
};

struct shmring_stat { /* counters are those of all handles, ever */
	uint32_t mode, slots, slot_size, participants;
	uint32_t producers, consumers; /* attached now */
	uint64_t length; /* MPMC: messages; else bytes in use */
	uint64_t capacity; /* in the same unit */
	uint64_t pushed, popped;
	uint64_t pushed_bytes, popped_bytes; /* MPMC; else rounded up, each to
						8, or the alignment */
	uint64_t full, empty; /* positions at which nothing was to be had, each
				 counted once, whether the call waited or not */
	uint64_t sleeps, wakes; /* futex calls */
	uint64_t refused; /* pushes and reserves that found no room, at once or
			     in their time; also a batch that went in in part */
	/* SHMRING_METERED, else 0: the most that length ever was (not lossy);
	 * how long the oldest message has been there, BROADCAST: before the
	 * reader that is the most behind */
	uint64_t high_water, age_ns;
};

struct shmring_participant { /* counters go on when a line is taken over */
	uint32_t pid, roles;
	uint64_t pushed, pushed_bytes, popped, popped_bytes;
	uint64_t full, empty, sleeps, wakes;
	uint32_t dead; /* 1: proven, but not recovered yet */
	uint32_t waits; /* CONSUMER: for messages, or polls for them; PRODUCER:
			   for room; 0: does not, or spins */
	uint64_t lag, lost; /* BROADCAST, a reader: bytes; messages */
	uint64_t refused, high_water; /* as in shmring_stat, by this producer */
	uint64_t age_ns; /* BROADCAST, a reader: of its next message */
};

struct shmring;

/* Make a ring named like "/prices" and attach to it; config may be NULL.
 * The name appears only when all is complete. -EEXIST: the name is taken by
 * a ring in use or left in good order, or by what is no ring; -EOWNERDEAD: by
 * one whose users died. With SHMRING_REPLACE a ring is replaced unless somebody
 * is attached, or replaces it as well (-EBUSY), or it is another user's: -EPERM
 * or -EACCES if we may write to it, else -EEXIST, as for what is no ring.
 * -ENOSPC: no room on the file system, or too little memory available, in the
 * machine or in our cgroup; -EFBIG: RLIMIT_FSIZE;
 * nothing has been allocated then. -EINVAL, -ENAMETOOLONG: the name; -ERANGE:
 * the numbers; -EDOM: mode, roles, flags, permissions. -ENOTDIR: there is no
 * SHMRING_DIRECTORY; -EISDIR, -ENODEV: its file system has no O_TMPFILE, no
 * fallocate; -EACCES, -EROFS: not for us; -ENXIO: no /proc; -ENOLCK, -ENOSYS:
 * the system refuses locks, or calls, that rings need; -EOPNOTSUPP:
 * SHMRING_HUGE; -EPERM, -ENOMEM: SHMRING_MLOCK; -ENOMEM, -EMFILE, -ENFILE.
 * shmring_strerror tells what to do about each. */
SHMRING_SCOPE int shmring_create(struct shmring *ring, const char *name,
				 const struct shmring_config *config);
/* Attach, waiting up to timeout_ns until the name exists and the role is free
 * (0: try once, -1: for ever). -ENOENT or, after having waited, -ETIMEDOUT;
 * -EBUSY, also after having waited: the role, of SPSC or of the BROADCAST
 * producer, is taken by a living process (a dead one's is taken over where it
 * stopped), or somebody has a lease on the file; -EUSERS, also then: no
 * participant is free; -EPROTO: not a ring;
 * -EPROTOTYPE: of another kind of machine; -EPROTONOSUPPORT: another layout;
 * -EBADMSG: damaged geometry; -EOVERFLOW: cut, or grown; -EPERM: owner or
 * permissions; -EACCES: not for us; -ELOOP: a symbolic link; -EREMOTE: made
 * before a reboot (or under another boot_id, as some containers have: mount an
 * empty file over their /proc/sys/kernel/random/boot_id, and none is compared);
 * -ESTALE: just being replaced; -EAGAIN: as shmring_seek; -EINVAL,
 * -ENAMETOOLONG, -EDOM: as create; -ENOLCK, -ENOSYS (MADV_WIPEONFORK, Linux
 * 4.14: forks could not be noticed), -EOPNOTSUPP, -ENOMEM, -EMFILE, -ENFILE.
 * Trusted are rings of our user and of root. In a user namespace that maps our
 * user only, all others' look like nobody's, and our own from outside may:
 * SHMRING_ANY_OWNER, where who may write the file is trusted anyhow. */
SHMRING_SCOPE int shmring_open(struct shmring *ring, const char *name,
			       unsigned roles, int64_t timeout_ns);
/* The same without a name: a sealed memfd, to be passed (fork, SCM_RIGHTS)
 * as shmring_fd(), which stays the handle's own (-ENOTSUP: has a name, or was
 * opened; -EBADF: not open). open_fd does not keep fd. -EPERM: fd is not
 * sealed, so its size cannot be relied on; -EBADF; -ENXIO: no /proc. */
SHMRING_SCOPE int shmring_create_memfd(struct shmring *ring,
				       const struct shmring_config *config);
SHMRING_SCOPE int shmring_open_fd(struct shmring *ring, int fd, unsigned roles);
SHMRING_SCOPE int shmring_fd(const struct shmring *ring);
/* Another handle on the same ring, for another thread or another role. -EBADF:
 * not open; -ESTALE: a parent process's, which seems to be here still as long
 * as we have its descriptor (close that, then open), or the ring was replaced;
 * -ENXIO: no /proc; else as open. */
SHMRING_SCOPE int shmring_dup(struct shmring *copy, const struct shmring *ring,
			      unsigned roles);
/* Detach. A reservation is aborted, a peeked message goes to the next
 * consumer. What was pushed stays for whoever opens the ring later. In a
 * forked child it only unmaps. Always 0; closing twice does no harm, nor does
 * closing a handle of zeros, which no other call takes for open (-EBADF). */
SHMRING_SCOPE int shmring_close(struct shmring *ring);
/* Remove the name, whatever has it, and what a killed replacer left beside it;
 * those attached go on. -ENOENT, -EINVAL, -ENAMETOOLONG; -EPERM, -EACCES: not
 * ours; -EISDIR: a directory. */
SHMRING_SCOPE int shmring_unlink(const char *name);

/* Copy a message in. 0; -EAGAIN: full (MPMC: or the next slot is in another's
 * hands, or others were faster 4,096 times); -EMSGSIZE: larger than slot_size;
 * -EPIPE: there were consumers and the last is gone; -EBUSY: a reservation
 * is outstanding; -EPERM: not a producer; -ESTALE: handle of a parent
 * process; -EBADMSG: the segment was damaged. */
SHMRING_SCOPE int shmring_push(struct shmring *ring, const void *data,
			       size_t size);
/* Copy the next message out. Its length; -EAGAIN: empty (MPMC: or the next one
 * is not committed yet, though those behind it may be, or others were faster;
 * BROADCAST: or the writer was, again and again); -ENOBUFS: BROADCAST,
 * messages were overwritten, see shmring_lost; -EPIPE: there were
 * producers, the last is gone, and no message is left, in MPMC not even in the
 * hands of another consumer; -EMSGSIZE: it does not fit and stays; else as
 * push. */
SHMRING_SCOPE ssize_t shmring_pop(struct shmring *ring, void *buffer,
				  size_t capacity);
/* As many as fit, or are there; count, or the error if not even one. iov_len
 * is the capacity on entry to pop_n, the length afterwards. A batch ends with
 * a redelivered message. In SPSC, the messages that fit at once come all at
 * once, and room is made for all that pop_n took when it returns. */
SHMRING_SCOPE ssize_t shmring_push_n(struct shmring *ring,
				     const struct iovec *messages,
				     size_t count);
SHMRING_SCOPE ssize_t shmring_pop_n(struct shmring *ring,
				    struct iovec *messages, size_t count);
/* The same for messages of one size, one behind the other: the fastest of all
 * for small ones (SPSC: up to 64 bytes share a header, eight at a time), if both
 * sides use them; to pop one alone of such an array costs more than of others.
 * A message that is shorter is filled up with zeros; a longer one ends the
 * batch, and stays: -EMSGSIZE, if it is the first. */
SHMRING_SCOPE ssize_t shmring_push_array(struct shmring *ring,
					 const void *messages, size_t size,
					 size_t count);
SHMRING_SCOPE ssize_t shmring_pop_array(struct shmring *ring, void *messages,
					size_t size, size_t count);
/* Fill in place: size bytes, or NULL with the reason in shmring_error(), as
 * push's; or -ENOMEM (MPMC: of the first reserve, for a place to keep a late
 * message in). Then commit (size may shrink, else -EMSGSIZE; -ENOMSG: nothing
 * reserved) or abort. One at a time a handle. A place, also one to peek at, is
 * a multiple of config.alignment, of 8 without one: then what needs 16
 * (vectors) is loaded and stored unaligned. A commit that returns -EAGAIN or
 * -EPIPE (MPMC, after this process was stopped for long, or another died that
 * had wanted the same position) has kept the message: commit again, or abort.
 */
SHMRING_SCOPE void *shmring_reserve(struct shmring *ring, size_t size);
SHMRING_SCOPE int shmring_commit(struct shmring *ring, size_t size);
SHMRING_SCOPE void shmring_abort(struct shmring *ring);
/* Read in place, until release. One at a time a handle. NULL: see
 * shmring_error(), as pop. From release -ENOMSG: nothing in hands; -ENOBUFS
 * (BROADCAST): the message was overwritten meanwhile. */
SHMRING_SCOPE const void *shmring_peek(struct shmring *ring, size_t *size);
SHMRING_SCOPE int shmring_release(struct shmring *ring);
/* Several in place (SPSC; else -ENOTSUP: in MPMC each claim has one place):
 * the first messages, at most count, those included that an earlier peek_n had
 * and that were not released; after peek, -EBUSY. How many; a redelivered one
 * comes alone. Then release_n, for the first of them; what is not released
 * stays, also at the next peek_n. release lets go of the first and puts back
 * the others. -ERANGE: peek_n of 0, release_n of more than are in hands (after
 * peek: of any number but 1); -ENOMSG: nothing in hands; else as pop. */
SHMRING_SCOPE ssize_t shmring_peek_n(struct shmring *ring,
				     struct iovec *messages, size_t count);
SHMRING_SCOPE int shmring_release_n(struct shmring *ring, size_t count);
/* Why the last reserve or peek returned NULL: a negative errno. */
SHMRING_SCOPE int shmring_error(const struct shmring *ring);
/* 1 if a consumer that died, or closed while it peeked, may have seen the last
 * message, too: of a batch its last one. 0 in BROADCAST. */
SHMRING_SCOPE int shmring_redelivered(const struct shmring *ring);

/* The waiting forms: as above, but for -EAGAIN they wait up to timeout_ns
 * (negative: for ever), then -ETIMEDOUT; with 0 they do not wait, and it stays
 * -EAGAIN. -ECANCELED: shmring_interrupt; -EINTR: shmring_set_eintr. The death
 * of the last peer (-EPIPE) ends a wait within 100 ms. Batches wait for the
 * first message only. */
SHMRING_SCOPE int shmring_push_wait(struct shmring *ring, const void *data,
				    size_t size, int64_t timeout_ns);
SHMRING_SCOPE ssize_t shmring_pop_wait(struct shmring *ring, void *buffer,
				       size_t capacity, int64_t timeout_ns);
SHMRING_SCOPE ssize_t shmring_push_n_wait(struct shmring *ring,
					  const struct iovec *messages,
					  size_t count, int64_t timeout_ns);
SHMRING_SCOPE ssize_t shmring_pop_n_wait(struct shmring *ring,
					 struct iovec *messages, size_t count,
					 int64_t timeout_ns);
SHMRING_SCOPE ssize_t shmring_push_array_wait(struct shmring *ring,
					      const void *messages, size_t size,
					      size_t count, int64_t timeout_ns);
SHMRING_SCOPE ssize_t shmring_pop_array_wait(struct shmring *ring,
					     void *messages, size_t size,
					     size_t count, int64_t timeout_ns);
SHMRING_SCOPE void *shmring_reserve_wait(struct shmring *ring, size_t size,
					 int64_t timeout_ns);
SHMRING_SCOPE const void *shmring_peek_wait(struct shmring *ring, size_t *size,
					    int64_t timeout_ns);
/* Rendezvous: wait until consumers have released all that was ever pushed
 * (BROADCAST: every reader that is attached); in MPMC, until they have claimed
 * all that this handle pushed: it may be in their hands still, and come again
 * from there. 0; -ETIMEDOUT, -EAGAIN, -ECANCELED, -EINTR as above; -EPIPE: the
 * last consumer went without it (not BROADCAST); -EPERM: not a producer;
 * -EBADF, -ESTALE, -EBADMSG. */
SHMRING_SCOPE int shmring_flush(struct shmring *ring, int64_t timeout_ns);
/* How this handle waits: -1 spins for ever, 0 sleeps at once, otherwise
 * spins up to so many ns where that helps (SHMRING_SPIN_NS). -EBADF. */
SHMRING_SCOPE int shmring_set_spin(struct shmring *ring, int64_t spin_ns);
/* End the wait that is under way in this handle, or else the next call that
 * would have to wait: -ECANCELED, once; no message is lost by it. From any
 * thread of the process and from signal handlers, wait-free. Not while the
 * handle is being opened, nor once another thread may have begun to close it;
 * close waits for who has begun to interrupt. -EBADF. */
SHMRING_SCOPE int shmring_interrupt(struct shmring *ring);
/* With on, a handled signal ends the sleep of this handle's waiting calls with
 * -EINTR, once they sleep: not one that comes just before. Who must not miss
 * it interrupts in the handler. Off at first. -EBADF. */
SHMRING_SCOPE int shmring_set_eintr(struct shmring *ring, int on);
/* Wait until another participant of a role (BOTH: either) is attached, or until
 * none is; who is proven dead is not. Also for observers. 0; -ETIMEDOUT, or
 * -EAGAIN if timeout_ns is 0; -ECANCELED, -EINTR (an observer notices an
 * interrupt within 100 ms); -EDOM: no such role; -EBADF, -ESTALE, -EBADMSG.
 * Deaths are noticed within 100 ms. */
SHMRING_SCOPE int shmring_wait_peer(struct shmring *ring, unsigned role,
				    int64_t timeout_ns);
SHMRING_SCOPE int shmring_wait_gone(struct shmring *ring, unsigned role,
				    int64_t timeout_ns);

/* Look for dead participants now; waiting calls do it by themselves, others
 * when they find the ring full or empty for long. A producer whose pushes all
 * succeed at once does not look: call this when it matters that the consumer
 * still lives. How many were recovered; -EPERM: an observer; -EBADF,
 * -ESTALE. */
SHMRING_SCOPE int shmring_recover(struct shmring *ring);
/* The ring's id, random, another for each creation. -EBADF. */
SHMRING_SCOPE int shmring_id(const struct shmring *ring, unsigned char id[16]);
/* The position of the next message to read (SHMRING_CONSUMER), that of the one
 * in hands while there is one; or to write (SHMRING_PRODUCER), that of the
 * reservation. It only grows, by the bytes of a record (SPSC; within an array by
 * one) or by one (MPMC), for whoever has the role. In MPMC another may be
 * faster, unless the message is in our hands; a message that was committed late
 * is moved to a later one; a redelivered one keeps its own. 0 if the handle is
 * not open. */
SHMRING_SCOPE uint64_t shmring_position(const struct shmring *ring,
					unsigned role);
/* BROADCAST, a reader: read on at this position, the first message that is
 * whole for certain (SHMRING_OLDEST), or the next that comes (SHMRING_NEWEST,
 * as after open). Forward, what is skipped counts as lost. -ERANGE: no message
 * begins there, or not one that is whole any more; -ENOTSUP: another engine;
 * -EAGAIN: the writer was faster, again and again; -EBUSY: one is peeked at;
 * -EPERM: not a reader. */
#define SHMRING_NEWEST UINT64_MAX
#define SHMRING_OLDEST (UINT64_MAX - 1)
SHMRING_SCOPE int shmring_seek(struct shmring *ring, uint64_t position);
/* BROADCAST, a reader: how many messages this handle has lost, exactly, since
 * it was opened. */
SHMRING_SCOPE uint64_t shmring_lost(const struct shmring *ring);
/* How many messages of slot_size fit at least, if nobody is stopped: see the
 * guarantees. */
SHMRING_SCOPE size_t shmring_capacity(const struct shmring *ring);
/* Messages (MPMC) or bytes (SPSC) between the positions, approximate.
 * BROADCAST: bytes before this reader, else before the slowest; lossy: kept. */
SHMRING_SCOPE uint64_t shmring_length(const struct shmring *ring);
#ifdef __cplusplus /* the struct and the call may share a name */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
/* The whole ring, approximate while others run; for any handle, also an
 * observer's, without a system call. 0; -EBADF. */
SHMRING_SCOPE int shmring_stat(const struct shmring *ring,
			       struct shmring_stat *out);
/* Participant 0, 1, ... (SPSC: the consumer, the producer; BROADCAST: 1 is the
 * producer): 0; -ENOENT: nobody, but the counters of who was there; -ERANGE:
 * beyond the last. Whether it is dead takes system calls; -EBADF. */
SHMRING_SCOPE int shmring_participant(const struct shmring *ring,
				      uint32_t index,
				      struct shmring_participant *out);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif
/* What to do about a negative errno of this header. */
SHMRING_SCOPE const char *shmring_strerror(int error);

/* ------------------------------------------------------------------------
 * ORDERING
 *
 * Each store that publishes has a label R, each load that relies on it the
 * label A of the same number. "Free" means: may be overwritten.
 *
 *   what                          release side       acquire side
 *   SPSC record                   R1 header          A1 header
 *   SPSC next header is zero      R1 (after its 0)   A1
 *   SPSC space is free            R2 head, R3 taken  A2 head, A3 taken
 *   MPMC slot is ready            R4 phase 2T+1      A4 phase
 *   MPMC slot is free             R4 phase 2T+2      A4 phase
 *   MPMC verdict on a slot        R5 CAS of state    A5 state
 *   MPMC intent before the claim  R6 intent, adopts  A6 intent, adopts
 *   participant is complete       R7 status          A7 status
 *   last one left, doubt, orphan  R8 attn            A8 attn
 *   MPMC claim is made            R9 CAS of cursor   A9 cursor
 *   one has come or gone          R10 peers          A10 peers
 *   who interrupts is done        R11 interrupts     A11 interrupts
 *   bytes are being overwritten   R12 bound, fence   A12 fence, bound
 *   mark of a record's start      R13 marks          A13 marks
 *   wake-up                       R1, R3, R4, then   W2, then A1, A2, A3
 *                                 W1                 or A4
 *
 * A relaxed access says why that is enough, in one of four words:
 *   own        nobody else writes it (counters, tail and head in SPSC)
 *   hint       nothing is decided by it alone
 *   confirmed  a later compare-and-swap decides
 *   carried    the label named with it orders it
 *
 * Sequentially consistent, each for the sake of one interleaving (Dekker: both
 * store first, then both load; one at least sees the other's store):
 *   F1  `retired`: who replaces the ring, then loads the lines; F4 is the
 *       other. Impossible: a ring is replaced under one who has just attached
 *   F2  status: two who leave at once, each to see that nobody is left.
 *       Impossible: both are gone, and attn does not say so
 *   F3  status RECOV, then states and intents; R4 to R6 of the dead before it.
 *       Impossible: a claim of the dead is overlooked, and its slot leaks
 *   F4  status LIVE, then our first claim, and `retired`. Impossible: a claim
 *       of ours is seen, and nobody who lives to cover it
 *   F5  HEAVY, see DOUBT
 *   F6  who interrupts a handle, then loads what it sleeps on; who is about to
 *       sleep, then loads whether it is interrupted. Impossible: it sleeps on
 *   F7  BROADCAST: who joins, and the writer that asks its readers: (join)
 *   W1, W2  see W
 *
 * W: nobody sleeps while there is what he waits for.
 *           publisher                  waiter
 *           publish              R1    the word := its bits
 *           load the word        W1    full fence          W2
 *           bits: wake                 look again          A1
 *                                      none: sleep, if the word is the same
 *     If the publisher's load misses the bits, then the second look sees what
 *     was published. Impossible: both miss, and the waiter sleeps on.
 * On arm64 W1 is seq_cst on both sides (STLR, LDAR), which do not overtake each
 * other. On x86 W1 may overtake the publication, for a fence would cost more
 * than the push: then both may miss, as long as the message is on its way (in
 * the store buffer): microseconds at most while its CPU runs, and an interrupt
 * drains it. So a waiter sleeps long only once its bits have stood in the word
 * for SHMRING__FIRST_SLEEP_NS and it has looked since: whoever overtook has
 * arrived by then. SLEEPY shortens that: who reads it pays for the fence and
 * reads the word again behind it (again W1), so that all that must have stood
 * for so long is SLEEPY, of earlier waits (a short timer costs more than the
 * sleep itself: 17 against 5 us). Waiters in a long stream take SLEEPY away,
 * and so does who finds it in vain for long.
 * shmring__may_sleep_long decides. In any case no sleep exceeds a slice.
 *
 * DOUBT: the same between the owner of a slot and who doubts it, but only the
 * doubter pays: see (decide) under MPMC.
 * ------------------------------------------------------------------------ */

#define SHMRING__RARELY(condition) __builtin_expect(!!(condition), 0)
#define SHMRING__HOT \
	static inline __attribute__((__always_inline__, __unused__))
#define SHMRING__APART static __attribute__((__noinline__, __unused__))
#define SHMRING__COLD static __attribute__((__noinline__, __cold__, __unused__))
#define SHMRING__LOAD(place, order) __atomic_load_n(place, __ATOMIC_##order)
#define SHMRING__STORE(place, value, order) \
	__atomic_store_n(place, value, __ATOMIC_##order)
/* A publication, with W1 behind it. W1 must not overtake it, but on x86 may: a
 * fence costs more than a push, so there the waiter is careful. See W. */
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
	/* R4, R5, R7, R8 or R9, and A4 to A9 of that number: who calls says
	 * which */
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
 *   BROADCAST: producer page            | bytes (mapped twice)
 *   MPMC: index page    | states        | slots
 *
 * Lines of different writers are 128 bytes apart (adjacent-line prefetch);
 * a side maps read-only what it never writes.
 * ------------------------------------------------------------------------ */

#define SHMRING__MAGIC UINT64_C(0x31676e69726d6873) /* "shmring1" */
#define SHMRING__BYTE_ORDER UINT32_C(0x01020304)
#define SHMRING__LINE 128

/* A waiters word, one a direction; its states stand under WAKING. Above the
 * bits a generation that every wake-up increments, so that a sleeper that
 * announced itself before it does not sleep after it, and how often SLEEPY was
 * taken away. */
#define SHMRING__WAITS 1u /* somebody is about to sleep */
#define SHMRING__MORE 2u /* not SPSC: others may sleep besides */
#define SHMRING__PROMPT 4u /* tell of the next free slot already */
#define SHMRING__WATCHES 8u /* tell all of every step (flush) */
#define SHMRING__POLLS 16u /* somebody sleeps beside: see shmring_poll.h */
#define SHMRING__CALLS 31u /* any that a wake-up answers */
#define SHMRING__SLEEPY 32u /* they sleep at every turn: fence, then look */
#define SHMRING__NOTIFY 63u /* any of these */
#define SHMRING__GENERATION 64u
#define SHMRING__EPOCH (UINT32_C(1) << 26)
#define SHMRING__GENERATIONS (SHMRING__EPOCH - SHMRING__GENERATION)

/* notice.attn: what the hot paths must know at once; above it a version that
 * every change increments, so that clearing a bit cannot miss a new cause. */
#define SHMRING__DOUBT UINT64_C(1) /* some slot is, or was, in doubt */
#define SHMRING__ORPHAN UINT64_C(2) /* a dead reader's message may wait */
#define SHMRING__NO_PRODUCER UINT64_C(4) /* there was one, the last is gone */
#define SHMRING__NO_CONSUMER UINT64_C(8)
#define SHMRING__HAD_PRODUCER UINT64_C(16) /* one was attached, ever */
#define SHMRING__HAD_CONSUMER UINT64_C(32)
#define SHMRING__VERSION UINT64_C(64)

struct shmring__notice { /* read by all all the time, written seldom */
	uint64_t attn;
	uint32_t data; /* waiters for messages */
	uint32_t space; /* waiters for free slots, or for all to be taken */
	uint32_t cpu[2]; /* 1 + CPU of the last consumer, producer to wait */
	uint32_t peers; /* changes when one has come or gone: a futex */
	uint32_t reserved;
	uint64_t spare[12];
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
	uint32_t retired; /* see REPLACING in LIFE CYCLE */
	uint32_t features; /* what an opener has to know: SHMRING__FEATURE_ */
	unsigned char id[16]; /* of this creation, random */
	uint64_t looked; /* for the dead, last time: CLOCK_MONOTONIC, ns */
	uint32_t demote_ms; /* BROADCAST */
	uint32_t alignment; /* of places, 8 at least */
	uint64_t spare[14]; /* 0 */
	struct shmring__notice notice;
};

/* header.features */
#define SHMRING__FEATURE_ENDLESS 1u /* SHMRING_PERSISTENT: nobody is the last */
#define SHMRING__FEATURE_BROADCAST 2u
#define SHMRING__FEATURE_PLACES 4u /* records are not packed to 8 bytes */
#define SHMRING__FEATURES 7u /* all that this header knows */

#define SHMRING__READ 0 /* side: index of what there is once a direction */
#define SHMRING__WRITE 1

/* status: generation << 16 | roles << 8 | state */
#define SHMRING__FREE 0u
#define SHMRING__LIVE 1u
#define SHMRING__RECOV 2u /* proven dead, being recovered */
/* Among the roles of a line that is RECOV or free: */
#define SHMRING__LEFT 64u /* it closed with messages in its hands (SPSC) */
#define SHMRING__DIED 128u /* it was killed */
/* participant.flags */
#define SHMRING__FENCED 1u /* no membarrier here: full fences instead */

struct shmring__line { /* a participant; others write its status only, and in
			  BROADCAST the writer its intent[1] */
	uint64_t status;
	uint64_t pid_namespace, start; /* with pid: who it is */
	uint32_t pid, flags;
	uint64_t intent[2]; /* MPMC: position claimed or held: reader's,
			       writer's; BROADCAST: see there */
	uint64_t adopts; /* position of a dead reader, being taken over */
	uint64_t time_namespace; /* which start was read in */
	/* MPMC counts bytes here. In the packed engines tail and head tell
	 * them, less a header of 8 for each message; here stand only the
	 * headers that runs have saved. */
	uint64_t pushed, pushed_bytes, popped, popped_bytes;
	uint64_t full, empty, sleeps, wakes;
	uint64_t hands; /* SPSC reader: messages it may have in hands at once */
	uint64_t waits; /* as which role its owner waits; 0: it does not */
	/* BROADCAST reader: its position; bytes passed unread; messages lost */
	uint64_t head, passed, lost;
	uint64_t refused, high_water;
	uint64_t spare[9]; /* 0 */
};

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

/* The role that a side plays; in SPSC the side is also its line's number. */
SHMRING__HOT uint32_t
shmring__role(int side)
{
	return side == SHMRING__READ ? SHMRING_CONSUMER : SHMRING_PRODUCER;
}

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
SHMRING__AT(shmring__header, features, 108);
SHMRING__AT(shmring__header, id, 112);
SHMRING__AT(shmring__header, looked, 128);
SHMRING__AT(shmring__header, demote_ms, 136);
SHMRING__AT(shmring__header, alignment, 140);
SHMRING__AT(shmring__header, notice, 256);
SHMRING__AT(shmring__notice, attn, 0);
SHMRING__AT(shmring__notice, data, 8);
SHMRING__AT(shmring__notice, space, 12);
SHMRING__AT(shmring__notice, cpu, 16);
SHMRING__AT(shmring__notice, peers, 24);
SHMRING__AT(shmring__line, status, 0);
SHMRING__AT(shmring__line, pid_namespace, 8);
SHMRING__AT(shmring__line, start, 16);
SHMRING__AT(shmring__line, pid, 24);
SHMRING__AT(shmring__line, flags, 28);
SHMRING__AT(shmring__line, intent, 32);
SHMRING__AT(shmring__line, adopts, 48);
SHMRING__AT(shmring__line, time_namespace, 56);
SHMRING__AT(shmring__line, pushed, 64);
SHMRING__AT(shmring__line, pushed_bytes, 72);
SHMRING__AT(shmring__line, popped, 80);
SHMRING__AT(shmring__line, popped_bytes, 88);
SHMRING__AT(shmring__line, full, 96);
SHMRING__AT(shmring__line, empty, 104);
SHMRING__AT(shmring__line, sleeps, 112);
SHMRING__AT(shmring__line, wakes, 120);
SHMRING__AT(shmring__line, hands, 128);
SHMRING__AT(shmring__line, waits, 136);
SHMRING__AT(shmring__line, head, 144);
SHMRING__AT(shmring__line, passed, 152);
SHMRING__AT(shmring__line, lost, 160);
SHMRING__AT(shmring__line, refused, 168);
SHMRING__AT(shmring__line, high_water, 176);
SHMRING__ASSERT(sizeof(struct shmring__notice) == SHMRING__LINE);
SHMRING__ASSERT(sizeof(struct shmring__header) == 256 + SHMRING__LINE);
SHMRING__ASSERT(sizeof(struct shmring__line) == 2 * SHMRING__LINE);

/* Where everything is: follows from mode, slots, slot_size, participants,
 * alignment, meters and page alone. Each handle works it out for itself and
 * never reads it from shared memory again. */
struct shmring__geometry {
	uint32_t mode, slots, slot_size, participants;
	uint32_t alignment, meters; /* meters: bytes before the header, or 0 */
	uint64_t near; /* smaller messages stand before their header */
	uint64_t page, stride; /* of a slot */
	uint64_t capacity; /* bytes of data */
	uint64_t index, consumer, states, data, total; /* offsets, size */
};

/* Wiped by fork, so that the first access of a child falls into the cold
 * path. What a handle may do stands here, to be checked by one comparison with
 * what is compared anyway. */
struct shmring__canary {
	uint64_t limit[2]; /* as in the handle, or 0: pop, push are refused */
	uint64_t held[2]; /* 1 + size of what release, commit may end; or 0 */
	uint64_t alive;
};

#define SHMRING__CANARY 65536 /* bytes mapped: a page of any size */

struct shmring__claim { /* a message in hands */
	uint64_t position;
	uint64_t size;
	unsigned char *data; /* behind its header, or phase: see PLACES */
	int hold;
	uint64_t end; /* MPMC: the phase that ends it, as a word; SPSC, where
			 * runs are gone through: the next position */
};
#define SHMRING__NO_CLAIM                    \
	{                                    \
		0, 0, NULL, SHMRING__IDLE, 0 \
	}
#define SHMRING__IDLE 0 /* states of a claim */
#define SHMRING__HELD 1
#define SHMRING__ADOPTED 2 /* read: taken over from a dead consumer */
#define SHMRING__SPILLED 2 /* write: voided, message kept in spill */
#define SHMRING__SEVERAL 3 /* read: as many as `several` tells, by peek_n */
#define SHMRING__OF_RUN 4 /* read: one of a run, by peek */
#define SHMRING__IN_RUN 1 /* no error: the next message stands in a run */

/* Field by field: the model checker has no memcpy. */
SHMRING__HOT void
shmring__set_claim(struct shmring__claim *to, const struct shmring__claim *from)
{
	to->position = from->position;
	to->size = from->size;
	to->data = from->data;
	to->hold = from->hold;
	to->end = from->end;
}

struct shmring__idle { /* what keeps us waiting */
	uint64_t position; /* nothing was to be had there */
	int claimed; /* by another; -1: not seen yet */
	int doubted; /* at the last look: patience had ended */
	int64_t since; /* it is seen to be so */
	uint64_t done, streak; /* messages moved until, between two waits */
	uint32_t calls;
	uint32_t lone, trial; /* waits since, and until, a try for a stream */
};

/* The parts of a handle: what one engine needs, or one purpose. */
struct shmring__spsc_part { /* and BROADCAST, which has the same records */
	uint64_t credit; /* writer: may write below this */
	uint64_t fetches; /* and fetch lines below this: nobody reads there */
	uint64_t *taken; /* what the reader has published as free */
	uint64_t published; /* reader: my copy of *taken */
	uint64_t lazy; /* reader: publish after so many bytes */
	uint64_t usual; /* reader: size of the last record */
	uint64_t gone; /* what in attn refuses a push; BROADCAST: none */
	uint64_t paced; /* writer: where it looked at its pace, and when */
	int64_t paced_at;
	/* a dead reader may have seen what stands before `doubtful`; we went
	 * on at `resumed`, and may have so many in hands at once */
	uint64_t resumed, doubtful, hands;
	uint64_t several; /* messages held by peek_n */
};

struct shmring__mpmc_part {
	uint64_t *states; /* a word for each slot */
	uint64_t stride; /* of slots */
	uint64_t length_mask; /* of the length beside the phase */
	uint32_t shift, length_bits;
	uint32_t wide; /* the length stands beside */
	uint32_t fenced; /* LIGHT must be a full fence */
	int tries; /* left to the call that goes on */
	unsigned char *spill; /* a message whose slot was declared void */
	uint64_t last; /* one past my last push, for flush */
	uint64_t settled; /* positions, since the last look at all slots */
};

struct shmring__broadcast_part {
	/* of a reader */
	uint64_t number; /* of the next message, less those popped */
	uint64_t lost; /* messages, in all */
	uint32_t holds; /* the writer */
	uint32_t checks; /* what it copied may have been overwritten */
	/* of the writer */
	uint32_t asks; /* the readers how far they are: not lossy */
	uint64_t gate; /* it may overwrite all before */
	uint64_t oldest; /* number of the oldest mark of use */
	int64_t demote; /* who holds it for so long, ns; 0: nobody */
};

struct shmring__wait_part {
	int64_t spin_ns;
	struct shmring__idle idle[2];
	int64_t looked; /* for the dead, last time, we or another */
	uint32_t missed; /* times in a row that spinning was in vain */
	int look_now; /* at the clock */
	uint32_t goes_on; /* a waiting call has failed once, and goes on */
	uint32_t unanswered[2]; /* times in a row that SLEEPY was in vain */
	uint32_t sleepy[2]; /* SLEEPY and its epoch in the word, */
	int64_t sleepy_since[2];
	uint32_t eintr; /* signals end a wait */
	uint32_t interrupts; /* by other threads, and handlers */
	uint32_t *sleeps_on; /* the word; NULL: does not sleep */
};

struct shmring__map_part { /* the segment, in our address space */
	unsigned char *base, *reserved; /* the mapping; with its guards */
	size_t mapped;
	int fd, pass; /* pass: memfd without our locks, for others */
	int watch; /* 1 + inotify that open has waited on; see shmring__unwatch */
	dev_t device; /* of fd, with inode: is it still ours? */
	ino_t inode;
};

struct shmring__self_part { /* who we are, as our line says */
	uint32_t roles, pid;
	uint64_t start, pid_namespace, time_namespace;
};

struct shmring { /* private: one participant, in its own memory */
	/* what the hot paths of all engines read; a handle of zeros is not
	 * open */
	struct shmring__canary *canary; /* NULL: not open */
	struct shmring__notice *notice;
	unsigned char *data; /* SPSC: bytes; MPMC: slots */
	uint64_t *tail, *head; /* next position to write, to read */
	struct shmring__line *line[2]; /* my own: as reader, as writer */
	uint64_t mask; /* SPSC: of byte offsets; MPMC: of slot numbers */
	uint64_t limit[2]; /* 1 + the largest length: as stored, as pushed */
	uint32_t path; /* which of the hot ones, SHMRING__PACKED or the like */
	uint32_t mode;
	uint64_t fetch_from; /* no line before this; see FETCH_REST */
	uint64_t fetch_ahead; /* what is fetched; SPSC: bytes, MPMC: slots */
	uint64_t align, near; /* see PLACES */
	uint32_t meters;
	struct shmring__spsc_part spsc;
	struct shmring__mpmc_part mpmc;
	struct shmring__broadcast_part broadcast;
	/* the rest */
	struct shmring__wait_part wait;
	struct shmring__claim held[2]; /* by peek, by reserve */
	int error, redelivered;
	int poisoned; /* hostile content was seen: the errno */
	uint32_t features;
	struct shmring__geometry geometry;
	struct shmring__line *lines;
	struct shmring__header *header;
	struct shmring__map_part map;
	struct shmring__self_part self;
};

/* shmring.path: who is not open, or has to take care, has none. Then the canary
 * must be looked for first. */
#define SHMRING__SLOWLY 0
#define SHMRING__PACKED 1 /* SPSC, BROADCAST */
#define SHMRING__SLOTS 2 /* MPMC; not wide or aligned, nor without membarrier */
#define SHMRING__PLACED 3 /* SPSC, BROADCAST with an alignment, or meters */
#define SHMRING__IS_PACKED(path) ((path)&1) /* PACKED or PLACED */

/* What the hot paths read of a handle, in a local variable, and so in
 * registers: for all that compilers know, a store into the ring may change the
 * handle, and each word would be loaded again after it. */
struct shmring__view {
	unsigned char *data;
	uint64_t mask;
	uint64_t *cursor; /* tail, or head */
	struct shmring__line *line; /* my own */
	struct shmring__notice *notice;
	uint64_t align, near; /* constants, but for where they are needed */
	uint32_t meters;
};

/* Open, and of that engine. */
SHMRING__HOT int
shmring__is_spsc(const struct shmring *r)
{
	return SHMRING__IS_PACKED(r->path) && r->mode == SHMRING_SPSC;
}

SHMRING__HOT struct shmring__view
shmring__view_of(const struct shmring *r, int path, int side)
{
	struct shmring__view v;
	int plain = path == SHMRING__PACKED || path == SHMRING__SLOTS;
	v.data = r->data;
	v.mask = r->mask;
	v.cursor = side == SHMRING__WRITE ? r->tail : r->head;
	v.line = r->line[side];
	v.notice = r->notice;
	v.align = plain ? 8 : r->align;
	v.near = plain ? 0 : r->near;
	v.meters = plain ? 0 : r->meters;
	return v;
}

/* With all care, for whatever ring. */
static inline struct shmring__view
shmring__any_view(const struct shmring *r, int side)
{
	return shmring__view_of(r, SHMRING__SLOWLY, side);
}

/* PLACES. An alignment is that of what users get, not of headers. So a record,
 * or slot, is a multiple of it, and has its header at the end of its first
 * unit. A payload that fits stands before its header (near), so that both are
 * in one unit; a larger one behind it. Meters have 8 bytes before the header,
 * and an alignment of 16 at least.
 *
 *	64:          | payload to 56         header |
 *	             |                       header | payload ...
 *	8:                                 | header | payload ...
 *	metered, 64: | payload to 48   time, header |
 *
 * Positions are those of headers, as if there was nothing before the first.
 * What stands before its header is free when what is behind it is, so all that
 * follows knows only one length: from the header to the next payload, with what
 * is unused. In MPMC all places of a ring are near, or none. */
SHMRING__HOT unsigned char *
shmring__place(const struct shmring__view *v, unsigned char *data,
	       uint64_t size)
{
	return size < v->near ? data - v->align : data;
}

/* The length that the header tells: of a message that is not near, what is
 * unused before it counts, too. */
SHMRING__HOT uint64_t
shmring__stored(const struct shmring__view *v, uint64_t size)
{
	return size < v->near ? size : size + v->align - 8;
}

/* And back; never between near and what is added. */
SHMRING__HOT uint64_t
shmring__unstored(const struct shmring__view *v, uint64_t stored)
{
	return stored < v->near ? stored : stored - (v->align - 8);
}

SHMRING__HOT uint64_t
shmring__stored_size(const struct shmring__view *v, uint64_t stored)
{
	return (stored + 8 + v->align - 1) & ~(v->align - 1);
}

/* Bytes of a record with one message. */
SHMRING__HOT uint64_t
shmring__record_size(const struct shmring__view *v, uint64_t size)
{
	return shmring__stored_size(v, shmring__stored(v, size));
}

/* Whether a header tells one of the lengths that never are stored. */
SHMRING__HOT int
shmring__is_gap(const struct shmring__view *v, uint64_t header)
{
	return header - 1 - v->near < v->align - 8;
}

/* RUNS (SPSC, packed). Of an array, up to eight messages, if they are small,
 * have one header: the length of each, and how many more they are.
 *
 *	| 8 + 1, and 2 more | payload | payload | payload | next header
 *	  p                   p         p + 1     p + 2     p + 32
 *
 * Positions of headers are multiples of 8: the three bits below, in head and
 * wherever it is remembered, tell how many of a run are taken. Who asks for
 * room need not know: what he asks for is a multiple of 8, too. */
#define SHMRING__RUN 8
/* The longest: a header costs others little; and so a run is shorter than the
 * smallest ring, a page. */
#define SHMRING__RUN_LENGTH 64

/* So many of its run are taken. */
SHMRING__HOT uint64_t
shmring__nth(uint64_t position)
{
	return position & 7;
}

SHMRING__HOT uint64_t
shmring__header_of(uint64_t stored, uint64_t more)
{
	return more << 32 | (stored + 1);
}

/* How many messages come behind the first. */
SHMRING__HOT uint64_t
shmring__more(uint64_t header)
{
	return header >> 32;
}

SHMRING__HOT uint64_t
shmring__stored_in(uint64_t header)
{
	return (uint32_t)header - UINT64_C(1);
}

/* From one payload of a run to the next. */
SHMRING__HOT uint64_t
shmring__run_step(uint64_t stored)
{
	return (stored + 7) & ~UINT64_C(7);
}

/* Where the next record stands. */
SHMRING__HOT uint64_t
shmring__next_record(const struct shmring__view *v, uint64_t position,
		     uint64_t header)
{
	uint64_t stored = shmring__stored_in(header);
	return (position & ~UINT64_C(7)) +
	       shmring__stored_size(
		       v, shmring__more(header) * shmring__run_step(stored) +
				  stored);
}

/* And the next message, which may be of the same run. */
SHMRING__HOT uint64_t
shmring__next_message(const struct shmring__view *v, uint64_t position,
		      uint64_t header)
{
	return shmring__nth(position) < shmring__more(header)
		       ? position + 1
		       : shmring__next_record(v, position, header);
}

/* Whether the header of a record can be none that was written: then nothing
 * follows from it. */
static inline int
shmring__is_bad(const struct shmring *r, const struct shmring__view *v,
		uint64_t header)
{
	uint64_t one = (uint32_t)header, more = shmring__more(header);
	if (one > r->limit[SHMRING__READ] || shmring__is_gap(v, one))
		return 1;
	return more && (one - 1 > SHMRING__RUN_LENGTH || more >= SHMRING__RUN ||
			r->path != SHMRING__PACKED || r->mode != SHMRING_SPSC);
}

/* Or none at this position: behind the last message of its run. */
static inline int
shmring__is_bad_at(const struct shmring *r, const struct shmring__view *v,
		   uint64_t position, uint64_t header)
{
	return shmring__is_bad(r, v, header) ||
	       shmring__nth(position) > shmring__more(header);
}

/* shmring.interrupts */
#define SHMRING__INTERRUPTED 1u /* to be told of by who waits */
#define SHMRING__INTERRUPTING 2u /* times so many who are about it */

/* ------------------------------------------------------------------------
 * OPERATING SYSTEM
 *
 * How calls into it are made: shmring__os(), or errno kept around libc's. None
 * changes errno, failures are negative errnos. Futex, time, locks, processes
 * and memory stand here; files and names under LIFE CYCLE, the bell under
 * WAKING.
 * ------------------------------------------------------------------------ */

/* The kernel's names, for which libc wants _GNU_SOURCE, or newer headers. */
#define SHMRING__FUTEX_WAKE_SHARED 1
#define SHMRING__FUTEX_WAIT_BITSET_SHARED 9
#define SHMRING__FUTEX_WAITV 449 /* the number on all machines; Linux 5.16 */
#define SHMRING__FUTEX2_SIZE_U32 2
#define SHMRING__PIDFD_OPEN 434
#define SHMRING__MEMBARRIER_GLOBAL_EXPEDITED 2
#define SHMRING__MEMBARRIER_REGISTER_GLOBAL_EXPEDITED 4
#define SHMRING__MADV_HUGEPAGE 14
#define SHMRING__MADV_WIPEONFORK 18 /* Linux 4.14 */
#define SHMRING__MADV_COLLAPSE 25 /* Linux 6.1 */
#define SHMRING__F_OFD_GETLK 36
#define SHMRING__F_OFD_SETLK 37
#define SHMRING__F_ADD_SEALS 1033
#define SHMRING__F_GET_SEALS 1034
#define SHMRING__F_SEAL_SEAL 1
#define SHMRING__F_SEAL_SHRINK 2
#define SHMRING__F_SEAL_GROW 4
#define SHMRING__MFD_CLOEXEC 1
#define SHMRING__MFD_ALLOW_SEALING 2
#define SHMRING__MFD_HUGETLB 4
#define SHMRING__MFD_HUGE_2MB (21 << 26)
#define SHMRING__AT_EMPTY_PATH 0x1000
#define SHMRING__O_TMPFILE (020000000 | O_DIRECTORY)
#define SHMRING__RENAME_EXCHANGE 2
#define SHMRING__IN_CREATE 0x100
#define SHMRING__IN_MOVED_TO 0x80
#define SHMRING__TMPFS_MAGIC 0x01021994

/* A system call: its result, or a negative errno. errno stays. */
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

/* So many ns after now; never, if that is beyond what can be counted. */
static inline int64_t
shmring__after(int64_t now, int64_t ns)
{
	return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

static inline struct timespec
shmring__timespec(int64_t ns)
{
	struct timespec time;
	time.tv_sec = (time_t)(ns / 1000000000);
	time.tv_nsec = (long)(ns % 1000000000);
	return time;
}

SHMRING__COLD long
shmring__nap(int64_t ns)
{
	struct timespec time = shmring__timespec(ns);
	return shmring__os(SYS_nanosleep, (long)&time, 0, 0, 0, 0, 0);
}

/* Sleep until woken, *word != value, or the clock has passed until (ns of
 * CLOCK_MONOTONIC). Where futexes are refused (seccomp), a short nap. -EINTR:
 * a signal was handled; else nothing follows from the result. */
SHMRING__COLD long
shmring__futex_wait(uint32_t *word, uint32_t value, int64_t until)
{
	struct timespec time = shmring__timespec(until);
	long result = shmring__os(SYS_futex, (long)word,
				  SHMRING__FUTEX_WAIT_BITSET_SHARED,
				  (long)value, (long)&time, 0, -1);
	if (result == 0 || result == -EAGAIN || result == -EINTR ||
	    result == -ETIMEDOUT)
		return result;
	return shmring__nap(1000000);
}

SHMRING__COLD long
shmring__futex_wake(uint32_t *word, int count)
{
	return shmring__os(SYS_futex, (long)word, SHMRING__FUTEX_WAKE_SHARED,
			   count, 0, 0, 0);
}

/* 0 if every registered thread has passed a full fence since the call. */
SHMRING__COLD int
shmring__membarrier(struct shmring *ring)
{
	(void)ring;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* F5 */
	return (int)shmring__os(SYS_membarrier,
				SHMRING__MEMBARRIER_GLOBAL_EXPEDITED, 0, 0, 0,
				0, 0);
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

/* A descriptor just got, or its error. Never 0, 1 or 2: where these were
 * closed, whoever believes in them would read and write the ring. */
SHMRING__COLD int
shmring__above_stdio(long fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return (int)fd;
	long above = shmring__os(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
				 STDERR_FILENO + 1, 0, 0, 0);
	shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
	return (int)above;
}

/* Never waits: whatever stands there, a FIFO, a file that is leased. */
SHMRING__COLD int
shmring__open_path(const char *path, int flags)
{
	return shmring__above_stdio(shmring__os(
		SYS_openat, AT_FDCWD, (long)path,
		flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600, 0, 0));
}

/* Up to size - 1 bytes of a file, from its start, as a string; how many. */
SHMRING__COLD long
shmring__read_file(const char *path, char *to, size_t size)
{
	int fd = shmring__open_path(path, O_RDONLY);
	if (fd < 0)
		return fd;
	long got = shmring__os(SYS_read, fd, (long)to, (long)size - 1, 0, 0, 0);
	shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
	to[got < 0 ? 0 : got] = 0;
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
	long got = shmring__read_file(path, text, sizeof(text));
	if (got < 0)
		return got;
	char *field = strrchr(text, ')');
	for (int i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoll(field, NULL, 10) : -EBADMSG;
}

/* Our own, or 0 where it cannot be known: there is no /proc, or it is another
 * pid namespace's, where our number is somebody else's. */
SHMRING__COLD uint64_t
shmring__own_start(uint32_t pid)
{
	char text[16] = "";
	long got = shmring__os(SYS_readlinkat, AT_FDCWD, (long)"/proc/self",
			       (long)text, sizeof(text) - 1, 0, 0);
	if (got <= 0 || strtoul(text, NULL, 10) != pid)
		return 0;
	int64_t start = shmring__start_time(pid);
	return start < 0 ? 0 : (uint64_t)start;
}

/* Whether the process is gone for certain, all its threads. Zombies count
 * as gone once no thread is left: only a pidfd can tell. A start time of 0 is
 * unknown and proves nothing. */
SHMRING__COLD int
shmring__process_gone(uint32_t pid, uint64_t start)
{
	if (shmring__os(SYS_kill, (long)pid, 0, 0, 0, 0, 0) == -ESRCH)
		return 1;
	int fd = shmring__above_stdio(
		shmring__os(SHMRING__PIDFD_OPEN, (long)pid, 0, 0, 0, 0, 0));
	int64_t now = shmring__start_time(pid);
	/* pid used again? */
	int gone = start && now >= 0 && (uint64_t)now != start;
	if (fd >= 0) {
		struct timespec zero = shmring__timespec(0);
		struct pollfd ended = { fd, POLLIN, 0 };
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

#define SHMRING__OPENER 4096 /* + a line's: who is about to take it */
#define SHMRING__REPLACER 65536 /* the byte of who may rename the segment */

SHMRING__COLD int
shmring__lock(int fd, short type, uint32_t index)
{
	struct flock lock = shmring__byte(type, index);
	return (int)shmring__os(SYS_fcntl, fd, SHMRING__F_OFD_SETLK,
				(long)&lock, 0, 0, 0);
}

/* Whether another open file holds the byte; also if that cannot be told. Asks
 * as a reader: participants lock to write, and who may only read the file
 * (0644) shall not delay the proof of a death by a lock of that kind. It can
 * still keep others from attaching in a line whose byte it got first: who fears
 * that lets nobody read (0600). */
SHMRING__COLD int
shmring__locked(int fd, uint32_t index)
{
	struct flock lock = shmring__byte(F_RDLCK, index);
	return shmring__os(SYS_fcntl, fd, SHMRING__F_OFD_GETLK, (long)&lock, 0,
			   0, 0) != 0 ||
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
	shmring__os(SYS_madvise, (long)at, (long)length, SHMRING__MADV_HUGEPAGE,
		    0, 0, 0);
	long error = shmring__os(SYS_madvise, (long)at, (long)length,
				 SHMRING__MADV_COLLAPSE, 0, 0, 0);
	return error == -EINVAL ? -EOPNOTSUPP : (int)error;
}

/* ------------------------------------------------------------------------
 * WAKING
 *
 * The calls in a waiters word. Who waits announces itself by an or; who has
 * something for it wakes by a compare-and-swap, which takes the calls and the
 * generation one further, and only then by the system call. Whoever is woken
 * is in charge from there on: it looks, and passes on what it does not take.
 *
 *   calls     means                       goes over to             by
 *   none      nobody sleeps               WAITS                    a waiter
 *   WAITS     one sleeps or is about to   MORE too                 another
 *                                         MORE (else: none)        a waker: who
 *                                         comes now may be called in its place
 *                                         none                     that waiter
 *   MORE      others may sleep besides    MORE and WAITS           a waiter
 *             the one of WAITS, or who    MORE, the next called    a waker
 *             was called (BROADCAST: the  none: nobody heard it,   that waker
 *             call is not one's own)      and nobody came since
 *   PROMPT    beside WAITS: for room, and nothing has moved for    as WAITS
 *             a while. Else room is told of by the eighth, and
 *             who waits for it looks every SHMRING__NAP_NS
 *   WATCHES   every step is waited for: a wake-up calls all, as    as WAITS
 *             it always does in BROADCAST
 *   POLLS     who sleeps in poll or epoll hears a bell, not the    none by a
 *             futex: all of them                                   waker
 *   SLEEPY    is no call, and outlives them: see W under ORDERING
 *
 * MORE stands before anybody can act on a call, for it may be the one called
 * that has to wake the next. Nobody counts the sleepers, since one may be
 * killed. But "nobody heard it" is the truth as long as the word has not
 * changed since, for WAITS was taken: whoever came later has changed it.
 *
 * What if one dies? A waiter: its bits stay, and cost the next waker a system
 * call. A waker before the system call, or the one called before it passes
 * on: others sleep on beside what they wait for, no longer than their slice,
 * or until the next waker comes, which finds MORE. Nothing stays behind.
 * ------------------------------------------------------------------------ */

/* A counter that only we write; others read it at any time. In one
 * instruction, which compilers do not make of a load and a store. */
SHMRING__HOT void
shmring__count(uint64_t *counter, uint64_t more)
{
#if defined(__x86_64__) && !defined(SHMRING__COUNT_IN_C)
	__asm__("addq %1, %0" : "+m"(*counter) : "er"(more) : "cc");
#else
	SHMRING__STORE(counter, SHMRING__LOAD(counter, RELAXED) + more,
		       RELAXED); /* own */
#endif
}

static inline struct shmring__line *
shmring__own_line(const struct shmring *r)
{
	return r->line[SHMRING__WRITE] ? r->line[SHMRING__WRITE]
				       : r->line[SHMRING__READ];
}

/* Tell the other side where we run; seldom stored, the line is shared. */
SHMRING__COLD uint32_t
shmring__note_cpu(struct shmring *r, int side)
{
	uint32_t cpu = shmring__cpu();
	/* hint */
	if (SHMRING__LOAD(&r->notice->cpu[side], RELAXED) != cpu)
		SHMRING__STORE(&r->notice->cpu[side], cpu, RELAXED);
	return cpu;
}

/* Tell who polls (shmring_poll.h), by an event of the ring's own file: they
 * watch it for reads (messages) or for changes of its times (room). It is there
 * for all who share the ring, and what a dead one leaves goes with him. */
SHMRING__COLD void
shmring__ring_bell(const struct shmring *r, const uint32_t *word)
{
	char byte;
	if (word == &r->notice->data)
		shmring__os(SYS_pread64, r->map.fd, (long)&byte, 1, 0, 0, 0);
	else
		shmring__os(SYS_utimensat, r->map.fd, 0, 0, 0, 0, 0);
}

/* Wake one who waits on the word, or all if one watches; `all`: all, even if
 * the word tells of nobody. Only one of several wakers gets the generation and
 * makes the call. */
SHMRING__COLD void
shmring__wake(struct shmring *r, uint32_t *word, int all)
{
	for (int tries = 0; tries < SHMRING__TRIES; tries++) {
		uint32_t seen = SHMRING__LOAD(word, RELAXED); /* confirmed */
		int one = !all && !(seen & SHMRING__WATCHES) &&
			  r->mode != SHMRING_BROADCAST;
		int asleep = all || (seen & SHMRING__CALLS & ~SHMRING__POLLS);
		uint32_t more = one && asleep && r->mode == SHMRING_MPMC
					? SHMRING__MORE
					: 0;
		uint32_t next = (seen & ~SHMRING__CALLS) | more;
		if (!all && !(seen & SHMRING__CALLS))
			return;
		next += SHMRING__GENERATION;
		/* W1: what we publish goes before. MORE goes before the call */
		if (!__atomic_compare_exchange_n(word, &seen, next, 0,
						 __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		if (seen & SHMRING__POLLS)
			shmring__ring_bell(r, word);
		long woken =
			asleep ? SHMRING_FUTEX_WAKE(word, one ? 1 : INT_MAX)
			       : 0;
		if (more && woken <= 0)
			/* hint, to wakers; fails if anybody came meanwhile */
			__atomic_compare_exchange_n(word, &next, next & ~more,
						    0, __ATOMIC_RELAXED,
						    __ATOMIC_RELAXED);
		if (shmring__own_line(r)) /* not while we attach */
			shmring__count(&shmring__own_line(r)->wakes, 1);
		return;
	}
}

/* So often in a row SLEEPY was in vain: they sleep at every turn no more. */
#define SHMRING__AWAKE 64

/* Take SLEEPY away, if the word still is what was seen. Who sleeps next does
 * so shortly at first, and puts it back. */
SHMRING__COLD void
shmring__not_sleepy(uint32_t *word, uint32_t seen)
{
	uint32_t next = (seen & ~SHMRING__SLEEPY) + SHMRING__EPOCH;
	/* hint: who needs it looks whether it stands, and since when */
	if (seen & SHMRING__SLEEPY)
		__atomic_compare_exchange_n(word, &seen, next, 0,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Something was published and the word is not clear: wake who waits. */
SHMRING__COLD void
shmring__notify_word(struct shmring *r, uint32_t *word, int side)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* W1, for the SLEEPY */
	uint32_t seen = SHMRING__LOAD(word, RELAXED); /* carried: W1 */
	if (seen & SHMRING__CALLS) {
		r->wait.unanswered[side] = 0;
		shmring__note_cpu(r, side);
		shmring__wake(r, word, 0);
	} else if (++r->wait.unanswered[side] % SHMRING__AWAKE == 0) {
		shmring__not_sleepy(word, seen);
	}
}

SHMRING__COLD void
shmring__notify_data(struct shmring *r)
{
	shmring__notify_word(r, &r->notice->data, SHMRING__WRITE);
}

/* After a publication: does anybody wait for it? */
SHMRING__HOT void
shmring__notify(struct shmring *r, const struct shmring__view *v)
{
	/* W1 */
	if (SHMRING__RARELY(SHMRING__LOAD(&v->notice->data, SEQ_CST) &
			    SHMRING__NOTIFY))
		shmring__notify_data(r);
}

SHMRING__COLD void
shmring__notify_space(struct shmring *r)
{
	shmring__notify_word(r, &r->notice->space, SHMRING__READ);
}

/* No producer is left and a consumer has let go of a message: it may have been
 * the last one, which all who wait shall see. */
SHMRING__COLD void
shmring__notify_end(struct shmring *r)
{
	/* W1 */
	if (!(SHMRING__LOAD(&r->notice->data, SEQ_CST) & SHMRING__NOTIFY))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* W1, for the SLEEPY */
	/* carried: W1 */
	if (SHMRING__LOAD(&r->notice->data, RELAXED) & SHMRING__CALLS)
		shmring__wake(r, &r->notice->data, 1);
}

/* Change attn. Its version grows first, so that whoever wants to change a bit
 * by what it saw before either fails or sees our cause (R8). */
SHMRING__COLD void
shmring__change_attn(struct shmring *r, uint64_t set, uint64_t clear)
{
	uint64_t *attn = &r->notice->attn;
	/* R8; F5: a doubt, before HEAVY; F2: that one was there, or the last is
	 * gone, before what its caller does next */
	__atomic_fetch_add(attn, SHMRING__VERSION, __ATOMIC_SEQ_CST);
	if (set) /* R8; F5, F2 */
		__atomic_fetch_or(attn, set, __ATOMIC_SEQ_CST);
	if (clear) /* R8; F2 */
		__atomic_fetch_and(attn, ~clear, __ATOMIC_SEQ_CST);
}

/* The content is not what we or an honest peer wrote: use it no more. */
SHMRING__COLD int
shmring__poison(struct shmring *r)
{
	for (int side = 0; side < 2; side++)
		r->canary->limit[side] = r->canary->held[side] = 0;
	r->poisoned = -EBADMSG;
	return r->poisoned;
}

/* The limit of a handle that may not be open. */
SHMRING__HOT uint64_t
shmring__limit(const struct shmring *r, int side)
{
	return r->canary ? r->canary->limit[side] : 0;
}

/* A limit of 0 stopped an operation, or size was beyond it: which? */
SHMRING__COLD int
shmring__refusal(const struct shmring *r, int side)
{
	if (!r->canary)
		return -EBADF;
	if (!r->canary->alive)
		return -ESTALE;
	if (r->poisoned)
		return r->poisoned;
	if (!r->line[side])
		return -EPERM;
	if (r->held[side].hold != SHMRING__IDLE)
		return -EBUSY;
	return -EMSGSIZE;
}

/* ------------------------------------------------------------------------
 * SPSC
 *
 * Records stand one behind the other: a header word, the payload, padding to
 * 8 bytes. Header 0: not there yet; otherwise length + 1. The bytes are
 * mapped twice in a row, so that a record that wraps is contiguous; headers
 * are always reached through the first mapping. Arrays have fewer: see RUNS.
 *
 * The reader looks at a header only where the writer has put a 0 before: the
 * writer clears the next header, then publishes this one; of a batch, the one
 * behind the last, then the first. So one cache line moves for a small message,
 * no index is shared, and nobody else clears anything. For each cache line that
 * a record enters, each side fetches one some way ahead of it from the other's
 * cache, the writer only where the reader has been: many lines are on their way
 * at once, where one after the other would be waited for (measured: 1.5 times
 * the messages of 8 bytes, 2 times those of 64 to 1024). Very long records do
 * so by themselves.
 *
 * THE HARD PLACES
 *
 * (record)  writer                     reader
 *           fill the payload           load header         A1
 *           next header := 0           read the payload
 *           header := size + 1   R1    load next header    A1
 *     If the first load sees R1, then the last one sees the 0 or a newer word.
 *     Impossible: bytes of the last lap are taken for a header.
 * (free)    reader                     writer
 *           copy                       load taken, or head A3, A2
 *           head := next         R2    fill what is before it + capacity
 *           taken := head        R3
 *     If the load sees head or taken, then the copy is done. Impossible: a
 *     message is overwritten while it is read.
 * (heir)    A writer killed between R1 and its store of tail has published: its
 *     successor goes on behind all headers that it finds from tail on. A reader
 *     killed between its copy and R2 may have seen the message: its successor
 *     gets it again, marked (shmring__resume_reader). Impossible: one is lost,
 *     or comes twice without a mark.
 *
 * tail and head are the true positions, each on a page that only its owner
 * writes, so that a successor goes on where a dead one stopped.
 * ------------------------------------------------------------------------ */

/* BROADCAST has the same records; where it differs, what follows calls it. */
static int shmring__broadcast_refresh(struct shmring *r, uint64_t tail,
				      uint64_t need, int lazy);
static int shmring__lapped(struct shmring *r);
SHMRING__HOT int shmring__overwritten(const struct shmring *r,
				      uint64_t position);

/* How far ahead, in bytes: at least and at most so far; and not at all for
 * records of so many times that, which stream by themselves. */
#define SHMRING__FETCH_LEAST 1024
#define SHMRING__FETCH_MOST 8192
#define SHMRING__FETCHED 4

/* Who has caught up with the other side would only take from it the lines that
 * it works on: a reader here who finds nothing, a writer of MPMC who finds no
 * room, fetches nothing before such a part of the ring has passed. (Our writer
 * knows how far the reader is. MPMC's reader writes to a slot, too, and has a
 * shorter way if it owns the line already.) */
#define SHMRING__FETCH_REST 4

/* And who needs a line this seldom has it in time without: a request and its
 * answer only have more lines to wait for, if others are fetched beside. */
#define SHMRING__FETCH_PACE_NS 100

/* Signed distance of two positions. */
SHMRING__HOT int64_t
shmring__distance(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

SHMRING__HOT uint64_t *
shmring__header_in(const struct shmring__view *v, uint64_t position)
{
	return (uint64_t *)(void *)(v->data + (position & v->mask));
}

/* The same by a handle, off the hot paths. */
static inline uint64_t *
shmring__header_at(const struct shmring *r, uint64_t position)
{
	struct shmring__view v =
		shmring__view_of(r, SHMRING__PACKED, SHMRING__READ);
	return shmring__header_in(&v, position);
}

/* The reader is close behind: how fast are we? Fetch nothing in this lap if we
 * were slow in the last. */
SHMRING__COLD void
shmring__spsc_pace(struct shmring *r, uint64_t tail)
{
	int64_t now = SHMRING_NOW();
	uint64_t lines = (tail - r->spsc.paced) / 64;
	if (r->spsc.paced_at && /* not the first lap */
	    (uint64_t)(now - r->spsc.paced_at) / SHMRING__FETCH_PACE_NS > lines)
		r->spsc.fetches = tail;
	r->spsc.paced = tail;
	r->spsc.paced_at = now;
}

/* The credit is used up: how far has the reader come? What it publishes is
 * lazy, and reading the true head slows it down; so who spins leaves that alone
 * (lazy), but for a look now and then, and before it gives up or sleeps. */
SHMRING__COLD int
shmring__spsc_refresh(struct shmring *r, uint64_t tail, uint64_t need, int lazy)
{
	uint64_t capacity = r->geometry.capacity;
	uint64_t limit =
		SHMRING__LOAD(r->spsc.taken, ACQUIRE) + capacity; /* A3 */
	/* What is published may be older than what head told us before. */
	if ((int64_t)(limit - r->spsc.credit) < 0)
		limit = r->spsc.credit;
	if (limit - tail < need && !lazy)
		limit = SHMRING__LOAD(r->head, ACQUIRE) + capacity; /* A2 */
	if (limit - tail > capacity)
		return shmring__poison(r);
	r->spsc.credit = r->spsc.fetches = limit;
	if (r->fetch_ahead && limit - tail > capacity / 4 * 3)
		shmring__spsc_pace(r, tail);
	return limit - tail < need ? -EAGAIN : 0;
}

/* Room at tail for a message of size bytes. */
SHMRING__HOT int
shmring__spsc_reserve(struct shmring *r, const struct shmring__view *v,
		      uint64_t tail, size_t size, struct shmring__claim *claim,
		      int lazy)
{
	/* and 8 bytes, for the next header to be cleared */
	uint64_t need = shmring__record_size(v, size) + 8;
	if (SHMRING__RARELY(r->spsc.credit - tail < need)) {
		int error = r->mode == SHMRING_SPSC
				    ? shmring__spsc_refresh(r, tail, need, lazy)
				    : shmring__broadcast_refresh(r, tail, need,
								 lazy);
		if (error)
			return error;
	}
	claim->position = tail;
	claim->data = (unsigned char *)(shmring__header_in(v, tail) + 1);
	return 0;
}

/* The record before next comes into other cache lines than the one in which it
 * begins: fetch as many, so far ahead. Each line once, and none left out, for
 * that one would be waited for. */
SHMRING__HOT void
shmring__spsc_fetch(const struct shmring *r, const struct shmring__view *v,
		    uint64_t next, uint64_t record, int to_write)
{
	uint64_t ahead = r->fetch_ahead, back = next & 63;
	if (back >= record || record / SHMRING__FETCHED >= ahead ||
	    (to_write
		     ? shmring__distance(r->spsc.fetches, next + ahead + record)
		     : shmring__distance(next, r->fetch_from)) < 0)
		return;
	do {
		const char *line = (const char *)shmring__header_in(
			v, next + ahead - back);
		if (to_write)
			SHMRING__PREFETCH_WRITE(line);
		else
			__builtin_prefetch(line);
		back += 64;
	} while (back < record);
}

/* The payload is there: where the next record stands. */
SHMRING__HOT uint64_t
shmring__spsc_fill(const struct shmring *r, const struct shmring__view *v,
		   const struct shmring__claim *claim, uint64_t record)
{
	uint64_t next = claim->position + record;
	shmring__spsc_fetch(r, v, next, record, 1);
	return next;
}

/* Show what stands before next, from the record at `place` on, by the header of
 * that one: so many messages. */
SHMRING__HOT void
shmring__spsc_commit(const struct shmring__view *v, uint64_t *place,
		     uint64_t header, uint64_t next, uint64_t count)
{
	/* carried by R1 */
	SHMRING__STORE(shmring__header_in(v, next), 0, RELAXED);
	/* R1: the payload and the cleared next header go before */
	SHMRING__PUBLISH(place, header);
	SHMRING__STORE(v->cursor, next, RELAXED); /* own */
	shmring__count(&v->line->pushed, count);
}

/* What the header says where we look is no message for us. */
SHMRING__COLD int
shmring__spsc_unready(struct shmring *r, uint64_t head, uint64_t header)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	if (!r->canary->limit[SHMRING__READ])
		return shmring__refusal(r, SHMRING__READ);
	if (r->broadcast.checks && shmring__overwritten(r, head))
		return shmring__lapped(r);
	if (!header && !shmring__nth(head))
		return -EAGAIN;
	return shmring__is_bad_at(r, &v, head, header) ? shmring__poison(r)
						       : -EMSGSIZE;
}

/* The payload of the message at head, of a run with messages of this size. */
SHMRING__HOT unsigned char *
shmring__in_run(const struct shmring__view *v, uint64_t head, uint64_t size)
{
	return (unsigned char *)(shmring__header_in(v, head) + 1) +
	       shmring__nth(head) * shmring__run_step(size);
}

/* The message at this position, of a run or not; claim->end is the next one's.
 */
SHMRING__HOT int
shmring__spsc_look(const struct shmring *r, const struct shmring__view *v,
		   uint64_t position, struct shmring__claim *claim)
{
	uint64_t *place = shmring__header_in(v, position);
	uint64_t header = SHMRING__LOAD(place, ACQUIRE); /* A1 */
	uint64_t stored = shmring__stored_in(header);
	if (!header)
		return -EAGAIN;
	if (SHMRING__RARELY(shmring__is_bad_at(r, v, position, header)))
		return -EBADMSG;
	claim->position = position;
	claim->size = shmring__unstored(v, stored);
	claim->data = shmring__in_run(v, position, stored);
	claim->end = shmring__next_message(v, position, header);
	return 0;
}

SHMRING__HOT int
shmring__spsc_acquire(struct shmring *r, const struct shmring__view *v,
		      uint64_t head, struct shmring__claim *claim, size_t limit)
{
	uint64_t *place = shmring__header_in(v, head);
	uint64_t header = SHMRING__LOAD(place, ACQUIRE); /* A1 */
	if (SHMRING__RARELY(header - 1 >= r->canary->limit[SHMRING__READ] ||
			    shmring__is_gap(v, header) ||
			    shmring__unstored(v, header - 1) > limit))
		return shmring__more(header) && r->mode == SHMRING_SPSC &&
				       r->path == SHMRING__PACKED
			       ? SHMRING__IN_RUN
			       : shmring__spsc_unready(r, head, header);
	claim->position = head;
	claim->size = shmring__unstored(v, header - 1);
	claim->data = (unsigned char *)(place + 1);
	return 0;
}

SHMRING__COLD void
shmring__spsc_publish_taken(struct shmring *r, uint64_t head)
{
	SHMRING__PUBLISH(r->spsc.taken, head); /* R3: our reads go before */
	r->spsc.published = head;
	if (SHMRING__LOAD(&r->notice->space, SEQ_CST) &
	    SHMRING__NOTIFY) /* W1 */
		shmring__notify_space(r);
}

/* A message is being read: where the next one stands. */
SHMRING__HOT uint64_t
shmring__spsc_next(struct shmring *r, const struct shmring__view *v,
		   const struct shmring__claim *claim)
{
	uint64_t record = shmring__record_size(v, claim->size);
	/* A branch, not the arithmetic: the CPU predicts that this record is
	 * as large as the last, and need not wait for its header to know
	 * where the next one stands. asm, or compilers see through it. A
	 * constant has had its branch. */
	if (!__builtin_constant_p(record)) {
		uint64_t usual = r->spsc.usual;
		if (SHMRING__RARELY(record != usual)) {
			r->spsc.usual = usual = record;
			__asm__("" : "+r"(usual));
		}
		record = usual;
	}
	uint64_t next = claim->position + record;
	shmring__spsc_fetch(r, v, next, record, 0);
	return next;
}

/* All before head has been read, so many messages. Tell the writer, now and
 * then, or when it asks for it, that it is free. */
SHMRING__HOT void
shmring__spsc_release(struct shmring *r, const struct shmring__view *v,
		      uint64_t head, uint64_t count)
{
	/* R2: after the copy, so that a successor sees it again rather than
	 * never, and that a writer who looks here overwrites nothing */
	SHMRING__STORE(v->cursor, head, RELEASE);
	if (SHMRING__RARELY(head - r->spsc.published >= r->spsc.lazy ||
			    /* hint: who asks so sleeps shortly at first */
			    (SHMRING__LOAD(&v->notice->space, RELAXED) &
			     (SHMRING__WATCHES | SHMRING__PROMPT))))
		shmring__spsc_publish_taken(r, head);
	shmring__count(&v->line->popped, count);
}

/* We may have so many in hands at once from now on. */
SHMRING__COLD void
shmring__spsc_hold(struct shmring *r, uint64_t count)
{
	struct shmring__line *x = r->line[SHMRING__READ];
	if (!x)
		return; /* to be refused */
	/* own: read by who has proof of our death */
	SHMRING__STORE(&x->hands, count, RELAXED);
	r->spsc.hands = count;
}

/* ------------------------------------------------------------------------
 * MPMC
 *
 * Vyukov's bounded queue, in which any process may be killed or stopped at
 * any instruction. First the queue, then what happens when somebody does not
 * come back.
 *
 * THE QUEUE. Position p belongs to slot p mod N in turn T = p / N.
 *
 *	slot    phase, length | payload     one for each of the N
 *	states  phase, count, state         a cold word for each, elsewhere
 *
 *	phase   2T      free for the writer of turn T
 *	        2T + 1  ready for the reader of turn T
 *	        2T + 2  free for the writer of turn T + 1
 *
 * Below, `phase` is the word in the slot, `state` the cold one, whose phase is
 * called f.
 *
 * The life of a message: its writer finds phase 2T at tail, shows the
 * position in its participant line (intent), claims it by a compare-and-swap
 * of tail, fills the slot and stores phase 2T + 1. Its reader does the same
 * with head and 2T + 2. The owner of a claim moves the phase on by a plain
 * store: no read-modify-write ever touches a slot. That makes the queue fast,
 * and it makes the rest of this section necessary, for nobody can take such a
 * store back.
 *
 * THE DOUBT. What if the owner is stopped, or dead? Nobody asks, until its
 * claim has blocked somebody for SHMRING_PATIENCE_NS, or until somebody else
 * has died who may have been the owner: who showed the position, too. Then it
 * is decided in the state whether the phase still counts. If not, it is void:
 * cursors pass it, and the slot is retained, left alone until its late owner
 * hands it back. A late copy of the payload thus harms nobody. A late writer
 * pushes its message again, at a later position.
 *
 *   state        means                      moves on to, and by whom
 *   LIVE(f)      phases up to f are decided. VOIDING(g > f)  who is blocked,
 *                phase < f: a hand-back       or who recovers a dead one that
 *                is unfinished                shows the position
 *                                            ORPHAN(phase + 1)  who recovers
 *   VOIDING(f)   does phase f count?         LIVE(f)         anybody: it came
 *                                            WRITER(f + 1)   anybody: it did
 *                                            READER(f + 2)   not; f odd; even
 *   WRITER(f)    retained for a late writer  LIVE(f)         the owner; or,
 *   READER(f)    or reader; positions of       uncovered, anybody
 *                turns < f / 2 are void      same(f + 2)     writers, come
 *                                              round to the slot again
 *                                            ORPHAN(f)       READER unread and
 *                                              uncovered: anybody
 *   ORPHAN(f)    an unread message of a      READER(f), count + 1: who adopts
 *                dead reader                 ORPHAN(f + 2), count + 1: writers,
 *                                              come round
 *
 * And who finishes it, if the one who moved dies or stops right there?
 *   LIVE, phase  whoever looks at the slot: shmring__help
 *   below f
 *   VOIDING      whoever it blocks, by his own clock (shmring__doubt), or who
 *                recovers; attn need not tell of it yet
 *   WRITER,      its owner; if that is dead, who recovers it or looks through
 *   READER       all slots: shmring__reclaim_slot. Covered means: a LIVE
 *                participant shows the position, so it may be the owner
 *   ORPHAN       who recovers the dead reader's line, or looks through all
 *                slots, raises the bit in attn again; who sees the bit adopts
 *
 * All moves go through shmring__move, by compare-and-swap from the very word
 * that was judged; when that fails, judge again.
 *
 * THE HARD PLACES. Each in the form: if this load sees that store, then ...
 *
 * (decide)  owner of the claim         doubter
 *           phase := f          R4     state := VOIDING(f)
 *           LIGHT                      attn |= DOUBT             R8
 *           load attn           A8     HEAVY
 *                                      load phase                A4
 *     If the doubter's load of phase misses f, then HEAVY came before LIGHT,
 *     and the owner's load of attn sees DOUBT: it looks at the state. If the
 *     owner's load misses DOUBT, then LIGHT came before HEAVY, and the
 *     doubter sees f. Impossible: the position is void, and its writer takes
 *     the message for delivered.
 * (settle)  who claims                 late owner
 *           load phase          A4     phase := late             R4
 *           LIGHT                      state := LIVE(f)          R5
 *           load attn: DOUBT    A8     phase := f
 *           load state          A5
 *           load phase again    A4
 *     DOUBT stays until head has passed the position, for which
 *     shmring__reclaim_slots looks; so who sees a late phase sees DOUBT. If its
 *     load of state sees LIVE(f), then its second load of phase sees f, or
 *     helps. Impossible: a message is read at a void position, and again where
 *     its writer pushed it anew.
 * (retain)  late owner                 anybody
 *           phase := late       R4     state := VOIDING(f <= late)
 *           load state          A5     state := WRITER or READER R5
 *           load phase          A4
 *     If the load of state sees WRITER (READER) and phase still is what was
 *     just stored, then the slot is retained for this owner and no other: only
 *     who is uncovered loses it. Impossible: two use a slot at once.
 * (recover) claimer of p               who recovers x, which shows p, too
 *           status := LIVE      R7     load cursor: beyond p     A9
 *           intent := p         R6     load state, phase: unfinished
 *           CAS cursor          R9     load all lines: uncovered A6, A7
 *           phase := next       R4     load phase: unchanged
 *           intent := q         R6     CAS state from the word judged
 *     If the cursor is beyond p, then the loads of the lines see the claimer
 *     LIVE with p; or with a later intent, then the second load of phase sees
 *     its own; or not LIVE any more, then it will not touch the slot, and who
 *     acted for it has changed state or phase. Impossible: a living owner's
 *     message becomes an orphan, or its slot another's.
 *
 * ABA. Phases, positions, generations and attn's version only grow. The one
 * word that may come again is READER(f) by way of ORPHAN(f): whatever leaves
 * ORPHAN counts, so a mover would have to sleep through 512 of one message.
 * A participant line may be used again as soon as it is FREE: by then all
 * that its owner left is told by the states, which need no line.
 *
 * WIDE rings, whose slot_size does not fit into 12 bits beside the phase, keep
 * the length in the slot's last word: so all count 2^51 turns.
 * ------------------------------------------------------------------------ */

#define SHMRING__S_LIVE 0u
#define SHMRING__S_VOIDING 1u
#define SHMRING__S_WRITER 2u
#define SHMRING__S_READER 3u
#define SHMRING__S_ORPHAN 4u
#define SHMRING__S_COUNT 0xff8u /* moves out of ORPHAN, modulo 512 */

/* One call gives up after SHMRING__TRIES in all (mpmc.tries), whatever another
 * disturbed; a look for an orphan in all slots counts as SHMRING__STEP_TRIES of
 * them. What is no call's own, as recovery, tries a step SHMRING__STEP_TRIES
 * times, and whoever comes by next goes on. */
#ifndef SHMRING__STEP_TRIES
#define SHMRING__STEP_TRIES 64
#endif

/* A state word: the phase for which it was decided, S_COUNT, the state. */
SHMRING__HOT uint64_t
shmring__make_state(uint64_t phase, uint64_t state)
{
	return phase << 12 | state;
}

SHMRING__HOT uint64_t
shmring__state_phase(uint64_t s)
{
	return s >> 12;
}

SHMRING__HOT uint32_t
shmring__state_kind(uint64_t s)
{
	return (uint32_t)(s & 7);
}

SHMRING__HOT unsigned char *
shmring__slot(const struct shmring *r, uint64_t position)
{
	return r->data + (position & r->mask) * r->mpmc.stride;
}

SHMRING__HOT uint64_t *
shmring__phase_word(const struct shmring *r, uint64_t position)
{
	return (uint64_t *)(void *)shmring__slot(r, position);
}

SHMRING__HOT uint64_t *
shmring__state_word(const struct shmring *r, uint64_t position)
{
	return &r->mpmc.states[position & r->mask];
}

/* The phase that a slot's first word tells; a length stands below it. */
SHMRING__HOT uint64_t
shmring__phase_in(const struct shmring *r, uint64_t a)
{
	return a >> r->mpmc.length_bits;
}

/* The phase that the writer (0) or reader (1) of a position waits for. */
SHMRING__HOT uint64_t
shmring__phase(const struct shmring *r, uint64_t position, int reader)
{
	return (position >> r->mpmc.shift) * 2 + (unsigned)reader;
}

/* The length that says: aborted, skip me. Larger than any slot_size. */
SHMRING__HOT uint64_t
shmring__aborted(const struct shmring *r)
{
	return r->mpmc.wide ? UINT32_MAX : r->mpmc.length_mask;
}

/* WIDE: where the length of a slot's message stands, behind its place. */
SHMRING__HOT uint64_t *
shmring__length_word(const struct shmring *r, uint64_t position)
{
	return (uint64_t *)(void *)(shmring__slot(r, position) +
				    r->mpmc.stride - r->align);
}

/* The length of the message at a position whose phase was loaded: loaded once,
 * to be checked by the caller. */
SHMRING__HOT uint64_t
shmring__length_of(const struct shmring *r, uint64_t position, uint64_t a)
{
	/* A4; confirmed by the claim, or by what is loaded after it: the slot
	 * still is this message's */
	return SHMRING__RARELY(r->mpmc.wide)
		       ? SHMRING__LOAD(shmring__length_word(r, position),
				       ACQUIRE)
		       : a & r->mpmc.length_mask;
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
		if (shmring__state_of(SHMRING__LOAD(&x->status, ACQUIRE)) ==
			    SHMRING__LIVE && /* A7 */
		    !(SHMRING__LOAD(&x->flags, RELAXED) & SHMRING__FENCED))
			return 0;
	}
	return 1;
}

/* Who waits may find a message or room now: whoever made it comes here. */
SHMRING__COLD void
shmring__wake_both(struct shmring *r)
{
	shmring__wake(r, &r->notice->data, 1);
	shmring__wake(r, &r->notice->space, 1);
}

/* The state is LIVE(f): let the phase have come to f. Others may help, and be
 * faster. */
SHMRING__COLD void
shmring__help_phase(struct shmring *r, uint64_t p, uint64_t f)
{
	uint64_t *word = shmring__phase_word(r, p);
	uint64_t a = SHMRING__LOAD(word, ACQUIRE); /* A4 */
	if (shmring__phase_in(r, a) < f &&
	    shmring__cas(word, a, f << r->mpmc.length_bits)) /* R4 */
		shmring__wake_both(r);
}

/* The only change of a state word: from the one that was judged to a state and
 * phase, with all that follows from it. 0: it is another by now, judge again. */
SHMRING__COLD int
shmring__move(struct shmring *r, uint64_t p, uint64_t from, uint64_t state,
	      uint64_t f)
{
	uint64_t count = from & SHMRING__S_COUNT;
	uint64_t bits = SHMRING__DOUBT | SHMRING__ORPHAN;
	/* A slot that is not LIVE keeps DOUBT up from here on; who made the
	 * orphan may have come too early with it, and be stopped since. */
	if (shmring__state_kind(from) == SHMRING__S_ORPHAN) {
		count = (count + 8) & SHMRING__S_COUNT;
		shmring__change_attn(r, SHMRING__DOUBT, 0);
	}
	if (state == SHMRING__S_ORPHAN)
		shmring__change_attn(r, bits, 0);
	if (!shmring__cas(shmring__state_word(r, p), from, /* R5 */
			  shmring__make_state(f, state) | count))
		return 0;
	switch (state) {
	case SHMRING__S_LIVE:
		if (shmring__state_kind(from) != SHMRING__S_VOIDING)
			shmring__help_phase(r, p, f);
		break;
	case SHMRING__S_ORPHAN: /* the bits may just have been cleared */
		shmring__change_attn(r, bits, 0);
		shmring__wake(r, &r->notice->data, 1);
		break;
	case SHMRING__S_WRITER:
	case SHMRING__S_READER:
		if (shmring__state_kind(from) == SHMRING__S_VOIDING)
			shmring__wake_both(r); /* void: to be passed */
		break;
	default:
		break;
	}
	return 1;
}

/* The state is VOIDING(f): did phase f come? Returns 0 if it cannot be told.
 * attn goes up before the phase is read, and whoever still stores one reads
 * attn afterwards: see (decide). The dead store nothing: for them no fence is
 * needed. */
SHMRING__COLD int
shmring__decide(struct shmring *r, uint64_t p, uint64_t s, int dead)
{
	uint64_t phase = shmring__state_phase(s);
	shmring__change_attn(r, SHMRING__DOUBT, 0);
	if (!dead && !shmring__heavy(r))
		return 0;
	uint64_t a = SHMRING__LOAD(shmring__phase_word(r, p), ACQUIRE); /* A4 */
	if (shmring__phase_in(r, a) >= phase)
		shmring__move(r, p, s, SHMRING__S_LIVE, phase);
	else if (phase & 1)
		shmring__move(r, p, s, SHMRING__S_WRITER, phase + 1);
	else
		shmring__move(r, p, s, SHMRING__S_READER, phase + 2);
	return 1;
}

/* Finish what others left undone at a slot: a hand-back, a decision. Loads
 * state (A5), then phase, in this order. 1: something changed, look again. */
SHMRING__COLD int
shmring__help(struct shmring *r, uint64_t p, uint64_t *s, uint64_t *a)
{
	*s = SHMRING__LOAD(shmring__state_word(r, p), ACQUIRE); /* A5 */
	*a = SHMRING__LOAD(shmring__phase_word(r, p), ACQUIRE); /* A4 */
	uint64_t f = shmring__state_phase(*s);
	int reached = shmring__phase_in(r, *a) >= f;
	switch (shmring__state_kind(*s)) {
	case SHMRING__S_LIVE:
		if (!reached)
			shmring__help_phase(r, p, f);
		return !reached;
	case SHMRING__S_VOIDING:
		if (reached)
			shmring__move(r, p, *s, SHMRING__S_LIVE, f);
		return reached;
	default:
		return 0;
	}
}

#define SHMRING__OPEN 0 /* the state does not object */
#define SHMRING__VOID 1 /* the position is void: pass it */
#define SHMRING__STUCK 2 /* undecided, or retained for longer */

/* attn says that slots are in doubt: what about position p, whose phase
 * `want` the caller has loaded, or misses? */
SHMRING__COLD int
shmring__settle(struct shmring *r, uint64_t p, uint64_t want)
{
	for (; r->mpmc.tries > 0; r->mpmc.tries--) {
		uint64_t s, a;
		if (shmring__help(r, p, &s, &a))
			continue;
		uint64_t f = shmring__state_phase(s);
		/* Open only for whom the phase is as before the state was read:
		 * a late phase may just have been handed back. */
		if (shmring__state_kind(s) == SHMRING__S_LIVE)
			return shmring__phase_in(r, a) > want ? SHMRING__VOID
							      : SHMRING__OPEN;
		if (shmring__state_kind(s) == SHMRING__S_VOIDING) {
			if (f != want || !shmring__decide(r, p, s, 0))
				return SHMRING__STUCK;
			continue;
		}
		if (f > want)
			return SHMRING__VOID;
		/* A producer has come round and the slot is still retained:
		 * void it for this turn, too, once head has passed the last. */
		uint64_t before = p - (r->mask + 1);
		if (f != want || (want & 1) ||
		    shmring__distance(SHMRING__LOAD(r->head, ACQUIRE),
				      before) <= 0 || /* A9 */
		    SHMRING__LOAD(r->tail, ACQUIRE) != p) /* A9 */
			return SHMRING__STUCK;
		shmring__move(r, p, s, shmring__state_kind(s), f + 2);
	}
	return SHMRING__STUCK;
}

/* Whether a living participant shows position p as its intent: then the claim
 * may be its own. All lines count, also the one that is being recovered: that
 * is not LIVE, unless another has finished and a new owner has come. */
SHMRING__COLD int
shmring__covered(const struct shmring *r, uint64_t p, int side)
{
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		struct shmring__line *y = &r->lines[i];
		if (shmring__state_of(SHMRING__LOAD(&y->status, ACQUIRE)) ==
			    SHMRING__LIVE && /* A7 */
		    (SHMRING__LOAD(&y->intent[side], ACQUIRE) == p || /* A6 */
		     (side == SHMRING__READ &&
		      SHMRING__LOAD(&y->adopts, ACQUIRE) == p))) /* A6 */
			return 1;
	}
	return 0;
}

/* Take a slot, whose state was seen to be s, from an owner that is no more: if
 * it is retained, but nobody who lives covers its position. It is handed back,
 * or what a dead reader left unread becomes an orphan. Of an orphan is told
 * again: who made it may have died before it could. */
SHMRING__COLD void
shmring__reclaim_slot(struct shmring *r, uint64_t slot, uint64_t s)
{
	uint64_t a =
		SHMRING__LOAD(shmring__phase_word(r, slot), ACQUIRE); /* A4 */
	uint64_t phase = shmring__phase_in(r, a),
		 state = shmring__state_kind(s);
	if (state == SHMRING__S_ORPHAN)
		shmring__change_attn(r, SHMRING__DOUBT | SHMRING__ORPHAN, 0);
	if (state != SHMRING__S_WRITER && state != SHMRING__S_READER)
		return;
	int side = state == SHMRING__S_WRITER ? SHMRING__WRITE : SHMRING__READ;
	/* While it is retained, its phase is of its owner's turn: 2T or, late,
	 * 2T + 1 of a writer, 2T + 1 or, late, 2T + 2 of a reader. */
	uint64_t turn = (phase - (side == SHMRING__READ)) >> 1;
	if (shmring__covered(r, (turn << r->mpmc.shift) + (slot & r->mask),
			     side))
		return;
	/* Its last store may have come after our load; then it is for next
	 * time. */
	if (SHMRING__LOAD(shmring__phase_word(r, slot), ACQUIRE) != a) /* A4 */
		return;
	shmring__move(r, slot, s,
		      side == SHMRING__READ && (phase & 1) ? SHMRING__S_ORPHAN
							   : SHMRING__S_LIVE,
		      shmring__state_phase(s));
}

/* Look through all slots: reclaim what is retained for nobody. DOUBT is
 * cleared only when no stopped owner can still need it: every slot is LIVE,
 * its phase has come, and head has passed what was void. */
SHMRING__COLD void
shmring__reclaim_slots(struct shmring *r)
{
	uint64_t seen = SHMRING__LOAD(&r->notice->attn, ACQUIRE); /* A8 */
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE); /* A9 */
	int needed = 0;
	r->mpmc.settled = 0;
	if (!(seen & SHMRING__DOUBT))
		return;
	for (uint64_t i = 0; i <= r->mask; i++) {
		uint64_t s =
			SHMRING__LOAD(&r->mpmc.states[i], ACQUIRE); /* A5 */
		uint64_t a = SHMRING__LOAD(shmring__phase_word(r, i),
					   ACQUIRE); /* A4 */
		uint64_t f = shmring__state_phase(s);
		if (shmring__state_kind(s) != SHMRING__S_LIVE) {
			shmring__reclaim_slot(r, i, s);
			needed = 1;
		} else if (shmring__phase_in(r, a) < f ||
			   (f >= 2 &&
			    shmring__distance(
				    head, ((f / 2 - 1) << r->mpmc.shift) + i) <=
				    0)) {
			needed = 1;
		}
	}
	if (!needed)
		shmring__cas(&r->notice->attn, seen, /* R8 */
			     seen - SHMRING__DOUBT + SHMRING__VERSION);
}

/* Whether a message is, or may be, in somebody's hands still; head was seen at
 * tail before. Who takes part is looked at first, then, since who was recovered
 * meanwhile has left it to them, the slots. */
SHMRING__COLD int
shmring__in_hands(const struct shmring *r)
{
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE); /* A9 */
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		struct shmring__line *x = &r->lines[i];
		uint64_t shown[2];
		if (shmring__state_of(SHMRING__LOAD(&x->status, ACQUIRE)) ==
		    SHMRING__FREE) /* A7 */
			continue;
		/* A6 */
		shown[0] = SHMRING__LOAD(&x->intent[SHMRING__READ], ACQUIRE);
		shown[1] = SHMRING__LOAD(&x->adopts, ACQUIRE);
		for (int k = 0; k < 2; k++)
			if (shown[k] != SHMRING__NONE &&
			    shmring__distance(head, shown[k]) > 0 &&
			    shmring__phase_in(
				    r, SHMRING__LOAD(
					       shmring__phase_word(r, shown[k]),
					       ACQUIRE)) == /* A4 */
				    shmring__phase(r, shown[k], 1))
				return 1;
	}
	if (!(SHMRING__LOAD(&r->notice->attn, ACQUIRE) & SHMRING__DOUBT))
		return 0; /* A8: all slots are LIVE */
	for (uint64_t i = 0; i <= r->mask; i++) {
		uint64_t s =
			SHMRING__LOAD(&r->mpmc.states[i], ACQUIRE); /* A5 */
		uint64_t a = SHMRING__LOAD(shmring__phase_word(r, i),
					   ACQUIRE); /* A4 */
		if (shmring__state_kind(s) != SHMRING__S_LIVE &&
		    (shmring__phase_in(r, a) & 1) &&
		    shmring__state_kind(s) != SHMRING__S_WRITER)
			return 1;
	}
	return 0;
}

/* Give up a claim attempt, and its intent: a slot that it covers would stay
 * with us. (Plainly, the intent of a lost race may stand until our next
 * attempt: it covers that one slot, no more than an owner may keep.) */
SHMRING__COLD int
shmring__no_claim(struct shmring *r, int side, int error)
{
	/* R6 */
	SHMRING__STORE(&r->line[side]->intent[side], SHMRING__NONE, RELEASE);
	return error;
}

/* The slot is not in the phase that we want, or attn asks for care. 0: go
 * on and claim it, 1: look again, or -EAGAIN. */
SHMRING__COLD int
shmring__mpmc_care(struct shmring *r, uint64_t *cursor, uint64_t p,
		   uint64_t want, uint64_t a)
{
	uint64_t phase = shmring__phase_in(r, a);
	/* phase > want: if cursor still is at p, then p is void, and the slot
	 * was handed back; else p was another's, and its CAS fails. */
	int verdict = SHMRING__VOID;
	if (phase <= want) {
		if (!(SHMRING__LOAD(&r->notice->attn, ACQUIRE) &
		      SHMRING__DOUBT)) /* A8 */
			return phase == want ? 0 : -EAGAIN;
		if (++r->mpmc.settled > r->mask)
			shmring__reclaim_slots(r);
		verdict = shmring__settle(r, p, want);
	}
	if (verdict == SHMRING__VOID) {
		/* Head does not overtake tail (A9): shmring__reclaim_slots
		 * counts on it. */
		if ((want & 1) &&
		    shmring__distance(SHMRING__LOAD(r->tail, ACQUIRE), p) <= 0)
			return -EAGAIN;
		shmring__cas(cursor, p, p + 1); /* R9 */
	} else if (phase < want) {
		/* unless we have just finished what others left (A4) */
		return shmring__phase_in(
			       r, SHMRING__LOAD(shmring__phase_word(r, p),
						ACQUIRE)) < want
			       ? -EAGAIN
			       : 1;
	}
	return verdict != SHMRING__OPEN;
}

/* Others were faster: leave the line to them for a while. */
SHMRING__COLD void
shmring__backoff(int tries)
{
	for (int i = 0; i < 1 << (tries < 6 ? tries : 6); i++)
		SHMRING_PAUSE();
}

/* The phase before attn, as HEAVY relies upon. */
SHMRING__HOT void
shmring__light(const struct shmring *r, int plainly)
{
	(void)r;
	SHMRING_LIGHT(r);
	if (!plainly && r->mpmc.fenced)
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* F5 */
}

/* Try to claim the next position to write or to read. 0, -EAGAIN, -EMSGSIZE:
 * larger than limit, and left alone; 1: look again; 2: another was faster.
 * Plainly, by a handle of that path: 0, if it can be had without any care; else
 * 1 or 2, and the caller tries again with care. */
SHMRING__HOT int
shmring__mpmc_try(struct shmring *r, const struct shmring__view *v, int side,
		  size_t limit, struct shmring__claim *claim, int plainly)
{
	uint64_t p = SHMRING__LOAD(v->cursor, RELAXED); /* confirmed */
	uint64_t want = shmring__phase(r, p, side == SHMRING__READ);
	uint64_t stride = r->mpmc.stride, ahead = r->fetch_ahead, size = 0;
	unsigned char *slot = v->data + (p & v->mask) * stride;
	SHMRING__PREFETCH_WRITE(slot); /* both sides do, soon: fetch it once */
	uint64_t a = SHMRING__LOAD((uint64_t *)(void *)slot, ACQUIRE); /* A4 */
	uint64_t care = SHMRING__DOUBT;
	/* NO_CONSUMER: reserve says -EPIPE. ORPHAN: hint, shmring__mpmc_adopt
	 * looks for itself */
	if (plainly)
		care |= side == SHMRING__READ ? SHMRING__ORPHAN
					      : SHMRING__NO_CONSUMER;
	shmring__light(r, plainly);
	if (SHMRING__RARELY(shmring__phase_in(r, a) != want ||
			    (SHMRING__LOAD(&v->notice->attn, ACQUIRE) &
			     care))) { /* A8 */
		int result =
			plainly ? 1
				: shmring__mpmc_care(r, v->cursor, p, want, a);
		if (result)
			return result;
	}
	if (side == SHMRING__READ && plainly) {
		size = a & r->mpmc.length_mask;
		if (SHMRING__RARELY(size > limit ||
				    size >= r->canary->limit[side]))
			return 1;
	} else if (side == SHMRING__READ) {
		size = shmring__length_of(r, p, a);
		if (size > limit && size != shmring__aborted(r))
			/* Never claim it: head may come back. A9 */
			return SHMRING__LOAD(v->cursor, ACQUIRE) == p
				       ? -EMSGSIZE
				       : 1;
	}
	/* R6: shown before it is true (R9), after our last claim's end */
	SHMRING__STORE(&v->line->intent[side], p, RELEASE);
	if (SHMRING__RARELY(!shmring__cas(v->cursor, p, p + 1))) /* R9 */
		return 2;
	/* The first slot of a line is enough. */
	if (((uint64_t)slot & 63) < stride && ahead &&
	    (side == SHMRING__READ || shmring__distance(p, r->fetch_from) >= 0))
		SHMRING__PREFETCH_WRITE(v->data +
					((p + ahead) & v->mask) * stride);
	claim->position = p;
	claim->size = size;
	claim->data = slot + 8;
	claim->hold = SHMRING__HELD;
	claim->end = (want + 1) << r->mpmc.length_bits;
	return 0;
}

/* Claim a position, carefully; as long as others are faster, leave the line to
 * them for a while. */
SHMRING__APART int
shmring__mpmc_claim(struct shmring *r, int side, size_t limit,
		    struct shmring__claim *claim)
{
	struct shmring__view v = shmring__any_view(r, side);
	for (int lost = 0; r->mpmc.tries > 0; r->mpmc.tries--) {
		int error = shmring__mpmc_try(r, &v, side, limit, claim, 0);
		if (error <= 0)
			return error ? shmring__no_claim(r, side, error) : 0;
		if (error == 2)
			shmring__backoff(lost++);
	}
	return shmring__no_claim(r, side, -EAGAIN);
}

/* We have stored the phase and attn is up: does it count? 1: no, somebody
 * decided before that it would not come, and the slot is retained for us. */
SHMRING__COLD int
shmring__retained(struct shmring *r, uint64_t p, uint64_t end)
{
	uint64_t phase = shmring__phase_in(r, end);
	uint64_t mine = phase & 1 ? SHMRING__S_WRITER : SHMRING__S_READER;
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		uint64_t s = SHMRING__LOAD(shmring__state_word(r, p),
					   ACQUIRE); /* A5 */
		uint64_t a = SHMRING__LOAD(shmring__phase_word(r, p),
					   ACQUIRE); /* A4 */
		if (shmring__state_kind(s) != SHMRING__S_VOIDING ||
		    shmring__state_phase(s) > phase)
			return shmring__state_kind(s) == mine &&
			       shmring__phase_in(r, a) == phase;
		if (shmring__move(r, p, s, SHMRING__S_LIVE,
				  shmring__state_phase(s)))
			return 0;
	}
	return 0;
}

/* Return a slot that is retained for us: meanwhile only producers change its
 * state, who raise its phase. */
SHMRING__COLD void
shmring__hand_back(struct shmring *r, uint64_t p)
{
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		uint64_t s = SHMRING__LOAD(shmring__state_word(r, p),
					   ACQUIRE); /* A5 */
		if (shmring__move(r, p, s, SHMRING__S_LIVE,
				  shmring__state_phase(s)))
			return;
	}
}

/* Store the phase that ends our claim of a position. What attn says then: if
 * DOUBT, it may have come too late, see shmring__retained. */
SHMRING__HOT uint64_t
shmring__mpmc_finish(struct shmring *r, const struct shmring__view *v,
		     const struct shmring__claim *claim, uint64_t size,
		     int plainly)
{
	/* R4: payload, or our reads of it, go before */
	SHMRING__PUBLISH((uint64_t *)(void *)(claim->data - 8),
			 claim->end | size);
	shmring__light(r, plainly);
	return SHMRING__LOAD(&v->notice->attn, ACQUIRE); /* A8 */
}

/* 0, or 1: void, the message is still ours. */
SHMRING__HOT int
shmring__mpmc_commit(struct shmring *r, const struct shmring__view *v,
		     const struct shmring__claim *claim, size_t size,
		     int plainly)
{
	if (!plainly && r->mpmc.wide) {
		/* carried by R4, as the payload is */
		SHMRING__STORE(shmring__length_word(r, claim->position), size,
			       RELAXED);
		size = 0;
	}
	uint64_t attn = shmring__mpmc_finish(r, v, claim, size, plainly);
	return SHMRING__RARELY(attn & SHMRING__DOUBT) &&
	       shmring__retained(r, claim->position, claim->end);
}

SHMRING__HOT void
shmring__mpmc_release(struct shmring *r, const struct shmring__view *v,
		      const struct shmring__claim *claim, int plainly)
{
	uint64_t p = claim->position;
	if (SHMRING__RARELY(claim->hold == SHMRING__ADOPTED)) {
		shmring__hand_back(r, p);
		SHMRING__STORE(&v->line->adopts, SHMRING__NONE,
			       RELEASE); /* R6 */
		return;
	}
	uint64_t attn = shmring__mpmc_finish(r, v, claim, 0, plainly);
	if (SHMRING__RARELY(attn & (SHMRING__DOUBT | SHMRING__NO_PRODUCER))) {
		if ((attn & SHMRING__DOUBT) &&
		    shmring__retained(r, claim->position, claim->end))
			shmring__hand_back(r, p);
		/* Others may wait for us to let go of the last message (hint:
		 * they look again after each slice). */
		if (attn & SHMRING__NO_PRODUCER)
			shmring__notify_end(r);
	}
	/* Wake writers for an eighth of the slots at once, not for each. */
	uint32_t space = SHMRING__LOAD(&v->notice->space, SEQ_CST); /* W1 */
	if (SHMRING__RARELY(space & SHMRING__NOTIFY) &&
	    ((space & (SHMRING__WATCHES | SHMRING__PROMPT)) ||
	     !(p & (v->mask >> 3))))
		shmring__notify_space(r);
}

/* The oldest orphan: its position, or NONE; its words. */
SHMRING__COLD uint64_t
shmring__orphan(struct shmring *r, uint64_t *s, uint64_t *a)
{
	uint64_t oldest = SHMRING__NONE;
	for (uint64_t i = 0; i <= r->mask; i++) {
		uint64_t si =
			SHMRING__LOAD(&r->mpmc.states[i], ACQUIRE); /* A5 */
		uint64_t ai = SHMRING__LOAD(shmring__phase_word(r, i),
					    ACQUIRE); /* A4 */
		uint64_t p =
			(shmring__phase_in(r, ai) >> 1 << r->mpmc.shift) + i;
		if (shmring__state_kind(si) == SHMRING__S_ORPHAN &&
		    p < oldest) {
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
	/* Who loses every race has as many tries left for what is no orphan. */
	while (r->mpmc.tries > SHMRING__TRIES / 2) {
		uint64_t s = 0, a = 0;
		r->mpmc.tries -= SHMRING__STEP_TRIES;
		uint64_t seen =
			SHMRING__LOAD(&r->notice->attn, ACQUIRE); /* A8 */
		uint64_t p = shmring__orphan(r, &s, &a);
		if (p == SHMRING__NONE) { /* say so, unless one came since */
			if (!(seen & SHMRING__ORPHAN) ||
			    shmring__cas(&r->notice->attn, seen, /* R8 */
					 seen - SHMRING__ORPHAN +
						 SHMRING__VERSION))
				break;
			continue;
		}
		claim->size = shmring__length_of(r, p, a);
		if (claim->size > limit && claim->size != shmring__aborted(r)) {
			if (SHMRING__LOAD(shmring__state_word(r, p), ACQUIRE) !=
			    s)
				continue; /* A5: it was another message's */
			error = -EMSGSIZE;
			break;
		}
		SHMRING__STORE(adopts, p, RELEASE); /* R6 */
		if (shmring__move(r, p, s, SHMRING__S_READER,
				  shmring__state_phase(s))) {
			claim->position = p;
			claim->data = shmring__slot(r, p) + 8;
			claim->hold = SHMRING__ADOPTED;
			return 0;
		}
	}
	SHMRING__STORE(adopts, SHMRING__NONE, RELEASE); /* R6 */
	return error;
}

/* What is not plainly to be had: others may be faster, something in doubt, left
 * by a dead consumer, aborted; or we are refused. */
SHMRING__APART int
shmring__mpmc_acquire(struct shmring *r, struct shmring__claim *claim,
		      size_t limit)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	for (r->mpmc.tries = SHMRING__TRIES; r->mpmc.tries > 0;
	     r->mpmc.tries--) {
		int error = -EAGAIN;
		if (!shmring__limit(r, SHMRING__READ))
			return shmring__refusal(r, SHMRING__READ);
		/* hint: shmring__mpmc_adopt looks for itself */
		if (SHMRING__LOAD(&v.notice->attn, RELAXED) & SHMRING__ORPHAN)
			error = shmring__mpmc_adopt(r, limit, claim);
		if (error == -EAGAIN)
			error = shmring__mpmc_claim(r, SHMRING__READ, limit,
						    claim);
		if (error)
			return error;
		if (claim->size < r->canary->limit[SHMRING__READ]) {
			r->redelivered = claim->hold == SHMRING__ADOPTED;
			return 0;
		}
		uint64_t aborted = shmring__aborted(r);
		shmring__mpmc_release(r, &v, claim, 0);
		claim->hold = SHMRING__IDLE;
		if (claim->size != aborted)
			return shmring__poison(r);
	}
	return -EAGAIN;
}

/* Is a message ready, or a slot free, behind position p, so that p being
 * stuck holds somebody up? */
SHMRING__COLD int
shmring__blocked_behind(struct shmring *r, uint64_t p, uint64_t end, int reader)
{
	for (uint64_t q = p + 1; q - p <= r->mask && q != end; q++)
		/* hint: nothing of the slot is touched */
		if (shmring__phase_in(r,
				      SHMRING__LOAD(shmring__phase_word(r, q),
						    RELAXED)) ==
		    shmring__phase(r, q, reader))
			return 1;
	return 0;
}

/* Doubt that the phase of slot p will come, and decide it. Also what another
 * began to doubt: he may have been killed before he told anybody. */
SHMRING__COLD int
shmring__doubt(struct shmring *r, uint64_t p, uint64_t phase, int dead)
{
	uint64_t s = 0, a = 0;
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++)
		if (!shmring__help(r, p, &s, &a))
			break;
	uint64_t voiding = shmring__make_state(phase, SHMRING__S_VOIDING);
	if (shmring__state_kind(s) == SHMRING__S_LIVE &&
	    shmring__state_phase(s) < phase &&
	    shmring__phase_in(r, a) < phase &&
	    shmring__move(r, p, s, SHMRING__S_VOIDING, phase))
		s = voiding | (s & SHMRING__S_COUNT);
	if ((s & ~(uint64_t)SHMRING__S_COUNT) != voiding)
		return 1;
	return shmring__decide(r, p, s, dead);
}

/* Pass the void positions at which a cursor stands, as who claims would, for
 * who does not come to claim. */
SHMRING__COLD void
shmring__pass_void(struct shmring *r, int side)
{
	uint64_t *cursor = side == SHMRING__READ ? r->head : r->tail;
	r->mpmc.tries = SHMRING__TRIES;
	for (uint64_t i = 0; r->mode == SHMRING_MPMC && i <= r->mask; i++) {
		uint64_t p = SHMRING__LOAD(cursor, ACQUIRE); /* A9 */
		uint64_t a = SHMRING__LOAD(shmring__phase_word(r, p),
					   ACQUIRE); /* A4 */
		if (shmring__mpmc_care(
			    r, cursor, p,
			    shmring__phase(r, p, side == SHMRING__READ),
			    a) <= 0)
			return;
	}
}

/* The same position has blocked us for long: doubt its owner, if somebody
 * has claimed it at all and more is to be had behind. */
SHMRING__COLD void
shmring__mpmc_impatient(struct shmring *r, int side)
{
	uint64_t slots = r->mask + 1;
	uint64_t tail = SHMRING__LOAD(r->tail, ACQUIRE); /* A9 */
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE); /* A9 */
	/* Not a claim that has just taken the place of the one seen. */
	int same = (side == SHMRING__READ ? head : tail) ==
		   r->wait.idle[side].position;
	if (side == SHMRING__READ) {
		if (same && shmring__distance(tail, head) > 0 &&
		    shmring__blocked_behind(r, head, tail, 1))
			shmring__doubt(r, head, shmring__phase(r, head, 1), 0);
		return;
	}
	if (shmring__distance(head, tail - slots) > 0) {
		if (same && r->wait.idle[side].claimed > 0 &&
		    shmring__blocked_behind(r, tail, head + slots, 0))
			shmring__doubt(r, tail, shmring__phase(r, tail, 0), 0);
		return;
	}
	/* Full; or head stands before void positions and all readers sleep. */
	shmring__pass_void(r, SHMRING__READ);
}

/* ------------------------------------------------------------------------
 * BROADCAST
 *
 * One writer, and every reader sees every message: SPSC's records, and for
 * each reader a cursor of its own. What follows is only what is new: how a
 * reader finds the start of a record, and what becomes of one who is slow.
 *
 *	bytes   ... old, going | whole: may be read        | free, being filled
 *	                       bound        mark    mark   tail        credit
 *	                         gate, the slowest reader: between them
 *
 *	word        page      written by   means
 *	tail        writer's  writer       where the next record goes
 *	bound       writer's  writer       all before may be overwritten now
 *	gate        writer's  writer       all before may come to be, without
 *	                                   another look at the readers (gated)
 *	mark[]      writer's  writer       starts of records, with their numbers
 *	head        own line  its reader   where it reads
 *	intent[0]   own line  its reader   the same, told lazily, as `taken` in
 *	                                   SPSC; NONE: it has no place yet
 *	intent[1]   own line  the writer   generation of a reader that was demoted
 *
 * The life of a message. The writer may fill up to its credit. When that is
 * used up, after a part of the ring (SHMRING__PARTS), it marks its tail and
 * moves bound on, in a lossy ring to the first mark that makes room, in a
 * gated one no further than gate; only then are the bytes before it touched.
 * The record is published as in SPSC (R1), and so it is found (A1). Who may
 * have been lapped copies it first and looks at bound afterwards. If bound has
 * passed its head, then it goes on at the oldest mark, and the difference of
 * the numbers, its own and the mark's, is what it has lost. Nothing that a
 * reader writes decides what a lossy writer overwrites, or when; of the waiters
 * word it learns whom to wake.
 *
 * Who dies. A reader: its line is not LIVE any more once that is proven, and
 * holds nobody. The writer: nothing that it had not published is seen; its
 * successor goes from the newest mark over all that is published to the end
 * (shmring__resume_broadcast), which tells it tail, and its number, too.
 *
 * THE HARD PLACES, as under MPMC.
 *
 * (lapped)  reader                     writer
 *           load header         A1     bound := b
 *           copy the payload           release fence             R12
 *           acquire fence       A12    fill, clear a header
 *           load bound                 header := size + 1        R1
 *     If the copy has a byte, or the header, of what was written behind the
 *     fence, then the load of bound sees b or a later one, which is beyond the
 *     message: lapped. Impossible: a message that is torn is handed out.
 * (mark)    reader                     writer
 *           load marks: n       A13    mark[n + 1 - MARKS] is due
 *           load mark[i]               release fence             R13
 *           acquire fence       A13    mark[n + 1] := tail, number
 *           load marks: m              marks := n + 1            R13
 *     If a load of mark[i] sees the one that took its place, i + MARKS, then m
 *     is at least i + MARKS - 1, and it looks anew. Impossible: a position
 *     with another's number.
 * (join)    reader                     writer
 *           taken := p          R3     gate := g
 *           full fence          F7     full fence                F7
 *           load gate                  load all lines: the slowest
 *     If the reader's load misses g, then the writer's see p, and bound stays
 *     before it. If it sees g > p, it looks for a place anew; that the writer
 *     may wait for p meanwhile, which is gone, does no harm. Impossible: a
 *     message that a gated reader was to see is overwritten.
 * (heir)    A writer may die between its two stores of gate, the first of
 *     which is a question; so its successor believes bound only, and asks.
 * (demoted) The writer stores the generation of the reader that it has judged.
 *     A reader who takes the line since has another one, and takes its word
 *     back before it is LIVE (R7). Impossible: a newcomer is demoted.
 * ------------------------------------------------------------------------ */

/* Each part has a mark, so there are well fewer than MARKS. A reader looks at
 * bound after each message, and who was lapped at the marks: with fewer parts
 * the writer takes these lines from it more seldom, and who was lapped has a
 * longer way before it is lapped again (measured beside 32 parts: 1.2 to 1.4
 * times the messages of 8 and 64 bytes, lossy). But more of the ring is given
 * up at once. */
#ifndef SHMRING__MARKS
#define SHMRING__MARKS 64 /* a power of two */
#define SHMRING__PARTS 8 /* of the ring */
#endif

struct shmring__mark { /* a record starts there */
	uint64_t position, sequence;
};

struct shmring__writer_page { /* only the writer writes */
	uint64_t tail, spare[15];
	uint64_t bound, gate;
	uint64_t marks; /* number of the newest; mark[marks % MARKS] */
	uint64_t more[13];
	struct shmring__mark mark[SHMRING__MARKS];
};
SHMRING__AT(shmring__writer_page, tail, 0);
SHMRING__AT(shmring__writer_page, bound, 128);
SHMRING__AT(shmring__writer_page, gate, 136);
SHMRING__AT(shmring__writer_page, marks, 144);
SHMRING__AT(shmring__writer_page, mark, 256);
SHMRING__AT(shmring__mark, sequence, 8);
SHMRING__ASSERT(sizeof(struct shmring__mark) == 16);

SHMRING__HOT struct shmring__writer_page *
shmring__page_of(const struct shmring *r)
{
	return (struct shmring__writer_page *)(void *)r->tail;
}

/* Whether what was read at this position may have been overwritten before. */
SHMRING__HOT int
shmring__overwritten(const struct shmring *r, uint64_t position)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* A12 */
	return shmring__distance(/* carried: A12 */
				 SHMRING__LOAD(&shmring__page_of(r)->bound,
					       RELAXED),
				 position) > 0;
}

/* The start of a record from which to look for `where`: the newest mark not
 * behind it, or, for SHMRING_OLDEST, the oldest that is not before floor. 0:
 * it was replaced meanwhile. */
SHMRING__COLD int
shmring__nearest_mark(const struct shmring *r, uint64_t where, uint64_t floor,
		      struct shmring__mark *at)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	uint64_t newest = SHMRING__LOAD(&page->marks, ACQUIRE); /* A13 */
	uint64_t i = newest;
	for (;; i--) {
		struct shmring__mark *mark = &page->mark[i % SHMRING__MARKS];
		/* carried: A13 */
		uint64_t position = SHMRING__LOAD(&mark->position, RELAXED);
		uint64_t sequence = SHMRING__LOAD(&mark->sequence, RELAXED);
		if (i != newest && shmring__distance(position, floor) < 0)
			break;
		at->position = position;
		at->sequence = sequence;
		if (where != SHMRING_OLDEST &&
		    (where == SHMRING_NEWEST ||
		     shmring__distance(position, where) <= 0))
			break;
		if (!i || newest - i == SHMRING__MARKS - 3)
			break;
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* A13 */
	/* carried: A13 */
	return SHMRING__LOAD(&page->marks, RELAXED) - i < SHMRING__MARKS - 1;
}

/* From one record to the next, to the first that is not before `end`, or to
 * where none is yet. -EBADMSG: what stands there is no header, or not any
 * more. */
SHMRING__COLD int
shmring__walk(const struct shmring *r, uint64_t end, struct shmring__mark *at)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	uint64_t start = at->position;
	while (shmring__distance(at->position, end) < 0 &&
	       at->position - start < r->geometry.capacity) {
		uint64_t header = SHMRING__LOAD(
			shmring__header_at(r, at->position), ACQUIRE); /* A1 */
		if (!header)
			break;
		if (shmring__is_bad(r, &v, header))
			return -EBADMSG;
		at->position = shmring__next_record(&v, at->position, header);
		at->sequence++;
	}
	return 0;
}

/* Where to read on: a record, or the end, and its number. It was whole when we
 * looked. -ERANGE: none that is whole begins there. Who is at `here` holds the
 * writer there, though gate, which is a question now and then, may say more. */
SHMRING__COLD int
shmring__find(const struct shmring *r, uint64_t where,
	      const struct shmring__mark *here, struct shmring__mark *at)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		/* hint: A12 confirms it at the end */
		uint64_t bound = SHMRING__LOAD(&page->bound, ACQUIRE);
		uint64_t floor = bound;
		if (r->broadcast.holds) /* hint: confirmed by F7 */
			floor = SHMRING__LOAD(&page->gate, ACQUIRE);
		if (here && shmring__distance(floor, here->position) > 0)
			floor = here->position;
		if (shmring__distance(floor, bound) < 0)
			floor = bound;
		if (where < SHMRING_OLDEST &&
		    shmring__distance(where, floor) < 0)
			return -ERANGE;
		/* The newest is the end as it is now: who went on while there
		 * is more would run after a fast writer, and be lapped. */
		uint64_t end = where;
		if (where == SHMRING_NEWEST)
			/* hint: the start of a record, now or a while ago */
			end = SHMRING__LOAD(&page->tail, RELAXED);
		else if (where == SHMRING_OLDEST)
			end = floor;
		if (!shmring__nearest_mark(
			    r, where, where == SHMRING_OLDEST ? floor : bound,
			    at))
			continue;
		uint64_t start = at->position;
		int error = shmring__walk(r, end, at);
		if (!error && where < SHMRING_OLDEST && at->position != where)
			error = -ERANGE;
		if (!shmring__overwritten(r, start))
			return error;
	}
	return -EAGAIN;
}

/* Read on there. */
SHMRING__COLD void
shmring__jump(struct shmring *r, const struct shmring__mark *to)
{
	struct shmring__line *x = r->line[SHMRING__READ];
	uint64_t from = SHMRING__LOAD(r->head, RELAXED); /* own */
	uint64_t popped = SHMRING__LOAD(&x->popped, RELAXED); /* own */
	shmring__count(&x->passed, to->position - from);
	SHMRING__STORE(r->head, to->position, RELEASE); /* R2 */
	r->broadcast.number = to->sequence - popped;
	shmring__spsc_publish_taken(r, to->position);
}

/* Take our place, at the newest message, the oldest whole one, or a position.
 * See (join): from here on we miss nothing. Who has one (here) holds all that
 * comes behind it already, and must not let go of it in vain. */
SHMRING__COLD int
shmring__take_place(struct shmring *r, uint64_t where,
		    const struct shmring__mark *here)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	struct shmring__mark at;
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		int error = shmring__find(r, where, here, &at);
		if (error)
			return error;
		shmring__jump(r, &at);
		if (here && shmring__distance(at.position, here->position) >= 0)
			return 0;
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* F7 */
		if (!r->broadcast.holds || /* carried: F7 */
		    shmring__distance(SHMRING__LOAD(&page->gate, RELAXED),
				      at.position) <= 0)
			return 0;
	}
	return -EAGAIN;
}

/* The number of the next message to read. */
static inline uint64_t
shmring__sequence(const struct shmring *r)
{
	/* own */
	return r->broadcast.number +
	       SHMRING__LOAD(&r->line[SHMRING__READ]->popped, RELAXED);
}

/* In all, of this handle, and of this line. */
static inline void
shmring__lose(struct shmring *r, uint64_t count)
{
	r->broadcast.lost += count;
	shmring__count(&r->line[SHMRING__READ]->lost, count);
}

/* We were lapped: go on at the oldest message that is whole. */
SHMRING__COLD int
shmring__lapped(struct shmring *r)
{
	struct shmring__mark at;
	r->broadcast.holds = 0; /* if it ever was, we have been demoted */
	int error = shmring__find(r, SHMRING_OLDEST, NULL, &at);
	if (error)
		return error == -EBADMSG ? shmring__poison(r) : error;
	shmring__lose(r, at.sequence - shmring__sequence(r));
	shmring__jump(r, &at);
	return -ENOBUFS;
}

/* That we have lost so many is to be told by the next call: go back to where we
 * were, for it to find out. */
SHMRING__COLD void
shmring__tell_later(struct shmring *r, uint64_t head, uint64_t count)
{
	struct shmring__mark back;
	back.position = head;
	back.sequence = shmring__sequence(r) - count;
	shmring__lose(r, UINT64_C(0) - count);
	shmring__jump(r, &back);
}

/* Whether the reader whose status this is has been demoted. */
SHMRING__HOT int
shmring__demoted(const struct shmring__line *x, uint64_t status)
{
	/* own (the writer's): others show it only */
	return SHMRING__LOAD(&x->intent[SHMRING__WRITE], RELAXED) ==
	       status >> 16;
}

/* How far all who hold the writer have come, but no further than limit. Lazy:
 * by what they have told. */
SHMRING__COLD uint64_t
shmring__slowest(const struct shmring *r, uint64_t limit, int lazy)
{
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		const struct shmring__line *x = &r->lines[i];
		uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
		if (shmring__state_of(status) != SHMRING__LIVE ||
		    !(shmring__roles_of(status) & SHMRING_CONSUMER) ||
		    shmring__demoted(x, status))
			continue;
		/* A3 */
		uint64_t p = SHMRING__LOAD(&x->intent[SHMRING__READ], ACQUIRE);
		if (p == SHMRING__NONE)
			continue; /* it has no place yet: see (join) */
		if (!lazy)
			p = SHMRING__LOAD(&x->head, ACQUIRE); /* A2 */
		if (shmring__distance(p, limit) < 0)
			limit = p;
	}
	return limit;
}

/* Bound shall move to `least`: how far may it? Readers are asked for an eighth
 * of the ring beyond that at once. */
SHMRING__COLD uint64_t
shmring__gate(struct shmring *r, uint64_t tail, uint64_t least, int lazy)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	if (shmring__distance(r->broadcast.gate, least) >= 0)
		return r->broadcast.gate;
	uint64_t ask =
		tail - least < r->spsc.lazy ? tail : least + r->spsc.lazy;
	SHMRING__STORE(&page->gate, ask, RELAXED); /* own */
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* F7 */
	uint64_t gate = shmring__slowest(r, ask, lazy);
	/* One who joins may show a place that is gone. */
	if (shmring__distance(gate, r->broadcast.gate) > 0)
		r->broadcast.gate = gate;
	/* own; to others a hint, confirmed by F7 */
	SHMRING__STORE(&page->gate, r->broadcast.gate, RELEASE);
	return r->broadcast.gate;
}

/* The first mark that is not before `least`, or the tail. */
SHMRING__COLD uint64_t
shmring__bound_for(struct shmring *r, uint64_t tail, uint64_t least)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	uint64_t marks = SHMRING__LOAD(&page->marks, RELAXED); /* own */
	if (marks - r->broadcast.oldest > SHMRING__MARKS - 3)
		r->broadcast.oldest = marks - (SHMRING__MARKS - 3);
	for (; r->broadcast.oldest <= marks; r->broadcast.oldest++) {
		/* own */
		uint64_t position = SHMRING__LOAD(
			&page->mark[r->broadcast.oldest % SHMRING__MARKS]
				 .position,
			RELAXED);
		if (shmring__distance(position, least) >= 0)
			return position;
	}
	return tail;
}

/* A record will start at tail. */
SHMRING__COLD void
shmring__set_mark(struct shmring *r, uint64_t tail)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	uint64_t *pushed = &r->line[SHMRING__WRITE]->pushed;
	uint64_t next = SHMRING__LOAD(&page->marks, RELAXED) + 1; /* own */
	struct shmring__mark *mark = &page->mark[next % SHMRING__MARKS];
	__atomic_thread_fence(__ATOMIC_RELEASE); /* R13 */
	/* carried: R13; own */
	SHMRING__STORE(&mark->position, tail, RELAXED);
	SHMRING__STORE(&mark->sequence, SHMRING__LOAD(pushed, RELAXED),
		       RELAXED);
	SHMRING__STORE(&page->marks, next, RELEASE); /* R13 */
}

/* The credit is used up: mark this part of the ring and get the next. */
SHMRING__COLD int
shmring__broadcast_refresh(struct shmring *r, uint64_t tail, uint64_t need,
			   int lazy)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	uint64_t capacity = r->geometry.capacity;
	uint64_t part = capacity / SHMRING__PARTS;
	uint64_t want = need > part ? need : part;
	/* own */
	uint64_t bound = SHMRING__LOAD(&page->bound, RELAXED);
	uint64_t newest = SHMRING__LOAD(&page->marks, RELAXED);
	newest = SHMRING__LOAD(&page->mark[newest % SHMRING__MARKS].position,
			       RELAXED);
	uint64_t to = bound;
	if (bound + capacity - tail < want) {
		to = shmring__bound_for(r, tail, tail + want - capacity);
		if (r->broadcast.asks) {
			uint64_t gate = shmring__gate(r, tail, to, lazy);
			if (shmring__distance(gate, to) < 0)
				to = gate;
			if (shmring__distance(to, bound) < 0)
				to = bound;
			if (to + capacity - tail < need)
				return -EAGAIN;
		}
	}
	/* Whatever bound is, a record's start is known behind it, and no part is
	 * without one. */
	if (tail - newest + need > part || shmring__distance(newest, to) < 0)
		shmring__set_mark(r, tail);
	SHMRING__STORE(&page->bound, to, RELAXED); /* carried: R12 */
	__atomic_thread_fence(__ATOMIC_RELEASE); /* R12 */
	r->spsc.credit =
		to + capacity - tail < want ? to + capacity : tail + want;
	r->spsc.fetches = r->broadcast.asks ? r->broadcast.gate + capacity
					    : r->spsc.credit;
	return 0;
}

/* The writer has waited at the same position since idle.since. Demote who
 * holds it, if that is for longer than the ring allows. */
SHMRING__COLD void
shmring__demote(struct shmring *r, int64_t now)
{
	struct shmring__idle *idle = &r->wait.idle[SHMRING__WRITE];
	if (!idle->since)
		idle->since = now;
	if (!r->broadcast.demote ||
	    now < shmring__after(idle->since, r->broadcast.demote))
		return;
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		struct shmring__line *x = &r->lines[i];
		uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
		if (shmring__state_of(status) == SHMRING__LIVE &&
		    (shmring__roles_of(status) & SHMRING_CONSUMER) && /* A3 */
		    SHMRING__LOAD(&x->intent[SHMRING__READ], ACQUIRE) !=
			    SHMRING__NONE && /* A2 */
		    shmring__distance(SHMRING__LOAD(&x->head, ACQUIRE),
				      r->broadcast.gate) <= 0)
			/* own: see (demoted) */
			SHMRING__STORE(&x->intent[SHMRING__WRITE], status >> 16,
				       RELAXED);
	}
}

/* A successor writes on behind all that is published, however far its
 * predecessor came with tail and its count. */
SHMRING__COLD int
shmring__resume_broadcast(struct shmring *r)
{
	struct shmring__writer_page *page = shmring__page_of(r);
	/* carried by A7: our predecessor's line is free */
	uint64_t marks = SHMRING__LOAD(&page->marks, ACQUIRE);
	uint64_t bound = SHMRING__LOAD(&page->bound, ACQUIRE);
	struct shmring__mark *newest = &page->mark[marks % SHMRING__MARKS];
	struct shmring__mark end;
	/* carried by A7 */
	end.position = SHMRING__LOAD(&newest->position, RELAXED);
	end.sequence = SHMRING__LOAD(&newest->sequence, RELAXED);
	int error = shmring__walk(r, end.position + r->geometry.capacity, &end);
	if (error || end.position - bound > r->geometry.capacity)
		return -EBADMSG;
	/* own; to a successor R7 tells it */
	SHMRING__STORE(r->tail, end.position, RELEASE);
	/* own */
	SHMRING__STORE(&r->lines[SHMRING__WRITE].pushed, end.sequence, RELAXED);
	r->spsc.credit = r->spsc.fetches = end.position;
	r->broadcast.gate = bound; /* see (heir) */
	r->broadcast.oldest =
		marks < SHMRING__MARKS - 3 ? 0 : marks - (SHMRING__MARKS - 3);
	return 0;
}

/* ------------------------------------------------------------------------
 * PARTICIPANTS, DEATH, RECOVERY
 *
 *   status  means                       moves on to, and by whom
 *   FREE    nobody's; DIED, LEFT: what  LIVE   who holds the line's locks
 *           became of its last owner
 *   LIVE    somebody's                  RECOV  the owner that closes; with
 *                                              DIED, who has proven its death
 *   RECOV   nobody's any more, but its  FREE   anybody: when all that it
 *           claims are not settled yet         claimed is told by states
 *
 * LIVE -> RECOV -> FREE are compare-and-swaps from the status judged, and the
 * generation grows with each owner. Recovery takes no lock: several may run it
 * at once, be stopped or killed in it, and whoever comes by next goes on. First
 * all who have died are noted, then their claims are settled: so of several who
 * died together none is taken for a living one that covers another's. The
 * lock of a line belongs to its owner, as the proof that it lives; nobody
 * holds it while he proves that its last owner does not.
 *
 * A dead process has done a prefix of its program. Its lock is dropped behind
 * that; so whoever finds the lock free (shmring__dead, shmring__lock_line) sees
 * all that it stored, relaxed or not; and of two such stores that it was killed
 * between, the first.
 *
 * That there ever was a producer or consumer, and that the last has left,
 * stands in attn, not in the lines, which others take over.
 * ------------------------------------------------------------------------ */

/* The descriptor may have been closed under us, and its number used again. */
SHMRING__COLD int
shmring__fd_is_ours(const struct shmring *r)
{
	struct stat file;
	int saved = errno;
	int failed = fstat(r->map.fd, &file);
	errno = saved;
	return !failed && file.st_dev == r->map.device &&
	       file.st_ino == r->map.inode;
}

/* Whether the owner of line i is dead for certain: the kernel has dropped
 * its lock, and, where its pid means anything to us, the process is gone. First
 * the lock: if it is free and the pid is ours, that was before an exec, for any
 * other handle of this process would hold it by an open file of its own. What
 * somebody could not find out about itself (no /proc) proves nothing; then the
 * lock decides. */
SHMRING__COLD int
shmring__dead(const struct shmring *r, uint32_t i)
{
	struct shmring__line *x = &r->lines[i];
	/* carried by A7, and confirmed by the compare-and-swap of status */
	uint32_t pid = SHMRING__LOAD(&x->pid, RELAXED);
	uint64_t start = SHMRING__LOAD(&x->start, RELAXED);
	uint64_t space = SHMRING__LOAD(&x->pid_namespace, RELAXED);
	if (x == r->line[SHMRING__READ] || x == r->line[SHMRING__WRITE])
		return 0; /* our own lock does not show */
	if (shmring__locked(r->map.fd, i) || !shmring__fd_is_ours(r))
		return 0;
	if (space != r->self.pid_namespace || !start || !r->self.start ||
	    pid == r->self.pid)
		return 1;
	/* carried by A7 */
	if (SHMRING__LOAD(&x->time_namespace, RELAXED) !=
	    r->self.time_namespace)
		start = 0; /* which we would read differently */
	return shmring__process_gone(pid, start);
}

/* Settle the claim of a participant that is no more: p, as its line shows it.
 * If it held the slot, or may have, then its phase is decided, so that the state
 * tells the rest: a message in a reader's hands is an orphan, or the slot is
 * retained; if a living one may be the owner, until that one comes or goes.
 * 0: not yet, for HEAVY reaches not everybody. */
SHMRING__COLD int
shmring__recover_claim(struct shmring *r, int side, uint64_t p)
{
	uint64_t *cursor = side == SHMRING__WRITE ? r->tail : r->head;
	uint64_t begun = shmring__phase(r, p, side == SHMRING__READ);
	uint64_t retained =
		side == SHMRING__WRITE ? SHMRING__S_WRITER : SHMRING__S_READER;
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		uint64_t s, a;
		if (p == SHMRING__NONE ||
		    shmring__distance(SHMRING__LOAD(cursor, ACQUIRE), p) <= 0)
			return 1; /* A9: shown, but not claimed */
		if (shmring__help(r, p, &s, &a))
			continue;
		uint64_t state = shmring__state_kind(s);
		if (state == retained || state == SHMRING__S_ORPHAN) {
			shmring__reclaim_slot(r, p, s);
			return 1;
		}
		if (shmring__phase_in(r, a) != begun ||
		    (state != SHMRING__S_LIVE && state != SHMRING__S_VOIDING))
			return 1; /* finished */
		int dead = !shmring__covered(r, p, side);
		if (SHMRING__LOAD(shmring__phase_word(r, p), ACQUIRE) !=
		    a) /* A4 */
			continue; /* it was another's, see (recover) */
		if (dead && side == SHMRING__READ && state == SHMRING__S_LIVE)
			shmring__move(r, p, s, SHMRING__S_ORPHAN, begun + 1);
		else if (!shmring__doubt(r, p, begun + 1, dead))
			return 0;
	}
	return 0;
}

/* If there were participants of a role, and the last has left, say so. Whoever
 * frees a line may be killed before it comes here: anyone can, at any time. */
SHMRING__COLD void
shmring__note_absent(struct shmring *r)
{
	/* F2: of two who leave at once, one at least sees the other gone */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		uint64_t seen =
			SHMRING__LOAD(&r->notice->attn, ACQUIRE); /* A8 */
		uint64_t bits = 0;
		uint32_t here = 0;
		for (uint32_t i = 0; i < r->geometry.participants; i++) {
			uint64_t status = SHMRING__LOAD(&r->lines[i].status,
							ACQUIRE); /* A7 */
			if (shmring__state_of(status) != SHMRING__FREE)
				here |= shmring__roles_of(status);
		}
		if ((seen & SHMRING__HAD_PRODUCER) &&
		    !(here & SHMRING_PRODUCER))
			bits |= SHMRING__NO_PRODUCER;
		if ((seen & SHMRING__HAD_CONSUMER) &&
		    !(here & SHMRING_CONSUMER))
			bits |= SHMRING__NO_CONSUMER;
		if (!(bits & ~seen))
			return;
		if (shmring__cas(&r->notice->attn, seen, /* R8 */
				 (seen | bits) + SHMRING__VERSION))
			break; /* else somebody came or left meanwhile */
	}
	shmring__wake_both(r);
}

/* One has come or gone: tell all who wait for that. Nobody announces himself,
 * for observers could not. */
SHMRING__COLD void
shmring__tell_peers(struct shmring *r)
{
	/* R10 */
	__atomic_fetch_add(&r->notice->peers, 1, __ATOMIC_ACQ_REL);
	(void)SHMRING_FUTEX_WAKE(&r->notice->peers, INT_MAX);
}

/* If line i is in RECOV, as its status was read: settle what its owner claimed
 * and free it. 1: done by us. */
SHMRING__COLD int
shmring__reclaim_line(struct shmring *r, uint32_t i, uint64_t status)
{
	struct shmring__line *x = &r->lines[i];
	if (shmring__state_of(status) != SHMRING__RECOV)
		return 0;
	/* F3: the proof of death before the reads of states, or a slot may leak */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* A6 */
	uint64_t writes = SHMRING__LOAD(&x->intent[SHMRING__WRITE], ACQUIRE);
	uint64_t reads = SHMRING__LOAD(&x->intent[SHMRING__READ], ACQUIRE);
	uint64_t adopts = SHMRING__LOAD(&x->adopts, ACQUIRE);
	/* Still the same owner's? A new one would have gone through FREE. */
	if (SHMRING__LOAD(&x->status, ACQUIRE) != status) /* A7 */
		return 0;
	if (r->mode == SHMRING_MPMC &&
	    !(shmring__recover_claim(r, SHMRING__WRITE, writes) &
	      shmring__recover_claim(r, SHMRING__READ, reads) &
	      shmring__recover_claim(r, SHMRING__READ, adopts)))
		return 0;
	uint32_t left = SHMRING__DIED | SHMRING__LEFT;
	if (!shmring__cas(&x->status, status, /* R7 */
			  shmring__status(status,
					  shmring__roles_of(status) & left,
					  SHMRING__FREE)))
		return 0;
	shmring__note_absent(r);
	shmring__tell_peers(r);
	if (r->mode == SHMRING_BROADCAST)
		shmring__wake(r, &r->notice->space, 1); /* it held the writer */
	return 1;
}

/* If the owner of line i is dead, it is LIVE no more. Its status then, as far as
 * we know. */
SHMRING__COLD uint64_t
shmring__note_death(struct shmring *r, uint32_t i)
{
	struct shmring__line *x = &r->lines[i];
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	uint64_t recov = shmring__status(
		status, shmring__roles_of(status) | SHMRING__DIED,
		SHMRING__RECOV);
	return shmring__state_of(status) == SHMRING__LIVE &&
			       shmring__dead(r, i) &&
			       shmring__cas(&x->status, status, recov) /* R7 */
		       ? recov
		       : status;
}

/* Several may have died together: only when all of them are known does none
 * cover the claim of another any more (shmring__covered), which would be decided
 * as if its owner might live, and cost a void position. */
SHMRING__COLD void
shmring__note_deaths(struct shmring *r)
{
	for (uint32_t i = 0; i < r->geometry.participants; i++)
		shmring__note_death(r, i);
}

/* Recover line i if its owner is dead. 1: done by us. */
SHMRING__COLD int
shmring__recover_line(struct shmring *r, uint32_t i)
{
	return shmring__reclaim_line(r, i, shmring__note_death(r, i));
}

SHMRING__COLD int
shmring__recover_all(struct shmring *r)
{
	int count = 0;
	shmring__note_deaths(r);
	for (uint32_t i = 0; i < r->geometry.participants; i++)
		count += shmring__reclaim_line(
			r, i,
			SHMRING__LOAD(&r->lines[i].status, ACQUIRE)); /* A7 */
	shmring__note_absent(r);
	if (r->mode == SHMRING_MPMC)
		shmring__reclaim_slots(r);
	return count;
}

/* SPSC: a successor writes on where its predecessor stopped: behind the last
 * published record, though tail may not tell of it yet. Head may: the reader
 * may have read on. */
SHMRING__COLD int
shmring__resume_writer(struct shmring *r)
{
	/* carried by A7: our predecessor's line is free */
	uint64_t told = SHMRING__LOAD(r->tail, ACQUIRE);
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE); /* A2 */
	uint64_t tail = told, header;
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	while ((header = SHMRING__LOAD(shmring__header_at(r, tail), ACQUIRE)) !=
	       0) { /* A1 */
		if (shmring__is_bad(r, &v, header))
			return -EBADMSG;
		tail = shmring__next_record(&v, tail, header);
		if (tail - told > r->geometry.capacity)
			return -EBADMSG;
	}
	if (tail - head > r->geometry.capacity)
		return -EBADMSG;
	/* own; to a successor R7 tells it */
	SHMRING__STORE(r->tail, tail, RELEASE);
	r->spsc.credit = r->spsc.fetches = head + r->geometry.capacity;
	return 0;
}

/* The word of the consumer's page that keeps `doubtful`: what stands before
 * that position a dead reader may have seen. */
SHMRING__HOT uint64_t *
shmring__doubtful(const struct shmring *r)
{
	return r->spsc.taken + SHMRING__LINE / 8;
}

/* SPSC: a successor reads on at head. Its dead predecessor may have seen the
 * messages that it had in hands: all before `doubtful` are marked, by whoever
 * reads them in the end. */
SHMRING__COLD int
shmring__resume_reader(struct shmring *r)
{
	struct shmring__line *x = &r->lines[SHMRING__READ];
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	uint32_t left = SHMRING__DIED | SHMRING__LEFT;
	uint64_t *shared = shmring__doubtful(r);
	uint64_t capacity = r->geometry.capacity;
	/* carried by A7: our predecessor's line is free */
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	uint64_t hands = shmring__roles_of(status) & left
				 ? SHMRING__LOAD(&x->hands, RELAXED)
				 : 0;
	uint64_t seen = head, header;
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	r->spsc.published =
		SHMRING__LOAD(r->spsc.taken, RELAXED); /* carried by A7 */
	if (head - r->spsc.published > capacity)
		return -EBADMSG;
	for (;; hands--) {
		/* A1 */
		header = SHMRING__LOAD(shmring__header_at(r, seen), ACQUIRE);
		if (shmring__is_bad_at(r, &v, seen, header))
			return -EBADMSG;
		if (!header || !hands || seen - head > capacity)
			break;
		seen = shmring__next_message(&v, seen, header);
	}
	/* Those of an earlier one, if nobody has read them yet. own */
	uint64_t before = SHMRING__LOAD(shared, RELAXED);
	if (before - head <= capacity && before - head > seen - head)
		seen = before;
	/* own. If we are killed before R7, the line is FREE as before, and our
	 * successor does this anew: from hands as they were, or, if that was
	 * overwritten, from what was stored first (release keeps the order). */
	SHMRING__STORE(shared, seen, RELAXED);
	SHMRING__STORE(&x->hands, 1, RELEASE);
	r->spsc.hands = 1;
	r->spsc.resumed = head;
	r->spsc.doubtful = seen;
	return 0;
}

/* Get both locks of line i, which is free: its owner's, and its opener's, under
 * which alone a line goes from FREE to LIVE. So nobody holds the owner's lock of
 * a line that is another's, and it proves what it should, wherever we are
 * stopped. -EBUSY: somebody living is in it, or about to be. */
SHMRING__COLD int
shmring__lock_line(struct shmring *r, uint32_t i)
{
	uint64_t *status = &r->lines[i].status;
	shmring__recover_line(r, i);
	if (shmring__state_of(SHMRING__LOAD(status, ACQUIRE)) !=
	    SHMRING__FREE) /* A7 */
		return -EBUSY;
	if (shmring__lock(r->map.fd, F_WRLCK, SHMRING__OPENER + i))
		return -EBUSY;
	if (shmring__state_of(SHMRING__LOAD(status, ACQUIRE)) ==
		    SHMRING__FREE && /* A7 */
	    !shmring__lock(r->map.fd, F_WRLCK, i))
		return 0;
	shmring__lock(r->map.fd, F_UNLCK, SHMRING__OPENER + i);
	return -EBUSY;
}

/* Leave line i to others again: before we took it. */
SHMRING__COLD void
shmring__unlock_line(struct shmring *r, uint32_t i)
{
	shmring__lock(r->map.fd, F_UNLCK, i);
	shmring__lock(r->map.fd, F_UNLCK, SHMRING__OPENER + i);
}

/* Be the owner of line i, whose locks we hold. */
SHMRING__COLD void
shmring__take_line(struct shmring *r, uint32_t i, uint32_t roles)
{
	struct shmring__line *x = &r->lines[i];
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	/* own, carried by R7 */
	SHMRING__STORE(&x->pid, r->self.pid, RELAXED);
	SHMRING__STORE(&x->start, r->self.start, RELAXED);
	SHMRING__STORE(&x->pid_namespace, r->self.pid_namespace, RELAXED);
	SHMRING__STORE(&x->time_namespace, r->self.time_namespace, RELAXED);
	SHMRING__STORE(&x->flags, r->mpmc.fenced ? SHMRING__FENCED : 0,
		       RELAXED);
	SHMRING__STORE(&x->intent[SHMRING__READ], SHMRING__NONE, RELAXED);
	SHMRING__STORE(&x->intent[SHMRING__WRITE], SHMRING__NONE, RELAXED);
	SHMRING__STORE(&x->adopts, SHMRING__NONE, RELAXED);
	SHMRING__STORE(&x->waits, 0, RELAXED);
	/* R7: all of this before the status; F4: the status before our claims
	 * and before we look at `retired` */
	SHMRING__STORE(&x->status,
		       shmring__status(status + 0x10000, roles, SHMRING__LIVE),
		       SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (int side = 0; side < 2; side++)
		if (roles & shmring__role(side))
			r->line[side] = x;
	shmring__lock(r->map.fd, F_UNLCK, SHMRING__OPENER + i);
}

/* The first line that is free, with its locks; from there on it is ours. Who
 * looks at a line that is just being left holds up whoever would take it
 * meanwhile; so it is not for certain that all are taken as long as one is not
 * LIVE. */
SHMRING__COLD int
shmring__lock_any_line(struct shmring *r, int but)
{
	for (int tries = 0; tries < SHMRING__STEP_TRIES; tries++) {
		int changing = 0;
		shmring__note_deaths(r);
		for (uint32_t i = 0; i < r->geometry.participants; i++) {
			if ((int)i == but)
				continue;
			if (shmring__lock_line(r, i) == 0)
				return (int)i;
			changing |= shmring__state_of(SHMRING__LOAD(
					    &r->lines[i].status, ACQUIRE)) !=
				    SHMRING__LIVE; /* A7 */
		}
		if (!changing)
			break;
		shmring__nap(100000);
	}
	return -EUSERS;
}

/* SPSC has a line for each role. Who wants both becomes visible only when it
 * has both. */
SHMRING__COLD int
shmring__attach_spsc(struct shmring *r, uint32_t roles)
{
	int locked = 0, error = 0;
	for (int side = 0; side < 2 && !error; side++) {
		if (!(roles & shmring__role(side)))
			continue;
		error = shmring__lock_line(r, (uint32_t)side);
		if (error)
			break;
		locked |= 1 << side;
		error = side == SHMRING__READ ? shmring__resume_reader(r)
					      : shmring__resume_writer(r);
	}
	for (int side = 0; side < 2; side++)
		if ((locked & 1 << side) && error)
			shmring__unlock_line(r, (uint32_t)side);
		else if (locked & 1 << side)
			shmring__take_line(r, (uint32_t)side,
					   shmring__role(side));
	return error;
}

/* BROADCAST: the writer's line is as in SPSC, all others are readers'. */
SHMRING__COLD int
shmring__attach_broadcast(struct shmring *r, uint32_t roles)
{
	int error = 0;
	if (roles & SHMRING_PRODUCER) {
		error = shmring__lock_line(r, SHMRING__WRITE);
		if (error)
			return error;
		error = shmring__resume_broadcast(r);
		if (error) {
			shmring__unlock_line(r, SHMRING__WRITE);
			return error;
		}
		shmring__take_line(r, SHMRING__WRITE, SHMRING_PRODUCER);
	}
	if (!(roles & SHMRING_CONSUMER))
		return 0;
	int i = shmring__lock_any_line(r, SHMRING__WRITE);
	if (i < 0)
		return i;
	shmring__take_line(r, (uint32_t)i, SHMRING_CONSUMER);
	r->head = &r->lines[i].head;
	r->spsc.taken = &r->lines[i].intent[SHMRING__READ];
	return shmring__take_place(r, SHMRING_NEWEST, NULL);
}

/* Find a line for each role; MPMC takes any, for both. */
SHMRING__COLD int
shmring__attach(struct shmring *r)
{
	uint32_t roles = r->self.roles & SHMRING_BOTH;
	if (r->mode == SHMRING_SPSC)
		return shmring__attach_spsc(r, roles);
	if (r->mode == SHMRING_BROADCAST)
		return shmring__attach_broadcast(r, roles);
	/* register */
	r->mpmc.fenced =
		shmring__os(SYS_membarrier,
			    SHMRING__MEMBARRIER_REGISTER_GLOBAL_EXPEDITED, 0, 0,
			    0, 0, 0) != 0;
	if (!r->mpmc.fenced && !r->mpmc.wide && r->align == 8)
		r->path = SHMRING__SLOTS;
	int i = shmring__lock_any_line(r, -1);
	if (i >= 0)
		shmring__take_line(r, (uint32_t)i, roles);
	return i < 0 ? i : 0;
}

/* We are attached, and will stay: now there is a participant of our roles,
 * and ever was; where peers come and go, there never was one that could be the
 * last. */
SHMRING__COLD void
shmring__arrive(struct shmring *r)
{
	uint64_t had = 0, no = 0;
	int ends = !(r->features & SHMRING__FEATURE_ENDLESS);
	if (ends && r->line[SHMRING__WRITE]) {
		had |= SHMRING__HAD_PRODUCER;
		no |= SHMRING__NO_PRODUCER;
	}
	if (ends && r->line[SHMRING__READ]) {
		had |= SHMRING__HAD_CONSUMER;
		no |= SHMRING__NO_CONSUMER;
	}
	if (ends)
		shmring__change_attn(r, had, no);
	shmring__tell_peers(r);
}

/* Give up our lines. A claim still in hands is recovered as if we had died:
 * peeked messages go to others. */
SHMRING__COLD void
shmring__detach(struct shmring *r)
{
	for (int side = 0; side < 2; side++) {
		struct shmring__line *x = r->line[side];
		if (!x || (side && x == r->line[0]))
			continue;
		uint32_t i = (uint32_t)(x - r->lines);
		uint64_t status = SHMRING__LOAD(&x->status, RELAXED); /* own */
		uint32_t roles = shmring__roles_of(status);
		if (r->mode == SHMRING_SPSC && side == SHMRING__READ &&
		    r->held[side].hold) {
			shmring__spsc_hold(r, r->held[side].hold ==
							      SHMRING__SEVERAL
						      ? r->spsc.several
						      : 1);
			roles |= SHMRING__LEFT;
		}
		uint64_t recov = shmring__status(status, roles, SHMRING__RECOV);
		if (shmring__state_of(status) == SHMRING__LIVE &&
		    shmring__cas(&x->status, status, recov)) /* R7 */
			shmring__reclaim_line(r, i, recov);
		/* A forked child may have a copy of the descriptor, and with
		 * it the lock. */
		if (shmring__fd_is_ours(r))
			shmring__lock(r->map.fd, F_UNLCK, i);
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

/* Bits that tell lengths to slot_size from each other and from the one that
 * means aborted; beside a phase there is room for so many. */
#define SHMRING__LENGTH_BITS 12
SHMRING__HOT uint32_t
shmring__length_bits(uint32_t slot_size)
{
	return 64 - (uint32_t)__builtin_clzll(UINT64_C(1) + slot_size);
}

#define SHMRING__STAMP 8 /* bytes: when a metered message was committed */

/* Work out the offsets from the parameters; -EINVAL if these are not sound,
 * whether a caller or the content of a file gave them. */
SHMRING__COLD int
shmring__lay_out(struct shmring__geometry *g)
{
	uint64_t slots = g->slots, unit = g->alignment;
	if (slots < 1 || slots > 1u << 30 || (slots & (slots - 1)) ||
	    g->slot_size < 1 || g->slot_size > 1u << 30 || g->page < 4096 ||
	    g->page > 1u << 30 || (g->page & (g->page - 1)) || unit < 8 ||
	    unit > 4096 || (unit & (unit - 1)) || g->meters > unit - 8)
		return -EINVAL;
	/* What fits before the header, beside meters. */
	g->near = unit - 8 - g->meters;
	g->near += g->near > 0;
	g->index =
		shmring__round_up(sizeof(struct shmring__header) +
					  (uint64_t)g->participants *
						  sizeof(struct shmring__line),
				  g->page);
	uint64_t length = 0; /* of a wide slot, see MPMC */
	if (g->mode == SHMRING_MPMC &&
	    shmring__length_bits(g->slot_size) > SHMRING__LENGTH_BITS)
		length = 8;
	g->consumer = g->states = 0;
	g->stride = unit;
	if (g->slot_size >= g->near)
		g->stride += shmring__round_up(g->slot_size + length, unit);
	if (g->mode == SHMRING_SPSC && g->participants == 2) {
		g->consumer = g->index + g->page;
		g->data = g->consumer + g->page;
		/* 8: the header after the last record is cleared, too */
		g->capacity = shmring__power_of_two(slots * g->stride + 8);
		if (g->capacity < g->page)
			g->capacity = g->page;
	} else if (g->mode == SHMRING_BROADCAST && g->participants >= 2 &&
		   g->participants <= 1024) {
		g->data = g->index + g->page;
		/* So many are whole although up to two parts of the ring, and
		 * two messages, are given up before they are overwritten. */
		g->capacity = shmring__power_of_two(
			((slots + 2) * g->stride + 8) * SHMRING__PARTS /
				(SHMRING__PARTS - 2) +
			1);
		if (g->capacity < g->page)
			g->capacity = g->page;
	} else if (g->mode == SHMRING_MPMC && g->participants >= 1 &&
		   g->participants <= 1024 && slots >= 2 &&
		   slots >= 2 * (uint64_t)g->participants) {
		g->states = g->index + g->page;
		g->data = g->states + shmring__round_up(slots * 8, g->page);
		g->capacity = shmring__round_up(slots * g->stride, g->page);
		if (g->near)
			g->near = g->slot_size < g->near ? UINT64_MAX : 0;
	} else {
		return -EINVAL;
	}
	g->total = g->data + g->capacity;
	return 0;
}

/* All zero where it cannot be read (no /proc, or only its pids). */
SHMRING__COLD void
shmring__boot_id(unsigned char id[16])
{
	char text[37];
	int digits = 0;
	memset(id, 0, 16);
	if (shmring__read_file("/proc/sys/kernel/random/boot_id", text,
			       sizeof(text)) != 36)
		return;
	for (int i = 0; i < 36 && digits < 32; i++) {
		int c = text[i];
		int value = c <= '9' ? c - '0' : c - 'a' + 10;
		if (c != '-') {
			id[digits / 2] =
				(unsigned char)(id[digits / 2] << 4 | value);
			digits++;
		}
	}
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

/* Whether it is a ring, and of a kind that we know. */
SHMRING__COLD int
shmring__judge_kind(const struct shmring__header *h)
{
	if (h->magic != SHMRING__MAGIC)
		return -EPROTO;
	if (h->byte_order != SHMRING__BYTE_ORDER || h->word_size != 8)
		return -EPROTOTYPE;
	if (h->layout != SHMRING_LAYOUT || (h->features & ~SHMRING__FEATURES))
		return -EPROTONOSUPPORT;
	return 0;
}

/* Whether it was made before a reboot, as far as both are known. */
SHMRING__COLD int
shmring__other_boot(const struct shmring__header *h)
{
	unsigned char boot_id[16], unknown[16] = { 0 }; /* proves nothing */
	shmring__boot_id(boot_id);
	return memcmp(boot_id, h->boot_id, sizeof(boot_id)) != 0 &&
	       memcmp(boot_id, unknown, sizeof(boot_id)) != 0 &&
	       memcmp(h->boot_id, unknown, sizeof(boot_id)) != 0;
}

/* Whether its sizes are sound, and the file has the same: fills in g. */
SHMRING__COLD int
shmring__judge_sizes(struct shmring__geometry *g,
		     const struct shmring__header *h, uint64_t size)
{
	g->mode = h->mode;
	g->slots = h->slots;
	g->slot_size = h->slot_size;
	g->participants = h->participants;
	g->alignment = h->alignment;
	g->meters = h->flags & SHMRING_METERED ? SHMRING__STAMP : 0;
	g->page = h->page;
	if (shmring__lay_out(g) || g->capacity != h->capacity ||
	    g->total != h->total)
		return -EBADMSG;
	return size == g->total ? 0 : -EOVERFLOW;
}

/* Read and judge the identity of a segment; each fault has its own error. */
SHMRING__COLD int
shmring__identify(struct shmring *r, struct shmring__header *h)
{
	struct stat file;
	int saved = errno;
	int failed = fstat(r->map.fd, &file);
	errno = saved;
	if (failed)
		return -EBADF;
	r->map.device = file.st_dev;
	r->map.inode = file.st_ino;
	if (!S_ISREG(file.st_mode) ||
	    shmring__os(SYS_pread64, r->map.fd, (long)h, sizeof(*h), 0, 0, 0) !=
		    sizeof(*h))
		return -EPROTO;
	int error = shmring__judge_kind(h);
	if (error)
		return error;
	if (shmring__other_boot(h))
		return -EREMOTE;
	if (!(r->self.roles & SHMRING_ANY_OWNER) &&
	    (file.st_uid != h->creator ||
	     (file.st_uid != geteuid() && file.st_uid != 0)))
		return -EPERM;
	if (file.st_mode & 0022 & ~h->permissions)
		return -EPERM;
	r->features = h->features;
	return shmring__judge_sizes(&r->geometry, h, (uint64_t)file.st_size);
}

/* Map each part with no more rights than this handle needs. The bytes of SPSC
 * and BROADCAST twice in a row. */
SHMRING__COLD int
shmring__map_all(struct shmring *r, uint32_t flags)
{
	const struct shmring__geometry *g = &r->geometry;
	int populate = flags & SHMRING_PREFAULT ? MAP_POPULATE : 0;
	int observer = (r->self.roles & SHMRING_OBSERVER) != 0;
	int all = observer ? PROT_READ : PROT_READ | PROT_WRITE;
	int writer = r->self.roles & SHMRING_PRODUCER ? all : PROT_READ;
	int reader = r->self.roles & SHMRING_CONSUMER ? all : PROT_READ;
	int mirrored = g->mode != SHMRING_MPMC;
	const struct {
		uint64_t at, length, offset;
		int protection;
	} parts[] = {
		{ 0, mirrored ? g->index : g->total, 0, all },
		{ g->index, g->page, g->index, writer },
		{ g->data, g->capacity, g->data, writer },
		{ g->total, g->capacity, g->data, writer }, /* once more */
		{ g->consumer, g->page, g->consumer, reader }, /* SPSC only */
	};
	int count = !mirrored ? 1 : g->mode == SHMRING_SPSC ? 5 : 4;
	int error = 0;
	r->map.mapped = g->total + (mirrored ? g->capacity : 0);
	r->map.base = shmring__reserve_pages(r->map.mapped, g->page,
					     &r->map.reserved);
	if (!r->map.base)
		return -ENOMEM;
	for (int i = 0; !error && i < count; i++) {
		long at = shmring__mmap(r->map.base + parts[i].at,
					parts[i].length, parts[i].protection,
					MAP_SHARED | MAP_FIXED | populate,
					r->map.fd, parts[i].offset);
		error = at < 0 ? (int)at : 0;
	}
	if (!error && (flags & SHMRING_HUGE))
		error = shmring__collapse(r->map.base + g->data, g->capacity);
	if (!error && (flags & SHMRING_MLOCK))
		error = (int)shmring__os(SYS_mlock, (long)r->map.base,
					 (long)r->map.mapped, 0, 0, 0, 0);
	return error;
}

/* A handle that is not open: every call on it is refused, as on one of zeros.
 * It points nowhere, for that may be gone by then (dlclose). */
SHMRING__COLD void
shmring__blank(struct shmring *r)
{
	memset(r, 0, sizeof(*r));
	r->map.fd = r->map.pass = -1;
}

/* Close what told of names. Not by open itself: the kernel lets who closes it
 * wait for a grace period (some 20 ms) after the last watch was removed. */
SHMRING__COLD void
shmring__unwatch(struct shmring *r)
{
	if (r->map.watch)
		shmring__os(SYS_close, r->map.watch - 1, 0, 0, 0, 0, 0);
	r->map.watch = 0;
}

/* Unmap and close. */
SHMRING__COLD void
shmring__unmap(struct shmring *r)
{
	shmring__unwatch(r);
	if (r->map.base)
		shmring__munmap(r->map.reserved,
				r->map.mapped + 2 * r->geometry.page);
	if (r->canary)
		shmring__munmap(r->canary, SHMRING__CANARY);
	if (r->map.fd >= 0 && shmring__fd_is_ours(r))
		shmring__os(SYS_close, r->map.fd, 0, 0, 0, 0, 0);
	if (r->map.pass >= 0)
		shmring__os(SYS_close, r->map.pass, 0, 0, 0, 0, 0);
	free(r->mpmc.spill);
	shmring__blank(r);
}

/* How far ahead to fetch, in what the engine counts. */
SHMRING__COLD uint64_t
shmring__fetch_ahead(const struct shmring__geometry *g)
{
	uint64_t ahead = SHMRING_AHEAD, least = SHMRING__FETCH_LEAST, limit;
	if (g->mode == SHMRING_MPMC) {
		/* one line a slot at least, or as many lines as in a stream */
		least = g->stride < 64 ? least / g->stride : 0;
		limit = g->slots / 4;
	} else {
		ahead *= g->slot_size;
		limit = g->capacity / 8;
		if (limit > SHMRING__FETCH_MOST)
			limit = SHMRING__FETCH_MOST;
	}
	if (SHMRING_AHEAD && ahead < least)
		ahead = least;
	return ahead < limit ? ahead : limit;
}

/* Point the handle into the mapping. */
SHMRING__COLD void
shmring__set_pointers(struct shmring *r)
{
	const struct shmring__geometry *g = &r->geometry;
	unsigned char *index = r->map.base + g->index;
	r->header = (struct shmring__header *)(void *)r->map.base;
	r->notice = &r->header->notice;
	r->lines = (struct shmring__line *)(void *)(r->header + 1);
	r->align = g->alignment;
	r->near = g->near;
	r->meters = g->meters;
	r->fetch_ahead = shmring__fetch_ahead(g);
	r->data = r->map.base + g->data + (r->align - 8);
	r->mode = g->mode;
	r->limit[SHMRING__READ] = r->limit[SHMRING__WRITE] =
		UINT64_C(1) + g->slot_size;
	r->mpmc.stride = g->stride;
	r->mpmc.length_bits = shmring__length_bits(g->slot_size);
	r->mpmc.wide = r->mpmc.length_bits > SHMRING__LENGTH_BITS;
	if (r->mpmc.wide)
		r->mpmc.length_bits = SHMRING__LENGTH_BITS;
	r->mpmc.length_mask = (UINT64_C(1) << r->mpmc.length_bits) - 1;
	r->tail = (uint64_t *)(void *)index;
	if (g->mode != SHMRING_MPMC) {
		struct shmring__view v = shmring__any_view(r, SHMRING__READ);
		r->path = r->align == 8 ? SHMRING__PACKED : SHMRING__PLACED;
		r->limit[SHMRING__READ] = shmring__stored(&v, g->slot_size) + 1;
		if (g->mode == SHMRING_SPSC)
			r->spsc.gone = SHMRING__NO_CONSUMER;
		unsigned char *consumer = r->map.base + g->consumer;
		r->head = (uint64_t *)(void *)consumer;
		r->spsc.taken = (uint64_t *)(void *)(consumer + SHMRING__LINE);
		if (g->mode == SHMRING_BROADCAST) /* a reader has its own */
			r->head = r->broadcast.asks
					  ? &shmring__page_of(r)->gate
					  : &shmring__page_of(r)->bound;
		/* keeps hostile positions aligned */
		r->mask = g->capacity - r->align;
		r->spsc.lazy = g->capacity / 8;
	} else {
		r->head = (uint64_t *)(void *)(index + SHMRING__LINE);
		r->mpmc.states = (uint64_t *)(void *)(r->map.base + g->states);
		r->mask = g->slots - 1;
		r->mpmc.shift = (uint32_t)__builtin_ctz(g->slots);
	}
}

/* -ENOSYS: a child could use our handle, and nobody would notice. */
SHMRING__COLD int
shmring__watch_forks(struct shmring *r)
{
	long page = shmring__mmap(NULL, SHMRING__CANARY, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page < 0)
		return (int)page;
	r->canary = (struct shmring__canary *)page;
	if (shmring__os(SYS_madvise, page, SHMRING__CANARY,
			SHMRING__MADV_WIPEONFORK, 0, 0, 0))
		return -ENOSYS;
	r->canary->alive = 1;
	return 0;
}

/* Who we are, and whether fd is a segment: all but a handle on it. */
SHMRING__COLD int
shmring__recognize(struct shmring *r, int fd, unsigned roles,
		   struct shmring__header *header)
{
	shmring__blank(r);
	r->map.fd = fd;
	r->self.roles = roles;
	r->self.pid = (uint32_t)getpid();
	r->self.start = shmring__own_start(r->self.pid);
	r->self.pid_namespace = shmring__namespace("/proc/self/ns/pid");
	r->self.time_namespace = shmring__namespace("/proc/self/ns/time");
	r->wait.spin_ns = SHMRING_SPIN_NS;
	return shmring__identify(r, header);
}

/* header.retired, see REPLACING below */
#define SHMRING__IN_FORCE 0u
#define SHMRING__YIELDS 1u
#define SHMRING__REPLACED 2u
#define SHMRING__PENDING 3u
/* Among the roles of who joins by a name: not a pending one, before it is known
 * to be in force. */
#define SHMRING__UNDECIDED 256u

SHMRING__COLD int
shmring__retire(uint32_t *retired, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(retired, &from, to, 0, /* F1, F4 */
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* We are attached (our line was LIVE before, and a fence): whether for good. A
 * replacer that had not decided yet learns by this that somebody has come; one
 * that begins only now will see the line. */
SHMRING__COLD int
shmring__confirm_attached(struct shmring *r)
{
	uint32_t *retired = &r->header->retired;
	if (!(r->self.roles & SHMRING_OBSERVER))
		shmring__retire(retired, SHMRING__YIELDS, SHMRING__IN_FORCE);
	return SHMRING__LOAD(retired, SEQ_CST) != SHMRING__REPLACED; /* F4 */
}

/* Whether the roles are taken for certain, before anything is mapped. Locks
 * that cannot be had at all (-ENOLCK) are not somebody's. */
SHMRING__COLD int
shmring__taken(struct shmring *r)
{
	uint32_t roles = r->self.roles & SHMRING_BOTH;
	if (r->self.roles & SHMRING_OBSERVER)
		return 0;
	if (shmring__lock(r->map.fd, F_UNLCK, SHMRING__REPLACER + 1))
		return -ENOLCK;
	if (r->geometry.mode != SHMRING_MPMC &&
	    (((roles & SHMRING_PRODUCER) &&
	      shmring__locked(r->map.fd, SHMRING__WRITE)) ||
	     ((roles & SHMRING_CONSUMER) && r->geometry.mode == SHMRING_SPSC &&
	      shmring__locked(r->map.fd, SHMRING__READ))))
		return -EBUSY;
	return 0;
}

/* Become a handle on the segment behind fd, which it keeps (and closes on
 * failure, but not if that is -EINPROGRESS: it is pending). */
SHMRING__COLD int
shmring__join(struct shmring *r, int fd, unsigned roles)
{
	struct shmring__header header;
	int error =
		shmring__recognize(r, fd, roles & ~SHMRING__UNDECIDED, &header);
	if (!error && header.retired == SHMRING__REPLACED)
		error = -ESTALE;
	if (!error && header.retired == SHMRING__PENDING &&
	    (roles & SHMRING__UNDECIDED)) {
		shmring__blank(r);
		return -EINPROGRESS;
	}
	if (!error)
		error = shmring__taken(r);
	if (!error)
		error = shmring__map_all(r, header.flags);
	if (!error)
		error = shmring__watch_forks(r);
	if (!error) {
		if (r->geometry.mode == SHMRING_BROADCAST) {
			r->broadcast.asks = r->broadcast.holds =
				!(header.flags & SHMRING_LOSSY);
			r->broadcast.checks =
				!r->broadcast.asks || header.demote_ms;
			r->broadcast.demote =
				header.demote_ms * INT64_C(1000000);
		}
		shmring__set_pointers(r);
		if (!(roles & SHMRING_OBSERVER)) {
			if (!(roles & SHMRING__UNDECIDED))
				shmring__retire(&r->header->retired,
						SHMRING__PENDING,
						SHMRING__IN_FORCE);
			error = shmring__attach(r);
		}
	}
	if (!error && !shmring__confirm_attached(r))
		error = -ESTALE;
	if (!error && !(roles & SHMRING_OBSERVER))
		shmring__arrive(r);
	if (error) {
		shmring__detach(r);
		shmring__unmap(r);
		return error;
	}
	for (int side = 0; side < 2; side++)
		if (r->line[side])
			r->canary->limit[side] = r->limit[side];
	return 0;
}

/* What the system refuses altogether (a filter, an old kernel) is not a role
 * that a handle lacks. */
SHMRING__COLD int
shmring__refused(long error)
{
	return error == -EPERM ? -ENOSYS : (int)error;
}

#define SHMRING__TEMPORARY "~new" /* behind a name, see REPLACING */

/* The path of a name like "/prices": one component, the slash optional. */
SHMRING__COLD int
shmring__path(char path[PATH_MAX], const char *name)
{
	if (!name)
		return -EINVAL;
	if (*name == '/')
		name++;
	size_t length = strlen(name), suffix = strlen(SHMRING__TEMPORARY);
	if (!length || strchr(name, '/') || !strcmp(name, ".") ||
	    !strcmp(name, "..") ||
	    (length >= suffix &&
	     !strcmp(name + length - suffix, SHMRING__TEMPORARY)))
		return -EINVAL;
	if (length + suffix > NAME_MAX)
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

/* Give the file behind fd, which had none, a name. -ENXIO: that takes /proc
 * (or CAP_DAC_READ_SEARCH). */
SHMRING__COLD int
shmring__link(int fd, const char *path)
{
	char self[SHMRING__SELF];
	shmring__self(self, fd);
	long error = shmring__os(SYS_linkat, AT_FDCWD, (long)self, AT_FDCWD,
				 (long)path, AT_SYMLINK_FOLLOW, 0);
	if (error == -ENOENT)
		error = shmring__os(SYS_linkat, fd, (long)"", AT_FDCWD,
				    (long)path, SHMRING__AT_EMPTY_PATH, 0);
	return error == -ENOENT ? -ENXIO : shmring__refused(error);
}

/* An open file of our own on what fd refers to, for locks of our own. */
SHMRING__COLD int
shmring__reopen(int fd, unsigned roles)
{
	char self[SHMRING__SELF];
	shmring__self(self, fd);
	fd = shmring__open_path(self,
				roles & SHMRING_OBSERVER ? O_RDONLY : O_RDWR);
	return fd == -ENOENT ? -ENXIO : fd; /* there is no /proc */
}

/* Modes, roles, flags, permissions that there are, and that go together. */
SHMRING__COLD int
shmring__makes_sense(const struct shmring_config *wish)
{
	int lossy = (wish->flags & SHMRING_LOSSY) != 0;
	int demotes = wish->demote_ms != 0;
	return wish->mode <= SHMRING_BROADCAST &&
	       wish->roles <= SHMRING_OBSERVER && wish->permissions <= 0777 &&
	       wish->flags <= 255 &&
	       lossy + demotes <= (wish->mode == SHMRING_BROADCAST);
}

/* The sizes that the caller wishes, with the defaults filled in. */
SHMRING__COLD int
shmring__choose_sizes(struct shmring__geometry *g,
		      const struct shmring_config *wish)
{
	memset(g, 0, sizeof(*g));
	if (wish->slots > 1u << 30)
		return -ERANGE;
	g->mode = wish->mode;
	g->slots = wish->slots ? (uint32_t)shmring__power_of_two(wish->slots)
			       : 1024;
	g->slot_size = wish->slot_size ? wish->slot_size : 256;
	g->participants = g->slots / 2 < 64 ? g->slots / 2 : 64;
	if (wish->participants)
		g->participants = wish->participants;
	if (wish->mode == SHMRING_SPSC)
		g->participants = 2;
	if (wish->mode == SHMRING_BROADCAST) /* and the writer */
		g->participants =
			wish->participants ? wish->participants + 1 : 64;
	g->meters = wish->flags & SHMRING_METERED ? SHMRING__STAMP : 0;
	g->alignment = wish->alignment ? wish->alignment : 8;
	if (g->meters && g->alignment == 8)
		g->alignment = 16;
	g->page = wish->flags & (SHMRING_HUGE | SHMRING_HUGETLB)
			  ? UINT64_C(2) << 20
			  : (uint64_t)sysconf(_SC_PAGESIZE);
	return shmring__lay_out(g) ? -ERANGE : 0;
}

/* The caller's wishes, as a header. */
SHMRING__COLD int
shmring__init_header(struct shmring__header *h,
		     const struct shmring_config *config)
{
	struct shmring__geometry g;
	struct shmring_config wish;
	struct timespec now;
	memset(&wish, 0, sizeof(wish));
	memset(h, 0, sizeof(*h));
	if (config)
		wish = *config;
	if (!shmring__makes_sense(&wish))
		return -EDOM;
	int error = shmring__choose_sizes(&g, &wish);
	if (error)
		return error;
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
	if (wish.flags & SHMRING_PERSISTENT)
		h->features |= SHMRING__FEATURE_ENDLESS;
	if (g.mode == SHMRING_BROADCAST)
		h->features |= SHMRING__FEATURE_BROADCAST;
	if (g.alignment > 8)
		h->features |= SHMRING__FEATURE_PLACES;
	h->alignment = g.alignment;
	h->creator = geteuid();
	h->demote_ms = wish.demote_ms;
	h->page = g.page;
	h->capacity = g.capacity;
	h->total = g.total;
	h->created = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
		     (uint64_t)now.tv_nsec;
	h->pid_namespace = shmring__namespace("/proc/self/ns/pid");
	long got = shmring__os(SYS_getrandom, (long)h->id, sizeof(h->id), 0, 0,
			       0, 0);
	if (got != sizeof(h->id))
		return got < 0 ? (int)got : -EAGAIN;
	shmring__boot_id(h->boot_id);
	return 0;
}

/* The number behind a key in a file of the kernel's; UINT64_MAX if there is
 * none ("max", or no such file). */
SHMRING__COLD uint64_t
shmring__read_number(const char *path, const char *key)
{
	char text[4096];
	if (shmring__read_file(path, text, sizeof(text)) <= 0)
		return UINT64_MAX;
	const char *at = strstr(text, key);
	if (at)
		at += strlen(key) + strspn(at + strlen(key), " ");
	return at && *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10)
					      : UINT64_MAX;
}

/* What one memory controller leaves to its group; cache does not count. */
SHMRING__COLD uint64_t
shmring__group_left(const char *group, const char *limit, const char *usage)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", group, limit);
	uint64_t most = shmring__read_number(path, "");
	if (most > INT64_MAX / 2)
		return UINT64_MAX; /* no limit */
	snprintf(path, sizeof(path), "%s/%s", group, usage);
	uint64_t used = shmring__read_number(path, "");
	snprintf(path, sizeof(path), "%s/memory.stat", group);
	uint64_t cache = shmring__read_number(path, "inactive_file");
	if (used == UINT64_MAX)
		return used;
	if (cache < used)
		used -= cache;
	return used < most ? most - used : 0;
}

/* What our groups leave to us, up to the root; version 2 or 1 of cgroups,
 * where they usually are. */
SHMRING__COLD uint64_t
shmring__cgroup_left(void)
{
	const struct {
		const char *line, *mount, *limit, *usage;
	} kinds[] = {
		{ "0::/", "/sys/fs/cgroup/", "memory.max", "memory.current" },
		{ ":memory:/", "/sys/fs/cgroup/memory/",
		  "memory.limit_in_bytes", "memory.usage_in_bytes" },
	};
	char groups[4096], group[PATH_MAX];
	uint64_t least = UINT64_MAX;
	if (shmring__read_file("/proc/self/cgroup", groups, sizeof(groups)) <=
	    0)
		return least;
	for (int i = 0; i < 2; i++) {
		const char *ours = strstr(groups, kinds[i].line);
		if (!ours)
			continue;
		ours += strlen(kinds[i].line);
		int length = (int)strcspn(ours, "\n");
		for (int up = 0; !up; up = !length) {
			snprintf(group, sizeof(group), "%s%.*s", kinds[i].mount,
				 length, ours);
			uint64_t left = shmring__group_left(
				group, kinds[i].limit, kinds[i].usage);
			least = left < least ? left : least;
			while (length && ours[--length] != '/')
				;
		}
	}
	return least;
}

/* Whether a file may become so large, before any of it is allocated: what the
 * kernel had to take from other programs, it would kill them for. -EFBIG: the
 * limit for files (and no SIGXFSZ); -ENOSPC: the file system, the memory of the
 * machine or of our group, a sixteenth of which we leave alone. What is small
 * is not worth the look at these (they take longer than all the rest). */
SHMRING__COLD int
shmring__affordable(int fd, uint64_t total)
{
	struct rlimit limit;
	struct statfs system;
	if (!shmring__os(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0,
			 0) &&
	    limit.rlim_cur != RLIM_INFINITY && total > limit.rlim_cur)
		return -EFBIG;
	if (shmring__os(SYS_fstatfs, fd, (long)&system, 0, 0, 0, 0))
		return 0;
	if (system.f_blocks && /* 0: without bounds */
	    total / (uint64_t)system.f_bsize > system.f_bavail)
		return -ENOSPC;
	if (system.f_type != SHMRING__TMPFS_MAGIC || total < 1u << 20)
		return 0;
	uint64_t machine =
		shmring__read_number("/proc/meminfo", "MemAvailable:");
	uint64_t left = shmring__cgroup_left();
	if (machine < UINT64_MAX >> 10 && machine << 10 < left)
		left = machine << 10;
	return total > left - left / 16 ? -ENOSPC : 0;
}

/* Give an empty file, still unknown to all, its size and identity. The pages
 * are allocated now, so that none can be missing later (SIGBUS). */
SHMRING__COLD int
shmring__allocate(int fd, const struct shmring__header *h)
{
	long error = shmring__affordable(fd, h->total);
	if (!error)
		error = shmring__os(SYS_ftruncate, fd, (long)h->total, 0, 0, 0,
				    0);
	uint64_t step = UINT64_C(2) << 20; /* signals interrupt longer ones */
	for (uint64_t at = 0; !error && at < h->total; at += step) {
		uint64_t size = h->total - at < step ? h->total - at : step;
		do
			error = shmring__os(SYS_fallocate, fd, 0, (long)at,
					    (long)size, 0, 0);
		while (error == -EINTR);
	}
	if (error == -EOPNOTSUPP)
		return -ENODEV; /* this file system cannot */
	if (!error)
		error = shmring__os(SYS_fchmod, fd, h->permissions, 0, 0, 0, 0);
	if (error)
		return shmring__refused(error);
	long at = shmring__mmap(NULL, h->page, PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0);
	if (at < 0)
		return (int)at;
	memcpy((void *)at, h, sizeof(*h));
	shmring__munmap((void *)at, h->page);
	return 0;
}

/* REPLACING. A name goes over from a ring that nobody uses to a new one in one
 * step, and a replacer that is stopped or killed anywhere keeps nobody out.
 * What `retired` in a header means:
 *   IN_FORCE  a ring like any other
 *   YIELDS    the old one: will be replaced, unless somebody comes first
 *   REPLACED  nobody attaches any more
 *   PENDING   the new one: in force, unless the one under the temporary name is
 * The replacer
 *   1 links the new one, PENDING, to the temporary name, which keeps other
 *     replacers out;
 *   2 lets the old one YIELD, then looks whether somebody is attached;
 *   3 exchanges the two names;
 *   4 looks whether it is the old one that it now finds under the temporary
 *     name, and YIELDS -> REPLACED, which decides; then PENDING -> IN_FORCE.
 * Who attaches stores LIVE, then YIELDS -> IN_FORCE: one of the two sees the
 * other. If 4 fails, somebody has come, or others gave the name to another ring
 * between 2 and 3: PENDING -> REPLACED, and the names are exchanged back.
 * Who opens and finds a pending (or replaced) one looks under the temporary
 * name: what is in force there is the ring. If nothing is, the pending one is,
 * and it says so. Hence nobody waits for a replacer: before 3 the name still
 * is the old one's; between 3 and 4 there is a way to it, and who goes it makes
 * 4 fail; after 4 whoever comes does the rest.
 * The temporary name is taken away only by who holds the lock REPLACER of the
 * file that has it, and has looked since; a replacer holds that of both. What
 * a killed one leaves, its successor or unlink removes. Others (rm, mv) may do
 * as they like with the names, and then have what they did. */

/* What is under a path, to be judged: read, not mapped, and nothing believed.
 * -ENOENT; -EPROTO: not a ring that we could judge. */
SHMRING__COLD int
shmring__inspect(struct shmring *old, struct shmring__header *header,
		 const char *path)
{
	shmring__blank(old);
	int fd = shmring__open_path(path, O_RDWR | O_NOFOLLOW);
	if (fd == -ENOENT || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return fd;
	if (fd < 0)
		return -EPROTO;
	int error = shmring__recognize(old, fd, SHMRING_ANY_OWNER, header);
	if (error)
		shmring__unmap(old);
	return error ? -EPROTO : 0;
}

/* Who is attached to it, by a copy of its lines: -EBUSY: somebody;
 * -EOWNERDEAD: nobody any more, but some were killed; -EEXIST: nobody. */
SHMRING__COLD int
shmring__judge(struct shmring *old)
{
	size_t size = old->geometry.participants * sizeof(struct shmring__line);
	int busy = 0, dead = 0;
	old->lines = (struct shmring__line *)malloc(size);
	if (!old->lines)
		return -ENOMEM;
	/* What has been cut since has nobody that could be known. */
	if (shmring__os(SYS_pread64, old->map.fd, (long)old->lines, (long)size,
			sizeof(struct shmring__header), 0, 0) != (long)size)
		memset(old->lines, 0, size);
	for (uint32_t i = 0; i < old->geometry.participants; i++) {
		uint64_t status = old->lines[i].status;
		if (shmring__state_of(status) == SHMRING__FREE)
			dead += (shmring__roles_of(status) & SHMRING__DIED) !=
				0;
		else if (shmring__dead(old, i))
			dead++;
		else
			busy = 1;
	}
	free(old->lines);
	old->lines = NULL;
	return busy ? -EBUSY : dead ? -EOWNERDEAD : -EEXIST;
}

static inline void
shmring__temporary(char temporary[PATH_MAX], const char *path)
{
	snprintf(temporary, PATH_MAX, "%.*s%s",
		 (int)(PATH_MAX - sizeof(SHMRING__TEMPORARY)), path,
		 SHMRING__TEMPORARY);
}

/* What a create finds under its name: as judge, or -ENOENT. */
SHMRING__COLD int
shmring__inspect_name(const char *path)
{
	struct shmring old, other;
	struct shmring__header header;
	char temporary[PATH_MAX];
	int error = shmring__inspect(&old, &header, path);
	if (error)
		return error;
	if (header.retired >= SHMRING__REPLACED) {
		shmring__temporary(temporary, path);
		if (!shmring__inspect(&other, &header, temporary)) {
			if (header.retired < SHMRING__REPLACED)
				error = shmring__judge(&other);
			shmring__unmap(&other);
		}
	}
	if (!error)
		error = shmring__judge(&old);
	shmring__unmap(&old);
	return error;
}

/* Step 2. Nothing else of it is mapped, and this only now: of what calls itself
 * a ring, nobody is known to be in it. */
SHMRING__COLD int
shmring__vacate(struct shmring *old)
{
	long at = shmring__mmap(NULL, sizeof(struct shmring__header),
				PROT_READ | PROT_WRITE, MAP_SHARED, old->map.fd,
				0);
	if (at < 0)
		return (int)at;
	old->header = (struct shmring__header *)at;
	uint32_t *retired = &old->header->retired;
	shmring__retire(retired, SHMRING__PENDING, SHMRING__YIELDS);
	shmring__retire(retired, SHMRING__IN_FORCE, SHMRING__YIELDS);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* F1: then the lines */
	if (SHMRING__LOAD(retired, SEQ_CST) == SHMRING__REPLACED) /* F1 */
		return 0;
	int error = shmring__judge(old);
	if (error == -EEXIST || error == -EOWNERDEAD)
		return 0;
	shmring__retire(retired, SHMRING__YIELDS, SHMRING__IN_FORCE);
	return error;
}

/* Step 4. */
SHMRING__COLD int
shmring__replaced(struct shmring *old)
{
	uint32_t *retired = &old->header->retired;
	return shmring__retire(retired, SHMRING__YIELDS, SHMRING__REPLACED) ||
	       SHMRING__LOAD(retired, SEQ_CST) == SHMRING__REPLACED; /* F1 */
}

/* What judging and vacating it has mapped. */
SHMRING__COLD void
shmring__unmap_old(struct shmring *old)
{
	if (old->header)
		shmring__munmap(old->header, sizeof(struct shmring__header));
	shmring__unmap(old);
}

/* Whether the path leads to the file behind a handle. */
SHMRING__COLD int
shmring__is_at(const struct shmring *r, const char *path)
{
	struct stat file;
	int saved = errno;
	int failed = lstat(path, &file);
	errno = saved;
	return !failed && file.st_dev == r->map.device &&
	       file.st_ino == r->map.inode;
}

/* Only under the file's lock. */
SHMRING__COLD void
shmring__remove(const struct shmring *r, const char *path)
{
	if (shmring__is_at(r, path))
		shmring__os(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
}

/* Take away the temporary name, if a killed replacer left it; what is used,
 * too, unless only idle. -EBUSY: somebody is at it, or in it. */
SHMRING__COLD int
shmring__remove_temporary(const char *temporary, int idle)
{
	struct shmring left;
	struct shmring__header header;
	int error = shmring__inspect(&left, &header, temporary);
	if (error)
		return error == -EPROTO ? -EBUSY : error;
	/* It may have come under the name since we looked; not any more once we
	 * have its lock. */
	if (shmring__lock(left.map.fd, F_WRLCK, SHMRING__REPLACER) ||
	    !shmring__is_at(&left, temporary))
		error = -EBUSY;
	else if (idle && header.retired < SHMRING__REPLACED)
		error = shmring__vacate(&left);
	if (!error && left.header && !shmring__replaced(&left))
		error = -EBUSY;
	if (!error)
		shmring__remove(&left, temporary);
	shmring__unmap_old(&left);
	return error;
}

SHMRING__COLD int
shmring__exchange(const char *one, const char *other)
{
	long error = shmring__os(SYS_renameat2, AT_FDCWD, (long)one, AT_FDCWD,
				 (long)other, SHMRING__RENAME_EXCHANGE, 0);
	/* Where there is no such thing (tmpfs has it since Linux 3.15), nothing
	 * else would be safe: between unlink and link the name is anybody's. */
	return error == -EINVAL ? -ENOSYS : (int)error;
}

/* Steps 2 to 4. */
SHMRING__COLD int
shmring__take_name(struct shmring *r, const char *path, const char *temporary)
{
	struct shmring old;
	struct shmring__header header;
	uint32_t *mine = &r->header->retired;
	int error = shmring__inspect(&old, &header, path);
	if (error)
		return error;
	error = shmring__lock(old.map.fd, F_WRLCK, SHMRING__REPLACER)
			? -EBUSY
			: shmring__vacate(&old);
	if (!error)
		error = shmring__exchange(temporary, path);
	if (error) {
		if (old.header)
			shmring__retire(&old.header->retired, SHMRING__YIELDS,
					SHMRING__IN_FORCE);
	} else if (shmring__is_at(&old, temporary) && shmring__replaced(&old)) {
		shmring__retire(mine, SHMRING__PENDING, SHMRING__IN_FORCE);
		shmring__remove(&old, temporary);
	} else {
		shmring__retire(mine, SHMRING__PENDING, SHMRING__REPLACED);
		shmring__exchange(temporary, path);
		shmring__retire(&old.header->retired, SHMRING__YIELDS,
				SHMRING__IN_FORCE);
		error = -EBUSY;
	}
	shmring__unmap_old(&old);
	return error;
}

/* Give the name to r, which has none yet, instead of the ring that has it. */
SHMRING__COLD int
shmring__replace(struct shmring *r, const char *path)
{
	char temporary[PATH_MAX];
	uint32_t *mine = &r->header->retired;
	shmring__temporary(temporary, path);
	if (shmring__lock(r->map.fd, F_WRLCK, SHMRING__REPLACER))
		return -ENOLCK;
	SHMRING__STORE(mine, SHMRING__PENDING, SEQ_CST); /* F1: no name yet */
	int error = shmring__link(r->map.fd, temporary);
	if (error == -EEXIST) {
		error = shmring__remove_temporary(temporary, 1);
		if (!error || error == -ENOENT)
			error = shmring__link(r->map.fd, temporary);
		if (error == -EEXIST)
			error = -EBUSY;
	}
	if (!error) {
		error = shmring__take_name(r, path, temporary);
		if (error)
			shmring__remove(r, temporary);
	}
	/* Who has opened it by the temporary name shall not stay. */
	shmring__retire(mine, SHMRING__PENDING,
			error ? SHMRING__REPLACED : SHMRING__IN_FORCE);
	shmring__lock(r->map.fd, F_UNLCK, SHMRING__REPLACER);
	return error;
}

/* A file of our own, without a name until all is done: a half-made ring is
 * never seen, and dies with us. -EISDIR: such files are not supported there;
 * -ENOTDIR: there is no such directory. */
SHMRING__COLD int
shmring__open_unnamed(void)
{
	int fd = shmring__open_path(SHMRING_DIRECTORY,
				    SHMRING__O_TMPFILE | O_RDWR);
	if (fd == -EOPNOTSUPP)
		return -EISDIR; /* as kernels say that have none at all */
	return fd == -ENOENT ? -ENOTDIR : shmring__refused(fd);
}

/* With a segment in it, that nobody has attached to. Its descriptor. */
SHMRING__COLD int
shmring__make_unnamed(const struct shmring__header *h)
{
	int fd = shmring__open_unnamed();
	int error = fd < 0 ? fd : shmring__allocate(fd, h);
	if (error && fd >= 0)
		shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
	return error ? error : fd;
}

/* What a taken name means to a create. */
SHMRING__COLD int
shmring__refuse_name(int error, int replace)
{
	return error == -EPROTO || (error == -EBUSY && !replace) ? -EEXIST
								 : error;
}

/* Give the ring its name. */
SHMRING__COLD int
shmring__publish_name(struct shmring *r, const char *path, int replace)
{
	int error = -ENOENT;
	for (int tries = 0; tries < 64 && error == -ENOENT; tries++) {
		error = shmring__link(r->map.fd, path);
		if (error == -EEXIST)
			error = replace ? shmring__replace(r, path)
					: shmring__inspect_name(path);
	}
	return error;
}

SHMRING_SCOPE int
shmring_create(struct shmring *ring, const char *name,
	       const struct shmring_config *config)
{
	struct shmring__header header;
	char path[PATH_MAX];
	shmring__blank(ring);
	int error = shmring__path(path, name);
	if (!error)
		error = shmring__init_header(&header, config);
	if (!error && (header.flags & SHMRING_HUGETLB))
		error = -EDOM;
	if (error)
		return error;
	/* What is clear from the beginning needs no memory. */
	int replace = (header.flags & SHMRING_REPLACE) != 0;
	error = shmring__inspect_name(path);
	if (replace && (error == -EOWNERDEAD || error == -EEXIST))
		error = -ENOENT; /* if it can be: see shmring__take_name */
	if (error != -ENOENT)
		return shmring__refuse_name(error, replace);
	int fd = shmring__make_unnamed(&header);
	if (fd < 0)
		return fd;
	error = shmring__join(ring, fd,
			      config && config->roles ? config->roles
						      : SHMRING_BOTH);
	if (!error) {
		error = shmring__publish_name(ring, path, replace);
		if (error)
			shmring_close(ring);
		error = shmring__refuse_name(error, replace);
	}
	return error;
}

SHMRING_SCOPE int
shmring_create_memfd(struct shmring *ring, const struct shmring_config *config)
{
	struct shmring__header header;
	shmring__blank(ring);
	int error = shmring__init_header(&header, config);
	if (error)
		return error;
	long huge = SHMRING__MFD_HUGETLB | SHMRING__MFD_HUGE_2MB;
	int pass = shmring__above_stdio(
		shmring__os(SYS_memfd_create, (long)"shmring",
			    SHMRING__MFD_CLOEXEC | SHMRING__MFD_ALLOW_SEALING |
				    (header.flags & SHMRING_HUGETLB ? huge : 0),
			    0, 0, 0, 0));
	if (pass < 0)
		return shmring__refused(pass);
	error = shmring__allocate(pass, &header);
	if (error == -ENOSPC && (header.flags & SHMRING_HUGETLB))
		error = -ENOMEM; /* no huge pages are reserved */
	if (!error)
		error = (int)shmring__os(SYS_fcntl, pass, SHMRING__F_ADD_SEALS,
					 SHMRING__F_SEAL_SEAL |
						 SHMRING__F_SEAL_SHRINK |
						 SHMRING__F_SEAL_GROW,
					 0, 0, 0);
	/* The one we pass on must not carry our locks. */
	int fd = error ? error : shmring__reopen(pass, SHMRING_BOTH);
	error = fd < 0 ? fd
		       : shmring__join(ring, fd,
				       config && config->roles ? config->roles
							       : SHMRING_BOTH);
	if (error)
		shmring__os(SYS_close, pass, 0, 0, 0, 0, 0);
	else
		ring->map.pass = pass;
	return error;
}

SHMRING_SCOPE int
shmring_fd(const struct shmring *ring)
{
	if (!ring->canary)
		return -EBADF;
	return ring->map.pass >= 0 ? ring->map.pass : -ENOTSUP;
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

SHMRING_SCOPE int
shmring_open_fd(struct shmring *ring, int fd, unsigned roles)
{
	shmring__blank(ring);
	roles = shmring__roles(roles);
	if (!roles)
		return -EDOM;
	long seals =
		shmring__os(SYS_fcntl, fd, SHMRING__F_GET_SEALS, 0, 0, 0, 0);
	if (seals == -EBADF)
		return -EBADF;
	if (seals < 0 || !(seals & SHMRING__F_SEAL_SHRINK) ||
	    !(seals & SHMRING__F_SEAL_GROW))
		return -EPERM;
	fd = shmring__reopen(fd, roles);
	return fd < 0 ? fd : shmring__join(ring, fd, roles);
}

SHMRING_SCOPE int
shmring_dup(struct shmring *copy, const struct shmring *ring, unsigned roles)
{
	shmring__blank(copy);
	roles = shmring__roles(roles);
	if (!roles)
		return -EDOM;
	if (!ring->canary)
		return -EBADF;
	if (!shmring__fd_is_ours(ring))
		return -EBADF;
	int fd = shmring__reopen(ring->map.fd, roles);
	int error = fd < 0 ? fd : shmring__join(copy, fd, roles);
	/* A child has its parent's lock, so that the role seems to be taken. */
	return !ring->canary->alive && (error == -EBUSY || error == -EUSERS)
		       ? -ESTALE
		       : error;
}

/* Open what stands under a path, to attach. -EPROTO: a directory, socket or
 * device. -EBUSY: somebody has a lease on it. */
SHMRING__COLD int
shmring__open_ring(const char *path, unsigned roles)
{
	int fd = shmring__open_path(
		path,
		O_NOFOLLOW | (roles & SHMRING_OBSERVER ? O_RDONLY : O_RDWR));
	if (fd == -EISDIR || fd == -ENXIO || fd == -ENODEV)
		return -EPROTO;
	return fd == -EAGAIN ? -EBUSY : fd;
}

/* Attach to the ring in force: see REPLACING. -ESTALE: the name just passed on
 * to another. */
SHMRING__COLD int
shmring__open_once(struct shmring *r, const char *path, unsigned roles)
{
	char temporary[PATH_MAX];
	int fd = shmring__open_ring(path, roles);
	int error =
		fd < 0 ? fd : shmring__join(r, fd, roles | SHMRING__UNDECIDED);
	if (error != -EINPROGRESS && error != -ESTALE)
		return error;
	shmring__temporary(temporary, path);
	int other = shmring__open_ring(temporary, roles);
	int found =
		other < 0 ? other
			  : shmring__join(r, other, roles | SHMRING__UNDECIDED);
	if (found == -EINPROGRESS)
		shmring__os(SYS_close, other, 0, 0, 0, 0, 0);
	int none = found == -EINPROGRESS || found == -ESTALE ||
		   found == -ENOENT || found == -EPROTO;
	if (error == -EINPROGRESS && none)
		return shmring__join(r, fd, roles);
	if (error == -EINPROGRESS)
		shmring__os(SYS_close, fd, 0, 0, 0, 0, 0);
	return none ? error : found;
}

/* Waiting for a ring. */
struct shmring__open_wait {
	int64_t timeout, deadline, pause;
	int inotify, watch; /* -1: not there, or not yet asked for */
	int asked;
};

/* So long between two looks at most; so long until inotify is worth it. */
#define SHMRING__OPEN_PAUSE_NS 16000000

/* From now on we are told of names that come into the directory, where that
 * can be had. */
SHMRING__COLD void
shmring__watch_names(struct shmring__open_wait *wait)
{
	wait->asked = 1;
	wait->inotify = shmring__above_stdio(shmring__os(
		SYS_inotify_init1, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0));
	if (wait->inotify >= 0)
		wait->watch = (int)shmring__os(
			SYS_inotify_add_watch, wait->inotify,
			(long)SHMRING_DIRECTORY,
			SHMRING__IN_CREATE | SHMRING__IN_MOVED_TO, 0, 0, 0);
}

/* Until a name comes, or for so long. */
SHMRING__COLD void
shmring__await_name(const struct shmring__open_wait *wait, int64_t ns)
{
	char events[4096];
	struct timespec time = shmring__timespec(ns);
	struct pollfd named = { wait->inotify, POLLIN, 0 };
	if (shmring__os(SYS_ppoll, (long)&named, wait->watch >= 0, (long)&time,
			0, 0, 0) == 1)
		shmring__os(SYS_read, wait->inotify, (long)events,
			    sizeof(events), 0, 0, 0);
}

/* An attempt has failed: 0 when it is time for another, or what to return. A
 * role is given up without a sign that we could wait for: look again, more and
 * more seldom; so at first for a name, too. */
SHMRING__COLD int
shmring__retry_open(struct shmring__open_wait *wait, int error)
{
	int absent = error == -ENOENT || error == -ESTALE;
	if (!wait->timeout || (!absent && error != -EBUSY && error != -EUSERS))
		return error;
	int64_t now = SHMRING_NOW();
	if (wait->timeout > 0 && now >= wait->deadline)
		return absent ? -ETIMEDOUT : error;
	int64_t nap = wait->pause;
	if (wait->pause < SHMRING__OPEN_PAUSE_NS) {
		wait->pause *= 2;
	} else if (absent && !wait->asked) {
		shmring__watch_names(wait);
		return 0; /* it may have come before */
	} else if (absent && wait->watch >= 0) {
		nap = SHMRING_SLICE_NS;
	}
	if (wait->timeout > 0 && nap > wait->deadline - now)
		nap = wait->deadline - now;
	shmring__await_name(wait, nap);
	return 0;
}

SHMRING_SCOPE int
shmring_open(struct shmring *ring, const char *name, unsigned roles,
	     int64_t timeout_ns)
{
	char path[PATH_MAX];
	struct shmring__open_wait wait = { timeout_ns, 0, 125000, -1, -1, 0 };
	int result = 0;
	shmring__blank(ring);
	int error = shmring__path(path, name);
	roles = shmring__roles(roles);
	if (error || !roles)
		return error ? error : -EDOM;
	if (timeout_ns > 0)
		wait.deadline = shmring__after(SHMRING_NOW(), timeout_ns);
	do {
		error = -ESTALE;
		for (int tries = 0; tries < 16 && error == -ESTALE; tries++)
			error = shmring__open_once(ring, path, roles);
		if (error)
			result = shmring__retry_open(&wait, error);
	} while (error && !result);
	if (wait.watch >= 0)
		shmring__os(SYS_inotify_rm_watch, wait.inotify, wait.watch, 0,
			    0, 0, 0);
	if (!error && wait.inotify >= 0)
		ring->map.watch = wait.inotify + 1;
	else if (wait.inotify >= 0)
		shmring__os(SYS_close, wait.inotify, 0, 0, 0, 0, 0);
	return result;
}

SHMRING_SCOPE int
shmring_close(struct shmring *ring)
{
	if (ring->canary && ring->canary->alive) {
		/* R11 of who is about to leave the mapping and the handle */
		while (SHMRING__LOAD(&ring->wait.interrupts,
				     ACQUIRE) >= /* A11 */
		       SHMRING__INTERRUPTING)
			shmring__nap(10000);
		shmring__detach(ring);
	}
	if (ring->canary)
		shmring__unmap(ring);
	return 0;
}

SHMRING_SCOPE int
shmring_unlink(const char *name)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	int error = shmring__path(path, name);
	if (error)
		return error;
	error = (int)shmring__os(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0,
				 0);
	/* And what one left who was killed while it replaced. */
	shmring__temporary(temporary, path);
	shmring__remove_temporary(temporary, 0);
	return error;
}

/* ------------------------------------------------------------------------
 * PUSH, POP
 *
 * The way of one message; nothing else is on it while all goes well.
 *   SPSC push  shmring__push_packed: shmring__spsc_reserve (credit; when that
 *              is used up, A3, A2), copy, shmring__spsc_commit (0 to the next
 *              header, R1), shmring__notify (W1)
 *   SPSC pop   shmring__spsc_acquire (A1), shmring__take: copy,
 *              shmring__spsc_release (R2; now and then R3, W1)
 *   MPMC push  shmring__mpmc_try, plainly (A4, A8, R6, R9), copy,
 *              shmring__mpmc_commit (R4, A8), shmring__notify (W1)
 *   MPMC pop   shmring__mpmc_try, shmring__take: copy, shmring__mpmc_release
 *              (R4, A8, W1)
 * What is not plain goes apart and with all care: shmring__push_slowly,
 * shmring__mpmc_acquire. Where nothing is to be had, shmring__unavailable
 * counts it and now and then looks around: in MPMC shmring__watch_claim
 * (patience), shmring__mpmc_impatient, shmring__doubt; and for the dead.
 * ------------------------------------------------------------------------ */

/* A message that was just filled in word by word is copied word by word: its
 * words are still on their way to the cache, where a wider load would have to
 * wait for all stores before them (measured: 1.3 times the messages of 64
 * bytes). asm, or compilers make wide loads of it. */
#define SHMRING__COPY_WORD(at)                            \
	if (size > (at)) {                                \
		uint64_t word;                            \
		memcpy(&word, from + (at), sizeof(word)); \
		__asm__("" : "+r"(word));                 \
		memcpy(to + (at), &word, sizeof(word));   \
	}
SHMRING__HOT void
shmring__copy_words(char *to, const char *from, size_t size)
{
	SHMRING__COPY_WORD(0);
	SHMRING__COPY_WORD(8);
	SHMRING__COPY_WORD(16);
	SHMRING__COPY_WORD(24);
	SHMRING__COPY_WORD(32);
	SHMRING__COPY_WORD(40);
	SHMRING__COPY_WORD(48);
	SHMRING__COPY_WORD(56);
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
	if (size == 8) {
		memcpy(t, f, 8);
	} else if (size == 64) {
		shmring__copy_words(t, f, 64);
	} else if (size > 64) {
		memcpy(t, f, size);
	} else if (size > 16) { /* two halves that may overlap */
		if (size > 32) {
			memcpy(t, f, 32);
			memcpy(t + size - 32, f + size - 32, 32);
		} else {
			memcpy(t, f, 16);
			memcpy(t + size - 16, f + size - 16, 16);
		}
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

/* Nothing is to be had at this position. 1: it is not the one of the last time;
 * that is counted, and how many messages moved in between. */
SHMRING__COLD int
shmring__note_idle(struct shmring *r, int side, uint64_t position)
{
	struct shmring__idle *idle = &r->wait.idle[side];
	struct shmring__line *mine = r->line[side];
	int reads = side == SHMRING__READ;
	if (position == idle->position && idle->calls)
		return 0;
	uint64_t *count = reads ? &mine->popped : &mine->pushed;
	uint64_t done = SHMRING__LOAD(count, RELAXED); /* own */
	idle->position = position;
	idle->claimed = -1; /* not looked at yet */
	idle->since = 0;
	idle->calls = 0;
	idle->streak = done - idle->done;
	idle->done = done;
	if (reads == (r->mode != SHMRING_MPMC))
		r->fetch_from = position + (reads ? r->geometry.capacity
						  : r->geometry.slots) /
						   SHMRING__FETCH_REST;
	shmring__count(reads ? &mine->empty : &mine->full, 1);
	return 1;
}

/* Empty: the writers shall know of all the space. */
SHMRING__COLD void
shmring__tell_all_space(struct shmring *r, uint64_t head)
{
	if (r->mode != SHMRING_MPMC && r->spsc.published != head)
		shmring__spsc_publish_taken(r, head);
	else if (SHMRING__LOAD(&r->notice->space, SEQ_CST) & SHMRING__NOTIFY)
		shmring__notify_space(r); /* W1 */
}

/* Whether somebody has claimed the position that we wait for and not finished
 * (MPMC): its writer, or the reader of the turn before. Without a claim the
 * ring is just empty, or full. */
SHMRING__COLD int
shmring__claimed(const struct shmring *r, int side, uint64_t position)
{
	/* A9 */
	uint64_t other = SHMRING__LOAD(
		side == SHMRING__READ ? r->tail : r->head, ACQUIRE);
	if (side == SHMRING__WRITE)
		position -= r->mask + 1;
	return shmring__distance(other, position) > 0;
}

/* Who waits for room loses so little by a reader that takes its time, as long
 * as there is a message for the others, that it has more patience then. */
#ifndef SHMRING__MORE_PATIENCE
#define SHMRING__MORE_PATIENCE 32 /* times as much */
#endif

/* When to doubt who has claimed our position. Patience begins when this very
 * claim is seen, however long we waited before there was one. */
SHMRING__COLD int64_t
shmring__patient_until(const struct shmring *r, int side)
{
	const struct shmring__idle *idle = &r->wait.idle[side];
	int64_t patience = SHMRING_PATIENCE_NS;
	if (side == SHMRING__WRITE && idle->claimed > 0 &&
	    patience <= INT64_MAX / SHMRING__MORE_PATIENCE) {
		/* hint */
		uint64_t head = SHMRING__LOAD(r->head, RELAXED);
		uint64_t a =
			SHMRING__LOAD(shmring__phase_word(r, head), RELAXED);
		if (shmring__phase_in(r, a) == shmring__phase(r, head, 1))
			patience *= SHMRING__MORE_PATIENCE;
	}
	return shmring__after(idle->since, patience);
}

/* Whoever is waited for takes the line of the cursor that tells of its claim
 * from who looks at it: so who polls begins to look only after a while, unless
 * it is about to sleep. */
#ifndef SHMRING__UNWATCHED_NS
#define SHMRING__UNWATCHED_NS (SHMRING_PATIENCE_NS / 16)
#endif

SHMRING__COLD void
shmring__watch_claim(struct shmring *r, int side, int64_t now, int sleeps)
{
	struct shmring__idle *idle = &r->wait.idle[side];
	if (idle->claimed < 0) {
		idle->since = idle->since ? idle->since : now;
		if (!sleeps && now - idle->since < SHMRING__UNWATCHED_NS)
			return;
	}
	int claimed = shmring__claimed(r, side, idle->position);
	if (claimed != idle->claimed) {
		idle->claimed = claimed;
		idle->since = now;
	}
	idle->doubted = (claimed || side == SHMRING__WRITE) &&
			now >= shmring__patient_until(r, side);
	if (idle->doubted)
		shmring__mpmc_impatient(r, side);
}

/* Whether it is for us to look for the dead: one who waits on a ring does, once
 * a slice. The time of the last look is everybody's, so believe no future: it
 * may be of another time namespace, or a lie. */
SHMRING__COLD int
shmring__my_turn(struct shmring *r, int64_t now)
{
	if (now - r->wait.looked < SHMRING_SLICE_NS)
		return 0;
	/* confirmed */
	uint64_t last = SHMRING__LOAD(&r->header->looked, RELAXED);
	uint64_t ago = (uint64_t)now - last;
	r->wait.looked = now;
	if (ago < (uint64_t)SHMRING_SLICE_NS) {
		r->wait.looked = (int64_t)last; /* and is due when it is old */
		return 0;
	}
	/* hint: a look too many, or late, harms nobody */
	return shmring__cas(&r->header->looked, last, (uint64_t)now);
}

/* The clock at calls 1, 2, 4, 8, 16, 32 of every 64. */
SHMRING__COLD int
shmring__is_time(struct shmring *r, struct shmring__idle *idle)
{
	idle->calls++;
	return r->wait.look_now || !(idle->calls & (idle->calls - 1) & 63);
}

/* Look after those who may hold us up, the stopped and the dead. */
SHMRING__COLD void
shmring__look_around(struct shmring *r, int side, int waits_for_claim)
{
	int64_t now = SHMRING_NOW();
	int sleeps = r->wait.look_now;
	r->wait.look_now = 0;
	if (waits_for_claim && r->mode == SHMRING_MPMC)
		shmring__watch_claim(r, side, now, sleeps);
	if (waits_for_claim && r->broadcast.asks && side == SHMRING__WRITE)
		shmring__demote(r, now);
	if (shmring__my_turn(r, now))
		shmring__recover_all(r);
}

/* Nothing to be had at the moment. Is it for good (-EPIPE)? Now and then,
 * look after those who may hold us up. */
SHMRING__COLD int
shmring__unavailable(struct shmring *r, int side)
{
	int reads = side == SHMRING__READ;
	/* own in SPSC, in MPMC a hint */
	uint64_t position = SHMRING__LOAD(reads ? r->head : r->tail, RELAXED);
	if (shmring__note_idle(r, side, position) && reads)
		shmring__tell_all_space(r, position);
	if (shmring__is_time(r, &r->wait.idle[side]))
		shmring__look_around(r, side, 1);
	return reads && (SHMRING__LOAD(&r->notice->attn, ACQUIRE) & /* A8 */
			 SHMRING__NO_PRODUCER)
		       ? -EPIPE
		       : -EAGAIN;
}

/* The same, for who wants room: refused is who does not wait for it. */
SHMRING__COLD int
shmring__no_room(struct shmring *r, int lazy)
{
	if (!lazy && !r->wait.goes_on)
		shmring__count(&r->line[SHMRING__WRITE]->refused, 1);
	return shmring__unavailable(r, SHMRING__WRITE);
}

/* What a metered ring knows of a message that is about to be shown: when, and
 * how full the ring will be. */
SHMRING__COLD void
shmring__meter(struct shmring *r, unsigned char *data, uint64_t next)
{
	uint64_t *most = &r->line[SHMRING__WRITE]->high_water;
	uint64_t *stamp = (uint64_t *)(void *)(data - 8 - SHMRING__STAMP);
	uint64_t from = next;
	SHMRING__STORE(stamp, (uint64_t)SHMRING_NOW(),
		       RELAXED); /* carried by R1, R4 */
	if (r->mode != SHMRING_BROADCAST)
		from = SHMRING__LOAD(r->head, RELAXED); /* hint */
	else if (r->broadcast.asks)
		from = shmring__slowest(r, next, 0);
	if (shmring__distance(next, from) >
	    (int64_t)SHMRING__LOAD(most, RELAXED)) /* own */
		SHMRING__STORE(most, next - from, RELAXED); /* own */
}

/* Room for a message of size bytes, in the ring. Here and below: a constant
 * path leaves its code only. Lazy: see shmring__spsc_refresh; in MPMC it only
 * says that the caller waits, and is not refused. */
SHMRING__HOT int
shmring__reserve(struct shmring *r, const struct shmring__view *v, int path,
		 size_t size, struct shmring__claim *claim, int lazy)
{
	int packed = SHMRING__IS_PACKED(path);
	uint64_t limit = packed ? r->canary->limit[SHMRING__WRITE]
				: shmring__limit(r, SHMRING__WRITE);
	if (SHMRING__RARELY(size >= limit))
		return shmring__refusal(r, SHMRING__WRITE);
	if (SHMRING__RARELY(SHMRING__LOAD(&v->notice->attn, ACQUIRE) & /* A8 */
			    (packed ? r->spsc.gone : SHMRING__NO_CONSUMER)))
		return -EPIPE;
	int error = packed ? shmring__spsc_reserve(
				     r, v, /* own */
				     SHMRING__LOAD(v->cursor, RELAXED), size,
				     claim, lazy)
			   : shmring__mpmc_claim(r, SHMRING__WRITE, 0, claim);
	return SHMRING__RARELY(error == -EAGAIN) ? shmring__no_room(r, lazy)
						 : error;
}

/* The message is complete. 1: its position was void, it is still ours. */
SHMRING__HOT int
shmring__commit(struct shmring *r, const struct shmring__view *v, int path,
		const struct shmring__claim *claim, size_t size)
{
	if (SHMRING__IS_PACKED(path)) {
		uint64_t next = shmring__spsc_fill(
			r, v, claim, shmring__record_size(v, size));
		if (v->meters)
			shmring__meter(r, claim->data, next);
		shmring__spsc_commit(
			v, (uint64_t *)(void *)(claim->data - 8),
			shmring__header_of(shmring__stored(v, size), 0), next,
			1);
		return 0;
	}
	if (v->meters)
		shmring__meter(r, claim->data, claim->position + 1);
	if (SHMRING__RARELY(shmring__mpmc_commit(r, v, claim, size,
						 path == SHMRING__SLOTS)))
		return 1;
	r->mpmc.last = claim->position + 1;
	shmring__count(&v->line->pushed, 1);
	shmring__count(&v->line->pushed_bytes, size); /* SPSC: tail tells */
	return 0;
}

/* The next message, ours alone until released. */
SHMRING__HOT int
shmring__acquire_once(struct shmring *r, const struct shmring__view *v,
		      int path, struct shmring__claim *claim, size_t limit)
{
	if (SHMRING__IS_PACKED(path)) /* own */
		return shmring__spsc_acquire(
			r, v, SHMRING__LOAD(v->cursor, RELAXED), claim, limit);
	if (path == SHMRING__SLOTS &&
	    !SHMRING__RARELY(
		    shmring__mpmc_try(r, v, SHMRING__READ, limit, claim, 1))) {
		r->redelivered = 0;
		return 0;
	}
	/* A claim of its own keeps *claim in registers. */
	struct shmring__claim apart = SHMRING__NO_CLAIM;
	int error = shmring__mpmc_acquire(r, &apart, limit);
	shmring__set_claim(claim, &apart);
	return error;
}

SHMRING__COLD int
shmring__acquire_or_end(struct shmring *r, struct shmring__claim *claim,
			size_t limit)
{
	int error = shmring__unavailable(r, SHMRING__READ);
	if (error != -EPIPE)
		return error;
	/* The last producer may have pushed between our look and its end. And a
	 * message may be in hands yet: it is not the end before it was let go;
	 * or recovered, once we have looked after the dead. */
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	int again = shmring__acquire_once(r, &v, (int)r->path, claim, limit);
	if (again != -EAGAIN || r->mode != SHMRING_MPMC)
		return again != -EAGAIN ? again : error;
	/* Nor before all positions are passed: a call passes so many only.
	 * A9 */
	return SHMRING__LOAD(r->head, ACQUIRE) !=
				       SHMRING__LOAD(r->tail, ACQUIRE) ||
			       shmring__in_hands(r)
		       ? -EAGAIN
		       : error;
}

/* The next message; or, if there is none, whether there ever will be. */
SHMRING__HOT int
shmring__acquire(struct shmring *r, const struct shmring__view *v, int path,
		 struct shmring__claim *claim, size_t limit)
{
	int error = shmring__acquire_once(r, v, path, claim, limit);
	if (SHMRING__RARELY(error == -EAGAIN)) {
		struct shmring__claim apart = SHMRING__NO_CLAIM;
		error = shmring__acquire_or_end(r, &apart, limit);
		shmring__set_claim(claim, &apart);
	}
	return error;
}

/* The message has been read: its place is free. */
SHMRING__HOT void
shmring__release(struct shmring *r, const struct shmring__view *v, int path,
		 const struct shmring__claim *claim)
{
	if (SHMRING__IS_PACKED(path)) {
		shmring__spsc_release(r, v, shmring__spsc_next(r, v, claim), 1);
		return;
	}
	shmring__mpmc_release(r, v, claim, path == SHMRING__SLOTS);
	shmring__count(&v->line->popped, 1);
	shmring__count(&v->line->popped_bytes, claim->size);
}

/* SPSC, BROADCAST: whatever has room is committed at once. */
SHMRING__HOT int
shmring__push_packed(struct shmring *r, const struct shmring__view *v, int path,
		     const void *data, size_t size, int lazy)
{
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	int error = shmring__reserve(r, v, path, size, &claim, lazy);
	if (SHMRING__RARELY(error))
		return error;
	SHMRING_COPY(shmring__place(v, claim.data, size), data, size);
	shmring__commit(r, v, path, &claim, size);
	return 0;
}

/* With all care, for whatever handle has no path of its own. */
SHMRING__APART int
shmring__push_slowly(struct shmring *r, const void *data, size_t size, int lazy)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__WRITE);
	if (r->path == SHMRING__PLACED)
		return shmring__push_packed(r, &v, SHMRING__PLACED, data, size,
					    lazy);
	for (r->mpmc.tries = SHMRING__TRIES; r->mpmc.tries > 0;
	     r->mpmc.tries--) {
		struct shmring__claim claim = SHMRING__NO_CLAIM;
		int error = shmring__reserve(r, &v, SHMRING__SLOWLY, size,
					     &claim, lazy);
		if (error)
			return error;
		SHMRING_COPY(shmring__place(&v, claim.data, size), data, size);
		if (!shmring__commit(r, &v, SHMRING__SLOWLY, &claim, size))
			return 0;
		/* we were too slow: the next position */
		shmring__hand_back(r, claim.position);
	}
	return -EAGAIN;
}

/* Push without waking anybody yet. */
SHMRING__HOT int
shmring__push_quietly(struct shmring *r, const struct shmring__view *v,
		      const void *data, size_t size, int lazy)
{
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	if (r->path == SHMRING__PACKED)
		return shmring__push_packed(r, v, SHMRING__PACKED, data, size,
					    lazy);
	if (r->path == SHMRING__SLOTS &&
	    size < r->canary->limit[SHMRING__WRITE] &&
	    !shmring__mpmc_try(r, v, SHMRING__WRITE, 0, &claim, 1)) {
		SHMRING_COPY(claim.data, data, size);
		if (!shmring__commit(r, v, SHMRING__SLOTS, &claim, size))
			return 0;
		shmring__hand_back(r, claim.position);
	}
	return shmring__push_slowly(r, data, size, lazy);
}

/* Copy the message out and release it; its size may be a constant, which makes
 * the copy, and the step to the next record, one of constants. */
SHMRING__HOT ssize_t
shmring__take(struct shmring *r, const struct shmring__view *v, int path,
	      struct shmring__claim *claim, void *buffer, size_t size)
{
	claim->size = size;
	SHMRING_COPY(buffer, shmring__place(v, claim->data, size), size);
	if (SHMRING__IS_PACKED(path) && SHMRING__RARELY(r->broadcast.checks) &&
	    shmring__overwritten(r, claim->position))
		return shmring__lapped(r);
	shmring__release(r, v, path, claim);
	return (ssize_t)size;
}

/* Whether the message at head is none of a run, or may not be taken. */
SHMRING__HOT int
shmring__not_of_run(const struct shmring *r, uint64_t head, uint64_t header)
{
	uint64_t size = shmring__stored_in(header),
		 more = shmring__more(header);
	return SHMRING__RARELY(size >= r->canary->limit[SHMRING__READ]) ||
	       SHMRING__RARELY(size > SHMRING__RUN_LENGTH) ||
	       SHMRING__RARELY(more >= SHMRING__RUN) ||
	       SHMRING__RARELY(shmring__nth(head) > more);
}

/* What popped_bytes has to tell of so many messages of this size, between these
 * positions: of a run, that they have one header; of another, nothing. */
SHMRING__HOT uint64_t
shmring__untold(uint64_t size, uint64_t count, uint64_t from, uint64_t next)
{
	uint64_t bytes = count * (shmring__run_step(size) + 8);
	return shmring__nth(next) ? bytes
				  : bytes - (next - (from & ~UINT64_C(7)));
}

/* So many of a run are read from head on: where the next message stands. */
SHMRING__HOT uint64_t
shmring__behind_run(const struct shmring *r, const struct shmring__view *v,
		    uint64_t head, uint64_t header, uint64_t count)
{
	uint64_t nth = shmring__nth(head), next = head + count;
	if (nth + count > shmring__more(header)) {
		uint64_t record = shmring__next_record(v, 0, header);
		next = head - nth + record;
		shmring__spsc_fetch(r, v, next, record, 0);
	}
	shmring__count(
		&v->line->popped_bytes,
		shmring__untold(shmring__stored_in(header), count, head, next));
	return next;
}

/* Pop one of a run. */
SHMRING__APART ssize_t
shmring__pop_of_run(struct shmring *r, void *buffer, size_t capacity)
{
	struct shmring__view v =
		shmring__view_of(r, SHMRING__PACKED, SHMRING__READ);
	uint64_t head = SHMRING__LOAD(v.cursor, RELAXED); /* own */
	uint64_t header =
		SHMRING__LOAD(shmring__header_in(&v, head), ACQUIRE); /* A1 */
	uint64_t size = shmring__stored_in(header);
	if (shmring__not_of_run(r, head, header) ||
	    SHMRING__RARELY(size > capacity))
		return shmring__spsc_unready(r, head, header);
	SHMRING_COPY(buffer, shmring__in_run(&v, head, size), size);
	shmring__spsc_release(r, &v,
			      shmring__behind_run(r, &v, head, header, 1), 1);
	return (ssize_t)size;
}

SHMRING__HOT ssize_t
shmring__pop_in(struct shmring *r, int path, void *buffer, size_t capacity)
{
	struct shmring__view v = shmring__view_of(r, path, SHMRING__READ);
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	int packed = SHMRING__IS_PACKED(path);
	/* MPMC must know the capacity before it claims, for it cannot put a
	 * message back; in a packed ring nothing has moved yet. */
	int error = shmring__acquire(r, &v, path, &claim,
				     packed ? SIZE_MAX : capacity);
	if (SHMRING__RARELY(error))
		return packed && error == SHMRING__IN_RUN
			       ? shmring__pop_of_run(r, buffer, capacity)
			       : error;
	if (__builtin_constant_p(capacity) && capacity &&
	    claim.size == capacity)
		return shmring__take(r, &v, path, &claim, buffer, capacity);
	if (packed && claim.size > capacity)
		return shmring__spsc_unready(
			r, claim.position, shmring__stored(&v, claim.size) + 1);
	if (claim.size > capacity) /* cannot be; the compiler shall know */
		__builtin_unreachable();
	return shmring__take(r, &v, path, &claim, buffer, claim.size);
}

/* For who is not on one of the hot paths: the packed engines have places, MPMC
 * all its care. */
static inline int
shmring__careful_path(const struct shmring *r)
{
	return r->path == SHMRING__PLACED ? SHMRING__PLACED : SHMRING__SLOWLY;
}

SHMRING__APART ssize_t
shmring__pop_slowly(struct shmring *r, void *buffer, size_t capacity)
{
	return shmring__pop_in(r, shmring__careful_path(r), buffer, capacity);
}

SHMRING__HOT int
shmring__push(struct shmring *r, const void *data, size_t size, int lazy)
{
	struct shmring__view v =
		shmring__view_of(r, SHMRING__PACKED, SHMRING__WRITE);
	int error = shmring__push_quietly(r, &v, data, size, lazy);
	if (!SHMRING__RARELY(error))
		shmring__notify(r, &v);
	return error;
}

/* Messages: with an iovec each; or an array, of one size one behind the other.
 */
struct shmring__batch {
	int is_array; /* a constant, where it matters */
	struct iovec *each;
	unsigned char *array;
	size_t size, count;
};

SHMRING__HOT struct shmring__batch
shmring__batch_of(const struct iovec *each, size_t count)
{
	/* Only pop_n writes to them, and to those that it was given to. */
	struct shmring__batch b = { 0, (struct iovec *)(uintptr_t)each, NULL, 0,
				    count };
	return b;
}

SHMRING__HOT struct shmring__batch
shmring__array_of(const void *array, size_t size, size_t count)
{
	struct shmring__batch b = { 1, NULL, (unsigned char *)(uintptr_t)array,
				    size, count };
	return b;
}

/* Field by field: see set_claim. */
SHMRING__HOT void
shmring__set_batch(struct shmring__batch *to, const struct shmring__batch *from)
{
	to->is_array = from->is_array;
	to->each = from->each;
	to->array = from->array;
	to->size = from->size;
	to->count = from->count;
}

SHMRING__HOT void
shmring__buffer(const struct shmring__batch *b, size_t i, struct iovec *one)
{
	if (b->is_array) { /* of nothing, it may be at NULL */
		one->iov_base = (void *)((uintptr_t)b->array + i * b->size);
		one->iov_len = b->size;
	} else {
		one->iov_base = b->each[i].iov_base;
		one->iov_len = b->each[i].iov_len;
	}
}

/* Message i came, and is so long. */
SHMRING__HOT void
shmring__note_length(const struct shmring__batch *b, size_t i, size_t length)
{
	if (!b->is_array)
		b->each[i].iov_len = length;
	else if (SHMRING__RARELY(length < b->size))
		memset(b->array + i * b->size + length, 0, b->size - length);
}

/* How many of the messages behind n are to share its header, in so much room:
 * of an array, whose receiver will take it so. */
SHMRING__HOT uint64_t
shmring__run_from(const struct shmring__batch *b, size_t n, uint64_t room)
{
	uint64_t step = shmring__run_step(b->size);
	size_t more = b->count - n - 1;
	if (!b->is_array || b->size > SHMRING__RUN_LENGTH)
		return 0;
	if (more >= SHMRING__RUN)
		more = SHMRING__RUN - 1;
	while (more && SHMRING__RARELY((more + 1) * step + 16 > room))
		more--;
	return more;
}

/* How many messages of this size, of `left`, go into buffer n and those behind
 * it. */
SHMRING__HOT size_t
shmring__run_to(const struct shmring__batch *b, size_t n, size_t size,
		size_t left)
{
	size_t most = b->count - n < left ? b->count - n : left, count = 0;
	if (b->is_array && size == b->size)
		return most;
	for (; count < most; count++) {
		struct iovec one;
		shmring__buffer(b, n + count, &one);
		if (one.iov_len < size)
			break;
		shmring__note_length(b, n + count, size);
	}
	return count;
}

/* So many of a run, from message n on, to the ring or from it. */
SHMRING__HOT void
shmring__copy_run(const struct shmring__batch *b, size_t n, size_t count,
		  unsigned char *at, size_t size, int to_ring)
{
	uint64_t step = shmring__run_step(size);
	if (b->is_array && step == size && size == b->size) {
		size *= count; /* they stand as in the array */
		count = 1;
	}
	do {
		struct iovec mine;
		shmring__buffer(b, n++, &mine);
		void *to = to_ring ? at : mine.iov_base;
		const void *from = to_ring ? mine.iov_base : at;
		SHMRING_COPY(to, from, size);
		at += step;
	} while (--count);
}

/* Room for message n and those behind it that share its header, or fewer. */
SHMRING__HOT int
shmring__reserve_run(struct shmring *r, const struct shmring__view *v,
		     const struct shmring__batch *b, size_t n, uint64_t tail,
		     uint64_t *more, struct shmring__claim *claim, int lazy)
{
	struct iovec one;
	shmring__buffer(b, n, &one);
	uint64_t step = shmring__run_step(one.iov_len);
	int error = shmring__spsc_reserve(
		r, v, tail, *more * step + one.iov_len, claim, lazy);
	if (!SHMRING__RARELY(error) || !*more)
		return error;
	*more = shmring__run_from(b, n, r->spsc.credit - tail);
	return shmring__spsc_reserve(r, v, tail, *more * step + one.iov_len,
				     claim, lazy);
}

/* SPSC: as many messages as go in easily. They are there all at once, for the
 * first header comes last; tail and the counter move once for all. */
SHMRING__HOT size_t
shmring__spsc_push_n(struct shmring *r, const struct shmring__view *v, int path,
		     const struct shmring__batch *b, int lazy)
{
	uint64_t tail = SHMRING__LOAD(v->cursor, RELAXED); /* own */
	uint64_t limit = r->canary->limit[SHMRING__WRITE];
	uint64_t *first = NULL, header = 0, saved = 0;
	size_t n = 0;
	if (SHMRING__RARELY(SHMRING__LOAD(&v->notice->attn, ACQUIRE) & /* A8 */
			    SHMRING__NO_CONSUMER))
		return 0;
	while (n < b->count) {
		struct shmring__claim claim = SHMRING__NO_CLAIM;
		struct iovec one;
		shmring__buffer(b, n, &one);
		size_t size = one.iov_len;
		uint64_t more = 0;
		if (SHMRING__RARELY(size >= limit))
			break;
		if (path == SHMRING__PACKED)
			more = shmring__run_from(b, n, UINT64_MAX);
		/* not lazy: as many as fit, once one does */
		if (SHMRING__RARELY(shmring__reserve_run(
			    r, v, b, n, tail, &more, &claim, lazy && !n)))
			break;
		if (more)
			shmring__copy_run(b, n, more + 1, claim.data, size, 1);
		else
			SHMRING_COPY(shmring__place(v, claim.data, size),
				     one.iov_base, size);
		uint64_t word =
			shmring__header_of(shmring__stored(v, size), more);
		tail = shmring__spsc_fill(
			r, v, &claim,
			more ? shmring__next_record(v, 0, word)
			     : shmring__record_size(v, size));
		if (v->meters)
			shmring__meter(r, claim.data, tail);
		uint64_t *place = (uint64_t *)(void *)(claim.data - 8);
		if (n) {
			/* carried by R1 of the first */
			SHMRING__STORE(place, word, RELAXED);
		} else {
			first = place;
			header = word;
		}
		saved += 8 * more;
		n += more + 1;
	}
	if (n)
		shmring__spsc_commit(v, first, header, tail, n);
	if (saved)
		shmring__count(&v->line->pushed_bytes, saved);
	return n;
}

SHMRING__APART size_t
shmring__push_n_slowly(struct shmring *r, const struct shmring__batch *b,
		       int lazy)
{
	struct shmring__view v = shmring__any_view(r, SHMRING__WRITE);
	return shmring__spsc_push_n(r, &v, SHMRING__PLACED, b, lazy);
}

/* Of the run at *head, as many as go into buffer n and those behind it; *head
 * moves. */
SHMRING__HOT size_t
shmring__take_run(struct shmring *r, const struct shmring__view *v,
		  uint64_t *head, const struct shmring__batch *b, size_t n)
{
	uint64_t header =
		SHMRING__LOAD(shmring__header_in(v, *head), ACQUIRE); /* A1 */
	uint64_t size = shmring__stored_in(header);
	if (shmring__not_of_run(r, *head, header))
		return 0;
	size_t count = shmring__run_to(
		b, n, size, shmring__more(header) + 1 - shmring__nth(*head));
	if (!count)
		return 0;
	shmring__copy_run(b, n, count, shmring__in_run(v, *head, size), size,
			  0);
	*head = shmring__behind_run(r, v, *head, header, count);
	return count;
}

/* SPSC: as many messages as are there, up to a redelivered one. Head moves
 * once for all: until then a successor would get them again, marked, of which
 * `hands` tells it. */
SHMRING__HOT size_t
shmring__spsc_pop_n(struct shmring *r, int path, struct shmring__batch *b)
{
	struct shmring__view v = shmring__view_of(r, path, SHMRING__READ);
	uint64_t head = SHMRING__LOAD(v.cursor, RELAXED); /* own */
	size_t n = 0;
	if (SHMRING__RARELY(b->count != r->spsc.hands) && b->count &&
	    r->canary->limit[SHMRING__READ])
		shmring__spsc_hold(r, b->count);
	/* Suspects come alone, so that the mark is the last one's. */
	if (SHMRING__RARELY(shmring__distance(head, r->spsc.doubtful) < 0))
		b->count = b->count != 0;
	while (n < b->count) {
		struct shmring__claim claim = SHMRING__NO_CLAIM;
		struct iovec one;
		shmring__buffer(b, n, &one);
		int error =
			shmring__spsc_acquire(r, &v, head, &claim, one.iov_len);
		if (path == SHMRING__PACKED && error == SHMRING__IN_RUN) {
			size_t taken = shmring__take_run(r, &v, &head, b, n);
			n += taken;
			if (taken)
				continue;
		}
		if (error)
			break;
		SHMRING_COPY(one.iov_base,
			     shmring__place(&v, claim.data, claim.size),
			     claim.size);
		shmring__note_length(b, n, claim.size);
		head = shmring__spsc_next(r, &v, &claim);
		n++;
	}
	if (n)
		shmring__spsc_release(r, &v, head, n);
	return n;
}

SHMRING__APART size_t
shmring__pop_n_slowly(struct shmring *r, struct shmring__batch *b)
{
	return shmring__spsc_pop_n(r, SHMRING__PLACED, b);
}

SHMRING__HOT ssize_t
shmring__push_batch(struct shmring *r, const struct shmring__batch *all,
		    int lazy)
{
	struct shmring__batch b, same; /* ours stays in registers */
	struct shmring__view v =
		shmring__view_of(r, SHMRING__PACKED, SHMRING__WRITE);
	int error = 0, spent = 0;
	size_t n = 0;
	shmring__set_batch(&b, all);
	if (shmring__is_spsc(r) && r->path == SHMRING__PACKED) {
		n = shmring__spsc_push_n(r, &v, SHMRING__PACKED, &b, lazy);
	} else if (shmring__is_spsc(r)) {
		shmring__set_batch(&same, all);
		/* Forget whose they are: compilers warn of branches not taken. */
		__asm__("" : "+r"(same.each), "+r"(same.array));
		n = shmring__push_n_slowly(r, &same, lazy);
	}
	/* A batch is one call, and has the tries of one; twice at most. */
	while (n < b.count && !error && spent < SHMRING__TRIES) {
		struct iovec one;
		shmring__buffer(&b, n, &one);
		r->mpmc.tries = SHMRING__TRIES;
		error = shmring__push_quietly(r, &v, one.iov_base, one.iov_len,
					      lazy && !n);
		spent += SHMRING__TRIES - r->mpmc.tries;
		n += !error;
	}
	if (n)
		shmring__notify(r, &v);
	return n ? (ssize_t)n : error;
}

SHMRING__HOT_SCOPE int
shmring_push(struct shmring *ring, const void *data, size_t size)
{
	return shmring__push(ring, data, size, 0);
}

SHMRING__HOT_SCOPE ssize_t
shmring_pop(struct shmring *ring, void *buffer, size_t capacity)
{
	if (ring->path == SHMRING__PACKED)
		return shmring__pop_in(ring, SHMRING__PACKED, buffer, capacity);
	if (ring->path == SHMRING__SLOTS)
		return shmring__pop_in(ring, SHMRING__SLOTS, buffer, capacity);
	return shmring__pop_slowly(ring, buffer, capacity);
}

SHMRING__HOT ssize_t
shmring__pop_batch(struct shmring *r, const struct shmring__batch *all)
{
	struct shmring__batch b, same; /* ours stays in registers */
	ssize_t got = 0;
	int spsc = shmring__is_spsc(r), spent = 0;
	size_t n = 0;
	shmring__set_batch(&b, all);
	if (spsc && r->path == SHMRING__PACKED) {
		n = shmring__spsc_pop_n(r, SHMRING__PACKED, &b);
	} else if (spsc) {
		shmring__set_batch(&same, all);
		n = shmring__pop_n_slowly(r, &same);
	}
	if (n)
		return (ssize_t)n;
	/* SPSC: there was none, or it is refused. One that has come since, but
	 * not more: head would move for each. */
	if (spsc)
		b.count = b.count != 0;
	if (!r->canary)
		return -EBADF;
	/* see push_batch */
	for (; n < b.count && spent < SHMRING__TRIES; n++) {
		struct iovec one;
		shmring__buffer(&b, n, &one);
		uint64_t head = 0, lost = r->broadcast.lost;
		if (r->mode == SHMRING_BROADCAST)
			head = SHMRING__LOAD(r->head, RELAXED); /* own */
		r->mpmc.tries = SHMRING__TRIES;
		got = shmring_pop(r, one.iov_base, one.iov_len);
		spent += SHMRING__TRIES - r->mpmc.tries;
		if (SHMRING__RARELY(got == -ENOBUFS && n))
			shmring__tell_later(r, head, r->broadcast.lost - lost);
		if (got < 0)
			break;
		shmring__note_length(&b, n, (size_t)got);
		if (SHMRING__RARELY(shmring_redelivered(r))) {
			n++; /* so that the mark is the last one's */
			break;
		}
	}
	return n ? (ssize_t)n : got;
}

SHMRING_SCOPE ssize_t
shmring_push_n(struct shmring *ring, const struct iovec *messages, size_t count)
{
	struct shmring__batch b = shmring__batch_of(messages, count);
	return shmring__push_batch(ring, &b, 0);
}

SHMRING_SCOPE ssize_t
shmring_pop_n(struct shmring *ring, struct iovec *messages, size_t count)
{
	struct shmring__batch b = shmring__batch_of(messages, count);
	return shmring__pop_batch(ring, &b);
}

SHMRING_SCOPE ssize_t
shmring_push_array(struct shmring *ring, const void *messages, size_t size,
		   size_t count)
{
	struct shmring__batch b = shmring__array_of(messages, size, count);
	return shmring__push_batch(ring, &b, 0);
}

SHMRING_SCOPE ssize_t
shmring_pop_array(struct shmring *ring, void *messages, size_t size,
		  size_t count)
{
	struct shmring__batch b = shmring__array_of(messages, size, count);
	return shmring__pop_batch(ring, &b);
}

SHMRING_SCOPE int
shmring_redelivered(const struct shmring *ring)
{
	if (!shmring__is_spsc(ring))
		return ring->redelivered;
	/* The last message ends at head once popped, begins there while
	 * peeked. */
	uint64_t head = SHMRING__LOAD(ring->head, RELAXED); /* own */
	int popped = !ring->held[SHMRING__READ].hold;
	return shmring__distance(head, ring->spsc.resumed) >= popped &&
	       shmring__distance(ring->spsc.doubtful, head) >= !popped;
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

SHMRING_SCOPE int
shmring_error(const struct shmring *ring)
{
	return ring->error;
}

/* A message comes into our hands: it must be let go before the next. */
SHMRING__HOT void
shmring__take_in_hands(struct shmring *r, int side, uint64_t size)
{
	r->canary->limit[side] = 0;
	r->canary->held[side] = 1 + size;
}

/* What is in hands. In the packed engines, cursor tells the most of it. */
SHMRING__HOT struct shmring__claim
shmring__held(const struct shmring *r, const struct shmring__view *v, int path,
	      int side)
{
	struct shmring__claim claim;
	shmring__set_claim(&claim, &r->held[side]);
	if (SHMRING__IS_PACKED(path)) {
		/* own */
		claim.position = SHMRING__LOAD(v->cursor, RELAXED);
		claim.data = (unsigned char *)(shmring__header_in(
						       v, claim.position) +
					       1);
	}
	return claim;
}

/* Keep what release, or commit, will need; of packed records cursor tells the
 * rest. */
SHMRING__HOT void
shmring__hold(struct shmring *r, int path, int side,
	      const struct shmring__claim *claim)
{
	struct shmring__claim *held = &r->held[side];
	if (SHMRING__IS_PACKED(path)) {
		held->size = claim->size;
		held->hold = SHMRING__HELD;
	} else {
		shmring__set_claim(held, claim);
	}
}

/* Here and below: the packed engines' code stands in the caller, MPMC's apart.
 */
SHMRING__HOT void *
shmring__reserve_in(struct shmring *r, int path, size_t size, int lazy)
{
	struct shmring__view v = shmring__view_of(r, path, SHMRING__WRITE);
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	/* A stopped commit may find its slot void and must keep the message
	 * somewhere: have the place before it is needed. (Who has no canary is
	 * not open, will be refused, and would never free it.) */
	if (path == SHMRING__SLOWLY && r->canary && !r->mpmc.spill) {
		r->mpmc.spill = (unsigned char *)malloc(r->geometry.slot_size);
		if (!r->mpmc.spill)
			return shmring__null(r, -ENOMEM);
	}
	if (path == SHMRING__SLOWLY)
		r->mpmc.tries = SHMRING__TRIES;
	int error = shmring__reserve(r, &v, path, size, &claim, lazy);
	if (SHMRING__RARELY(error))
		return shmring__null(r, error);
	shmring__hold(r, path, SHMRING__WRITE, &claim);
	shmring__take_in_hands(r, SHMRING__WRITE, size);
	return shmring__place(&v, claim.data, size);
}

SHMRING__APART void *
shmring__reserve_slowly(struct shmring *r, size_t size, int lazy)
{
	return shmring__reserve_in(r, shmring__careful_path(r), size, lazy);
}

/* In the caller, or apart. */
static inline void *
shmring__reserve_held(struct shmring *r, size_t size, int lazy)
{
	return r->path == SHMRING__PACKED
		       ? shmring__reserve_in(r, SHMRING__PACKED, size, lazy)
		       : shmring__reserve_slowly(r, size, lazy);
}

SHMRING__HOT_SCOPE void *
shmring_reserve(struct shmring *ring, size_t size)
{
	return shmring__reserve_held(ring, size, 0);
}

/* Nothing is in hands: the next may be taken. */
SHMRING__HOT void
shmring__clear_held(struct shmring *r, int side)
{
	r->held[side].hold = SHMRING__IDLE;
	r->canary->held[side] = 0;
	r->canary->limit[side] = r->limit[side];
}

/* Why nothing can be done with what is held on this side: it is nothing, or
 * smaller; or the handle is refused altogether. */
SHMRING__COLD int
shmring__not_held(const struct shmring *r, int side)
{
	if (!r->canary || !r->canary->alive || r->poisoned)
		return shmring__refusal(r, side);
	return r->canary->held[side] ? -EMSGSIZE : -ENOMSG;
}

/* Whether a message is in hands, and so large. */
SHMRING__HOT int
shmring__check_held(const struct shmring *r, int path, int side, size_t size)
{
	if ((path != SHMRING__PACKED && !r->canary) ||
	    SHMRING__RARELY(size >= r->canary->held[side]))
		return shmring__not_held(r, side);
	return 0;
}

/* Its position was void: push the message, which we have kept, anew. */
SHMRING__COLD int
shmring__commit_spilled(struct shmring *r, size_t size)
{
	shmring__clear_held(r, SHMRING__WRITE);
	int error = shmring__push(r, r->mpmc.spill, size, 0);
	if (error) { /* still ours: only commit or abort go on */
		r->held[SHMRING__WRITE].hold = SHMRING__SPILLED;
		shmring__take_in_hands(r, SHMRING__WRITE, size);
	}
	return error;
}

/* A message that was to be larger may be near now: put it where it will be
 * looked for. */
SHMRING__HOT void
shmring__shrink(struct shmring *r, const struct shmring__view *v,
		unsigned char *data, size_t size)
{
	uint64_t reserved = r->canary->held[SHMRING__WRITE] - 1;
	unsigned char *to = shmring__place(v, data, size);
	if (to != shmring__place(v, data, reserved))
		SHMRING_COPY(to, data, size);
}

/* Show the message that is in hands. If its position was void meanwhile (MPMC),
 * it is copied aside and pushed anew. */
SHMRING__HOT int
shmring__commit_in(struct shmring *r, int path, size_t size)
{
	struct shmring__view v = shmring__view_of(r, path, SHMRING__WRITE);
	int error = shmring__check_held(r, path, SHMRING__WRITE, size);
	if (SHMRING__RARELY(error))
		return error;
	struct shmring__claim claim =
		shmring__held(r, &v, path, SHMRING__WRITE);
	if (path == SHMRING__PLACED)
		shmring__shrink(r, &v, claim.data, size);
	if (path == SHMRING__SLOWLY && claim.hold == SHMRING__SPILLED)
		return shmring__commit_spilled(r, size);
	if (SHMRING__RARELY(shmring__commit(r, &v, path, &claim, size))) {
		SHMRING_COPY(r->mpmc.spill,
			     shmring__place(&v, claim.data, size), size);
		shmring__hand_back(r, claim.position);
		return shmring__commit_spilled(r, size);
	}
	shmring__clear_held(r, SHMRING__WRITE);
	shmring__notify(r, &v);
	return 0;
}

SHMRING__APART int
shmring__commit_slowly(struct shmring *r, size_t size)
{
	return shmring__commit_in(r, shmring__careful_path(r), size);
}

SHMRING__HOT_SCOPE int
shmring_commit(struct shmring *ring, size_t size)
{
	return ring->path == SHMRING__PACKED
		       ? shmring__commit_in(ring, SHMRING__PACKED, size)
		       : shmring__commit_slowly(ring, size);
}

SHMRING_SCOPE void
shmring_abort(struct shmring *ring)
{
	struct shmring__claim *claim = &ring->held[SHMRING__WRITE];
	struct shmring__view v = shmring__any_view(ring, SHMRING__WRITE);
	if (shmring__check_held(ring, SHMRING__SLOWLY, SHMRING__WRITE, 0))
		return;
	if (ring->mode == SHMRING_MPMC && claim->hold == SHMRING__HELD &&
	    shmring__mpmc_commit(ring, &v, claim, shmring__aborted(ring), 0))
		shmring__hand_back(ring, claim->position);
	shmring__clear_held(ring, SHMRING__WRITE);
	shmring__notify(ring, &v); /* a reader may wait at this position */
}

/* SPSC: the next messages in place, at most so many, of runs or not. What is
 * held then, release finds as if nothing were in hands: canary->held is 0. */
static ssize_t
shmring__peek_several(struct shmring *r, struct iovec *messages, size_t count,
		      int hold)
{
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	/* own */
	uint64_t head = SHMRING__LOAD(v.cursor, RELAXED);
	size_t n = 0;
	int error = 0;
	if (shmring__distance(head, r->spsc.doubtful) < 0)
		count = 1; /* so that the mark is the only one's */
	if (!r->canary->limit[SHMRING__READ])
		return shmring__refusal(r, SHMRING__READ);
	for (claim.end = head; n < count; n++) {
		error = shmring__spsc_look(r, &v, claim.end, &claim);
		if (error)
			break;
		messages[n].iov_base =
			shmring__place(&v, claim.data, claim.size);
		messages[n].iov_len = claim.size;
	}
	if (!n)
		return error == -EBADMSG ? shmring__poison(r) : error;
	if (n != r->spsc.hands)
		shmring__spsc_hold(r, n);
	r->held[SHMRING__READ].hold = hold;
	r->spsc.several = n;
	r->canary->limit[SHMRING__READ] = 0;
	return (ssize_t)n;
}

/* One of a run is held as the first of several. */
SHMRING__APART const void *
shmring__peek_of_run(struct shmring *r, size_t *size)
{
	struct iovec one = { NULL, 0 };
	ssize_t n = shmring__peek_several(r, &one, 1, SHMRING__OF_RUN);
	*size = one.iov_len;
	return n == 1 ? one.iov_base : shmring__null(r, (int)n);
}

/* Let go of the first of several; or `error`, which tells that nothing is in
 * hands. */
SHMRING__APART int
shmring__release_several(struct shmring *r, size_t count, int error)
{
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	struct shmring__view v = shmring__any_view(r, SHMRING__READ);
	if (error != -ENOMSG || r->held[SHMRING__READ].hold < SHMRING__SEVERAL)
		return error;
	if (count > r->spsc.several ||
	    (count != 1 && r->held[SHMRING__READ].hold == SHMRING__OF_RUN))
		return -ERANGE;
	/* own */
	uint64_t head = SHMRING__LOAD(v.cursor, RELAXED), bytes = 0;
	claim.end = head;
	for (size_t n = 0; n < count; n++) {
		if (shmring__spsc_look(r, &v, claim.end, &claim))
			return shmring__poison(r);
		bytes += shmring__untold(claim.size, 1, claim.position,
					 claim.end);
	}
	if (r->path == SHMRING__PACKED)
		shmring__count(&v.line->popped_bytes, bytes);
	r->spsc.several -= count;
	if (!r->spsc.several)
		shmring__clear_held(r, SHMRING__READ);
	if (!shmring__nth(claim.end))
		shmring__spsc_fetch(r, &v, claim.end, claim.end - head, 0);
	shmring__spsc_release(r, &v, claim.end, count);
	return 0;
}

/* Release, which lets go of what is left of them, too. */
SHMRING__APART int
shmring__release_first(struct shmring *r, int error)
{
	error = shmring__release_several(r, 1, error);
	if (!error)
		shmring__clear_held(r, SHMRING__READ);
	return error;
}

SHMRING__HOT const void *
shmring__peek_in(struct shmring *r, int path, size_t *size)
{
	struct shmring__view v = shmring__view_of(r, path, SHMRING__READ);
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	int error = shmring__acquire(r, &v, path, &claim, SIZE_MAX);
	/* Not a length that another message's bytes have told. */
	if (SHMRING__IS_PACKED(path) && !error &&
	    SHMRING__RARELY(r->broadcast.checks) &&
	    shmring__overwritten(r, claim.position))
		error = shmring__lapped(r);
	if (SHMRING__RARELY(error)) {
		if (SHMRING__IS_PACKED(path) && error == SHMRING__IN_RUN)
			return shmring__peek_of_run(r, size);
		*size = 0;
		return shmring__null(r, error);
	}
	shmring__hold(r, path, SHMRING__READ, &claim);
	shmring__take_in_hands(r, SHMRING__READ, 0);
	*size = claim.size;
	return shmring__place(&v, claim.data, claim.size);
}

SHMRING__APART const void *
shmring__peek_slowly(struct shmring *r, size_t *size)
{
	return shmring__peek_in(r, shmring__careful_path(r), size);
}

SHMRING__HOT_SCOPE const void *
shmring_peek(struct shmring *ring, size_t *size)
{
	return ring->path == SHMRING__PACKED
		       ? shmring__peek_in(ring, SHMRING__PACKED, size)
		       : shmring__peek_slowly(ring, size);
}

/* Let go of the message in hands. In BROADCAST, tell whether it was whole to
 * the end. */
SHMRING__HOT int
shmring__release_in(struct shmring *r, int path)
{
	struct shmring__view v = shmring__view_of(r, path, SHMRING__READ);
	int error = shmring__check_held(r, path, SHMRING__READ, 0);
	if (SHMRING__RARELY(error))
		return SHMRING__IS_PACKED(path)
			       ? shmring__release_first(r, error)
			       : error;
	struct shmring__claim claim = shmring__held(r, &v, path, SHMRING__READ);
	shmring__clear_held(r, SHMRING__READ);
	if (SHMRING__IS_PACKED(path) && SHMRING__RARELY(r->broadcast.checks) &&
	    shmring__overwritten(r, claim.position))
		return shmring__lapped(r);
	shmring__release(r, &v, path, &claim);
	return 0;
}

SHMRING__APART int
shmring__release_slowly(struct shmring *r)
{
	return shmring__release_in(r, shmring__careful_path(r));
}

SHMRING__HOT_SCOPE int
shmring_release(struct shmring *ring)
{
	return ring->path == SHMRING__PACKED
		       ? shmring__release_in(ring, SHMRING__PACKED)
		       : shmring__release_slowly(ring);
}

SHMRING_SCOPE ssize_t
shmring_peek_n(struct shmring *ring, struct iovec *messages, size_t count)
{
	struct shmring__claim claim = SHMRING__NO_CLAIM;
	struct shmring__view v = shmring__any_view(ring, SHMRING__READ);
	if (ring->held[SHMRING__READ].hold == SHMRING__SEVERAL &&
	    ring->canary->alive && !ring->poisoned)
		shmring__clear_held(ring, SHMRING__READ); /* look anew */
	if (!shmring__is_spsc(ring))
		return shmring__limit(ring, SHMRING__READ)
			       ? -ENOTSUP
			       : shmring__refusal(ring, SHMRING__READ);
	int error = count ? shmring__acquire(ring, &v, (int)ring->path, &claim,
					     SIZE_MAX)
			  : -ERANGE;
	return error && error != SHMRING__IN_RUN
		       ? error
		       : shmring__peek_several(ring, messages, count,
					       SHMRING__SEVERAL);
}

SHMRING_SCOPE int
shmring_release_n(struct shmring *ring, size_t count)
{
	int error =
		shmring__check_held(ring, SHMRING__SLOWLY, SHMRING__READ, 0);
	if (error)
		return shmring__release_several(ring, count, error);
	return count == 1 ? shmring_release(ring) : -ERANGE;
}

/* ------------------------------------------------------------------------
 * WAITING
 *
 * Spin, if the other side runs on another CPU and spinning was not in vain
 * lately; announce oneself (shmring__announce_waiter) and look again; sleep
 * (shmring__sleep), as long as shmring__sleep_length says: shortly as long as a
 * wake-up may be missed, then in slices. The caller looks again after each
 * step.
 *
 * Who waits for messages is woken for each. Who waits for room is woken for an
 * eighth of the ring at once, or else there would be a wake-up a message in
 * overload; between, it looks every SHMRING__NAP_NS, as long as the head moves
 * at all. When it has stood for SHMRING__STANDS_NS, one PROMPT wake-up a
 * message is what there is to do, and it sleeps for slices.
 * ------------------------------------------------------------------------ */

/* Until then what overtook an announcement has arrived. */
#ifndef SHMRING__FIRST_SLEEP_NS
#define SHMRING__FIRST_SLEEP_NS 50000
#endif
#ifndef SHMRING__NAP_NS
#define SHMRING__NAP_NS INT64_C(1000000) /* beside room that nobody tells of */
#endif
#define SHMRING__STANDS_NS \
	(16 * SHMRING__NAP_NS) /* then the head stands still */
#define SHMRING__PEEK_NS \
	10000 /* who spins looks at the peer's lines so often */
#define SHMRING__STREAM 4 /* messages between two waits make a stream */
/* So many that a short sleep, with its timer, is cheaper than a fence at each
 * of their pushes. Two that take turns on one CPU
 * get a few at a time. */
#define SHMRING__LONG_STREAM 8

struct shmring__waiter {
	struct shmring *ring;
	uint32_t *word; /* in notice */
	uint32_t bits; /* to announce */
	uint32_t expected; /* the word, since we announced ourselves */
	int64_t since; /* when our bits came to stand in it */
	int side;
	int spins; /* not yet through with that */
	int lazy; /* the last attempt left the peer's lines alone */
	int announced, heard; /* heard: no wake-up can be missed any more */
	uint32_t polls, pauses, sleeps;
	int64_t timeout, deadline, spin_until, peek_at;
	int naps; /* waiting for room: has seen the head, */
	uint64_t head; /* here */
	int64_t stands; /* since then */
};

/* Who waits for messages, or for room, has looked once, lazily. */
static inline struct shmring__waiter
shmring__wait_for(struct shmring *r, int side, uint32_t bits,
		  int64_t timeout_ns)
{
	struct shmring__waiter w;
	memset(&w, 0, sizeof(w));
	w.ring = r;
	w.side = side;
	w.bits = bits;
	w.spins = w.lazy = 1;
	w.timeout = timeout_ns;
	w.word = side == SHMRING__READ ? &r->notice->data : &r->notice->space;
	return w;
}

/* Whether spinning may help: not if the other side shares our CPU and waits
 * for us to leave it; after four failures in a row only every sixteenth
 * time. */
SHMRING__COLD int
shmring__may_spin(struct shmring *r, int side)
{
	/* hint */
	uint32_t peer = SHMRING__LOAD(&r->notice->cpu[!side], RELAXED);
	if (r->wait.spin_ns <= 0)
		return r->wait.spin_ns < 0;
	if (r->wait.missed >= 4 && r->wait.missed % 16)
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

/* Whether a message seems to be there: only the line in which it comes is
 * looked at, and whoever has found it by that shall have it at once. */
SHMRING__HOT int
shmring__seems_there(const struct shmring *r)
{
	/* hint, all of it */
	uint64_t head = SHMRING__LOAD(r->head, RELAXED);
	if (r->mode != SHMRING_MPMC)
		return SHMRING__LOAD(shmring__header_at(r, head), RELAXED) != 0;
	return shmring__phase_in(r, SHMRING__LOAD(shmring__phase_word(r, head),
						  RELAXED)) >=
	       shmring__phase(r, head, 1);
}

/* One step of spinning: until a message seems to be there, or it is time to
 * look around; 0 when it is over. */
SHMRING__APART int
shmring__spin(struct shmring__waiter *w)
{
	struct shmring *r = w->ring;
	if (!w->polls && !shmring__may_spin(r, w->side))
		return 0;
	if (!w->polls)
		w->pauses = shmring__pauses(&r->wait.idle[w->side]);
	for (;;) {
		for (uint32_t i = 0; i < w->pauses; i++)
			SHMRING_PAUSE();
		w->polls += w->pauses;
		w->lazy = 1;
		/* Now and then to the clock, whatever seems to be there. */
		if (w->polls % 8 == 0)
			break;
		if (w->side == SHMRING__WRITE || shmring__seems_there(r))
			return 1;
	}
	int64_t now = SHMRING_NOW();
	if (!w->spin_until) {
		w->deadline = shmring__after(now, w->timeout);
		w->spin_until = shmring__after(now, r->wait.spin_ns);
		w->peek_at = shmring__after(now, SHMRING__PEEK_NS);
	}
	if ((w->timeout > 0 && now >= w->deadline) ||
	    (r->wait.spin_ns >= 0 && now >= w->spin_until))
		return 0;
	w->lazy = now < w->peek_at;
	if (!w->lazy)
		w->peek_at = shmring__after(now, SHMRING__PEEK_NS);
	return 1;
}

/* May who announces itself sleep long, if it finds nothing now? `before` is the
 * word as it was, w->expected still as we left it the last time.
 * Yes, if all who publish from now on read our bits, and what was published by
 * others has arrived: so if our bits have stood there for long enough, and no
 * wake-up took them since, whomever it called. Or if SLEEPY has, and nobody
 * took that: then they look again behind a fence. But not for PROMPT and
 * WATCHES, without which they may not even look. */
SHMRING__COLD int
shmring__may_sleep_long(struct shmring__waiter *w, uint32_t before,
			uint32_t after, int64_t now)
{
	struct shmring *r = w->ring;
	uint32_t epoch = ~(SHMRING__EPOCH - 1) | SHMRING__SLEEPY;
	if ((before & w->expected & w->bits) != w->bits ||
	    ((before ^ w->expected) & SHMRING__GENERATIONS))
		w->since = now;
	if (!(before & SHMRING__SLEEPY) ||
	    (before & epoch) != r->wait.sleepy[w->side])
		r->wait.sleepy_since[w->side] = now;
	r->wait.sleepy[w->side] = after & epoch;
	if (now - w->since >= SHMRING__FIRST_SLEEP_NS)
		return 1;
	return !(w->bits & ~(SHMRING__WAITS | SHMRING__POLLS)) &&
	       (after & SHMRING__SLEEPY) &&
	       now - r->wait.sleepy_since[w->side] >= SHMRING__FIRST_SLEEP_NS;
}

/* Waiting for room: does the head move? If it has not for a while, its next
 * step is what we have to be told of. */
SHMRING__COLD void
shmring__watch_head(struct shmring__waiter *w, int64_t now)
{
	uint64_t head = SHMRING__LOAD(w->ring->head, RELAXED); /* hint */
	if (!w->naps || head != w->head) {
		w->naps = 1;
		w->head = head;
		w->stands = now;
		w->bits &= ~SHMRING__PROMPT;
	} else if (now - w->stands >= SHMRING__STANDS_NS) {
		w->bits |= SHMRING__PROMPT;
	}
}

/* Whether the calls in the word are ours alone: no wake-up has taken them, and
 * nobody has come (who finds another's calls adds MORE). */
SHMRING__COLD int
shmring__are_ours(const struct shmring__waiter *w, uint32_t seen)
{
	return (w->expected & w->bits) && !(seen & SHMRING__MORE) &&
	       !((seen ^ w->expected) & SHMRING__GENERATIONS);
}

/* Announce that we wait (W2); the caller looks again before it sleeps, after
 * the claims, too. */
SHMRING__COLD void
shmring__announce_waiter(struct shmring__waiter *w, int64_t now)
{
	struct shmring *r = w->ring;
	uint32_t bits = SHMRING__SLEEPY;
	if (!w->sleeps &&
	    r->wait.idle[w->side].streak >= SHMRING__LONG_STREAM) {
		bits = SHMRING__LOAD(w->word, RELAXED); /* confirmed */
		shmring__not_sleepy(w->word, bits);
		bits = 0;
	}
	if (w->side == SHMRING__WRITE && !(w->bits & SHMRING__WATCHES))
		shmring__watch_head(w, now);
	bits |= w->bits;
	/* W2: announced, then the look of the caller */
	uint32_t before = __atomic_fetch_or(w->word, bits, __ATOMIC_SEQ_CST);
	uint32_t after = before | bits;
	if (r->mode != SHMRING_SPSC && (before & SHMRING__CALLS) &&
	    !shmring__are_ours(w, before)) {
		bits |= SHMRING__MORE;
		/* W2, again */
		after = __atomic_fetch_or(w->word, bits, __ATOMIC_SEQ_CST);
		after |= bits;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* W2 */
	w->heard = shmring__may_sleep_long(w, before, after, now);
	w->expected = after;
	/* own: for observers */
	SHMRING__STORE(&r->line[w->side]->waits, shmring__role(w->side),
		       RELAXED);
	SHMRING__STORE(&r->wait.sleeps_on, w->word, SEQ_CST); /* F6 */
	w->announced = 1;
	r->wait.look_now = 1;
}

static inline int64_t
shmring__earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Until then, if need be; but no longer than until we look again by ourselves,
 * or lose patience with who has claimed our position. */
SHMRING__COLD int64_t
shmring__sleep_until(const struct shmring__waiter *w, int64_t now,
		     int64_t until)
{
	const struct shmring *r = w->ring;
	if (!w->heard)
		until = shmring__earlier(until, now + SHMRING__FIRST_SLEEP_NS);
	else if (w->naps && !(w->bits & SHMRING__PROMPT))
		until = shmring__earlier(until, now + SHMRING__NAP_NS);
	/* Not at all, if patience has ended since we looked; but who has doubted
	 * in vain sleeps like others, and flush waits for no position. */
	if (!(w->bits & SHMRING__WATCHES) &&
	    r->wait.idle[w->side].claimed > 0 && !r->wait.idle[w->side].doubted)
		until = shmring__earlier(until,
					 shmring__patient_until(r, w->side));
	if (r->broadcast.demote && w->side == SHMRING__WRITE &&
	    !(w->bits & SHMRING__WATCHES) && r->wait.idle[w->side].since)
		until = shmring__earlier(
			until, shmring__after(r->wait.idle[w->side].since,
					      r->broadcast.demote));
	return w->timeout > 0 ? shmring__earlier(until, w->deadline) : until;
}

/* Until the look for the dead is due, at the latest: a slice at most. */
SHMRING__COLD int64_t
shmring__sleep_length(const struct shmring__waiter *w, int64_t now)
{
	return shmring__sleep_until(
		w, now, shmring__after(w->ring->wait.looked, SHMRING_SLICE_NS));
}

/* 0, or -EINTR for who wants that. */
SHMRING__COLD int
shmring__sleep(struct shmring__waiter *w, int64_t now)
{
	struct shmring *r = w->ring;
	int64_t until = shmring__sleep_length(w, now);
	shmring__note_cpu(r, w->side);
	long result = SHMRING_FUTEX_WAIT(w->word, w->expected, until);
	shmring__count(&r->line[w->side]->sleeps, 1);
	w->sleeps++;
	w->announced = 0;
	r->wait.look_now = 1; /* and after the dead */
	return result == -EINTR && r->wait.eintr ? -EINTR : 0;
}

/* Whether the wait is to end; once an interrupt. */
SHMRING__COLD int
shmring__interrupted(struct shmring *r)
{
	return (SHMRING__LOAD(&r->wait.interrupts, SEQ_CST) & /* F6 */
		SHMRING__INTERRUPTED) &&
	       (__atomic_fetch_and(&r->wait.interrupts, ~SHMRING__INTERRUPTED,
				   __ATOMIC_SEQ_CST) & /* F6 */
		SHMRING__INTERRUPTED);
}

/* Do something between two looks: 0, or -ETIMEDOUT, -EAGAIN (no time at
 * all), -ECANCELED, -EINTR. */
SHMRING__COLD int
shmring__wait(struct shmring__waiter *w)
{
	if (w->timeout == 0)
		return -EAGAIN;
	if (shmring__interrupted(w->ring))
		return -ECANCELED;
	if (w->spins && shmring__spin(w))
		return 0;
	int64_t now = SHMRING_NOW();
	if (w->spins)
		w->ring->wait.missed++;
	w->spins = 0;
	if (!w->deadline)
		w->deadline = shmring__after(now, w->timeout);
	int expired = w->timeout > 0 && now >= w->deadline;
	if (expired && !w->lazy)
		return -ETIMEDOUT;
	w->lazy = 0;
	if (expired)
		return 0; /* once more, with a look at the true head */
	if (w->announced)
		return shmring__sleep(w, now);
	shmring__announce_waiter(w, now);
	return 0;
}

/* The wait is over. If nobody else waits, take our call back. Else, as a
 * sleeper is woken alone, it wakes the next if there is more; also if there is
 * no room left, but they sleep long, for nothing moves. */
SHMRING__COLD void
shmring__wait_over(struct shmring__waiter *w)
{
	struct shmring *r = w->ring;
	if (w->spins && w->polls)
		r->wait.missed = 0;
	if (!w->expected)
		return; /* never announced */
	SHMRING__STORE(&r->wait.sleeps_on, NULL, RELAXED); /* hint */
	SHMRING__STORE(&r->line[w->side]->waits, 0, RELAXED); /* own */
	uint32_t seen = SHMRING__LOAD(w->word, RELAXED); /* confirmed */
	if (shmring__are_ours(w, seen)) {
		uint32_t none = seen & ~SHMRING__CALLS;
		/* hint: fails if anybody came meanwhile */
		if (__atomic_compare_exchange_n(w->word, &seen, none, 0,
						__ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return;
	}
	uint64_t head = SHMRING__LOAD(r->head, RELAXED); /* hint */
	uint64_t tail = SHMRING__LOAD(r->tail, RELAXED); /* hint */
	int more =
		w->side == SHMRING__WRITE
			? tail - head <= r->mask || (w->bits & SHMRING__PROMPT)
			: tail != head;
	if (r->mode == SHMRING_MPMC && more)
		shmring__wake(r, w->word, 0);
}

struct shmring__call { /* one that waits, to be tried again */
	int what;
	const void *from; /* of a push; peeked; the batch */
	void *to; /* of a pop; reserved */
	size_t size; /* of either */
	size_t *length; /* peeked */
	uint64_t target; /* of flush */
};
#define SHMRING__CALL_PUSH 0
#define SHMRING__CALL_PUSH_N 1
#define SHMRING__CALL_RESERVE 2
#define SHMRING__CALL_FLUSH 3
#define SHMRING__CALL_POP 4 /* from here on to read */
#define SHMRING__CALL_POP_N 5
#define SHMRING__CALL_PEEK 6

/* Whether consumers have taken all before target. Whether one is there is looked
 * at first: what the last one took before it left is seen then. */
SHMRING__COLD int
shmring__all_taken(struct shmring *r, uint64_t target)
{
	int alone = r->mode != SHMRING_BROADCAST && /* A8 */
		    (SHMRING__LOAD(&r->notice->attn, ACQUIRE) &
		     SHMRING__NO_CONSUMER);
	if (r->mode == SHMRING_BROADCAST
		    ? shmring__slowest(r, target, 0) == target
		    : shmring__distance(SHMRING__LOAD(r->head, ACQUIRE),
					target) >= 0)
		return 0; /* A2, A9 */
	if (alone)
		return -EPIPE;
	if (shmring__is_time(r, &r->wait.idle[SHMRING__WRITE]))
		shmring__look_around(r, SHMRING__WRITE, 0);
	return -EAGAIN;
}

/* What a waiting call does at each of its looks. */
SHMRING__COLD ssize_t
shmring__attempt(struct shmring *r, struct shmring__call *call, int lazy)
{
	switch (call->what) {
	case SHMRING__CALL_PUSH:
		return shmring__push(r, call->from, call->size, lazy);
	case SHMRING__CALL_PUSH_N:
		return shmring__push_batch(
			r, (const struct shmring__batch *)call->from, lazy);
	case SHMRING__CALL_RESERVE:
		call->to = shmring__reserve_held(r, call->size, lazy);
		return call->to ? 0 : r->error;
	case SHMRING__CALL_FLUSH:
		return shmring__all_taken(r, call->target);
	case SHMRING__CALL_POP:
		return shmring_pop(r, call->to, call->size);
	case SHMRING__CALL_POP_N:
		return shmring__pop_batch(
			r, (const struct shmring__batch *)call->from);
	default:
		call->from = shmring_peek(r, call->length);
		return call->from ? 0 : r->error;
	}
}

/* The first attempt has failed: wait, out of the way of the fast path. */
SHMRING__COLD ssize_t
shmring__wait_and_retry(struct shmring *r, struct shmring__call *call,
			int64_t timeout_ns)
{
	struct shmring__waiter w = shmring__wait_for(
		r,
		call->what >= SHMRING__CALL_POP ? SHMRING__READ
						: SHMRING__WRITE,
		call->what == SHMRING__CALL_FLUSH ? SHMRING__WATCHES
						  : SHMRING__WAITS,
		timeout_ns);
	ssize_t result;
	r->wait.goes_on = 1;
	do {
		result = shmring__wait(&w);
		if (!result)
			result = shmring__attempt(r, call, w.lazy);
		else
			break;
	} while (result == -EAGAIN);
	r->wait.goes_on = 0;
	shmring__wait_over(&w);
	if (result == -ETIMEDOUT && call->what < SHMRING__CALL_FLUSH)
		shmring__count(&r->line[SHMRING__WRITE]->refused, 1);
	return result;
}

SHMRING__HOT_SCOPE int
shmring_push_wait(struct shmring *ring, const void *data, size_t size,
		  int64_t timeout_ns)
{
	int result = shmring__push(ring, data, size, timeout_ns != 0);
	if (SHMRING__RARELY(result == -EAGAIN)) {
		struct shmring__call call = {
			SHMRING__CALL_PUSH, data, NULL, size, NULL, 0
		};
		result = (int)shmring__wait_and_retry(ring, &call, timeout_ns);
	}
	return result;
}

SHMRING__HOT_SCOPE ssize_t
shmring_pop_wait(struct shmring *ring, void *buffer, size_t capacity,
		 int64_t timeout_ns)
{
	ssize_t result = shmring_pop(ring, buffer, capacity);
	if (SHMRING__RARELY(result == -EAGAIN)) {
		struct shmring__call call = { SHMRING__CALL_POP, NULL, buffer,
					      capacity,		 NULL, 0 };
		result = shmring__wait_and_retry(ring, &call, timeout_ns);
	}
	return result;
}

/* Here and below: at once, if it can be; else the call is noted and made again
 * and again. The first look stands in the caller, all others apart. */
SHMRING__HOT ssize_t
shmring__push_batch_wait(struct shmring *r, const struct shmring__batch *b,
			 int64_t timeout_ns)
{
	ssize_t n = shmring__push_batch(r, b, timeout_ns != 0);
	if (SHMRING__RARELY(n == -EAGAIN)) {
		struct shmring__call call = {
			SHMRING__CALL_PUSH_N, b, NULL, 0, NULL, 0
		};
		n = shmring__wait_and_retry(r, &call, timeout_ns);
	}
	return n;
}

SHMRING__HOT ssize_t
shmring__pop_batch_wait(struct shmring *r, const struct shmring__batch *b,
			int64_t timeout_ns)
{
	ssize_t n = shmring__pop_batch(r, b);
	if (SHMRING__RARELY(n == -EAGAIN)) {
		struct shmring__call call = {
			SHMRING__CALL_POP_N, b, NULL, 0, NULL, 0
		};
		n = shmring__wait_and_retry(r, &call, timeout_ns);
	}
	return n;
}

SHMRING_SCOPE ssize_t
shmring_push_n_wait(struct shmring *ring, const struct iovec *messages,
		    size_t count, int64_t timeout_ns)
{
	struct shmring__batch b = shmring__batch_of(messages, count);
	return shmring__push_batch_wait(ring, &b, timeout_ns);
}

SHMRING_SCOPE ssize_t
shmring_pop_n_wait(struct shmring *ring, struct iovec *messages, size_t count,
		   int64_t timeout_ns)
{
	struct shmring__batch b = shmring__batch_of(messages, count);
	return shmring__pop_batch_wait(ring, &b, timeout_ns);
}

SHMRING_SCOPE ssize_t
shmring_push_array_wait(struct shmring *ring, const void *messages, size_t size,
			size_t count, int64_t timeout_ns)
{
	struct shmring__batch b = shmring__array_of(messages, size, count);
	return shmring__push_batch_wait(ring, &b, timeout_ns);
}

SHMRING_SCOPE ssize_t
shmring_pop_array_wait(struct shmring *ring, void *messages, size_t size,
		       size_t count, int64_t timeout_ns)
{
	struct shmring__batch b = shmring__array_of(messages, size, count);
	return shmring__pop_batch_wait(ring, &b, timeout_ns);
}

SHMRING_SCOPE void *
shmring_reserve_wait(struct shmring *ring, size_t size, int64_t timeout_ns)
{
	void *place = shmring__reserve_held(ring, size, timeout_ns != 0);
	if (SHMRING__RARELY(!place && ring->error == -EAGAIN)) {
		struct shmring__call call = {
			SHMRING__CALL_RESERVE, NULL, NULL, size, NULL, 0
		};
		ssize_t error =
			shmring__wait_and_retry(ring, &call, timeout_ns);
		place = error ? shmring__null(ring, (int)error) : call.to;
	}
	return place;
}

SHMRING_SCOPE const void *
shmring_peek_wait(struct shmring *ring, size_t *size, int64_t timeout_ns)
{
	const void *message = shmring_peek(ring, size);
	if (SHMRING__RARELY(!message && ring->error == -EAGAIN)) {
		struct shmring__call call = {
			SHMRING__CALL_PEEK, NULL, NULL, 0, size, 0
		};
		ssize_t error =
			shmring__wait_and_retry(ring, &call, timeout_ns);
		message = error ? shmring__null(ring, (int)error) : call.from;
	}
	return message;
}

SHMRING_SCOPE int
shmring_set_spin(struct shmring *ring, int64_t spin_ns)
{
	if (!ring->canary)
		return -EBADF;
	ring->wait.spin_ns = spin_ns;
	return 0;
}

SHMRING_SCOPE int
shmring_set_eintr(struct shmring *ring, int on)
{
	if (!ring->canary)
		return -EBADF;
	ring->wait.eintr = on != 0;
	return 0;
}

/* Of the handle only what is its own is touched, and what it sleeps on: close
 * may be under way below a signal handler. The word changes, or who is about to
 * sleep on it would sleep on. */
SHMRING_SCOPE int
shmring_interrupt(struct shmring *ring)
{
	if (!ring->canary)
		return -EBADF;
	__atomic_fetch_add(&ring->wait.interrupts,
			   SHMRING__INTERRUPTING, /* F6 */
			   __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&ring->wait.interrupts, SHMRING__INTERRUPTED, /* F6 */
			  __ATOMIC_SEQ_CST);
	uint32_t *word = SHMRING__LOAD(&ring->wait.sleeps_on, SEQ_CST); /* F6 */
	if (word) {
		/* F6 */
		__atomic_fetch_add(word, SHMRING__GENERATION, __ATOMIC_SEQ_CST);
		(void)SHMRING_FUTEX_WAKE(word, INT_MAX);
	}
	/* R11 */
	__atomic_fetch_sub(&ring->wait.interrupts, SHMRING__INTERRUPTING,
			   __ATOMIC_RELEASE);
	return 0;
}

SHMRING_SCOPE int
shmring_flush(struct shmring *ring, int64_t timeout_ns)
{
	struct shmring__call call = {
		SHMRING__CALL_FLUSH, NULL, NULL, 0, NULL, 0
	};
	if (!ring->canary || !ring->canary->alive || ring->poisoned ||
	    !ring->line[SHMRING__WRITE])
		return shmring__refusal(ring, SHMRING__WRITE);
	call.target = ring->mpmc.last;
	if (ring->mode != SHMRING_MPMC)
		call.target = SHMRING__LOAD(ring->tail, RELAXED); /* own */
	int result = shmring__all_taken(ring, call.target);
	if (result == -EAGAIN)
		result = (int)shmring__wait_and_retry(ring, &call, timeout_ns);
	return result;
}

/* Whether another participant of these roles is attached and not dead. */
SHMRING__COLD int
shmring__peer_is_there(struct shmring *r, uint32_t roles)
{
	for (uint32_t i = 0; i < r->geometry.participants; i++) {
		struct shmring__line *x = &r->lines[i];
		uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
		if (shmring__state_of(status) != SHMRING__LIVE ||
		    !(shmring__roles_of(status) & roles) ||
		    x == r->line[SHMRING__READ] || x == r->line[SHMRING__WRITE])
			continue;
		int dead = shmring__dead(r, i);
		/* A7: else the lock may be that of who has come since */
		if (!dead && SHMRING__LOAD(&x->status, ACQUIRE) == status)
			return 1;
		if (dead && shmring__own_line(r)) /* observers may not */
			shmring__recover_all(r);
	}
	return 0;
}

/* Until peers of these roles are there, or are not. Whoever comes or goes
 * changes the word after its line (R10, A10), so that the sleep ends. */
SHMRING__COLD int
shmring__await_peers(struct shmring *r, uint32_t roles, int there,
		     int64_t timeout)
{
	uint32_t *word = &r->notice->peers;
	int64_t deadline = timeout > 0 ? shmring__after(SHMRING_NOW(), timeout)
				       : INT64_MAX;
	if (shmring__own_line(r)) /* else it may not be written */
		SHMRING__STORE(&r->wait.sleeps_on, word, SEQ_CST); /* F6 */
	int result = 0, tries = 0;
	for (;;) {
		uint32_t seen = SHMRING__LOAD(word, ACQUIRE); /* A10 */
		if (result)
			break;
		if (shmring__peer_is_there(r, roles) == there) {
			/* One may have come where we had looked already, before
			 * the other left where we had not. A10 */
			if (there || SHMRING__LOAD(word, ACQUIRE) == seen ||
			    ++tries == SHMRING__STEP_TRIES)
				break;
			continue;
		}
		int64_t now = SHMRING_NOW();
		int64_t until = shmring__after(now, SHMRING_SLICE_NS);
		if (timeout == 0)
			result = -EAGAIN;
		else if (now >= deadline)
			result = -ETIMEDOUT;
		else if (shmring__interrupted(r))
			result = -ECANCELED;
		else if (SHMRING_FUTEX_WAIT(
				 word, seen,
				 shmring__earlier(until, deadline)) == -EINTR &&
			 r->wait.eintr)
			result = -EINTR;
	}
	SHMRING__STORE(&r->wait.sleeps_on, NULL, RELAXED); /* hint */
	return result;
}

/* Observers, too, may wait for peers: no line of our own is needed. */
SHMRING__COLD int
shmring__wait_peers(struct shmring *r, unsigned roles, int there,
		    int64_t timeout)
{
	if (!r->canary || !r->canary->alive || r->poisoned)
		return shmring__refusal(r, SHMRING__READ);
	if (!roles || roles > SHMRING_BOTH)
		return -EDOM;
	return shmring__await_peers(r, roles, there, timeout);
}

SHMRING_SCOPE int
shmring_wait_peer(struct shmring *ring, unsigned role, int64_t timeout_ns)
{
	return shmring__wait_peers(ring, role, 1, timeout_ns);
}

SHMRING_SCOPE int
shmring_wait_gone(struct shmring *ring, unsigned role, int64_t timeout_ns)
{
	return shmring__wait_peers(ring, role, 0, timeout_ns);
}

/* ------------------------------------------------------------------------
 * INSPECTION
 * ------------------------------------------------------------------------ */

SHMRING_SCOPE int
shmring_recover(struct shmring *ring)
{
	if (!ring->canary || !ring->canary->alive)
		return shmring__refusal(ring, SHMRING__READ);
	return shmring__own_line(ring) ? shmring__recover_all(ring) : -EPERM;
}

SHMRING_SCOPE int
shmring_id(const struct shmring *ring, unsigned char id[16])
{
	memset(id, 0, sizeof(ring->header->id));
	if (!ring->canary)
		return -EBADF;
	memcpy(id, ring->header->id, sizeof(ring->header->id));
	return 0;
}

SHMRING_SCOPE uint64_t
shmring_position(const struct shmring *ring, unsigned role)
{
	if (!ring->canary)
		return 0;
	int side = role == SHMRING_CONSUMER ? SHMRING__READ : SHMRING__WRITE;
	if (ring->mode == SHMRING_MPMC &&
	    ring->held[side].hold != SHMRING__IDLE)
		return ring->held[side].position;
	/* hint, unless it is our own */
	return SHMRING__LOAD(side == SHMRING__READ ? ring->head : ring->tail,
			     RELAXED);
}

SHMRING_SCOPE uint64_t
shmring_lost(const struct shmring *ring)
{
	return ring->broadcast.lost;
}

SHMRING_SCOPE int
shmring_seek(struct shmring *ring, uint64_t position)
{
	if (!shmring__limit(ring, SHMRING__READ))
		return shmring__refusal(ring, SHMRING__READ);
	if (ring->mode != SHMRING_BROADCAST)
		return -ENOTSUP;
	uint64_t before = shmring__sequence(ring);
	struct shmring__mark here = { 0, before };
	here.position = SHMRING__LOAD(ring->head, RELAXED); /* own */
	int error = shmring__take_place(ring, position,
					ring->broadcast.holds ? &here : NULL);
	uint64_t now = shmring__sequence(ring);
	/* Which we may have left already; and what we had last may be published
	 * where the writer has not told its tail yet: that is not the newest. */
	if (error || (position == SHMRING_NEWEST &&
		      shmring__distance(now, before) < 0)) {
		shmring__jump(ring, &here);
		now = before;
	}
	if (shmring__distance(now, before) > 0)
		shmring__lose(ring, now - before);
	return error;
}

SHMRING_SCOPE size_t
shmring_capacity(const struct shmring *ring)
{
	const struct shmring__geometry *g = &ring->geometry;
	return g->mode != SHMRING_SPSC || !g->stride
		       ? g->slots
		       : (g->capacity - 8) / g->stride;
}

SHMRING_SCOPE uint64_t
shmring_length(const struct shmring *ring)
{
	if (!ring->canary)
		return 0;
	/* hint: both may have moved on */
	uint64_t head = SHMRING__LOAD(ring->head, RELAXED);
	uint64_t tail = SHMRING__LOAD(ring->tail, RELAXED);
	/* Who does not read itself knows where the slowest was, some time ago. */
	if (ring->broadcast.asks && !ring->line[SHMRING__READ])
		head = shmring__slowest(ring, tail, 0);
	uint64_t most = ring->mode == SHMRING_MPMC ? ring->mask + 1
						   : ring->geometry.capacity;
	uint64_t length = shmring__distance(tail, head) < 0 ? 0 : tail - head;
	return length < most ? length : most;
}

/* How long the message at this position has been there, if it is metered; 0:
 * there is none. */
SHMRING__COLD uint64_t
shmring__age(const struct shmring *r, uint64_t position)
{
	uint64_t *word = r->mode == SHMRING_MPMC
				 ? shmring__phase_word(r, position)
				 : shmring__header_at(r, position);
	uint64_t seen = SHMRING__LOAD(word, ACQUIRE); /* A1, A4 */
	int there = seen != 0;
	if (r->mode == SHMRING_MPMC)
		there = shmring__phase_in(r, seen) ==
			shmring__phase(r, position, 1);
	if (!r->meters || !there)
		return 0;
	/* carried by A1, A4; hint: it may be another's meanwhile */
	uint64_t since = SHMRING__LOAD(word - SHMRING__STAMP / 8, RELAXED);
	uint64_t now = (uint64_t)SHMRING_NOW();
	return shmring__distance(now, since) > 0 ? now - since : 0;
}

/* What a BROADCAST reader's own head tells. */
static inline void
shmring__describe_reader(const struct shmring *r, const struct shmring__line *x,
			 struct shmring_participant *out)
{
	/* hint: both may have moved on */
	uint64_t head = SHMRING__LOAD(&x->head, RELAXED);
	uint64_t tail = SHMRING__LOAD(r->tail, RELAXED);
	uint64_t passed = SHMRING__LOAD(&x->passed, RELAXED);
	out->popped_bytes = head - passed - out->popped * 8;
	out->lag = shmring__distance(tail, head) > 0 ? tail - head : 0;
	out->lost = SHMRING__LOAD(&x->lost, RELAXED); /* hint */
	if (!shmring__overwritten(r, head))
		out->age_ns = shmring__age(r, head);
}

/* What a line tells, without a system call. */
SHMRING__COLD int
shmring__read_line(const struct shmring *ring, uint32_t index,
		   struct shmring_participant *out)
{
	memset(out, 0, sizeof(*out));
	if (!ring->canary)
		return -EBADF;
	if (index >= ring->geometry.participants)
		return -ERANGE;
	const struct shmring__line *x = &ring->lines[index];
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE); /* A7 */
	/* hint: counters go on */
	out->pushed = SHMRING__LOAD(&x->pushed, RELAXED);
	out->pushed_bytes = SHMRING__LOAD(&x->pushed_bytes, RELAXED);
	out->popped = SHMRING__LOAD(&x->popped, RELAXED);
	out->popped_bytes = SHMRING__LOAD(&x->popped_bytes, RELAXED);
	/* hint */
	if (ring->mode != SHMRING_MPMC && index == SHMRING__WRITE)
		out->pushed_bytes +=
			SHMRING__LOAD(ring->tail, RELAXED) - out->pushed * 8;
	/* hint */
	if (ring->mode == SHMRING_SPSC && index == SHMRING__READ)
		out->popped_bytes +=
			(SHMRING__LOAD(ring->head, RELAXED) & ~UINT64_C(7)) -
			out->popped * 8;
	if (ring->mode == SHMRING_BROADCAST && index != SHMRING__WRITE)
		shmring__describe_reader(ring, x, out);
	/* hint */
	out->full = SHMRING__LOAD(&x->full, RELAXED);
	out->empty = SHMRING__LOAD(&x->empty, RELAXED);
	out->sleeps = SHMRING__LOAD(&x->sleeps, RELAXED);
	out->wakes = SHMRING__LOAD(&x->wakes, RELAXED);
	out->refused = SHMRING__LOAD(&x->refused, RELAXED);
	out->high_water = SHMRING__LOAD(&x->high_water, RELAXED);
	if (shmring__state_of(status) == SHMRING__FREE)
		return -ENOENT;
	/* carried by A7 */
	out->pid = SHMRING__LOAD(&x->pid, RELAXED);
	out->roles = shmring__roles_of(status);
	out->waits = (uint32_t)SHMRING__LOAD(&x->waits, RELAXED); /* hint */
	out->dead = shmring__state_of(status) != SHMRING__LIVE;
	return 0;
}

SHMRING_SCOPE int
shmring_participant(const struct shmring *ring, uint32_t index,
		    struct shmring_participant *out)
{
	int error = shmring__read_line(ring, index, out);
	if (!error && shmring__dead(ring, index))
		out->dead = 1;
	return error;
}

SHMRING_SCOPE int
shmring_stat(const struct shmring *ring, struct shmring_stat *out)
{
	const struct shmring__geometry *g = &ring->geometry;
	memset(out, 0, sizeof(*out));
	if (!ring->canary)
		return -EBADF;
	out->mode = g->mode;
	out->slots = g->slots;
	out->slot_size = g->slot_size;
	out->participants = g->participants;
	out->length = shmring_length(ring);
	out->capacity = g->mode == SHMRING_MPMC ? g->slots : g->capacity;
	if (g->mode != SHMRING_BROADCAST) /* hint */
		out->age_ns =
			shmring__age(ring, SHMRING__LOAD(ring->head, RELAXED));
	for (uint32_t i = 0; i < g->participants; i++) {
		struct shmring_participant one;
		shmring__read_line(ring, i, &one);
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
		out->refused += one.refused;
		if (one.high_water > out->high_water)
			out->high_water = one.high_water;
		if (one.roles && one.age_ns > out->age_ns)
			out->age_ns = one.age_ns;
	}
	return 0;
}

/* What to do about each. */
static const struct shmring__advice {
	int error;
	const char *text;
} shmring__advice[] __attribute__((__unused__)) = {
	{ 0, "success" },
	{ EAGAIN, "full or empty at the moment: try again, or use a "
		  "waiting call" },
	{ ETIMEDOUT, "timed out: nobody came, took or brought anything in "
		     "time" },
	{ ECANCELED, "interrupted: shmring_interrupt ended the wait; nothing "
		     "is lost" },
	{ EINTR, "a signal was handled while the call slept, which "
		 "shmring_set_eintr asks to be told of: call again, or "
		 "end" },
	{ EMSGSIZE, "message larger than slot_size, or than the buffer it "
		    "should go into: create the ring with a larger "
		    "slot_size, or pass a larger buffer" },
	{ EPIPE, "the other side is gone: the last consumer (push) or "
		 "producer (pop, all read) has closed or died" },
	{ EBUSY, "taken: the role, by a living process (open, dup); the "
		 "name, by a ring in use or just being replaced "
		 "(create with SHMRING_REPLACE); the handle, by a "
		 "reservation or peek not yet finished (push, pop)" },
	{ EUSERS, "all participants are attached: create the ring with "
		  "more participants" },
	{ EPERM, "not permitted: the handle lacks the role (push, pop); "
		 "the ring is another user's, see SHMRING_ANY_OWNER, or "
		 "more may write it than its creator said (open); the "
		 "descriptor is not sealed (open_fd); the name is "
		 "another user's (replace, unlink); RLIMIT_MEMLOCK is 0 "
		 "(SHMRING_MLOCK)" },
	{ ESTALE, "handle of a parent process, or of a ring that was "
		  "replaced: open your own" },
	{ EBADF, "handle or descriptor is not open: create or open the "
		 "ring first" },
	{ EBADMSG, "damaged content in shared memory: recreate the ring "
		   "and distrust its peers" },
	{ EPROTO, "not a shmring segment: check the name" },
	{ EPROTOTYPE,
	  "made on a machine with another word size or byte order" },
	{ EPROTONOSUPPORT, "made by another layout version of shmring: rebuild "
			   "both sides with the same header" },
	{ EREMOTE, "made before a reboot, or on another machine, or where "
		   "boot_id is another: unlink and recreate it; in a "
		   "container, mount an empty file over its "
		   "/proc/sys/kernel/random/boot_id" },
	{ ENOBUFS, "overwritten before it was read (SHMRING_LOSSY, or too "
		   "slow for too long): shmring_lost() tells how many, the "
		   "next call goes on at the oldest message" },
	{ EOVERFLOW, "the segment's size is not what its header says: "
		     "somebody truncated it; recreate it" },
	{ EEXIST, "the name is taken: open it, unlink it, or create with "
		  "SHMRING_REPLACE" },
	{ EOWNERDEAD, "the name is taken by a ring whose users died: create "
		      "with SHMRING_REPLACE, or unlink it" },
	{ ENOENT, "no such ring: create it first, or open with a timeout" },
	{ ENOTDIR, "there is no directory for rings: make or "
		   "mount " SHMRING_DIRECTORY },
	{ ENXIO, "no /proc that shows this process: mount it, for "
		 "create, dup and open_fd need /proc/self/fd" },
	{ ENOSPC, "no room: larger than what the file system "
		  "of " SHMRING_DIRECTORY " has free, or than the memory that "
		  "is available (MemAvailable in /proc/meminfo, the "
		  "limit of the cgroup): fewer or smaller slots; or, "
		  "who polls, fs.inotify.max_user_watches" },
	{ EFBIG, "larger than this process may make a file: raise "
		 "RLIMIT_FSIZE (ulimit -f), or fewer or smaller slots" },
	{ ENOMEM, "no memory, or no huge pages reserved: see "
		  "vm.nr_hugepages, RLIMIT_MEMLOCK, RLIMIT_AS" },
	{ EOPNOTSUPP, "not supported: no transparent huge pages for shared "
		      "memory on this system (SHMRING_HUGE), or no "
		      "descriptor to pass (fd of a ring with a name), no "
		      "place to choose (seek: BROADCAST only), not several "
		      "in hands (peek_n: SPSC only)" },
	{ EISDIR, "the file system of " SHMRING_DIRECTORY
		  " has no O_TMPFILE: mount a tmpfs there, or take "
		  "memfd" },
	{ ENODEV, "the file system of " SHMRING_DIRECTORY
		  " cannot allocate (fallocate): mount a tmpfs there, or "
		  "take memfd" },
	{ ENOLCK, "locks of open files are refused (fcntl, F_OFD_SETLK): "
		  "no participant could be told from a dead one" },
	{ ENOSYS, "the kernel, or a filter (seccomp), refuses a system "
		  "call that this needs: openat with O_TMPFILE, "
		  "fallocate, fchmod, linkat, memfd_create, madvise with "
		  "MADV_WIPEONFORK (Linux 4.14), for SHMRING_REPLACE "
		  "renameat2, for who polls inotify, epoll, timerfd" },
	{ EINVAL, "invalid name: a ring's is one component, \"/prices\", that "
		  "does not end in " SHMRING__TEMPORARY },
	{ ENOMSG, "nothing in hands: commit needs a reserve before, release "
		  "a peek, each its own" },
	{ EDOM, "no such mode, role, flag or permission, or not for "
		"this call (SHMRING_HUGETLB: memfd only)" },
	{ ERANGE, "number out of range: slots at most 2^30 and, in MPMC, at "
		  "least 2 and twice the participants (1024 at most; "
		  "BROADCAST: 1023 readers), slot_size at most 2^30 (create); "
		  "the index, less than participants (participant); how "
		  "many, at least 1 and no more than there are (peek_n, "
		  "release_n), than SHMRING_ITEMS (wait_several); no "
		  "whole message begins at that position (seek)" },
	{ ENAMETOOLONG, "name longer than 251 bytes" },
	{ ELOOP, "a symbolic link stands under the name: no ring does "
		 "that" },
	{ EACCES, "permission denied by the file system: see the ring's "
		  "permissions, or those of " SHMRING_DIRECTORY },
	{ EROFS, SHMRING_DIRECTORY " is mounted read-only" },
	{ EMFILE, "too many open files: raise RLIMIT_NOFILE; or, who polls, "
		  "fs.inotify.max_user_instances" },
	{ ENFILE, "too many open files in the whole system: raise "
		  "fs.file-max" },
};

SHMRING_SCOPE const char *
shmring_strerror(int error)
{
	const size_t count = sizeof(shmring__advice) / sizeof(*shmring__advice);
	for (size_t i = 0; i < count; i++)
		if (shmring__advice[i].error == -error)
			return shmring__advice[i].text;
	int saved = errno;
	const char *text = strerror(-error);
	errno = saved;
	return text;
}

#ifdef SHMRING_SHARED
/* Bytes of a handle, for who does not know the struct; aligned as by malloc. */
SHMRING_SCOPE size_t shmring_handle_size(void);
SHMRING_SCOPE size_t
shmring_handle_size(void)
{
	return sizeof(struct shmring);
}
#endif

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif /* the system calls are there */
#endif /* the target suits */
#endif /* SHMRING_H */
