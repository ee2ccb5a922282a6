"""Pages of forked processes that the collector of garbage copies.

Each process counts the page faults of its own collections. A collection makes no memory of its own
to speak of: what it faults for are pages that it writes to, and has in common with the parent.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, count, human_bytes
from ..history import NOWHERE, Process, Site

_PAGE = 4096
_LEAST, _PART = 50e6, 0.2


def look(case: Case) -> Iterator[Finding]:
    seen = [
        (process, min(process.inherited, _PAGE * process.counters["collected faults"]))
        for process in case.history.processes
        if process.forked and process.counters.get("collected faults")
    ]
    copied = float(sum(size for _, size in seen))
    inherited = float(sum(process.inherited for process, _ in seen))
    if copied >= _LEAST and copied >= _PART * inherited:
        yield _finding(case, [process for process, _ in seen], copied, inherited)


def _finding(case: Case, processes: list[Process], copied: float, inherited: float) -> Finding:
    times = sum(process.counters.get("collected times", 0) for process in processes)
    site = _started(case, processes[0])
    return Finding(
        id="gc-copies",
        level="memory",
        title=f"The garbage collector copied {human_bytes(int(copied))} of what "
        f"{count(len(processes), 'forked worker')} had inherited",
        evidence=f"In {count(times, 'collection')} it wrote into the head of each container that it looked "
        f"at: {human_bytes(int(copied / len(processes)))} each, of "
        f"{human_bytes(int(inherited / len(processes)))}.",
        where=site,
        change=(
            Line(0, "+", "gc.collect()"),
            Line(0, "+", "gc.freeze()    # before the processes are started"),
            Line(site.line, " ", source.line(site)),
        ),
        advice="Frozen objects are not looked at. Those that the workers read are copied all the same, by "
        "their reference counts; what oc.share has shared is not.",
        memory=copied,
        gain=f"up to {human_bytes(int(copied))} of memory",
        figures={"copied": copied, "inherited": inherited, "collections": times},
    )


def _started(case: Case, process: Process) -> Site:
    """The place where the process's pool was made, or it was started."""
    for pool in case.pools:
        if process in pool.workers and pool.site.file:
            return pool.site
    return process.started_at if process.start is not None else NOWHERE
