"""Bytes per entry that the dict of ``shared_dict`` takes in all four workers together.

The growth of the sum of PSS, of owner and workers, from before the dict was there until every
worker has looked up keys all over it.
"""

from __future__ import annotations

import os

import onecopy as oc

from ..face import Bar, Contender, Figure, Sense, Size, plain
from ..objects import WORKERS
from .shared_dict import MINE, OURS, PLAIN, count, entries, look_up, make


def _growth(number: int, ours: bool) -> float:
    with oc.Pool(WORKERS, method="forkserver") as pool:
        # Everybody has run the task once before memory is read.
        small = oc.share({at: at / 2 for at in range(10)})
        pool.starmap(look_up, [(small, 10, seed) for seed in range(8 * WORKERS)], chunksize=1)
        before = oc.memory().pss
        if ours:
            data = oc.share(entries(number))
            pool.starmap(look_up, [(data, number, seed) for seed in range(WORKERS)], chunksize=1)
        else:
            held: set[int] = set()
            while len(held) < WORKERS:
                held.update(pool.map(_held, [number] * (8 * WORKERS), chunksize=1))
        return (oc.memory().pss - before) / number


def _held(number: int) -> int:
    make(number)
    assert len(MINE) == number
    return os.getpid()


def contenders(size: Size) -> list[Contender]:
    number = count(size)
    return [
        Contender(PLAIN, lambda: plain(lambda: _growth(number, False)), warm=0, needs=number * 800),
        Contender(OURS, lambda: plain(lambda: _growth(number, True)), warm=0, needs=number * 300),
    ]


def bars(_: Size) -> list[Bar]:
    return [Bar("bytes / those of plain dicts", Sense.AT_MOST, 0.1, (OURS,), (PLAIN,))]


FIGURE = Figure(
    "dict_memory",
    f"bytes per entry in {WORKERS} workers together",
    contenders,
    bars,
    unit="B",
    rounds=1,
)
