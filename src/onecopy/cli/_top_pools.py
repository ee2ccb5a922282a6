"""The pools of the processes that ``onecopy top`` shows: asked, and put into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._observe.present import PoolNow, Running, WorkerNow, decode
from .._system.board import ask
from ..errors import printable
from ._show import count

# The least room in which a worker is called one.
_ROOM = 34


@dataclass
class Pools:
    """The pools of some processes, and their present work.

    Attributes:
        pools: each pool, with its process; None: the pool does not answer.
        workers: by process: the worker, and its pool.
    """

    pools: list[tuple[int, PoolNow | None]] = field(default_factory=list)
    workers: dict[int, tuple[PoolNow, WorkerNow]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return a line for each pool."""
        return [_line(pid, pool, len(self.pools) > 1) for pid, pool in self.pools]

    def ended(self, pid: int) -> str:
        """Return how many tasks a worker has ended; nothing for other processes."""
        return f"{self.workers[pid][1].tasks:,}" if pid in self.workers else ""

    def seconds(self, pid: int) -> str:
        """Return for how long a worker has been at its present task; nothing if it has none."""
        now = self.workers[pid][1].running if pid in self.workers else None
        return "" if now is None else f"{now.seconds:.1f} s"

    def words(self, pid: int, room: int) -> str:
        """Return what a worker runs, in ``room`` characters if that is possible; nothing for other
        processes."""
        if pid not in self.workers:
            return ""
        pool, worker = self.workers[pid]
        name = f"{pool.number}.{worker.number}" if len(self.pools) > 1 else f"{worker.number}"
        head, now = f"worker {name}: " if room >= _ROOM else f"{name}: ", worker.running
        if now is None:
            return head + ("idle" if worker.ready else "starting or ending")
        return head + _work(now, room - len(head))

    def as_objects(self) -> list[dict[str, Any]]:
        """Return the pools that answer, for ``--json``."""
        return [
            {"owner": pid, **pool._asdict(), "present": [_as_object(each) for each in pool.present]}
            for pid, pool in self.pools
            if pool is not None
        ]


def _as_object(worker: WorkerNow) -> dict[str, Any]:
    running = worker.running._asdict() if worker.running is not None else None
    return {**worker._asdict(), "running": running}


def pools(pids: list[int]) -> Pools:
    """Return the pools of some processes."""
    found = Pools()
    for pid, texts in ask(pids).items():
        for text in texts:
            pool = _decoded(text)
            found.pools.append((pid, pool))
            if pool is not None:
                found.workers.update({each.pid: (pool, each) for each in pool.present})
    return found


def _decoded(text: bytes | None) -> PoolNow | None:
    try:
        return None if text is None else decode(text)
    except ValueError:
        return None  # another version's, or forged


def _line(pid: int, pool: PoolNow | None, several: bool) -> str:
    if pool is None:
        return f"a pool of process {pid} does not answer: it is stopped, or busy"
    told = [
        f"{count(pool.workers, 'worker')} by {printable(pool.method)}",
        f"{count(pool.tasks, 'task')} done",
        *([f"{pool.failed:,} failed"] if pool.failed else []),
        *([f"{pool.lost:,} lost"] if pool.lost else []),
        *(["closed"] if pool.closed else []),
    ]
    return f"pool {pool.number}{f' of {pid}' if several else ''}: {', '.join(told)}"


def _work(now: Running, room: int) -> str:
    """Return function and items; of a long name the end, since items must not be lost."""
    name, which = printable(now.function.removeprefix("__main__.")), f", {now.which}"
    most = max(4, room - len(which))
    return (name if len(name) <= most else "…" + name[1 - most :]) + which
