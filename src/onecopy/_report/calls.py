"""The calls of a run: the cost of one line of the program that calls one function.

A line in a loop that calls the pool many times is one call here. Times of tasks are exact; the time
span of the call, and the reasons why workers waited, are known for the tasks that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._observe.spans import split
from .model import WAITS, Run, Table
from .program import NONE, Words

# Reports consider this many calls, those that took most.
_MOST = 30


@dataclass(frozen=True)
class Call:
    """See the module. Times in seconds, of all workers together.

    Attributes:
        site: its index in ``Run.sites``.
        method, function: the method, and the function passed to it.
        line: ``file:line``; "" if unknown.
        chunk: the chunk size that the program has given, or 0.
        spans: its tasks, as far as they are kept.
        parts: sums of ``columns.TOTAL`` over its tasks, times in seconds.
        idle: from ``Idle.by_call``.
        wall: the time during which it had work anywhere.
        depth: the maximum number of its tasks that were in the pool at once.
        words: the program's names on the line.
    """

    site: int
    method: str
    function: str
    line: str
    chunk: int
    spans: Table
    parts: dict[str, float]
    idle: dict[str, float]
    wall: float
    depth: int
    words: Words = NONE

    @property
    def tasks(self) -> int:
        return int(self.parts["tasks"])

    @property
    def items(self) -> int:
        return int(self.parts["items"])

    @property
    def compute(self) -> float:
        """Return the time in the function, without imports."""
        return self.parts["compute"]

    @property
    def pausing(self) -> float:
        return self.parts["compute"] - self.parts["running"] - self.parts["wanting"]

    @property
    def own(self) -> float:
        """Return the time in the function, without what other programs took from it."""
        return self.parts["compute"] - self.parts["wanting"]

    def took(self) -> Table:
        """Return the same for each task, in seconds."""
        parts = split(self.spans)
        took: Table = (parts["running"] + parts["pausing"]) / 1e9
        return took


def calls(run: Run) -> list[Call]:
    """Return the calls of a run, those with the most worker time first."""
    idle = run.idle().by_call()
    found = [_call(run, int(site), idle) for site in np.unique(run.totals["site"])]
    found.sort(key=lambda call: -(call.compute + sum(call.idle.values())))
    return found[:_MOST]


def _call(run: Run, site: int, idle: dict[int, dict[str, float]]) -> Call:
    totals = run.totals[run.totals["site"] == site]
    spans = run.spans[(run.spans["site"] == site) & (run.spans["received"] > 0)]
    parts = {name: float(totals[name].sum()) for name in totals.dtype.names[3:]}
    for name, kind in totals.dtype.descr:
        if kind == "<i8":
            parts[name] /= 1e9
    method, function, file, line, chunk = run.sites[site]
    ready = run.workers["ready"]
    wall, depth = _under_way(spans, int(ready[ready > 0].min()) if (ready > 0).any() else 0)
    return Call(
        site=site,
        method=method,
        function=function,
        line=f"{file}:{line}" if file else "",
        chunk=chunk,
        spans=spans,
        parts=parts,
        idle=dict.fromkeys((*WAITS, "tail"), 0.0) | idle.get(site, {}),
        wall=wall,
        depth=depth,
        words=run.words[site] if site < len(run.words) else NONE,
    )


def _under_way(spans: Table, ready: int) -> tuple[float, int]:
    """Return how long there was at least one task, and how many there were at most; since the first
    worker was ready."""
    if not len(spans):
        return 0.0, 0
    begun = np.maximum(spans["submitted"].astype("i8"), ready)
    ended = np.maximum(spans["returned"], begun)
    times = np.concatenate([begun, ended])
    steps = np.concatenate([np.ones(len(begun), "i8"), -np.ones(len(ended), "i8")])
    # At the same time, ends come first.
    order = np.lexsort((steps, times))
    times, level = times[order], np.cumsum(steps[order])
    wall = float(np.diff(times)[level[:-1] > 0].sum()) / 1e9
    return wall, int(level.max())
