"""Results of a chunk that are known to the owner while a later item of it is still run.

A stream hands results out one by one, and one that is there must not wait for a slow item
behind it in its chunk. A worker that is in the middle of an item cannot send anything; so it
writes each small result, pickled, into a page that the owner maps as well, which takes less
than a microsecond. Mostly nobody reads it: all of them are in the answer at the end. When
that keeps the owner waiting, it looks (``revoking``). What is too large for the page ends the
chunk instead, and an item that fails as well: the worker sends what it has, and the rest is
handed out again.

The page is a sequence lock of one writer, which never waits. It writes the task's id with a
count of 0 before any result of the task, and the count that includes a result after that.
The reader takes the count, has every CPU pass a barrier, copies, passes another barrier, and
looks whether the word is still about that task. If so, nothing that it copied had been
overwritten; and what the count includes was written before it.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any

from .._codec.codec import Encoded, encode
from .._codec.pickling import PEER, TooLong
from .._system import barrier, mapping
from .strides import MOST, PUBLISHED, Strides, begun, word_of

# Bytes per worker.
ROOM = mapping.PAGE
# Streams have at most so many items in a chunk: their number travels in a frame's flags.
ITEMS = 16
_LENGTH = struct.Struct("<I")
_SCALARS = frozenset({int, float, bool, type(None)})


class Page:
    """The worker's side.

    Args:
        words: the worker's words; see ``strides``.
        room: its page.
    """

    def __init__(self, words: memoryview, room: memoryview) -> None:
        self._words = words
        self._room = room

    def publishing(
        self, task: int, function: Callable[[Any], Any], strides: Strides
    ) -> Callable[[Any], Any]:
        """``function``, whose results are written into the page in the order of the items, or
        end the chunk."""
        words, room, head = self._words, self._room, _LENGTH.size
        dumps, length, scalars = pickle.dumps, _LENGTH.pack, _SCALARS
        word = word_of(task, 0)
        words[PUBLISHED] = word
        at = 0

        def call(item: Any) -> Any:
            nonlocal at, word
            try:
                value = function(item)
            except BaseException:
                strides.end()
                raise
            stream = dumps(value, 5) if type(value) in scalars else _stream(value)
            if stream is None or (end := at + head + len(stream)) > ROOM:
                strides.end()
                return value
            room[at:end] = length(len(stream)) + stream
            at = end
            word += 1
            words[PUBLISHED] = word
            return value

        return call


def _stream(value: Any) -> bytes | None:
    """A small result as it can be read without a link; None for others."""
    try:
        encoded = encode(value, PEER, "result", most=ROOM)
    except (TooLong, Exception):
        return None  # whatever is wrong with it is said when it is sent
    assert isinstance(encoded, Encoded)
    return encoded.stream() if encoded.is_bare() else None


def read(words: memoryview, room: memoryview, task: int, known: int) -> list[bytes]:
    """The owner's side: the pickled results of a task behind those that are ``known``."""
    count = begun(int(words[PUBLISHED]), task)
    if count is None or count <= known:
        return []
    barrier.everywhere()
    data = bytes(room)
    barrier.everywhere()
    if begun(int(words[PUBLISHED]), task) is None:
        return []
    found: list[bytes] = []
    at = 0
    for _ in range(min(count, MOST)):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        found.append(data[at : at + length])
        at += length
    return found[known:]
