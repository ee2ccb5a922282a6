"""A host of another machine: its clock is known before it is asked to do anything."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

import onecopy as oc
from onecopy._cluster.carriers.loopback import Loopback
from onecopy._cluster.engine import PINGS
from onecopy._cluster.interface import Events, HostInfo, Item
from onecopy._protocol.preparation import Preparation

_LATER = 3600 * 10**9
"""Nanoseconds by which the host's clock is ahead."""


class Elsewhere(Loopback):
    """One host within this process, as if it were another machine."""

    made: Any = None
    mute = False

    def carrier(self) -> Any:
        object.__setattr__(self, "made", OneHost(self.workers, mute=self.mute))
        return self.made


class Mute(Elsewhere):
    """One that has not answered when it goes."""

    mute = True


class OneHost:
    """A ``Carrier`` whose agent answers pings, and starts its workers when it is told to begin.

    Attributes:
        came: the names of the items that have come, in order.
        asked: set when the first has come.
    """

    local = False

    def __init__(self, workers: int, *, mute: bool) -> None:
        self.workers = workers
        self.came: list[str] = []
        self.asked = threading.Event()
        self._mute = mute
        self._inbox: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self, events: Events, preparation: Preparation) -> None:
        events.came(HostInfo(1, "elsewhere", self.workers))
        self._thread = threading.Thread(target=self._serve, args=(events,))
        self._thread.start()

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        self._inbox.put(items)
        return 0

    def bulk(self, key: int) -> None:
        pass

    def link(self, reader: int, source: int) -> bool:
        return False

    def end(self, key: int) -> None:
        self._inbox.put([("terminate",)])

    def close(self) -> None:
        self.end(1)
        assert self._thread is not None
        self._thread.join()

    def after_fork(self) -> None:
        pass

    def _serve(self, events: Events) -> None:
        while True:
            for name, *values in self._inbox.get():
                self.came.append(name)
                self.asked.set()
                now = monotonic_ns() + _LATER
                if name in ("close", "terminate", "kill"):
                    events.left(1, "it was ended")
                    return
                if name == "ping" and not self._mute:
                    events.received(1, [("pong", values[0], now)])
                elif name == "begin":
                    workers = range(1, self.workers + 1)
                    rows = [(each, 1000 + each, now, now, 0, now, now) for each in workers]
                    events.received(1, [("worker", row) for row in rows])


def test_the_clock_is_set_before_the_host_begins() -> None:
    before, cluster = monotonic_ns(), Elsewhere(1, 2)
    with oc.Pool(cluster=cluster) as pool:
        pool.pids()
        (host,) = pool.hosts()
        rows = pool._engine.worker_history()
        after = monotonic_ns()
    assert cluster.made.came[: PINGS + 1] == ["ping"] * PINGS + ["begin"]
    assert 0 < host.clock_error * 1e9 <= after - before
    assert len(rows) == 2
    for _, _, born, since, _, _, initializing in rows:
        assert before <= born <= since <= after
        assert initializing == since


def test_a_host_that_goes_before_it_has_answered() -> None:
    cluster = Mute(1, 2)
    with oc.Pool(cluster=cluster) as pool:
        cluster.made.asked.wait()
        cluster.made.end(1)
        pool.pids()  # until it has gone
        assert [host.state for host in pool.hosts()] == ["gone"]
        assert cluster.made.came == ["ping", "terminate"]
        pool.terminate()
