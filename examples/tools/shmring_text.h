/* SPDX-License-Identifier: MIT
 *
 * What shmring prints: numbers for people, and the text of others, which is
 * never trusted: no byte of a name, a command or a message reaches a terminal,
 * a JSON string or a label as it is, unless it is harmless there.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>

#define SOME 24 /* bytes for a number with its unit */

static __attribute__((noreturn, format(printf, 2, 3))) void
fail(int status, const char *format, ...)
{
	va_list arguments;

	fputs("shmring: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(status);
}

/* How many bytes the character at s takes: printable, in valid UTF-8, and
 * none of those that change what a terminal shows. 0: no such. */
static size_t
printable(const unsigned char *s, size_t left)
{
	size_t size = *s < 0xc2 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	uint32_t code = *s & (0xffu >> (size + 1));

	if (size == 1)
		return *s >= 0x20 && *s < 0x7f;
	if (*s > 0xf4 || size > left)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if ((size == 2 && code < 0xa0) || (size == 3 && code < 0x800) ||
	    (code >= 0xd800 && code < 0xe000) ||
	    (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069) ||
	    (size == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	return size;
}

/* Columns: a character each is near enough. */
static int
put_text(FILE *to, const void *text, size_t size)
{
	const unsigned char *s = text;
	int columns = 0;

	while (size) {
		size_t n = *s == '\\' ? 0 : printable(s, size);
		if (n) {
			fwrite(s, 1, n, to);
			columns++;
		} else if (*s == '\n' || *s == '\t' || *s == '\r' ||
			   *s == '\\') {
			columns += fprintf(to, "\\%c",
					   *s == '\n'	? 'n'
					   : *s == '\t' ? 't'
					   : *s == '\r' ? 'r'
							: '\\');
		} else {
			columns += fprintf(to, "\\x%02x", *s);
		}
		n += !n;
		s += n;
		size -= n;
	}
	return columns;
}

/* Text, filled up with spaces to so many columns. */
static void
put_column(const char *text, int width)
{
	int columns = put_text(stdout, text, strlen(text));

	printf("%*s", columns < width ? width - columns : 0, "");
}

/* Between quotes: what JSON and OpenMetrics both understand. */
static void
put_quoted(const char *text, int json)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t left = strlen(text);

	putchar('"');
	while (left) {
		size_t n = printable(s, left);
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (n)
			fwrite(s, 1, n, stdout);
		else if (json && *s < 0x80)
			printf("\\u%04x", *s);
		else if (*s == '\n')
			printf("\\n");
		else
			printf("\xef\xbf\xbd"); /* U+FFFD */
		n += !n;
		s += n;
		left -= n;
	}
	putchar('"');
}

/* JSON, one value after the other; a key is NULL in arrays. */
static int json_more;

static void
json_key(const char *key)
{
	if (json_more)
		putchar(',');
	json_more = 1;
	if (key)
		printf("\"%s\":", key);
}

static void
json_open(const char *key, int bracket)
{
	json_key(key);
	putchar(bracket);
	json_more = 0;
}

static void
json_close(int bracket)
{
	putchar(bracket);
	json_more = 1;
}

static void
json_text(const char *key, const char *value)
{
	json_key(key);
	if (value)
		put_quoted(value, 1);
	else
		printf("null");
}

static void
json_number(const char *key, uint64_t value)
{
	json_key(key);
	printf("%" PRIu64, value);
}

static void
json_real(const char *key, double value)
{
	json_key(key);
	printf("%.6g", value);
}

/* What not every ring, or not everybody, has. */
static void
json_number_if(const char *key, int known, uint64_t value)
{
	if (known)
		json_number(key, value);
	else
		json_text(key, NULL);
}

static void
json_real_if(const char *key, int known, double value)
{
	if (known)
		json_real(key, value);
	else
		json_text(key, NULL);
}

static void
json_truth(const char *key, int value)
{
	json_key(key);
	printf(value ? "true" : "false");
}

/* Three digits and a suffix: 0, 999, 1.23k; in steps of 1000 or 1024. */
static const char *
scaled(char text[SOME], double value, double step, const char *suffixes)
{
	int i = 0;

	while (value >= (step == 1024 ? 1023.5 : 999.5) && suffixes[i + 1]) {
		value /= step;
		i++;
	}
	snprintf(text, SOME, "%.*f%.*s",
		 i && value < 9.995   ? 2
		 : i && value < 99.95 ? 1
				      : 0,
		 value, i || suffixes[0] != ' ', suffixes + i);
	return text;
}

static const char *
short_count(char text[SOME], double value)
{
	return scaled(text, value, 1000, " kMGTPE");
}

static const char *
short_bytes(char text[SOME], double value)
{
	return scaled(text, value, 1024, "BKMGTPE");
}

static const char *
long_bytes(char text[SOME], uint64_t value)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	double v = (double)value;
	int i = 0;

	while (v >= 1023.95) {
		v /= 1024;
		i++;
	}
	snprintf(text, SOME, "%.*f %s", i && v < 99.95 ? 1 : 0, v, units[i]);
	return text;
}

static const char *
short_time(char text[SOME], double seconds)
{
	static const struct {
		double unit;
		const char *suffix;
	} units[] = { { 365.25 * 86400, "y" },
		      { 86400, "d" },
		      { 3600, "h" },
		      { 60, "m" } };

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (seconds >= units[i].unit) {
			snprintf(text, SOME, "%u%s",
				 (unsigned)(seconds / units[i].unit),
				 units[i].suffix);
			return text;
		}
	snprintf(text, SOME, "%.0fs", seconds < 0 ? 0 : seconds);
	return text;
}

/* As short_time, but messages are usually younger than a second. */
static const char *
short_age(char text[SOME], uint64_t ns)
{
	if (ns >= 1000000000)
		return short_time(text, (double)ns / 1e9);
	snprintf(text, SOME, ns >= 1000000 ? "%ums" : "%uus",
		 (unsigned)(ns / (ns >= 1000000 ? 1000000 : 1000)));
	return text;
}

/* 1234567 as 1,234,567. */
static const char *
grouped(char text[SOME + 8], uint64_t value)
{
	char digits[SOME];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, value), at = 0;

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = 0;
	return text;
}
