#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: make evidence: run the long tests, one part or all, and note in
# tests/RESULTS.md what came of them
#
# usage: evidence.sh [PART...]     one of the parts below; without one all, one
#                                  after the other
#        evidence.sh --judge       only tell again what is noted and missing
# JOBS=2 CRASH_CASES=67: as for the parts' own scripts
#
# A row of RESULTS.md belongs to one header: it shows as missing as soon as the
# header is another one, but for its comments. A part that fails is noted as
# failed.
# EVIDENCE_RESULTS, EVIDENCE_HEADERS, EVIDENCE_PARTS: other files than those of
# the tree, and a script that says what the parts do; for the test of this one

# shellcheck disable=SC2317 # functions are called by the names of parts
set -u -o pipefail
build=${BUILD:-build}
results=${EVIDENCE_RESULTS:-tests/RESULTS.md}
headers=${EVIDENCE_HEADERS:-include/*.h}
# In pieces, for each has to come to its end in one go.
parts=(crash-gcc crash-clang model-rc11 model-imm model-tso mutants storm lapped
	flips fuzz sim-sc sim-tso)
logs=$build/evidence
mkdir -p "$logs"

declare -A what=(
	[crash-gcc]='killed and stopped at every instruction, gcc, every level'
	[crash-clang]='killed and stopped at every instruction, clang, every level'
	[model-rc11]='every row of harnesses.txt by GenMC, RC11'
	[model-imm]='the same, IMM'
	[model-tso]='the same, TSO'
	[mutants]='every mutant of mutants.txt'
	[storm]='processes killed at random for an hour'
	[lapped]='a thousand million reads beside a writer who overwrites'
	[flips]='bits that flip under living processes, for an hour'
	[fuzz]='ten million executions of libFuzzer on arbitrary segments'
	[sim-sc]='fifty million simulated schedules, sequentially consistent'
	[sim-tso]='fifty million under the memory order of x86'
)

# What each part runs; its output is the log, from which counts_ takes a line of
# figures, of all parts of a kind in the same way.
run_crash-gcc() { COMPILERS=gcc tests/crash/run.sh; }
run_crash-clang() { COMPILERS=clang tests/crash/run.sh; }
counts_crash() {
	awk '$1 == "all" { print $2 " points, " $3 " failed, " $4 " missed; " \
		"without protection " $5 " points, " $6 " failed" }
		/^# .* variants/ { sub(/^# /, ""); print }' "$1"
}
run_model-rc11() { MODELS=rc11 tests/model/run.sh; }
run_model-imm() { MODELS=imm tests/model/run.sh; }
run_model-tso() { MODELS=tso tests/model/run.sh; }
counts_model() {
	awk '/^(not )?ok/ { rows++; bad += /^not/ }
		match($0, /[0-9]+ executions/) {
			all += substr($0, RSTART, RLENGTH) }
		END { print rows + 0 " rows, " bad + 0 " not as expected, " \
			all + 0 " executions" }' "$1"
}
run_mutants() {
	tests/mutants/run.sh >"$logs/mutants.md" &&
		cp "$logs/mutants.md" tests/mutants/RESULT.md
	local status=$?
	cat "$logs/mutants.md"
	return "$status"
}
counts_mutants() { sed -n 's/^\([0-9]* mutants: .*\)\.$/\1/p' "$1"; }
run_storm() {
	make "$build/tests/test_storm" &&
		SECONDS_PER_TEST=3600 "$build/tests/test_storm"
}
run_lapped() {
	make "$build/tests/test_lapped" &&
		LAPPED_READS=1000000000 "$build/tests/test_lapped"
}
passed() { sed -n 's/^ok [0-9]* - \(.*[0-9].*\)/\1/p' "$1"; }
counts_storm() { passed "$1"; }
counts_lapped() { passed "$1"; }
run_flips() { SECONDS_PER_TEST=3600 tests/fuzz/run.sh flips; }
counts_flips() { passed "$1"; }
run_fuzz() {
	FLAGS="-runs=$((10000000 / ${JOBS:-1})) -max_total_time=0" \
		tests/fuzz/run.sh fuzz
}
counts_fuzz() { sed -n 's/^# \(executions\|coverage\): /\1 /p' "$1"; }
simulate() {
	make "$build/tests/sim/test_sim" &&
		"$build/tests/sim/test_sim" --seed "$(date +%s%N)" \
			--runs 50000000 "$@"
}
run_sim-sc() { simulate; }
run_sim-tso() { simulate --tso; }
counts_sim() {
	sed -n 's/^# \(.*: [0-9]* schedules\) in .*each, \(.*\)/\1, \2/p' "$1"
}
# shellcheck disable=SC1090 # a test's
[ -z "${EVIDENCE_PARTS:-}" ] || . "$EVIDENCE_PARTS"

# shellcheck disable=SC2086 # a pattern
hash_now() {
	cat $headers | perl -0777 -pe 's{/\*.*?\*/}{ }gs; s/\s+/ /g' |
		sha256sum | cut -c1-16
}
hash=$(hash_now)
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)

# row PART: what is noted of it, from "| PART |" on
row() {
	grep "^| $1 |" "$results" 2>/dev/null | head -n 1
}

# note PART: run it; its row
note() {
	local part=$1 began=$SECONDS verdict=passed commit counts
	commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
	git diff --quiet HEAD -- include 2>/dev/null || commit+=', changed'
	"run_$part" >"$logs/$part.log" 2>&1 || verdict='**failed**'
	counts=$("counts_${part%-*}" "$logs/$part.log" | tr '|' ',' |
		sed ':a; N; $!ba; s/\n/; /g')
	[ "$(hash_now)" = "$hash" ] || {
		verdict='**failed**' counts='the header was changed meanwhile'
	}
	[ -n "$counts" ] || { verdict='**failed**' counts='no figures'; }
	printf '| %s | %s | %s | %s | %s | %s | %d s, %s, %s CPUs | %s |\n' \
		"$part" "${what[$part]}" "$verdict" "$counts" "$commit" \
		"$(date +%F)" $((SECONDS - began)) "${cpu:-$(uname -m)}" \
		"$(nproc)" "$hash"
}

# judge PART: its row, if that is of this header, or that it is missing
judge() {
	local noted reason counts commit date header
	noted=$(row "$1")
	IFS='|' read -r _ _ _ _ counts commit date _ header _ <<<"$noted"
	case $header in
	" $hash ")
		echo "$noted"
		return
		;;
	'') reason='never run' ;;
	' - ') reason=$(xargs <<<"$counts") ;; # missing since before
	*) reason="ran on another header: commit${commit% },${date% }" ;;
	esac
	printf '| %s | %s | missing | %s | - | - | - | - |\n' \
		"$1" "${what[$1]}" "$reason"
}

status=0
[ $# -gt 0 ] || set -- "${parts[@]}"
[ "$1" != --judge ] || shift
for part in "$@"; do
	[ -n "${what[$part]:-}" ] || {
		echo "evidence: no such part: $part (${parts[*]})" >&2
		exit 2
	}
done
for part in "$@"; do
	echo "# $part: ${what[$part]}; log: $logs/$part.log"
	new=$(note "$part")
	echo "$new"
	[[ $new = *'| passed |'* ]] || status=1
	# At once: whoever ends a later part keeps this one.
	rows=
	for other in "${parts[@]}"; do
		if [ "$other" = "$part" ]; then
			rows+=$new$'\n'
		else
			rows+=$(row "$other")$'\n'
		fi
	done
	printf '%s' "$rows" >"$logs/rows" && mv "$logs/rows" "$results"
done

{
	cat <<-END
		# Results of the long tests

		Written by \`make evidence\` (\`PART=storm\` runs one). Each row is of the
		header whose hash it names; one of another header is no evidence, and
		missing here. The header now: \`$hash\` (sha256 of include/*.h
		without comments and spacing).

		| part | what it does | verdict | counts | commit | date | took | header |
		|---|---|---|---|---|---|---|---|
	END
	for part in "${parts[@]}"; do
		judge "$part"
	done
} >"$logs/results" && mv "$logs/results" "$results"
exit $status
