"""The memory of a pool's processes over time, for its reports.

``Series`` is the record, in bounded memory; ``Watch`` is the thread that reads. A reading takes
about 10 ms per GB that a process maps, so the thread has a budget of CPU time: 0.4 % of the time
for each process, and 1 % for all together. It watches the resident pages, which cost microseconds,
and spends its readings where memory changes. Between two readings the kernel's count of anonymous
pages says how much each process has grown since. While the pool is idle it reads less and less
often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic_ns, perf_counter, thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

from .._system import procfs
from .._system.interrupts import Event
from .._system.usage import traced
from .columns import MEMORY, OTHER, OWNER, dtype_of, struct_of
from .sampler import Pacing, Pages, differ, pages, resident

if TYPE_CHECKING:
    import numpy as np

_ROW = struct_of(MEMORY)
# The number of rows that are kept: 1.5 MB at most.
_MOST = 20_000
_BUDGET, _BUDGET_OF_ALL = 0.004, 0.01
_IDLE_PAUSE = 10.0

# Seconds between two rows that are computed.
_OFTEN = 0.02

_NAMES = [name for name, _ in MEMORY]
_WORKER, _RSS, _PSS = map(_NAMES.index, ("worker", "rss", "pss"))
# What grows with the private pages.
_PRIVATE = tuple(map(_NAMES.index, ("rss", "pss", "uss", "private_dirty")))

Row = tuple[int, ...]
"""A row of ``columns.MEMORY``."""

Targets = Callable[[], dict[int, int]]
"""Pid of each process to read, and its worker's number; OWNER, OTHER."""


class _Reading(NamedTuple):
    """A reading: when, the sum of PSS, and its rows, packed."""

    time: int
    pss: int
    data: bytes


class Series:
    """Readings of several processes, by time.

    If there are too many, those are dropped that say least: where readings are close to each other,
    and the sum of PSS is on a straight line. The first, the last, and the one with the largest sum
    stay, and of two neighbours one. So the whole time stays covered, best where memory has changed.
    One thread adds; any may read.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._readings: list[_Reading] = []
        self._rows = 0

    def add(self, rows: list[Row]) -> None:
        """Add one reading: a row of ``columns.MEMORY`` per process."""
        pss = sum(row[_PSS] for row in rows)
        data = b"".join(_ROW.pack(*row) for row in rows)
        readings = [*self._readings, _Reading(rows[0][0], pss, data)]
        self._rows += len(rows)
        if self._rows > self._most:
            readings = _thinned(readings)
            self._rows = sum(len(reading.data) for reading in readings) // _ROW.size
        self._readings = readings

    def table(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return all rows, as ``columns.MEMORY``."""
        import numpy as np

        data = b"".join(reading.data for reading in self._readings)
        return np.frombuffer(bytearray(data), dtype_of(MEMORY))

    def latest(self) -> list[Row]:
        """Return the rows of the last reading."""
        readings = self._readings
        return list(_ROW.iter_unpack(readings[-1].data)) if readings else []

    @property
    def pss(self) -> int:
        """Return the sum of PSS at the last reading, in bytes; 0 without a reading."""
        readings = self._readings
        return readings[-1].pss if readings else 0

    @property
    def peak_pss(self) -> int:
        """Return the largest sum of PSS, in bytes; 0 without a reading."""
        return max((reading.pss for reading in self._readings), default=0)


def _thinned(readings: list[_Reading]) -> list[_Reading]:
    """Return three quarters of the readings; see ``Series``."""
    peak = max(range(len(readings)), key=lambda at: readings[at].pss)
    height, length = max(1, readings[peak].pss), max(1, readings[-1].time - readings[0].time)
    neighbours = zip(readings, readings[1:], readings[2:], strict=False)
    told = {at: _told(*three, height, length) for at, three in enumerate(neighbours, 1)}
    told.pop(peak, None)
    dropped: set[int] = set()
    for at in sorted(told, key=told.__getitem__):
        if len(dropped) >= len(readings) // 4:
            break
        if at - 1 not in dropped and at + 1 not in dropped:
            dropped.add(at)
    return [reading for at, reading in enumerate(readings) if at not in dropped]


def _told(before: _Reading, here: _Reading, after: _Reading, height: int, length: int) -> float:
    """Return what would be lost without a reading: its distance from the straight line between its
    neighbours, as a share of the largest sum, and the time between these, as a share of all."""
    around = max(1, after.time - before.time)
    line = before.pss + (here.time - before.time) / around * (after.pss - before.pss)
    return abs(here.pss - line) / height + around / length


class Watch:
    """A thread that fills a ``Series``.

    Args:
        targets: called before each reading.
        activity: returns a number that changes when the pool has done something.
        busy: returns True while there is something to do, also if no worker is ready yet.

    Attributes:
        series: the readings.
        copied: for each forked worker: bytes of memory that it shared with others when it was first
            seen, and has copied (or freed) since.
        saved: the additional bytes that the processes would take with a copy of shared data each,
            at the last reading.
        asleep: the pool was idle, and readings are rare; ``wake`` ends that.
        told: called with the rows of each reading; None: they are kept here alone.

    ``sample`` may be called from any thread. In a forked child there is no thread, and nothing is
    read.
    """

    def __init__(
        self, targets: Targets, activity: Callable[[], int], busy: Callable[[], bool]
    ) -> None:
        self.series: Series = Series()
        self.copied: dict[int, int] = {}
        self.saved: int = 0
        self.asleep: bool = False
        self.told: Callable[[list[Row]], None] | None = None
        self._targets = targets
        self._activity = activity
        self._busy = busy
        self._lock = threading.Lock()
        self._signal = Event()
        self._stopped = False
        self._inherited: dict[int, int] = {}
        # Of each process: its row of the last reading, and its anonymous bytes then.
        self._last: dict[int, tuple[Row, int]] = {}
        # The anonymous bytes of all when rows were added last, and the time, in nanoseconds.
        self._noted = self._noted_at = 0
        self._pacing = Pacing(_BUDGET, perf_counter())
        self._thread = threading.Thread(target=self._run, name="onecopy-memory", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Resume frequent readings: the pool has work."""
        self.asleep = False
        self._signal.set()

    def sample(self) -> None:
        """Read now, whatever it costs: about 30 ms per GB that the processes map."""
        with self._lock:
            self._read(forced=True)
            self._look_closely()

    def finish(self) -> None:
        """Take a last reading, if the budget allows it: the processes are about to end."""
        with self._lock:
            if not self._stopped and self._pacing.affords(perf_counter()):
                self._read(forced=False)
                self._look_closely()
        self.stop()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._signal.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        pause, done = 0.0, -1
        while not self._stopped:
            if self._signal.wait(pause):
                self._signal.clear()
                if self._stopped:
                    return
            began = thread_time()
            targets = self._targets()
            self._pacing.budget = min(_BUDGET * max(1, len(targets)), _BUDGET_OF_ALL)
            found = pages(targets)
            with self._lock:
                other = self._introduce({pid: targets[pid] for pid in found.keys() - self._last})
                self._follow(found)
                paced = self._pacing.watched(thread_time() - began - other)
                if self._pacing.wants(perf_counter(), resident(found)):
                    self._read(forced=False)
                self._meet(targets)
            # A long task changes nothing but memory.
            active, done = self._busy() or self._activity() != done, self._activity()
            self.asleep = not active and pause >= 1.0
            pause = paced if active else min(max(2 * pause, paced), _IDLE_PAUSE)

    def _read(self, *, forced: bool) -> None:
        """Read all processes once. With the lock held."""
        began = thread_time()
        there = self._look_at(self._targets())
        self._last = {pid: (row, grown.anonymous) for pid, (row, grown) in there.items()}
        rows = [row for row, _ in there.values()]
        self._add(rows, {pid: grown for pid, (_, grown) in there.items()})
        rss, pss = sum(row[_RSS] for row in rows), sum(row[_PSS] for row in rows)
        self._pacing.read(thread_time() - began, rss, pss, perf_counter(), forced=forced)

    def _introduce(self, new: dict[int, int]) -> float:
        """Read processes that the last reading did not meet, such as workers that have just
        started, if the budget allows it: what they grow by counts from here on. Returns the CPU
        time that was spent, in seconds. With the lock held.

        Those whose pages they share are read once more: in their last rows each page counts in full,
        and would count twice.
        """
        if not new or not self._last:
            return 0.0
        last = {pid: row[_WORKER] for pid, (row, _) in self._last.items()}
        served = OTHER in last.values()  # they are forked by a server, and not by the owner
        kin = {pid: worker for pid, worker in last.items() if worker != OWNER or not served}
        share = (len(new) + len(kin)) / len(last)
        if not self._pacing.has(perf_counter(), share):
            return 0.0
        began = thread_time()
        for pid, (row, grown) in self._look_at(kin | new).items():
            self._last[pid] = row, grown.anonymous
        spent = thread_time() - began
        self._pacing.spend(spent)
        return spent

    @staticmethod
    def _look_at(targets: dict[int, int]) -> dict[int, tuple[Row, Pages]]:
        """Return a row of each process, and its pages; those that have ended are left out."""
        now = monotonic_ns()
        there: dict[int, tuple[Row, Pages]] = {}
        for pid, worker in targets.items():
            found = procfs.rollup(pid)
            # After the row: what it grows by in between is missing until the next reading, and is
            # never counted twice.
            grown = pages([pid]).get(pid)
            if found is None or grown is None:
                continue
            heap = traced() if worker == OWNER else 0
            sizes = (found.rss, found.pss, found.uss, found.private_dirty, found.shared)
            there[pid] = (now, pid, worker, *sizes, found.swap, heap, 0), grown
        return there

    def _follow(self, found: dict[int, Pages]) -> None:
        """Add what the last reading says, and by how much each process has grown since. With the
        lock held.

        New private pages count fully in RSS, PSS and USS. Pages that are freed may have been shared
        with the process that forked this one: the next reading puts that right.
        """
        now, anonymous = monotonic_ns(), sum(each.anonymous for each in found.values())
        if now - self._noted_at < 1e9 * _OFTEN or not differ(anonymous, self._noted):
            return
        rows = []
        for pid, (row, then) in self._last.items():
            if pid in found:
                values, grown = list(row), found[pid].anonymous - then
                values[0] = now
                for at in _PRIVATE:
                    values[at] = max(0, values[at] + grown)
                rows.append(tuple(values))
        self._add(rows, found)

    def _add(self, rows: list[Row], found: dict[int, Pages]) -> None:
        """Keep rows of one time, and what was resident then. With the lock held."""
        if not rows:
            return
        self._noted, self._noted_at = sum(each.anonymous for each in found.values()), rows[0][0]
        self.series.add(rows)
        if self.told is not None:
            self.told(rows)

    def _meet(self, targets: dict[int, int]) -> None:
        """Record what new workers have inherited. With the lock held.

        The first one is read whatever it costs, so that there is at least one figure.
        """
        for pid, worker in targets.items():
            if worker < 0 or pid in self._inherited:
                continue
            if not self._inherited or self._pacing.affords(perf_counter()):
                began = thread_time()
                found = procfs.mappings(pid)
                self._pacing.spend(thread_time() - began)
                if found is not None:
                    self._inherited[pid] = found.inherited

    def _look_closely(self) -> None:
        """Read what was copied, and what one copy saves. With the lock held."""
        saved = 0
        for pid, worker in self._targets().items():
            found = procfs.mappings(pid)
            if found is None:
                continue
            saved += found.shared_rss - found.shared_pss
            if pid in self._inherited:
                self.copied[worker] = max(0, self._inherited[pid] - found.inherited)
        self.saved = saved or self.saved
