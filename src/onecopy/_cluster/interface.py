"""The seam between the cluster's engine and what carries its messages.

A carrier knows which hosts there are, starts an agent on each, and brings lists of items from one
side to the other, in order. It looks into none of them. ``carriers`` has one file for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .._protocol.preparation import Preparation
from .bulk import Bulk

AGENT = "onecopy._cluster.agent"
"""The module whose ``main`` is an agent."""

Item = tuple[Any, ...]
"""A message: its name, and what belongs to it. Carriers bring lists of them."""


@dataclass(frozen=True)
class HostInfo:
    """A host that has come.

    Attributes:
        key: names it for the carrier; never used again for another agent.
        name: its name for people.
        workers: the number of workers that its agent is to have.
    """

    key: int
    name: str
    workers: int


class Events(Protocol):
    """The receiver of what a carrier reports. Each method is called in a thread of the carrier, one at a time for
    one host. None waits for a host: one thread may report for many."""

    def came(self, info: HostInfo) -> None:
        """A host has an agent that waits for its first message."""

    def received(self, key: int, items: list[Item]) -> None:
        """An agent has sent these, in this order."""

    def leaving(self, key: int) -> None:
        """A host is to go: it gets no more work, and its agent ends when it has finished what it
        runs. If the host goes before that, the rest is given to others."""

    def left(self, key: int, why: str) -> None:
        """A host has gone, and nothing more comes from it: ``why`` in words."""

    def over(self, why: str) -> None:
        """No host is left, and none can come any more: ``why`` in words."""


class Carrier(Protocol):
    """Brings messages between the driver and the agents; see the module."""

    workers: int
    """The number of workers of all hosts that are expected."""
    local: bool
    """The hosts are processes of this machine: they have its files and its environment."""

    def open(self, events: Events, preparation: Preparation) -> None:
        """Start agents and report them; returns at once. Raises OSError."""

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        """Send items to an agent, and return the number of bytes. One thread at a time per host.

        Blocks until the items are on their way; their buffers are not needed any more then. Raises
        OSError if the host has gone.

        Args:
            key: the host's.
            items: what is sent.
            waits: called before this waits for the host: the other hosts do not.
        """

    def bulk(self, key: int) -> Bulk | None:
        """Return the stream for bytes of segments to this agent; None: they go with its messages."""

    def link(self, reader: int, source: int) -> bool:
        """Give two agents that both have a ``bulk`` a stream: the first asks, the second answers. Returns
        False if that cannot be. Any thread; blocks, for some seconds at most."""

    def end(self, key: int) -> None:
        """End an agent and its workers now, whatever they do; ``left`` is called then."""

    def close(self) -> None:
        """End all agents, and wait for the carrier's threads. No event comes after this."""

    def after_fork(self) -> None:
        """Close, in a forked child, what belongs to the parent's agents."""
