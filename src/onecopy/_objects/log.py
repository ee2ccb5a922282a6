"""``AppendLog``: a log that many processes append to, and every process can read in order.

For programs whose global list stays empty. A record is a head (the log's own mark, the length, a
checksum) and a pickle, appended by one system call (see ``appending``). If a record was cut off
because its writer was killed, others follow from the next page on: the reader finds them by the
mark, which has 64 random bits, and by the checksum.
"""

from __future__ import annotations

import os
import pickle
import struct
import threading
import weakref
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from .._codec.codec import encode
from .._memory.segment import Segment
from .._system import forking, mapping
from . import appending

_MARK = 8
_HEAD = struct.Struct(f"<{_MARK}sQI")
# Bytes read by one call; a longer record is read whole.
_AT_A_TIME = 1 << 20


class AppendLog:
    """Values that several processes append, in the order of the appends.

    Created by ``onecopy.append_log()``. Pass it to workers as an argument, in a closure or through
    the initializer. Each process appends with one system call, and waits only while another one
    copies. What was appended stays if its writer is killed.
    """

    __module__ = "onecopy"
    __slots__ = ("__weakref__", "_lock", "_next", "_page", "_segment")

    def __init__(self, page: memoryview) -> None:
        self._page = page
        self._segment = appending.segment_of(page)
        self._lock = threading.Lock()
        self._next = appending.START
        _logs.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return AppendLog, (self._page,)

    def append(self, value: Any) -> None:
        """Append a value, as a pickle: its contents are copied.

        Any process and thread may call this, even a signal handler.

        Raises:
            NotPicklable: names the part that cannot be pickled.
            NotEnoughMemory: nothing was appended.
        """
        data = _pickled(value)
        head = _HEAD.pack(self._page[:_MARK].tobytes(), len(data), crc32(data))
        appending.append(self._segment, head + data)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over all values from the first on, in order, up to the last that is there now."""
        for _, data in self._records(appending.START):
            yield pickle.loads(data)

    def read(self) -> list[Any]:
        """Return the values that were appended since this object last read, in order.

        Does not block. Thread-safe; each copy of the log, in this process or another, has its own
        read position.
        """
        values = []
        with self._lock:
            upto = self._next
            for end, data in self._records(upto):
                values.append(pickle.loads(data))
                upto = end
            self._next = upto  # at last: Ctrl-C before it loses nothing
        return values

    @property
    def nbytes(self) -> int:
        """The bytes that it takes, in memory that all processes share."""
        return appending.size_of(self._segment)

    def __repr__(self) -> str:
        return f"<AppendLog of {self.nbytes} bytes>"

    def _records(self, at: int) -> Iterator[tuple[int, bytes]]:
        """Yield each whole record from ``at`` on: where it ends, and its pickle.

        An incomplete record is either being written now, and then nothing follows it; or it was cut
        off, and then the next begins with a later page.
        """
        file = _Window(self._segment)
        mark = self._page[:_MARK].tobytes()
        while at < file.size:
            head = file.take(at, _HEAD.size)
            if len(head) == _HEAD.size and head[:_MARK] == mark:
                _, length, checksum = _HEAD.unpack(head)
                end = at + _HEAD.size + length
                data = file.take(at + _HEAD.size, length) if end <= file.size else b""
                if len(data) == length and crc32(data) == checksum and end <= file.size:
                    yield end, data
                    at = end
                    continue
            at = (at // mapping.PAGE + 1) * mapping.PAGE


class _Window:
    """A file read in large pieces. Data before its end never changes."""

    def __init__(self, segment: Segment) -> None:
        self.size = appending.size_of(segment)
        self._segment = segment
        self._begin = 0
        self._bytes = b""

    def take(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``, fewer at the end of the file."""
        start = offset - self._begin
        if start < 0 or start + size > len(self._bytes):
            self._bytes = appending.read(self._segment, offset, max(size, _AT_A_TIME))
            self._begin, start = offset, 0
        return self._bytes[start : start + size]


def _pickled(value: Any) -> bytes:
    encoded = encode(value, what="value")
    if encoded.plan is None:
        return encoded.stream()
    import cloudpickle  # arrays are copied, bytes included, into the log

    return bytes(cloudpickle.dumps(value, 5))


def append_log() -> AppendLog:
    """See ``onecopy.append_log``."""
    page = appending.new_page()
    page[:_MARK] = os.urandom(_MARK)
    return AppendLog(page)


_logs: weakref.WeakSet[AppendLog] = weakref.WeakSet()


def _after_fork() -> None:
    """Replace locks in a forked child: another thread of the parent may have held one."""
    for log in list(_logs):
        log._lock = threading.Lock()


forking.in_child(_after_fork)
