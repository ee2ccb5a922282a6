"""What a report says in words: one sentence of verdict, and what to change.

Advice is given only when something is plainly off, and each comes with its evidence from
this very run and an estimate of what would be gained. The estimates are arithmetic on what
was measured: that part of the time which would go, divided among the workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .model import Accounting, Run, Table
from .words import count, human_bytes, items, percent, seconds

# A part of the workers' time below this is nothing to speak of.
_PART = 0.15
# Runs shorter than this, in seconds, are mostly start-up, and nobody waits for them.
_SHORT = 0.2
# Around each task go some tens of microseconds: below this its own work is the lesser part.
_SMALL_TASK = 200e-6
# A buffer of this size, in bytes, takes as long to copy as a short task takes.
_BIG = 1e6
# A task that takes so many times the median of its function is a straggler.
_STRAGGLER = 5.0
# The owner's thread can do no more than fill one CPU.
_OWNER_BUSY = 0.7
# A worker whose own memory grows by this much, in bytes, keeps something.
_GROWTH = 200e6


@dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
        title: what is off, in a few words.
        evidence: what in this run shows it.
        change: what to do about it.
        gain: what that would save, roughly.
    """

    title: str
    evidence: str
    change: str
    gain: str


def verdict(run: Run) -> str:
    """How well the workers were used, in one sentence with figures."""
    parts = run.accounting()
    if not run.tasks:
        return f"No task has ended in {seconds(parts.wall)}."
    who = count(parts.workers, "worker") + (" was" if parts.workers == 1 else " were")
    said = (
        f"{who} computing {percent(parts.compute, parts.total)} of {seconds(parts.wall)}, in "
        f"{count(run.tasks, 'task')}"
    )
    rest = {
        "starting": parts.startup,
        "waiting for tasks": parts.waiting,
        "unpacking arguments": parts.decode,
        "packing results": parts.encode,
        "blocked by the owner": parts.blocked,
        "done before the others": parts.tail,
        "lost with a worker": parts.lost,
    }
    name, most = max(rest.items(), key=lambda item: item[1])
    if most > 0.02 * parts.total:
        said += f"; {percent(most, parts.total)} of their time they were {name}"
    saved = run.facts.get("saved_bytes", 0)
    if saved > _BIG:
        said += f"; one copy of the shared data saved {human_bytes(int(saved))}"
    return said + "."


def advice(run: Run) -> list[Advice]:
    """What to change, most rewarding first as far as that can be told; often nothing."""
    parts = run.accounting()
    found = list(_losses(run, parts))
    if parts.wall >= _SHORT and run.tasks:
        for look in (_size, _order, _owner, _moved, _waiting, _places):
            found += look(run, parts)
    found += _memory(run)
    return found


def _saving(worker_seconds: float, parts: Accounting) -> str:
    """What ``worker_seconds`` less would mean for the whole."""
    saved = max(0.0, worker_seconds) / parts.workers
    return f"up to {seconds(saved)} of {seconds(parts.wall)} ({percent(saved, parts.wall)})"


def _sum(run: Run, name: str) -> float:
    return float(run.totals[name].sum())


def _losses(run: Run, parts: Accounting) -> Iterator[Advice]:
    lost = int(_sum(run, "lost"))
    if lost:
        yield Advice(
            "Tasks were lost with their workers",
            f"{count(lost, 'task')} of {run.tasks:,} ended because a worker died, "
            f"{seconds(parts.lost)} of work with them.",
            "Look at the WorkerDied errors: they name the signal and the memory held. "
            "pool.options(retries=2) runs such tasks again, memory_limit= ends them early.",
            _saving(parts.lost, parts) if parts.lost > 0 else "the lost results",
        )


def _size(run: Run, parts: Accounting) -> Iterator[Advice]:
    tasks, compute = run.tasks, parts.compute
    around = parts.decode + parts.encode + parts.blocked + parts.waiting
    mean = compute / tasks
    if tasks >= 500 and mean < _SMALL_TASK and around > max(compute, _PART * parts.total):
        yield Advice(
            "Tasks are too small",
            f"A task computed for {seconds(mean)} on average, and took "
            f"{seconds(around / tasks)} of its worker's time besides.",
            "Hand out more at once: pool.map(f, items) cuts chunks by measured time; a larger "
            "chunksize= or block= where you set one; several items per submit.",
            _saving(around - 0.1 * compute, parts),
        )


def _order(run: Run, parts: Accounting) -> Iterator[Advice]:
    """What was unevenly dealt out at the end."""
    if parts.workers < 2 or parts.tail < _PART * parts.total or not len(run.spans):
        return
    took = (run.spans["finished"] - run.spans["started"]) / 1e9
    at = int(np.argmax(took))
    same = took[run.spans["function"] == run.spans["function"][at]]
    typical = float(np.median(same))
    if len(same) >= 8 and took[at] > max(_STRAGGLER * typical, _PART * parts.wall):
        yield Advice(
            "A straggler held everybody up",
            f"Task {_label(run, at)} took {seconds(float(took[at]))}, the median of its function "
            f"is {seconds(typical)}; the others were done {seconds(parts.tail / parts.workers)} "
            "earlier on average.",
            "Start the longest ones first, or cut that one up.",
            _saving(parts.tail, parts),
        )
        return
    chunks = run.spans["stop"] - run.spans["start"] > 1
    yield Advice(
        "The work was dealt out in too large pieces" if chunks.any() else "Workers ran out of work",
        f"{count(run.tasks, 'task')} for {parts.workers} workers; while the last of them ran, the "
        f"others had nothing to do for {seconds(parts.tail / parts.workers)} on average.",
        "Smaller pieces: leave chunksize= and block= out, or set them to a quarter of what "
        "they were."
        if chunks.any()
        else "More and smaller tasks"
        + (f", or fewer workers: Pool({run.tasks})." if run.tasks < parts.workers else "."),
        _saving(parts.tail, parts),
    )


def _label(run: Run, at: int) -> str:
    span = run.spans[at]
    which = items(int(span["start"]), int(span["stop"]), int(span["task"]))
    return f"{run.functions[int(span['function'])]} ({which})"


def _owner(run: Run, parts: Accounting) -> Iterator[Advice]:
    idle = parts.waiting + parts.blocked
    if run.owner_cpu > _OWNER_BUSY * parts.wall and idle > _PART * parts.total:
        yield Advice(
            "The owner is the bottleneck",
            f"Its thread was at work for {percent(run.owner_cpu, parts.wall)} of the time, sending "
            f"tasks and unpacking results; workers waited for it for {seconds(idle)} altogether.",
            "Fewer and larger tasks, and smaller results: let tasks write into an array made by "
            "oc.empty and return little.",
            _saving(idle, parts),
        )


def _moved(run: Run, parts: Accounting) -> Iterator[Advice]:
    tasks = run.tasks
    arguments, results = _sum(run, "args_moved") / tasks, _sum(run, "result_moved") / tasks
    if arguments > _BIG and parts.decode + parts.waiting > _PART * parts.compute:
        yield Advice(
            "Arguments are copied for every task",
            f"{human_bytes(int(arguments))} per task, {human_bytes(int(arguments * tasks))} "
            "altogether, went to the workers as copies.",
            "Share what several tasks use: data = oc.share(data) once, then pass it or slices "
            "of it. That moves no bytes.",
            f"{human_bytes(int(arguments * tasks))} of copying, and "
            + _saving(parts.decode, parts),
        )
    cost = parts.encode + parts.blocked
    if results > _BIG and cost > _PART * parts.compute:
        yield Advice(
            "Results are large",
            f"{human_bytes(int(results))} per task, {human_bytes(int(results * tasks))} altogether; "
            f"packing and writing them took {seconds(cost)}.",
            "Have tasks write into one array that all share: out = oc.empty(shape, dtype), then "
            "out[i:j] = ... in the task.",
            _saving(cost, parts),
        )


def _waiting(run: Run, parts: Accounting) -> Iterator[Advice]:
    if parts.waiting > max(0.4 * parts.total, parts.compute) and run.tasks >= 2:
        busy = run.owner_cpu > _OWNER_BUSY * parts.wall
        if not busy and parts.compute / run.tasks >= _SMALL_TASK:
            yield Advice(
                "Workers waited for tasks",
                f"{seconds(parts.waiting)} of {seconds(parts.total)}: tasks were handed to the "
                "pool one after another, or seldom.",
                "Hand out the next before asking for the last one's result: submit several, "
                "map, or imap.",
                _saving(parts.waiting, parts),
            )
    if parts.startup > max(2 * _PART * parts.total, 0.5 * parts.compute):
        per = parts.startup / max(1, len(run.workers))
        yield Advice(
            "Start-up is a large part",
            f"{len(run.workers)} workers took {seconds(per)} each to start by {run.method}: "
            f"{percent(parts.startup, parts.total)} of all their time.",
            "Keep one pool for the whole program"
            + (", or use forkserver" if run.method == "spawn" else "")
            + (", or fewer workers." if len(run.workers) > 1 else "."),
            _saving(parts.startup, parts),
        )


def _places(run: Run, parts: Accounting) -> Iterator[Advice]:
    cpu = _sum(run, "cpu") / 1e9
    # Workers that wait for input or output may be as many as one likes: these fill the CPUs.
    if run.wanted > run.cpus and parts.compute and cpu > 0.6 * run.cpus * parts.wall:
        share = cpu / parts.compute
        if share < 0.85:
            yield Advice(
                "More workers than CPUs",
                f"{run.wanted} workers on {count(run.cpus, 'CPU')}: while they computed, they had a "
                f"CPU for {percent(cpu, parts.compute)} of the time.",
                f"Pool({run.cpus}), which is the default: the same work in less memory.",
                f"{run.wanted - run.cpus} workers' memory and start-up",
            )


def _memory(run: Run) -> Iterator[Advice]:
    worst: tuple[int, int, int] = (0, 0, 0)
    table = run.memory
    for worker in np.unique(table["worker"]):
        rows = table[table["worker"] == worker]
        if worker < 0 or len(rows) < 8:
            continue
        # The first fifth is imports and caches that fill.
        uss = rows["uss"][len(rows) // 5 :].astype("i8")
        growth = int(uss[-1] - uss[0])
        if growth > worst[0] and _rises(uss):
            worst = growth, int(worker), int(uss[-1])
    if worst[0] > _GROWTH:
        yield Advice(
            "A worker's own memory grows",
            f"Worker {worst[1]} grew by {human_bytes(worst[0])} to {human_bytes(worst[2])}.",
            "Something keeps what tasks make: a cache, a global list. maxtasksperchild= gives "
            "the memory back.",
            f"{human_bytes(worst[0])} per worker",
        )
    copied = run.facts.get("inherited_bytes_copied", 0)
    if copied > _GROWTH:
        yield Advice(
            "Forked workers copy what they inherited",
            f"{human_bytes(int(copied))} of inherited memory are no longer in common: reading a "
            "Python object writes its reference count, and the kernel copies the page.",
            "oc.share(data) before the pool is made: its pages are never written to.",
            human_bytes(int(copied)),
        )


def _rises(values: Table) -> bool:
    """More or less steadily: each third is above the one before it."""
    third = len(values) // 3
    one, two, three = (float(values[at * third :][:third].mean()) for at in range(3))
    return one < two < three
