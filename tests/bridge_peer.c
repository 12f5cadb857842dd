/* SPDX-License-Identifier: MIT
 *
 * The programs at both ends of the bridge, for tests/bridge.t.
 *
 *	produce RING ENGINE COUNT RATE SIZE [FLAGS ALIGNMENT]	makes RING,
 *		pushes messages numbered from 0, RATE a second (0: as fast as it
 *		goes), of SIZE bytes or, if that is 0, of 8 to 200; waits until
 *		all are taken
 *	consume RING FIRST END	takes those numbered from FIRST to before END,
 *		and checks them
 *	halfway URL STREAM RING COUNT	does what a bridge has done that dies
 *		before any answer comes: the first half of COUNT messages are
 *		in the stream, all are in the ring
 *	limited URL STREAM BYTES	makes a stream that is full at so many
 *	publish URL COUNT SIZE	the same number to a stream of their own by
 *		the library's own asynchronous call, for comparison
 */
#include <shmring.h>
#include <inttypes.h>
#if HAVE_NATS
#include <nats/nats.h>
#endif

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
sleep_ns(int64_t time)
{
	const struct timespec pause = { time / 1000000000, time % 1000000000 };

	if (time > 0)
		nanosleep(&pause, NULL);
}

static __attribute__((noreturn)) void
fail(const char *what, const char *why)
{
	fprintf(stderr, "bridge_peer: %s: %s\n", what, why);
	exit(1);
}

static size_t
size_of(uint64_t number, size_t size)
{
	return size ? size : 8 + number * 7919 % 193;
}

static void
fill(unsigned char *data, uint64_t number, size_t size)
{
	memcpy(data, &number, 8);
	for (size_t i = 8; i < size; i++)
		data[i] = (unsigned char)(number + i);
}

static int
is_whole(const unsigned char *data, size_t length)
{
	uint64_t number;

	if (length < 8)
		return 0;
	memcpy(&number, data, 8);
	for (size_t i = 8; i < length; i++)
		if (data[i] != (unsigned char)(number + i))
			return 0;
	return 1;
}

static int
produce(char **argument)
{
	uint64_t count = strtoull(argument[2], NULL, 10);
	double rate = strtod(argument[3], NULL);
	size_t size = strtoull(argument[4], NULL, 10);
	struct shmring_config config = {
		.mode = !strcmp(argument[1], "mpmc"),
		.slots = size > 4096 ? 256 : 4096,
		.slot_size = size ? (uint32_t)size : 200,
		.roles = SHMRING_PRODUCER,
		.flags = SHMRING_REPLACE,
	};
	struct shmring ring;
	int64_t start;
	int error;

	if (argument[5] && argument[6]) {
		config.flags |= (uint32_t)atoi(argument[5]);
		config.alignment = (uint32_t)atoi(argument[6]);
	}
	/* The bridge lets go of the ring that there was, when that is empty. */
	while ((error = shmring_create(&ring, argument[0], &config)) == -EBUSY)
		sleep_ns(10000000);
	start = now_ns();
	for (uint64_t i = 0; i < count && !error; i++) {
		unsigned char *place;
		size_t length = size_of(i, size);

		if (rate > 0 && i % 64 == 0)
			sleep_ns(start + (int64_t)((double)i / rate * 1e9) -
				 now_ns());
		/* -EPIPE: the bridge was killed, another one will come. */
		while (!(place = shmring_reserve_wait(&ring, length, -1)) &&
		       (error = shmring_error(&ring)) == -EPIPE)
			sleep_ns(1000000);
		if (!place)
			break;
		error = 0;
		fill(place, i, length);
		while ((error = shmring_commit(&ring, length)) == -EAGAIN ||
		       error == -EPIPE)
			sleep_ns(1000000);
	}
	while (!error && (error = shmring_flush(&ring, -1)) == -EPIPE) {
		sleep_ns(1000000);
		error = 0;
	}
	if (error)
		fail("produce", shmring_strerror(error));
	shmring_close(&ring);
	return 0;
}

static int
consume(char **argument)
{
	uint64_t expected = strtoull(argument[1], NULL, 10);
	uint64_t end = strtoull(argument[2], NULL, 10), count = end - expected;
	uint64_t lost = 0, twice = 0, torn = 0, early = 0, number;
	static unsigned char data[1 << 20];
	struct shmring ring;
	int64_t start = 0;
	ssize_t n = shmring_open(&ring, argument[0], SHMRING_CONSUMER, -1);

	while (n >= 0 && expected < end) {
		n = shmring_pop_wait(&ring, data, sizeof(data), -1);
		if (n == -EPIPE) { /* the bridge was killed */
			n = 0;
			sleep_ns(1000000);
			continue;
		}
		if (n < 0)
			break;
		start = start ? start : now_ns();
		torn += !is_whole(data, (size_t)n);
		memcpy(&number, data, 8);
		if (number >= expected) {
			lost += number - expected;
			expected = number + 1;
		} else if (number + 1 == expected) {
			twice++;
		} else {
			early++;
		}
	}
	if (n < 0)
		fail("consume", shmring_strerror((int)n));
	printf("%" PRIu64 " messages, %" PRIu64 " lost, %" PRIu64
	       " twice, %" PRIu64 " out of order, %" PRIu64 " torn\n",
	       count, lost, twice, early, torn);
	fprintf(stderr, "%.0f\n",
		(double)count * 1e9 / (double)(now_ns() - start));
	shmring_close(&ring);
	return 0;
}

#if HAVE_NATS
static jsCtx *
connect_to(const char *url, const char *stream, const char *subject,
	   int64_t most)
{
	static natsConnection *connection;
	jsCtx *js = NULL;
	jsStreamConfig config;
	natsStatus s = natsConnection_ConnectTo(&connection, url);

	jsStreamConfig_Init(&config);
	config.Name = stream;
	config.Subjects = &subject;
	config.SubjectsLen = 1;
	config.Duplicates = 100000000;
	config.Discard = js_DiscardNew;
	config.MaxBytes = most;
	if (s == NATS_OK)
		s = natsConnection_JetStream(&js, connection, NULL);
	if (s == NATS_OK)
		s = js_AddStream(NULL, js, &config, NULL, NULL);
	if (s != NATS_OK)
		fail(url, natsStatus_GetText(s));
	return js;
}

static int
halfway(char **argument)
{
	size_t count = strtoull(argument[3], NULL, 10);
	char subject[128], name[80];
	unsigned char id[16];
	struct iovec messages[64];
	struct shmring ring;
	jsPubOptions options;
	jsCtx *js;
	uint64_t position;
	natsStatus s = NATS_OK;

	snprintf(subject, sizeof(subject), "shmring.%s", argument[1]);
	js = connect_to(argument[0], argument[1], subject, -1);
	if (shmring_open(&ring, argument[2], SHMRING_CONSUMER, -1) ||
	    shmring_peek_n(&ring, messages, count) != (ssize_t)count)
		fail("halfway", "the messages are not in the ring");
	shmring_id(&ring, id);
	for (int i = 0; i < 16; i++)
		snprintf(name + 2 * i, 3, "%02x", id[i]);
	position = shmring_position(&ring, SHMRING_CONSUMER);
	for (size_t i = 0; i < count / 2 && s == NATS_OK; i++) {
		snprintf(name + 32, 20, "-%" PRIx64, position);
		position += (messages[i].iov_len + 15) & ~UINT64_C(7);
		jsPubOptions_Init(&options);
		options.MsgId = name;
		s = js_Publish(NULL, js, subject, messages[i].iov_base,
			       (int)messages[i].iov_len, &options, NULL);
	}
	if (s != NATS_OK)
		fail("halfway", natsStatus_GetText(s));
	kill(getpid(), SIGKILL);
	return 0;
}

static int
limited(char **argument)
{
	char subject[128];

	snprintf(subject, sizeof(subject), "shmring.%s", argument[1]);
	connect_to(argument[0], argument[1], subject,
		   strtoll(argument[2], NULL, 10));
	return 0;
}

static int
publish(char **argument)
{
	long count = strtol(argument[1], NULL, 10);
	size_t size = strtoull(argument[2], NULL, 10);
	jsCtx *js = connect_to(argument[0], "bare", "bare", -1);
	void *data = calloc(1, size + 1);
	natsStatus s = NATS_OK;
	int64_t start;

	start = now_ns();
	for (long i = 0; i < count && s == NATS_OK; i++)
		s = js_PublishAsync(js, "bare", data, (int)size, NULL);
	if (s == NATS_OK)
		s = js_PublishAsyncComplete(js, NULL);
	if (s != NATS_OK)
		fail("publish", natsStatus_GetText(s));
	fprintf(stderr, "%.0f\n",
		(double)count * 1e9 / (double)(now_ns() - start));
	js_DeleteStream(js, "bare", NULL, NULL);
	free(data);
	return 0;
}
#endif

int
main(int argc, char **argv)
{
	if ((argc == 7 || argc == 9) && !strcmp(argv[1], "produce"))
		return produce(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "consume"))
		return consume(argv + 2);
#if HAVE_NATS
	if (argc == 6 && !strcmp(argv[1], "halfway"))
		return halfway(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "limited"))
		return limited(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "publish"))
		return publish(argv + 2);
#endif
	fail("usage", "see the top of bridge_peer.c");
}
