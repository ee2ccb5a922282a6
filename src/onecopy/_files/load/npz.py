"""``.npz`` archives: stored members are mapped in place, compressed ones inflated.

An archive is a zip file of ``.npy`` members. A stored member (as ``np.savez`` writes it) is in the
archive unchanged, so it is mapped there; one that is compressed (``np.savez_compressed``) is
inflated in pieces straight into a segment, so the peak is the data and one piece. In an archive at
a URL every member is read in pieces, and only the chosen members are fetched.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

import numpy as np

from ..._memory.segment import Segment
from ..._memory.segment_writer import Growing
from ...errors import BadFile
from . import places
from .arrays import rows_a_piece
from .interface import Arrays, Wanted, reading
from .members import Refused
from .npy import Mapped, file_segment, header, mapped

_PIECE = 1 << 20
_MEMBER = "member of an archive"
# The local file header of the zip format (APPNOTE 4.3.7) is 30 bytes, and ends with the
# lengths of the name and of the extra field that follow it.
_LOCAL = 30


def open(name: str, wanted: Wanted) -> Arrays:
    """Open the arrays of ``name``; raise BadFile if one of them is damaged."""
    remote = places.is_remote(name)
    with reading(name, ".npz archive"), ExitStack() as stack:
        file: Any = stack.enter_context(places.seekable(name)) if remote else name
        archive = stack.enter_context(zipfile.ZipFile(file))
        segment = None if remote else file_segment(name)[0]
        members = {
            member: _member(archive, info, segment, name)
            if not remote or wanted.columns is None or member in wanted.columns
            else Refused(f"{name}:{info.filename}", "it was not asked for")
            for info in archive.infolist()
            if (member := info.filename.removesuffix(".npy")) != info.filename
        }
        close = stack.pop_all().close
    for info in archive.infolist():
        if wanted.columns is None and not info.filename.endswith((".npy", "/")):
            wanted.notes.say(name, f"left out {info.filename!r}: it is no array")
    return Arrays(name, members, single=False, close=close)


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, segment: Segment | None, name: str
) -> Mapped | Packed | Refused:
    where = f"{name}:{info.filename}"
    with archive.open(info) as member:
        shape, fortran, dtype = header(member, where)  # type: ignore[arg-type]
        if dtype.hasobject or dtype.kind == "T":
            return Refused(where, f"it holds Python objects (dtype {dtype}), which are pickled")
        start = member.tell()
    need = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if info.compress_type != zipfile.ZIP_STORED or segment is None:
        if need > info.file_size:
            raise BadFile(f"{where!r} is cut short: {info.file_size} of {need} bytes")
        return Packed(archive, info, where, start, shape, fortran, dtype)
    local = _data_offset(segment, info)
    end = local + info.file_size
    if end > segment.size or need > info.file_size:
        raise BadFile(f"{where!r} is cut short at byte {min(end, segment.size)}")
    return Mapped(mapped(segment, segment.size, local + start, shape, fortran, dtype), where)


def _data_offset(segment: Segment, info: zipfile.ZipInfo) -> int:
    """Return the offset of a stored member's bytes in the archive."""
    head = segment.view(info.header_offset, _LOCAL)
    names, extra = struct.unpack_from("<HH", head, 26)
    return int(info.header_offset + _LOCAL + names + extra)


class Packed:
    """An ``Array`` in a member that is read through ``zipfile``: a compressed one, or one at a
    URL."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        info: zipfile.ZipInfo,
        where: str,
        start: int,
        shape: tuple[int, ...],
        fortran: bool,
        dtype: np.dtype[Any],
    ) -> None:
        self._archive, self._info, self._start, self._fortran = archive, info, start, fortran
        self.where = where
        self.shape = shape
        self.dtype = dtype

    def whole(self) -> np.ndarray[Any, Any]:
        """Inflate the member into a segment, in the order of its elements."""
        size = self._info.file_size - self._start
        with Growing(self.where) as growing:
            growing.require(size)
            for piece in self._pieces():
                growing.write(piece)
            if growing.tell() != size:
                raise BadFile(
                    f"{self.where!r} is cut short: {growing.tell()} of {size} bytes could be read"
                )
            if not size:
                growing.write(b"\0")  # a mapping must not be empty
            segment = growing.finish()
        return mapped(segment, size, 0, self.shape, self._fortran, self.dtype)

    def _pieces(self) -> Iterator[bytes]:
        with reading(self.where, _MEMBER), self._archive.open(self._info) as member:
            _skip(member, self._start)
            while piece := member.read(_PIECE):
                yield piece

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``. In Fortran order even the first row requires the whole member."""
        if self._fortran or not self.shape:
            yield from Mapped(self.whole(), self.where).blocks(start, stop)
            return
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))
        step = rows_a_piece(self.shape, self.dtype)
        with self._archive.open(self._info) as member:
            with reading(self.where, _MEMBER):
                _skip(member, self._start + start * row)
            for at in range(start, stop, step):
                count = min(step, stop - at)
                with reading(self.where, _MEMBER):
                    data = member.read(count * row)
                    block = np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])
                yield block


def _skip(member: IO[bytes], count: int) -> None:
    """Inflate and discard the bytes before the wanted ones."""
    while count > 0:
        piece = member.read(min(count, _PIECE))
        if not piece:
            raise EOFError(f"it ends {count} bytes too early")
        count -= len(piece)
