"""No room in /dev/shm: SIGBUS when a page of a segment is first written, or an error before.

A segment takes its pages when they are touched, not when it is made: so ``SharedMemory`` gives one
that does not fit, and who writes to it is killed. In containers /dev/shm often has 64 MB.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from ..finding import Case, Finding, Line, count, human_bytes
from ..history import NOWHERE, Process, Site
from ..inside import kinds

# With less than this left it was full: bytes, or a part of its size.
_LEFT, _PART = 1_000_000, 0.02


def look(case: Case) -> Iterator[Finding]:
    room = case.history.readings.shared_memory
    asked, made, site = _asked(case)
    refused = _refused(case)
    if refused is not None:
        yield _finding(case, f"{refused[0]}.", "no room for a segment", asked, made, refused[1])
        return
    full = room.size > 0 and (
        room.least < max(_LEFT, _PART * room.size) or (made and asked > room.free)
    )
    struck = [each for each in case.history.processes if _struck(case, each)]
    if struck and full:
        first = struck[0]
        who = first.describe() if len(struck) == 1 else f"{len(struck)} processes"
        told = f"{who} ended by SIGBUS: a page of shared memory was written that had no room."
        place = site if site.file else first.started_at
        yield _finding(case, told, f"{who} ended by SIGBUS", asked, made, place)


def _struck(case: Case, process: Process) -> bool:
    code = case.facts.status if process.pid == case.facts.pid else process.exit
    return code == -signal.SIGBUS and process.ended_by != signal.SIGBUS


def _asked(case: Case) -> tuple[int, int, Site]:
    """Of segments that were there at a time: their bytes at most, how many, where the largest was
    made."""
    rows = [
        (int(row["t0"]), row, process)
        for process in case.history.processes
        for row in process.of(kinds.SHM)
    ]
    there: dict[str, int] = {}
    most, number, largest, site = 0, 0, 0, NOWHERE
    for _, row, process in sorted(rows, key=lambda each: each[0]):
        name, size = process.text(row["d"]), int(row["b"])
        if int(row["a"]) == kinds.MADE:
            there[name] = size
            if size > largest:
                largest, site = size, process.site(row["e"])
        elif int(row["a"]) == kinds.UNLINKED:
            there.pop(name, None)
        if sum(there.values()) > most:
            most, number = sum(there.values()), len(there)
    return most, number, site


def _refused(case: Case) -> tuple[str, Site] | None:
    for process in case.history.processes:
        for row in process.of(kinds.ERROR):
            if int(row["a"]) == kinds.NO_ROOM:
                return process.text(row["d"]), process.site(row["e"])
    return None


def _finding(case: Case, told: str, what: str, asked: int, made: int, site: Site) -> Finding:
    room = case.history.readings.shared_memory
    segments = f" Asked for: {human_bytes(asked)} in {count(made, 'segment')}." if made else ""
    return Finding(
        id="full-shared-memory",
        level="crash",
        title=f"/dev/shm is full: {what}",
        evidence=f"{told} It has {human_bytes(room.size)}, of which {human_bytes(room.free)} were "
        f"free at the beginning and {human_bytes(room.least)} at the least.{segments}",
        where=site,
        change=(
            Line(0, " ", "# docker run --shm-size=4g, or a volume of medium Memory at /dev/shm"),
            Line(0, "+", "data = oc.share(data)   # not in /dev/shm"),
        ),
        advice="oc.share asks for its room first, and raises NotEnoughMemory where there is none.",
        figures={
            "size": room.size,
            "free": room.free,
            "least": room.least,
            "asked": asked,
            "segments": made,
        },
    )
