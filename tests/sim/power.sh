#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: how soon the simulator finds a fault that is put back, each alone
#
# usage: power.sh [NAME ...] >table
# NAME: a row of mutants/mutants.txt, or P2=ROW: called so
# LIMIT=600: CPU seconds for each seed and memory
# SEEDS=3, SEED=90000000: so many, each 10^7 behind the last
# A failure whose small form fails without the change, too, is none of it.

limit=${LIMIT:-600}
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/mutants/mutate.sh
. "$root/tests/mutants/mutate.sh"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/shmring-power.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
[ $# -gt 0 ] || set -- P1=doubt-anothers P2=reclaim-anew P3=covered-itself \
	P4=orphan-found P6=attach-early P7=resume-suspect P9=end-head \
	P10=peek-dropped P12=wait-claimed-twice P19=wake-then-more \
	P20=bury-helped peek-torn F6-sleeper F6-peers F7-join F7-gate

# The tree $1: a header is changed before it is built.
enter() {
	tree=$scratch/$1
	mkdir -p "$tree/include"
	cp -r "$root/tests" "$root/Makefile" "$tree"
	cp -r "$root/include/package" "$tree/include"
	cp "$root"/include/*.h "$tree/include"
}

build() {
	make -C "$tree" BUILD=build WARNINGS= build/tests/sim/test_sim \
		>"$scratch/log" 2>&1 || { cat "$scratch/log" >&2 && exit 1; }
}

# What is found from seed $1 on under one memory ($2, if not SC): a cell of the
# table.
try() {
	local said kept next=$1 runs=0 took=0 r t
	while ((${took%.*} < limit)); do
		rm -f "$tree"/tests/sim/kept/*
		said=$(cd "$tree" && build/tests/sim/test_sim "${@:2}" --shrink \
			--seed "$next" --seconds $((limit - ${took%.*})) 2>&1)
		read -r r t <<<"$(sed -n \
			's/^# .*: \([0-9]*\) schedules in \([0-9.]*\) s.*/\1 \2/p' \
			<<<"$said")"
		runs=$((runs + r))
		took=$(awk "BEGIN { printf \"%.1f\", $took + $t }")
		kept=$(ls "$tree/tests/sim/kept")
		[ -n "$kept" ] || break
		if "$scratch/unchanged/build/tests/sim/test_sim" --replay \
			"$tree/tests/sim/kept/$kept" >"$scratch/log" 2>&1; then
			echo "${kept%-*}: $runs, $took"
			return
		fi
		next=$((${kept##*-} + 1))
	done
	echo "no: $runs, $took"
}

enter unchanged
build
echo "| fault | memory | each seed: failure, schedules, CPU seconds |"
echo "|---|---|---|"
for fault; do
	row=$(grep "^${fault#*=} @" "$root/tests/mutants/mutants.txt")
	enter changed
	mutant "$row" || exit 1
	build
	for memory in SC TSO; do
		option=()
		[ $memory = SC ] || option=(--tso)
		cells='' found=''
		for ((i = 0; i < ${SEEDS:-3}; i++)); do
			cell=$(try $((${SEED:-90000000} + i * 10000000)) \
				"${option[@]}")
			cells+="${cells:+; }$cell"
			[[ $cell == "no: "* ]] || found=1
		done
		echo "| $fault | $memory | $cells |"
		[ -z "$found" ] || break # TSO if it is needed
	done
done
