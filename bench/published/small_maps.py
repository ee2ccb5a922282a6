"""B8. ray-project/ray#21343: a pool made, 1,000 tiny items mapped, the pool ended.

``log2(i + 1) + log10(i + 1)`` for a thousand numbers. Put right: a function with a name instead of
the original's lambda, which the standard library's pools cannot send.
"""

from __future__ import annotations

import math

from ..face import Bar, Contender, Figure, Size
from . import peers
from .peers import Mapper


def logarithms(number: int) -> float:
    """The task."""
    return math.log2(number + 1) + math.log10(number + 1)


def contenders(_: Size) -> list[Contender]:
    def work(mapper: Mapper) -> None:
        assert mapper.map(logarithms, range(1000))[0] == 0.0

    return peers.cold(work, peers.workers())


def bars(_: Size) -> list[Bar]:
    return peers.ahead("1,000 tiny items, start and end of the pool included")


FIGURE = Figure(
    "small_maps",
    "B8, ray#21343: 1,000 tiny items; seconds, start and end of the pool included",
    contenders,
    bars,
    rounds=7,
)
