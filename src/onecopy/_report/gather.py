"""From a pool's engine to the tables that reports are made of."""

from __future__ import annotations

import os
import platform
from time import monotonic_ns

import numpy as np

from .._engine.engine import Engine
from .._memory.segment import Kind, registry
from .._observe.columns import DIARY, SPAN, STATES, WORKER, dtype_of
from .._observe.spans import Site
from .._system.cpus import cpu_count
from ..errors import human_bytes
from .model import Run, Table, empty_tables

# Names are cut to this in ``Pool.spans``: a column of text is as wide as its widest.
_NAME = 80


def run(engine: Engine, *, look: bool = True) -> Run:
    """Return all that is known of a pool; ``look``: read its memory once more."""
    recorder, watch = engine.history.recorder, engine.history.watch
    if watch is not None and look and not engine.core.closed:
        watch.sample()
    totals = recorder.totals()
    lives = np.array(engine.worker_history(), dtype_of(WORKER))
    spans = _with_pids(recorder.spans(), lives)
    ended = (
        monotonic_ns()
        if engine.core.busy
        else max(engine.history.last_end, engine.history.diary.last)
    )
    if len(lives):
        # A pool that has done nothing yet: until its workers were ready.
        ended = max(ended, int(lives["ready"].max()))
    return Run(
        spans=spans,
        slowest=_with_pids(recorder.longest(), lives),
        totals=totals,
        functions=tuple(map(_known_as, recorder.functions)),
        sites=tuple(
            (by, _known_as(name), file, line, chunk)
            for by, name, file, line, chunk in recorder.sites
        ),
        diary=np.array(engine.history.diary.rows(), dtype_of(DIARY)),
        failures=tuple(recorder.failures.all()),
        large=tuple(engine.history.large.all()),
        profile=tuple(
            (_known_as(name), stack, spent) for name, stack, spent in engine.history.profile.all()
        ),
        imports=tuple((name, *took) for name, took in list(recorder.imports.items())),
        workers=lives,
        memory=_memory(engine, spans),
        began=engine.history.began,
        ended=ended,
        clock=engine.history.clock,
        method=engine.options.method,
        wanted=engine.options.workers,
        cpus=cpu_count(),
        owner_cpu=engine.owner_cpu(),
        owner_pid=engine.history.pid,
        machine=_machine(),
        facts=_facts(engine),
    )


def _known_as(name: str) -> str:
    """Return a function's name as people know it: that it is in the main module says nothing."""
    return name.removeprefix("__main__.")


def spans(engine: Engine) -> Table:
    """Return the array of ``Pool.spans``."""
    found = _with_pids(
        engine.history.recorder.spans(), np.array(engine.worker_history(), dtype_of(WORKER))
    )
    recorder = engine.history.recorder
    names = np.array([name[-_NAME:] for name in recorder.functions] or [""])
    lines = np.array([_line(site)[-_NAME:] for site in recorder.sites] or [""])
    columns = {name: found[name] for name, _ in SPAN}
    columns["name"] = names[found["function"]]
    columns["line"] = lines[found["site"]]
    columns["state"] = np.array(STATES)[found["state"]]
    rest = (name for name, _ in SPAN if name not in (*_FIRST, "function", "site"))
    order = [*_FIRST, *rest, "line"]
    made = np.empty(len(found), [(name, columns[name].dtype) for name in order])
    for name in order:
        made[name] = columns[name]
    return made


_FIRST = (
    *("task", "start", "stop", "name", "worker", "pid", "state"),
    *("submitted", "sent", "received", "decoded", "started", "finished", "encoded", "returned"),
)


def _line(site: Site) -> str:
    """Return ``file:line``, or an empty string if unknown."""
    return f"{site[2]}:{site[3]}" if site[2] else ""


def _with_pids(spans: Table, lives: Table) -> Table:
    """Add the pids of lost tasks, for which the owner knows only the worker."""
    unknown = spans["pid"] == 0
    if unknown.any():
        pids = dict(zip(lives["worker"].tolist(), lives["pid"].tolist(), strict=True))
        spans["pid"][unknown] = [pids.get(worker, 0) for worker in spans["worker"][unknown]]
    return spans


def _memory(engine: Engine, spans: Table) -> Table:
    """Return the readings; for a worker's Python objects, the value that it sent with its last task
    before."""
    if engine.history.watch is None:
        return empty_tables()["memory"]
    table = engine.history.watch.series.table()
    said = spans[spans["heap"] > 0]
    for worker in np.unique(said["worker"]):
        mine, rows = said[said["worker"] == worker], table["worker"] == worker
        at = np.searchsorted(mine["encoded"], table["time"][rows], side="right") - 1
        table["heap"][rows] = np.where(at >= 0, mine["heap"][np.maximum(at, 0)], 0)
    return table


def _machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "memory": human_bytes(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
    }


def _facts(engine: Engine) -> dict[str, float]:
    found = [segment for segment in list(registry.by_id.values()) if segment.has_views()]
    segments = [segment for segment in found if segment.kind != Kind.MESSAGE]
    arenas = [segment for segment in found if segment.kind == Kind.MESSAGE]
    sent, received, copied, shared = engine.traffic()
    facts: dict[str, float] = {
        "segments": len(segments),
        "segment_bytes": sum(segment.size for segment in segments),
        "arenas": len(arenas),
        "arena_bytes": sum(segment.size for segment in arenas),
        "bytes_through_pipes": sent + received,
        "argument_bytes_copied": copied,
        "argument_bytes_shared": shared,
        "workers_started": len(engine.worker_history()),
        "pools_before": engine.history.before,
    }
    if engine.history.watch is not None:
        facts["saved_bytes"] = engine.history.watch.saved
        copies = engine.history.watch.copied
        if engine.options.inherits and copies:
            facts["inherited_bytes_copied"] = sum(copies.values())
    return facts
