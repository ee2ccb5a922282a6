"""The tables: for the terminal, in 100 columns, and in Markdown.

A Markdown table goes between two comments of the file that shows it, so that it is always
one that was run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .judge import LEGEND, Defect, Grade
from .peers import Peer
from .rows import Fault

WIDTH = 100
BEGIN = "<!-- faults: written by python -m bench.faults -->"
END = "<!-- faults: end -->"

Cells = Mapping[tuple[str, str], "Defect | str"]


def _mark(cell: Defect | str) -> str:
    return cell if isinstance(cell, str) else cell.mark


def _style(cell: Defect | str) -> str:
    if isinstance(cell, str):
        return "dim"
    if cell.grade is Grade.OK:
        return "green"
    return "yellow" if cell.grade < Grade.REMAINS else "red"


def _used(cells: Cells) -> list[tuple[str, str]]:
    """The marks of the legend that the table has."""
    shown = " ".join(map(_mark, cells.values()))
    words = {"n procs, files, shm": ("proc", "file", "shm"), "n lost": (" lost",), "k/n": ("/",)}
    found = []
    for mark, meaning in LEGEND.items():
        if mark == "n lost":
            there = shown.replace("pool lost", "").count(" lost") > 0
        elif mark == "k/n":
            there = "/" in shown.replace("n/a", "")
        else:
            there = any(word in shown for word in words.get(mark, (mark,)))
        if there:
            found.append((mark, meaning))
    return found


def terminal(faults: Iterable[Fault], peers: Iterable[Peer], cells: Cells) -> RenderableType:
    """The whole table and its legend."""
    peers = list(peers)
    table = Table(box=box.SIMPLE, width=WIDTH, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for peer in peers:
        table.add_column(peer.title, ratio=1)
    for fault in faults:
        found = [cells[fault.name, peer.name] for peer in peers]
        table.add_row(fault.title, *(Text(_mark(cell), style=_style(cell)) for cell in found))
    legend = [Text(f"{mark}: {meaning}", style="dim") for mark, meaning in _used(cells)]
    return Group(table, *legend)


def markdown(
    faults: Iterable[Fault], peers: Iterable[Peer], cells: Cells, *, legend: bool = True
) -> str:
    """The same as Markdown."""
    peers = list(peers)
    lines = [
        "| | " + " | ".join(f"{peer.title}" for peer in peers) + " |",
        "|---" * (len(peers) + 1) + "|",
    ]
    for fault in faults:
        found = (_mark(cells[fault.name, peer.name]) for peer in peers)
        lines.append(f"| {fault.title} | " + " | ".join(found) + " |")
    if legend:
        lines.append("")
        lines += [f"- **{mark}**: {meaning}" for mark, meaning in _used(cells)]
    return "\n".join(lines)


def insert(path: Path, text: str) -> bool:
    """Puts it between the two comments; False when the file has none."""
    content = path.read_text()
    head, begin, rest = content.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        return False
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    return True


def console() -> Console:
    return Console(width=WIDTH, highlight=False)
