/* SPDX-License-Identifier: MIT
 *
 * quickstart - one message from one process to another, by name
 *
 *	cc -O2 -Iinclude examples/quickstart.c -o quickstart && ./quickstart
 */
#include <shmring.h>
#include <sys/wait.h>

static ssize_t
check(ssize_t result)
{
	if (result < 0) {
		fprintf(stderr, "%s\n", shmring_strerror((int)result));
		exit(1);
	}
	return result;
}

int
main(void)
{
	const struct shmring_config config = { .roles = SHMRING_PRODUCER };
	struct shmring ring;
	char text[256];
	ssize_t length;

	if (fork() == 0) { /* the receiver, any process that knows the name */
		check(shmring_open(&ring, "/quickstart", SHMRING_CONSUMER, -1));
		length = check(shmring_pop_wait(&ring, text, sizeof(text), -1));
		printf("received: %.*s\n", (int)length, text);
		return shmring_close(&ring);
	}
	check(shmring_create(&ring, "/quickstart", &config)); /* the sender */
	check(shmring_push_wait(&ring, "hello", 5, -1)); /* -1: for ever */
	check(shmring_flush(&ring, -1)); /* until the receiver has it */
	shmring_close(&ring);
	shmring_unlink("/quickstart");
	return wait(NULL) < 0;
}
