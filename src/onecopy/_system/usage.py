"""The resource usage of a process or a thread: CPU time, page faults, switches."""

from __future__ import annotations

import contextlib
import os
import resource
import sys

Usage = resource.struct_rusage
Used = tuple[int, int, int, int, int, int, int]
"""CPU time, time without a CPU, CPU time of others, in nanoseconds; minor and major page faults,
voluntary and involuntary context switches."""
# Of the calling thread, if the system supports it (Linux); otherwise of the process.
_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
_MOST = 0xFFFFFFFF
# Usage is not read for shorter tasks, in nanoseconds: it would take some percent of their time.
SHORT = 100_000
# After this many short tasks the next is expected to be short too.
_IN_A_ROW = 64
_TICKS = 20_000_000


def usage() -> Usage:
    """Return this thread's usage so far; see getrusage(2). Takes about a microsecond."""
    return resource.getrusage(_THREAD)


def used(before: Usage, now: Usage, *, waits: int = 0, wanted: int = 0) -> Used:
    """Return the difference of two usages; ``waits`` of the voluntary switches do not count.
    ``wanted``: the time without a CPU, which is not part of a usage."""
    cpu = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
    return (
        int(cpu * 1e9),
        wanted,
        0,
        (now.ru_minflt - before.ru_minflt) & _MOST,
        (now.ru_majflt - before.ru_majflt) & _MOST,
        max(0, now.ru_nvcsw - before.ru_nvcsw - waits) & _MOST,
        (now.ru_nivcsw - before.ru_nivcsw) & _MOST,
    )


class Delay:
    """The time that the calling thread ran, and that it was ready to run without a free CPU.

    From ``/proc/thread-self/schedstat``, which the kernel keeps exactly: reading it costs half a
    microsecond. If there is none (a kernel without it, no descriptor left), the delay is 0 and such
    time counts as waiting.
    """

    def __init__(self) -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def now(self) -> bytes:
        """Return a raw reading."""
        return os.pread(self._fd, 64, 0) if self._fd >= 0 else b""

    def since(self, before: bytes) -> tuple[int, int]:
        """Return the nanoseconds between a reading and now: on a CPU, and without one."""
        now, then = _figures(self.now()), _figures(before)
        return now[0] - then[0], now[1] - then[1]

    def close(self) -> None:
        """Close the file: there will be no more readings."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _figures(reading: bytes) -> tuple[int, int]:
    """Return the first two of its three figures; see sched-stats in the kernel's documentation."""
    if not reading:
        return 0, 0
    ran, delayed, _ = reading.split()
    return int(ran), int(delayed)


class Meter:
    """The usage of each task in a worker process, the task's own threads included.

    Each figure costs a system call, so a task of 1 ms can have two. The usage of the process is
    read after a task that took at least 100 microseconds, and before the worker waits, unless it
    was read less than that ago. What is shorter (a task, decoding, the sending of a result) is
    assumed to have computed all the time; its faults and switches count for the next task whose
    usage is read. The time that the thread was ready to run without a CPU is read before a task,
    but not after many short ones in a row. That time after the task, and the usage of programs that
    it has started, are read if it did not compute all the time.

    Attributes:
        looks: True if ``begins`` must be called before the next task, however quickly it is
            decoded.
    """

    def __init__(self) -> None:
        self.looks = _IN_A_ROW
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._elsewhere = 0  # CPU time since then that is not a function's
        self._waits = 0
        self._seen = 0  # when usage was read; 0 if there was a wait or a short task since
        self._until = 0  # the time before this is accounted for; 0 after a wait
        self.delay = Delay()
        self._reading = b""

    def waits(self, now: int) -> None:
        """Note that the worker is about to wait for work; ``now`` is when the last result was
        sent, or when the last wait ended."""
        self._waits += 1
        if now - self._seen < SHORT:
            self._elsewhere += now - self._seen
        else:
            self._before = resource.getrusage(resource.RUSAGE_SELF)
            self._elsewhere, self._waits = 0, 1
        self._seen = self._until = 0

    def begins(self, since: int, started: int) -> None:
        """Note that a task's function is about to be called, at ``started``; only if ``looks``, or
        if it took more than ``SHORT`` to decode it.

        Args:
            since: when the last result was sent, or the last wait ended.
            started: the present time; both in nanoseconds.
        """
        if started - (self._until or since) >= SHORT:
            now = resource.getrusage(resource.RUSAGE_SELF)
            self._elsewhere, self._until = used(self._before, now)[0], started
        self._reading = self.delay.now()

    def took(self, since: int, started: int, ended: int, imports: int, delayed: int) -> Used:
        """Return the usage of a task's function, which has just ended.

        Args:
            since: as in ``begins``.
            started, ended: when the function began and ended, in nanoseconds.
            imports, delayed: the CPU time of the function's imports, and for how long they were
                without a CPU; in nanoseconds.
        """
        before, nanoseconds = started - (self._until or since), ended - started
        if before < SHORT:
            self._elsewhere += before
        self._until = ended
        if nanoseconds < SHORT:
            self._elsewhere += nanoseconds
            self._seen = 0
            if self.looks:
                self.looks -= 1
            return nanoseconds, 0, 0, 0, 0, 0, 0
        read = resource.getrusage(resource.RUSAGE_SELF)
        cpu, _, _, *rest = used(self._before, read, waits=self._waits)
        cpu = max(0, cpu - self._elsewhere - imports)
        self._before, self._elsewhere, self._waits, self._seen = read, 0, 0, ended
        looked, self.looks = self.looks, _IN_A_ROW
        if nanoseconds - cpu - imports < SHORT and nanoseconds <= _TICKS:
            return cpu, 0, 0, rest[0], rest[1], rest[2], rest[3]
        # A program that the function has started and waited for computes in its place.
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += used(self._children, children)[0]
        self._children = children
        ran, wanted = self.delay.since(self._reading) if looked else (0, 0)
        # The kernel counts what has run at each of its ticks: below some of those the count is
        # noise.
        helped = max(0, cpu + imports - ran) if ran and nanoseconds > _TICKS else 0
        return cpu, max(0, wanted - delayed), helped, rest[0], rest[1], rest[2], rest[3]


def traced() -> int:
    """Return the bytes of this process's Python objects if ``tracemalloc`` traces; otherwise 0."""
    tracemalloc = sys.modules.get("tracemalloc")
    if tracemalloc is None or not tracemalloc.is_tracing():
        return 0
    return int(tracemalloc.get_traced_memory()[0])
