#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: what prove does, as far as `make check` needs it, for machines
# without perl: run each test, show what failed and why, sum up
#
# usage: run.sh [-e RUNNER] TEST ...
runner=
if [ "$1" = -e ]; then
	runner=$2
	shift 2
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0
for test; do
	# shellcheck disable=SC2086 # a runner has words
	if $runner "$test" >"$log" 2>&1 && ! grep -q '^not ok' "$log"; then
		verdict=ok
		passed=$((passed + 1))
	else
		verdict=FAILED
		failed=$((failed + 1))
	fi
	echo "$test: $verdict, $(grep -c '^ok' "$log") results"
	grep '# SKIP' "$log" && skipped=$((skipped + 1))
	[ $verdict = ok ] || grep -v '^ok' "$log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
