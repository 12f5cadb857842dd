#!/bin/bash
# SPDX-License-Identifier: MIT
# Description: the crash tests at every step, by all compilers at all levels
#
# CRASH_CASES=67 CRASH_STEPS=1 CRASH_ONLY= SEED=: see test_crash.c
# COMPILERS='gcc clang' LEVELS='0 1 2 3' JOBS=2

build=${BUILD:-build}/crash
program=tests/crash/test_crash
export CRASH_CASES=${CRASH_CASES:-67} CRASH_STEPS=${CRASH_STEPS:-1}
export SECONDS_PER_TEST=${SECONDS_PER_TEST:-60}
variants=() logs=()
status=0

for compiler in ${COMPILERS:-gcc clang}; do
	if ! command -v "$compiler" >/dev/null; then
		echo "# SKIP no $compiler"
		[ "${REQUIRE_ALL:-0}" = 1 ] && status=1
		continue
	fi
	for level in ${LEVELS:-0 1 2 3}; do
		variant=$compiler-O$level
		make --no-print-directory BUILD="$build/$variant" \
			CC="$compiler" CFLAGS="-g -O$level" \
			"$build/$variant/$program" \
			"$build/$variant/${program}_broadcast" || exit 1
		variants+=("$variant")
		logs+=("$build/$variant.log")
	done
done

began=$SECONDS
set -m # a group of its own, for the trap
trap 'kill -- -$! 2>/dev/null' EXIT
printf '%s\n' "${variants[@]}" | xargs -P "${JOBS:-2}" -I@ \
	sh -c "'$build/@/$program' >'$build/@.log' 2>&1
		status=\$?
		'$build/@/${program}_broadcast' >>'$build/@.log' 2>&1 &&
			exit \$status" &
while sleep 5 && kill -0 $! 2>/dev/null; do
	if [ $((++looks % 12)) = 0 ]; then # operations that are through
		grep -c ' points, ' "${logs[@]}" 2>/dev/null |
			sed 's,.*/\(.*\).log:,# \1: ,' | paste -sd, >&2
	fi
done
wait $! || status=1
trap - EXIT

for variant in "${variants[@]}"; do
	sed -n "/^#\|^not ok\|^Bail/s/^/$variant: /p" "$build/$variant.log"
done
# ok 7 - mpmc, push: 13 points, 0 failed, 0 missed; control 2, 2
sed -n 's/^.*ok [0-9]* - \(.*\): \([0-9]* points.*\)/\1:\2/p' \
	"${logs[@]}" | awk -F: '
	function row(name, n) {
		printf "%-48s %8s %8s %8s %8s %8s\n", name, n[1], n[2], n[3],
			n[4], n[5]
	}
	function show(name) {
		split(sum[name], n, " ")
		row(name, n)
	}
	function add(name) {
		split(sum[name], old, " ")
		sum[name] = ""
		for (i = 1; i <= 5; i++)
			sum[name] = sum[name] " " old[i] + new[i]
	}
	BEGIN {
		split("points failed missed control failed", title, " ")
		row("operation", title)
	}
	{
		if (!($1 in sum))
			order[++rows] = $1
		gsub(/[^0-9 ]/, "", $2)
		split($2, new, " ")
		add($1)
		add("all")
	}
	END {
		for (r = 1; r <= rows; r++)
			show(order[r])
		show("all")
	}'
echo "# ${#variants[@]} variants, every $CRASH_CASES. case, every" \
	"$CRASH_STEPS. step: $((SECONDS - began)) s"
exit $status
