/* SPDX-License-Identifier: MIT
 *
 * How shmring looks at a ring: the segment is mapped read-only, no participant
 * line is taken, no huge or locked page made; nobody notices. What it says is
 * judged here, more leniently than by shmring_open: also what is retired, of
 * before a reboot, or somebody else's can be looked at.
 */
#include <dirent.h>
#include <pwd.h>
#include <setjmp.h>
#include <stddef.h>

struct person { /* a participant */
	uint32_t index;
	struct shmring_participant counts;
	char command[32];
	const char *state;
	int certain; /* or what state says is a guess */
	int dead; /* proven */
	uint64_t intent[2], adopts;
};

struct look {
	char name[NAME_MAX + 2]; /* as it is shown, and given to shmring_open */
	char path[PATH_MAX];
	int error; /* why it is not mapped: negative errno */
	int doubt; /* mapped, but others will refuse it: negative errno */
	struct stat file;
	struct shmring__header header; /* as it was read, once */
	struct shmring ring;
	/* from gather() */
	struct shmring_stat counts;
	struct person *people;
	unsigned persons, alive, dead, died; /* died: lines of the killed */
	uint64_t head, tail, attn, waiting;
};

/* The file may be truncated while we read the mapping. */
static sigjmp_buf truncated;
static volatile sig_atomic_t guarded;
static void (*before_death)(void);

static void
bus_error(int number)
{
	static const char text[] =
		"shmring: the segment was truncated while it was read\n";

	(void)number;
	if (guarded)
		siglongjmp(truncated, 1);
	if (before_death)
		before_death();
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

/* Call work, which must not print; truncation becomes an error. */
static int
guard(int (*work)(struct look *), struct look *look)
{
	int result;

	if (sigsetjmp(truncated, 1)) {
		guarded = 0;
		look->error = -EOVERFLOW;
		return -EOVERFLOW;
	}
	guarded = 1;
	result = work(look);
	guarded = 0;
	return result;
}

/* What makes others refuse a ring that is sound in itself. */
static int
judge_origin(const struct look *look)
{
	const struct shmring__header *h = &look->header;

	if (shmring__other_boot(h))
		return -EREMOTE;
	if (look->file.st_uid != h->creator ||
	    (look->file.st_mode & 0022 & ~h->permissions))
		return -EPERM;
	return h->retired == SHMRING__REPLACED ? -ESTALE : 0;
}

/* A name, or, with a slash inside, the path of a file: a copy of a segment,
 * or /proc/PID/fd/N of a memfd. */
static int
find_ring(struct look *look, const char *name)
{
	const char *slash = strrchr(name, '/');
	int error = 0;

	if (slash && slash != name)
		snprintf(look->path, sizeof(look->path), "%s", name);
	else if (strlen(name) - (*name == '/') - 1 >= NAME_MAX)
		error = -EINVAL; /* nothing, or too long */
	else
		snprintf(look->path, sizeof(look->path), "%s/%s",
			 SHMRING_DIRECTORY, name + (*name == '/'));
	snprintf(look->name, sizeof(look->name), "%s%s",
		 *name == '/' || slash ? "" : "/", name);
	return error;
}

static int
open_file(struct look *look, int flags)
{
	int is_path = strncmp(look->path, SHMRING_DIRECTORY "/",
			      sizeof(SHMRING_DIRECTORY)) != 0;

	/* Whatever lies there: no waiting for the other end of a FIFO. */
	int fd = open(look->path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
					  (is_path ? 0 : O_NOFOLLOW));
	return fd < 0 ? errno == ELOOP ? -EPROTO : -errno : fd;
}

/* Map it to look at it. What was found stands in look->error, too. */
static int
look_at(struct look *look, const char *name)
{
	struct shmring *r = &look->ring;
	int fd;

	memset(look, 0, sizeof(*look));
	shmring__blank(r);
	look->error = find_ring(look, name);
	if (look->error)
		return look->error;
	r->map.fd = fd = open_file(look, O_RDONLY);
	if (fd < 0) {
		r->map.fd = -1;
		return look->error = fd;
	}
	if (fstat(fd, &look->file))
		return look->error = -errno;
	r->map.device = look->file.st_dev;
	r->map.inode = look->file.st_ino;
	if (!S_ISREG(look->file.st_mode) ||
	    pread(fd, &look->header, sizeof(look->header), 0) !=
		    sizeof(look->header)) {
		look->header.magic = 0;
		return look->error = -EPROTO;
	}
	look->error = shmring__judge_kind(&look->header);
	if (!look->error)
		look->error =
			shmring__judge_sizes(&r->geometry, &look->header,
					     (uint64_t)look->file.st_size);
	if (look->error)
		return look->error;
	look->doubt = judge_origin(look);
	r->self.roles = SHMRING_OBSERVER;
	r->self.pid = (uint32_t)getpid();
	r->self.pid_namespace = shmring__namespace("/proc/self/ns/pid");
	r->self.time_namespace = shmring__namespace("/proc/self/ns/time");
	look->error = shmring__map_all(r, 0);
	if (!look->error)
		look->error = shmring__watch_forks(r);
	if (!look->error)
		shmring__set_pointers(r);
	return look->error;
}

static void
look_away(struct look *look)
{
	free(look->people);
	look->people = NULL;
	shmring__unmap(&look->ring);
}

/* ---- who takes part ---- */

static int
read_proc(uint32_t pid, const char *thread, const char *what, char *to,
	  size_t size)
{
	char path[128];
	ssize_t got;
	int fd;

	if (thread)
		snprintf(path, sizeof(path), "/proc/%u/task/%.20s/%s", pid,
			 thread, what);
	else
		snprintf(path, sizeof(path), "/proc/%u/%s", pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, to, size - 1);
	if (fd >= 0)
		close(fd);
	to[got < 0 ? 0 : got] = 0;
	return got >= 0;
}

static char
process_state(uint32_t pid, const char *thread)
{
	char text[512], *end;

	if (!read_proc(pid, thread, "stat", text, sizeof(text)))
		return 0;
	end = strrchr(text, ')'); /* the command may hold anything */
	return end && end[1] ? end[2] : 0;
}

/* What its threads do, as far as we may know: T stopped, R one runs, F one
 * sleeps on a futex, S others sleep, 0 unknown. */
static char
process_does(uint32_t pid)
{
	char path[64], where[64], state = process_state(pid, NULL);
	int futex = 0, seen = 0;
	struct dirent *entry;
	DIR *tasks;

	if (!state || state == 'T' || state == 't' || state == 'R')
		return state == 't' ? 'T' : state;
	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	tasks = opendir(path);
	while (tasks && seen < 64 && (entry = readdir(tasks))) {
		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		seen++;
		if (process_state(pid, entry->d_name) == 'R') {
			state = 'R';
			break;
		}
		/* "0": we may not know, so it may be */
		if (read_proc(pid, entry->d_name, "wchan", where,
			      sizeof(where)))
			futex |= strstr(where, "futex") || !strcmp(where, "0");
	}
	if (tasks)
		closedir(tasks);
	return state == 'R' ? 'R' : futex ? 'F' : 'S';
}

/* dead, stopped and waiting are known; what a living one does otherwise is a
 * guess, for it may have other threads and other rings. */
static void
judge_person(struct look *look, struct person *p)
{
	struct shmring *r = &look->ring;
	struct shmring__line *x = &r->lines[p->index];
	uint64_t start = SHMRING__LOAD(&x->start, RELAXED);
	uint32_t pid = p->counts.pid;
	char does;

	p->certain = 1;
	p->state = p->counts.waits ? "waiting" : "attached";
	p->dead = p->counts.dead != 0;
	if (p->dead) {
		p->state = "dead";
		return;
	}
	if (SHMRING__LOAD(&x->pid_namespace, RELAXED) !=
	    r->self.pid_namespace) {
		snprintf(p->command, sizeof(p->command), "(in a container)");
		return; /* its pid means nothing here */
	}
	if (shmring__process_gone(pid, start)) {
		p->state = "forked"; /* a child still holds its lock */
		return;
	}
	read_proc(pid, NULL, "comm", p->command, sizeof(p->command));
	p->command[strcspn(p->command, "\n")] = 0;
	does = process_does(pid);
	if (does == 'T') {
		p->state = "stopped";
	} else if (does && !p->counts.waits) {
		p->certain = 0;
		p->state = does == 'R' ? "working" : "idle";
	}
}

static int
is_metered(const struct look *look)
{
	return (look->header.flags & SHMRING_METERED) != 0;
}

/* A lossy ring fills up and stays full, so that it has no such mark. */
static int
has_high_water(const struct look *look)
{
	return is_metered(look) && !(look->header.flags & SHMRING_LOSSY);
}

/* Of BROADCAST: one that has a lag, and losses. */
static int
is_reader(const struct look *look, const struct person *p)
{
	return look->header.mode == SHMRING_BROADCAST &&
	       (p->counts.roles & SHMRING_CONSUMER);
}

/* BROADCAST: what the living reader that is the most behind has not read yet,
 * also if it was demoted. (The header's own length: before the slowest that
 * holds the writer, which a dead one does until it is recovered.) */
static uint64_t
longest_lag(const struct look *look)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < look->persons; i++) {
		const struct person *p = &look->people[i];
		if (is_reader(look, p) && !p->dead && p->counts.lag > most)
			most = p->counts.lag;
	}
	return most < look->counts.capacity ? most : look->counts.capacity;
}

static void
gather_people(struct look *look)
{
	struct shmring *r = &look->ring;
	uint32_t count = r->geometry.participants;

	free(look->people);
	look->people = calloc(count, sizeof(*look->people));
	look->persons = look->alive = look->dead = look->died = 0;
	for (uint32_t i = 0; look->people && i < count; i++) {
		struct person *p = &look->people[look->persons];
		struct shmring__line *x = &r->lines[i];
		uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE);
		uint32_t state = shmring__state_of(status);

		look->died += state == SHMRING__FREE &&
			      (shmring__roles_of(status) & SHMRING__DIED);
		if (shmring_participant(r, i, &p->counts))
			continue;
		p->index = i;
		p->intent[0] = SHMRING__LOAD(&x->intent[0], ACQUIRE);
		p->intent[1] = SHMRING__LOAD(&x->intent[1], ACQUIRE);
		p->adopts = SHMRING__LOAD(&x->adopts, ACQUIRE);
		judge_person(look, p);
		look->dead += p->dead != 0;
		look->alive += !p->dead;
		look->persons++;
	}
}

/* All that list, show and top print, at one go. */
static int
gather(struct look *look)
{
	const struct shmring *r = &look->ring;
	int error = shmring_stat(r, &look->counts);
	int64_t more;

	if (error)
		return error;
	look->head = SHMRING__LOAD(r->head, ACQUIRE);
	look->tail = SHMRING__LOAD(r->tail, ACQUIRE);
	look->attn = SHMRING__LOAD(&r->notice->attn, ACQUIRE);
	/* SPSC: of those whose counters a crash cut short, about. */
	more = (int64_t)(look->counts.pushed - look->counts.popped);
	look->waiting = r->mode == SHMRING_MPMC		   ? look->counts.length
			: more < 0 || !look->counts.length ? 0
			: (uint64_t)more > look->counts.length
				? look->counts.length
				: (uint64_t)more;
	struct shmring__mark oldest;
	if (r->mode == SHMRING_BROADCAST) /* that can still be read */
		look->waiting = shmring__find(r, SHMRING_OLDEST, NULL, &oldest)
					? 0
					: look->counts.pushed - oldest.sequence;
	gather_people(look);
	if (r->mode == SHMRING_BROADCAST &&
	    !(look->header.flags & SHMRING_LOSSY))
		look->counts.length = longest_lag(look);
	return 0;
}

static double
ratio_of(const struct look *look, uint64_t length)
{
	return look->counts.capacity
		       ? (double)length / (double)look->counts.capacity
		       : 0;
}

static double
fill_of(const struct look *look)
{
	return ratio_of(look, look->counts.length);
}

static double
high_water_of(const struct look *look)
{
	return ratio_of(look, look->counts.high_water);
}

/* For programs. */
static const char *
engine_word(uint32_t mode)
{
	static const char *const words[] = { "spsc", "mpmc", "broadcast" };

	return words[mode % 3];
}

static const char *
engine_of(const struct look *look)
{
	static const char *const names[] = { "SPSC", "MPMC", "CAST" };

	return names[look->header.mode % 3];
}

static double
age_of(const struct look *look)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
	       (double)look->header.created / 1e9;
}

/* Nobody who lives is attached: how was it left? */
static const char *
state_of(const struct look *look)
{
	return look->alive		  ? "in use"
	       : look->dead || look->died ? "left behind"
					  : "unused";
}

static const char *
owner_of(const struct look *look, char text[SOME])
{
	const struct passwd *user = getpwuid(look->file.st_uid);

	if (user)
		snprintf(text, SOME, "%s", user->pw_name);
	else
		snprintf(text, SOME, "%u", (unsigned)look->file.st_uid);
	return text;
}

static const char *
roles_of(const struct person *p)
{
	switch (p->counts.roles & SHMRING_BOTH) {
	case SHMRING_PRODUCER:
		return "producer";
	case SHMRING_CONSUMER:
		return "consumer";
	case SHMRING_BOTH:
		return "both";
	default:
		return "none";
	}
}

static void
put_id(const struct look *look, int bytes)
{
	for (int i = 0; i < bytes; i++)
		printf("%02x", look->header.id[i]);
}

/* ---- every ring of the machine ---- */

struct looks {
	struct look *all;
	size_t count;
	unsigned unreadable; /* files that may be rings */
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct look *)a)->name,
		      ((const struct look *)b)->name);
}

/* A signal or a lack of memory ends this early. Files that are no rings are
 * left out. */
static void
look_at_all(struct looks *looks)
{
	DIR *directory = opendir(SHMRING_DIRECTORY);
	struct dirent *entry;
	size_t room = 0;

	memset(looks, 0, sizeof(*looks));
	if (!directory)
		fail(3, "%s: %s", SHMRING_DIRECTORY, strerror(errno));
	while ((entry = readdir(directory))) {
		struct look *look;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (looks->count == room) {
			room = 2 * room + 16;
			look = realloc(looks->all, room * sizeof(*look));
			if (!look)
				fail(1, "%s", strerror(ENOMEM));
			looks->all = look;
		}
		look = &looks->all[looks->count];
		look_at(look, entry->d_name);
		looks->unreadable += look->error == -EACCES;
		if (look->error == 0)
			guard(gather, look);
		/* Descriptors are few: keep none. */
		if (look->header.magic == SHMRING__MAGIC)
			looks->count++;
		else
			free(look->people);
		shmring__unmap(&look->ring);
	}
	closedir(directory);
	if (looks->count)
		qsort(looks->all, looks->count, sizeof(*looks->all), by_name);
}

static void
look_away_all(struct looks *looks)
{
	for (size_t i = 0; i < looks->count; i++)
		free(looks->all[i].people);
	free(looks->all);
}
