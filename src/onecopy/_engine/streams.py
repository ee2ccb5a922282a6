"""``Stream``: what ``imap`` returns. Feeds items in and fetches results, in the caller's thread."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from time import monotonic_ns
from typing import Any, TypeVar

from .._codec.blame import ours_cut
from .._observe.diary import ITERABLE
from .busy import Waiting
from .engine import Engine
from .jobs import Items, NoResult, StreamJob

# At most so many items per worker are on the way that nobody has fetched yet.
WINDOW = 64


R_co = TypeVar("R_co", covariant=True)


class Stream(Iterator[R_co]):
    """See the module; one thread at a time.

    Args:
        engine: runs the job.
        job: what is fetched from.
        chunk: items per task.
        pool: kept until the end, since a pool that nobody holds is terminated.
    """

    def __init__(self, engine: Any, job: Any, chunk: int, pool: object) -> None:
        # Made by ``imap`` alone: no part of the public types.
        self._engine: Engine = engine
        self._job: StreamJob = job
        self._items: Items = job.items
        self._pool = pool
        self._window = max(WINDOW, 2 * chunk) * engine.options.workers
        try:
            self._number = engine.open(job, 0, grows=True)
            self._finalizer = weakref.finalize(self, engine.give_up_later, self._number)
            self._finalizer.atexit = False
            self._feed(chunk * engine.options.workers)
        except BaseException:
            engine.give_up(job)  # nobody will have the iterator
            raise

    def _feed(self, most: int, *, eager: bool = False) -> None:
        """Takes items from the iterable while the window has room for them, and, unless
        ``eager``, no longer than until there is a result to hand out. What the iterable
        raises is raised in its place, behind the results of the items before."""
        job, items = self._job, self._items
        taken = 0
        while job.end is None and taken < most:
            if not eager and items.taken - job.yielded >= self._window:
                break
            began = monotonic_ns()
            try:
                if not items.take():
                    job.finish_at(items.taken)
                    break
            except Exception as error:
                job.finish_at(items.taken, error)
                break
            finally:
                self._engine.diary.add(ITERABLE, began, monotonic_ns())
            taken += 1
            # Handed out singly while workers wait for them, in batches otherwise.
            if taken < self._engine.options.workers or taken % 16 == 0:
                self._engine.grow(self._number, job.whole(items.taken))
            if not eager and taken >= self._engine.options.workers and job.has_next():
                break
        last = job.end is not None
        upto = items.taken if last else job.whole(items.taken)
        self._engine.grow(self._number, upto, last=last)

    def _give_up(self) -> None:
        """Nobody wants what is on its way; results that are there can still be fetched."""
        self._finalizer.detach()
        self._pool = None
        self._engine.give_up(self._job)
        self._job.abandon(
            CancelledError("the iteration was interrupted, and what was left cancelled")
        )

    def run_to_end(self) -> None:
        """Takes in the whole iterable and waits until all of it has been computed."""
        if self._job.end is None:
            self._feed(1 << 62, eager=True)
        self._job.wait_all()

    def __iter__(self) -> Stream[R_co]:
        return self

    def __next__(self) -> R_co:
        return self.next()

    def next(self, timeout: float | None = None) -> R_co:
        """The next result; ``multiprocessing.TimeoutError`` when it is not there in time."""
        with ours_cut:
            return self._next(timeout)

    def _next(self, timeout: float | None) -> R_co:
        try:
            if self._job.end is None and self._job.broken is None:
                self._feed(self._window)
            self._job.wait_next(timeout, Waiting(self._engine, self._job))
        except NoResult as error:
            import multiprocessing

            raise multiprocessing.TimeoutError(str(error)) from None
        except BaseException:
            # Ctrl-C, or what a signal's handler raised. A traceback may hold the iterator for
            # long, in a notebook until the next error: the workers are wanted now.
            self._give_up()
            raise
        try:
            value: R_co = self._job.fetch()
            return value
        except StopIteration:
            self._finalizer()
            self._pool = None
            raise
        finally:
            self._items.forget(self._job.settled)
