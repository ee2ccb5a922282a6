"""``onecopy.memory``: the physical memory of a process and its descendants.

PSS and USS are the correct figures (see ``_system.procfs``). RSS, which counts each shared page
once per process, is included because other tools show it. Readings over time are in ``series``, the
peak of a tree in ``sampler``.
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass

from .. import errors
from .._system import procfs
from .._system.usage import traced
from ..errors import human_bytes
from .sampler import is_between_fork_and_exec


@dataclass(frozen=True)
class ProcessMemory:
    """One process's memory, in bytes.

    Attributes:
        pid, parent: its id and its parent's.
        name: its command line, shortened.
        state: one letter as in ps(1): R runs, S and D wait, T is stopped, Z has ended.
        rss: resident pages, shared ones in full.
        pss: resident pages, each divided by the number of processes that map it.
        uss: pages that no other process maps: its end would free these.
        private_dirty: pages of these that it has written to.
        shared: pages that others map as well, in full.
        swap: memory moved to swap space.
        heap: the memory of Python objects, if this is the current process and ``tracemalloc`` is
            tracing; otherwise None.
        saved: the additional memory that it would take if its pages of shared mappings
            (segments, arenas, mapped data files; not programs and libraries) were copies.
    """

    __module__ = "onecopy"

    pid: int
    parent: int
    name: str
    state: str
    rss: int
    pss: int
    uss: int
    private_dirty: int
    shared: int
    swap: int
    heap: int | None
    saved: int


@dataclass(frozen=True, repr=False)
class Memory:
    """The memory of a process and its descendants, read by ``onecopy.memory``.

    Attributes:
        processes: the requested process, then its descendants.
    """

    __module__ = "onecopy"

    processes: tuple[ProcessMemory, ...]

    @property
    def pss(self) -> int:
        """The sum of PSS: the memory that all of them take together. Bytes."""
        return sum(each.pss for each in self.processes)

    @property
    def uss(self) -> int:
        """The sum of USS: the memory that each has alone. Bytes."""
        return sum(each.uss for each in self.processes)

    @property
    def rss_counted_repeatedly(self) -> int:
        """The sum of RSS, in which a page counts once for each process that maps it. Bytes."""
        return sum(each.rss for each in self.processes)

    @property
    def saved(self) -> int:
        """The additional memory that they would take if each had its own copy of shared data.
        Bytes."""
        return sum(each.saved for each in self.processes)

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("pid", "PSS", "USS", "dirty", "RSS", "swap", "")]
        for each in self.processes:
            sizes = (each.pss, each.uss, each.private_dirty, each.rss, each.swap)
            rows.append((str(each.pid), *map(human_bytes, sizes), each.name[:36]))
        sums = [sum(getattr(each, name) for each in self.processes) for name in _SUMMED]
        rows.append(("all", *map(human_bytes, sums[:3]), "", human_bytes(sums[3]), ""))
        wide = [max(len(row[at]) for row in rows) for at in range(6)]
        lines = [
            "  ".join([*(cell.rjust(w) for cell, w in zip(row[:6], wide, strict=True)), row[6]])
            for row in rows
        ]
        lines.append(f"one copy of shared data saves {human_bytes(self.saved)}")
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("pid", "", "PSS", "USS", "dirty", "RSS"))
        body = "".join(
            f"<tr><td>{each.pid}</td><td style='text-align:left'>{html.escape(each.name)}</td>"
            + "".join(
                f"<td style='white-space:nowrap'>{human_bytes(value)}</td>"
                for value in (each.pss, each.uss, each.private_dirty, each.rss)
            )
            + "</tr>"
            for each in self.processes
        )
        last = (
            f"<tr><th>all</th><th></th><th style='white-space:nowrap'>{human_bytes(self.pss)}</th>"
            f"<th style='white-space:nowrap'>{human_bytes(self.uss)}</th><th></th><th></th></tr>"
        )
        note = f"one copy of shared data saves {human_bytes(self.saved)}"
        return f"<table><tr>{head}</tr>{body}{last}</table><p>{note}</p>"


_SUMMED = ("pss", "uss", "private_dirty", "swap")


def memory(pid: int | None = None) -> Memory:
    """Return the physical memory of a process and all its descendants.

    Args:
        pid: the process; None: this one.

    Returns:
        One row per process, and correct sums: ``print`` it. Descendants that end meanwhile, or that
        belong to another user, are left out.

    Raises:
        ProcessLookupError: there is no such process.
        PermissionError: it belongs to another user, and may not be read.
        UnsupportedPlatform: the system has no such figures: only Linux does.

    Blocks for about 20 ms per GB that the processes map. Thread-safe.

    Example:
        >>> import onecopy as oc
        >>> oc.memory().pss > 0
        True
    """
    root = os.getpid() if pid is None else pid
    if not os.path.exists("/proc/self/smaps_rollup"):
        raise errors.UnsupportedPlatform("memory by process is read from /proc, as Linux has it")
    os.kill(root, 0) if root > 0 else _no_process(root)
    found: list[ProcessMemory] = []
    rollups: dict[int, procfs.Rollup] = {}
    for each in (root, *procfs.descendants(root)):
        rollup, mappings = procfs.rollup(each), procfs.mappings(each)
        status = procfs.status(each)
        if rollup is None or mappings is None or status is None:
            if each == root:
                raise PermissionError(f"process {root} may not be looked at, or has just ended")
            continue
        if is_between_fork_and_exec(each, rollup, rollups):
            continue
        rollups[each] = rollup
        found.append(
            ProcessMemory(
                pid=each,
                parent=status.parent,
                name=status.name,
                state=status.state,
                rss=rollup.rss,
                pss=rollup.pss,
                uss=rollup.uss,
                private_dirty=rollup.private_dirty,
                shared=rollup.shared,
                swap=rollup.swap,
                heap=(traced() or None) if each == os.getpid() else None,
                saved=mappings.shared_rss - mappings.shared_pss,
            )
        )
    return Memory(tuple(found))


memory.__module__ = "onecopy"


def _no_process(pid: int) -> None:
    raise ProcessLookupError(f"{pid} is no process's id")
