"""The diary of the owner: its activities while workers wait for it, over time.

Some stretches are long and few, such as a slow callback; some are short and many, such as the
pickling of a million small arguments. Both are kept as sums in slots of equal width: if the slots
are full, every two neighbours become one. So memory is bounded, the sums are exact, and only
resolution is lost: a slot is never wider than a 2,048th of the run.

Threads. Any may ``add``. The lock is only ever tried: a finalizer or a signal handler that runs
while it is held loses its stretch, and does not wait.
"""

from __future__ import annotations

import threading
from array import array
from time import monotonic_ns
from types import TracebackType

from .columns import OWNER_DOES

PACKING, ITERABLE, CALLBACKS, HANDLERS, RESULTS = range(len(OWNER_DOES))
# Shorter stretches of single tasks, in nanoseconds, are not recorded: there are very many of them,
# and if they add up, tasks are too small.
WORTH = 50_000
_SLOTS = 4096
_WIDTH = 1 << 18  # a quarter of a millisecond, until the slots are full


class Diary:
    """See the module.

    Args:
        began: when the pool was made, in nanoseconds.

    Attributes:
        last: when the last activity after a task ended.
    """

    def __init__(self, began: int) -> None:
        self._began = began
        self.last: int = began
        self._width = _WIDTH
        self._sums = [array("q", bytes(8 * _SLOTS)) for _ in OWNER_DOES]
        self._lock = threading.Lock()

    def add(self, kind: int, begin: int, end: int) -> None:
        """Record an activity of the owner, from ``begin`` to ``end``."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            while end - self._began >= self._width * _SLOTS:
                self._widen()
            if kind >= CALLBACKS:
                self.last = max(self.last, end)
            begin, end, width = begin - self._began, end - self._began, self._width
            sums = self._sums[kind]
            first, last = begin // width, end // width
            if first == last:
                sums[first] += end - begin
                return
            sums[first] += (first + 1) * width - begin
            for slot in range(first + 1, last):
                sums[slot] += width
            sums[last] += end - last * width
        finally:
            self._lock.release()

    def at(self, kind: int) -> Doing:
        """``with diary.at(kind):`` records what is done inside."""
        return Doing(self, kind)

    def rows(self) -> list[tuple[int, ...]]:
        """Return the slots so far, as ``columns.DIARY``."""
        with self._lock:
            width, sums = self._width, [list(each) for each in self._sums]
        used = max((at for each in sums for at, value in enumerate(each) if value), default=-1)
        return [
            (self._began + at * width, *(each[at] for each in sums))
            for at in range(min(used + 2, _SLOTS))
        ]

    @property
    def width(self) -> int:
        """Return the width of a slot, in nanoseconds."""
        return self._width

    def _widen(self) -> None:
        """Join every two neighbours. With the lock held."""
        self._width *= 2
        for kind, sums in enumerate(self._sums):
            pairs = array("q", (sums[at] + sums[at + 1] for at in range(0, _SLOTS, 2)))
            self._sums[kind] = pairs + array("q", bytes(8 * (_SLOTS - len(pairs))))


class Doing:
    """See ``Diary.at``."""

    __slots__ = ("_began", "_diary", "_kind")

    def __init__(self, diary: Diary, kind: int) -> None:
        self._diary = diary
        self._kind = kind

    def __enter__(self) -> None:
        self._began = monotonic_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._diary.add(self._kind, self._began, monotonic_ns())
