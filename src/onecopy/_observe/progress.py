"""Progress of a long call: a live bar on a terminal, plain lines now and then elsewhere.

Written to standard error, so that what a program prints stays clean.
"""

from __future__ import annotations

import sys
from time import monotonic
from types import TracebackType
from typing import Any

# Elsewhere than on a terminal a line is written at most this often, in seconds.
_EVERY = 5.0


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows how far ``total`` pieces of work have come, the rate, and the time left.

    Args:
        total: how many pieces there are; None when nobody knows.
        what: a word or two in front.
        unit: what the pieces are called.

    Used by one thread, as a context manager.
    """

    def __init__(self, total: int | None, what: str, unit: str = "items") -> None:
        self._total = total
        self._what = what
        self._unit = unit
        self._done = 0
        self._began = self._said = monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        self._began = self._said = monotonic()
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar = self._live()
            self._bar.start()
        return self

    def _live(self) -> Any:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = bar.add_task(self._what, total=self._total, rate="")
        return bar

    def _rate(self) -> str:
        spent = monotonic() - self._began
        return f"{self._done / spent:,.0f} {self._unit}/s" if spent > 0 else ""

    def advance(self, count: int = 1) -> None:
        """``count`` more pieces are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=self._rate())
        elif monotonic() - self._said >= _EVERY:
            self._line()

    def _line(self) -> None:
        self._said = monotonic()
        if sys.stderr is None:
            return
        text = f"{self._what}: {self._done:,}"
        if self._total:
            left = (self._total - self._done) * (self._said - self._began) / max(self._done, 1)
            text += f" of {self._total:,} {self._unit}, {_span(left)} left"
        print(f"{text}, {self._rate()}", file=sys.stderr, flush=True)  # noqa: T201 (its purpose)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._line()
