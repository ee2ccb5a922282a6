"""Hosts that are made up within the driver's process: what the driver itself can give out.

Each answers every task at once with the same result, so all of the time is the driver's.
"""

from __future__ import annotations

import queue
import threading
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
    """A ``Carrier``; each host has a thread that answers, as other carriers have one that reads."""

    local = True

    def __init__(self, hosts: int, each: int) -> None:
        self.workers = hosts * each
        self._each = each
        self._inboxes: dict[int, queue.SimpleQueue[list[Item]]] = {
            key: queue.SimpleQueue() for key in range(1, hosts + 1)
        }
        self._threads: list[threading.Thread] = []

    def open(self, events: Events, preparation: Preparation) -> None:
        """See ``Carrier``."""
        for key in self._inboxes:
            events.came(HostInfo(key, f"fake-{key}", self._each))
            thread = threading.Thread(target=self._answer, args=(events, key), daemon=True)
            thread.start()
            self._threads.append(thread)

    def send(self, key: int, items: list[Item]) -> int:
        """See ``Carrier``."""
        self._inboxes[key].put(items)
        return 0

    def bulk(self, key: int) -> None:
        """See ``Carrier``."""

    def end(self, key: int) -> None:
        """See ``Carrier``."""
        self._inboxes[key].put([("terminate",)])

    def close(self) -> None:
        """See ``Carrier``."""
        for key in self._inboxes:
            self.end(key)
        for thread in self._threads:
            thread.join()

    def after_fork(self) -> None:
        """See ``Carrier``."""

    def _answer(self, events: Events, key: int) -> None:
        while True:
            answers: list[Item] = []
            for name, *values in self._inboxes[key].get():
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
                elif name in ("close", "terminate", "kill"):
                    events.left(key, "")
                    return
            if answers:
                events.received(key, answers)
