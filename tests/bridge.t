#!/bin/sh
# Description: shmbridge: exactly once and in order from ring to ring, while
# bridges and server are killed; back-pressure, reconnects, errors, idleness
#
# The storm grows with SECONDS_PER_TEST, or is as large as these say:
# BRIDGE_MESSAGES, BRIDGE_KILLS (of either bridge), BRIDGE_SERVER_KILLS.
# shellcheck source=tests/tap.sh disable=SC2086,SC2317 # $patience is words;
. tests/tap.sh # and functions are given to others

bridge=$tools/shmbridge
peer=$tmp/peer
seconds=${SECONDS_PER_TEST:-1}
seed=${SEED:-$$}
patience="timeout -k 5 $((120 + seconds * 60))"
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99

if ! [ -x "$bridge" ]; then
	skip "shmbridge needs libnats-dev"
	done_testing
fi
if ! command -v nats-server >/dev/null; then
	skip "no nats-server"
	done_testing
fi
"${CC:-cc}" -O2 -std=c11 -Iinclude -DHAVE_NATS tests/bridge_peer.c -lnats \
	-o "$peer"
ok $? "the programs at both ends are compiled"
echo "# seed $seed, $(cut -d' ' -f1-3 /proc/loadavg) load on $(nproc) CPUs"

# start NAME COMMAND...: in the background; its pid is in $tmp/NAME.pid, what it
# prints in $tmp/NAME.out and $tmp/NAME.err
start()
{
	name=$1
	shift
	# Nor may it die of being asked before it waits for that.
	(trap '' USR1 && exec "$@") </dev/null >"$tmp/$name.out" \
		2>>"$tmp/$name.err" &
	echo $! >"$tmp/$name.pid"
}

# stop SIGNAL NAME...: and wait for it
stop()
{
	signal=$1
	shift
	for name; do
		kill "-$signal" "$(cat "$tmp/$name.pid")"
		wait "$(cat "$tmp/$name.pid")"
		rm "$tmp/$name.pid"
	done 2>/dev/null
}

# finish NAME STATUS WHAT: it ends by itself
finish()
{
	wait "$(cat "$tmp/$1.pid")"
	is $? "$2" "$3"
	rm "$tmp/$1.pid"
}

cleanup()
{
	for signal in TERM KILL; do # time-outs pass on the first only
		for file in "$tmp"/*.pid; do
			[ ! -e "$file" ] || kill "-$signal" "$(cat "$file")"
		done
		sleep 0.2
	done 2>/dev/null
	tap_cleanup
}
trap cleanup EXIT

# serve NAME ARGUMENT...: a server on a free port, the same when started again
serve()
{
	server=$1
	shift
	port=$(cat "$tmp/$server.port" 2>/dev/null || echo -1)
	cat "$tmp/$server.log" >>"$tmp/$server.logs" 2>/dev/null
	rm -f "$tmp/$server.log"
	start "$server" nats-server -a 127.0.0.1 -p "$port" \
		-l "$tmp/$server.log" "$@"
	wait_for grep -q 'Server is ready' "$tmp/$server.log"
	[ "$port" != -1 ] || sed -n 's/.*client connections on .*://p' \
		"$tmp/$server.log" >"$tmp/$server.port"
}
url()
{
	echo "nats://${2:-}127.0.0.1:$(cat "$tmp/$1.port")"
}
main_server()
{
	serve main -js -sd "$tmp/js"
}

# Each use has rings and a stream of its own: RING is the last argument.
run_out()
{
	start out "$bridge" out --create --wait --duplicates=0.1 \
		--server="$(url main)" "$@"
}
run_in()
{
	start in "$bridge" in --create --wait --notes="$tmp/notes" --slots=4096 \
		--size=200 --server="$(url main)" "$@"
}

# produce RING ENGINE COUNT RATE SIZE [FLAGS ALIGNMENT], consume RING FIRST END
produce()
{
	start producer $patience "$peer" produce "$@"
}
consume()
{
	start consumer $patience "$peer" consume "$@"
}

# so many random numbers below so much
draw()
{
	awk -v seed="$seed" -v n="$1" -v most="$2" \
		'BEGIN { srand(seed); while (n--) print int(rand() * most) }'
}

# says NAME PATTERN WHAT: what it printed to stderr
says()
{
	grep -q -e "$2" "$tmp/$1.err"
	status=$?
	ok $status "$3"
	[ $status = 0 ] || sed 's/^/# /' "$tmp/$1.err"
}

# status NAME: its status line
status_of()
{
	: >"$tmp/$1.err"
	kill -USR1 "$(cat "$tmp/$1.pid")"
	wait_for grep -q behind "$tmp/$1.err"
	cat "$tmp/$1.err"
}
behind()
{
	status_of "$1" | sed -n 's/.* \([0-9]*\) behind.*/\1/p'
}

# is_behind NAME COUNT: so many messages, or more
is_behind()
{
	[ "$(behind "$1")" -ge "$2" ]
}

main_server

# storm NAME ENGINE MESSAGES KILLS SERVER_KILLS: all messages go through while
# others are killed, 40 ms apart or so
storm()
{
	here=$ring-$1-a=$1$$
	there=$ring-$1-b=$1$$
	engine=$2
	messages=$3
	kills=$4
	every=$(($4 / ($5 + 1) + 1))
	shape=
	[ "$engine" = spsc ] || shape=--mpmc
	produce "${here%=*}" "$engine" "$messages" \
		$((messages * 10 / kills)) 0
	run_out "$here"
	run_in --purge $shape "$there"
	consume "${there%=*}" 0 "$messages"
	done=0 killed_in=0 killed_out=0 killed_server=0
	for number in $(draw "$kills" 1000); do
		sleep "0.0$((number % 10))$((number / 10 % 10))"
		done=$((done + 1))
		if [ $((done % every)) = 0 ]; then
			stop KILL main
			main_server
			killed_server=$((killed_server + 1))
		fi
		if [ "$number" -lt 500 ]; then
			stop KILL out
			run_out "$here"
			killed_out=$((killed_out + 1))
		else
			stop KILL in
			run_in --purge $shape "$there"
			killed_in=$((killed_in + 1))
		fi
	done
	finish consumer 0 "$1: all has come"
	finish producer 0 "$1: all was taken"
	stop TERM out in
	rm -f "/dev/shm$ring-$1"-*
	echo "# $1: killed out $killed_out, in $killed_in, server" \
		"$killed_server times; $(cat "$tmp/consumer.out")"
}

# What bridges and server said of a storm that went wrong.
explain()
{
	grep -q ' 0 lost, .* 0 out of order, 0 torn' "$tmp/consumer.out" ||
		grep -hE 'shmbridge|WRN|ERR' "$tmp/out.err" "$tmp/in.err" \
			"$tmp/main.logs" "$tmp/main.log" | sort | uniq -c |
		sort -rn | head -n 50 | sed 's/^/# /'
}

kills=${BRIDGE_KILLS:-$((seconds * 20))}
storm spsc spsc "${BRIDGE_MESSAGES:-$((seconds * 20000))}" "$kills" \
	"${BRIDGE_SERVER_KILLS:-$((seconds * 2))}"
is "$(cat "$tmp/consumer.out")" \
	"$messages messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"SPSC: each message once, and in order"
explain
storm mpmc mpmc "${BRIDGE_MESSAGES:-$((seconds * 10000))}" "$kills" \
	"${BRIDGE_SERVER_KILLS:-$((seconds * 2))}"
is "$(sed 's/, [0-9]* twice//' "$tmp/consumer.out")" \
	"$messages messages, 0 lost, 0 out of order, 0 torn" \
	"MPMC: none is lost, and in order"
explain
twice=$(sed 's/.*lost, \([0-9]*\) twice.*/\1/' "$tmp/consumer.out")
[ "$twice" -le $killed_in ]
ok $? "MPMC: at most one twice for each kill of in: $twice of $killed_in"

# A bridge that dies before any answer comes, for longer than the server's
# window of duplicates: the first half of its messages is in the stream.
a=$ring-away-a
b=$ring-away-b
produce "$a" spsc 64 0 0
$limit "$peer" halfway "$(url main)" away$$ "$a" 64 2>/dev/null
is $? 137 "a bridge died before it was answered"
sleep 0.3
run_out "$a=away$$"
run_in "$b=away$$"
consume "$b" 0 64
finish consumer 0 "away for longer than the window of duplicates"
is "$(cat "$tmp/consumer.out")" \
	"64 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"what the stream had is not sent again"
finish producer 0 "and is released in the ring"
stop TERM out in

# One that dies between a push and its note: its note is older than the ring.
a=$ring-note-a
b=$ring-note-b
metered=128 # SHMRING_METERED
produce "$a" spsc 3000 0 0 $metered 64
run_out "$a=note$$"
run_in --metered --slots=64 "$b=note$$"
first=0
for end in 100 1000 2000; do
	[ $first = 0 ] || cp "$tmp/notes$b.note" "$tmp/older"
	consume "$b" $first $end # far more than the ring holds
	finish consumer 0 "messages $first to $end"
	is "$(cat "$tmp/consumer.out")" "$((end - first)) messages, 0 lost, 0\
 twice, 0 out of order, 0 torn" "each once, and in order"
	[ $first = 0 ] || {
		stop KILL in
		cp "$tmp/older" "$tmp/notes$b.note"
		run_in --metered --slots=64 "$b=note$$"
	}
	first=$end
done
consume "$b" 2000 3000
finish consumer 0 "the note was older than the ring, twice"
is "$(cat "$tmp/consumer.out")" \
	"1000 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"what was pushed and not noted is not pushed again"
finish producer 0 "and all was taken"
stop TERM out in

# The same with MPMC, where the position alone does not tell whether the one
# message in between is in.
a=$ring-claim-a
b=$ring-claim-b
carried()
{
	status_of in | grep -q " $1 messages"
}
produce "$a" mpmc 200 0 0 $metered 64
run_out "$a=claim$$"
run_in --mpmc --metered --slots=64 "$b=claim$$"
wait_for carried 64
cp "$tmp/notes$b.note" "$tmp/older"
consume "$b" 0 1
finish consumer 0 "one message, so that one more is pushed"
wait_for carried 65
stop KILL in
cp "$tmp/older" "$tmp/notes$b.note"
run_in --mpmc --metered --slots=64 "$b=claim$$"
consume "$b" 1 200
finish consumer 0 "the note was one message older than the ring"
is "$(cat "$tmp/consumer.out")" \
	"199 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"and that is not pushed again"
finish producer 0 "and all was taken"
stop TERM out in

# The ring there is full, so the stream, so the ring here; nothing is lost, not
# even if the server is killed then.
a=$ring-full-a
b=$ring-full-b
produce "$a" spsc 4000 0 16384
run_out --max-bytes=32M "$a=full$$"
run_in --purge --slots=64 --size=16384 "$b=full$$"
wait_for grep -q 'is full' "$tmp/out.err"
ok $? "the stream is full: out says so"
wait_for is_behind out 200
ok $? "the ring here fills up: $(status_of out)"
wait_for is_behind in 100 # it may only now have found the stream
ok "$(($(behind in) < 100))" "in asks for no more: $(status_of in)"
carried_by()
{
	status_of "$1" | sed -n 's/.*: \([0-9]*\) messages.*/\1/p'
}
is "$(status_of in | sed 's/.* bytes, //')" \
	"$(($(carried_by out) - $(carried_by in))) behind" \
	"in knows how many messages of the ring are in the stream"
stop KILL main
main_server
consume "$b" 0 4000
finish consumer 0 "there is a reader, and a server again: it goes on"
is "$(cat "$tmp/consumer.out")" \
	"4000 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"nothing was lost by waiting"
finish producer 0 "and all was taken"
stop TERM out in

# nats-server 2.9.10 says to refuse new messages when the stream is full; but it
# takes one that lacks no more than the room for the server's own record, and
# removes the oldest for it, and so for each that follows. That depends on what
# is left over at the end: one of these has it.
for most in 0 40 80 120 160 200 240; do
	a=$ring-room$most-a
	b=$ring-room$most-b
	$limit "$peer" limited "$(url main)" room$most$$ $((10000 + most))
	produce "$a" spsc 200 0 64
	: >"$tmp/out.err"
	run_out --pack=1 "$a=room$most$$"
	wait_for grep -q 'is full' "$tmp/out.err"
	run_in "$b=room$most$$"
	consume "$b" 0 25
	finish consumer 0 "a stream of $((10000 + most)) bytes"
	cat "$tmp/consumer.out" >>"$tmp/rooms.out"
	stop TERM in producer # whose time-out passes it on, but not KILL
	stop KILL out
done
is "$(sort -u "$tmp/rooms.out")" \
	"25 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"however full: the oldest stay"

# To remove what was read, the server writes the file anew where that ends, in
# place. Killed in between, it has lost what was in it: there was nothing in it
# that was not read. (511 fit into a file, so 1,700 end within one.)
a=$ring-purge-a
b=$ring-purge-b
blocks=$tmp/js/jetstream/\$G/streams/purge$$/msgs
produce "$a" spsc 3000 0 16384
run_out "$a=purge$$"
run_in --purge --slots=64 --size=16384 "$b=purge$$"
consume "$b" 0 1700
finish consumer 0 "1700 messages"
wait_for test -e "$blocks/3.blk"
wait_for test ! -e "$blocks/1.blk"
ok $? "what was read long ago is removed"
finish producer 0 "and all was taken"
sleep 0.5 # whatever else it removes, some time after it was read
stop KILL in main
block=$(find "$blocks" -name '*.blk' | sort -V | head -n 1)
: >"$block"
main_server
run_in --purge --slots=64 --size=16384 "$b=purge$$"
consume "$b" 1700 3000
finish consumer 0 "the server was killed while it removed them"
is "$(cat "$tmp/consumer.out")" \
	"1300 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"what was not read is there"
stop TERM out in

# The server is gone for a while: they wait, and come back by themselves.
a=$ring-gone-a
b=$ring-gone-b
produce "$a" spsc 100 0 64
run_out "$a=gone$$"
run_in "$b=gone$$"
consume "$b" 0 100
finish consumer 0 "a hundred messages, before it goes"
finish producer 0 "and all was taken"
is "$(status_of in | sed 's/.* bytes, //')" "0 behind" "in has all"
stop KILL main
sleep 0.3
status_of out >/dev/null
says out 'no connection' "no server: out says so"
status_of in >/dev/null
says in 'at least 0 behind, no connection' "no server: in cannot know"
produce "$a" spsc 20000 0 64
consume "$b" 0 20000
wait_for is_behind out 1000
ok $? "no server: the ring fills up: $(status_of out)"
main_server
finish consumer 0 "the server is back: it goes on"
is "$(cat "$tmp/consumer.out")" \
	"20000 messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"the ring here was made anew: nothing lost, nothing twice"
finish producer 0 "and all was taken"

# Nothing to do: they sleep. What they wake up for: the ring's slices of a
# tenth of a second, the threads of the library.
used()
{
	cat /proc/"$(cat "$tmp/$1.pid")"/task/*/status |
		awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'
	awk '{ print $14 + $15 }' /proc/"$(cat "$tmp/$1.pid")"/stat
}
sleep 0.5
used out >"$tmp/before"
used in >>"$tmp/before"
sleep 2
used out >"$tmp/after"
used in >>"$tmp/after"
idle=$(paste "$tmp/before" "$tmp/after" | awk '{ print $2 - $1 }' | paste -sd' ')
echo "# idle for 2 s: switches and CPU time in 1/100 s of out, in: $idle"
set -- $idle
[ "$1" -lt 100 ] && [ "$3" -lt 100 ]
ok $? "idle: no polling"
stop TERM out in

# A server that is back with less than it had confirmed, and gives the same
# numbers to other messages: in does not take them for those that it has.
a=$ring-back-a
b=$ring-back-b
round()
{
	produce "$a" spsc 100 0 64
	consume "$b" 0 100
	finish consumer 0 "$1"
	finish producer 0 "and all was taken"
}
run_out "$a=back$$"
run_in "$b=back$$"
round "a hundred messages"
stop KILL main
cp -r "$tmp/js" "$tmp/js-old"
main_server
round "another hundred"
stop TERM in
stop KILL main
rm -r "$tmp/js"
mv "$tmp/js-old" "$tmp/js"
main_server
produce "$a" spsc 300 0 64
finish producer 0 "three hundred, by a server that has lost some"
: >"$tmp/in.err"
run_in "$b=back$$"
finish in 65 "in ends"
says in 'has lost some that it had confirmed' "and says why"
stop TERM out

# Several rings in one process, which ends by itself when all is through.
for n in 1 2 3; do
	start producer$n $patience "$peer" produce "$ring-many-$n" spsc 1000 0 0
done
for n in 1 2 3; do
	wait_for test -e "/dev/shm$ring-many-$n"
	start consumer$n $patience "$peer" consume "$ring-many-there-$n" 0 1000
done
run_in "$ring-many-there-1=m1" "$ring-many-there-2=m2" "$ring-many-there-3=m3"
run_out --once "$ring-many-1=m1" "$ring-many-2=m2" "$ring-many-3=m3"
finish out 0 "--once: three rings in one process, which ends"
for n in 1 2 3; do
	finish consumer$n 0 "the messages of ring $n are there"
	finish producer$n 0 "and taken"
done
is "$(sort -u "$tmp"/consumer[123].out)" \
	"1000 messages, 0 lost, 0 twice, 0 out of order, 0 torn" "all of them"
stop TERM in

# refuses STATUS PATTERN WHAT ARGUMENT...: one line that says what to do
refuses()
{
	expected=$1
	pattern=$2
	what=$3
	shift 3
	$limit "$bridge" "$@" >"$tmp/refused.out" 2>"$tmp/refused.err"
	is "$?" "$expected" "$what"
	says refused "$pattern" "and says: $pattern"
	is "$(sed '/^see shmbridge --help$/d' "$tmp/refused.err" | wc -l)" 1 \
		"in one line"
}
cp "$tmp/notes$ring-full-b.note" "$tmp/notes$ring-many-there-1.note"
refuses 65 'of another stream' "a note of another stream" in \
	--server="$(url main)" --notes="$tmp/notes" "$ring-many-there-1=m1"
refuses 66 'no such ring\|not exist\|no ring' "no ring" out --create \
	--server="$(url main)" "$ring-none"
refuses 69 'no such stream.*--create' "no stream" out --server="$(url main)" \
	"$ring-full-a=none"
refuses 69 'no server answers.*nats-server -js' "no server" out \
	--server=nats://127.0.0.1:1 "$ring-full-a"
refuses 64 '"out" or "in"' "no direction" "$ring-full-a"
refuses 64 'begins with a slash' "no name of a ring" out full-a
refuses 64 'which rings' "no rings" in
refuses 64 'not a number' "no number" out --max-bytes=many "$ring-full-a"
refuses 78 'x.pem\|certificate\|file' "no certificate" out --tls-ca="$tmp/x.pem" \
	--server="$(url main)" "$ring-full-a"
serve plain
refuses 69 'JetStream is not enabled' "no JetStream" out --create \
	--server="$(url plain)" "$ring-full-a"
stop KILL plain

# Users: one may all, one has an account without JetStream, one may not make
# streams; encrypted, if there is a certificate.
secure=
if command -v openssl >/dev/null && openssl req -x509 -newkey rsa:2048 -nodes \
	-keyout "$tmp/key.pem" -out "$tmp/cert.pem" -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1 >"$tmp/openssl.log" 2>&1; then
	secure=--tls-ca=$tmp/cert.pem
	echo "tls { cert_file: \"$tmp/cert.pem\", key_file: \"$tmp/key.pem\" }" \
		>"$tmp/users.conf"
fi
cat >>"$tmp/users.conf" <<-END
	jetstream { store_dir: "$tmp/js-users" }
	accounts {
		A {
			jetstream: enabled
			users: [
				{ user: all, password: secret }
				{ user: few, password: secret, permissions: {
					publish: { allow: ["nothing"] } } }
			]
		}
		B { users: [ { user: other, password: secret } ] }
	}
END
serve users -c "$tmp/users.conf"
refuses 77 'refused' "a wrong password" out $secure \
	--server="$(url users all:wrong@)" "$ring-full-a"
refuses 77 'no JetStream' "an account without JetStream" out $secure \
	--server="$(url users other:secret@)" "$ring-full-a"
refuses 77 'ermissions' "a user without rights" out $secure \
	--server="$(url users few:secret@)" "$ring-full-a"
if [ -n "$secure" ]; then
	refuses 69 TLS "the server wants TLS" out \
		--server="$(url users all:secret@)" "$ring-full-a"
	produce "$ring-tls" spsc 100 0 0
	start out "$bridge" out --create --wait --once $secure \
		--server="$(url users all:secret@)" "$ring-tls=tls"
	finish out 0 "over TLS, with a password"
	finish producer 0 "all was taken"
else
	skip "no openssl"
fi
stop KILL users

# How fast? Nothing is asserted.
rate()
{
	run_out "$ring-a$1=rate$1"
	run_in --purge --size="$1" --slots=$((16777216 / $1)) "$ring-b$1=rate$1"
	produce "$ring-a$1" spsc "$2" 0 "$1"
	: >"$tmp/consumer.err"
	consume "$ring-b$1" 0 "$2"
	finish consumer 0 "$2 messages of $1 bytes"
	finish producer 0 "all are taken"
	stop TERM out in
	bare=$($limit "$peer" publish "$(url main)" "$2" "$1" 2>&1)
	echo "$1 $(cat "$tmp/consumer.err") $bare" | awk '{ printf "# %d bytes: %d" \
		" messages, %.1f MB a second; a bare asynchronous publisher alone:" \
		" %d\n", $1, $2, $1 * $2 / 1e6, $3 }'
}
rate 64 $((50000 * seconds))
rate 65536 $((1000 * seconds))
rm -f "/dev/shm$ring"-*
done_testing
