"""Results and exceptions that cannot travel as they are, and messages of a worker that make
no sense: an error in the caller, the others go on, and nothing hangs.
"""

from __future__ import annotations

import marshal
import os
import pickle
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._system import descriptors
from onecopy._workers import wire
from tests.arrays import Array
from tests.conftest import MakePool
from tests.faults import own_socket
from tests.scripts import assert_clean, run, until


def double(x: int) -> int:
    return 2 * x


# Exceptions.


class Unrebuildable(Exception):
    """Takes two arguments, and tells its base class of none."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one}, {two}")


class ExitsWhenRebuilt(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, ("rebuilt",)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


class LeavesWhenAsked(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


class Heavy(Exception):
    def __init__(self, array: Array) -> None:
        super().__init__(array)
        self.array = array


class Bare(BaseException):
    """Of nobody's kind."""


class ShapelessArgument:
    """Its attributes raise, and so does its repr."""

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("no shape")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def throw(error: BaseException) -> None:
    raise error


def throw_made(make: Callable[[], BaseException], _: object = None) -> None:
    raise make()


def throw_heavy(nbytes: int) -> None:
    raise Heavy(np.ones(nbytes, "u1"))


def both(pool: oc.Pool, function: Callable[..., Any], *args: Any) -> list[BaseException]:
    """The error of a call by each way that leads to one."""
    found: list[BaseException] = []
    ways: list[Callable[[], Any]] = [
        lambda: pool.submit(function, *args).result(),
        lambda: pool.apply(function, args),
        lambda: pool.starmap(function, [args]),
    ]
    for way in ways:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 (each caller looks closer)
            way()
        found.append(caught.value)
    return found


def unrebuildable() -> BaseException:
    return Unrebuildable(1, 2)


@pytest.mark.parametrize("make", [unrebuildable, Unsayable, ExitsWhenRebuilt])
def test_exceptions_that_cannot_travel(
    make_pool: MakePool, process_method: str, make: Callable[[], BaseException]
) -> None:
    pool = make_pool(process_method, 1)
    for error in both(pool, throw_made, make, 0):
        assert isinstance(error, oc.RemoteError)
        assert error.type_name.endswith(type(make()).__qualname__)
        assert "raise make()" in str(error.__cause__)
        assert "throw_made" in str(error.__cause__)
    assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
    assert pool.stats().workers == 1


def test_an_exception_that_ends_whoever_asks(make_pool: MakePool, process_method: str) -> None:
    """A ``BaseException`` where an error was to be described: an error of some kind."""
    pool = make_pool(process_method, 1)
    for error in both(pool, throw_made, LeavesWhenAsked, 0):
        assert isinstance(error, oc.RemoteError | oc.WorkerDied)
    assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]


def test_a_heavy_exception(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    with pytest.raises(Heavy) as caught:
        pool.apply(throw_heavy, (100 << 20,))
    assert caught.value.array.nbytes == 100 << 20
    assert caught.value.array[-1] == 1
    assert "raise Heavy" in str(caught.value.__cause__)
    assert pool.apply(double, (1,)) == 2


HEAVY = """
import sys
import numpy as np, onecopy as oc

class Heavy(Exception):
    pass

def fail(n):
    error = Heavy("too much")
    error.array = np.ones(n, "u1")
    raise error

with oc.Pool(1, method=sys.argv[1]) as pool:
    try:
        pool.apply(fail, (1 << 20,))
    except Heavy as error:
        print(error, error.array.sum() >> 20)
"""


def test_a_heavy_exception_of_main(tmp_path: Path, process_method: str) -> None:
    """Its class cannot be imported by a fresh worker, and is the caller's own all the same."""
    assert_clean(run(tmp_path, HEAVY, process_method), "too much 1")


@pytest.mark.parametrize(
    "error", [Bare("x"), KeyboardInterrupt("x"), GeneratorExit("x"), BaseException("x")], ids=repr
)
def test_base_exceptions(make_pool: MakePool, process_method: str, error: BaseException) -> None:
    pool = make_pool(process_method, 1)
    for found in both(pool, throw, error):
        assert type(found) is type(error)
        assert found.args == ("x",)
        assert "raise error" in str(found.__cause__)
    assert pool.apply(double, (1,)) == 2


def fail_with(_: object) -> None:
    raise ValueError("of the task")


def test_an_argument_that_cannot_be_shown(make_pool: MakePool, process_method: str) -> None:
    """The task's own error arrives, not that of describing its argument."""
    pool = make_pool(process_method, 1)
    for error in both(pool, fail_with, ShapelessArgument()):
        assert isinstance(error, ValueError)
        assert "ShapelessArgument" in str(error.__cause__)


# Results.


class RaisesWhenLoaded:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return throw, (self.kind("loaded"),)


class RaisesWhenSaved:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise self.kind("saved")


def loads_badly(kind: type[BaseException]) -> RaisesWhenLoaded:
    return RaisesWhenLoaded(kind)


def saves_badly(kind: type[BaseException]) -> RaisesWhenSaved:
    return RaisesWhenSaved(kind)


@pytest.mark.parametrize("kind", [ValueError, KeyError, EOFError, OSError, SystemExit])
def test_a_result_whose_unpickling_raises(
    make_pool: MakePool, process_method: str, kind: type[BaseException]
) -> None:
    """Also with errors by which the owner would tell that a worker is not to be trusted."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(os.getpid)
    for error in both(pool, loads_badly, kind):
        assert type(error) is kind
        assert "loads_badly" in "\n".join(error.__notes__), "it says whose result it was"
    assert pool.apply(os.getpid) == worker


@pytest.mark.parametrize("kind", [ValueError, MemoryError, SystemExit])
def test_a_result_whose_pickling_raises(
    make_pool: MakePool, process_method: str, kind: type[BaseException]
) -> None:
    pool = make_pool(process_method, 1)
    for error in both(pool, saves_badly, kind):
        if kind is SystemExit:
            assert isinstance(error, oc.WorkerDied)
            continue
        assert isinstance(error, oc.ResultNotPicklable)
        assert "saved" in str(error)
        assert "in __reduce__" in str(error.__cause__)
    assert pool.apply(double, (1,)) == 2


def test_a_bad_result_beside_good_ones(make_pool: MakePool, process_method: str) -> None:
    """In one chunk of a stream: none hangs, and what comes after is whole."""
    pool = make_pool(process_method, 1)
    stream = pool.imap(lambda x: RaisesWhenSaved(ValueError) if x == 1 else x, range(6), 3)
    assert next(stream) == 0
    with pytest.raises(oc.ResultNotPicklable):
        next(stream)
    assert list(stream) == [2, 3, 4, 5]


# Messages that make no sense. Each is written by a task on its own worker's socket.


def frame(type: int, body: bytes = b"", *, length: int | None = None, id: int = 0) -> bytes:
    return wire.HEADER.pack(len(body) if length is None else length, type, 0, 0, id) + body


TIMES = wire.TIMES.pack(0, 0, 0)
TRUNCATED = frame(wire.RESULT, b"abc", length=1000, id=1)
BROKEN = {
    "text": b"Traceback (most recent call last):\n  File ...\n" * 3,
    "oversized": frame(wire.RESULT, length=0xFFFFFFFF),
    "unknown type": frame(99),
    "the owner's type": frame(wire.TASK),
    "result for nobody": frame(wire.RESULT, TIMES + pickle.dumps(1), id=1 << 60),
    "short result": frame(wire.RESULT, b"abc", id=1 << 60),
    "bad announcement": frame(wire.ANNOUNCE, b"\xff" * 100),
    "announcement of a number": frame(wire.ANNOUNCE, marshal.dumps(5)),
    "announcement without descriptors": frame(
        wire.ANNOUNCE, marshal.dumps([(5, 2, 1 << 40, "", "memfd")])
    ),
    "odd free": frame(wire.FREE, b"abc"),
    "ready again": frame(wire.READY, id=1),
    "failed though ready": frame(wire.FAILED, pickle.dumps(("a", "b", "c", "d", None))),
    "failed with garbage": frame(wire.FAILED, b"garbage"),
}


def write(data: bytes) -> None:
    own_socket().sendall(data)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_frame_ends_its_worker(make_pool: MakePool, broken: str) -> None:
    pool = make_pool("fork")
    peak = peak_memory()
    ended: list[int] = []
    data = BROKEN[broken]
    ways: list[Callable[[], object]] = [
        lambda: pool.submit(write, data).result(),
        lambda: pool.apply(write, (data,)),
    ]
    for call in ways:
        others = [pool.submit(double, x) for x in range(10)]
        with pytest.raises(oc.WorkerDied, match="write") as caught:
            call()
        assert "made no sense" in "\n".join(caught.value.__notes__)
        assert [f.result() for f in others] == [2 * x for x in range(10)]
        ended.append(caught.value.pid)
    until(lambda: not {*ended} & {*pool.pids()}, "they were ended")
    assert pool.map(double, range(20), chunksize=1) == [2 * x for x in range(20)]
    assert peak_memory() < peak + (64 << 20), "nothing of an announced size was set aside"


def peak_memory() -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmPeak:")[2].split()[0]) << 10


def write_and_exit(data: bytes) -> None:
    write(data)
    os._exit(3)


def test_a_frame_that_is_cut_short(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    for error in both(pool, write_and_exit, TRUNCATED):
        assert isinstance(error, oc.WorkerDied)
        assert error.exitcode == 3
    assert pool.apply(double, (1,)) == 2


def write_results_for_all(ids: int) -> None:
    body = TIMES + pickle.dumps("forged")
    write(b"".join(frame(wire.RESULT, body, id=number) for number in range(1, ids)))


def test_a_worker_cannot_answer_for_another(make_pool: MakePool) -> None:
    """A result for an assignment that another worker has is none."""
    pool = make_pool("fork", 2)
    go = oc.zeros(1, "i8")
    other = pool.submit(wait_for_go, go)
    until(other.running, "one worker is busy")
    with pytest.raises(oc.WorkerDied):
        pool.apply(write_results_for_all, (50,))
    go[0] = 1
    assert other.result() == "gone"


def wait_for_go(marks: Array) -> str:
    until(lambda: bool(marks[0]), "the owner says go")
    return "gone"


def test_what_it_had_finished_before_is_not_lost(make_pool: MakePool) -> None:
    """A whole result that arrives together with the broken frame behind it counts."""
    pool = make_pool("fork", 1)
    counts = oc.zeros(2, "i8")
    reached, release = threading.Event(), threading.Event()
    go = oc.zeros(1, "i8")
    first = pool.submit(wait_for_go, go)

    def keep_busy(_: object) -> None:
        reached.set()
        release.wait()

    first.add_done_callback(keep_busy)
    good = pool.submit(count, counts, 0)
    bad = pool.submit(write_then_count, counts, 1)
    go[0] = 1
    assert reached.wait(60)
    # The driver is in the callback. It has sent only what it saw waiting.
    release.set()
    assert good.result() == 1
    with pytest.raises(oc.WorkerDied):
        bad.result()
    assert pool.apply(double, (1,)) == 2
    assert counts.tolist() == [1, 1], "neither was run again"


def count(counts: Array, at: int) -> int:
    counts[at] += 1
    return int(counts[at])


def write_then_count(counts: Array, at: int) -> int:
    write(frame(99))
    return count(counts, at)


def write_for_map(item: int) -> int:
    """A result for the running chunk that is not one value for each item."""
    if item == 3:
        (task,) = [f for f in sys._getframe(2).f_locals.values() if isinstance(f, wire.Frame)]
        write(frame(wire.RESULT, TIMES + pickle.dumps(5), id=task.id))
    return item


def test_a_result_of_the_wrong_shape(make_pool: MakePool) -> None:
    pool = make_pool("fork", 1)
    with pytest.raises(oc.WorkerDied, match="items 0 to 4") as caught:
        pool.map(write_for_map, range(5), chunksize=5)
    assert "made no sense" in "\n".join(caught.value.__notes__)
    assert pool.map(double, range(5), chunksize=5) == [0, 2, 4, 6, 8]


def forge(flags: int, body: bytes) -> None:
    """The running task's own result, with this body."""
    (task,) = [f for f in sys._getframe(2).f_locals.values() if isinstance(f, wire.Frame)]
    header = wire.HEADER.pack(len(TIMES + body), wire.RESULT, flags, 0, task.id)
    write(header + TIMES + body)


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (0, b"garbage"),
        (0, b""),
        (wire.RICH, b"garbage"),
        (wire.RICH, struct.pack("<QQQQ", 1 << 50, 0, 1 << 40, 1 << 40)),
        (wire.RICH, struct.pack("<QQQQ", 0, 0, 1 << 40, 1 << 40)),
        (wire.ERRORS, pickle.dumps(5)),
        (wire.ERRORS, pickle.dumps(({}, {}))),
        (wire.ERRORS, pickle.dumps(({}, {0: 5}))),
        (wire.ERRORS, pickle.dumps(({}, {7: ("a", "b", "c", "d", b"garbage")}))),
    ],
)
def test_garbage_in_a_result(make_pool: MakePool, flags: int, body: bytes) -> None:
    """An error in the caller. The worker goes on when what it says next makes sense, or is
    ended; the pool goes on."""
    pool = make_pool("fork", 1)
    peak = peak_memory()
    futures = [pool.submit(forge, flags, body), pool.submit(double, 1)]
    assert isinstance(futures[0].exception(), Exception)
    assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
    with pytest.raises(Exception):  # noqa: B017, PT011 (any: it must not hang or return)
        pool.apply(forge, (flags, body))
    assert pool.apply(double, (1,)) == 2
    assert peak_memory() < peak + (64 << 20)


def announce_too_large(path: str) -> None:
    """A segment of 1 GB that has but one byte."""
    with open(path) as file:
        said = marshal.dumps([(12345, 2, 1 << 30, "", "file")])
        header = wire.HEADER.pack(len(said), wire.ANNOUNCE, 0, 1, 0)
        own_socket().sendmsg([header + said], descriptors.rights([file.fileno()]))


def test_a_segment_that_is_not_as_large_as_announced(make_pool: MakePool, tmp_path: Path) -> None:
    """It would be a SIGBUS in the owner."""
    path = tmp_path / "byte"
    path.write_text("x")
    pool = make_pool("fork", 1)
    with pytest.raises(oc.WorkerDied):
        pool.apply(announce_too_large, (str(path),))
    assert pool.apply(double, (1,)) == 2
