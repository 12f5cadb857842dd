/* SPDX-License-Identifier: MIT */
/*
 * peers.h - what a user would otherwise pick, one small file each.
 *
 * A library that is not installed leaves a mechanism that names the package.
 * C++ files fill theirs in functions, since C++17 has no designated
 * initialisers; what they export is C.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "../mechanism.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct mechanism peer_cached_apart, peer_cached_together;
extern const struct mechanism peer_flagged, peer_records, peer_blocks;
extern const struct mechanism peer_vyukov, peer_vyukov_padded;
extern const struct mechanism peer_qb;
extern const struct mechanism peer_ck_spsc, peer_ck_mpmc;
extern const struct mechanism peer_rte_spsc, peer_rte_mpmc;
extern const struct mechanism peer_rte_rts, peer_rte_hts;
extern const struct mechanism peer_boost_spsc, peer_boost_queue;
extern const struct mechanism peer_boost_message_queue;
extern const struct mechanism peer_moody_spsc, peer_moody_circular;
extern const struct mechanism peer_moody_mpmc;
extern const struct mechanism peer_tbb;
extern const struct mechanism peer_iceoryx;

/** Of rings that find a slot by a mask. */
static inline const char *
peer_masked_refuses(const struct job *job)
{
	return bench_depth_power(job) ? NULL : "the depth is no power of two";
}

/** Let go of what a participant has kept to itself. */
static inline void
peer_leave(struct channel *ch)
{
	free(ch->own);
}

#ifdef __cplusplus
}

/** A mechanism whose library this build lacks. */
static constexpr struct mechanism
peer_missing(const char *name, const char *package)
{
	struct mechanism m = {};

	m.name = name;
	m.summary = "";
	m.missing = package;
	m.caps = CAP_SPIN;
	return m;
}

/** Call use(constant) with the size as a constant, for one that is compiled
 * in: these queues hold elements of a type. */
#define PEER_SIZED(size, use) \
	switch (size) {       \
	case 8:               \
		use(8);       \
		break;        \
	case 16:              \
		use(16);      \
		break;        \
	case 56:              \
		use(56);      \
		break;        \
	case 64:              \
		use(64);      \
		break;        \
	case 256:             \
		use(256);     \
		break;        \
	case 1024:            \
		use(1024);    \
		break;        \
	case 4096:            \
		use(4096);    \
		break;        \
	default:              \
		break;        \
	}

/** Of queues whose element and capacity are part of their type. */
static inline const char *
peer_typed_refuses(const struct job *job)
{
	bool known = false;

#define PEER_KNOWN(n) known = true
	PEER_SIZED(job->size, PEER_KNOWN)
#undef PEER_KNOWN
	return known ? nullptr
		     : "typed: compiled for 8, 16, 56, 64, 256, 1024, 4096 "
		       "bytes";
}

template <size_t size> struct peer_element {
	unsigned char bytes[size];
};
#else
#define PEER_MISSING(id, title, package) \
	const struct mechanism id = {    \
		.name = title,           \
		.summary = "",           \
		.missing = package,      \
		.caps = CAP_SPIN,        \
	}
#endif
#endif
