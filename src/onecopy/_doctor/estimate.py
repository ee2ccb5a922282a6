"""Arithmetic of what was measured, and of what would have been.

Estimates are counterfactuals: the recorded tasks are dealt out again to the recorded workers,
without what a change would take away. They know of free CPUs, of the cost of sharing, and of
nothing else: caches, memory bandwidth, other programs.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

Table = np.ndarray[Any, np.dtype[Any]]

SHARE_RATE = 1.8e9
"""Bytes a second of the one copy into shared memory; measured 1.84 to 1.89 GB/s."""
CHANGE = 0.10
"""Seconds: importing onecopy, and what its pool's start takes more than a fork."""
HANDLING = 150e-6
"""Seconds: around a task, what remains in any pool."""


def union(begins: Table, ends: Table) -> float:
    """The time in which at least one of the stretches lasts, in the unit of the stretches."""
    if not len(begins):
        return 0.0
    order = np.argsort(begins, kind="stable")
    first, last = begins[order].astype("i8"), ends[order].astype("i8")
    reach = np.maximum.accumulate(last)
    gaps = np.maximum(0, first[1:] - reach[:-1]).sum()
    return float(reach[-1] - first[0] - gaps)


def overlap(begins: Table, ends: Table) -> float:
    """The mean number of stretches that last at a time, while any does."""
    whole = union(begins, ends)
    return float((ends.astype("i8") - begins.astype("i8")).sum()) / max(1.0, whole)


def gaps(begins: Table, ends: Table) -> list[tuple[int, int]]:
    """The stretches between the first begin and the last end in which none lasts."""
    if not len(begins):
        return []
    order = np.argsort(begins, kind="stable")
    first, last = begins[order].astype("i8"), ends[order].astype("i8")
    reach = np.maximum.accumulate(last)
    at = np.flatnonzero(first[1:] > reach[:-1])
    return [(int(reach[each]), int(first[each + 1])) for each in at]


def replay(works: Table, lanes: int) -> float:
    """The time that these pieces take, dealt out in this order to ``lanes`` lanes."""
    free = [0.0] * max(1, lanes)
    for work in np.asarray(works).tolist():
        heapq.heapreplace(free, free[0] + work)
    return max(free)
