/* SPDX-License-Identifier: MIT
 *
 * Messages of a ring in a file, with their times, and back.
 *
 * A recording: numbers are little-endian, everything begins at a multiple of
 * 8 bytes.
 *	 0  8  "shmtape1"
 *	 8  4  the ring's mode: 0 SPSC, 1 MPMC, 2 BROADCAST
 *	12  4  its slots
 *	16  4  its slot_size: no message is longer
 *	20  4  its flags: 32 PERSISTENT, 64 LOSSY, 128 METERED
 *	24  8  when it began, ns since 1970
 *	32 16  the ring's id
 *	48  4  its participants; BROADCAST: readers; 0, here and below: the default
 *	52  4  its demote_ms
 *	56  4  its alignment
 *	60  4  0
 * then for each message
 *	 0  8  ns since the beginning, never less than the one before
 *	 8  4  length
 *	12  4  flags: 1 somebody who died may have seen it before
 *	16     the message, zeros up to a multiple of 8
 * and at its end, unless it was cut short, the same with flags 2, length 16:
 *	16  8  how many messages were recorded
 *	24  8  how many were missed (SPSC: bytes), see record --observe
 */

/* What belongs to the ring, not to the machine and its limits. */
#define TAPE_FLAGS (SHMRING_PERSISTENT | SHMRING_LOSSY | SHMRING_METERED)

#define TAPE_MAGIC "shmtape1"
#define TAPE_AGAIN 1u
#define TAPE_END 2u

struct tape_header {
	char magic[8];
	uint32_t mode, slots, slot_size, flags;
	uint64_t began;
	unsigned char id[16];
	uint32_t participants, demote_ms, alignment, zero;
};

struct tape_entry {
	uint64_t time;
	uint32_t length, flags;
};

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	stop = number;
}

/* Interrupts whatever waits; twice, for who is stuck, ends. */
static void
catch_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static void
nap(int64_t ns)
{
	struct timespec time = { .tv_sec = ns / 1000000000,
				 .tv_nsec = ns % 1000000000 };

	nanosleep(&time, NULL);
}

static int64_t
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- record ---- */

struct tape {
	const char *path;
	int fd;
	int64_t start;
	uint64_t count, bytes;
};

static void
tape_write(struct tape *tape, struct iovec *parts, int count)
{
	while (count) {
		ssize_t n = writev(tape->fd, parts, count);
		if (n < 0 && errno != EINTR)
			fail(4, "%s: %s", tape->path, strerror(errno));
		for (; n > 0 && count; parts++, count--) {
			if ((size_t)n < parts->iov_len) {
				parts->iov_base = (char *)parts->iov_base + n;
				parts->iov_len -= (size_t)n;
				break;
			}
			n -= (ssize_t)parts->iov_len;
		}
		while (count && !parts->iov_len) {
			parts++;
			count--;
		}
	}
}

/* One call a message: what was written is in the file, whatever happens to
 * us, and only then is the message released. */
static void
tape_entry(struct tape *tape, const void *data, size_t size, uint32_t flags)
{
	static char zeros[8];
	struct tape_entry entry = { .time = (uint64_t)(now_ns(CLOCK_MONOTONIC) -
						       tape->start),
				    .length = (uint32_t)size,
				    .flags = flags };
	struct iovec parts[3] = { { &entry, sizeof(entry) },
				  { (void *)(uintptr_t)data, size },
				  { zeros, -size & 7 } };

	tape_write(tape, parts, 3);
	tape->count += !(flags & TAPE_END);
	tape->bytes += size;
}

static void
tape_begin(struct tape *tape, const struct look *look, int force)
{
	const struct shmring__header *h = &look->header;
	struct tape_header header = { .magic = TAPE_MAGIC,
				      .mode = h->mode,
				      .slots = h->slots,
				      .slot_size = h->slot_size,
				      .flags = h->flags & TAPE_FLAGS,
				      .participants =
					      h->participants -
					      (h->mode == SHMRING_BROADCAST),
				      .demote_ms = h->demote_ms,
				      .alignment = h->alignment };
	struct iovec part = { &header, sizeof(header) };

	header.magic[7] = '1';
	header.began = (uint64_t)now_ns(CLOCK_REALTIME);
	memcpy(header.id, h->id, sizeof(header.id));
	if (!strcmp(tape->path, "-"))
		tape->fd = STDOUT_FILENO;
	else
		tape->fd = open(tape->path,
				O_WRONLY | O_CREAT | O_CLOEXEC |
					(force ? O_TRUNC : O_EXCL),
				0666);
	if (tape->fd < 0 && errno == EEXIST)
		fail(4, "%s: is there already; -f overwrites it", tape->path);
	if (tape->fd < 0)
		fail(4, "%s: %s", tape->path, strerror(errno));
	tape->start = now_ns(CLOCK_MONOTONIC);
	tape_write(tape, &part, 1);
}

static void
tape_finish(struct tape *tape, uint64_t missed)
{
	uint64_t sums[2] = { tape->count, missed };

	tape_entry(tape, sums, sizeof(sums), TAPE_END);
	if (tape->fd != STDOUT_FILENO && close(tape->fd))
		fail(4, "%s: %s", tape->path, strerror(errno));
}

/* When recording ends. */
struct limits {
	uint64_t count; /* messages; 0: no limit */
	int64_t until; /* CLOCK_MONOTONIC; 0: no limit */
};

static int
reached(const struct limits *limits, uint64_t count)
{
	return stop || (limits->count && count >= limits->count) ||
	       (limits->until && now_ns(CLOCK_MONOTONIC) >= limits->until);
}

#define SLICE INT64_C(100000000) /* a signal waits for no longer */

static int64_t
slice(const struct limits *limits)
{
	int64_t left = limits->until - now_ns(CLOCK_MONOTONIC);

	return limits->until && left < SLICE ? left > 0 ? left : 0 : SLICE;
}

static void
record_consuming(struct tape *tape, const char *name,
		 const struct limits *limits)
{
	struct shmring ring;
	int error = shmring_open(&ring, name,
				 SHMRING_CONSUMER | SHMRING_ANY_OWNER, 0);

	if (error)
		fail(3, "%s: %s", name, shmring_strerror(error));
	while (!reached(limits, tape->count)) {
		size_t size;
		const void *data =
			shmring_peek_wait(&ring, &size, slice(limits));
		error = data ? 0 : shmring_error(&ring);
		if (error == -ETIMEDOUT || error == -EAGAIN)
			continue;
		if (error)
			break;
		tape_entry(tape, data, size,
			   shmring_redelivered(&ring) ? TAPE_AGAIN : 0);
		error = shmring_release(&ring);
		if (error)
			break;
	}
	shmring_close(&ring);
	if (error && error != -EPIPE && error != -ETIMEDOUT && error != -EAGAIN)
		fail(1, "%s: %s", name, shmring_strerror(error));
}

/* Whether all producers were killed: nobody need have noted it yet. */
static int
producers_died(struct look *look)
{
	int died = 0;

	gather_people(look);
	for (unsigned i = 0; i < look->persons; i++)
		if (look->people[i].counts.roles & SHMRING_PRODUCER) {
			if (!look->people[i].dead)
				return 0;
			died = 1;
		}
	return died;
}

/* Wait for the next message to look at, for as long as there may be one. An
 * MPMC position that is not filled for long is passed, if others are. 1, 0: no
 * more, negative: damaged. */
static int
follow(struct view *v, const struct limits *limits, uint64_t count)
{
	for (int idle = 0; !reached(limits, count); idle++) {
		int over = view_over(v), got;
		if (idle % 256 == 200)
			over |= producers_died(v->look);
		v->impatient = idle > 100;
		got = view_next(v);
		if (got)
			return got;
		if (over)
			return 0;
		nap(1000000);
	}
	return 0;
}

static uint64_t
record_observing(struct tape *tape, struct look *look,
		 const struct limits *limits)
{
	uint64_t missed;
	struct view v;
	int got;

	view_open(&v, look);
	while ((got = follow(&v, limits, tape->count)) > 0)
		tape_entry(tape, v.data, v.size, v.again ? TAPE_AGAIN : 0);
	missed = v.missed;
	free(v.data);
	if (got < 0)
		fail(1, "%s: %s", look->name, shmring_strerror(got));
	return missed;
}

/* ---- replay ---- */

static void
tape_bad(const char *path, const char *why)
{
	fail(4, "%s: %s", path, why);
}

static FILE *
tape_open(const char *path, struct tape_header *header)
{
	FILE *file = strcmp(path, "-") != 0 ? fopen(path, "rb") : stdin;

	if (!file)
		tape_bad(path, strerror(errno));
	if (fread(header, sizeof(*header), 1, file) != 1 ||
	    memcmp(header->magic, TAPE_MAGIC, 8) != 0)
		tape_bad(path, "not a recording of shmring record");
	if (header->mode > SHMRING_BROADCAST || !header->slots ||
	    header->slots > 1u << 30 || !header->slot_size ||
	    header->slot_size > 1u << 30)
		tape_bad(path, "damaged recording: no ring is like this");
	return file;
}

/* 1: a message, 0: the end, -1: it was cut short, -2: damaged. */
static int
tape_read(FILE *file, const struct tape_header *header,
	  struct tape_entry *entry, unsigned char *data, uint64_t count)
{
	uint64_t before = entry->time, sums[2] = { 0, 0 };
	size_t padded;

	if (fread(entry, sizeof(*entry), 1, file) != 1)
		return -1;
	if (entry->time < before || entry->time > INT64_MAX / 2 ||
	    (entry->flags & ~(TAPE_AGAIN | TAPE_END)))
		return -2;
	if (entry->flags & TAPE_END) {
		if (entry->length != sizeof(sums))
			return -2;
		if (fread(sums, sizeof(sums), 1, file) != 1)
			return -1;
		return sums[0] == count ? 0 : -2;
	}
	if (entry->length > header->slot_size)
		return -2;
	padded = (entry->length + (size_t)7) & ~(size_t)7;
	return fread(data, 1, padded, file) == padded ? 1 : -1;
}

/* Attach to the ring, or make one as the recorded one was. */
static void
replay_open(struct shmring *ring, const char *name,
	    const struct tape_header *header)
{
	const struct shmring_config config = {
		.mode = header->mode,
		.slots = header->slots,
		.slot_size = header->slot_size,
		.participants = header->participants,
		.flags = header->flags & TAPE_FLAGS,
		.roles = SHMRING_PRODUCER,
		.demote_ms = header->demote_ms,
		.alignment = header->alignment
	};
	int error = shmring_open(ring, name,
				 SHMRING_PRODUCER | SHMRING_ANY_OWNER, 0);

	if (error == -ENOENT)
		error = shmring_create(ring, name, &config);
	if (error)
		fail(3, "%s: %s", name, shmring_strerror(error));
}

static int
replay_push(struct shmring *ring, const void *data, size_t size)
{
	int error = -ETIMEDOUT;

	while (!stop && (error == -ETIMEDOUT || error == -EAGAIN))
		error = shmring_push_wait(ring, data, size, SLICE);
	return error;
}

static int
replay(const char *path, const char *name, int fast)
{
	struct tape_header header;
	struct tape_entry entry = { .time = 0 };
	FILE *file = tape_open(path, &header);
	unsigned char *data = malloc(header.slot_size + (size_t)8);
	uint64_t count = 0, bytes = 0;
	int64_t start, left;
	struct shmring ring;
	int got, error = 0;
	char text[SOME];

	if (!data)
		fail(1, "%s", strerror(ENOMEM));
	replay_open(&ring, name, &header);
	start = now_ns(CLOCK_MONOTONIC);
	while (!stop && !error &&
	       (got = tape_read(file, &header, &entry, data, count)) > 0) {
		while (!fast && !stop &&
		       (left = start + (int64_t)entry.time -
			       now_ns(CLOCK_MONOTONIC)) > 0)
			nap(left);
		error = replay_push(&ring, data, entry.length);
		count += !error;
		bytes += error ? 0 : entry.length;
	}
	shmring_close(&ring);
	free(data);
	fprintf(stderr, "%" PRIu64 " messages, %s\n", count,
		long_bytes(text, bytes));
	if (stop)
		return 1;
	if (error)
		fail(1, "%s: %s", name, shmring_strerror(error));
	if (got < 0)
		tape_bad(path, got == -1 ? "the recording was cut short: all "
					   "whole messages were replayed"
					 : "damaged recording: replayed up to "
					   "the damage");
	if (file != stdin)
		fclose(file);
	return 0;
}
