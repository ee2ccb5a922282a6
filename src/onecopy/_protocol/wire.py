"""Frames: the messages on a worker's socket, in both directions.

::

    length of the body u32 | type u8 | flags u8 | descriptors u16 | id u64 | body

A frame that announces more than ``MOST`` bytes is broken: large values are passed through arenas,
so nothing of that length is ever sent, and no memory is allocated for it. The descriptors of a
frame arrive with its first byte at the latest (unix(7)).
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from typing import NamedTuple

from .._observe import columns
from .._observe.columns import struct_of
from .._system import descriptors

HEADER = struct.Struct("<IBBHQ")
MOST = 1 << 20
_ROOM = 64 << 10
# For calls that must not block. A plain number: the enum's arithmetic takes longer than the system
# call's own overhead.
NOW = int(socket.MSG_DONTWAIT) | int(getattr(socket, "MSG_NOSIGNAL", 0))

# Owner to worker.
CONFIG, FUNCTION, DROP_FUNCTION, TASK, FORGET, FREEZE, CONTINUE, SKIP, STOP, SETTINGS = range(1, 11)
CUT = 12  # a worker's current chunk or run ends after this many items
RUN = 13  # several calls of one function: the bodies of TASKs, each after its length
STATE = 11  # the value of a variable; in front of the codec's body, the length of its head
# Worker to owner.
READY, FAILED, RESULT, FORGOTTEN, FROZEN, RECORD, WARNING, TEXT, SLOW, IMPORTED = range(32, 42)
PROFILE = 42  # sampled stacks of a worker
VALUE = 43  # a large value of a chunk, in front of the result; from bit ``SHORT`` of the flags on: its item
OUTCOMES = 44  # of calls of a run, see ``outcome_page``
# Both ways.
ANNOUNCE, FREE = 64, 65

# Flags.
RICH = 1  # the body was made by ``codec.write_message`` as a rich one
ERRORS = 2  # a result in which at least one item failed
UNRUN = 4  # and nothing was run, because the payload could not be unpickled
SHORT = 3  # from this bit on: the worker has ended the chunk after this many items
EARLY = 8  # of a task: its results are published as they come, see ``early``
APART = 16  # of a task: large values of its result come by themselves, see ``VALUE``
TAKEN = 1  # of a record: a handler in the worker takes it as well
FLUSHED = 4  # of text, with its stream, 1 or 2
LAST = 1  # of outcomes: their run has ended

# The head of a TASK's body: the function's id (0: the function is in the payload), how it is
# applied to the payload, and the number of the call that it belongs to.
TASK_HEAD = struct.Struct("<QBQ")
CALL, MAP, STARMAP, BLOCKS = range(4)
# The head of a RESULT's body: ``_observe.columns.SPENT``, whose first five fields are times.
SPENT = struct_of(columns.SPENT)
TIMES = struct.Struct("<5q")
NOTHING = bytes(SPENT.size)
"""The measurements of a task that was not run."""
# The body of a SLOW: see ``import_watch.SlowImport``.
SLOW_IMPORT = struct.Struct("<IIQ")
# The body of a READY: since when, and when its initializer began (0: it has none); monotonic
# nanoseconds.
READY_TIMES = struct.Struct("<2q")
PAIR = struct.Struct("<QQ")
ID = struct.Struct("<Q")
LENGTH = struct.Struct("<I")


class BrokenFrame(Exception):
    """The peer wrote something that is not a frame: the rest cannot be trusted."""


class Frame(NamedTuple):
    """One frame as read; the code that handles it owns ``fds``."""

    type: int
    flags: int
    id: int
    body: bytes
    fds: list[int]


def pack(type: int, body: bytes = b"", flags: int = 0, id: int = 0, fds: int = 0) -> bytes:
    """Return a frame as bytes."""
    return HEADER.pack(len(body), type, flags, fds, id) + body


_TASK = struct.Struct(HEADER.format + TASK_HEAD.format[1:])


def pack_task(flags: int, id: int, function: int, kind: int, call: int, body: bytes) -> bytes:
    """Return a TASK as bytes: its header and its head are packed together."""
    length = TASK_HEAD.size + len(body)
    return _TASK.pack(length, TASK, flags, 0, id, function, kind, call) + body


_CALL = struct.Struct("<I" + TASK_HEAD.format[1:])


def pack_call(function: int, call: int, body: bytes) -> bytes:
    """Return one call of a RUN as bytes."""
    return _CALL.pack(TASK_HEAD.size + len(body), function, CALL, call) + body


NO_CALL = LENGTH.pack(0)
"""In the place of a call that was cancelled."""


def calls_of(body: bytes) -> list[bytes]:
    """Return the bodies of the calls of a RUN."""
    at, found, end = 0, [], len(body)
    while at < end:
        (length,) = LENGTH.unpack_from(body, at)
        at += LENGTH.size
        found.append(body[at : at + length])
        at += length
    return found


NO_FDS: list[int] = []


def check_length(body: bytes) -> None:
    """Raise ValueError for a body that the reader would refuse. Large values are passed through an
    arena, so this is a bug of ours, and it must not cost the worker."""
    if len(body) > MOST - 1024:
        raise ValueError(f"a message of {len(body)} bytes is too long for a frame")


class FrameReader:
    """Cuts the bytes from a socket into frames. One thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(_ROOM)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._fds: deque[int] = deque()
        self.bytes_read = 0
        self.broken: BrokenFrame | None = None

    def read(self, flags: int = 0) -> list[Frame]:
        """Read once; return the complete frames that are there, possibly none. Frames before a
        broken one are returned; the next call raises the error, and ``broken`` has it already.

        Args:
            flags: for ``recvmsg``, such as ``MSG_DONTWAIT``.

        Raises:
            EOFError: the peer has closed its end, or has died.
            BlockingIOError: nothing is there, with ``MSG_DONTWAIT`` or a receive timeout.
            BrokenFrame: see the class.
        """
        if self.broken is not None:
            raise self.broken
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._buffer) - self._end < _ROOM // 2:
            self._make_room()
        try:
            count, fds = descriptors.receive(self._sock, self._view[self._end :], flags)
        except (ConnectionResetError, BrokenPipeError):
            count, fds = 0, []
        if not count:
            raise EOFError
        self._end += count
        self.bytes_read += count
        if fds:
            self._fds.extend(fds)
        frames: list[Frame] = []
        try:
            self._cut(frames)
        except BrokenFrame as error:
            self.broken = error
            if not frames:
                raise
        return frames

    def _make_room(self) -> None:
        rest = self._buffer[self._start : self._end]
        self._start, self._end = 0, len(rest)
        if len(rest) + _ROOM > len(self._buffer):
            self._buffer = bytearray(len(rest) + _ROOM)
            self._view = memoryview(self._buffer)
        self._view[: len(rest)] = rest

    def _cut(self, frames: list[Frame]) -> None:
        """Append the complete frames."""
        buffer, view, end = self._buffer, self._view, self._end
        unpack, head, append = HEADER.unpack_from, HEADER.size, frames.append
        make, kind = tuple.__new__, Frame  # what its own ``__new__`` does, without the call
        start = self._start
        while end - start >= head:
            length, type, flags, count, id = unpack(buffer, start)
            begin = start + head
            if length > MOST:
                raise BrokenFrame(f"a frame of type {type} announces {length} bytes")
            if end - begin < length:
                break
            start = begin + length
            body = view[begin:start].tobytes()
            fds = NO_FDS
            if count:
                if count > len(self._fds):
                    raise BrokenFrame(f"a frame of type {type} came without its descriptors")
                fds = [self._fds.popleft() for _ in range(count)]
            append(make(kind, (type, flags, id, body, fds)))
            self._start = start

    def close(self) -> None:
        """Close descriptors that no frame has claimed."""
        while self._fds:
            os.close(self._fds.popleft())
