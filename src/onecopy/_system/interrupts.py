"""Signals whose handlers raise, Ctrl-C above all, and the state that the main thread changes.

The interpreter runs the handlers that a program has set between any two steps of the main thread.
One that raises, as Ctrl-C's does, may leave a table half changed: work that is with no worker, or a
message that has been read and not handled, and so a pool that waits for ever. Such a section looks
like this::

    with Uninterrupted():
        effects = core.submit(...)
        effects.carry_out()

For its duration each handler is replaced by one that takes note. At its end the handlers run that
are due. To swap one takes 0.3 us and no lock. Blocking signals (``pthread_sigmask``) would not do:
another thread receives the signal then, and its handler runs in the main thread all the same.

A section may have to wait, or to call what a program has written, ``__reduce__`` say. ``pass_on``
lets handlers through for the time of a wait. And a second signal that comes a second after the
first is passed on at once: it is Ctrl-C pressed again, most likely.

``Condition`` and ``Event`` are the standard library's without its two gaps. ``with condition``
calls ``__enter__``, a function in Python: a handler that raises at its end leaves the lock taken,
and every thread that needs it waits for ever. And a wait that a handler ends may not have the lock
that the block's exit releases, or another thread's.
"""

from __future__ import annotations

import signal
import threading
from _thread import allocate_lock, interrupt_main, start_new_thread
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from threading import get_ident
from time import monotonic
from types import FrameType
from typing import Any, TypeVar

from . import forking

T = TypeVar("T")

# Those for which programs set handlers that raise.
_SIGNALS = tuple(
    int(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
# The handlers of an event loop raise nothing: its own thread reads of the signal from a pipe. And
# ``loop.add_signal_handler`` makes system calls go on after a signal, which ``_set`` would undo.
_ASYNCIO = "asyncio.unix_events"
# Seconds that threads sleep at a time. A signal that arrives in the instant before the main thread
# sleeps is noted by the interpreter and handled when the thread next runs.
SLICE = 1.0
_PATIENCE = 1.0  # seconds after which a second signal is passed on
try:  # without the conversions to enumerations, which take 5 us
    from _signal import getsignal as _get  # type: ignore[import-not-found]
    from _signal import signal as _set
except ImportError:  # not CPython
    _get, _set = signal.getsignal, signal.signal

_main = threading.main_thread().ident


class Uninterrupted:
    """A context manager; see the module. In other threads than the main one it does nothing.

    Args:
        later: run the handlers that are due soon after the section: in a finalizer, what a handler
            raises is printed and lost.
    """

    # The rest is set when a signal comes.
    _due: tuple[int, ...] = ()
    _noted_at = 0.0
    _later = _over = _passing = False

    def __init__(self, *, later: bool = False) -> None:
        self._handlers: dict[int, Any] = {}
        if later:
            self._later = True

    def __enter__(self) -> Uninterrupted:
        if get_ident() != _main:
            return self
        handlers = self._handlers
        try:
            for number in _SIGNALS:
                handler = _get(number)
                if not callable(handler):  # SIG_DFL, SIG_IGN, or not set by Python
                    continue
                if handler is not signal.default_int_handler:
                    handler = self._original(number, handler)
                    if getattr(handler, "__module__", "") == _ASYNCIO:
                        continue
                handlers[number] = handler
                # Runs handlers that are due before it changes anything.
                _set(number, self._note)
        except ValueError:  # a subinterpreter: it handles no signals
            handlers.clear()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._handlers:
            try:
                self._restore()
            finally:
                if self._due:
                    self._run_due(_soon if self._later else _now)

    @property
    def hold(self) -> bool:
        """True if signals are held back: in the main thread of most programs."""
        return bool(self._handlers)

    def leave(self) -> None:
        """End the section in a forked child; signals that came before are the parent's."""
        self._due = ()
        self._restore()
        self._handlers.clear()

    def pass_on(self, wait: Callable[[], T]) -> T:
        """Call ``wait`` while handlers run as ever. It must change nothing, for it may be ended at
        any step."""
        self._passing = True
        try:
            if self._due:
                self._run_due(lambda number: self._note(number, None))
            return wait()
        finally:
            self._passing = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if self._passing or self._over or (self._due and now - self._noted_at > _PATIENCE):
            self._handlers[number](number, frame)
            return
        if not self._due:
            self._noted_at = now
        if number not in self._due:
            self._due += (number,)

    def _run_due(self, run: Callable[[int], object]) -> None:
        """Run the handlers that are due, even if one of them raises."""
        if self._due:
            number, *rest = self._due
            self._due = tuple(rest)
            try:
                run(number)
            finally:
                self._run_due(run)

    def _restore(self) -> None:
        """Restore the handlers, unless the program has set others since."""
        # SIGINT last: most programs have it alone, and once it is restored, it may raise at any
        # step. Should one raise in here, the rest pass their signals on until the next section's
        # end.
        try:
            for number in reversed(self._handlers):
                if _get(number) == self._note:
                    _set(number, self._handlers[number])
        except BaseException:
            self._over = True
            raise

    @staticmethod
    def _original(number: int, handler: Any) -> Any:
        """Return ``handler``; if an earlier section has not restored it, what was there then."""
        section = getattr(handler, "__self__", None)
        if type(section) is Uninterrupted and section._over:
            return section._handlers[number]
        return handler


def raised_by_handler(error: BaseException) -> bool:
    """Return True if the handler of a signal has raised the error, in the middle of what ran then
    (``signal.alarm`` and a handler that raises TimeoutError, say): it is the program's own, and must
    not be told as an error of a file, of pickling, or of a task."""
    if get_ident() != _main:
        return False
    codes = {_code_of(number) for number in _SIGNALS}
    at = vars(BaseException)["__traceback__"].__get__(error)
    while at is not None:
        if at.tb_frame.f_code in codes:
            return True
        at = at.tb_next
    return False


def _code_of(number: int) -> object:
    """Return the code of a signal's handler; None if that is not in Python."""
    handler = _get(number)
    while type(section := getattr(handler, "__self__", None)) is Uninterrupted:
        handler = section._handlers[number]  # which the section has replaced
    while isinstance(handler, partial):
        handler = handler.func
    if not callable(handler):
        return None
    called = handler if hasattr(handler, "__code__") else type(handler).__call__
    return getattr(called, "__code__", None)


def _now(number: int) -> None:
    interrupt_main(signal.Signals(number))


def _soon(number: int) -> None:
    """Run the handler when the main thread waits or its turn is over: it is no longer in the
    finalizer then. A real signal, for it ends a wait."""
    assert _main is not None
    start_new_thread(signal.pthread_kill, (_main, number))


class Condition(threading.Condition):
    """A condition variable that no handler of a signal breaks; see the module."""

    # The lock's own methods, which are not in Python: no handler runs between them and the block.
    __enter__ = property(attrgetter("_lock.__enter__"))
    __exit__ = property(attrgetter("_lock.__exit__"))

    def wait(self, timeout: float | None = None) -> bool:
        """As the standard library's; but Ctrl-C is noticed within a second even if it comes in the
        instant before the thread sleeps, when the system has nothing to interrupt."""
        waiter = allocate_lock()
        waiter.acquire()
        end = None if timeout is None else monotonic() + timeout
        parts: Any = self  # private in the standard library, and the same in 3.11 to 3.15
        with Uninterrupted() as signals:
            parts._waiters.append(waiter)
            saved, told = parts._release_save(), False
            try:
                while not told:
                    left = threading.TIMEOUT_MAX if end is None else max(0.0, end - monotonic())
                    # Other threads are not interrupted, and sleep as long as they like.
                    step = min(left, SLICE) if signals.hold else min(left, threading.TIMEOUT_MAX)
                    told = signals.pass_on(partial(waiter.acquire, True, step))
                    if step == left:
                        break
                return told
            finally:
                parts._acquire_restore(saved)
                if not told and waiter in parts._waiters:
                    parts._waiters.remove(waiter)


class Event(threading.Event):
    """An event that no handler of a signal breaks; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self._cond = Condition(threading.Lock())


def _after_fork() -> None:
    global _main
    _main = get_ident()


forking.in_child(_after_fork)
