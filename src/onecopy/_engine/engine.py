"""The engine of one pool: carries out what the scheduler says, and tells it what happened.

This is what processes and threads have in common: the table of work, the functions that
workers know, and the one lock. ``processes`` and ``threads`` each make it whole; what becomes
of an assignment that has ended is in ``settling``.

``_lock`` guards the scheduler, the table of work and the order of what is posted to
workers. It is held for table work only: never while anything is read, sent, pickled,
copied or called back, and nobody who holds it waits for another lock.
"""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from time import monotonic_ns, time
from typing import Any

from .. import errors
from .._codec.pickling import Namespace
from .._observe.columns import LOST
from .._observe.diary import PACKING, WORTH, Diary
from .._observe.profile import Profile
from .._observe.series import Watch
from .._observe.spans import KNOWN, Recorder
from .._protocol.wire import SPENT
from .._schedule import events
from .._schedule.events import PLAIN, Assignment, Event, Instruction
from .._schedule.scheduler import Scheduler
from . import busy, large_arguments
from .again import anew
from .callers import Callers
from .functions import Function, pace_key
from .future import TaskFuture
from .jobs import Job
from .known_functions import KnownFunctions
from .options import Options
from .outcomes import Settling
from .rules import Rules
from .work import Call, Direct, Entry, Submitted, Work
from .worker_handle import Fate, Later, Member, flush

FOREIGN = "this pool belongs to the process that made it; make one here"
UNSENDABLE = (
    "a pool belongs to the process that made it and cannot be pickled; a task makes its own"
)
NOTHING = bytes(SPENT.size)  # is what a worker said of a task that was lost
_made = count()
# So many lives of workers that have gone are remembered, for reports.
LIVES = 10_000


class Engine(Settling):
    """See the module.

    Args:
        options: what the pool was asked to be.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.namespace: Namespace | None = None  # None: nothing is pickled
        super().__init__()
        # Threads can be given work at no cost, and nothing can be taken back from them.
        ahead = options.method != "thread"
        self._scheduler = Scheduler(options.workers, options.max_tasks, ahead=ahead)
        self._ids = count(1)
        self._known = KnownFunctions(None, None, self._forget)
        self._assigned: dict[int, Entry] = {}
        self._members: dict[int, Member] = {}
        self._closed = False
        self._foreign = False  # this is a forked child's copy
        self._terminated = False
        self._signal = signal.SIGKILL  # ends workers
        self._failure: errors.OnecopyError | None = None
        self._tasks_ended = 0
        self._orphans: deque[tuple[int, bool]] = deque()  # and: what is running as well?
        self.told_of: set[int] = set()  # see ``busy``
        self._streams: set[int] = set()  # jobs whose results are told early
        self._given_up: set[int] = set()  # assignments whose workers are to be ended
        self.recorder = Recorder(options.spans, self._importing)
        self.began, self.clock, self.pid = monotonic_ns(), time(), os.getpid()
        self._callers = Callers(self.recorder)
        self.before = next(_made)  # so many engines had been made in this process
        self.profile = Profile()
        self.large = large_arguments.LargeArguments()
        self._mark = self.diary = Diary(self.began)  # on the futures of this pool
        self.last_end = self.began  # of a task
        self.ends: list[Callable[[], None]] = []  # called once all is over
        self.watch: Watch | None = None

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
        """Nobody holds the pool any more: it ends as by ``let_go``. Called by a finalizer,
        which may run anywhere, inside our own lock too: only leaves word."""

    @abstractmethod
    def _nudge(self) -> None:
        """There is something to do for whoever looks after the engine; likewise."""

    @abstractmethod
    def _limit(self, member: Member, entry: Entry) -> None:
        """Under the lock: an assignment with a limit was posted."""

    @abstractmethod
    def _unlimit(self, assignment: int) -> None:
        """Under the lock: an assignment has ended that may have had one."""

    def _importing(self) -> AbstractContextManager[Any]:
        """What to hold while a thread of the pool imports a module."""
        return nullcontext()

    @abstractmethod
    def lives(self) -> list[tuple[int, int, int, int, int, int]]:
        """Every worker so far as ``columns.WORKER``; the oldest ones left out when there were
        very many."""

    def owner_cpu(self) -> float:
        """Seconds of CPU time that the pool's own thread has used, when it has one."""
        return 0.0

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
        done: Callable[[Future[Any]], object] | None = None,
    ) -> TaskFuture:
        """Puts a call behind the others; the future has its outcome. ``done`` is called
        with it in a thread of the pool: one that is added later may be called at once."""
        begun = monotonic_ns()
        known = self._known.get(function)
        call = Submitted(known, function, args, kwargs, self.namespace, rules)
        call.versions = self._known.versions(known, call)
        if done is not None:
            call.future.add_done_callback(done)
        self._enter(call, pace_key(known, function), lone=False)
        if call.submitted - begun > WORTH:
            self.diary.add(PACKING, begun, call.submitted)
        call.future.number, call.future.owner = call.number, self._mark
        return call.future

    def apply(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rules: Rules | None = None,
    ) -> Any:
        """Calls and waits; by the short way when a worker is idle."""
        known = self._known.get(function)
        call = Direct(known, function, args, kwargs, self.namespace, rules)
        call.versions = self._known.versions(known, call)
        # What is run again may be with another worker then: it is not waited for at one.
        lone = rules is None or not rules.retries
        try:
            self._enter(call, pace_key(known, function), lone=lone)
            return call.outcome(busy.Waiting(self, call))
        except BaseException:
            if call.done.locked():  # Ctrl-C, or what a signal's handler raised
                call.forsake()
                self._give_up(call)
            raise

    def _enter(self, call: Call, key: int, *, lone: bool) -> None:
        self._look_again()
        call.site = self._callers.site(call)
        with self._lock:
            self.check_open()
            call.number = task = next(self._ids)
            call.submitted = monotonic_ns()
            self._work[task] = call
            terms = PLAIN if call.rules is None else call.rules.terms
            instructions = self._scheduler.handle(events.TaskSubmitted(task, key, terms))
            if not instructions:
                return  # the workers have enough: it is sent with others, by the driver
            dirty, later = self._take([], None, instructions)
        if lone and len(dirty) == 1 and isinstance(call, Direct):
            flush([], later)
            self._await(dirty[0], call)
        else:
            flush(dirty, later)

    def _look_again(self) -> None:
        """Work has come: memory is watched closely, if that had ceased."""
        watch = self.watch
        if watch is not None and watch.asleep:
            watch.wake()

    def cancel(self, future: Future[Any]) -> bool:
        """Cancels a task whether it has begun or not; False when it is done.

        Raises ValueError when the future is of another pool.
        """
        if not isinstance(future, TaskFuture) or future.owner is not self._mark:
            raise ValueError("this future is not one of this pool's")
        if future.cancel():
            return True  # it has not begun: it is left out when its turn comes
        cancelled = future.cancel_running()
        with self._lock:
            work = self._work.get(future.number)
        # None: it has ended, and its outcome, which is on its way, finds nobody.
        if cancelled and work is not None:
            self._give_up(work)
        return cancelled

    def give_up(self, job: Job) -> None:
        """Nobody wants a job any more, not even what workers are at."""
        job.given_up = True
        self.drop(job.number)
        self._give_up(job)

    def _give_up(self, work: Work) -> None:
        with self._lock:
            for number, entry in self._assigned.items():
                if entry.work is work:
                    self._given_up.add(number)
        self._nudge()

    def open(self, job: Job, available: int, *, grows: bool = False) -> int:
        """Begins with a job of many items; its id. One that grows keeps a closed pool
        working until it has grown for the last time or is dropped."""
        self._look_again()
        versions = self._known.versions(job.function, None)
        job.site = self._callers.site(job)
        with self._lock:
            self.check_open()
            job.number = number = next(self._ids)
            job.submitted = monotonic_ns()
            job.versions = versions
            self._work[number] = job
            if job.streams:
                self._streams.add(number)
            key = job.function.id
            terms = PLAIN if job.rules is None else job.rules.terms
            # A thread cannot tell of a result while it runs the next item of its chunk.
            most = 1 if job.streams and self.options.method == "thread" else job.most
            opened = events.JobOpened(number, key, available, job.chunk, most, terms, grows)
            dirty, later = self._take([opened])
        flush(dirty, later)
        if job.streams:
            self._nudge()
        return number

    def grow(self, job: int, available: int, *, last: bool = False) -> None:
        """More of a job's items may be handed out; ``last``: there will be no more."""
        self._handle(events.JobGrew(job, available, last))

    def extend(self, job: int, available: int) -> None:
        """As ``grow``; raises PoolClosed when the pool takes no more."""
        with self._lock:
            self.check_open()
            dirty, later = self._take([events.JobGrew(job, available)])
        flush(dirty, later)

    def drop_later(self, number: int) -> None:
        """As ``drop``, from a finalizer: only leaves word."""
        self._orphans.append((number, False))
        self._nudge()

    def give_up_later(self, number: int) -> None:
        """As ``give_up``, likewise."""
        self._orphans.append((number, True))
        self._nudge()

    def _drop_orphans(self) -> None:
        while self._orphans:
            number, running = self._orphans.popleft()
            job = self._work.get(number)
            if running and isinstance(job, Job):
                self.give_up(job)
            else:
                self.drop(number)

    def drop(self, number: int) -> None:
        """Nobody wants what is left of a job. Workers forget its function after what they
        were sent before."""
        with self._lock:
            job = self._work.pop(number, None)
            self._streams.discard(number)
            dirty, later = self._take([events.JobDropped(number)])
            if isinstance(job, Job) and not self._known.holds(job.function):
                for member in self._members.values():
                    member.forget_function(job.function.id)
                    dirty.append(member)
        flush(dirty, later)
        if isinstance(job, Job):
            job.over()

    def function(self, call: Callable[..., Any]) -> Function:
        """A function for a job; see ``KnownFunctions.for_job``."""
        return self._known.for_job(call)

    def _forget(self, function: Function) -> None:
        """Workers need not keep a function any longer. One that is still waited for is
        sent again with the next task that needs it."""
        with self._lock:
            members = list(self._members.values())
            for member in members:
                member.forget_function(function.id)
        flush(members, [])

    # Its end.

    def close(self) -> None:
        """No more work; the workers go when all is done."""
        if self._foreign:
            self._closed = True
            return  # the workers are the parent's
        self._drop_orphans()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            dirty, later = self._take([events.Closed()])
        flush(dirty, later)

    def terminate(self) -> None:
        """Ends the workers now; what was not finished fails with PoolClosed."""
        if self._foreign:
            self._closed = True
            return  # the workers are the parent's
        self._drop_orphans()
        # The scheduler is not told: it would have idle workers end by themselves, which runs
        # what programs have registered for a normal end.
        with self._lock:
            self._closed = True
        if not self._terminated:
            self._terminated = True
            if self.watch is not None:
                self.watch.finish()
            self._abandon(errors.PoolClosed("the pool was terminated"))
            self._stop_workers()

    def let_go(self) -> None:
        """Ends as a pool does that nobody holds: an executor finishes its work first."""
        if self.options.executor:
            self.close()
        else:
            self.terminate()

    def cancel_waiting(self) -> None:
        """What no worker has been given is taken back, and those who wait for it are told."""
        if self._foreign:
            return  # all that waited has ended here
        given: dict[int, list[Assignment]] = {}
        with self._lock:
            for entry in self._assigned.values():
                given.setdefault(entry.assignment.work, []).append(entry.assignment)
            waiting = {number: work for number, work in self._work.items() if work.waiting()}
            for number in waiting:
                del self._work[number]
            dirty, later = self._take([events.JobDropped(number) for number in waiting])
        flush(dirty, later)
        for number, work in waiting.items():
            work.cancel(given.get(number, []))

    def kill(self, how: signal.Signals) -> None:
        """Ends the workers by a signal, now: what was not finished fails with BrokenWorker."""
        if self._foreign:
            return
        self._signal = how
        self._fail(errors.BrokenWorker("the pool's workers were ended by its owner"), None)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def failure(self) -> errors.OnecopyError | None:
        """Why the pool is of no use; None as long as it is."""
        return self._failure

    def ready(self) -> int:
        """How many workers are set up: they wait for work or do some."""
        return len(self._members)

    @property
    def tasks_ended(self) -> int:
        """Assignments that have come to an end, well or not."""
        return self._tasks_ended

    def check_open(self) -> None:
        """Raises PoolClosed, or why the pool is of no use."""
        if self._failure is not None:
            raise anew(self._failure)
        if self._foreign:
            raise errors.PoolClosed(FOREIGN)
        if self._closed:
            raise errors.PoolClosed("the pool is closed and takes no more work")

    def held(self) -> list[tuple[Work, int]]:
        """For each worker that is at something: what that is, and since when."""
        with self._lock:
            found = busy.heads(self._assigned.values(), self._members)
        return [(entry.work, since) for entry, since in found]

    def heads(self) -> list[tuple[Entry, int]]:
        """The same, with which part of its work each worker is at."""
        with self._lock:
            return busy.heads(self._assigned.values(), self._members)

    @property
    def busy(self) -> bool:
        """Is anything waiting, or with a worker?"""
        with self._lock:
            return self._scheduler.busy

    def _fail(self, failure: errors.OnecopyError, cause: BaseException | None) -> None:
        """The pool is of no more use: everything that waits fails with ``failure``."""
        failure.__cause__ = cause
        with self._lock:
            if self._failure is None:
                self._failure = failure
            self._closed = True
        self._abandon(failure)
        self._stop_workers()

    def _abandon(self, error: errors.OnecopyError) -> None:
        with self._lock:
            given_up = list(self._work.values())
            self._work.clear()
            self._assigned.clear()
            self._take([events.Abandoned()])
        for work in given_up:
            work.abandon(anew(error))

    # The scheduler.

    def _handle(self, *happened: Event) -> None:
        with self._lock:
            dirty, later = self._take(list(happened))
        flush(dirty, later)

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
            happened += self._carry_out(instruction, dirty, later, fate)
        for event in happened:
            for instruction in self._scheduler.handle(event):
                happened += self._carry_out(instruction, dirty, later, fate)
        return list(dirty.values()), later

    def _carry_out(
        self,
        instruction: Instruction,
        dirty: dict[int, Member],
        later: list[Later],
        fate: Fate | None,
    ) -> tuple[Event, ...]:
        if type(instruction) is events.Assign:
            worker, assignment = instruction
            work = self._work.get(assignment.work)
            if work is None or not work.begin():
                self._work.pop(assignment.work, None)
                finished = events.Finished(worker, assignment.id, None)
                return finished, events.Settled(assignment.id)
            entry = self._assigned[assignment.id] = Entry(assignment, work, worker)
            member = dirty[worker] = self._members[worker]
            member.post(entry)
            if work.rules is not None and work.rules.limited:
                self._limit(member, entry)
                later.append(self._nudge)
        elif isinstance(instruction, events.Lost):
            found = self._pop(instruction.assignment.id)
            if found is not None and fate is not None:
                error = fate(found.work.describe(found.assignment))
                later.append(partial(self._lose, found, error))
        elif isinstance(instruction, events.Retire):
            member = dirty[instruction.worker] = self._members.pop(instruction.worker)
            member.retire()
        else:
            later.append(self._start_worker)
        return ()

    def _pop(self, assignment: int) -> Entry | None:
        """Under the lock: an assignment has come to an end."""
        found = self._assigned.pop(assignment, None)
        if found is not None:
            self._tasks_ended += 1
            if self._given_up:
                self._given_up.discard(assignment)
            rules = found.work.rules
            if rules is not None:
                self._unlimit(assignment)
                if rules.retries:
                    return found  # until it is settled whether it is run again
            if isinstance(found.work, Call):
                self._work.pop(found.assignment.work, None)
        return found

    def _halved(self, entry: Entry) -> list[Event]:
        """Under the lock: nothing of an assignment was run, perhaps because of one of its
        items: what to tell the scheduler so that the others do not suffer. Nothing for a
        single item, or when the rest of the job was dropped."""
        assignment = entry.assignment
        if assignment.stop - assignment.start < 2 or assignment.work not in self._work:
            return []
        return [events.JobHalved(assignment.work, assignment.start, assignment.stop)]

    def _finished(self, worker: int, assignment: int, nanoseconds: int | None) -> Entry | None:
        """One assignment has come to an end: gives the worker more, then returns it."""
        with self._lock:
            found = self._pop(assignment)
            finished = events.Finished(worker, assignment, nanoseconds)
            dirty, later = self._take([finished])
        flush(dirty, later)
        return found

    def _lose(self, entry: Entry, error: BaseException) -> None:
        """An assignment was lost with its worker."""
        self._note(entry, LOST, NOTHING, 0)
        self._failed(entry.rest(), entry.work, error)

    def _note(self, entry: Entry, state: int, spent: bytes, pid: int) -> None:
        """Records what an assignment that has ended took."""
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

    def _over(self) -> None:
        """All workers have gone."""
        while self.ends:
            self.ends.pop()()

    def _join_in(self, member: Member) -> None:
        """A worker is ready."""
        with self._lock:
            self._members[member.worker] = member
            dirty, later = self._take([events.WorkerReady(member.worker)])
        flush(dirty, later)
