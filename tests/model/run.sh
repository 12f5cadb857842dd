#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: let the model checker GenMC run the harnesses of harnesses.txt
#
# usage: run.sh [harness ...]    only these; prints TAP
# MODELS='rc11 imm tso': only these
# JOBS=1: how many at a time, of up to 8 GiB each
# Needs genmc (0.11, https://github.com/MPI-SWS/genmc) on the path.

here=$(dirname "$0")
headers=$here/../../include
memory_kib=$((8 << 20)) # a state space that explodes ends itself
jobs=${JOBS:-1}

if ! command -v genmc >/dev/null; then
	if [ "${REQUIRE_ALL:-0}" = 1 ]; then
		echo "Bail out! genmc is not on the path"
		exit 1
	fi
	echo "1..0 # SKIP genmc is not on the path"
	exit 0
fi

# RC11 reports races; IMM is what hardware may do; the detector would replace
# it where the program has only release and acquire.
model_flags() {
	case $1 in
	rc11) echo "--rc11" ;;
	imm | tso) echo "--$1 --disable-mm-detector" ;;
	esac
}

# The real headers of libc in front of the excerpts that GenMC brings.
libc="-nostdlibinc -I/usr/include/$(uname -m)-linux-gnu -I/usr/include"

# No loop is taken for a spin loop but the futex's, which says so itself: the
# search for them does not end in the waiting calls, and a bounded loop of
# compare-and-swap is none. The cache of instructions makes GenMC 0.11 mistake
# a stack frame that is used again for freed memory.
always="--disable-estimation --disable-spin-assume
	--disable-instruction-caching"

# The verdict, from the exit status and the error that GenMC names: an
# expected assertion must not be excused by a crash.
verdict() {
	case $1:$(sed -n 's/^Error: \(.*\)!$/\1/p' "$output") in
	0:) echo clean ;;
	42:Safety*) echo assertion ;;
	42:Non-atomic*) echo race ;;
	42:Liveness*) echo liveness ;;
	124:* | 137:*) echo unfinished ;;
	*) echo "exit $1" ;;
	esac
}

count() {
	sed -n "s/^Number of $1 executions [a-z]*: //p" "$output" | grep . ||
		echo 0
}

# check NUMBER MODEL LIMIT: one run, of the row that is there
check() {
	local output=$scratch/output.$1 model=$2 limit=$3 took began result
	local executions ok=ok checks status

	# To take functions into their callers lasts most of a minute; a memset is
	# executed only then. Nothing is optimized: with -O1, which has a fifth of
	# the events, GenMC 0.11 finds no orphan (second -DADOPT: a message does
	# not arrive), and judges another program.
	checks=--disable-function-inliner
	[[ $flags == *-DLIVENESS* ]] && checks=--check-liveness
	began=$EPOCHREALTIME
	trap 'kill $!' TERM
	until
		# shellcheck disable=SC2046,SC2086
		timeout $limit genmc $(model_flags "$model") $checks $always \
			-- -std=c11 -D_GNU_SOURCE $libc -I "$include" $flags \
			"$here/$harness.c" >"$output" 2>&1 </dev/null &
		{ wait $!; } 2>/dev/null # no word of signals
		status=$?
		[ "$checks" != --disable-function-inliner ] ||
			! grep -q 'Invalid call to mem' "$output"
	do
		checks=
	done
	result=$(verdict $status)
	took=$(((${EPOCHREALTIME/./} - ${began/./}) / 10000))
	executions=$(count complete)
	[ "$result" = clean ] && [ "$executions" -lt "${least:-2}" ] &&
		result=few
	if [ "$result" != "$expected" ]; then
		ok="not ok"
		touch "$scratch/failed"
	fi
	# At once, as others print, too; unnumbered, as they end in any order.
	echo "$(
		printf '%s - %-11s %-4s %-10s ' \
			"$ok" "$harness" "$model" "$result"
		printf '%8d executions %8d blocked %4d.%02d s  %s\n' \
			"$executions" "$(count blocked)" \
			$((took / 100)) $((took % 100)) \
			"$flags${change:+ | $change}"
		[ "$ok" = ok ] || sed 's/^/# /' "$output" | tail -n 40
	)"
}

scratch=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
ulimit -v "$memory_kib"
genmc --version | sed -n 's/^ */# /p'
number=0

while IFS='|' read -r harness models limit expected flags change; do
	read -r harness <<<"$harness"
	read -r expected least <<<"$expected"
	read -r flags <<<"$flags"
	read -r change <<<"$change"
	[[ $harness =~ ^(#.*)?$ ]] && continue
	[ $# -gt 0 ] && [[ " $* " != *" $harness "* ]] && continue
	include=$scratch/$number
	mkdir -p "$include"
	same=0
	for header in shmring.h shmring_poll.h; do
		sed "$change" "$headers/$header" >"$include/$header"
		cmp -s "$headers/$header" "$include/$header" && ((++same))
	done
	if [ -n "$change" ] && [ $same = 2 ]; then
		echo "not ok - nothing to change: $change"
		number=$((number + 1))
		touch "$scratch/failed"
		continue
	fi
	for model in $models; do
		[[ " ${MODELS:-$model} " == *" $model "* ]] || continue
		while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
			wait -n
		done
		number=$((number + 1))
		check $number "$model" "$limit" &
	done
done <"$here/harnesses.txt"
wait

echo "1..$number"
[ ! -e "$scratch/failed" ] && [ $number -gt 0 ]
