"""Outcomes of assignments: each is recorded and delivered, or retried.

Uses the table (``core``) and the history. Called by the thread that has read an outcome, without
the table's lock. An assignment ends once, so no two threads deliver the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any

from .._observe.columns import FAILED, LOST
from .._protocol.wire import NOTHING
from .._schedule.events import Assignment
from .core import Core
from .future import set_results
from .history import History
from .output_dispatch import OutputDispatcher
from .runs import parts
from .work import Call, Entry, FutureCall, Work

Deliver = Callable[..., None]


class Outcomes:
    """See the module.

    Args:
        core: the pool's table.
        history: records tasks.
        output: dispatches what workers print and log; None if workers do that themselves. An
            outcome is delivered after its task's output.
    """

    def __init__(self, core: Core, history: History, output: OutputDispatcher | None) -> None:
        self._core = core
        self.history = history
        self._output = output

    def conclude(
        self,
        pid: int,
        entry: Entry,
        spent: bytes,
        state: int,
        deliver: Deliver,
        *outcome: Any,
    ) -> None:
        """Record an assignment and deliver its outcome, after the task's queued output.

        Args:
            pid: of the process that ran it.
            entry: the assignment.
            spent: the worker's measurements.
            state: the state to record.
            deliver: ``delivered``, ``failed`` or ``partly``.
            outcome: the arguments of ``deliver``.
        """
        output, task = self._output, entry.assignment.work
        if output is not None and output.is_behind(task):
            act = partial(self._conclude, pid, entry, spent, state, deliver, *outcome)
            if output.after(task, act):
                return
        # The same as ``_conclude``, without the call: it is made for every task.
        try:
            self.history.record(entry, state, spent, pid)
        finally:
            deliver(entry.rest() if entry.early else entry.assignment, entry.work, *outcome)

    def _conclude(
        self,
        pid: int,
        entry: Entry,
        spent: bytes,
        state: int,
        deliver: Deliver,
        *outcome: Any,
    ) -> None:
        # First: a caller that has the result finds the task among the spans.
        try:
            self.history.record(entry, state, spent, pid)
        finally:  # a bug there ends the pool, and must not keep a caller waiting
            deliver(entry.rest(), entry.work, *outcome)

    def delivered_together(
        self, pid: int, entry: Entry, values: list[tuple[FutureCall, bytes, Any]]
    ) -> None:
        """Record and deliver values of calls of a run, with their measurements: the same as
        ``conclude`` of each ``part`` with ``delivered``, in fewer steps."""
        try:
            self.history.record_calls(entry, values, pid)
        finally:
            for call, _, _ in values:
                call.release()
            for left, value in set_results((call, value) for call, _, value in values):
                with suppress(InvalidStateError):  # cancelled while it ran, the result in flight
                    left.set_result(value)

    def lose(self, entry: Entry, error: BaseException) -> None:
        """Fail an assignment that was lost with its worker."""
        act = partial(self._conclude, 0, entry, NOTHING, LOST, self.failed, error)
        if self._output is None or not self._output.after(entry.assignment.work, act):
            act()

    def unsent(self, entry: Entry, error: BaseException) -> None:
        """Fail an assignment that could not be sent."""
        for part in parts(entry):
            self.history.record(part, FAILED, NOTHING, 0)
            self.failed(part.assignment, part.work, error)

    def delivered(self, assignment: Assignment, work: Work, value: Any) -> None:
        """Deliver the value of an assignment."""
        work.deliver(assignment, value)
        if work.rules is not None:
            self._settle(assignment, work)

    def failed(self, assignment: Assignment, work: Work, error: BaseException) -> None:
        """Fail or retry a whole assignment."""
        rules = work.rules
        if rules is not None and rules.retries and rules.worth_another(error):
            items = list(range(max(1, assignment.stop - assignment.start)))
            again = self._retry(assignment, work, items)
            if again:
                rest = {at: error for at in items if at not in again}
                if rest:
                    self._note_failures(assignment, work, rest)
                    work.partly(assignment, {}, rest)
                return
        size = max(1, assignment.stop - assignment.start)
        self._note_failures(assignment, work, {0: error}, size)
        work.fail(assignment, error)
        self._settle(assignment, work)

    def partly(
        self,
        assignment: Assignment,
        work: Work,
        values: dict[int, Any],
        failed: dict[int, BaseException],
    ) -> None:
        """Deliver a chunk of which some items have failed, by index in the chunk; the others have
        values."""
        size = assignment.stop - assignment.start
        if isinstance(work, Call) or (not values and len(failed) < size):
            # A call has one error; so has a chunk whose function could not be loaded.
            self.failed(assignment, work, failed[min(failed)])
            return
        rules = work.rules
        again: set[int] = set()
        if rules is not None and rules.retries:
            worth = [at for at, error in failed.items() if rules.worth_another(error)]
            again = self._retry(assignment, work, worth)
        good = {at: value for at, value in values.items() if at not in failed}
        bad = {at: error for at, error in failed.items() if at not in again}
        self._note_failures(assignment, work, bad)
        work.partly(assignment, good, bad)
        if not again:
            self._settle(assignment, work)

    def _note_failures(
        self, assignment: Assignment, work: Work, failed: dict[int, BaseException], count: int = 1
    ) -> None:
        """Note the final failures, by index in the chunk; each counts for ``count`` items. Nothing
        of a task is noted whose caller has cancelled it: its worker was killed for that."""
        if not work.wanted():
            return
        for at, error in failed.items():
            call = isinstance(work, Call)
            first = assignment.work if call else assignment.start + at
            kept = work.on_error != "raise"
            self.history.recorder.failures.add(work.site, error, first, count, kept=kept)

    def _retry(self, assignment: Assignment, work: Work, items: list[int]) -> set[int]:
        again, effects = self._core.retry(assignment, work, items)
        if effects is not None:
            effects.carry_out()
        return again

    def _settle(self, assignment: Assignment, work: Work) -> None:
        if work.rules is not None and work.rules.retries:
            self._core.settle(assignment, work).carry_out()
