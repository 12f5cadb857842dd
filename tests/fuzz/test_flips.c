/* SPDX-License-Identifier: MIT
 *
 * Description: bits flip while both sides run. A third process flips random
 * bits of header, participants, positions, states and slots of a ring that
 * a producer and a consumer use in every way. They may get errors and wrong
 * data, but never crash, hang, or touch what is not theirs. Every few
 * milliseconds the ring is replaced by a fresh one.
 */
#include "shmring.h"
#include "tap.h"

#define LARGEST 256
#define ROUND_NS 20000000 /* the life of a ring */

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
		if (result == -EBADMSG)
			break;
		if (dice % 1000 == 0)
			shmring_recover(&ring);
	}
	shmring_close(&ring);
	return 0;
}

/* One ring's life; 0 if both sides ended well. */
static int
flip_through(uint32_t mode, uint64_t *flips)
{
	struct shmring_config config = {
		.mode = mode,
		.slots = 16,
		.slot_size = LARGEST,
		.roles = SHMRING_OBSERVER,
	};
	struct shmring base;
	int64_t end = shmring__now() + ROUND_NS;
	int bad = 0;
	pid_t side[2];

	if (shmring_create_memfd(&base, &config))
		return 1;
	uint64_t total = base.geometry.total;
	unsigned char *file =
		(unsigned char *)mmap(NULL, total, PROT_READ | PROT_WRITE,
				      MAP_SHARED, shmring_fd(&base), 0);
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
	while (shmring__now() < end) {
		struct timespec nap = { 0, 100000 };
		uint64_t offset = tap_random() % total;

		/* Half of them where it hurts most. */
		if (tap_random() % 2)
			offset = base.geometry.index + tap_random() % 1024;
		__atomic_fetch_xor(&file[offset % total],
				   (unsigned char)(1u << tap_random() % 8),
				   __ATOMIC_RELAXED);
		++*flips;
		nanosleep(&nap, NULL);
	}
	/* Whoever still sleeps does so for at most 100 us: no hang. */
	for (int i = 0; i < 2; i++)
		bad |= tap_wait(side[i]) != 0;
	munmap(file, total);
	shmring_close(&base);
	return bad;
}

int
main(void)
{
	int64_t end;

	tap_start();
	for (uint32_t mode = 0; mode < 2; mode++) {
		uint64_t flips = 0, rounds = 0, bad = 0;

		end = shmring__now() + 2 * INT64_C(1000000000) * tap_seconds();
		while (shmring__now() < end) {
			bad += (uint64_t)flip_through(mode, &flips);
			rounds++;
		}
		is_int(bad, 0, "%s: %" PRIu64 " rings, %" PRIu64 " flips",
		       mode ? "MPMC" : "SPSC", rounds, flips);
	}
	return tap_done();
}
