"""Statistics of a pool or an executor, and its workers' present work, as a frozen snapshot."""

from __future__ import annotations

from time import monotonic_ns
from typing import NamedTuple

from .._observe.present import Running
from ..errors import human_bytes
from .engine import Engine
from .work import Entry


class PoolStats(NamedTuple):
    """Statistics of a pool or an executor so far, and its workers' present work.

    Attributes:
        tasks: tasks (or chunks of ``map``) that have ended.
        failed: tasks that raised, or chunks in which an item did.
        lost: tasks that were lost with their workers.
        bytes_sent: bytes written to workers' sockets.
        bytes_received: bytes read from them.
        bytes_copied: bytes of arguments copied into shared arenas.
        bytes_shared: bytes of arguments that were passed by reference.
        workers: workers that are ready.
        started: workers that have been started, replacements included.
        seconds: since the pool was made.
        running: the workers' present work; in the order of the workers.
        peak_pss: the highest sum of PSS of the owner and all workers that was read, in bytes; 0 if
            it cannot be read. With hosts, each adds the highest that was read there.
    """

    tasks: int
    failed: int
    lost: int
    bytes_sent: int
    bytes_received: int
    bytes_copied: int
    bytes_shared: int
    workers: int
    started: int
    seconds: float
    peak_pss: int
    running: tuple[Running, ...] = ()

    def _repr_html_(self) -> str:
        from html import escape  # only notebooks need it

        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{_shown(self, name)}</td></tr>"
            for name in self._fields
            if name != "running"
        )
        rows += "".join(
            f"<tr><th style='text-align:left'>worker {each.worker}</th><td>{escape(str(each))}</td></tr>"
            for each in self.running
        )
        return f"<table>{rows}</table>"


def _shown(stats: PoolStats, name: str) -> str:
    value = getattr(stats, name)
    if name.startswith("bytes") or name == "peak_pss":
        return human_bytes(value)
    return f"{value:.1f} s" if name == "seconds" else f"{value:,}"


# The module in which the reference has them, and a pickle finds them.
Running.__module__ = PoolStats.__module__ = "onecopy.pool"


def stats_of(engine: Engine) -> PoolStats:
    """Return the snapshot."""
    sent, received, copied, shared = engine.traffic()
    lives = engine.worker_history()
    return PoolStats(
        tasks=engine.core.tasks_ended,
        failed=engine.history.recorder.failed,
        lost=engine.history.recorder.lost,
        bytes_sent=sent,
        bytes_received=received,
        bytes_copied=copied,
        bytes_shared=shared,
        workers=engine.core.ready(),
        started=len(lives),
        seconds=(monotonic_ns() - engine.history.began) / 1e9,
        peak_pss=_peak(engine),
        running=running(engine, {life[0]: life[1] for life in lives}),
    )


def _peak(engine: Engine) -> int:
    watch = engine.history.watch
    here = watch.series.peak_pss if watch is not None else 0
    return here + engine.history.peak_elsewhere()


def running(engine: Engine, pids: dict[int, int]) -> tuple[Running, ...]:
    """Return the workers' present work; ``pids``: by the worker's number."""
    now = monotonic_ns()
    hosts = engine.history.hosts()
    found = [
        running_of(
            entry,
            entry.worker,
            0 if entry.worker in hosts else pids.get(entry.worker, 0),
            max(0, now - since),
            hosts.get(entry.worker, ""),
        )
        for entry, since in engine.core.heads()
    ]
    return tuple(sorted(found, key=lambda each: each.worker))


def running_of(entry: Entry, worker: int, pid: int, nanoseconds: int, host: str) -> Running:
    """Return what a worker has been at for so long; ``worker`` and ``pid``: how it is called where it
    is, on ``host``."""
    at = entry.assignment
    return Running(
        worker=worker,
        pid=pid,
        function=entry.work.name,
        method=entry.work.called,
        task=at.work,
        start=at.start,
        stop=at.stop,
        seconds=nanoseconds / 1e9,
        host=host,
    )


NOTHING_YET = PoolStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0)
"""Of an executor that has no workers yet."""
