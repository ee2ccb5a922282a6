"""The part of the ``dask`` carrier that runs in a Dask worker: it starts an agent and passes
messages on, unread.

``Carrying``, a Dask *plugin*, serves the driver's connections; an agent ends with its connection. A
Dask worker that closes waits for its plugins, and this one lets each driver's work finish first. Where
the driver reaches the scheduler alone, ``Handle``, a Dask *actor*, passes messages on by the scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import socket
import threading
from collections import deque
from time import monotonic
from typing import Any, NamedTuple

from distributed import WorkerPlugin
from distributed.comm.tcp import TCP
from distributed.core import Status
from tornado.iostream import StreamClosedError

from ..connection import Connection, Packed, size_of
from .comms import LEAVING, Exchange, asked, taken_out
from .running import LAST, LEASE, Running, keep_lease, versions

CARRY = "onecopy_carry"
"""The name of ``Carrying``, and of its ``carry`` among a Dask worker's operations."""
CARRY_BULK = "onecopy_carry_bulk"
"""The name of its ``carry_bulk`` among them."""
CARRY_LINK = "onecopy_carry_link"
"""The name of its ``carry_link`` among them."""
CARRY_PEER = "onecopy_carry_peer"
"""The name of its ``carry_peer`` among them."""
# Seconds to wait for a connection to another Dask worker.
_REACH = 4.0
# Seconds after which a stream that no agent was started for is closed.
_UNUSED = 30.0

# Messages of one answer to a poll, at most.
_MOST = 64


class Facts(NamedTuple):
    """A Dask worker's process, as it describes itself.

    Attributes:
        machine: equal for processes that can share memory: boot and network namespace.
        host: the machine's name.
        versions: what has to be equal to the driver's.
        threads: the number of tasks that it runs at once.
    """

    machine: str
    host: str
    versions: dict[str, str]
    threads: int = 1


def facts() -> Facts:
    """Describe this process."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    space = os.stat("/proc/self/ns/net").st_ino
    return Facts(f"{boot}-{space}", socket.gethostname(), versions())


async def prepare(dask_worker: Any) -> Facts:
    """Make a Dask worker serve ``carry``, and describe it. Run on each by ``Client.run``, which
    passes the worker under this name."""
    if CARRY not in dask_worker.handlers:
        await dask_worker.plugin_add(Carrying(), name=CARRY, catch_errors=False)
    return facts()._replace(threads=dask_worker.state.nthreads)


class Carrying(WorkerPlugin):
    """Serves the drivers that have connected to a Dask worker. All in its event loop."""

    def __init__(self) -> None:
        self._leaving = False
        self._carried: dict[Exchange, asyncio.Event] = {}  # set when it has ended
        self._bulks: dict[str, asyncio.Future[socket.socket]] = {}  # by the drivers' keys
        self._agents: dict[str, Running] = {}  # by the same keys
        self._connecting: dict[str, Any] = {}

    def setup(self, worker: Any) -> None:
        """Serve ``carry``; Dask calls it first."""
        worker.handlers[CARRY] = self.carry
        worker.handlers[CARRY_BULK] = self.carry_bulk
        worker.handlers[CARRY_LINK] = self.carry_link
        worker.handlers[CARRY_PEER] = self.carry_peer
        self._connecting = worker.connection_args

    async def teardown(self, worker: Any) -> None:
        """Let the drivers take their work away; Dask calls it when the worker closes, and waits.

        A worker that has lost its scheduler does not wait: its cluster has ended.
        """
        self._leaving = True
        if not worker.batched_stream.closed():
            await asyncio.gather(*(_leave(*each) for each in list(self._carried.items())))

    async def carry_bulk(self, comm: Any, key: str) -> Status:
        """Keep a connection of a driver's for the agent that ``carry`` starts with this key.

        The message to the driver is empty, or says why that cannot be: bytes that are ciphered, or
        go through a web server, are no plain stream.
        """
        if type(comm) is not TCP:  # its subclass ciphers
            await comm.write("no plain connection")
            return Status.dont_reply
        loop = asyncio.get_running_loop()
        kept = self._bulks[key] = loop.create_future()
        loop.call_later(_UNUSED, self._drop, key)
        try:
            kept.set_result(await _welcomed(comm))
        except OSError:  # the driver has gone
            kept.cancel()
        return Status.dont_reply

    async def carry_link(
        self, comm: Any, key: str, address: str, their: str, source: int
    ) -> Status:
        """Connect an agent here to one of another host, which asks this one for shared data.

        The message to the driver is empty, or says why that cannot be. Then this end is no connection of
        Dask's any more, and the other end was none before: so neither reads what belongs to the agents,
        of which the other one speaks first.

        Args:
            comm: the driver's connection.
            key: of the agent here.
            address: of the other host's Dask worker.
            their: the key of the agent there.
            source: the number by which that knows this host.
        """
        why = ""
        try:
            there, why = await asked(
                address,
                self._connecting,
                {"op": CARRY_PEER, "key": their, "source": source},
                _REACH,
            )
            agent = self._agents.get(key)
            if why or agent is None:
                there.abort()
                why = why or "its agent has ended"
            else:
                agent.hand(taken_out(there), None)
        except OSError as error:
            why = f"no connection: {error!r}"
        await comm.write(why)
        return Status.dont_reply

    async def carry_peer(self, comm: Any, key: str, source: int) -> Status:
        """Give the agent with this key a connection from another host, ``source``, to ask it for shared
        data. The message to that host is empty, or says why that cannot be."""
        agent = self._agents.get(key)
        if type(comm) is not TCP or agent is None:
            await comm.write("no plain connection to an agent")
            return Status.dont_reply
        with contextlib.suppress(OSError):  # one of them has gone: the driver sees that
            agent.hand(await _welcomed(comm), source)
        return Status.dont_reply

    def _drop(self, key: str) -> None:
        kept = self._bulks.pop(key, None)
        if kept is not None and kept.done() and not kept.cancelled():
            kept.result().close()

    async def carry(self, comm: Any, bulk: str) -> Status:
        """Serve a connection of a driver's: start an agent, and pass messages on until either ends.

        The first message to the driver is empty, or says why no agent can be started.

        Args:
            comm: the connection.
            bulk: the key of the agent's stream for bytes of segments; empty if it has none.
        """
        stream = None
        if bulk:
            kept = self._bulks.pop(bulk, None)
            if kept is None:
                await comm.write("its second connection came too early")
                return Status.dont_reply
            stream = await kept
        if self._leaving:
            if stream is not None:
                stream.close()
            await comm.write("its Dask worker is to end")
            return Status.dont_reply
        arrived: queue.SimpleQueue[Packed] = queue.SimpleQueue()
        exchange = Exchange(comm, arrived.put, LEASE)
        ended = self._carried[exchange] = asyncio.Event()
        try:
            await _carry(comm, exchange, arrived, stream, self._agents, bulk)
        finally:
            self._agents.pop(bulk, None)
            del self._carried[exchange]
            ended.set()
        return Status.dont_reply


async def _welcomed(comm: Any) -> socket.socket:
    """Answer with an empty message, and return the socket, which is Dask's no more. Raises OSError if
    the other end has gone."""
    try:
        await comm.write("")
        await comm.stream.write(b"")  # until that is on its way
        return taken_out(comm)
    except (StreamClosedError, AttributeError) as error:
        raise ConnectionError(str(error)) from error


async def _leave(exchange: Exchange, ended: asyncio.Event) -> None:
    """Tell a driver that the Dask worker is to end, and wait until the driver is done with it."""
    with contextlib.suppress(ConnectionError):
        await asyncio.to_thread(exchange.put, LEAVING)  # it may have to wait for the driver
    await ended.wait()


async def _carry(
    comm: Any,
    exchange: Exchange,
    arrived: queue.SimpleQueue[Packed],
    bulk: socket.socket | None,
    agents: dict[str, Running],
    key: str,
) -> None:
    agent = agents[key] = Running(exchange.put, bulk)
    try:
        try:
            await asyncio.to_thread(agent.begun)
        except OSError as error:
            await comm.write(f"its agent cannot be started: {error}")
            return
        parts = (arrived, agent.connection, exchange)
        threading.Thread(target=_pass_on, args=parts, daemon=True).start()
        await comm.write("")
        await exchange.run()
    finally:
        agent.end()
        arrived.put(LAST)


def _pass_on(
    arrived: queue.SimpleQueue[Packed], connection: Connection, exchange: Exchange
) -> None:
    """Pass messages on to the agent, which may take its time: not in the event loop."""
    try:
        with contextlib.suppress(OSError):  # it has ended
            while (message := arrived.get()) is not LAST:
                connection.pass_on(message)
                size = size_of(message)
                del message  # it is not kept while nothing comes
                exchange.handled(size)
    finally:
        connection.shut()  # an agent that is sent nothing any more ends


class Mailbox:
    """The agent's messages, between the thread that reads them and the event loop that is polled.

    Attributes:
        polled: when it was asked last (monotonic, seconds).
    """

    def __init__(self) -> None:
        self.polled = monotonic()
        self._messages: deque[Packed] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def put(self, message: Packed) -> None:
        """Add a message."""
        self._messages.append(message)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: the worker ends
                self._loop.call_soon_threadsafe(self._event.set)

    async def take(self, seconds: float) -> list[Packed]:
        """Return the messages that are there, after waiting for the first."""
        self.polled = monotonic()
        self._loop = asyncio.get_running_loop()
        self._event.clear()
        if not self._messages:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._event.wait(), seconds)
        return [self._messages.popleft() for _ in range(min(len(self._messages), _MOST))]


class Handle:
    """The Dask actor on a host that the driver reaches by the scheduler alone; see the module.

    When the client has gone, the scheduler drops the actor, and the agent ends. It also ends if
    nothing has polled for ``LEASE`` seconds: then the link to the driver is cut.
    """

    def __init__(self) -> None:
        self._mailbox = Mailbox()
        # No thread keeps the actor, which has to die when the scheduler drops it.
        self._agent = Running(self._mailbox.put)
        self._agent.begun()
        keep_lease(self._agent, self._mailbox)

    def send(self, stream: Any, *buffers: Any) -> None:
        """Pass a message on to the agent."""
        self._agent.connection.pass_on((stream, list(buffers)))

    async def poll(self, seconds: float) -> list[Packed]:
        """Return the agent's messages, after waiting for the first; ``LAST`` comes last."""
        return await self._mailbox.take(seconds)

    def end(self) -> None:
        """End the agent now."""
        self._agent.end()

    def __del__(self) -> None:
        self._agent.connection.shut()
