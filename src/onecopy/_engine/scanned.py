"""``map_blocks`` and ``imap`` on a dataset that is not loaded: the items are descriptions of blocks,
and workers read what they describe.

A worker that finds no rows in a block answers so and does not call the function; the block is then
left out, like an item that is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._files.scan.handle import NoRows, OnBlocks, Scan, depends, nothing
from .._observe.diary import CALLBACKS
from .._protocol import wire
from .._protocol.failures import name_of
from .._schedule.events import Assignment
from . import blocks
from .busy import Waiting
from .engine import Engine
from .failed import Errors
from .functions import Function
from .jobs import StreamJob
from .opened import Opened, each
from .rules import Rules

NOTHING = object()


class ScanJob(StreamJob):
    """A job whose items are blocks, some of which may have no rows."""

    def deliver(self, assignment: Assignment, value: Any) -> None:
        if not any(each is NoRows for each in value):
            super().deliver(assignment, value)
            return
        self.advance(len(value))
        with self._changing():
            for at, result in enumerate(value, assignment.start):
                self._arrive(at, True, result)

    def _arrive(self, at: int, good: bool, value: Any) -> None:
        super()._arrive(at, good, value)
        if value is NoRows and self._arrived.pop(at, None) is not None:
            self._skipped.add(at)


def in_place_of(iterables: tuple[Any, ...]) -> Scan | None:
    """Return the scan whose blocks are the items of a call, if the iterable is one.

    Raises TypeError if there are others beside it.
    """
    if not any(isinstance(each, Scan) for each in iterables):
        return None
    if len(iterables) > 1:
        raise TypeError("a scan is worked through alone: give no other data or iterable beside it")
    scan: Scan = iterables[0]
    return scan


def only(data: tuple[Any, ...], block: int | None, axis: int) -> Scan:
    """Return the scan that ``map_blocks`` was called with. Raises for arguments that do not go with
    one."""
    scan = in_place_of(data)
    assert scan is not None
    if block is not None or axis:
        raise ValueError(
            "a scan is cut by its files: give scan(..., rows=) or block_bytes=, no block or axis"
        )
    return scan


def check(scan: Scan, engine: Engine, errors: Errors) -> None:
    """Raise ValueError for a scan that this pool's workers cannot read, or not with ``errors``."""
    if errors != "raise" and depends(scan):
        raise ValueError(
            f"errors={errors!r}: a CSV file is cut at line ends, and what comes after a block that "
            "cannot be read may begin within a row: give scan(quote='') if no value holds a line "
            "end, or block_bytes= beyond the size of a file"
        )
    if engine.options.method != "thread" and any(
        name.startswith("memory://") for name in scan.files
    ):
        raise ValueError(
            "files at memory:// are in this process alone, and workers are other processes: load "
            'them, or use Pool(method="thread")'
        )


def function(engine: Engine, func: Callable[[Any], Any], *, counted: bool = False) -> Function:
    """Return the function that workers call with each block; it has the name of the caller's."""
    made = engine.submission.function(OnBlocks(func, counted))
    made.name = name_of(func)
    return made


def mean_bytes(scan: Scan) -> float:
    """Return the bytes of a block, for a progress bar."""
    return scan.nbytes / max(1, len(scan.blocks))


def job(
    engine: Engine, rules: Rules | None, func: Any, scan: Scan, counted: bool, errors: Errors
) -> ScanJob:
    """Return a job on all blocks of a scan; ``counted``: with the number of rows of each."""
    check(scan, engine, errors)
    made = ScanJob(
        function(engine, func, counted=counted),
        scan.blocks,
        wire.MAP,
        engine.submission.namespace,
        rules=rules,
        errors=errors,
    )
    made.called = "map_blocks"
    made.end = len(scan.blocks)
    return made


def results(engine: Engine, job: ScanJob, fold: blocks.Fold | None, timeout: float | None) -> Any:
    """Run the job; return the list of its results, or their reduction, ``NOTHING`` of no rows."""
    if not job.end:
        return [] if fold is None else NOTHING
    some = False
    with Opened(engine, job, job.end):
        found = each(job, Waiting(engine.core, job), timeout)
        if fold is None:
            return list(found)
        combining = engine.history.diary.at(CALLBACKS)
        for rows, result in found:
            some = True
            with combining:
                fold.add(result, rows)
        with combining:
            return fold.total() if some else NOTHING


def of_nothing(func: Callable[[Any], Any], scan: Scan, reduce: Any) -> Any:
    """Return the combined value of no rows at all."""
    return blocks.of_nothing(func(nothing(scan)), reduce)
