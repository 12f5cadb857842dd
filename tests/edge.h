/* SPDX-License-Identifier: MIT
 *
 * edge.h - what happens at the nth access of some kind to some place, for the
 * tests of single steps; include it before the header, whose accesses they give
 * to reach()
 */
#ifndef TESTS_EDGE_H
#define TESTS_EDGE_H

#include <setjmp.h>
#include <stddef.h>

#define SHMRING__COUNT_IN_C /* for these accesses, too */
#define ANYWHERE ((const void *)-1)

struct edge {
	const void *place; /* in the mapping of who comes there */
	int nth;
	void (*step)(void); /* NULL: not armed, or it has happened */
};

/* Once: what the step does itself is not interrupted. */
static inline void
reach(struct edge *edge, const void *place)
{
	void (*step)(void) = edge->step;

	if (!step || (edge->place != ANYWHERE && edge->place != place) ||
	    --edge->nth > 0)
		return;
	edge->step = NULL;
	step();
}

static inline void
arm(struct edge *edge, const void *place, int nth, void (*step)(void))
{
	edge->place = place;
	edge->nth = nth;
	edge->step = step;
}

/* Whoever comes there is killed there: if (lives()) it does something. */
static jmp_buf edge_grave __attribute__((__unused__));
#define lives() (!setjmp(edge_grave))
static inline void
perish(void)
{
	longjmp(edge_grave, 1);
}

#endif /* TESTS_EDGE_H */
