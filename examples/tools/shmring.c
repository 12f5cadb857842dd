/* SPDX-License-Identifier: MIT
 *
 * shmring - look at rings in shared memory, and tidy up after the dead
 *
 *	cc -O2 -Iinclude examples/tools/shmring.c -o shmring
 *	./shmring list
 *
 * Who only looks (list, show, top, dump, check, record --observe) maps the
 * segment read-only and is nobody in it: no participant waits for, wakes or
 * notices it. Nothing in a segment is believed further than it was checked.
 */
#include <shmring.h>
#include <getopt.h>

#include "descriptors.h"
#include "shmring_text.h"
#include "shmring_ring.h"
#include "shmring_view.h"
#include "shmring_check.h"
#include "shmring_report.h"
#include "shmring_tape.h"
#include "shmring_top.h"

#define EXIT_WRONG 1 /* something is wrong, or was found */
#define EXIT_USAGE 2
#define EXIT_NO_RING 3
#define EXIT_FILE 4

/* What was given: by letter; "" for options without an argument. */
static const char *given[128];
static const char *ring_name, *file_name;

static const struct {
	const char *name;
	int argument;
	int letter;
	const char *commands; /* letters of those that take it */
} options[] = {
	{ "json", 0, 'j', "lsc" },	{ "openmetrics", 0, 'o', "ls" },
	{ "prometheus", 0, 'p', "ls" }, { "names", 0, '1', "l" },
	{ "delay", 1, 'd', "t" },	{ "count", 1, 'n', "trd" },
	{ "sort", 1, 's', "t" },	{ "hex", 0, 'x', "d" },
	{ "raw", 0, 'r', "d" },		{ "long", 0, 'l', "d" },
	{ "follow", 0, 'f', "d" },	{ "last", 1, 'L', "d" },
	{ "all", 0, 'a', "dC" },	{ "observe", 0, 'o', "r" },
	{ "peek", 0, 'o', "r" },	{ "time", 1, 't', "r" },
	{ "force", 0, 'f', "rCu" },	{ "fast", 0, 'F', "p" },
	{ "dry-run", 0, 'n', "C" },	{ "quiet", 0, 'q', "c" },
	{ "help", 0, 'h', NULL },
};

/* ---- numbers from the command line ---- */

static uint64_t
number_of(int letter, uint64_t otherwise)
{
	const char *text = given[letter];
	char *end;
	unsigned long long value;

	if (!text)
		return otherwise;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end || !isdigit((unsigned char)*text) || errno || !value)
		fail(EXIT_USAGE, "-%c %s: not a number from 1 on", letter,
		     text);
	return value;
}

static double
seconds_of(int letter, double otherwise)
{
	const char *text = given[letter];
	char *end;
	double value;

	if (!text)
		return otherwise;
	value = strtod(text, &end);
	if (*end || end == text || !(value >= 0.01 && value <= 1e9))
		fail(EXIT_USAGE, "-%c %s: not a number of seconds from 0.01 on",
		     letter, text);
	return value;
}

/* ---- list, show ---- */

static int
print_looks(struct looks *looks, int single)
{
	if (given['j'] && single) {
		json_ring(&looks->all[0]);
		printf("\n");
	} else if (given['j']) {
		list_json(looks);
	} else if (given['o'] || given['p']) {
		print_metrics(looks, given['o'] != NULL);
	} else if (single) {
		show_text(&looks->all[0]);
	} else {
		list_text(looks);
	}
	return 0;
}

static int
run_list(void)
{
	struct looks looks;

	look_at_all(&looks);
	for (size_t i = 0; given['1'] && i < looks.count; i++) {
		put_text(stdout, looks.all[i].name, strlen(looks.all[i].name));
		printf("\n");
	}
	if (!given['1'])
		print_looks(&looks, 0);
	look_away_all(&looks);
	return 0;
}

static __attribute__((noreturn)) void
fail_look(const struct look *look)
{
	int sound = look->error == -ENOENT || look->error == -EACCES ||
		    look->error == -EPROTO || look->error == -EINVAL;
	const char *why = shmring_strerror(look->error);

	fputs("shmring: ", stderr);
	put_text(stderr, look->name, strlen(look->name));
	if (look->error == -ENOENT)
		why = "no such ring; shmring list shows those that there are";
	fprintf(stderr, ": %s%s\n", why,
		sound ? "" : " (shmring check says more)");
	exit(EXIT_NO_RING);
}

/* Look at one ring; ends if that cannot be. */
static void
look_at_one(struct look *look)
{
	look_at(look, ring_name);
	if (!look->error)
		guard(gather, look);
	if (look->error)
		fail_look(look);
}

static int
run_show(void)
{
	struct look look;
	struct looks looks = { .all = &look, .count = 1 };

	look_at_one(&look);
	print_looks(&looks, 1);
	look_away(&look);
	return 0;
}

/* ---- top ---- */

static int
run_top(void)
{
	static const char *const keys[] = { "messages", "bytes", "fill",
					    "name" };
	int sort = 0;

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (!given['s'] || !strcmp(given['s'], keys[i])) {
			sort = (unsigned char)*keys[i];
			break;
		}
	if (!sort)
		fail(EXIT_USAGE, "-s %s: sort by messages, bytes, fill or name",
		     given['s']);
	return top(seconds_of('d', 1), number_of('n', 0), sort);
}

/* ---- dump ---- */

static void
put_hex(const unsigned char *data, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += 16) {
		printf("%08" PRIx64 " ", at);
		for (uint64_t i = at; i < at + 16; i++) {
			if (i < size)
				printf("%s%02x", i % 8 ? " " : "  ", data[i]);
			else
				printf("%s  ", i % 8 ? " " : "  ");
		}
		printf("  |");
		for (uint64_t i = at; i < at + 16 && i < size; i++)
			putchar(data[i] >= 0x20 && data[i] < 0x7f ? data[i]
								  : '.');
		printf("|\n");
	}
}

/* Text: a line each, its own end of line left out. */
static void
put_message(const struct view *v)
{
	uint64_t size = v->size;

	if (given['r']) {
		fwrite(v->data, 1, size, stdout);
		return;
	}
	if (given['x'] || given['l'])
		printf("%s%" PRIu64 " %" PRIu64 "%s", given['x'] ? "# " : "",
		       v->at, size, v->again ? " again" : "");
	if (given['x']) {
		printf("\n");
		put_hex(v->data, size);
		return;
	}
	if (given['l'])
		printf(" ");
	if (size && v->data[size - 1] == '\n')
		size--;
	put_text(stdout, v->data, size);
	printf("\n");
}

/* What was there when we came, but no more than was asked for: how many, or
 * negative: damaged. The positions of the last ones, if wanted. */
static int64_t
walk(struct view *v, uint64_t limit, int print, uint64_t *last, uint64_t keep)
{
	uint64_t count = 0;
	int got = 0;

	v->impatient = 1; /* what is still being written is not there */
	while (!stop && count < limit &&
	       shmring__distance(v->end, v->position) > 0) {
		got = view_next(v);
		if (got <= 0)
			break;
		if (shmring__distance(v->end, v->at) <= 0)
			break;
		if (last)
			last[count % keep] = v->at;
		count++;
		if (print)
			put_message(v);
	}
	return got < 0 ? got : (int64_t)count;
}

/* Begin with the last so many. */
static void
skip_to_last(struct view *v, uint64_t keep)
{
	const struct shmring__geometry *g = &v->look->ring.geometry;
	uint64_t most = g->mode == SHMRING_MPMC ? g->slots : g->capacity / 8;
	struct view ahead = *v;
	uint64_t *last;
	int64_t count;

	keep = keep < most ? keep : most;
	last = calloc(keep, sizeof(*last));
	if (!last)
		fail(EXIT_WRONG, "%s", strerror(ENOMEM));
	count = walk(&ahead, UINT64_MAX, 0, last, keep);
	if (count > 0)
		v->position =
			last[(uint64_t)count < keep ? 0
						    : (uint64_t)count % keep];
	free(last);
}

static int64_t
dump_following(struct view *v, uint64_t limit)
{
	struct limits limits = { 0, 0 };
	int got = 0;

	for (; limit && !ferror(stdout); limit--) {
		got = follow(v, &limits, 0);
		if (got <= 0)
			break;
		put_message(v);
		fflush(stdout);
	}
	if (got >= 0 && v->missed)
		fprintf(stderr,
			"shmring: %" PRIu64 " %s were taken before they could "
			"be seen\n",
			v->missed,
			v->look->header.mode == SHMRING_MPMC ? "messages"
							     : "bytes");
	return got;
}

static int
run_dump(void)
{
	uint64_t limit = number_of('n', UINT64_MAX), keep = number_of('L', 0);
	struct look look;
	struct view v;
	int64_t got;

	catch_signals();
	look_at_one(&look);
	view_open(&v, &look);
	v.in_hands = given['a'] != NULL;
	if (keep)
		skip_to_last(&v, keep);
	got = walk(&v, limit, 1, NULL, 0);
	fflush(stdout);
	if (given['f'] && got >= 0)
		got = dump_following(&v, limit - (uint64_t)got);
	if (got < 0) {
		fputs("shmring: ", stderr);
		put_text(stderr, look.name, strlen(look.name));
		fputs(": damaged behind what was printed; shmring check says "
		      "more\n",
		      stderr);
	}
	free(v.data);
	look_away(&look);
	return got < 0 ? EXIT_WRONG : 0;
}

/* ---- record, replay ---- */

static int
run_record(void)
{
	struct limits limits = { .count = number_of('n', 0) };
	double seconds = seconds_of('t', 0);
	struct tape tape = { .path = file_name };
	uint64_t missed = 0;
	struct look look;
	char text[SOME];

	catch_signals();
	look_at_one(&look);
	tape_begin(&tape, &look, given['f'] != NULL);
	if (seconds > 0)
		limits.until = tape.start + (int64_t)(seconds * 1e9);
	if (given['o'])
		missed = record_observing(&tape, &look, &limits);
	else
		record_consuming(&tape, ring_name, &limits);
	look_away(&look);
	fprintf(stderr, "%" PRIu64 " messages, %s\n", tape.count,
		long_bytes(text, tape.bytes));
	tape_finish(&tape, missed);
	if (missed)
		fprintf(stderr,
			"shmring: %" PRIu64 " %s were taken by consumers "
			"before they could be recorded\n",
			missed,
			look.header.mode == SHMRING_MPMC ? "messages"
							 : "bytes");
	return missed ? EXIT_WRONG : 0;
}

static int
run_replay(void)
{
	catch_signals();
	return replay(file_name, ring_name, given['F'] != NULL);
}

/* ---- check ---- */

static void
print_findings(const struct look *look, const struct findings *f)
{
	if (given['j']) {
		json_open(NULL, '{');
		json_text("name", look->name);
		json_truth("sound", !f->count);
		json_open("findings", '[');
		for (int i = 0; i < f->count; i++)
			json_text(NULL, f->all[i].text);
		json_close(']');
		json_close('}');
		printf("\n");
		return;
	}
	for (int i = 0; i < f->count; i++) {
		put_text(stdout, look->name, strlen(look->name));
		printf(": ");
		put_text(stdout, f->all[i].text, strlen(f->all[i].text));
		printf("\n");
	}
	if (!f->count) {
		put_text(stdout, look->name, strlen(look->name));
		printf(": in order: %s, %" PRIu64 " messages, %u of %u "
		       "participants\n",
		       engine_of(look), look->waiting, look->alive,
		       look->counts.participants);
	}
}

static int
run_check(void)
{
	static struct findings f;
	struct look look;

	look_at(&look, ring_name);
	if (look.error == -ENOENT || look.error == -EACCES ||
	    look.error == -EINVAL)
		fail_look(&look);
	check_ring(&f, &look);
	if (!given['q'])
		print_findings(&look, &f);
	look_away(&look);
	return f.count ? EXIT_WRONG : 0;
}

/* ---- clean, recover, unlink ---- */

/* Why a ring stays, or NULL: it may go. */
static const char *
reason_to_keep(const struct look *look)
{
	if (look->error)
		return "unusable; shmring check says why, shmring unlink "
		       "removes it";
	if (look->alive)
		return "in use";
	if (!look->dead && !look->died && !given['a'])
		return "left in good order; -a removes those, too";
	if (look->waiting && !given['f'])
		return "holds messages that nobody has read; -f removes it";
	return NULL;
}

/* The header's own way: whoever opens it at the same moment keeps it. */
static int
remove_unused(struct look *look)
{
	return shmring__remove_temporary(look->path, 1);
}

static int
run_clean(void)
{
	struct looks looks;
	unsigned failed = 0, seen = 0;

	look_at_all(&looks);
	for (size_t i = 0; i < looks.count; i++) {
		struct look *look = &looks.all[i];
		const char *why = reason_to_keep(look);
		int error = 0;

		if (ring_name && strcmp(ring_name + (*ring_name == '/'),
					look->name + 1) != 0)
			continue;
		seen++;
		if (!why && !given['n'])
			error = guard(remove_unused, look);
		if (error && error != -ENOENT) {
			why = error == -EBUSY ? "in use by now, or not ours"
					      : shmring_strerror(error);
			failed++;
		}
		printf("%-7s ", why	     ? "kept"
				: given['n'] ? "would"
					     : "removed");
		put_text(stdout, look->name, strlen(look->name));
		printf("%s%s\n",
		       why	    ? ": "
		       : given['n'] ? ": be removed"
				    : "",
		       why ? why : "");
	}
	look_away_all(&looks);
	if (ring_name && !seen)
		fail(EXIT_NO_RING, "%s: %s", ring_name, "no such ring");
	return failed ? EXIT_WRONG : 0;
}

/* As whoever waits in the ring would do it, but without a place in it. */
static int
recover(struct look *look)
{
	struct shmring__header header;
	struct shmring r;
	int fd = open_file(look, O_RDWR), result;

	if (fd < 0)
		return fd;
	result = shmring__recognize(&r, fd, SHMRING_BOTH | SHMRING_ANY_OWNER,
				    &header);
	if (!result)
		result = shmring__map_all(&r, 0);
	if (!result) {
		shmring__set_pointers(&r);
		result = shmring__recover_all(&r);
	}
	shmring__unmap(&r);
	return result;
}

static int
run_recover(void)
{
	struct look look;
	unsigned left = 0;
	int recovered;

	look_at_one(&look);
	for (unsigned i = 0; i < look.persons; i++) {
		const struct person *p = &look.people[i];
		if (p->dead)
			printf("dead: pid %u, %s\n", p->counts.pid,
			       roles_of(p));
	}
	recovered = guard(recover, &look);
	if (recovered < 0)
		fail(EXIT_NO_RING, "%s: %s", ring_name,
		     shmring_strerror(recovered));
	if (guard(gather, &look))
		fail_look(&look);
	left = look.dead;
	printf("%d recovered, %u still dead, %u alive; %" PRIu64
	       " messages wait\n",
	       recovered, left, look.alive, look.waiting);
	look_away(&look);
	return left ? EXIT_WRONG : 0;
}

static int
run_unlink(void)
{
	struct look look;
	int error;

	look_at(&look, ring_name);
	if (look.error == -ENOENT || look.error == -EINVAL)
		fail_look(&look);
	if (!given['f'] && look.header.magic != SHMRING__MAGIC)
		fail(EXIT_NO_RING, "%s: not a ring; -f removes it all the same",
		     ring_name);
	if (!look.error)
		guard(gather, &look);
	if (!given['f'] && look.alive)
		fail(EXIT_WRONG,
		     "%s: in use by %u; -f removes the name all the same, "
		     "those attached go on",
		     ring_name, look.alive);
	look_away(&look);
	error = unlink(look.path) ? -errno : 0;
	if (error)
		fail(EXIT_NO_RING, "%s: %s", ring_name,
		     shmring_strerror(error));
	return 0;
}

/* ---- commands ---- */

static const struct command {
	int letter;
	const char *name;
	const char *arguments; /* R: a ring, r: perhaps, F: a file */
	int (*run)(void);
	const char *help;
} commands[] = {
	{ 'l', "list", "", run_list,
	  "usage: shmring list [-j | -o | -p | -1]\n"
	  "Every ring of the machine, and who is attached.\n"
	  "  -j, --json         as JSON\n"
	  "  -o, --openmetrics  as OpenMetrics\n"
	  "  -p, --prometheus   as Prometheus' older text format (textfile "
	  "collector)\n"
	  "  -1, --names        the names only\n"
	  "SIZE is that of the largest message, MEMORY that of the segment, "
	  "HIGH how full a\n"
	  "metered ring (created with SHMRING_METERED) ever was. A process is\n"
	  "dead, stopped or waiting for certain; working and idle are guesses "
	  "(\"?\") from\n"
	  "what the kernel says of its threads.\n"
	  "forked: it has gone, but a child still holds its lock.\n" },
	{ 's', "show", "R", run_show,
	  "usage: shmring show RING [-j | -o | -p]\n"
	  "All of one ring.\n"
	  "  -j, --json         as JSON\n"
	  "  -o, --openmetrics  as OpenMetrics\n"
	  "  -p, --prometheus   as Prometheus' older text format\n" },
	{ 't', "top", "", run_top,
	  "usage: shmring top [-d SECONDS] [-n FRAMES] [-s KEY]\n"
	  "Rings live: a second, messages and bytes in and out, fill, pushes "
	  "that found no\n"
	  "room, sleeps and wakes; below a BROADCAST ring its readers, their "
	  "lag, and what\n"
	  "they ever lost. Keys: q quits; m, b, f, n sort by messages, bytes, "
	  "fill, name.\n"
	  "Without a terminal: one frame.\n"
	  "  -d, --delay=SECONDS  between two frames (1)\n"
	  "  -n, --count=FRAMES   end after so many\n"
	  "  -s, --sort=KEY       messages (default), bytes, fill, name\n" },
	{ 'd', "dump", "R", run_dump,
	  "usage: shmring dump RING [-x | -r | -l] [-f] [-a] [-L N] [-n N]\n"
	  "The messages that wait in a ring, which stay there. A line each, "
	  "what does not\n"
	  "print as \\n, \\x1b and the like.\n"
	  "  -x, --hex       as bytes, with position and length\n"
	  "  -r, --raw       as they are, one after the other\n"
	  "  -l, --long      position and length before each; \"again\" if a "
	  "consumer that\n"
	  "                  died may have read it\n"
	  "  -f, --follow    and those to come, until the last producer has "
	  "gone; what is\n"
	  "                  taken at once may be missed, and is counted\n"
	  "  -a, --all       MPMC: those in the hands of consumers, too\n"
	  "  -L, --last=N    begin with the last N\n"
	  "  -n, --count=N   at most N\n" },
	{ 'r', "record", "RF", run_record,
	  "usage: shmring record RING FILE [-o] [-n N] [-t SECONDS] [-f]\n"
	  "Take messages from a ring, as a consumer, into a file (-: stdout), "
	  "with their\n"
	  "times, until the last producer has gone or a signal comes.\n"
	  "  -o, --observe, --peek  look only: others get them, some may be "
	  "missed (exit\n"
	  "                         status 1)\n"
	  "  -n, --count=N          end after N messages\n"
	  "  -t, --time=SECONDS     end after so long\n"
	  "  -f, --force            overwrite FILE\n" },
	{ 'p', "replay", "FR", run_replay,
	  "usage: shmring replay FILE RING [-F]\n"
	  "Push what was recorded (-: from stdin) into a ring at the same "
	  "pace. "
	  "A ring that\n"
	  "is not there is made like the recorded one.\n"
	  "  -F, --fast  as fast as it goes\n" },
	{ 'c', "check", "R", run_check,
	  "usage: shmring check RING [-j | -q]\n"
	  "What is wrong with a ring, in words. Status 1 if anything is.\n"
	  "  -j, --json   as JSON\n"
	  "  -q, --quiet  the status only\n" },
	{ 'C', "clean", "r", run_clean,
	  "usage: shmring clean [RING] [-n] [-a] [-f]\n"
	  "Remove rings whose users were killed and that nobody uses; never "
	  "one "
	  "in use.\n"
	  "  -n, --dry-run  only say which\n"
	  "  -a, --all      those left in good order, too\n"
	  "  -f, --force    also if messages wait in them\n" },
	{ 'R', "recover", "R", run_recover,
	  "usage: shmring recover RING\n"
	  "Do for the dead what the next who waits would do: free their "
	  "places, "
	  "give their\n"
	  "messages to others, take their slots back.\n" },
	{ 'u', "unlink", "R", run_unlink,
	  "usage: shmring unlink RING [-f]\n"
	  "Remove a name, whatever is behind it.\n"
	  "  -f, --force  also if it is in use (those attached go on), or no "
	  "ring\n" },
};

static const char help[] =
	"usage: shmring COMMAND [RING] [OPTIONS]\n"
	"  list                every ring of the machine, and who is attached\n"
	"  show RING           all of one ring; as JSON, as metrics\n"
	"  top                 live: rates, fill, sleeps\n"
	"  dump RING           the messages that wait in it; they stay there\n"
	"  record RING FILE    messages with their times into a file\n"
	"  replay FILE RING    and back, at the same pace\n"
	"  check RING          what is wrong with it, in words\n"
	"  clean [RING]        remove what killed users left behind\n"
	"  recover RING        free what the dead hold\n"
	"  unlink RING         remove a name\n"
	"shmring COMMAND --help tells the options. RING is a name like "
	"/prices; with\n"
	"another slash in it, the path of a segment: a copy, or "
	"/proc/PID/fd/N.\n"
	"exit status:\n"
	"   0  done\n"
	"   1  something is wrong, or was found to be\n"
	"   2  wrong usage\n"
	"   3  no such ring, or it cannot be opened\n"
	"   4  FILE or stdout failed, or is no recording\n";

static void
parse_options(const struct command *command, int argc, char **argv)
{
	struct option longs[COUNT_OF(options) + 1];
	char shorts[2 * COUNT_OF(options) + 1];
	int count = 0, at = 0, letter;

	memset(longs, 0, sizeof(longs));
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (options[i].commands &&
		    !strchr(options[i].commands, command->letter))
			continue;
		longs[count].name = options[i].name;
		longs[count].has_arg = options[i].argument;
		longs[count++].val = options[i].letter;
		shorts[at++] = (char)options[i].letter;
		if (options[i].argument)
			shorts[at++] = ':';
	}
	shorts[at] = 0;
	while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (letter == '?') {
			fprintf(stderr, "shmring: see shmring %s --help\n",
				command->name);
			exit(EXIT_USAGE);
		}
		given[letter] = optarg ? optarg : "";
	}
	if (given['h']) {
		fputs(command->help, stdout);
		exit(0);
	}
	for (const char *a = command->arguments; *a; a++) {
		const char **to = *a == 'F' ? &file_name : &ring_name;
		if (optind < argc)
			*to = argv[optind++];
		else if (*a != 'r')
			fail(EXIT_USAGE,
			     "%s: no %s given: see shmring %s "
			     "--help",
			     command->name, *a == 'F' ? "FILE" : "RING",
			     command->name);
	}
	if (optind < argc)
		fail(EXIT_USAGE,
		     "%s: one argument too many: see shmring %s "
		     "--help",
		     argv[optind], command->name);
}

static int
run(const struct command *command, int argc, char **argv)
{
	int status;

	parse_options(command, argc, argv);
	status = command->run();
	if (fflush(stdout) || ferror(stdout))
		fail(EXIT_FILE, "stdout: %s", strerror(errno));
	return status;
}

int
main(int argc, char **argv)
{
	struct sigaction action;
	const char *name = argc > 1 ? argv[1] : "";

	keep_standard_descriptors();
	memset(&action, 0, sizeof(action));
	action.sa_handler = bus_error;
	sigaction(SIGBUS, &action, NULL);
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		printf("shmring %d.%d.%d, layout %d\n", SHMRING_VERSION_MAJOR,
		       SHMRING_VERSION_MINOR, SHMRING_VERSION_PATCH,
		       SHMRING_LAYOUT);
		return 0;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") ||
	    !strcmp(name, "help")) {
		fputs(help, stdout);
		return 0;
	}
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (!strcmp(name, commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
	fail(EXIT_USAGE,
	     *name ? "%s: no such command: see shmring --help"
		   : "no command%s: see shmring --help",
	     name);
}
