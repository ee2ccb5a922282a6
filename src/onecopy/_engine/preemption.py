"""Ends workers because of what they run, and takes work back that they have not begun.

Uses the words that owner and workers share beside a worker's claim (see ARCHITECTURE.md and
``Worker._task``), and keeps the limits of tasks. Runs in the driver thread.
"""

from __future__ import annotations

from functools import partial
from time import monotonic

from .. import errors
from .core import Core
from .limits import Limits
from .worker_handle import WorkerHandle
from .workers import Workers

# How soon to look again whether a worker has come to what is to be ended, in seconds.
_SOON = 0.02
# What waits behind something that takes longer than this, and several times longer than was
# estimated, is given to an idle worker; in seconds.
_PATIENCE = 0.01
_TIMES = 2.5


class Preemption:
    """See the module.

    Args:
        core: the pool's table.
        workers: of the pool.
        limits: of tasks; the table adds to them and removes from them.
    """

    def __init__(self, core: Core, workers: Workers, limits: Limits) -> None:
        self._core = core
        self._workers = workers
        self._limits = limits
        # What each worker is at that holds more than that, and since when.
        self._heads: dict[int, tuple[int, float]] = {}

    def keep_limits(self) -> float | None:
        """End the workers whose tasks have broken a limit; in how many seconds to look."""
        breaches, soon = self._limits.look()
        for number, guarded, error in breaches:
            assert isinstance(guarded, WorkerHandle)
            ended = self._end(guarded, number, error)
            if ended and isinstance(error, errors.TaskTimeout):
                guarded.claimed = number  # its time is over, begun or not
        return soon

    def end_aborted(self) -> float | None:
        """End the workers that run what nobody wants any more; in how many seconds to look
        again, when one has not come to it yet.

        A worker may be about to finish that and to begin with another's task, which must
        not be lost. So it is told, by a word that both map, to begin with nothing more, and
        only then is its claim read (see ``Worker._task`` for its side). Either the claim
        is the unwanted one: then the worker will be at nothing else when it is killed. Or
        it is not: then the worker is told to go on.
        """
        left = False
        for number in list(self._core.aborting):
            found = self._core.assignment_of(number)
            if found is None:
                continue
            worker = self._workers.by_number[found.worker]
            if worker.ended:
                continue
            begun = self._workers.pause(worker) == number
            if begun and self._end(worker, number, None):
                worker.claimed = number
                continue
            worker.resume([])
            worker.flush()
            left = True
        return _SOON if left else None

    def take_back(self) -> float | None:
        """Give work that waits behind something long to workers that have nothing to do; in
        how many seconds to look again."""
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
        """The worker, which has been at something for so long at least, begins with nothing
        while its claim is read: what comes after that in the order in which it was sent has
        not been begun, and is left out by the worker; and so is what it has not begun of
        the chunk that it is at (see ``Worker._begin``)."""
        claimed = self._workers.pause(worker)
        begun = self._workers.claims.begun(worker.slot, claimed)
        resume = partial(_resume, worker, claimed)
        nanoseconds = int(seconds * 1e9)
        effects = self._core.take_back(worker.number, claimed, begun, nanoseconds, resume)
        worker.flush()
        effects.carry_out()

    def _end(self, worker: WorkerHandle, number: int, why: BaseException | None) -> bool:
        """End a worker because of an assignment: nothing else is sent to it from here on.
        False when that has come to its end meanwhile."""
        if not self._core.ending(worker.number, number):
            return False
        worker.verdict = why
        self._workers.kill(worker)
        return True


def _resume(worker: WorkerHandle, claimed: int, back: list[int], cut: int | None) -> None:
    worker.resume(back, None if cut is None else (claimed, cut))
