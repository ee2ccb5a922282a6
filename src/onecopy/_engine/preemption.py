"""Kills workers because of what they run, and takes back work that they have not started.

Uses the orders that owner and workers share in memory beside a worker's claim (see ARCHITECTURE.md
and ``_worker.orders``), and keeps the limits of tasks. Runs in the driver thread.
"""

from __future__ import annotations

from functools import partial
from time import monotonic

from .. import errors
from .core import Core
from .limits import Limits
from .runs import Run
from .work import Entry
from .worker_handle import WorkerHandle
from .workers import Workers

# Seconds until the next check, when a worker has not yet reached the assignment to be aborted.
_SOON = 0.02
# Seconds. A queue behind an assignment that takes longer than this, and several times longer than
# estimated, is given to an idle worker.
_PATIENCE = 0.01
_TIMES = 2.5


class Preemption:
    """See the module.

    Args:
        core: the pool's table.
        workers: of the pool.
        limits: of tasks; the table adds and removes them.
    """

    def __init__(self, core: Core, workers: Workers, limits: Limits) -> None:
        self._core = core
        self._workers = workers
        self._limits = limits
        # What each worker with a longer queue is running, and since when.
        self._heads: dict[int, tuple[int, float]] = {}

    def keep_limits(self) -> float | None:
        """Kill the workers whose tasks have broken a limit; return in how many seconds to check
        again."""
        breaches, soon = self._limits.look()
        for number, guarded, error in breaches:
            assert isinstance(guarded, WorkerHandle)
            ended = self._end(guarded, number, error)
            if ended and isinstance(error, errors.TaskTimeout):
                guarded.claimed = number  # its time is over, started or not
        return soon

    def end_aborted(self) -> float | None:
        """Kill the workers that run aborted assignments; return in how many seconds to check again,
        if a worker has not reached one yet.

        A worker may be about to finish the aborted assignment and to start another task, which must
        not be lost. So the worker is paused, by a word in memory that both map, and only then is
        its claim read (see ``Orders.begin`` for its side). Either the claim is the aborted
        assignment: then the worker runs nothing else when it is killed. Or it is not: then the
        worker is resumed.
        """
        left = False
        for number in list(self._core.aborting):
            found = self._core.assignment_of(number)
            if found is None:
                continue
            worker = self._workers.by_number[found.worker]
            if worker.ended:
                continue
            if type(found.work) is Run:
                left = self._end_in_run(worker, found, found.work) or left
                continue
            begun = self._workers.pause(worker) == number
            if begun and self._end(worker, number, None):
                worker.claimed = number
                continue
            worker.resume([])
            worker.flush()
            left = True
        return _SOON if left else None

    def _end_in_run(self, worker: WorkerHandle, entry: Entry, run: Run) -> bool:
        """Kill a worker that runs a cancelled call of a run; otherwise take the run back, and those
        that are cancelled are left out when it is given out again. Return True if it is not known
        yet which call the worker is running."""
        number = entry.assignment.id
        claimed = self._workers.pause(worker)
        begun = self._workers.claims.begun(worker.slot, claimed)
        if claimed == number and begun is None:
            worker.resume([])
            worker.flush()
            return True
        if claimed == number and begun and begun > entry.early:
            call = run.calls[begun - 1]
            if call is not None and not call.wanted() and self._end(worker, number, None):
                worker.claimed = number
                return False
        self._take_back(worker, claimed, begun, None)
        self._core.not_aborting(number)
        return False

    def take_back(self) -> float | None:
        """Give work that waits behind something long to idle workers; return in how many seconds to
        check again."""
        blocked = self._core.blocked_workers()
        if not blocked:
            self._heads.clear()
            return None
        now = monotonic()
        before, self._heads = self._heads, {}
        waits = []
        for number, head, estimate in blocked:
            known, since = before.get(number, (0, 0.0))
            since = since if known == head else now
            left = since + max(_PATIENCE, _TIMES * estimate / 1e9) - now
            if left > 0:
                self._heads[number] = head, since
                waits.append(left)
            elif not self._workers.by_number[number].ended:
                self._take_back_from(self._workers.by_number[number], now - since)
        return min(waits, default=None)

    def _take_back_from(self, worker: WorkerHandle, seconds: float) -> None:
        """Pause the worker, which has been running something for at least ``seconds``, and read its
        claim.

        Everything after the claim, in the order in which it was sent, has not been started, and the
        worker will skip it. So are the items of its current chunk that it has not started (see
        ``strides``).
        """
        claimed = self._workers.pause(worker)
        begun = self._workers.claims.begun(worker.slot, claimed)
        self._take_back(worker, claimed, begun, int(seconds * 1e9))

    def _take_back(
        self, worker: WorkerHandle, claimed: int, begun: int | None, nanoseconds: int | None
    ) -> None:
        resume = partial(_resume, worker, claimed)
        effects = self._core.take_back(worker.number, claimed, begun, nanoseconds, resume)
        worker.flush()
        effects.carry_out()

    def _end(self, worker: WorkerHandle, number: int, why: BaseException | None) -> bool:
        """Kill a worker because of an assignment: nothing else is sent to it from here on. Returns
        False if the assignment has ended meanwhile."""
        if not self._core.ending(worker.number, number):
            return False
        worker.verdict = why
        self._workers.kill(worker)
        return True


def _resume(worker: WorkerHandle, claimed: int, back: list[int], cut: int | None) -> None:
    worker.resume(back, None if cut is None else (claimed, cut))
