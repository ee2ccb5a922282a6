"""The progress of long calls: counts of pieces that are done, and of those that failed.

It is written to standard error, so that a program's output stays clean. The callers' options are in
``asked``, the text in ``state``, the place in ``display``.

Threads: the thread of the pool that delivers results counts them; ``_lock`` guards the counts. Do
not use it inside a finalizer.
"""

from __future__ import annotations

import threading
from time import monotonic

from .asked import Bar
from .display import Surface, display
from .state import State, label_of


class Progress:
    """The progress of ``total`` pieces of work, with the rate and the time left.

    Args:
        total: the number of pieces; None if unknown.
        label: a word or two in front.
        unit: the name of the pieces; ``"bytes"`` are written as sizes.
        bar: the caller's own settings.
        piece: bytes per piece, if known.

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
        self._given = bar.total
        self._total = total if bar.total is None else bar.total
        self._label = label_of(label if bar.label is None else bar.label)
        self._unit = label_of(unit if bar.unit is None else bar.unit)
        self._piece = piece
        self._done = self._failed = 0
        self._ended = False
        self._lock = threading.Lock()
        self._ending = threading.RLock()
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
        """Show the bar. ``finish`` must be called, whatever happens to this or to what follows."""
        self._began = monotonic()
        self._surface = display.begin(self.look)
        self._shown = True

    def look(self) -> State:
        """Return the present state."""
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
        """Count ``count`` more pieces that have ended, ``failed`` of which failed."""
        with self._lock:
            if self._ended:
                return
            self._done += count
            self._failed += failed
        if self._shown and self._surface is None:
            display.log.advanced(self.look(), self._began)

    def expect(self, total: int) -> None:
        """Set the number of pieces, which has become known, unless the caller has given it."""
        with self._lock:
            self._total = total if self._given is None else self._given

    def again(self, total: int | None) -> None:
        """Start again from the beginning, with ``total`` pieces."""
        with self._lock:
            self._done = self._failed = 0
            self._total = total

    def finish(self) -> None:
        """End the bar: the work is over, or was dropped.

        Two threads may come: the one that has counted the last piece, and the caller, whose call is
        over then. The second one waits until the first has shown the final state: a notebook keeps
        nothing that is sent after its cell. The lock is reentrant, since a signal handler may end
        the pool in the middle of this. The first one waits for the drawing thread, and never for
        the second.
        """
        with self._ending:
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
