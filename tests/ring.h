/* SPDX-License-Identifier: MIT
 *
 * ring.h - what the tests of shmring share
 */
#ifndef TESTS_RING_H
#define TESTS_RING_H

#include "shmring.h"
#include "tap.h"

#include <sys/wait.h>

#define MILLISECOND INT64_C(1000000)
/* Only what hangs takes so long; the slowest machine does not. */
#define GENEROUS (30 * 1000 * MILLISECOND)

static const char *const mode_name[] = { "SPSC", "MPMC", "BROADCAST" };

/* Of the rings that the helpers below make; 0: as by default. */
static uint32_t ring_alignment, ring_flags;

/* A ring without a name that this process both writes and reads. */
TAP_FUNCTION void
ring_make(struct shmring *ring, uint32_t mode, uint32_t slots,
	  uint32_t slot_size)
{
	struct shmring_config config = { .mode = mode,
					 .slots = slots,
					 .slot_size = slot_size,
					 .flags = ring_flags,
					 .alignment = ring_alignment };
	int error = shmring_create_memfd(ring, &config);

	if (error)
		bail(shmring_strerror(error));
}

TAP_FUNCTION void
ring_open(struct shmring *ring, const char *name, unsigned roles)
{
	int error = shmring_open(ring, name, roles, 0);

	if (error)
		bail(shmring_strerror(error));
}

TAP_FUNCTION void
ring_dup(struct shmring *copy, const struct shmring *ring, unsigned roles)
{
	int error = shmring_dup(copy, ring, roles);

	if (error)
		bail(shmring_strerror(error));
}

/* A small ring without a name, with a handle for each role. */
TAP_FUNCTION void
make_halves(uint32_t mode, struct shmring *writer, struct shmring *reader)
{
	struct shmring_config config = { .mode = mode,
					 .slots = 16,
					 .slot_size = 8,
					 .flags = ring_flags,
					 .alignment = ring_alignment,
					 .roles = SHMRING_PRODUCER };

	if (shmring_create_memfd(writer, &config))
		bail("cannot create a ring");
	ring_dup(reader, writer, SHMRING_CONSUMER);
}

/* Close, and open again: the private positions are read from the segment. */
TAP_FUNCTION void
ring_reopen(struct shmring *ring)
{
	int fd = dup(shmring_fd(ring));
	unsigned roles = ring->self.roles;

	shmring_close(ring);
	if (fd < 0 || shmring_open_fd(ring, fd, roles))
		bail("cannot open the ring again");
	ring->map.pass = fd; /* for the next time */
}

/* Make an empty ring, with one handle on it, look as if so many bytes (SPSC,
 * a multiple of 8) or messages (MPMC) had gone through. */
TAP_FUNCTION void
ring_seed(struct shmring *ring, uint64_t position)
{
	uint32_t slots = ring->geometry.slots;

	*ring->tail = *ring->head = position;
	if (ring->mode == SHMRING_SPSC) {
		*ring->spsc.taken = *shmring__doubtful(ring) = position;
		*shmring__header_at(ring, position) = 0;
	} else {
		for (uint64_t p = position; p < position + slots; p++)
			*shmring__phase_word(ring, p) =
				p / slots * 2 << ring->mpmc.length_bits;
	}
	ring_reopen(ring);
}

/* Bytes that belong to this number and length, and no other. */
TAP_FUNCTION void
message_write(void *to, size_t size, uint64_t number)
{
	unsigned char *bytes = to;
	uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + size;

	for (size_t i = 0; i < size; i++) {
		state = state * UINT64_C(6364136223846793005) + 1;
		bytes[i] = (unsigned char)(state >> 56);
	}
}

TAP_FUNCTION int
message_is(const void *message, size_t size, uint64_t number)
{
	const unsigned char *bytes = message;
	uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + size;

	for (size_t i = 0; i < size; i++) {
		state = state * UINT64_C(6364136223846793005) + 1;
		if (bytes[i] != (unsigned char)(state >> 56))
			return 0;
	}
	return 1;
}

TAP_FUNCTION int
push_number(struct shmring *ring, uint64_t number)
{
	return shmring_push(ring, &number, sizeof(number));
}

/* The number that comes next, or the error. */
TAP_FUNCTION int64_t
pop_number(struct shmring *ring)
{
	int64_t number = 0;
	ssize_t got = shmring_pop(ring, &number, sizeof(number));

	return got == sizeof(number) ? number : got < 0 ? got : INT64_MIN;
}

/* Memory that children share with us. */
TAP_FUNCTION void *
shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail("no shared memory");
	return memory;
}

/* A flag in shared memory, for order between processes. */
TAP_FUNCTION void
flag_raise(int *flag)
{
	__atomic_fetch_add(flag, 1, __ATOMIC_SEQ_CST);
}

TAP_FUNCTION void
flag_await(int *flag, int count)
{
	while (__atomic_load_n(flag, __ATOMIC_SEQ_CST) < count)
		usleep(100);
}

/* In a child, which cannot report: leave with a failure. */
#define CHILD_CHECK(condition)                                            \
	do {                                                              \
		if (!(condition)) {                                       \
			fprintf(stderr, "# child: %s:%d: %s\n", __FILE__, \
				__LINE__, #condition);                    \
			_exit(1);                                         \
		}                                                         \
	} while (0)

/* Run a function in a child; it ends with the function. */
TAP_FUNCTION pid_t
child_start(void (*function)(void *), void *argument)
{
	pid_t child = tap_fork();

	if (child == 0) {
		function(argument);
		_exit(0);
	}
	return child;
}

/* The child's exit status, or minus the signal that ended it. */
TAP_FUNCTION int
child_run(void (*function)(void *), void *argument)
{
	return tap_wait(child_start(function, argument));
}

TAP_FUNCTION void
child_kill(pid_t child)
{
	kill(child, SIGKILL);
	tap_wait(child);
}

#define NO_WIPE "MADV_WIPEONFORK is accepted, but has no effect"

/* Does this kernel (or emulator) do as it says, and wipe the page in a child? */
TAP_FUNCTION int
forks_are_noticed(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	if (page == MAP_FAILED || madvise(page, size, MADV_WIPEONFORK))
		bail("no page to be wiped");
	*page = 1;
	child = tap_fork();
	if (child == 0)
		_exit(*page);
	munmap(page, size);
	return tap_wait(child) == 0;
}

/* How many entries a directory in /proc/self has, or lines a file there. */
TAP_FUNCTION int
descriptors(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/fd");

	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

#endif /* TESTS_RING_H */
