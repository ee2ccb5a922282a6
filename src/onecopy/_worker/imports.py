"""How long a worker spends importing modules, while it unpacks a task and inside its function.

The interpreter looks ``_find_and_load`` up in its own import machinery each time that a module
has to be imported which is not there yet, and only then: an ``import`` of a module that is
there costs nothing. That function is wrapped by one that measures the outermost import. The
wrapper's code bears the file name of the machinery, by which the interpreter leaves such
frames out of tracebacks, and ``warnings`` out of its levels.
"""

from __future__ import annotations

import _frozen_importlib
import resource
import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from .._system.usage import Delay

Spent = tuple[int, int, int]
"""Nanoseconds: of time, of this process's CPU time, of being ready to run without a CPU."""
NONE: Spent = (0, 0, 0)
# An import that takes so many nanoseconds is told of by its name.
_LONG = 10_000_000


class Imports:
    """Measures imports of the thread that has called ``watch``.

    Args:
        delay: of that thread.

    Attributes:
        spent: since ``take`` was called last. The very object ``NONE`` when nothing was
            imported.
        long: what was imported since ``take_long``, and took long: nanoseconds of CPU time,
            by the outermost package.
    """

    def __init__(self, delay: Delay) -> None:
        self.spent = NONE
        self.long: dict[str, int] = {}
        self._delay = delay

    def take(self) -> Spent:
        """``spent``; it begins anew."""
        spent, self.spent = self.spent, NONE
        return spent

    def take_long(self) -> dict[str, int]:
        """``long``; it begins anew."""
        long, self.long = self.long, {}
        return long

    def _note(self, name: str, took: int, cpu: int, delayed: int) -> None:
        before = self.spent
        self.spent = (before[0] + took, before[1] + cpu, before[2] + delayed)
        if took >= _LONG:
            package = name.partition(".")[0]
            self.long[package] = self.long.get(package, 0) + cpu

    def watch(self) -> None:
        """Imports are measured from now on, for as long as this process lives."""
        machinery: Any = _frozen_importlib
        plain: Callable[[str, Any], Any] = machinery._find_and_load
        me, inside = threading.get_ident(), False

        def find_and_load(name: str, import_: Any) -> Any:
            nonlocal inside
            if inside or threading.get_ident() != me:
                return plain(name, import_)
            inside = True
            began, before, reading = monotonic_ns(), _cpu(), self._delay.now()
            try:
                return plain(name, import_)
            finally:
                inside = False
                took, cpu = monotonic_ns() - began, _cpu() - before
                self._note(name, took, cpu, self._delay.since(reading)[1])

        code = find_and_load.__code__.replace(co_filename=plain.__code__.co_filename)
        find_and_load.__code__ = code
        machinery._find_and_load = find_and_load


def _cpu() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1e9)
