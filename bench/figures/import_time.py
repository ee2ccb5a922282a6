"""``import onecopy``: what a program pays that does not use it yet.

Fresh interpreters, timed from outside, with nothing but the import as their program; the
bar is on the difference to one whose program is empty. NumPy's import is measured beside it, as
the measure of what is avoided. Which modules come along is in ``import_modules``.
"""

from __future__ import annotations

from ..face import Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

BARE, ONECOPY, NUMPY = "bare interpreter", "import onecopy", "import numpy"

PROGRAMS = {BARE: "pass", ONECOPY: "import onecopy", NUMPY: "import numpy"}


def _timed(program: str) -> float:
    return timed(["-c", program])[0]


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(name, lambda program=program: plain(lambda: _timed(program)))
        for name, program in PROGRAMS.items()
    ]


def bars(_: Size) -> list[Bar]:
    return [Bar("import onecopy, over a bare interpreter", Sense.OVER, 0.030, (ONECOPY,), (BARE,))]


FIGURE = Figure(
    "import_time",
    "a fresh interpreter that imports and ends",
    contenders,
    bars,
    rounds=15,
)
