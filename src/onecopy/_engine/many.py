"""Calls of many items: each creates a job and waits for it.

Their documentation and generic types are in ``calls``; the types here do not depend on the
function. ``map`` and ``map_blocks`` wait here for their results; a job of ``imap`` goes to
``streams``, and one of ``stream`` to ``aio``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._codec.blame import without_ours
from .._files.scan.handle import Scan
from .._observe.diary import CALLBACKS, ITERABLE
from .._progress.asked import Asked, bar_of
from .._progress.bar import Progress
from .._protocol import wire
from .._system.interrupts import raised_by_handler
from . import blocks, scanned
from .block_items import BlockItems, GroupItems
from .busy import Waiting
from .engine import Engine
from .failed import Errors, check_errors
from .functions import Function
from .jobs import Items, Job, MapJob, StreamJob
from .opened import Opened, each
from .refused_arguments import check_callable, check_chunk, check_timeout, taken
from .results import AsyncResult
from .rules import Rules

IMAP_CHUNK = 16


class Many:
    """See the module.

    Args:
        engine: runs them.
        rules: of all these calls; None: none.
        progress: show progress by default.
    """

    def __init__(self, engine: Engine, rules: Rules | None, progress: Asked) -> None:
        self._engine = engine
        self._rules = rules
        self._progress = progress

    def map(
        self,
        func: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        chunk: int | None,
        progress: Asked | None,
        errors: Errors,
        timeout: float | None,
    ) -> list[Any]:
        """Return the results of all items, in order; several iterables give one argument each."""
        if len(iterables) > 1:
            pairs = zip(*iterables, strict=False)
            return self._map(func, pairs, wire.STARMAP, chunk, progress, errors, timeout)
        return self._map(func, iterables[0], wire.MAP, chunk, progress, errors, timeout)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunk: int | None,
        progress: Asked | None,
        errors: Errors,
        timeout: float | None,
    ) -> list[Any]:
        """Return the results of all items, each of them unpacked."""
        return self._map(func, iterable, wire.STARMAP, chunk, progress, errors, timeout)

    def _map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        call_kind: int,
        chunk: int | None,
        progress: Asked | None,
        errors: Errors,
        timeout: float | None,
    ) -> list[Any]:
        check_errors(errors)
        check_timeout(timeout)
        with self._engine.history.diary.at(ITERABLE):
            items = taken(func, iterable, chunk)
        job = self._map_job(self._engine.submission.function(func), items, call_kind, chunk, errors)
        if job.size:
            self._show(job, progress, job.size)
        with Opened(self._engine, job, job.size):
            job.wait(Waiting(self._engine.core, job), timeout)
        return job.result()

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        call_kind: int,
        chunk: int | None,
        result: AsyncResult[list[Any]],
        progress: Asked | None,
        errors: Errors,
    ) -> None:
        """Start a job; ``result`` gets its results."""
        engine = self._engine

        def done(job: MapJob) -> None:
            result.end(job.kept(), job.error())
            if job.size:
                engine.submission.drop(job.number)

        check_errors(errors)
        engine.core.check_open()
        with engine.history.diary.at(ITERABLE):
            items = taken(func, iterable, chunk)
        try:
            function = engine.submission.function(func)
        except Exception as error:  # it cannot be pickled
            without_ours(error)
            if raised_by_handler(error):
                raise
            result.end(None, error)
            return
        job = self._map_job(function, items, call_kind, chunk, errors, done)
        if job.size:
            self._show(job, progress, job.size)
            engine.submission.open(job, job.size)

    def _map_job(
        self,
        function: Function,
        items: Any,
        call_kind: int,
        chunk: int | None,
        errors: Errors,
        done: Callable[[MapJob], None] | None = None,
    ) -> MapJob:
        options = self._engine.options
        if chunk is None and options.max_tasks is not None:
            # A worker is replaced after a number of chunks: of the size that multiprocessing makes them.
            chunk = max(1, -(-len(items) // (4 * options.workers)))
        return MapJob(
            function,
            items,
            call_kind,
            self._engine.submission.namespace,
            chunk,
            rules=self._rules,
            errors=errors,
            done=done,
        )

    def stream_job(  # noqa: PLR0913  # each is an option of the call
        self,
        func: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        chunk: int | None,
        progress: Asked | None,
        errors: Errors,
        *,
        ordered: bool,
        total: int | None = None,
        scan: Scan | None = None,
    ) -> StreamJob:
        """Return a job whose items come one after another: those of the iterables, and those added
        later.

        ``total``: the number of items, if the iterables do not show it. ``scan``: the items are its
        blocks.
        """
        check_callable(func)
        check_chunk(chunk)
        check_errors(errors)
        if scan is not None:
            scanned.check(scan, self._engine, errors)
        if chunk is None and self._engine.options.max_tasks is not None:
            chunk = 1  # a worker is replaced after a number of items, as in multiprocessing
        single = len(iterables) == 1
        if total is None:
            lengths = [length_of(each) for each in iterables]
            total = min((each for each in lengths if each is not None), default=None)
        make = StreamJob if scan is None else scanned.ScanJob
        job = make(
            scanned.function(self._engine, func)
            if scan is not None
            else self._engine.submission.function(func),
            Items(iterables[0] if single else zip(*iterables, strict=False)),
            wire.MAP if single else wire.STARMAP,
            self._engine.submission.namespace,
            chunk,
            IMAP_CHUNK,
            ordered=ordered,
            rules=self._rules,
            errors=errors,
        )
        job.called = "imap"
        if scan is None:
            self._show(job, progress, total)
        else:
            self._show(job, progress, total, "blocks", scanned.mean_bytes(scan))
        return job

    def map_blocks(  # noqa: PLR0913  # each is an option of the call
        self,
        func: Callable[..., Any],
        arrays: tuple[Any, ...],
        block: int | None,
        axis: int,
        reduce: Callable[[Any, Any], Any] | str | None,
        progress: Asked | None,
        errors: Errors,
        timeout: float | None,
    ) -> Any:
        """See ``PoolView.map_blocks``."""
        check_callable(func)
        check_errors(errors)
        check_timeout(timeout)
        if reduce is not None and errors == "return":
            raise ValueError("what has failed cannot be reduced: give errors='skip', or no reduce")
        if any(isinstance(data, Scan) for data in arrays):
            scan = scanned.only(arrays, block, axis)
            fold = blocks.fold(reduce, axis)
            work = scanned.job(self._engine, self._rules, func, scan, fold is not None, errors)
            self._show(work, progress, work.end, "blocks", scanned.mean_bytes(scan))
            found = scanned.results(self._engine, work, fold, timeout)
            return scanned.of_nothing(func, scan, reduce) if found is scanned.NOTHING else found
        length = blocks.lengths(arrays, axis)
        if block is not None and block < 1:
            raise ValueError(f"a block has at least 1 row, not {block}")
        fold = blocks.fold(reduce, axis)
        if not length:
            return [] if fold is None else blocks.of_nothing(func(*arrays), reduce)
        workers = self._engine.options.workers
        rows = block or blocks.block_rows(arrays, axis, length, workers)
        items = BlockItems(arrays, rows, axis)
        function = self._engine.submission.function(func)
        namespace = self._engine.submission.namespace
        job = StreamJob(function, items, wire.BLOCKS, namespace, rules=self._rules, errors=errors)
        job.end = len(items)
        piece = rows * sum(blocks.bytes_per_row(each, axis, length) for each in arrays)
        self._show(job, progress, job.end, "blocks", piece)
        with Opened(self._engine, job, job.end):
            results = each(job, Waiting(self._engine.core, job), timeout)
            if fold is None:
                return list(results)
            combining = self._engine.history.diary.at(CALLBACKS)
            left_out = None
            if reduce == "mean":
                from .left_out import LeftOut  # imports NumPy

                left_out = LeftOut(func)
            for result in results:
                at = job.yielded - 1
                with combining:
                    fold.add(result, items.rows(at))
                    if left_out is not None:
                        left_out.look(result, items.block(at), at * rows, items.rows(at))
            with combining:
                return fold.total()

    def map_groups(
        self,
        func: Callable[..., Any],
        frame: Any,
        by: Any,
        progress: Asked | None,
        errors: Errors,
        timeout: float | None,
    ) -> dict[Any, Any]:
        """See ``PoolView.map_groups``."""
        from .._objects.ordering import grouped

        check_callable(func)
        check_errors(errors)
        check_timeout(timeout)
        frame, ends, keys = grouped(frame, by)
        if not ends:
            return {}
        function = self._engine.submission.function(func)
        items = GroupItems(frame, ends)
        namespace = self._engine.submission.namespace
        job = StreamJob(function, items, wire.BLOCKS, namespace, rules=self._rules, errors=errors)
        job.called = "map_groups"
        job.end = len(items)
        self._show(job, progress, job.end, "groups")
        with Opened(self._engine, job, job.end):
            made: dict[Any, Any] = {}
            for result in each(job, Waiting(self._engine.core, job), timeout):
                made[keys[job.yielded - 1]] = result
            return made

    def _show(
        self,
        job: Job,
        asked: Asked | None,
        total: int | None,
        unit: str = "items",
        piece: float = 0.0,
    ) -> None:
        """Show the job's progress, if it is wanted, from its opening on; ``piece``: bytes of an
        item."""
        bar = bar_of(asked, self._progress)
        if bar is not None:
            job.bar = Progress(total, job.name, unit, bar, piece)


def length_of(items: Any) -> int | None:
    """Return the number of items, or None if it cannot be known."""
    try:
        return len(items)
    except TypeError:
        return None
