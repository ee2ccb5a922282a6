"""Hosts that are made up: each is a process of this machine, with workers of its own.

For tests, and to try a program before it runs on a cluster. A made-up host shares no memory with
the driver: data are shipped to it as to any other host, and this machine has one copy of them for each.
Messages go through socket pairs, which no other process can open.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..._engine.workers import importing
from ..._launch import interpreter
from ..._protocol.preparation import Preparation
from ..bulk import Bulk, hand_over
from ..connection import Connection, Incoming, packed, unpacked
from ..interface import AGENT, Events, HostInfo, Item
from ..peers import hand, handing
from .running import AgentProcess

# Bytes that are read at once from agents, except for large parts of messages.
_ROOM = 64 << 10


@dataclass(frozen=True)
class Loopback:
    """A description of made-up hosts, for ``Pool(cluster=...)``; ``loopback`` makes one.

    Attributes:
        hosts: the number of hosts.
        workers: the number of workers of each.
    """

    __module__ = "onecopy"

    hosts: int
    workers: int

    def carrier(self) -> LoopbackCarrier:
        """Return what starts and reaches the agents."""
        return LoopbackCarrier(self.hosts, self.workers)


def loopback(hosts: int = 2, workers: int = 1) -> Loopback:
    """Describe hosts that are processes of this machine, to try what runs on a cluster.

    Args:
        hosts: the number of made-up hosts, at least 1.
        workers: the number of workers of each, at least 1.

    Returns a value for ``Pool(cluster=...)``; nothing is started by it.

    Raises:
        ValueError: a number is below 1.
        TypeError: a number is no int.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(cluster=oc.loopback(hosts=2)) as pool:
        ...     pool.map(abs, [-1, -2])
        [1, 2]
    """
    for name, value in (("hosts", hosts), ("workers", workers)):
        if type(value) is not int:
            raise TypeError(f"{name} is a whole number, not {value!r}")
        if value < 1:
            raise ValueError(f"{name} is at least 1, not {value}")
    return Loopback(hosts, workers)


loopback.__module__ = "onecopy"


class LoopbackCarrier:
    """See the module; a ``Carrier``.

    Args:
        hosts, each: the number of hosts, and of the workers of each.
    """

    local = True

    def __init__(self, hosts: int, each: int) -> None:
        self.workers: int = hosts * each
        self._count = hosts
        self._each = each
        self._agents: dict[int, tuple[AgentProcess, Connection]] = {}
        self._bulks: dict[int, Bulk] = {}
        self._handing: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []

    def open(self, events: Events, preparation: Preparation) -> None:
        """See ``Carrier``. Agents end with the calling thread."""
        try:
            for key in range(1, self._count + 1):
                # A fork elsewhere in the program must not keep the agent's end open.
                with importing():
                    ours, theirs = socket.socketpair()
                    bytes_here, bytes_there = socket.socketpair()
                    handing_here, handing_there = handing()
                    with theirs, bytes_there, handing_there:
                        hand_over(ours, (bytes_there, handing_there))
                        pid = _start_agent(theirs.fileno(), preparation)
                self._agents[key] = AgentProcess(pid), Connection(ours)
                self._bulks[key] = Bulk(bytes_here)
                self._handing[key] = handing_here
                events.came(HostInfo(key, f"loopback-{key}", self._each))
        finally:
            self._start(self._read, "onecopy-from-hosts", events)

    def _start(self, run: Callable[..., None], name: str, *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        """See ``Carrier``."""
        return self._agents[key][1].pass_on(packed(items), waits)

    def bulk(self, key: int) -> Bulk | None:
        """See ``Carrier``."""
        return self._bulks[key]

    def link(self, reader: int, source: int) -> bool:
        """See ``Carrier``."""
        with importing():
            asks, answers = socket.socketpair()
            with asks, answers:
                try:
                    hand(self._handing[reader], asks, source)
                    hand(self._handing[source], answers, None)
                except OSError:  # one has ended
                    return False
        return True

    def end(self, key: int) -> None:
        """See ``Carrier``."""
        self._agents[key][0].end()

    def close(self) -> None:
        """See ``Carrier``."""
        for key in self._agents:
            self.end(key)
        for thread in self._threads:
            thread.join()

    def after_fork(self) -> None:
        """See ``Carrier``."""
        for _, connection in self._agents.values():
            connection.detach_in_child()
        for bulk in self._bulks.values():
            bulk.detach_in_child()
        for sock in self._handing.values():
            fd = sock.detach()
            if fd >= 0:  # else its host has ended
                os.close(fd)

    def _read(self, events: Events) -> None:
        """Pass on what the agents send, until all have ended."""
        room = memoryview(bytearray(_ROOM))
        # Not epoll: its descriptor would stay open in forked children.
        ready = select.poll()
        there: dict[int, tuple[int, Incoming]] = {}
        for key, (_, connection) in self._agents.items():
            fd = connection.sock.fileno()
            ready.register(fd, select.POLLIN)
            there[fd] = key, Incoming(connection.sock, room)
        try:
            while there:
                for fd, _ in ready.poll():
                    key, incoming = there[fd]
                    why = self._pass_on(events, key, incoming)
                    if why is not None:
                        ready.unregister(fd)
                        del there[fd]
                        self._let_go(events, key, why)
        finally:  # some are left after a bug: then no caller waits for them
            for key, _ in there.values():
                self._let_go(events, key, "its messages are not read any more")

    def _pass_on(self, events: Events, key: int, incoming: Incoming) -> str | None:
        """Pass on what an agent has sent; at its end return the reason, if it is known."""
        try:
            for message in incoming.arrived():
                events.received(key, unpacked(message))
        except EOFError:
            return ""
        except MemoryError:
            return "it has sent more than there is memory for"
        return None

    def _let_go(self, events: Events, key: int, why: str) -> None:
        """End an agent: in a thread of its own, since it takes a while if the agent has much memory."""
        try:
            self._start(self._ended, f"onecopy-end-{key}", events, key, why)
        except RuntimeError:  # there can be no more threads
            self._ended(events, key, why)

    def _ended(self, events: Events, key: int, why: str) -> None:
        process, connection = self._agents[key]
        process.end()  # if it has closed its end alone
        how = process.wait()
        events.left(key, why or f"its agent {how}")
        connection.close()
        self._bulks[key].close()
        self._handing[key].close()


def _start_agent(fd: int, preparation: Preparation) -> int:
    arguments = [str(os.getpid())]
    return interpreter.start_module(AGENT, arguments, fd, preparation.environment)
