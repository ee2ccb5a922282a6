"""B5. Sybren Jansen's ``multiprocessing_benchmarks``, 2 (github.com/sybrenjansen).

2,000 documents of 5,000 words of 20 random bytes; prefixes counted by workers that have a state
(``prefixes``), the pool's start and end included.
"""

from __future__ import annotations

from ..face import Bar, Contender, Figure, Size
from . import peers
from .peers import Mapper
from .prefixes import documents, popular


def contenders(size: Size) -> list[Contender]:
    workers = peers.workers()
    count, words = (2000, 5000) if size.full else (60, 1000)

    def work(mapper: Mapper) -> None:
        popular(mapper, documents(count, words), workers)

    return peers.cold(work, workers, prepare=lambda: documents(count, words))


def bars(_: Size) -> list[Bar]:
    return peers.ahead("prefixes of many documents, start and end of the pool included")


FIGURE = Figure(
    "prefix_counts_cold",
    "B5, Jansen: prefixes counted by workers with a state; seconds, start and end included",
    contenders,
    bars,
    rounds=3,
)
