/* SPDX-License-Identifier: MIT
 *
 * Description: bits flip while both sides run. A third process flips random
 * bits of header, participants, positions, states and slots of a ring that
 * a producer and a consumer use in every way. They may get errors and wrong
 * data, but never crash, hang, or touch what is not theirs (guard pages; the
 * address sanitizer under tests/fuzz/run.sh). Every few milliseconds the ring
 * is replaced by a fresh one.
 */
#include "shmring.h"
#include "tap.h"

#define LARGEST 256
#define ROUND_NS 20000000 /* the life of a ring */
#define HANG_NS INT64_C(30000000000) /* beyond that; all waits end in 100 us */
#define REPORT_NS INT64_C(60000000000)

struct sum { /* over all rings of an engine */
	const char *name;
	uint64_t rings, flips, crashed, hung;
};

static void
seed_from(uint64_t seed)
{
	tap.seed = seed;
}

/* Use the ring as producer or consumer until the time is over. */
static int
use(const struct shmring *base, unsigned role, int64_t end)
{
	unsigned char buffer[LARGEST];
	struct shmring ring;
	size_t size;

	if (shmring_dup(&ring, base, role))
		return 0; /* damaged before we came */
	shmring_set_spin(&ring, 1000);
	memset(buffer, 7, sizeof(buffer));
	while (shmring__now() < end) {
		uint64_t dice = tap_random();
		size_t some = dice >> 8 & (LARGEST - 1);
		ssize_t result;
		void *place;
		const void *message;

		if (role == SHMRING_PRODUCER && dice % 3) {
			result = shmring_push_wait(&ring, buffer, some, 100000);
		} else if (role == SHMRING_PRODUCER) {
			place = shmring_reserve_wait(&ring, some, 100000);
			if (place)
				memset(place, 9, some);
			result = place ? shmring_commit(&ring, some)
				       : shmring_error(&ring);
			if (result < 0)
				shmring_abort(&ring);
		} else if (dice % 3) {
			result = shmring_pop_wait(&ring, buffer, sizeof(buffer),
						  100000);
		} else {
			message = shmring_peek_wait(&ring, &size, 100000);
			result = message ? 0 : shmring_error(&ring);
			if (message && size > LARGEST)
				return 1;
			if (message) {
				memcpy(buffer, message, size);
				shmring_release(&ring);
			}
		}
		if (role == SHMRING_CONSUMER && dice % 64 == 0)
			result = shmring_seek(&ring, some & 1 ? SHMRING_OLDEST
							      : SHMRING_NEWEST);
		if (result == -EBADMSG)
			break;
		if (dice % 1000 == 0)
			shmring_recover(&ring);
	}
	shmring_close(&ring);
	return 0;
}

/* Flip a bit, half of them where it hurts most. */
static void
flip(unsigned char *file, const struct shmring__geometry *g)
{
	uint64_t offset = tap_random() % g->total;

	if (tap_random() % 2)
		offset = (g->index + tap_random() % 1024) % g->total;
	__atomic_fetch_xor(&file[offset],
			   (unsigned char)(1u << tap_random() % 8),
			   __ATOMIC_RELAXED);
}

/* Whether it still runs; if not, how it came to its end. */
static int
runs(pid_t side, struct sum *sum)
{
	int status;

	if (waitpid(side, &status, WNOHANG) == 0)
		return 1;
	if (status) {
		sum->crashed++;
		printf("# %s: ended with status %#x\n", sum->name, status);
	}
	return 0;
}

/* As long as a side runs; both come to their ends once the time is over. */
static void
flip_while(pid_t side[2], unsigned char *file,
	   const struct shmring__geometry *g, struct sum *sum, int64_t end)
{
	int left = 3;

	for (int64_t now = shmring__now(); left; now = shmring__now()) {
		struct timespec nap = { 0, 100000 };

		if (now < end) {
			flip(file, g);
			sum->flips++;
		}
		nanosleep(&nap, NULL);
		for (int i = 0; i < 2; i++) {
			if (!(left & 1 << i))
				continue;
			if (now > end + HANG_NS) {
				sum->hung++;
				kill(side[i], SIGKILL);
				tap_wait(side[i]);
				left &= ~(1 << i);
			} else if (!runs(side[i], sum)) {
				left &= ~(1 << i);
			}
		}
	}
}

/* One ring's life. */
static void
flip_through(uint32_t mode, uint32_t flags, uint32_t alignment, struct sum *sum)
{
	struct shmring_config config = {
		.mode = mode,
		.slots = 16,
		.slot_size = LARGEST,
		.flags = flags,
		.alignment = alignment,
		.roles = SHMRING_OBSERVER,
	};
	struct shmring base;
	int64_t end = shmring__now() + ROUND_NS;
	pid_t side[2];

	if (shmring_create_memfd(&base, &config))
		bail("no ring");
	uint64_t total = base.geometry.total;
	unsigned char *file =
		(unsigned char *)mmap(NULL, total, PROT_READ | PROT_WRITE,
				      MAP_SHARED, shmring_fd(&base), 0);
	if (file == MAP_FAILED)
		bail("no mapping");
	for (int i = 0; i < 2; i++) {
		uint64_t seed = tap_random();

		side[i] = tap_fork();
		if (side[i] == 0) {
			seed_from(seed);
			_exit(use(&base,
				  i ? SHMRING_CONSUMER : SHMRING_PRODUCER,
				  end));
		}
	}
	flip_while(side, file, &base.geometry, sum, end);
	munmap(file, total);
	shmring_close(&base);
	sum->rings++;
}

int
main(void)
{
	tap_start();
	static const struct {
		const char *name;
		uint32_t mode, flags, alignment;
	} kinds[] = {
		{ "SPSC", SHMRING_SPSC, 0, 0 },
		{ "MPMC", SHMRING_MPMC, 0, 0 },
		{ "SPSC, placed", SHMRING_SPSC, SHMRING_METERED, 32 },
		{ "MPMC, placed", SHMRING_MPMC, SHMRING_METERED, 32 },
		{ "BROADCAST, gated", SHMRING_BROADCAST, 0, 0 },
		{ "BROADCAST, lossy", SHMRING_BROADCAST, SHMRING_LOSSY, 0 },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct sum sum = { kinds[i].name, 0, 0, 0, 0 };
		int64_t start = shmring__now(), report = start + REPORT_NS;
		int64_t end = start + INT64_C(2000000000) * tap_seconds();

		for (int64_t now = start; now < end; now = shmring__now()) {
			flip_through(kinds[i].mode, kinds[i].flags,
				     kinds[i].alignment, &sum);
			if (now < report)
				continue;
			report += REPORT_NS;
			printf("# %s, %" PRId64 " s: %" PRIu64 " flips\n",
			       sum.name, (now - start) / 1000000000, sum.flips);
		}
		is_int(sum.crashed + sum.hung, 0,
		       "%s: %" PRIu64 " rings, %" PRIu64 " flips, %" PRIu64
		       " crashed, %" PRIu64 " hung",
		       sum.name, sum.rings, sum.flips, sum.crashed, sum.hung);
	}
	return tap_done();
}
