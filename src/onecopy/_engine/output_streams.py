"""The owner's standard streams, as the place where workers' output is printed.

A line that a worker prints piece by piece, each piece flushed, stays whole if its pieces follow
each other within ``LINE`` seconds: the output of others waits that long. On a
terminal, no control sequence but those of colours and bars is obeyed (``tamed``). The streams may be
anything: closed, None, a pipe that nothing reads, an object of the program's with no method but
``write``. A stream that cannot be written to is complained about once.
"""

from __future__ import annotations

import contextlib
import sys
from time import monotonic
from typing import Any

from .._progress.tamed import is_terminal, tamed

STDOUT, STDERR, STDOUT_FLUSHED, STDERR_FLUSHED = range(3, 7)
LINE = 0.1


class Mouth:
    """See the module. One thread."""

    def __init__(self) -> None:
        # By stream: the worker in the middle of a line, and since when.
        self._open: dict[str, tuple[int, float]] = {}
        self._broken: dict[str, Any] = {}  # streams that were complained about

    def is_busy(self, kind: int, worker: int) -> bool:
        """Return True if another worker is in the middle of a line."""
        other, since = self._open.get(_name(kind), (worker, 0.0))
        return other != worker and monotonic() - since < LINE

    def is_in_line(self) -> bool:
        """Return True if any worker is in the middle of a line."""
        return any(monotonic() - since < LINE for _, since in self._open.values())

    def end_line(self) -> None:
        """Stop waiting for the end of a line."""
        self._open.clear()

    def say(self, kind: int, text: str, worker: int) -> None:
        """Write what a worker has printed. Raises nothing: a broken stream of the owner does not
        concern the pool."""
        name = _name(kind)
        flushed = kind in (STDOUT_FLUSHED, STDERR_FLUSHED)
        stream = getattr(sys, name)
        if stream is None:
            return  # the program has none: its own output goes nowhere either
        try:
            _write(stream, tamed(text) if is_terminal(stream) else text)
            if flushed and hasattr(stream, "flush"):
                stream.flush()
        except Exception as error:
            self._complain(name, stream, error)
        if flushed and text and not text.endswith("\n"):
            self._open[name] = (worker, monotonic())
        elif text:
            self._open.pop(name, None)

    def _complain(self, name: str, stream: Any, error: Exception) -> None:
        if self._broken.get(name) is stream:
            return
        self._broken[name] = stream
        if name == "stderr" or sys.stderr is None:
            return
        line = (
            f"onecopy: what workers print cannot be written to sys.{name} "
            f"({type(error).__name__}: {error}); this is said once\n"
        )
        with contextlib.suppress(Exception):  # there is nowhere to report to
            sys.stderr.write(line)


def _name(kind: int) -> str:
    return "stdout" if kind in (STDOUT, STDOUT_FLUSHED) else "stderr"


def _write(stream: Any, text: str) -> None:
    if not text:
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
