"""The memory of processes as the kernel reports it: ``smaps_rollup`` and related files.

RSS counts a shared page in every process that maps it; PSS divides each page by the number of its
users, so a sum of PSS is correct, and USS is what ending the process would free. See proc(5). A
read walks the page tables: about 10 ms per GB mapped.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_PROC = "/proc"
# The parts of smaps that ``mappings`` needs. A mapping's first line: start-end perms offset device
# inode.
_MAPPING = (
    rb"^(?:[0-9a-f]+-[0-9a-f]+ ...([sp]) \S+ \S+ (\d+)"
    rb"|(Rss|Pss|Shared_Clean|Shared_Dirty|Private_Dirty|Swap): +(\d+) kB)"
)


class Rollup(NamedTuple):
    """One process's memory, in bytes."""

    rss: int
    pss: int
    uss: int
    private_dirty: int
    shared: int
    swap: int
    anonymous: int | None = None
    """The share of PSS that is neither a file's nor shared memory; None before Linux 5.4."""


def rollup(pid: int | str = "self") -> Rollup | None:
    """Return the memory of ``pid``; None if it is gone or may not be read."""
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


class Mappings(NamedTuple):
    """One process's memory by the kind of its mappings, in bytes.

    Attributes:
        own: pages that only this process has and that are in no shared mapping: those that it has
            written in its heap, its stacks, and private views of files and segments; swapped-out
            ones included.
        inherited: anonymous pages that it shares with processes that it was forked from or has
            forked. A page that it writes to becomes its own.
        shared_rss, shared_pss: pages of shared mappings (segments, arenas, mapped data
            files), each in full, and divided by the number of its users.
    """

    own: int
    inherited: int
    shared_rss: int
    shared_pss: int


def mappings(pid: int | str = "self") -> Mappings | None:
    """Return the memory of ``pid``, mapping by mapping; None if it is gone or may not be read.

    Costs about three times as much as ``rollup``: in addition to walking the pages the kernel
    writes half a kilobyte of text for each mapping (smaps, proc(5)).
    """
    own = inherited = shared_rss = shared_pss = 0
    shared = anonymous = False
    try:
        with open(f"{_PROC}/{pid}/smaps", "rb") as file:
            text = file.read()
    except OSError:
        return None
    for sharing, inode, name, number in re.findall(_MAPPING, text, re.MULTILINE):
        if sharing:
            shared = sharing == b"s"
            anonymous = not shared and inode == b"0"
        elif name == b"Rss":
            shared_rss += int(number) if shared else 0
        elif name == b"Pss":
            shared_pss += int(number) if shared else 0
        elif name[:6] == b"Shared":
            inherited += int(number) if anonymous else 0
        elif not shared:
            own += int(number)
    return Mappings(own << 10, inherited << 10, shared_rss << 10, shared_pss << 10)


def anonymous(pid: int) -> int:
    """Return the bytes of physical memory of ``pid`` that belong to neither a file nor shared
    memory, including pages that a fork shares with its parent; 0 if it is gone.

    Takes microseconds whatever the size: the kernel keeps the figures (statm, proc(5)).
    """
    try:
        with open(f"{_PROC}/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


class Status(NamedTuple):
    """A process's status: its parent's pid, its command line or otherwise its name, one letter for
    its state (ps(1)), and the CPU time that it has used, in seconds."""

    parent: int
    name: str
    state: str
    cpu: float


def status(pid: int) -> Status | None:
    """See ``Status``; None if the process is gone."""
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:
            # pid (name) state ppid: the name may hold anything, parentheses too.
            before, _, after = file.read().rpartition(b")")
        with open(f"{_PROC}/{pid}/cmdline", "rb") as file:
            command = file.read(4096).replace(b"\0", b" ").strip()
    except OSError:
        return None
    fields = after.split()
    name = command or b"[" + before.partition(b"(")[2] + b"]"
    ticks = int(fields[11]) + int(fields[12])
    return Status(
        parent=int(fields[1]),
        name="".join(c if c.isprintable() else " " for c in name.decode(errors="replace")),
        state=fields[0].decode(),
        cpu=ticks / os.sysconf("SC_CLK_TCK"),
    )


def descendants(pid: int) -> list[int]:
    """Return the pids of all children of ``pid``, their children and so on, without gone ones."""
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
                continue  # it ended meanwhile
            found += children
            todo += children
    return found


def oom_kills() -> int:
    """Return how often the kernel's out-of-memory killer has killed a process on this machine
    (vmstat)."""
    try:
        with open(f"{_PROC}/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass  # not Linux: there is no such counter
    return 0
