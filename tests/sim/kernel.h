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
	FILES = 8, /* in all, of a run; 0 is none */
	NAMES = 4,
	DESCRIPTORS = 64, /* from 3 on */
	LOCKS = 64,
	CANARIES = 8, /* private mappings of a task */
	PAGE = 4096,
	FILE_ROOM = 0x8000, /* address space of a file */
};
enum { F_NONE, F_FILE, F_PROC, F_PID };

static struct {
	struct descriptor {
		int kind;
		unsigned owner; /* task */
		unsigned file;
		uint32_t open; /* which open file: locks belong to it */
		uint32_t pid; /* F_PID */
		char text[64]; /* F_PROC */
	} fd[DESCRIPTORS];
	int most; /* descriptors used so far */
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
		uint32_t open; /* whose; 0: nobody's */
		unsigned file;
		int type;
		off_t byte;
	} lock[LOCKS];
	struct {
		uint64_t used, bytes[8];
	} canary[TASKS][CANARIES];
	size_t mirror; /* the bytes of SPSC appear again so much later */
	int unfenced; /* membarrier is refused */
	unsigned cpus;
} kernel;

static unsigned char *
kernel_memory(unsigned file)
{
	return (unsigned char *)sim.arena + (size_t)file * FILE_ROOM;
}

static struct task *
kernel_process(long pid)
{
	EACH_TASK (t)
		if (t->pid == (uint32_t)pid)
			return t;
	return NULL;
}

/* ---- Descriptors and locks ---- */

static long
kernel_new(int kind, unsigned file)
{
	for (int i = 3; i < DESCRIPTORS; i++)
		if (kernel.fd[i].kind == F_NONE) {
			kernel.fd[i].kind = kind;
			kernel.fd[i].owner = number_of(sim.me);
			kernel.fd[i].file = file;
			kernel.fd[i].open = ++kernel.opens;
			kernel.most = i < kernel.most ? kernel.most : i + 1;
			return i;
		}
	return -EMFILE;
}

static struct descriptor *
kernel_fd(long fd)
{
	return fd >= 0 && fd < DESCRIPTORS && kernel.fd[fd].kind &&
			       kernel.fd[fd].owner == number_of(sim.me)
		       ? &kernel.fd[fd]
		       : NULL;
}

static void
kernel_close(struct descriptor *d)
{
	d->kind = F_NONE;
	for (int i = 0; i < LOCKS; i++)
		if (kernel.lock[i].open == d->open)
			kernel.lock[i].open = 0;
}

static void
kernel_exit(struct task *t)
{
	for (int i = 0; i < kernel.most; i++)
		if (kernel.fd[i].kind && kernel.fd[i].owner == number_of(t))
			kernel_close(&kernel.fd[i]);
	for (int i = 0; i < CANARIES; i++)
		kernel.canary[number_of(t)][i].used = 0;
	t->state = T_DONE;
	t->pid = 0;
}

static long
kernel_lock(struct descriptor *d, int set, struct flock *l)
{
	int mine = -1, free = -1;

	for (int i = 0; i < LOCKS; i++) {
		if (!kernel.lock[i].open)
			free = i;
		else if (kernel.lock[i].file != d->file ||
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
	}
	if (!set) {
		l->l_type = F_UNLCK;
		return 0;
	}
	trace("  %s byte %lld", l->l_type == F_UNLCK ? "unlock" : "lock",
	      (long long)(l->l_start & 0xfffff));
	mine = mine < 0 ? free : mine;
	if (l->l_len != 1 || mine < 0)
		fail("simulator", "locks of one byte, %d at most", LOCKS);
	kernel.lock[mine].open = l->l_type == F_UNLCK ? 0 : d->open;
	kernel.lock[mine].file = d->file;
	kernel.lock[mine].byte = l->l_start;
	kernel.lock[mine].type = l->l_type;
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
	struct task *t = kernel_process(strncmp(path, "/proc/self/", 11)
						? atol(path + 6)
						: (long)sim.me->pid);
	long fd = kernel_new(F_PROC, 0);
	char *text = fd < 0 ? NULL : kernel.fd[fd].text;

	if (text && !strcmp(path, "/proc/sys/kernel/random/boot_id"))
		memcpy(text, "01234567-89ab-cdef-0123-456789abcdef", 37);
	else if (text && t && strstr(path, "stat"))
		snprintf(text, 64,
			 "1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %u 0",
			 t->start);
	else if (text)
		kernel.fd[fd].kind = F_NONE, fd = -ENOENT;
	return fd;
}

static long
kernel_create(void)
{
	if (kernel.files + 1 == FILES)
		return -ENOSPC;
	memset(&kernel.file[++kernel.files], 0, sizeof(kernel.file[0]));
	return kernel_new(F_FILE, kernel.files);
}

static long
kernel_open(const char *path, long flags)
{
	struct descriptor *d;
	int i;

	if ((flags & 020000000) == 020000000) /* O_TMPFILE */
		return kernel_create();
	if (!strncmp(path, "/proc/self/fd/", 14)) {
		d = kernel_fd(atol(path + 14));
		return d ? kernel_new(d->kind, d->file) : -ENOENT;
	}
	if (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5))
		return kernel_proc(path);
	i = kernel_name(path);
	return i < 0 ? -ENOENT : kernel_new(F_FILE, kernel.name[i].file);
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
kernel_unlink(const char *path)
{
	int i = kernel_name(path);

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
		kernel_unlink(to);
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
	int i = kernel_name(path);

	if (!strncmp(path, "/proc/self/ns/", 14))
		return kernel_stat(1, to); /* one namespace of each kind */
	return kernel_stat(i < 0 ? 0 : kernel.name[i].file, to);
}

static long
kernel_read(struct descriptor *d, void *to, size_t size, long offset)
{
	size_t length;

	if (!d)
		return -EBADF;
	length = d->kind == F_PROC ? strlen(d->text) : size;
	length = length < size ? length : size;
	memcpy(to,
	       d->kind == F_PROC ? (unsigned char *)d->text
				 : kernel_memory(d->file) + offset,
	       length);
	return (long)length;
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
	struct descriptor *d = kernel_fd(fd);
	unsigned char *place = d ? kernel_memory(d->file) + offset : NULL;

	if (d && flags & MAP_FIXED && at != place &&
	    at != place + kernel.mirror)
		fail("simulator", "a mapping at another place");
	if (d)
		return place;
	if (flags & MAP_NORESERVE) { /* a place for the file opened last */
		for (int i = 0; i < kernel.most; i++)
			if (kernel.fd[i].kind == F_FILE &&
			    kernel.fd[i].owner == number_of(sim.me) &&
			    (!d || kernel.fd[i].open > d->open))
				d = &kernel.fd[i];
		return kernel_memory(d ? d->file : 0) - PAGE;
	}
	for (int i = 0; i < CANARIES; i++) /* private memory */
		if (!kernel.canary[number_of(sim.me)][i].used) {
			kernel.canary[number_of(sim.me)][i].used = 1;
			return memset(kernel.canary[number_of(sim.me)][i].bytes,
				      0, sizeof(kernel.canary[0][0].bytes));
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
kernel_time(const struct timespec *time)
{
	return time ? (int64_t)time->tv_sec * 1000000000 + time->tv_nsec
		    : INT64_MAX;
}

static long
kernel_kill(long pid)
{
	EACH_TASK (t)
		if (t->pid == (uint32_t)pid || t->zombie == (uint32_t)pid)
			return 0;
	return -ESRCH;
}

static long
kernel_pidfd(long pid)
{
	long fd = kernel_kill(pid) ? -ESRCH : kernel_new(F_PID, 0);

	if (fd >= 0)
		kernel.fd[fd].pid = (uint32_t)pid;
	return fd;
}

static long
kernel_poll(struct pollfd *p, long count, const struct timespec *time)
{
	struct descriptor *d = kernel_fd(p->fd);

	if (count == 0) {
		sim_sleep(NULL, sim_now() + kernel_time(time));
		return 0;
	}
	p->revents =
		d && d->kind == F_PID && !kernel_process(d->pid) ? POLLIN : 0;
	return p->revents != 0;
}

static long
kernel_membarrier(long command)
{
	if (kernel.unfenced)
		return -EPERM;
	if (command == 2) /* GLOBAL_EXPEDITED */
		memory_drain_all();
	return 0;
}

static long
kernel_wake(const uint32_t *word, long count)
{
	long woken = 0;
	struct task *first;

	for (sim_timers(); woken < count; woken++) {
		first = NULL; /* whose timer ends first */
		EACH_TASK (t)
			if (t->state == T_ASLEEP && t->futex == word &&
			    (!first || t->until < first->until))
				first = t;
		if (!first)
			break;
		first->state = T_READY;
		trace("  wakes actor %u", number_of(first));
	}
	if (sim.pct && woken && !sim.replay && !sim.quiet)
		sim.quantum = 0; /* it may be more important than I */
	return woken;
}

static long
kernel_futex(uint32_t *word, long what, long value, struct timespec *time)
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
	return sim.me->timed_out ? -ETIMEDOUT : 0;
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
		return kernel_read(fd, (void *)b, (size_t)c, 0);
	case SYS_pread64:
		return kernel_read(fd, (void *)b, (size_t)c, d);
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
		return kernel_unlink((const char *)b);
	case SYS_renameat2:
		return kernel_renameat2((const char *)b, (const char *)d, e);
	case SYS_kill:
		return kernel_kill(a);
	case 434: /* pidfd_open */
		return kernel_pidfd(a);
	case SYS_ppoll:
		return kernel_poll((struct pollfd *)a, b, (struct timespec *)c);
	case SYS_getrandom: /* whoever asks gets another answer */
		for (long i = 0; i < b; i++)
			((unsigned char *)a)[i] = (unsigned char)kernel.opens;
		return b;
	case SYS_membarrier:
		return kernel_membarrier(a);
	case SYS_futex:
		return kernel_futex((uint32_t *)a, b, c, (struct timespec *)d);
	case SYS_nanosleep:
		sim_sleep(NULL, sim_now() + kernel_time((struct timespec *)a));
		return 0;
	case SYS_statfs: /* what the header can do without */
	case SYS_fstatfs:
	case SYS_sysinfo:
	case SYS_prlimit64:
	case SYS_inotify_init1:
		return -ENOSYS;
	default:
		printf("Bail out! system call %ld is not simulated\n", number);
		exit(1);
	}
}

/* As libc does: -1 and errno. */
static long
kernel_libc(long result)
{
	if (result < 0)
		errno = (int)-result;
	return result < 0 ? -1 : result;
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

	if (used + words > sizeof(heap) / 8)
		used = 0;
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
#define SHMRING_PAUSE() sim_pause()
#define SHMRING_COPY(to, from, size) memory_copy(to, from, size)
#define SHMRING_SPIN_NS 3000
#define SHMRING__TRIES sim_tries
static int sim_tries; /* of every loop in the header */

#endif /* KERNEL_H */
