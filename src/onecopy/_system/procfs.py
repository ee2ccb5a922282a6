"""What the kernel knows of a process's memory: ``smaps_rollup`` and its neighbours.

RSS counts a shared page in every process that maps it; PSS divides each page by the
number of its users, so a sum of PSS is true, and USS is what ending the process would
give back. See proc(5). A read walks the page tables: about 10 ms per GB mapped.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_PROC = "/proc"


class Rollup(NamedTuple):
    """One process's memory, in bytes."""

    rss: int
    pss: int
    uss: int
    private_dirty: int
    shared: int
    swap: int
    anonymous: int | None = None
    """The share of PSS that is no file and no shared memory; None before Linux 5.4."""


def rollup(pid: int | str = "self") -> Rollup | None:
    """The memory of ``pid``; None when it is gone or may not be looked at."""
    fields: dict[str, int] = {}
    try:
        with open(f"{_PROC}/{pid}/smaps_rollup", "rb") as file:
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
        anonymous=fields.get("Pss_Anon"),
    )


def anonymous(pid: int) -> int:
    """Bytes of physical memory that ``pid`` maps and that are no file's and no shared
    memory's, pages that a fork has in common with its parent included; 0 when it is gone.

    Takes microseconds whatever the size: the kernel keeps the figures (statm, proc(5)).
    """
    try:
        with open(f"{_PROC}/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def descendants(pid: int) -> list[int]:
    """Pids of all children of ``pid``, their children and so on; gone ones left out."""
    found: list[int] = []
    todo = [pid]
    while todo:
        tasks = f"{_PROC}/{todo.pop()}/task"
        try:
            threads = os.listdir(tasks)
        except OSError:
            continue  # it ended between listing and reading
        for thread in threads:
            try:
                with open(f"{tasks}/{thread}/children", "rb") as file:
                    children = [int(word) for word in file.read().split()]
            except OSError:
                continue  # likewise
            found += children
            todo += children
    return found


def oom_kills() -> int:
    """How often the kernel's out-of-memory killer has struck on this machine (vmstat)."""
    try:
        with open(f"{_PROC}/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass  # not Linux: there is no such counter
    return 0
