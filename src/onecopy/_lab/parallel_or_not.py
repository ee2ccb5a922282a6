"""Two equal loops, four ways to arrange them. Which of them run at the same time?

``start`` starts a process and returns at once; ``join`` waits until it has ended. So the position
of ``join`` decides whether anything is parallel: a child that is joined before its parent starts
its own work is a function call by other means. Each loop notes when it starts and ends, by a clock
that all processes of the machine share.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from .._system.cpus import cpu_count
from ..pool import Pool
from ._frame.face import Bar, Claim, Data, Lane, Lanes, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "Which arrangements of start and join run in parallel?"
ADVICE = (
    "Start all, then join all, or let a pool do it: a process that is joined at once runs alone."
)
ROUNDS = {"small": 3_000_000, "full": 20_000_000}


def needs(size: Size) -> Needs:
    """Two small processes; ten loops."""
    return Needs(memory=200_000_000, seconds=3 if size == "small" else 25)


# The lesson. The start method is fork so that starting takes next to no time.

context: Any = multiprocessing.get_context("fork")


def loop(rounds: int) -> dict[str, Any]:
    """Work that needs a core to itself; returns who did it, from when to when."""
    began = perf_counter()
    total = 0
    for number in range(rounds):
        total += number * number
    return {"pid": os.getpid(), "start": began, "stop": perf_counter()}


def child(rounds: int, answer: Connection) -> None:
    """Run the loop in another process."""
    answer.send(loop(rounds))


def both_in_the_parent(rounds: int) -> list[dict[str, Any]]:
    """Run one loop after the other in one process."""
    return [loop(rounds), loop(rounds)]


def joined_before(rounds: int) -> list[dict[str, Any]]:
    """Run the parent's loop after joining the child."""
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(rounds, send))
    with receive, send:
        process.start()
        process.join()
        own = loop(rounds)
        return [own, receive.recv()]


def joined_after(rounds: int) -> list[dict[str, Any]]:
    """Run the parent's loop while the child runs its own, and then join it."""
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(rounds, send))
    with receive, send:
        process.start()
        own = loop(rounds)
        process.join()
        return [own, receive.recv()]


def pool_of_two(rounds: int) -> list[dict[str, Any]]:
    """Two workers; the parent does nothing but wait."""
    with context.Pool(2) as pool:
        answers: list[dict[str, Any]] = pool.map(loop, [rounds, rounds], chunksize=1)
        pool.close()
        pool.join()
    return answers


def onecopy(rounds: int) -> list[dict[str, Any]]:
    """Two workers of onecopy, forked as the others are."""
    with Pool(2, method="fork") as pool:
        return [future.result() for future in [pool.submit(loop, rounds) for _ in range(2)]]


VARIANTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "both in the parent": both_in_the_parent,
    "start, join, own": joined_before,
    "start, own, join": joined_after,
    "Pool(2)": pool_of_two,
    "onecopy.Pool(2)": onecopy,
}


def run(size: Size) -> Data:
    """Run all ways, one after another."""
    found = []
    for name, way in VARIANTS.items():
        began = perf_counter()
        loops = way(ROUNDS[size])
        total = perf_counter() - began
        for each in loops:
            each["start"] -= began
            each["stop"] -= began
        both = overlap(loops)
        say(f"{name}: {total:.2f} s, both loops at once for {both:.2f} s")
        found.append({"way": name, "total": total, "overlap": both, "loops": loops})
    return {"parent": os.getpid(), "cores": cpu_count(), "ways": found}


def overlap(loops: list[dict[str, Any]]) -> float:
    """For how many seconds both loops were under way."""
    ends = min(each["stop"] for each in loops)
    return max(0.0, float(ends - max(each["start"] for each in loops)))


def table(data: Data) -> Table:
    """Return a row per way."""
    base = data["ways"][0]["total"]
    return Table(
        head=("way", "total", "of the first", "processes", "both at once"),
        rows=[
            (
                each["way"],
                f"{each['total']:.2f} s",
                f"{each['total'] / base:.2f}",
                str(len({loop["pid"] for loop in each["loops"]})),
                f"{each['overlap']:.2f} s",
            )
            for each in data["ways"]
        ],
        strong=(4,),
        note="Both at once: how long both loops were under way. Starting the workers is counted.",
    )


def picture(data: Data) -> Lanes:
    """Return a lane per process, all ways on one axis."""
    lanes = []
    for each in data["ways"]:
        bars: dict[int, list[Bar]] = {}
        for loop in each["loops"]:
            bars.setdefault(loop["pid"], []).append(Bar(loop["start"], loop["stop"]))
        pids = sorted(bars, key=lambda pid: pid != data["parent"])
        for pid in pids:
            who = "parent" if pid == data["parent"] else "worker"
            lanes.append(Lane(f"{each['way']}: {who}", bars[pid]))
    return Lanes(lanes, title="When the two loops ran")


def claims(data: Data) -> list[Claim]:
    """Return the claims: what was parallel, and what it saved."""
    ways = {each["way"]: each for each in data["ways"]}
    base = ways["both in the parent"]["total"]
    before, after = ways["start, join, own"], ways["start, own, join"]
    pools = [ways["Pool(2)"], ways["onecopy.Pool(2)"]]
    two = sum(
        len({loop["pid"] for loop in each["loops"]} - {data["parent"]}) == 2 for each in pools
    )
    return [
        Claim(
            f"A child that is joined before its parent's own loop, and that loop, in "
            f"{len({loop['pid'] for loop in before['loops']})} processes, were at work together for "
            f"{before['overlap']:.1f} s.",
            before["overlap"] == 0 and len({loop["pid"] for loop in before["loops"]}) == 2,
            certain=True,
            expected="never, in two processes",
        ),
        Claim(
            f"It took {before['total'] / base:.2f} of the time that one process took.",
            before["total"] > 0.9 * base,
            certain=False,
            expected="more than 0.9: nothing is saved",
        ),
        Claim(
            "Joined after the parent's own loop, both were at work together for "
            f"{after['overlap']:.2f} of {after['total']:.2f} s.",
            after["overlap"] > 0.5 * after["total"],
            certain=False,
            expected="more than half",
        ),
        Claim(
            f"That took {after['total'] / base:.2f} of the time of one process.",
            0.4 < after["total"] / base < 0.75,
            certain=False,
            expected="0.4 to 0.75 if two cores are free",
        ),
        Claim(
            f"In {two} of {len(pools)} pools the loops ran in two workers, not in the parent.",
            two == len(pools),
            certain=False,
            expected="all",
        ),
    ]
