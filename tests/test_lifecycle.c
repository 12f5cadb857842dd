/* SPDX-License-Identifier: MIT
 *
 * Description: create, open, close, unlink: all or nothing at any moment, and
 * each reason to refuse a segment has its own error.
 */
#include "ring.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define NOBODY 65534
#define CANNOT 77 /* exit status: not permitted here */

static const struct shmring_config small = {
	.mode = SHMRING_MPMC, .slots = 16, .slot_size = 8, .participants = 4
};

static const char *
make_name(char name[64])
{
	return strcpy(name, tap_name());
}

static void
file_path(char path[128], const char *name)
{
	snprintf(path, 128, "%s%s", SHMRING_DIRECTORY, name);
}

static int
file_exists(const char *name)
{
	char path[128];

	file_path(path, name);
	return access(path, F_OK) == 0;
}

/* From now on whoever makes this system call is killed; 0: not permitted. */
static int
forbid(unsigned call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void
live_and_die(uint32_t mode)
{
	struct shmring_config config = small;
	struct shmring ring, other;
	struct stat file;
	char name[64], path[128];

	config.mode = mode;
	config.permissions = 0642;
	make_name(name);
	file_path(path, name);
	umask(077);
	is_int(shmring_create(&ring, name, &config), 0, "create");
	ok(!stat(path, &file) && (file.st_mode & 0777) == 0642,
	   "with its permissions, whatever the umask");
	is_int(shmring_create(&other, name, &config), -EEXIST,
	       "the name is taken");
	is_int(push_number(&ring, 1), 0, "push");
	is_int(shmring_close(&ring), 0, "close");
	is_int(shmring_close(&ring), 0, "closing twice does no harm");
	ok(file_exists(name), "the ring stays");
	is_int(shmring_create(&other, name, &config), -EEXIST,
	       "taken still, though in good order");
	is_int(shmring_open(&ring, name + 1, 0, 0), 0,
	       "open, without the slash");
	is_int(pop_number(&ring), 1, "what was pushed is there");
	is_int(shmring_unlink(name), 0, "unlink");
	is_int(shmring_unlink(name), -ENOENT, "once");
	is_int(shmring_open(&other, name, 0, 0), -ENOENT, "no such ring");
	is_int(shmring_open(&other, name, 0, MILLISECOND), -ETIMEDOUT,
	       "nor does it come");
	is_int(push_number(&ring, 2), 0, "but whoever is attached goes on");
	is_int(pop_number(&ring), 2, "undisturbed");
	shmring_close(&ring);
}

static void
refuse_wrong_names(void)
{
	static const char *const wrong[] = { "", "/", ".", "/..", "/a/b" };
	char longer[300];
	struct shmring ring;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		ok(shmring_create(&ring, wrong[i], NULL) == -EINVAL &&
			   shmring_open(&ring, wrong[i], 0, 0) == -EINVAL &&
			   shmring_unlink(wrong[i]) == -EINVAL,
		   "no name: \"%s\"", wrong[i]);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	is_int(shmring_create(&ring, longer, NULL), -ENAMETOOLONG,
	       "too long a name");
	is_int(shmring_create(&ring, NULL, NULL), -EINVAL, "none at all");
	is_int(shmring_open(&ring, tap_name(), 5, 0), -EDOM, "no such role");
	longer[NAME_MAX - strlen(SHMRING__TEMPORARY) + 1] = 0;
	is_int(shmring_create(&ring, longer, NULL), -ENAMETOOLONG,
	       "a byte too long for a temporary name beside it");
	longer[NAME_MAX - strlen(SHMRING__TEMPORARY)] = 0;
	is_int(shmring_unlink(longer), -ENOENT, "the longest");
	is_int(shmring_create(&ring, "/x" SHMRING__TEMPORARY, NULL), -EINVAL,
	       "such a one is not for others");
}

static void
open_later(void *argument)
{
	struct shmring ring;

	CHILD_CHECK(!shmring_open(&ring, argument, 0, GENEROUS));
	CHILD_CHECK(!push_number(&ring, 1));
	shmring_close(&ring);
}

static void
wait_for_the_name(void)
{
	struct shmring ring;
	char name[64];
	pid_t child = child_start(open_later, (void *)make_name(name));

	usleep(5000);
	shmring_create(&ring, name, &small);
	is_int(tap_wait(child), 0, "open waits until the name exists");
	shmring_close(&ring);
	shmring_unlink(name);
}

struct waiting {
	const char *name;
	int64_t timeout;
	struct shmring *parents; /* whose lock a child shares; or NULL */
	int error; /* what it waits for in vain says at last */
};

/* The name, or the role, never comes: how often does it look? */
static void
open_in_vain(void *argument)
{
	const struct waiting *waiting = argument;
	struct shmring ring;
	struct rusage usage;

	CHILD_CHECK(shmring_open(&ring, waiting->name, 0, waiting->timeout) ==
		    waiting->error);
	getrusage(RUSAGE_SELF, &usage);
	CHILD_CHECK(usage.ru_nvcsw < 60);
}

static void
open_a_role(void *argument)
{
	const struct waiting *waiting = argument;
	struct shmring ring;

	if (waiting->parents)
		shmring_close(waiting->parents);
	CHILD_CHECK(!shmring_open(&ring, waiting->name, SHMRING_CONSUMER,
				  waiting->timeout));
	CHILD_CHECK(pop_number(&ring) == 7);
	shmring_close(&ring);
}

/* It is alone, and killed. */
static void
hold_all(void *argument)
{
	const struct waiting *waiting = argument;
	struct shmring ring;

	CHILD_CHECK(
		!shmring_open(&ring, waiting->name, SHMRING_BOTH, GENEROUS));
	CHILD_CHECK(push_number(&ring, 7) == 0);
	for (;;)
		pause();
}

/* Whoever holds the role is killed, not closed. */
static void
inherit_the_role(const char *name, const struct shmring_config *config)
{
	struct waiting waiting = { name, GENEROUS, NULL, 0 };
	struct shmring ring;
	struct shmring_stat all = { 0 };

	if (shmring_create(&ring, name, config))
		bail("cannot create a ring");
	shmring_close(&ring);
	pid_t holder = child_start(hold_all, &waiting);
	if (shmring_open(&ring, name, SHMRING_OBSERVER, GENEROUS))
		bail("cannot observe a ring");
	for (int i = 0; !all.pushed && i < 10000; i++) {
		usleep(1000);
		shmring_stat(&ring, &all);
	}
	pid_t heir = child_start(open_a_role, &waiting);
	usleep(20000);
	child_kill(holder);
	is_int(tap_wait(heir), 0, "of a killed one, too");
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
wait_for_the_role(void)
{
	struct shmring_config config = small;
	struct shmring ring, other;
	struct waiting waiting;
	char name[64];
	pid_t child;

	waiting.name = make_name(name);
	waiting.parents = &ring;
	waiting.timeout = 300 * MILLISECOND;
	waiting.error = -ETIMEDOUT;
	is_int(child_run(open_in_vain, &waiting), 0,
	       "who waits for a name does not look all the time");
	for (uint32_t mode = 0; mode < 2; mode++) {
		config.mode = mode;
		config.participants = mode;
		config.slots = 2;
		shmring_create(&ring, name, &config);
		is_int(shmring_open(&other, name, 0, 0),
		       mode ? -EUSERS : -EBUSY, "%s: taken", mode_name[mode]);
		is_int(shmring_open(&other, name, 0, 3 * MILLISECOND),
		       mode ? -EUSERS : -EBUSY, "still, after a time-out");
		waiting.timeout = 300 * MILLISECOND;
		waiting.error = mode ? -EUSERS : -EBUSY;
		is_int(child_run(open_in_vain, &waiting), 0,
		       "nor does who waits for a role");
		waiting.timeout = INT64_MAX - (int64_t)mode;
		child = child_start(open_a_role, &waiting);
		usleep(5000);
		push_number(&ring, 7);
		shmring_close(&ring);
		is_int(tap_wait(child), 0,
		       "who waits the longest time gets the role");
		shmring_unlink(name);
		inherit_the_role(name, &config);
	}
}

/* A copy of a good segment with one thing changed. */
static int
open_changed(const char *original, size_t at, const void *bytes, size_t size,
	     unsigned roles, off_t length, mode_t mode)
{
	char from[128], to[128], name[64];
	static unsigned char content[1 << 16];
	struct shmring ring;
	ssize_t total;
	int in, out, error;

	file_path(from, original);
	file_path(to, make_name(name));
	in = open(from, O_RDONLY);
	out = open(to, O_RDWR | O_CREAT | O_EXCL, 0600);
	total = read(in, content, sizeof(content));
	memcpy(content + at, bytes, size);
	if (total <= 0 || write(out, content, (size_t)total) != total ||
	    (length >= 0 && ftruncate(out, length)) || fchmod(out, mode))
		bail("cannot copy a segment");
	close(in);
	close(out);
	error = shmring_open(&ring, name, roles, 0);
	shmring_close(&ring);
	unlink(to);
	return error;
}

#define FIELD(field)                                     \
#field, offsetof(struct shmring__header, field), \
		sizeof(((struct shmring__header *)0)->field)

static void
refuse_changed_headers(const char *original)
{
	static const struct {
		const char *field;
		size_t at, size;
		uint64_t value;
		int error;
	} changes[] = {
		{ FIELD(magic), 0, -EPROTO },
		{ FIELD(layout), SHMRING_LAYOUT + 1, -EPROTONOSUPPORT },
		{ FIELD(byte_order), 0x04030201, -EPROTOTYPE },
		{ FIELD(word_size), 4, -EPROTOTYPE },
		{ FIELD(boot_id), 1, -EREMOTE },
		{ FIELD(boot_id), 0, 0 }, /* unknown, which proves nothing */
		{ FIELD(creator), NOBODY, -EPERM },
		{ FIELD(mode), SHMRING_SPSC, -EBADMSG },
		{ FIELD(mode), 2, -EBADMSG },
		{ FIELD(slots), 0, -EBADMSG },
		{ FIELD(slots), 15, -EBADMSG },
		{ FIELD(slots), 4096, -EBADMSG },
		{ FIELD(slots), 1u << 31, -EBADMSG },
		{ FIELD(slot_size), 0, -EBADMSG },
		{ FIELD(slot_size), 4096, -EBADMSG },
		{ FIELD(slot_size), UINT32_MAX, -EBADMSG },
		{ FIELD(participants), 0, -EBADMSG },
		{ FIELD(participants), 9, -EBADMSG },
		{ FIELD(participants), UINT32_MAX, -EBADMSG },
		{ FIELD(page), 0, -EBADMSG },
		{ FIELD(page), 8192, -EBADMSG },
		{ FIELD(page), UINT64_C(1) << 63, -EBADMSG },
		{ FIELD(capacity), 0, -EBADMSG },
		{ FIELD(capacity), UINT64_MAX, -EBADMSG },
		{ FIELD(total), 4096, -EBADMSG },
		{ FIELD(total), UINT64_MAX, -EBADMSG },
		{ FIELD(retired), SHMRING__YIELDS, 0 }, /* if nobody came */
		{ FIELD(retired), SHMRING__REPLACED, -ESTALE },
		{ FIELD(retired), SHMRING__PENDING, 0 }, /* nothing else is */
	};
	unsigned char bytes[16] = { 0 };

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		memcpy(bytes, &changes[i].value, sizeof(uint64_t));
		is_int(open_changed(original, changes[i].at, bytes,
				    changes[i].size, 0, -1, 0600),
		       changes[i].error, "%s: %s %" PRIu64,
		       changes[i].error ? "refused" : "accepted",
		       changes[i].field, changes[i].value);
	}
}

static void
refuse_changed_files(void)
{
	char name[64], path[128];
	struct shmring ring;
	off_t total;

	if (shmring_create(&ring, make_name(name), &small))
		bail("cannot create a ring");
	total = (off_t)ring.geometry.total;
	shmring_close(&ring);
	is_int(open_changed(name, 0, "", 0, 0, -1, 0600), 0,
	       "an unchanged copy is accepted");
	refuse_changed_headers(name);
	is_int(open_changed(name, 0, "", 0, 0, 0, 0600), -EPROTO,
	       "an empty file");
	is_int(open_changed(name, 0, "", 0, 0, 383, 0600), -EPROTO,
	       "too short for a header");
	is_int(open_changed(name, 0, "", 0, 0, total - 1, 0600), -EOVERFLOW,
	       "a byte short");
	is_int(open_changed(name, 0, "", 0, 0, total + 1, 0600), -EOVERFLOW,
	       "a byte too long");
	is_int(open_changed(name, 0, "", 0, 0, -1, 0602), -EPERM,
	       "writable for more than its creator said");
	shmring_unlink(name);

	file_path(path, make_name(name));
	if (mkfifo(path, 0600))
		bail("cannot make a FIFO");
	is_int(shmring_open(&ring, name, 0, 0), -EPROTO, "a FIFO");
	is_int(shmring_create(&ring, name, NULL), -EEXIST, "takes the name");
	unlink(path);
	if (symlink("somewhere", path))
		bail("cannot make a link");
	is_int(shmring_open(&ring, name, 0, 0), -ELOOP, "a symbolic link");
	unlink(path);
}

/* Neither open nor create waits for what stands under the name. */
static void
look_and_not_wait(void *argument)
{
	struct shmring ring;
	struct shmring_config config = small;

	alarm(20);
	CHILD_CHECK(shmring_open(&ring, argument, SHMRING_OBSERVER, 0) ==
		    -EPROTO);
	CHILD_CHECK(shmring_open(&ring, argument, 0, 0) == -EPROTO);
	config.flags = SHMRING_REPLACE;
	CHILD_CHECK(shmring_create(&ring, argument, &config) == -EEXIST);
	CHILD_CHECK(shmring_create(&ring, argument, &small) == -EEXIST);
}

static void
look_at_a_leased(void *argument)
{
	struct shmring ring;

	alarm(20);
	CHILD_CHECK(shmring_open(&ring, argument, 0, 0) == -EBUSY);
	CHILD_CHECK(shmring_create(&ring, argument, &small) == -EEXIST);
}

static void
meet_what_is_no_ring(void)
{
	char name[64], path[128];
	int fd;

	file_path(path, make_name(name));
	if (mkfifo(path, 0600))
		bail("cannot make a FIFO");
	is_int(child_run(look_and_not_wait, name), 0, "a FIFO: at once");
	unlink(path);
	if (mkdir(path, 0700))
		bail("cannot make a directory");
	is_int(child_run(look_and_not_wait, name), 0, "a directory");
	rmdir(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_WRLCK))
		skip("no leases");
	else
		is_int(child_run(look_at_a_leased, name), 0, "a leased file");
	close(fd);
	signal(SIGIO, SIG_DFL);
	unlink(path);
}

/* Here whoever maps anything is killed. */
static void
judge_unmapped(void *argument)
{
	struct shmring ring;

	if (!forbid(SYS_mmap))
		_exit(CANNOT);
	CHILD_CHECK(shmring_create(&ring, argument, &small) == -EEXIST);
}

/* Else a stranger's ring could fill our memory, or be cut under our eyes. */
static void
judge_without_mapping(void)
{
	struct shmring_config config = small;
	struct shmring ring;
	char name[64];
	int status;

	config.flags = SHMRING_PREFAULT;
	shmring_create(&ring, make_name(name), &config);
	status = child_run(judge_unmapped, name);
	if (status == CANNOT)
		skip("seccomp is not permitted");
	else
		is_int(status, 0, "what has the name is judged unmapped");
	shmring_close(&ring);
	shmring_unlink(name);
}

/* What a daemon does that has closed its first three. */
static void
open_without_stdio(void *argument)
{
	struct shmring ring, other;

	for (int fd = 0; fd < 3; fd++)
		close(fd);
	CHILD_CHECK(!shmring_create(&ring, argument, NULL) && ring.map.fd > 2);
	CHILD_CHECK(!shmring_open(&other, argument, SHMRING_OBSERVER, 0) &&
		    other.map.fd > 2);
	shmring_close(&other);
	CHILD_CHECK(!shmring_dup(&other, &ring, SHMRING_OBSERVER) &&
		    other.map.fd > 2);
	shmring_close(&other);
	shmring_close(&ring);
	CHILD_CHECK(!shmring_create_memfd(&ring, NULL) && ring.map.fd > 2 &&
		    shmring_fd(&ring) > 2);
	CHILD_CHECK(
		!shmring_open_fd(&other, shmring_fd(&ring), SHMRING_OBSERVER) &&
		other.map.fd > 2);
	for (int fd = 0; fd < 3; fd++)
		CHILD_CHECK(fcntl(fd, F_GETFD) < 0);
}

static void
stay_above_stdio(void)
{
	char name[64];

	is_int(child_run(open_without_stdio, (void *)make_name(name)), 0,
	       "no descriptor is 0, 1 or 2");
	shmring_unlink(name);
}

/* Everything is refused, and nothing is touched. */
static void
use_no_ring(struct shmring *ring, const char *kind)
{
	struct shmring copy;
	struct shmring_stat all;
	struct shmring_participant one;
	struct iovec batch = { &copy, 8 };
	unsigned char id[16];
	size_t size = 8;
	int wrong = 0;

	wrong += shmring_push(ring, "", 1) != -EBADF;
	wrong += shmring_push_wait(ring, "", 1, -1) != -EBADF;
	wrong += shmring_pop(ring, &copy, 8) != -EBADF;
	wrong += shmring_pop_wait(ring, &copy, 8, -1) != -EBADF;
	wrong += shmring_push_n(ring, &batch, 1) != -EBADF;
	wrong += shmring_push_n_wait(ring, &batch, 1, -1) != -EBADF;
	wrong += shmring_pop_n(ring, &batch, 1) != -EBADF;
	wrong += shmring_pop_n_wait(ring, &batch, 1, -1) != -EBADF;
	is_int(wrong, 0, "%s: neither pushes nor pops", kind);
	wrong += shmring_reserve(ring, 1) || shmring_error(ring) != -EBADF;
	wrong += shmring_reserve_wait(ring, 1, -1) ||
		 shmring_error(ring) != -EBADF;
	wrong += shmring_peek(ring, &size) || shmring_error(ring) != -EBADF;
	wrong += shmring_peek_wait(ring, &size, -1) ||
		 shmring_error(ring) != -EBADF;
	wrong += shmring_peek_n(ring, &batch, 1) != -EBADF;
	wrong += shmring_commit(ring, 1) != -EBADF;
	wrong += shmring_release(ring) != -EBADF;
	wrong += shmring_release_n(ring, 1) != -EBADF;
	shmring_abort(ring);
	is_int(wrong, 0, "%s: holds nothing", kind);
	wrong += shmring_flush(ring, -1) != -EBADF;
	wrong += shmring_recover(ring) != -EBADF;
	wrong += shmring_set_spin(ring, 0) != -EBADF;
	wrong += shmring_set_eintr(ring, 1) != -EBADF;
	wrong += shmring_interrupt(ring) != -EBADF;
	wrong += shmring_wait_peer(ring, SHMRING_BOTH, -1) != -EBADF;
	wrong += shmring_wait_gone(ring, SHMRING_BOTH, -1) != -EBADF;
	is_int(wrong, 0, "%s: waits for nothing", kind);
	wrong += shmring_seek(ring, SHMRING_OLDEST) != -EBADF;
	wrong += shmring_id(ring, id) != -EBADF;
	wrong += shmring_position(ring, SHMRING_PRODUCER) != 0;
	wrong += shmring_lost(ring) != 0;
	wrong += shmring_fd(ring) != -EBADF;
	wrong += shmring_dup(&copy, ring, 0) != -EBADF;
	wrong += shmring_stat(ring, &all) != -EBADF;
	wrong += shmring_participant(ring, 0, &one) != -EBADF;
	wrong += shmring_length(ring) != 0 || shmring_capacity(ring) != 0;
	wrong += shmring_redelivered(ring) != 0;
	is_int(wrong, 0, "%s: tells nothing", kind);
	is_int(shmring_close(ring), 0, "%s: is closed", kind);
}

static void
use_what_is_not_open(void)
{
	struct shmring ring;

	memset(&ring, 0, sizeof(ring));
	use_no_ring(&ring, "zeros");
	ok(fcntl(0, F_GETFD) >= 0, "descriptor 0 is still open");
	for (uint32_t mode = 0; mode < 2; mode++) {
		ring_make(&ring, mode, 16, 8);
		shmring_close(&ring);
		use_no_ring(&ring, "closed");
		ok(!ring.canary && !ring.map.base, "and points nowhere");
	}
	shmring_open(&ring, tap_name(), 0, 0);
	use_no_ring(&ring, "not opened");
}

/* Segments of other users; needs root. */
struct stranger {
	const char *name;
	uint32_t permissions;
	int expected;
};

static void
become_nobody(void)
{
	CHILD_CHECK(!setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
		    !setresuid(NOBODY, NOBODY, NOBODY));
}

static void
open_as_nobody(void *argument)
{
	struct stranger *stranger = argument;
	struct shmring ring;

	become_nobody();
	CHILD_CHECK(shmring_open(&ring, stranger->name, 0, 0) ==
		    stranger->expected);
	shmring_close(&ring);
}

static void
create_as_nobody(void *argument)
{
	struct stranger *stranger = argument;
	struct shmring_config config = small;
	struct shmring ring;

	become_nobody();
	config.permissions = stranger->permissions;
	CHILD_CHECK(!shmring_create(&ring, stranger->name, &config));
	shmring_close(&ring);
}

static void
meet_strangers(void)
{
	struct shmring_config config = small;
	struct stranger stranger = { .permissions = 0666 };
	struct shmring ring;
	char name[64];

	if (geteuid() != 0) {
		skip("other users' segments: needs root");
		return;
	}
	stranger.name = make_name(name);
	shmring_create(&ring, name, &config);
	stranger.expected = -EACCES;
	is_int(child_run(open_as_nobody, &stranger), 0,
	       "permissions keep others out");
	shmring_close(&ring);
	shmring_unlink(name);
	config.permissions = 0666;
	shmring_create(&ring, name, &config);
	stranger.expected = 0;
	is_int(child_run(open_as_nobody, &stranger), 0,
	       "or let them in; root is trusted");
	shmring_close(&ring);
	shmring_unlink(name);
	is_int(child_run(create_as_nobody, &stranger), 0, "another's ring");
	is_int(shmring_open(&ring, name, 0, 0), -EPERM, "is not trusted");
	is_int(shmring_open(&ring, name, SHMRING_ANY_OWNER, 0), 0,
	       "unless said so");
	shmring_close(&ring);
	shmring_unlink(name);
}

static int
memfd_with(int seals, const void *content, size_t size)
{
	int fd = (int)syscall(SYS_memfd_create, "tap", 2u /* sealable */);

	if (fd < 0 || fchmod(fd, 0600) || ftruncate(fd, 1 << 16) ||
	    pwrite(fd, content, size, 0) != (ssize_t)size ||
	    fcntl(fd, 1033 /* F_ADD_SEALS */, seals))
		bail("cannot make a memfd");
	return fd;
}

static void
refuse_descriptors(void)
{
	struct shmring ring, other;
	int fd;

	is_int(shmring_create_memfd(&ring, &small), 0, "a ring by descriptor");
	ok(ftruncate(shmring_fd(&ring), 0) && errno == EPERM,
	   "cannot be truncated");
	fd = dup(shmring_fd(&ring));
	is_int(shmring_open_fd(&other, fd, SHMRING_PRODUCER), 0, "open it");
	is_int(shmring_fd(&other), -ENOTSUP, "nothing to pass on here");
	close(fd);
	is_int(push_number(&other, 1), 0, "it does not need the descriptor");
	is_int(pop_number(&ring), 1, "any more");
	shmring_close(&other);
	is_int(shmring_open_fd(&other, fd, 0), -EBADF, "no descriptor");
	fd = memfd_with(0, ring.map.base, ring.geometry.index);
	is_int(shmring_open_fd(&other, fd, 0), -EPERM, "not sealed");
	close(fd);
	fd = memfd_with(2 /* F_SEAL_SHRINK */, ring.map.base,
			ring.geometry.index);
	is_int(shmring_open_fd(&other, fd, 0), -EPERM, "may grow");
	close(fd);
	fd = memfd_with(4 /* F_SEAL_GROW */, ring.map.base,
			ring.geometry.index);
	is_int(shmring_open_fd(&other, fd, 0), -EPERM, "may shrink");
	close(fd);
	fd = memfd_with(6, ring.map.base, ring.geometry.index);
	is_int(shmring_open_fd(&other, fd, 0), -EOVERFLOW, "of another size");
	close(fd);
	fd = memfd_with(6, "no ring", 7);
	is_int(shmring_open_fd(&other, fd, 0), -EPROTO, "no ring");
	close(fd);
	fd = open("/dev/null", O_RDWR);
	is_int(shmring_open_fd(&other, fd, 0), -EPERM, "nor a device");
	close(fd);
	shmring_close(&ring);
}

static void
use_after_cut(void *name)
{
	struct shmring ring;
	char path[128];

	file_path(path, name);
	CHILD_CHECK(!shmring_open(&ring, name, 0, 0));
	CHILD_CHECK(!truncate(path, 0));
	signal(SIGBUS, SIG_DFL); /* no report of a sanitizer */
	push_number(&ring, 1);
}

/* What a sealed descriptor forbids, the owner of a named file can do. */
static void
cut_a_named_ring(void)
{
	struct shmring_config config = small;
	struct shmring ring;
	char name[64];

	shmring_create(&ring, make_name(name), &small);
	shmring_close(&ring);
	is_int(child_run(use_after_cut, name), -SIGBUS,
	       "a named ring can be cut under its users");
	is_int(shmring_open(&ring, name, 0, 0), -EPROTO, "nobody else gets in");
	config.flags = SHMRING_REPLACE;
	is_int(shmring_create(&ring, name, &config), -EEXIST,
	       "nor replaces what cannot be judged any more");
	is_int(shmring_unlink(name), 0, "but the name");
	is_int(shmring_create(&ring, name, &config), 0, "can be had again");
	shmring_close(&ring);
	shmring_unlink(name);
}

static void
use_after_punch(void *name)
{
	struct shmring ring;
	char path[128];

	file_path(path, name);
	CHILD_CHECK(!shmring_open(&ring, name, 0, 0));
	CHILD_CHECK(!push_number(&ring, 1));
	int fd = open(path, O_RDWR);
	if (fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				0, (off_t)ring.geometry.total))
		_exit(CANNOT);
	CHILD_CHECK(pop_number(&ring) < 0);
	push_number(&ring, 2);
	shmring_recover(&ring);
	shmring_close(&ring);
}

/* Nor can any seal keep its content. */
static void
punch_a_ring(uint32_t mode)
{
	struct shmring_config config = small;
	struct shmring ring;
	char name[64];

	config.mode = mode;
	config.slots = 1024;
	shmring_create(&ring, make_name(name), &config);
	shmring_close(&ring);
	int status = child_run(use_after_punch, name);
	if (status == CANNOT)
		skip("no holes can be punched");
	else
		is_int(status, 0, "%s: a hole is zeros, and kills nobody",
		       mode_name[mode]);
	is_int(shmring_open(&ring, name, 0, 0), status ? 0 : -EPROTO,
	       "and no ring any more");
	shmring_close(&ring);
	shmring_unlink(name);
}

struct user {
	const char *name;
	int *ready; /* shared */
};

/* Attach to a ring, or make it, and be killed. */
static void
create_and_stay(void *argument)
{
	struct user *user = argument;
	struct shmring ring;

	if (shmring_create(&ring, user->name, &small))
		CHILD_CHECK(!shmring_open(&ring, user->name, 0, 0));
	CHILD_CHECK(!push_number(&ring, 1));
	flag_raise(user->ready);
	for (;;)
		pause();
}

static pid_t
start_user(char *name)
{
	struct user user = { name, shared_memory(sizeof(int)) };
	pid_t child = child_start(create_and_stay, &user);

	flag_await(user.ready, 1);
	return child;
}

static void
replace_in_all_cases(void)
{
	struct shmring_config config = small;
	struct shmring ring, other;
	char name[64], path[128];
	pid_t child, second;
	int fd;

	config.flags = SHMRING_REPLACE;
	make_name(name);
	is_int(shmring_create(&ring, name, &config), 0, "nothing to replace");
	is_int(shmring_create(&other, name, &config), -EBUSY,
	       "in use by ourselves");
	is_int(shmring_open(&other, name, 0, 0), 0, "it serves on");
	shmring_close(&other);
	is_int(push_number(&ring, 1), 0, "undisturbed");
	shmring_close(&ring);
	is_int(shmring_create(&ring, name, &config), 0, "left in good order");
	is_int(pop_number(&ring), -EAGAIN, "it is a new one");
	shmring_close(&ring);
	shmring_unlink(name);

	child = start_user(name);
	is_int(shmring_create(&ring, name, &config), -EBUSY, "in use");
	is_int(shmring_create(&ring, name, &small), -EEXIST, "as it says");
	child_kill(child);
	is_int(shmring_create(&ring, name, &small), -EOWNERDEAD,
	       "its users died");
	is_int(shmring_open(&ring, name, 0, 0), 0, "it can be used as it is");
	is_int(pop_number(&ring), 1, "with what is in it");
	shmring_close(&ring);
	is_int(shmring_create(&ring, name, &small), -EEXIST,
	       "which leaves it in good order");
	child = start_user(name);
	second = start_user(name);
	child_kill(child);
	is_int(shmring_create(&ring, name, &config), -EBUSY,
	       "one dead, one alive");
	child_kill(second);
	is_int(shmring_create(&ring, name, &config), 0,
	       "both dead: it is replaced");
	is_int(pop_number(&ring), -EAGAIN, "by an empty one");
	shmring_close(&ring);
	shmring_unlink(name);

	file_path(path, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	close(fd);
	is_int(shmring_create(&ring, name, &config), -EEXIST,
	       "a file that is no ring");
	ok(file_exists(name), "is not touched");
	unlink(path);
}

struct crowd {
	const char *name;
	struct shmring_config config;
	int arrived, go, created, opened, wrong, leave; /* shared */
};

/* All create and open at once. */
static void
join_crowd(void *argument)
{
	struct crowd *crowd = argument;
	struct shmring ring;
	int error;

	flag_raise(&crowd->arrived);
	flag_await(&crowd->go, 1);
	error = shmring_create(&ring, crowd->name, &crowd->config);
	if (error == 0)
		flag_raise(&crowd->created);
	else if (error == -EEXIST || error == -EBUSY)
		error = shmring_open(&ring, crowd->name, 0, GENEROUS);
	if (error == 0)
		error = push_number(&ring, 1);
	if (error) {
		printf("# child: %s\n", shmring_strerror(error));
		flag_raise(&crowd->wrong);
	}
	flag_raise(&crowd->opened);
	flag_await(&crowd->leave, 1);
}

static void
create_in_a_crowd(uint32_t flags)
{
	struct crowd *crowd = shared_memory(sizeof(*crowd));
	struct shmring ring;
	pid_t children[64];
	char name[64];
	int wrong = 0, messages = 0;

	crowd->name = make_name(name);
	crowd->config = (struct shmring_config){ .mode = SHMRING_MPMC,
						 .slots = 256,
						 .participants = 65,
						 .flags = flags };
	for (int i = 0; i < 64; i++)
		children[i] = child_start(join_crowd, crowd);
	flag_await(&crowd->arrived, 64);
	flag_raise(&crowd->go);
	flag_await(&crowd->opened, 64);
	is_int(crowd->created, 1, "of 64 at once one creates the ring");
	is_int(crowd->wrong, 0, "all others open it");
	ring_open(&ring, name, SHMRING_CONSUMER);
	while (pop_number(&ring) == 1)
		messages++;
	is_int(messages, 64, "all are in the same one");
	shmring_close(&ring);
	flag_raise(&crowd->leave);
	for (int i = 0; i < 64; i++)
		wrong += tap_wait(children[i]) != 0;
	is_int(wrong, 0, "and leave");
	shmring_unlink(name);
}

static void
create_again_and_again(void *argument)
{
	struct shmring_config config = { .slots = 4096,
					 .flags = SHMRING_REPLACE };
	struct shmring ring;

	for (;;) {
		CHILD_CHECK(!shmring_create(&ring, argument, &config));
		shmring_close(&ring);
	}
}

/* Killed at any moment: nobody ever sees half a ring, nothing blocks the next
 * create. */
static void
kill_creators(void)
{
	struct shmring_config config = small;
	int64_t end = shmring__now() + tap_seconds() * 1000 * MILLISECOND;
	int seen = 0, wrong = 0, rounds = 0;
	struct shmring ring;
	char name[64];

	config.flags = SHMRING_REPLACE;
	make_name(name);
	while (shmring__now() < end) {
		pid_t child = child_start(create_again_and_again, name);
		int error;

		usleep((useconds_t)(500 + tap_random() % 3000));
		kill(child, SIGKILL);
		wrong += tap_wait(child) != -SIGKILL;
		error = shmring_open(&ring, name, 0, 0);
		/* -ESTALE: killed in the middle of a replacement */
		wrong += error && error != -ENOENT && error != -ESTALE;
		seen += error == 0;
		shmring_close(&ring);
		wrong += shmring_create(&ring, name, &config) != 0;
		shmring_close(&ring);
		rounds++;
	}
	ok(rounds > 10 && seen > 0, "%d creators killed, %d rings left", rounds,
	   seen);
	is_int(wrong, 0, "whole ones, and no obstacle to the next");
	shmring_unlink(name);
}

/* Killed for certain between the first and the last step. */
static void
create_and_die(void *name)
{
	struct shmring ring;

	if (!forbid(SYS_linkat))
		_exit(CANNOT);
	shmring_create(&ring, name, NULL);
}

/* Larger than what this process may make: no signal, no error too late. */
static void
create_too_large(void *name)
{
	struct rlimit limit = { 4096, 4096 };
	struct shmring ring;

	setrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_DFL);
	CHILD_CHECK(shmring_create(&ring, name, NULL) == -EFBIG);
	CHILD_CHECK(shmring_create_memfd(&ring, NULL) == -EFBIG);
}

static void
die_while_creating(void)
{
	char name[64];
	int status = child_run(create_and_die, (void *)make_name(name));

	if (status == CANNOT)
		skip("seccomp is not permitted");
	else
		is_int(status, -SIGSYS, "a creator dies");
	ok(!file_exists(name), "and leaves nothing");
	is_int(child_run(create_too_large, name), 0,
	       "beyond RLIMIT_FSIZE: -EFBIG, no signal");
	ok(!file_exists(name), "which leaves nothing, either");
}

/* More than there is, of which nothing must ever be allocated: here whoever
 * tries is killed. */
struct appetite {
	uint32_t slots; /* of 2^20 bytes */
	int expected;
};

static void
create_beyond(void *argument)
{
	const struct appetite *appetite = argument;
	struct shmring_config config = { .slots = appetite->slots,
					 .slot_size = 1u << 20 };
	struct shmring ring;

	if (!forbid(SYS_fallocate))
		_exit(CANNOT);
	CHILD_CHECK(shmring_create(&ring, "/tap-none", &config) ==
		    appetite->expected);
	CHILD_CHECK(shmring_create_memfd(&ring, &config) == appetite->expected);
}

static void
refuse_more_than_there_is(void)
{
	struct appetite appetite = { 1u << 30, -ENOSPC };
	uint64_t memory =
		shmring__read_number("/proc/meminfo", "MemAvailable:");
	int status = child_run(create_beyond, &appetite);

	if (status == CANNOT) {
		skip("seccomp is not permitted");
		return;
	}
	is_int(status, 0, "a thousand terabytes: -ENOSPC, nothing allocated");
	if (memory == UINT64_MAX) {
		skip("no MemAvailable in /proc/meminfo");
		return;
	}
	/* A power of two that is more than is available, by little. */
	appetite.slots = (uint32_t)shmring__power_of_two(memory / 1024);
	is_int(child_run(create_beyond, &appetite), 0,
	       "more than the memory available: -ENOSPC");
	appetite.slots = 1;
	appetite.expected = 0;
	is_int(child_run(create_beyond, &appetite), -SIGSYS,
	       "what fits would be allocated");
}

/* A memory group of our own that allows 64 MiB, or NULL. */
static const char *
make_group(char path[128], int version)
{
	const char *root =
		version == 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
	const char *limit =
		version == 1 ? "memory.limit_in_bytes" : "memory.max";
	char file[192];
	FILE *stream;
	int failed;

	snprintf(path, 128, "%s/tap-%ld", root, (long)getpid());
	if (mkdir(path, 0700))
		return NULL;
	snprintf(file, sizeof(file), "%s/%s", path, limit);
	stream = fopen(file, "r+");
	failed = !stream || fputs("67108864", stream) < 0;
	if (stream)
		failed |= fclose(stream);
	if (failed)
		rmdir(path);
	return failed ? NULL : path;
}

static void
enter_group(const char *group)
{
	char file[192];
	FILE *stream;

	snprintf(file, sizeof(file), "%s/cgroup.procs", group);
	stream = fopen(file, "w");
	if (!stream || fputs("0", stream) < 0 || fclose(stream))
		_exit(CANNOT);
}

static void
create_in_group(void *group)
{
	struct appetite much = { 128, -ENOSPC };
	struct shmring_config little = { .slots = 16, .slot_size = 1u << 20 };
	struct shmring ring;

	enter_group(group);
	CHILD_CHECK(!shmring_create_memfd(&ring, &little));
	shmring_close(&ring);
	CHILD_CHECK(shmring__cgroup_left() <= 64u << 20);
	create_beyond(&much);
}

static void
refuse_more_than_the_group_has(void)
{
	char path[128];
	int status = CANNOT;

	for (int version = 1; version <= 2 && status == CANNOT; version++)
		if (make_group(path, version)) {
			status = child_run(create_in_group, path);
			rmdir(path);
		}
	if (status == CANNOT)
		skip("no memory cgroup can be made");
	else
		is_int(status, 0, "more than the cgroup has: -ENOSPC");
}

/* A small /dev/shm of our own. */
static void
fill_small_directory(void *argument)
{
	struct shmring_config config = { .slots = 64, .slot_size = 1024 };
	struct statfs system;
	struct shmring ring;
	int before;

	(void)argument;
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tap", SHMRING_DIRECTORY, "tmpfs", 0, "size=512k"))
		_exit(CANNOT);
	CHILD_CHECK(!shmring_create(&ring, "/fits", &config));
	for (uint64_t i = 0; push_number(&ring, i) == 0; i++)
		CHILD_CHECK(i < 100000); /* full, and no SIGBUS */
	config.slots = 1024;
	before = descriptors();
	statfs(SHMRING_DIRECTORY, &system);
	for (int i = 0; i < 3; i++)
		CHILD_CHECK(shmring_create(&ring, "/large", &config) ==
			    -ENOSPC);
	if (forbid(SYS_fallocate)) /* the same by the look before */
		CHILD_CHECK(shmring_create(&ring, "/large", &config) ==
			    -ENOSPC);
	unsigned long long left = system.f_bavail;
	statfs(SHMRING_DIRECTORY, &system);
	CHILD_CHECK(system.f_bavail == left);
	CHILD_CHECK(shmring_open(&ring, "/large", 0, 0) == -ENOENT);
	CHILD_CHECK(descriptors() == before);
}

static void
run_out_of_space(void)
{
	int status = child_run(fill_small_directory, NULL);

	if (status == CANNOT)
		skip("-ENOSPC: may not mount a file system");
	else
		is_int(status, 0, "no room: -ENOSPC, again and again");
}

/* Who holds a ring whose replacer was killed before it was declared to be in
 * force has found that it is: its copies need not look for another. */
static void
copy_a_pending_ring(void)
{
	struct shmring ring, observer, copy;
	char name[64];
	int before = descriptors();

	if (shmring_create(&ring, make_name(name), &small))
		bail("cannot create a ring");
	uint32_t *retired = &ring.header->retired;
	*retired = SHMRING__PENDING;
	is_int(shmring_open(&observer, name, SHMRING_OBSERVER, 0), 0,
	       "an observer opens a pending ring");
	is_int(shmring_dup(&copy, &observer, SHMRING_OBSERVER), 0,
	       "an observer's copy, to observe");
	is_int(*retired, SHMRING__PENDING, "who observes decides nothing");
	shmring_close(&copy);
	shmring_close(&ring);
	is_int(shmring_dup(&copy, &observer, SHMRING_CONSUMER), 0,
	       "an observer's copy, to consume");
	is_int(*(volatile uint32_t *)&copy.header->retired, SHMRING__IN_FORCE,
	       "who attaches has decided");
	shmring_close(&copy);
	shmring_close(&observer);
	shmring_unlink(name);

	/* a descriptor has no names that could tell */
	if (shmring_create_memfd(&ring, &small))
		bail("cannot create a ring");
	ring.header->retired = SHMRING__PENDING;
	is_int(shmring_open_fd(&copy, shmring_fd(&ring), SHMRING_OBSERVER), 0,
	       "a memfd that calls itself pending");
	shmring_close(&copy);
	shmring_close(&ring);
	is_int(descriptors(), before, "none of these left a descriptor open");
}

/* With one descriptor more each time, until all is well. */
static void
run_out_of_descriptors(void *argument)
{
	struct rlimit limit;
	struct shmring ring;
	int error = -EMFILE, used = dup(0), refused = 0;

	close(used);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)used;
	for (; error; limit.rlim_cur++) {
		setrlimit(RLIMIT_NOFILE, &limit);
		error = argument ? shmring_open(&ring, argument, 0, 0)
				 : shmring_create_memfd(&ring, &small);
		if (error && error != -EMFILE)
			printf("# child: %s\n", shmring_strerror(error));
		CHILD_CHECK(error == 0 || error == -EMFILE);
		refused += error != 0;
		CHILD_CHECK(refused < 10);
	}
	CHILD_CHECK(refused > 0 && !push_number(&ring, 1));
	shmring_close(&ring);
}

static void
limit_descriptors(void)
{
	struct shmring ring;
	char name[64];

	shmring_create(&ring, make_name(name), &small);
	is_int(child_run(run_out_of_descriptors, NULL), 0,
	       "create without descriptors: -EMFILE");
	is_int(child_run(run_out_of_descriptors, name), 0,
	       "open without descriptors: -EMFILE");
	shmring_close(&ring);
	shmring_unlink(name);
}

/* A number of kB in a file of /proc about mappings of that name, summed. By
 * way of the thread, for qemu-user makes up /proc/self/smaps. */
static long
kilobytes(const char *mapping, const char *field)
{
	FILE *file = fopen("/proc/thread-self/smaps", "r");
	char line[512], kind[64];
	unsigned long from, to;
	long sum = 0, value;
	int ours = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = strstr(line, mapping) != NULL;
		else if (ours &&
			 sscanf(line, "%63[^:]: %ld", kind, &value) == 2)
			sum += strcmp(kind, field) ? 0 : value;
	}
	if (file)
		fclose(file);
	return sum;
}

/* Does MAP_POPULATE do anything here? */
static int
populates(void)
{
	unsigned char resident = 0;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (page == MAP_FAILED || mincore(page, size, &resident))
		bail("no page to look at");
	munmap(page, size);
	return resident & 1;
}

static void
fill_page_tables(void)
{
	struct shmring_config config = { .slots = 1024, .slot_size = 1024 };
	struct shmring ring, other;
	char name[64];

	shmring_create(&ring, make_name(name), &config);
	ok(kilobytes(SHMRING_DIRECTORY, "Rss") < 512,
	   "pages are mapped when touched");
	shmring_close(&ring);
	shmring_unlink(name);
	if (!populates()) {
		skip("MAP_POPULATE is accepted, but has no effect");
		return;
	}
	config.flags = SHMRING_PREFAULT;
	shmring_create(&ring, make_name(name), &config);
	ok(kilobytes(SHMRING_DIRECTORY, "Rss") >= 2048, "or at once");
	shmring_close(&ring);
	ring_open(&other, name, 0);
	ok(kilobytes(SHMRING_DIRECTORY, "Rss") >= 2048,
	   "by whoever opens it, too");
	shmring_close(&other);
	shmring_unlink(name);
}

static void
lock_beyond_limit(void *argument)
{
	struct shmring_config config = { .flags = SHMRING_MLOCK };
	struct rlimit none = { 0, 0 };
	struct shmring ring;
	int error;

	(void)argument;
	setrlimit(RLIMIT_MEMLOCK, &none);
	if (geteuid() == 0)
		become_nobody();
	error = shmring_create_memfd(&ring, &config);
	CHILD_CHECK(error == -EPERM || error == -ENOMEM);
}

static void
lock_in_memory(void)
{
	struct shmring_config config = { .flags = SHMRING_MLOCK };
	struct shmring ring;
	char name[64];
	int error;

	error = shmring_create(&ring, make_name(name), &config);
	if (error == -EPERM || error == -ENOMEM) {
		skip("mlock: beyond RLIMIT_MEMLOCK");
	} else {
		is_int(error, 0, "locked in memory");
		ok(kilobytes(SHMRING_DIRECTORY, "Locked") >= 512, "all of it");
		shmring_close(&ring);
		shmring_unlink(name);
	}
	is_int(child_run(lock_beyond_limit, NULL), 0,
	       "beyond the limit: -EPERM or -ENOMEM");
}

/* A kernel that takes any advice heeds none. */
static int
heeds_advice(struct shmring *ring)
{
	return madvise(ring->map.base, ring->map.mapped, 12345) != 0;
}

/* Whether a file of reserved huge pages can be mapped: who plays the kernel may
 * choose an address that does not suit. */
static int
maps_huge_pages(void)
{
	const size_t size = (size_t)2 << 20;
	int fd = (int)syscall(SYS_memfd_create, "tap",
			      1 | 4 | 21u << 26 /* CLOEXEC, HUGETLB, 2 MiB */);
	void *at = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);
	if (at != MAP_FAILED)
		munmap(at, size);
	if (fd >= 0)
		close(fd);
	return at != MAP_FAILED;
}

static void
use_huge_pages(void)
{
	struct shmring_config config = { .slots = 4096,
					 .slot_size = 1016,
					 .flags = SHMRING_HUGE };
	struct shmring ring;
	int error = shmring_create_memfd(&ring, &config);

	if (error == -EOPNOTSUPP || error == -ENOMEM) {
		skip("transparent huge pages: none for shared memory here");
	} else {
		is_int(error, 0, "transparent huge pages");
		if (heeds_advice(&ring))
			ok(kilobytes("memfd:shmring", "ShmemPmdMapped") > 0,
			   "are mapped");
		else
			skip("madvise() is accepted, but has no effect");
		is_int(push_number(&ring, 1), 0, "and serve");
		is_int(pop_number(&ring), 1, "their purpose");
		shmring_close(&ring);
	}
	config.flags = SHMRING_HUGETLB;
	is_int(shmring_create(&ring, tap_name(), &config), -EDOM,
	       "reserved huge pages are for descriptors only");
	error = shmring_create_memfd(&ring, &config);
	if (error == -ENOMEM) {
		skip("reserved huge pages: none");
	} else if (error == -EINVAL && !maps_huge_pages()) {
		skip("reserved huge pages: cannot be mapped");
	} else {
		is_int(error, 0, "reserved huge pages");
		is_int(push_number(&ring, 1), 0, "serve");
		is_int(pop_number(&ring), 1, "as well");
		shmring_close(&ring);
	}
}

int
main(void)
{
	int before;

	tap_start();
	before = descriptors();
	live_and_die(SHMRING_SPSC);
	live_and_die(SHMRING_MPMC);
	refuse_wrong_names();
	wait_for_the_name();
	if (forks_are_noticed())
		wait_for_the_role();
	else
		skip(NO_WIPE);
	use_what_is_not_open();
	stay_above_stdio();
	meet_what_is_no_ring();
	judge_without_mapping();
	refuse_changed_files();
	meet_strangers();
	refuse_descriptors();
	cut_a_named_ring();
	punch_a_ring(SHMRING_SPSC);
	punch_a_ring(SHMRING_MPMC);
	replace_in_all_cases();
	copy_a_pending_ring();
	create_in_a_crowd(0);
	create_in_a_crowd(SHMRING_REPLACE);
	kill_creators();
	die_while_creating();
	run_out_of_space();
	refuse_more_than_there_is();
	refuse_more_than_the_group_has();
	limit_descriptors();
	fill_page_tables();
	lock_in_memory();
	use_huge_pages();
	is_int(descriptors(), before, "no descriptor is left open");
	return tap_done();
}
