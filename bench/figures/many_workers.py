"""256 workers instead of 2: what a task costs the owner, and how many descriptors it has open.

Many processes cost the kernel something even if they do nothing, so the pool of 2 workers has 254
idle processes beside it. Owner's processor time alone: on a machine with fewer cores than workers
wall time says nothing.
"""

from __future__ import annotations

from .. import parts
from ..face import Bar, Contender, Figure, Sense, Size

TASKS = 20_000
MOST, FEW = 256, 2
LARGE, SMALL = f"onecopy, {MOST} workers", f"onecopy, {FEW} workers, {MOST - FEW} idle processes"
WAYS = {"submits": "submits", "map_singly": "map(chunksize=1)"}


def contenders(_: Size) -> list[Contender]:
    found = []
    for way, title in WAYS.items():
        few = parts.of_job("tasks", way, "onecopy", FEW, TASKS, MOST - FEW)
        many = parts.of_job("tasks", way, "onecopy", MOST, TASKS)
        found += parts.contenders(f"{SMALL}, {title}", few, {"owner": ""})
        found += parts.contenders(f"{LARGE}, {title}", many, {"owner": ""})
    return found


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"owner's CPU for a task of {title}: {MOST} workers, over {FEW}",
            Sense.AT_MOST,
            1.3,
            (f"{LARGE}, {title}",),
            (f"{SMALL}, {title}",),
        )
        for title in WAYS.values()
    ]


FIGURE = Figure(
    "many_workers",
    f"owner's CPU for an empty task with {FEW} and {MOST} workers; per task, over {TASKS:,}",
    contenders,
    bars,
    rounds=3,
)
