"""How long a worker spends importing modules, while it unpacks a task and inside its function.

The interpreter looks ``_find_and_load`` up in its own import machinery each time that a module
has to be imported which is not there yet, and only then: an ``import`` of a module that is
there costs nothing. That function is wrapped by one that measures the outermost import. The
wrapper's code bears the file name of the machinery, by which the interpreter leaves such
frames out of tracebacks, and ``warnings`` out of its levels.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from importlib import _bootstrap  # type: ignore[attr-defined]  # the machinery itself
from time import monotonic_ns
from typing import Any

NONE = (0, 0)


class Imports:
    """Measures imports of the thread that has called ``watch``.

    Attributes:
        spent: nanoseconds since ``take`` was called last: of time, and of this process's
            CPU time. The very object ``NONE`` when nothing was imported.
    """

    def __init__(self) -> None:
        self.spent = NONE

    def take(self) -> tuple[int, int]:
        """``spent``; it begins anew."""
        spent, self.spent = self.spent, NONE
        return spent

    def watch(self) -> None:
        """Imports are measured from now on, for as long as this process lives."""
        plain: Callable[[str, Any], Any] = _bootstrap._find_and_load
        me, inside = threading.get_ident(), False

        def find_and_load(name: str, import_: Any) -> Any:
            nonlocal inside
            if inside or threading.get_ident() != me:
                return plain(name, import_)
            inside = True
            began, before = monotonic_ns(), _cpu()
            try:
                return plain(name, import_)
            finally:
                inside = False
                took, cpu = self.spent
                self.spent = took + monotonic_ns() - began, cpu + _cpu() - before

        code = find_and_load.__code__.replace(co_filename=plain.__code__.co_filename)
        find_and_load.__code__ = code
        _bootstrap._find_and_load = find_and_load


def _cpu() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1e9)
