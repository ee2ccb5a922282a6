"""Globals of the main module that workers change, each its own copy.

It is wrong only when the main process reads them afterwards, which its source says; else it may be
a cache or a worker's own count, and is a note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line
from ..history import NOWHERE, Process, Site
from ..inside import kinds


def look(case: Case) -> Iterator[Finding]:
    changed: dict[tuple[str, str], list[tuple[Process, str, str]]] = defaultdict(list)
    for process in case.history.workers():
        for row in process.of(kinds.GLOBALS):
            words = process.text(row["d"]).split("\t")
            if len(words) == 4:
                changed[words[0], words[1]].append((process, words[2], words[3]))
    for (name, kind), some in changed.items():
        yield _finding(case, name, kind, some)


def _script(case: Case) -> str:
    """The file of the main module, as far as the places that were noted tell."""
    for pool in case.pools:
        if pool.site.file:
            return pool.site.file
    sites = [each.started_at for each in case.history.workers()]
    return next((site.file for site in sites if site.file), "")


def _finding(case: Case, name: str, kind: str, some: list[tuple[Process, str, str]]) -> Finding:
    process, before, after = some[0]
    file = _script(case)
    read = source.loaded_elsewhere(file, name) if file else 0
    sized = kind not in ("int", "float", "bool")
    what = f"from {before} to {after}" + (" items" if sized else "")
    seen = f" The main process reads it at line {read}." if read else ""
    where = Site(file, read, "") if read else NOWHERE
    ours = (
        (
            Line(0, "+", "found = oc.append_log()   # all processes append, the owner reads"),
            Line(0, "-", f"{name}.append(value)"),
            Line(0, "+", "found.append(value)"),
        )
        if sized
        else (
            Line(0, "+", f'{name} = oc.Counter("n")'),
            Line(0, "-", f"{name} += 1"),
            Line(0, "+", f'{name}.add("n")'),
        )
    )
    return Finding(
        id="global-changed",
        level="wrong" if read and kind != "dict" else "note",
        title=f"{name!r} ({kind}) was changed in {len(some)} "
        f"{'worker' if len(some) == 1 else 'workers'}, and nowhere else",
        evidence=f"For example {what} in {process.describe()}: a worker's globals are its own, "
        f"whatever the start method.{seen}",
        where=where,
        change=(
            Line(0, " ", "# return the value, and collect the results in the main process; or:"),
            *ours,
        )
        if read
        else (),
        advice="" if read else "If it is a cache, or a worker's own count, all is well.",
        figures={"workers": len(some)},
    )
