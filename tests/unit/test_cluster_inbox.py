"""A host's messages are handled in order, also where large parts of results come beside them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from onecopy._cluster import large_results
from onecopy._cluster.bulk import Bulk
from onecopy._cluster.inbox import Inbox
from onecopy._cluster.interface import Item
from onecopy._cluster.large_results import Landing, messages
from onecopy._codec.parcel import RICH, Parcel
from tests.scripts import until

_LARGE = 3 << 20


class Driver:
    """The driver's end of one host. ``heard``: what was handled, results with their bytes."""

    def __init__(self, stream: socket.socket | None) -> None:
        self.bulk = Bulk(stream) if stream is not None else None
        self.broken = threading.Event()
        self.heard: list[Any] = []
        self._handling = threading.Lock()
        self.inbox = Inbox()
        self.inbox.open(self.bulk, self._take, self.broken.set)

    def _take(self, items: list[Item]) -> None:
        assert self._handling.acquire(blocking=False), "two threads at once"
        for item in items:
            name, *values = item
            if name == "lands":
                self.inbox.lands(*values)
            elif name == "landed":
                landing = self.inbox.landings[values[0]]
                assert isinstance(landing, Landing)
                landing.fill(values[1])
            elif name == "ended" and values[-1].stream is None:
                landed = self.inbox.landings.pop((values[0], -1))
                found = landed.whole(values[-1]) if isinstance(landed, Landing) else landed
                self.heard.append((name, values[0], found))
            else:
                self.heard.append(item)
        self._handling.release()


@pytest.fixture
def ends() -> Iterator[tuple[Driver, Bulk]]:
    """The driver, and the agent's end of the stream."""
    ours, theirs = socket.socketpair()
    driver, agent = Driver(ours), Bulk(theirs)
    yield driver, agent
    driver.inbox.close()
    agent.close()
    assert driver.bulk is not None
    driver.bulk.close()
    until(lambda: not [each for each in threading.enumerate() if each.name == "onecopy-results"])


def result(number: int, *sizes: int) -> Item:
    buffers = tuple(bytearray(os.urandom(size)) for size in sizes)
    return "ended", number, Parcel(RICH, bytearray(b"stream"), buffers=buffers)


def said(items: list[Item]) -> list[tuple[list[Item], list[memoryview]]]:
    return list(messages(items, streams=True))


def test_all_comes_in_order(ends: tuple[Driver, Bulk]) -> None:
    driver, agent = ends
    items = [result(1, 5), result(2, _LARGE, 0, 7), ("said", 1), result(3, _LARGE), result(4, 9)]

    def send() -> None:
        for message, parts in said(items):
            driver.inbox.received(message)
            for part in parts:
                agent.put(part)

    sender = threading.Thread(target=send)
    sender.start()
    sender.join()
    until(lambda: len(driver.heard) == len(items))
    assert driver.heard == items


def test_what_comes_after_a_result_waits_for_it(ends: tuple[Driver, Bulk]) -> None:
    """The messages are faster than the stream."""
    driver, agent = ends
    items = [result(1, _LARGE), ("said", 1), result(2, _LARGE), ("said", 2), ("bye",)]
    streamed = []
    for message, parts in said(items):
        driver.inbox.received(message)
        streamed += parts
    assert driver.heard == []
    for part in streamed[:1]:
        agent.put(part)
    agent.put(streamed[1][:-1])
    assert driver.heard == []
    agent.put(streamed[1][-1:])
    until(lambda: len(driver.heard) == 2)
    for part in streamed[2:]:
        agent.put(part)
    until(lambda: len(driver.heard) == len(items))
    assert driver.heard == items


def test_a_result_without_room_does_not_touch_the_next(
    ends: tuple[Driver, Bulk], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, agent = ends
    items = [result(1, _LARGE), result(2, _LARGE // 2)]
    monkeypatch.setattr(large_results, "available", lambda: _LARGE + large_results._SPARE)
    for message, parts in said(items):
        driver.inbox.received(message)
        for part in parts:
            agent.put(part)
    until(lambda: len(driver.heard) == 2)
    (_, one, refused), whole = driver.heard
    assert one == 1
    assert refused.wanted > _LARGE
    assert whole == items[1]


def test_a_stream_that_ends_takes_the_host_with_it(ends: tuple[Driver, Bulk]) -> None:
    driver, agent = ends
    items = [("said", 1), result(1, _LARGE), ("said", 2)]
    for message, parts in said(items):
        driver.inbox.received(message)
        for part in parts[:1]:
            agent.put(part)
    agent.shut()
    assert driver.broken.wait(30)
    driver.inbox.received([("bye",)])
    assert driver.heard == items[:1]
    driver.inbox.close()
    assert driver.heard == items[:1]
    assert not driver.inbox.landings


def test_without_a_stream_nothing_waits() -> None:
    driver = Driver(None)
    items = [result(1, 2 * large_results.PIECE + 5), ("said", 1)]
    for message, parts in messages(items):
        assert not parts
        driver.inbox.received(message)
    assert driver.heard == items


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_so_does_a_bug_while_it_is_read(
    ends: tuple[Driver, Bulk], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, _ = ends

    def with_a_bug(landing: Landing, bulk: Bulk) -> None:
        raise LookupError

    monkeypatch.setattr(Landing, "read", with_a_bug)
    message, _ = said([result(1, _LARGE)])[0]
    driver.inbox.received(message)
    assert driver.broken.wait(30)
