"""The segments and blocks shared by the two ends of a channel.

Both ends follow these rules:

- A segment that the peer does not know is *announced*, with its descriptor, before the
  first message that refers to it.
- When the owner's last view of a segment dies, the owner tells each worker to *forget* it.
  Until the worker has answered, the owner can still resolve references in flight; to send
  the segment again it announces it again.
- A worker keeps announced segments mapped until it is told to forget them, so that the pages
  of a large dataset are faulted in once per worker and not once per task.
- A block of an arena is *lent*: its holder returns it when its last view has died.

Threads. ``frees`` and ``gone`` are appended to by finalizers, which may run anywhere: they are
deques and take no lock. Everything else is used by the sender with the channel's send lock held, or
by the receiver with its receive lock held; single dict operations are atomic.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from functools import partial
from typing import Any

from .._memory.arena import Arena, Block
from .._memory.segment import Kind, ReceivedFile, Segment, registry
from .._system import mapping

Announcement = tuple[int, int, int, str, str]  # id, kind, size, path, backing


class Link:
    """The shared memory of one end of a channel; implements the codec's two protocols.

    Args:
        arena: the source of this end's blocks.
        keep: keep the peer's segments mapped until told to forget them, as a worker does.
    """

    def __init__(self, arena: Arena, *, keep: bool) -> None:
        self.arena = arena
        self.frees: deque[tuple[int, int]] = deque()
        self.new: list[Segment] = []
        self.bytes_copied = 0
        self.bytes_shared = 0
        self.borrowed = 0  # blocks of the peer that this end holds
        self._keep = keep
        self._known: dict[int, Segment] = {}
        self._fading: dict[int, Segment] = {}
        self._held: dict[int, ctypes.Array[Any]] = {}
        self._bases: dict[int, Any] = {}
        self._lent: set[tuple[int, int]] = set()

    # The sender's side.

    def reference(self, segment: Segment, nbytes: int) -> None:
        """See ``codec.Outward``."""
        self.bytes_shared += nbytes
        if segment.id not in self._known:
            self._known[segment.id] = segment
            self.new.append(segment)

    def lend(self, block: Block) -> None:
        """See ``codec.Outward``."""
        if block.segment.id not in self._known:
            self._known[block.segment.id] = block.segment
            self.new.append(block.segment)
        self._lent.add((block.segment.id, block.offset))
        self.bytes_copied += block.length

    def take_new(self) -> tuple[list[Announcement], list[int]]:
        """Return the segments to announce before the next message, and their descriptors."""
        new, self.new = self.new, []
        said = [(s.id, int(s.kind), s.size, s.path, s.file.backing) for s in new]
        return said, [s.descriptor() for s in new]

    def came_back(self, blocks: list[tuple[int, int]]) -> None:
        """Free blocks that the peer has returned."""
        for block in blocks:
            if block in self._lent:
                self._lent.discard(block)
                self.arena.free(*block)

    def abandon(self) -> None:
        """Give up the blocks lent to the peer: it has gone."""
        for segment_id, offset in self._lent:
            self.arena.abandon(segment_id, offset)
        self._lent.clear()
        self._known.clear()
        self._fading.clear()
        self._bases.clear()
        self._held.clear()

    # Forgetting, the owner's side.

    def retire(self, segment_id: int) -> bool:
        """Note that no view of a segment is left here; return True if the peer must be told."""
        segment = self._known.get(segment_id)
        # An arena has a view of each segment that it uses: one without a view was given up.
        if segment is None or segment.has_views():
            return False
        self._fading[segment_id] = self._known.pop(segment_id)
        return True

    def forgotten(self, segment_id: int) -> None:
        """Note that the peer has forgotten a segment: no reference to it is in flight."""
        self._fading.pop(segment_id, None)

    # The receiver's side.

    def announced(self, said: list[Announcement], fds: list[int]) -> None:
        """Add segments that the peer announces. Takes the descriptors over."""
        left = list(fds)
        try:
            for (segment_id, number, size, path, backing), fd in zip(said, fds, strict=True):
                segment = registry.by_id.get(segment_id)
                if segment is None:
                    kind = Kind(number)
                    # Beyond the end a page is a SIGBUS; a user's file may be truncated at any time.
                    if kind != Kind.FILE and os.fstat(fd).st_size < size:
                        raise ValueError(f"a segment of {size} bytes is not as large as that")
                    segment = Segment(
                        ReceivedFile(left.pop(0), backing), kind, size, path, segment_id
                    )
                else:
                    os.close(left.pop(0))
                self._known[segment_id] = segment
        finally:
            for fd in left:
                os.close(fd)

    def forget(self, segment_id: int) -> None:
        """Release a segment that the owner has no view of any more."""
        self._known.pop(segment_id, None)
        self._bases.pop(segment_id, None)
        self._held.pop(segment_id, None)

    def _root(self, segment_id: int) -> ctypes.Array[Any]:
        root = self._held.get(segment_id)
        if root is None:
            segment = self._known.get(segment_id) or self._fading[segment_id]
            root = segment.root()
            if self._keep or segment.kind == Kind.MESSAGE:
                self._held[segment_id] = root
        return root

    def shared_view(self, segment_id: int) -> memoryview:
        """See ``codec.Inward``."""
        segment = self._known.get(segment_id) or self._fading[segment_id]
        return mapping.bytes_of(self._root(segment_id), write=segment.writable)

    def shared_base(self, segment_id: int) -> Any:
        """See ``codec.Inward``. Kept by a worker: repeating the steps for each task costs about 20
        microseconds if the caches are cold, as they are in a process that has just been woken."""
        base = self._bases.get(segment_id)
        if base is None:
            view = self.shared_view(segment_id)
            if not view.readonly:
                return view  # not kept until it is frozen
            from .arrays import base_of  # there is an array

            base = base_of(view)
            if self._keep:
                self._bases[segment_id] = base
        return base

    def private_view(self, segment_id: int) -> memoryview:
        """See ``codec.Inward``."""
        segment = self._known[segment_id]
        return mapping.private(segment.descriptor(), 0, segment.size)

    def block_view(self, segment_id: int, offset: int, size: int) -> memoryview:
        """See ``codec.Inward``."""
        root = self._root(segment_id)
        if offset + size > len(root):
            raise ValueError("a block reaches beyond its arena")
        back = partial(self._give_back, root, segment_id, offset)
        self.borrowed += 1
        block = mapping.exporter(mapping.start_of(root) + offset, size, back)
        return mapping.bytes_of(block, write=True)

    def _give_back(self, root: object, segment_id: int, offset: int) -> None:
        self.frees.append((segment_id, offset))
        self.borrowed -= 1  # after that: if nothing is borrowed, all is in ``frees``

    def files(self) -> list[Segment]:
        """Return the mapped files that the peer knows."""
        return [s for s in list(self._known.values()) if s.kind == Kind.FILE]

    def knows(self, segment_id: int) -> bool:
        return segment_id in self._known
