"""Bytes of segments beside the messages: they arrive as they are, or an error says that they do not."""

from __future__ import annotations

import errno
import os
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
from onecopy._cluster.peers import handing
from onecopy._codec.codec import encode_arguments
from onecopy._codec.parcel import pack
from onecopy._codec.pickling import PEER
from onecopy._memory.segment import Segment, registry
from onecopy._system import mapping
from onecopy._system.splicing import Splice
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
    mirrors, number = Mirrors(lambda segment: None), registry.new_id()
    mirrors.begin(number, mapping.PAGE * -(-size // mapping.PAGE))
    return mirrors, number


@pytest.fixture(params=["fresh", "handed out"])
def at_work(request: pytest.FixtureRequest) -> bool:
    """Work has referred to the mirror before its bytes come: workers may have it mapped."""
    return bool(request.param == "handed out")


@pytest.mark.usefixtures("backing")
def test_bytes_go_from_segment_to_mirror(ends: tuple[Bulk, Bulk], at_work: bool) -> None:
    data = oc.share(np.random.default_rng(0).integers(0, 9, _SIZE // 8))
    segment, start, stop = extent_of(data)
    mirrors, number = mirrored(_SIZE + 3)
    if at_work:
        mirrors.segment(number)
    with meanwhile(ends[0].send, segment, start, stop) as raised:
        mirrors.receive(number, 3, stop - start, ends[1])
    assert not raised
    assert bytes(mirrors.segment(number).view(3, stop - start)) == data.tobytes()


@pytest.mark.usefixtures("backing")
def test_bytes_in_messages_go_to_the_mirror(at_work: bool) -> None:
    data = np.random.default_rng(0).bytes(10_000)
    mirrors, number = mirrored(20_000)
    if at_work:
        mirrors.segment(number)
    mirrors.fill(number, 4090, memoryview(data)[:5000])
    mirrors.fill(number, 9090, memoryview(data)[5000:])
    assert bytes(mirrors.segment(number).view(4080, 10_020)) == bytes(10) + data + bytes(10)


@pytest.mark.parametrize("method", ["take", "__init__"])
def test_bytes_that_the_kernel_does_not_move_are_copied(
    ends: tuple[Bulk, Bulk], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    calls: list[Any] = []
    kept = getattr(Splice, method)

    def at_first(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > 2:
            raise OSError(errno.EINVAL, "not here")
        return kept(*args)

    monkeypatch.setattr(Splice, method, at_first)
    data = oc.share(np.random.default_rng(0).integers(0, 9, _SIZE // 8))
    mirrors, number = mirrored(_SIZE)
    with meanwhile(ends[0].send, *extent_of(data)) as raised:
        mirrors.receive(number, 0, _SIZE, ends[1])
    assert not raised
    assert len(calls) > 2
    assert bytes(mirrors.segment(number).view(0, _SIZE)) == data.tobytes()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd")
def test_nobody_else_writes_to_what_workers_have() -> None:
    mirrors, number = mirrored(8000)
    mirrors.fill(number, 0, b"before")
    file = mirrors.segment(number).own()
    with pytest.raises(PermissionError):
        os.pwrite(file.descriptor(write=True), b"later", 0)
    with pytest.raises(PermissionError):
        mapping.map_shared(file.descriptor(write=True), 8000, write=True)
    mirrors.fill(number, 6, b" and after")
    assert bytes(mirrors.segment(number).view(0, 16)) == b"before and after"


@pytest.mark.parametrize("refusing", ["require", "reserve", "write", "put"])
def test_where_there_is_no_room_the_next_bytes_are_still_the_next(
    ends: tuple[Bulk, Bulk], monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    large, small = oc.share(np.ones(_SIZE // 8)), oc.share(np.full(1000, 7.0))
    refused, number = mirrored(_SIZE)
    if refusing == "reserve":
        refused.segment(number)  # it is mapped from now on
    calls: list[Any] = []

    def no_room(*args: Any) -> None:
        calls.append(args)
        if len(calls) > 1:
            raise (
                NotEnoughMemory(1, 0, "memory") if refusing != "put" else OSError(errno.ENOSPC, "")
            )
        kept(*args)

    at = Splice if refusing == "put" else type(extent_of(large)[0].own())
    kept = getattr(at, refusing)
    monkeypatch.setattr(at, refusing, no_room)
    monkeypatch.setattr(Splice, "possible", refusing == "put")

    def send() -> None:
        ends[0].send(*extent_of(large))
        ends[0].send(*extent_of(small))

    with meanwhile(send) as raised:
        refused.receive(number, 0, _SIZE, ends[1])
        monkeypatch.undo()
        mirrors, other = mirrored(8000)
        mirrors.receive(other, 0, 8000, ends[1])
    assert not raised
    assert len(calls) == 2
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


def test_an_agent_is_given_its_ends_or_told_that_there_are_none() -> None:
    driver, agent = socket.socketpair()
    ours, theirs = socket.socketpair()
    handing_here, handing_there = handing()
    with driver, agent, ours, handing_here:
        with theirs, handing_there:
            hand_over(driver, (theirs, handing_there))
        hand_over(driver, None)
        streams = taken_over(agent)
        assert streams is not None
        ours.sendall(b"x" * 10)
        handing_here.send(b"y")
        with streams[1]:
            assert streams[1].recv(9) == b"y"
        bulk = Bulk(streams[0])
        assert bulk.get(10) == b"x" * 10
        bulk.close()
        assert taken_over(agent) is None
        driver.shutdown(socket.SHUT_RDWR)
        with pytest.raises(EOFError):
            taken_over(agent)
