"""Many tasks that do nothing, by one way and one pool: what each costs, as JSON.

Run as ``python -m bench.jobs.tasks WAY POOL WORKERS TASKS [IDLE] [SPIN]``, in a process of its own,
so that no other pool's threads are in the figures. WAY is one of ``WAYS``, POOL ``onecopy``,
``unobserved`` or ``standard``. IDLE processes are started first, which do nothing: what they cost
the kernel is then in the figures. SPIN makes each task compute for as many microseconds.

Prints per task: ``wall``, ``owner`` and ``cpu`` in seconds (``cpu``: owner and workers), and
``descriptors``, the number that the owner has open at the end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import Any

import onecopy as oc

from ..cpu import Meter


def echo(value: int) -> int:
    """The task."""
    return value


def spin(microseconds: int) -> int:
    """The task that computes: by its own processor time, whatever else runs."""
    end = time.thread_time_ns() + 1000 * microseconds
    while time.thread_time_ns() < end:
        pass
    return microseconds


def who(_: int) -> int:
    time.sleep(0.001)
    return os.getpid()


Task = Callable[[int], int]
Items = list[int]


def apply(pool: Any, task: Task, items: Items) -> Items:
    return [pool.apply(task, (item,)) for item in items]


def submit_result(pool: Any, task: Task, items: Items) -> Items:
    return [pool.submit(task, item).result() for item in items]


def submits(pool: Any, task: Task, items: Items) -> Items:
    return [future.result() for future in [pool.submit(task, item) for item in items]]


def submits_singly(pool: Any, task: Task, items: Items) -> Items:
    """The same without runs: what tasks cost that are not tiny."""
    pool._engine.core.inbox._runs = False
    return submits(pool, task, items)


def map_singly(pool: Any, task: Task, items: Items) -> Items:
    return list(pool.map(task, items, chunksize=1))


def map_chunked(pool: Any, task: Task, items: Items) -> Items:
    return list(pool.map(task, items))


def imap(pool: Any, task: Task, items: Items) -> Items:
    return list(pool.imap(task, items))


WAYS: dict[str, Callable[[Any, Task, Items], Items]] = {
    "apply": apply,
    "submit_result": submit_result,
    "submits": submits,
    "submits_singly": submits_singly,
    "map_singly": map_singly,
    "map_chunked": map_chunked,
    "imap": imap,
}
_BY_EXECUTOR = ("submit_result", "submits")


def _unobserved() -> dict[str, Any]:
    """Switches off what reports are made of, in this process and in those that it forks; returns
    the options of a pool that does without the rest."""
    from onecopy._engine.history import History
    from onecopy._observe.series import Watch
    from onecopy._system.usage import Meter as Usage

    History.record = lambda *_: None  # type: ignore[method-assign]
    Watch._run = lambda _: None  # type: ignore[method-assign]
    Usage.begins = lambda *_: None  # type: ignore[method-assign]
    nothing = (0,) * len(Usage().took(0, 0, 0, 0, 0))
    Usage.took = lambda *_: nothing  # type: ignore[method-assign,assignment,return-value]
    return {"logs": False, "prints": "direct"}


def make(way: str, pool: str, workers: int) -> Any:
    """The pool, as its documents show; an executor where the way is that of executors. Observed or
    not, ours is compared with itself under ``fork``, which hands on what was switched off."""
    if pool == "standard":
        by_executor = way in _BY_EXECUTOR
        return (ProcessPoolExecutor if by_executor else multiprocessing.Pool)(workers)
    if pool == "onecopy":
        kind: Any = oc.ProcessPoolExecutor if way in _BY_EXECUTOR else oc.Pool
        return kind(workers)
    options = _unobserved() if pool == "unobserved" else {}
    return oc.Pool(workers, method="fork", **options)


def all_ready(pool: Any, workers: int) -> None:
    """Waits until each worker has answered."""
    answered: set[int] = set()
    while len(answered) < workers:
        answered.update(pool.map(who, range(2 * workers), chunksize=1))


def main() -> None:
    way, kind = sys.argv[1:3]
    workers, tasks, idle, busy = (int(text) for text in [*sys.argv[3:], "0", "0"][:4])
    task: Task = spin if busy else echo
    items = [busy] * tasks if busy else list(range(tasks))
    with ExitStack() as stack:
        for _ in range(idle):
            stack.callback(subprocess.Popen(["sleep", "infinity"]).kill)
        pool = stack.enter_context(make(way, kind, workers))
        all_ready(pool, workers)
        WAYS[way](pool, task, items[: max(1, tasks // 10)])
        meter = Meter()
        results = WAYS[way](pool, task, items)
        used = meter.used()
        assert results == items
        print(
            json.dumps(
                {
                    "wall": used.wall / tasks,
                    "owner": used.owner / tasks,
                    "cpu": (used.owner + used.workers) / tasks,
                    "descriptors": len(os.listdir("/proc/self/fd")),
                }
            )
        )


if __name__ == "__main__":
    main()
