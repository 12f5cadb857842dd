#!/bin/sh
# Description: examples/shmring.py: every call, its errors as exceptions, two
# processes, Python and C on one ring, signals while waiting; its structs are
# those of the header
# shellcheck source=tests/tap.sh
. tests/tap.sh

if ! python3 -c 'import ctypes' 2>/dev/null; then
	skip "no python3 with ctypes"
	done_testing
fi
unset MAKEFLAGS MFLAGS # who runs us may have others
make shared BUILD="$tmp/build" >"$tmp/log" 2>&1
ok $? "make shared"
export SHMRING_LIBRARY="$tmp/build/libshmring.so" PYTHONPATH=examples \
	PYTHONDONTWRITEBYTECODE=1 SHMRING_TEST_NAME="$ring"

# python WHAT: what stdin says in Python does not fail, in so many lines
python()
{
	{
		echo 'import ctypes, errno, os, signal, sys, threading, time'
		echo 'import shmring'
		echo 'name = os.environ["SHMRING_TEST_NAME"]'
		# fails(KIND, call): with this exception
		printf '%s\n' 'def fails(kind, call, *a, **k):' ' try: call(*a, **k)' \
			' except kind as error: return error' \
			' raise AssertionError(f"no {kind.__name__}")'
		cat
	} >"$tmp/script.py"
	$limit python3 "$tmp/script.py" >"$tmp/out" 2>&1
	status=$?
	ok $status "$1"
	[ $status = 0 ] || sed 's/^/#   /' "$tmp/out"
}

# What is in Python's structs is in the header's, in the same places.
cat >"$tmp/layout.py" <<'END'
import ctypes, shmring
print("#include <shmring.h>\nint main(void) {")
for struct, name in (shmring.Config, "config"), (shmring.Stat, "stat"):
    fields = [f for f, _ in struct._fields_ if f != "spare"]
    for field in fields:
        place = getattr(struct, field)
        print(f'SHMRING__AT(shmring_{name}, {field}, {place.offset});'
              f'SHMRING__ASSERT(sizeof(((struct shmring_{name} *)0)->{field})'
              f' == {place.size});')
    print(f"SHMRING__ASSERT(sizeof(struct shmring_{name})"
          f" <= {ctypes.sizeof(struct)});")
for constant in ("SPSC MPMC PRODUCER CONSUMER BOTH OBSERVER ANY_OWNER PREFAULT"
                 " MLOCK HUGE HUGETLB REPLACE PERSISTENT BROADCAST LOSSY"
                 " METERED").split():
    print(f"SHMRING__ASSERT(SHMRING_{constant}"
          f" == {getattr(shmring, constant)});")
print("return 0; }")
END
python3 "$tmp/layout.py" >"$tmp/layout.c" 2>&1 &&
	${CC:-cc} -Iinclude "$tmp/layout.c" -o "$tmp/layout"
ok $? "structs and constants are the header's"

python "messages, batches, in place" <<'END'
with shmring.create(name, slots=16, slot_size=100) as ring:
    assert not len(ring) and ring and ring.capacity() >= 16
    assert ring.stat().slot_size == 100 and "slot_size=100" in repr(ring.stat())
    for message in (b"", b"x", bytearray(b"abc"), memoryview(b"view"),
                    bytes(range(100))):
        ring.push(message)
        assert len(ring)
        assert ring.pop() == message and not ring.redelivered()
    many = [bytes([i]) * i for i in range(12)]
    assert ring.push_n(many) == 12
    assert ring.pop_n(5) == many[:5] and ring.pop_n(100) == many[5:]
    assert ring.push_n_wait(many, 1) == 12
    assert ring.pop_n_wait(12, 1) == many
    mixed = [bytearray(b"a"), memoryview(b"bc"), b"", b"d"]
    assert ring.push_n(mixed) == 4 and ring.pop_n(9) == mixed
    assert ring.push_n([b"q"]) == 1 and ring.pop_wait(0) == b"q"
    view = ring.reserve(50)
    view[:6] = b"inside"
    ring.commit(6)
    held = ring.peek()
    assert held == b"inside" and held.readonly
    ring.release()
    ring.reserve(10, timeout=1)
    ring.abort()
    fails(BlockingIOError, ring.peek)
    fails(BlockingIOError, ring.peek_n, 3)
    ring.push_n(many)
    assert ring.peek_n(3) == many[:3]
    ring.release_n(2)
    at = ring.position(shmring.CONSUMER)
    held = ring.peek_n(100)
    assert held == many[2:] and held[0].readonly
    assert fails(OSError, ring.release_n, 11).errno == errno.ERANGE
    ring.release_n(10)
    assert at < ring.position(shmring.CONSUMER)
    assert ring.position(shmring.CONSUMER) == ring.position(shmring.PRODUCER)
    ring.set_spin(0)
    ring.wait_gone(shmring.BOTH)
    ring.interrupt()
    fails(OSError, ring.wait_peer, shmring.BOTH)
    ring.flush(0)
    assert ring.recover() == 0
    both = ring.dup(shmring.OBSERVER)
    assert both.stat().pushed == ring.stat().pushed
    assert both.id() == ring.id() and len(ring.id()) == 16 and any(ring.id())
    both.close()
shmring.unlink(name)
END

python "alignment, meters, refused pushes" <<'END'
with shmring.create_memfd(mode=shmring.MPMC, slots=8, slot_size=56,
                          participants=2, alignment=64,
                          flags=shmring.METERED) as ring:
    for i in range(6):
        ring.push(b"m" * 56)
    time.sleep(0.02)
    stat = ring.stat()
    assert stat.high_water == 6 and stat.refused == 0, stat
    assert 20_000_000 <= stat.age_ns < 60_000_000_000, stat
    ring.pop_n(6)
    while True:
        try: ring.push(b"")
        except BlockingIOError: break
    ring.pop_n(8)
    stat = ring.stat()
    assert stat.high_water == 8 and stat.refused == 1, stat
    assert stat.age_ns == 0 and "age_ns=0" in repr(stat), stat
    place = ring.reserve(56)
    assert ctypes.addressof(ctypes.c_char.from_buffer(place)) % 64 == 0
    ring.abort()
assert fails(OSError, shmring.create_memfd,
             alignment=24).errno == errno.ERANGE
with shmring.create_memfd(mode=shmring.BROADCAST, slots=4, slot_size=8,
                          flags=shmring.LOSSY) as ring:
    for i in range(1000):
        ring.push(b"12345678")
    stat = ring.stat()
    assert stat.refused == stat.high_water == stat.age_ns == 0, stat
END

python "each error is an exception of its kind, with a reason" <<'END'
assert fails(FileNotFoundError, shmring.open, name, timeout=0).filename == name
fails(TimeoutError, shmring.open, name, timeout=0.01)
fails(FileNotFoundError, shmring.unlink, name)
assert "slots" in str(fails(OSError, shmring.create, name, slots=1 << 31))
fails(TypeError, shmring.create, name, colour=1)
ring = shmring.create(name, slots=4, slot_size=8)
fails(FileExistsError, shmring.create, name)
assert fails(OSError, shmring.open, name).errno == errno.EBUSY
fails(BlockingIOError, ring.pop)
fails(BlockingIOError, ring.pop_n, 3)
fails(BlockingIOError, ring.peek)
fails(TimeoutError, ring.pop_wait, 0.01)
fails(TimeoutError, ring.pop_n_wait, 3, 0.01)
fails(TimeoutError, ring.peek, 0.01)
assert fails(OSError, ring.push, b"123456789").errno == errno.EMSGSIZE
assert fails(OSError, ring.commit).errno == errno.ENOMSG
assert fails(OSError, ring.release).errno == errno.ENOMSG
fails(TypeError, ring.push, "text")
fails(TypeError, ring.push, 5)
fails(TypeError, ring.push_n, ["text"])
fails(TypeError, ring.push_n, [None])
while True:
    try: ring.push(b"12345678")
    except BlockingIOError: break
fails(TimeoutError, ring.push_wait, b"12345678", 0.01)
fails(TimeoutError, ring.push_n_wait, [b"12345678"], 0.01)
fails(BlockingIOError, ring.push_n, [b"12345678"])
fails(BlockingIOError, ring.reserve, 8)
fails(TimeoutError, ring.flush, 0.01)
looks = shmring.open(name, shmring.OBSERVER)
assert fails(PermissionError, looks.push, b"").errno == errno.EPERM
child = os.fork()
if child == 0:
    os._exit(fails(OSError, ring.pop).errno != errno.ESTALE)
assert os.waitpid(child, 0)[1] == 0
ring.close()
ring.close()
fails(ValueError, ring.pop)
shmring.unlink(name)
END

python "two processes: 20000 messages in order, then the end" <<'END'
for mode in shmring.SPSC, shmring.MPMC:
    with shmring.create(name, mode=mode, roles=shmring.CONSUMER) as ring:
        child = os.fork()
        if child == 0:
            with shmring.open(name, shmring.PRODUCER) as out:
                for i in range(10000):
                    out.push_wait(b"%d" % i)
                out.push_all([b"%d" % i for i in range(10000, 20000)])
            os._exit(0)
        assert [int(m) for m in ring] == list(range(20000))
        fails(BrokenPipeError, ring.pop)
        assert os.waitpid(child, 0)[1] == 0
    shmring.unlink(name)
END

python "without a name: a descriptor is passed, threads have handles" <<'END'
with shmring.create_memfd(mode=shmring.MPMC, slots=64) as ring:
    assert fails(OSError, ring.peek_n, 2).errno == errno.ENOTSUP
    out = shmring.open_fd(ring.fileno(), shmring.PRODUCER)
    def send(handle):
        with handle:
            for i in range(1000):
                handle.push_wait(b"%d" % i)
    senders = [threading.Thread(target=send, args=(each,))
               for each in (out, ring.dup(shmring.PRODUCER))]
    for each in senders: each.start()
    got = []
    while len(got) < 2000:
        got += map(int, ring.pop_n_wait(50, 30))
    for each in senders: each.join()
    assert sorted(got) == sorted(2 * list(range(1000)))
END

python "a signal ends a wait that has no time limit" <<'END'
def ring_bell(*_): raise InterruptedError("bell")
signal.signal(signal.SIGALRM, ring_bell)
signal.setitimer(signal.ITIMER_REAL, 0.2)
with shmring.create_memfd() as ring:
    fails(InterruptedError, ring.pop_wait)
END

python "a killed producer is an end, too" <<'END'
with shmring.create(name, roles=shmring.CONSUMER) as ring:
    child = os.fork()
    if child == 0:
        out = shmring.open(name, shmring.PRODUCER)
        out.push(b"last words")
        os.kill(os.getpid(), signal.SIGKILL)
    assert list(ring) == [b"last words"]
    os.waitpid(child, 0)
shmring.unlink(name)
END

# Python and C
if [ -x "$tools/shmcat" ]; then
	printf 'from C\n' | $limit "$tools/shmcat" -l -w "$ring" &
	python "what shmcat writes" <<'END'
with shmring.open(name, shmring.CONSUMER, 30) as ring:
    assert list(ring) == [b"scat\1\0\1\0", b"from C\n", b""]
END
	wait $!
	ok $? "and shmcat says that it arrived"
fi

SHMRING_LIBRARY=/nowhere/libshmring.so
mkdir -p "$tmp/a/lone"
cp examples/shmring.py "$tmp/a/lone"
PYTHONPATH=$tmp/a/lone
$limit python3 -c 'import shmring' >"$tmp/out" 2>&1
is "$(grep -c '^ImportError: .*make shared' "$tmp/out")" 1 \
	"without the library it says what to do"

SHMRING_LIBRARY=$tmp/build/libshmring.so
$limit python3 examples/shmring.py --rate 0.02 >"$tmp/out" 2>&1
is "$? $(grep -cE '^(multiprocessing.Pipe|pu.*, pop_).* [0-9.,]+( us)?$' \
	"$tmp/out")" "0 5" "--rate measures, and counts what it moved"
done_testing
