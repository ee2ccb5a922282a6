"""Large results on their way to the driver: in pieces, after the driver was told their sizes.

A message comes whole. A result that is larger than the driver's memory would end the connection, and
with it the host. So its large parts come before it::

    lands     the key of what comes, the size of each part
    landed    the key, and some pieces: (part, offset, bytes)
    ended     as for any result, but its parcel lacks these parts (its stream is None)

Where the host has a stream (``bulk``), the parts follow ``lands`` there, and there is no ``landed``: fewer
copies, and no event loop sees them (``inbox``). The large values of a chunk come one by one before its
result, as ``value`` in place of ``ended``. If the driver has no room for the parts, it drops them, and that
value alone is an error.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from .._codec.parcel import Parcel
from .._system.memory import available
from ..errors import NotEnoughMemory
from .bulk import Bulk
from .interface import Item

# Results of fewer bytes go with the other items of a message, up to as many bytes.
PIECE = 8 << 20
# The same where a host has a stream for larger ones.
_STREAMED = 1 << 20
# Bytes that the driver keeps for itself: for one message, and for its errors.
_SPARE = 3 * PIECE

_allocating = threading.Lock()

Piece = tuple[int, int, Any]
"""The number of a part, an offset in it, and bytes."""
Key = tuple[int, int]
"""The number of an assignment, and the item of a value; -1: the result itself."""


# The host.


def messages(
    items: list[Item], *, streams: bool = False
) -> Iterator[tuple[list[Item], list[memoryview]]]:
    """Yield the messages that carry these items, in order, each with the bytes that follow it on the
    stream.

    Args:
        items: what is said.
        streams: large parts of results go by the stream. Else they go in messages, none with much more
            than ``PIECE`` bytes of results.
    """
    some: list[Item] = []
    size = 0
    most = _STREAMED if streams else PIECE
    for item in items:
        sent = item
        if item[0] in ("ended", "value"):
            *about, parcel = item
            key = key_of(item)
            moved = parcel.moved
            if moved > most:
                parts = [memoryview(each).cast("B") for each in (parcel.stream, *parcel.buffers)]
                lands = [*some, ("lands", key, [part.nbytes for part in parts])]
                some, size = [], 0
                yield lands, parts if streams else []
                for pieces in () if streams else _pieces(parts):
                    yield [("landed", key, pieces)], []
                sent = (*about, parcel._replace(stream=None, buffers=()))
            elif size + moved > PIECE:
                yield some, []
                some, size = [], moved
            else:
                size += moved
        some.append(sent)
    if some:
        yield some, []


def key_of(item: Item) -> Key:
    """Return what names the parts of a result, or of a value of it, on their way."""
    return item[1], item[2] if item[0] == "value" else -1


def _pieces(parts: list[memoryview]) -> Iterator[list[Piece]]:
    some: list[Piece] = []
    size = 0
    for number, part in enumerate(parts):
        for at in range(0, part.nbytes, PIECE):
            piece = part[at : at + PIECE]
            if size + piece.nbytes > PIECE:
                yield some
                some, size = [], 0
            some.append((number, at, pickle.PickleBuffer(piece)))
            size += piece.nbytes
    if some:
        yield some


# The driver.


class Landing:
    """Room for the large parts of one result, which are copied into it as they come.

    Args:
        sizes: of its parts, in bytes. The first is a pickle stream.

    Raises:
        NotEnoughMemory: there is no room for them.
    """

    def __init__(self, sizes: list[int]) -> None:
        # The objects of a pickle stream are about as large as it, or larger.
        wanted = sum(sizes) + sizes[0]
        # One at a time: every page is there when the next one looks at what is left.
        with _allocating:
            left = max(0, available() - _SPARE)
            if wanted > left:
                raise NotEnoughMemory(wanted, left)
            try:
                self._parts = [bytearray(size) for size in sizes]
            except MemoryError as error:
                where = "memory of this process (see ulimit -v and ulimit -d)"
                raise NotEnoughMemory(wanted, left, where) from error

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Copy pieces to their places."""
        for part, offset, data in pieces:
            view = memoryview(data).cast("B")
            self._parts[part][offset : offset + view.nbytes] = view

    def read(self, bulk: Bulk) -> None:
        """Read all parts from a stream. Raises EOFError if it ends."""
        for part in self._parts:
            bulk.fill(memoryview(part))

    def whole(self, parcel: Parcel) -> Parcel:
        """Return the parcel of the result with its parts."""
        stream, *buffers = self._parts
        return parcel._replace(stream=stream, buffers=tuple(buffers))


Landings = dict[Key, Landing | NotEnoughMemory]
"""Of one host: the parts of results that have not ended, or the reason why they were dropped."""
