"""B1. Robert Nishihara, "10x Faster Parallel Python Without Python Multiprocessing" (2019), 1.

An image of 3000 x 3000 zeros, as many 4 x 4 filters as cores; seconds for a pass by a warm
pool, after five that do not count. Put right: the image is of random numbers, as pages of zeros
may all be one page.
"""

from __future__ import annotations

import time

import numpy as np

from ..face import Bar, Contender, Figure, Size
from . import peers
from .images import convolved, filters
from .peers import Mapper


def _side(size: Size) -> int:
    return 3000 if size.full else 1500


def _image(side: int) -> np.ndarray:
    return np.random.default_rng(1).random((side, side))


def contenders(size: Size) -> list[Contender]:
    kernels, side = filters(peers.workers()), _side(size)

    def work(mapper: Mapper) -> float:
        start = time.perf_counter()
        found = mapper.reading(convolved, kernels)
        taken = time.perf_counter() - start
        assert [each.shape for each in found] == [((side + 7) // 5, (side + 7) // 5)] * len(kernels)
        return taken

    return peers.warm(work, peers.workers(), lambda: _image(side), before=5)


def bars(_: Size) -> list[Bar]:
    return peers.ahead("an image and a filter for each core, warm")


FIGURE = Figure(
    "image_filters",
    "B1, Nishihara: an image, a filter for each core, a warm pool; seconds for a pass",
    contenders,
    bars,
    rounds=5,
)
