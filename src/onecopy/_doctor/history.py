"""The events of a run by process: records joined with each other and with the readings."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from . import rings
from .inside import kinds
from .recording import Facts, Look, Readings, Recording, Roll

Table = np.ndarray[Any, np.dtype[Any]]

# Threads of the libraries themselves: what they do is no part of the program's own.
_LIBRARY_THREADS = (
    "QueueFeederThread",
    "ExecutorManagerThread",
    "QueueManagerThread",
    "_handle_workers",
    "_handle_tasks",
    "_handle_results",
    "ThreadPoolExecutor._worker",
    "onecopy",
    "InMainThread",
    # Its locks are logging's, which begins with new ones in a forked child; tqdm's sleeps.
    "QueueListener._monitor",
    "|TMonitor|",
)


# Nanoseconds in which any interpreter has come to its records.
_LASTING = 500_000_000


class Site(NamedTuple):
    """A place in the program."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}" if self.file else "?"


NOWHERE = Site("", 0, "")
_FORKSERVER_SINCE = 314


@dataclass(eq=False)
class Process:
    """One Python process.

    Attributes:
        pid: see there.
        rows: its records, in order; names and counters: see ``rings``.
        start: the parent's record of ``Process.start``; None for others.
        parent: who started it, by that record or by its birth.
        exit: the code that the parent has seen, below zero a signal; None: it has not.
        exit_time: when; 0: never.
        ended_by: the signal that the parent itself has sent.
        current: the task that it was at last, of a worker of a pool.
        title: its name, where neither multiprocessing nor the kernel knows it.
    """

    pid: int
    rows: Table
    names: dict[int, str]
    counters: dict[str, int]
    lost: int = 0
    thinned: int = 1
    current: rings.Current | None = None
    start: Any = None
    parent: Process | None = None
    exit: int | None = None
    exit_time: int = 0
    ended_by: int = 0
    title: str = ""
    _kinds: Table = field(init=False)
    _what: Table = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = self.rows["head"] & 0xFF
        self._what = self.rows["head"] >> 8 & 0xFF

    def of(self, kind: int, what: int | None = None) -> Table:
        """Its records of a kind."""
        keep = self._kinds == kind
        if what is not None:
            keep = keep & (self._what == what)
        found: Table = self.rows[keep]
        return found

    def text(self, number: Any) -> str:
        """A name by its number."""
        return self.names.get(int(number), "")

    def site(self, number: Any) -> Site:
        """A place by its number."""
        place, _, function = self.text(number).rpartition(" ")
        file, _, line = place.rpartition(":")
        return Site(file, int(line), function) if line.isdigit() else NOWHERE

    def _word(self, kind: int, name: str) -> int:
        found = self.of(kind)
        return int(found[0][name]) if len(found) else 0

    @cached_property
    def passed(self) -> tuple[int, int]:
        """Messages that were passed through unrecorded: out and in."""
        rows = self.of(kinds.BURST)
        return int(rows["a"].sum()), int(rows["b"].sum())

    @property
    def sampled(self) -> bool:
        """It did not note each task: messages were passed through, or records thinned out."""
        return self.passed != (0, 0) or self.thinned > 1

    @cached_property
    def born(self) -> int:
        """The time when it began, or was forked."""
        return self._word(kinds.BORN, "t0")

    @cached_property
    def forked(self) -> bool:
        """By a fork, and so with its parent's memory."""
        return bool(len(self.of(kinds.BORN))) and self._word(kinds.BORN, "a") == kinds.FORKED

    @cached_property
    def inherited(self) -> int:
        """Resident anonymous bytes at its birth."""
        return self._word(kinds.BORN, "c")

    @cached_property
    def boot(self) -> int:
        """The time when multiprocessing began to run its target; 0: it did not start it."""
        return self._word(kinds.BOOT, "t0")

    @cached_property
    def end(self) -> int:
        """The time when its target had ended; 0: it is not recorded."""
        return self._word(kinds.END, "t0")

    @cached_property
    def cpu(self) -> float:
        """CPU seconds at its end."""
        return self._word(kinds.END, "b") / 1e9

    @cached_property
    def last(self) -> int:
        """The last that is known of it."""
        return int(self.rows["t0"].max()) if len(self.rows) else self.born

    @property
    def stop(self) -> int:
        """The time when its work ended, as far as that is known."""
        return self.end or self.exit_time or self.last

    @cached_property
    def name(self) -> str:
        """As multiprocessing calls it, or onecopy."""
        if self.title:
            return self.title
        found = self.of(kinds.BOOT)
        if len(found):
            return self.text(found[0]["d"])
        return self.parent.text(self.start["f"]) if self.start is not None and self.parent else ""

    @cached_property
    def target(self) -> str:
        """The function that it was started for."""
        found = self.of(kinds.BOOT)
        return self.text(found[0]["f"]) if len(found) else ""

    @property
    def method(self) -> str:
        """The start method."""
        return self.parent.text(self.start["d"]) if self.start is not None and self.parent else ""

    @property
    def started_at(self) -> Site:
        """The place of ``start``."""
        return (
            self.parent.site(self.start["e"]) if self.start is not None and self.parent else NOWHERE
        )

    @cached_property
    def manager(self) -> bool:
        """It is a manager's server."""
        return "manager server" in self.counters

    @property
    def worker(self) -> bool:
        """multiprocessing or loky has started it, and it runs the program's functions."""
        return bool(self.boot or self.start is not None) and not self.manager

    @cached_property
    def threads(self) -> dict[int, str]:
        """Names of its threads by their numbers in the records."""
        return {int(row["b"]): self.text(row["d"]) for row in self.of(kinds.THREAD)}

    def native(self, thread: int) -> int:
        """A thread's identity for the kernel; 0 when it is not known."""
        rows = self.of(kinds.THREAD)
        mine = rows[rows["b"] == thread]
        return int(mine[0]["c"]) if len(mine) else 0

    @cached_property
    def forkserver_by_default(self) -> bool:
        """It left the start method to its Python, which takes forkserver where older ones forked."""
        return (
            self._word(kinds.BORN, "e") >= _FORKSERVER_SINCE
            and "start method chosen" not in self.counters
        )

    def describe(self) -> str:
        """For people."""
        name = self.name or ("a forked process" if self.forked else "the main process")
        return f"{name} (pid {self.pid})"


def of_library(thread: str) -> bool:
    """Return True if a thread, by its name and target, belongs to a library."""
    return any(part in thread for part in _LIBRARY_THREADS)


class History:
    """All processes of a run."""

    def __init__(self, recording: Recording) -> None:
        self.facts: Facts = recording.facts
        self.readings: Readings = recording.readings
        self.processes = sorted((_process(ring) for ring in recording.rings), key=lambda p: p.born)
        # Of a pid that came again, the last.
        self.by_pid = {each.pid: each for each in self.processes}
        self.main = self.by_pid.get(self.facts.pid)
        self._join()
        self.looks = _by_pid(recording.readings.looks, Look)
        self.rolls = _by_pid(recording.readings.rolls, Roll)

    def _join(self) -> None:
        for process in self.processes:
            for row in process.of(kinds.START):
                child = self._child(int(row["b"]), int(row["t0"]))
                if child is not None:
                    child.start, child.parent = row, process
            for row in process.of(kinds.ENDED):
                child = self._child(int(row["b"]), 0)
                if child is not None:
                    child.ended_by = int(row["a"])
            for row in process.of(kinds.EXIT):
                child = self._child(int(row["b"]), 0)
                if child is not None:
                    code = int(row["c"])
                    child.exit = code - (1 << 32) if code >> 31 else code
                    child.exit_time = int(row["t0"])
        for process in self.processes:
            if process.parent is None:
                ancestor = process._word(kinds.BORN, "b")
                process.parent = self.by_pid.get(ancestor)

    def _child(self, pid: int, started: int) -> Process | None:
        """The process of that pid; of several, the first that was born after it was started."""
        found = [each for each in self.processes if each.pid == pid]
        later = [each for each in found if each.stop >= started]
        return later[0] if later and started else (found[-1] if found else None)

    def workers(self) -> list[Process]:
        """See ``Process.worker``."""
        return [each for each in self.processes if each.worker]

    def cpu_and_delay(self, pids: list[int]) -> tuple[float, float]:
        """Of these processes: CPU seconds, and seconds of waiting for a CPU."""
        cpu = delay = 0.0
        for pid in pids:
            if pid in self.looks:
                cpu += float(self.looks[pid]["cpu"].max())
                delay += float(self.looks[pid]["delay"].max())
        return cpu, delay

    def unseen(self) -> list[str]:
        """Command lines of Python processes that could not be looked into.

        One that was ended while it began, or another program than Python, has nothing to say.
        """
        known = {process.pid for process in self.processes}
        found = []
        for pid, command in self.readings.commands.items():
            words = command.split()
            python = bool(words) and os.path.basename(words[0]).startswith("python")
            looks = self.looks.get(pid)
            if pid in known or not python or looks is None or "resource_tracker" in command:
                continue
            if int(looks["time"].max() - looks["time"].min()) > _LASTING:
                found.append(command)
        return found


def _process(ring: rings.Ring) -> Process:
    names = rings.names_of(ring.names)
    counters = rings.counters_of(ring.head, names)
    rows = rings.table(ring.records)
    current = rings.current_of(ring.head)
    return Process(ring.pid, rows, names, counters, ring.lost, ring.thinned, current)


def _by_pid(rows: list[Any], kind: Any) -> dict[int, Table]:
    """Readings as a table for each process."""
    grouped: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        grouped[row.pid].append(tuple(row))
    types = [(name, "f8" if name in ("cpu", "delay") else "i8") for name in kind._fields]
    return {pid: np.array(some, types) for pid, some in grouped.items()}
