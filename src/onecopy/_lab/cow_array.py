"""A large array at module level, and forked children that each read one row of it. Is the array in
memory once for each of them?

It does not: a forked child shares its parent's pages until one of the two writes to them
(copy-on-write). People think so because of RSS, which counts each of these pages again in every
process. MemAvailable, PSS and USS show the memory that is really used.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np

from .._system import memory, procfs
from ..errors import human_bytes
from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "Do forked children each get a copy of a global array?"
ADVICE = (
    "Read PSS, not RSS: oc.memory() or onecopy top. Forked children share a global array "
    "that they only read; oc.share does the same under every start method."
)
SIDES = {"small": 4_000, "full": 15_000}
CHILDREN = 4

Step = dict[str, Any]
"""The process, the preceding event, and the readings: MemAvailable, RSS, PSS, USS, in bytes."""

array: Any = None


def needs(size: Size) -> Needs:
    """Return the needs of the array, of float64, twice: if it is copied after all, the machine must
    not swap."""
    return Needs(
        memory=2 * 8 * SIDES[size] ** 2 + 400_000_000, seconds=3 if size == "small" else 15
    )


def look(process: str, after: str, pid: int | str = "self") -> Step:
    """Return the machine's available memory, and one process's memory."""
    found = procfs.rollup(pid)
    if found is None:
        raise ProcessLookupError(
            f"{process} may not be looked at; /proc/PID/smaps_rollup is needed"
        )
    return {
        "process": process,
        "after": after,
        "available": memory.available(),
        "rss": found.rss,
        "pss": found.pss,
        "uss": found.uss,
    }


# The lesson.


def forked(side: int) -> list[Step]:
    """Create a global array of ``side`` by ``side``, and fork children that each sum a row of
    it."""
    global array
    steps = [look("parent", "start")]
    # Ones and not zeros: pages of zeros do not exist until they are written.
    array = np.ones((side, side))
    steps.append(look("parent", "array made"))
    say(f"an array of {human_bytes(array.nbytes)} is made", memory=True)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    # No process is measured before all have read, and none ends before all were measured: when a
    # process ends, pages that it shared become private to another.
    barrier = context.Barrier(CHILDREN + 1)
    children = [
        context.Process(target=row, args=(number, barrier, answers)) for number in range(CHILDREN)
    ]
    for child in children:
        child.start()
    barrier.wait()
    steps += sorted((answers.get() for _ in children), key=lambda step: str(step["process"]))
    steps.append(look("parent", "rows read"))
    barrier.wait()
    for child in children:
        child.join()
    array = None
    return steps


def row(number: int, barrier: Any, answers: Any) -> None:
    """Sum one row in a child: the array is there without having been passed."""
    total = float(array[number].sum())
    barrier.wait()
    say(f"the sum of row {number} is {total:g}", memory=True)
    answers.put(look(f"child {number + 1}", "row read") | {"total": total})
    barrier.wait()


# The cure: the same for workers that inherit nothing.


def shared(side: int) -> list[Step]:
    """Create the array in shared memory; each task gets a row of it by reference."""
    import onecopy as oc

    steps = [look("owner", "start")]
    one_copy = oc.freeze(oc.full((side, side), 1.0))
    steps.append(look("owner", "array made"))
    with oc.Pool(CHILDREN, method="spawn") as pool:
        totals = pool.map(np.sum, [one_copy[number] for number in range(CHILDREN)], chunksize=1)
        say(f"the sums of the rows are {[float(total) for total in totals]}", memory=True)
        for number, (pid, total) in enumerate(zip(pool.pids(), totals, strict=True)):
            step = look(f"worker {number + 1}", "row read", pid)
            steps.append(step | {"total": float(total)})
        steps.append(look("owner", "rows read"))
    return steps


def run(size: Size) -> Data:
    """Forked children, then a pool of onecopy under spawn."""
    side = SIDES[size]
    return {"side": side, "bytes": 8 * side * side, "fork": forked(side), "onecopy": shared(side)}


def table(data: Data) -> Table:
    """Return the measurements of each process, in the order of time."""
    rows: list[tuple[str, ...]] = []
    for way in ("fork", "onecopy"):
        rows += [
            (
                *(way, each["process"], each["after"], f"{each['available'] / 1e6:,.0f} MB"),
                *(human_bytes(each[name]) for name in ("rss", "pss", "uss")),
            )
            for each in data[way]
        ]
    return Table(
        head=("way", "process", "after", "MemAvailable", "RSS", "PSS", "USS"),
        rows=rows,
        title=f"A global array of {human_bytes(data['bytes'])}, one row of it read by each process",
        note="onecopy's workers are spawned: they have not inherited the array, and map of it "
        "what they read.",
        left=(0, 1, 2),
        strong=range(len(data["fork"]), len(rows)),
    )


def picture(data: Data) -> None:
    """Return nothing: the table shows it."""


def claims(data: Data) -> list[Claim]:
    """Return the claims about where the memory goes."""
    size = data["bytes"]
    start, made, *children, last = data["fork"]
    rss = sum(each["rss"] for each in (*children, last))
    pss = sum(each["pss"] for each in (*children, last))
    uss = max(each["uss"] for each in children)
    drop = start["available"] - made["available"]
    later = made["available"] - last["available"]
    workers = data["onecopy"][2:-1]
    most = max(each["uss"] for each in workers)
    return [
        Claim(
            f"Of its own a forked child has {human_bytes(uss)} at most, beside an "
            f"array of {human_bytes(size)}.",
            uss < size / 4,
            certain=True,
            expected="less than a quarter of the array",
        ),
        Claim(
            f"The sum of RSS is {human_bytes(rss)}, that of PSS {human_bytes(pss)}.",
            rss > (CHILDREN + 1) * size and size < pss < 1.7 * size,
            certain=True,
            expected="by RSS an array for each process, by PSS one",
        ),
        Claim(
            f"MemAvailable drops by {human_bytes(drop)} when the array is made, and by "
            f"{human_bytes(max(0, later))} while {CHILDREN} children read it.",
            drop > 0.7 * size and later < 0.5 * size,
            certain=False,
            expected="by more than 70 % of it, then by less than half",
        ),
        Claim(
            f"With onecopy, spawned workers, which inherit nothing, have {human_bytes(most)} of their "
            "own at most.",
            most < size and all(each["total"] == data["side"] for each in (*children, *workers)),
            certain=True,
            expected="less than the array, and right sums",
        ),
    ]
