"""Pools and their tasks, joined from the records of the processes.

A task joins four records: sent (parent), read (worker), result sent (worker), result read (parent).
Where messages came too fast to note each, the two ends noted different ones. Of a task that a worker
was at to the end, its words in the head of the ring take the place of the second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import accounting
from .history import History, Process, Table
from .inside import kinds
from .pools import TASK, Pool
from .rings import LONG

KINDS = {kinds.A_POOL: "Pool", kinds.EXECUTOR: "ProcessPoolExecutor", kinds.LOKY: "joblib (loky)"}


def find(history: History) -> list[Pool]:
    """All pools that had tasks, in the order of their begins."""
    found = []
    for parent in history.processes:
        sent = parent.of(kinds.OUT, kinds.TASK)
        for channel in np.unique(sent["g"]).tolist():
            pool = _pool(history, parent, int(channel), sent[sent["g"] == channel])
            if pool is not None:
                found.append(pool)
    return sorted(found, key=lambda pool: pool.begin)


def _pool(history: History, parent: Process, channel: int, sent: Table) -> Pool | None:
    got = {}
    for process in history.processes:
        rows = process.of(kinds.IN, kinds.TASK)
        rows = rows[rows["g"] == channel]
        if process is not parent and len(rows):
            got[process.pid] = (process, _with_last(process, channel, rows))
    if not got:
        return None
    record = _record(parent, channel)
    results = int(record["h"]) if record is not None else 0
    tasks = _tasks(parent, sent, list(got.values()), results)
    pool = Pool(
        parent, channel, record, [each for each, _ in got.values()], tasks, history.facts.cpus
    )
    _describe(pool)
    _count(pool, sent)
    accounting.take_times(pool, sent)
    accounting.account(history, pool)
    return pool


def _with_last(worker: Process, channel: int, rows: Table) -> Table:
    """Its records of tasks, and one of its last task, if that was not recorded: it was still at it, or
    was killed between the end of a long one and the record of that."""
    last = worker.current
    if last is None or not last.whole or last.channel != channel:
        return rows
    if not last.running and last.ended - last.begin < LONG:
        return rows
    if ((rows["d"] == last.one) & (rows["e"] == last.two)).any():
        return rows
    row = np.zeros(1, rows.dtype)
    row["t0"], row["d"], row["e"] = last.begin, last.one, last.two
    row["g"], row["i"] = last.channel, last.title
    return np.concatenate([rows, row])


def _record(parent: Process, channel: int) -> Any:
    rows = parent.of(kinds.POOL)
    mine = rows[rows["g"] == channel]
    return mine[0] if len(mine) else None


def _describe(pool: Pool) -> None:
    record, parent = pool.record, pool.parent
    pool.lanes = max(1, len(pool.workers))
    pool.method = next((each.method for each in pool.workers if each.method), "")
    if record is None:
        return
    pool.kind = KINDS.get(int(record["c"]), "?")
    pool.lanes, pool.site = max(1, int(record["b"])), parent.site(record["d"])
    pool.method = pool.method or parent.text(record["e"])
    rows = parent.of(kinds.SUBMIT)
    rows = rows[(rows["e"] == record["f"]) & (rows["t0"] >= record["t0"])]
    later = parent.of(kinds.POOL)
    later = later[(later["f"] == record["f"]) & (later["t0"] > record["t0"])]
    if len(later):  # an identity that came again
        rows = rows[rows["t0"] < later[0]["t0"]]
    pool.submits = [(parent.site(row["d"]), parent.text(row["f"])) for row in rows]


def _key(rows: Table, one: str = "d", two: str = "e") -> Table:
    found: Table = (rows[one].astype("i8") << 24) + rows[two].astype("i8")
    return found


def _tasks(parent: Process, sent: Table, got: list[tuple[Process, Table]], results: int) -> Table:
    """One row for each task that anybody noted."""
    came = parent.of(kinds.IN, kinds.RESULT)
    keys = [_key(sent), *(_key(rows) for _, rows in got)]
    if results:
        came = came[came["g"] == results]
        keys.append(_key(came))
    every = np.unique(np.concatenate(keys))
    tasks = np.zeros(len(every), TASK)
    tasks["one"], tasks["two"] = every >> 24, every & 0xFFFFFF

    def place(rows: Table) -> tuple[Table, Table]:
        at = np.searchsorted(every, _key(rows))
        good = (at < len(every)) & (every[np.minimum(at, len(every) - 1)] == _key(rows))
        return at[good], rows[good]

    at, rows = place(sent)
    tasks["sent"][at], tasks["pickle"][at], tasks["write"][at] = rows["t0"], rows["a"], rows["b"]
    tasks["bytes"][at] = rows["c"]
    tasks["name"][at], tasks["items"][at] = rows["f"] & 0xFFFFFFFF, rows["f"] >> 32
    for process, some in got:
        at, rows = place(some)
        tasks["worker"][at], tasks["head"][at] = process.pid, rows["t0"]
        tasks["read"][at], tasks["unpickle"][at] = rows["a"], rows["b"]
        tasks["waited"][at] = rows["h"]
        tasks["begin"][at] = rows["t0"] + rows["a"] + rows["b"]
        tasks["title"][at] = rows["i"] & 0xFFFFFFFF
        told = tasks["items"][at] == 0
        tasks["items"][at[told]] = rows["i"][told] >> 32
        out = process.of(kinds.OUT, kinds.RESULT)
        at, rows = place(out if not results else out[out["g"] == results])
        mine = tasks["worker"][at] == process.pid
        at, rows = at[mine], rows[mine]
        tasks["done"][at], tasks["result_pickle"][at] = rows["t0"], rows["a"]
        tasks["result_write"][at], tasks["result_bytes"][at] = rows["b"], rows["c"]
        tasks["cpu"][at], tasks["failed"][at] = rows["h"], rows["f"] >> 32 > 0
        exact = rows["i"] > 0
        tasks["begin"][at[exact]] = rows["i"][exact]
        _take_unseen_ends(tasks, process)
        _fill_cpu(tasks, process)
    at, rows = place(came)
    tasks["result_head"][at], tasks["result_read"][at] = rows["t0"], rows["a"]
    tasks["result_unpickle"][at] = rows["b"]
    tasks["back"][at] = rows["t0"] + rows["a"] + rows["b"]
    return tasks


def _take_unseen_ends(tasks: Table, worker: Process) -> None:
    """Of a task that was recorded when it began, and passed through when it ended, nothing is known; but
    of a worker's last it is known whether it ended, also where its result was never written."""
    last = worker.current
    if last is None or not last.whole:
        return
    open_ = (tasks["worker"] == worker.pid) & (tasks["done"] == 0)
    latest = open_ & (tasks["one"] == last.one) & (tasks["two"] == last.two)
    if not last.running:
        tasks["done"][latest] = last.ended
    tasks["begin"][open_ & ~latest] = 0


def _fill_cpu(tasks: Table, worker: Process) -> None:
    """The CPU clock is not read in every short task: the others used as large a share of their time."""
    mine = (tasks["worker"] == worker.pid) & (tasks["done"] > 0) & (tasks["begin"] > 0)
    read = mine & (tasks["cpu"] > 0)
    took = tasks["done"] - tasks["begin"]
    if read.any():
        share = float(tasks["cpu"][read].sum()) / max(1.0, float(took[read].sum()))
        rest = mine & (tasks["cpu"] == 0)
        tasks["cpu"][rest] = share * took[rest]


def _count(pool: Pool, sent: Table) -> None:
    """Count the tasks: those that workers began or, where that is not known, those noted and a share of
    those passed through."""
    parent = pool.parent
    last = [each.current for each in pool.workers]
    pool.sampled = any(each.sampled for each in pool.workers)
    noted = len(sent)
    every = float(noted)
    if parent.sampled:
        ours = len(parent.of(kinds.OUT, kinds.TASK))
        every *= (ours + parent.passed[0]) / max(1, ours) * parent.thinned
    known = sum(each.number for each in last if each is not None)
    if None not in last:
        every = max(noted, known)
    pool.count = max(1, round(every), _numbered(pool))
    pool.noted = pool.count / max(1, noted) if parent.sampled else 1.0


def _numbered(pool: Pool) -> int:
    """As many as there were at least, by their numbers: a pool numbers the tasks of each call, an
    executor all of them."""
    tasks = pool.tasks
    if pool.record is None or not len(tasks):
        return 0
    if int(pool.record["c"]) != kinds.A_POOL:
        return int(tasks["one"].max()) + 1
    calls = np.unique(tasks["one"])
    return int(sum(tasks["two"][tasks["one"] == each].max() + 1 for each in calls[:1000]))
