"""Freezing an open array in every worker: which workers were told, and which have answered.

``freeze`` is called in any thread and waits. The driver thread tells the workers, because it also
starts them: first the zygote, then every existing worker. So a worker either is told, or was forked
from a zygote that can no longer write.

The lock is a leaf: nothing is called while it is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .._system.interrupts import Event


class _Freeze:
    """One segment that is being frozen."""

    def __init__(self) -> None:
        self.waits: set[int] = set()  # workers by number; 0 is the zygote
        self.told = False  # ``waits`` is complete
        self.callers: list[Event] = []


class Freezes:
    """See the module.

    Args:
        wake: makes the driver thread call ``take``.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._asked: list[tuple[int, Event]] = []
        self._under_way: dict[int, _Freeze] = {}
        self._over = False

    def ask(self, segment: int) -> None:
        """Block until no worker can write to the segment; not in the driver thread."""
        done = Event()
        with self._lock:
            if self._over:
                return
            self._asked.append((segment, done))
        self._wake()
        done.wait()

    def take(self) -> set[int]:
        """Return the segments that workers must be told of now, after ``await_answers``."""
        with self._lock:
            asked, self._asked = self._asked, []
            for segment, done in asked:
                freeze = self._under_way.setdefault(segment, _Freeze())
                freeze.callers.append(done)
                freeze.told = False
        return {segment for segment, _ in asked}

    def await_answers(self, segment: int, workers: set[int]) -> None:
        """Note the workers that will be told; each will answer or end. Called before they are told:
        the thread that reads their sockets may have the answer at once."""
        with self._lock:
            freeze = self._under_way[segment]
            freeze.waits |= workers
            freeze.told = True
            self._release()

    def answered(self, segment: int, worker: int) -> None:
        """Note that ``worker`` cannot write to the segment any more."""
        with self._lock:
            if segment in self._under_way:
                self._under_way[segment].waits.discard(worker)
                self._release()

    def gone(self, worker: int) -> None:
        """Note that ``worker`` has ended: it writes to nothing."""
        with self._lock:
            for freeze in self._under_way.values():
                freeze.waits.discard(worker)
            self._release()

    def end(self) -> None:
        """Release all that wait: there are no workers any more, and will be none."""
        with self._lock:
            self._over = True
            for freeze in self._under_way.values():
                freeze.waits.clear()
                freeze.told = True
            self._release()
            for _, done in self._asked:
                done.set()

    def _release(self) -> None:
        for segment, freeze in list(self._under_way.items()):
            if freeze.told and not freeze.waits:
                del self._under_way[segment]
                for done in freeze.callers:
                    done.set()
