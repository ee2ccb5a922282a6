"""The engine of a pool, as its doors and reports see it.

``ProcessEngine`` (``processes``) and ``ThreadEngine`` (``threads``) are built of the same parts:
the table (``core``), incoming work (``submission``), results (``outcomes``), the pool's end
(``lifetime``) and records for reports (``history``).
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


def unheld(engine: Engine) -> None:
    """End the engine of a pool without references; that of an executor finishes its work first."""
    if engine.options.executor:
        engine.close()
    else:
        engine.terminate()


class Engine(Protocol):
    """See the module. Any thread may use all of it.

    Attributes:
        options: the pool's settings.
        core: the pool's table.
        submission: takes in calls and jobs.
        history: records for reports.
    """

    options: Options
    core: Core
    submission: Submission
    history: History

    def close(self) -> None:
        """Take no more work; the workers exit when all is done."""

    def terminate(self) -> None:
        """End the workers now; unfinished work fails with PoolClosed."""

    def kill(self, how: signal.Signals) -> None:
        """Kill the workers with a signal, now: unfinished work fails with BrokenWorker."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every worker has gone; return False if the time (seconds) ran out first."""

    def release(self) -> None:
        """Called when the pool is garbage-collected, possibly while this thread holds one of the
        engine's locks: only sets a flag. An executor then finishes its work first."""

    def pids(self) -> list[int]:
        """Return the worker processes that have been started, as far as their pids are known."""

    def traffic(self) -> tuple[int, int, int, int]:
        """Return bytes sent, received, copied into arenas, and passed by reference, so far."""

    def worker_history(self) -> list[WorkerRow]:
        """Return every worker so far; if there were very many, without the oldest."""

    def owner_cpu(self) -> float:
        """Return the CPU seconds that the pool's own thread has used, if it has one."""
