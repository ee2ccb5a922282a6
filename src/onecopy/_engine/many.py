"""Calls of many items: the job of each, and waiting for it.

``calls`` says what they take and give, to people and to type checkers; nothing here has a
type that depends on the function. ``map`` and ``map_blocks`` wait here for what they give;
a job of ``imap`` goes to ``streams``, and one of ``stream`` to ``aio``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._codec.blame import without_ours
from .._progress.asked import Asked, bar_of
from .._progress.bar import Progress
from .._protocol import wire
from . import blocks
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
        rules: that all of them carry; None: none.
        progress: do they show it unless they are told?
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
        """The results of all items, in order; several iterables give an argument each."""
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
        """The same; each item is unpacked."""
        return self._map(func, iterable, wire.STARMAP, chunk, progress, errors, timeout)

    def _map(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        runner: int,
        chunk: int | None,
        progress: Asked | None,
        errors: Errors,
        timeout: float | None,
    ) -> list[Any]:
        check_errors(errors)
        check_timeout(timeout)
        items = taken(func, iterable, chunk)
        job = self._map_job(self._engine.function(func), items, runner, chunk, errors)
        if job.size:
            self._show(job, progress, job.size)
        with Opened(self._engine, job, job.size):
            job.wait(Waiting(self._engine, job), timeout)
        return job.result()

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        runner: int,
        chunk: int | None,
        result: AsyncResult[list[Any]],
        progress: Asked | None,
        errors: Errors,
    ) -> None:
        """Sees to it that ``result`` gets them."""
        engine = self._engine

        def done(job: MapJob) -> None:
            result.end(job.kept(), job.error())
            if job.size:
                engine.drop(job.number)

        check_errors(errors)
        engine.check_open()
        items = taken(func, iterable, chunk)
        try:
            function = engine.function(func)
        except Exception as error:  # it cannot be pickled
            without_ours(error)
            result.end(None, error)
            return
        job = self._map_job(function, items, runner, chunk, errors, done)
        if job.size:
            self._show(job, progress, job.size)
            try:
                job.show()
                engine.open(job, job.size)
            except BaseException:
                job.over()
                raise

    def _map_job(
        self,
        function: Function,
        items: Any,
        runner: int,
        chunk: int | None,
        errors: Errors,
        done: Callable[[MapJob], None] | None = None,
    ) -> MapJob:
        return MapJob(
            function,
            items,
            runner,
            self._engine.namespace,
            chunk,
            rules=self._rules,
            errors=errors,
            done=done,
        )

    def stream_job(
        self,
        func: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        chunk: int | None,
        progress: Asked | None,
        errors: Errors,
        *,
        ordered: bool,
        total: int | None = None,
    ) -> StreamJob:
        """A job whose items come one after another: those of the iterables, and what it is given
        later. ``total``: how many there will be, where the iterables do not tell."""
        check_callable(func)
        check_chunk(chunk)
        check_errors(errors)
        single = len(iterables) == 1
        if total is None:
            lengths = [length_of(each) for each in iterables]
            total = min((each for each in lengths if each is not None), default=None)
        job = StreamJob(
            self._engine.function(func),
            Items(iterables[0] if single else zip(*iterables, strict=False)),
            wire.MAP if single else wire.STARMAP,
            self._engine.namespace,
            chunk,
            IMAP_CHUNK,
            ordered=ordered,
            rules=self._rules,
            errors=errors,
        )
        job.called = "imap"
        self._show(job, progress, total)
        return job

    def map_blocks(
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
        length = blocks.lengths(arrays, axis)
        if block is not None and block < 1:
            raise ValueError(f"a block has at least 1 row, not {block}")
        fold = blocks.fold(reduce, axis)
        if not length:
            return [] if fold is None else blocks.of_nothing(func(*arrays), reduce)
        workers = self._engine.options.workers
        rows = block or blocks.block_rows(arrays, axis, length, workers)
        items = BlockItems(arrays, rows, axis)
        function = self._engine.function(func)
        namespace = self._engine.namespace
        job = StreamJob(function, items, wire.BLOCKS, namespace, rules=self._rules, errors=errors)
        job.end = len(items)
        piece = rows * sum(blocks.bytes_per_row(each, axis, length) for each in arrays)
        self._show(job, progress, job.end, "blocks", piece)
        with Opened(self._engine, job, job.end):
            results = each(job, Waiting(self._engine, job), timeout)
            if fold is None:
                return list(results)
            for result in results:
                fold.add(result, items.rows(job.yielded - 1))
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
        function = self._engine.function(func)
        items = GroupItems(frame, ends)
        namespace = self._engine.namespace
        job = StreamJob(function, items, wire.BLOCKS, namespace, rules=self._rules, errors=errors)
        job.called = "map_groups"
        job.end = len(items)
        self._show(job, progress, job.end, "groups")
        with Opened(self._engine, job, job.end):
            made: dict[Any, Any] = {}
            for result in each(job, Waiting(self._engine, job), timeout):
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
        """Has the job's progress shown, if it is wanted, from where the job is opened;
        ``piece``: bytes of an item."""
        bar = bar_of(asked, self._progress)
        if bar is not None:
            job.bar = Progress(total, job.name, unit, bar, piece)


def length_of(items: Any) -> int | None:
    """How many there are, when that can be told."""
    try:
        return len(items)
    except TypeError:
        return None
