"""Hosts of a Dask cluster: one agent on each, whatever number of Dask workers it has.

Dask knows who is there, places the agent, carries the messages and authenticates. A Dask *actor*
(``Handle``) on one worker of each host starts the agent as a process of its own, and passes
messages on unread. When the client has gone, the scheduler drops the actor, and the agent ends.

Membership is learnt from the scheduler's events and never from calls that fail: a call after a
death tries to connect for 30 seconds. A host that does not answer polls for so long is lost as
well. No work is pinned to a worker as a Dask task, which would wait for ever for one that has left
(distributed#7346).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import queue
import signal
import socket
import sys
import threading
import warnings
import weakref
from collections import deque
from concurrent.futures import CancelledError
from dataclasses import replace
from importlib import metadata
from ipaddress import ip_address
from itertools import count
from time import monotonic
from typing import Any, NamedTuple
from uuid import uuid4

import distributed

from ..._launch import interpreter
from ..._protocol.preparation import Preparation
from ...errors import HostMismatch, InsecureClusterWarning, NoHosts
from ..connection import Connection, Packed, packed, unpacked
from ..interface import AGENT, Events, HostInfo, Item

# Seconds. A poll waits so long for messages; a host that has not answered one for so long is lost;
# an agent that was not polled for so long ends.
POLL = 2.0
LOST = 30.0
LEASE = 45.0
# Messages of one answer to a poll, at most.
_MOST = 64
# Seconds between two questions whether the scheduler has dropped an actor.
_AGAIN = 0.05


class Facts(NamedTuple):
    """A Dask worker's process, as it describes itself.

    Attributes:
        machine: equal for processes that can share memory: boot and network namespace.
        host: the machine's name.
        versions: what has to be equal to the driver's.
    """

    machine: str
    host: str
    versions: dict[str, str]


def facts() -> Facts:
    """Describe this process; run on each Dask worker."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    space = os.stat("/proc/self/ns/net").st_ino
    return Facts(f"{boot}-{space}", socket.gethostname(), versions())


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


class Mailbox:
    """The agent's messages, between the thread that reads them and the event loop that is polled.

    Attributes:
        polled: when it was asked last (monotonic, seconds).
        ended: set when the agent has ended.
    """

    def __init__(self) -> None:
        self.polled = monotonic()
        self.ended = threading.Event()
        self._messages: deque[Packed | None] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def put(self, message: Packed | None) -> None:
        """Add a message; None is the last one."""
        self._messages.append(message)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: the worker ends
                self._loop.call_soon_threadsafe(self._event.set)

    async def take(self, seconds: float) -> list[Packed | None]:
        """Return the messages that are there, after waiting for the first."""
        self.polled = monotonic()
        self._loop = asyncio.get_running_loop()
        self._event.clear()
        if not self._messages:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._event.wait(), seconds)
        return [self._messages.popleft() for _ in range(min(len(self._messages), _MOST))]


class Handle:
    """The Dask actor on a host: starts the agent and passes messages on; see the module.

    The agent ends if nothing has polled for ``LEASE`` seconds: then the link to the driver is cut.
    """

    def __init__(self) -> None:
        self._mailbox = Mailbox()
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours)
        begun: queue.SimpleQueue[int | OSError] = queue.SimpleQueue()
        parts = (self._connection, self._mailbox)
        # No thread keeps the actor, which has to die when the scheduler drops it. The agent ends
        # with the thread that has started it, so that is one of its own.
        threading.Thread(target=_read, args=(*parts, theirs, begun), daemon=True).start()
        pid = begun.get()
        if isinstance(pid, OSError):
            raise pid
        self._pid = pid
        threading.Thread(target=_keep_lease, args=parts, daemon=True).start()

    def send(self, stream: Any, *buffers: Any) -> None:
        """Pass a message on to the agent."""
        self._connection.pass_on((stream, list(buffers)))

    async def poll(self, seconds: float) -> list[Packed | None]:
        """Return the agent's messages, after waiting for the first; None comes last."""
        return await self._mailbox.take(seconds)

    def end(self) -> None:
        """End the agent now."""
        if not self._mailbox.ended.is_set():
            os.kill(self._pid, signal.SIGKILL)

    def __del__(self) -> None:
        self._connection.shut()


def _read(
    connection: Connection,
    mailbox: Mailbox,
    theirs: socket.socket,
    begun: queue.SimpleQueue[int | OSError],
) -> None:
    """Start the agent, and read what it sends until it ends."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with theirs:
        try:
            pid = interpreter.start_module(AGENT, [str(os.getpid())], theirs.fileno(), environment)
        except OSError as error:
            begun.put(error)
            return
    begun.put(pid)
    with contextlib.suppress(EOFError):
        while True:
            mailbox.put(connection.take())
    os.kill(pid, signal.SIGKILL)  # if it has closed its end alone
    mailbox.ended.set()
    os.waitpid(pid, 0)
    mailbox.put(None)
    connection.close()


def _keep_lease(connection: Connection, mailbox: Mailbox) -> None:
    """End the agent if nothing has polled for too long."""
    while not mailbox.ended.wait(1.0):
        if monotonic() - mailbox.polled > LEASE:
            connection.shut()
            return


class _Host:
    """A host, as this carrier knows it."""

    def __init__(self, key: int, address: str, name: str, workers: int) -> None:
        self.info = HostInfo(key, name, workers)
        self.address = address
        self.actor: Any = None
        self.key = f"onecopy-agent-{uuid4().hex}"  # of the actor, for Dask
        self.left = threading.Event()  # and that was reported


class DaskCarrier:
    """See the module; a ``Carrier``.

    Args:
        client: a connected ``distributed.Client`` that is not asynchronous.

    Raises:
        TypeError: the client is asynchronous.
        HostMismatch: a host has other versions than this process.
        NoHosts: no Dask worker is connected.
    """

    local = False

    def __init__(self, client: distributed.Client) -> None:
        if client.asynchronous:
            raise TypeError("cluster= needs a client that is not asynchronous")
        _warn_if_open(client)
        self._client: Any = client  # much of it has no types
        self._events: Events | None = None
        self._keys = count(1)
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}  # by machine
        self._all: dict[int, _Host] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._waiting = threading.Event()  # set by ``close``
        self._retired: set[str] = set()
        first = self._look(None)
        if not first:
            raise NoHosts("no Dask worker is connected to the scheduler: wait_for_workers first")
        self.workers = sum(host.info.workers for host in first)

    def open(self, events: Events, preparation: Preparation) -> None:
        """See ``Carrier``."""
        self._events = events
        _listen(self._client, self)
        for host in list(self._all.values()):
            self._begin(host)

    def send(self, key: int, items: list[Item]) -> int:
        """See ``Carrier``."""
        host = self._all[key]
        stream, buffers = packed(items)
        actor = host.actor
        if actor is None or host.left.is_set():
            raise ConnectionError(f"{host.info.name} has gone")
        try:
            # Copies: should the host not answer, they may be sent after their owners have died.
            actor.send(stream, *map(bytes, buffers)).result(timeout=LOST)
        except (TimeoutError, OSError, RuntimeError, ValueError, CancelledError) as error:
            raise ConnectionError(f"{host.info.name} cannot be reached: {error}") from error
        return len(stream) + sum(memoryview(buffer).nbytes for buffer in buffers)

    def end(self, key: int) -> None:
        """See ``Carrier``."""
        host = self._all[key]
        actor = host.actor
        if actor is not None and not host.left.is_set():
            with contextlib.suppress(RuntimeError):  # its worker has gone
                actor.end()

    def close(self) -> None:
        """See ``Carrier``."""
        self._closed = True
        self._waiting.set()
        _listen_no_more(self._client, self)
        for key in list(self._all):
            self.end(key)
        for thread in self._threads:
            thread.join(2 * POLL)  # one whose host does not answer waits for longer

    def after_fork(self) -> None:
        """See ``Carrier``: a client is of no use in a forked child, and has no pool there."""
        self._closed = True

    # Membership.

    def _look(self, addresses: list[str] | None) -> list[_Host]:
        """Return the machines among these Dask workers that have no agent yet; None: all."""
        found: dict[str, Facts] = self._client.run(facts, workers=addresses)
        about = self._client.scheduler_info(n_workers=-1)["workers"]
        new: dict[str, _Host] = {}
        with self._lock:
            for address, said in found.items():
                machine = _machine(address, said)
                if address in self._retired:
                    continue
                known = self._hosts.get(machine)
                if (known is not None and not known.left.is_set()) or address not in about:
                    continue
                _check(said)
                threads = int(about[address]["nthreads"])
                if machine in new:
                    first = new[machine]
                    first.info = replace(first.info, workers=first.info.workers + threads)
                else:
                    name = f"{said.host} ({address.rpartition('/')[2]})"
                    new[machine] = _Host(next(self._keys), address, name, threads)
            self._hosts.update(new)
            self._all.update({host.info.key: host for host in new.values()})
        return list(new.values())

    def heard(self, said: dict[str, Any]) -> None:
        """Handle an event of the scheduler; in the client's event loop, so nothing waits here."""
        address = said.get("worker", "")
        if said.get("action") == "remove-worker":
            for host in list(self._all.values()):
                if host.address == address:
                    self._lose(host, "its Dask worker has left")
        elif said.get("action") == "retire-workers":
            for each in (*said.get("retired", ()), *said.get("could-not-retire", ())):
                self._retiring(each)
        elif said.get("action") == "add-worker":
            thread = threading.Thread(target=self._welcome, args=(address,), daemon=True)
            thread.start()

    def _welcome(self, address: str) -> None:
        if self._closed:
            return
        try:
            new = self._look([address])
        except (OSError, ValueError, HostMismatch) as error:
            warnings.warn(f"{address} is not used: {error}", stacklevel=1)
            return
        for host in new:
            self._begin(host)

    def _retiring(self, address: str) -> None:
        """Dask was asked to retire this worker. It does not while the worker has an actor, so that
        is repeated when the host has finished its work."""
        for host in list(self._all.values()):
            if host.address == address and not host.left.is_set() and not self._closed:
                self._retired.add(address)
                if self._events is not None:
                    self._events.leaving(host.info.key)

    def _retire(self, host: _Host) -> None:
        """Let Dask retire the worker of a host whose agent has ended, and start an agent on another
        worker of that machine if there is one."""
        end = monotonic() + LOST
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has gone already
            while self._client.sync(self._client.scheduler.who_has, keys=[host.key]).get(host.key):
                if monotonic() > end or self._waiting.wait(_AGAIN):
                    return
            self._client.retire_workers([host.address])
            for new in self._look(None):
                self._begin(new)

    def _begin(self, host: _Host) -> None:
        name = f"onecopy-from-{host.info.name}"
        thread = threading.Thread(target=self._serve, args=(host,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _lose(self, host: _Host, why: str) -> None:
        with self._lock:
            if host.left.is_set():
                return
            host.left.set()
        if self._events is not None and not self._closed:
            self._events.left(host.info.key, why)

    def _serve(self, host: _Host) -> None:
        """Start the agent of a host, and pass on what it sends until it ends or is lost."""
        why = "its agent has ended"
        try:
            why = self._pass_on(host) or why
        finally:
            self._lose(host, why)
            host.actor = None
        if host.address in self._retired and not self._closed:
            self._retire(host)

    def _pass_on(self, host: _Host) -> str:
        """Return the reason why a host is lost; empty if its agent has ended."""
        assert self._events is not None
        try:
            future = self._client.submit(
                Handle, actor=True, workers=[host.address], pure=False, key=host.key
            )
            future.result(timeout=LOST)
            # The one in the result belongs to the program's default client, if there is one.
            with self._client.as_current():
                actor: Any = distributed.Actor(Handle, host.address, host.key)
            host.actor = actor
            self._events.came(host.info)
            while not host.left.is_set():
                messages = actor.poll(POLL).result(timeout=LOST)
                for message in messages:
                    if message is None:
                        return ""
                    if not host.left.is_set() and not self._closed:
                        self._events.received(host.info.key, unpacked(_writable(message)))
        except TimeoutError:
            return f"it has not answered for {LOST:g} s"
        except (OSError, RuntimeError, ValueError, CancelledError) as error:
            return f"it cannot be reached: {error}"
        return ""


# A client calls one function for a topic: it passes events on to all pools of that client.
_pools: weakref.WeakKeyDictionary[Any, set[DaskCarrier]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _listen(client: Any, carrier: DaskCarrier) -> None:
    """Pass the scheduler's events about workers on to a carrier."""
    with _lock:
        carriers = _pools.setdefault(client, set())
        carriers.add(carrier)
        if len(carriers) > 1:
            return

    def heard(event: Any) -> None:
        _, said = event
        if isinstance(said, dict):
            for each in list(carriers):
                each.heard(said)

    client.subscribe_topic("all", heard)


def _listen_no_more(client: Any, carrier: DaskCarrier) -> None:
    with _lock:
        carriers = _pools.get(client, set())
        carriers.discard(carrier)
        if not carriers and _pools.pop(client, None) is not None and client.status == "running":
            client.unsubscribe_topic("all")


def _writable(message: Packed) -> Packed:
    """Return a message whose buffers the receiver may write to."""
    stream, buffers = message
    return stream, [bytearray(each) if memoryview(each).readonly else each for each in buffers]


def _machine(address: str, said: Facts) -> str:
    """Return what is equal for Dask workers that can share memory."""
    return said.machine


def _check(said: Facts) -> None:
    """Raise HostMismatch for a host on which this process's messages mean something else."""
    for name, ours in versions().items():
        theirs = said.versions.get(name, "none")
        if theirs != ours:
            raise HostMismatch(f"{said.host} has {name} {theirs}, and the driver has {ours}")


def _warn_if_open(client: Any) -> None:
    """Warn of a scheduler on another machine to which anybody can connect."""
    address = client.scheduler.address
    protocol, _, place = address.partition("://")
    host = place.rpartition(":")[0]
    try:
        here = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        here = protocol == "inproc" or host == "localhost"
    if protocol in ("tcp", "ws", "ucx") and not here:
        warnings.warn(
            f"the scheduler at {address} is open: any program that reaches it can run code on its "
            "workers. Use TLS (distributed.Security), or a network that is closed",
            InsecureClusterWarning,
            stacklevel=4,
        )
