"""A worker's standard stream as a raw file: everything printed is sent to the owner.

Whole lines are sent as they are printed. So is whatever a program flushes, even part of a line:
dots, a progress bar, a question. If a program redirects the descriptor itself, as
``os.dup2(file.fileno(), 1)`` does, its later output goes there and not to the owner.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any

_PIECE = 256 << 10  # a frame's body is less than 1 MB


class Lines(io.RawIOBase):
    """See the module.

    Args:
        number: 1 for stdout, 2 for stderr.
        fd: its descriptor, which programs started by a task inherit.
        tell: called with the stream's number, some text, and whether it was flushed.
        noted: called when part of a line is there and has not been sent.
        halves: send parts of lines if they are flushed.
    """

    def __init__(
        self,
        number: int,
        fd: int,
        tell: Callable[[int, bytes, bool], None],
        noted: Callable[[], None],
        *,
        halves: bool,
    ) -> None:
        self._number = number
        self._fd = fd
        self._tell = tell
        self._noted = noted
        self._halves = halves
        self._place = _place(fd)
        self._fresh = False  # something was sent since the last flush
        self.name = ("<stdin>", "<stdout>", "<stderr>")[number]
        self.rest = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    @property
    def redirected(self) -> bool:
        """Return True if the descriptor leads elsewhere than at the worker's start. A closed one
        leads nowhere: output still goes to the owner."""
        return self._place is not None and _place(self._fd) not in (None, self._place)

    def write(self, data: Any) -> int:
        if self.redirected:
            self.give()
            left = memoryview(data).cast("B")
            while left:
                left = left[os.write(self._fd, left) :]
            return len(data)
        said = self.rest + bytes(data)
        end = said.rfind(b"\n") + 1
        if not end and len(said) > _PIECE:
            end = len(said)  # no line, and too much to keep
        self.rest = said[end:]
        if self.rest:
            self._noted()
        for at in range(0, end, _PIECE):
            self._say(said[at : min(at + _PIECE, end)], flushed=False)
        return len(data)

    def flush(self) -> None:
        super().flush()
        if not self._halves:
            if self._fresh:
                self._say(b"", flushed=True)
        elif self._fresh or self.rest:
            said, self.rest = self.rest, b""
            self._say(said, flushed=True)

    def give(self) -> None:
        """Send the incomplete line as it is."""
        if self.rest:
            said, self.rest = self.rest, b""
            self._say(said, flushed=False)

    def _say(self, text: bytes, *, flushed: bool) -> None:
        self._fresh = not flushed
        self._tell(self._number, text, flushed)


def _place(fd: int) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):  # it is closed
        found = os.fstat(fd)
        return found.st_dev, found.st_ino
    return None
