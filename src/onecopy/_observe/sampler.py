"""The memory of a process and all its descendants, and its peak.

It sums PSS, so that a page that several processes map counts once, and USS. Both come from
``smaps_rollup`` (see ``_system.procfs``), which costs about 10 ms per mapped GB. A sampler
therefore has a budget. It watches the resident pages, which cost microseconds to read, and spends
its readings where they grow. The caller forces one more reading at the end of the work, while the
workers still hold their memory.

Without ``smaps_rollup`` (macOS, some sandboxes) there are no readings, and no error. Not covered:
the limits of a cgroup (``_system.memory``) and the owner's segments (``_memory.registry``).
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable
from time import perf_counter, thread_time
from types import TracebackType
from typing import NamedTuple

from .._system import procfs
from .._system.interrupts import Event

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

# A change of the resident pages that justifies a reading, and one of PSS that makes the next reading
# come soon.
_CHANGE = 0.02
# Readings take at most this part of the time while memory changes, whatever the budget has left.
_DENSEST = 0.1
# The time between two readings, in terms of the time after which the budget has paid for one: after a
# change; and after readings without one it doubles, up to the longest. What is saved then is spent
# where memory changes.
_SOON, _LATEST = 0.25, 4.0
# What can be saved, in seconds of the budget.
_SAVINGS = 20.0
# Watching takes this part of the budget, readings the rest.
_WATCHING = 0.25
# Searching for new children takes ten times as long as checking the known ones.
_LOOKS_PER_SEARCH = 8
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 1.0


class TreeMemory(NamedTuple):
    """The memory of some processes at one time, in bytes.

    ``rss`` counts a page once for each process that maps it: show it only together with ``pss``.
    """

    pss: int
    uss: int
    rss: int
    processes: int


def read_tree(pid: int | None = None) -> TreeMemory | None:
    """Return the memory of ``pid`` (None: this process) and all its descendants.

    Returns None if ``pid`` is gone or may not be read. A descendant that ends meanwhile is left
    out. Blocks for about 10 ms per GB that the processes map.
    """
    root = os.getpid() if pid is None else pid
    found: dict[int, procfs.Rollup] = {}
    for each in (root, *procfs.descendants(root)):
        memory = procfs.rollup(each)
        if memory is None:
            if each == root:
                return None
            continue
        if not is_between_fork_and_exec(each, memory, found):
            found[each] = memory
    return TreeMemory(
        pss=sum(memory.pss for memory in found.values()),
        uss=sum(memory.uss for memory in found.values()),
        rss=sum(memory.rss for memory in found.values()),
        processes=len(found),
    )


def is_between_fork_and_exec(
    pid: int, memory: procfs.Rollup, found: dict[int, procfs.Rollup]
) -> bool:
    """Return True if ``memory`` is its parent's, which was counted already.

    A child that ``subprocess`` makes by vfork(2) runs in its parent's memory until its exec, and
    each page would count twice. Pages that a real child shares with its parent are not private to
    either, so these figures are equal in that one case only.
    """
    if memory.uss * 2 <= memory.pss or memory not in found.values():
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # pid (name) state ppid: the name may hold anything, parentheses too.
            parent = int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return False
    return found.get(parent) == memory


class Pages(NamedTuple):
    """The resident pages of a process, in bytes."""

    resident: int
    anonymous: int
    """Neither a file's nor shared memory."""


def pages(pids: Iterable[int]) -> dict[int, Pages]:
    """Return what each process has resident; cheap, since the kernel keeps these counts. Processes
    that have ended are left out."""
    found = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                _, resident, shared = map(int, file.read().split()[:3])
        except (OSError, ValueError):
            continue  # it ended
        found[pid] = Pages(resident * _PAGE, (resident - shared) * _PAGE)
    return found


def resident(found: dict[int, Pages]) -> int:
    """Return the sum of the resident pages in bytes."""
    return sum(each.resident for each in found.values())


class Pacing:
    """The decisions when to read and how long to pause: pure arithmetic without a clock.

    The budget is a share of the time that has passed; that of the first second is available from
    the start, since a short run has its peak in it. If the resident pages have changed, a reading
    may use all that is left. Others are needed too: memory can change hands while the resident
    pages stay (a forked child that writes). They come soon after one that found a change, later and
    later after those that found none, and not before the budget is twice their cost.

    Args:
        budget: the share of wall time, 0.01 for one percent.
        now: the start time, in seconds.

    Attributes:
        budget: as given.
    """

    def __init__(self, budget: float, now: float) -> None:
        self.budget = budget
        self._began = now - 1.0
        self._spent = 0.0
        self._price = 0.0
        self._watch = math.inf  # the price of the last check
        self._resident = self._pss = 0
        self._last = now  # the end of the last reading
        self._patience = _SOON

    def wants(self, now: float, resident: int) -> bool:
        """Return True if a reading is due, with ``resident`` bytes resident."""
        left, since = self._left(now), now - self._last
        if differ(resident, self._resident):
            return left >= self._price and since >= self._price * (1 / _DENSEST - 1)
        return left >= 2 * self._price and since >= self._patience * self._price / self.budget

    def _left(self, now: float) -> float:
        earned = (now - self._began) * self.budget
        self._spent = max(self._spent, earned - _SAVINGS * self.budget)
        return earned - self._spent

    def has(self, now: float, share: float) -> bool:
        """Return True if there is budget for this share of a reading."""
        return self._left(now) >= share * self._price

    def affords(self, now: float, most: float = 0.1) -> bool:
        """Return True if there is budget for a closer look, which costs about three readings and
        must take at most ``most`` seconds."""
        return min(self._left(now), most) >= 3 * self._price

    def spend(self, seconds: float) -> None:
        """Charge something else that took this long."""
        self._spent += seconds

    def read(
        self, price: float, resident: int, pss: int, now: float, *, forced: bool = False
    ) -> None:
        """Charge a reading that has just ended; a forced one is not charged."""
        # An estimate of the next reading's cost: mapped memory rarely shrinks, and a single slow
        # reading (the machine was busy) is forgotten after a few.
        self._price = max(price, self._price / 2)
        changed = differ(pss, self._pss) or differ(resident, self._resident)
        self._patience = _SOON if changed else min(max(1.0, 2 * self._patience), _LATEST)
        self._resident, self._pss = resident, pss
        if not forced:
            self._spent += price
            self._last = now

    def watched(self, price: float) -> float:
        """Charge a check of the resident pages; return how long to pause, in seconds. A single slow
        check, while workers start and the machine is busy, does not make the pause long."""
        self._spent += price
        price, self._watch = min(price, self._watch), price
        return min(max(price / (self.budget * _WATCHING), _SHORTEST_PAUSE), _LONGEST_PAUSE)


def differ(one: int, other: int) -> bool:
    """Return True if a size has changed by more than one in fifty."""
    return abs(one - other) > _CHANGE * max(one, other)


class Sampler:
    """Records the peak of a process tree's memory while a ``with`` block runs.

    Args:
        pid: the process whose tree is read; None: this one.
        budget: the share of wall time that may be spent on it, without the readings at the start
            and those of ``sample``.

    Attributes:
        peak: the reading with the highest PSS; None if there was none.
        readings: the number of readings.

    A thread of this process does the work, so enter it *after* a pool that forks was made. Takes a
    few hundred bytes, however long it runs. ``sample`` and the attributes may be used from any
    thread, also after the block.

    Example:
        >>> with Sampler() as sampler:
        ...     data = bytearray(50_000_000)
        ...     last = sampler.sample()
        >>> sampler.peak is None or sampler.peak.pss >= 50_000_000
        True
    """

    def __init__(self, pid: int | None = None, *, budget: float = 0.01) -> None:
        if not 0 < budget <= 1:
            raise ValueError(f"the budget is a share of the time, above 0 and up to 1: {budget}")
        self.pid = os.getpid() if pid is None else pid
        self.peak: TreeMemory | None = None
        self.readings = 0
        self._lock = threading.Lock()
        self._stop = Event()
        self._pacing = Pacing(budget, perf_counter())
        self._thread = threading.Thread(target=self._run, name="onecopy-sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._pacing = Pacing(self._pacing.budget, perf_counter())
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def sample(self) -> TreeMemory | None:
        """Read now, whatever it costs, and return the reading; None if nothing can be read."""
        return self._sample(forced=True)

    def _sample(self, *, forced: bool) -> TreeMemory | None:
        with self._lock:
            began = thread_time()
            reading = read_tree(self.pid)
            if reading is not None:
                self.readings += 1
                if self.peak is None or reading.pss > self.peak.pss:
                    self.peak = reading
            rss, pss = (reading.rss, reading.pss) if reading is not None else (0, 0)
            price = thread_time() - began
            self._pacing.read(price, rss, pss, perf_counter(), forced=forced)
            return reading

    def _run(self) -> None:
        pause, looks = _SHORTEST_PAUSE, 0
        pids: list[int] = []
        while not self._stop.wait(pause):
            began = thread_time()
            if looks % _LOOKS_PER_SEARCH == 0:
                pids = [self.pid, *procfs.descendants(self.pid)]
            looks += 1
            here = resident(pages(pids))
            pause = self._pacing.watched(thread_time() - began)
            if self._pacing.wants(perf_counter(), here):
                self._sample(forced=False)
