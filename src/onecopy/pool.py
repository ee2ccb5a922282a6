"""``Pool``: worker processes that use the caller's data instead of getting copies of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ._observe.progress import Progress
from ._workers import blocks, setup, wire
from ._workers.engine import Engine
from ._workers.jobs import BlockItems, Items, Job, MapJob, StreamJob
from .errors import PoolClosed

__all__ = ["Pool", "PoolStats"]

# ``imap`` has at most so many items per worker on the way that nobody has fetched yet.
_WINDOW = 64
_IMAP_CHUNK = 16


@dataclass(frozen=True)
class PoolStats:
    """What a pool has done so far.

    Attributes:
        tasks: tasks (or chunks of ``map``) that have ended.
        bytes_sent: bytes written to workers' sockets.
        bytes_received: bytes read from them.
        bytes_copied: bytes of arguments copied into shared arenas.
        bytes_shared: bytes of arguments that were referred to, and not moved.
        workers: workers that are ready.
    """

    tasks: int
    bytes_sent: int
    bytes_received: int
    bytes_copied: int
    bytes_shared: int
    workers: int


class Pool:
    """A pool of workers on one copy of the data.

    Args:
        workers: how many; ``cpu_count()`` when None. At least 1.
        method: how workers start. ``"fork"``: they see the caller's state as it is now.
            ``"forkserver"``: forked from a fresh interpreter that knows nothing of the
            caller. ``"spawn"``: fresh interpreters. ``"thread"``: threads of this process;
            nothing is copied or pickled. ``"auto"``: what
            ``multiprocessing.set_start_method`` was told, otherwise ``forkserver``.
        initializer: called as ``initializer(*initargs)`` in each worker before its first
            task. When it raises, the pool is of no use and all tasks fail with
            ``InitializerFailed``.
        maxtasksperchild: a worker is replaced after this many tasks (a chunk is one).
        preload: modules to import once, before workers are forked; NumPy is, when the
            caller has it.

    Raises:
        ValueError: zero or negative workers, an unknown method.
        TypeError: an initializer that is not callable.
        NotPicklable: an initializer that cannot travel.
        UnsupportedPlatform: on Windows.

    Returns at once; workers start in the background. No ``if __name__ == "__main__"`` is
    needed under any method, and functions of ``__main__``, lambdas and closures work under
    all. Arguments and results arrive writable and the receiver's own; what is shared
    (``onecopy.share``, ``load``) arrives read-only and without moving a byte.

    Native threads (BLAS, OpenMP) of each worker are capped so that workers x threads fits
    ``cpu_count()``, unless the environment sets a figure, such as ``OMP_NUM_THREADS``.

    Thread-safe. In a forked child the pool is not usable; the child makes its own. Leaving
    the ``with`` block terminates the pool, as in ``multiprocessing``.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(2) as pool:
        ...     pool.map(abs, [-1, -2])
        [1, 2]
    """

    def __init__(
        self,
        workers: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        method: str = "auto",
        preload: Iterable[str] = (),
    ) -> None:
        self._engine: Engine = setup.engine(
            workers, method, initializer, tuple(initargs), maxtasksperchild, tuple(preload)
        )
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()
        # Runs when the pool is collected, which may be at any moment in any thread.
        self._finalizer = weakref.finalize(self, self._engine.release)

    # One call.

    def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Calls ``func(*args, **kwargs)`` in a worker; returns its future at once.

        A function or argument that cannot be pickled raises NotPicklable here. Large
        plain arguments are copied when the task is sent, not before: until then they
        should not be changed.

        Raises:
            TypeError: ``func`` is not callable.
            NotPicklable: names what cannot travel.
            PoolClosed: the pool takes no more work.
        """
        _check_callable(func)
        return self._engine.submit(func, args, kwargs).future

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Calls ``func(*args, **kwds)`` in a worker and waits for its result.

        An exception of the function is raised with the worker's traceback as its cause.
        """
        _check_callable(func)
        return self._engine.apply(func, tuple(args), kwds or {})

    # Many items.

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """``[func(item) for item in iterable]``, by all workers; blocks until all is done.

        Args:
            func: sent to each worker once.
            iterable: consumed at once. A range, a list or an array is sent in slices; one
                of a shared array moves no bytes.
            chunksize: items per task; chosen by measured time when None.

        Every item is run even when some fail; the first failing item's error is raised.
        """
        return self._map(func, iterable, wire.MAP, chunksize)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """As ``map``; each item is unpacked: ``func(*item)``."""
        return self._map(func, iterable, wire.STARMAP, chunksize)

    def _map(
        self, func: Callable[..., Any], iterable: Iterable[Any], runner: int, chunk: int | None
    ) -> list[Any]:
        _check_callable(func)
        _check_chunk(chunk)
        items: Any = iterable if _can_be_cut(iterable) else list(iterable)
        function = self._engine.function(func)
        job = MapJob(function, items, runner, self._engine.namespace, chunk)
        with self._opened(job, job.size):
            job.wait()
        return job.result()

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> Iterator[Any]:
        """Results in order, as they come; for inputs that are long, slow or endless.

        The iterable is consumed a bounded distance ahead of what has been fetched (at most
        64 items per worker), in the calling thread: at the call and at each ``next``. An
        item that fails raises at its ``next``; the ones after it can still be fetched.

        Returns:
            An iterator, with ``next(timeout)`` besides ``__next__``.
        """
        return self._stream(func, iterable, chunksize, ordered=True)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> Iterator[Any]:
        """As ``imap``, each result as soon as it is there."""
        return self._stream(func, iterable, chunksize, ordered=False)

    def _stream(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunk: int | None,
        *,
        ordered: bool,
    ) -> _Stream:
        _check_callable(func)
        _check_chunk(chunk)
        job = StreamJob(
            self._engine.function(func),
            Items(iterable),
            wire.MAP,
            self._engine.namespace,
            chunk,
            _IMAP_CHUNK,
            ordered=ordered,
        )
        stream = _Stream(self._engine, job, chunk or 1)
        self._streams.add(stream)
        return stream

    def map_blocks(
        self,
        func: Callable[..., Any],
        data: Any,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[Any, Any], Any] | str | None = None,
        progress: bool = False,
    ) -> Any:
        """Cuts ``data`` into blocks, calls ``func`` on each, and combines the results.

        Args:
            func: called as ``func(block)``, or ``func(block, *blocks_of_more)``.
            data: an array (or frame, or sequence); shared or mapped, no byte of it moves;
                plain, each block is copied once, a few at a time.
            more: of the same length along ``axis``; cut at the same places.
            block: rows per block; chosen by bytes (about 6 MB) when None.
            axis: the axis to cut along.
            reduce: how results become one, in block order: a callable of two results,
                ``"sum"``, ``"min"``, ``"max"`` (elementwise for arrays) or ``"concat"``.
            progress: show a bar (plain lines when there is no terminal).

        Returns:
            The list of results in block order, or what ``reduce`` made of them. With
            ``reduce`` and no rows at all: ``func`` of the empty data, called here.

        Raises:
            ValueError: unequal lengths, no such axis, a block below 1, an unknown reduce.
            The first failing block's error.
        """
        _check_callable(func)
        arrays = (data, *more)
        length = blocks.lengths(arrays, axis)
        if block is not None and block < 1:
            raise ValueError(f"a block has at least 1 row, not {block}")
        combine, at_once = blocks.reducer(reduce, axis)
        if not length:
            return func(*arrays) if combine is not None else []
        workers = self._engine.options.workers
        rows = block or blocks.block_rows(arrays, axis, length, workers)
        items = BlockItems(arrays, rows, axis)
        function = self._engine.function(func)
        job = StreamJob(function, items, wire.BLOCKS, self._engine.namespace)
        job.end = len(items)
        with self._opened(job, job.end):
            results = _each(job, progress)
            if combine is None:
                return list(results)
            if at_once:
                return combine(list(results), None)
            total = next(results)
            for result in results:
                total = combine(total, result)
            return total

    def _opened(self, job: Job, size: int) -> _Opened:
        return _Opened(self._engine, job, size)

    # Its life.

    def stats(self) -> PoolStats:
        """What the pool has done so far: a frozen snapshot."""
        sent, received, copied, shared = self._engine.traffic()
        return PoolStats(
            self._engine.tasks_ended, sent, received, copied, shared, self._engine.ready()
        )

    @property
    def workers(self) -> int:
        """How many workers the pool has when all are up."""
        return self._engine.options.workers

    @property
    def method(self) -> str:
        """The start method that is used; never ``"auto"``."""
        return self._engine.options.method

    def pids(self) -> list[int]:
        """The workers' process ids; empty for threads."""
        return self._engine.pids()

    def close(self) -> None:
        """No more work is taken; the workers end when all is done."""
        self._engine.close()

    def terminate(self) -> None:
        """Ends the workers at once; what was not finished fails with PoolClosed.

        A worker thread cannot be ended in the middle of a task: it ends after it.
        """
        self._engine.terminate()

    def join(self) -> None:
        """Waits until the workers have ended. Call ``close`` or ``terminate`` first.

        Results of ``imap`` that nobody has fetched are computed first, as in
        ``multiprocessing``, and can still be fetched.
        """
        if not self._engine.closed:
            raise ValueError("the pool is still running: call close or terminate first")
        for stream in list(self._streams):
            stream.run_to_end()
        self._engine.join()

    def __enter__(self) -> Pool:
        if self._engine.closed:
            raise PoolClosed("the pool is closed and takes no more work")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()
        self._engine.join()

    def __repr__(self) -> str:
        state = "closed" if self._engine.closed else "open"
        return f"<onecopy.Pool of {self.workers} workers by {self.method}, {state}>"


class _Opened:
    """A job while somebody waits for it; dropped on the way out, whatever happens."""

    def __init__(self, engine: Engine, job: Job, size: int) -> None:
        self._engine = engine
        self._job = job
        self._size = size
        self._number = 0

    def __enter__(self) -> None:
        self._number = self._engine.open(self._job, self._size)

    def __exit__(self, *_: object) -> None:
        self._engine.drop(self._number)


def _each(job: StreamJob, progress: bool) -> Iterator[Any]:
    """The results of a job whose items are all there, one by one."""
    if not progress:
        while not job.finished():
            yield job.fetch()
        return
    with Progress(job.end, job.function.name, "blocks") as bar:
        while not job.finished():
            yield job.fetch()
            bar.advance()


class _Stream(Iterator[Any]):
    """What ``imap`` returns: feeds items in and fetches results, in the caller's thread."""

    def __init__(self, engine: Engine, job: StreamJob, chunk: int) -> None:
        self._engine = engine
        self._job = job
        self._items: Items = job.items
        self._window = max(_WINDOW, 2 * chunk) * engine.options.workers
        self._number = engine.open(job, 0)
        self._finalizer = weakref.finalize(self, engine.drop_later, self._number)
        self._finalizer.atexit = False
        self._feed(chunk * engine.options.workers)

    def _feed(self, most: int, *, eager: bool = False) -> None:
        """Takes items from the iterable while the window has room for them, and, unless
        ``eager``, no longer than until there is a result to hand out."""
        job, items = self._job, self._items
        taken = 0
        while job.end is None and taken < most:
            if not eager and items.taken - job.yielded >= self._window:
                break
            if not items.take():
                job.finish_at(items.taken)
                break
            taken += 1
            # Handed out singly while workers wait for them, in batches otherwise.
            if taken < self._engine.options.workers or taken % 16 == 0:
                self._engine.grow(self._number, items.taken)
            if not eager and taken >= self._engine.options.workers and job.has_next():
                break
        self._engine.grow(self._number, items.taken)

    def run_to_end(self) -> None:
        """Takes in the whole iterable and waits until all of it has been computed."""
        self._feed(1 << 62, eager=True)
        self._job.wait_all()

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result; ``multiprocessing.TimeoutError`` when it is not there in time."""
        if not self._engine.closed:
            self._feed(self._window)
        try:
            value = self._job.fetch(timeout)
        except StopIteration:
            self._finalizer()
            raise
        except TimeoutError as error:
            import multiprocessing

            raise multiprocessing.TimeoutError(str(error)) from None
        finally:
            self._items.forget(self._job.settled)
        return value


def _can_be_cut(items: Any) -> bool:
    """Can chunks be taken from it by slicing, without consuming it?"""
    if isinstance(items, list | tuple | range):
        return True
    return hasattr(items, "dtype") and hasattr(items, "shape") and len(items.shape) > 0


def _check_callable(func: Any) -> None:
    if not callable(func):
        raise TypeError(f"the function must be callable, not a {type(func).__name__}")


def _check_chunk(chunk: int | None) -> None:
    if chunk is not None and chunk < 1:
        raise ValueError(f"a chunk has at least 1 item, not {chunk}")
