"""Work that was sent ahead of time: it does not wait for ever behind something long."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests.conftest import MakePool
from tests.faults import channels_of

pytestmark = pytest.mark.door

TASKS = 200


def step(i: int, done: Any, waits: int | None) -> int:
    """Quick, but for task 10, which waits for one that was submitted after it."""
    if waits is not None and i == 10:
        while not done[waits]:
            pass
    done[i] += 1
    return i


def step_with_bytes(i: int, done: Any, waits: int | None, data: Any) -> float:
    step(i, done, waits)
    return float(data[0])


def step_one(item: tuple[int, Any]) -> int:
    i, done = item
    return step(i, done, 11)


def warm_up(pool: oc.Pool, done: Any) -> None:
    """Afterwards the tasks are known to be quick, and are sent in batches."""
    for _ in range(3):
        for future in [pool.submit(step, i, done, None) for i in range(TASKS)]:
            future.result()
    done[:] = 0


def test_a_task_may_wait_for_a_later_one(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method)
    done = oc.zeros(TASKS, "i8")
    warm_up(pool, done)
    for later in (11, 12, TASKS - 1):
        done[:] = 0
        futures = [pool.submit(step, i, done, later) for i in range(TASKS)]
        assert [future.result() for future in futures] == list(range(TASKS))
        assert (done == 1).all(), "each was run once"


def meet(role: str, path: str) -> str:
    """Quick, but for the one that waits for the other's file."""
    if role == "leave":
        Path(path).touch()
    while role == "wait" and not os.path.exists(path):
        pass
    return role


def test_a_task_may_wait_for_the_last_one(make_pool: MakePool, method: str, tmp_path: Path) -> None:
    """The last one was to wait for the busy worker, and nothing else happens that would send it."""
    pool = make_pool(method)
    for at in range(10):
        for future in [pool.submit(meet, "", "") for _ in range(TASKS)]:
            future.result()
        path = str(tmp_path / str(at))
        both = [pool.submit(meet, role, path) for role in ("wait", "leave")]
        assert [future.result() for future in both] == ["wait", "leave"]


def test_an_item_may_wait_for_a_later_one(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method)
    done = oc.zeros(40, "i8")
    items = [(i, done) for i in range(40)]
    assert pool.map(step_one, items, chunksize=1) == list(range(40))
    assert (done == 1).all()


def test_what_is_taken_back_gives_its_blocks_back(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    done = oc.zeros(TASKS, "i8")
    data = np.ones(20_000)
    warm_up(pool, done)
    for _ in range(3):
        for future in [pool.submit(step_with_bytes, i, done, None, data) for i in range(60)]:
            future.result()
    done[:] = 0
    futures = [pool.submit(step_with_bytes, i, done, 11, data) for i in range(60)]
    assert [future.result() for future in futures] == [1.0] * 60
    assert (done[:60] == 1).all()
    # A round trip to each worker brings what it had not given back yet.
    for _ in range(10):
        pool.map(abs, range(4), chunksize=1)
    lent = [channel.link._lent for channel in channels_of(pool)]
    assert not any(lent)


def test_callers_that_read_for_themselves_notice_too(
    make_pool: MakePool, process_method: str
) -> None:
    """The driver sleeps while ``apply`` makes a worker idle: a thread has to wake it."""
    pool = make_pool(process_method)
    done = oc.zeros(TASKS, "i8")
    warm_up(pool, done)
    futures = [pool.submit(step, i, done, 11) for i in range(TASKS)]
    assert pool.apply(abs, (-1,)) == 1
    assert [future.result() for future in futures] == list(range(TASKS))
