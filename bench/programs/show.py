"""The tables of programs, for the terminal, in 80 columns."""

from __future__ import annotations

from statistics import median

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .. import table
from ..ratios import Verdict
from .measure import Runs
from .outcome import PAIRS, Ratio


def programs(runs: list[Runs], known: list[Ratio]) -> RenderableType:
    """A row for each program: the standard's seconds, and ratios of wall and CPU time by pair."""
    shown = Table(
        box=box.SIMPLE, width=table.WIDTH, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1)
    )
    shown.add_column("", no_wrap=True, ratio=1)
    shown.add_column("theirs", justify="right", no_wrap=True)
    for ours, theirs, _ in PAIRS:
        title = f"{ours.replace('onecopy', 'ours')} / {theirs}"
        shown.add_column(title, justify="right", width=11)
    by_pair = {(one.program, one.ours, one.theirs): one for one in known}
    for run in runs:
        name = run.program.name
        walls = [median(run.walls[way]) for way in run.program.ways[:1] if way in run.walls]
        cells: list[str] = []
        for ours, theirs, _ in PAIRS:
            one = by_pair.get((name, ours, theirs))
            cells.append(f"{one.wall.median:.2f} ({one.cpu.median:.2f})" if one else "")
        seconds = f"{walls[0]:.2f} s" if walls else "–"
        mark = "" if run.equal or not run.digests else " UNEQUAL"
        shown.add_row(Text(name + mark, style="bold red" if mark else ""), seconds, *cells)
    notes: list[RenderableType] = [
        Text(f"note: {run.program.name}: {note}", style="yellow")
        for run in runs
        for note in run.notes
    ]
    title = Text.assemble(
        ("Whole programs", "bold"),
        ": seconds by forkserver or loky; ratios of seconds (of CPU seconds)",
    )
    return Group(title, shown, *notes, "")


def bars(verdicts: list[Verdict]) -> RenderableType:
    return table.verdicts("All bars", verdicts)
