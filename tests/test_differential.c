/* SPDX-License-Identifier: MIT
 *
 * Description: random operations on a ring and on a plain model of it, and on
 * Concurrency Kit's ck_ring: all must say the same at every step.
 */
#include "ring.h"

#ifdef HAVE_CK
#include <ck_ring.h>
#endif

#define SLOTS 32
#define LARGEST 120
#define WINDOW 1024 /* entries of the model: more than ever fit */

/* What the ring should hold. An aborted MPMC reservation takes up its slot
 * until a reader has come past. */
struct model {
	uint32_t mode;
	uint64_t capacity; /* SPSC: bytes */
	uint64_t used; /* SPSC: bytes, MPMC: slots */
	uint64_t head, tail, pushed, popped;
	struct {
		size_t size;
		uint64_t cost;
		enum { READY, RESERVED, ABORTED } state;
	} entry[WINDOW];
	size_t reserved; /* bytes */
	void *place; /* reserved */
	int reserving, peeking;
};

static uint64_t
model_cost(const struct model *model, size_t size)
{
	uint64_t unit = ring_alignment ? ring_alignment : 8;

	if (model->mode == SHMRING_MPMC)
		return 1;
	/* Beside its header, if the unit has room for both. */
	return size <= unit - 8 ? unit : unit + (size + unit - 1) / unit * unit;
}

static int
model_refusal(const struct model *model, size_t size)
{
	uint64_t need = model_cost(model, size);

	if (model->reserving)
		return -EBUSY;
	if (size > LARGEST)
		return -EMSGSIZE;
	if (model->mode == SHMRING_SPSC)
		need += 8; /* the next header */
	return model->used + need > model->capacity ? -EAGAIN : 0;
}

static void
model_add(struct model *model, size_t size)
{
	model->entry[model->tail % WINDOW].size = size;
	model->entry[model->tail % WINDOW].cost = model_cost(model, size);
	model->entry[model->tail++ % WINDOW].state = READY;
	model->used += model_cost(model, size);
	model->pushed++;
}

static void
model_remove(struct model *model)
{
	model->used -= model->entry[model->head++ % WINDOW].cost;
}

/* What a reader with so large a buffer gets. */
static ssize_t
model_front(struct model *model, size_t limit)
{
	if (model->peeking)
		return -EBUSY;
	while (model->head < model->tail &&
	       model->entry[model->head % WINDOW].state == ABORTED)
		model_remove(model);
	if (model->head == model->tail ||
	    model->entry[model->head % WINDOW].state == RESERVED)
		return -EAGAIN;
	if (model->entry[model->head % WINDOW].size > limit)
		return -EMSGSIZE;
	return (ssize_t)model->entry[model->head % WINDOW].size;
}

static size_t
random_size(void)
{
	return tap_random() % (LARGEST + 2);
}

/* Each returns how much was wrong. Messages are numbered by their entry. */
static int
try_push(struct shmring *ring, struct model *model)
{
	unsigned char message[LARGEST + 1];
	size_t size = random_size();
	int expected = model_refusal(model, size);

	message_write(message, size, model->tail);
	if (!expected)
		model_add(model, size);
	return shmring_push(ring, message, size) != expected;
}

static int
try_pop(struct shmring *ring, struct model *model)
{
	unsigned char message[LARGEST + 1];
	size_t limit = tap_random() % 4 ? LARGEST : random_size();
	ssize_t expected = model_front(model, limit);
	ssize_t got = shmring_pop(ring, message, limit);

	if (got != expected)
		return 1;
	if (got < 0)
		return 0;
	model->popped++;
	model_remove(model);
	return !message_is(message, (size_t)got, model->head - 1);
}

static int
try_push_n(struct shmring *ring, struct model *model)
{
	unsigned char messages[8][LARGEST + 1];
	struct iovec batch[8];
	ssize_t expected = 0;
	size_t count = tap_random() % 9;

	for (size_t i = 0; i < count; i++) {
		batch[i] = (struct iovec){ messages[i], random_size() };
		message_write(messages[i], batch[i].iov_len, model->tail + i);
	}
	while ((size_t)expected < count) {
		int refusal = model_refusal(model, batch[expected].iov_len);

		if (refusal) {
			expected = expected ? expected : refusal;
			break;
		}
		model_add(model, batch[expected++].iov_len);
	}
	return shmring_push_n(ring, batch, count) != expected;
}

static int
try_pop_n(struct shmring *ring, struct model *model)
{
	unsigned char messages[8][LARGEST + 1];
	struct iovec batch[8];
	size_t count = tap_random() % 9, limit[8];
	ssize_t got, expected = 0;
	int wrong = 0;

	for (size_t i = 0; i < count; i++) {
		limit[i] = tap_random() % 8 ? LARGEST : random_size();
		/* cppcheck-suppress legacyUninitvar ; only its address */
		batch[i] = (struct iovec){ messages[i], limit[i] };
	}
	got = shmring_pop_n(ring, batch, count);
	for (size_t i = 0; i < count; i++) {
		ssize_t size = model_front(model, limit[i]);

		if (size < 0) {
			expected = i ? expected : size;
			break;
		}
		expected++;
		wrong += batch[i].iov_len != (size_t)size ||
			 !message_is(messages[i], (size_t)size, model->head);
		model->popped++;
		model_remove(model);
	}
	return wrong + (got != expected);
}

/* So many messages have one header: all but the last one free only their part
 * of a position. */
static void
model_add_run(struct model *model, size_t size, uint64_t count)
{
	uint64_t bytes = 8 + count * ((size + 7) / 8 * 8);

	for (uint64_t i = 1; i <= count; i++) {
		uint64_t cost = i < count ? 1 : bytes - (count - 1);

		model->used += cost;
		model->used -= model_cost(model, size);
		model_add(model, size);
		model->entry[(model->tail - 1) % WINDOW].cost = cost;
	}
}

#define MOST 20 /* messages in an array */

static int
try_push_array(struct shmring *ring, struct model *model)
{
	unsigned char messages[MOST * (LARGEST + 2)];
	size_t size = random_size(), count = tap_random() % (MOST + 1);
	uint64_t at = shmring_position(ring, SHMRING_PRODUCER);
	int refusal = count ? model_refusal(model, size) : 0, wrong = 0;
	int runs = model->mode == SHMRING_SPSC && !ring_alignment;
	ssize_t done;

	for (size_t i = 0; i < count; i++)
		message_write(messages + i * size, size, model->tail + i);
	done = shmring_push_array(ring, messages, size, count);
	if (done <= 0)
		return done != refusal;
	for (ssize_t n = 0; n < done;) {
		uint64_t many = 1;

		if (runs)
			many += *shmring__header_at(ring, at) >> 32;
		/* As many as eight, as long as they last. */
		wrong += many > 8 || n + (ssize_t)many > done ||
			 (size > 64 && many > 1);
		if (many > 1)
			model_add_run(model, size, many);
		else
			model_add(model, size);
		at += 8 + many * ((size + 7) / 8 * 8);
		n += (ssize_t)many;
	}
	/* No more had room. */
	return wrong + (refusal || ((size_t)done < count &&
				    model_refusal(model, size) != -EAGAIN));
}

static int
try_pop_array(struct shmring *ring, struct model *model)
{
	unsigned char messages[MOST * (LARGEST + 2)],
		zeros[LARGEST + 2] = { 0 };
	size_t size = tap_random() % 8 ? LARGEST : random_size();
	size_t count = tap_random() % (MOST + 1);
	ssize_t got, expected = 0;
	int wrong = 0;

	if (tap_random() % 2 && model->head < model->tail)
		size = model->entry[model->head % WINDOW].size;
	memset(messages, 0xff, sizeof(messages));
	got = shmring_pop_array(ring, messages, size, count);
	for (size_t i = 0; i < count; i++) {
		unsigned char *message = messages + i * size;
		ssize_t length = model_front(model, size);

		if (length < 0) {
			expected = i ? expected : length;
			break;
		}
		expected++;
		wrong += !message_is(message, (size_t)length, model->head) ||
			 memcmp(message + length, zeros,
				size - (size_t)length) != 0;
		model->popped++;
		model_remove(model);
	}
	return wrong + (got != expected);
}

static int
try_reserve(struct shmring *ring, struct model *model)
{
	size_t size = random_size();
	int expected = model_refusal(model, size);
	void *place = shmring_reserve(ring, size);

	if (expected)
		return place || shmring_error(ring) != expected;
	model->place = place;
	model->reserving = 1;
	model->reserved = size;
	if (model->mode == SHMRING_MPMC) {
		model_add(model, size);
		model->pushed--; /* not yet */
		model->entry[(model->tail - 1) % WINDOW].state = RESERVED;
	}
	return !place;
}

static int
try_commit(struct shmring *ring, struct model *model)
{
	uint64_t mpmc = model->mode == SHMRING_MPMC;
	uint64_t number = model->tail - mpmc;
	size_t size = random_size();
	int expected = !model->reserving	? -ENOMSG
		       : size > model->reserved ? -EMSGSIZE
						: 0;

	if (!expected) {
		message_write(model->place, size, number);
		model->reserving = 0;
		if (mpmc) {
			model->tail--;
			model->used--;
		}
		model_add(model, size);
	}
	return shmring_commit(ring, size) != expected;
}

static int
try_abort(struct shmring *ring, struct model *model)
{
	shmring_abort(ring);
	if (model->reserving && model->mode == SHMRING_MPMC)
		model->entry[(model->tail - 1) % WINDOW].state = ABORTED;
	model->reserving = 0;
	return 0;
}

static int
try_peek(struct shmring *ring, struct model *model)
{
	ssize_t expected = model_front(model, LARGEST);
	size_t size = 0;
	const void *place = shmring_peek(ring, &size);

	if (expected < 0)
		return place || shmring_error(ring) != expected;
	model->peeking = 1;
	return !place || size != (size_t)expected ||
	       !message_is(place, size, model->head);
}

static int
try_release(struct shmring *ring, struct model *model)
{
	int expected = model->peeking ? 0 : -ENOMSG;

	if (model->peeking) {
		model->peeking = 0;
		model->popped++;
		model_remove(model);
	}
	return shmring_release(ring) != expected;
}

/* Several in place, of which some are released; release ends it. */
static int
try_several(struct shmring *ring, struct model *model)
{
	size_t count = 1 + tap_random() % MOST, kept;
	struct iovec seen[MOST];
	ssize_t n, expected;
	int wrong = 0;

	if (model->mode != SHMRING_SPSC)
		return 0;
	expected = model_front(model, LARGEST);
	n = shmring_peek_n(ring, seen, count);
	if (expected < 0 || n <= 0)
		return n != expected;
	kept = tap_random() % ((size_t)n + 1);
	if ((size_t)n > count ||
	    ((size_t)n < count && model->tail - model->head != (uint64_t)n))
		return 1;
	for (ssize_t i = 0; i < n; i++) {
		uint64_t number = model->head + (uint64_t)i;
		size_t size = model->entry[number % WINDOW].size;

		wrong += seen[i].iov_len != size ||
			 !message_is(seen[i].iov_base, size, number);
	}
	wrong += shmring_release_n(ring, (size_t)n - kept) != 0;
	wrong += kept && shmring_release_n(ring, kept + 1) != -ERANGE;
	wrong += shmring_release(ring) != (kept ? 0 : -ENOMSG);
	wrong += shmring_release(ring) != -ENOMSG;
	for (kept = (size_t)n - kept + (kept != 0); kept > 0; kept--) {
		model->popped++;
		model_remove(model);
	}
	return wrong;
}

static int
try_reopen(struct shmring *ring, struct model *model)
{
	if (!model->peeking && !model->reserving && tap_random() % 64 == 0)
		ring_reopen(ring);
	return 0;
}

static void
agree_with_model(uint32_t mode, uint64_t position)
{
	static const struct {
		int (*step)(struct shmring *, struct model *);
		unsigned share;
	} steps[] = { { try_push, 8 },	     { try_pop, 8 },
		      { try_push_n, 2 },     { try_pop_n, 2 },
		      { try_reserve, 4 },    { try_commit, 4 },
		      { try_abort, 1 },	     { try_peek, 4 },
		      { try_release, 4 },    { try_reopen, 1 },
		      { try_push_array, 2 }, { try_pop_array, 2 },
		      { try_several, 2 } };
	int64_t end = shmring__now() + tap_seconds() * 250 * MILLISECOND;
	struct model model = { .mode = mode };
	struct shmring_stat all;
	struct shmring ring;
	uint64_t count = 0;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, LARGEST);
	ring_seed(&ring, position);
	shmring_stat(&ring, &all);
	model.capacity = all.capacity;
	while (!wrong && (++count % 64 || shmring__now() < end)) {
		/* Phases in which the ring is rather full, or empty. */
		uint64_t phase = count / 4096 % 3;
		uint64_t choice = tap_random() % 44;
		size_t i = 0;

		for (; choice >= steps[i].share; i++)
			choice -= steps[i].share;
		if ((phase == 1 && steps[i].step == try_pop) ||
		    (phase == 2 && steps[i].step == try_push))
			continue;
		wrong += steps[i].step(&ring, &model);
		/* MPMC: what is in hands has left the queue already */
		wrong += shmring_length(&ring) !=
			 model.used - (mode == SHMRING_MPMC && model.peeking);
		if (wrong)
			printf("# step %" PRIu64 ", kind %zu\n", count, i);
	}
	is_int(wrong, 0, "%s from %" PRIu64 ": as the model says",
	       mode_name[mode], position);
	shmring_stat(&ring, &all);
	ok(all.pushed == model.pushed && all.popped == model.popped &&
		   model.pushed > 1000,
	   "%" PRIu64 " messages in %" PRIu64 " steps", model.pushed, count);
	shmring_close(&ring);
}

#ifdef HAVE_CK
static void
agree_with_ck(uint32_t mode)
{
	/* ck_ring holds one less than its size */
	ck_ring_buffer_t *slots = calloc(2 * SLOTS, sizeof(*slots));
	int64_t end = shmring__now() + tap_seconds() * 250 * MILLISECOND;
	uintptr_t pushed = 0, popped = 0;
	struct shmring ring;
	ck_ring_t other;
	int wrong = 0;

	ring_make(&ring, mode, SLOTS, LARGEST);
	ck_ring_init(&other, 2 * SLOTS);
	while (!wrong && shmring__now() < end) {
		unsigned many = (unsigned)(tap_random() % 8);

		for (unsigned i = tap_random() % 2 ? many : 0; i > 0; i--) {
			if (ck_ring_size(&other) == SLOTS)
				break;
			pushed++;
			wrong += push_number(&ring, pushed) != 0;
			wrong +=
				mode == SHMRING_SPSC
					? !ck_ring_enqueue_spsc(&other, slots,
								(void *)pushed)
					: !ck_ring_enqueue_mpmc(&other, slots,
								(void *)pushed);
		}
		if (mode == SHMRING_MPMC && ck_ring_size(&other) == SLOTS)
			wrong += push_number(&ring, 0) != -EAGAIN;
		for (unsigned i = tap_random() % 2 ? many : 0; i > 0; i--) {
			int64_t number = pop_number(&ring);
			uintptr_t theirs = 0;
			int some = mode == SHMRING_SPSC
					   ? ck_ring_dequeue_spsc(&other, slots,
								  &theirs)
					   : ck_ring_dequeue_mpmc(&other, slots,
								  &theirs);

			wrong += number !=
				 (some ? (int64_t)theirs : -(int64_t)EAGAIN);
			popped += some != 0;
		}
	}
	is_int(wrong, 0, "%s: as ck_ring says", mode_name[mode]);
	ok(popped > 1000, "%ju messages", (uintmax_t)popped);
	shmring_close(&ring);
	free(slots);
}
#endif

int
main(void)
{
	tap_start();
	agree_with_model(SHMRING_SPSC, 0);
	agree_with_model(SHMRING_SPSC, UINT64_MAX - 99999);
	agree_with_model(SHMRING_MPMC, 0);
	agree_with_model(SHMRING_MPMC, (UINT64_C(1) << 32) - 9999);
	ring_alignment = 32;
	agree_with_model(SHMRING_SPSC, 0);
	agree_with_model(SHMRING_SPSC, UINT64_MAX - 99999);
	agree_with_model(SHMRING_MPMC, 0);
	ring_alignment = 0;
#ifdef HAVE_CK
	agree_with_ck(SHMRING_SPSC);
	agree_with_ck(SHMRING_MPMC);
#else
	skip("no Concurrency Kit: not compared with ck_ring");
#endif
	return tap_done();
}
