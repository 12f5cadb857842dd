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

# Shown of them: so many that lines can be told apart (PLOT=... for others).
shown=${PLOT:-shmring-spsc shmring-mpmc cached-together ck-spsc ck-mpmc \
rte-spsc rte-mpmc boost-spsc moody-spsc iceoryx pipe unix_stream posix_mq tcp \
zmq lines-fresh memcpy}

# chosen MODES SIZE: the figures to draw, without their header: rows of these
# modes (a pattern), at the best way to spin, one at a time, without error;
# SIZE is all, or one: the smallest that the modes have
chosen()
{
	grep -v '^#' "$figures" | awk -F, -v modes="^($1)\$" -v sizes="$2" \
		-v shown="$shown" '
		BEGIN {
			n = split(shown, names, " ")
			for (i = 1; i <= n; i++)
				show[names[i]] = 1
		}
		NR == 1 || $1 !~ modes || !($2 in show) || $6 != 1 ||
			$10 != 1 || $14 != "\"\"" { next }
		{
			line[++rows] = $0
			size[rows] = $5
			if (!least || $5 < least)
				least = $5
		}
		END {
			for (i = 1; i <= rows; i++)
				if (sizes == "all" || size[i] == least)
					print line[i]
		}'
}

# rows MODES SIZE X Y...: a block for each mechanism and way to wait, sorted by
# X, so that gnuplot draws a line each
rows()
{
	lines=$(chosen "$1" "$2")
	shift 2
	columns=$(for name in "$@"; do column "$name"; done | tr '\n' ' ')
	echo "$lines" | awk -F, -v columns="$columns" '
		NF {
			name = $2 " " $3
			sub("/.*", "", name)
			if (!(name in number))
				number[name] = ++names
			n = split(columns, c, " ")
			printf "%d\t%s", number[name], name
			for (i = 1; i <= n; i++)
				printf "\t%s", $c[i]
			print ""
		}' | sort -t "$(printf '\t')" -k1,1n -k3,3g | awk -F'\t' '
		$1 != before {
			printf "%s\"%s\"\n", before ? "\n\n" : "", $2
			before = $1
		}
		{
			for (i = 3; i <= NF; i++)
				printf " %s", $i
			print ""
		}'
}

# draw FILE TITLE X-AXIS Y-AXIS STYLE USING [MORE]: a line or points a block
draw()
{
	blocks=$(grep -c '^"' "$plots/$1.dat" || true)
	if [ "$blocks" = 0 ]; then
		echo "# SKIP $1: no figures for it"
		return
	fi
	gnuplot <<END
set terminal svg size 1000,600 background "white"
set output "$plots/$1.svg"
set title "$2"
set xlabel "$3"
set ylabel "$4"
set logscale xy
set format "%.0s%c"
set grid
set key outside right noenhanced
${7:-}
plot for [i = 0:$((blocks - 1))] "$plots/$1.dat" index i using $6 \
	with $5 linetype i + 1 linewidth 1.5 dashtype i / 8 + 1 \
	title columnheader(1)
END
	echo "$plots/$1.svg"
}

# at MODES: the size that one-size diagrams have, for their titles
at()
{
	chosen "$1" one | awk -F, '{ print $5 " bytes"; exit }'
}

rows ping-pong all size p50_ns p99_ns >"$plots/latency-size.dat"
draw latency-size "round trip against message size (p50)" "bytes" "ns" \
	linespoints 1:2
cp "$plots/latency-size.dat" "$plots/latency99-size.dat"
draw latency99-size "round trip against message size (p99)" "bytes" "ns" \
	linespoints 1:3
rows throughput all size bytes_per_second >"$plots/throughput-size.dat"
draw throughput-size "throughput against message size" "bytes" \
	"bytes/s" linespoints 1:2
rows ping-pong one cpu_send_ns p50_ns >"$plots/latency-cpu.dat"
draw latency-cpu "round trip (p50) against CPU time, $(at ping-pong)" \
	"CPU ns a round trip, sender" "ns" points 1:2
rows under-load one rate p50_ns p99_ns >"$plots/latency-load.dat"
draw latency-load "latency (p99) against offered load, $(at under-load)" \
	"messages/s" "ns" linespoints 1:3
crowds='many-to-many|oversubscribed'
rows "$crowds" one senders items_per_second >"$plots/throughput-pairs.dat"
draw throughput-pairs \
	"throughput against producers x consumers, $(at "$crowds")" \
	"producers (as many consumers)" "messages/s" linespoints 1:2 \
	'set xtics (1, 2, 4, 8)'

# The distributions: latency against 1 / (1 - percentile).
chosen ping-pong one | awk -F, '{ print $2 "-" $3 "-" $5 }' | tr / - |
	while read -r row; do
		file=$plots/latency.ping-pong-$row.hgrm
		[ -e "$file" ] || continue
		printf '"%s"\n' "${row%-*}"
		awk 'NF == 4 && $1 + 0 > 0 { print $4, $1 } END { print "\n" }' \
			"$file"
	done >"$plots/latency-distribution.dat"
draw latency-distribution "distribution of round trips, $(at ping-pong)" \
	"percentile" "ns" lines 1:2 \
	'set xtics ("0" 1, "90" 10, "99" 100, "99.9" 1e3, "99.99" 1e4, "99.999" 1e5)'
