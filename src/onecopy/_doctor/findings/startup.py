"""Workers that take long to be ready: fresh interpreters, and a main module that is run again."""

from __future__ import annotations

from collections.abc import Iterator

from ..cures import imports
from ..finding import Case, Finding, Line, arrow, count, percent, seconds
from ..history import Process
from ..inside import kinds
from ..pools import Pool

_LONG, _PART = 0.5, 0.3
# What starting a worker costs where nothing is imported.
_LEAST = 0.06
# A main module that takes less is not heavy.
_HEAVY = 0.1
_BUSY = 0.25


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        lead = pool.lead
        if min(lead, _on_free_cpus(pool)) < _LONG or lead < _PART * pool.wall:
            continue
        if case.facts.foreign > _BUSY and any(each.forked for each in pool.workers):
            continue  # a fork is hardly work: it waited for a CPU
        ready = [each for each in pool.workers if len(each.of(kinds.PREPARE))]
        if ready:
            first = min(ready, key=lambda each: pool.ready[each.pid][1])
            prepared = first.of(kinds.PREPARE)[0]
            main = min(int(prepared["a"]), 1.3 * int(prepared["b"]) + 2e7) / 1e9
            if main >= _HEAVY:
                yield _heavy_main(pool, first, ready, main)
                continue
        yield _slow(pool, lead)


def _on_free_cpus(pool: Pool) -> float:
    """About how long the first worker's start would have taken if no other program had run: what
    it used of a CPU, and what its fellows used meanwhile."""
    first = min(pool.workers, key=lambda each: pool.ready[each.pid][1])
    boot = first.of(kinds.BOOT)
    if not len(boot) or first.forked:
        return pool.lead
    return 1.3 * int(boot[0]["a"]) / 1e9 * max(1.0, pool.lanes / pool.cpus) + _LEAST


def _heavy_main(pool: Pool, first: Process, ready: list[Process], main: float) -> Finding:
    cpu = sum(int(each.of(kinds.PREPARE)[0]["b"]) for each in ready) / 1e9
    packages = first.text(first.of(kinds.PREPARE)[0]["d"])
    return Finding(
        id="start-up",
        level="time",
        title=f"Each of {len(ready)} workers ran the main module again: "
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
