"""onecopy's own pools in a program: each saves its run in the session's folder when it ends.

Their workers are forks of a process that onecopy keeps for that, and without what is known here
they would be nameless forks of the program.
"""

from __future__ import annotations

import io

import numpy as np

from .._report import saved
from .._report.model import Run
from .._report.words import count
from . import lanes
from .history import History
from .recording import Recording


def runs(recording: Recording) -> list[Run]:
    """Return the runs of these pools, in the order of their begins.

    Raises:
        BadFile: one is damaged.
    """
    found = [saved.read(io.BytesIO(file), "a run of onecopy") for file in recording.own]
    return sorted(found, key=lambda run: run.began)


def name(history: History, own: list[Run]) -> None:
    """Give the processes of these pools their names."""
    for run in own:
        for row in run.workers:
            worker = history.by_pid.get(int(row["pid"]))
            if worker is None:
                continue
            worker.title = f"onecopy worker {int(row['worker'])}"
            parent = worker.parent
            if parent is not None and parent.pid != run.owner_pid:
                parent.title = "onecopy zygote" if run.method == "fork" else "onecopy fork server"


def describe(run: Run) -> str:
    """For people."""
    return f"onecopy, {count(run.wanted, 'worker')} by {run.method}, {count(run.tasks, 'task')}"


def drawn(run: Run, cells: int, most: int) -> list[tuple[str, list[str]]]:
    """The lanes of its first ``most`` workers, named."""
    rows = []
    for life in run.workers[:most]:
        mine = run.spans[run.spans["worker"] == life["worker"]]
        born, initializing, ready = run.start(life)
        stretches = [
            _one("start-up", born, initializing),
            _one("initializer", initializing, ready),
            lanes.Stretch("unpickle", mine["received"], mine["started"]),
            lanes.Stretch("compute", mine["started"], mine["finished"]),
            lanes.Stretch("pickle", mine["finished"], mine["encoded"]),
        ]
        known = [
            lanes.Stretch(each.kind, each.begins, np.maximum(each.begins, each.ends))
            for each in stretches
        ]
        rows.append(
            (f"worker {int(life['worker'])}", lanes.draw(known, run.began, run.ended, cells))
        )
    return rows


def _one(kind: str, begin: int, end: int) -> lanes.Stretch:
    return lanes.Stretch(kind, np.array([begin], "i8"), np.array([end], "i8"))
