"""An ``.npy`` file at a URL, of which only the wanted rows are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ..load import places
from ..load.arrays import rows_a_piece
from ..load.interface import Arrays, reading
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


def open(name: str) -> Arrays:
    """Open the array at a URL. Raises BadFile if its server gives only whole files."""
    file = places.seekable(name)
    try:
        array = Ranges(file, name)
    except BaseException:
        file.close()
        raise
    return Arrays(name, {"": array}, single=True, close=file.close)
