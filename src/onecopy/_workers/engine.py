"""The engine of one pool: carries out what the scheduler says, and tells it what happened.

This is what processes and threads have in common: the table of work, the functions that
workers know, and the one lock. ``processes`` and ``threads`` each make it whole.

``_lock`` guards the scheduler, the table of work and the order of what is posted to
workers. It is held for table work only: never while anything is read, sent, pickled,
copied or called back, and nobody who holds it waits for another lock.
"""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from copy import copy
from itertools import count
from types import FunctionType
from typing import Any, Protocol

from .. import errors
from .._memory.codec import encode
from .._memory.pickling import Namespace
from .._schedule import events
from .._schedule.events import PLAIN, Assignment, Event, Instruction
from .._schedule.scheduler import Scheduler
from .functions import KEPT, Captured, Function, by_name, pace_key
from .future import TaskFuture
from .jobs import Job
from .options import Options
from .rules import Rules
from .work import Call, Direct, Entry, Submitted, Work

FOREIGN = "this pool belongs to the process that made it; make one here"
# Workers keep so many functions.
_FUNCTIONS = 500

Later = Callable[[], None]
Fate = Callable[[str], BaseException]
"""Makes the error of an assignment that a worker took with it; given what it was."""


class Member(Protocol):
    """A worker that is ready, as far as giving it work goes."""

    worker: int

    def post(self, entry: Entry) -> None:
        """Under the engine's lock: puts an assignment behind the others."""

    def retire(self) -> None:
        """Under the engine's lock: the worker ends after what was posted before."""

    def flush(self) -> None:
        """Without it: sends what was posted."""

    def forget_function(self, function_id: int) -> None:
        """Under it: no more work with this function will be posted."""


class Engine(ABC):
    """See the module.

    Args:
        options: what the pool was asked to be.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.namespace: Namespace | None = None  # None: nothing is pickled
        self._lock = threading.Lock()
        self._scheduler = Scheduler(options.workers, options.max_tasks)
        self._ids = count(1)
        self._function_ids = count(1)
        self._functions: dict[Any, Function] = {}
        self._seen: weakref.WeakSet[FunctionType] = weakref.WeakSet()
        self._work: dict[int, Work] = {}
        self._assigned: dict[int, Entry] = {}
        self._members: dict[int, Member] = {}
        self._closed = False
        self._foreign = False  # this is a forked child's copy
        self._terminated = False
        self._failure: errors.OnecopyError | None = None
        self._tasks_ended = 0
        self._orphans: deque[int] = deque()
        self._given_up: set[int] = set()  # assignments whose workers are to be ended

    # What differs.

    @abstractmethod
    def _start_worker(self) -> None:
        """Another worker is needed. Called without the lock."""

    @abstractmethod
    def _stop_workers(self) -> None:
        """The pool was terminated or has failed: ends the workers now."""

    @abstractmethod
    def join(self, timeout: float | None = None) -> bool:
        """Waits until every worker has gone; False when the time ran out first."""

    @abstractmethod
    def pids(self) -> list[int]:
        """The worker processes that have been made, as far as their pids are known."""

    @abstractmethod
    def traffic(self) -> tuple[int, int, int, int]:
        """Bytes sent, received, copied into arenas, and referred to, so far."""

    @abstractmethod
    def release(self) -> None:
        """Nobody holds the pool any more: it ends as by ``terminate``. Called by a
        finalizer, which may run anywhere, inside our own lock too: only leaves word."""

    @abstractmethod
    def _nudge(self) -> None:
        """There is something to do for whoever looks after the engine; likewise."""

    @abstractmethod
    def _limit(self, member: Member, entry: Entry) -> None:
        """Under the lock: an assignment with a limit was posted."""

    @abstractmethod
    def _unlimit(self, assignment: int) -> None:
        """Under the lock: an assignment has ended that may have had one."""

    def _await(self, member: Member, call: Direct) -> None:
        """``call`` was posted to ``member``, which was idle: sends it."""
        member.flush()

    # Work.

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rules: Rules | None = None,
    ) -> TaskFuture:
        """Puts a call behind the others; the future has its outcome."""
        known = self._known(function)
        call = Submitted(known, function, args, kwargs, self.namespace, rules)
        self._enter(call, pace_key(known, function), lone=False)
        call.future.number = call.number
        return call.future

    def apply(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rules: Rules | None = None,
    ) -> Any:
        """Calls and waits; by the short way when a worker is idle."""
        known = self._known(function)
        call = Direct(known, function, args, kwargs, self.namespace, rules)
        # What is run again may be with another worker then: it is not waited for at one.
        lone = rules is None or not rules.retries
        self._enter(call, pace_key(known, function), lone=lone)
        return call.outcome()

    def _enter(self, call: Call, key: int, *, lone: bool) -> None:
        with self._lock:
            self._check_open()
            call.number = task = next(self._ids)
            self._work[task] = call
            terms = PLAIN if call.rules is None else call.rules.terms
            instructions = self._scheduler.handle(events.TaskSubmitted(task, key, terms))
            if not instructions:
                return  # the workers have enough: it is sent with others, by the driver
            dirty, later = self._take([], None, instructions)
        if lone and len(dirty) == 1 and isinstance(call, Direct):
            _flush([], later)
            self._await(dirty[0], call)
        else:
            _flush(dirty, later)

    def cancel(self, future: Future[Any]) -> bool:
        """Cancels a task whether it has begun or not; False when it is done.

        Raises ValueError when the future is of another pool.
        """
        with self._lock:
            work = self._work.get(getattr(future, "number", 0))
        if not isinstance(work, Submitted) or work.future is not future:
            if future.done():
                return future.cancelled()
            raise ValueError("this future is not one of this pool's")
        if work.future.cancel():
            return True  # it has not begun: it is left out when its turn comes
        cancelled = work.future.cancel_running()
        if cancelled:
            self._give_up(work)
        return cancelled

    def give_up(self, job: Job) -> None:
        """Nobody wants a job any more, not even what workers are at."""
        job.given_up = True
        self.drop(job.number)
        self._give_up(job)

    def _give_up(self, work: Work) -> None:
        with self._lock:
            for assignment, running, _ in self._assigned.values():
                if running is work:
                    self._given_up.add(assignment.id)
        self._nudge()

    def open(self, job: Job, available: int) -> int:
        """Begins with a job of many items; its id."""
        with self._lock:
            self._check_open()
            job.number = number = next(self._ids)
            self._work[number] = job
            key = job.function.id
            terms = PLAIN if job.rules is None else job.rules.terms
            opened = events.JobOpened(number, key, available, job.chunk, job.most, terms)
            dirty, later = self._take([opened])
        _flush(dirty, later)
        return number

    def grow(self, job: int, available: int) -> None:
        """More of a job's items may be handed out."""
        self._handle(events.JobGrew(job, available))

    def drop_later(self, number: int) -> None:
        """As ``drop``, from a finalizer: only leaves word."""
        self._orphans.append(number)
        self._nudge()

    def _drop_orphans(self) -> None:
        while self._orphans:
            self.drop(self._orphans.popleft())

    def drop(self, number: int) -> None:
        """Nobody wants what is left of a job. Workers forget its function after what they
        were sent before."""
        with self._lock:
            job = self._work.pop(number, None)
            dirty, later = self._take([events.JobDropped(number)])
            if isinstance(job, Job) and job.function.id not in {
                function.id for function in self._functions.values()
            }:
                for member in self._members.values():
                    member.forget_function(job.function.id)
                    dirty.append(member)
        _flush(dirty, later)

    def function(self, call: Callable[..., Any]) -> Function:
        """A function for a job: sent to each worker once, with what it captures standing
        in memory once. Raises NotPicklable."""
        known = self._known(call)
        if known is not None:
            return known
        draft = None
        if self.namespace is not None:
            draft = encode(call, self.namespace, "function")
            draft.anchor()
        return Function(next(self._function_ids), call, draft)

    def _known(self, call: Callable[..., Any]) -> Function | None:
        """A function that workers may keep from call to call; None for one that they may
        not, or that is met for the first time and need not be importable."""
        if self.namespace is None or not isinstance(call, KEPT):
            return None
        function = self._functions.get(call)
        if function is not None:
            if function.captured is None or function.captured.unchanged():
                return function
            self._forget(call)
        captured: Captured | None = None
        if not by_name(call, self.namespace):
            # A lambda that is made anew for each call is not worth keeping.
            if type(call) is not FunctionType or call not in self._seen:
                if type(call) is FunctionType:
                    self._seen.add(call)
                return None
            captured = Captured(call, self.namespace)
            if not captured.fixed:
                return None
        draft = encode(call, self.namespace, "function")
        function = Function(next(self._function_ids), call, draft, captured)
        # Another thread may have been as quick: all have to use the same one.
        function = self._functions.setdefault(call, function)
        if len(self._functions) > _FUNCTIONS:
            self._forget(next(iter(self._functions)))
        return function

    def _forget(self, call: Callable[..., Any]) -> None:
        """Workers need not keep a function any longer. One that is still waited for is
        sent again with the next task that needs it."""
        with self._lock:
            function = self._functions.pop(call, None)
            members = list(self._members.values())
            if function is not None:
                for member in members:
                    member.forget_function(function.id)
        _flush(members, [])

    # Its end.

    def close(self) -> None:
        """No more work; the workers go when all is done."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            dirty, later = self._take([events.Closed()])
        _flush(dirty, later)

    def terminate(self) -> None:
        """Ends the workers now; what was not finished fails with PoolClosed."""
        if self._foreign:
            self._closed = True
            return  # the workers are the parent's
        self.close()
        if not self._terminated:
            self._terminated = True
            self._abandon(errors.PoolClosed("the pool was terminated"))
            self._stop_workers()

    @property
    def closed(self) -> bool:
        return self._closed

    def ready(self) -> int:
        """How many workers are set up: they wait for work or do some."""
        return len(self._members)

    @property
    def tasks_ended(self) -> int:
        """Assignments that have come to an end, well or not."""
        return self._tasks_ended

    def _check_open(self) -> None:
        if self._failure is not None:
            raise _copied(self._failure)
        if self._foreign:
            raise errors.PoolClosed(FOREIGN)
        if self._closed:
            raise errors.PoolClosed("the pool is closed and takes no more work")

    def _fail(self, failure: errors.OnecopyError, cause: BaseException | None) -> None:
        """The pool is of no more use: everything that waits fails with ``failure``."""
        failure.__cause__ = cause
        with self._lock:
            if self._failure is None:
                self._failure = failure
            self._closed = True
        self._abandon(_copied(failure))
        self._stop_workers()

    def _abandon(self, error: BaseException) -> None:
        with self._lock:
            given_up = list(self._work.values())
            self._work.clear()
            self._assigned.clear()
            self._take([events.Abandoned()])
        for work in given_up:
            work.abandon(error)

    # The scheduler.

    def _handle(self, *happened: Event) -> None:
        with self._lock:
            dirty, later = self._take(list(happened))
        _flush(dirty, later)

    def _take(
        self,
        happened: list[Event],
        fate: Fate | None = None,
        instructions: Sequence[Instruction] = (),
    ) -> tuple[list[Member], list[Later]]:
        """Under the lock: feeds events in, and posts what comes out. Returns the members to
        flush, and what else has to be done after letting go of the lock.

        Args:
            happened: in this order; what this causes at once is put behind.
            fate: for the assignments that a worker's end has cost.
            instructions: what the scheduler has asked for already.
        """
        dirty: dict[int, Member] = {}
        later: list[Later] = []
        for instruction in instructions:
            more = self._carry_out(instruction, dirty, later, fate)
            if more is not None:
                happened.append(more)
        for event in happened:
            for instruction in self._scheduler.handle(event):
                more = self._carry_out(instruction, dirty, later, fate)
                if more is not None:
                    happened.append(more)
        return list(dirty.values()), later

    def _carry_out(
        self,
        instruction: Instruction,
        dirty: dict[int, Member],
        later: list[Later],
        fate: Fate | None,
    ) -> Event | None:
        if type(instruction) is events.Assign:
            worker, assignment = instruction
            work = self._work[assignment.work]
            if not work.begin():
                del self._work[assignment.work]
                return events.Finished(worker, assignment.id, None)
            entry = self._assigned[assignment.id] = (assignment, work, worker)
            member = dirty[worker] = self._members[worker]
            member.post(entry)
            if work.rules is not None and work.rules.limited:
                self._limit(member, entry)
                later.append(self._nudge)
        elif isinstance(instruction, events.Lost):
            found = self._pop(instruction.assignment.id)
            if found is not None and fate is not None:
                assignment, work, _ = found
                error = fate(work.describe(assignment))
                later.append(lambda: self._failed(assignment, work, error))
        elif isinstance(instruction, events.Retire):
            member = dirty[instruction.worker] = self._members.pop(instruction.worker)
            member.retire()
        else:
            later.append(self._start_worker)
        return None

    def _pop(self, assignment: int) -> Entry | None:
        """Under the lock: an assignment has come to an end."""
        found = self._assigned.pop(assignment, None)
        if found is not None:
            self._tasks_ended += 1
            rules = found[1].rules
            if rules is not None:
                self._unlimit(assignment)
                if rules.retries:
                    return found  # until it is settled whether it is run again
            if isinstance(found[1], Call):
                self._work.pop(found[0].work, None)
        return found

    def _finished(self, worker: int, assignment: int, nanoseconds: int | None) -> Entry | None:
        """One assignment has come to an end: gives the worker more, then returns it."""
        with self._lock:
            found = self._pop(assignment)
            finished = events.Finished(worker, assignment, nanoseconds)
            dirty, later = self._take([finished])
        _flush(dirty, later)
        return found

    # Outcomes: called by whoever reads them, without the lock.

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
                    work.partly(assignment, {}, rest)
                return
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
        _flush(dirty, later)
        return again

    def _settle(self, assignment: Assignment, work: Work) -> None:
        """It has ended for good."""
        if work.rules is None or not work.rules.retries:
            return
        with self._lock:
            if isinstance(work, Call):
                self._work.pop(assignment.work, None)
            dirty, later = self._take([events.Settled(assignment.id)])
        _flush(dirty, later)

    def _join_in(self, member: Member) -> None:
        """A worker is ready."""
        with self._lock:
            self._members[member.worker] = member
            dirty, later = self._take([events.WorkerReady(member.worker)])
        _flush(dirty, later)


def _copied(failure: errors.OnecopyError) -> errors.OnecopyError:
    """What is raised gets a traceback, whose frames hold the pool: what the engine keeps must
    not, or neither would ever be collected."""
    copied = copy(failure)
    copied.__cause__ = failure.__cause__
    return copied


def _flush(dirty: list[Member], later: list[Later]) -> None:
    for member in dirty:
        member.flush()
    for act in later:
        act()
