"""Streams from agent to agent: what one host has comes to another, or an error says that it does not."""

from __future__ import annotations

import socket
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from onecopy._cluster import peers
from onecopy._cluster.mirrors import Mirrors
from onecopy._cluster.peers import Peers, hand, handing
from onecopy._memory.segment import registry
from onecopy._system import mapping
from onecopy._system.anonymous import AnonymousFile
from tests.scripts import until

_SIZE = 10 << 20


class Agent:
    """The part of an agent that other agents see."""

    def __init__(self) -> None:
        self.lacking: list[int] = []
        self.mirrors = Mirrors(self.lacking.append)
        self.carrier, handed = handing()
        self.peers = Peers(handed, self.mirrors)


@pytest.fixture
def ends() -> Iterator[tuple[Agent, Agent]]:
    """An agent that asks, and one that answers as number 5."""
    asks, answers = Agent(), Agent()
    one, other = socket.socketpair()
    with one, other:
        hand(asks.carrier, one, 5)
        hand(answers.carrier, other, None)
    yield asks, answers
    for each in (asks, answers):
        each.peers.close()
        each.carrier.close()


def filled(agent: Agent, number: int) -> bytes:
    data = np.random.default_rng(0).bytes(_SIZE)
    agent.mirrors.begin(number, _SIZE)
    agent.mirrors.fill(number, 0, data)
    return data


@pytest.mark.usefixtures("backing")
@pytest.mark.parametrize("at_work", [False, True])
def test_bytes_come_as_they_are(ends: tuple[Agent, Agent], at_work: bool) -> None:
    asks, answers = ends
    theirs, ours = registry.new_id(), registry.new_id()
    data = filled(answers, theirs)
    # The two are one process here, where an id names one segment: so the same is fetched as two.
    answers.mirrors._roots[ours] = answers.mirrors._roots[theirs]
    asks.mirrors.begin(ours, _SIZE)
    if at_work:
        answers.mirrors.segment(theirs)
        asks.mirrors.segment(ours)
    for offset, size in ((0, 5_000_000), (5_000_000, _SIZE - 5_000_000)):
        asks.peers.fetch(5, ours, offset, size)
    assert bytes(asks.mirrors.segment(ours).view(0, _SIZE)) == data


def test_what_was_given_is_kept_by_nobody(ends: tuple[Agent, Agent]) -> None:
    """Its memory is free when the driver's last view dies, although the stream stays."""
    asks, answers = ends
    theirs, ours = registry.new_id(), registry.new_id()
    filled(answers, theirs)
    answers.mirrors._roots[ours] = answers.mirrors._roots[theirs]
    asks.mirrors.begin(ours, _SIZE)
    asks.peers.fetch(5, ours, 0, _SIZE)
    given = weakref.ref(answers.mirrors._roots[theirs][0])
    for number in (theirs, ours):
        answers.mirrors.forget(number)
    until(lambda: given() is None)


def test_what_is_not_there_is_not_given(ends: tuple[Agent, Agent]) -> None:
    asks, _ = ends
    with pytest.raises(EOFError):
        asks.peers.fetch(5, registry.new_id(), 0, 10)
    # One that has failed is not asked again, even if the driver says so.
    with pytest.raises(EOFError):
        asks.peers.fetch(5, registry.new_id(), 0, 10)


@pytest.mark.parametrize("how", ["ended", "silent", "short"])
def test_one_that_stops_in_the_middle(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(peers, "_SILENCE", 0.2)
    asks = Agent()
    number = registry.new_id()
    asks.mirrors.begin(number, _SIZE)
    one, other = socket.socketpair()
    with other:
        hand(asks.carrier, one, 5)
        one.close()
        other.sendall(b"\1" + b"x" * 1000)
        if how == "ended":
            other.shutdown(socket.SHUT_WR)
        elif how == "short":
            other.close()
        with pytest.raises(EOFError):
            asks.peers.fetch(5, number, 0, 100_000)
    # What was written is written again.
    asks.mirrors.fill(number, 0, b"y" * 100_000)
    assert bytes(asks.mirrors.segment(number).view(0, 100_000)) == b"y" * 100_000
    asks.peers.close()
    asks.carrier.close()


def test_a_file_that_is_shorter_than_was_asked_for(
    ends: tuple[Agent, Agent],
) -> None:
    asks, answers = ends
    theirs, ours = registry.new_id(), registry.new_id()
    filled(answers, theirs)
    answers.mirrors._roots[ours] = answers.mirrors._roots[theirs]
    asks.mirrors.begin(ours, 2 * _SIZE)
    with pytest.raises(EOFError):
        asks.peers.fetch(5, ours, _SIZE - mapping.PAGE, 10 * mapping.PAGE)


def test_an_agent_that_never_gets_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_SILENCE", 0.05)
    agent = Agent()
    with pytest.raises(EOFError):
        agent.peers.fetch(9, registry.new_id(), 0, 10)
    agent.peers.close()
    agent.carrier.close()


def test_no_room(ends: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are read all the same, so that what is fetched next is what was asked for."""
    asks, answers = ends
    theirs, full, ours = registry.new_id(), registry.new_id(), registry.new_id()
    data = filled(answers, theirs)
    for number in (full, ours):
        answers.mirrors._roots[number] = answers.mirrors._roots[theirs]
        asks.mirrors.begin(number, _SIZE)

    def refuse(file: AnonymousFile, size: int) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(type(asks.mirrors._roots[full][0].own()), "require", refuse)
        asks.peers.fetch(5, full, 0, _SIZE)
    assert asks.lacking[0] == full
    assert asks.mirrors.lost(full)
    asks.peers.fetch(5, ours, 0, _SIZE)
    assert bytes(asks.mirrors.segment(ours).view(0, _SIZE)) == data
