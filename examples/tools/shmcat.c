/* SPDX-License-Identifier: MIT
 *
 * shmcat - carry a byte stream, or lines, through rings in shared memory
 *
 *	cc -O2 -Iinclude examples/tools/shmcat.c -o shmcat
 *	./shmcat -w /ring <file & ./shmcat -r /ring >copy
 *
 * A ring of ours carries one stream. Its name is where writers and readers
 * meet, and goes as soon as all are there, before the first message: so nobody
 * comes later, into the middle of a stream or in place of one who died; what a
 * crash leaves under the name has carried nothing; and the next who use the
 * name get a ring of their own.
 *
 *	gather	all wait until all are there; as there is a place in the ring
 *		for each and no more, nobody else can come
 *	begin	who made the ring removes the name, then sends a mark for each
 *		reader; a reader takes one and waits until all are taken; the
 *		other writers begin when the marks are sent
 *	data	any number of messages, never empty
 *	end	each writer ends with an empty message for each reader. A reader
 *		that has as many as there are writers knows that the stream is
 *		complete, and leaves; so the ends of all writers reach all
 *		readers, whoever takes which. One whose writers are gone before
 *		knows that it is not.
 */
#include <shmring.h>
#include <adapters/common/room.h>
#include <ctype.h>
#include <getopt.h>
#include <sysexits.h>

static const char help[] =
	"usage: shmcat -w RING <file       stdin to RING, made if need be\n"
	"       shmcat -r RING >file       RING, when it is there, to stdout\n"
	"       shmcat -r RING -w OTHER    from ring to ring\n"
	"       shmcat -u RING             remove what a crash left behind\n"
	"  -r, --read=RING       names begin with a slash and have no other\n"
	"  -w, --write=RING\n"
	"  -u, --unlink=RING     a ring that nobody uses, nothing else\n"
	"  -f, --force           with -u: a ring in use, or that is not "
	"readable\n"
	"  -l, --lines           each line is a message, kept in one piece\n"
	"  -m, --mpmc            make RING for several writers and readers;\n"
	"  -W, --writers=N       so many of each take part in its stream (1);\n"
	"  -R, --readers=N       they begin when all are there; a message "
	"goes\n"
	"                        to one reader; all must be given the same N\n"
	"  -c, --capacity=N      make RING for N messages (suffix k, M, G)\n"
	"  -s, --size=BYTES      of at most so many bytes (256k; -l: 64k)\n"
	"  -M, --metered         that knows its high-water mark and ages:\n"
	"                        shmring show /proc/PID/fd/N\n"
	"  -p, --policy=WAIT     spin, block, or spin shortly, then block:\n"
	"                        hybrid (default)\n"
	"  -t, --timeout=SECONDS give up when nobody comes, gives or takes "
	"for\n"
	"                        so long\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"The name of RING is removed when its stream begins: it is where "
	"writers\n"
	"and readers meet. Whoever uses it then meets for the next stream.\n"
	"exit status:\n"
	"   0  the whole stream was taken by the readers / has arrived\n"
	"  64  wrong usage\n"
	"  65  a line or message is longer than --size of the ring\n"
	"  66  RING cannot be read\n"
	"  69  the other side died or left early: the stream is not complete\n"
	"  71  the ring failed\n"
	"  73  RING cannot be made, written or removed\n"
	"  74  stdin or stdout failed\n"
	"  75  timed out\n";

#define MILLISECOND INT64_C(1000000)
#define LOOKS 300 /* a millisecond apart, before what may pass is refused */
#define MARK UINT32_C(0x74616373) /* "scat" */

/* The first message that a reader gets: what it must have been told, too. */
struct mark {
	uint32_t magic;
	uint16_t writers, readers;
};

static struct {
	const char *in, *out, *unlink;
	int lines, force;
	unsigned writers, readers;
	struct shmring_config ring;
	uint32_t longest; /* message, as asked for */
	int64_t spin_ns, timeout_ns; /* -1: for ever */
} option = {
	.writers = 1, .readers = 1, .spin_ns = SHMRING_SPIN_NS, .timeout_ns = -1
};

static struct shmring in, out;
static int gathering; /* the ring to write to has its name yet */
static uint32_t maker; /* who made it; 0: we did */
static sigset_t ending; /* signals that wait until that is removed */

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Does the name lead to the ring that this process takes part in? */
static int
is_ours(const char *name)
{
	struct shmring look;
	struct shmring_participant one = { 0 };
	uint32_t i;
	int ours = 0;

	if (shmring_open(&look, name, SHMRING_OBSERVER, 0))
		return 0;
	for (i = 0; !ours && shmring_participant(&look, i, &one) != -ERANGE;
	     i++)
		ours = one.pid == (uint32_t)getpid();
	shmring_close(&look);
	return ours;
}

/* Leave all rings. A stream that has not begun leaves no name behind, when
 * its last writer goes. */
static void
leave(void)
{
	struct shmring_stat now;

	if (gathering) {
		shmring_recover(&out);
		if (!shmring_stat(&out, &now) && now.producers <= 1 &&
		    is_ours(option.out))
			shmring_unlink(option.out);
	}
	gathering = 0;
	shmring_close(&in);
	shmring_close(&out);
}

static __attribute__((noreturn)) void
fail(int status, const char *what, const char *why)
{
	fprintf(stderr, "shmcat: %s: %s\n", what, why);
	if (status == EX_USAGE)
		fputs("see shmcat --help\n", stderr);
	leave();
	exit(status);
}

static __attribute__((noreturn)) void
fail_ring(const char *name, int error)
{
	fail(error == -ETIMEDOUT  ? EX_TEMPFAIL
	     : error == -EPIPE	  ? EX_UNAVAILABLE
	     : error == -EMSGSIZE ? EX_DATAERR
				  : EX_OSERR,
	     name, shmring_strerror(error));
}

static __attribute__((noreturn)) void
fail_write(int error)
{
	if (error == -EPIPE)
		fail(EX_UNAVAILABLE, option.out,
		     "the readers died or left before they had taken all");
	fail_ring(option.out, error);
}

/* Bytes and rate, for who watches. */
static void
progress(size_t bytes, int last)
{
	static uint64_t total;
	static int64_t start, shown;
	static int watched = -1;
	int64_t now;

	total += bytes;
	if (watched < 0)
		watched = isatty(STDERR_FILENO);
	if (!watched)
		return;
	now = now_ns();
	start = start ? start : now;
	if (now - shown < 200000000 && !last)
		return;
	shown = now;
	fprintf(stderr, "\r%" PRIu64 " MB, %.0f MB/s %s", total / 1000000,
		(double)total * 1000 / (double)(now - start + 1),
		last ? "\n" : "");
}

/* A wait for others, from one look to the next. */
struct wait {
	const char *name;
	int64_t start, recovered;
	int said;
};

static struct wait
wait_begun(const char *name)
{
	return (struct wait){ .name = name, .start = now_ns() };
}

/* Sleep until the next look. Who watches is told after a second for whom; who
 * has waited for as long as was allowed, or is told to end, leaves. */
static void
look_again(struct wait *wait, const char *whom)
{
	const struct timespec pause = { .tv_nsec = MILLISECOND };
	int64_t waited = now_ns() - wait->start;
	char text[160];
	int number;

	if (!wait->said && waited > 1000 * MILLISECOND &&
	    isatty(STDERR_FILENO)) {
		fprintf(stderr, "shmcat: %s: waiting for %s\n", wait->name,
			whom);
		wait->said = 1;
	}
	if (option.timeout_ns >= 0 && waited > option.timeout_ns) {
		snprintf(text, sizeof(text), "timed out waiting for %s", whom);
		fail(EX_TEMPFAIL, wait->name, text);
	}
	number = sigtimedwait(&ending, NULL, &pause);
	if (number < 0)
		return;
	leave();
	sigprocmask(SIG_UNBLOCK, &ending, NULL);
	raise(number);
}

/* Who takes part in a ring now; now and then also: who has died? */
static struct shmring_stat
attendance(struct wait *wait, struct shmring *ring)
{
	struct shmring_stat now;
	int64_t time = now_ns();
	int error = 0;

	if (time - wait->recovered > 50 * MILLISECOND) {
		error = shmring_recover(ring);
		wait->recovered = time;
	}
	if (error >= 0)
		error = shmring_stat(ring, &now);
	if (error < 0)
		fail_ring(wait->name, error);
	return now;
}

/* Sleep until the next look at who is there. */
static void
await(struct wait *wait, const struct shmring_stat *now)
{
	char whom[128];

	if (option.writers == 1 && option.readers == 1)
		snprintf(whom, sizeof(whom), "a %s",
			 now->producers ? "reader" : "writer");
	else
		snprintf(whom, sizeof(whom),
			 "others: %u of %u writers, %u of %u readers are there",
			 now->producers, option.writers, now->consumers,
			 option.readers);
	look_again(wait, whom);
}

/* Could this ring be that of our stream? */
static int
fits(const struct shmring_stat *ring)
{
	unsigned all = option.writers + option.readers;

	return ring->participants == all &&
	       (ring->mode == SHMRING_MPMC || all == 2);
}

/* Look at what has the name: its figures, or an error. */
static int
look_at(const char *name, struct shmring_stat *found)
{
	struct shmring look;
	int error = shmring_open(&look, name, SHMRING_OBSERVER, 0);

	if (!error)
		error = shmring_stat(&look, found);
	shmring_close(&look);
	return error;
}

static const char carried[] =
	"another program's ring: it has carried messages already";
static const char unfit[] =
	"made for another number of writers and readers: see -m, -W, -R";

/* Errors that pass when somebody else makes, begins or leaves a ring. */
static int
may_pass(int error)
{
	return error == 0 || error == -ENOENT || error == -ESTALE ||
	       error == -EBUSY || error == -EUSERS || error == -EEXIST ||
	       error == -EOWNERDEAD;
}

/* Become a reader of the ring as soon as its name is there. What has carried
 * messages is another program's, which would miss those that we take. */
static void
enter_input(struct wait *wait)
{
	const char *why = NULL;
	struct shmring_stat found;
	int error, looks = 0;

	for (;;) {
		error = look_at(option.in, &found);
		if (!error && found.pushed) {
			why = carried;
		} else if (!error && !fits(&found)) {
			why = unfit;
		} else if (!error) {
			error = shmring_open(&in, option.in, SHMRING_CONSUMER,
					     0);
			wait->recovered = 0;
			if (!error &&
			    attendance(wait, &in).consumers <= option.readers)
				return;
			shmring_close(&in);
			why = "all its readers are there";
		}
		if (!may_pass(error))
			fail(EX_NOINPUT, option.in, shmring_strerror(error));
		looks = error == -ENOENT ? 0 : looks + 1;
		if (looks > LOOKS)
			fail(EX_NOINPUT, option.in, why);
		look_again(wait, "a writer");
	}
}

/* 1 as soon as the stream has begun; 0: this ring's writers are gone. */
static int
gather_input(struct wait *wait)
{
	struct shmring_stat now;

	for (;;) {
		now = attendance(wait, &in);
		if (now.pushed)
			return 1;
		if (!now.producers)
			break;
		await(wait, &now);
	}
	shmring_close(&in);
	look_again(wait, "a writer");
	return 0;
}

/* Take one mark, and wait until all are taken: what comes then is data. */
static void
begin_input(struct wait *wait)
{
	const struct mark *mark;
	struct shmring_stat now;
	size_t size = 0;
	int error, missing = 0;

	mark = (const struct mark *)shmring_peek_wait(&in, &size,
						      option.timeout_ns);
	if (!mark)
		fail_ring(option.in, shmring_error(&in));
	if (size != sizeof(*mark) || mark->magic != MARK)
		fail(EX_NOINPUT, option.in,
		     "another program's ring: its message stays in it");
	if (mark->writers != option.writers || mark->readers != option.readers)
		fail(EX_NOINPUT, option.in, unfit);
	error = shmring_release(&in);
	if (error)
		fail_ring(option.in, error);
	while ((now = attendance(wait, &in)).popped < option.readers) {
		/* The figures are not of one moment: twice is for certain. */
		missing = now.consumers < option.readers ? missing + 1 : 0;
		if (missing > 1)
			fail(EX_UNAVAILABLE, option.in,
			     "a reader left before the stream began");
		await(wait, &now);
	}
}

static void
join_input(void)
{
	struct wait wait = wait_begun(option.in);

	do
		enter_input(&wait);
	while (!gather_input(&wait));
	begin_input(&wait);
	shmring_set_spin(&in, option.spin_ns);
}

/* The ring cannot be made: is it because of its size? */
static __attribute__((noreturn)) void
fail_create(int error)
{
	const struct shmring_config *ring = &option.ring;
	struct adapter_limit least;
	char text[256];

	if (error != -ENOSPC && error != -EFBIG)
		fail(EX_CANTCREAT, option.out, shmring_strerror(error));
	adapter_room_in(SHMRING_DIRECTORY, UINT64_MAX, &least);
	snprintf(text, sizeof(text),
		 "%" PRIu32 " messages of %" PRIu32 " bytes (-c, -s) are too "
		 "much: %s is %" PRIu64,
		 ring->slots, ring->slot_size, least.name, least.value);
	fail(EX_CANTCREAT, option.out, text);
}

/* Make the ring, with SHMRING_REPLACE in place of one that nobody uses. */
static int
make_output(uint32_t flags)
{
	struct shmring_config config = option.ring;
	struct adapter_limit least;
	uint64_t size = (uint64_t)config.slots * config.slot_size;
	int error = adapter_room_in(SHMRING_DIRECTORY, size, &least);

	config.roles = SHMRING_PRODUCER;
	config.flags |= flags;
	if (error != -ENOSPC && error != -EFBIG)
		error = shmring_create(&out, option.out, &config);
	if (!may_pass(error))
		fail_create(error);
	maker = 0;
	return error;
}

/* Join the ring that another writer has made, whose line is the first.
 * -EOWNERDEAD: nobody is in it; -EBUSY: somebody is, but not its maker. */
static int
join_maker(struct wait *wait)
{
	struct shmring_participant first = { 0 };
	struct shmring_stat now = { 0 };
	int error = shmring_open(&out, option.out, SHMRING_PRODUCER, 0);

	if (error)
		return error;
	wait->recovered = 0;
	now = attendance(wait, &out);
	shmring_participant(&out, 0, &first);
	maker = first.pid;
	if (now.producers > option.writers)
		error = -EUSERS;
	else if (now.producers == 1 && !now.consumers)
		error = -EOWNERDEAD;
	else if (!(first.roles & SHMRING_PRODUCER) ||
		 maker == (uint32_t)getpid())
		error = -EBUSY;
	if (error)
		shmring_close(&out);
	return error;
}

/* Become a writer of the ring: make it, unless somebody is in it. */
static void
enter_output(struct wait *wait)
{
	const struct shmring_config *ring = &option.ring;
	const char *why = NULL;
	struct shmring_stat found = { 0 };
	int error, looks;

	for (looks = 0; looks < LOOKS; looks++) {
		error = look_at(option.out, &found);
		if (!error && found.pushed) {
			why = carried;
		} else if (!error || error == -ENOENT) {
			why = fits(&found) ? "all its writers are there"
					   : unfit;
			error = make_output(0);
			if (error == -EEXIST && fits(&found))
				error = join_maker(wait);
			if (error == -EOWNERDEAD)
				error = make_output(SHMRING_REPLACE);
			if (!error)
				break;
		}
		if (!may_pass(error))
			fail(EX_CANTCREAT, option.out, shmring_strerror(error));
		look_again(wait, "the name");
	}
	if (looks == LOOKS)
		fail(EX_CANTCREAT, option.out, why);
	gathering = 1;
	if (maker && found.slot_size != ring->slot_size)
		fprintf(stderr,
			"shmcat: %s: made by another writer, with -s %" PRIu32
			": mine is ignored\n",
			option.out, found.slot_size);
}

/* 1 when the stream may begin, or, if another has made the ring, has begun.
 * 0: whoever made it, or its name, is gone. */
static int
gather_output(struct wait *wait)
{
	struct shmring_participant first;
	struct shmring_stat now;
	int all;

	for (;;) {
		now = attendance(wait, &out);
		all = now.producers >= option.writers &&
		      now.consumers >= option.readers;
		if (maker ? now.pushed >= option.readers : all)
			return 1;
		if (maker && (shmring_participant(&out, 0, &first) ||
			      first.pid != maker))
			break;
		if (!all && !is_ours(option.out))
			break;
		await(wait, &now);
	}
	gathering = 0;
	shmring_close(&out);
	return 0;
}

/* The name goes, so that nobody else comes; then the marks. */
static void
begin_output(void)
{
	const struct mark mark = { MARK, (uint16_t)option.writers,
				   (uint16_t)option.readers };
	unsigned i;
	int error = 0;

	if (is_ours(option.out))
		shmring_unlink(option.out);
	gathering = 0;
	for (i = 0; i < option.readers && !error; i++)
		error = shmring_push_wait(&out, &mark, sizeof(mark),
					  option.timeout_ns);
	if (error)
		fail_write(error);
}

/* Until the name is gone, no signal may end us before we remove it. Those that
 * are ignored stay so: they would not end us. */
static void
hold_signals(void)
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGTERM };
	struct sigaction action;
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!sigaction(numbers[i], NULL, &action) &&
		    action.sa_handler != SIG_IGN)
			sigaddset(&ending, numbers[i]);
	sigprocmask(SIG_BLOCK, &ending, NULL);
}

static void
join_output(void)
{
	struct wait wait = wait_begun(option.out);

	hold_signals();
	do
		enter_output(&wait);
	while (!gather_output(&wait));
	if (!maker)
		begin_output();
	gathering = 0;
	sigprocmask(SIG_UNBLOCK, &ending, NULL);
	shmring_set_spin(&out, option.spin_ns);
}

/* Come back when there is input, or its end. A writer that is kept waiting
 * looks whether its readers are still alive: nothing else would tell it. */
static void
wait_for_input(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct shmring_stat now;

	while (poll(&input, 1, 100) == 0) {
		shmring_recover(&out);
		if (shmring_stat(&out, &now))
			return;
		if (!now.consumers)
			fail_write(-EPIPE);
	}
}

/* After a read or write that failed: return when it is worth another. Who
 * gave us stdin or stdout may have made it non-blocking. */
static void
try_again(int fd, short events, const char *name)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (errno == EAGAIN)
		poll(&p, 1, -1);
	else if (errno != EINTR)
		fail(EX_IOERR, name, strerror(errno));
}

/* 0 at the end of stdin. */
static size_t
read_input(void *place, size_t size)
{
	ssize_t n;

	while ((n = read(STDIN_FILENO, place, size)) < 0)
		try_again(STDIN_FILENO, POLLIN, "stdin");
	return (size_t)n;
}

static void
write_output(const char *data, size_t size)
{
	ssize_t n;

	while (size) {
		n = write(STDOUT_FILENO, data, size);
		if (n < 0) {
			try_again(STDOUT_FILENO, POLLOUT, "stdout");
			continue;
		}
		data += n;
		size -= (size_t)n;
	}
}

static void
send_blocks(size_t size)
{
	size_t length;
	void *place;
	int error;

	for (;;) {
		wait_for_input(); /* not while a slot is reserved */
		place = shmring_reserve_wait(&out, size, option.timeout_ns);
		if (!place)
			fail_write(shmring_error(&out));
		length = read_input(place, size);
		if (!length)
			break;
		while ((error = shmring_commit(&out, length)) == -EAGAIN)
			sched_yield();
		if (error)
			fail_write(error);
		progress(length, 0);
	}
	shmring_abort(&out);
}

/* Send the lines, each with its end, that text begins with; how much of it
 * that is. What remains is the beginning of a line, or for the next call. */
static size_t
send_whole_lines(char *text, size_t length)
{
	struct iovec lines[64];
	size_t taken = 0, count = 0, sent;
	ssize_t n;
	char *end;

	while (count < 64 && taken < length &&
	       (end = memchr(text + taken, '\n', length - taken)) != NULL) {
		lines[count].iov_base = text + taken;
		lines[count].iov_len = (size_t)(end + 1 - (text + taken));
		taken += lines[count++].iov_len;
	}
	for (sent = 0; sent < count; sent += (size_t)n) {
		n = shmring_push_n_wait(&out, lines + sent, count - sent,
					option.timeout_ns);
		if (n < 0)
			fail_write((int)n);
	}
	progress(taken, 0);
	return taken;
}

static void
send_lines(size_t longest)
{
	size_t size = 2 * longest, length = 0, n, taken, begin;
	char *text = malloc(size);
	int error;

	if (!text)
		fail(EX_OSERR, "memory", strerror(ENOMEM));
	for (;;) {
		wait_for_input();
		n = read_input(text + length, size - length);
		if (!n)
			break;
		length += n;
		for (begin = 0;
		     (taken = send_whole_lines(text + begin, length - begin));
		     begin += taken)
			;
		length -= begin;
		memmove(text, text + begin, length);
		if (length > longest)
			fail_write(-EMSGSIZE);
	}
	if (length) { /* the last line, without an end */
		error = shmring_push_wait(&out, text, length,
					  option.timeout_ns);
		if (error)
			fail_write(error);
		progress(length, 0);
	}
	free(text);
}

/* Take messages, straight from the ring, until all writers have said that
 * they are done. Released only when written: if we are killed, the next
 * reader gets the message. */
static void
receive(void)
{
	uint64_t again = 0;
	unsigned ended = 0;
	const void *data;
	size_t size = 0;
	int error;

	while (ended < option.writers) {
		data = shmring_peek_wait(&in, &size, option.timeout_ns);
		error = data ? 0 : shmring_error(&in);
		if (error == -EPIPE)
			fail(EX_UNAVAILABLE, option.in,
			     "the writers died or left before the end: "
			     "the stream is truncated");
		if (error)
			fail_ring(option.in, error);
		ended += size == 0;
		again += size && shmring_redelivered(&in);
		if (!option.out)
			write_output(data, size);
		else if (size &&
			 (error = shmring_push_wait(&out, data, size,
						    option.timeout_ns)) != 0)
			fail_write(error);
		error = shmring_release(&in);
		if (error)
			fail_ring(option.in, error);
		progress(size, 0);
	}
	if (again)
		fprintf(stderr,
			"shmcat: %s: a reader died: %" PRIu64
			" messages may have been written twice\n",
			option.in, again);
}

/* Tell every reader that this writer is done, and wait until they know. */
static void
send_end(void)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < option.readers && !error; i++)
		error = shmring_push_wait(&out, "", 0, option.timeout_ns);
	if (!error)
		error = shmring_flush(&out, option.timeout_ns);
	if (error)
		fail_write(error);
}

/* A number with an optional k, M or G: at most 2^30, as the ring's are. */
static uint32_t
number(const char *text)
{
	static const char suffixes[] = "KMG";
	char *end;
	uint64_t value;
	const char *suffix;

	errno = 0;
	value = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix && value <= 1 << 30) {
		value <<= 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end || errno || !isdigit((unsigned char)*text) || !value ||
	    value > 1 << 30)
		fail(EX_USAGE, text, "not a number from 1 to 1G");
	return (uint32_t)value;
}

static int64_t
seconds_ns(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*end || end == text || !(seconds >= 0 && seconds < 1e9))
		fail(EX_USAGE, text, "not a number of seconds below 1e9");
	return (int64_t)(seconds * 1e9);
}

static int64_t
policy_ns(const char *text)
{
	if (!strcmp(text, "spin"))
		return -1;
	if (!strcmp(text, "block"))
		return 0;
	if (strcmp(text, "hybrid") != 0)
		fail(EX_USAGE, text, "not a policy: spin, block, hybrid");
	return SHMRING_SPIN_NS;
}

static const char *
ring_name(const char *text)
{
	if (text[0] != '/' || !text[1] || strchr(text + 1, '/'))
		fail(EX_USAGE, text,
		     "not the name of a ring: it begins with a slash and has "
		     "no other");
	return text;
}

/* Remove a ring that nobody uses: put one of our own in its place, which only
 * succeeds then. By force: whatever is a ring. */
static __attribute__((noreturn)) void
remove_ring(const char *name)
{
	const struct shmring_config least = { .slots = 1,
					      .roles = SHMRING_PRODUCER,
					      .flags = SHMRING_REPLACE };
	struct shmring_stat found;
	char text[256];
	int error = look_at(name, &found);

	if (option.force && error != -EPROTO && error != -ENOENT)
		error = 0;
	else if (!error)
		error = shmring_create(&out, name, &least);
	if (!error)
		error = shmring_unlink(name);
	if (error) {
		snprintf(text, sizeof(text), "not removed: %s%s",
			 shmring_strerror(error),
			 error == -EPROTO || error == -ENOENT
				 ? ""
				 : " (-f removes it nevertheless)");
		fail(EX_CANTCREAT, name, text);
	}
	shmring_close(&out);
	exit(EX_OK);
}

/* Say which of these options were given in vain. */
static void
say_ignored(const char *given, const char *letters, const char *without)
{
	char in_vain[64] = "", *end = in_vain;

	for (; *letters; letters++)
		if (strchr(given, *letters))
			end += sprintf(end, " -%c", *letters);
	if (end > in_vain)
		fprintf(stderr, "shmcat: without %s, ignored:%s\n", without,
			in_vain);
}

/* What the options mean together. */
static void
check_options(const char *given)
{
	const struct shmring_config *ring = &option.ring;
	unsigned all = option.writers + option.readers;

	if (option.unlink && (option.in || option.out))
		fail(EX_USAGE, "-u", "not together with -r or -w");
	if (!option.unlink)
		say_ignored(given, "f", "-u");
	if (!option.in && !option.out && !option.unlink)
		fail(EX_USAGE, "usage", "-r RING, -w RING or both");
	if (!option.out && !option.unlink)
		say_ignored(given, "lmcsM", "-w");
	else if (option.in)
		say_ignored(given, "l", "stdin to read");
	if (all > 1024)
		fail(EX_USAGE, "-W, -R", "more than 1024 in all");
	if (option.out && all > 2 && ring->mode != SHMRING_MPMC)
		fail(EX_USAGE, "-W, -R", "several need a ring made with -m");
	if (ring->slots && ring->mode == SHMRING_MPMC && ring->slots < 2 * all)
		fail(EX_USAGE, "-c",
		     "with -m, at least 2 for each writer and reader");
}

static void
parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "read", required_argument, NULL, 'r' },
		{ "write", required_argument, NULL, 'w' },
		{ "unlink", required_argument, NULL, 'u' },
		{ "force", no_argument, NULL, 'f' },
		{ "lines", no_argument, NULL, 'l' },
		{ "mpmc", no_argument, NULL, 'm' },
		{ "writers", required_argument, NULL, 'W' },
		{ "readers", required_argument, NULL, 'R' },
		{ "capacity", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "metered", no_argument, NULL, 'M' },
		{ "policy", required_argument, NULL, 'p' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	char given[64] = ""; /* letters, each once */
	int letter;

	while ((letter = getopt_long(argc, argv, "r:w:u:flmW:R:c:s:Mp:t:hV",
				     options, NULL)) != -1) {
		if (!strchr(given, letter))
			given[strlen(given)] = (char)letter;
		switch (letter) {
		case 'r':
			option.in = ring_name(optarg);
			break;
		case 'w':
			option.out = ring_name(optarg);
			break;
		case 'u':
			option.unlink = ring_name(optarg);
			break;
		case 'f':
			option.force = 1;
			break;
		case 'l':
			option.lines = 1;
			break;
		case 'm':
			option.ring.mode = SHMRING_MPMC;
			break;
		case 'W':
			option.writers = number(optarg);
			break;
		case 'R':
			option.readers = number(optarg);
			break;
		case 'c':
			option.ring.slots = number(optarg);
			break;
		case 's':
			option.ring.slot_size = number(optarg);
			break;
		case 'M':
			option.ring.flags = SHMRING_METERED;
			break;
		case 'p':
			option.spin_ns = policy_ns(optarg);
			break;
		case 't':
			option.timeout_ns = seconds_ns(optarg);
			break;
		case 'h':
			fputs(help, stdout);
			exit(EX_OK);
		case 'V':
			printf("shmcat %d.%d.%d, layout %d\n",
			       SHMRING_VERSION_MAJOR, SHMRING_VERSION_MINOR,
			       SHMRING_VERSION_PATCH, SHMRING_LAYOUT);
			exit(EX_OK);
		default:
			fputs("see shmcat --help\n", stderr);
			exit(EX_USAGE);
		}
	}
	if (optind < argc)
		fail(EX_USAGE, argv[optind], "no such argument");
	check_options(given);
}

/* Large messages make few system calls; 2 MiB of them stay in the caches. */
static void
choose_sizes(void)
{
	struct shmring_config *ring = &option.ring;
	uint32_t all = option.writers + option.readers;

	if (!ring->slot_size)
		ring->slot_size = option.lines ? 64 << 10 : 256 << 10;
	option.longest = ring->slot_size;
	if (ring->slot_size < sizeof(struct mark))
		ring->slot_size = sizeof(struct mark);
	if (!ring->slots) {
		ring->slots = (2 << 20) / ring->slot_size;
		if (ring->slots < 2 * all)
			ring->slots = 2 * all;
	}
	if (ring->mode == SHMRING_MPMC)
		ring->participants = all;
}

/* A descriptor below 3 that is closed the ring would get: then what is read or
 * written there would be the ring's own memory. */
static void
check_descriptors(void)
{
	int fd;

	if (option.out && !option.in && fcntl(STDIN_FILENO, F_GETFD) < 0)
		fail(EX_IOERR, "stdin", "closed");
	if (option.in && !option.out && fcntl(STDOUT_FILENO, F_GETFD) < 0)
		fail(EX_IOERR, "stdout", "closed");
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	close(fd);
}

int
main(int argc, char **argv)
{
	struct shmring_stat made;
	size_t size;

	parse(argc, argv);
	choose_sizes();
	check_descriptors();
	if (option.unlink)
		remove_ring(option.unlink);
	if (option.in)
		join_input();
	if (option.out)
		join_output();
	if (option.in)
		receive();
	else if (!shmring_stat(&out, &made)) {
		size = made.slot_size < option.longest ? made.slot_size
						       : option.longest;
		if (option.lines)
			send_lines(size);
		else
			send_blocks(size);
	}
	if (option.out)
		send_end();
	progress(0, 1);
	shmring_close(&in);
	shmring_close(&out);
	return EX_OK;
}
