/* SPDX-License-Identifier: MIT */
/*
 * ring_deaf.c - the ring built once more, so that nobody looks whether the
 * other side sleeps: what being able to sleep costs who does not.
 *
 * The look is the only load of the header's that is sequentially consistent
 * (but one at attaching, which may see the same); here it sees that nobody
 * sleeps without looking. That it is gone is checked when a ring is made.
 */
#define RING_DEAF
#define __atomic_load_n(place, order) \
	((order) == __ATOMIC_SEQ_CST ? 0 : __atomic_load_n(place, order))

#include "ring.c"
