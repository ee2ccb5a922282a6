"""A task that does not end, while all others of its pool have long come back.

It is told at Ctrl-C, at ``--stop-after``, or when the program gave up waiting and ended its workers. A
task that ends late is a straggler, and a worker that died in its task is told by ``deaths``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

import numpy as np

from .. import source
from ..cures import SUBMITS, imports, with_keyword
from ..finding import Case, Finding, Line, count, seconds
from ..history import Process, Site, Table
from ..pools import Pool

# Others that have to be known; then seconds, and times their median.
_OTHERS = 3
_AGE, _ALONE = (2.0, 20.0), (1.0, 10.0)
_SEEN = 1_000_000_000
_CALLS = {
    "futex": "it waits for a lock, or another thread",
    "read": "it waits to read from a pipe, a socket or a file",
    "write": "it waits for room in a pipe or a socket",
    "poll": "it waits for a connection",
    "wait": "it waits for a child",
}


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        if pool.knows_long_tasks:
            yield from _look(case, pool)


def _look(case: Case, pool: Pool) -> Iterator[Finding]:
    end = case.facts.interrupted or case.facts.ended
    begun = pool.tasks[(pool.tasks["worker"] > 0) & (pool.tasks["begin"] > 0)]
    ended = (begun["done"] > 0) & (begun["done"] < end)
    others = begun[ended]
    if len(others) < _OTHERS:
        return
    median = float(np.median(others["done"] - others["begin"])) / 1e9
    last = max(int(others["done"].max()), *_ends(pool, end))
    for row in begun[~ended]:
        worker = next(each for each in pool.workers if each.pid == int(row["worker"]))
        until = _until(case, worker, end)
        age, alone = (until - int(row["begin"])) / 1e9, (until - last) / 1e9
        if age >= _least(_AGE, median) and alone >= _least(_ALONE, median):
            yield _finding(case, pool, worker, row, (age, alone, median), len(others))


def _ends(pool: Pool, before: int) -> list[int]:
    """The ends of the workers' last tasks, recorded or not, as far as they were before a time."""
    ends = [each.current.ended for each in pool.workers if each.current is not None]
    return [0, *(each for each in ends if each < before)]


def _least(bound: tuple[float, float], median: float) -> float:
    return max(bound[0], bound[1] * median)


def _until(case: Case, worker: Process, end: int) -> int:
    """The time up to which the worker was at it; 0: it died of something else."""
    looks = case.history.looks.get(worker.pid)
    seen = int(looks["time"].max()) if looks is not None else worker.last
    by_itself = worker.exit is not None and worker.exit < 0 and worker.exit != -worker.ended_by
    if by_itself and not case.facts.interrupted:
        return 0
    if worker.exit_time:
        return min(end, worker.exit_time)
    return end if end - seen < _SEEN or worker.pid in case.facts.alive else seen


def _finding(
    case: Case,
    pool: Pool,
    worker: Process,
    row: Table,
    times: tuple[float, float, float],
    others: int,
) -> Finding:
    age, alone, median = times
    site, _ = pool.submit
    busy = _busy(case, worker, int(row["begin"]), age)
    limit = math.ceil(max(1.0, 20 * median))
    if pool.kind == "Pool":
        lines = [*imports(pool), *_with_limit(site, limit)]
        advice = "Then its worker is replaced, and the call fails with TaskTimeout. "
    else:
        lines = list(_result_in(site, limit))
        advice = "onecopy.Pool has options(timeout=), which ends the worker too. "
    return Finding(
        id="stuck-task",
        level="crash",
        title=f"A task does not end: {pool.function(row)} ran for {seconds(age)} in "
        f"{worker.describe()}",
        evidence=f"{count(others, 'other task')} took {seconds(median)} each (median), and the last "
        f"of them ended {seconds(alone)} before. Meanwhile {_doing(case, worker, busy)}.",
        where=site,
        change=tuple(lines),
        advice=f"{advice}While it hangs, py-spy dump --pid PID shows the line.",
        figures={
            "age": age,
            "alone": alone,
            "median": median,
            "others": float(others),
            "busy": busy,
            "task": float(row["one"]),
        },
        pool=pool,
    )


def _result_in(site: Site, limit: int) -> Iterator[Line]:
    """The call that waits for a result, with a limit."""
    for call in source.calls(site.file, "result"):
        if not call.args and not call.keywords:
            before, after = source.with_keyword(site, call, "timeout", str(limit))
            yield Line(call.lineno, "-", before)
            yield Line(call.lineno, "+", after)
            return
    yield from with_keyword(site, "timeout", str(limit)) or [
        Line(0, "+", f"job.result(timeout={limit})")
    ]


def _with_limit(site: Site, limit: int) -> Iterator[Line]:
    """The call that gives the work, by a pool with a time limit."""
    call = source.call_at(site, SUBMITS)
    if call is None or not isinstance(call.func, ast.Attribute):
        yield Line(0, "+", f"pool.options(timeout={limit}).map(...)")
        return
    owner = call.func.value
    text = f"{source.text_of(site, owner)}.options(timeout={limit})"
    before, after = source.replaced(site, owner, text)
    yield Line(owner.lineno, "-", before)
    yield Line(owner.lineno, "+", after)


def _busy(case: Case, worker: Process, begin: int, age: float) -> float:
    """CPUs that the worker used while it was at the task."""
    looks = case.history.looks.get(worker.pid)
    if looks is None:
        return 0.0
    during = looks[looks["time"] >= begin]
    if len(during) < 2:
        return 0.0
    return float(during["cpu"][-1] - during["cpu"][0]) / age


def _doing(case: Case, worker: Process, busy: float) -> str:
    if busy > 0.5:
        return "it computed: a loop without an end, or far more work than the others had"
    calls = {each.call for each in case.history.readings.stuck if each.pid == worker.pid}
    told = [text for call, text in _CALLS.items() if call in calls]
    used = f"it used {busy:.1f} of a CPU" if busy >= 0.05 else "it used no CPU"
    return used + (f": {told[0]}" if told else "")
