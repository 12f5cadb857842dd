#!/bin/sh
# SPDX-License-Identifier: MIT
# plots.sh - the diagrams, as SVG, from the figures of one run:
#	bench/plots.sh [figures.csv]
# Without figures it measures them first (BENCH_ARGS as for make bench).
set -eu

build=${BUILD:-build}
plots=$build/plots
figures=${1:-$plots/figures.csv}

if ! command -v gnuplot >/dev/null; then
	echo "# SKIP plots: no gnuplot"
	exit "${REQUIRE_ALL:-0}"
fi
mkdir -p "$plots"
if [ $# = 0 ]; then
	# shellcheck disable=SC2086 # a list of arguments
	"$build/shmbench" --format csv -o "$figures" --hdr "$plots/latency" \
		${BENCH_ARGS:-} || echo "# not all rows have figures"
fi

# column NAME: its number
column()
{
	grep -v '^#' "$figures" | head -n 1 | tr , '\n' | grep -nx "$1" |
		cut -d: -f1
}

# rows MODE X Y...: for the best rows of a mode without error, one block a
# mechanism (and way to wait), so that gnuplot draws a line each
rows()
{
	mode=$1
	shift
	columns=$(for name in "$@"; do column "$name"; done | tr '\n' ' ')
	grep -v '^#' "$figures" | awk -F, -v mode="$mode" -v columns="$columns" '
		NR == 1 || $1 != mode || $10 != 1 || $14 != "\"\"" { next }
		$6 == 1 {
			n = split(columns, c, " ")
			line = ""
			for (i = 1; i <= n; i++)
				line = line " " $c[i]
			name = $2 " " $3
			sub("/.*", "", name)
			if (!(name in block))
				order[++names] = name
			block[name] = block[name] line "\n"
		}
		END {
			for (i = 1; i <= names; i++)
				printf "\"%s\"\n%s\n\n", order[i], block[order[i]]
		}'
}

# draw FILE TITLE X-AXIS Y-AXIS STYLE USING: one line or point a block
draw()
{
	blocks=$(grep -c '^"' "$plots/$1.dat" || true)
	if [ "$blocks" = 0 ]; then
		echo "# SKIP $1: no figures for it"
		return
	fi
	gnuplot <<END
set terminal svg size 1000,700 background "white"
set output "$plots/$1.svg"
set title "$2"
set xlabel "$3"
set ylabel "$4"
set logscale xy
set grid
set key outside right noenhanced
plot for [i = 0:$((blocks - 1))] "$plots/$1.dat" index i using $6 \
	with $5 linetype i + 1 dashtype i / 8 + 1 title columnheader(1)
END
	echo "$plots/$1.svg"
}

rows ping-pong size p50_ns p99_ns >"$plots/latency-size.dat"
draw latency-size "round trip against message size (p50)" "bytes" "ns" \
	linespoints 1:2
cp "$plots/latency-size.dat" "$plots/latency99-size.dat"
draw latency99-size "round trip against message size (p99)" "bytes" "ns" \
	linespoints 1:3
rows throughput size bytes_per_second >"$plots/throughput-size.dat"
draw throughput-size "throughput against message size" "bytes" \
	"bytes/s" linespoints 1:2
rows ping-pong cpu_send_ns p50_ns >"$plots/latency-cpu.dat"
draw latency-cpu "round trip (p50) against CPU time" \
	"CPU ns a round trip, sender" "ns" points 1:2
rows under-load rate p50_ns p99_ns >"$plots/latency-load.dat"
draw latency-load "latency (p99) against offered load" "messages/s" "ns" \
	linespoints 1:3
for mode in many-to-many oversubscribed; do
	rows $mode senders items_per_second
done >"$plots/throughput-pairs.dat"
draw throughput-pairs "throughput against producers x consumers" \
	"producers (as many consumers)" "messages/s" linespoints 1:2

# The distributions: latency against 1 / (1 - percentile).
: >"$plots/latency-distribution.dat"
for file in "$plots"/latency.ping-pong-*.hgrm; do
	[ -e "$file" ] || continue
	name=${file##*/latency.ping-pong-}
	printf '"%s"\n' "${name%.hgrm}" >>"$plots/latency-distribution.dat"
	awk 'NF == 4 && $1 + 0 > 0 { print $4, $1 } END { print "\n" }' \
		"$file" >>"$plots/latency-distribution.dat"
done
draw latency-distribution "distribution of round trips" \
	"1 / (1 - percentile)" "ns" lines 1:2
