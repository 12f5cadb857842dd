#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: stream a large file through both kinds of ring, check every
# byte, and show the rates beside that of a pipe
#
# usage: demo.sh [FILE]    (by default cc1, or libc.a); BUILD=build CC=cc
set -eu

shmcat=${BUILD:-build}/examples/tools/shmcat
cc=${CC:-cc}
input=${1:-$($cc -print-prog-name=cc1)}
# clang has no cc1, but like every C compiler a C library
[ -n "${1:-}" ] || [ -s "$input" ] || input=$($cc -print-file-name=libc.a)
[ -s "$input" ] || { echo "demo: no such file: $input" >&2; exit 66; }
# A shorter file is doubled until there is enough to measure.
least=500000000
runs=3

directory=$(mktemp -d "${TMPDIR:-/tmp}/shmring-demo.XXXXXX")
stream=/demo-$$-stream
lines=/demo-$$-lines
cleanup()
{
	rm -rf "$directory"
	rm -f "/dev/shm$stream" "/dev/shm$lines"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail()
{
	echo "demo: $1" >&2
	exit 1
}

digest()
{
	sha256sum | cut -d' ' -f1
}

# nanoseconds COMMAND: of the best of a few runs
nanoseconds()
{
	best=
	for _ in $(seq $runs); do
		start=$(date +%s%N)
		"$@"
		took=$(($(date +%s%N) - start))
		[ -n "$best" ] && [ "$best" -lt $took ] || best=$took
	done
	echo "$best"
}

# row WHAT BYTES NANOSECONDS
row()
{
	awk -v what="$1" -v bytes="$2" -v ns="$3" 'BEGIN {
		printf "%-36s %8.1f MB %8.3f s %9.0f MB/s\n",
			what, bytes / 1e6, ns / 1e9, bytes * 1e3 / ns }'
}

through_pipe()
{
	# shellcheck disable=SC2002 # two processes are what is compared
	cat "$directory/stream" | cat >/dev/null
}

# Both ends must say that the stream was complete.
through_ring()
{
	"$shmcat" -t 60 -w $stream <"$directory/stream" &
	"$shmcat" -t 60 -r $stream || fail "the reader failed"
	wait $! || fail "the writer failed"
}

through_ring_to_null()
{
	through_ring >/dev/null
}

# lines_through_ring OUT1 OUT2: each of two writers has half of the lines, two
# readers share what comes.
lines_through_ring()
{
	out1=$1
	out2=$2
	set -- -t 60 -W 2 -R 2
	"$shmcat" "$@" -r $lines >"$out1" & r1=$!
	"$shmcat" "$@" -r $lines >"$out2" & r2=$!
	set -- "$@" -l -m -c 16 -s "$longest"
	"$shmcat" "$@" -w $lines <"$directory/half1" & w1=$!
	"$shmcat" "$@" -w $lines <"$directory/half2" & w2=$!
	for process in $w1 $w2 $r1 $r2; do
		wait "$process" || fail "a writer or reader of lines failed"
	done
}

cat "$input" >"$directory/stream"
while bytes=$(wc -c <"$directory/stream") && [ "$bytes" -lt $least ]; do
	cat "$directory/stream" "$directory/stream" >"$directory/twice"
	mv "$directory/twice" "$directory/stream"
done
# The last line gets an end if it has none: others may come behind it.
# shellcheck disable=SC1003
LC_ALL=C sed '$a\' "$input" >"$directory/lines"
LC_ALL=C split -n l/1/2 "$directory/lines" >"$directory/half1"
LC_ALL=C split -n l/2/2 "$directory/lines" >"$directory/half2"
longest=$(LC_ALL=C awk '{ n = length($0) + 1; if (n > most) most = n }
	END { print most }' "$directory/lines")

count=$(wc -l <"$directory/lines")

echo "$input, as a stream $((bytes / $(wc -c <"$input"))) times; best of $runs"
ns=$(nanoseconds through_pipe)
row "cat FILE | cat >/dev/null" "$bytes" "$ns"
ns=$(nanoseconds through_ring_to_null)
row "shmcat, SPSC, >/dev/null" "$bytes" "$ns"
bytes=$(wc -c <"$directory/lines")
ns=$(nanoseconds lines_through_ring /dev/null /dev/null)
row "shmcat, MPMC, 2 to 2, >/dev/null" "$bytes" "$ns"
awk -v lines="$count" -v bytes="$bytes" -v ns="$ns" 'BEGIN {
	printf "  (that is %.2f million lines/s: each line, %.0f bytes on " \
		"average,\n  is a message and a write() of its own; " \
		"a stream is cut into 256 KiB)\n",
		lines * 1e3 / ns, bytes / lines }'
lines_through_ring "$directory/out1" "$directory/out2"

[ "$(digest <"$directory/stream")" = "$(through_ring | digest)" ] ||
	fail "SPSC: the bytes that arrived are not those that were sent"
echo "SPSC: SHA-256 of the stream is the same on both sides"
[ "$(LC_ALL=C sort "$directory/lines" | digest)" = \
	"$(LC_ALL=C sort "$directory/out1" "$directory/out2" | digest)" ] ||
	fail "MPMC: the lines that arrived are not those that were sent"
echo "MPMC: SHA-256 of the $count sorted lines is the same on both sides"
