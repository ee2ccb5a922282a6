"""The call of the program that a piece of work belongs to, for the reports.

A loop that submits calls from the same instruction each time. That case is checked first, and costs
a fifth of a microsecond.
"""

from __future__ import annotations

import sys
from types import CodeType

from .._observe.lines import NOWHERE, is_programs, line_of_caller
from .._observe.spans import Recorder
from .functions import Function
from .work import Work

# Frames between the program's and ``site``: the door's method, the engine's, and one more in it.
_OURS = 4


class Callers:
    """See the module. Any thread: the cache is one tuple, replaced as a whole."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._line = NOWHERE
        self._last: tuple[CodeType | None, int, Function | None, str, int]
        self.clear()

    def clear(self) -> None:
        """Forget the last call: the pool has ended."""
        self._last = (None, 0, None, "", 0)

    def site(self, work: Work) -> int:
        """Return the index of the present call."""
        code, at, function, called, site = self._last
        try:
            frame = sys._getframe(_OURS)
        except ValueError:  # the stack is not that deep: none of it is the program's
            frame = sys._getframe()
        if (
            frame.f_code is code
            and frame.f_lasti == at
            and work.function is function
            and function is not None
            and work.rules is None
            and work.called == called
        ):
            return site
        line = line_of_caller(sys._getframe(1))
        if line == NOWHERE:
            # A library's thread that continues the program's work, as joblib's does.
            line = self._line
        self._line = line
        site = self._recorder.site(work.called, work.name, line, work.chunk or 0)
        if is_programs(frame):
            self._last = (frame.f_code, frame.f_lasti, work.function, work.called, site)
        return site
