"""Many little arrays and objects, which are not shared: as items and as results.

Rows of a population are what optimizers and samplers send. 50,000 arrays of 5 floats to ``np.sum``;
20,000 of them as results; 20,000 objects of a class with three attributes as items. By ``map``,
with no chunk size given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size


class Point:
    """The object."""

    def __init__(self, at: int) -> None:
        self.x, self.y, self.name = at, at / 2, f"point {at}"


def row(at: int) -> np.ndarray:
    return np.full(5, float(at))


def total(point: Point) -> float:
    return point.x + point.y


def _arrays() -> list[Any]:
    return [row(at) for at in range(50_000)]


def _numbers() -> list[Any]:
    return list(range(20_000))


def _objects() -> list[Any]:
    return [Point(at) for at in range(20_000)]


# Title: the task, and the items.
_WORK: dict[str, tuple[Callable[[Any], Any], Callable[[], list[Any]]]] = {
    "50,000 arrays of 5 floats": (np.sum, _arrays),
    "20,000 of them as results": (row, _numbers),
    "20,000 objects": (total, _objects),
}
_MAKE: dict[str, Any] = {pools.POOL: pools.standard_pool, pools.ONECOPY: pools.onecopy_pool}


@contextmanager
def _opened(pool_name: str, title: str) -> Iterator[Sample]:
    task, make = _WORK[title]
    items = make()
    with _MAKE[pool_name](pools.count()) as pool:

        def sample() -> float:
            start = time.perf_counter()
            results = pool.map(task, items)
            taken = time.perf_counter() - start
            assert len(results) == len(items)
            assert np.array_equal(results[-1], task(items[-1]))
            return taken

        yield sample


def contenders(_: Size) -> list[Contender]:
    # The standard pools fork, so they are made first.
    return [
        Contender(f"{name}, {title}", lambda n=name, t=title: _opened(n, t))
        for name in _MAKE
        for title in _WORK
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"map: {title}, of multiprocessing.Pool's time",
            Sense.AT_MOST,
            1.1,
            (f"{pools.ONECOPY}, {title}",),
            (f"{pools.POOL}, {title}",),
        )
        for title in _WORK
    ]


FIGURE = Figure(
    "little_items",
    "map of many little arrays or objects, there or back; seconds for all",
    contenders,
    bars,
)
