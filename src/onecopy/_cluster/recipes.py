"""Data that was decoded from files: a host that sees the same files decodes them itself.

The driver says how it has made the segment (``_files/load/origins.py``), and the checksum of all of its bytes. A host
first compares the files: their sizes, and their times of change or the server's tags. Then it decodes
them, and what comes out has to have the same checksum: another version of a library may lay the same data
out differently, and values behind nulls are undefined. Otherwise the bytes are shipped, as any others.
Only these bytes prove that references of the driver are right here: names, sizes and times do not.
"""

from __future__ import annotations

import os
import weakref
import zlib
from typing import Any

from .._files import load
from .._files.load import origins, places
from .._files.load.origins import Origin
from .._memory.segment import Kind, ReceivedFile, Segment
from .interface import Item

# Below this, shipping is faster than importing a library and opening a file.
_LEAST = 4 << 20
_PIECE = 8 << 20

_sums: weakref.WeakKeyDictionary[Segment, int] = weakref.WeakKeyDictionary()


def offer(segment: Segment) -> Item | None:
    """Return the item that offers a segment by its origin; None if it is to be shipped."""
    origin = origins.of(segment)
    if origin is None or segment.size < _LEAST:
        return None
    try:
        stamps = [places.stamp(name) for name in origin.names]
    except OSError:  # the files are gone, and the data is not
        return None
    if not all(stamps):
        return None
    found = _sums.get(segment)
    if found is None:
        found = _sums[segment] = _checksum(segment.descriptor(), segment.size)
    return "decode", segment.id, segment.size, found, origin, stamps


def decoded(
    segment_id: int, size: int, checksum: int, origin: Origin, stamps: list[tuple[Any, ...]]
) -> Segment | str:
    """Decode the files on this host. Return the segment, with the driver's id; or the reason for
    which its bytes have to be shipped.

    Args:
        segment_id, size, checksum: of the driver's segment.
        origin: how the driver has decoded it.
        stamps: of its files, see ``places.stamp``.
    """
    for name, stamp in zip(origin.names, stamps, strict=True):
        if places.stamp(name) != stamp:
            return f"{str(name)!r} is another file there"
    wanted = origin.wanted.plain()
    load.loaded(origin.names, wanted, origin.format)
    if origin.at >= len(wanted.made):
        return "its files are decoded into other segments there"
    segment = wanted.made[origin.at]
    if segment.size != size or _checksum(segment.descriptor(), size) != checksum:
        return "its files are decoded to other bytes there"
    file = ReceivedFile(os.dup(segment.descriptor()), segment.file.backing)
    return Segment(file, Kind.SHARED, size, segment.path, segment_id)


def _checksum(fd: int, size: int) -> int:
    """Return the checksum of a segment's bytes, which are not mapped for that."""
    found = 0
    for at in range(0, size, _PIECE):
        found = zlib.crc32(os.pread(fd, min(_PIECE, size - at), at), found)
    return found
