"""The part of the ``ray`` carrier that runs on a node: the actor that starts the agent there and
passes bytes and messages on, unread.

Messages to the agent come as arguments that are small enough to be part of Ray's own messages: an
object store would keep their pages after they were used (ray#25890). Calls are numbered, for Ray
does not promise their order to actors with several threads. Shared data comes through a ``Door``.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from collections import deque
from time import monotonic
from typing import Any

import ray

from ..connection import Packed, size_of
from .doors import Address, Door, connect
from .running import LAST, Running, keep_lease, versions

# Bytes of one answer to a poll, and of messages that wait to be asked for. One message may be
# larger; the agent waits while there are too many.
_ANSWER = 8 << 20
_ROOM = 64 << 20


def facts() -> dict[str, str]:
    """Describe the Python of a node."""
    return versions()


class Mailbox:
    """The agent's messages that the driver has not asked for yet.

    Attributes:
        polled: when it was asked last (monotonic, seconds).
    """

    def __init__(self) -> None:
        self.polled = monotonic()
        self._messages: deque[Packed] = deque()
        self._nbytes = 0
        self._changed = threading.Condition()

    def put(self, message: Packed) -> None:
        """Add a message, after waiting for room."""
        with self._changed:
            self._changed.wait_for(lambda: self._nbytes < _ROOM)
            self._messages.append(message)
            self._nbytes += size_of(message)
            self._changed.notify_all()

    def take(self, seconds: float) -> list[Packed]:
        """Return what is there, after waiting for the first; at most ``_ANSWER`` bytes or one."""
        self.polled = monotonic()
        taken: list[Packed] = []
        total = 0
        with self._changed:
            self._changed.wait_for(lambda: self._messages, seconds)
            while self._messages and (not taken or total + size_of(self._messages[0]) <= _ANSWER):
                taken.append(self._messages.popleft())
                total += size_of(taken[-1])
            self._nbytes -= total
            self._changed.notify_all()
        return taken


class Handle:
    """The Ray actor on a node; see the module.

    Its process ends with the driver, by Ray's doing, and the agent ends with it. The agent also ends
    if nothing has polled for ``LEASE`` seconds: then the link to the driver is cut.
    """

    def __init__(self) -> None:
        self._mailbox = Mailbox()
        self._agent: Running | None = None
        self._door: Door | None = None
        self._next = 0
        self._early: dict[int, tuple[Any, ...]] = {}

    @ray.method(concurrency_group="beside")  # type: ignore[untyped-decorator,unused-ignore]
    def open_door(self) -> Address:
        """Return where this node takes streams. Raises OSError if it cannot listen."""
        self._door = Door(ray.util.get_node_ip_address(), self._add_peer)
        return self._door.address

    def _add_peer(self, stream: socket.socket, source: int) -> None:
        with contextlib.suppress(OSError):  # it has gone: the driver sees that
            self._running.hand(stream, source)

    @ray.method(concurrency_group="beside")  # type: ignore[untyped-decorator,unused-ignore]
    def link(self, door: Address, source: int) -> None:
        """Connect the agent to that of another node, which asks it for shared data. Raises OSError if
        that cannot be.

        Args:
            door: the other node's.
            source: the number by which that knows this node.
        """
        self._running.hand(connect(Address(*door), source), None)

    @ray.method(concurrency_group="down")  # type: ignore[untyped-decorator,unused-ignore]
    def begin(self, streams: bool) -> None:
        """Wait until the agent was started; ``streams``: the driver has come to the door. Raises OSError
        if it cannot be."""
        bulk = self._door.driver() if streams and self._door is not None else None
        self._agent = Running(self._mailbox.put, bulk)
        self._agent.begun()
        keep_lease(self._agent, self._mailbox)

    @property
    def _running(self) -> Running:
        if self._agent is None:
            raise OSError("it has no agent")
        return self._agent

    @ray.method(concurrency_group="down")  # type: ignore[untyped-decorator,unused-ignore]
    def pass_on(self, number: int, *parts: Any) -> None:
        """Pass bytes on to the agent, after those of all calls with lower numbers.

        Raises OSError if the agent has ended.
        """
        self._early[number] = parts
        while (due := self._early.pop(self._next, None)) is not None:
            self._next += 1
            for part in due:
                self._running.connection.sock.sendall(part)

    @ray.method(concurrency_group="up")  # type: ignore[untyped-decorator,unused-ignore]
    def how(self) -> str:
        """Return the way the agent has ended, in words."""
        return self._running.how

    @ray.method(concurrency_group="up")  # type: ignore[untyped-decorator,unused-ignore]
    def poll(self, seconds: float) -> list[tuple[Any, list[Any]]]:
        """Return the agent's messages, after waiting for the first; ``LAST`` comes last."""
        whole = pickle.PickleBuffer
        return [
            (whole(stream), [whole(each) for each in buffers])
            for stream, buffers in self._mailbox.take(seconds)
        ]


def is_last(message: Packed) -> bool:
    """Return True for ``LAST``, as it comes from an actor."""
    return size_of(message) == size_of(LAST)
