"""What workers without work were waiting for.

A worker waits before a task, and after its last one. In such a stretch of time the owner may
have been packing arguments, or in the user's iterable, and so on: its diary says for how long
of each slot. Where it does not say, the cause is elsewhere:

- nothing had been handed to the pool that was not done: *between* calls;
- other workers were at work, and nothing was left to hand out: the *tail* of a call;
- none of these: the work was on its way (*handing*).

Everything is summed up over one grid of time, as fine as the diary's. Tasks of which only the
totals are kept share the fate of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._observe.columns import OWNER_DOES

if TYPE_CHECKING:
    from .model import Run

    Table = np.ndarray[Any, np.dtype[Any]]

_ONE_BY_ONE = ("imap", "imap_unordered", "stream")
# Slots of the grid for a run whose owner has noted nothing.
_SLOTS = 4096


# Calls that time without work is divided among: those with the most tasks.
_CALLS = 50


class Idle:
    """The workers' time without work; see the module.

    Args:
        run: whose.
        last, gone: of each worker: when its last task ended, and its end or the run's.
        waited: seconds that workers waited before tasks, kept or not.

    Attributes:
        parts: ``columns.OWNER_DOES``, ``between``, ``handing`` and ``tail``: seconds in each
            slot of the grid.
        edges: of the slots.
    """

    def __init__(self, run: Run, last: Table, gone: Table, waited: float) -> None:
        spans = run.spans[run.spans["received"] > 0]
        self._run, self._spans = run, spans
        self.edges = edges = _edges(run)
        some = 0.01 * np.diff(edges)
        kept = float(spans["waited"].sum()) / 1e9
        before = filled(edges, spans["received"] - spans["waited"], spans["received"])
        idle = before * (waited / kept if kept else 0.0) + filled(edges, last, gone)
        self._whole = waited + float((gone - last).sum()) / 1e9
        left = np.ones(len(edges) - 1)
        self.parts: dict[str, Table] = {}
        shares = _owner(run, edges)
        for name in OWNER_DOES:
            part = np.minimum(shares[name], left)
            left -= part
            self.parts[name] = idle * part / 1e9
        rest = idle * left / 1e9
        working = filled(edges, spans["received"], spans["encoded"]) > some
        there = filled(edges, *_outstanding(run, spans)) > some
        queued = filled(edges, *_queued(run, spans)) > some
        tail = there & working & ~queued
        self.parts["between"] = np.where(there, 0.0, rest)
        self.parts["tail"] = np.where(tail, rest, 0.0)
        self.parts["handing"] = np.where(there & ~tail, rest, 0.0)

    def sums(self) -> dict[str, float]:
        """The parts, in seconds. What is of no task that is kept was on its way."""
        sums = {name: float(each.sum()) for name, each in self.parts.items()}
        sums["handing"] += max(0.0, self._whole - sum(sums.values()))
        return sums

    def by_call(self) -> dict[int, dict[str, float]]:
        """The same for each call, by its index: what was idle while it had work somewhere,
        and what the owner did right before it."""
        sites, counts = np.unique(self._spans["site"], return_counts=True)
        sites = sites[np.argsort(-counts)[:_CALLS]]
        if not len(sites):
            return {}
        begun, ended = _outstanding(self._run, self._spans)
        there = np.stack(
            [
                filled(self.edges, begun[mine], ended[mine])
                for mine in (self._spans["site"] == site for site in sites)
            ]
        )
        whose = np.where(there.max(axis=0) > 0, there.argmax(axis=0), -1)
        # What the owner does before a call begins is for that call; what it does after the last
        # task, for the one that it was of.
        known = np.flatnonzero(whose >= 0)
        at = np.arange(len(whose))
        coming, gone = np.searchsorted(known, at), np.searchsorted(known, at, side="right") - 1
        following = np.where(
            coming < len(known), whose[known[np.minimum(coming, len(known) - 1)]], -1
        )
        preceding = np.where(gone >= 0, whose[known[np.maximum(gone, 0)]], -1)
        belongs = dict.fromkeys(OWNER_DOES, preceding)
        belongs |= {"packing": following, "iterable": following}
        return {
            int(site): {
                name: float(part[belongs.get(name, whose) == number].sum())
                for name, part in self.parts.items()
            }
            for number, site in enumerate(sites)
        }


def _edges(run: Run) -> Table:
    diary = run.diary["time"]
    if len(diary) < 2:
        return np.linspace(run.began, max(run.ended, run.began + 1), _SLOTS + 1)
    width = int(diary[1] - diary[0])
    edges: Table = np.arange(run.began, max(run.ended, run.began + 1) + width, width).astype("f8")
    return edges


def _owner(run: Run, edges: Table) -> dict[str, Table]:
    """The share of each slot in which the owner did something, by kind."""
    slots = len(edges) - 1
    shares = {}
    for name in OWNER_DOES:
        values = run.diary[name][:slots].astype("f8")
        share = np.zeros(slots)
        if len(run.diary) > 1:
            share[: len(values)] = values / (edges[1] - edges[0])
        shares[name] = share.clip(0, 1)
    return shares


def _outstanding(run: Run, spans: Table) -> tuple[Table, Table]:
    """From when to when there was work at all: handed to the pool, and not yet returned."""
    return np.where(_lazy(run, spans), spans["sent"], spans["submitted"]), spans["returned"]


def _queued(run: Run, spans: Table) -> tuple[Table, Table]:
    """From when to when work was there that no worker had been sent."""
    sent = np.maximum(spans["sent"], spans["submitted"])
    return np.where(_lazy(run, spans), sent, spans["submitted"]), sent


def _lazy(run: Run, spans: Table) -> Table:
    """Of which tasks were the items taken one by one? Nobody knows when they came."""
    lazy = np.array([site[0] in _ONE_BY_ONE for site in run.sites] or [False])
    found: Table = lazy[np.minimum(spans["site"], len(lazy) - 1)]
    return found


def filled(edges: Table, starts: Table, stops: Table) -> Table:
    """The time that stretches spend between each two edges, by sums up to each edge."""
    begins, ends = np.sort(starts.astype("f8")), np.sort(stops.astype("f8"))
    sums: Table = np.diff(_up_to(edges, begins) - _up_to(edges, ends))
    return sums


def _up_to(edges: Table, points: Table) -> Table:
    """For each edge: the sum of (edge - point) over the points before it."""
    sums = np.concatenate([[0.0], np.cumsum(points - edges[0])])
    before = np.searchsorted(points, edges)
    area: Table = before * (edges - edges[0]) - sums[before]
    return area
