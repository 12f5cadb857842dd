/* SPDX-License-Identifier: MIT */
/*
 * iceoryx.cc - Eclipse iceoryx: chunks of shared memory are loaned, written
 * and published in place. Its daemon, RouDi, runs as a child of the one who
 * makes the channels, for as long as they last; one that is running already
 * on this machine is in the way.
 */
#include "../loop.h"
#include "peers.h"

#ifdef HAVE_ICEORYX

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <string>
#include <unistd.h>

namespace
{
constexpr uint64_t queue_capacity = 256; /* iceoryx allows no more */

struct hold {
	iox::popo::UntypedPublisher *publisher;
	iox::popo::UntypedSubscriber *subscriber;
	void *loaned;
	const void *taken;
	bool met; /* the other side is there */
};

LOOP hold *
of(struct channel *ch)
{
	return static_cast<hold *>(ch->own);
}

int
slot(struct channel *ch, size_t size, void **message)
{
	hold *h = of(ch);

	/* What nobody has subscribed to yet would be thrown away. */
	for (; !h->met && !h->publisher->hasSubscribers(); usleep(1000))
		;
	h->met = true;
	if (!h->loaned) {
		auto chunk = h->publisher->loan(static_cast<uint32_t>(size));

		if (chunk.has_error())
			return -EAGAIN;
		h->loaned = chunk.value();
	}
	*message = h->loaned;
	return 0;
}

/* Waits inside for a subscriber that is behind. */
int
put(struct channel *ch, size_t)
{
	of(ch)->publisher->publish(of(ch)->loaned);
	of(ch)->loaned = nullptr;
	return 0;
}

int
get(struct channel *ch, size_t, const void **message)
{
	auto chunk = of(ch)->subscriber->take();

	if (chunk.has_error())
		return -EAGAIN;
	*message = of(ch)->taken = chunk.value();
	return 0;
}

void
done(struct channel *ch)
{
	of(ch)->subscriber->release(of(ch)->taken);
}

constexpr loop_ops
ops()
{
	loop_ops o = {};

	o.slot = slot;
	o.put = put;
	o.get = get;
	o.done = done;
	o.in_place = true;
	return o;
}

constexpr loop_ops run_ops = ops();
LOOP_RUN(run, run_ops)

/* The child that is RouDi, and how many of our channels want it. */
pid_t roudi;

/** Nothing of iceoryx's is to be read between our tables. */
void
be_silent()
{
	iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
		iox::log::LogLevel::kOff,
		iox::log::LogLevelOutput::kHideLogLevel);
}

[[noreturn]] void
be_roudi(const struct job *job, int ready)
{
	sigset_t end;
	int number;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
	dup2(STDOUT_FILENO, STDERR_FILENO);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, nullptr);
	{
		iox::mepoo::MePooConfig pool;
		iox::RouDiConfig_t config;

		pool.addMemPool(
			{ static_cast<uint32_t>((job->size + 31) / 32 * 32),
			  4 * queue_capacity });
		config.m_sharedMemorySegments.push_back(
			iox::mepoo::SegmentConfig::SegmentEntry(
				iox::posix::PosixGroup::
					getGroupOfCurrentProcess()
						.getName(),
				iox::posix::PosixGroup::
					getGroupOfCurrentProcess()
						.getName(),
				pool));
		iox::roudi::IceOryxRouDiComponents parts(config);
		iox::roudi::RouDi daemon(
			parts.rouDiMemoryManager, parts.portManager,
			iox::roudi::RouDi::RoudiStartupParameters{
				iox::roudi::MonitoringMode::OFF, false });

		if (write(ready, "", 1) != 1)
			_exit(1);
		sigwait(&end, &number);
	}
	_exit(0);
}

int
create(struct channel *ch)
{
	int ends[2];
	char c;
	ssize_t n;

	be_silent();
	if (roudi)
		return 0;
	if (pipe(ends))
		return -errno;
	roudi = fork();
	if (roudi == 0)
		be_roudi(ch->job, ends[1]);
	close(ends[1]);
	n = read(ends[0], &c, 1);
	close(ends[0]);
	ch->why = "RouDi does not start";
	return n == 1 ? 0 : -ECONNREFUSED;
}

int
join(struct channel *ch)
{
	hold *h = new hold{};
	std::string own = ch->name + std::string(ch->sends ? "-s" : "-r");
	iox::RuntimeName_t name(iox::cxx::TruncateToCapacity, own.c_str());
	iox::capro::ServiceDescription service{
		"shmbench", "channel",
		iox::capro::IdString_t(iox::cxx::TruncateToCapacity, ch->name,
				       strlen(ch->name))
	};

	be_silent();
	iox::runtime::PoshRuntime::initRuntime(name);
	if (ch->sends) {
		iox::popo::PublisherOptions options;

		options.subscriberTooSlowPolicy =
			iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
		h->publisher =
			new iox::popo::UntypedPublisher(service, options);
	} else {
		iox::popo::SubscriberOptions options;

		options.queueCapacity = queue_capacity;
		options.queueFullPolicy =
			iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
		h->subscriber =
			new iox::popo::UntypedSubscriber(service, options);
	}
	ch->own = h;
	return 0;
}

void
leave(struct channel *ch)
{
	delete of(ch)->publisher;
	delete of(ch)->subscriber;
	delete of(ch);
	if (ch->creator && roudi) {
		kill(roudi, SIGTERM);
		waitpid(roudi, nullptr, 0);
		roudi = 0;
	}
}

/* RouDi removes its names itself, unless it was killed: then its lock, which
 * another's RouDi would hold, is free. */
void
remove_names(const struct mechanism *, const char *name)
{
	static const char *const left[] = { "roudi", "roudi.lock",
					    "iox-unique-roudi.lock" };
	static const char *const ends[] = { "-s", "-r", "-s.lock", "-r.lock" };
	int lock = open("/tmp/iox-unique-roudi.lock", O_RDONLY | O_CLOEXEC);

	for (const char *end : ends)
		unlink(("/tmp/" + std::string(name) + end).c_str());
	if (lock < 0)
		return;
	if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
		shm_unlink("/iceoryx_mgmt");
		shm_unlink(("/" + std::string(iox::posix::PosixGroup::
						      getGroupOfCurrentProcess()
							      .getName()
							      .c_str()))
				   .c_str());
		for (const char *file : left)
			unlink(("/tmp/" + std::string(file)).c_str());
	}
	close(lock);
}

const char *
refuses(const struct job *job)
{
	if (job->mode == MODE_LIMITS)
		return "publishing waits when it is full";
	if (job->depth && job->depth != queue_capacity)
		return "the depth is 256";
	return nullptr;
}

constexpr mechanism
make_mechanism()
{
	mechanism m = {};

	m.name = "iceoryx";
	m.summary = "Eclipse iceoryx, published in place";
	m.caps = CAP_SPIN | CAP_NAMED | CAP_PUT_WAITS;
	m.refuses = refuses;
	m.create = create;
	m.join = join;
	m.leave = leave;
	m.unlink = remove_names;
	m.run = run;
	return m;
}
} // namespace

const struct mechanism peer_iceoryx = make_mechanism();

#else
const struct mechanism peer_iceoryx =
	peer_missing("iceoryx", "libiceoryx-posh-dev");
#endif
