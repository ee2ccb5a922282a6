"""The pools of the processes that ``onecopy top`` shows: asked, and put into words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from .._observe.present import UNKNOWN, PoolNow, Running, WorkerNow, decode
from .._system.board import ask
from ..errors import printable
from ._show import count

# The least room in which a worker is called one.
_ROOM = 34


Share = Callable[[tuple[Any, ...], float], float]


class FarRow(NamedTuple):
    """A line about a worker on another machine, or about its host.

    Attributes:
        pid, cpu, tasks, seconds: the cells.
        pss: bytes; 0 or less if that is not known.
        words: returns what comes last, in at most that many characters if possible.
    """

    pid: str
    cpu: str
    pss: int
    tasks: str
    seconds: str
    words: Callable[[int], str]


@dataclass
class Pools:
    """The pools of some processes, and their present work.

    Attributes:
        pools: each pool, with its process; None: the pool does not answer.
        workers: by process: the worker, and its pool.
        far: workers on other machines: their owner's process, their pool, and the worker.
    """

    pools: list[tuple[int, PoolNow | None]] = field(default_factory=list)
    workers: dict[int, tuple[PoolNow, WorkerNow]] = field(default_factory=dict)
    far: list[tuple[int, PoolNow, WorkerNow]] = field(default_factory=list)

    @property
    def are_there(self) -> bool:
        """Return True if there are workers."""
        return bool(self.workers or self.far)

    def lines(self) -> list[str]:
        """Return a line for each pool."""
        return [_line(pid, pool, len(self.pools) > 1) for pid, pool in self.pools]

    def ended(self, pid: int) -> str:
        """Return how many tasks a worker has ended; nothing for other processes."""
        return _tasks(self.workers[pid][1]) if pid in self.workers else ""

    def seconds(self, pid: int) -> str:
        """Return for how long a worker has been at its present task; nothing if it has none."""
        return _seconds(self.workers[pid][1]) if pid in self.workers else ""

    def words(self, pid: int, room: int) -> str:
        """Return what a worker runs, in ``room`` characters if that is possible; nothing for other
        processes."""
        if pid not in self.workers:
            return ""
        return self._words(*self.workers[pid], room)

    def _words(self, pool: PoolNow, worker: WorkerNow, room: int) -> str:
        name = f"{pool.number}.{worker.number}" if len(self.pools) > 1 else f"{worker.number}"
        head, now = f"worker {name}: " if room >= _ROOM else f"{name}: ", worker.running
        if now is not None:
            return head + _work(now, room - len(head))
        if worker.tasks == UNKNOWN:
            return head + "-"
        return head + ("idle" if worker.ready else "starting or ending")

    def far_rows(self, share: Share) -> list[FarRow]:
        """Return rows for the hosts on other machines, each with its workers behind it.

        Args:
            share: returns the share of CPU of something, by the CPU seconds that it has used so far.
        """
        by_host: dict[tuple[int, int, str], list[FarRow]] = {}
        for owner, pool, worker in self.far:
            of = owner, pool.number, worker.host
            known = worker.cpu >= 0
            row = FarRow(
                pid=str(worker.pid),
                cpu=_percent(share((*of, worker.number), worker.cpu)) if known else "-",
                pss=worker.pss,
                tasks=_tasks(worker),
                seconds=_seconds(worker),
                words=partial(self._words, pool, worker),
            )
            by_host.setdefault(of, []).append(row)
        rows: list[FarRow] = []
        for (_, _, host), workers in by_host.items():
            name = f"on {printable(host)}"
            rows += [FarRow("", "", sum(max(0, each.pss) for each in workers), "", "", _same(name))]
            rows += workers
        return rows

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
                if pool.elsewhere:
                    found.far += [(pid, pool, each) for each in pool.present]
                else:
                    found.workers.update({each.pid: (pool, each) for each in pool.present})
    return found


def _tasks(worker: WorkerNow) -> str:
    return "-" if worker.tasks == UNKNOWN else f"{worker.tasks:,}"


def _seconds(worker: WorkerNow) -> str:
    if worker.running is None:
        return "-" if worker.tasks == UNKNOWN else ""
    return f"{worker.running.seconds:.1f} s"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _same(text: str) -> Callable[[int], str]:
    def cut(room: int) -> str:
        return text if len(text) <= room else text[: room - 1] + "…"

    return cut


def _decoded(text: bytes | None) -> PoolNow | None:
    try:
        return None if text is None else decode(text)
    except ValueError:
        return None  # another version's, or forged


def _line(pid: int, pool: PoolNow | None, several: bool) -> str:
    if pool is None:
        return f"a pool of process {pid} does not answer: it is stopped, or busy"
    hosts = {each.host for each in pool.present if each.host}
    told = [
        f"{count(pool.workers, 'worker')} by {printable(pool.method)}",
        *([f"{count(len(hosts), 'host')}"] if hosts else []),
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
