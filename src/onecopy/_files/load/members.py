"""Members of an archive that are not plain arrays: strings of any length, and refused members.

Strings, and strings in fields of records, become NumPy's fixed-width strings, as wide as the
longest one, so that the array is plain memory. A member that cannot be loaded does not affect the
others: it is left out, and accessing it raises the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from ...errors import BadFile
from .interface import Array

# Fixed width is refused if it takes this many times the strings' own bytes.
_WASTE = 64
_FREE = 64 << 20


class Refused:
    """An ``Array`` that cannot be loaded.

    Args:
        where: file and member.
        reason: the reason, as a sentence that begins with "it".
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype("V0")

    def refuse(self) -> NoReturn:
        """Raise BadFile with the reason."""
        raise BadFile(f"{self.where!r} cannot be loaded: {self.reason}")

    def whole(self) -> NoReturn:
        """See ``Array``."""
        self.refuse()

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        self.refuse()


def plain(array: Array) -> Array:
    """Return the array itself, or ``Refused`` if it contains Python objects."""
    if array.dtype.hasobject or array.dtype.kind == "T":
        return Refused(array.where, f"it holds Python objects (dtype {array.dtype})")
    return array


class Strings:
    """An ``Array`` of strings of variable length.

    The width is found when it is first needed: all strings are read then, and once more when they
    are loaded.

    Args:
        source: yields blocks of objects (str, bytes or None) or of records with such fields.
        text: the fields that are strings, or ``{""}`` for the elements themselves.
    """

    def __init__(self, source: Array, text: frozenset[str]) -> None:
        self.where, self.shape = source.where, source.shape
        self._source, self._text = source, text
        self._dtype: np.dtype[Any] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The fixed-width type of the longest string."""
        if self._dtype is None:
            self._dtype = self._widest()
        return self._dtype

    def whole(self) -> None:
        """Return None: it has to be decoded."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        dtype = self.dtype
        for block in self._source.blocks(start, stop):
            made = np.empty(block.shape, dtype)
            if dtype.names is None:
                made[...] = _decoded(block, self.where)
            for name in dtype.names or ():
                text = name in self._text
                made[name] = _decoded(block[name], self.where) if text else block[name]
            yield made

    def _widest(self) -> np.dtype[Any]:
        widths = dict.fromkeys(self._text, 1)
        used = dict.fromkeys(self._text, 0)
        rows = self.shape[0] if self.shape else 1
        for block in self._source.blocks(0, rows):
            for name in self._text:
                for value in _decoded(block[name] if name else block, self.where).flat:
                    widths[name] = max(widths[name], len(value))
                    used[name] += len(value)
        count = math.prod(self.shape)
        for name, width in widths.items():
            if count * width > max(_FREE, _WASTE * used[name]):
                raise BadFile(
                    f"{self.where!r}: as an array its strings take {4 * count * width} bytes, for "
                    f"the longest has {width} characters"
                )
        if "" in widths:
            return np.dtype(f"U{widths['']}")
        source = self._source.dtype
        fields = [
            (name, f"U{widths[name]}" if name in widths else source[name])
            for name in source.names or ()
        ]
        return np.dtype(fields)


def _decoded(block: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Return a block of str; raise BadFile for a string that would not be read back unchanged."""
    made = np.empty(block.shape, object)
    for at, value in np.ndenumerate(block):
        try:
            text = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError as error:
            raise BadFile(f"{where!r}: a string is not UTF-8: {value[:40]!r}") from error
        if not isinstance(text, str):
            raise BadFile(f"{where!r} holds {type(text).__name__} among its strings")
        if text.endswith("\0"):
            raise BadFile(f"{where!r}: a string ends with NUL, which an array would drop")
        made[at] = text
    return made


def of_objects(array: Array, is_text: Callable[[np.dtype[Any]], bool]) -> Array:
    """Return a reader for an array of objects: strings, or ``Refused`` for anything else.

    Args:
        is_text: returns True if objects of this dtype are strings.
    """
    dtype = array.dtype
    if not (dtype.hasobject or dtype.kind == "T"):
        return array
    if dtype.names is None:
        return Strings(array, frozenset({""})) if is_text(dtype) else plain(array)
    text = frozenset(name for name in dtype.names if is_text(dtype[name]))
    if any(dtype[name].hasobject for name in dtype.names if name not in text):
        return plain(array)
    return Strings(array, text)
