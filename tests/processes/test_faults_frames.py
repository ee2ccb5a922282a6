"""Messages of a worker that make no sense: it is ended, nothing of an announced size is set
aside, and the others go on. Each is written by a task on its own worker's socket.
"""

from __future__ import annotations

import marshal
import os
import pickle
import struct
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import onecopy as oc
from onecopy._protocol import wire
from onecopy._system import descriptors
from tests.arrays import Array
from tests.conftest import MakePool
from tests.faults import own_socket
from tests.pooled import double
from tests.scripts import until


def frame(type: int, body: bytes = b"", *, length: int | None = None, id: int = 0) -> bytes:
    return wire.HEADER.pack(len(body) if length is None else length, type, 0, 0, id) + body


TIMES = bytes(wire.SPENT.size)
TRUNCATED = frame(wire.RESULT, b"abc", length=1000, id=1)
BROKEN = {
    "text": b"Traceback (most recent call last):\n  File ...\n" * 3,
    "oversized": frame(wire.RESULT, length=0xFFFFFFFF),
    "unknown type": frame(99),
    "the owner's type": frame(wire.TASK),
    "result of no task": frame(wire.RESULT, TIMES + pickle.dumps(1), id=1 << 60),
    "outcomes of no run": frame(wire.OUTCOMES, bytes(8), id=1 << 60),
    "outcomes that are cut off": frame(wire.OUTCOMES, bytes(9), id=1 << 60),
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
        # One that such a worker has begun meanwhile cannot be saved.
        others = [pool.options(retries=3).submit(double, x) for x in range(10)]
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
    with pytest.raises(oc.WorkerDied, match="exited with code 3"):
        pool.submit(write_and_exit, TRUNCATED).result()
    with pytest.raises(oc.WorkerDied, match="exited with code 3"):
        pool.apply(write_and_exit, (TRUNCATED,))
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


def answer_and_go_mad(value: str) -> None:
    """The running task's own result, and in the same piece a frame of no known type."""
    (task,) = [f for f in sys._getframe(2).f_locals.values() if isinstance(f, wire.Frame)]
    write(frame(wire.RESULT, TIMES + pickle.dumps(value), id=task.id) + frame(99))


def test_what_it_had_finished_before_counts(make_pool: MakePool) -> None:
    """A whole result that arrives together with the broken frame behind it."""
    pool = make_pool("fork", 1)
    worker = pool.apply(os.getpid)
    assert pool.apply(answer_and_go_mad, ("whole",)) == "whole"
    assert pool.submit(answer_and_go_mad, "whole").result() == "whole"
    assert pool.apply(double, (1,)) == 2
    assert worker not in pool.pids()


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
    futures: list[Future[Any]] = [pool.submit(forge, flags, body), pool.submit(double, 1)]
    assert isinstance(futures[0].exception(), Exception)
    # What the worker has begun when its second answer gives it away is lost with it.
    again = pool.options(retries=2)
    assert again.map(double, range(5)) == [0, 2, 4, 6, 8]
    with pytest.raises(Exception):  # noqa: B017, PT011 (any: it must not hang or return)
        pool.apply(forge, (flags, body))
    assert again.apply(double, (1,)) == 2
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
