"""One host as the driver sees it: its slots, its workers, and what it has been sent.

A host with n workers is n workers of the scheduler, which are called slots here: the agent's own
engine decides which of its processes runs what.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from enum import Enum
from itertools import count
from time import monotonic_ns

from .._codec.link import Link
from .._codec.parcel import Parcel
from .._engine.history import WorkerRow
from .._engine.work import Entry
from .._memory.arena import Arena
from .._observe.columns import AGENT, OWNER
from .._observe.series import Row, Series
from .._protocol.versions import Path
from ..errors import NotEnoughMemory
from .clock import Clock
from .inbox import Inbox
from .interface import HostInfo
from .senders import Line, Senders
from .shipping import Shipping


class State(Enum):
    """The life of a host."""

    STARTING = "starting"
    READY = "ready"
    FULL = "full"  # it gets no work until that has ended for which it has no room
    LEAVING = "leaving"  # it is to go: it finishes what it runs, and gets no more
    CLOSING = "closing"  # its workers have been told to end
    GONE = "gone"


@dataclass(frozen=True)
class HostStatus:
    """One host of a pool, as ``Pool.hosts`` returns it.

    Attributes:
        name: its name.
        workers: the number of its workers.
        state: ``"starting"``; ``"ready"``; ``"full"``: it has no room for data of work that has not
            ended yet, and gets none until then; ``"leaving"``: it gets no more work, because its cluster
            retires it; ``"closing"``: its workers end; ``"gone"``.
        pids: its workers' process ids, on that host.
        segments: the number of segments of shared data that it has, or parts of.
        shared: bytes of shared data that it has: one copy, for all its workers.
        shipped: bytes of shared data that were sent to it so far.
        pss: the physical memory of its processes in bytes, at the last reading; 0 before.
        peak_pss: the most that was read.
        clock_error: seconds by which its times in ``spans`` and reports may be wrong, at most.
        why: the reason why it has gone, or is left out; empty otherwise.
    """

    __module__ = "onecopy"

    name: str
    workers: int
    state: str
    pids: tuple[int, ...]
    segments: int
    shared: int
    shipped: int
    pss: int
    peak_pss: int
    clock_error: float
    why: str


class Slot:
    """Room for what one worker of a host runs; a ``ReadyWorker`` of the table."""

    def __init__(self, number: int, host: Host) -> None:
        self.number = number
        self.host = host
        self.last = 0

    def post(self, entry: Entry) -> None:
        """Put an assignment behind the others."""
        self.host.queue.append(entry)

    def retire(self) -> None:
        """The pool is closed and has no more work."""
        self.host.retired()

    def flush(self) -> None:
        """Call a thread that sends what was posted."""
        self.host.queue.flush()

    def forget_function(self, function_id: int) -> None:
        """Tell the host that no more tasks with this function will come."""
        self.host.queue.append(("forget_function", function_id))


class Sent:
    """The things that a host was sent for its workers to keep, as in ``_engine.channel.Contents``.

    Attributes:
        functions: their numbers.
        versions: the number of each variable's value.
        settings: the version of the log settings.
    """

    def __init__(self) -> None:
        self.functions: set[int] = set()
        self.versions: dict[tuple[str, Path], int] = {}
        self.settings = 0


PONG = -1
"""The answer to a ping, among a host's ``answers``."""


class Host:
    """See the module.

    Args:
        info: as its carrier has reported it.
        slots: the numbers of its slots.
        arena: not used for messages; the link needs one.
        files: see ``Shipping``.
        numbers: gives each worker process its number in the pool.
        senders: the threads that send.

    Attributes:
        queue: what is sent to it, in order, once it is opened.
        inbox: what it sends.
        link: the segments that both ends have.
        sent: what workers there need besides segments.
        answers: to what the sending thread waits for: an offered file, by its segment's id, and why it
            was not mapped; an assignment, and the error if there is no room for it; ``PONG``; or 0: the
            host has gone.
        workers: the worker processes, by the agent's numbers.
        last: when each has last sent a result, by the driver's clock.
        why: the reason why it has gone.
        clock: puts its times on the driver's clock.
        traffic: bytes sent, received, copied, and passed by reference.
        values: large values of chunks whose results come next, by assignment and item.
        memory: readings of the memory of its processes, by the driver's clock.
    """

    def __init__(
        self,
        info: HostInfo,
        slots: list[int],
        arena: Arena,
        files: str,
        numbers: count[int],
        senders: Senders,
    ) -> None:
        self.info = info
        self.state = State.STARTING
        self.slots = [Slot(number, self) for number in slots]
        self.queue = Line(senders)
        self.inbox = Inbox()
        self.link = Link(arena, keep=False)
        self.shipping = Shipping(files)
        self.sent = Sent()
        self.answers: queue.SimpleQueue[tuple[int, str | NotEnoughMemory]] = queue.SimpleQueue()
        self.workers: dict[int, WorkerRow] = {}
        self.last: dict[int, int] = {}
        self.why = ""
        self.traffic = [0, 0, 0, 0]
        self.values: dict[int, dict[int, Parcel | NotEnoughMemory]] = {}
        self.clock = Clock()
        self.memory = Series()
        self._numbers = numbers
        self._known: dict[int, int] = {}
        self._left = len(slots)

    @property
    def name(self) -> str:
        return self.info.name

    def lacks(self, what: str, number: int) -> None:
        """Send something again when it is needed: the host had no room for it. The sending thread.

        Args:
            what: ``"segment"``, ``"function"`` or ``"version"``.
            number: its own.
        """
        sent = self.sent
        if what == "segment":
            self.shipping.forget(number)
        elif what == "function":
            sent.functions.discard(number)
        else:
            sent.versions = {key: each for key, each in sent.versions.items() if each != number}

    def number(self, worker: int) -> int:
        """Return the number in the pool of the agent's worker."""
        known = self._known.get(worker)
        if known is None:
            known = self._known[worker] = next(self._numbers)
        return known

    def retired(self) -> None:
        """One more of its slots is not needed any more; after the last one, its workers end. With
        the table's lock held."""
        self._left -= 1
        if not self._left:
            self.state = State.CLOSING
            self.queue.append(("close",))

    def row(self, row: WorkerRow) -> None:
        """Note a worker process that has come, or has gone."""
        number, pid, *times = row
        born, since, gone, last, initializing = map(self.clock.here, times)
        self.workers[number] = self.number(number), pid, born, since, gone, last, initializing

    def read(self, rows: list[Row]) -> None:
        """Note a reading of its memory."""
        placed = []
        for time, pid, worker, *figures in rows:
            number = self.number(worker) if worker > 0 else AGENT if worker == OWNER else worker
            placed.append((self.clock.here(time), pid, number, *figures))
        self.memory.add(placed)

    def lost(self, why: str) -> None:
        """Note that the host has gone, and its workers with it; ``why`` is empty if that was to
        be."""
        self.state, self.why = State.GONE, why
        now = monotonic_ns()
        for number, row in list(self.workers.items()):
            worker, pid, born, since, gone, last, initializing = row
            self.workers[number] = worker, pid, born, since, gone or now, last, initializing
        self.inbox.close()
        self.values.clear()
        self.answers.put((0, why))
        self.queue.flush()

    def rows(self) -> list[WorkerRow]:
        """Return its workers so far, each with the time of its last known event."""
        return [
            (*row[:5], max(row[5], self.last.get(number, 0)), row[6])
            for number, row in list(self.workers.items())
        ]

    def pids(self) -> list[int]:
        """Return the processes of the workers that are there."""
        return [row[1] for row in list(self.workers.values()) if row[1] and not row[4]]

    def status(self) -> HostStatus:
        """Return what ``Pool.hosts`` reports."""
        return HostStatus(
            name=self.name,
            workers=len(self.slots),
            state=self.state.value,
            pids=tuple(self.pids()),
            segments=self.shipping.count(),
            shared=self.shipping.nbytes(),
            shipped=self.shipping.shipped,
            pss=self.memory.pss if self.state is not State.GONE else 0,
            peak_pss=self.memory.peak_pss,
            clock_error=self.clock.error / 1e9,
            why=self.why,
        )
