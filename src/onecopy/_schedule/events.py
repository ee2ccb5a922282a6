"""What happens to the scheduler, and what it asks for: all of it frozen.

Named tuples rather than frozen dataclasses: they are made for every task, and take a
quarter of the time to make.
"""

from __future__ import annotations

from typing import NamedTuple


class Assignment(NamedTuple):
    """Work that is with one worker: a task, or a run of items of a job.

    Attributes:
        id: counts up over the pool's life, so ``claimed`` can be compared with it.
        work: the task's or the job's id.
        start, stop: the items of the job; both 0 for a task. A chunk that is cut keeps its id.
    """

    id: int
    work: int
    start: int
    stop: int


# Events.


class Constraints(NamedTuple):
    """What is particular about a piece of work.

    Attributes:
        exclusive: its worker holds nothing else meanwhile, so the worker can be ended for it.
        retryable: it may be run once more: when an assignment of it has ended, in whatever
            way, it stays open until ``Retry`` or ``Done``.
    """

    exclusive: bool = False
    retryable: bool = False


PLAIN = Constraints()


class TaskSubmitted(NamedTuple):
    """A single task. ``key`` says which others it is likely to take as long as."""

    task: int
    key: int
    constraints: Constraints = PLAIN


class JobOpened(NamedTuple):
    """Many items of one function, of which ``available`` may be handed out already. With
    ``grows`` there are more to come, until it has grown for the last time or is dropped."""

    job: int
    key: int
    available: int
    chunk: int | None
    most: int
    constraints: Constraints = PLAIN
    grows: bool = False


class JobGrew(NamedTuple):
    """Items up to ``available`` may be handed out from now on; ``last``: and no more."""

    job: int
    available: int
    last: bool = False


class JobHalved(NamedTuple):
    """Items that were handed out together could not be sent together, and none was run:
    each half is handed out by itself."""

    job: int
    start: int
    stop: int


class JobDropped(NamedTuple):
    """Nobody wants the rest of the job's items."""

    job: int


class Retry(NamedTuple):
    """An assignment that has ended is run once more: all of it, or these runs of items."""

    assignment: int
    runs: tuple[tuple[int, int], ...] = ()


class Done(NamedTuple):
    """An assignment that has ended is not run again."""

    assignment: int


class WorkerReady(NamedTuple):
    """A worker has been set up and waits for work."""

    worker: int


class Finished(NamedTuple):
    """A worker has finished an assignment after ``nanoseconds`` (None: it was not run)."""

    worker: int
    assignment: int
    nanoseconds: int | None


class Requeued(NamedTuple):
    """These have not been begun, and will not be by this worker: they wait again."""

    worker: int
    assignments: tuple[int, ...]


class Cut(NamedTuple):
    """A worker that has been at a chunk for ``nanoseconds`` will run no more of it than the
    items up to ``stop``, which it has begun with: those behind, if any, wait again. None: it
    ended the chunk by itself. ``singly``: the job's items go one by one from now on."""

    worker: int
    assignment: int
    stop: int
    nanoseconds: int | None
    singly: bool = False


class WorkerEnding(NamedTuple):
    """A worker is about to be ended: it gets no more work."""

    worker: int


class WorkerGone(NamedTuple):
    """A worker has ended. ``claimed`` is the last assignment that it had begun with; with
    ``all``, whatever it had begun and not been heard of is lost."""

    worker: int
    claimed: int
    all: bool = False


class Closed(NamedTuple):
    """No more work will come, but for what jobs still grow by; the workers go when all is
    done."""


class Abandoned(NamedTuple):
    """Whatever waits or is with a worker has been given up."""


Event = (
    TaskSubmitted
    | JobOpened
    | JobGrew
    | JobHalved
    | JobDropped
    | Retry
    | Done
    | WorkerReady
    | Finished
    | Requeued
    | Cut
    | WorkerEnding
    | WorkerGone
    | Closed
    | Abandoned
)

# Instructions.


class Assign(NamedTuple):
    """Send this to that worker, behind what it was sent before."""

    worker: int
    assignment: Assignment


class Lost(NamedTuple):
    """The assignment was begun by a worker that is gone: it has failed."""

    assignment: Assignment


class Retire(NamedTuple):
    """The worker is to end; it has nothing to do."""

    worker: int


class Start(NamedTuple):
    """Another worker is needed."""


Instruction = Assign | Lost | Retire | Start
