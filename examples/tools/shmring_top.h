/* SPDX-License-Identifier: MIT
 *
 * Rings live: each frame looks at all anew and compares with the last one.
 */
#include <sys/ioctl.h>
#include <termios.h>

struct rates { /* a second; of one ring */
	const struct look *look;
	double pushed, popped, pushed_bytes, popped_bytes, refused, sleeps,
		wakes;
	int known;
};

static struct {
	int on, rows, columns, sort;
	struct termios before;
} terminal = { .rows = 24, .columns = 80, .sort = 'm' };

/* Only what a signal handler may call. */
static void
terminal_restore(void)
{
	static const char text[] = "\033[?25h\033[?1049l";

	if (!terminal.on)
		return;
	terminal.on = 0;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) > 0)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.before);
	else
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
}

static volatile sig_atomic_t suspend;

static void
on_suspend(int number)
{
	suspend = number;
}

static void
terminal_set(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal.before))
		return;
	raw = terminal.before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	terminal.on = 1;
	signal(SIGTSTP, on_suspend);
	before_death = terminal_restore;
	printf("\033[?1049h\033[?25l");
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void
terminal_size(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row &&
	    size.ws_col) {
		terminal.rows = size.ws_row;
		terminal.columns = size.ws_col;
	}
}

/* Sleep until the next frame, or a key: which, or 0. */
static int
terminal_key(int64_t until)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t left;
	char key;

	while (!stop && (left = until - now_ns(CLOCK_MONOTONIC)) > 0) {
		if (suspend) {
			suspend = 0;
			terminal_restore();
			raise(SIGSTOP);
			terminal_set();
		}
		if (!terminal.on) {
			nap(left);
		} else if (poll(&input, 1, (int)(left / 1000000) + 1) > 0) {
			ssize_t got = read(STDIN_FILENO, &key, 1);
			if (got == 1)
				return key;
			if (got == 0 || errno != EINTR)
				return 'q'; /* the terminal has gone */
		} else {
			terminal_size();
		}
	}
	return 0;
}

static double
rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static struct rates
compare(const struct look *look, const struct looks *before, double seconds)
{
	const struct shmring_stat *now = &look->counts, *then;
	struct rates r = { .look = look };

	for (size_t i = 0; before && i < before->count; i++) {
		const struct look *old = &before->all[i];
		if (old->error || look->error ||
		    memcmp(old->header.id, look->header.id, 16) != 0 ||
		    old->file.st_ino != look->file.st_ino)
			continue;
		then = &old->counts;
		r.known = 1;
		r.pushed = rate(now->pushed, then->pushed, seconds);
		r.popped = rate(now->popped, then->popped, seconds);
		r.pushed_bytes =
			rate(now->pushed_bytes, then->pushed_bytes, seconds);
		r.popped_bytes =
			rate(now->popped_bytes, then->popped_bytes, seconds);
		r.refused = rate(now->refused, then->refused, seconds);
		r.sleeps = rate(now->sleeps, then->sleeps, seconds);
		r.wakes = rate(now->wakes, then->wakes, seconds);
		break;
	}
	return r;
}

static double
sort_key(const struct rates *r)
{
	switch (terminal.sort) {
	case 'b':
		return r->pushed_bytes + r->popped_bytes;
	case 'f':
		return r->look->error ? 0 : fill_of(r->look);
	case 'n':
		return 0; /* as they came: by name */
	default:
		return r->pushed + r->popped;
	}
}

static int
by_rate(const void *a, const void *b)
{
	const struct rates *x = a, *y = b;
	double left = sort_key(x), right = sort_key(y);

	if (left > right || left < right)
		return left < right ? 1 : -1;
	return strcmp(x->look->name, y->look->name);
}

static void
top_end_line(void)
{
	printf(terminal.on ? "\033[K\n" : "\n");
}

/* What there is, shows; full only when full. */
static void
top_bar(double fill)
{
	int width = terminal.columns >= 90 ? 20 : 10;
	int marks = (int)(fill * width + (fill > 0 && fill * width < 1));

	printf(" [");
	for (int i = 0; i < width; i++)
		putchar(i < marks ? '#' : ' ');
	printf("]%3.0f%% ", 100 * fill);
}

/* Those of a BROADCAST ring, below it: so many rows at most; how many. One that
 * was overwritten is as far behind as can be. */
static size_t
top_readers(const struct look *look, size_t room)
{
	char lag[SOME], lost[SOME];
	size_t rows = 0;

	for (unsigned i = 0; i < look->persons && rows < room; i++) {
		const struct person *p = &look->people[i];
		double behind = ratio_of(look, p->counts.lag);

		if (!is_reader(look, p))
			continue;
		printf("%16u", p->counts.pid);
		top_bar(behind < 1 ? behind : 1);
		printf("%5s lag %5s lost  ",
		       short_bytes(lag, (double)p->counts.lag),
		       short_count(lost, (double)p->counts.lost));
		put_column(*p->command ? p->command : "?", 15);
		printf(" %s%s", p->state, p->certain ? "" : "?");
		top_end_line();
		rows++;
	}
	return rows;
}

static void
top_row(const struct rates *r)
{
	const struct look *look = r->look;
	char t[7][SOME], name[17];

	if (strlen(look->name) > 16)
		snprintf(name, sizeof(name), "%.13s...", look->name);
	else
		snprintf(name, sizeof(name), "%.16s", look->name);
	put_column(name, 16);
	if (look->error) {
		printf(" unusable: shmring check says why");
		top_end_line();
		return;
	}
	top_bar(fill_of(look));
	printf("%5s %5s %5s %5s %5s %5s %5s", short_count(t[0], r->pushed),
	       short_count(t[1], r->popped), short_bytes(t[2], r->pushed_bytes),
	       short_bytes(t[3], r->popped_bytes),
	       short_count(t[4], r->refused), short_count(t[5], r->sleeps),
	       short_count(t[6], r->wakes));
	top_end_line();
}

static void
top_header(const struct looks *looks, double seconds)
{
	unsigned behind = 0, stopped = 0;
	char when[16] = "";
	time_t now = time(NULL);
	struct tm local;

	for (size_t i = 0; i < looks->count; i++) {
		const struct look *look = &looks->all[i];
		behind += !look->error && !look->alive &&
			  (look->dead || look->died);
		for (unsigned k = 0; k < look->persons; k++)
			stopped += !strcmp(look->people[k].state, "stopped");
	}
	if (localtime_r(&now, &local))
		strftime(when, sizeof(when), "%H:%M:%S", &local);
	if (terminal.on)
		printf("\033[H");
	printf("%s  %zu ring%s, %u left behind, %u stopped  (%.1f s", when,
	       looks->count, looks->count == 1 ? "" : "s", behind, stopped,
	       seconds);
	printf(terminal.on ? "; q quit, sort: m b f n)" : ")");
	top_end_line();
	if (terminal.on)
		printf("\033[7m");
	printf("%-16s  %-*s FILL %5s %5s %5s %5s %5s %5s %5s", "NAME",
	       terminal.columns >= 90 ? 20 : 10, "", "IN/s", "OUT/s", "IN B",
	       "OUT B", "REFUS", "SLEEP", "WAKE");
	if (terminal.on)
		printf("\033[0m");
	top_end_line();
}

static void
top_frame(const struct looks *now, const struct looks *before, double seconds)
{
	struct rates *rows = calloc(now->count + 1, sizeof(*rows));
	size_t room = terminal.on && terminal.rows > 3
			      ? (size_t)terminal.rows - 3
			      : SIZE_MAX;

	if (!rows)
		return;
	for (size_t i = 0; i < now->count; i++)
		rows[i] = compare(&now->all[i], before, seconds);
	qsort(rows, now->count, sizeof(*rows), by_rate);
	top_header(now, seconds);
	for (size_t i = 0; i < now->count && room; i++) {
		top_row(&rows[i]);
		room--;
		if (!rows[i].look->error)
			room -= top_readers(rows[i].look, room);
	}
	if (terminal.on)
		printf("\033[J");
	fflush(stdout);
	free(rows);
}

/* So many frames; 0: until q or a signal. */
static int
top(double delay, uint64_t frames, int sort)
{
	struct looks before, now;
	int64_t then, last;
	int key = 0;

	atexit(terminal_restore);
	catch_signals();
	if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO))
		terminal_set();
	else if (!frames)
		frames = 1;
	terminal.sort = sort;
	terminal_size();
	look_at_all(&before);
	last = now_ns(CLOCK_MONOTONIC);
	/* The first frame of a terminal comes soon. */
	key = terminal_key(last + (terminal.on ? INT64_C(200000000)
					       : (int64_t)(delay * 1e9)));
	for (uint64_t frame = 1; !stop && key != 'q'; frame++) {
		look_at_all(&now);
		then = now_ns(CLOCK_MONOTONIC);
		terminal_size();
		top_frame(&now, &before, (double)(then - last) / 1e9);
		if (frames && frame >= frames) {
			look_away_all(&now);
			break;
		}
		key = terminal_key(then + (int64_t)(delay * 1e9));
		if (key == 'm' || key == 'b' || key == 'f' || key == 'n')
			terminal.sort = key;
		look_away_all(&before);
		before = now;
		last = then;
	}
	look_away_all(&before);
	terminal_restore();
	return 0;
}
