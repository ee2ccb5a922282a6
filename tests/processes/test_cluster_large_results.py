"""Results of a host for which the driver has no room: each fails alone, and no host is lost.

The limits are real: of the driver's address space, and of a memory control group that the driver
enters when its hosts are there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._cluster.bulk import Bulk
from onecopy._cluster.large_results import PIECE, Landing, messages
from onecopy._codec.parcel import RICH, Parcel
from tests.arrays import Array
from tests.clusters import Cluster
from tests.limited import address_space, memory_group
from tests.scripts import assert_clean, run

pytestmark = pytest.mark.beside

LEFT = 200 << 20
TOO_MUCH = 600 << 20


class Heavy(Exception):
    """An error with a payload."""

    def __init__(self, payload: Array) -> None:
        super().__init__(payload)


def ones(size: int) -> Array:
    return np.ones(size, "u1")


def numbered(size: int) -> tuple[int, Array]:
    return size, np.full(size, size % 251, "u1")


def repeated(block: Array) -> Array:
    return np.ones(TOO_MUCH if block[0] == 2 else 10, "u1")


def fail_heavily(size: int) -> None:
    raise Heavy(np.ones(size, "u1"))


def ones_or_fail(size: int) -> Array:
    return ones(size) if size >= 0 else ones(1 // 0)


def as_text(size: int) -> str:
    return "x" * size


@pytest.fixture
def pool(cluster: Cluster) -> Iterator[oc.Pool]:
    with oc.Pool(cluster=cluster(2, 1)) as pool:
        pool.pids()
        # What is imported, and how many threads there are, is as it will be.
        assert pool.map(abs, range(-10, 0)) == list(range(10, 0, -1))
        assert len(pool.apply(ones, (PIECE + 1,))) == PIECE + 1
        yield pool
        assert [host.state for host in pool.hosts()] == ["ready", "ready"]
        assert pool.map(abs, range(-10, 0)) == list(range(10, 0, -1))
        assert pool.stats().lost == 0


def assert_says_so(error: oc.NotEnoughMemory, task: str) -> None:
    assert error.wanted >= TOO_MUCH
    assert error.available < error.wanted
    (note,) = error.__notes__
    assert "the driver has no room for the result of" in note
    assert f".{task}" in note


def test_a_call_among_others(pool: oc.Pool) -> None:
    with address_space(LEFT):
        sizes = [10, TOO_MUCH, 1 << 20, TOO_MUCH, 9 << 20]
        results = [pool.submit(ones, size) for size in sizes]
        for size, result in zip(sizes, results, strict=True):
            if size == TOO_MUCH:
                with pytest.raises(oc.NotEnoughMemory) as caught:
                    result.result()
                assert_says_so(caught.value, "ones")
            else:
                assert len(result.result()) == size


def test_an_item_of_an_iteration(pool: oc.Pool) -> None:
    with address_space(LEFT):
        found = pool.imap(ones, [10, TOO_MUCH, 20])
        assert len(next(found)) == 10
        with pytest.raises(oc.NotEnoughMemory) as caught:
            next(found)
        assert_says_so(caught.value, "ones")
        assert len(next(found)) == 20


def test_items_of_a_chunk(pool: oc.Pool) -> None:
    """The others come back, whatever their size."""
    sizes = [10, TOO_MUCH, 20 << 20, TOO_MUCH, 9 << 20, 5]
    with address_space(LEFT):
        found = pool.imap(ones, sizes, chunksize=6)
        for size in sizes:
            if size == TOO_MUCH:
                with pytest.raises(oc.NotEnoughMemory) as caught:
                    next(found)
                assert_says_so(caught.value, "ones")
            else:
                assert len(next(found)) == size
        found = pool.imap(ones_or_fail, [10, -1, TOO_MUCH, 20 << 20, 5], chunksize=5)
        assert len(next(found)) == 10
        for error in (ZeroDivisionError, oc.NotEnoughMemory):
            with pytest.raises(error):
                next(found)
        assert [len(each) for each in found] == [20 << 20, 5]


def test_large_values_of_a_chunk_are_whole(pool: oc.Pool) -> None:
    sizes = [17 << 20, 3, 40 << 20, 1 << 20, 16 << 20, 0]
    for found in (pool.map(numbered, sizes, chunksize=6), pool.map(numbered, sizes, chunksize=4)):
        for size, (said, array) in zip(sizes, found, strict=True):
            assert said == len(array) == size
            assert array.flags.writeable
            assert (array == size % 251).all()
    texts = pool.map(as_text, [17 << 20, 2], chunksize=2)
    assert [len(text) for text in texts] == [17 << 20, 2]


def test_a_block(pool: oc.Pool) -> None:
    data = oc.share(np.arange(4, dtype="u1"))
    with address_space(LEFT):
        with pytest.raises(oc.NotEnoughMemory) as caught:
            pool.map_blocks(repeated, data, block=1)
        assert_says_so(caught.value, "repeated")


def test_an_error_with_a_payload(pool: oc.Pool) -> None:
    with address_space(LEFT):
        with pytest.raises(oc.NotEnoughMemory) as caught:
            pool.apply(fail_heavily, (TOO_MUCH,))
        assert_says_so(caught.value, "fail_heavily")
    with pytest.raises(Heavy):
        pool.apply(fail_heavily, (10,))


def test_a_text(pool: oc.Pool) -> None:
    """The driver would need it twice: as bytes, and as a text."""
    with address_space(2 * LEFT), pytest.raises(oc.NotEnoughMemory):
        pool.apply(as_text, (250 << 20,))


def test_large_results_are_whole(pool: oc.Pool) -> None:
    sizes = [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5, 100]
    for size, array in pool.imap_unordered(numbered, sizes):
        assert array.flags.writeable
        assert len(array) == size
        assert (array == size % 251).all()


def test_a_host_is_killed_while_its_result_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done again by the other one; what has come of it is dropped."""
    read = Landing.read
    first = threading.Lock()  # both hosts send
    killed: list[int] = []
    with oc.Pool(cluster=oc.loopback(2, 1)) as pool:
        pool.pids()
        carrier: Any = pool._engine._carrier  # type: ignore[attr-defined]

        def kill(landing: Landing, bulk: Bulk) -> None:
            if first.acquire(blocking=False):
                bulk.fill(memoryview(landing._parts[0]))
                bulk.fill(memoryview(bytearray(PIECE)))
                (key,) = (key for key, each in carrier._bulks.items() if each is bulk)
                killed.append(carrier._agents[key][0].pid)
                os.kill(killed[0], signal.SIGKILL)
            read(landing, bulk)

        monkeypatch.setattr(Landing, "read", kill)
        sizes = [3 * PIECE + each for each in range(4)]
        found = pool.map(numbered, sizes, chunksize=1)
        assert len(killed) == 1
        for size, (said, array) in zip(sizes, found, strict=True):
            assert said == len(array) == size
            assert (array == size % 251).all()
        assert sorted(host.state for host in pool.hosts()) == ["gone", "ready"]


GROUP = """
import os, sys
import numpy as np, onecopy as oc

def ones(size):
    return np.ones(size, "u1")

if __name__ == "__main__":
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        pool.pids()
        assert len(pool.apply(ones, (10 << 20,))) == 10 << 20
        with open(sys.argv[1], "w") as procs:
            procs.write(str(os.getpid()))  # its hosts are outside
        kept = []
        try:
            while True:
                kept.append(pool.apply(ones, (30 << 20,)))
        except oc.NotEnoughMemory as error:
            assert error.available < 200 << 20, error
        assert len(kept) >= 2, len(kept)
        assert all(int(each.sum()) == 30 << 20 for each in kept)
        kept.clear()
        assert len(pool.apply(ones, (30 << 20,))) == 30 << 20
        assert [host.state for host in pool.hosts()] == ["ready", "ready"]
        with open(sys.argv[2], "w") as procs:
            procs.write(str(os.getpid()))
    print("done")
"""


def test_a_memory_group_of_the_driver(tmp_path: Path) -> None:
    """Each result is checked when all of the earlier ones are in memory: nothing is killed."""
    with memory_group(250 << 20) as group:
        inside, outside = group / "cgroup.procs", group.parent / "cgroup.procs"
        assert_clean(run(tmp_path, GROUP, str(inside), str(outside)), "done")


# Without processes.


def result(number: int, *sizes: int) -> tuple[Any, ...]:
    buffers = tuple(bytearray(os.urandom(size)) for size in sizes)
    return "ended", number, (1, 2), b"", 0, Parcel(RICH, b"stream", buffers=buffers)


@pytest.mark.parametrize("sizes", [[0], [PIECE], [PIECE, 1], [1, 3 * PIECE + 1, 0, PIECE], [1] * 9])
def test_no_message_is_much_larger_than_a_piece(sizes: list[int]) -> None:
    items = [("said", 1, []), result(1, *sizes), result(2, 5), result(3, *sizes), ("bye",)]
    landings: dict[Any, Landing] = {}
    found: list[Any] = []
    for message, parts in messages(items):
        assert not parts
        carried = 0
        for name, *values in message:
            if name == "lands":
                landings[values[0]] = Landing(values[1])
            elif name == "landed":
                landings[values[0]].fill(values[1])
                carried += sum(memoryview(data).nbytes for _, _, data in values[1])
            elif name == "ended":
                parcel = values[-1]
                if parcel.stream is None:
                    parcel = landings.pop((values[0], -1)).whole(parcel)
                else:
                    carried += parcel.moved
                found.append((name, *values[:-1], parcel))
            else:
                found.append((name, *values))
        assert carried <= PIECE
    assert not landings
    assert found == items
