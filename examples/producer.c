/* SPDX-License-Identifier: MIT
 *
 * producer - send numbered messages to examples/consumer.c, an unrelated
 * process that knows the name only; start them in any order
 *
 *	cc -O2 -Iinclude examples/producer.c -o producer
 *	./producer /numbers 1000000 & ./consumer /numbers
 */
#include <shmring.h>
#include <inttypes.h>

struct message {
	uint64_t number, square;
};

static __attribute__((noreturn)) void
fail(const char *what, int error)
{
	fprintf(stderr, "producer: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

int
main(int argc, char **argv)
{
	const struct shmring_config config = {
		.slot_size = sizeof(struct message),
		.roles = SHMRING_PRODUCER,
		/* A ring of that name that is left from a crash is replaced,
		 * one in use is not. */
		.flags = SHMRING_REPLACE,
	};
	struct shmring ring;
	uint64_t count, i;
	int error;

	if (argc != 3) {
		fprintf(stderr, "usage: producer /NAME COUNT\n");
		return 64;
	}
	count = strtoull(argv[2], NULL, 10);
	error = shmring_create(&ring, argv[1], &config);
	if (error)
		fail("create", error);
	for (i = 0; i < count; i++) {
		const struct message m = { i, i * i };

		error = shmring_push_wait(&ring, &m, sizeof(m), -1);
		if (error) /* -EPIPE: the consumer closed, or was killed */
			fail("push", error);
	}
	error = shmring_flush(&ring, -1);
	if (error)
		fail("flush", error);
	printf("sent %" PRIu64 " messages\n", count);
	shmring_close(&ring);
	return shmring_unlink(argv[1]) != 0;
}
