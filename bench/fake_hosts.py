"""Hosts that are made up within the driver's process: what the driver itself can give out.

Each answers every task at once with the same result, so all of the time is the driver's.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from onecopy._cluster.carriers.loopback import Loopback
from onecopy._cluster.interface import Events, HostInfo, Item
from onecopy._codec import codec
from onecopy._codec.parcel import pack
from onecopy._protocol import wire
from onecopy._protocol.preparation import Preparation

# The outcome of a chunk of one item.
_RESULT, _ = pack(codec.encode([0]))
_UNKNOWN = len(wire.SPENT.unpack(bytes(wire.SPENT.size))) - 5


class FakeHosts(Loopback):
    """Such hosts, for ``Pool(cluster=...)``, in place of made-up ones that are processes."""

    def carrier(self) -> Any:
        """Return what answers for them."""
        return FakeCarrier(self.hosts, self.workers)


class FakeCarrier:
    """A ``Carrier``; one thread answers for all hosts, as one reads from all in other carriers."""

    local = True

    def __init__(self, hosts: int, each: int) -> None:
        self.workers = hosts * each
        self._hosts = range(1, hosts + 1)
        self._each = each
        self._inbox: queue.SimpleQueue[tuple[int, list[Item]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self, events: Events, preparation: Preparation) -> None:
        """See ``Carrier``."""
        for key in self._hosts:
            events.came(HostInfo(key, f"fake-{key}", self._each))
        self._thread = threading.Thread(target=self._answer, args=(events,), daemon=True)
        self._thread.start()

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        """See ``Carrier``."""
        self._inbox.put((key, items))
        return 0

    def bulk(self, key: int) -> None:
        """See ``Carrier``."""

    def link(self, reader: int, source: int) -> bool:
        """See ``Carrier``."""
        return False

    def end(self, key: int) -> None:
        """See ``Carrier``."""
        self._inbox.put((key, [("terminate",)]))

    def close(self) -> None:
        """See ``Carrier``."""
        for key in self._hosts:
            self.end(key)
        if self._thread is not None:
            self._thread.join()

    def after_fork(self) -> None:
        """See ``Carrier``."""

    def _answer(self, events: Events) -> None:
        there = set(self._hosts)
        while there:
            key, items = self._inbox.get()
            answers: list[Item] = []
            for name, *values in items:
                now = monotonic_ns()
                if name == "begin":
                    workers = range(1, self._each + 1)
                    answers += [("worker", (each, each, now, now, 0, now)) for each in workers]
                elif name == "give":
                    spent = wire.SPENT.pack(now, now, now, now + 1, now + 1, *([0] * _UNKNOWN))
                    answers += [
                        ("ended", order.id, (1 + order.id % self._each, 1), spent, 0, _RESULT)
                        for order in values[0]
                    ]
                elif name in ("close", "terminate", "kill") and key in there:
                    there.discard(key)
                    events.left(key, "")
            if answers and key in there:
                events.received(key, answers)
