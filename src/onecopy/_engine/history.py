"""What a pool has done, for its reports: records of tasks, the workers that have gone, memory.

Threads: tasks are recorded by whichever thread delivers them; the recorder has its own lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic_ns, time
from typing import Any

from .._observe.series import Watch
from .._observe.spans import KNOWN, Recorder
from .._protocol.wire import SPENT
from .work import Entry

WorkerRow = tuple[int, int, int, int, int, int]
"""A worker as ``columns.WORKER`` has it."""

Traffic = tuple[int, int, int, int]
"""Bytes sent, received, copied into arenas, and passed by reference."""

NOTHING = bytes(SPENT.size)
"""Is what a worker has measured of a task that was lost."""

# So many workers that have gone are remembered.
_MOST_WORKERS = 10_000


class History:
    """See the module.

    Args:
        spans: how many records of tasks are kept.
        importing: what to hold while a module is imported.
    """

    def __init__(self, spans: int, importing: Callable[[], AbstractContextManager[Any]]) -> None:
        self.recorder = Recorder(spans, importing)
        self.began, self.clock, self.pid = monotonic_ns(), time(), os.getpid()
        self.last_end = self.began  # of a task
        self.watch: Watch | None = None
        self.gone: deque[WorkerRow] = deque(maxlen=_MOST_WORKERS)
        self._traffic: Traffic = (0, 0, 0, 0)  # of workers that have gone

    def record(self, entry: Entry, state: int, spent: bytes, pid: int) -> None:
        """An assignment has ended: ``spent`` is what its worker has measured (``wire.SPENT``)."""
        assignment, work = entry.assignment, entry.work
        self.last_end = now = monotonic_ns()
        known = KNOWN.pack(
            assignment.work,
            assignment.start,
            assignment.stop,
            self.recorder.function(work.name),
            entry.worker,
            pid,
            state,
            work.submitted,
            entry.sent,
            now,
            entry.moved,
            entry.shared,
        )
        self.recorder.record(state, known, spent)

    def resume_sampling(self) -> None:
        """Resume frequent memory sampling if the pool was idle: work has come."""
        watch = self.watch
        if watch is not None and watch.asleep:
            watch.wake()

    def add_traffic(self, traffic: Traffic) -> None:
        """A worker has gone."""
        self._traffic = self.traffic([traffic])

    def traffic(self, present: list[Traffic]) -> Traffic:
        """Of all workers so far, the ``present`` ones among them."""
        sent, received, copied, shared = map(sum, zip(self._traffic, *present, strict=True))
        return sent, received, copied, shared
