/* SPDX-License-Identifier: MIT
 *
 * supervisor - wait until a worker is there, and start another when it is gone
 *
 *	cc -O2 -Iinclude examples/supervisor.c -o supervisor
 *	./supervisor
 *
 * Some jobs kill the worker. The ring, and what is in it, outlives that.
 */
#include <shmring.h>
#include <sys/wait.h>

#define JOBS 20
#define DEADLY 7 /* each job whose number this divides */
#define SECOND INT64_C(1000000000)

static __attribute__((noreturn)) void
fail(const char *what, int error)
{
	fprintf(stderr, "supervisor: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

/* A job of 0 is the last. */
static __attribute__((noreturn)) void
work(struct shmring *parents)
{
	struct shmring ring;
	uint32_t job = 1;

	if (shmring_open_fd(&ring, shmring_fd(parents), SHMRING_CONSUMER))
		_exit(1);
	shmring_close(parents); /* or its death would not be seen */
	while (shmring_pop_wait(&ring, &job, sizeof(job), -1) > 0 && job)
		if (job % DEADLY == 0)
			kill(getpid(), SIGKILL);
	shmring_close(&ring);
	_exit(job != 0);
}

int
main(void)
{
	const struct shmring_config config = { .flags = SHMRING_PERSISTENT,
					       .roles = SHMRING_PRODUCER };
	struct shmring ring;
	int status, workers = 0;
	int error = shmring_create_memfd(&ring, &config);

	if (error)
		fail("create", error);
	for (uint32_t job = 1; job <= JOBS + 1; job++) {
		uint32_t number = job <= JOBS ? job : 0;

		error = shmring_push(&ring, &number, sizeof(number));
		if (error)
			fail("push", error);
	}
	do {
		pid_t worker = fork();

		if (worker < 0)
			fail("fork", -errno);
		if (worker == 0)
			work(&ring);
		workers++;
		/* It may be through with all that it does before we look. */
		error = shmring_wait_peer(&ring, SHMRING_CONSUMER, SECOND);
		if (error && error != -ETIMEDOUT)
			fail("wait for a worker", error);
		error = shmring_wait_gone(&ring, SHMRING_CONSUMER, -1);
		if (error)
			fail("wait for its end", error);
		if (waitpid(worker, &status, 0) != worker)
			fail("waitpid", -errno);
	} while (status);
	printf("%d workers for %d jobs\n", workers, JOBS);
	shmring_close(&ring);
	return 0;
}
