"""Which worker does what next: a pure state machine.

``handle`` takes one event and returns instructions. There is no clock, no socket, no
process and no lock in here; the driver (``_workers.engine``) carries instructions out,
calls ``handle`` under its own lock, and measures.

The rules:

- First come, first served; a waiting task goes to an idle worker if there is one.
- A worker that has just finished something is given the next work at once, and more than
  one piece as long as all it holds is estimated to take less than a millisecond (single
  tasks) or two chunks (jobs): tiny tasks travel in batches, long ones never wait behind
  each other while another worker is idle. Work of unknown length is handed out singly.
- When a worker ends, the assignment that it had begun is lost, and no other: what it was
  sent beyond that goes back to the head of the queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .chunks import AHEAD_JOB_NS, AHEAD_TASK_NS, Pace, chunk_size
from .events import (
    Abandoned,
    Assign,
    Assignment,
    Closed,
    Event,
    Finished,
    Instruction,
    JobDropped,
    JobGrew,
    JobHalved,
    JobOpened,
    Lost,
    Retire,
    Start,
    TaskSubmitted,
    WorkerGone,
    WorkerReady,
)

# Work that comes back so often from workers that ended before they began it is lost.
_RETURNS = 5
# Paces are remembered for this many functions.
_KEYS = 1000


class _Task:
    """A single task in the queue."""

    __slots__ = ("id", "pace")

    def __init__(self, id: int, pace: Pace) -> None:
        self.id = id
        self.pace = pace


@dataclass(slots=True)
class _Job:
    """A job, in the queue as long as items of it wait.

    Attributes:
        next, available: items from ``next`` up to ``available`` wait.
        again: runs of items that a worker took with it before it had begun them.
    """

    id: int
    pace: Pace
    chunk: int | None
    most: int
    next: int = 0
    available: int = 0
    again: list[tuple[int, int]] = field(default_factory=list)
    queued: bool = False

    def waiting(self) -> bool:
        return bool(self.again) or self.next < self.available


@dataclass(slots=True)
class _Worker:
    id: int
    held: dict[int, tuple[Assignment, _Task | _Job, float]] = field(default_factory=dict)
    load: float = 0.0
    taken: int = 0


class Scheduler:
    """See the module.

    Args:
        workers: how many workers the pool wants to have.
        max_tasks: a worker is replaced after this many assignments.
    """

    def __init__(self, workers: int, max_tasks: int | None = None) -> None:
        self._wanted = workers
        self._max_tasks = max_tasks
        self._queue: deque[_Task | _Job] = deque()
        self._jobs: dict[int, _Job] = {}
        self._workers: dict[int, _Worker] = {}
        self._idle: list[int] = []
        self._paces: dict[int, Pace] = {}
        self._returns: dict[tuple[int, int], int] = {}
        self._ids = count(1)
        self._closed = False
        self._retired: set[int] = set()
        self._handlers: dict[type, Callable[[Any, list[Instruction]], None]] = {
            TaskSubmitted: self._task_submitted,
            JobOpened: self._job_opened,
            JobGrew: self._job_grew,
            JobHalved: self._job_halved,
            JobDropped: self._job_dropped,
            WorkerReady: self._worker_ready,
            Finished: self._finished,
            WorkerGone: self._worker_gone,
            Closed: self._close,
            Abandoned: self._abandon,
        }

    def handle(self, event: Event) -> list[Instruction]:
        """Takes an event in; returns what is to be done, in this order."""
        out: list[Instruction] = []
        self._handlers[type(event)](event, out)
        return out

    @property
    def has_idle(self) -> bool:
        """Would a task that is submitted now start at once?"""
        return bool(self._idle) and not self._queue

    @property
    def busy(self) -> bool:
        """Is anything waiting or with a worker?"""
        return bool(self._queue) or any(w.held for w in self._workers.values())

    # Events.

    def _task_submitted(self, event: TaskSubmitted, out: list[Instruction]) -> None:
        self._queue.append(_Task(event.task, self._pace(event.key)))
        if self._idle:
            self._wake(out)

    def _job_opened(self, event: JobOpened, out: list[Instruction]) -> None:
        # Every job learns its own pace: the same function may be given other items.
        work = _Job(event.job, Pace(), event.chunk, event.most)
        self._jobs[event.job] = work
        self._job_grew(JobGrew(event.job, event.available), out)

    def _job_grew(self, event: JobGrew, out: list[Instruction]) -> None:
        work = self._jobs.get(event.job)
        if work is None:
            return
        work.available = max(work.available, event.available)
        if work.waiting() and not work.queued:
            work.queued = True
            self._queue.append(work)
        self._wake(out)

    def _job_halved(self, event: JobHalved, out: list[Instruction]) -> None:
        work = self._jobs.get(event.job)
        if work is None:
            return
        middle = (event.start + event.stop) // 2
        work.again[:0] = [(event.start, middle), (middle, event.stop)]
        if not work.queued:
            work.queued = True
            self._queue.appendleft(work)
        self._wake(out)

    def _job_dropped(self, event: JobDropped, out: list[Instruction]) -> None:
        work = self._jobs.pop(event.job, None)
        if work is not None and work.queued:
            self._queue.remove(work)
        self._end_if_done(out)

    def _worker_ready(self, event: WorkerReady, out: list[Instruction]) -> None:
        self._workers[event.worker] = _Worker(event.worker)
        self._idle.append(event.worker)
        self._wake(out)
        self._end_if_done(out)

    def _finished(self, event: Finished, out: list[Instruction]) -> None:
        worker = self._workers.get(event.worker)
        held = worker.held.pop(event.assignment, None) if worker else None
        if worker is None or held is None:
            return
        assignment, work, estimate = held
        worker.load -= estimate
        if event.nanoseconds is not None:
            work.pace.learn(max(1, assignment.stop - assignment.start), event.nanoseconds)
        if self._queue:
            self._fill(worker, out)
        if not worker.held:
            worker.load = 0.0
            if self._spent(worker):
                self._retire(worker, out)
                out.append(Start())
            else:
                self._idle.append(worker.id)
        if self._closed:
            self._end_if_done(out)

    def _worker_gone(self, event: WorkerGone, out: list[Instruction]) -> None:
        worker = self._workers.pop(event.worker, None)
        expected = event.worker in self._retired
        self._retired.discard(event.worker)
        if worker is not None:
            if event.worker in self._idle:
                self._idle.remove(event.worker)
            first = next(iter(worker.held), 0)
            for assignment, work, _ in reversed(worker.held.values()):
                if assignment.id == event.claimed or (
                    assignment.id == first and self._returns_too_often(assignment)
                ):
                    out.append(Lost(assignment))
                else:
                    self._put_back(assignment, work)
        if not expected and not (self._closed and not self.busy):
            out.append(Start())
        self._wake(out)
        self._end_if_done(out)

    def _close(self, _: Closed, out: list[Instruction]) -> None:
        self._closed = True
        self._end_if_done(out)

    def _abandon(self, _: Abandoned, out: list[Instruction]) -> None:
        self._queue.clear()
        self._jobs.clear()
        for worker in self._workers.values():
            worker.held.clear()

    # What they have in common.

    def _pace(self, key: int) -> Pace:
        pace = self._paces.get(key)
        if pace is None:
            if len(self._paces) >= _KEYS:
                self._paces.pop(next(iter(self._paces)))
            pace = self._paces[key] = Pace()
        return pace

    def _wake(self, out: list[Instruction]) -> None:
        """Gives every idle worker something while there is something."""
        while self._idle and self._queue:
            worker = self._workers[self._idle.pop()]
            self._assign(worker, self._queue[0], out)

    def _fill(self, worker: _Worker, out: list[Instruction]) -> None:
        """Gives a worker as much as the rule about time ahead allows."""
        # Topping up at every result would send one message per task.
        first = self._queue[0]
        if worker.held and worker.load > AHEAD_TASK_NS / 2 and type(first) is _Task:
            return
        while self._queue and not self._spent(worker):
            work = self._queue[0]
            if worker.held:
                if work.pace.mean is None:
                    return
                if isinstance(work, _Task):
                    ahead, estimate = AHEAD_TASK_NS, work.pace.peak
                else:
                    ahead, estimate = AHEAD_JOB_NS, self._next_size(work) * work.pace.mean
                if worker.load + max(estimate, 2000.0) > ahead:
                    return
            self._assign(worker, work, out)

    def _spent(self, worker: _Worker) -> bool:
        return self._max_tasks is not None and worker.taken >= self._max_tasks

    def _next_size(self, work: _Job) -> int:
        if work.again:
            return work.again[0][1] - work.again[0][0]
        left = work.available - work.next
        return chunk_size(left, self._wanted, work.pace, work.chunk, work.most)

    def _assign(self, worker: _Worker, work: _Task | _Job, out: list[Instruction]) -> None:
        """Hands out the head of the queue, or a chunk of it."""
        if isinstance(work, _Task):
            self._queue.popleft()
            # A task that is over in no time still costs about two microseconds.
            estimate = max(work.pace.peak, 2000.0)
            assignment = Assignment(next(self._ids), work.id, 0, 0)
        else:
            start, stop = self._cut(work)
            estimate = (stop - start) * max(work.pace.mean or 0.0, 2.0)
            assignment = Assignment(next(self._ids), work.id, start, stop)
        worker.held[assignment.id] = (assignment, work, estimate)
        worker.load += estimate
        worker.taken += 1
        out.append(Assign(worker.id, assignment))

    def _cut(self, job: _Job) -> tuple[int, int]:
        """Takes the next chunk out of the job at the head of the queue."""
        size = self._next_size(job)
        if job.again:
            start, stop = job.again.pop(0)
        else:
            start, stop = job.next, job.next + size
            job.next = stop
        if not job.waiting():
            job.queued = False
            self._queue.popleft()
        return start, stop

    def _returns_too_often(self, assignment: Assignment) -> bool:
        """Has this work come back unbegun, as the first that its worker would have begun,
        so often that it must be what ends the workers?"""
        key = (assignment.work, assignment.start)
        self._returns[key] = self._returns.get(key, 0) + 1
        return self._returns[key] >= _RETURNS

    def _put_back(self, assignment: Assignment, work: _Task | _Job) -> None:
        if isinstance(work, _Job):
            if work.id not in self._jobs:
                return  # dropped meanwhile
            work.again.insert(0, (assignment.start, assignment.stop))
            if work.queued:
                return
            work.queued = True
        self._queue.appendleft(work)

    def _retire(self, worker: _Worker, out: list[Instruction]) -> None:
        del self._workers[worker.id]
        self._retired.add(worker.id)
        out.append(Retire(worker.id))

    def _end_if_done(self, out: list[Instruction]) -> None:
        if self._closed and not self.busy:
            for worker in list(self._workers.values()):
                self._retire(worker, out)
            self._idle.clear()
