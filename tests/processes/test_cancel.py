"""``pool.cancel``: of what waits, runs, is done, or is another pool's; nothing else is lost
and nothing is run twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

import onecopy as oc
from tests.arrays import Array
from tests.conftest import MakePool
from tests.pooled import FOR_EVER, double
from tests.scripts import until

pytestmark = pytest.mark.door

HOOK: list[Callable[[], object]] = []


def wait_for(begun: Array, gate: Array, value: int = 0) -> int:
    begun[0] = os.getpid()
    until(lambda: bool(gate[0]))
    begun[1] = 1
    return value


def count(counts: Array, i: int, hangs: bool) -> int:
    """The same function for short and endless tasks: the short pace is what is expected."""
    counts[i] += 1
    if hangs:
        time.sleep(FOR_EVER)
    return i


def exit_at_first(gate: Array, tries: Array) -> int:
    until(lambda: bool(gate[0]))
    tries[0] += 1
    if tries[0] == 1:
        os._exit(3)
    return int(tries[0])


class Told:
    """Calls ``HOOK`` where it is unpickled: in the owner, when a result is on its way."""

    def __reduce__(self) -> Any:
        return tell, ()


def tell() -> int:
    HOOK[0]()
    return 5


def told(gate: Array) -> Told:
    until(lambda: bool(gate[0]))
    return Told()


def test_one_that_waits(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 1)
    begun, gate, ran = oc.zeros(2, "i8"), oc.zeros(1, "i8"), oc.zeros(3, "i8")
    running = pool.submit(wait_for, begun, gate, 7)
    until(lambda: bool(begun[0]))
    waiting = [pool.submit(count, ran, i, False) for i in range(3)]
    assert pool.cancel(waiting[1])
    assert waiting[1].cancelled()
    assert pool.cancel(waiting[1]), "it is"
    gate[0] = 1
    assert running.result() == 7
    assert [waiting[0].result(), waiting[2].result()] == [0, 2]
    assert list(ran) == [1, 0, 1]


def test_one_that_runs(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    begun = oc.zeros(2, "i8")
    running = pool.submit(wait_for, begun, oc.zeros(1, "i8"))
    behind = pool.submit(double, 4)
    until(lambda: bool(begun[0]))
    assert pool.cancel(running)
    assert running.cancelled(), "at once"
    with pytest.raises(CancelledError):
        running.result()
    assert behind.result() == 8
    assert int(begun[0]) not in pool.pids(), "its worker was ended and replaced"
    assert len(pool.pids()) == 1


def test_one_that_runs_in_a_thread(make_pool: MakePool) -> None:
    pool = make_pool("thread", 1)
    begun, gate = oc.zeros(2, "i8"), oc.zeros(1, "i8")
    running = pool.submit(wait_for, begun, gate, 7)
    until(lambda: bool(begun[0]))
    assert pool.cancel(running)
    gate[0] = 1
    assert pool.apply(double, (1,)) == 2
    assert begun[1] == 1, "a thread goes on to the end"
    assert running.cancelled(), "and its result is thrown away"


def test_one_that_is_done(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine)
    done, failed = pool.submit(double, 1), pool.submit(double, None)  # type: ignore[arg-type]
    assert done.result() == 2
    assert failed.exception() is not None
    assert not pool.cancel(done)
    assert not pool.cancel(failed)
    assert done.result() == 2


def test_one_whose_result_is_on_its_way(make_pool: MakePool) -> None:
    pool = make_pool("fork", 1)
    gate = oc.zeros(1, "i8")
    future = pool.submit(told, gate)
    said: list[bool] = []
    HOOK.append(lambda: said.append(pool.cancel(future)))
    try:
        gate[0] = 1
        with pytest.raises(CancelledError):
            future.result()
    finally:
        HOOK.clear()
    assert pool.apply(double, (1,)) == 2
    assert said == [True]


def test_what_is_not_this_pool_s(make_pool: MakePool, engine: str) -> None:
    pool, other = make_pool(engine, 1), make_pool("thread", 1)
    mine = pool.submit(double, 1)
    theirs, done = other.submit(double, 1), other.submit(double, 2)
    assert done.result() == 4
    for foreign in (theirs, done, Future[int]()):
        with pytest.raises(ValueError, match="not one of this pool's"):
            pool.cancel(foreign)
    assert (mine.result(), theirs.result()) == (2, 2)


def test_through_a_view_and_after_the_end(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 1)
    begun, gate = oc.zeros(2, "i8"), oc.zeros(1, "i8")
    running = pool.options(name="a").submit(wait_for, begun, gate)
    waiting = pool.submit(double, 1)
    until(lambda: bool(begun[0]))
    assert pool.options(name="b").cancel(waiting)
    pool.close()
    assert pool.cancel(running)
    gate[0] = 1
    pool.join()
    assert pool.cancel(running), "it is"


@pytest.mark.parametrize("hangs", [False, True])
def test_with_retries_left(make_pool: MakePool, hangs: bool) -> None:
    """Before its first try, and between two: it is not run, and nothing waits for it."""
    pool = make_pool("fork", 1)
    begun, gate, tries = oc.zeros(2, "i8"), oc.zeros(1, "i8"), oc.zeros(1, "i8")
    view = pool.options(retries=1)
    again = view.submit(exit_at_first, gate, tries)
    running = pool.submit(wait_for, begun, oc.zeros(1, "i8"))
    waiting = view.submit(double, 1)
    if hangs:
        gate[0] = 1
        until(lambda: bool(begun[0]), "the first one has failed and waits behind")
    assert pool.cancel(again)
    assert pool.cancel(waiting)
    assert pool.cancel(running)
    pool.close()
    pool.join()
    assert tries[0] == hangs, "run once at most"


def test_of_a_worker_that_was_stopped(make_pool: MakePool) -> None:
    pool = make_pool("fork", 1)
    begun = oc.zeros(2, "i8")
    running = pool.submit(wait_for, begun, oc.zeros(1, "i8"))
    until(lambda: bool(begun[0]))
    os.kill(int(begun[0]), signal.SIGSTOP)
    assert pool.cancel(running)
    assert pool.apply(double, (1,)) == 2


def test_others_that_the_worker_was_sent_are_neither_lost_nor_run_twice(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    counts = oc.zeros(200, "i8")
    warm = [pool.submit(count, counts, i, False) for i in range(100)]
    assert [future.result() for future in warm] == list(range(100))
    futures = [pool.submit(count, counts, i, i == 110) for i in range(100, 200)]
    until(lambda: bool(counts[110]))
    assert pool.cancel(futures[10])
    assert [f.result() for f in futures if not f.cancelled()] == [
        *range(100, 110),
        *range(111, 200),
    ]
    assert (counts == 1).all()


@pytest.mark.parametrize("seed", range(4))
def test_at_random(make_pool: MakePool, seed: int) -> None:
    choose = random.Random(seed)
    pool = make_pool("fork")
    size = 600
    counts = oc.zeros(size, "i8")
    endless = set(choose.sample(range(size), 12))
    futures = [pool.submit(count, counts, i, i in endless) for i in range(size)]
    for i in choose.sample(sorted(set(range(size)) - endless), 60):
        pool.cancel(futures[i])
    for i in choose.sample(sorted(endless), 3):
        assert pool.cancel(futures[i]), "whether it has begun or not"
    left = {i for i in endless if not futures[i].cancelled()}
    while left:
        until(lambda: any(counts[i] for i in left))
        for i in [i for i in left if counts[i]]:
            assert pool.cancel(futures[i])
            left.discard(i)
    for i, future in enumerate(futures):
        if future.cancelled():
            assert counts[i] <= 1
        else:
            assert future.result() == i
            assert counts[i] == 1
    assert all(futures[i].cancelled() for i in endless)
    pool.close()
    pool.join()
    assert counts.max() == 1
