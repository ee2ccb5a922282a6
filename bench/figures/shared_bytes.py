"""Bytes that move when a shared array is an argument: the same for 1 MB and for 100 MB.

Counted by the pool itself: what it wrote to workers' sockets plus what it copied into
arenas, per call. ``multiprocessing.Pool`` is shown beside it with what it has to write for
the same array: the pickle of the task, measured by pickling it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

import onecopy as oc

from .. import pools
from ..face import MB, Bar, Contender, Figure, Sample, Sense, Size, plain
from .shared_argument import task

CALLS = 100
SMALL, LARGE = "shared, 1 MB", "shared, 100 MB"
PICKLED = "pickled, 100 MB"


@contextmanager
def _counted(nbytes: int) -> Iterator[Sample]:
    data = oc.share(np.arange(nbytes // 8, dtype=float))
    with pools.onecopy_pool(pools.count()) as pool:

        def sample() -> float:
            before = pool.stats()
            for _ in range(CALLS):
                pool.apply(task, (data,))
            after = pool.stats()
            sent = after.bytes_sent - before.bytes_sent
            return (sent + after.bytes_copied - before.bytes_copied) / CALLS

        yield sample


def _pickled() -> float:
    return float(len(pickle.dumps((task, (np.zeros(100 * MB // 8),)))))


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(PICKLED, lambda: plain(_pickled), rounds=1, warm=0),
        Contender(SMALL, lambda: _counted(MB)),
        Contender(LARGE, lambda: _counted(100 * MB)),
    ]


def bars(_: Size) -> list[Bar]:
    # The length of an offset or of a size in a message may differ by some bytes.
    return [
        Bar("bytes moved for 100 MB over those for 1 MB", Sense.OVER, 16, (LARGE,), (SMALL,)),
        Bar("bytes moved for a shared argument", Sense.VALUE, 1000, (LARGE,)),
    ]


FIGURE = Figure(
    "shared_bytes",
    f"bytes that a call with a shared array moves; mean of {CALLS} calls",
    contenders,
    bars,
    unit="B",
    rounds=2,
)
