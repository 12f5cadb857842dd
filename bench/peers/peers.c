/* SPDX-License-Identifier: MIT */
/* peers.c - all peers, in the order of the tables */
#include "peers.h"

const struct mechanism *const peer_mechanisms[] = {
	&peer_cached_apart,
	&peer_cached_together,
	&peer_flagged,
	&peer_records,
	&peer_blocks,
	&peer_vyukov,
	&peer_vyukov_padded,
	&peer_ck_spsc,
	&peer_ck_mpmc,
	&peer_rte_spsc,
	&peer_rte_mpmc,
	&peer_rte_rts,
	&peer_rte_hts,
	&peer_boost_spsc,
	&peer_boost_queue,
	&peer_boost_message_queue,
	&peer_moody_spsc,
	&peer_moody_circular,
	&peer_moody_mpmc,
	&peer_tbb,
	&peer_iceoryx,
	&peer_qb,
	NULL,
};
