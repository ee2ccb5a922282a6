"""Bytes of segments beside the messages: they arrive as they are, or an error says that they do not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._cluster.bulk import Bulk, hand_over, taken_over
from onecopy._cluster.mirrors import Mirrors
from onecopy._codec.codec import encode_arguments
from onecopy._codec.parcel import pack
from onecopy._codec.pickling import PEER
from onecopy._memory.segment import Segment, registry
from onecopy._system import mapping
from onecopy.errors import FileTruncated, NotEnoughMemory

_SIZE = 20_000_000  # more than a socket takes


@pytest.fixture
def ends() -> Iterator[tuple[Bulk, Bulk]]:
    ours, theirs = map(Bulk, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


@contextmanager
def meanwhile(call: Callable[..., Any], *args: Any) -> Iterator[list[BaseException]]:
    """Call it in a thread that has ended when the block is left; its error is in the list then."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call(*args)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        thread.join()


def extent_of(data: Any) -> tuple[Segment, int, int]:
    _, (wanted,) = pack(encode_arguments((data,), {}, PEER))
    return wanted


def mirrored(size: int) -> tuple[Mirrors, int]:
    mirrors, number = Mirrors(), registry.new_id()
    mirrors.begin(number, mapping.PAGE * -(-size // mapping.PAGE))
    return mirrors, number


def test_bytes_go_from_segment_to_mirror(ends: tuple[Bulk, Bulk]) -> None:
    data = oc.share(np.random.default_rng(0).integers(0, 9, _SIZE // 8))
    segment, start, stop = extent_of(data)
    mirrors, number = mirrored(_SIZE + 3)
    with meanwhile(ends[0].send, segment, start, stop) as raised:
        mirrors.receive(number, 3, stop - start, ends[1])
    assert not raised
    assert bytes(mirrors.segment(number).view(3, stop - start)) == data.tobytes()


def test_where_there_is_no_room_the_next_bytes_are_still_the_next(
    ends: tuple[Bulk, Bulk], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = oc.share(np.ones(_SIZE // 8)), oc.share(np.full(1000, 7.0))
    refused, number = mirrored(_SIZE)

    def no_room(offset: int, length: int) -> None:
        raise NotEnoughMemory(length, 0, "memory")

    backing = refused.segment(number).own()
    monkeypatch.setattr(type(backing), "reserve", lambda self, *where: no_room(*where))

    def send() -> None:
        ends[0].send(*extent_of(large))
        ends[0].send(*extent_of(small))

    with meanwhile(send) as raised:
        refused.receive(number, 0, _SIZE, ends[1])
        monkeypatch.undo()
        mirrors, other = mirrored(8000)
        mirrors.receive(other, 0, 8000, ends[1])
    assert not raised
    with pytest.raises(NotEnoughMemory):
        refused.segment(number)
    assert bytes(mirrors.segment(other).view(0, 8000)) == small.tobytes()


def test_a_file_is_sent_and_one_that_is_cut_keeps_the_stream_in_step(
    ends: tuple[Bulk, Bulk], tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(_SIZE // 8))
    data = oc.load(path)
    segment, start, stop = extent_of(data)
    mirrors, number = mirrored(_SIZE)
    with meanwhile(ends[0].send, segment, start, stop) as raised:
        mirrors.receive(number, 0, stop - start, ends[1])
    assert not raised
    assert bytes(mirrors.segment(number).view(0, stop - start)) == np.arange(_SIZE // 8).tobytes()
    with open(path, "r+b") as file:
        file.truncate(_SIZE // 2)
    small = oc.share(np.full(1000, 7.0))

    def send() -> None:
        try:
            ends[0].send(segment, start, stop)
        finally:
            ends[0].send(*extent_of(small))

    with meanwhile(send) as raised:
        mirrors.receive(number, 0, stop - start, ends[1])
        mirrors.receive(number, 0, 8000, ends[1])
    assert [type(each) for each in raised] == [FileTruncated]
    assert bytes(mirrors.segment(number).view(0, 8000)) == small.tobytes()


def test_a_segment_that_cannot_be_mapped_keeps_the_stream_in_step(
    ends: tuple[Bulk, Bulk], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = oc.share(np.ones(_SIZE // 8)), oc.share(np.full(1000, 7.0))

    def no_memory(self: Segment, offset: int, length: int) -> memoryview:
        raise OSError("no memory")

    def send() -> None:
        try:
            with monkeypatch.context() as patch:
                patch.setattr(Segment, "view", no_memory)
                ends[0].send(*extent_of(large))
        finally:
            ends[0].send(*extent_of(small))

    mirrors, number = mirrored(8000)
    with meanwhile(send) as raised:
        ends[1].skip(_SIZE)
        mirrors.receive(number, 0, 8000, ends[1])
    assert [str(each) for each in raised] == ["no memory"]
    assert bytes(mirrors.segment(number).view(0, 8000)) == small.tobytes()


@pytest.mark.parametrize("end", ["shut", "close"])
def test_a_sender_that_waits_is_woken_by_the_end(ends: tuple[Bulk, Bulk], end: str) -> None:
    segment, start, stop = extent_of(oc.share(np.ones(_SIZE // 8)))
    with meanwhile(ends[0].send, segment, start, stop) as raised:
        ends[1].skip(1)  # it has begun, and no one reads on
        getattr(ends[0], end)()
    assert [type(each) for each in raised] == [ConnectionError]


@pytest.mark.parametrize("how", ["receive", "skip"])
def test_an_end_in_the_middle_is_told(ends: tuple[Bulk, Bulk], how: str) -> None:
    small = oc.share(np.full(1000, 7.0))
    ends[0].send(*extent_of(small))
    ends[0].shut()
    mirrors, number = mirrored(_SIZE)
    read: dict[str, Callable[[], None]] = {
        "receive": lambda: mirrors.receive(number, 0, 8001, ends[1]),
        "skip": lambda: ends[1].skip(8001),
    }
    with pytest.raises(EOFError):
        read[how]()


def test_an_agent_is_given_its_end_or_told_that_there_is_none() -> None:
    driver, agent = socket.socketpair()
    ours, theirs = socket.socketpair()
    with driver, agent, ours:
        with theirs:
            hand_over(driver, theirs)
        hand_over(driver, None)
        bulk = taken_over(agent)
        assert bulk is not None
        ours.sendall(b"x" * 10)
        bulk.skip(10)
        bulk.close()
        assert taken_over(agent) is None
        driver.shutdown(socket.SHUT_RDWR)
        with pytest.raises(EOFError):
            taken_over(agent)
