/* SPDX-License-Identifier: MIT
 *
 * pingpong - how long does a message take to another process and its answer
 * back? Every answer is checked; a reading of the clock (some 20 ns) is part
 * of each time.
 *
 *	cc -O2 -Iinclude examples/pingpong.c -o pingpong
 *	./pingpong [ROUNDS]
 */
#include <shmring.h>
#include <inttypes.h>
#include <sys/wait.h>
#include <time.h>

#define WARM_UP 1000
#define MOST 10000000

static void
check(ssize_t result)
{
	if (result < 0) {
		fprintf(stderr, "%s\n", shmring_strerror((int)result));
		exit(1);
	}
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The other side: answers each number by its complement. */
static int
serve(const char *there, const char *back)
{
	struct shmring in, out;
	uint64_t ball = 0;

	check(shmring_open(&in, there, SHMRING_CONSUMER, -1));
	check(shmring_open(&out, back, SHMRING_PRODUCER, -1));
	while (shmring_pop_wait(&in, &ball, sizeof(ball), -1) > 0) {
		ball = ~ball;
		check(shmring_push_wait(&out, &ball, sizeof(ball), -1));
	}
	shmring_close(&in); /* -EPIPE: the client has ended */
	return shmring_close(&out);
}

static int
by_time(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	const struct shmring_config to = { .roles = SHMRING_PRODUCER };
	const struct shmring_config from = { .roles = SHMRING_CONSUMER };
	const uint64_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	static int64_t took[MOST];
	int64_t last, t;
	struct shmring out, in;
	char there[32], back[32];
	uint64_t i, ball = 0;
	int status = 0;

	if (rounds == 0 || rounds > MOST)
		return fprintf(stderr, "usage: pingpong [ROUNDS]\n"), 64;
	snprintf(there, sizeof(there), "/there-%d", (int)getpid());
	snprintf(back, sizeof(back), "/back-%d", (int)getpid());
	check(shmring_create(&out, there, &to));
	check(shmring_create(&in, back, &from));
	if (fork() == 0) { /* whose copies would hide our death from it */
		shmring_close(&out);
		shmring_close(&in);
		return serve(there, back);
	}
	for (last = 0, i = 0; i < rounds + WARM_UP; i++, last = t) {
		check(shmring_push_wait(&out, &i, sizeof(i), -1));
		check(shmring_pop_wait(&in, &ball, sizeof(ball), -1));
		t = now();
		if (i == 0) { /* both are there, and nobody else is needed */
			shmring_unlink(there);
			shmring_unlink(back);
		}
		if (ball != ~i)
			return fprintf(stderr, "a wrong answer\n"), 1;
		if (i >= WARM_UP)
			took[i - WARM_UP] = t - last;
	}
	shmring_close(&out);
	wait(&status);
	shmring_close(&in);
	qsort(took, rounds, sizeof(*took), by_time);
	printf("%" PRIu64 " round trips, each answer right: "
	       "min %" PRId64 ", median %" PRId64 ", p99 %" PRId64 " ns\n",
	       rounds, took[0], took[rounds / 2], took[rounds * 99 / 100]);
	return status;
}
