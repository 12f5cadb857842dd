/* SPDX-License-Identifier: MIT */
/* verify.c - what happens to messages that do not come in sequence */
#include "verify.h"

uint64_t
verify_begin(struct verifier *v, unsigned senders, uint64_t first,
	     uint64_t count)
{
	unsigned i;

	v->senders = senders;
	v->first = first;
	v->count = count;
	v->woken = false;
	v->lost = v->duplicated = v->reordered = v->corrupt = 0;
	for (i = 0; i < senders; i++)
		v->runs[i] = (struct verify_run){
			.expected = verify_word(i, first),
			.start = first,
			.highest = first,
		};
	v->run = &v->runs[0];
	return v->run->expected;
}

/** The index of the next message that would continue the run. */
static uint64_t
next_index(const struct verify_run *run)
{
	return (run->expected * VERIFY_INVERSE - 1) &
	       ((UINT64_C(1) << VERIFY_INDEX_BITS) - 1);
}

/** Enter the run into the bitmap, and begin another. */
static void
flush(struct verifier *v, struct verify_run *run, uint64_t start)
{
	uint64_t sender = (uint64_t)(run - v->runs);
	unsigned char *bits = v->bits + verify_bits_of(sender, v->count);
	uint64_t i = run->start - v->first;
	uint64_t end = next_index(run) - v->first;

	for (; i < end; i++) {
		unsigned char bit = (unsigned char)(1u << (i & 7));

		v->dirty = true;
		if (bits[i / 8] & bit)
			v->duplicated++;
		bits[i / 8] |= bit;
	}
	if (run->highest < next_index(run))
		run->highest = next_index(run);
	run->start = start;
	run->expected = verify_word((unsigned)sender, start);
}

static bool
seen(const struct verifier *v, uint64_t sender, uint64_t index)
{
	uint64_t i = index - v->first;

	return v->bits[verify_bits_of(sender, v->count) + i / 8] >> (i & 7) & 1;
}

uint64_t
verify_other(struct verifier *v, uint64_t expected, uint64_t word)
{
	uint64_t id = word * VERIFY_INVERSE - 1;
	uint64_t sender = id >> VERIFY_INDEX_BITS;
	uint64_t index = id & ((UINT64_C(1) << VERIFY_INDEX_BITS) - 1);

	if (sender >= v->senders || index - v->first >= v->count) {
		v->corrupt++;
		return expected;
	}
	v->run->expected = expected;
	v->run = &v->runs[sender];
	if (word != v->run->expected) {
		flush(v, v->run, index);
		if (index < v->run->highest && !seen(v, sender, index))
			v->reordered++;
	}
	return word + VERIFY_STEP;
}

void
verify_end(struct verifier *v, uint64_t expected, bool only)
{
	unsigned char *bits[1] = { v->bits };
	uint64_t shared = 0; /* with nobody: flush counts repetitions */
	unsigned i;

	v->run->expected = expected;
	for (i = 0; i < v->senders; i++) {
		struct verify_run *run = &v->runs[i];

		if (only && run->start == v->first &&
		    next_index(run) == v->first + v->count)
			continue; /* all of them, in order */
		flush(v, run, v->first);
		if (only)
			verify_merge(bits, 1, i, v->count, &v->lost, &shared);
	}
}

void
verify_merge(unsigned char *const *bits, unsigned receivers, unsigned sender,
	     uint64_t messages, uint64_t *lost, uint64_t *duplicated)
{
	size_t i, base = verify_bits_of(sender, messages);
	uint64_t marked = 0, distinct = 0;
	unsigned r;

	for (i = base; i < base + (messages + 7) / 8; i++) {
		unsigned all = 0;

		for (r = 0; r < receivers; r++) {
			marked += (uint64_t)__builtin_popcount(bits[r][i]);
			all |= bits[r][i];
		}
		distinct += (uint64_t)__builtin_popcount(all);
	}
	*lost += messages - distinct;
	*duplicated += marked - distinct;
}

void
verify_fill_body(void *message, size_t size, size_t from, uint64_t word)
{
	char *p = (char *)message;
	size_t i;

	for (i = from / 8; i < size / 8; i++) {
		uint64_t w = verify_word_at(word, i);

		memcpy(p + i * 8, &w, 8);
	}
}

bool
verify_check_body(const void *message, size_t size, size_t from, uint64_t word)
{
	const char *p = (const char *)message;
	uint64_t wrong = 0;
	size_t i;

	/* The last word is the inverted number, checked already. */
	for (i = from / 8; i + 1 < size / 8; i++) {
		uint64_t w;

		memcpy(&w, p + i * 8, 8);
		wrong |= w ^ verify_word_at(word, i);
	}
	return !wrong;
}
