"""From a pool's engine to the tables that reports are made of."""

from __future__ import annotations

import os
import platform
import sys
from socket import gethostname
from time import monotonic_ns

import numpy as np

from .._cluster.engine import ClusterEngine
from .._cluster.host import Host
from .._engine.engine import Engine
from .._memory.segment import Kind, registry
from .._observe.columns import DIARY, SPAN, STATES, WORKER, dtype_of
from .._observe.spans import Site
from .._system.cpus import cpu_count
from ..errors import human_bytes
from .model import HostRow, Run, Table, empty_tables
from .program import words_of

# Names are cut to this in ``Pool.spans``: a column of text is as wide as its widest.
_NAME = 80
# The source is read for this many calls: a program with more makes its code as it runs.
_WORDED = 200


def run(engine: Engine, *, look: bool = True) -> Run:
    """Return all that is known of a pool; ``look``: read its memory once more."""
    recorder, watch = engine.history.recorder, engine.history.watch
    if watch is not None and look and not engine.core.closed:
        watch.sample()
        if isinstance(engine, ClusterEngine):
            engine.look()
    totals = recorder.totals()
    lives = _lives(engine)
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
            (by, _known_as(name), _place(file), line, chunk)
            for by, name, file, line, chunk in recorder.sites
        ),
        words=tuple(map(words_of, recorder.sites[:_WORDED])),
        diary=np.array(engine.history.diary.rows(), dtype_of(DIARY)),
        failures=tuple(recorder.failures.all()),
        large=tuple(engine.history.large.all()),
        profile=tuple(
            (
                _known_as(name),
                tuple((inner, _place(file), line) for inner, file, line in stack),
                spent,
            )
            for name, stack, spent in engine.history.profile.all()
        ),
        imports=tuple((name, *took) for name, took in list(recorder.imports.items())),
        workers=lives,
        memory=_memory(engine, spans),
        began=engine.history.began,
        ended=ended,
        clock=engine.history.clock,
        method=engine.options.method,
        wanted=engine.options.workers,
        cpus=engine.options.workers if _seen(engine) else cpu_count(),
        owner_cpu=engine.owner_cpu(),
        owner_pid=engine.history.pid,
        machine=_machine(),
        facts=_facts(engine),
        hosts=_hosts(engine),
    )


def _seen(engine: Engine) -> list[Host]:
    """Return the hosts of a pool on several; none for a pool on this machine."""
    return engine.seen() if isinstance(engine, ClusterEngine) else []


def _hosts(engine: Engine) -> tuple[HostRow, ...]:
    """Return the hosts, this machine first; nothing for a pool on this machine alone."""
    rows = [
        HostRow(
            name=each.name,
            workers=each.workers,
            state=each.state,
            shared=each.shared,
            shipped=each.shipped,
            clock_error=each.clock_error,
            why=each.why,
        )
        for each in (host.status() for host in _seen(engine))
    ]
    if isinstance(engine, ClusterEngine):
        rows.insert(0, HostRow(gethostname(), 0, "driver", 0, 0, 0.0, ""))
    return tuple(rows)


def _lives(engine: Engine) -> Table:
    """Return every worker's life, host by host."""
    rows: list[tuple[int, ...]]
    if isinstance(engine, ClusterEngine):
        rows = [(*row, at) for at, host in enumerate(_seen(engine), 1) for row in host.rows()]
    else:
        rows = [(*row, 0) for row in engine.worker_history()]
    return np.array(rows, dtype_of(WORKER))


def _known_as(name: str) -> str:
    """Return a function's name as people know it: that it is in the main module says nothing."""
    return name.removeprefix("__main__.")


def _place(file: str) -> str:
    """Return a file's name as people know it: the code of a notebook's cell is in ``In[4]``."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    known = getattr(getattr(shell, "compile", None), "format_code_name", None)
    cell = known(file) if known is not None else None
    return str(cell[1]) if cell else file


def spans(engine: Engine) -> Table:
    """Return the array of ``Pool.spans``."""
    lives = _lives(engine)
    found = _with_pids(engine.history.recorder.spans(), lives)
    recorder = engine.history.recorder
    names = np.array([name[-_NAME:] for name in recorder.functions] or [""])
    lines = np.array([_line(site)[-_NAME:] for site in recorder.sites] or [""])
    columns = {name: found[name] for name, _ in SPAN}
    columns["name"] = names[found["function"]]
    columns["line"] = lines[found["site"]]
    columns["state"] = np.array(STATES)[found["state"]]
    columns["host"] = _hosts_of(found, lives, _hosts(engine))
    rest = (name for name, _ in SPAN if name not in (*_FIRST, "function", "site"))
    order = [*_FIRST, *rest, "line"]
    made = np.empty(len(found), [(name, columns[name].dtype) for name in order])
    for name in order:
        made[name] = columns[name]
    return made


def _hosts_of(spans: Table, lives: Table, hosts: tuple[HostRow, ...]) -> Table:
    """Return the name of each task's host; empty if it was lost with it."""
    names = [host.name for host in hosts] or [gethostname()]
    if not hosts:
        return np.full(len(spans), names[0])
    by_worker = np.full(1 + max(int(lives["worker"].max(initial=0)), 0), len(names))
    by_worker[lives["worker"]] = lives["host"]
    known = np.where(spans["worker"] < len(by_worker), spans["worker"], 0)
    found: Table = np.array([*names, ""])[by_worker[known]]
    return found


_FIRST = (
    *("task", "start", "stop", "name", "host", "worker", "pid", "state"),
    *("submitted", "sent", "received", "decoded", "started", "finished", "encoded", "returned"),
)


def _line(site: Site) -> str:
    """Return ``file:line``, or an empty string if unknown."""
    return f"{_place(site[2])}:{site[3]}" if site[2] else ""


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
    tables = [engine.history.watch.series.table()]
    for at, host in enumerate(_seen(engine), 1):
        tables.append(host.memory.table())
        tables[-1]["host"] = at
    table = np.concatenate(tables)
    table = table[np.argsort(table["time"], kind="stable")]
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
