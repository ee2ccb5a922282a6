"""The owner's orders to pause, and the parts of the queue that it has taken back.

Two words that both sides map: the worker's claim, and how often the owner has paused it (see
``strides``). The worker writes the first and reads the second before it starts a task; the owner
writes the second, makes every CPU pass a barrier, and reads the first. So either the worker sees
the order, or the owner sees the claim (Dekker's algorithm; the rare side pays for the barrier).
"""

from __future__ import annotations

from collections.abc import Callable

from .._protocol import wire
from .._protocol.strides import CLAIM, MOST, ORDERS, WORDS


class Orders:
    """See the module. The worker's own thread.

    Args:
        look_ahead: read frames until the owner has answered.

    Attributes:
        words: the worker's words.
        released: the last order that was lifted.
    """

    def __init__(self, look_ahead: Callable[[], None]) -> None:
        self.words = memoryview(bytearray(8 * WORDS)).cast("Q")  # replaced by the owner's
        self.released = 0
        self._skipped: set[int] = set()
        self._cuts: dict[int, int] = {}  # where chunks end, by task
        self._look_ahead = look_ahead

    def begin(self, task: int) -> bool:
        """Claim a task; return False if the owner has taken it back."""
        words = self.words
        before, words[CLAIM] = words[CLAIM], task
        while words[ORDERS] > self.released:
            # The owner may be about to kill this process for its last task, or to give this task to
            # another worker: nothing is started until it has said which.
            words[CLAIM] = before
            self._look_ahead()
            words[CLAIM] = task
        self._cuts.clear()
        if task in self._skipped:
            words[CLAIM] = before
            self._skipped.discard(task)
            return False
        return True

    def resume(self, frame: wire.Frame) -> None:
        """Lift an order. The tasks to skip were sent before, and not started."""
        self.released = max(self.released, frame.id)
        self._skipped.update(number for (number,) in wire.ID.iter_unpack(frame.body))

    def cut(self, frame: wire.Frame) -> None:
        """Shorten a chunk."""
        (self._cuts[frame.id],) = wire.ID.unpack(frame.body)

    def wait(self, task: int) -> int:
        """Wait until there is no order; return where the chunk of ``task`` ends."""
        while self.words[ORDERS] > self.released:
            self._look_ahead()
        return self._cuts.pop(task, MOST)
