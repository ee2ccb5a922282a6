"""Accounting: the parts that the time of a pool's workers went into.

Where messages came too fast to note each, each part is scaled by its own share, and by medians, for a
sum has a heavy tail on a busy machine. How many tasks a worker did, how long they took together and
when the last ended is known all the same.
"""

from __future__ import annotations

import numpy as np

from .._report.model import Start
from .estimate import gaps, overlap
from .history import History, Process, Table
from .inside import kinds
from .pools import Pool

_CPU_BOUND = 0.6
# Nanoseconds that the hooks take in each task.
_HOOK = 300
# Nanoseconds without a message that are a pause; where messages were passed through (``inside/bursts``).
_PAUSE, _LONG_PAUSE = 1_000_000, 50_000_000
# Tasks for each one noted, up to which they are as good as all.
_ALL = 1.01
# Tasks of a worker, from which on its first can be told from the others.
_LIKE = 3


def take_times(pool: Pool, sent: Table) -> None:
    """Begin, end and pauses; when workers were ready."""
    tasks = pool.tasks
    starts = [int(each.start["t0"]) for each in pool.workers if each.start is not None]
    pool.begin = min([*starts, int(sent["t0"].min())])
    ends = tasks["sent"] + tasks["pickle"] + tasks["write"]
    last = [each.current.ended for each in pool.workers if each.current is not None]
    pool.finish = max(map(int, (tasks["back"].max(), ends.max(), tasks["done"].max(), *last)))
    pool.pauses = _pauses(pool)
    idle = sum(end - begin for begin, end in pool.pauses)
    pool.wall = max(1e-6, (pool.finish - pool.begin - idle) / 1e9)
    for each in pool.workers:
        heads = tasks["head"][tasks["worker"] == each.pid]
        first = int(heads.min()) if len(heads) else pool.finish
        initialized = each.of(kinds.READY)
        if len(initialized):
            initializing = int(initialized[-1]["t0"])
            ready = min(initializing + int(initialized[-1]["a"]), first)
        else:
            initializing = ready = min(each.boot or first, first)
        born = int(each.start["t0"]) if each.start is not None else each.born
        born = min(born or ready, ready)
        pool.starts[each.pid] = Start(born, min(max(born, initializing), ready), ready)


def _pauses(pool: Pool) -> list[tuple[int, int]]:
    """The stretches in which no task was on its way."""
    tasks, parent = pool.tasks, pool.parent
    known = tasks[(tasks["sent"] > 0) & (tasks["back"] > 0)]
    if pool.noted <= _ALL and not pool.sampled:
        # A task that was sent and has not come back may be at work in any of them.
        if ((tasks["sent"] > 0) & (tasks["back"] == 0)).any():
            return []
        return [each for each in gaps(known["sent"], known["back"]) if each[1] - each[0] > _PAUSE]
    # Where messages were passed through, both ends of few tasks are known: any message is a sign of
    # work, and so is a task of a worker.
    taken = tasks[tasks["begin"] > 0]
    over = np.where(taken["done"] > 0, taken["done"], pool.finish)
    begins = [known["sent"], tasks["sent"], tasks["back"], taken["begin"]]
    ends = [known["back"], tasks["sent"], tasks["back"], over]
    passed = parent.of(kinds.BURST)  # they end where a pause begins, those of workers do not
    begins.append(passed["t0"].astype("i8"))
    ends.append((passed["t0"] + passed["c"]).astype("i8"))
    first, last = np.concatenate(begins), np.concatenate(ends)
    here = (first > 0) & (first < pool.finish) & (last > pool.begin)
    found = gaps(np.maximum(first[here], pool.begin), np.minimum(last[here], pool.finish))
    return [each for each in found if each[1] - each[0] > _LONG_PAUSE]


def _total(values: Table, count: float) -> float:
    """Seconds of ``count`` tasks, of which these were noted: their sum, or when they are a sample
    (noted in bursts) ``count`` times the median of those that are known."""
    if not len(values):
        return 0.0
    if count <= len(values) * _ALL:
        return float(values.sum()) / 1e9
    known = values[values > 0]
    return float(np.median(known)) / 1e9 * count if len(known) else 0.0


def account(history: History, pool: Pool) -> None:
    tasks, parts = pool.tasks, pool.parts
    sent = tasks[tasks["sent"] > 0]
    count = float(pool.count)
    pool.pickling, pool.writing = _total(sent["pickle"], count), _total(sent["write"], count)
    back = tasks[tasks["back"] > 0]
    returned = count if pool.noted > _ALL else float(len(back))
    pool.receiving = _total(back["result_read"] + back["result_unpickle"], returned)
    pool.bytes = float(sent["bytes"].sum()) * pool.noted
    for worker in pool.workers:
        _account_worker(pool, worker)
    done = pool.done
    share = max(1.0, count / max(1, len(done))) if pool.sampled else 1.0
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
    last = worker.current if worker.sampled else None
    count = float(len(mine))
    if last is not None:
        count = last.number - last.running
    elif worker.sampled:
        count = len(got) + worker.passed[1]
    spent = [
        _total(mine[name], count) for name in ("unpickle", "read", "result_pickle", "result_write")
    ]
    compute = _total(np.maximum(0, mine["done"] - mine["begin"] - _HOOK), count)
    if last is not None:
        compute = max(0.0, (last.took - _HOOK * count) / 1e9)
    parts.compute += compute
    imports = _imports(worker, mine)
    spent[0] = max(0.0, spent[0] - imports)
    parts.unpickle += spent[0]
    parts.read += spent[1]
    parts.pickle += spent[2]
    parts.write += spent[3]
    start = pool.starts[worker.pid]
    parts.startup += (start.initializing - start.born) / 1e9 + imports
    parts.initializing += (start.ready - start.initializing) / 1e9
    ends = mine["done"] + mine["result_pickle"] + mine["result_write"]
    if not len(ends):
        return
    end = max(int(ends.max()), worker.current.ended if worker.current is not None else 0)
    rest = max(0, pool.finish - end) / 1e9
    if worker.exit not in (None, 0, -15) or _unended(worker, got, mine):
        parts.lost += rest
    else:
        parts.tail += min(rest, max(0, _replaced(pool, worker) - end) / 1e9)
    if last is not None:
        parts.waiting += max(0.0, (end - start.ready) / 1e9 - compute - sum(spent) - imports)
    elif worker.sampled:
        waits = np.where(mine["waited"] > 0, np.maximum(0, mine["head"] - mine["waited"]), 0)
        parts.waiting += _total(waits, count)
    else:
        parts.waiting += _waits(got, start.ready)


def _imports(worker: Process, mine: Table) -> float:
    """Seconds of imports while a fresh interpreter unpickled its first task: what that took longer than the
    others of its size."""
    if worker.forked or len(mine) < _LIKE or worker.sampled:
        return 0.0
    order = np.argsort(mine["head"])
    first, rest = mine[order[0]], mine[order[1:]]
    per_byte = float(np.median(rest["unpickle"] / np.maximum(1, rest["bytes"])))
    like = max(float(np.median(rest["unpickle"])), per_byte * float(first["bytes"]))
    return max(0.0, float(first["unpickle"]) - 2 * like) / 1e9


def _replaced(pool: Pool, worker: Process) -> int:
    """Nanoseconds: it was replaced, having done as many tasks as it was to do, or the pool had ended."""
    over = worker.end or worker.exit_time
    limited = pool.record is not None and int(pool.record["i"]) > 0
    return min(over, pool.finish) if limited and over else pool.finish


def _unended(worker: Process, got: Table, mine: Table) -> bool:
    """Return True if it was still at a task."""
    if worker.current is not None and worker.current.whole:
        return worker.current.running
    return len(got) > len(mine) and not worker.sampled


def _waits(got: Table, ready: int) -> float:
    """Seconds from the end of one to the first bytes of the next; the lock of the queue, under which
    another worker may be reading something large, is waiting too."""
    order = np.argsort(got["head"], kind="stable")
    heads = got["head"][order]
    ends = (got["done"] + got["result_pickle"] + got["result_write"])[order]
    before = np.concatenate([[ready], ends[:-1]])
    known = before > 0
    return float(np.maximum(0, heads - before)[known].sum()) / 1e9


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
    if pool.sampled:
        # While one worker's tasks were passed through, another's seem to have run alone.
        pool.overlap = pool.parts.compute / max(1e-6, pool.wall - pool.lead)
    elif len(done):
        pool.overlap = overlap(done["begin"], done["done"])
    if pool.cpu_bound and cpu.sum() > 0:
        # What a second of CPU took by the clock, beyond what workers took from each other.
        at_once = max(1.0, min(pool.lanes, pool.overlap) / pool.cpus)
        pool.stretch = max(1.0, whole / float(cpu.sum()) / at_once)
