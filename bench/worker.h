/* SPDX-License-Identifier: MIT */
/* worker.h - what each participant of a case does in a segment */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "bench.h"

/* Bytes of the bitmap of a worker. */
#define BITS_EACH (VERIFY_MOST / 8 + 4096)

unsigned participants(const struct job *job);
/* The side that is alone makes the object: some give others no choice. */
bool maker_receives(const struct job *job);
/* Whether participant i sends, where none does both. */
bool is_sender(const struct job *job, unsigned i);
/* Wait until *word has the value, giving the CPU away. */
void await(const uint32_t *word, uint32_t value);
/* Count one more who is so far. */
void signal_others(uint32_t *word);
/* Play one segment between its barriers. */
void take_part(struct worker *w, enum segment segment);

#endif
