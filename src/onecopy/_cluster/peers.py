"""Streams between agents: one gets pieces of shared data from another, and gives what it has.

The driver says who gets what from whom (see ``relays``). A carrier connects two agents and hands each its end,
with descriptors over a Unix socket. One end asks and the other one answers::

    question: segment u64 | offset u64 | number of bytes u64
    answer:   1 and the bytes, or 0 if they are not here

Why two hosts that ask each other never wait in a circle: each stream that answers has a thread of its own,
which takes no lock, waits for nothing but its stream, and reads files of bytes that were there before
the driver spoke of them. If an agent is killed, the kernel closes its ends; if it hangs, the one that asks gives
up after ``_SILENCE``. Then the driver sends what is missing.
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._system import descriptors
from .bulk import Bulk
from .mirrors import Mirrors

_QUESTION = struct.Struct("<QQQ")
_HANDED = struct.Struct("<cQ")
_ASKS, _ANSWERS = b"a", b"s"
# Read from a mapping, whose pages are all there: sendfile(2) hands over each page by itself, which
# costs both ends together a quarter more.
_SHARED = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
# Seconds without one byte after which the other end has gone.
_SILENCE = 5.0
# The same for the end that answers: its host may be at something else before it reads.
_UNREAD = 60.0


def handing() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of the way by which an agent gets streams to others: a carrier's, and the
    agent's, which ``bulk.hand_over`` gives it."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def hand(agent: socket.socket, stream: socket.socket, source: int | None) -> None:
    """Give an agent its end of a stream to another agent; it has a copy then. Raises OSError if it has
    gone.

    Args:
        agent: the carrier's end of ``handing``.
        stream: a connected stream socket.
        source: the number of the host that answers, for the end that asks; None for the one that answers.
    """
    said = _HANDED.pack(_ASKS, source) if source is not None else _HANDED.pack(_ANSWERS, 0)
    agent.sendmsg([said], descriptors.rights([stream.fileno()]), socket.MSG_NOSIGNAL)


class Peers:
    """An agent's streams; see the module. Its serving thread calls ``fetch``.

    Args:
        handed: the agent's end of ``handing``, which this object owns.
        mirrors: the agent's.
    """

    def __init__(self, handed: socket.socket, mirrors: Mirrors) -> None:
        self._handed = handed
        self._mirrors = mirrors
        self._came = threading.Condition()
        # None: it has failed, and is not asked again.
        self._sources: dict[int, Bulk | None] = {}
        self._ends: list[socket.socket] = []  # of those that this agent answers
        self._threads: list[threading.Thread] = []
        self._start(self._run, "onecopy-peers")

    def fetch(self, source: int, segment_id: int, offset: int, size: int) -> None:
        """Get bytes of a segment from another host, into its mirror. Blocks until they are there; gives
        up after ``_SILENCE`` without a byte.

        Raises:
            EOFError: they do not come from there. Some may have been written, and come again.
        """
        stream = self._source(source)
        try:
            stream.put(_QUESTION.pack(segment_id, offset, size))
            if stream.get(1) != b"\1":
                raise EOFError
            self._mirrors.receive(segment_id, offset, size, stream)
        except (EOFError, ConnectionError) as error:
            self._sources[source] = None
            stream.close()
            raise EOFError from error

    def close(self) -> None:
        """End all streams, and their threads. The agent is about to end."""
        _shut(self._handed)
        self._threads[0].join()  # no stream comes any more
        for sock in self._ends:
            _shut(sock)
        for thread in self._threads:
            thread.join()
        for stream in self._sources.values():
            if stream is not None:
                stream.close()
        self._handed.close()

    def _start(self, run: Callable[..., None], name: str, *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _source(self, source: int) -> Bulk:
        with self._came:
            # The driver has spoken of it, so it was handed over, and may not have been taken yet.
            if not self._came.wait_for(lambda: source in self._sources, _SILENCE):
                raise EOFError
            stream = self._sources[source]
            if stream is None:
                raise EOFError
            return stream

    def _run(self) -> None:
        """Take streams, until the carrier has closed its end."""
        said = bytearray(_HANDED.size)
        while True:
            try:
                count, fds = descriptors.receive(self._handed, memoryview(said))
            except OSError as error:
                if error.errno == errno.EMFILE:
                    continue  # it is lost: who waits for it gives up, and gets its bytes otherwise
                return
            if not count:
                return
            role, source = _HANDED.unpack(said)
            sock = socket.socket(fileno=fds[0])
            if role == _ASKS:
                _patience(sock, socket.SO_RCVTIMEO, _SILENCE)
                with self._came:
                    self._sources[source] = Bulk(sock)
                    self._came.notify_all()
            else:
                _patience(sock, socket.SO_SNDTIMEO, _UNREAD)
                self._ends.append(sock)
                try:
                    self._start(self._answer, "onecopy-to-peer", sock)
                except RuntimeError:  # there can be no more threads: the other end is told
                    sock.close()

    def _answer(self, sock: socket.socket) -> None:
        """Answer one other host, until it has gone."""
        with sock, suppress(OSError, EOFError):
            stream = Bulk(sock)
            while True:
                # A function of its own: no segment is kept while nothing is asked.
                self._give(stream, *_QUESTION.unpack(stream.get(_QUESTION.size)))

    def _give(self, stream: Bulk, segment_id: int, offset: int, size: int) -> None:
        """Answer one question. Raises OSError if the other end has gone."""
        # Held while it is read: its file stays open.
        segment = self._mirrors.there(segment_id)
        if segment is None or offset + size > segment.size:
            stream.put(b"\0")
            return
        begin = offset - offset % mmap.PAGESIZE
        fd = segment.own().descriptor(write=False)
        end = offset + size
        with (
            mmap.mmap(fd, end - begin, _SHARED, mmap.PROT_READ, offset=begin) as room,
            memoryview(room)[offset - begin :] as view,
        ):
            stream.put(b"\1")
            stream.put(view)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # the other end has gone, or it is closed
        sock.shutdown(socket.SHUT_RDWR)


def _patience(sock: socket.socket, option: int, seconds: float) -> None:
    """Let calls that read or write give up after a time without a byte (socket(7))."""
    whole = int(seconds)
    sock.setsockopt(
        socket.SOL_SOCKET, option, struct.pack("@ll", whole, int(1e6 * (seconds - whole)))
    )
