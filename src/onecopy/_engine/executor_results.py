"""What ``ProcessPoolExecutor.map`` returns: iterators over results, in order."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

from .._observe.diary import ITERABLE
from .busy import Waiting
from .engine import Engine
from .jobs import NoResult, StreamJob


class Results(Iterator[Any]):
    """What ``map`` returns. All its items are there, and are run whether or not anybody
    asks for a result; an iterator that was begun and is given up takes the rest back."""

    def __init__(
        self, engine: Engine, job: StreamJob, deadline: float | None, available: int
    ) -> None:
        self._engine = engine
        self._job = job
        self._deadline = deadline
        self._ended = False
        self._begun = False
        job.called = "map"
        engine.submission.open(job, available)
        # A finalizer may run anywhere: both only leave word.
        self._drop = partial(engine.submission.drop_later, job.number)
        self._finalizer: weakref.finalize[..., Any] = weakref.finalize(
            self, job.forsake, available, self._drop
        )
        self._finalizer.atexit = False

    def __next__(self) -> Any:
        if self._ended:
            raise StopIteration
        try:
            if not self._begun:
                self._begun = True
                self._finalizer.detach()
                self._finalizer = weakref.finalize(self, self._drop)
                self._finalizer.atexit = False
            left = None if self._deadline is None else max(0.0, self._deadline - monotonic())
            self._feed()
            self._job.wait_next(left, Waiting(self._engine.core, self._job))
        except NoResult as error:
            self.close()
            raise TimeoutError(str(error)) from None
        except BaseException as error:
            self.close()
            if not isinstance(error, Exception):  # Ctrl-C: the workers are wanted now
                self._engine.submission.cancel_job(self._job)
            raise
        try:
            return self._job.fetch()
        except BaseException:
            self.close()
            raise

    def _feed(self) -> None:
        """Everything is there."""

    def close(self) -> None:
        """There will be no more results; what has not begun is not run."""
        self._ended = True
        self._finalizer()


class Buffered(Results):
    """The same with a ``buffersize``: takes its items one task after another, in the
    caller's thread. ``check_open`` is the executor's own method, and so holds the executor, which
    would otherwise close in the middle of it."""

    def __init__(
        self,
        check_open: Callable[[], None],
        engine: Engine,
        job: StreamJob,
        deadline: float | None,
        chunk: int,
        buffer: int,
    ) -> None:
        self._check_open = check_open
        self._chunk = chunk
        _take(job, chunk * buffer)
        super().__init__(engine, job, deadline, job.items.taken)

    def _feed(self) -> None:
        job = self._job
        if job.end is None and job.yielded % self._chunk == 0:
            before = job.items.taken
            with self._engine.history.diary.at(ITERABLE):
                _take(job, self._chunk)
            job.items.forget(job.settled)
            if job.items.taken > before:
                self._check_open()
                self._engine.submission.extend(job.number, job.items.taken)


def _take(job: StreamJob, most: int) -> None:
    """Takes up to ``most`` items; says so when there are no more."""
    for _ in range(most):
        if not job.items.take():
            job.end = job.items.taken
            return


def failing(error: Exception, items: Any) -> Iterator[Any]:
    """The results when the function cannot be pickled: every call fails with ``error``."""
    for _ in items if isinstance(items, list) else range(int(items.take())):
        raise error
        yield
