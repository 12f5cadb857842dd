/* SPDX-License-Identifier: MIT
 *
 * shmcat - carry a byte stream, or lines, through rings in shared memory
 *
 *	cc -O2 -Iinclude examples/shmcat.c -o shmcat
 *	./shmcat -w /ring <file & ./shmcat -r /ring >copy
 *
 * The ring says only that its writers are gone, not whether they had come to
 * their end. So every writer ends its stream with empty messages, which data
 * never are: one for each reader. A reader that has one of each writer knows
 * that the stream is complete; one whose writers are gone before knows that
 * it is not. A reader leaves as soon as it has its share, so that the marks
 * of all writers reach all readers, whoever takes which.
 *
 * For this nobody may come when others have left already. Hence writers begin
 * when all writers are there, readers when all readers are: see assemble().
 */
#include <shmring.h>
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <sysexits.h>

static const char help[] =
	"usage: shmcat -w RING <file       stdin to RING, made if need be\n"
	"       shmcat -r RING >file       RING, when it is there, to stdout\n"
	"       shmcat -r RING -w OTHER    from ring to ring\n"
	"       shmcat -u RING             remove what a crash left behind\n"
	"  -r, --read=RING       names begin with a slash and have no other\n"
	"  -w, --write=RING\n"
	"  -l, --lines           each line is a message, kept in one piece\n"
	"  -m, --mpmc            make RING for several writers and readers;\n"
	"  -W, --writers=N       so many of each take part in its stream (1);\n"
	"  -R, --readers=N       they begin when all are there; a message "
	"goes\n"
	"                        to one reader; all must be given the same N\n"
	"  -c, --capacity=N      make RING for N messages\n"
	"  -s, --size=BYTES      of at most so many bytes (256K; -l: 64K)\n"
	"  -p, --policy=WAIT     spin, block, or spin shortly, then block:\n"
	"                        hybrid (default)\n"
	"  -t, --timeout=SECONDS give up when nobody comes, gives or takes "
	"for\n"
	"                        so long\n"
	"The name of RING is removed when its stream has ended.\n"
	"exit status:\n"
	"   0  the whole stream was taken by the readers / has arrived\n"
	"  64  wrong usage\n"
	"  65  a line or message is longer than --size of the ring\n"
	"  66  RING cannot be read\n"
	"  69  the other side died or left early: the stream is not complete\n"
	"  71  the ring failed\n"
	"  73  RING cannot be made or written\n"
	"  74  stdin or stdout failed\n"
	"  75  timed out\n";

static struct {
	const char *in, *out;
	int lines;
	unsigned writers, readers;
	struct shmring_config ring;
	int64_t spin_ns, timeout_ns; /* -1: for ever */
} option = {
	.writers = 1, .readers = 1, .spin_ns = SHMRING_SPIN_NS, .timeout_ns = -1
};

static struct shmring in, out;

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static __attribute__((noreturn)) void
fail(int status, const char *what, const char *why)
{
	fprintf(stderr, "shmcat: %s: %s\n", what, why);
	shmring_close(&in);
	shmring_close(&out);
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
	if (error == -EPIPE) {
		shmring_unlink(option.out);
		fail(EX_UNAVAILABLE, option.out,
		     "the readers died or left before they had taken all");
	}
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

/* Wait until all who share a role in the stream are there, or were: once they
 * have moved a message, they all had come. */
static void
assemble(struct shmring *ring, const char *name, unsigned role)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t start = now_ns();
	struct shmring_stat now;
	int there, error;

	for (;;) {
		error = shmring_stat(ring, &now);
		if (error)
			fail_ring(name, error);
		there = role == SHMRING_PRODUCER
				? now.producers >= option.writers || now.pushed
				: now.consumers >= option.readers || now.popped;
		if (there)
			return;
		if (option.timeout_ns >= 0 &&
		    now_ns() - start > option.timeout_ns)
			fail(EX_TEMPFAIL, name, "not all have come in time");
		nanosleep(&pause, NULL);
	}
}

static void
join_input(void)
{
	int error = shmring_open(&in, option.in, SHMRING_CONSUMER,
				 option.timeout_ns);

	if (error)
		fail(error == -ETIMEDOUT ? EX_TEMPFAIL : EX_NOINPUT, option.in,
		     shmring_strerror(error));
	shmring_set_spin(&in, option.spin_ns);
	assemble(&in, option.in, SHMRING_CONSUMER);
}

/* Make the ring, in place of one whose users died, or join it. Another round
 * only when somebody else made or removed it between two looks. */
static void
join_output(void)
{
	struct shmring_config config = option.ring;
	int error, rounds = 100;

	config.roles = SHMRING_PRODUCER;
	do {
		error = shmring_create(&out, option.out, &config);
		config.flags = error == -EOWNERDEAD ? SHMRING_REPLACE : 0;
		if (error == -EEXIST)
			error = shmring_open(&out, option.out, SHMRING_PRODUCER,
					     0);
	} while ((error == -EOWNERDEAD || error == -ENOENT ||
		  (error == -EBUSY && config.flags)) &&
		 --rounds);
	if (error)
		fail(EX_CANTCREAT, option.out, shmring_strerror(error));
	shmring_set_spin(&out, option.spin_ns);
	assemble(&out, option.out, SHMRING_PRODUCER);
}

/* Come back when there is input, or its end. A writer that is kept waiting
 * looks whether its readers are still alive: nothing else would tell it. */
static void
wait_for_input(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct shmring_stat now;
	int had_readers = 0;

	while (poll(&input, 1, 100) == 0) {
		shmring_recover(&out);
		if (shmring_stat(&out, &now))
			return;
		had_readers |= now.consumers || now.popped;
		if (had_readers && !now.consumers)
			fail_write(-EPIPE);
	}
}

/* read() that goes on after a signal; 0 at the end of stdin. */
static size_t
read_input(void *place, size_t size)
{
	ssize_t n;

	do
		n = read(STDIN_FILENO, place, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		fail(EX_IOERR, "stdin", strerror(errno));
	return (size_t)n;
}

static void
write_output(const char *data, size_t size)
{
	ssize_t n;

	for (; size; data += n, size -= (size_t)n) {
		n = write(STDOUT_FILENO, data, size);
		if (n < 0 && errno != EINTR)
			fail(EX_IOERR, "stdout", strerror(errno));
		n = n < 0 ? 0 : n;
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
		if (error == -EPIPE) {
			shmring_unlink(option.in);
			fail(EX_UNAVAILABLE, option.in,
			     "the writers died or left before the end: "
			     "the stream is truncated");
		}
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
	shmring_unlink(option.out);
}

/* A number with an optional K, M or G. */
static uint32_t
number(const char *text)
{
	static const char suffixes[] = "KMG";
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;

	if (suffix) {
		value <<= 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end || !isdigit((unsigned char)*text) || !value ||
	    value > INT32_MAX)
		fail(EX_USAGE, text, "not a number from 1 to 2G - 1");
	return (uint32_t)value;
}

static int64_t
seconds_ns(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*end || end == text || !(seconds >= 0 && seconds < 1e9))
		fail(EX_USAGE, text, "not a number of seconds");
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

static __attribute__((noreturn)) void
remove_ring(const char *name)
{
	int error = shmring_unlink(name);

	if (error)
		fail(EX_CANTCREAT, name, shmring_strerror(error));
	exit(EX_OK);
}

static void
parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "read", required_argument, NULL, 'r' },
		{ "write", required_argument, NULL, 'w' },
		{ "unlink", required_argument, NULL, 'u' },
		{ "lines", no_argument, NULL, 'l' },
		{ "mpmc", no_argument, NULL, 'm' },
		{ "writers", required_argument, NULL, 'W' },
		{ "readers", required_argument, NULL, 'R' },
		{ "capacity", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "policy", required_argument, NULL, 'p' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "r:w:u:lmW:R:c:s:p:t:h",
				     options, NULL)) != -1)
		switch (letter) {
		case 'r':
			option.in = optarg;
			break;
		case 'w':
			option.out = optarg;
			break;
		case 'u':
			remove_ring(optarg);
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
		case 'p':
			option.spin_ns = policy_ns(optarg);
			break;
		case 't':
			option.timeout_ns = seconds_ns(optarg);
			break;
		case 'h':
			fputs(help, stdout);
			exit(EX_OK);
		default:
			exit(EX_USAGE);
		}
	if (optind < argc)
		fail(EX_USAGE, argv[optind], "no such argument: see --help");
	if (!option.in && !option.out)
		fail(EX_USAGE, "usage", "-r RING, -w RING or both: see --help");
}

/* Large messages make few system calls; 2 MiB of them stay in the caches. */
static void
choose_sizes(void)
{
	struct shmring_config *ring = &option.ring;
	uint32_t all = option.writers + option.readers;

	if (!ring->slot_size)
		ring->slot_size = option.lines ? 64 << 10 : 256 << 10;
	if (!ring->slots) {
		ring->slots = (2 << 20) / ring->slot_size;
		if (ring->slots < 2 * all)
			ring->slots = 2 * all;
	}
	if (ring->mode == SHMRING_MPMC)
		ring->participants = all;
}

int
main(int argc, char **argv)
{
	struct shmring_stat made;

	parse(argc, argv);
	choose_sizes();
	if (option.in)
		join_input();
	if (option.out)
		join_output();
	if (option.in)
		receive();
	else if (!shmring_stat(&out, &made) && option.lines)
		send_lines(made.slot_size);
	else
		send_blocks(made.slot_size);
	if (option.out)
		send_end();
	progress(0, 1);
	shmring_close(&in);
	shmring_close(&out);
	return EX_OK;
}
