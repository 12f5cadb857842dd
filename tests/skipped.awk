# SPDX-License-Identifier: MIT
# Description: the line at the end of `make check` that tells what was skipped,
# from what run.sh notes: "results N" for each test, else why one was skipped
/^results / {
	results += $2
	next
}
{
	skipped++
	missing = 1
	if (match($0, /(lacks|needs) lib[^ ]*/)) {
		what = substr($0, RSTART + 6, RLENGTH - 6)
	} else if (/^no [^ ]+$/ || /^no .*: /) {
		what = substr($0, 4)
		sub(/: .*/, "", what)
	} else {
		missing = 0
		what = $0
		sub(/^[a-z_0-9]*: /, "", what) # which mechanism
	}
	count[missing]++
	if (!seen[what]++)
		list[missing] = list[missing] (list[missing] ? ", " : "") what
}
END {
	if (!skipped)
		exit
	printf "Skipped %d of %d results:", skipped, results
	if (count[1])
		printf " %d for want of %s (`make deps` installs them)%s",
			count[1], list[1], count[0] ? ";" : ""
	if (count[0])
		printf " %d that this user or system does not permit (%s)",
			count[0], list[0]
	print "; REQUIRE_ALL=1 makes them failures"
}
