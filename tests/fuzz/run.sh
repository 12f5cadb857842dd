#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: make fuzz, the long runs: libFuzzer on arbitrary segments, then
# live bit-flips; SECONDS_PER_TEST (600) of each
set -eu
build=${BUILD:-build}/fuzz
seconds=${SECONDS_PER_TEST:-600}
mkdir -p "$build/corpus"
if ! clang -std=c11 -D_GNU_SOURCE -DLIBFUZZER -O2 -g \
	-fsanitize=fuzzer,address -Iinclude -Itests \
	tests/fuzz/test_fuzz.c -o "$build/fuzz"; then
	echo "# SKIP make fuzz needs clang and libclang-rt-dev (make deps)"
	exit "${REQUIRE_ALL:-0}"
fi
# What it finds new stays in the corpus; a finding ends the run and is kept.
"$build/fuzz" -timeout=10 -max_len=512 -max_total_time="$seconds" \
	-print_final_stats=1 -artifact_prefix="$build/" \
	"$build/corpus" tests/fuzz/seeds
${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=address,undefined \
	-Iinclude -Itests tests/fuzz/test_flips.c -o "$build/flips"
SECONDS_PER_TEST=$((seconds / 4 + 1)) "$build/flips"
