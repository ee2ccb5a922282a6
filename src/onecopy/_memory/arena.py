"""Arenas: recycled memory for the large buffers inside messages.

A sender copies each large buffer into a block of its own arena and sends the reference; the
receiver builds its array on the block, writable and its own, and the block is returned when the
receiver's last view has died. The reason is warm pages: copying 100 MB into pages that were used
before takes 11 ms here, into fresh ones 45 ms or more.

Covers allocation, recycling and trimming in the sender's process. ``link`` records which peer holds
which block.

Trimming punches holes into free ranges: the pages go back to the system for every process that maps
the arena, without coordination.

Thread-safe: one plain lock, held for list work and for reserving fresh pages, never while bytes are
copied; nothing else is locked inside.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from .._system import mapping
from .segment import Kind, Segment, new_segment, round_to_page

_UNIT = 64 << 20


class Block:
    """A piece of an arena that is in use.

    Attributes:
        segment: the segment that contains it.
        offset: bytes from the segment's beginning, a multiple of the page size.
        length: the requested bytes.
        fresh: True if none of its pages exists yet: fill it with ``write``, or reserve it first.
    """

    __slots__ = ("fresh", "length", "offset", "segment")

    def __init__(self, segment: Segment, offset: int, length: int, fresh: bool) -> None:
        self.segment = segment
        self.offset = offset
        self.length = length
        self.fresh = fresh

    def write(self, data: memoryview, at: int = 0) -> None:
        """Copy a C-contiguous buffer in; without the GIL if it is large."""
        if self.fresh:
            self.segment.own().write(self.offset + at, data)
        elif data.nbytes:
            self.view(at, data.nbytes)[:] = data

    def copy_from(self, address: int, size: int) -> None:
        """Copy ``size`` bytes from an address that the caller keeps alive."""
        if self.fresh:
            source = mapping.borrowed(address, size, write=False)
            self.segment.own().write(self.offset, source)
        else:
            root = self.segment.root()
            mapping.copy_in(mapping.start_of(root) + self.offset, address, size)

    def view(self, at: int = 0, size: int | None = None) -> memoryview:
        """Return a writable view, for filling the block in place; reserves fresh pages first."""
        if self.fresh:
            self.segment.own().reserve(self.offset, round_to_page(self.length))
            self.fresh = False
        return self.segment.view(self.offset + at, self.length - at if size is None else size)


class _Space:
    """One segment of an arena: its free ranges, in order of offset."""

    __slots__ = ("fresh", "retired", "root", "segment", "used", "warm")

    def __init__(self, segment: Segment, root: ctypes.Array[Any], retired: bool = False) -> None:
        self.segment = segment
        self.root = root  # keeps the mapping, so that recycled pages stay mapped as well
        self.warm: list[tuple[int, int]] = []  # (offset, length)
        self.fresh: list[tuple[int, int]] = []
        self.used: dict[int, int] = {}  # offset -> length
        self.retired = retired

    def take(self, ranges: list[tuple[int, int]], size: int) -> int | None:
        """Cut ``size`` out of the smallest range that holds it; return the offset."""
        best = min((r for r in ranges if r[1] >= size), key=lambda r: r[1], default=None)
        if best is None:
            return None
        at = ranges.index(best)
        rest = (best[0] + size, best[1] - size)
        ranges[at : at + 1] = [rest] if rest[1] else []
        self.used[best[0]] = size
        return best[0]


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if merged and merged[-1][0] + merged[-1][1] == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + length)
        else:
            merged.append((offset, length))
    return merged


class Arena:
    """The blocks that one process sends; see the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spaces: dict[int, _Space] = {}
        self._taken = 0
        self._seen = (0, 0.0)

    def allocate(self, size: int) -> Block:
        """Return a block of ``size`` bytes, a warm one if possible.

        Raises NotEnoughMemory if fresh pages are needed and there are none.
        """
        want = round_to_page(size)
        with self._lock:
            self._taken += 1
            usable = [s for s in self._spaces.values() if not s.retired]
            for space in usable:
                offset = space.take(space.warm, want)
                if offset is not None:
                    return Block(space.segment, offset, size, fresh=False)
            for space in usable:
                if any(length >= want for _, length in space.fresh):
                    break
            else:
                space = self._grow(want)
            space.segment.own().require(want)
            offset = space.take(space.fresh, want)
            assert offset is not None
            return Block(space.segment, offset, size, fresh=True)

    def _grow(self, want: int) -> _Space:
        segment = new_segment(max(_UNIT, want), Kind.MESSAGE)
        space = _Space(segment, segment.root())
        space.fresh.append((0, segment.size))
        self._spaces[segment.id] = space
        return space

    def free(self, segment_id: int, offset: int) -> None:
        """Free a block that is no longer used. Unknown blocks are ignored: they belong to an arena
        that was given up."""
        with self._lock:
            space = self._spaces.get(segment_id)
            length = space.used.pop(offset, None) if space else None
            if space is None or length is None:
                return
            space.warm = _merge([*space.warm, (offset, length)])
            if space.retired and not space.used:
                del self._spaces[segment_id]

    def abandon(self, segment_id: int, offset: int) -> None:
        """Give up a block whose holder has died. A process that the holder started may still write
        there, so the block's segment is not used for anything new."""
        with self._lock:
            space = self._spaces.get(segment_id)
            if space is not None:
                space.used.pop(offset, None)
                space.retired = True
                if not space.used:
                    del self._spaces[segment_id]

    def trim(self) -> int:
        """Return free pages to the system; return their bytes."""
        given = 0
        with self._lock:
            for space in self._spaces.values():
                start = mapping.start_of(space.root)
                for offset, length in space.warm:
                    if mapping.punch(start + offset, length):
                        given += length
                        space.fresh.append((offset, length))
                    else:
                        return given  # this backing cannot; the memory stays warm
                space.warm = []
                space.fresh = _merge(space.fresh)
        return given

    def trim_if_idle(self, now: float, after: float = 2.0) -> None:
        """Trim if nothing has been allocated for ``after`` seconds; call it at intervals with a
        clock's reading."""
        taken, since = self._seen
        if taken != self._taken:
            self._seen = (self._taken, now)
        elif now - since >= after and self.warm_bytes:
            self.trim()

    def close(self) -> None:
        """Release everything; blocks that others hold live on through their views."""
        with self._lock:
            self._spaces.clear()

    @property
    def warm_bytes(self) -> int:
        """Return the bytes that are free and still in memory."""
        with self._lock:
            return sum(length for s in self._spaces.values() for _, length in s.warm)

    @property
    def used_bytes(self) -> int:
        """Return the bytes in blocks that are held."""
        with self._lock:
            return sum(sum(s.used.values()) for s in self._spaces.values())

    def __len__(self) -> int:
        return len(self._spaces)
