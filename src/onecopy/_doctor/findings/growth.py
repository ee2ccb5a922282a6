"""Memory that grows: workers that keep something, results that pile up, files of joblib."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import source
from ..finding import Case, Finding, Line, count, human_bytes, seconds
from ..history import NOWHERE, Process
from ..inside import kinds
from ..pools import Pool

# Bytes and tasks from which on a slope is a slope.
_GROWTH, _READINGS, _TASKS = 50e6, 4, 20
_PILE = 200e6
_MEMMAP = 50e6


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        grown = [(each, _growth(case, each, pool)) for each in pool.workers]
        grown = [(each, by) for each, by in grown if by > 0]
        if grown and len(grown) * 2 > len(pool.workers):
            yield _grows(pool, grown)
        found = _piles_up(case, pool)
        if found is not None:
            yield found
    yield from _memmaps(case)


def _growth(case: Case, worker: Process, pool: Pool) -> float:
    """Bytes by which its own memory has grown while it worked, steadily; 0: it has not.

    Between the end of its first fifth and its end: what is loaded or cached once is no growth.
    """
    looks = case.history.looks.get(worker.pid)
    tasks = pool.tasks[pool.tasks["worker"] == worker.pid]
    if looks is None or _tasks(pool, worker) < _TASKS:
        return 0.0
    begin, end = int(tasks["head"].min()), int(tasks["done"].max())
    during = looks[(looks["time"] > begin + (end - begin) // 5) & (looks["time"] < end)]
    if len(during) < _READINGS:
        return 0.0
    rss = during["rss"].astype("f8")
    by = float(rss[-1] - rss[0])
    # Steadily: each third is higher than the one before, by a fair part of it all.
    thirds = [float(np.median(part)) for part in np.array_split(rss, 3)]
    steps = np.diff(thirds)
    rolls = case.history.rolls.get(worker.pid)
    private = float(rolls["dirty"].max()) if rolls is not None else by
    if by < _GROWTH or (steps < 0.15 * by).any() or private < 0.5 * by:
        return 0.0
    return by


def _tasks(pool: Pool, worker: Process) -> int:
    """The number of tasks that it had."""
    if worker.sampled and worker.current is not None:
        return worker.current.number
    return int((pool.tasks["worker"] == worker.pid).sum())


def _grows(pool: Pool, grown: list[tuple[Process, float]]) -> Finding:
    whole = sum(by for _, by in grown)
    tasks = sum(_tasks(pool, each) for each, _ in grown)
    lines = []
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    if call is not None:
        name = "maxtasksperchild" if pool.kind == "Pool" else "max_tasks_per_child"
        before, after = source.with_keyword(pool.site, call, name, "100")
        lines = [Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
    return Finding(
        id="worker-grows",
        level="memory",
        title=f"Workers keep something: {human_bytes(int(whole))} more in {count(tasks, 'task')}",
        evidence=f"{human_bytes(int(whole / max(1, tasks)))} a task stay in {len(grown)} of "
        f"{len(pool.workers)} workers, from the first fifth of their time to the end.",
        where=pool.site,
        change=tuple(lines),
        advice="Find what the function keeps (a cache, a list of the module, a default argument); "
        "workers that are replaced only hide it.",
        memory=whole,
        gain=f"{human_bytes(int(whole))} of memory",
        figures={"grown": whole, "tasks": tasks},
        pool=pool,
    )


def _piles_up(case: Case, pool: Pool) -> Finding | None:
    """All results are kept, though they are taken one by one."""
    site, method = pool.submit
    if pool.result_bytes < _PILE or method != "ApplyResult":
        return None
    call = source.call_at(site, ("map",))
    looks = case.history.looks.get(pool.parent.pid)
    if call is None or looks is None:
        return None
    during = looks[(looks["time"] >= pool.begin) & (looks["time"] <= pool.finish)]
    grown = float(during["rss"].max() - during["rss"][0]) if len(during) else 0.0
    if grown < 0.5 * pool.result_bytes:
        return None
    one_by_one = source.text_of(site, call.func).replace(".map", ".imap")
    lines = [Line(site.line, "-", source.line(site))]
    if source.is_taken_one_by_one(site.file, call):
        before, after = source.replaced(site, call.func, one_by_one)
        lines = [Line(site.line, "-", before), Line(site.line, "+", after)]
    else:
        arguments = ", ".join(source.text_of(site, each) for each in call.args)
        lines += [
            Line(0, "+", f"for result in {one_by_one}({arguments}):"),
            Line(0, "+", "    ...    # use it, or put it where it belongs, and let it go"),
        ]
    return Finding(
        id="results-pile-up",
        level="memory",
        title=f"All results are kept until the last is there: {human_bytes(int(grown))}",
        evidence=f"map gives a list of {count(pool.count, 'result')}, "
        f"{human_bytes(int(pool.result_bytes / pool.count))} each.",
        where=site,
        change=tuple(lines),
        advice="imap and as_completed give one at a time.",
        memory=grown,
        gain=f"up to {human_bytes(int(grown))} of memory",
        figures={"grown": grown, "results": pool.count},
        pool=pool,
    )


def _memmaps(case: Case) -> Iterator[Finding]:
    for process in case.history.processes:
        rows = process.of(kinds.MEMMAP)
        whole = float(rows["b"].sum())
        spent = float(rows["a"].sum()) / 1e9
        if whole >= _MEMMAP:
            folder = process.text(rows[0]["d"])
            yield Finding(
                id="joblib-memmaps",
                level="note",
                title=f"joblib wrote {human_bytes(int(whole))} of arguments into files, for workers "
                "to map",
                evidence=f"{count(len(rows), 'array')} in {seconds(spent)}, under {folder}.",
                where=NOWHERE,
                change=(
                    Line(0, "+", "import onecopy.joblib"),
                    Line(0, "+", "onecopy.joblib.register()"),
                    Line(0, "+", 'with joblib.parallel_config(backend="onecopy"):'),
                ),
                advice="That is why large arguments are not pickled; with data from oc.share nothing "
                "is written. max_nbytes=None switches it off.",
                gain=seconds(spent),
                figures={"bytes": whole, "spent": spent},
            )
