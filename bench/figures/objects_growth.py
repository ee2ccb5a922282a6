"""The same runs as ``objects``: by how much the sum of PSS grew from when each worker had read a
tenth of the records until all had read everything twice. Nothing where what is decoded is
dropped."""

from __future__ import annotations

from .. import objects
from ..face import MB, Bar, Contender, Figure, Sense, Size, plain


def _growth(way: str, number: int) -> float:
    first, *_, last = objects.memory(way, number).steps
    return float(last - first)


def contenders(size: Size) -> list[Contender]:
    number = objects.count(size)
    return [
        Contender(
            way, lambda w=way: plain(lambda: _growth(w, number)), warm=0, needs=number * 20_000
        )
        for way in (*objects.peers(), *objects.OURS)
    ]


def bars(size: Size) -> list[Bar]:
    # Interpreters differ by as much from one pass to the next.
    return [Bar("growth over time", Sense.VALUE, 8 * MB, objects.OURS)]


FIGURE = Figure(
    "objects_growth",
    "growth of that sum from when a tenth has been read",
    contenders,
    bars,
    unit="B",
    rounds=1,
)
