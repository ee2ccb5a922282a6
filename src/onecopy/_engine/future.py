"""A ``concurrent.futures.Future`` that creates its condition variable when a thread waits.

A plain Future consists of a dozen objects that the garbage collector traverses, most of them the
condition variable's, and creating it takes longer than the rest of a submit. Most futures end
before any thread waits for them: those never need a condition.

``__init__`` sets nothing: the state that every future starts with is in class attributes. What the
base class, ``wait`` and ``as_completed`` use (``_condition``, ``_waiters``, ``_done_callbacks``) is
created together, at first use.

Why no waiter is missed: the condition is created, and the outcome of a future without one is set,
under the same lock. So either the outcome finds a condition and the base class notifies it; or the
waiter creates it after the outcome was set, and sees the outcome when it checks the state, which it
does before it waits. The lock is a leaf: all that happens while it is held is the creation of a few
plain objects. A finalizer that runs then can only come back here by waiting for another future of
this kind; the lock is reentrant for that case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from logging import getLogger
from time import monotonic_ns
from typing import Any, Protocol

from .._codec.blame import cut_ours
from .._observe.diary import CALLBACKS, Diary
from .._system import forking
from .._system.interrupts import Condition

# The base class logs here too.
_log = getLogger("concurrent.futures")
_making = threading.RLock()


def _after_fork() -> None:
    """Replace the lock in a forked child: a thread that does not exist there may have held it."""
    global _making
    _making = threading.RLock()


forking.in_child(_after_fork)


def is_main() -> bool:
    """Return True in the main thread, where Ctrl-C arrives."""
    return threading.current_thread() is threading.main_thread()


def begin_all(futures: Iterable[TaskFuture]) -> None:
    """Mark those that are pending, and that no thread waits for, as running: the same as
    ``set_running_or_notify_cancel`` of each, with the lock taken once."""
    with _making:
        for future in futures:
            if future._made is None and future._state == PENDING:
                future._state = RUNNING


def set_results(results: Iterable[tuple[TaskFuture, Any]]) -> list[tuple[TaskFuture, Any]]:
    """Set the results of those that no thread waits for, as ``set_result`` of each, with the lock
    taken once; return the others."""
    others = []
    with _making:
        for future, result in results:
            if future._made is None and future._state != FINISHED:
                future._result = result
                future._state = FINISHED
            else:
                others.append((future, result))
    return others


class PoolOf(Protocol):
    """Identifies the pool of a future."""

    diary: Diary

    def attend(self, future: TaskFuture) -> None:
        """Wait for the future's task in this thread, if that is possible."""


class TaskFuture(Future[Any]):
    """See the module; to its users it is a ``concurrent.futures.Future``."""

    _state = PENDING
    _result: Any = None
    _exception: BaseException | None = None
    _made: Condition | None = None
    number = 0  # of the task, in its pool
    pool: PoolOf | None = None
    _waiters: list[Any]
    _done_callbacks: list[Callable[[Future[Any]], object]]

    def __init__(self) -> None:
        """Set nothing: the initial state is in class attributes."""

    def __repr__(self) -> str:
        # Its class has a name of ours.
        return f"<Future{super().__repr__().removeprefix(f'<{type(self).__name__}')}"

    @property
    def _condition(self) -> Condition:  # type: ignore[override]
        made = self._made
        if made is None:
            with _making:
                made = self._made
                if made is None:
                    self._waiters = []
                    self._done_callbacks = []
                    made = self._made = Condition()
        return made

    def set_running_or_notify_cancel(self) -> bool:
        with _making:
            if self._made is None and self._state == PENDING:
                self._state = RUNNING
                return True
        return super().set_running_or_notify_cancel()

    def has_callbacks(self) -> bool:
        """Return True if functions are to be called when it ends."""
        return self._made is not None and bool(self._done_callbacks)

    def cancel_running(self) -> bool:
        """Cancel the future although its task has started; return False if it is done. The caller
        deals with the task."""
        with self._condition:
            if self._state != RUNNING:
                return self.cancelled()
            self._state = CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()
        return True

    def _invoke_callbacks(self) -> None:
        """Call the callbacks, mostly in a thread of the pool that other tasks need. So, unlike in
        the base class, nothing that a callback raises ends the thread, not even SystemExit. In the
        main thread KeyboardInterrupt may be a real one: it is raised after all callbacks were
        called."""
        interrupt: KeyboardInterrupt | None = None
        began = monotonic_ns()
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException as raised:
                if isinstance(raised, KeyboardInterrupt) and is_main():
                    interrupt = raised
                else:
                    _log.exception("exception calling callback for %r", self)
        if self._done_callbacks and self.pool is not None:
            self.pool.diary.add(CALLBACKS, began, monotonic_ns())
        if interrupt is not None:
            raise interrupt

    def set_result(self, result: Any) -> None:
        with _making:
            if self._made is None and self._state != FINISHED:
                self._result = result
                self._state = FINISHED
                return
        super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        with _making:
            if self._made is None and self._state != FINISHED:
                self._exception = exception
                self._state = FINISHED
                return
        super().set_exception(exception)

    def forked(self, error: BaseException) -> None:
        """End it with ``error`` in a forked child, where nothing else ever would.

        There is one thread here, and a lock that another thread held at the fork stays locked. So
        no lock is taken, and the condition variable is replaced.
        """
        if self._state in (PENDING, RUNNING):
            self._exception = error
            self._state = FINISHED
        self._made = None

    def result(self, timeout: float | None = None) -> Any:
        if self._state == FINISHED and self._exception is None:
            return self._result
        try:
            if timeout is None and self._state == RUNNING and self.pool is not None:
                self.pool.attend(self)
            # Not the base class's ``result``: before Python 3.14 it ignores an exception that is
            # falsy (one with a length of 0).
            failed = super().exception(timeout)
            if failed is not None:
                raise failed
            return self._result
        except KeyboardInterrupt as error:
            cut_ours(error)
            raise
        finally:
            del self  # the exception's traceback holds this frame: no cycle
            failed = None

    def running(self) -> bool:
        return self._state == RUNNING

    def done(self) -> bool:
        return self._state == FINISHED or super().done()
