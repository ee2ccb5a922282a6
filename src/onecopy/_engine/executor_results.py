"""The iterators that ``ProcessPoolExecutor.map`` returns, over results in order."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

from .._codec.blame import cut_ours
from .._observe.diary import ITERABLE
from .._system.interrupts import Uninterrupted
from .busy import Waiting
from .engine import Engine
from .jobs import NoResult, StreamJob


class Deadline:
    """The time by which results have to be there.

    Args:
        timeout: seconds from now, as the caller has given them.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._end = monotonic() + timeout

    def left(self) -> float:
        """Return the seconds until then, at least 0."""
        return max(0.0, self._end - monotonic())


class _End:
    """Ends the job of an iterator that is dropped. Called by finalizers: only sets flags.

    Attributes:
        begun: a result was fetched, or asked for: the remaining items are withdrawn.
    """

    def __init__(self, job: StreamJob, available: int, drop: Callable[[], None]) -> None:
        self.begun = False
        self._job = job
        self._available = available
        self._drop = drop

    def __call__(self) -> None:
        if self.begun:
            self._drop()
        else:
            self._job.forsake(self._available, self._drop)


class Results(Iterator[Any]):
    """The iterator that ``map`` returns. All its items are there, and are run even if no result is
    fetched. If an iterator is dropped after its first ``next``, the remaining items are withdrawn.
    """

    _all_taken = True

    def __init__(
        self, engine: Engine, job: StreamJob, deadline: Deadline | None, available: int
    ) -> None:
        self._engine = engine
        self._job = job
        self._deadline = deadline
        self._ended = False
        job.called = "map"
        engine.submission.open(job, available)
        self._end = _End(job, available, partial(engine.submission.drop_later, job.number))
        self._finalizer: weakref.finalize[..., Any] = weakref.finalize(self, self._end)
        self._finalizer.atexit = False

    def __next__(self) -> Any:
        if self._ended:
            raise StopIteration
        try:
            self._end.begun = True
            found = self._job.fetch_good() if self._all_taken else None
            if found is not None:
                return found[0]
            self._wait()
        except NoResult:
            self.close()
            assert self._deadline is not None
            raise TimeoutError(f"no result within {self._deadline.timeout} s") from None
        except BaseException as error:
            self.close()
            if not isinstance(error, Exception):  # Ctrl-C: the workers are needed now
                self._engine.submission.cancel_job(self._job)
                cut_ours(error)
            raise
        try:
            return self._job.fetch()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        """Wait for the next result, or the end."""
        left = None if self._deadline is None else self._deadline.left()
        self._job.wait_next(left, Waiting(self._engine.core, self._job))

    def close(self) -> None:
        """Return no more results; items that have not started are not run."""
        self._ended = True
        with Uninterrupted():  # else Ctrl-C may end the finalizer, which is called only once
            self._finalizer()


class Buffered(Results):
    """The iterator with a ``buffersize``: it takes its items task by task, in the caller's thread.
    ``check_open`` is the executor's own method, and so references the executor, which would
    otherwise close in the middle."""

    _all_taken = False

    def __init__(
        self,
        check_open: Callable[[], None],
        engine: Engine,
        job: StreamJob,
        deadline: Deadline | None,
        chunk: int,
        buffer: int,
    ) -> None:
        self._check_open = check_open
        self._chunk = chunk
        self._most = chunk * buffer
        _take(job, self._most)
        super().__init__(engine, job, deadline, job.items.taken)

    def _wait(self) -> None:
        """Take in more, and wait. If all items that there was room for are skipped, there is room
        for more."""
        while True:
            self._feed()
            super()._wait()
            if self._job.has_next():
                return

    def _feed(self) -> None:
        job = self._job
        while job.end is None and job.items.taken - job.yielded <= self._most:
            before = job.items.taken
            with self._engine.history.diary.at(ITERABLE):
                _take(job, self._chunk)
            job.items.forget(job.settled)
            if job.items.taken > before:
                self._check_open()
                self._engine.submission.extend(job.number, job.items.taken)


def _take(job: StreamJob, most: int) -> None:
    """Take up to ``most`` items; tell the job when there are no more."""
    for _ in range(most):
        if not job.items.take():
            job.end = job.items.taken
            return


def failing(error: Exception, items: Any) -> Iterator[Any]:
    """Yield the results if the function cannot be pickled: every call fails with ``error``."""
    for _ in items if isinstance(items, list) else range(int(items.take())):
        raise error
        yield
