"""Options of calls of many items: `errors=`, several iterables, `timeout=`, named reductions, and
options of views that add up."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests import scripts

pytestmark = [pytest.mark.door, pytest.mark.beside]

MakePool = Callable[..., oc.Pool]


def inverse(number: int) -> float:
    return 1 / number


def add(*numbers: int) -> int:
    return sum(numbers)


def dies(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def failures(results: list[Any]) -> list[tuple[int, Any, type]]:
    return [
        (each.index, each.item, type(each.exception))
        for each in results
        if isinstance(each, oc.Failed)
    ]


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_a_series_gives_its_values_by_place(
    make_pool: MakePool, engine: str, chunk: int | None
) -> None:
    pandas = pytest.importorskip("pandas")
    pool = make_pool(engine, 2)
    items = pandas.Series([1, 2, 0] * 10, index=[number / 2 for number in range(30, 0, -1)])
    results = pool.map(inverse, items, chunksize=chunk, errors="return")
    assert failures(results) == [(at, 0, ZeroDivisionError) for at in range(2, 30, 3)]
    assert results[:2] == [1.0, 0.5]


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_errors_of_every_call(make_pool: MakePool, engine: str, chunk: int | None) -> None:
    pool = make_pool(engine, 2)
    items = [0, 1, 2, 0, 4] * 20
    bad = [(at, 0, ZeroDivisionError) for at, item in enumerate(items) if item == 0]
    good = [1 / item for item in items if item]

    async def streamed(**given: Any) -> list[Any]:
        return [each async for each in pool.stream(inverse, iter(items), **given)]

    calls: dict[str, Callable[..., list[Any]]] = {
        "map": lambda **given: pool.map(inverse, items, **given),
        "starmap": lambda **given: pool.starmap(inverse, zip(items), **given),
        "map_async": lambda **given: pool.map_async(inverse, items, **given).get(),
        "imap": lambda **given: list(pool.imap(inverse, iter(items), **given)),
        "stream": lambda **given: asyncio.run(streamed(**given)),
    }
    for name, call in calls.items():
        returned = call(errors="return", chunksize=chunk)
        found = failures(returned)
        if name == "starmap":
            found = [(at, item[0], kind) for at, item, kind in found]
        assert found == bad, name
        assert [each for each in returned if not isinstance(each, oc.Failed)] == good, name
        assert call(errors="skip", chunksize=chunk) == good, name
        with pytest.raises(ZeroDivisionError):
            call(errors="raise", chunksize=chunk)
        with pytest.raises(ValueError, match="errors is one of raise, return, skip"):
            call(errors="keep")
    unordered = list(pool.imap_unordered(inverse, items, chunk, errors="skip"))
    assert sorted(unordered) == sorted(good)
    marked = list(pool.imap_unordered(inverse, items, chunk, errors="return"))
    assert sorted(failures(marked)) == bad


def test_what_failed_says_why(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 1)
    (failed,) = pool.map(inverse, [0], errors="return")
    assert isinstance(failed, oc.Failed)
    assert "in inverse" in failed.traceback
    assert "ZeroDivisionError: division by zero" in failed.traceback.splitlines()
    assert (
        repr(failed) == "Failed(index=0, item=0, exception=ZeroDivisionError('division by zero'))"
    )
    (block,) = pool.map_blocks(lambda block: 1 / 0, np.zeros(9), errors="return")
    assert isinstance(block, oc.Failed)
    assert np.asarray(block.item).shape == (9,)
    assert "array([" not in repr(block)


def test_more_is_skipped_than_is_ever_on_the_way(make_pool: MakePool, engine: str) -> None:
    """An iterator goes on taking items, also when there is nothing of them to hand out."""
    pool = make_pool(engine, 2)
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in [0] * 2000 + [1] + [0] * 500:
            taken += 1
            yield number

    stream = pool.imap(inverse, numbers(), errors="skip")
    assert next(stream) == 1
    assert taken < 2501, "and not all at once"
    assert list(stream) == []
    assert list(pool.imap_unordered(inverse, numbers(), errors="skip")) == [1]
    with pytest.raises(StopIteration):
        next(pool.imap(inverse, [], errors="skip"))

    async def streamed() -> list[Any]:
        return [each async for each in pool.stream(inverse, numbers(), errors="skip")]

    assert asyncio.run(streamed()) == [1]


@pytest.mark.parametrize("errors", ["return", "skip"])
def test_an_item_that_kills_its_worker(
    make_pool: MakePool, process_method: str, errors: Any
) -> None:
    pool = make_pool(process_method, 2)
    results = pool.map(dies, range(20), 1, errors=errors)
    assert [each for each in results if not isinstance(each, oc.Failed)] == [0, 1, 2, *range(4, 20)]
    assert failures(results) == ([(3, 3, oc.WorkerDied)] if errors == "return" else [])


def test_several_iterables(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 2)
    assert pool.map(add, [1, 2], [3, 4]) == [4, 6]
    assert pool.map(add, range(9), iter([1, 2, 3]), np.arange(5), chunksize=2) == [1, 4, 7]
    assert list(pool.imap(add, iter([1, 2]), [3, 4])) == [4, 6]
    assert sorted(pool.imap_unordered(add, [1, 2], [3, 4], [5, 6])) == [9, 12]
    assert pool.map(abs, [-1, -2], 1) == [1, 2]
    assert pool.map(abs, [-1, -2], None) == [1, 2]
    (failed,) = pool.map(pow, [0], [-1], errors="return")
    assert isinstance(failed, oc.Failed)
    assert failed.item == (0, -1)
    bad: Any = pool.map
    for wrong in ([2, 3], [[2], 3]):
        with pytest.raises(TypeError, match="chunksize by name"):
            bad(abs, [1], *wrong)
    with pytest.raises(TypeError, match="chunksize twice"):
        bad(abs, [1], 2, chunksize=3)
    with pytest.raises(TypeError, match="workers="):
        bad(abs, [1], max_workers=2)


def test_a_call_that_takes_too_long(make_pool: MakePool, process_method: str) -> None:
    """It ends what workers are at for it: they are free for the next call."""
    pool = make_pool(process_method, 2)
    pool.map(abs, range(10))
    calls: list[Callable[[], Any]] = [
        lambda: pool.map(time.sleep, [600] * 4, timeout=0.2),
        lambda: pool.starmap(time.sleep, [(600,)] * 4, timeout=0.2),
        lambda: pool.map_blocks(lambda block: time.sleep(600), range(4), block=1, timeout=0.2),
    ]
    for call in calls:
        with pytest.raises(
            oc.TaskTimeout, match=r"timeout of 0.2 s; 0 of 4 items were done"
        ) as told:
            call()
        assert isinstance(told.value, TimeoutError)
        assert pool.map(abs, range(4)) == [0, 1, 2, 3]
    assert pool.map(abs, range(4), timeout=600) == [0, 1, 2, 3]
    wrong: Any
    for wrong in (0, -1, "3"):
        with pytest.raises(ValueError, match="timeout is a number of seconds"):
            pool.map(abs, [1], timeout=wrong)


def test_named_reductions(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 2)
    data = oc.share(np.arange(1003.0))
    wide = np.arange(2006.0).reshape(1003, 2)
    for block in (None, 100, 1003):
        assert pool.map_blocks(np.mean, data, block=block, reduce="mean") == pytest.approx(501)
        means = pool.map_blocks(lambda b: b.mean(axis=0), wide, block=block, reduce="mean")
        assert np.allclose(means, wide.mean(axis=0))
        assert pool.map_blocks(lambda b: b[b > 500], data, block=block, reduce="count") == 502
        assert (
            pool.map_blocks(np.sum, data, block=block, reduce="count")
            == -(-1003 // (block or 1003))
            or not block
        )

    def found(part: Any) -> float | None:
        return float(part[0]) if part[0] in (300, 500) else None

    assert pool.map_blocks(found, data, block=100, reduce="first") == 300
    assert pool.map_blocks(found, data, block=100, reduce="last") == 500
    assert pool.map_blocks(found, data[:100], block=10, reduce="first") is None
    assert pool.map_blocks(lambda b: b, data[:0], reduce="count") == 0


def test_blocks_that_fail_are_left_out(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 2)
    data = np.arange(1003.0)

    def mean(part: Any) -> float:
        if part[0] == 200:
            raise ValueError("no good")
        return float(part.mean())

    results = pool.map_blocks(mean, data, block=100, errors="return")
    assert [each[0] for each in failures(results)] == [2]
    assert len(pool.map_blocks(mean, data, block=100, errors="skip")) == 10
    left = np.delete(data, slice(200, 300))
    mean_of_all = pool.map_blocks(mean, data, block=100, errors="skip", reduce="mean")
    assert mean_of_all == pytest.approx(left.mean())
    with pytest.raises(ValueError, match="errors='skip'"):
        pool.map_blocks(mean, data, errors="return", reduce="sum")  # type: ignore[call-overload]  # refused


def test_options_of_a_view_add_up(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    view = pool.options(timeout=600).options(retries=2, retry_on=OSError).options(name="mine")
    assert "timeout=600, retries=2" in repr(view)
    assert "name='mine'" in repr(view)
    assert "timeout" not in repr(view.options(timeout=None)), "what is not limited is not told"
    assert "retr" not in repr(view.options(retries=0))
    assert "memory_limit=2000000000" in repr(view.options(memory_limit="2GB"))
    assert view.map(abs, [-1]) == [1]
    with pytest.raises(ValueError, match="is a size"):
        pool.options(memory_limit="2 bags")


ENDS = """
import sys
import onecopy as oc

def set_up(value):
    global name
    name = value

def leave():
    print("left", name, flush=True)

if __name__ == "__main__":
    kind, method = sys.argv[1:]
    if kind == "pool":
        pool = oc.Pool(2, set_up, ("mine",), method=method, worker_exit=leave)
        pool.map(abs, range(10), 1)
        pool.close()
        pool.join()
    elif kind == "replaced":
        with oc.Pool(1, method=method, worker_exit=lambda: print("left mine"), maxtasksperchild=1) as pool:
            print(pool.map(abs, [-1, -2], 1))
            pool.close()
            pool.join()
    else:
        with oc.ProcessPoolExecutor(2, method, set_up, ("mine",), worker_exit=leave) as executor:
            list(executor.map(abs, range(10)))
"""


@pytest.mark.parametrize("kind", ["pool", "replaced", "executor"])
def test_what_workers_do_at_their_end(tmp_path: Path, process_method: str, kind: str) -> None:
    done = scripts.run(tmp_path, ENDS, kind, process_method)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("left mine\n") == (3 if kind == "replaced" else 2)


def test_an_end_that_makes_no_sense() -> None:
    wrong: Any = "no function"
    with pytest.raises(TypeError, match="worker_exit must be callable"):
        oc.Pool(1, worker_exit=wrong)
    with pytest.raises(TypeError, match="worker_exit must be a callable"):
        oc.ProcessPoolExecutor(1, worker_exit=wrong)
    with pytest.raises(ValueError, match="worker threads end with the program"):
        oc.Pool(1, method="thread", worker_exit=print)


LEAVES = """
import sys, time
import onecopy as oc

def wait(number):
    time.sleep(600)

if __name__ == "__main__":
    kind, method = sys.argv[1:]
    pool = oc.Pool(2, method=method)
    pool.map(abs, range(10))
    kept = None
    if kind == "pending":
        kept = [pool.submit(wait, number) for number in range(6)], pool.map_async(wait, range(10))
    elif kind == "terminated":
        kept = pool.submit(wait, 1)
        pool.terminate()
    elif kind == "cancelled":
        kept = pool.submit(wait, 1)
        pool.cancel(kept)
    elif kind == "iterator":
        kept = pool.imap(abs, range(1000))
        next(kept)
    elif kind == "executor":
        kept = oc.ProcessPoolExecutor(1, method).submit(abs, 1)
"""


@pytest.mark.parametrize(
    "kind", ["pending", "done", "terminated", "cancelled", "iterator", "executor"]
)
def test_what_a_program_leaves_behind(tmp_path: Path, process_method: str, kind: str) -> None:
    done = scripts.run(tmp_path, LEAVES, kind, process_method)
    assert done.returncode == 0
    if kind == "pending":
        assert done.stderr.startswith("onecopy: 16 tasks of a pool had not ended")
        assert done.stderr.count("\n") == 1
    else:
        assert done.stderr == ""
