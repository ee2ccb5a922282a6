"""The pages that the owner and its workers both map: claims, orders, early results.

Each worker has a slot: a few aligned 8-byte words (see ``strides``) and a page of results
(see ``early``). The owner makes them and hands each worker the descriptor; a word is written
by one side only, and no lock is involved.
"""

from __future__ import annotations

from .._protocol import outcome_page
from .._protocol.early import ROOM, read
from .._protocol.outcome_page import Outcome
from .._protocol.strides import BEGUN, CLAIM, ORDERS, WORDS, begun
from .._system import barrier, mapping
from .._system.anonymous import anonymous_file

# At least this many slots: a worker that is being replaced may still hold one.
_LEAST = 512


class Claims:
    """See the module. The driver thread alone.

    Args:
        workers: the number of workers at a time.
    """

    def __init__(self, workers: int) -> None:
        slots = max(_LEAST, 2 * workers)
        self._pages = mapping.PAGE * -(-8 * WORDS * slots // mapping.PAGE)
        self._file = anonymous_file(self._pages + slots * ROOM)
        self._file.reserve(0, self._pages)  # each worker's page is reserved when the worker is made
        size = self.size = self._file.size
        address = mapping.map_shared(self._file.descriptor(write=True), size, write=True)
        root = mapping.exporter(address, size, lambda: mapping.unmap(address, size))
        self._bytes = mapping.bytes_of(root, write=True)
        self._words = self._bytes.cast("Q")
        self._free = list(range(slots))

    def descriptor(self) -> int:
        """The descriptor of the file that workers map."""
        return self._file.descriptor(write=True)

    def first_word(self, slot: int) -> int:
        """Return the index of a slot's first word."""
        return WORDS * slot

    def room(self, slot: int) -> int:
        """Return the offset of a slot's page, in bytes."""
        return self._pages + slot * ROOM

    def reserve(self) -> int:
        """Return a free slot, for ``take``. Raises NotEnoughMemory."""
        slot = self._free[-1]
        self._file.reserve(self.room(slot), ROOM)
        return slot

    def take(self, slot: int) -> None:
        """Give the slot to a new worker."""
        self._free.remove(slot)
        for word in range(WORDS):
            self._words[WORDS * slot + word] = 0

    def give_back(self, slot: int) -> None:
        """Free the slot of a worker that has gone."""
        self._free.append(slot)

    def pause(self, slot: int, epoch: int) -> int:
        """Stop the worker from starting assignments until it is told to resume; return the last one
        that it has started.

        Args:
            slot: the worker's.
            epoch: how often it has been paused.
        """
        self._words[WORDS * slot + ORDERS] = epoch
        barrier.everywhere()
        return int(self._words[WORDS * slot + CLAIM])

    def begun(self, slot: int, assignment: int) -> int | None:
        """Return how many items of a chunk the worker has started; None if it has not written that
        yet. Call it after ``pause``."""
        return begun(int(self._words[WORDS * slot + BEGUN]), assignment)

    def claimed(self, slot: int) -> int:
        """Return the last assignment that the worker has started, as far as can be seen without a
        barrier."""
        return int(self._words[WORDS * slot + CLAIM])

    def early(self, slot: int, assignment: int, known: int) -> list[bytes]:
        """Return the results of a chunk after the first ``known``, pickled; see the module
        ``early``."""
        return read(*self._of(slot), assignment, known)

    def outcomes(self, slot: int, run: int) -> tuple[int, list[Outcome]] | None:
        """Return outcomes of a run that were not sent yet; see ``outcome_page``."""
        return outcome_page.read(*self._of(slot), run)

    def _of(self, slot: int) -> tuple[memoryview, memoryview]:
        at = self.room(slot)
        return self._words[WORDS * slot : WORDS * (slot + 1)], self._bytes[at : at + ROOM]

    def close(self) -> None:
        """Unmap the pages: all workers are gone."""
        self._file.close()
        self._words = memoryview(b"\0" * 8).cast("Q")
        self._bytes = memoryview(b"")
