"""B5. Sybren Jansen's ``multiprocessing_benchmarks``, 2 (github.com/sybrenjansen).

Documents of 15,000 and of 5,000 words in turn, each of 20 random bytes; prefixes counted by workers
that have a state (``prefixes``), the pool's start and end included. Put right: the original has
2,000 documents, whose 300 million different prefixes take some 50 GB; here it is as many of them as
half of this machine's memory holds the counts of.
"""

from __future__ import annotations

import psutil

from ..face import Bar, Contender, Figure, Size
from . import peers
from .peers import Mapper
from .prefixes import documents, popular

# Bytes of the counts of a word's prefixes: 17 of them are met once, 150 bytes each.
WORD = 17 * 150


def contenders(size: Size) -> list[Contender]:
    workers = peers.workers()
    most = psutil.virtual_memory().total // 2 // (10_000 * WORD)
    shape = (min(2000, most), 10_000, 5000) if size.full else (60, 1000, 500)

    def work(mapper: Mapper) -> None:
        popular(mapper, documents(*shape), workers)

    return peers.cold(work, workers, prepare=lambda: documents(*shape))


def bars(_: Size) -> list[Bar]:
    return peers.ahead("prefixes of many documents, start and end of the pool included")


FIGURE = Figure(
    "prefix_counts_cold",
    "B5, Jansen: prefixes counted by workers with a state; seconds, start and end included",
    contenders,
    bars,
    rounds=3,
)
