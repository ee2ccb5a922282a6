"""Heavy modules that ``import onecopy`` brings along: none.

Counted in a fresh interpreter, among those that would each cost more than the library's own
import is allowed to.
"""

from __future__ import annotations

from ..face import Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

HEAVY = ("numpy", "rich", "typer")
ONECOPY = "import onecopy"
PROGRAM = f"import sys, onecopy; print(sum(name in sys.modules for name in {HEAVY!r}))"


def contenders(_: Size) -> list[Contender]:
    return [Contender(ONECOPY, lambda: plain(lambda: float(timed(["-c", PROGRAM])[1])), warm=0)]


def bars(_: Size) -> list[Bar]:
    return [Bar("of numpy, rich and typer, imported", Sense.VALUE, 0, (ONECOPY,))]


FIGURE = Figure(
    "import_modules",
    "heavy modules that import onecopy brings along",
    contenders,
    bars,
    unit="",
    rounds=1,
)
