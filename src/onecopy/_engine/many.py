"""Calls of many items: the job of each, and waiting for it.

``calls`` says what they take and give, to people and to type checkers; nothing here has a
type that depends on the function. ``map`` and ``map_blocks`` wait here for what they give;
a job of ``imap`` goes to ``streams``, and one of ``stream`` to ``aio``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._codec.blame import without_ours
from .._observe.diary import CALLBACKS, ITERABLE
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
        rules: that all of them carry; None: none.
        progress: do they show it unless they are told?
    """

    def __init__(self, engine: Engine, rules: Rules | None, progress: bool) -> None:
        self._engine = engine
        self._rules = rules
        self._progress = progress

    def map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        runner: int,
        chunk: int | None,
        progress: bool | None,
    ) -> list[Any]:
        """The results of all items, in order."""
        with self._engine.diary.at(ITERABLE):
            items = taken(func, iterable, chunk)
        job = self._map_job(self._engine.function(func), items, runner, chunk)
        if job.size:
            self._show(job, progress, job.size)
        with Opened(self._engine, job, job.size):
            job.wait(Waiting(self._engine, job))
        return job.result()

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        runner: int,
        chunk: int | None,
        result: AsyncResult[list[Any]],
        progress: bool | None,
    ) -> None:
        """Sees to it that ``result`` gets them."""
        engine = self._engine

        def done(job: MapJob) -> None:
            result.end(job.values, job.error())
            if job.size:
                engine.drop(job.number)

        engine.check_open()
        with engine.diary.at(ITERABLE):
            items = taken(func, iterable, chunk)
        try:
            function = engine.function(func)
        except Exception as error:  # it cannot be pickled
            without_ours(error)
            result.end(None, error)
            return
        job = self._map_job(function, items, runner, chunk, done)
        if job.size:
            self._show(job, progress, job.size)
            engine.open(job, job.size)

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
        """A job whose items come one after another: those of ``items``, and what it is given
        later. ``total``: how many there will be, where that is known."""
        check_callable(func)
        check_chunk(chunk)
        job = StreamJob(
            self._engine.function(func),
            Items(items),
            wire.MAP,
            self._engine.namespace,
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
        function = self._engine.function(func)
        job = StreamJob(function, items, wire.BLOCKS, self._engine.namespace, rules=self._rules)
        job.end = len(items)
        self._show(job, progress, job.end, "blocks")
        with Opened(self._engine, job, job.end):
            results = each(job, Waiting(self._engine, job))
            if combine is None:
                return list(results)
            calling = self._engine.diary.at(CALLBACKS)
            if at_once:
                parts = list(results)
                with calling:
                    return combine(parts, None)
            total = next(results)
            if isinstance(reduce, str):
                total = blocks.plain(total)
            for result in results:
                with calling:
                    total = combine(total, result)
            return total

    def _show(self, job: Job, wanted: bool | None, total: int | None, unit: str = "items") -> None:
        """Has the job's progress shown, if it is wanted."""
        if self._progress if wanted is None else wanted:
            job.bar = Progress(total, job.name, unit)


def length_of(items: Any) -> int | None:
    """How many there are, when that can be told."""
    try:
        return len(items)
    except TypeError:
        return None
