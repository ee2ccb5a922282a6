"""``onecopy run``: a function over the blocks of a file, on every core.

It parses, calls ``onecopy.load`` and ``Pool.map_blocks``, and prints: the result on
standard output; time, workers and memory on standard error; or with ``--json`` all of it
as one object on standard output. Functions are found by ``_targets``, data by ``_source``.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OnecopyError, RemoteTraceback
from . import _show, _source, _targets
from ._errors import FAILED, CommandError, reason
from ._reading import reads_files
from .report import check

if TYPE_CHECKING:
    from .._observe.sampler import TreeMemory
    from ..pool import Pool, PoolStats

NAMED = ("sum", "min", "max", "concat")
_PACKAGE = str(Path(__file__).resolve().parents[1])


class Method(StrEnum):
    """How workers start; ``auto`` is ``forkserver`` here."""

    AUTO = "auto"
    FORK = "fork"
    FORKSERVER = "forkserver"
    SPAWN = "spawn"
    THREAD = "thread"


@dataclass(frozen=True)
class Request:
    """What the command line asks for; the attributes are its options."""

    function: _targets.Target
    file: str
    field: str | None
    workers: int | None
    method: Method
    block: int | None
    reduce: str | _targets.Target | None
    out: str | None
    report: str | None
    progress: bool
    json: bool
    reading: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came out, and what it took."""

    result: Any
    seconds: float
    workers: int
    method: str
    rows: int
    data_bytes: int
    stats: PoolStats
    peak: TreeMemory | None


@reads_files
def command(
    function: Annotated[
        str, typer.Argument(metavar="MODULE:FUNC", help="The function, or path/to/file.py:FUNC.")
    ],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="What onecopy.load reads: a file, 'a pattern*', ARCHIVE:MEMBER."
        ),
    ],
    field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A column of a table, a field of records, a member of an archive."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Default: the CPUs this may use.")
    ] = None,
    method: Annotated[Method, typer.Option(help="How workers start.")] = Method.AUTO,
    block: Annotated[
        int | None, typer.Option(min=1, metavar="ROWS", help="Rows per call. Default: about 6 MB.")
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option(metavar="R", help="sum, min, max, concat, or MODULE:FUNC of two results."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Save the result: .npy or .json.")
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where time and memory went: .html, .pftrace, .json, .onecopy; - prints it.",
        ),
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Default: on a terminal.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as one object.")] = False,
    *,
    reading: dict[str, Any],
) -> Callable[[], int]:
    """Call a function on the blocks of a file, on every core.

    onecopy run numpy:nansum records.npy --field val --reduce sum
    """
    request = Request(
        function=_targets.parse(function),
        file=file,
        field=field,
        workers=workers,
        method=method,
        block=block,
        reduce=reduce if reduce is None or reduce in NAMED else _reducer(reduce),
        out=out,
        report=report,
        progress=sys.stderr.isatty() if progress is None else progress,
        json=json,
        reading=reading,
    )
    path, _ = _source.split(file)
    if out is not None:
        _show.check_out(out, path)
    if report not in (None, "-"):
        check(report)
    return partial(execute, request)


def _reducer(name: str) -> _targets.Target:
    if ":" not in name:
        raise CommandError(f"--reduce {name!r}: it is {', '.join(NAMED)} or MODULE:FUNC")
    return _targets.parse(name)


def execute(request: Request) -> int:
    """Does it and prints what came out; returns the exit status."""
    try:
        outcome = compute(request)
    except CommandError:
        raise
    except OnecopyError as error:
        raise CommandError(str(error), FAILED) from error
    except Exception as error:
        return _failed(request, error)
    if request.out is not None:
        _show.save(request.out, outcome.result)
    if request.json:
        print(_show.dump(_report(request, outcome)))
    else:
        if request.out is None:
            print(_show.text(outcome.result), flush=True)
        print(_facts(request, outcome), file=sys.stderr)
    return 0


def compute(request: Request) -> Outcome:
    """Loads, computes, measures."""
    began = perf_counter()
    targets = [request.function]
    if isinstance(request.reduce, _targets.Target):
        targets.append(request.reduce)
    _targets.find(*targets)
    with ExitStack() as stack:
        pool = None
        # Workers of a fork have what is imported here; other processes start meanwhile.
        if request.method not in (Method.FORK, Method.THREAD):
            pool = _pool(request, stack)
        function = _targets.resolve(request.function)
        source = _source.load(request.file, request.field, request.reading, request.progress)
        reduce = request.reduce
        combine: Any = reduce if isinstance(reduce, str | None) else _targets.resolve(reduce)
        if pool is None:
            pool = _pool(request, stack)
        # Imported late, and entered after the pool was made: a thread must not be forked.
        from .._observe.sampler import Sampler

        sampler = stack.enter_context(Sampler())
        result = pool.map_blocks(
            function, source.data, block=request.block, reduce=combine, progress=request.progress
        )
        seconds = perf_counter() - began
        sampler.sample()  # the workers still map what they have used
        if request.report is not None:
            _write_report(pool, request.report)
        return Outcome(
            result=result,
            seconds=seconds,
            workers=pool.workers,
            method=pool.method,
            rows=len(source.data),
            data_bytes=source.data_bytes,
            stats=pool.stats(),
            peak=sampler.peak,
        )


def _write_report(pool: Pool, target: str) -> None:
    if target == "-":
        from .._report import gather, terminal

        # Results alone are on standard output.
        terminal.print_report(gather.run(pool._engine), sys.stderr)
        return
    try:
        pool.report(target)
    except OSError as error:
        raise CommandError(f"{target!r} cannot be written: {reason(error)}", FAILED) from error


def _pool(request: Request, stack: ExitStack) -> Pool:
    """The pool; ended when ``stack`` is."""
    from ..pool import Pool

    modules = {"numpy": 0, request.function.module: 0}
    method = Method.FORKSERVER if request.method is Method.AUTO else request.method
    name: Any = method.value
    pool = Pool(request.workers, method=name, preload=tuple(modules))

    def end() -> None:
        pool.terminate()
        # A thread cannot be ended in its task, but the program need not wait for it.
        if method is not Method.THREAD:
            pool.join()

    stack.callback(end)
    return pool


def _failed(request: Request, error: Exception) -> int:
    """The user's own failure with its traceback, without the frames of this package."""
    cause = error.__cause__
    notes = getattr(error, "__notes__", ())
    if isinstance(cause, RemoteTraceback):
        print(f"{cause}".strip(), file=sys.stderr)
        return FAILED
    in_worker = any(note.startswith("onecopy:") for note in notes)
    if isinstance(request.reduce, str) and not in_worker:
        raise CommandError(
            f"the results of {request.function.spec!r} cannot be combined by "
            f"--reduce {request.reduce}: {reason(error)}"
        ) from error
    report = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in report.stack if not frame.filename.startswith(_PACKAGE)]
    report.stack[:] = kept
    print("".join(report.format()).rstrip(), file=sys.stderr)
    return FAILED


def _facts(request: Request, outcome: Outcome) -> str:
    """Time, workers and memory, a line each."""
    lines = [
        f"time     {outcome.seconds:.3g} s for {_show.count(outcome.rows, 'row')}",
        f"workers  {outcome.workers} by {outcome.method}, {_show.count(outcome.stats.tasks, 'task')}, "
        f"{_show.size(outcome.stats.bytes_sent + outcome.stats.bytes_received)} through pipes",
        f"memory   {_memory(outcome)}",
    ]
    if request.out is not None:
        lines.insert(0, f"saved    {request.out}")
    return "\n".join(lines)


def _memory(outcome: Outcome) -> str:
    data = f"the data's {_show.size(outcome.data_bytes)}"
    peak = outcome.peak
    if peak is None:
        return f"cannot be read on this system; {data}"
    # Against little data it is the interpreters that are seen, and no ratio says anything.
    times = f" = {peak.pss / outcome.data_bytes:.2f} x" if outcome.data_bytes > 10**8 else ","
    return f"{_show.size(peak.pss)} at the peak, PSS of {_show.count(peak.processes, 'process')}{times} {data}"


def _report(request: Request, outcome: Outcome) -> dict[str, Any]:
    """The object that ``--json`` prints; sizes in bytes."""
    peak, reduce = outcome.peak, request.reduce
    return {
        "function": request.function.spec,
        "file": request.file,
        "field": request.field,
        "reduce": reduce.spec if isinstance(reduce, _targets.Target) else reduce,
        "out": request.out,
        "result": outcome.result if request.out is None else None,
        "seconds": outcome.seconds,
        "workers": outcome.workers,
        "method": outcome.method,
        "rows": outcome.rows,
        "tasks": outcome.stats.tasks,
        "data_bytes": outcome.data_bytes,
        "peak_pss_bytes": peak.pss if peak else None,
        "peak_uss_bytes": peak.uss if peak else None,
        "peak_processes": peak.processes if peak else None,
        "bytes_through_pipes": outcome.stats.bytes_sent + outcome.stats.bytes_received,
    }
