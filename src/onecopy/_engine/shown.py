"""The pool's present state, for ``onecopy top`` in another process: made when that asks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from .._observe.present import PoolNow, WorkerNow, encode
from .._system.board import new_board
from .engine import Engine
from .stats import running
from .workers import Workers


class Shown:
    """Answers for one pool; see ``_system.board``.

    Args:
        wake: the end of the pipe that wakes the driver.
        present: returns the pool's state.

    Raises:
        OSError: there is no descriptor left.
    """

    def __init__(self, wake: int, present: Callable[[], PoolNow]) -> None:
        self._board = new_board(wake)
        self._present = present

    def show(self) -> None:
        """Answer. In the driver thread."""
        if self._board is not None:
            # Without memory for it the asker gets no answer, and the pool goes on.
            with contextlib.suppress(OSError):
                self._board.write(encode(self._present()))

    def close(self) -> None:
        """Show nothing any more."""
        if self._board is not None:
            self._board.close()


def present(engine: Engine, workers: Workers) -> PoolNow:
    """Return a pool's state."""
    pids = {number: worker.pid for number, worker in list(workers.by_number.items())}
    ended = engine.core.ended_by_worker()
    now = {each.worker: each for each in running(engine, pids)}
    there = [
        WorkerNow(
            number=number,
            pid=pid,
            ready=number in ended,
            tasks=ended.get(number, 0),
            running=now.get(number),
        )
        for number, pid in sorted(pids.items())
        if pid
    ]
    return pool_now(engine, workers.pool, there)


def pool_now(
    engine: Engine, number: int, present: Iterable[WorkerNow], *, elsewhere: bool = False
) -> PoolNow:
    """Return a pool's state, with these workers."""
    return PoolNow(
        number=number,
        method=engine.options.method,
        workers=engine.options.workers,
        closed=engine.core.closed,
        tasks=engine.core.tasks_ended,
        failed=engine.history.recorder.failed,
        lost=engine.history.recorder.lost,
        elsewhere=elsewhere,
        present=tuple(present),
    )
