"""The owner's standard streams, as far as workers' words come out of them.

A line that a worker prints piece by piece, each piece flushed, stays whole if its pieces
follow each other within ``LINE`` seconds: what others print waits that long. And the streams
may be anything: closed, None, a pipe that nobody reads, an object of the program's with no
more than ``write``. One that cannot be written to is complained about once.
"""

from __future__ import annotations

import contextlib
import sys
from time import monotonic
from typing import Any

STDOUT, STDERR, STDOUT_FLUSHED, STDERR_FLUSHED = range(3, 7)
LINE = 0.1


class Mouth:
    """See the module. One thread."""

    def __init__(self) -> None:
        # By stream: the worker that is in the middle of a line, and since when.
        self._open: dict[str, tuple[int, float]] = {}
        self._broken: dict[str, Any] = {}  # the streams that were complained about

    def is_busy(self, kind: int, worker: int) -> bool:
        """Is another worker in the middle of a line?"""
        other, since = self._open.get(_name(kind), (worker, 0.0))
        return other != worker and monotonic() - since < LINE

    def is_in_line(self) -> bool:
        """Is any worker?"""
        return any(monotonic() - since < LINE for _, since in self._open.values())

    def end_line(self) -> None:
        """Nobody need wait for the end of a line any longer."""
        self._open.clear()

    def say(self, kind: int, text: str, worker: int) -> None:
        """Writes what a worker has printed. Raises nothing: how the owner's streams fare is
        nothing to the pool."""
        name = _name(kind)
        flushed = kind in (STDOUT_FLUSHED, STDERR_FLUSHED)
        stream = getattr(sys, name)
        if stream is None:
            return  # the program has none: what it prints itself goes nowhere either
        try:
            _write(stream, text)
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
        with contextlib.suppress(Exception):  # then nobody can be told
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
