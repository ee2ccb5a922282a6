"""What a process or a thread has used of the machine: CPU time, page faults, switches."""

from __future__ import annotations

import resource
import sys

Usage = resource.struct_rusage
Used = tuple[int, int, int, int, int]
"""CPU time in nanoseconds, minor and major page faults, voluntary and involuntary context
switches."""
# Of the calling thread, where the system tells (Linux): else of the process.
_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
_MOST = 0xFFFFFFFF
# Shorter tasks are not looked up, in nanoseconds: it would take some percent of their time.
_SHORT = 100_000


def usage() -> Usage:
    """This thread's so far; see getrusage(2). About a microsecond."""
    return resource.getrusage(_THREAD)


def used(before: Usage, now: Usage, *, waits: int = 0) -> Used:
    """Between two usages; ``waits`` of the voluntary switches do not count."""
    cpu = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
    return (
        int(cpu * 1e9),
        (now.ru_minflt - before.ru_minflt) & _MOST,
        (now.ru_majflt - before.ru_majflt) & _MOST,
        max(0, now.ru_nvcsw - before.ru_nvcsw - waits) & _MOST,
        (now.ru_nivcsw - before.ru_nivcsw) & _MOST,
    )


class Meter:
    """What each task of a worker process uses; the process's own threads are counted.

    Usage is looked up before the worker waits, when nobody waits for it, and after a task
    that took at least 100 microseconds. A shorter one's CPU time is taken to be its
    duration; faults and switches in it are not known, and go to the next one that is
    looked up.
    """

    def __init__(self) -> None:
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._short = 0
        self._waits = 0

    def waits(self) -> None:
        """The worker is about to wait for work."""
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._short, self._waits = 0, 1

    def took(self, nanoseconds: int) -> Used:
        """A task has ended that took so long."""
        if nanoseconds < _SHORT:
            self._short += nanoseconds
            return nanoseconds, 0, 0, 0, 0
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu, *rest = used(self._before, now, waits=self._waits)
        cpu = max(0, cpu - self._short)
        self._before, self._short, self._waits = now, 0, 0
        return cpu, rest[0], rest[1], rest[2], rest[3]


def traced() -> int:
    """What this process's Python objects take, in bytes, when ``tracemalloc`` counts it; 0
    when it does not."""
    tracemalloc = sys.modules.get("tracemalloc")
    if tracemalloc is None or not tracemalloc.is_tracing():
        return 0
    return int(tracemalloc.get_traced_memory()[0])
