#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: run the tests, by prove or, where there is no perl, as prove does
# as far as `make check` needs it: what failed and why, and the sum. Before the
# verdict one line tells what was skipped, why, and what brings it back.
#
# usage: run.sh [-e RUNNER] TEST ...    environment: PROVEFLAGS
#        run.sh -1 NOTES [RUNNER] TEST  one test, its skips into NOTES
set -u

if [ "$1" = -1 ]; then
	notes=$2
	shift 2
	{
		"$@"
		echo $? >"$notes.$$"
	} | awk -v notes="$notes" '
		{ print; fflush() }
		/^(not )?ok/ { results++ }
		/# SKIP/ {
			sub(/.*# SKIP */, "")
			found = found $0 "\n"
		}
		END { printf "%sresults %d\n", found, results >>notes }'
	read -r status <"$notes.$$"
	exit "$status"
fi

runner=
if [ "$1" = -e ]; then
	runner=$2
	shift 2
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 1' HUP INT TERM
notes=$directory/notes
summary="awk -f ${0%/*}/skipped.awk $notes"

if command -v prove >/dev/null; then
	{
		# shellcheck disable=SC2086 # flags are words
		prove ${PROVEFLAGS-} --exec "$0 -1 $notes $runner" "$@"
		echo $? >"$directory/status"
	} | awk -v summary="$summary" '
		!told && /^(All tests successful|Test Summary Report|Files=)/ {
			told = 1
			system(summary)
		}
		{ print; fflush() }'
	read -r status <"$directory/status"
	exit "$status"
fi

log=$directory/log
passed=0 failed=0
for test; do
	# shellcheck disable=SC2086 # a runner has words
	if "$0" -1 "$notes" $runner "$test" >"$log" 2>&1 &&
		! grep -q '^not ok' "$log"; then
		verdict=ok
		passed=$((passed + 1))
	else
		verdict=FAILED
		failed=$((failed + 1))
	fi
	echo "$test: $verdict, $(grep -c '^ok' "$log") results"
	[ $verdict = ok ] || grep -v '^ok' "$log"
done
$summary
echo "$passed passed, $failed failed"
[ $failed = 0 ]
