"""100,000 small arrays, each shared by a call of its own: how many descriptors are open.

Each worker has seen about half of them and the owner holds all. Peers with a descriptor per
shared object end at the limit of open files (1,024 by default), or raise it; none of them
can be measured at this count, so there is none here.

The descriptors that a process has without any shared array are in the count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

import onecopy as oc

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size

ARRAYS = 100_000
OWNER, WORKER = "owner", "worker with the most"


def total(array: np.ndarray) -> float:
    """The task."""
    return float(array.sum())


def _open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class _Crowd:
    """The arrays and the pool, made once and used by both contenders."""

    def __init__(self) -> None:
        self.users = 0

    @contextmanager
    def opened(self, who: str) -> Iterator[Sample]:
        if not self.users:
            self.arrays = [oc.share(np.full(16, float(number))) for number in range(ARRAYS)]
            self.pool = oc.Pool(pools.count())
            assert sum(self.pool.map(total, self.arrays)) == 16.0 * sum(range(ARRAYS))
        self.users += 1
        try:
            yield self._owner if who == OWNER else self._workers
        finally:
            self.users -= 1
            if not self.users:
                self.pool.terminate()
                self.pool.join()
                self.arrays = []

    def _owner(self) -> float:
        return _open_descriptors(os.getpid())

    def _workers(self) -> float:
        return max(map(_open_descriptors, self.pool.pids()))


def contenders(_: Size) -> list[Contender]:
    crowd = _Crowd()
    return [
        Contender(OWNER, lambda: crowd.opened(OWNER)),
        Contender(WORKER, lambda: crowd.opened(WORKER)),
    ]


def bars(_: Size) -> list[Bar]:
    return [Bar("descriptors open", Sense.VALUE, 99, (OWNER, WORKER))]


FIGURE = Figure(
    "small_arrays",
    f"{ARRAYS:,} small arrays, shared one by one, all sent to workers; descriptors open",
    contenders,
    bars,
    unit="",
    rounds=1,
)
