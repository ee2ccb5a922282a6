"""``onecopy lab``: the experiments, one by one or all, each measured on this machine.

Lists them, runs them (each in its own interpreter, see ``_lab._frame.running``), prints table,
picture and claims, and writes JSON and a page. A claim that does not hold is a result, not a
failure: the exit status shows whether the experiments could be run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _show
from ._as_json import dump
from ._ending import ended_by_signals
from ._errors import FAILED, CommandError, reason

if TYPE_CHECKING:
    from .._lab._frame.face import Size
    from .._lab._frame.running import Run


class SizeOption(StrEnum):
    """The two sizes, in the parser's form."""

    small = "small"
    full = "full"


# Columns for names in the list.
_NAME = 18


def _names() -> list[str]:
    """Return the names that a shell completes."""
    from .._lab._frame import finding

    return [*finding.names(), "all", "versions"]


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="An experiment, 'all', or 'versions'. Default: list them.",
            autocompletion=_names,
        ),
    ] = None,
    size: Annotated[
        SizeOption, typer.Option(help="small: seconds; full: the published figures' sizes.")
    ] = SizeOption.small,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write what was measured, and the claims.")
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write one page that needs nothing else.")
    ] = None,
) -> Callable[[], int]:
    """Experiments with processes and memory, measured on this machine.

    onecopy lab; onecopy lab address-spaces; onecopy lab all --html lab.html
    """
    for option, target, suffixes in (
        ("--json", json, (".json",)),
        ("--html", html, (".html", ".htm")),
    ):
        if target is None:
            continue
        _show.check_place(option, target)
        if Path(target).suffix.lower() not in suffixes:
            raise CommandError(f"{option} {target!r}: the file's name ends in {suffixes[0]}")
    if name is None and (json or html):
        raise CommandError("--json and --html need the name of an experiment, or 'all'")
    if name is None:
        return listing
    if name == "versions":
        if html is not None:
            raise CommandError("versions has no page; --json FILE writes what was found")
        return partial(versions, json)
    return partial(execute, wanted(name), size.value, json, html)


def wanted(name: str) -> list[str]:
    """Return the experiments that ``name`` means.

    Raises:
        CommandError: there is none of this name; suggests similar names in one line.
    """
    from .._lab._frame import finding

    if name == "all":
        return finding.names()
    try:
        finding.experiment(name)
    except finding.NoSuchExperiment as error:
        raise CommandError(str(error)) from error
    return [name.replace("_", "-")]


def listing() -> int:
    """Print the list, one line each."""
    from .._lab._frame.finding import experiment, names

    for name in names():
        if len(name) > _NAME:  # the questions stay in their column
            print(name)
        print(f"{name if len(name) <= _NAME else '':<{_NAME}} {experiment(name).QUESTION}")
    print("\n'onecopy lab NAME' runs one, 'onecopy lab all' runs them all.")
    return 0


def versions(json: str | None) -> int:
    """Print the defaults of each Python on this machine."""
    from .._lab._frame import terminal, versions
    from .._report.screen import Screen

    found = versions.found()
    Screen().print(terminal.grid(versions.table(found)))
    if json is not None:
        save(json, dump({"versions": found}, indent=2) + "\n")
    return 0


def execute(names: list[str], size: Size, json: str | None, html: str | None) -> int:
    """Run the experiments one after another; print and write their results."""
    runs, failed = [], []
    for name in names:
        try:
            with ended_by_signals():
                runs.append(measure(name, size))
        except CommandError as error:
            if len(names) == 1:
                raise
            failed.append(name)
            print(f"onecopy: {error}", file=sys.stderr)
    if len(names) > 1:
        summary(runs)
    write(runs, json, html)
    if failed:
        raise CommandError(
            f"{len(failed)} of {len(names)} experiments could not run: {', '.join(failed)}", FAILED
        )
    return 0


def measure(name: str, size: Size) -> Run:
    """Run one and print it.

    Raises:
        CommandError: it could not be run.
    """
    from .._lab._frame import running, terminal
    from .._lab._frame.finding import experiment

    about = experiment(name).needs(size).seconds
    print(f"{name}, about {about:.0f} s", flush=True)
    try:
        run = running.run(name, size, lambda line: print(line, flush=True))
    except running.CannotRun as error:
        raise CommandError(str(error), FAILED) from error
    terminal.print_run(run)
    print(flush=True)
    return run


def summary(runs: list[Run]) -> None:
    """Print a line for each: how many of its claims hold on this machine."""
    from .._lab._frame.finding import experiment

    for run in runs:
        claims = experiment(run.name).claims(run.data)
        hold = sum(claim.holds for claim in claims)
        print(f"{run.name:<34} {hold} of {len(claims)} claims hold, {run.seconds:.0f} s")


def write(runs: list[Run], json: str | None, html: str | None) -> None:
    """Write the requested files."""
    from .._lab._frame import page, running

    if json is not None:
        save(json, dump(running.to_json(runs), indent=2) + "\n")
    if html is not None:
        save(html, page.page(runs))


def save(target: str, text: str) -> None:
    """Write a file.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        Path(target).write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"{target!r} cannot be written: {reason(error)}", FAILED) from error
