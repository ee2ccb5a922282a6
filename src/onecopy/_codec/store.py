"""The store of shared objects: sealed segments, few of them for any number of objects.

A large object gets its own segment, filled by system call and then sealed. Small ones are put one
after another into a common segment, which no other mapping can write from the start
(``F_SEAL_FUTURE_WRITE``): the store alone holds the one writable mapping, made before that seal,
and drops it when the segment is full.

The rule keeps descriptors few and returns memory promptly. An object of 1 MiB or more is alone in
its segment while there are few such segments. Beyond that, the threshold grows with the stored
bytes, so a hundred thousand small arrays take a handful of descriptors (pytorch#973), and the
memory that a common segment holds back is a small share of the whole. Room is reserved object by
object; an unused end costs nothing.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from .._memory.segment import Kind, Segment, new_segment, registry, round_to_page
from .._system import forking, mapping
from .._system.interrupts import Uninterrupted
from .buffers import CopyRange

_ALONE = 1 << 20
_FEW = 48
_UNIT = 64 << 20
ALIGN = 64  # a cache line, and Arrow's alignment

Piece = tuple[int, CopyRange]  # offset in the segment, bytes


class Placed(NamedTuple):
    """The place of an object; ``root`` keeps it alive until a view does."""

    segment: Segment
    offset: int
    root: ctypes.Array[Any]


class Store:
    """Puts bytes into sealed memory. Thread-safe; see the module for the rule."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slab: Segment | None = None
        self._address = 0
        self._used = 0
        self._reserved = 0
        registry.listeners.add(self)
        forking.in_child(self._after_fork)

    def _after_fork(self) -> None:
        # The slab's writable mapping belongs to the parent.
        self._lock = threading.Lock()
        registry.listeners.add(self)
        if self._slab is not None:
            mapping.unmap(self._address, self._slab.size)
            self._slab = None

    def segment_gone(self, segment_id: int) -> None:
        """Return a slab at once when its last view has died.

        Called inside a finalizer: only tries the lock. The thread that holds it is storing
        something, and itself checks whether the slab has views.
        """
        if self._lock.acquire(blocking=False):
            try:
                slab = self._slab
                if slab is not None and slab.id == segment_id and not slab.has_views():
                    self._retire()
            finally:
                self._lock.release()

    def segment_frozen(self, segment_id: int) -> None:
        """Nothing to do: the store's own segments are never open."""

    def put(self, size: int, pieces: Sequence[Piece]) -> Placed:
        """Store ``size`` bytes in memory that is read-only from then on.

        Args:
            size: bytes to store, at least 1.
            pieces: the pieces and their offsets.

        Raises NotEnoughMemory before a page is touched.
        """
        shared = [s for s in registry.mapped() if s.kind == Kind.SHARED]
        unit = max(_UNIT, sum(s.size for s in shared) // 64)
        if size >= unit or (size >= _ALONE and len(shared) < _FEW):
            segment = self._alone(size, pieces)
            return Placed(segment, 0, segment.root())
        # A handler that raises halfway would leave the slab's numbers wrong, and what is stored next
        # in the place of something else. It waits for 64 MB to be copied at most.
        with Uninterrupted(), self._lock:
            return self._among(size, unit, pieces)

    def _alone(self, size: int, pieces: Sequence[Piece]) -> Segment:
        segment = new_segment(size, Kind.SHARED)
        file = segment.own()
        file.require(size)
        gathered = []
        for offset, run in pieces:
            if run.array is None:
                # By system call: into fresh pages this is twice as fast as through a mapping.
                file.write(offset, mapping.borrowed(run.low, run.size, write=False))
            else:
                file.reserve(offset, run.size)
                gathered.append((offset, run))
        if gathered:
            with Uninterrupted() as signals:
                address = mapping.map_shared(file.descriptor(write=True), segment.size, write=True)
                try:
                    signals.pass_on(partial(_fill, address, gathered))
                finally:
                    mapping.unmap(address, segment.size)
        file.seal_mappings()
        file.seal()
        return segment

    def _among(self, size: int, unit: int, pieces: Sequence[Piece]) -> Placed:
        offset = -(-self._used // ALIGN) * ALIGN
        slab = self._slab
        root = slab.root() if slab is not None and slab.has_views() else None
        # A slab whose objects have all died is released and not filled further.
        if slab is None or root is None or offset + size > slab.size:
            self._retire()
            slab = self._open(unit)
            root, offset = slab.root(), 0
        if offset + size > self._reserved:
            # A quarter more than needed, so that reserving does not cost a call per object.
            upto = max(offset + size, self._reserved * 5 // 4)
            upto = min(slab.size, round_to_page(upto))
            slab.own().reserve(self._reserved, upto - self._reserved)
            self._reserved = upto
        _fill(self._address + offset, pieces)
        self._used = offset + size
        return Placed(slab, offset, root)

    def _open(self, size: int) -> Segment:
        slab = new_segment(size, Kind.SHARED)
        file = slab.own()
        self._address = mapping.map_shared(file.descriptor(write=True), slab.size, write=True)
        self._slab, self._used, self._reserved = slab, 0, 0
        file.seal_mappings()
        return slab

    def _retire(self) -> None:
        if self._slab is not None:
            mapping.unmap(self._address, self._slab.size)
            self._slab.own().seal()
            self._slab = None


def _fill(address: int, pieces: Sequence[Piece]) -> None:
    for offset, run in pieces:
        run.copy_to(mapping.borrowed(address + offset, run.size, write=True))


store = Store()
