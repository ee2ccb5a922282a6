"""The engine on threads of the owner: nothing is pickled or copied.

Arguments are the caller's own objects and results are the function's own. For functions
that let go of the GIL (NumPy on large arrays, input and output), and for debugging.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from .. import errors
from .._codec.blame import short
from .._observe.columns import DONE, FAILED, OWNER
from .._observe.series import Watch
from .._protocol import run_items, wire
from .._protocol.failures import describe, name_of
from .._schedule.events import Assignment
from .._system.usage import Delay, traced, usage, used
from . import log_marks
from .again import no_thread
from .engine import FOREIGN, LIVES, Engine
from .options import Options
from .work import Entry, Work
from .worker_handle import Later, Member


class ThreadWorker:
    """One worker thread and its queue; a ``Member`` (see ``engine``)."""

    def __init__(self, worker: int, serve: Callable[[ThreadWorker], None]) -> None:
        self.worker = worker
        self.born = monotonic_ns()
        self.ready = self.last = 0
        self.queue: queue.SimpleQueue[Entry | Later | None] = queue.SimpleQueue()
        self.thread = threading.Thread(
            target=serve, args=(self,), name=f"onecopy-worker-{worker}", daemon=True
        )

    def post(self, entry: Entry) -> None:
        entry.sent = monotonic_ns()
        self.queue.put(entry)

    def retire(self) -> None:
        self.queue.put(None)

    def flush(self) -> None:
        """What was posted is there already."""

    def forget_function(self, function_id: int) -> None:
        """Threads keep no functions."""


class ThreadEngine(Engine):
    """See the module."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._workers: list[ThreadWorker] = []
        self._past: deque[tuple[int, int, int, int, int, int]] = deque(maxlen=LIVES)
        self._ends = () if options.executor else (SystemExit,)
        _engines.add(self)
        try:
            self.watch = Watch(lambda: {os.getpid(): OWNER}, lambda: self._tasks_ended)
            for _ in range(options.workers):
                self._start_thread()
        except RuntimeError as error:
            failure = no_thread(error)
            self._fail(failure, error)
            self.join()
            if self.watch is not None:
                self.watch.stop()
            raise failure from error

    def _start_thread(self) -> None:
        with self._lock:
            worker = ThreadWorker(next(self._ids), self._serve)
            self._workers.append(worker)
        try:
            worker.thread.start()
        except RuntimeError:
            self._workers.remove(worker)
            raise

    def _start_worker(self) -> None:
        try:
            self._start_thread()
        except RuntimeError as error:
            # Raised here, it would end the worker that is to be replaced, which has a
            # result to report.
            self._fail(no_thread(error), error)

    def _stop_workers(self) -> None:
        """A thread cannot be stopped in a task: it ends after it."""
        for worker in list(self._workers):
            worker.retire()

    def join(self, timeout: float | None = None) -> bool:
        # One that ends may have started another in its place.
        while alive := [w.thread for w in list(self._workers) if w.thread.is_alive()]:
            alive[0].join(timeout)
            if timeout is not None and alive[0].is_alive():
                return False
        return True

    def release(self) -> None:
        for worker in list(self._workers):
            worker.queue.put(self.let_go)

    def _nudge(self) -> None:
        """Whichever worker thread comes to it first looks. A simple queue may be put into
        anywhere, inside itself too."""
        for worker in list(self._workers):
            worker.queue.put(self._drop_orphans)

    def _limit(self, member: Member, entry: Entry) -> None:
        raise AssertionError("Rules.check lets none through")

    def _unlimit(self, assignment: int) -> None:
        """There are no limits."""

    def pids(self) -> list[int]:
        return []

    def traffic(self) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0

    def lives(self) -> list[tuple[int, int, int, int, int, int]]:
        return [*self._past, *(_life(worker, 0) for worker in list(self._workers))]

    def after_fork(self) -> None:
        """In a forked child: the pool is the parent's."""
        self._lock = threading.Lock()
        self._foreign = True
        for work in list(self._work.values()):
            work.forked(errors.PoolClosed(FOREIGN))
        self._workers.clear()

    def _serve(self, worker: ThreadWorker) -> None:
        log_marks.begin()
        try:
            self._work_through(worker)
        finally:
            log_marks.end()
            self._workers.remove(worker)
            self._past.append(_life(worker, monotonic_ns()))
            if not self._workers and self.watch is not None:
                self.watch.stop()  # none was started in its place: all is over
                self._over()

    def _work_through(self, worker: ThreadWorker) -> None:
        try:
            if self.options.initializer is not None:
                self.options.initializer(*self.options.initargs)
        except BaseException as error:
            self._fail(
                errors.InitializerFailed(f"the initializer failed: {short(error, 300)}"), error
            )
            return
        worker.ready = worker.last = since = monotonic_ns()
        self._join_in(worker)
        delay = Delay()
        try:
            self._work_until_told(worker, since, delay)
        finally:
            delay.close()

    def _work_until_told(self, worker: ThreadWorker, since: int, delay: Delay) -> None:
        while (entry := worker.queue.get()) is not None:
            if callable(entry):
                entry()
                continue
            started = monotonic_ns()
            log_marks.mark(worker.worker, entry.work.number)
            before, reading = usage(), delay.now()
            outcome = _run(entry.assignment, entry.work, self._ends)
            finished = monotonic_ns()
            spent = wire.SPENT.pack(
                # Nothing is unpacked or packed for a thread.
                *(started, started, started, finished, finished, started - since, 0, 0, 0),
                *used(before, usage(), wanted=delay.since(reading)[1]),
                *(0, 0, traced()),
            )
            worker.last = since = finished
            log_marks.mark(worker.worker, 0)
            self._drop_orphans()
            took = finished - started
            if self._finished(worker.worker, entry.assignment.id, took) is not None:
                failed = outcome[1] is not None or bool(outcome[2])
                self._note(entry, FAILED if failed else DONE, spent, os.getpid())
                self._report(entry.assignment, entry.work, outcome)
            del entry, outcome

    def _report(self, assignment: Assignment, work: Work, outcome: Outcome) -> None:
        value, error, failed = outcome
        if error is not None:
            self._failed(assignment, work, error)
        elif failed:
            self._partly(assignment, work, dict(enumerate(value)), failed)
        else:
            self._delivered(assignment, work, value)


_engines: weakref.WeakSet[ThreadEngine] = weakref.WeakSet()


def _life(worker: ThreadWorker, gone: int) -> tuple[int, int, int, int, int, int]:
    """A worker as ``columns.WORKER``."""
    return worker.worker, os.getpid(), worker.born, worker.ready, gone, worker.last


def _after_fork() -> None:
    """In a forked child the threads do not exist."""
    for engine in list(_engines):
        engine.after_fork()


os.register_at_fork(after_in_child=_after_fork)


Outcome = tuple[Any, BaseException | None, dict[int, BaseException]]
"""The value, or the error of all of it, or the errors of some items of a chunk."""


def _run(assignment: Assignment, work: Work, ends: tuple[type[BaseException], ...]) -> Outcome:
    """Runs an assignment.

    An error's traceback leads to this frame and the next: they let go of what holds or
    will hold the error, or only the garbage collector would free both.
    """
    bad: run_items.Errors = {}
    try:
        function: Any = work.callable()
        payload = work.payload(assignment.start, assignment.stop)
        if work.runner == wire.CALL:
            args, kwargs = payload
            return function(*args, **kwargs), None, {}
        items = run_items.items_of(work.runner, payload)
        call = run_items.function_for(work.runner, function)
        values, bad = run_items.run_chunk(call, items, ends)
        return values, None, _noted(bad, name_of(function))
    except BaseException as error:
        return None, error, {}
    finally:
        del work, bad


def _noted(bad: run_items.Errors, name: str) -> dict[int, BaseException]:
    for error, item in bad.values():
        errors.add_note(error, f"onecopy: {name}, argument {describe(item)}")
    return {at: error for at, (error, _) in bad.items()}
