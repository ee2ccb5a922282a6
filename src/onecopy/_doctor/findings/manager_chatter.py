"""Round trips to a manager's process, element by element."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from .. import source
from ..finding import Case, Finding, Line, arrow, percent, seconds
from ..history import NOWHERE, Process, Site, Table
from ..inside import kinds

_CALLS, _PART = 200, 0.2
_LOCKS = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier")
_WRITES = ("__setitem__", "append", "extend", "update", "setdefault", "insert", "pop")
_WRITTEN = 0.1


def look(case: Case) -> Iterator[Finding]:
    grouped: dict[Process, list[tuple[Process, Table]]] = defaultdict(list)
    for process in case.history.processes:
        rows = process.of(kinds.PROXY)
        if len(rows):
            grouped[process.parent if process.boot and process.parent else process].append(
                (process, rows)
            )
    for some in grouped.values():
        calls = sum(int(rows["d"].sum()) for _, rows in some)
        spent = [(_spent(rows), process, rows) for process, rows in some]
        whole = sum(each for each, _, _ in spent)
        lives = sum(_life(process) for _, process, _ in spent)
        if calls >= _CALLS and whole >= _PART * lives:
            yield _finding(case, calls, whole, lives, spent)


def _spent(rows: Table) -> float:
    """Seconds in calls. Of what stands for many the median counts: a sum has a heavy tail."""
    found = 0.0
    for method in np.unique(rows["b"]):
        mine = rows[rows["b"] == method]
        every, some = mine[mine["d"] == 1], mine[mine["d"] > 1]
        found += float(every["a"].sum()) / 1e9
        if len(some):
            found += float(np.median(some["a"])) / 1e9 * float(some["d"].sum())
    return found


def _life(process: Process) -> float:
    return max(1e-9, (process.stop - (process.boot or process.born)) / 1e9)


def _about(times: int) -> str:
    """Of many calls one in sixteen is noted: the last digits are not known."""
    return f"{times:,}" if times <= 500 else f"{round(times, -2):,}"


def _lines(site: Site, kind: str, written: bool) -> Iterator[Line]:
    """The manager's object, made a shared one; one that is written to, made ours of that sort."""
    made = source.assigned_call(site.file, kind)
    if written:
        name = made[0] if made is not None else "found" if kind == "list" else "counts"
        if made is not None:
            number = made[1].lineno
            yield Line(number, "-", source.line(Site(site.file, number, "")))
        elif site.line:
            yield Line(site.line, " ", source.line(site))
        number = made[1].lineno if made is not None else 0
        if kind == "list":
            yield Line(number, "+", f"{name} = oc.append_log()   # all processes append to it")
        else:
            yield Line(
                number, "+", f'{name} = oc.Counter("a", "b")   # its names; no lock is needed'
            )
            yield Line(0, "+", f'{name}.add("a")')
        yield Line(0, " ", "# or each task returns what it found, and main puts it together")
        return
    if made is not None:
        name, call = made
        inner = source.text_of(site, call.args[0]) if call.args else ""
        plain = call.args and isinstance(call.args[0], ast.List | ast.ListComp | ast.Dict)
        inner = inner if plain else f"{kind}({inner})"
        before, after = source.replaced(site, call, f"oc.share({inner})")
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", f"{after}  # read in place")
        yield Line(0, " ", f"# {name} is read-only then; to write: oc.Counter(), oc.append_log()")
        return
    if site.line:
        yield Line(site.line, " ", source.line(site))
    yield Line(0, "+", "shared = oc.share(values)    # before: read in place, no round trip")
    yield Line(0, " ", "# to write: oc.Counter(), oc.append_log(), or return the results")


def _finding(
    case: Case, calls: int, whole: float, lives: float, spent: list[tuple[float, Process, Table]]
) -> Finding:
    names: Counter[str] = Counter()
    for _, process, rows in spent:
        for number in np.unique(rows["b"]):
            names[process.text(number)] += int(rows["d"][rows["b"] == number].sum())
    # What the slowest process has left when its calls cost nothing.
    longest, process, rows = max(
        [each for each in spent if each[1].boot] or spent, key=lambda each: each[0]
    )
    data = [name for name, _ in names.most_common() if name.partition(".")[0] not in _LOCKS]
    shared = (data or list(names))[0].partition(".")[0]
    written = any(names[f"{shared}.{each}"] > _WRITTEN * calls for each in _WRITES)
    mine = [process.text(each).startswith(f"{shared}.") for each in rows["b"]]
    sites = Counter(rows["c"][mine].tolist() or rows["c"].tolist())
    site = process.site(sites.most_common(1)[0][0]) if sites else NOWHERE
    lines = list(_lines(site, shared, written))
    return Finding(
        id="manager-chatter",
        level="time",
        title=f"{_about(calls)} round trips to a Manager took {percent(whole, lives)} of the time of "
        "those who made them",
        evidence=f"{seconds(whole / calls)} each: "
        + ", ".join(f"{name} {_about(times)} times" for name, times in names.most_common(3))
        + ".",
        where=site,
        change=tuple(lines),
        advice=f"With a Manager: whole slices of the {shared}, not elements."
        if not written
        else "With a Manager: one update of many values, not one each.",
        saving=longest,
        of=case.wall,
        gain=arrow(case.wall, case.wall - longest),
        figures={"calls": calls, "spent": whole, "each": whole / calls},
    )
