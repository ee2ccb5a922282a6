"""``onecopy run``: calls a function on the blocks of a file, on every core.

It parses, calls ``onecopy.load`` and ``Pool.map_blocks``, and prints: the result on standard
output; time, workers and memory on standard error; or with ``--json`` all of it as one JSON object
on standard output. Functions are found by ``_targets``, data by ``_source``.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OnecopyError, RemoteTraceback, add_note, printable
from . import _cluster, _show, _source, _targets
from ._errors import FAILED, CommandError, reason
from ._messages import in_options
from ._reading import reads_files
from ._run_words import Method, Outcome, Request, as_object, facts
from .report import check, unwritten

if TYPE_CHECKING:
    from .._report.model import Run
    from ..pool import Pool, PoolView

NAMED = ("sum", "min", "max", "mean", "count", "first", "last", "concat")
_POOL = r"; only that task is lost, the pool goes on$| and replaced, the pool goes on$"
# More would be a slip: each takes memory, and the machine would be busy with starting them.
_MOST = 1_000
_PACKAGE = str(Path(__file__).resolve().parents[1])


@reads_files
def command(  # noqa: PLR0913  # options of a command
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
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="FILE's format, if its name does not say."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=_MOST, metavar="N", help="Default: one per CPU that it may use."),
    ] = None,
    method: Annotated[
        Method, typer.Option(metavar="METHOD", help=f"Start method: {', '.join(Method)}.")
    ] = Method.AUTO,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on its hosts: a Dask scheduler's address or file, or loopback:HOSTS[xWORKERS].",
        ),
    ] = None,
    block: Annotated[
        int | None, typer.Option(min=1, metavar="ROWS", help="Rows per call. Default: about 6 MB.")
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help=f"{', '.join(NAMED)}, or MODULE:FUNC of two results.",
            autocompletion=lambda: [*NAMED],
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Limit per block; beyond it, its worker is ended."),
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Limit of a worker's own memory, such as 2GB."),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="Retries of a block whose worker died.")
    ] = 0,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help=f"Save the result: {_show.FORMATS_TEXT}.")
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where time and memory went: .html, .pftrace, .json, .onecopy; - prints it.",
        ),
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Default: only on a terminal.")
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
        source=source,
        workers=workers,
        method=method,
        cluster=cluster,
        block=block,
        reduce=reduce if reduce is None or reduce in NAMED else _reducer(reduce),
        out=out,
        report=report,
        progress=sys.stderr.isatty() if progress is None else progress,
        json=json,
        timeout=timeout,
        memory_limit=memory_limit,
        retries=retries,
        reading=reading,
    )
    path, _ = _source.split(file)
    if out is not None:
        _show.check_out(out, path)
    if report is not None and report != "-":
        check("--report", report)
    if cluster is not None:
        _cluster.check(cluster, workers, method.value)
    if memory_limit is not None or timeout is not None:
        _check_limits(request)
    return partial(execute, request)


def _check_limits(request: Request) -> None:
    """Refuse what ``Pool.options`` would refuse, before any work is done."""
    from .._engine.rules import Rules, byte_count

    size = request.memory_limit
    try:
        limit = None if size is None else byte_count(size)
        rules = Rules(request.timeout, request.retries, memory_limit=limit)
        rules.check(request.method.value)
    except (ValueError, TypeError, OnecopyError) as error:
        raise CommandError(in_options(str(error), "timeout", "memory_limit")) from error


def _reducer(name: str) -> _targets.Target:
    if ":" not in name:
        raise CommandError(f"--reduce {name!r}: it is {', '.join(NAMED)} or MODULE:FUNC")
    return _targets.parse(name)


def execute(request: Request) -> int:
    """Run it and print the result; return the exit status."""
    try:
        outcome, run = compute(request)
    except CommandError:
        raise
    except OnecopyError as error:
        # The pool ends with the command: it is not mentioned.
        said = re.sub(_POOL, "", str(error))
        if not isinstance(error.__cause__, RemoteTraceback):  # otherwise the function raised it
            said = in_options(said, "memory_limit")
        raise CommandError(said, FAILED) from error
    except Exception as error:
        return _failed(request, error)
    _give(request, outcome, run)
    return 0


def _give(request: Request, outcome: Outcome, run: Run | None) -> None:
    """Save and print the result, and write the report. Each is tried, whatever happens to the
    others, and the result is somewhere in the end.

    Raises:
        CommandError: the last failure; those before it are printed.
    """
    failures: list[CommandError] = []
    if request.out is not None:
        try:
            _show.save(request.out, outcome.result)
        except CommandError as error:
            kept = _show.save_beside(request.out, outcome.result)
            said = "the result is printed" if kept is None else f"the result is in {kept!r}"
            failures.append(CommandError(f"{error.message}; {said}", error.status))
            request = replace(request, out=kept)
    rest = [partial(_print, request, outcome)]
    if run is not None:
        rest.append(partial(_write_report, run, request))
    for each in rest:
        try:
            each()
        except CommandError as error:
            failures.append(error)
    for failure in failures[:-1]:
        print(f"onecopy: {failure}", file=sys.stderr)
    if failures:
        raise failures[-1]


def _print(request: Request, outcome: Outcome) -> None:
    """Print the result unless it is saved, and the facts."""
    if request.json:
        _print_object(request, outcome)
        return
    if request.out is None:
        print(_show.text(outcome.result, whole=not sys.stdout.isatty()), flush=True)
    print(facts(request, outcome), file=sys.stderr)


def _print_object(request: Request, outcome: Outcome) -> None:
    from ._as_json import NotJson, dump

    said = as_object(request, outcome)
    try:
        print(dump(said), flush=True)
    except NotJson as error:
        print(dump({**said, "result": None}), flush=True)
        _complain(_show.text(outcome.result, whole=True))
        lacking = NotJson(error.what, error.where.removeprefix("['result']"))
        raise CommandError(
            f"the result, printed above, holds {lacking}; --out FILE.pkl saves it", FAILED
        ) from error


def compute(request: Request) -> tuple[Outcome, Run | None]:
    """Load, compute, measure; return the outcome, and the run if a report is wanted."""
    began = perf_counter()
    targets = [request.function]
    if isinstance(request.reduce, _targets.Target):
        targets.append(request.reduce)
    _targets.find(*targets)
    with ExitStack() as stack:
        pool = None
        # Forked workers inherit these imports; other processes start meanwhile.
        if request.method not in (Method.FORK, Method.THREAD):
            pool = _pool(request, stack)
        function = _targets.resolve(request.function)
        if request.cluster is not None:
            _targets.by_value(*targets)
        source = _source.load(
            request.file, request.field, request.reading, request.progress, request.source
        )
        reduce = request.reduce
        combine: Any = reduce if isinstance(reduce, str | None) else _targets.resolve(reduce)
        if pool is None:
            pool = _pool(request, stack)
        # Imported late, and entered after the pool was made: a process with threads must not fork.
        from .._observe.sampler import Sampler

        sampler = stack.enter_context(Sampler())
        try:
            result = _view(pool, request).map_blocks(
                function,
                source.data,
                block=request.block,
                reduce=combine,
                progress=request.progress,
            )
        except Exception as error:
            hint = _source.hint(request.file, source.data, request.field)
            if hint and _in_worker(error):
                add_note(error, hint)
            raise
        seconds = perf_counter() - began
        sampler.sample()  # the workers still map what they have used
        run = None
        if request.report is not None:
            from .._report import gather

            run = gather.run(pool._engine)
        outcome = Outcome(
            result=result,
            seconds=seconds,
            workers=pool.workers,
            method=pool.method,
            rows=len(source.data),
            data_bytes=source.data_bytes,
            stats=pool.stats(),
            peak=sampler.peak,
            hosts=tuple(pool.hosts()),
        )
        return outcome, run


def _view(pool: Pool, request: Request) -> PoolView:
    if request.timeout is None and request.memory_limit is None and not request.retries:
        return pool
    return pool.options(
        timeout=request.timeout, retries=request.retries, memory_limit=request.memory_limit
    )


def _write_report(run: Run, request: Request) -> None:
    target = request.report
    if target == "-":
        from .._report import terminal

        # Only results are on standard output.
        terminal.print_report(run, sys.stderr)
        return
    from .._report import write

    try:
        write.report(run, target)
    except OSError as error:
        assert target is not None
        raise CommandError(unwritten(target, error), FAILED) from error


def _pool(request: Request, stack: ExitStack) -> Pool:
    """Return the pool; it ends with ``stack``."""
    from ..pool import Pool

    modules = {"numpy": 0, request.function.module: 0}
    method = Method.FORKSERVER if request.method is Method.AUTO else request.method
    name: Any = method.value
    if request.cluster is not None:
        # A file of this machine is no module there: see ``_targets.by_value``.
        modules = {"numpy": 0} if request.function.file else modules
        hosts = _cluster.reach(request.cluster, stack)
        pool = Pool(cluster=hosts, method=name, preload=tuple(modules))
    else:
        # One that does not exist is refused when the function is looked up.
        there = [
            each
            for each in modules
            if each.partition(".")[0] in sys.modules or find_spec(each.partition(".")[0])
        ]
        pool = Pool(request.workers, method=name, preload=there)

    def end() -> None:
        pool.terminate()
        # A thread cannot be stopped in its task, but the program need not wait for it.
        if method is not Method.THREAD:
            pool.join()

    stack.callback(end)
    return pool


def _failed(request: Request, error: Exception) -> int:
    """Print the user's own failure with its traceback, without this package's frames."""
    cause = error.__cause__
    notes = getattr(error, "__notes__", ())
    if isinstance(cause, RemoteTraceback):
        hints = [note for note in notes if note.startswith(_source.HINT)]
        _complain("\n".join([_without_ours(str(cause)), *hints]))
        return FAILED
    if isinstance(request.reduce, str) and not _in_worker(error):
        said = in_options(reason(error)) if _is_ours(error) else reason(error)
        raise CommandError(
            f"the results of {request.function.spec!r} cannot be combined by "
            f"--reduce {request.reduce}: {said}"
        ) from error
    report = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in report.stack if not frame.filename.startswith(_PACKAGE)]
    report.stack[:] = kept
    _complain("".join(report.format()).rstrip())
    return FAILED


def _without_ours(text: str) -> str:
    """Return a worker's traceback without this package's frames, which there are if the error is
    raised by the call itself: of a function that takes no block, say."""
    kept: list[str] = []
    ours = False
    for line in text.strip().splitlines():
        if line.startswith('  File "'):
            ours = line.startswith(f'  File "{_PACKAGE}')
        elif not line.startswith("   "):
            ours = False
        if not ours:
            kept.append(line)
    if not any(line.startswith("  File ") for line in kept):
        kept = [line for line in kept if not line.startswith("Traceback (")]
    return "\n".join(kept)


def _in_worker(error: BaseException) -> bool:
    """Return True if a worker raised it, and not the code here that combines results."""
    notes = getattr(error, "__notes__", ())
    remote = isinstance(error.__cause__, RemoteTraceback)
    return remote or any(note.startswith("onecopy:") for note in notes)


def _is_ours(error: BaseException) -> bool:
    """Return True if this package raised it, and not a method of the results."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_PACKAGE)


def _complain(text: str) -> None:
    print(printable(text, kept="\n\t"), file=sys.stderr)
