"""Files at a URL of which only the wanted parts are fetched: ``.npy`` and Arrow's.

``load`` fetches all of such a file, for it is to be in memory anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..load import arrow, places
from ..load.arrays import rows_a_piece
from ..load.interface import Arrays, Wanted, library, reading
from ..load.npy import header, refuse_objects


class Ranges:
    """An ``Array`` whose rows are fetched when they are wanted."""

    def __init__(self, file: Any, where: str) -> None:
        self.where = where
        self._file = file
        self.shape, self._fortran, self.dtype = header(file, where)
        refuse_objects(self.dtype, where)
        self._offset: int = file.tell()

    @property
    def in_rows(self) -> bool:
        """True if the bytes of a row are together."""
        return not self._fortran or len(self.shape) < 2

    def whole(self) -> None:
        """Return None: it has to be fetched."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        if not self.in_rows:
            yield self._fetched(0, self.shape[0])[start:stop]
            return
        step = rows_a_piece(self.shape, self.dtype)
        for at in range(start, stop, step):
            yield self._fetched(at, min(at + step, stop))

    def _fetched(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        row = prod(self.shape[1:]) * self.dtype.itemsize
        with reading(self.where, ".npy file"):
            self._file.seek(self._offset + start * row)
            data = self._file.read((stop - start) * row)
            shape = (stop - start, *self.shape[1:])
            order: Any = "F" if self._fortran else "C"
            return np.frombuffer(data, self.dtype).reshape(shape, order=order)


def open_array(name: str) -> Arrays:
    """Open the array at a URL. Raises BadFile if its server gives only whole files."""
    file = places.seekable(name)
    try:
        array = Ranges(file, name)
    except BaseException:
        file.close()
        raise
    return Arrays(name, {"": array}, single=True, close=file.close)


class Bytes:
    """The bytes of a file, fetched when they are looked at."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __len__(self) -> int:
        return int(self._file.size)

    def __getitem__(self, at: slice) -> bytes:
        start, stop, _ = at.indices(len(self))
        self._file.seek(start)
        data: bytes = self._file.read(stop - start)
        return data

    def source(self) -> Any:
        """Return the file for pyarrow's readers, from its beginning on."""
        self._file.seek(0)
        return library("pyarrow", "arrow").PythonFile(self._file, "r")


class Table(arrow.Opened):
    """A ``Tabular`` on an Arrow file at a URL."""

    def __init__(self, name: str, file: Any, columns: tuple[str, ...] | None) -> None:
        self._file = file
        super().__init__(name, Bytes(file), columns)

    def _source(self) -> Any:
        return self._bytes.source()

    def close(self) -> None:
        """See ``Tabular``."""
        self._file.close()


def open_table(name: str, wanted: Wanted) -> Table:
    """Open an Arrow file at a URL. Raises BadFile if its server gives only whole files."""
    library("pyarrow", "arrow")
    with reading(name, arrow.WHAT):
        file = places.seekable(name)
    try:
        return Table(name, file, wanted.columns)
    except BaseException:
        file.close()
        raise
