"""Running a chunk in strides, so that what of it has not been begun can be taken back.

A chunk of few items is run item by item. Of a longer one, a stride is run in one C loop, so
that this costs tiny items little.

The agreement is the one about claims (``child.Worker._task``), with a word of its own. Before
a stride the worker writes how far it is about to go, then reads the owner's orders. The owner
orders, has every CPU pass a barrier, and reads how far the worker is. So it sees what has been
begun, or the worker sees the order before it begins, and waits until it is told where the
chunk ends. The owner never cuts off what it sees as begun, and what it does not see has not
been begun. The word names the task, since it is written after the claim: between the two it
is about the task before, and then nothing is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import Any

# A stride is at most this long, by what the one before it took; and it is a small part of the
# chunk, unless that takes no time: a stride costs 2 microseconds of its own.
STRIDE_NS = 1_000_000
PARTS = 128
LEAST_NS = 100_000
# A chunk of no more items is run item by item.
FEW = 512
# It is at most so many times as long as the one before: an item may be of another kind than
# those that were measured.
_GROWTH = 4
# In the word that tells how far a worker has begun with a chunk: the assignment's id, and in
# the lower bits the items.
_BITS = 24
MOST = (1 << _BITS) - 1
# A worker's words: what it has begun with last (its claim); how often it was told to begin
# with nothing more; how far it has begun with its chunk; how many results are in its page (see
# ``early``). Four, so that all are in one line of the cache.
CLAIM, ORDERS, BEGUN, PUBLISHED = range(4)
WORDS = 4


def word_of(assignment: int, upto: int) -> int:
    """The word that says that items before ``upto`` of a chunk have been begun."""
    return assignment << _BITS | upto


def begun(word: int, assignment: int) -> int | None:
    """How many items of a chunk have been begun; None when the word is about another one."""
    return word & MOST if word >> _BITS == assignment else None


class Strides:
    """The items of a chunk, stride by stride, up to where it is cut.

    It is iterated over once; each stride is an iterator over its items.

    Args:
        items: all of them, at most ``MOST``.
        words: the worker's words: its claim, the owner's orders, how far it has begun.
        task: the assignment's id.
        released: the last of the owner's orders that was lifted.
        wait: waits until the one that is given is lifted; returns where the chunk ends, at
            least where it was said to be begun up to before.
        clock: in nanoseconds.

    Attributes:
        stop: where the chunk ends, as far as is known.
        upto: where the present stride ends, as far as is known.
        ended: it ends there because the worker wants it to.
    """

    def __init__(
        self,
        items: Sequence[Any],
        words: memoryview,
        task: int,
        released: int,
        wait: Callable[[], int],
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.stop = len(items)
        self.upto = 0
        self.ended = False
        self._items = items
        self._words = words
        self._zero = word_of(task, 0)
        self._released = released
        self._wait = wait
        self._clock = clock

    def __iter__(self) -> Iterator[Iterator[Any]]:
        if self.stop <= FEW:
            self.upto = self.stop
            return iter((self._singly(),))
        return self._strides()

    def _singly(self) -> Iterator[Any]:
        words, released, word = self._words, self._released, self._zero
        last = word + self.stop
        for item in self._items:
            if self.ended:
                return
            word += 1
            # In this order; see the module.
            words[BEGUN] = word
            if words[ORDERS] > released:
                self._cut()
                self.upto = self.stop
                released, last = self._released, self._zero + self.stop
            if word > last:
                return
            yield item

    def _strides(self) -> Iterator[Iterator[Any]]:
        items, clock, words = self._items, self._clock, self._words
        part, done, step = self.stop // PARTS, 0, 1
        while done < self.stop:
            upto = min(done + step, self.stop)
            words[BEGUN] = self._zero + upto
            if words[ORDERS] > self._released:
                self._cut()
                upto = min(upto, self.stop)
            self.upto = upto
            since = clock()
            yield iter(items[done:upto])
            each = max((clock() - since) / max(upto - done, 1), 1.0)
            done = upto
            most = max(part, int(LEAST_NS / each))
            step = max(1, min(int(STRIDE_NS / each), most, _GROWTH * step))

    def end(self) -> None:
        """The item that is being run is the last one. For chunks that are run item by item."""
        self.ended = True
        self.stop = self.upto = min(self.stop, self._words[BEGUN] - self._zero)

    def _cut(self) -> None:
        released = self._words[ORDERS]
        self.stop = min(self.stop, self._wait())
        self._released = released
