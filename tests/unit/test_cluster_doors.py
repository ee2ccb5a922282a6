"""A host's door for plain streams: who has the key comes in, and nothing else holds it up."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator

import pytest

from onecopy._cluster.carriers import doors
from onecopy._cluster.carriers.doors import Door, connect


class Peers:
    """The streams that a door was given by other hosts."""

    def __init__(self) -> None:
        self.came: queue.SimpleQueue[tuple[socket.socket, int]] = queue.SimpleQueue()

    def __call__(self, stream: socket.socket, number: int) -> None:
        self.came.put((stream, number))


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
def door(peers: Peers, request: pytest.FixtureRequest) -> Iterator[Door]:
    made = Door("127.0.0.1", peers, getattr(request, "param", 30.0))
    yield made
    made._listening.shutdown(socket.SHUT_RDWR)
    made._thread.join()
    made._listening.close()


def there_and_back(one: socket.socket, other: socket.socket) -> None:
    with one, other:
        assert one.gettimeout() is None
        assert other.gettimeout() is None
        one.sendall(b"question")
        assert other.recv(8, socket.MSG_WAITALL) == b"question"
        other.sendall(b"answer")
        assert one.recv(6, socket.MSG_WAITALL) == b"answer"


def test_the_driver_has_its_stream(door: Door) -> None:
    there_and_back(connect(door.address), door.driver())


def test_other_hosts_say_who_they_are(door: Door, peers: Peers) -> None:
    for number in (7, 2**40):
        one = connect(door.address, number)
        other, said = peers.came.get(timeout=30)
        assert said == number
        there_and_back(one, other)


@pytest.mark.parametrize("door", [0.1], indirect=True)
def test_nobody_comes_in_without_the_key(door: Door, peers: Peers) -> None:
    wrong = door.address._replace(key=bytes(32))
    for number in (0, 3):
        with pytest.raises(OSError, match=r"closed|reset"):
            connect(wrong, number)
    with pytest.raises(TimeoutError, match="has not come"):
        door.driver()
    assert peers.came.empty()


@pytest.mark.parametrize("door", [0.1], indirect=True)
def test_a_silent_or_broken_guest_holds_nobody_up(door: Door, peers: Peers) -> None:
    host, port, _ = door.address
    with socket.create_connection((host, port)) as half:
        half.sendall(b"half a hello")
    with socket.create_connection((host, port)):  # says nothing
        there = connect(door.address, 3)
        there_and_back(there, peers.came.get(timeout=30)[0])


def test_a_door_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = doors.Address("127.0.0.1", closed.getsockname()[1], bytes(32))
    with pytest.raises(OSError, match="refused"):
        connect(address)
    monkeypatch.setattr(doors, "REACH", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        connect(address._replace(port=silent.getsockname()[1]))
