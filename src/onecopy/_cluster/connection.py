"""A stream socket as a way for messages: one end.

::

    number of buffers u32 | length of the pickle u64 | length of each buffer u64 ... | all of them

Messages are pickled with protocol 5. Buffers are written from where they are, and are read into
memory of their own, without a copy in between.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

_HEAD = struct.Struct("<IQ")
_LENGTH = struct.Struct("<Q")
# One call takes at most IOV_MAX pieces (1024 on Linux).
_PIECES = 512
# Plain numbers: the enum's arithmetic takes longer than a system call.
_NOW, _QUIET = int(socket.MSG_DONTWAIT), int(socket.MSG_NOSIGNAL)


Packed = tuple[Any, list[Any]]
"""A message as bytes: the pickle stream, and the buffers."""


def size_of(message: Packed) -> int:
    """Return the number of bytes of a message."""
    stream, buffers = message
    return sum(memoryview(each).nbytes for each in (stream, *buffers))


def packed(message: Any) -> Packed:
    """Return a message as bytes; its buffers are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(message, 5, buffer_callback=buffers.append)
    return stream, [buffer.raw() for buffer in buffers]


def unpacked(message: Packed) -> Any:
    """Return the message that ``packed`` made bytes of."""
    stream, buffers = message
    return pickle.loads(stream, buffers=buffers)


def framed(message: Packed) -> list[memoryview]:
    """Return the bytes that a stream carries for a message, in pieces that are not copied."""
    stream, buffers = message
    views = [memoryview(each).cast("B") for each in (stream, *buffers)]
    lengths = b"".join(_LENGTH.pack(view.nbytes) for view in views[1:])
    head = _HEAD.pack(len(buffers), views[0].nbytes) + lengths
    return [memoryview(head), *(view for view in views if view.nbytes)]


class Incoming:
    """The messages of a stream as their bytes come, for a thread that waits for many streams.

    Args:
        sock: the stream.
        room: memory for small parts of messages; the thread's other streams use it too.
    """

    def __init__(self, sock: socket.socket, room: memoryview) -> None:
        self._sock = sock
        self._room = room
        self._whole: list[Packed] = []
        self._parts = self._read()
        self._rest = next(self._parts)

    def arrived(self) -> list[Packed]:
        """Read once what has come, and return the messages that are whole. Call it when the stream can
        be read. Raises EOFError if the peer has gone, and MemoryError."""
        # A long part of a message is read to its place.
        place = self._rest if len(self._rest) > len(self._room) else self._room
        try:
            count = self._sock.recv_into(place, 0, _NOW)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            count = 0
        if not count:
            raise EOFError
        if place is self._rest:
            self._took(count)
        else:
            self._take_over(place[:count])
        whole, self._whole = self._whole, []
        return whole

    def _take_over(self, data: memoryview) -> None:
        while data:
            count = min(len(data), len(self._rest))
            self._rest[:count] = data[:count]
            data = data[count:]
            self._took(count)

    def _took(self, count: int) -> None:
        """Note that ``count`` more bytes of the current part are there."""
        self._rest = self._rest[count:]
        while not self._rest:
            self._rest = next(self._parts)

    def _read(self) -> Iterator[memoryview]:
        """Yield where the next bytes belong."""
        while True:
            yield memoryview(head := bytearray(_HEAD.size))
            count, length = _HEAD.unpack(head)
            yield memoryview(sizes := bytearray(_LENGTH.size * count))
            parts = [bytearray(length)]
            yield memoryview(parts[0])
            for (size,) in _LENGTH.iter_unpack(sizes):
                parts.append(bytearray(size))
                yield memoryview(parts[-1])
            self._whole.append((parts[0], parts[1:]))
            del parts  # it is not kept while nothing comes


class Connection:
    """See the module. One thread sends and one receives.

    Args:
        sock: a connected stream socket, which this object owns.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, message: Any) -> int:
        """Send a message; return its size in bytes. Raises OSError if the peer has gone."""
        return self.pass_on(packed(message))

    def receive(self) -> Any:
        """Return the next message. Raises EOFError if the peer has gone."""
        return unpacked(self.take())

    def pass_on(self, message: Packed, waits: Callable[[], None] | None = None) -> int:
        """Send a message that is packed already; return its size in bytes.

        Args:
            message: what is sent.
            waits: called before this waits for the peer to read.
        """
        pieces = framed(message)
        total = sum(piece.nbytes for piece in pieces)
        at = 0
        how = _QUIET if waits is None else _QUIET | _NOW
        while at < len(pieces):
            try:
                sent = self.sock.sendmsg(pieces[at : at + _PIECES], (), how)
            except BlockingIOError:
                assert waits is not None
                waits()
                how = _QUIET
                continue
            while at < len(pieces) and sent >= pieces[at].nbytes:
                sent -= pieces[at].nbytes
                at += 1
            if sent:
                pieces[at] = pieces[at][sent:]
        return total

    def take(self) -> Packed:
        """Return the next message without unpacking it."""
        count, length = _HEAD.unpack(self._read(_HEAD.size))
        lengths = [size for (size,) in _LENGTH.iter_unpack(self._read(_LENGTH.size * count))]
        return self._read(length), [self._read(size) for size in lengths]

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                count = self.sock.recv_into(view, 0, socket.MSG_WAITALL)
            except ConnectionResetError:
                count = 0
            if not count:
                raise EOFError
            view = view[count:]
        return data

    def shut(self) -> None:
        """End both directions: a thread that waits in ``receive`` gets EOFError."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer was faster

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def detach_in_child(self) -> None:
        """Close the descriptor in a forked child, where the stream is the parent's."""
        fd = self.sock.detach()
        if fd >= 0:
            os.close(fd)
