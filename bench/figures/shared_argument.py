"""A shared array of 100 MB as an argument, against a task that has none.

There is no peer in this one but the empty task itself: a shared argument should cost what
no argument costs. The way of the peers that is nearest to it, a NumPy array in hand-made
``SharedMemory`` whose name is sent and which the worker has attached before, costs their
round trip (``round_trip``) plus the pickling of a short string.

What crosses the socket is counted in ``shared_bytes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import onecopy as oc

from .. import pools
from ..face import MB, Bar, Contender, Figure, Sample, Sense, Size, per_call

NBYTES = 100 * MB
CALLS = 500
EMPTY = "empty task"
SHARED = "shared 100 MB"


def task(*_: Any) -> None:
    """Takes whatever it is given."""


@contextmanager
def _empty() -> Iterator[Sample]:
    with pools.onecopy_pool(pools.count()) as pool:
        yield lambda: per_call(lambda: pool.apply(task), CALLS, before=50)


@contextmanager
def _shared() -> Iterator[Sample]:
    data = oc.share(np.arange(NBYTES // 8, dtype=float))
    with pools.onecopy_pool(pools.count()) as pool:
        yield lambda: per_call(lambda: pool.apply(task, (data,)), CALLS, before=50)


def contenders(_: Size) -> list[Contender]:
    return [Contender(EMPTY, _empty), Contender(SHARED, _shared)]


def bars(_: Size) -> list[Bar]:
    return [
        Bar("a shared 100 MB argument, of an empty task", Sense.AT_MOST, 1.5, (SHARED,), (EMPTY,))
    ]


FIGURE = Figure(
    "shared_argument",
    "a shared array of 100 MB as an argument; per call",
    contenders,
    bars,
)
