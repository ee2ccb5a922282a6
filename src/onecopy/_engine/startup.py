"""How many workers are still to be made, and when to stop trying.

Any thread may ask for one more; all else is in the driver thread.
"""

from __future__ import annotations

import signal
import threading

from .. import errors

# A pool whose workers end this often in a row before they are ready is of no use. Ends by a
# signal that somebody sends (an operator, the kernel short of memory) are no fault of the
# initializer's, and take many workers at once: they count by this many for each worker.
_FALSE_STARTS = 3
SENT = frozenset({-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT, -signal.SIGHUP})
"""Exit codes of what somebody ended by a signal."""


class Startup:
    """See the module.

    Args:
        workers: how many the pool has at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._wanted = workers
        self._false_starts = 0.0
        self._ready = 0

    @property
    def wanted(self) -> int:
        """Workers that are still to be made."""
        return self._wanted

    def want_another(self) -> None:
        """One more is needed."""
        with self._lock:
            self._wanted += 1

    def made(self) -> None:
        """One has been made."""
        with self._lock:
            self._wanted -= 1

    def want_none(self) -> None:
        """The pool ends."""
        with self._lock:
            self._wanted = 0

    def ended_early(
        self, last: BaseException, *, killed: bool, ready: int
    ) -> errors.InitializerFailed | None:
        """A worker, or a zygote with all of its workers, ended during start-up: why to give up,
        or None.

        Args:
            last: how it ended.
            killed: by a signal that somebody sent.
            ready: how many workers have become ready so far: any that has clears the record.
        """
        if ready != self._ready:
            self._ready, self._false_starts = ready, 0.0
        # In parts of what ends the pool: both kinds add up.
        self._false_starts += 1 / (_FALSE_STARTS * (self._workers if killed else 1))
        if self._false_starts <= 1 - 1e-9:
            return None
        why = "no worker became ready: one after the other ended before"
        return errors.InitializerFailed(f"{why}; the last one: {last}")
