"""The pool's table: what waits, what each worker has been given, and who decides.

Events go in, ``Effects`` come out: which workers have something to send, and what is to be done
once the lock is released. Nothing is sent, read, pickled or called back in here, and no thread
is started, so the rules of the engine are tested without a process (``tests/unit/test_core.py``).

``lock`` guards the scheduler, the table and the order in which work is posted to workers. It
is held for table work only. A thread that holds it waits for one other lock, the future's of
work that is about to be sent (``Work.begin``); that one is a leaf. Methods say "with the lock
held" when they expect the caller to hold it; all others take it.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from itertools import count
from typing import Any, Protocol

from .. import errors
from .._schedule import events
from .._schedule.events import PLAIN, Assignment, Event, Instruction
from .._schedule.scheduler import Scheduler
from . import busy
from .jobs import Job
from .rules import Rules
from .work import BlockingCall, Call, Entry, Work

FOREIGN = "this pool belongs to the process that made it; make one here"

Deferred = Callable[[], None]
MakeError = Callable[[str], BaseException]
"""Makes the error of an assignment that a worker took with it; given what it was."""
Ended = tuple[int, int | None, int, bool, bool]
"""A result: the assignment, nanoseconds or None, items that were run where it was ended early
(else 0), an item of it failed, nothing of it was run."""


class PoolState(IntEnum):
    """The life of a pool; it only ever advances."""

    OPEN = 0
    CLOSED = 1  # takes no more work, and finishes what it has
    TERMINATED = 2  # its owner dropped what was left
    FAILED = 3  # of no use any more; ``Core.failure`` says why


class ReadyWorker(Protocol):
    """A worker that can be given work, as the table sees it."""

    number: int
    last: int
    """The time of the last event that is known of it; nanoseconds."""

    def post(self, entry: Entry) -> None:
        """With the lock held: put an assignment behind the others."""

    def retire(self) -> None:
        """With the lock held: end the worker after what was posted before."""

    def flush(self) -> None:
        """Without the lock: send what was posted."""

    def forget_function(self, function_id: int) -> None:
        """With the lock held: no more work with this function will be posted."""


class Limited(Protocol):
    """Keeps the limits of assignments; see ``limits``."""

    def add(self, assignment: int, worker: Any, rules: Rules, task: str) -> None: ...

    def remove(self, assignment: int) -> None: ...


class Effects:
    """What is to be done, without the lock, after a change of the table.

    Attributes:
        workers: those that something was posted to, by number.
        deferred: called after it was sent, in this order.
    """

    __slots__ = ("deferred", "workers")

    def __init__(self) -> None:
        self.workers: dict[int, ReadyWorker] = {}
        self.deferred: list[Deferred] = []

    def carry_out(self) -> None:
        """Send what was posted, then call what was deferred. Without the lock."""
        for worker in self.workers.values():
            worker.flush()
        for act in self.deferred:
            act()


class Core:
    """The table; see the module. Any thread.

    Args:
        scheduler: decides.
        on_lost: told, deferred, of an assignment that was lost with its worker, and its error.
        start_worker: called, deferred, when another worker is needed.
        wake: called, deferred, when the thread that runs the engine has something to do.
        limits: of tasks; None where none can be kept.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        on_lost: Callable[[Entry, BaseException], None],
        start_worker: Deferred,
        wake: Deferred,
        limits: Limited | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self.work: dict[int, Work] = {}
        self.assigned: dict[int, Entry] = {}
        self.workers: dict[int, ReadyWorker] = {}
        self.streams: set[int] = set()  # jobs whose results are delivered early
        self.aborting: set[int] = set()  # assignments whose workers are to be ended
        self.told_of: set[int] = set()  # see ``busy``
        self.state = PoolState.OPEN
        self.failure: errors.OnecopyError | None = None
        self.foreign = False  # this is a forked child's copy
        self.tasks_ended = 0
        self._scheduler = scheduler
        self._ids = count(1)
        self._on_lost = on_lost
        self._start_worker = start_worker
        self._wake = wake
        self._limits = limits

    # What is asked of it.

    @property
    def closed(self) -> bool:
        return self.state is not PoolState.OPEN

    @property
    def busy(self) -> bool:
        """True while anything waits, or is with a worker."""
        with self.lock:
            return self._scheduler.busy

    def ready(self) -> int:
        """The number of workers that are set up, at work or not."""
        return len(self.workers)

    def held(self) -> list[tuple[Work, int]]:
        """For each worker that is at something: what that is, and since when (nanoseconds)."""
        with self.lock:
            return busy.held(self.assigned.values(), self.workers)

    def blocked_workers(self) -> list[tuple[int, int, float]]:
        """Workers whose queue waits behind one assignment while others are idle; see
        ``Scheduler.blocked_workers``."""
        with self.lock:
            return self._scheduler.blocked_workers()

    def check_open(self) -> None:
        """Raise PoolClosed, or why the pool is of no use."""
        if self.state is PoolState.OPEN and not self.foreign:
            return
        if self.failure is not None:
            raise error_copy(self.failure)
        if self.foreign:
            raise errors.PoolClosed(FOREIGN)
        raise errors.PoolClosed("the pool is closed and takes no more work")

    def new_id(self) -> int:
        """A number that nothing else of this pool has."""
        return next(self._ids)

    # Work comes in.

    def submit(self, call: Call, pace: int) -> Effects | None:
        """A call, to be run after what waits already. None: it is sent with others, later."""
        with self.lock:
            self.check_open()
            call.number = task = next(self._ids)
            self.work[task] = call
            constraints = PLAIN if call.rules is None else call.rules.constraints
            instructions = self._scheduler.handle(events.TaskSubmitted(task, pace, constraints))
            if not instructions:
                return None
            return self.take((), instructions=instructions)

    def open(self, job: Job, available: int, most: int, *, grows: bool) -> Effects:
        """A job of many items; ``most``: items of a chunk, if there is a limit. One that grows
        keeps a closed pool at work until it has grown for the last time or is dropped."""
        with self.lock:
            self.check_open()
            job.number = number = next(self._ids)
            self.work[number] = job
            if job.streams:
                self.streams.add(number)
            constraints = PLAIN if job.rules is None else job.rules.constraints
            key = job.function.id
            return self.take(
                [events.JobOpened(number, key, available, job.chunk, most, constraints, grows)]
            )

    def handle(self, *happened: Event, open_only: bool = False) -> Effects:
        """Tell the scheduler; ``open_only``: raise when the pool takes no more work."""
        with self.lock:
            if open_only:
                self.check_open()
            return self.take(happened)

    def join(self, worker: ReadyWorker) -> Effects:
        """A worker is ready."""
        with self.lock:
            self.workers[worker.number] = worker
            return self.take([events.WorkerReady(worker.number)])

    # Work is not wanted any more.

    def drop(self, number: int) -> tuple[Work | None, Effects]:
        """Nobody wants what is left of a job; what workers are at comes to its end."""
        with self.lock:
            self.streams.discard(number)
            return self.work.pop(number, None), self.take([events.JobDropped(number)])

    def abort(self, work: Work) -> None:
        """Mark what workers are at of it, so that they are ended."""
        with self.lock:
            for number, entry in self.assigned.items():
                if entry.work is work:
                    self.aborting.add(number)

    def cancel_waiting(self) -> tuple[list[tuple[Work, list[Assignment]]], Effects]:
        """Take back all that no worker has been given: what that is, each with what of it
        workers have been given."""
        given: dict[int, list[Assignment]] = {}
        with self.lock:
            for entry in self.assigned.values():
                given.setdefault(entry.assignment.work, []).append(entry.assignment)
            waiting = {number: work for number, work in self.work.items() if work.waiting()}
            for number in waiting:
                del self.work[number]
            effects = self.take([events.JobDropped(number) for number in waiting])
        return [(work, given.get(number, [])) for number, work in waiting.items()], effects

    def forget_function(self, function_id: int) -> Effects:
        """Workers need not keep a function after what they were sent before. One that is
        still waited for is sent again with the next task that needs it."""
        effects = Effects()
        with self.lock:
            for number, worker in self.workers.items():
                worker.forget_function(function_id)
                effects.workers[number] = worker
        return effects

    # Its end.

    def close(self) -> Effects | None:
        """No more work comes. None when that was so already."""
        with self.lock:
            if self.closed:
                return None
            self.state = PoolState.CLOSED
            return self.take([events.Closed()])

    def abandon(self, state: PoolState, failure: errors.OnecopyError) -> list[Work]:
        """Drop everything: what had not come to its end, which is to fail. The scheduler gives
        out nothing from here on; it does not end idle workers, which would run what programs
        have registered for a normal end."""
        with self.lock:
            if state is PoolState.FAILED and self.failure is None:
                self.failure = failure
            self.state = max(self.state, state)
            dropped = list(self.work.values())
            self.work.clear()
            self.assigned.clear()
            self.take([events.Abandoned()])
        return dropped

    def after_fork(self) -> None:
        """In a forked child: the pool is the parent's. Another thread may have held the lock."""
        self.lock = threading.Lock()
        self.foreign = True
        for work in list(self.work.values()):
            work.forked(errors.PoolClosed(FOREIGN))

    # Assignments come to an end.

    def ended(
        self, worker: int, results: Iterable[Ended], *, look_for_blocked: bool
    ) -> tuple[dict[int, Entry], set[int], Effects]:
        """A worker has sent results. Returns the entries that have ended, by assignment; the
        assignments that were halved instead and are run again; and the effects, among them
        the worker's next work. What is none of the worker's is in neither.

        Args:
            worker: its number.
            results: in the order in which they came.
            look_for_blocked: wake the engine if workers are blocked now.
        """
        ended: dict[int, Entry] = {}
        halved: set[int] = set()
        happened: list[Event] = []
        with self.lock:
            for number, nanoseconds, upto, failed, unrun in results:
                entry = self.assigned.get(number)
                if entry is None or entry.worker != worker:
                    continue
                self.pop(number)
                if type(entry.work) is BlockingCall:
                    entry.work.answered = True
                if upto:
                    happened += _cut_short(entry, upto, failed)
                halves = self._halved(entry) if unrun else ()
                if halves:
                    halved.add(number)
                    happened += halves
                    happened.append(events.Finished(worker, number, nanoseconds))
                    happened.append(events.Done(number))
                else:
                    ended[number] = entry
                    happened.append(events.Finished(worker, number, nanoseconds))
            effects = self.take(happened)
            if look_for_blocked and self._scheduler.blocked_workers():
                effects.deferred.append(self._wake)
        return ended, halved, effects

    def finished(
        self, worker: int, assignment: int, nanoseconds: int | None
    ) -> tuple[Entry | None, Effects]:
        """One assignment has ended: its entry, unless it was dropped."""
        with self.lock:
            found = self.pop(assignment)
            return found, self.take([events.Finished(worker, assignment, nanoseconds)])

    def unsent(self, worker: int, assignment: int) -> tuple[Entry | None, Effects]:
        """An assignment cannot be sent: its entry if it is to fail, None if it was halved and
        its items are tried again."""
        with self.lock:
            found = self.pop(assignment)
            happened: list[Event] = list(self._halved(found)) if found is not None else []
            again = bool(happened)
            happened.append(events.Finished(worker, assignment, None))
            if again:
                happened.append(events.Done(assignment))
            return None if again else found, self.take(happened)

    def retry(
        self, assignment: Assignment, work: Work, items: list[int]
    ) -> tuple[set[int], Effects | None]:
        """Run those items of an ended assignment again that have a try left; which those are,
        by index in the chunk."""
        assert work.rules is not None
        assert work.tries is not None
        most, start, tries = work.rules.retries, assignment.start, work.tries
        with self.lock:
            if assignment.work not in self.work or not work.wanted():
                return set(), None
            again = {at for at in items if tries.get(start + at, 0) < most}
            for at in again:
                tries[start + at] = tries.get(start + at, 0) + 1
            if not again:
                return again, None
            runs: tuple[tuple[int, int], ...] = ()  # all of it
            if len(again) < assignment.stop - start:
                runs = tuple((start + at, start + at + 1) for at in sorted(again))
            return again, self.take([events.Retry(assignment.id, runs)])

    def settle(self, assignment: Assignment, work: Work) -> Effects:
        """An assignment that may have been run again has ended for good."""
        with self.lock:
            if isinstance(work, Call):
                self.work.pop(assignment.work, None)
            return self.take([events.Done(assignment.id)])

    # Workers are ended.

    def ending(self, worker: int, assignment: int) -> bool:
        """A worker is about to be ended because of an assignment: nothing else is given to it.
        False when that has come to its end meanwhile."""
        with self.lock:
            if assignment not in self.assigned:
                return False
            self.take([events.WorkerEnding(worker)])
            self.aborting.discard(assignment)
            return True

    def assignment_of(self, number: int) -> Entry | None:
        """An assignment that a worker has been given; None when it has come to its end, which
        is noted for one that was to be aborted."""
        with self.lock:
            found = self.assigned.get(number)
            if found is None:
                self.aborting.discard(number)
            return found

    def take_back(
        self,
        worker: int,
        claimed: int,
        begun: int | None,
        nanoseconds: int,
        resume: Callable[[list[int], int | None], None],
    ) -> Effects:
        """Take work back from a worker that has been paused: what it was given after the
        ``claimed`` assignment, and what it has not begun of that one's chunk.

        Args:
            worker: its number.
            claimed: what it is at.
            begun: items of it that it has begun; None when it has not said.
            nanoseconds: how long it has been at it, at least.
            resume: called with the lock held, before there is anything else for the worker,
                with the assignments that it must skip, and at which item the chunk ends
                (None: where it did).
        """
        happened: list[Event] = []
        cut: int | None = None
        with self.lock:
            at = self.assigned.get(claimed)
            if at is not None and begun is not None and at.can_be_cut():
                # A worker whose result is on its way has said that it has begun with all.
                stop = min(at.assignment.start + begun, at.assignment.stop)
                if stop < at.assignment.stop and at.assignment.work in self.work:
                    at.assignment = at.assignment._replace(stop=stop)
                    cut = begun
                happened.append(events.Cut(worker, claimed, stop, nanoseconds))
            back = [
                number
                for number, entry in self.assigned.items()
                if entry.worker == worker
                and number > claimed
                and entry.assignment.work in self.work
            ]
            for number in back:
                self._requeued(number)
            resume(back, cut)
            happened.append(events.Requeued(worker, tuple(back)))
            return self.take(happened)

    def worker_gone(self, worker: int, claimed: int, *, broken: bool, error: MakeError) -> Effects:
        """A worker has ended: what it was at is lost, what it held beyond goes back.

        Args:
            worker: its number.
            claimed: the last assignment that it had begun.
            broken: what it wrote made no sense.
            error: of what is lost.
        """
        with self.lock:
            self.workers.pop(worker, None)
            effects = self.take([events.WorkerGone(worker, claimed, broken)], error)
            # What it held beyond the lost one went back to the queue, under other ids,
            # unless it was of a job that has been dropped.
            for number, entry in list(self.assigned.items()):
                if entry.worker == worker:
                    assignment = entry.assignment
                    self._requeued(number)
                    if assignment.work not in self.work:
                        lost = error(entry.work.describe(assignment))
                        effects.deferred.append(partial(self._on_lost, entry, lost))
        return effects

    # The scheduler. All of it with the lock held.

    def take(
        self,
        happened: Iterable[Event],
        error: MakeError | None = None,
        instructions: Sequence[Instruction] = (),
    ) -> Effects:
        """Feed events in, and post what comes out.

        Args:
            happened: in this order; what this causes at once is put behind.
            error: of the assignments that a worker's end has cost.
            instructions: what the scheduler has asked for already.
        """
        effects = Effects()
        queue = list(happened)
        for instruction in instructions:
            queue += self._carry_out(instruction, effects, error)
        for event in queue:
            for instruction in self._scheduler.handle(event):
                queue += self._carry_out(instruction, effects, error)
        return effects

    def _carry_out(
        self, instruction: Instruction, effects: Effects, error: MakeError | None
    ) -> tuple[Event, ...]:
        if type(instruction) is events.Assign:
            number, assignment = instruction
            work = self.work.get(assignment.work)
            if work is None or not work.begin():
                self.work.pop(assignment.work, None)
                finished = events.Finished(number, assignment.id, None)
                return finished, events.Done(assignment.id)
            entry = self.assigned[assignment.id] = Entry(assignment, work, number)
            worker = effects.workers[number] = self.workers[number]
            worker.post(entry)
            if work.rules is not None and work.rules.limited:
                assert self._limits is not None, "Rules.check lets none through"
                self._limits.add(assignment.id, worker, work.rules, work.describe(assignment))
                effects.deferred.append(self._wake)
        elif isinstance(instruction, events.Lost):
            found = self.pop(instruction.assignment.id)
            if found is not None and error is not None:
                lost = error(found.work.describe(found.assignment))
                effects.deferred.append(partial(self._on_lost, found, lost))
        elif isinstance(instruction, events.Retire):
            worker = effects.workers[instruction.worker] = self.workers.pop(instruction.worker)
            worker.retire()
        else:
            effects.deferred.append(self._start_worker)
        return ()

    def pop(self, assignment: int) -> Entry | None:
        """An assignment has come to an end: its entry, unless it was dropped."""
        found = self.assigned.pop(assignment, None)
        if found is not None:
            self.tasks_ended += 1
            if self.aborting:
                self.aborting.discard(assignment)
            rules = found.work.rules
            if rules is not None:
                if self._limits is not None:
                    self._limits.remove(assignment)
                if rules.retries:
                    return found  # until it is settled whether it is run again
            if isinstance(found.work, Call):
                self.work.pop(found.assignment.work, None)
        return found

    def _requeued(self, assignment: int) -> None:
        """Nothing of an assignment was run: its work waits again, under another number."""
        del self.assigned[assignment]
        self.aborting.discard(assignment)
        if self._limits is not None:
            self._limits.remove(assignment)

    def _halved(self, entry: Entry) -> tuple[Event, ...]:
        """Nothing of an assignment was run, perhaps because of one of its items: what to tell
        the scheduler so that the others do not suffer. Nothing for a single item, or when the
        rest of the job was dropped."""
        assignment = entry.assignment
        if assignment.stop - assignment.start < 2 or assignment.work not in self.work:
            return ()
        return (events.JobHalved(assignment.work, assignment.start, assignment.stop),)


def _cut_short(entry: Entry, upto: int, failed: bool) -> tuple[Event, ...]:
    """With the lock held: a worker has ended its chunk early, at a result that is too large to
    be told early, or at an item that failed: the rest is handed out again."""
    assignment = entry.assignment
    stop = assignment.start + upto
    if not (entry.work.streams and entry.can_be_cut() and stop < assignment.stop):
        return ()
    entry.assignment = assignment._replace(stop=stop)
    return (events.Cut(entry.worker, assignment.id, stop, None, not failed),)


def error_copy(error: errors.OnecopyError) -> errors.OnecopyError:
    """A copy of an error for one caller. Raising adds frames to its traceback, and the engine
    must not keep them alive."""
    made = copy.copy(error)
    made.__cause__ = error.__cause__
    return made
