"""A pool that is not ours as the ``Run`` that the report shows: its page, its traces.

What only onecopy's own workers can tell (page faults of a task, shared bytes) is 0.
"""

from __future__ import annotations

import numpy as np

from .._report.model import Run, Table, empty_tables
from .history import History
from .pools import Pool

_DONE, _FAILED, _LOST = range(3)
_OWNER = -1


def of(history: History, pool: Pool) -> Run:
    """The run of one pool."""
    tables = empty_tables()
    known = pool.tasks[(pool.tasks["worker"] > 0) & (pool.tasks["begin"] > 0)]
    number = {each.pid: at for at, each in enumerate(pool.workers)}
    functions = pool.functions(known)
    names = sorted(set(functions))
    index = {name: at for at, name in enumerate(names)}
    spans = np.zeros(len(known), tables["spans"].dtype)
    spans["task"] = known["one"]
    spans["function"] = [index[each] for each in functions]
    spans["site"] = spans["function"]  # one call for each
    spans["worker"] = [number[each] for each in known["worker"].tolist()]
    spans["pid"] = known["worker"]
    spans["state"] = np.where(known["done"] == 0, _LOST, known["failed"] * _FAILED)
    spans["submitted"] = spans["sent"] = known["sent"]
    spans["received"] = known["head"]
    spans["decoded"] = spans["started"] = known["begin"]
    spans["finished"] = known["done"]
    spans["encoded"] = np.where(known["done"] > 0, known["done"] + known["result_pickle"], 0)
    spans["returned"] = np.where(known["back"] > 0, known["back"], spans["encoded"])
    spans["blocked"], spans["cpu"] = known["result_write"], known["cpu"]
    spans["waited"] = np.where(known["waited"] > 0, known["head"] - known["waited"], 0).clip(0)
    spans["args_moved"], spans["result_moved"] = known["bytes"], known["result_bytes"]
    return Run(
        spans=spans,
        totals=_totals(spans, _weights(pool, known), tables["totals"], pool, len(names)),
        functions=tuple(names),
        sites=tuple(("", name, "", 0, 0) for name in names),
        workers=_workers(pool, tables["workers"], number),
        memory=_memory(history, tables["memory"], pool, number),
        began=pool.begin,
        ended=max(pool.finish, pool.begin + 1),
        clock=history.facts.clock + (pool.begin - history.facts.began) / 1e9,
        method=pool.method,
        wanted=pool.lanes,
        cpus=history.facts.cpus,
        owner_cpu=min(pool.wall, pool.sender + pool.receiving),
        owner_pid=pool.parent.pid,
        machine={"pool": pool.describe() + _drawn(pool, len(known))},
        facts={"bytes_through_pipes": pool.bytes + pool.result_bytes},
    )


def _drawn(pool: Pool, spans: int) -> str:
    return f"; {spans:,} of {pool.count:,} tasks are drawn" if pool.sampled else ""


def _weights(pool: Pool, known: Table) -> Table:
    """The number of tasks that each stands for."""
    found = np.ones(len(known))
    found[known["done"] > 0] = pool.weights
    return found


def without_pool(history: History) -> Run:
    """A program that used none: its memory alone."""
    tables = empty_tables()
    facts = history.facts
    memory = _memory(history, tables["memory"], None, {})
    return Run(
        spans=tables["spans"],
        totals=tables["totals"],
        workers=tables["workers"],
        memory=memory,
        functions=(),
        began=facts.began,
        ended=facts.ended,
        clock=facts.clock,
        method="",
        wanted=0,
        cpus=facts.cpus,
        owner_cpu=0.0,
        owner_pid=facts.pid,
    )


def _totals(spans: Table, weights: Table, empty: Table, pool: Pool, functions: int) -> Table:
    rows = []
    for worker in range(len(pool.workers)):
        for function in range(functions):
            keep = (spans["worker"] == worker) & (spans["function"] == function)
            if keep.any():
                rows.append(_total(spans[keep], weights[keep], empty, worker, pool))
    return np.concatenate(rows) if rows else empty


def _total(some: Table, weights: Table, empty: Table, worker: int, pool: Pool) -> Table:
    row = np.zeros(1, empty.dtype)
    over = some["finished"] > 0
    done, stands = some[over], weights[over]
    row["function"] = row["site"] = some["function"][0]
    row["worker"] = worker
    row["tasks"] = row["items"] = round(weights.sum())
    row["failed"] = round(weights[some["state"] == _FAILED].sum())
    row["lost"] = (some["state"] == _LOST).sum()
    row["compute"] = (stands * (done["finished"] - done["started"])).sum()
    row["decode"] = (stands * (done["started"] - done["received"])).sum()
    row["encode"] = (stands * (done["encoded"] - done["finished"])).sum()
    row["blocked"], row["cpu"] = (stands * done["blocked"]).sum(), (stands * done["cpu"]).sum()
    row["running"] = (stands * np.minimum(done["cpu"], done["finished"] - done["started"])).sum()
    row["args_moved"] = (weights * some["args_moved"]).sum()
    row["result_moved"] = (weights * some["result_moved"]).sum()
    order = np.argsort(done["received"])
    ends = (done["encoded"] + done["blocked"])[order]
    ready = pool.starts[pool.workers[worker].pid].ready
    before = np.concatenate([[ready], ends[:-1]]) if len(ends) else ends
    row["waited"] = np.maximum(0, done["received"][order] - before).sum()
    if pool.workers[worker].sampled:  # between two that were noted are others
        row["waited"] = (stands * done["waited"]).sum()
    return row


def _workers(pool: Pool, empty: Table, number: dict[int, int]) -> Table:
    rows = np.zeros(len(pool.workers), empty.dtype)
    for worker, row in zip(pool.workers, rows, strict=True):
        mine = pool.tasks[(pool.tasks["worker"] == worker.pid) & (pool.tasks["done"] > 0)]
        born, initializing, ready = pool.starts[worker.pid]
        ends = mine["done"] + mine["result_pickle"] + mine["result_write"]
        row["worker"], row["pid"] = number[worker.pid], worker.pid
        row["born"], row["ready"] = born, ready
        row["initializing"] = initializing if initializing < ready else 0
        last = worker.current.ended if worker.current is not None else 0
        row["last"] = max(int(ends.max(initial=0)), last) or ready
        row["gone"] = worker.exit_time if worker.exit not in (None, 0, -15) else 0
    return rows


def _memory(history: History, empty: Table, pool: Pool | None, number: dict[int, int]) -> Table:
    """Readings at common times: between two of its own a process has what it had."""
    main = pool.parent.pid if pool is not None else history.facts.pid
    others = {pid: at + len(number) for at, pid in enumerate(sorted(set(history.rolls) - {main}))}
    times = sorted({roll.time for roll in history.readings.rolls})
    if len(times) > 400:
        times = times[:: -(-len(times) // 400)]
    rows = []
    for pid, rolls in history.rolls.items():
        last = history.looks[pid]["time"].max() if pid in history.looks else rolls["time"][-1]
        for time in times:
            at = int(np.searchsorted(rolls["time"], time, side="right")) - 1
            if at >= 0 and time <= last:
                worker = _OWNER if pid == main else number.get(pid, others.get(pid, 0))
                rows.append(
                    (time, pid, worker, *(int(rolls[at][k]) for k in ("rss", "pss", "dirty")))
                )
    table = np.zeros(len(rows), empty.dtype)
    for at, name in enumerate(("time", "pid", "worker", "rss", "pss", "private_dirty")):
        table[name] = [row[at] for row in rows]
    return table[np.argsort(table["time"], kind="stable")]
