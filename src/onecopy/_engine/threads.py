"""The engine on threads of the owner: nothing is pickled or copied.

Arguments are the caller's own objects and results are the function's own. For functions
that release the GIL (NumPy on large arrays, input and output), and for debugging.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from time import monotonic_ns
from typing import Any

from .. import errors
from .._codec.blame import short
from .._observe.columns import DONE, FAILED, OWNER
from .._observe.series import Watch
from .._protocol import run_items, wire
from .._protocol.failures import describe, name_of
from .._schedule.events import Assignment
from .._schedule.scheduler import Scheduler
from .._system import forking
from .._system.usage import Delay, traced, usage, used
from . import log_marks
from .core import Core
from .effects import Deferred
from .engine import unheld
from .functions import Function
from .history import History, WorkerRow
from .known_functions import KnownFunctions
from .lifetime import Lifetime, no_thread
from .options import Options
from .outcomes import Outcomes
from .submission import Submission
from .work import Entry, Work


class ThreadWorker:
    """One worker thread and its queue; a ``ReadyWorker`` of the table."""

    def __init__(self, number: int, serve: Callable[[ThreadWorker], None]) -> None:
        self.number = number
        self.born = monotonic_ns()
        self.ready = self.last = self.initializing = 0
        self.queue: queue.SimpleQueue[Entry | Deferred | None] = queue.SimpleQueue()
        self.thread = threading.Thread(
            target=serve, args=(self,), name=f"onecopy-worker-{number}", daemon=True
        )

    def post(self, entry: Entry) -> None:
        entry.sent = monotonic_ns()
        self.queue.put(entry)

    def retire(self) -> None:
        self.queue.put(None)

    def flush(self) -> None:
        """Send nothing: what was posted is in the queue already."""

    def forget_function(self, function_id: int) -> None:
        """Nothing to do: threads keep no functions."""

    def row(self, gone: int) -> WorkerRow:
        """Return the worker as ``columns.WORKER``; ``gone``: when it ended, 0 while it lives."""
        times = self.born, self.ready, gone, self.last, self.initializing
        return self.number, os.getpid(), *times


class ThreadEngine:
    """See the module; an ``Engine``."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._workers: list[ThreadWorker] = []
        self._ends = () if options.executor else (SystemExit,)
        self.history = History(options.spans, nullcontext)
        self.core = Core(
            # Giving work to threads costs nothing, and nothing can be taken back from them.
            Scheduler(options.workers, options.max_tasks, ahead=False),
            on_lost=self._on_lost,
            start_worker=self._start_worker,
            wake=self._wake,
        )
        known = KnownFunctions(None, None, _forget)
        # A thread cannot deliver a result while it runs the next item of its chunk: items singly.
        self.submission = Submission(
            self.core, self.history, known, None, self._wake, None, singly=True
        )
        self._lifetime = Lifetime(self.core, self.submission, self.history, self._stop_workers)
        self._outcomes = Outcomes(self.core, self.history, None)
        _engines.add(self)
        try:
            self.history.watch = Watch(
                lambda: {os.getpid(): OWNER}, lambda: self.core.tasks_ended, self.core.occupied
            )
            for _ in range(options.workers):
                self._start_thread()
        except RuntimeError as error:
            failure = no_thread(error)
            self._lifetime.fail(failure, error)
            self.join()
            if self.history.watch is not None:
                self.history.watch.stop()
            raise failure from error

    # The methods of ``Engine``, for doors and reports.

    def close(self) -> None:
        self._lifetime.close()

    def terminate(self) -> None:
        self._lifetime.terminate()

    def kill(self, how: signal.Signals) -> None:
        if not self.core.foreign:
            ended = errors.BrokenWorker("the pool's workers were ended by its owner")
            self._lifetime.fail(ended, None)

    def join(self, timeout: float | None = None) -> bool:
        # A thread that ends may have started another in its place.
        while alive := [w.thread for w in list(self._workers) if w.thread.is_alive()]:
            alive[0].join(timeout)
            if timeout is not None and alive[0].is_alive():
                return False
        return True

    def release(self) -> None:
        for worker in list(self._workers):
            worker.queue.put(partial(unheld, self))

    def pids(self) -> list[int]:
        return []

    def traffic(self) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0

    def worker_history(self) -> list[WorkerRow]:
        return [*self.history.gone, *(worker.row(0) for worker in list(self._workers))]

    def owner_cpu(self) -> float:
        return 0.0

    def after_fork(self) -> None:
        """Mark this copy, in a forked child: the pool is the parent's."""
        self.core.after_fork()
        self._workers.clear()

    # Called by the parts.

    def _on_lost(self, entry: Entry, error: BaseException) -> None:
        self._outcomes.lose(entry, error)

    def _start_thread(self) -> None:
        worker = ThreadWorker(self.core.new_id(), self._serve)
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
            # Raised here, the error would end the worker that should be replaced and has a result
            # to report.
            self._lifetime.fail(no_thread(error), error)

    def _stop_workers(self) -> None:
        """Let the threads end: a thread cannot be stopped in a task and ends after it."""
        for worker in list(self._workers):
            worker.retire()

    def _wake(self) -> None:
        """Wake a worker thread; the first to wake does the work. A simple queue accepts items
        anywhere, even inside its own methods."""
        for worker in list(self._workers):
            worker.queue.put(self.submission.drop_unwanted)

    # The worker threads.

    def _serve(self, worker: ThreadWorker) -> None:
        log_marks.begin()
        try:
            self._work_through(worker)
        finally:
            log_marks.end()
            self._workers.remove(worker)
            self.history.gone.append(worker.row(monotonic_ns()))
            if not self._workers and self.history.watch is not None:
                self.history.watch.stop()  # none was started in its place: the pool has ended

    def _work_through(self, worker: ThreadWorker) -> None:
        try:
            if self.options.initializer is not None:
                worker.initializing = monotonic_ns()
                self.options.initializer(*self.options.initargs)
        except BaseException as error:
            self._lifetime.fail(
                errors.InitializerFailed(f"the initializer failed: {short(error, 300)}"), error
            )
            return
        worker.ready = worker.last = since = monotonic_ns()
        self.core.join(worker).carry_out()
        delay = Delay()
        try:
            while (entry := worker.queue.get()) is not None:
                if callable(entry):
                    entry()
                    continue
                since = self._run(worker, entry, since, delay)
                del entry
        finally:
            delay.close()

    def _run(self, worker: ThreadWorker, entry: Entry, since: int, delay: Delay) -> int:
        """Run an assignment and deliver its outcome; return when it finished.

        An error's traceback leads to this frame. So everything that holds the error, or will
        hold it, is deleted here; otherwise only the garbage collector would free both.
        """
        started = monotonic_ns()
        log_marks.mark(worker.number, entry.work.number)
        before, reading = usage(), delay.now()
        value, error, failed = _run(entry.assignment, entry.work, self._ends)
        finished = monotonic_ns()
        spent = wire.SPENT.pack(
            # Nothing is unpickled or pickled for a thread.
            *(started, started, started, finished, finished, started - since, 0, 0, 0),
            *used(before, usage(), wanted=delay.since(reading)[1]),
            *(0, 0, traced()),
        )
        worker.last = finished
        log_marks.mark(worker.number, 0)
        self.submission.drop_unwanted()
        found, effects = self.core.finished(worker.number, entry.assignment.id, finished - started)
        effects.carry_out()
        if found is not None:
            outcomes, pid = self._outcomes, os.getpid()
            if error is not None:
                outcomes.conclude(pid, entry, spent, FAILED, outcomes.failed, error)
            elif failed:
                values = dict(enumerate(value))
                outcomes.conclude(pid, entry, spent, FAILED, outcomes.partly, values, failed)
                del values
            else:
                outcomes.conclude(pid, entry, spent, DONE, outcomes.delivered, value)
        del entry, value, error, failed, found
        return finished


def _forget(function: Function) -> None:
    """Nothing to do: threads keep no functions."""


_engines: weakref.WeakSet[ThreadEngine] = weakref.WeakSet()


def _after_fork() -> None:
    """Mark the engines in a forked child: their threads do not exist there."""
    for engine in list(_engines):
        engine.after_fork()


forking.in_child(_after_fork)


Outcome = tuple[Any, BaseException | None, dict[int, BaseException]]
"""The value, or the error of all of it, or the errors of some items of a chunk."""


def _run(assignment: Assignment, work: Work, ends: tuple[type[BaseException], ...]) -> Outcome:
    """Run an assignment.

    An error's traceback leads to this frame and the next: they drop their references to what holds,
    or will hold, the error. Otherwise only the garbage collector would free both.
    """
    bad: run_items.Errors = {}
    try:
        function: Any = work.callable()
        payload = work.payload(assignment.start, assignment.stop)
        if work.call_kind == wire.CALL:
            args, kwargs = payload
            return function(*args, **kwargs), None, {}
        items = run_items.items_of(work.call_kind, payload)
        call = run_items.function_for(work.call_kind, function)
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
