"""Early results: those of a chunk that reach the owner while a later item is still running.

A stream returns results one by one, and a finished result must not wait for a slow item behind it
in its chunk. A worker that is running an item cannot send anything. So it writes each small result,
pickled, into a page that the owner maps as well, which takes less than a microsecond. Usually the
page is not read: the answer at the end contains all results. If that keeps the owner waiting, it
reads the page (``_engine.receiver``). A result too large for the page ends the chunk instead, and
so does an item that fails: the worker sends what it has, and the rest is given out again.

The page is a sequence lock of one writer, which never waits. It writes the task's id with a count
of 0 before any result of the task, and the count that includes a result after that. The reader
reads the count, makes every CPU pass a barrier, copies, passes another barrier, and checks that the
word is still about that task. If so, nothing that it copied had been overwritten, and all results
in the count were written before it.
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
# Chunks of streams have at most this many items: the number is sent in a frame's flags.
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
        """Wrap ``function``: its results are written into the page in the order of the items, or
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
    """Return a small result pickled, such that it can be read without a link; None for others."""
    try:
        encoded = encode(value, PEER, "result", most=ROOM)
    except (TooLong, Exception):
        return None  # if it cannot be pickled, sending it reports that
    assert isinstance(encoded, Encoded)
    return encoded.stream() if encoded.is_bare() else None


def read(words: memoryview, room: memoryview, task: int, known: int) -> list[bytes]:
    """Return, on the owner's side, the pickled results of a task after the first ``known``."""
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
