/* SPDX-License-Identifier: MIT
 *
 * daemon - wait for messages for ever, and stop cleanly on SIGTERM
 *
 *	cc -O2 -Iinclude examples/daemon.c -o daemon
 *	./daemon /log & ./daemon /log one two three; kill $!
 *
 * Its ring stays: writers fill it while the daemon is away, and the next one
 * goes on where this one stopped.
 */
#include <shmring.h>

static struct shmring ring;

/* The wait under way ends with -ECANCELED, or else the next one does. */
static void
on_sigterm(int number)
{
	(void)number;
	shmring_interrupt(&ring);
}

/* The ring that an earlier one left, or a new one. */
static int
attach(const char *name)
{
	const struct shmring_config config = { .flags = SHMRING_PERSISTENT,
					       .roles = SHMRING_CONSUMER };
	int error = shmring_create(&ring, name, &config);

	if (error == -EEXIST || error == -EOWNERDEAD)
		error = shmring_open(&ring, name, SHMRING_CONSUMER, 0);
	return error;
}

/* What a client does. */
static ssize_t
say(const char *name, char **words, int count)
{
	ssize_t error = shmring_open(&ring, name, SHMRING_PRODUCER, -1);

	for (int i = 0; i < count && !error; i++)
		error = shmring_push_wait(&ring, words[i], strlen(words[i]),
					  -1);
	shmring_close(&ring);
	return error;
}

/* A message that comes after the end stays for the next daemon. */
static ssize_t
serve(const char *name)
{
	struct sigaction action = { .sa_handler = on_sigterm };
	unsigned long messages = 0, bytes = 0;
	char message[256];
	ssize_t length = attach(name);

	sigaction(SIGTERM, &action, NULL);
	while (length >= 0) {
		length = shmring_pop_wait(&ring, message, sizeof(message), -1);
		messages += length >= 0;
		bytes += length >= 0 ? (unsigned long)length : 0;
	}
	shmring_close(&ring);
	printf("stopped: %lu messages, %lu bytes\n", messages, bytes);
	return length == -ECANCELED ? 0 : length;
}

int
main(int argc, char **argv)
{
	ssize_t error;

	if (argc < 2) {
		fprintf(stderr, "usage: daemon /NAME [WORD...]\n");
		return 64;
	}
	error = argc > 2 ? say(argv[1], argv + 2, argc - 2) : serve(argv[1]);
	if (error)
		fprintf(stderr, "daemon: %s\n", shmring_strerror((int)error));
	return error != 0;
}
