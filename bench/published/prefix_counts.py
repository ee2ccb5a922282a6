"""B2. Robert Nishihara, "10x Faster Parallel Python Without Python Multiprocessing" (2019), 2.

Ten documents for each core, of 10,000 words of 20 random bytes; prefixes counted by workers that
have a state (``prefixes``); seconds by a warm pool.
"""

from __future__ import annotations

import time

from ..face import Bar, Contender, Figure, Size
from . import peers
from .peers import Mapper
from .prefixes import documents, popular


def contenders(size: Size) -> list[Contender]:
    workers = peers.workers()

    def work(mapper: Mapper) -> float:
        given = documents(10 * workers, 10_000 if size.full else 2000)
        start = time.perf_counter()
        popular(mapper, given, workers)
        return time.perf_counter() - start

    return peers.warm(work, workers)


def bars(_: Size) -> list[Bar]:
    return peers.ahead("prefixes of ten documents for each core, warm")


FIGURE = Figure(
    "prefix_counts",
    "B2, Nishihara: prefixes counted by workers with a state, a warm pool; seconds",
    contenders,
    bars,
    rounds=5,
)
