"""Pools: all that went through one pipe of tasks, and where the time of their workers went.

A task joins four records: sent (parent), read (worker), result sent (worker), result read
(parent). Where messages came too fast to note each, the two ends noted different ones; each part
is then scaled by its own share, and by medians, for a sum has a heavy tail on a busy machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .estimate import gaps, overlap, union
from .history import NOWHERE, History, Process, Site, Table
from .inside import kinds

TASK = np.dtype(
    [
        (name, "i8")
        for name in (
            *("one", "two", "items", "name", "bytes", "sent", "pickle", "write"),
            *("worker", "head", "read", "unpickle", "waited", "begin", "done", "cpu"),
            *("result_pickle", "result_write", "result_bytes", "failed"),
            *("result_head", "result_read", "result_unpickle", "back"),
        )
    ]
)
"""Times in nanoseconds; 0: not known. ``sent``, ``back``: pickling began, the result was there."""

_NAMES = {kinds.A_POOL: "Pool", kinds.EXECUTOR: "ProcessPoolExecutor", kinds.LOKY: "joblib (loky)"}
# What the hooks themselves take between the readings of a task's begin and end.
_HOOK, _HOOK_CPU = 0.3e-6, 1.0e-6
_CPU_BOUND = 0.6


@dataclass
class Parts:
    """The parts of lanes x wall, in seconds; each measured by itself, ``other`` is what is left."""

    compute: float = 0.0
    unpickle: float = 0.0
    pickle: float = 0.0
    read: float = 0.0
    write: float = 0.0
    waiting: float = 0.0
    startup: float = 0.0
    tail: float = 0.0
    lost: float = 0.0
    other: float = 0.0

    def known(self) -> float:
        """All but what is left."""
        values = vars(self)
        return float(sum(values[name] for name in values if name != "other"))


@dataclass(eq=False)
class Pool:
    """One pool; times in seconds unless they are stated to be nanoseconds.

    Attributes:
        parent: the process that sends its tasks.
        channel: the pipe of its tasks.
        kind: what it is; lanes: workers asked for; site: where it was made; method: how its
            workers start; made: how many pools the parent had made at that place, so far.
        workers: those that got a task.
        tasks: what is known of each task; those that no worker got have worker 0.
        count: how many tasks there were; noted: how many there were for each one noted.
        submits: the places that gave it work, with the method called.
        begin, finish: nanoseconds; wall: between, without the time in which it had nothing to do.
        ready: nanoseconds, for each worker: started, and ready for a task.
    """

    parent: Process
    channel: int
    record: Any
    workers: list[Process]
    tasks: Table
    cpus: int
    kind: str = "?"
    lanes: int = 1
    site: Site = NOWHERE
    method: str = ""
    count: int = 0
    noted: float = 1.0
    submits: list[tuple[Site, str]] = field(default_factory=list)
    begin: int = 0
    finish: int = 0
    wall: float = 0.0
    ready: dict[int, tuple[int, int]] = field(default_factory=dict)
    pauses: list[tuple[int, int]] = field(default_factory=list)
    parts: Parts = field(default_factory=Parts)
    pickling: float = 0.0
    writing: float = 0.0
    receiving: float = 0.0
    bytes: float = 0.0
    result_bytes: float = 0.0
    overlap: float = 0.0
    cpu_bound: bool = False
    lane_limit: int = 1
    stretch: float = 1.0
    delay: float = 0.0

    @property
    def done(self) -> Table:
        """The tasks whose begin and end are known."""
        found: Table = self.tasks[(self.tasks["done"] > 0) & (self.tasks["begin"] > 0)]
        return found

    @property
    def compute(self) -> Table:
        """Of these, seconds inside the user's function."""
        done = self.done
        found: Table = np.maximum(0.0, (done["done"] - done["begin"]) / 1e9 - _HOOK)
        return found

    @property
    def cpu(self) -> Table:
        """Of these, seconds of CPU of the whole process."""
        found: Table = np.maximum(0.0, self.done["cpu"] / 1e9 - _HOOK_CPU)
        return found

    @property
    def works(self) -> Table:
        """Seconds each keeps a lane busy: CPU where tasks compute, the clock where they wait."""
        if not self.cpu_bound:
            return self.compute
        found: Table = np.minimum(self.cpu, self.compute) * self.stretch
        return found

    @property
    def total(self) -> float:
        """Lanes x wall."""
        return self.lanes * self.wall

    @property
    def sender(self) -> float:
        """Seconds of the one thread that sends: pickling, and writing while a worker read.

        The rest of its writing is waiting for workers that were busy, which costs nothing.
        """
        return self.pickling + min(self.writing, self.parts.read)

    @property
    def lead(self) -> float:
        """Until the first worker was ready."""
        if not self.ready:
            return 0.0
        return max(0.0, (min(ready for _, ready in self.ready.values()) - self.begin) / 1e9)

    @property
    def submit(self) -> tuple[Site, str]:
        """The place that gave it most of its work."""
        return self.submits[0] if self.submits else (self.site, "")

    def function(self, row: Any) -> str:
        """The name of a task's function."""
        return self.parent.text(row["name"]) or "?"

    def describe(self) -> str:
        """For people."""
        where = f" at {self.site}" if self.site.file else ""
        return f"{self.kind}{where}, {self.lanes} workers by {self.method or 'fork'}"


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
            got[process.pid] = (process, rows)
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
    _times(pool, sent)
    _account(history, pool)
    return pool


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
    pool.kind = _NAMES.get(int(record["c"]), "?")
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
    keys = [_key(sent), *(_key(rows) for _, rows in got)]
    every, first = np.unique(np.concatenate(keys), return_index=True)
    del first
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
        out = process.of(kinds.OUT, kinds.RESULT)
        at, rows = place(out if not results else out[out["g"] == results])
        mine = tasks["worker"][at] == process.pid
        at, rows = at[mine], rows[mine]
        tasks["done"][at], tasks["result_pickle"][at] = rows["t0"], rows["a"]
        tasks["result_write"][at], tasks["result_bytes"][at] = rows["b"], rows["c"]
        tasks["cpu"][at], tasks["failed"][at] = rows["h"], rows["f"] >> 32 > 0
        exact = rows["i"] > 0
        tasks["begin"][at[exact]] = rows["i"][exact]
    back = parent.of(kinds.IN, kinds.RESULT)
    at, rows = place(back if not results else back[back["g"] == results])
    tasks["result_head"][at], tasks["result_read"][at] = rows["t0"], rows["a"]
    tasks["result_unpickle"][at] = rows["b"]
    tasks["back"][at] = rows["t0"] + rows["a"] + rows["b"]
    return tasks


def passed(process: Process) -> tuple[int, int]:
    """Messages that were passed through unrecorded: out and in."""
    rows = process.of(kinds.BURST)
    return int(rows["a"].sum()), int(rows["b"].sum())


def _count(pool: Pool, sent: Table) -> None:
    """Count the tasks: those noted, and those passed through."""
    out, _ = passed(pool.parent)
    noted = len(pool.parent.of(kinds.OUT, kinds.TASK))
    pool.noted = (noted + out) / max(1, noted) * pool.parent.thinned
    pool.count = max(1, round(len(sent) * pool.noted), _numbered(pool))


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


def _times(pool: Pool, sent: Table) -> None:
    """Begin, end and pauses; when workers were ready."""
    tasks = pool.tasks
    starts = [int(each.start["t0"]) for each in pool.workers if each.start is not None]
    pool.begin = min([*starts, int(sent["t0"].min())])
    ends = tasks["sent"] + tasks["pickle"] + tasks["write"]
    pool.finish = int(max(tasks["back"].max(), ends.max(), tasks["done"].max()))
    known = tasks[(tasks["sent"] > 0) & (tasks["back"] > 0)]
    begins, until = known["sent"], known["back"]
    bursts = pool.parent.of(kinds.BURST)
    begins = np.concatenate([begins, bursts["t0"].astype("i8")])
    until = np.concatenate([until, (bursts["t0"] + bursts["c"]).astype("i8")])
    lost = tasks[(tasks["sent"] > 0) & (tasks["back"] == 0)]
    if not len(lost):
        pool.pauses = [each for each in gaps(begins, until) if each[1] - each[0] > 1_000_000]
    idle = sum(end - begin for begin, end in pool.pauses)
    pool.wall = max(1e-6, (pool.finish - pool.begin - idle) / 1e9)
    for each in pool.workers:
        heads = tasks["head"][tasks["worker"] == each.pid]
        first = int(heads.min()) if len(heads) else pool.finish
        set_up = each.of(kinds.READY)
        ready = int(set_up[-1]["t0"] + set_up[-1]["a"]) if len(set_up) else each.boot or first
        ready = min(ready, first)
        born = int(each.start["t0"]) if each.start is not None else each.born
        pool.ready[each.pid] = (min(born or ready, ready), ready)


def _total(values: Table, count: float) -> float:
    """Seconds of ``count`` tasks, of which these were noted: their sum, or when they are a sample
    (noted in bursts) ``count`` times the median."""
    if not len(values):
        return 0.0
    if count <= len(values) * 1.01:
        return float(values.sum()) / 1e9
    return float(np.median(values)) / 1e9 * count


def _account(history: History, pool: Pool) -> None:
    tasks, parts = pool.tasks, pool.parts
    sent = tasks[tasks["sent"] > 0]
    count = float(pool.count)
    pool.pickling, pool.writing = _total(sent["pickle"], count), _total(sent["write"], count)
    back = tasks[tasks["back"] > 0]
    returned = count if pool.noted > 1.01 else float(len(back))
    pool.receiving = _total(back["result_read"] + back["result_unpickle"], returned)
    pool.bytes = float(sent["bytes"].sum()) * pool.noted
    for worker in pool.workers:
        _account_worker(pool, worker)
    done = pool.done
    share = max(1.0, count / max(1, len(done))) if pool.noted > 1.01 else 1.0
    pool.result_bytes = float(done["result_bytes"].sum()) * share
    missing = pool.lanes - len(pool.workers)
    parts.tail += max(0, missing) * pool.wall
    idle = sum(end - begin for begin, end in pool.pauses) / 1e9
    parts.waiting = max(0.0, parts.waiting - idle * len(pool.workers))
    parts.other = pool.total - parts.known()
    _bound(history, pool)


def _account_worker(pool: Pool, worker: Process) -> None:
    tasks, parts = pool.tasks, pool.parts
    got = tasks[tasks["worker"] == worker.pid]
    mine = got[(got["done"] > 0) & (got["begin"] > 0)]
    _, through = passed(worker)
    count = len(got) + through
    share = count if through or worker.thinned > 1 else len(mine)
    parts.compute += _total(np.maximum(0, mine["done"] - mine["begin"] - 300), share)
    parts.unpickle += _total(mine["unpickle"], share)
    parts.read += _total(mine["read"], share)
    parts.pickle += _total(mine["result_pickle"], share)
    parts.write += _total(mine["result_write"], share)
    born, ready = pool.ready[worker.pid]
    parts.startup += (ready - born) / 1e9
    ends = mine["done"] + mine["result_pickle"] + mine["result_write"]
    if not len(ends):
        return
    died = worker.exit not in (None, 0, -15) or (len(got) > len(mine) and not through)
    rest = max(0, pool.finish - int(ends.max())) / 1e9
    if died:
        parts.lost += rest
    else:
        parts.tail += rest
    if through:
        waits = np.where(mine["waited"] > 0, np.maximum(0, mine["head"] - mine["waited"]), 0)
        parts.waiting += _total(waits, share)
        return
    # From the end of one to the first bytes of the next; the lock of the queue, under which
    # another worker may be reading something large, is waiting too.
    order = np.argsort(got["head"], kind="stable")
    heads = got["head"][order]
    ends = (got["done"] + got["result_pickle"] + got["result_write"])[order]
    before = np.concatenate([[ready], ends[:-1]])
    known = before > 0
    parts.waiting += float(np.maximum(0, heads - before)[known].sum()) / 1e9


def _bound(history: History, pool: Pool) -> None:
    """Tell whether the tasks compute or wait, and how many lanes can be busy at a time."""
    compute, cpu = pool.compute, pool.cpu
    done = pool.done
    _, pool.delay = history.cpu_and_delay([each.pid for each in pool.workers])
    whole = float(compute.sum())
    # Time in which a task wanted a CPU and had none is no waiting for something outside.
    part = whole / max(1e-9, pool.parts.compute)
    pool.cpu_bound = float(cpu.sum()) + pool.delay * min(1.0, part) > _CPU_BOUND * whole
    pool.lane_limit = min(pool.lanes, pool.cpus) if pool.cpu_bound else pool.lanes
    if len(done):
        pool.overlap = overlap(done["begin"], done["done"])
    if pool.cpu_bound and cpu.sum() > 0:
        # What a second of CPU took by the clock, beyond what workers took from each other.
        at_once = max(1.0, min(pool.lanes, pool.overlap) / pool.cpus)
        pool.stretch = max(1.0, whole / float(cpu.sum()) / at_once)


def sending(pool: Pool) -> float:
    """The share of the wall in which a task was being pickled or written."""
    sent = pool.tasks[pool.tasks["sent"] > 0]
    return union(sent["sent"], sent["sent"] + sent["pickle"] + sent["write"]) / 1e9 / pool.wall
