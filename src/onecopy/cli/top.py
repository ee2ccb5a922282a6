"""``onecopy top``: the memory and CPU time of any process tree, live, with true totals.

It works on programs that do not use onecopy. If a command is given, it is run (``_top_command``),
and the table goes to standard error, so that the command's output stays unchanged; its exit status
is ours. On a terminal the table has its own screen (``_top_live``); elsewhere one is printed every
interval.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UnsupportedPlatform
from ._errors import FAILED, CommandError
from ._show import size

if TYPE_CHECKING:
    from .._observe.memory import Memory, ProcessMemory
    from ._top_command import Command


# The widest that the figures get: a pid of seven digits, a state, CPU, four sizes.
_FIGURES = 8 + 2 + 7 + 4 * 8 + 1


NOTE = (
    "dirty: of USS what the process has written; * RSS counts a shared page once per process: "
    "its sum means nothing"
)


class Sort(StrEnum):
    """The order of the rows, greatest first; ``tree``: parents before children."""

    TREE = "tree"
    PSS = "pss"
    USS = "uss"
    RSS = "rss"
    CPU = "cpu"
    PID = "pid"


def command(
    target: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PID | -- COMMAND ...]", help="A process, or what to run."),
    ] = None,
    sort: Annotated[Sort, typer.Option(help="The order of the rows.")] = Sort.TREE,
    interval: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, and the end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one object per look.")] = False,
) -> Callable[[], int]:
    """Show what a process and its children take: PSS and USS, which add up, and RSS.

    onecopy top 4711        onecopy top -- python program.py
    """
    words = target or []
    if len(words) == 1 and words[0].isdigit():
        look = Look(int(words[0]), sort)
        return partial(watch, look, interval, once, json)
    if not words:
        raise CommandError("which process? give a PID, or -- and a COMMAND to run")
    return partial(run, words, sort, interval, once, json)


class Look:
    """A process tree that is read repeatedly.

    Args:
        pid: the root.
        sort: the order of the rows; may be set at any time.
    """

    def __init__(self, pid: int, sort: Sort) -> None:
        self.pid = pid
        self.sort = sort
        self._cpu: dict[int, tuple[float, float]] = {}

    def __call__(self) -> tuple[Memory, list[tuple[ProcessMemory, float]]]:
        """Return the tree's memory, and its rows with the CPU share since the last reading (1.0 is
        one core), in order. Raises CommandError if the root is gone."""
        from .._observe.memory import memory

        try:
            found = memory(self.pid)
        except ProcessLookupError:
            raise CommandError(f"there is no process {self.pid}", FAILED) from None
        except (PermissionError, UnsupportedPlatform) as error:
            raise CommandError(str(error), FAILED) from error
        rows = [(each, self._share(each.pid)) for each in found.processes]
        return found, self.ordered(rows)

    def _share(self, pid: int) -> float:
        from .._system.procfs import status

        found, now = status(pid), time.monotonic()
        if found is None:
            return 0.0
        used, before = self._cpu.get(pid, (found.cpu, now))
        self._cpu[pid] = found.cpu, now
        return (found.cpu - used) / (now - before) if now > before else 0.0

    def ordered(self, rows: list[tuple[ProcessMemory, float]]) -> list[tuple[ProcessMemory, float]]:
        if self.sort is Sort.TREE:
            return rows
        if self.sort is Sort.CPU:
            return sorted(rows, key=lambda row: -row[1])
        if self.sort is Sort.PID:
            return sorted(rows, key=lambda row: row[0].pid)
        return sorted(rows, key=lambda row: -int(getattr(row[0], str(self.sort))))


def run(words: list[str], sort: Sort, interval: float, once: bool, as_json: bool) -> int:
    """Run a command and watch it until it ends; return its exit status."""
    from ._top_command import Command

    live = not (as_json or once) and sys.stderr.isatty()
    with Command(words, apart=live) as command:
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
    look: Look, interval: float, once: bool, as_json: bool, command: Command | None = None
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
    look: Look, interval: float, once: bool, as_json: bool, command: Command | None, out: Any
) -> int:
    from rich.console import Console

    console = Console(file=out, highlight=False, width=None if out.isatty() else 100)
    while True:
        try:
            found, rows = look()
        except CommandError:
            if command is None and once:
                raise
            return 0  # it has ended
        if as_json:
            print(json.dumps(as_object(found, rows)), file=out, flush=True)
        else:
            console.print(table(found, rows, console.width))
        if once:
            return 0
        if command is None:
            time.sleep(interval)
        elif command.wait(interval):
            return 0


def as_object(found: Memory, rows: list[tuple[ProcessMemory, float]]) -> dict[str, Any]:
    """Return the object that ``--json`` prints; sizes in bytes, CPU in cores."""
    return {
        "time": time.time(),
        "pss": found.pss,
        "uss": found.uss,
        "rss_counted_repeatedly": found.rss_counted_repeatedly,
        "saved": found.saved,
        "processes": [{**asdict(each), "cpu": round(share, 3)} for each, share in rows],
    }


def table(
    found: Memory,
    rows: list[tuple[ProcessMemory, float]],
    width: int,
    most: int | None = None,
) -> Any:
    """Return at most ``most`` rows, and the sums of all; ``width`` columns wide, for which 80 are
    enough."""
    from rich.table import Table

    grid = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", footer_style="bold")
    grid.show_footer = True
    cpu = sum(share for _, share in rows)
    dirty = sum(each.private_dirty for each, _ in rows)
    for name, foot in (
        ("PID", "all"),
        ("S", ""),
        ("CPU", f"{100 * cpu:.0f} %"),
        ("PSS", size(found.pss)),
        ("USS", size(found.uss)),
        ("dirty", size(dirty)),
        ("RSS", "*"),
    ):
        grid.add_column(name, foot, justify="right", no_wrap=True)
    # The room beside the figures: rich would take from all columns alike.
    room = max(8, width - _FIGURES)
    saved = f"one copy saves {size(found.saved)}" if found.saved > 10**6 else ""
    grid.add_column("command", saved[:room], no_wrap=True)
    for each, share in rows[:most]:
        grid.add_row(
            str(each.pid),
            each.state,
            f"{100 * share:.0f} %",
            size(each.pss),
            size(each.uss),
            size(each.private_dirty),
            size(each.rss),
            _short(each.name, room),
        )
    grid.caption = NOTE
    grid.caption_justify = "left"
    return grid


def _short(name: str, room: int) -> str:
    """Return a command line without the path of its program; nothing is markup."""
    from rich.markup import escape

    program, space, rest = name.partition(" ")
    whole = os.path.basename(program) + space + rest
    return escape(whole if len(whole) <= room else whole[: room - 1] + "…")
