"""``.npy`` files: mapped, without a copy or a read, at any size.

The format is NEP 1: a magic string, a version, a header (a Python literal), then the elements in
their layout in memory. NumPy's own header reader is used, which never executes what it reads. The
file is mapped read-only and shared, so every process that uses it uses the page cache's one copy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from ..._codec.arrays import on_buffer
from ..._memory.segment import Kind, ReceivedFile, Segment
from ..._memory.segment_writer import Growing
from ..._system.interrupts import Uninterrupted, raised_by_handler
from ...errors import BadFile
from . import places
from .arrays import rows_a_piece
from .interface import PIECE, Arrays, Wanted, reading

# A header is a Python literal: parsing it takes about a hundred times its bytes in memory. This
# limit allows about ten thousand fields.
_LONGEST = 2 << 20
_PICKLED = "holds Python objects (dtype {}); onecopy does not unpickle files"


def header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, Fortran order and dtype; ``file`` is left at the first element."""
    try:
        version = npy_format.read_magic(file)
        read: Any = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
            (3, 0): npy_format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version} of the format is not known")
        shape, fortran, dtype = read(file, max_header_size=_LONGEST)
        if version == (3, 0):
            dtype = _in_utf8(dtype)
        np.broadcast_to(np.void(1), shape)  # raises if there can be no such array
    except Exception as error:
        if raised_by_handler(error):
            raise
        # The parsers of headers and of compressed data raise all kinds of errors on damaged ones:
        # SyntaxError, TokenError, RecursionError, OverflowError, zlib.error...
        raise BadFile(f"{name!r} is not a whole .npy file: {str(error)[:200]}") from error
    return tuple(shape), bool(fortran), dtype


def refuse_objects(dtype: np.dtype[Any], name: str) -> None:
    """Raise BadFile for an array that is pickled in its file."""
    if dtype.hasobject or dtype.kind == "T":
        raise BadFile(f"{name!r} {_PICKLED.format(dtype)}")


def _in_utf8(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Decode field names: version 3 is version 2 with names in UTF-8, which NumPy's reader of
    version 2 takes for Latin-1."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((_in_utf8(base), shape))
    if dtype.fields is None or dtype.names is None:
        return dtype
    fields: list[Any] = [dtype.fields[name] for name in dtype.names]
    spec: Any = {
        "names": [name.encode("latin1").decode("utf8") for name in dtype.names],
        "formats": [_in_utf8(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "titles": [field[2] if len(field) > 2 else None for field in fields],
        "itemsize": dtype.itemsize,
    }
    made: np.dtype[Any] = np.dtype(spec)
    return made


def mapped(
    segment: Segment,
    size: int,
    offset: int,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype[Any],
) -> np.ndarray[Any, Any]:
    """Return the array at ``offset`` of a segment that holds ``size`` bytes of a file."""
    count = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if count == 0:
        array = np.empty(shape, dtype, order="F" if fortran else "C")
        array.flags.writeable = False
        return array
    if offset + count > size:
        raise BadFile(
            f"{segment.path!r} is cut short: {shape} of {dtype} from byte {offset} on takes "
            f"{count} bytes, the file ends after {size - offset}"
        )
    view = segment.view(offset, count)
    return on_buffer(view, shape, dtype, order="F" if fortran else "C")


def file_segment(name: str) -> tuple[Segment, int]:
    """Return a user's file as a segment, mapped, or copied from a URL; and its size in bytes."""
    if places.is_remote(name):
        return _fetched(name)
    path = os.path.abspath(name)
    with Uninterrupted():  # else a descriptor may be left that nothing closes
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        return Segment(ReceivedFile(fd, "file"), Kind.FILE, size, path), size


def _fetched(name: str) -> tuple[Segment, int]:
    with reading(name, "file"), places.open(name) as file, Growing(name) as growing:
        growing.require(places.size(name) or 0)
        while piece := file.read(PIECE):
            growing.write(piece)
        size = growing.tell()
        return growing.finish(), size


class Mapped:
    """An ``Array`` whose file has the layout of memory."""

    def __init__(self, array: np.ndarray[Any, Any], where: str) -> None:
        self._array = array
        self.where = where
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def whole(self) -> np.ndarray[Any, Any]:
        """See ``Array``."""
        return self._array

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        if not self.shape:
            yield self._array
            return
        step = rows_a_piece(self.shape, self.dtype)
        for at in range(start, stop, step):
            yield self._array[at : min(at + step, stop)]


def open(name: str, wanted: Wanted) -> Arrays:
    """Open the array in ``name``, mapped; raise BadFile if it is not a complete .npy file."""
    with places.open(name) as file:
        shape, fortran, dtype = header(file, name)
        refuse_objects(dtype, name)
        offset = file.tell()
    array = mapped(*file_segment(name), offset, shape, fortran, dtype)
    return Arrays(name, {"": Mapped(array, name)}, single=True)
