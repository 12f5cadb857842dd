/* SPDX-License-Identifier: MIT
 *
 * ticker - prices for whoever listens: one writer that waits for nobody,
 * readers that come, lag and go; and, after kill -9, the last prices
 *
 *	cc -O2 -Iinclude examples/ticker.c -o ticker
 *	./ticker write /prices &
 *	./ticker read /prices 100000	as they come, so many
 *	./ticker lag /prices 100000	too slowly: told what it lost
 *	kill -9 %1
 *	./ticker last /prices		what the dead writer left
 */
#include <shmring.h>
#include <inttypes.h>

struct price {
	uint64_t number, cents;
};

static __attribute__((noreturn)) void
fail(const char *what, int error)
{
	fprintf(stderr, "ticker: %s: %s\n", what, shmring_strerror(error));
	exit(1);
}

static void
write_prices(const char *name)
{
	const struct shmring_config config = {
		.mode = SHMRING_BROADCAST,
		.slots = 4096,
		.slot_size = sizeof(struct price),
		.roles = SHMRING_PRODUCER,
		.flags = SHMRING_LOSSY | SHMRING_REPLACE,
	};
	struct shmring ring;
	struct price price = { 0, 10000 };
	int error = shmring_create(&ring, name, &config);

	if (error)
		fail("create", error);
	for (;; price.number++) { /* never full: nobody is waited for */
		price.cents = 10000 + price.number % 100;
		error = shmring_push(&ring, &price, sizeof(price));
		if (error)
			fail("push", error);
	}
}

/* Read so many, or to the end; the sum of read and lost is what was written
 * between the first price and the last. */
static void
read_prices(const char *name, uint64_t most, int last, int lags)
{
	struct shmring ring;
	struct price price = { 0, 0 };
	uint64_t count = 0, first = 0;
	int error = shmring_open(&ring, name, SHMRING_CONSUMER, -1);

	if (!error && last)
		error = shmring_seek(&ring, SHMRING_OLDEST);
	if (error)
		fail("open", error);
	while (count < most) {
		ssize_t got =
			shmring_pop_wait(&ring, &price, sizeof(price), -1);
		if (got == -EPIPE) /* the writer has left, or is dead */
			break;
		if (got == -ENOBUFS) /* shmring_lost() tells how many */
			continue;
		if (got < 0)
			fail("pop", (int)got);
		if (!count++)
			first = price.number - shmring_lost(&ring);
		if (lags && count % 1000 == 0)
			usleep(10000);
	}
	if (count && price.number - first + 1 != count + shmring_lost(&ring))
		fail("count", -EBADMSG);
	printf("%" PRIu64 " prices in order%s\n", count,
	       shmring_lost(&ring) ? ", some were lost" : "");
	shmring_close(&ring);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (!strcmp(what, "write") && argc == 3)
		write_prices(argv[2]);
	else if (!strcmp(what, "last") && argc == 3)
		read_prices(argv[2], UINT64_MAX, 1, 0);
	else if ((!strcmp(what, "read") || !strcmp(what, "lag")) && argc == 4)
		read_prices(argv[2], strtoull(argv[3], NULL, 10), 0,
			    *what == 'l');
	else
		return fprintf(stderr, "usage: ticker write|last /NAME\n"
				       "       ticker read|lag /NAME COUNT\n"),
		       64;
	return 0;
}
