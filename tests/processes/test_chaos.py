"""Chaos in short, and what it has found so far, each by itself.

The full size is `make chaos`; what is checked, and how, is in `tests/chaos`.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import psutil
import pytest

import onecopy as oc
from onecopy._engine.processes import ProcessEngine
from onecopy.pool import Method
from tests.chaos.model import gaps
from tests.chaos.run import Plan, run
from tests.chaos.tasks import Array
from tests.conftest import MakePool
from tests.scripts import until

FRESH = random.SystemRandom().randrange(1 << 31)


@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_nothing_is_lost_hangs_or_leaks(process_method: Method, seed: int) -> None:
    plan = Plan(process_method, seed, seconds=3, tasks=2000, faults=12, workers=3)
    print(plan)
    report = run(plan)
    assert not report.failed, str(report)
    assert report.tasks > 0
    assert report.faults.total() > 0


# What the model itself has to see.


def test_gaps_are_counted() -> None:
    runs = oc.zeros(8, "u1")
    assert gaps(runs) == 1
    runs[[0, 3, 4]] = 1
    assert gaps(runs) == 2


# What was found.


def hold(state: Array) -> int:
    """Says where it runs, and runs until it is told to end."""
    state[0] = os.getpid()
    while not state[1]:
        threading.Event().wait(0.001)  # a word in shared memory gives no sign
    return 7


def until_idle(pool: oc.Pool) -> None:
    until(lambda: len(pool._engine.core._scheduler.idle) == pool.workers, "idle")


def test_a_cancelled_task_that_could_be_retried_does_not_keep_a_closed_pool(
    make_pool: MakePool, method: str
) -> None:
    pool = make_pool(method, 1)
    state = oc.zeros(2, "i8")
    view = pool.options(retries=1)
    running, waiting = view.submit(hold, state), view.submit(abs, -1)
    assert pool.cancel(waiting)
    state[1] = 1
    assert running.result() == 7
    pool.close()
    pool.join()


@pytest.mark.parametrize("join_first", [True, False])
def test_what_imap_has_not_taken_yet_is_run_by_a_closed_pool(
    make_pool: MakePool, method: str, join_first: bool
) -> None:
    pool = make_pool(method, 1)
    results = pool.imap(abs, iter(range(1000)))
    assert next(results) == 0
    until_idle(pool)
    pool.close()
    if join_first:
        pool.join()
    assert list(results) == list(range(1, 1000))
    pool.join()


def test_a_worker_that_dies_while_a_closed_pool_waits_for_more_of_an_imap(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    results = pool.imap(abs, iter(range(1000)))
    assert next(results) == 0
    until_idle(pool)
    pool.close()
    psutil.Process(pool.pids()[0]).kill()
    assert list(results) == list(range(1, 1000))
    pool.join()


def test_an_imap_that_nobody_holds_does_not_keep_a_closed_pool(
    make_pool: MakePool, method: str
) -> None:
    pool = make_pool(method, 1)
    results = pool.imap(abs, iter(range(1000)))
    assert next(results) == 0
    pool.close()
    del results
    pool.join()


def test_a_stream_goes_on_when_its_pool_is_closed(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 1)

    async def items() -> AsyncIterator[int]:
        yield 0
        yield 1
        while not pool._engine.core._scheduler.idle:
            await asyncio.sleep(0.001)  # the scheduler gives no sign
        pool.close()
        yield 2

    async def results() -> list[int]:
        return [result async for result in pool.stream(abs, items())]

    assert asyncio.run(results()) == [0, 1, 2]
    pool.join()


def test_a_limit_ends_with_the_worker_that_was_sent_the_task(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    worker = psutil.Process(pool.apply(os.getpid))
    worker.suspend()  # it is sent the task, and does not begin with it
    future = pool.options(memory_limit=1 << 40).submit(abs, -1)
    worker.kill()
    assert future.result() == 1
    engine = pool._engine
    assert isinstance(engine, ProcessEngine)
    assert not engine._parts.preemption._limits._limits


def test_terminate_after_a_running_task_was_cancelled(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 1)
    state = oc.zeros(2, "i8")
    first = pool.submit(hold, state)
    until(lambda: bool(state[0]), "begun")
    # A worker that takes the place of the ended one may begin with one of them, and ends with none.
    others = [pool.submit(hold, state) for _ in range(3)]
    assert others[0].cancel()
    if method != "thread":
        psutil.Process(int(state[0])).suspend()  # its end comes when the pool has ended
    assert pool.cancel(first)
    pool.terminate()
    assert first.cancelled()
    assert others[0].cancelled()
    for future in others[1:]:
        with pytest.raises((CancelledError, oc.PoolClosed)):
            future.result()
    state[1] = 1
    pool.join()


def test_two_arrays_are_frozen_at_once(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    arrays = [oc.zeros(100, "i8") for _ in range(20)]
    pool.map(len, arrays)
    with ThreadPoolExecutor(len(arrays)) as threads:
        list(threads.map(oc.freeze, arrays))
    assert pool.map(len, arrays) == [100] * 20
