#!/bin/sh
# Description: the bench reports damage, refuses what it cannot do, counts
# system calls as strace does, writes the JSON that it promises, draws diagrams
# shellcheck source=tests/tap.sh
. tests/tap.sh

bench=${BUILD:-build}/shmbench
if ! command -v "${CXX:-g++}" >/dev/null; then
	skip "no C++ compiler: no bench"
	done_testing
fi

# A part is a source and the header of its name.
sed_part='s|^bench/\([a-z_]*\)\.[ch]:#include "\([a-z_]*\)\.h"$|\1 \2|p'
grep -H '^#include "' bench/*.[ch] | sed -n "$sed_part" | awk '$1 != $2' |
	tsort >"$tmp/order" 2>&1
ok $? "its parts include in no circle" || grep '^tsort' "$tmp/order"

# runs STATUS WHAT ARGUMENTS...: its exit status; the output is kept
runs()
{
	expected=$1
	what=$2
	shift 2
	$limit "$bench" "$@" >"$tmp/output" 2>&1
	status=$?
	is "$status" "$expected" "$what"
	[ "$status" = "$expected" ] || sed 's/^/#   /' "$tmp/output"
}

# says TEXT WHAT: the output kept has it
says()
{
	grep -q -- "$1" "$tmp/output"
	ok $? "$2" || sed 's/^/# /' "$tmp/output"
}

small="-n 20000 -w 1ms -r 1 --mode throughput --wait spin --pause 1 -s 64"

# What is done to one message, and what the verifier makes of it.
for mechanism in shmring-spsc shmring-mpmc pipe; do
	for fault in lose:lost duplicate:duplicated reorder:reordered \
		corrupt:corrupt; do
		# shellcheck disable=SC2086 # a list of arguments
		runs 1 "$mechanism: to ${fault%:*} a message is an error" \
			-m $mechanism --fault "${fault%:*}" $small
		says " 1 ${fault#*:}" "and reported as ${fault#*:}"
	done
done
# shellcheck disable=SC2086
runs 1 "a byte in the middle: full verification finds it, too" \
	-m shmring-spsc --fault corrupt --verify full $small
says " 1 corrupt" "and reports it"
# shellcheck disable=SC2086
runs 1 "the last byte: the sequence number's copy finds it" \
	-m shmring-spsc --fault corrupt --verify seq $small
says " 1 corrupt" "and reports it"
# shellcheck disable=SC2086
runs 1 "two receivers: a lost message is found by both together" \
	-m shmring-mpmc --fault lose -n 20000 -w 1ms -r 1 --mode fan-out \
	--pairs 1x2 --wait yield -s 64
says " 1 lost" "and reported"
runs 1 "and a duplicated one" \
	-m shmring-mpmc --fault duplicate -n 20000 -w 1ms -r 1 \
	--mode fan-out --pairs 1x2 --wait yield -s 64
says " 1 duplicated" "and reported"
all="-n 20000 -w 1ms -r 1 --mode broadcast --pairs 1x2 --wait yield -s 64"
for fault in lose:lost duplicate:duplicated reorder:reordered \
	corrupt:corrupt; do
	# shellcheck disable=SC2086
	runs 1 "broadcast: to ${fault%:*} a message is an error" \
		-m shmring-broadcast --fault "${fault%:*}" $all
	says " 2 ${fault#*:}" "of each of two receivers"
done
# shellcheck disable=SC2086
runs 0 "each of several receivers gets all, or is told how many it lost" \
	-m shmring-broadcast,shmring-lossy,shmring-spsc-each,udp_multicast $all
# shellcheck disable=SC2086
runs 1 "lossy: what the receiver was not told of is an error" \
	-m shmring-lossy --fault lose $small
says " 1 lost" "and reported as lost"
# shellcheck disable=SC2086
runs 0 "no fault, no error" -m shmring-spsc,shmring-mpmc,pipe $small

# What looks again must not leave a part of a message behind.
runs 0 "messages larger than the kernel's buffers arrive, both ways" \
	-m pipe,unix_stream,tcp,vmsplice -s 1M -n 20 -w 1ms -r 1 \
	--mode ping-pong,throughput,limits --wait spin,block --pause 1 \
	--timeout 10s

# Figures that cannot be true, put in to see them doubted.
hurried="--timeout 50s --fault hurry -m shmring-spsc -n 300 -w 1ms -r 3 --wait yield -s 8"
# shellcheck disable=SC2086
runs 0 "what cannot be true is measured all the same" \
	--mode ping-pong,throughput $hurried
says "doubtful: ping-pong/.* is below the bare ping-pong's" \
	"a round trip below the bare ping-pong is doubted"
says "doubtful: throughput/.* is above memcpy's" \
	"a throughput above memcpy is doubted"
says "sanity: 0 of 2 rows pass" "and both are counted"

# Refusals, each with its reason; never something smaller instead.
runs 2 "an unknown mechanism is refused" -m nothing
says "no such mechanism" "by name"
runs 2 "an unknown mode is refused" --mode nothing
runs 2 "a size that is no multiple of 8 is refused" -s 12
runs 2 "a batch beyond the limit is refused" --batch 257
runs 2 "more messages than the verifier can number are refused" -n 2g
runs 2 "a CPU that is not there is refused" --cpu-send 1023 --cpu-recv 1023
runs 2 "an unknown format is refused" --format xml
runs 2 "what is no option is refused" nothing
runs 2 "no mechanism that can do it: nothing is measured" \
	-m shmring-spsc --mode broadcast
# shellcheck disable=SC2086
runs 1 "a message beyond a mechanism's limit is an error" \
	-m signal $small
says "cannot: " "and says so in its row"
# shellcheck disable=SC2086
runs 1 "a depth that a queue cannot have is an error" \
	-m vyukov --depth 1000 $small
says "no power of two" "and says why"

# The system calls of a measurement, counted twice: by strace, and as told. A
# participant looks at its usage (getrusage) before and after each segment;
# here the last is the measurement. What else it calls there on its own account
# does not count, nor does a look after dead peers (fcntl), which comes after
# so much time, not after so many messages.
cat >"$tmp/calls.awk" <<'EOF'
FNR == 1 {
	file++
}
file == 1 && match($2, /^[a-z0-9_]+\(/) {
	call = substr($2, 1, RLENGTH - 1)
	if (call == "getrusage")
		looks[$1]++
	else if (call !~ /^(clock_gettime|clock_nanosleep|sched_yield|fcntl)$/)
		calls[$1, looks[$1]]++
}
file == 2 && !/^#/ {
	n = split($0, field, ",")
	for (i = 1; !header && i <= n; i++)
		column[field[i]] = i
	header = 1
	if (field[2] == mechanism)
		told = field[column["syscalls"]] * field[column["messages"]]
}
END {
	for (participant in looks)
		counted += calls[participant, looks[participant] - 1]
	printf "strace counts %d calls, the bench %.0f\n", counted, told
	# A receiver looks once more behind the last message.
	difference = counted > told ? counted - told : told - counted
	exit told < 100 || difference > told / 100 + 3
}
EOF

strace -f -o "$tmp/trace" true 2>/dev/null
can_trace=$?
cpu=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' \
	/proc/self/status)
for mechanism in pipe unix_stream posix_mq shmring-spsc shmring-mpmc; do
	if [ $can_trace != 0 ]; then
		skip "no strace: calls of $mechanism are not counted again"
		continue
	fi
	case $mechanism in # small rings on one CPU: each side has to sleep
	shmring-*) sleepy="--depth 16 --cpu-send $cpu --cpu-recv $cpu" ;;
	*) sleepy= ;;
	esac
	# shellcheck disable=SC2086
	$limit strace -f -o "$tmp/trace" "$bench" -m $mechanism $sleepy \
		--mode throughput --wait block -s 64 -n 5000 -w 1ns -r 1 \
		--timeout 50s --format csv -o "$tmp/csv" >"$tmp/output" 2>&1
	said=$(awk -v mechanism=$mechanism -f "$tmp/calls.awk" \
		"$tmp/trace" "$tmp/csv")
	ok $? "$mechanism: $said" || cat "$tmp/output"
done

# shellcheck disable=SC2086
$limit "$bench" -m pipe,shmring-spsc --format json,csv,md -o "$tmp/figures" \
	--hdr "$tmp/h" -n 100 -w 1ms -r 3 --mode ping-pong,throughput \
	--wait block -s 8 >"$tmp/output" 2>&1
ok $? "four formats at once"
cat >"$tmp/schema" <<'END'
use JSON::PP;
local $/;
my $all = decode_json(<STDIN>);
my %context = %{$all->{context}};
exists $context{$_} or die "context has no $_\n"
	for qw(date host_name executable num_cpus cpu kernel mitigations
		governor clock_source compiler flags commit limits command);
my (%types, %aggregates);
for my $b (@{$all->{benchmarks}}) {
	exists $b->{$_} or die "$b->{name} has no $_\n"
		for qw(name run_name run_type repetitions threads iterations
			real_time cpu_time time_unit family_index
			per_family_instance_index);
	$b->{time_unit} eq "ns" or die "$b->{name}: unit\n";
	$b->{real_time} > 0 or die "$b->{name}: time\n"
		unless ($b->{aggregate_name} // "") =~ /stddev|cv/;
	$types{$b->{run_type}}++;
	$aggregates{$b->{aggregate_name}}++ if $b->{aggregate_name};
	$b->{name} eq "$b->{run_name}_$b->{aggregate_name}"
		or die "$b->{name}: name\n" if $b->{aggregate_name};
}
join(",", sort keys %types) eq "aggregate,iteration" or die "run types\n";
join(",", sort keys %aggregates) eq "cv,mean,median,stddev"
	or die "aggregates\n";
$types{iteration} * 4 == $types{aggregate} * 3 or die "three repetitions\n";
END
if perl -MJSON::PP -e 1 2>/dev/null; then
	perl "$tmp/schema" <"$tmp/figures.json"
	ok $? "the JSON has the shape of Google Benchmark's"
else
	skip "no JSON::PP: the JSON is not read back"
fi
is "$(grep -v '^#' "$tmp/figures.csv" | awk -F, '{ print NF }' | sort -u |
	wc -l)" 1 "each line of the CSV has as many fields"
is "$(grep -c '^### ' "$tmp/figures.md")" 2 "the Markdown has a table a mode"
runs 0 "the bars are measured, be they met or not" \
	--bars="in place" --quick -n 10
is "$(grep -c '^| SPSC throughput, in place, .* x\*\* (' "$tmp/output")" 8 \
	"a line each, with its figure"
grep -q '^#\[Mean' "$tmp/h.ping-pong-pipe-block-8.hgrm"
ok $? "each row with latencies has a histogram file"

# The diagrams of a run of a moment, drawn, and drawn again without measuring.
plots()
{
	PLOTS=$tmp/svg $limit bench/plots.sh "$@" >"$tmp/output" 2>&1
}

# Well formed, and of the first mechanism more than its mark in the legend.
good_diagrams()
{
	for svg in "$tmp"/svg/*.svg; do
		perl -0777 -ne 'while (m{<(/?)([\w:]+)[^>]*?(/?)>}g) {
				if ($1) { pop(@open) eq $2 or exit 1 }
				elsif (!$3) { push @open, $2 }
			}
			exit !(/<\/svg>\s*$/ && !@open &&
				/"gnuplot_plot_1"(.*?)<g id=/s && $1 =~
				/<use .*<use |M[\d.]+,.*M[\d.]+,/s)' \
			"$svg" || echo "# $svg" >&2
	done 2>"$tmp/bad"
	cat "$tmp/bad"
	[ ! -s "$tmp/bad" ] && [ "$(find "$tmp/svg" -name '*.svg' | wc -l)" = 8 ]
}

PATH=/nonexistent REQUIRE_ALL=0 /bin/sh bench/plots.sh >"$tmp/output"
is "$? $(cat "$tmp/output")" "0 # SKIP plots: no gnuplot" \
	"plots: without gnuplot a visible skip"
PATH=/nonexistent REQUIRE_ALL=1 /bin/sh bench/plots.sh >"$tmp/output"
is $? 1 "which is a failure where all is required"
one_cpu=$(taskset -cp $$ 2>/dev/null | sed 's/.*: *//; s/[-,].*//')
if command -v gnuplot >/dev/null && [ -n "$one_cpu" ]; then
	REQUIRE_ALL=0 taskset -c "$one_cpu" bench/plots.sh >"$tmp/output"
	is "$? $(cut -d: -f1,2 "$tmp/output")" "0 # SKIP plots: one CPU" \
		"on one CPU, too"
else
	skip "no gnuplot, or no taskset"
fi
if [ "$(nproc)" = 1 ]; then
	skip "one CPU: who spins measures the scheduler: no diagrams"
elif command -v gnuplot >/dev/null; then
	mkdir "$tmp/build"
	ln -s "$(realpath "$bench")" "$tmp/build/shmbench"
	BUILD=$tmp/build BENCH_ARGS="-m shmring-spsc,shmring-mpmc,shmring-broadcast,pipe -n 100 \
		-w 1ns -r 1 --pause 1" plots
	ok $? "plots: a run of a moment" || sed 's/^/# /' "$tmp/output"
	good_diagrams
	ok $? "gives eight diagrams, each with a line"
	rm -r "$tmp/svg"
	sed -i '/^throughput,pipe,.*,64,1,/s/""/"FAILED: by, hand"/' \
		"$tmp/build/plots/figures.csv"
	plots "$tmp/build/plots" && good_diagrams
	ok $? "the same from what it left, with no new run"
	says "throughput-size leaves out pipe, .* 64 bytes: FAILED: by" \
		"without what failed, which it says"
	sed -i '/^#/b; /^mode,/!d' "$tmp/build/plots/figures.csv"
	! plots "$tmp/build/plots"
	ok $? "with no figures it fails"
	says "no row of .* can be drawn" "and says so"
	! BUILD=$tmp/build BENCH_ARGS="--nothing" plots
	ok $? "without a bench that works, too"
	says "the bench gave no figures" "and says that"
else
	skip "no gnuplot: no diagrams"
fi

# Whatever happens, nothing is left behind.
left_behind()
{
	find /dev/shm "${TMPDIR:-/tmp}" -maxdepth 1 -name "shmbench-$!-*" |
		grep .
}

"$bench" -m fifo --mode throughput -d 60s -r 1 --wait block >/dev/null 2>&1 &
wait_for left_behind
kill -TERM $!
wait $!
is "$?" 143 "a signal ends it"
is "$(left_behind)" "" "and it leaves no name behind"

# A daemon's files are free only when it is gone, which takes longer than the
# death of those that it served.
daemon_files()
{
	find /dev/shm /tmp -maxdepth 1 '(' -name iceoryx_mgmt -o \
		-name 'roudi*' -o -name 'iox-unique-roudi*' ')' | grep .
}

if "$bench" --list | grep -q '^peers *iceoryx.*needs'; then
	skip "no iceoryx: no daemon to end"
elif daemon_files >/dev/null; then
	skip "a RouDi is running: ours is not tested"
else
	for pause in 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9; do
		"$bench" -m iceoryx --mode throughput -d 60s -r 1 -s 64 \
			--wait spin --pause 1 >/dev/null 2>&1 &
		sleep $pause
		kill -TERM $!
		wait $!
		daemon_files
	done >"$tmp/output"
	is "$(sort -u "$tmp/output")" "" \
		"ended eight times, it leaves none of a daemon's files behind"
fi
done_testing
