# SPDX-License-Identifier: MIT
"""shmring - messages between processes through a ring in shared memory

    import shmring

    with shmring.create("/prices", roles=shmring.PRODUCER) as ring:
        ring.push_wait(b"hello")

    with shmring.open("/prices", shmring.CONSUMER) as ring:     # elsewhere
        for message in ring:            # until the last producer is gone
            print(message)
    shmring.unlink("/prices")

The calls are those of shmring.h, from libshmring.so (`make shared`), which is
looked for in $SHMRING_LIBRARY, in the tree that this file is part of, and
where the system looks. A timeout is in seconds, None for ever. What fails
raises OSError, with the header's own explanation; Python chooses its kind:

    BlockingIOError     full, or empty (push, pop and others that never wait)
    TimeoutError        the same, after waiting
    BrokenPipeError     the last peer is gone (and all its messages are read)
    FileExistsError, FileNotFoundError, PermissionError, ... as they say
    OSError             all others; errno says which: EMSGSIZE, EBUSY, ...

A handle belongs to one thread at a time: dup() for another. Python takes some
hundreds of nanoseconds for every message: `python3 shmring.py --rate` measures
that, beside multiprocessing.Pipe. What helps is push_n and pop_n.
"""
import ctypes
import errno
import itertools
import os
import struct
import sys
import time

SPSC, MPMC, BROADCAST = 0, 1, 2
PRODUCER, CONSUMER, BOTH, OBSERVER, ANY_OWNER = 1, 2, 3, 4, 8
PREFAULT, MLOCK, HUGE, HUGETLB, REPLACE, PERSISTENT = 1, 2, 4, 8, 16, 32
LOSSY, METERED = 64, 128

_SPARE = ctypes.c_uint64 * 16  # so that a later library has room for more
_SLICE = 100_000_000  # ns: Python learns of a signal after so long
_BATCH = 1 << 20  # bytes of the buffer of pop_n, if that is a message or more


class _Struct(ctypes.Structure):
    def __repr__(self):
        names = [name for name, _ in self._fields_ if name != "spare"]
        return "{}({})".format(
            type(self).__name__,
            ", ".join(f"{name}={getattr(self, name)}" for name in names),
        )


class Config(_Struct):
    """struct shmring_config: zero means the default, for every field"""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("mode", "slots", "slot_size", "participants")
        + ("permissions", "flags", "roles", "demote_ms", "alignment")
    ] + [("spare", _SPARE)]

    def __init__(self, **fields):
        for name in fields:
            if name not in {field for field, _ in self._fields_}:
                raise TypeError(f"no such field of shmring.Config: {name}")
        super().__init__(**fields)


class Stat(_Struct):
    """struct shmring_stat: counters are those of all handles, ever; high_water
    and age_ns are 0 without METERED"""

    _fields_ = (
        [
            (name, ctypes.c_uint32)
            for name in ("mode", "slots", "slot_size", "participants")
            + ("producers", "consumers")
        ]
        + [
            (name, ctypes.c_uint64)
            for name in ("length", "capacity", "pushed", "popped")
            + ("pushed_bytes", "popped_bytes", "full", "empty")
            + ("sleeps", "wakes", "refused", "high_water", "age_ns")
        ]
        + [("spare", _SPARE)]
    )


def _find():
    here = os.path.dirname(os.path.abspath(__file__))
    for path in (
        os.environ.get("SHMRING_LIBRARY"),
        os.path.join(here, "../build/libshmring.so"),  # examples/
        os.path.join(here, "../../lib/libshmring.so"),  # share/shmring/
    ):
        if path and os.path.exists(path):
            return path
    return "libshmring.so.0"


def _load():
    """The same calls twice: `_quick` keeps the interpreter's lock, for what
    never waits; `_slow` lets other threads run meanwhile."""
    path = _find()
    try:
        quick, slow = ctypes.PyDLL(path), ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"{error}: run `make shared`, or say where it is in "
            "SHMRING_LIBRARY"
        ) from None
    ring, place, size = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
    number, unsigned, name = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p
    count, time_ns = ctypes.c_ssize_t, ctypes.c_int64
    calls = {
        "handle_size": (size,),
        "create": (number, ring, name, place),
        "create_memfd": (number, ring, place),
        "open": (number, ring, name, unsigned, time_ns),
        "open_fd": (number, ring, number, unsigned),
        "fd": (number, ring),
        "dup": (number, ring, ring, unsigned),
        "close": (number, ring),
        "unlink": (number, name),
        "push": (number, ring, place, size),
        "pop": (count, ring, place, size),
        "push_n": (count, ring, place, size),
        "pop_n": (count, ring, place, size),
        "reserve": (place, ring, size),
        "commit": (number, ring, size),
        "abort": (None, ring),
        "peek": (place, ring, place),
        "release": (number, ring),
        "peek_n": (count, ring, place, size),
        "release_n": (number, ring, size),
        "error": (number, ring),
        "redelivered": (number, ring),
        "flush": (number, ring, time_ns),
        "set_spin": (number, ring, time_ns),
        "interrupt": (number, ring),
        "wait_peer": (number, ring, unsigned, time_ns),
        "wait_gone": (number, ring, unsigned, time_ns),
        "recover": (number, ring),
        "capacity": (size, ring),
        "length": (ctypes.c_uint64, ring),
        "stat": (number, ring, place),
        "id": (number, ring, place),
        "position": (ctypes.c_uint64, ring, unsigned),
        "strerror": (name, number),
    }
    for call in ("push", "pop", "push_n", "pop_n", "reserve", "peek"):
        calls[call + "_wait"] = calls[call] + (time_ns,)
    for library in (quick, slow):
        for call, (result, *arguments) in calls.items():
            function = getattr(library, "shmring_" + call)
            function.restype, function.argtypes = result, arguments
            setattr(library, call, function)
    return quick, slow


_quick, _slow = _load()


def _check(result, name=None):
    if result >= 0:
        return result
    text = _quick.strerror(result).decode()
    raise OSError(-result, text, name) if name else OSError(-result, text)


def _bytes(data):
    return data if isinstance(data, bytes) else memoryview(data).tobytes()


def _waited(call, timeout):
    """call(ns) until it returns something else than -ETIMEDOUT, or the time
    is over. In slices, since Python handles signals between two calls only."""
    if timeout is None:
        while True:
            result = call(_SLICE)
            if result != -errno.ETIMEDOUT:
                return result
    end = time.monotonic_ns() + int(timeout * 1e9)
    while True:
        left = max(0, end - time.monotonic_ns())
        result = call(min(left, _SLICE))
        if result != -errno.ETIMEDOUT or left <= _SLICE:
            return result


class Ring:
    """One participant; made by create(), open(), ... and dup()."""

    def __init__(self, attach, name=None):
        self._memory = ctypes.create_string_buffer(_quick.handle_size())
        self._ring = ctypes.addressof(self._memory)
        self._views = []  # of peek, peek_n or reserve
        self._vectors = 0
        _check(attach(self._ring), name)
        self._slot_size = self.stat().slot_size
        self._buffer = None

    def _alive(self):
        if not self._ring:
            raise ValueError("the ring is closed")
        return self._ring

    def close(self):
        """Detach; what was pushed stays. Closing twice does no harm."""
        ring = getattr(self, "_ring", None)
        if ring:
            self._forget()
            _quick.close(ring)
            self._ring = None

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        """The messages, waiting for each, until all producers are gone."""
        try:
            while True:
                yield self.pop_wait()
        except BrokenPipeError:
            return

    # One message

    def push(self, data):
        """Copy a message in; BlockingIOError: full."""
        data = _bytes(data)
        result = _quick.push(self._alive(), data, len(data))
        if result:
            _check(result)

    def push_wait(self, data, timeout=None):
        """The same, waiting while the ring is full."""
        data = _bytes(data)
        ring = self._alive()
        result = _quick.push(ring, data, len(data))
        if result == -errno.EAGAIN:
            result = _waited(
                lambda ns: _slow.push_wait(ring, data, len(data), ns), timeout
            )
        if result:
            _check(result)

    def pop(self):
        """Take the next message; BlockingIOError: empty."""
        buffer = self._room()
        return self._text(
            _quick.pop(self._alive(), self._address, self._slot_size), buffer
        )

    def pop_wait(self, timeout=None):
        """The same, waiting while the ring is empty."""
        ring, buffer = self._alive(), self._room()
        place, size = self._address, self._slot_size
        result = _quick.pop(ring, place, size)
        if result == -errno.EAGAIN:
            result = _waited(
                lambda ns: _slow.pop_wait(ring, place, size, ns), timeout
            )
        return self._text(result, buffer)

    def _room(self):
        if self._buffer is None:
            memory = ctypes.create_string_buffer(max(1, self._slot_size))
            self._address = ctypes.addressof(memory)
            self._buffer = memoryview(memory)
        return self._buffer

    @staticmethod
    def _text(result, buffer):
        return buffer[: _check(result)].tobytes()

    # Batches

    def push_n(self, messages):
        """As many of the list as fit; how many. BlockingIOError: not one."""
        vectors, count, keep = self._gather(messages)
        result = _check(_quick.push_n(self._alive(), vectors, count))
        del keep
        return result

    def push_n_wait(self, messages, timeout=None):
        """The same, waiting for room for the first."""
        vectors, count, keep = self._gather(messages)
        ring = self._alive()
        result = _quick.push_n(ring, vectors, count)
        if result == -errno.EAGAIN:
            result = _waited(
                lambda ns: _slow.push_n_wait(ring, vectors, count, ns), timeout
            )
        del keep
        return _check(result)

    def push_all(self, messages, timeout=None):
        """All of the list, in batches; the timeout is for each of these."""
        while messages:
            messages = messages[self.push_n_wait(messages, timeout) :]

    @staticmethod
    def _gather(messages):
        """struct iovec[], and what must live as long"""
        messages = [_bytes(message) for message in messages]
        count = len(messages)
        places = (ctypes.c_char_p * count)(*messages)
        fields = [0] * (2 * count)
        fields[::2] = struct.unpack(f"={count}Q", places)
        fields[1::2] = map(len, messages)
        return struct.pack(f"={2 * count}Q", *fields), count, places

    def pop_n(self, count):
        """Up to count messages; BlockingIOError: not one."""
        count = self._scatter(count)
        result = _quick.pop_n(self._alive(), self._iovec, count)
        return self._texts(result)

    def pop_n_wait(self, count, timeout=None):
        """The same, waiting for the first."""
        ring, count = self._alive(), self._scatter(count)
        result = _quick.pop_n(ring, self._iovec, count)
        if result == -errno.EAGAIN:
            result = _waited(
                lambda ns: _slow.pop_n_wait(ring, self._iovec, count, ns),
                timeout,
            )
        return self._texts(result)

    def _scatter(self, count):
        """struct iovec[] with room for so many, or for fewer"""
        stride = max(1, self._slot_size)
        count = max(1, min(count, _BATCH // stride))
        if count > self._vectors:
            memory = ctypes.create_string_buffer(count * stride)
            base = ctypes.addressof(memory)
            fields = [self._slot_size] * (2 * count)
            fields[::2] = range(base, base + count * stride, stride)
            self._fresh = struct.pack(f"={2 * count}Q", *fields)
            self._iovec = ctypes.create_string_buffer(16 * count)
            self._pool, self._vectors = memoryview(memory), count
        ctypes.memmove(self._iovec, self._fresh, 16 * count)
        return count

    def _texts(self, count):
        _check(count)
        stride, pool = max(1, self._slot_size), self._pool
        lengths = struct.unpack_from(f"={2 * count}Q", self._iovec)[1::2]
        return [
            pool[start : start + length].tobytes()
            for start, length in zip(itertools.count(0, stride), lengths)
        ]

    # In place. What these return ends with commit, abort, release: slices of
    # it must not be used any longer.

    def reserve(self, size, timeout=0):
        """A writable view of a message to be; then commit or abort."""
        return self._held(
            lambda ns: _slow.reserve_wait(self._alive(), size, ns),
            timeout,
            lambda: size,
        )

    def commit(self, size=None):
        """Send it, or its first so many bytes."""
        if size is None:
            size = self._views[0].nbytes if self._views else 0
        _check(_quick.commit(self._alive(), size))
        self._forget()

    def abort(self):
        _quick.abort(self._alive())
        self._forget()

    def peek(self, timeout=0):
        """A view of the next message, to be read until release."""
        size = ctypes.c_size_t()
        return self._held(
            lambda ns: _slow.peek_wait(
                self._alive(), ctypes.addressof(size), ns
            ),
            timeout,
            lambda: size.value,
        ).toreadonly()

    def release(self):
        self._forget()
        _check(_quick.release(self._alive()))

    def peek_n(self, count):
        """Views of the next messages, up to count (SPSC only);
        BlockingIOError: not one. Then release_n."""
        ring, vectors = self._alive(), (ctypes.c_size_t * (2 * count))()
        got = _check(_quick.peek_n(ring, ctypes.addressof(vectors), count))
        self._forget()
        for place, size in zip(vectors[: 2 * got : 2], vectors[1::2]):
            self._hold(place, size)
        return [view.toreadonly() for view in self._views]

    def release_n(self, count):
        """The first so many of them; the others stay."""
        _check(_quick.release_n(self._alive(), count))
        self._forget(count)

    def _held(self, call, timeout, size):
        place = 0

        def attempt(ns):
            nonlocal place
            place = call(ns)
            return 0 if place else _quick.error(self._ring)

        result = _waited(attempt, timeout)
        if result == -errno.ETIMEDOUT and timeout == 0:
            result = -errno.EAGAIN
        _check(result)
        self._forget()
        return self._hold(place, size())

    def _hold(self, place, size):
        memory = (ctypes.c_char * size).from_address(place)
        self._views.append(memoryview(memory).cast("B"))
        return self._views[-1]

    def _forget(self, count=None):
        for view in self._views[:count]:
            view.release()
        del self._views[:count]

    # All the rest

    def redelivered(self):
        """True if a consumer that died may have seen the last message."""
        return bool(_quick.redelivered(self._alive()))

    def flush(self, timeout=None):
        """Wait until consumers have taken all."""
        ring = self._alive()
        _check(_waited(lambda ns: _slow.flush(ring, ns), timeout))

    def set_spin(self, seconds):
        """How long to spin before sleeping; None: for ever."""
        ns = -1 if seconds is None else int(seconds * 1e9)
        _check(_quick.set_spin(self._alive(), ns))

    def interrupt(self):
        """End the wait of another thread, or the next: OSError, ECANCELED."""
        _check(_quick.interrupt(self._alive()))

    def wait_peer(self, role, timeout=None):
        """Wait until another participant of a role is there."""
        ring = self._alive()
        _check(_waited(lambda ns: _slow.wait_peer(ring, role, ns), timeout))

    def wait_gone(self, role, timeout=None):
        """Wait until no other participant of a role is there."""
        ring = self._alive()
        _check(_waited(lambda ns: _slow.wait_gone(ring, role, ns), timeout))

    def recover(self):
        """Look for dead participants now; how many there were."""
        return _check(_quick.recover(self._alive()))

    def stat(self):
        out = Stat()
        _check(_quick.stat(self._alive(), ctypes.addressof(out)))
        return out

    def id(self):
        """16 random bytes, others for each ring ever made."""
        out = ctypes.create_string_buffer(16)
        _check(_quick.id(self._alive(), ctypes.addressof(out)))
        return out.raw

    def position(self, role):
        """Of the next message to read (CONSUMER) or to write (PRODUCER), or
        of the one in hands; only grows: by bytes (SPSC), by one (MPMC)."""
        return _quick.position(self._alive(), role)

    def capacity(self):
        """How many messages of slot_size fit at least."""
        return _quick.capacity(self._alive())

    def __len__(self):
        """Messages (MPMC) or bytes (SPSC) in the ring, about."""
        return _quick.length(self._alive())

    def __bool__(self):
        return True  # also when it is empty

    def fileno(self):
        return _check(_quick.fd(self._alive()))

    def dup(self, roles=BOTH):
        """Another handle, for another thread or role."""
        ring = self._alive()
        return Ring(lambda new: _quick.dup(new, ring, roles))


def create(name, **config):
    """Make a ring named like "/prices" and attach to it; the fields of Config
    by their names, such as slots=64, slot_size=4096, roles=PRODUCER."""
    config = Config(**config)
    place = ctypes.addressof(config)
    return Ring(lambda new: _quick.create(new, os.fsencode(name), place), name)


def create_memfd(**config):
    """The same without a name: pass fileno() on."""
    config = Config(**config)
    place = ctypes.addressof(config)
    return Ring(lambda new: _quick.create_memfd(new, place))


def open(name, roles=BOTH, timeout=None):
    """Attach, waiting until the name exists; timeout 0: try once."""
    path = os.fsencode(name)
    return Ring(
        lambda new: _waited(
            lambda ns: _slow.open(new, path, roles, ns), timeout
        ),
        name,
    )


def open_fd(fd, roles=BOTH):
    return Ring(lambda new: _quick.open_fd(new, fd, roles))


def unlink(name):
    """Remove the name; those attached go on."""
    _check(_quick.unlink(os.fsencode(name)), name)


# python3 shmring.py --rate [SECONDS]: how fast all this is


def _send_for(seconds, send, end, chunk, size):
    """send(list of chunk messages) for so long; then end(how many it were)"""
    messages, sent = [bytes(size)] * chunk, 0
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        for _ in range(16):
            send(messages)
        sent += 16 * chunk
    end(b"%d" % sent)


def _stream(seconds, size, chunk, sender, receive):
    """Messages a second from a forked child to us; all are counted."""
    child = os.fork()
    if child == 0:
        try:
            _send_for(seconds, *sender(), chunk, size)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    received, start = 0, None
    while True:
        messages = receive()
        start = start or time.monotonic()
        last = messages[-1]
        received += len(messages)
        if len(last) != size:
            break
    rate = (received - 1) / (time.monotonic() - start)
    if os.waitpid(child, 0)[1] or int(last) != received - 1:
        raise AssertionError(f"{received - 1} of {last} messages came")
    return rate


def _pipe_rate(seconds, size):
    import multiprocessing

    here, there = multiprocessing.Pipe(duplex=False)

    def sender():
        send = there.send_bytes
        return (lambda messages: send(messages[0])), send

    return _stream(seconds, size, 1, sender, lambda: [here.recv_bytes()])


def _ring_rate(seconds, size, chunk):
    slots = max(64, (1 << 20) // size)
    with create_memfd(
        roles=CONSUMER, slots=slots, slot_size=size
    ) as ring:
        fd = ring.fileno()

        def sender():
            other = open_fd(fd, PRODUCER)
            if chunk == 1:
                push = other.push_wait
                return (lambda messages: push(messages[0])), push
            return other.push_all, other.push_wait

        if chunk == 1:
            return _stream(
                seconds, size, 1, sender, lambda: [ring.pop_wait()]
            )
        return _stream(
            seconds, size, chunk, sender, lambda: ring.pop_n_wait(chunk)
        )


def _round_trip(seconds, pairs):
    """Nanoseconds from a message to its answer. pairs() gives (send, recv)
    for us and, called in the child, for the other side."""
    mine, other = pairs
    child = os.fork()
    if child == 0:
        try:
            send, receive = other()
            while True:
                message = receive()
                send(message)
                if not message.strip(b"\0"):
                    os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    send, receive = mine()
    ping, trips, start = b"x" * 64, 0, time.monotonic_ns()
    while time.monotonic_ns() - start < seconds * 1e9:
        for _ in range(16):
            send(ping)
            receive()
        trips += 16
    spent = time.monotonic_ns() - start
    send(bytes(64))
    receive()
    os.waitpid(child, 0)
    return spent / trips


def _pipe_trip(seconds):
    import multiprocessing

    here, there = multiprocessing.Pipe()
    return _round_trip(
        seconds,
        (
            lambda: (here.send_bytes, here.recv_bytes),
            lambda: (there.send_bytes, there.recv_bytes),
        ),
    )


def _ring_trip(seconds):
    with create_memfd(roles=PRODUCER) as out, create_memfd(
        roles=CONSUMER
    ) as back:
        fds = out.fileno(), back.fileno()

        def other():
            return (
                open_fd(fds[1], PRODUCER).push_wait,
                open_fd(fds[0], CONSUMER).pop_wait,
            )

        return _round_trip(
            seconds, (lambda: (out.push_wait, back.pop_wait), other)
        )


def _rates(seconds):
    version = ".".join(map(str, sys.version_info[:3]))
    print(
        f"Python {version}, {os.cpu_count()} CPUs, one process to another, "
        f"{seconds:g} s each"
    )
    print(f"{'messages/s':26}{'64 B':>12}{'4 KiB':>12}{'64 KiB':>12}")
    for what, rate in (
        ("multiprocessing.Pipe", _pipe_rate),
        ("push_wait, pop_wait", lambda s, size: _ring_rate(s, size, 1)),
        ("push_n, pop_n of 64", lambda s, size: _ring_rate(s, size, 64)),
    ):
        row = [rate(seconds, size) for size in (64, 4096, 65536)]
        print(f"{what:26}" + "".join(f"{each:12,.0f}" for each in row))
    print("round trip, 64 B")
    for what, trip in (
        ("multiprocessing.Pipe", _pipe_trip),
        ("push_wait, pop_wait", _ring_trip),
    ):
        print(f"{what:26}{trip(seconds) / 1000:9.1f} us")


if __name__ == "__main__":
    if sys.argv[1:2] != ["--rate"] or len(sys.argv) > 3:
        sys.exit("usage: shmring.py --rate [SECONDS]")
    _rates(float(sys.argv[2]) if len(sys.argv) > 2 else 1)
