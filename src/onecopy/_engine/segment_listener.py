"""Messages to workers about shared segments: one is gone in the owner, or is frozen.

``segment_gone`` is called in finalizers, ``segment_frozen`` by any thread, which waits; the driver
thread carries out both (``tell_workers``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .._protocol import wire
from .freezer import Freezes
from .workers import Workers


class SegmentListener:
    """A ``registry.Listener``; see the module.

    Args:
        freezes: the freezes in progress.
        wake: wakes the driver; safe in finalizers.

    Attributes:
        may_wait: returns False in a thread that handles the workers' answers.
    """

    def __init__(self, freezes: Freezes, wake: Callable[[], None]) -> None:
        self._freezes = freezes
        self._wake = wake
        self.may_wait: Callable[[], bool] = lambda: True  # there is no such thread yet
        self._gone: deque[int] = deque()

    def segment_gone(self, segment_id: int) -> None:
        """Note the segment. Inside a finalizer: only appends to a queue."""
        self._gone.append(segment_id)
        self._wake()

    def segment_frozen(self, segment_id: int) -> None:
        """Make every worker that may know the segment replace its mapping; wait for all of them.

        Raises RuntimeError in a thread that handles the workers' answers.
        """
        if not self.may_wait():
            raise RuntimeError("freeze waits for the workers: not from a future's callback")
        self._freezes.ask(segment_id)

    def tell_workers(self, workers: Workers) -> None:
        """Tell the workers what to forget and what to freeze."""
        for segment in self._freezes.take():
            self._freeze(segment, workers)
        while self._gone:
            segment = self._gone.popleft()
            for worker in list(workers.by_number.values()):
                if not worker.ended and worker.channel.link.retire(segment):
                    worker.post(wire.pack(wire.FORGET, id=segment))
                    worker.flush()

    def _freeze(self, segment: int, workers: Workers) -> None:
        """Freeze a segment, in the thread that starts the workers; see ``freezer``."""
        inherited = workers.source.freeze(segment)
        told = [
            worker
            for worker in workers.by_fd.values()
            if inherited or worker.channel.link.knows(segment)
        ]
        awaited = {worker.number for worker in told} | ({0} if inherited else set())
        self._freezes.await_answers(segment, awaited)
        for worker in told:
            worker.post(wire.pack(wire.FREEZE, id=segment))
            worker.flush()
