"""More threads or workers that want to compute than there are CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from .. import source
from ..finding import Case, Finding, Line, human_bytes, percent, seconds
from ..pools import Pool

# A thread counts as busy above this share of its process's CPU seconds, and these seconds.
_SHARE, _SECONDS = 0.05, 0.1
_FOREIGN = 0.3
_WAITED = 0.2


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        cpus = case.facts.cpus
        pids = [each.pid for each in pool.workers]
        cpu, delay = case.history.cpu_and_delay(pids)
        if cpu < 0.5 or pool.wall < 0.5 or cpu < 0.5 * cpus * pool.wall:
            continue
        if case.facts.foreign > _FOREIGN:
            continue  # other programs may have taken the CPUs
        threads = float(np.median([_busy(case, pid) for pid in pids]))
        waited = delay / (cpu + delay)
        if waited < _WAITED or len(pids) * threads <= cpus:
            continue
        if threads >= 1.5:
            yield _threads(case, pool, threads, delay, waited)
        else:
            yield _workers(case, pool, delay, waited)


def _busy(case: Case, pid: int) -> int:
    each = case.history.readings.threads.get(pid, {})
    whole = sum(each.values())
    return sum(value > max(_SHARE * whole, _SECONDS) for value in each.values())


def _threads(case: Case, pool: Pool, threads: float, delay: float, waited: float) -> Finding:
    libraries = case.history.readings.libraries
    found = [name for each in pool.workers for name in libraries.get(each.pid, [])]
    whose = f" They are {found[0]}'s." if found else ""
    return Finding(
        id="too-many-threads",
        level="time",
        title=f"{len(pool.workers)} workers with {threads:.0f} busy threads each on "
        f"{case.facts.cpus} CPUs",
        evidence=f"They waited {seconds(delay)} for a CPU, {percent(waited, 1)} of the time in "
        f"which they wanted one.{whose}",
        where=pool.site,
        change=(
            Line(1, "+", "import os"),
            Line(1, "+", 'os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")'),
            Line(0, " ", "# before NumPy is imported; onecopy.Pool and joblib do it by themselves"),
        ),
        advice="How much it gains depends on how the library's threads wait.",
        gain="not known beforehand",
        figures={"workers": len(pool.workers), "threads": threads, "delay": delay},
        pool=pool,
    )


def _workers(case: Case, pool: Pool, delay: float, waited: float) -> Finding:
    cpus = case.facts.cpus
    dirty = [
        float(case.history.rolls[each.pid]["dirty"].max())
        for each in pool.workers
        if each.pid in case.history.rolls
    ]
    spare = (len(pool.workers) - cpus) * (sum(dirty) / len(dirty) if dirty else 0.0)
    lines = [Line(pool.site.line, " ", source.line(pool.site))]
    lines.append(Line(0, " ", f"# with {cpus} workers: onecopy.cpu_count(), the CPUs it may use"))
    blind = ""
    if pool.lanes == (os.cpu_count() or 0) == case.facts.machine_cpus and pool.lanes > cpus:
        blind = f" os.cpu_count() says {pool.lanes}, but it may use {cpus} (affinity, quota)."
    return Finding(
        id="more-workers-than-cpus",
        level="note",
        title=f"{len(pool.workers)} workers compute on {cpus} CPUs",
        evidence=f"They waited {seconds(delay)} for a CPU, {percent(waited, 1)} of the time in "
        f"which they wanted one.{blind}",
        where=pool.site,
        change=tuple(lines),
        advice="As fast with fewer, in less memory.",
        memory=spare,
        gain=f"{human_bytes(int(spare))} of memory" if spare > 1e6 else "little",
        figures={"workers": len(pool.workers), "cpus": cpus, "delay": delay, "waited": waited},
        pool=pool,
    )
