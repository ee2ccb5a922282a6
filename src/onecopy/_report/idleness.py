"""The reasons why workers had no work.

A worker waits before a task, and after its last one. In such a stretch of time the owner may have
been encoding arguments, or in the user's iterable, and so on: its diary has the time of each in
each slot. For the rest, the cause is elsewhere:

- all submitted work was done: *between* calls;
- other workers were busy, and nothing was left to give out: the *tail* of a call;
- none of these: the work was in transit (*handing*).

Everything is summed over one grid of time, as fine as the diary's. Tasks of which only the totals
are kept are treated like the others.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .._observe.columns import OWNER_DOES
from .._observe.spans import Site

Table = np.ndarray[Any, np.dtype[Any]]


class Timed(Protocol):
    """A run (``model.Run``), as far as it is asked here."""

    @property
    def began(self) -> int: ...
    @property
    def ended(self) -> int: ...
    @property
    def spans(self) -> Table: ...
    @property
    def diary(self) -> Table: ...
    @property
    def sites(self) -> tuple[Site, ...]: ...


_ONE_BY_ONE = ("imap", "imap_unordered", "stream")
# Slots of the grid for a run without a diary.
_SLOTS = 4096


# The number of calls that idle time is divided among: those with the most tasks.
_CALLS = 50


class Idle:
    """The workers' time without work; see the module.

    Args:
        run: the run.
        last, gone: for each worker: when its last task ended, and its end or the run's.
        waited: seconds that workers waited before tasks, kept or not.

    Attributes:
        parts: ``columns.OWNER_DOES``, ``between``, ``handing`` and ``tail``: seconds in each
            slot of the grid.
        edges: of the slots.
    """

    def __init__(self, run: Timed, last: Table, gone: Table, waited: float) -> None:
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
        """Return the parts, in seconds. Time that belongs to no kept task counts as in transit."""
        sums = {name: float(each.sum()) for name, each in self.parts.items()}
        sums["handing"] += max(0.0, self._whole - sum(sums.values()))
        return sums

    def by_call(self) -> dict[int, dict[str, float]]:
        """Return the same for each call, by its index: idle time while it had work anywhere, and
        the owner's activity right before it."""
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
        # The owner's activity before a call begins belongs to that call; its activity after the
        # last task, to that task's call.
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


def _edges(run: Timed) -> Table:
    diary = run.diary["time"]
    if len(diary) < 2:
        return np.linspace(run.began, max(run.ended, run.began + 1), _SLOTS + 1)
    width = int(diary[1] - diary[0])
    edges: Table = np.arange(run.began, max(run.ended, run.began + 1) + width, width).astype("f8")
    return edges


def _owner(run: Timed, edges: Table) -> dict[str, Table]:
    """Return the share of each slot in which the owner did something, by kind."""
    slots = len(edges) - 1
    shares = {}
    for name in OWNER_DOES:
        values = run.diary[name][:slots].astype("f8")
        share = np.zeros(slots)
        if len(run.diary) > 1:
            share[: len(values)] = values / (edges[1] - edges[0])
        shares[name] = share.clip(0, 1)
    return shares


def _outstanding(run: Timed, spans: Table) -> tuple[Table, Table]:
    """Return the stretches in which there was work at all: submitted, and not yet returned."""
    return np.where(_lazy(run, spans), spans["sent"], spans["submitted"]), spans["returned"]


def _queued(run: Timed, spans: Table) -> tuple[Table, Table]:
    """Return the stretches in which there was work that no worker had been sent."""
    sent = np.maximum(spans["sent"], spans["submitted"])
    return np.where(_lazy(run, spans), sent, spans["submitted"]), sent


def _lazy(run: Timed, spans: Table) -> Table:
    """Return a mask of tasks whose items were taken one by one: it is unknown when these came."""
    lazy = np.array([site[0] in _ONE_BY_ONE for site in run.sites] or [False])
    found: Table = lazy[np.minimum(spans["site"], len(lazy) - 1)]
    return found


def filled(edges: Table, starts: Table, stops: Table) -> Table:
    """Return the time that stretches spend between each two edges, from sums up to each edge."""
    begins, ends = np.sort(starts.astype("f8")), np.sort(stops.astype("f8"))
    sums: Table = np.diff(_up_to(edges, begins) - _up_to(edges, ends))
    return sums


def _up_to(edges: Table, points: Table) -> Table:
    """Return for each edge the sum of (edge - point) over the points before it."""
    sums = np.concatenate([[0.0], np.cumsum(points - edges[0])])
    before = np.searchsorted(points, edges)
    area: Table = before * (edges - edges[0]) - sums[before]
    return area
