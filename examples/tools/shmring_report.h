/* SPDX-License-Identifier: MIT
 *
 * Rings as tables for people, as JSON, and as metrics.
 */

static const struct {
	uint32_t bit;
	const char *name;
} ring_flags[] = { { SHMRING_PREFAULT, "prefault" },
		   { SHMRING_MLOCK, "mlock" },
		   { SHMRING_HUGE, "huge" },
		   { SHMRING_HUGETLB, "hugetlb" },
		   { SHMRING_PERSISTENT, "persistent" },
		   { SHMRING_LOSSY, "lossy" },
		   { SHMRING_METERED, "metered" } };

static const struct {
	uint64_t bit;
	const char *name, *meaning;
} attn_bits[] = {
	{ SHMRING__DOUBT, "doubt", "some slots are, or were, in doubt" },
	{ SHMRING__ORPHAN, "orphan",
	  "a message of a dead consumer may wait to be taken again" },
	{ SHMRING__NO_PRODUCER, "no_producer", "the last producer has left" },
	{ SHMRING__NO_CONSUMER, "no_consumer", "the last consumer has left" },
	{ SHMRING__HAD_PRODUCER, "had_producer", NULL },
	{ SHMRING__HAD_CONSUMER, "had_consumer", NULL },
};

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

/* ---- tables, 80 columns ---- */

static void
list_header(void)
{
	printf("%-18s %-4s %5s %5s %6s %4s %4s %4s %-8s %-4s %s\n", "NAME",
	       "KIND", "SLOTS", "SIZE", "MEMORY", "FILL", "HIGH", "AGE",
	       "OWNER", "MODE", "ID");
}

static void
list_person(const struct person *p)
{
	char in[SOME], out[SOME];

	printf("  %8u ", p->counts.pid);
	put_column(*p->command ? p->command : "?", 16);
	printf(" %-8s  %s%s", roles_of(p), p->state, p->certain ? "" : "?");
	printf("%*s", (int)(10 - strlen(p->state) - !p->certain), "");
	if (p->counts.roles & SHMRING_PRODUCER)
		printf("  %s in", short_count(in, (double)p->counts.pushed));
	if (p->counts.roles & SHMRING_CONSUMER)
		printf("  %s out", short_count(out, (double)p->counts.popped));
	printf("\n");
}

static void
list_ring(const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char slots[SOME], size[SOME], memory[SOME], age[SOME], owner[SOME];
	char high[SOME] = "-";

	if (!look->error && has_high_water(look))
		snprintf(high, sizeof(high), "%.0f%%",
			 100 * high_water_of(look));
	put_column(look->name, 18);
	if (strlen(look->name) > 18)
		printf("\n%18s", "");
	if (look->error) {
		printf(" unusable: shmring check says why\n");
		return;
	}
	printf(" %-4s %5s %5s %6s %3.0f%% %4s %4s %-8.8s %04o ",
	       engine_of(look), scaled(slots, h->slots, 1024, " KMG"),
	       short_bytes(size, h->slot_size),
	       short_bytes(memory, (double)h->total), 100 * fill_of(look), high,
	       short_time(age, age_of(look)), owner_of(look, owner),
	       (unsigned)look->file.st_mode & 07777);
	put_id(look, 4);
	printf("\n");
	for (unsigned i = 0; i < look->persons; i++)
		list_person(&look->people[i]);
	if (!look->alive)
		printf("  %s, %s message%s\n",
		       look->dead || look->died
			       ? "left behind, its users were killed"
			       : "nobody is attached",
		       short_count(slots, (double)look->waiting),
		       look->waiting == 1 ? "" : "s");
	if (look->doubt)
		printf("  cannot be opened: %s\n",
		       look->doubt == -EREMOTE ? "made before a reboot"
		       : look->doubt == -ESTALE
			       ? "it is, or was, being replaced"
			       : "owner or permissions were changed");
}

static void
list_text(const struct looks *looks)
{
	unsigned behind = 0, unusable = 0;

	if (looks->count)
		list_header();
	for (size_t i = 0; i < looks->count; i++) {
		const struct look *look = &looks->all[i];
		list_ring(look);
		unusable += look->error != 0;
		behind += !look->error && !look->alive &&
			  (look->dead || look->died);
	}
	printf("%zu ring%s in %s", looks->count, looks->count == 1 ? "" : "s",
	       SHMRING_DIRECTORY);
	if (behind)
		printf(", %u left behind (shmring clean)", behind);
	if (unusable)
		printf(", %u unusable", unusable);
	printf("\n");
	if (looks->unreadable)
		printf("%u file%s there cannot be read: others' rings are seen "
		       "by root\n",
		       looks->unreadable, looks->unreadable == 1 ? "" : "s");
}

static void
show_line(const char *what)
{
	printf("  %-13s ", what);
}

static void
show_counts(const struct look *look)
{
	const struct shmring_stat *c = &look->counts;
	char a[SOME + 8], b[SOME];

	show_line("pushed");
	printf("%s messages, %s\n", grouped(a, c->pushed),
	       long_bytes(b, c->pushed_bytes));
	show_line("popped");
	printf("%s messages, %s\n", grouped(a, c->popped),
	       long_bytes(b, c->popped_bytes));
	show_line("waited for");
	printf("room %s times", grouped(a, c->full));
	printf(", messages %s times\n", grouped(a, c->empty));
	show_line("futex calls");
	printf("%s sleeps", grouped(a, c->sleeps));
	printf(", %s wake-ups\n", grouped(a, c->wakes));
}

static void
show_meters(const struct look *look)
{
	const struct shmring_stat *c = &look->counts;
	char a[SOME + 8], b[SOME + 8];

	show_line("refused");
	printf("%s pushes that found no room\n", grouped(a, c->refused));
	show_line(is_metered(look) ? "high water" : "metered");
	if (!is_metered(look)) {
		printf("no: created without SHMRING_METERED\n");
		return;
	}
	if (!has_high_water(look))
		printf("none: a lossy ring stays full\n");
	else if (look->header.mode == SHMRING_MPMC)
		printf("%s of %s messages, %.0f%%\n", grouped(a, c->high_water),
		       grouped(b, c->capacity), 100 * high_water_of(look));
	else
		printf("%s of %s, %.0f%%\n", long_bytes(a, c->high_water),
		       long_bytes(b, c->capacity), 100 * high_water_of(look));
	show_line("oldest");
	if (c->age_ns)
		printf("pushed %s ago\n", short_age(a, c->age_ns));
	else
		printf("nothing waits\n");
}

static void
show_identity(const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char text[SOME], when[64] = "?";
	time_t made = (time_t)(h->created / 1000000000);
	struct tm local;

	show_line("id");
	put_id(look, 16);
	printf("\n");
	show_line("made");
	if (localtime_r(&made, &local))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &local);
	printf("%s, %s ago\n", when, short_time(text, age_of(look)));
	show_line("owner");
	put_column(owner_of(look, text), 0);
	printf(" (%u), permissions %04o\n", (unsigned)look->file.st_uid,
	       (unsigned)look->file.st_mode & 07777);
	show_line("flags");
	for (size_t i = 0; i < COUNT_OF(ring_flags); i++)
		if (h->flags & ring_flags[i].bit)
			printf("%s ", ring_flags[i].name);
	printf("layout %u\n", h->layout);
	for (size_t i = 0; i < COUNT_OF(attn_bits); i++)
		if ((look->attn & attn_bits[i].bit) && attn_bits[i].meaning) {
			show_line("attention");
			printf("%s\n", attn_bits[i].meaning);
		}
	if (look->doubt) {
		show_line("attention");
		printf("%s\n", shmring_strerror(look->doubt));
	}
}

/* In BROADCAST lag, losses and age stand in place of counters; those of all
 * together stand above. */
static void
show_person(const struct look *look, const struct person *p)
{
	const struct shmring_participant *c = &p->counts;
	int cast = look->header.mode == SHMRING_BROADCAST;
	int reads = is_reader(look, p);
	char t[6][SOME];

	printf("%8u ", c->pid);
	put_column(*p->command ? p->command : "?", 15);
	printf(" %-8s %s%-*s %5s %5s", roles_of(p), p->state,
	       (int)(9 - strlen(p->state)), p->certain ? "" : "?",
	       short_count(t[0], (double)c->pushed),
	       short_count(t[1], (double)c->popped));
	printf(" %5s %5s %6s %5s\n",
	       reads  ? short_bytes(t[2], (double)c->lag)
	       : cast ? "-"
		      : short_count(t[2], (double)c->full),
	       reads  ? short_count(t[3], (double)c->lost)
	       : cast ? "-"
		      : short_count(t[3], (double)c->empty),
	       short_count(t[4], (double)c->sleeps),
	       !cast	   ? short_count(t[5], (double)c->wakes)
	       : c->age_ns ? short_age(t[5], c->age_ns)
			   : "-");
}

static void
show_people(const struct look *look)
{
	int cast = look->header.mode == SHMRING_BROADCAST;

	show_line("participants");
	printf("%u of %u", look->persons, look->counts.participants);
	if (!look->alive)
		printf(", %s", look->dead || look->died
				       ? "left behind: its users were killed"
				       : "nobody is attached");
	printf("\n");
	if (look->persons)
		printf("%8s %-15s %-8s %-9s %5s %5s %5s %5s %6s %5s\n", "PID",
		       "COMMAND", "ROLE", "STATE", "IN", "OUT",
		       cast ? "LAG" : "FULL", cast ? "LOST" : "EMPTY", "SLEEPS",
		       cast ? "AGE" : "WAKES");
	for (unsigned i = 0; i < look->persons; i++)
		show_person(look, &look->people[i]);
}

static void
show_fill(const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char count[SOME + 8], used[SOME], all[SOME];

	grouped(count, look->waiting);
	long_bytes(used, look->counts.length);
	long_bytes(all, look->counts.capacity);
	show_line("fill");
	printf("%.0f%%: ", 100 * fill_of(look));
	if (h->mode == SHMRING_BROADCAST && !(h->flags & SHMRING_LOSSY)) {
		printf("%s of %s before the slowest reader\n", used, all);
		show_line("kept");
	}
	printf("%s message%s", count, look->waiting == 1 ? "" : "s");
	if (h->mode == SHMRING_SPSC || (h->flags & SHMRING_LOSSY))
		printf(", %s of %s", used, all);
	printf("\n");
}

static void
show_text(const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char a[SOME + 8], b[SOME];

	put_text(stdout, look->name, strlen(look->name));
	printf("\n");
	show_line("engine");
	printf("%s\n", h->mode == SHMRING_MPMC
			       ? "MPMC: any number of producers and consumers"
		       : h->mode == SHMRING_SPSC
			       ? "SPSC: one producer, one consumer"
		       : h->flags & SHMRING_LOSSY
			       ? "BROADCAST, lossy: one producer, overwriting"
			       : "BROADCAST: one producer, all see all");
	show_line("geometry");
	printf("%s messages of at most %s", grouped(a, h->slots),
	       long_bytes(b, h->slot_size));
	if (h->alignment != 8)
		printf(", aligned to %u", h->alignment);
	if (h->demote_ms)
		printf(", who is behind for %u ms is demoted", h->demote_ms);
	printf("\n");
	show_line("memory");
	printf("%s", long_bytes(b, h->total));
	printf(", %s of it resident\n",
	       long_bytes(b, (uint64_t)look->file.st_blocks * 512));
	show_fill(look);
	show_counts(look);
	show_meters(look);
	show_identity(look);
	show_people(look);
}

/* ---- JSON ---- */

static void
json_person(const struct look *look, const struct person *p)
{
	const struct shmring_participant *c = &p->counts;
	int reads = is_reader(look, p);

	json_open(NULL, '{');
	json_number("index", p->index);
	json_number("pid", c->pid);
	json_text("command", *p->command ? p->command : NULL);
	json_truth("producer", (c->roles & SHMRING_PRODUCER) != 0);
	json_truth("consumer", (c->roles & SHMRING_CONSUMER) != 0);
	json_text("state", p->state);
	json_truth("guess", !p->certain);
	json_number("pushed", c->pushed);
	json_number("pushed_bytes", c->pushed_bytes);
	json_number("popped", c->popped);
	json_number("popped_bytes", c->popped_bytes);
	json_number("full", c->full);
	json_number("empty", c->empty);
	json_number("refused", c->refused);
	json_number("sleeps", c->sleeps);
	json_number("wakes", c->wakes);
	json_number_if("lag_bytes", reads, c->lag);
	json_number_if("lost", reads, c->lost);
	json_real_if("oldest_age_seconds", reads && is_metered(look),
		     (double)c->age_ns / 1e9);
	json_close('}');
}

static void
json_identity(const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char text[SOME], id[33];

	for (int i = 0; i < 16; i++)
		snprintf(id + (size_t)i * 2, 3, "%02x", h->id[i]);
	json_text("engine", engine_word(h->mode));
	json_number("layout", h->layout);
	json_number("slots", h->slots);
	json_number("slot_size", h->slot_size);
	json_number("alignment", h->alignment);
	json_number_if("demote_ms", h->demote_ms != 0, h->demote_ms);
	json_number("participants_limit", look->counts.participants);
	json_number("memory_bytes", h->total);
	json_number("resident_bytes", (uint64_t)look->file.st_blocks * 512);
	json_text("id", id);
	json_real("age_seconds", age_of(look));
	json_number("created_ns", h->created);
	json_text("owner", owner_of(look, text));
	json_number("uid", look->file.st_uid);
	snprintf(text, sizeof(text), "%04o",
		 (unsigned)look->file.st_mode & 07777);
	json_text("permissions", text);
	json_open("flags", '[');
	for (size_t i = 0; i < COUNT_OF(ring_flags); i++)
		if (h->flags & ring_flags[i].bit)
			json_text(NULL, ring_flags[i].name);
	json_close(']');
}

static void
json_counts(const struct look *look)
{
	const struct shmring_stat *c = &look->counts;

	json_text("unit",
		  look->header.mode == SHMRING_MPMC ? "messages" : "bytes");
	json_number("length", c->length);
	json_number("capacity", c->capacity);
	json_real("fill", fill_of(look));
	json_number("messages", look->waiting);
	json_number("pushed", c->pushed);
	json_number("pushed_bytes", c->pushed_bytes);
	json_number("popped", c->popped);
	json_number("popped_bytes", c->popped_bytes);
	json_number("full", c->full);
	json_number("empty", c->empty);
	json_number("refused", c->refused);
	json_number("sleeps", c->sleeps);
	json_number("wakes", c->wakes);
	json_number_if("high_water", has_high_water(look), c->high_water);
	json_real_if("oldest_age_seconds", is_metered(look),
		     (double)c->age_ns / 1e9);
	json_open("attention", '[');
	for (size_t i = 0; i < COUNT_OF(attn_bits); i++)
		if (look->attn & attn_bits[i].bit)
			json_text(NULL, attn_bits[i].name);
	json_close(']');
}

static void
json_ring(const struct look *look)
{
	json_open(NULL, '{');
	json_text("name", look->name);
	json_text("error", look->error	 ? shmring_strerror(look->error)
			   : look->doubt ? shmring_strerror(look->doubt)
					 : NULL);
	if (!look->error) {
		json_text("state", state_of(look));
		json_identity(look);
		json_counts(look);
		json_open("participants", '[');
		for (unsigned i = 0; i < look->persons; i++)
			json_person(look, &look->people[i]);
		json_close(']');
	}
	json_close('}');
}

static void
list_json(const struct looks *looks)
{
	json_open(NULL, '[');
	for (size_t i = 0; i < looks->count; i++) {
		if (i)
			json_key(NULL);
		printf("\n");
		json_more = 0;
		json_ring(&looks->all[i]);
	}
	printf("\n]\n");
}

/* ---- metrics: OpenMetrics, or the older text format of Prometheus, which
 * its textfile collector reads ---- */

#define FROM_STAT(field) offsetof(struct shmring_stat, field)
#define COMPUTED(n) (SIZE_MAX - (n))

static const struct family {
	const char *name, *unit, *type, *help;
	size_t from;
} families[] = {
	{ "shmring_readable", "", "gauge",
	  "Whether the segment is a sound ring; without, nothing else is said.",
	  COMPUTED(0) },
	{ "shmring_ring", "", "info", "What kind of ring it is.", COMPUTED(1) },
	{ "shmring_made_timestamp_seconds", "seconds", "gauge",
	  "When the ring was created, Unix time.", COMPUTED(2) },
	{ "shmring_memory_bytes", "bytes", "gauge", "Size of the segment.",
	  COMPUTED(3) },
	{ "shmring_fill_ratio", "ratio", "gauge",
	  "How much of the ring is in use, 0 to 1.", COMPUTED(4) },
	{ "shmring_waiting_messages", "messages", "gauge",
	  "Messages that nobody has taken yet.", COMPUTED(5) },
	{ "shmring_participants", "", "gauge",
	  "Attached processes by role and state; one of both roles counts "
	  "twice.",
	  COMPUTED(6) },
	{ "shmring_left_behind", "", "gauge",
	  "1 if the users were killed and nobody is attached.", COMPUTED(7) },
	{ "shmring_pushed_messages", "messages", "counter", "Messages sent.",
	  FROM_STAT(pushed) },
	{ "shmring_pushed_bytes", "bytes", "counter", "Bytes sent.",
	  FROM_STAT(pushed_bytes) },
	{ "shmring_popped_messages", "messages", "counter",
	  "Messages received.", FROM_STAT(popped) },
	{ "shmring_popped_bytes", "bytes", "counter", "Bytes received.",
	  FROM_STAT(popped_bytes) },
	{ "shmring_full", "", "counter",
	  "How often a producer found the ring full.", FROM_STAT(full) },
	{ "shmring_empty", "", "counter",
	  "How often a consumer found the ring empty.", FROM_STAT(empty) },
	{ "shmring_refused", "", "counter",
	  "Pushes and reserves that found no room, at once or in their time.",
	  FROM_STAT(refused) },
	{ "shmring_sleeps", "", "counter", "Futex waits.", FROM_STAT(sleeps) },
	{ "shmring_wakes", "", "counter", "Futex wakes.", FROM_STAT(wakes) },
	{ "shmring_high_water_ratio", "ratio", "gauge",
	  "How much of the ring was ever in use, 0 to 1; of metered rings.",
	  COMPUTED(8) },
	{ "shmring_oldest_age_seconds", "seconds", "gauge",
	  "How long the oldest message has waited, 0 for none; of metered "
	  "rings.",
	  COMPUTED(9) },
	{ "shmring_reader_lag_bytes", "bytes", "gauge",
	  "What a BROADCAST reader has not read yet.", COMPUTED(10) },
	{ "shmring_reader_lost_messages", "messages", "counter",
	  "Messages that were overwritten before a BROADCAST reader, or one "
	  "that had its place, had read them.",
	  COMPUTED(11) },
};

static void
metric_labels(const char *name, const char *suffix, const struct look *look)
{
	printf("%s%s{ring=", name, suffix);
	put_quoted(look->name, 0);
}

static void
metric_people(const struct family *f, const struct look *look)
{
	static const char *const states[] = { "alive", "stopped", "dead" };
	unsigned counts[2][3] = { { 0 } };

	for (unsigned i = 0; i < look->persons; i++) {
		const struct person *p = &look->people[i];
		int state = p->dead ? 2 : !strcmp(p->state, "stopped") ? 1 : 0;
		for (int side = 0; side < 2; side++)
			counts[side][state] +=
				(p->counts.roles & shmring__role(side)) != 0;
	}
	for (int side = 0; side < 2; side++)
		for (int state = 0; state < 3; state++) {
			metric_labels(f->name, "", look);
			printf(",role=\"%s\",state=\"%s\"} %u\n",
			       side ? "producer" : "consumer", states[state],
			       counts[side][state]);
		}
}

static void
metric_info(const struct family *f, const struct look *look)
{
	const struct shmring__header *h = &look->header;
	char owner[SOME];

	metric_labels(f->name, "_info", look);
	printf(",engine=\"%s\",slots=\"%u\",slot_size=\"%u\",id=\"",
	       engine_word(h->mode), h->slots, h->slot_size);
	put_id(look, 16);
	printf("\",owner=");
	put_quoted(owner_of(look, owner), 0);
	printf("} 1\n");
}

/* A process may have several handles. */
static void
metric_readers(const struct family *f, const struct look *look)
{
	int lost = f->from == COMPUTED(11);

	for (unsigned i = 0; i < look->persons; i++) {
		const struct person *p = &look->people[i];
		if (!is_reader(look, p))
			continue;
		metric_labels(f->name, lost ? "_total" : "", look);
		printf(",pid=\"%u\",participant=\"%u\"} %" PRIu64 "\n",
		       p->counts.pid, p->index,
		       lost ? p->counts.lost : p->counts.lag);
	}
}

/* Whether there is anything to say of this ring. */
static int
metric_is_known(const struct family *f, const struct look *look)
{
	unsigned readers = 0;

	if (f->from == COMPUTED(0) || look->error)
		return f->from == COMPUTED(0);
	if (f->from == COMPUTED(8))
		return has_high_water(look);
	if (f->from == COMPUTED(9))
		return is_metered(look);
	for (unsigned i = 0; i < look->persons; i++)
		readers += is_reader(look, &look->people[i]) != 0;
	return readers || (f->from != COMPUTED(10) && f->from != COMPUTED(11));
}

static void
metric(const struct family *f, const struct look *look)
{
	uint64_t count;

	if (f->from == COMPUTED(1)) {
		metric_info(f, look);
		return;
	}
	if (f->from == COMPUTED(6)) {
		metric_people(f, look);
		return;
	}
	if (f->from == COMPUTED(10) || f->from == COMPUTED(11)) {
		metric_readers(f, look);
		return;
	}
	metric_labels(f->name, *f->type == 'c' ? "_total" : "", look);
	printf("} ");
	switch (f->from) {
	case COMPUTED(0):
		printf("%d\n", !look->error);
		break;
	case COMPUTED(2):
		printf("%.3f\n", (double)look->header.created / 1e9);
		break;
	case COMPUTED(3):
		printf("%" PRIu64 "\n", look->header.total);
		break;
	case COMPUTED(4):
		printf("%.6g\n", fill_of(look));
		break;
	case COMPUTED(5):
		printf("%" PRIu64 "\n", look->waiting);
		break;
	case COMPUTED(7):
		printf("%d\n", !look->alive && (look->dead || look->died));
		break;
	case COMPUTED(8):
		printf("%.6g\n", high_water_of(look));
		break;
	case COMPUTED(9):
		printf("%.6g\n", (double)look->counts.age_ns / 1e9);
		break;
	default:
		memcpy(&count, (const char *)&look->counts + f->from, 8);
		printf("%" PRIu64 "\n", count);
		break;
	}
}

static void
print_metrics(const struct looks *looks, int open)
{
	for (size_t k = 0; k < COUNT_OF(families); k++) {
		const struct family *f = &families[k];
		int info = *f->type == 'i', known = 0;
		/* The older format names the sample, and knows no info. */
		const char *suffix = open	       ? ""
				     : *f->type == 'c' ? "_total"
				     : info	       ? "_info"
						       : "";
		for (size_t i = 0; i < looks->count; i++)
			known |= metric_is_known(f, &looks->all[i]);
		if (!known)
			continue;
		printf("# HELP %s%s %s\n", f->name, suffix, f->help);
		printf("# TYPE %s%s %s\n", f->name, suffix,
		       info && !open ? "gauge" : f->type);
		if (open && *f->unit)
			printf("# UNIT %s %s\n", f->name, f->unit);
		for (size_t i = 0; i < looks->count; i++)
			if (metric_is_known(f, &looks->all[i]))
				metric(f, &looks->all[i]);
	}
	if (open)
		printf("# EOF\n");
}
