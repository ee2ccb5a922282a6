"""An experiment on the terminal: its table, its picture, its claims.

Fits the width of the terminal, from 80 columns on; elsewhere it uses 80 columns and no colour.
Nothing depends on colour: kinds of time have glyphs, and a claim that does not hold says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from ..._report.screen import Screen
from ..._report.words import seconds
from . import canvas
from .face import Bar, Claim, Lanes, Picture, Plot, Table, pictures, tables
from .finding import experiment
from .marks import Mark, kinds, marks
from .running import Run


def print_run(run: Run, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print the results of an experiment."""
    to = Screen(file, width)
    to.print()
    for part in parts(run, to.width):
        to.print(part)


def parts(run: Run, width: int) -> list[RenderableType]:
    """Return everything to print about a run, for ``width`` columns."""
    found = experiment(run.name)
    shown: list[RenderableType] = [headline(run), Text()]
    for table in tables(found, run.data):
        shown += [grid(table), Text()]
    for picture in pictures(found, run.data):
        shown += [drawn(picture, width), Text()]
    claims = found.claims(run.data)
    shown += [said(claims), Text(), Text(summary(claims), style="bold")]
    shown.append(Text(f"What to do: {found.ADVICE} See docs/lab/{run.name}.md."))
    return shown


def summary(claims: Sequence[Claim]) -> str:
    """Return how many claims hold."""
    hold = sum(each.holds for each in claims)
    return f"{hold} of {len(claims)} claims hold here."


def headline(run: Run) -> Text:
    """Return the experiment's name, place and time."""
    where = run.machine
    line = Text(run.name, style="bold")
    line.append(
        f"  {run.size}, {seconds(run.seconds)}, {where['cores']} cores, {where['memory']}, "
        f"{where['system']}, {where['python']}, {where['date']}, {load(run)}",
        style="not bold bright_black",
    )
    return line


def load(run: Run) -> str:
    """Return how busy the machine was before the experiment."""
    if "load" not in run.machine:
        return "load unknown"
    found = float(run.machine["load"])
    busy = found > int(run.machine["cores"]) / 2
    return f"load {found:.1f} before{': a busy machine, so times are long' if busy else ''}"


def grid(table: Table) -> RenderableType:
    """Return a table, with its note under it."""
    made = Grid(
        title=Text(table.title) if table.title else None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for at, name in enumerate(table.head):
        left = at in table.left
        # As Text, since brackets would be read as markup. Figures are never broken; words are, if
        # the width requires it.
        made.add_column(Text(name), justify="left" if left else "right", overflow="fold")
    for at, row in enumerate(table.rows):
        made.add_row(*(Text(cell) for cell in row), style="bold" if at in table.strong else None)
    if not table.note:
        return made
    return Group(made, Text(table.note, style="bright_black"))


def drawn(picture: Picture, width: int) -> RenderableType:
    """Return a picture in ``width`` columns."""
    body = lanes(picture, width) if isinstance(picture, Lanes) else plot(picture, width)
    return Group(Text(picture.title, style="bold"), *body) if picture.title else Group(*body)


def lanes(picture: Lanes, width: int) -> list[RenderableType]:
    """Return a line for each process, all on one axis."""
    known = kinds(picture)
    end = max((bar.stop for lane in picture.lanes for bar in lane.bars), default=0.0)
    label = max((len(lane.name) for lane in picture.lanes), default=0)
    cells = width - label - 2
    lines: list[RenderableType] = []
    for lane in picture.lanes:
        line = Text(lane.name.ljust(label) + "  ")
        for kind in lane_cells(lane.bars, end, cells):
            line.append(
                known[kind].glyph if kind else " ", style=known[kind].colour if kind else ""
            )
        lines.append(line)
    axis = " " * (label + 2) + "0" + seconds(end).rjust(cells - 1)
    return [*lines, Text(axis, style="bright_black"), legend(known, width)]


def lane_cells(bars: Sequence[Bar], end: float, cells: int) -> list[str]:
    """Return the main activity in each cell of a lane; empty where there is none."""
    step = end / cells if end > 0 else 1.0
    shares: list[dict[str, float]] = [{} for _ in range(cells)]
    for bar in bars:
        first, last = (min(cells - 1, int(time / step)) for time in (bar.start, bar.stop))
        for at in range(first, last + 1):
            inside = min(bar.stop, (at + 1) * step) - max(bar.start, at * step)
            shares[at][bar.kind] = shares[at].get(bar.kind, 0.0) + inside
    # A very short bar is shown if there is no other.
    return [max(share, key=lambda kind: share[kind]) if share else "" for share in shares]


def legend(known: dict[str, Mark], width: int) -> Text:
    """Return the meaning of each glyph, in as many lines as needed."""
    text, used = Text(), 0
    for word, mark in known.items():
        size = len(word) + 2
        if used and used + 3 + size > width:
            text.append("\n")
            used = 0
        elif used:
            text.append("   ")
            used += 3
        text.append(mark.glyph, style=mark.colour)
        text.append(f" {word}")
        used += size
    return text


def plot(picture: Plot, width: int) -> list[RenderableType]:
    """Return curves drawn with their glyphs."""
    known = marks(curve.name for curve in picture.curves)
    rows = canvas.rows(picture, width, [mark.glyph for mark in known.values()])
    colours = {mark.glyph: mark.colour for mark in known.values()}
    lines: list[RenderableType] = []
    for row in rows:
        line = Text(row.margin, style="bright_black")
        for glyph in row.cells:
            line.append(glyph, style=colours.get(glyph, "bright_black"))
        lines.append(line)
    return [*lines, legend(known, width)]


def said(claims: Sequence[Claim]) -> RenderableType:
    """Return the claims, each with its verdict."""
    made = Grid.grid(padding=(0, 1))
    made.add_column(no_wrap=True)
    made.add_column()
    for each in claims:
        verdict = Text("holds", style="green") if each.holds else Text("NOT SO HERE", style="red")
        text = Text(each.sentence)
        text.append(f" Expected: {each.expected}.", style="" if not each.holds else "bright_black")
        made.add_row(verdict, text)
    return made
