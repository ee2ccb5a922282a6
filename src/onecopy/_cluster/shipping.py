"""The parts of the driver's segments that a host has, and the way it gets the others.

A host gets the bytes that work refers to, once, before the first such work: an array of 80 kB in a
common segment of 64 MB costs 80 kB. These bytes and no others: the next object may be put into the
same page of a common segment later. A mapped file is offered by its name first:
a host that sees the same file maps it, and no bytes are sent.
"""

from __future__ import annotations

import os
import pickle
from bisect import bisect_left
from collections.abc import Iterator

from .. import errors
from .._codec.parcel import Wanted
from .._memory.segment import Kind, Segment
from .._system import mapping
from . import recipes
from .interface import Item
from .mirrors import Probe

# Larger pieces are not faster, and are in memory once more on their way.
PIECE = 8 << 20
_PROBES = 8
_PROBE = 4096


class Extents:
    """Ranges of bytes, none of which overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Add a range; return the parts of it that are new."""
        first = bisect_left(self._stops, start)
        last = first
        new: list[tuple[int, int]] = []
        at = start
        while last < len(self._starts) and self._starts[last] <= stop:
            if at < self._starts[last]:
                new.append((at, self._starts[last]))
            at = max(at, self._stops[last])
            last += 1
        if at < stop:
            new.append((at, stop))
        low = min([start, *self._starts[first:last]])
        high = max([stop, *self._stops[first:last]])
        self._starts[first:last] = [low]
        self._stops[first:last] = [high]
        return new

    def copy(self) -> Extents:
        """Return the same ranges, to try something."""
        made = Extents()
        made._starts, made._stops = self._starts.copy(), self._stops.copy()
        return made

    @property
    def nbytes(self) -> int:
        """The number of bytes in all ranges."""
        return sum(self._stops) - sum(self._starts)


class Shipping:
    """The bytes that one host has. The thread that sends to it; ``nbytes`` in any.

    Args:
        files: ``"auto"``: offer a mapped file by its name, and ship it to a host that has another;
            ``"ship"``: always ship it; ``"same"``: raise an error for a host that has another.
    """

    def __init__(self, files: str) -> None:
        self._files = files
        self._held: dict[int, Extents] = {}
        self.shipped = 0

    def count(self) -> int:
        """Return the number of segments that the host has, or parts of."""
        return len(self._held)

    def nbytes(self) -> int:
        """Return the number of bytes that the host has now."""
        return sum(extents.nbytes for extents in list(self._held.values()))

    def forget(self, segment_id: int) -> None:
        """The host has been told to forget a segment."""
        self._held.pop(segment_id, None)

    def offers(self, segment: Segment) -> Item | None:
        """Return the item that offers a mapped file by its name, or decoded files by theirs; None if
        it is shipped."""
        if self._files == "ship" or segment.id in self._held:
            return None
        if segment.kind != Kind.FILE:
            offer = recipes.offer(segment)
            if offer is not None:
                self._hold_whole(segment)
            return offer
        fd = segment.descriptor()
        status = os.fstat(fd)
        step = max(1, (segment.size - _PROBE) // (_PROBES - 1))
        places = sorted({min(at * step, segment.size) for at in range(_PROBES)})
        probes: list[Probe] = [(at, os.pread(fd, _PROBE, at)) for at in places]
        self._hold_whole(segment)
        return "file", segment.id, segment.path, segment.size, status.st_mtime_ns, probes

    def _hold_whole(self, segment: Segment) -> None:
        """Count it as there, whole, until the host has answered otherwise."""
        self._held[segment.id] = Extents()
        self._held[segment.id].add(0, segment.size)

    def refused(self, segment: Segment, host: str, why: str) -> None:
        """The host has not mapped the file, or not decoded the files. Raises BadFile if it had to map
        one."""
        self._held.pop(segment.id, None)
        if self._files == "same" and segment.kind == Kind.FILE:
            raise errors.BadFile(
                f"{segment.path}: {host} does not see the same file: {why}; "
                'files="ship" sends its bytes'
            )
        self._held[segment.id] = Extents()

    def lacking(self, wanted: list[Wanted]) -> int:
        """Return how many of these bytes the host does not have."""
        tried: dict[int, Extents] = {}
        total = 0
        for segment, start, stop in wanted:
            extents = tried.get(segment.id)
            if extents is None:
                held = self._held.get(segment.id)
                extents = tried[segment.id] = Extents() if held is None else held.copy()
            total += sum(high - low for low, high in extents.add(start, stop))
        return total

    def missing(self, wanted: Wanted) -> tuple[list[Item], list[tuple[int, int]]]:
        """Return what the host has to be told first, and the parts of these bytes that it does not
        have. They count as there."""
        segment, start, stop = wanted
        extents = self._held.get(segment.id)
        if extents is None:
            extents = self._held[segment.id] = Extents()
        begin: list[Item] = []
        if not extents.nbytes:
            begin.append(("segment", segment.id, -(-segment.size // mapping.PAGE) * mapping.PAGE))
        return begin, extents.add(start, stop)

    def items(self, wanted: Wanted) -> Iterator[list[Item]]:
        """Yield what to send so that the host has these bytes, a piece at a time."""
        segment = wanted[0]
        begin, ranges = self.missing(wanted)
        for low, high in ranges:
            for at in range(low, high, PIECE):
                size = min(PIECE, high - at)
                yield [*begin, ("piece", segment.id, at, _piece(segment, at, size))]
                begin = []
                self.shipped += size


def _piece(segment: Segment, at: int, size: int) -> pickle.PickleBuffer:
    """Return bytes of a segment. A user's file may be truncated at any time, so it is read and not
    looked at in place."""
    if segment.kind == Kind.FILE:
        data = os.pread(segment.descriptor(), size, at)
        if len(data) < size:
            segment.require_whole()
        return pickle.PickleBuffer(data)
    return pickle.PickleBuffer(segment.view(at, size))
