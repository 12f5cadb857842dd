/* SPDX-License-Identifier: MIT
 *
 * From the ring to the stream, each message once and in order.
 *
 * A message leaves the ring when the server has acknowledged it; so whoever is
 * killed, it is in the ring, in the stream, or in both. What is under way is
 * sent in packs (shmbridge_pack.h): a few at a time, and what comes to the ring
 * meanwhile gathers for the next. Two headers keep a pack from being stored
 * twice, or before another one:
 *
 *	Nats-Expected-Last-Sequence: N	the server stores the pack as number
 *		N + 1 or refuses it. So those under way form a chain: if one is
 *		lost, all behind it are refused; and a copy that a dead
 *		connection delivers late finds its place taken, however late.
 *	Nats-Msg-Id: RING-FIRST-LAST	says what it is, by positions. After
 *		any doubt (a start, a reconnect, a refusal) we ask for the last
 *		pack of the stream: what is in it up to there is released
 *		unsent, and the chain starts anew behind it. Within its window
 *		the server also recognises duplicates by this header; that is
 *		one more doubt, for what else was in it we do not know.
 *
 * As each acknowledgement tells of all before, few are asked for.
 *
 * A stream has room for max_bytes. The server is not trusted with that: before
 * 2.10.5 it compares the message without its own record, takes one too many, and
 * removes the oldest for it, read or not; and so with each that follows. So we
 * count ourselves, and send nothing that it might not have room for.
 *
 * MPMC: a handle holds one message, so there are several handles. Positions are
 * in order only as long as nobody dies, so that the last pack of the stream does
 * not tell of the others: as many are looked at as there are handles. What a
 * dead bridge had in hands comes before all else, once it has been recovered.
 */

#define WINDOW 8192 /* messages in our hands, at most */
#define WINDOW_BYTES (8 << 20) /* under way; the last pack may exceed it */
#define HANDLES TOLD /* MPMC: messages in our hands */
#define PACKS 256 /* under way */
#define FEW 4 /* are under way: one that is not full waits for an answer */
#define ACKNOWLEDGE 64 /* ask after so many packs, or so many bytes */
#define ACKNOWLEDGE_BYTES (256 << 10)
#define TELL_NS INT64_C(10000000000) /* that it is full: not more often */
#define ANSWER_NS INT64_C(5000000000) /* no answer for so long: doubt */

struct pack { /* under way */
	size_t count, bytes; /* of messages */
	uint64_t room; /* in the stream, at most */
};

struct out {
	struct bridge *b;
	struct shmring *rings; /* SPSC: one handle; MPMC: HANDLES of them */
	unsigned handles;
	int mpmc;
	struct shmring *order[HANDLES]; /* MPMC: whose held[i] is, then free */
	char id[33];
	struct part held[WINDOW]; /* the first `sent` are under way */
	int alone; /* SPSC: held[0] was waited for */
	size_t count, sent;
	struct pack packs[PACKS]; /* in a circle */
	size_t pack, packs_sent; /* the first one; how many */
	size_t most, most_bytes; /* of a pack */
	size_t flying; /* bytes under way */
	size_t unasked, unasked_bytes; /* since an answer was asked for */
	/* packs[pack] becomes, or became, message base + 1 of the stream */
	uint64_t base;
	uint64_t total; /* of the ring's, in the stream and under way */
	unsigned generation; /* of the chain; answers to older ones are void */
	int doubt;
	int probing; /* nothing of this chain has been confirmed */
	unsigned reconnects;
	int64_t heard; /* when the server last answered */
	int64_t patience; /* ms, to wait for an answer beside new messages */
	uint64_t acknowledged; /* last number that the server confirmed */
	/* positions that are in the stream; SPSC: all up to the one */
	uint64_t stored[HANDLES * TOLD], stored_last;
	size_t stored_count;
	uint64_t
		used; /* bytes of the stream, with what is under way, at most */
	int full;
	int64_t told_full; /* when */
	uint64_t refused; /* error code of the last refusal that was told */
	int drained; /* no producer, no message */
	unsigned char body[PACK_BYTES + PACK * PART_HEADER];
};

/* ---- the ring ---- */

/* Take what there is, into the places behind those that we hold, as much as the
 * next pack may want: who follows a dead bridge gets what that had in hands one
 * by one. Positions follow from the first one and the headers. */
static int
fill_spsc(struct out *o)
{
	static _Thread_local struct iovec messages[WINDOW];
	struct shmring *ring = o->rings;
	struct shmring__view any = shmring__any_view(ring, SHMRING__READ);
	size_t most = o->sent + o->most;
	uint64_t position;
	ssize_t n =
		shmring_peek_n(ring, messages, most < WINDOW ? most : WINDOW);

	if (n < 0)
		return (int)n;
	position = shmring_position(ring, SHMRING_CONSUMER);
	for (ssize_t i = 0; i < n; i++) {
		o->held[i].data = messages[i].iov_base;
		o->held[i].size = messages[i].iov_len;
		o->held[i].position = position;
		position = shmring__next_message(
			&any, position, *shmring__header_at(ring, position));
	}
	o->count = (size_t)n;
	return 0;
}

static int
fill_mpmc(struct out *o)
{
	while (o->count < o->handles) {
		struct shmring *ring = o->order[o->count];
		struct part *held = &o->held[o->count];

		held->data = shmring_peek(ring, &held->size);
		if (!held->data)
			return o->count ? 0 : shmring_error(ring);
		held->position = shmring_position(ring, SHMRING_CONSUMER);
		o->count++;
	}
	return 0;
}

/* Give the first of those in our hands back to the ring as read; MPMC: any. */
static void
release(struct out *o, size_t at, size_t count)
{
	struct shmring *done[HANDLES];
	int error = 0;

	if (!o->mpmc) {
		error = shmring_release_n(o->rings, count);
	} else {
		memcpy(done, o->order + at, count * sizeof(*done));
		memmove(o->order + at, o->order + at + count,
			(o->handles - at - count) * sizeof(*done));
		memcpy(o->order + o->handles - count, done,
		       count * sizeof(*done));
		for (size_t i = 0; i < count && !error; i++)
			error = shmring_release(done[i]);
	}
	if (error)
		fail_ring(o->b, error);
	o->alone = 0;
	o->count -= count;
	memmove(o->held + at, o->held + at + count,
		(o->count - at) * sizeof(*o->held));
}

/* Sleep in the ring until there is a message. As no call waits for a second
 * one, it goes alone, and what comes meanwhile follows when it is answered. */
static int
await_message(struct out *o)
{
	struct shmring *ring = o->rings;

	if (o->mpmc)
		ring = o->order[0];
	o->held[0].data = shmring_peek_wait(ring, &o->held[0].size, TICK_NS);
	if (!o->held[0].data)
		return shmring_error(ring);
	o->held[0].position = shmring_position(ring, SHMRING_CONSUMER);
	o->count = 1;
	o->alone = 1;
	return 0;
}

/* Is it in the stream already? */
static int
is_stored(const struct out *o, uint64_t position)
{
	if (!o->stored_count || position > o->stored_last)
		return 0;
	if (!o->mpmc)
		return 1;
	for (size_t i = 0; i < o->stored_count; i++)
		if (o->stored[i] == position)
			return 1;
	return 0;
}

static void
close_source(struct out *o)
{
	for (unsigned i = 0; i < o->handles; i++)
		shmring_close(&o->rings[i]);
	close_ring(o->b);
}

static void
open_source(struct out *o)
{
	char id[33] = "";
	unsigned char bytes[16];
	struct shmring_stat stat;

	open_ring(o->b, o->rings, SHMRING_CONSUMER);
	o->order[0] = o->rings;
	o->handles = 1;
	if (atomic_load(&stopping) || shmring_stat(o->rings, &stat))
		return;
	/* Half of the places at most: others want to come, too. */
	while (stat.mode == SHMRING_MPMC && o->handles < HANDLES &&
	       o->handles < stat.participants / 2 &&
	       !shmring_dup(&o->rings[o->handles], o->rings,
			    SHMRING_CONSUMER)) {
		o->order[o->handles] = &o->rings[o->handles];
		o->handles++;
	}
	/* What a predecessor had in hands comes first. */
	if (stat.mode == SHMRING_MPMC)
		shmring_recover(o->rings);
	shmring_id(o->rings, bytes);
	for (int i = 0; i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	o->mpmc = stat.mode == SHMRING_MPMC;
	o->doubt = 1;
	if (strcmp(id, o->id) != 0)
		o->acknowledged = 0; /* of another ring */
	memcpy(o->id, id, sizeof(id));
}

/* The ring is empty and has no producer. The next one may want to replace it,
 * which it cannot while we are attached; so only look from outside. */
static void
await_producer(struct out *o)
{
	close_source(o);
	while (!atomic_load(&stopping) && !has_work(o->b))
		pause_ms(100);
	open_source(o);
}

static void
fill(struct out *o)
{
	int error = -EAGAIN;

	if (o->mpmc)
		error = fill_mpmc(o);
	else if (!o->alone)
		error = fill_spsc(o);
	if (error == -EAGAIN && !o->count)
		error = await_message(o);
	o->drained = error == -EPIPE;
	if (o->drained && !option.once)
		await_producer(o);
	else if (error && error != -EAGAIN && error != -ETIMEDOUT &&
		 error != -EPIPE)
		fail_ring(o->b, error);
}

/* Release unsent what is in the stream. */
static void
drop_stored(struct out *o)
{
	size_t i = o->sent, n;

	while (i < o->count) {
		for (n = 0;
		     i + n < o->count && is_stored(o, o->held[i + n].position);
		     n++)
			;
		if (n)
			release(o, i, n);
		else if (!o->mpmc)
			break; /* positions grow */
		else
			i++;
	}
}

/* ---- the stream ---- */

/* A message of the stream: the next pack, to be number `after` + 1. */
static natsStatus
make_message(struct out *o, const struct pack *pack, uint64_t after, int ask,
	     natsMsg **message)
{
	const struct part *parts = &o->held[o->sent];
	char reply[128], id[80], expected[32], number[32], total[32];
	const void *data = parts->data;
	size_t size = parts->size;
	natsStatus s;
	int length;

	if (ask)
		snprintf(reply, sizeof(reply), "%s.%u.%" PRIu64, o->b->inbox,
			 o->generation, after + 1);
	length =
		snprintf(id, sizeof(id), "%s-%" PRIx64, o->id, parts->position);
	if (pack->count > 1)
		snprintf(id + length, sizeof(id) - (size_t)length, "-%" PRIx64,
			 parts[pack->count - 1].position);
	snprintf(expected, sizeof(expected), "%" PRIu64, after);
	snprintf(number, sizeof(number), "%zu", pack->count);
	snprintf(total, sizeof(total), "%" PRIu64, o->total + pack->count);
	if (pack->count > 1) {
		data = o->body;
		size = 0;
		for (size_t i = 0; i < pack->count; i++)
			size += write_part(o->body + size, &parts[i]);
	}
	s = natsMsg_Create(message, o->b->subject, ask ? reply : NULL, data,
			   (int)size);
	if (s == NATS_OK)
		s = natsMsgHeader_Set(*message, "Nats-Msg-Id", id);
	if (s == NATS_OK)
		s = natsMsgHeader_Set(*message, "Nats-Expected-Last-Sequence",
				      expected);
	if (s == NATS_OK && pack->count > 1)
		s = natsMsgHeader_Set(*message, PACK_HEADER, number);
	if (s == NATS_OK && o->total != UNCOUNTED)
		s = natsMsgHeader_Set(*message, TOTAL_HEADER, total);
	return s;
}

static natsStatus
publish_one(struct out *o, const struct pack *pack, int ask)
{
	natsMsg *message = NULL;
	natsStatus s =
		make_message(o, pack, o->base + o->packs_sent, ask, &message);

	if (s == NATS_OK)
		s = natsConnection_PublishMsg(o->b->connection, message);
	natsMsg_Destroy(message);
	if (s == NATS_MAX_PAYLOAD)
		fail(EX_DATAERR,
		     "%s: a message of %zu bytes is longer than the server's "
		     "max_payload",
		     o->b->name, pack->bytes);
	return s;
}

/* What goes next, if so much is sent already: 1, or 0 for nothing now. One that
 * is not full waits while others are under way: what comes meanwhile joins it.
 * A new chain begins with one pack, answered: if it is refused, then for a
 * reason of its own. */
static int
next_pack(struct out *o, size_t sent, size_t packs, size_t flying,
	  struct pack *pack)
{
	size_t end = sent + o->most < o->count ? sent + o->most : o->count;
	uint64_t most = o->b->bytes_most; /* 0: no limit */
	size_t i = sent;

	o->full = 0;
	if (i == o->count || packs == PACKS || flying >= WINDOW_BYTES ||
	    (o->probing && packs))
		return 0;
	pack->bytes = o->held[i++].size;
	pack->room = STREAM_OVERHEAD + strlen(o->b->subject) + PART_HEADER +
		     pack->bytes;
	if (most && pack->room > most)
		fail(EX_DATAERR,
		     "%s: %zu bytes are more than fit into an empty %s",
		     o->b->name, pack->bytes, o->b->stream);
	for (; i < end; i++) {
		size_t bytes = pack->bytes + o->held[i].size;
		uint64_t room = pack->room + o->held[i].size + PART_HEADER;

		if (bytes > o->most_bytes || (most && room > most / 4))
			break;
		pack->bytes = bytes;
		pack->room = room;
	}
	pack->count = i - sent;
	if (i == o->count && packs >= FEW && pack->count < o->most &&
	    pack->bytes < o->most_bytes)
		return 0;
	o->full = most && o->used + pack->room > most;
	return !o->full;
}

/* Send what we hold, as far as it may go, and ask for an answer to the last one
 * at least. */
static void
publish(struct out *o)
{
	struct pack next, after;
	int more = next_pack(o, o->sent, o->packs_sent, o->flying, &next);

	if (more && !o->sent)
		o->heard = now_ns();
	if (more)
		o->patience = 1;
	while (more) {
		int ask;

		o->used += next.room;
		more = next_pack(o, o->sent + next.count, o->packs_sent + 1,
				 o->flying + next.bytes, &after);
		o->unasked_bytes += next.bytes;
		ask = !more || ++o->unasked >= ACKNOWLEDGE ||
		      o->unasked_bytes >= ACKNOWLEDGE_BYTES;
		if (ask)
			o->unasked = o->unasked_bytes = 0;
		if (publish_one(o, &next, ask) != NATS_OK) {
			o->doubt = 1;
			break;
		}
		o->packs[(o->pack + o->packs_sent++) % PACKS] = next;
		if (o->total != UNCOUNTED)
			o->total += next.count;
		o->sent += next.count;
		o->flying += next.bytes;
		next = after;
	}
}

/* The server has all up to this one. */
static void
acknowledge(struct out *o, uint64_t sequence)
{
	size_t packs = (size_t)(sequence - o->base);
	size_t count = 0, bytes = 0;

	if (sequence <= o->base)
		return;
	if (packs > o->packs_sent) {
		o->doubt = 1; /* not of this server */
		return;
	}
	for (size_t i = 0; i < packs; i++) {
		count += o->packs[(o->pack + i) % PACKS].count;
		bytes += o->packs[(o->pack + i) % PACKS].bytes;
	}
	release(o, 0, count);
	o->base = o->acknowledged = sequence;
	o->probing = 0;
	o->pack += packs;
	o->packs_sent -= packs;
	o->sent -= count;
	o->flying -= bytes;
	atomic_fetch_add(&o->b->messages, count);
	atomic_fetch_add(&o->b->bytes, bytes);
}

/* Nothing is under way, and what we hold has no room in the stream, as far as
 * we know: has any been made? */
static void
await_room(struct out *o)
{
	int64_t now = now_ns();

	if (!o->told_full || now - o->told_full > TELL_NS) {
		say(o->b, "%s: is full: stores nothing for now", o->b->stream);
		o->told_full = now;
	}
	pause_ms(100);
	if (look_at_stream(o->b))
		o->used = o->b->bytes_used;
}

/* The number behind a key of the server's JSON, which has each key once. */
static uint64_t
json_number(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* An answer: {"stream":"S","seq":7}, or an error. */
static void
take_answer(struct out *o, natsMsg *answer)
{
	const char *subject = natsMsg_GetSubject(answer);
	uint64_t code, sequence = 0;
	unsigned generation = 0;
	int twice, misplaced;
	char text[512];

	snprintf(text, sizeof(text), "%.*s", natsMsg_GetDataLength(answer),
		 natsMsg_GetData(answer) ? natsMsg_GetData(answer) : "");
	if (sscanf(subject + strlen(o->b->inbox), ".%u.%" SCNu64, &generation,
		   &sequence) != 2 ||
	    generation != o->generation)
		return; /* of an older chain */
	o->heard = now_ns();
	code = json_number(text, "\"err_code\":");
	twice = strstr(text, "\"duplicate\"") != NULL;
	if (!code && !twice && json_number(text, "\"seq\":") == sequence) {
		acknowledge(o, sequence);
		o->refused = 0;
		return;
	}
	o->doubt = 1;
	/* All behind one that was refused is out of place. Else the first one
	 * says why: it is full, or a message is too long for it, or it is gone.
	 */
	misplaced = twice || code == CODE_WRONG_LAST_SEQUENCE;
	if (misplaced && !o->probing)
		return;
	if (!misplaced && code != o->refused) {
		say(o->b, "%s: stores nothing for now: %s", o->b->stream,
		    *text ? text : "gone, or out of reach");
		o->refused = code;
	}
	pause_ms(100);
}

static void
take_answers(struct out *o)
{
	int64_t wait = o->patience;
	natsMsg *answer;

	if (o->count == WINDOW || o->flying >= WINDOW_BYTES || o->full)
		wait = 100; /* there is nothing else to do */
	answer = next_reply(o->b, wait);
	o->patience = answer ? 1 : wait < 100 ? 2 * wait : 100;
	while (answer) {
		take_answer(o, answer);
		natsMsg_Destroy(answer);
		answer = has_reply(o->b) ? next_reply(o->b, 1) : NULL;
	}
	if (now_ns() - o->heard > ANSWER_NS)
		o->doubt = 1;
}

/* ---- doubt ---- */

/* Note the positions of what is in this message of the stream, if it is of our
 * ring: SPSC, the last of them; MPMC, the last ones. */
static int
note_stored(struct out *o, natsMsg *message)
{
	static _Thread_local struct part parts[PACK];
	size_t most = o->mpmc ? sizeof(o->stored) / sizeof(*o->stored) : 1;
	uint64_t position;
	size_t count;

	if (!read_id(message, o->id, &position))
		return 0;
	count = read_parts(message, parts);
	while (count && o->stored_count < most) {
		position = parts[--count].position;
		o->stored[o->stored_count++] = position;
		if (position > o->stored_last)
			o->stored_last = position;
	}
	return 1;
}

/* MPMC: and those before it, as many as may have been under way at once. */
static natsStatus
note_others(struct out *o, uint64_t sequence)
{
	natsStatus s = NATS_OK;
	int ours = 1;

	for (int i = 1;
	     i < TOLD && ours && s == NATS_OK && --sequence >= o->b->first;
	     i++) {
		natsMsg *message = NULL;

		s = js_GetMsg(&message, o->b->js, o->b->stream, sequence, NULL,
			      NULL);
		if (s == NATS_OK)
			ours = note_stored(o, message);
		natsMsg_Destroy(message);
	}
	return s == NATS_NOT_FOUND ? NATS_OK : s; /* it was purged */
}

/* What does the stream have of ours? Ends the doubt, unless the server cannot
 * tell now. */
static void
ask(struct out *o)
{
	struct bridge *b = o->b;
	natsMsg *message = NULL;
	jsErrCode code = 0;
	natsStatus s;
	uint64_t last;

	o->reconnects = atomic_load(&b->reconnects);
	if (!look_at_stream(b))
		return;
	s = js_GetLastMsg(&message, b->js, b->stream, b->subject, NULL, &code);
	last = b->last;
	o->stored_count = o->stored_last = 0;
	o->total = last ? UNCOUNTED : 0;
	if (s == NATS_OK) {
		o->total = read_total(message);
		/* One of ours may have come since. */
		if (natsMsg_GetSequence(message) > last)
			last = natsMsg_GetSequence(message);
		if (!note_stored(o, message) && o->acknowledged &&
		    natsMsg_GetSequence(message) > o->acknowledged)
			fail(EX_UNAVAILABLE,
			     "%s: another ring's messages come to %s: each "
			     "needs a stream of its own",
			     b->name, b->subject);
		if (o->stored_count && o->mpmc)
			s = note_others(o, natsMsg_GetSequence(message));
		natsMsg_Destroy(message);
	}
	if (s != NATS_OK && s != NATS_NOT_FOUND) {
		may_pass(b, s, code);
		return;
	}
	if (last < o->acknowledged)
		say(b,
		    "%s: the server has lost %" PRIu64
		    " messages that it had confirmed (sync_interval)",
		    b->stream, o->acknowledged - last);
	o->base = last;
	o->acknowledged = o->acknowledged ? last : 0;
	/* What was under way may yet come there. */
	o->used = b->bytes_used;
	while (o->packs_sent)
		o->used += o->packs[(o->pack + --o->packs_sent) % PACKS].room;
	o->sent = o->flying = o->unasked = o->unasked_bytes = 0;
	o->generation++;
	o->doubt = 0;
	o->probing = 1;
	o->heard = now_ns();
}

/* ---- the whole ---- */

/* Wait a moment for answers, so that the next bridge has less to ask. */
static void
finish(struct out *o)
{
	int64_t end = now_ns() + 5 * TICK_NS;

	while (o->sent && !o->doubt && now_ns() < end)
		take_answers(o);
	close_source(o);
	free(o->rings);
	free(o);
}

/* A server may take less than we would send. */
static void
limit_packs(struct out *o)
{
	int64_t most = atomic_load(&stopping)
			       ? 0
			       : natsConnection_GetMaxPayload(o->b->connection);

	o->most = option.pack;
	o->most_bytes = PACK_BYTES;
	if (most < 2 * PACK_BYTES)
		o->most = 1;
}

static void *
run_out(void *argument)
{
	struct out *o = calloc(1, sizeof(*o));

	if (!o)
		fail_ring(argument, -ENOMEM);
	o->b = argument;
	o->rings = calloc(HANDLES, sizeof(*o->rings));
	if (!o->rings)
		fail_ring(o->b, -ENOMEM);
	open_source(o);
	/* Few under way: each must leave at once. Many: let them gather. */
	connect_bridge(o->b, o->mpmc || option.pack > 1);
	limit_packs(o);
	while (!atomic_load(&stopping)) {
		if (atomic_load(&o->b->reconnects) != o->reconnects)
			o->doubt = 1;
		if (o->doubt)
			ask(o);
		if (o->doubt)
			continue;
		if (o->count - o->sent < o->most)
			fill(o);
		if (o->doubt)
			continue; /* another ring */
		drop_stored(o);
		publish(o);
		if (o->sent)
			take_answers(o);
		else if (o->full)
			await_room(o);
		else if (o->drained && option.once)
			break;
	}
	finish(o);
	disconnect_bridge(argument);
	end_bridge();
	return NULL;
}
