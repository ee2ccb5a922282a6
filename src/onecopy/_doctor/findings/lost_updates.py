"""Globals of the program's modules that workers change, each its own copy.

It is wrong only when the main process reads them afterwards, which its source says; else it may be
a cache or a worker's own count, and is a note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from .. import reading
from ..finding import Case, Finding, Line
from ..history import NOWHERE, Process, Site
from ..inside import kinds


class _Change(NamedTuple):
    """A change as it was noted; sizes or values, as text."""

    process: Process
    before: str
    after: str
    file: str


def look(case: Case) -> Iterator[Finding]:
    changed: dict[tuple[str, str], list[_Change]] = defaultdict(list)
    for process in case.history.workers():
        for row in process.of(kinds.GLOBALS):
            words = process.text(row["d"]).split("\t")
            if len(words) == 5:
                changed[words[0], words[1]].append(_Change(process, *words[2:]))
    for (name, kind), some in changed.items():
        found = _finding(case, name, kind, some)
        if found is not None:
            yield found


def _started(case: Case, worker: Process) -> tuple[Site, set[str]]:
    """The place where a worker was started, and the functions that it and its like run."""
    for pool in case.pools:
        if worker in pool.workers:
            names = set(pool.functions(pool.tasks[:20]))
            return (pool.site if pool.site.file else pool.submit[0]), names
    like = [each for each in case.history.workers() if each.parent is worker.parent]
    return worker.started_at, {each.target for each in like}


def _finding(case: Case, name: str, kind: str, some: list[_Change]) -> Finding | None:
    first = some[0]
    started, functions = _started(case, first.process)
    read = reading.by_main(first.file, name, functions, started) if started.file else None
    plain = "." not in name
    if read is None and not plain:
        return None  # as a cache that an object has
    sized = kind not in ("int", "float", "bool")
    what = f"from {first.before} to {first.after}" + (" items" if sized else "")
    if first.before == first.after:
        what = "what is in it"
    seen = f" The main process reads it at line {read.site.line}." if read else ""
    workers = "worker" if len(some) == 1 else "workers"
    return Finding(
        id="global-changed",
        level="wrong" if read and not read.changed else "note",
        title=f"{name!r} ({kind}) was changed in {len(some)} {workers}, "
        + (
            "each its own, and in the main process" if read and read.changed else "and nowhere else"
        ),
        evidence=f"For example {what} in {first.process.describe()}: a worker's globals are its own, "
        f"whatever the start method.{seen}",
        where=read.site if read else NOWHERE,
        change=tuple(_change(name, kind)) if read and not read.changed else (),
        advice=""
        if read and not read.changed
        else "If it is a cache, or a worker's own count, all is well.",
        figures={"workers": len(some)},
    )


def _change(name: str, kind: str) -> Iterator[Line]:
    yield Line(0, " ", "# return the value, and put the results together in the main process; or:")
    if kind in ("int", "float", "bool"):
        yield Line(0, "+", f'{name} = oc.Counter("n")   # before the workers are started')
        yield Line(0, "-", f"{name} += 1")
        yield Line(0, "+", f'{name}.add("n")   # and in the end {name}["n"]')
    elif kind == "ndarray":
        yield Line(0, "+", f"{name} = oc.empty(shape, dtype)   # all processes write to it")
    elif kind in ("list", "deque", "set"):
        yield Line(0, "+", f"{name} = oc.append_log()   # all processes append, the owner reads")
        if kind == "set":
            yield Line(0, "-", f"{name}.add(value)")
            yield Line(0, "+", f"{name}.append(value)   # and set({name}) in the end")
    else:
        yield Line(0, "+", f"{name} = oc.append_log()   # all processes append, the owner reads")
        yield Line(0, "-", f"{name}[key] = value")
        yield Line(0, "+", f"{name}.append((key, value))   # and dict({name}) in the end")
