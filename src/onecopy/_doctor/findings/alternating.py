"""Two processes that both compute, and never at the same time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, seconds

_STEP = 100_000_000  # nanoseconds
_PART, _LEAST, _AT_ONCE = 0.2, 0.4, 1.12


def look(case: Case) -> Iterator[Finding]:
    """By what the sampler saw: in each interval, which processes got CPU time."""
    if case.pools or case.history.main is None:
        return
    if any(each.title for each in case.history.processes):
        return  # a pool of onecopy's own: while its workers start the program waits
    spent: dict[int, dict[int, float]] = defaultdict(dict)
    for process in case.history.processes:
        rows = case.history.looks.get(process.pid)
        if rows is None or process.manager:
            continue
        before = 0.0
        for row in rows:
            cell = int(row["time"] - case.facts.began) // _STEP
            used = float(row["cpu"]) - before
            spent[cell][process.pid] = spent[cell].get(process.pid, 0.0) + max(0.0, used)
            before = float(row["cpu"])
    total: Counter[int] = Counter()
    most = whole = 0.0
    for each in spent.values():
        for pid, value in each.items():
            total[pid] += value  # type: ignore[assignment]
        most, whole = most + max(each.values()), whole + sum(each.values())
    heavy = {pid: value for pid, value in total.items() if value > _PART * whole}
    if len(heavy) != 2 or case.facts.pid not in heavy or whole < _LEAST:
        return
    if most and whole / most < _AT_ONCE:
        child = next(pid for pid in heavy if pid != case.facts.pid)
        process = case.history.by_pid[child]
        if not (process.worker or process.forked):
            return  # a fork server, which imports while main waits for it
        site = process.started_at
        yield Finding(
            id="alternating",
            level="note",
            title=f"The main process and {process.name or child} never computed at the same time",
            evidence=f"{seconds(heavy[case.facts.pid])} and {seconds(heavy[child])} of CPU, "
            f"{whole / most:.2f} processes at a time.",
            where=site,
            change=(
                Line(site.line, " ", source.line(site) or "process.start()"),
                Line(0, " ", "# do the other work here, and join after it"),
            ),
            advice="If the one does not need what the other makes.",
            gain=f"up to {seconds(min(heavy.values()))}",
            figures={"at_once": whole / most},
        )
