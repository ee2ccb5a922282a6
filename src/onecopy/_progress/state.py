"""The text of a progress bar: the same on a terminal, in a notebook and in a log."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import human_bytes, printable

BYTES = "bytes"


class State(NamedTuple):
    """The state of a bar at one time.

    Attributes:
        label: the text in front.
        unit: the name of the pieces; ``"bytes"`` are written as sizes.
        done, failed: pieces that have ended, and those of them that failed.
        total: the number of pieces; None if unknown.
        seconds: since the beginning.
        ended: the work is over.
        piece: bytes per piece; 0 if unknown.
    """

    label: str
    unit: str
    done: int
    failed: int
    total: int | None
    seconds: float
    ended: bool
    piece: float

    def so_far(self) -> str:
        """Return ``1,200 of 5,000 items``."""
        of = "" if self.total is None else f" of {self._amount(self.total)}"
        unit = "" if self.unit == BYTES else f" {self.unit}"
        return f"{self._amount(self.done)}{of}{unit}"

    def rate(self) -> str:
        """Return ``312 items/s``, or ``1.2 GB/s``; empty if nothing is done."""
        if not self.done or self.seconds <= 0:
            return ""
        pace = self.done / self.seconds
        if self.unit == BYTES or self.piece:
            return f"{human_bytes(round(pace * (self.piece or 1)))}/s"
        if pace >= 10:
            return f"{pace:,.0f} {self.unit}/s"
        return f"{pace:.2g} {self.unit}/s"

    def failures(self) -> str:
        """Return ``3 failed``, or an empty string."""
        return f"{self.failed:,} failed" if self.failed else ""

    def time(self) -> str:
        """Return ``0:12 left``, ``in 0:30`` at the end, or how long it has taken so far."""
        if self.ended:
            return f"in {span(self.seconds)}"
        if self.total is None or not self.done:
            return span(self.seconds)
        left = max(0, self.total - self.done) * self.seconds / self.done
        return f"{span(left)} left"

    def line(self) -> str:
        """Return all of it, as a line of a log."""
        words = ", ".join(filter(None, [self.so_far(), self.failures()]))
        words += f" {self.time()}" if self.ended else f", {self.time()}"
        return ", ".join(filter(None, [f"{self.label}: {words}", self.rate()]))

    def _amount(self, pieces: int) -> str:
        return human_bytes(pieces) if self.unit == BYTES else f"{pieces:,}"


def label_of(text: str) -> str:
    """Return a function's name as people know it, without control characters."""
    return printable(text.removeprefix("__main__."))


def span(seconds: float) -> str:
    """Return ``0:12``, ``3:00:12``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
