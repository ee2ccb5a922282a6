"""A dict of int to float: building it, its bytes, and looking keys up from four workers.

10 million entries in a full run, 1 million else. The peer is the plain dict that each worker
has to itself: under forkserver there is no other way to have one. It is made in the worker (by a
comprehension, the quickest way), so what a pipe would cost is not in its figures.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onecopy as oc

from ..face import Bar, Contender, Figure, Sample, Sense, Size
from ..objects import WORKERS

LOOKUPS = 200_000
OURS, PLAIN = "SharedDict", "a plain dict per worker"
MINE: dict[int, float] = {}


def entries(number: int) -> dict[int, float]:
    return {at: at / 2 for at in range(number)}


def make(number: int) -> int:
    """In a worker: its own dict, unless it has it."""
    if not MINE:
        MINE.update(entries(number))
    return len(MINE)


def look_up(data: Mapping[int, float] | None, number: int, seed: int) -> float:
    """Seconds for one of many lookups at random."""
    found = MINE if data is None else data
    rng = random.Random(seed)
    keys = [rng.randrange(number) for _ in range(LOOKUPS)]
    start = time.perf_counter()
    for key in keys:
        assert found[key] == key / 2
    return (time.perf_counter() - start) / LOOKUPS


@contextmanager
def _opened(number: int, ours: bool) -> Iterator[Sample]:
    data: Any = oc.share(entries(number)) if ours else None
    with oc.Pool(WORKERS, method="forkserver") as pool:
        if not ours:
            # Enough small tasks for every worker to get some; each makes its dict once.
            while pool.map(make, [number] * (8 * WORKERS), chunksize=1).count(number) == 0:
                pass

        def sample() -> float:
            tasks = [(data, number, seed) for seed in range(WORKERS)]
            if not ours:
                pool.map(make, [number] * (8 * WORKERS), chunksize=1)
            times = pool.starmap(look_up, tasks, chunksize=1)
            return sum(times) / len(times)

        yield sample


def contenders(size: Size) -> list[Contender]:
    number = count(size)
    return [
        Contender(PLAIN, lambda: _opened(number, False), rounds=3, needs=number * 800),
        Contender(OURS, lambda: _opened(number, True), rounds=3, needs=number * 300),
    ]


def count(size: Size) -> int:
    return 10_000_000 if size.full else 1_000_000


def bars(_: Size) -> list[Bar]:
    return [Bar("a lookup / that in a plain dict", Sense.AT_MOST, 6.0, (OURS,), (PLAIN,))]


FIGURE = Figure(
    "shared_dict",
    f"a lookup in a dict of int to float, by each of {WORKERS} workers; mean of {LOOKUPS:,}",
    contenders,
    bars,
    rounds=3,
)
