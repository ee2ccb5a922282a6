"""A run on the terminal: verdict, accounting, lanes, slowest tasks, memory, advice.

Fits the terminal's width, from 60 columns on. Without colour (a pipe, NO_COLOR) nothing is lost:
each kind of time has its own glyph.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from .._observe.columns import STATES
from .._observe.spans import split
from . import hosts
from .advice import advice, saved_by_sharing, verdict
from .heaviest import heaviest
from .idleness import filled
from .kinds import GLYPHS, spent
from .model import Run, Table
from .screen import Screen
from .words import count, human_bytes, items, percent, seconds

# The lanes of more workers than this are summed up in a line.
_LANES = 16
_SLOWEST = 5
_PROFILED, _LINES = 3, 4
_NARROW = 60
# A part of the workers' time below this share has no line in the legend.
_SEEN = 0.001

# The parts of a task before its result is encoded: columns of ``split``, and their colours.
_INSIDE = (
    *(("imported", "importing"), ("decode", "decode"), ("pausing", "pausing")),
    *(("wanting", "wanting"), ("running", "running")),
)
# The order of the kinds that share a cell, if their shares are equal.
_BARS = " ▁▂▃▄▅▆▇█"


def print_report(run: Run, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print ``run``.

    Args:
        run: what to show.
        file: the destination; standard output if None.
        width: columns; the terminal's if None, 80 elsewhere.
    """
    console = Screen(file, width)
    # In one piece: in a notebook each print is an output of its own.
    console.print(Group(*_parts(run, max(_NARROW, console.width))))


def _parts(run: Run, width: int) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(verdict(run), style="bold"), Text()]
    parts.append(_accounting(run, width))
    if len(run.workers):
        parts += [Text(), _lanes(run, width)]
    if run.hosts:
        parts += [Text(), _hosts(run, width)]
    if run.tasks:
        parts += [Text(), _functions(run, width)]
    if len(run.spans):
        parts += [Text(), _slowest(run, width)]
    if run.profile:
        parts += [Text(), _heaviest(run, width)]
    if len(run.memory):
        parts += [Text(), _memory(run, width)]
    for each in advice(run):
        said = Text()
        where = (
            f" ({each.line})"
            if each.line and each.line.rpartition("/")[2] not in each.evidence
            else ""
        )
        said.append(f"{each.title}{where}. ", style="bold yellow")
        said.append(f"{each.evidence} ")
        said.append(each.change, style="bold")
        said.append(f" Gain: {each.gain}.")
        parts += [Text(), said]
    return parts


def _accounting(run: Run, width: int) -> RenderableType:
    """Return one bar of all the workers' time, and its legend."""
    parts = run.accounting()
    found = spent(parts)
    bar, ends, so_far = Text(), 0, 0.0
    for kind, value in found:
        so_far += value
        end = min(width, round(width * so_far / parts.total)) if parts.total else 0
        glyph, colour = GLYPHS[kind.paint]
        bar.append(glyph * (end - ends), style=colour)
        ends = max(ends, end)
    legend = Text()
    for kind, value in found:
        if value < _SEEN * parts.total:
            continue
        glyph, colour = GLYPHS[kind.paint]
        entry = Text(f"{glyph} ", style=colour)
        said = f"{kind.label} {seconds(value)} ({percent(value, parts.total)})"
        entry.append(said, style="default")
        if legend and len(legend.plain.rpartition("\n")[2]) + len(entry) + 3 > width:
            legend.append("\n")
        elif legend:
            legend.append("   ")
        legend.append_text(entry)
    head = (
        f"{count(parts.workers, 'worker')} × {seconds(parts.wall)} = {seconds(parts.total)} "
        f"by {run.method}"
    )
    if abs(parts.other) > 0.02 * parts.total:
        head += f", {seconds(parts.other)} of it unaccounted for"
    return Group(Text(head), bar, legend)


def _lanes(run: Run, width: int) -> RenderableType:
    """Return a line per worker, all on one time axis."""
    shown = run.workers[:_LANES]
    label = max(len(f"worker {number}") for number in shown["worker"].tolist())
    cells = width - label - 2
    lines: list[RenderableType] = []
    host, tail = 0, _tail(run)
    for life in shown:
        if life["host"] != host:
            host = int(life["host"])
            lines.append(Text(run.hosts[host].name, style="bright_black", overflow="ellipsis"))
        line = Text(f"worker {life['worker']}".ljust(label) + "  ")
        for glyph, colour in _lane(run, life, cells, tail):
            line.append(glyph, style=colour)
        lines.append(line)
    if len(run.workers) > _LANES:
        lines.append(Text(f"… and {len(run.workers) - _LANES:,} more", style="bright_black"))
    end = seconds(run.wall)
    lines.append(Text(" " * (label + 2) + "0" + end.rjust(cells - 1), style="bright_black"))
    return Group(*lines)


def _tail(run: Run) -> tuple[Table, Table]:
    """Return points of time, and how long until then a worker without work had none because others
    had the last of it, and not because there was none."""
    idle = run.idle()
    whole = np.sum(list(idle.parts.values()), axis=0)
    part = np.divide(idle.parts["tail"], whole, out=np.zeros(len(whole)), where=whole > 0)
    return idle.edges, np.concatenate([[0.0], np.cumsum(part * np.diff(idle.edges))])


def _lane(run: Run, life: Any, cells: int, tail: tuple[Table, Table]) -> list[tuple[str, str]]:
    """Return a worker's main activity in each cell of its lane."""
    wall = max(1, run.ended - run.began)
    edges = run.began + np.arange(cells + 1) * (wall / cells)
    share = {paint: np.zeros(cells) for paint in GLYPHS}
    born, initializing, ready = run.start(life)
    gone = int(life["gone"]) or run.ended
    last = max(int(life["last"]), ready)
    _add(share["startup"], edges, np.array([born]), np.array([initializing]))
    _add(share["initializing"], edges, np.array([initializing]), np.array([ready]))
    mine = run.spans[(run.spans["worker"] == life["worker"]) & (run.spans["finished"] > 0)]
    idle = np.zeros(cells)
    _add(idle, edges, mine["received"] - mine["waited"], mine["received"])
    # The order within a task is unknown: imports come first, then waiting.
    at, parts = mine["received"], split(mine)
    for name, paint in _INSIDE:
        _add(share[paint], edges, at, at + parts[name])
        at = at + parts[name]
    _add(share["encode"], edges, mine["finished"], mine["encoded"])
    lost = run.spans[(run.spans["worker"] == life["worker"]) & (run.spans["state"] == 2)]
    _add(share["lost"] if len(lost) else idle, edges, np.array([last]), np.array([gone]))
    spent = np.diff(np.interp(edges, *tail)) / np.diff(edges)
    share["tail"] += idle * spent
    share["waiting"] += idle * (1 - spent)
    total = np.stack(list(share.values()))
    # A failure that takes less than a cell is still visible.
    best = total.argmax(axis=0)
    kinds = list(GLYPHS)
    lane = [
        GLYPHS[kinds[at]] if total[at, cell] > 0 else (" ", "default")
        for cell, at in enumerate(best)
    ]
    if len(lost) and not any(glyph == "!" for glyph, _ in lane):
        at = min(cells - 1, max(0, int((gone - run.began) * cells / wall) - 1))
        lane[at] = GLYPHS["lost"]
    return lane


def _add(share: Table, edges: Table, starts: Table, stops: Table) -> None:
    """Add to each cell the time that the stretches spend in it."""
    for at, clipped in enumerate(filled(edges, starts, stops)):
        share[at] += clipped


def _hosts(run: Run, width: int) -> RenderableType:
    grid = _grid(width, "hosts", ("state", "workers", "tasks", "compute", "sent", "PSS"))
    for each in hosts.done(run):
        row = each.row
        grid.add_row(
            f"{row.name}: {row.why}" if row.why else row.name,
            row.state,
            str(row.workers or ""),
            f"{each.tasks:,}" if row.workers else "",
            seconds(each.compute) if row.workers else "",
            human_bytes(row.shipped) if row.workers else "",
            human_bytes(each.pss),
        )
    return grid


def _functions(run: Run, width: int) -> RenderableType:
    grid = _grid(width, "function", ("tasks", "compute", "mean", "moved", "shared"))
    totals = run.totals
    rows = []
    for index in np.unique(totals["function"][totals["tasks"] > 0]):
        some = totals[totals["function"] == index]
        rows.append((float(some["compute"].sum()) / 1e9, int(index), some))
    for compute, index, some in sorted(rows, key=lambda row: -row[0])[:_SLOWEST]:
        tasks = int(some["tasks"].sum())
        moved = int(some["args_moved"].sum() + some["result_moved"].sum())
        shared = int(some["args_shared"].sum() + some["result_shared"].sum())
        grid.add_row(
            run.functions[index],
            f"{tasks:,}",
            seconds(compute),
            seconds(compute / max(1, tasks)),
            human_bytes(moved),
            human_bytes(shared),
        )
    if len(rows) > _SLOWEST:
        grid.add_row(f"… and {len(rows) - _SLOWEST} more", "", "", "", "", "")
    return grid


def _heaviest(run: Run, width: int) -> RenderableType:
    """Return ``63 % of by_shop: line shop.py:12, in DataFrame.groupby``."""
    grid = _grid(width, "heaviest lines", ("of", "time", "share"))
    for each in heaviest(run, _PROFILED, _LINES):
        into = f" → {each.into}" if each.into else ""
        name = each.function.rpartition(".")[2]
        grid.add_row(f"{each.where}{into}", name, seconds(each.spent), percent(each.share, 1))
    return grid


def _slowest(run: Run, width: int) -> RenderableType:
    grid = _grid(width, "slowest tasks", ("state", "worker", "after", "took", "CPU"))
    for span in slowest(run, _SLOWEST):
        name = run.functions[int(span["function"])]
        which = items(int(span["start"]), int(span["stop"]), int(span["task"]))
        grid.add_row(
            f"{which} of {name}",  # the end of a long name is cut off
            STATES[int(span["state"])],
            str(span["worker"]),
            seconds(max(0, int(span["started"]) - run.began) / 1e9),
            seconds(int(span["finished"] - span["started"]) / 1e9),
            seconds(int(span["cpu"]) / 1e9),
        )
    return grid


def slowest(run: Run, most: int) -> Table:
    """Return the tasks that computed longest, longest first."""
    spans: Table = np.concatenate([run.spans, run.slowest])
    took = spans["finished"] - spans["started"]
    return spans[np.argsort(-took, kind="stable")[:most]]


def _grid(width: int, first: str, others: tuple[str, ...]) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), width=width, header_style="bright_black")
    grid.add_column(first, overflow="ellipsis", no_wrap=True, ratio=1)
    for name in others:
        grid.add_column(name, justify="right", no_wrap=True)
    return grid


def _memory(run: Run, width: int) -> RenderableType:
    """Return the sum of PSS over time."""
    times, of_hosts = hosts.sums(run, "pss")
    pss = np.nansum(of_hosts, axis=0)
    peak = float(pss.max())
    label = f"memory  {human_bytes(int(peak))} at most (PSS)"
    if run.hosts:
        label += ", of all hosts together"
    saved = saved_by_sharing(run)
    if saved:
        label += f", {human_bytes(int(saved))} saved by one copy"
    at = np.linspace(run.began, max(run.ended, run.began + 1), width)
    # Between two readings the later figure is not known yet: the earlier one applies.
    held = pss[np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(pss) - 1)]
    heights = np.ceil(held / peak * 8).astype(int) if peak else np.zeros(width, int)
    curve = "".join(_BARS[height] for height in heights.tolist())
    return Group(Text(label), Text(curve, style="blue"))
