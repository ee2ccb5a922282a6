"""Wakes the driver from any thread, at any moment, even in a finalizer."""

from __future__ import annotations

import contextlib
import os

from .._system.board import ASKED
from .._system.interrupts import Uninterrupted


class Wakeup:
    """A pipe with a flag; it takes no lock and never blocks."""

    def __init__(self) -> None:
        self._set = True  # there is no pipe yet
        self._read = self._write = -1

    def open(self) -> None:
        """Make the pipe. Raises OSError."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._set = False

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._read

    def __call__(self) -> None:
        """Wake the waiting thread."""
        if self._set:
            return
        with Uninterrupted(later=True):  # a flag without its byte would be the last
            self._set = True
            with contextlib.suppress(OSError):  # full: it will wake; closed: it has ended
                os.write(self._write, b"\0")

    def clear(self) -> bool:
        """Empty the pipe: the waiting thread is awake. Returns True if another process has asked for
        the pool's state (see ``_system.board``).

        The order matters. A thread that wakes it between the two steps finds the flag set and
        writes nothing, and its request is handled after this. In the other order, its byte would be
        read here and the flag would stay set for ever.
        """
        found = os.read(self._read, 64)
        self._set = False
        return ASKED in found

    @property
    def end(self) -> int:
        """The descriptor to write to."""
        return self._write

    def close(self) -> None:
        """Close the pipe: no thread writes to it from here on."""
        self._set = True
        ends, self._read, self._write = (self._read, self._write), -1, -1
        for fd in ends:
            if fd >= 0:
                os.close(fd)
