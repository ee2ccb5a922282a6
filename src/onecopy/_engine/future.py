"""A ``concurrent.futures.Future`` that makes its condition variable when somebody waits.

A plain Future is a dozen objects that the garbage collector walks over, most of them the
condition variable's, and takes longer to make than all else that a submit does. Most
futures end before anybody waits for them: those never need one.

The class sets nothing at its making: the state that every future begins with stands on the
class. What the base class and ``wait`` or ``as_completed`` reach for (``_condition``,
``_waiters``, ``_done_callbacks``) comes into being together, at first use.

Why no waiter is missed: the condition is made, and the outcome of a future without one is
set, under the same lock. So either the outcome finds a condition and takes the base
class's way, which notifies; or the waiter makes it after the outcome was set, and sees
that when it looks at the state, which it does before it waits. The lock is a leaf: nothing
is called while it is held but the making of a few plain objects. A finalizer that runs
then could only come back here by waiting for another future of this kind, for which it
takes the reentrant lock again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from logging import getLogger
from time import monotonic_ns
from typing import Any

from .._observe.diary import CALLBACKS, Diary

# Where the base class says it too.
_log = getLogger("concurrent.futures")
_making = threading.RLock()


def _after_fork() -> None:
    """In a forked child: a thread that is not there may have held it."""
    global _making
    _making = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def is_main() -> bool:
    """Is this the main thread, where Ctrl-C arrives?"""
    return threading.current_thread() is threading.main_thread()


class TaskFuture(Future[Any]):
    """See the module; to its users it is a ``concurrent.futures.Future``."""

    _state = PENDING
    _result: Any = None
    _exception: BaseException | None = None
    _made: threading.Condition | None = None
    number = 0  # of the task, in its pool
    owner: Diary | None = None  # the pool's, which marks its futures
    _waiters: list[Any]
    _done_callbacks: list[Callable[[Future[Any]], object]]

    def __init__(self) -> None:
        """All that a future begins with stands on the class."""

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        made = self._made
        if made is None:
            with _making:
                made = self._made
                if made is None:
                    self._waiters = []
                    self._done_callbacks = []
                    made = self._made = threading.Condition()
        return made

    def set_running_or_notify_cancel(self) -> bool:
        with _making:
            if self._made is None and self._state == PENDING:
                self._state = RUNNING
                return True
        return super().set_running_or_notify_cancel()

    def cancel_running(self) -> bool:
        """Cancels it although its task has begun; False when it is done. Whoever calls
        this sees to the task."""
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
        """Mostly in a thread of the pool, which others' tasks need: unlike the base class's,
        it lets nothing that a callback raises end it, be it SystemExit. In the main thread
        KeyboardInterrupt may be a real one, and is raised when all have been called."""
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
        if self._done_callbacks and self.owner is not None:
            self.owner.add(CALLBACKS, began, monotonic_ns())
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
        """In a forked child, where nothing will ever end it: it has ended with ``error``.

        There is one thread here, and a lock that another one held at the fork stays locked:
        so none is taken, and the condition variable is made anew.
        """
        if self._state in (PENDING, RUNNING):
            self._exception = error
            self._state = FINISHED
        self._made = None

    def result(self, timeout: float | None = None) -> Any:
        if self._state == FINISHED and self._exception is None:
            return self._result
        try:
            # Not the base class's ``result``: before Python 3.14 it takes an exception that
            # is falsy (it may have a length, of 0) for none.
            failed = super().exception(timeout)
            if failed is not None:
                raise failed
            return self._result
        finally:
            del self  # the exception's traceback holds this frame: no cycle
            failed = None

    def done(self) -> bool:
        return self._state == FINISHED or super().done()
