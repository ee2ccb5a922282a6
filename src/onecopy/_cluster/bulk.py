"""The bytes of segments on their way to a host, and of large results on their way back, beside the messages.

A message says which bytes come; they follow on a stream of their own, without a frame. The driver's
kernel takes them from the segment, and the agent's writes them into its mirror: no process has a copy
in between, and no event loop sees them. Where there is no such stream (TLS, a scheduler in between), the
bytes go with the messages instead.

A broken stream is never mended, because no end knows how much has arrived: the agent ends, and with
it the host.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

from .._memory.segment import Kind, Segment
from .._system import descriptors, mapping, memory
from .._system.anonymous import AnonymousFile
from .._system.splicing import Splice
from ..errors import NotEnoughMemory

_PIECE = 1 << 20
_NOTHING, _STREAM = b"-", b"+"


class Bulk:
    """One end of such a stream. One thread sends, and one receives; ``close`` and ``shut`` in any.

    Args:
        sock: a connected stream socket that blocks, which this object owns.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._using = threading.Lock()
        self._reading = threading.Lock()

    def send(self, segment: Segment, start: int, stop: int) -> None:
        """Send bytes of a segment. Blocks until the kernel has them all.

        Raises:
            ConnectionError: the host has gone.
            FileTruncated: the segment is a file that was truncated meanwhile.
            OSError: the segment cannot be read. After this error and the one before more can be
                sent: as many bytes as were announced have been.
        """
        with self._using:
            try:
                for data in _parts(segment, start, stop):
                    self.put(data)
                    start += len(data)
            except ConnectionError:
                raise
            except Exception:
                while start < stop:
                    count = min(_PIECE, stop - start)
                    self.put(bytes(count))
                    start += count
                raise

    def put(self, data: memoryview | bytes) -> None:
        """Send bytes. Blocks until the kernel has them. Raises ConnectionError if the host has gone."""
        try:
            self._sock.sendall(data, socket.MSG_NOSIGNAL)
        except OSError as error:
            raise ConnectionError(f"the stream to the host was lost: {error}") from error

    def receive(self, address: int, count: int) -> None:
        """Write the next bytes to an address. Raises EOFError if the driver has gone."""
        self.fill(mapping.borrowed(address, count, write=True))

    def write(self, file: AnonymousFile, offset: int, count: int) -> None:
        """Write the next bytes to a file.

        Raises:
            EOFError: the driver has gone.
            NotEnoughMemory, OSError: the file does not take them. They have been read all the same.
        """
        done = 0
        if Splice.possible and file.backing == "memfd":
            done = self._splice(file, offset, count)
        room = memoryview(bytearray(min(_PIECE, count - done)))
        while done < count:
            read = self._read(room[: count - done])
            try:
                file.write(offset + done, room[:read])
            except (OSError, NotEnoughMemory):
                self.skip(count - done - read)
                raise
            done += read

    def _splice(self, file: AnonymousFile, offset: int, count: int) -> int:
        """Move the next bytes to a file inside the kernel; return how many were moved: all of them,
        or fewer if it refuses to."""
        done = 0
        try:
            pipe = Splice(self._sock.fileno(), file.descriptor(write=True))
        except OSError:  # no descriptor is left
            return done
        with pipe:
            while done < count:
                try:
                    taken = pipe.take(count - done)
                except ConnectionError:
                    taken = 0
                except OSError:
                    return done
                if not taken:
                    raise EOFError
                try:
                    pipe.put(offset + done, taken)
                except OSError as error:
                    self.skip(count - done - taken)
                    raise memory.shortage(error, taken, memory.available) from error
                done += taken
        return done

    def get(self, count: int) -> bytearray:
        """Return the next bytes. Raises EOFError if the other end has gone."""
        room = bytearray(count)
        self.fill(memoryview(room))
        return room

    def fill(self, room: memoryview) -> None:
        """Fill this with the next bytes. Raises EOFError if the other end has gone, or this one was
        closed."""
        while room:
            room = room[self._read(room) :]

    def skip(self, count: int) -> None:
        """Read the next bytes and forget them. Raises EOFError as ``fill`` does."""
        room = memoryview(bytearray(min(_PIECE, count)))
        while count:
            count -= self._read(room[:count])

    def _read(self, room: memoryview) -> int:
        """Fill the room with the next bytes, or some of it; return how many. Raises EOFError if the
        other end has gone, or has been silent for as long as the socket waits."""
        with self._reading, suppress(OSError):  # reset, silent, or closed here
            if done := self._sock.recv_into(room, 0, socket.MSG_WAITALL):
                return done
        raise EOFError

    def shut(self) -> None:
        """End the stream: a thread that sends or receives stops at once. Never blocks."""
        with suppress(OSError):  # the other end was faster
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the stream, and close the socket when no thread uses it any more."""
        self.shut()
        with self._using, self._reading:
            self._sock.close()

    def detach_in_child(self) -> None:
        """Close the descriptor in a forked child, where the stream is the parent's."""
        fd = self._sock.detach()
        if fd >= 0:
            os.close(fd)


def _parts(segment: Segment, start: int, stop: int) -> Iterator[memoryview | bytes]:
    """Yield bytes of a segment. A user's file may be truncated at any time, so it is read and not
    looked at in place."""
    if segment.kind != Kind.FILE:
        # Less work for the kernel than sendfile(2): 0.65 against 0.9 ns per byte, with what the
        # receiver spends.
        yield segment.view(start, stop - start)
        return
    while start < stop:
        data = os.pread(segment.descriptor(), min(_PIECE, stop - start), start)
        if not data:
            segment.require_whole()
            raise OSError(f"{segment.path} ends at byte {start}")
        yield data
        start += len(data)


def hand_over(agent: socket.socket, streams: tuple[socket.socket, socket.socket] | None) -> None:
    """Give an agent its ends of what carries shared data, before its first message; None: there is none.

    Args:
        agent: the Unix socket to the agent.
        streams: the agent's end of a ``Bulk``, and of ``peers.handing``. Copied: the caller closes its own.
    """
    if streams is None:
        agent.sendall(_NOTHING)
    else:
        agent.sendmsg([_STREAM], descriptors.rights([each.fileno() for each in streams]))


def taken_over(driver: socket.socket) -> tuple[socket.socket, socket.socket] | None:
    """Return what ``hand_over`` has given. Raises EOFError if the driver has gone."""
    said = bytearray(1)
    count, fds = descriptors.receive(driver, memoryview(said))
    if not count:
        raise EOFError
    if not fds:
        return None
    bulk, handed = fds
    return socket.socket(fileno=bulk), socket.socket(fileno=handed)
