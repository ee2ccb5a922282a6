"""The place where bars are shown: a terminal, a notebook, or otherwise occasional lines.

All bars of the process share one surface, which is chosen when the first bar begins. A thread reads
their states ten times a second while there are any, so that counting costs almost nothing. Lines of
a log need no thread: see ``Log``.

Threads: ``_lock`` guards the list of bars. It is reentrant: a signal handler may make a call that
shows its progress, while another bar begins.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import Protocol

from .._system import forking
from .._system.interrupts import Event
from . import guests
from .state import State
from .terminal import Terminal

# Seconds between two drawings.
_OFTEN = 0.1
# Seconds between two lines of a log for bars with the same label, at least.
EVERY = 5.0

Look = Callable[[], State]


class Surface(Protocol):
    """A surface for bars; each bar is identified by the function that returns its state."""

    def begin(self, look: Look) -> None:
        """Add a bar."""
        ...

    def tick(self) -> None:
        """Draw the bars' present states."""
        ...

    def end(self, look: Look) -> None:
        """Remove a bar that has ended."""
        ...

    def unhook(self) -> None:
        """Restore everything as it was found; takes no lock."""
        ...


class Log:
    """Plain lines on standard error: one at most every few seconds for each label. A bar that has
    written a line also writes one at its end, unless its last line is fresh."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def advanced(self, state: State, began: float) -> None:
        """Note that a bar has advanced; it may write a line."""
        if monotonic() - max(began, self._said.get(state.label, 0.0)) >= EVERY:
            self._say(state)

    def ended(self, state: State) -> None:
        """Write the last line, unless a line with the label is fresh: not one for each of many
        short calls."""
        fresh = monotonic() - self._said.get(state.label, -EVERY) < EVERY
        if not fresh or state.seconds >= EVERY:
            self._say(state)

    def _say(self, state: State) -> None:
        if len(self._said) > 1000:
            self._said.clear()
        self._said[state.label] = monotonic()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            # Closed, a pipe that nothing reads, no stream at all: the work goes on unseen.
            print(state.line(), file=sys.stderr, flush=True)  # noqa: T201 (its purpose)


class Display:
    """See the module."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._surface: Surface | None = None
        self._bars = 0
        self._over: Event | None = None
        self._thread: threading.Thread | None = None
        self.log = Log()

    def begin(self, look: Look) -> Surface | None:
        """Return the surface that shows the bar; None: its lines go to a log."""
        with self._lock:
            if self._surface is None:
                self._surface = _surface()
            surface = self._surface
            if surface is None:
                return None
            self._bars += 1
            try:
                surface.begin(look)
                if self._thread is None:
                    self._start(surface)
            except BaseException:  # Ctrl-C in the middle of it
                self.end(surface, look)
                raise
            return surface

    def end(self, surface: Surface, look: Look) -> None:
        """End a bar."""
        thread = None
        with self._lock:
            if surface is not self._surface:
                return  # from before a fork
            self._bars -= 1
            if not self._bars:
                self._surface = None
                thread, self._thread = self._thread, None
                if self._over is not None:
                    self._over.set()
            surface.end(look)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @contextmanager
    def pause(self, *, handlers: bool) -> Iterator[None]:
        """Hide the bars while something may write past the standard streams.

        Args:
            handlers: functions of the program are called, not only streams.
        """
        surface = self._surface
        own = surface.pause() if isinstance(surface, Terminal) else nullcontext()
        with own, guests.cleared(handlers=handlers):
            yield

    def after_fork(self) -> None:
        """Reset a forked child: it draws nothing, and its streams are its own."""
        surface = self._surface
        self.__init__()  # type: ignore[misc]  # a lock may be held by a thread that is not here
        if surface is not None:
            surface.unhook()

    def _start(self, surface: Surface) -> None:
        over = self._over = Event()

        def draw() -> None:
            while not over.wait(_OFTEN):
                surface.tick()

        thread = threading.Thread(target=draw, name="onecopy-progress", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads: only begin and end are shown
            thread.start()
            self._thread = thread


def _surface() -> Surface | None:
    if "IPython" in sys.modules:
        from .notebook import Notebook, kernel  # a program must not wait for HTML's entities

        shell = kernel()
        if shell is not None:
            return Notebook(shell)
    stream = sys.stderr
    try:
        if stream is None or not stream.isatty() or os.environ.get("TERM") == "dumb":
            return None
    except (ValueError, AttributeError):  # closed, or an object with fewer methods
        return None
    if type(stream).__module__.startswith("rich."):
        return None  # a display of the program's own, which takes lines
    return Terminal()


display = Display()
forking.in_child(display.after_fork)
