"""Chunks and slow items: what a chunk holds, and what becomes of the rest of a long one."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests.conftest import MakePool
from tests.processes.conftest import MakeExecutor

pytestmark = pytest.mark.door

ITEMS = 400


def step(done: Any, awaited: int, which: int, i: int) -> int:
    """Quick, but for item `which`, which waits until `awaited` others are done."""
    if i == which:
        while int((done > 0).sum()) < awaited:
            time.sleep(0.001)
    done[i] += 1
    return i


def sizes(pool: oc.Pool) -> list[int]:
    """The number of items of each chunk."""
    spans = pool.spans()
    return [int(stop - start) for start, stop in zip(spans["start"], spans["stop"], strict=True)]


@pytest.mark.parametrize("call", ["map", "imap", "imap_unordered"])
@pytest.mark.parametrize("which", [0, 3, 100, ITEMS - 2])
def test_an_item_may_wait_for_all_others(
    make_pool: MakePool, process_method: str, call: str, which: int
) -> None:
    """Those behind it in its chunk are run by another worker, and each once."""
    pool = make_pool(process_method, 2)
    done = oc.zeros(ITEMS, "i8")
    quick = partial(step, done, 0, -1)
    for _ in range(3):
        pool.map(quick, range(ITEMS))
    done[:] = 0
    waits = partial(step, done, ITEMS - 1, which)
    if call == "map":
        assert pool.map(waits, range(ITEMS)) == list(range(ITEMS))
    else:
        # All are on their way: a stream takes no more items than it has room for.
        results = getattr(pool, call)(waits, range(100))
        done[100:] = 1
        assert sorted(results) == list(range(100))
        done[100:] = 0
    assert (done[:100] == 1).all()


def test_the_rest_of_a_long_chunk_is_given_to_others(make_pool: MakePool) -> None:
    pool = make_pool("fork", 4)
    done = oc.zeros(ITEMS, "i8")
    pool.map(partial(step, done, 0, -1), range(ITEMS))
    done[:] = 0
    waits = partial(step, done, ITEMS - 1, 5)
    assert pool.map(waits, range(ITEMS)) == list(range(ITEMS))
    assert (done == 1).all()
    assert sum(sizes(pool)) == 2 * ITEMS


@pytest.mark.parametrize("chunk", [1, 7])
def test_a_chunksize_that_was_given_is_kept(make_pool: MakePool, chunk: int) -> None:
    pool = make_pool("fork", 2)
    for call in (pool.map, pool.imap, pool.imap_unordered):
        before = len(sizes(pool))
        list(call(abs, range(70), chunk))
        assert sizes(pool)[before:] == [chunk] * (70 // chunk)


def test_an_executor_keeps_a_chunksize_of_one(make_executor: MakeExecutor) -> None:
    executor = make_executor("fork", 2)
    assert list(executor.map(abs, range(300))) == list(range(300))
    ended = executor._engine.core.tasks_ended  # type: ignore[union-attr]
    assert ended < 300, "several at once"
    assert list(executor.map(abs, range(300), chunksize=1)) == list(range(300))
    assert executor._engine.core.tasks_ended == ended + 300  # type: ignore[union-attr]


def test_no_chunk_is_more_than_a_fair_share(make_pool: MakePool) -> None:
    pool = make_pool("fork", 4)
    for _ in range(3):
        before = len(sizes(pool))
        pool.map(abs, range(100))
        assert max(sizes(pool)[before:]) <= 25
    assert Counter(sizes(pool)).total() < 300


def test_items_that_fail_around_a_cut(make_pool: MakePool) -> None:
    pool = make_pool("fork", 2)
    done = oc.zeros(ITEMS, "i8")
    pool.map(partial(step, done, 0, -1), range(ITEMS))
    done[:] = 0
    results = pool.imap(partial(fail_or_step, done), range(60))
    got: list[Any] = []
    for _ in range(60):
        try:
            got.append(next(results))
        except ZeroDivisionError:
            got.append(None)
    assert got == [None if i % 3 == 0 else i for i in range(60)]
    assert np.asarray(done[:60]).tolist() == [1] * 60


def fail_or_step(done: Any, i: int) -> int:
    if i == 7:
        while int((done[:60] > 0).sum()) < 59:
            time.sleep(0.001)
    done[i] += 1
    if i % 3 == 0:
        raise ZeroDivisionError
    return i
