#!/bin/sh
# Description: each mechanism's header says which system calls it makes, and
# shows them where it says; and no reader has to go through too many helpers
# shellcheck source=tests/tap.sh
. tests/tap.sh

# Lines of other headers that are needed to follow a mechanism; process_vm is
# made of another one, posix_shm_sem.
most=1600
most_process_vm=2050

# follow HEADER: it, and the headers of adapters/ that it includes
follow()
{
	echo "#include <adapters/$1>" | ${CC:-cc} -Iinclude -D_GNU_SOURCE \
		-DHAVE_CK -DHAVE_ZMQ -DHAVE_NNG -DHAVE_TIRPC -MM -MG -x c - |
		tr -d '\134' | tr -s ' ' '\n' |
		sed -n 's|[^/]*/\.\./||; /^include\/adapters\//p' | sort -u
}

# row NAME HEADER: of the table of system calls in the header's opening
row()
{
	sed -n '/^ \* System calls, in order:$/,/^ \*\/$/p' "$2" |
		sed -n "/^ \*	$1	/,/^ \*\(	[a-z]\|\/\)/{
			s/^ \*	$1	//p; s/^ \*		//p; }" |
		tr '\n' ' '
}

# shown HEADER FILES: the first call of each row is there; those of send and
# receive in the header itself, or in the file that the row names
shown()
{
	header=$1
	shift
	for row in create send receive wait woken close; do
		calls=$(row $row "$header")
		call=${calls%%[!a-z0-9_]*}
		named=$(echo "$calls" | grep -o '[a-z_/]*\.h')
		case $row-$call in
		*-) echo "no row: $row" ;;
		woken-* | *-none) ;;
		send-* | receive-*)
			for file in "$header" $named; do
				sed '1,/^ \*\//d' \
					"include/adapters/${file#include/adapters/}"
			done | grep -q "\\b$call(" ||
				echo "not shown: $call"
			;;
		*)
			grep -q "\\b$call(" "$@" ||
				echo "not made: $call"
			;;
		esac
	done
}

mechanisms=$(sed -n 's/^#include "\(.*\)"$/\1/p' include/adapters/all.h)
is "$(cd include/adapters && echo ./*.h | sed 's|\./||g')" \
	"$(echo "adapter.h all.h $mechanisms" | tr ' ' '\n' | LC_ALL=C sort |
		tr '\n' ' ' | sed 's/ $//')" \
	"the folder has mechanisms and nothing else"
for mechanism in $mechanisms; do
	header=include/adapters/$mechanism
	files=$(follow "$mechanism")
	# shellcheck disable=SC2086 # lists of files
	is "$(shown "$header" $files)" "" \
		"$mechanism: its system calls are where it says"
	limit_of=$most
	[ "$mechanism" != process_vm.h ] || limit_of=$most_process_vm
	# shellcheck disable=SC2086
	helpers=$(cat $files | wc -l)
	helpers=$((helpers - $(wc -l <"$header")))
	[ $helpers -gt 200 ] && [ $helpers -le $limit_of ]
	ok $? "$mechanism: $helpers lines of helpers, at most $limit_of"
done
done_testing
