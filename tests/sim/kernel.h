/* SPDX-License-Identifier: MIT
 *
 * kernel.h - the operating system that the header finds
 *
 * Names, files, locks, processes, futexes, membarrier and the clock, as far
 * as the header calls them; each call is one step. An unknown call ends the
 * simulator: add it to kernel_call(). A file's memory is mapped at one
 * address for all, the bytes of SPSC behind themselves once more.
 */
#ifndef KERNEL_H
#define KERNEL_H

enum {
	NAMES = 4,
	DESCRIPTORS = 24, /* of a task, from 3 on */
	LOCKS = 64,
	CANARIES = 8, /* private mappings of a task */
	WATCHES = 2, /* files of an F_EVENTS */
};
enum { F_NONE, F_FILE, F_BOOT, F_PROCESS, F_PID, F_EVENTS, F_TIMER, F_EPOLL };

static struct {
	struct descriptor {
		int kind;
		unsigned file;
		uint32_t open; /* which open file: locks belong to it */
		uint32_t value; /* F_PROCESS: start time, F_PID: pid */
		int told; /* F_EVENTS: there were some */
		struct watch {
			unsigned file; /* 0: none */
			uint32_t events, seen; /* which, and those there were */
		} watch[WATCHES];
		int64_t until; /* F_TIMER */
	} fd[TASKS][DESCRIPTORS];
	struct {
		uint32_t mode, links, seals;
		uint64_t size;
	} file[FILES];
	uint32_t files, opens, pids; /* so far */
	struct {
		char text[32];
		unsigned file;
	} name[NAMES];
	struct {
		uint32_t open; /* whose */
		unsigned file;
		int type;
		off_t byte;
	} lock[LOCKS];
	int locks;
	struct canary {
		uint64_t used, bytes[8];
	} canary[TASKS][CANARIES];
	int unfenced; /* membarrier is refused */
	unsigned cpus;
	unsigned shift; /* BROADCAST: its bytes stand where SPSC's do */
} kernel;

static unsigned char *
kernel_memory(unsigned file)
{
	return (unsigned char *)sim.arena + (size_t)file * FILE_ROOM +
	       kernel.shift;
}

static struct task *
kernel_process(long pid, int zombies)
{
	EACH_TASK (t)
		if (t->pid == (uint32_t)pid ||
		    (zombies && t->zombie == (uint32_t)pid))
			return t;
	return NULL;
}

/* ---- Descriptors and locks ---- */

static struct descriptor *
kernel_fd(long fd)
{
	struct descriptor *d = kernel.fd[number_of(sim.me)];

	return fd >= 3 && fd < DESCRIPTORS && d[fd].kind ? &d[fd] : NULL;
}

static long
kernel_new(int kind, unsigned file, uint32_t value)
{
	struct descriptor *d = kernel.fd[number_of(sim.me)];

	for (int i = 3; i < DESCRIPTORS; i++)
		if (d[i].kind == F_NONE) {
			d[i] = (struct descriptor){ .kind = kind,
						    .file = file,
						    .open = ++kernel.opens,
						    .value = value,
						    .until = INT64_MAX };
			return i;
		}
	return -EMFILE;
}

static void kernel_tell(unsigned file, uint32_t event);

/* Told of before the locks are gone, as Linux does. */
static void
kernel_close(struct descriptor *d)
{
	if (d->kind == F_FILE)
		kernel_tell(d->file, IN_CLOSE_WRITE);
	d->kind = F_NONE;
	for (int i = kernel.locks; i-- > 0;)
		if (kernel.lock[i].open == d->open)
			kernel.lock[i] = kernel.lock[--kernel.locks];
}

static void
kernel_exit(struct task *t)
{
	struct descriptor *d = kernel.fd[number_of(t)];

	for (int i = 3; i < DESCRIPTORS; i++)
		if (d[i].kind == F_EVENTS) /* nobody is told by it */
			d[i].kind = F_NONE;
	for (int i = 3; i < DESCRIPTORS; i++)
		if (d[i].kind)
			kernel_close(&d[i]);
	for (int i = 0; i < CANARIES; i++)
		kernel.canary[number_of(t)][i].used = 0;
	t->pid = 0;
	task_is(t, T_DONE, 0);
}

static long
kernel_lock(struct descriptor *d, int set, struct flock *l)
{
	int mine = kernel.locks;

	for (int i = 0; i < kernel.locks; i++)
		if (kernel.lock[i].file != d->file ||
		    kernel.lock[i].byte != l->l_start)
			continue;
		else if (kernel.lock[i].open == d->open)
			mine = i;
		else if (l->l_type == F_WRLCK ||
			 (l->l_type == F_RDLCK &&
			  kernel.lock[i].type == F_WRLCK)) {
			l->l_type = (short)kernel.lock[i].type;
			return set ? -EAGAIN : 0;
		}
	if (!set) {
		l->l_type = F_UNLCK;
		return 0;
	}
	trace("  %s byte %lld", l->l_type == F_UNLCK ? "unlock" : "lock",
	      (long long)(l->l_start & 0xfffff));
	if (l->l_len != 1 || mine == LOCKS)
		fail("simulator", "locks of one byte, %d at most", LOCKS);
	if (l->l_type != F_UNLCK) {
		kernel.locks += mine == kernel.locks;
		kernel.lock[mine].open = d->open;
		kernel.lock[mine].file = d->file;
		kernel.lock[mine].byte = l->l_start;
		kernel.lock[mine].type = l->l_type;
	} else if (mine < kernel.locks) {
		kernel.lock[mine] = kernel.lock[--kernel.locks];
	}
	return 0;
}

static long
kernel_fcntl(struct descriptor *d, long command, long argument)
{
	switch (d ? command : -1) {
	case -1:
		return -EBADF;
	case 36: /* F_OFD_GETLK */
	case 37: /* F_OFD_SETLK */
		return kernel_lock(d, command == 37, (struct flock *)argument);
	case 1033: /* F_ADD_SEALS */
		kernel.file[d->file].seals |= (uint32_t)argument;
		return 0;
	case 1034: /* F_GET_SEALS */
		return kernel.file[d->file].seals;
	default:
		fail("simulator", "fcntl %ld is not simulated", command);
	}
}

/* ---- Files ---- */

/* The entry of a name; without a name, a free one; -1. */
static int
kernel_name(const char *path)
{
	const char *name = path ? strrchr(path, '/') + 1 : "";

	for (int i = 0; i < NAMES; i++)
		if (!strcmp(kernel.name[i].text, name))
			return i;
	return -1;
}

static void
kernel_rename(int i, const char *path)
{
	snprintf(kernel.name[i].text, sizeof(kernel.name[i].text), "%s",
		 strrchr(path, '/') + 1);
}

static long
kernel_proc(const char *path)
{
	long pid = path[6] == 's' ? sim.me->pid : strtol(path + 6, NULL, 10);
	struct task *t = kernel_process(pid, 0);

	if (!strncmp(path, "/proc/self/fd/", 14)) {
		struct descriptor *d = kernel_fd(atol(path + 14));
		return d ? kernel_new(d->kind, d->file, 0) : -ENOENT;
	}
	if (!strcmp(path, "/proc/sys/kernel/random/boot_id"))
		return kernel_new(F_BOOT, 0, 0);
	return t && strstr(path, "stat") ? kernel_new(F_PROCESS, 0, t->start)
					 : -ENOENT;
}

static long
kernel_create(void)
{
	if (kernel.files + 1 == FILES)
		return -ENOSPC;
	memset(&kernel.file[++kernel.files], 0, sizeof(kernel.file[0]));
	return kernel_new(F_FILE, kernel.files, 0);
}

static long
kernel_open(const char *path, long flags)
{
	int i;

	if ((flags & 020000000) == 020000000) /* O_TMPFILE */
		return kernel_create();
	if (!strncmp(path, "/proc/", 6))
		return kernel_proc(path);
	i = strncmp(path, "/sys/", 5) ? kernel_name(path) : -1;
	return i < 0 ? -ENOENT : kernel_new(F_FILE, kernel.name[i].file, 0);
}

static long
kernel_link(const char *from, const char *to)
{
	struct descriptor *d = kernel_fd(atol(strrchr(from, '/') + 1));
	int i = kernel_name(NULL);

	if (!d || i < 0 || kernel_name(to) >= 0)
		return !d ? -ENOENT : i < 0 ? -ENOSPC : -EEXIST;
	kernel_rename(i, to);
	kernel.name[i].file = d->file;
	kernel.file[d->file].links++;
	return 0;
}

static long
kernel_unlink(int i)
{
	if (i < 0)
		return -ENOENT;
	kernel.file[kernel.name[i].file].links--;
	kernel.name[i].text[0] = 0;
	return 0;
}

static long
kernel_renameat2(const char *from, const char *to, long flags)
{
	int i = kernel_name(from), k = kernel_name(to);

	if (i < 0 || (flags == 2 && k < 0))
		return -ENOENT;
	if (flags == 1 && k >= 0) /* RENAME_NOREPLACE */
		return -EEXIST;
	if (flags == 2) /* RENAME_EXCHANGE */
		kernel_rename(k, from);
	else if (k >= 0)
		kernel_unlink(k);
	kernel_rename(i, to);
	return 0;
}

static long
kernel_stat(unsigned file, struct stat *to)
{
	memset(to, 0, sizeof(*to));
	to->st_dev = 1;
	to->st_ino = file;
	to->st_mode = S_IFREG | kernel.file[file].mode;
	to->st_size = (off_t)kernel.file[file].size;
	to->st_uid = 1000;
	to->st_nlink = kernel.file[file].links;
	return file ? 0 : -ENOENT;
}

static long
kernel_stat_path(const char *path, struct stat *to)
{
	int i;

	if (!strncmp(path, "/proc/self/ns/", 14))
		return kernel_stat(1, to); /* one namespace of each kind */
	i = kernel_name(path);
	return kernel_stat(i < 0 ? 0 : kernel.name[i].file, to);
}

static long
kernel_read(struct descriptor *d, char *to, size_t size, long offset)
{
	static const char boot[] = "01234567-89ab-cdef-0123-456789abcdef";
	char stat[] = "1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0000 0";
	const char *text = d->kind == F_BOOT ? boot : stat;

	if (d->kind == F_FILE) {
		memcpy(to, kernel_memory(d->file) + offset, size);
		return (long)size;
	}
	for (uint32_t i = 0, rest = d->value; i < 4; i++, rest /= 10)
		stat[sizeof(stat) - 4 - i] = (char)('0' + rest % 10);
	size = strlen(text) < size ? strlen(text) : size;
	memcpy(to, text, size);
	return (long)size;
}

static long
kernel_size(struct descriptor *d, uint64_t size)
{
	if (size > FILE_ROOM)
		fail("simulator", "a segment of %" PRIu64 " bytes", size);
	kernel.file[d->file].size = size;
	memset(kernel_memory(d->file), 0, size);
	return 0;
}

static void *
kernel_map(unsigned char *at, int flags, int fd, off_t offset)
{
	struct descriptor *d = kernel_fd(fd),
			  *mine = kernel.fd[number_of(sim.me)];
	unsigned char *place = d ? kernel_memory(d->file) + offset : NULL;

	if (d && flags & MAP_FIXED && at != place && at != place + PAGE)
		fail("simulator", "a mapping at another place");
	if (d)
		return place;
	if (flags & MAP_NORESERVE) { /* a place for the file opened last */
		for (int i = 3; i < DESCRIPTORS; i++)
			if (mine[i].kind == F_FILE &&
			    (!d || mine[i].open > d->open))
				d = &mine[i];
		return kernel_memory(d ? d->file : 0) - PAGE;
	}
	for (struct canary *c = kernel.canary[number_of(sim.me)];
	     c < kernel.canary[number_of(sim.me) + 1]; c++)
		if (!c->used) {
			c->used = 1;
			return memset(c->bytes, 0, sizeof(c->bytes));
		}
	fail("simulator", "too many mappings");
}

static void
kernel_unmap(const void *at)
{
	for (int i = 0; i < CANARIES; i++)
		if (at == kernel.canary[number_of(sim.me)][i].bytes)
			kernel.canary[number_of(sim.me)][i].used = 0;
}

/* ---- Processes, futexes ---- */

static int64_t
kernel_time(long time)
{
	const struct timespec *t = (const struct timespec *)time;

	return t ? (int64_t)t->tv_sec * 1000000000 + t->tv_nsec : INT64_MAX;
}

static long
kernel_poll(struct pollfd *p, long count, long time)
{
	struct descriptor *d;

	if (count == 0) {
		sim_sleep(NULL, sim_now() + kernel_time(time));
		return 0;
	}
	d = kernel_fd(p->fd);
	p->revents = d && d->kind == F_PID && !kernel_process(d->value, 0)
			     ? POLLIN
			     : 0;
	return p->revents != 0;
}

static long
kernel_wake(const uint32_t *word, long count)
{
	long woken = 0;
	struct task *first;

	for (sim_timers(); woken < count; woken++) {
		first = NULL; /* whose timer ends first */
		EACH_TASK (t)
			for (int i = 0; i < FUTEXES; i++)
				if (t->state == T_ASLEEP &&
				    t->futex[i] == word &&
				    (!first || t->until < first->until))
					first = t;
		if (!first)
			break;
		task_is(first, T_READY, first->stopped);
		trace("  wakes actor %u", number_of(first));
		sim.quantum = 0; /* it may be faster than I */
	}
	return woken;
}

static long
kernel_futex(uint32_t *word, long what, long value, long time)
{
	if (what == 1) /* FUTEX_WAKE */
		return kernel_wake(word, value);
	if (what != 9) /* FUTEX_WAIT_BITSET: an absolute time */
		fail("simulator", "futex operation %ld", what);
	if (*word != (uint32_t)value)
		return -EAGAIN;
	trace("  sleeps on %s until %.4f ms", place_name(word),
	      (double)(kernel_time(time) - 1000 * MS) / 1e6);
	sim_sleep(word, kernel_time(time));
	trace("  %s", sim.me->timed_out ? "wakes by itself" : "is woken");
	return sim.me->signalled ? -EINTR : sim.me->timed_out ? -ETIMEDOUT : 0;
}

/* Any of several words: as struct futex_waitv, 24 bytes each. */
static long
kernel_futex_waitv(const uint64_t *all, long count, long time)
{
	for (long i = 0; i < count; i++) {
		uint32_t *word = (uint32_t *)(uintptr_t)all[3 * i + 1];
		if (*word != (uint32_t)all[3 * i])
			return -EAGAIN;
		sim.me->futex[i % FUTEXES] = word;
	}
	sim_sleep(sim.me->futex[0], kernel_time(time));
	return sim.me->signalled ? -EINTR : sim.me->timed_out ? -ETIMEDOUT : 0;
}

/* ---- Descriptors to wait for ---- */

/* Something was done with a file. */
static void
kernel_tell(unsigned file, uint32_t event)
{
	for (struct descriptor *d = kernel.fd[0]; d < kernel.fd[TASKS]; d++)
		for (int i = 0; d->kind == F_EVENTS && i < WATCHES; i++) {
			struct watch *w = &d->watch[i];

			if (w->file != file || !(w->events & event))
				continue;
			w->seen |= event;
			d->told = 1;
			kernel_wake((uint32_t *)&d->told, TASKS);
		}
}

static long
kernel_watch(struct descriptor *d, const char *path, uint32_t events)
{
	struct descriptor *of = kernel_fd(
		strncmp(path, "/proc/self/fd/", 14) ? -1 : atol(path + 14));
	int i = 0;

	if (!of)
		return -ENOSYS; /* which open can do without */
	while (i < WATCHES && d->watch[i].file != of->file)
		i++;
	for (int k = 0; i == WATCHES && k < WATCHES; k++)
		if (!d->watch[k].file)
			i = k;
	if (i == WATCHES)
		fail("simulator", "too many watches");
	d->watch[i].file = of->file;
	d->watch[i].events |= events;
	return i + 1;
}

/* Those that there were since the last time, as struct inotify_event. */
static long
kernel_events(struct descriptor *d, uint32_t *to)
{
	long size = 0;

	d->told = 0;
	for (uint32_t i = 0; i < WATCHES; i++)
		if (d->watch[i].seen) {
			*to++ = i + 1;
			*to++ = d->watch[i].seen;
			*to++ = 0;
			*to++ = 0;
			d->watch[i].seen = 0;
			size += 16;
		}
	return size ? size : -EAGAIN;
}

/* What epoll would tell of these two; waits for it. */
static int
kernel_readable(int notify, int timer, int64_t until)
{
	struct descriptor *n = kernel_fd(notify), *t = kernel_fd(timer);

	sim_step(C_SYSTEM, __LINE__);
	while (!n->told && sim_now() < t->until && sim_now() < until)
		sim_sleep(&n->told, t->until < until ? t->until : until);
	return n->told || sim_now() >= t->until;
}

/* ---- The calls ---- */

static long
kernel_call(long number, long a, long b, long c, long d, long e)
{
	struct descriptor *fd = kernel_fd(a);

	switch (number) {
	case SYS_openat:
		return kernel_open((const char *)b, c);
	case SYS_readlinkat: /* /proc/self */
		return snprintf((char *)c, (size_t)d, "%u", sim.me->pid);
	case SYS_read:
	case SYS_pread64:
		if (fd && fd->kind == F_EVENTS)
			return kernel_events(fd, (uint32_t *)b);
		if (fd && fd->kind == F_FILE)
			kernel_tell(fd->file, IN_ACCESS);
		return !fd ? -EBADF
			   : kernel_read(fd, (char *)b, (size_t)c,
					 number == SYS_read ? 0 : d);
	case SYS_close:
		if (fd)
			kernel_close(fd);
		return fd ? 0 : -EBADF;
	case SYS_fcntl:
		return kernel_fcntl(fd, b, c);
	case SYS_ftruncate:
		return kernel_size(fd, (uint64_t)b);
	case SYS_fallocate:
	case SYS_madvise:
	case SYS_mlock:
		return 0;
	case SYS_fchmod:
		kernel.file[fd->file].mode = (uint32_t)b;
		return 0;
	case SYS_memfd_create:
		return kernel_create();
	case SYS_linkat:
		return kernel_link((const char *)b, (const char *)d);
	case SYS_unlinkat:
		return kernel_unlink(kernel_name((const char *)b));
	case SYS_renameat2:
		return kernel_renameat2((const char *)b, (const char *)d, e);
	case SYS_kill:
		return kernel_process(a, 1) ? 0 : -ESRCH;
	case 434: /* pidfd_open */
		return kernel_process(a, 1) ? kernel_new(F_PID, 0, (uint32_t)a)
					    : -ESRCH;
	case SYS_ppoll:
		return kernel_poll((struct pollfd *)a, b, c);
	case SYS_getrandom: /* whoever asks gets another answer */
		memset((void *)a, (int)kernel.opens, (size_t)b);
		return b;
	case SYS_membarrier:
		if (!kernel.unfenced && a == 2) /* GLOBAL_EXPEDITED */
			memory_drain_all();
		return kernel.unfenced ? -EPERM : 0;
	case SYS_futex:
		return kernel_futex((uint32_t *)a, b, c, d);
	case 449: /* futex_waitv */
		return kernel.unfenced
			       ? -ENOSYS
			       : kernel_futex_waitv((uint64_t *)a, b, d);
	case SYS_nanosleep:
		sim_sleep(NULL, sim_now() + kernel_time(a));
		return 0;
	case SYS_statfs: /* what the header can do without */
	case SYS_fstatfs:
	case SYS_sysinfo:
	case SYS_prlimit64:
		return -ENOSYS;
	case SYS_inotify_init1:
		return kernel_new(F_EVENTS, 0, 0);
	case SYS_inotify_add_watch:
		return kernel_watch(fd, (const char *)b, (uint32_t)c);
	case SYS_inotify_rm_watch:
		memset(&fd->watch[b - 1], 0, sizeof(fd->watch[0]));
		return 0;
	case SYS_epoll_create1:
		return kernel_new(F_EPOLL, 0, 0);
	case SYS_epoll_ctl:
		return 0;
	case SYS_timerfd_create:
		return kernel_new(F_TIMER, 0, 0);
	case SYS_timerfd_settime:
		fd->until = kernel_time(
			(long)&((const struct itimerspec *)c)->it_value);
		return 0;
	case SYS_utimensat:
		if (fd)
			kernel_tell(fd->file, IN_ATTRIB);
		return fd ? 0 : -EBADF;
	default:
		printf("Bail out! system call %ld is not simulated\n", number);
		exit(1);
	}
}

/* As libc does: -1 and errno. */
static long
kernel_libc(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static long
kernel_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	(void)f;
	sim_step(C_SYSTEM, (unsigned)number);
	memory_drain(sim.me, BUFFER);
	return kernel_libc(kernel_call(number, a, b, c, d, e));
}

static int
kernel_clock(struct timespec *to)
{
	to->tv_sec = (time_t)(sim_now() / 1000000000);
	to->tv_nsec = (long)(sim_now() % 1000000000);
	return 0;
}

/* For a short while, and nobody has to free it. */
static void *
kernel_malloc(size_t size)
{
	static uint64_t heap[1 << 13];
	static size_t used;
	size_t words = (size + 7) / 8;

	used = used + words > sizeof(heap) / 8 ? 0 : used;
	used += words;
	return heap + used - words;
}

#define syscall(...) kernel_syscall(__VA_ARGS__)
#define mmap(at, length, protection, flags, fd, offset) \
	((void)(length), (void)(protection), kernel_map(at, flags, fd, offset))
#define munmap(at, length) ((void)(length), kernel_unmap(at))
#define fstat(number, to)              \
	((int)kernel_libc(kernel_stat( \
		kernel_fd(number) ? kernel_fd(number)->file : 0, to)))
#define stat(path, to) ((int)kernel_libc(kernel_stat_path(path, to)))
#define lstat(path, to) ((int)kernel_libc(kernel_stat_path(path, to)))
#define getpid() ((pid_t)sim.me->pid)
#define geteuid() 1000
#define clock_gettime(clock, to) ((void)(clock), kernel_clock(to))
#define sched_getcpu() ((int)(number_of(sim.me) % kernel.cpus))
#define sysconf(name) ((void)(name), (long)PAGE)
#define malloc(size) kernel_malloc(size)
#define free(memory) ((void)(memory))
#define SHMRING_NOW() sim_now()
#define SHMRING__COUNT_IN_C
#define SHMRING_PAUSE() sim_pause()
#define SHMRING_COPY(to, from, size) memory_copy(to, from, size)
#define SHMRING_SPIN_NS 3000
#define SHMRING__MARKS 16
#define SHMRING__PARTS 8
#define SHMRING__TRIES sim_tries
static int sim_tries; /* of every loop in the header */

#endif /* KERNEL_H */
