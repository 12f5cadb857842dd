/* SPDX-License-Identifier: MIT
 *
 * consumer - receive and check what examples/producer.c sends
 *
 *	cc -O2 -Iinclude examples/consumer.c -o consumer
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
	fprintf(stderr, "consumer: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

int
main(int argc, char **argv)
{
	struct shmring ring;
	struct message m;
	uint64_t count = 0;
	ssize_t n;
	int error;

	if (argc != 2) {
		fprintf(stderr, "usage: consumer /NAME\n");
		return 64;
	}
	error = shmring_open(&ring, argv[1], SHMRING_CONSUMER, -1);
	if (error)
		fail("open", error);
	while ((n = shmring_pop_wait(&ring, &m, sizeof(m), -1)) >= 0) {
		if (n != sizeof(m) || m.number != count ||
		    m.square != count * count)
			fail("content", -EBADMSG);
		count++;
	}
	if (n != -EPIPE) /* which is the end: the producer is gone */
		fail("pop", (int)n);
	printf("received %" PRIu64 " messages, in order\n", count);
	shmring_close(&ring);
	return 0;
}
