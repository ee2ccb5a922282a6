"""``Stream``: the iterator that ``imap`` returns. Feeds items in and fetches results, in the
caller's thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from time import monotonic, monotonic_ns
from typing import Any, TypeVar

from .._codec.blame import cut_ours, ours_cut, without_ours
from .._observe.diary import ITERABLE
from .._system.interrupts import Uninterrupted, raised_by_handler
from .busy import Waiting
from .dropped import when_dropped
from .engine import Engine
from .jobs import Items, NoResult, StreamJob

# Items per worker that are in progress or whose result has not been fetched, at most.
WINDOW = 64
# While results are there to return, the window is filled when this part of it has room, and for at
# most this long, in nanoseconds: the iterable may be slow.
_ROOM, _WHILE = 0.25, 1_000_000


R_co = TypeVar("R_co", covariant=True)


class Stream(Iterator[R_co]):
    """See the module; one thread at a time.

    Args:
        engine: the engine that runs the job.
        job: the job whose results are fetched.
        chunk: items per task.
        pool: referenced until the end: a pool without references is terminated.
    """

    def __init__(self, engine: Any, job: Any, chunk: int, pool: object) -> None:
        # Created by ``imap`` alone: not part of the public types.
        self._engine: Engine = engine
        self._job: StreamJob = job
        self._items: Items = job.items
        self._pool = pool
        self._fault: Exception | None = None  # of the iterable, raised once, after all results
        self._window = max(WINDOW, 2 * chunk) * engine.options.workers
        self._enough = self._window - int(_ROOM * self._window)
        try:
            self._number = engine.submission.open(job, 0, grows=True)
            cancel = engine.submission.cancel_job_later
            self._finalizer = when_dropped(self, cancel, self._number)
            self._feed(chunk * engine.options.workers)
        except BaseException:
            engine.submission.cancel_job(job)  # no caller will have the iterator
            raise

    def _feed(self, most: int, *, eager: bool = False) -> None:
        """Take items from the iterable while the window has room and, unless ``eager``, no result
        is there to return or little time has passed. What the iterable raises is raised in its
        place, after the results of the items before."""
        job, items, workers = self._job, self._items, self._engine.options.workers
        diary, submission = self._engine.history.diary, self._engine.submission
        taken = 0
        now = began = since = monotonic_ns()
        while job.end is None and taken < most:
            if not eager and items.taken - job.yielded >= self._window:
                break
            try:
                if not items.take():
                    job.finish_at(items.taken)
            except Exception as error:
                without_ours(error)
                if raised_by_handler(error):
                    raise  # now, and not behind the results that are to come
                self._fault = error  # not the job's: the table holds that, and this frame with it
                job.finish_at(items.taken)
            now = monotonic_ns()
            if job.end is not None:
                break
            taken += 1
            # Given out singly while workers wait for them, in batches otherwise.
            if taken < workers or taken % 16 == 0:
                diary.add(ITERABLE, since, now)
                submission.grow(self._number, job.whole(items.taken))
                since = monotonic_ns()
            if not eager and taken >= workers and now - began > _WHILE and job.has_next():
                break
        if now > since:
            diary.add(ITERABLE, since, now)
        if job.end is not None:
            submission.grow(self._number, items.taken, last=True)
        elif taken:
            submission.grow(self._number, job.whole(items.taken))

    def _give_up(self) -> None:
        """Cancel what is in progress; results that are there can still be fetched."""
        self._finalizer.detach()
        self._pool = None
        self._engine.submission.cancel_job(self._job)
        self._job.abandon(
            CancelledError("the iteration was interrupted, and what was left cancelled")
        )

    def run_to_end(self) -> None:
        """Take in the whole iterable, and wait until all of it has been computed."""
        if self._job.end is None:
            self._feed(1 << 62, eager=True)
        self._job.wait_all()

    def __iter__(self) -> Stream[R_co]:
        return self

    def __next__(self) -> R_co:
        try:
            return self.next()
        except StopIteration:
            raise
        except BaseException as error:
            cut_ours(error)
            raise

    def next(self, timeout: float | None = None) -> R_co:
        """Return the next result; raise ``multiprocessing.TimeoutError`` if there is none in
        time."""
        job, items = self._job, self._items
        # Mostly a result is there, and so are enough items: nothing else needs to be done.
        if job.end is not None or items.taken - job.yielded > self._enough:
            found = job.fetch_good()
            if found is not None:
                if items.first != job.settled:
                    items.forget(job.settled)
                return found[0]  # type: ignore[no-any-return]
        with ours_cut:
            return self._next(timeout)

    def _wait(self, timeout: float | None) -> None:
        """Wait until there is a result. If all items that there was room for are skipped, there is
        room for more."""
        job = self._job
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            if job.end is None and job.broken is None:
                self._feed(self._window)
            if job.has_next():
                return
            left = None if deadline is None else max(0.0, deadline - monotonic())
            job.wait_next(left, Waiting(self._engine.core, job))
            if job.has_next():
                return
            self._items.forget(job.settled)

    def _next(self, timeout: float | None) -> R_co:
        try:
            self._wait(timeout)
        except NoResult as error:
            import multiprocessing

            raise multiprocessing.TimeoutError(str(error)) from None
        except BaseException:
            # Ctrl-C, or an exception of a signal handler. A traceback may keep the iterator alive
            # for long, in a notebook until the next error, and the workers are needed now.
            self._give_up()
            raise
        try:
            value: R_co = self._job.fetch()
            return value
        except StopIteration:
            with Uninterrupted():  # else Ctrl-C may end the finalizer, which is called only once
                self._finalizer()
            self._pool = None
            if self._fault is None or not self._job.finished():
                raise
        finally:
            self._items.forget(self._job.settled)
        fault, self._fault = self._fault, None
        try:
            raise fault
        finally:
            del fault  # its traceback holds this frame: no cycle
