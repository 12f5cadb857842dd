#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: change the header in one place at a time: a test must notice
#
# usage: run.sh [mutant ...] >RESULT.md    only these of mutants.txt
# First, every one of them must fit the header as it is now. Then each verdict
# is told as it comes, and all of them together at the end.
# JOBS=1: how many at a time
# LIMIT=60: seconds for one killer; who takes longer has found a hang (ALRM, so
# that it clears up). Three times as many for a crash test at every step, ten
# times for the model checker, in which nothing hangs.

limit=${LIMIT:-60}
jobs=${JOBS:-1}
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
scratch=$(mktemp -d "${TMPDIR:-/tmp}/shmring-mutants.XXXXXX") || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
# shellcheck source=tests/mutants/mutate.sh
. "$here/mutate.sh"
required=${REQUIRE_ALL:-0}
export REQUIRE_ALL=0 # a skip kills nobody
export SEED=${SEED:-1} # the same draws with and without the change
export SECONDS_PER_TEST=1
renice -n 10 $$ >/dev/null

# The tree that job $1 changes and builds, as it is without a change.
enter() {
	tree=$scratch/$1
	export BUILD=$tree/build
	mkdir -p "$tree/include"
	cp -r "$root/tests" "$root/Makefile" "$tree" || exit 1
	cp -r "$root/include/package" "$tree/include" || exit 1
	cp "$root"/include/shmring*.h "$tree/include"
}

# All functions of the header that is there, as the compiler makes them; no
# path, which is the job's, gets into it.
code() {
	(cd "$tree" && gcc -std=c11 -O2 -fkeep-static-functions \
		-fkeep-inline-functions -D_GNU_SOURCE -Iinclude -Itests \
		-c tests/test_header.c -o "$1")
}

# The verdict of one killer on the header that is there: passed, killed,
# skipped (what it needs is not here), broken (it cannot be built).
#   test_x         a test program
#   sim N          so many simulated schedules
#   crash NAME N   the crash harness, only what has NAME in its name, of that
#                  every Nth step
#   model H FLAGS  harness H of the model checker
try() {
	local kind name flags level most=$limit program=tests/$1
	read -r kind name flags <<<"$1"
	if [ "$kind" = model ]; then
		echo "$name | rc11 | $((10 * limit)) | clean | $flags" \
			>"$tree/tests/model/harnesses.txt"
		"$tree/tests/model/run.sh" >"$tree/log" 2>&1 </dev/null
		case $(grep -E '^ok|^not ok|^1\.\.0' "$tree/log") in
		1..0*) echo skipped ;;
		ok*) echo passed ;;
		*\ assertion\ * | *\ race\ * | *\ liveness\ *) echo killed ;;
		*\ unfinished\ *) echo passed ;;
		*) echo broken ;;
		esac
		return
	fi
	case $kind in
	crash) program=tests/crash/test_crash level=-O2 most=$((3 * limit)) ;;
	sim) program=tests/sim/test_sim level=-O2 ;;
	*) level=-O0 ;; # to build it lasts longest
	esac
	if ! make -C "$tree" WARNINGS= OPTIONAL= CFLAGS="$level" \
		CXXFLAGS="$level" "$BUILD/$program" \
		>"$tree/log" 2>&1 </dev/null; then
		echo broken
	elif (cd "$tree" && CRASH_ONLY=$name CRASH_STEPS=${flags:-37} \
		SIM_RUNS=$name timeout -s ALRM -k 9 "$most" "$BUILD/$program") \
		>"$tree/log" 2>&1 </dev/null; then
		grep -q '^1\.\.0' "$tree/log" && echo skipped || echo passed
	else
		echo killed
	fi
}

# report NAME VERDICT HOW, and how long it took
report() {
	local took=$((SECONDS - began))
	echo "| $1 | $2 | $took | $3 |"
	printf '%-34s %-10s %3d s  %s\n' "$1" "$2" "$took" "$3" >&2
}

fail() {
	touch "$scratch/failed"
}

# The row of one mutant.
judge_mutant() {
	local began=$SECONDS killer list result verdict=survived
	mutant "$1"
	if [[ $reason == "same code"* ]]; then
		if ! code "$tree/changed.o" 2>/dev/null; then
			verdict=skipped
		elif cmp -s "$scratch/unchanged.o" "$tree/changed.o"; then
			verdict=equivalent
		fi
	elif [ -n "$reason" ]; then
		verdict=explained
	fi
	IFS=, read -ra list <<<"$(trim "$killers")"
	for killer in "${list[@]}"; do
		killer=$(trim "$killer")
		echo "$killer" >>"$tree/used"
		result=$(try "$killer")
		case $result in
		killed) verdict=killed && break ;;
		broken) verdict=broken && break ;;
		skipped) verdict=skipped ;;
		esac
	done
	report "$name" "$verdict" "${reason:-$killer}"
	case $verdict in
	skipped) [ "$required" = 0 ] || fail ;;
	survived | broken)
		fail
		[ -n "$reason" ] ||
			tail -n 20 "$tree/log" | sed 's/^/# /' >&2
		;;
	esac
}

# The row of one killer: it proves nothing unless it passes without a change.
judge_killer() {
	local began=$SECONDS result
	result=$(try "$1")
	[ "$result" = passed ] || [ "$result" = skipped ] || fail
	report "(no change)" "$result" "$1"
}

# spread JUDGE ITEM...: JOBS at a time, the rows in the order of the items
spread() {
	local judge=$1 job i
	shift
	for ((job = 1; job <= jobs; job++)); do
		(
			trap 'exit 1' TERM
			enter "$job"
			for ((i = job; i <= $#; i += jobs)); do
				"$judge" "${!i}" >"$scratch/row.$i"
			done
		) &
	done
	wait
	for ((i = 1; i <= $#; i++)); do
		cat "$scratch/row.$i"
	done
}

# What was run, where, and what came of it: the rows in file $1.
describe() {
	local commit cpu genmc count verdict tally=
	commit=$(git -C "$root" log -1 --format=%h -- 'include/shmring*.h')
	git -C "$root" diff --quiet HEAD -- 'include/shmring*.h' ||
		commit="$commit, changed"
	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	genmc=$(genmc --version 2>/dev/null | grep -o 'GenMC v[0-9.]*')
	for verdict in killed equivalent explained skipped survived broken; do
		count=$(grep -c "^| [^|]* | $verdict |" "$1")
		[ "$count" = 0 ] || tally+=", $count $verdict"
	done
	cat <<-END
		# Mutants of include/shmring.h and shmring_poll.h

		$(date +%F), \`make mutants\`, $(gcc --version | head -n 1),
		$cpu ($(nproc) CPUs), $(uname -sr), ${genmc:-no GenMC}.
		Header of commit ${commit:-unknown}.

		$(wc -l <"$1") mutants: ${tally#, }.
		mutants.txt says what each one changes. Each killer has to pass on the
		unchanged header (the last table).

		Equivalent means: the compiler (gcc -O2, every function kept) makes the
		same object file of it on x86-64; elsewhere the order may be needed.
		"Clean in model" names the rows of tests/model/ that execute it and do
		not tell it from the header, either (RC11): there another order does
		the same work. Explained means: no test tells it from the header, for
		the reason given.

		| mutant | verdict | s | killer, or why there is none |
		|---|---|---|---|
	END
}

table=() # it may be edited meanwhile
while IFS= read -r line; do
	name=$(trim "${line%%@*}")
	[[ $name =~ ^(#.*)?$ ]] && continue
	[ $# -gt 0 ] && [[ " $* " != *" $name "* ]] && continue
	table+=("$line")
done <"$here/mutants.txt"
enter 1
for line in "${table[@]}"; do
	mutant "$line" || misfits=$((misfits + 1))
done
if [ "${misfits:-0}" != 0 ] || [ ${#table[@]} = 0 ]; then
	echo "not ok - ${misfits:-0} of ${#table[@]} mutants do not fit" >&2
	exit 1
fi

enter 1
code "$scratch/unchanged.o" 2>/dev/null || echo "# no gcc: no same code" >&2
spread judge_mutant "${table[@]}" >"$scratch/rows"
readarray -t used < <(sort -u "$scratch"/*/used 2>/dev/null)
describe "$scratch/rows"
cat "$scratch/rows"
echo
echo "| unchanged header | verdict | s | killer |"
echo "|---|---|---|---|"
spread judge_killer "${used[@]}"
[ ! -e "$scratch/failed" ]
