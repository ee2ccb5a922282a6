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
from ...errors import HostMismatch, how_it_ended
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


class AgentProcess:
    """A child of this process that can be ended by any thread, while one waits for it.

    A pid belongs to a child until it is waited for; then the kernel may give it to another process.
    So the one that waits does not take the pid until it holds the lock, and ``end`` holds the lock while
    it uses the pid. It cannot deadlock: nothing else is taken under the lock, and what is done under it
    does not block, for a child that is waited for there has ended.

    Args:
        pid: its pid.

    Attributes:
        pid: the same, or 0 once it was waited for.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._lock = threading.Lock()

    def end(self) -> None:
        """Kill it, unless it has ended."""
        with self._lock:
            if self.pid:
                # The program may wait for children of its own, by ``os.wait``, and get this one.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> str:
        """Wait until it has ended; return how, in words for a sentence about it. Once, by one thread."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                pid, self.pid = self.pid, 0
                _, status = os.waitpid(pid, 0)
        except ChildProcessError:  # the program has waited for it, or ignores SIGCHLD
            with self._lock:
                self.pid = 0
            return how_it_ended(None)
        return how_it_ended(os.waitstatus_to_exitcode(status))


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
        self._process: AgentProcess | None = None
        self._begun: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()
        # The agent ends with the thread that has started it, so that is one of its own.
        threading.Thread(target=self._read, args=(theirs,), daemon=True).start()

    def begun(self) -> None:
        """Wait until the agent was started, once. Raises OSError if it cannot be."""
        error = self._begun.get()
        if error is not None:
            raise error

    def hand(self, stream: socket.socket, source: int | None) -> None:
        """Give the agent its end of a stream to another agent, which is closed here; see ``peers.hand``.
        Raises OSError if it has gone, or takes none."""
        with stream:
            if self._handing is None:
                raise OSError("it has no stream for shared data")
            hand(self._handing, stream, source)

    def end(self) -> None:
        """End the agent now; its workers end with it."""
        if self._process is not None:
            self._process.end()
        else:  # it is being started: the reading thread sees the end, and kills it
            self.connection.shut()

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
        process = self._process = AgentProcess(pid)
        self._begun.put(None)
        try:
            with contextlib.suppress(EOFError, OSError):  # it has ended, or the driver has gone
                while True:
                    self._said(self.connection.take())
        finally:  # after a bug too: the driver must not wait for what is not read
            process.end()  # if it has closed its end alone
            self.ended.set()
            self.how = process.wait()
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
