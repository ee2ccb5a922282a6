"""The pages that the owner and its workers both map: claims, orders, early results.

Each worker has a slot: a few aligned 8-byte words (see ``strides``) and a page of results
(see ``early``). The owner makes them and hands each worker the descriptor; a word is written
by one side only, and no lock is involved.
"""

from __future__ import annotations

from .._protocol.early import ROOM, read
from .._protocol.strides import BEGUN, CLAIM, ORDERS, WORDS, begun
from .._system import barrier, mapping
from .._system.anonymous import anonymous_file

# Slots for at least so many workers: one that is replaced may still be there.
_LEAST = 512


class Claims:
    """See the module. The driver thread alone.

    Args:
        workers: how many there are at a time.
    """

    def __init__(self, workers: int) -> None:
        slots = max(_LEAST, 2 * workers)
        self._pages = mapping.PAGE * -(-8 * WORDS * slots // mapping.PAGE)
        self._file = anonymous_file(self._pages + slots * ROOM)
        self._file.reserve(0, self._pages)  # and each worker's page when it is made
        size = self.size = self._file.size
        address = mapping.map_shared(self._file.descriptor(write=True), size, write=True)
        root = mapping.exporter(address, size, lambda: mapping.unmap(address, size))
        self._bytes = mapping.bytes_of(root, write=True)
        self._words = self._bytes.cast("Q")
        self._free = list(range(slots))

    def descriptor(self) -> int:
        """What a worker maps."""
        return self._file.descriptor(write=True)

    def first_word(self, slot: int) -> int:
        """Where a slot's words begin, in words."""
        return WORDS * slot

    def room(self, slot: int) -> int:
        """Where a slot's page begins, in bytes."""
        return self._pages + slot * ROOM

    def reserve(self) -> int:
        """A free slot, which ``take`` then takes. Raises NotEnoughMemory."""
        slot = self._free[-1]
        self._file.reserve(self.room(slot), ROOM)
        return slot

    def take(self, slot: int) -> None:
        """The slot is a new worker's."""
        self._free.remove(slot)
        for word in range(WORDS):
            self._words[WORDS * slot + word] = 0

    def give_back(self, slot: int) -> None:
        """The worker has gone."""
        self._free.append(slot)

    def pause(self, slot: int, epoch: int) -> int:
        """The worker begins with nothing after this, until it is told to resume; what it has
        begun with last.

        Args:
            slot: the worker's.
            epoch: how often it has been paused.
        """
        self._words[WORDS * slot + ORDERS] = epoch
        barrier.everywhere()
        return int(self._words[WORDS * slot + CLAIM])

    def begun(self, slot: int, assignment: int) -> int | None:
        """After ``pause``: how many items of a chunk the worker has begun; None when it has
        not said so yet."""
        return begun(int(self._words[WORDS * slot + BEGUN]), assignment)

    def claimed(self, slot: int) -> int:
        """What the worker has begun with last, as far as can be seen without a barrier."""
        return int(self._words[WORDS * slot + CLAIM])

    def early(self, slot: int, assignment: int, known: int) -> list[bytes]:
        """The results of a chunk after the first ``known``, pickled; see ``early``."""
        at = self.room(slot)
        words = self._words[WORDS * slot : WORDS * (slot + 1)]
        return read(words, self._bytes[at : at + ROOM], assignment, known)

    def close(self) -> None:
        """All workers are gone."""
        self._file.close()
        self._words = memoryview(b"\0" * 8).cast("Q")
        self._bytes = memoryview(b"")
