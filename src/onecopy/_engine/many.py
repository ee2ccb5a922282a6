"""Calls of many items: each creates a job and waits for it.

Their documentation and generic types are in ``calls``; the types here do not depend on the
function. ``map`` and ``map_blocks`` wait here for their results; a job of ``imap`` goes to
``streams``, and one of ``stream`` to ``aio``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._codec.blame import without_ours
from .._progress.bar import Progress
from .._protocol import wire
from . import blocks
from .busy import Waiting
from .engine import Engine
from .functions import Function
from .jobs import BlockItems, Items, Job, MapJob, StreamJob
from .opened import Opened, each
from .refused_arguments import check_callable, check_chunk, taken
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

    def __init__(self, engine: Engine, rules: Rules | None, progress: bool) -> None:
        self._engine = engine
        self._rules = rules
        self._progress = progress

    def map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        call_kind: int,
        chunk: int | None,
        progress: bool | None,
    ) -> list[Any]:
        """Return the results of all items, in order."""
        items = taken(func, iterable, chunk)
        job = self._map_job(self._engine.submission.function(func), items, call_kind, chunk)
        if job.size:
            self._show(job, progress, job.size)
        with Opened(self._engine, job, job.size):
            job.wait(Waiting(self._engine.core, job))
        return job.result()

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        call_kind: int,
        chunk: int | None,
        result: AsyncResult[list[Any]],
        progress: bool | None,
    ) -> None:
        """Start a job; ``result`` gets its results."""
        engine = self._engine

        def done(job: MapJob) -> None:
            result.end(job.values, job.error())
            if job.size:
                engine.submission.drop(job.number)

        engine.core.check_open()
        items = taken(func, iterable, chunk)
        try:
            function = engine.submission.function(func)
        except Exception as error:  # it cannot be pickled
            without_ours(error)
            result.end(None, error)
            return
        job = self._map_job(function, items, call_kind, chunk, done)
        if job.size:
            self._show(job, progress, job.size)
            engine.submission.open(job, job.size)

    def _map_job(
        self,
        function: Function,
        items: Any,
        call_kind: int,
        chunk: int | None,
        done: Callable[[MapJob], None] | None = None,
    ) -> MapJob:
        namespace = self._engine.submission.namespace
        return MapJob(function, items, call_kind, namespace, chunk, rules=self._rules, done=done)

    def stream_job(
        self,
        func: Callable[..., Any],
        items: Iterable[Any],
        chunk: int | None,
        progress: bool | None,
        total: int | None,
        *,
        ordered: bool,
    ) -> StreamJob:
        """Return a job whose items come one after another: ``items``, and those added later.

        ``total``: the number of items, if it is known.
        """
        check_callable(func)
        check_chunk(chunk)
        job = StreamJob(
            self._engine.submission.function(func),
            Items(items),
            wire.MAP,
            self._engine.submission.namespace,
            chunk,
            IMAP_CHUNK,
            ordered=ordered,
            rules=self._rules,
        )
        self._show(job, progress, total)
        return job

    def map_blocks(
        self,
        func: Callable[..., Any],
        arrays: tuple[Any, ...],
        block: int | None,
        axis: int,
        reduce: Callable[[Any, Any], Any] | str | None,
        progress: bool | None,
    ) -> Any:
        """See ``PoolView.map_blocks``."""
        check_callable(func)
        length = blocks.lengths(arrays, axis)
        if block is not None and block < 1:
            raise ValueError(f"a block has at least 1 row, not {block}")
        combine, at_once = blocks.reducer(reduce, axis)
        if not length:
            return func(*arrays) if combine is not None else []
        workers = self._engine.options.workers
        rows = block or blocks.block_rows(arrays, axis, length, workers)
        items = BlockItems(arrays, rows, axis)
        function = self._engine.submission.function(func)
        job = StreamJob(
            function, items, wire.BLOCKS, self._engine.submission.namespace, rules=self._rules
        )
        job.end = len(items)
        self._show(job, progress, job.end, "blocks")
        with Opened(self._engine, job, job.end):
            results = each(job, Waiting(self._engine.core, job))
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
        """Show the job's progress, if it is wanted."""
        if self._progress if wanted is None else wanted:
            job.bar = Progress(total, job.name, unit)


def length_of(items: Any) -> int | None:
    """Return the number of items, or None if it cannot be known."""
    try:
        return len(items)
    except TypeError:
        return None
