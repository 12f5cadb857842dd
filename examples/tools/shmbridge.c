/* SPDX-License-Identifier: MIT
 *
 * shmbridge - carry rings to other machines, over NATS JetStream
 *
 *	cc -O2 -Iinclude examples/tools/shmbridge.c -lnats -pthread -o shmbridge
 *	nats-server -js -sd /var/lib/nats &
 *	./shmbridge out --create /prices &              # here
 *	./shmbridge in --create --server=HERE /prices & # there
 *
 * Each message that was pushed here comes out of the ring there once, and in
 * order, whoever is killed when: either bridge, the server, or all of them. How,
 * is told in shmbridge_out.h and shmbridge_in.h.
 */
#include <shmring.h>
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>

#include "descriptors.h"
#include "shmbridge_common.h"
#include "shmbridge_nats.h"
#include "shmbridge_pack.h"
#include "shmbridge_out.h"
#include "shmbridge_in.h"

static const char help[] =
	"usage: shmbridge out [OPTION]... RING[=STREAM]...  ring to stream\n"
	"       shmbridge in [OPTION]... RING[=STREAM]...   stream to ring\n"
	"STREAM is by default named as RING; its subject is shmring.STREAM\n"
	"  -s, --server=URL       nats://[USER:PASSWORD@]HOST[:PORT], several\n"
	"                         with commas (nats://127.0.0.1:4222)\n"
	"  -c, --create           out: make a STREAM that is missing, in: a "
	"RING\n"
	"  -w, --wait             for what is not there yet: server, RING, "
	"STREAM\n"
	"  -b, --max-bytes=BYTES  of a STREAM that is made: when it is full, "
	"RING\n"
	"                         becomes full (1G; suffix k, M, G); 32M at "
	"least\n"
	"  -k, --pack=N           out: so many messages in one of STREAM at "
	"most (1024)\n"
	"  -d, --duplicates=SECONDS\n"
	"                         window of the same (1); 0.1 at least\n"
	"  -n, --slots=N          of a RING that is made: messages (1024),\n"
	"  -z, --size=BYTES       the longest one (256),\n"
	"  -m, --mpmc             for several producers and consumers,\n"
	"  -M, --metered          that knows its high-water mark and ages\n"
	"  -p, --purge            in: remove from STREAM what was read from "
	"RING\n"
	"  -N, --notes=DIRECTORY  in: where it notes what is in RING\n"
	"                         (/var/lib/shmring, ~/.local/state/shmring)\n"
	"  -1, --once             out: end when no producer and no message is "
	"left\n"
	"  -i, --status=SECONDS   print a line so often; always on SIGUSR1\n"
	"      --creds=FILE       of the user\n"
	"      --tls              encrypt\n"
	"      --tls-ca=FILE      who may vouch for the server; implies --tls\n"
	"      --tls-cert=FILE, --tls-key=FILE  our own certificate\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"exit status:\n"
	"   0  ended by SIGINT or SIGTERM, or with --once\n"
	"  64  wrong usage\n"
	"  65  a message is too long, or note, ring and stream do not fit\n"
	"  66  RING is missing\n"
	"  69  the server, JetStream or STREAM is missing\n"
	"  71  the ring failed\n"
	"  73  the note cannot be written\n"
	"  77  the server refuses us, or has no rights for us\n"
	"  78  a certificate or credential cannot be used\n";

enum { /* options without a letter */
       OPTION_CREDS = 256,
       OPTION_TLS,
       OPTION_TLS_CA,
       OPTION_TLS_CERT,
       OPTION_TLS_KEY
};

/* A number with an optional k, M or G. */
static uint64_t
number(const char *text, uint64_t most)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix && value < UINT64_C(1) << 33) {
		value <<= 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end || errno || !isdigit((unsigned char)*text) || !value ||
	    value > most)
		fail(EX_USAGE, "%s: not a number from 1 to %" PRIu64, text,
		     most);
	return value;
}

static int64_t
seconds_ns(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*end || end == text || !(seconds >= 0.1 && seconds < 1e9))
		fail(EX_USAGE, "%s: not a number of seconds from 0.1 on", text);
	return (int64_t)(seconds * 1e9);
}

/* Where notes are kept: root's outlive a reboot, too. */
static const char *
default_notes(void)
{
	static char path[PATH_MAX];
	const char *home = getenv("HOME");

	if (!geteuid() || !home)
		return "/var/lib/shmring";
	snprintf(path, sizeof(path), "%s/.local/state/shmring", home);
	return path;
}

/* Options that only set something: a flag, or a text. */
static const struct {
	int letter;
	int *flag;
	const char **text;
} simple[] = {
	{ 's', NULL, &option.server },
	{ 'c', &option.create, NULL },
	{ 'w', &option.wait, NULL },
	{ 'p', &option.purge, NULL },
	{ 'N', NULL, &option.notes },
	{ '1', &option.once, NULL },
	{ OPTION_CREDS, NULL, &option.creds },
	{ OPTION_TLS, &option.tls, NULL },
	{ OPTION_TLS_CA, &option.tls, &option.tls_ca },
	{ OPTION_TLS_CERT, NULL, &option.tls_cert },
	{ OPTION_TLS_KEY, NULL, &option.tls_key },
};

static void
take_option(int letter)
{
	for (size_t i = 0; i < sizeof(simple) / sizeof(*simple); i++) {
		if (simple[i].letter != letter)
			continue;
		if (simple[i].flag)
			*simple[i].flag = 1;
		if (simple[i].text)
			*simple[i].text = optarg;
		return;
	}
	switch (letter) {
	case 'b':
		option.max_bytes = (int64_t)number(optarg, INT64_MAX);
		if (option.max_bytes < LEAST_BYTES)
			fail(EX_USAGE, "%s: less than %" PRId64, optarg,
			     LEAST_BYTES);
		break;
	case 'k':
		option.pack = number(optarg, PACK);
		break;
	case 'd':
		option.duplicates_ns = seconds_ns(optarg);
		break;
	case 'n':
		option.ring.slots = (uint32_t)number(optarg, 1 << 30);
		break;
	case 'z':
		option.ring.slot_size = (uint32_t)number(optarg, 1 << 30);
		break;
	case 'm':
		option.ring.mode = SHMRING_MPMC;
		break;
	case 'M':
		option.ring.flags = SHMRING_METERED;
		break;
	case 'i':
		option.status_ns = seconds_ns(optarg);
		break;
	case 'h':
		fputs(help, stdout);
		exit(EX_OK);
	case 'V':
		printf("shmbridge %d.%d.%d, layout %d, libnats %s\n",
		       SHMRING_VERSION_MAJOR, SHMRING_VERSION_MINOR,
		       SHMRING_VERSION_PATCH, SHMRING_LAYOUT,
		       nats_GetVersion());
		exit(EX_OK);
	default:
		fputs("see shmbridge --help\n", stderr);
		exit(EX_USAGE);
	}
}

/* The first argument that is no option is the direction; getopt_long leaves it
 * in front of the others. */
static void
parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "server", required_argument, NULL, 's' },
		{ "create", no_argument, NULL, 'c' },
		{ "wait", no_argument, NULL, 'w' },
		{ "max-bytes", required_argument, NULL, 'b' },
		{ "pack", required_argument, NULL, 'k' },
		{ "duplicates", required_argument, NULL, 'd' },
		{ "slots", required_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 'z' },
		{ "mpmc", no_argument, NULL, 'm' },
		{ "metered", no_argument, NULL, 'M' },
		{ "purge", no_argument, NULL, 'p' },
		{ "notes", required_argument, NULL, 'N' },
		{ "once", no_argument, NULL, '1' },
		{ "status", required_argument, NULL, 'i' },
		{ "creds", required_argument, NULL, OPTION_CREDS },
		{ "tls", no_argument, NULL, OPTION_TLS },
		{ "tls-ca", required_argument, NULL, OPTION_TLS_CA },
		{ "tls-cert", required_argument, NULL, OPTION_TLS_CERT },
		{ "tls-key", required_argument, NULL, OPTION_TLS_KEY },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *direction;
	int letter;

	option.server = "nats://127.0.0.1:4222";
	option.max_bytes = 1 << 30;
	option.pack = PACK;
	option.duplicates_ns = 1000000000;
	option.notes = default_notes();
	while ((letter = getopt_long(argc, argv, "s:cwb:k:d:n:z:mMpN:1i:hV",
				     options, NULL)) != -1)
		take_option(letter);
	direction = optind < argc ? argv[optind++] : "";
	option.in = !strcmp(direction, "in");
	if (!option.in && strcmp(direction, "out") != 0)
		fail(EX_USAGE, "say \"out\" or \"in\" first, then which rings");
	if (optind == argc)
		fail(EX_USAGE, "%s: which rings?", direction);
	if (!option.tls_cert != !option.tls_key)
		fail(EX_USAGE, "--tls-cert and --tls-key: both, or neither");
}

/* RING or RING=STREAM. Subjects and names of streams have no dots and the
 * like; names of rings may. */
static void
name_bridge(struct bridge *b, char *text)
{
	char *stream = strchr(text, '=');

	if (stream)
		*stream++ = 0;
	if (text[0] != '/' || !text[1] || strchr(text + 1, '/'))
		fail(EX_USAGE,
		     "%s: not the name of a ring: it begins with a slash and "
		     "has no other",
		     text);
	if (strlen(stream ? stream : text + 1) >= sizeof(b->stream) ||
	    (stream && !*stream))
		fail(EX_USAGE, "%s: STREAM has 1 to %zu characters", text,
		     sizeof(b->stream) - 1);
	b->name = text;
	snprintf(b->stream, sizeof(b->stream), "%s",
		 stream ? stream : text + 1);
	for (char *c = b->stream; *c; c++)
		if (strchr(".*> \t/\\\"", *c) && stream)
			fail(EX_USAGE, "%s: no name of a stream: '%c'", stream,
			     *c);
		else if (strchr(".*> \t/\\\"", *c))
			*c = '_';
	snprintf(b->subject, sizeof(b->subject), "shmring.%s", b->stream);
}

/* How many messages wait in the ring? */
static uint64_t
out_is_behind(const struct bridge *b)
{
	struct shmring_stat stat;
	struct shmring look;
	uint64_t behind = 0;

	if (shmring_open(&look, b->name, SHMRING_OBSERVER, 0))
		return 0;
	if (!shmring_stat(&look, &stat) && stat.pushed > stat.popped)
		behind = stat.pushed - stat.popped;
	shmring_close(&look);
	return behind;
}

/* How many of the ring's messages are in the stream and not in the ring? The
 * last one of the stream tells how many there are. Not sure, but so many at
 * least: it cannot be asked, or some were not counted; one of the stream has one
 * of the ring's or more. */
static uint64_t
in_is_behind(struct bridge *b, int *sure)
{
	uint64_t next = atomic_load(&b->next), last = 0, end = 0, done;
	natsMsg *message = NULL;
	jsOptions options;
	natsStatus s = NATS_NOT_YET_CONNECTED;

	jsOptions_Init(&options);
	options.Wait = 1000; /* ms: who wants us to end waits, too */
	if (next && atomic_load(&b->connected))
		s = js_GetLastMsg(&message, b->js, b->stream, b->subject,
				  &options, NULL);
	if (s == NATS_OK) {
		last = natsMsg_GetSequence(message);
		end = read_total(message);
		natsMsg_Destroy(message);
	}
	next = atomic_load(&b->next);
	done = atomic_load(&b->done);
	*sure = s == NATS_OK || s == NATS_NOT_FOUND;
	if (s != NATS_OK || last < next)
		return atomic_load(&b->left);
	*sure = end != UNCOUNTED && done != UNCOUNTED && end >= done;
	return *sure ? end - done : atomic_load(&b->left) + last - next + 1;
}

static void
print_status(struct bridge *b)
{
	int sure = 1;
	uint64_t behind = option.in ? in_is_behind(b, &sure) : out_is_behind(b);

	fprintf(stderr,
		"shmbridge: %s %s %s: %" PRIu64 " messages, %" PRIu64
		" bytes, %s%" PRIu64 " behind%s\n",
		b->name, option.in ? "<-" : "->", b->stream,
		(uint64_t)atomic_load(&b->messages),
		(uint64_t)atomic_load(&b->bytes), sure ? "" : "at least ",
		behind, atomic_load(&b->connected) ? "" : ", no connection");
}

int
main(int argc, char **argv)
{
	struct timespec every;
	struct bridge *bridges;
	sigset_t signals;
	int count, number;

	keep_standard_descriptors();
	parse(argc, argv);
	count = argc - optind;
	bridges = calloc((size_t)count, sizeof(*bridges));
	if (!bridges)
		fail(EX_OSERR, "%s", strerror(ENOMEM));
	for (int i = 0; i < count; i++)
		name_bridge(&bridges[i], argv[optind + i]);
	/* The library allocates each message: keep their pages. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* of all threads */
	atomic_store(&working, count);
	for (int i = 0; i < count; i++)
		if (pthread_create(&bridges[i].thread, NULL,
				   option.in ? run_in : run_out, &bridges[i]))
			fail(EX_OSERR, "%s: no thread", bridges[i].name);
	every.tv_sec = option.status_ns / 1000000000;
	every.tv_nsec = option.status_ns % 1000000000;
	do {
		number = sigtimedwait(&signals, NULL,
				      option.status_ns ? &every : NULL);
		if (number < 0 && errno == EINTR)
			continue;
		for (int i = 0; (number < 0 || number == SIGUSR1) && i < count;
		     i++)
			print_status(&bridges[i]);
	} while (number < 0 || number == SIGUSR1);
	atomic_store(&stopping, 1);
	for (int i = 0; i < count; i++)
		pthread_join(bridges[i].thread, NULL);
	free(bridges);
	return EX_OK;
}
