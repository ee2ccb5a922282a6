"""``AsyncResult``: the return type of ``apply_async`` and ``map_async``, as in
``multiprocessing``."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import nullcontext
from logging import getLogger
from typing import Any, Generic, TypeVar

from .._observe.diary import CALLBACKS
from .._system import forking
from .._system.interrupts import Event
from ..errors import PoolClosed
from .core import FOREIGN
from .future import is_main

_log = getLogger(__name__)

R_co = TypeVar("R_co", covariant=True)


class AsyncResult(Generic[R_co]):
    """The eventual outcome of a call or a map.

    Args:
        callback: called with the result, before waiting threads are woken.
        error_callback: called with the error, in the same way.
        pool: referenced until there is an outcome: a pool without references is terminated.

    Its creator must see that ``end`` or ``end_as`` is called. Callbacks run in a thread of the pool
    and should return soon; what one raises is logged and has no other effect. Thread-safe.
    """

    __module__ = "onecopy"

    def __init__(
        self,
        callback: Callable[[R_co], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        pool: object = None,
    ) -> None:
        self._pool = pool
        self._value: Any = None
        self._error: BaseException | None = None
        self._callback = callback
        self._error_callback = error_callback
        self._told = Event()
        _pending.add(self)

    def end_as(self, future: Future[Any]) -> None:
        """End with the outcome of a future."""
        error = error_of(future)
        self._end(future.result() if error is None else None, error)

    def end(self, value: Any, error: BaseException | None) -> None:
        """Set the outcome."""
        diary = getattr(self._pool, "_diary", None)
        with nullcontext() if diary is None else diary.at(CALLBACKS):
            self._end(value, error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        callback, error_callback = self._callback, self._error_callback
        self._callback = self._error_callback = self._pool = None
        self._value, self._error = value, error
        try:
            if error is None:
                if callback is not None:
                    callback(value)
            elif error_callback is not None:
                error_callback(error)
        except BaseException as raised:
            # In the main thread it may be Ctrl-C. Elsewhere not even SystemExit may end a thread of
            # the pool, which other tasks need.
            if isinstance(raised, KeyboardInterrupt) and is_main():
                raise
            _log.exception("a callback of a pool's task raised")
        finally:
            self._told.set()
            _pending.discard(self)

    def forked(self) -> None:
        """End, in a forked child, where no outcome will come. A thread that does not exist here may
        hold the event's lock, so the event is replaced."""
        self._told = Event()
        self._callback = self._error_callback = self._pool = None
        self._error = PoolClosed(FOREIGN)
        self._told.set()

    def get(self, timeout: float | None = None) -> R_co:
        """Return the result, or raise the task's error.

        Raises ``multiprocessing.TimeoutError`` if there is none after ``timeout`` seconds.
        """
        self.wait(timeout)
        if not self._told.is_set():
            import multiprocessing

            raise multiprocessing.TimeoutError(f"no result within {timeout} s")
        if self._error is None:
            value: R_co = self._value
            return value
        try:
            raise self._error
        finally:
            del self  # the error's traceback holds this frame: no cycle

    def wait(self, timeout: float | None = None) -> None:
        """Block until there is an outcome, or for ``timeout`` seconds."""
        self._told.wait(timeout)

    def ready(self) -> bool:
        """Return True if there is an outcome."""
        return self._told.is_set()

    def successful(self) -> bool:
        """Return True if the call ended without an error. Raises ValueError if it has not ended."""
        if not self._told.is_set():
            raise ValueError(f"{self!r} has not ended")
        return self._error is None

    def __repr__(self) -> str:
        state = "ended" if self._told.is_set() else "pending"
        return f"<onecopy.AsyncResult, {state}>"


# Those without an outcome so far.
_pending: weakref.WeakSet[AsyncResult[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for result in list(_pending):
        result.forked()
    _pending.clear()


forking.in_child(_after_fork)


def error_of(future: Future[Any]) -> BaseException | None:
    """Return the error of a future that is done and that the caller has not cancelled."""
    try:
        return future.exception()
    except CancelledError:  # cancelled by the pool's own end
        return PoolClosed("the pool was terminated")
