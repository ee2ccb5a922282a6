"""From 10,000 to 1,000,000 tasks that wait at once: the cost of each should not grow.

Processor time of owner and worker from the submission of a task to its result, bytes of the owner
for a task with its future, and the part of the owner's time that the garbage collector takes
(``jobs.pending``). The executor is measured at the middle size too.
"""

from __future__ import annotations

from .. import parts, pools
from ..face import Bar, Contender, Figure, Sense, Size

COUNTS = (10_000, 100_000, 1_000_000)
TITLES = {"cpu": ", µs of CPU", "bytes": ", bytes", "collector": ", % in the collector"}


def _name(count: int, part: str, pool: str = pools.ONECOPY) -> str:
    return f"{pool}, {count:,}{TITLES[part]}"


def _contenders(pool: str, kind: str, count: int) -> list[Contender]:
    job = parts.of_job("pending", kind, count)
    return parts.contenders(f"{pool}, {count:,}", job, TITLES)


def contenders(_: Size) -> list[Contender]:
    found = _contenders(pools.EXECUTOR, "standard", COUNTS[1])
    for count in COUNTS:
        found += _contenders(pools.ONECOPY, "onecopy", count)
    return found


def bars(_: Size) -> list[Bar]:
    few, most = COUNTS[0], COUNTS[-1]
    return [
        Bar(
            f"CPU of a task with {most:,} pending, over {few:,}",
            Sense.AT_MOST,
            1.3,
            (_name(most, "cpu"),),
            (_name(few, "cpu"),),
        ),
        Bar(f"bytes for each of {most:,} pending tasks", Sense.VALUE, 500, (_name(most, "bytes"),)),
        Bar(
            f"% of the owner's CPU in the garbage collector, {most:,} pending",
            Sense.VALUE,
            5,
            (_name(most, "collector"),),
        ),
    ]


FIGURE = Figure(
    "pending",
    "tasks that wait at once, by one worker: CPU and bytes of each, and the collector",
    contenders,
    bars,
    unit="",
    rounds=3,
)
