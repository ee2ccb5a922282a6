"""The notes of the scheduler about each waiting task, job and worker."""

from __future__ import annotations

from .chunks import TARGET_NS, TINY_NS, Pace
from .events import PLAIN, Assignment, Constraints


class Tasks:
    """Single tasks in the queue that were submitted one after the other, all of one key: one record
    for all of them, since a million may wait. It is kept with those that workers have.

    Attributes:
        id, stop: the tasks from ``id`` up to ``stop`` wait.
        together: several may be one assignment.
    """

    __slots__ = ("constraints", "id", "key", "pace", "stop", "together")

    def __init__(
        self,
        id: int,
        key: int,
        pace: Pace,
        constraints: Constraints = PLAIN,
        *,
        together: bool = False,
    ) -> None:
        self.id = id
        self.stop = id + 1
        self.key = key
        self.pace = pace
        self.constraints = constraints
        self.together = together

    def is_run(self) -> bool:
        """Return True if several of them may be one assignment."""
        return self.together and self.are_tiny()

    def are_tiny(self) -> bool:
        """Return True if each of them takes less time than waking a worker for it."""
        pace = self.pace
        return pace.mean is not None and pace.peak <= TINY_NS and not self.constraints.exclusive


class Job:
    """A job; it is in the queue while items of it wait.

    Attributes:
        next, available: items from ``next`` up to ``available`` wait.
        out: the number of items that workers have.
        grows: there are more to come, and their number is unknown.
        wary: this many of the items that come back are given out singly: a chunk was cut, and the
            items after the slow one may be slow too, even if the measured pace is quick.
        retryable: ranges of items that a worker had when it ended, before it started them.
    """

    __slots__ = (
        "again", "available", "chunk", "constraints", "grows", "id", "most", "next", "out", "pace",
        "queued", "wary",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        pace: Pace,
        chunk: int | None,
        most: int,
        constraints: Constraints,
        grows: bool,
    ) -> None:
        self.id = id
        self.pace = pace
        self.chunk = chunk
        self.most = most
        self.constraints = constraints
        self.grows = grows
        self.next = 0
        self.available = 0
        self.out = 0
        self.wary = 0
        self.again: list[tuple[int, int]] = []
        self.queued = False

    def waiting(self) -> bool:
        return bool(self.again) or self.next < self.available

    def take(self, size: int) -> tuple[int, int]:
        """Take the next items out of those that wait: first those that a worker has had."""
        if not self.again:
            start, self.next = self.next, self.next + size
            return start, self.next
        self.wary = max(0, self.wary - 1)
        start, last = self.again.pop(0)
        if start + size < last:
            self.again.insert(0, (start + size, last))
        return start, start + size

    def left(self) -> int:
        """Return how many items wait."""
        fresh = self.available - self.next
        return fresh + sum(stop - start for start, stop in self.again) if self.again else fresh


Held = tuple[Assignment, Tasks | Job, float]
"""An assignment that a worker has: what it is of, and the estimated nanoseconds."""


class Worker:
    __slots__ = (
        "aim",
        "ending",
        "exclusive",
        "held",
        "id",
        "items",
        "load",
        "taken",
        "trip",
        "whole",
    )

    def __init__(self, id: int) -> None:
        self.id = id
        self.aim = TARGET_NS  # that a chunk of it should take
        self.held: dict[int, Held] = {}
        self.load = 0.0
        self.items = 0  # of jobs
        self.taken = 0
        self.trip = 0  # nanoseconds, there and back
        self.whole = 0  # an assignment known to have been started to its end
        self.exclusive = False
        self.ending = False

    def ended(self) -> int:
        """Return how many tasks and chunks it has ended."""
        return self.taken - sum(map(count_of, self.held.values()))


def no_longer_out(assignment: Assignment, work: Tasks | Job) -> int:
    """Note that these items of a job are not with a worker any more; return their number."""
    if type(work) is not Job:
        return 0
    size = assignment.stop - assignment.start
    work.out -= size
    return size


def can_be_cut(assignment: Assignment, work: Tasks | Job) -> bool:
    """Return True for what was put together here; the user's own chunks are not cut."""
    several = assignment.stop - assignment.start > 1
    return several and (isinstance(work, Tasks) or work.chunk is None)


def count_of(held: Held) -> int:
    """Return how many tasks an assignment counts for; a chunk counts as one."""
    assignment, work, _ = held
    return assignment.stop if assignment.stop and type(work) is Tasks else 1
