#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: let the model checker GenMC run the harnesses of harnesses.txt
#
# usage: run.sh [harness ...]    only these; prints TAP
# Needs genmc (0.11, https://github.com/MPI-SWS/genmc) on the path.

here=$(dirname "$0")
header=$here/../../include/shmring.h
memory_kib=$((8 << 20)) # a state space that explodes ends itself

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

scratch=$(mktemp -d) || exit 1
output=$scratch/output
trap 'rm -rf "$scratch"' EXIT
ulimit -v "$memory_kib"
genmc --version | sed -n 's/^ */# /p'
number=0
failures=0

while IFS='|' read -r harness models limit expected flags change; do
	read -r harness <<<"$harness"
	read -r expected <<<"$expected"
	read -r flags <<<"$flags"
	read -r change <<<"$change"
	[[ $harness =~ ^(#.*)?$ ]] && continue
	[ $# -gt 0 ] && [[ " $* " != *" $harness "* ]] && continue
	sed "$change" "$header" >"$scratch/shmring.h"
	if [ -n "$change" ] && cmp -s "$header" "$scratch/shmring.h"; then
		echo "not ok $((++number)) - nothing to change: $change"
		failures=$((failures + 1))
		continue
	fi
	checks=
	[[ $flags == *-DLIVENESS* ]] && checks=--check-liveness
	for model in $models; do
		began=$EPOCHREALTIME
		# shellcheck disable=SC2046,SC2086
		timeout $limit genmc $(model_flags "$model") $checks \
			$always -- -std=c11 -D_GNU_SOURCE $libc \
			-I "$scratch" $flags "$here/$harness.c" \
			>"$output" 2>&1 </dev/null
		result=$(verdict $?)
		took=$(((${EPOCHREALTIME/./} - ${began/./}) / 10000))
		executions=$(count complete)
		[ "$result" = clean ] && [ "$executions" = 0 ] && result=empty
		number=$((number + 1))
		ok=ok
		if [ "$result" != "$expected" ]; then
			ok="not ok"
			failures=$((failures + 1))
			sed 's/^/# /' "$output" | tail -n 40
		fi
		printf '%s %3d - %-11s %-4s %-10s %8d executions %8d blocked %4d.%02d s  %s\n' \
			"$ok" $number "$harness" "$model" "$result" \
			"$executions" "$(count blocked)" \
			$((took / 100)) $((took % 100)) \
			"$flags${change:+ | $change}"
	done
done <"$here/harnesses.txt"

echo "1..$number"
exit $((failures > 0 || number == 0))
