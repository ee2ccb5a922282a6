"""The memory of a process and all its descendants, and the peak of it.

What is summed is PSS, so a page that several processes map counts once, and USS; both come
from ``smaps_rollup`` (see ``_system.procfs``), whose price grows with what is mapped: about
10 ms per GB. A sampler therefore works to a budget. It watches the resident pages, which
cost microseconds to ask for, and spends its readings where they grow; whoever runs the
work forces one more reading at its end, while the workers still hold what they used.

Where there is no ``smaps_rollup`` (macOS, some sandboxes) there is no reading, and no error.
Not covered: the limits of a cgroup (``_system.memory``) and the owner's segments
(``_memory.registry``).
"""

from __future__ import annotations

import os
import threading
from time import perf_counter
from types import TracebackType
from typing import NamedTuple

from .._system import procfs

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

# Growth of the resident pages that is worth a reading.
_GROWTH = 1.02
# Watching takes this part of the budget, readings the rest.
_WATCHING = 0.25
# Looking for new children takes ten times as long as looking at those that are known.
_LOOKS_PER_SEARCH = 8
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 1.0


class TreeMemory(NamedTuple):
    """The memory of some processes at one time, in bytes.

    ``rss`` counts a page once for each process that maps it: show it only beside ``pss``.
    """

    pss: int
    uss: int
    rss: int
    processes: int


def read_tree(pid: int | None = None) -> TreeMemory | None:
    """The memory of ``pid`` (this process when None) and all its descendants now.

    Returns None when ``pid`` is gone or may not be looked at. A descendant that ends
    meanwhile is left out. Blocks for about 10 ms per GB that the processes map.
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
    """Is ``memory`` its parent's own, counted already?

    A child that ``subprocess`` makes by vfork(2) runs in its parent's memory until its
    exec, and each page would count twice. Pages that a true child shares with its parent
    are nobody's private ones, so these figures are equal in that one case alone.
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


def resident(pids: list[int]) -> int:
    """The sum of the resident pages, in bytes; cheap, since the kernel keeps these counts."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                pages += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended
    return pages * _PAGE


class Pacing:
    """When to read, and how long to pause: pure arithmetic, no clock of its own.

    The budget is a share of the time that has passed; the first second's is there from
    the start, since a short run has its peak in it. A reading that follows growth may
    take all that is left, one for its own sake waits until there is twice its price:
    memory can change hands without growing (a forked child that writes).

    Args:
        budget: the share of wall time, 0.01 for one percent.
        now: the time at which it begins, in seconds.

    Attributes:
        budget: as given.
    """

    def __init__(self, budget: float, now: float) -> None:
        self.budget = budget
        self._began = now - 1.0
        self._spent = 0.0
        self._price = 0.0
        self._resident = 0

    def wants(self, now: float, resident: int) -> bool:
        """Is a reading due, with so many bytes resident?"""
        left = (now - self._began) * self.budget - self._spent
        grew = resident > self._resident * _GROWTH
        return left >= (self._price if grew else 2 * self._price)

    def affords(self, now: float, most: float = 0.1) -> bool:
        """Is there room for a closer look, some three times as dear as a reading, that takes
        no longer than ``most`` seconds?"""
        return min((now - self._began) * self.budget - self._spent, most) >= 3 * self._price

    def spend(self, seconds: float) -> None:
        """Something else was done for so long."""
        self._spent += seconds

    def read(self, price: float, resident: int, *, forced: bool = False) -> None:
        """A reading was made; one that was forced is not charged."""
        # The price of the next one: what is mapped rarely shrinks, and a single slow
        # reading (the machine was busy) is forgotten after a few.
        self._price = max(price, self._price / 2)
        self._resident = resident
        if not forced:
            self._spent += price

    def watched(self, price: float) -> float:
        """A look at the resident pages was made; how long to pause, in seconds."""
        self._spent += price
        return min(max(price / (self.budget * _WATCHING), _SHORTEST_PAUSE), _LONGEST_PAUSE)


class Sampler:
    """Keeps the peak of a process tree's memory while a ``with`` block runs.

    Args:
        pid: the process whose tree is read, this one when None.
        budget: the share of wall time that may be spent on it. The readings at the start
            and those that ``sample`` makes come on top.

    Attributes:
        peak: the reading with the highest PSS, None when there was none.
        readings: how many there were.

    A thread of this process does the work, so enter it *after* a pool that forks was
    made. Takes the same few hundred bytes however long it runs. ``sample`` and the
    attributes may be used from any thread, also after the block.

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
        self._stop = threading.Event()
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
        """Reads now, whatever it costs, and returns it; None where nothing can be read."""
        return self._sample(forced=True)

    def _sample(self, *, forced: bool) -> TreeMemory | None:
        with self._lock:
            began = perf_counter()
            reading = read_tree(self.pid)
            if reading is not None:
                self.readings += 1
                if self.peak is None or reading.pss > self.peak.pss:
                    self.peak = reading
            rss = reading.rss if reading is not None else 0
            self._pacing.read(perf_counter() - began, rss, forced=forced)
            return reading

    def _run(self) -> None:
        pause, looks = _SHORTEST_PAUSE, 0
        pids: list[int] = []
        while not self._stop.wait(pause):
            began = perf_counter()
            if looks % _LOOKS_PER_SEARCH == 0:
                pids = [self.pid, *procfs.descendants(self.pid)]
            looks += 1
            here = resident(pids)
            now = perf_counter()
            pause = self._pacing.watched(now - began)
            if self._pacing.wants(now, here):
                self._sample(forced=False)
