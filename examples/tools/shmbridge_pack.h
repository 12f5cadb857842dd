/* SPDX-License-Identifier: MIT
 *
 * Several messages of a ring in one of the stream: a small message costs the
 * server, the library and both bridges what a large one does.
 *
 * A message that goes alone is stored as it is. Several are stored one behind
 * the other, each behind its position in the ring (8 bytes) and its length (4,
 * both with the lowest byte first), and the header Shmring-Messages says how
 * many. Nats-Msg-Id has the position of the first and, if there are several,
 * that of the last. Shmring-Total says how many of the ring's messages the
 * stream has had with these, so that who reads knows how many are to come. It is
 * missing behind a message that has none.
 */

#define PACK 1024 /* messages, at most */
#define PACK_BYTES (64 << 10) /* of them; a longer one goes alone */
#define PACK_HEADER "Shmring-Messages"
#define PART_HEADER 12 /* position and length */
#define TOTAL_HEADER "Shmring-Total"
#define UNCOUNTED UINT64_MAX

/* What the server counts for a message besides what is in it: its own record,
 * our headers, and some more. */
#define STREAM_OVERHEAD 260
#define STREAM_RECORD 30 /* and without what depends on us */

struct part { /* of a message of the stream: one of the ring's */
	const void *data;
	size_t size;
	uint64_t position;
};

static size_t
write_part(unsigned char *to, const struct part *part)
{
	uint32_t size = (uint32_t)part->size;

	memcpy(to, &part->position, 8);
	memcpy(to + 8, &size, 4);
	memcpy(to + PART_HEADER, part->data, size);
	return PART_HEADER + size;
}

/* The position of what begins a message, if it came from this ring (its id in
 * hexadecimal; NULL: from any). */
static int
read_id(natsMsg *message, const char *ring, uint64_t *position)
{
	const char *id = NULL;

	if (natsMsgHeader_Get(message, "Nats-Msg-Id", &id) != NATS_OK ||
	    strlen(id) < 34 || id[32] != '-' ||
	    (ring && strncmp(id, ring, 32) != 0))
		return 0;
	*position = strtoull(id + 33, NULL, 16);
	return 1;
}

static uint64_t
read_total(natsMsg *message)
{
	const char *number = NULL;

	if (natsMsgHeader_Get(message, TOTAL_HEADER, &number) != NATS_OK ||
	    !isdigit((unsigned char)*number))
		return UNCOUNTED;
	return strtoull(number, NULL, 10);
}

/* What is in a message of the stream: how many, or 0 if it is none of ours. */
static size_t
read_parts(natsMsg *message, struct part parts[PACK])
{
	const char *data = natsMsg_GetData(message), *number = NULL;
	size_t size = (size_t)natsMsg_GetDataLength(message), at = 0;
	unsigned long count, n;

	if (natsMsgHeader_Get(message, PACK_HEADER, &number) != NATS_OK) {
		parts->data = data;
		parts->size = size;
		parts->position = 0;
		(void)read_id(message, NULL, &parts->position);
		return 1;
	}
	count = strtoul(number, NULL, 10);
	if (count > PACK)
		return 0;
	for (n = 0; n < count; n++) {
		uint32_t length;

		if (size - at < PART_HEADER)
			return 0;
		memcpy(&parts[n].position, data + at, 8);
		memcpy(&length, data + at + 8, 4);
		at += PART_HEADER;
		if (size - at < length)
			return 0;
		parts[n].data = data + at;
		parts[n].size = length;
		at += length;
	}
	return at == size ? n : 0;
}
