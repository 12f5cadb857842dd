#!/bin/sh
# SPDX-License-Identifier: MIT
# plots.sh - eight diagrams, as SVG, from the figures of one run:
#	bench/plots.sh [DIRECTORY]
# Without arguments it measures first: figures.csv and latency.*.hgrm go into
# BUILD/plots. With a DIRECTORY it draws the figures that are there. The
# diagrams go into PLOTS (bench/plots); BENCH_ARGS says how long to measure.
set -eu

svg=${PLOTS:-bench/plots}
data=${1:-${BUILD:-build}/plots}
figures=$data/figures.csv

# What is drawn, in the legend's order: name, colour, point, ways to wait. Each
# has its colour in all diagrams; those that are never together may share it.
# lossy: what it loses is drawn, too.
table='
shmring-spsc     #d62728  7 spin+block
shmring-spsc-zero #8c1515 9 spin
shmring-mpmc     #ff7f0e  5 spin+yield+block
shmring-broadcast #d62728 7 yield+block
shmring-lossy    #ff7f0e  5 yield+block
shmring-spsc-each #1f77b4 9 yield+block
flagged          #1f77b4  9 spin
records          #393b79 15 spin
cached-together  #2ca02c 11 spin
rte-spsc         #17becf 13 spin
vyukov           #1f77b4  9 yield
moody-concurrent #2ca02c 11 yield
rte-mpmc         #17becf 13 yield
ck-mpmc          #bcbd22  3 yield
tbb-bounded      #393b79 15 yield
posix_shm_mutex  #006d2c  2 block
pipe             #7f7f7f 12 block
unix_stream      #8c564b 14 block
posix_mq         #9467bd  8 block
zmq              #e377c2 10 block
udp_multicast    #7f7f7f 12 yield+block+lossy
memcpy           #000000  1 spin
lines-fresh      #000000  1 spin'
pairs=shmring-spsc,shmring-spsc-zero,shmring-mpmc,flagged,records,\
cached-together,rte-spsc,pipe,unix_stream,posix_mq,zmq
crowds=shmring-mpmc,vyukov,moody-concurrent,rte-mpmc,ck-mpmc,tbb-bounded,\
posix_shm_mutex,posix_mq
everybody=shmring-broadcast,shmring-lossy,shmring-spsc-each,udp_multicast

if ! command -v gnuplot >/dev/null; then
	echo "# SKIP plots: no gnuplot"
	exit "${REQUIRE_ALL:-0}"
fi

# measure NAME ARGUMENTS...: a part of the run. Status 1 says that some rows
# have no figures (choose tells which), all else that there are none.
measure()
{
	name=$1
	shift
	echo "# measuring $name"
	# shellcheck disable=SC2086 # a list of arguments
	"${BUILD:-build}/shmbench" "$@" ${BENCH_ARGS:--r 3 -d 60ms -w 20ms} \
		--format csv -o "$data/$name.csv" --hdr "$data/latency" \
		>"$data/$name.txt" || [ $? = 1 ] || {
		echo "plots: the bench gave no figures" >&2
		exit 1
	}
}

if [ $# = 0 ] && [ "$(nproc)" = 1 ]; then
	echo "# SKIP plots: one CPU: who spins there measures the scheduler"
	exit "${REQUIRE_ALL:-0}"
fi
if [ $# = 0 ]; then
	mkdir -p "$data"
	rm -f "$data"/*.csv "$data"/*.hgrm
	measure sizes -m $pairs --mode ping-pong,throughput --wait spin,block \
		-s 8,64,256,1k,4k,32k
	measure loads -m $pairs --mode under-load --wait spin,block -s 64 \
		--rate 10k,30k,100k,300k,1M,3M
	# More processes than CPUs: who spins there measures the scheduler.
	measure crowds -m $crowds --mode many-to-many --wait yield,block -s 64 \
		--pairs 1x1,2x2,4x4,8x8
	measure readers -m $everybody --mode broadcast --wait yield,block \
		-s 64 --pairs 1x1,1x2,1x3,1x4
	awk '/^mode,/ && header++ { next } { print }' "$data/sizes.csv" \
		"$data/loads.csv" "$data/crowds.csv" "$data/readers.csv" \
		>"$figures"
fi
if ! grep -q '^mode,' "$figures"; then
	echo "plots: no figures in $figures" >&2
	exit 1
fi
mkdir -p "$svg"
rm -f "$svg"/*.svg # all shall be of one run

# fact NAME: what the run says about its machine
fact()
{
	sed -n "s/^# $1: //p" "$figures" | head -n 1
}
where="$(fact cpu), CPUs: $(fact cpus), $(fact kernel | cut -d. -f1,2), \
$(fact compiler) $(fact flags), commit $(fact commit)"

# choose FILE X Y COLUMN=VALUE...: the rows, at the best way to spin, as place
# in the table, colour, point, name, waiting, X, Y, spread. What failed, or lost
# or damaged messages, is left out and said.
choose()
{
	file=$1
	x=$2
	y=$3
	shift 3
	awk -F, -v conditions="$*" -v x="$x" -v y="$y" -v table="$table" \
		-v file="$file" -v out="$data/$file.points" '
		function get(name) { return $column[name] }
		# A time in seconds, for gnuplot to choose the unit.
		function number(name) {
			return name ~ /_ns$/ ? get(name) / 1e9 : get(name)
		}
		BEGIN {
			n = split(conditions, condition, " ")
			lines = split(table, line, "\n")
			for (i = 1; i <= lines; i++)
				if (split(line[i], t, " ")) {
					look[t[1]] = i " " t[2] " " t[3]
					waits[t[1]] = "+" t[4] "+"
				}
			printf "" >out
		}
		/^#/ { next }
		/^mode,/ {
			for (i = 1; i <= NF; i++)
				column[$i] = i
			next
		}
		{
			wait = get("waiting")
			sub("/.*", "", wait)
			if (!index(waits[get("mechanism")], "+" wait "+") ||
			    get("best") != 1 || get("batch") != 1)
				next
			for (i = 1; i <= n; i++) {
				split(condition[i], c, "=")
				if (get(c[1]) != c[2])
					next
			}
			# An error may have commas and move what is behind it.
			wrong = get("error")
			lost = get("lost")
			if (index(waits[get("mechanism")], "+lossy+"))
				lost = 0
			if (wrong != "\"\"")
				gsub("\"", "", wrong)
			else if (lost + get("duplicated") + \
				 get("reordered") + get("corrupt") > 0)
				wrong = "messages lost or damaged"
			else if (get(x) <= 0 || get(y) <= 0)
				wrong = "no figure"
			else {
				print look[get("mechanism")], get("mechanism"),
					get("waiting"), number(x), number(y),
					get("spread") >out
				next
			}
			printf "# %s leaves out %s, %s, %s x %s, %s bytes: %s\n",
				file, get("mechanism"), get("waiting"),
				get("senders"), get("receivers"), get("size"), wrong
		}' "$figures"
}

drawn=0
missing=0

# draw FILE STYLE TITLE SETTINGS: a line for each name and way to wait. STYLE
# spread: with that of the repetitions, as a factor up and down; the bench tells
# it of throughputs and medians.
draw()
{
	# Blocks for gnuplot, and what to do with each.
	clauses=$(sed 's,/[0-9]*,,' "$data/$1.points" |
		sort -k1,1n -k5,5r -k6,6g |
		awk -v style="$2" -v file="$data/$1.dat" '
		BEGIN { printf "" >file }
		$4 " " $5 != before {
			before = $4 " " $5
			ours = $4 ~ /^shmring/
			block = $5 == "block"
			what = sprintf("\"%s\" index %d", file, n)
			if (style == "spread") # below the line
				printf "%s%s using 1:2:($2/(1+$3)):($2*(1+$3)) " \
					"with yerrorbars lc rgb \"%s\" lw 1 " \
					"pt 0 notitle", n ? ", " : "", what, $2
			printf "%s%s with %s lc rgb \"%s\" lw %s dt %d %s " \
				"title \"%s\"",
				n || style == "spread" ? ", " : "", what,
				style == "spread" ? "linespoints" : style,
				$2, ours ? 4 : 2, block ? 2 : 1,
				style == "lines" ? "" : "ps " (ours ? 1.1 : 0.9) \
				" pt " $3 - (ours && block), # not filled
				$4 (/#000000/ ? " (limit)" : ", " $5)
			printf "%s# %s\n", n++ ? "\n\n" : "", before >file
		}
		{ print $6, $7, $8 >file }')
	if [ -z "$clauses" ]; then
		echo "# SKIP $1: no figures for it"
		missing=1
		return
	fi
	gnuplot <<END
set terminal svg size 960,540 dynamic font "sans-serif,14" background "white"
set output "$svg/$1.svg"
set termoption noenhanced
set title "$3"
set label "$where" at screen 0.01,0.02 font "sans-serif,10" textcolor "#666666"
set bmargin 5
set logscale xy
set format y "%.0s %cs"
set grid linecolor "#cccccc"
set key outside right top Left reverse
$4
plot $clauses
END
	sed -i "s|<title>Gnuplot</title>|<title>$3</title>|" "$svg/$1.svg"
	drawn=$((drawn + 1))
	echo "$svg/$1.svg"
}

ways="set label 'solid: spinning' at graph 1.06,0.1
set label 'dashed: asleep in the kernel' at graph 1.06,0.04"
sizes="$ways
set xlabel 'message size'
set xtics ('8 B' 8, '64 B' 64, '256 B' 256, '1 KiB' 1024, '4 KiB' 4096, \
'32 KiB' 32768)
set xrange [6:44000]"

# The distribution: of each row its histogram, against 1 / (1 - percentile).
choose latency-distribution size p50_ns mode=ping-pong size=8
while read -r place colour point name style _; do
	file=$data/latency.ping-pong-$name-$(echo "$style" | tr / -)-8.hgrm
	awk -v line="$place $colour $point $name $style" \
		'NF == 4 && $1 > 0 { print line, $4, $1 / 1e9 }' "$file"
done <"$data/latency-distribution.points" >"$data/steps"
mv "$data/steps" "$data/latency-distribution.points"
draw latency-distribution lines "Distribution of round trips, 8 bytes" "$ways
set xlabel 'percentile'
set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1e3, '99.99' 1e4, \
'99.999' 1e5, '99.9999' 1e6)
set ylabel 'round trip'"

for p in p50 p99; do
	style=linespoints
	[ $p = p99 ] || style=spread
	choose latency-size-$p size ${p}_ns mode=ping-pong
	draw latency-size-$p $style \
		"Round trip against message size, $p" "$sizes
set ylabel 'round trip, $p'"
done

choose throughput-size size bytes_per_second mode=throughput
draw throughput-size spread \
	"Throughput against message size, one at a time" "$sizes
set ylabel 'received a second'
set format y '%.0s %cB/s'"

# The sender watches the clock between two messages: its CPU time says nothing.
choose latency-cpu cpu_receive_ns p50_ns mode=under-load rate=10000
draw latency-cpu points \
	"Latency against CPU time a message, 64 bytes, 10,000 messages/s" "
set xlabel 'CPU time of the receiver a message'
set format x '%.0s %cs'
set ylabel 'one way, p50'"

choose latency-load rate p99_ns mode=under-load
draw latency-load linespoints "Latency against offered load, 64 bytes" "$ways
set xlabel 'messages offered a second'
set format x '%.0s%c/s'
set ylabel 'from when it was due until received, p99'"

choose throughput-pairs senders items_per_second mode=many-to-many
draw throughput-pairs spread \
	"Throughput against producers x consumers, 64 bytes" "
$(echo "$ways" | sed s/spinning/yielding/)
set xlabel 'producers x consumers'
set xtics ('1 x 1' 1, '2 x 2' 2, '4 x 4' 4, '8 x 8' 8)
set xrange [0.8:10]
set ylabel 'messages received a second'
set format y '%.0s%c/s'"

choose throughput-readers receivers items_per_second mode=broadcast
draw throughput-readers spread \
	"Throughput of one writer against readers who all get all, 64 bytes" "
$(echo "$ways" | sed s/spinning/yielding/)
set xlabel 'readers'
set xtics 1, 1, 4
unset logscale x
set xrange [0.8:4.2]
set ylabel 'messages received by each a second'
set format y '%.0s%c/s'"

if [ $drawn = 0 ]; then
	echo "plots: no row of $figures can be drawn" >&2
	exit 1
fi
[ $missing = 0 ] || exit "${REQUIRE_ALL:-0}"
