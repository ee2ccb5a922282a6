"""Forks while threads were running, whose locks stay held in the child."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, count, seconds
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
        title=f"{count(len(found), 'fork')} while {count(len(names), 'other thread')} "
        f"{'was' if len(names) == 1 else 'were'} running",
        evidence=f"{', '.join(names[:4])}. A lock that such a thread holds at that moment stays "
        f"locked in the child for ever.{hangs}",
        where=site,
        change=tuple(_change(site)),
        advice="onecopy.Pool forks from a process without threads by default.",
        figures={"forks": len(found), "threads": len(names), "stuck": len(stuck)},
    )


def _change(site: Site) -> Iterator[Line]:
    """Another start method, where the program says "fork", or at its beginning."""
    for name in ("get_context", "set_start_method"):
        for call in source.calls(site.file, name):
            if any(isinstance(each, ast.Constant) and each.value == "fork" for each in call.args):
                before, after = source.replaced(site, call.args[0], '"forkserver"')
                yield Line(call.lineno, "-", before)
                yield Line(call.lineno, "+", f"{after}   # or spawn")
                yield Line(0, " ", "# or start the processes before the threads")
                return
    yield Line(site.line, " ", source.line(site))
    if "os.fork" not in source.line(site):
        yield Line(0, "+", 'multiprocessing.set_start_method("forkserver")   # at the beginning')
    yield Line(0, " ", "# or start the processes before the threads")


def _stuck(case: Case) -> list[Process]:
    """Forked children that waited for a lock, in a task or before their first, when nothing ran any more."""
    waits = {each.pid for each in case.history.readings.stuck if each.call == "futex"}
    mine = [case.history.by_pid[pid] for pid in waits if pid in case.history.by_pid]
    at_work = [each.current is not None and each.current.running for each in mine]
    return [
        each
        for each, works in zip(mine, at_work, strict=True)
        if each.forked and (works or not each.of(kinds.IN).size)
    ]
