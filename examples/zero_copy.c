/* SPDX-License-Identifier: MIT
 *
 * zero_copy - video frames written and read in place, never copied
 *
 *	cc -O2 -Iinclude examples/zero_copy.c -o zero_copy && ./zero_copy
 */
#include <shmring.h>
#include <sys/wait.h>

enum { WIDTH = 1920, HEIGHT = 1080, FRAMES = 60 };

struct frame {
	uint32_t number;
	uint32_t pixels[WIDTH * HEIGHT];
};

static __attribute__((noreturn)) void
fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, shmring_strerror(error));
	exit(1);
}

static void
check(const char *what, int error)
{
	if (error)
		fail(what, error);
}

static int
show(const char *name)
{
	const struct frame *frame;
	struct shmring ring;
	uint32_t shown = 0, i;
	size_t size;

	check("open", shmring_open(&ring, name, SHMRING_CONSUMER, -1));
	while ((frame = shmring_peek_wait(&ring, &size, -1)) != NULL) {
		if (size != sizeof(*frame) || frame->number != shown++)
			fail("frame", -EBADMSG);
		for (i = 0; i < WIDTH * HEIGHT; i++)
			if (frame->pixels[i] != i * frame->number)
				fail("pixel", -EBADMSG);
		check("release",
		      shmring_release(&ring)); /* its place is free */
	}
	if (shmring_error(&ring) != -EPIPE) /* which is the end */
		fail("peek", shmring_error(&ring));
	printf("%u frames of %zu bytes shown\n", shown, sizeof(*frame));
	shmring_close(&ring);
	return shown != FRAMES;
}

int
main(void)
{
	struct shmring_config config = { .roles = SHMRING_PRODUCER };
	int status = 1;
	struct shmring ring;
	struct frame *frame;
	uint32_t i, n;
	char name[32];

	config.slots = 4;
	config.slot_size = sizeof(*frame);
	snprintf(name, sizeof(name), "/zero_copy-%d", (int)getpid());
	check("create", shmring_create(&ring, name, &config));
	if (fork() == 0) { /* whose copy would hide our death from it */
		shmring_close(&ring);
		return show(name);
	}
	for (n = 0; n < FRAMES; n++) {
		frame = shmring_reserve_wait(&ring, sizeof(*frame), -1);
		if (!frame)
			fail("reserve", shmring_error(&ring));
		frame->number = n;
		for (i = 0; i < WIDTH * HEIGHT; i++)
			frame->pixels[i] = i * n;
		check("commit", shmring_commit(&ring, sizeof(*frame)));
	}
	shmring_close(&ring);
	wait(&status);
	shmring_unlink(name);
	return status != 0;
}
