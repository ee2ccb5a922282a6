"""A worker process as the owner knows it: its channel, where it is in its life, its limits.

Made and ended by ``workers``, in the driver thread. Any thread may ``post`` and ``flush``; what
is read from the worker's socket, and what follows from it, belongs to the thread that holds
``receiving``: the driver, or a caller who waits for one result (see ``receiver``).
"""

from __future__ import annotations

import threading
from enum import Enum, auto
from time import monotonic_ns

from .._protocol import wire
from .channel import Channel
from .functions import Function
from .history import WorkerRow
from .work import Entry


class WorkerState(Enum):
    """The life of a worker process. Its exit code is known after the last of them."""

    STARTING = auto()  # the launcher was asked for it
    READY = auto()  # it has said so
    ENDED = auto()  # its socket is at its end, or it broke the protocol


class WorkerHandle:
    """See the module; a ``ReadyWorker`` of the table.

    Attributes:
        number: the worker's number in this pool; the first is 1.
        slot: of its claims.
        channel: its socket.
        receiving: held by the thread that reads the socket.
        pid: 0 until it is known.
        born, since, last: when it was asked for, was ready (0 before), and had done the last
            thing that is known of it; nanoseconds.
        watched: the driver waits for its socket.
        muted: its socket is not read until what it has said is dispatched.
        orphan: the zygote that made it is gone.
        broken: what it wrote that made no sense; empty when all of it did.
        pauses: how often it was told to begin with nothing more.
        verdict: why the owner ends it, if it does.
        claimed: what it counts as being at when the owner ends it; None: what its claim says.
    """

    __slots__ = (
        "born",
        "broken",
        "channel",
        "claimed",
        "last",
        "muted",
        "number",
        "orphan",
        "pauses",
        "pid",
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
        self.receiving = threading.Lock()
        self.state = WorkerState.STARTING
        self.pid = 0
        self.born = monotonic_ns()
        self.since = 0
        self.last = 0
        self.watched = False
        self.muted = False
        self.orphan = False
        self.broken = ""
        self.pauses = 0
        self.verdict: BaseException | None = None
        self.claimed: int | None = None

    @property
    def fd(self) -> int:
        """Of the socket, also when that is closed."""
        return self.channel.fd

    @property
    def ended(self) -> bool:
        return self.state is WorkerState.ENDED

    @property
    def sent(self) -> tuple[int, float]:
        """The last limited assignment that was sent, and when (``monotonic``, seconds)."""
        return self.channel.sent

    def post(self, entry: Entry | bytes | Function) -> None:
        """Put an assignment, a ready-made frame or the initializer behind the others."""
        self.channel.post(entry)

    def flush(self) -> None:
        """Send what was posted, as far as the socket takes it."""
        self.channel.flush()

    def retire(self) -> None:
        """End the worker when it has done what was posted before."""
        self.channel.post(wire.pack(wire.STOP))

    def forget_function(self, function_id: int) -> None:
        """No more tasks with this function will come."""
        self.channel.forget_function(function_id)

    def resume(self, taken_back: list[int], cut: tuple[int, int] | None = None) -> None:
        """The worker may start tasks again, except these, which were taken back.

        Args:
            taken_back: assignments.
            cut: the chunk that it is at, and the item that it ends before.
        """
        if cut is not None:
            assignment, upto = cut
            self.channel.post(wire.pack(wire.CUT, wire.ID.pack(upto), id=assignment))
        body = b"".join(map(wire.ID.pack, taken_back))
        kind = wire.SKIP if taken_back else wire.CONTINUE
        self.channel.post(wire.pack(kind, body, id=self.pauses))

    def ready_now(self, pid: int, since: int) -> None:
        """The worker has said that it is ready."""
        self.pid, self.since, self.last = pid, since, since
        self.state = WorkerState.READY

    def end(self) -> None:
        """Its socket is at its end: nothing is sent any more."""
        self.state = WorkerState.ENDED
        self.channel.ended = True

    def row(self, gone: int) -> WorkerRow:
        """The worker as ``columns.WORKER``; ``gone``: when it was, 0 while it is there."""
        return self.number, self.pid, self.born, self.since, gone, self.last
