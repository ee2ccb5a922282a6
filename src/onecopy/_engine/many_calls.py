"""The calls of a pool for many items: ``map``, ``imap`` and similar ones, with their types.

``many`` and ``jobs`` implement them; ``map_blocks`` and single calls are in ``calls``.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Never, TypeVar, overload

from .._codec.blame import ours_cut
from .._progress.asked import Bar
from .._protocol import wire
from .engine import Engine
from .failed import Failed
from .many import Many, length_of
from .refused_arguments import refuse_more, several
from .results import AsyncResult
from .scanned import in_place_of
from .streams import Stream

if TYPE_CHECKING:
    from .failed import Errors

R = TypeVar("R")  # a function's return type
T = TypeVar("T")  # the type of an item
A = TypeVar("A")  # the type of one of two arguments
B = TypeVar("B")


class ManyCalls:
    """See the module; a part of ``PoolView``."""

    __module__ = "onecopy.pool"

    def __init__(self, engine: Engine, many: Many, streams: weakref.WeakSet[Stream[Any]]) -> None:
        self._engine = engine  # set by ``Pool`` alone
        self._many = many
        self._streams = streams

    @overload
    def map(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def map(
        self,
        func: Callable[[A, B], R],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def map(
        self,
        func: Callable[..., R],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def map(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    @overload
    def map(
        self,
        func: Callable[[A, B], R],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    @overload
    def map(
        self,
        func: Callable[..., R],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    def map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        *more: Any,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
        timeout: float | None = None,
        **others: Never,
    ) -> list[Any]:
        """``[func(item) for item in iterable]``, computed by all workers; blocks until all items
        are done.

        Args:
            func: sent to each worker once.
            iterable: consumed at once. A range, a list or an array is sent in slices; a slice of a
                shared array is passed by reference.
            more: more iterables, for more arguments, as in the built-in ``map``: the shortest
                determines the number of items. An integer here is the ``chunksize``, as in
                ``multiprocessing``.
            chunksize: items per task; chosen by measured time if None.
            progress: show progress on standard error: a bar on a terminal and in a notebook, an
                occasional line elsewhere. True, a label, or an ``onecopy.Bar`` with label, unit and
                total. None: the pool's default.
            errors: the treatment of items that fail. ``"raise"``: the first one's error is raised
                when all have ended. ``"return"``: an ``onecopy.Failed`` takes its place.
                ``"skip"``: it is left out.
            timeout: seconds for the whole call. After that ``TaskTimeout`` is raised, and the
                workers that run its items are killed and replaced.

        Every item is run even if some fail. If Ctrl-C interrupts the call, the workers that run its
        items are killed and replaced. The same is true of the other calls that block.
        """
        chunk, iterables = several("map", chunksize, iterable, more, others)
        with ours_cut:
            return self._many.map(func, iterables, chunk, progress, errors, timeout)

    @overload
    def starmap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def starmap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *more: Never,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
        timeout: float | None = None,
        **others: Never,
    ) -> list[Any]:
        """Like ``map``, but each item is unpacked: ``func(*item)``."""
        refuse_more("starmap", chunksize, more, others)
        with ours_cut:
            return self._many.starmap(func, iterable, chunksize, progress, errors, timeout)

    def map_async(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
    ) -> AsyncResult[list[R]]:
        """Like ``map`` with one iterable, but returns at once; see ``apply_async`` for the
        callbacks."""
        result = AsyncResult(callback, error_callback, self)
        with ours_cut:
            self._many.map_async(func, iterable, wire.MAP, chunksize, result, progress, errors)
        return result

    def starmap_async(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
    ) -> AsyncResult[list[R]]:
        """Like ``starmap``, but returns at once; see ``apply_async`` for the callbacks."""
        result = AsyncResult(callback, error_callback, self)
        with ours_cut:
            self._many.map_async(func, iterable, wire.STARMAP, chunksize, result, progress, errors)
        return result

    @overload
    def imap(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Stream[R]: ...

    @overload
    def imap(
        self,
        func: Callable[[A, B], R],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Stream[R]: ...

    @overload
    def imap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Stream[R]: ...

    @overload
    def imap(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Stream[R | Failed]: ...

    @overload
    def imap(
        self,
        func: Callable[[A, B], R],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Stream[R | Failed]: ...

    @overload
    def imap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Stream[R | Failed]: ...

    def imap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        *more: Any,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
        **others: Never,
    ) -> Stream[Any]:
        """Yield results in order as they arrive; for inputs that are long, slow or endless.

        The iterable is consumed at most 64 items per worker ahead of what has been fetched, in the
        calling thread: at the call and at each ``next``. If an item fails, its ``next`` raises;
        later items can still be fetched. An error of the iterable itself is raised after the
        results of the items before it. When the iterator is deleted, the remaining tasks are
        cancelled, running or not. The same happens when a ``next`` is interrupted: after that it
        raises CancelledError.

        Args:
            iterable: or what ``onecopy.scan`` returns: workers read its blocks, and ``func`` is called
                with each.
            more, chunksize, progress: see ``map``.
            errors: ``"raise"``, ``"return"`` or ``"skip"``, as for ``map``.

        Returns:
            An iterator, with ``next(timeout)`` in addition to ``__next__``.
        """
        chunk, iterables = several("imap", chunksize, iterable, more, others)
        with ours_cut:
            return self._streamed(func, iterables, chunk, progress, errors, ordered=True)

    @overload
    def imap_unordered(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Stream[R]: ...

    @overload
    def imap_unordered(
        self,
        func: Callable[[A, B], R],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Stream[R]: ...

    @overload
    def imap_unordered(
        self,
        func: Callable[..., R],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> Stream[R]: ...

    @overload
    def imap_unordered(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Stream[R | Failed]: ...

    @overload
    def imap_unordered(
        self,
        func: Callable[[A, B], R],
        iterable: Iterable[A],
        second: Iterable[B],
        /,
        *,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Stream[R | Failed]: ...

    @overload
    def imap_unordered(
        self,
        func: Callable[..., R],
        iterable: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> Stream[R | Failed]: ...

    def imap_unordered(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        *more: Any,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
        **others: Never,
    ) -> Stream[Any]:
        """Like ``imap``, but yields each result as soon as it is there."""
        chunk, iterables = several("imap_unordered", chunksize, iterable, more, others)
        with ours_cut:
            return self._streamed(func, iterables, chunk, progress, errors, ordered=False)

    def _streamed(
        self,
        func: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        chunk: int | None,
        progress: bool | str | Bar | None,
        errors: Errors,
        *,
        ordered: bool,
    ) -> Stream[Any]:
        scan = in_place_of(iterables)
        if scan is not None:
            iterables = (scan.blocks,)
        job = self._many.stream_job(
            func, iterables, chunk, progress, errors, ordered=ordered, scan=scan
        )
        stream: Stream[Any] = Stream(self._engine, job, job.chunk or 1, self)
        self._streams.add(stream)
        return stream

    @overload
    def stream(
        self,
        func: Callable[[T], R],
        items: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool = True,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
    ) -> AsyncGenerator[R, None]: ...

    @overload
    def stream(
        self,
        func: Callable[[T], R],
        items: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool = True,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
    ) -> AsyncGenerator[R | Failed, None]: ...

    def stream(
        self,
        func: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = True,
        chunksize: int | None = None,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
    ) -> AsyncGenerator[Any, None]:
        """``async for result in pool.stream(func, items)``: ``imap`` for an event loop.

        Args:
            items: an iterable or an asynchronous one, consumed a bounded distance ahead; or what
                ``onecopy.scan`` returns, as for ``imap``.
            ordered: yield results in the order of the items, or each as soon as it is there.
            chunksize: items per task; chosen by measured time if None.
            progress, errors: as for ``map``.

        An item's error is raised in its place and ends the iteration. Cancelling the task that
        iterates, or closing the iterator, cancels the work.
        """
        from . import aio

        scan = in_place_of((items,))
        if scan is not None:
            items = scan.blocks
        total = length_of(items)
        job = self._many.stream_job(
            func, ((),), chunksize, progress, errors, ordered=ordered, total=total, scan=scan
        )
        return aio.stream(self._engine, job, items, self)
