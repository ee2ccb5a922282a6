"""The pool's table: what waits, what each worker has been given, and who decides.

Events go in, ``Effects`` come out: which workers have something to send, and what is to be done
once the lock is released. Nothing is sent, read, pickled or called back in here, and no thread
is started, so the rules of the engine are tested without a process (``tests/unit/test_core.py``).

``lock`` guards the scheduler, the table and the order in which work is posted to workers. It
is held for table work only. Calls for futures come in without it; see ``inbox``. A thread that
holds it waits for one other lock, the future's of work that is about to be sent (``Work.begin``);
that one is a leaf. Methods say "with the lock held" when they expect the caller to hold it; all
others take it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from itertools import count

from .. import errors
from .._codec.blame import copy_of
from .._schedule import events
from .._schedule.events import PLAIN, Assignment, Event, Instruction
from .._schedule.scheduler import Scheduler
from . import busy, chunk_ends
from .effects import Deferred, Effects, Limited, ReadyWorker
from .inbox import Inbox
from .jobs import Job
from .run_table import Runs
from .runs import Run, parts
from .work import BlockingCall, Call, Entry, Work

FOREIGN = "this pool belongs to the process that made it; make one here"

MakeError = Callable[[str], BaseException]
"""Makes the error of an assignment that was lost with its worker; called with its description."""
Ended = tuple[int, int | None, int, bool, bool]
"""A result: the assignment, nanoseconds or None, the number of items that were run if it was ended
early (else 0), True if an item failed, True if nothing was run."""


class PoolState(IntEnum):
    """The life of a pool; it only ever advances."""

    OPEN = 0
    CLOSED = 1  # takes no more work, and finishes what it has
    TERMINATED = 2  # its owner dropped what was left
    FAILED = 3  # unusable; ``Core.failure`` says why


class Core:
    """The table; see the module. Any thread.

    Args:
        scheduler: decides.
        on_lost: called, deferred, with an assignment that was lost with its worker, and its error.
        start_worker: called, deferred, when another worker is needed.
        wake: called, deferred, if the thread that runs the engine has something to do.
        limits: of tasks; None where limits cannot be kept.
        runs: workers can be given runs of calls (see ``runs``).
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        on_lost: Callable[[Entry, BaseException], None],
        start_worker: Deferred,
        wake: Deferred,
        limits: Limited | None = None,
        runs: bool = False,
    ) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.work: dict[int, Work] = {}
        self.assigned: dict[int, Entry] = {}
        self.workers: dict[int, ReadyWorker] = {}
        self.streams: set[int] = set()  # jobs whose results are delivered early
        self.runs: Runs = Runs(self, scheduler)
        self.aborting: set[int] = set()  # assignments whose workers are about to be killed
        self.told_of: set[int] = set()  # see ``busy``
        self.state: PoolState = PoolState.OPEN
        self.failure: errors.OnecopyError | None = None
        self.foreign: bool = False  # this is a forked child's copy
        self.tasks_ended: int = 0
        self._scheduler = scheduler
        self.inbox: Inbox = Inbox(scheduler, runs=runs)
        self._ids = count(1)
        self._on_lost = on_lost
        self._start_worker = start_worker
        self.wake: Deferred = wake
        self._limits = limits

    # Queries.

    @property
    def closed(self) -> bool:
        return self.state is not PoolState.OPEN

    @property
    def busy(self) -> bool:
        """True while anything waits, or is with a worker."""
        with self.lock:
            return bool(self.inbox) or self._scheduler.busy

    def occupied(self) -> bool:
        """Return True while a worker has something to do, or work waits for one. Takes no lock."""
        return bool(self.assigned) or self._scheduler.queued or bool(self.inbox)

    def ready(self) -> int:
        """The number of workers that are ready, busy or not."""
        return len(self.workers)

    def held(self) -> list[tuple[Work, int]]:
        """Return what each busy worker is running, and since when (nanoseconds)."""
        return [(entry.work, since) for entry, since in self.heads()]

    def heads(self) -> list[tuple[Entry, int]]:
        """Return ``held``, with the part of its work that each worker is running."""
        with self.lock:
            return busy.heads(self.assigned.values(), self.workers)

    def lone(self, task: int) -> tuple[ReadyWorker, Entry] | None:
        """Return the assignment of a task and its worker, if the worker has no other; None as well
        if many are out: this searches all."""
        with self.lock:
            found = busy.lone(self.assigned.values(), task)
            return None if found is None else (self.workers[found.worker], found)

    def ended_by_worker(self) -> dict[int, int]:
        """Return how many assignments each ready worker has ended."""
        with self.lock:
            return self._scheduler.ended_by_worker()

    def blocked_workers(self) -> list[tuple[int, int, float]]:
        """Return workers whose queue waits behind one assignment while others are idle; see
        ``Scheduler.blocked_workers``."""
        with self.lock:
            return self._scheduler.blocked_workers()

    def check_open(self) -> None:
        """Raise PoolClosed, or the pool's failure, unless it takes work."""
        if self.state is PoolState.OPEN and not self.foreign:
            return
        if self.failure is not None:
            raise copy_of(self.failure)
        if self.foreign:
            raise errors.PoolClosed(FOREIGN)
        raise errors.PoolClosed("the pool is closed and takes no more work")

    def unfinished(self) -> list[Work]:
        """Return all work that has not ended. Takes no lock."""
        return [*self.work.values(), *self.inbox]

    def new_id(self) -> int:
        """Return a number that nothing else in this pool has."""
        return next(self._ids)

    # Work comes in.

    def put(self, call: Call) -> bool:
        """Put a call behind the others, without the lock; return True if it must be taken in."""
        if self.state is not PoolState.OPEN or self.foreign:
            self.check_open()
        call.number = next(self._ids)
        must = self.inbox.put(call)
        return must or self.state is not PoolState.OPEN  # closed since then

    def take_in(self, call: Call) -> Effects:
        """Take in what was put. Raises as ``check_open`` does if ``call`` came too late."""
        with self.lock:
            if self.state is not PoolState.OPEN and self.inbox.withdraw(call):
                self.check_open()
            return self.take(())

    def submit(self, call: Call) -> Effects | None:
        """Add a call behind what is waiting. None: there is nothing to send yet."""
        with self.lock:
            self.put(call)
            effects = self.take(())
            return effects if effects.workers or effects.deferred else None

    def _from_inbox(self) -> list[Instruction]:
        """Take in what is in the inbox. With the lock held."""
        if not self.inbox or self.state is not PoolState.OPEN:
            return []  # put too late: ``take_in`` raises that
        return self.inbox.take_in(self.work)

    def held_back(self) -> int | None:
        """Return the task that has waited longest although workers are idle; None if none has."""
        if not (self._scheduler.held or self.inbox):  # asked whenever the engine wakes
            return None
        with self.lock:
            first = self._scheduler.held_back()
            return self.inbox.calls[0].number if first is None and self.inbox else first

    def open(self, job: Job, available: int, most: int, *, grows: bool) -> Effects:
        """Add a job of many items, at most ``most`` to a chunk. A job that grows
        keeps a closed pool at work until it has grown for the last time or is dropped."""
        with self.lock:
            self.check_open()
            job.number = number = next(self._ids)
            self.work[number] = job
            if job.streams:
                self.streams.add(number)
            constraints = PLAIN if job.rules is None else job.rules.constraints
            key = job.function.pace
            return self.take(
                [events.JobOpened(number, key, available, job.chunk, most, constraints, grows)]
            )

    def handle(self, *happened: Event, open_only: bool = False) -> Effects:
        """Pass events to the scheduler; ``open_only``: raise if the pool takes no more work."""
        with self.lock:
            if open_only:
                self.check_open()
            return self.take(happened)

    def join(self, worker: ReadyWorker) -> Effects:
        """Add a worker that is ready."""
        with self.lock:
            self.workers[worker.number] = worker
            return self.take([events.WorkerReady(worker.number)])

    # Work is withdrawn.

    def drop(self, number: int) -> tuple[Work | None, Effects]:
        """Drop the rest of a job; chunks that are running finish."""
        with self.lock:
            self.streams.discard(number)
            return self.work.pop(number, None), self.take([events.JobDropped(number)])

    def abort(self, work: Work) -> None:
        """Mark the running assignments of a piece of work, so that their workers are killed."""
        with self.lock:
            for number, entry in self.assigned.items():
                if entry.work is work or (type(entry.work) is Run and work in entry.work.calls):
                    self.aborting.add(number)

    def cancel_waiting(self) -> tuple[list[tuple[Work, list[Assignment]]], Effects]:
        """Take back all that no worker has been given. Returns each piece of work, with those of
        its assignments that workers do have."""
        given: dict[int, list[Assignment]] = {}
        with self.lock:
            before = self.take(())
            for entry in self.assigned.values():
                given.setdefault(entry.assignment.work, []).append(entry.assignment)
            waiting = {number: work for number, work in self.work.items() if work.waiting()}
            for number in waiting:
                del self.work[number]
            effects = before.then(self.take([events.JobDropped(number) for number in waiting]))
        return [(work, given.get(number, [])) for number, work in waiting.items()], effects

    def forget_function(self, function_id: int) -> Effects:
        """Make workers drop a function after what they were sent before. A job that still needs it
        sends it again with its next task."""
        effects = Effects()
        with self.lock:
            for number, worker in self.workers.items():
                worker.forget_function(function_id)
                effects.workers[number] = worker
        return effects

    # The end of the pool.

    def close(self) -> Effects | None:
        """Take no more work. None if the pool was closed already."""
        with self.lock:
            if self.closed:
                return None
            instructions = self._from_inbox()
            self.state = PoolState.CLOSED
            return self.take([events.Closed()], instructions=instructions)

    def abandon(self, state: PoolState, failure: errors.OnecopyError) -> list[Work]:
        """Drop everything; return the unfinished work, for the caller to fail. From here on the
        scheduler gives out nothing. It does not end idle workers: they would run what programs have
        registered for a normal exit."""
        with self.lock:
            if state is PoolState.FAILED and self.failure is None:
                self.failure = failure
            self.state = max(self.state, state)
            dropped = self.unfinished()
            self.inbox.calls.clear()
            self.work.clear()
            self.assigned.clear()
            self.runs.out.clear()
            self.take([events.Abandoned()])
        return dropped

    def after_fork(self) -> None:
        """Mark this copy, in a forked child: the pool is the parent's. Another thread may have held
        the lock."""
        self.lock = threading.Lock()
        self.foreign = True
        for work in self.unfinished():
            work.forked(errors.PoolClosed(FOREIGN))

    # Assignments end.

    def ended(
        self, worker: int, results: Iterable[Ended], *, look_for_blocked: bool
    ) -> tuple[dict[int, Entry], set[int], Effects]:
        """Record results of a worker. Returns the entries that have ended, by assignment; the
        assignments that were halved instead and are run again; and the effects, among them the
        worker's next work. An assignment that is not the worker's is in neither.

        Args:
            worker: the worker's number.
            results: in the order in which they came.
            look_for_blocked: wake the engine if workers are blocked now.
        """
        ended: dict[int, Entry] = {}
        halved: set[int] = set()
        scheduler = self._scheduler
        with self.lock:
            instructions = self._from_inbox()
            for number, nanoseconds, upto, failed, unrun in results:
                entry = self.assigned.get(number)
                if entry is None or entry.worker != worker or type(entry.work) is Run:
                    continue
                self.pop(number)
                if type(entry.work) is BlockingCall:
                    entry.work.answered = True
                if upto:
                    for event in chunk_ends.cut_short(entry, upto, failed):
                        instructions += scheduler.handle(event)
                halves = chunk_ends.halved(entry, self.work) if unrun else ()
                for event in halves:
                    instructions += scheduler.handle(event)
                instructions += scheduler.finished(worker, number, nanoseconds)
                if halves:
                    halved.add(number)
                    instructions += scheduler.handle(events.Done(number))
                else:
                    ended[number] = entry
            effects = self.take((), instructions=instructions)
            if look_for_blocked and self._scheduler.blocked_workers():
                effects.deferred.append(self.wake)
        return ended, halved, effects

    def finished(
        self, worker: int, assignment: int, nanoseconds: int | None
    ) -> tuple[Entry | None, Effects]:
        """Record the end of one assignment; return its entry, unless it was dropped."""
        with self.lock:
            found = self.pop(assignment)
            return found, self.take([events.Finished(worker, assignment, nanoseconds)])

    def unsent(self, worker: int, assignment: int) -> tuple[Entry | None, Effects]:
        """Handle an assignment that cannot be sent: return its entry if it must fail, or None if it
        was halved and its items are tried again."""
        with self.lock:
            found = self.pop(assignment)
            happened: list[Event] = [*chunk_ends.halved(found, self.work)]
            again = bool(happened)
            happened.append(events.Finished(worker, assignment, None))
            if again:
                happened.append(events.Done(assignment))
            return None if again else found, self.take(happened)

    def retry(
        self, assignment: Assignment, work: Work, items: list[int]
    ) -> tuple[set[int], Effects | None]:
        """Run again those items of an ended assignment that have a try left; return their indexes
        in the chunk."""
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
            runs: tuple[tuple[int, int], ...] = ()  # the whole assignment
            if len(again) < assignment.stop - start:
                runs = tuple((start + at, start + at + 1) for at in sorted(again))
            return again, self.take([events.Retry(assignment.id, runs)])

    def settle(self, assignment: Assignment, work: Work) -> Effects:
        """Forget an assignment that might have been retried: it has ended for good."""
        with self.lock:
            if isinstance(work, Call):
                self.work.pop(assignment.work, None)
            return self.take([events.Done(assignment.id)])

    # Workers end.

    def ending(self, worker: int, assignment: int) -> bool:
        """Mark a worker that is about to be killed because of an assignment: it is given nothing
        else. Returns False if the assignment has ended meanwhile."""
        with self.lock:
            if assignment not in self.assigned:
                return False
            self.take([events.WorkerEnding(worker)])
            self.aborting.discard(assignment)
            return True

    def not_aborting(self, assignment: int) -> None:
        """Note that nothing of an assignment is to be aborted any more."""
        with self.lock:
            self.aborting.discard(assignment)

    def assignment_of(self, number: int) -> Entry | None:
        """Return an assignment that a worker has been given, or None if it has ended; in that case
        it is no longer marked to be aborted."""
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
        nanoseconds: int | None,
        resume: Callable[[list[int], int | None], None],
    ) -> Effects:
        """Take work back from a paused worker: every assignment after the ``claimed`` one, and the
        items of that one's chunk, or the calls of its run, that it has not started.

        Args:
            worker: the worker's number.
            claimed: the assignment that it is running.
            begun: items of it that it has started; None if unknown.
            nanoseconds: for how long, at least, it has been running it; None: unknown.
            resume: called with the lock held, before anything else is posted to the worker, with
                the assignments that it must skip and the item that ends the chunk (None:
                unchanged).
        """
        happened: list[Event] = []
        cut: int | None = None
        with self.lock:
            at = self.assigned.get(claimed)
            if at is not None and begun is not None and at.can_be_cut():
                # A worker whose result is on its way has reported all items as started.
                stop = min(at.assignment.start + begun, at.assignment.stop)
                if stop < at.assignment.stop and self._is_wanted(at):
                    at.assignment = at.assignment._replace(stop=stop)
                    cut = begun
                happened.append(events.Cut(worker, claimed, stop, nanoseconds))
            back = [
                number
                for number, entry in self.assigned.items()
                if entry.worker == worker and number > claimed and self._is_wanted(entry)
            ]
            for number in back:
                self._requeued(number)
            resume(back, cut)
            happened.append(events.Requeued(worker, tuple(back)))
            return self.take(happened)

    def requeue(self, worker: int, assignments: Iterable[int]) -> Effects:
        """Put assignments of a worker that it has not started back to the head of the queue."""
        with self.lock:
            held = {number for number, each in self.assigned.items() if each.worker == worker}
            back = [number for number in assignments if number in held]
            for number in back:
                self._requeued(number)
            return self.take([events.Requeued(worker, tuple(back))])

    def worker_gone(
        self, worker: int, claimed: int, begun: int = 0, *, broken: bool, error: MakeError
    ) -> Effects:
        """Remove a worker that has ended: what it was running is lost, the rest of its queue goes
        back.

        Args:
            worker: the worker's number.
            claimed: the last assignment that it had started.
            begun: if that is a run: the number of its calls that it had started.
            broken: it broke the protocol.
            error: makes the error of what is lost.
        """
        with self.lock:
            self.workers.pop(worker, None)
            happened = self.runs.cut(worker, claimed, begun)
            happened.append(events.WorkerGone(worker, claimed, broken))
            effects = self.take(happened, error)
            # The rest of its queue has new ids now, unless it belonged to a job that was dropped.
            for number, entry in list(self.assigned.items()):
                if entry.worker == worker:
                    assignment = entry.assignment
                    self._requeued(number)
                    if not self._is_wanted(entry):
                        lost = error(entry.work.describe(assignment))
                        effects.deferred.append(partial(self._on_lost, entry, lost))
        return effects

    # The scheduler. All methods with the lock held.

    def take(
        self,
        happened: Iterable[Event],
        error: MakeError | None = None,
        instructions: Sequence[Instruction] = (),
    ) -> Effects:
        """Pass events to the scheduler, and post the assignments that it returns.

        Args:
            happened: in this order; events that they cause are appended.
            error: makes the error of assignments that were lost with a worker.
            instructions: instructions that the scheduler has returned already.
        """
        effects, scheduler = Effects(), self._scheduler
        queue = list(happened)
        for instruction in instructions:
            queue += self._carry_out(instruction, effects, error)
        some = self._from_inbox() if self.inbox else []
        while some or queue:
            for instruction in some:
                queue += self._carry_out(instruction, effects, error)
            for event in queue:
                for instruction in scheduler.handle(event):
                    queue += self._carry_out(instruction, effects, error)
            queue.clear()
            # What was put while a worker became idle.
            some = self._from_inbox() if self.inbox and scheduler.idle else []
        if self.inbox.begins_to_hold:  # from now on the engine asks ``held_back``
            self.inbox.begins_to_hold = False
            effects.deferred.append(self.wake)
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
            self._post(Entry(assignment, work, number), effects)
            worker = effects.workers[number]
            if work.rules is not None and work.rules.limited:
                assert self._limits is not None, "Rules.check lets none through"
                self._limits.add(assignment.id, worker, work.rules, work.describe(assignment))
                effects.deferred.append(self.wake)
        elif type(instruction) is events.AssignRun:
            number, assignment = instruction
            run = self.runs.made_of(assignment)
            if run is None:
                return (events.Finished(number, assignment.id, None),)
            self._post(Entry(assignment, run, number), effects)
        elif isinstance(instruction, events.Lost):
            found = self.pop(instruction.assignment.id)
            if found is not None and error is not None:
                for part in parts(found):
                    lost = error(part.work.describe(part.assignment))
                    effects.deferred.append(partial(self._on_lost, part, lost))
        elif isinstance(instruction, events.Retire):
            worker = effects.workers[instruction.worker] = self.workers.pop(instruction.worker)
            worker.retire()
        else:
            effects.deferred.append(self._start_worker)
        return ()

    def _post(self, entry: Entry, effects: Effects) -> None:
        self.assigned[entry.assignment.id] = entry
        worker = effects.workers[entry.worker] = self.workers[entry.worker]
        worker.post(entry)

    def _is_wanted(self, entry: Entry) -> bool:
        """Return False for a chunk of a job that was dropped."""
        return type(entry.work) is Run or entry.assignment.work in self.work

    def pop(self, assignment: int) -> Entry | None:
        """Remove an assignment that has ended; return its entry, unless it was dropped."""
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
                    return found  # stays until it is known whether it is retried
            if isinstance(found.work, Call):
                self.work.pop(found.assignment.work, None)
            elif type(found.work) is Run:
                self.runs.forget(found)
        return found

    def _requeued(self, assignment: int) -> None:
        """Remove an assignment of which nothing was run: its work waits again, with a new
        number."""
        del self.assigned[assignment]
        self.runs.out.discard(assignment)
        self.aborting.discard(assignment)
        if self._limits is not None:
            self._limits.remove(assignment)
