#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: change the header in one place at a time: a test must notice
#
# usage: run.sh [mutant ...]    only these of mutants.txt
# First, every one of them must fit the header as it is now.
# LIMIT=60: seconds for one killer; who takes longer has found a hang (ALRM, so
# that it clears up).

limit=${LIMIT:-60}
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
tree=$(mktemp -d "${TMPDIR:-/tmp}/shmring-mutants.XXXXXX") || exit 1
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' HUP INT TERM
required=${REQUIRE_ALL:-0}
export REQUIRE_ALL=0 # a skip kills nobody
export SEED=${SEED:-1} # the same draws with and without the change
export SECONDS_PER_TEST=1 BUILD=$tree/build
renice -n 10 $$ >/dev/null

mkdir "$tree/include"
cp -r "$root/tests" "$root/Makefile" "$tree" || exit 1
header=$tree/include/shmring.h

trim() {
	local text=$1
	text=${text#"${text%%[! ]*}"}
	printf '%s' "${text%"${text##*[! ]}"}"
}

# The header with one text of one function (- for all of the file) replaced.
# White space is as good as any other. shmring__blind is a compare-and-swap that
# stores in any case.
mutate() {
	perl -0777 -e '
		my ($file, $function, $from, $to) = @ARGV;
		open(my $in, "<", $file) or die;
		my $all = <$in>;
		my ($start, $body) = (0, $all);
		if ($function ne "-") {
			$all =~ /^\Q$function\E\(.*?^\}/ms
				or die "no function $function\n";
			($start, $body) = ($-[0], $&);
		}
		my $text = join("\\s+", map { quotemeta } split(" ", $from));
		$text =~ s/\\\(/\\(\\s*/g;
		my @found = $body =~ /$text/g;
		@found == 1 or die "$function: found " . @found .
			" times instead of once: $from\n";
		my $size = length($body);
		$body =~ s/$text/$to/;
		substr($all, $start, $size) = $body;
		print "#define shmring__blind(place, from, to) ({ " .
			"__typeof__(to) was = from; " .
			"if (!__atomic_compare_exchange_n(place, &was, to, " .
			"0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) " .
			"__atomic_store_n(place, to, __ATOMIC_RELEASE); " .
			"1; })\n";
		print $all;
	' "$root/include/shmring.h" "$@" >"$header"
}

# All functions of the header that is there, as the compiler makes them.
code() {
	gcc -std=c11 -O2 -fkeep-static-functions -fkeep-inline-functions \
		-D_GNU_SOURCE "-I$tree/include" "-I$tree/tests" \
		-c "$tree/tests/test_header.c" -o "$1"
}

# The verdict of one killer on the header that is there: passed, killed,
# skipped (what it needs is not here), broken (it cannot be built).
#   test_x         a test program
#   crash NAME     the crash harness, only what has NAME in its name
#   model H FLAGS  harness H of the model checker
try() {
	local kind name flags program=tests/$1
	read -r kind name flags <<<"$1"
	if [ "$kind" = model ]; then
		echo "$name | rc11 | $limit | clean | $flags" \
			>"$tree/tests/model/harnesses.txt"
		"$tree/tests/model/run.sh" >"$tree/log" 2>&1 </dev/null
		case $(grep -E '^ok|^not ok|^1\.\.0' "$tree/log") in
		1..0*) echo skipped ;;
		ok*) echo passed ;;
		*\ assertion\ * | *\ race\ * | *\ liveness\ *) echo killed ;;
		*\ unfinished\ *) echo passed ;;
		*) echo broken ;;
		esac
		return
	fi
	[ "$kind" = crash ] && program=tests/crash/test_crash
	if ! make -C "$tree" WARNINGS= OPTIONAL= "$BUILD/$program" \
		>"$tree/log" 2>&1 </dev/null; then
		echo broken
	elif (cd "$tree" && CRASH_ONLY=$name timeout -s ALRM -k 9 "$limit" \
		"$BUILD/$program") >"$tree/log" 2>&1 </dev/null; then
		grep -q '^1\.\.0' "$tree/log" && echo skipped || echo passed
	else
		echo killed
	fi
}

bad=0
declare -A tally

# report NAME WHAT HOW, and how long it took
report() {
	tally[$2]=$((${tally[$2]} + 1))
	printf '%-34s %-10s %3d s  %s\n' "$1" "$2" $((SECONDS - began)) "$3"
}

# The next mutant's fields, and the header changed by it.
mutant() {
	IFS=@ read -r name function from to killers reason <<<"$1"
	name=$(trim "$name")
	reason=$(trim "$reason")
	mutate "$(trim "$function")" "$(trim "$from")" "$(trim "$to")" || {
		echo "$name: mutants.txt does not fit the header" >&2
		return 1
	}
}

table=() # it may be edited meanwhile
while IFS= read -r line; do
	name=$(trim "${line%%@*}")
	[[ $name =~ ^(#.*)?$ ]] && continue
	[ $# -gt 0 ] && [[ " $* " != *" $name "* ]] && continue
	table+=("$line")
done <"$here/mutants.txt"
for line in "${table[@]}"; do
	mutant "$line" || misfits=$((misfits + 1))
done
if [ "${misfits:-0}" != 0 ] || [ ${#table[@]} = 0 ]; then
	echo "not ok - ${misfits:-0} of ${#table[@]} mutants do not fit"
	exit 1
fi

cp "$root/include/shmring.h" "$header"
code "$tree/unchanged.o" 2>/dev/null || echo "# SKIP same code: no gcc"
for line in "${table[@]}"; do
	began=$SECONDS
	mutant "$line"
	if [[ $reason == "same code"* ]]; then
		verdict=equivalent
		code "$tree/changed.o" 2>/dev/null || verdict=skipped
		[ $verdict = skipped ] ||
			cmp -s "$tree/unchanged.o" "$tree/changed.o" ||
			verdict=survived
		report "$name" $verdict "$reason"
		[ $verdict = survived ] && bad=1
		[ $verdict = skipped ] && [ "$required" = 1 ] && bad=1
		continue
	fi
	if [ -n "$reason" ]; then
		report "$name" explained "$reason"
		continue
	fi
	verdict=survived
	IFS=, read -ra list <<<"$killers"
	for killer in "${list[@]}"; do
		killer=$(trim "$killer")
		used[${#used[@]}]=$killer
		result=$(try "$killer")
		case $result in
		killed) verdict=killed && break ;;
		broken) verdict=broken && break ;;
		skipped) verdict=skipped ;;
		esac
	done
	report "$name" $verdict "$killer"
	case $verdict in
	killed) ;;
	skipped) [ "$required" = 1 ] && bad=1 ;;
	*)
		bad=1
		tail -n 20 "$tree/log" | sed 's/^/# /'
		;;
	esac
done

# A killer proves nothing unless it passes without a change.
began=$SECONDS
cp "$root/include/shmring.h" "$header"
while read -r killer; do
	began=$SECONDS
	result=$(try "$killer")
	[ "$result" = passed ] || [ "$result" = skipped ] || bad=1
	report "(no change)" "$result" "$killer"
done < <(printf '%s\n' "${used[@]}" | sort -u)

for verdict in "${!tally[@]}"; do
	echo "# ${tally[$verdict]} $verdict"
done
exit $bad
