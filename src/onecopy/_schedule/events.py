"""The scheduler's events and instructions, all of them frozen.

Named tuples rather than frozen dataclasses: they are created for every task, in a quarter of the
time.
"""

from typing import NamedTuple


class Assignment(NamedTuple):
    """Work that one worker has: a task, or a range of a job's items.

    Attributes:
        id: counts up over the pool's life, so it can be compared with ``claimed``.
        work: the task's or the job's id.
        start, stop: the items of the job; both 0 for a task; of a run of tasks 0 and their number,
            and ``work`` is the first. What is cut keeps its id.
    """

    id: int
    work: int
    start: int
    stop: int


# Events.


class Constraints(NamedTuple):
    """Constraints of a piece of work.

    Attributes:
        exclusive: its worker holds nothing else meanwhile, so that worker can be killed for it.
        retryable: it may be retried: an assignment of it that has ended, in whatever way, stays
            open until ``Retry`` or ``Done``.
    """

    exclusive: bool = False
    retryable: bool = False


PLAIN = Constraints()


class TaskSubmitted(NamedTuple):
    """A single task was submitted. Tasks with the same ``key`` are expected to take as long."""

    task: int
    key: int
    constraints: Constraints = PLAIN


class JobOpened(NamedTuple):
    """A job was opened: many items of one function, of which ``available`` may be given out
    already. With ``grows`` there are more to come, until it has grown for the last time or is
    dropped."""

    job: int
    key: int
    available: int
    chunk: int | None
    most: int
    constraints: Constraints = PLAIN
    grows: bool = False


class JobGrew(NamedTuple):
    """Items up to ``available`` may be given out from now on; ``last``: there will be no more."""

    job: int
    available: int
    last: bool = False


class JobHalved(NamedTuple):
    """Items that were given out together could not be sent, and none was run: each half is given
    out by itself."""

    job: int
    start: int
    stop: int


class JobDropped(NamedTuple):
    """The rest of the job's items is not wanted any more."""

    job: int


class Retry(NamedTuple):
    """An assignment that has ended is retried: all of it, or these ranges of items."""

    assignment: int
    runs: tuple[tuple[int, int], ...] = ()


class Done(NamedTuple):
    """An assignment that has ended is not retried."""

    assignment: int


class WorkerReady(NamedTuple):
    """A worker is ready and waits for work."""

    worker: int


class Distant(NamedTuple):
    """Messages to a worker that is ready and back take ``nanoseconds``: it is on another machine."""

    worker: int
    nanoseconds: int


class Finished(NamedTuple):
    """A worker has finished an assignment after ``nanoseconds`` (None: it was not run)."""

    worker: int
    assignment: int
    nanoseconds: int | None


class Requeued(NamedTuple):
    """A worker will not run these assignments, which it has not started: they wait again."""

    worker: int
    assignments: tuple[int, ...]


class Cut(NamedTuple):
    """A worker that has run a chunk, or a run of tasks, for ``nanoseconds`` will run only the items
    before ``stop``, which it has started. Those after, if any, wait again. None: the worker ended the chunk itself.
    ``singly``: the job's items are given out one by one from now on."""

    worker: int
    assignment: int
    stop: int
    nanoseconds: int | None
    singly: bool = False


class WorkerEnding(NamedTuple):
    """A worker is about to be ended: it gets no more work."""

    worker: int


class WorkerGone(NamedTuple):
    """A worker has ended. ``claimed`` is the last assignment that it had started. With ``all``,
    everything that it had started and not answered is lost."""

    worker: int
    claimed: int
    all: bool = False


class Ahead(NamedTuple):
    """Workers that have been given the first chunks of a job may be sent more, as at a result."""


class Overdue(NamedTuple):
    """Tasks have waited for a busy worker for too long although others are idle."""


class Closed(NamedTuple):
    """No more work will come, except of jobs that still grow; the workers exit after it."""


class Abandoned(NamedTuple):
    """Everything that waits or is with a worker was given up."""


Event = (
    TaskSubmitted
    | JobOpened
    | JobGrew
    | JobHalved
    | JobDropped
    | Retry
    | Done
    | WorkerReady
    | Distant
    | Finished
    | Requeued
    | Cut
    | WorkerEnding
    | WorkerGone
    | Overdue
    | Ahead
    | Closed
    | Abandoned
)

# Instructions.


class Assign(NamedTuple):
    """Send this assignment to that worker, after what it was sent before."""

    worker: int
    assignment: Assignment


class AssignRun(NamedTuple):
    """The same for several tasks whose ids follow on each other."""

    worker: int
    assignment: Assignment


class Lost(NamedTuple):
    """An assignment has failed: its worker, which had started it, has ended."""

    assignment: Assignment


class Retire(NamedTuple):
    """End a worker, which has nothing to do."""

    worker: int


class Start(NamedTuple):
    """Start another worker."""


Instruction = Assign | AssignRun | Lost | Retire | Start
