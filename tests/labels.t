#!/bin/sh
# Description: every atomic access of the header says what it is ordered with:
# a label of the table under ORDERING, or why relaxed is enough; and every label
# has both ends
# shellcheck source=tests/tap.sh
. tests/tap.sh

# unlabelled FILE: line numbers of accesses without a label. One access is what
# stands between its first line and the first end of a statement, with the
# comment there, and the comment that ends on the line before. Labels: R, A, W
# and F with a number, or own, hint, confirmed, carried.
unlabelled()
{
	awk '
	function judge() {
		if (text !~ /(^|[^A-Za-z0-9_])([RAWF][0-9]+|own|hint|confirmed|carried)([^A-Za-z0-9_]|$)/)
			print start ": " first
		open = 0
	}
	/^[ \t]*#[ \t]*define/ { macro = 1 }
	macro { if (!/\\$/) macro = 0; before = ""; next }
	{
		code = $0
		comment = ""
		if (match(code, /\/\*.*/)) {
			comment = substr(code, RSTART)
			code = substr(code, 1, RSTART - 1)
		}
		if (within) { # in a comment of several lines
			comment = $0
			code = ""
			if (/\*\//) within = 0
		} else if (comment != "" && comment !~ /\*\//)
			within = 1
		if (open && code ~ /[;{]|^[ \t]*$/ && code !~ /for \(/)
			ending = 1
		access_here = code ~ /SHMRING__(LOAD|STORE|PUBLISH)\(|shmring__(cas|move)\(|__atomic_/ &&
			code !~ /^shmring__(cas|move)\(/
		if (access_here && !open) {
			open = 1
			start = NR
			first = code
			text = before
			ending = code ~ /[;{]/
		}
		if (open) {
			text = text " " comment
			if (ending && !within) { judge(); ending = 0 }
		}
		before = comment != "" && code ~ /^[ \t]*$/ ? before " " comment : ""
	}' "$1"
}

# labels FILE: those at accesses, once each; table FILE: those in the table.
table()
{
	sed -n '/^ \* ORDERING/,/^ \* ---/p' "$1" |
		grep -oE '\b[RAWF][0-9]+\b' | sort -u
}
labels()
{
	sed '/^ \* ORDERING/,/^ \* ---/d' "$1" |
		grep -oE '\b[RAWF][0-9]+\b' | sort -u
}

header=include/shmring.h
is "$(unlabelled $header)" "" "every atomic access has a label"
is "$(labels $header)" "$(table $header)" \
	"every label stands in the table and at an access"
is "$(table $header | grep '^R' | tr R A)" "$(table $header | grep '^A')" \
	"every release has its acquire"

# It can fail.
printf '\tx = SHMRING__LOAD(&y,\n\t\tACQUIRE);\n' >"$tmp/bare.h"
is "$(unlabelled "$tmp/bare.h" | wc -l)" 1 "an access without one is found"
printf '\tx = SHMRING__LOAD(&y,\n\t\tACQUIRE); /* A1 */\n' >"$tmp/bare.h"
is "$(unlabelled "$tmp/bare.h" | wc -l)" 0 "with one it is not"
done_testing
