"""The same map over and over, with chunks of different sizes: what does the size cost?

Two loads want opposite things. Very many items that are done at once want large chunks, since each
chunk is a message there and back. A few items of very different lengths want small ones, or one
worker is left alone with the long ones. A pool that chooses its chunks by measurement needs no
number; this experiment shows where that choice is on the curve.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from time import perf_counter
from typing import Any

from .._report.words import seconds
from ._frame.face import Claim, Curve, Data, Needs, Plot, Size, Table
from ._frame.narrate import say

QUESTION = "How long should a chunk be, and who picks it?"
ADVICE = (
    "Leave chunksize out: onecopy measures the items and chooses. With multiprocessing give "
    "tiny items many to a chunk, uneven ones few."
)
WORKERS = 4
# The number of tiny items; the seconds that the uneven items take together; and how often each is
# measured.
AMOUNT = {"small": {"tiny": 4_000, "uneven": 0.4}, "full": {"tiny": 1_000_000, "uneven": 8.0}}
ROUNDS = {"small": {"tiny": 3, "uneven": 1}, "full": {"tiny": 3, "uneven": 2}}
# Slower runs, in seconds, are measured once.
LONG = {"small": 0.2, "full": 3.0}


def needs(size: Size) -> Needs:
    """Return the needs of a million numbers and a million results, a few times over."""
    return Needs(memory=600_000_000, seconds=10 if size == "small" else 180)


# The lesson.


def tiny(item: int) -> int:
    """Next to no work."""
    return item + 1


def uneven(duration: float) -> float:
    """Wait, some of the items long. It does not compute, so that the number of cores does not
    matter."""
    time.sleep(duration)
    return duration


TASKS = {"tiny": tiny, "uneven": uneven}


def items(load: str, amount: float) -> list[Any]:
    """``amount`` tiny ones; or forty of which the longest takes thirty times the shortest, the
    long ones next to one another, as they are in sorted data."""
    if load == "tiny":
        return list(range(int(amount)))
    draw = random.Random(40)
    weights = sorted(30 ** draw.random() for _ in range(40))
    return [amount * weight / sum(weights) for weight in weights]


def sizes(count: int) -> list[int]:
    """Return sizes from one item to a chunk for each worker."""
    most = count // WORKERS
    steps = [1, 2, 3, 5] if most <= 10 else [4**power for power in range(12)]
    return [size for size in steps if size < most] + [most]


def measure(way: str, load: str, size: Size) -> list[dict[str, Any]]:
    """``map`` with each chunk size, and with the one that the pool picks by itself (None).

    The rounds go over all sizes in turn, so that a machine that is busy for a while does not
    make one size look bad; the best of each counts.
    """
    todo, task = items(load, AMOUNT[size][load]), TASKS[load]
    expected = [item + 1 for item in todo] if load == "tiny" else todo
    times: dict[int | None, list[float]] = {each: [] for each in [*sizes(len(todo)), None]}
    equal = True
    with make_pool(way) as pool:
        pool.map(task, todo[:WORKERS], 1)
        for again in range(ROUNDS[size][load]):
            for chunk, taken in times.items():
                if again and taken[0] > LONG[size]:
                    continue
                began = perf_counter()
                results = pool.map(task, todo, chunk)
                taken.append(perf_counter() - began)
                equal = equal and results == expected
    say(f"{way}, {load}: {seconds(min(times[None]))} with its own choice")
    return [
        {"chunk": chunk, "seconds": min(taken), "equal": equal} for chunk, taken in times.items()
    ]


def make_pool(way: str) -> Any:
    """Return the standard library's pool or, as the cure, ours."""
    if way == "Pool":
        return multiprocessing.get_context("fork").Pool(WORKERS)
    import onecopy as oc

    return oc.Pool(WORKERS, method="fork")


def run(size: Size) -> Data:
    """Run both loads in both pools."""
    return {
        "amount": AMOUNT[size],
        "curves": {
            way: {load: measure(way, load, size) for load in TASKS} for way in ("Pool", "onecopy")
        },
    }


def title(load: str, data: Data) -> str:
    """Return the items that were mapped over."""
    amount = data["amount"][load]
    if load == "tiny":
        return f"map over {amount:,} tiny items, {WORKERS} workers"
    return f"map over 40 uneven items of {seconds(amount)} together, {WORKERS} workers"


def table(data: Data) -> list[Table]:
    """Return one table per load: a row for each chunk size."""
    found = []
    for load in TASKS:
        theirs, ours = (data["curves"][way][load] for way in ("Pool", "onecopy"))
        rows = [
            (
                "its own choice" if left["chunk"] is None else f"{left['chunk']:,}",
                *(
                    text
                    for curve, each in ((theirs, left), (ours, right))
                    for text in (seconds(each["seconds"]), f"{each['seconds'] / best(curve):.2f}")
                ),
            )
            for left, right in zip(theirs, ours, strict=True)
        ]
        head = ("chunk size", "Pool", "of its best", "onecopy", "of its best")
        found.append(Table(head, rows, title(load, data), strong=(len(rows) - 1,)))
    return found


def best(curve: list[dict[str, Any]]) -> float:
    """Return the least time with a given size, in seconds."""
    return min(float(each["seconds"]) for each in curve if each["chunk"] is not None)


def own(curve: list[dict[str, Any]]) -> float:
    """Return the time with the pool's own choice, in seconds."""
    return float(curve[-1]["seconds"])


def picture(data: Data) -> list[Plot]:
    """Return one plot per load; the automatic choice is a level line."""
    plots = []
    for load in TASKS:
        curves = []
        for way in ("Pool", "onecopy"):
            curve = data["curves"][way][load]
            given = [(each["chunk"], each["seconds"]) for each in curve[:-1]]
            curves.append(Curve(way, [(float(chunk), taken) for chunk, taken in given]))
            if way == "onecopy":
                level = [(float(chunk), own(curve)) for chunk, _ in given]
                curves.append(Curve("onecopy, automatic", level))
        plots.append(
            Plot(curves, "items in a chunk", "s", log_x=True, log_y=True, title=title(load, data))
        )
    return plots


def claims(data: Data) -> list[Claim]:
    """Return the claims: all but the first are about speed."""
    theirs, ours = data["curves"]["Pool"], data["curves"]["onecopy"]
    every = [each for way in (theirs, ours) for curve in way.values() for each in curve]
    single = theirs["tiny"][0]["seconds"] / best(theirs["tiny"])
    large = theirs["uneven"][-2]["seconds"] / best(theirs["uneven"])
    picked = {load: own(ours[load]) / best(ours[load]) for load in TASKS}
    beside = {load: own(ours[load]) / own(theirs[load]) for load in TASKS}
    return [
        Claim(
            f"{sum(each['equal'] for each in every)} of {len(every)} chunk sizes give the same "
            "results, in the same order.",
            all(each["equal"] for each in every),
            certain=True,
            expected="all",
        ),
        Claim(
            f"Tiny items one by one take Pool {single:.0f} times as long as in the best chunks.",
            single > 3,
            certain=False,
            expected="more than 3 times",
        ),
        Claim(
            f"Uneven items in one chunk per worker take Pool {large:.1f} times as long as in the "
            "best chunks.",
            large > 1.3,
            certain=False,
            expected="more than 1.3 times",
        ),
        Claim(
            f"What onecopy picks takes {picked['tiny']:.2f} times the best that was picked for it "
            f"by hand with tiny items, and {picked['uneven']:.2f} times with uneven ones.",
            all(ratio < 1.3 for ratio in picked.values()),
            certain=False,
            expected="less than 1.3 times, both",
        ),
        Claim(
            f"Both left to themselves, onecopy takes {beside['tiny']:.2f} of Pool's time for tiny "
            f"items, and {beside['uneven']:.2f} for uneven ones.",
            all(ratio < 1.1 for ratio in beside.values()),
            certain=False,
            expected="less than 1.1, both",
        ),
    ]
