/* SPDX-License-Identifier: MIT
 *
 * hooks.h - the header for processes that are killed and stopped at every
 * instruction: every run of a trial takes the same path, and who is `blind`
 * proves no death
 */
#ifndef CRASH_HOOKS_H
#define CRASH_HOOKS_H

#include <errno.h>
#include <stdint.h>

/* Time is how often somebody looked at the clock: nothing waits for long. */
static int64_t clock_looks;
#define SHMRING_NOW() (++clock_looks)
#define SHMRING_SPIN_NS 1
#define SHMRING_PATIENCE_NS 2
#define SHMRING__MORE_PATIENCE 2
#define SHMRING_SLICE_NS 4
#define SHMRING_FUTEX_WAIT(word, value, until) \
	((void)(until),                        \
	 shmring__futex_wait(word, value, shmring__now() + 200000))

/* The control: no death can be proven any more, and no doubt decided. */
static int blind;
static long ask_the_kernel(long number, long a, long b, long c, long d, long e,
			   long f);
#define SHMRING_HEAVY(ring) (blind ? -EPERM : shmring__membarrier(ring))
#define syscall ask_the_kernel
#include "shmring_poll.h"
#undef syscall

static long
ask_the_kernel(long number, long a, long b, long c, long d, long e, long f)
{
	if (blind && number == SYS_fcntl && b == SHMRING__F_OFD_GETLK) {
		errno = EPERM;
		return -1;
	}
	return syscall(number, a, b, c, d, e, f);
}

#endif /* CRASH_HOOKS_H */
