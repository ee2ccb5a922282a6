"""The engine of a pool, as its doors and reports see it.

``ProcessEngine`` (``processes``) and ``ThreadEngine`` (``threads``) are made of the same parts:
the table (``core``), what comes in (``submission``), what comes out (``outcomes``), how it ends
(``lifetime``) and what is kept for reports (``history``).
"""

from __future__ import annotations

import signal
from typing import Protocol

from .core import Core
from .history import History, WorkerRow
from .options import Options
from .submission import Submission

UNSENDABLE = (
    "a pool belongs to the process that made it and cannot be pickled; a task makes its own"
)


class Engine(Protocol):
    """See the module. All of it may be used in any thread.

    Attributes:
        options: what the pool was asked to be.
        core: the pool's table.
        submission: takes in calls and jobs.
        history: records for reports.
    """

    options: Options
    core: Core
    submission: Submission
    history: History

    def close(self) -> None:
        """No more work; the workers go when all is done."""

    def terminate(self) -> None:
        """End the workers now; what was not finished fails with PoolClosed."""

    def kill(self, how: signal.Signals) -> None:
        """End the workers by a signal, now: what was not finished fails with BrokenWorker."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every worker has gone; False when the time (seconds) ran out first."""

    def release(self) -> None:
        """Called when the pool is garbage-collected, possibly while this thread holds one of
        the engine's locks: only leaves word. An executor then finishes its work first."""

    def pids(self) -> list[int]:
        """The worker processes that have been made, as far as their pids are known."""

    def traffic(self) -> tuple[int, int, int, int]:
        """Bytes sent, received, copied into arenas, and passed by reference, so far."""

    def worker_history(self) -> list[WorkerRow]:
        """Every worker so far; the oldest ones left out when there were very many."""

    def owner_cpu(self) -> float:
        """Seconds of CPU time that the pool's own thread has used, when it has one."""
