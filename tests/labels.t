#!/bin/sh
# Description: every atomic access of the header says what it is ordered with:
# a label of the table under ORDERING, or why relaxed is enough; and every label
# has both ends
# shellcheck source=tests/tap.sh
. tests/tap.sh

# unlabelled FILE: accesses whose statement has no label: neither in a comment
# within it, nor in the one before it or before the accesses that it follows.
# Labels: R, A, W and F with a number, or own, hint, confirmed, carried; but
# what is more than relaxed has one with a number, of its kind.
unlabelled()
{
	awk '
	BEGIN { label = "(^|[^A-Za-z0-9_])([RAWF][0-9]+|own|hint|confirmed|carried)([^A-Za-z0-9_]|$)" }
	function has(kind) {
		return (before " " comments) ~ "(^|[^A-Za-z0-9_])" kind "[0-9]+"
	}
	function end_statement() {
		if (accesses && (before " " comments) !~ label)
			print first
		else if (accesses && ((text ~ /SEQ_CST/ && !has("[FW]")) ||
				(text ~ /[ _]RELEASE|PUBLISH/ && !has("[RF]")) ||
				(text ~ /ACQUIRE/ && !has("[AF]"))))
			print first ", of another kind"
		if (!accesses)
			before = ""
		accesses = 0
		text = ""
		comments = ""
		open = 0
	}
	/^[ \t]*#[ \t]*define/ { macro = 1 }
	macro { if (!/\\$/) macro = 0; before = ""; next }
	{
		code = $0
		comment = ""
		if (within) {
			comment = $0
			code = ""
			if (/\*\//) within = 0
		} else if (match(code, /\/\*.*/)) {
			comment = substr(code, RSTART)
			code = substr(code, 1, RSTART - 1)
			if (comment !~ /\*\//) within = 1
		}
		blank = code ~ /^[ \t]*$/
		if (blank && !open) { # a comment holds until a blank line
			before = comment == "" ? "" : before " " comment
			next
		}
		comments = comments " " comment
		if (blank) next
		open = 1
		text = text code
		if (code ~ /SHMRING__(LOAD|STORE|PUBLISH)\(|[^_]shmring__cas\(|__atomic_/) {
			if (!accesses) first = NR ": " code
			accesses++
		}
		if (code ~ /[;{}:][ \t]*$/ && !within) end_statement()
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
is "$(unlabelled $header)$(unlabelled include/shmring_poll.h)" "" \
	"every atomic access has a label"
is "$(labels $header)" "$(table $header)" \
	"every label stands in the table and at an access"
is "$(table $header | grep '^R' | tr R A)" "$(table $header | grep '^A')" \
	"every release has its acquire"

# It can fail.
printf '\tx = SHMRING__LOAD(&y,\n\t\tACQUIRE);\n' >"$tmp/bare.h"
is "$(unlabelled "$tmp/bare.h" | wc -l)" 1 "an access without one is found"
printf '\tx = SHMRING__LOAD(&y,\n\t\tACQUIRE); /* A1 */\n' >"$tmp/bare.h"
is "$(unlabelled "$tmp/bare.h" | wc -l)" 0 "with one it is not"
printf '\tx = SHMRING__LOAD(&y,\n\t\tACQUIRE); /* own, R1 */\n' >"$tmp/bare.h"
is "$(unlabelled "$tmp/bare.h" | wc -l)" 1 "with one of another kind it is"
done_testing
