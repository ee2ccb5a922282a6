"""Time and memory limits of running tasks: when to check them, and which were broken.

Runs in the driver thread, except ``add`` and ``remove``, which are called with the engine's lock
held and are single dict operations. A limited task is the only one that its worker holds
(``Constraints.alone``), so its time begins when it is sent.

Memory. RSS counts shared data too, so it kills workers that are within their limit
(distributed#6232, ray#4713). So does USS: a page of shared data that no other process has touched,
such as a mapped file's, counts as the worker's own. The limit is on what the worker alone has
written, outside of shared mappings (``procfs.mappings``); pages that a fork shares with its parent
do not count. Reading that takes about 20 ms per GB mapped, so the anonymous part of RSS, which is
never less and costs microseconds, is read first.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Protocol

from .. import errors
from .._system import procfs
from .rules import Rules

# Seconds between two checks of memory. A process that writes to fresh pages as fast as it can gets
# about 50 MB further in that time.
_LOOK = 0.02
# A check may take this share of the time between two checks.
_SHARE = 0.05
# Seconds after which a check is made at the latest: waits longer than 24 days are not possible.
_SELDOM = 3600.0


class Guarded(Protocol):
    """The attributes of a worker that this module reads."""

    pid: int
    sent: tuple[int, float]
    """The last limited assignment that was sent, and when."""


class _Limit:
    __slots__ = ("ask", "channel", "inherited", "look", "rules", "task")

    def __init__(self, channel: Guarded, rules: Rules, task: str) -> None:
        self.channel = channel
        self.rules = rules
        self.task = task
        self.look = 0.0
        self.ask = 0.0
        self.inherited = 0


Breach = tuple[int, Guarded, BaseException]
"""An assignment that has broken a limit, its worker, and the error to fail it with."""


class Limits:
    """See the module."""

    def __init__(self) -> None:
        self._limits: dict[int, _Limit] = {}

    def add(self, assignment: int, channel: Guarded, rules: Rules, task: str) -> None:
        """Add an assignment that is on its way to this worker."""
        self._limits[assignment] = _Limit(channel, rules, task)

    def remove(self, assignment: int) -> None:
        """Remove an assignment that has ended."""
        self._limits.pop(assignment, None)

    def look(self) -> tuple[list[Breach], float | None]:
        """Return the limits that were broken, and in how many seconds to check again."""
        if not self._limits:
            return [], None
        breaches: list[Breach] = []
        nexts: list[float] = []
        for assignment, limit in list(self._limits.items()):
            sent, since = limit.channel.sent
            if sent != assignment:
                nexts.append(monotonic() + _LOOK)  # its arguments are being copied
                continue
            error = self._broken(limit, since)
            if error is None:
                nexts.extend(_times(limit, since))
            else:
                self.remove(assignment)
                breaches.append((assignment, limit.channel, error))
        if not nexts:
            return breaches, None
        return breaches, min(max(0.0, min(nexts) - monotonic()), _SELDOM)

    def _broken(self, limit: _Limit, since: float) -> BaseException | None:
        timeout, most = limit.rules.timeout, limit.rules.memory_limit
        now = monotonic()
        if timeout is not None and now >= since + timeout:
            return errors.TaskTimeout(limit.task, timeout)
        if most is None or now < limit.look:
            return None
        limit.look = now + _LOOK
        pid = limit.channel.pid
        anonymous = procfs.anonymous(pid)
        # Inherited memory is the worker's own only where it has written to it. The last reading is
        # good for the next checks, but not for ever: the longer, the more it cost.
        if anonymous < most or (anonymous - limit.inherited < most and now < limit.ask):
            return None
        found = procfs.mappings(pid)
        own = found.own if found is not None else 0  # it is gone
        if own >= most:
            return errors.WorkerOutOfMemory(pid, limit=most, task=limit.task, memory=own)
        limit.inherited = anonymous - own
        limit.ask = monotonic() + max(_LOOK, (monotonic() - now) / _SHARE)
        return None


def _times(limit: _Limit, since: float) -> Iterator[float]:
    if limit.rules.timeout is not None:
        yield since + limit.rules.timeout
    if limit.rules.memory_limit is not None:
        yield limit.look
