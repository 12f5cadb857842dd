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
	FILES = 8, /* in all, of a run */
	NAMES = 4,
	DESCRIPTORS = 64,
	LOCKS = 32,
	CANARIES = 8, /* private mappings of a task */
	PAGE = 4096,
	FILE_ROOM = 0x8000, /* address space of a file */
	FIRST_DESCRIPTOR = 3,
};
enum { F_NONE, F_FILE, F_PROC, F_PID };

struct descriptor {
	uint8_t kind, owner; /* task */
	uint8_t file;
	uint32_t open; /* which open file: locks belong to it */
	uint32_t pid; /* F_PID */
	char text[64]; /* F_PROC */
};

struct file {
	uint32_t mode, links, seals, created;
	uint64_t size;
};

static struct {
	struct descriptor fd[DESCRIPTORS];
	int most; /* descriptors used so far */
	struct file file[FILES];
	uint32_t files, opens;
	struct {
		char name[32];
		int file;
	} name[NAMES];
	struct {
		int used, file, writes;
		uint32_t open;
		int64_t from, length;
	} lock[LOCKS];
	int locks; /* used so far */
	struct {
		uint64_t used, bytes[8];
	} canary[TASKS][CANARIES];
	size_t mirror; /* the bytes of SPSC appear again so much later */
} kernel;

static unsigned char *
kernel_memory(unsigned file)
{
	return (unsigned char *)sim.arena + (size_t)file * FILE_ROOM;
}

static int
kernel_find(const char *path)
{
	const char *slash = strrchr(path, '/');

	for (int i = 0; i < NAMES; i++)
		if (kernel.name[i].file &&
		    !strcmp(kernel.name[i].name, slash ? slash + 1 : path))
			return i;
	return -ENOENT;
}

static struct task *
kernel_process(long pid)
{
	for (struct task *t = sim.task; t < sim.task + TASKS; t++)
		if (t->pid == (uint32_t)pid)
			return t;
	return NULL;
}

/* ---- Descriptors and locks ---- */

static long
kernel_new(int kind, unsigned file)
{
	for (int i = FIRST_DESCRIPTOR; i < DESCRIPTORS; i++)
		if (kernel.fd[i].kind == F_NONE) {
			struct descriptor *d = &kernel.fd[i];
			d->kind = (uint8_t)kind;
			d->owner = (uint8_t)number_of(sim.me);
			d->file = (uint8_t)file;
			d->open = ++kernel.opens;
			if (i >= kernel.most)
				kernel.most = i + 1;
			return i;
		}
	return -EMFILE;
}

static struct descriptor *
kernel_fd(long fd)
{
	if (fd < 0 || fd >= DESCRIPTORS || kernel.fd[fd].kind == F_NONE ||
	    kernel.fd[fd].owner != number_of(sim.me))
		return NULL;
	return &kernel.fd[fd];
}

static void
kernel_close(struct descriptor *d)
{
	uint32_t open = d->open;

	d->kind = F_NONE;
	for (int i = 0; i < kernel.most; i++)
		if (kernel.fd[i].kind && kernel.fd[i].open == open)
			return; /* there is a copy */
	for (int i = 0; i < kernel.locks; i++)
		if (kernel.lock[i].used && kernel.lock[i].open == open)
			kernel.lock[i].used = 0;
}

static void
kernel_close_all(const struct task *t)
{
	for (int i = 0; i < CANARIES; i++)
		kernel.canary[number_of(t)][i].used = 0;
	for (int i = 0; i < kernel.most; i++)
		if (kernel.fd[i].kind && kernel.fd[i].owner == number_of(t))
			kernel_close(&kernel.fd[i]);
}

static long
kernel_lock(struct descriptor *d, int set, struct flock *l)
{
	int free = -1;

	for (int i = 0; i < kernel.locks; i++) {
		if (!kernel.lock[i].used) {
			free = i;
			continue;
		}
		if (kernel.lock[i].file != d->file ||
		    kernel.lock[i].from >= l->l_start + l->l_len ||
		    l->l_start >= kernel.lock[i].from + kernel.lock[i].length)
			continue;
		if (kernel.lock[i].open == d->open) {
			if (set) /* it is replaced */
				kernel.lock[i].used = 0, free = i;
		} else if (l->l_type != F_UNLCK &&
			   (l->l_type == F_WRLCK || kernel.lock[i].writes)) {
			if (set)
				return -EAGAIN;
			l->l_type = kernel.lock[i].writes ? F_WRLCK : F_RDLCK;
			return 0;
		}
	}
	if (!set) {
		l->l_type = F_UNLCK;
		return 0;
	}
	trace("  %s byte %lld", l->l_type == F_UNLCK ? "unlock" : "lock",
	      (long long)(l->l_start & 0xfffff));
	if (l->l_type == F_UNLCK)
		return 0;
	if (free < 0)
		free = kernel.locks++;
	if (free == LOCKS)
		fail("simulator", "too many locks");
	kernel.lock[free].used = 1;
	kernel.lock[free].file = d->file;
	kernel.lock[free].open = d->open;
	kernel.lock[free].writes = l->l_type == F_WRLCK;
	kernel.lock[free].from = l->l_start;
	kernel.lock[free].length = l->l_len;
	return 0;
}

static long
kernel_fcntl(long fd, long command, long argument)
{
	struct descriptor *d = kernel_fd(fd);

	if (!d)
		return -EBADF;
	switch (command) {
	case 36: /* F_OFD_GETLK */
	case 37: /* F_OFD_SETLK */
		return kernel_lock(d, command == 37, (struct flock *)argument);
	case 1033: /* F_ADD_SEALS */
		kernel.file[d->file].seals |= (uint32_t)argument;
		return 0;
	case 1034: /* F_GET_SEALS */
		return kernel.file[d->file].seals;
	case F_DUPFD:
	case F_DUPFD_CLOEXEC: {
		long copy = kernel_new(d->kind, d->file);
		if (copy >= 0)
			kernel.fd[copy].open = d->open;
		return copy;
	}
	case F_GETFL:
		return O_RDWR;
	default:
		fail("simulator", "fcntl %ld is not simulated", command);
	}
}

/* ---- Files ---- */

static long
kernel_proc(const char *path)
{
	static const char boot[] = "01234567-89ab-cdef-0123-456789abcdef";
	struct descriptor *d;
	struct task *t;
	long fd = kernel_new(F_PROC, 0);

	if (fd < 0)
		return fd;
	d = &kernel.fd[fd];
	if (!strncmp(path, "/proc/sys/kernel/random/boot_id", 31)) {
		memcpy(d->text, boot, sizeof(boot));
		return fd;
	}
	t = kernel_process(strncmp(path, "/proc/self/", 11) ?
				   atol(path + 6) :
				   (long)sim.me->pid);
	if (t && strstr(path, "stat")) {
		memcpy(d->text, "1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ",
		       46);
		snprintf(d->text + 46, sizeof(d->text) - 46, "%u 0\n",
			 t->start);
		return fd;
	}
	d->kind = F_NONE;
	return -ENOENT;
}

static long
kernel_create(void)
{
	if (kernel.files + 1 >= FILES)
		return -ENOSPC;
	memset(&kernel.file[++kernel.files], 0, sizeof(kernel.file[0]));
	kernel.file[kernel.files].mode = 0600;
	return kernel_new(F_FILE, kernel.files);
}

static long
kernel_open(const char *path, long flags)
{
	int i;

	if ((flags & 020000000) == 020000000) /* O_TMPFILE */
		return kernel_create();
	if (!strncmp(path, "/proc/self/fd/", 14)) {
		struct descriptor *d = kernel_fd(atol(path + 14));
		return d ? kernel_new(d->kind, d->file) : -ENOENT;
	}
	if (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5))
		return kernel_proc(path);
	i = kernel_find(path);
	return i < 0 ? i : kernel_new(F_FILE, (unsigned)kernel.name[i].file);
}

static long
kernel_link(const char *from, const char *to)
{
	const char *slash = strrchr(to, '/');
	struct descriptor *d = kernel_fd(atol(strrchr(from, '/') + 1));

	if (!d)
		return -ENOENT;
	if (kernel_find(to) >= 0)
		return -EEXIST;
	for (int i = 0; i < NAMES; i++)
		if (!kernel.name[i].file) {
			kernel.name[i].file = d->file;
			kernel.file[d->file].links++;
			snprintf(kernel.name[i].name,
				 sizeof(kernel.name[i].name), "%s",
				 slash ? slash + 1 : to);
			return 0;
		}
	return -ENOSPC;
}

static long
kernel_unlink(const char *path)
{
	int i = kernel_find(path);

	if (i < 0)
		return i;
	kernel.file[kernel.name[i].file].links--;
	kernel.name[i].file = 0;
	return 0;
}

static long
kernel_rename(const char *from, const char *to, long flags)
{
	int i = kernel_find(from), k = kernel_find(to);
	const char *slash = strrchr(to, '/');

	if (i < 0 || (flags == 2 && k < 0))
		return -ENOENT;
	if (flags == 1 && k >= 0)
		return -EEXIST;
	if (flags == 2) { /* RENAME_EXCHANGE */
		int file = kernel.name[i].file;
		kernel.name[i].file = kernel.name[k].file;
		kernel.name[k].file = file;
		return 0;
	}
	if (k >= 0)
		kernel_unlink(to);
	snprintf(kernel.name[i].name, sizeof(kernel.name[i].name), "%s",
		 slash ? slash + 1 : to);
	return 0;
}

static long
kernel_stat_file(unsigned file, struct stat *to)
{
	memset(to, 0, sizeof(*to));
	to->st_dev = 1;
	to->st_ino = file;
	to->st_mode = S_IFREG | kernel.file[file].mode;
	to->st_size = (off_t)kernel.file[file].size;
	to->st_uid = 1000;
	to->st_nlink = (nlink_t)kernel.file[file].links;
	return 0;
}

static long
kernel_stat(const char *path, struct stat *to)
{
	int i;

	if (!strncmp(path, "/proc/self/ns/", 14)) {
		memset(to, 0, sizeof(*to));
		to->st_ino = 4026531836u + (ino_t)path[14];
		return 0;
	}
	i = kernel_find(path);
	return i < 0 ? i :
		       kernel_stat_file((unsigned)kernel.name[i].file, to);
}

static long
kernel_fstat(long fd, struct stat *to)
{
	struct descriptor *d = kernel_fd(fd);

	return d && d->kind == F_FILE ? kernel_stat_file(d->file, to) : -EBADF;
}

static long
kernel_read(long fd, void *to, long size, long offset)
{
	struct descriptor *d = kernel_fd(fd);

	if (!d)
		return -EBADF;
	if (d->kind == F_PROC) {
		long length = (long)strlen(d->text);
		length = length < size ? length : size;
		memcpy(to, d->text, (size_t)length);
		return length;
	}
	memcpy(to, kernel_memory(d->file) + offset, (size_t)size);
	return size;
}

static long
kernel_size(long fd, long size)
{
	struct descriptor *d = kernel_fd(fd);

	if (!d)
		return -EBADF;
	if (size > FILE_ROOM)
		fail("simulator", "a segment of %ld bytes", size);
	kernel.file[d->file].size = (uint64_t)size;
	memset(kernel_memory(d->file), 0, (size_t)size);
	return 0;
}

/* Which file a task maps next: the one that it has just asked about. */
static void *
kernel_map(void *at, int flags, int fd, off_t offset)
{
	struct descriptor *d = NULL;

	if (fd >= 0) {
		d = kernel_fd(fd);
		if (d && flags & MAP_FIXED &&
		    at != kernel_memory(d->file) + offset &&
		    at != kernel_memory(d->file) + offset + kernel.mirror)
			fail("simulator", "a mapping at another place");
		return d ? kernel_memory(d->file) + offset : MAP_FAILED;
	}
	if (flags & MAP_NORESERVE) { /* a place for the file opened last */
		for (int i = 0; i < kernel.most; i++)
			if (kernel.fd[i].kind == F_FILE &&
			    kernel.fd[i].owner == number_of(sim.me) &&
			    (!d || kernel.fd[i].open > d->open))
				d = &kernel.fd[i];
		return kernel_memory(d ? d->file : 0) - PAGE;
	}
	/* private memory: the canary of a handle */
	for (int i = 0; i < CANARIES; i++)
		if (!kernel.canary[number_of(sim.me)][i].used) {
			kernel.canary[number_of(sim.me)][i].used = 1;
			return memset(
				kernel.canary[number_of(sim.me)][i].bytes, 0,
				sizeof(kernel.canary[0][0].bytes));
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

/* ---- Processes ---- */

static long
kernel_kill(long pid)
{
	struct task *t = kernel_process(pid);

	if (t)
		return 0;
	for (t = sim.task; t < sim.task + TASKS; t++)
		if (t->zombie == pid)
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
kernel_poll(struct pollfd *p)
{
	struct descriptor *d = kernel_fd(p->fd);

	p->revents = d && d->kind == F_PID && !kernel_process(d->pid) ? POLLIN :
									0;
	return p->revents != 0;
}

static long
kernel_membarrier(long command)
{
	if (sim.unfenced >> number_of(sim.me) & 1)
		return -EPERM;
	if (command == 2) { /* GLOBAL_EXPEDITED */
		trace("  membarrier");
		for (struct task *t = sim.task; t < sim.task + TASKS; t++)
			memory_drain(t, BUFFER);
	}
	return 0;
}

/* ---- Futexes ---- */

static long
kernel_wait(const uint32_t *word, uint32_t value, int64_t until)
{
	if (*word != value)
		return -EAGAIN;
	trace("  sleeps on %s until %.4f ms", place_name(word),
	      (double)(until - 1000 * MS) / 1e6);
	sim_sleep(word, until);
	trace("  %s", sim.me->timed_out ? "wakes by itself" : "is woken");
	return sim.me->timed_out ? -ETIMEDOUT : 0;
}

static long
kernel_wake(const uint32_t *word, long count)
{
	long woken = 0;
	struct task *first;

	sim_timers();
	do { /* who came first, whose timer ends first of those */
		first = NULL;
		for (struct task *t = sim.task; t < sim.task + TASKS; t++)
			if (t->state == T_ASLEEP && t->futex == word &&
			    (!first || t->until < first->until))
				first = t;
		if (!first || woken == count)
			break;
		first->state = T_READY;
		woken++;
		trace("  wakes actor %d", number_of(first));
	} while (1);
	if (sim.pct && woken && !sim.replay && !sim.quiet)
		sim.quantum = 0;
	return woken;
}

static long
kernel_futex(uint32_t *word, long operation, long value, struct timespec *time)
{
	int64_t until = time ? (int64_t)time->tv_sec * 1000000000 +
				       time->tv_nsec :
			       NEVER;

	switch (operation & 127) {
	case 0: /* FUTEX_WAIT: relative */
		return kernel_wait(word, (uint32_t)value,
				   time ? until + sim_now() : NEVER);
	case 9: /* FUTEX_WAIT_BITSET: absolute */
		return kernel_wait(word, (uint32_t)value, until);
	case 1: /* FUTEX_WAKE */
	case 10:
		return kernel_wake(word, value);
	default:
		fail("simulator", "futex operation %ld", operation);
	}
}

/* ---- The calls ---- */

static long
kernel_call(long number, long a, long b, long c, long d, long e)
{
	struct timespec *time = (struct timespec *)a;
	struct descriptor *file;

	switch (number) {
	case SYS_openat:
		return kernel_open((const char *)b, c);
	case SYS_read:
		return kernel_read(a, (void *)b, c, 0);
	case SYS_pread64:
		return kernel_read(a, (void *)b, c, d);
	case SYS_close:
		file = kernel_fd(a);
		if (!file)
			return -EBADF;
		kernel_close(file);
		return 0;
	case SYS_fcntl:
		return kernel_fcntl(a, b, c);
	case SYS_ftruncate:
		return kernel_size(a, b);
	case SYS_fallocate:
	case SYS_madvise:
	case SYS_mlock:
		return 0;
	case SYS_fchmod:
		file = kernel_fd(a);
		if (file)
			kernel.file[file->file].mode = (uint32_t)b;
		return file ? 0 : -EBADF;
	case SYS_memfd_create:
		return kernel_create();
	case SYS_linkat:
		return kernel_link((const char *)b, (const char *)d);
	case SYS_unlinkat:
		return kernel_unlink((const char *)b);
	case SYS_renameat2:
		return kernel_rename((const char *)b, (const char *)d, e);
	case SYS_kill:
		return kernel_kill(a);
	case 434: /* pidfd_open */
		return kernel_pidfd(a);
	case SYS_ppoll:
		return kernel_poll((struct pollfd *)a);
	case SYS_membarrier:
		return kernel_membarrier(a);
	case SYS_futex:
		return kernel_futex((uint32_t *)a, b, c, (struct timespec *)d);
	case SYS_nanosleep:
		sim_sleep(NULL, sim_now() + (int64_t)time->tv_sec * 1000000000 +
					time->tv_nsec);
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
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static long
kernel_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	(void)f;
	sim_step_system();
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

/* Memory of a run, which nobody has to free. */
static void *
kernel_malloc(size_t size)
{
	static char heap[1 << 16];
	static size_t used;

	used = used + size + 16 > sizeof(heap) ? 0 : used;
	used += (size + 15) & ~(size_t)15;
	return heap + used - ((size + 15) & ~(size_t)15);
}

static void
kernel_reset(void)
{
	for (int i = 0; i < kernel.most; i++)
		kernel.fd[i].kind = F_NONE;
	kernel.most = FIRST_DESCRIPTOR;
	kernel.files = kernel.opens = 0;
	kernel.locks = 0;
	memset(kernel.lock, 0, sizeof(kernel.lock));
	memset(kernel.name, 0, sizeof(kernel.name));
}

#define syscall(...) kernel_syscall(__VA_ARGS__)
#define mmap(at, length, protection, flags, fd, offset) \
	((void)(length), (void)(protection), kernel_map(at, flags, fd, offset))
#define munmap(at, length) ((void)(length), kernel_unmap(at))
#define fstat(fd, to) ((int)kernel_libc(kernel_fstat(fd, to)))
#define stat(path, to) ((int)kernel_libc(kernel_stat(path, to)))
#define unlink(path) ((int)kernel_libc(kernel_unlink(path)))
#define getpid() ((pid_t)sim.me->pid)
#define geteuid() 1000
#define clock_gettime(clock, to) ((void)(clock), kernel_clock(to))
#define sched_getcpu() ((int)((unsigned)number_of(sim.me) % sim.cpus))
#define sysconf(name) ((void)(name), (long)PAGE)
#define malloc(size) kernel_malloc(size)
#define free(memory) ((void)(memory))
#define SHMRING_NOW() sim_now()
#define SHMRING_PAUSE() sim_pause()
#define SHMRING_COPY(to, from, size) memory_copy(to, from, size)
#define SHMRING_SPIN_NS 3000
#define SHMRING__TRIES sim_tries
static int sim_tries = 4096; /* of every loop in the header */

#endif /* KERNEL_H */
