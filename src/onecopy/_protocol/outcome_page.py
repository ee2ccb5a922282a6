"""Outcomes of a run of calls, on their way from a worker to the owner.

A tiny call ends sooner than its outcome can be sent. So the worker collects outcomes in its page,
which the owner maps as well, and sends the page's contents as one frame. Nothing depends on that
frame: if the worker dies, or the next call takes long, the owner reads the page.

::

    index of the first outcome u64 | outcome | outcome ...
    outcome: length of the body u32 | flags u32 | ``wire.SPENT`` | body

The page is a sequence lock of one writer, which never waits. The word PUBLISHED has the run's id and
the number of outcomes in the page. When the page is emptied, the worker writes a count of 0 first,
then the index. The reader reads the index, the count, the page, the count and the index, with a
barrier of every CPU in between: if the index is the same and the count not smaller, what it copied
was complete and has not been overwritten.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from .._system import barrier
from . import wire
from .early import ROOM
from .strides import PUBLISHED, begun, word_of

_INDEX = wire.ID
_HEAD = struct.Struct("<II")
_LEAST = _HEAD.size + wire.SPENT.size
# Outcomes are not kept for longer: nanoseconds.
LONGEST_NS = 200_000


class Outcome(NamedTuple):
    """The outcome of one call as its worker tells it; ``flags`` as in a RESULT."""

    flags: int
    spent: bytes
    body: bytes


class OutcomePage:
    """The worker's side.

    Args:
        words: the worker's words; see ``strides``.
        room: its page.
        send: writes a frame.
    """

    def __init__(self, words: memoryview, room: memoryview, send: Callable[[bytes], None]) -> None:
        self._words = words
        self._room = room
        self._send = send
        self._word = self._run = self._index = self._count = 0
        self._at = _INDEX.size
        self._since = 0

    def begin(self, run: int) -> None:
        """Begin a run: the page is empty."""
        self._run, self._word = run, word_of(run, 0)
        self._index = 0
        self._empty()

    def add(self, flags: int, spent: bytes, body: bytes, now: int) -> None:
        """Add the outcome of the next call; ``now``: the time, in nanoseconds."""
        outcome = _HEAD.pack(len(body), flags) + spent + body
        end = self._at + len(outcome)
        if end > ROOM:
            self.flush()
            end = self._at + len(outcome)
            if end > ROOM:
                self._send_alone(outcome)
                return
        self._room[self._at : end] = outcome
        self._at = end
        self._count += 1
        self._words[PUBLISHED] = self._word + self._count
        if self._count == 1:
            self._since = now
        elif now - self._since > LONGEST_NS:
            self.flush()

    def add_large(self, flags: int, spent: bytes, body: bytes) -> None:
        """Send an outcome that refers to shared memory: it needs what its frame brings with it."""
        if self._count:
            self.flush()
        self._send_alone(_HEAD.pack(len(body), flags) + spent + body)

    def flush(self, *, last: bool = False) -> None:
        """Send what is in the page; ``last``: the run has ended."""
        body = bytes(self._room[: self._at])
        self._send(wire.pack(wire.OUTCOMES, body, wire.LAST if last else 0, self._run))
        self._index += self._count
        self._empty()

    def _send_alone(self, outcome: bytes) -> None:
        body = _INDEX.pack(self._index) + outcome
        self._send(wire.pack(wire.OUTCOMES, body, 0, self._run))
        self._index += 1
        self._empty()

    def _empty(self) -> None:
        # The order of these two matters; see the module.
        self._words[PUBLISHED] = self._word
        self._room[: _INDEX.size] = _INDEX.pack(self._index)
        self._count, self._at = 0, _INDEX.size


def parse(data: bytes, most: int | None = None) -> tuple[int, list[Outcome]]:
    """Return the index of the first outcome, and the outcomes: all, or the first ``most``. Raises
    ``struct.error`` if it is not that."""
    (index,) = _INDEX.unpack_from(data)
    at = _INDEX.size
    found: list[Outcome] = []
    # What the tuple's own ``__new__`` does, without the call.
    make, kind, head, unpack = tuple.__new__, Outcome, _HEAD.size, _HEAD.unpack_from
    end = len(data)
    while at < end and (most is None or len(found) < most):
        length, flags = unpack(data, at)
        body = at + _LEAST
        stop = body + length
        if stop > end:
            raise struct.error("an outcome is cut off")
        found.append(make(kind, (flags, data[at + head : body], data[body:stop])))
        at = stop
    return index, found


def read(words: memoryview, room: memoryview, run: int) -> tuple[int, list[Outcome]] | None:
    """Return, on the owner's side, what is in the page as ``parse`` does; None if nothing of the run
    is there, or it has just been sent."""
    first = bytes(room[: _INDEX.size])
    barrier.everywhere()
    count = begun(int(words[PUBLISHED]), run)
    if not count:
        return None
    barrier.everywhere()
    data = bytes(room)
    barrier.everywhere()
    after = begun(int(words[PUBLISHED]), run)
    barrier.everywhere()
    index = bytes(room[: _INDEX.size])
    if after is None or after < count or not (first == index == data[: _INDEX.size]):
        return None
    return parse(data, count)
