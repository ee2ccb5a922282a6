"""``onecopy doctor``: runs a program as it is, and says where its processes lose time and memory.

Everything behind the first of SCRIPT, ``-m``, ``-c`` and ``--`` is the program's. Its standard
streams are its own, and so is its exit status; what is said here comes after its end, on standard
error. This parses; ``_doctor_run`` does the work. ``_doctor_words`` reads the same options without
Typer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ._doctor_run import FOUND, Level, Wishes, work
from ._help import Help, first_word

_PROGRAM = "onecopy.program"


class Parser(Help, TyperCommand):
    """A parser that takes the program's words off before ours are parsed: they may look alike."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Ours; the program's are kept with the context."""
        at = first_word(self.params, args, "-m", "-c")
        ctx.meta[_PROGRAM] = args[at:]
        found: list[str] = super().parse_args(ctx, args[:at])
        return found

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage for ``--help``."""
        return ["[OPTIONS]", "(SCRIPT | -m MODULE | -c CODE | -- COMMAND) [ARGS]..."]


def command(  # noqa: PLR0913  # options of a command
    context: typer.Context,
    report: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Write a .html page or a .pftrace (Perfetto); may be given several times.",
        ),
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write everything found as one object.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep what was recorded: .doctor, for onecopy report."),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="FINDING", help="Say what a finding means; runs nothing."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="PATH", help="The interpreter for the program.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print all findings in full, not the first five.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder of records, and print its name.")
    ] = False,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Do not read PSS, which walks all pages.")
    ] = False,
    stop_after: Annotated[
        float | None,
        typer.Option(
            min=0.0, metavar="SECONDS", help="Interrupt the program then, as Ctrl-C does."
        ),
    ] = None,
    fail_on: Annotated[
        Level | None,
        typer.Option(
            metavar="LEVEL",
            help=f"Exit with {FOUND} on a finding of this level (wrong, crash, time, memory, "
            "note) or one before it, when the program's own status is 0.",
        ),
    ] = None,
) -> Callable[[], int]:
    """Run a program as it is; say where its processes lose time and memory.

    onecopy doctor program.py --its own arguments
    """
    words = tuple(context.meta.get(_PROGRAM, []))
    wishes = Wishes(
        words=words,
        reports=tuple(report or ()),
        json=json,
        record=record,
        explain=explain,
        python=python,
        everything=everything,
        quiet=quiet,
        keep=keep,
        no_memory=no_memory,
        stop_after=stop_after,
        fail_on=fail_on,
    )
    return work(wishes)
