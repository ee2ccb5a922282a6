"""The model: which outcome each task of a chaos run may have, and what was lost.

A task's outcome is right when it is its value or its own error; an error that a fault
causes is right only when that fault was injected, and where it was: ``WorkerDied`` needs a
worker that was killed, and each killed worker accounts for one assignment and no more.
How often each task was run is looked at when all is over, since one may be run again after
its outcome is known.

Knows nothing of how work is made (``work``) or faults are (``faults``).
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

import onecopy as oc
from onecopy.errors import PoolClosed, ResultNotPicklable, WorkerDied
from tests.chaos.epoch import Epoch
from tests.chaos.tasks import Array, Odd

# More than a run of any length takes; pages are taken as numbers are used.
CAPACITY = 8_000_000
# How often work that was lost with a host is given to another: a pool's default.
RERUNS = 3
# Of what was lost, so much is told.
_TOLD = 40

Errors = tuple[type[BaseException], ...]


class Task(NamedTuple):
    """One task, and what may come of it when no fault strikes.

    Attributes:
        number: of the run; no two tasks have the same.
        right: is this its value?
        own: the errors that are its own.
        exitcode: with which it ends its worker, if it does.
    """

    number: int
    right: Callable[[Any], bool]
    own: Errors = ()
    exitcode: int | None = None


class Outcome(NamedTuple):
    """The outcome of a task: a value, or an error."""

    value: Any
    error: BaseException | None


def outcome_of(call: Callable[[], Any]) -> Outcome:
    """Calls, and catches what it raises."""
    try:
        return Outcome(call(), None)
    except (Exception, asyncio.CancelledError) as error:
        return Outcome(None, error)


def never(_: Any) -> bool:
    """The value of a task that has none."""
    return False


class Ledger:
    """See the module; thread-safe.

    Args:
        folder: of the two tables that workers write to; None: they are in shared memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        # Written by the workers: how often a task was begun, and where it was last.
        if folder is None:
            self.runs: Array = oc.zeros(CAPACITY, "u1")
            self.pids: Array = oc.zeros(CAPACITY, "i4")
        else:
            self.runs = np.memmap(folder / "runs", "u1", "w+", shape=CAPACITY)
            self.pids = np.memmap(folder / "pids", "i4", "w+", shape=CAPACITY)
        self._hosts_lost = 0
        # Of the owner alone: how often it may and how often it must have been begun.
        self._most = np.ones(CAPACITY, "u1")
        self._least = np.zeros(CAPACITY, "u1")
        self._lock = threading.Lock()
        self._next = 1
        # By pid: when it was started (pids come again), and what its death has cost.
        self._killed: dict[int, tuple[float, int | None]] = {}
        self.kills = 0
        self._dying: set[int] = set()  # pids that were not seen dead yet
        # How many forks of the owner have begun, and how many have ended.
        self._forks = [0, 0]
        self.settled = 0
        self.lost: list[str] = []

    # Numbers.

    def take(self, count: int = 1, retries: int = 0) -> int:
        """The first of ``count`` numbers for tasks, each of which may be run ``1 + retries``
        times."""
        with self._lock:
            first = self._next
            self._next += count
        if self._next > CAPACITY:
            raise RuntimeError("the run has used up its numbers: ask for fewer tasks")
        if retries:
            self._most[first : first + count] = 1 + retries
        return first

    def begun(self, number: int) -> bool:
        """True if a worker has begun with it."""
        return bool(self.runs[number])

    # Faults.

    def blame(self, workers: Iterable[psutil.Process]) -> None:
        """These are about to be killed."""
        with self._lock:
            for worker in workers:
                started = worker.create_time()
                if self._killed.get(worker.pid, (0.0, None))[0] != started:
                    self._killed[worker.pid] = (started, None)
                    self._dying.add(worker.pid)
                    self.kills += 1

    def lose_host(self) -> None:
        """A host is about to be lost: what it holds may be run once more."""
        with self._lock:
            self._hosts_lost += 1

    def gone(self) -> int:
        """The number of those that were to be killed and are dead: they begin with nothing any more.
        One that was blamed a moment ago may still begin with a task that comes only now."""
        with self._lock:
            for pid in [pid for pid in self._dying if _is_dead(pid, self._killed[pid][0])]:
                self._dying.discard(pid)
            return self.kills - len(self._dying)

    @contextmanager
    def forking(self) -> Iterator[None]:
        """While a child of the owner, that is no pool's, lives."""
        self._forks[0] += 1
        try:
            yield
        finally:
            self._forks[1] += 1

    def freeze(self, array: Array) -> None:
        """Freezes it; fails when a forked child maps it too, and only then."""
        ended = self._forks[1]
        try:
            oc.freeze(array)
        except OSError as error:
            if error.errno != errno.EBUSY or ended == self._forks[0]:
                self.lose(f"freeze: {error!r}")

    def _accounts_for(self, pid: int, unit: int) -> bool:
        """True if this worker was killed, and that cost nothing else than ``unit``."""
        with self._lock:
            if pid not in self._killed:
                return False
            started, before = self._killed[pid]
            self._killed[pid] = (started, unit)
            return before is None or before == unit

    # Outcomes.

    def lose(self, what: str) -> None:
        """Something is not as it must be."""
        with self._lock:
            self.lost.append(what)

    def judge(self, epoch: Epoch, task: Task, outcome: Outcome, cancelled: bool = False) -> None:
        """True for an outcome that the task may have.

        Args:
            epoch: the pool that it was given to.
            task: the task.
            outcome: what came of it.
            cancelled: was it cancelled, as the pool says?
        """
        number, error = task.number, outcome.error
        self.settled += 1
        if error is None:
            self._least[number] = 1
            if cancelled or not task.right(outcome.value):
                self.lose(f"task {number}: wrong value {outcome.value!r:.100}")
        elif not self._justified(epoch, task, error, cancelled):
            self.lose(f"task {number}: {type(error).__name__} is not justified: {error}")

    def _justified(self, epoch: Epoch, task: Task, error: BaseException, cancelled: bool) -> bool:
        number = task.number
        if isinstance(error, task.own):
            self._least[number] = isinstance(error, Odd | ResultNotPicklable)
            return not isinstance(error, Odd) or error.args == (number,)
        if type(error) is WorkerDied:
            if task.exitcode == error.exitcode and error.pid == self.pids[number]:
                return True
            return self._accounts_for(error.pid, number)
        return self._ended(epoch, error, cancelled)

    def _ended(self, epoch: Epoch, error: BaseException, cancelled: bool = False) -> bool:
        """True if it may have this error because it, or its whole pool, was given up."""
        if isinstance(error, CancelledError | asyncio.CancelledError):
            return cancelled or epoch.terminated
        return isinstance(error, PoolClosed) and epoch.terminated

    def refused(self, epoch: Epoch, first: int, count: int, error: BaseException) -> None:
        """The pool did not take these tasks: then none may have been run."""
        self.settled += count
        if not epoch.terminated:
            self._most[first : first + count] = 0
        if not (isinstance(error, PoolClosed) and epoch.closing):
            self.lose(f"tasks from {first}: refused without cause: {error!r}")

    def judge_all(
        self,
        epoch: Epoch,
        first: int,
        values: Sequence[Any],
        outcome: Outcome,
        kills: int,
        own: Sequence[int] = (),
        gapless: bool = True,
    ) -> None:
        """True for an outcome that a job of many items may have, as one.

        Args:
            epoch: the pool that it was given to.
            first: the number of the first item.
            values: what the items must have come to.
            outcome: what came of it.
            kills: how many workers were dead by a fault when the job began; see ``gone``.
            own: the items, by number, that raise ``Odd``.
            gapless: every item is run, whatever happens to others.
        """
        count, error = len(values), outcome.error
        self.settled += count
        if error is None:
            self._least[first : first + count] = 1
            if own or outcome.value != list(values):
                self.lose(f"map of tasks from {first}: wrong values")
            return
        if self._ended(epoch, error):
            return
        killed = self.kills - kills
        if type(error) is WorkerDied:
            good = self._accounts_for(error.pid, first)
        elif isinstance(error, PoolClosed):
            # It came to a pool that was closed already: nothing of it was taken.
            self._most[first : first + count] = 0
            good, killed = epoch.closing, 1
        else:
            good = isinstance(error, Odd) and error.args[0] in own
            good = good and (killed > 0 or error.args[0] == own[0])
        if not good:
            self.lose(f"map of tasks from {first}: {error!r} is not justified")
        # Every item is run, but for those of chunks that killed workers had begun.
        left = gaps(self.runs[first : first + count])
        if gapless and left > killed:
            self.lose(f"map of tasks from {first}: {left} gaps, {killed} workers killed, {error!r}")

    def judge_death(self, unit: int, error: WorkerDied) -> None:
        """Part of the job ``unit`` has this error: was it a worker that was killed, and that
        cost nothing else?"""
        self.settled += 1
        if not self._accounts_for(error.pid, unit):
            self.lose(f"part of the tasks from {unit}: {error!r} is not justified")

    def judge_runs(self) -> None:
        """Check, when all is over, that each task was run as often as it may and must."""
        stop = self._next
        runs = self.runs[:stop]
        most = self._most[:stop].astype("u2")
        most = np.minimum(most + self._hosts_lost, most * (1 + RERUNS))
        for number in np.flatnonzero(runs > most):
            self.lose(f"task {number}: run {runs[number]} times, {most[number]} allowed")
        for number in np.flatnonzero(runs < self._least[:stop]):
            self.lose(f"task {number}: has an outcome, but was never run")

    def told(self) -> list[str]:
        """The first of what was lost."""
        more = len(self.lost) - _TOLD
        return self.lost[:_TOLD] + ([f"... and {more} more"] if more > 0 else [])


def _is_dead(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() != started or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def gaps(runs: Array) -> int:
    """The number of runs of items that were never begun."""
    missing = np.concatenate([[False], runs == 0])
    return int(np.count_nonzero(missing[1:] & ~missing[:-1]))
