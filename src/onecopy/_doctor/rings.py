"""Reading the rings of all processes while they are written, and emptying them.

By ``pread``, never by a map: a read fault on a hole of tmpfs makes a page of it, and a thousand
files of 4 MB that hold 16 KB each would then take 4 GB of memory.

A record is taken one pass after it was first seen, when the process has long finished writing it.
What a process overwrote before it was read is counted. Very long runs are thinned: beyond a fixed
number of records only every second task is kept, then every fourth, by its number, so that both
ends of a message keep the same ones; the rest is told from the shares (``Ring.thinned``). A worker's
long tasks are all kept, and the one that it may be at.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from .inside import kinds

_CHUNK = 2048
# Read first at least: most processes write few between two passes. A number whose record is missing
# holds up no other: there are fewer threads in the middle of a record than this.
_PROBE = 64
# Records of all processes together, 250 MB.
_MOST = 2_600_000
LONG = 20_000_000
"""Nanoseconds: see ``inside/current``, which has the same number."""
_ESCAPED = re.compile(r"\\(.)")


@dataclass
class Ring:
    """The records of one process.

    Attributes:
        pid: the process.
        head: the counters, as they are in the file.
        records: what was taken, in order; 96 bytes each.
        names: the side file's text.
        lost: records that were overwritten before they were read, or that there was no room for.
        thinned: how many records of tasks there were for each one kept.
    """

    pid: int
    head: bytes = b""
    records: bytearray = field(default_factory=bytearray)
    names: str = ""
    lost: int = 0
    thinned: int = 1


class _File:
    """A ring that is being emptied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ring = Ring(int(path.name.split("-")[0]))
        self.next = 0  # the number of the first record that has not been taken
        self.seen = 0  # one past the last that the pass before saw
        self.probe = _PROBE  # records that are read first

    @property
    def names_path(self) -> Path:
        """The side file."""
        return self.path.with_suffix(".names")

    def names(self) -> str:
        """The side file's text."""
        try:
            return self.names_path.read_text("utf-8", "replace")
        except OSError:
            return ""  # it had no room, or no rights, for a single name

    def head(self) -> bytes:
        """The counters as they are now."""
        try:
            with open(self.path, "rb") as file:
                return file.read(kinds.HEAD)
        except OSError:
            return b""  # the process has ended, and taken it along

    def empty(self, last: bool) -> int:
        """Take what the pass before saw, or all of it; return how many were new."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            end = self._end(descriptor)
            new = end - self.seen
            self._take(descriptor, end if last else self.seen)
            self.seen = end
            self.probe = min(_CHUNK, max(_PROBE, 2 * new))
            if last:
                self.ring.head = os.pread(descriptor, kinds.HEAD, 0)
                # A process that had no room for any file has left an empty one.
                if self.ring.head:
                    self.ring.lost += struct.unpack_from("<Q", self.ring.head)[0]
        finally:
            os.close(descriptor)
        return new

    def _end(self, descriptor: int) -> int:
        """One past the number of the last record that is there."""
        end, most = max(self.seen, self.next), self.probe
        while True:
            found = self._numbers(descriptor, end, most)
            ahead = [number for number in found if number > end]
            if not ahead:
                return end
            end = max(ahead)
            if end % kinds.ROOM and end - self.seen < kinds.ROOM and found[-1] <= end - 1:
                return end
            most = _CHUNK

    def _numbers(self, descriptor: int, start: int, most: int) -> list[int]:
        data = self._read(descriptor, start, most)
        return memoryview(data).cast("Q")[11::12].tolist()

    @staticmethod
    def _read(descriptor: int, start: int, most: int) -> bytes:
        """Up to ``most`` records from number ``start`` on, not beyond the end of the ring."""
        at = start % kinds.ROOM
        count = min(most, kinds.ROOM - at)
        data = os.pread(descriptor, count * kinds.SIZE, kinds.HEAD + at * kinds.SIZE)
        return data[: len(data) // kinds.SIZE * kinds.SIZE]

    def _take(self, descriptor: int, until: int) -> None:
        if until - self.next > kinds.ROOM:
            # It has gone round; what is about to be overwritten is given up as well.
            first = until - kinds.ROOM + _CHUNK
            self.ring.lost += first - self.next
            self.next = first
        while self.next < until:
            data = self._read(descriptor, self.next, min(_CHUNK, until - self.next))
            if not data:
                return
            self.ring.records += data
            self.next += len(data) // kinds.SIZE


class Rings:
    """All rings of a session's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, _File] = {}
        self._done: list[Ring] = []
        self._mask = 0
        self._most = _MOST

    def empty(self, last: bool = False) -> bool:
        """Take what is new; return True if something was."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(".ring") and entry.name not in self._open:
                    self._open[entry.name] = _File(Path(entry.path))
        new = 0
        for name, file in list(self._open.items()):
            gone = last or not os.path.exists(f"/proc/{file.ring.pid}")
            new += file.empty(gone)
            if gone:
                self._finish(name, file)
        if self._kept() > self._most:
            self._thin()
        return new > 0

    def so_far(self) -> list[Ring]:
        """A copy of what has been taken of every process, while they run."""
        found = list(self._done)
        for file in self._open.values():
            ring = file.ring
            found.append(
                replace(ring, head=file.head(), records=bytearray(ring.records), names=file.names())
            )
        return found

    def _finish(self, name: str, file: _File) -> None:
        """A process has ended: its file goes, what it said stays."""
        del self._open[name]
        file.ring.names = file.names()
        self._done.append(file.ring)
        for each in (file.path, file.names_path):
            each.unlink(missing_ok=True)

    def _all(self) -> Iterator[Ring]:
        yield from self._done
        yield from (file.ring for file in self._open.values())

    def _kept(self) -> int:
        return sum(len(ring.records) for ring in self._all()) // kinds.SIZE

    def _thin(self) -> None:
        import numpy as np

        self._mask = self._mask << 1 | 1
        for ring in self._all():
            words = np.frombuffer(bytes(ring.records), "<u8").reshape(-1, 12)
            kind, what = words[:, 1] & 0xFF, words[:, 1] >> 8 & 0xFF
            task = np.isin(kind, (kinds.OUT, kinds.IN)) & (what != kinds.OTHER)
            number = words[:, 5] + words[:, 6]
            keep = ~task | (number & self._mask == 0) | _kept_by_workers(words, kind, what)
            ring.records = bytearray(words[keep].tobytes())
            ring.thinned = self._mask + 1
        # What cannot be thinned is not tried again and again.
        self._most = max(self._most, 2 * self._kept())

    def taken(self) -> list[Ring]:
        """Every process's, at the end."""
        if self._mask:
            self._thin_rest()
        return self._done

    def _thin_rest(self) -> None:
        """Thin what came after the last thinning in the same way."""
        mask, self._mask = self._mask, self._mask >> 1
        self._thin()
        self._mask = mask


def _kept_by_workers(words: Any, kind: Any, what: Any) -> Any:
    """Of a worker's records: those of long tasks, and of the task that it took last."""
    import numpy as np

    taken = (kind == kinds.IN) & (what == kinds.TASK)
    ended = (kind == kinds.OUT) & (what == kinds.RESULT) & (words[:, 10] > 0)
    long = ended & (words[:, 0] - words[:, 10] >= LONG)
    key = (words[:, 5] << 24) + words[:, 6]
    keep = long | (taken & np.isin(key, key[long]))
    keep[np.flatnonzero(taken)[-1:]] = True
    return keep


class Current(NamedTuple):
    """The task that a worker was at last; see ``inside/current``. Times in nanoseconds.

    Attributes:
        number: tasks that it has begun; again: the same once more.
        one, two: the number of the last; begin: when it began.
        took: all that have ended, together.
        title: its function | items << 32; channel: the pipe of the tasks.
        ended: when a task last ended.
    """

    number: int
    one: int
    two: int
    begin: int
    took: int
    again: int
    title: int
    channel: int
    ended: int

    @property
    def whole(self) -> bool:
        """It is not half-written: what it says of the task may be believed."""
        return self.number == self.again

    @property
    def running(self) -> bool:
        """The task had not ended."""
        return self.whole and self.begin > self.ended


def current_of(head: bytes) -> Current | None:
    """The task that a worker was at last; None where the process never took one."""
    if len(head) < kinds.HEAD:
        return None
    found = Current(*struct.unpack_from("<9Q", head, kinds.CURRENT))
    if not found.number:
        return None
    if found.ended >= found.begin and found.whole:
        found = found._replace(took=found.took + found.ended - found.begin)
    return found


def names_of(text: str) -> dict[int, str]:
    """A side file's names by their numbers."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        number, tab, rest = line.partition("\t")
        if tab and number.isdigit():
            found[int(number)] = _ESCAPED.sub(lambda m: "\n" if m[1] == "n" else m[1], rest)
    return found


def counters_of(head: bytes, names: dict[int, str]) -> dict[str, int]:
    """A ring's counters by their names."""
    found: dict[str, int] = {}
    for at in range(kinds.COUNTERS, min(len(head), kinds.HEAD) - 15, 16):
        number, value = struct.unpack_from("<QQ", head, at)
        if not number:
            break
        found[names.get(number, "?")] = value
    return found


def table(records: bytes | bytearray) -> Any:
    """Records as an array with the fields t0, head, a to i, seq; those never written left out."""
    import numpy as np

    names = ("t0", "head", *"abcdefghi", "seq")
    found = np.frombuffer(bytes(records), np.dtype([(name, "<u8") for name in names]))
    return found[found["seq"] > 0]
