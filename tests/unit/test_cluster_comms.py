"""Messages both ways over a Dask connection: order, limits, and an end that says nothing."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed.comm.core import CommClosedError
from distributed.protocol.serialize import ToPickle

from onecopy._cluster.carriers import comms
from onecopy._cluster.carriers.comms import Exchange
from onecopy._cluster.carriers.dask_host import _pass_on
from onecopy._cluster.connection import Packed, size_of


class Comm:
    """One end of a connection within this thread. What is written can be read at the other end."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.other: Comm
        self.writes: list[Any] = []
        self.mute = False

    async def read(self) -> Any:
        message = await self.inbox.get()
        if message is None:
            raise CommClosedError("closed")
        return message

    async def write(self, message: Any) -> None:
        self.writes.append(message)
        if not self.mute:
            self.other.inbox.put_nowait(message)

    def abort(self) -> None:
        self.other.inbox.put_nowait(None)
        self.inbox.put_nowait(None)


def ends(arrived: Callable[[Packed], None], silence: float = 1e6) -> tuple[Exchange, Exchange]:
    """Two ends of a connection; ``arrived`` is called at the second one."""
    ours, theirs = Comm(), Comm()
    ours.other, theirs.other = theirs, ours
    return (
        Exchange(ours, lambda message: None, silence),
        Exchange(theirs, arrived, silence),
    )


def written(exchange: Exchange) -> list[Any]:
    """The writes of an end: the count of handled bytes, and the messages."""
    writes: list[Any] = exchange._comm.writes
    return [each.data if isinstance(each, ToPickle) else each for each in writes]


def test_messages_come_in_order_and_those_that_wait_go_together() -> None:
    came: list[Packed] = []

    async def main() -> None:
        ours, theirs = ends(came.append)
        sent: list[Packed] = [(bytes([i]), [b"x" * i]) for i in range(50)]
        for message in sent:
            ours.put(message)
        running = [asyncio.ensure_future(each.run()) for each in (ours, theirs)]
        while len(came) < 50:
            await asyncio.sleep(0)
        assert came == sent
        assert sum(bool(messages) for _, messages in written(ours)) == 1
        ours.end()
        assert "connection was lost" in (await running[0])
        assert "connection was lost" in (await running[1])

    asyncio.run(main())


def test_large_buffers_are_not_copied() -> None:
    async def main() -> None:
        came: list[Packed] = []
        ours, theirs = ends(came.append)
        data = bytearray(1 << 20)
        ours.put((b"stream", [memoryview(data)]))
        running = [asyncio.ensure_future(each.run()) for each in (ours, theirs)]
        while not came:
            await asyncio.sleep(0)
        ((stream, (buffer,)),) = came
        assert bytes(stream) == b"stream"
        data[0] = 7
        assert memoryview(buffer)[0] == 7
        ours.end()
        await asyncio.gather(*running)

    asyncio.run(main())


def test_a_sender_waits_until_enough_was_handled() -> None:
    async def main() -> None:
        came: list[Packed] = []
        ours, theirs = ends(came.append)
        running = [asyncio.ensure_future(each.run()) for each in (ours, theirs)]
        message: Packed = (b"", [b"x" * comms.WINDOW])
        ours.put(message)
        second = asyncio.ensure_future(asyncio.to_thread(ours.put, message))
        while not came:
            await asyncio.sleep(0)
        assert not second.done()
        theirs.handled(size_of(came[0]))
        await second
        while len(came) < 2:
            await asyncio.sleep(0)
        # One that waits is told when the connection has gone.
        third = asyncio.ensure_future(asyncio.to_thread(ours.put, message))
        theirs.end()
        with pytest.raises(ConnectionError, match="connection was lost"):
            await third
        await asyncio.gather(*running)

    asyncio.run(main())


def test_an_end_that_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comms, "BEAT", 0.001)

    async def main() -> None:
        ours, theirs = ends(lambda message: None, silence=0.05)
        theirs._comm.mute = True
        running = asyncio.ensure_future(theirs.run())
        assert "has not answered" in await ours.run()
        # The other end hears, and is not told of its own silence.
        assert "connection was lost" in await running
        assert len(theirs._comm.writes) > 40

    asyncio.run(main())


def test_an_agent_that_is_sent_nothing_any_more_ends() -> None:
    """After a bug too: its driver must not wait for it."""

    class Agent:
        is_shut = False

        def pass_on(self, message: Packed) -> None:
            raise LookupError

        def shut(self) -> None:
            self.is_shut = True

    arrived: queue.SimpleQueue[Packed] = queue.SimpleQueue()
    arrived.put((b"message", []))
    agent: Any = Agent()
    exchange: Any = None
    with pytest.raises(LookupError):
        _pass_on(arrived, agent, exchange)
    assert agent.is_shut
