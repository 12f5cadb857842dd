/* SPDX-License-Identifier: MIT */
/*
 * tbb.cc - oneTBB's concurrent_bounded_queue, between threads. (Its
 * concurrent_queue knows no "full", so it does not do the same work.)
 */
#include "../loop.h"
#include "peers.h"

#ifdef HAVE_TBB

#include <tbb/concurrent_queue.h>

namespace
{
template <size_t size>
using bounded = tbb::concurrent_bounded_queue<peer_element<size>>;

template <size_t size>
LOOP bounded<size> *
of(struct channel *ch)
{
	return static_cast<bounded<size> *>(ch->shared);
}

template <size_t size>
LOOP peer_element<size> &
as(void *p)
{
	return *static_cast<peer_element<size> *>(p);
}

int
put(struct channel *ch, size_t size)
{
#define PUT(n) return of<n>(ch)->try_push(as<n>(ch->out)) ? 0 : -EAGAIN
	PEER_SIZED(size, PUT)
#undef PUT
	return -EMSGSIZE;
}

int
get(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n) return of<n>(ch)->try_pop(as<n>(ch->in)) ? 0 : -EAGAIN
	PEER_SIZED(size, GET)
#undef GET
	return -EMSGSIZE;
}

int
put_wait(struct channel *ch, size_t size)
{
#define PUT(n) of<n>(ch)->push(as<n>(ch->out))
	PEER_SIZED(size, PUT)
#undef PUT
	return 0;
}

int
get_wait(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n) of<n>(ch)->pop(as<n>(ch->in))
	PEER_SIZED(size, GET)
#undef GET
	return 0;
}

constexpr loop_ops
operations()
{
	loop_ops o = {};

	o.slot = loop_slot_copy;
	o.put = put;
	o.put_wait = put_wait;
	o.get = get;
	o.get_wait = get_wait;
	o.done = loop_done_copy;
	return o;
}

constexpr loop_ops run_ops = operations();
LOOP_RUN(run, run_ops)

template <size_t size>
void
make(struct channel *ch)
{
	bounded<size> *q = new bounded<size>;

	q->set_capacity(static_cast<std::ptrdiff_t>(bench_depth(ch->job)));
	ch->shared = q;
}

int
create(struct channel *ch)
{
#define CREATE(n) make<n>(ch)
	PEER_SIZED(ch->job->size, CREATE)
#undef CREATE
	return 0;
}

constexpr mechanism
make_mechanism()
{
	mechanism m = {};

	m.name = "tbb-bounded";
	m.summary = "oneTBB concurrent_bounded_queue";
	m.caps = CAP_THREADS | CAP_SPIN | CAP_BLOCK | CAP_MANY_SENDERS |
		 CAP_MANY_RECEIVERS;
	m.refuses = peer_typed_refuses;
	m.create = create;
	m.run = run;
	return m;
}
} // namespace

const struct mechanism peer_tbb = make_mechanism();

#else
const struct mechanism peer_tbb = peer_missing("tbb-bounded", "libtbb-dev");
#endif
