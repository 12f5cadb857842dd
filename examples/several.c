/* SPDX-License-Identifier: MIT
 *
 * several - wait for messages of several rings at once
 *
 *	cc -O2 -Iinclude examples/several.c -o several
 *	./several
 */
#include <shmring_poll.h>

#define RINGS 3
#define MESSAGES 1000 /* of each */

static __attribute__((noreturn)) void
fail(const char *what, int error)
{
	fprintf(stderr, "several: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

static __attribute__((noreturn)) void
send_all(struct shmring *parents, int which)
{
	struct shmring ring;

	if (shmring_open_fd(&ring, shmring_fd(&parents[which]),
			    SHMRING_PRODUCER))
		_exit(1);
	for (int i = 0; i <= which; i++) /* or its death would not be seen */
		shmring_close(&parents[i]);
	for (int i = 0; i < MESSAGES; i++)
		if (shmring_push_wait(&ring, &i, sizeof(i), -1))
			_exit(1);
	shmring_close(&ring);
	_exit(0);
}

/* 0: the end. One message at a time, so that no ring keeps the others back:
 * what is left is ready at the next look. */
static int
take_one(struct shmring *ring, int *count)
{
	int number;
	ssize_t got = shmring_pop(ring, &number, sizeof(number));

	if (got < 0 && got != -EAGAIN && got != -EPIPE)
		fail("pop", (int)got);
	*count += got >= 0;
	return got != -EPIPE;
}

int
main(void)
{
	const struct shmring_config config = { .roles = SHMRING_CONSUMER };
	struct shmring ring[RINGS];
	struct shmring_item items[RINGS];
	int count = 0, left = RINGS;

	for (int i = 0; i < RINGS; i++) {
		int error = shmring_create_memfd(&ring[i], &config);

		if (error)
			fail("create", error);
		items[i] =
			(struct shmring_item){ &ring[i], SHMRING_CONSUMER, 0 };
		pid_t child = fork();
		if (child < 0)
			fail("fork", -errno);
		if (child == 0)
			send_all(ring, i);
	}
	while (left) {
		int ready = shmring_wait_several(items, (size_t)left, -1);

		if (ready < 0)
			fail("wait", ready);
		for (int i = left - 1; i >= 0; i--)
			if (items[i].ready && !take_one(items[i].ring, &count))
				items[i] = items[--left];
	}
	for (int i = 0; i < RINGS; i++)
		shmring_close(&ring[i]);
	printf("%d messages from %d rings\n", count, RINGS);
	return 0;
}
