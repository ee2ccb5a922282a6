"""Memory of four workers that read a list of dicts in random order, all of it twice.

The sum of PSS of owner and workers at the end. Beside it the same list inherited
by fork, where reading alone copies pages (reference counts are written), and joblib, whose
workers get a copy each. See ``objects`` for the records, ``jobs/annotations`` for the programs.
"""

from __future__ import annotations

from .. import objects
from ..face import Bar, Contender, Figure, Sense, Size, plain

ALLOWED = "1.15 x encoded data + 40 MB per worker"


def contenders(size: Size) -> list[Contender]:
    number = objects.count(size)
    return [
        Contender(
            way,
            lambda w=way: plain(lambda: float(objects.memory(w, number).steps[-1])),
            warm=0,
            needs=number * 20_000,
        )
        for way in (*objects.peers(), *objects.OURS)
    ] + [Contender(ALLOWED, lambda: plain(lambda: objects.allowed(size)), warm=0)]


def bars(_: Size) -> list[Bar]:
    return [Bar(f"sum of PSS / ({ALLOWED})", Sense.AT_MOST, 1.0, objects.OURS, (ALLOWED,))]


FIGURE = Figure(
    "objects",
    f"a list of dicts read by {objects.WORKERS} workers in random order; sum of PSS at the end",
    contenders,
    bars,
    unit="B",
    rounds=1,
)
