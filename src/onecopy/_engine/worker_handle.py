"""A worker process as seen by the owner: its channel, its state, its limits.

Created and ended by ``workers``, in the driver thread. Any thread may ``post`` and ``flush``.
Reading the worker's socket, and handling what was read, is done by the thread that holds
``receiving``: the driver, or a caller that waits for one result (see ``receiver``).
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic_ns

from .._protocol import wire
from .._system.interrupts import SLICE
from .channel import Channel, Posted
from .history import WorkerRow


class WorkerState(Enum):
    """The life of a worker process. Its exit code is known after the last of them."""

    STARTING = auto()  # the launcher was asked for it
    READY = auto()  # it has reported that
    ENDED = auto()  # its socket is closed, or it broke the protocol


class WorkerHandle:
    """See the module; a ``ReadyWorker`` of the table.

    Attributes:
        number: the worker's number in this pool; the first is 1.
        slot: the index of its claims.
        channel: its socket; ``post`` and ``flush`` are its own.
        receiving: held by the thread that reads the socket.
        pid: 0 until it is known.
        born, since, last: when it was requested, became ready (0 before), and last did something;
            nanoseconds.
        initializing: when its initializer began; 0 if it has none, or before it is ready.
        watched: the driver waits for its socket.
        muted: its socket is not read until its output is dispatched.
        orphan: the zygote that made it is gone.
        broken: the protocol error that it made; empty if none.
        pauses: how often it was paused.
        verdict: why the owner kills it, if it does.
        claimed: the assignment that it counts as running when the owner kills it; None: its claim.
    """

    __slots__ = (
        "_poll",
        "born",
        "broken",
        "channel",
        "claimed",
        "flush",
        "initializing",
        "last",
        "muted",
        "number",
        "orphan",
        "pauses",
        "pid",
        "post",
        "receiving",
        "since",
        "slot",
        "state",
        "verdict",
        "watched",
    )

    def __init__(self, number: int, slot: int, channel: Channel) -> None:
        self.number = number
        self.slot = slot
        self.channel = channel
        # Bound once: they are called for each task.
        self.post: Callable[[Posted], None] = channel.post
        self.flush: Callable[[], None] = channel.flush
        self.receiving = threading.Lock()
        self.state = WorkerState.STARTING
        self.pid = 0
        self.born = monotonic_ns()
        self.since = self.initializing = 0
        self.last = 0
        self.watched = False
        self.muted = False
        self.orphan = False
        self.broken = ""
        self.pauses = 0
        self.verdict: BaseException | None = None
        self.claimed: int | None = None
        self._poll = select.poll()
        self._poll.register(channel.fd, select.POLLIN)

    @property
    def ended(self) -> bool:
        return self.state is WorkerState.ENDED

    @property
    def sent(self) -> tuple[int, float]:
        """The last limited assignment that was sent, and when (``monotonic``, seconds)."""
        return self.channel.sent

    def readable(self) -> bool:
        """Wait, for some time, until the socket can be read; with ``receiving`` held."""
        return bool(self._poll.poll(SLICE * 1000))

    def retire(self) -> None:
        """End the worker after what was posted before."""
        self.channel.post(wire.pack(wire.STOP))

    def forget_function(self, function_id: int) -> None:
        """Tell the worker that no more tasks with this function will come."""
        self.channel.forget_function(function_id)

    def resume(self, taken_back: list[int], cut: tuple[int, int] | None = None) -> None:
        """Let the worker start tasks again, except these, which were taken back.

        Args:
            taken_back: assignments.
            cut: the chunk that it is running, and the item that it stops before.
        """
        if cut is not None:
            assignment, upto = cut
            self.channel.post(wire.pack(wire.CUT, wire.ID.pack(upto), id=assignment))
        body = b"".join(map(wire.ID.pack, taken_back))
        kind = wire.SKIP if taken_back else wire.CONTINUE
        self.channel.post(wire.pack(kind, body, id=self.pauses))

    def ready_now(self, pid: int, since: int, initializing: int) -> None:
        """Note that the worker has reported that it is ready, and when its initializer began."""
        self.pid, self.since, self.last, self.initializing = pid, since, since, initializing
        self.state = WorkerState.READY

    def end(self) -> None:
        """Note that the socket is closed: nothing more is sent."""
        self.state = WorkerState.ENDED
        self.channel.ended = True

    def row(self, gone: int) -> WorkerRow:
        """Return the worker as ``columns.WORKER``; ``gone``: when it ended, 0 while it lives."""
        times = self.born, self.since, gone, self.last, self.initializing
        return self.number, self.pid, *times
