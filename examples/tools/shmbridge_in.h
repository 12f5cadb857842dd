/* SPDX-License-Identifier: MIT
 *
 * From the stream to the ring, each message once and in order.
 *
 * We are the ring's only producer, so where it is to be written next (its
 * position) follows from what we have pushed. The note, a file beside the ring
 * that is mapped into memory, says which message of the stream goes to which
 * position; that is brought up to date after each push. Whoever is killed in
 * between, its successor reads both: the messages from the noted one on, and the
 * position that the ring really has. What was pushed and not noted is what lies
 * between the two, as many messages as fit there by their lengths.
 *
 * A message of the stream may hold many of the ring's; so the note says also how
 * many of them are in.
 *
 * MPMC: a position there counts claims, not messages; the one that a dead bridge
 * was about to push may or may not be in. So they are pushed one at a time and
 * noted each time, together with the ring's count of pushes. If one was claimed
 * and one was counted since, and it is that message's bytes that stand there,
 * then it is in. Else it is pushed again: nothing is lost, and a kill between the
 * last two steps of a push, a few instructions, brings it twice.
 *
 * After a power cut the ring is gone. So the note also says from which message on
 * the ring's consumer may have read nothing yet: a new ring begins there. Nothing
 * is lost then, and what was read since comes again. Only what lies before is
 * removed from the stream (--purge), once the note is on the disk. A kill needs
 * no write to a disk: what is in the mapping is in the kernel.
 */

#define BATCH 1024 /* messages of the stream asked for at once */
#define BATCH_BYTES (8 << 20) /* or as many of the longest as fit here */
#define PARTS (8 * PACK) /* of them, that go to the ring at once */
#define ASK_S 30 /* the server forgets what we asked for after that */
#define PURGE_NS INT64_C(200000000) /* not more often */

#define NOTE_MAGIC "shmbrdg2"

struct place { /* this message of the stream goes to this position */
	uint64_t sequence, position;
	uint64_t skip; /* from this part of it on */
	uint64_t bytes; /* of the stream before it, since the note began */
	uint64_t pushed; /* MPMC: the ring's count then */
	char id[80]; /* Nats-Msg-Id of the last one that is in, or begun */
};

struct note { /* the file */
	char magic[8];
	int64_t created; /* the stream, ns since 1970 */
	unsigned char ring[16]; /* id */
	uint64_t read; /* all before this message was read from the ring */
	/* all before `old` may be removed; `recent` is to follow, see purge() */
	uint64_t old, recent, recent_bytes;
	uint64_t which; /* of these two is valid */
	struct place at[2];
};

struct in {
	struct bridge *b;
	struct shmring ring;
	int mpmc;
	struct note *note;
	uint64_t next; /* message of the stream to come */
	uint64_t skip; /* so many parts of it are in the ring */
	uint64_t bytes, pushed; /* as in the note */
	/* where the one to come next belongs, while we do not know yet whether
	 * it is in the ring */
	uint64_t walk;
	int walking;
	/* all before this message was read once the reader is at position */
	struct place mark;
	uint64_t purged;
	int64_t purge_time;
	/* what the server sends us */
	char consumer[64];
	unsigned generation, reconnects;
	uint64_t delivered; /* by this consumer, so far */
	unsigned batch, asked; /* asked: still to come */
	int64_t asked_time;
	int stale; /* make a new consumer */
	/* what has come and is not in the ring */
	natsMsg *messages[BATCH];
	uint64_t sequences[BATCH];
	struct iovec data[PARTS];
	struct {
		uint32_t message; /* of these */
		uint32_t number; /* in it */
		int last; /* of it */
	} parts[PARTS];
	size_t messages_count, parts_count;
	uint64_t total; /* of the ring's, up to the last that has come */
};

/* ---- the note ---- */

static __attribute__((noreturn)) void
fail_note(const char *path)
{
	fail(EX_CANTCREAT, "%s: %s (--notes=DIRECTORY)", path, strerror(errno));
}

static void
note_path(const struct bridge *b, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s.note", option.notes, b->name);
}

/* What comes next, and where it goes. A kill between the stores leaves the note
 * that was valid before. */
static void
note_down(struct in *in, uint64_t sequence, uint64_t skip, const char *id)
{
	struct note *note = in->note;
	uint64_t other = 1 - (note->which & 1);
	struct place *place = &note->at[other];

	place->sequence = sequence;
	place->skip = skip;
	place->position = shmring_position(&in->ring, SHMRING_PRODUCER);
	place->bytes = in->bytes;
	place->pushed = in->pushed;
	snprintf(place->id, sizeof(place->id), "%s", id);
	__atomic_store_n(&note->which, other, __ATOMIC_RELEASE);
}

/* How many messages were ever pushed to the ring. */
static uint64_t
count_pushed(const struct in *in)
{
	struct shmring_stat stat;

	return shmring_stat(&in->ring, &stat) ? 0 : stat.pushed;
}

/* The directory, with all above it. */
static void
make_directory(const char *path)
{
	char part[PATH_MAX];

	for (const char *end = path; end;) {
		end = strchr(end + 1, '/');
		snprintf(part, sizeof(part), "%.*s",
			 (int)(end ? (size_t)(end - path) : strlen(path)),
			 path);
		if (mkdir(part, 0700) && errno != EEXIST)
			fail_note(part);
	}
}

/* A file with a first note, which appears whole or not at all. */
static void
make_note(struct in *in, const char *path)
{
	struct note note = { .magic = NOTE_MAGIC, .created = in->b->created };
	char other[PATH_MAX + 8];
	int fd, directory;

	shmring_id(&in->ring, note.ring);
	note.read = note.at[0].sequence = in->b->first ? in->b->first : 1;
	note.recent = note.read;
	note.at[0].pushed = count_pushed(in);
	note.at[0].position = shmring_position(&in->ring, SHMRING_PRODUCER);
	make_directory(option.notes);
	snprintf(other, sizeof(other), "%s.new", path);
	fd = open(other, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, &note, sizeof(note)) != sizeof(note) ||
	    fsync(fd) || rename(other, path))
		fail_note(other);
	close(fd);
	directory = open(option.notes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || fsync(directory))
		fail_note(option.notes);
	close(directory);
}

static void
map_note(struct in *in, const char *path)
{
	struct stat file;
	void *place;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		make_note(in, path);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &file))
		fail_note(path);
	if (file.st_size != sizeof(struct note))
		fail(EX_DATAERR, "%s: not a note of shmbridge", path);
	place = mmap(NULL, sizeof(struct note), PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, 0);
	if (place == MAP_FAILED)
		fail_note(path);
	close(fd);
	in->note = place;
	if (memcmp(in->note->magic, NOTE_MAGIC, 8) != 0)
		fail(EX_DATAERR, "%s: not a note of shmbridge", path);
}

/* Where do we go on? */
static void
read_note(struct in *in)
{
	struct bridge *b = in->b;
	uint64_t position = shmring_position(&in->ring, SHMRING_PRODUCER);
	unsigned char id[16];
	char path[PATH_MAX];

	note_path(b, path);
	map_note(in, path);
	if (in->note->created != b->created)
		fail(EX_DATAERR,
		     "%s: of another stream than %s is now: remove it to begin "
		     "with the stream's first message",
		     path, b->stream);
	shmring_id(&in->ring, id);
	if (memcmp(id, in->note->ring, 16) != 0) {
		/* The id last: until then, this is done again. */
		in->bytes = in->note->recent_bytes;
		in->pushed = count_pushed(in);
		note_down(in, in->note->read, 0, "");
		memcpy(in->note->ring, id, 16);
	}
	in->mark = in->note->at[in->note->which & 1];
	in->next = in->mark.sequence;
	in->skip = in->mark.skip;
	in->bytes = in->mark.bytes;
	in->pushed = in->mark.pushed;
	in->walk = in->mark.position;
	in->walking = in->walk != position;
}

/* A server that was killed, or lost its power, may have less than it had
 * confirmed, and gives the same numbers to other messages: is the last one that
 * we have pushed still the one of that number? 1, or 0 if it cannot tell now. */
static int
check_stream(struct in *in)
{
	const struct place *place = &in->note->at[in->note->which & 1];
	uint64_t last = place->sequence - !place->skip;
	struct bridge *b = in->b;
	natsMsg *message = NULL;
	const char *id = NULL;
	jsErrCode code = 0;
	natsStatus s;
	int same = 0;

	if (!look_at_stream(b))
		return 0;
	if (!place->id[0] || b->first > last)
		return 1; /* nothing to compare, or it has been removed */
	s = js_GetMsg(&message, b->js, b->stream, last, NULL, &code);
	if (s != NATS_OK && s != NATS_NOT_FOUND) {
		may_pass(b, s, code);
		return 0;
	}
	if (s == NATS_OK && !natsMsgHeader_Get(message, "Nats-Msg-Id", &id))
		same = !strcmp(id, place->id);
	natsMsg_Destroy(message);
	if (!same)
		fail(EX_DATAERR,
		     "%s: message %" PRIu64 " is not the one that is in %s: "
		     "the server has lost some that it had confirmed; remove "
		     "the note to begin with the first that there is",
		     b->stream, last, b->name);
	return 1;
}

/* What the ring's consumer has read need not be kept. One mark at a time is
 * enough: when the reader has passed it, the next is where we are now. */
static void
follow_reader(struct in *in)
{
	uint64_t head = shmring_position(&in->ring, SHMRING_CONSUMER);
	struct note *note = in->note;

	if (in->walking || (int64_t)(head - in->mark.position) < 0)
		return;
	note->read = in->mark.sequence;
	if (in->mark.bytes - note->recent_bytes >= BLOCK) {
		/* In this order: after a kill in between, less is removed. */
		__atomic_store_n(&note->old, note->recent, __ATOMIC_RELEASE);
		__atomic_store_n(&note->recent_bytes, in->mark.bytes,
				 __ATOMIC_RELEASE);
		__atomic_store_n(&note->recent, in->mark.sequence,
				 __ATOMIC_RELEASE);
	}
	in->mark = note->at[note->which & 1];
}

/* Remove what was read, but not all: the server writes the file anew where that
 * ends, in place. If it is killed then, all that is in the file is gone, so
 * there must be nothing in it that was not read: up to `old` is removed, and
 * what was read since is longer than such a file. The last ones stay in any
 * case: they tell the other bridge what is in the stream. */
static void
purge(struct in *in)
{
	uint64_t keep = in->note->old;
	int64_t now = now_ns();
	jsOptions options;
	jsErrCode code = 0;
	natsStatus s;

	if (keep + TOLD > in->next)
		keep = in->next > TOLD ? in->next - TOLD : 0;
	if (!option.purge || keep <= in->purged ||
	    in->reconnects != atomic_load(&in->b->reconnects) ||
	    now - in->purge_time < PURGE_NS)
		return;
	in->purge_time = now;
	if (msync(in->note, sizeof(*in->note), MS_SYNC))
		fail_note(option.notes);
	jsOptions_Init(&options);
	options.Stream.Purge.Sequence = keep;
	s = js_PurgeStream(in->b->js, in->b->stream, &options, &code);
	if (s == NATS_OK)
		in->purged = keep;
	else
		may_pass(in->b, s, code);
}

/* ---- the stream ---- */

/* A consumer of the server's that begins with the message to come next. The
 * server forgets it some time after we have gone; it keeps no account of
 * what we have, the note does. */
static void
make_consumer(struct in *in)
{
	struct bridge *b = in->b;
	jsConsumerInfo *info = NULL;
	jsConsumerConfig config;
	jsErrCode code = 0;
	natsStatus s;

	in->reconnects = atomic_load(&b->reconnects);
	in->stale = 1;
	if (!check_stream(in))
		return;
	in->purged = b->first;
	jsConsumerConfig_Init(&config);
	config.DeliverPolicy = js_DeliverByStartSequence;
	config.OptStartSeq = in->next;
	config.AckPolicy = js_AckNone;
	config.InactiveThreshold = 2 * ASK_S * INT64_C(1000000000);
	config.MemoryStorage = true;
	config.Replicas = 1;
	s = js_AddConsumer(&info, b->js, b->stream, &config, NULL, &code);
	if (s != NATS_OK) {
		may_pass(b, s, code);
		return;
	}
	if (in->consumer[0])
		js_DeleteConsumer(b->js, b->stream, in->consumer, NULL, NULL);
	snprintf(in->consumer, sizeof(in->consumer), "%s", info->Name);
	jsConsumerInfo_Destroy(info);
	in->generation++;
	in->delivered = 0;
	in->asked = 0;
	in->stale = 0;
}

/* Ask for a batch, if what was asked for is half there. */
static void
ask_for_more(struct in *in)
{
	char subject[256], reply[96], request[96];
	int64_t now = now_ns();

	/* It should have said so itself, by now. */
	if (now - in->asked_time > (ASK_S + 5) * INT64_C(1000000000))
		in->asked = 0;
	if (in->asked > in->batch / 2)
		return;
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s",
		 in->b->stream, in->consumer);
	snprintf(reply, sizeof(reply), "%s.%u", in->b->inbox, in->generation);
	snprintf(request, sizeof(request),
		 "{\"batch\":%u,\"expires\":%d000000000}",
		 in->batch - in->asked, ASK_S);
	if (natsConnection_PublishRequest(in->b->connection, subject, reply,
					  request,
					  (int)strlen(request)) != NATS_OK)
		in->stale = 1;
	in->asked = in->batch;
	in->asked_time = now;
}

/* No message, but a word of the server's about what we asked for. 404 and 408:
 * nothing came for so long; all else: the consumer is gone, or the server. */
static void
take_status(struct in *in, natsMsg *message)
{
	const char *status = NULL;
	char reply[96];

	snprintf(reply, sizeof(reply), "%s.%u", in->b->inbox, in->generation);
	if (strcmp(natsMsg_GetSubject(message), reply) != 0 ||
	    natsMsgHeader_Get(message, "Status", &status) != NATS_OK)
		return;
	in->asked = 0;
	if (strcmp(status, "404") != 0 && strcmp(status, "408") != 0) {
		in->stale = 1;
		pause_ms(100);
	}
}

/* Each message comes with $JS.ACK[.DOMAIN.ACCOUNT].STREAM.CONSUMER.TIMES.
 * SEQUENCE.DELIVERED.TIME.PENDING[.TOKEN] as reply. */
static int
parse_reply(const char *reply, const char *consumer, uint64_t numbers[2])
{
	const char *token[13];
	int count = 0, at;

	while (reply && count < 13) {
		token[count++] = reply;
		reply = strchr(reply, '.');
		reply += reply != NULL;
	}
	if (count != 9 && count < 11)
		return 0;
	at = count == 9 ? 3 : 5;
	if (strncmp(token[at], consumer, strlen(consumer)) != 0)
		return 0;
	numbers[0] = strtoull(token[at + 2], NULL, 10);
	numbers[1] = strtoull(token[at + 3], NULL, 10);
	return 1;
}

/* What is in it goes behind what we have, but for what is in the ring. */
static void
unpack(struct in *in, natsMsg *message, uint64_t sequence)
{
	static _Thread_local struct part parts[PACK];
	size_t count = read_parts(message, parts), at = in->parts_count;

	if (!count)
		fail(EX_DATAERR, "%s: message %" PRIu64 " is damaged",
		     in->b->stream, sequence);
	for (size_t i = in->skip; i < count; i++, at++) {
		in->data[at].iov_base = (void *)(uintptr_t)parts[i].data;
		in->data[at].iov_len = parts[i].size;
		in->parts[at].message = (uint32_t)in->messages_count;
		in->parts[at].number = (uint32_t)i;
		in->parts[at].last = i + 1 == count;
	}
	in->skip = 0;
	in->parts_count = at;
	in->sequences[in->messages_count] = sequence;
	in->messages[in->messages_count++] = message;
}

/* For the status line: so many of what has come are not in the ring yet. */
static void
tell(struct in *in, size_t left)
{
	struct bridge *b = in->b;

	atomic_store(&b->next, in->next);
	atomic_store(&b->left, left);
	atomic_store(&b->done,
		     in->total == UNCOUNTED ? UNCOUNTED : in->total - left);
}

/* Keep a message: 1. Or it is none, or of an older consumer, or one before it
 * was lost on its way, so that it must come again. */
static int
take_message(struct in *in, natsMsg *message)
{
	const char *reply = natsMsg_GetReply(message);
	uint64_t numbers[2];

	if (!reply) {
		take_status(in, message);
		return 0;
	}
	if (in->stale || !parse_reply(reply, in->consumer, numbers))
		return 0;
	if (numbers[1] != in->delivered + 1) {
		in->stale = 1;
		return 0;
	}
	if (numbers[0] > in->next && in->walking)
		fail(EX_DATAERR,
		     "%s: messages %" PRIu64 " to %" PRIu64 " are gone that "
		     "would tell what is in %s: remove its note to begin anew",
		     in->b->stream, in->next, numbers[0] - 1, in->b->name);
	if (numbers[0] > in->next)
		say(in->b,
		    "%s: messages %" PRIu64 " to %" PRIu64 " were removed "
		    "before they were read",
		    in->b->stream, in->next, numbers[0] - 1);
	if (numbers[0] > in->next)
		in->skip = 0;
	in->delivered++;
	in->asked -= in->asked > 0;
	in->next = numbers[0] + 1;
	unpack(in, message, numbers[0]);
	in->total = read_total(message);
	tell(in, in->parts_count);
	return 1;
}

/* What has come; sleeps for a moment if it is nothing. */
static void
gather(struct in *in)
{
	natsMsg *message = next_reply(in->b, TICK_NS / 1000000);

	in->messages_count = in->parts_count = 0;
	while (message) {
		if (!take_message(in, message))
			natsMsg_Destroy(message);
		message = in->messages_count < BATCH &&
					  in->parts_count <= PARTS - PACK &&
					  has_reply(in->b)
				  ? next_reply(in->b, 1)
				  : NULL;
	}
}

/* ---- the ring ---- */

/* Is the first of these what a dead bridge has pushed, and not noted? MPMC. */
static int
was_pushed(const struct in *in)
{
	const struct place *place = &in->note->at[in->note->which & 1];
	const struct shmring *ring = &in->ring;
	struct shmring__view any = shmring__any_view(ring, SHMRING__WRITE);
	uint64_t next = place->position + 1;

	return shmring_position(ring, SHMRING_PRODUCER) == next &&
	       count_pushed(in) == place->pushed + 1 &&
	       !memcmp(shmring__place(&any,
				      shmring__slot(ring, place->position) + 8,
				      in->data->iov_len),
		       in->data->iov_base, in->data->iov_len) &&
	       shmring_position(ring, SHMRING_PRODUCER) == next;
}

/* How many are in the ring already? */
static size_t
walk(struct in *in)
{
	uint64_t position = shmring_position(&in->ring, SHMRING_PRODUCER);
	struct shmring__view any = shmring__any_view(&in->ring, SHMRING__WRITE);
	size_t i = 0;

	if (in->mpmc && in->walking && in->parts_count) {
		const struct place *place = &in->note->at[in->note->which & 1];

		i = (size_t)was_pushed(in);
		in->pushed = count_pushed(in);
		in->walk = position;
		if (!i)
			note_down(in, place->sequence, place->skip, place->id);
	}
	while (in->walking && i < in->parts_count) {
		if (in->walk == position)
			in->walking = 0;
		else if ((int64_t)(position - in->walk) < 0)
			fail(EX_DATAERR,
			     "%s: somebody else has pushed to it: remove its "
			     "note to begin anew",
			     in->b->name);
		else
			/* as push_n makes them: each with a header */
			in->walk += shmring__record_size(&any,
							 in->data[i++].iov_len);
	}
	in->walking = in->walking && in->walk != position;
	return i;
}

/* These parts are in the ring; note it, unless there may be more of them. */
static void
note_pushed(struct in *in, size_t from, size_t to)
{
	natsMsg *message = NULL;
	const char *id = NULL;
	uint64_t sequence = 0;

	for (size_t i = from; i < to; i++) {
		message = in->messages[in->parts[i].message];
		sequence = in->sequences[in->parts[i].message];
		if (in->parts[i].last)
			in->bytes += STREAM_RECORD +
				     (uint64_t)natsMsg_GetDataLength(message);
	}
	if (!message || in->walking)
		return;
	if (natsMsgHeader_Get(message, "Nats-Msg-Id", &id))
		id = "";
	if (in->parts[to - 1].last)
		note_down(in, sequence + 1, 0, id);
	else
		note_down(in, sequence, in->parts[to - 1].number + 1, id);
}

/* Push as many as go in, from this one on. */
static size_t
push_some(struct in *in, size_t from)
{
	size_t most = in->mpmc ? 1 : in->parts_count - from;
	ssize_t n =
		shmring_push_n_wait(&in->ring, in->data + from, most, TICK_NS);

	if (n == -EPIPE && !is_named(in->b, &in->ring))
		fail(EX_NOINPUT,
		     "%s: removed, and its reader has left: start again for a "
		     "new one",
		     in->b->name);
	if (n == -EPIPE) /* until there is a reader again */
		pause_ms(100);
	else if (n < 0 && n != -ETIMEDOUT)
		fail_ring(in->b, (int)n);
	return n < 0 ? 0 : (size_t)n;
}

/* Push them all, and note it. While the ring is full nothing else is asked
 * for. */
static void
deliver(struct in *in)
{
	size_t done = walk(in), before;

	note_pushed(in, 0, done);
	tell(in, in->parts_count - done);
	while (done < in->parts_count && !atomic_load(&stopping)) {
		before = done;
		done += push_some(in, done);
		in->pushed += done - before;
		note_pushed(in, before, done);
		atomic_fetch_add(&in->b->messages, done - before);
		for (; before < done; before++)
			atomic_fetch_add(&in->b->bytes,
					 in->data[before].iov_len);
		tell(in, in->parts_count - done);
		follow_reader(in);
		purge(in);
	}
	for (size_t i = 0; i < in->messages_count; i++)
		natsMsg_Destroy(in->messages[i]);
}

static void *
run_in(void *argument)
{
	struct in *in = calloc(1, sizeof(*in));
	struct shmring_stat stat;
	uint32_t most;

	if (!in)
		fail_ring(argument, -ENOMEM);
	in->b = argument;
	open_ring(in->b, &in->ring, SHMRING_PRODUCER);
	connect_bridge(in->b, 1);
	while (!in->b->worked && !atomic_load(&stopping))
		look_at_stream(in->b);
	if (atomic_load(&stopping))
		return NULL;
	shmring_stat(&in->ring, &stat);
	in->mpmc = stat.mode == SHMRING_MPMC;
	read_note(in);
	in->total = UNCOUNTED;
	tell(in, 0);
	most = PACK_BYTES + PACK * PART_HEADER;
	most = stat.slot_size > most ? stat.slot_size : most;
	in->batch = BATCH_BYTES / most;
	in->batch = in->batch > BATCH ? BATCH : in->batch < 2 ? 2 : in->batch;
	in->stale = 1;
	while (!atomic_load(&stopping)) {
		if (in->stale ||
		    in->reconnects != atomic_load(&in->b->reconnects))
			make_consumer(in);
		if (in->stale)
			continue;
		ask_for_more(in);
		gather(in);
		deliver(in);
		follow_reader(in);
		purge(in);
	}
	shmring_close(&in->ring);
	close_ring(in->b);
	munmap(in->note, sizeof(*in->note));
	disconnect_bridge(in->b);
	end_bridge();
	free(in);
	return NULL;
}
