/* SPDX-License-Identifier: MIT
 *
 * Description: each refusal, provoked: the call, its errno, and what
 * shmring_strerror says about the cause. One cause a text, as far as errno has
 * numbers for them; the system's own errno is passed on.
 */
#include "ring.h"
#include "shmring_poll.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#define CANNOT 77 /* not permitted here */

static char name[64], path[128];
static struct shmring ring, other; /* ring: made and named, see provoke() */
static uint64_t number;

/* From now on this system call fails; fcntl only with this command, openat with
 * these flags. */
static int
refuse(unsigned call, unsigned command, unsigned error)
{
	unsigned char flags = call == SYS_openat; /* its third argument */
	unsigned char unlike = call == SYS_fcntl || flags; /* do not refuse */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 flags ? offsetof(struct seccomp_data, args[2])
			       : offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | (flags ? BPF_JSET : BPF_JEQ) | BPF_K,
			 command, 0, unlike),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int
make(uint32_t flags, uint32_t roles)
{
	struct shmring_config config = {
		.slots = 16, .slot_size = 8, .flags = flags, .roles = roles
	};

	return shmring_create(&other, "/tap-none", &config);
}

static int
make_mpmc(uint32_t slots, uint32_t participants, uint32_t slot_size)
{
	struct shmring_config config = { .mode = SHMRING_MPMC,
					 .slots = slots,
					 .slot_size = slot_size,
					 .participants = participants };

	return shmring_create_memfd(&other, &config);
}

static int
mount_over(const char *where, const char *kind, const char *options,
	   unsigned long flags)
{
	return !unshare(CLONE_NEWNS) &&
	       !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("none", where, kind, flags, options);
}

/* ---- What is refused, one function a row of the table --------------------- */

static int
push_too_much(void)
{
	return shmring_push(&ring, path, 9);
}

static int
push_too_often(void)
{
	int error = 0;

	while (!error)
		error = push_number(&ring, 1);
	return error;
}

static int
push_reserved(void)
{
	shmring_reserve(&ring, 1);
	return push_number(&ring, 1);
}

static int
push_to_nobody(void)
{
	if (shmring_dup(&other, &ring, SHMRING_CONSUMER))
		return CANNOT;
	shmring_close(&other);
	return push_number(&ring, 1);
}

static int
pop_as_producer(void)
{
	return shmring_pop(&ring, &number, 8) == -EPERM ? -EPERM : 0;
}

static int
pop_closed(void)
{
	shmring_close(&ring);
	return (int)shmring_pop(&ring, &number, 8);
}

static int
pop_in_child(void)
{
	if (!forks_are_noticed())
		return CANNOT;
	pid_t child = fork();
	if (child == 0)
		_exit(shmring_pop(&ring, &number, 8) == -ESTALE);
	return tap_wait(child) == 1 ? -ESTALE : 0;
}

static int
pop_nothing_in_time(void)
{
	shmring_dup(&other, &ring, SHMRING_CONSUMER);
	return (int)shmring_pop_wait(&other, &number, 8, 1);
}

static int
pop_interrupted(void)
{
	shmring_dup(&other, &ring, SHMRING_CONSUMER);
	shmring_interrupt(&other);
	return (int)shmring_pop_wait(&other, &number, 8, -1);
}

static void
on_signal(int what)
{
	(void)what;
}

static int
pop_signalled(void)
{
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction action = { .sa_handler = on_signal };

	shmring_dup(&other, &ring, SHMRING_CONSUMER);
	shmring_set_eintr(&other, 1);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	return (int)shmring_pop_wait(&other, &number, 8, -1);
}

static int
wait_for_observer(void)
{
	return shmring_wait_peer(&ring, SHMRING_OBSERVER, 0);
}

static int
pop_damage(void)
{
	shmring_dup(&other, &ring, SHMRING_CONSUMER);
	*(uint64_t *)(void *)ring.data = UINT64_MAX;
	return (int)shmring_pop(&other, &number, 8);
}

static int
make_broadcast(uint32_t flags, uint32_t demote_ms)
{
	struct shmring_config config = { .mode = SHMRING_BROADCAST,
					 .slots = 4,
					 .slot_size = 8,
					 .flags = flags,
					 .demote_ms = demote_ms };

	return shmring_create_memfd(&other, &config);
}

static int
pop_overwritten(void)
{
	int error = make_broadcast(SHMRING_LOSSY, 0);

	for (int i = 0; i < 10000 && !error; i++)
		error = push_number(&other, 1);
	return error ? error : (int)shmring_pop(&other, &number, 8);
}

static int
seek_nowhere(void)
{
	int error = make_broadcast(0, 0);

	return error ? error : shmring_seek(&other, 4096);
}

static int
seek_elsewhere(void)
{
	int error = shmring_dup(&other, &ring, SHMRING_CONSUMER);

	return error ? error : shmring_seek(&other, SHMRING_OLDEST);
}

static int
create_lossy_and_demoting(void)
{
	return make_broadcast(SHMRING_LOSSY, 1);
}

static int
create_lossy_spsc(void)
{
	return make(SHMRING_LOSSY, 0);
}

static int
commit_nothing(void)
{
	return shmring_commit(&ring, 1);
}

static int
look_beyond_participants(void)
{
	struct shmring_participant one;

	return shmring_participant(&ring, 1000, &one);
}

static int
peek_several_elsewhere(void)
{
	struct shmring_config config = { .mode = SHMRING_MPMC };
	struct iovec seen;
	int error = shmring_create_memfd(&other, &config);

	return error ? error : (int)shmring_peek_n(&other, &seen, 1);
}

static int
release_too_many(void)
{
	struct iovec seen[1];

	shmring_close(&ring);
	make(0, SHMRING_BOTH);
	if (shmring_push(&other, &number, sizeof(number)) ||
	    shmring_peek_n(&other, seen, 1) != 1)
		return 0;
	int error = shmring_release_n(&other, 2);
	shmring_unlink("/tap-none");
	return error;
}

static int
wait_for_none(void)
{
	return shmring_wait_several(NULL, 0, 0);
}

static int
pass_named(void)
{
	return shmring_fd(&ring);
}

static int
create_taken(void)
{
	return shmring_create(&other, name, NULL);
}

static int
create_over_dead(void)
{
	pid_t child = fork();

	if (child == 0) {
		_exit(shmring_open(&other, name, SHMRING_CONSUMER, 0) != 0);
	}
	tap_wait(child);
	shmring_close(&ring);
	return create_taken();
}

static int
replace_used(void)
{
	struct shmring_config config = { .flags = SHMRING_REPLACE };

	return shmring_create(&other, name, &config);
}

static int
create_wrong_name(void)
{
	return shmring_create(&other, "/a/b", NULL);
}

static int
create_long_name(void)
{
	char longer[300];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	return shmring_create(&other, longer, NULL);
}

static int
create_wrong_roles(void)
{
	return make(0, 7);
}

static int
create_few_slots(void)
{
	return make_mpmc(8, 5, 8);
}

static int
create_wide(void)
{
	return make_mpmc(8, 4, (1u << 30) + 1);
}

static int
create_without_directory(void)
{
	return mount_over("/dev", "tmpfs", NULL, 0) ? make(0, 0) : CANNOT;
}

static int
create_read_only(void)
{
	return mount_over(SHMRING_DIRECTORY, "tmpfs", NULL, MS_RDONLY)
		       ? make(0, 0)
		       : CANNOT;
}

static int
create_on_proc(void)
{
	return mount_over(SHMRING_DIRECTORY, "proc", NULL, 0) ? make(0, 0)
							      : CANNOT;
}

static int
create_without_room(void)
{
	return mount_over(SHMRING_DIRECTORY, "tmpfs", "size=8k", 0) ? make(0, 0)
								    : CANNOT;
}

static int
create_beyond_memory(void)
{
	return make_mpmc(1u << 30, 4, 1u << 20);
}

static int
create_beyond_limit(void)
{
	struct rlimit limit = { 4096, 4096 };

	setrlimit(RLIMIT_FSIZE, &limit);
	return make(0, 0);
}

static int
create_without_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &limit);
	return make(0, 0);
}

static int
create_without_address_space(void)
{
	struct rlimit limit = { 1u << 20, 1u << 20 };
	struct shmring_config config = { .slots = 1u << 14 };

	if (TAP_SANITIZED)
		return CANNOT;
	setrlimit(RLIMIT_AS, &limit);
	if (mmap(NULL, 1u << 21, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) != MAP_FAILED)
		return CANNOT; /* an emulator's, that means nothing to us */
	return shmring_create_memfd(&other, &config);
}

static int
create_without_fallocate(void)
{
	return refuse(SYS_fallocate, 0, EPERM) ? make(0, 0) : CANNOT;
}

static int
create_where_fallocate_is_unknown(void)
{
	return refuse(SYS_fallocate, 0, EOPNOTSUPP) ? make(0, 0) : CANNOT;
}

static int
create_without_unnamed_files(void)
{
	return refuse(SYS_openat, SHMRING__O_TMPFILE & ~O_DIRECTORY, EPERM)
		       ? make(0, 0)
		       : CANNOT;
}

static int
create_without_linkat(void)
{
	return refuse(SYS_linkat, 0, EPERM) ? make(0, 0) : CANNOT;
}

static int
create_without_locks(void)
{
	return refuse(SYS_fcntl, SHMRING__F_OFD_SETLK, EINVAL) ? make(0, 0)
							       : CANNOT;
}

static int
create_without_memfd(void)
{
	return refuse(SYS_memfd_create, 0, EPERM)
		       ? shmring_create_memfd(&other, NULL)
		       : CANNOT;
}

static int
create_without_wipe(void)
{
	return refuse(SYS_madvise, 0, EINVAL) ? make(0, 0) : CANNOT;
}

static int
replace_without_exchange(void)
{
	shmring_close(&ring);
	return refuse(SYS_renameat2, 0, EINVAL) ? replace_used() : CANNOT;
}

static int
create_without_proc(void)
{
	return mount_over("/proc", "tmpfs", NULL, 0)
		       ? shmring_create_memfd(&other, NULL)
		       : CANNOT;
}

static int
open_nothing(void)
{
	return shmring_open(&other, "/tap-none", 0, 0);
}

static int
open_nothing_in_time(void)
{
	return shmring_open(&other, "/tap-none", 0, 1);
}

static int
open_taken(void)
{
	return shmring_open(&other, name, SHMRING_PRODUCER, 0);
}

static int
open_used_up(void)
{
	return make_mpmc(2, 1, 8) ? 0 : shmring_dup(&ring, &other, 0);
}

static int
open_wrong_role(void)
{
	return shmring_open(&other, name, 5, 0);
}

/* The file of the ring with one field changed. */
static int
open_changed(size_t at, uint32_t value)
{
	if (pwrite(ring.map.fd, &value, sizeof(value), (off_t)at) < 0)
		return 0;
	return shmring_open(&other, name, SHMRING_OBSERVER, 0);
}

static int
open_no_ring(void)
{
	return open_changed(0, 0);
}

static int
open_other_layout(void)
{
	return open_changed(offsetof(struct shmring__header, layout), 99);
}

static int
open_other_machine(void)
{
	return open_changed(offsetof(struct shmring__header, word_size), 4);
}

static int
open_other_boot(void)
{
	return open_changed(offsetof(struct shmring__header, boot_id),
			    ring.header->magic & 0xff);
}

static int
open_damaged(void)
{
	return open_changed(offsetof(struct shmring__header, slots), 3);
}

static int
open_replaced(void)
{
	return open_changed(offsetof(struct shmring__header, retired),
			    SHMRING__REPLACED);
}

static int
open_others(void)
{
	return open_changed(offsetof(struct shmring__header, creator), 12345);
}

static int
open_cut(void)
{
	if (ftruncate(ring.map.fd, 4096))
		return 0;
	return shmring_open(&other, name, SHMRING_OBSERVER, 0);
}

static int
open_link(void)
{
	unlink(path);
	if (symlink("somewhere", path))
		return CANNOT;
	return shmring_open(&other, name, 0, 0);
}

static int
open_forbidden(void)
{
	if (geteuid() && fchmod(ring.map.fd, 0))
		return CANNOT;
	if (!geteuid() &&
	    (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		return CANNOT;
	return shmring_open(&other, name, 0, 0);
}

static int
open_unsealed(void)
{
	return shmring_open_fd(&other, ring.map.fd, 0);
}

static int
poll_ring(void)
{
	struct shmring_poll poller;

	return shmring_poll_open(&poller, &ring, SHMRING_PRODUCER);
}

static int
poll_beyond_instances(void)
{
	return refuse(SYS_inotify_init1, 0, EMFILE) ? poll_ring() : CANNOT;
}

static int
poll_beyond_watches(void)
{
	return refuse(SYS_inotify_add_watch, 0, ENOSPC) ? poll_ring() : CANNOT;
}

static int
poll_without_inotify(void)
{
	return refuse(SYS_inotify_init1, 0, EPERM) ? poll_ring() : CANNOT;
}

static int
unlink_nothing(void)
{
	return shmring_unlink("/tap-none");
}

static const struct row {
	const char *call;
	int error;
	int (*provoke)(void);
	const char *says;
} rows[] = {
	{ "push, full", -EAGAIN, push_too_often, "full or empty" },
	{ "push, too long", -EMSGSIZE, push_too_much, "slot_size" },
	{ "push, while reserved", -EBUSY, push_reserved, "reservation" },
	{ "push, nobody left", -EPIPE, push_to_nobody, "other side is gone" },
	{ "pop, not a consumer", -EPERM, pop_as_producer, "lacks the role" },
	{ "pop, closed", -EBADF, pop_closed, "not open" },
	{ "pop, in a child", -ESTALE, pop_in_child, "parent process" },
	{ "pop_wait, nothing", -ETIMEDOUT, pop_nothing_in_time, "timed out" },
	{ "pop_wait, interrupted", -ECANCELED, pop_interrupted,
	  "shmring_interrupt" },
	{ "pop_wait, signal", -EINTR, pop_signalled, "signal" },
	{ "wait_peer, observer", -EDOM, wait_for_observer, "role" },
	{ "pop, damaged", -EBADMSG, pop_damage, "damaged" },
	{ "pop, overwritten", -ENOBUFS, pop_overwritten, "shmring_lost" },
	{ "seek, no message", -ERANGE, seek_nowhere, "(seek)" },
	{ "seek, SPSC", -ENOTSUP, seek_elsewhere, "BROADCAST" },
	{ "peek_n, MPMC", -ENOTSUP, peek_several_elsewhere, "peek_n" },
	{ "create, lossy, demote", -EDOM, create_lossy_and_demoting, "flag" },
	{ "create, lossy SPSC", -EDOM, create_lossy_spsc, "flag" },
	{ "commit, nothing", -ENOMSG, commit_nothing, "needs a reserve" },
	{ "participant, beyond", -ERANGE, look_beyond_participants, "index" },
	{ "release_n, too many", -ERANGE, release_too_many, "release_n" },
	{ "wait_several, none", -ERANGE, wait_for_none, "wait_several" },
	{ "fd, of a name", -ENOTSUP, pass_named, "no descriptor to pass" },
	{ "create, taken", -EEXIST, create_taken, "name is taken" },
	{ "create, left", -EOWNERDEAD, create_over_dead, "users died" },
	{ "create, replacing", -EBUSY, replace_used, "in use" },
	{ "create, name", -EINVAL, create_wrong_name, "one component" },
	{ "create, long", -ENAMETOOLONG, create_long_name, "251" },
	{ "create, roles", -EDOM, create_wrong_roles, "role" },
	{ "create, slots", -ERANGE, create_few_slots, "twice" },
	{ "create, slot_size", -ERANGE, create_wide, "slot_size at most" },
	{ "create, directory", -ENOTDIR, create_without_directory,
	  SHMRING_DIRECTORY },
	{ "create, read-only", -EROFS, create_read_only, "read-only" },
	{ "create, no O_TMPFILE", -EISDIR, create_on_proc, "O_TMPFILE" },
	{ "create, no room", -ENOSPC, create_without_room, "file system" },
	{ "create, no memory", -ENOSPC, create_beyond_memory, "MemAvailable" },
	{ "create, ulimit", -EFBIG, create_beyond_limit, "RLIMIT_FSIZE" },
	{ "create, nofile", -EMFILE, create_without_descriptors,
	  "RLIMIT_NOFILE" },
	{ "create, no addresses", -ENOMEM, create_without_address_space,
	  "RLIMIT_AS" },
	{ "create, fallocate", -ENOSYS, create_without_fallocate, "fallocate" },
	{ "create, no fallocate", -ENODEV, create_where_fallocate_is_unknown,
	  "fallocate" },
	{ "create, O_TMPFILE", -ENOSYS, create_without_unnamed_files,
	  "O_TMPFILE" },
	{ "create, linkat", -ENOSYS, create_without_linkat, "linkat" },
	{ "create, locks", -ENOLCK, create_without_locks, "F_OFD_SETLK" },
	{ "create_memfd", -ENOSYS, create_without_memfd, "memfd_create" },
	{ "create, forks", -ENOSYS, create_without_wipe, "MADV_WIPEONFORK" },
	{ "create, exchange", -ENOSYS, replace_without_exchange, "renameat2" },
	{ "create, /proc", -ENXIO, create_without_proc, "/proc" },
	{ "open, nothing", -ENOENT, open_nothing, "no such ring" },
	{ "open, in time", -ETIMEDOUT, open_nothing_in_time, "in time" },
	{ "open, taken", -EBUSY, open_taken, "living process" },
	{ "dup, used up", -EUSERS, open_used_up, "all participants" },
	{ "open, roles", -EDOM, open_wrong_role, "role" },
	{ "open, no ring", -EPROTO, open_no_ring, "not a shmring" },
	{ "open, layout", -EPROTONOSUPPORT, open_other_layout, "layout" },
	{ "open, machine", -EPROTOTYPE, open_other_machine, "word size" },
	{ "open, boot", -EREMOTE, open_other_boot, "reboot" },
	{ "open, damaged", -EBADMSG, open_damaged, "damaged" },
	{ "open, replaced", -ESTALE, open_replaced, "replaced" },
	{ "open, others", -EPERM, open_others, "SHMRING_ANY_OWNER" },
	{ "open, cut", -EOVERFLOW, open_cut, "truncated" },
	{ "open, link", -ELOOP, open_link, "symbolic link" },
	{ "open, forbidden", -EACCES, open_forbidden, "permission denied" },
	{ "open_fd, unsealed", -EPERM, open_unsealed, "not sealed" },
	{ "poll_open, instances", -EMFILE, poll_beyond_instances,
	  "max_user_instances" },
	{ "poll_open, watches", -ENOSPC, poll_beyond_watches,
	  "max_user_watches" },
	{ "poll_open, inotify", -ENOSYS, poll_without_inotify, "inotify" },
	{ "unlink, nothing", -ENOENT, unlink_nothing, "no such ring" },
};

/* In a child: exit status 0: as the row says. */
static void
provoke(void *argument)
{
	const struct row *row = argument;
	int error, before = 123;

	ring.map.fd = -1;
	struct shmring_config config = { .slots = 16,
					 .slot_size = 8,
					 .roles = SHMRING_PRODUCER };
	CHILD_CHECK(!shmring_create(&ring, name, &config));
	errno = before;
	error = row->provoke();
	if (error == CANNOT)
		_exit(CANNOT);
	if (error != row->error)
		printf("# child: %s: %d instead of %d\n", row->call, error,
		       row->error);
	_exit(error != row->error);
}

/* Each number that occurs has a text of its own. */
static void
compare_texts(void)
{
	const size_t count = sizeof(rows) / sizeof(*rows);
	int wrong = 0;

	for (size_t i = 0; i < count; i++) {
		errno = 123;
		const char *text = shmring_strerror(rows[i].error);
		wrong += errno != 123;
		wrong += !strcmp(text, strerror(-rows[i].error));
		for (size_t k = 0; k < i; k++)
			wrong += rows[k].error != rows[i].error &&
				 !strcmp(text, shmring_strerror(rows[k].error));
	}
	is_int(wrong, 0, "each errno has a text of its own");
}

int
main(void)
{
	tap_start();
	compare_texts();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];

		snprintf(name, sizeof(name), "%s", tap_name());
		snprintf(path, sizeof(path), "%s%s", SHMRING_DIRECTORY, name);
		int status = child_run(provoke, (void *)(uintptr_t)row);
		shmring_unlink(name);
		if (status == CANNOT) {
			skip(row->call);
			continue;
		}
		const char *text = shmring_strerror(row->error);
		ok(status == 0 && strstr(text, row->says), "%s: %d: %.40s...",
		   row->call, row->error, text);
	}
	return tap_done();
}
