"""The effects of a change in the table of a pool, and a worker as the table sees it.

``core`` has the table; engines carry the effects out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .rules import Rules
from .work import Entry

Deferred = Callable[[], None]


class ReadyWorker(Protocol):
    """A worker that can be given work, as the table sees it."""

    number: int
    last: int
    """The time of its last known event; nanoseconds."""

    def post(self, entry: Entry) -> None:
        """With the lock held: put an assignment behind the others."""

    def retire(self) -> None:
        """With the lock held: end the worker after what was posted before."""

    def flush(self) -> None:
        """Without the lock: send what was posted."""

    def forget_function(self, function_id: int) -> None:
        """With the lock held: no more work with this function will be posted."""


class Limited(Protocol):
    """Keeps the limits of assignments; see ``limits``."""

    def add(self, assignment: int, worker: Any, rules: Rules, task: str) -> None: ...

    def remove(self, assignment: int) -> None: ...


class Effects:
    """Actions to carry out, without the lock, after a change of the table.

    Attributes:
        workers: the workers with something to send, by number.
        deferred: called after that was sent, in this order.
    """

    __slots__ = ("deferred", "workers")

    def __init__(self) -> None:
        self.workers: dict[int, ReadyWorker] = {}
        self.deferred: list[Deferred] = []

    def then(self, others: Effects) -> Effects:
        """Return these together with ``others``, which are of a later change."""
        others.workers = {**self.workers, **others.workers}
        others.deferred[:0] = self.deferred
        return others

    def carry_out(self) -> None:
        """Send what was posted, then call what was deferred. Without the lock."""
        for worker in self.workers.values():
            worker.flush()
        for act in self.deferred:
            act()
