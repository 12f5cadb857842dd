#!/bin/sh
# Description: what `make check` says of what it skipped, and that the verdict
# comes last, with prove and without
# shellcheck source=tests/tap.sh
. tests/tap.sh

# program NAME LINE...: a test that prints these lines
program()
{
	name=$tmp/$1
	shift
	echo '#!/bin/sh' >"$name"
	printf "echo '%s'\n" "$@" >>"$name"
	chmod +x "$name"
}

program whole "ok 1 - whole" 1..1
program partly "ok 1 - good" "ok 2 # SKIP zmq: this build lacks libzmq3-dev" \
	"ok 3 # SKIP rpc: needs libtirpc-dev" "ok 4 # SKIP no pid namespace" \
	"ok 5 # SKIP no gnuplot: no diagrams" 1..5
program none "1..0 # SKIP no g++"
program failed "not ok 1 - bad" 1..1
line="Skipped 5 of 6 results: 4 for want of libzmq3-dev, libtirpc-dev, \
gnuplot, g++ (\`make deps\` installs them); 1 that this user or system does \
not permit (no pid namespace); REQUIRE_ALL=1 makes them failures"

# says HOW PASS FAIL: what run.sh says at its end if all pass, or not
says()
{
	PROVEFLAGS='' tests/run.sh "$tmp/whole" "$tmp/partly" "$tmp/none" \
		>"$tmp/output" 2>&1
	is "$? $(tail -n 1 "$tmp/output")" "0 $2" "$1: the verdict comes last"
	is "$(grep '^Skipped' "$tmp/output")" "$line" "$1: one line tells why"
	is "$(grep -c SKIP "$tmp/output")" 0 "$1: and no other"
	PROVEFLAGS='' tests/run.sh "$tmp/whole" "$tmp/failed" \
		>"$tmp/output" 2>&1
	is "$? $(tail -n 1 "$tmp/output")" "1 $3" "$1: a failure is one"
	is "$(grep -c '^Skipped' "$tmp/output")" 0 \
		"$1: nothing skipped, nothing said"
}

if command -v prove >/dev/null; then
	says "with prove" "Result: PASS" "Result: FAIL"
else
	skip "no prove: no perl"
fi
# All that run.sh needs, but no prove.
mkdir "$tmp/bin"
for tool in awk grep mktemp rm sh; do
	ln -s "$(command -v $tool)" "$tmp/bin/$tool"
done
path=$PATH
PATH=$tmp/bin
export PATH
says_without=$(
	PROVEFLAGS='' tests/run.sh "$tmp/whole" "$tmp/partly" "$tmp/none"
	echo "$?"
)
PATH=$path
is "$(echo "$says_without" | tail -n 3)" "$line
3 passed, 0 failed
0" "without prove: the same line, then the verdict"
done_testing
