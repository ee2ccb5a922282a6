"""``onecopy top``: the memory and CPU time of any process tree, live, with true totals.

It works on programs that do not use onecopy. If a command is given, it is run (``_top_command``),
and the table goes to standard error, so that the command's output stays unchanged; its exit status
is ours. On a terminal the table has its own screen (``_top_live``); elsewhere one is printed every
interval.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._errors import CommandError
from ._help import Command, first_word
from ._top_look import Look, Sort, as_object, table

if TYPE_CHECKING:
    from ._top_command import Command as Running


class Parser(Command):
    """A parser for which the words of a command are the command's, also without ``--``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``--`` before a command. After a PID there are more options of ours."""
        at = first_word(self.params, args)
        if at < len(args) and args[at] != "--" and not args[at].isdigit():
            args = [*args[:at], "--", *args[at:]]
        found: list[str] = super().parse_args(ctx, args)
        return found


def command(
    target: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PID | -- COMMAND ...]", help="A process, or what to run."),
    ] = None,
    sort: Annotated[Sort, typer.Option(metavar="ORDER", help=f"{', '.join(Sort)}.")] = Sort.TREE,
    interval: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and exit.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one object per look.")] = False,
) -> Callable[[], int]:
    """Show the memory and CPU of a process and its children, and what workers of pools run.

    Memory is PSS and USS, which add up, and RSS.

    onecopy top 4711        onecopy top -- python program.py
    """
    words = target or []
    if len(words) == 1 and words[0].isdigit():
        look = Look(int(words[0]), sort)
        return partial(watch, look, interval, once, json)
    if words and all(word.isdigit() for word in words):
        raise CommandError(f"one process at a time, with all below it, not {' '.join(words)}")
    if not words:
        raise CommandError("which process? give a PID, or -- and a COMMAND to run")
    return partial(run, words, sort, interval, once, json)


def run(words: list[str], sort: Sort, interval: float, once: bool, as_json: bool) -> int:
    """Run a command and watch it until it ends; return its exit status."""
    from ._top_command import Command as Running

    live = not (as_json or once) and sys.stderr.isatty()
    with Running(words, apart=live) as command:
        if once:
            command.wait(interval)
        if not command.ended():
            look = Look(command.pid, sort)
            try:
                watch(look, interval, once, as_json, command)
            except CommandError:
                # It ended during the reading, which is what we wait for.
                if not command.ended():
                    raise
        command.finish()
    if not as_json:
        print(command.summary(), file=sys.stderr)
    return command.status


def watch(
    look: Look, interval: float, once: bool, as_json: bool, command: Running | None = None
) -> int:
    """Show the tree until it is gone."""
    # A command's own output is on standard output, so the table is not.
    out = sys.stdout if command is None else sys.stderr
    look()  # the shares of CPU count from here
    if once and command is None:
        time.sleep(min(interval, 0.5))
    if as_json or once or not out.isatty():
        return _print(look, interval, once, as_json, command, out)
    from ._top_live import show

    show(look, interval, command)
    return 0


def _print(
    look: Look, interval: float, once: bool, as_json: bool, command: Running | None, out: Any
) -> int:
    from rich.console import Console

    console = Console(file=out, highlight=False, width=None if out.isatty() else 100)
    while True:
        try:
            seen = look()
        except CommandError:
            if command is None and once:
                raise
            return 0  # it has ended
        if as_json:
            print(json.dumps(as_object(seen)), file=out, flush=True)
        else:
            console.print(table(seen, console.width))
        if once:
            return 0
        if command is None:
            time.sleep(interval)
        elif command.wait(interval):
            return 0
