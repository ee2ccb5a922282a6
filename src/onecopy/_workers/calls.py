"""The calls of a pool: one, many, blocks; the same for a pool and for a view of it.

Each checks what it was given, makes the work and waits for it. How a pool begins and ends
is in ``onecopy.pool``; what is behind ``imap`` in ``streams``, behind ``await`` in ``aio``.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Never

from .._memory.blame import ours_cut, without_ours
from .._observe.progress import Progress
from . import blocks, wire
from .busy import Waiting
from .engine import Engine
from .functions import Function
from .jobs import BlockItems, Items, Job, MapJob, StreamJob
from .opened import Opened, each
from .results import AsyncResult
from .rules import Rules
from .streams import Stream
from .told import arguments, check_callable, check_chunk, refuse_more, taken

IMAP_CHUNK = 16


class Calls:
    """See the module.

    Args:
        engine: runs them.
        rules: that all of them carry; None: none.
        streams: where those of ``imap`` are noted.
        progress: do calls of many items show it unless they are told?
    """

    def __init__(
        self,
        engine: Engine,
        rules: Rules | None,
        streams: weakref.WeakSet[Stream],
        progress: bool = False,
    ) -> None:
        self._progress = progress
        self._engine = engine
        self._rules = rules
        self._streams = streams

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
        check_callable(func)
        with ours_cut:
            return self._engine.submit(func, args, kwargs, self._rules)

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Calls ``func(*args, **kwds)`` in a worker and waits for its result.

        An exception of the function is raised with the worker's traceback as its cause.
        """
        check_callable(func)
        with ours_cut:
            return self._engine.apply(func, *arguments("apply", args, kwds), self._rules)

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Calls ``func(*args, **kwds)`` in a worker; returns at once.

        Args:
            callback: called with the result, before ``get`` returns it; in a thread of the
                pool, so it should return soon.
            error_callback: called with the error, likewise.

        What cannot be pickled is an error of the result, not of this call; the callback is
        called by it, here.
        """
        check_callable(func)
        given = arguments("apply_async", args, kwds)
        result = AsyncResult(callback, error_callback, self)
        try:
            self._engine.submit(func, *given, self._rules, result.end_as)
        except Exception as error:
            self._engine.check_open()
            without_ours(error)
            result.end(None, error)
        return result

    async def run(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """``await pool.run(func, *args)``: calls it in a worker without blocking the loop.

        Cancelling the awaiting task cancels the work: a worker that is at it already is
        ended and replaced. (A worker thread goes on, and its result is thrown away.)
        Large plain arguments are copied in the calling thread; shared ones are not.
        """
        from . import aio

        return await aio.outcome(self._engine, self.submit(func, *args, **kwargs))

    def cancel(self, future: Future[Any]) -> bool:
        """Cancels a task of this pool, also one that is running: its worker is ended then
        and replaced, and no other task is lost. The future is cancelled at once.

        A worker thread cannot be ended: it goes on, and its result is thrown away.

        Returns:
            True when the future is cancelled, False when the task was done already.

        Raises:
            ValueError: the future is of another pool.
        """
        return self._engine.cancel(future)

    # Many items.

    def map(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> list[Any]:
        """``[func(item) for item in iterable]``, by all workers; blocks until all is done.

        Args:
            func: sent to each worker once.
            iterable: consumed at once. A range, a list or an array is sent in slices; one
                of a shared array moves no bytes.
            chunksize: items per task; chosen by measured time when None.
            progress: show how far it has come, on standard error: a bar on a terminal and in
                a notebook, a line now and then elsewhere. None: as the pool was told.

        Every item is run even when some fail; the first failing item's error is raised. When
        the call is left by Ctrl-C, what workers are at for it is ended, and they are replaced;
        so for the other calls that block.
        """
        refuse_more("map", chunksize, more, others)
        return self._map(func, iterable, wire.MAP, chunksize, progress)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> list[Any]:
        """As ``map``; each item is unpacked: ``func(*item)``."""
        refuse_more("starmap", chunksize, more, others)
        return self._map(func, iterable, wire.STARMAP, chunksize, progress)

    def _map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        runner: int,
        chunk: int | None,
        progress: bool | None,
    ) -> list[Any]:
        with ours_cut:
            items = taken(func, iterable, chunk)
            job = self._map_job(self._engine.function(func), items, runner, chunk)
            if job.size:
                self._show(job, progress, job.size)
            with Opened(self._engine, job, job.size):
                job.wait(Waiting(self._engine, job))
            return job.result()

    def _map_job(
        self,
        function: Function,
        items: Any,
        runner: int,
        chunk: int | None,
        done: Callable[[MapJob], None] | None = None,
    ) -> MapJob:
        namespace = self._engine.namespace
        return MapJob(function, items, runner, namespace, chunk, rules=self._rules, done=done)

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: bool | None = None,
    ) -> AsyncResult:
        """As ``map``, but returns at once; see ``apply_async`` for the callbacks."""
        return self._map_async(
            func, iterable, wire.MAP, chunksize, callback, error_callback, progress
        )

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: bool | None = None,
    ) -> AsyncResult:
        """As ``starmap``, but returns at once; see ``apply_async`` for the callbacks."""
        return self._map_async(
            func, iterable, wire.STARMAP, chunksize, callback, error_callback, progress
        )

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        runner: int,
        chunk: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        progress: bool | None,
    ) -> AsyncResult:
        result = AsyncResult(callback, error_callback, self)
        engine = self._engine

        def done(job: MapJob) -> None:
            result.end(job.values, job.error())
            if job.size:
                engine.drop(job.number)

        engine.check_open()
        items = taken(func, iterable, chunk)
        try:
            function = engine.function(func)
        except Exception as error:  # it cannot be pickled
            without_ours(error)
            result.end(None, error)
            return result
        job = self._map_job(function, items, runner, chunk, done)
        if job.size:
            self._show(job, progress, job.size)
            engine.open(job, job.size)
        return result

    def imap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> Iterator[Any]:
        """Results in order, as they come; for inputs that are long, slow or endless.

        The iterable is consumed a bounded distance ahead of what has been fetched (at most
        64 items per worker), in the calling thread: at the call and at each ``next``. An
        item that fails raises at its ``next``; the ones after it can still be fetched. What
        the iterable itself raises comes behind the results of the items before. What is on its
        way is cancelled, running or not, when nobody holds the iterator any more, and when a
        ``next`` is interrupted: from then on it raises CancelledError.

        Returns:
            An iterator, with ``next(timeout)`` besides ``__next__``.
        """
        refuse_more("imap", chunksize, more, others)
        return self._stream(func, iterable, chunksize, progress, ordered=True)

    def imap_unordered(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> Iterator[Any]:
        """As ``imap``, each result as soon as it is there."""
        refuse_more("imap_unordered", chunksize, more, others)
        return self._stream(func, iterable, chunksize, progress, ordered=False)

    def _stream(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunk: int | None,
        progress: bool | None,
        *,
        ordered: bool,
    ) -> Stream:
        with ours_cut:
            job = self._stream_job(func, iterable, chunk, ordered)
            self._show(job, progress, _length(iterable))
            stream = Stream(self._engine, job, job.chunk or 1, self)
            self._streams.add(stream)
            return stream

    def _stream_job(
        self, func: Callable[[Any], Any], items: Iterable[Any], chunk: int | None, ordered: bool
    ) -> StreamJob:
        check_callable(func)
        check_chunk(chunk)
        return StreamJob(
            self._engine.function(func),
            Items(items),
            wire.MAP,
            self._engine.namespace,
            chunk,
            IMAP_CHUNK,
            ordered=ordered,
            rules=self._rules,
        )

    def stream(
        self,
        func: Callable[[Any], Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = True,
        chunksize: int | None = None,
        progress: bool | None = None,
    ) -> AsyncIterator[Any]:
        """``async for result in pool.stream(func, items)``: as ``imap`` in an event loop.

        Args:
            items: an iterable or an asynchronous one, consumed a bounded distance ahead.
            ordered: results in the order of the items, or each as soon as it is there.
            chunksize: items per task; chosen by measured time when None.

        An item's error is raised in its place and ends the iteration. Cancelling the task
        that iterates, or closing the iterator, cancels the work.
        """
        from . import aio

        job = self._stream_job(func, (), chunksize, ordered)
        self._show(job, progress, _length(items))
        return aio.stream(self._engine, job, items, self)

    def map_blocks(
        self,
        func: Callable[..., Any],
        data: Any,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[Any, Any], Any] | str | None = None,
        progress: bool | None = None,
    ) -> Any:
        """Cuts ``data`` into blocks, calls ``func`` on each, and combines the results.

        Args:
            func: called as ``func(block)``, or ``func(block, *blocks_of_more)``.
            data: an array; a frame, table, column or series of pandas, pyarrow or polars; or a
                sequence. Shared or mapped, no byte of it moves; plain, each block is copied
                once, a few at a time.
            more: of the same length along ``axis``; cut at the same places.
            block: rows per block; chosen by bytes (about 6 MB) when None.
            axis: the axis to cut along; 0, the rows, for tables of pyarrow and polars.
            reduce: how results become one, in block order: a callable of two results,
                ``"sum"``, ``"min"``, ``"max"`` (elementwise for arrays) or ``"concat"``.
            progress: as for ``map``.

        Returns:
            The list of results in block order, or what ``reduce`` made of them. With
            ``reduce`` and no rows at all: ``func`` of the empty data, called here.

        Raises:
            ValueError: unequal lengths, no such axis, a block below 1, an unknown reduce.

        The first failing block's error is raised.
        """
        check_callable(func)
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
        with ours_cut:
            function = self._engine.function(func)
        job = StreamJob(function, items, wire.BLOCKS, self._engine.namespace, rules=self._rules)
        job.end = len(items)
        self._show(job, progress, job.end, "blocks")
        with ours_cut, Opened(self._engine, job, job.end):
            results = each(job, Waiting(self._engine, job))
            if combine is None:
                return list(results)
            if at_once:
                return combine(list(results), None)
            total = next(results)
            if isinstance(reduce, str):
                total = blocks.plain(total)
            for result in results:
                total = combine(total, result)
            return total

    def _show(self, job: Job, wanted: bool | None, total: int | None, unit: str = "items") -> None:
        """Has the job's progress shown, if it is wanted."""
        if self._progress if wanted is None else wanted:
            job.bar = Progress(total, job.name, unit)


def _length(items: Any) -> int | None:
    """How many there are, when that can be told."""
    try:
        return len(items)
    except TypeError:
        return None
