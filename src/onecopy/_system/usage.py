"""The resource usage of a process or a thread: CPU time, page faults, switches."""

from __future__ import annotations

import resource
import sys

Usage = resource.struct_rusage
Used = tuple[int, int, int, int, int]
"""CPU time in nanoseconds, minor and major page faults, voluntary and involuntary context
switches."""
# Of the calling thread, if the system supports it (Linux); otherwise of the process.
_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
_MOST = 0xFFFFFFFF
# Usage is not read for shorter tasks, in nanoseconds: it would take some percent of their time.
_SHORT = 100_000


def usage() -> Usage:
    """Return this thread's usage so far; see getrusage(2). Takes about a microsecond."""
    return resource.getrusage(_THREAD)


def used(before: Usage, now: Usage, *, waits: int = 0) -> Used:
    """Return the difference of two usages; ``waits`` of the voluntary switches do not count."""
    cpu = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
    return (
        int(cpu * 1e9),
        (now.ru_minflt - before.ru_minflt) & _MOST,
        (now.ru_majflt - before.ru_majflt) & _MOST,
        max(0, now.ru_nvcsw - before.ru_nvcsw - waits) & _MOST,
        (now.ru_nivcsw - before.ru_nivcsw) & _MOST,
    )


class Meter:
    """The usage of each task in a worker process, the task's own threads included.

    Usage is read before the worker waits, when no caller waits for it, and after a task that took
    at least 100 microseconds. A shorter task's CPU time is assumed to be its duration; its faults
    and switches are unknown, and count for the next task whose usage is read.
    """

    def __init__(self) -> None:
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._short = 0
        self._waits = 0

    def waits(self) -> None:
        """Note that the worker is about to wait for work."""
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._short, self._waits = 0, 1

    def took(self, nanoseconds: int) -> Used:
        """Return the usage of a task that has ended and took ``nanoseconds``."""
        if nanoseconds < _SHORT:
            self._short += nanoseconds
            return nanoseconds, 0, 0, 0, 0
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu, *rest = used(self._before, now, waits=self._waits)
        cpu = max(0, cpu - self._short)
        self._before, self._short, self._waits = now, 0, 0
        return cpu, rest[0], rest[1], rest[2], rest[3]


def traced() -> int:
    """Return the bytes of this process's Python objects if ``tracemalloc`` traces; otherwise 0."""
    tracemalloc = sys.modules.get("tracemalloc")
    if tracemalloc is None or not tracemalloc.is_tracing():
        return 0
    return int(tracemalloc.get_traced_memory()[0])
