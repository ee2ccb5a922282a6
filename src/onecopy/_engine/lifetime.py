"""The end of a pool: five verbs, each in one place.

=========  ==========================================================================
close      no more work comes; the workers exit when all is done
terminate  the workers are ended now; unfinished work fails with PoolClosed
cancel     a call, or all that waits, is taken back (``submission``)
drop       the rest of a job is discarded, because its caller has left (``submission``)
fail       the pool is unusable; all that waits fails with the reason
=========  ==========================================================================

Any thread. In a forked child only ``close`` and ``terminate`` do anything: they mark the copy.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import errors
from .._codec.blame import copy_of
from .._system.interrupts import Uninterrupted
from .core import Core, PoolState
from .history import History
from .submission import Submission


class Lifetime:
    """See the module.

    Args:
        core: the pool's table.
        submission: has what finalizers asked for.
        history: its memory sampling stops first.
        stop_workers: ends the workers now.
    """

    def __init__(
        self,
        core: Core,
        submission: Submission,
        history: History,
        stop_workers: Callable[[], None],
    ) -> None:
        self._core = core
        self._submission = submission
        self._history = history
        self._stop_workers = stop_workers
        self._terminated = False

    def close(self) -> None:
        """Take no more work; the workers exit when all is done."""
        if self._core.foreign:
            self._core.state = max(self._core.state, PoolState.CLOSED)
            return  # the workers are the parent's
        with Uninterrupted():
            self._submission.drop_unwanted()
            effects = self._core.close()
            if effects is not None:
                effects.carry_out()

    def terminate(self) -> None:
        """End the workers now; unfinished work fails with PoolClosed."""
        if self._core.foreign:
            self._core.state = max(self._core.state, PoolState.CLOSED)
            return  # the workers are the parent's
        with Uninterrupted():
            self._submission.drop_unwanted()
            if self._terminated:
                return
            self._terminated = True
            # First: nothing begins while memory is read for the last time, which takes a while.
            self._abandon(PoolState.TERMINATED, errors.PoolClosed("the pool was terminated"))
            if self._history.watch is not None:
                self._history.watch.finish()
            self._stop_workers()

    def fail(self, failure: errors.OnecopyError, cause: BaseException | None) -> None:
        """End the pool as unusable: everything that waits fails with ``failure``."""
        failure.__cause__ = cause
        with Uninterrupted():
            self._abandon(PoolState.FAILED, failure)
            self._stop_workers()

    def _abandon(self, state: PoolState, error: errors.OnecopyError) -> None:
        for work in self._core.abandon(state, error):
            work.abandon(copy_of(error))


def no_thread(error: RuntimeError) -> errors.OnecopyError:
    """Return the failure of a pool for which one of its threads cannot be started."""
    return errors.InitializerFailed(
        f"no thread can be started for the pool: {error}; either the interpreter is ending, or "
        "the limit of processes and threads is reached (ulimit -u, pids.max of the cgroup)"
    )
