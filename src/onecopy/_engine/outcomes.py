"""What becomes of an assignment that has ended: its outcome is delivered, or it is run again.

The part of the engine that knows the rules of ``pool.options`` as far as retries go. It is
called by whoever reads outcomes, without the engine's lock.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any

from .._observe.spans import Recorder
from .._schedule import events
from .._schedule.events import Assignment, Event
from .work import Call, Work
from .worker_handle import Later, Member, flush


class Settling(ABC):
    """See the module; the engine makes it whole."""

    recorder: Recorder

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: dict[int, Work] = {}

    @abstractmethod
    def _take(self, happened: list[Event]) -> tuple[list[Member], list[Later]]:
        """Under the lock: feeds events in; see ``Engine``."""

    def _note_failures(
        self, assignment: Assignment, work: Work, failed: dict[int, BaseException], count: int = 1
    ) -> None:
        """Some of an assignment has failed for good; each of these stands for ``count``."""
        for at, error in failed.items():
            call = isinstance(work, Call)
            first = assignment.work if call else assignment.start + at
            self.recorder.failures.add(work.site, error, first, count)

    def _delivered(self, assignment: Assignment, work: Work, value: Any) -> None:
        work.deliver(assignment, value)
        self._settle(assignment, work)

    def _failed(self, assignment: Assignment, work: Work, error: BaseException) -> None:
        """The whole of an assignment has failed, with this."""
        rules = work.rules
        if rules is not None and rules.retries and rules.worth_another(error):
            items = list(range(max(1, assignment.stop - assignment.start)))
            again = self._run_again(assignment, work, items)
            if again:
                rest = {at: error for at in items if at not in again}
                if rest:
                    self._note_failures(assignment, work, rest)
                    work.partly(assignment, {}, rest)
                return
        self._note_failures(
            assignment, work, {0: error}, max(1, assignment.stop - assignment.start)
        )
        work.fail(assignment, error)
        self._settle(assignment, work)

    def _partly(
        self,
        assignment: Assignment,
        work: Work,
        values: dict[int, Any],
        failed: dict[int, BaseException],
    ) -> None:
        """Items of a chunk have failed, by index in the chunk; the others have values."""
        size = assignment.stop - assignment.start
        if isinstance(work, Call) or (not values and len(failed) < size):
            # The one error of a call; or of what has to come before the chunk's first item.
            self._failed(assignment, work, failed[min(failed)])
            return
        rules = work.rules
        again: set[int] = set()
        if rules is not None and rules.retries:
            worth = [at for at, error in failed.items() if rules.worth_another(error)]
            again = self._run_again(assignment, work, worth)
        good = {at: value for at, value in values.items() if at not in failed}
        bad = {at: error for at, error in failed.items() if at not in again}
        self._note_failures(assignment, work, bad)
        work.partly(assignment, good, bad)
        if not again:
            self._settle(assignment, work)

    def _run_again(self, assignment: Assignment, work: Work, items: list[int]) -> set[int]:
        """Has those items of an assignment that has ended run again for which a try is
        left; which those are, by index in the chunk."""
        assert work.rules is not None
        assert work.tries is not None
        most, start, tries = work.rules.retries, assignment.start, work.tries
        with self._lock:
            if assignment.work not in self._work or not work.wanted():
                return set()
            again = {at for at in items if tries.get(start + at, 0) < most}
            for at in again:
                tries[start + at] = tries.get(start + at, 0) + 1
            if not again:
                return again
            runs: tuple[tuple[int, int], ...] = ()  # all of it
            if len(again) < assignment.stop - start:
                runs = tuple((start + at, start + at + 1) for at in sorted(again))
            dirty, later = self._take([events.Again(assignment.id, runs)])
        flush(dirty, later)
        return again

    def _settle(self, assignment: Assignment, work: Work) -> None:
        """It has ended for good."""
        if work.rules is None or not work.rules.retries:
            return
        with self._lock:
            if isinstance(work, Call):
                self._work.pop(assignment.work, None)
            dirty, later = self._take([events.Settled(assignment.id)])
        flush(dirty, later)
