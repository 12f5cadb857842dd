#!/bin/sh
# Description: how many instructions a message costs, pushed and popped by one
# process, as callgrind counts them: no more than they did
# shellcheck source=tests/tap.sh
. tests/tap.sh

# Some five per cent above what gcc 12 and clang 14 make of it; then what is
# aimed at.
limits="spsc_8 91 60
spsc_64 147 110
in_place_8 149 60
batch_8 98 16
array_8 33 16
unbatched_8 140 60
mpmc_8 145 110
gated_8 90 60
gated_64 151 110
lossy_8 94 60
lossy_64 149 110"
messages=16384

if ! command -v valgrind >/dev/null || ! command -v callgrind_annotate >/dev/null
then
	skip "no valgrind"
	done_testing
fi
if [ "$(uname -m)" != x86_64 ]; then
	skip "the counts are those of x86-64"
	done_testing
fi

# run DEFINES...
run()
{
	${CC:-cc} -std=c11 -O2 -g -D_GNU_SOURCE -Iinclude "$@" \
		tests/instructions.c -o "$tmp/instructions"
	ok $? "built"
	$limit valgrind --tool=callgrind --callgrind-out-file="$tmp/counts" \
		"$tmp/instructions" >"$tmp/log" 2>&1
	ok $? "all messages arrive"
}

# The instructions of a function and all that it calls.
inclusive()
{
	callgrind_annotate --inclusive=yes --threshold=100 "$tmp/counts" |
		sed -n "s/^ *\\([0-9,]*\\) .*:$1\\( .*\\)\\{0,1\\}\$/\\1/p" |
		head -n 1 | tr -d ,
}

# judge MOST WHAT: the loop named $name
judge()
{
	count=$(inclusive "$name")
	count=$(((${count:-99999999} - ${alone:-0}) / messages))
	[ $count -le "$1" ]
	ok $? "$name$2: $count instructions, at most $1 (aim: $aim)"
}

run
alone=$(inclusive loop_alone)
ok $((${alone:-0} < messages)) "the loop alone is counted"
while read -r name most aim; do
	judge "$most" ""
done <<END
$limits
END
# Who has slept and sleeps no more costs nothing.
run -DWAITS
while read -r name most aim; do
	case $name in
	spsc_8 | mpmc_8) judge "$most" " after waits" ;;
	esac
done <<END
$limits
END
done_testing
