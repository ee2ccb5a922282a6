"""Pools: all that went through one pipe of tasks.

Where messages came too fast to note each, both ends noted some, and different ones (``inside/bursts``).
Then sums are told from shares (``accounting``). Complete are, in the workers, tasks that took long, how
many there were, and how long they took together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._report.model import Start
from .estimate import replay
from .history import NOWHERE, Process, Site, Table
from .rings import LONG

TASK = np.dtype(
    [
        (name, "i8")
        for name in (
            *("one", "two", "items", "name", "bytes", "sent", "pickle", "write"),
            *("worker", "head", "read", "unpickle", "waited", "begin", "done", "cpu"),
            *("result_pickle", "result_write", "result_bytes", "failed"),
            *("result_head", "result_read", "result_unpickle", "back", "title"),
        )
    ]
)
"""Times in nanoseconds; 0: not known. ``sent``, ``back``: pickling began, the result was there. ``name``,
``title``: the function, by a name of the parent's, or of the worker's."""

# What the hooks themselves take between the readings of a task's begin and end.
_HOOK, _HOOK_CPU = 0.3e-6, 1.0e-6


@dataclass
class Parts:
    """The parts of lanes x wall, in seconds; each measured by itself, ``other`` is what is left."""

    compute: float = 0.0
    unpickle: float = 0.0
    pickle: float = 0.0
    read: float = 0.0
    write: float = 0.0
    waiting: float = 0.0
    startup: float = 0.0
    initializing: float = 0.0
    tail: float = 0.0
    lost: float = 0.0
    other: float = 0.0

    def known(self) -> float:
        """All but what is left."""
        values = vars(self)
        return float(sum(values[name] for name in values if name != "other"))


@dataclass(eq=False)
class Pool:
    """One pool; times in seconds unless they are stated to be nanoseconds.

    Attributes:
        parent: the process that sends its tasks.
        channel: the pipe of its tasks.
        kind: what it is; lanes: workers asked for; site: where it was made; method: how its
            workers start; made: how many pools the parent had made at that place, so far.
        workers: those that got a task.
        tasks: what is known of each task; those that no worker got have worker 0.
        count: how many tasks there were; noted: how many there were for each that the parent noted.
        sampled: the workers did not note each of theirs, short ones.
        submits: the places that gave it work, with the method called.
        begin, finish: nanoseconds; wall: between, without the time in which it had nothing to do.
        starts: of each worker, by its pid.
    """

    parent: Process
    channel: int
    record: Any
    workers: list[Process]
    tasks: Table
    cpus: int
    kind: str = "?"
    lanes: int = 1
    site: Site = NOWHERE
    method: str = ""
    count: int = 0
    noted: float = 1.0
    sampled: bool = False
    submits: list[tuple[Site, str]] = field(default_factory=list)
    begin: int = 0
    finish: int = 0
    wall: float = 0.0
    starts: dict[int, Start] = field(default_factory=dict)
    pauses: list[tuple[int, int]] = field(default_factory=list)
    parts: Parts = field(default_factory=Parts)
    pickling: float = 0.0
    writing: float = 0.0
    receiving: float = 0.0
    bytes: float = 0.0
    result_bytes: float = 0.0
    overlap: float = 0.0
    cpu_bound: bool = False
    lane_limit: int = 1
    stretch: float = 1.0
    delay: float = 0.0

    @property
    def done(self) -> Table:
        """The tasks whose begin and end are known."""
        found: Table = self.tasks[(self.tasks["done"] > 0) & (self.tasks["begin"] > 0)]
        return found

    @property
    def compute(self) -> Table:
        """Of these, seconds inside the user's function."""
        done = self.done
        found: Table = np.maximum(0.0, (done["done"] - done["begin"]) / 1e9 - _HOOK)
        return found

    @property
    def cpu(self) -> Table:
        """Of these, seconds of CPU of the whole process."""
        found: Table = np.maximum(0.0, self.done["cpu"] / 1e9 - _HOOK_CPU)
        return found

    @property
    def works(self) -> Table:
        """Seconds each keeps a lane busy: CPU where tasks compute, the clock where they wait."""
        if not self.cpu_bound:
            return self.compute
        found: Table = np.minimum(self.cpu, self.compute) * self.stretch
        return found

    @property
    def knows_long_tasks(self) -> bool:
        """All tasks that took long, or did not end, are known: from the records of each, or since each
        worker says what it was at."""
        return not self.sampled or all(each.current is not None for each in self.workers)

    @property
    def weights(self) -> Table:
        """Of these, the number of tasks that each stands for."""
        done = self.done
        found = np.ones(len(done))
        for each in self.workers:
            if each.sampled and each.current is not None:
                mine = done["worker"] == each.pid
                short = mine & (done["done"] - done["begin"] < LONG)
                rest = each.current.number - each.current.running - int((mine & ~short).sum())
                found[short] = max(1.0, rest / max(1, int(short.sum())))
        return found

    @property
    def work(self) -> float:
        """Seconds that all tasks together keep lanes busy."""
        if not self.sampled:
            return float(self.works.sum())
        weights = self.weights
        share = float((weights * self.works).sum()) / max(
            1e-9, float((weights * self.compute).sum())
        )
        return self.parts.compute * share

    def dealt(self, lanes: int) -> float:
        """Seconds that the tasks take, dealt out again to that many lanes."""
        works = self.works
        if not self.sampled:
            return replay(works, lanes)
        return max(self.work / max(1, lanes), float(works.max(initial=0.0)))

    @property
    def total(self) -> float:
        """Lanes x wall."""
        return self.lanes * self.wall

    @property
    def sender(self) -> float:
        """Seconds of the one thread that sends: pickling, and writing while a worker read.

        The rest of its writing is waiting for workers that were busy, which costs nothing.
        """
        return self.pickling + min(self.writing, self.parts.read)

    @property
    def lead(self) -> float:
        """Until the first worker was ready."""
        return self._until(start.ready for start in self.starts.values())

    @property
    def starting(self) -> float:
        """The same without its initializer, whose time is the program's own."""
        return self._until(start.initializing for start in self.starts.values())

    def _until(self, times: Iterable[int]) -> float:
        return max(0.0, (min(times, default=self.begin) - self.begin) / 1e9)

    @property
    def submit(self) -> tuple[Site, str]:
        """The place that gave it most of its work."""
        return self.submits[0] if self.submits else (self.site, "")

    def function(self, row: Any) -> str:
        """The name of a task's function."""
        return self.functions(np.atleast_1d(row))[0]

    def functions(self, rows: Table) -> list[str]:
        """The names of tasks' functions."""
        workers = {each.pid: each for each in self.workers}
        found: dict[tuple[int, int, int], str] = {}
        keys = [
            (name, 0, 0) if name else (0, worker, title)
            for name, worker, title in zip(
                *(rows[each].tolist() for each in ("name", "worker", "title")), strict=True
            )
        ]
        for key in set(keys):
            name, worker, title = key
            owner, number = (self.parent, name) if name else (workers.get(worker), title)
            found[key] = (owner.text(number) if owner is not None else "") or "?"
        return [found[key] for key in keys]

    def describe(self) -> str:
        """For people."""
        where = f" at {self.site}" if self.site.file else ""
        return f"{self.kind}{where}, {self.lanes} workers by {self.method or 'fork'}"
