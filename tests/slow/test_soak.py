"""A million tasks by one pool: memory and descriptors stay as they were.

Rounds of the same mix: tiny tasks in batches, a map, tasks that raise, plain arguments and
results of up to 2 MB, shared arrays that are made, used and dropped. After each round the
owner, the workers and what forks them are measured. The median of the last tenth is held
against that of a first tenth: single figures swing with what an allocator keeps just then.

What is measured is what the pool keeps, and not what the C library does: the tasks' own
arrays of up to 2 MB are given back to the system when they are freed (``settle_malloc``),
where glibc would otherwise raise its threshold and keep them in a heap that fragments. And
it is measured at rest, in the first and in the last tenth of the rounds: arenas give their
free pages back when they have not been used for two seconds. Of tasks' records the pool keeps
as many here as the first round makes.

The rounds before the first tenth bring the allocators to their high-water marks: the first ones
move the largest arrays and have twice as many tasks waiting as any later one. Under ``fork``
they also let every process copy those of the inherited pages that it writes to at all.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from random import Random
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil
import pytest

import onecopy as oc
from onecopy._system import procfs
from tests.conftest import MakePool
from tests.pooled import double
from tests.scripts import until

Array = npt.NDArray[Any]

ROUNDS, WARM_UP, LARGEST = 100, 20, 8
SUBMITS, ITEMS, FAILURES, MOVED, SHARED, SLICES = 5000, 4500, 300, 40, 16, 10
MOST_BYTES = 2_000_000
# How much more or less is still flat.
FLAT = 0.05


# mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def settle_malloc() -> None:
    mallopt = ctypes.CDLL(None).mallopt
    assert mallopt(_M_MMAP_THRESHOLD, 128 << 10)
    assert mallopt(_M_TRIM_THRESHOLD, 128 << 10)
    assert mallopt(_M_ARENA_MAX, 1)


class Measured(NamedTuple):
    """Of all processes together."""

    uss: int
    pss: int
    descriptors: int


def measure() -> Measured:
    gc.collect()
    pids = [os.getpid(), *(it.pid for it in psutil.Process().children(recursive=True))]
    rollups = [rollup for pid in pids if (rollup := procfs.rollup(pid)) is not None]
    assert len(rollups) == len(pids)
    return Measured(
        sum(rollup.uss for rollup in rollups),
        sum(rollup.pss for rollup in rollups),
        sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
    )


def rest(pool: oc.Pool) -> None:
    """Waits until arenas have given their free pages back, here and in the workers."""
    arena = pool._engine._parts.arena  # type: ignore[attr-defined]  # of process engines
    until(lambda: arena.warm_bytes == 0, "the owner's arena is trimmed")
    last = 0
    fallen = time.monotonic()

    def settled() -> bool:
        nonlocal last, fallen
        now = measure().uss
        if now < last - 100_000:
            fallen = time.monotonic()
        last = now
        return time.monotonic() - fallen > 2.5  # a worker looks after two seconds

    until(settled, "the workers' arenas are trimmed")


def fail(x: int) -> None:
    raise ValueError(x)


def grown(data: Array) -> Array:
    return np.append(data, data[:1])


def total(data: Array) -> int:
    return int(data.sum())


def one_round(pool: oc.Pool, rng: Random, *, most: bool) -> int:
    """The mix; how many tasks it was. With ``most``, what takes the most memory."""
    submits, least = (2 * SUBMITS, MOST_BYTES - 1) if most else (SUBMITS, 1)
    numbers = [pool.submit(double, x) for x in range(submits)]
    assert [future.result() for future in numbers] == [2 * x for x in range(submits)]
    assert pool.map(double, range(ITEMS)) == [2 * x for x in range(ITEMS)]
    failing = [pool.submit(fail, x) for x in range(FAILURES)]
    assert [future.exception().args for future in failing] == [(x,) for x in range(FAILURES)]  # type: ignore[union-attr]  # each has one
    sizes = [rng.randrange(least, MOST_BYTES) for _ in range(MOVED)]
    moved = [pool.submit(grown, np.full(size, 7, "u1")) for size in sizes]
    for size, future in zip(sizes, moved, strict=True):
        assert future.result().size == size + 1
    for _ in range(SHARED):
        array = oc.share(np.arange(rng.randrange(SLICES, 100_000)))
        step = len(array) // SLICES
        parts = [array[at * step : (at + 1) * step] for at in range(SLICES)]
        totals = [pool.submit(total, part) for part in parts]
        assert [future.result() for future in totals] == [int(part.sum()) for part in parts]
    return submits + ITEMS + FAILURES + MOVED + SHARED * SLICES


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_million_tasks(make_pool: MakePool, method: str) -> None:
    settle_malloc()
    pool = make_pool(method, initializer=settle_malloc, spans=4096)
    tasks, tenth = 0, ROUNDS // 10
    series: list[Measured] = []
    for number in range(ROUNDS + WARM_UP):
        tasks += one_round(pool, Random(number), most=number < LARGEST)
        if number < WARM_UP or WARM_UP + tenth <= number < ROUNDS + WARM_UP - tenth:
            continue
        rest(pool)
        series.append(measure())
    assert tasks >= 1_000_000
    first, last = series[:tenth], series[tenth:]
    print(f"\n{method}: {tasks:,} tasks; medians of the first and of the last tenth")
    changes: dict[str, float] = {}
    for at, name in enumerate(Measured._fields):
        before, after = (median(one[at] for one in some) for some in (first, last))
        changes[name] = after / before - 1
        print(f"  {name:12} {before:>14,.0f} {after:>14,.0f} {changes[name]:+.2%}")
    assert all(abs(change) <= FLAT for change in changes.values()), changes
    pool.terminate()  # its arenas' segments stay as long as it does
    pool.join()
    assert oc.segments() == []
