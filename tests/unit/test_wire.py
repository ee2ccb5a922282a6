"""Frames as the reader cuts them: however the stream is split, and what comes of a mutilated one."""

from __future__ import annotations

import os
import random
import resource
import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onecopy._protocol import wire
from onecopy._protocol.wire import BrokenFrame, Frame, FrameReader, pack
from onecopy._system import descriptors

# As long as a reader's buffer can be: a frame of which a byte is missing, and room to read.
LARGEST = wire.MOST + wire.HEADER.size + 2 * wire._ROOM

BODIES = st.one_of(
    st.binary(max_size=200),
    # Around the reader's room, and the longest that there is.
    st.sampled_from([0, wire._ROOM // 2, wire._ROOM - wire.HEADER.size, wire._ROOM, wire.MOST]).map(
        bytes
    ),
)


class Sent:
    """A frame to send: with `files` descriptors, each of a pipe of its own."""

    def __init__(self, type: int, flags: int, id: int, body: bytes, files: int) -> None:
        self.files = files
        self.plain = type, flags, id, body
        self.bytes = pack(type, body, flags, id, files)

    def __repr__(self) -> str:
        type, flags, id, body = self.plain
        return f"Sent({type}, {flags}, {id}, {body[:10]!r} of {len(body)}, {self.files})"


FRAMES = st.lists(
    st.builds(
        Sent,
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, (1 << 64) - 1),
        BODIES,
        st.sampled_from([0, 0, 0, 1, 3]),
    ),
    min_size=1,
    max_size=6,
)


class Peers:
    """Both ends of a socket; the one is written, the other read after each write."""

    def __init__(self) -> None:
        self.writes, self.reads = socket.socketpair()
        self.writes.setblocking(False)
        self.reader = FrameReader(self.reads)
        self.frames: list[Frame] = []
        self.ended: BaseException | None = None

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_: object) -> None:
        self.writes.close()
        for frame in self.frames:
            for fd in frame.fds:
                os.close(fd)
        self.reader.close()
        self.reads.close()

    def write(self, data: bytes, fds: list[int]) -> None:
        """Write all of it, and read meanwhile: the kernel holds less than a long frame."""
        view = memoryview(data)
        while view and self.ended is None:
            try:
                sent = self.writes.sendmsg([view], descriptors.rights(fds))
                view, fds = view[sent:], []
            except BlockingIOError:
                pass
            self.read()

    def read(self) -> None:
        """Read until nothing is there."""
        while self.ended is None:
            try:
                self.frames += self.reader.read(wire.NOW)
            except BlockingIOError:
                return
            except (BrokenFrame, EOFError) as error:
                self.ended = error
            assert len(self.reader._buffer) <= LARGEST


@given(FRAMES, st.lists(st.floats(0, 1), max_size=8))
def test_any_split_gives_the_same_frames(frames: list[Sent], cuts: list[float]) -> None:
    stream = b"".join(frame.bytes for frame in frames)
    begins = [sum(len(f.bytes) for f in frames[:at]) for at in range(len(frames))]
    # A frame's descriptors go with its first byte, so there is a cut in front of each that has any.
    with_files = {begin: frame.files for begin, frame in zip(begins, frames, strict=True)}
    chosen = {int(cut * len(stream)) for cut in cuts} | {b for b, n in with_files.items() if n}
    edges = sorted(chosen - {len(stream)} | {0})
    with Peers() as peers:
        for start, stop in zip(edges, [*edges[1:], len(stream)], strict=True):
            pipes = [os.pipe() for _ in range(with_files.get(start, 0))]
            peers.write(stream[start:stop], [read for read, _ in pipes])
            for pipe in pipes:
                os.close(pipe[0])
                os.close(pipe[1])
        assert peers.ended is None
        assert [tuple(frame[:4]) for frame in peers.frames] == [frame.plain for frame in frames]
        assert [len(frame.fds) for frame in peers.frames] == [frame.files for frame in frames]
        assert peers.reader.bytes_read == len(stream)


def test_descriptors_come_in_the_order_in_which_they_were_sent() -> None:
    with Peers() as peers:
        pipes = [os.pipe() for _ in range(3)]
        peers.write(pack(1, fds=1) + pack(2, b"x") + pack(3, fds=2), [read for read, _ in pipes])
        for at, (read, write) in enumerate(pipes):
            os.write(write, bytes([at]))
            os.close(write)
            os.close(read)
        got = [[os.read(fd, 1)[0] for fd in frame.fds] for frame in peers.frames]
        assert got == [[0], [], [1, 2]]
        assert not any(os.get_inheritable(fd) for frame in peers.frames for fd in frame.fds)


@given(FRAMES, st.integers(0, 1 << 32), st.integers(1, 20))
def test_a_mutilated_stream_ends_or_waits(frames: list[Sent], seed: int, changes: int) -> None:
    """Frames, the protocol's error, or more awaited: nothing else, and no memory beyond a frame."""
    stream = bytearray(b"".join(frame.bytes for frame in frames))
    chance = random.Random(seed)
    for _ in range(changes):
        at = chance.randrange(len(stream))
        if chance.random() < 0.5:
            stream[at] = chance.randrange(256)
        else:
            del stream[at : at + chance.randrange(1, 40)]
        if not stream:
            break
    with Peers() as peers:
        peers.write(bytes(stream), [])
        assert peers.ended is None or isinstance(peers.ended, BrokenFrame)
        assert all(len(frame.body) <= wire.MOST for frame in peers.frames)
        read = sum(wire.HEADER.size + len(frame.body) for frame in peers.frames)
        assert read <= peers.reader.bytes_read
        peers.writes.close()
        peers.read()
        # One that is broken says so for ever, whatever comes.
        assert isinstance(peers.ended, BrokenFrame if peers.reader.broken else EOFError)


@given(st.integers(wire.MOST + 1, (1 << 32) - 1), st.integers(0, 255))
@example(wire.MOST + 1, 0)
@example((1 << 32) - 1, 0)
def test_too_long_a_frame_is_refused_by_its_head(length: int, type: int) -> None:
    with Peers() as peers:
        peers.write(wire.HEADER.pack(length, type, 0, 0, 0), [])
        assert str(peers.ended) == f"a frame of type {type} announces {length} bytes"
        assert len(peers.reader._buffer) <= LARGEST


def test_the_whole_frames_before_a_broken_one_arrive() -> None:
    with Peers() as peers:
        peers.writes.send(pack(1, b"a") + pack(2, b"b") + wire.HEADER.pack(1 << 31, 3, 0, 0, 0))
        assert [frame.body for frame in peers.reader.read()] == [b"a", b"b"]
        assert peers.reader.broken is not None
        for _ in range(2):
            with pytest.raises(BrokenFrame, match="type 3"):
                peers.reader.read()


def test_a_frame_without_its_descriptors() -> None:
    with Peers() as peers:
        peers.write(pack(7, b"a", fds=1), [])
        assert str(peers.ended) == "a frame of type 7 came without its descriptors"


def test_descriptors_that_no_frame_claims_are_closed() -> None:
    with Peers() as peers:
        read, write = os.pipe()
        peers.write(pack(1), [write])
        os.close(write)
        assert peers.frames == [(1, 0, 0, b"", [])]
        peers.reader.close()
        assert os.read(read, 1) == b"", "this was the last end that writes"
        os.close(read)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """The next descriptor is one too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_that_are_one_too_many(request: pytest.FixtureRequest) -> None:
    with Peers() as peers:
        peers.writes.sendmsg([pack(1, fds=1)], descriptors.rights([0]))
        request.getfixturevalue("few_descriptors")
        with pytest.raises(OSError, match="ulimit -n"):
            peers.reader.read()


def test_a_peer_that_closes_within_a_frame() -> None:
    with Peers() as peers:
        peers.write(pack(1, b"whole") + pack(2, b"not whole")[:-1], [])
        peers.writes.close()
        peers.read()
        assert [frame.body for frame in peers.frames] == [b"whole"]
        assert isinstance(peers.ended, EOFError)


def test_what_is_too_long_to_be_sent_is_refused_before() -> None:
    wire.check_length(bytes(wire.MOST - 1024))
    with pytest.raises(ValueError, match="a message of 1047553 bytes is too long"):
        wire.check_length(bytes(wire.MOST - 1023))
