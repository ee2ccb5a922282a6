"""The calls of a pool: one, many, blocks; the same for a pool and for a view of it.

Those of one call make their work here, those of many items in ``many``. How a pool begins
and ends is in ``onecopy.pool``; what is behind ``imap`` in ``streams``, behind ``await`` in
``aio``.

Their types tell a checker no less than typeshed tells of ``multiprocessing.pool.Pool``: what a
function returns is what its call gives, and an item that it does not take is an error. They
are held by ``tests/typing``. Below the calls everything is ``Any``.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Never,
    ParamSpec,
    TypeVar,
    overload,
)

from .._codec.blame import ours_cut, without_ours
from .._protocol import wire
from .blocks import Reduction
from .engine import UNSENDABLE, Engine
from .many import Many, length_of
from .refused_arguments import arguments, check_callable, refuse_more
from .results import AsyncResult
from .rules import Rules
from .streams import Stream

if TYPE_CHECKING:
    import numpy as np

P = ParamSpec("P")
R = TypeVar("R")  # what a function returns
T = TypeVar("T")  # an item
D = TypeVar("D")  # what is cut into blocks
Array = TypeVar("Array", bound="np.ndarray[Any, Any]")


class PoolView:
    """A pool as its calls see it: the same workers, and calls that carry the rules given to
    ``Pool.options``. A ``Pool`` is the one whose calls carry none.
    """

    __module__ = "onecopy.pool"

    def __init__(
        self,
        engine: Any,
        rules: Rules | None,
        streams: weakref.WeakSet[Stream[Any]],
        progress: bool = False,
        pool: PoolView | None = None,
    ) -> None:
        self._progress = progress
        self._many = Many(engine, rules, progress)
        self._diary = engine.diary
        self._engine: Engine = engine  # given by ``Pool`` alone: no part of the public types
        self._rules = rules
        self._streams = streams
        self._viewed = pool  # nobody else may hold it, and a pool that nobody holds ends

    def __reduce__(self) -> Any:
        raise NotImplementedError(UNSENDABLE)

    def __repr__(self) -> str:
        return f"<onecopy.PoolView, {self._rules}>"

    def options(
        self,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: type[BaseException] | Iterable[type[BaseException]] = (),
        memory_limit: int | None = None,
        name: str | None = None,
    ) -> PoolView:
        """A view of the pool whose calls carry these rules; it makes no workers.

        Args:
            timeout: seconds for each task, from when it was sent to a worker. Then it ends
                with ``TaskTimeout``, and its worker is ended and replaced.
            retries: how often a task is run again when its worker died, or when it raised
                one of ``retry_on``. It may have done part of its work before.
            retry_on: exception classes; ``TaskTimeout`` and ``WorkerOutOfMemory`` can be
                among them, and are not retried otherwise.
            memory_limit: bytes of memory of its own at which a task's worker is ended; the
                task ends with ``WorkerOutOfMemory``. Shared data does not count, nor does
                what a forked worker has in common with its parent. Looked at some 50 times
                a second.
            name: what errors call the tasks.

        In ``map`` and its kin the rules hold for each item by itself, each being a task,
        unless ``chunksize`` is given: then for each chunk. A task with a timeout or a
        memory limit is the only one that its worker is sent, so tiny ones cost a round
        trip each. Options of a view replace all of the view's own.

        Raises:
            ValueError, TypeError: an option makes no sense; ``timeout`` or
                ``memory_limit`` with worker threads, which cannot be ended.

        Example:
            >>> import onecopy as oc
            >>> with oc.Pool(2) as pool:
            ...     pool.options(timeout=60, retries=2).map(abs, [-1, -2])
            [1, 2]
        """
        # What is neither a class nor an iterable is one kind, and refused as that.
        kinds: Any = (retry_on,)
        if not isinstance(retry_on, type) and isinstance(retry_on, Iterable):
            kinds = tuple(retry_on)
        rules = Rules(timeout, retries, kinds, memory_limit, name)
        rules.check(self._engine.options.method)
        return PoolView(self._engine, rules, self._streams, self._progress, self)

    # One call.

    def submit(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
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
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
    ) -> R:
        """Calls ``func(*args, **kwds)`` in a worker and waits for its result.

        An exception of the function is raised with the worker's traceback as its cause.
        """
        check_callable(func)
        with ours_cut:
            result: R = self._engine.apply(func, *arguments("apply", args, kwds), self._rules)
            return result

    def apply_async(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[R]:
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

    async def run(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """``await pool.run(func, *args)``: calls it in a worker without blocking the loop.

        Cancelling the awaiting task cancels the work: a worker that is at it already is
        ended and replaced. (A worker thread goes on, and its result is thrown away.)
        Large plain arguments are copied in the calling thread; shared ones are not.
        """
        from . import aio

        result: R = await aio.outcome(self._engine, self.submit(func, *args, **kwargs))
        return result

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
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> list[R]:
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
        with ours_cut:
            return self._many.map(func, iterable, wire.MAP, chunksize, progress)

    def starmap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> list[R]:
        """As ``map``; each item is unpacked: ``func(*item)``."""
        refuse_more("starmap", chunksize, more, others)
        with ours_cut:
            return self._many.map(func, iterable, wire.STARMAP, chunksize, progress)

    def map_async(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: bool | None = None,
    ) -> AsyncResult[list[R]]:
        """As ``map``, but returns at once; see ``apply_async`` for the callbacks."""
        result = AsyncResult(callback, error_callback, self)
        self._many.map_async(func, iterable, wire.MAP, chunksize, result, progress)
        return result

    def starmap_async(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: bool | None = None,
    ) -> AsyncResult[list[R]]:
        """As ``starmap``, but returns at once; see ``apply_async`` for the callbacks."""
        result = AsyncResult(callback, error_callback, self)
        self._many.map_async(func, iterable, wire.STARMAP, chunksize, result, progress)
        return result

    def imap(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> Stream[R]:
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
        with ours_cut:
            return self._streamed(func, iterable, chunksize, progress, ordered=True)

    def imap_unordered(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | None = None,
        **others: Never,
    ) -> Stream[R]:
        """As ``imap``, each result as soon as it is there."""
        refuse_more("imap_unordered", chunksize, more, others)
        with ours_cut:
            return self._streamed(func, iterable, chunksize, progress, ordered=False)

    def _streamed(
        self,
        func: Callable[..., Any],
        items: Iterable[Any],
        chunk: int | None,
        progress: bool | None,
        *,
        ordered: bool,
    ) -> Stream[Any]:
        total = length_of(items)
        job = self._many.stream_job(func, items, chunk, progress, total, ordered=ordered)
        stream: Stream[Any] = Stream(self._engine, job, job.chunk or 1, self)
        self._streams.add(stream)
        return stream

    def stream(
        self,
        func: Callable[[T], R],
        items: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool = True,
        chunksize: int | None = None,
        progress: bool | None = None,
    ) -> AsyncGenerator[R, None]:
        """``async for result in pool.stream(func, items)``: as ``imap`` in an event loop.

        Args:
            items: an iterable or an asynchronous one, consumed a bounded distance ahead.
            ordered: results in the order of the items, or each as soon as it is there.
            chunksize: items per task; chosen by measured time when None.

        An item's error is raised in its place and ends the iteration. Cancelling the task
        that iterates, or closing the iterator, cancels the work.
        """
        from . import aio

        total = length_of(items)
        job = self._many.stream_job(func, (), chunksize, progress, total, ordered=ordered)
        return aio.stream(self._engine, job, items, self)

    @overload
    def map_blocks(
        self,
        func: Callable[[D], R],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | None = None,
    ) -> list[R]: ...

    @overload
    def map_blocks(
        self,
        func: Callable[[D], R],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[R, R], R] | Literal["sum"],
        progress: bool | None = None,
    ) -> R: ...

    @overload
    def map_blocks(
        self,
        func: Callable[[D], Array],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat"],
        progress: bool | None = None,
    ) -> Array: ...

    @overload
    def map_blocks(
        self,
        func: Callable[[D], object],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat"],
        progress: bool | None = None,
    ) -> Any: ...

    @overload
    def map_blocks(
        self,
        func: Callable[..., R],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | None = None,
    ) -> list[R]: ...

    @overload
    def map_blocks(
        self,
        func: Callable[..., R],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[R, R], R] | Literal["sum"],
        progress: bool | None = None,
    ) -> R: ...

    @overload
    def map_blocks(
        self,
        func: Callable[..., Array],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat"],
        progress: bool | None = None,
    ) -> Array: ...

    @overload
    def map_blocks(
        self,
        func: Callable[..., object],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat"],
        progress: bool | None = None,
    ) -> Any: ...

    def map_blocks(
        self,
        func: Callable[..., Any],
        data: Any,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[Any, Any], Any] | Reduction | None = None,
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
        with ours_cut:
            return self._many.map_blocks(func, (data, *more), block, axis, reduce, progress)
