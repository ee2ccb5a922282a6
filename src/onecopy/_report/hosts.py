"""The hosts of a run: their memory over time, and the work of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model import HostRow, Run, Table
from .words import count


def staff(run: Run) -> str:
    """Return ``6 workers``, or ``6 workers on 3 hosts``."""
    workers = count(run.wanted, "worker")
    return f"{workers} on {count(len(run.hosts) - 1, 'host')}" if run.hosts else workers


def name_of(run: Run, worker: int) -> str:
    """Return the name of a worker's host; empty for a pool on this machine, or if it is unknown."""
    rows = run.workers[run.workers["worker"] == worker]
    return run.hosts[int(rows["host"][0])].name if run.hosts and len(rows) else ""


def named(run: Run, worker: int) -> str:
    """Return ``3``, or ``3 on node12`` for a pool on several hosts."""
    host = name_of(run, worker)
    return f"{worker} on {host}" if host else str(worker)


def sums(run: Run, column: str) -> tuple[Table, list[Table]]:
    """Return times, and for each host the sum of a column of ``columns.MEMORY`` over its processes.

    Each host is read at times of its own. Between two readings it has what it had at the earlier
    one, and before the first one NaN.
    """
    table = run.memory
    times = np.unique(table["time"])
    found = []
    for at in range(max(1, len(run.hosts))):
        mine = table[table["host"] == at]
        own, rows = np.unique(mine["time"], return_inverse=True)
        total = np.bincount(rows, mine[column].astype("f8"), len(own))
        places = np.searchsorted(own, times, side="right") - 1
        held = np.concatenate([total, [np.nan]])[places]
        found.append(held)
    return times, found


@dataclass(frozen=True)
class HostDone:
    """The work of a host.

    Attributes:
        row: the host.
        tasks: the tasks that it has run.
        compute: seconds inside the functions, of all its workers.
        pss: the highest sum of PSS of its processes that was read, in bytes.
    """

    row: HostRow
    tasks: int
    compute: float
    pss: int


def done(run: Run) -> list[HostDone]:
    """Return what each host has done, that of the program first; nothing without hosts."""
    if not run.hosts:
        return []
    _, pss = sums(run, "pss")
    found = []
    for at, row in enumerate(run.hosts):
        workers = run.workers["worker"][run.workers["host"] == at]
        totals = run.totals[np.isin(run.totals["worker"], workers)]
        peak = pss[at][~np.isnan(pss[at])].max(initial=0)
        tasks, compute = int(totals["tasks"].sum()), float(totals["compute"].sum()) / 1e9
        found.append(HostDone(row, tasks, compute, int(peak)))
    return found
