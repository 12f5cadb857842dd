#!/bin/sh
# SPDX-License-Identifier: MIT
# summary.sh - a line a mechanism, as Markdown, from the figures of one run:
#	bench/summary.sh [FIGURES.CSV]
# Without an argument it measures first, into BUILD/summary.csv: 64 bytes, one
# to one, spinning and blocking. BENCH_ARGS says how long, or which.
set -eu

build=${BUILD:-build}
figures=${1:-$build/summary.csv}

if [ $# = 0 ]; then
	# Status 1: some rows have no figures. They stay empty.
	# shellcheck disable=SC2086 # a list of arguments
	"$build/shmbench" --mode ping-pong,throughput -s 64 --wait spin,block \
		--format csv -o "$figures" ${BENCH_ARGS:-} \
		>"$build/summary.txt" || [ $? = 1 ]
fi
if ! grep -q '^mode,' "$figures"; then
	echo "summary: no figures in $figures" >&2
	exit 1
fi

grep -E '^# (cpu|cpus|kernel|compiler|flags|commit|command|placement): ' \
	"$figures" | sed 's/^# /- /'
echo
cat <<'END'
| mechanism | round trip, spinning: p50 (p99) | asleep: p50 (p99) | messages/s, spinning | blocking | CPU a message | system calls a message |
|---|---|---|---|---|---|---|
END
# The fastest first. CPU time of both sides and system calls: while blocking, if
# it can.
awk -F, '
	function get(name) { return $column[name] }
	function time(ns) {
		if (ns >= 1e6)
			return sprintf("%.3g ms", ns / 1e6)
		if (ns >= 1e4)
			return sprintf("%.3g us", ns / 1e3)
		return sprintf("%.0f ns", ns)
	}
	function rate(n) {
		if (n >= 1e6)
			return sprintf("%.3g M", n / 1e6)
		return sprintf("%.3g k", n / 1e3)
	}
	function cell(what, name) {
		return (name, what) in cells ? cells[name, what] : "-"
	}
	/^#/ { next }
	/^mode,/ {
		for (i = 1; i <= NF; i++)
			column[$i] = i
		next
	}
	get("error") != "\"\"" || get("best") != 1 || get("size") != 64 { next }
	{
		name = get("mechanism")
		if (get("between") == "threads")
			name = name " (threads)"
		way = get("waiting") == "block" ? "block" : "spin"
		known[name]
	}
	get("mode") == "ping-pong" {
		cells[name, "trip " way] = sprintf("%s (%s)",
			time(get("p50_ns")), time(get("p99_ns")))
	}
	get("mode") == "throughput" {
		n = get("items_per_second")
		cells[name, "rate " way] = rate(n)
		if (n > best[name])
			best[name] = n
		if (way == "block" || !((name, "cpu") in cells)) {
			both = get("cpu_send_ns") + get("cpu_receive_ns")
			cells[name, "cpu"] = time(both)
			if ((calls = get("syscalls")) != "")
				cells[name, "calls"] = sprintf("%.2g", calls)
		}
	}
	END {
		for (name in known)
			printf "%d\t| %s | %s | %s | %s | %s | %s | %s |\n",
				best[name], name, cell("trip spin", name),
				cell("trip block", name),
				cell("rate spin", name),
				cell("rate block", name), cell("cpu", name),
				cell("calls", name)
	}' "$figures" | sort -t "$(printf '\t')" -k1,1nr | cut -f2
