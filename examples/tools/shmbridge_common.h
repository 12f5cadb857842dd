/* SPDX-License-Identifier: MIT
 *
 * What both directions of shmbridge share: the options, a bridge, errors, and
 * how a ring is opened.
 */
#include <nats/nats.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sysexits.h>

#define TOLD 32 /* so many messages of the stream tell what is in it */
#define TICK_NS INT64_C(200000000) /* between two looks whether to stop */

static struct {
	int in; /* from the stream to the ring */
	const char *server;
	int create, wait, purge, once;
	struct shmring_config ring; /* that `in` makes */
	int64_t max_bytes, duplicates_ns; /* of a stream that `out` makes */
	size_t pack; /* messages in one of the stream, at most */
	const char *notes; /* directory */
	int64_t status_ns; /* 0: only when asked for */
	int tls;
	const char *creds, *tls_ca, *tls_cert, *tls_key;
} option;

static atomic_int stopping;
static atomic_int working; /* bridges */

/* One ring and one stream, carried by one thread over its own connection. */
struct bridge {
	const char *name; /* of the ring */
	char stream[128], subject[160];
	pthread_t thread;
	int lock; /* MPMC: a descriptor */
	int attached; /* the ring was there once */
	natsConnection *connection;
	jsCtx *js;
	natsSubscription *replies;
	char inbox[64];
	int worked; /* the stream was there: what fails now may pass */
	atomic_uint reconnects;
	/* of the stream, when last asked */
	int64_t created;
	uint64_t first, last;
	uint64_t bytes_used, bytes_most; /* most: 0 if it has no limit */
	/* for the status line */
	atomic_uint_fast64_t messages, bytes;
	atomic_int connected;
	/* of `in`: the message of the stream to come (0: not known yet), how
	 * many of the ring's have come and are not in it, and how many of the
	 * stream's are (UNCOUNTED: nobody counted) */
	atomic_uint_fast64_t next, left, done;
};

static __attribute__((format(printf, 2, 3))) void
say(const struct bridge *b, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "shmbridge: %s: %s\n", b->name, text);
}

/* The whole process ends, whichever ring it was: to be killed at any moment
 * does no harm to the others, and who supervises us learns of it. */
static __attribute__((noreturn, format(printf, 2, 3))) void
fail(int status, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "shmbridge: %s\n", text);
	if (status == EX_USAGE)
		fputs("see shmbridge --help\n", stderr);
	_exit(status); /* other threads are still at work */
}

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
pause_ms(int milliseconds)
{
	const struct timespec time = { .tv_nsec = milliseconds * 1000000L };

	nanosleep(&time, NULL);
}

static __attribute__((noreturn)) void
fail_ring(const struct bridge *b, int error)
{
	fail(error == -ENOENT	  ? EX_NOINPUT
	     : error == -EMSGSIZE ? EX_DATAERR
				  : EX_OSERR,
	     "%s: %s", b->name, shmring_strerror(error));
}

/* The last one ends the process as a signal from outside does. */
static void
end_bridge(void)
{
	if (atomic_fetch_sub(&working, 1) == 1)
		kill(getpid(), SIGTERM);
}

/* MPMC gives the role to as many as want it, but of two bridges in the same
 * direction neither would know what the other has done. SPSC has one place
 * only. The lock is on the ring's file, and ends with the process. */
static void
be_the_only_one(struct bridge *b)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", SHMRING_DIRECTORY, b->name);
	b->lock = open(path, O_RDONLY | O_CLOEXEC);
	if (b->lock < 0)
		fail(EX_NOINPUT, "%s: %s", path, strerror(errno));
	if (!flock(b->lock, LOCK_EX | LOCK_NB))
		return;
	say(b, "another bridge is at it: waiting for its end");
	while (flock(b->lock, LOCK_EX | LOCK_NB) && !atomic_load(&stopping))
		pause_ms(TICK_NS / 1000000);
}

/* Attach, as soon as nobody else has the role. */
static void
open_ring(struct bridge *b, struct shmring *ring, unsigned role)
{
	struct shmring_config config = option.ring;
	struct shmring_stat stat;
	int told = 0, error;

	config.roles = role;
	for (;;) {
		error = shmring_open(ring, b->name, role, TICK_NS);
		if (error == -ETIMEDOUT || error == -ENOENT)
			error = option.in && option.create
					? shmring_create(ring, b->name, &config)
				: option.wait || b->attached ? -EAGAIN
							     : -ENOENT;
		if (!error || atomic_load(&stopping))
			break;
		if (error == -EBUSY && !told++)
			say(b, "somebody else has our role: waiting");
		if (error != -EBUSY && error != -EEXIST && error != -EAGAIN &&
		    error != -ESTALE)
			fail_ring(b, error);
	}
	b->attached = 1;
	b->lock = -1;
	if (!error && !shmring_stat(ring, &stat) && stat.mode == SHMRING_MPMC)
		be_the_only_one(b);
}

static void
close_ring(struct bridge *b)
{
	if (b->lock >= 0)
		close(b->lock);
	b->lock = -1;
}

/* Is there a ring of that name, with a producer or messages? */
static int
has_work(const struct bridge *b)
{
	struct shmring_stat stat = { 0 };
	struct shmring look;

	if (shmring_open(&look, b->name, SHMRING_OBSERVER, 0))
		return 0;
	if (shmring_stat(&look, &stat))
		stat.producers = 0;
	shmring_close(&look);
	return stat.producers || stat.length;
}

/* Does the name still lead to this ring? */
static int
is_named(const struct bridge *b, const struct shmring *ring)
{
	unsigned char mine[16] = { 0 }, named[16] = { 0 };
	struct shmring look;
	int error = shmring_open(&look, b->name, SHMRING_OBSERVER, 0);

	if (!error)
		error = shmring_id(&look, named);
	shmring_close(&look);
	return !error && !shmring_id(ring, mine) && !memcmp(mine, named, 16);
}
