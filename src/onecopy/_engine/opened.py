"""A job of many items while its caller waits for it: opened, waited for, then dropped or
cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

from ..errors import TaskTimeout
from .busy import Waiting
from .engine import Engine
from .jobs import Job, MapJob, NoResult, StreamJob


class Opened:
    """A context manager for a job whose caller waits; always dropped at exit.

    If the wait is interrupted, by Ctrl-C or an exception of a signal handler, the running chunks
    are cancelled too: the next call needs the workers. This is a class and not a generator, which
    would set ``__traceback__`` on the error; some errors refuse that.
    """

    _open = False

    def __init__(self, engine: Engine, job: Job, size: int) -> None:
        self._engine = engine
        self._job = job
        self._size = size

    def __enter__(self) -> None:
        self._open = True
        self._engine.submission.open(self._job, self._size)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        job = self._job
        try:
            # The results of a map are raised after this block, those of a stream of items within
            # it.
            failed = not isinstance(job, MapJob) and issubclass(kind or Exception, Exception)
            if kind is None or (failed and not issubclass(kind, TaskTimeout)):
                self._engine.submission.drop(job.number)
            else:
                self._engine.submission.cancel_job(job)
            self._open = False
        finally:
            job.over()

    def __del__(self) -> None:
        # Ctrl-C may come at the block's very end, before ``__exit__`` has done anything.
        if self._open and self._job.number:
            self._engine.submission.cancel_job_later(self._job.number)


def each(job: StreamJob, waiting: Waiting, timeout: float | None = None) -> Iterator[Any]:
    """Yield the results of a job whose items are all there, one by one. Raises TaskTimeout if they
    are not there within ``timeout`` seconds."""
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        try:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            job.wait_next(left, meanwhile=waiting)
        except NoResult:
            assert timeout is not None
            raise job.late(timeout, job.settled, job.end or 0) from None
        if job.finished():  # checked now: the last ones may have been skipped
            return
        yield job.fetch()
