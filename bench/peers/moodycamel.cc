/* SPDX-License-Identifier: MIT */
/*
 * moodycamel.cc - moodycamel's queues. They allocate from the heap, so their
 * users are threads of one process here.
 */
#include "../loop.h"
#include "peers.h"

#if __has_include(<readerwriterqueue/readerwriterqueue.h>) && \
	__has_include(<concurrentqueue/blockingconcurrentqueue.h>)

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <readerwriterqueue/readerwritercircularbuffer.h>
#include <readerwriterqueue/readerwriterqueue.h>

namespace
{
template <size_t size> using element = peer_element<size>;

/* One adaptor a queue: what put, get and the like are called there. */

template <size_t size> struct spsc {
	moodycamel::ReaderWriterQueue<element<size>> queue;

	explicit spsc(size_t depth) : queue(depth)
	{
	}
	bool
	put(const element<size> &e)
	{
		return queue.try_enqueue(e);
	}
	bool
	get(element<size> &e)
	{
		return queue.try_dequeue(e);
	}
};

template <size_t size> struct circular {
	moodycamel::BlockingReaderWriterCircularBuffer<element<size>> queue;

	explicit circular(size_t depth) : queue(depth)
	{
	}
	bool
	put(const element<size> &e)
	{
		return queue.try_enqueue(e);
	}
	bool
	get(element<size> &e)
	{
		return queue.try_dequeue(e);
	}
	void
	put_wait(const element<size> &e)
	{
		queue.wait_enqueue(e);
	}
	void
	get_wait(element<size> &e)
	{
		queue.wait_dequeue(e);
	}
};

template <template <size_t> class adaptor, size_t size>
LOOP adaptor<size> *
of(struct channel *ch)
{
	return static_cast<adaptor<size> *>(ch->shared);
}

template <size_t size>
LOOP element<size> *
as(void *p)
{
	return static_cast<element<size> *>(p);
}

template <template <size_t> class adaptor>
LOOP int
put(struct channel *ch, size_t size)
{
#define PUT(n) return of<adaptor, n>(ch)->put(*as<n>(ch->out)) ? 0 : -EAGAIN
	PEER_SIZED(size, PUT)
#undef PUT
	return -EMSGSIZE;
}

template <template <size_t> class adaptor>
LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n) return of<adaptor, n>(ch)->get(*as<n>(ch->in)) ? 0 : -EAGAIN
	PEER_SIZED(size, GET)
#undef GET
	return -EMSGSIZE;
}

template <template <size_t> class adaptor>
LOOP int
put_wait(struct channel *ch, size_t size)
{
#define PUT(n) of<adaptor, n>(ch)->put_wait(*as<n>(ch->out))
	PEER_SIZED(size, PUT)
#undef PUT
	return 0;
}

template <template <size_t> class adaptor>
LOOP int
get_wait(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n) of<adaptor, n>(ch)->get_wait(*as<n>(ch->in))
	PEER_SIZED(size, GET)
#undef GET
	return 0;
}

template <template <size_t> class adaptor>
int
create(struct channel *ch)
{
#define CREATE(n) ch->shared = new adaptor<n>(bench_depth(ch->job))
	PEER_SIZED(ch->job->size, CREATE)
#undef CREATE
	return 0;
}

/* ------------------------------------- many of both: each with a token */

template <size_t size>
using many = moodycamel::BlockingConcurrentQueue<element<size>>;

/* What a participant keeps: its own lane into the queue, or out of it. */
struct lanes {
	moodycamel::ProducerToken in;
	moodycamel::ConsumerToken out;

	template <class queue> explicit lanes(queue &q) : in(q), out(q)
	{
	}
};

template <size_t size>
LOOP many<size> *
many_of(struct channel *ch)
{
	return static_cast<many<size> *>(ch->shared);
}

LOOP lanes *
lanes_of(struct channel *ch)
{
	return static_cast<lanes *>(ch->own);
}

LOOP int
many_put(struct channel *ch, size_t size)
{
#define PUT(n)                                                                \
	return many_of<n>(ch)->try_enqueue(lanes_of(ch)->in, *as<n>(ch->out)) \
		       ? 0                                                    \
		       : -EAGAIN
	PEER_SIZED(size, PUT)
#undef PUT
	return -EMSGSIZE;
}

LOOP int
many_get(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n)                                                                \
	return many_of<n>(ch)->try_dequeue(lanes_of(ch)->out, *as<n>(ch->in)) \
		       ? 0                                                    \
		       : -EAGAIN
	PEER_SIZED(size, GET)
#undef GET
	return -EMSGSIZE;
}

LOOP int
many_get_wait(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n) many_of<n>(ch)->wait_dequeue(lanes_of(ch)->out, *as<n>(ch->in))
	PEER_SIZED(size, GET)
#undef GET
	return 0;
}

LOOP ssize_t
many_put_n(struct channel *ch, const void *messages, size_t size, size_t n)
{
#define PUT(bytes)                                                       \
	return many_of<bytes>(ch)->try_enqueue_bulk(                     \
		       lanes_of(ch)->in,                                 \
		       static_cast<const element<bytes> *>(messages), n) \
		       ? static_cast<ssize_t>(n)                         \
		       : 0
	PEER_SIZED(size, PUT)
#undef PUT
	return -EMSGSIZE;
}

LOOP ssize_t
many_get_n(struct channel *ch, void *messages, size_t size, size_t n)
{
#define GET(bytes)                                                        \
	return static_cast<ssize_t>(many_of<bytes>(ch)->try_dequeue_bulk( \
		lanes_of(ch)->out, as<bytes>(messages), n))
	PEER_SIZED(size, GET)
#undef GET
	return -EMSGSIZE;
}

int
many_join(struct channel *ch)
{
#define JOIN(n) ch->own = new lanes(*many_of<n>(ch))
	PEER_SIZED(ch->job->size, JOIN)
#undef JOIN
	return 0;
}

void
many_leave(struct channel *ch)
{
	delete lanes_of(ch);
}

/* ------------------------------------------------------------------- */

constexpr loop_ops
operations(decltype(loop_ops::put) put_one, decltype(loop_ops::get) get_one)
{
	loop_ops o = {};

	o.slot = loop_slot_copy;
	o.put = put_one;
	o.get = get_one;
	o.done = loop_done_copy;
	return o;
}

constexpr loop_ops
circular_operations()
{
	loop_ops o = operations(put<circular>, get<circular>);

	o.put_wait = put_wait<circular>;
	o.get_wait = get_wait<circular>;
	return o;
}

/* Nothing waits for room here: a full queue is looked at again. */
constexpr loop_ops
many_operations()
{
	loop_ops o = operations(many_put, many_get);

	o.put_wait = many_put;
	o.get_wait = many_get_wait;
	o.put_n = many_put_n;
	o.get_n = many_get_n;
	return o;
}

constexpr loop_ops run_spsc_ops = operations(put<spsc>, get<spsc>);
LOOP_RUN(run_spsc, run_spsc_ops)
constexpr loop_ops run_circular_ops = circular_operations();
LOOP_RUN(run_circular, run_circular_ops)
constexpr loop_ops run_many_ops = many_operations();
LOOP_RUN(run_many, run_many_ops)

constexpr mechanism
threads(const char *name, const char *summary, unsigned caps,
	decltype(mechanism::create) make, decltype(mechanism::run) run)
{
	mechanism m = {};

	m.name = name;
	m.summary = summary;
	m.caps = CAP_THREADS | CAP_SPIN | caps;
	m.refuses = peer_typed_refuses;
	m.create = make;
	m.run = run;
	return m;
}

constexpr mechanism
many_mechanism()
{
	mechanism m = threads("moody-concurrent",
			      "moodycamel ConcurrentQueue; order kept by "
			      "each sender only",
			      CAP_BLOCK | CAP_BATCH | CAP_MANY_SENDERS |
				      CAP_MANY_RECEIVERS,
			      create<many>, run_many);

	m.join = many_join;
	m.leave = many_leave;
	return m;
}
} // namespace

const struct mechanism peer_moody_spsc =
	threads("moody-spsc", "moodycamel ReaderWriterQueue", 0, create<spsc>,
		run_spsc);
const struct mechanism peer_moody_circular = threads(
	"moody-circular", "moodycamel BlockingReaderWriterCircularBuffer",
	CAP_BLOCK, create<circular>, run_circular);
const struct mechanism peer_moody_mpmc = many_mechanism();

#else
#define MOODY "libreaderwriterqueue-dev libconcurrentqueue-dev"
const struct mechanism peer_moody_spsc = peer_missing("moody-spsc", MOODY);
const struct mechanism peer_moody_circular =
	peer_missing("moody-circular", MOODY);
const struct mechanism peer_moody_mpmc =
	peer_missing("moody-concurrent", MOODY);
#endif
