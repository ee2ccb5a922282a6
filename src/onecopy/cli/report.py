"""``onecopy report``: a saved run, on the terminal or as another file.

``Pool.report("run.onecopy")`` and ``onecopy run --report run.onecopy`` save runs; here they
become a page, a Perfetto or a Chrome trace, or text. What ``onecopy doctor --record`` kept is
analysed here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from ..errors import BadFile
from . import _show
from ._errors import FAILED, CommandError, reason, unread


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A saved run: .onecopy or .doctor.")],
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="Write a .html page, a .pftrace (Perfetto) or a .json (Chrome) trace; may be "
            "given several times. Default: print to the terminal.",
        ),
    ] = None,
) -> Callable[[], int]:
    """Show where the time and memory of a saved run went.

    onecopy report run.onecopy -o run.html
    """
    targets = out or []
    for target in targets:
        check("--out", target)
    return partial(execute, file, targets)


def check(option: str, target: str) -> None:
    """Refuse a file that no report could be written to, before any work is done."""
    from .._report import write

    try:
        write.check(target)
    except ValueError as error:
        raise CommandError(str(error)) from error
    _show.check_place(option, target)


def execute(file: str, targets: list[str]) -> int:
    """Read the run and show it."""
    if file.lower().endswith(".doctor"):
        return _diagnosed(file, targets)
    from .._report import saved, write

    try:
        run = saved.load(file)
    except BadFile as error:
        raise CommandError(str(error), FAILED) from error
    except OSError as error:
        raise CommandError(unread(file, error), FAILED) from error
    if not targets:
        write.report(run)
    for target in targets:
        try:
            write.report(run, target)
        except OSError as error:
            raise CommandError(unwritten(target, error), FAILED) from error
    return 0


def unwritten(target: str, error: OSError) -> str:
    """Return a message that a file could not be written; encoded names are shown as ``target``."""
    return f"{target!r} cannot be written: {reason(error)}"


def _diagnosed(file: str, targets: list[str]) -> int:
    """Analyse a recording of the doctor."""
    from .._doctor import diagnosis, recording, terminal
    from . import _doctor_run

    try:
        found = diagnosis.of(recording.load(file))
    except BadFile as error:
        raise CommandError(str(error), FAILED) from error
    except OSError as error:
        raise CommandError(unread(file, error), FAILED) from error
    if not targets:
        terminal.show(found, sys.stdout, everything=True)
    for target in targets:
        _doctor_run.check_report(target)
        _doctor_run.write(found, target)
    return 0
