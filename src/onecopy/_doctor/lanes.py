"""The main activity of each process in each cell of a line: the parent's sender, its workers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .history import Table
from .inside import kinds
from .pools import Pool

# Glyph and colour of each kind of time. Compute is the densest: what one wants to see.
KINDS = {
    "compute": ("█", "green"),
    "unpickle": ("▓", "cyan"),
    "pickle": ("p", "magenta"),
    "write": ("w", "red"),
    "receive": ("r", "blue"),
    "start-up": ("░", "yellow"),
    "initializer": ("≡", "yellow"),
    "waiting": ("·", "bright_black"),
    "tail": ("_", "bright_black"),
    "lost": ("!", "bold red"),
}
MOST = 8


class Stretch(NamedTuple):
    """A kind of time, and when it was: nanoseconds."""

    kind: str
    begins: Table
    ends: Table


def stretches_of_parent(pool: Pool) -> list[Stretch]:
    """The work of the parent's threads for the pool."""
    sent = pool.tasks[pool.tasks["sent"] > 0]
    back = pool.tasks[pool.tasks["back"] > 0]
    pickled = sent["sent"] + sent["pickle"]
    return [
        Stretch("pickle", sent["sent"], pickled),
        Stretch("write", pickled, pickled + sent["write"]),
        Stretch("receive", back["result_head"], back["back"]),
    ]


def stretches_of_worker(pool: Pool, pid: int) -> list[Stretch]:
    """The activities of a worker, from its start to the end of the pool."""
    mine = pool.tasks[(pool.tasks["worker"] == pid) & (pool.tasks["begin"] > 0)]
    done = mine[mine["done"] > 0]
    lost = mine[mine["done"] == 0]
    born, initializing, ready = pool.starts[pid]
    pickled = done["done"] + done["result_pickle"]
    last = int((pickled + done["result_write"]).max()) if len(done) else ready
    unseen = _passed(pool, pid, last)
    last = max(last, int(unseen.ends.max(initial=0)))

    def one(kind: str, begin: int, end: int) -> Stretch:
        return Stretch(kind, np.array([begin], "i8"), np.array([max(begin, end)], "i8"))

    return [
        one("start-up", born, initializing),
        one("initializer", initializing, ready),
        Stretch(
            "waiting", np.where(mine["waited"] > 0, mine["waited"], mine["head"]), mine["head"]
        ),
        Stretch("unpickle", mine["head"], mine["begin"]),
        Stretch("compute", done["begin"], done["done"]),
        unseen,
        Stretch("pickle", done["done"], pickled),
        Stretch("write", pickled, pickled + done["result_write"]),
        one("lost" if len(lost) else "tail", last, pool.finish),
    ]


def _passed(pool: Pool, pid: int, last: int) -> Stretch:
    """The time in which a worker's tasks were passed through, as what most of it was."""
    worker = next(each for each in pool.workers if each.pid == pid)
    rows = worker.of(kinds.BURST)
    begins, ends = rows["t0"].astype("i8"), (rows["t0"] + rows["c"]).astype("i8")
    if len(rows) and worker.current is not None:
        # The last, of a worker that was ended in it, was never noted.
        since = max(last, int(ends.max()))
        begins, ends = np.append(begins, since), np.append(ends, max(since, worker.current.ended))
    kind = "compute" if pool.parts.compute >= pool.parts.waiting else "waiting"
    return Stretch(kind, begins, ends)


def draw(stretches: list[Stretch], begin: int, end: int, cells: int) -> list[str]:
    """The kind that filled most of each cell; '' where nothing did."""
    edges = begin + np.arange(cells + 1) * (max(1, end - begin) / cells)
    shares = np.stack([_filled(each, edges) for each in stretches])
    best = shares.argmax(axis=0)
    return [
        stretches[at].kind if shares[at, cell] > 0 else "" for cell, at in enumerate(best.tolist())
    ]


def _filled(stretch: Stretch, edges: Table) -> Table:
    """The time that the stretches spend between each two edges, by sums up to each edge."""

    def up_to(points: Table) -> Table:
        points = np.sort(points.astype("f8"))
        sums = np.concatenate([[0.0], np.cumsum(points - edges[0])])
        before = np.searchsorted(points, edges)
        area: Table = before * (edges - edges[0]) - sums[before]
        return area

    found: Table = np.diff(up_to(stretch.begins) - up_to(stretch.ends))
    return found


def of(pool: Pool, cells: int) -> list[tuple[str, list[str]]]:
    """The lanes of a pool, named."""
    drawn = [("parent", draw(stretches_of_parent(pool), pool.begin, pool.finish, cells))]
    for number, worker in enumerate(pool.workers[:MOST]):
        lane = draw(stretches_of_worker(pool, worker.pid), pool.begin, pool.finish, cells)
        drawn.append((f"worker {number}", lane))
    return drawn
