"""Progress of long calls: live bars on a terminal or in a notebook, plain lines elsewhere.

Written to standard error, so that what a program prints stays clean. Bars of calls that run
at the same time stand below each other in one display: a terminal has room for one.

Threads: results are counted by whichever thread of the pool brings them; ``_lock`` guards
the counts of a bar, ``_shared`` the display. The display's own thread draws, ten times a
second, so counting takes a microsecond. Not to be used inside a finalizer.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from time import monotonic
from typing import Any

# Elsewhere than on a terminal a line is written at most this often, in seconds.
_EVERY = 5.0


class _Display:
    """The one live display of this process, while there is a bar."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: Any = None
        self._bars = 0

    def add(self, what: str, total: int | None) -> tuple[Any, Any] | None:
        """A new bar: the display and the bar's number in it. None when there can be no live
        display here, or when the program has one of its own."""
        with self._lock:
            if self._live is None:
                self._live = _started()
            if self._live is None:
                return None
            self._bars += 1
            return self._live, self._live.add_task(what, total=total, rate="", failed="")

    def remove(self) -> None:
        """A bar has ended; it stays to be seen until the last one has."""
        with self._lock:
            self._bars -= 1
            if not self._bars:
                live, self._live = self._live, None
                live.stop()

    def after_fork(self) -> None:
        """In a forked child nobody draws."""
        self._lock = threading.Lock()
        self._live, self._bars = None, 0


_shared = _Display()


def _started() -> Any:
    if sys.stderr is None:
        return None
    from rich.console import Console

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        return None
    from rich.errors import LiveError
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    live = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[failed]}", style="red"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        # What workers print comes out above the bars.
        redirect_stdout=True,
        redirect_stderr=True,
    )
    try:
        live.start()
    except LiveError:  # the program shows something of its own
        return None
    return live


class Progress:
    """How far ``total`` pieces of work have come, the rate, and the time left.

    Args:
        total: how many pieces there are; None when nobody knows.
        what: a word or two in front.
        unit: what the pieces are called.

    Begins when it is made. A context manager, or ended by ``finish``. Thread-safe.
    """

    def __init__(self, total: int | None, what: str, unit: str = "items") -> None:
        self._total = total
        self._what = what
        self._unit = unit
        self._done = self._failed = 0
        self._ended = False
        self._lock = threading.Lock()
        self._began = self._said = monotonic()
        self._live = _shared.add(what, total)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def advance(self, count: int = 1, failed: int = 0) -> None:
        """``count`` more pieces have come to an end, ``failed`` of them badly."""
        with self._lock:
            if self._ended:
                return
            self._done += count
            self._failed += failed
            now = monotonic()
            due = self._live is None and now - self._said >= _EVERY
            if due:
                self._said = now
        if due:
            self._line()
        elif self._live is not None:
            self._update()

    def finish(self) -> None:
        """The work is over, or nobody wants it any more."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        if self._live is None:
            self._line()
        else:
            self._update()
            _shared.remove()

    def _update(self) -> None:
        assert self._live is not None
        live, number = self._live
        failed = f"{self._failed:,} failed" if self._failed else ""
        live.update(number, completed=self._done, rate=self._rate(), failed=failed)

    def _rate(self) -> str:
        spent = monotonic() - self._began
        return f"{self._done / spent:,.0f} {self._unit}/s" if spent > 0 else ""

    def _line(self) -> None:
        if sys.stderr is None:
            return
        text = f"{self._what}: {self._done:,}"
        if self._total:
            text += f" of {self._total:,}"
        text += f" {self._unit}"
        if self._failed:
            text += f", {self._failed:,} failed"
        spent = monotonic() - self._began
        if self._ended:
            text += f" in {_span(spent)}"
        elif self._total:
            left = (self._total - self._done) * spent / max(self._done, 1)
            text += f", {_span(left)} left"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            # Closed, a pipe that nobody reads, no stream at all: the work goes on unseen.
            print(f"{text}, {self._rate()}", file=sys.stderr, flush=True)  # noqa: T201 (its purpose)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def after_fork() -> None:
    """See ``_Display``."""
    _shared.after_fork()
