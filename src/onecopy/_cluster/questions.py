"""Questions to hosts, for whose answers a caller in the driver waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from itertools import count
from time import monotonic
from typing import Any

from .host import Host, State

# Seconds between two looks whether the hosts that have not answered are still there.
_LOOK = 0.1


class Questions:
    """See the module. Any thread may ask; ``answered`` is called by the carrier's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, queue.SimpleQueue[tuple[Host, Any]]] = {}

    def ask(self, hosts: Iterable[Host], what: str, timeout: float) -> dict[Host, Any]:
        """Ask hosts that are ready; return the answers of those that have given one in time.

        Args:
            hosts: the hosts.
            what: the name of the message that asks.
            timeout: seconds to wait for all of them together.
        """
        answers: queue.SimpleQueue[tuple[Host, Any]] = queue.SimpleQueue()
        with self._lock:
            number = next(self._numbers)
            self._open[number] = answers
        wanted = {host for host in hosts if host.state in (State.READY, State.FULL)}
        for host in wanted:
            host.queue.put((what, number))
        found: dict[Host, Any] = {}
        end = monotonic() + timeout
        try:
            while wanted - found.keys() and monotonic() < end:
                try:
                    host, answer = answers.get(timeout=_LOOK)
                    found[host] = answer
                except queue.Empty:
                    wanted = {host for host in wanted if host.state is not State.GONE}
        finally:
            with self._lock:
                del self._open[number]
        return found

    def answered(self, host: Host, number: int, answer: Any) -> None:
        """Pass an answer on to the caller, if it still waits."""
        with self._lock:
            answers = self._open.get(number)
        if answers is not None:
            answers.put((host, answer))
