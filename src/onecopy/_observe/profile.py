"""Sampled stacks of a pool's workers, merged, in bounded memory."""

from __future__ import annotations

import threading

Place = tuple[str, str, int]
"""A function's qualified name, its file, and a line."""
Stack = tuple[str, tuple[Place, ...], int]
"""A task's function, the stack from there on inwards, and nanoseconds in it."""

_MOST = 20_000


class Profile:
    """See the module. Any thread."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, tuple[Place, ...]], int] = {}
        self._lock = threading.Lock()

    def add(self, seen: list[Stack]) -> None:
        """What one worker has seen."""
        with self._lock:
            for function, stack, spent in seen:
                key = (function, stack)
                if key not in self._spent and len(self._spent) >= _MOST:
                    key = (function, ())
                self._spent[key] = self._spent.get(key, 0) + spent

    def all(self) -> list[Stack]:
        """The stacks, those first in which most time was spent."""
        with self._lock:
            found = [(*key, spent) for key, spent in self._spent.items()]
        return sorted(found, key=lambda stack: -stack[2])
