"""What the kernel knows of a process's memory: ``smaps_rollup`` and its neighbours.

RSS counts a shared page in every process that maps it; PSS divides each page by the
number of its users, so a sum of PSS is true, and USS is what ending the process would
give back. See proc(5). A read walks the page tables: about 10 ms per GB mapped.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Rollup(NamedTuple):
    """One process's memory, in bytes."""

    rss: int
    pss: int
    uss: int
    private_dirty: int
    shared: int
    swap: int


def rollup(pid: int | str = "self") -> Rollup | None:
    """The memory of ``pid``; None when it is gone or may not be looked at."""
    fields: dict[str, int] = {}
    try:
        with open(_PROC / str(pid) / "smaps_rollup", "rb") as file:
            next(file)  # the address range
            for line in file:
                name, value = line.split(b":", 1)
                fields[name.decode()] = int(value.split()[0]) * 1024
    except (OSError, StopIteration, ValueError):
        return None
    private = fields.get("Private_Clean", 0) + fields.get("Private_Dirty", 0)
    return Rollup(
        rss=fields.get("Rss", 0),
        pss=fields.get("Pss", 0),
        uss=private,
        private_dirty=fields.get("Private_Dirty", 0),
        shared=fields.get("Shared_Clean", 0) + fields.get("Shared_Dirty", 0),
        swap=fields.get("Swap", 0),
    )


def descendants(pid: int) -> list[int]:
    """Pids of all children of ``pid``, their children and so on; gone ones left out."""
    found: list[int] = []
    todo = [pid]
    while todo:
        here = todo.pop()
        for task in _PROC.glob(f"{here}/task/*/children"):
            try:
                children = [int(word) for word in task.read_text().split()]
            except (OSError, ValueError):
                continue  # it ended between listing and reading
            found += children
            todo += children
    return found


def oom_kills() -> int:
    """How often the kernel's out-of-memory killer has struck on this machine (vmstat)."""
    try:
        with open(_PROC / "vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass  # not Linux: there is no such counter
    return 0
