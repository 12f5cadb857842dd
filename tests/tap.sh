# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034 # variables are for who sources this
#
# tap.sh - TAP for the scripts among the tests: `. tests/tap.sh` first, then
# ok and is, `done_testing` last. Environment as for tap.h. Names in /dev/shm
# must begin with $ring, files belong into $tmp; both are removed.

examples=${BUILD:-build}/examples
tools=$examples/tools
ring=/tap-$$
tmp=$(mktemp -d "${TMPDIR:-/tmp}/shmring-tap.XXXXXX") || exit 1
tests=0
failures=0
# No process that a test waits for may last longer than this.
limit="timeout -k 5 60"

tap_cleanup()
{
	rm -rf "$tmp" "/dev/shm$ring"*
}
trap tap_cleanup EXIT
trap 'exit 1' HUP INT TERM

# ok STATUS WHAT: passes when the status is 0
ok()
{
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		echo "# $0: failed: $2" >&2 # where prove shows it
		failures=$((failures + 1))
	fi
}

# is GOT EXPECTED WHAT
is()
{
	[ "$1" = "$2" ]
	ok $? "$3"
	[ "$1" = "$2" ] || printf 'got %s\nexpected %s\n' "$1" "$2" |
		sed 's/^/#   /' >&2
}

# skip WHY: in place of one result
skip()
{
	tests=$((tests + 1))
	if [ "${REQUIRE_ALL:-0}" = 1 ]; then
		failures=$((failures + 1))
		printf 'not '
	fi
	echo "ok $tests # SKIP $1"
}

# wait_for COMMAND...: until it succeeds, for at most half a minute
wait_for()
{
	for _ in $(seq 3000); do
		"$@" 2>/dev/null && return
		sleep 0.01
	done
	return 1
}

done_testing()
{
	is "$(find /dev/shm -path "/dev/shm$ring*")" "" \
		"nothing is left in /dev/shm"
	echo "1..$tests"
	exit $((failures > 0))
}
