/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a segment, in words. Others may be at work meanwhile, so
 * that two words that were read one after the other need not fit together:
 * what counts is what was found three times, some time apart.
 */

#define FINDINGS 32 /* more of them say nothing new */
#define LOOKS 3

struct finding {
	char text[240];
	int seen; /* in so many looks */
};

struct findings {
	struct finding all[FINDINGS];
	int count, look;
};

static __attribute__((format(printf, 2, 3))) void
found(struct findings *f, const char *format, ...)
{
	char text[sizeof(f->all[0].text)];
	va_list arguments;
	int i;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (i = 0; i < f->count && strcmp(f->all[i].text, text) != 0; i++)
		;
	if (i == f->count) {
		if (i == FINDINGS || f->look)
			return; /* a later look confirms only */
		memcpy(f->all[i].text, text, sizeof(text));
		f->all[i].seen = 0;
		f->count++;
	}
	f->all[i].seen = f->look + 1;
}

/* ---- without the mapping: identity, sizes ---- */

static void
check_identity(struct findings *f, const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char is[SOME], should[SOME];

	switch (look->error) {
	case -EPROTO:
		found(f, "not a ring: the magic number \"shmring1\" is not "
			 "there; check the name");
		break;
	case -EPROTOTYPE:
		found(f,
		      "byte order %#x, word size %u: made on another kind "
		      "of machine, or damaged; remove it",
		      h->byte_order, h->word_size);
		break;
	case -EPROTONOSUPPORT:
		found(f,
		      "layout %u, features %#x: this command knows layout "
		      "%u only; use the one of the same version",
		      h->layout, h->features, SHMRING_LAYOUT);
		break;
	case -EBADMSG:
		found(f,
		      "damaged geometry: mode %u, %u slots of %u bytes, %u "
		      "participants, page %" PRIu64 ", capacity %" PRIu64
		      ", total %" PRIu64 " do not fit together; remove it",
		      h->mode, h->slots, h->slot_size, h->participants, h->page,
		      h->capacity, h->total);
		break;
	case -EOVERFLOW:
		found(f,
		      "%s: the file has %s (%" PRId64 " bytes), its header "
		      "says %s (%" PRIu64 "); remove it",
		      (uint64_t)look->file.st_size < h->total
			      ? "truncated"
			      : "grown behind its end",
		      long_bytes(is, (uint64_t)look->file.st_size),
		      look->file.st_size, long_bytes(should, h->total),
		      h->total);
		break;
	default:
		found(f, "cannot be looked at: %s",
		      shmring_strerror(look->error));
		break;
	}
}

static void
check_origin(struct findings *f, const struct look *look)
{
	const struct shmring__header *h = &look->header;
	uint32_t retired = SHMRING__LOAD(&look->ring.header->retired, ACQUIRE);

	if (shmring__other_boot(h))
		found(f, "made before a reboot or on another machine: nobody "
			 "can open it; remove it");
	if (look->file.st_uid != h->creator)
		found(f,
		      "owned by uid %u, made by uid %u: others refuse it; "
		      "chown it back, or remove it",
		      (unsigned)look->file.st_uid, h->creator);
	if (look->file.st_mode & 0022 & ~h->permissions)
		found(f,
		      "permissions %04o, made with %04o: others refuse it; "
		      "chmod %04o",
		      (unsigned)look->file.st_mode & 07777, h->permissions,
		      h->permissions & 07777);
	if (retired == SHMRING__REPLACED)
		found(f, "replaced by another ring: nobody attaches any more; "
			 "shmring clean --all removes it once nobody uses it");
	else if (retired == SHMRING__PENDING || retired == SHMRING__YIELDS)
		found(f,
		      "%s: who replaced it was stopped or killed; the next "
		      "who opens it decides",
		      retired == SHMRING__PENDING ? "not in force yet"
						  : "about to be replaced");
	else if (retired)
		found(f, "damaged: retired is %u; remove it", retired);
}

/* ---- participants, attn ---- */

static void
check_line(struct findings *f, const struct look *look, uint32_t i)
{
	const struct shmring *r = &look->ring;
	struct shmring__line *x = &r->lines[i];
	/* What is shown before the cursor that it must not be beyond. */
	uint64_t intent[2] = { SHMRING__LOAD(&x->intent[0], ACQUIRE),
			       SHMRING__LOAD(&x->intent[1], ACQUIRE) };
	uint64_t status = SHMRING__LOAD(&x->status, ACQUIRE);
	uint32_t state = shmring__state_of(status);
	uint32_t roles = shmring__roles_of(status);

	if ((state != SHMRING__FREE && state != SHMRING__LIVE &&
	     state != SHMRING__RECOV) ||
	    (roles & ~(SHMRING_BOTH | SHMRING__DIED | SHMRING__LEFT)) ||
	    (state == SHMRING__FREE && (roles & SHMRING_BOTH)) ||
	    (state != SHMRING__FREE && !(roles & SHMRING_BOTH)))
		found(f,
		      "participant %u: damaged status %#" PRIx64
		      " (state %u, roles %u); remove the ring",
		      i, status, state, roles);
	else if (state != SHMRING__FREE && r->mode == SHMRING_SPSC &&
		 (roles & SHMRING_BOTH) != shmring__role((int)i))
		found(f,
		      "participant %u: plays the other role's part: "
		      "damaged; remove the ring",
		      i);
	if (r->mode != SHMRING_MPMC || state != SHMRING__LIVE)
		return;
	for (int side = 0; side < 2; side++) {
		uint64_t cursor = SHMRING__LOAD(
			side == SHMRING__READ ? r->head : r->tail, ACQUIRE);
		if (intent[side] != SHMRING__NONE &&
		    shmring__distance(intent[side], cursor) > 0)
			found(f,
			      "participant %u: shows position %" PRIu64
			      " that nobody has come to: damaged; remove "
			      "the ring",
			      i, intent[side]);
	}
}

static void
check_people(struct findings *f, struct look *look)
{
	for (unsigned i = 0; i < look->persons; i++) {
		const struct person *p = &look->people[i];
		if (p->dead)
			found(f,
			      "participant %u: pid %u (%s) is dead and not "
			      "recovered yet: shmring recover %s does it, "
			      "or the next who waits",
			      p->index, p->counts.pid, roles_of(p), look->name);
		else if (!strcmp(p->state, "forked"))
			found(f,
			      "participant %u: pid %u is gone, but a child "
			      "that it forked holds its lock: end that one",
			      p->index, p->counts.pid);
		else if (!strcmp(p->state, "stopped"))
			found(f,
			      "participant %u: pid %u (%s, %s) is stopped: "
			      "kill -CONT %u lets it go on",
			      p->index, p->counts.pid, p->command, roles_of(p),
			      p->counts.pid);
	}
	for (uint32_t i = 0; i < look->ring.geometry.participants; i++)
		check_line(f, look, i);
	if (!look->alive && !look->dead && look->died)
		found(f, "left behind: the last users were killed; shmring "
			 "clean removes it, or open it and go on");
}

static void
check_attn(struct findings *f, const struct look *look)
{
	static const struct {
		uint64_t had, no;
		uint32_t role;
		const char *name;
	} sides[] = { { SHMRING__HAD_PRODUCER, SHMRING__NO_PRODUCER,
			SHMRING_PRODUCER, "producer" },
		      { SHMRING__HAD_CONSUMER, SHMRING__NO_CONSUMER,
			SHMRING_CONSUMER, "consumer" } };
	uint64_t attn = SHMRING__LOAD(&look->ring.notice->attn, ACQUIRE);

	for (int i = 0; i < 2; i++) {
		int here = 0;
		for (unsigned k = 0; k < look->persons; k++)
			here |= (look->people[k].counts.roles &
				 sides[i].role) != 0;
		if ((attn & sides[i].no) && !(attn & sides[i].had))
			found(f,
			      "attn says that the last %s left, but not "
			      "that there ever was one: damaged",
			      sides[i].name);
		if ((attn & sides[i].no) && here)
			found(f,
			      "attn says that the last %s left, but one is "
			      "attached: damaged",
			      sides[i].name);
		if (!(attn & sides[i].had) && here)
			found(f,
			      "a %s is attached, but attn knows of none: "
			      "damaged",
			      sides[i].name);
		if ((attn & sides[i].had) && !(attn & sides[i].no) && !here)
			found(f,
			      "the last %s left, but attn does not say so: "
			      "its end was cut short; shmring recover %s",
			      sides[i].name, look->name);
	}
	if (look->ring.mode != SHMRING_MPMC &&
	    (attn & (SHMRING__DOUBT | SHMRING__ORPHAN)))
		found(f, "attn speaks of doubt or orphans, which such a ring "
			 "has not: damaged");
}

/* ---- SPSC: the chain of records ---- */

static void
check_chain(struct findings *f, struct look *look)
{
	const struct shmring *r = &look->ring;
	struct shmring__view any = shmring__any_view(r, SHMRING__READ);
	uint64_t capacity = r->geometry.capacity;
	uint64_t taken = SHMRING__LOAD(r->spsc.taken, ACQUIRE);
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	uint64_t tail = SHMRING__LOAD(r->tail, ACQUIRE), p = head, header;
	uint64_t count = 0;

	/* Those below tell how many of a run are taken. */
	if (tail & (r->align - 1) ||
	    (r->align > 8 && (head | taken) & (r->align - 1)))
		found(f,
		      "a position is no multiple of %" PRIu64 " (head %" PRIu64
		      ", taken %" PRIu64 ", tail %" PRIu64
		      "): damaged; remove the ring",
		      r->align, head, taken, tail);
	if (head - taken > capacity)
		found(f,
		      "head %" PRIu64 " and what was published of it, "
		      "%" PRIu64 ", are too far apart: damaged; remove the "
		      "ring",
		      head, taken);
	if (shmring__distance(tail, head) > 0 && tail - head > capacity)
		found(f,
		      "head %" PRIu64 " and tail %" PRIu64 " are further "
		      "apart than the ring is large: damaged; remove the "
		      "ring",
		      head, tail);
	for (; p - head <= capacity; count++) {
		header = SHMRING__LOAD(shmring__header_at(r, p), ACQUIRE);
		if (shmring__distance(SHMRING__LOAD(r->head, ACQUIRE), p) > 0)
			return; /* read and perhaps overwritten by now */
		if (!header && !shmring__nth(p))
			break;
		if (shmring__is_bad_at(r, &any, p, header)) {
			found(f,
			      "damaged record at position %" PRIu64
			      ", after %" PRIu64 " good ones: its header is "
			      "%#" PRIx64 "; remove the ring",
			      p, count, header);
			return;
		}
		p = shmring__next_message(&any, p, header);
	}
	if (p - head > capacity)
		found(f,
		      "the records from position %" PRIu64 " on have no "
		      "end: damaged; remove the ring",
		      head);
	else if (shmring__distance(tail, p) > 0)
		found(f,
		      "no record at position %" PRIu64 ", but the producer "
		      "has come to %" PRIu64 ": damaged; remove the ring",
		      p, tail);
	else if (p != tail && !look->alive)
		found(f, "the producer was killed between a message and its "
			 "note of it: harmless, the next one goes on behind "
			 "it");
}

/* ---- BROADCAST: the writer's page, and the records behind its mark ---- */

static void
check_marks(struct findings *f, struct look *look)
{
	const struct shmring *r = &look->ring;
	const struct shmring__writer_page *page = shmring__page_of(r);
	struct shmring__mark end;
	uint64_t tail, bound, newest;
	int error;

	newest = SHMRING__LOAD(&page->marks, ACQUIRE);
	end = page->mark[newest % SHMRING__MARKS];
	tail = SHMRING__LOAD(&page->tail, ACQUIRE);
	error = shmring__walk(r, end.position + r->geometry.capacity, &end);
	bound = SHMRING__LOAD(&page->bound, ACQUIRE);
	if (tail - bound > r->geometry.capacity)
		found(f,
		      "tail %" PRIu64 ", but the bytes before %" PRIu64
		      " may be overwritten: damaged; remove the ring",
		      tail, bound);
	if (error || shmring__distance(end.position, tail) < 0)
		found(f,
		      "no chain of records leads from the newest mark to the "
		      "tail: damaged; remove the ring");
}

/* ---- MPMC: slots ---- */

struct tally {
	uint64_t orphans, writers, readers, doubtful, bad, bad_s;
	uint64_t bad_at, bad_a, bad_s_at, bad_s_word;
};

static void
check_slot(const struct look *look, uint64_t i, struct tally *t)
{
	const struct shmring *r = &look->ring;
	/* In this order: what was seen cannot be beyond tail. */
	uint64_t s = SHMRING__LOAD(&r->mpmc.states[i], ACQUIRE);
	uint64_t a = SHMRING__LOAD(shmring__phase_word(r, i), ACQUIRE);
	uint64_t length = shmring__length_of(r, i, a);
	uint64_t tail = SHMRING__LOAD(r->tail, ACQUIRE);
	uint64_t phase = shmring__phase_in(r, a), f = shmring__state_phase(s);
	/* Positions of this slot that were claimed: its turns so far. */
	uint64_t turns = (tail + r->mask - i) >> r->mpmc.shift;
	int odd = phase & 1;

	if (phase > 2 * turns || (!odd && (a & r->mpmc.length_mask)) ||
	    (odd && length > r->geometry.slot_size &&
	     length != shmring__aborted(r))) {
		if (SHMRING__LOAD(shmring__phase_word(r, i), ACQUIRE) == a &&
		    !t->bad++) {
			t->bad_at = i;
			t->bad_a = a;
		}
	}
	if (shmring__state_kind(s) > SHMRING__S_ORPHAN || f > 2 * turns + 2 ||
	    (shmring__state_kind(s) != SHMRING__S_LIVE && !f))
		if (!t->bad_s++) {
			t->bad_s_at = i;
			t->bad_s_word = s;
		}
	t->orphans += shmring__state_kind(s) == SHMRING__S_ORPHAN;
	t->writers += shmring__state_kind(s) == SHMRING__S_WRITER;
	t->readers += shmring__state_kind(s) == SHMRING__S_READER;
	t->doubtful += shmring__state_kind(s) == SHMRING__S_VOIDING;
}

static void
check_slots(struct findings *f, struct look *look)
{
	const struct shmring *r = &look->ring;
	uint64_t slots = r->mask + 1;
	uint64_t head = SHMRING__LOAD(r->head, ACQUIRE);
	uint64_t tail = SHMRING__LOAD(r->tail, ACQUIRE), attn;
	struct tally t;

	/* Tail is the later look: it may have gone on, head not beyond it. */
	if (shmring__distance(tail, head) < 0)
		found(f,
		      "head %" PRIu64 " is beyond tail %" PRIu64
		      ": damaged; remove the ring",
		      head, tail);
	else if (SHMRING__LOAD(r->head, ACQUIRE) == head && tail - head > slots)
		found(f,
		      "tail %" PRIu64 " is further from head %" PRIu64
		      " than there are slots: damaged; remove the ring",
		      tail, head);
	memset(&t, 0, sizeof(t));
	for (uint64_t i = 0; i < slots; i++)
		check_slot(look, i, &t);
	attn = SHMRING__LOAD(&r->notice->attn, ACQUIRE);
	if (t.bad)
		found(f,
		      "damaged slot %" PRIu64 ": its word is %#" PRIx64
		      " (%" PRIu64 " such slots); remove the ring",
		      t.bad_at, t.bad_a, t.bad);
	if (t.bad_s)
		found(f,
		      "damaged state of slot %" PRIu64 ": %#" PRIx64
		      " (%" PRIu64 " such slots); remove the ring",
		      t.bad_s_at, t.bad_s_word, t.bad_s);
	if (t.orphans)
		found(f,
		      "%" PRIu64 " orphans: messages in the hands of "
		      "consumers that died; the next pop gets them again",
		      t.orphans);
	if (t.orphans && !(attn & SHMRING__ORPHAN))
		found(f,
		      "attn does not tell of the orphans: shmring recover "
		      "%s",
		      look->name);
	if (t.writers || t.readers)
		found(f,
		      "%" PRIu64 " retained slots: left to %" PRIu64
		      " producers and %" PRIu64 " consumers that were "
		      "stopped or died; shmring recover %s takes those of "
		      "the dead back",
		      t.writers + t.readers, t.writers, t.readers, look->name);
	if (t.doubtful)
		found(f,
		      "%" PRIu64 " slots in doubt: whoever began to judge "
		      "their owners was stopped or killed; the next who is "
		      "blocked goes on",
		      t.doubtful);
	if ((t.orphans || t.writers || t.readers) && !(attn & SHMRING__DOUBT))
		found(f,
		      "attn does not tell of the slots that are not in "
		      "order: damaged, or cut short; shmring recover %s",
		      look->name);
}

static struct findings *current; /* for what guard() calls */

static int
check_mapped(struct look *look)
{
	struct findings *f = current;

	check_origin(f, look);
	check_people(f, look);
	check_attn(f, look);
	if (look->ring.mode == SHMRING_SPSC)
		check_chain(f, look);
	else if (look->ring.mode == SHMRING_BROADCAST)
		check_marks(f, look);
	else
		check_slots(f, look);
	return 0;
}

/* All that can be said of it; what did not persist is dropped. */
static void
check_ring(struct findings *f, struct look *look)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int kept = 0;

	memset(f, 0, sizeof(*f));
	current = f;
	for (f->look = 0; !look->error && f->look < LOOKS; f->look++) {
		if (guard(gather, look) || guard(check_mapped, look))
			break;
		if (!f->count)
			break;
		if (f->look + 1 < LOOKS)
			nanosleep(&pause, NULL);
	}
	for (int i = 0; i < f->count; i++)
		if (f->all[i].seen >= LOOKS)
			f->all[kept++] = f->all[i];
	f->count = kept;
	f->look = 0;
	if (look->error) {
		f->count = 0;
		if (!fstat(look->ring.map.fd, &look->file) ||
		    !look->ring.map.base)
			check_identity(f, look);
	}
}
