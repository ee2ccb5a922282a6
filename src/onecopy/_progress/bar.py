"""Progress of long calls, counted: how many pieces are done, and how many of them badly.

Written to standard error, so that what a program prints stays clean. What callers may say of
it is in ``asked``, the words for it in ``state``, and where it is shown in ``display``.

Threads: results are counted by whichever thread of the pool brings them; ``_lock`` guards the
counts. Not to be used inside a finalizer.
"""

from __future__ import annotations

import threading
from time import monotonic

from .asked import Bar
from .display import Surface, display
from .state import State, label_of


class Progress:
    """How far ``total`` pieces of work have come, the rate, and the time left.

    Args:
        total: how many pieces there are; None when nobody knows.
        label: a word or two in front.
        unit: what the pieces are called; ``"bytes"`` are written as sizes.
        bar: what the caller wants otherwise.
        piece: bytes that a piece stands for, where that is known.

    Shown from ``start`` to ``finish``, or as a context manager. Thread-safe.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        unit: str = "items",
        bar: Bar | None = None,
        piece: float = 0.0,
    ) -> None:
        bar = bar or Bar()
        self._total = total if bar.total is None else bar.total
        self._label = label_of(label if bar.label is None else bar.label)
        self._unit = label_of(unit if bar.unit is None else bar.unit)
        self._piece = piece
        self._done = self._failed = 0
        self._ended = False
        self._lock = threading.Lock()
        self._began = monotonic()
        self._stopped = 0.0
        self._surface: Surface | None = None
        self._shown = False

    def __enter__(self) -> Progress:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def start(self) -> None:
        """Shows it. ``finish`` is to be called whatever becomes of this, or of what comes next."""
        self._began = monotonic()
        self._surface = display.begin(self.look)
        self._shown = True

    def look(self) -> State:
        """How far it is."""
        now = self._stopped if self._ended else monotonic()
        return State(
            self._label,
            self._unit,
            self._done,
            self._failed,
            self._total,
            now - self._began,
            self._ended,
            self._piece,
        )

    def advance(self, count: int = 1, failed: int = 0) -> None:
        """``count`` more pieces have come to an end, ``failed`` of them badly."""
        with self._lock:
            if self._ended:
                return
            self._done += count
            self._failed += failed
        if self._shown and self._surface is None:
            display.log.advanced(self.look(), self._began)

    def again(self, total: int | None) -> None:
        """The work has to be done once more, from the beginning, of so many pieces."""
        with self._lock:
            self._done = self._failed = 0
            self._total = total

    def finish(self) -> None:
        """The work is over, or nobody wants it any more."""
        with self._lock:
            if self._ended:
                return
            self._stopped = monotonic()
            self._ended = True
        if not self._shown:
            return
        if self._surface is None:
            display.log.ended(self.look())
        else:
            display.end(self._surface, self.look)


def after_fork() -> None:
    """See ``Display``."""
    display.after_fork()
