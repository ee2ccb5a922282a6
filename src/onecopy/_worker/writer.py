"""Writes frames to the owner, after the messages that have to precede them.

Any thread of the worker: threads that tasks have started write when they log or print. A thread
holds the lock while a frame is written, and no longer than the owner needs to read it. Output of
the same thread in the meantime, from a signal handler or a finalizer, is written after the frame: a
thread never waits for itself.
"""

from __future__ import annotations

import marshal
import socket
import threading
from collections import deque

from .._codec.link import Link
from .._protocol import wire
from .._system import descriptors


class Writer:
    """See the module. Blocks until the owner reads.

    Args:
        sock: this worker's end of its socket pair.
        link: has the messages about segments and blocks.
    """

    def __init__(self, sock: socket.socket, link: Link) -> None:
        self._sock = sock
        self._link = link
        self._writing = threading.Lock()
        self._writer = 0
        self._behind: deque[bytes] = deque()

    def send(self, frame: bytes) -> None:
        """Write a frame, after messages about segments that it refers to and blocks that are free
        again. The worker's own thread."""
        link = self._link
        if not (link.new or link.frees):
            self.write(frame)
            return
        said, fds = link.take_new()
        parts: list[bytes] = []
        for at in range(0, len(said), descriptors.MOST):
            # One call takes a limited number of descriptors: all but the last lot go now.
            if parts:
                self.write(b"".join(parts), fds[at - descriptors.MOST : at])
            lot = said[at : at + descriptors.MOST]
            parts = [wire.pack(wire.ANNOUNCE, marshal.dumps(lot), fds=len(lot))]
        frees = link.frees
        if frees:
            back = [frees.popleft() for _ in range(len(frees))]
            parts.append(wire.pack(wire.FREE, b"".join(wire.PAIR.pack(*b) for b in back)))
        last = (len(fds) - 1) // descriptors.MOST * descriptors.MOST if fds else 0
        self.write(b"".join([*parts, frame]), fds[last:])

    def write(self, data: bytes, fds: list[int] | None = None) -> None:
        """Write whole frames. Any thread; waits while another one is writing."""
        me = threading.get_ident()
        if self._writer == me:
            self._behind.append(data)  # a record or a line: these have no descriptors
            return
        with self._writing:
            self._writer = me
            try:
                if fds:
                    sent = self._sock.sendmsg([data], descriptors.rights(fds))
                    if sent < len(data):
                        self._sock.sendall(memoryview(data)[sent:])
                else:
                    self._sock.sendall(data)
                while self._behind:
                    self._sock.sendall(self._behind.popleft())
            finally:
                self._writer = 0
