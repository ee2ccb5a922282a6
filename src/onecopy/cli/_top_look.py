"""A look at a process tree, for ``onecopy top``: what is read of it, its order, the table, the JSON."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedPlatform
from ._errors import FAILED, CommandError
from ._show import size

if TYPE_CHECKING:
    from .._observe.memory import Memory, ProcessMemory


# The widest that the figures get: a pid of seven digits, a state, CPU, four sizes.
_FIGURES = 8 + 2 + 7 + 4 * 8 + 1


NOTE = (
    "dirty: what of its USS the process has written\n"
    "* RSS counts a shared page once per process: its sum means nothing"
)


class Sort(StrEnum):
    """The order of the rows, greatest first; ``tree``: parents before children."""

    TREE = "tree"
    PSS = "pss"
    USS = "uss"
    RSS = "rss"
    CPU = "cpu"
    PID = "pid"


class Look:
    """One process tree, looked at again and again.

    Args:
        pid: the root.
        sort: see there; may be set at any time.
    """

    def __init__(self, pid: int, sort: Sort) -> None:
        self.pid = pid
        self.sort = sort
        self._cpu: dict[int, tuple[float, float]] = {}

    def __call__(self) -> tuple[Memory, list[tuple[ProcessMemory, float]]]:
        """The tree's memory, and its rows with the CPU share since the last look (1.0 is
        one core), in order. Raises CommandError when the root is gone."""
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
    # What the figures leave: rich would take from all columns alike.
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
    """A command line without the path of its program; nothing is markup."""
    from rich.markup import escape

    program, space, rest = name.partition(" ")
    whole = os.path.basename(program) + space + rest
    return escape(whole if len(whole) <= room else whole[: room - 1] + "…")
