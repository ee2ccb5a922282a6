"""The calls of a run: what one line of the program, calling one function, cost.

A line in a loop that calls the pool many times is one call here. Times of tasks are exact;
when the call was under way, and what workers without work waited for, is known of the tasks
that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._observe.spans import split
from .model import WAITS, Run, Table

# Reports look at the calls that took most.
_MOST = 30


@dataclass(frozen=True)
class Call:
    """See the module. Times in seconds, of all workers together.

    Attributes:
        site: its index in ``Run.sites``.
        method, function: what was called, and with which function.
        line: ``file:line``; "" when it is not known.
        chunk: the chunk size that the program has given, or 0.
        spans: its tasks, as far as they are kept.
        parts: sums of ``columns.TOTAL`` over its tasks, times in seconds.
        idle: as ``Idle.by_call`` has it.
        wall: for how long it had work anywhere.
        depth: how many of its tasks were in the pool at once, at most.
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

    @property
    def tasks(self) -> int:
        return int(self.parts["tasks"])

    @property
    def items(self) -> int:
        return int(self.parts["items"])

    @property
    def compute(self) -> float:
        """In the function, imports left out."""
        return self.parts["compute"]

    @property
    def pausing(self) -> float:
        return self.parts["compute"] - self.parts["running"] - self.parts["wanting"]

    @property
    def own(self) -> float:
        """In the function, without what other programs took from it."""
        return self.parts["compute"] - self.parts["wanting"]

    def took(self) -> Table:
        """Of each task, the same in seconds."""
        parts = split(self.spans)
        took: Table = (parts["running"] + parts["pausing"]) / 1e9
        return took


def calls(run: Run) -> list[Call]:
    """The calls of a run, those first in which workers spent most time."""
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
    )


def _under_way(spans: Table, ready: int) -> tuple[float, int]:
    """For how long there was at least one task, and how many there were at most; only since
    the first worker was ready."""
    if not len(spans):
        return 0.0, 0
    begun = np.maximum(spans["submitted"].astype("i8"), ready)
    ended = np.maximum(spans["returned"], begun)
    times = np.concatenate([begun, ended])
    steps = np.concatenate([np.ones(len(begun), "i8"), -np.ones(len(ended), "i8")])
    # At the same time, what ends comes first.
    order = np.lexsort((steps, times))
    times, level = times[order], np.cumsum(steps[order])
    wall = float(np.diff(times)[level[:-1] > 0].sum()) / 1e9
    return wall, int(level.max())
