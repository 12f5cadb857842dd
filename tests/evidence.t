#!/bin/sh
# Description: tests/RESULTS.md, as make evidence writes it: parts one by one,
# what failed, and what was run on another header
# shellcheck source=tests/tap.sh
. tests/tap.sh
if ! command -v bash >/dev/null; then
	skip "no bash"
	done_testing
fi

cat >"$tmp/parts" <<'END'
run_storm() { echo "ok 1 - SPSC: 12 kills"; echo "ok 2 - MPMC: 34 kills"; }
run_flips() { echo "ok 1 - SPSC: 5 flips"; return 1; }
run_model-imm() { echo "ok - spsc rc11 clean 7 executions 0 blocked"
	echo "not ok - mpmc rc11 few 8 executions 0 blocked"; return 1; }
run_mutants() { echo "25 mutants: 20 killed, 5 explained."; }
run_crash-gcc() { echo "operation points failed missed control failed"
	echo "all 100 0 0 50 40"
	echo "# 8 variants, every 67. case, every 1. step: 3 s"; }
run_fuzz() { echo "# executions: 0 in 0 s" >"$tmp_log"; }
run_sim-tso() { echo "other" >>"$EVIDENCE_HEADERS"
	echo "# TSO: 9 schedules in 1.0 s (9/s), 3 steps each, 1 killed"; }
tmp_log=/dev/null
END
echo one >"$tmp/header"

# evidence ARGUMENT...: with these parts, header and results
evidence()
{
	BUILD="$tmp/build" EVIDENCE_RESULTS="$tmp/results" \
		EVIDENCE_HEADERS="$tmp/header" EVIDENCE_PARTS="$tmp/parts" \
		$limit bash tests/evidence.sh "$@" >"$tmp/output" 2>&1
}

# told PART: verdict and counts of its row
told()
{
	awk -F' [|] ' -v row="| $1" '$1 == row { print $3 ": " $4 }' \
		"$tmp/results"
}

evidence --judge
is "$? $(grep -c '| missing | never run |' "$tmp/results")" "0 12" \
	"at first all is missing"
evidence storm
is "$? $(told storm)" "0 passed: SPSC: 12 kills; MPMC: 34 kills" \
	"one part by itself"
is "$(told crash-gcc)" "missing: never run" "the others are missing yet"
evidence flips model-imm mutants crash-gcc
is "$? $(told flips)" "1 **failed**: SPSC: 5 flips" "a failure is told"
is "$(told model-imm)" "**failed**: 2 rows, 1 not as expected, 15 executions" \
	"with its figures"
is "$(told mutants)" "passed: 25 mutants: 20 killed, 5 explained" \
	"those after it are run"
is "$(told crash-gcc)" "passed: 100 points, 0 failed, 0 missed; without \
protection 50 points, 40 failed; 8 variants, every 67. case, every 1. step: 3 s" \
	"in the order that was asked for"
is "$(told storm)" "passed: SPSC: 12 kills; MPMC: 34 kills" \
	"what was noted before stays"
evidence fuzz
is "$? $(told fuzz)" "1 **failed**: no figures" "no figures are no evidence"
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
is "$(grep '^| storm' "$tmp/results" | awk -F' [|] ' '{
	sub(",.*", "", $5); print $5, $8 }')" \
	"$commit $(printf 'one ' | sha256sum | cut -c1-16) |" \
	"a row names its commit and header"
before=$(sed '/^| storm/!d' "$tmp/results")
printf '/* what comments\n * say */\n' >>"$tmp/header"
evidence --judge
is "$(sed '/^| storm/!d' "$tmp/results")" "$before" \
	"and stays as it is, also beside new comments"
evidence sim-tso
is "$? $(told sim-tso)" "1 **failed**: the header was changed meanwhile" \
	"a header changed meanwhile is noticed"
evidence --judge
is "$(told storm | sed 's/,.*//')" \
	"missing: ran on another header: commit $commit" \
	"of another header: missing, and why"
is "$(grep -c '| missing | ran on another header: commit' "$tmp/results")" 7 \
	"as all others"
evidence --judge
is "$(grep -c '| missing | ran on another header: commit' "$tmp/results")" 7 \
	"which is remembered"
cp tests/RESULTS.md "$tmp/results"
BUILD="$tmp/build" EVIDENCE_RESULTS="$tmp/results" tests/evidence.sh --judge
is "$(grep '^|' "$tmp/results")" "$(grep '^|' tests/RESULTS.md)" \
	"RESULTS.md claims nothing of another header (evidence.sh --judge)"
evidence nothing
is "$? $(grep -c 'no such part: nothing' "$tmp/output")" "2 1" \
	"no part of this name"
done_testing
