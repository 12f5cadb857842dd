#!/bin/sh
# Description: a file arrives unchanged by every mechanism, and who cannot says why
# shellcheck source=tests/tap.sh
. tests/tap.sh

export TMPDIR="$tmp" # for the names in the file system
name=${ring#/}
file=include/shmring.h
digest=$(sha256sum <$file)
mkfifo "$tmp/endless"

# produce MECHANISM, consume MECHANISM: in the background, or not
produce()
{
	$limit "$examples/ipc_producer" -m "$1" "$name" "$file" \
		>"$tmp/producer" 2>&1
}

consume()
{
	$limit "$examples/ipc_consumer" -m "$1" "$name" "$tmp/copy" \
		>"$tmp/consumer" 2>&1
}

# pair FIRST MECHANISM WHAT: a file arrives, whoever comes first
pair()
{
	rm -f "$tmp/copy"
	if [ "$1" = producer ]; then
		produce "$2" &
		consume "$2"
		consumer=$?
		wait $!
		producer=$?
	else
		consume "$2" &
		produce "$2"
		producer=$?
		wait $!
		consumer=$?
	fi
	is "$producer $consumer $(sha256sum <"$tmp/copy")" "0 0 $digest" \
		"$2: $1 first${3:+, $3}, the digest is the same"
	[ "$producer $consumer" = "0 0" ] ||
		sed 's/^/# /' "$tmp/producer" "$tmp/consumer"
}

# interrupt PRODUCER_ARGUMENTS...: what has begun to send a file without an end
# is killed, with its consumer, in the middle
interrupt()
{
	rm -f "$tmp/copy"
	yes >"$tmp/endless" 2>/dev/null &
	yes=$!
	"$examples/ipc_producer" "$@" >"$tmp/producer" 2>&1 &
	producer=$!
	if [ "$4" = "$tmp/endless" ]; then
		"$examples/ipc_consumer" -m "$2" "$name" "$tmp/copy" \
			>"$tmp/consumer" 2>&1 &
		consumer=$!
	fi
	wait_for test -s "$tmp/copy"
	[ "$4" = "$tmp/endless" ] ||
		consumer=$(cat "/proc/$producer/task/$producer/children")
	# shellcheck disable=SC2086 # a list, and none if it has ended
	kill -9 $producer $consumer
	for process in $producer $consumer; do # they may take a moment to die
		wait "$process"
		wait_for test ! -e "/proc/$process"
	done
	wait $yes
	ok $(($? != 141)) "$2: killed in the middle" # by SIGPIPE
} 2>/dev/null

# unrelated MECHANISM: producer and consumer, as they come and after a crash
unrelated()
{
	for first in producer consumer; do
		pair $first "$1" ""
		interrupt -m "$1" "$name" "$tmp/endless"
		pair $first "$1" "after both were killed"
	done
}

# survive VICTIM MECHANISM: one side is killed in the middle; the other is not
# told by the mechanism, but ends soon, and not as if all were well
survive()
{
	rm -f "$tmp/copy"
	yes >"$tmp/endless" 2>/dev/null &
	yes=$!
	"$examples/ipc_producer" -m "$2" "$name" "$tmp/endless" \
		>"$tmp/producer" 2>&1 &
	producer=$!
	"$examples/ipc_consumer" -m "$2" "$name" "$tmp/copy" \
		>"$tmp/consumer" 2>&1 &
	consumer=$!
	wait_for test -s "$tmp/copy"
	if [ "$1" = producer ]; then
		kill -9 $producer
		wait $consumer
		status="$? $(cat "$tmp/consumer")"
		wait $producer
	else
		kill -9 $consumer
		wait $producer
		status="$? $(cat "$tmp/producer")"
		wait $consumer
	fi
	wait $yes
	case $status in
	"1 "*"the other side is gone before the end") ok 0 "$2: the $1 is killed" ;;
	*) is "$status" "1 ... gone" "$2: the $1 is killed, the other knows" ;;
	esac
} 2>/dev/null

# lossy MECHANISM: whoever is killed, and whatever is lost
lossy()
{
	survive producer "$1"
	pair consumer "$1" "after the producer was killed"
	survive consumer "$1"
	pair producer "$1" "after the consumer was killed"
	examples=$tmp
	for size in 0 1 70000 3000000; do # so that each place is lost once
		file=$tmp/random
		head -c $size /dev/urandom >"$file"
		digest=$(sha256sum <"$file")
		pair producer "$1" "$size bytes, $harm"
		pair consumer "$1" "$size bytes, $harm"
	done
	examples=$built
	file=include/shmring.h
	digest=$(sha256sum <$file)
}

# What the examples send, of three packets: one is sent, one replaced by that of
# another transfer, as an old one's may come to a port, one doubled.
built=$examples
harm="packets lost, replaced and doubled"
cat >"$tmp/harm.h" <<-'END'
	#include <string.h>
	#include <sys/socket.h>
	static ssize_t harm(int fd, const struct msghdr *m, int flags)
	{
		size_t length = m->msg_iov[1].iov_len; /* a label at its end */
		struct iovec parts[2] = { m->msg_iov[0], { 0, length } };
		struct msghdr other = { .msg_iov = parts, .msg_iovlen = 2 };
		char data[65536];
		static unsigned n;

		if (++n % 3 == 0)
			sendmsg(fd, m, flags);
		if (n % 3 != 2 || length < 40)
			return sendmsg(fd, m, flags);
		memcpy(data, m->msg_iov[1].iov_base, length);
		data[1] ^= 1;
		data[length - 32] ^= 1; /* when its producer started */
		parts[1].iov_base = data;
		return sendmsg(fd, &other, flags);
	}
	#define sendmsg harm
END
for side in producer consumer; do
	${CC:-cc} -std=c11 -O1 -D_GNU_SOURCE -Iinclude \
		-include "$tmp/harm.h" "examples/ipc_$side.c" \
		-o "$tmp/ipc_$side" -lrt
	ok $? "ipc_$side with $harm: compiles"
done

# related MECHANISM: the producer starts the consumer
related()
{
	for what in "" ", after both were killed"; do
		rm -f "$tmp/copy"
		$limit "$examples/ipc_producer" -m "$1" $file "$tmp/copy" \
			>"$tmp/output" 2>&1
		is "$? $(sha256sum <"$tmp/copy")" "0 $digest" \
			"$1: related$what, the digest is the same"
		[ -z "$what" ] && interrupt -m "$1" "$tmp/endless" "$tmp/copy"
	done
}

# refused EXAMPLE MECHANISM REASON: it ends with the reason that --list gives
refused()
{
	$limit "$examples/$1" -m "$2" "$name" $file >"$tmp/output" 2>&1
	is "$? $(cat "$tmp/output")" "64 $2: $3" "$1 -m $2 says why not"
}

"$examples/ipc_producer" --list >"$tmp/producers"
"$examples/ipc_consumer" --list >"$tmp/consumers"
while read -r mechanism can why; do
	if [ "$can" = yes ]; then
		unrelated "$mechanism"
		case $mechanism in udp*) lossy "$mechanism" ;; esac
		continue
	fi
	case $why in
	"related processes only"*) related "$mechanism" ;;
	"this build lacks "*) skip "$mechanism: $why" ;;
	*) ok 1 "$mechanism: an unknown reason: $why" ;;
	esac
	refused ipc_consumer "$mechanism" "$why"
done <"$tmp/consumers"
# What is not known to be left by the dead is not touched, but by -u.
mkfifo "$tmp/$name.fifo"
"$examples/ipc_producer" -m fifo "$name" $file >"$tmp/output" 2>&1
is "$? $(grep -c 'others use this name' "$tmp/output")" "1 1" \
	"what others have made is not replaced, and it is said"
ok "$(test -p "$tmp/$name.fifo"; echo $?)" "and is still there"
$limit "$examples/ipc_producer" -m fifo -u "$name" >"$tmp/output" 2>&1
is "$? $(find "$tmp" -name "$name*")" "0 " "-u removes it"

# Nor does a limit for files end it by a signal. (What it says goes into none.)
said=$( (
	ulimit -f 0
	exec $limit "$examples/ipc_producer" -m unix_stream "$name" $file
) 2>&1)
is "$? $(echo "$said" | grep -c 'RLIMIT_FSIZE is 0')" "1 1" \
	"no file may be written: it says so"

# A file whose size the system does not tell is read until its end.
file=/proc/version
digest=$(sha256sum <$file)
pair producer posix_mq "a file of /proc"
file=/dev/null
digest=$(sha256sum <$file)
pair producer unix_stream "an empty file"
$limit "$examples/ipc_producer" -m fifo a/b $file >"$tmp/output" 2>&1
is "$? $(grep -c 'not a name' "$tmp/output")" "64 1" "a bad name is called one"
$limit "$examples/ipc_consumer" -m shmring_spsc "$name" "$tmp/copy" \
	>"$tmp/output" 2>&1
is "$? $(grep -c 'nobody came' "$tmp/output")" "1 1" \
	"the ring's own text tells why it failed"

is "$(cut -c1-16 "$tmp/consumers")" "$(cut -c1-16 "$tmp/producers")" \
	"both list the same mechanisms"

"$examples/ipc_request_reply" --list >"$tmp/both_ways"
while read -r mechanism can why; do
	[ "$can" = yes ] || continue
	$limit "$examples/ipc_request_reply" -m "$mechanism" \
		>"$tmp/output" 2>&1
	is "$? $(tail -n 1 "$tmp/output")" "0 1000 requests, 1000 replies" \
		"$mechanism: requests and replies"
done <"$tmp/both_ways"
is "$(grep -c 'goes one way only$' "$tmp/both_ways")" \
	"$(awk '$2 == "no" && /one way/' "$tmp/both_ways" | wc -l)" \
	"--list says of the others that they go one way"

# chats MECHANISM: two of them, each hears the other
chats()
{
	for side in one two; do
		# shellcheck disable=SC2094 # it speaks until it has heard
		(
			wait_for grep -q . "$tmp/started"
			echo "hello from $side"
			wait_for grep -q '^> ' "$tmp/$side"
		) | $limit "$examples/chat" -m "$1" "$name" >"$tmp/$side" 2>&1 &
		[ $side = two ] || sleep 0.1
	done
	echo yes >"$tmp/started"
	wait
	is "$(grep -h '^> ' "$tmp/one" "$tmp/two")" \
		"$(printf '> hello from two\n> hello from one')" \
		"chat -m $1: each hears the other"
	rm -f "$tmp/started"
}

# listed EXAMPLE: the mechanisms that it can use
listed()
{
	"$examples/$1" --list | awk '$2 == "yes" { print $1 }'
}

for mechanism in $(listed chat); do
	chats "$mechanism"
done
for mechanism in $(listed mailbox); do
	$limit "$examples/mailbox" -m "$mechanism" >"$tmp/output" 2>&1
	is "$? $(tail -n 1 "$tmp/output")" "0 9 letters, each received once" \
		"mailbox -m $mechanism: no letter is lost"
done
for mechanism in $(listed lifecycle); do
	$limit "$examples/lifecycle" -m "$mechanism" >"$tmp/output" 2>&1
	is "$? $(grep -c ': 0x1234567[89], and the check agrees$' \
		"$tmp/output")" "0 2" \
		"lifecycle -m $mechanism: there and back"
done

# Each mechanism's header needs no other before it.
sed -n 's/^#include "\(.*\)"$/\1/p' include/adapters/all.h >"$tmp/headers"
while read -r header; do
	echo "#include <adapters/$header>" | ${CC:-cc} -std=c11 -D_GNU_SOURCE \
		-Iinclude -x c -fsyntax-only - >"$tmp/output" 2>&1
	ok $? "$header compiles alone"
done <"$tmp/headers"

$limit "$examples/signals" >"$tmp/output" 2>&1
is "$? $(grep -c ': yes$' "$tmp/output")" "0 8" "signals"
is "$(find "$tmp" /dev/shm /tmp -name "*$name*" 2>/dev/null)" "" \
	"no names are left"
done_testing
