"""Processor time of a process and of all that it has started, read while they run.

A process has a clock of its own, which counts the time of all its threads to the nanosecond and
which any process may read (clock_getcpuclockid(3); Linux). So pools need not end to be measured,
and what is disturbed by other programs' work is the wall time, not this.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psutil


def seconds(pid: int) -> float:
    """Processor seconds that a process has used; 0 for one that is gone."""
    try:
        # How the kernel numbers a process's clock: clock_getcpuclockid in glibc does the same.
        return time.clock_gettime(((~pid) << 3) | 2)
    except OSError:
        return 0.0


def descendants() -> list[int]:
    """The processes that this one has started, directly or not: workers, fork servers."""
    return [child.pid for child in psutil.Process().children(recursive=True)]


@dataclass(frozen=True)
class Used:
    """Seconds between two readings.

    Attributes:
        wall: of the clock.
        owner: processor time of this process.
        workers: processor time of all processes that it has started.
    """

    wall: float
    owner: float
    workers: float


class Meter:
    """Measures from its making on. The processes should be there before it is made."""

    def __init__(self) -> None:
        self._workers = {pid: seconds(pid) for pid in descendants()}
        self._owner, self._wall = seconds(os.getpid()), time.perf_counter()

    def used(self) -> Used:
        wall, owner = time.perf_counter() - self._wall, seconds(os.getpid()) - self._owner
        now = {pid: seconds(pid) for pid in {*self._workers, *descendants()}}
        # One that ended in between has no clock any more.
        spent = [max(0.0, now[pid] - self._workers.get(pid, 0.0)) for pid in now]
        return Used(wall, owner, sum(spent))
