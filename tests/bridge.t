#!/bin/sh
# Description: shmbridge: exactly once and in order from ring to ring, while
# bridges and server are killed; back-pressure, reconnects, errors, idleness
#
# The storm grows with SECONDS_PER_TEST, or is as large as these say:
# BRIDGE_MESSAGES, BRIDGE_KILLS (of either bridge), BRIDGE_SERVER_KILLS.
# shellcheck source=tests/tap.sh
. tests/tap.sh

bridge=$examples/shmbridge
peer=$tmp/peer
seconds=${SECONDS_PER_TEST:-1}
seed=${SEED:-$$}
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
	"$@" </dev/null >"$tmp/$name.out" 2>>"$tmp/$name.err" &
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
	pid=$(cat "$tmp/$1.pid")
	(sleep $((120 + seconds * 60)) && kill -9 "$pid") 2>/dev/null &
	dog=$!
	wait "$pid" 2>/dev/null
	is $? "$2" "$3"
	kill $dog 2>/dev/null
	rm "$tmp/$1.pid"
}

# shellcheck disable=SC2317 # the trap calls it
cleanup()
{
	for file in "$tmp"/*.pid; do
		[ ! -e "$file" ] || kill -9 "$(cat "$file")"
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

# so many random numbers below so much
draw()
{
	awk -v seed="$seed" -v n="$1" -v most="$2" \
		'BEGIN { srand(seed); while (n--) print int(rand() * most) }'
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
	start producer "$peer" produce "${here%=*}" "$engine" "$messages" \
		$((messages * 10 / kills)) 0
	run_out "$here"
	run_in --purge $shape "$there"
	start consumer "$peer" consume "${there%=*}" "$messages"
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

kills=${BRIDGE_KILLS:-$((seconds * 30))}
storm spsc spsc "${BRIDGE_MESSAGES:-$((seconds * 30000))}" "$kills" \
	"${BRIDGE_SERVER_KILLS:-$((seconds * 2))}"
is "$(cat "$tmp/consumer.out")" \
	"$messages messages, 0 lost, 0 twice, 0 out of order, 0 torn" \
	"SPSC: each message once, and in order"
storm mpmc mpmc "${BRIDGE_MESSAGES:-$((seconds * 10000))}" "$kills" \
	"${BRIDGE_SERVER_KILLS:-$((seconds * 2))}"
is "$(sed 's/, [0-9]* twice//' "$tmp/consumer.out")" \
	"$messages messages, 0 lost, 0 out of order, 0 torn" \
	"MPMC: none is lost, and in order"
twice=$(sed 's/.*lost, \([0-9]*\) twice.*/\1/' "$tmp/consumer.out")
[ "$twice" -le $killed_in ]
ok $? "MPMC: at most one twice for each kill of in: $twice of $killed_in"
done_testing
