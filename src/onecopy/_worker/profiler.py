"""The profiler of a worker: samples its stack a hundred times a second.

A thread of the worker takes the samples, and adds the time since the last one to the stack that it
finds: a late sample, because a call into C has held the interpreter, weighs more. The samples are
sent to the owner before a result, about twenty times a second at most. Stacks are bounded in depth
and number.

Threads. The thread adds to a dict, and the worker's own thread replaces it by an empty one. A
sample that is added to the old one at that very moment is lost: it is a hundredth of a second.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from time import monotonic_ns, sleep
from types import CodeType, FrameType
from typing import Any

from .._protocol.failures import name_of

_PERIOD = 0.01
_SEND = 50_000_000  # nanoseconds between messages
_DEEP = 100
_STACKS = 5_000
_OURS = __file__[: -len("_worker/profiler.py")]

Place = tuple[str, str, int]
"""A function's qualified name, its file, and the line that it is at."""
Seen = list[tuple[str, tuple[Place, ...], int]]
"""Of each stack: the task's function, the stack from there on inwards, and nanoseconds."""


class Profiler:
    """See the module.

    Args:
        at_work: returns the function that is being run, or None.
    """

    def __init__(self, at_work: Callable[[], Any]) -> None:
        self._at_work = at_work
        self._seen: dict[tuple[Any, tuple[tuple[CodeType, int], ...]], int] = {}
        self._sent = monotonic_ns()
        self._thread = threading.get_ident()

    def start(self) -> None:
        """Sample the calling thread from now on."""
        self._thread = threading.get_ident()
        threading.Thread(target=self._run, name="onecopy-profiler", daemon=True).start()

    def take(self) -> Seen:
        """Return the samples since the last time; nothing if that was a moment ago."""
        now = monotonic_ns()
        if not self._seen or now - self._sent < _SEND:
            return []
        self._sent = now
        seen, self._seen = self._seen, {}
        return [
            (name_of(function), tuple(_place(*each) for each in stack), spent)
            for (function, stack), spent in list(seen.items())
        ]

    def _run(self) -> None:
        since = monotonic_ns()
        while True:
            sleep(_PERIOD)
            now = monotonic_ns()
            function = self._at_work()
            if function is not None:
                self._look(function, now - since)
            since = now

    def _look(self, function: Any, spent: int) -> None:
        frame: FrameType | None = sys._current_frames().get(self._thread)
        stack: list[tuple[CodeType, int]] = []
        while frame is not None and not frame.f_code.co_filename.startswith(_OURS):
            stack.append((frame.f_code, frame.f_lineno or 0))
            frame = frame.f_back
        seen = self._seen
        key = (function, tuple(stack[-_DEEP:][::-1]))
        try:
            if key not in seen and len(seen) >= _STACKS:
                key = (function, ())
            seen[key] = seen.get(key, 0) + spent
        except TypeError:  # a function that cannot be hashed
            key = (type(function), key[1])
            seen[key] = seen.get(key, 0) + spent


def _place(code: CodeType, line: int) -> Place:
    name = getattr(code, "co_qualname", code.co_name)  # from Python 3.11 on
    return str(name), code.co_filename, line
