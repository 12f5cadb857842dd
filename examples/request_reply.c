/* SPDX-License-Identifier: MIT
 *
 * request_reply - remote calls over two rings, requests one way, replies the
 * other, told apart by an id; a late reply to a call given up is thrown away
 *
 *	cc -O2 -Iinclude examples/request_reply.c -o request_reply
 *	./request_reply
 */
#include <shmring.h>
#include <inttypes.h>
#include <sys/wait.h>

struct call {
	uint64_t id;
	int64_t number, delay_ms; /* square the number after the delay */
};

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
serve(const char *requests, const char *replies)
{
	struct shmring in, out;
	struct call c;
	ssize_t n;

	check("open", shmring_open(&in, requests, SHMRING_CONSUMER, -1));
	check("open", shmring_open(&out, replies, SHMRING_PRODUCER, -1));
	while ((n = shmring_pop_wait(&in, &c, sizeof(c), -1)) == sizeof(c)) {
		poll(NULL, 0, (int)c.delay_ms);
		c.number *= c.number;
		check("reply", shmring_push_wait(&out, &c, sizeof(c), -1));
	}
	if (n != -EPIPE) /* which is the end: the client is gone */
		check("request", n < 0 ? (int)n : -EBADMSG);
	shmring_close(&in);
	return shmring_close(&out);
}

/* One call; -ETIMEDOUT when no answer came for timeout_ns. */
static int
call(struct shmring *out, struct shmring *in, struct call *c,
     int64_t timeout_ns)
{
	static uint64_t last;
	const uint64_t id = c->id = ++last;
	ssize_t n = shmring_push_wait(out, c, sizeof(*c), timeout_ns);

	do /* an id of the past answers a call that was given up */
		if (n >= 0)
			n = shmring_pop_wait(in, c, sizeof(*c), timeout_ns);
	while (n >= 0 && c->id != id);
	return n < 0 ? (int)n : 0;
}

int
main(void)
{
	const struct shmring_config to = { .roles = SHMRING_PRODUCER },
				    from = { .roles = SHMRING_CONSUMER };
	struct shmring out, in;
	struct call fast = { 0, 12, 0 }, slow = { 0, 5, 300 };
	char requests[32], replies[32];
	int late, status = 0;

	snprintf(requests, sizeof(requests), "/requests-%d", (int)getpid());
	snprintf(replies, sizeof(replies), "/replies-%d", (int)getpid());
	check("create", shmring_create(&out, requests, &to));
	check("create", shmring_create(&in, replies, &from));
	if (fork() == 0) { /* whose copies would hide our death from it */
		shmring_close(&out);
		shmring_close(&in);
		return serve(requests, replies);
	}
	late = call(&out, &in, &slow, 50000000);
	printf("slow call: %s\n", shmring_strerror(late));
	check("call", call(&out, &in, &fast, INT64_C(10000000000)));
	printf("12 * 12 = %" PRId64 "\n", fast.number);
	shmring_close(&out);
	wait(&status);
	shmring_close(&in);
	shmring_unlink(requests);
	shmring_unlink(replies);
	return status || late != -ETIMEDOUT || fast.number != 144;
}
