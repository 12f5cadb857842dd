#!/bin/sh
# Description: shmcat end to end: streams, lines, many to many, deaths,
# exit statuses
# shellcheck source=tests/tap.sh
. tests/tap.sh

shmcat="$limit $examples/shmcat"
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
			"$examples/shmcat" -t 60 "$@" <&8 2>"$tmp/$name.errors" &
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

kill_hard()
{
	kill -9 "$(cat "$tmp/$1.pid")"
	status_of "$1" >/dev/null
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

# copies WHAT ARGUMENTS...: input arrives through a ring made with these
copies()
{
	what=$1
	shift
	start writer -w "$ring" "$@" <"$input"
	$shmcat -r "$ring" "$@" | cmp -s - "$input"
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
exits 75 "a reader gives up when no ring comes" -r "$ring" -t 0.1
exits 66 "a name that cannot be one: not read" -r /a/b
exits 73 "a name that cannot be one: not written" -w /a/b
exits 73 "-u of a ring that is not there" -u "$ring"
echo text | $shmcat -w "$ring" -t 0.1 2>"$tmp/stderr"
is $? 75 "a writer gives up when no reader comes"
is "$($shmcat -r "$ring" -t 10)" text "but what it wrote can still be read"
exits 0 "-u removes a ring" -u "$ring"

copies "blocks" -c 8
copies "small ring" -s 1000 -c 2
copies "lines" -l -s 2M
copies "spinning" -p spin
copies "blocking" -p block
copies "one to one in a ring for many" -m
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
start w1 -lm -W2 -R2 -w "$ring" <"$input"
start w2 -lm -W2 -R2 -w "$ring" <"$input"
start r1 -W2 -R2 -r "$ring" >"$tmp/out1"
start r2 -W2 -R2 -r "$ring" >"$tmp/out2"
is "$(status_of w1) $(status_of w2) $(status_of r1) $(status_of r2)" \
	"0 0 0 0" "two writers and two readers come to their end"
is "$(sort "$tmp/out1" "$tmp/out2" | cksum)" \
	"$(sort "$input" "$input" | cksum)" "and every line arrived once"

# What a writer reads from it comes when it is written to descriptor 9.
mkfifo "$tmp/slow"
exec 9<>"$tmp/slow"
start writer -l -w "$ring" <"$tmp/slow"
echo first >&9
start reader -r "$ring" >"$tmp/out1"
wait_for test -s "$tmp/out1"
exits 73 "a second writer of an SPSC ring is refused" -w "$ring"
exits 66 "a second reader of an SPSC ring is refused" -r "$ring"
kill_hard writer
is "$(status_of reader)" 69 "writer killed: the reader knows"
is "$(cat "$tmp/out1")" first "writer killed: what it sent had arrived"
is "$(grep -c truncated "$tmp/reader.errors")" 1 "writer killed: it is said"

start writer -l -w "$ring" <"$tmp/slow"
start reader -r "$ring" >"$tmp/out1"
echo first >&9
wait_for test -s "$tmp/out1"
kill_hard reader
is "$(status_of writer)" 69 "reader killed: the writer knows"
is "$(grep -c 'readers died' "$tmp/writer.errors")" 1 "reader killed: it is said"

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
# shellcheck disable=SC2317 # wait_for calls it
replaced()
{
	[ "$(stat -c %i "/dev/shm$ring")" != "$old" ]
}
old=$(stat -c %i "/dev/shm$ring")
start writer -w "$ring" <"$input"
wait_for replaced # else the reader would find the end of the old one
start reader -r "$ring" >"$tmp/out1"
is "$(status_of writer) $(status_of reader)" "0 0" \
	"a ring whose users were killed is replaced"
cmp -s "$tmp/out1" "$input"
ok $? "and every byte arrives"
exec 9>&-

start writer -l -s 10 -w "$ring" <"$input"
start reader -r "$ring" >/dev/null
is "$(status_of writer) $(status_of reader)" "0 0" "lines of the full size fit"
echo "a longer line" | $shmcat -l -s 10 -w "$ring" 2>"$tmp/stderr" 
is $? 65 "a line longer than a message is refused"
$shmcat -r "$ring" >/dev/null 2>&1
is $? 69 "and the reader knows that the end is missing"

start writer -w "$ring" <"$input"
$shmcat -r "$ring" >/dev/full 2>/dev/null
is $? 74 "stdout that takes nothing is an error"
is "$(status_of writer)" 69 "and the writer knows"
$shmcat -w "$ring" <"$tmp" 2>/dev/null
is $? 74 "stdin that cannot be read is an error"
$shmcat -u "$ring"
done_testing
