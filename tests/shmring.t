#!/bin/sh
# Description: shmring: each command, its values and its failures, hostile
# segments, a real terminal
# shellcheck source=tests/tap.sh
. tests/tap.sh

program=$tools/shmring
shmring="$limit $program"
lines=$tmp/lines # fills rings and empties them; see below
shm=/dev/shm
one=$ring-one
two=$ring-two
seed=${SEED:-$$}
echo "# seed $seed"
# What a sanitizer says is a failure, not one of our exit statuses.
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99

# gives STATUS WHAT ARGUMENTS...: stdout and stderr go to files
gives()
{
	expected=$1
	what=$2
	shift 2
	$shmring "$@" </dev/null >"$tmp/stdout" 2>"$tmp/stderr"
	is $? "$expected" "$what"
}

# says PATTERN WHAT [FILE]: in what `gives` left
says()
{
	grep -q -e "$1" "$tmp/${3:-stdout}"
	status=$?
	ok $status "$2"
	[ $status = 0 ] || sed 's/^/# /' "$tmp/${3:-stdout}"
}

# The same for 10 seconds: each of these looks takes its time.
wait_for()
{
	for _ in $(seq 100); do
		"$@" 2>/dev/null && return
		sleep 0.1
	done
	return 1
}

# spawn NAME COMMAND...: in the background, with this stdin; its pid is
# $(pid NAME), and it ends with the test
spawn()
{
	name=$1
	shift
	{ # the shell gives what runs in the background another stdin
		"$@" <&8 2>/dev/null 9>&- &
	} 8<&0
	echo $! >"$tmp/$name.pid"
	echo $! >>"$tmp/started"
}

# write NAME RING ENGINE SLOTS SIZE [FLAGS ALIGNMENT [DEMOTE_MS]]: sends the
# lines of stdin, and stays until they have been taken
write()
{
	name=$1
	shift
	spawn "$name" "$lines" "$@"
}

pid()
{
	cat "$tmp/$1.pid"
}

# shellcheck disable=SC2317 # wait_for calls it
gone()
{
	[ ! -e "/proc/$1" ] || grep -q '^[^)]*) [ZX]' "/proc/$1/stat"
}

# kill_hard NAME: and wait until it has gone
kill_hard()
{
	kill -9 "$(pid "$1")"
	wait_for gone "$(pid "$1")"
}

end_started()
{
	while read -r started; do
		gone "$started" || kill -9 "$started"
	done <"$tmp/started" 2>/dev/null
	: >"$tmp/started"
}

# shellcheck disable=SC2317 # wait_for calls these
holds()
{
	[ "$($shmring dump "$1" | wc -l)" -ge "$2" ]
}
# shellcheck disable=SC2317
state_is()
{
	$shmring show "$1" | grep -q " $2  *$3"
}
# shellcheck disable=SC2317
popped_is() # RING COUNT: so many messages have been taken
{
	$shmring show "$1" | grep -q "popped *$2\\b"
}
# shellcheck disable=SC2317
json_has() # RING PATTERN
{
	$shmring show -j "$1" | grep -q -e "$2"
}

# shellcheck disable=SC2317 # the trap calls it
end_all()
{
	end_started
	tap_cleanup
}
trap end_all EXIT

# What takes part in the rings that are looked at: `lines RING spsc|mpmc|cast
# SLOTS SIZE [FLAGS ALIGNMENT [DEMOTE_MS]]` makes one and sends (what finds no
# room at once is refused once, and then waits), `lines RING` receives; a message
# stays in its hands while stdout does not take it.
cat >"$tmp/lines.c" <<'END'
#include <shmring.h>
#define LONGEST INT64_C(60000000000)
int main(int argc, char **argv)
{
	struct shmring_config config = { .roles = SHMRING_PRODUCER };
	struct shmring ring;
	const void *data;
	char text[4096];
	size_t size;
	int error;

	if (argc >= 5) {
		config.mode = !strcmp(argv[2], "spsc") ? SHMRING_SPSC :
			      !strcmp(argv[2], "mpmc") ? SHMRING_MPMC :
							 SHMRING_BROADCAST;
		config.flags = argc >= 7 ? (uint32_t)atoi(argv[5]) : 0;
		config.alignment = argc >= 7 ? (uint32_t)atoi(argv[6]) : 0;
		config.demote_ms = argc == 8 ? (uint32_t)atoi(argv[7]) : 0;
		config.slots = (uint32_t)atoi(argv[3]);
		config.slot_size = (uint32_t)atoi(argv[4]);
		config.participants = config.mode == SHMRING_MPMC ? 3 : 0;
		if (shmring_create(&ring, argv[1], &config))
			return 1;
		while (fgets(text, sizeof(text), stdin))
			if (shmring_push(&ring, text, strlen(text)) &&
			    shmring_push_wait(&ring, text, strlen(text),
					      LONGEST))
				return 1;
		return shmring_flush(&ring, LONGEST) || shmring_close(&ring);
	}
	if (shmring_open(&ring, argv[1], SHMRING_CONSUMER, LONGEST))
		return 1;
	do { /* overwritten before or meanwhile: go on at what comes next */
		data = shmring_peek_wait(&ring, &size, LONGEST);
		if (data && write(1, data, size) != (ssize_t)size)
			return 1;
		error = data ? shmring_release(&ring) : shmring_error(&ring);
	} while (!error || error == -ENOBUFS);
	return shmring_close(&ring) || error != -EPIPE;
}
END
${CC:-cc} -O2 -Iinclude "$tmp/lines.c" -o "$lines"
ok $? "who takes part: built"

# json FILE: strict, as RFC 8259 has it
json()
{
	awk 'function bad() { print "# bad JSON at " i; failed = 1; exit 1 }
	function ws() { while (substr(s, i, 1) ~ /[ \n\t\r]/) i++ }
	function string(c) {
		if (substr(s, i++, 1) != "\"") bad()
		while ((c = substr(s, i++, 1)) != "\"") {
			if (c == "" || c < " ") bad()
			if (c != "\\") continue
			c = substr(s, i++, 1)
			if (c == "u") {
				if (substr(s, i, 4) !~ /^[0-9a-f]+$/) bad()
				i += 4
			} else if (c == "" || !index("\"\\/bfnrt", c)) bad()
		}
	}
	function list(last, pairs, c) {
		i++
		ws()
		if (substr(s, i, 1) == last) { i++; return }
		do {
			ws()
			if (pairs) {
				string()
				ws()
				if (substr(s, i++, 1) != ":") bad()
			}
			value()
			ws()
			c = substr(s, i++, 1)
		} while (c == ",")
		if (c != last) bad()
	}
	function value(c) {
		ws()
		c = substr(s, i, 1)
		if (c == "{") list("}", 1)
		else if (c == "[") list("]", 0)
		else if (c == "\"") string()
		else if (match(substr(s, i, 40), /^(-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false|null)/))
			i += RLENGTH
		else bad()
	}
	{ s = s $0 "\n" }
	END { if (failed) exit 1; i = 1; value(); ws(); exit i <= length(s) }' "$1" &&
		{ ! command -v python3 >/dev/null || python3 -m json.tool "$1" >/dev/null; }
}

# metrics OPEN FILE: OpenMetrics 1.0 (1), or the text format 0.0.4 (0)
metrics()
{
	awk -v open="$1" 'function bad(why) { print "# line " NR ": " why ": " $0; failed = 1; exit 1 }
	ended { bad("behind EOF") }
	open && /^# EOF$/ { ended = 1; next }
	/^# (HELP|TYPE|UNIT) / {
		if ($2 == "UNIT" && !open) bad("UNIT")
		if ($3 != family) {
			if ($2 != "HELP" || seen[$3]++) bad("family begins twice")
			family = $3
			type = unit = ""
			samples = 0
		}
		if (samples) bad("metadata behind samples")
		if ($2 == "TYPE") type = $4
		if ($2 == "UNIT" && substr(family, length(family) - length($4)) != "_" $4) bad("unit is no suffix")
		if ($2 == "TYPE" && type !~ (open ? "^(counter|gauge|info)$" : "^(counter|gauge)$")) bad("type")
		next
	}
	!/^[a-z_]+\{[a-z_]+="([^"\\]|\\["\\n])*"(,[a-z_]+="([^"\\]|\\["\\n])*")*\} [0-9.e+-]+$/ { bad("syntax") }
	{
		name = $0
		sub(/\{.*/, "", name)
		suffix = !open ? "" : type == "counter" ? "_total" : type == "info" ? "_info" : ""
		if (name != family suffix || type == "") bad("not of " family)
		if (type == "counter" && name !~ /_total$/) bad("no _total")
		series = $0
		sub(/ [^ ]*$/, "", series)
		if (twice[series]++) bad("twice")
		samples++
		all++
	}
	END { if (!failed && (!all || (open && !ended))) print "# no EOF"; exit failed || !all || (open && !ended) }' "$2"
}

commands="list show top dump record replay check clean recover unlink"

# prometheus WHAT: what `gives` left is the older text format
prometheus()
{
	metrics 0 "$tmp/stdout"
	ok $? "$1: strictly parsed"
	if command -v promtool >/dev/null; then
		promtool check metrics <"$tmp/stdout" >"$tmp/stderr" 2>&1
		is "$? $(cat "$tmp/stderr")" "0 " \
			"$1: promtool finds nothing to complain about"
	else
		echo "# no promtool: only the strict parser was asked"
	fi
}

# ---- usage ----
gives 0 "--help" --help
says '^ *3  no such ring' "--help lists the exit statuses"
gives 0 "--version" --version
is "$(cat "$tmp/stdout")" "shmring $(sed -n 's/^#define SHMRING_VERSION_M.*OR //p
	s/^#define SHMRING_VERSION_PATCH //p' include/shmring.h |
	paste -sd.), layout $(sed -n \
	's/^#define SHMRING_LAYOUT \([0-9]*\).*/\1/p' include/shmring.h)" \
	"--version: of the header and the layout"
wide=$($program --help; for c in $commands; do $program "$c" --help; done)
is "$(echo "$wide" | awk 'length > 80')" "" "no help is wider than 80 columns"
missing=
for c in $commands; do
	$program "$c" --help >"$tmp/help" || missing="$missing $c"
	grep -q "^usage: shmring $c" "$tmp/help" || missing="$missing $c:usage"
	grep -o -e '--[a-z-]*' "$tmp/help" >"$tmp/names"
	while read -r o; do
		grep -q -e "$(echo "$o" | sed 's/-/\\\\-/g')" \
			examples/tools/man/shmring.1 || missing="$missing man:$o"
		grep -q -e "$o" examples/tools/completion/shmring ||
			missing="$missing completion:$o"
	done <"$tmp/names"
	grep -q "^\.SS $c" examples/tools/man/shmring.1 || missing="$missing man:$c"
	grep -q "$c" examples/tools/completion/shmring ||
		missing="$missing completion:$c"
done
is "$missing" "" "each command has its help, and is in the man page and in the completion, with all options"
gives 2 "no command is wrong usage"
gives 2 "an unknown command is wrong usage" frobnicate
gives 2 "an unknown option is wrong usage" list --nonsense
gives 2 "an option of another command is wrong usage" list --follow
gives 2 "no ring is wrong usage" show
gives 2 "an argument too many is wrong usage" show "$one" extra
gives 2 "a count that is none is wrong usage" dump "$one" -n 3x
gives 2 "a delay that is none is wrong usage" top -d never
gives 2 "a key to sort by that is none is wrong usage" top -s color
for c in show dump check recover unlink; do
	gives 3 "$c: a ring that is not there" $c "$one"
	is "$(wc -l <"$tmp/stderr") $(grep -c 'no such ring' "$tmp/stderr")" \
		"1 1" "$c: and says so in one line"
done
gives 3 "record: a ring that is not there" record "$one" "$tmp/none"
gives 4 "replay: a file that is not there" replay "$tmp/none" "$one"
gives 3 "clean: a ring that is not there" clean "$one"

# ---- a ring in use: values ----
seq 1 300 | write one "$one" spsc 64 32
mkfifo "$tmp/two"
exec 6<>"$tmp/two"
seq 1001 1040 >&6
write two "$two" mpmc 64 32 <"$tmp/two"
# The first holds what fits into 4 KiB: records of 16 bytes, but for one word.
wait_for holds "$one" 255
wait_for holds "$two" 40
wait_for state_is "$one" producer waiting
ok $? "show: a process that waits in the ring is seen, now and then"
gives 0 "list" list
says "^$one *SPSC *64 *32B .*100% .*0600 [0-9a-f]\{8\}$" "list: the ring"
says "^ *$(pid one) lines *producer  [a-z]*?\{0,1\} .*255 in" "list: who is attached, and what it does"
is "$(awk 'length > 80' "$tmp/stdout")" "" "list: 80 columns"
says "^NAME .* FILL HIGH  *AGE " "list: its columns"
says "^$two .* 62%    - .*0600" "list: no high-water mark of a ring that is not metered"
gives 0 "list --names" list --names
is "$(grep -c -x -e "$one" -e "$two" "$tmp/stdout")" 2 "list --names: both"
gives 0 "list --json" list --json
json "$tmp/stdout"
ok $? "list --json is valid"
gives 0 "show" show "$one"
says "pushed *255 messages" "show: messages"
says "participants *1 of 2" "show: participants"
says "^  refused *1 pushes that found no room$" "show: refused pushes"
says "^  metered *no: created without SHMRING_METERED$" "show: not metered"
says "geometry *64 messages of at most 32 B$" "show: no alignment but 8 is told"
is "$(awk 'length > 80' "$tmp/stdout")" "" "show: 80 columns"
gives 0 "show without a slash" show "${one#/}"
gives 0 "show by path" show "$shm$one"
gives 0 "show --json" show "$two" --json
json "$tmp/stdout"
ok $? "show --json is valid"
for pair in '"engine":"mpmc"' '"slots":64' '"slot_size":32' '"pushed":40' \
	'"pushed_bytes":200' '"popped":0' '"messages":40' '"fill":0.625' \
	'"command":"lines"' '"producer":true' '"permissions":"0600"' \
	'"state":"in use"' '"error":null' "\"pid\":$(pid two)" \
	'"alignment":8' '"flags":\[\]' '"refused":0,.*"refused":0' \
	'"high_water":null,"oldest_age_seconds":null,"attention"' \
	'"lag_bytes":null,"lost":null,"oldest_age_seconds":null'; do
	says "$pair" "show --json: $pair"
done
for form in openmetrics prometheus; do
	open=$([ $form = openmetrics ]; echo $((1 - $?)))
	for of in list "show $two"; do
		# shellcheck disable=SC2086 # words
		gives 0 "${of%% *} --$form" $of --$form
		metrics "$open" "$tmp/stdout"
		ok $? "${of%% *} --$form: strictly parsed"
	done
	says "^shmring_pushed_messages_total{ring=\"$two\"} 40$" "$form: messages"
	says "^shmring_fill_ratio{ring=\"$two\"} 0.625$" "$form: fill"
	says "^shmring_refused_total{ring=\"$two\"} 0$" "$form: refused"
	is "$(grep -c -e high_water -e oldest -e reader "$tmp/stdout")" 0 \
		"$form: of one that is not metered, and has no readers of its own"
	says "state=\"alive\"} 1$" "$form: participants"
done
prometheus "show --prometheus"
gives 0 "check: in order" check "$one"
says "in order: SPSC, 255 messages" "check: says so"
gives 0 "check --json" check "$two" --json
says '"sound":true,"findings":\[\]' "check --json: sound"
json "$tmp/stdout"
ok $? "check --json is valid"

# ---- dump ----
gives 0 "dump" dump "$one"
is "$(cksum <"$tmp/stdout")" "$(seq 255 | cksum)" "dump: the messages, in order"
gives 0 "dump: MPMC" dump "$two"
is "$(cksum <"$tmp/stdout")" "$(seq 1001 1040 | cksum)" "dump: MPMC: in order"
gives 0 "dump --last" dump "$one" --last 3
is "$(cat "$tmp/stdout")" "$(seq 253 255)" "dump --last: the last three"
gives 0 "dump --last: MPMC" dump "$two" --last=2
is "$(cat "$tmp/stdout")" "$(seq 1039 1040)" "dump --last: MPMC"
gives 0 "dump --last: more than there are" dump "$two" -L 100000000000
is "$(cksum <"$tmp/stdout")" "$(seq 1001 1040 | cksum)" "dump --last: all then"
gives 0 "dump --count" dump "$two" --count 2
is "$(cat "$tmp/stdout")" "$(seq 1001 1002)" "dump --count: the first two"
gives 0 "dump --long" dump "$two" -l -L 1
is "$(cat "$tmp/stdout")" "39 5 1040" "dump --long: position, length, text"
gives 0 "dump --raw" dump "$two" --raw -n 3
is "$(cksum <"$tmp/stdout")" "$(seq 1001 1003 | cksum)" "dump --raw: bytes as they are"
gives 0 "dump --hex" dump "$two" --hex -n 1
is "$(cat "$tmp/stdout")" "# 0 5
00000000   31 30 30 31 0a                                    |1001.|" \
	"dump --hex: bytes in columns"
$shmring dump "$one" >/dev/full 2>"$tmp/stderr"
is $? 4 "dump: stdout that takes nothing is an error"

# ---- who only looks writes nothing ----
kill -STOP "$(pid one)" "$(pid two)"
wait_for state_is "$one" producer stopped
before=$(cksum "$shm$one" "$shm$two")
for c in show dump check "record -o -t 0.01"; do
	for r in "$one" "$two"; do
		# shellcheck disable=SC2046,SC2086 # words
		$shmring ${c%% *} "$r" $([ "$c" = "${c#record}" ] || echo -) \
			$([ "$c" = "${c#* }" ] || echo "${c#* }") \
			>"$tmp/looked" 2>&1
	done
done
$shmring list >"$tmp/stdout"
$shmring top -d 0.05 >/dev/null
is "$(cksum "$shm$one" "$shm$two")" "$before" \
	"list, show, top, dump, check, record --observe change no byte"

# ---- stopped, dead ----
says "$(pid one) lines *producer  stopped " "list: stopped, for certain"
gives 1 "check: a stopped process is found" check "$one"
says "pid $(pid one) (lines, producer) is stopped: kill -CONT" "check: and what to do"
gives 0 "dump: of a ring whose process is stopped" dump "$one"
is "$(cksum <"$tmp/stdout")" "$(seq 255 | cksum)" "dump: its messages"
gives 0 "clean of a ring in use" clean -f -a "$one"
says "^kept *$one: in use" "clean: keeps it"
gives 1 "unlink of a ring in use" unlink "$one"
says 'in use by 1; -f' "unlink: refuses" stderr
kill -CONT "$(pid one)" "$(pid two)"
victim=$(pid one)
kill_hard one
gives 0 "list: of the dead" list
says "^ *$victim .* dead  " "list: dead"
says "left behind, its users were killed, 255 messages" "list: left behind"
gives 1 "check: a dead process is found" check "$one"
says "pid $victim (producer) is dead and not recovered" "check: says so"
gives 0 "dump: of a ring whose process is dead" dump "$one"
is "$(cksum <"$tmp/stdout")" "$(seq 255 | cksum)" "dump: its messages"
gives 0 "dump --follow: ends when all producers were killed" dump -f "$one"
is "$(cksum <"$tmp/stdout")" "$(seq 255 | cksum)" "dump --follow: its messages"
gives 0 "clean: messages wait" clean "$one"
says "^kept *$one: holds messages that nobody has read; -f" "clean: kept for their sake"
gives 0 "recover" recover "$one"
says "^1 recovered, 0 still dead, 0 alive; 255 messages wait" "recover: one"
gives 0 "recover: again" recover "$one"
says "^0 recovered" "recover: nobody is left to be"
gives 1 "check: left behind" check "$one"
says "left behind: the last users were killed" "check: says so"

# ---- record, replay ----
gives 0 "record --observe" record "$one" "$tmp/all" --observe
says '^255 messages' "record --observe: all" stderr
gives 0 "record --count" record "$one" "$tmp/some" --count 5
gives 4 "record: the file is there" record "$one" "$tmp/some"
says 'is there already; -f' "record: and is not overwritten" stderr
$shmring record -f "$one" /dev/full 2>/dev/null
is $? 4 "record: a file that takes nothing is an error"
gives 0 "dump: five were taken" dump "$one"
is "$(head -n 1 "$tmp/stdout")" 6 "record takes messages; who cannot write takes none"
gives 0 "record: to the end" record "$one" - 
cp "$tmp/stdout" "$tmp/rest"
is "$($shmring dump "$one" | wc -l)" 0 "record: the ring is empty then"
is "$(head -c 8 "$tmp/all")" shmtape1 "a recording says what it is"
gives 0 "clean --dry-run" clean --dry-run -a "$one"
says "^would *$one: be removed" "clean --dry-run: says what it would do"
[ -e "$shm$one" ]
ok $? "clean --dry-run: removes nothing"
gives 0 "clean: users died" clean -a "$one"
[ ! -e "$shm$one" ]
ok $? "clean: it has gone"
gives 0 "replay makes a ring" replay --fast "$tmp/all" "$one"
gives 0 "show: what was made" show -j "$one"
says '"engine":"spsc","layout":[0-9]*,"slots":64,"slot_size":32' "replay: like the recorded one"
says '"state":"unused"' "replay: nobody is attached any more"
gives 0 "dump: what was replayed" dump "$one"
is "$(cksum <"$tmp/stdout")" "$(seq 255 | cksum)" "replay: every message, in order"
gives 0 "clean: left in good order" clean -f "$one"
says "^kept *$one: left in good order; -a" "clean: kept without -a"
gives 0 "unlink" unlink "$one"
$shmring replay --fast - "$one" <"$tmp/some" 2>/dev/null &&
	$shmring replay --fast - "$one" <"$tmp/rest" 2>/dev/null
ok $? "replay: from stdin, into the same ring"
gives 0 "dump: both" dump "$one"
is "$(cksum <"$tmp/stdout")" "$(seq 255 | cksum)" "replay: one behind the other"
$shmring unlink "$one"
head -c 200 "$tmp/all" >"$tmp/cut"
gives 4 "replay: a recording that was cut short" replay -F "$tmp/cut" "$one"
says 'cut short' "replay: says so" stderr
$shmring unlink "$one"
cp "$tmp/all" "$tmp/bad"
printf '\377\377\377\377' | dd of="$tmp/bad" bs=1 seek=96 conv=notrunc 2>/dev/null
gives 4 "replay: a damaged recording" replay -F "$tmp/bad" "$one"
says 'damaged recording' "replay: says so" stderr
$shmring unlink "$one"
gives 4 "replay: no recording at all" replay "$program" "$one"
says 'not a recording' "replay: says so" stderr
# Two messages, 300 ms apart: no sooner when replayed.
mkfifo "$tmp/slow"
exec 9<>"$tmp/slow"
write slow "$one" spsc 64 32 <"$tmp/slow"
wait_for test -e "$shm$one"
$shmring record "$one" "$tmp/paced" -n 2 2>&- &
recorder=$!
wait_for state_is "$one" consumer
child=$(tr -d ' ' <"/proc/$recorder/task/$recorder/children")
is "$(readlink "/proc/$child/fd/2")" /dev/null \
	"record: with stderr closed, its file does not take that place"
echo first >&9
wait_for popped_is "$one" 1 # or a late first one makes the gap shorter
sleep 0.3
echo second >&9
wait "$recorder"
ok $? "record: as they come"
kill_hard slow
gives 0 "clean: the slow one" clean "$one"
# gap_of FILE: ns between the first two of its messages
gap_of()
{
	od -A n -t u8 -j 64 -N 40 "$1" | tr -s ' \n' ' ' |
		awk '{ printf "%d\n", $4 - $1 }'
}
[ "$(gap_of "$tmp/paced")" -ge 290000000 ]
ok $? "record: with their times"
# Into a ring of another, so that the recorder is there first.
write slow "$one" mpmc 64 32 <"$tmp/slow"
wait_for test -e "$shm$one"
$shmring record "$one" "$tmp/again" -n 2 2>/dev/null &
recorder=$!
wait_for state_is "$one" consumer
began=$(date +%s%N)
gives 0 "replay to who records" replay "$tmp/paced" "$one"
took=$(($(date +%s%N) - began))
wait "$recorder"
ok $? "record what is replayed"
kill_hard slow
exec 9>&-
# (Not the gap of what was recorded: a late first one makes that shorter.)
[ "$took" -ge 290000000 ]
ok $? "replay: at the same pace"
$shmring clean -a -f "$one" >/dev/null

# What a ring is: all that its creator can say of it.
facts()
{
	$shmring show -j "$1" | tr -d ' \n' |
		grep -o '"\(engine\|slots\|slot_size\|participants_limit\|alignment\|demote_ms\)":[^,}]*\|"flags":\[[^]]*\]'
}
# shellcheck disable=SC2043 # one a line
for kind in "mpmc 64 32 160 64" "cast 64 32 192 32" "cast 64 32 0 8 500"; do
	# shellcheck disable=SC2086 # words
	seq 20 | "$lines" "$one" $kind 2>/dev/null &
	writer=$!
	wait_for holds "$one" 20
	facts "$one" >"$tmp/facts"
	[ "$(wc -l <"$tmp/facts")" -ge 6 ]
	ok $? "$kind: what it is ($(paste -sd' ' "$tmp/facts"))"
	$shmring record -f "$one" "$tmp/kind" --observe -n 20 2>/dev/null
	kill -9 "$writer" 2>/dev/null
	wait_for gone "$writer"
	$shmring unlink -f "$one" >/dev/null
	gives 0 "replay: makes a ring" replay -F "$tmp/kind" "$one"
	is "$(facts "$one" | cksum)" "$(cksum <"$tmp/facts")" "replay: of the same kind"
	$shmring unlink -f "$one" >/dev/null
done

# ---- messages in dead hands ----
mkfifo "$tmp/blocked"
exec 9<>"$tmp/blocked"
dd if=/dev/zero of="$tmp/blocked" bs=65536 count=1 oflag=nonblock 2>/dev/null
spawn reader "$lines" "$two" >"$tmp/blocked"
spawn other "$lines" "$two" >"$tmp/blocked"
# shellcheck disable=SC2317 # wait_for calls it
two_in_hands()
{
	[ "$($shmring dump "$two" | wc -l)" = 38 ]
}
wait_for two_in_hands
is "$($shmring dump "$two" | wc -l)" 38 "dump: not what is in hands"
is "$($shmring dump --all "$two" | wc -l)" 40 "dump --all: that, too"
kill -STOP "$(pid two)"
victim=$(pid reader)
kill_hard reader
gives 0 "dump: of dead hands" dump -l "$two"
is "$(grep -c ' again ' "$tmp/stdout") $(wc -l <"$tmp/stdout")" "1 39" \
	"dump: what a dead consumer held is there again, and marked"
gives 0 "recover: a consumer" recover "$two"
says "^dead: pid $victim, consumer" "recover: who"
gives 1 "check: an orphan" check "$two"
says "1 orphans: messages in the hands of consumers that died" "check: says so"
gives 0 "dump: of an orphan" dump -l "$two"
is "$(grep -c ' again ' "$tmp/stdout") $(wc -l <"$tmp/stdout")" "1 39" \
	"dump: it is still there"
exec 9>&-
end_started
$shmring unlink -f "$two"

# ---- beside others who read and write ----
for kind in spsc mpmc; do
	seq 100000000 399999999 | write one "$one" $kind 256 32 &
	wait_for test -e "$shm$one"
	spawn reader "$lines" "$one" >/dev/null
	wait_for holds "$one" 1
	timeout -s INT 1 "$program" dump --follow "$one" >"$tmp/seen" 2>"$tmp/stderr"
	for _ in 1 2 3 4 5; do
		$shmring dump "$one" >"$tmp/now" 2>"$tmp/stderr" &&
			sort -n -c -u "$tmp/now" && cat "$tmp/now" >>"$tmp/seen"
		$shmring check -q "$one" || echo wrong >>"$tmp/seen"
	done
	[ -s "$tmp/seen" ] && sort -n -c -u "$tmp/seen" &&
		! grep -qvx '[1-3][0-9]\{8\}' "$tmp/seen"
	ok $? "dump, check $kind: whole messages in order, nothing wrong, among readers and writers"
	gives 0 "top: one frame in a pipe" top -d 0.2
	says "^$one .*%  *[1-9][0-9.]*[kM] " "top: messages a second"
	is "$(awk 'length > 80' "$tmp/stdout")" "" "top: 80 columns"
	end_started
	$shmring unlink -f "$one" 2>/dev/null
done

# ---- metered, aligned ----
lossy=64 metered=128 # SHMRING_LOSSY, SHMRING_METERED
seq 1001 1040 >&6
write two "$two" mpmc 64 32 $metered 64 <"$tmp/two"
wait_for holds "$two" 40
spawn reader "$lines" "$two" >"$tmp/got"
wait_for json_has "$two" '"popped":40'
kill_hard reader
gives 0 "show: metered, empty" show "$two"
says "^  geometry .*, aligned to 64$" "show: the alignment"
says "^  oldest *nothing waits$" "show: nothing is old"
says "^  flags *metered layout" "show: the flag"
seq 1001 1016 >&6
wait_for holds "$two" 16
sleep 0.05
gives 0 "show: metered" show "$two"
says "^  refused *0 pushes" "show: none was refused"
says "^  high water *40 of 64 messages, 62%$" "show: the high-water mark"
says "^  oldest *pushed [0-9]*m\{0,1\}s ago$" "show: how old the oldest is"
is "$(awk 'length > 80' "$tmp/stdout")" "" "show: 80 columns"
gives 0 "show --json: metered" show -j "$two"
json "$tmp/stdout"
ok $? "show --json is valid"
says '"alignment":64' "show --json: alignment"
says '"flags":\["metered"\]' "show --json: the flag"
says '"high_water":40,"oldest_age_seconds":[0-9.e-]*,"attention"' \
	"show --json: mark and age"
age=$(sed 's/.*"oldest_age_seconds":\([0-9.e-]*\),"attention".*/\1/' "$tmp/stdout")
is "$(awk -v age="$age" 'BEGIN { print (age >= 0.05 && age < 60) }')" 1 \
	"show --json: in seconds"
gives 0 "list: metered" list
says "^$two .* 25%  62%  *[0-9]*[sm] .*0600" "list: fill and mark"
is "$(awk 'length > 80' "$tmp/stdout")" "" "list: 80 columns"
gives 0 "dump: metered, aligned" dump "$two"
is "$(cksum <"$tmp/stdout")" "$(seq 1001 1016 | cksum)" "dump: the messages"
gives 0 "recover: the reader" recover "$two"
gives 0 "check: metered, aligned" check "$two"
gives 0 "list --prometheus: metered" list -p
prometheus "list --prometheus: metered"
says "^shmring_high_water_ratio{ring=\"$two\"} 0\.625$" "--prometheus: the mark"
says "^shmring_oldest_age_seconds{ring=\"$two\"} [0-9]*\.[0-9]*$" "--prometheus: the age"
end_started
$shmring unlink -f "$two"

# ---- BROADCAST: readers, of whom one is stopped ----
# cast FLAGS: a ring with three readers, the first of them stopped
cast()
{
	write one "$one" cast 32 32 "$1" 8 <"$tmp/two"
	wait_for test -e "$shm$one"
	for name in slow fast other; do
		spawn $name "$lines" "$one" >"$tmp/$name.out"
	done
	wait_for json_has "$one" '"consumer":true.*"consumer":true.*"consumer":true'
	wait_for state_is "$one" consumer waiting
	kill -STOP "$(pid slow)"
}
# reader NAME FIELD: of its participant in what `gives` left
reader()
{
	sed "s/.*\"pid\":$(pid "$1"),//; s/}.*//" "$tmp/stdout" |
		sed -n "s/.*\"$2\":\([0-9.e-]*\).*/\1/p"
}
cast $metered
seq 1001 1100 >&6 # of 24 bytes each, with their meters
wait_for json_has "$one" '"popped":200'
sleep 0.05
gives 0 "show: readers" show "$one"
says "^  fill *78%: 3.1 KiB of 4.0 KiB before the slowest reader$" \
	"show: how far the slowest is behind"
says "^  kept *100 messages$" "show: how many can be read yet"
says "^ *PID .* LAG  LOST SLEEPS   AGE$" "show: their columns"
says "^ *$(pid slow) lines *consumer stopped *0 *0 *3.12K *0 .* [0-9]*m\{0,1\}s$" \
	"show: a reader that is stopped"
says "^ *$(pid fast) lines *consumer [a-z?]* *0 *100 *0B *0 .* -$" "show: one that is not"
says "^  high water *3.1 KiB of 4.0 KiB, 78%$" "show: the mark of the slowest"
is "$(awk 'length > 80' "$tmp/stdout")" "" "show: 80 columns"
gives 0 "top: readers" top -d 0.05
says "^$one  *\[#######   \] 78% " "top: how far the slowest is behind"
says "^ *$(pid slow) \[#######   \] 78% 3.12K lag     0 lost  lines *stopped$" \
	"top: a reader that is stopped"
says "^ *$(pid fast) \[          \]  0%    0B lag     0 lost  lines *" "top: one that is not"
says "^NAME .* REFUS SLEEP  WAKE$" "top: its columns"
is "$(awk 'length > 80' "$tmp/stdout")" "" "top: 80 columns"
seq 1001 1100 >&6 # is held after some
wait_for json_has "$one" '"refused":1,'
gives 0 "show: a push was refused" show "$one"
says "^  refused *1 pushes" "show: it says so"
kill -CONT "$(pid slow)"
wait_for json_has "$one" '"popped":600,'
gives 0 "show: all have read all" show "$one"
says "^  fill *0%: 0 B of 4.0 KiB before the slowest reader$" \
	"show: nothing is in the writer's way"
end_started
$shmring unlink -f "$one"
cast $((lossy + metered))
seq 10001 11000 >&6
wait_for json_has "$one" '"pushed":1000,'
gives 0 "show: lossy" show "$one"
says "^  flags *lossy metered layout" "show: the flags"
says "^  high water *none: a lossy ring stays full$" "show: no mark of a lossy ring"
kill -CONT "$(pid slow)"
# shellcheck disable=SC2317 # wait_for calls it
caught_up()
{
	$shmring show -j "$one" >"$tmp/stdout"
	[ "$(reader slow lag_bytes)" = 0 ]
}
wait_for caught_up
gives 0 "show --json: lossy" show -j "$one"
json "$tmp/stdout"
ok $? "show --json is valid"
says '"high_water":null,"oldest_age_seconds":0,' "show --json: no mark of a lossy ring"
lost=$(reader slow lost)
is "$((lost > 800)) $(($(reader slow popped) + lost))" "1 1000" \
	"show --json: what a reader has lost"
is "$(reader slow oldest_age_seconds) $(reader fast lag_bytes)" "0 0" \
	"show --json: nothing is before them"
gives 0 "list --openmetrics: readers" list -o
metrics 1 "$tmp/stdout"
ok $? "list --openmetrics: strictly parsed"
gives 0 "list --prometheus: readers" list -p
prometheus "list --prometheus: readers"
says "^shmring_reader_lost_messages_total{ring=\"$one\",pid=\"$(pid slow)\",participant=\"[0-9]*\"} $lost$" \
	"--prometheus: what a reader has lost"
says "^shmring_reader_lag_bytes{ring=\"$one\",pid=\"$(pid slow)\",participant=\"[0-9]*\"} 0$" \
	"--prometheus: how far it is behind"
is "$(grep -c "^shmring_high_water_ratio{ring=\"$one\"" "$tmp/stdout")" 0 \
	"--prometheus: no mark of a lossy ring"
gives 0 "top: what was lost" top -d 0.05
says "^ *$(pid slow) .* \($lost\|[0-9.]*k\) lost  lines" "top: it says so"
end_started
$shmring unlink -f "$one"

# ---- what is no ring, or a damaged one ----
mkfifo "$shm$ring-fifo"
echo text >"$shm$ring-text"
: >"$shm$ring-empty"
gives 0 "list: beside FIFOs and other files" list --names
is "$(grep -c -e -fifo -e -text -e -empty "$tmp/stdout")" 0 "list: leaves them out"
for file in fifo text empty; do
	gives 3 "show: not a ring: $file" show "$ring-$file"
	gives 1 "check: not a ring: $file" check "$ring-$file"
	says "not a ring" "check: says so: $file"
	gives 3 "unlink: not a ring: $file" unlink "$ring-$file"
	gives 0 "unlink --force: $file" unlink --force "$ring-$file"
done
seq 1 20 | write one "$one" spsc 64 32
seq 1 20 | write two "$two" mpmc 64 32
wait_for holds "$one" 20
wait_for holds "$two" 20
kill_hard one
kill_hard two
cp "$shm$one" "$tmp/spsc"
cp "$shm$two" "$tmp/mpmc"
# patch FILE OFFSET BYTES: BYTES as printf understands them
patch()
{
	# shellcheck disable=SC2059 # they are a format
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
# damaged WHAT SEGMENT OFFSET BYTES PATTERN
damaged()
{
	cp "$tmp/$2" "$shm$one"
	patch "$shm$one" "$3" "$4"
	gives 1 "check: $1" check "$one"
	says "$5" "check: says so: $1"
}
page=$(getconf PAGESIZE)
damaged "magic" spsc 0 x "not a ring: the magic number"
damaged "layout" spsc 8 '\011' "layout 9, .* the same version"
damaged "byte order" spsc 12 '\001\002\003\004' "another kind of machine"
damaged "geometry" spsc 24 '\377' "damaged geometry"
damaged "boot" spsc 88 '\001\002\003' "before a reboot"
damaged "owner" spsc 44 '\001\002' "made by uid"
damaged "status" spsc $((384 + 256)) '\007' "participant 1: damaged status"
damaged "attn" spsc 256 '\077' "attn says that the last producer left, but one is"
damaged "attn of SPSC" spsc 256 '\023' "which such a ring has not"
damaged "tail" spsc "$page" '\001' "no multiple of 8"
damaged "tail beyond" spsc "$page" '\000\004' "no record at position 3[0-9]*, but the producer has come to 1024"
damaged "record" spsc $((3 * page + 16)) '\377\377' "damaged record at position 16, after 1 good"
damaged "MPMC head" mpmc $((page + 128)) '\377' "head 255 is beyond tail 20"
damaged "MPMC slot" mpmc $((3 * page)) '\377\377\377' "damaged slot 0"
damaged "MPMC state" mpmc $((2 * page)) '\007' "damaged state of slot 0: 0x7 "
damaged "MPMC retained" mpmc $((2 * page)) '\002\040' "1 retained slots: left to 1 producers"
damaged "MPMC orphan" mpmc $((2 * page)) '\004\020' "attn does not tell of the orphans"
cp "$tmp/spsc" "$shm$one"
truncate -s $((2 * page)) "$shm$one"
gives 1 "check: truncated" check "$one"
says "truncated: the file has 8.0 KiB (8192 bytes), its header says" "check: says so: truncated"
gives 3 "show: truncated" show "$one"
gives 0 "list: of a truncated one" list
says "^$one *unusable" "list: says so"
gives 0 "list --json: of a truncated one" list --json
json "$tmp/stdout"
ok $? "list --json: valid then, too"
gives 0 "list --openmetrics: of a truncated one" list --openmetrics
says "^shmring_readable{ring=\"$one\"} 0" "list --openmetrics: says so"
metrics 1 "$tmp/stdout"
ok $? "list --openmetrics: strictly parsed"
gives 0 "clean: leaves it" clean -f -a "$one"
says "^kept *$one: unusable" "clean: says so"
gives 0 "unlink: removes it" unlink "$one"

# A name that would write to the terminal, and end a string.
evil=$ring-$(printf 'a"b\\c\033[31m\tz\303\251\377')
cp "$tmp/spsc" "$shm$evil"
gives 0 "list: a hostile name" list
says '^'"$ring"'-a"b\\\\c\\x1b\[31m\\tz.*\\xff' "list: it is escaped"
is "$(tr -d '\n -~\303\251' <"$tmp/stdout" | wc -c)" 0 "list: no control characters"
gives 0 "list --json: a hostile name" list --json
json "$tmp/stdout"
ok $? "list --json: valid"
gives 0 "list --openmetrics: a hostile name" list --openmetrics
metrics 1 "$tmp/stdout"
ok $? "list --openmetrics: strictly parsed"
gives 0 "clean: a hostile name" clean -f "$evil"

# Words damaged at random: every command ends, and none by a signal.
awk -v seed="$seed" -v page="$page" 'BEGIN {
	srand(seed)
	split("0 256 384 640 1 2 3", from)
	split("256 128 256 256 160 512 1024", size)
	for (i = 0; i < 40; i++) {
		k = 1 + int(rand() * 7)
		at = from[k] * (from[k] < 4 ? from[k] ? page : 1 : 1) + 8 * int(rand() * size[k] / 8)
		bytes = ""
		for (n = 1 + int(rand() * 8); n; n--)
			bytes = bytes sprintf("\\%03o", rand() < 0.5 ? 255 * (rand() < 0.5) : 256 * rand())
		print (rand() < 0.5 ? "spsc" : "mpmc"), at, bytes, int(rand() * 2)
	}
}' >"$tmp/damages"
wrong=
while read -r segment at bytes cut; do
	cp "$tmp/$segment" "$shm$one"
	patch "$shm$one" "$at" "$bytes"
	[ "$cut$at" != "1${at%8}8" ] || truncate -s "$at" "$shm$one"
	for c in show "show -j" "show -o" "dump -l" "dump -x -a" "dump -L 3" \
		check "check -j" recover "top -d 0.01" list \
		"record - -o -t 0.01" "record - -t 0.01" "clean -f -a"; do
		# shellcheck disable=SC2086 # words
		set -- $c
		first=$1
		shift
		case $first in top | list) ;; *) set -- "$one" "$@" ;; esac
		timeout -s INT -k 10 20 "$program" "$first" "$@" >/dev/null 2>"$tmp/stderr" </dev/null
		status=$?
		case $status in 0 | 1 | 3) ;; *)
			wrong="$wrong $status:$c:$segment:$at:$bytes"
			sed 's/^/# /' "$tmp/stderr"
			;;
		esac
	done
	timeout -s INT -k 10 0.05 "$program" dump -f "$one" >"$tmp/stdout" 2>&1
	status=$?
	case $status in 0 | 1 | 3 | 124) ;; *)
		wrong="$wrong $status:dump -f:$segment:$at:$bytes"
		;;
	esac
	rm -f "$shm$one"
done <"$tmp/damages"
is "$wrong" "" "words damaged at random: every command ends as it should"

# ---- a real terminal ----
if command -v tmux >/dev/null; then
	cp "$tmp/mpmc" "$shm$two"
	cat >"$tmp/pane" <<-END
		trap : INT
		stty -g >$tmp/before
		sh -c 'echo \$\$ >$tmp/top.pid; exec $program top -d 0.1'
		echo \$? >$tmp/status
		stty -g >$tmp/after
		sleep 30
	END
	# frame: top shows the ring
	# shellcheck disable=SC2317 # wait_for calls these
	frame()
	{
		$pane capture-pane -p | grep -q "^$two.*%"
	}
	# shellcheck disable=SC2317
	left()
	{
		[ -s "$tmp/after" ]
	}
	for way in q C-c TERM; do # a server each: the last may still be ending
		pane="env TMUX_TMPDIR=$tmp tmux -L $way -f /dev/null"
		rm -f "$tmp/after"
		$pane new-session -d -x 80 -y 24 sh "$tmp/pane"
		wait_for frame
		ok $? "top in a terminal: shows the rings"
		$pane capture-pane -p >"$tmp/screen"
		if [ $way = TERM ]; then
			kill "$(cat "$tmp/top.pid")"
		else
			$pane send-keys $way
		fi
		wait_for left
		ok $? "top in a terminal: $way ends it"
		is "$(cat "$tmp/status") $(cat "$tmp/after")" \
			"0 $(cat "$tmp/before")" "top in a terminal: $way: status 0, and the terminal is as before"
		$pane capture-pane -p | grep -q "^$two.*%"
		is $? 1 "top in a terminal: $way: the screen, too"
		$pane kill-server
	done
	is "$(grep -c 'q quit' "$tmp/screen")" 1 "top in a terminal: says how to quit"
	rm -f "$shm$two"
else
	skip "no tmux"
fi
rm -f "$shm$two"
done_testing
