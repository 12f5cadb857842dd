/* SPDX-License-Identifier: MIT
 *
 * epoll - one loop that waits for a ring and for a socket
 *
 *	cc -O2 -Iinclude examples/epoll.c -o epoll
 *	./epoll
 *
 * A child sends through both; the loop ends when both have ended.
 */
#include <shmring_poll.h>
#include <sys/socket.h>

#define MESSAGES 1000

static __attribute__((noreturn)) void
fail(const char *what, int error)
{
	fprintf(stderr, "epoll: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

static __attribute__((noreturn)) void
send_both(struct shmring *parents, int socket)
{
	struct shmring ring;

	if (shmring_open_fd(&ring, shmring_fd(parents), SHMRING_PRODUCER))
		_exit(1);
	shmring_close(parents); /* or its death would not be seen */
	for (int i = 0; i < MESSAGES; i++)
		if (shmring_push_wait(&ring, &i, sizeof(i), -1) ||
		    send(socket, &i, sizeof(i), MSG_NOSIGNAL) != sizeof(i))
			_exit(1);
	shmring_close(&ring);
	_exit(0);
}

/* All that is there, then arm: that is the whole contract. 0: the end. */
static int
on_ring(struct shmring *ring, struct shmring_poll *poll, int *count)
{
	ssize_t got;
	int number;

	while ((got = shmring_pop(ring, &number, sizeof(number))) >= 0)
		*count += number == *count;
	if (got != -EAGAIN && got != -EPIPE)
		fail("pop", (int)got);
	shmring_poll_arm(poll);
	return got == -EAGAIN;
}

static int
on_socket(int socket, int *count)
{
	int number;
	ssize_t got = recv(socket, &number, sizeof(number), MSG_DONTWAIT);

	*count += got == sizeof(number) && number == *count;
	return got > 0 || (got < 0 && errno == EAGAIN);
}

static void
watch(int loop, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl", fd < 0 ? fd : -errno);
}

int
main(void)
{
	const struct shmring_config config = { .roles = SHMRING_CONSUMER };
	struct shmring ring;
	struct shmring_poll poll;
	int pair[2], from_ring = 0, from_socket = 0, open = 2;
	int loop = epoll_create1(EPOLL_CLOEXEC);
	int error = shmring_create_memfd(&ring, &config);

	if (error)
		fail("create", error);
	if (loop < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		fail("epoll, socketpair", -errno);
	pid_t child = fork();
	if (child < 0)
		fail("fork", -errno);
	if (child == 0) {
		close(pair[0]);
		send_both(&ring, pair[1]);
	}
	close(pair[1]);
	error = shmring_poll_open(&poll, &ring, SHMRING_CONSUMER);
	if (error)
		fail("poll", error);
	watch(loop, shmring_poll_fd(&poll));
	watch(loop, pair[0]);
	while (open) {
		struct epoll_event event;

		if (epoll_wait(loop, &event, 1, -1) != 1)
			continue;
		int more = event.data.fd == pair[0]
				   ? on_socket(pair[0], &from_socket)
				   : on_ring(&ring, &poll, &from_ring);
		if (!more) {
			epoll_ctl(loop, EPOLL_CTL_DEL, event.data.fd, NULL);
			open--;
		}
	}
	shmring_poll_close(&poll);
	shmring_close(&ring);
	printf("%d from the ring, %d from the socket\n", from_ring,
	       from_socket);
	return 0;
}
