"""The console that reports, the doctor and the lab print to: nothing in a text controls it.

Names of functions, files and messages are the program's, and may contain anything. A character
that a terminal would obey is printed as an escape: ``\\x1b``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..errors import printable

_WIDTH = 80


class Screen(Console):
    """See the module.

    Args:
        file: the destination; standard output if None.
        width: columns; the terminal's if None, 80 elsewhere: cells of a saved notebook are not wider.
    """

    def __init__(self, file: IO[str] | None = None, width: int | None = None) -> None:
        file = file or sys.stdout
        super().__init__(file=file, width=width, highlight=False, soft_wrap=False)
        if width is None and (self.is_jupyter or not self.is_terminal):
            self.width = _WIDTH

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the segments of ``renderable``, with control characters escaped."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, kept="\n"), segment.style)
