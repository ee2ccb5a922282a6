"""A pool's history, for its reports: records of tasks, workers that have gone, memory.

Threads: the thread that delivers a task records it; the recorder has its own lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import count
from time import monotonic_ns, time
from typing import Any

from .._observe.columns import DONE
from .._observe.diary import PACKING, WORTH, Diary
from .._observe.profile import Profile
from .._observe.series import Watch
from .._observe.spans import KNOWN, Recorder
from . import large_arguments
from .callers import Callers
from .work import Call, Entry

WorkerRow = tuple[int, int, int, int, int, int, int]
"""A worker as ``columns.WORKER``."""

Traffic = tuple[int, int, int, int]
"""Bytes sent, received, copied into arenas, and passed by reference."""

# The number of gone workers that are remembered.
_MOST_WORKERS = 10_000

_made = count()


class History:
    """See the module.

    Args:
        spans: how many task records to keep.
        importing: the context in which modules are imported.
    """

    def __init__(self, spans: int, importing: Callable[[], AbstractContextManager[Any]]) -> None:
        self.recorder: Recorder = Recorder(spans, importing)
        self.callers: Callers = Callers(self.recorder)
        self.began: int = monotonic_ns()
        self.clock: float = time()
        self.pid: int = os.getpid()
        self.before: int = next(_made)  # engines that this process made earlier
        self.diary: Diary = Diary(self.began)
        self.profile: Profile = Profile()
        self.large: large_arguments.LargeArguments = large_arguments.LargeArguments()
        self.ends: list[Callable[[], None]] = []  # called when the last worker has gone
        self.last_end: int = self.began  # of a task
        self.watch: Watch | None = None
        self.peak_elsewhere: Callable[[], int] = int  # PSS of processes of other hosts
        self.hosts: Callable[[], dict[int, str]] = (
            dict  # the host's name by worker, if there are hosts
        )
        self.gone: deque[WorkerRow] = deque(maxlen=_MOST_WORKERS)
        self._traffic: Traffic = (0, 0, 0, 0)  # of workers that have gone

    def record(self, entry: Entry, state: int, spent: bytes, pid: int) -> None:
        """Record an assignment that has ended; ``spent`` is what its worker has measured
        (``wire.SPENT``)."""
        assignment, work = entry.assignment, entry.work
        self.last_end = now = monotonic_ns()
        known = KNOWN.pack(
            assignment.work,
            assignment.start,
            assignment.stop,
            self.recorder.function_of[work.site],
            work.site,
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
        if entry.sent - entry.begun > WORTH and entry.begun:
            self.diary.add(PACKING, entry.begun, entry.sent)
        if entry.moved > large_arguments.LARGE:
            self.large.note(work, assignment, entry.moved)

    def record_calls(
        self, entry: Entry, values: Iterable[tuple[Call, bytes, Any]], pid: int
    ) -> None:
        """Record calls of a run that have values, with their measurements; ``entry`` is the run's."""
        recorder, pack = self.recorder, KNOWN.pack
        functions, worker, sent = recorder.function_of, entry.worker, entry.sent
        self.last_end = now = monotonic_ns()
        records = []
        for call, spent, _ in values:
            site, size = call.site, len(call.message)
            known = pack(
                call.number, 0, 0, functions[site], site, worker, pid, DONE, call.submitted, sent,
                now, size, 0,
            )  # fmt: skip
            records.append(known + spent)
        recorder.record_done(records)

    def over(self) -> None:
        """Call what waits for the end: all workers have gone."""
        self.callers.clear()
        while self.ends:
            self.ends.pop()()

    def resume_sampling(self) -> None:
        """Resume frequent memory sampling if the pool was idle."""
        watch = self.watch
        if watch is not None and watch.asleep:
            watch.wake()

    def add_traffic(self, traffic: Traffic) -> None:
        """Add the traffic of a worker that has gone."""
        self._traffic = self.traffic([traffic])

    def traffic(self, present: list[Traffic]) -> Traffic:
        """Return the traffic of all workers so far; ``present``: of those that are still there."""
        sent, received, copied, shared = map(sum, zip(self._traffic, *present, strict=True))
        return sent, received, copied, shared
