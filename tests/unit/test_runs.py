"""Calls on their way into the table without its lock, and runs of tiny ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from onecopy import errors
from onecopy._engine import submission as of_submission
from onecopy._engine.core import PoolState
from onecopy._engine.runs import Run
from onecopy._protocol import wire
from onecopy._schedule import events
from onecopy._system.interrupts import Uninterrupted
from tests.unit.test_core import FakeWorker, Pool, end_of


def warm(workers: int = 1) -> tuple[Pool, list[FakeWorker]]:
    """A pool whose workers are idle, and that knows that ``abs`` takes a microsecond."""
    pool = Pool(workers, runs=True)
    ready = [pool.start() for _ in range(workers)]
    first = pool.submission.submit(abs, (-1,), {})
    pool.finish(next(each for each in ready if each.sent))
    assert end_of(first) == "done"
    return pool, ready


def submit(pool: Pool, number: int, call: Callable[..., Any] = abs) -> list[Future[Any]]:
    return [pool.submission.submit(call, (-1,), {}) for _ in range(number)]


def sizes(worker: FakeWorker) -> list[int]:
    return [
        len(entry.work.calls) if isinstance(entry.work, Run) else 0
        for entry in (*worker.sent, *worker.posted)
    ]


def test_what_waits_behind_a_busy_worker_goes_together() -> None:
    pool, (worker,) = warm()
    futures = submit(pool, 10)
    assert sizes(worker) == [0], "the first has a worker; the others are not even in the table"
    assert len(pool.core.work) == 1
    pool.finish(worker)
    assert sizes(worker) == [9]
    pool.advance(worker, 4)
    assert [end_of(each) == "done" for each in futures] == [True] * 5 + [False] * 5
    pool.finish(worker)
    assert {end_of(each) for each in futures} == {"done"}
    assert not pool.core.work
    assert not pool.core.runs.out
    assert pool.core.tasks_ended == 11


def test_a_run_is_half_of_what_a_worker_may_have() -> None:
    """So it has another when the owner hears that it has ended."""
    pool, (worker,) = warm()
    futures = submit(pool, 2_000)
    pool.finish(worker)
    assert sizes(worker) == [250, 250]
    pool.finish(worker)
    assert sizes(worker) == [250, 250]
    while worker.sent:
        pool.finish(worker)
    assert {end_of(each) for each in futures} == {"done"}


def test_only_like_calls_are_in_a_run() -> None:
    """Of one function, with one set of variables, without rules."""
    pool, (worker,) = warm()
    submit(pool, 1, len)
    pool.finish(worker)
    first = submit(pool, 1)
    futures = [*submit(pool, 3), *submit(pool, 3, len), *submit(pool, 2)]
    futures[1].versions = ("others",)  # type: ignore[attr-defined]
    pool.finish(worker)
    assert sizes(worker) == [0, 0, 0, 3, 2], "the second has other variables"
    while worker.sent:
        pool.finish(worker)
    assert {end_of(each) for each in first + futures} == {"done"}


def test_a_long_call_ends_the_runs() -> None:
    pool, (worker,) = warm()
    futures = submit(pool, 8)
    pool.finish(worker)
    entry = worker.sent[0]
    found = pool.core.runs.advanced(worker.number, entry.assignment.id, 0, [10**8], last=False)
    assert found is not None
    (call,) = found[1]
    assert call is not None
    pool.outcomes.delivered_together(7, entry, [(call, wire.NOTHING, "done")])
    pool.finish(worker)
    futures += submit(pool, 5)
    pool.finish(worker)
    assert sizes(worker) == [0], "one by one"
    while worker.sent:
        pool.finish(worker)
    assert {end_of(each) for each in futures} == {"done"}


@pytest.mark.parametrize(
    ("start", "took", "last"), [(1, 1, False), (0, 10, False), (0, 8, True), (5, 0, False)]
)
def test_outcomes_that_cannot_be(start: int, took: int, last: bool) -> None:
    pool, (worker,) = warm()
    submit(pool, 10)
    pool.finish(worker)
    number = worker.sent[0].assignment.id
    advanced = pool.core.runs.advanced
    assert advanced(worker.number, number, start, [1000] * took, last=last) is None
    assert advanced(worker.number, number + 1, 0, [1000], last=False) is None
    assert advanced(worker.number + 1, number, 0, [1000], last=False) is None
    assert advanced(worker.number, number, 0, [1000] * 9, last=True) is not None


def test_outcomes_that_were_read_in_the_page_come_again() -> None:
    """They are sent later, with others, and are delivered once."""
    pool, (worker,) = warm()
    submit(pool, 10)
    pool.finish(worker)
    number = worker.sent[0].assignment.id
    advanced = pool.core.runs.advanced
    new = [len(advanced(worker.number, number, *of, last=False)[1])  # type: ignore[index]
           for of in ((0, [1] * 3), (0, [1] * 2), (0, [1] * 5), (5, [1]))]  # fmt: skip
    assert new == [3, 0, 2, 1]


def test_a_call_put_while_its_pool_closes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came between the check and the closing; no thread takes it in that would lose it."""
    pool, (worker,) = warm()
    held = submit(pool, 1)
    put = pool.core.inbox.put

    def closing(call: Any) -> bool:
        pool.lifetime.close()
        must = put(call)
        pool.finish(worker)  # the engine's thread looks into the inbox
        return must

    monkeypatch.setattr(pool.core.inbox, "put", closing)
    with pytest.raises(errors.PoolClosed, match="closed"):
        submit(pool, 1)
    assert not pool.core.inbox
    assert not pool.core.busy
    assert {end_of(each) for each in held} == {"done"}
    assert worker.retired


def test_a_call_put_while_its_worker_becomes_idle_is_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By one of the two threads, whichever comes second."""
    pool, (worker,) = warm()
    held = submit(pool, 1)
    finished = pool.core._scheduler.finished

    def putting(*args: Any) -> Any:
        found = finished(*args)
        pool.core.inbox.calls.append(late)  # type: ignore[arg-type]
        return found

    (late,) = submit(pool, 1)
    pool.core.inbox.calls.clear()
    monkeypatch.setattr(pool.core._scheduler, "finished", putting)
    pool.finish(worker)
    monkeypatch.undo()
    assert sizes(worker) == [0]
    pool.finish(worker)
    assert end_of(late) == "done"
    assert {end_of(each) for each in held} == {"done"}


def test_calls_that_were_put_are_ended_with_their_pool() -> None:
    pool, _ = warm()
    futures = submit(pool, 5)
    assert len(list(pool.core.inbox)) == 4
    pool.lifetime.terminate()
    assert pool.core.state is PoolState.TERMINATED
    assert {end_of(each) for each in futures} <= {"cancelled", errors.PoolClosed}
    assert not pool.core.inbox


def test_calls_that_were_put_are_cancelled_with_those_that_wait() -> None:
    pool, (worker,) = warm()
    futures = submit(pool, 5)
    pool.submission.cancel_waiting()
    pool.finish(worker)
    assert [end_of(each) for each in futures] == ["done"] + ["cancelled"] * 4
    assert not pool.core.busy


def test_no_section_without_interrupts_while_workers_are_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To enter one takes as long as the rest of a submit. A submit that took long is noted in one."""
    pool, (worker,) = warm()
    first = submit(pool, 1)
    entered = []

    def counted() -> Uninterrupted:
        entered.append(1)
        return Uninterrupted()

    monkeypatch.setattr(of_submission, "Uninterrupted", counted)
    futures = submit(pool, 200)
    monkeypatch.undo()
    assert len(entered) < 50
    while worker.sent:
        pool.finish(worker)
    assert {end_of(each) for each in first + futures} == {"done"}


def test_many_threads_put() -> None:
    pool, (worker,) = warm()
    futures: list[Future[Any]] = []
    threads = [threading.Thread(target=lambda: futures.extend(submit(pool, 300))) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or worker.sent or pool.core.inbox:
        if worker.sent:
            pool.finish(worker)
        else:
            pool.core.handle(events.Overdue()).carry_out()
    assert len(futures) == 1_200
    assert {end_of(each) for each in futures} == {"done"}
    assert not pool.core.busy


def test_tiny_calls_do_not_wait_for_a_worker_that_has_something_else() -> None:
    """It may have it for hours."""
    pool, (one, other) = warm(2)
    long = pool.submission.submit(len, ((),), {})
    (busy,) = (each for each in (one, other) if each.sent)
    idle = other if busy is one else one
    first = submit(pool, 1)
    assert sizes(idle) == [0], "at once"
    few = submit(pool, 3)
    assert len(idle.sent) == 1, "these wait for the quick one"
    pool.finish(idle)
    assert sizes(idle) == [3]
    pool.finish(idle)
    assert {end_of(each) for each in first + few} == {"done"}
    pool.finish(busy)
    assert end_of(long) == "done"


def test_tiny_calls_do_not_wait_for_a_quick_worker_that_is_slow_after_all() -> None:
    """Calls that have waited for too long show that; later ones go to an idle worker."""
    pool, workers = warm(3)
    first = submit(pool, 1)
    (slow,) = (each for each in workers if each.sent)
    waits = submit(pool, 2)
    assert sum(len(each.sent) for each in workers) == 1
    pool.core.handle(events.Overdue()).carry_out()
    (quick,) = (each for each in workers if each.sent and each is not slow)
    assert sizes(quick) == [2]
    pool.finish(quick)
    more = submit(pool, 1)
    assert sum(len(each.sent) for each in workers) == 2, "at once"
    for each in workers:
        while each.sent:
            pool.finish(each)
    assert {end_of(each) for each in first + waits + more} == {"done"}
