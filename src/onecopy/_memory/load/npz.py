"""``.npz`` archives: stored members mapped where they lie, compressed ones inflated.

An archive is a zip file of ``.npy`` members. A member that is stored (what ``np.savez``
writes) stands in the archive as it is, so it is mapped there; one that is compressed
(``np.savez_compressed``) is inflated in pieces straight into a segment, so the peak is
the data and one piece.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...errors import BadFile, OnecopyError
from ..segment import Kind, Segment, new_segment
from .npy import file_segment, header, mapped

_PIECE = 1 << 20
# The local file header of the zip format (APPNOTE 4.3.7) is 30 bytes, and ends with the
# lengths of the name and of the extra field that follow it.
_LOCAL = 30


class SharedArchive(Mapping[str, "np.ndarray[Any, Any]"]):
    """The arrays of an ``.npz`` file by name, each in shared memory; read-only.

    A mapping like the one that ``np.load`` returns, with ``files`` and ``close`` for
    programs that use them; the arrays outlive it.
    """

    def __init__(self, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        self._arrays = arrays

    @property
    def files(self) -> list[str]:
        """The names of the arrays."""
        return list(self._arrays)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self._arrays[name.removesuffix(".npy") if name not in self._arrays else name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"<SharedArchive of {', '.join(self._arrays) or 'nothing'}>"

    def __enter__(self) -> SharedArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the arrays; those that somebody uses stay."""
        self._arrays = {}


def load(name: str) -> SharedArchive:
    """All arrays of ``name``; raises BadFile when one of them is damaged."""
    try:
        with zipfile.ZipFile(name) as archive:
            segment = file_segment(name)
            return SharedArchive(
                {
                    info.filename.removesuffix(".npy"): _member(archive, info, segment, name)
                    for info in archive.infolist()
                    if info.filename.endswith(".npy")
                }
            )
    except (OnecopyError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        # Whatever the standard library raises on damaged ones: BadZipFile, zlib.error,
        # struct.error, EOFError, UnicodeDecodeError, RuntimeError (encrypted)...
        raise BadFile(f"{name!r} is not a whole .npz archive: {error}") from error


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, segment: Segment, name: str
) -> np.ndarray[Any, Any]:
    where = f"{name}:{info.filename}"
    with archive.open(info) as member:
        shape, fortran, dtype = header(member, where)  # type: ignore[arg-type]
        start = member.tell()
        if info.compress_type == zipfile.ZIP_STORED:
            local = _data_offset(segment, info)
            end = local + info.file_size
            need = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
            if end > segment.size or need > info.file_size:
                raise BadFile(f"{where!r} is cut short at byte {min(end, segment.size)}")
            return mapped(segment, local + start, shape, fortran, dtype)
        size = info.file_size - start
        inflated = new_segment(max(size, 1), Kind.SHARED)
        inflated.path = where
        file = inflated.own()
        file.require(size)
        at = 0
        while piece := member.read(_PIECE):
            file.write(at, memoryview(piece))
            at += len(piece)
        if at != size:
            raise BadFile(f"{where!r} is cut short: {at} of {size} bytes could be inflated")
        file.seal_mappings()
        file.seal()
        return mapped(inflated, 0, shape, fortran, dtype)


def _data_offset(segment: Segment, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin in the archive."""
    head = segment.view(info.header_offset, _LOCAL)
    names, extra = struct.unpack_from("<HH", head, 26)
    return int(info.header_offset + _LOCAL + names + extra)
