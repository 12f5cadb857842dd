/* SPDX-License-Identifier: MIT
 *
 * Description: who may do what, and what happens when somebody has left or
 * was killed: -EBUSY, takeover, -EPIPE, -ESTALE, -EUSERS, observers.
 */
static void fork_once(void);

/* While it copies, the header holds a position that it has not published. */
#define SHMRING_COPY(to, from, size)           \
	do {                                   \
		fork_once();                   \
		shmring__copy(to, from, size); \
	} while (0)
#include "ring.h"

#include <pthread.h>

/* A process that attaches, does a few things, and stays until it is killed,
 * or leaves in good order. */
struct peer {
	const char *name;
	unsigned roles;
	int pushes, pops, peek, leave, unlocked;
	int *ready; /* shared: raised when all is done */
	pid_t pid;
};

static void
peer_main(void *argument)
{
	struct peer *peer = argument;
	struct shmring ring;
	size_t size;

	CHILD_CHECK(!shmring_open(&ring, peer->name, peer->roles, 0));
	for (int i = 0; i < peer->pushes; i++)
		CHILD_CHECK(!push_number(&ring, (uint64_t)i));
	for (int i = 0; i < peer->pops; i++)
		CHILD_CHECK(pop_number(&ring) == i);
	if (peer->peek)
		CHILD_CHECK(shmring_peek(&ring, &size));
	if (peer->leave) {
		shmring_close(&ring);
		_exit(0);
	}
	if (peer->unlocked)
		CHILD_CHECK(
			!shmring__lock(ring.map.fd, F_UNLCK, SHMRING__WRITE));
	flag_raise(peer->ready);
	for (;;)
		pause();
}

/* Returns when the peer has done its things. */
static void
peer_start(struct peer *peer)
{
	static int *ready;

	if (!ready)
		ready = shared_memory(sizeof(*ready));
	*ready = 0;
	peer->ready = ready;
	peer->pid = child_start(peer_main, peer);
	if (peer->leave)
		is_int(tap_wait(peer->pid), 0, "a peer came and went");
	else
		flag_await(ready, 1);
}

static const char *
make_named(uint32_t mode, unsigned roles, struct shmring *ring)
{
	static char name[64];
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .participants = 4,
					 .roles = roles };

	snprintf(name, sizeof(name), "%s", tap_name());
	if (shmring_create(ring, name, &config))
		bail("cannot create a ring");
	return name;
}

static void
refuse_a_second(unsigned role, const char *what)
{
	struct shmring ring, other, third;
	const char *name = make_named(SHMRING_SPSC, SHMRING_BOTH ^ role, &ring);
	struct peer peer = { .name = name, .roles = role };

	peer_start(&peer);
	is_int(shmring_open(&other, name, role, 0), -EBUSY,
	       "a second %s is refused", what);
	is_int(push_number(&other, 1), -EBADF, "and has no handle");
	is_int(shmring_dup(&other, &ring, role), -EBUSY, "also as duplicate");
	kill(peer.pid, SIGSTOP);
	waitpid(peer.pid, NULL, WUNTRACED);
	is_int(shmring_open(&other, name, role, 0), -EBUSY,
	       "a stopped %s is not dead", what);
	kill(peer.pid, SIGKILL);
	waitid(P_PID, (id_t)peer.pid, NULL, WEXITED | WNOWAIT);
	is_int(shmring_open(&other, name, role, 0), 0,
	       "a zombie is: its role is taken over");
	tap_wait(peer.pid);
	is_int(shmring_dup(&third, &ring, role), -EBUSY, "by one only");
	shmring_close(&other);
	shmring_close(&ring);
	/* Of two roles one is taken: then none is got. */
	ring_open(&ring, name, role);
	is_int(shmring_open(&other, name, SHMRING_BOTH, 0), -EBUSY,
	       "half of both is nothing");
	is_int(shmring_open(&other, name, SHMRING_BOTH ^ role, 0), 0,
	       "and leaves the other half free");
	shmring_close(&other);
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
succeed_a_producer(int leave)
{
	struct shmring ring, writer;
	const char *name = make_named(SHMRING_SPSC, SHMRING_CONSUMER, &ring);
	struct peer peer = { .name = name,
			     .roles = SHMRING_PRODUCER,
			     .pushes = 5,
			     .leave = leave };
	int wrong = 0;

	peer_start(&peer);
	if (!leave)
		child_kill(peer.pid);
	ring_open(&writer, name, SHMRING_PRODUCER);
	push_number(&writer, 5);
	for (int i = 0; i < 6; i++)
		wrong += pop_number(&ring) != i;
	is_int(wrong, 0, "a successor goes on behind the last message");
	is_int(shmring_redelivered(&ring), 0, "nobody has seen it before");
	shmring_close(&writer);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* A batch ends with what the dead one may have seen. */
static void
succeed_by_batches(uint32_t mode)
{
	struct shmring ring, reader;
	const char *name = make_named(mode, SHMRING_PRODUCER, &ring);
	struct peer peer = {
		.name = name, .roles = SHMRING_CONSUMER, .pops = 2, .peek = 1
	};
	uint64_t numbers[6] = { 0 };
	struct iovec batch[6];

	for (uint64_t i = 0; i < 6; i++) {
		push_number(&ring, i);
		batch[i].iov_base = &numbers[i];
		batch[i].iov_len = sizeof(numbers[i]);
	}
	peer_start(&peer);
	child_kill(peer.pid);
	ring_open(&reader, name, SHMRING_CONSUMER);
	shmring_recover(&reader);
	is_int(shmring_pop_n(&reader, batch, 6), 1, "a batch of one");
	is_int(shmring_redelivered(&reader), 1, "marked");
	is_int(shmring_pop_n(&reader, batch + 1, 5), 3, "then all others");
	is_int(shmring_redelivered(&reader), 0, "not marked");
	is_int((int64_t)numbers[0], 2, "first what came twice");
	is_int((int64_t)numbers[3], 5, "in order");
	shmring_close(&reader);
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
succeed_a_consumer(uint32_t mode, int leave, int peek)
{
	struct shmring ring, reader;
	const char *name = make_named(mode, SHMRING_PRODUCER, &ring);
	struct peer peer = { .name = name,
			     .roles = SHMRING_CONSUMER,
			     .pops = 3,
			     .peek = peek,
			     .leave = leave };
	/* A killed SPSC consumer may have copied the next message already;
	 * in MPMC it must have claimed it. */
	int marked = peek || (!leave && mode == SHMRING_SPSC);
	size_t size;

	for (uint64_t i = 0; i < 6; i++)
		push_number(&ring, i);
	peer_start(&peer);
	if (!leave)
		child_kill(peer.pid);
	ring_open(&reader, name, SHMRING_CONSUMER);
	shmring_recover(&reader);
	is_int(shmring_redelivered(&reader), 0, "nothing delivered yet");
	ok(shmring_peek(&reader, &size), "a successor finds messages");
	is_int(shmring_redelivered(&reader), marked, "peek: %smarked",
	       marked ? "" : "not ");
	shmring_release(&reader);
	is_int(shmring_redelivered(&reader), marked, "released: the same");
	is_int(pop_number(&reader), 4, "the next");
	is_int(shmring_redelivered(&reader), 0, "is not marked");
	is_int(pop_number(&reader), 5, "nor the last");
	is_int(shmring_redelivered(&reader), 0, "of all");
	is_int(pop_number(&reader), -EAGAIN, "no other came twice");
	shmring_close(&reader);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* A child of a holder shares its lock: proof of death must wait for it. */
static void
lend_the_lock(void *argument)
{
	struct peer *peer = argument;
	struct shmring ring;
	pid_t grandchild;

	CHILD_CHECK(!shmring_open(&ring, peer->name, peer->roles, 0));
	grandchild = fork();
	if (grandchild == 0) { /* outlives us, but not for ever */
		alarm(60);
		flag_await(&peer->ready[1], 1);
		shmring_close(&ring);
		flag_await(&peer->ready[1], 2);
		_exit(0);
	}
	flag_raise(peer->ready);
	for (;;)
		pause();
}

static void
wait_for_the_childs_lock(void)
{
	struct shmring ring, writer;
	const char *name = make_named(SHMRING_SPSC, SHMRING_CONSUMER, &ring);
	struct peer peer = { .name = name,
			     .roles = SHMRING_PRODUCER,
			     .ready = shared_memory(2 * sizeof(int)) };
	int error;

	peer.pid = child_start(lend_the_lock, &peer);
	flag_await(peer.ready, 1);
	child_kill(peer.pid);
	is_int(shmring_open(&writer, name, SHMRING_PRODUCER, 0), -EBUSY,
	       "a child holds the dead one's lock: no proof");
	flag_raise(&peer.ready[1]);
	do
		error = shmring_open(&writer, name, SHMRING_PRODUCER, 0);
	while (error == -EBUSY);
	is_int(error, 0, "when it has closed its copy, the role is free");
	flag_raise(&peer.ready[1]);
	shmring_close(&writer);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* Death takes both: the lock is gone and the process is. */
static void
need_both_proofs(void)
{
	struct shmring ring, writer;
	const char *name = make_named(SHMRING_SPSC, SHMRING_CONSUMER, &ring);
	struct peer peer = { .name = name,
			     .roles = SHMRING_PRODUCER,
			     .unlocked = 1 };
	char path[128];
	int fd;

	peer_start(&peer);
	is_int(shmring_open(&writer, name, SHMRING_PRODUCER, 0), -EBUSY,
	       "who lost its lock lives on");
	child_kill(peer.pid);
	is_int(shmring_open(&writer, name, SHMRING_PRODUCER, 0), 0,
	       "until it dies");
	shmring_close(&writer);
	snprintf(path, sizeof(path), "%s%s", SHMRING_DIRECTORY, name);
	fd = open(path, O_RDWR);
	shmring__lock(fd, F_WRLCK, SHMRING__WRITE);
	is_int(shmring_open(&writer, name, SHMRING_PRODUCER, 0), -EBUSY,
	       "a lock alone holds a role, too");
	close(fd);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* Who may only read the file locks what it can. */
static void
ignore_readers_locks(void)
{
	struct shmring ring;
	const char *name = make_named(SHMRING_SPSC, SHMRING_CONSUMER, &ring);
	struct peer peer = { .name = name, .roles = SHMRING_PRODUCER };
	char path[128];
	int fd;

	peer_start(&peer);
	snprintf(path, sizeof(path), "%s%s", SHMRING_DIRECTORY, name);
	fd = open(path, O_RDONLY);
	is_int(shmring__lock(fd, F_RDLCK, SHMRING__WRITE), -EAGAIN,
	       "a participant's lock keeps readers' out");
	child_kill(peer.pid);
	is_int(shmring__lock(fd, F_RDLCK, SHMRING__WRITE), 0,
	       "a dead one's does not");
	is_int(shmring_recover(&ring), 1, "which delays no proof");
	is_int(pop_number(&ring), -EPIPE, "of its death");
	close(fd);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* Attach, and become another program: this one again, see main. */
static void
attach_and_exec(void *argument)
{
	struct shmring ring;

	CHILD_CHECK(!shmring_open(&ring, argument, SHMRING_PRODUCER, 0));
	CHILD_CHECK(!push_number(&ring, 1));
	execl("/proc/self/exe", "test_roles", (char *)argument, (char *)NULL);
	_exit(77);
}

static int
live_again(const char *name)
{
	struct shmring ring;

	CHILD_CHECK(!shmring_open(&ring, name, SHMRING_PRODUCER, 0));
	CHILD_CHECK(!push_number(&ring, 2));
	return 0;
}

static void
lose_the_role_by_exec(void)
{
	struct shmring ring;
	char name[64];
	int status;

	snprintf(name, sizeof(name), "%s",
		 make_named(SHMRING_SPSC, SHMRING_CONSUMER, &ring));
	status = child_run(attach_and_exec, name);
	if (status == 77) {
		skip("cannot become this program again");
	} else {
		is_int(status, 0,
		       "a program's successor is not kept out by it");
		is_int(pop_number(&ring), 1, "what one pushed");
		is_int(pop_number(&ring), 2, "and the other");
		is_int(shmring_recover(&ring), 1, "dead both");
		is_int(pop_number(&ring), -EPIPE, "and told so");
	}
	shmring_close(&ring);
	shmring_unlink(name);
}

static struct shmring of_a_thread;

/* Do that, and end without close. */
static void
let_a_thread(void *(*work)(void *), char *name)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work, name))
		bail("no thread");
	pthread_join(thread, NULL);
}

static void *
attach_and_end(void *name)
{
	ring_open(&of_a_thread, name, SHMRING_PRODUCER);
	push_number(&of_a_thread, 1);
	return NULL;
}

/* The process counts, not the thread; whose handle another may close. */
static void
keep_the_role_of_a_thread(void)
{
	struct shmring ring, other;
	char name[64];

	snprintf(name, sizeof(name), "%s",
		 make_named(SHMRING_SPSC, SHMRING_CONSUMER, &ring));
	let_a_thread(attach_and_end, name);
	is_int(shmring_recover(&ring), 0, "a thread's end is no death");
	is_int(shmring_open(&other, name, SHMRING_PRODUCER, 0), -EBUSY,
	       "it keeps its role");
	is_int(pop_number(&ring), 1, "what it pushed is there");
	is_int(pop_number(&ring), -EAGAIN, "and no end");
	shmring_close(&of_a_thread);
	is_int(pop_number(&ring), -EPIPE, "until somebody closes its handle");
	shmring_close(&ring);
	shmring_unlink(name);
}

static void *
peek_and_end(void *name)
{
	size_t size;

	ring_open(&of_a_thread, name, SHMRING_CONSUMER);
	if (!shmring_peek(&of_a_thread, &size))
		bail("no message");
	return NULL;
}

/* Nor is the message that it had in hands another's before that. */
static void
keep_the_message_of_a_thread(void)
{
	struct shmring ring;
	char name[64];

	snprintf(name, sizeof(name), "%s",
		 make_named(SHMRING_MPMC, SHMRING_BOTH, &ring));
	push_number(&ring, 1);
	push_number(&ring, 2);
	let_a_thread(peek_and_end, name);
	is_int(shmring_recover(&ring), 0, "nobody is dead");
	is_int(pop_number(&ring), 2, "another takes the next message");
	is_int(pop_number(&ring), -EAGAIN, "not the one in hands");
	shmring_close(&of_a_thread);
	is_int(pop_number(&ring), 1, "until somebody closes that handle");
	is_int(pop_number(&ring), -EAGAIN, "once");
	shmring_close(&ring);
	shmring_unlink(name);
}

/* A child has a copy of the lock: to itself, the parent seems to be alive. */
static void
dup_in_a_child(void *argument)
{
	struct shmring *ring = argument, copy;

	CHILD_CHECK(shmring_dup(&copy, ring, SHMRING_PRODUCER) == -ESTALE);
	CHILD_CHECK(shmring_dup(&copy, ring, SHMRING_OBSERVER) == 0);
}

static void
dup_a_parents(void)
{
	struct shmring ring;
	const char *name = make_named(SHMRING_SPSC, SHMRING_PRODUCER, &ring);

	if (forks_are_noticed())
		is_int(child_run(dup_in_a_child, &ring), 0,
		       "a child takes no role by dup");
	else
		skip(NO_WIPE);
	shmring_close(&ring);
	shmring_unlink(name);
}

struct inherited {
	struct shmring *ring;
	const char *name;
};

/* As daemon() does it: the parent ends, and its child goes on in its role. */
static void
become_a_daemon(void *argument)
{
	struct inherited *mine = argument;
	struct shmring ring, own;
	pid_t parent = getpid();
	int error = -EBUSY;

	if (mine->name)
		CHILD_CHECK(
			!shmring_open(&ring, mine->name, SHMRING_PRODUCER, 0));
	else
		CHILD_CHECK(!shmring_open_fd(&ring, shmring_fd(mine->ring),
					     SHMRING_PRODUCER));
	CHILD_CHECK(push_number(&ring, 1) == 0);
	pid_t child = fork();
	CHILD_CHECK(child >= 0);
	if (child > 0)
		return;
	int fd = dup(shmring_fd(mine->ring)); /* of a name: none */
	shmring_close(&ring);
	shmring_close(mine->ring);
	while (getppid() == parent)
		usleep(1000);
	if (mine->name)
		error = shmring_open(&own, mine->name, SHMRING_PRODUCER,
				     GENEROUS);
	for (int i = 0; !mine->name && error == -EBUSY && i < 10000; i++) {
		error = shmring_open_fd(&own, fd, SHMRING_PRODUCER);
		usleep(1000);
	}
	CHILD_CHECK(!error);
	CHILD_CHECK(push_number(&own, 2) == 0);
	shmring_close(&own);
}

static void
follow_a_daemon(int named)
{
	/* where no producer is not the end */
	const struct shmring_config config = { .flags = SHMRING_PERSISTENT,
					       .roles = SHMRING_CONSUMER };
	const char *name = tap_name();
	struct shmring ring;
	struct inherited inherited = { &ring, named ? name : NULL };
	uint64_t number = 0;

	if (named ? shmring_create(&ring, name, &config)
		  : shmring_create_memfd(&ring, &config))
		bail("cannot create a ring");
	is_int(child_run(become_a_daemon, &inherited), 0,
	       "%s: who becomes a daemon ends", named ? "named" : "memfd");
	is_int(shmring_pop_wait(&ring, &number, 8, GENEROUS), 8, "it has");
	is_int(number, 1, "pushed this");
	is_int(shmring_pop_wait(&ring, &number, 8, GENEROUS), 8,
	       "its child has closed that handle and opened its own:");
	is_int(number, 2, "goes on with this");
	is_int(shmring_wait_gone(&ring, SHMRING_PRODUCER, GENEROUS), 0,
	       "and ends");
	shmring_close(&ring);
	if (named)
		shmring_unlink(name);
}

/* End of stream for the consumer. */
static void
end_of_stream(uint32_t mode, int leave)
{
	struct shmring ring, writer;
	const char *name = make_named(mode, SHMRING_CONSUMER, &ring);
	struct peer peer = { .name = name,
			     .roles = SHMRING_PRODUCER,
			     .pushes = 2,
			     .leave = leave };
	size_t size;

	is_int(pop_number(&ring), -EAGAIN, "no producer yet: not the end");
	peer_start(&peer);
	if (!leave) {
		is_int(shmring_recover(&ring), 0, "none is dead");
		child_kill(peer.pid);
		is_int(shmring_recover(&ring), 1, "one is");
		is_int(shmring_recover(&ring), 0, "once");
	}
	is_int(pop_number(&ring), 0, "what was pushed stays");
	is_int(pop_number(&ring), 1, "all of it");
	is_int(pop_number(&ring), -EPIPE, "then it ends");
	ok(!shmring_peek(&ring, &size) && shmring_error(&ring) == -EPIPE,
	   "for peek, too");
	is_int(shmring_pop_wait(&ring, &size, 8, -1), -EPIPE,
	       "and nobody waits");
	ring_open(&writer, name, SHMRING_PRODUCER);
	is_int(pop_number(&ring), -EAGAIN, "unless another producer comes");
	push_number(&writer, 7);
	is_int(pop_number(&ring), 7, "and goes on");
	shmring_close(&writer);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* And its mirror image. */
static void
nobody_listens(uint32_t mode, int leave)
{
	struct shmring ring, reader;
	const char *name = make_named(mode, SHMRING_PRODUCER, &ring);
	struct peer peer = { .name = name,
			     .roles = SHMRING_CONSUMER,
			     .pops = 1,
			     .leave = leave };
	struct iovec batch = { &peer, 1 };

	is_int(push_number(&ring, 0), 0, "no consumer yet: it can come");
	peer_start(&peer);
	if (!leave) {
		child_kill(peer.pid);
		is_int(shmring_recover(&ring), 1, "one is dead");
	}
	is_int(push_number(&ring, 1), -EPIPE, "the last consumer is gone");
	is_int(shmring_push_wait(&ring, "", 1, -1), -EPIPE, "nobody waits");
	is_int(shmring_push_n(&ring, &batch, 1), -EPIPE, "nor in a batch");
	ok(!shmring_reserve(&ring, 1) && shmring_error(&ring) == -EPIPE,
	   "nor reserves");
	ring_open(&reader, name, SHMRING_CONSUMER);
	is_int(push_number(&ring, 2), 0, "unless another comes");
	is_int(pop_number(&reader), 2, "and takes it");
	shmring_close(&reader);
	shmring_close(&ring);
	shmring_unlink(name);
}

/* In MPMC it is the last one that counts. */
static void
end_with_the_last(void)
{
	struct shmring ring, first, second;
	const char *name = make_named(SHMRING_MPMC, SHMRING_CONSUMER, &ring);

	ring_open(&first, name, SHMRING_PRODUCER);
	ring_open(&second, name, SHMRING_PRODUCER);
	shmring_close(&first);
	is_int(pop_number(&ring), -EAGAIN, "one of two producers left");
	shmring_close(&second);
	is_int(pop_number(&ring), -EPIPE, "both left");
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
use_up_participants(void)
{
	struct shmring ring, other;
	const char *name = make_named(SHMRING_MPMC, SHMRING_CONSUMER, &ring);
	struct shmring_stat all;
	struct peer peers[3];

	for (int i = 0; i < 3; i++) {
		peers[i] = (struct peer){ .name = name,
					  .roles = SHMRING_PRODUCER,
					  .pushes = 2 };
		peer_start(&peers[i]);
	}
	is_int(shmring_open(&other, name, SHMRING_PRODUCER, 0), -EUSERS,
	       "all participants are attached");
	is_int(shmring_open(&other, name, SHMRING_OBSERVER, 0), 0,
	       "an observer is none");
	shmring_close(&other);
	child_kill(peers[1].pid);
	is_int(shmring_open(&other, name, SHMRING_PRODUCER, 0), 0,
	       "a dead one makes room");
	shmring_stat(&ring, &all);
	ok(all.producers == 3 && all.pushed == 6, "its counters go on");
	shmring_close(&other);
	child_kill(peers[0].pid);
	child_kill(peers[2].pid);
	is_int(shmring_recover(&ring), 2, "the others are found, too");
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
only_look(uint32_t mode)
{
	struct shmring ring, observer;
	const char *name = make_named(mode, SHMRING_BOTH, &ring);
	struct shmring_stat all;

	ring_open(&observer, name, SHMRING_OBSERVER);
	push_number(&ring, 1);
	is_int(shmring_stat(&observer, &all), 0, "an observer may look");
	ok(all.pushed == 1 && all.producers == 1 && all.consumers == 1,
	   "at all that goes on");
	ok(shmring_length(&observer) > 0, "and at the length");
	shmring_close(&observer);
	is_int(pop_number(&ring), 1, "and has changed nothing");
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
write_to(void *place)
{
	signal(SIGSEGV, SIG_DFL); /* no report of a sanitizer */
	*(volatile char *)place = 1;
}

/* Pages that a role has no business writing are write-protected. */
static void
map_read_only(void)
{
	struct shmring ring, reader, observer;
	const char *name = make_named(SHMRING_SPSC, SHMRING_PRODUCER, &ring);

	ring_open(&reader, name, SHMRING_CONSUMER);
	ring_open(&observer, name, SHMRING_OBSERVER);
	is_int(child_run(write_to, reader.data), -SIGSEGV,
	       "a consumer cannot write messages");
	is_int(child_run(write_to, reader.data + reader.geometry.capacity),
	       -SIGSEGV, "nor their mirror");
	is_int(child_run(write_to, reader.tail), -SIGSEGV,
	       "nor the producer's position");
	is_int(child_run(write_to, ring.head), -SIGSEGV,
	       "a producer cannot write the consumer's");
	is_int(child_run(write_to, ring.data), 0, "but messages");
	is_int(child_run(write_to, observer.map.base), -SIGSEGV,
	       "an observer cannot write the header");
	is_int(child_run(write_to, observer.data), -SIGSEGV, "nor messages");
	shmring_close(&observer);
	shmring_close(&reader);
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
use_the_parents(void *argument)
{
	struct inherited *mine = argument;
	struct shmring *ring = mine->ring, own;
	size_t size;
	struct iovec batch = { &size, 8 };

	CHILD_CHECK(push_number(ring, 1) == -ESTALE);
	CHILD_CHECK(pop_number(ring) == -ESTALE);
	CHILD_CHECK(shmring_push_wait(ring, "", 1, -1) == -ESTALE);
	CHILD_CHECK(shmring_pop_wait(ring, &size, 8, -1) == -ESTALE);
	CHILD_CHECK(!shmring_reserve(ring, 1));
	CHILD_CHECK(shmring_error(ring) == -ESTALE);
	CHILD_CHECK(!shmring_peek(ring, &size));
	CHILD_CHECK(shmring_error(ring) == -ESTALE);
	CHILD_CHECK(shmring_commit(ring, 0) == -ESTALE);
	CHILD_CHECK(shmring_release(ring) == -ESTALE);
	CHILD_CHECK(shmring_peek_n(ring, &batch, 1) == -ESTALE);
	CHILD_CHECK(shmring_release_n(ring, 1) == -ESTALE);
	CHILD_CHECK(shmring_push_array(ring, &size, 8, 1) == -ESTALE);
	CHILD_CHECK(shmring_pop_array(ring, &size, 8, 1) == -ESTALE);
	CHILD_CHECK(shmring_wait_peer(ring, SHMRING_BOTH, -1) == -ESTALE);
	CHILD_CHECK(shmring_seek(ring, SHMRING_OLDEST) == -ESTALE);
	CHILD_CHECK(shmring_flush(ring, -1) == -ESTALE);
	CHILD_CHECK(shmring_recover(ring) == -ESTALE);
	shmring_close(ring);
	CHILD_CHECK(!shmring_open(&own, mine->name, SHMRING_OBSERVER, 0));
	shmring_close(&own);
}

static void
release_the_parents(void *ring)
{
	CHILD_CHECK(shmring_release(ring) == -ESTALE);
	CHILD_CHECK(shmring_release_n(ring, 1) == -ESTALE);
	CHILD_CHECK(shmring_release_n(ring, 2) == -ESTALE);
}

/* Forked with several in hands, of one record. */
static void
fork_with_several(void)
{
	uint64_t numbers[4] = { 1, 2, 3, 4 };
	struct iovec seen[3];
	struct shmring ring;

	ring_make(&ring, SHMRING_SPSC, 16, 8);
	shmring_push_array(&ring, numbers, 8, 4);
	is_int(shmring_peek_n(&ring, seen, 3), 3, "three in hands");
	is_int(child_run(release_the_parents, &ring), 0, "not the child's");
	is_int(shmring_release_n(&ring, 2), 0, "the parent's are still");
	is_int(shmring_release(&ring), 0, "to the last");
	is_int(pop_number(&ring), 4, "and the next");
	shmring_close(&ring);
}

static struct inherited *in_mid_call; /* who forks at the next copy */
static int child_of_mid_call; /* its exit status */

static void
fork_once(void)
{
	struct inherited *forks = in_mid_call;

	in_mid_call = NULL;
	if (forks)
		child_of_mid_call = child_run(use_the_parents, forks);
}

/* As from a signal handler, between claiming a position and publishing. */
static void
fork_in_mid_call(uint32_t mode)
{
	struct shmring ring;
	const char *name = make_named(mode, SHMRING_BOTH, &ring);
	struct inherited inherited = { &ring, name };

	in_mid_call = &inherited;
	is_int(push_number(&ring, 1), 0, "a push that forks half-way");
	is_int(child_of_mid_call, 0, "is refused to the child");
	in_mid_call = &inherited;
	is_int(pop_number(&ring), 1, "arrives, by a pop that forks, too");
	is_int(child_of_mid_call, 0, "is refused to that child");
	is_int(pop_number(&ring), -EAGAIN, "and came once");
	is_int(push_number(&ring, 2), 0, "the parent");
	is_int(pop_number(&ring), 2, "goes on");
	shmring_close(&ring);
	shmring_unlink(name);
}

/* The child's use is refused and does not disturb the parent, whatever the
 * parent holds. */
static void
fork_a_user(uint32_t mode)
{
	struct shmring ring;
	const char *name = make_named(mode, SHMRING_BOTH, &ring);
	struct inherited inherited = { &ring, name };
	const uint64_t *seen;
	uint64_t *place;
	size_t size;

	push_number(&ring, 1);
	seen = shmring_peek(&ring, &size);
	place = shmring_reserve(&ring, 8);
	is_int(child_run(use_the_parents, &inherited), 0,
	       "a child must open its own handle");
	ok(seen && *seen == 1 && shmring_release(&ring) == 0,
	   "the parent's peek is untouched");
	*place = 2;
	is_int(shmring_commit(&ring, 8), 0, "its reservation, too");
	is_int(pop_number(&ring), 2, "and all goes on");
	shmring_close(&ring);
	shmring_unlink(name);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		return live_again(argv[1]);
	tap_start();
	refuse_a_second(SHMRING_PRODUCER, "producer");
	refuse_a_second(SHMRING_CONSUMER, "consumer");
	wait_for_the_childs_lock();
	need_both_proofs();
	ignore_readers_locks();
	lose_the_role_by_exec();
	keep_the_role_of_a_thread();
	keep_the_message_of_a_thread();
	dup_a_parents();
	follow_a_daemon(1);
	follow_a_daemon(0);
	end_with_the_last();
	use_up_participants();
	map_read_only();
	for (int leave = 0; leave < 2; leave++) {
		printf("# %s\n", leave ? "after close" : "after SIGKILL");
		succeed_a_producer(leave);
		for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC;
		     mode++) {
			printf("# %s\n", mode_name[mode]);
			succeed_a_consumer(mode, leave, 0);
			succeed_a_consumer(mode, leave, 1);
			end_of_stream(mode, leave);
			nobody_listens(mode, leave);
		}
	}
	for (uint32_t mode = SHMRING_SPSC; mode <= SHMRING_MPMC; mode++) {
		succeed_by_batches(mode);
		only_look(mode);
		if (forks_are_noticed()) {
			fork_a_user(mode);
			fork_in_mid_call(mode);
			if (mode == SHMRING_SPSC)
				fork_with_several();
		} else {
			skip(NO_WIPE);
		}
	}
	return tap_done();
}
