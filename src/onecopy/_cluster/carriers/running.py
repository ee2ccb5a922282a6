"""An agent as a child of the process that the cluster's own software has placed on a host.

Also the versions that have to be equal on all hosts. Nothing here belongs to one kind of cluster.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from time import monotonic
from typing import Protocol

from ..._launch import interpreter
from ...errors import HostMismatch
from ..bulk import hand_over
from ..connection import Connection, Packed
from ..interface import AGENT
from ..peers import hand, handing

LAST: Packed = (b"", [])
"""The message after which nothing comes."""
# Seconds: an agent whose driver was not heard of for so long ends.
LEASE = 45.0


def versions() -> dict[str, str]:
    """Return what has to be equal on all hosts. Functions by value are bytecode of one Python."""
    found = {
        "Python": ".".join(map(str, sys.version_info[:2])),
        "onecopy": metadata.version("onecopy"),
        "architecture": f"{platform.machine()}, {sys.byteorder} endian",
    }
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["NumPy"] = metadata.version("numpy").partition(".")[0]
    return found


def check(host: str, said: dict[str, str]) -> None:
    """Raise HostMismatch for a host on which this process's messages mean something else.

    Args:
        host: its name.
        said: its ``versions()``.
    """
    for name, ours in versions().items():
        theirs = said.get(name, "none")
        if theirs != ours:
            raise HostMismatch(f"{host} has {name} {theirs}, and the driver has {ours}")


def in_words(status: int) -> str:
    """Return how a process has ended, for a sentence about it.

    Args:
        status: as ``os.waitpid`` returns it.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    return f"was killed by {signal.Signals(-code).name}"


class Running:
    """An agent of this process, and the thread that has started it and reads from it.

    Args:
        said: called in that thread with each message, and at the end with ``LAST``.
        bulk: the agent's end of a stream of bytes of segments, if it has one. Closed here. Then it also
            takes streams to other agents.

    Attributes:
        connection: to the agent.
        ended: set when the agent has ended.
        how: the way it has ended, in words; before ``LAST`` is said.
    """

    def __init__(self, said: Callable[[Packed], None], bulk: socket.socket | None = None) -> None:
        ours, theirs = socket.socketpair()
        self._handing: socket.socket | None = None
        if bulk is None:
            hand_over(ours, None)
        else:
            self._handing, handed = handing()
            with bulk, handed:
                hand_over(ours, (bulk, handed))
        self.connection = Connection(ours)
        self.ended = threading.Event()
        self.how = ""
        self._said = said
        self._pid = 0
        self._begun: queue.SimpleQueue[int | OSError] = queue.SimpleQueue()
        # The agent ends with the thread that has started it, so that is one of its own.
        threading.Thread(target=self._read, args=(theirs,), daemon=True).start()

    def begun(self) -> None:
        """Wait until the agent was started, once. Raises OSError if it cannot be."""
        pid = self._begun.get()
        if isinstance(pid, OSError):
            raise pid
        self._pid = pid

    def hand(self, stream: socket.socket, source: int | None) -> None:
        """Give the agent its end of a stream to another agent, which is closed here; see ``peers.hand``.
        Raises OSError if it has gone, or takes none."""
        with stream:
            if self._handing is None:
                raise OSError("it has no stream for shared data")
            hand(self._handing, stream, source)

    def end(self) -> None:
        """End the agent now; its workers end with it."""
        if not self.ended.is_set():
            os.kill(self._pid, signal.SIGKILL)

    def _read(self, theirs: socket.socket) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            try:
                arguments = [str(os.getpid())]
                pid = interpreter.start_module(AGENT, arguments, theirs.fileno(), environment)
            except OSError as error:
                self.ended.set()
                self._begun.put(error)
                return
        self._begun.put(pid)
        with contextlib.suppress(EOFError, OSError):  # it has ended, or the driver has gone
            while True:
                self._said(self.connection.take())
        os.kill(pid, signal.SIGKILL)  # if it has closed its end alone
        self.ended.set()
        _, status = os.waitpid(pid, 0)
        self.how = in_words(status)
        with contextlib.suppress(OSError):
            self._said(LAST)
        self.connection.close()
        if self._handing is not None:
            self._handing.close()


class Polled(Protocol):
    """The messages of an agent, which its driver asks for.

    Attributes:
        polled: when it did so last (monotonic, seconds).
    """

    polled: float


def keep_lease(agent: Running, mailbox: Polled) -> None:
    """End the agent, in a thread of its own, once nothing has polled for ``LEASE`` seconds."""

    def keep() -> None:
        while not agent.ended.wait(1.0):
            if monotonic() - mailbox.polled > LEASE:
                agent.connection.shut()
                return

    threading.Thread(target=keep, daemon=True).start()
