"""A look at a process tree, for ``onecopy top``: what is read of it, its order, the table, the JSON.

Pools of onecopy are shown with what their workers run (``_top_pools``).
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedPlatform
from ._errors import FAILED, CommandError
from ._show import size
from ._top_pools import FarRow, Pools, pools

if TYPE_CHECKING:
    from .._observe.memory import Memory, ProcessMemory


# The least widths of a table of pools that has all sizes, and of one that has USS beside PSS.
_ALL_SIZES, _BOTH_SIZES = 106, 72

_NOTES = (
    "dirty: what of its USS the process has written",
    "* RSS counts a shared page once per process: its sum means nothing",
)


class Sort(StrEnum):
    """The order of the rows, greatest first; ``tree``: parents before children."""

    TREE = "tree"
    PSS = "pss"
    USS = "uss"
    RSS = "rss"
    CPU = "cpu"
    PID = "pid"


Row = tuple["ProcessMemory", float]


@dataclass
class Seen:
    """A tree as it was at one look.

    Attributes:
        memory: of the tree.
        rows: the processes in order, with their CPU share since the last look (1.0 is one core).
        pools: the pools among them.
        far: what is on other machines, below these.
    """

    memory: Memory
    rows: list[Row]
    pools: Pools
    far: list[FarRow]

    def far_shown(self, most: int | None) -> list[FarRow]:
        """Return what is shown of ``far``: there are at most ``most`` rows in all."""
        return self.far if most is None else self.far[: max(0, most - len(self.rows))]

    def notes(self, width: int) -> list[str]:
        """Return the lines under the table."""
        return [*self.pools.lines(), *(_NOTES if _all_sizes(self.pools, width) else ())]


class Look:
    """One process tree, looked at again and again.

    Args:
        pid: the root.
        sort: see there; may be set at any time.
    """

    def __init__(self, pid: int, sort: Sort) -> None:
        self.pid = pid
        self.sort = sort
        self._cpu: dict[Any, tuple[float, float]] = {}

    def __call__(self) -> Seen:
        """Look. Raises CommandError when the root is gone."""
        from .._observe.memory import memory

        try:
            found = memory(self.pid)
        except ProcessLookupError:
            raise CommandError(f"there is no process {self.pid}", FAILED) from None
        except (PermissionError, UnsupportedPlatform) as error:
            raise CommandError(str(error), FAILED) from error
        rows = [(each, self._share(each.pid)) for each in found.processes]
        there = pools([each.pid for each in found.processes])
        return Seen(found, self.ordered(rows), there, there.far_rows(self._share_of))

    def _share(self, pid: int) -> float:
        from .._system.procfs import status

        found = status(pid)
        return self._share_of(pid, found.cpu) if found is not None else 0.0

    def _share_of(self, key: Any, cpu: float) -> float:
        now = time.monotonic()
        used, before = self._cpu.get(key, (cpu, now))
        self._cpu[key] = cpu, now
        return max(0.0, cpu - used) / (now - before) if now > before else 0.0

    def ordered(self, rows: list[Row]) -> list[Row]:
        if self.sort is Sort.TREE:
            return rows
        if self.sort is Sort.CPU:
            return sorted(rows, key=lambda row: -row[1])
        if self.sort is Sort.PID:
            return sorted(rows, key=lambda row: row[0].pid)
        return sorted(rows, key=lambda row: -int(getattr(row[0], str(self.sort))))


def as_object(seen: Seen) -> dict[str, Any]:
    """Return the object that ``--json`` prints; sizes in bytes, CPU in cores."""
    found = seen.memory
    return {
        "time": time.time(),
        "pss": found.pss,
        "uss": found.uss,
        "rss_counted_repeatedly": found.rss_counted_repeatedly,
        "saved": found.saved,
        "processes": [{**asdict(each), "cpu": round(share, 3)} for each, share in seen.rows],
        "pools": seen.pools.as_objects(),
    }


def table(seen: Seen, width: int, most: int | None = None) -> Any:
    """Return at most ``most`` rows, and the sums of all; ``width`` columns wide, for which 80 are
    enough."""
    from rich.markup import escape
    from rich.table import Table

    grid = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", footer_style="bold")
    grid.show_footer = True
    columns = _columns(seen, width, most)
    for name, cells, foot in columns:
        grid.add_column(name, foot, justify="right", no_wrap=True, width=_widest(name, cells, foot))
    # What the figures leave: rich would take from all columns alike.
    room = max(8, width - sum(_widest(*column) + 1 for column in columns) - 1)
    saved = f"one copy saves {size(seen.memory.saved)}" if seen.memory.saved > 10**6 else ""
    last = "command, or what it runs" if seen.pools.are_there else "command"
    grid.add_column(last[:room], saved[:room], no_wrap=True, width=room)
    for at, (each, _) in enumerate(seen.rows[:most]):
        what = seen.pools.words(each.pid, room) or _short(each.name, room)
        grid.add_row(*(cells[at] for _, cells, _ in columns), escape(what))
    for at, row in enumerate(seen.far_shown(most), len(seen.rows[:most])):
        grid.add_row(*(cells[at] for _, cells, _ in columns), escape(row.words(room)))
    grid.caption = escape("\n".join(seen.notes(width)))
    grid.caption_justify = "left"
    return grid


def _columns(seen: Seen, width: int, most: int | None) -> list[tuple[str, list[str], str]]:
    """Return head, cells and foot of all columns but the last."""
    all_of = [each for each, _ in seen.rows]
    shown, cpu = all_of[:most], [share for _, share in seen.rows]
    memory, dirty = seen.memory, sum(each.private_dirty for each in all_of)
    columns = [
        ("PID", [str(each.pid) for each in shown], "all"),
        ("S", [each.state for each in shown], ""),
        ("CPU", [f"{100 * share:.0f} %" for share in cpu[:most]], f"{100 * sum(cpu):.0f} %"),
        ("PSS", [size(each.pss) for each in shown], size(memory.pss)),
    ]
    if not seen.pools.are_there or width >= _BOTH_SIZES:
        columns.append(("USS", [size(each.uss) for each in shown], size(memory.uss)))
    if _all_sizes(seen.pools, width):
        columns.append(("dirty", [size(each.private_dirty) for each in shown], size(dirty)))
        columns.append(("RSS", [size(each.rss) for each in shown], "*"))
    if seen.pools.are_there:
        columns.append(("tasks", [seen.pools.ended(each.pid) for each in shown], ""))
        columns.append(("for", [seen.pools.seconds(each.pid) for each in shown], ""))
    far = seen.far_shown(most)
    return [
        (name, [*cells, *(_far(name, row) for row in far)], foot) for name, cells, foot in columns
    ]


def _far(name: str, row: FarRow) -> str:
    """Return a cell of a line about another machine."""
    known = {
        "PID": row.pid,
        "CPU": row.cpu,
        "PSS": size(row.pss) if row.pss > 0 else "-",
        "tasks": row.tasks,
        "for": row.seconds,
    }
    return known.get(name, "-" if row.pid else "")


def _widest(name: str, cells: list[str], foot: str) -> int:
    return max(map(len, (name, foot, *cells)))


def _all_sizes(pools: Pools, width: int) -> bool:
    """Return True if there is room for all sizes."""
    return not pools.are_there or width >= _ALL_SIZES


def _short(name: str, room: int) -> str:
    """Return a command line without the path of its program."""
    program, space, rest = name.partition(" ")
    whole = os.path.basename(program) + space + rest
    return whole if len(whole) <= room else whole[: room - 1] + "…"
