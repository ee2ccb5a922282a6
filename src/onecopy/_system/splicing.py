"""Bytes from a socket into memory, moved by the kernel: ``splice(2)`` (Linux), through a pipe.

The pipe refers to the pages in which the bytes have arrived, so the only copy is the one into the
file. Fresh pages of the file are neither filled with zeros first, as ``posix_fallocate`` does, nor
faulted in one by one, as writes through a mapping are. Measured with four receivers of 100 MB over TCP on one
machine: 0.25 processor seconds of the receivers, against 0.33 with ``recv`` into a reserved mapping
and 0.32 with ``recv`` and ``pwrite``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

# The most that any user may ask for (pipe(7)); a smaller pipe works too, in more calls.
_SIZE = 1 << 20


class Splice:
    """A pipe from a socket to a file; a context manager. One thread.

    Args:
        sock: the descriptor of a stream socket that blocks.
        file: the descriptor of a memfd that can be written to.
    """

    possible: bool = hasattr(os, "splice")
    """This system has the call."""

    def __init__(self, sock: int, file: int) -> None:
        self._sock = sock
        self._file = file
        self._out, self._in = os.pipe()
        with contextlib.suppress(OSError):  # the user has too many large pipes
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _SIZE)

    def __enter__(self) -> Splice:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._in)

    def take(self, most: int) -> int:
        """Take at most ``most`` bytes from the socket, after waiting for the first; return how many, 0
        at the end of the stream. Raises OSError if the connection is lost."""
        return os.splice(self._sock, self._in, min(most, _SIZE))

    def put(self, offset: int, count: int) -> None:
        """Write that many of the bytes that were taken. Raises OSError if there is no room: then the
        pipe is of no use any more."""
        while count:
            done = os.splice(self._out, self._file, count, offset_dst=offset)
            count -= done
            offset += done
