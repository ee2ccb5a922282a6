"""B9. scipy/scipy#12872: ``cmath.sqrt`` of 100 complex numbers by a warm pool's ``map``."""

from __future__ import annotations

import cmath

from ..face import Bar, Contender, Figure, Size, per_call
from . import peers
from .peers import Mapper

CALLS = 20


def contenders(_: Size) -> list[Contender]:
    numbers = [complex(at, at / 3) for at in range(100)]
    expected = list(map(cmath.sqrt, numbers))

    def work(mapper: Mapper) -> float:
        assert mapper.map(cmath.sqrt, numbers) == expected
        return per_call(lambda: mapper.map(cmath.sqrt, numbers), CALLS)

    return peers.warm(work, peers.workers())


def bars(_: Size) -> list[Bar]:
    return peers.ahead("100 roots, warm")


FIGURE = Figure(
    "complex_roots",
    f"B9, scipy#12872: 100 complex roots, a warm pool; per map, over {CALLS}",
    contenders,
    bars,
)
