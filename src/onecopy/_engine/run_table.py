"""The part of the pool's table that is about runs (see ``runs``): made, advanced, cut, over.

All with the table's lock held, except where a method takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Protocol

from .._schedule import events
from .._schedule.events import Assignment, Event
from .._schedule.scheduler import Scheduler
from .effects import Effects
from .future import begin_all
from .runs import Run, parts
from .work import Entry, FutureCall, Work


class Table(Protocol):
    """The table's attributes that this module needs."""

    lock: Lock
    work: dict[int, Work]
    assigned: dict[int, Entry]
    aborting: set[int]
    tasks_ended: int

    def take(self, happened: list[Event]) -> Effects:
        """Pass events to the scheduler."""


class Runs:
    """See the module.

    Args:
        core: the table.
        scheduler: its scheduler.

    Attributes:
        out: the assignments that are runs.
    """

    def __init__(self, core: Table, scheduler: Scheduler) -> None:
        self.out: set[int] = set()
        self._core = core
        self._scheduler = scheduler

    def made_of(self, assignment: Assignment) -> Run | None:
        """Begin the calls of a new run; None if all were cancelled."""
        work = self._core.work
        tasks = range(assignment.work, assignment.work + assignment.stop)
        found: list[FutureCall | None] = [work.get(task) for task in tasks]  # type: ignore[misc]
        begin_all(call for call in found if call is not None)
        calls = [call if call is not None and call.begin() else None for call in found]
        for task, call in zip(tasks, calls, strict=True):
            if call is None:
                work.pop(task, None)
        if not any(calls):
            return None
        self.out.add(assignment.id)
        return Run(calls)

    def advanced(
        self, worker: int, number: int, start: int, took: Sequence[int], *, last: bool
    ) -> tuple[Entry, list[FutureCall | None], Effects | None] | None:
        """Record outcomes of a run. Takes the lock.

        Returns its entry; the calls whose outcomes were not known before: the last ones; and the
        effects, if it has ended. None for a run that is not the worker's, or has no such calls.

        Args:
            worker: the worker's number.
            number: the assignment.
            start: the index of the first call that has an outcome.
            took: nanoseconds of each from there on.
            last: the run has ended.
        """
        core = self._core
        with core.lock:
            entry = core.assigned.get(number)
            if entry is None or entry.worker != worker or type(entry.work) is not Run:
                return None
            stop, size = start + len(took), entry.assignment.stop
            if start > entry.early or stop > size or (last and stop < size):
                return None
            calls = entry.work.calls[entry.early : stop]
            if calls:
                entry.early = stop
                self._no_longer_work(calls)
            if took:
                self._scheduler.advanced(worker, number, took)
            if not last:
                return entry, calls, None
            del core.assigned[number]
            self.out.discard(number)
            core.aborting.discard(number)
            return entry, calls, core.take([events.Finished(worker, number, None)])

    def cut(self, worker: int, number: int, begun: int) -> list[Event]:
        """Cut a run, if the assignment is one, whose worker has ended; it had started the first
        ``begun`` calls, and the others wait again. Returns the events of that."""
        entry = self._core.assigned.get(number)
        if entry is None or entry.worker != worker or type(entry.work) is not Run:
            return []
        stop = max(entry.early, min(begun, entry.assignment.stop))
        entry.assignment = entry.assignment._replace(stop=stop)
        return [events.Cut(worker, number, stop, None)]

    def forget(self, entry: Entry) -> None:
        """Forget the calls of a run that get no outcome from its worker any more."""
        self.out.discard(entry.assignment.id)
        self._no_longer_work([part.work for part in parts(entry)])

    def _no_longer_work(self, calls: Sequence[object]) -> None:
        for call in calls:
            if isinstance(call, FutureCall):
                self._core.work.pop(call.number, None)
                self._core.tasks_ended += 1
