"""Parts of the cluster by themselves: clocks, versions, warnings, lost work, without a process."""

from __future__ import annotations

import select
import socket
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onecopy._cluster import arrivals, room
from onecopy._cluster.clock import Clock
from onecopy._cluster.connection import Connection, Incoming, framed, packed, unpacked
from onecopy._cluster.host import Slot
from onecopy._engine.effects import Effects
from onecopy._protocol import wire
from onecopy._schedule.events import Distant
from onecopy.errors import HostLost


def test_the_shortest_round_trip_sets_the_clock() -> None:
    clock = Clock()
    clock.answered(100, 1_000_000, 900)  # within 400
    assert clock.here(1_000_000) == 500
    clock.answered(2000, 1_001_500, 2010)  # within 5
    assert clock.here(1_001_500) == 2005
    clock.answered(3000, 1_002_000, 4000)
    assert clock.here(1_001_500) == 2005
    assert clock.here(0) == 0


def test_later_round_trips_replace_earlier_ones() -> None:
    clock = Clock()
    clock.answered(0, 1000, 2)
    for at in range(100, 900, 100):
        clock.answered(at, at + 1500, at + 20)
    assert clock.offset == -1490


def test_measurements_on_the_driver_s_clock() -> None:
    clock = Clock()
    spent = wire.SPENT.pack(*range(1, 1 + len(wire.SPENT.unpack(bytes(wire.SPENT.size)))))
    assert clock.spent(spent) == spent
    clock.answered(0, 1000, 0)
    shifted = wire.SPENT.unpack(clock.spent(spent))
    assert shifted[:5] == tuple(at - 1000 for at in range(1, 6))
    assert shifted[5:] == wire.SPENT.unpack(spent)[5:]


def test_messages_through_a_socket() -> None:
    ours, theirs = map(Connection, socket.socketpair())
    large = np.arange(3_000_000)
    message = [("piece", 1, b""), ("more", large, [np.zeros(0), "x" * 100_000])]

    def send() -> None:
        ours.send(message)
        ours.close()

    sending = threading.Thread(target=send)
    sending.start()
    (first, (name, array, (empty, text))) = theirs.receive()
    assert first == message[0]
    assert name == "more"
    assert (array == large).all()
    assert array.flags.writeable
    assert len(empty) == 0
    assert text == "x" * 100_000
    with pytest.raises(EOFError):
        theirs.receive()
    sending.join()
    theirs.close()


def test_a_lost_host_says_why() -> None:
    assert str(HostLost("a", "its agent ended", "f (task 3)")) == (
        "a was lost while it had f (task 3): its agent ended"
    )
    assert "given out 2 times" in str(HostLost("b", "", "f", ("a", "b")))


def test_a_host_far_away_is_given_more_ahead() -> None:
    told: list[Any] = []

    class Table:
        def join(self, slot: Any) -> Any:
            told.append(slot.number)
            return Effects()

        def handle(self, event: Any) -> Any:
            told.append(event)
            return Effects()

    host: Any = SimpleNamespace(clock=Clock())
    table: Any = Table()
    room.take_in(table, Slot(7, host))
    host.clock.answered(0, 5_000_000, 10_000_000)
    room.take_in(table, Slot(8, host))
    host.clock = Clock()
    host.clock.answered(0, 0, 10**10)  # a busy moment
    room.take_in(table, Slot(9, host))
    assert told == [7, 8, Distant(8, 10_000_000), 9, Distant(9, 100_000_000)]


def test_blocked_slots_are_looked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(arrivals, "monotonic", lambda: now)
    woken: list[float] = []
    nothing: Any = None
    made = arrivals.Arrivals(
        nothing, nothing, nothing, nothing, lambda: woken.append(now), nothing, nothing
    )
    assert made._may_look()
    # A moment later the service is told once to look in time.
    assert not made._may_look()
    assert not made._may_look()
    assert made.due
    assert woken == [100.0]
    now += arrivals.LOOK
    assert made._may_look()


@pytest.mark.parametrize("piece", [1, 7, 1000, 70_000])
def test_messages_as_their_bytes_come(piece: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(True)
    sent = [b"", [("a", 1)], np.arange(20_000), ("b", [b"x" * 5, np.zeros(0), np.ones(30_000)]), 2]
    data = b"".join(b"".join(framed(packed(each))) for each in sent)
    if piece == 1:
        sent, data = sent[:2], b"".join(b"".join(framed(packed(each))) for each in sent[:2])
    incoming = Incoming(theirs, memoryview(bytearray(500)))
    assert incoming.arrived() == []  # nothing is there
    came: list[Any] = []
    for at in range(0, len(data), piece):
        ours.sendall(data[at : at + piece])
        while messages := _until_empty(theirs, incoming):
            came += messages
    assert len(came) == len(sent)
    for got, said in zip(map(unpacked, came), sent, strict=True):
        assert repr(got) == repr(said)
    assert unpacked(came[-1]) == sent[-1]
    ours.close()
    with pytest.raises(EOFError):
        incoming.arrived()
    theirs.close()


def _until_empty(sock: socket.socket, incoming: Incoming) -> list[Any]:
    """Return the messages that are whole once all bytes that have come were read."""
    came: list[Any] = []
    while select.select([sock], [], [], 0)[0]:
        came += incoming.arrived()
    return came


def test_a_sender_says_that_it_waits() -> None:
    ours, theirs = map(Connection, socket.socketpair())
    waited = threading.Event()
    large = packed(np.arange(1_000_000))
    sending = threading.Thread(target=ours.pass_on, args=(large, waited.set))
    assert ours.pass_on(packed("short"), lambda: pytest.fail("it does not wait")) > 0
    sending.start()
    assert waited.wait(60)
    assert theirs.receive() == "short"
    assert (theirs.receive() == np.arange(1_000_000)).all()
    sending.join()
    ours.close()
    theirs.close()
