"""Messages both ways over one of Dask's own connections, a *comm*: the same at both ends.

Whatever has come while the last write was under way goes into the next one: a thousand small messages
take a few writes. Each end tells the other how many bytes it has handled: a sender waits while too many are
not, since a comm takes any number. Each end is heard of every ``BEAT`` seconds; one that is silent
for too long is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

from distributed.comm.core import connect
from distributed.protocol.serialize import ToPickle

from ..connection import Packed, size_of

# Seconds between two signs of life.
BEAT = 2.0
# Bytes that the other end has not handled yet; a message is sent if there are fewer.
WINDOW = 16 << 20
# The other end is told of handled bytes at once from this number on, and else with the next write.
_TELL = WINDOW // 4
# Below this number of bytes copies are cheaper than buffers of their own.
_SMALL = 64 << 10

LEAVING: Packed = (b"", [b"leaving"])
"""A host's message that its Dask worker is to end."""


class Exchange:
    """See the module. Made in the event loop that runs ``run``.

    Args:
        comm: a connection; closed by ``run``.
        arrived: called in the event loop with each message.
        silence: seconds without a sign of life after which the other end is lost.
    """

    def __init__(self, comm: Any, arrived: Callable[[Packed], None], silence: float) -> None:
        self._comm = comm
        self._arrived = arrived
        self._most_silent = round(silence / BEAT)
        self._loop = asyncio.get_running_loop()
        self._due = asyncio.Event()
        self._changed = threading.Condition()
        self._waiting: list[Packed] = []
        self._awake = False  # the writer will look
        self._unhandled = 0  # of ours, by the other end
        self._handled = 0  # of theirs, and not told yet
        self._heard = True
        self._over = ""

    # Any thread.

    def put(self, message: Packed, waits: Callable[[], None] | None = None) -> None:
        """Send a message, whose buffers must stay as they are. Blocks while the other end has too
        much to handle, and calls ``waits`` before that. Raises ConnectionError if it has gone."""
        with self._changed:
            if waits is not None and self._unhandled >= WINDOW and not self._over:
                waits()
            while self._unhandled >= WINDOW and not self._over:
                self._changed.wait()
            if self._over:
                raise ConnectionError(self._over)
            self._waiting.append(message)
            self._unhandled += size_of(message)
            self._wake()

    def handled(self, size: int) -> None:
        """Note that bytes which have arrived are not in memory any more."""
        with self._changed:
            self._handled += size
            if self._handled >= _TELL:
                self._wake()

    def end(self) -> None:
        """Close the connection."""
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._comm.abort)

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            try:
                self._loop.call_soon_threadsafe(self._due.set)
            except RuntimeError:  # the loop was closed
                self._stop("the event loop has ended")

    def _stop(self, why: str) -> None:
        with self._changed:
            self._over = self._over or why
            self._changed.notify_all()

    # The event loop.

    async def run(self) -> str:
        """Carry messages until the connection ends; return the reason."""
        parts = [
            asyncio.ensure_future(each) for each in (self._read(), self._write(), self._beat())
        ]
        why = "its connection has ended"
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            why = done.pop().result()
        finally:
            self._stop(why)
            self._comm.abort()
            for each in parts:
                each.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        return why

    async def _read(self) -> str:
        try:
            while True:
                handled, messages = _opened(await self._comm.read())
                self._heard = True
                if handled:
                    with self._changed:
                        self._unhandled -= handled
                        self._changed.notify_all()
                while messages:  # none is kept while nothing comes
                    self._arrived(messages.pop(0))
        except OSError as error:
            return _lost(error)

    async def _write(self) -> str:
        try:
            while True:
                await self._due.wait()
                with self._changed:
                    self._due.clear()
                    self._awake = False
                    messages, self._waiting = self._waiting, []
                    handled, self._handled = self._handled, 0
                await self._comm.write(_closed(handled, messages))
                del messages
        except OSError as error:
            return _lost(error)

    async def _beat(self) -> str:
        silent = 0
        # Counted, and not read from a clock: after a loop that was held up comes what has arrived.
        while silent < self._most_silent:
            silent = 0 if self._heard else silent + 1
            self._heard = False
            self._due.set()
            await asyncio.sleep(BEAT)
        return f"it has not answered for {silent * BEAT:g} s"


async def asked(
    address: str, arguments: dict[str, Any], what: dict[str, Any], reach: float
) -> tuple[Any, str]:
    """Return a new connection to a Dask worker, and its first answer. Raises OSError.

    Args:
        address: its own.
        arguments: of Dask's, for its security.
        what: the operation, and what belongs to it.
        reach: seconds to wait for a connection.
    """
    comm: Any = await connect(address, timeout=reach, **arguments)  # type: ignore[no-untyped-call]  # it has no types
    try:
        await comm.write({**what, "reply": False})
        return comm, await comm.read()
    except BaseException:
        comm.abort()
        raise


def taken_out(comm: Any) -> socket.socket:
    """Return the socket of a plain TCP connection, which is Dask's no more. It blocks.

    Nothing may be on its way to this end: Dask may have read it already.
    """
    sock: socket.socket = comm.stream.socket.dup()
    comm.abort()  # closes Dask's descriptor, and does not end the connection
    sock.setblocking(True)
    # Dask's limit for bytes that the other end does not take. It may take its time: whether it is
    # there, the messages tell.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    return sock


def _lost(error: OSError) -> str:
    # Dask's texts begin with both addresses.
    return f"its connection was lost: {str(error).rpartition(': ')[2]}"


def _closed(handled: int, messages: list[Packed]) -> Any:
    """Return what a comm is given; large buffers are not copied."""
    if sum(map(size_of, messages)) < _SMALL:
        return handled, [(bytes(stream), list(map(bytes, rest))) for stream, rest in messages]
    whole = pickle.PickleBuffer
    return ToPickle(
        (handled, [(whole(stream), list(map(whole, rest))) for stream, rest in messages])
    )


def _opened(message: Any) -> tuple[int, list[Packed]]:
    whole = isinstance(message, ToPickle)  # within one process nothing is pickled
    handled, messages = message.data if whole else message
    return handled, [(_bytes(stream), list(map(_bytes, rest))) for stream, rest in messages]


def _bytes(data: Any) -> Any:
    return memoryview(data) if isinstance(data, pickle.PickleBuffer) else data
