"""``map`` with ``chunksize=1``: every item by itself, as for long tasks; by 1, 2 and 8 workers."""

from __future__ import annotations

from .. import parts, pools
from ..face import Bar, Contender, Figure, Sense, Size

TASKS = 20_000
COUNTS = (1, 2, 8)


def contenders(_: Size) -> list[Contender]:
    found = []
    for count in COUNTS:
        for name, pool in ((pools.POOL, "standard"), (pools.ONECOPY, "onecopy")):
            job = parts.of_job("tasks", "map_singly", pool, count, TASKS)
            found += parts.contenders(f"{name}, {count}", job, {"wall": "", "cpu": ", CPU"})
    return found


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"map(chunksize=1) by {count} workers, of multiprocessing.Pool's time",
            Sense.AT_MOST,
            0.9,
            (f"{pools.ONECOPY}, {count}",),
            (f"{pools.POOL}, {count}",),
        )
        for count in COUNTS
    ]


FIGURE = Figure(
    "map_singly",
    f"map(chunksize=1) of {TASKS:,} empty items; per item",
    contenders,
    bars,
    rounds=5,
)
