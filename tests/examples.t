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
says "10000 jobs, 1 of 5 workers killed: 0 lost, 1 redelivered" work_queue

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
"$examples/shmring" dump "$ring" >"$tmp/dump" 2>&1
is "$? $(wc -l <"$tmp/dump")" "0 $count" "shmring dump shows them, too"
is "$("$examples/shmring" show "$ring" | grep -c 'BROADCAST, lossy')" 1 \
	"shmring show knows the engine"
is "$("$examples/shmring" check "$ring" | grep -c damaged)" 0 \
	"shmring check finds nothing damaged"
rm -f "/dev/shm$ring"

DEMO_INPUT=/etc/services
[ -s $DEMO_INPUT ] || DEMO_INPUT=/etc/passwd
$limit examples/demo.sh $DEMO_INPUT >"$tmp/demo" 2>&1
is "$? $(grep -c 'same on both sides' "$tmp/demo")" "0 2" \
	"demo.sh finds both engines faithful"
done_testing
