"""The scheduler: a pure state machine that decides which worker does what next.

``handle`` takes one event and returns instructions; so do ``submitted`` and ``finished``, which are
called for every task and take the event's fields. There is no clock, no socket, no process and no
lock in here. ``_engine.core`` calls ``handle`` with its own lock held, and carries the instructions
out; the engine measures times.

The rules:

- First come, first served; a waiting task goes to an idle worker if there is one.
- A worker that has just finished something is given the next work at once. It gets more than
  one piece while its whole queue is estimated to take less than a millisecond (single tasks)
  or two chunks (jobs): tiny tasks are sent in batches, and long ones never wait behind each
  other while another worker is idle. Work of unknown length is given out singly. For a worker on
  another machine the time that messages are under way comes on top (``Distant``). The same is true
  at the beginning of a job (``Ahead``), once every idle worker has its first chunk.
- A chunk is at most a fair share of the unfinished items of its job, and beyond one chunk
  ahead a worker holds no more than that share: the last items may be the slow ones.
- An estimate may be wrong, and a task may even wait for one that was put behind it. If an idle
  worker has nothing else to do, work is taken back from behind something long, and so is the
  rest of a long chunk (``blocked_workers``; the engine measures how long it takes).
- A single task that is known to be tiny waits for a worker that has others like it, even if one is
  idle, while there is less of such work than a fraction of a millisecond. If it has waited for
  longer (``held_back``; the engine measures), it goes to an idle worker after all.
- Tiny tasks of one kind are given out in runs: one assignment for many, at most half of the
  millisecond. Each is a task by itself if it is lost, taken back or counted.
- Exclusive work is never put behind other work, and no work is put behind it.
- When a worker ends, the assignment that it had started is lost, and no other: the rest of
  what it was sent goes back to the head of the queue.
- Retryable work that has ended stays open until it is decided whether it is retried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from .chunks import AHEAD_CHUNKS, AHEAD_TASK_NS, BEHIND_NS, LEAST_TASK_NS, Paces, target
from .events import (
    Abandoned,
    Ahead,
    Assign,
    Assignment,
    AssignRun,
    Closed,
    Constraints,
    Cut,
    Distant,
    Done,
    Event,
    Finished,
    Instruction,
    JobDropped,
    JobGrew,
    JobHalved,
    JobOpened,
    Lost,
    Overdue,
    Requeued,
    Retire,
    Retry,
    Start,
    TaskSubmitted,
    WorkerEnding,
    WorkerGone,
    WorkerReady,
)
from .records import Job, Tasks, Worker, can_be_cut, count_of, no_longer_out
from .sizes import Sizes

# What a named tuple's own ``__new__`` does, without the call.
_new = tuple.__new__
# Work is lost if this many workers ended before they started it.
_RETURNS = 5


class Scheduler:
    """See the module.

    Args:
        workers: the number of workers that the pool should have.
        max_tasks: a worker is replaced after this many assignments.
        ahead: send a worker more work before it has finished what it has.
        holds: let tiny tasks wait for a busy worker; the engine asks ``held_back`` while ``held``.

    Attributes:
        held: tasks may wait although a worker is idle.
        idle: the workers that have nothing; other threads may look whether there are any, and here:
        quick: those that have tiny tasks alone, as far as is known: others may wait for them.
    """

    def __init__(
        self,
        workers: int,
        max_tasks: int | None = None,
        *,
        ahead: bool = True,
        holds: bool = False,
    ) -> None:
        self.held: bool = False
        self._sizes = Sizes(workers, ahead=ahead)
        # When workers are replaced, it is unknown when the next one is ready.
        self._holds = holds and max_tasks is None
        self._max_tasks = max_tasks
        self._queue: deque[Tasks | Job] = deque()
        self._waiting = 0  # single tasks in the queue
        self._jobs: dict[int, Job] = {}
        self._growing: set[int] = set()  # jobs
        self._workers: dict[int, Worker] = {}
        self._busy: dict[int, Worker] = {}  # those that hold something
        self.idle: list[int] = []
        self.quick: set[int] = set()
        self._paces = Paces()
        self._returns: dict[tuple[int, int], int] = {}
        # Assignments that have ended and may be retried.
        self._open: dict[int, tuple[Assignment, Tasks | Job]] = {}
        self._ids = count(1)
        self._closed = False
        self._retired: set[int] = set()
        self._handlers: dict[type, Callable[[Any, list[Instruction]], None]] = {
            TaskSubmitted: lambda event, out: out.extend(self.submitted(*event)),
            JobOpened: self._job_opened,
            JobGrew: self._job_grew,
            JobHalved: self._job_halved,
            JobDropped: self._job_dropped,
            Retry: self._again,
            Done: self._settled,
            WorkerReady: self._worker_ready,
            Distant: self._is_distant,
            Ahead: self._fill_all,
            Finished: lambda event, out: out.extend(self.finished(*event)),
            Requeued: self._taken_back,
            Cut: self._was_cut,
            WorkerEnding: self._worker_ending,
            WorkerGone: self._worker_gone,
            Closed: self._close,
            Overdue: self._overdue,
            Abandoned: self._abandon,
        }

    def handle(self, event: Event) -> list[Instruction]:
        """Handle an event; return the instructions that follow from it, in order."""
        out: list[Instruction] = []
        self._handlers[type(event)](event, out)
        return out

    @property
    def busy(self) -> bool:
        """True if anything is waiting, with a worker, open, or still to come."""
        if self._queue or self._open or self._growing:
            return True
        return bool(self._busy)

    @property
    def queued(self) -> bool:
        """True if anything waits for a worker."""
        return bool(self._queue)

    def blocked_workers(self) -> list[tuple[int, int, float]]:
        """Return workers that hold work which an idle one could start at once, what each of them is
        running, and how many nanoseconds that was estimated to take."""
        if not self.idle or self._queue:
            return []
        found = []
        for worker in self._busy.values():
            if not worker.ending:
                head, work, estimate = next(iter(worker.held.values()))
                cut = head.id != worker.whole and can_be_cut(head, work)
                if cut or len(worker.held) > 1:
                    found.append((worker.id, head.id, estimate))
        return found

    def submitted(
        self,
        task: int,
        key: int,
        constraints: Constraints,
        *,
        waits: bool = False,
        run: int = 0,
        first: bool = False,
    ) -> list[Instruction]:
        """Handle a ``TaskSubmitted``, without creating one: there are many. ``waits``: it may wait
        for a busy worker although another is idle. ``run``: this number of tasks from it on, to be
        given out together, with others too; ``first``: not with those before."""
        work = self._put_last(task, key, constraints, run, first)
        out: list[Instruction] = []
        if self.idle:
            if waits and self._holds and work.are_tiny():
                self._wake_few(work, out, BEHIND_NS if self.quick else 0)
            else:
                self._wake(out)
        return out

    def held_back(self) -> int | None:
        """Return the first task of those that wait although a worker is idle; None if none do."""
        if self._queue and self.idle:
            return self._queue[0].id
        self.held = False
        return None

    def finished(self, number: int, id: int, nanoseconds: int | None) -> list[Instruction]:
        """Handle a ``Finished``, without creating one."""
        out: list[Instruction] = []
        worker = self._workers.get(number)
        held = worker.held.pop(id, None) if worker else None
        if worker is None or held is None:
            return out
        assignment, work, estimate = held
        worker.load -= estimate
        size = assignment.stop - assignment.start
        if size:
            worker.items -= no_longer_out(assignment, work)
        if work.constraints.retryable:
            self._open[id] = assignment, work
        if nanoseconds is not None:
            work.pace.learn(size or 1, nanoseconds)
        if self._queue:
            self._fill(worker, out)
        if not worker.held:
            self._now_idle(worker, out)
        if self._closed:
            self._end_if_done(out)
        return out

    def advanced(self, number: int, id: int, took: Sequence[int]) -> None:
        """Learn from tasks of a run, which goes on: the nanoseconds that they took."""
        worker = self._workers.get(number)
        if worker is not None and id in worker.held:
            worker.held[id][1].pace.learn_tasks(took)

    def ended_by_worker(self) -> dict[int, int]:
        """Return how many tasks and chunks each worker has ended."""
        return {id: worker.ended() for id, worker in self._workers.items()}

    # Events.

    def _job_opened(self, event: JobOpened, out: list[Instruction]) -> None:
        pace = self._paces.of_job(event.key)
        work = Job(event.job, pace, event.chunk, event.most, event.constraints, event.grows)
        self._jobs[event.job] = work
        if event.grows:
            self._growing.add(event.job)
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
        if event.last:
            work.grows = False
            self._growing.discard(event.job)
            self._end_if_done(out)

    def _job_halved(self, event: JobHalved, out: list[Instruction]) -> None:
        work = self._jobs.get(event.job)
        if work is None:
            return
        middle = (event.start + event.stop) // 2
        self._put_back(work, middle, event.stop)
        self._put_back(work, event.start, middle)
        self._wake(out)

    def _job_dropped(self, event: JobDropped, out: list[Instruction]) -> None:
        work = self._jobs.pop(event.job, None)
        self._growing.discard(event.job)
        if work is not None and work.queued:
            self._queue.remove(work)
        self._end_if_done(out)

    def _again(self, event: Retry, out: list[Instruction]) -> None:
        found = self._open.pop(event.assignment, None)
        if found is not None:
            assignment, work = found
            if isinstance(work, Tasks):
                self._put_last(assignment.work, work.key, work.constraints)
            else:
                for run in reversed(event.runs or ((assignment.start, assignment.stop),)):
                    self._put_back(work, *run)
            self._wake(out)
        self._end_if_done(out)

    def _settled(self, event: Done, out: list[Instruction]) -> None:
        self._open.pop(event.assignment, None)
        self._end_if_done(out)

    def _worker_ready(self, event: WorkerReady, out: list[Instruction]) -> None:
        self._workers[event.worker] = Worker(event.worker)
        self.idle.append(event.worker)
        self._wake(out)
        self._end_if_done(out)

    def _taken_back(self, event: Requeued, out: list[Instruction]) -> None:
        worker = self._workers.get(event.worker)
        if worker is None:
            return
        for number in reversed(event.assignments):
            held = assignment, work, estimate = worker.held.pop(number)
            worker.load -= estimate
            worker.items -= no_longer_out(assignment, work)
            worker.taken -= count_of(held)
            self._come_back(assignment, work)
        self._wake(out)
        if event.assignments and not worker.held:
            # It had not started anything: it was waiting for a CPU. The others come first.
            self._now_idle(worker, out)
            self._wake(out)

    def _was_cut(self, event: Cut, out: list[Instruction]) -> None:
        worker = self._workers.get(event.worker)
        held = worker.held.get(event.assignment) if worker else None
        if worker is None or held is None:
            return
        assignment, work, estimate = held
        if event.stop == assignment.stop:
            worker.whole = assignment.id
            return
        worker.held[assignment.id] = assignment._replace(stop=event.stop), work, estimate
        if isinstance(work, Tasks):
            worker.taken -= assignment.stop - event.stop
            if event.nanoseconds is not None:
                work.pace.learn(1, event.nanoseconds)
            self._come_back(assignment._replace(start=event.stop), work)
            self._wake(out)
            return
        worker.items -= no_longer_out(assignment._replace(start=event.stop), work)
        if event.singly:
            work.most = 1
        if event.nanoseconds is not None:
            # The known pace is older than this: the rest must not be given out by it.
            work.pace.learn(event.stop - assignment.start, event.nanoseconds)
            work.wary = 2 * self._sizes.workers
        self._put_back(work, event.stop, assignment.stop)
        self._wake(out)

    def _worker_ending(self, event: WorkerEnding, out: list[Instruction]) -> None:
        worker = self._workers.get(event.worker)
        if worker is not None:
            worker.ending = True
            if event.worker in self.idle:
                self.idle.remove(event.worker)

    def _worker_gone(self, event: WorkerGone, out: list[Instruction]) -> None:
        worker = self._workers.pop(event.worker, None)
        self._busy.pop(event.worker, None)
        self.quick.discard(event.worker)
        expected = event.worker in self._retired
        self._retired.discard(event.worker)
        if worker is not None:
            if event.worker in self.idle:
                self.idle.remove(event.worker)
            first = next(iter(worker.held), 0)
            for assignment, work, _ in reversed(worker.held.values()):
                no_longer_out(assignment, work)
                # A worker starts assignments in the order of their ids.
                begun = assignment.id == event.claimed or (
                    event.all and assignment.id < event.claimed
                )
                if begun or (assignment.id == first and self._returns_too_often(assignment)):
                    if work.constraints.retryable:
                        self._open[assignment.id] = assignment, work
                    out.append(Lost(assignment))
                else:
                    self._come_back(assignment, work)
        if not expected and not (self._closed and not self.busy):
            out.append(Start())
        self._wake(out)
        self._end_if_done(out)

    def _overdue(self, _: Overdue, out: list[Instruction]) -> None:
        self.quick.clear()  # they are at something longer
        first = self._queue[0] if self._queue else None
        if type(first) is Tasks and first.is_run():
            self._wake_few(first, out, 0)  # not as many workers as there are tasks
        else:
            self._wake(out)

    def _close(self, _: Closed, out: list[Instruction]) -> None:
        self._closed = True
        self._end_if_done(out)

    def _abandon(self, _: Abandoned, out: list[Instruction]) -> None:
        self._queue.clear()
        self._waiting = 0
        self._jobs.clear()
        self._growing.clear()
        self._open.clear()
        for worker in self._busy.values():
            worker.held.clear()
        self._busy.clear()

    # Helpers.

    def _put_last(
        self, task: int, key: int, constraints: Constraints, run: int = 0, first: bool = False
    ) -> Tasks:
        """Put a single task, or a run of them, behind all that waits; return its record."""
        size, together = run or 1, run > 0
        self._waiting += size
        last = self._queue[-1] if self._queue else None
        if (
            type(last) is Tasks
            and last.stop == task
            and last.key == key
            and last.together == together
            and last.constraints == constraints
            and not first
        ):
            last.stop += size
            return last
        work = Tasks(task, key, self._paces.of_tasks(key), constraints, together=together)
        work.stop = task + size
        self._queue.append(work)
        return work

    def _wake(self, out: list[Instruction]) -> None:
        """Give every idle worker something while there is something."""
        while self.idle and self._queue:
            worker = self._workers[self.idle.pop()]
            self._assign(worker, self._queue[0], out)

    def _wake_few(self, last: Tasks, out: list[Instruction], least: int) -> None:
        """Give tiny tasks to as few idle workers as they need: to none while there are fewer
        nanoseconds of them than ``least``. Waking a worker costs more than such a task takes."""
        each = max(last.pace.mean or 0.0, LEAST_TASK_NS)
        while self.idle and self._queue and self._waiting * each >= least:
            worker, first = self._workers[self.idle.pop()], self._queue[0]
            if not (type(first) is Tasks and first.is_run()):
                self._assign(worker, first, out)
            if self._queue:
                self._fill(worker, out)
        self.held = self.held or bool(self.idle and self._queue)

    def _is_distant(self, event: Distant, out: list[Instruction]) -> None:
        worker = self._workers.get(event.worker)
        if worker is not None:
            worker.trip = event.nanoseconds
            worker.aim = target(event.nanoseconds)

    def _fill(self, worker: Worker, out: list[Instruction]) -> None:
        """Give a worker as much as the rule about time ahead allows."""
        # Topping up at every result would send one message per task.
        first = self._queue[0]
        if worker.held and worker.load > AHEAD_TASK_NS / 2 + worker.trip and type(first) is Tasks:
            return
        while self._queue and not self._spent(worker) and not worker.ending:
            work, size = self._queue[0], 0
            if worker.held or (type(work) is Tasks and work.is_run()):
                if (
                    not self._sizes.ahead
                    or work.pace.mean is None
                    or worker.exclusive
                    or work.constraints.exclusive
                ):
                    return
                if isinstance(work, Tasks):
                    room = AHEAD_TASK_NS + worker.trip - worker.load
                    many = int(room / max(work.pace.peak, LEAST_TASK_NS))
                    if many < 1:
                        return
                    if self._max_tasks is not None:
                        many = min(many, self._max_tasks - worker.taken)
                    self._assign_tasks(worker, work, min(many, work.stop - work.id), out)
                    continue
                size = self._sizes.next(work, worker)
                if len(worker.held) > 1 and worker.items + size > self._sizes.fair(work):
                    return
                estimate = size * work.pace.mean
                room = AHEAD_CHUNKS * worker.aim + worker.trip - worker.load
                if max(estimate, LEAST_TASK_NS) > room:
                    return
            self._assign(worker, work, out, size)

    def _fill_all(self, _: Ahead, out: list[Instruction]) -> None:
        for worker in list(self._busy.values()):
            if self._queue:
                self._fill(worker, out)

    def _now_idle(self, worker: Worker, out: list[Instruction]) -> None:
        """Note that a worker holds nothing any more."""
        self._busy.pop(worker.id, None)
        self.quick.discard(worker.id)
        worker.load = 0.0
        worker.exclusive = False
        if worker.ending:
            return
        if self._max_tasks is not None and self._spent(worker):
            self._retire(worker, out)
            out.append(Start())
        else:
            self.idle.append(worker.id)

    def _spent(self, worker: Worker) -> bool:
        return self._max_tasks is not None and worker.taken >= self._max_tasks

    def _assign(
        self, worker: Worker, work: Tasks | Job, out: list[Instruction], size: int = 0
    ) -> None:
        """Give out the head of the queue, or a chunk of it; ``size``: where it is known."""
        if isinstance(work, Tasks):
            self._assign_tasks(worker, work, 1, out)
            return
        self.quick.discard(worker.id)
        start, stop = self._cut(work, size or self._sizes.next(work, worker))
        work.out += stop - start
        estimate = (stop - start) * max(work.pace.mean or 0.0, 2.0)
        assignment = _new(Assignment, (next(self._ids), work.id, start, stop))
        if not worker.held:
            self._busy[worker.id] = worker
        worker.held[assignment.id] = (assignment, work, estimate)
        worker.load += estimate
        worker.items += stop - start
        worker.taken += 1
        worker.exclusive = work.constraints.exclusive
        out.append(_new(Assign, (worker.id, assignment)))

    def _assign_tasks(
        self, worker: Worker, tasks: Tasks, many: int, out: list[Instruction]
    ) -> None:
        """Give out this many of the tasks at the head of the queue."""
        estimate = max(tasks.pace.peak, LEAST_TASK_NS)
        held, ids, first = worker.held, self._ids, tasks.id
        if not held:
            self._busy[worker.id] = worker
        if not tasks.are_tiny():
            self.quick.discard(worker.id)
        elif not held:
            self.quick.add(worker.id)
        # Half of what it may have: the next run comes when the first ends, and it has another then.
        most = int(AHEAD_TASK_NS / 2 / estimate) if tasks.is_run() else 1
        for start in range(0, many, most):
            number, size = next(ids), min(most, many - start)
            several = size if size > 1 else 0
            assignment = _new(Assignment, (number, first + start, 0, several))
            held[number] = (assignment, tasks, size * estimate)
            kind: Any = AssignRun if several else Assign
            out.append(_new(kind, (worker.id, assignment)))
        worker.load += many * estimate
        worker.taken += many
        worker.exclusive = tasks.constraints.exclusive
        self._waiting -= many
        tasks.id += many
        if tasks.id == tasks.stop:
            self._queue.popleft()

    def _cut(self, job: Job, size: int) -> tuple[int, int]:
        """Take the next chunk out of the job at the head of the queue."""
        run = job.take(size)
        if not job.waiting():
            job.queued = False
            self._queue.popleft()
        return run

    def _returns_too_often(self, assignment: Assignment) -> bool:
        """Return True if this work has come back unstarted from the head of enough dead workers'
        queues that it probably kills them."""
        key = (assignment.work, assignment.start)
        self._returns[key] = self._returns.get(key, 0) + 1
        return self._returns[key] >= _RETURNS

    def _come_back(self, assignment: Assignment, work: Tasks | Job) -> None:
        """Put an assignment that was not started back at the head of the queue."""
        if isinstance(work, Tasks):
            start, stop = assignment.start, assignment.stop or 1
            self._waiting += stop - start
            first = assignment.work + start
            back = Tasks(first, work.key, work.pace, work.constraints, together=work.together)
            back.stop = assignment.work + stop
            self._queue.appendleft(back)
        else:
            self._put_back(work, assignment.start, assignment.stop)

    def _put_back(self, job: Job, start: int, stop: int) -> None:
        """Put these items first from now on, unless the job was dropped meanwhile."""
        if job.id in self._jobs:
            job.again.insert(0, (start, stop))
            if not job.queued:
                job.queued = True
                self._queue.appendleft(job)

    def _retire(self, worker: Worker, out: list[Instruction]) -> None:
        del self._workers[worker.id]
        self._retired.add(worker.id)
        out.append(Retire(worker.id))

    def _end_if_done(self, out: list[Instruction]) -> None:
        if self._closed and not self.busy:
            for worker in list(self._workers.values()):
                self._retire(worker, out)
            self.idle.clear()
