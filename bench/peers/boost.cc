/* SPDX-License-Identifier: MIT */
/*
 * boost.cc - Boost: two lock-free queues, placed in memory shared by
 * processes (capacity and element are part of their type), and the
 * message queue of Boost.Interprocess, which has a name.
 */
#include "../loop.h"
#include "peers.h"

#if __has_include(<boost/lockfree/spsc_queue.hpp>)

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <new>

namespace
{
namespace lockfree = boost::lockfree;

template <size_t size>
using spsc_queue = lockfree::spsc_queue<peer_element<size>,
					lockfree::capacity<BENCH_DEPTH>>;
template <size_t size>
using mpmc_queue =
	lockfree::queue<peer_element<size>, lockfree::fixed_sized<true>,
			lockfree::capacity<BENCH_DEPTH>>;

template <template <size_t> class queue, size_t size>
LOOP int
push(struct channel *ch)
{
	queue<size> *q = static_cast<queue<size> *>(ch->shared);
	peer_element<size> *element =
		reinterpret_cast<peer_element<size> *>(ch->out);

	return q->push(*element) ? 0 : -EAGAIN;
}

template <template <size_t> class queue, size_t size>
LOOP int
pop(struct channel *ch)
{
	queue<size> *q = static_cast<queue<size> *>(ch->shared);
	peer_element<size> *element =
		reinterpret_cast<peer_element<size> *>(ch->in);

	return q->pop(*element) ? 0 : -EAGAIN;
}

template <template <size_t> class queue>
LOOP int
put(struct channel *ch, size_t size)
{
#define PUT(n) return push<queue, n>(ch)
	PEER_SIZED(size, PUT)
#undef PUT
	return -EMSGSIZE;
}

template <template <size_t> class queue>
LOOP int
get(struct channel *ch, size_t size, const void **message)
{
	*message = ch->in;
#define GET(n) return pop<queue, n>(ch)
	PEER_SIZED(size, GET)
#undef GET
	return -EMSGSIZE;
}

LOOP ssize_t
put_n(struct channel *ch, const void *messages, size_t size, size_t n)
{
#define PUT(bytes)                                                       \
	return static_cast<ssize_t>(                                     \
		static_cast<spsc_queue<bytes> *>(ch->shared)             \
			->push(static_cast<const peer_element<bytes> *>( \
				       messages),                        \
			       n))
	PEER_SIZED(size, PUT)
#undef PUT
	return -EMSGSIZE;
}

LOOP ssize_t
get_n(struct channel *ch, void *messages, size_t size, size_t n)
{
#define GET(bytes)                                                          \
	return static_cast<ssize_t>(                                        \
		static_cast<spsc_queue<bytes> *>(ch->shared)                \
			->pop(static_cast<peer_element<bytes> *>(messages), \
			      n))
	PEER_SIZED(size, GET)
#undef GET
	return -EMSGSIZE;
}

template <template <size_t> class queue>
constexpr loop_ops
queue_ops(bool batch)
{
	loop_ops o = {};

	o.slot = loop_slot_copy;
	o.put = put<queue>;
	o.get = get<queue>;
	o.done = loop_done_copy;
	if (batch) {
		o.put_n = put_n;
		o.get_n = get_n;
	}
	return o;
}

constexpr loop_ops spsc_ops = queue_ops<spsc_queue>(true);
constexpr loop_ops mpmc_ops = queue_ops<mpmc_queue>(false);

LOOP_RUN(run_spsc, spsc_ops)
LOOP_RUN(run_mpmc, mpmc_ops)

const char *
refuses(const struct job *job)
{
	if (bench_depth(job) != BENCH_DEPTH)
		return "typed: compiled for a depth of 1024";
	return peer_typed_refuses(job);
}

template <template <size_t> class queue>
size_t
bytes(const struct job *job)
{
#define BYTES(n) return sizeof(queue<n>)
	PEER_SIZED(job->size, BYTES)
#undef BYTES
	return 0;
}

template <template <size_t> class queue>
int
create(struct channel *ch)
{
#define CREATE(n) new (ch->shared) queue<n>
	PEER_SIZED(ch->job->size, CREATE)
#undef CREATE
	return 0;
}

template <template <size_t> class queue>
constexpr mechanism
lockfree_mechanism(const char *name, const char *summary, unsigned caps)
{
	mechanism m = {};

	m.name = name;
	m.summary = summary;
	m.caps = caps;
	m.refuses = refuses;
	m.shared_bytes = bytes<queue>;
	m.create = create<queue>;
	return m;
}

/* ------------------------------------------------- Boost.Interprocess */

namespace ipc = boost::interprocess;

ipc::message_queue *
held(struct channel *ch)
{
	return static_cast<ipc::message_queue *>(ch->own);
}

int
queue_put(struct channel *ch, size_t size)
{
	return held(ch)->try_send(ch->out, size, 0) ? 0 : -EAGAIN;
}

int
queue_put_wait(struct channel *ch, size_t size)
{
	held(ch)->send(ch->out, size, 0);
	return 0;
}

int
queue_get(struct channel *ch, size_t size, const void **message)
{
	ipc::message_queue::size_type length;
	unsigned priority;

	*message = ch->in;
	return held(ch)->try_receive(ch->in, size, length, priority) ? 0
								     : -EAGAIN;
}

int
queue_get_wait(struct channel *ch, size_t size, const void **message)
{
	ipc::message_queue::size_type length;
	unsigned priority;

	*message = ch->in;
	held(ch)->receive(ch->in, size, length, priority);
	return 0;
}

constexpr loop_ops
message_queue_ops()
{
	loop_ops o = {};

	o.slot = loop_slot_copy;
	o.put = queue_put;
	o.put_wait = queue_put_wait;
	o.get = queue_get;
	o.get_wait = queue_get_wait;
	o.done = loop_done_copy;
	return o;
}

constexpr loop_ops queue_run_ops = message_queue_ops();
LOOP_RUN(queue_run, queue_run_ops)

int
queue_create(struct channel *ch)
{
	try {
		ch->own = new ipc::message_queue(ipc::create_only, ch->name,
						 bench_depth(ch->job),
						 ch->job->size);
	} catch (const std::exception &) {
		return -ENOSPC;
	}
	return 0;
}

int
queue_join(struct channel *ch)
{
	try {
		if (!ch->creator)
			ch->own = new ipc::message_queue(ipc::open_only,
							 ch->name);
	} catch (const std::exception &) {
		return -ENOENT;
	}
	return 0;
}

void
queue_leave(struct channel *ch)
{
	delete held(ch);
}

void
queue_unlink(const struct mechanism *, const char *name)
{
	ipc::message_queue::remove(name);
}

constexpr mechanism
message_queue_mechanism()
{
	mechanism m = {};

	m.name = "boost-message-queue";
	m.summary = "Boost.Interprocess: mutex, condition and priorities";
	m.caps = CAP_SPIN | CAP_BLOCK | CAP_NAMED | CAP_MANY_SENDERS |
		 CAP_MANY_RECEIVERS;
	m.create = queue_create;
	m.join = queue_join;
	m.leave = queue_leave;
	m.unlink = queue_unlink;
	m.run = queue_run;
	return m;
}

constexpr mechanism
with_run(mechanism m, void (*run)(struct worker *, enum bench_part))
{
	m.run = run;
	return m;
}
} // namespace

const struct mechanism peer_boost_spsc =
	with_run(lockfree_mechanism<spsc_queue>("boost-spsc",
						"Boost.Lockfree spsc_queue",
						CAP_SPIN | CAP_BATCH),
		 run_spsc);
const struct mechanism peer_boost_queue =
	with_run(lockfree_mechanism<mpmc_queue>(
			 "boost-queue", "Boost.Lockfree queue, many of both",
			 CAP_SPIN | CAP_MANY_SENDERS | CAP_MANY_RECEIVERS),
		 run_mpmc);
const struct mechanism peer_boost_message_queue = message_queue_mechanism();

#else
const struct mechanism peer_boost_spsc =
	peer_missing("boost-spsc", "libboost-dev");
const struct mechanism peer_boost_queue =
	peer_missing("boost-queue", "libboost-dev");
const struct mechanism peer_boost_message_queue =
	peer_missing("boost-message-queue", "libboost-dev");
#endif
