#!/bin/sh
# Description: every example does what it says
# shellcheck source=tests/tap.sh
. tests/tap.sh

# says EXPECTED EXAMPLE ARGUMENTS...: its last line of output, and success
says()
{
	expected=$1
	example=$2
	shift 2
	$limit "$examples/$example" "$@" >"$tmp/output" 2>&1
	is "$? $(tail -n 1 "$tmp/output")" "0 $expected" "$example"
}

says "received: hello" quickstart
says "60 frames of 8294404 bytes shown" zero_copy
says "12 * 12 = 144" request_reply
$limit "$examples/pingpong" 2000 >"$tmp/output" 2>&1
is "$? $(sed 's/[0-9][0-9]*/N/g' "$tmp/output")" \
	"0 N round trips, each answer right: min N, median N, pN N ns" \
	"pingpong"
is "$(tr -cs '0-9' ' ' <"$tmp/output" | awk '$1 == 2000 && 0 < $2 &&
	$2 <= $3 && $3 <= $5 && $4 == 99 { print "yes" }')" yes \
	"its times are in order"
# One that answers wrongly is caught.
sed 's/ball = ~ball/ball = ball ^ 1/' examples/pingpong.c >"$tmp/pingpong.c"
${CC:-cc} -Iinclude "$tmp/pingpong.c" -o "$tmp/pingpong" &&
	$limit "$tmp/pingpong" 2000 >"$tmp/output" 2>&1
is "$? $(cat "$tmp/output")" "1 a wrong answer" "pingpong sees a wrong answer"
# Its other side learns of that, and ends.
runs()
{
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$tmp/$1*" 2>/dev/null
}
# shellcheck disable=SC2317 # wait_for calls it
nobody_runs()
{
	[ -z "$(runs "$1")" ]
}
wait_for nobody_runs pingpong
is "$?" 0 "and nobody is left behind"
# Nor by who is killed in the middle of a longer run.
for example in epoll several; do
	sed 's/MESSAGES 1000\b/MESSAGES 1000000000/' examples/$example.c \
		>"$tmp/$example.c"
	${CC:-cc} -Iinclude "$tmp/$example.c" -o "$tmp/$example"
	"$tmp/$example" &
	parent=$!
	sleep 0.2
	kill -9 $parent
	wait $parent 2>/dev/null
	is "$?" 137 "$example is killed while it runs"
	wait_for nobody_runs $example
	is "$?" 0 "and its children end"
	for left in $(runs $example); do
		left=${left#/proc/}
		kill -9 "${left%/exe}"
	done
done
says "10000 jobs, 1 of 5 workers killed: 0 lost, 1 redelivered" work_queue

says "3 workers for 20 jobs" supervisor
says "1000 from the ring, 1000 from the socket" epoll
says "3000 messages from 3 rings" several

# A daemon: its clients come and go, SIGTERM ends it, the next one goes on.
# daemon_run FILE: start it, and have it stop once the file says so
daemon_start()
{
	"$examples/daemon" "$ring-daemon" >"$1" 2>&1 &
	daemon=$!
}
# shellcheck disable=SC2317 # wait_for calls it
daemon_has() # COUNT messages taken, as the ring's own counter says
{
	"$tools/shmring" show "$ring-daemon" | grep -q "popped *$1\\b"
}
daemon_stop()
{
	kill $daemon
	wait $daemon
}
daemon_start "$tmp/daemon"
$limit "$examples/daemon" "$ring-daemon" one two
$limit "$examples/daemon" "$ring-daemon" three
wait_for daemon_has 3
daemon_stop
is "$? $(cat "$tmp/daemon")" "0 stopped: 3 messages, 11 bytes" \
	"daemon stops on SIGTERM"
$limit "$examples/daemon" "$ring-daemon" four
daemon_start "$tmp/daemon"
wait_for daemon_has 4
daemon_stop
is "$? $(cat "$tmp/daemon")" "0 stopped: 1 messages, 4 bytes" \
	"the next one gets what came meanwhile"
rm -f "/dev/shm$ring-daemon"

$limit "$examples/consumer" "$ring" >"$tmp/consumer" 2>&1 &
says "sent 100000 messages" producer "$ring" 100000
wait $!
is "$? $(cat "$tmp/consumer")" "0 received 100000 messages, in order" \
	"consumer, started before the producer"

"$examples/producer" "$ring" 1000000000 >/dev/null 2>"$tmp/producer" &
producer=$!
"$examples/consumer" "$ring" >/dev/null &
consumer=$!
wait_for test -e "/dev/shm$ring"
sleep 0.1
kill -9 $consumer
wait $producer
is "$?" 1 "producer ends when its consumer is killed"
is "$(grep -c 'other side is gone' "$tmp/producer")" 1 "and says why"
rm -f "/dev/shm$ring"

"$examples/ticker" write "$ring" &
writer=$!
$limit "$examples/ticker" lag "$ring" 20000 >"$tmp/lag" 2>&1
is "$? $(cat "$tmp/lag")" "0 20000 prices in order, some were lost" \
	"ticker: who lags knows what it lost"
$limit "$examples/ticker" read "$ring" 1000 >"$tmp/read" 2>&1
is "$? $(grep -c '^1000 prices in order' "$tmp/read")" "0 1" \
	"ticker: who comes later reads on"
kill -9 $writer
wait $writer 2>/dev/null
$limit "$examples/ticker" last "$ring" >"$tmp/last" 2>&1
status=$?
count=$(sed -n 's/ prices in order$//p' "$tmp/last")
is "$status $((count >= 4096))" "0 1" \
	"ticker: the last prices are there after kill -9"
"$tools/shmring" dump "$ring" >"$tmp/dump" 2>&1
is "$? $(wc -l <"$tmp/dump")" "0 $count" "shmring dump shows them, too"
is "$("$tools/shmring" show "$ring" | grep -c 'BROADCAST, lossy')" 1 \
	"shmring show knows the engine"
is "$("$tools/shmring" check "$ring" | grep -c damaged)" 0 \
	"shmring check finds nothing damaged"
rm -f "/dev/shm$ring"

DEMO_INPUT=/etc/services
[ -s $DEMO_INPUT ] || DEMO_INPUT=/etc/passwd
$limit examples/demo.sh $DEMO_INPUT >"$tmp/demo" 2>&1
is "$? $(grep -c 'same on both sides' "$tmp/demo")" "0 2" \
	"demo.sh finds both engines faithful"
is "$(grep -c 'million lines/s: each line' "$tmp/demo")" 1 \
	"and says what its slowest row measures"
done_testing
