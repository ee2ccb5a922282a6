"""The objects of a pending call that the garbage collector traverses; the release of an ended one's."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import nullcontext
from typing import Any

import pytest

from onecopy import errors
from onecopy._codec.pickling import Namespace
from onecopy._engine.core import Core, PoolState
from onecopy._engine.history import History
from onecopy._engine.known_functions import KnownFunctions
from onecopy._engine.outcomes import Outcomes
from onecopy._engine.submission import Submission
from onecopy._engine.work import NOWHERE, FutureCall
from onecopy._schedule.scheduler import Scheduler

MANY = 1000


class Pool:
    """A table whose workers never come, so that all that is submitted waits."""

    def __init__(self, namespace: Namespace | None) -> None:
        self.core = Core(
            Scheduler(1), on_lost=lambda *_: None, start_worker=lambda: None, wake=lambda: None
        )
        history = History(100, nullcontext)
        known = KnownFunctions(namespace, None, lambda _: None)
        self.submission = Submission(self.core, history, known, namespace, lambda: None, None)
        self.outcomes = Outcomes(self.core, history, None)


def tracked() -> Counter[str]:
    """Count the objects of each type that the collector has to traverse."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())


@pytest.mark.parametrize(
    ("functions", "types"), [((abs,), ["FutureCall"]), ((abs, float), ["FutureCall", "Tasks"])]
)
def test_objects_that_the_collector_traverses(
    functions: tuple[Callable[[int], Any], ...], types: list[str]
) -> None:
    """The future alone; the scheduler adds a record for each run of calls of one function."""
    pool = Pool(Namespace())
    submit = pool.submission.submit
    futures: list[Future[Any] | None] = [None] * MANY
    before = tracked()
    for at in range(MANY):
        futures[at] = submit(functions[at % len(functions)], (at,), {})
    assert many(tracked() - before) == {"FutureCall": MANY}, "on its way into the table"
    pool.core.handle()
    assert many(tracked() - before) == dict.fromkeys(types, MANY)
    for call in futures:
        assert isinstance(call, FutureCall)
        assert call.begin()
        call.deliver(NOWHERE, "done")
    assert many(tracked() - before) == dict.fromkeys(types, MANY), "no dictionary for the results"


def many(types: Counter[str]) -> dict[str, int]:
    """Return those of which there are many: not what is made once, nor what other tests have left."""
    return {name: count for name, count in types.items() if count > MANY / 2}


class Argument:
    """Something of the caller's, whose end can be watched."""

    def __call__(self) -> None:
        raise AssertionError("never called")


def ended(pool: Pool, call: FutureCall) -> None:
    assert call.begin()
    call.deliver(NOWHERE, "done")


def failed(pool: Pool, call: FutureCall) -> None:
    assert call.begin()
    call.fail(NOWHERE, ZeroDivisionError())


def cancelled(pool: Pool, call: FutureCall) -> None:
    assert call.cancel()
    assert not call.begin(), "its turn has come"


def cancelled_with_all(pool: Pool, call: FutureCall) -> None:
    pool.submission.cancel_waiting()


def cancelled_while_it_ran(pool: Pool, call: FutureCall) -> None:
    assert call.begin()
    assert call.cancel_running()
    call.deliver(NOWHERE, "too late")


def abandoned(pool: Pool, call: FutureCall) -> None:
    for work in pool.core.abandon(PoolState.TERMINATED, errors.PoolClosed("it is over")):
        work.abandon(errors.PoolClosed("it is over"))


def forked(pool: Pool, call: FutureCall) -> None:
    pool.core.after_fork()


ENDS = [ended, failed, cancelled, cancelled_with_all, cancelled_while_it_ran, abandoned, forked]


@pytest.mark.parametrize("end", ENDS)
def test_an_ended_call_releases_what_it_was_made_of(end: Callable[[Pool, Any], None]) -> None:
    """Its future may be kept for long: neither arguments nor the function need be."""
    pool, function, argument = Pool(None), Argument(), Argument()
    gone = weakref.ref(function), weakref.ref(argument)
    future = pool.submission.submit(function, (argument,), {})
    del function, argument
    assert all(each() is not None for each in gone)
    end(pool, future)
    pool.core.work.clear()
    assert [each() for each in gone] == [None, None]
    assert future.done()


def test_a_call_that_was_cancelled_is_not_begun_again() -> None:
    """Its worker has died, say, after it was cancelled."""
    pool = Pool(None)
    first, second = (pool.submission.submit(abs, (1,), {}) for _ in range(2))
    assert isinstance(first, FutureCall)
    assert isinstance(second, FutureCall)
    for call in (first, second):
        assert call.waiting()
        assert call.begin()
        assert not call.waiting()
    assert first.begin(), "again"
    assert second.cancel_running()
    assert not second.wanted()
    assert not second.begin()
    with pytest.raises(CancelledError):
        second.result()
