"""Forks while threads were running, whose locks stay held in the child."""

from __future__ import annotations

from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, seconds
from ..history import Process, Site, of_library
from ..inside import kinds


def look(case: Case) -> Iterator[Finding]:
    found: list[tuple[Process, list[str], Site]] = []
    for process in case.history.processes:
        for row in process.of(kinds.FORK):
            if not int(row["c"]):
                continue
            # multiprocessing replaces a worker from its own thread.
            if of_library(process.threads.get(int(row["head"]) >> 32, "")):
                continue
            names = [name for name in process.text(row["d"]).split("; ") if name]
            others = [name.split("|")[0] for name in names if not of_library(name)]
            if others:
                found.append((process, others, process.site(row["e"])))
    if not found:
        return
    process, names, site = found[0]
    stuck = _stuck(case)
    hangs = (
        f" {stuck[0].describe()} has waited for a lock for {seconds(case.history.readings.idle)}, "
        "and used no CPU."
        if stuck
        else ""
    )
    yield Finding(
        id="fork-with-threads",
        level="crash",
        title=f"{len(found)} forks while {len(names)} other threads were running",
        evidence=f"{', '.join(names[:4])}. A lock that such a thread holds at that moment stays "
        f"locked in the child for ever.{hangs}",
        where=site,
        change=(
            Line(site.line, " ", source.line(site)),
            Line(0, "+", 'multiprocessing.set_start_method("forkserver")   # or "spawn"'),
            Line(0, " ", "# or make the pool before the threads"),
        ),
        advice="onecopy.Pool forks from a process without threads by default.",
        figures={"forks": len(found), "threads": len(names), "stuck": len(stuck)},
    )


def _stuck(case: Case) -> list[Process]:
    """Forked children that waited for a lock when nothing ran any more."""
    waits = {each.pid for each in case.history.readings.stuck if each.call == "futex"}
    mine = [case.history.by_pid[pid] for pid in waits if pid in case.history.by_pid]
    return [each for each in mine if each.forked and not each.of(kinds.IN).size]
