"""Runs a chunk in strides, so that items that have not been started can be taken back.

A chunk of few items is run item by item. In a longer one, each stride is run in one C loop, so that
this costs little even if the items are tiny.

The agreement is the same as for claims (``_worker.orders``), with another word. Before a stride the
worker writes the item that it will stop before, then reads the owner's orders. The owner gives its
order, makes every CPU pass a barrier, and reads the word. So either it sees what has been started,
or the worker sees the order before it starts, and waits until it is told where the chunk ends. The
owner never takes back what it sees as started, and what it does not see has not been started. The
word names the task, since it is written after the claim: between the two writes it is about the
task before, and then nothing is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import Any

# A stride is at most this long, judged by the one before it. It is also a small part of the chunk,
# unless that takes no time: each stride costs 2 microseconds.
STRIDE_NS = 1_000_000
PARTS = 128
LEAST_NS = 100_000
# A chunk of at most this many items is run item by item.
FEW = 512
# A stride has at most this many times the items of the one before: the items may be unlike those
# that were measured.
_GROWTH = 4
# In the word that tells how much of a chunk was started: the assignment's id, and in the lower bits
# the items.
_BITS = 24
MOST = (1 << _BITS) - 1
# A worker's words: the last assignment that it started (its claim); how often it was paused; how
# much of its chunk was started; how many results are in its page (see ``early``). Four, so that all
# fit in one cache line.
CLAIM, ORDERS, BEGUN, PUBLISHED = range(4)
WORDS = 4


def word_of(assignment: int, upto: int) -> int:
    """Return the word that says that items before ``upto`` of a chunk have been started."""
    return assignment << _BITS | upto


def begun(word: int, assignment: int) -> int | None:
    """Return how many items of a chunk have been started; None if the word is of another."""
    return word & MOST if word >> _BITS == assignment else None


class Strides:
    """The items of a chunk, stride by stride, up to where it is cut.

    It is iterated over once; each stride is an iterator over its items.

    Args:
        items: all items, at most ``MOST``.
        words: the worker's words.
        task: the assignment's id.
        released: the last of the owner's orders that was lifted.
        wait: waits until the present order is lifted; returns where the chunk ends, which is never
            before what was announced as started.
        clock: returns nanoseconds.

    Attributes:
        stop: where the chunk ends, as far as known.
        upto: where the present stride ends, as far as known.
        ended: the worker has ended it there.
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
            # The order of these two matters; see the module.
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
        """End the chunk after the current item. For chunks that are run item by item."""
        self.ended = True
        self.stop = self.upto = min(self.stop, self._words[BEGUN] - self._zero)

    def _cut(self) -> None:
        released = self._words[ORDERS]
        self.stop = min(self.stop, self._wait())
        self._released = released
