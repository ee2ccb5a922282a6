"""The driver's two ways to an agent on a Dask cluster: a connection to its Dask worker, or, where
only the scheduler can be reached, the scheduler. Both have the methods of ``Route``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from ..bulk import Bulk
from ..connection import Packed, size_of
from .comms import BEAT, Exchange, asked, taken_out
from .dask_host import CARRY, CARRY_BULK, CARRY_LINK, Handle

# Seconds without a sign of life after which a host is lost.
LOST = 30.0
# Seconds after which a Dask worker counts as one that only the scheduler can reach.
_REACH = 5.0
# Seconds between two questions whether the scheduler has dropped an actor.
_AGAIN = 0.05


class Route(Protocol):
    """A way to an agent.

    Attributes:
        bulk: the stream for bytes of segments; None: they go with the messages.
    """

    bulk: Bulk | None

    def send(self, message: Packed, waits: Callable[[], None]) -> None:
        """Send a message; its buffers are not needed any more then. Calls ``waits`` before it waits for
        the host. Raises OSError if the host has gone."""

    def handled(self, message: Packed) -> None:
        """Note that a message is not in memory any more: the host may send as much again."""

    def end(self) -> None:
        """End the agent now, whatever it does."""


class Direct:
    """A connection to the Dask worker, secured as all of the cluster's are.

    Args:
        client: the Dask client, in whose event loop it is.
        address: the Dask worker's.
        arrived: called in that event loop with each message, ``LAST`` when the agent has ended; and when
            the connection has ended, with the reason in words.

    Raises:
        OSError: the Dask worker cannot be reached from here.
        RuntimeError: the host cannot start an agent.
    """

    def __init__(self, client: Any, address: str, arrived: Callable[[Packed | str], None]) -> None:
        self.bulk: Bulk | None = None
        self.key = ""
        self._client = client
        self._address = address
        self._arrived = arrived
        begun = self._begin(address, client.connection_args)
        loop = client.loop.asyncio_loop
        future = asyncio.run_coroutine_threadsafe(begun, loop)
        try:
            self._exchange = future.result(LOST)
        except TimeoutError:
            future.cancel()
            raise

    async def _begin(self, address: str, arguments: dict[str, Any]) -> Exchange:
        comm, said = await asked(
            address, arguments, {"op": CARRY_BULK, "key": (new := uuid4().hex)}, _REACH
        )
        if said:  # not over this kind of connection
            comm.abort()
        else:
            self.bulk, self.key = Bulk(taken_out(comm)), new
        try:
            comm, said = await asked(address, arguments, {"op": CARRY, "bulk": self.key}, _REACH)
            if said:
                comm.abort()
                raise RuntimeError(said)
        except BaseException:
            if self.bulk is not None:
                self.bulk.close()
            raise
        return self._start(comm)

    def _start(self, comm: Any) -> Exchange:
        exchange = Exchange(comm, self._arrived, LOST)

        def ended(running: asyncio.Future[str]) -> None:
            if self.bulk is not None:
                self.bulk.shut()  # a thread may be sending
            if running.cancelled():
                why = "its connection has ended"
            elif (error := running.exception()) is not None:  # no memory for a message, say
                why = f"its connection was lost: {error!r}"
            else:
                why = running.result()
            self._arrived(why)

        # The loop has a weak reference to a task alone: the callback keeps it.
        self._running = asyncio.ensure_future(exchange.run())
        self._running.add_done_callback(ended)
        return exchange

    def send(self, message: Packed, waits: Callable[[], None]) -> None:
        """See ``Route``."""
        stream, buffers = message
        # Copies: they may be written after their owners have died.
        self._exchange.put((stream, list(map(bytes, buffers))), waits)

    def handled(self, message: Packed) -> None:
        """See ``Route``."""
        self._exchange.handled(size_of(message))

    def link(self, reader: Direct, source: int) -> bool:
        """Connect the agent to another one, which asks it for shared data; return False if that cannot
        be. Blocks, for some seconds at most.

        Args:
            reader: the way to the other agent.
            source: the number by which that knows this host.
        """
        begun = self._link(reader, source)
        future = asyncio.run_coroutine_threadsafe(begun, self._client.loop.asyncio_loop)
        try:
            return not future.result(2 * _REACH)
        except (OSError, TimeoutError, CancelledError):
            future.cancel()
            return False

    async def _link(self, reader: Direct, source: int) -> str:
        what = {
            "op": CARRY_LINK,
            "key": self.key,
            "address": reader._address,
            "their": reader.key,
            "source": source,
        }
        comm, said = await asked(self._address, self._client.connection_args, what, _REACH)
        comm.abort()
        return said

    def end(self) -> None:
        """See ``Route``."""
        self._exchange.end()
        if self.bulk is not None:
            self.bulk.close()


class ByScheduler:
    """An actor on the Dask worker, called by way of the scheduler.

    Dask does not retire a worker with an actor: ``retire`` does it when the agent has ended.

    Args:
        client: the Dask client.
        address: the Dask worker's.

    Raises:
        OSError: the scheduler does not answer.
    """

    bulk: Bulk | None = None

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._key = f"onecopy-agent-{uuid4().hex}"
        with client.as_current():
            self._future = client.submit(
                Handle, actor=True, workers=[address], pure=False, key=self._key
            )
            self._actor = self._future.result(timeout=LOST)
        self._actor._client = client  # else it looks for a default client, which may be another

    def send(self, message: Packed, waits: Callable[[], None]) -> None:
        """See ``Route``."""
        stream, buffers = message
        waits()
        try:
            # Copies: should the host not answer, they may be sent after their owners have died.
            self._actor.send(stream, *map(bytes, buffers)).result(timeout=LOST)
        except (TimeoutError, RuntimeError, ValueError, CancelledError) as error:
            raise ConnectionError(f"it cannot be reached: {error}") from error

    def handled(self, message: Packed) -> None:
        """See ``Route``: here the host is asked for messages."""

    def take(self) -> list[Packed]:
        """Return what has come, after waiting for a while; ``LAST`` when the agent has ended.
        Raises OSError if the host has gone. One thread."""
        try:
            messages: list[Packed] = self._actor.poll(BEAT).result(timeout=LOST)
        except TimeoutError as error:
            raise ConnectionError(f"it has not answered for {LOST:g} s") from error
        except (RuntimeError, ValueError, CancelledError) as error:
            raise ConnectionError(f"it cannot be reached: {error}") from error
        return messages

    def end(self) -> None:
        """See ``Route``."""
        try:
            self._actor.end()
        except RuntimeError:
            return  # its worker has gone

    def retire(self, cancelled: threading.Event) -> None:
        """Drop the actor, and then let Dask retire the worker. The last call.
        Raises OSError, RuntimeError or ValueError if the scheduler cannot be asked.

        Args:
            cancelled: ends the wait.
        """
        # Not left to references: each call of an actor makes a cycle of them.
        self._client.cancel([self._future])
        end = monotonic() + LOST
        who_has = self._client.scheduler.who_has
        while self._client.sync(who_has, keys=[self._key]).get(self._key):
            if monotonic() > end or cancelled.wait(_AGAIN):
                return
        self._client.retire_workers([self._address])


def is_last(message: Packed) -> bool:
    """Return True for ``LAST``, as it comes over a connection."""
    return not len(message[0]) and not message[1]


def is_leaving(message: Packed) -> bool:
    """Return True for ``LEAVING``, as it comes over a connection."""
    return not len(message[0]) and bool(message[1])
