"""``onecopy top`` on a terminal: its own screen, and keys to sort and to leave."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import printable
from ._errors import CommandError
from ._top_look import Sort, table

if TYPE_CHECKING:
    from ._top_command import Command
    from ._top_look import Look, Seen

_KEYS = {
    "t": Sort.TREE,
    "p": Sort.PSS,
    "u": Sort.USS,
    "r": Sort.RSS,
    "c": Sort.CPU,
    "i": Sort.PID,
}
_LEGEND = "q leave   sort by: t tree  p PSS  u USS  r RSS  c CPU  i PID"
# The head and the sums of the table, the legend, a line that stays empty.
_AROUND = 4
# The number of lines of the command's output that are shown, at most.
_SHOWN = 8
# Seconds between two checks for the command's end.
_OFTEN = 0.1
# Control sequences, and the part of a line before a carriage return.
_OBEYED = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")


def show(look: Look, interval: float, command: Command | None) -> None:
    """Draw until the tree is gone, the command has ended, or the user leaves."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=command is not None, highlight=False)
    last: Seen | None = None
    with (
        _keys() as keys,
        Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False) as live,
    ):
        due, key = 0.0, ""
        while key != "q" and not (command is not None and command.ended()):
            if last is None or monotonic() >= due:
                try:
                    last = look()
                except CommandError:
                    break
                # Not before: a look may take longer than the interval.
                due = monotonic() + interval
            else:
                last.rows = look.ordered(last.rows)
            live.update(_view(last, console, command, look.sort), refresh=True)
            key = _wait(due, keys, command)
            look.sort = _KEYS.get(key, look.sort)
    if command is None and last is not None:
        console.print(table(last, console.width))


def _view(seen: Seen, console: Any, command: Command | None, sort: Sort) -> Any:
    """Return the contents of the screen."""
    from rich.console import Group
    from rich.text import Text

    said = _lines(command.tail, _SHOWN) if command is not None else []
    around = _AROUND + len(seen.notes(console.width))
    room = max(1, console.height - around - len(said) - bool(said))
    parts: list[Any] = [table(seen, console.width, room)]
    legend = f"{_LEGEND}   now: {sort}"
    if (rows := len(seen.rows) + len(seen.far)) > room:
        legend = f"{rows - room} more processes   {legend}"
    parts.append(Text(legend, "dim", no_wrap=True, overflow="crop"))
    if said:
        parts.append(Text(""))
        parts += [Text(line, no_wrap=True, overflow="crop") for line in said]
    return Group(*parts)


def _lines(output: bytes, most: int) -> list[str]:
    """Return the last lines, without control sequences."""
    lines = _OBEYED.sub("", output.decode("utf-8", "replace")).split("\n")
    plain = [line.rstrip("\r").rpartition("\r")[2].expandtabs() for line in lines]
    while plain and not plain[-1]:
        plain.pop()
    return [printable(line) for line in plain[-most:]]


def _wait(due: float, keys: list[int], command: Command | None) -> str:
    """Wait until something must be drawn: the time has come, the command has ended or written, or a
    key was pressed, which is returned."""
    sources = [*keys, *(command.output if command is not None else [])]
    while (left := due - monotonic()) > 0:
        ready = select.select(sources, [], [], min(left, _OFTEN))[0]
        if keys and keys[0] in ready:
            return os.read(keys[0], 1).decode("ascii", "replace").lower()
        if command is not None and (command.ended() or (ready and command.take_in())):
            break
    return ""


@contextmanager
def _keys() -> Iterator[list[int]]:
    """Yield the descriptor that keys come from, one by one, if there is a terminal for them."""
    try:
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (OSError, ValueError, AttributeError, termios.error):
        yield []
        return
    # Ctrl-C keeps its meaning.
    tty.setcbreak(number)
    try:
        yield [number]
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
