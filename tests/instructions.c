/* SPDX-License-Identifier: MIT
 *
 * instructions.c - messages of a constant size through a ring and back, for
 * instructions.t, which counts the instructions of each function here
 *
 * WAITS: those of SPSC and MPMC have waited in vain before. (Compiled apart:
 * each call more has compilers take others into their callers less.)
 */
#include <shmring.h>

#define MESSAGES 16384 /* as instructions.t knows */
#define BATCH 64
#define ALONE __attribute__((__noinline__))

/* What a message needs beside the ring: it is made, and looked at. */
#define MADE(message) __asm__ volatile("" : : "r"(&(message)) : "memory")

/* Of each engine. (Loops that were the same, compilers would make one of.) */
#define GATED SHMRING_BROADCAST
#define LOSSY 3
#define KINDS 4
static struct shmring writer[KINDS], reader[KINDS];
struct eight {
	uint64_t words[1];
};
struct sixty_four {
	uint64_t words[8];
};

static void
expect(int truth)
{
	if (!truth)
		abort();
}

#define LOOP(name, type, send, receive)                   \
	static ALONE uint64_t name(void)                  \
	{                                                 \
		type in, out;                             \
		uint64_t sum = 0;                         \
		memset(&in, 0, sizeof(in));               \
		memset(&out, 0, sizeof(out));             \
		for (uint64_t i = 0; i < MESSAGES; i++) { \
			in.words[0] = i;                  \
			MADE(in);                         \
			send;                             \
			receive;                          \
			MADE(out);                        \
			sum += out.words[0];              \
		}                                         \
		return sum;                               \
	}
#define PUSH(kind) expect(!shmring_push(&writer[kind], &in, sizeof(in)))
#define POP(kind) \
	expect(shmring_pop(&reader[kind], &out, sizeof(out)) == sizeof(out))

LOOP(loop_alone, struct eight, , )
LOOP(spsc_8, struct eight, PUSH(SHMRING_SPSC), POP(SHMRING_SPSC))
LOOP(spsc_64, struct sixty_four, PUSH(SHMRING_SPSC), POP(SHMRING_SPSC))
LOOP(mpmc_8, struct eight, PUSH(SHMRING_MPMC), POP(SHMRING_MPMC))
LOOP(gated_8, struct eight, PUSH(GATED), POP(GATED))
LOOP(gated_64, struct sixty_four, PUSH(GATED), POP(GATED))
LOOP(lossy_8, struct eight, PUSH(LOSSY), POP(LOSSY))
LOOP(lossy_64, struct sixty_four, PUSH(LOSSY), POP(LOSSY))

static ALONE uint64_t
in_place_8(void)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < MESSAGES; i++) {
		size_t size;
		uint64_t *place =
			(uint64_t *)shmring_reserve(&writer[SHMRING_SPSC], 8);
		expect(place != NULL);
		*place = i;
		expect(shmring_commit(&writer[SHMRING_SPSC], 8) == 0);
		const uint64_t *message = (const uint64_t *)shmring_peek(
			&reader[SHMRING_SPSC], &size);
		expect(message && size == 8);
		sum += *message;
		expect(shmring_release(&reader[SHMRING_SPSC]) == 0);
	}
	return sum;
}

static ALONE uint64_t
batch_8(void)
{
	uint64_t in[BATCH], out[BATCH], sum = 0;
	struct iovec from[BATCH], to[BATCH];
	for (int i = 0; i < BATCH; i++) {
		in[i] = (uint64_t)i;
		from[i].iov_base = &in[i];
		to[i].iov_base = &out[i];
		from[i].iov_len = to[i].iov_len = 8;
	}
	for (uint64_t i = 0; i < MESSAGES; i += BATCH) {
		expect(shmring_push_n(&writer[SHMRING_SPSC], from, BATCH) ==
		       BATCH);
		expect(shmring_pop_n(&reader[SHMRING_SPSC], to, BATCH) ==
		       BATCH);
		sum += out[BATCH - 1];
	}
	return sum;
}

static ALONE uint64_t
array_8(void)
{
	uint64_t in[BATCH], out[BATCH], sum = 0;
	for (int i = 0; i < BATCH; i++)
		in[i] = (uint64_t)i;
	for (uint64_t i = 0; i < MESSAGES; i += BATCH) {
		expect(shmring_push_array(&writer[SHMRING_SPSC], in, 8,
					  BATCH) == BATCH);
		expect(shmring_pop_array(&reader[SHMRING_SPSC], out, 8,
					 BATCH) == BATCH);
		sum += out[BATCH - 1];
	}
	return sum;
}

/* A batch, taken one by one. */
static ALONE uint64_t
unbatched_8(void)
{
	uint64_t in[BATCH], out, sum = 0;
	for (int i = 0; i < BATCH; i++)
		in[i] = (uint64_t)i;
	for (uint64_t i = 0; i < MESSAGES; i += BATCH) {
		expect(shmring_push_array(&writer[SHMRING_SPSC], in, 8,
					  BATCH) == BATCH);
		for (int k = 0; k < BATCH; k++) {
			expect(shmring_pop(&reader[SHMRING_SPSC], &out,
					   sizeof(out)) == sizeof(out));
			sum += out;
		}
	}
	return sum;
}

static void
open_both(uint32_t kind, uint32_t slot_size)
{
	struct shmring_config config = { .mode = kind == LOSSY ? GATED : kind,
					 .slots = 1024,
					 .slot_size = slot_size,
					 .flags = kind == LOSSY ? SHMRING_LOSSY
								: 0,
					 .roles = SHMRING_PRODUCER };
	expect(!shmring_create_memfd(&writer[kind], &config));
	expect(!shmring_open_fd(&reader[kind], shmring_fd(&writer[kind]),
				SHMRING_CONSUMER));
}

#ifdef WAITS
/* Both sides, and sleep. What they ask for costs only until it is clear that
 * they do not sleep any more. */
static void
wait_in_vain(uint32_t kind)
{
	uint64_t message = 0;
	while (!shmring_push_wait(&writer[kind], &message, sizeof(message),
				  2000000))
		;
	while (shmring_pop_wait(&reader[kind], &message, sizeof(message),
				2000000) > 0)
		;
}
#else
#define wait_in_vain(kind) ((void)0)
#endif

int
main(void)
{
	uint64_t all = (uint64_t)MESSAGES * (MESSAGES - 1) / 2;
	open_both(SHMRING_SPSC, 64);
	expect(loop_alone() == 0);
	wait_in_vain(SHMRING_SPSC);
	expect(spsc_8() == all && spsc_64() == all && in_place_8() == all);
	expect(batch_8() == (uint64_t)(BATCH - 1) * (MESSAGES / BATCH));
	expect(array_8() == (uint64_t)(BATCH - 1) * (MESSAGES / BATCH));
	expect(unbatched_8() ==
	       (uint64_t)BATCH * (BATCH - 1) / 2 * (MESSAGES / BATCH));
	open_both(SHMRING_MPMC, 8);
	wait_in_vain(SHMRING_MPMC);
	expect(mpmc_8() == all);
	open_both(GATED, 64);
	expect(gated_8() == all && gated_64() == all);
	open_both(LOSSY, 64);
	expect(lossy_8() == all && lossy_64() == all);
	for (int kind = 0; kind < KINDS; kind++) {
		shmring_close(&reader[kind]);
		shmring_close(&writer[kind]);
	}
	return 0;
}
