"""Takes in calls and jobs, and what callers do with them afterwards: cancel, drop, extend.

Runs in the callers' threads. Work is encoded here, before the table's lock is taken. The thread
that submits also sends to an idle worker.

Ctrl-C may arrive at any step of the main thread. From the first change of the table until what was
decided is sent, it has to wait (``Uninterrupted``): half a change would leave work with no worker.
To put a call into the table's inbox is one step, so it needs no such section, which costs as much.
For the same reason nothing is begun near the recursion limit (``check_room``).
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic_ns
from typing import Any, Protocol

from .._codec.pickling import Namespace
from .._observe.diary import PACKING, WORTH, Diary
from .._schedule import events
from .._system.interrupts import Uninterrupted
from .._system.stack import check_room
from . import busy
from .core import Core
from .effects import ReadyWorker
from .functions import Function
from .future import TaskFuture
from .history import History
from .jobs import Job
from .known_functions import KnownFunctions
from .rules import Rules
from .work import BlockingCall, Call, FutureCall, Work


class Waiter(Protocol):
    """Waits for one task, the only one that its worker has, in the caller's thread."""

    def __call__(
        self, worker: ReadyWorker, missing: Callable[[], bool], signals: Uninterrupted
    ) -> None:
        """Send what was posted to the worker, and read from it while the outcome is ``missing``.
        May return before."""


class _PoolOf:
    """The pool of a future, as long as it is there: a future that is kept keeps no pool's tables."""

    __slots__ = ("_submission", "diary")

    def __init__(self, diary: Diary, submission: Submission) -> None:
        self.diary = diary
        self._submission = weakref.ref(submission)

    def attend(self, future: TaskFuture) -> None:
        submission = self._submission()
        if submission is not None:
            submission.attend(future)


class Submission:
    """See the module. Any thread, unless a method says otherwise.

    Args:
        core: the pool's table.
        history: resumes sampling when work comes.
        known: the functions that workers keep.
        namespace: decides what is pickled by name; None if nothing is pickled.
        wake: wakes the thread that runs the engine; safe in finalizers.
        wait: the short way for a caller that waits for one task; None if there is none.
        singly: give out items one by one if their results are fetched one by one.
    """

    def __init__(
        self,
        core: Core,
        history: History,
        known: KnownFunctions,
        namespace: Namespace | None,
        wake: Callable[[], None],
        wait: Waiter | None,
        *,
        singly: bool = False,
    ) -> None:
        self.namespace = namespace
        self._core = core
        self._history = history
        self._known = known
        self._wake = wake
        self._wait = wait
        self._singly = singly
        self._pool = _PoolOf(history.diary, self)
        self._unwanted: deque[tuple[int, bool]] = deque()  # jobs, and whether to kill workers

    # Single calls.

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rules: Rules | None = None,
        done: Callable[[Future[Any]], object] | None = None,
    ) -> TaskFuture:
        """Put a call behind the others; the returned future gets its outcome. ``done`` is called
        with the future in a thread of the pool; a callback added later may be called at once."""
        begun = monotonic_ns()
        known = self._known.get(function)
        call = FutureCall(known, function, args, kwargs, self.namespace, rules)
        call.pool = self._pool
        if done is not None:
            call.add_done_callback(done)
        versions = self._known.same_versions(known, call)
        if versions is None:
            with Uninterrupted():
                versions = self._known.versions(known, call)
        call.versions = versions
        self._note(call)
        if self._core.put(call):
            try:
                check_room()
            except RecursionError:
                with self._core.lock:
                    self._core.inbox.withdraw(call)
                raise
            with Uninterrupted():
                self._core.take_in(call).carry_out()
        if call.submitted - begun > WORTH:
            with Uninterrupted():
                self._history.diary.add(PACKING, begun, call.submitted)
        return call

    def apply(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rules: Rules | None = None,
    ) -> Any:
        """Call and wait; the short way if a worker is idle."""
        check_room()
        known = self._known.get(function)
        call = BlockingCall(known, function, args, kwargs, self.namespace, rules)
        wait = self._short_way(rules)
        try:
            with Uninterrupted() as signals:
                call.versions = self._known.versions(known, call)
                self._note(call)
                effects = self._core.submit(call)
                if effects is not None:
                    if wait is not None and call.given and len(effects.workers) == 1:
                        for act in effects.deferred:
                            act()
                        (worker,) = effects.workers.values()
                        wait(worker, call.missing, signals)
                    else:
                        effects.carry_out()
            if not call.done.acquire(blocking=False):
                call.wait(busy.Waiting(self._core, call))
        except BaseException:
            if call.done.locked():  # Ctrl-C, or an exception of a signal handler
                call.forsake()
                self._abort(call)
            raise
        return call.outcome()

    def _note(self, call: Call) -> None:
        """Note when and where the program has made a call."""
        history = self._history
        history.resume_sampling()
        call.site = history.callers.site(call)
        call.submitted = monotonic_ns()

    def attend(self, future: TaskFuture) -> None:
        """Wait for a future's task as ``apply`` does, if it is the only one that its worker has.
        May return before there is an outcome."""
        if self._wait is None or (found := self._core.lone(future.number)) is None:
            return
        worker, entry = found
        wait = self._short_way(entry.work.rules)
        if wait is None:
            return
        assigned, number = self._core.assigned, entry.assignment.id

        def missing() -> bool:
            # When its result has been read, by whatever thread, the outcome comes by itself.
            return assigned.get(number) is entry and future.running()

        with Uninterrupted() as signals:
            wait(worker, missing, signals)

    def _short_way(self, rules: Rules | None) -> Waiter | None:
        # A retry may run in another worker: such a call does not wait at one worker's socket.
        return self._wait if rules is None or not rules.retries else None

    def cancel(self, future: Future[Any]) -> bool:
        """Cancel a task whether it has started or not; return False if it is done.

        Raises ValueError if the future belongs to another pool.
        """
        if not isinstance(future, TaskFuture) or future.pool is not self._pool:
            raise ValueError("this future is not one of this pool's")
        if future.cancel():
            return True  # it has not started: it is skipped when its turn comes
        cancelled = future.cancel_running()
        with self._core.lock:
            work = self._core.work.get(future.number)
        # None: it has ended, and its outcome, which is in flight, is discarded.
        if cancelled and work is not None:
            self._abort(work)
        return cancelled

    def cancel_waiting(self) -> None:
        """Cancel all that no worker has been given, and notify its callers."""
        if self._core.foreign:
            return  # all that waited has ended here
        with Uninterrupted():
            waiting, effects = self._core.cancel_waiting()
            effects.carry_out()
            for work, given in waiting:
                work.cancel_waiting(given)

    # Jobs of many items.

    def function(self, call: Callable[..., Any]) -> Function:
        """Return a function for a job; see ``KnownFunctions.for_job``."""
        return self._known.for_job(call)

    def open(self, job: Job, available: int, *, grows: bool = False) -> int:
        """Start a job of many items, and show its progress; return its id. A job that grows keeps a
        closed pool working until it has grown for the last time or is dropped.

        If this raises, the job is not open: Ctrl-C may come when no caller has it yet.
        """
        check_room()
        try:
            job.show()
            with Uninterrupted():
                self._history.resume_sampling()
                job.versions = self._known.versions(job.function, None)
                job.site = self._history.callers.site(job)
                job.submitted = monotonic_ns()
                most = 1 if self._singly and job.streams else job.most
                self._core.open(job, available, most, grows=grows).carry_out()
                if available:
                    # Not before every idle worker has been sent its first chunk: pickling takes time.
                    self._core.handle(events.Ahead()).carry_out()
                if job.streams:
                    self._wake()
        except BaseException:
            self.cancel_job(job)
            raise
        return job.number

    def grow(self, job: int, available: int, *, last: bool = False) -> None:
        """Make more of a job's items available; ``last``: there will be no more."""
        check_room()
        with Uninterrupted():
            self._core.handle(events.JobGrew(job, available, last)).carry_out()

    def extend(self, job: int, available: int) -> None:
        """Like ``grow``, but raise PoolClosed if the pool takes no more work."""
        check_room()
        with Uninterrupted():
            self._core.handle(events.JobGrew(job, available), open_only=True).carry_out()

    def drop(self, number: int) -> None:
        """Drop the rest of a job. Workers forget its function after what they were sent before."""
        with Uninterrupted():
            job, effects = self._core.drop(number)
            effects.carry_out()
            if isinstance(job, Job):
                if not self._known.holds(job.function):
                    self._core.forget_function(job.function.id).carry_out()
                job.over()

    def cancel_job(self, job: Job) -> None:
        """Drop a job, kill the workers that run it, and end its progress display."""
        with Uninterrupted():
            job.given_up = True
            self.drop(job.number)
            self._abort(job)
            job.over()

    def _abort(self, work: Work) -> None:
        with Uninterrupted():
            self._core.abort(work)
            self._wake()

    def drop_later(self, number: int) -> None:
        """Drop a job from a finalizer: only appends to a queue."""
        self._later(number, cancel=False)

    def cancel_job_later(self, number: int) -> None:
        """Cancel a job from a finalizer."""
        self._later(number, cancel=True)

    def _later(self, number: int, *, cancel: bool) -> None:
        # First, in one step: what a handler raises in a finalizer is printed, and ends it.
        self._unwanted.append((number, cancel))
        with Uninterrupted(later=True):
            self._wake()

    def drop_unwanted(self) -> None:
        """Carry out what finalizers have asked for."""
        while self._unwanted:
            number, running = self._unwanted.popleft()
            job = self._core.work.get(number)
            if running and isinstance(job, Job):
                self.cancel_job(job)
            else:
                self.drop(number)
