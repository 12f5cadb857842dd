#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: make fuzz, the long runs: libFuzzer on arbitrary segments, then
# live bit-flips; SECONDS_PER_TEST (600) of each
#
# usage: run.sh [fuzz | flips]     only this
# JOBS=1: fuzzers at once, which share what they find. FLAGS: for libFuzzer.

set -eu -o pipefail
build=${BUILD:-build}/fuzz
seconds=${SECONDS_PER_TEST:-600}
jobs=${JOBS:-1}
only=${1:-both}
status=0 pids=()
mkdir -p "$build/corpus"

# What it finds new stays in the corpus; a finding ends the run and is kept.
# Long inputs find more, slow ones do not.
fuzz() {
	# shellcheck disable=SC2086 # several flags
	"$build/fuzz" -timeout=10 -max_len=256 -entropic_scale_per_exec_time=1 \
		-max_total_time="$seconds" -print_final_stats=1 \
		-artifact_prefix="$build/" ${FLAGS:-} \
		"$build/corpus" tests/fuzz/seeds >"$build/fuzz-$1.log" 2>&1
}

# The last line of each kind in the logs; the sum over the jobs.
sum() {
	sed -n "s/$1/\\1/p" "${@:2}" | awk '{ sum += $1 } END { print sum + 0 }'
}

fuzz_all() {
	if ! clang -std=c11 -D_GNU_SOURCE -DLIBFUZZER -O2 -g \
		-fsanitize=fuzzer,address -Iinclude -Itests \
		tests/fuzz/test_fuzz.c -o "$build/fuzz"; then
		echo "# SKIP make fuzz needs clang and libclang-rt-dev (make deps)"
		exit "${REQUIRE_ALL:-0}"
	fi
	rm -f "$build"/fuzz-[0-9]*.log
	trap 'kill "${pids[@]}" 2>/dev/null' EXIT
	echo "# fuzzing for $seconds s: $build/fuzz-*.log"
	for ((job = 1; job <= jobs; job++)); do
		fuzz "$job" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	trap - EXIT
	logs=("$build"/fuzz-[0-9]*.log)
	echo "# executions: $(sum \
		'^stat::number_of_executed_units: *\([0-9]*\)' "${logs[@]}") in" \
		"$(sum '^Done .* in \([0-9]*\) second.*' "${logs[@]}") s"
	echo "# coverage: $(sed -n \
		's/.*DONE *\(cov: [0-9]* ft: [0-9]*\).*/\1/p' "${logs[@]}" |
		sort -k2n | tail -n 1)"
	[ $status = 0 ] || tail -n 40 "${logs[@]}"
}

flip() {
	${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=address,undefined \
		-Iinclude -Itests tests/fuzz/test_flips.c -o "$build/flips"
	echo "# flipping bits for $seconds s"
	SECONDS_PER_TEST=$(((seconds + 3) / 4)) "$build/flips" |
		tee "$build/flips.log" || status=1
	echo "# flips: $(sum '^ok.* \([0-9]*\) flips.*' "$build/flips.log")" \
		"in $seconds s"
}

[ "$only" = flips ] || fuzz_all
[ "$only" = fuzz ] || flip
[ $status = 0 ] || echo "not ok - fuzzing: $build/"
exit $status
