"""B4. Sybren Jansen's ``multiprocessing_benchmarks``, 1 (github.com/sybrenjansen).

An image of 5000 x 5000 random numbers, ten filters for each core, results of 8 MB each, the pool's
start and end included. Put right: the executor and joblib are peers like the others.
"""

from __future__ import annotations

import numpy as np

from ..face import Bar, Contender, Figure, Size
from . import peers
from .images import convolved, filters
from .peers import Mapper


def contenders(size: Size) -> list[Contender]:
    side, each = (5000, 10) if size.full else (1500, 5)
    kernels = filters(each * peers.workers())

    def work(mapper: Mapper) -> None:
        assert len(mapper.reading(convolved, kernels)) == len(kernels)

    def image() -> np.ndarray:
        return np.random.default_rng(1).random((side, side))

    return peers.cold(work, peers.workers(), image)


def bars(_: Size) -> list[Bar]:
    return peers.ahead("an image and many filters, start and end of the pool included")


FIGURE = Figure(
    "image_filters_cold",
    "B4, Jansen: an image, many filters, large results; seconds, start and end included",
    contenders,
    bars,
    rounds=5,
)
