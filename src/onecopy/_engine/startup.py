"""The number of workers that are still to be started, and when to give up.

Any thread may ask for one more; everything else runs in the driver thread.
"""

from __future__ import annotations

import signal
import threading

from .. import errors

# A pool is unusable if this many workers in a row end before they are ready. A signal sent by an
# operator or by a kernel short of memory is not the initializer's fault and takes many workers at
# once, so such ends count less: this number is needed for each worker.
_FALSE_STARTS = 3
SENT = frozenset({-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT, -signal.SIGHUP})
"""Exit codes of processes that were killed from outside."""


class Startup:
    """See the module.

    Args:
        workers: the number of workers at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._wanted = workers
        self._false_starts = 0.0
        self._ready = 0

    @property
    def wanted(self) -> int:
        """Return how many workers are still to be started."""
        return self._wanted

    def want_another(self) -> None:
        """Ask for one more."""
        with self._lock:
            self._wanted += 1

    def made(self) -> None:
        """Note that one was started."""
        with self._lock:
            self._wanted -= 1

    def want_none(self) -> None:
        """Ask for none: the pool ends."""
        with self._lock:
            self._wanted = 0

    def ended_early(
        self, last: BaseException, *, killed: bool, ready: int
    ) -> errors.InitializerFailed | None:
        """Count a worker, or a zygote with all of its workers, that ended during start-up. Returns
        the pool's failure if it is time to give up, or None.

        Args:
            last: how it ended.
            killed: by a signal from outside.
            ready: how many workers have become ready so far; each resets the count.
        """
        if ready != self._ready:
            self._ready, self._false_starts = ready, 0.0
        # As fractions of what ends the pool: both kinds add up.
        self._false_starts += 1 / (_FALSE_STARTS * (self._workers if killed else 1))
        if self._false_starts <= 1 - 1e-9:
            return None
        why = "no worker became ready: one after the other ended before"
        return errors.InitializerFailed(f"{why}; the last one: {last}")
