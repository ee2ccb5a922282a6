"""The driver's segments on a host: the same ids, and the bytes that were shipped.

A mirror is a sparse anonymous file of the segment's full size. Only the agent can write to it. Until
work refers to it no other process has it, and bytes are written by system calls, the cheapest way into fresh
pages. From then on the agent has the one writable mapping, made before the seal that refuses all
other writes (as in ``_codec.store``): more bytes may come, while workers use those that are there. A
file that this host sees too, with the same content as far as can be told, is mapped instead.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from .. import errors
from .._memory.segment import Kind, ReceivedFile, Segment, backing, registry
from .._system import mapping, memory
from . import recipes
from .bulk import Bulk
from .interface import Item

# Bytes for which room is made at once.
_PIECE = 8 << 20

Probe = tuple[int, bytes]
"""A place in a file, and the bytes that the driver has read there."""


class Mirrors:
    """See the module. The agent's serving thread; ``knows`` and ``there`` in any.

    Args:
        lacks: called with the id of a segment for which there was no room: it has to come again.
    """

    def __init__(self, lacks: Callable[[int], None]) -> None:
        self._lacks = lacks
        self._roots: dict[int, tuple[Segment, Any]] = {}
        # Of every mirror that is still in use, forgotten ones too: a segment that comes again
        # must be the same one, since a worker may have it mapped. 0: no work has referred to it.
        self._addresses: weakref.WeakKeyDictionary[Segment, int] = weakref.WeakKeyDictionary()
        self._failed: dict[int, BaseException] = {}

    def knows(self, segment_id: int) -> bool:
        """Return True for a segment that the driver has: a result may refer to it."""
        return segment_id in self._roots

    def segment(self, segment_id: int) -> Segment:
        """Return the mirror, for work that refers to it. Raises the error with which it could not be
        filled."""
        if segment_id in self._failed:
            raise self._failed[segment_id]
        segment = self._roots[segment_id][0]
        if segment in self._addresses:
            self._hand_out(segment)
        return segment

    def there(self, segment_id: int) -> Segment | None:
        """Return a mirror whose bytes were shipped, for another host that lacks some; None if it is not
        here. Any thread."""
        root = self._roots.get(segment_id)
        if root is None or segment_id in self._failed or isinstance(root[0].file, ReceivedFile):
            return None
        return root[0]

    def lost(self, segment_id: int) -> bool:
        """Return True if there was no room for a segment."""
        return segment_id in self._failed

    def sizes(self) -> int:
        """The number of mirrors."""
        return len(self._roots)

    def begin(self, segment_id: int, size: int) -> None:
        """Make room for a segment; nothing is allocated yet."""
        self._failed.pop(segment_id, None)
        try:
            known = registry.by_id.get(segment_id)
            if known is None or known not in self._addresses:
                file = backing(size, f"a segment of {size} bytes")
                known = Segment(file, Kind.SHARED, size, "", segment_id)
                self._addresses[known] = 0
            self._roots[segment_id] = known, known.root()
        except OSError as error:
            self._fail(segment_id, memory.shortage(error, size, memory.available))
        except errors.NotEnoughMemory as error:
            self._fail(segment_id, error)

    def fill(self, segment_id: int, offset: int, data: Any) -> None:
        """Write bytes that have come."""
        if segment_id in self._failed:
            return
        segment, _ = self._roots[segment_id]
        view = memoryview(data).cast("B")
        try:
            if self._addresses[segment]:
                address = self._reserved(segment, offset, view.nbytes)
                mapping.copy_in(address, mapping.address_of(view), view.nbytes)
            else:
                segment.own().require(view.nbytes)
                segment.own().write(offset, view)
        except (OSError, errors.NotEnoughMemory) as error:
            self._fail(segment_id, error)

    def receive(self, segment_id: int, offset: int, size: int, bulk: Bulk) -> None:
        """Let the kernel write bytes that come. Raises EOFError if the driver has gone."""
        for at in range(offset, offset + size, _PIECE):
            count = min(_PIECE, offset + size - at)
            if segment_id in self._failed:
                bulk.skip(count)
            else:
                segment, _ = self._roots[segment_id]
                try:
                    self._receive(segment, at, count, bulk)
                except (OSError, errors.NotEnoughMemory) as error:
                    self._fail(segment_id, error)

    def _receive(self, segment: Segment, at: int, count: int, bulk: Bulk) -> None:
        """Write a piece. Raises OSError or NotEnoughMemory if there is no room: the bytes have been
        read all the same."""
        mapped = bool(self._addresses[segment])
        try:
            if mapped:
                address = self._reserved(segment, at, count)
            else:
                segment.own().require(count)
        except (OSError, errors.NotEnoughMemory):
            bulk.skip(count)
            raise
        if mapped:
            bulk.receive(address, count)
        else:
            bulk.write(segment.own(), at, count)

    def _fail(self, segment_id: int, error: OSError | errors.NotEnoughMemory) -> None:
        """Refuse work that refers to a segment until it comes again; give back its memory if no work
        has referred to it."""
        self._failed[segment_id] = error.with_traceback(None)
        root = self._roots.get(segment_id)
        if root is not None and not self._addresses[root[0]]:
            del self._roots[segment_id]
        self._lacks(segment_id)

    def _reserved(self, segment: Segment, offset: int, size: int) -> int:
        """Return the address of bytes of a mapped mirror, which may be written to then. Raises
        NotEnoughMemory or OSError if there is no room."""
        segment.own().reserve(offset, size)
        return self._addresses[segment] + offset

    def _hand_out(self, segment: Segment) -> None:
        """Map a mirror, and refuse all other writes from now on, once. Raises NotEnoughMemory or
        OSError if the system refuses that."""
        if not self._addresses[segment]:
            file, size = segment.own(), segment.size
            try:
                address = mapping.map_shared(file.descriptor(write=True), size, write=True)
            except OSError as error:
                raise memory.shortage(error, size, memory.available) from None
            weakref.finalize(segment, mapping.unmap, address, size)
            file.seal_mappings()
            self._addresses[segment] = address

    def map_file(
        self, segment_id: int, path: str, size: int, modified: int, probes: list[Probe]
    ) -> str:
        """Map a file that this host sees; return why not, empty if it is done.

        Args:
            segment_id, path, size: the driver's.
            modified: the time of its last change, in nanoseconds.
            probes: some of its bytes.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            return str(error)
        file = ReceivedFile(fd, "file")
        status = os.fstat(fd)
        same = status.st_size >= size and status.st_mtime_ns == modified
        if not same or any(os.pread(fd, len(part), at) != part for at, part in probes):
            file.close()
            return "another file has this name there"
        segment = Segment(file, Kind.FILE, size, path, segment_id)
        self._roots[segment_id] = segment, segment.root()
        return ""

    def decode(self, segment_id: int, *how: Any) -> str:
        """Decode files that this host sees; return why not, empty if it is done. Any thread: nothing
        else is done with this segment meanwhile."""
        try:
            made = recipes.decoded(segment_id, *how)
        except Exception as error:  # no library, no room, a file that cannot be read
            return f"{type(error).__name__}: {error}"
        if isinstance(made, str):
            return made
        self._roots[segment_id] = made, made.root()
        return ""

    def forget(self, segment_id: int) -> Item:
        """Give up a segment that the driver has no view of; return the answer."""
        self._roots.pop(segment_id, None)
        self._failed.pop(segment_id, None)
        return "forgotten", segment_id
