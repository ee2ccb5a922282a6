"""The pool's table without a process: events in any order, played by workers that are not there.

Every call and every item comes to exactly one end, whatever workers do and whichever thread cancels,
drops or closes; and what the table says between two events is true.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from onecopy import errors
from onecopy._codec.pickling import Namespace
from onecopy._engine.core import Core, PoolState
from onecopy._engine.effects import ReadyWorker
from onecopy._engine.history import History
from onecopy._engine.jobs import MapJob
from onecopy._engine.known_functions import KnownFunctions
from onecopy._engine.lifetime import Lifetime
from onecopy._engine.outcomes import Outcomes
from onecopy._engine.rules import Rules
from onecopy._engine.runs import Run, part
from onecopy._engine.submission import Submission
from onecopy._engine.work import Entry
from onecopy._observe.columns import DONE, FAILED
from onecopy._protocol import wire
from onecopy._protocol.wire import NOTHING
from onecopy._schedule import events
from onecopy._schedule.scheduler import Scheduler
from onecopy._system.interrupts import Uninterrupted
from tests.scripts import until


class FakeWorker:
    """A worker that does nothing by itself."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.last = 0
        self.posted: deque[Entry] = deque()
        self.sent: deque[Entry] = deque()
        self.retired = False
        self.forgotten: list[int] = []

    def post(self, entry: Entry) -> None:
        self.posted.append(entry)

    def retire(self) -> None:
        self.retired = True

    def flush(self) -> None:
        self.sent += self.posted
        self.posted.clear()

    def forget_function(self, function_id: int) -> None:
        self.forgotten.append(function_id)


class Pool:
    """The parts of an engine around a table, with fake workers; these may be given runs of calls."""

    def __init__(self, workers: int, *, runs: bool = False) -> None:
        self.wanted = workers
        self.awake = False
        self.workers: dict[int, FakeWorker] = {}
        self.core = Core(
            Scheduler(workers, holds=True),
            on_lost=lambda entry, error: self.outcomes.lose(entry, error),
            start_worker=self._more,
            wake=self._awake,
            runs=runs,
        )
        self.history = History(100, nullcontext)
        namespace = Namespace() if runs else None
        known = KnownFunctions(namespace, None, lambda function: None)
        self.submission = Submission(
            self.core, self.history, known, namespace, lambda: None, self._wait
        )
        self.lifetime = Lifetime(self.core, self.submission, self.history, self.workers.clear)
        self.outcomes = Outcomes(self.core, self.history, None)

    def _more(self) -> None:
        self.wanted += 1

    def _awake(self) -> None:
        self.awake = True

    def look(self) -> None:
        """Act as the driver, which sleeps until it is woken, and then as long as it may."""
        if self.awake:
            if self.core.held_back() is None:
                self.awake = False
            else:
                self.core.handle(events.Overdue()).carry_out()

    def _wait(
        self, worker: ReadyWorker, missing: Callable[[], bool], signals: Uninterrupted
    ) -> None:
        worker.flush()

    def start(self) -> FakeWorker:
        self.wanted -= 1
        worker = FakeWorker(self.core.new_id())
        self.workers[worker.number] = worker
        self.core.join(worker).carry_out()
        return worker

    def finish(self, worker: FakeWorker, *, bad: bool = False) -> None:
        """The worker is done with what it was sent first."""
        entry = worker.sent.popleft()
        if type(entry.work) is Run:
            self._advance(worker, entry, entry.assignment.stop, bad=bad, last=True)
            return
        assignment, work, outcomes = entry.assignment, entry.work, self.outcomes
        result = (assignment.id, 1000, 0, bad, False)
        ended, _, effects = self.core.ended(worker.number, [result], look_for_blocked=True)
        effects.carry_out()
        if assignment.id not in ended:
            return  # it was dropped with the pool
        conclude = partial(outcomes.conclude, 7, entry, NOTHING)
        if bad:
            conclude(FAILED, outcomes.failed, ZeroDivisionError())
        elif work.call_kind == wire.CALL:
            conclude(DONE, outcomes.delivered, "done")
        else:
            assert isinstance(work, MapJob)
            items = work.items[assignment.start : assignment.stop]
            conclude(DONE, outcomes.delivered, list(items))

    def advance(self, worker: FakeWorker, calls: int, *, bad: bool = False) -> None:
        """The worker has ended some more calls of the run that it was sent first."""
        entry = worker.sent[0]
        if type(entry.work) is Run:
            stop = min(entry.early + calls, entry.assignment.stop)
            self._advance(worker, entry, stop, bad=bad, last=False)

    def _advance(
        self, worker: FakeWorker, entry: Entry, stop: int, *, bad: bool, last: bool
    ) -> None:
        start, number = entry.early, entry.assignment.id
        took = [1000] * (stop - start)
        found = self.core.runs.advanced(worker.number, number, start, took, last=last)
        if found is None:
            assert self.core.state >= PoolState.TERMINATED
            return
        _, calls, effects = found
        if effects is not None:
            effects.carry_out()
        for call in calls:
            if call is None:
                continue
            if bad:
                alone, failed = part(entry, call), self.outcomes.failed
                self.outcomes.conclude(7, alone, NOTHING, FAILED, failed, ZeroDivisionError())
            else:
                self.outcomes.delivered_together(7, entry, [(call, NOTHING, "done")])

    def halve(self, worker: FakeWorker) -> None:
        """The first message cannot be unpacked: nothing of it was run."""
        if type(worker.sent[0].work) is Run:
            return  # each of its calls is unpacked by itself
        entry = worker.sent.popleft()
        result = (entry.assignment.id, None, 0, True, True)
        ended, _, effects = self.core.ended(worker.number, [result], look_for_blocked=False)
        effects.carry_out()
        if entry.assignment.id in ended:
            error = TypeError("cannot be unpacked")
            self.outcomes.conclude(7, entry, NOTHING, FAILED, self.outcomes.failed, error)

    def end(self, worker: FakeWorker, claimed: int, begun: int = 0) -> None:
        del self.workers[worker.number]

        def error(task: str) -> BaseException:
            return errors.WorkerDied(7, -9, task)

        gone = self.core.worker_gone(worker.number, claimed, begun, broken=False, error=error)
        gone.carry_out()

    def take_back(self, worker: FakeWorker, begun: int) -> None:
        """It is at what it was sent first, has begun ``begun`` of its items, and is paused."""
        head = worker.sent[0].assignment.id
        begun = max(begun, worker.sent[0].early)

        def resume(back: list[int], cut: int | None) -> None:
            worker.sent = deque(e for e in worker.sent if e.assignment.id not in back)
            worker.posted = deque(e for e in worker.posted if e.assignment.id not in back)
            assert cut is None or cut == begun

        self.core.take_back(worker.number, head, begun, 10**9, resume).carry_out()


def end_of(future: Any) -> Any:
    try:
        return future.result(timeout=0)
    except CancelledError:
        return "cancelled"
    except Exception as error:
        return type(error)


class Life(RuleBasedStateMachine):
    """A pool whose workers and callers do anything that they may."""

    runs = False

    @initialize(workers=st.integers(1, 4))
    def make(self, workers: int) -> None:
        self.pool = Pool(workers, runs=self.runs)
        self.futures: list[Any] = []
        self.jobs: list[MapJob] = []
        self.dropped: set[int] = set()
        self.closed = False

    def worker(self, draw: int, *, busy: bool = True) -> FakeWorker | None:
        """One of those that are at something."""
        workers = [w for w in self.pool.workers.values() if w.sent or not busy]
        return workers[draw % len(workers)] if workers else None

    @precondition(lambda self: self.pool.wanted > 0)
    @rule()
    def a_worker_is_ready(self) -> None:
        self.pool.start()

    @rule(retries=st.sampled_from([0, 0, 2]))
    def submit(self, retries: int) -> None:
        rules = Rules(retries=retries, retry_on=(ZeroDivisionError,)) if retries else None
        try:
            self.futures.append(self.pool.submission.submit(abs, (-1,), {}, rules))
        except errors.PoolClosed:
            assert self.closed

    @rule(size=st.integers(1, 40), chunk=st.sampled_from([None, 1, 7]))
    def map(self, size: int, chunk: int | None) -> None:
        submission = self.pool.submission
        job = MapJob(submission.function(abs), list(range(size)), wire.MAP, None, chunk)
        try:
            submission.open(job, size)
        except errors.PoolClosed:
            assert self.closed
        else:
            self.jobs.append(job)

    @rule(draw=st.integers(0, 99), bad=st.booleans())
    def a_worker_finishes(self, draw: int, bad: bool) -> None:
        worker = self.worker(draw)
        if worker is not None:
            self.pool.finish(worker, bad=bad)

    @rule(draw=st.integers(0, 99))
    def a_worker_cannot_unpack(self, draw: int) -> None:
        worker = self.worker(draw)
        if worker is not None:
            self.pool.halve(worker)

    @rule(draw=st.integers(0, 99), begun=st.booleans())
    def a_worker_dies(self, draw: int, begun: bool) -> None:
        worker = self.worker(draw, busy=False)
        if worker is not None:
            claimed, calls = 0, 0
            if worker.sent and begun:
                head = worker.sent[0]
                claimed, calls = head.assignment.id, head.early + draw % 2
            self.pool.end(worker, claimed, calls)

    @rule(draw=st.integers(0, 99), begun=st.integers(1, 10))
    def work_is_taken_back(self, draw: int, begun: int) -> None:
        blocked = [number for number, *_ in self.pool.core.blocked_workers()]
        if blocked:
            worker = self.pool.workers[blocked[draw % len(blocked)]]
            if worker.sent:
                self.pool.take_back(worker, begun)

    @rule()
    def the_engine_looks(self) -> None:
        self.pool.look()

    @rule(draw=st.integers(0, 99))
    def cancel(self, draw: int) -> None:
        if self.futures:
            self.pool.submission.cancel(self.futures[draw % len(self.futures)])

    @rule(draw=st.integers(0, 99))
    def drop(self, draw: int) -> None:
        if self.jobs:
            job = self.jobs[draw % len(self.jobs)]
            self.dropped.add(job.number)
            self.pool.submission.cancel_job(job)

    @rule()
    def cancel_waiting(self) -> None:
        self.pool.submission.cancel_waiting()

    @precondition(lambda self: not self.closed)
    @rule()
    def close(self) -> None:
        self.closed = True
        self.pool.lifetime.close()

    @invariant()
    def the_table_is_true(self) -> None:
        core = self.pool.core
        held = {
            entry.assignment.id: worker.number
            for worker in self.pool.workers.values()
            for entry in (*worker.sent, *worker.posted)
        }
        assert {number: entry.worker for number, entry in core.assigned.items()} == held
        assert core.aborting <= held.keys()

    def teardown(self) -> None:
        """All that is left is run to its end, by workers that come when they are wanted."""
        pool = self.pool
        for _ in range(10_000):
            if pool.wanted:
                pool.start()
            busy = [worker for worker in pool.workers.values() if worker.sent]
            for worker in busy:
                pool.finish(worker)
            pool.look()
            for worker in [w for w in pool.workers.values() if w.retired]:
                pool.end(worker, 0)
            if not (busy or pool.wanted or any(w.sent for w in pool.workers.values())):
                break
        assert not pool.core.busy
        for future in self.futures:
            assert end_of(future) in {
                "done", "cancelled", ZeroDivisionError, TypeError, errors.WorkerDied,
            }  # fmt: skip
        for job in self.jobs:
            if job.number not in self.dropped:
                job.wait(lambda: pytest.fail("it waits for ever"))
        assert not pool.core.assigned
        assert set(pool.core.work) <= self.dropped | {job.number for job in self.jobs}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class LifeWithRuns(Life):
    """The same, with tiny calls that are given out together."""

    runs = True

    @initialize(workers=st.integers(1, 4))
    def make(self, workers: int) -> None:
        super().make(workers)
        first = self.pool.start()
        self.submit(0)
        self.pool.finish(first)  # now it is known how short they are

    @rule(many=st.integers(2, 40))
    def submit_many(self, many: int) -> None:
        for _ in range(many):
            self.submit(0)

    @rule(draw=st.integers(0, 99), calls=st.integers(0, 9), bad=st.booleans())
    def a_worker_goes_on(self, draw: int, calls: int, bad: bool) -> None:
        worker = self.worker(draw)
        if worker is not None:
            self.pool.advance(worker, calls, bad=bad)

    @rule(draw=st.integers(0, 99), ended=st.integers(0, 9), more=st.booleans())
    def a_worker_dies_in_a_run(self, draw: int, ended: int, more: bool) -> None:
        """In a call of it, or between two."""
        runs = [w for w in self.pool.workers.values() if w.sent and type(w.sent[0].work) is Run]
        if runs:
            worker = runs[draw % len(runs)]
            self.pool.advance(worker, ended)
            head = worker.sent[0]
            self.pool.end(worker, head.assignment.id, head.early + more)


TestLifeWithRuns = LifeWithRuns.TestCase
TestLifeWithRuns.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


def test_an_ended_pool_drops_everything() -> None:
    pool = Pool(2)
    worker = pool.start()
    futures = [pool.submission.submit(abs, (-1,), {}) for _ in range(5)]
    assert worker.sent
    pool.lifetime.terminate()
    assert pool.core.state is PoolState.TERMINATED
    assert not pool.core.assigned
    assert not pool.core.work
    assert {end_of(future) for future in futures} <= {"cancelled", errors.PoolClosed}
    with pytest.raises(errors.PoolClosed, match="closed"):
        pool.submission.submit(abs, (-1,), {})


def test_tiny_tasks_wait_for_a_busy_worker() -> None:
    """As long as they are few, and the engine is told to watch them; a caller that waits for its
    call right away has an idle worker."""
    pool = Pool(3)
    workers = [pool.start() for _ in range(3)]

    def submit(number: int) -> list[Any]:
        return [pool.submission.submit(abs, (-1,), {}) for _ in range(number)]

    def sent() -> list[int]:
        return sorted(len(worker.sent) for worker in workers)

    first = submit(3)
    assert sent() == [1, 1, 1], "their length is not known"
    for worker in workers:
        pool.finish(worker)
    assert not pool.awake
    few = submit(10)
    assert sent() == [0, 0, 1]
    assert pool.awake
    (busy,) = [worker for worker in workers if worker.sent]
    pool.finish(busy)
    assert sent() == [0, 0, 9], "they go together"
    pool.look()
    assert not pool.awake, "none waits"
    more = submit(3)
    assert pool.awake
    pool.look()
    assert sent() == [1, 1, 9], "none was started for too long"
    while busy := [worker for worker in workers if worker.sent]:
        pool.finish(busy[0])
    many = submit(210)
    assert sent() == [0, 1, 200], "too many for one: another has all that wait"
    thread = threading.Thread(target=pool.submission.apply, args=(abs, (-1,), {}))
    thread.start()
    until(lambda: all(worker.sent for worker in workers), "its caller waits")
    while busy := [worker for worker in workers if worker.sent]:
        pool.finish(busy[0])
    thread.join()
    assert {end_of(future) for future in (*first, *few, *more, *many)} == {"done"}


def test_a_failed_pool_tells_why_to_each_caller() -> None:
    pool = Pool(1)
    future = pool.submission.submit(abs, (-1,), {})
    pool.lifetime.fail(errors.InitializerFailed("no worker"), OSError("cause"))
    with pytest.raises(errors.InitializerFailed, match="no worker") as caught:
        future.result()
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(errors.InitializerFailed):
        pool.submission.submit(abs, (-1,), {})
    pool.lifetime.terminate()
    with pytest.raises(errors.InitializerFailed):
        pool.core.check_open()


def test_a_result_that_is_none_of_the_workers_is_in_neither() -> None:
    pool = Pool(2)
    one, other = pool.start(), pool.start()
    future = pool.submission.submit(abs, (-1,), {})
    (busy,) = [worker for worker in (one, other) if worker.sent]
    idle = other if busy is one else one
    number = busy.sent[0].assignment.id
    result = (number, 1, 0, False, False)
    assert pool.core.ended(idle.number, [result], look_for_blocked=False)[:2] == ({}, set())
    pool.finish(busy)
    assert future.result() == "done"
    assert pool.core.tasks_ended == 1


def test_items_that_cannot_be_sent_are_tried_in_halves() -> None:
    pool = Pool(1)
    worker = pool.start()
    job = MapJob(pool.submission.function(abs), list(range(4)), wire.MAP, None, 4)
    pool.submission.open(job, 4)
    sizes = []
    while worker.sent:
        entry = worker.sent.popleft()
        assignment = entry.assignment
        sizes.append(assignment.stop - assignment.start)
        found, effects = pool.core.unsent(worker.number, assignment.id)
        effects.carry_out()
        if found is not None:
            pool.outcomes.unsent(found, TypeError("no"))
    assert sorted(sizes) == [1, 1, 1, 1, 2, 2, 4]
    job.wait(lambda: pytest.fail("it waits for ever"))
    assert len(job.errors) == 4


def test_what_is_run_again_waits_until_its_tries_are_used() -> None:
    pool = Pool(1)
    worker = pool.start()
    rules = Rules(retries=2, retry_on=(ZeroDivisionError,))
    future = pool.submission.submit(abs, (-1,), {}, rules)
    for _ in range(3):
        assert not future.done()
        pool.finish(worker, bad=True)
    with pytest.raises(ZeroDivisionError):
        future.result(timeout=0)
    assert not pool.core.busy


def test_a_forked_copy_takes_no_work() -> None:
    pool = Pool(1)
    pool.core.after_fork()
    assert not pool.core.closed
    with pytest.raises(errors.PoolClosed, match="belongs to the process that made it"):
        pool.submission.submit(abs, (-1,), {})
    pool.lifetime.close()
    assert pool.core.closed
