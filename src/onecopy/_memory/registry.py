"""The registry of this process's shared memory: one table from addresses to segments.

The codec looks up every buffer that it meets: is this address in a known segment, and at which
offset? The registry also finds segments by id, so that one that comes back is recognised, and tells
its listeners (the pools) when a segment's last view in this process has gone. It maps and copies
nothing; see ``segment`` for that.

Concurrency. Lookups take no lock: they read one tuple of two lists that is replaced, never changed.
Changes take ``_lock``. Views die in any thread at any time, also inside a locked section of the
very same thread when the garbage collector runs there, so their death only appends to ``_dead``
(atomic) and then *tries* the lock: the thread that holds it empties ``_dead`` before and after
releasing it. A finalizer never waits for a lock, so none can deadlock.
"""

from __future__ import annotations

import os
import threading
import weakref
from bisect import bisect_right
from collections import deque
from typing import Generic, Protocol, TypeVar

from .._system import forking


class Listener(Protocol):
    """A listener: notified when the last view of a segment in this process has gone."""

    def segment_gone(self, segment_id: int) -> None:
        """Handle a segment's end. Runs in a finalizer: it must not wait for a lock, nor raise."""

    def segment_frozen(self, segment_id: int) -> None:
        """Make sure that no process that this listener speaks for can write to it any more. May
        block."""


class Registered(Protocol):
    """A segment, as the table sees it."""

    id: int

    def freeze(self) -> None:
        """Make the segment read-only in this process."""

    def unmapped(self, address: int) -> None:
        """End the mapping: its last view has gone."""

    def after_fork(self) -> None:
        """Reset the state in a forked child."""


S = TypeVar("S", bound=Registered)


class Registry(Generic[S]):
    """Address to segment, id to segment, and notice of ended ones; see the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: tuple[list[int], list[tuple[int, S]]] = ([], [])
        self._dead: deque[tuple[int, S]] = deque()
        self.by_id: weakref.WeakValueDictionary[int, S] = weakref.WeakValueDictionary()
        self.listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._nonce = 0
        self._made = 0
        self._after_fork()
        forking.in_child(self._after_fork)

    def _after_fork(self) -> None:
        # A fork may have happened while another thread held the lock. Ids must not be those that
        # the parent will give out.
        self._lock = threading.Lock()
        self.listeners = weakref.WeakSet()
        for segment in list(self.by_id.values()):
            segment.after_fork()
        self._nonce = int.from_bytes(os.urandom(5), "little") << 24

    def new_id(self) -> int:
        """Return an id that no other process gives to a segment (40 random bits and a count)."""
        self._made += 1
        return self._nonce + self._made

    def freeze(self, segment_id: int) -> None:
        """Make the segment read-only in this process, if it has it."""
        segment = self.by_id.get(segment_id)
        if segment is not None:
            segment.freeze()

    def find(self, address: int) -> tuple[S, int] | None:
        """Return the segment that contains ``address``, and the offset there; no lock, no wait."""
        starts, entries = self._table
        at = bisect_right(starts, address) - 1
        if at < 0:
            return None
        end, segment = entries[at]
        return (segment, address - starts[at]) if address < end else None

    def add(self, start: int, end: int, segment: S) -> None:
        """Add a mapping of ``segment`` at ``start``."""
        with self._lock:
            self._bury()
            starts, entries = self._table
            at = bisect_right(starts, start)
            self._table = (
                [*starts[:at], start, *starts[at:]],
                [*entries[:at], (end, segment), *entries[at:]],
            )
        self._settle()

    def died(self, start: int, segment: S) -> None:
        """Note that the last view of the mapping at ``start`` has gone. Called by finalizers."""
        self._dead.append((start, segment))
        self._settle()

    def _settle(self) -> None:
        while self._dead and self._lock.acquire(blocking=False):
            try:
                self._bury()
            finally:
                self._lock.release()

    def _bury(self) -> None:
        """Forget and unmap what has died. The address is removed from the table first: once
        unmapped, the system may reuse it."""
        while self._dead:
            start, segment = self._dead.popleft()
            starts, entries = self._table
            at = bisect_right(starts, start) - 1
            if at >= 0 and starts[at] == start:
                self._table = (starts[:at] + starts[at + 1 :], entries[:at] + entries[at + 1 :])
            segment.unmapped(start)
            self.announce_gone(segment.id)

    def announce_gone(self, segment_id: int) -> None:
        """Tell the listeners that there is no view of the segment here; from finalizers."""
        for listener in list(self.listeners):
            listener.segment_gone(segment_id)

    def mapped(self) -> list[S]:
        """Return the segments that have a view in this process, in order of address."""
        return [segment for _, segment in self._table[1]]
