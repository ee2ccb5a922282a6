"""Another machine's clock, as read on this one.

``monotonic_ns`` counts from the machine's start. A host's times are put on the driver's clock by the
round trip that was shortest (Cristian, "Probabilistic clock synchronization", 1989): they are right to within
half of it. Later round trips replace earlier ones after a while, since clocks drift.
"""

from __future__ import annotations

from collections import deque

from .._protocol.wire import TIMES

_KEPT = 8


class Clock:
    """See the module. Times are nanoseconds.

    Attributes:
        offset: to add to the host's times; 0 until it is known, and for a host of this machine.
        error: by how much times may be wrong, at most; 0 as for ``offset``.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.error = 0
        self._trips: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def answered(self, sent: int, theirs: int, received: int) -> None:
        """Note a round trip: sent and received by this clock, and the host's time in between."""
        self._trips.append((received - sent, (sent + received) // 2 - theirs))
        took, self.offset = min(self._trips)
        self.error = took // 2

    def here(self, time: int) -> int:
        """Return a host's time by this clock; 0, which stands for none, stays 0."""
        return time + self.offset if time else 0

    def spent(self, spent: bytes) -> bytes:
        """Return a worker's measurements (``wire.SPENT``) with their times by this clock."""
        if not self.offset:
            return spent
        times = TIMES.unpack_from(spent)
        return TIMES.pack(*map(self.here, times)) + spent[TIMES.size :]
