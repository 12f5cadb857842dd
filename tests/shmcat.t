#!/bin/sh
# Description: shmcat end to end: streams, lines, many to many, deaths, what
# must not arrive and must not be removed, exit statuses
# Who started us may ignore signals (nohup, a shell's background): then shmcat
# would, too.
[ -n "${default_signals-}" ] ||
	default_signals=yes exec env --default-signal=HUP,INT "$0" "$@"
# shellcheck source=tests/tap.sh
. tests/tap.sh

shmcat="$limit $tools/shmcat"
cc1=$(${CC:-cc} -print-prog-name=cc1)
input=$tmp/input
head -c 5000000 "$cc1" >"$input" 2>/dev/null
[ -s "$input" ] || head -c 5000000 /dev/urandom >"$input"

# start NAME ARGUMENTS...: shmcat in the background, killed by `kill -9 $pid`;
# its status is found in $tmp/NAME.status, its complaints in $tmp/NAME.errors
start()
{
	name=$1
	shift
	rm -f "$tmp/$name.status" "$tmp/$name.pid"
	{ # the shell gives what runs in the background another stdin
		(
			"$tools/shmcat" -t 60 "$@" <&8 2>"$tmp/$name.errors" &
			echo $! >"$tmp/$name.pid"
			wait $!
			echo $? >"$tmp/$name.status"
		) 9>&- 2>/dev/null &
	} 8<&0
}

status_of()
{
	wait_for test -s "$tmp/$1.status"
	cat "$tmp/$1.status"
}

# segment_of NAME: the path of its ring, which may have no other name by now
segment_of()
{
	wait_for test -s "$tmp/$1.pid"
	find "/proc/$(cat "$tmp/$1.pid")/fd" -lname '/dev/shm/*'
}

kill_hard()
{
	wait_for test -s "$tmp/$1.pid"
	kill -9 "$(cat "$tmp/$1.pid")"
	status_of "$1" >/dev/null
}

# here WHAT NAME: the ring has its name (yet)
here()
{
	test -e "/dev/shm$2"
	ok $? "$1"
}

# gone WHAT NAME
gone()
{
	test ! -e "/dev/shm$2"
	ok $? "$1"
}

# exits STATUS WHAT ARGUMENTS...
exits()
{
	expected=$1
	what=$2
	shift 2
	$shmcat "$@" </dev/null >"$tmp/stdout" 2>"$tmp/stderr"
	is $? "$expected" "$what"
}

# says PATTERN WHAT: the last `exits` said so, once
says()
{
	is "$(grep -c -e "$1" "$tmp/stderr")" 1 "$2"
}

# copies WHAT ARGUMENTS...: input arrives through a ring made with these
copies()
{
	what=$1
	shift
	start writer -w "$ring" "$@" <"$input"
	$shmcat -r "$ring" "$@" 2>"$tmp/stderr" | cmp -s - "$input"
	ok $? "$what: every byte arrives"
	is "$(status_of writer)" 0 "$what: the writer says so"
}

exits 0 "--help" --help
is "$(grep -c '^ *69 ' "$tmp/stdout")" 1 "--help lists the exit statuses"
exits 64 "neither -r nor -w is wrong usage"
exits 64 "an unknown option is wrong usage" --nonsense
exits 64 "an argument too many is wrong usage" -r "$ring" extra
exits 64 "a size that is no number is wrong usage" -w "$ring" -s 12x
exits 64 "a policy that there is not is wrong usage" -w "$ring" -p doze
exits 64 "a number beyond 2^64 is wrong usage" -w "$ring" -c 18446744073709551617
exits 64 "a size beyond 1G is wrong usage" -w "$ring" -s 2G
exits 64 "several writers need -m" -w "$ring" -W 2
says "-m" "and it is said"
says "see shmcat --help" "wrong usage says where to look"
exits 64 "-m needs room for all" -w "$ring" -m -W 4 -c 4
exits 64 "a name without a slash is wrong usage" -r name
says "slash" "and it is said"
exits 64 "a name with two slashes is wrong usage" -w /a/b
exits 64 "an option that there is not is wrong usage" -z
says "see shmcat --help" "and it says where to look"
exits 0 "--version" --version
is "$(grep -c '^shmcat [0-9.]*, layout [0-9]*$' "$tmp/stdout")" 1 \
	"--version tells its own and the layout's"
exits 75 "a reader gives up when no ring comes" -r "$ring" -t 0.1 -c 8 -s 64k -M
says "ignored: -c -s -M$" "a reader says what it ignores"
exits 73 "-u of a ring that is not there" -u "$ring"

# Who waits, and for whom, is told on a terminal.
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
	$limit script -qec "$tools/shmcat -w $ring -t 1.5 </dev/null" \
		/dev/null >"$tmp/terminal" </dev/null 2>&1
	is "$(grep -c ': waiting for a reader' "$tmp/terminal")" 1 \
		"a terminal is told for whom a writer waits"
	$limit script -qec "$tools/shmcat -r $ring -t 1.5" \
		/dev/null >"$tmp/terminal" </dev/null 2>&1
	is "$(grep -c ': waiting for a writer' "$tmp/terminal")" 1 \
		"a terminal is told for whom a reader waits"
else
	skip "no script(1), which makes a terminal"
fi

copies "blocks" -c 8
copies "small ring" -s 1000 -c 2
copies "lines" -l -s 2M
copies "spinning" -p spin
copies "blocking" -p block
copies "one to one in a ring for many" -m
copies "metered" -M -l -s 2M
copies "metered, for many" --metered -m
head -c 1 "$cc1" >"$input"
copies "one byte"
: >"$input"
copies "nothing"
printf 'a\n\n\nno end' >"$input"
copies "lines, the last without an end" -l

head -c 3000000 "$cc1" >"$input"
start writer -w "$ring-1" <"$input"
start relay -r "$ring-1" -w "$ring-2"
$shmcat -r "$ring-2" | cmp -s - "$input"
ok $? "pipeline of two rings: every byte arrives"
is "$(status_of writer) $(status_of relay)" "0 0" "pipeline: all say so"

# Duplicate lines and binary ones; each reader waits for the other to come.
seq 20000 | sed 'p; s/$/\r/' >"$input"
start w1 -lm -s 1k -W2 -R2 -w "$ring" <"$input"
wait_for test -e "/dev/shm$ring"
start w2 -lm -s 2k -W2 -R2 -w "$ring" <"$input"
start r1 -W2 -R2 -r "$ring" >"$tmp/out1"
start r2 -W2 -R2 -r "$ring" >"$tmp/out2"
is "$(status_of w1) $(status_of w2) $(status_of r1) $(status_of r2)" \
	"0 0 0 0" "two writers and two readers come to their end"
is "$(sort "$tmp/out1" "$tmp/out2" | cksum)" \
	"$(sort "$input" "$input" | cksum)" "and every line arrived once"
is "$(cat "$tmp/w1.errors" "$tmp/w2.errors")" \
	"shmcat: $ring: made by another writer, with -s 1024: mine is ignored" \
	"the second is told that its -s is ignored; 1k is 1024"

# Nothing of a stream that did not come about is ever found.
echo old | $shmcat -w "$ring" -t 0.1 2>"$tmp/stderr"
is $? 75 "a writer gives up when no reader comes"
gone "and removes what it made" "$ring"
for signal in TERM HUP; do
	start writer -w "$ring" </dev/null
	wait_for test -e "/dev/shm$ring"
	kill -$signal "$(cat "$tmp/writer.pid")"
	[ $signal = TERM ] && status=143 || status=129
	is "$(status_of writer)" "$status" "SIG$signal ends a writer that waits"
	gone "and it has removed what it made" "$ring"
done
$limit timeout --foreground --preserve-status -s INT 0.3 \
	"$tools/shmcat" -w "$ring" </dev/null
is $? 130 "SIGINT, too"
gone "SIGINT: it has removed what it made" "$ring"

start writer -w "$ring" <"$input"
wait_for test -e "/dev/shm$ring"
exits 73 "a second writer is refused while one waits for its reader" -w "$ring"
here "and has not removed the other's ring" "$ring"
kill_hard writer
here "a writer killed while it waits leaves its ring" "$ring"
is "$($shmcat -r "$ring" -t 0.5 2>/dev/null; echo $?)" 75 \
	"in which a reader finds nothing"
start reader -r "$ring" >"$tmp/out1"
start writer -w "$ring" <"$input"
is "$(status_of writer) $(status_of reader) $(cksum <"$tmp/out1")" \
	"0 0 $(cksum <"$input")" "and which the next writer replaces"

# Whether they meet depends on who comes first; they must not succeed.
start w1 -lm -W1 -R2 -w "$ring" -t 2 <"$input"
start r1 -W1 -R2 -r "$ring" -t 2 >"$tmp/out1"
start r2 -W2 -R1 -r "$ring" -t 2 >"$tmp/out2"
is "$( (status_of w1; status_of r1; status_of r2) | grep -c '^[67]')" 3 \
	"readers told different numbers of writers all fail"
is "$(cat "$tmp/out1" "$tmp/out2")" "" "and get nothing"

# What a writer reads from it comes when it is written to descriptor 9.
mkfifo "$tmp/slow"
exec 9<>"$tmp/slow"
start writer -M -l -w "$ring" <"$tmp/slow"
echo first >&9
start reader -r "$ring" >"$tmp/out1"
wait_for test -s "$tmp/out1"
gone "a stream that has begun has no name" "$ring"
is "$($limit "$tools/shmring" show "$(segment_of writer)" |
	grep -c '^  high water  *[0-9]')" 1 \
	"metered: shmring tells its high-water mark through who carries it"
kill_hard writer
is "$(status_of reader)" 69 "writer killed: the reader knows"
is "$(cat "$tmp/out1")" first "writer killed: what it sent had arrived"
is "$(grep -c truncated "$tmp/reader.errors")" 1 "writer killed: it is said"
gone "writer killed: nothing is left" "$ring"

start writer -l -w "$ring" <"$tmp/slow"
start reader -r "$ring" >"$tmp/out1"
echo first >&9
wait_for test -s "$tmp/out1"
kill_hard reader
is "$(status_of writer)" 69 "reader killed: the writer knows"
is "$(grep -c 'readers died' "$tmp/writer.errors")" 1 "reader killed: it is said"

# Another takes the place of who was killed, before that is noticed.
start writer -l -w "$ring" <"$tmp/slow"
start reader -r "$ring" >"$tmp/out1"
echo first >&9
wait_for test -s "$tmp/out1"
kill -9 "$(cat "$tmp/writer.pid")"
start w2 -l -w "$ring" <"$input"
is "$(status_of reader) $(cat "$tmp/out1")" "69 first" \
	"writer killed, another comes: the reader does not take them for one"
start reader -r "$ring" >"$tmp/out1"
is "$(status_of w2) $(status_of reader) $(cksum <"$tmp/out1")" \
	"0 0 $(cksum <"$input")" "which has a stream of its own"
start writer -l -w "$ring" <"$tmp/slow"
start reader -r "$ring" >"$tmp/out1"
echo first >&9
wait_for test -s "$tmp/out1"
kill -9 "$(cat "$tmp/reader.pid")"
start r2 -r "$ring" -t 1 >"$tmp/out2"
echo second >&9
is "$(status_of writer) $(status_of r2) $(cat "$tmp/out2")" "69 75 " \
	"reader killed, another comes: it does not get the rest"
status_of reader >/dev/null

start writer -l -w "$ring-1" <"$tmp/slow"
start relay -r "$ring-1" -w "$ring-2"
start reader -r "$ring-2" >"$tmp/out1"
echo first >&9
wait_for test -s "$tmp/out1"
kill_hard writer
is "$(status_of relay) $(status_of reader)" "69 69" \
	"writer killed: known at the end of a pipeline, too"

start w1 -lm -W2 -w "$ring" <"$tmp/slow"
start w2 -lm -W2 -w "$ring" <"$input"
start reader -W2 -r "$ring" >"$tmp/out1"
echo first >&9
wait_for grep -q first "$tmp/out1"
kill_hard w1
is "$(status_of reader)" 69 "one of two writers killed: the reader knows"
sort "$input" >"$tmp/sorted"
is "$(grep -av first "$tmp/out1" | sort | cksum)" "$(cksum <"$tmp/sorted")" \
	"and has all of the other"

start writer -lm -R2 -w "$ring" <"$tmp/slow"
start r1 -R2 -r "$ring" >"$tmp/out1"
start r2 -R2 -r "$ring" >"$tmp/out2"
echo first >&9
wait_for grep -q first "$tmp/out1" "$tmp/out2"
kill_hard r1
cat "$input" >&9
exec 9>&-
is "$(status_of writer) $(status_of r2)" "69 0" \
	"one of two readers killed: the writer knows, the other goes on"
is "$(cat "$tmp/out1" "$tmp/out2" | grep -av first | sort | cksum)" \
	"$(cksum <"$tmp/sorted")" "and no line is lost"

exec 9<>"$tmp/slow"
start writer -w "$ring" <"$tmp/slow"
start reader -r "$ring" >"$tmp/out1"
echo first >&9
wait_for test -s "$tmp/out1"
kill_hard reader
kill_hard writer
start writer -w "$ring" <"$input"
start reader -r "$ring" >"$tmp/out1"
is "$(status_of writer) $(status_of reader)" "0 0" \
	"after both were killed the next two come to their end"
cmp -s "$tmp/out1" "$input"
ok $? "and every byte arrives"
exec 9>&-

start writer -l -s 10 -w "$ring" <"$input"
start reader -r "$ring" >/dev/null
is "$(status_of writer) $(status_of reader)" "0 0" "lines of the full size fit"
start reader -r "$ring" >/dev/null
echo "a longer line" | $shmcat -l -s 10 -w "$ring" 2>"$tmp/stderr"
is $? 65 "a line longer than a message is refused"
is "$(status_of reader)" 69 "and the reader knows that the end is missing"

start writer -w "$ring" <"$input"
$shmcat -r "$ring" >/dev/full 2>/dev/null
is $? 74 "stdout that takes nothing is an error"
is "$(status_of writer)" 69 "and the writer knows"
start reader -r "$ring" >/dev/null
$shmcat -w "$ring" <"$tmp" 2>/dev/null
is $? 74 "stdin that cannot be read is an error"
is "$(status_of reader)" 69 "and the reader knows"

# dd leaves O_NONBLOCK set on its stdout, which the reader inherits.
start writer -w "$ring" <"$input"
(
	dd count=0 oflag=nonblock 2>/dev/null
	$shmcat -r "$ring"
	echo $? >"$tmp/reader.status"
) | (
	wait_for grep -q . "$tmp/started"
	cat >"$tmp/out1"
) &
sleep 0.3
echo yes >"$tmp/started"
is "$(status_of writer) $(status_of reader) $(cksum <"$tmp/out1")" \
	"0 0 $(cksum <"$input")" "stdout does not block: every byte arrives"
wait $!

# The ring must not get a descriptor that somebody takes for stdin or others.
$shmcat -w "$ring" <&- 2>"$tmp/stderr"
is $? 74 "stdin is closed"
$shmcat -r "$ring" >&- 2>"$tmp/stderr"
is $? 74 "stdout is closed"
$shmcat -w "$ring" <"$input" >&- 2>&- &
$shmcat -r "$ring" <&- 2>&- | cmp -s - "$input"
ok $? "what is not used may be closed: every byte arrives"
wait $!
ok $? "and the writer says so"

# What others have made stays.
echo text >"/dev/shm$ring"
exits 73 "-u leaves alone what is no ring" -u "$ring"
exits 73 "by force, too" -u "$ring" -f
is "$(cat "/dev/shm$ring")" text "and it is unchanged"
exits 66 "-r refuses what is no ring" -r "$ring"
exits 73 "-w refuses what is no ring" -w "$ring"
rm "/dev/shm$ring"
"$examples/producer" "$ring" 5000 >"$tmp/producer" 2>&1 &
producer=$!
wait_for test -e "/dev/shm$ring"
sleep 0.1
exits 73 "-u leaves alone a ring in use" -u "$ring"
says "in use\\|taken" "and says why"
exits 66 "-r refuses the ring of another program" -r "$ring"
says "another program" "and says why"
exits 73 "-w refuses the ring of another program" -w "$ring"
here "it is still there" "$ring"
is "$($limit "$examples/consumer" "$ring" 2>&1)" \
	"received 5000 messages, in order" "and unharmed"
wait $producer
start writer -w "$ring" </dev/null
wait_for test -e "/dev/shm$ring"
exits 0 "-u -f removes a ring in use" -u "$ring" -f
kill_hard writer
rm -f "/dev/shm$ring" # it may have made another
start writer -w "$ring" </dev/null
wait_for test -e "/dev/shm$ring"
kill_hard writer
exits 0 "-u removes what a crash has left" -u "$ring"

# What a ring needs is compared with what there is before it is allocated.
cat >"$tmp/private" <<'EOS'
#!/bin/sh
# private SIZE COMMAND...: with a /dev/shm of its own, of that size
unshare -m true 2>/dev/null || exit 77
exec unshare -m sh -c 'mount --make-rprivate / &&
	mount -t tmpfs -o size="$1" none /dev/shm || exit 77
	shift
	exec "$@"' private "$@"
EOS
cat >"$tmp/grouped" <<'EOS'
#!/bin/sh
# grouped BYTES COMMAND...: in a memory cgroup of its own, of either version
for files in "/sys/fs/cgroup memory.max" \
	"/sys/fs/cgroup/memory memory.limit_in_bytes"; do
	group=${files% *}/shmcat-$$
	mkdir "$group" 2>/dev/null || continue
	if [ -w "$group/${files#* }" ] &&
		{ echo "$1" >"$group/${files#* }"; } 2>/dev/null; then
		shift
		sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' \
			grouped "$group" "$@"
		status=$?
		rmdir "$group"
		exit $status
	fi
	rmdir "$group"
done
exit 77
EOS
chmod +x "$tmp/private" "$tmp/grouped"

# refused WHAT LIMIT CAPACITY COMMAND...: a ring for so many MiB is, by the
# limit's name
refused()
{
	what=$1
	name=$2
	capacity=$3
	shift 3
	echo text | $limit "$@" "$tools/shmcat" -w "$ring" -s 1M \
		-c "$capacity" -t 1 >/dev/null 2>"$tmp/stderr"
	status=$?
	if [ $status = 77 ]; then
		skip "$what: not permitted"
		return
	fi
	is "$status $(grep -c "too much: $name is [0-9]" "$tmp/stderr")" \
		"73 1" "$what: refused, and by what limit"
}

refused "larger than /dev/shm" "free bytes of the file system" 64 \
	"$tmp/private" 1m
refused "larger than its memory cgroup" 'memory\.[a-z_]*' 64 \
	"$tmp/grouped" 33554432
# shellcheck disable=SC2016 # for the inner shell
refused "larger than a file may be" RLIMIT_FSIZE 64 \
	sh -c 'ulimit -f 64; exec "$@"' limited
refused "a terabyte" "[A-Za-z_. ]*" 1M "$tmp/private" 1m
done_testing
