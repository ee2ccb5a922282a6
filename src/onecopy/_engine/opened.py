"""A job of many items while its caller waits for it: opened, waited for, dropped or given up."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

from ..errors import TaskTimeout
from .busy import Waiting
from .engine import Engine
from .jobs import Job, MapJob, NoResult, StreamJob


class Opened:
    """A job while somebody waits for it; dropped on the way out, whatever happens.

    When the wait is interrupted, by Ctrl-C or by what a signal's handler raises, what workers
    are at is given up too: they are wanted for the next call. A class, and no generator: that
    would set ``__traceback__`` on the error, which some errors refuse.
    """

    def __init__(self, engine: Engine, job: Job, size: int) -> None:
        self._engine = engine
        self._job = job
        self._size = size

    def __enter__(self) -> None:
        try:
            self._job.show()
            self._engine.open(self._job, self._size)
        except BaseException:
            self._engine.give_up(self._job)  # it may be open
            self._job.over()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        job = self._job
        try:
            # The results of a map are raised after this, those of a stream of items within.
            failed = not isinstance(job, MapJob) and issubclass(kind or Exception, Exception)
            if kind is None or (failed and not isinstance(error, TaskTimeout)):
                self._engine.drop(job.number)
            else:
                self._engine.give_up(job)
        finally:
            job.over()


def each(job: StreamJob, waiting: Waiting, timeout: float | None = None) -> Iterator[Any]:
    """The results of a job whose items are all there, one by one. Raises TaskTimeout when they
    are not within so many seconds."""
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        try:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            job.wait_next(left, meanwhile=waiting)
        except NoResult:
            assert timeout is not None
            raise job.late(timeout, job.settled, job.end or 0) from None
        if job.finished():  # looked at now: the last ones may have been skipped
            return
        yield job.fetch()
