/* SPDX-License-Identifier: MIT
 *
 * work_queue - jobs for several worker processes, one of which is killed in
 * the middle of its work: what it had in hand goes to another worker
 *
 *	cc -O2 -Iinclude examples/work_queue.c -o work_queue && ./work_queue
 *
 * A worker that peeks and releases when done loses nothing when it is killed;
 * the job may then be done twice, which shmring_redelivered() tells.
 */
#include <shmring.h>
#include <sys/wait.h>

enum { WORKERS = 4, JOBS = 10000 };

static struct board { /* what became of each job, for all to see */
	uint32_t done[JOBS], again, victim_has_one;
} * board;

static int
check(const char *what, int error)
{
	if (error < 0) {
		fprintf(stderr, "%s: %s\n", what, shmring_strerror(error));
		exit(1);
	}
	return error;
}

static int
work(const char *name, int victim)
{
	struct shmring queue;
	const uint32_t *job;
	size_t size;

	check("open", shmring_open(&queue, name, SHMRING_CONSUMER, -1));
	while ((job = shmring_peek_wait(&queue, &size, -1)) != NULL) {
		if (victim) {
			__atomic_store_n(&board->victim_has_one, 1,
					 __ATOMIC_RELAXED);
			pause(); /* work that will never be done */
		}
		if (shmring_redelivered(&queue))
			__atomic_fetch_add(&board->again, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&board->done[*job], 1, __ATOMIC_RELAXED);
		check("release", shmring_release(&queue));
	}
	if (shmring_error(&queue) != -EPIPE) /* which is the end of the jobs */
		check("peek", shmring_error(&queue));
	return shmring_close(&queue);
}

int
main(void)
{
	struct shmring_config config = { .mode = SHMRING_MPMC };
	struct shmring queue;
	uint32_t i, lost = 0;
	pid_t victim = 0;
	char name[32];

	config.roles = SHMRING_PRODUCER;
	snprintf(name, sizeof(name), "/work_queue-%d", (int)getpid());
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		check("mmap", -errno);
	check("create", shmring_create(&queue, name, &config));
	victim = fork();
	if (victim == 0) { /* whose copy would hide our death from it */
		shmring_close(&queue);
		return work(name, 1);
	}
	for (i = 0; i < JOBS; i++) {
		check("push", shmring_push_wait(&queue, &i, sizeof(i), -1));
		while (!__atomic_load_n(&board->victim_has_one,
					__ATOMIC_RELAXED))
			poll(NULL, 0, 1);
		if (i < WORKERS && fork() == 0) {
			shmring_close(&queue);
			return work(name, 0);
		}
		if (i == JOBS / 2)
			kill(victim, SIGKILL);
	}
	shmring_close(&queue); /* no more to come */
	while (wait(NULL) > 0)
		;
	shmring_unlink(name);
	for (i = 0; i < JOBS; i++)
		lost += board->done[i] == 0;
	printf("%d jobs, 1 of %d workers killed: %u lost, %u redelivered\n",
	       JOBS, WORKERS + 1, lost, board->again);
	return lost != 0;
}
