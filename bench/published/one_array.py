"""B10. Stack Overflow 10721915, "Shared-memory objects in multiprocessing".

``apply_async(len, (np.arange(10_000_000),))``: the length of an array of 80 MB, by a warm pool; a
plain array, made for each call, which is not in the time. Put right: Ray is not given the array's
reference from before, nor anybody the same array twice.
"""

from __future__ import annotations

import time

import numpy as np

from ..face import Bar, Contender, Figure, Size
from . import peers
from .peers import Mapper

COUNT = 10_000_000


def contenders(_: Size) -> list[Contender]:
    def work(mapper: Mapper) -> float:
        array = np.arange(COUNT)
        start = time.perf_counter()
        found = mapper.call(len, array)
        taken = time.perf_counter() - start
        assert found == COUNT
        return taken

    return peers.warm(work, 1)


def bars(_: Size) -> list[Bar]:
    return peers.ahead("the length of a plain array of 80 MB, warm")


FIGURE = Figure(
    "one_array",
    "B10, SO 10721915: the length of an array of 80 MB, a warm pool; seconds",
    contenders,
    bars,
)
