"""Workers that take long to be ready: fresh interpreters, and a main module that is run again."""

from __future__ import annotations

from collections.abc import Iterator

from .. import source
from ..cures import imports
from ..finding import Case, Finding, Line, arrow, count, percent, seconds
from ..history import Process
from ..inside import kinds
from ..pools import Pool

_LONG, _PART = 0.5, 0.3
# Where a main module is known to be the cause, and no other program's work may be.
_SHORT, _OF_MAIN = 0.25, 0.2
# What starting a worker costs where nothing is imported.
_LEAST = 0.06
# A main module that takes less is not heavy.
_HEAVY = 0.1
_BUSY = 0.25


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        lead = pool.starting
        replaced = _replaced(case, pool)
        if replaced is not None:
            yield replaced
            continue
        took = min(lead, _on_free_cpus(pool, case.facts.foreign))
        least = _SHORT if case.facts.foreign <= _BUSY else _LONG
        if took < least or lead < _PART * pool.wall:
            continue
        if case.facts.foreign > _BUSY and any(each.forked for each in pool.workers):
            continue  # a fork is hardly work: it waited for a CPU
        ready = [each for each in pool.workers if len(each.of(kinds.PREPARE))]
        if ready:
            first = min(ready, key=lambda each: pool.starts[each.pid].ready)
            prepared = first.of(kinds.PREPARE)[0]
            main = min(int(prepared["a"]), 1.3 * int(prepared["b"]) + 2e7) / 1e9
            if main >= (_HEAVY if took >= _LONG else _OF_MAIN):
                yield _heavy_main(pool, first, ready, main)
                continue
        if took >= _LONG:
            yield _slow(pool, lead)


def _replaced(case: Case, pool: Pool) -> Finding | None:
    """Workers that do few tasks each, and are replaced."""
    limit = int(pool.record["i"]) if pool.record is not None else 0
    started = len(pool.workers)
    if not limit or started < 2 * pool.lanes:
        return None
    each = (pool.parts.startup + pool.parts.initializing) / started
    spent = each * (started - pool.lanes)
    if spent < _PART * pool.total or (case.facts.foreign > _BUSY and pool.workers[0].forked):
        return None
    saving = spent / pool.lanes
    keyword = "maxtasksperchild" if pool.kind == "Pool" else "max_tasks_per_child"
    return Finding(
        id="start-up",
        level="time",
        title=f"Workers were replaced after {count(limit, 'task')} each: {percent(spent, pool.total)} "
        "of their time went into starting others",
        evidence=f"{started} workers by {pool.method or 'fork'}, {seconds(each)} each until it was "
        f"ready, for {seconds(pool.parts.compute)} of computing.",
        where=pool.site,
        change=tuple(_without(pool, keyword)),
        advice=f"If tasks leave memory behind, a {keyword} of some hundred holds that too.",
        saving=saving,
        of=pool.wall,
        gain=arrow(pool.wall, pool.wall - saving),
        figures={"limit": limit, "workers": started, "each": each, "wall": pool.wall},
        pool=pool,
    )


def _without(pool: Pool, keyword: str) -> Iterator[Line]:
    """The call that makes the pool, without its limit of tasks."""
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    if call is not None and any(each.arg == keyword for each in call.keywords):
        before, after = source.with_keyword(pool.site, call, keyword, "None")
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", after)
    else:
        yield Line(pool.site.line, " ", source.line(pool.site))
        yield Line(0, " ", f"# without a {keyword}")


def _on_free_cpus(pool: Pool, foreign: float) -> float:
    """About how long the first worker's start would have taken if no other program had run: what
    it used of a CPU, and what its fellows used meanwhile."""
    first = min(pool.workers, key=lambda each: pool.starts[each.pid].ready)
    boot = first.of(kinds.BOOT)
    if not len(boot) or first.forked:
        return pool.starting
    # Where others run beside it, on the same cores, the same work takes up to twice the CPU time.
    rate = 1.3 if foreign <= _BUSY else 0.65
    return rate * int(boot[0]["a"]) / 1e9 * max(1.0, pool.lanes / pool.cpus) + _LEAST


def _heavy_main(pool: Pool, first: Process, ready: list[Process], main: float) -> Finding:
    cpu = sum(int(each.of(kinds.PREPARE)[0]["b"]) for each in ready) / 1e9
    packages = first.text(first.of(kinds.PREPARE)[0]["d"])
    return Finding(
        id="start-up",
        level="time",
        title=f"Each of {max(len(ready), pool.lanes)} workers ran the main module again: "
        f"{percent(pool.lead, pool.wall)} of the pool's time went before the first task",
        evidence=f"{seconds(main)} in the first worker, {seconds(cpu)} of CPU in all, by "
        f"{pool.method}" + (f"; it imported {packages}" if packages else "") + ".",
        where=pool.site,
        change=(
            Line(0, " ", "# what only the parent needs, imports too, goes under the guard:"),
            Line(0, "+", 'if __name__ == "__main__":'),
            Line(0, "+", "    ...  # its imports, its tables"),
            *imports(pool),
        ),
        advice="onecopy's forkserver imports the main module once, for all workers."
        + (by_default(pool.parent) if pool.method == "forkserver" else ""),
        saving=main,
        of=pool.wall,
        gain=arrow(pool.wall, pool.wall - main),
        figures={"lead": pool.lead, "main": main, "cpu": cpu, "wall": pool.wall},
        pool=pool,
    )


def _slow(pool: Pool, lead: float) -> Finding:
    saving = max(0.0, lead - _LEAST)
    return Finding(
        id="start-up",
        level="time",
        title=f"Starting workers took {percent(lead, pool.wall)} of the pool's time",
        evidence=f"{count(len(pool.workers), 'worker')} by {pool.method or 'fork'}: {seconds(lead)} "
        f"until the first was ready, for {seconds(pool.parts.compute)} of computing.",
        where=pool.site,
        change=tuple(imports(pool)),
        advice="One pool for the whole program, made early; fewer workers; forkserver."
        if pool.method != "forkserver"
        else "One pool for the whole program, made early; fewer workers." + by_default(pool.parent),
        saving=saving,
        of=pool.wall,
        gain=arrow(pool.wall, pool.wall - saving),
        figures={"lead": lead, "wall": pool.wall},
        pool=pool,
    )


def by_default(parent: Process) -> str:
    """The advice for a program whose Python takes forkserver by itself; '' for others."""
    if not parent.forkserver_by_default:
        return ""
    return (
        " This Python took forkserver by itself, where versions before 3.14 forked: "
        'multiprocessing.set_start_method("fork") starts workers as before.'
    )
