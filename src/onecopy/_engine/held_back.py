"""Tiny tasks that wait for a busy worker although another is idle: not for long.

The scheduler holds them back, since waking a worker costs more than such a task takes. If none of them
was started for a while, because what the busy worker runs was not as short as what came before, idle
workers get them.
"""

from __future__ import annotations

from time import monotonic

from .._schedule import events
from .core import Core

# Seconds that they wait.
_HELD = 0.002


class HeldBack:
    """See the module. The engine's own thread, whenever it wakes.

    Args:
        core: the pool's table.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        # The first task that waits although a worker is idle, and since when.
        self._first = (0, 0.0)

    def give_out(self) -> float | None:
        """Give them to idle workers if none of them was started for a while; return in how many
        seconds to check again."""
        first = self._core.held_back()
        if first is None:
            self._first = (0, 0.0)
            return None
        now = monotonic()
        if first != self._first[0]:
            self._first = first, now
        left = self._first[1] + _HELD - now
        if left > 0:
            return left
        self._core.handle(events.Overdue()).carry_out()
        return self.give_out()
